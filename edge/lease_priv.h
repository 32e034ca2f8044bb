/* SPDX-License-Identifier: Apache-2.0 */
/* lease_priv: what desks and hub share.
 *
 * Life:    a session is made by the desk whose request first names it, goes to the hub, and is
 *          freed with its last reference (hub's table, desks' tables, messages).
 * Owner:   references.
 * Threads: state, used and until_s are atomic; what is marked as the hub's is its thread's; the
 *          rest never changes.
 * Errors:  none.
 * Units:   as named. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include "edge/lease.h"

#define LEASE_DESKS_MAX 256 /* as many as http has workers */

enum lease_backend { LEASE_BACKEND_REDIS, LEASE_BACKEND_CONTROL };
enum lease_fail { LEASE_FAIL_OPEN, LEASE_FAIL_CLOSED };

enum session_state {
    SESSION_ASKING, /* desks let requests wait */
    SESSION_LIVE,
    SESSION_OPEN,  /* let in while the backend was away; asked for again */
    SESSION_ENDED, /* kept until its token expires */
    SESSION_FULL,  /* has lost its place; asked for again soon */
    SESSION_AWAY,  /* not let in while the backend is away; forgotten at once */
    SESSION_GONE,  /* forgotten by the hub: whoever meets it asks anew */
};

struct session_wait;

struct lease_session {
    uint32_t magic;
#define LEASE_SESSION_MAGIC UINT32_C(0x1ea5e5e5)
    atomic_uint refs;
    atomic_uint state;
    atomic_bool used; /* since the hub last looked */
    _Atomic int64_t until_s;
    uint64_t hash;      /* of the session's text; not 0 */
    struct str session; /* these three are in bytes */
    struct str user;
    struct str asset;
    /* The hub's. */
    struct lease_session *next;
    struct session_wait *waits; /* desks that are to be told */
    uint64_t used_ms;
    uint64_t full_ms;
    bool is_asked; /* it is in the queue, or in a batch */
    char bytes[];
};

struct lease_session *lease_session_new(const struct token_claims *claims, uint64_t hash);
struct lease_session *lease_session_ref(struct lease_session *s);
struct lease_session *lease_session_unref(struct lease_session *s);

static inline enum session_state lease_session_state(const struct lease_session *s)
{
    return (enum session_state)atomic_load_explicit(&s->state, memory_order_acquire);
}

struct lease_metrics {
    struct metric *refused_ended, *refused_full, *refused_away;
    struct metric *asked, *renewed, *unsure, *cut, *sessions, *batch_sessions;
};

struct lease_hub {
    uint32_t magic;
#define LEASE_HUB_MAGIC UINT32_C(0x1ea5e40b)
    struct edge *edge;
    struct lease_metrics metrics;
    enum lease_fail fail;
    uint32_t renew_ms;
    struct secret credential; /* for control */
    struct loop *loop;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* guards desks: one is posted to only while it is there */
    struct lease_desk *desks[LEASE_DESKS_MAX];
    /* The thread's own. */
    struct bus *bus;
    struct fetch *fetch;
    struct leases *leases;
    struct lease_watch *watch;
    struct lease_session **buckets;
    uint32_t count;
    struct lease_session **queue; /* to be asked; a ring */
    uint32_t queue_first, queue_count, queue_cap;
    unsigned batches; /* under way */
    struct loop_timer flush_timer, turn_timer;
};

/* Any worker: s is not known to the desk of this index; takes over a reference. */
MUST_USE int lease_hub_ask(struct lease_hub *h, unsigned desk_index, struct lease_session *s);
MUST_USE int lease_hub_join(struct lease_hub *h, struct lease_desk *d, unsigned *ret_index);
void lease_hub_leave(struct lease_hub *h, unsigned index);

/* On the hub's thread, for a desk that it holds the lock for: `asked` became `now` (both may be the
 * same); a NULL asked: the session `now` was ended. */
MUST_USE int lease_desk_post(struct lease_desk *d, struct lease_session *asked,
                             struct lease_session *now);

/* lease_control.c: a backend that asks control over HTTP. */
MUST_USE int leases_open_control(struct fetch *fetch, struct loop *loop, const char *url,
                                 const struct secret *credential, struct leases **ret);
