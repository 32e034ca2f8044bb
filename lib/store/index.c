/* SPDX-License-Identifier: Apache-2.0 */
#include "store/index.h"
#include <endian.h>
#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/file.h"
#include "base/id.h"

#define INDEX_READERS_MAX 1024u
#define INDEX_MAP_DEFAULT (UINT64_C(64) << 30)
#define INDEX_PATH_MAX    4096

/* Rows as they are on disk; keys are digests, names, or numbers in big-endian order so that LMDB's
 * byte order is their order. */
struct index_entry_disk {
    uint32_t volume;
    uint32_t flags;
    uint64_t offset;
    uint32_t length;
    uint32_t reserved;
};
static_assert(sizeof(struct index_entry_disk) == 24, "docs/format.md");

struct index_volume_disk {
    uint64_t size;
    uint64_t end;
    uint64_t blobs;
    uint64_t bytes;
};
static_assert(sizeof(struct index_volume_disk) == 32, "docs/format.md");

struct index_ref_disk {
    uint8_t digest[DIGEST_SIZE];
    uint64_t generation;
    int64_t changed_ms;
};
static_assert(sizeof(struct index_ref_disk) == 32, "docs/format.md");

struct index_extent_key {
    uint32_t volume;
    uint32_t page; /* offset / FORMAT_ALIGN: a volume is at most 16 TiB */
};
static_assert(sizeof(struct index_extent_key) == 8, "docs/format.md");

struct index {
    uint32_t magic;
#define INDEX_MAGIC UINT32_C(0x1de8e002)
    MDB_env *env;
    MDB_dbi meta, blobs, extents, volumes, refs;
    uint8_t store_id[FORMAT_ID_SIZE];
};

struct index_reader {
    uint32_t magic;
#define INDEX_READER_MAGIC UINT32_C(0x1de8ead3)
    struct index *index;
    MDB_txn *txn; /* reset between calls */
};

struct index_txn {
    struct index *index;
    MDB_txn *txn;
};

/* LMDB mixes positive errno values with numbers of its own; none of them leaves this file. */
static int index_err(int e)
{
    switch (e) {
    case 0:
        return 0;
    case MDB_NOTFOUND:
        return -ENOENT;
    case MDB_KEYEXIST:
        return -EEXIST;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
        return -ENOSPC;
    case MDB_READERS_FULL:
        return -EAGAIN;
    case MDB_VERSION_MISMATCH:
        return -EPROTONOSUPPORT;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_INCOMPATIBLE:
        return -EBADMSG;
    default:
        return e > 0 ? -e : -EIO;
    }
}

static MDB_val index_val(const void *data, size_t size)
{
    return (MDB_val){.mv_size = size, .mv_data = (void *)(uintptr_t)data}; /* LMDB only reads it */
}

static int index_get_row(MDB_txn *txn, MDB_dbi dbi, MDB_val key, void *out, size_t size)
{
    MDB_val value;
    int r = index_err(mdb_get(txn, dbi, &key, &value));
    if (r < 0)
        return r;
    if (value.mv_size != size)
        return -EBADMSG;
    memcpy(out, value.mv_data, size);
    return 0;
}

static int index_put_row(MDB_txn *txn, MDB_dbi dbi, MDB_val key, const void *row, size_t size)
{
    MDB_val value = index_val(row, size);
    return index_err(mdb_put(txn, dbi, &key, &value, 0));
}

/* --- opening ---------------------------------------------------------------------------------- */

static int index_meta_u32(MDB_txn *txn, MDB_dbi meta, struct str key, uint32_t *ret)
{
    uint32_t v;
    int r = index_get_row(txn, meta, index_val(key.data, key.size), &v, sizeof v);
    if (r == 0)
        *ret = le32toh(v);
    return r;
}

static int index_put_meta_u32(MDB_txn *txn, MDB_dbi meta, struct str key, uint32_t value)
{
    uint32_t v = htole32(value);
    return index_put_row(txn, meta, index_val(key.data, key.size), &v, sizeof v);
}

