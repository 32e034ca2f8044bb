/* SPDX-License-Identifier: Apache-2.0 */
/* The provider as a plain cipher: Wycheproof's vectors, and every other shape against OpenSSL's own
 * AES-GCM. argv[1]: the vectors. */
#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../unit.h"
#include "base/enc.h"
#include "http/gcm.h"

#define TAG 16

static const char *vectors_file;
static struct gcm_lib *lib;
static EVP_CIPHER *ours[2], *own[2]; /* AES-128, AES-256 */

static int setup(void **state)
{
    (void)state;
    static const char *const names[] = {"AES-128-GCM", "AES-256-GCM"};
    int r = gcm_lib_new(&lib);
    if (r < 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        ours[i] = EVP_CIPHER_fetch(lib->ctx, names[i], GCM_PROPERTIES);
        own[i] = EVP_CIPHER_fetch(NULL, names[i], NULL);
        assert_non_null(ours[i]);
        assert_non_null(own[i]);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        EVP_CIPHER_free(ours[i]);
        EVP_CIPHER_free(own[i]);
    }
    (void)gcm_lib_free(lib);
    return 0;
}

/* A generator of our own: the same bytes in each run. */
static uint32_t seed = 1;

static uint32_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed;
}

static void fill(uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)next_random();
}

struct message {
    const uint8_t *key, *iv, *aad, *in;
    size_t iv_size, aad_size, size;
    const size_t *cuts; /* where in is split; ends with SIZE_MAX; NULL: nowhere */
    size_t aad_cut;
};

static EVP_CIPHER_CTX *begin(const EVP_CIPHER *cipher, const struct message *m, int seal)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    assert_non_null(c);
    assert_int_equal(EVP_CipherInit_ex(c, cipher, NULL, NULL, NULL, seal), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_IVLEN, (int)m->iv_size, NULL), 1);
    assert_int_equal(EVP_CipherInit_ex(c, NULL, NULL, m->key, m->iv, seal), 1);
    int made;
    size_t first = MIN(m->aad_cut, m->aad_size);
    if (first > 0)
        assert_int_equal(EVP_CipherUpdate(c, NULL, &made, m->aad, (int)first), 1);
    if (first < m->aad_size)
        assert_int_equal(
            EVP_CipherUpdate(c, NULL, &made, m->aad + first, (int)(m->aad_size - first)), 1);
    return c;
}

static void feed(EVP_CIPHER_CTX *c, const struct message *m, uint8_t *out)
{
    size_t at = 0;
    for (const size_t *cut = m->cuts; at < m->size;) {
        size_t until = cut != NULL && *cut != SIZE_MAX ? *cut++ : m->size;
        int made = -1;
        assert_int_equal(EVP_CipherUpdate(c, out + at, &made, m->in + at, (int)(until - at)), 1);
        assert_int_equal(made, until - at);
        at = until;
    }
}

static void seal(const EVP_CIPHER *cipher, const struct message *m, uint8_t *out, uint8_t *tag)
{
    EVP_CIPHER_CTX *c = begin(cipher, m, 1);
    feed(c, m, out);
    int made = -1;
    assert_int_equal(EVP_CipherFinal_ex(c, out, &made), 1);
    assert_int_equal(made, 0);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TAG, tag), 1);
    EVP_CIPHER_CTX_free(c);
}

static bool open_with(const EVP_CIPHER *cipher, const struct message *m, uint8_t *out,
                      const uint8_t *tag, int tag_size)
{
    EVP_CIPHER_CTX *c = begin(cipher, m, 0);
    feed(c, m, out);
    assert_int_equal(
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, tag_size, (void *)(uintptr_t)tag), 1);
    int made = -1;
    bool ok = EVP_CipherFinal_ex(c, out, &made) == 1;
    EVP_CIPHER_CTX_free(c);
    return ok;
}

/* --- Wycheproof ------------------------------------------------------------------------------- */

static size_t hex(const json_t *test, const char *key, uint8_t *out, size_t out_size)
{
    const char *text = json_string_value(json_object_get(test, key));
    assert_non_null(text);
    size_t size = strlen(text) / 2;
    assert_true(size <= out_size);
    assert_int_equal(enc_unhex(str_of(text), out, size), 0);
    return size;
}

