/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL's named parameters. They are met with each record, so the given list is walked once, and
 * names are compared only as far as they differ. */
#include "http/gcm_priv.h"
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

/* --- of the algorithm ------------------------------------------------------------------------- */

int gcm__cipher_params(OSSL_PARAM params[], unsigned key_size)
{
    const struct {
        const char *name;
        size_t value;
    } rows[] = {
        {OSSL_CIPHER_PARAM_MODE, EVP_CIPH_GCM_MODE},
        {OSSL_CIPHER_PARAM_KEYLEN, key_size},
        {OSSL_CIPHER_PARAM_IVLEN, GCM_IV_SIZE},
        {OSSL_CIPHER_PARAM_BLOCK_SIZE, 1}, /* a stream */
        {OSSL_CIPHER_PARAM_AEAD, 1},
        {OSSL_CIPHER_PARAM_CUSTOM_IV, 1},
        {OSSL_CIPHER_PARAM_CTS, 0},
        {OSSL_CIPHER_PARAM_TLS1_MULTIBLOCK, 0},
        {OSSL_CIPHER_PARAM_HAS_RAND_KEY, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        OSSL_PARAM *p = OSSL_PARAM_locate(params, rows[i].name);
        if (p == NULL)
            continue;
        /* The mode is unsigned, the sizes size_t, the flags int: the setters convert. */
        if (OSSL_PARAM_set_size_t(p, rows[i].value) != 1)
            return 0;
    }
    return 1;
}

const OSSL_PARAM *gcm__gettable_of_cipher(void *provider)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_uint(OSSL_CIPHER_PARAM_MODE, NULL),
        OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, NULL),
        OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, NULL),
        OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_BLOCK_SIZE, NULL),
        OSSL_PARAM_int(OSSL_CIPHER_PARAM_AEAD, NULL),
        OSSL_PARAM_int(OSSL_CIPHER_PARAM_CUSTOM_IV, NULL),
        OSSL_PARAM_int(OSSL_CIPHER_PARAM_CTS, NULL),
        OSSL_PARAM_int(OSSL_CIPHER_PARAM_TLS1_MULTIBLOCK, NULL),
        OSSL_PARAM_int(OSSL_CIPHER_PARAM_HAS_RAND_KEY, NULL),
        OSSL_PARAM_END,
    };
    (void)provider;
    return params;
}

/* --- of a context: read ----------------------------------------------------------------------- */

static bool gcm_get_bytes(OSSL_PARAM *p, const void *data, size_t size)
{
    if (p->data_type == OSSL_PARAM_OCTET_PTR)
        return OSSL_PARAM_set_octet_ptr(p, data, size) == 1;
    return OSSL_PARAM_set_octet_string(p, data, size) == 1;
}

static bool gcm_get_tag(const struct gcm_cipher *c, OSSL_PARAM *p)
{
    size_t size = p->data_size;
    if (!c->is_sealing || c->tag_size == 0 || size == 0 || size > GCM_TAG_SIZE)
        return false;
    return OSSL_PARAM_set_octet_string(p, c->tag, size) == 1; /* a shorter tag is its beginning */
}

static bool gcm_get_param(struct gcm_cipher *c, OSSL_PARAM *p)
{
    if (strcmp(p->key, OSSL_CIPHER_PARAM_AEAD_TAG) == 0)
        return gcm_get_tag(c, p);
    if (strcmp(p->key, OSSL_CIPHER_PARAM_IVLEN) == 0)
        return OSSL_PARAM_set_size_t(p, c->iv_size) == 1;
    if (strcmp(p->key, OSSL_CIPHER_PARAM_AEAD_TLS1_AAD_PAD) == 0)
        return OSSL_PARAM_set_size_t(p, c->tls_aad_size != 0 ? GCM_TAG_SIZE : 0) == 1;
    if (strcmp(p->key, OSSL_CIPHER_PARAM_KEYLEN) == 0)
        return OSSL_PARAM_set_size_t(p, c->key.engine->key_size) == 1;
    if (strcmp(p->key, OSSL_CIPHER_PARAM_IV) == 0 ||
        strcmp(p->key, OSSL_CIPHER_PARAM_UPDATED_IV) == 0)
        return c->iv_state != GCM_IV_NONE && gcm_get_bytes(p, c->iv, c->iv_size);
    if (strcmp(p->key, OSSL_CIPHER_PARAM_AEAD_TLS1_GET_IV_GEN) == 0) {
        p->return_size = p->data_size;
        return p->data != NULL && p->data_type == OSSL_PARAM_OCTET_STRING &&
               gcm__tls_next_iv(c, p->data, p->data_size);
    }
    return true; /* what we do not know is left unset, which its asker sees */
}

