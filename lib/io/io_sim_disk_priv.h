/* SPDX-License-Identifier: Apache-2.0 */
/* io_sim_disk_priv: what names (io_sim_names.c) and bytes (io_sim_disk.c) share.
 *
 * Life:    see io_sim_disk.h.
 * Owner:   see io_sim_disk.h.
 * Threads: see io_sim_disk.h.
 * Errors:  see io_sim_disk.h.
 * Units:   bytes. */
#pragma once
#include "base/str.h"
#include "io/io_sim_disk.h"

enum io_sim_change_kind { IO_SIM_BYTES, IO_SIM_HOLE, IO_SIM_SIZE, IO_SIM_GROWN };

/* Of a file's bytes, not yet synced. */
struct io_sim_change {
    struct io_sim_change *next;
    enum io_sim_change_kind kind;
    uint64_t number;
    uint64_t ended; /* when; 0: under way */
    uint64_t offset, size;
    uint8_t data[];
};

struct io_sim_entry {
    char *name;
    struct io_sim_node *node;
};

/* A folder's names; few enough for a list. */
struct io_sim_names {
    struct io_sim_entry *entries;
    size_t count;
};

struct io_sim_node {
    struct io_sim_node *next; /* all nodes, the latest first */
    char *name;
    bool is_folder;
    uint64_t random; /* each its own, so that threads do not disturb it */
    /* A file's. */
    uint8_t *bytes; /* as of the last sync */
    uint64_t size, cap;
    struct io_sim_change *first, **last;
    /* A folder's. */
    struct io_sim_names now, durable;
};

/* A change of names, not yet synced. */
struct io_sim_move {
    struct io_sim_move *next;
    struct io_sim_node *folder;      /* where it adds name; NULL: nowhere */
    struct io_sim_node *from_folder; /* where it takes from_name away; NULL: nowhere */
    char *name, *from_name;
    struct io_sim_node *node;
};

struct io_sim_disk {
    uint32_t magic;
#define IO_SIM_DISK_MAGIC UINT32_C(0x51d15c0a)
    char *root_path;
    struct io_sim_node *root, *nodes;
    uint64_t seed, node_count, clock;
    bool journal, crashed;
    struct io_sim_move *first, **last;
};

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
static inline uint64_t io_sim_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void *io_sim_alloc(size_t size); /* zeroed; asserts */
struct io_sim_node *io_sim_node_new(struct io_sim_disk *d, const char *name, bool is_folder);
void io_sim_names_add(struct io_sim_names *names, const char *name, struct io_sim_node *n);
struct io_sim_node *io_sim_names_find(const struct io_sim_names *names, const char *name);
void io_sim_names_free(struct io_sim_names *names);
void io_sim_moves_crash(struct io_sim_disk *d);
void io_sim_moves_free(struct io_sim_disk *d);
void io_sim_moves_sync_all(struct io_sim_disk *d);
