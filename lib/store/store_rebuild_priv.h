/* SPDX-License-Identifier: Apache-2.0 */
/* store_rebuild_priv: what store_rebuild.c (reading the volumes), rebuild_find.c (which there are)
 * and rebuild_index.c (filling the new index) share.
 *
 * Life:    see store_rebuild.h.
 * Owner:   the caller's thread.
 * Threads: one.
 * Errors:  0 or -errno; rebuild_find and rebuild_remote with a sentence in err.
 * Units:   bytes. */
#pragma once
#include "io/io.h"
#include "store/index.h"
#include "store/store_rebuild.h"

#define REBUILD_PATH_MAX 4096
#define REBUILD_TXN_MAX  4096u /* records a transaction */

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
    uint8_t *chunk;
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

/* rebuild_index.c. Takes a record; *ret may be filled on until the next call. */
MUST_USE int rebuild_add(struct rebuild *b, struct rebuild_volume *v, const struct format_record *x,
                         struct rebuild_found **ret);
MUST_USE int rebuild_flush(struct rebuild *b);
MUST_USE int rebuild_finish(struct rebuild *b); /* rows, epochs, and entries put right */
MUST_USE int rebuild_remote(struct rebuild *b);