/* An IV of no bytes has no valid use: neither its length nor an initialisation is taken. */
static void check_no_iv(const EVP_CIPHER *cipher)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    assert_int_equal(EVP_CipherInit_ex(c, cipher, NULL, NULL, NULL, 1), 1);
    assert_int_not_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_IVLEN, 0, NULL), 1);
    EVP_CIPHER_CTX_free(c);
}

static void check_vector(const json_t *test)
{
    uint8_t key[32], iv[1024], aad[2048], msg[2048], ct[2048], tag[TAG], out[2048], made[TAG];
    struct message m = {.key = key, .iv = iv, .aad = aad, .in = msg, .aad_cut = 1};
    size_t key_size = hex(test, "key", key, sizeof key);
    m.iv_size = hex(test, "iv", iv, sizeof iv);
    m.aad_size = hex(test, "aad", aad, sizeof aad);
    m.size = hex(test, "msg", msg, sizeof msg);
    assert_int_equal(hex(test, "ct", ct, sizeof ct), m.size);
    assert_int_equal(hex(test, "tag", tag, sizeof tag), TAG);
    bool valid = strcmp(json_string_value(json_object_get(test, "result")), "valid") == 0;
    const EVP_CIPHER *cipher = ours[key_size == 32];
    if (m.iv_size == 0) {
        assert_false(valid);
        check_no_iv(cipher);
        return;
    }
    seal(cipher, &m, out, made);
    bool sealed = memcmp(out, ct, m.size) == 0 && memcmp(made, tag, TAG) == 0;
    m.in = ct;
    bool opened = open_with(cipher, &m, out, tag, TAG);
    if (sealed != valid || opened != valid)
        fail_msg("vector %d", (int)json_integer_value(json_object_get(test, "tcId")));
    if (valid)
        assert_memory_equal(out, msg, m.size);
}

static void test_wycheproof(void **state)
{
    (void)state;
    json_error_t error;
    json_t *root = json_load_file(vectors_file, 0, &error);
    if (root == NULL)
        fail_msg("%s: %s", vectors_file, error.text);
    json_t *tests = json_object_get(root, "tests");
    assert_int_equal(json_array_size(tests), 213);
    for (size_t i = 0; i < json_array_size(tests); i++)
        check_vector(json_array_get(tests, i));
    json_decref(root);
}

/* --- against OpenSSL's own --------------------------------------------------------------------
 */

#define SIZE 1100
static uint8_t key[32], iv[400], aad[SIZE], text[SIZE], want[SIZE], got[SIZE];
static uint8_t want_tag[TAG], got_tag[TAG];

static struct message fresh(size_t iv_size, size_t aad_size, size_t size)
{
    fill(key, sizeof key);
    fill(iv, iv_size);
    fill(aad, aad_size);
    fill(text, size);
    return (struct message){.key = key,
                            .iv = iv,
                            .aad = aad,
                            .in = text,
                            .iv_size = iv_size,
                            .aad_size = aad_size,
                            .size = size};
}

static void check_against_own(unsigned which, const struct message *m)
{
    memset(got, 0, sizeof got);
    seal(ours[which], m, got, got_tag);
    assert_memory_equal(got, want, m->size);
    assert_memory_equal(got_tag, want_tag, TAG);
    struct message back = *m;
    back.in = got; /* in place */
    assert_true(open_with(ours[which], &back, got, got_tag, TAG));
    assert_memory_equal(got, text, m->size);
}

static void test_every_split(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,  1,  15, 16,  17,  31,  32,  33,  47,  48,
                                   63, 64, 65, 127, 128, 129, 255, 256, 257, 400};
    for (unsigned which = 0; which < 2; which++) {
        for (size_t n = 0; n < ARRAY_LEN(sizes); n++) {
            struct message m = fresh(12, sizes[n] % 50, sizes[n]);
            seal(own[which], &m, want, want_tag);
            check_against_own(which, &m);
            for (size_t cut = 1; cut < m.size; cut++) {
                size_t cuts[] = {cut, SIZE_MAX};
                m.cuts = cuts;
                m.aad_cut = cut % 50;
                check_against_own(which, &m);
            }
        }
    }
}

