/* SPDX-License-Identifier: Apache-2.0 */
/* volume: the open volume files of a store, by number.
 *
 * Life:    volume_table_new -> volume_open or volume_create (into the table) -> volume_get /
 *          volume_unref around each read -> volume_remove (unlinks; readers that hold it
 *          finish) -> volume_table_free.
 * Owner:   the table holds one reference to each; the file is closed by the last volume_unref.
 * Threads: volume_get, volume_unref, volume_hit: any. end, blobs, bytes, flags and changes of the
 *          table: the committer only.
 * Errors:  -errno; -EBADMSG, -EPROTONOSUPPORT, -ESTALE (another store's) with the sentence in err.
 * Units:   bytes. */
#pragma once
#include <stdatomic.h>
#include "io/io.h"
#include "store/index.h"

struct volume_table;

struct volume {
    uint32_t magic;
#define VOLUME_MAGIC UINT32_C(0x701c3e55)
    _Atomic uint32_t refs;
    const struct io_ops *io;
    int fd;
    uint32_t id;
    uint64_t size;
    struct index_volume row; /* as the index has it; the committer's */
    _Atomic uint64_t *hits;  /* a bit for each FORMAT_ALIGN bytes: read since start? */
};

/* folder and the store's id are copied. */
MUST_USE int volume_table_new(const struct io_ops *io, const char *folder, const uint8_t *store_id,
                              struct volume_table **ret);
struct volume_table *volume_table_free(struct volume_table *t);

/* row: what the index says. The header must agree. q: reads it. */
MUST_USE int volume_open(struct volume_table *t, struct io_queue *q, const struct index_volume *row,
                         struct err *err);

/* A file of row->size bytes under its final name, header and name durable. -ENOSPC. */
MUST_USE int volume_create(struct volume_table *t, struct io_queue *q,
                           const struct index_volume *row);

/* Refuses files in the folder that look like volumes but are none of ours, removes what a crash
 * left half made. Call once all volumes of the index are open. */
MUST_USE int volume_table_check(struct volume_table *t, struct err *err);

/* Whether the folder holds anything that looks like a volume; an absent folder does not. */
MUST_USE int volume_folder_used(const char *folder, bool *ret);

struct volume *volume_get(struct volume_table *t, uint32_t id); /* a reference, or NULL */
struct volume *volume_unref(struct volume *v);
struct volume *volume_oldest(struct volume_table *t); /* borrowed; NULL: none */
struct volume *volume_newest(struct volume_table *t); /* borrowed; NULL: none */
/* Takes it out of the table and unlinks the file. */
MUST_USE int volume_remove(struct volume_table *t, uint32_t id);
/* The file alone, which may be gone already; for a volume that is not in the table. */
MUST_USE int volume_unlink(struct volume_table *t, uint32_t id);

void volume_hit(struct volume *v, uint64_t offset);
bool volume_was_hit(const struct volume *v, uint64_t offset);

/* Sums over the table; any thread. */
struct volume_sums {
    uint64_t volumes, size, blobs, bytes;
};
/* After the committer changed rows: makes them visible in the sums. */
void volume_publish(struct volume_table *t);
void volume_table_sums(struct volume_table *t, struct volume_sums *ret);
