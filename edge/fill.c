/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/fill.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "edge/upstream_fetch.h"
#include "edge/upstream_order.h"
#include "edge/upstream_server.h"

#define FILLS_BUCKETS         1024
#define FILLS_ABANDON_WAIT_MS 100

struct fill {
    uint32_t magic;
#define FILL_MAGIC UINT32_C(0xf1110fed)
    _Atomic uint32_t refs;
    bool keep;         /* on disk, even if nobody asks again */
    bool asks_sibling; /* at first */
    struct digest digest;
    struct fills *table;
    struct fill *next; /* in its bucket; under the table's lock */
    bool in_table;

    /* The writer's, on its worker's loop. */
    struct edge_worker *writer;
    const struct upstream *upstream;
    struct digest_state *hash;
    struct upstream_fetch *op;
    uint64_t started_us;
    uint32_t received;

    pthread_mutex_t lock; /* covers what follows */
    enum fill_state state;
    int error;
    uint32_t size;      /* set once, FILL_WAITING -> FILL_ARRIVING */
    uint32_t available; /* bytes that readers may have; == size only once verified */
    struct rbuf *blob;
    uint8_t *space; /* the blob's memory; bytes below `available` do not change any more */
    struct fill_listener *listeners;
};

/* Held by its reader and by a message on its way to the reader's loop. */
struct fill_listener {
    uint32_t magic;
#define FILL_LISTENER_MAGIC UINT32_C(0xf1111157)
    _Atomic uint32_t refs;
    struct fill *fill; /* a reference */
    struct fill_listener *next;
    struct loop *loop;
    loop_cb *cb; /* NULL once unlistened; touched on the loop only */
    void *arg;
    bool posted; /* under the fill's lock: a message is on its way */
};

struct fills {
    uint32_t magic;
#define FILLS_MAGIC UINT32_C(0xf1115ab1)
    pthread_mutex_t lock;
    struct fill *buckets[FILLS_BUCKETS];
};

int fills_new(struct fills **ret)
{
    struct fills *f = calloc(1, sizeof *f);
    if (f == NULL)
        return -ENOMEM;
    f->magic = FILLS_MAGIC;
    (void)pthread_mutex_init(&f->lock, NULL);
    *ret = f;
    return 0;
}

struct fills *fills_free(struct fills *f)
{
    if (f == NULL)
        return NULL;
    ASSERT(f->magic == FILLS_MAGIC);
    for (unsigned i = 0; i < FILLS_BUCKETS; i++)
        ASSERT(f->buckets[i] == NULL);
    (void)pthread_mutex_destroy(&f->lock);
    MAGIC_CLEAR(f);
    free(f);
    return NULL;
}

static struct fill **fills_bucket(struct fills *t, const struct digest *d)
{
    return &t->buckets[(unsigned)(d->bytes[0] << 8 | d->bytes[1]) % FILLS_BUCKETS];
}

static void fill_check(const struct fill *f)
{
    ASSERT(f != NULL);
    ASSERT(f->magic == FILL_MAGIC);
}

