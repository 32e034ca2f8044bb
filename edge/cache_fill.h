/* SPDX-License-Identifier: Apache-2.0 */
/* cache_fill: one request of an upstream: until its head it may be what many wait for; then its
 * bytes go into blocks, or past the cache to the one client who may have them.
 *
 *   ASK:  cache_ask_join -> HEAD -> an object, made or freshened -> FILLING -> kept
 *                            |-> not to be kept -> PASSING to who began it; the others begin anew
 *   GAP:  blocks that a known body lacks -> HEAD (the same representation?) -> FILLING
 *   PASS: what is never kept -> HEAD -> PASSING
 *
 * Life:    cache_fill_start -> callbacks -> ended: out of its worker's list. The memory goes with
 *          the last reference.
 * Owner:   the worker it was started on, the only one that writes; who waits holds a reference.
 * Threads: the worker's loop, but for what cache_ask.c guards, and poke.
 * Errors:  as fetch.h; -ESTALE: the upstream has another representation by now.
 * Units:   bytes, seconds.
 *
 * Memory: a block that is being written and at most CACHE_PUTS_MAX on their way into the store, for
 * each fill; CACHE_FILL_MEMORY for all, beyond which fills wait for each other. */
#pragma once
#include "edge/cache_request.h"

#define CACHE_PUTS_MAX    4u
#define CACHE_FILL_MEMORY (UINT64_C(256) << 20)
#define CACHE_SMALL       (UINT64_C(16) << 20) /* is finished, also when nobody reads it any more */
#define CACHE_NEAR_END    (UINT64_C(4) << 20)  /* and what lacks no more than this */
#define CACHE_SOON        (UINT64_C(8) << 20)  /* ahead of its reader: so long RAM has it */
#define CACHE_LARGE       (UINT64_C(64) << 20) /* is not fetched far ahead of who reads it */

enum cache_fill_kind { CACHE_FILL_ASK, CACHE_FILL_GAP, CACHE_FILL_PASS };
enum cache_fill_state { CACHE_FILL_HEAD, CACHE_FILL_FILLING, CACHE_FILL_PASSING, CACHE_FILL_ENDED };

enum cache_outcome {
    CACHE_PENDING,
    CACHE_OBJECT, /* fresh, or just validated */
    CACHE_STALE,  /* the upstream failed; what is kept may be given out */
    CACHE_PASS,   /* not to be kept: to each his own */
    CACHE_FAILED, /* error, and status if there was an answer */
};

struct cache_answer {
    enum cache_outcome outcome;
    struct cache_object *object; /* a reference: OBJECT, STALE */
    int error;
    unsigned status;
    const char *why; /* static text */
    bool revalidated, stored;
};

/* Who takes an answer that is not kept. head: false: does not want it. data: 0 or -errno. */
struct cache_taker {
    bool (*head)(void *arg, struct cache_fill *f, const struct fetch_head *head, const char *why);
    int (*data)(void *arg, const uint8_t *data, size_t size);
    void (*done)(void *arg, int res);
};

struct cache_fill_want {
    enum cache_fill_kind kind;
    struct cache_request *request;
    struct digest primary, key;  /* of the URL; of the variant, where one is known */
    struct cache_object *object; /* ASK: kept, to be validated; GAP: what lacks blocks */
    bool validate;               /* ask with the object's validators */
    bool look_again;             /* nothing was kept a moment ago; -EALREADY if there is now */
    bool stale_may;              /* the object may be given out if the upstream fails */
    bool ranged;
    uint64_t first, last;
    uint32_t block, end; /* GAP */
    const struct cache_taker *taker;
    void *taker_arg;
};

enum { CACHE_HELD_PUTS = 1, CACHE_HELD_AHEAD = 2, CACHE_HELD_MEMORY = 4, CACHE_HELD_TAKER = 8 };

struct cache_fill {
    uint32_t magic;
#define CACHE_FILL_MAGIC UINT32_C(0xcaf111ed)
    _Atomic uint32_t refs;
    struct cache *cache;
    struct cache_worker *worker;    /* valid until it has ended */
    struct cache_fill *next, *prev; /* worker->fills */
    enum cache_fill_kind kind;
    enum cache_fill_state state;
    struct cache_request *request;
    struct digest primary;
    bool validate, stale_may, ranged, plain; /* plain: asked as the client asked */
    uint64_t first, last;
    int64_t request_s;
    uint64_t began_us;
    struct upstream_fetch *op; /* NULL: it has ended */
    const struct cache_taker *taker;
    void *taker_arg;

    /* cache_ask.c, under the asks' lock. */
    struct digest key;
    struct cache_fill *ask_next;
    bool asked; /* is in the list */
    bool ended; /* its loop is not to be called any more */
    uint64_t sequence;
    struct cache_waker *waiting;
    struct cache_answer answer;
    _Atomic bool invalidated; /* by an unsafe method: not to be kept */
    _Atomic uint32_t waiters; /* who has not yet let go of it */

    /* While bytes come: the worker's, the front under its body's lock. */
    struct cache_object *object;
    struct cache_object *kept; /* ASK: what is to be validated, or NULL */
    struct cache_front front;
    bool in_body, whole; /* whole: a 200 from its first byte on: all or nothing */
    struct rbuf *block;
    uint8_t *space;
    uint32_t block_cap, block_used;
    uint64_t at, end; /* of the next byte; where this answer ends, or CACHE_SIZE_UNKNOWN */
    unsigned puts;
    unsigned held; /* CACHE_HELD_*: why no bytes are taken */
    struct loop_timer memory_timer;
    _Atomic bool poked;
    int result;
};

MUST_USE int cache_fill_start(struct cache_worker *w, const struct cache_fill_want *want,
                              struct cache_fill **ret); /* a reference for the caller */
struct cache_fill *cache_fill_ref(struct cache_fill *f);
struct cache_fill *cache_fill_unref(struct cache_fill *f);
void cache_fill_hold(struct cache_fill *f, unsigned why, bool held);
void cache_fill_cancel(struct cache_fill *f, int error); /* on its loop; no callback of it after */
void cache_fills_abandon(struct cache_worker *w);        /* all of them, and waits for the store */

/* cache_head.c: what the head of an answer means; 0 or -errno, which ends it. */
MUST_USE int cache_fill_head(struct cache_fill *f, const struct fetch_head *head);

/* The key of the variant that answers such a request. False: none ever does. */
bool cache_variant_key(const struct cache_object *index, const struct fields *request,
                       struct digest *ret);

/* cache_fill.c, for it: bytes from f->at on go into f->object's body. */
MUST_USE int cache_fill_begin(struct cache_fill *f, struct cache_object *o, uint64_t first,
                              uint64_t end);

/* --- cache_ask.c: one for all who wait -------------------------------------------------------- */

/* Joins what is asked for by this key, or starts it. A reference and a waiter in every case: let go
 * of by cache_ask_leave. w is called once the answer is there. */
MUST_USE int cache_ask_join(struct cache_worker *w, const struct cache_fill_want *want,
                            struct cache_waker *waker, struct cache_fill **ret, bool *ret_started);
void cache_ask_leave(struct cache_fill *f, struct cache_waker *waker);

/* PENDING, or what came of it; the object is lent while the caller holds f. */
struct cache_answer cache_ask_answer(struct cache_fill *f);
void cache_ask_settle(struct cache_fill *f,
                      const struct cache_answer *answer); /* takes the object */
void cache_ask_end(struct cache_fill *f);
void cache_ask_invalidate(struct cache *c, const struct digest *primary);
bool cache_ask_is_busy(struct cache *c, const struct digest *key); /* somebody is asking already */
