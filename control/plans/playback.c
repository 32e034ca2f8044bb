/* SPDX-License-Identifier: Apache-2.0 */
#include "control/plans/playback.h"
#include <errno.h>
#include "control/session.h"

#define PLAYBACK_ROUND_S  3600
#define PLAYBACK_PICTURES "pictures"   /* the subject of tokens for pictures */
#define PLAYBACK_OF_USER  ((size_t)16) /* characters of a session's id */

_Static_assert(PLAYBACK_OF_USER < ID_TEXT_SIZE - 1, "some of it is random");

void playback_session_make(const char *user, char ret_session[ID_TEXT_SIZE])
{
    char digest[SESSION_DIGEST_SIZE];
    session_digest(str_of(user), digest);
    id_text(ret_session);
    memcpy(ret_session, digest, PLAYBACK_OF_USER);
}

bool playback_session_is_of(const char *session, const char *user)
{
    char digest[SESSION_DIGEST_SIZE];
    session_digest(str_of(user), digest);
    return strlen(session) == ID_TEXT_SIZE - 1 && memcmp(session, digest, PLAYBACK_OF_USER) == 0;
}

/* token_sign only reads, but its struct is also what token_verify fills, so its texts are not
 * const. */
static char *playback_text(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* view NULL: all of the asset. Appends the URL's part before the view. */
static int playback_put(const struct playback_signer *signer, const struct playback_claims *c,
                        const char *view, struct buf *out)
{
    CLEAN_BUF struct buf container = BUF_EMPTY;
    if (view != NULL)
        token_view_container(str_of(c->asset), str_of(view), &container);
    else
        token_asset_container(str_of(c->asset), &container);
    if (buf_error(&container) < 0)
        return buf_error(&container);
    const struct token_claims claims = {
        .issuer = playback_text(signer->issuer),
        .subject = playback_text(c->user),
        .container = container.data,
        .asset = view != NULL ? NULL : playback_text(c->asset), /* which opens its blobs */
        .session = playback_text(c->session),
        .height_max = c->height_max,
        .expires_s = c->expires_s,
    };
    buf_printf(out, "%s/;URISigningPackage=", c->edge);
    int r = token_sign(signer->ring, &claims, out);
    if (r < 0)
        return r;
    buf_printf(out, "/v/%s/", c->asset); /* an asset's characters need no percent-coding */
    return buf_error(out);
}

int playback_sign_for(const struct playback_signer *signer, const struct playback_claims *c,
                      struct buf *out)
{
    return playback_put(signer, c, NULL, out);
}

int playback_sign_picture(const struct playback_signer *signer, const char *asset, const char *view,
                          int64_t expires_s, struct buf *out)
{
    const struct edge_viewer nowhere = {0};
    const struct playback_claims claims = {
        .asset = asset,
        .user = PLAYBACK_PICTURES,
        .edge = edges_pick(signer->edges, &nowhere, str_of(asset)),
        .expires_s = expires_s,
    };
    int r = playback_put(signer, &claims, view, out);
    if (r == 0)
        buf_puts(out, view);
    return r == 0 ? buf_error(out) : r;
}

int64_t playback_expires(const struct playback_signer *signer, int64_t now_s)
{
    return now_s + signer->lifetime_s;
}

int64_t playback_expires_rounded(const struct playback_signer *signer, int64_t now_s)
{
    int64_t next = (now_s / PLAYBACK_ROUND_S + 1) * PLAYBACK_ROUND_S;
    return next + signer->lifetime_s;
}
