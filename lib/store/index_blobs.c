/* SPDX-License-Identifier: Apache-2.0 */
/* Rows about blobs: entries, extents, and what names them. Keys are digests, or numbers in
 * big-endian order so that LMDB's byte order is their order. */
#include <endian.h>
#include <errno.h>
#include "store/index_priv.h"

struct index_entry_disk {
    uint32_t volume;
    uint32_t page; /* offset / FORMAT_ALIGN: a volume is at most 16 TiB */
    uint32_t length;
    uint32_t refs;
    uint32_t since_s;
    uint32_t flags;
};
static_assert(sizeof(struct index_entry_disk) == 24, "docs/format.md");

struct index_extent_key {
    uint32_t volume;
    uint32_t page;
};
static_assert(sizeof(struct index_extent_key) == 8, "docs/format.md");

/* The name of a ref takes the place of the digest. */
struct index_extent_disk {
    uint8_t kind; /* enum format_kind */
    uint8_t digest[DIGEST_SIZE];
};
static_assert(sizeof(struct index_extent_disk) == 17, "docs/format.md");

struct index_orphan_key {
    uint32_t due_s;
    uint8_t digest[DIGEST_SIZE];
};
static_assert(sizeof(struct index_orphan_key) == 20, "docs/format.md");

static_assert(sizeof(struct digest) == DIGEST_SIZE, "links lie on disk as an array of digests");

static MDB_val index_digest_val(const struct digest *d)
{
    return index_val(d->bytes, DIGEST_SIZE);
}

static uint32_t index_page(uint64_t offset)
{
    ASSERT(offset / FORMAT_ALIGN <= UINT32_MAX);
    return (uint32_t)(offset / FORMAT_ALIGN);
}

/* --- entries ---------------------------------------------------------------------------------- */

static int index_read_entry(const MDB_val *value, struct index_entry *ret)
{
    struct index_entry_disk row;
    if (value->mv_size != sizeof row)
        return -EBADMSG;
    memcpy(&row, value->mv_data, sizeof row);
    if (le32toh(row.length) > STORE_BLOB_MAX)
        return -EBADMSG;
    *ret = (struct index_entry){.volume = le32toh(row.volume),
                                .offset = (uint64_t)le32toh(row.page) * FORMAT_ALIGN,
                                .length = le32toh(row.length),
                                .refs = le32toh(row.refs),
                                .since_s = le32toh(row.since_s),
                                .flags = le32toh(row.flags)};
    return 0;
}

static int index_get_entry(MDB_txn *txn, MDB_dbi blobs, const struct digest *d,
                           struct index_entry *ret)
{
    MDB_val key = index_digest_val(d), value;
    int r = index_err(mdb_get(txn, blobs, &key, &value));
    return r < 0 ? r : index_read_entry(&value, ret);
}

int index_find(struct index_reader *r, const struct digest *d, struct index_entry *ret)
{
    int e = index_read_begin(r);
    if (e < 0)
        return e;
    e = index_get_entry(r->txn, r->index->dbs[INDEX_BLOBS], d, ret);
    index_read_end(r);
    return e;
}

int index_find_all(struct index_reader *r, const struct digest *digests, uint32_t count)
{
    struct index_entry entry;
    int e = index_read_begin(r);
    if (e < 0)
        return e;
    for (uint32_t i = 0; i < count && e == 0; i++) {
        e = index_get_entry(r->txn, r->index->dbs[INDEX_BLOBS], &digests[i], &entry);
        if (e == 0 && entry.volume == 0 && (entry.flags & INDEX_REMOTE) == 0)
            e = -ENOENT; /* lost: only the count of who names it is left */
    }
    index_read_end(r);
    return e;
}

int index_get(struct index_txn *t, const struct digest *d, struct index_entry *ret)
{
    return index_get_entry(t->txn, t->index->dbs[INDEX_BLOBS], d, ret);
}

int index_put(struct index_txn *t, const struct digest *d, const struct index_entry *e)
{
    struct index_entry_disk row = {.volume = htole32(e->volume),
                                   .page = htole32(index_page(e->offset)),
                                   .length = htole32(e->length),
                                   .refs = htole32(e->refs),
                                   .since_s = htole32(e->since_s),
                                   .flags = htole32(e->flags)};
    return index_put_row(t, INDEX_BLOBS, index_digest_val(d), &row, sizeof row);
}

int index_delete(struct index_txn *t, const struct digest *d)
{
    return index_delete_row(t, INDEX_BLOBS, index_digest_val(d));
}

struct index_blobs_walk {
    struct index_blob *out;
    unsigned max, count;
};

static int index_blobs_row(void *arg, const MDB_val *key, const MDB_val *value)
{
    struct index_blobs_walk *w = arg;
    if (key->mv_size != DIGEST_SIZE)
        return -EBADMSG;
    if (w->count == w->max)
        return 1;
    struct index_blob *b = &w->out[w->count++];
    memcpy(b->digest.bytes, key->mv_data, DIGEST_SIZE);
    return index_read_entry(value, &b->entry);
}

