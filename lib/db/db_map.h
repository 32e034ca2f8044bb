/* SPDX-License-Identifier: Apache-2.0 */
/* db_map: a number for a text: a hash table with open addressing.
 *
 * Life:    zeroed -> db_map_* -> db_map_free.
 * Owner:   whoever has it; keys are lent, and stay until they are taken out or the map goes.
 * Threads: one writes, or any read.
 * Errors:  -ENOMEM: nothing was put.
 * Units:   - */
#pragma once
#include "base/str.h"

struct db_map_place {
    const char *key; /* NULL: free */
    uint32_t size;
    uint32_t value;
    uint64_t hash;
};

struct db_map {
    struct db_map_place *places;
    uint32_t room; /* a power of two, or 0 */
    uint32_t count;
};

#define DB_MAP_NONE UINT32_MAX

uint32_t db_map_get(const struct db_map *m, struct str key); /* DB_MAP_NONE: it is not there */
/* The key is not there yet. */
MUST_USE int db_map_put(struct db_map *m, struct str key, uint32_t value);
void db_map_remove(struct db_map *m, struct str key);
void db_map_free(struct db_map *m);
