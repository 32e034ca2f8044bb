/* SPDX-License-Identifier: Apache-2.0 */
/* Bits are set by fetch-or and never cleared but by a rotation, which one thread makes while the
 * others go on asking. What they see of the filter being emptied is what is to be forgotten anyway:
 * a name that falls out of the window a moment early. */
#include "store/admit.h"
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define ADMIT_VERSION 1u
#define ADMIT_TEXT    "WEIRADM" /* with its zero: 8 bytes */

struct admit {
    uint32_t magic;
#define ADMIT_MAGIC UINT32_C(0xad417d0c)
    unsigned hashes;
    uint64_t blobs; /* that a filter takes before it rotates */
    uint64_t words; /* of a filter */
    _Atomic unsigned present;
    _Atomic unsigned rotating; /* 1: a thread is at it */
    _Atomic uint64_t rotations;
    _Atomic uint64_t counts[2];
    _Atomic uint64_t bits[]; /* two filters of `words` */
};

/* The head of what is saved; the present filter's words follow, then the other one's. */
struct admit_disk {
    uint8_t magic[8];
    uint32_t version;
    uint32_t hashes;
    uint64_t blobs;
    uint64_t words;
    uint64_t counts[2]; /* of the present one, of the other */
    uint64_t reserved;  /* zero */
    uint64_t checksum;  /* XXH3-64 of the words, seeded with XXH3-64 of the 56 bytes before */
};
static_assert(offsetof(struct admit_disk, checksum) == 56, "docs/decisions/0107-admission.md");
static_assert(sizeof(struct admit_disk) == 64, "docs/decisions/0107-admission.md");

static unsigned admit_bits(const struct admit_options *o)
{
    return o->bits_per_blob != 0 ? o->bits_per_blob : ADMIT_BITS;
}

static uint64_t admit_words(const struct admit_options *o)
{
    return (o->blobs * admit_bits(o) + 63) / 64;
}

uint64_t admit_bytes(const struct admit_options *o)
{
    return sizeof(struct admit) + 2 * sizeof(uint64_t) * admit_words(o);
}

int admit_new(const struct admit_options *o, struct admit **ret)
{
    ASSERT(ret != NULL);
    unsigned bits = admit_bits(o);
    if (o->blobs == 0 || o->blobs > ADMIT_BLOBS_MAX)
        return -EINVAL;
    if (bits < ADMIT_BITS_MIN || bits > ADMIT_BITS_MAX)
        return -EINVAL;
    struct admit *a = calloc(1, admit_bytes(o));
    if (a == NULL)
        return -ENOMEM;
    a->magic = ADMIT_MAGIC;
    a->blobs = o->blobs;
    a->words = admit_words(o);
    a->hashes = (bits * 693 + 500) / 1000; /* bits * ln 2: as many as make the fewest mistakes */
    *ret = a;
    return 0;
}

struct admit *admit_free(struct admit *a)
{
    if (a == NULL)
        return NULL;
    ASSERT(a->magic == ADMIT_MAGIC);
    MAGIC_CLEAR(a);
    free(a);
    return NULL;
}

/* The place of a blob's bit n, and the step to the next: halves of the digest, mixed since tests
 * and strangers may choose them. */
struct admit_hash {
    uint64_t at, step;
};

static struct admit_hash admit_hash_of(const struct digest *d)
{
    XXH128_hash_t h = XXH3_128bits(d->bytes, sizeof d->bytes);
    return (struct admit_hash){.at = h.low64, .step = h.high64 | 1};
}

static uint64_t admit_bit(const struct admit *a, uint64_t hash)
{
    return (uint64_t)(((unsigned __int128)hash * (a->words * 64)) >> 64);
}

static bool admit_has(const struct admit *a, unsigned filter, struct admit_hash h)
{
    for (unsigned i = 0; i < a->hashes; i++, h.at += h.step) {
        uint64_t bit = admit_bit(a, h.at);
        const _Atomic uint64_t *word = &a->bits[filter * a->words + bit / 64];
        if ((atomic_load_explicit(word, memory_order_relaxed) >> (bit % 64) & 1) == 0)
            return false;
    }
    return true;
}

static void admit_insert(struct admit *a, unsigned filter, struct admit_hash h)
{
    for (unsigned i = 0; i < a->hashes; i++, h.at += h.step) {
        uint64_t bit = admit_bit(a, h.at);
        (void)atomic_fetch_or_explicit(&a->bits[filter * a->words + bit / 64],
                                       UINT64_C(1) << (bit % 64), memory_order_relaxed);
    }
}

