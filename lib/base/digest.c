/* SPDX-License-Identifier: Apache-2.0 */
#include "base/digest.h"
#include <assert.h> /* static_assert */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#ifdef WEIR_XXH_DISPATCH
#include <xxh_x86dispatch.h> /* AVX2 or AVX-512 where the processor has them */
#endif
#include "base/enc.h"

struct digest_state {
    XXH3_state_t *state;
};

static struct digest digest_canonical(XXH128_hash_t hash)
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, hash);
    struct digest d;
    static_assert(sizeof canonical.digest == DIGEST_SIZE, "XXH3-128 is 16 bytes");
    memcpy(d.bytes, canonical.digest, DIGEST_SIZE);
    return d;
}

struct digest digest_of(const void *data, size_t size)
{
    ASSERT(data != NULL || size == 0);
    return digest_canonical(XXH3_128bits(data != NULL ? data : "", size));
}

bool digest_eq(const struct digest *a, const struct digest *b)
{
    return digest_compare(a, b) == 0;
}

int digest_compare(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, DIGEST_SIZE);
}

void digest_format(const struct digest *d, char out[DIGEST_TEXT_SIZE])
{
    enc_hex(d->bytes, DIGEST_SIZE, out);
}

void digest_etag(const struct digest *d, char out[DIGEST_ETAG_SIZE])
{
    out[0] = '"';
    digest_format(d, out + 1);
    out[DIGEST_ETAG_SIZE - 2] = '"';
    out[DIGEST_ETAG_SIZE - 1] = 0;
}

int digest_parse(struct str text, struct digest *ret)
{
    ASSERT(ret != NULL);
    struct digest d;
    if (text.size != 2 * DIGEST_SIZE)
        return -EINVAL;
    int r = enc_unhex(text, d.bytes, sizeof d.bytes);
    if (r < 0)
        return r;
    *ret = d;
    return 0;
}

int digest_state_new(struct digest_state **ret)
{
    struct digest_state *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->state = XXH3_createState();
    if (s->state == NULL) {
        free(s);
        return -ENOMEM;
    }
    (void)XXH3_128bits_reset(s->state); /* fails for NULL only */
    *ret = s;
    return 0;
}

void digest_state_update(struct digest_state *s, const void *data, size_t size)
{
    ASSERT(s != NULL);
    ASSERT(data != NULL || size == 0);
    if (size > 0)
        (void)XXH3_128bits_update(s->state, data, size); /* fails for NULL only */
}

struct digest digest_state_final(const struct digest_state *s)
{
    ASSERT(s != NULL);
    return digest_canonical(XXH3_128bits_digest(s->state));
}

struct digest_state *digest_state_free(struct digest_state *s)
{
    if (s == NULL)
        return NULL;
    (void)XXH3_freeState(s->state); /* always XXH_OK */
    free(s);
    return NULL;
}
