/* SPDX-License-Identifier: Apache-2.0 */
#include "db/db_map.h"
#include <errno.h>
#include <stdlib.h>
#include "base/digest.h"

#define DB_MAP_FIRST 64

static uint64_t db_map_hash(struct str key)
{
    struct digest d = digest_of(key.data, key.size);
    uint64_t hash;
    memcpy(&hash, d.bytes, sizeof hash);
    return hash;
}

static bool db_map_is(const struct db_map_place *p, struct str key, uint64_t hash)
{
    return p->hash == hash && p->size == key.size && memcmp(p->key, key.data, key.size) == 0;
}

/* Where the key is, or would be. */
static uint32_t db_map_at(const struct db_map *m, struct str key, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & (m->room - 1);
    while (m->places[at].key != NULL && !db_map_is(&m->places[at], key, hash))
        at = (at + 1) & (m->room - 1);
    return at;
}

uint32_t db_map_get(const struct db_map *m, struct str key)
{
    if (m->room == 0)
        return DB_MAP_NONE;
    const struct db_map_place *p = &m->places[db_map_at(m, key, db_map_hash(key))];
    return p->key == NULL ? DB_MAP_NONE : p->value;
}

static int db_map_grow(struct db_map *m)
{
    struct db_map wider = {.room = m->room == 0 ? DB_MAP_FIRST : 2 * m->room, .count = m->count};
    if (wider.room < m->room)
        return -ENOMEM;
    wider.places = calloc(wider.room, sizeof *wider.places);
    if (wider.places == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < m->room; i++) {
        const struct db_map_place *p = &m->places[i];
        if (p->key != NULL)
            wider.places[db_map_at(&wider, (struct str){p->key, p->size}, p->hash)] = *p;
    }
    free(m->places);
    *m = wider;
    return 0;
}

int db_map_put(struct db_map *m, struct str key, uint32_t value)
{
    ASSERT(key.data != NULL && key.size <= UINT32_MAX);
    if (m->count + m->count / 2 >= m->room) { /* two thirds are taken */
        int r = db_map_grow(m);
        if (r < 0)
            return r;
    }
    uint64_t hash = db_map_hash(key);
    struct db_map_place *p = &m->places[db_map_at(m, key, hash)];
    ASSERT(p->key == NULL);
    *p = (struct db_map_place){key.data, (uint32_t)key.size, value, hash};
    m->count++;
    return 0;
}

void db_map_remove(struct db_map *m, struct str key)
{
    if (m->room == 0)
        return;
    uint32_t hole = db_map_at(m, key, db_map_hash(key));
    if (m->places[hole].key == NULL)
        return;
    m->count--;
    /* What stands behind and would have stood here moves up, so that no search ends at the hole. */
    for (uint32_t at = (hole + 1) & (m->room - 1); m->places[at].key != NULL;
         at = (at + 1) & (m->room - 1)) {
        uint32_t home = (uint32_t)m->places[at].hash & (m->room - 1);
        if (((at - home) & (m->room - 1)) < ((at - hole) & (m->room - 1)))
            continue;
        m->places[hole] = m->places[at];
        hole = at;
    }
    m->places[hole] = (struct db_map_place){.key = NULL};
}

void db_map_free(struct db_map *m)
{
    free(m->places);
    *m = (struct db_map){.places = NULL};
}
