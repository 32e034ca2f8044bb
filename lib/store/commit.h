/* SPDX-License-Identifier: Apache-2.0 */
/* commit: the store's one writer: takes puts, ref moves and changes of the index from all threads,
 * writes records, syncs once for the group, commits one index transaction for the group, then
 * answers.
 *
 * Life:    commit_start -> commit_push* -> commit_stop (does what was taken, joins the thread).
 *          An op: commit_push -> done, on the committer's thread, once res stands.
 * Owner:   an op is the committer's from a successful push until done.
 * Threads: commit_push from any.
 * Errors:  push: -EAGAIN too much waits, -EROFS finished: op is still the caller's. res: see
 *          store.h; -ESTALE also for a move of a copy that is not where it was.
 * Units:   bytes. */
#pragma once
#include "base/metrics.h"
#include "store/hot.h"
#include "store/volume.h"

struct commit;
struct commit_batch;
struct commit_op;

enum commit_kind {
    COMMIT_PUT,
    COMMIT_MOVE, /* a copy from one place to another, or one made from a remote one */
    COMMIT_REF_PUT,
    COMMIT_REF_DELETE,
    COMMIT_REF_MOVE, /* of a ref's record, the ref stays what it is */
    COMMIT_INDEX,    /* apply alone */
};

/* Within the transaction, in the order of pushing; sets op->res. < 0 undoes the whole group. */
typedef int commit_apply(struct commit *c, struct commit_batch *b, struct index_txn *t,
                         struct commit_op *op);

struct commit_op {
    enum commit_kind kind;
    enum format_device_kind device; /* PUT, MOVE: where the record goes */
    int res;
    void (*done)(struct commit_op *op);
    struct digest digest;
    struct rbuf *record; /* PUT, MOVE: format_record_fill has been at it; REF_*: the committer makes
                            it. The op's reference, given back to the owner with done */
    bool claimed;        /* record is the blob's own buffer: store_record.c */
    uint32_t length;
    uint32_t volume; /* MOVE, REF_MOVE: where the copy is, 0: none on a device; from step 1 on:
                        where the record goes */
    uint64_t offset;
    char name[STORE_NAME_MAX + 1]; /* REF_*; zero-terminated */
    uint64_t expect;
    struct digest *links; /* REF_PUT: what the presentation names, in order, each once; borrowed */
    uint32_t links_count;
    commit_apply *apply; /* INDEX */
    uint32_t due_s;      /* INDEX: apply's */
    unsigned flags;      /* INDEX: apply's */
    bool remote_bad;     /* PUT: what the remote tier has of it was found to be wrong */
    /* The committer's own from here on. */
    struct commit_op *next;
    struct commit_op *twin; /* the same bytes, earlier in the batch: shares its fate */
    struct io_op io;
    struct commit *commit;
    struct index_ref ref; /* REF_*: what it will be */
    uint32_t from_volume; /* MOVE, REF_MOVE */
    uint64_t from_offset;
    bool active;     /* takes part in the index transaction */
    bool recorded;   /* its record has a place and is to be written */
    bool index_only; /* a ref that finds no room for its record */
    bool touch;      /* PUT of what is there: its time begins anew */
    bool unhot;      /* after the commit it leaves the RAM tier */
};

struct commit_options {
    const struct io_ops *io;
    struct index *index;
    struct volume_table *volumes;
    struct hot *hot;
    uint32_t epoch;
    uint64_t volume_size;
    uint64_t size_max; /* 0: not a cache */
    bool links;        /* ops that put refs say what these name, which must be there */
    bool counts;       /* what names a blob is counted, and what nothing names is reclaimed */
    bool uploads;      /* every put is to reach the remote tier */
    bool remote_keeps; /* nothing is removed from the remote tier */
    uint32_t unreferenced_s, dropped_s;
    void (*committed)(void *arg); /* after each group: there may be work for the keeper */
    void *committed_arg;
    _Atomic uint64_t *evicted_volumes, *written_bytes;
    struct metric *latency, *groups, *evictions, *written; /* may be NULL */
};

MUST_USE int commit_start(const struct commit_options *options, struct commit **ret);
void commit_finish(struct commit *c); /* does what was taken; pushes are -EROFS from now on */
struct commit *commit_stop(struct commit *c);
MUST_USE int commit_push(struct commit *c, struct commit_op *op);

/* Applies. Quarantine: op->volume and op->offset say where the damage was found. Reclaim: due_s is
 * the row's. Touch: -ENOENT when it is gone by now. Detach: the copy at op->volume and op->offset
 * is given up: only where the remote tier has one, or where it is quarantined. */
commit_apply commit_quarantine, commit_reclaim, commit_touch, commit_detach;
/* Uploaded: op->flags is the enum index_errand_kind that was done; the errand is over unless it was
 * changed meanwhile. Errand: op->flags as well: to be done. Drop: there is nothing on this host
 * that it could be done with. */
commit_apply commit_errand_done, commit_errand_put, commit_errand_drop;
/* The space of the holes of op->volume has been given back up to and with op->offset. Drop: a
 * volume without extents goes. */
commit_apply commit_hole_done, commit_drop_volume;
