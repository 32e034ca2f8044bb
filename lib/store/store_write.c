/* SPDX-License-Identifier: Apache-2.0 */
/* Puts and refs, the worker's half: names are checked, what is there already is compared, the
 * record is made and summed here, on the caller's core; the committer only places and writes it. */
#include <errno.h>
#include <stdlib.h>
#include "store/store_priv.h"

#define STORE_PUT_AGAIN (1u << 31)          /* taken before, and counted then */
#define STORE_LINKS_MAX (UINT32_C(1) << 24) /* of one presentation: a year of 2 s segments */

struct store_write {
    struct store_event event;
    struct commit_op commit;
    struct store_worker *worker;
    struct rbuf *blob; /* NULL for refs */
    struct digest *links;
    unsigned flags;
    bool is_put;
    store_done_cb *cb;
    void *arg;
};

static void store_put_count(struct store *s, const struct store_write *x)
{
    if ((x->flags & STORE_PUT_AGAIN) != 0)
        return;
    metric_add(x->commit.res == 0 ? s->metrics.puts : s->metrics.put_failures, 1);
    if (x->commit.res == 0)
        store_count(&s->counts.put_bytes, s->metrics.put_bytes, rbuf_size(x->blob));
}

/* What can be fetched again is of use in RAM also when the disk is full, broken or too slow. */
static bool store_write_is_for_ram(const struct store_write *x, int res)
{
    if ((x->flags & STORE_PUT_HOT) == 0)
        return false;
    return res == 0 ||
           ((x->flags & STORE_PUT_CACHE) != 0 && (res == -ENOSPC || res == -EIO || res == -EAGAIN));
}

static void store_write_run(struct store_event *e)
{
    struct store_write *x = CONTAINER_OF(e, struct store_write, event);
    struct store_worker *w = x->worker;
    struct store *s = w->store;
    store_done_cb *cb = x->cb;
    void *arg = x->arg;
    int res = x->commit.res;
    if (x->is_put)
        store_put_count(s, x);
    if (store_write_is_for_ram(x, res) && res < 0)
        hot_insert_only(s->hot, &x->commit.digest, x->blob);
    else if (store_write_is_for_ram(x, res))
        store_hot_insert(w, &x->commit.digest, x->blob);
    rbuf_unref(x->blob);
    free(x->links);
    store_metrics_refresh(s);
    w->under_way--;
    free(x);
    cb(arg, res);
}

static void store_write_end(struct store_write *x, int res)
{
    x->commit.res = res;
    store_record_drop(&x->commit);
    x->event.run = store_write_run;
    store_worker_post(x->worker, &x->event);
}

static void store_write_again(struct store_event *e);

/* On any thread: the remote tier has it, or has not. */
static void store_write_uploaded(void *arg, int res)
{
    store_write_end(arg, res);
}

/* On the committer's thread. */
static void store_write_committed(struct commit_op *op)
{
    struct store_write *x = CONTAINER_OF(op, struct store_write, commit);
    struct store *s = x->worker->store;
    if (x->is_put && op->res == -ENOENT) {
        /* It was there when we looked, and was reclaimed before we could touch it. */
        store_record_drop(op);
        x->event.run = store_write_again;
        store_worker_post(x->worker, &x->event);
    } else if (x->is_put && op->res == 0 && s->durability == STORE_REMOTE_SYNC) {
        store_record_drop(op);
        keeper_await_upload(s->keeper, &op->digest, store_write_uploaded, x);
    } else {
        store_write_end(x, op->res);
    }
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
    if (x->worker->store->commit == NULL) {
        store_write_end(x, -EROFS);
        return;
    }
    int r = commit_push(x->worker->store->commit, &x->commit);
    if (r < 0)
        store_write_end(x, r);
}

/* --- puts ------------------------------------------------------------------------------------- */

static void store_put_record(struct store_write *x)
{
    int r = store_record_make(&x->commit, x->blob);
    if (r < 0) {
        store_write_end(x, r);
        return;
    }
    x->commit.kind = COMMIT_PUT;
    store_write_commit(x);
}

