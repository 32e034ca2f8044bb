/* SPDX-License-Identifier: Apache-2.0 */
/* token: URI Signing (RFC 9246): a signed JWT that says which URIs its holder may fetch, and until
 * when.
 *
 * Life:    token_ring_load -> token_sign / token_verify* -> token_ring_free.
 * Owner:   the caller; claims filled by token_verify own their texts: token_claims_clear.
 * Threads: a ring is read-only once loaded: any thread.
 * Errors:  verify: -EBADMSG malformed, -ENOKEY unknown kid or algorithm, -EKEYREJECTED wrong
 *          signature, -ETIME expired, -EAGAIN not yet valid, -EACCES the URI is not covered, or
 *          the token is limited in a way that is not checked here (cdniip, aud, jti).
 *          sign: -EINVAL no container or expiry, -ENOKEY the first key is a public one, -EMSGSIZE
 *          larger than TOKEN_SIZE_MAX.
 * Units:   seconds since 1970.
 * Source:  RFC 9246 sections 2 and 3; RFC 7515 (JWS), RFC 7517 (JWK), RFC 7519 (JWT). */
#pragma once
#include "base/buf.h"
#include "base/err.h"

#define TOKEN_SIZE_MAX 4096

struct token_ring;

/* A JWK Set: {"keys":[{"kty":"oct","kid":"k1","alg":"HS256","k":"..."},
 * {"kty":"EC","kid":"k2","alg":"ES256","pem_file":"..."}]}. The first key signs, all verify. HS256
 * secrets have 32 bytes or more. pem_file is relative to path's folder; a public key verifies only.
 * -EINVAL with the reason in err. */
MUST_USE int token_ring_load(const char *path, struct token_ring **ret, struct err *err);
struct token_ring *token_ring_free(struct token_ring *ring);
DEFINE_CLEAN(struct token_ring *, token_ring_free)

struct token_claims {
    char *issuer;         /* iss */
    char *subject;        /* sub: the account */
    char *container;      /* cdniuc: "regex:..." or "hash:..." */
    char *asset;          /* private: weir_asset */
    char *session;        /* private: weir_session; NULL: none */
    uint32_t height_max;  /* private: weir_height_max, tier cap in lines; 0: no cap */
    int64_t expires_s;    /* exp; required */
    int64_t not_before_s; /* nbf; 0: none */
};

/* The container for everything below /v/ASSET/ and the blobs that its manifests name. */
void token_asset_container(struct str asset, struct buf *out);

MUST_USE int token_sign(const struct token_ring *ring, const struct token_claims *claims,
                        struct buf *out);

/* Signature, times and limits; *ret is set to zero first (what it held is not freed) and holds the
 * claims on success. */
MUST_USE int token_verify(const struct token_ring *ring, struct str token, int64_t now_s,
                          struct token_claims *ret);

/* Whether the container covers the URI (scheme://authority/path, package removed). */
MUST_USE int token_covers(const struct token_claims *claims, struct str uri);
void token_claims_clear(struct token_claims *claims);

/* Finds URISigningPackage as a path parameter (";URISigningPackage=..." in any segment), else a
 * query parameter, else in a Cookie header's text, and gives the path without it. A segment that
 * holds nothing but the package goes away whole: "/;URISigningPackage=X/v/a" becomes "/v/a".
 * -ENOENT: no package (ret_path is the path as it was); -EBADMSG: empty, larger than
 * TOKEN_SIZE_MAX, or more than one. ret_path is appended to; ret_token borrows from the inputs. */
MUST_USE int token_extract(struct str path, struct str query, struct str cookie,
                           struct str *ret_token, struct buf *ret_path);

/* Appends the query without any package: for whoever is behind us. */
void token_strip_query(struct str query, struct buf *out);
