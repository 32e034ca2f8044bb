/* SPDX-License-Identifier: Apache-2.0 */
/* index: where each blob lies and who names it, what each ref names, which devices and volumes
 * there are, and what is still to be done: an LMDB environment.
 *
 * Life:    index_open -> index_reader_new per thread, index_run by one writer -> index_close once
 *          all readers are gone.
 * Owner:   the store. A struct index_txn lives for one call of index_run.
 * Threads: a reader by one thread at a time; index_run by one thread in the process at a time.
 * Errors:  -ENOENT absent; -ENOSPC disk full; -EBADMSG damaged or not of the form; -EIO.
 * Units:   bytes; times in seconds since 1970 where they end in _s.
 * Source:  docs/format.md, "Index". No read transaction outlives the call that needs it. */
#pragma once
#include "store/format.h"

struct index;
struct index_reader;
struct index_txn;

/* --- opening ---------------------------------------------------------------------------------- */

enum {
    INDEX_CREATE = 1,    /* makes the environment when there is none; otherwise -ENOENT */
    INDEX_READ_ONLY = 2, /* beside a process that writes */
};

/* map_size: to begin with; the map grows as the index does. store_id: FORMAT_ID_SIZE bytes for a
 * new one, NULL for a random one. */
MUST_USE int index_open(const char *path, uint64_t map_size, unsigned flags,
                        const uint8_t *store_id, struct err *err, struct index **ret);
struct index *index_close(struct index *x);
const uint8_t *index_store_id(const struct index *x);
uint64_t index_map_size(struct index *x);

MUST_USE int index_reader_new(struct index *x, struct index_reader **ret);
struct index_reader *index_reader_free(struct index_reader *r);

/* One write transaction around body: committed when it returns 0, else as if it had not been.
 * Where the map is full it grows, and body runs once more from the start. */
typedef int index_body(struct index_txn *t, void *arg);
MUST_USE int index_run(struct index *x, index_body *body, void *arg);

/* Whether the disk is full and what the index has in reserve runs out: nothing new may come in
 * then, so that there is enough to make room with. By who may call index_run. */
bool index_room_low(struct index *x);
/* What that found last, or a transaction since; any thread. */
bool index_room_was_low(const struct index *x);

/* Each start of a store is an epoch; taken and made durable by this call. */
MUST_USE int index_next_epoch(struct index *x, uint32_t *ret);
/* So that the next one is above all that records were written in. */
MUST_USE int index_set_epoch(struct index_txn *t, uint32_t epoch);
/* The next volume's number: never one that was used before. */
MUST_USE int index_next_volume(struct index_txn *t, uint32_t *ret);
MUST_USE int index_set_last_volume(struct index_txn *t, uint32_t id);

/* --- blobs ------------------------------------------------------------------------------------ */

enum {
    INDEX_QUARANTINED = 1, /* damaged on its device; as good as absent until put again */
    INDEX_REMOTE = 2,      /* the remote tier has a copy */
    INDEX_DROPPED = 4,     /* something named it once, and nothing does now */
};

struct index_entry {
    uint32_t volume; /* 0: no copy on a device */
    uint32_t length;
    uint64_t offset;  /* of the record */
    uint32_t refs;    /* refs and presentations in use that name it */
    uint32_t since_s; /* when it was put; with INDEX_DROPPED: when the last of refs went */
    uint32_t flags;
};

MUST_USE int index_find(struct index_reader *r, const struct digest *d, struct index_entry *ret);
/* -ENOENT: one of them, at least, is not there. */
MUST_USE int index_find_all(struct index_reader *r, const struct digest *digests, uint32_t count);
MUST_USE int index_get(struct index_txn *t, const struct digest *d, struct index_entry *ret);
MUST_USE int index_put(struct index_txn *t, const struct digest *d, const struct index_entry *e);
MUST_USE int index_delete(struct index_txn *t, const struct digest *d);

/* At most max entries, digest `from` and behind (after: behind only). */
struct index_blob {
    struct digest digest;
    struct index_entry entry;
};
MUST_USE int index_blobs(struct index_reader *r, const struct digest *from, bool after,
                         unsigned max, struct index_blob *out, unsigned *ret_count);

/* What lies where: one extent a live record, in the order of the volume. */
struct index_extent {
    uint64_t offset;
    enum format_kind kind;
    struct digest digest;          /* of a blob */
    char name[STORE_NAME_MAX + 1]; /* of a ref: the record is its last move */
};
MUST_USE int index_put_extent(struct index_txn *t, uint32_t volume, const struct index_extent *e);
MUST_USE int index_delete_extent(struct index_txn *t, uint32_t volume, uint64_t offset);
/* At most max of them, offset `from` and behind; *ret_count 0 at the end. */
MUST_USE int index_extents(struct index_reader *r, uint32_t volume, uint64_t from, unsigned max,
                           struct index_extent *out, unsigned *ret_count);
MUST_USE int index_has_extents(struct index_txn *t, uint32_t volume, bool *ret);

/* --- what names a blob ------------------------------------------------------------------------ */

/* Whether all that follows, and refs of the entries, is true: not after a rebuild, or after refs
 * were moved by who did not count. */
MUST_USE int index_counted(struct index_reader *r, bool *ret);
MUST_USE int index_put_counted(struct index_txn *t, bool counted);
/* Nothing holds anything, there are no links and no orphans. */
MUST_USE int index_uncount(struct index_txn *t);

