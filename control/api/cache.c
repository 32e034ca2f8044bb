/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/cache.h"
#include <errno.h>
#include <stdlib.h>
#include "base/digest.h"

struct cache_entry {
    struct digest hash;
    uint64_t due_ms;
    uint64_t changed;
    unsigned kind;
    unsigned coding, used;
    uint32_t path_size, query_size, bytes_size, etag_size;
    char data[]; /* path, query, bytes, etag */
};

struct cache {
    uint32_t magic;
#define CACHE_MAGIC UINT32_C(0xcac4ea91)
    const struct cache_changes *changes;
    size_t size;   /* of all entries */
    unsigned hand; /* where room is made next */
    struct cache_entry *slots[CACHE_SLOTS];
};

int cache_new(const struct cache_changes *changes, struct cache **ret)
{
    struct cache *c = calloc(1, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    c->magic = CACHE_MAGIC;
    c->changes = changes;
    *ret = c;
    return 0;
}

static size_t cache_entry_size(const struct cache_entry *e)
{
    return sizeof *e + e->path_size + e->query_size + e->bytes_size + e->etag_size;
}

static void cache_drop(struct cache *c, unsigned slot)
{
    struct cache_entry *e = c->slots[slot];
    if (e == NULL)
        return;
    ASSERT(c->size >= cache_entry_size(e));
    c->size -= cache_entry_size(e);
    c->slots[slot] = NULL;
    free(e);
}

struct cache *cache_free(struct cache *c)
{
    if (c == NULL)
        return NULL;
    ASSERT(c->magic == CACHE_MAGIC);
    for (unsigned i = 0; i < CACHE_SLOTS; i++)
        cache_drop(c, i);
    MAGIC_CLEAR(c);
    free(c);
    return NULL;
}

static struct digest cache_hash(struct str path, struct str query)
{
    struct digest p = digest_of(path.data != NULL ? path.data : "", path.size);
    struct digest q = digest_of(query.data != NULL ? query.data : "", query.size);
    for (unsigned i = 0; i < DIGEST_SIZE; i++)
        p.bytes[i] = (uint8_t)(p.bytes[i] ^ (q.bytes[(i + 7) % DIGEST_SIZE] + 31));
    return p;
}

static unsigned cache_slot(const struct digest *hash, unsigned coding)
{
    unsigned n = (unsigned)hash->bytes[0] | (unsigned)hash->bytes[1] << 8;
    return (n + coding) % CACHE_SLOTS;
}

static bool cache_is(const struct cache_entry *e, struct str path, struct str query,
                     unsigned coding)
{
    return e->coding == coding && str_eq((struct str){e->data, e->path_size}, path) &&
           str_eq((struct str){e->data + e->path_size, e->query_size}, query);
}

bool cache_find(struct cache *c, struct str path, struct str query, unsigned coding,
                uint64_t now_ms, struct cached *ret)
{
    ASSERT(c->magic == CACHE_MAGIC);
    struct digest hash = cache_hash(path, query);
    unsigned slot = cache_slot(&hash, coding);
    const struct cache_entry *e = c->slots[slot];
    if (e == NULL || !digest_eq(&e->hash, &hash) || !cache_is(e, path, query, coding))
        return false;
    if (e->due_ms <= now_ms || atomic_load(&c->changes->counts[e->kind]) != e->changed) {
        cache_drop(c, slot);
        return false;
    }
    const char *bytes = e->data + e->path_size + e->query_size;
    ret->used = e->used;
    ret->bytes = (struct str){bytes, e->bytes_size};
    ret->etag = e->etag_size > 0 ? (struct str){bytes + e->bytes_size, e->etag_size} : STR_NONE;
    return true;
}

static char *cache_copy(char *at, struct str s)
{
    if (s.size > 0)
        memcpy(at, s.data, s.size);
    return at + s.size;
}

void cache_put(struct cache *c, struct str path, struct str query, unsigned coding, unsigned kind,
               uint64_t changed, uint64_t due_ms, const struct cached *answer)
{
    ASSERT(c->magic == CACHE_MAGIC);
    ASSERT(kind < CACHE_KINDS);
    size_t size = path.size + query.size + answer->bytes.size + answer->etag.size;
    struct cache_entry *e = size > CACHE_ENTRY_MAX ? NULL : malloc(sizeof *e + size);
    if (e == NULL)
        return;
    *e = (struct cache_entry){
        .hash = cache_hash(path, query),
        .due_ms = due_ms,
        .changed = changed,
        .kind = kind,
        .coding = coding,
        .used = answer->used,
        .path_size = (uint32_t)path.size,
        .query_size = (uint32_t)query.size,
        .bytes_size = (uint32_t)answer->bytes.size,
        .etag_size = (uint32_t)answer->etag.size,
    };
    char *at = cache_copy(cache_copy(e->data, path), query);
    (void)cache_copy(cache_copy(at, answer->bytes), answer->etag);
    unsigned slot = cache_slot(&e->hash, coding);
    cache_drop(c, slot);
    while (c->size + cache_entry_size(e) > CACHE_SIZE_MAX) /* an entry is far less than that */
        cache_drop(c, c->hand++ % CACHE_SLOTS);
    c->slots[slot] = e;
    c->size += cache_entry_size(e);
}
