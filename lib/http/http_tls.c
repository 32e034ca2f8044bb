/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include "http/http_priv.h"

/* A key with a passphrase must be an error, not a prompt on the terminal of a daemon. */
static int http_tls_no_passphrase(char *out, int size, int writing, void *arg)
{
    (void)out, (void)size, (void)writing, (void)arg;
    return 0;
}

static int http_tls_error(struct err *err, const char *what, const char *file)
{
    char reason[256];
    ERR_error_string_n(ERR_peek_last_error(), reason, sizeof reason);
    ERR_clear_error();
    return err_set(err, -EINVAL, "%s %s: %s", what, file, reason);
}

static int http_tls_configure(SSL_CTX *ctx)
{
    /* AES-128 first: as safe as a video needs, and cheaper than AES-256; ChaCha for those without
     * AES instructions, who put it first. */
    static const char suites[] =
        "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
    static const char ciphers[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                                  "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                                  "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(ctx, ciphers) != 1 || SSL_CTX_set_ciphersuites(ctx, suites) != 1)
        return -EINVAL;
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS); /* an idle connection costs 9 KB less */
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets need no memory here */
    static const h2o_iovec_t protocols[] = {
        {(char *)(uintptr_t) "h2", 2}, {(char *)(uintptr_t) "http/1.1", 8}, {NULL, 0}};
    h2o_ssl_register_alpn_protocols(ctx, protocols);
    return 0;
}

int http__tls_new(const char *cert_file, const char *key_file, struct err *err, SSL_CTX **ret)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL)
        return err_set(err, -ENOMEM, "TLS: out of memory");
    SSL_CTX_set_default_passwd_cb(ctx, http_tls_no_passphrase);
    int r = http_tls_configure(ctx);
    if (r < 0)
        r = http_tls_error(err, "TLS settings for", cert_file);
    else if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1)
        r = http_tls_error(err, "reading certificate", cert_file);
    else if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1)
        r = http_tls_error(err, "reading key", key_file);
    else if (SSL_CTX_check_private_key(ctx) != 1)
        r = http_tls_error(err, "the key does not belong to certificate", cert_file);
    if (r < 0) {
        SSL_CTX_free(ctx);
        return r;
    }
    *ret = ctx;
    return 0;
}