static void test_many_pieces(void **state)
{
    (void)state;
    for (unsigned turn = 0; turn < 600; turn++) {
        unsigned which = turn & 1;
        struct message m = fresh(12, next_random() % 300, 1 + next_random() % (SIZE - 1));
        seal(own[which], &m, want, want_tag);
        size_t cuts[SIZE + 1];
        size_t count = 0;
        for (size_t at = 0;;) {
            at += 1 + next_random() % (1 + next_random() % 200);
            if (at >= m.size)
                break;
            cuts[count++] = at;
        }
        cuts[count] = SIZE_MAX;
        m.cuts = cuts;
        m.aad_cut = m.aad_size > 0 ? next_random() % m.aad_size : 0;
        check_against_own(which, &m);
    }
}

static void test_iv_lengths(void **state)
{
    (void)state;
    for (size_t size = 1; size <= 128; size++) { /* as far as OpenSSL's own goes */
        for (unsigned which = 0; which < 2; which++) {
            struct message m = fresh(size, 20, 100);
            seal(own[which], &m, want, want_tag);
            check_against_own(which, &m);
        }
    }
}

static void test_long_message(void **state)
{
    (void)state;
    enum { LONG = 1 << 20 };
    uint8_t *in = malloc(LONG), *a = malloc(LONG), *b = malloc(LONG);
    assert_true(in != NULL && a != NULL && b != NULL);
    fill(in, LONG);
    struct message m = fresh(12, 5, 0);
    m.in = in;
    m.size = LONG;
    m.aad = in; /* and long AAD */
    m.aad_size = 100000;
    m.aad_cut = 33333;
    for (unsigned which = 0; which < 2; which++) {
        seal(own[which], &m, a, want_tag);
        seal(ours[which], &m, b, got_tag);
        assert_memory_equal(a, b, LONG);
        assert_memory_equal(want_tag, got_tag, TAG);
    }
    free(in);
    free(a);
    free(b);
}

/* --- what must be refused --------------------------------------------------------------------- */

static void test_tampered(void **state)
{
    (void)state;
    for (unsigned which = 0; which < 2; which++) {
        struct message m = fresh(12, 13, 77);
        seal(ours[which], &m, got, got_tag);
        struct message back = m;
        back.in = got;
        for (unsigned bit = 0; bit < TAG * 8; bit++) {
            got_tag[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_false(open_with(ours[which], &back, want, got_tag, TAG));
            got_tag[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t i = 0; i < m.size; i++) {
            got[i] ^= 0x80;
            assert_false(open_with(ours[which], &back, want, got_tag, TAG));
            got[i] ^= 0x80;
        }
        for (size_t i = 0; i < m.aad_size; i++) {
            aad[i] ^= 1;
            assert_false(open_with(ours[which], &back, want, got_tag, TAG));
            aad[i] ^= 1;
        }
        for (int size = 1; size <= TAG; size++) { /* a shorter tag is checked as far as it goes */
            assert_true(open_with(ours[which], &back, want, got_tag, size));
            got_tag[size - 1] ^= 1;
            assert_false(open_with(ours[which], &back, want, got_tag, size));
            got_tag[size - 1] ^= 1;
        }
    }
}

static void test_misuse(void **state)
{
    (void)state;
    struct message m = fresh(12, 13, 50);
    int made;
    EVP_CIPHER_CTX *c = begin(ours[0], &m, 0);
    feed(c, &m, got);
    assert_int_not_equal(EVP_CipherFinal_ex(c, got, &made), 1); /* no tag to compare with */
    EVP_CIPHER_CTX_free(c);

    c = begin(ours[0], &m, 1);
    feed(c, &m, got);
    assert_int_not_equal(EVP_CipherUpdate(c, NULL, &made, aad, 1), 1); /* AAD comes first */
    assert_int_equal(EVP_CipherFinal_ex(c, got, &made), 1);
    assert_int_not_equal(EVP_CipherUpdate(c, got, &made, text, 16), 1); /* the IV is spent */
    assert_int_not_equal(EVP_CipherFinal_ex(c, got, &made), 1);
    assert_int_equal(EVP_CipherInit_ex(c, NULL, NULL, NULL, iv, 1), 1); /* another message */
    assert_int_equal(EVP_CipherUpdate(c, got, &made, text, 16), 1);
    EVP_CIPHER_CTX_free(c);

    c = EVP_CIPHER_CTX_new();
    assert_int_equal(EVP_CipherInit_ex(c, ours[0], NULL, NULL, iv, 1), 1);
    assert_int_not_equal(EVP_CipherUpdate(c, got, &made, text, 16), 1); /* no key */
    EVP_CIPHER_CTX_free(c);

    c = EVP_CIPHER_CTX_new();
    assert_int_equal(EVP_CipherInit_ex(c, ours[0], NULL, key, NULL, 1), 1);
    assert_int_not_equal(EVP_CipherUpdate(c, got, &made, text, 16), 1); /* no IV */
    assert_int_not_equal(EVP_CIPHER_CTX_set_key_length(c, 24), 1);
    assert_int_not_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 17, got), 1);
    EVP_CIPHER_CTX_free(c);
}

