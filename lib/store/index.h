/* SPDX-License-Identifier: Apache-2.0 */
/* index: where each blob lies, what each ref names, which volumes there are: an LMDB environment.
 *
 * Life:    index_open -> index_reader_new per thread, index_begin/commit by one writer ->
 *          index_close once all readers are gone.
 * Owner:   the store. A struct index_txn is used up by index_commit and index_abort.
 * Threads: a reader by one thread at a time; write transactions by one thread in the process.
 * Errors:  -ENOENT absent; -ENOSPC map or disk full; -EBADMSG damaged or not of the form; -EIO.
 * Units:   bytes.
 * Source:  docs/format.md, "Index". No read transaction outlives the call that needs it. */
#pragma once
#include "store/format.h"

struct index;
struct index_reader;
struct index_txn;

enum {
    INDEX_QUARANTINED = 1, /* blob: damaged on disk; as good as absent until put again */
};

struct index_entry {
    uint32_t volume;
    uint32_t flags;
    uint64_t offset;
    uint32_t length;
};

struct index_volume {
    uint32_t id;
    uint64_t size;  /* of the file */
    uint64_t end;   /* where the next record goes; what is behind is not part of the store */
    uint64_t blobs; /* that the index names in it */
    uint64_t bytes; /* their lengths */
};

/* create: makes the environment when there is none; otherwise -ENOENT. store_id: FORMAT_ID_SIZE
 * bytes for a new one, NULL for a random one. */
MUST_USE int index_open(const char *path, uint64_t map_size, bool create, const uint8_t *store_id,
                        struct err *err, struct index **ret);
struct index *index_close(struct index *x);
const uint8_t *index_store_id(const struct index *x);

MUST_USE int index_reader_new(struct index *x, struct index_reader **ret);
struct index_reader *index_reader_free(struct index_reader *r);
MUST_USE int index_find(struct index_reader *r, const struct digest *d, struct index_entry *ret);
MUST_USE int index_find_ref(struct index_reader *r, struct str name, struct store_ref *ret);
MUST_USE int index_list_refs(struct index *x, store_ref_each *each, void *arg);

MUST_USE int index_begin(struct index *x, struct index_txn **ret);
MUST_USE int index_commit(struct index_txn *t);     /* t is used up in every case */
struct index_txn *index_abort(struct index_txn *t); /* takes NULL, returns NULL */

/* Each start of a store is an epoch; taken and made durable by this call. */
MUST_USE int index_next_epoch(struct index *x, uint32_t *ret);
/* So that the next one is above all that records were written in. */
MUST_USE int index_set_epoch(struct index_txn *t, uint32_t epoch);

MUST_USE int index_get(struct index_txn *t, const struct digest *d, struct index_entry *ret);
MUST_USE int index_put(struct index_txn *t, const struct digest *d, const struct index_entry *e);
MUST_USE int index_delete(struct index_txn *t, const struct digest *d);

/* What lies where: one extent a record, in the order of the volume. */
struct index_extent {
    uint64_t offset;
    struct digest digest;
};
MUST_USE int index_put_extent(struct index_txn *t, uint32_t volume, const struct index_extent *e);
MUST_USE int index_delete_extent(struct index_txn *t, uint32_t volume, uint64_t offset);
/* At most max of them, offset `from` and behind; *ret_count 0 at the end. */
MUST_USE int index_extents(struct index *x, uint32_t volume, uint64_t from, unsigned max,
                           struct index_extent *out, unsigned *ret_count);

MUST_USE int index_put_volume(struct index_txn *t, const struct index_volume *v);
MUST_USE int index_delete_volume(struct index_txn *t, uint32_t id);
typedef int index_volume_each(void *arg, const struct index_volume *v); /* < 0 ends the walk */
MUST_USE int index_volumes(struct index *x, index_volume_each *each, void *arg);

MUST_USE int index_get_ref(struct index_txn *t, struct str name, struct store_ref *ret);
MUST_USE int index_put_ref(struct index_txn *t, struct str name, const struct store_ref *ref);
MUST_USE int index_delete_ref(struct index_txn *t, struct str name);
