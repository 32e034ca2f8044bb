/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/warm.h"
#include <errno.h>
#include <stdlib.h>
#include "base/id.h"
#include "edge/assets.h"
#include "edge/cache_request.h"
#include "edge/warm_priv.h"
#include "media/view.h"

#define WARM_TURN 64u /* items begun in one turn of the loop: most may be here already */

/* --- the queue -------------------------------------------------------------------------------- */

void warm__append(struct warm *w, struct warm_item *item)
{
    item->next = NULL;
    *w->end = item;
    w->end = &item->next;
    w->queued++;
}

void warm__forget(struct warm *w)
{
    while (w->first != NULL) {
        struct warm_item *next = w->first->next;
        free(w->first);
        w->first = next;
    }
    w->end = &w->first;
    w->queued = 0;
}

/* With the lock held. */
static void warm_note_failure(struct warm *w, const struct warm_item *item, int error)
{
    char digest[DIGEST_TEXT_SIZE];
    const char *text = item->text;
    if (item->upstream != NULL) {
        digest_format(&item->blob, digest);
        text = digest;
    }
    struct warm_failure *f = &w->failures[w->failures_next++ % WARM_FAILURES];
    free(f->text);
    *f = (struct warm_failure){str_dup(str_of(text)), error};
}

static void warm_count(struct warm *w, const struct warm_item *item, int res, uint64_t size)
{
    (void)pthread_mutex_lock(&w->lock);
    if (res == 0) {
        w->fetched++;
        w->bytes += size;
    } else if (res == -EALREADY) {
        w->here++;
    } else {
        w->failed++;
        warm_note_failure(w, item, res);
    }
    (void)pthread_mutex_unlock(&w->lock);
}

/* --- one item --------------------------------------------------------------------------------- */

static void warm_end(struct warm_run *run)
{
    struct warm *w = run->warm;
    free(run->item);
    run->item = NULL;
    (void)pthread_mutex_lock(&w->lock);
    w->running--;
    struct edge_worker *worker = w->worker;
    (void)pthread_mutex_unlock(&w->lock);
    if (worker != NULL && w->timer.loop == NULL)
        loop_timer_start(worker->loop, &w->timer, 0, warm__pump, w);
}

static void warm_on_done(void *arg, int res, uint64_t size)
{
    struct warm_run *run = arg;
    run->ahead = NULL;
    warm_count(run->warm, run->item, res, size);
    warm_end(run);
}

struct warm_naming {
    struct warm *warm;
    const struct upstream *upstream;
    int error;
};

static bool warm_take_blob(void *arg, const struct digest *d, uint32_t size)
{
    struct warm_naming *n = arg;
    (void)size;
    struct warm_item *item = calloc(1, sizeof *item + 1);
    if (item == NULL) {
        n->error = -ENOMEM;
        return false;
    }
    item->upstream = n->upstream;
    item->blob = *d;
    (void)pthread_mutex_lock(&n->warm->lock);
    bool room = n->warm->queued < WARM_QUEUE_MAX;
    if (room)
        warm__append(n->warm, item);
    (void)pthread_mutex_unlock(&n->warm->lock);
    if (!room) {
        free(item);
        n->error = -EFBIG;
    }
    return room;
}

struct warm_asset {
    struct warm_run *run;
    const struct upstream *upstream;
};

static void warm_on_asset(void *arg, int res, const struct asset *asset)
{
    struct warm_asset *a = arg;
    struct warm_run *run = a->run;
    struct warm_naming n = {.warm = run->warm, .upstream = a->upstream, .error = res};
    free(a);
    if (res == 0) /* the ref and the presentation are here now; what it names follows */
        presentation_blobs(asset->now->presentation, warm_take_blob, &n);
    if (n.error < 0)
        warm_count(run->warm, run->item, n.error, 0);
    warm_end(run);
}

