/* SPDX-License-Identifier: Apache-2.0 */
/* Records of TLS 1.3 as we seal them: RFC 8448's own, and what OpenSSL's functions open again. */
#include "http/tls_seal.h"
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>
#include "../unit.h"
#include "base/enc.h"
#include "base/id.h"

#define AES_128 0x1301
#define AES_256 0x1302

static size_t unhex(const char *text, uint8_t *out)
{
    size_t size = strlen(text) / 2;
    assert_int_equal(enc_unhex(str_of(text), out, size), 0);
    return size;
}

static struct tls_seal *seal_of(uint16_t cipher, const char *secret)
{
    uint8_t bytes[64];
    struct tls_seal *s = NULL;
    size_t size = unhex(secret, bytes);
    if (tls_seal_new(cipher, bytes, size, &s) == -ENOTSUP)
        skip(); /* this processor, or this build, has none */
    assert_non_null(s);
    return s;
}

static void record_is(struct tls_seal *s, enum tls_type type, const char *text, const char *wanted)
{
    uint8_t plain[256];
    uint8_t sealed[256];
    uint8_t expected[256];
    const struct iovec piece = {plain, unhex(text, plain)};
    struct tls_text at = {.pieces = &piece};
    size_t size = unhex(wanted, expected);
    assert_int_equal(piece.iov_len + TLS_RECORD_EXTRA, size);
    assert_int_equal(tls_seal_record(s, type, &at, piece.iov_len, sealed), 0);
    assert_memory_equal(sealed, expected, size);
}

/* RFC 8448 section 3: the server's records of a simple handshake. The first is a ticket. */
static void as_in_rfc_8448(void **state)
{
    (void)state;
    struct tls_seal *s =
        seal_of(AES_128, "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643");
    tls_seal_skip(s);
    record_is(
        s, TLS_DATA,
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
        "202122232425262728292a2b2c2d2e2f3031",
        "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602d"
        "cb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d");
    record_is(s, TLS_ALERT, "0100", "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9");
    (void)tls_seal_free(s);
}

/* --- opened again ----------------------------------------------------------------------------- */

static const char secret_256[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
                                 "202122232425262728292a2b2c2d2e2f";

struct opener {
    EVP_CIPHER_CTX *ctx;
    const EVP_CIPHER *cipher;
    const char *hash;
    uint8_t secret[48], key[32], iv[12];
    size_t secret_size, key_size;
    uint64_t sequence;
};

static void derive(const struct opener *o, const char *label, uint8_t *out, size_t size)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int("mode", &mode),
        OSSL_PARAM_construct_utf8_string("digest", (char *)(uintptr_t)o->hash, 0),
        OSSL_PARAM_construct_octet_string("key", (void *)(uintptr_t)o->secret, o->secret_size),
        OSSL_PARAM_construct_octet_string("prefix", (char *)(uintptr_t) "tls13 ", 6),
        OSSL_PARAM_construct_octet_string("label", (char *)(uintptr_t)label, strlen(label)),
        OSSL_PARAM_construct_end()};
    assert_int_equal(EVP_KDF_derive(ctx, out, size, params), 1);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}

static void opener_set(struct opener *o)
{
    derive(o, "key", o->key, o->key_size);
    derive(o, "iv", o->iv, sizeof o->iv);
    o->sequence = 0;
}

static void opener_update(struct opener *o)
{
    uint8_t next[48];
    derive(o, "traffic upd", next, o->secret_size);
    memcpy(o->secret, next, o->secret_size);
    opener_set(o);
}

static struct opener opener_of(bool is_256, const char *secret)
{
    struct opener o = {.ctx = EVP_CIPHER_CTX_new(),
                       .cipher = is_256 ? EVP_aes_256_gcm() : EVP_aes_128_gcm(),
                       .hash = is_256 ? "SHA384" : "SHA256",
                       .key_size = is_256 ? 32 : 16};
    o.secret_size = unhex(secret, o.secret);
    opener_set(&o);
    return o;
}

/* The record at in, by EVP; its inner type. */
static uint8_t open_record(struct opener *o, const uint8_t *in, uint8_t *out, size_t *ret_size)
{
    size_t sealed = (size_t)in[3] << 8 | in[4];
    uint8_t nonce[12];
    int n;
    memcpy(nonce, o->iv, sizeof nonce);
    for (unsigned i = 0; i < 8; i++)
        nonce[11 - i] ^= (uint8_t)(o->sequence >> (8 * i));
    o->sequence++;
    assert_memory_equal(in, "\x17\x03\x03", 3);
    assert_int_equal(EVP_DecryptInit_ex(o->ctx, o->cipher, NULL, o->key, nonce), 1);
    assert_int_equal(EVP_DecryptUpdate(o->ctx, NULL, &n, in, 5), 1);
    assert_int_equal(EVP_DecryptUpdate(o->ctx, out, &n, in + 5, (int)sealed - 16), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(o->ctx, EVP_CTRL_AEAD_SET_TAG, 16,
                                         (void *)(uintptr_t)(in + 5 + sealed - 16)),
                     1);
    assert_int_equal(EVP_DecryptFinal_ex(o->ctx, out + n, &n), 1);
    *ret_size = sealed - 17;
    return out[sealed - 17];
}

