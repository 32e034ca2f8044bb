/* SPDX-License-Identifier: Apache-2.0 */
#include "token/token.h"
#include <errno.h>
#include <jwt.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/enc.h"
#include "base/file.h"
#include "../unit.h"

/* Rings in a folder of their own: hs (one HS256 key), es (private), pub (the public half), both
 * (hs key, then the public EC key). */
static char token_test_folder[64];

static const char token_test_secret[] = "0123456789abcdef0123456789abcdef";

static const char *token_test_path(const char *name, char out[128])
{
    (void)snprintf(out, 128, "%s/%s", token_test_folder, name); /* fits */
    return out;
}

static void token_test_write(const char *name, const char *text)
{
    char path[128];
    assert_int_equal(file_write(token_test_path(name, path), str_of(text), 0600), 0);
}

static void token_test_write_keys(const char *curve, const char *private_name,
                                  const char *public_name)
{
    EVP_PKEY *key = EVP_EC_gen(curve);
    assert_non_null(key);
    char path[128];
    FILE *f = fopen(token_test_path(private_name, path), "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
    f = fopen(token_test_path(public_name, path), "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_PUBKEY(f, key), 1);
    assert_int_equal(fclose(f), 0);
    EVP_PKEY_free(key);
}

#define TOKEN_TEST_HS                                                                              \
    "{\"kty\":\"oct\",\"kid\":\"k1\",\"alg\":\"HS256\",\"use\":\"sig\","                           \
    "\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}"
#define TOKEN_TEST_EC(kid, file)                                                                   \
    "{\"kty\":\"EC\",\"kid\":\"" kid "\",\"alg\":\"ES256\",\"pem_file\":\"" file "\"}"

static int token_test_setup(void **state)
{
    (void)state;
    (void)snprintf(token_test_folder, sizeof token_test_folder, "/tmp/weir-token-XXXXXX");
    if (mkdtemp(token_test_folder) == NULL)
        return -1;
    token_test_write_keys("P-256", "ec.pem", "ec.pub");
    token_test_write_keys("P-384", "ec384.pem", "ec384.pub");
    token_test_write("hs", "{\"keys\":[" TOKEN_TEST_HS "]}");
    token_test_write("es", "{\"keys\":[" TOKEN_TEST_EC("k2", "ec.pem") "]}");
    token_test_write("pub", "{\"keys\":[" TOKEN_TEST_EC("k2", "ec.pub") "]}");
    token_test_write("both", "{\"keys\":[" TOKEN_TEST_HS "," TOKEN_TEST_EC("k2", "ec.pub") "]}");
    return 0;
}

static int token_test_teardown(void **state)
{
    (void)state;
    return file_remove_all(token_test_folder);
}

static struct token_ring *token_test_ring(const char *name)
{
    char path[128];
    struct token_ring *ring = NULL;
    struct err err = {0};
    if (token_ring_load(token_test_path(name, path), &ring, &err) != 0)
        fail_msg("%s", err.text);
    return ring;
}

static struct token_claims token_test_claims(struct buf *container)
{
    token_asset_container(STR("big.film"), container);
    return (struct token_claims){.issuer = (char *)(uintptr_t) "weir",
                                 .subject = (char *)(uintptr_t) "user-7",
                                 .container = container->data,
                                 .asset = (char *)(uintptr_t) "big.film",
                                 .session = (char *)(uintptr_t) "s-1",
                                 .height_max = 720,
                                 .expires_s = 2000,
                                 .not_before_s = 1000};
}

/* Signs what the caller says with the HS256 secret of the rings: for tokens that token_sign would
 * not make. */
static void token_test_forge(const char *header, const char *payload, const void *key,
                             size_t key_size, struct buf *out)
{
    enc_base64url(header, strlen(header), out);
    buf_putc(out, '.');
    enc_base64url(payload, strlen(payload), out);
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    assert_non_null(
        HMAC(EVP_sha256(), key, (int)key_size, (const uint8_t *)out->data, out->size, mac, &size));
    buf_putc(out, '.');
    enc_base64url(mac, size, out);
    assert_int_equal(buf_error(out), 0);
}

static int token_test_verify(const struct token_ring *ring, struct str token, int64_t now_s)
{
    struct token_claims claims;
    int r = token_verify(ring, token, now_s, NULL, &claims);
    if (r < 0) {
        assert_null(claims.container);
        assert_int_equal(claims.expires_s, 0);
    }
    token_claims_clear(&claims);
    return r;
}

static void token_test_round_trip(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"hs", "hs"}, {"es", "es"}, {"es", "pub"}, {"es", "both"}, {"hs", "both"}};
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        CLEAN(token_ring_free) struct token_ring *signer = token_test_ring(pairs[i][0]);
        CLEAN(token_ring_free) struct token_ring *verifier = token_test_ring(pairs[i][1]);
        CLEAN_BUF struct buf container = BUF_EMPTY;
        CLEAN_BUF struct buf token = BUF_EMPTY;
        struct token_claims in = token_test_claims(&container);
        assert_int_equal(token_sign(signer, &in, &token), 0);
        struct token_claims out;
        assert_int_equal(token_verify(verifier, buf_str(&token), 1500, NULL, &out), 0);
        assert_string_equal(out.issuer, "weir");
        assert_string_equal(out.subject, "user-7");
        assert_string_equal(out.container, in.container);
        assert_string_equal(out.asset, "big.film");
        assert_string_equal(out.session, "s-1");
        assert_int_equal(out.height_max, 720);
        assert_int_equal(out.expires_s, 2000);
        assert_int_equal(out.not_before_s, 1000);
        token_claims_clear(&out);
        assert_null(out.asset);
        assert_int_equal(token_test_verify(verifier, buf_str(&token), 999), -EAGAIN);
        assert_int_equal(token_test_verify(verifier, buf_str(&token), 1000), 0);
        assert_int_equal(token_test_verify(verifier, buf_str(&token), 1999), 0);
        assert_int_equal(token_test_verify(verifier, buf_str(&token), 2000), -ETIME);
    }
    CLEAN(token_ring_free) struct token_ring *public = token_test_ring("pub");
    CLEAN(token_ring_free) struct token_ring *hs = token_test_ring("hs");
    CLEAN_BUF struct buf container = BUF_EMPTY;
    CLEAN_BUF struct buf token = BUF_EMPTY;
    struct token_claims in = token_test_claims(&container);
    assert_int_equal(token_sign(public, &in, &token), -ENOKEY);
    in.expires_s = 0;
    assert_int_equal(token_sign(hs, &in, &token), -EINVAL);
    in.expires_s = 5;
    in.container = NULL;
    assert_int_equal(token_sign(hs, &in, &token), -EINVAL);
    char long_text[4096];
    memset(long_text, 'x', sizeof long_text);
    long_text[sizeof long_text - 1] = 0;
    in.container = long_text;
    assert_int_equal(token_sign(hs, &in, &token), -EMSGSIZE);
    assert_int_equal(token.size, 0);
}

