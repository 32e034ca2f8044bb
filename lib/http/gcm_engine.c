/* SPDX-License-Identifier: Apache-2.0 */
/* libipsec-mb's AES-GCM functions, chosen by it for this processor, and the test that they work.
 * They take the key's and the message's data only, so that threads share nothing; the manager that
 * names them is needed no longer once they are known. */
#include "http/gcm_priv.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <string.h>

static struct gcm_engine gcm_engines[2];
static int gcm_engines_result;
static pthread_once_t gcm_engines_once = PTHREAD_ONCE_INIT;

/* Test cases 4 and 16 of "The Galois/Counter Mode of Operation (GCM)", McGrew and Viega, appendix
 * B, which NIST's validation suite took over: AAD of 20 bytes, and 60 bytes of data, so that the
 * last block is a partial one. */
static const uint8_t gcm_test_key[32] = {
    0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08,
    0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08};
static const uint8_t gcm_test_iv[GCM_IV_SIZE] = {0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce,
                                                 0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88};
static const uint8_t gcm_test_aad[20] = {0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe,
                                         0xef, 0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad,
                                         0xbe, 0xef, 0xab, 0xad, 0xda, 0xd2};
static const uint8_t gcm_test_plain[60] = {
    0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59, 0x09, 0xc5, 0xaf, 0xf5, 0x26,
    0x9a, 0x86, 0xa7, 0xa9, 0x53, 0x15, 0x34, 0xf7, 0xda, 0x2e, 0x4c, 0x30, 0x3d, 0x8a, 0x31,
    0x8a, 0x72, 0x1c, 0x3c, 0x0c, 0x95, 0x95, 0x68, 0x09, 0x53, 0x2f, 0xcf, 0x0e, 0x24, 0x49,
    0xa6, 0xb5, 0x25, 0xb1, 0x6a, 0xed, 0xf5, 0xaa, 0x0d, 0xe6, 0x57, 0xba, 0x63, 0x7b, 0x39};
static const uint8_t gcm_test_sealed[2][60] = {
    {0x42, 0x83, 0x1e, 0xc2, 0x21, 0x77, 0x74, 0x24, 0x4b, 0x72, 0x21, 0xb7, 0x84, 0xd0, 0xd4,
     0x9c, 0xe3, 0xaa, 0x21, 0x2f, 0x2c, 0x02, 0xa4, 0xe0, 0x35, 0xc1, 0x7e, 0x23, 0x29, 0xac,
     0xa1, 0x2e, 0x21, 0xd5, 0x14, 0xb2, 0x54, 0x66, 0x93, 0x1c, 0x7d, 0x8f, 0x6a, 0x5a, 0xac,
     0x84, 0xaa, 0x05, 0x1b, 0xa3, 0x0b, 0x39, 0x6a, 0x0a, 0xac, 0x97, 0x3d, 0x58, 0xe0, 0x91},
    {0x52, 0x2d, 0xc1, 0xf0, 0x99, 0x56, 0x7d, 0x07, 0xf4, 0x7f, 0x37, 0xa3, 0x2a, 0x84, 0x42,
     0x7d, 0x64, 0x3a, 0x8c, 0xdc, 0xbf, 0xe5, 0xc0, 0xc9, 0x75, 0x98, 0xa2, 0xbd, 0x25, 0x55,
     0xd1, 0xaa, 0x8c, 0xb0, 0x8e, 0x48, 0x59, 0x0d, 0xbb, 0x3d, 0xa7, 0xb0, 0x8b, 0x10, 0x56,
     0x82, 0x88, 0x38, 0xc5, 0xf6, 0x1e, 0x63, 0x93, 0xba, 0x7a, 0x0a, 0xbc, 0xc9, 0xf6, 0x62}};
static const uint8_t gcm_test_tag[2][GCM_TAG_SIZE] = {
    {0x5b, 0xc9, 0x4f, 0xbc, 0x32, 0x21, 0xa5, 0xdb, 0x94, 0xfa, 0xe9, 0x5a, 0xe7, 0x12, 0x1a,
     0x47},
    {0x76, 0xfc, 0x6e, 0xce, 0x0f, 0x4e, 0x17, 0x68, 0xcd, 0xdf, 0x88, 0x53, 0xbb, 0x2d, 0x55,
     0x1b}};

