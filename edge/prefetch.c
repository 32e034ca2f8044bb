/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/prefetch.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "base/clock.h"
#include "edge/ahead.h"
#include "edge/prefetch_priv.h"

#define PREFETCH_SEGMENTS   2
#define PREFETCH_CONCURRENT 4
#define PREFETCH_RATE       (UINT64_C(50) << 20)
#define PREFETCH_TURN_MS    50
#define PREFETCH_USED_SLOTS 4096u /* power of two */

struct prefetch {
    uint32_t magic;
#define PREFETCH_MAGIC UINT32_C(0x94efe7c4)
    unsigned segments, concurrent;
    uint64_t rate; /* 0: no limit */
    _Atomic unsigned running;
    pthread_mutex_t lock; /* covers what follows */
    int64_t tokens;       /* bytes; negative: owed */
    uint64_t filled_ms;
    /* What was fetched ahead and not yet asked for: the first bytes of its key, by them. */
    _Atomic uint64_t fetched[PREFETCH_USED_SLOTS];
    struct prefetch_hints hints;
    struct metric *done, *used, *failed, *dropped, *bytes;
};

const cyaml_schema_field_t prefetch_fields[] = {
    CYAML_FIELD_UINT("segments", CYAML_FLAG_OPTIONAL, struct prefetch_config, segments),
    CYAML_FIELD_STRING_PTR("rate", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct prefetch_config,
                           rate, 1, 32),
    CYAML_FIELD_UINT("concurrent", CYAML_FLAG_OPTIONAL, struct prefetch_config, concurrent),
    CYAML_FIELD_END,
};

static int prefetch_rate(const struct prefetch_config *c, uint64_t *ret, struct err *err)
{
    *ret = PREFETCH_RATE;
    if (c->rate != NULL && strcmp(c->rate, "none") == 0) {
        *ret = 0;
        return 0;
    }
    int r = config_size("prefetch: rate", c->rate, ret, err);
    if (r == 0 && (*ret == 0 || *ret > INT64_MAX / 2))
        r = err_set(err, -EINVAL, "prefetch: rate: a size above 0, or 'none' for no limit");
    return r;
}

int prefetch_check(const struct prefetch_config *c, struct err *err)
{
    uint64_t rate;
    if (c == NULL)
        return 0;
    if (c->segments > PREFETCH_SEGMENTS_MAX)
        return err_set(err, -EINVAL, "prefetch: segments: more than %d", PREFETCH_SEGMENTS_MAX);
    return prefetch_rate(c, &rate, err);
}

