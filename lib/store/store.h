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
 *          given), -EIO its device is away or fails, -EEXIST digest taken by other bytes, -EINVAL
 *          bytes do not have that digest, -ENOSPC full (reads go on), -EFBIG larger than
 *          STORE_BLOB_MAX, -EAGAIN too much under way, -EROFS opened to read only.
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
struct store_tier;
struct store_worker;

/* A folder on a disk of its own, which volumes go to. */
struct store_device {
    const char *path;
    bool cold; /* for what is seldom asked for */
};

/* When a put is acknowledged, where there is a remote tier. */
enum store_durability {
    STORE_LOCAL,        /* durable here; the remote tier takes what is demoted to it */
    STORE_REMOTE_ASYNC, /* durable here; the remote tier gets every blob soon after */
    STORE_REMOTE_SYNC,  /* durable here and there */
};

/* What a cache writes to its disk of what can be fetched again (STORE_PUT_CACHE). */
enum store_admission {
    /* All while there is room, then what is asked for a second time, and at the first what is of a
     * size of which enough is: again.h. */
    STORE_ADMIT_AUTO,
    STORE_ADMIT_ALL,    /* all, always */
    STORE_ADMIT_SECOND, /* from the start only what is asked for a second time: spares the disk */
};

/* Calls each for every blob that a presentation names, in any order, also more than once; ends
 * when each returns < 0, with that. -EBADMSG: the bytes are no presentation. Any thread. */
typedef int store_link_each(void *arg, const struct digest *d);
typedef int store_links(void *arg, const uint8_t *bytes, uint32_t size, store_link_each *each,
                        void *each_arg);

struct store_options {
    const char *path;        /* folder, made when absent; LMDB in path/index */
    uint64_t volume_size;    /* 0: 1 GiB, of a cache at most a 32nd of it */
    uint64_t size_max;       /* 0: unbounded; else a cache: whole oldest volumes go to make room */
    uint64_t hot_size;       /* RAM tier; 0: none */
    uint64_t index_size;     /* LMDB map to begin with, it grows; 0: 1 GiB */
    const struct io_ops *io; /* NULL: io_uring, plain pread/pwrite where the kernel has none */
    struct metrics *metrics; /* NULL: none */
    const char *metric_prefix; /* "weir_origin": names become weir_origin_store_... */

    const struct store_device *devices; /* none: one, path/warm */
    unsigned devices_count;
    bool read_only; /* beside a daemon that has it open: gets and lists, nothing else. Once in a
                       process: LMDB allows no more */

    struct store_tier *remote; /* a bucket; NULL: none. Borrowed until store_close */
    bool remote_shared;        /* other stores name blobs in it: nothing is removed there */
    struct store_tier *peer;   /* only read, to repair from; NULL: none. Borrowed likewise */
    enum store_durability durability;

    /* What keeps blobs alive: NULL: nothing is ever reclaimed (and in a cache never so). */
    store_links *links;
    void *links_arg;
    /* How long; 0: the default; STORE_AT_ONCE: not at all. */
    uint32_t unreferenced_s; /* a put that no ref came to name stays that long; 0: 24 h */
    uint32_t dropped_s;      /* what the last ref let go of stays that long; 0: 30 s */

    /* Work in the background; 0: the default, STORE_RATE_NONE: none of it. Bytes a second. */
    uint64_t keep_rate;       /* compaction and moves between tiers; 64 MiB */
    uint64_t scrub_rate;      /* reading all to find damage; 4 MiB */
    uint64_t warm_max;        /* of blobs on warm devices, where there is a colder tier; 0: nine
                                tenths of the file systems */
    uint32_t demote_after_s;  /* what was not asked for that long goes to the cold tier; 0: only
                                what has no room in the warm one */
    uint32_t promote_after_s; /* a blob is in the cold tier so long before it may come back, however
                                 often it is asked for; 0: 6 h; STORE_AT_ONCE: not at all */
    enum store_admission admission; /* a cache's */
};
#define STORE_RATE_NONE UINT64_MAX
#define STORE_AT_ONCE   UINT32_MAX

MUST_USE int store_open(const struct store_options *options, struct err *err, struct store **ret);
struct store *store_close(struct store *s); /* takes NULL, returns NULL; commits what was taken */

/* For a take-over by another process: what was taken is committed, and what is put from now on is
 * refused (-EROFS); reading goes on, also of what the other one writes. When it returns the other
 * one may open the store. There is no way back but store_close. Any thread but a worker's. */
void store_yield(struct store *s);

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

/* The same, but no peer is asked: for a question that comes from one. */
void store_get_local(struct store_worker *w, const struct digest *d, store_get_cb *cb, void *arg);

/* Only the hot tier, only now: a new reference, or NULL. */
struct rbuf *store_peek(struct store_worker *w, const struct digest *d);

/* The same two for whoever reads what he himself has just had put: nobody has asked for it once
 * more, so it counts for nothing. */