static int warm_start_asset(struct warm_run *run, struct edge_worker *w, const struct upstream *u,
                            struct str name)
{
    if (u == NULL || upstream_is_http(u) || !store_name_ok(name))
        return -EINVAL;
    struct warm_asset *a = calloc(1, sizeof *a);
    if (a == NULL)
        return -ENOMEM;
    *a = (struct warm_asset){run, u};
    assets_want(w->assets, u, name, warm_on_asset, a); /* may end the run at once */
    return 0;
}

static int warm_start_weir(struct warm_run *run, struct edge_worker *w, const struct route *route,
                           struct str path)
{
    struct str rest;
    const char *type;
    struct digest d;
    if (str_starts(path, STR("/v/")))
        return warm_start_asset(run, w, route->upstream, str_cut(str_skip(path, 3), '/', &rest));
    if (!str_starts(path, STR("/b/")) || view_parse_blob(str_skip(path, 3), &d, &type) < 0)
        return -EINVAL;
    return ahead_blob(w, route->upstream, &d, true, warm_on_done, run, &run->ahead);
}

static int warm_start_http(struct warm_run *run, struct edge_worker *w, const struct route *route,
                           struct str scheme, struct str host, struct str path, struct str query)
{
    char id[ID_TEXT_SIZE];
    id_text(id);
    CLEAN_BUF struct buf key = BUF_EMPTY;
    CLEAN_BUF struct buf target = BUF_EMPTY;
    http_cache_key(scheme, host, path, query, &route->cache.key, &key);
    buf_put_str(&target, path);
    if (query.size > 0) {
        buf_putc(&target, '?');
        buf_put_str(&target, query);
    }
    const struct cache_request_parts parts = {
        .route = route,
        .method = "GET",
        .target = buf_str(&target),
        .key = buf_str(&key),
        .host = host,
        .scheme = scheme,
        .id = str_of(id),
        .is_ahead = true,
    };
    CLEAN(cache_request_unref) struct cache_request *r = NULL;
    int error = buf_error(&key) < 0 ? buf_error(&key) : buf_error(&target);
    if (error == 0)
        error = cache_request_make(&parts, &r);
    return error < 0 ? error : ahead_url(w, r, warm_on_done, run, &run->ahead);
}

static bool warm_is_sendable(struct str s)
{
    for (size_t i = 0; i < s.size; i++)
        if (s.data[i] <= ' ' || s.data[i] >= 0x7f || s.data[i] == '#')
            return false;
    return true;
}

/* 0: under way, or ended by now. */
static int warm_start_text(struct warm_run *run, struct edge_worker *w, struct str text)
{
    struct str scheme = STR("https");
    struct str host = STR_NONE;
    struct str token, query;
    if (!warm_is_sendable(text))
        return -EINVAL;
    if (str_behind_http(text).data != NULL) {
        scheme = str_cut(text, ':', &text);
        text = str_skip(text, 2);
        size_t size = 0;
        while (size < text.size && text.data[size] != '/')
            size++;
        host = (struct str){text.data, size};
        text = str_skip(text, size);
    } else if (memchr(text.data, '/', text.size) == NULL) {
        return warm_start_asset(run, w, upstreams_only_weir(w->edge->upstreams), text);
    }
    if (text.size == 0 || text.data[0] != '/')
        return -EINVAL;
    struct str path = str_cut(text, '?', &query);
    CLEAN_BUF struct buf plain = BUF_EMPTY; /* without its token */
    CLEAN_BUF struct buf plain_query = BUF_EMPTY;
    int r = token_extract(path, query, &token, &plain);
    token_strip_query(query, &plain_query);
    if (r == -EBADMSG || r == -ENOMEM || buf_error(&plain_query) < 0)
        return r == -EBADMSG ? -EINVAL : -ENOMEM;
    const struct route *route = route_find(w->edge->routes, host, buf_str(&plain));
    if (route == NULL)
        return -ENOENT;
    if (upstream_is_http(route->upstream))
        return warm_start_http(run, w, route, scheme, host, buf_str(&plain), buf_str(&plain_query));
    return warm_start_weir(run, w, route, buf_str(&plain));
}

