/* SPDX-License-Identifier: Apache-2.0 */
/* oidc: logging in by an OpenID Connect provider: authorization code with PKCE, state and nonce.
 *
 *   oidc_begin: the provider's URL for the browser, and a secret for its cookie
 *   (the person agrees there; the provider sends the browser back with code and state)
 *   oidc_end: state and cookie fit together, and are used up -> code for id token -> its signature,
 *             issuer, audience, times and nonce hold -> the account
 *
 * The state is a ticket (tickets.h); the cookie ties it to the browser that began, so nobody can
 * log another person in as themselves. The page to go on to is a path of our own, looked at before
 * it is remembered.
 *
 * Life:    oidc_new -> oidc_begin, oidc_end* -> oidc_free. What a provider publishes is kept for
 *          an hour; its keys are read again when a token names one that is not known.
 * Owner:   whoever made it.
 * Threads: any; both calls block on the network and the database: for a pool's thread.
 * Errors:  -EPROTO with the fault filled, else -errno.
 * Units:   milliseconds since 1970, given by the caller.
 * Source:  OpenID Connect Core 1.0 (section 3.1), Discovery 1.0; RFC 7636 (PKCE), RFC 9207
 *          (iss in the answer), RFC 9700 (what goes wrong). */
#pragma once
#include "base/buf.h"
#include "control/fault.h"
#include "control/people/tickets.h"
#include "db/db.h"

#define OIDC_PROVIDERS_MAX 16
#define OIDC_WAY_MS        (INT64_C(10) * 60 * 1000) /* to the provider and back */
#define OIDC_PATH_MAX      1024

struct oidc_provider { /* lent while the oidc lives */
    const char *name;  /* in URLs: a-z, 0-9, '-' */
    const char *issuer;
    const char *client_id;
    const char *client_secret; /* NULL: a public client */
    const char *scopes;        /* NULL: "openid email profile" */
    const char *ca_file;       /* NULL: the system's */
};

struct oidc;

MUST_USE int oidc_new(const struct oidc_provider *providers, unsigned count, struct oidc **ret);
struct oidc *oidc_free(struct oidc *o);
bool oidc_has(const struct oidc *o, const char *provider);

/* Whether a page may be gone on to: a path of this site. */
bool oidc_path_ok(struct str path);

struct oidc_begin {
    const char *provider;
    const char *redirect_uri; /* ours */
    const char *path;         /* to go on to */
};

/* 404 PROVIDER_NOT_FOUND, 502 PROVIDER_FAILED. */
MUST_USE int oidc_begin(struct oidc *o, struct db *db, const struct oidc_begin *begin,
                        int64_t now_ms, char ret_cookie[TICKET_SIZE], struct buf *ret_url,
                        struct fault *fault);

struct oidc_end {
    const char *provider;
    const char *redirect_uri;
    const char *state;
    const char *code;   /* NULL: the provider refused */
    const char *issuer; /* "iss" of the answer; NULL: none */
    struct str cookie;
};

/* *ret_user: the account; ret_path: where to go on to. 400 OIDC_STATE_INVALID, 403 OIDC_REFUSED,
 * OIDC_EMAIL_UNVERIFIED, ACCOUNT_DISABLED, 502 PROVIDER_FAILED. */
MUST_USE int oidc_end(struct oidc *o, struct db *db, const struct oidc_end *end, int64_t now_ms,
                      json_t **ret_user, struct buf *ret_path, struct fault *fault);
