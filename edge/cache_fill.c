/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/cache_fill.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"

#define CACHE_FIRST_BUFFER    (UINT32_C(64) << 10) /* of a body whose size nobody knows */
#define CACHE_MEMORY_LOOK_MS  5
#define CACHE_ABANDON_WAIT_MS 100

static void fill_check(const struct cache_fill *f)
{
    ASSERT(f != NULL);
    ASSERT(f->magic == CACHE_FILL_MAGIC);
}

struct cache_fill *cache_fill_ref(struct cache_fill *f)
{
    fill_check(f);
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

struct cache_fill *cache_fill_unref(struct cache_fill *f)
{
    if (f == NULL)
        return NULL;
    fill_check(f);
    if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    ASSERT(f->op == NULL && !f->asked && !f->in_body && f->block == NULL && f->puts == 0);
    cache_object_unref(f->answer.object);
    cache_object_unref(f->object);
    cache_object_unref(f->kept);
    cache_request_unref(f->request);
    MAGIC_CLEAR(f);
    free(f);
    return NULL;
}

/* --- holding the upstream back ---------------------------------------------------------------- */

void cache_fill_hold(struct cache_fill *f, unsigned why, bool held)
{
    unsigned before = f->held;
    f->held = held ? before | why : before & ~why;
    if (f->op != NULL && (before != 0) != (f->held != 0))
        upstream_fetch_pause(f->op, f->held != 0);
}

static void fill_on_memory(void *arg)
{
    struct cache_fill *f = arg;
    if (atomic_load_explicit(&f->cache->fill_memory, memory_order_relaxed) < CACHE_FILL_MEMORY)
        cache_fill_hold(f, CACHE_HELD_MEMORY, false);
    else
        loop_timer_start(f->worker->worker->loop, &f->memory_timer, CACHE_MEMORY_LOOK_MS,
                         fill_on_memory, f);
}

/* Whoever is over the limit has one block all the same, so none waits for what never comes. */
static void fill_hold_for_memory(struct cache_fill *f)
{
    if (atomic_load_explicit(&f->cache->fill_memory, memory_order_relaxed) < CACHE_FILL_MEMORY)
        return;
    cache_fill_hold(f, CACHE_HELD_MEMORY, true);
    loop_timer_start(f->worker->worker->loop, &f->memory_timer, CACHE_MEMORY_LOOK_MS,
                     fill_on_memory, f);
}

/* Whether what nobody reads any more is worth finishing: docs/cache.md. */
static bool fill_is_worth_it(const struct cache_fill *f)
{
    uint64_t size = cache_body_size(f->object->body);
    uint64_t end = f->end != CACHE_SIZE_UNKNOWN ? f->end : size;
    if (end == CACHE_SIZE_UNKNOWN)
        return f->at <= CACHE_SMALL;
    return size <= CACHE_SMALL || end - f->at <= CACHE_NEAR_END;
}

/* After each block, and when readers go on or leave. False: it was ended. */
static bool fill_look_around(struct cache_fill *f)
{
    uint32_t readers, furthest;
    struct cache_body *b = f->object->body;
    cache_body_readers(b, &readers, &furthest);
    bool watched = readers > 0 || atomic_load_explicit(&f->waiters, memory_order_acquire) > 0;
    if (cache_body_error(b) < 0) {
        cache_fill_cancel(f, cache_body_error(b));
        return false;
    }
    if (!watched && !fill_is_worth_it(f)) {
        cache_fill_cancel(f, -ECANCELED);
        return false;
    }
    uint64_t size = cache_body_size(b);
    uint64_t ahead = f->request->route->cache.fill_ahead;
    uint64_t read_to = cache_block_start(furthest + 1, b->block_size);
    bool far = watched && size > CACHE_LARGE && f->at > read_to && f->at - read_to > ahead;
    cache_fill_hold(f, CACHE_HELD_AHEAD, far);
    return true;
}

static void fill_on_poke(void *arg)
{
    struct cache_fill *f = arg;
    atomic_store_explicit(&f->poked, false, memory_order_release);
    if (f->state == CACHE_FILL_FILLING && f->op != NULL)
        (void)fill_look_around(f);
    cache_fill_unref(f);
}

static void fill_poke(struct cache_front *front)
{
    struct cache_fill *f = CONTAINER_OF(front, struct cache_fill, front);
    if (atomic_exchange_explicit(&f->poked, true, memory_order_acq_rel))
        return;
    cache_fill_ref(f);
    if (loop_post(f->worker->worker->loop, fill_on_poke, f) == 0)
        return;
    atomic_store_explicit(&f->poked, false, memory_order_release);
    atomic_fetch_sub_explicit(&f->refs, 1, memory_order_relaxed); /* the caller knows of another */
}

/* --- the end ---------------------------------------------------------------------------------- */

static void fill_drop_block(struct cache_fill *f)
{
    if (f->block == NULL)
        return;
    atomic_fetch_sub_explicit(&f->cache->fill_memory, f->block_cap, memory_order_relaxed);
    f->block = rbuf_unref(f->block);
    f->space = NULL;
}

static void fill_leave_body(struct cache_fill *f)
{
    fill_drop_block(f);
    if (!f->in_body)
        return;
    f->in_body = false;
    cache_body_leave_front(f->object->body, &f->front);
}

/* Out of its worker's list, once nothing of it is under way. */
static void fill_end_if_idle(struct cache_fill *f)
{
    if (f->op != NULL || f->puts > 0 || f->state == CACHE_FILL_ENDED)
        return;
    f->state = CACHE_FILL_ENDED;
    cache_ask_end(f);
    *(f->prev != NULL ? &f->prev->next : &f->worker->fills) = f->next;
    if (f->next != NULL)
        f->next->prev = f->prev;
    /* All its blocks are in the store: now the record may name them. */
    if (f->object != NULL && (f->result == 0 || !f->whole))
        cache_table_keep(f->cache->table, f->object);
    f->worker = NULL;
    cache_fill_unref(f);
}

static void fill_forget(struct cache_fill *f, int error)
{
    struct cache_object *o = f->object;
    cache_body_fail(o->body, error);
    cache_table_remove(f->cache->table, &o->key, o);
}

/* It stopped because nobody reads it: what is known of it is right, if the rest can be asked for,
 * and told apart from what the upstream may have next time. */
static bool fill_may_stay(const struct cache_fill *f, int error)
{
    struct str ranges = fields_get(&f->object->kept, STR("accept-ranges"));
    return error == -ECANCELED && f->object->can_extend && str_eq_nocase(ranges, STR("bytes")) &&
           cache_body_size(f->object->body) != CACHE_SIZE_UNKNOWN;
}

static void fill_failed(struct cache_fill *f, int error)
{
    f->result = error;
    loop_timer_stop(&f->memory_timer);
    if (f->answer.outcome == CACHE_PENDING && f->kind == CACHE_FILL_ASK)
        cache_ask_settle(f, &(struct cache_answer){.outcome = CACHE_FAILED, .error = error});
    if (f->object != NULL && f->state == CACHE_FILL_FILLING) {
        if (error != -ECANCELED) {
            metric_add(f->cache->metrics.fills_failed, 1);
            log_warn("filling " STR_FMT " failed: %s", STR_ARG(f->request->key), strerror(-error));
        }
        if (error == -ESTALE || (f->whole && !fill_may_stay(f, error)))
            fill_forget(f, error == -ECANCELED ? -ECONNRESET : error);
        else if (f->whole)
            f->whole = false; /* a part by now, and to be kept as one */
    }
    fill_leave_body(f);
}

void cache_fill_cancel(struct cache_fill *f, int error)
{
    fill_check(f);
    if (f->op == NULL)
        return;
    upstream_fetch_cancel(f->op);
    f->op = NULL;
    cache_fill_ref(f);
    fill_failed(f, error);
    fill_end_if_idle(f);
    cache_fill_unref(f);
}

/* --- blocks ----------------------------------------------------------------------------------- */

struct fill_put {
    struct cache_fill *fill;
    struct digest digest;
    uint32_t block, size;
};

static void fill_on_put(void *arg, int res)
{
    struct fill_put *p = arg;
    struct cache_fill *f = p->fill;
    bool stored = res == 0;
    if (!stored) {
        /* Perhaps it is in RAM at least. The answer was right all the same. */
        log_warn("caching a block failed: %s", strerror(-res));
        struct rbuf *hot = store_peek_own(f->worker->worker->store, &p->digest);
        stored = hot != NULL;
        rbuf_unref(hot);
    }
    cache_body_landed(f->object->body, p->block, &p->digest, stored);
    atomic_fetch_sub_explicit(&f->cache->fill_memory, p->size, memory_order_relaxed);
    free(p);
    f->puts--;
    if (f->puts < CACHE_PUTS_MAX)
        cache_fill_hold(f, CACHE_HELD_PUTS, false);
    fill_end_if_idle(f);
}

/* More than one is reading it, or the one comes to it so late that RAM may have given it up. */
static bool fill_is_wanted(const struct cache_fill *f)
{
    uint32_t readers, furthest;
    struct cache_body *b = f->object->body;
    cache_body_readers(b, &readers, &furthest);
    return readers > 1 ||
           (readers == 1 && cache_block_start(f->front.block, b->block_size) >
                                cache_block_start(furthest, b->block_size) + CACHE_SOON);
}

/* What cannot be fetched again block by block must be on disk while somebody may still come to
 * it. */
static unsigned fill_put_flags(const struct cache_fill *f)
{
    bool one = f->end != CACHE_SIZE_UNKNOWN && f->end <= f->object->body->block_size;
    return STORE_PUT_HOT | STORE_PUT_DIGESTED |
           (one || f->object->can_extend ? STORE_PUT_CACHE : 0) |
           (fill_is_wanted(f) ? STORE_PUT_WANTED : 0);
}

/* bytes: the block, whole. Takes over what the fill counted for its memory. */
static int fill_put_block(struct cache_fill *f, struct rbuf *bytes)
{
    uint32_t size;
    const uint8_t *data = rbuf_data(bytes, &size);
    struct fill_put *p = malloc(sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    *p = (struct fill_put){f, digest_of(data, size), f->front.block, f->block_cap};
    int r = cache_body_block(f->object->body, &f->front, &p->digest, bytes);
    if (r < 0) {
        free(p);
        return r == -EBADMSG ? -ESTALE : r;
    }
    f->block = rbuf_unref(f->block);
    f->space = NULL;
    f->puts++;
    if (f->puts >= CACHE_PUTS_MAX)
        cache_fill_hold(f, CACHE_HELD_PUTS, true);
    store_put(f->worker->worker->store, &p->digest, bytes, fill_put_flags(f), fill_on_put, p);
    return 0;
}

static int fill_block_done(struct cache_fill *f)
{
    struct rbuf *bytes = rbuf_ref(f->block);
    int r = fill_put_block(f, bytes);
    rbuf_unref(bytes);
    return r;
}

/* A buffer of that capacity, with what the present one has. Readers may still look at that. */
static int fill_buffer(struct cache_fill *f, uint32_t cap)
{
    struct rbuf *fresh = NULL;
    uint8_t *space = NULL;
    int r = store_blob_new(cap, &fresh, &space);
    if (r < 0)
        return r;
    if (f->block != NULL && f->space != NULL) /* both or none */
        memcpy(space, f->space, f->block_used);
    else
        f->block_used = 0;
    fill_drop_block(f);
    f->block = fresh;
    f->space = space;
    f->block_cap = cap;
    atomic_fetch_add_explicit(&f->cache->fill_memory, cap, memory_order_relaxed);
    cache_body_buffer(f->object->body, &f->front, rbuf_ref(fresh), space, f->block_used);
    return 0;
}

/* Room for a byte at f->at. */
static int fill_room(struct cache_fill *f)
{
    uint32_t block_size = f->object->body->block_size;
    uint64_t size = cache_body_size(f->object->body);
    if (f->block == NULL) {
        fill_hold_for_memory(f);
        uint32_t cap = size != CACHE_SIZE_UNKNOWN
                           ? cache_block_length(size, block_size, f->front.block)
                           : (f->at == 0 ? MIN(CACHE_FIRST_BUFFER, block_size) : block_size);
        return fill_buffer(f, cap);
    }
    return f->block_used < f->block_cap ? 0 : fill_buffer(f, MIN(f->block_cap * 4, block_size));
}

static bool fill_block_is_full(const struct cache_fill *f)
{
    const struct cache_body *b = f->object->body;
    uint64_t size = cache_body_size(b);
    return size != CACHE_SIZE_UNKNOWN ? f->block_used == f->block_cap
                                      : f->block_used == b->block_size;
}

static int fill_take(struct cache_fill *f, const uint8_t *data, size_t size)
{
    while (size > 0) {
        if (f->end != CACHE_SIZE_UNKNOWN && f->at >= f->end)
            return -EBADMSG; /* more than it said */
        int r = fill_room(f);
        if (r < 0)
            return r;
        ASSERT(f->space != NULL);
        size_t n = MIN(size, (size_t)(f->block_cap - f->block_used));
        memcpy(f->space + f->block_used, data, n);
        f->block_used += (uint32_t)n;
        f->at += n;
        data += n;
        size -= n;
        if (!fill_block_is_full(f)) {
            cache_body_available(f->object->body, &f->front, f->block_used);
            continue;
        }
        r = fill_block_done(f);
        if (r < 0)
            return r;
    }
    return 0;
}

/* What is behind the last full block; and the size, if that was not known. */
static int fill_finish(struct cache_fill *f)
{
    if (f->end != CACHE_SIZE_UNKNOWN)
        return f->at == f->end ? 0 : -ECONNRESET;
    int r = 0;
    if (f->block != NULL && f->block_used > 0) {
        struct rbuf *bytes = NULL;
        r = rbuf_copy(f->space, f->block_used, &bytes);
        if (r == 0)
            r = fill_put_block(f, bytes);
        rbuf_unref(bytes);
    }
    if (r == 0)
        cache_body_end(f->object->body, f->at);
    return r;
}

/* --- the upstream's side ---------------------------------------------------------------------- */

static int fill_on_head(void *arg, const struct fetch_head *head)
{
    struct cache_fill *f = arg;
    fill_check(f);
    cache_fill_ref(f); /* a client that is just leaving ends it from in there */
    int r = cache_fill_head(f, head);
    if (f->op == NULL)
        r = -ECANCELED;
    cache_fill_unref(f);
    return r;
}

static int fill_on_data(void *arg, const uint8_t *data, size_t size)
{
    struct cache_fill *f = arg;
    fill_check(f);
    if (f->state == CACHE_FILL_PASSING)
        return f->taker->data(f->taker_arg, data, size);
    if (f->state != CACHE_FILL_FILLING)
        return 0; /* of an answer whose head said all */
    metric_add(f->cache->metrics.fill_bytes, size);
    uint32_t block = f->front.block;
    int r = fill_take(f, data, size);
    if (r < 0)
        return r;
    /* The library is calling: what would end the fetch now does so on the next turn. */
    if (f->front.block != block)
        f->front.poke(&f->front);
    return 0;
}

static void fill_on_done(void *arg, int res, unsigned status)
{
    struct cache_fill *f = arg;
    fill_check(f);
    (void)status; /* cache_fill_head has seen it */
    f->op = NULL;
    loop_timer_stop(&f->memory_timer);
    cache_fill_ref(f);
    if (res == 0 && f->state == CACHE_FILL_FILLING && f->object != NULL)
        res = fill_finish(f);
    if (res == 0 && f->state == CACHE_FILL_FILLING)
        metric_observe(f->worker->worker->edge->metrics.fill_seconds,
                       (double)(clock_mono_us() - f->began_us) / 1e6);
    if (f->state == CACHE_FILL_PASSING)
        f->taker->done(f->taker_arg, res);
    else if (f->state == CACHE_FILL_HEAD && f->kind == CACHE_FILL_PASS)
        f->taker->done(f->taker_arg, res == 0 ? -EBADMSG : res);
    if (res < 0 || (f->kind == CACHE_FILL_ASK && f->answer.outcome == CACHE_PENDING))
        fill_failed(f, res == 0 ? -EBADMSG : res);
    fill_leave_body(f);
    fill_end_if_idle(f);
    cache_fill_unref(f);
}

int cache_fill_begin(struct cache_fill *f, struct cache_object *o, uint64_t first, uint64_t end)
{
    uint32_t block_size = o->body->block_size;
    f->at = first;
    f->end = end;
    if (f->object == NULL)
        f->object = cache_object_ref(o);
    f->state = CACHE_FILL_FILLING;
    if (end == first || f->in_body)
        return 0;
    f->front.block = cache_block_of(first, block_size);
    f->front.end = end == CACHE_SIZE_UNKNOWN ? UINT32_MAX : cache_block_of(end - 1, block_size) + 1;
    int r = cache_body_claim(o->body, &f->front);
    f->in_body = r == 0;
    return r;
}

/* --- beginning -------------------------------------------------------------------------------- */

static int fill_send(struct cache_fill *f)
{
    struct cache_ask_how how = {
        .method = f->kind == CACHE_FILL_PASS ? f->request->method : "GET",
        .as_it_is = f->kind == CACHE_FILL_PASS,
        .ranged = f->ranged,
        .first = f->first,
        .last = f->last,
        .if_range = f->kind == CACHE_FILL_GAP,
    };
    if (f->kind == CACHE_FILL_GAP)
        how.valid = &f->object->kept;
    else if (f->validate)
        how.valid = &f->kept->kept;
    struct fetch_request callbacks = {
        .on_head = fill_on_head,
        .on_data = fill_on_data,
        .on_done = fill_on_done,
        .arg = f,
    };
    f->request_s = clock_real_s();
    f->began_us = clock_mono_us();
    return cache_request_send(f->worker, f->request, &how, &callbacks, &f->op);
}

/* GAP: what it will write is claimed before it asks, so that nobody else asks for the same. */
static int fill_claim(struct cache_fill *f, const struct cache_fill_want *want)
{
    struct cache_body *b = f->object->body;
    f->front.block = want->block;
    f->front.end = want->end;
    int r = cache_body_claim(b, &f->front);
    if (r < 0)
        return r;
    f->in_body = true;
    uint64_t size = cache_body_size(b);
    f->ranged = true;
    f->first = cache_block_start(f->front.block, b->block_size);
    f->last = MIN(cache_block_start(f->front.end, b->block_size), size) - 1;
    return 0;
}

int cache_fill_start(struct cache_worker *w, const struct cache_fill_want *want,
                     struct cache_fill **ret)
{
    struct cache_fill *f = calloc(1, sizeof *f);
    if (f == NULL)
        return -ENOMEM;
    f->magic = CACHE_FILL_MAGIC;
    atomic_init(&f->refs, 2); /* the worker's list and the caller */
    f->cache = w->cache;
    f->worker = w;
    f->kind = want->kind;
    f->request = cache_request_ref(want->request);
    f->primary = want->primary;
    f->key = want->key;
    f->validate = want->validate;
    f->stale_may = want->stale_may;
    f->ranged = want->ranged;
    f->first = want->first;
    f->last = want->last;
    f->plain = !want->ranged && !want->validate;
    f->taker = want->taker;
    f->taker_arg = want->taker_arg;
    f->front.poke = fill_poke;
    f->sequence = w->cache->objects == NULL ? 0 : objects_sequence(w->cache->objects);
    if (want->object != NULL && want->kind == CACHE_FILL_GAP)
        f->object = cache_object_ref(want->object);
    else if (want->object != NULL)
        f->kept = cache_object_ref(want->object);
    f->next = w->fills;
    if (w->fills != NULL)
        w->fills->prev = f;
    w->fills = f;
    int r = f->kind == CACHE_FILL_GAP ? fill_claim(f, want) : 0;
    if (r == 0)
        r = fill_send(f);
    if (r < 0) {
        fill_leave_body(f);
        f->result = r;
        f->whole = true; /* nothing new to keep */
        fill_end_if_idle(f);
        cache_fill_unref(f);
        return r;
    }
    *ret = f;
    return 0;
}

void cache_fills_abandon(struct cache_worker *w)
{
    struct store_worker *store = w->worker->store;
    for (struct cache_fill *f = w->fills, *next; f != NULL; f = next) {
        next = f->next;
        cache_fill_cancel(f, -ESHUTDOWN);
    }
    while (w->fills != NULL) { /* with the store: its answer ends them */
        struct pollfd ready = {.fd = store_worker_event_fd(store), .events = POLLIN};
        (void)poll(&ready, 1, CACHE_ABANDON_WAIT_MS); /* a time-out only means another round */
        store_worker_poll(store);
    }
}
