/* SPDX-License-Identifier: Apache-2.0 */
/* store_devices: finds the folders of a store's devices, knows each by its file `device`, and puts
 * those that can be used into the volume table.
 *
 * Life:    one call while the store opens, before its volumes do.
 * Owner:   -
 * Threads: the caller's.
 * Errors:  0 or -errno with a sentence in err. A device that is not there is no error while another
 *          warm one is: it is logged, and its blobs are away.
 * Units:   -
 * Source:  docs/format.md, "Devices". */
#pragma once
#include "store/volume.h"

struct store_devices {
    const struct io_ops *io;
    struct io_queue *queue;
    struct index *index;
    struct index_reader *reader;
    struct volume_table *volumes;
    const struct store_device *devices;
    unsigned count;
    bool read_only;
};

MUST_USE int store_devices_open(const struct store_devices *o, struct err *err);

/* The file `device` of a folder. -ENOENT: it has none. For store_rebuild too. */
MUST_USE int store_device_read(const struct io_ops *io, struct io_queue *q, const char *folder,
                               struct format_device *ret, struct err *err);
MUST_USE int store_device_write(const struct io_ops *io, struct io_queue *q, const char *folder,
                                const struct format_device *d, struct err *err);