int prefetch_new(const struct prefetch_config *c, struct metrics *m, struct prefetch **ret)
{
    struct err err;
    if (c == NULL) {
        *ret = NULL;
        return 0;
    }
    struct prefetch *p = calloc(1, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    p->magic = PREFETCH_MAGIC;
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_mutex_init(&p->hints.lock, NULL);
    p->segments = c->segments > 0 ? c->segments : PREFETCH_SEGMENTS;
    p->concurrent = c->concurrent > 0 ? c->concurrent : PREFETCH_CONCURRENT;
    int r = prefetch_rate(c, &p->rate, &err);
    if (r < 0) {
        prefetch_free(p);
        return r;
    }
    p->tokens = (int64_t)p->rate;
    p->filled_ms = clock_mono_ms();
    const struct metric_row rows[] = {
        {&p->done, metrics_counter, "prefetched_total", "Segments fetched ahead.", ""},
        {&p->used, metrics_counter, "prefetched_used_total",
         "Segments that were asked for after they had been fetched ahead.", ""},
        {&p->failed, metrics_counter, "prefetch_failures_total",
         "Segments that could not be fetched ahead.", ""},
        {&p->dropped, metrics_counter, "prefetch_dropped_total",
         "Segments not fetched ahead, for the limits.", ""},
        {&p->bytes, metrics_counter, "prefetched_bytes_total", "Bytes fetched ahead.", ""},
    };
    metrics_make(m, "weir_edge", rows, ARRAY_LEN(rows));
    *ret = p;
    return 0;
}

struct prefetch *prefetch_free(struct prefetch *p)
{
    if (p == NULL)
        return NULL;
    ASSERT(p->magic == PREFETCH_MAGIC);
    (void)pthread_mutex_destroy(&p->lock);
    prefetch__hints_clear(&p->hints);
    (void)pthread_mutex_destroy(&p->hints.lock);
    MAGIC_CLEAR(p);
    free(p);
    return NULL;
}

struct prefetch_hints *prefetch__hints(struct prefetch_worker *w)
{
    return &w->prefetch->hints;
}

unsigned prefetch__segments(const struct prefetch_worker *w)
{
    return w->prefetch->segments;
}

/* --- used ------------------------------------------------------------------------------------- */

static uint64_t prefetch_mark_of(const struct digest *key)
{
    uint64_t mark;
    memcpy(&mark, key->bytes, sizeof mark);
    return mark | 1; /* 0 is none */
}

void prefetch__asked(struct prefetch_worker *w, const struct digest *key)
{
    struct prefetch *p = w->prefetch;
    uint64_t mark = prefetch_mark_of(key);
    _Atomic uint64_t *slot = &p->fetched[(mark >> 1) & (PREFETCH_USED_SLOTS - 1)];
    /* Read before it is written: a hot segment's slot stays shared. */
    if (atomic_load_explicit(slot, memory_order_relaxed) == mark &&
        atomic_compare_exchange_strong(slot, &mark, 0))
        metric_add(p->used, 1);
}

/* --- limits ----------------------------------------------------------------------------------- */

static bool prefetch_may_start(struct prefetch *p)
{
    unsigned running = atomic_load(&p->running);
    do {
        if (running >= p->concurrent)
            return false;
    } while (!atomic_compare_exchange_weak(&p->running, &running, running + 1));
    if (p->rate == 0)
        return true;
    (void)pthread_mutex_lock(&p->lock);
    uint64_t now_ms = clock_mono_ms();
    uint64_t more = p->rate * MIN(now_ms - p->filled_ms, UINT64_C(1000)) / 1000;
    if (more > 0) {
        p->tokens = MIN(p->tokens + (int64_t)more, (int64_t)p->rate); /* a second's worth */
        p->filled_ms = now_ms;
    }
    bool may = p->tokens > 0;
    (void)pthread_mutex_unlock(&p->lock);
    if (!may)
        atomic_fetch_sub(&p->running, 1);
    return may;
}

/* What it came to is known only now. */
static void prefetch_ended(struct prefetch *p, uint64_t size)
{
    atomic_fetch_sub(&p->running, 1);
    if (p->rate == 0 || size == 0)
        return;
    (void)pthread_mutex_lock(&p->lock);
    p->tokens -= (int64_t)MIN(size, (uint64_t)INT64_MAX / 4);
    (void)pthread_mutex_unlock(&p->lock);
}

/* --- the queue -------------------------------------------------------------------------------- */

static void prefetch_pump(struct prefetch_worker *w);

static void prefetch_want_clear(struct prefetch_want *want)
{
    want->request = cache_request_unref(want->request);
    *want = (struct prefetch_want){.upstream = NULL};
}

static void prefetch_on_done(void *arg, int res, uint64_t size)
{
    struct prefetch_run *run = arg;
    struct prefetch_worker *w = run->worker;
    struct prefetch *p = w->prefetch;
    run->ahead = NULL;
    prefetch_ended(p, size);
    if (res < 0) {
        metric_add(p->failed, 1);
        if (run->want.by_number)
            prefetch__no_numbers(w, run->want.request);
    } else {
        uint64_t mark = prefetch_mark_of(&run->want.key);
        atomic_store_explicit(&p->fetched[(mark >> 1) & (PREFETCH_USED_SLOTS - 1)], mark,
                              memory_order_relaxed);
        metric_add(p->done, 1);
        metric_add(p->bytes, size);
    }
    prefetch_want_clear(&run->want);
    prefetch_pump(w);
}

static struct prefetch_run *prefetch_free_run(struct prefetch_worker *w)
{
    for (unsigned i = 0; i < PREFETCH_RUNS; i++)
        if (w->runs[i].ahead == NULL)
            return &w->runs[i];
    return NULL;
}

static void prefetch_start(struct prefetch_worker *w, struct prefetch_run *run,
                           struct prefetch_want *want)
{
    run->worker = w;
    run->want = *want;
    *want = (struct prefetch_want){.upstream = NULL};
    struct prefetch_want *mine = &run->want;
    int r = mine->request != NULL
                ? ahead_url(w->worker, mine->request, prefetch_on_done, run, &run->ahead)
                : ahead_blob(w->worker, mine->upstream, &mine->key, false, prefetch_on_done, run,
                             &run->ahead);
    if (r == 0)
        return;
    if (r != -EALREADY)
        metric_add(w->prefetch->failed, 1);
    prefetch_ended(w->prefetch, 0);
    prefetch_want_clear(mine);
}

static void prefetch_on_timer(void *arg)
{
    prefetch_pump(arg);
}

static void prefetch_pump(struct prefetch_worker *w)
{
    uint64_t now_ms = clock_mono_ms();
    while (w->queued > 0) {
        struct prefetch_want *want = &w->queue[w->first % PREFETCH_QUEUE];
        bool late = now_ms - want->wanted_ms > PREFETCH_WAIT_MS;
        struct prefetch_run *run = prefetch_free_run(w);
        if (!late && (run == NULL || !prefetch_may_start(w->prefetch)))
            break;
        w->first++;
        w->queued--;
        if (!late) {
            prefetch_start(w, run, want);
            continue;
        }
        metric_add(w->prefetch->dropped, 1);
        prefetch_want_clear(want);
    }
    if (w->queued > 0 && w->timer.loop == NULL)
        loop_timer_start(w->worker->loop, &w->timer, PREFETCH_TURN_MS, prefetch_on_timer, w);
}

void prefetch__want(struct prefetch_worker *w, const struct prefetch_want *want)
{
    if (w->queued == PREFETCH_QUEUE) { /* the oldest is the least of use */
        prefetch_want_clear(&w->queue[w->first++ % PREFETCH_QUEUE]);
        w->queued--;
        metric_add(w->prefetch->dropped, 1);
    }
    struct prefetch_want *slot = &w->queue[(w->first + w->queued++) % PREFETCH_QUEUE];
    *slot = *want;
    slot->wanted_ms = clock_mono_ms();
    /* Behind the viewer's own request, which is being served on this turn of the loop. */
    if (w->timer.loop == NULL)
        loop_timer_start(w->worker->loop, &w->timer, 0, prefetch_on_timer, w);
}

bool prefetch__is_new(struct prefetch_worker *w, const struct digest *key)
{
    uint64_t mark = prefetch_mark_of(key);
    struct prefetch_seen *s = &w->seen[(mark >> 1) & (PREFETCH_SEEN - 1)];
    uint64_t now_ms = clock_mono_ms();
    if (s->mark == mark && now_ms - s->at_ms < PREFETCH_AGAIN_MS)
        return false;
    *s = (struct prefetch_seen){mark, now_ms};
    return true;
}

/* --- life ------------------------------------------------------------------------------------- */

int prefetch_worker_new(struct edge_worker *w, struct prefetch *p, struct prefetch_worker **ret)
{
    if (p == NULL) {
        *ret = NULL;
        return 0;
    }
    struct prefetch_worker *pw = calloc(1, sizeof *pw);
    if (pw == NULL)
        return -ENOMEM;
    pw->magic = PREFETCH_WORKER_MAGIC;
    pw->prefetch = p;
    pw->worker = w;
    *ret = pw;
    return 0;
}

struct prefetch_worker *prefetch_worker_free(struct prefetch_worker *w)
{
    if (w == NULL)
        return NULL;
    ASSERT(w->magic == PREFETCH_WORKER_MAGIC);
    loop_timer_stop(&w->timer);
    for (; w->queued > 0; w->queued--)
        prefetch_want_clear(&w->queue[w->first++ % PREFETCH_QUEUE]);
    for (unsigned i = 0; i < PREFETCH_RUNS; i++) {
        if (w->runs[i].ahead == NULL)
            continue;
        ahead_cancel(w->runs[i].ahead);
        prefetch_ended(w->prefetch, 0);
        prefetch_want_clear(&w->runs[i].want);
    }
    MAGIC_CLEAR(w);
    free(w);
    return NULL;
}
