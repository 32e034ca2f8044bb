/* SPDX-License-Identifier: Apache-2.0 */
/* playback: signed URLs on an edge (RFC 9246): EDGE/;URISigningPackage=TOKEN/v/ASSET/VIEW. One
 * token covers an asset's manifests and the blobs that they name, because links are relative; one
 * for a picture covers just that.
 *
 * Life:    a playback_sign per request.
 * Owner:   the caller's memory.
 * Threads: any; nothing blocks.
 * Errors:  -ENOMEM and those of token_sign.
 * Units:   seconds since 1970. */
#pragma once
#include "base/buf.h"
#include "base/id.h"
#include "control/plans/edges.h"
#include "token/token.h"

/* A session's id: half of it is its user's, half is random. Leases are kept by user and session,
 * but edges are told of the end of a session by its name alone, and a renewal takes up what the
 * backend does not know. So nobody may bring up a name that could be another user's. */
void playback_session_make(const char *user, char ret_session[ID_TEXT_SIZE]);
bool playback_session_is_of(const char *session, const char *user);

struct playback_signer {
    const struct token_ring *ring;
    struct edges *edges;
    const char *issuer;
    int64_t lifetime_s;
};

struct playback_claims {
    const char *asset;
    const char *user;
    const char *session; /* NULL: none */
    const char *edge;    /* its URL, no slash at the end */
    uint32_t height_max; /* 0: no cap */
    int64_t expires_s;
};

/* Appends the URL's part before the view: "https://edge/;URISigningPackage=.../v/film/". */
MUST_USE int playback_sign_for(const struct playback_signer *signer,
                               const struct playback_claims *claims, struct buf *out);

/* Appends the whole URL of a picture, for nobody in particular, on an edge that is chosen by the
 * asset. Its token opens that picture alone. */
MUST_USE int playback_sign_picture(const struct playback_signer *signer, const char *asset,
                                   const char *view, int64_t expires_s, struct buf *out);

/* When a URL signed now ends. Rounded up to an hour for pictures: so the URL, and with it the
 * browser's cached picture, stays the same for that long. */
int64_t playback_expires(const struct playback_signer *signer, int64_t now_s);
int64_t playback_expires_rounded(const struct playback_signer *signer, int64_t now_s);
