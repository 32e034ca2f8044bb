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
#include "store/hot.h"
#include "store/index.h"
#include "store/store.h"
#include "store/volume.h"

#define STORE_READS_MAX    4096u /* different blobs being read by one worker */
#define STORE_READ_BUCKETS 256u

/* The names of the parts in a store's folder. */
#define STORE_FOLDER_INDEX "index"
#define STORE_FOLDER_WARM  "warm"
#define STORE_FILE_LOCK    "lock"

struct store_metrics {
    struct metric *hits_hot, *hits_warm, *misses, *damaged, *evictions, *puts, *put_failures;
    struct metric *groups, *commit_latency, *get_latency;
    struct metric *blobs, *blob_bytes, *volumes, *volume_bytes, *hot_bytes;
};

struct store {
    uint32_t magic;
#define STORE_MAGIC UINT32_C(0x570e1a9d)
    const struct io_ops *io;
    struct index *index;
    struct volume_table *volumes;
    struct hot *hot;
    struct commit *commit;
    int lock_fd; /* flock: one process, one store */
    _Atomic unsigned workers;
    _Atomic uint64_t hot_hits, hits, misses, damaged, evicted_volumes;
    struct store_metrics metrics;
};

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
    unsigned reads_count;
    struct store_read *reads[STORE_READ_BUCKETS]; /* under way, by digest */
    pthread_mutex_t lock;                         /* the inbox */
    struct store_event *inbox, **inbox_last;
};

void store_worker_post(struct store_worker *w, struct store_event *e); /* from any thread */

/* store_read.c. STORE_READ_QUIET: for our own comparing; enters neither RAM nor the counts. */
#define STORE_READ_QUIET 1u
void store_read(struct store_worker *w, const struct digest *d, unsigned flags, store_get_cb *cb,
                void *arg);

void store_metrics_init(struct store *s, struct metrics *registry, const char *prefix);
void store_metrics_refresh(struct store *s); /* the gauges */
