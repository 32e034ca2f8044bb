/* SPDX-License-Identifier: Apache-2.0 */
/* purge_priv: what the files behind purge.h share.
 *
 * Life:    see purge.h.
 * Owner:   see purge.h.
 * Threads: handlers run on the admin server's loop, all else on the purge thread's own loop (until
 *          that is started: main's), which may wait for the disk: nothing else lives there.
 * Errors:  0 or -errno.
 * Units:   milliseconds. */
#pragma once
#include <pthread.h>
#include "base/secret.h"
#include "edge/edge.h"
#include "edge/purge.h"
#include "edge/purge_ask.h"
#include "fetch/fetch.h"
#include "http/http.h"

#define PURGE_ERROR_MAX 256

/* Another edge, as far as its purges are known here. */
struct purge_peer {
    struct purge *purge;
    const char *url;          /* the configuration's */
    struct digest cursor_key; /* of the record below */
    uint8_t id[OBJECTS_ID_SIZE];
    uint64_t cursor; /* of its purges; 0: none are known */
    bool has_id, is_self;
    bool is_away; /* when it was asked last */
    bool asking;
    bool asked; /* once, well or not */
    struct fetch_op *op;
    struct buf answer;
};

/* Up to where the purges of one edge, by its id, are known: all of them, and some of them. */
#define PURGE_KNOWN_MAX 128u
struct purge_known {
    uint8_t id[OBJECTS_ID_SIZE];
    uint64_t all, demand;
};

struct purge {
    uint32_t magic;
#define PURGE_MAGIC UINT32_C(0x9c12e9ed)
    struct edge *edge;
    struct secret admin, others; /* size 0: none */
    struct loop *loop;
    struct fetch *fetch;
    struct loop_timer timer;
    unsigned peers_count, peers_turns;
    struct purge_peer peers[PURGE_EDGES_MAX];
    uint64_t own; /* the sequence of the last purge asked for here; or a later one */
    struct purge_call *calls;
    uint8_t id[OBJECTS_ID_SIZE]; /* ours */

    pthread_mutex_t known_lock;
    unsigned known_count;
    bool known_overflow;
    uint64_t own_demand;
    struct purge_known known[PURGE_KNOWN_MAX];

    struct metric *m_url, *m_asset, *m_tag, *m_everything, *m_away;

    pthread_mutex_t lock; /* covers stopping, and that nothing is posted after it */
    bool stopping;
    bool started;
    pthread_t thread;
};

/* One POST /purge on its way. */
struct purge_push {
    struct purge_call *call;
    const struct purge_peer *peer;
    struct fetch_op *op;
    unsigned status;
    bool done, under_way;
    struct buf answer;
    char error[PURGE_ERROR_MAX];
};

struct purge_call {
    uint32_t magic;
#define PURGE_CALL_MAGIC UINT32_C(0x9c12eca1)
    struct purge *purge;
    struct purge_call *next; /* of those that wait for other edges */
    struct http_req *req;
    struct loop *loop; /* req's */
    struct purge_ask ask;
    struct buf body; /* as it came; then as the others get it */
    int res;         /* of this edge */
    uint64_t before, sequence;
    unsigned waiting, pushes_count;
    struct purge_push *pushes;
};

/* purge_calls.c */
http_handler purge_post, purge_list;
void purge_call_take(void *call);                /* on the purge thread */
void purge_calls_end(struct purge *p);           /* those that wait */
void purge_call_finish(struct purge_call *call); /* back to its loop, and answered there */

/* purge_peers.c */
void purge_peers_init(struct purge *p);
void purge_peers_free(struct purge *p);
void purge_peers_ask(void *purge); /* all that are not being asked; and again after a while */
bool purge_peers_asked(const struct purge *p);
void purge_peer_told(struct purge *p, const struct purge_ask *ask);

/* purge_known.c */
void purge_known_demand(struct purge *p, const uint8_t *id, uint64_t sequence); /* or some of it */
void purge_known_all(struct purge *p, const uint8_t *id, uint64_t sequence);
void purge_known_drop(struct purge *p, const uint8_t *id); /* there is no such edge any more */
void purge_known_own(struct purge *p, uint64_t sequence);  /* UINT64_MAX: not yet known */

const char *purge_bearer(const struct purge *p);