/* Every other character at every place; the last bits of each part too. */
static void token_test_flips(void **state)
{
    (void)state;
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.+/= ";
    static const char *const rings[] = {"hs", "es"};
    for (size_t k = 0; k < ARRAY_LEN(rings); k++) {
        CLEAN(token_ring_free) struct token_ring *ring = token_test_ring(rings[k]);
        CLEAN_BUF struct buf container = BUF_EMPTY;
        CLEAN_BUF struct buf token = BUF_EMPTY;
        struct token_claims in = token_test_claims(&container);
        assert_int_equal(token_sign(ring, &in, &token), 0);
        assert_int_equal(token_test_verify(ring, buf_str(&token), 1500), 0);
        for (size_t i = 0; i < token.size; i++) {
            char good = token.data[i];
            /* ES256 takes long under the sanitizers: a few neighbours there, all here. */
            for (size_t c = k == 0 ? 0 : i % 8; c < sizeof alphabet - 1; c += k == 0 ? 1 : 8) {
                if (alphabet[c] == good)
                    continue;
                token.data[i] = alphabet[c];
                int r = token_test_verify(ring, buf_str(&token), 1500);
                if (r != -EBADMSG && r != -ENOKEY && r != -EKEYREJECTED)
                    fail_msg("%s: %d with %c at %zu", rings[k], r, alphabet[c], i);
            }
            token.data[i] = good;
        }
        for (size_t size = 0; size < token.size; size++)
            assert_true(token_test_verify(ring, (struct str){token.data, size}, 1500) < 0);
        buf_putc(&token, 'A');
        assert_true(token_test_verify(ring, buf_str(&token), 1500) < 0);
    }
}

