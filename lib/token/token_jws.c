/* SPDX-License-Identifier: Apache-2.0 */
#include "token/token_priv.h"
#include <errno.h>
#include <jansson.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include "base/enc.h"

static const struct str token_algs[] = {[TOKEN_HS256] = STR("HS256"), [TOKEN_ES256] = STR("ES256")};

static int token_hmac(const struct token_key *k, struct str input, uint8_t out[TOKEN_SHA256_SIZE])
{
    unsigned size = 0;
    ASSERT(k->secret_size >= TOKEN_SECRET_MIN);
    const uint8_t *done = HMAC(EVP_sha256(), k->secret, (int)k->secret_size,
                               (const uint8_t *)input.data, input.size, out, &size);
    return done != NULL && size == TOKEN_SHA256_SIZE ? 0 : -ENOMEM;
}

/* ---- ES256: JWS has R and S side by side, OpenSSL speaks DER ---- */

static int token_es256_to_raw(const uint8_t *der, size_t der_size, uint8_t out[TOKEN_ES256_SIZE])
{
    const uint8_t *at = der;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)der_size);
    if (sig == NULL)
        return -ENOMEM;
    const BIGNUM *r = NULL;
    const BIGNUM *s = NULL;
    ECDSA_SIG_get0(sig, &r, &s);
    bool ok = BN_bn2binpad(r, out, 32) == 32 && BN_bn2binpad(s, out + 32, 32) == 32;
    ECDSA_SIG_free(sig);
    return ok ? 0 : -EKEYREJECTED;
}

static int token_es256_to_der(const uint8_t raw[TOKEN_ES256_SIZE], uint8_t **ret, size_t *ret_size)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, 32, NULL);
    BIGNUM *s = BN_bin2bn(raw + 32, 32, NULL);
    if (sig == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(sig);
        return -ENOMEM;
    }
    int size = i2d_ECDSA_SIG(sig, ret);
    ECDSA_SIG_free(sig); /* with r and s */
    if (size <= 0)
        return -ENOMEM;
    *ret_size = (size_t)size;
    return 0;
}

static int token_es256_sign(const struct token_key *k, struct str input,
                            uint8_t out[TOKEN_ES256_SIZE])
{
    uint8_t der[128]; /* a P-256 signature takes at most 72 */
    size_t size = sizeof der;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx == NULL)
        return -ENOMEM;
    bool ok = EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k->pkey) == 1 &&
              EVP_DigestSign(ctx, der, &size, (const uint8_t *)input.data, input.size) == 1;
    EVP_MD_CTX_free(ctx);
    return ok ? token_es256_to_raw(der, size, out) : -EKEYREJECTED;
}

int token__es256_verify(EVP_PKEY *pkey, struct str input, struct str signature)
{
    ASSERT(signature.size == TOKEN_ES256_SIZE);
    uint8_t *der = NULL;
    size_t size = 0;
    int r = token_es256_to_der((const uint8_t *)signature.data, &der, &size);
    if (r < 0)
        return r;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx == NULL)
        r = -ENOMEM;
    else if (EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, pkey) != 1 ||
             EVP_DigestVerify(ctx, der, size, (const uint8_t *)input.data, input.size) != 1)
        r = -EKEYREJECTED;
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    return r;
}

/* ---- compact serialization ---- */

