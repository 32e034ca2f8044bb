/* SPDX-License-Identifier: Apache-2.0 */
#include "store/objects.h"
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "store/index_priv.h"
#include "store/objects_priv.h"

#define OBJECTS_SIZE_DEFAULT  (UINT64_C(1) << 30)
#define OBJECTS_SIZE_MIN      (UINT64_C(64) << 10)
#define OBJECTS_SIZE_MAX      (UINT64_C(1) << 40)
#define OBJECTS_MARKS_DEFAULT (UINT64_C(1) << 20)
#define OBJECTS_MARKS_MIN     UINT64_C(16)

static void objects_metrics(struct objects *o, struct metrics *m, const char *prefix)
{
    const struct metric_row rows[] = {
        {&o->m_records, metrics_gauge, "objects_records", "Records of URLs on disk", ""},
        {&o->m_bytes, metrics_gauge, "objects_bytes", "Disk space that they take", ""},
        {&o->m_marks, metrics_gauge, "objects_purge_marks", "Marks of purges", ""},
        {&o->m_dropped, metrics_counter, "objects_dropped_total",
         "Records that could not be written", ""},
        {&o->m_evicted, metrics_counter, "objects_evicted_total",
         "Records that made room for others", ""},
        {&o->m_damaged, metrics_counter, "objects_damaged_total", "Records found damaged", ""},
        {&o->m_commits, metrics_counter, "objects_commits_total", "Transactions with records", ""},
    };
    metrics_make(m, prefix, rows, ARRAY_LEN(rows));
}