#define TOKEN_TEST_HEADER "{\"alg\":\"HS256\",\"kid\":\"k1\"}"
#define TOKEN_TEST_CLAIMS "\"exp\":2000,\"cdniuc\":\"regex:.*\""

static void token_test_forged(void **state)
{
    (void)state;
    static const struct {
        const char *header, *payload;
        int r;
    } cases[] = {
        {TOKEN_TEST_HEADER, "{" TOKEN_TEST_CLAIMS "}", 0},
        /* header */
        {"{\"alg\":\"HS256\"}", "{" TOKEN_TEST_CLAIMS "}", -ENOKEY},
        {"{\"alg\":\"HS256\",\"kid\":\"k9\"}", "{" TOKEN_TEST_CLAIMS "}", -ENOKEY},
        {"{\"alg\":\"HS256\",\"kid\":1}", "{" TOKEN_TEST_CLAIMS "}", -ENOKEY},
        {"{\"alg\":\"none\",\"kid\":\"k1\"}", "{" TOKEN_TEST_CLAIMS "}", -ENOKEY},
        {"{\"alg\":\"hs256\",\"kid\":\"k1\"}", "{" TOKEN_TEST_CLAIMS "}", -ENOKEY},
        {"{\"alg\":\"ES256\",\"kid\":\"k1\"}", "{" TOKEN_TEST_CLAIMS "}", -ENOKEY},
        {"{\"alg\":\"HS384\",\"kid\":\"k1\"}", "{" TOKEN_TEST_CLAIMS "}", -ENOKEY},
        {"{\"alg\":\"HS256\",\"kid\":\"k2\"}", "{" TOKEN_TEST_CLAIMS "}", -ENOKEY},
        {"{\"kid\":\"k1\"}", "{" TOKEN_TEST_CLAIMS "}", -EBADMSG},
        {"{\"alg\":\"HS256\",\"alg\":\"none\",\"kid\":\"k1\"}", "{" TOKEN_TEST_CLAIMS "}",
         -EBADMSG},
        {"{\"alg\":\"HS256\",\"kid\":\"k1\",\"crit\":[\"b64\"],\"b64\":false}",
         "{" TOKEN_TEST_CLAIMS "}", -EBADMSG},
        {"[]", "{" TOKEN_TEST_CLAIMS "}", -EBADMSG},
        {"{", "{" TOKEN_TEST_CLAIMS "}", -EBADMSG},
        /* claims */
        {TOKEN_TEST_HEADER, "[]", -EBADMSG},
        {TOKEN_TEST_HEADER, "{" TOKEN_TEST_CLAIMS, -EBADMSG},
        {TOKEN_TEST_HEADER, "{\"exp\":2000}", -EBADMSG},
        {TOKEN_TEST_HEADER, "{\"cdniuc\":\"regex:.*\"}", -EBADMSG},
        {TOKEN_TEST_HEADER, "{\"exp\":\"2000\",\"cdniuc\":\"regex:.*\"}", -EBADMSG},
        {TOKEN_TEST_HEADER, "{\"exp\":1e300,\"cdniuc\":\"regex:.*\"}", -EBADMSG},
        {TOKEN_TEST_HEADER, "{\"exp\":1500.5,\"cdniuc\":\"regex:.*\"}", -ETIME},
        {TOKEN_TEST_HEADER, "{\"exp\":1501.5,\"cdniuc\":\"regex:.*\"}", 0},
        {TOKEN_TEST_HEADER, "{\"exp\":-1,\"cdniuc\":\"regex:.*\"}", -ETIME},
        {TOKEN_TEST_HEADER, "{\"exp\":2000,\"cdniuc\":7}", -EBADMSG},
        {TOKEN_TEST_HEADER, "{" TOKEN_TEST_CLAIMS ",\"nbf\":1501}", -EAGAIN},
        {TOKEN_TEST_HEADER, "{" TOKEN_TEST_CLAIMS ",\"nbf\":\"x\"}", -EBADMSG},
        {TOKEN_TEST_HEADER, "{" TOKEN_TEST_CLAIMS ",\"cdniv\":1}", 0},
        {TOKEN_TEST_HEADER, "{" TOKEN_TEST_CLAIMS ",\"cdniv\":2}", -EBADMSG},
        {TOKEN_TEST_HEADER, "{" TOKEN_TEST_CLAIMS ",\"cdniv\":\"1\"}", -EBADMSG},
        {TOKEN_TEST_HEADER, "{" TOKEN_TEST_CLAIMS ",\"cdniip\":\"x\"}", -EACCES},
        {TOKEN_TEST_HEADER, "{" TOKEN_TEST_CLAIMS ",\"jti\":\"x\"}", -EACCES},
        {TOKEN_TEST_HEADER, "{" TOKEN_TEST_CLAIMS ",\"aud\":\"other\"}", -EACCES},
        {TOKEN_TEST_HEADER, "{" TOKEN_TEST_CLAIMS ",\"private\":\"unknown\"}", 0},
        {TOKEN_TEST_HEADER, "{" TOKEN_TEST_CLAIMS ",\"x\":1,\"cdnicrit\":\"x\"}", -EBADMSG},
        {TOKEN_TEST_HEADER, "{" TOKEN_TEST_CLAIMS ",\"cdnicrit\":\"\"}", -EBADMSG},
        {TOKEN_TEST_HEADER, "{" TOKEN_TEST_CLAIMS ",\"cdnicrit\":\"weir_asset\"}", -EBADMSG},
        {TOKEN_TEST_HEADER,
         "{" TOKEN_TEST_CLAIMS ",\"weir_asset\":\"a\",\"cdnicrit\":\"weir_asset\"}", 0},
        {TOKEN_TEST_HEADER,
         "{" TOKEN_TEST_CLAIMS ",\"weir_asset\":\"a\",\"cdnicrit\":\"weir_asset,\"}", -EBADMSG},
        {TOKEN_TEST_HEADER, "{" TOKEN_TEST_CLAIMS ",\"weir_height_max\":-1}", -EBADMSG},
        {TOKEN_TEST_HEADER, "{" TOKEN_TEST_CLAIMS ",\"weir_height_max\":4294967296}", -EBADMSG},
        {TOKEN_TEST_HEADER, "{" TOKEN_TEST_CLAIMS ",\"weir_asset\":null}", -EBADMSG},
    };
    CLEAN(token_ring_free) struct token_ring *ring = token_test_ring("both");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEAN_BUF struct buf token = BUF_EMPTY;
        token_test_forge(cases[i].header, cases[i].payload, token_test_secret, 32, &token);
        int r = token_test_verify(ring, buf_str(&token), 1500);
        if (r != cases[i].r)
            fail_msg("%d, not %d: %s %s", r, cases[i].r, cases[i].header, cases[i].payload);
    }
}

