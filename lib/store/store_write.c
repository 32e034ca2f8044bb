/* SPDX-License-Identifier: Apache-2.0 */
/* Puts and refs, the worker's half: names are checked, what is there already is compared, the
 * record is made and summed here, on the caller's core; the committer only places and writes it. */
#include <errno.h>
#include <stdlib.h>
#include "store/store_priv.h"

struct store_write {
    struct store_event event;
    struct commit_op commit;
    struct store_worker *worker;
    struct rbuf *blob; /* until compared and copied; to the end with STORE_PUT_HOT */
    unsigned flags;
    bool is_put;
    store_done_cb *cb;
    void *arg;
};

static void store_write_run(struct store_event *e)
{
    struct store_write *x = CONTAINER_OF(e, struct store_write, event);
    struct store_worker *w = x->worker;
    struct store *s = w->store;
    store_done_cb *cb = x->cb;
    void *arg = x->arg;
    int res = x->commit.res;
    if (x->is_put)
        metric_add(res == 0 ? s->metrics.puts : s->metrics.put_failures, 1);
    if (res == 0 && (x->flags & STORE_PUT_HOT) != 0)
        hot_insert(s->hot, &x->commit.digest, x->blob);
    rbuf_unref(x->blob);
    store_metrics_refresh(s);
    w->under_way--;
    free(x);
    cb(arg, res);
}

static void store_write_end(struct store_write *x, int res)
{
    x->commit.res = res;
    x->commit.record = rbuf_unref(x->commit.record);
    x->event.run = store_write_run;
    store_worker_post(x->worker, &x->event);
}

/* On the committer's thread. */
static void store_write_committed(struct commit_op *op)
{
    store_write_end(CONTAINER_OF(op, struct store_write, commit), op->res);
}

static struct store_write *store_write_new(struct store_worker *w, store_done_cb *cb, void *arg)
{
    ASSERT(w->magic == STORE_WORKER_MAGIC);
    struct store_write *x = calloc(1, sizeof *x);
    if (x == NULL) {
        cb(arg, -ENOMEM); /* no memory to answer later */
        return NULL;
    }
    x->worker = w;
    x->cb = cb;
    x->arg = arg;
    x->commit.done = store_write_committed;
    w->under_way++;
    return x;
}

static void store_write_commit(struct store_write *x)
{
    int r = commit_push(x->worker->store->commit, &x->commit);
    if (r < 0)
        store_write_end(x, r);
}

/* --- puts ------------------------------------------------------------------------------------- */

static void store_put_record(struct store_write *x)
{
    uint32_t length, cap_size;
    const uint8_t *data = rbuf_data(x->blob, &length);
    int r = rbuf_new(format_record_size(length), &x->commit.record);
    if (r < 0) {
        store_write_end(x, r);
        return;
    }
    format_record_fill(data, length, rbuf_space(x->commit.record, &cap_size));
    x->commit.kind = COMMIT_PUT;
    x->commit.length = length;
    if ((x->flags & STORE_PUT_HOT) == 0)
        x->blob = rbuf_unref(x->blob);
    store_write_commit(x);
}

static bool store_same(const struct rbuf *a, const struct rbuf *b)
{
    uint32_t a_size, b_size;
    const uint8_t *a_data = rbuf_data(a, &a_size), *b_data = rbuf_data(b, &b_size);
    return a_size == b_size && memcmp(a_data, b_data, a_size) == 0;
}

static void store_put_compared(void *arg, int res, struct rbuf *there)
{
    struct store_write *x = arg;
    if (res == 0)
        store_write_end(x, store_same(there, x->blob) ? 0 : -EEXIST);
    else
        store_put_record(x); /* damaged, unreadable or just evicted: this put repairs it */
}

void store_put(struct store_worker *w, const struct digest *d, struct rbuf *blob, unsigned flags,
               store_done_cb *cb, void *arg)
{
    uint32_t size;
    struct store_write *x = store_write_new(w, cb, arg);
    if (x == NULL)
        return;
    x->is_put = true;
    x->flags = flags;
    x->blob = rbuf_ref(blob);
    x->commit.digest = *d;
    const uint8_t *data = rbuf_data(blob, &size);
    if (size > STORE_BLOB_MAX) {
        store_write_end(x, -EFBIG);
        return;
    }
    struct digest is = digest_of(data, size);
    if (!digest_eq(&is, d)) {
        store_write_end(x, -EINVAL);
        return;
    }
    bool has = store_has(w, d);
    struct rbuf *hot = hot_look(w->store->hot, d);
    bool differs = hot != NULL && !store_same(hot, blob);
    bool known = hot != NULL && has;
    rbuf_unref(hot);
    if (differs)
        store_write_end(x, -EEXIST);
    else if (known)
        store_write_end(x, 0);
    else if (has)
        store_read(w, d, STORE_READ_QUIET, store_put_compared, x);
    else
        store_put_record(x);
}

/* --- refs ------------------------------------------------------------------------------------- */

static void store_ref_write(struct store_worker *w, enum commit_kind kind, struct str name,
                            const struct digest *d, uint64_t expect, store_done_cb *cb, void *arg)
{
    struct store_write *x = store_write_new(w, cb, arg);
    if (x == NULL)
        return;
    x->commit.kind = kind;
    x->commit.expect = expect;
    if (d != NULL)
        x->commit.digest = *d;
    int r = store_name_ok(name) ? str_copy(name, x->commit.name, sizeof x->commit.name) : -EINVAL;
    if (r < 0)
        store_write_end(x, r);
    else
        store_write_commit(x);
}

void store_ref_put(struct store_worker *w, struct str name, const struct digest *d, uint64_t expect,
                   store_done_cb *cb, void *arg)
{
    store_ref_write(w, COMMIT_REF_PUT, name, d, expect, cb, arg);
}

void store_ref_delete(struct store_worker *w, struct str name, store_done_cb *cb, void *arg)
{
    store_ref_write(w, COMMIT_REF_DELETE, name, NULL, STORE_REF_ANY, cb, arg);
}

int store_ref_get(struct store_worker *w, struct str name, struct store_ref *ret)
{
    ASSERT(w->magic == STORE_WORKER_MAGIC);
    return store_name_ok(name) ? index_find_ref(w->reader, name, ret) : -ENOENT;
}

int store_ref_list(struct store_worker *w, store_ref_each *each, void *arg)
{
    ASSERT(w->magic == STORE_WORKER_MAGIC);
    return index_list_refs(w->store->index, each, arg);
}
