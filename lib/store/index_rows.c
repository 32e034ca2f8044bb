/* SPDX-License-Identifier: Apache-2.0 */
/* Rows about devices, volumes, what is still to be done, and refs. */
#include <endian.h>
#include <errno.h>
#include "store/index_priv.h"

struct index_device_disk {
    uint32_t kind;
    uint32_t flags;
};
static_assert(sizeof(struct index_device_disk) == 8, "docs/format.md");

struct index_volume_disk {
    uint64_t size;
    uint64_t end;
    uint64_t blobs;
    uint64_t bytes;
    uint64_t live;
    uint32_t device;
    uint32_t reserved;
};
static_assert(sizeof(struct index_volume_disk) == 48, "docs/format.md");

struct index_hole_key {
    uint32_t volume;
    uint32_t page;
};
static_assert(sizeof(struct index_hole_key) == 8, "docs/format.md");

struct index_ref_disk {
    uint8_t digest[DIGEST_SIZE];
    uint64_t generation;
    int64_t changed_ms;
    uint32_t volume;
    uint32_t page;
    uint32_t flags;    /* 1: deleted */
    uint32_t checksum; /* of the row and its name; 0: written by a version that made none */
};
static_assert(sizeof(struct index_ref_disk) == 48, "docs/format.md");

#define INDEX_REF_GONE UINT32_C(1)

/* --- devices ---------------------------------------------------------------------------------- */

int index_put_device(struct index_txn *t, const struct index_device *d)
{
    uint32_t key = htobe32(d->id);
    struct index_device_disk head = {.kind = htole32((uint32_t)d->kind),
                                     .flags = htole32(d->flags)};
    uint8_t row[sizeof head + INDEX_DEVICE_PATH_MAX];
    size_t size = strlen(d->path);
    ASSERT(size < INDEX_DEVICE_PATH_MAX);
    memcpy(row, &head, sizeof head);
    memcpy(row + sizeof head, d->path, size);
    return index_put_row(t, INDEX_DEVICES, index_val(&key, sizeof key), row, sizeof head + size);
}

struct index_devices_walk {
    index_device_each *each;
    void *arg;
};

static int index_devices_row(void *arg, const MDB_val *key, const MDB_val *value)
{
    struct index_devices_walk *w = arg;
    struct index_device_disk row;
    uint32_t id;
    if (key->mv_size != sizeof id || value->mv_size < sizeof row ||
        value->mv_size - sizeof row >= INDEX_DEVICE_PATH_MAX)
        return -EBADMSG;
    memcpy(&id, key->mv_data, sizeof id);
    memcpy(&row, value->mv_data, sizeof row);
    struct index_device d = {.id = be32toh(id),
                             .kind = le32toh(row.kind) == FORMAT_COLD ? FORMAT_COLD : FORMAT_WARM,
                             .flags = le32toh(row.flags)};
    memcpy(d.path, (const uint8_t *)value->mv_data + sizeof row, value->mv_size - sizeof row);
    return w->each(w->arg, &d);
}

int index_devices(struct index_reader *r, index_device_each *each, void *arg)
{
    struct index_devices_walk w = {.each = each, .arg = arg};
    return index_walk(r, INDEX_DEVICES, NULL, false, index_devices_row, &w);
}

/* --- volumes ---------------------------------------------------------------------------------- */

int index_put_volume(struct index_txn *t, const struct index_volume *v)
{
    uint32_t key = htobe32(v->id);
    struct index_volume_disk row = {.size = htole64(v->size),
                                    .end = htole64(v->end),
                                    .blobs = htole64(v->blobs),
                                    .bytes = htole64(v->bytes),
                                    .live = htole64(v->live),
                                    .device = htole32(v->device)};
    return index_put_row(t, INDEX_VOLUMES, index_val(&key, sizeof key), &row, sizeof row);
}

int index_delete_volume(struct index_txn *t, uint32_t id)
{
    uint32_t k = htobe32(id);
    return index_delete_row(t, INDEX_VOLUMES, index_val(&k, sizeof k));
}

