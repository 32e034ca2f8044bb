/* SPDX-License-Identifier: Apache-2.0 */
/* Three passes, each of some thousand rows a transaction; the mark that all is counted comes last,
 * so that a crash has it begin anew. */
#include "store/store_recount.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"

#define RECOUNT_CHUNK 4096u

struct recount {
    struct store *store;
    struct index_reader *reader;
    struct io_queue *queue;
    struct index_blob *blobs;
    unsigned count;
    uint32_t due_s;
    struct digest *held; /* presentations that refs name, as often as they do */
    size_t held_count, held_cap;
    int failed; /* of reading them */
    /* The presentation being counted. */
    struct digest presentation;
    struct digest *links;
    uint32_t links_count, holds;
    bool complete;
};

/* --- blobs ------------------------------------------------------------------------------------ */

static int recount_each_blob(struct recount *x, index_body *body)
{
    struct digest last = {{0}};
    bool after = false;
    for (;;) {
        int r = index_blobs(x->reader, &last, after, RECOUNT_CHUNK, x->blobs, &x->count);
        if (r == 0 && x->count > 0)
            r = index_run(x->store->index, body, x);
        if (r < 0 || x->count == 0)
            return r;
        last = x->blobs[x->count - 1].digest;
        after = true;
    }
}

static int recount_begin_body(struct index_txn *t, void *arg)
{
    (void)arg;
    int r = index_put_counted(t, false);
    return r < 0 ? r : index_uncount(t);
}

static int recount_clear_body(struct index_txn *t, void *arg)
{
    const struct recount *x = arg;
    int r = 0;
    for (unsigned i = 0; i < x->count && r == 0; i++) {
        struct index_entry e = x->blobs[i].entry;
        if (e.refs == 0)
            continue;
        e.refs = 0;
        r = index_put(t, &x->blobs[i].digest, &e);
    }
    return r;
}

static int recount_orphans_body(struct index_txn *t, void *arg)
{
    const struct recount *x = arg;
    int r = 0;
    for (unsigned i = 0; i < x->count && r == 0; i++) {
        struct index_entry e = x->blobs[i].entry;
        struct index_orphan orphan = {.due_s = x->due_s, .digest = x->blobs[i].digest};
        if (e.refs > 0)
            continue;
        /* When it was let go of is not known: it has the longer time. */
        e.flags &= ~(uint32_t)INDEX_DROPPED;
        r = index_put(t, &x->blobs[i].digest, &e);
        if (r == 0)
            r = index_put_orphan(t, &orphan);
    }
    return r;
}

static int recount_end_body(struct index_txn *t, void *arg)
{
    (void)arg;
    return index_put_counted(t, true);
}

/* --- presentations ---------------------------------------------------------------------------- */

static bool recount_ref(void *arg, struct str name, const struct store_ref *ref)
{
    struct recount *x = arg;
    (void)name;
    if (x->held_count == x->held_cap) {
        size_t cap = x->held_cap == 0 ? 64 : x->held_cap * 2;
        struct digest *more = reallocarray(x->held, cap, sizeof *more);
        if (more == NULL) {
            x->failed = -ENOMEM;
            return false;
        }
        x->held = more;
        x->held_cap = cap;
    }
    x->held[x->held_count++] = ref->presentation;
    return true;
}

static int recount_compare(const void *a, const void *b)
{
    return memcmp(a, b, DIGEST_SIZE);
}

struct recount_waiting {
    pthread_mutex_t lock;
    pthread_cond_t came;
    bool done;
    int res;
    struct rbuf *blob;
};

static void recount_rescued(void *arg, int res, struct rbuf *blob)
{
    struct recount_waiting *w = arg;
    (void)pthread_mutex_lock(&w->lock);
    w->res = res;
    w->blob = blob != NULL ? rbuf_ref(blob) : NULL;
    w->done = true;
    (void)pthread_cond_signal(&w->came);
    (void)pthread_mutex_unlock(&w->lock);
}

static int recount_rescue(struct recount *x, const struct digest *d, const struct index_entry *e,
                          struct rbuf **ret)
{
    struct recount_waiting w = {.lock = PTHREAD_MUTEX_INITIALIZER,
                                .came = PTHREAD_COND_INITIALIZER};
    store_rescue(x->store, d, e, false, recount_rescued, &w);
    (void)pthread_mutex_lock(&w.lock);
    while (!w.done)
        (void)pthread_cond_wait(&w.came, &w.lock);
    (void)pthread_mutex_unlock(&w.lock);
    if (w.res == 0)
        *ret = w.blob;
    return w.res;
}