/* --- the rest --------------------------------------------------------------------------------- */

static void test_copy_goes_on(void **state)
{
    (void)state;
    int made;
    for (size_t iv_size = 12; iv_size <= 60; iv_size += 48) {
        struct message m = fresh(iv_size, 300, 200);
        seal(own[1], &m, want, want_tag);
        EVP_CIPHER_CTX *a = begin(ours[1], &m, 1); /* its AAD still waits, on the heap */
        EVP_CIPHER_CTX *b = EVP_CIPHER_CTX_new();
        assert_int_equal(EVP_CIPHER_CTX_copy(b, a), 1);
        assert_int_equal(EVP_CipherUpdate(a, got, &made, text, 50), 1);
        EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
        assert_int_equal(EVP_CIPHER_CTX_copy(c, a), 1);
        EVP_CIPHER_CTX_free(a);
        assert_int_equal(EVP_CipherUpdate(c, got + 50, &made, text + 50, 150), 1);
        assert_int_equal(EVP_CipherFinal_ex(c, got, &made), 1);
        assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TAG, got_tag), 1);
        assert_memory_equal(got, want, 200);
        assert_memory_equal(got_tag, want_tag, TAG);
        assert_int_equal(EVP_CipherUpdate(b, got, &made, text, 200), 1);
        assert_int_equal(EVP_CipherFinal_ex(b, got, &made), 1);
        assert_int_equal(EVP_CIPHER_CTX_ctrl(b, EVP_CTRL_AEAD_GET_TAG, TAG, got_tag), 1);
        assert_memory_equal(got_tag, want_tag, TAG);
        EVP_CIPHER_CTX_free(b);
        EVP_CIPHER_CTX_free(c);
    }
}

/* Expanded keys have a few hundred places a thread: more messages at a time than that, each a piece
 * here and a piece there, on two threads in turn. */
enum { KEYS = 600, KEY_STEPS = 4, KEY_PIECE = 50 };

struct key_crowd {
    EVP_CIPHER_CTX *contexts[KEYS];
    uint8_t out[KEYS][KEY_STEPS * KEY_PIECE];
    uint8_t in[KEY_STEPS * KEY_PIECE];
    unsigned step;
    unsigned failed;
};

static void *crowd_step(void *arg)
{
    struct key_crowd *k = arg;
    size_t at = (size_t)k->step * KEY_PIECE;
    for (unsigned i = 0; i < KEYS; i++) {
        int made = -1;
        k->failed +=
            EVP_CipherUpdate(k->contexts[i], k->out[i] + at, &made, k->in + at, KEY_PIECE) != 1;
        k->failed += made != KEY_PIECE;
    }
    return NULL;
}

