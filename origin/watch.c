/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/watch.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "base/events.h"
#include "base/id.h"
#include "base/log.h"
#include "origin/origin.h"

#define WATCH_BATCH 16 /* moves that are written at once */
#define WATCH_EPOCH 8  /* hex digits */

struct watch_sub {
    uint32_t magic;
#define WATCH_SUB_MAGIC UINT32_C(0x3a7c45ab)
    _Atomic uint32_t refs; /* the stream's, and a message's on its way */
    struct watch *watch;
    struct watch_sub *next, *prev; /* under the watch's lock */
    bool posted;                   /* the same */
    struct loop *loop;

    /* On the loop only. */
    struct http_req *req; /* NULL: the stream has ended */
    struct loop_timer beat;
    uint64_t position; /* of the next move in the log */
    bool resumed;      /* it has missed nothing since its Last-Event-ID */
    bool live;         /* it has been told that it knows all */
    bool beat_due;
    struct buf text; /* lent to the response; its first byte is at base */
    uint64_t base;
};

struct watch {
    uint32_t magic;
#define WATCH_MAGIC UINT32_C(0x3a7c4000)
    char epoch[WATCH_EPOCH + 1]; /* of this life: positions of another mean nothing */
    struct metric *subscribers;
    pthread_mutex_t lock; /* covers what follows */
    bool closed;
    unsigned count;
    struct watch_sub *first;
    uint64_t end; /* moves so far */
    char log[WATCH_LOG_MAX][STORE_NAME_MAX + 1];
};

int watch_new(struct metrics *metrics, struct watch **ret)
{
    struct watch *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    char id[ID_TEXT_SIZE];
    id_text(id);
    memcpy(w->epoch, id, WATCH_EPOCH);
    w->magic = WATCH_MAGIC;
    w->subscribers = metrics_gauge(metrics, "weir_origin_watchers",
                                   "Streams of moved refs that are being read.", "");
    (void)pthread_mutex_init(&w->lock, NULL);
    *ret = w;
    return 0;
}

struct watch *watch_free(struct watch *w)
{
    if (w == NULL)
        return NULL;
    ASSERT(w->magic == WATCH_MAGIC);
    ASSERT(w->first == NULL);
    (void)pthread_mutex_destroy(&w->lock);
    MAGIC_CLEAR(w);
    free(w);
    return NULL;
}

static struct watch_sub *watch_sub_unref(struct watch_sub *s)
{
    ASSERT(s->magic == WATCH_SUB_MAGIC);
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    buf_free(&s->text);
    MAGIC_CLEAR(s);
    free(s);
    return NULL;
}

static void watch_on_message(void *arg)
{
    struct watch_sub *s = arg;
    (void)pthread_mutex_lock(&s->watch->lock);
    s->posted = false;
    (void)pthread_mutex_unlock(&s->watch->lock);
    if (s->req != NULL)
        http_req_wake(s->req);
    watch_sub_unref(s);
}

/* With the lock held. A listed subscriber's loop runs: it leaves the list before its loop ends. */
static void watch_wake_all(struct watch *w)
{
    for (struct watch_sub *s = w->first; s != NULL; s = s->next) {
        if (s->posted)
            continue;
        atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
        s->posted = loop_post(s->loop, watch_on_message, s) == 0;
        if (!s->posted) /* out of memory: its next beat finds the move */
            atomic_fetch_sub_explicit(&s->refs, 1, memory_order_relaxed);
    }
}

void watch_close(struct watch *w)
{
    ASSERT(w->magic == WATCH_MAGIC);
    (void)pthread_mutex_lock(&w->lock);
    w->closed = true;
    watch_wake_all(w);
    (void)pthread_mutex_unlock(&w->lock);
}

void watch_moved(struct watch *w, struct str asset)
{
    ASSERT(w->magic == WATCH_MAGIC);
    (void)pthread_mutex_lock(&w->lock);
    int r = str_copy(asset, w->log[w->end % WATCH_LOG_MAX], sizeof w->log[0]);
    ASSERT(r == 0); /* a stored ref's name */
    w->end++;
    watch_wake_all(w);
    (void)pthread_mutex_unlock(&w->lock);
}

/* --- what a subscriber is told ---------------------------------------------------------------- */

static void watch_write(struct watch_sub *s, struct str name, const json_t *data)
{
    char id[64];
    (void)snprintf(id, sizeof id, "%s-%llu", s->watch->epoch, (unsigned long long)s->position);
    char *text = data == NULL ? NULL : json_dumps(data, JSON_COMPACT);
    if (text == NULL)
        s->text.error = -ENOMEM; /* the stream breaks off: better than a move left out */
    else
        event_write(&s->text, name, str_of(id), str_of(text));
    free(text);
}

static void watch_write_move(struct watch_sub *s, const char *asset)
{
    const struct origin_worker *worker = http_req_worker(s->req);
    struct store_ref ref;
    int r = store_ref_get(worker->store, str_of(asset), &ref);
    json_t *data = NULL;
    if (r == 0) {
        char digest[DIGEST_TEXT_SIZE];
        digest_format(&ref.presentation, digest);
        data = json_pack("{s:s, s:s, s:I}", "asset", asset, "presentation", digest, "generation",
                         (json_int_t)ref.generation);
    } else if (r == -ENOENT) {
        data = json_pack("{s:s, s:n, s:n}", "asset", asset, "presentation", "generation");
    }
    watch_write(s, STR("ref"), data);
    json_decref(data);
}

