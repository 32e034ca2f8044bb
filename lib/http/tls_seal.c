/* SPDX-License-Identifier: Apache-2.0 */
#include "http/tls_seal.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include "http/gcm_priv.h"

#define TLS_HEADER_SIZE     5
#define TLS_SECRET_SIZE_MAX 48                  /* SHA-384 */
#define TLS_SEAL_KEY_MAX    (UINT64_C(1) << 24) /* records; RFC 8446 section 5.5: 2^24.5 */
#define TLS_AES_128_GCM     UINT16_C(0x1301)    /* _SHA256 */
#define TLS_AES_256_GCM     UINT16_C(0x1302)    /* _SHA384 */

struct tls_seal {
    uint32_t magic;
#define TLS_SEAL_MAGIC UINT32_C(0xa3d5170e)
    bool update_wanted;
    uint8_t secret_size;
    uint8_t iv[GCM_IV_SIZE];
    uint64_t sequence;
    struct gcm_key key;
    uint8_t secret[TLS_SECRET_SIZE_MAX];
};

static void tls_seal_check(const struct tls_seal *s)
{
    ASSERT(s != NULL);
    ASSERT(s->magic == TLS_SEAL_MAGIC);
}

/* HKDF-Expand-Label without a context, of no more than one hash. */
static int tls_seal_expand(const struct tls_seal *s, const char *label, uint8_t *out, size_t size)
{
    static const char prefix[] = "tls13 ";
    uint8_t info[32] = {0, (uint8_t)size, (uint8_t)(strlen(prefix) + strlen(label))};
    size_t at = 3;
    memcpy(info + at, prefix, strlen(prefix));
    at += strlen(prefix);
    memcpy(info + at, label, strlen(label));
    at += strlen(label);
    info[at++] = 0; /* no context */
    info[at++] = 1; /* the first block of HKDF-Expand, RFC 5869 section 2.3 */
    const EVP_MD *hash = s->secret_size == TLS_SECRET_SIZE_MAX ? EVP_sha384() : EVP_sha256();
    uint8_t block[EVP_MAX_MD_SIZE];
    unsigned block_size = sizeof block;
    if (HMAC(hash, s->secret, s->secret_size, info, at, block, &block_size) == NULL)
        return -ENOMEM;
    ASSERT(size <= block_size);
    memcpy(out, block, size);
    OPENSSL_cleanse(block, sizeof block);
    return 0;
}

static int tls_seal_set_keys(struct tls_seal *s)
{
    uint8_t key[GCM_KEY_SIZE_MAX];
    int r = tls_seal_expand(s, "key", key, s->key.engine->key_size);
    if (r == 0)
        r = tls_seal_expand(s, "iv", s->iv, sizeof s->iv);
    if (r == 0) {
        gcm__key_forget(&s->key);
        gcm__key_set(&s->key, key);
        s->sequence = 0;
    }
    OPENSSL_cleanse(key, sizeof key);
    return r;
}

int tls_seal_new(uint16_t cipher, const uint8_t *secret, size_t secret_size, struct tls_seal **ret)
{
    static const struct {
        uint16_t cipher;
        uint8_t key_size, secret_size;
    } rows[] = {{TLS_AES_128_GCM, 16, 32}, {TLS_AES_256_GCM, 32, TLS_SECRET_SIZE_MAX}};
    unsigned i = 0;
    while (i < ARRAY_LEN(rows) && rows[i].cipher != cipher)
        i++;
    if (i == ARRAY_LEN(rows) || rows[i].secret_size != secret_size)
        return -ENOTSUP;
    const struct gcm_engine *engine;
    int r = gcm__engine_get(rows[i].key_size, &engine);
    if (r < 0)
        return r;
    struct tls_seal *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->magic = TLS_SEAL_MAGIC;
    s->key.engine = engine;
    s->secret_size = (uint8_t)secret_size;
    memcpy(s->secret, secret, secret_size);
    r = tls_seal_set_keys(s);
    if (r < 0)
        (void)tls_seal_free(s);
    else
        *ret = s;
    return r;
}