static void token_test_renewal_claims(void **state)
{
    (void)state;
    static const struct {
        const char *claims;
        int r;
    } cases[] = {
        {"\"cdnistt\":1,\"cdniets\":30", 0},
        {"\"cdnistt\":1,\"cdniets\":9,\"cdnistd\":2", 0},
        {"\"cdnistt\":0", 0},
        {"\"cdnistt\":2,\"cdniets\":30", -EBADMSG},
        {"\"cdnistt\":1", -EBADMSG},
        {"\"cdnistt\":1,\"cdniets\":0", -EBADMSG},
        {"\"cdnistt\":1,\"cdniets\":\"9\"", -EBADMSG},
        {"\"cdnistt\":\"1\",\"cdniets\":9", -EBADMSG},
        {"\"cdnistt\":1,\"cdniets\":9,\"cdnistd\":-1", -EBADMSG},
    };
    CLEAN(token_ring_free) struct token_ring *ring = token_test_ring("hs");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEAN_BUF struct buf payload = BUF_EMPTY;
        CLEAN_BUF struct buf token = BUF_EMPTY;
        buf_printf(&payload, "{" TOKEN_TEST_CLAIMS ",%s}", cases[i].claims);
        token_test_forge(TOKEN_TEST_HEADER, payload.data, token_test_secret, 32, &token);
        if (token_test_verify(ring, buf_str(&token), 1500) != cases[i].r)
            fail_msg("%s", cases[i].claims);
    }
}

