/* SPDX-License-Identifier: Apache-2.0 */
/* redis_call: one call on its way to a Redis, and the queues that calls wait in.
 *
 * Life:    bus_redis makes it -> redis_route -> redis_node -> bus_redis ends and frees it.
 * Owner:   whoever has it in a queue; a call is in one at most.
 * Threads: the loop's.
 * Errors:  none.
 * Units:   milliseconds of the monotonic clock. */
#pragma once
#include "base/base.h"
#include "bus/bus.h"

#define REDIS_WORDS_MAX   (BUS_ARGS_MAX + 3)
#define REDIS_SCRIPTS_MAX 32 /* bits of redis_node's set of those it has */
#define REDIS_SHA_SIZE    41

struct redis_script {
    const char *text;
    unsigned index;
    char sha[REDIS_SHA_SIZE];
};

enum redis_kind { CALL_PLAIN, CALL_COUNT, CALL_GET, CALL_SWAP, CALL_MAP };

struct redis_call {
    struct redis_call *next;
    bus_done *cb;
    void *arg;
    int res; /* of one that has ended without an answer, or that waits to be tried again */
    enum redis_kind kind;
    uint16_t slot;
    bool is_any;    /* it has no key: of a cluster any node will do */
    bool is_asking; /* ASKING goes before it */
    uint8_t skips;  /* answers that come before its own */
    unsigned tries; /* how often it has been refused or sent on */
    uint64_t made_ms;
    uint64_t sent_ms;
    uint64_t again_ms;                 /* when it is to be tried again */
    const struct redis_script *script; /* NULL: none; the first two words are left to the node */
    unsigned words_count;
    struct str words[]; /* their bytes are behind the last */
};

struct redis_calls {
    struct redis_call *first, **last;
};

static inline void redis_calls_init(struct redis_calls *q)
{
    q->first = NULL;
    q->last = &q->first;
}

static inline void redis_calls_put(struct redis_calls *q, struct redis_call *c)
{
    c->next = NULL;
    *q->last = c;
    q->last = &c->next;
}

static inline struct redis_call *redis_calls_take(struct redis_calls *q)
{
    struct redis_call *c = q->first;
    if (c != NULL) {
        q->first = c->next;
        if (q->first == NULL)
            q->last = &q->first;
    }
    return c;
}

/* All of them, linked by next; the queue may be filled anew meanwhile. */
static inline struct redis_call *redis_calls_take_all(struct redis_calls *q)
{
    struct redis_call *c = q->first;
    redis_calls_init(q);
    return c;
}
