/* SPDX-License-Identifier: Apache-2.0 */
/* digest: the name of a blob: XXH3-128 over its bytes, seed 0, in canonical (big-endian) order.
 *
 * Life:    plain values; digest_state for bytes that come in pieces: _new -> _update* -> _final.
 * Owner:   the caller.
 * Threads: any; a digest_state by one thread at a time.
 * Errors:  -EINVAL for text that is not 32 lower-case hex digits.
 * Units:   16 bytes; 32 hex digits.
 * Source:  xxHash specification (doc/xxhash_spec.md), XXH3-128 canonical representation. */
#pragma once
#include "base/str.h"

#define DIGEST_SIZE      16
#define DIGEST_TEXT_SIZE 33 /* 32 hex digits and a zero */
#define DIGEST_ETAG_SIZE (DIGEST_TEXT_SIZE + 2)

struct digest {
    uint8_t bytes[DIGEST_SIZE];
};

struct digest digest_of(const void *data, size_t size);
bool digest_eq(const struct digest *a, const struct digest *b);
int digest_compare(const struct digest *a, const struct digest *b); /* as memcmp */
void digest_format(const struct digest *d, char out[DIGEST_TEXT_SIZE]);
void digest_etag(const struct digest *d, char out[DIGEST_ETAG_SIZE]); /* in quotes */
MUST_USE int digest_parse(struct str text, struct digest *ret);

struct digest_state;
MUST_USE int digest_state_new(struct digest_state **ret); /* -ENOMEM */
void digest_state_update(struct digest_state *s, const void *data, size_t size);
struct digest digest_state_final(const struct digest_state *s);
struct digest_state *digest_state_free(struct digest_state *s);
DEFINE_CLEAN(struct digest_state *, digest_state_free)
