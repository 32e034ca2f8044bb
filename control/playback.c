/* SPDX-License-Identifier: Apache-2.0 */
#include "control/playback.h"
#include <errno.h>

#define PLAYBACK_ROUND_S 3600

/* token_sign only reads, but its struct is also what token_verify fills, so its texts are not
 * const. */
static char *playback_text(const char *text)
{
    return (char *)(uintptr_t)text;
}

int playback_sign(const struct playback_signer *signer, const char *asset, const char *user_id,
                  const char *session, int64_t expires_s, struct buf *out)
{
    CLEAN_BUF struct buf container = BUF_EMPTY;
    token_asset_container(str_of(asset), &container);
    if (buf_error(&container) < 0)
        return buf_error(&container);
    const struct token_claims claims = {
        .issuer = playback_text(signer->issuer),
        .subject = playback_text(user_id),
        .container = container.data,
        .asset = playback_text(asset),
        .session = playback_text(session),
        .expires_s = expires_s,
    };
    buf_printf(out, "%s/;URISigningPackage=", signer->edge_url);
    int r = token_sign(signer->ring, &claims, out);
    if (r < 0)
        return r;
    buf_printf(out, "/v/%s/", asset); /* an asset's characters need no percent-coding */
    return buf_error(out);
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