static void watch_write_mark(struct watch_sub *s, const char *name, const char *key, bool value)
{
    json_t *data = json_pack("{s:b}", key, value);
    watch_write(s, str_of(name), data);
    json_decref(data);
}

/* Fills text with what has happened since; leaves it empty when nothing has. */
static int watch_gather(struct watch_sub *s)
{
    struct watch *w = s->watch;
    char names[WATCH_BATCH][STORE_NAME_MAX + 1];
    unsigned count = 0;
    (void)pthread_mutex_lock(&w->lock);
    bool closed = w->closed;
    uint64_t end = w->end;
    uint64_t oldest = end > WATCH_LOG_MAX ? end - WATCH_LOG_MAX : 0;
    bool lost = s->position < oldest;
    uint64_t from = lost ? end : s->position;
    for (; count < WATCH_BATCH && from + count < end; count++)
        memcpy(names[count], w->log[(from + count) % WATCH_LOG_MAX], sizeof names[0]);
    (void)pthread_mutex_unlock(&w->lock);
    if (closed)
        return -ENODATA;
    if (lost) {
        s->position = end;
        s->resumed = false;
        if (s->live)
            watch_write_mark(s, "lost", "lost", true);
    }
    for (unsigned i = 0; i < count; i++) {
        s->position++;
        watch_write_move(s, names[i]);
    }
    if (!s->live && s->position >= end) {
        s->live = true;
        watch_write_mark(s, "live", "resumed", s->resumed);
    }
    if (s->text.size == 0 && s->beat_due)
        buf_puts(&s->text, ":\n\n");
    s->beat_due = false;
    return buf_error(&s->text);
}

static int watch_read(void *source, uint64_t offset, uint32_t size_max, const uint8_t **ret_data,
                      uint32_t *ret_size)
{
    struct watch_sub *s = source;
    ASSERT(s->magic == WATCH_SUB_MAGIC);
    if (offset < s->base || offset - s->base > s->text.size)
        return -EIO;
    if (offset - s->base == s->text.size) {
        s->base = offset;
        buf_clear(&s->text);
        int r = watch_gather(s);
        if (r < 0)
            return r;
        if (s->text.size == 0)
            return -EAGAIN;
    }
    size_t at = (size_t)(offset - s->base);
    *ret_data = (const uint8_t *)s->text.data + at;
    *ret_size = (uint32_t)MIN((size_t)size_max, s->text.size - at);
    return 0;
}

static void watch_on_beat(void *arg)
{
    struct watch_sub *s = arg;
    s->beat_due = true;
    loop_timer_start(s->loop, &s->beat, WATCH_BEAT_MS, watch_on_beat, s);
    http_req_wake(s->req);
}

static void watch_on_end(void *source)
{
    struct watch_sub *s = source;
    struct watch *w = s->watch;
    loop_timer_stop(&s->beat);
    (void)pthread_mutex_lock(&w->lock);
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        w->first = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    w->count--;
    metric_set(w->subscribers, w->count);
    (void)pthread_mutex_unlock(&w->lock);
    struct http_req *req = s->req;
    s->req = NULL;
    watch_sub_unref(s);
    http_req_unref(req);
}

/* --- subscribing ------------------------------------------------------------------------------ */

/* Where "<epoch>-<position>" goes on; false: it is of another life, or none. With the lock held. */
static bool watch_resume(const struct watch *w, struct str id, uint64_t *ret)
{
    struct str number;
    uint64_t position;
    struct str epoch = str_cut(id, '-', &number);
    if (!str_eq(epoch, str_of(w->epoch)) || str_to_u64(number, &position) < 0 || position > w->end)
        return false;
    *ret = position;
    return true;
}

/* False: no more are taken. */
static bool watch_join(struct watch *w, struct watch_sub *s)
{
    struct str id = http_req_header(s->req, "last-event-id");
    (void)pthread_mutex_lock(&w->lock);
    bool taken = !w->closed && w->count < WATCH_SUBSCRIBERS_MAX;
    if (taken) {
        s->position = w->end;
        s->resumed = watch_resume(w, id, &s->position);
        s->next = w->first;
        if (w->first != NULL)
            w->first->prev = s;
        w->first = s;
        w->count++;
        metric_set(w->subscribers, w->count);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return taken;
}

void watch_serve(struct watch *w, struct http_req *req)
{
    static const struct http_source_ops ops = {watch_read, watch_on_end};
    ASSERT(w->magic == WATCH_MAGIC);
    struct watch_sub *s = calloc(1, sizeof *s);
    if (s != NULL) {
        s->magic = WATCH_SUB_MAGIC;
        s->refs = 1;
        s->watch = w;
        s->req = http_req_ref(req);
        s->loop = http_req_loop(req);
    }
    if (s == NULL || !watch_join(w, s)) {
        if (s != NULL) {
            http_req_unref(s->req);
            watch_sub_unref(s);
        }
        http_reply_error(req, 503, "BUSY", "no further watcher is taken now, try again");
        return;
    }
    loop_timer_start(s->loop, &s->beat, WATCH_BEAT_MS, watch_on_beat, s);
    const struct http_entity e = {
        .type = "text/event-stream",
        .cache_control = "no-store",
        .source_ops = &ops,
        .source = s,
        .size = HTTP_SIZE_UNKNOWN,
    };
    http_reply_entity(req, &e);
}