static int index_read_volume(const MDB_val *key, const MDB_val *value, struct index_volume *ret)
{
    struct index_volume_disk row;
    uint32_t id;
    if (key->mv_size != sizeof id || value->mv_size != sizeof row)
        return -EBADMSG;
    memcpy(&id, key->mv_data, sizeof id);
    memcpy(&row, value->mv_data, sizeof row);
    struct index_volume v = {.id = be32toh(id),
                             .device = le32toh(row.device),
                             .size = le64toh(row.size),
                             .end = le64toh(row.end),
                             .blobs = le64toh(row.blobs),
                             .bytes = le64toh(row.bytes),
                             .live = le64toh(row.live)};
    if (v.id == 0 || v.end < FORMAT_RECORDS || v.end > v.size || v.end % FORMAT_ALIGN != 0)
        return -EBADMSG;
    *ret = v;
    return 0;
}

static int index_get_volume_row(MDB_txn *txn, MDB_dbi volumes, uint32_t id,
                                struct index_volume *ret)
{
    uint32_t k = htobe32(id);
    MDB_val key = index_val(&k, sizeof k), value;
    int r = index_err(mdb_get(txn, volumes, &key, &value));
    return r < 0 ? r : index_read_volume(&key, &value, ret);
}

int index_get_volume(struct index_txn *t, uint32_t id, struct index_volume *ret)
{
    return index_get_volume_row(t->txn, t->index->dbs[INDEX_VOLUMES], id, ret);
}

int index_find_volume(struct index_reader *r, uint32_t id, struct index_volume *ret)
{
    int e = index_read_begin(r);
    if (e < 0)
        return e;
    e = index_get_volume_row(r->txn, r->index->dbs[INDEX_VOLUMES], id, ret);
    index_read_end(r);
    return e;
}

struct index_volumes_walk {
    index_volume_each *each;
    void *arg;
};

static int index_volumes_row(void *arg, const MDB_val *key, const MDB_val *value)
{
    struct index_volumes_walk *w = arg;
    struct index_volume v;
    int r = index_read_volume(key, value, &v);
    return r < 0 ? r : w->each(w->arg, &v);
}

int index_volumes(struct index_reader *r, index_volume_each *each, void *arg)
{
    struct index_volumes_walk w = {.each = each, .arg = arg};
    return index_walk(r, INDEX_VOLUMES, NULL, false, index_volumes_row, &w);
}

/* --- holes ------------------------------------------------------------------------------------ */

static struct index_hole_key index_hole_key(uint32_t volume, uint64_t offset)
{
    ASSERT(offset / FORMAT_ALIGN <= UINT32_MAX);
    return (struct index_hole_key){.volume = htobe32(volume),
                                   .page = htobe32((uint32_t)(offset / FORMAT_ALIGN))};
}

int index_put_hole(struct index_txn *t, const struct index_hole *h)
{
    struct index_hole_key key = index_hole_key(h->volume, h->offset);
    uint32_t pages = htole32((uint32_t)(h->size / FORMAT_ALIGN));
    return index_put_row(t, INDEX_HOLES, index_val(&key, sizeof key), &pages, sizeof pages);
}

int index_delete_hole(struct index_txn *t, const struct index_hole *h)
{
    struct index_hole_key k = index_hole_key(h->volume, h->offset);
    return index_delete_row(t, INDEX_HOLES, index_val(&k, sizeof k));
}

int index_delete_holes(struct index_txn *t, uint32_t volume)
{
    struct index_hole_key k = index_hole_key(volume, 0);
    MDB_cursor *c = NULL;
    MDB_val key = index_val(&k, sizeof k), value;
    int r = index_err(mdb_cursor_open(t->txn, t->index->dbs[INDEX_HOLES], &c));
    if (r < 0)
        return r;
    r = index_err(mdb_cursor_get(c, &key, &value, MDB_SET_RANGE));
    while (r == 0) {
        if (key.mv_size != sizeof k) {
            r = -EBADMSG;
            break;
        }
        memcpy(&k, key.mv_data, sizeof k);
        if (be32toh(k.volume) != volume)
            break;
        r = index_txn_err(t, mdb_cursor_del(c, 0));
        if (r == 0)
            r = index_err(mdb_cursor_get(c, &key, &value, MDB_NEXT));
    }
    mdb_cursor_close(c);
    return r == -ENOENT ? 0 : r;
}