static int recount_read(struct recount *x, const struct digest *d, struct rbuf **ret)
{
    struct index_entry e;
    int r = index_find(x->reader, d, &e);
    if (r < 0)
        return r;
    r = -EIO;
    if (e.volume != 0 && (e.flags & INDEX_QUARANTINED) == 0)
        r = volume_read_blob(x->store->volumes, x->queue, d, &e, ret);
    if (r == 0)
        rbuf_window(*ret, format_payload_offset(e.length), e.length);
    int rescued = r == 0 ? 0 : recount_rescue(x, d, &e, ret);
    return rescued == -ENOENT ? r : rescued; /* why it was needed says more */
}

static int recount_name(struct index_txn *t, const struct digest *d)
{
    struct index_entry e;
    int r = index_get(t, d, &e);
    if (r == -ENOENT) {
        /* Lost, and named all the same: the count waits for whoever puts it again. */
        e = (struct index_entry){.flags = INDEX_QUARANTINED};
        r = 0;
    }
    e.refs++;
    return r < 0 ? r : index_put(t, d, &e);
}

static int recount_presentation_body(struct index_txn *t, void *arg)
{
    const struct recount *x = arg;
    int r = recount_name(t, &x->presentation);
    for (uint32_t i = 0; i < x->links_count && r == 0; i++)
        r = recount_name(t, &x->links[i]);
    if (r == 0)
        r = index_put_links(t, &x->presentation, x->links, x->links_count);
    if (r == 0)
        r = index_put_holds(t, &x->presentation, x->holds);
    return r;
}

static int recount_presentation(struct recount *x)
{
    const struct store *s = x->store;
    struct rbuf *blob = NULL;
    char hex[DIGEST_TEXT_SIZE];
    x->links = NULL;
    x->links_count = 0;
    int r = recount_read(x, &x->presentation, &blob);
    if (r == 0)
        r = store_links_of(s->links, s->links_arg, blob, &x->links, &x->links_count);
    rbuf_unref(blob);
    if (r < 0) {
        digest_format(&x->presentation, hex);
        log_error("presentation %s, which is in use, cannot be read: %s; nothing is reclaimed", hex,
                  strerror(-r));
        x->complete = false;
    }
    r = index_run(s->index, recount_presentation_body, x);
    free(x->links);
    return r;
}

static int recount_presentations(struct recount *x)
{
    int r = index_list_refs(x->reader, recount_ref, x);
    if (r == 0)
        r = x->failed;
    if (x->held_count > 0)
        qsort(x->held, x->held_count, sizeof *x->held, recount_compare);
    for (size_t i = 0; i < x->held_count && r == 0;) {
        size_t from = i;
        while (i < x->held_count && digest_eq(&x->held[i], &x->held[from]))
            i++;
        x->presentation = x->held[from];
        x->holds = (uint32_t)(i - from);
        r = recount_presentation(x);
    }
    return r;
}

int store_recount(struct store *s, uint32_t unreferenced_s, bool *ret_complete, struct err *err)
{
    struct recount x = {
        .store = s, .due_s = (uint32_t)(clock_real_ms() / 1000) + unreferenced_s, .complete = true};
    x.blobs = calloc(RECOUNT_CHUNK, sizeof *x.blobs);
    int r = x.blobs != NULL ? index_reader_new(s->index, &x.reader) : -ENOMEM;
    if (r == 0)
        r = io_queue_new(s->io, 4, -1, &x.queue);
    if (r == 0)
        r = index_run(s->index, recount_begin_body, &x);
    if (r == 0)
        r = recount_each_blob(&x, recount_clear_body);
    if (r == 0)
        r = recount_presentations(&x);
    if (r == 0 && x.complete)
        r = recount_each_blob(&x, recount_orphans_body);
    if (r == 0 && x.complete)
        r = index_run(s->index, recount_end_body, &x);
    io_queue_free(x.queue);
    index_reader_free(x.reader);
    free(x.held);
    free(x.blobs);
    if (r < 0)
        return err_errno(err, r, "counting what names each blob");
    *ret_complete = x.complete;
    return 0;
}
