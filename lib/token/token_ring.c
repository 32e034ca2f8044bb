/* SPDX-License-Identifier: Apache-2.0 */
#include "token/token_priv.h"
#include <errno.h>
#include <jansson.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include "base/enc.h"
#include "base/file.h"

#define TOKEN_FILE_SIZE_MAX ((size_t)1 << 20)

void token__ring_check(const struct token_ring *ring)
{
    ASSERT(ring != NULL);
    ASSERT(ring->magic == TOKEN_RING_MAGIC);
    ASSERT(ring->keys_count > 0);
}

struct token_ring *token_ring_free(struct token_ring *ring)
{
    if (ring == NULL)
        return NULL;
    ASSERT(ring->magic == TOKEN_RING_MAGIC);
    for (size_t i = 0; i < ring->keys_count; i++) {
        struct token_key *k = &ring->keys[i];
        OPENSSL_cleanse(k->secret, sizeof k->secret);
        EVP_PKEY_free(k->pkey);
        free(k->kid);
        free(k->issuer);
    }
    free(ring->keys);
    MAGIC_CLEAR(ring);
    free(ring);
    return NULL;
}

/* Reads a file that holds secrets; the caller wipes out. */
static int token_read(const char *path, struct buf *out, struct err *err)
{
    int r = file_read(path, TOKEN_FILE_SIZE_MAX, out);
    return r < 0 ? err_errno(err, r, "reading %s", path) : 0;
}

static void token_wipe(struct buf *b)
{
    if (b->data != NULL)
        OPENSSL_cleanse(b->data, b->cap_size);
    buf_free(b);
}

static int token_load_secret(const json_t *j, struct token_key *k, struct err *err)
{
    const json_t *text = json_object_get(j, "k");
    if (!json_is_string(text))
        return err_set(err, -EINVAL, "key %s: k is missing", k->kid);
    struct buf secret = BUF_EMPTY;
    int r =
        enc_unbase64url((struct str){json_string_value(text), json_string_length(text)}, &secret);
    if (r < 0)
        r = err_set(err, -EINVAL, "key %s: k is not base64url", k->kid);
    else if (secret.size < TOKEN_SECRET_MIN || secret.size > TOKEN_SECRET_MAX)
        r = err_set(err, -EINVAL, "key %s: k has %zu bytes, HS256 wants %d to %d", k->kid,
                    secret.size, TOKEN_SECRET_MIN, TOKEN_SECRET_MAX);
    if (r == 0) {
        memcpy(k->secret, secret.data, secret.size);
        k->secret_size = secret.size;
        k->can_sign = true;
    }
    token_wipe(&secret);
    return r;
}

/* An encrypted file is an error, not a question on the terminal. */
static int token_no_password(char *out, int size, int rwflag, void *arg)
{
    (void)out;
    (void)size;
    (void)rwflag;
    (void)arg;
    return -1;
}

static int token_check_curve(const struct token_key *k, struct err *err)
{
    char group[64] = "";
    size_t size = 0;
    if (!EVP_PKEY_is_a(k->pkey, "EC") ||
        EVP_PKEY_get_utf8_string_param(k->pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group,
                                       &size) != 1 ||
        strcmp(group, "prime256v1") != 0)
        return err_set(err, -EINVAL, "key %s: not a P-256 key", k->kid);
    return 0;
}

/* A private key signs and verifies; a public one, as an edge should have, only verifies. */
static int token_parse_pem(struct str pem, struct token_key *k)
{
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size); /* at most TOKEN_FILE_SIZE_MAX */
    if (bio == NULL)
        return -ENOMEM;
    k->pkey = PEM_read_bio_PrivateKey(bio, NULL, token_no_password, NULL);
    k->can_sign = k->pkey != NULL;
    BIO_free(bio);
    if (k->pkey == NULL) {
        bio = BIO_new_mem_buf(pem.data, (int)pem.size);
        if (bio == NULL)
            return -ENOMEM;
        k->pkey = PEM_read_bio_PUBKEY(bio, NULL, token_no_password, NULL);
        BIO_free(bio);
    }
    ERR_clear_error(); /* what is left there would confuse the thread's TLS */
    return k->pkey != NULL ? 0 : -EINVAL;
}