/* Claims that only whoever asks can check: refused without rules, else by what they say. */
static void token_test_rules(void **state)
{
    (void)state;
    static char *const audiences[] = {(char *)(uintptr_t) "edge", (char *)(uintptr_t) "cdn"};
    static const struct token_rules all = {audiences, ARRAY_LEN(audiences), true, true};
    static const struct {
        const char *claim;
        int r;
    } cases[] = {
        {"\"aud\":\"edge\"", 0},
        {"\"aud\":\"edge2\"", -EACCES},
        {"\"aud\":[\"other\",\"cdn\"]", 0},
        {"\"aud\":[\"cdn\",\"other\"]", 0},
        {"\"aud\":[\"other\"]", -EACCES},
        {"\"aud\":[]", -EACCES},
        {"\"aud\":[7]", -EBADMSG},
        {"\"aud\":{}", -EBADMSG},
        {"\"aud\":null", -EBADMSG},
        {"\"cdniip\":\"192.0.2.0/24\"", 0},
        {"\"cdniip\":\"2001:db8::1\"", 0},
        {"\"cdniip\":\"192.0.2.0/33\"", -EACCES},
        {"\"cdniip\":\"\"", -EACCES},
        {"\"cdniip\":7", -EBADMSG},
        /* a JWE, as the RFC has it: five parts */
        {"\"cdniip\":\"eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..aXY.Y2lwaGVy.dGFn\"", -EACCES},
        {"\"jti\":\"once\"", 0},
        {"\"jti\":1", -EBADMSG},
    };
    CLEAN(token_ring_free) struct token_ring *ring = token_test_ring("hs");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEAN_BUF struct buf payload = BUF_EMPTY;
        CLEAN_BUF struct buf token = BUF_EMPTY;
        buf_printf(&payload, "{" TOKEN_TEST_CLAIMS ",%s}", cases[i].claim);
        token_test_forge(TOKEN_TEST_HEADER, payload.data, token_test_secret, 32, &token);
        struct token_claims claims;
        int r = token_verify(ring, buf_str(&token), 1500, &all, &claims);
        if (r != cases[i].r)
            fail_msg("%d, not %d: %s", r, cases[i].r, cases[i].claim);
        struct addr a;
        assert_int_equal(addr_parse(STR("192.0.2.7"), &a), 0);
        if (r == 0 && claims.clients_text != NULL)
            assert_int_equal(addr_net_has(&claims.clients, &a), i == 9);
        token_claims_clear(&claims);
        if (r == 0)
            assert_int_equal(token_test_verify(ring, buf_str(&token), 1500), -EACCES);
    }
}

static void token_test_issuers(void **state)
{
    (void)state;
    token_test_write("iss", "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"k1\",\"alg\":\"HS256\","
                            "\"iss\":\"cms\",\"k\":"
                            "\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}]}");
    static const struct {
        const char *payload;
        int r;
    } cases[] = {
        {"{" TOKEN_TEST_CLAIMS ",\"iss\":\"cms\"}", 0},
        {"{" TOKEN_TEST_CLAIMS ",\"iss\":\"cmsx\"}", -EKEYREJECTED},
        {"{" TOKEN_TEST_CLAIMS "}", -EKEYREJECTED},
    };
    CLEAN(token_ring_free) struct token_ring *any = token_test_ring("hs");
    CLEAN(token_ring_free) struct token_ring *ring = token_test_ring("iss");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEAN_BUF struct buf token = BUF_EMPTY;
        token_test_forge(TOKEN_TEST_HEADER, cases[i].payload, token_test_secret, 32, &token);
        assert_int_equal(token_test_verify(ring, buf_str(&token), 1500), cases[i].r);
        assert_int_equal(token_test_verify(any, buf_str(&token), 1500), 0);
    }
}

/* What is renewed has all claims of the old one, those that are nobody's here too, and another
 * exp, iat and jti. */
