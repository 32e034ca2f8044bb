/* SPDX-License-Identifier: Apache-2.0 */
/* store: blobs by digest and refs by name, durable on disk, verified on the way out.
 *
 * Life:    store_open -> store_worker_new per thread -> store_get/put/... -> store_worker_free by
 *          each thread once nothing of its own is under way -> store_close.
 * Owner:   the daemon's main owns the store; each thread owns its worker.
 * Threads: a struct store_worker belongs to one thread; callbacks run on it, from
 *          store_worker_poll() or, for what is in RAM, from within the call itself. Committing is
 *          done by a thread of the store's own.
 * Errors:  0 or -errno; blobs: -ENOENT absent, -EBADMSG damaged (quarantined, counted, never
 *          given), -EEXIST digest taken by other bytes, -EINVAL bytes do not have that digest,
 *          -ENOSPC full (reads go on), -EFBIG larger than STORE_BLOB_MAX, -EAGAIN too much under
 *          way.
 * Units:   bytes.
 * Source:  the on-disk format is docs/format.md; durability and eviction: docs/architecture.md. */
#pragma once
#include "base/digest.h"
#include "base/err.h"
#include "base/metrics.h"
#include "base/rbuf.h"

#define STORE_BLOB_MAX (UINT32_C(64) << 20)
#define STORE_NAME_MAX 128 /* a ref's name: [A-Za-z0-9._-], not starting with '.' */

struct io_ops;
struct store;
struct store_worker;

struct store_options {
    const char *path;     /* folder, made when absent; LMDB in path/index, volumes in path/warm */
    uint64_t volume_size; /* 0: 1 GiB */
    uint64_t size_max;    /* 0: unbounded; else a cache: whole oldest volumes go to make room */
    uint64_t hot_size;    /* RAM tier; 0: none */
    uint64_t index_size;  /* LMDB map; 0: 64 GiB of address space (grows in the file as used) */
    const struct io_ops *io;   /* NULL: io_uring, plain pread/pwrite where the kernel has none */
    struct metrics *metrics;   /* NULL: none */
    const char *metric_prefix; /* "weir_origin": names become weir_origin_store_... */
};

MUST_USE int store_open(const struct store_options *options, struct err *err, struct store **ret);
struct store *store_close(struct store *s); /* takes NULL, returns NULL; commits what was taken */

MUST_USE int store_worker_new(struct store *s, struct store_worker **ret);
struct store_worker *store_worker_free(struct store_worker *w);

/* Readable when store_worker_poll() has something to do. */
int store_worker_event_fd(const struct store_worker *w);
void store_worker_poll(struct store_worker *w);

/* For programs without a loop: polls and sleeps until *done is true. */
void store_worker_wait(struct store_worker *w, const bool *done);

/* res 0: blob holds exactly the bytes that have the digest, lent for the call (ref to keep). */
typedef void store_get_cb(void *arg, int res, struct rbuf *blob);
void store_get(struct store_worker *w, const struct digest *d, store_get_cb *cb, void *arg);

/* Only the hot tier, only now: a new reference, or NULL. */
struct rbuf *store_peek(struct store_worker *w, const struct digest *d);

bool store_has(struct store_worker *w, const struct digest *d); /* in any tier, by the index */

/* The bytes are durable when cb says 0 (also when they were there before). Takes its own reference.
 * STORE_PUT_HOT: also enters the RAM tier, for what will be asked for at once. */
#define STORE_PUT_HOT 1u
typedef void store_done_cb(void *arg, int res);
void store_put(struct store_worker *w, const struct digest *d, struct rbuf *blob, unsigned flags,
               store_done_cb *cb, void *arg);

struct store_ref {
    struct digest presentation;
    uint64_t generation; /* 1, 2, ...: counts the moves of this name */
    int64_t changed_ms;  /* real time of the last move */
};

MUST_USE int store_ref_get(struct store_worker *w, struct str name, struct store_ref *ret);

/* Moves a ref, durably. expect: the generation that it must have now (0: must not exist);
 * STORE_REF_ANY: whatever it has. cb: -ESTALE when it has another. */
#define STORE_REF_ANY UINT64_MAX
void store_ref_put(struct store_worker *w, struct str name, const struct digest *d, uint64_t expect,
                   store_done_cb *cb, void *arg);
void store_ref_delete(struct store_worker *w, struct str name, store_done_cb *cb, void *arg);

/* Calls each for every ref in name order until it returns false. */
typedef bool store_ref_each(void *arg, struct str name, const struct store_ref *ref);
MUST_USE int store_ref_list(struct store_worker *w, store_ref_each *each, void *arg);

bool store_name_ok(struct str name); /* see STORE_NAME_MAX */

struct store_stat {
    uint64_t blobs, blob_bytes;         /* by the index */
    uint64_t volumes, volume_bytes;     /* on disk */
    uint64_t hot_bytes, hot_hits, hits; /* since start */
    uint64_t misses, damaged, evicted_volumes;
};
void store_stat(struct store *s, struct store_stat *ret);
