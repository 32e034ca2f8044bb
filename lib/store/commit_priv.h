/* SPDX-License-Identifier: Apache-2.0 */
/* commit_priv: what commit.c (writing) and evict.c (making room) share.
 *
 * Life:    see commit.h.
 * Owner:   the committer's thread.
 * Threads: the committer's only, but for what lock guards.
 * Errors:  0 or -errno.
 * Units:   bytes. */
#pragma once
#include <pthread.h>
#include "store/commit.h"

#define COMMIT_BATCH_MAX 256u

struct commit {
    uint32_t magic;
#define COMMIT_MAGIC UINT32_C(0xc0331773)
    struct commit_options options;
    struct io_queue *queue;
    struct index_reader *reader;
    uint32_t sequence;
    bool must_roll; /* the newest volume gave an error: write elsewhere */
    int write_res;  /* of the batch's writes: the first error */
    unsigned writing;
    pthread_t thread;
    pthread_mutex_t lock; /* the rest */
    pthread_cond_t wake;
    struct commit_op *first, **last;
    uint64_t waiting_bytes;
    bool stopping;
};

/* Changes to volume rows, which become true with the transaction. */
struct commit_rows {
    struct index_volume rows[COMMIT_BATCH_MAX + 1];
    unsigned count;
};

struct commit_batch {
    struct commit_op *ops[COMMIT_BATCH_MAX];
    unsigned count;
    uint64_t end; /* of the newest volume with this batch in it; 0: nothing placed yet */
    struct commit_rows rows;
};

/* Takes op into the batch (false: no room in the volume, or the batch is full); commits the batch
 * and calls done for each. */
bool commit_add(struct commit *c, struct commit_batch *b, struct commit_op *op);
void commit_run(struct commit *c, struct commit_batch *b);

/* The record at e, checked; a new buffer. -EBADMSG damaged, -ENOENT volume gone. */
MUST_USE int commit_read(struct commit *c, const struct digest *d, const struct index_entry *e,
                         struct rbuf **ret);

/* evict.c: a new newest volume with room for record_size; a cache makes room first. */
MUST_USE int evict_roll(struct commit *c, uint32_t record_size);

/* Takes all entries of a volume out of the index, then the volume's row. */
MUST_USE int evict_forget(struct index *x, uint32_t volume);
