/* SPDX-License-Identifier: Apache-2.0 */
/* engine_priv: what engine.c (thread and jobs), engine_call.c (calls) and engine_easy.c (one
 * attempt of a call) share.
 *
 * Life:    struct engine: engine_new to engine_free.
 * Owner:   its tier.
 * Threads: the engine's own, but for what `lock` covers.
 * Errors:  0 or -errno.
 * Units:   milliseconds, bytes. */
#pragma once
#include <pthread.h>
#include "fetch/engine.h"

struct engine_list {
    struct engine_call *first, *last;
};

struct engine {
    uint32_t magic;
#define ENGINE_MAGIC UINT32_C(0xe291e0ca)
    struct engine_options options;
    CURLM *multi;
    pthread_t thread;
    bool has_thread;

    struct engine_list reads, writes; /* READY, oldest first */
    struct engine_list later, running;
    unsigned running_count, running_writes;
    bool is_ending;
    uint64_t end_ms; /* when the last are cut, too */
    uint64_t complained_ms;
    unsigned complaints_kept;

    pthread_mutex_t lock; /* covers what follows */
    struct engine_job *jobs, **jobs_end;
    unsigned jobs_count; /* admitted and not ended */
    bool stopping;
};

/* engine_call.c */
void engine__calls_begin(struct engine *e);
void engine__calls_settle(struct engine *e);
void engine__calls_end(struct engine *e, bool all); /* those that may be cut, or all */
bool engine__calls_none(const struct engine *e);
uint64_t engine__calls_wait_ms(const struct engine *e);

/* engine_easy.c */
MUST_USE int engine__call_set(struct engine_call *c); /* all that the library is told */
void engine__call_look(struct engine_call *c);        /* status and size */
void engine__call_look_etag(struct engine_call *c);
MUST_USE int engine__call_end_blob(struct engine_call *c); /* -EBADMSG: not as long as was said */
