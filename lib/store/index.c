/* SPDX-License-Identifier: Apache-2.0 */
/* The environment, its transactions, and its growth: the map is made larger while no reader of this
 * process has a transaction up, which their locks see to. */
#include "store/index.h"
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "store/index_priv.h"

#define INDEX_READERS_MAX 1024u
#define INDEX_MAP_DEFAULT (UINT64_C(1) << 30)
#define INDEX_MAP_MIN     (UINT64_C(1) << 20)
#define INDEX_MAP_MAX     (UINT64_C(1) << 42)
#define INDEX_PATH_MAX    4096
#define INDEX_TRIES_MAX   64u /* of a transaction in a map that grows */

static const char *const index_names[INDEX_DBS] = {
    [INDEX_META] = "meta",       [INDEX_BLOBS] = "blobs",     [INDEX_EXTENTS] = "extents",
    [INDEX_HOLDS] = "holds",     [INDEX_LINKS] = "links",     [INDEX_ORPHANS] = "orphans",
    [INDEX_DEVICES] = "devices", [INDEX_VOLUMES] = "volumes", [INDEX_HOLES] = "holes",
    [INDEX_ERRANDS] = "errands", [INDEX_REFS] = "refs",
};

/* LMDB mixes positive errno values with numbers of its own; none of them leaves these files. */
int index_err(int e)
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

int index_txn_err(struct index_txn *t, int e)
{
    if (e != 0)
        t->lmdb = e;
    return index_err(e);
}

MDB_val index_val(const void *data, size_t size)
{
    return (MDB_val){.mv_size = size, .mv_data = (void *)(uintptr_t)data}; /* LMDB only reads it */
}

int index_get_row(MDB_txn *txn, MDB_dbi dbi, MDB_val key, void *out, size_t size)
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

int index_put_row(struct index_txn *t, enum index_db db, MDB_val key, const void *row, size_t size)
{
    MDB_val value = index_val(row, size);
    return index_txn_err(t, mdb_put(t->txn, t->index->dbs[db], &key, &value, 0));
}

int index_delete_row(struct index_txn *t, enum index_db db, MDB_val key)
{
    return index_txn_err(t, mdb_del(t->txn, t->index->dbs[db], &key, NULL));
}

/* --- readers ---------------------------------------------------------------------------------- */

/* size 0: what another process has made it. */
static int index_resize(struct index *x, uint64_t size)
{
    (void)pthread_mutex_lock(&x->lock);
    for (struct index_reader *r = x->readers; r != NULL; r = r->next)
        (void)pthread_mutex_lock(&r->lock);
    int e = index_err(mdb_env_set_mapsize(x->env, size));
    for (struct index_reader *r = x->readers; r != NULL; r = r->next)
        (void)pthread_mutex_unlock(&r->lock);
    (void)pthread_mutex_unlock(&x->lock);
    return e;
}

int index_reader_new(struct index *x, struct index_reader **ret)
{
    struct index_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return -ENOMEM;
    r->magic = INDEX_READER_MAGIC;
    r->index = x;
    (void)pthread_mutex_init(&r->lock, NULL); /* does not fail on Linux with default attributes */
    (void)pthread_mutex_lock(&x->lock);
    int e = mdb_txn_begin(x->env, NULL, MDB_RDONLY, &r->txn);
    for (unsigned i = 0; e == MDB_MAP_RESIZED && i < INDEX_TRIES_MAX; i++) {
        (void)pthread_mutex_unlock(&x->lock);
        int grown = index_resize(x, 0);
        (void)pthread_mutex_lock(&x->lock);
        e = grown < 0 ? -grown : mdb_txn_begin(x->env, NULL, MDB_RDONLY, &r->txn);
    }
    e = index_err(e);
    if (e == 0) {
        mdb_txn_reset(r->txn);
        r->next = x->readers;
        x->readers = r;
    }
    (void)pthread_mutex_unlock(&x->lock);
    if (e < 0) {
        (void)pthread_mutex_destroy(&r->lock);
        free(r);
        return e;
    }
    *ret = r;
    return 0;
}