struct fill *fill_ref(struct fill *f)
{
    fill_check(f);
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

struct fill *fill_unref(struct fill *f)
{
    if (f == NULL)
        return NULL;
    fill_check(f);
    if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    ASSERT(!f->in_table && f->listeners == NULL);
    (void)pthread_mutex_destroy(&f->lock);
    digest_state_free(f->hash);
    rbuf_unref(f->blob);
    MAGIC_CLEAR(f);
    free(f);
    return NULL;
}

static struct fill_listener *fill_listener_unref(struct fill_listener *l)
{
    ASSERT(l->magic == FILL_LISTENER_MAGIC);
    if (atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    fill_unref(l->fill);
    MAGIC_CLEAR(l);
    free(l);
    return NULL;
}

static void fill_on_message(void *arg)
{
    struct fill_listener *l = arg;
    (void)pthread_mutex_lock(&l->fill->lock);
    l->posted = false;
    (void)pthread_mutex_unlock(&l->fill->lock);
    if (l->cb != NULL)
        l->cb(l->arg);
    fill_listener_unref(l);
}

/* With the fill's lock held. */
static int fill_post(struct fill_listener *l)
{
    if (l->posted)
        return 0;
    atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
    int r = loop_post(l->loop, fill_on_message, l);
    if (r < 0)
        atomic_fetch_sub_explicit(&l->refs, 1,
                                  memory_order_relaxed); /* the reader still holds it */
    else
        l->posted = true;
    return r;
}

static void fill_post_all(struct fill *f)
{
    for (struct fill_listener *l = f->listeners; l != NULL; l = l->next) {
        if (fill_post(l) <
            0) /* out of memory: the next piece, or the client's patience, wakes it */
            log_warn("a waiting reader could not be woken: out of memory");
    }
}

int fill_listen(struct fill *f, struct loop *loop, loop_cb *cb, void *arg,
                struct fill_listener **ret)
{
    fill_check(f);
    struct fill_listener *l = calloc(1, sizeof *l);
    if (l == NULL)
        return -ENOMEM;
    l->magic = FILL_LISTENER_MAGIC;
    atomic_init(&l->refs, 1);
    l->loop = loop;
    l->cb = cb;
    l->arg = arg;
    l->fill = fill_ref(f);
    (void)pthread_mutex_lock(&f->lock);
    int r = fill_post(l);
    if (r == 0) {
        l->next = f->listeners;
        f->listeners = l;
    }
    (void)pthread_mutex_unlock(&f->lock);
    if (r < 0) {
        fill_listener_unref(l);
        return r;
    }
    *ret = l;
    return 0;
}

struct fill_listener *fill_unlisten(struct fill_listener *l)
{
    if (l == NULL)
        return NULL;
    ASSERT(l->magic == FILL_LISTENER_MAGIC);
    struct fill *f = l->fill;
    l->cb = NULL;
    (void)pthread_mutex_lock(&f->lock);
    struct fill_listener **at = &f->listeners;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    (void)pthread_mutex_unlock(&f->lock);
    return fill_listener_unref(l);
}

enum fill_state fill_state(struct fill *f, uint32_t *ret_size, int *ret_error)
{
    fill_check(f);
    (void)pthread_mutex_lock(&f->lock);
    enum fill_state state = f->state;
    *ret_size = f->size;
    *ret_error = f->error;
    (void)pthread_mutex_unlock(&f->lock);
    return state;
}

int fill_read(struct fill *f, uint64_t offset, uint32_t size_max, const uint8_t **ret_data,
              uint32_t *ret_size)
{
    fill_check(f);
    (void)pthread_mutex_lock(&f->lock);
    uint32_t available = f->available;
    int r = 0;
    if (f->state == FILL_FAILED)
        r = f->error;
    else if (f->state == FILL_DONE && offset >= f->size)
        r = -ENODATA;
    else if (offset >= available)
        r = -EAGAIN;
    const uint8_t *space = f->space;
    (void)pthread_mutex_unlock(&f->lock);
    if (r < 0)
        return r;
    *ret_data = space + offset;
    *ret_size = (uint32_t)MIN((uint64_t)size_max, available - offset);
    return 0;
}

struct rbuf *fill_blob(struct fill *f)
{
    fill_check(f);
    (void)pthread_mutex_lock(&f->lock);
    struct rbuf *blob = f->state == FILL_DONE ? rbuf_ref(f->blob) : NULL;
    (void)pthread_mutex_unlock(&f->lock);
    return blob;
}

/* --- the writer's side ------------------------------------------------------------------------ */

/* Out of the table, so that the next who asks starts anew; drops the table's reference. */
static void fill_leave(struct fill *f)
{
    (void)pthread_mutex_lock(&f->table->lock);
    struct fill **at = fills_bucket(f->table, &f->digest);
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    f->in_table = false;
    (void)pthread_mutex_unlock(&f->table->lock);
    fill_unref(f);
}

static void fill_fail(struct fill *f, int error)
{
    char text[DIGEST_TEXT_SIZE];
    digest_format(&f->digest, text);
    log_warn("fetching blob %s failed: %s", text, strerror(-error));
    metric_add(f->writer->edge->metrics.fills_failed, 1);
    (void)pthread_mutex_lock(&f->lock);
    f->state = FILL_FAILED;
    f->error = error;
    fill_post_all(f);
    (void)pthread_mutex_unlock(&f->lock);
    fill_leave(f);
}

static int fill_on_head(void *arg, const struct fetch_head *head)
{
    struct fill *f = arg;
    if (head->status != 200)
        return head->status == 404 ? -ENOENT : -EIO;
    if (head->size == 0 || head->size > STORE_BLOB_MAX) /* also when the size is not told */
        return -EBADMSG;
    struct rbuf *blob = NULL;
    uint8_t *space = NULL;
    int r = store_blob_new((uint32_t)head->size, &blob, &space);
    if (r < 0)
        return r;
    (void)pthread_mutex_lock(&f->lock);
    f->blob = blob;
    f->space = space;
    f->size = (uint32_t)head->size;
    f->state = FILL_ARRIVING;
    fill_post_all(f);
    (void)pthread_mutex_unlock(&f->lock);
    return 0;
}

static int fill_on_data(void *arg, const uint8_t *data, size_t size)
{
    struct fill *f = arg;
    if (f->space == NULL || size > f->size - f->received)
        return -EBADMSG;
    memcpy(f->space + f->received, data, size);
    digest_state_update(f->hash, data, size);
    f->received += (uint32_t)size;
    metric_add(f->writer->edge->metrics.fill_bytes, size);
    (void)pthread_mutex_lock(&f->lock);
    f->available = MIN(f->received, f->size - 1);
    fill_post_all(f);
    (void)pthread_mutex_unlock(&f->lock);
    return 0;
}

static void fill_on_stored(void *arg, int res)
{
    struct fill *f = arg;
    if (res < 0)
        log_warn("caching a blob failed, it was served all the same: %s", strerror(-res));
    fill_leave(f);
}

static void fill_on_done(void *arg, int res, unsigned status)
{
    struct fill *f = arg;
    (void)status; /* fill_on_head has judged it */
    struct upstream_fetch *op = f->op;
    f->op = NULL;
    if (res == 0 && (f->space == NULL || f->received != f->size))
        res = -ECONNRESET;
    if (res == 0) {
        struct digest d = digest_state_final(f->hash);
        if (!digest_eq(&d, &f->digest)) {
            upstream_fetch_blame(op);
            res = -EBADMSG;
        }
    }
    if (res < 0) {
        fill_fail(f, res);
        return;
    }
    metric_observe(f->writer->edge->metrics.fill_seconds,
                   (double)(clock_mono_us() - f->started_us) / 1e6);
    (void)pthread_mutex_lock(&f->lock);
    f->available = f->size;
    f->state = FILL_DONE;
    bool wanted = f->listeners != NULL && f->listeners->next != NULL;
    fill_post_all(f);
    (void)pthread_mutex_unlock(&f->lock);
    /* What is asked for once only stays off the disk; what the edge itself needs does not. */
    store_put(f->writer->store, &f->digest, f->blob,
              STORE_PUT_HOT | STORE_PUT_DIGESTED | (f->keep ? 0u : STORE_PUT_CACHE) |
                  (wanted ? STORE_PUT_WANTED : 0u),
              fill_on_stored, f);
}

static int fill_start(struct fill *f, const struct fields *came)
{
    char text[DIGEST_TEXT_SIZE];
    digest_format(&f->digest, text);
    char path[sizeof "/blob/" + DIGEST_TEXT_SIZE];
    (void)snprintf(path, sizeof path, "/blob/%s", text); /* sized to fit */
    CLEAN_BUF struct buf peer_path = BUF_EMPTY;
    buf_printf(&peer_path, "%s?upstream=%s", path, f->upstream->config->name);
    if (buf_error(&peer_path) < 0)
        return buf_error(&peer_path);
    const struct fetch_request request = {
        .method = "GET",
        .shared = true,
        .on_head = fill_on_head,
        .on_data = fill_on_data,
        .on_done = fill_on_done,
        .arg = f,
    };
    const struct upstream_ask ask = {
        .upstream = f->upstream,
        .key = f->digest,
        .path = str_of(path),
        .peer_path = buf_str(&peer_path),
        .came = *came,
        .request = &request,
    };
    f->started_us = clock_mono_us();
    return upstream_fetch_start(f->writer, &ask, &f->op);
}

static int fill_new(struct edge_worker *w, const struct upstream *u, const struct digest *d,
                    struct fill **ret)
{
    struct fill *f = calloc(1, sizeof *f);
    if (f == NULL)
        return -ENOMEM;
    int r = digest_state_new(&f->hash);
    if (r < 0) {
        free(f);
        return r;
    }
    f->magic = FILL_MAGIC;
    atomic_init(&f->refs, 1);
    f->digest = *d;
    f->table = w->edge->fills;
    f->writer = w;
    f->upstream = u;
    (void)pthread_mutex_init(&f->lock, NULL);
    *ret = f;
    return 0;
}

/* With lists of siblings that differ, two edges could wait for each other: a sibling's question
 * does not wait for what we have asked a sibling, until that answer begins. */
static bool fill_may_be_circle(struct fill *f, const struct fields *came)
{
    if (!f->asks_sibling || !upstream_loop_is_sibling(came))
        return false;
    (void)pthread_mutex_lock(&f->lock);
    bool waits = f->state == FILL_WAITING;
    (void)pthread_mutex_unlock(&f->lock);
    return waits;
}

static bool fill_will_ask_sibling(const struct fill *f, const struct fields *came)
{
    if (f->upstream->config->siblings_count == 0)
        return false;
    struct upstream_order order;
    upstream_order(f->upstream, &f->digest, came, true, clock_mono_ms(), &order);
    return order.servers_from > 0 && order.at[0]->role == UPSTREAM_SIBLING;
}

int fills_join(struct edge_worker *w, const struct upstream *u, const struct digest *d,
               const struct fields *came, unsigned flags, struct fill **ret, bool *ret_started)
{
    struct fills *t = w->edge->fills;
    ASSERT(t->magic == FILLS_MAGIC);
    struct fill *fresh = NULL;
    int r = fill_new(w, u, d, &fresh);
    if (r < 0)
        return r;
    fresh->keep = (flags & FILL_KEEP) != 0;
    fresh->asks_sibling = fill_will_ask_sibling(fresh, came);
    (void)pthread_mutex_lock(&t->lock);
    struct fill **bucket = fills_bucket(t, d);
    struct fill *f = *bucket;
    while (f != NULL && !digest_eq(&f->digest, d))
        f = f->next;
    if (f != NULL && fill_may_be_circle(f, came))
        r = -EBUSY;
    else if (f != NULL)
        fill_ref(f);
    else if (store_has(w->store, d)) /* stored between the caller's look and ours */
        r = -EALREADY;
    else {
        fresh->next = *bucket; /* the table's reference is the first one */
        fresh->in_table = true;
        *bucket = fresh;
        fill_ref(fresh);
    }
    (void)pthread_mutex_unlock(&t->lock);
    if (r < 0 || f != NULL) {
        fill_unref(fresh);
        if (r == 0) {
            *ret = f;
            *ret_started = false;
        }
        return r;
    }
    r = fill_start(fresh, came);
    if (r < 0)
        fill_fail(fresh, r); /* those who joined meanwhile hear of it; so does our caller */
    *ret = fresh;
    *ret_started = true;
    return 0;
}

/* Some fill of w's, referenced, or NULL. */
static struct fill *fills_find_of(struct fills *t, const struct edge_worker *w)
{
    struct fill *found = NULL;
    (void)pthread_mutex_lock(&t->lock);
    for (unsigned i = 0; i < FILLS_BUCKETS && found == NULL; i++) {
        struct fill *f = t->buckets[i];
        while (f != NULL && f->writer != w)
            f = f->next;
        if (f != NULL)
            found = fill_ref(f);
    }
    (void)pthread_mutex_unlock(&t->lock);
    return found;
}

void fills_abandon(struct edge_worker *w)
{
    struct fill *f;
    while ((f = fills_find_of(w->edge->fills, w)) != NULL) {
        if (f->op != NULL) {
            upstream_fetch_cancel(f->op);
            f->op = NULL;
            fill_fail(f, -ECANCELED);
        } else {
            /* With the store: its answer takes the fill out of the table. */
            struct pollfd ready = {.fd = store_worker_event_fd(w->store), .events = POLLIN};
            (void)poll(&ready, 1, FILLS_ABANDON_WAIT_MS); /* a time-out only means another round */
            store_worker_poll(w->store);
        }
        fill_unref(f);
    }
}
