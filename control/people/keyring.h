/* SPDX-License-Identifier: Apache-2.0 */
/* keyring: the key that this control signs access tokens with, and the public keys of all controls
 * of the installation, which each verifies with. The private key is in a file of this host's alone;
 * the public ones are documents in the database that all share, so no key is ever copied.
 *
 *   a key: made at the first start or by keyring_rotate -> signs -> replaced by the next
 *          its public half: published before it signs; renewed while it signs; after it was
 *          replaced it stays until its last token is over; that of a control that is gone ends
 *          by itself
 *
 * Life:    keyring_open -> keyring_sign, keyring_verify, keyring_reload* -> keyring_close.
 * Owner:   whoever opened it.
 * Threads: any. keyring_sign, _verify and _public do not block; the rest blocks on the database.
 * Errors:  keyring_open: a sentence. verify: as jwks.h; -ENOKEY may be a key that another control
 *          has published since: keyring_reload, and try again.
 * Units:   milliseconds since 1970, given by the caller. */
#pragma once
#include <jansson.h>
#include "base/buf.h"
#include "base/err.h"
#include "db/db.h"

#define KEYRING_TOKEN_LIFE_S (30 * 60) /* of what is signed */

struct keyring;

/* path: PEM; made with mode 0600 where there is none. -EPERM: others may read it. */
MUST_USE int keyring_open(struct db *db, const char *path, int64_t now_ms, struct err *err,
                          struct keyring **ret);
struct keyring *keyring_close(struct keyring *k);
MUST_USE int keyring_sign(struct keyring *k, struct str payload, struct buf *out);
MUST_USE int keyring_verify(struct keyring *k, struct str token, struct buf *ret_payload);

/* Reads what the others have published, and sees to it that ours is. */
MUST_USE int keyring_reload(struct keyring *k, int64_t now_ms);
/* A new key signs from now on. */
MUST_USE int keyring_rotate(struct keyring *k, int64_t now_ms, struct err *err);

/* {"keys":[...]}: caller decrefs; NULL: no memory. */
json_t *keyring_public(struct keyring *k);
/* The kid of the key that signs; out takes JWK_KID_SIZE bytes. */
void keyring_kid(struct keyring *k, char *out, size_t out_size);
MUST_USE int keyring_purge(struct db *db, int64_t now_ms, uint64_t *ret_count);
