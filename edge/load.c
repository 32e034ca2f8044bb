/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/load.h"
#include <errno.h>
#include <stdlib.h>
#include "edge/fill.h"

struct load {
    struct edge_worker *worker;
    const struct upstream *upstream;
    struct digest digest;
    bool may_fetch;
    store_get_cb *cb;
    void *arg;
    struct fill *fill;
    struct fill_listener *listener;
};

static void load_end(struct load *l, int res, struct rbuf *blob)
{
    ASSERT(l->worker->loads > 0);
    l->worker->loads--;
    l->cb(l->arg, res, blob);
    fill_unlisten(l->listener);
    fill_unref(l->fill);
    free(l);
}

static void load_on_fill(void *arg)
{
    struct load *l = arg;
    uint32_t size;
    int error;
    enum fill_state state = fill_state(l->fill, &size, &error);
    if (state == FILL_FAILED) {
        load_end(l, error, NULL);
    } else if (state == FILL_DONE) {
        CLEAN(rbuf_unref) struct rbuf *blob = fill_blob(l->fill);
        load_end(l, 0, blob);
    }
}

static void load_on_get(void *arg, int res, struct rbuf *blob)
{
    struct load *l = arg;
    /* A damaged copy is as good as none: the origin has a whole one. */
    if ((res != -ENOENT && res != -EBADMSG) || !l->may_fetch) {
        load_end(l, res, blob);
        return;
    }
    bool started;
    int r = fills_join(l->worker, l->upstream, &l->digest, &(struct fields){NULL, 0}, FILL_KEEP,
                       &l->fill, &started);
    if (r == -EALREADY && res == -ENOENT) {
        store_get(l->worker->store, &l->digest, load_on_get, l);
        return;
    }
    if (r == 0)
        r = fill_listen(l->fill, l->worker->loop, load_on_fill, l, &l->listener);
    if (r < 0)
        load_end(l, r, NULL);
}

void load_blob(struct edge_worker *w, const struct upstream *u, const struct digest *d,
               bool may_fetch, store_get_cb *cb, void *arg)
{
    struct load *l = calloc(1, sizeof *l);
    if (l == NULL) {
        cb(arg, -ENOMEM, NULL);
        return;
    }
    w->loads++;
    l->worker = w;
    l->upstream = u;
    l->digest = *d;
    l->may_fetch = may_fetch;
    l->cb = cb;
    l->arg = arg;
    store_get(w->store, d, load_on_get, l);
}
