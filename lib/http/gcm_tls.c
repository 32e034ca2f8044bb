/* SPDX-License-Identifier: Apache-2.0 */
/* TLS 1.2 gives a whole record at once, in place, and asks for what RFC 5288 says: 8 bytes of nonce
 * that go with the record, the data, the tag.
 *
 *   set_fixed (4 bytes, once) -> for each record: set_aad (13 bytes) -> record
 *
 * The nonce is a counter from zero: unique for a key, as that RFC's section 3 wants it. */
#include "http/gcm_priv.h"
#include <openssl/crypto.h>
#include <string.h>

#define GCM_TLS_AAD_SIZE   13
#define GCM_TLS_FIXED_SIZE 4
#define GCM_TLS_NONCE_SIZE 8
#define GCM_TLS_EXTRA      (GCM_TLS_NONCE_SIZE + GCM_TAG_SIZE)

bool gcm__tls_set_aad(struct gcm_cipher *c, const uint8_t *aad, size_t size)
{
    if (size != GCM_TLS_AAD_SIZE)
        return false;
    /* Its last two bytes are the record's length as sent; what is sealed is shorter. */
    size_t length = (size_t)aad[size - 2] << 8 | aad[size - 1];
    size_t extra = c->is_sealing ? GCM_TLS_NONCE_SIZE : GCM_TLS_EXTRA;
    if (length < extra)
        return false;
    length -= extra;
    _Static_assert(GCM_TLS_AAD_SIZE <= GCM_AAD_INLINE, "the AAD of TLS needs no heap");
    memcpy(c->aad_inline, aad, size);
    c->aad_inline[size - 2] = (uint8_t)(length >> 8);
    c->aad_inline[size - 1] = (uint8_t)length;
    c->tls_aad_size = (unsigned)size;
    return true;
}

bool gcm__tls_set_fixed(struct gcm_cipher *c, const uint8_t *iv, size_t size)
{
    if (c->iv_size < GCM_TLS_NONCE_SIZE)
        return false;
    if (size == SIZE_MAX) { /* OpenSSL's way to say: the whole IV, as it was read out before */
        memcpy(c->iv, iv, c->iv_size);
    } else {
        if (size < GCM_TLS_FIXED_SIZE || size > c->iv_size - GCM_TLS_NONCE_SIZE)
            return false;
        memcpy(c->iv, iv, size);
        memset(c->iv + size, 0, c->iv_size - size);
    }
    c->tls_counts = true;
    c->tls_counted = false;
    c->iv_state = GCM_IV_READY;
    return true;
}

static void gcm_tls_count(struct gcm_cipher *c)
{
    for (unsigned i = c->iv_size; i > c->iv_size - GCM_TLS_NONCE_SIZE; i--)
        if (++c->iv[i - 1] != 0)
            break;
}

bool gcm__tls_next_iv(struct gcm_cipher *c, uint8_t *out, size_t size)
{
    if (!c->tls_counts || c->key.number == 0 || size == 0)
        return false;
    if (c->tls_counted)
        gcm_tls_count(c);
    c->tls_counted = true;
    c->iv_state = GCM_IV_READY;
    size = MIN(size, (size_t)c->iv_size);
    memcpy(out, c->iv + c->iv_size - size, size);
    return true;
}

bool gcm__tls_set_explicit(struct gcm_cipher *c, const uint8_t *iv, size_t size)
{
    if (!c->tls_counts || c->key.number == 0 || c->is_sealing || size > c->iv_size)
        return false;
    memcpy(c->iv + c->iv_size - size, iv, size);
    c->iv_state = GCM_IV_READY;
    return true;
}

static bool gcm_tls_seal(struct gcm_cipher *c, uint8_t *record, size_t size)
{
    const struct gcm_key_data *key = gcm__key(&c->key);
    if (key == NULL || ++c->tls_records == 0 || !gcm__tls_next_iv(c, record, GCM_TLS_NONCE_SIZE))
        return false;
    uint8_t *text = record + GCM_TLS_NONCE_SIZE;
    c->key.engine->seal(key, &c->state, text, text, size, c->iv, c->aad_inline, c->tls_aad_size,
                        text + size, GCM_TAG_SIZE);
    return true;
}

static bool gcm_tls_open(struct gcm_cipher *c, uint8_t *record, size_t size)
{
    const struct gcm_key_data *key = gcm__key(&c->key);
    if (key == NULL || !gcm__tls_set_explicit(c, record, GCM_TLS_NONCE_SIZE))
        return false;
    uint8_t *text = record + GCM_TLS_NONCE_SIZE;
    uint8_t tag[GCM_TAG_SIZE];
    c->key.engine->open(key, &c->state, text, text, size, c->iv, c->aad_inline, c->tls_aad_size,
                        tag, sizeof tag);
    bool same = CRYPTO_memcmp(tag, text + size, sizeof tag) == 0;
    if (!same)
        OPENSSL_cleanse(text, size);
    OPENSSL_cleanse(tag, sizeof tag);
    return same;
}

bool gcm__tls_record(struct gcm_cipher *c, uint8_t *out, const uint8_t *in, size_t size,
                     size_t *ret_size)
{
    /* The one-call functions know IVs of 12 bytes only. TLS has no others. */
    bool ok = c->key.number != 0 && in == out && size >= GCM_TLS_EXTRA && c->iv_size == GCM_IV_SIZE;
    if (ok && c->is_sealing)
        ok = gcm_tls_seal(c, out, size - GCM_TLS_EXTRA);
    else if (ok)
        ok = gcm_tls_open(c, out, size - GCM_TLS_EXTRA);
    c->iv_state = GCM_IV_SPENT;
    c->tls_aad_size = 0;
    if (ok)
        *ret_size = c->is_sealing ? size : size - GCM_TLS_EXTRA;
    return ok;
}
