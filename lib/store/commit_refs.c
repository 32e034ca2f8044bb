/* SPDX-License-Identifier: Apache-2.0 */
/* What names a blob. A presentation is in use while refs name it; it and every blob that it names
 * carry a count of who does. A blob whose count falls to 0 waits as an orphan for its time, then is
 * reclaimed.
 *
 * Invariants, after each transaction:
 * 1. holds(P) is how many refs name presentation P; there are links of P exactly while it is not 0.
 * 2. refs of a blob is how many presentations in use name it, and one more while it is one itself.
 * 3. A blob with refs 0 has a row among the orphans that is due when it may go, or later. */
#include <errno.h>
#include <stdlib.h>
#include "store/commit_priv.h"

uint32_t commit_due(const struct commit *c, const struct index_entry *e)
{
    uint32_t wait_s =
        (e->flags & INDEX_DROPPED) != 0 ? c->options.dropped_s : c->options.unreferenced_s;
    return e->since_s > UINT32_MAX - wait_s ? UINT32_MAX : e->since_s + wait_s;
}

int commit_orphan(struct commit *c, struct commit_batch *b, struct index_txn *t,
                  const struct digest *d, struct index_entry *e, bool dropped)
{
    if (!c->options.counts)
        return 0;
    e->since_s = b->now_s;
    e->flags &= ~(uint32_t)INDEX_DROPPED;
    e->flags |= dropped ? INDEX_DROPPED : 0u;
    struct index_orphan orphan = {.due_s = commit_due(c, e), .digest = *d};
    int r = index_put(t, d, e);
    return r < 0 ? r : index_put_orphan(t, &orphan);
}

static int commit_name(struct index_txn *t, const struct digest *d)
{
    struct index_entry e;
    int r = index_get(t, d, &e);
    if (r < 0)
        return r;
    if (e.refs == UINT32_MAX)
        return -EOVERFLOW;
    e.refs++;
    e.flags &= ~(uint32_t)INDEX_DROPPED;
    return index_put(t, d, &e);
}

static int commit_unname(struct commit *c, struct commit_batch *b, struct index_txn *t,
                         const struct digest *d)
{
    struct index_entry e;
    int r = index_get(t, d, &e);
    if (r < 0 || e.refs == 0)
        return r == -ENOENT ? 0 : r; /* lost with its volume, or by a rebuild without it */
    e.refs--;
    return e.refs == 0 ? commit_orphan(c, b, t, d, &e, true) : index_put(t, d, &e);
}

/* Two lists of links, merged: what both have stays as it is. */
struct commit_merge {
    const struct digest *added, *dropped;
    uint32_t added_count, dropped_count;
};

/* The next that only one of them has; false: there is none. */
static bool commit_merge_next(struct commit_merge *m, struct digest *ret, bool *ret_added)
{
    for (;;) {
        int order = 0;
        if (m->added_count == 0 && m->dropped_count == 0)
            return false;
        if (m->added_count == 0 || m->added == NULL)
            order = 1;
        else if (m->dropped_count == 0 || m->dropped == NULL)
            order = -1;
        else
            order = memcmp(m->added->bytes, m->dropped->bytes, DIGEST_SIZE);
        const struct digest *d = order <= 0 ? m->added : m->dropped;
        m->added += order <= 0;
        m->added_count -= order <= 0;
        m->dropped += order >= 0;
        m->dropped_count -= order >= 0;
        if (order == 0)
            continue;
        *ret = *d;
        *ret_added = order < 0;
        return true;
    }
}

/* -ENOENT also for what was lost, of which only the count of who names it is left. */
static int commit_is_there(struct index_txn *t, const struct digest *d)
{
    struct index_entry e;
    int r = index_get(t, d, &e);
    return r == 0 && e.volume == 0 && (e.flags & INDEX_REMOTE) == 0 ? -ENOENT : r;
}

/* -ENOENT: the presentation, or a blob that it names and the one before did not, is not in the
 * store. */
static int commit_all_there(struct index_txn *t, const struct commit_op *op,
                            const struct commit_merge *m)
{
    struct commit_merge walk = *m;
    struct digest d;
    bool added = false;
    int r = commit_is_there(t, &op->digest);
    while (r == 0 && commit_merge_next(&walk, &d, &added))
        r = added ? commit_is_there(t, &d) : 0;
    return r;
}

/* The ref lets go of `before` (NULL: it names nothing yet) and, if op is a put, names op->digest.
 * */
