/* SPDX-License-Identifier: Apache-2.0 */
/* store_priv: what the files behind store.h share.
 *
 * Life:    see store.h.
 * Owner:   see store.h.
 * Threads: a worker's fields by its thread, but for what its lock guards.
 * Errors:  0 or -errno.
 * Units:   bytes. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include "io/io.h"
#include "store/commit.h"
#include "store/admit.h"
#include "store/again.h"
#include "store/heat.h"
#include "store/hot.h"
#include "store/index.h"
#include "store/keeper.h"
#include "store/store.h"
#include "store/tier.h"
#include "store/volume.h"

#define STORE_READS_MAX    4096u /* different blobs being read by one worker */
#define STORE_READ_BUCKETS 256u

/* The names of the parts in a store's folder. */
#define STORE_FOLDER_INDEX "index"
#define STORE_FOLDER_WARM  "warm"
#define STORE_FILE_LOCK    "lock"
#define STORE_FILE_LEARNT  "learnt"

struct store_metrics {
    struct metric *hits_hot, *hits_warm, *hits_cold, *hits_remote, *misses, *damaged, *repaired;
    struct metric *evictions, *puts, *put_failures, *put_bytes, *written_bytes, *refused;
    struct metric *groups, *commit_latency, *get_latency;
    struct metric *reclaimed, *reclaimed_bytes, *compacted, *scrubbed_bytes, *promoted, *demoted;
    struct metric *uploaded;
    struct metric *blobs, *blob_bytes, *volumes, *volume_bytes, *live_bytes, *hot_bytes;
};

/* Since start; any thread adds. */
struct store_counts {
    _Atomic uint64_t hot_hits, hits, misses, damaged, repaired, evicted_volumes;
    _Atomic uint64_t put_bytes, written_bytes, refused;
    _Atomic uint64_t reclaimed, reclaimed_bytes, compacted_volumes, scrubbed_bytes;
    _Atomic uint64_t promoted, demoted, uploaded;
};

struct store {
    uint32_t magic;
#define STORE_MAGIC UINT32_C(0x570e1a9d)
    const struct io_ops *io;
    struct index *index;
    struct volume_table *volumes;
    struct hot *hot;
    struct heat *heat;     /* NULL: a cache, which needs none */
    struct admit *admit;   /* NULL: everything is admitted */
    struct again *again;   /* NULL: newcomers are never worth a write */
    struct commit *commit; /* NULL: read only, and so is keeper */
    struct keeper *keeper;
    struct store_tier *remote, *peer;
    enum store_durability durability;
    store_links *links;
    void *links_arg;
    bool is_cache;
    uint64_t volume_size, size_max;
    enum store_admission admission;
    bool reclaims;       /* what names each blob is counted, all of it */
    char *learnt;        /* where a cache keeps what it learnt; NULL: nowhere */
    int lock_fd;         /* flock: one process, one store */
    atomic_bool yielded; /* another process may write; this one reads only */
    _Atomic unsigned workers;
    _Atomic uint64_t reading, read_bytes; /* in the foreground: under way; since start */
    _Atomic unsigned rewriting;           /* store_rewrite: under way */
    struct store_counts counts;
    struct store_metrics metrics;
};

static inline void store_count(_Atomic uint64_t *count, struct metric *metric, uint64_t n)
{
    atomic_fetch_add_explicit(count, n, memory_order_relaxed);
    metric_add(metric, n);
}

/* A result that waits for its worker's poll. */
struct store_event {
    struct store_event *next;
    void (*run)(struct store_event *e);
};

struct store_read;

struct store_worker {
    uint32_t magic;
#define STORE_WORKER_MAGIC UINT32_C(0x570e3c4b)
    struct store *store;
    struct io_queue *queue;
    struct index_reader *reader;
    int event_fd;
    unsigned under_way; /* calls whose cb is still to come */
    bool freeing;       /* no more are begun by ourselves */
    bool polling;       /* in store_worker_poll: what is begun is handed on at its end */
    unsigned admitting; /* those among them that store_put_admitted made: nobody else waits */
    unsigned reads_count;
    struct store_read *reads[STORE_READ_BUCKETS]; /* under way, by digest */
    pthread_mutex_t lock;                         /* the inbox */
    struct store_event *inbox, **inbox_last;
};

void store_worker_post(struct store_worker *w, struct store_event *e); /* from any thread */

/* store_read.c. STORE_READ_QUIET: for our own comparing; enters neither RAM nor the counts.
 * STORE_READ_LOCAL: no peer is asked. */
#define STORE_READ_QUIET 1u
#define STORE_READ_LOCAL 2u
void store_read(struct store_worker *w, const struct digest *d, unsigned flags, store_get_cb *cb,
                void *arg);

/* store_read.c. By the index alone: what is in RAM only does not count. */
bool store_indexed(struct store_worker *w, const struct digest *d);

/* Into RAM, of a blob that is in the store. */
void store_hot_insert(struct store_worker *w, const struct digest *d, struct rbuf *blob);

/* store_write.c. What a presentation names, in order and each once: the caller's to free. */
MUST_USE int store_links_of(store_links *links, void *arg, const struct rbuf *presentation,
                            struct digest **ret, uint32_t *ret_count);

/* A blob that was in RAM alone was asked for again. */
void store_put_admitted(struct store_worker *w, const struct digest *d, struct rbuf *blob);

/* store_record.c: a record of the blob for op, in the blob's own buffer where that has the room;
 * and back again. */
MUST_USE int store_record_make(struct commit_op *op, struct rbuf *blob);
void store_record_drop(struct commit_op *op);

/* store_move.c: copies made anew in the background, and blobs fetched from elsewhere. */

/* Writes the blob to a device: kind COMMIT_PUT, to repair it, or COMMIT_MOVE of the copy at from
 * (volume 0: there is none on a device). Best effort: nobody waits for it. */
void store_rewrite(struct store *s, enum commit_kind kind, enum format_device_kind device,
                   const struct digest *d, const struct index_entry *from, struct rbuf *blob);

/* Whether there is anybody else to ask for the blob. */
bool store_can_rescue(const struct store *s, const struct index_entry *e, bool local);
/* Asks them in turn; the bytes are those of the digest. cb on any thread, also from within. local:
 * peers are not asked. */
typedef void store_rescued(void *arg, int res, struct rbuf *blob);
void store_rescue(struct store *s, const struct digest *d, const struct index_entry *e, bool local,
                  store_rescued *cb, void *arg);

/* So that a put of the same digest writes it anew, and nobody reads this copy again. */
void store_quarantine(struct store *s, const struct digest *d, const struct index_entry *e);

void store_metrics_init(struct store *s, struct metrics *registry, const char *prefix);
void store_metrics_refresh(struct store *s); /* the gauges */
