/* SPDX-License-Identifier: Apache-2.0 */
/* store_rebuild_priv: what store_rebuild.c (the records of the volumes), rebuild_find.c (which
 * volumes there are), rebuild_read.c (their bytes) and rebuild_index.c (filling the new index)
 * share.
 *
 * Life:    see store_rebuild.h.
 * Owner:   the caller's thread.
 * Threads: one.
 * Errors:  0 or -errno; rebuild_find and rebuild_remote with a sentence in err.
 * Units:   bytes. */
#pragma once
#include <assert.h>
#include "io/io.h"
#include "store/index.h"
#include "store/store_rebuild.h"

#define REBUILD_PATH_MAX 4096
#define REBUILD_TXN_MAX  4096u /* records a transaction */

/* The largest head, with its block sums, in whole pages. */
#define REBUILD_HEAD_MAX (UINT32_C(3) * FORMAT_ALIGN)
#define REBUILD_VIEW_MAX FORMAT_BLOCK
static_assert(64 + 8 * FORMAT_BLOCKS_MAX <= REBUILD_HEAD_MAX, "docs/format.md");

struct rebuild_device {
    const struct store_device *folder;
    struct index_device row;
    bool has_file;
};

struct rebuild_volume {
    const struct rebuild_device *device;
    struct index_volume row;
    int fd;
    bool any;       /* there was a record */
    uint64_t order; /* epoch << 32 | sequence of the last one */
};

/* A record that is whole, to go into the index. */
struct rebuild_found {
    struct format_record record;
    uint32_t volume; /* its place among the volumes */
    struct index_ref ref;
    char name[STORE_NAME_MAX + 1];
};

struct rebuild {
    const struct store_options *options;
    const struct io_ops *io;
    struct io_queue *queue;
    struct index *index;
    uint8_t store_id[FORMAT_ID_SIZE];
    struct store_device one; /* the device of a store that has none configured */
    char warm[REBUILD_PATH_MAX];
    struct rebuild_device *devices;
    uint32_t devices_count;
    struct rebuild_volume *volumes; /* by rising id */
    struct rebuild_volume *before;  /* as they were before the transaction: it may run again */
    uint32_t volumes_count;
    uint32_t epoch; /* the highest */
    struct rebuild_found *found;
    uint32_t found_count;
    struct rebuild_reader *reader;
    uint8_t *head; /* REBUILD_HEAD_MAX: of the record that is looked at */
    store_rebuild_each *each;
    void *arg;
    struct store_rebuild *report;
    struct err *err;
};

MUST_USE int rebuild_path(const struct rebuild *b, const char *rest, char out[REBUILD_PATH_MAX]);

/* rebuild_find.c */
MUST_USE int rebuild_find(struct rebuild *b);
MUST_USE int rebuild_open_volume(struct rebuild *b, struct rebuild_volume *v,
                                 char path[REBUILD_PATH_MAX]); /* sets v->fd */

/* rebuild_read.c. One volume after the other: begin, then views, each of which begins where the one
 * before did or behind it, then end. */
MUST_USE int rebuild_reader_new(struct io_queue *q, struct rebuild_reader **ret);
struct rebuild_reader *rebuild_reader_free(struct rebuild_reader *r); /* takes NULL */
void rebuild_reader_begin(struct rebuild_reader *r, int fd, uint64_t offset, uint64_t end);
void rebuild_reader_end(struct rebuild_reader *r); /* fd is not used any more */
/* Borrowed until the next view. -ENODATA: it ends before; -EIO: some of it cannot be read. */
MUST_USE int rebuild_view(struct rebuild_reader *r, uint64_t offset, uint32_t size,
                          const uint8_t **ret);

/* rebuild_index.c. Takes a record; *ret may be filled on until the next call. */
MUST_USE int rebuild_add(struct rebuild *b, struct rebuild_volume *v, const struct format_record *x,
                         struct rebuild_found **ret);
MUST_USE int rebuild_flush(struct rebuild *b);
MUST_USE int rebuild_finish(struct rebuild *b); /* rows, epochs, and entries put right */
MUST_USE int rebuild_remote(struct rebuild *b);
