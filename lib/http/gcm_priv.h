/* SPDX-License-Identifier: Apache-2.0 */
/* gcm_priv: what the files of the AES-GCM provider share.
 *
 * Life:    engine: gcm__engine_get once, kept for the process. Cipher: gcm__cipher_new -> key, IV
 *          -> (AAD, data, tag) for each message -> gcm__cipher_free, which wipes it.
 * Owner:   the program owns the engine; OpenSSL's EVP_CIPHER_CTX owns a cipher.
 * Threads: the engine is read-only; a cipher is one thread's at a time.
 * Errors:  engine: 0 or -errno. Cipher functions are OpenSSL's: true or false, as its dispatch
 *          tables want.
 * Units:   bytes. */
#pragma once
#include <intel-ipsec-mb.h>
#include <openssl/core.h>
#include "http/gcm.h"

#define GCM_BLOCK_SIZE   16
#define GCM_TAG_SIZE     16
#define GCM_KEY_SIZE_MAX 32
#define GCM_IV_SIZE      12 /* the usual one, and TLS's */
#define GCM_IV_INLINE    16
#define GCM_IV_SIZE_MAX  1024      /* longer ones serve nobody */
#define GCM_AAD_INLINE   32        /* TLS has 5 or 13 */
#define GCM_AAD_MAX      (1 << 20) /* the library wants it in one piece: we gather */
#define GCM_DATA_MAX     (UINT64_C(0xfffffffe) * GCM_BLOCK_SIZE) /* SP 800-38D section 5.2.1.1 */

struct gcm_engine { /* libipsec-mb's functions for one key size */
    unsigned key_size;
    aes_gcm_pre_t expand;
    aes_gcm_init_var_iv_t begin;
    aes_gcm_enc_dec_update_t seal_more, open_more;
    aes_gcm_enc_dec_finalize_t seal_end, open_end;
    aes_gcm_enc_dec_t seal, open; /* a whole message, IV of 12 bytes */
};

/* The engine for keys of 16 or 32 bytes; the first call tests both with known answers. */
MUST_USE int gcm__engine_get(unsigned key_size, const struct gcm_engine **ret);

struct gcm_key { /* gcm_keys.c */
    const struct gcm_engine *engine;
    uint64_t number; /* 0: no key */
    uint8_t bytes[GCM_KEY_SIZE_MAX];
};

enum gcm_iv_state {
    GCM_IV_NONE,
    GCM_IV_READY, /* a message may begin */
    GCM_IV_BUSY,  /* data has been seen */
    GCM_IV_SPENT, /* the message ended: never again with this key */
};

struct gcm_cipher {
    uint32_t magic;
#define GCM_CIPHER_MAGIC UINT32_C(0x6c47a1d9)
    bool is_sealing;
    bool tls_counts;  /* TLS 1.2: the IV's tail is ours to count up */
    bool tls_counted; /* the present one was used */
    enum gcm_iv_state iv_state;
    unsigned iv_size;
    unsigned tag_size;     /* 0: none set, none made */
    unsigned tls_aad_size; /* not 0: the next update is one whole TLS 1.2 record */
    uint32_t aad_size;
    uint32_t aad_cap_size;
    struct gcm_key key;
    uint8_t *iv;  /* iv_inline, or the heap's */
    uint8_t *aad; /* the same */
    uint64_t data_size;
    uint64_t tls_records;
    uint8_t tag[GCM_TAG_SIZE]; /* made, or expected */
    uint8_t aad_inline[GCM_AAD_INLINE];
    uint8_t iv_inline[GCM_IV_INLINE];
    struct gcm_context_data state;
};

static inline struct gcm_cipher *gcm__cipher_of(void *context)
{
    struct gcm_cipher *c = context;
    ASSERT(c != NULL);
    ASSERT(c->magic == GCM_CIPHER_MAGIC);
    return c;
}

/* gcm_cipher.c */
struct gcm_cipher *gcm__cipher_new(const struct gcm_engine *engine);
void *gcm__cipher_dup(void *context);
void gcm__cipher_free(void *context);
bool gcm__cipher_set_key(struct gcm_cipher *c, const uint8_t *key, size_t size);
bool gcm__cipher_set_iv_size(struct gcm_cipher *c, size_t size);
bool gcm__cipher_set_iv(struct gcm_cipher *c, const uint8_t *iv, size_t size);
bool gcm__cipher_aad(struct gcm_cipher *c, const uint8_t *data, size_t size);
bool gcm__cipher_data(struct gcm_cipher *c, uint8_t *out, const uint8_t *in, size_t size);
bool gcm__cipher_end(struct gcm_cipher *c); /* makes the tag, or compares it */

/* gcm_keys.c */
void gcm__key_set(struct gcm_key *k, const uint8_t *key);
const struct gcm_key_data *gcm__key(const struct gcm_key *k); /* until the next; NULL: no memory */
void gcm__key_forget(const struct gcm_key *k);

/* gcm_tls.c: one record of TLS 1.2, in place: explicit nonce, data, tag. */
bool gcm__tls_set_aad(struct gcm_cipher *c, const uint8_t *aad, size_t size);
bool gcm__tls_set_fixed(struct gcm_cipher *c, const uint8_t *iv, size_t size);
bool gcm__tls_next_iv(struct gcm_cipher *c, uint8_t *out, size_t size);
bool gcm__tls_set_explicit(struct gcm_cipher *c, const uint8_t *iv, size_t size);
bool gcm__tls_record(struct gcm_cipher *c, uint8_t *out, const uint8_t *in, size_t size,
                     size_t *ret_size);

/* gcm_params.c */
int gcm__set_params(void *context, const OSSL_PARAM params[]);
int gcm__get_params(void *context, OSSL_PARAM params[]);
int gcm__cipher_params(OSSL_PARAM params[], unsigned key_size);
const OSSL_PARAM *gcm__settable(void *context, void *provider);
const OSSL_PARAM *gcm__gettable(void *context, void *provider);
const OSSL_PARAM *gcm__gettable_of_cipher(void *provider);

/* gcm_provider.c */
int gcm__provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                       const OSSL_DISPATCH **out, void **ret_context);