/* pem_file is relative to the folder of the ring's own file. */
static int token_load_pem(const char *ring_path, const json_t *j, struct token_key *k,
                          struct err *err)
{
    const char *name = json_string_value(json_object_get(j, "pem_file"));
    if (name == NULL || name[0] == 0)
        return err_set(err, -EINVAL, "key %s: pem_file is missing", k->kid);
    const char *slash = strrchr(ring_path, '/');
    CLEAN_BUF struct buf path = BUF_EMPTY;
    if (name[0] != '/' && slash != NULL)
        buf_put(&path, ring_path, (size_t)(slash - ring_path) + 1);
    buf_puts(&path, name);
    if (buf_error(&path) != 0)
        return -ENOMEM;
    struct buf pem = BUF_EMPTY;
    int r = token_read(path.data, &pem, err);
    if (r == 0) {
        r = token_parse_pem(buf_str(&pem), k);
        if (r == -EINVAL)
            r = err_set(err, r, "key %s: %s holds no key in PEM without password", k->kid,
                        path.data);
    }
    token_wipe(&pem);
    return r < 0 ? r : token_check_curve(k, err);
}

static int token_load_key(const char *path, const json_t *j, struct token_ring *ring,
                          struct err *err)
{
    const json_t *kid = json_object_get(j, "kid");
    const char *kty = json_string_value(json_object_get(j, "kty"));
    const char *alg = json_string_value(json_object_get(j, "alg"));
    if (!json_is_string(kid) || json_string_length(kid) == 0 ||
        json_string_length(kid) > TOKEN_KID_MAX)
        return err_set(err, -EINVAL, "key %zu: kid is missing or too long", ring->keys_count + 1);
    for (size_t i = 0; i < ring->keys_count; i++) {
        if (strcmp(ring->keys[i].kid, json_string_value(kid)) == 0)
            return err_set(err, -EINVAL, "key %s comes twice", json_string_value(kid));
    }
    struct token_key *k = &ring->keys[ring->keys_count];
    k->kid = str_dup((struct str){json_string_value(kid), json_string_length(kid)});
    if (k->kid == NULL)
        return -ENOMEM;
    ring->keys_count++; /* from here on token_ring_free cleans it up */
    const json_t *issuer = json_object_get(j, "iss");
    if (issuer != NULL) {
        if (!json_is_string(issuer) || json_string_length(issuer) == 0)
            return err_set(err, -EINVAL, "key %s: iss is not a text", k->kid);
        k->issuer = str_dup((struct str){json_string_value(issuer), json_string_length(issuer)});
        if (k->issuer == NULL)
            return -ENOMEM;
    }
    bool is_hs = kty != NULL && alg != NULL && strcmp(kty, "oct") == 0 && strcmp(alg, "HS256") == 0;
    bool is_es = kty != NULL && alg != NULL && strcmp(kty, "EC") == 0 && strcmp(alg, "ES256") == 0;
    if (is_hs) {
        k->alg = TOKEN_HS256;
        return token_load_secret(j, k, err);
    }
    if (is_es) {
        k->alg = TOKEN_ES256;
        return token_load_pem(path, j, k, err);
    }
    return err_set(err, -EINVAL, "key %s: kty and alg must be oct and HS256, or EC and ES256",
                   k->kid);
}

static int token_load_set(const char *path, const json_t *root, struct token_ring *ring,
                          struct err *err)
{
    const json_t *keys = json_object_get(root, "keys");
    size_t count = json_array_size(keys); /* 0 for anything but a list */
    if (count == 0 || count > TOKEN_KEYS_MAX)
        return err_set(err, -EINVAL, "%s: keys is not a list of 1 to %d keys", path,
                       TOKEN_KEYS_MAX);
    ring->keys = calloc(count, sizeof *ring->keys);
    if (ring->keys == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct err why = {0};
        int r = token_load_key(path, json_array_get(keys, i), ring, &why);
        if (r < 0)
            return err_set(err, r, "%s: %s", path, why.text[0] != 0 ? why.text : "out of memory");
    }
    return 0;
}

int token_ring_load(const char *path, struct token_ring **ret, struct err *err)
{
    ASSERT(path != NULL);
    ASSERT(ret != NULL);
    struct buf text = BUF_EMPTY;
    int r = token_read(path, &text, err);
    if (r < 0) {
        token_wipe(&text);
        return r;
    }
    json_error_t why;
    json_t *root =
        json_loadb(text.data != NULL ? text.data : "", text.size, JSON_REJECT_DUPLICATES, &why);
    token_wipe(&text);
    if (root == NULL)
        return err_set(err, -EINVAL, "%s: line %d: %s", path, why.line, why.text);
    struct token_ring *ring = calloc(1, sizeof *ring);
    if (ring == NULL) {
        json_decref(root);
        return -ENOMEM;
    }
    ring->magic = TOKEN_RING_MAGIC;
    r = token_load_set(path, root, ring, err);
    json_decref(root);
    if (r < 0) {
        (void)token_ring_free(ring); /* always NULL */
        return r;
    }
    *ret = ring;
    return 0;
}