int index_blobs(struct index_reader *r, const struct digest *from, bool after, unsigned max,
                struct index_blob *out, unsigned *ret_count)
{
    struct index_blobs_walk w = {.out = out, .max = max};
    MDB_val key = index_digest_val(from);
    int e = index_walk(r, INDEX_BLOBS, &key, after, index_blobs_row, &w);
    if (e == 0)
        *ret_count = w.count;
    return e;
}

/* --- extents ---------------------------------------------------------------------------------- */

static struct index_extent_key index_extent_key(uint32_t volume, uint64_t offset)
{
    return (struct index_extent_key){.volume = htobe32(volume),
                                     .page = htobe32(index_page(offset))};
}

int index_put_extent(struct index_txn *t, uint32_t volume, const struct index_extent *e)
{
    struct index_extent_key key = index_extent_key(volume, e->offset);
    uint8_t row[1 + STORE_NAME_MAX] = {(uint8_t)e->kind};
    size_t size = e->kind == FORMAT_BLOB ? DIGEST_SIZE : strlen(e->name);
    ASSERT(size <= STORE_NAME_MAX);
    memcpy(row + 1, e->kind == FORMAT_BLOB ? (const void *)e->digest.bytes : e->name, size);
    return index_put_row(t, INDEX_EXTENTS, index_val(&key, sizeof key), row, 1 + size);
}

int index_delete_extent(struct index_txn *t, uint32_t volume, uint64_t offset)
{
    struct index_extent_key k = index_extent_key(volume, offset);
    return index_delete_row(t, INDEX_EXTENTS, index_val(&k, sizeof k));
}

static int index_read_extent(const struct index_extent_key *key, const MDB_val *value,
                             struct index_extent *ret)
{
    const uint8_t *row = value->mv_data;
    if (value->mv_size < 2 || value->mv_size > 1 + STORE_NAME_MAX)
        return -EBADMSG;
    *ret = (struct index_extent){.offset = (uint64_t)be32toh(key->page) * FORMAT_ALIGN};
    size_t size = value->mv_size - 1;
    if (row[0] == FORMAT_BLOB && size == DIGEST_SIZE) {
        ret->kind = FORMAT_BLOB;
        memcpy(ret->digest.bytes, row + 1, size);
        return 0;
    }
    if (row[0] != FORMAT_REF && row[0] != FORMAT_REF_GONE)
        return -EBADMSG;
    ret->kind = row[0] == FORMAT_REF ? FORMAT_REF : FORMAT_REF_GONE;
    memcpy(ret->name, row + 1, size);
    return store_name_ok(str_of(ret->name)) ? 0 : -EBADMSG;
}

struct index_extents_walk {
    uint32_t volume;
    struct index_extent *out;
    unsigned max, count;
};

static int index_extents_row(void *arg, const MDB_val *key, const MDB_val *value)
{
    struct index_extents_walk *w = arg;
    struct index_extent_key k;
    if (key->mv_size != sizeof k)
        return -EBADMSG;
    memcpy(&k, key->mv_data, sizeof k);
    if (be32toh(k.volume) != w->volume || w->count == w->max)
        return 1;
    return index_read_extent(&k, value, &w->out[w->count++]);
}

int index_extents(struct index_reader *r, uint32_t volume, uint64_t from, unsigned max,
                  struct index_extent *out, unsigned *ret_count)
{
    struct index_extents_walk w = {.volume = volume, .out = out, .max = max};
    struct index_extent_key k = index_extent_key(volume, from);
    MDB_val key = index_val(&k, sizeof k);
    int e = index_walk(r, INDEX_EXTENTS, &key, false, index_extents_row, &w);
    if (e == 0)
        *ret_count = w.count;
    return e;
}

int index_has_extents(struct index_txn *t, uint32_t volume, bool *ret)
{
    struct index_extent_key k = index_extent_key(volume, 0);
    MDB_val key = index_val(&k, sizeof k), value;
    MDB_cursor *c = NULL;
    int r = index_err(mdb_cursor_open(t->txn, t->index->dbs[INDEX_EXTENTS], &c));
    if (r < 0)
        return r;
    r = index_err(mdb_cursor_get(c, &key, &value, MDB_SET_RANGE));
    if (r == 0 && key.mv_size != sizeof k)
        r = -EBADMSG;
    if (r == 0) {
        memcpy(&k, key.mv_data, sizeof k);
        *ret = be32toh(k.volume) == volume;
    } else if (r == -ENOENT) {
        *ret = false;
        r = 0;
    }
    mdb_cursor_close(c);
    return r;
}

/* --- what names a blob ------------------------------------------------------------------------ */