static void crowd_elsewhere(struct key_crowd *k)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, crowd_step, k), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_more_keys_than_places(void **state)
{
    (void)state;
    static struct key_crowd k;
    static uint8_t keys[KEYS][32];
    static const uint8_t nonce[12];
    const struct message m = {
        .iv = nonce, .iv_size = sizeof nonce, .in = k.in, .size = sizeof k.in};
    int made;
    fill(k.in, sizeof k.in);
    for (unsigned i = 0; i < KEYS; i++) {
        fill(keys[i], sizeof keys[i]);
        struct message one = m;
        one.key = keys[i];
        k.contexts[i] = begin(ours[i % 2], &one, 1);
    }
    for (k.step = 0; k.step < KEY_STEPS; k.step++) {
        if (k.step % 2 == 0)
            (void)crowd_step(&k);
        else
            crowd_elsewhere(&k);
    }
    assert_int_equal(k.failed, 0);
    for (unsigned i = 0; i < KEYS; i++) {
        uint8_t sealed[sizeof k.in];
        struct message one = m;
        one.key = keys[i];
        seal(own[i % 2], &one, sealed, want_tag);
        assert_memory_equal(k.out[i], sealed, sizeof sealed);
        assert_int_equal(EVP_CipherFinal_ex(k.contexts[i], sealed, &made), 1);
        assert_int_equal(EVP_CIPHER_CTX_ctrl(k.contexts[i], EVP_CTRL_AEAD_GET_TAG, TAG, got_tag),
                         1);
        assert_memory_equal(got_tag, want_tag, TAG);
        EVP_CIPHER_CTX_free(k.contexts[i]);
    }
}

static void test_preferred(void **state)
{
    (void)state;
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_CIPHER_get0_provider(ours[0])), GCM_PROVIDER);
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_CIPHER_get0_provider(ours[1])), GCM_PROVIDER);
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_CIPHER_get0_provider(own[0])), "default");
    EVP_CIPHER *other = EVP_CIPHER_fetch(lib->ctx, "AES-192-GCM", GCM_PROPERTIES);
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_CIPHER_get0_provider(other)), "default");
    EVP_CIPHER_free(other);
    assert_int_equal(EVP_CIPHER_get_mode(ours[0]), EVP_CIPHER_get_mode(own[0]));
    assert_int_equal(EVP_CIPHER_get_flags(ours[0]), EVP_CIPHER_get_flags(own[0]));
    assert_int_equal(EVP_CIPHER_get_key_length(ours[1]), 32);
    assert_int_equal(EVP_CIPHER_get_nid(ours[1]), EVP_CIPHER_get_nid(own[1]));
}

static void test_measure(void **state)
{
    (void)state;
    struct gcm_speed s;
    assert_int_equal(gcm_measure(lib, &s), 0);
    for (int i = 0; i < 2; i++) {
        assert_true(s.ours_ns[i] > 0);
        assert_true(s.own_ns[i] > 0);
        print_message("AES-%d-GCM, 16 KiB: %llu ns, OpenSSL's own %llu ns\n", i == 0 ? 128 : 256,
                      (unsigned long long)s.ours_ns[i], (unsigned long long)s.own_ns[i]);
    }
    assert_false(gcm_is_faster(&(struct gcm_speed){{100, 100}, {100, 1000}}));
    assert_false(gcm_is_faster(&(struct gcm_speed){{100, 100}, {1000, 105}}));
    assert_true(gcm_is_faster(&(struct gcm_speed){{100, 100}, {200, 200}}));
}

int main(int argc, char **argv)
{
    assert_int_equal(argc, 2);
    vectors_file = argv[1];
    struct gcm_lib *probe = NULL;
    if (gcm_lib_new(&probe) == -ENOTSUP)
        return 77; /* not built, or not for this processor */
    (void)gcm_lib_free(probe);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wycheproof),
        cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_many_pieces),
        cmocka_unit_test(test_iv_lengths),
        cmocka_unit_test(test_long_message),
        cmocka_unit_test(test_tampered),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_copy_goes_on),
        cmocka_unit_test(test_preferred),
        cmocka_unit_test(test_measure),
        cmocka_unit_test(test_more_keys_than_places),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