static void store_write_again(struct store_event *e)
{
    store_put_record(CONTAINER_OF(e, struct store_write, event));
}

/* It is there: what keeps it there begins anew, and where the remote tier must have it, it must. */
static void store_put_there(struct store_write *x)
{
    struct store *s = x->worker->store;
    if (s->links == NULL && s->durability != STORE_REMOTE_SYNC) {
        store_write_end(x, 0);
        return;
    }
    x->commit.kind = COMMIT_INDEX;
    x->commit.apply = commit_touch;
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
    /* Then the tier gets it anew; were it still said to have it, a demotion would lose the blob. */
    x->commit.remote_bad = res == -EBADMSG || res == -EIO;
    if (res < 0)
        store_put_record(x); /* damaged, unreadable or just evicted: this put repairs it */
    else if (store_same(there, x->blob))
        store_put_there(x);
    else
        store_write_end(x, -EEXIST);
}

/* Whether another volume would fit without giving one up. */
static bool store_has_room(const struct store *s)
{
    struct volume_sums sums;
    volume_sums(s->volumes, NULL, &sums);
    /* A disk that is full before the limit is reached has had volumes given up, too. */
    return s->admission == STORE_ADMIT_AUTO && sums.size + 2 * s->volume_size <= s->size_max &&
           atomic_load_explicit(&s->counts.evicted_volumes, memory_order_relaxed) == 0;
}

/* Asked for once more, while it is known or was lately; each newcomer is watched for that. */
static bool store_put_is_again(const struct store_write *x)
{
    struct store *s = x->worker->store;
    bool known = admit_ask(s->admit, &x->commit.digest);
    bool wanted = (x->flags & STORE_PUT_WANTED) != 0;
    if (s->again != NULL && known)
        again_used(s->again, &x->commit.digest);
    else if (s->again != NULL && !wanted) /* with others nothing is to be decided */
        again_came(s->again, &x->commit.digest, rbuf_size(x->blob));
    return known || wanted;
}

/* Whether a cache keeps the blob off its disk until it is asked for once more: not while there is
 * room for everything, nor what mostly is asked for once more. */
static bool store_put_refused(struct store_write *x)
{
    struct store *s = x->worker->store;
    if (s->admit == NULL || (x->flags & STORE_PUT_CACHE) == 0)
        return false;
    if (store_put_is_again(x) || store_has_room(s))
        return false;
    if (s->again != NULL && again_pays(s->again, rbuf_size(x->blob)))
        return false;
    rbuf_mark(x->blob);
    hot_insert_only(s->hot, &x->commit.digest, x->blob);
    struct rbuf *kept = hot_look(s->hot, &x->commit.digest);
    rbuf_unref(kept);
    if (kept == NULL)
        return false; /* no RAM tier, or too large for it */
    store_count(&s->counts.refused, s->metrics.refused, 1);
    return true;
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
    struct digest is = (flags & STORE_PUT_DIGESTED) != 0 ? *d : digest_of(data, size);
    if (!digest_eq(&is, d)) {
        store_write_end(x, -EINVAL);
        return;
    }
    bool has = store_indexed(w, d);
    struct rbuf *hot = hot_look(w->store->hot, d);
    bool differs = hot != NULL && !store_same(hot, blob);
    bool known = hot != NULL && has;
    rbuf_unref(hot);
    if (differs)
        store_write_end(x, -EEXIST);
    else if (known)
        store_put_there(x);
    else if (has)
        store_read(w, d, STORE_READ_QUIET, store_put_compared, x);
    else if (store_put_refused(x))
        store_write_end(x, 0);
    else
        store_put_record(x);
}

static void store_put_nobody_waits(void *arg, int res)
{
    struct store_worker *w = arg;
    (void)res; /* one blob less in a cache is no loss */
    ASSERT(w->admitting > 0);
    w->admitting--;
}