static int index_make(struct index *x, MDB_txn *txn, const uint8_t *store_id)
{
    static const struct str id_key = {"store_id", 8};
    const struct {
        const char *name;
        MDB_dbi *dbi;
    } dbs[] = {{"meta", &x->meta},
               {"blobs", &x->blobs},
               {"extents", &x->extents},
               {"volumes", &x->volumes},
               {"refs", &x->refs}};
    for (size_t i = 0; i < ARRAY_LEN(dbs); i++) {
        int r = index_err(mdb_dbi_open(txn, dbs[i].name, MDB_CREATE, dbs[i].dbi));
        if (r < 0)
            return r;
    }
    MDB_val key = index_val(id_key.data, id_key.size);
    int r = index_get_row(txn, x->meta, key, x->store_id, sizeof x->store_id);
    if (r != -ENOENT)
        return r;
    if (store_id != NULL)
        memcpy(x->store_id, store_id, FORMAT_ID_SIZE);
    else
        id_random(x->store_id, sizeof x->store_id);
    r = index_put_row(txn, x->meta, key, x->store_id, sizeof x->store_id);
    if (r == 0)
        r = index_put_meta_u32(txn, x->meta, STR("format"), FORMAT_VERSION);
    return r;
}

/* An environment that has something in it must be ours, before anything is written. */
static int index_check(struct index *x, const char *path, struct err *err)
{
    MDB_txn *txn = NULL;
    MDB_stat stat;
    MDB_dbi meta;
    uint32_t version = 0;
    int r = index_err(mdb_txn_begin(x->env, NULL, MDB_RDONLY, &txn));
    if (r < 0)
        return err_errno(err, r, "reading the index %s", path);
    r = index_err(mdb_stat(txn, 1 /* LMDB's own root, which lists the databases */, &stat));
    if (r == 0 && stat.ms_entries == 0) {
        mdb_txn_abort(txn);
        return 0; /* made, but a crash came before the first commit */
    }
    if (r == 0)
        r = index_err(mdb_dbi_open(txn, "meta", 0, &meta));
    if (r == 0)
        r = index_meta_u32(txn, meta, STR("format"), &version);
    mdb_txn_abort(txn);
    if (r < 0)
        return err_set(err, -EBADMSG, "%s is not the index of a Weir store", path);
    if (version != FORMAT_VERSION)
        return err_set(err, -EPROTONOSUPPORT,
                       "the index %s has format %u and this program knows only %u", path, version,
                       FORMAT_VERSION);
    return 0;
}

static int index_open_env(struct index *x, const char *path, uint64_t map_size, struct err *err)
{
    int dead = 0;
    int r = index_err(mdb_env_create(&x->env));
    if (r == 0)
        r = index_err(mdb_env_set_maxdbs(x->env, 16));
    if (r == 0)
        r = index_err(mdb_env_set_maxreaders(x->env, INDEX_READERS_MAX));
    if (r == 0)
        r = index_err(mdb_env_set_mapsize(x->env, map_size != 0 ? map_size : INDEX_MAP_DEFAULT));
    if (r == 0)
        r = index_err(mdb_env_open(x->env, path, MDB_NOTLS | MDB_NORDAHEAD, 0644));
    if (r == -EPROTONOSUPPORT || r == -EBADMSG)
        return err_set(err, r, "%s is not an index that this program can read", path);
    if (r < 0)
        return err_errno(err, r, "opening the index %s", path);
    /* Slots of readers that were killed would keep old pages for ever. */
    r = index_err(mdb_reader_check(x->env, &dead));
    return r < 0 ? err_errno(err, r, "checking the readers of %s", path) : 0;
}

static int index_prepare_folder(const char *path, bool create, struct err *err)
{
    char data[INDEX_PATH_MAX];
    struct buf b = BUF_EMPTY;
    buf_printf(&b, "%s/data.mdb", path);
    int r = buf_error(&b) < 0 ? buf_error(&b) : str_copy(buf_str(&b), data, sizeof data);
    buf_free(&b);
    if (r < 0)
        return err_errno(err, r, "opening the index %s", path);
    struct stat st;
    if (stat(data, &st) == 0)
        return 0;
    if (errno != ENOENT)
        return err_errno(err, -errno, "opening %s", data);
    if (!create)
        return err_set(err, -ENOENT, "there is no index at %s", path);
    r = file_mkdirs(path);
    return r < 0 ? err_errno(err, r, "making the folder %s", path) : 0;
}

