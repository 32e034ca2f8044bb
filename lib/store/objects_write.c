/* SPDX-License-Identifier: Apache-2.0 */
/* The writer thread: some times a second it puts what is in the overlay into the file, a part of
 * the shards in each transaction, so that a purge does not wait for long. */
#include <endian.h>
#include <errno.h>
#include <time.h>
#include "base/clock.h"
#include "base/log.h"
#include "store/index_priv.h"
#include "store/objects_priv.h"

#define WRITE_EVERY_MS 250u
#define WRITE_BYTES    (UINT64_C(8) << 20) /* in one transaction, about */
#define WRITE_TRIES    8u                  /* on a full disk, with records given up in between */
#define WRITE_USES_MS  5000u               /* uses alone wait so long */
#define WRITE_USED_MS  UINT64_C(3600000)   /* a use is written down once in that time */
#define ROW_OVERHEAD   64u
#define ROW_PAGES      2000u /* a longer one has pages of its own */
#define ROW_PAGE       4096u

struct write_job {
    uint64_t forget; /* seen before anything was taken */
    unsigned first, end;
    const struct digest *used;
    unsigned used_count;
    uint64_t bytes; /* of all records when it is done */
    uint64_t records;
};

/* What a record takes in the file: trees of random keys are two thirds full. */
static uint32_t write_bytes(uint32_t row_size)
{
    uint32_t size = row_size + ROW_OVERHEAD;
    return row_size > ROW_PAGES ? (size + ROW_PAGE - 1) / ROW_PAGE * ROW_PAGE + ROW_OVERHEAD
                                : size + size / 2;
}

static int write_row(struct objects *o, MDB_txn *txn, const struct objects_entry *e, uint32_t now_s,
                     uint64_t *bytes)
{
    struct objects_use before = {0}, use = {.used_s = now_s, .bytes = write_bytes(e->size)};
    if (e->gone)
        return objects_row_delete(o, txn, &e->key, bytes);
    int r = objects_use_get(o, txn, &e->key, &before);
    if (r < 0 && r != -ENOENT)
        return r;
    MDB_val key = index_val(e->key.bytes, DIGEST_SIZE), value = index_val(e->row, e->size);
    r = index_err(mdb_put(txn, o->dbs[OBJECTS_RECORDS], &key, &value, 0));
    if (r == 0)
        r = objects_use_put(o, txn, &e->key, &use);
    *bytes = *bytes - MIN(*bytes, before.bytes) + use.bytes;
    return r;
}

