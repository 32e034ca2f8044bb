/* SPDX-License-Identifier: Apache-2.0 */
/* room: blocks of the file system that an LMDB file has ahead of its end, so that it can change on
 * a full disk.
 *
 * Life:    room_for_locks -> (the environment is opened) -> room_open -> room_fill after each
 *          transaction -> room_close.
 * Owner:   who writes to the environment; part of its struct.
 * Threads: the writer's; low may be read by any.
 * Errors:  0 or -errno; where blocks cannot be had beforehand there is no room and low stays false.
 * Units:   bytes.
 * Source:  docs/decisions/0108-index-room.md. */
#pragma once
#include <stdatomic.h>
#include "base/base.h"

struct room {
    int fd; /* of data.mdb; -1: there is no taking room beforehand */
    _Atomic bool low;
    uint64_t end, limit; /* of the file: blocks are there up to; at most so many ahead */
};

/* The file of locks of an environment in folder, whole. */
MUST_USE int room_for_locks(const char *folder);

/* used: up to there LMDB has pages in its file. */
void room_open(struct room *m, const char *folder, uint64_t used);
void room_close(struct room *m);
void room_fill(struct room *m, uint64_t used);

/* LMDB says EIO of a write of which only a part found room. */
int room_err(const struct room *m, int r);
