/* SPDX-License-Identifier: Apache-2.0 */
/* objects_priv: what the files behind objects.h share.
 *
 * Life:    see objects.h.
 * Owner:   see objects.h.
 * Threads: any for the overlay, the marks and readers; transactions are the writer thread's (before
 *          it is started: the opener's).
 * Errors:  0 or -errno: index_err translates LMDB's.
 * Units:   bytes, milliseconds, seconds as the name says. */
#pragma once
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include "store/objects.h"
#include "store/room.h"

#define OBJECTS_SHARDS     16u
#define OBJECTS_SUM_SIZE   8u
#define OBJECTS_USED_WORDS (UINT32_C(1) << 17) /* of 64 bits: which keys were used this hour */
#define OBJECTS_USED_MAX   8192u               /* that wait to be written down */
#define OBJECTS_PATH_MAX   4096

enum objects_db { OBJECTS_META, OBJECTS_RECORDS, OBJECTS_USES, OBJECTS_MARKS, OBJECTS_DBS };

/* --- the overlay: what is not yet written ----------------------------------------------------- */

/* A record as its row will be (checksum, bytes), or that there is none. */
struct objects_entry {
    struct objects_entry *next;
    struct digest key;
    bool gone;
    uint32_t size; /* of row */
    uint8_t row[];
};

struct objects_map {
    struct objects_entry **buckets;
    uint64_t bytes, count;
};

/* The writer takes `fresh` as a whole, makes it `writing`, and drops that once it is committed. So
 * `writing` is changed by nobody while it is written. */
struct objects_shard {
    pthread_mutex_t lock;
    struct objects_map fresh, writing;
};

/* --- marks ------------------------------------------------------------------------------------ */

/* The last purge of a tag, of each kind; 0: none. own: the last that was asked for here. */
struct objects_mark_row {
    uint64_t hard, soft, own;
};

struct objects_mark_slot {
    struct digest tag;
    struct objects_mark_row row; /* hard and soft 0: free */
};

struct objects_marks_shard {
    pthread_rwlock_t lock;
    struct objects_mark_slot *slots; /* open addressing; a power of two of them */
    uint64_t slots_count, count;
};

/* One row of the file: changed with each purge. */
struct objects_state {
    uint64_t sequence;
    struct objects_mark_row floor; /* everything asked for before is gone, or stale */
    uint64_t marks, marks_sum;     /* how many rows, and the exclusive or of their checksums */
    uint8_t id[OBJECTS_ID_SIZE];
};

/* A purge that waits for the writer. */
struct objects_wish {
    struct objects_wish *next;
    const struct objects_purge *purges;
    unsigned count;
    enum objects_mark all;
    bool own, done;
    int res;
};

/* --- the whole -------------------------------------------------------------------------------- */

struct objects_reader {
    struct objects_reader *next;
    MDB_txn *txn; /* reset between calls */
};

struct objects {
    uint32_t magic;
#define OBJECTS_MAGIC UINT32_C(0x0b1ec75a)
    uint64_t size_max, map_size, marks_max;
    char folder[OBJECTS_PATH_MAX];
    int lock_fd;
    MDB_env *env;
    MDB_dbi dbs[OBJECTS_DBS];
    struct room room;

    pthread_mutex_t readers_lock;
    struct objects_reader *readers; /* that nobody uses just now */

    struct objects_shard shards[OBJECTS_SHARDS];
    _Atomic uint64_t overlay_bytes;
    /* Records of the file count as absent from a forgetting on until it was carried out. */
    _Atomic uint64_t forget_wanted, forget_done;
    _Atomic bool broken; /* the file cannot be used any more; it is set aside at the next start */

    _Atomic uint64_t used_bits[OBJECTS_USED_WORDS];
    pthread_mutex_t used_lock;
    struct digest *used;
    struct digest *used_written; /* taken from it; the writer's */
    unsigned used_count;
    uint64_t used_written_ms, used_cleared_ms; /* the writer's */

    struct objects_marks_shard marks[OBJECTS_SHARDS];
    _Atomic uint64_t floor_hard, floor_soft, floor_own;
    _Atomic uint64_t sequence, marks_count;
    _Atomic bool yielded;        /* to another process, whose marks are looked for in the file */
    struct objects_state state;  /* as committed last; the writer's, once yielded under lock */
    uint8_t id[OBJECTS_ID_SIZE]; /* state's; never changes */

    bool failing;       /* the last write did; the writer's */
    struct digest hand; /* where eviction goes on; the writer's */
    _Atomic uint64_t records, bytes, dropped, evicted, damaged;
    struct metric *m_records, *m_bytes, *m_marks, *m_dropped, *m_evicted, *m_damaged, *m_commits;