/* How many refs name a presentation; 0 when there is no row. Putting 0 deletes it. */
MUST_USE int index_get_holds(struct index_txn *t, const struct digest *presentation, uint32_t *ret);
MUST_USE int index_put_holds(struct index_txn *t, const struct digest *presentation,
                             uint32_t count);

/* The blobs that a presentation in use names, each once, in order. *ret points into the index until
 * the next change of it. */
MUST_USE int index_get_links(struct index_txn *t, const struct digest *presentation,
                             const struct digest **ret, uint32_t *ret_count);
MUST_USE int index_put_links(struct index_txn *t, const struct digest *presentation,
                             const struct digest *links, uint32_t count);
MUST_USE int index_delete_links(struct index_txn *t, const struct digest *presentation);

/* Blobs that nothing names, by the time from when on they may go. */
struct index_orphan {
    uint32_t due_s;
    struct digest digest;
};
MUST_USE int index_put_orphan(struct index_txn *t, const struct index_orphan *o);
MUST_USE int index_delete_orphan(struct index_txn *t, const struct index_orphan *o);
/* The first max that are due by due_s. */
MUST_USE int index_orphans(struct index_reader *r, uint32_t due_s, unsigned max,
                           struct index_orphan *out, unsigned *ret_count);

/* --- devices and volumes ---------------------------------------------------------------------- */

enum {
    INDEX_DEVICE_FAILED = 1, /* a write failed: nothing new goes there */
    INDEX_DEVICE_MAKING = 2, /* its folder may not have its file yet */
};

#define INDEX_DEVICE_PATH_MAX 1024u

struct index_device {
    uint32_t id; /* from 1 */
    enum format_device_kind kind;
    uint32_t flags;
    char path[INDEX_DEVICE_PATH_MAX]; /* where it was last */
};

typedef int index_device_each(void *arg, const struct index_device *d); /* < 0 ends the walk */
MUST_USE int index_put_device(struct index_txn *t, const struct index_device *d);
MUST_USE int index_devices(struct index_reader *r, index_device_each *each, void *arg);

struct index_volume {
    uint32_t id;
    uint32_t device;
    uint64_t size;  /* of the file */
    uint64_t end;   /* where the next record goes; what is behind is not part of the store */
    uint64_t blobs; /* that the index names in it and that are not quarantined */
    uint64_t bytes; /* their lengths */
    uint64_t live;  /* its live records with their padding */
};

MUST_USE int index_put_volume(struct index_txn *t, const struct index_volume *v);
MUST_USE int index_delete_volume(struct index_txn *t, uint32_t id);
MUST_USE int index_get_volume(struct index_txn *t, uint32_t id, struct index_volume *ret);
MUST_USE int index_find_volume(struct index_reader *r, uint32_t id, struct index_volume *ret);
typedef int index_volume_each(void *arg, const struct index_volume *v); /* < 0 ends the walk */
MUST_USE int index_volumes(struct index_reader *r, index_volume_each *each, void *arg);

/* Extents that nothing names any more and whose space is still to be given back. */
struct index_hole {
    uint32_t volume;
    uint64_t offset, size;
};
MUST_USE int index_put_hole(struct index_txn *t, const struct index_hole *h);
MUST_USE int index_delete_hole(struct index_txn *t, const struct index_hole *h);
MUST_USE int index_delete_holes(struct index_txn *t, uint32_t volume); /* all of a volume */
MUST_USE int index_holes(struct index_reader *r, unsigned max, struct index_hole *out,
                         unsigned *ret_count);

/* --- the remote tier -------------------------------------------------------------------------- */

enum index_errand_kind {
    INDEX_UPLOAD = 1, /* so that the remote tier has it too */
    INDEX_DEMOTE = 2, /* then give the copy on the device up */
    INDEX_REMOVE = 3, /* from the remote tier */
};

struct index_errand {
    struct digest digest;
    enum index_errand_kind kind;
};
MUST_USE int index_get_errand(struct index_txn *t, const struct digest *d,
                              enum index_errand_kind *ret);
MUST_USE int index_put_errand(struct index_txn *t, const struct index_errand *e);
MUST_USE int index_delete_errand(struct index_txn *t, const struct digest *d);
MUST_USE int index_find_errand(struct index_reader *r, const struct digest *d,
                               enum index_errand_kind *ret);
/* At most max, behind `after` (NULL: from the first). */
MUST_USE int index_errands(struct index_reader *r, const struct digest *after, unsigned max,
                           struct index_errand *out, unsigned *ret_count);

/* --- refs ------------------------------------------------------------------------------------- */

struct index_ref {
    struct store_ref ref;
    bool gone;       /* deleted; the generation goes on from here if the name comes back */
    uint32_t volume; /* of the record of the last move; 0: there is none */
    uint64_t offset;
};

/* A deleted one is -ENOENT. */
MUST_USE int index_find_ref(struct index_reader *r, struct str name, struct store_ref *ret);
MUST_USE int index_list_refs(struct index_reader *r, store_ref_each *each, void *arg);
/* With the deleted. */
MUST_USE int index_find_ref_row(struct index_reader *r, struct str name, struct index_ref *ret);
MUST_USE int index_get_ref(struct index_txn *t, struct str name, struct index_ref *ret);
MUST_USE int index_put_ref(struct index_txn *t, struct str name, const struct index_ref *ref);