static void token_test_renew(void **state)
{
    (void)state;
    static const struct token_rules rules = {.checks_id = true, .checks_clients = true};
    static const char payload[] =
        "{" TOKEN_TEST_CLAIMS ",\"iss\":\"cms\",\"nbf\":1000,\"iat\":1000,\"jti\":\"first\","
        "\"weir_asset\":\"a\",\"weir_height_max\":720,\"device\":{\"kind\":\"tv\"},"
        "\"cdniip\":\"192.0.2.0/24\",\"cdnistt\":1,\"cdniets\":30,\"cdnistd\":2}";
    CLEAN(token_ring_free) struct token_ring *ring = token_test_ring("both");
    CLEAN_BUF struct buf old = BUF_EMPTY;
    CLEAN_BUF struct buf new = BUF_EMPTY;
    token_test_forge(TOKEN_TEST_HEADER, payload, token_test_secret, 32, &old);
    assert_int_equal(token_renew(ring, buf_str(&old), 1990, &new), 0);
    struct token_claims c;
    assert_int_equal(token_verify(ring, buf_str(&new), 2019, &rules, &c), 0);
    assert_int_equal(c.expires_s, 2020);
    assert_int_equal(c.not_before_s, 1000);
    assert_int_equal(c.renew_for_s, 30);
    assert_int_equal(c.renew_depth, 2);
    assert_int_equal(c.height_max, 720);
    assert_string_equal(c.issuer, "cms");
    assert_string_equal(c.asset, "a");
    assert_string_equal(c.clients_text, "192.0.2.0/24");
    assert_string_equal(c.container, "regex:.*");
    assert_string_not_equal(c.id, "first");
    token_claims_clear(&c);
    struct str rest;
    struct str text = str_cut(buf_str(&new), '.', &rest);
    CLEAN_BUF struct buf json = BUF_EMPTY;
    text = str_cut(rest, '.', &rest);
    assert_int_equal(enc_unbase64url(text, &json), 0);
    assert_non_null(strstr(json.data, "\"device\":{\"kind\":\"tv\"}"));
    assert_non_null(strstr(json.data, "\"iat\":1990"));

    CLEAN_BUF struct buf none = BUF_EMPTY;
    CLEAN_BUF struct buf plain = BUF_EMPTY;
    token_test_forge(TOKEN_TEST_HEADER, "{" TOKEN_TEST_CLAIMS "}", token_test_secret, 32, &plain);
    assert_int_equal(token_renew(ring, buf_str(&plain), 1990, &none), -EINVAL);
    old.data[old.size - 5] ^= 1;
    assert_true(token_renew(ring, buf_str(&old), 1990, &none) < 0);
    assert_int_equal(none.size, 0);
}

/* Rotation: a new key comes first in the ring, the old one stays until its tokens have expired. A
 * ring of the edge's own key and the issuer's public one renews what it cannot sign itself. */
static void token_test_rotation(void **state)
{
    (void)state;
    token_test_write("next", "{\"keys\":[" TOKEN_TEST_EC("k3", "ec.pem") "," TOKEN_TEST_HS "]}");
    token_test_write("last", "{\"keys\":[" TOKEN_TEST_EC("k3", "ec.pem") "]}");
    token_test_write("edge", "{\"keys\":[" TOKEN_TEST_HS "," TOKEN_TEST_EC("k3", "ec.pub") "]}");
    CLEAN(token_ring_free) struct token_ring *old = token_test_ring("hs");
    CLEAN(token_ring_free) struct token_ring *next = token_test_ring("next");
    CLEAN(token_ring_free) struct token_ring *last = token_test_ring("last");
    CLEAN(token_ring_free) struct token_ring *edge = token_test_ring("edge");
    CLEAN(token_ring_free) struct token_ring *public = token_test_ring("pub");
    CLEAN_BUF struct buf container = BUF_EMPTY;
    CLEAN_BUF struct buf a = BUF_EMPTY;
    CLEAN_BUF struct buf b = BUF_EMPTY;
    CLEAN_BUF struct buf renewed = BUF_EMPTY;
    struct token_claims in = token_test_claims(&container);
    in.renew_for_s = 30;
    assert_int_equal(token_sign(old, &in, &a), 0);
    assert_int_equal(token_sign(next, &in, &b), 0);
    assert_int_equal(token_test_verify(next, buf_str(&a), 1500), 0);
    assert_int_equal(token_test_verify(next, buf_str(&b), 1500), 0);
    assert_int_equal(token_test_verify(last, buf_str(&b), 1500), 0);
    assert_int_equal(token_test_verify(last, buf_str(&a), 1500), -ENOKEY);
    assert_int_equal(token_renew(edge, buf_str(&b), 1990, &renewed), 0);
    assert_int_equal(token_test_verify(edge, buf_str(&renewed), 2019), 0);
    assert_int_equal(token_test_verify(old, buf_str(&renewed), 2019), 0);
    buf_clear(&renewed);
    assert_int_equal(token_renew(public, buf_str(&b), 1990, &renewed), -ENOKEY);
}