int token__jws_sign(const struct token_ring *ring, struct str payload, struct buf *out)
{
    token__ring_check(ring);
    const struct token_key *k = &ring->keys[0];
    if (!k->can_sign)
        return -ENOKEY;
    CLEAN_BUF struct buf header = BUF_EMPTY;
    buf_printf(&header, "{\"alg\":\"%s\",\"kid\":", token_algs[k->alg].data);
    buf_put_json_string(&header, str_of(k->kid));
    buf_puts(&header, ",\"typ\":\"JWT\"}");
    CLEAN_BUF struct buf jws = BUF_EMPTY;
    enc_base64url(header.data, header.size, &jws);
    buf_putc(&jws, '.');
    enc_base64url(payload.data, payload.size, &jws);
    if (buf_error(&header) != 0 || buf_error(&jws) != 0)
        return -ENOMEM;
    uint8_t signature[TOKEN_ES256_SIZE];
    bool is_hmac = k->alg == TOKEN_HS256;
    int r = is_hmac ? token_hmac(k, buf_str(&jws), signature)
                    : token_es256_sign(k, buf_str(&jws), signature);
    ERR_clear_error();
    if (r < 0)
        return r;
    buf_putc(&jws, '.');
    enc_base64url(signature, is_hmac ? TOKEN_SHA256_SIZE : TOKEN_ES256_SIZE, &jws);
    if (buf_error(&jws) != 0)
        return -ENOMEM;
    if (jws.size > TOKEN_SIZE_MAX)
        return -EMSGSIZE;
    buf_put_str(out, buf_str(&jws));
    return buf_error(out);
}

/* The key that the header names, if the header asks for that key's own algorithm. */
static int token_find_key(const struct token_ring *ring, struct str header_text,
                          const struct token_key **ret)
{
    CLEAN_BUF struct buf text = BUF_EMPTY;
    int r = enc_unbase64url(header_text, &text);
    if (r < 0)
        return r == -EINVAL ? -EBADMSG : r;
    json_t *header =
        json_loadb(text.data != NULL ? text.data : "", text.size, JSON_REJECT_DUPLICATES, NULL);
    const char *alg = json_string_value(json_object_get(header, "alg"));
    const char *kid = json_string_value(json_object_get(header, "kid"));
    r = -ENOKEY;
    if (!json_is_object(header) || alg == NULL)
        r = -EBADMSG;
    else if (json_object_get(header, "crit") != NULL)
        r = -EBADMSG; /* RFC 7515 section 4.1.11: we understand no extension */
    for (size_t i = 0; i < ring->keys_count && r == -ENOKEY && kid != NULL; i++) {
        const struct token_key *k = &ring->keys[i];
        if (strcmp(k->kid, kid) == 0 && str_eq(str_of(alg), token_algs[k->alg])) {
            *ret = k;
            r = 0;
        }
    }
    json_decref(header);
    return r;
}

static int token_check_signature(const struct token_key *k, struct str input, struct str text)
{
    CLEAN_BUF struct buf signature = BUF_EMPTY;
    int r = enc_unbase64url(text, &signature);
    if (r < 0)
        return r == -EINVAL ? -EBADMSG : r;
    if (k->alg == TOKEN_HS256) {
        uint8_t expected[TOKEN_SHA256_SIZE];
        if (signature.size != sizeof expected)
            return -EKEYREJECTED;
        r = token_hmac(k, input, expected);
        if (r < 0)
            return r;
        return CRYPTO_memcmp(expected, signature.data, sizeof expected) == 0 ? 0 : -EKEYREJECTED;
    }
    if (signature.size != TOKEN_ES256_SIZE)
        return -EKEYREJECTED;
    return token__es256_verify(k->pkey, input, buf_str(&signature));
}

int token__jws_verify(const struct token_ring *ring, struct str token, struct buf *ret_payload,
                      const struct token_key **ret_key)
{
    token__ring_check(ring);
    if (token.size == 0 || token.size > TOKEN_SIZE_MAX)
        return -EBADMSG;
    struct str rest;
    struct str header = str_cut(token, '.', &rest);
    struct str signature;
    struct str payload = str_cut(rest, '.', &signature);
    bool has_more = signature.size > 0 && memchr(signature.data, '.', signature.size) != NULL;
    if (header.size == 0 || payload.size == 0 || signature.data == NULL || has_more)
        return -EBADMSG;
    const struct token_key *k = NULL;
    int r = token_find_key(ring, header, &k);
    if (r < 0)
        return r;
    struct str input = {token.data, header.size + 1 + payload.size};
    r = token_check_signature(k, input, signature);
    ERR_clear_error(); /* what is left there would confuse the thread's TLS */
    if (r < 0)
        return r;
    r = enc_unbase64url(payload, ret_payload);
    if (r == 0)
        *ret_key = k;
    return r == -EINVAL ? -EBADMSG : r;
}
