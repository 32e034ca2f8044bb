/* SPDX-License-Identifier: Apache-2.0 */
/* token: URI Signing (RFC 9246): a signed JWT that says which URIs its holder may fetch, and until
 * when.
 *
 * Life:    token_ring_load -> token_sign / token_verify* -> token_ring_free.
 * Owner:   the caller; claims filled by token_verify own their texts: token_claims_clear.
 * Threads: a ring is read-only once loaded: any thread.
 * Errors:  verify: -EBADMSG malformed, -ENOKEY unknown kid or algorithm, -EKEYREJECTED wrong
 *          signature or issuer, -ETIME expired, -EAGAIN not yet valid, -EACCES the URI is not
 *          covered, or the token is limited in a way that the caller's rules do not check.
 *          sign, renew: -EINVAL no container or expiry, -ENOKEY the first key is a public one,
 *          -EMSGSIZE larger than TOKEN_SIZE_MAX.
 * Units:   seconds since 1970.
 * Source:  RFC 9246 sections 2 and 3; RFC 7515 (JWS), RFC 7517 (JWK), RFC 7519 (JWT). */
#pragma once
#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"

#define TOKEN_SIZE_MAX    4096
#define TOKEN_COOKIES_MAX 4 /* that carry a package, of one request */

struct token_ring;

/* A JWK Set: {"keys":[{"kty":"oct","kid":"k1","alg":"HS256","k":"..."},
 * {"kty":"EC","kid":"k2","alg":"ES256","iss":"cms","pem_file":"..."}]}. The first key signs, all
 * verify. HS256 secrets have 32 bytes or more. pem_file is relative to path's folder; a public key
 * verifies only. A key with "iss" is good for tokens of that issuer only. -EINVAL with the reason
 * in err. */
MUST_USE int token_ring_load(const char *path, struct token_ring **ret, struct err *err);
struct token_ring *token_ring_free(struct token_ring *ring);
DEFINE_CLEAN(struct token_ring *, token_ring_free)

struct token_matcher;

struct token_claims {
    char *issuer;         /* iss */
    char *subject;        /* sub: the account */
    char *container;      /* cdniuc: "regex:..." or "hash:..." */
    char *asset;          /* private: weir_asset */
    char *session;        /* private: weir_session; NULL: none */
    char *id;             /* jti: the token opens each URI once; NULL: as often as one likes */
    char *clients_text;   /* cdniip as it is written; sign takes this one */
    uint32_t height_max;  /* private: weir_height_max, tier cap in lines; 0: no cap */
    int64_t expires_s;    /* exp; required */
    int64_t not_before_s; /* nbf; 0: none */
    int64_t renew_for_s;  /* cdniets with cdnistt 1: each use earns a token for so long; 0: none */
    uint32_t renew_depth; /* cdnistd: path segments that the renewed one's cookie is bound to */
    struct addr_net clients;       /* cdniip as verify has read it; valid with clients_text */
    struct token_matcher *matcher; /* verify's: the container, compiled; NULL is no harm */
};

/* Claims that limit a token in ways that verify cannot see to alone. Whoever leaves one out (NULL:
 * all) has tokens with that claim refused: to ignore it would allow more than the issuer did. */
struct token_rules {
    char *const *audiences; /* who we are: aud must name one of them */
    unsigned audiences_count;
    bool checks_clients; /* the caller compares each request's client with claims.clients */
    bool checks_id;      /* the caller lets each pair of claims.id and URI pass once */
};

/* The container for everything below /v/ASSET/ and the blobs that its manifests name. */
void token_asset_container(struct str asset, struct buf *out);

/* The container for /v/ASSET/VIEW and nothing else: a picture that anybody may be shown. */
void token_view_container(struct str asset, struct str view, struct buf *out);

MUST_USE int token_sign(const struct token_ring *ring, const struct token_claims *claims,
                        struct buf *out);

/* Signature, times and limits; *ret is set to zero first (what it held is not freed) and holds the
 * claims on success. */
MUST_USE int token_verify(const struct token_ring *ring, struct str token, int64_t now_s,
                          const struct token_rules *rules, struct token_claims *ret);

/* Appends the token that a verified one with renew_for_s earns at now_s: the same claims, known to
 * us or not, under our key; exp is now_s + cdniets, iat and jti are new where the old one has them,
 * iss is the signing key's where that has one (RFC 9246 section 3). */
MUST_USE int token_renew(const struct token_ring *ring, struct str token, int64_t now_s,
                         struct buf *out);

/* Whether the container covers the URI (scheme://authority/path?query, package removed). The URI is
 * compared in its normal form (RFC 3986 sections 6.2.2 and 6.2.3); one with dot segments is never
 * covered, as a server behind us may resolve them to another. */
MUST_USE int token_covers(const struct token_claims *claims, struct str uri);
void token_claims_clear(struct token_claims *claims);

/* --- where a request carries its token: token_package.c --------------------------------------- */

/* Finds URISigningPackage as a path parameter (";URISigningPackage=..." in any segment), else a
 * query parameter, and gives the path without it. A segment that holds nothing but the package goes
 * away whole: "/;URISigningPackage=X/v/a" becomes "/v/a". -ENOENT: no package (ret_path is the path
 * as it was); -EBADMSG: empty, larger than TOKEN_SIZE_MAX, or more than one. ret_path is appended
 * to; ret_token borrows from the inputs. */
MUST_USE int token_extract(struct str path, struct str query, struct str *ret_token,
                           struct buf *ret_path);

/* The next package in a Cookie header's text, which is cut off *cookie; false: no more. A browser
 * sends several when they were set for several paths, the longest path first. */
bool token_next_cookie(struct str *cookie, struct str *ret_token);

/* Copies without the package: nothing of a token goes to an upstream. */
void token_strip_query(struct str query, struct buf *out);
void token_strip_cookie(struct str cookie, struct buf *out);

/* The Path attribute for a renewed token's cookie: depth segments of the request's path as the
 * client sent it, "/" for none. It ends before the first segment with a ';', which cannot stand in
 * a cookie's path (RFC 6265 section 4.1.1). */
void token_cookie_path(struct str path, uint32_t depth, struct buf *out);