/* A token without signature, one signed with the public key's text as HMAC secret, and sizes. */
static void token_test_confusion(void **state)
{
    (void)state;
    CLEAN(token_ring_free) struct token_ring *ring = token_test_ring("both");
    static const char *const headers[] = {"{\"alg\":\"none\"}", "{\"alg\":\"none\",\"kid\":\"k1\"}",
                                          "{\"alg\":\"none\",\"kid\":\"k2\"}"};
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        CLEAN_BUF struct buf token = BUF_EMPTY;
        enc_base64url(headers[i], strlen(headers[i]), &token);
        buf_putc(&token, '.');
        enc_base64url("{" TOKEN_TEST_CLAIMS "}", sizeof "{" TOKEN_TEST_CLAIMS "}" - 1, &token);
        assert_true(token_test_verify(ring, buf_str(&token), 1500) < 0);
        buf_putc(&token, '.');
        assert_int_equal(token_test_verify(ring, buf_str(&token), 1500), -ENOKEY);
    }
    char path[128];
    CLEAN_BUF struct buf pem = BUF_EMPTY;
    assert_int_equal(file_read(token_test_path("ec.pub", path), 4096, &pem), 0);
    CLEAN_BUF struct buf confused = BUF_EMPTY;
    token_test_forge("{\"alg\":\"HS256\",\"kid\":\"k2\"}", "{" TOKEN_TEST_CLAIMS "}", pem.data,
                     pem.size, &confused);
    assert_int_equal(token_test_verify(ring, buf_str(&confused), 1500), -ENOKEY);
    CLEAN_BUF struct buf es = BUF_EMPTY; /* ES256 in name, an HMAC in truth */
    token_test_forge("{\"alg\":\"ES256\",\"kid\":\"k2\"}", "{" TOKEN_TEST_CLAIMS "}", pem.data,
                     pem.size, &es);
    assert_int_equal(token_test_verify(ring, buf_str(&es), 1500), -EKEYREJECTED);
    CLEAN_BUF struct buf large = BUF_EMPTY;
    while (large.size <= TOKEN_SIZE_MAX)
        buf_putc(&large, 'A');
    assert_int_equal(token_test_verify(ring, buf_str(&large), 1500), -EBADMSG);
    assert_int_equal(token_test_verify(ring, STR_NONE, 1500), -EBADMSG);
    assert_int_equal(token_test_verify(ring, STR(".."), 1500), -EBADMSG);
    assert_int_equal(token_test_verify(ring, STR("a.b.c.d"), 1500), -EBADMSG);
}