int index_open(const char *path, uint64_t map_size, bool create, const uint8_t *store_id,
               struct err *err, struct index **ret)
{
    int r = index_prepare_folder(path, create, err);
    if (r < 0)
        return r;
    struct index *x = calloc(1, sizeof *x);
    if (x == NULL)
        return err_errno(err, -ENOMEM, "opening the index %s", path);
    x->magic = INDEX_MAGIC;
    r = index_open_env(x, path, map_size, err);
    if (r == 0)
        r = index_check(x, path, err);
    if (r < 0) {
        index_close(x);
        return r;
    }
    struct index_txn *t = NULL;
    r = index_begin(x, &t);
    if (r == 0) {
        r = index_make(x, t->txn, store_id);
        if (r == 0)
            r = index_commit(t);
        else
            index_abort(t);
    }
    if (r < 0) {
        err_errno(err, r, "preparing the index %s", path);
        index_close(x);
        return r;
    }
    *ret = x;
    return 0;
}

struct index *index_close(struct index *x)
{
    if (x == NULL)
        return NULL;
    ASSERT(x->magic == INDEX_MAGIC);
    if (x->env != NULL)
        mdb_env_close(x->env);
    MAGIC_CLEAR(x);
    free(x);
    return NULL;
}

const uint8_t *index_store_id(const struct index *x)
{
    return x->store_id;
}

/* --- transactions ----------------------------------------------------------------------------- */

int index_begin(struct index *x, struct index_txn **ret)
{
    struct index_txn *t = calloc(1, sizeof *t);
    if (t == NULL)
        return -ENOMEM;
    t->index = x;
    int r = index_err(mdb_txn_begin(x->env, NULL, 0, &t->txn));
    if (r < 0) {
        free(t);
        return r;
    }
    *ret = t;
    return 0;
}

int index_commit(struct index_txn *t)
{
    int r = index_err(mdb_txn_commit(t->txn));
    free(t);
    return r;
}

struct index_txn *index_abort(struct index_txn *t)
{
    if (t == NULL)
        return NULL;
    mdb_txn_abort(t->txn);
    free(t);
    return NULL;
}

int index_next_epoch(struct index *x, uint32_t *ret)
{
    struct index_txn *t = NULL;
    uint32_t epoch = 0;
    int r = index_begin(x, &t);
    if (r < 0)
        return r;
    r = index_meta_u32(t->txn, x->meta, STR("epoch"), &epoch);
    if (r == 0 || r == -ENOENT) {
        epoch++;
        r = index_put_meta_u32(t->txn, x->meta, STR("epoch"), epoch);
    }
    if (r < 0) {
        index_abort(t);
        return r;
    }
    r = index_commit(t);
    if (r == 0)
        *ret = epoch;
    return r;
}

int index_set_epoch(struct index_txn *t, uint32_t epoch)
{
    return index_put_meta_u32(t->txn, t->index->meta, STR("epoch"), epoch);
}

int index_reader_new(struct index *x, struct index_reader **ret)
{
    struct index_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return -ENOMEM;
    r->magic = INDEX_READER_MAGIC;
    r->index = x;
    int e = index_err(mdb_txn_begin(x->env, NULL, MDB_RDONLY, &r->txn));
    if (e < 0) {
        free(r);
        return e;
    }
    mdb_txn_reset(r->txn);
    *ret = r;
    return 0;
}

struct index_reader *index_reader_free(struct index_reader *r)
{
    if (r == NULL)
        return NULL;
    ASSERT(r->magic == INDEX_READER_MAGIC);
    mdb_txn_abort(r->txn);
    MAGIC_CLEAR(r);
    free(r);
    return NULL;
}

/* --- blobs ------------------------------------------------------------------------------------ */

static int index_get_entry(MDB_txn *txn, MDB_dbi blobs, const struct digest *d,
                           struct index_entry *ret)
{
    struct index_entry_disk row;
    int r = index_get_row(txn, blobs, index_val(d->bytes, DIGEST_SIZE), &row, sizeof row);
    if (r < 0)
        return r;
    struct index_entry e = {.volume = le32toh(row.volume),
                            .flags = le32toh(row.flags),
                            .offset = le64toh(row.offset),
                            .length = le32toh(row.length)};
    if (e.length > STORE_BLOB_MAX || e.offset % FORMAT_ALIGN != 0)
        return -EBADMSG;
    *ret = e;
    return 0;
}

