/* SPDX-License-Identifier: Apache-2.0 */
/* The provider's tables: what OpenSSL calls, and with which key size. */
#include "http/gcm_priv.h"
#include <errno.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/proverr.h>
#include <stdlib.h>

/* --- the operations --------------------------------------------------------------------------- */

static void *gcm_new(unsigned key_size)
{
    const struct gcm_engine *engine;
    if (gcm__engine_get(key_size, &engine) < 0)
        return NULL;
    return gcm__cipher_new(engine);
}

static void *gcm_new_128(void *provider)
{
    (void)provider;
    return gcm_new(IMB_GCM_128_KEY_LEN);
}

static void *gcm_new_256(void *provider)
{
    (void)provider;
    return gcm_new(IMB_GCM_256_KEY_LEN);
}

static int gcm_params_128(OSSL_PARAM params[])
{
    return gcm__cipher_params(params, IMB_GCM_128_KEY_LEN);
}

static int gcm_params_256(OSSL_PARAM params[])
{
    return gcm__cipher_params(params, IMB_GCM_256_KEY_LEN);
}

static int gcm_init(void *context, const uint8_t *key, size_t key_size, const uint8_t *iv,
                    size_t iv_size, const OSSL_PARAM params[], bool is_sealing)
{
    struct gcm_cipher *c = gcm__cipher_of(context);
    c->is_sealing = is_sealing;
    if (key != NULL && !gcm__cipher_set_key(c, key, key_size))
        return 0;
    if (iv != NULL && !gcm__cipher_set_iv(c, iv, iv_size))
        return 0;
    return gcm__set_params(c, params);
}

static int gcm_seal_init(void *context, const uint8_t *key, size_t key_size, const uint8_t *iv,
                         size_t iv_size, const OSSL_PARAM params[])
{
    return gcm_init(context, key, key_size, iv, iv_size, params, true);
}

static int gcm_open_init(void *context, const uint8_t *key, size_t key_size, const uint8_t *iv,
                         size_t iv_size, const OSSL_PARAM params[])
{
    return gcm_init(context, key, key_size, iv, iv_size, params, false);
}

/* out NULL: AAD. in NULL: the end. */
static int gcm_cipher(void *context, uint8_t *out, size_t *ret_size, size_t out_size,
                      const uint8_t *in, size_t size)
{
    struct gcm_cipher *c = gcm__cipher_of(context);
    if (out != NULL && out_size < size) {
        ERR_raise(ERR_LIB_PROV, PROV_R_OUTPUT_BUFFER_TOO_SMALL);
        return 0;
    }
    bool ok;
    size_t made = size;
    if (c->tls_aad_size != 0)
        ok = gcm__tls_record(c, out, in, size, &made);
    else if (in == NULL)
        ok = gcm__cipher_end(c);
    else if (out == NULL)
        ok = gcm__cipher_aad(c, in, size);
    else
        ok = gcm__cipher_data(c, out, in, size);
    if (!ok) {
        ERR_raise(ERR_LIB_PROV, PROV_R_CIPHER_OPERATION_FAILED);
        return 0;
    }
    *ret_size = in != NULL ? made : 0;
    return 1;
}

static int gcm_update(void *context, uint8_t *out, size_t *ret_size, size_t out_size,
                      const uint8_t *in, size_t size)
{
    if (size == 0) {
        *ret_size = 0;
        return 1;
    }
    return gcm_cipher(context, out, ret_size, out_size, in, size);
}

static int gcm_final(void *context, uint8_t *out, size_t *ret_size, size_t out_size)
{
    (void)out;
    return gcm_cipher(context, NULL, ret_size, out_size, NULL, 0);
}

/* --- the tables ------------------------------------------------------------------------------- */

#define GCM_ENTRY(id, function)                                                                    \
    {                                                                                              \
        id, (void (*)(void))(function)                                                             \
    }