struct index_holes_walk {
    struct index_hole *out;
    unsigned max, count;
};

static int index_holes_row(void *arg, const MDB_val *key, const MDB_val *value)
{
    struct index_holes_walk *w = arg;
    struct index_hole_key k;
    uint32_t pages;
    if (key->mv_size != sizeof k || value->mv_size != sizeof pages)
        return -EBADMSG;
    if (w->count == w->max)
        return 1;
    memcpy(&k, key->mv_data, sizeof k);
    memcpy(&pages, value->mv_data, sizeof pages);
    w->out[w->count++] = (struct index_hole){.volume = be32toh(k.volume),
                                             .offset = (uint64_t)be32toh(k.page) * FORMAT_ALIGN,
                                             .size = (uint64_t)le32toh(pages) * FORMAT_ALIGN};
    return 0;
}

int index_holes(struct index_reader *r, unsigned max, struct index_hole *out, unsigned *ret_count)
{
    struct index_holes_walk w = {.out = out, .max = max};
    int e = index_walk(r, INDEX_HOLES, NULL, false, index_holes_row, &w);
    if (e == 0)
        *ret_count = w.count;
    return e;
}

/* --- the remote tier -------------------------------------------------------------------------- */

static int index_read_errand(const MDB_val *value, enum index_errand_kind *ret)
{
    const uint8_t *kind = value->mv_data;
    if (value->mv_size != 1 || *kind < INDEX_UPLOAD || *kind > INDEX_REMOVE)
        return -EBADMSG;
    *ret = (enum index_errand_kind) * kind;
    return 0;
}

int index_get_errand(struct index_txn *t, const struct digest *d, enum index_errand_kind *ret)
{
    MDB_val key = index_val(d->bytes, DIGEST_SIZE), value;
    int r = index_err(mdb_get(t->txn, t->index->dbs[INDEX_ERRANDS], &key, &value));
    return r < 0 ? r : index_read_errand(&value, ret);
}

int index_find_errand(struct index_reader *r, const struct digest *d, enum index_errand_kind *ret)
{
    MDB_val key = index_val(d->bytes, DIGEST_SIZE), value;
    int e = index_read_begin(r);
    if (e < 0)
        return e;
    e = index_err(mdb_get(r->txn, r->index->dbs[INDEX_ERRANDS], &key, &value));
    if (e == 0)
        e = index_read_errand(&value, ret);
    index_read_end(r);
    return e;
}

int index_put_errand(struct index_txn *t, const struct index_errand *e)
{
    uint8_t kind = (uint8_t)e->kind;
    return index_put_row(t, INDEX_ERRANDS, index_val(e->digest.bytes, DIGEST_SIZE), &kind,
                         sizeof kind);
}

int index_delete_errand(struct index_txn *t, const struct digest *d)
{
    return index_delete_row(t, INDEX_ERRANDS, index_val(d->bytes, DIGEST_SIZE));
}

struct index_errands_walk {
    struct index_errand *out;
    unsigned max, count;
};

static int index_errands_row(void *arg, const MDB_val *key, const MDB_val *value)
{
    struct index_errands_walk *w = arg;
    if (key->mv_size != DIGEST_SIZE)
        return -EBADMSG;
    if (w->count == w->max)
        return 1;
    struct index_errand *e = &w->out[w->count++];
    memcpy(e->digest.bytes, key->mv_data, DIGEST_SIZE);
    return index_read_errand(value, &e->kind);
}

int index_errands(struct index_reader *r, const struct digest *after, unsigned max,
                  struct index_errand *out, unsigned *ret_count)
{
    struct index_errands_walk w = {.out = out, .max = max};
    MDB_val key = index_val(after != NULL ? after->bytes : NULL, DIGEST_SIZE);
    int e = index_walk(r, INDEX_ERRANDS, after != NULL ? &key : NULL, after != NULL,
                       index_errands_row, &w);
    if (e == 0)
        *ret_count = w.count;
    return e;
}

/* --- refs ------------------------------------------------------------------------------------- */

/* Nothing else would tell that a row is not what was written: a blob proves itself, a name does
 * not. */
