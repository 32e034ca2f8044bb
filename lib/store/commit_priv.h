/* SPDX-License-Identifier: Apache-2.0 */
/* commit_priv: what commit.c (the thread, writing), commit_place.c (placing), commit_later.c (the
 * thread that indexes one batch while the next is written), commit_index.c and commit_refs.c (the
 * index), and evict.c (making room) share.
 *
 * Life:    see commit.h.
 * Owner:   the committer's thread.
 * Threads: the committer's only, but for what a lock guards.
 * Errors:  0 or -errno.
 * Units:   bytes. */
#pragma once
#include <pthread.h>
#include "store/commit.h"

#define COMMIT_BATCH_MAX 256u
#define COMMIT_ROWS_MAX  (COMMIT_BATCH_MAX + FORMAT_DEVICE_KINDS)

/* Changes to volume rows, which become true with the transaction. */
struct commit_rows {
    struct index_volume rows[COMMIT_ROWS_MAX];
    unsigned count;
};

struct commit_batch {
    struct commit_op *ops[COMMIT_BATCH_MAX];
    unsigned count;
    bool may_move; /* to another device, where the one that it was written to fails */
    /* Of the newest volume of each kind with this batch in it; 0: nothing placed yet. */
    uint64_t end[FORMAT_DEVICE_KINDS];
    struct commit_rows rows;
    bool behind; /* some of it is placed behind a batch that is not in the index yet */
    uint64_t began_us;
    uint32_t dropped; /* a volume without extents whose row goes with this batch; 0: none */
    uint32_t now_s;
};

/* A batch of puts whose records are durable, on its way into the index. */
struct commit_later {
    pthread_t thread;
    bool started;
    /* The committer's: of the batch that it handed over and has not waited for. */
    bool handed;
    struct digest digests[COMMIT_BATCH_MAX];
    unsigned digests_count;
    uint64_t end[FORMAT_DEVICE_KINDS]; /* where the next record goes; 0: none of this kind in it */
    int res;                           /* of the last one that was waited for */
    pthread_mutex_t lock;              /* the rest; batch is the thread's own while busy */
    pthread_cond_t wake, idle;
    bool busy, stopping;
    int last;
    struct commit_batch batch;
};

struct commit {
    uint32_t magic;
#define COMMIT_MAGIC UINT32_C(0xc0331773)
    struct commit_options options;
    struct io_queue *queue;
    struct index_reader *reader;
    uint32_t sequence;
    bool must_roll[FORMAT_DEVICE_KINDS]; /* the newest volume gave an error: write elsewhere */
    int write_res[FORMAT_DEVICE_KINDS];  /* of the batch's writes: the first error */
    unsigned writing;
    bool rest; /* of what was taken from the queue there is more than this batch */
    struct commit_later later;
    pthread_t thread;
    pthread_mutex_t lock; /* the rest */
    pthread_cond_t wake;
    struct commit_op *first, **last;
    uint64_t waiting_bytes;
    bool stopping;
};

/* commit_place.c. Takes op into the batch (false: no room in the volume, or the batch is full, or
 * op must see what the batch does first). */
MUST_USE bool commit_add(struct commit *c, struct commit_batch *b, struct commit_op *op);

/* commit.c. Commits the batch and calls done for each. */
void commit_run(struct commit *c, struct commit_batch *b);

/* Steps 3 and 4: what became of the transaction. By either thread. */
int commit_end(struct commit *c, struct commit_batch *b);

/* commit_later.c */
MUST_USE int commit_later_start(struct commit *c);
void commit_later_stop(struct commit *c);
/* Steps 3 and 4 on the other thread, if that is of use: b is empty then. */
bool commit_hand_over(struct commit *c, struct commit_batch *b);
/* Waits until nothing is on its way: before anything else touches the index, or looks at what the
 * batch may change. */
void commit_drain(struct commit *c);
/* Whether op must see what the batch on its way does. */
bool commit_must_see(const struct commit *c, const struct commit_op *op);

/* A write to the device failed. */
void commit_failed_on(struct commit *c, struct volume_device *d, int res);

/* commit_index.c. The whole batch in one transaction. */
MUST_USE int commit_index(struct commit *c, struct commit_batch *b);

/* The row of a volume as this batch leaves it; NULL when the volume is gone or away. */
struct index_volume *commit_row(struct commit *c, struct commit_batch *b, uint32_t id);

/* A record that nothing needs any more: its extent goes, its space is to be given back. A blob's
 * that is quarantined is not in the row's sums of blobs. */
MUST_USE int commit_free_record(struct commit *c, struct commit_batch *b, struct index_txn *t,
                                uint32_t volume, uint64_t offset, uint32_t length, bool is_blob,
                                bool quarantined);

/* commit_refs.c */
MUST_USE int commit_index_ref(struct commit *c, struct commit_batch *b, struct index_txn *t,
                              struct commit_op *op);
/* From when on a blob that nothing names may go. */
uint32_t commit_due(const struct commit *c, const struct index_entry *e);
/* Its time as one that nothing names begins. */
MUST_USE int commit_orphan(struct commit *c, struct commit_batch *b, struct index_txn *t,
                           const struct digest *d, struct index_entry *e, bool dropped);

/* evict.c: a new newest volume with room for record_size; a cache makes room first. */
MUST_USE int evict_roll(struct commit *c, enum format_device_kind kind, uint32_t record_size);

/* Volumes of a cache go until the index can grow again; -ENOSPC: it cannot. */
MUST_USE int evict_for_index(struct commit *c);

/* Takes all entries of a volume out of the index; those with a remote copy keep that. The row stays
 * until evict_remove. */
MUST_USE int evict_forget(struct index *x, struct index_reader *r, uint32_t volume);

/* The file, then the row, of a volume that the index names no blob in. The row last: a file that
 * has no row is not ours. Where one of them fails the next start goes on from there. */
void evict_remove(struct commit *c, uint32_t volume);
MUST_USE int evict_delete_row(struct index *x, uint32_t volume);
