/* SPDX-License-Identifier: Apache-2.0 */
/* volume: the devices of a store and the open volume files on them, by number.
 *
 * Life:    volume_table_new -> volume_add_device -> volume_open or volume_create (into the table)
 *          -> volume_get / volume_unref around each read -> volume_remove (unlinks; readers that
 *          hold it finish) -> volume_table_free.
 * Owner:   the table holds one reference to each; the file is closed by the last volume_unref.
 * Threads: volume_get, volume_unref, volume_hit: any. end, blobs, bytes, flags and changes of the
 *          table: the committer only.
 * Errors:  -errno; -ENODEV: its device is not there; -EIO: its file cannot be read, which
 *          is kept in mind; -EBADMSG, -EPROTONOSUPPORT, -ESTALE (another
 *          store's) with the sentence in err.
 * Units:   bytes. */
#pragma once
#include <stdatomic.h>
#include "io/io.h"
#include "store/index.h"

struct volume_table;

struct volume_device {
    uint32_t id;
    enum format_device_kind kind;
    _Atomic bool failed; /* a write failed: read only */
    char *folder;
};

struct volume {
    uint32_t magic;
#define VOLUME_MAGIC UINT32_C(0x701c3e55)
    _Atomic uint32_t refs;
    const struct io_ops *io;
    int fd;
    uint32_t id;
    uint64_t size;
    struct volume_device *device;
    struct index_volume row; /* as the index has it; the committer's */
    _Atomic uint64_t *hits;  /* a bit for each few pages: read since written? NULL: no cache */
};

/* The store's id is copied. Only a cache keeps in mind what is hit. */
MUST_USE int volume_table_new(const struct io_ops *io, const uint8_t *store_id, bool is_cache,
                              struct volume_table **ret);
struct volume_table *volume_table_free(struct volume_table *t);

/* Before any volume is opened. */
MUST_USE int volume_add_device(struct volume_table *t, const struct index_device *d);
unsigned volume_devices(struct volume_table *t);
struct volume_device *volume_device(struct volume_table *t, unsigned i); /* i < volume_devices */
struct volume_device *volume_device_by_id(struct volume_table *t, uint32_t id); /* or NULL */

/* One of some volumes that are opened at once, so that their headers are read side by side. */
#define VOLUME_OPENING_MAX 64u /* a good number */
struct volume_opening {
    struct index_volume row; /* what the index says; the header must agree */
    int res;                 /* of this one; -EEXIST: it is open */
    struct err err;          /* why, where res is not 0 */
    /* volume_open's own from here on. */
    struct volume_device *device;
    struct io_op io;
    unsigned *reading;
    int fd;
};
/* q: reads the headers. */
void volume_open(struct volume_table *t, struct io_queue *q, struct volume_opening *v,
                 unsigned count, bool read_only);

/* A file of row->size bytes under its final name, header and name durable. -ENOSPC. *ret_left: it
 * failed, and yet the file is there or may be there again after a power cut, so that its row must
 * stay. */
MUST_USE int volume_create(struct volume_table *t, struct io_queue *q,
                           const struct index_volume *row, bool *ret_left);

/* Refuses files in the folders that look like volumes but are none of ours, removes what a crash
 * left half made. Call once all volumes of the index are open. */
MUST_USE int volume_table_check(struct volume_table *t, struct err *err);

/* Whether the folder holds anything that looks like a volume; an absent folder does not. */
MUST_USE int volume_folder_used(const char *folder, bool *ret);

struct volume *volume_get(struct volume_table *t, uint32_t id); /* a reference, or NULL */
struct volume *volume_unref(struct volume *v);
struct volume *volume_oldest(struct volume_table *t); /* borrowed; NULL: none */
/* The one that is appended to: borrowed; NULL: none of that kind on a device that works. */
struct volume *volume_newest(struct volume_table *t, enum format_device_kind kind);
/* The one with the next higher number, a reference; NULL: none. For walks from 0 on. */
struct volume *volume_after(struct volume_table *t, uint32_t id);
/* Takes it out of the table and unlinks the file. */
MUST_USE int volume_remove(struct volume_table *t, uint32_t id);

/* The whole record of a blob, checked; a new buffer, whose window is the record. -EBADMSG damaged,
 * -ENOENT its volume is gone. */
MUST_USE int volume_read_blob(struct volume_table *t, struct io_queue *q, const struct digest *d,
                              const struct index_entry *e, struct rbuf **ret);

/* No records behind v->row.end any more; before anything is written there. */
MUST_USE int volume_wipe_tail(const struct volume *v, struct io_queue *q);

/* Whether a ref's record is whole and of that name. -EBADMSG; -ENOENT as above. */
MUST_USE int volume_check_ref(struct volume_table *t, struct io_queue *q, uint32_t volume,
                              const struct index_extent *x);

/* offset: of a record. Records beside it may count as hit with it. Nothing was in no cache. */
void volume_hit(struct volume *v, uint64_t offset);
bool volume_was_hit(const struct volume *v, uint64_t offset);
/* The same as words of bits, of a cache. */
uint32_t volume_hit_words(const struct volume *v);
uint64_t volume_hits(const struct volume *v, uint32_t word);
void volume_add_hits(struct volume *v, uint32_t word, uint64_t bits);

/* Sums over the table, or over one device (NULL: all); any thread. */
struct volume_sums {
    uint64_t volumes, size, end, blobs, bytes, live;
};
void volume_sums(struct volume_table *t, const struct volume_device *d, struct volume_sums *ret);

/* The row, as last committed: by the committer to change it, by any thread to read it. */
void volume_set_row(struct volume_table *t, struct volume *v, const struct index_volume *row);
void volume_get_row(struct volume_table *t, const struct volume *v, struct index_volume *ret);