struct index_reader *index_reader_free(struct index_reader *r)
{
    if (r == NULL)
        return NULL;
    ASSERT(r->magic == INDEX_READER_MAGIC);
    struct index *x = r->index;
    (void)pthread_mutex_lock(&x->lock);
    struct index_reader **at = &x->readers;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    mdb_txn_abort(r->txn);
    (void)pthread_mutex_unlock(&x->lock);
    (void)pthread_mutex_destroy(&r->lock);
    MAGIC_CLEAR(r);
    free(r);
    return NULL;
}

uint64_t index_map_size(struct index *x)
{
    MDB_envinfo info = {0};
    (void)pthread_mutex_lock(&x->lock);
    (void)mdb_env_info(x->env, &info); /* fails for a NULL only */
    (void)pthread_mutex_unlock(&x->lock);
    return info.me_mapsize;
}

int index_read_begin(struct index_reader *r)
{
    ASSERT(r->magic == INDEX_READER_MAGIC);
    (void)pthread_mutex_lock(&r->lock);
    int e = mdb_txn_renew(r->txn);
    for (unsigned i = 0; e == MDB_MAP_RESIZED && i < INDEX_TRIES_MAX; i++) {
        /* The process that writes has a larger map by now. */
        (void)pthread_mutex_unlock(&r->lock);
        int grown = index_resize(r->index, 0);
        if (grown < 0)
            return grown;
        (void)pthread_mutex_lock(&r->lock);
        e = mdb_txn_renew(r->txn);
    }
    if (e != 0)
        (void)pthread_mutex_unlock(&r->lock);
    return index_err(e);
}

void index_read_end(struct index_reader *r)
{
    mdb_txn_reset(r->txn);
    (void)pthread_mutex_unlock(&r->lock);
}

int index_walk(struct index_reader *r, enum index_db db, const MDB_val *from, bool after,
               index_row_each *each, void *arg)
{
    MDB_cursor *c = NULL;
    MDB_val key = from != NULL ? *from : (MDB_val){0}, value;
    int e = index_read_begin(r);
    if (e < 0)
        return e;
    e = index_err(mdb_cursor_open(r->txn, r->index->dbs[db], &c));
    if (e == 0)
        e = index_err(mdb_cursor_get(c, &key, &value, from != NULL ? MDB_SET_RANGE : MDB_FIRST));
    if (e == 0 && after && key.mv_size == from->mv_size &&
        memcmp(key.mv_data, from->mv_data, key.mv_size) == 0)
        e = index_err(mdb_cursor_get(c, &key, &value, MDB_NEXT));
    while (e == 0) {
        e = each(arg, &key, &value);
        if (e == 0)
            e = index_err(mdb_cursor_get(c, &key, &value, MDB_NEXT));
    }
    if (c != NULL)
        mdb_cursor_close(c);
    index_read_end(r);
    return e == -ENOENT || e > 0 ? 0 : e;
}

/* --- transactions ----------------------------------------------------------------------------- */

static int index_run_once(struct index *x, index_body *body, void *arg, bool *ret_full)
{
    struct index_txn t = {.index = x};
    int r = index_txn_err(&t, mdb_txn_begin(x->env, NULL, 0, &t.txn));
    if (r < 0)
        return r;
    r = body(&t, arg);
    if (r < 0)
        mdb_txn_abort(t.txn);
    else
        r = index_txn_err(&t, mdb_txn_commit(t.txn));
    *ret_full = r == -ENOSPC && t.lmdb == MDB_MAP_FULL;
    return r;
}

