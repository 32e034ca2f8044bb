/* SPDX-License-Identifier: Apache-2.0 */
/* commit: the store's one writer: takes puts and ref moves from all workers, writes records, syncs
 * once for the group, commits one index transaction for the group, then answers.
 *
 * Life:    commit_start -> commit_push* -> commit_stop (does what was taken, joins the thread).
 *          An op: commit_push -> done, on the committer's thread, once res stands.
 * Owner:   an op is the committer's from a successful push until done.
 * Threads: commit_push from any.
 * Errors:  push: -EAGAIN too much waits, op is still the caller's. res: see store.h.
 * Units:   bytes. */
#pragma once
#include "base/metrics.h"
#include "store/hot.h"
#include "store/volume.h"

struct commit;

enum commit_kind { COMMIT_PUT, COMMIT_REF_PUT, COMMIT_REF_DELETE, COMMIT_QUARANTINE };

struct commit_op {
    enum commit_kind kind;
    int res;
    void (*done)(struct commit_op *op);
    struct digest digest;
    struct rbuf *record; /* PUT: format_record_fill has been at it; REF_*: the committer makes it.
                            The op's reference, given back to the owner with done */
    uint32_t length;
    uint32_t volume; /* QUARANTINE: where the damage was found */
    uint64_t offset;
    char name[STORE_NAME_MAX + 1]; /* REF_*; zero-terminated */
    uint64_t expect;
    /* The committer's own from here on. */
    struct commit_op *next;
    struct commit_op *twin; /* the same bytes, earlier in the batch: shares its fate */
    struct io_op io;
    struct commit *commit;
    struct store_ref ref;      /* REF_PUT: what it will be */
    struct index_entry before; /* PUT over a damaged or moved one: what it takes the place of */
    bool active;               /* takes part in the index transaction */
    bool recorded;             /* its record has a place and is to be written */
    bool rewrite;              /* the committer's own copy of what is there */
    bool index_only;           /* a ref that finds no room for its record */
};

struct commit_options {
    const struct io_ops *io;
    struct index *index;
    struct volume_table *volumes;
    struct hot *hot;
    uint32_t epoch;
    uint64_t volume_size;
    uint64_t size_max; /* 0: not a cache */
    _Atomic uint64_t *evicted_volumes;
    struct metric *latency, *groups, *evictions; /* may be NULL */
};

MUST_USE int commit_start(const struct commit_options *options, struct commit **ret);
struct commit *commit_stop(struct commit *c);
MUST_USE int commit_push(struct commit *c, struct commit_op *op);
