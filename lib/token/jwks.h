/* SPDX-License-Identifier: Apache-2.0 */
/* jwks: JSON Web Keys and what they sign (JWS in its compact form): RS256 and ES256, which is what
 * OpenID providers use and what control signs its access tokens with. URI tokens have their own
 * ring (token.h), because those know shared secrets; a set here never does, so a token that claims
 * HS256 with somebody's public key as the secret finds no key.
 *
 * Life:    jwks_parse -> jwks_verify* -> jwks_free. A key of our own: jwk_make or jwk_parse_pem ->
 *          jwk_sign* -> jwk_free.
 * Owner:   the caller.
 * Threads: read-only once made: any.
 * Errors:  verify: -EBADMSG not a JWS, -ENOKEY no key of the set is meant (unknown kid, another
 *          algorithm), -EKEYREJECTED wrong signature. -EINVAL not keys, with the reason in err.
 * Units:   bytes.
 * Source:  RFC 7515 (JWS), RFC 7517 (JWK), RFC 7518 sections 3.3, 3.4 and 6, RFC 7638 (thumbprint).
 */
#pragma once
#include <jansson.h>
#include "base/buf.h"
#include "base/err.h"

#define JWKS_TOKEN_SIZE_MAX ((size_t)16 << 10)
#define JWKS_KEYS_MAX       64
#define JWKS_RSA_BITS_MIN   2048
#define JWKS_RSA_BITS_MAX   8192 /* beyond it a provider's key costs us more than it is worth */
#define JWK_KID_SIZE        44   /* a thumbprint: 43 of base64url and a zero */

struct jwks;
struct jwk;

/* {"keys":[...]}. Keys that are not for RS256 or ES256 signatures are left out, as RFC 7517 section
 * 5 asks; a set of which nothing is left is fine, and verifies nothing. */
MUST_USE int jwks_parse(struct str text, struct jwks **ret, struct err *err);
MUST_USE int jwks_of(const json_t *set, struct jwks **ret, struct err *err);
struct jwks *jwks_free(struct jwks *set);
DEFINE_CLEAN(struct jwks *, jwks_free)
unsigned jwks_count(const struct jwks *set);

/* Appends the payload. A token without kid is fine where the set has but one key of its algorithm.
 * The algorithm is the key's: what the token says is only compared with it. */
MUST_USE int jwks_verify(const struct jwks *set, struct str token, struct buf *ret_payload);

/* --- our own ---------------------------------------------------------------------------------- */

/* A new RSA key of 2,048 bits (takes tens of milliseconds); its kid is its thumbprint. */
MUST_USE int jwk_make(struct jwk **ret);
MUST_USE int jwk_parse_pem(struct str pem, struct jwk **ret, struct err *err); /* RSA, private */
MUST_USE int jwk_write_pem(const struct jwk *key, struct buf *out);
struct jwk *jwk_free(struct jwk *key);
DEFINE_CLEAN(struct jwk *, jwk_free)
const char *jwk_kid(const struct jwk *key);

/* {"kty","n","e","kid","alg","use"}: for the set that others verify with; NULL: no memory. */
json_t *jwk_public(const struct jwk *key);

/* Appends "header.payload.signature" by RS256. */
MUST_USE int jwk_sign(const struct jwk *key, struct str payload, struct buf *out);
