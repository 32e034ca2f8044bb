/* SPDX-License-Identifier: Apache-2.0 */
#include "http/gcm.h"
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <stdlib.h>
#include <time.h>
#include "http/gcm_priv.h"

#define GCM_RECORD_SIZE   (16 << 10)
#define GCM_ROUNDS        12 /* the shortest counts: the others were interrupted */
#define GCM_ROUND_RECORDS 8
#define GCM_AAD_SIZE      5 /* as in TLS 1.3 */

struct gcm_lib *gcm_lib_free(struct gcm_lib *lib)
{
    if (lib == NULL)
        return NULL;
    if (lib->ours != NULL)
        (void)OSSL_PROVIDER_unload(lib->ours); /* fails when none is loaded only */
    if (lib->base != NULL)
        (void)OSSL_PROVIDER_unload(lib->base);
    OSSL_LIB_CTX_free(lib->ctx);
    free(lib);
    return NULL;
}

int gcm_lib_new(struct gcm_lib **ret)
{
    const struct gcm_engine *engine;
    int r = gcm__engine_get(IMB_GCM_128_KEY_LEN, &engine);
    if (r < 0)
        return r;
    struct gcm_lib *lib = calloc(1, sizeof *lib);
    if (lib == NULL)
        return -ENOMEM;
    lib->ctx = OSSL_LIB_CTX_new();
    /* One that is loaded by name ends the library's habit of loading its own by itself. */
    if (lib->ctx != NULL)
        lib->base = OSSL_PROVIDER_load(lib->ctx, "default");
    if (lib->base != NULL &&
        OSSL_PROVIDER_add_builtin(lib->ctx, GCM_PROVIDER, gcm__provider_init) == 1)
        lib->ours = OSSL_PROVIDER_load(lib->ctx, GCM_PROVIDER);
    if (lib->ours == NULL) {
        (void)gcm_lib_free(lib);
        return -ENOTSUP;
    }
    *ret = lib;
    return 0;
}

static uint64_t gcm_now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail with this clock */
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The calls that TLS 1.3 makes for one record. */
static bool gcm_measure_record(EVP_CIPHER_CTX *c, uint8_t *text)
{
    static const uint8_t iv[GCM_IV_SIZE];
    static const uint8_t aad[GCM_AAD_SIZE];
    uint8_t tag[GCM_TAG_SIZE];
    int made;
    return EVP_CipherInit_ex(c, NULL, NULL, NULL, iv, 1) == 1 &&
           EVP_CipherUpdate(c, NULL, &made, aad, sizeof aad) == 1 &&
           EVP_CipherUpdate(c, text, &made, text, GCM_RECORD_SIZE) == 1 &&
           EVP_CipherFinal_ex(c, text + GCM_RECORD_SIZE, &made) == 1 &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, sizeof tag, tag) == 1;
}

static int gcm_measure_one(EVP_CIPHER_CTX *c, const EVP_CIPHER *cipher, uint64_t *ret_ns)
{
    static const uint8_t key[32];
    static const uint8_t iv[GCM_IV_SIZE];
    uint8_t text[GCM_RECORD_SIZE + GCM_TAG_SIZE] = {0};
    uint64_t best = UINT64_MAX;
    if (EVP_CipherInit_ex(c, cipher, NULL, key, iv, 1) != 1)
        return -ENOTSUP;
    for (unsigned i = 0; i < GCM_ROUNDS; i++) {
        uint64_t from = gcm_now_ns();
        for (unsigned n = 0; n < GCM_ROUND_RECORDS; n++)
            if (!gcm_measure_record(c, text))
                return -EBADMSG;
        best = MIN(best, (gcm_now_ns() - from) / GCM_ROUND_RECORDS);
    }
    *ret_ns = best;
    return 0;
}

static int gcm_measure_with(const struct gcm_lib *lib, const char *name, const char *properties,
                            uint64_t *ret_ns)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(lib->ctx, name, properties);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int r = cipher == NULL ? -ENOTSUP : c == NULL ? -ENOMEM : 0;
    if (r == 0)
        r = gcm_measure_one(c, cipher, ret_ns);
    EVP_CIPHER_CTX_free(c); /* takes NULL, as the next does */
    EVP_CIPHER_free(cipher);
    return r;
}

int gcm_measure(const struct gcm_lib *lib, struct gcm_speed *ret)
{
    static const char *const names[] = {"AES-128-GCM", "AES-256-GCM"};
    struct gcm_speed s = {{0}, {0}};
    int r = 0;
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(names); i++) {
        r = gcm_measure_with(lib, names[i], "provider=" GCM_PROVIDER, &s.ours_ns[i]);
        if (r == 0)
            r = gcm_measure_with(lib, names[i], "provider=default", &s.own_ns[i]);
    }
    if (r == 0)
        *ret = s;
    return r;
}

bool gcm_is_faster(const struct gcm_speed *s)
{
    for (unsigned i = 0; i < ARRAY_LEN(s->ours_ns); i++)
        if (s->ours_ns[i] == 0 || s->ours_ns[i] * 10 > s->own_ns[i] * 9)
            return false;
    return true;
}