    pthread_mutex_t lock; /* the three below */
    pthread_cond_t wake, done;
    struct objects_wish *wishes;
    bool stopping;
    pthread_t thread;
    bool started;
};

/* objects_overlay.c */
MUST_USE int objects_overlay_init(struct objects *o);
void objects_overlay_free(struct objects *o);
/* record: STR_NONE with gone. */
MUST_USE int objects_overlay_put(struct objects *o, const struct digest *key, struct str record,
                                 bool gone);
/* 0: appended; -ENOENT: known to be absent; -EAGAIN: nothing is known here. */
MUST_USE int objects_overlay_get(struct objects *o, const struct digest *key, struct buf *out);
/* A delete, unless something newer is there. */
void objects_overlay_drop(struct objects *o, const struct digest *key);
/* Makes what is fresh in a shard `writing`; false: there is nothing. */
bool objects_overlay_take(struct objects *o, unsigned shard);
/* It is in the file, or it was lost: then the keys count as absent. */
void objects_overlay_written(struct objects *o, unsigned shard, bool lost);
bool objects_overlay_blind(const struct objects *o);
void objects_forget(struct objects *o);
uint64_t objects_row_sum(const struct digest *key, const void *data, size_t size);
#define OBJECTS_BUCKETS 1024u /* of a map */

/* objects_env.c */
MUST_USE int objects_env_open(struct objects *o, const char *path, struct err *err);
void objects_env_close(struct objects *o);
typedef int objects_body(struct objects *o, MDB_txn *txn, void *arg);
MUST_USE int objects_txn(struct objects *o, objects_body *body, void *arg);
MUST_USE int objects_reader_take(struct objects *o, struct objects_reader **ret);
void objects_reader_give(struct objects *o, struct objects_reader *r);
uint64_t objects_file_size(struct objects *o);
/* The file is damaged beyond use: noted, so that the next start sets it aside. */
void objects_break(struct objects *o, int why);
MUST_USE int objects_state_get(struct objects *o, MDB_txn *txn, struct objects_state *ret);
MUST_USE int objects_state_put(struct objects *o, MDB_txn *txn, const struct objects_state *s);

/* objects_marks.c */
void objects_marks_init(struct objects *o);
void objects_marks_free(struct objects *o);
MUST_USE int objects_marks_load(struct objects *o, MDB_txn *txn); /* -EBADMSG */
/* Room for what they add, so that nothing can fail once it is on disk. */
MUST_USE int objects_marks_reserve(struct objects *o, const struct objects_wish *wishes);
void objects_marks_set(struct objects *o, const struct digest *tag, enum objects_mark mark,
                       bool own, uint64_t sequence);
void objects_floor_raise(struct objects *o, const struct objects_mark_row *to);
void objects_marks_cut(struct objects *o, uint64_t above); /* those up to it go */
typedef int objects_marks_fn(void *arg, const struct objects_mark_slot *slot);
MUST_USE int objects_marks_each(struct objects *o, objects_marks_fn *each, void *arg);
MUST_USE int objects_mark_row_get(struct objects *o, MDB_txn *txn, const struct digest *tag,
                                  struct objects_mark_row *ret, uint64_t *ret_sum);
MUST_USE int objects_mark_row_put(struct objects *o, MDB_txn *txn, const struct digest *tag,
                                  const struct objects_mark_row *row, uint64_t *ret_sum);
void objects_row_raise(struct objects_mark_row *row, enum objects_mark mark, bool own,
                       uint64_t sequence);
uint64_t objects_row_last(const struct objects_mark_row *row);

/* objects_purge.c */
void objects_purges_run(struct objects *o, struct objects_wish *wishes);

/* objects_write.c */
void *objects_write_run(void *o);
MUST_USE int objects_make_room(struct objects *o); /* on a full disk */
void objects_used(struct objects *o, const struct digest *key);
MUST_USE int objects_counts_load(struct objects *o);

/* objects_evict.c; bytes: of all records, as they are with the transaction */
struct objects_use {
    uint32_t used_s, bytes;
};
MUST_USE int objects_use_get(struct objects *o, MDB_txn *txn, const struct digest *key,
                             struct objects_use *ret);
MUST_USE int objects_use_put(struct objects *o, MDB_txn *txn, const struct digest *key,
                             const struct objects_use *use);
/* Deletes a record; an absent one is fine. */
MUST_USE int objects_row_delete(struct objects *o, MDB_txn *txn, const struct digest *key,
                                uint64_t *bytes);
/* The longest unused go, until bytes is at most max. */
MUST_USE int objects_evict(struct objects *o, MDB_txn *txn, uint64_t max, uint64_t *bytes);
/* All records of a range of keys, whatever their age: frees whole pages. */
MUST_USE int objects_evict_range(struct objects *o, MDB_txn *txn, uint64_t *bytes);
