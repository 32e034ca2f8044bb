/* SPDX-License-Identifier: Apache-2.0 */
#include "control/live.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include "base/file.h"

#define LIVE_CREDENTIAL_MIN 16 /* bytes; shorter ones can be guessed */

static int live_load_credential(const char *path, char out[SESSION_DIGEST_SIZE], struct err *err)
{
    CLEAN_BUF struct buf secret = BUF_EMPTY;
    int r = file_read_secret(path, &secret);
    if (r < 0)
        return err_errno(err, r, "admin_credential_file: reading %s", path);
    if (secret.size < LIVE_CREDENTIAL_MIN)
        r = err_set(err, -EINVAL,
                    "admin_credential_file: the secret in %s is shorter than %d bytes", path,
                    LIVE_CREDENTIAL_MIN);
    else
        session_digest(buf_str(&secret), out);
    OPENSSL_cleanse(secret.data, secret.size);
    return r;
}

/* A copy without slashes at the end; NULL for NULL, or when out of memory. */
static char *live_url(const char *url)
{
    struct str text = str_of(url);
    while (str_ends(text, STR("/")))
        text.size--;
    return url != NULL ? str_dup(text) : NULL;
}

static int live_load_texts(struct live *l, const struct control_config *c, struct err *err)
{
    l->public_url = live_url(c->public_url);
    l->default_plan = c->default_plan != NULL ? str_dup(str_of(c->default_plan)) : NULL;
    l->issuer = str_dup(c->issuer != NULL ? str_of(c->issuer) : STR("weir-control"));
    if (l->issuer == NULL || (c->public_url != NULL && l->public_url == NULL) ||
        (c->default_plan != NULL && l->default_plan == NULL))
        return err_set(err, -ENOMEM, "out of memory");
    return 0;
}

static int live_load_web(struct live *l, const struct control_config *c, struct err *err)
{
    CLEAN_BUF struct buf origins = BUF_EMPTY;
    edges_origins(l->edges, &origins);
    if (buf_error(&origins) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    return web_load(c->web_folder, origins.data, str_starts(str_of(l->public_url), STR("https://")),
                    err, &l->web);
}

static int live_load_ingest(struct live *l, const struct control_config *c, struct err *err)
{
    struct secret secret = {0};
    if (c->ingest_url == NULL)
        return 0;
    int r = secret_load(c->ingest_credential_file, &secret, err);
    if (r < 0)
        return r;
    l->ingest_url = live_url(c->ingest_url);
    l->ingest_bearer = str_dup((struct str){secret.text, secret.size});
    secret_clear(&secret);
    return l->ingest_url == NULL || l->ingest_bearer == NULL
               ? err_set(err, -ENOMEM, "out of memory")
               : 0;
}

int live_load(const struct control_config *c, struct err *err, struct live **ret)
{
    struct live *l = calloc(1, sizeof *l);
    if (l == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    l->magic = LIVE_MAGIC;
    atomic_init(&l->refs, 1);
    l->stream_limit = c->stream_limit;
    l->leases_fail = c->leases_fail;
    int r = live_load_texts(l, c, err);
    if (r == 0)
        r = edges_new(c, err, &l->edges);
    if (r == 0 && c->geo_file != NULL)
        r = geo_open(c->geo_file, &l->geo, err);
    if (r == 0)
        r = token_ring_load(c->token_ring_file, &l->ring, err);
    if (r == 0)
        r = live_load_credential(c->admin_credential_file, l->admin_digest, err);
    if (r == 0 && c->edge_credential_file != NULL)
        r = secret_load(c->edge_credential_file, &l->edge_secret, err);
    if (r == 0)
        r = live_load_ingest(l, c, err);
    if (r == 0)
        r = outside_load(c->mail, c->oidc, c->oidc_count, l->public_url, err, &l->outside);
    if (r == 0)
        r = live_load_web(l, c, err);
    if (r < 0) {
        live_unref(l);
        return r;
    }
    l->signer = (struct playback_signer){
        .ring = l->ring,
        .edges = l->edges,
        .issuer = l->issuer,
        .lifetime_s = c->token_lifetime_s != 0 ? c->token_lifetime_s : CONTROL_TOKEN_LIFETIME_S,
    };
    *ret = l;
    return 0;
}

struct live *live_ref(struct live *l)
{
    ASSERT(l != NULL && l->magic == LIVE_MAGIC);
    (void)atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
    return l;
}

struct live *live_unref(struct live *l)
{
    if (l == NULL)
        return NULL;
    ASSERT(l->magic == LIVE_MAGIC);
    if (atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) == 1) {
        token_ring_free(l->ring);
        web_free(l->web);
        secret_clear(&l->edge_secret);
        edges_free(l->edges);
        geo_free(l->geo);
        free(l->default_plan);
        outside_free(l->outside);
        free(l->public_url);
        free(l->ingest_url);
        if (l->ingest_bearer != NULL)
            OPENSSL_cleanse(l->ingest_bearer, strlen(l->ingest_bearer));
        free(l->ingest_bearer);
        free(l->issuer);
        MAGIC_CLEAR(l);
        free(l);
    }
    return NULL;
}