int index_run(struct index *x, index_body *body, void *arg)
{
    ASSERT(x->magic == INDEX_MAGIC);
    for (unsigned i = 0;; i++) {
        bool full = false;
        int r = index_run_once(x, body, arg, &full);
        if (r == 0)
            index_room_fill(x);
        if (!full || i == INDEX_TRIES_MAX)
            return room_err(&x->room, r);
        uint64_t size = index_map_size(x);
        if (size >= INDEX_MAP_MAX)
            return r;
        int grown = index_resize(x, size + MAX(size / 2, INDEX_MAP_MIN));
        if (grown < 0)
            return grown;
        log_debug("the index's map has %llu bytes now", (unsigned long long)index_map_size(x));
    }
}

static int index_meta_u32(MDB_txn *txn, MDB_dbi meta, struct str key, uint32_t *ret)
{
    uint32_t v;
    int r = index_get_row(txn, meta, index_val(key.data, key.size), &v, sizeof v);
    if (r == 0)
        *ret = le32toh(v);
    return r;
}

static int index_put_meta_u32(struct index_txn *t, struct str key, uint32_t value)
{
    uint32_t v = htole32(value);
    return index_put_row(t, INDEX_META, index_val(key.data, key.size), &v, sizeof v);
}

/* One more than what is there; from 1. -ENOSPC: there are no more. */
static int index_meta_next(struct index_txn *t, struct str key, uint32_t *ret)
{
    uint32_t v = 0;
    int r = index_meta_u32(t->txn, t->index->dbs[INDEX_META], key, &v);
    if (r < 0 && r != -ENOENT)
        return r;
    if (v == UINT32_MAX)
        return -ENOSPC;
    r = index_put_meta_u32(t, key, v + 1);
    if (r == 0)
        *ret = v + 1;
    return r;
}

static int index_next_epoch_body(struct index_txn *t, void *arg)
{
    return index_meta_next(t, STR("epoch"), arg);
}

int index_next_epoch(struct index *x, uint32_t *ret)
{
    uint32_t epoch = 0;
    int r = index_run(x, index_next_epoch_body, &epoch);
    if (r == 0)
        *ret = epoch;
    return r;
}

int index_set_epoch(struct index_txn *t, uint32_t epoch)
{
    return index_put_meta_u32(t, STR("epoch"), epoch);
}

int index_next_volume(struct index_txn *t, uint32_t *ret)
{
    return index_meta_next(t, STR("volume"), ret);
}

int index_set_last_volume(struct index_txn *t, uint32_t id)
{
    return index_put_meta_u32(t, STR("volume"), id);
}

/* --- opening ---------------------------------------------------------------------------------- */

/* To read, while there are no readers yet; the process that writes may make the map larger. */
static int index_begin_first(struct index *x, MDB_txn **ret)
{
    int e = mdb_txn_begin(x->env, NULL, MDB_RDONLY, ret);
    for (unsigned i = 0; e == MDB_MAP_RESIZED && i < INDEX_TRIES_MAX; i++) {
        e = mdb_env_set_mapsize(x->env, 0);
        if (e == 0)
            e = mdb_txn_begin(x->env, NULL, MDB_RDONLY, ret);
    }
    return index_err(e);
}

static int index_make(struct index_txn *t, void *arg)
{
    struct index *x = t->index;
    const uint8_t *store_id = arg;
    for (unsigned i = 0; i < INDEX_DBS; i++) {
        int r = index_txn_err(t, mdb_dbi_open(t->txn, index_names[i], MDB_CREATE, &x->dbs[i]));
        if (r < 0)
            return r;
    }
    MDB_val key = index_val("store_id", 8);
    int r = index_get_row(t->txn, x->dbs[INDEX_META], key, x->store_id, sizeof x->store_id);
    if (r != -ENOENT)
        return r;
    if (store_id != NULL)
        memcpy(x->store_id, store_id, FORMAT_ID_SIZE);
    else
        id_random(x->store_id, sizeof x->store_id);
    r = index_put_row(t, INDEX_META, key, x->store_id, sizeof x->store_id);
    if (r == 0)
        r = index_put_meta_u32(t, STR("format"), FORMAT_INDEX_VERSION);
    return r;
}

