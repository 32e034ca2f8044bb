/* SPDX-License-Identifier: Apache-2.0 */
/* JWS by sets of keys: Wycheproof's vectors, libjwt as the other implementation, and the classic
 * ways to be fooled: alg none, HS256 with the public key, a swapped kid. */
#include "token/jwks.h"
#include <errno.h>
#include <jwt.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <time.h>
#include "base/enc.h"
#include "base/file.h"
#include "token/token_priv.h"
#include "../unit.h"

static const char *vectors_file;

static struct jwks *set_of(json_t *key)
{
    struct jwks *set = NULL;
    struct err err = {""};
    json_t *root = json_pack("{s:[O]}", "keys", key);
    assert_int_equal(jwks_of(root, &set, &err), 0);
    json_decref(root);
    return set;
}

static int verify(const struct jwks *set, const char *token, char *out, size_t out_size)
{
    CLEAN_BUF struct buf payload = BUF_EMPTY;
    int r = jwks_verify(set, str_of(token), &payload);
    if (r < 0)
        assert_int_equal(payload.size, 0);
    else if (out != NULL)
        assert_int_equal(str_copy(buf_str(&payload), out, out_size), 0);
    return r;
}

/* --- Wycheproof ------------------------------------------------------------------------------- */

/* The URI tokens' ring has the symmetric keys, and the same P-256 ones as PEM. */
static struct token_ring *ring_of(const json_t *key, char folder[64])
{
    char path[128];
    char text[2048];
    struct err err = {""};
    struct token_ring *ring = NULL;
    assert_int_equal(str_copy(STR("/tmp/weir-jwks-XXXXXX"), folder, 64), 0);
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/ring.json", folder);
    (void)snprintf(text, sizeof text,
                   "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"%s\",\"alg\":\"HS256\",\"k\":\"%s\"}]}",
                   json_string_value(json_object_get(key, "kid")),
                   json_string_value(json_object_get(key, "k")));
    assert_int_equal(file_write(path, str_of(text), 0600), 0);
    if (token_ring_load(path, &ring, &err) < 0)
        fail_msg("%s", err.text);
    return ring;
}

struct tally {
    unsigned taken, refused, beyond; /* beyond: valid, by an algorithm that we do not speak */
};

/* Four vectors are not what they say: 367 and 370 are byte for byte the valid 357 (the padding was
 * lost), and 372 and 373 have a '?' inside, which RFC 7515 section 5.2 does not let pass. */
static bool is_valid(const json_t *test)
{
    switch (json_integer_value(json_array_get(test, 0))) {
    case 367:
    case 370:
        return true;
    case 372:
    case 373:
        return false;
    default:
        return json_is_true(json_array_get(test, 1));
    }
}

static void check_secret_group(json_t *group, struct tally *tally)
{
    char folder[64];
    size_t i;
    json_t *test;
    struct token_ring *ring = ring_of(json_object_get(group, "secret"), folder);
    struct jwks *set = set_of(json_object_get(group, "secret"));
    assert_int_equal(jwks_count(set), 0); /* a secret is never a key of such a set */
    json_array_foreach(json_object_get(group, "tests"), i, test)
    {
        CLEAN_BUF struct buf payload = BUF_EMPTY;
        const struct token_key *key = NULL;
        const char *jws = json_string_value(json_array_get(test, 3));
        int r = token__jws_verify(ring, str_of(jws), &payload, &key);
        if ((r == 0) != is_valid(test))
            fail_msg("vector %d, %s: %d", (int)json_integer_value(json_array_get(test, 0)),
                     json_string_value(json_array_get(test, 2)), r);
        assert_true(verify(set, jws, NULL, 0) < 0);
        r == 0 ? tally->taken++ : tally->refused++;
    }
    jwks_free(set);
    token_ring_free(ring);
    assert_int_equal(file_remove_all(folder), 0);
}

static void check_public_group(json_t *group, struct tally *tally)
{
    json_t *key = json_object_get(group, "public");
    const char *alg = json_string_value(json_object_get(key, "alg"));
    bool spoken = alg == NULL || strcmp(alg, "RS256") == 0 || strcmp(alg, "ES256") == 0;
    size_t i;
    json_t *test;
    struct jwks *set = set_of(key);
    json_array_foreach(json_object_get(group, "tests"), i, test)
    {
        bool valid = is_valid(test);
        int r = verify(set, json_string_value(json_array_get(test, 3)), NULL, 0);
        if ((r == 0) != (valid && spoken))
            fail_msg("vector %d, %s: %d", (int)json_integer_value(json_array_get(test, 0)),
                     json_string_value(json_array_get(test, 2)), r);
        if (valid && !spoken)
            tally->beyond++;
        else
            r == 0 ? tally->taken++ : tally->refused++;
    }
    jwks_free(set);
}

