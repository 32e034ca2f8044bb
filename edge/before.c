/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/before.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "edge/edition.h"
#include "edge/load.h"

#define BEFORE_TITLES   32    /* parsed ones that a worker keeps */
#define BEFORE_FAILED   64    /* power of two */
#define BEFORE_RETRY_MS 10000 /* one that could not be had is not asked for again so soon */
#define BEFORE_NAME     (sizeof "before-0-" + DIGEST_TEXT_SIZE)

struct before {
    uint32_t magic;
#define BEFORE_MAGIC UINT32_C(0xbef03e01)
    struct edge_worker *worker;
    struct title_cache *titles;
    struct {
        struct digest digest;
        uint64_t until_ms;
    } failed[BEFORE_FAILED];
};

struct before_op {
    struct before *before;
    const struct upstream *upstream;
    struct digest digests[BEFORE_MAX];
    unsigned count, at;
    struct digest blob;
    uint32_t height_max;
    before_cb *cb;
    void *arg;
    char asset[STORE_NAME_MAX + 1];
};

int before_new(struct edge_worker *w, struct before **ret)
{
    struct before *b = calloc(1, sizeof *b);
    if (b == NULL)
        return -ENOMEM;
    b->magic = BEFORE_MAGIC;
    b->worker = w;
    int r = title_cache_new(BEFORE_TITLES, &b->titles);
    if (r < 0) {
        free(b);
        return r;
    }
    *ret = b;
    return 0;
}

struct before *before_free(struct before *b)
{
    if (b == NULL)
        return NULL;
    ASSERT(b->magic == BEFORE_MAGIC);
    title_cache_free(b->titles);
    MAGIC_CLEAR(b);
    free(b);
    return NULL;
}

/* --- the refs --------------------------------------------------------------------------------- */

static struct str before_name(const struct digest *key, unsigned slot, char out[BEFORE_NAME])
{
    char text[DIGEST_TEXT_SIZE];
    digest_format(key, text);
    (void)snprintf(out, BEFORE_NAME, "before-%u-%s", slot % 10, text); /* sized to fit */
    return str_of(out);
}

static void before_on_stored(void *arg, int res)
{
    struct edge_worker *w = arg;
    ASSERT(w->loads > 0);
    w->loads--;
    if (res < 0 && res != -ENOENT)
        log_warn("remembering what an asset showed failed: %s", strerror(-res));
}

void before_remember(struct before *b, const struct upstream *u, struct str asset,
                     const struct digest *presentation)
{
    ASSERT(b->magic == BEFORE_MAGIC);
    struct store_worker *store = b->worker->store;
    char name[BEFORE_NAME];
    const struct digest key = upstream_asset_key(u, asset);
    unsigned slot = 0, newest = 0, found = BEFORE_MAX;
    int64_t oldest_ms = INT64_MAX, newest_ms = INT64_MIN;
    for (unsigned i = 0; i < BEFORE_MAX; i++) {
        struct store_ref ref;
        int r = store_ref_get(store, before_name(&key, i, name), &ref);
        int64_t changed_ms = r == 0 ? ref.changed_ms : INT64_MIN; /* a free one first */
        if (r == 0 && digest_eq(&ref.presentation, presentation))
            found = i;
        if (changed_ms < oldest_ms) {
            oldest_ms = changed_ms;
            slot = i;
        }
        if (changed_ms > newest_ms) {
            newest_ms = changed_ms;
            newest = i;
        }
    }
    if (found == newest)
        return; /* by another worker, or in an earlier life */
    if (found < BEFORE_MAX)
        slot = found;   /* it is back: as young as any */
    b->worker->loads++; /* it does not stop before the store has answered */
    store_ref_put(store, before_name(&key, slot, name), presentation, STORE_REF_ANY,
                  before_on_stored, b->worker);
}

void before_forget(struct before *b, const struct upstream *u, struct str asset)
{
    ASSERT(b->magic == BEFORE_MAGIC);
    struct store_ref ref;
    const struct digest key = upstream_asset_key(u, asset);
    char name[BEFORE_NAME];
    for (unsigned i = 0; i < BEFORE_MAX; i++) {
        if (store_ref_get(b->worker->store, before_name(&key, i, name), &ref) < 0)
            continue;
        b->worker->loads++;
        store_ref_delete(b->worker->store, str_of(name), before_on_stored, b->worker);
    }
}

/* --- asking ----------------------------------------------------------------------------------- */

static unsigned before_slot(const struct digest *d)
{
    return d->bytes[0] & (BEFORE_FAILED - 1);
}

static bool before_has_failed(const struct before *b, const struct digest *d)
{
    unsigned i = before_slot(d);
    return digest_eq(&b->failed[i].digest, d) && clock_mono_ms() < b->failed[i].until_ms;
}

static void before_next(struct before_op *op);

static void before_end(struct before_op *op, bool admitted)
{
    before_cb *cb = op->cb;
    void *arg = op->arg;
    free(op);
    cb(arg, admitted);
}

/* Goes on with the next one unless this one settles it. */
static void before_look(struct before_op *op, const struct title *t)
{
    bool own = t != NULL && strcmp(t->presentation->asset, op->asset) == 0;
    if (own && title_names(t, &op->blob) && !title_capped(t, &op->blob, op->height_max)) {
        before_end(op, true);
        return;
    }
    op->at++;
    before_next(op);
}

static void before_on_load(void *arg, int res, struct rbuf *blob)
{
    struct before_op *op = arg;
    struct before *b = op->before;
    const struct digest *d = &op->digests[op->at];
    struct title *t = NULL;
    struct err err = {.text = ""};
    if (res == 0) {
        uint32_t size;
        const uint8_t *data = rbuf_data(blob, &size);
        res = title_new(d, (struct str){(const char *)data, size}, &t, &err);
    }
    if (res == 0) {
        title_cache_add(b->titles, t);
    } else {
        b->failed[before_slot(d)].digest = *d;
        b->failed[before_slot(d)].until_ms = clock_mono_ms() + BEFORE_RETRY_MS;
    }
    before_look(op, t);
    title_unref(t);
}

static void before_next(struct before_op *op)
{
    if (op->at == op->count) {
        before_end(op, false);
        return;
    }
    const struct digest *d = &op->digests[op->at];
    const struct title *known = title_cache_get(op->before->titles, d);
    if (known != NULL || before_has_failed(op->before, d))
        before_look(op, known);
    else
        load_blob(op->before->worker, op->upstream, d, true, before_on_load, op);
}

void before_ask(struct before *b, const struct upstream *u, struct str asset,
                const struct digest *blob, uint32_t height_max, before_cb *cb, void *arg)
{
    ASSERT(b->magic == BEFORE_MAGIC);
    struct before_op *op = calloc(1, sizeof *op);
    if (op == NULL || str_copy(asset, op->asset, sizeof op->asset) < 0) {
        free(op);
        cb(arg, false);
        return;
    }
    op->before = b;
    op->upstream = u;
    op->blob = *blob;
    op->height_max = height_max;
    op->cb = cb;
    op->arg = arg;
    const struct digest key = upstream_asset_key(u, asset);
    char name[BEFORE_NAME];
    for (unsigned i = 0; i < BEFORE_MAX; i++) {
        struct store_ref ref;
        if (store_ref_get(b->worker->store, before_name(&key, i, name), &ref) == 0 &&
            !edition_is_gone(b->worker->edge, u, asset, &ref.presentation))
            op->digests[op->count++] = ref.presentation;
    }
    before_next(op);
}
