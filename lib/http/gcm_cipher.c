/* SPDX-License-Identifier: Apache-2.0 */
/* One key and one message at a time:
 *
 *   NONE -> set_iv -> READY -> aad* -> data* -> end -> SPENT -> set_iv -> READY ...
 *   READY becomes BUSY with the first data; then AAD comes too late.
 *   A message that was opened and whose tag does not match: end is false. What data gave out by
 *   then must not be used: that is so with every streaming AEAD, and its caller knows. */
#include "http/gcm_priv.h"
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/proverr.h>
#include <stdlib.h>
#include <string.h>

static void gcm_cipher_drop_aad(struct gcm_cipher *c)
{
    if (c->aad != c->aad_inline)
        OPENSSL_free(c->aad);
    c->aad = c->aad_inline;
    c->aad_cap_size = sizeof c->aad_inline;
    c->aad_size = 0;
}

struct gcm_cipher *gcm__cipher_new(const struct gcm_engine *engine)
{
    struct gcm_cipher *c = malloc(sizeof *c);
    if (c == NULL)
        return NULL;
    memset(c, 0, sizeof *c);
    c->magic = GCM_CIPHER_MAGIC;
    c->key.engine = engine;
    c->iv = c->iv_inline;
    c->iv_size = GCM_IV_SIZE;
    c->aad = c->aad_inline;
    gcm_cipher_drop_aad(c);
    return c;
}

void *gcm__cipher_dup(void *context)
{
    const struct gcm_cipher *from = gcm__cipher_of(context);
    struct gcm_cipher *c = gcm__cipher_new(from->key.engine);
    if (c == NULL)
        return NULL;
    memcpy(c, from, sizeof *c);
    c->aad = c->aad_inline;
    c->iv = c->iv_inline;
    if (from->aad != from->aad_inline)
        c->aad = OPENSSL_memdup(from->aad, from->aad_cap_size);
    if (from->iv != from->iv_inline)
        c->iv = OPENSSL_memdup(from->iv, from->iv_size);
    if (c->aad != NULL && c->iv != NULL)
        return c;
    gcm__cipher_free(c);
    return NULL;
}

void gcm__cipher_free(void *context)
{
    if (context == NULL)
        return;
    struct gcm_cipher *c = gcm__cipher_of(context);
    gcm_cipher_drop_aad(c);
    if (c->iv != c->iv_inline)
        OPENSSL_free(c->iv);
    gcm__key_forget(&c->key);
    OPENSSL_cleanse(c, sizeof *c); /* the key, and the magic */
    free(c);
}

bool gcm__cipher_set_key(struct gcm_cipher *c, const uint8_t *key, size_t size)
{
    if (size != c->key.engine->key_size) {
        ERR_raise(ERR_LIB_PROV, PROV_R_INVALID_KEY_LENGTH);
        return false;
    }
    gcm__key_forget(&c->key);
    gcm__key_set(&c->key, key);
    c->tls_records = 0;
    return true;
}

/* An IV of another length than the one before is none. */
bool gcm__cipher_set_iv_size(struct gcm_cipher *c, size_t size)
{
    if (size == c->iv_size)
        return true;
    if (size == 0 || size > GCM_IV_SIZE_MAX) {
        ERR_raise(ERR_LIB_PROV, PROV_R_INVALID_IV_LENGTH);
        return false;
    }
    uint8_t *iv = size <= sizeof c->iv_inline ? c->iv_inline : OPENSSL_malloc(size);
    if (iv == NULL)
        return false;
    if (c->iv != c->iv_inline)
        OPENSSL_free(c->iv);
    c->iv = iv;
    c->iv_size = (unsigned)size;
    c->iv_state = GCM_IV_NONE;
    c->tls_counts = false;
    return true;
}

bool gcm__cipher_set_iv(struct gcm_cipher *c, const uint8_t *iv, size_t size)
{
    if (!gcm__cipher_set_iv_size(c, size))
        return false;
    memcpy(c->iv, iv, size);
    c->iv_state = GCM_IV_READY;
    gcm_cipher_drop_aad(c); /* of a message that was given up */
    return true;
}

static bool gcm_cipher_grow_aad(struct gcm_cipher *c, size_t size)
{
    size_t wanted = MAX(size, (size_t)c->aad_cap_size * 2);
    uint8_t *fresh = OPENSSL_malloc(wanted);
    if (fresh == NULL)
        return false;
    memcpy(fresh, c->aad, c->aad_size);
    if (c->aad != c->aad_inline)
        OPENSSL_free(c->aad);
    c->aad = fresh;
    c->aad_cap_size = (uint32_t)wanted;
    return true;
}

bool gcm__cipher_aad(struct gcm_cipher *c, const uint8_t *data, size_t size)
{
    if (c->key.number == 0 || c->iv_state != GCM_IV_READY || size > GCM_AAD_MAX - c->aad_size)
        return false;
    if (c->aad_size + size > c->aad_cap_size && !gcm_cipher_grow_aad(c, c->aad_size + size))
        return false;
    memcpy(c->aad + c->aad_size, data, size);
    c->aad_size += (uint32_t)size;
    return true;
}

static bool gcm_cipher_begin(struct gcm_cipher *c, const struct gcm_key_data **ret_key)
{
    if (c->key.number == 0 || (c->iv_state != GCM_IV_BUSY && c->iv_state != GCM_IV_READY))
        return false;
    const struct gcm_key_data *key = gcm__key(&c->key);
    if (key == NULL)
        return false;
    *ret_key = key;
    if (c->iv_state == GCM_IV_BUSY)
        return true;
    c->key.engine->begin(key, &c->state, c->iv, c->iv_size, c->aad, c->aad_size);
    gcm_cipher_drop_aad(c);
    c->data_size = 0;
    c->iv_state = GCM_IV_BUSY;
    return true;
}

bool gcm__cipher_data(struct gcm_cipher *c, uint8_t *out, const uint8_t *in, size_t size)
{
    const struct gcm_key_data *key;
    if (!gcm_cipher_begin(c, &key) || size > GCM_DATA_MAX - c->data_size)
        return false;
    c->data_size += size;
    if (c->is_sealing)
        c->key.engine->seal_more(key, &c->state, out, in, size);
    else
        c->key.engine->open_more(key, &c->state, out, in, size);
    return true;
}

bool gcm__cipher_end(struct gcm_cipher *c)
{
    if (!c->is_sealing && c->tag_size == 0)
        return false; /* nothing to compare with: nothing may pass */
    const struct gcm_key_data *key;
    if (!gcm_cipher_begin(c, &key))
        return false;
    c->iv_state = GCM_IV_SPENT;
    if (c->is_sealing) {
        c->key.engine->seal_end(key, &c->state, c->tag, GCM_TAG_SIZE);
        c->tag_size = GCM_TAG_SIZE;
        return true;
    }
    uint8_t tag[GCM_TAG_SIZE];
    c->key.engine->open_end(key, &c->state, tag, sizeof tag);
    bool same = CRYPTO_memcmp(tag, c->tag, c->tag_size) == 0;
    OPENSSL_cleanse(tag, sizeof tag);
    return same;
}