static void test_wycheproof(void **state)
{
    (void)state;
    json_error_t error;
    size_t i;
    json_t *group;
    struct tally tally = {0};
    json_t *root = json_load_file(vectors_file, 0, &error);
    if (root == NULL)
        fail_msg("%s: %s", vectors_file, error.text);
    json_array_foreach(json_object_get(root, "groups"), i, group)
    {
        if (json_is_null(json_object_get(group, "public")))
            check_secret_group(group, &tally);
        else
            check_public_group(group, &tally);
    }
    json_decref(root);
    assert_int_equal(tally.taken + tally.refused + tally.beyond, 401);
    assert_int_equal(tally.taken, 20);
    assert_int_equal(tally.beyond, 26);
}

/* --- our own keys ----------------------------------------------------------------------------- */

static struct jwk *key_a, *key_b;
static struct jwks *set_a, *set_ab;

static int make_keys(void **state)
{
    (void)state;
    struct err err;
    if (jwk_make(&key_a) < 0 || jwk_make(&key_b) < 0)
        return -1;
    json_t *a = json_pack("{s:[o]}", "keys", jwk_public(key_a));
    json_t *ab = json_pack("{s:[o, o]}", "keys", jwk_public(key_a), jwk_public(key_b));
    int r = jwks_of(a, &set_a, &err);
    if (r == 0)
        r = jwks_of(ab, &set_ab, &err);
    json_decref(a);
    json_decref(ab);
    return r;
}

static int free_keys(void **state)
{
    (void)state;
    jwks_free(set_a);
    jwks_free(set_ab);
    jwk_free(key_a);
    jwk_free(key_b);
    return 0;
}

static void test_round(void **state)
{
    (void)state;
    char got[64];
    CLEAN_BUF struct buf token = BUF_EMPTY;
    CLEAN_BUF struct buf pem = BUF_EMPTY;
    struct jwk *again = NULL;
    struct err err = {""};
    assert_int_equal(jwk_sign(key_a, STR("{\"sub\":\"u\"}"), &token), 0);
    assert_int_equal(verify(set_a, token.data, got, sizeof got), 0);
    assert_string_equal(got, "{\"sub\":\"u\"}");
    assert_int_equal(verify(set_ab, token.data, got, sizeof got), 0);
    assert_int_equal(jwk_write_pem(key_a, &pem), 0);
    assert_int_equal(jwk_parse_pem(buf_str(&pem), &again, &err), 0);
    assert_string_equal(jwk_kid(again), jwk_kid(key_a));
    assert_string_not_equal(jwk_kid(key_b), jwk_kid(key_a));
    jwk_free(again);
    assert_int_equal(jwk_parse_pem(STR("nonsense"), &again, &err), -EINVAL);
}

/* libjwt reads what we sign. */
static void test_libjwt(void **state)
{
    (void)state;
    CLEAN_BUF struct buf token = BUF_EMPTY;
    CLEAN_BUF struct buf pem = BUF_EMPTY;
    char *text = NULL;
    assert_int_equal(jwk_sign(key_a, STR("{\"sub\":\"u\"}"), &token), 0);
    assert_int_equal(jwk_write_pem(key_a, &pem), 0);
    BIO *in = BIO_new_mem_buf(pem.data, (int)pem.size);
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
    BIO *out = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PUBKEY(out, pkey), 1);
    long size = BIO_get_mem_data(out, &text);
    jwt_t *jwt = NULL;
    assert_int_equal(jwt_decode(&jwt, token.data, (const unsigned char *)text, (int)size), 0);
    assert_string_equal(jwt_get_grant(jwt, "sub"), "u");
    assert_int_equal(jwt_get_alg(jwt), JWT_ALG_RS256);
    jwt_free(jwt);
    BIO_free(in);
    BIO_free(out);
    EVP_PKEY_free(pkey);
}

/* header.payload and a signature by hand. */
static void forge(const char *header, const char *payload, const char *secret, struct buf *out)
{
    enc_base64url(header, strlen(header), out);
    buf_putc(out, '.');
    enc_base64url(payload, strlen(payload), out);
    if (secret != NULL) {
        uint8_t mac[32];
        unsigned size = 0;
        (void)HMAC(EVP_sha256(), secret, (int)strlen(secret), (const uint8_t *)out->data, out->size,
                   mac, &size);
        buf_putc(out, '.');
        enc_base64url(mac, size, out);
    } else {
        buf_putc(out, '.');
    }
}