int index_counted(struct index_reader *r, bool *ret)
{
    uint8_t counted = 0;
    int e = index_read_begin(r);
    if (e < 0)
        return e;
    e = index_get_row(r->txn, r->index->dbs[INDEX_META], index_val("counted", 7), &counted,
                      sizeof counted);
    index_read_end(r);
    if (e < 0 && e != -ENOENT)
        return e;
    *ret = counted != 0;
    return 0;
}

int index_put_counted(struct index_txn *t, bool counted)
{
    uint8_t v = counted ? 1 : 0;
    return index_put_row(t, INDEX_META, index_val("counted", 7), &v, sizeof v);
}

int index_uncount(struct index_txn *t)
{
    static const enum index_db dbs[] = {INDEX_HOLDS, INDEX_LINKS, INDEX_ORPHANS};
    int r = 0;
    for (size_t i = 0; i < ARRAY_LEN(dbs) && r == 0; i++)
        r = index_txn_err(t, mdb_drop(t->txn, t->index->dbs[dbs[i]], 0));
    return r;
}

int index_get_holds(struct index_txn *t, const struct digest *presentation, uint32_t *ret)
{
    uint32_t v = 0;
    int r = index_get_row(t->txn, t->index->dbs[INDEX_HOLDS], index_digest_val(presentation), &v,
                          sizeof v);
    if (r < 0 && r != -ENOENT)
        return r;
    *ret = le32toh(v);
    return 0;
}

int index_put_holds(struct index_txn *t, const struct digest *presentation, uint32_t count)
{
    uint32_t v = htole32(count);
    MDB_val key = index_digest_val(presentation);
    if (count > 0)
        return index_put_row(t, INDEX_HOLDS, key, &v, sizeof v);
    int r = index_delete_row(t, INDEX_HOLDS, key);
    return r == -ENOENT ? 0 : r;
}

int index_get_links(struct index_txn *t, const struct digest *presentation,
                    const struct digest **ret, uint32_t *ret_count)
{
    MDB_val key = index_digest_val(presentation), value;
    int r = index_err(mdb_get(t->txn, t->index->dbs[INDEX_LINKS], &key, &value));
    if (r < 0)
        return r;
    if (value.mv_size % DIGEST_SIZE != 0 || value.mv_size / DIGEST_SIZE > UINT32_MAX)
        return -EBADMSG;
    *ret = value.mv_data; /* bytes alone: any alignment will do */
    *ret_count = (uint32_t)(value.mv_size / DIGEST_SIZE);
    return 0;
}

int index_put_links(struct index_txn *t, const struct digest *presentation,
                    const struct digest *links, uint32_t count)
{
    return index_put_row(t, INDEX_LINKS, index_digest_val(presentation), links,
                         (size_t)count * DIGEST_SIZE);
}

int index_delete_links(struct index_txn *t, const struct digest *presentation)
{
    return index_delete_row(t, INDEX_LINKS, index_digest_val(presentation));
}

static struct index_orphan_key index_orphan_key(const struct index_orphan *o)
{
    struct index_orphan_key k = {.due_s = htobe32(o->due_s)};
    memcpy(k.digest, o->digest.bytes, DIGEST_SIZE);
    return k;
}

int index_put_orphan(struct index_txn *t, const struct index_orphan *o)
{
    struct index_orphan_key k = index_orphan_key(o);
    return index_put_row(t, INDEX_ORPHANS, index_val(&k, sizeof k), "", 0);
}

int index_delete_orphan(struct index_txn *t, const struct index_orphan *o)
{
    struct index_orphan_key k = index_orphan_key(o);
    return index_delete_row(t, INDEX_ORPHANS, index_val(&k, sizeof k));
}

struct index_orphans_walk {
    uint32_t due_s;
    struct index_orphan *out;
    unsigned max, count;
};

static int index_orphans_row(void *arg, const MDB_val *key, const MDB_val *value)
{
    struct index_orphans_walk *w = arg;
    struct index_orphan_key k;
    (void)value; /* the key says it all */
    if (key->mv_size != sizeof k)
        return -EBADMSG;
    memcpy(&k, key->mv_data, sizeof k);
    if (be32toh(k.due_s) > w->due_s || w->count == w->max)
        return 1;
    struct index_orphan *o = &w->out[w->count++];
    o->due_s = be32toh(k.due_s);
    memcpy(o->digest.bytes, k.digest, DIGEST_SIZE);
    return 0;
}

int index_orphans(struct index_reader *r, uint32_t due_s, unsigned max, struct index_orphan *out,
                  unsigned *ret_count)
{
    struct index_orphans_walk w = {.due_s = due_s, .out = out, .max = max};
    int e = index_walk(r, INDEX_ORPHANS, NULL, false, index_orphans_row, &w);
    if (e == 0)
        *ret_count = w.count;
    return e;
}