/* One text in pieces of any size, empty ones too, in records of any size. */
static void pieces_and_records_of_any_size(void **state)
{
    (void)state;
    enum { SIZE = 40000, PIECES = 400 };
    static uint8_t text[SIZE], opened[TLS_RECORD_SIZE_MAX + 1], again[SIZE];
    static uint8_t record[TLS_RECORD_SIZE_MAX + TLS_RECORD_EXTRA];
    static struct iovec pieces[PIECES];
    uint32_t random[PIECES];
    id_random(text, sizeof text);
    id_random(random, sizeof random);
    size_t at = 0;
    for (unsigned i = 0; i < PIECES; i++) {
        size_t size = i + 1 == PIECES ? SIZE - at : MIN(random[i] % 201, SIZE - at);
        pieces[i] = (struct iovec){text + at, size};
        at += size;
    }
    struct tls_seal *s = seal_of(AES_256, secret_256);
    struct opener o = opener_of(true, secret_256);
    struct tls_text from = {.pieces = pieces};
    size_t done = 0;
    for (unsigned i = 0; done < SIZE; i++) {
        size_t size = MIN(i == 1 ? TLS_RECORD_SIZE_MAX : random[i] % 3000, SIZE - done);
        size_t opened_size;
        assert_int_equal(tls_seal_record(s, TLS_DATA, &from, size, record), 0);
        assert_int_equal(open_record(&o, record, opened, &opened_size), TLS_DATA);
        assert_int_equal(opened_size, size);
        memcpy(again + done, opened, size);
        done += size;
    }
    assert_memory_equal(text, again, SIZE);
    EVP_CIPHER_CTX_free(o.ctx);
    (void)tls_seal_free(s);
}

static void keys_are_updated(void **state)
{
    (void)state;
    static const char secret[] = "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643";
    struct tls_seal *s = seal_of(AES_128, secret);
    struct opener o = opener_of(false, secret);
    uint8_t record[64];
    uint8_t opened[64];
    size_t size;
    for (unsigned i = 0; i < 3; i++) {
        const struct iovec piece = {(char *)(uintptr_t) "hello", 5};
        struct tls_text text = {.pieces = &piece};
        assert_false(tls_seal_is_due(s));
        tls_seal_ask_update(s);
        assert_true(tls_seal_is_due(s));
        assert_int_equal(tls_seal_update(s, record), 0);
        assert_int_equal(open_record(&o, record, opened, &size), TLS_HANDSHAKE);
        assert_int_equal(size + TLS_RECORD_EXTRA, TLS_UPDATE_SIZE);
        assert_memory_equal(opened, "\x18\0\0\x01\0", size);
        opener_update(&o);
        assert_int_equal(tls_seal_record(s, TLS_DATA, &text, 5, record), 0);
        assert_int_equal(open_record(&o, record, opened, &size), TLS_DATA);
        assert_memory_equal(opened, "hello", 5);
    }
    EVP_CIPHER_CTX_free(o.ctx);
    (void)tls_seal_free(s);
}

static void a_key_seals_so_many_records(void **state)
{
    (void)state;
    struct tls_seal *s = seal_of(AES_256, secret_256);
    uint8_t record[TLS_UPDATE_SIZE];
    for (unsigned i = 0; i < 1u << 24; i++) {
        if (tls_seal_is_due(s))
            fail_msg("after %u records", i);
        tls_seal_skip(s);
    }
    assert_true(tls_seal_is_due(s));
    assert_int_equal(tls_seal_update(s, record), 0);
    assert_false(tls_seal_is_due(s));
    (void)tls_seal_free(s);
}

static void others_are_refused(void **state)
{
    (void)state;
    uint8_t secret[48] = {0};
    struct tls_seal *s = NULL;
    assert_int_equal(tls_seal_new(0x1303, secret, 32, &s), -ENOTSUP); /* ChaCha20 */
    assert_int_equal(tls_seal_new(AES_128, secret, 48, &s), -ENOTSUP);
    assert_int_equal(tls_seal_new(AES_256, secret, 32, &s), -ENOTSUP);
    assert_null(s);
    assert_null(tls_seal_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_in_rfc_8448),     cmocka_unit_test(pieces_and_records_of_any_size),
        cmocka_unit_test(keys_are_updated),   cmocka_unit_test(a_key_seals_so_many_records),
        cmocka_unit_test(others_are_refused),
    };
    return cmocka_run_group_tests_name("tls_seal", tests, NULL, NULL);
}