static void test_forged(void **state)
{
    (void)state;
    char header[256];
    CLEAN_BUF struct buf none = BUF_EMPTY;
    CLEAN_BUF struct buf mac = BUF_EMPTY;
    CLEAN_BUF struct buf signed_a = BUF_EMPTY;
    CLEAN_BUF struct buf swapped = BUF_EMPTY;
    forge("{\"alg\":\"none\"}", "{\"sub\":\"admin\"}", NULL, &none);
    assert_true(verify(set_a, none.data, NULL, 0) < 0);
    buf_puts(&none, "AA");
    assert_int_equal(verify(set_a, none.data, NULL, 0), -ENOKEY);
    json_t *public = jwk_public(key_a);
    (void)snprintf(header, sizeof header, "{\"alg\":\"HS256\",\"kid\":\"%s\"}", jwk_kid(key_a));
    forge(header, "{\"sub\":\"admin\"}", json_string_value(json_object_get(public, "n")), &mac);
    assert_int_equal(verify(set_a, mac.data, NULL, 0), -ENOKEY);
    json_decref(public);
    /* Signed by b, named a: and a's own signature under b's name. */
    assert_int_equal(jwk_sign(key_b, STR("{}"), &signed_a), 0);
    assert_int_equal(verify(set_a, signed_a.data, NULL, 0), -ENOKEY);
    (void)snprintf(header, sizeof header, "{\"alg\":\"RS256\",\"kid\":\"%s\",\"typ\":\"JWT\"}",
                   jwk_kid(key_a));
    enc_base64url(header, strlen(header), &swapped);
    buf_puts(&swapped, strchr(signed_a.data, '.'));
    assert_int_equal(verify(set_ab, swapped.data, NULL, 0), -EKEYREJECTED);
}

static void test_odd_forms(void **state)
{
    (void)state;
    CLEAN_BUF struct buf good = BUF_EMPTY;
    CLEAN_BUF struct buf bad = BUF_EMPTY;
    assert_int_equal(jwk_sign(key_a, STR("{}"), &good), 0);
    for (size_t cut = 0; cut < good.size; cut++) {
        buf_clear(&bad);
        buf_put(&bad, good.data, cut);
        buf_putc(&bad, 0);
        assert_true(verify(set_a, bad.data, NULL, 0) < 0);
    }
    buf_clear(&bad);
    buf_printf(&bad, "%s.", good.data);
    assert_int_equal(verify(set_a, bad.data, NULL, 0), -EBADMSG);
    buf_clear(&bad);
    buf_printf(&bad, "%s=", good.data);
    assert_int_equal(verify(set_a, bad.data, NULL, 0), -EBADMSG);
    buf_clear(&bad);
    forge("{\"alg\":\"RS256\",\"crit\":[\"exp\"],\"exp\":1}", "{}", "x", &bad);
    assert_int_equal(verify(set_a, bad.data, NULL, 0), -EBADMSG);
    buf_clear(&bad);
    forge("{\"alg\":\"RS256\",\"kid\":{\"$gt\":\"\"}}", "{}", "x", &bad);
    assert_int_equal(verify(set_a, bad.data, NULL, 0), -EBADMSG);
    buf_clear(&bad);
    forge("{\"alg\":\"RS256\"}", "{}", "x", &bad);
    assert_int_equal(verify(set_a, bad.data, NULL, 0), -EKEYREJECTED); /* one key: it is meant */
    assert_int_equal(verify(set_ab, bad.data, NULL, 0), -ENOKEY);
}

static void test_sets(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[]", "nonsense"};
    /* Keys that are of no use are left out: too small, not a key, off the curve, a secret. */
    static const char odd[] =
        "{\"keys\":[1, {}, {\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"},"
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
        "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"},"
        "{\"kty\":\"oct\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}]}";
    struct jwks *set = NULL;
    struct err err = {""};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(jwks_parse(str_of(bad[i]), &set, &err), -EINVAL);
    assert_null(set);
    assert_int_equal(jwks_parse(STR(odd), &set, &err), 0);
    assert_int_equal(jwks_count(set), 0);
    jwks_free(set);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    vectors_file = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wycheproof), cmocka_unit_test(test_round),
        cmocka_unit_test(test_libjwt),     cmocka_unit_test(test_forged),
        cmocka_unit_test(test_odd_forms),  cmocka_unit_test(test_sets),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
