/* SPDX-License-Identifier: Apache-2.0 */
/* io_sim_disk: what of a folder would still be there if the power went now.
 *
 * Life:    io_sim_disk_new (takes in what is there, as durable) -> changes and syncs, as they
 *          happen -> io_sim_disk_crash (decides the fate of all that was not synced) ->
 *          io_sim_disk_write_out -> io_sim_disk_free.
 * Owner:   the simulator; it owns the nodes too, also of files that were unlinked.
 * Threads: one at a time.
 * Errors:  0 or -errno; without memory the run is worthless, so changes assert instead.
 * Units:   bytes. A sector is 512 of them: it is written whole or not at all.
 *
 * It only keeps the books: the files themselves are the caller's to change, and stand for the page
 * cache. Of each file it keeps the bytes as of its last sync and the changes since, of each folder
 * the names as of its last sync and the changes of names since. */
#pragma once
#include "base/base.h"

#define IO_SIM_SECTOR UINT32_C(512)
#define IO_SIM_PAGE   UINT32_C(4096)

struct io_sim_disk;
struct io_sim_node; /* a file or a folder, whatever its name */

/* journal: any sync makes all earlier changes of names durable, and a crash keeps a run of the
 * later ones in order, as ext4, XFS and Btrfs do. Else only a sync of the folder does, and a crash
 * keeps any of the later ones, which is all that POSIX promises. */
MUST_USE int io_sim_disk_new(const char *root, uint64_t seed, bool journal,
                             struct io_sim_disk **ret);
struct io_sim_disk *io_sim_disk_free(struct io_sim_disk *d);

/* --- names; path is absolute ------------------------------------------------------------------ */

bool io_sim_disk_covers(const struct io_sim_disk *d, const char *path);        /* below the root */
struct io_sim_node *io_sim_disk_find(struct io_sim_disk *d, const char *path); /* as of now */
struct io_sim_node *io_sim_disk_make(struct io_sim_disk *d, const char *path, bool is_folder);
void io_sim_disk_rename(struct io_sim_disk *d, const char *from, const char *to);
void io_sim_disk_unlink(struct io_sim_disk *d, const char *path);
void io_sim_disk_sync_names(struct io_sim_disk *d, struct io_sim_node *folder);

const char *io_sim_node_name(const struct io_sim_node *n); /* its first; lives as long as d */
bool io_sim_node_is_folder(const struct io_sim_node *n);

/* --- bytes ------------------------------------------------------------------------------------ */

/* A write that has begun, copied; its number for _written. */
uint64_t io_sim_disk_write(struct io_sim_disk *d, struct io_sim_node *n, const void *data,
                           uint32_t size, uint64_t offset);
/* It has ended, having moved so much: a sync that begins from now on covers it. */
void io_sim_disk_written(struct io_sim_disk *d, struct io_sim_node *n, uint64_t number,
                         uint32_t size);
void io_sim_disk_punch(struct io_sim_disk *d, struct io_sim_node *n, uint64_t offset,
                       uint64_t size);
void io_sim_disk_resize(struct io_sim_disk *d, struct io_sim_node *n, uint64_t size, bool grow);

uint64_t io_sim_disk_sync_begin(struct io_sim_disk *d);
/* began: what _begin said. After a failed sync nobody knows, and no later sync helps: what it would
 * have covered may be down or not. */
void io_sim_disk_sync_end(struct io_sim_disk *d, struct io_sim_node *n, uint64_t began, bool ok);

/* A byte on the medium changes by itself. False: nothing durable is there. */
bool io_sim_disk_damage(struct io_sim_node *n, uint64_t offset, uint8_t mask);

/* --- the end ---------------------------------------------------------------------------------- */

void io_sim_disk_crash(struct io_sim_disk *d);
/* Into a folder that it makes; any number of times. */
MUST_USE int io_sim_disk_write_out(const struct io_sim_disk *d, const char *folder);