/* Another implementation reads our tokens, and we read its. */
static void token_test_libjwt(void **state)
{
    (void)state;
    CLEAN_BUF struct buf public = BUF_EMPTY;
    CLEAN_BUF struct buf private = BUF_EMPTY;
    char path[128];
    assert_int_equal(file_read(token_test_path("ec.pub", path), 4096, &public), 0);
    assert_int_equal(file_read(token_test_path("ec.pem", path), 4096, &private), 0);
    const struct {
        const char *ring, *kid;
        jwt_alg_t alg;
        const char *verify_key, *sign_key;
    } peers[] = {{"hs", "k1", JWT_ALG_HS256, token_test_secret, token_test_secret},
                 {"es", "k2", JWT_ALG_ES256, public.data, private.data}};
    for (size_t i = 0; i < ARRAY_LEN(peers); i++) {
        CLEAN(token_ring_free) struct token_ring *ring = token_test_ring(peers[i].ring);
        CLEAN_BUF struct buf container = BUF_EMPTY;
        CLEAN_BUF struct buf ours = BUF_EMPTY;
        struct token_claims in = token_test_claims(&container);
        assert_int_equal(token_sign(ring, &in, &ours), 0);
        jwt_t *jwt = NULL;
        assert_int_equal(jwt_decode(&jwt, ours.data, (const unsigned char *)peers[i].verify_key,
                                    (int)strlen(peers[i].verify_key)),
                         0);
        assert_int_equal(jwt_get_alg(jwt), peers[i].alg);
        assert_string_equal(jwt_get_header(jwt, "kid"), peers[i].kid);
        assert_int_equal(jwt_get_grant_int(jwt, "exp"), 2000);
        assert_int_equal(jwt_get_grant_int(jwt, "cdniv"), 1);
        assert_string_equal(jwt_get_grant(jwt, "cdniuc"), container.data);
        jwt_free(jwt);

        assert_int_equal(jwt_new(&jwt), 0);
        assert_int_equal(jwt_add_header(jwt, "kid", peers[i].kid), 0);
        assert_int_equal(jwt_add_grant(jwt, "cdniuc", "regex:.*"), 0);
        assert_int_equal(jwt_add_grant_int(jwt, "exp", 2000), 0);
        assert_int_equal(jwt_set_alg(jwt, peers[i].alg, (const unsigned char *)peers[i].sign_key,
                                     (int)strlen(peers[i].sign_key)),
                         0);
        char *theirs = jwt_encode_str(jwt);
        assert_non_null(theirs);
        assert_int_equal(token_test_verify(ring, str_of(theirs), 1500), 0);
        free(theirs);
        jwt_free(jwt);
    }
}

static void token_test_rings(void **state)
{
    (void)state;
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"", "line"},
        {"{}", "keys"},
        {"{\"keys\":[]}", "keys"},
        {"{\"keys\":[7]}", "kid"},
        {"{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"AAAA\"}]}", "kid"},
        {"{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"alg\":\"HS256\",\"k\":\"AAAA\"}]}", "bytes"},
        {"{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"alg\":\"HS256\",\"k\":\"A+/=\"}]}",
         "base64url"},
        {"{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"alg\":\"HS256\"}]}", "k is missing"},
        {"{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"alg\":\"none\"}]}", "kty and alg"},
        {"{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"alg\":\"ES256\"}]}", "kty and alg"},
        {"{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"a\",\"alg\":\"RS256\"}]}", "kty and alg"},
        {"{\"keys\":[" TOKEN_TEST_HS "," TOKEN_TEST_HS "]}", "twice"},
        {"{\"keys\":[" TOKEN_TEST_EC("e", "absent.pem") "]}", "absent.pem"},
        {"{\"keys\":[" TOKEN_TEST_EC("e", "hs") "]}", "PEM"},
        {"{\"keys\":[" TOKEN_TEST_EC("e", "ec384.pem") "]}", "P-256"},
        {"{\"keys\":[" TOKEN_TEST_EC("e", "") "]}", "pem_file"},
    };
    char path[128];
    struct token_ring *ring = NULL;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        token_test_write("bad", cases[i].text);
        assert_true(token_ring_load(token_test_path("bad", path), &ring, &err) < 0);
        assert_null(ring);
        if (strstr(err.text, cases[i].reason) == NULL)
            fail_msg("case %zu: %s", i, err.text);
    }
    assert_int_equal(token_ring_load("/nonexistent/ring", &ring, NULL), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_test_round_trip),     cmocka_unit_test(token_test_flips),
        cmocka_unit_test(token_test_forged),         cmocka_unit_test(token_test_confusion),
        cmocka_unit_test(token_test_libjwt),         cmocka_unit_test(token_test_rings),
        cmocka_unit_test(token_test_renewal_claims), cmocka_unit_test(token_test_rules),
        cmocka_unit_test(token_test_issuers),        cmocka_unit_test(token_test_renew),
        cmocka_unit_test(token_test_rotation),
    };
    return cmocka_run_group_tests(tests, token_test_setup, token_test_teardown);
}