static int commit_relink(struct commit *c, struct commit_batch *b, struct index_txn *t,
                         const struct commit_op *op, const struct digest *before, bool *ret_refused)
{
    struct commit_merge m = {0};
    struct digest d;
    uint32_t new_holds = 0, old_holds = 0;
    bool added = false, is_put = op->kind == COMMIT_REF_PUT;
    int r = is_put ? index_get_holds(t, &op->digest, &new_holds) : 0;
    if (r == 0 && before != NULL)
        r = index_get_holds(t, before, &old_holds);
    if (r < 0)
        return r;
    bool adds = is_put && new_holds == 0, drops = before != NULL && old_holds == 1;
    struct digest *copy = NULL;
    if (drops) {
        const struct digest *links = NULL;
        r = index_get_links(t, before, &links, &m.dropped_count);
        /* A copy: the row is in pages that the changes below may move. */
        if (r == 0 && m.dropped_count > 0) {
            copy = malloc((size_t)m.dropped_count * DIGEST_SIZE);
            if (copy == NULL)
                return -ENOMEM;
            memcpy(copy, links, (size_t)m.dropped_count * DIGEST_SIZE);
        }
        m.dropped = copy;
        if (r == -ENOENT)
            r = 0; /* moved before this store counted */
    }
    if (adds) {
        m.added = op->links;
        m.added_count = op->links_count;
    }
    if (r == 0 && is_put) {
        r = commit_all_there(t, op, &m);
        *ret_refused = r == -ENOENT;
    }
    while (r == 0 && commit_merge_next(&m, &d, &added))
        r = added ? commit_name(t, &d) : commit_unname(c, b, t, &d);
    free(copy);
    if (r == 0 && adds)
        r = commit_name(t, &op->digest);
    if (r == 0 && adds)
        r = index_put_links(t, &op->digest, op->links, op->links_count);
    if (r == 0 && is_put)
        r = index_put_holds(t, &op->digest, new_holds + 1);
    if (r == 0 && drops)
        r = commit_unname(c, b, t, before);
    if (r == 0 && drops) {
        r = index_delete_links(t, before);
        r = r == -ENOENT ? 0 : r; /* as above */
    }
    if (r == 0 && before != NULL && old_holds > 0)
        r = index_put_holds(t, before, old_holds - 1);
    return r;
}

static int commit_count_ref(struct commit *c, struct commit_batch *b, struct index_txn *t,
                            struct commit_op *op, const struct index_ref *before)
{
    bool refused = false, had = !before->gone;
    const struct digest *old = had ? &before->ref.presentation : NULL;
    if (op->kind == COMMIT_REF_MOVE || c->options.size_max > 0)
        return 0;
    if (!c->options.counts) {
        /* Counted when the store opens next; what a new ref names must be there all the same. */
        struct commit_merge m = {.added = op->links, .added_count = op->links_count};
        int there =
            op->kind == COMMIT_REF_PUT && c->options.links ? commit_all_there(t, op, &m) : 0;
        if (there == -ENOENT)
            op->res = -ENOENT;
        return there < 0 && there != -ENOENT ? there : index_put_counted(t, false);
    }
    if (op->kind == COMMIT_REF_PUT && had && digest_eq(old, &op->digest))
        return 0; /* the same once more: who names what stays */
    int r = commit_relink(c, b, t, op, old, &refused);
    if (!refused)
        return r;
    op->res = -ENOENT;
    return 0;
}

int commit_index_ref(struct commit *c, struct commit_batch *b, struct index_txn *t,
                     struct commit_op *op)
{
    struct str name = str_of(op->name);
    struct index_ref before = {.gone = true};
    int r = index_get_ref(t, name, &before);
    if (r == 0 || r == -ENOENT)
        r = commit_count_ref(c, b, t, op, &before);
    if (r < 0)
        return r;
    if (op->res < 0) {
        struct index_hole hole = {
            .volume = op->volume, .offset = op->offset, .size = format_record_size(op->length)};
        return op->recorded ? index_put_hole(t, &hole) : 0;
    }
    uint32_t old_length = (uint32_t)(sizeof(struct format_ref_disk) + name.size);
    if (before.volume != 0)
        r = commit_free_record(c, b, t, before.volume, before.offset, old_length, false, false);
    op->ref.volume = op->recorded ? op->volume : 0;
    op->ref.offset = op->recorded ? op->offset : 0;
    if (r == 0 && op->recorded) {
        struct index_extent extent = {.offset = op->offset,
                                      .kind = op->ref.gone ? FORMAT_REF_GONE : FORMAT_REF};
        r = str_copy(name, extent.name, sizeof extent.name);
        if (r == 0)
            r = index_put_extent(t, op->volume, &extent);
        struct index_volume *row = commit_row(c, b, op->volume);
        ASSERT(row != NULL);
        row->live += format_record_size(op->length);
    }
    return r < 0 ? r : index_put_ref(t, name, &op->ref);
}
