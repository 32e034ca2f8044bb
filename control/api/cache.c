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
    uint32_t variant;
    unsigned used;
    bool told;
    uint32_t path_size, query_size, bytes_size, etag_size;
    char data[]; /* path, query, bytes, etag */
};

struct cache {
    uint32_t magic;
#define CACHE_MAGIC UINT32_C(0xcac4ea91)
    const struct cache_changes *changes;
    size_t size;   /* of all entries */
    unsigned hand; /* where room is made next */
    struct cache_entry *slots[CACHE_SETS * CACHE_WAYS];
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
    for (unsigned i = 0; i < CACHE_SETS * CACHE_WAYS; i++)
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

/* The first slot of the answer's set. */
static unsigned cache_set(const struct digest *hash, uint32_t variant)
{
    unsigned n = (unsigned)hash->bytes[0] | (unsigned)hash->bytes[1] << 8;
    return (n + variant * UINT32_C(0x9e3779b1)) % CACHE_SETS * CACHE_WAYS;
}

static bool cache_is(const struct cache_entry *e, const struct digest *hash, struct str path,
                     struct str query, uint32_t variant)
{
    return e->variant == variant && digest_eq(&e->hash, hash) &&
           str_eq((struct str){e->data, e->path_size}, path) &&
           str_eq((struct str){e->data + e->path_size, e->query_size}, query);
}

/* The slot that has it, or -1. */
static int cache_slot(const struct cache *c, const struct digest *hash, struct str path,
                      struct str query, uint32_t variant)
{
    unsigned set = cache_set(hash, variant);
    for (unsigned i = set; i < set + CACHE_WAYS; i++)
        if (c->slots[i] != NULL && cache_is(c->slots[i], hash, path, query, variant))
            return (int)i;
    return -1;
}

/* Where a new one goes: in place of none, or of the one that would end first. */
static unsigned cache_victim(const struct cache *c, unsigned set)
{
    unsigned victim = set;
    for (unsigned i = set; i < set + CACHE_WAYS; i++) {
        if (c->slots[i] == NULL)
            return i;
        if (c->slots[i]->due_ms < c->slots[victim]->due_ms)
            victim = i;
    }
    return victim;
}

bool cache_find(struct cache *c, struct str path, struct str query, uint32_t variant,
                uint64_t now_ms, struct cached *ret)
{
    ASSERT(c->magic == CACHE_MAGIC);
    struct digest hash = cache_hash(path, query);
    int slot = cache_slot(c, &hash, path, query, variant);
    if (slot < 0)
        return false;
    const struct cache_entry *e = c->slots[slot];
    if (e->due_ms <= now_ms || atomic_load(&c->changes->counts[e->kind]) != e->changed) {
        cache_drop(c, (unsigned)slot);
        return false;
    }
    const char *bytes = e->data + e->path_size + e->query_size;
    ret->used = e->used;
    ret->told = e->told;
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

void cache_put(struct cache *c, struct str path, struct str query, uint32_t variant, unsigned kind,
               uint64_t changed, uint64_t due_ms, const struct cached *answer)
{
    ASSERT(c->magic == CACHE_MAGIC);
    ASSERT(kind < CACHE_KINDS + CACHE_DOCUMENTS);
    size_t size = path.size + query.size + answer->bytes.size + answer->etag.size;
    struct cache_entry *e = size > CACHE_ENTRY_MAX ? NULL : malloc(sizeof *e + size);
    if (e == NULL)
        return;
    *e = (struct cache_entry){
        .hash = cache_hash(path, query),
        .due_ms = due_ms,
        .changed = changed,
        .kind = kind,
        .variant = variant,
        .used = answer->used,
        .told = answer->told,
        .path_size = (uint32_t)path.size,
        .query_size = (uint32_t)query.size,
        .bytes_size = (uint32_t)answer->bytes.size,
        .etag_size = (uint32_t)answer->etag.size,
    };
    char *at = cache_copy(cache_copy(e->data, path), query);
    (void)cache_copy(cache_copy(at, answer->bytes), answer->etag);
    int old = cache_slot(c, &e->hash, path, query, variant);
    unsigned slot = old >= 0 ? (unsigned)old : cache_victim(c, cache_set(&e->hash, variant));
    cache_drop(c, slot);
    while (c->size + cache_entry_size(e) > CACHE_SIZE_MAX) /* an entry is far less than that */
        cache_drop(c, c->hand++ % (CACHE_SETS * CACHE_WAYS));
    c->slots[slot] = e;
    c->size += cache_entry_size(e);
}