/* A whole message by one call, both ways. */
static bool gcm_engine_test_whole(const struct gcm_engine *e, const struct gcm_key_data *key,
                                  unsigned which)
{
    struct gcm_context_data state;
    uint8_t text[sizeof gcm_test_plain];
    uint8_t tag[GCM_TAG_SIZE];
    e->seal(key, &state, text, gcm_test_plain, sizeof text, gcm_test_iv, gcm_test_aad,
            sizeof gcm_test_aad, tag, sizeof tag);
    if (memcmp(text, gcm_test_sealed[which], sizeof text) != 0 ||
        memcmp(tag, gcm_test_tag[which], sizeof tag) != 0)
        return false;
    e->open(key, &state, text, text, sizeof text, gcm_test_iv, gcm_test_aad, sizeof gcm_test_aad,
            tag, sizeof tag);
    return memcmp(text, gcm_test_plain, sizeof text) == 0 &&
           memcmp(tag, gcm_test_tag[which], sizeof tag) == 0;
}

/* The same in two pieces that split a block. */
static bool gcm_engine_test_pieces(const struct gcm_engine *e, const struct gcm_key_data *key,
                                   unsigned which)
{
    enum { FIRST = 21 };
    struct gcm_context_data state;
    uint8_t text[sizeof gcm_test_plain];
    uint8_t tag[GCM_TAG_SIZE];
    e->begin(key, &state, gcm_test_iv, sizeof gcm_test_iv, gcm_test_aad, sizeof gcm_test_aad);
    e->seal_more(key, &state, text, gcm_test_plain, FIRST);
    e->seal_more(key, &state, text + FIRST, gcm_test_plain + FIRST, sizeof text - FIRST);
    e->seal_end(key, &state, tag, sizeof tag);
    if (memcmp(text, gcm_test_sealed[which], sizeof text) != 0 ||
        memcmp(tag, gcm_test_tag[which], sizeof tag) != 0)
        return false;
    e->begin(key, &state, gcm_test_iv, sizeof gcm_test_iv, gcm_test_aad, sizeof gcm_test_aad);
    e->open_more(key, &state, text, text, FIRST);
    e->open_more(key, &state, text + FIRST, text + FIRST, sizeof text - FIRST);
    e->open_end(key, &state, tag, sizeof tag);
    return memcmp(text, gcm_test_plain, sizeof text) == 0 &&
           memcmp(tag, gcm_test_tag[which], sizeof tag) == 0;
}

static bool gcm_engine_test(const struct gcm_engine *e, unsigned which)
{
    _Alignas(64) struct gcm_key_data key;
    e->expand(gcm_test_key, &key);
    return gcm_engine_test_whole(e, &key, which) && gcm_engine_test_pieces(e, &key, which);
}

static void gcm_engine_take(const IMB_MGR *m)
{
    gcm_engines[0] = (struct gcm_engine){
        .key_size = IMB_GCM_128_KEY_LEN,
        .expand = m->gcm128_pre,
        .begin = m->gcm128_init_var_iv,
        .seal_more = m->gcm128_enc_update,
        .open_more = m->gcm128_dec_update,
        .seal_end = m->gcm128_enc_finalize,
        .open_end = m->gcm128_dec_finalize,
        .seal = m->gcm128_enc,
        .open = m->gcm128_dec,
    };
    gcm_engines[1] = (struct gcm_engine){
        .key_size = IMB_GCM_256_KEY_LEN,
        .expand = m->gcm256_pre,
        .begin = m->gcm256_init_var_iv,
        .seal_more = m->gcm256_enc_update,
        .open_more = m->gcm256_dec_update,
        .seal_end = m->gcm256_enc_finalize,
        .open_end = m->gcm256_dec_finalize,
        .seal = m->gcm256_enc,
        .open = m->gcm256_dec,
    };
}

/* The library emulates AES without AES instructions, with tables: neither fast nor constant in
 * time. */
#define GCM_FEATURES (IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ)

static void gcm_engine_make(void)
{
    IMB_MGR *m = alloc_mb_mgr(0);
    if (m == NULL) {
        gcm_engines_result = -ENOMEM;
        return;
    }
    IMB_ARCH arch = IMB_ARCH_NONE;
    init_mb_mgr_auto(m, &arch);
    if (arch == IMB_ARCH_NONE || imb_get_errno(m) != 0 ||
        (m->features & GCM_FEATURES) != GCM_FEATURES) {
        gcm_engines_result = -ENOTSUP;
    } else {
        gcm_engine_take(m);
        for (unsigned i = 0; i < ARRAY_LEN(gcm_engines); i++)
            if (!gcm_engine_test(&gcm_engines[i], i))
                gcm_engines_result = -EBADMSG;
    }
    free_mb_mgr(m);
}

int gcm__engine_get(unsigned key_size, const struct gcm_engine **ret)
{
    (void)pthread_once(&gcm_engines_once, gcm_engine_make); /* fails for a bad argument only */
    if (gcm_engines_result < 0)
        return gcm_engines_result;
    for (unsigned i = 0; i < ARRAY_LEN(gcm_engines); i++) {
        if (gcm_engines[i].key_size == key_size) {
            *ret = &gcm_engines[i];
            return 0;
        }
    }
    return -ENOTSUP;
}