#define GCM_TABLE(bits)                                                                            \
    {                                                                                              \
        GCM_ENTRY(OSSL_FUNC_CIPHER_NEWCTX, gcm_new_##bits),                                        \
            GCM_ENTRY(OSSL_FUNC_CIPHER_FREECTX, gcm__cipher_free),                                 \
            GCM_ENTRY(OSSL_FUNC_CIPHER_DUPCTX, gcm__cipher_dup),                                   \
            GCM_ENTRY(OSSL_FUNC_CIPHER_ENCRYPT_INIT, gcm_seal_init),                               \
            GCM_ENTRY(OSSL_FUNC_CIPHER_DECRYPT_INIT, gcm_open_init),                               \
            GCM_ENTRY(OSSL_FUNC_CIPHER_UPDATE, gcm_update),                                        \
            GCM_ENTRY(OSSL_FUNC_CIPHER_FINAL, gcm_final),                                          \
            GCM_ENTRY(OSSL_FUNC_CIPHER_CIPHER, gcm_cipher),                                        \
            GCM_ENTRY(OSSL_FUNC_CIPHER_GET_PARAMS, gcm_params_##bits),                             \
            GCM_ENTRY(OSSL_FUNC_CIPHER_GET_CTX_PARAMS, gcm__get_params),                           \
            GCM_ENTRY(OSSL_FUNC_CIPHER_SET_CTX_PARAMS, gcm__set_params),                           \
            GCM_ENTRY(OSSL_FUNC_CIPHER_GETTABLE_PARAMS, gcm__gettable_of_cipher),                  \
            GCM_ENTRY(OSSL_FUNC_CIPHER_GETTABLE_CTX_PARAMS, gcm__gettable),                        \
            GCM_ENTRY(OSSL_FUNC_CIPHER_SETTABLE_CTX_PARAMS, gcm__settable),                        \
        {                                                                                          \
            0, NULL                                                                                \
        }                                                                                          \
    }

static const OSSL_DISPATCH gcm_table_128[] = GCM_TABLE(128);
static const OSSL_DISPATCH gcm_table_256[] = GCM_TABLE(256);

#define GCM_DEFINITION "provider=" GCM_PROVIDER
static const OSSL_ALGORITHM gcm_algorithms[] = {
    {"AES-128-GCM:id-aes128-GCM:2.16.840.1.101.3.4.1.6", GCM_DEFINITION, gcm_table_128,
     "AES-128-GCM of libipsec-mb"},
    {"AES-256-GCM:id-aes256-GCM:2.16.840.1.101.3.4.1.46", GCM_DEFINITION, gcm_table_256,
     "AES-256-GCM of libipsec-mb"},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM *gcm_query(void *provider, int operation, int *ret_no_cache)
{
    (void)provider;
    *ret_no_cache = 0;
    return operation == OSSL_OP_CIPHER ? gcm_algorithms : NULL;
}

static int gcm_provider_params(void *provider, OSSL_PARAM params[])
{
    (void)provider;
    OSSL_PARAM *p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_NAME);
    if (p != NULL && OSSL_PARAM_set_utf8_ptr(p, "AES-GCM of libipsec-mb") != 1)
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_VERSION);
    if (p != NULL && OSSL_PARAM_set_utf8_ptr(p, WEIR_VERSION) != 1)
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_STATUS);
    return p == NULL || OSSL_PARAM_set_int(p, 1) == 1;
}

int gcm__provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                       const OSSL_DISPATCH **out, void **ret_context)
{
    static const OSSL_DISPATCH table[] = {
        GCM_ENTRY(OSSL_FUNC_PROVIDER_QUERY_OPERATION, gcm_query),
        GCM_ENTRY(OSSL_FUNC_PROVIDER_GET_PARAMS, gcm_provider_params),
        {0, NULL},
    };
    (void)handle, (void)in;
    const struct gcm_engine *engine;
    if (gcm__engine_get(IMB_GCM_128_KEY_LEN, &engine) < 0)
        return 0;
    static char context; /* there is nothing to keep, but NULL would read as a failure */
    *ret_context = &context;
    *out = table;
    return 1;
}
