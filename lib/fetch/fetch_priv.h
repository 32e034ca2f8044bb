/* SPDX-License-Identifier: Apache-2.0 */
/* fetch_priv: what the files of lib/fetch share.
 *
 * Life:    struct fetch: one a loop, owns its operations until each is done or cancelled.
 *          struct fetch_op: WAITING (timer: start or backoff) <-> RUNNING (in the multi handle)
 *          -> on_done -> freed.
 * Owner:   struct fetch.
 * Threads: the loop's.
 * Errors:  0 or -errno.
 * Units:   milliseconds, bytes. */
#pragma once
#include <curl/curl.h>
#include "fetch/fetch.h"
#include "fetch/fetch_circuit.h"

#define FETCH_RETRIES_MAX     10
#define FETCH_BACKOFF_MS      50 /* doubled for each retry, half of it at random */
#define FETCH_BACKOFF_MS_MAX  2000
#define FETCH_EASY_FREE_MAX   64   /* handles kept for reuse */
#define FETCH_PROBE_TURN_MS   10   /* between looks at whether another's probe is over */
#define FETCH_PROBE_WAIT_MS   5000 /* and no longer than this for all of them */
#define FETCH_HOSTS_MAX       1024 /* then the healthy ones are forgotten */
#define FETCH_STREAMS         32   /* an HTTP/2 connection */
#define FETCH_INTERIM_MAX     32   /* answers before the answer: 103 and the like */
#define FETCH_EVENTS          64
#define FETCH_ERROR_TEXT_SIZE 256

struct fetch_host { /* fetch_host.c: one upstream's circuit */
    struct fetch_host *next;
    char *key;
    struct fetch_circuit circuit;
};

/* fetch_head.c: the lines of an answer's head, as they come. */
struct fetch_lines {
    struct buf text; /* names and values, one behind the other */
    unsigned count;
    struct fetch_line {
        uint32_t name_size, value_size;
    } at[FETCH_FIELDS_MAX];
    bool is_coded; /* Transfer-Encoding */
    uint64_t size; /* Content-Length, or UINT64_MAX */
};

/* Connections and transfers of one kind: each transfer with a connection of its own, so that it can
 * be paused; or several on one, where it is HTTP/2. */
struct fetch_multi {
    struct fetch *fetch;
    CURLM *curl; /* NULL: not used */
    struct loop_timer timer;
};
enum { FETCH_ALONE, FETCH_SHARED, FETCH_MULTIS };

struct fetch {
    uint32_t magic;
#define FETCH_MAGIC UINT32_C(0xfe7c4a11)
    struct loop *loop;
    struct fetch_options options; /* its files' names are ours */
    char *ca_file, *cert_file, *key_file;
    struct fetch_multi multis[FETCH_MULTIS];
    int epoll_fd;
    struct loop_watch *watch;
    struct fetch_op *ops;
    struct fetch_op *dead; /* cancelled from within a callback of the library */
    struct fetch_host *hosts;
    unsigned hosts_count;
    CURL *free[FETCH_EASY_FREE_MAX];
    unsigned free_count;
    unsigned in_library; /* its callbacks may not call it again */
    bool settling;
    char error_text[FETCH_ERROR_TEXT_SIZE]; /* of the operation whose on_done is being called */
};

struct fetch_op {
    uint32_t magic;
#define FETCH_OP_MAGIC UINT32_C(0x0fe7c40b)
    struct fetch *fetch;
    struct fetch_op *next, *prev; /* fetch.ops; next alone: fetch.dead */
    struct fetch_host *host;
    struct fetch_multi *multi;
    CURL *easy; /* NULL: waiting */
    struct curl_slist *headers;
    struct loop_timer timer; /* waiting: begin; running: stall, or going on after a pause */
    uint64_t moved;          /* bytes in either direction, when last looked at */
    uint64_t moved_ms;
    uint32_t stall_ms;
    unsigned tries;          /* attempts made */
    uint64_t waits_until_ms; /* for another's probe; 0: has not waited */
    bool is_idempotent, is_head, is_shared, may_pause;
    bool is_paused;  /* as the caller wants it */
    bool is_held;    /* the library has been told */
    bool body_waits; /* on_body had nothing: the library has been told */
    bool body_ended;
    struct loop_timer body_timer;
    bool is_dead, is_done;
    bool head_given;
    bool close_counts, close_seen; /* fetch_close.c */
    bool is_complete;              /* the library has ended this attempt by itself */
    int callback_result;           /* what ended it from our side */
    int last_result;               /* of the attempt before */
    unsigned status;
    unsigned heads; /* that came: interim ones, then the answer's */
    struct fetch_lines lines;
    char *method, *url, *unix_socket;
    struct rbuf *body;
    int (*on_head)(void *arg, const struct fetch_head *head);
    int (*on_data)(void *arg, const uint8_t *data, size_t size);
    void (*on_done)(void *arg, int res, unsigned status);
    int (*on_body)(void *arg, uint8_t *out, size_t size_max, size_t *ret_size);
    void *arg;
    char error_text[CURL_ERROR_SIZE];
};

/* fetch.c */
CURL *fetch__easy_take(struct fetch *f);
void fetch__easy_give(struct fetch *f, CURL *easy); /* takes NULL */
void fetch__settle(struct fetch *f);                /* finished and cancelled operations */

/* fetch_op.c */
void fetch__op_attempt_ended(struct fetch_op *op, CURLcode code);
void fetch__op_free(struct fetch_op *op);

/* fetch_close.c: once the head is here. An answer that needs a close_notify is whole only when
 * close_seen. */
void fetch__close_watch(struct fetch_op *op);

/* fetch_fields.c */
MUST_USE int fetch__fields_set(struct fetch_op *op, const struct fetch_request *q);

/* fetch_head.c */
bool fetch__field_ok(struct str name, struct str value); /* as HTTP allows them */
/* -EBADMSG for what is no head or too large. */
void fetch__lines_clear(struct fetch_lines *l);
MUST_USE int fetch__lines_take(struct fetch_lines *l, struct str line); /* without its end */
/* at: FETCH_FIELDS_MAX of them; lent until the lines are cleared. */
struct fields fetch__lines_fields(const struct fetch_lines *l, struct field *at);

/* fetch_easy.c */
MUST_USE int fetch__easy_set(struct fetch_op *op);
int fetch__result_of(CURLcode code);
/* What every request has, to whomever: protocols, roots, no redirects, no proxy. */
bool fetch__easy_base(CURL *easy, const char *url, const char *ca_file, uint32_t connect_ms);
uint64_t fetch__easy_moved(CURL *easy); /* bytes so far, in either direction */
MUST_USE int fetch__global(void);       /* the library's own start, once a process */

/* fetch_host.c */
MUST_USE int fetch__host_of(struct fetch *f, const char *url, const char *unix_socket,
                            struct fetch_host **ret); /* -EINVAL: no URL; -ENOMEM */
void fetch__hosts_free(struct fetch *f);