static void warm_start(struct warm_run *run, struct edge_worker *w)
{
    struct warm_item *item = run->item;
    int r = item->upstream != NULL
                ? ahead_blob(w, item->upstream, &item->blob, true, warm_on_done, run, &run->ahead)
                : warm_start_text(run, w, str_of(item->text));
    if (r == 0)
        return;
    warm_count(run->warm, item, r, 0);
    warm_end(run);
}

void warm__pump(void *arg)
{
    struct warm *w = arg;
    ASSERT(w->magic == WARM_MAGIC);
    for (unsigned turn = 0; turn < WARM_TURN; turn++) {
        struct warm_run *run = NULL;
        for (unsigned i = 0; i < WARM_CONCURRENT_MAX && run == NULL; i++)
            if (w->runs[i].item == NULL)
                run = &w->runs[i];
        (void)pthread_mutex_lock(&w->lock);
        struct edge_worker *worker = w->worker;
        struct warm_item *item = w->first;
        if (worker == NULL || item == NULL || run == NULL || w->running >= w->concurrent) {
            (void)pthread_mutex_unlock(&w->lock);
            return;
        }
        w->first = item->next;
        if (w->first == NULL)
            w->end = &w->first;
        w->queued--;
        w->running++;
        (void)pthread_mutex_unlock(&w->lock);
        run->warm = w;
        run->item = item;
        warm_start(run, worker);
    }
    if (w->timer.loop == NULL)
        loop_timer_start(w->worker->loop, &w->timer, 0, warm__pump, w);
}

/* --- life ------------------------------------------------------------------------------------- */

int warm_new(struct edge *e, struct err *err, struct warm **ret)
{
    struct warm *w = calloc(1, sizeof *w);
    if (w == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    w->magic = WARM_MAGIC;
    w->edge = e;
    w->end = &w->first;
    w->concurrent = WARM_CONCURRENT;
    (void)pthread_mutex_init(&w->lock, NULL);
    const char *file = e->config->admin_credential_file;
    int r = file == NULL ? 0 : secret_load(file, &w->admin, err);
    if (r < 0) {
        warm_free(w);
        return r;
    }
    *ret = w;
    return 0;
}

struct warm *warm_free(struct warm *w)
{
    if (w == NULL)
        return NULL;
    ASSERT(w->magic == WARM_MAGIC);
    ASSERT(w->worker == NULL);
    warm__forget(w);
    for (unsigned i = 0; i < WARM_FAILURES; i++)
        free(w->failures[i].text);
    secret_clear(&w->admin);
    (void)pthread_mutex_destroy(&w->lock);
    MAGIC_CLEAR(w);
    free(w);
    return NULL;
}

void warm_worker_start(struct warm *w, struct edge_worker *worker)
{
    (void)pthread_mutex_lock(&w->lock);
    if (w->worker == NULL)
        w->worker = worker;
    (void)pthread_mutex_unlock(&w->lock);
}

void warm_worker_stop(struct warm *w, struct edge_worker *worker)
{
    (void)pthread_mutex_lock(&w->lock);
    bool mine = w->worker == worker;
    if (mine) {
        w->worker = NULL;
        warm__forget(w);
    }
    (void)pthread_mutex_unlock(&w->lock);
    if (!mine)
        return;
    loop_timer_stop(&w->timer);
    for (unsigned i = 0; i < WARM_CONCURRENT_MAX; i++) {
        struct warm_run *run = &w->runs[i];
        if (run->ahead == NULL)
            continue; /* free, or waits for an asset: those are answered at the end of assets */
        ahead_cancel(run->ahead);
        run->ahead = NULL;
        free(run->item);
        run->item = NULL;
    }
}