static uint32_t index_ref_sum(struct str name, const struct index_ref_disk *row)
{
    uint8_t bytes[offsetof(struct index_ref_disk, checksum) + STORE_NAME_MAX];
    size_t size = MIN(name.size, (size_t)STORE_NAME_MAX);
    uint32_t sum;
    memcpy(bytes, row, offsetof(struct index_ref_disk, checksum));
    memcpy(bytes + offsetof(struct index_ref_disk, checksum), name.data, size);
    struct digest d = digest_of(bytes, offsetof(struct index_ref_disk, checksum) + size);
    memcpy(&sum, d.bytes, sizeof sum);
    return sum != 0 ? sum : 1;
}

static int index_read_ref(struct str name, const MDB_val *value, struct index_ref *ret)
{
    struct index_ref_disk row;
    if (value->mv_size != sizeof row || !store_name_ok(name))
        return -EBADMSG;
    memcpy(&row, value->mv_data, sizeof row);
    if (row.checksum != 0 && row.checksum != index_ref_sum(name, &row))
        return -EBADMSG;
    memcpy(ret->ref.presentation.bytes, row.digest, DIGEST_SIZE);
    ret->ref.generation = le64toh(row.generation);
    ret->ref.changed_ms = (int64_t)le64toh((uint64_t)row.changed_ms);
    ret->gone = (le32toh(row.flags) & INDEX_REF_GONE) != 0;
    ret->volume = le32toh(row.volume);
    ret->offset = (uint64_t)le32toh(row.page) * FORMAT_ALIGN;
    return 0;
}

static int index_get_ref_row(MDB_txn *txn, MDB_dbi refs, struct str name, struct index_ref *ret)
{
    MDB_val key = index_val(name.data, name.size), value;
    int r = index_err(mdb_get(txn, refs, &key, &value));
    return r < 0 ? r : index_read_ref(name, &value, ret);
}

int index_find_ref_row(struct index_reader *r, struct str name, struct index_ref *ret)
{
    int e = index_read_begin(r);
    if (e < 0)
        return e;
    e = index_get_ref_row(r->txn, r->index->dbs[INDEX_REFS], name, ret);
    index_read_end(r);
    return e;
}

int index_find_ref(struct index_reader *r, struct str name, struct store_ref *ret)
{
    struct index_ref row;
    int e = index_find_ref_row(r, name, &row);
    if (e == 0 && row.gone)
        e = -ENOENT;
    if (e == 0)
        *ret = row.ref;
    return e;
}

int index_get_ref(struct index_txn *t, struct str name, struct index_ref *ret)
{
    return index_get_ref_row(t->txn, t->index->dbs[INDEX_REFS], name, ret);
}

int index_put_ref(struct index_txn *t, struct str name, const struct index_ref *ref)
{
    ASSERT(ref->offset / FORMAT_ALIGN <= UINT32_MAX);
    struct index_ref_disk row = {.generation = htole64(ref->ref.generation),
                                 .changed_ms = (int64_t)htole64((uint64_t)ref->ref.changed_ms),
                                 .volume = htole32(ref->volume),
                                 .page = htole32((uint32_t)(ref->offset / FORMAT_ALIGN)),
                                 .flags = htole32(ref->gone ? INDEX_REF_GONE : 0)};
    memcpy(row.digest, ref->ref.presentation.bytes, DIGEST_SIZE);
    row.checksum = index_ref_sum(name, &row);
    return index_put_row(t, INDEX_REFS, index_val(name.data, name.size), &row, sizeof row);
}

struct index_refs_walk {
    store_ref_each *each;
    void *arg;
};

static int index_refs_row(void *arg, const MDB_val *key, const MDB_val *value)
{
    struct index_refs_walk *w = arg;
    struct index_ref row;
    struct str name = {key->mv_data, key->mv_size};
    int r = index_read_ref(name, value, &row);
    if (r < 0 || row.gone)
        return r;
    return w->each(w->arg, name, &row.ref) ? 0 : 1;
}

int index_list_refs(struct index_reader *r, store_ref_each *each, void *arg)
{
    struct index_refs_walk w = {.each = each, .arg = arg};
    return index_walk(r, INDEX_REFS, NULL, false, index_refs_row, &w);
}