static void admit_rotate(struct admit *a)
{
    if (atomic_exchange_explicit(&a->rotating, 1, memory_order_acquire) != 0)
        return; /* somebody is at it */
    unsigned present = atomic_load_explicit(&a->present, memory_order_relaxed);
    /* Asked anew: the one before us may have just done it. */
    if (atomic_load_explicit(&a->counts[present], memory_order_relaxed) >= a->blobs) {
        unsigned next = 1 - present;
        for (uint64_t i = 0; i < a->words; i++)
            atomic_store_explicit(&a->bits[next * a->words + i], 0, memory_order_relaxed);
        atomic_store_explicit(&a->counts[next], 0, memory_order_relaxed);
        atomic_fetch_add_explicit(&a->rotations, 1, memory_order_relaxed);
        /* Release: who sees the new one sees it empty. */
        atomic_store_explicit(&a->present, next, memory_order_release);
    }
    atomic_store_explicit(&a->rotating, 0, memory_order_release);
}

bool admit_ask(struct admit *a, const struct digest *d)
{
    ASSERT(a->magic == ADMIT_MAGIC);
    struct admit_hash h = admit_hash_of(d);
    unsigned present = atomic_load_explicit(&a->present, memory_order_acquire);
    if (admit_has(a, present, h))
        return true;
    bool seen = admit_has(a, 1 - present, h);
    admit_insert(a, present, h);
    uint64_t count = atomic_fetch_add_explicit(&a->counts[present], 1, memory_order_relaxed) + 1;
    if (count >= a->blobs)
        admit_rotate(a);
    return seen;
}

void admit_stat(const struct admit *a, struct admit_stat *ret)
{
    ASSERT(a->magic == ADMIT_MAGIC);
    unsigned present = atomic_load_explicit(&a->present, memory_order_acquire);
    *ret = (struct admit_stat){
        .blobs = atomic_load_explicit(&a->counts[present], memory_order_relaxed),
        .rotations = atomic_load_explicit(&a->rotations, memory_order_relaxed),
    };
}

/* --- saved over a restart --------------------------------------------------------------------- */

uint64_t admit_export_size(const struct admit *a)
{
    ASSERT(a->magic == ADMIT_MAGIC);
    return sizeof(struct admit_disk) + 2 * sizeof(uint64_t) * a->words;
}

static uint64_t admit_checksum(const struct admit_disk *disk, const uint8_t *words, uint64_t size)
{
    XXH64_hash_t head = XXH3_64bits(disk, offsetof(struct admit_disk, checksum));
    return XXH3_64bits_withSeed(words, size, head);
}

void admit_export(const struct admit *a, uint8_t *out)
{
    ASSERT(a->magic == ADMIT_MAGIC);
    unsigned present = atomic_load_explicit(&a->present, memory_order_acquire);
    struct admit_disk disk = {
        .magic = ADMIT_TEXT,
        .version = htole32(ADMIT_VERSION),
        .hashes = htole32(a->hashes),
        .blobs = htole64(a->blobs),
        .words = htole64(a->words),
    };
    uint8_t *at = out + sizeof disk;
    for (unsigned i = 0; i < 2; i++) {
        unsigned filter = i == 0 ? present : 1 - present;
        /* Read before the bits: an import may then count too few, never names that are not in. */
        uint64_t count = atomic_load_explicit(&a->counts[filter], memory_order_relaxed);
        disk.counts[i] = htole64(count);
        for (uint64_t w = 0; w < a->words; w++, at += sizeof(uint64_t)) {
            uint64_t word = htole64(
                atomic_load_explicit(&a->bits[filter * a->words + w], memory_order_relaxed));
            memcpy(at, &word, sizeof word);
        }
    }
    uint64_t size = 2 * sizeof(uint64_t) * a->words;
    disk.checksum = htole64(admit_checksum(&disk, out + sizeof disk, size));
    memcpy(out, &disk, sizeof disk);
}

int admit_import(struct admit *a, const uint8_t *bytes, uint64_t size)
{
    ASSERT(a->magic == ADMIT_MAGIC);
    struct admit_disk disk;
    if (size < sizeof disk)
        return -EBADMSG;
    memcpy(&disk, bytes, sizeof disk);
    if (memcmp(disk.magic, ADMIT_TEXT, sizeof disk.magic) != 0)
        return -EBADMSG;
    if (le32toh(disk.version) != ADMIT_VERSION)
        return -EPROTONOSUPPORT;
    if (le64toh(disk.checksum) != admit_checksum(&disk, bytes + sizeof disk, size - sizeof disk))
        return -EBADMSG;
    if (le32toh(disk.hashes) != a->hashes || le64toh(disk.blobs) != a->blobs ||
        le64toh(disk.words) != a->words)
        return -ESTALE;
    if (size != admit_export_size(a) || disk.reserved != 0)
        return -EBADMSG;
    for (uint64_t i = 0; i < 2 * a->words; i++) {
        uint64_t word;
        memcpy(&word, bytes + sizeof disk + i * sizeof word, sizeof word);
        atomic_store_explicit(&a->bits[i], le64toh(word), memory_order_relaxed);
    }
    for (unsigned i = 0; i < 2; i++) /* whatever the number: above `blobs` the next one rotates */
        atomic_store_explicit(&a->counts[i], MIN(le64toh(disk.counts[i]), a->blobs),
                              memory_order_relaxed);
    atomic_store_explicit(&a->present, 0, memory_order_release);
    return 0;
}