/* The names of the databases, for a process that only reads. */
static int index_look(struct index *x)
{
    MDB_txn *txn = NULL;
    int r = index_begin_first(x, &txn);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < INDEX_DBS && r == 0; i++)
        r = index_err(mdb_dbi_open(txn, index_names[i], 0, &x->dbs[i]));
    if (r == 0)
        r = index_get_row(txn, x->dbs[INDEX_META], index_val("store_id", 8), x->store_id,
                          sizeof x->store_id);
    if (r == 0)
        r = index_err(mdb_txn_commit(txn)); /* keeps the databases open */
    else
        mdb_txn_abort(txn);
    return r;
}

/* An environment that has something in it must be ours, before anything is written. */
static int index_check(struct index *x, const char *path, struct err *err)
{
    MDB_txn *txn = NULL;
    MDB_stat stat;
    MDB_dbi meta;
    uint32_t version = 0;
    int r = index_begin_first(x, &txn);
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
    if (version < FORMAT_INDEX_VERSION)
        return err_set(err, -EPROTONOSUPPORT,
                       "the index %s has the older format %u; make a new one from the volumes "
                       "with: weirctl store rebuild",
                       path, version);
    if (version != FORMAT_INDEX_VERSION)
        return err_set(err, -EPROTONOSUPPORT,
                       "the index %s has format %u and this program knows only %u", path, version,
                       FORMAT_INDEX_VERSION);
    return 0;
}

static int index_open_env(struct index *x, const char *path, uint64_t map_size, unsigned flags,
                          struct err *err)
{
    int dead = 0;
    unsigned lmdb_flags = MDB_NOTLS | MDB_NORDAHEAD;
    lmdb_flags |= (flags & INDEX_READ_ONLY) != 0 ? MDB_RDONLY : 0u;
    uint64_t size = MAX(map_size != 0 ? map_size : INDEX_MAP_DEFAULT, INDEX_MAP_MIN);
    int r = index_err(mdb_env_create(&x->env));
    if (r == 0)
        r = index_err(mdb_env_set_maxdbs(x->env, 16));
    if (r == 0)
        r = index_err(mdb_env_set_maxreaders(x->env, INDEX_READERS_MAX));
    if (r == 0)
        r = index_err(mdb_env_set_mapsize(x->env, size));
    if (r == 0 && (flags & INDEX_READ_ONLY) == 0)
        r = room_for_locks(path);
    if (r == 0)
        r = index_err(mdb_env_open(x->env, path, lmdb_flags, 0644));
    if (r == -EPROTONOSUPPORT || r == -EBADMSG)
        return err_set(err, r, "%s is not an index that this program can read", path);
    if (r < 0)
        return err_errno(err, r, "opening the index %s", path);
    /* Slots of readers that were killed would keep old pages for ever. */
    r = index_err(mdb_reader_check(x->env, &dead));
    return r < 0 ? err_errno(err, r, "checking the readers of %s", path) : 0;
}

