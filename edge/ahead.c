/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/ahead.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "edge/cache_fill.h"
#include "edge/fill.h"

#define AHEAD_TURN_MS 20 /* between looks at whether a cache's fill has ended */

struct ahead {
    uint32_t magic;
#define AHEAD_MAGIC UINT32_C(0xa4ead0f5)
    struct edge_worker *worker;
    ahead_cb *done;
    void *arg;
    struct fill *fill; /* a blob's, or: */
    struct fill_listener *listener;
    struct cache_fill *cache_fill;
    struct loop_timer timer;
};

static int ahead_new(struct edge_worker *w, ahead_cb *done, void *arg, struct ahead **ret)
{
    struct ahead *a = calloc(1, sizeof *a);
    if (a == NULL)
        return -ENOMEM;
    a->magic = AHEAD_MAGIC;
    a->worker = w;
    a->done = done;
    a->arg = arg;
    *ret = a;
    return 0;
}

void ahead_cancel(struct ahead *a)
{
    ASSERT(a->magic == AHEAD_MAGIC);
    loop_timer_stop(&a->timer);
    fill_unlisten(a->listener);
    fill_unref(a->fill);
    cache_fill_unref(a->cache_fill);
    MAGIC_CLEAR(a);
    free(a);
}

static void ahead_end(struct ahead *a, int res, uint64_t size)
{
    ahead_cb *done = a->done;
    void *arg = a->arg;
    ahead_cancel(a);
    done(arg, res, size);
}

/* --- blobs ------------------------------------------------------------------------------------ */

static void ahead_on_fill(void *arg)
{
    struct ahead *a = arg;
    uint32_t size;
    int error;
    enum fill_state state = fill_state(a->fill, &size, &error);
    if (state == FILL_DONE)
        ahead_end(a, 0, size);
    else if (state == FILL_FAILED)
        ahead_end(a, error, 0);
}

int ahead_blob(struct edge_worker *w, const struct upstream *u, const struct digest *d, bool keep,
               ahead_cb *done, void *arg, struct ahead **ret)
{
    if (store_has(w->store, d))
        return -EALREADY;
    struct ahead *a = NULL;
    int r = ahead_new(w, done, arg, &a);
    if (r < 0)
        return r;
    bool started = false;
    r = fills_join(w, u, d, &(struct fields){NULL, 0}, keep ? FILL_KEEP : 0u, &a->fill, &started);
    if (r == 0 && !started)
        r = -EALREADY;
    if (r == 0)
        r = fill_listen(a->fill, w->loop, ahead_on_fill, a, &a->listener);
    if (r < 0) {
        ahead_cancel(a);
        return r;
    }
    *ret = a;
    return 0;
}

/* --- URLs ------------------------------------------------------------------------------------- */

static int ahead_result(const struct cache_answer *a)
{
    if (a->outcome == CACHE_OBJECT)
        return 0;
    if (a->outcome == CACHE_PASS)
        return -EPERM;
    return a->status == 404 || a->status == 410 ? -ENOENT : -EIO;
}

static void ahead_on_timer(void *arg)
{
    struct ahead *a = arg;
    struct cache_fill *f = a->cache_fill;
    if (f->state != CACHE_FILL_ENDED) { /* it is of this worker */
        loop_timer_start(a->worker->loop, &a->timer, AHEAD_TURN_MS, ahead_on_timer, a);
        return;
    }
    const struct cache_answer answer = cache_ask_answer(f);
    int res = ahead_result(&answer);
    uint64_t size = res == 0 ? cache_body_known_bytes(answer.object->body) : 0;
    if (res == 0 && f->result < 0)
        res = f->result;
    ahead_end(a, res, size);
}

/* What is kept under the request's key; *ret_key: its variant's. NULL: nothing. */
static struct cache_object *ahead_look_up(struct cache *c, const struct cache_request *r,
                                          struct digest *ret_key)
{
    *ret_key = digest_of(r->key.data, r->key.size);
    struct cache_object *o = cache_table_find(c->table, ret_key);
    if (o == NULL || o->kind != CACHE_VARIES)
        return o;
    bool any = cache_variant_key(o, &r->fields, ret_key);
    cache_object_unref(o);
    return any ? cache_table_find(c->table, ret_key) : NULL;
}

/* Nothing to do: it is fresh and whole, or known as what is not kept. */
static bool ahead_is_done(struct cache *c, const struct cache_request *r,
                          const struct cache_object *o)
{
    if (o->kind != CACHE_RESPONSE)
        return true;
    enum objects_mark mark = objects_check(c->objects, o->tags, o->tags_count, o->sequence);
    return mark != OBJECTS_HARD && cache_body_complete(o->body) &&
           http_cache_use(&o->terms, &r->ask, mark == OBJECTS_SOFT, clock_real_s()) ==
               HTTP_CACHE_FRESH;
}

static int ahead_ask(struct ahead *a, struct cache_request *r)
{
    struct cache_worker *w = a->worker->cache;
    struct cache_fill_want want = {.kind = CACHE_FILL_ASK, .request = r};
    want.primary = digest_of(r->key.data, r->key.size);
    CLEAN(cache_object_unref) struct cache_object *o = ahead_look_up(w->cache, r, &want.key);
    if (o != NULL && ahead_is_done(w->cache, r, o))
        return -EALREADY;
    if (cache_ask_is_busy(w->cache, &want.key))
        return -EALREADY;
    bool started = false;
    struct cache_fill *f = NULL;
    int error = cache_ask_join(w, &want, NULL, &f, &started);
    if (error < 0)
        return error;
    if (started)
        a->cache_fill = cache_fill_ref(f);
    cache_ask_leave(f, NULL);
    if (!started)
        return -EALREADY;
    loop_timer_start(a->worker->loop, &a->timer, AHEAD_TURN_MS, ahead_on_timer, a);
    return 0;
}

int ahead_url(struct edge_worker *w, struct cache_request *r, ahead_cb *done, void *arg,
              struct ahead **ret)
{
    ASSERT(r->is_ahead);
    struct ahead *a = NULL;
    int error = ahead_new(w, done, arg, &a);
    if (error < 0)
        return error;
    error = ahead_ask(a, r);
    if (error < 0) {
        ahead_cancel(a);
        return error;
    }
    *ret = a;
    return 0;
}
