/* SPDX-License-Identifier: Apache-2.0 */
/* access: the claims of an access token: a JWT by RS256 that says for KEYRING_TOKEN_LIFE_S who its
 * bearer is. Whether the log-in behind it still stands is another question: known.h.
 *
 * Life:    access_sign, access_verify.
 * Owner:   the caller's memory.
 * Threads: any; nothing blocks.
 * Errors:  verify: as jwks.h, and -EBADMSG claims that are not ours, -ETIME over, -EAGAIN not yet.
 * Units:   seconds since 1970.
 * Source:  RFC 7519; RFC 8725 (what to check). */
#pragma once
#include "base/buf.h"
#include "control/people/keyring.h"

#define ACCESS_SKEW_S  60 /* clocks that disagree */
#define ACCESS_ID_SIZE (DB_ID_SIZE_MAX + 1)

struct access {
    char user[ACCESS_ID_SIZE];
    char login[ACCESS_ID_SIZE];
    int64_t expires_s;
};

/* role: for those who read the token elsewhere; here the account's own counts. */
MUST_USE int access_sign(struct keyring *k, const char *issuer, const struct access *claims,
                         const char *role, struct buf *out);
MUST_USE int access_verify(struct keyring *k, const char *issuer, struct str token, int64_t now_s,
                           struct access *ret);