void store_put_admitted(struct store_worker *w, const struct digest *d, struct rbuf *blob)
{
    if (w->freeing)
        return;
    w->admitting++;
    store_put(w, d, blob, STORE_PUT_AGAIN, store_put_nobody_waits, w);
}

/* --- refs ------------------------------------------------------------------------------------- */

/* NULL: it has ended. */
static struct store_write *store_ref_new(struct store_worker *w, enum commit_kind kind,
                                         struct str name, store_done_cb *cb, void *arg)
{
    struct store_write *x = store_write_new(w, cb, arg);
    if (x == NULL)
        return NULL;
    x->commit.kind = kind;
    int r = store_name_ok(name) ? str_copy(name, x->commit.name, sizeof x->commit.name) : -EINVAL;
    if (r == 0)
        return x;
    store_write_end(x, r);
    return NULL;
}

/* Digests, gathered, then in order and each once. */
struct store_link_list {
    struct digest *links;
    size_t count, cap;
};

static int store_link_add(void *arg, const struct digest *d)
{
    struct store_link_list *l = arg;
    if (l->count == l->cap) {
        size_t cap = l->cap == 0 ? 256 : l->cap * 2;
        struct digest *more =
            cap <= STORE_LINKS_MAX ? reallocarray(l->links, cap, sizeof *more) : NULL;
        if (more == NULL)
            return cap <= STORE_LINKS_MAX ? -ENOMEM : -EFBIG;
        l->links = more;
        l->cap = cap;
    }
    l->links[l->count++] = *d;
    return 0;
}

static int store_link_compare(const void *a, const void *b)
{
    return memcmp(a, b, DIGEST_SIZE);
}

int store_links_of(store_links *links, void *arg, const struct rbuf *presentation,
                   struct digest **ret, uint32_t *ret_count)
{
    struct store_link_list l = {0};
    uint32_t size;
    const uint8_t *bytes = rbuf_data(presentation, &size);
    int r = links(arg, bytes, size, store_link_add, &l);
    if (r < 0) {
        free(l.links);
        return r;
    }
    if (l.count > 0)
        qsort(l.links, l.count, sizeof *l.links, store_link_compare);
    size_t n = 0;
    for (size_t i = 0; i < l.count; i++) {
        if (n == 0 || !digest_eq(&l.links[n - 1], &l.links[i]))
            l.links[n++] = l.links[i];
    }
    *ret = l.links;
    *ret_count = (uint32_t)n;
    return 0;
}

static void store_ref_presentation(void *arg, int res, struct rbuf *blob)
{
    struct store_write *x = arg;
    struct store *s = x->worker->store;
    if (res == 0)
        res = store_links_of(s->links, s->links_arg, blob, &x->links, &x->commit.links_count);
    x->commit.links = x->links;
    if (res < 0)
        store_write_end(x, res);
    else
        store_write_commit(x);
}

void store_ref_put(struct store_worker *w, struct str name, const struct digest *d, uint64_t expect,
                   store_done_cb *cb, void *arg)
{
    struct store_write *x = store_ref_new(w, COMMIT_REF_PUT, name, cb, arg);
    if (x == NULL)
        return;
    x->commit.expect = expect;
    x->commit.digest = *d;
    if (w->store->links != NULL)
        store_read(w, d, STORE_READ_QUIET, store_ref_presentation, x);
    else
        store_write_commit(x);
}

void store_ref_delete(struct store_worker *w, struct str name, store_done_cb *cb, void *arg)
{
    struct store_write *x = store_ref_new(w, COMMIT_REF_DELETE, name, cb, arg);
    if (x != NULL)
        store_write_commit(x);
}

int store_ref_get(struct store_worker *w, struct str name, struct store_ref *ret)
{
    ASSERT(w->magic == STORE_WORKER_MAGIC);
    return store_name_ok(name) ? index_find_ref(w->reader, name, ret) : -ENOENT;
}

int store_ref_list(struct store_worker *w, store_ref_each *each, void *arg)
{
    ASSERT(w->magic == STORE_WORKER_MAGIC);
    return index_list_refs(w->reader, each, arg);
}