struct tls_seal *tls_seal_free(struct tls_seal *s)
{
    if (s == NULL)
        return NULL;
    tls_seal_check(s);
    gcm__key_forget(&s->key);
    OPENSSL_cleanse(s, sizeof *s); /* the secret, and the magic */
    free(s);
    return NULL;
}

void tls_seal_skip(struct tls_seal *s)
{
    tls_seal_check(s);
    s->sequence++;
}

/* The next size bytes go through the cipher; they may lie in several pieces. */
static void tls_seal_text(const struct tls_seal *s, const struct gcm_key_data *key,
                          struct gcm_context_data *state, struct tls_text *text, size_t size,
                          uint8_t *out)
{
    while (size > 0) {
        const struct iovec *piece = text->pieces;
        size_t part = MIN(size, piece->iov_len - text->used);
        if (part > 0)
            s->key.engine->seal_more(key, state, out, (const uint8_t *)piece->iov_base + text->used,
                                     part);
        out += part;
        size -= part;
        text->used += part;
        if (text->used == piece->iov_len) {
            text->pieces++;
            text->used = 0;
        }
    }
}

int tls_seal_record(struct tls_seal *s, enum tls_type type, struct tls_text *text, size_t size,
                    uint8_t *out)
{
    tls_seal_check(s);
    ASSERT(size <= TLS_RECORD_SIZE_MAX);
    const struct gcm_key_data *key = gcm__key(&s->key);
    if (key == NULL)
        return -ENOMEM;
    uint8_t nonce[GCM_IV_SIZE];
    memcpy(nonce, s->iv, sizeof nonce);
    for (unsigned i = 0; i < 8; i++)
        nonce[GCM_IV_SIZE - 1 - i] ^= (uint8_t)(s->sequence >> (8 * i));
    s->sequence++; /* never again with this key, whatever comes */
    size_t sealed = size + 1 + GCM_TAG_SIZE;
    uint8_t *at = out;
    *at++ = TLS_DATA; /* so it says of each */
    *at++ = 3;
    *at++ = 3;
    *at++ = (uint8_t)(sealed >> 8);
    *at++ = (uint8_t)sealed;
    struct gcm_context_data state;
    const uint8_t inner = (uint8_t)type;
    s->key.engine->begin(key, &state, nonce, sizeof nonce, out, TLS_HEADER_SIZE);
    tls_seal_text(s, key, &state, text, size, at);
    s->key.engine->seal_more(key, &state, at + size, &inner, 1);
    s->key.engine->seal_end(key, &state, at + size + 1, GCM_TAG_SIZE);
    return 0;
}

/* --- the next key ----------------------------------------------------------------------------- */

void tls_seal_ask_update(struct tls_seal *s)
{
    tls_seal_check(s);
    s->update_wanted = true;
}

bool tls_seal_is_due(const struct tls_seal *s)
{
    return s->update_wanted || s->sequence >= TLS_SEAL_KEY_MAX;
}

int tls_seal_update(struct tls_seal *s, uint8_t *out)
{
    static const char update[] = {24, 0, 0, 1, 0}; /* KeyUpdate, update_not_requested */
    const struct iovec piece = {(char *)(uintptr_t)update, sizeof update};
    struct tls_text text = {.pieces = &piece};
    uint8_t next[TLS_SECRET_SIZE_MAX];
    int r = tls_seal_expand(s, "traffic upd", next, s->secret_size);
    if (r == 0)
        r = tls_seal_record(s, TLS_HANDSHAKE, &text, sizeof update, out);
    if (r == 0) {
        memcpy(s->secret, next, s->secret_size);
        s->update_wanted = false;
        r = tls_seal_set_keys(s);
    }
    OPENSSL_cleanse(next, sizeof next);
    return r;
}
