/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include "store/store_priv.h"

#define STORE_REWRITES_MAX 64u /* under way; more are not begun: they are only good to have */

/* --- made anew -------------------------------------------------------------------------------- */

struct store_rewrite {
    struct commit_op commit;
    struct store *store;
    bool was_cold;
};

static void store_rewrite_done(struct commit_op *op)
{
    struct store_rewrite *x = CONTAINER_OF(op, struct store_rewrite, commit);
    struct store *s = x->store;
    if (op->res == 0 && op->kind == COMMIT_PUT)
        store_count(&s->counts.repaired, s->metrics.repaired, 1);
    else if (op->res == 0 && op->device == FORMAT_WARM)
        store_count(&s->counts.promoted, s->metrics.promoted, 1);
    store_record_drop(op);
    free(x);
    atomic_fetch_sub(&s->rewriting, 1);
}

void store_rewrite(struct store *s, enum commit_kind kind, enum format_device_kind device,
                   const struct digest *d, const struct index_entry *from, struct rbuf *blob)
{
    if (s->commit == NULL)
        return;
    if (atomic_fetch_add(&s->rewriting, 1) >= STORE_REWRITES_MAX) {
        atomic_fetch_sub(&s->rewriting, 1);
        return;
    }
    struct store_rewrite *x = calloc(1, sizeof *x);
    if (x == NULL || store_record_make(&x->commit, blob) < 0) {
        free(x);
        atomic_fetch_sub(&s->rewriting, 1);
        return;
    }
    x->store = s;
    x->commit.kind = kind;
    x->commit.device = device;
    x->commit.digest = *d;
    x->commit.volume = from->volume;
    x->commit.offset = from->offset;
    x->commit.done = store_rewrite_done;
    if (commit_push(s->commit, &x->commit) < 0) {
        x->commit.res = -EAGAIN;
        store_rewrite_done(&x->commit);
    }
}

static void store_quarantined(struct commit_op *op)
{
    free(op);
}

void store_quarantine(struct store *s, const struct digest *d, const struct index_entry *e)
{
    store_count(&s->counts.damaged, s->metrics.damaged, 1);
    struct commit_op *op = s->commit != NULL ? calloc(1, sizeof *op) : NULL;
    if (op == NULL)
        return; /* the next reader finds the damage again */
    op->kind = COMMIT_INDEX;
    op->apply = commit_quarantine;
    op->digest = *d;
    op->volume = e->volume;
    op->offset = e->offset;
    op->done = store_quarantined;
    if (commit_push(s->commit, op) < 0)
        free(op);
}

/* --- from elsewhere --------------------------------------------------------------------------- */

struct store_rescue {
    struct store *store;
    struct digest digest;
    uint32_t length;
    bool asked_peer;
    store_rescued *cb;
    void *arg;
};

bool store_can_rescue(const struct store *s, const struct index_entry *e, bool local)
{
    return (s->remote != NULL && (e->flags & INDEX_REMOTE) != 0) || (s->peer != NULL && !local);
}

static void store_rescue_end(struct store_rescue *x, int res, struct rbuf *blob)
{
    store_rescued *cb = x->cb;
    void *arg = x->arg;
    free(x);
    cb(arg, res, blob);
}

static void store_rescue_got(void *arg, int res, struct rbuf *blob)
{
    struct store_rescue *x = arg;
    struct store_tier *peer = x->store->peer;
    if (res == 0) {
        uint32_t size;
        const uint8_t *data = rbuf_data(blob, &size);
        struct digest is = digest_of(data, size);
        /* Of a blob that was lost before its length was known only the digest is. */
        if ((x->length != 0 && size != x->length) || !digest_eq(&is, &x->digest))
            res = -EBADMSG;
    }
    if (res < 0 && peer != NULL && !x->asked_peer) {
        x->asked_peer = true;
        peer->ops->get(peer, &x->digest, x->length, store_rescue_got, x);
        return;
    }
    store_rescue_end(x, res, res == 0 ? blob : NULL);
}

void store_rescue(struct store *s, const struct digest *d, const struct index_entry *e, bool local,
                  store_rescued *cb, void *arg)
{
    struct store_rescue *x = calloc(1, sizeof *x);
    if (x == NULL) {
        cb(arg, -ENOMEM, NULL);
        return;
    }
    *x = (struct store_rescue){
        .store = s, .digest = *d, .length = e->length, .asked_peer = local, .cb = cb, .arg = arg};
    if (s->remote != NULL && (e->flags & INDEX_REMOTE) != 0)
        s->remote->ops->get(s->remote, d, e->length, store_rescue_got, x);
    else
        store_rescue_got(x, -ENOENT, NULL);
}
