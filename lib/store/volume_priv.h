/* SPDX-License-Identifier: Apache-2.0 */
/* volume_priv: what volume.c (the table) and volume_open.c (filling it from the disk) share.
 *
 * Life:    see volume.h.
 * Owner:   see volume.h.
 * Threads: see volume.h.
 * Errors:  0 or -errno.
 * Units:   bytes. */
#pragma once
#include <pthread.h>
#include "store/volume.h"

#define VOLUME_SUFFIX   ".vol"
#define VOLUME_PATH_MAX 4096

struct volume_table {
    uint32_t magic;
#define VOLUME_TABLE_MAGIC UINT32_C(0x701c7ab1)
    const struct io_ops *io;
    uint8_t store_id[FORMAT_ID_SIZE];
    bool is_cache;
    struct volume_device *devices; /* does not change once volumes are open */
    unsigned devices_count;
    pthread_rwlock_t lock;   /* volumes, count and rows: written by the committer only; in a store
                                that is only read by any worker that meets a new volume */
    struct volume **volumes; /* by rising id */
    size_t count, cap;
    uint32_t *away; /* in the index, and their files cannot be read: not open, and ours */
    size_t away_count;
    _Atomic uint64_t sum_volumes, sum_size, sum_end, sum_blobs, sum_bytes, sum_live;
};

void volume_path(const struct volume_device *d, uint32_t id, const char *suffix,
                 char out[VOLUME_PATH_MAX]);

/* fd is the volume's from success on. */
MUST_USE int volume_new(struct volume_table *t, int fd, struct volume_device *d,
                        const struct index_volume *row, struct volume **ret);

/* -EEXIST, -ENOMEM: v is still the caller's. */
MUST_USE int volume_table_add(struct volume_table *t, struct volume *v);

/* volume_open.c */
bool volume_table_is_away(const struct volume_table *t, uint32_t id);
