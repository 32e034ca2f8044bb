/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of our own: jwks.h. */
#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include "base/enc.h"
#include "token/jwks.h"
#include "token/token_priv.h"

#define JWK_RSA_BITS       2048
#define JWK_SIGNATURE_SIZE (JWKS_RSA_BITS_MAX / 8)

struct jwk {
    uint32_t magic;
#define JWK_MAGIC UINT32_C(0x7517a0e1)
    EVP_PKEY *pkey;
    char kid[JWK_KID_SIZE];
};

static void jwk_check(const struct jwk *key)
{
    ASSERT(key != NULL);
    ASSERT(key->magic == JWK_MAGIC);
}

/* A number of the key as base64url of its big-endian bytes, none of them a leading zero. */
static int jwk_put_number(EVP_PKEY *pkey, const char *name, struct buf *out)
{
    BIGNUM *bn = NULL;
    uint8_t bytes[JWKS_RSA_BITS_MAX / 8];
    if (EVP_PKEY_get_bn_param(pkey, name, &bn) != 1)
        return -ENOMEM;
    int size = BN_num_bytes(bn) <= (int)sizeof bytes ? BN_bn2bin(bn, bytes) : -1;
    BN_free(bn);
    if (size <= 0)
        return -EINVAL;
    enc_base64url(bytes, (size_t)size, out);
    return buf_error(out);
}

/* RFC 7638 section 3: the required members in order of their names, without white space. */
static int jwk_name(EVP_PKEY *pkey, char ret_kid[JWK_KID_SIZE])
{
    CLEAN_BUF struct buf text = BUF_EMPTY;
    CLEAN_BUF struct buf kid = BUF_EMPTY;
    uint8_t digest[TOKEN_SHA256_SIZE];
    unsigned size = 0;
    buf_puts(&text, "{\"e\":\"");
    int r = jwk_put_number(pkey, OSSL_PKEY_PARAM_RSA_E, &text);
    buf_puts(&text, "\",\"kty\":\"RSA\",\"n\":\"");
    if (r == 0)
        r = jwk_put_number(pkey, OSSL_PKEY_PARAM_RSA_N, &text);
    buf_puts(&text, "\"}");
    if (r == 0)
        r = buf_error(&text);
    if (r == 0 && EVP_Digest(text.data, text.size, digest, &size, EVP_sha256(), NULL) != 1)
        r = -ENOMEM;
    if (r < 0)
        return r;
    enc_base64url(digest, sizeof digest, &kid);
    return buf_error(&kid) < 0 ? buf_error(&kid) : str_copy(buf_str(&kid), ret_kid, JWK_KID_SIZE);
}

/* Takes pkey over, on failure too. */
static int jwk_of(EVP_PKEY *pkey, struct jwk **ret)
{
    struct jwk *key = calloc(1, sizeof *key);
    int r = key == NULL ? -ENOMEM : jwk_name(pkey, key->kid);
    ERR_clear_error();
    if (r < 0) {
        EVP_PKEY_free(pkey);
        free(key);
        return r;
    }
    key->magic = JWK_MAGIC;
    key->pkey = pkey;
    *ret = key;
    return 0;
}

int jwk_make(struct jwk **ret)
{
    EVP_PKEY *pkey = EVP_RSA_gen(JWK_RSA_BITS);
    ERR_clear_error();
    return pkey == NULL ? -ENOMEM : jwk_of(pkey, ret);
}

/* An encrypted file is an error, not a question on the terminal. */
static int jwk_no_password(char *out, int size, int rwflag, void *arg)
{
    (void)out;
    (void)size;
    (void)rwflag;
    (void)arg;
    return -1;
}

int jwk_parse_pem(struct str pem, struct jwk **ret, struct err *err)
{
    if (pem.size == 0 || pem.size > (size_t)1 << 16)
        return err_set(err, -EINVAL, "there is no key in it");
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
    if (bio == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, jwk_no_password, NULL);
    BIO_free(bio);
    ERR_clear_error();
    bool good = pkey != NULL && EVP_PKEY_is_a(pkey, "RSA") &&
                EVP_PKEY_get_bits(pkey) >= JWKS_RSA_BITS_MIN &&
                EVP_PKEY_get_bits(pkey) <= JWKS_RSA_BITS_MAX;
    if (!good) {
        EVP_PKEY_free(pkey);
        return err_set(err, -EINVAL, "it holds no private RSA key of %d to %d bits in PEM",
                       JWKS_RSA_BITS_MIN, JWKS_RSA_BITS_MAX);
    }
    int r = jwk_of(pkey, ret);
    return r < 0 ? err_errno(err, r, "naming the key") : 0;
}

int jwk_write_pem(const struct jwk *key, struct buf *out)
{
    jwk_check(key);
    BIO *bio = BIO_new(BIO_s_secmem());
    char *text = NULL;
    long size = 0;
    int r = -ENOMEM;
    if (bio != NULL && PEM_write_bio_PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL) == 1 &&
        (size = BIO_get_mem_data(bio, &text)) > 0) {
        buf_put(out, text, (size_t)size);
        r = buf_error(out);
    }
    BIO_free(bio); /* wipes its memory */
    ERR_clear_error();
    return r;
}

struct jwk *jwk_free(struct jwk *key)
{
    if (key == NULL)
        return NULL;
    jwk_check(key);
    EVP_PKEY_free(key->pkey);
    MAGIC_CLEAR(key);
    free(key);
    return NULL;
}

const char *jwk_kid(const struct jwk *key)
{
    jwk_check(key);
    return key->kid;
}

json_t *jwk_public(const struct jwk *key)
{
    CLEAN_BUF struct buf n = BUF_EMPTY;
    CLEAN_BUF struct buf e = BUF_EMPTY;
    jwk_check(key);
    if (jwk_put_number(key->pkey, OSSL_PKEY_PARAM_RSA_N, &n) < 0 ||
        jwk_put_number(key->pkey, OSSL_PKEY_PARAM_RSA_E, &e) < 0)
        return NULL;
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "kty", "RSA", "n", n.data, "e", e.data,
                     "kid", key->kid, "alg", "RS256", "use", "sig");
}

int jwk_sign(const struct jwk *key, struct str payload, struct buf *out)
{
    uint8_t signature[JWK_SIGNATURE_SIZE];
    size_t size = sizeof signature;
    CLEAN_BUF struct buf header = BUF_EMPTY;
    CLEAN_BUF struct buf jws = BUF_EMPTY;
    jwk_check(key);
    buf_printf(&header, "{\"alg\":\"RS256\",\"kid\":\"%s\",\"typ\":\"JWT\"}", key->kid);
    enc_base64url(header.data, header.size, &jws);
    buf_putc(&jws, '.');
    enc_base64url(payload.data, payload.size, &jws);
    if (buf_error(&header) != 0 || buf_error(&jws) != 0)
        return -ENOMEM;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key->pkey) == 1 &&
                EVP_DigestSign(ctx, signature, &size, (const uint8_t *)jws.data, jws.size) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    if (!good)
        return -ENOMEM;
    buf_putc(&jws, '.');
    enc_base64url(signature, size, &jws);
    if (buf_error(&jws) != 0)
        return -ENOMEM;
    if (jws.size > JWKS_TOKEN_SIZE_MAX)
        return -EMSGSIZE;
    buf_put_str(out, buf_str(&jws));
    return buf_error(out);
}
