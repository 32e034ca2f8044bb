/* SPDX-License-Identifier: Apache-2.0 */
/* fault_io: the real backend with faults in between: a disk of a given size, failing writes and
 * syncs, short transfers. */
#pragma once
#include <stdatomic.h>
#include "io/io.h"

struct fault_io {
    struct io_ops ops; /* give this to the store */
    const struct io_ops *inner;
    _Atomic uint64_t space_left; /* bytes that allocate may still hand out */
    _Atomic unsigned fail_kinds; /* a bit for each enum io_kind: fails with fail_res */
    _Atomic int fail_res;
    _Atomic uint32_t short_size; /* transfers move at most so much at once; 0: all */
    _Atomic uint64_t ops_count, shortened;
};

void fault_io_init(struct fault_io *f, const struct io_ops *inner);
