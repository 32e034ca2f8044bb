/* SPDX-License-Identifier: Apache-2.0 */
/* token_priv: the ring of keys as its parts see it, and signing over bytes (JWS) without claims.
 *
 * Life:    as token.h.
 * Owner:   the ring owns its keys.
 * Threads: read-only once loaded.
 * Errors:  token__jws_verify: -EBADMSG, -ENOKEY, -EKEYREJECTED as token.h.
 * Units:   bytes.
 * Source:  RFC 7515 section 7.1 (compact serialization), RFC 7518 sections 3.2 and 3.4. */
#pragma once
#include <openssl/evp.h>
#include "token/token.h"

#define TOKEN_KEYS_MAX    64
#define TOKEN_KID_MAX     128
#define TOKEN_SECRET_MIN  32 /* RFC 7518 section 3.2: no shorter than the hash */
#define TOKEN_SECRET_MAX  512
#define TOKEN_ES256_SIZE  64 /* R and S, 32 bytes each */
#define TOKEN_SHA256_SIZE 32

enum token_alg { TOKEN_HS256, TOKEN_ES256 };

/* The algorithm belongs to the key: a token's own "alg" is only compared with it. */
struct token_key {
    char *kid;
    char *issuer; /* that it is good for; NULL: any */
    enum token_alg alg;
    uint8_t secret[TOKEN_SECRET_MAX]; /* HS256 */
    size_t secret_size;
    EVP_PKEY *pkey; /* ES256 */
    bool can_sign;  /* false: only the public half is known */
};

struct token_ring {
    uint32_t magic;
#define TOKEN_RING_MAGIC UINT32_C(0x70ce9246)
    struct token_key *keys;
    size_t keys_count;
};

void token__ring_check(const struct token_ring *ring);

/* Appends "header.payload.signature", signed by the first key: -ENOKEY when it cannot sign. */
MUST_USE int token__jws_sign(const struct token_ring *ring, struct str payload, struct buf *out);

/* Checks a compact JWS; *ret_payload gets the decoded payload appended, *ret_key is the ring's key
 * that has signed it. */
MUST_USE int token__jws_verify(const struct token_ring *ring, struct str token,
                               struct buf *ret_payload, const struct token_key **ret_key);

/* signature: R and S side by side, TOKEN_ES256_SIZE bytes. */
MUST_USE int token__es256_verify(EVP_PKEY *pkey, struct str input, struct str signature);

/* The compiled form of a regular expression's container; others leave *ret as it is. */
MUST_USE int token__matcher_new(const char *container, struct token_matcher **ret);
struct token_matcher *token__matcher_free(struct token_matcher *m);