int index_find(struct index_reader *r, const struct digest *d, struct index_entry *ret)
{
    ASSERT(r->magic == INDEX_READER_MAGIC);
    int e = index_err(mdb_txn_renew(r->txn));
    if (e < 0)
        return e;
    e = index_get_entry(r->txn, r->index->blobs, d, ret);
    mdb_txn_reset(r->txn);
    return e;
}

int index_get(struct index_txn *t, const struct digest *d, struct index_entry *ret)
{
    return index_get_entry(t->txn, t->index->blobs, d, ret);
}

int index_put(struct index_txn *t, const struct digest *d, const struct index_entry *e)
{
    struct index_entry_disk row = {.volume = htole32(e->volume),
                                   .flags = htole32(e->flags),
                                   .offset = htole64(e->offset),
                                   .length = htole32(e->length)};
    return index_put_row(t->txn, t->index->blobs, index_val(d->bytes, DIGEST_SIZE), &row,
                         sizeof row);
}

int index_delete(struct index_txn *t, const struct digest *d)
{
    MDB_val key = index_val(d->bytes, DIGEST_SIZE);
    return index_err(mdb_del(t->txn, t->index->blobs, &key, NULL));
}

/* --- extents ---------------------------------------------------------------------------------- */

static struct index_extent_key index_extent_key(uint32_t volume, uint64_t offset)
{
    ASSERT(offset / FORMAT_ALIGN <= UINT32_MAX);
    return (struct index_extent_key){.volume = htobe32(volume),
                                     .page = htobe32((uint32_t)(offset / FORMAT_ALIGN))};
}

int index_put_extent(struct index_txn *t, uint32_t volume, const struct index_extent *e)
{
    struct index_extent_key key = index_extent_key(volume, e->offset);
    return index_put_row(t->txn, t->index->extents, index_val(&key, sizeof key), e->digest.bytes,
                         DIGEST_SIZE);
}

int index_delete_extent(struct index_txn *t, uint32_t volume, uint64_t offset)
{
    struct index_extent_key k = index_extent_key(volume, offset);
    MDB_val key = index_val(&k, sizeof k);
    return index_err(mdb_del(t->txn, t->index->extents, &key, NULL));
}

int index_extents(struct index *x, uint32_t volume, uint64_t from, unsigned max,
                  struct index_extent *out, unsigned *ret_count)
{
    struct index_extent_key k = index_extent_key(volume, from);
    MDB_val key = index_val(&k, sizeof k), value;
    MDB_txn *txn = NULL;
    MDB_cursor *c = NULL;
    unsigned n = 0;
    int r = index_err(mdb_txn_begin(x->env, NULL, MDB_RDONLY, &txn));
    if (r < 0)
        return r;
    r = index_err(mdb_cursor_open(txn, x->extents, &c));
    if (r == 0)
        r = index_err(mdb_cursor_get(c, &key, &value, MDB_SET_RANGE));
    while (r == 0 && n < max) {
        if (key.mv_size != sizeof k || value.mv_size != DIGEST_SIZE) {
            r = -EBADMSG;
            break;
        }
        memcpy(&k, key.mv_data, sizeof k);
        if (be32toh(k.volume) != volume)
            break;
        out[n].offset = (uint64_t)be32toh(k.page) * FORMAT_ALIGN;
        memcpy(out[n].digest.bytes, value.mv_data, DIGEST_SIZE);
        n++;
        r = index_err(mdb_cursor_get(c, &key, &value, MDB_NEXT));
    }
    if (c != NULL)
        mdb_cursor_close(c);
    mdb_txn_abort(txn);
    if (r < 0 && r != -ENOENT)
        return r;
    *ret_count = n;
    return 0;
}

/* --- volumes ---------------------------------------------------------------------------------- */

int index_put_volume(struct index_txn *t, const struct index_volume *v)
{
    uint32_t key = htobe32(v->id);
    struct index_volume_disk row = {.size = htole64(v->size),
                                    .end = htole64(v->end),
                                    .blobs = htole64(v->blobs),
                                    .bytes = htole64(v->bytes)};
    return index_put_row(t->txn, t->index->volumes, index_val(&key, sizeof key), &row, sizeof row);
}