struct rbuf *store_peek_own(struct store_worker *w, const struct digest *d);
void store_get_own(struct store_worker *w, const struct digest *d, store_get_cb *cb, void *arg);

/* In any tier, by the index. */
bool store_has(struct store_worker *w, const struct digest *d);

/* The bytes are durable when cb says 0 (also when they were there before). Takes its own reference.
 * STORE_PUT_HOT: also enters the RAM tier, for what will be asked for at once.
 * STORE_PUT_CACHE: of what can be fetched again: a cache that is full may keep it in RAM alone
 *                  until it is asked for a second time, and cb says 0 then too. With
 *                  STORE_PUT_HOT it is in RAM also when the disk is full, fails or is too slow
 *                  (-ENOSPC, -EIO, -EAGAIN).
 * STORE_PUT_DIGESTED: the caller has just computed d from these very bytes.
 * STORE_PUT_WANTED: with STORE_PUT_CACHE: it is known that it will be read from the disk, as if it
 *                   had been asked for before. */
#define STORE_PUT_HOT      1u
#define STORE_PUT_CACHE    2u
#define STORE_PUT_DIGESTED 4u
#define STORE_PUT_WANTED   8u
typedef void store_done_cb(void *arg, int res);

/* A buffer whose window of length bytes is to be filled at *ret_bytes, with room around it for what
 * a volume keeps beside them: a put of it copies nothing. */
MUST_USE int store_blob_new(uint32_t length, struct rbuf **ret, uint8_t **ret_bytes);
void store_put(struct store_worker *w, const struct digest *d, struct rbuf *blob, unsigned flags,
               store_done_cb *cb, void *arg);

struct store_ref {
    struct digest presentation;
    uint64_t generation; /* 1, 2, ...: counts the moves of this name, deletions too */
    int64_t changed_ms;  /* real time of the last move */
};

MUST_USE int store_ref_get(struct store_worker *w, struct str name, struct store_ref *ret);

/* Moves a ref, durably. With options.links the presentation and all that it names must be in the
 * store, else -ENOENT; -EBADMSG: it is no presentation. expect: the generation that it must have
 * now (0: must not exist);
 * STORE_REF_ANY: whatever it has. cb: -ESTALE when it has another. */
#define STORE_REF_ANY UINT64_MAX
void store_ref_put(struct store_worker *w, struct str name, const struct digest *d, uint64_t expect,
                   store_done_cb *cb, void *arg);
void store_ref_delete(struct store_worker *w, struct str name, store_done_cb *cb, void *arg);

/* Calls each for every ref in name order until it returns false; each must not call the store. */
typedef bool store_ref_each(void *arg, struct str name, const struct store_ref *ref);
MUST_USE int store_ref_list(struct store_worker *w, store_ref_each *each, void *arg);

bool store_name_ok(struct str name); /* see STORE_NAME_MAX */

/* The same for blobs, in the order of their digests. */
struct store_blob {
    struct digest digest;
    uint32_t length;
    uint32_t refs;     /* refs and presentations in use that name it */
    uint32_t device;   /* number of the device with the copy; 0: none has one */
    uint32_t volume;   /* where in it */
    uint64_t offset;   /* of the record */
    bool cold, remote; /* the device is a cold one; the remote tier has a copy */
    bool damaged;      /* quarantined */
};
typedef bool store_blob_each(void *arg, const struct store_blob *blob);
MUST_USE int store_blob_list(struct store_worker *w, store_blob_each *each, void *arg);
MUST_USE int store_blob_look(struct store_worker *w, const struct digest *d,
                             struct store_blob *ret); /* -ENOENT */

/* Waits until all that could be done in the background now is done: what is due is reclaimed, holes
 * are given back, volumes that are mostly dead are compacted, uploads are through. */
MUST_USE int store_settle(struct store *s);

struct store_stat {
    uint64_t blobs, blob_bytes; /* with a copy on a device, by the index */
    uint64_t volumes, volume_bytes, live_bytes, used_bytes; /* on devices; used: with the dead */
    uint64_t hot_bytes, hot_hits, hits;                     /* since start, as all below */
    uint64_t misses, damaged, repaired, evicted_volumes;
    uint64_t put_bytes, written_bytes; /* taken and written; their ratio: write amplification */
    uint64_t reclaimed, reclaimed_bytes, compacted_volumes, scrubbed_bytes;
    uint64_t promoted, demoted, uploaded, refused; /* refused: one-hit wonders kept off the disk */
};
void store_stat(struct store *s, struct store_stat *ret);

struct store_device_stat {
    uint32_t id;
    char path[256];
    bool cold, failed;
    uint64_t volumes, volume_bytes, blobs, blob_bytes, live_bytes, used_bytes;
    uint64_t free_bytes, size_bytes; /* of the file system; 0: it does not answer */
};
/* i from 0; -ENOENT behind the last. */
MUST_USE int store_device_stat(struct store *s, unsigned i, struct store_device_stat *ret);
