/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of objects: made beside its place and moved there whole, set aside when it is
 * damaged. Its map is larger than it ever gets, so it never has to grow under the readers. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "store/index_priv.h"
#include "store/objects_priv.h"

#define OBJECTS_VERSION     UINT32_C(1)
#define OBJECTS_READERS_MAX 1024u
#define OBJECTS_MAP_MORE    (UINT64_C(512) << 20) /* marks, and what a transaction needs */

static const char *const objects_names[OBJECTS_DBS] = {
    [OBJECTS_META] = "meta",
    [OBJECTS_RECORDS] = "records",
    [OBJECTS_USES] = "uses",
    [OBJECTS_MARKS] = "marks",
};

static int env_join(const char *path, const char *rest, char out[OBJECTS_PATH_MAX])
{
    int n = snprintf(out, OBJECTS_PATH_MAX, "%s%s", path, rest);
    return n > 0 && n < OBJECTS_PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* --- transactions and readers ----------------------------------------------------------------- */

uint64_t objects_file_size(struct objects *o)
{
    MDB_envinfo info = {0};
    MDB_stat stat = {0};
    (void)mdb_env_info(o->env, &info); /* these fail for a NULL only */
    (void)mdb_env_stat(o->env, &stat);
    return ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
}

int objects_txn(struct objects *o, objects_body *body, void *arg)
{
    MDB_txn *txn = NULL;
    int r = index_err(mdb_txn_begin(o->env, NULL, 0, &txn));
    if (r < 0)
        return r;
    r = body(o, txn, arg);
    if (r < 0)
        mdb_txn_abort(txn);
    else
        r = index_err(mdb_txn_commit(txn));
    if (r == 0)
        room_fill(&o->room, objects_file_size(o));
    return room_err(&o->room, r);
}

int objects_reader_take(struct objects *o, struct objects_reader **ret)
{
    (void)pthread_mutex_lock(&o->readers_lock);
    struct objects_reader *reader = o->readers;
    if (reader != NULL)
        o->readers = reader->next;
    (void)pthread_mutex_unlock(&o->readers_lock);
    bool made = reader == NULL;
    if (made && (reader = calloc(1, sizeof *reader)) == NULL)
        return -ENOMEM;
    int r = index_err(made ? mdb_txn_begin(o->env, NULL, MDB_RDONLY, &reader->txn)
                           : mdb_txn_renew(reader->txn));
    if (r == 0)
        *ret = reader;
    else if (made)
        free(reader);
    else
        objects_reader_give(o, reader);
    return r;
}

void objects_reader_give(struct objects *o, struct objects_reader *r)
{
    mdb_txn_reset(r->txn);
    (void)pthread_mutex_lock(&o->readers_lock);
    r->next = o->readers;
    o->readers = r;
    (void)pthread_mutex_unlock(&o->readers_lock);
}

/* --- the state -------------------------------------------------------------------------------- */

/* As it is in the file: little-endian, with a checksum. */
struct state_row {
    uint64_t sequence, hard, soft, own, marks, marks_sum;
    uint8_t id[OBJECTS_ID_SIZE];
    uint64_t sum;
};

static const struct digest state_key = {"state"};

static MDB_val state_name(void)
{
    return index_val("state", 5);
}

int objects_state_put(struct objects *o, MDB_txn *txn, const struct objects_state *s)
{
    struct state_row row = {.sequence = htole64(s->sequence),
                            .hard = htole64(s->floor.hard),
                            .soft = htole64(s->floor.soft),
                            .own = htole64(s->floor.own),
                            .marks = htole64(s->marks),
                            .marks_sum = htole64(s->marks_sum)};
    memcpy(row.id, s->id, sizeof row.id);
    row.sum = htole64(objects_row_sum(&state_key, &row, offsetof(struct state_row, sum)));
    MDB_val key = state_name(), value = index_val(&row, sizeof row);
    return index_err(mdb_put(txn, o->dbs[OBJECTS_META], &key, &value, 0));
}

int objects_state_get(struct objects *o, MDB_txn *txn, struct objects_state *ret)
{
    struct state_row row;
    int r = index_get_row(txn, o->dbs[OBJECTS_META], state_name(), &row, sizeof row);
    if (r < 0)
        return r;
    if (le64toh(row.sum) != objects_row_sum(&state_key, &row, offsetof(struct state_row, sum)))
        return -EBADMSG;
    *ret = (struct objects_state){
        .sequence = le64toh(row.sequence),
        .floor = {le64toh(row.hard), le64toh(row.soft), le64toh(row.own)},
        .marks = le64toh(row.marks),
        .marks_sum = le64toh(row.marks_sum),
    };
    memcpy(ret->id, row.id, sizeof ret->id);
    return 0;
}

/* --- opening ---------------------------------------------------------------------------------- */

static int env_make_body(struct objects *o, MDB_txn *txn, void *arg)
{
    (void)arg;
    uint32_t version = htole32(OBJECTS_VERSION);
    struct objects_state s = {.sequence = 1}; /* 0: from before there was any */
    MDB_val key = index_val("format", 6), value = index_val(&version, sizeof version);
    id_random(s.id, sizeof s.id);
    int r = 0;
    for (unsigned i = 0; i < OBJECTS_DBS && r == 0; i++)
        r = index_err(mdb_dbi_open(txn, objects_names[i], MDB_CREATE, &o->dbs[i]));
    if (r == 0)
        r = index_err(mdb_put(txn, o->dbs[OBJECTS_META], &key, &value, 0));
    return r < 0 ? r : objects_state_put(o, txn, &s);
}

static int env_load_body(struct objects *o, MDB_txn *txn, void *arg)
{
    (void)arg;
    uint32_t version = 0;
    int r = 0;
    for (unsigned i = 0; i < OBJECTS_DBS && r == 0; i++)
        r = index_err(mdb_dbi_open(txn, objects_names[i], 0, &o->dbs[i]));
    if (r == 0)
        r = index_get_row(txn, o->dbs[OBJECTS_META], index_val("format", 6), &version,
                          sizeof version);
    if (r == 0 && le32toh(version) != OBJECTS_VERSION)
        r = -EPROTONOSUPPORT;
    if (r == 0)
        r = objects_state_get(o, txn, &o->state);
    if (r == 0)
        r = objects_marks_load(o, txn);
    return r == -ENOENT ? -EBADMSG : r; /* what must be there */
}

static void env_shut(struct objects *o)
{
    while (o->readers != NULL) {
        struct objects_reader *r = o->readers;
        o->readers = r->next;
        mdb_txn_abort(r->txn);
        free(r);
    }
    room_close(&o->room);
    if (o->env != NULL)
        mdb_env_close(o->env);
    o->env = NULL;
}

static int env_open_at(struct objects *o, const char *folder)
{
    int dead = 0;
    int r = index_err(mdb_env_create(&o->env));
    if (r == 0)
        r = index_err(mdb_env_set_maxdbs(o->env, OBJECTS_DBS));
    if (r == 0)
        r = index_err(mdb_env_set_maxreaders(o->env, OBJECTS_READERS_MAX));
    if (r == 0)
        r = index_err(mdb_env_set_mapsize(o->env, o->map_size));
    if (r == 0)
        r = room_for_locks(folder);
    if (r == 0)
        r = index_err(mdb_env_open(o->env, folder, MDB_NOTLS | MDB_NORDAHEAD, 0644));
    if (r == 0)
        r = index_err(mdb_reader_check(o->env, &dead));
    return r;
}

static int env_create(struct objects *o)
{
    char made[OBJECTS_PATH_MAX];
    int r = env_join(o->folder, ".making", made);
    if (r == 0)
        r = file_remove_all(made); /* of an attempt that broke off */
    if (r == 0)
        r = file_mkdirs(made);
    if (r == 0)
        r = env_open_at(o, made);
    if (r == 0)
        r = objects_txn(o, env_make_body, NULL);
    if (r == 0)
        r = index_err(mdb_env_sync(o->env, 1));
    env_shut(o);
    if (r == 0)
        r = file_sync_folder(made);
    if (r == 0)
        r = file_remove_all(o->folder); /* there is no environment in it */
    if (r == 0 && rename(made, o->folder) != 0)
        r = -errno;
    return r;
}

/* What an earlier run noted, or opening it finds: then it is put out of the way. */
static int env_open_there(struct objects *o)
{
    char damaged[OBJECTS_PATH_MAX];
    MDB_txn *txn = NULL;
    int r = env_join(o->folder, "/damaged", damaged);
    if (r < 0)
        return r;
    if (access(damaged, F_OK) == 0)
        return -EBADMSG;
    r = env_open_at(o, o->folder);
    if (r == 0)
        r = index_err(mdb_txn_begin(o->env, NULL, MDB_RDONLY, &txn));
    if (r < 0)
        return r;
    r = env_load_body(o, txn, NULL);
    if (r < 0)
        mdb_txn_abort(txn);
    else
        r = index_err(mdb_txn_commit(txn)); /* keeps the databases open */
    memcpy(o->id, o->state.id, sizeof o->id);
    if (r == 0)
        room_open(&o->room, o->folder, objects_file_size(o));
    return r;
}

static int env_set_aside(struct objects *o)
{
    char aside[OBJECTS_PATH_MAX];
    int r = env_join(o->folder, ".damaged", aside);
    if (r == 0)
        r = file_remove_all(aside); /* of an earlier time */
    if (r == 0 && rename(o->folder, aside) != 0)
        r = -errno;
    return r;
}

static int env_lock(struct objects *o, struct err *err)
{
    char path[OBJECTS_PATH_MAX];
    int r = env_join(o->folder, ".lock", path);
    if (r < 0)
        return err_errno(err, r, "opening %s", o->folder);
    o->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (o->lock_fd < 0)
        return err_errno(err, -errno, "opening %s", path);
    if (flock(o->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK ? err_set(err, -EBUSY, "another process has %s open", o->folder)
                                : err_errno(err, -errno, "locking %s", path);
}

int objects_env_open(struct objects *o, const char *path, struct err *err)
{
    char data[OBJECTS_PATH_MAX];
    o->map_size = 2 * o->size_max + OBJECTS_MAP_MORE;
    int r = env_join(path, "/objects", o->folder);
    if (r == 0)
        r = file_mkdirs(path);
    if (r < 0)
        return err_errno(err, r, "opening the records of %s", path);
    r = env_lock(o, err);
    if (r < 0)
        return r;
    r = env_join(o->folder, "/data.mdb", data);
    if (r == 0)
        r = access(data, F_OK) == 0 ? env_open_there(o) : env_create(o);
    else
        return err_errno(err, r, "opening %s", o->folder);
    if (r == -EBADMSG || r == -EPROTONOSUPPORT) {
        env_shut(o);
        objects_marks_cut(o, UINT64_MAX); /* those that were read before the damage was found */
        log_warn("%s is damaged or of another version: it is set aside as %s.damaged, and begun "
                 "anew",
                 o->folder, o->folder);
        r = env_set_aside(o);
        if (r == 0)
            r = env_create(o);
    }
    if (r == 0 && o->env == NULL)
        r = env_open_there(o); /* it was made just now */
    return r < 0 ? err_errno(err, r, "opening %s", o->folder) : 0;
}

void objects_env_close(struct objects *o)
{
    env_shut(o);
    o->lock_fd = base_close(o->lock_fd);
}

void objects_break(struct objects *o, int why)
{
    char damaged[OBJECTS_PATH_MAX];
    if (atomic_load(&o->broken))
        return;
    int r = env_join(o->folder, "/damaged", damaged);
    if (r == 0)
        r = file_write(damaged, STR("found while it was in use\n"), 0644);
    log_error("%s cannot be used any more (%s): records are kept in memory only, and it is begun "
              "anew at the next start",
              o->folder, strerror(-why));
    if (r < 0) /* then no purge may be promised */
        log_error("that could not be noted in %s: %s", damaged, strerror(-r));
    else
        atomic_store(&o->broken, true);
    objects_forget(o);
}