int index_delete_volume(struct index_txn *t, uint32_t id)
{
    uint32_t k = htobe32(id);
    MDB_val key = index_val(&k, sizeof k);
    return index_err(mdb_del(t->txn, t->index->volumes, &key, NULL));
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
                             .size = le64toh(row.size),
                             .end = le64toh(row.end),
                             .blobs = le64toh(row.blobs),
                             .bytes = le64toh(row.bytes)};
    if (v.end < FORMAT_RECORDS || v.end > v.size || v.end % FORMAT_ALIGN != 0)
        return -EBADMSG;
    *ret = v;
    return 0;
}

int index_volumes(struct index *x, index_volume_each *each, void *arg)
{
    MDB_txn *txn = NULL;
    MDB_cursor *c = NULL;
    MDB_val key, value;
    int r = index_err(mdb_txn_begin(x->env, NULL, MDB_RDONLY, &txn));
    if (r < 0)
        return r;
    r = index_err(mdb_cursor_open(txn, x->volumes, &c));
    while (r == 0 && (r = index_err(mdb_cursor_get(c, &key, &value, MDB_NEXT))) == 0) {
        struct index_volume v;
        r = index_read_volume(&key, &value, &v);
        if (r == 0)
            r = each(arg, &v);
    }
    if (c != NULL)
        mdb_cursor_close(c);
    mdb_txn_abort(txn);
    return r == -ENOENT ? 0 : r;
}

/* --- refs ------------------------------------------------------------------------------------- */

static void index_read_ref(const struct index_ref_disk *row, struct store_ref *ret)
{
    memcpy(ret->presentation.bytes, row->digest, DIGEST_SIZE);
    ret->generation = le64toh(row->generation);
    ret->changed_ms = (int64_t)le64toh((uint64_t)row->changed_ms);
}

static int index_get_ref_row(MDB_txn *txn, MDB_dbi refs, struct str name, struct store_ref *ret)
{
    struct index_ref_disk row;
    int r = index_get_row(txn, refs, index_val(name.data, name.size), &row, sizeof row);
    if (r == 0)
        index_read_ref(&row, ret);
    return r;
}

int index_find_ref(struct index_reader *r, struct str name, struct store_ref *ret)
{
    ASSERT(r->magic == INDEX_READER_MAGIC);
    int e = index_err(mdb_txn_renew(r->txn));
    if (e < 0)
        return e;
    e = index_get_ref_row(r->txn, r->index->refs, name, ret);
    mdb_txn_reset(r->txn);
    return e;
}

int index_get_ref(struct index_txn *t, struct str name, struct store_ref *ret)
{
    return index_get_ref_row(t->txn, t->index->refs, name, ret);
}

int index_put_ref(struct index_txn *t, struct str name, const struct store_ref *ref)
{
    struct index_ref_disk row = {.generation = htole64(ref->generation),
                                 .changed_ms = (int64_t)htole64((uint64_t)ref->changed_ms)};
    memcpy(row.digest, ref->presentation.bytes, DIGEST_SIZE);
    return index_put_row(t->txn, t->index->refs, index_val(name.data, name.size), &row, sizeof row);
}

int index_delete_ref(struct index_txn *t, struct str name)
{
    MDB_val key = index_val(name.data, name.size);
    return index_err(mdb_del(t->txn, t->index->refs, &key, NULL));
}

int index_list_refs(struct index *x, store_ref_each *each, void *arg)
{
    MDB_txn *txn = NULL;
    MDB_cursor *c = NULL;
    MDB_val key, value;
    bool more = true;
    int r = index_err(mdb_txn_begin(x->env, NULL, MDB_RDONLY, &txn));
    if (r < 0)
        return r;
    r = index_err(mdb_cursor_open(txn, x->refs, &c));
    while (r == 0 && more && (r = index_err(mdb_cursor_get(c, &key, &value, MDB_NEXT))) == 0) {
        struct index_ref_disk row;
        struct store_ref ref;
        if (value.mv_size != sizeof row) {
            r = -EBADMSG;
            break;
        }
        memcpy(&row, value.mv_data, sizeof row);
        index_read_ref(&row, &ref);
        more = each(arg, (struct str){key.mv_data, key.mv_size}, &ref);
    }
    if (c != NULL)
        mdb_cursor_close(c);
    mdb_txn_abort(txn);
    return r == -ENOENT ? 0 : r;
}