static int index_join(const char *path, const char *rest, char out[INDEX_PATH_MAX])
{
    int n = snprintf(out, INDEX_PATH_MAX, "%s%s", path, rest);
    return n > 0 && n < INDEX_PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int index_there(const char *path, bool *ret)
{
    char data[INDEX_PATH_MAX];
    struct stat st;
    int r = index_join(path, "/data.mdb", data);
    if (r == 0 && stat(data, &st) != 0 && errno != ENOENT)
        r = -errno;
    else if (r == 0)
        *ret = access(data, F_OK) == 0;
    return r;
}

static int index_open_made(const char *path, uint64_t map_size, unsigned flags,
                           const uint8_t *store_id, struct err *err, struct index **ret)
{
    struct index *x = calloc(1, sizeof *x);
    if (x == NULL)
        return err_errno(err, -ENOMEM, "opening the index %s", path);
    x->magic = INDEX_MAGIC;
    x->room.fd = -1;
    (void)pthread_mutex_init(&x->lock, NULL); /* does not fail on Linux with default attributes */
    int r = index_open_env(x, path, map_size, flags, err);
    if (r == 0)
        r = index_check(x, path, err);
    if (r < 0) {
        index_close(x);
        return r;
    }
    if ((flags & INDEX_READ_ONLY) == 0)
        index_room_open(x, path);
    r = (flags & INDEX_READ_ONLY) != 0 ? index_look(x)
                                       : index_run(x, index_make, (void *)(uintptr_t)store_id);
    if (r == 0 && (flags & INDEX_CREATE) != 0)
        r = index_err(mdb_env_sync(x->env, 1));
    if (r < 0) {
        err_errno(err, r, "preparing the index %s", path);
        index_close(x);
        return r;
    }
    *ret = x;
    return 0;
}

/* Of the folder that the index is in. */
static int index_sync_name(const char *path)
{
    char parent[INDEX_PATH_MAX];
    int r = str_copy(str_of(path), parent, sizeof parent);
    char *slash = r == 0 ? strrchr(parent, '/') : NULL;
    if (slash != NULL)
        *slash = 0;
    return r < 0 ? r : file_sync_folder(slash == NULL ? "." : slash == parent ? "/" : parent);
}

static int index_move(const char *made, const char *path)
{
    int r = file_sync_folder(made);
    if (r == 0)
        r = file_remove_all(path); /* there is no environment in it */
    if (r == 0 && rename(made, path) != 0)
        r = -errno;
    return r < 0 ? r : index_sync_name(path);
}

/* A new environment is made beside its place and moved there whole. LMDB does not sync the first
 * pages of one: power lost before the first commit leaves a file that is none, and a first commit
 * that fails leaves one that the next power cut makes none. */
static int index_create(const char *path, uint64_t map_size, const uint8_t *store_id,
                        struct err *err)
{
    char made[INDEX_PATH_MAX];
    struct index *x = NULL;
    int r = index_join(path, ".making", made);
    if (r == 0)
        r = file_remove_all(made); /* of an attempt that broke off */
    if (r == 0)
        r = file_mkdirs(made);
    if (r < 0)
        return err_errno(err, r, "making the index %s", path);
    r = index_open_made(made, map_size, INDEX_CREATE, store_id, err, &x);
    index_close(x);
    if (r < 0)
        return r;
    r = index_move(made, path);
    return r < 0 ? err_errno(err, r, "making the index %s", path) : 0;
}

int index_open(const char *path, uint64_t map_size, unsigned flags, const uint8_t *store_id,
               struct err *err, struct index **ret)
{
    bool there = false;
    int r = index_there(path, &there);
    if (r < 0)
        return err_errno(err, r, "opening the index %s", path);
    if (!there && (flags & INDEX_CREATE) == 0)
        return err_set(err, -ENOENT, "there is no index at %s", path);
    if (!there)
        r = index_create(path, map_size, store_id, err);
    else if ((flags & INDEX_READ_ONLY) == 0 && (r = index_sync_name(path)) < 0)
        /* It may have been moved there by a run that did not come to that. */
        r = err_errno(err, r, "syncing the name of the index %s", path);
    return r < 0 ? r
                 : index_open_made(path, map_size, flags & ~(unsigned)INDEX_CREATE, NULL, err, ret);
}

struct index *index_close(struct index *x)
{
    if (x == NULL)
        return NULL;
    ASSERT(x->magic == INDEX_MAGIC);
    ASSERT(x->readers == NULL);
    room_close(&x->room);
    if (x->env != NULL)
        mdb_env_close(x->env);
    (void)pthread_mutex_destroy(&x->lock);
    MAGIC_CLEAR(x);
    free(x);
    return NULL;
}

const uint8_t *index_store_id(const struct index *x)
{
    return x->store_id;
}