static int write_shard(struct objects *o, MDB_txn *txn, const struct objects_shard *s,
                       uint32_t now_s, uint64_t *bytes)
{
    for (unsigned i = 0; i < OBJECTS_BUCKETS && s->writing.count > 0; i++) {
        for (const struct objects_entry *e = s->writing.buckets[i]; e != NULL; e = e->next) {
            int r = write_row(o, txn, e, now_s, bytes);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int write_uses(struct objects *o, MDB_txn *txn, const struct write_job *j, uint32_t now_s)
{
    for (unsigned i = 0; i < j->used_count; i++) {
        struct objects_use use;
        int r = objects_use_get(o, txn, &j->used[i], &use);
        use.used_s = now_s;
        if (r == 0)
            r = objects_use_put(o, txn, &j->used[i], &use);
        if (r < 0 && r != -ENOENT)
            return r;
    }
    return 0;
}

static int write_bytes_put(struct objects *o, MDB_txn *txn, struct write_job *j)
{
    uint64_t bytes = htole64(j->bytes);
    MDB_val key = index_val("bytes", 5), value = index_val(&bytes, sizeof bytes);
    MDB_stat stat = {0};
    int r = index_err(mdb_stat(txn, o->dbs[OBJECTS_USES], &stat));
    j->records = stat.ms_entries;
    return r < 0 ? r : index_err(mdb_put(txn, o->dbs[OBJECTS_META], &key, &value, 0));
}

static int write_body(struct objects *o, MDB_txn *txn, void *arg)
{
    struct write_job *j = arg;
    uint32_t now_s = (uint32_t)clock_real_s();
    uint64_t before = atomic_load(&o->bytes);
    int r = 0;
    j->bytes = before;
    if (j->forget != atomic_load(&o->forget_done)) {
        r = index_err(mdb_drop(txn, o->dbs[OBJECTS_RECORDS], 0));
        if (r == 0)
            r = index_err(mdb_drop(txn, o->dbs[OBJECTS_USES], 0));
        j->bytes = 0;
    }
    for (unsigned i = j->first; i < j->end && r == 0; i++)
        r = write_shard(o, txn, &o->shards[i], now_s, &j->bytes);
    if (r == 0)
        r = write_uses(o, txn, j, now_s);
    /* On a full disk what comes takes the place of what goes. */
    uint64_t max = atomic_load(&o->room.low) ? MIN(before, o->size_max) : o->size_max;
    if (r == 0)
        r = objects_evict(o, txn, max, &j->bytes);
    return r < 0 ? r : write_bytes_put(o, txn, j);
}

static int write_room_body(struct objects *o, MDB_txn *txn, void *arg)
{
    struct write_job *j = arg;
    j->bytes = atomic_load(&o->bytes);
    int r = objects_evict_range(o, txn, &j->bytes);
    return r < 0 ? r : write_bytes_put(o, txn, j);
}

static void write_done(struct objects *o, const struct write_job *j)
{
    atomic_store(&o->bytes, j->bytes);
    atomic_store(&o->records, j->records);
    metric_set(o->m_records, (int64_t)j->records);
    metric_set(o->m_bytes, (int64_t)j->bytes);
    metric_add(o->m_commits, 1);
}

int objects_make_room(struct objects *o)
{
    struct write_job j = {0};
    int r = objects_txn(o, write_room_body, &j);
    if (r == 0)
        write_done(o, &j);
    return r;
}

static int write_commit(struct objects *o, struct write_job *j)
{
    int r = -EIO;
    for (unsigned i = 0; i < WRITE_TRIES && !atomic_load(&o->broken); i++) {
        r = objects_txn(o, write_body, j);
        if (r == -EIO || r == -EBADMSG)
            objects_break(o, r);
        if (r != -ENOSPC && r != -EDQUOT)
            break;
        int room = objects_make_room(o);
        if (room < 0 && room != -ENOSPC && room != -EDQUOT)
            return room;
    }
    return r;
}

/* False: something could not be written; it counts as absent. */
static bool write_some(struct objects *o, struct write_job *j)
{
    int r = write_commit(o, j);
    for (unsigned i = j->first; i < j->end; i++)
        objects_overlay_written(o, i, r < 0);
    if (r == 0) {
        atomic_store(&o->forget_done, j->forget);
        write_done(o, j);
        o->failing = false;
        return true;
    }
    if (!o->failing)
        log_warn("records cannot be written to %s and are dropped: %s", o->folder, strerror(-r));
    o->failing = true;
    return false;
}

/* The uses that wait are the transaction's until used_count is set to 0. */
static unsigned write_take_uses(struct objects *o, struct digest *out)
{
    (void)pthread_mutex_lock(&o->used_lock);
    unsigned count = o->used_count;
    memcpy(out, o->used, count * sizeof *out);
    o->used_count = 0;
    (void)pthread_mutex_unlock(&o->used_lock);
    return count;
}

static bool write_all(struct objects *o)
{
    bool good = true;
    struct write_job j = {.forget = atomic_load(&o->forget_wanted), .used = o->used_written};
    j.used_count = write_take_uses(o, o->used_written);
    while (j.end < OBJECTS_SHARDS && good) {
        uint64_t bytes = 0;
        bool any = j.used_count > 0 || j.forget != atomic_load(&o->forget_done);
        j.first = j.end;
        while (j.end < OBJECTS_SHARDS && bytes < WRITE_BYTES) {
            any |= objects_overlay_take(o, j.end);
            bytes += o->shards[j.end++].writing.bytes;
        }
        if (any)
            good = write_some(o, &j);
        j.used_count = 0;
        (void)pthread_mutex_lock(&o->lock);
        bool wishes = o->wishes != NULL;
        (void)pthread_mutex_unlock(&o->lock);
        if (wishes)
            break; /* they go first; the rest is there afterwards */
    }
    return good;
}

/* --- uses ------------------------------------------------------------------------------------- */

void objects_used(struct objects *o, const struct digest *key)
{
    uint32_t at;
    memcpy(&at, key->bytes + 4, sizeof at);
    _Atomic uint64_t *word = &o->used_bits[at / 64 % OBJECTS_USED_WORDS];
    uint64_t bit = UINT64_C(1) << at % 64;
    if ((atomic_load_explicit(word, memory_order_relaxed) & bit) != 0)
        return;
    (void)pthread_mutex_lock(&o->used_lock);
    if (o->used_count < OBJECTS_USED_MAX) { /* else it is written down at a later use */
        (void)atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
        o->used[o->used_count++] = *key;
    }
    (void)pthread_mutex_unlock(&o->used_lock);
}

static void write_clear_used(struct objects *o, uint64_t now_ms)
{
    if (now_ms - o->used_cleared_ms < WRITE_USED_MS)
        return;
    o->used_cleared_ms = now_ms;
    for (unsigned i = 0; i < OBJECTS_USED_WORDS; i++)
        atomic_store_explicit(&o->used_bits[i], 0, memory_order_relaxed);
}

/* Uses wait for some seconds: alone they are not worth a commit. */
static bool write_wanted(struct objects *o, uint64_t now_ms, bool stopping)
{
    if (atomic_load(&o->overlay_bytes) > 0 ||
        atomic_load(&o->forget_wanted) != atomic_load(&o->forget_done))
        return true;
    (void)pthread_mutex_lock(&o->used_lock);
    bool wanted = o->used_count > 0 && (stopping || o->used_count >= OBJECTS_USED_MAX / 2 ||
                                        now_ms - o->used_written_ms >= WRITE_USES_MS);
    (void)pthread_mutex_unlock(&o->used_lock);
    return wanted;
}

/* --- the thread ------------------------------------------------------------------------------- */

static void write_wait(struct objects *o)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)WRITE_EVERY_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (!o->stopping && o->wishes == NULL &&
           pthread_cond_timedwait(&o->wake, &o->lock, &until) == 0)
        ;
}

void *objects_write_run(void *arg)
{
    struct objects *o = arg;
    uint64_t due_ms = clock_mono_ms();
    (void)pthread_mutex_lock(&o->lock);
    for (bool ended = false; !ended;) {
        write_wait(o);
        bool stopping = o->stopping;
        struct objects_wish *wishes = o->wishes;
        o->wishes = NULL;
        (void)pthread_mutex_unlock(&o->lock);
        if (wishes != NULL)
            objects_purges_run(o, wishes);
        uint64_t now_ms = clock_mono_ms();
        write_clear_used(o, now_ms);
        bool wanted = (stopping || now_ms >= due_ms) && write_wanted(o, now_ms, stopping);
        bool good = true;
        if (wanted) {
            good = write_all(o);
            o->used_written_ms = now_ms;
            due_ms = now_ms + WRITE_EVERY_MS;
        }
        (void)pthread_mutex_lock(&o->lock);
        ended = stopping && (!wanted || !good);
    }
    (void)pthread_mutex_unlock(&o->lock);
    return NULL;
}

/* What the file says of itself; nothing is walked. */
int objects_counts_load(struct objects *o)
{
    struct objects_reader *reader = NULL;
    uint64_t bytes = 0;
    MDB_stat stat = {0};
    int r = objects_reader_take(o, &reader);
    if (r < 0)
        return r;
    r = index_err(mdb_stat(reader->txn, o->dbs[OBJECTS_USES], &stat));
    if (r == 0)
        r = index_get_row(reader->txn, o->dbs[OBJECTS_META], index_val("bytes", 5), &bytes,
                          sizeof bytes);
    objects_reader_give(o, reader);
    if (r < 0 && r != -ENOENT)
        return r;
    atomic_store(&o->records, stat.ms_entries);
    atomic_store(&o->bytes, r == 0 ? le64toh(bytes) : 0);
    return 0;
}