int gcm__get_params(void *context, OSSL_PARAM params[])
{
    struct gcm_cipher *c = gcm__cipher_of(context);
    for (OSSL_PARAM *p = params; p != NULL && p->key != NULL; p++)
        if (!gcm_get_param(c, p))
            return 0;
    return 1;
}

const OSSL_PARAM *gcm__gettable(void *context, void *provider)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, NULL),
        OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, NULL),
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_IV, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_UPDATED_IV, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, NULL, 0),
        OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_AEAD_TLS1_AAD_PAD, NULL),
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_GET_IV_GEN, NULL, 0),
        OSSL_PARAM_END,
    };
    (void)context, (void)provider;
    return params;
}

/* --- of a context: written -------------------------------------------------------------------- */

/* Without bytes it says how long the tag will be, which is told again when it is asked for. */
static bool gcm_set_tag(struct gcm_cipher *c, const OSSL_PARAM *p)
{
    if (p->data_type != OSSL_PARAM_OCTET_STRING || p->data_size == 0 ||
        p->data_size > GCM_TAG_SIZE || (p->data != NULL && c->is_sealing))
        return false;
    if (p->data == NULL)
        return true;
    memcpy(c->tag, p->data, p->data_size);
    c->tag_size = (unsigned)p->data_size;
    return true;
}

static bool gcm_set_iv_size(struct gcm_cipher *c, const OSSL_PARAM *p)
{
    size_t size;
    return OSSL_PARAM_get_size_t(p, &size) == 1 && gcm__cipher_set_iv_size(c, size);
}

static bool gcm_set_key_size(const struct gcm_cipher *c, const OSSL_PARAM *p)
{
    size_t size;
    return OSSL_PARAM_get_size_t(p, &size) == 1 && size == c->key.engine->key_size;
}

static bool gcm_set_param(struct gcm_cipher *c, const OSSL_PARAM *p)
{
    typedef bool set_bytes(struct gcm_cipher *, const uint8_t *, size_t);
    set_bytes *set = NULL;
    if (strcmp(p->key, OSSL_CIPHER_PARAM_AEAD_TAG) == 0)
        return gcm_set_tag(c, p);
    if (strcmp(p->key, OSSL_CIPHER_PARAM_AEAD_TLS1_AAD) == 0)
        set = gcm__tls_set_aad;
    else if (strcmp(p->key, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED) == 0)
        set = gcm__tls_set_fixed;
    else if (strcmp(p->key, OSSL_CIPHER_PARAM_AEAD_TLS1_SET_IV_INV) == 0)
        set = gcm__tls_set_explicit;
    else if (strcmp(p->key, OSSL_CIPHER_PARAM_AEAD_IVLEN) == 0)
        return gcm_set_iv_size(c, p);
    else if (strcmp(p->key, OSSL_CIPHER_PARAM_KEYLEN) == 0)
        return gcm_set_key_size(c, p);
    if (set == NULL)
        return true;
    return p->data_type == OSSL_PARAM_OCTET_STRING && p->data != NULL &&
           set(c, p->data, p->data_size);
}

int gcm__set_params(void *context, const OSSL_PARAM params[])
{
    struct gcm_cipher *c = gcm__cipher_of(context);
    for (const OSSL_PARAM *p = params; p != NULL && p->key != NULL; p++)
        if (!gcm_set_param(c, p))
            return 0;
    return 1;
}

const OSSL_PARAM *gcm__settable(void *context, void *provider)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, NULL),
        OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_AEAD_IVLEN, NULL),
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_AAD, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_SET_IV_INV, NULL, 0),
        OSSL_PARAM_END,
    };
    (void)context, (void)provider;
    return params;
}