static int objects_init(struct objects *o)
{
    pthread_condattr_t attr;
    o->magic = OBJECTS_MAGIC;
    o->lock_fd = -1;
    o->room.fd = -1;
    (void)pthread_mutex_init(&o->lock, NULL); /* these do not fail on Linux with such attributes */
    (void)pthread_mutex_init(&o->readers_lock, NULL);
    (void)pthread_mutex_init(&o->used_lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&o->wake, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_cond_init(&o->done, NULL);
    objects_marks_init(o);
    o->used = calloc(OBJECTS_USED_MAX, sizeof *o->used);
    o->used_written = calloc(OBJECTS_USED_MAX, sizeof *o->used_written);
    int r = objects_overlay_init(o);
    return o->used == NULL || o->used_written == NULL ? -ENOMEM : r;
}

static void objects_free(struct objects *o)
{
    objects_overlay_free(o);
    objects_marks_free(o);
    free(o->used);
    free(o->used_written);
    (void)pthread_mutex_destroy(&o->lock);
    (void)pthread_mutex_destroy(&o->readers_lock);
    (void)pthread_mutex_destroy(&o->used_lock);
    (void)pthread_cond_destroy(&o->wake);
    (void)pthread_cond_destroy(&o->done);
    MAGIC_CLEAR(o);
    free(o);
}

int objects_open(const struct objects_options *options, struct err *err, struct objects **ret)
{
    struct objects *o = calloc(1, sizeof *o);
    if (o == NULL)
        return err_errno(err, -ENOMEM, "opening the records of %s", options->path);
    uint64_t size = options->size_max != 0 ? options->size_max : OBJECTS_SIZE_DEFAULT;
    o->size_max = MIN(MAX(size, OBJECTS_SIZE_MIN), OBJECTS_SIZE_MAX);
    o->marks_max = options->marks_max != 0 ? MAX(options->marks_max, OBJECTS_MARKS_MIN)
                                           : OBJECTS_MARKS_DEFAULT;
    o->used_cleared_ms = o->used_written_ms = clock_mono_ms();
    objects_metrics(o, options->metrics, options->metric_prefix);
    int r = objects_init(o);
    if (r < 0) {
        err_errno(err, r, "opening the records of %s", options->path);
        objects_free(o);
        return r;
    }
    r = objects_env_open(o, options->path, err);
    if (r == 0 && (r = objects_counts_load(o)) < 0)
        err_errno(err, r, "reading the records of %s", options->path);
    if (r == 0 && (r = -pthread_create(&o->thread, NULL, objects_write_run, o)) < 0)
        err_errno(err, r, "starting a thread for the records of %s", options->path);
    o->started = r == 0;
    metric_set(o->m_marks, (int64_t)atomic_load(&o->marks_count));
    metric_set(o->m_records, (int64_t)atomic_load(&o->records));
    metric_set(o->m_bytes, (int64_t)atomic_load(&o->bytes));
    if (r < 0)
        objects_close(o);
    else
        *ret = o;
    return r;
}

/* What waits is written, or dropped if that cannot be. */
static void objects_stop(struct objects *o)
{
    if (!o->started)
        return;
    (void)pthread_mutex_lock(&o->lock);
    o->stopping = true;
    (void)pthread_cond_signal(&o->wake);
    (void)pthread_mutex_unlock(&o->lock);
    (void)pthread_join(o->thread, NULL);
    o->started = false;
}

void objects_yield(struct objects *o)
{
    ASSERT(o->magic == OBJECTS_MAGIC);
    objects_stop(o);
    room_close(&o->room);
    atomic_store(&o->yielded, true);
    o->lock_fd = base_close(o->lock_fd);
}

struct objects *objects_close(struct objects *o)
{
    if (o == NULL)
        return NULL;
    ASSERT(o->magic == OBJECTS_MAGIC);
    objects_stop(o);
    objects_env_close(o);
    objects_free(o);
    return NULL;
}

int objects_put(struct objects *o, const struct digest *key, struct str record)
{
    ASSERT(o->magic == OBJECTS_MAGIC);
    if (record.size > OBJECTS_RECORD_MAX)
        return -EFBIG;
    return objects_overlay_put(o, key, record, false);
}

int objects_delete(struct objects *o, const struct digest *key)
{
    ASSERT(o->magic == OBJECTS_MAGIC);
    return objects_overlay_put(o, key, STR_NONE, true);
}

/* Checked where it lies: the row cannot change while the transaction is up. */
static int objects_read(const struct digest *key, const MDB_val *row, struct buf *out)
{
    uint64_t sum;
    if (row->mv_size < sizeof sum || row->mv_size > sizeof sum + OBJECTS_RECORD_MAX)
        return -EBADMSG;
    const uint8_t *bytes = row->mv_data;
    memcpy(&sum, bytes, sizeof sum);
    if (le64toh(sum) != objects_row_sum(key, bytes + sizeof sum, row->mv_size - sizeof sum))
        return -EBADMSG;
    buf_put(out, bytes + sizeof sum, row->mv_size - sizeof sum);
    return buf_error(out);
}

int objects_get(struct objects *o, const struct digest *key, struct buf *out)
{
    ASSERT(o->magic == OBJECTS_MAGIC);
    struct objects_reader *reader = NULL;
    MDB_val k = index_val(key->bytes, DIGEST_SIZE), row;
    int r = objects_overlay_get(o, key, out);
    if (r != -EAGAIN)
        return r;
    if (objects_overlay_blind(o))
        return -ENOENT;
    r = objects_reader_take(o, &reader);
    if (r < 0)
        return r;
    r = index_err(mdb_get(reader->txn, o->dbs[OBJECTS_RECORDS], &k, &row));
    if (r == 0)
        r = objects_read(key, &row, out);
    objects_reader_give(o, reader);
    if (r == 0)
        objects_used(o, key);
    if (r == -EBADMSG) {
        atomic_fetch_add_explicit(&o->damaged, 1, memory_order_relaxed);
        metric_add(o->m_damaged, 1);
        objects_overlay_drop(o, key);
    }
    return r;
}

void objects_stat(struct objects *o, struct objects_stat *ret)
{
    *ret = (struct objects_stat){
        .records = atomic_load(&o->records),
        .bytes = atomic_load(&o->bytes),
        .marks = atomic_load(&o->marks_count),
        .dropped = atomic_load(&o->dropped),
        .evicted = atomic_load(&o->evicted),
        .damaged = atomic_load(&o->damaged),
    };
}
