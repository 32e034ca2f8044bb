/* SPDX-License-Identifier: Apache-2.0 */
#include "control/plans/playback.h"
#include <errno.h>
#include <string.h>
#include "control/config.h"
#include "../fixture.h"

static struct token_ring *load_ring(struct fixture *f, const char *secret)
{
    char path[128];
    char keys[256];
    struct err err = {""};
    struct token_ring *ring = NULL;
    (void)snprintf(path, sizeof path, "%s/ring.json", f->folder);
    (void)snprintf(keys, sizeof keys,
                   "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"k1\",\"alg\":\"HS256\",\"k\":\"%s\"}]}",
                   secret);
    assert_int_equal(file_write(path, str_of(keys), 0600), 0);
    if (token_ring_load(path, &ring, &err) < 0)
        fail_msg("%s", err.text);
    return ring;
}

/* What is signed here is what an edge's check lets through, and nothing beside it. */
static void test_signed(void **state)
{
    struct fixture *f = *state;
    CLEAN(token_ring_free)
    struct token_ring *ring = load_ring(f, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    const struct control_config config = {.edge_url =
                                              (char *)(uintptr_t) "https://edge.example:8443/"};
    struct edges *edges = NULL;
    struct err err;
    assert_int_equal(edges_new(&config, &err, &edges), 0);
    const struct playback_signer signer = {ring, edges, "weir-control", 3600};
    CLEAN_BUF struct buf url = BUF_EMPTY;
    CLEAN_BUF struct buf path = BUF_EMPTY;
    struct str token;
    struct token_claims claims;
    int64_t expires = playback_expires(&signer, 1700000000);
    assert_int_equal(expires, 1700003600);
    const struct playback_claims all = {.asset = "film-1",
                                        .user = "u1",
                                        .session = "s1",
                                        .edge = "https://edge.example:8443",
                                        .expires_s = expires};
    assert_int_equal(playback_sign_for(&signer, &all, &url), 0);
    buf_puts(&url, "master.m3u8");
    struct str rest = buf_str(&url);
    assert_true(str_starts(rest, STR("https://edge.example:8443/;URISigningPackage=")));
    rest = str_skip(rest, strlen("https://edge.example:8443"));
    assert_int_equal(token_extract(rest, STR_NONE, &token, &path), 0);
    assert_true(str_eq(buf_str(&path), STR("/v/film-1/master.m3u8")));
    assert_int_equal(token_verify(ring, token, 1700003599, NULL, &claims), 0);
    assert_string_equal(claims.subject, "u1");
    assert_string_equal(claims.session, "s1");
    assert_string_equal(claims.asset, "film-1");
    assert_string_equal(claims.issuer, "weir-control");
    assert_int_equal(claims.expires_s, expires);
    assert_int_equal(token_covers(&claims, STR("https://edge.example:8443/v/film-1/a/index.m3u8")),
                     0);
    assert_int_equal(token_covers(&claims, STR("https://edge.example:8443/v/film-2/master.m3u8")),
                     -EACCES);
    assert_int_equal(claims.height_max, 0);
    token_claims_clear(&claims);
    buf_clear(&url);
    buf_clear(&path);
    assert_int_equal(playback_sign_picture(&signer, "film-1", "poster.jpg", expires, &url), 0);
    rest = str_skip(buf_str(&url), strlen("https://edge.example:8443"));
    assert_int_equal(token_extract(rest, STR_NONE, &token, &path), 0);
    assert_true(str_eq(buf_str(&path), STR("/v/film-1/poster.jpg")));
    assert_int_equal(token_verify(ring, token, 1700003599, NULL, &claims), 0);
    assert_null(claims.asset);
    assert_null(claims.session);
    assert_int_equal(token_covers(&claims, STR("https://edge.example:8443/v/film-1/poster.jpg")),
                     0);
    assert_int_equal(token_covers(&claims, STR("https://edge.example:8443/v/film-1/master.m3u8")),
                     -EACCES);
    token_claims_clear(&claims);
    assert_int_equal(token_verify(ring, token, expires + 1, NULL, &claims), -ETIME);
    const struct playback_claims capped = {.asset = "film-1",
                                           .user = "u1",
                                           .edge = "http://e",
                                           .height_max = 480,
                                           .expires_s = expires};
    buf_clear(&url);
    buf_clear(&path);
    assert_int_equal(playback_sign_for(&signer, &capped, &url), 0);
    assert_int_equal(
        token_extract(str_skip(buf_str(&url), strlen("http://e")), STR_NONE, &token, &path), 0);
    assert_int_equal(token_verify(ring, token, 1700000001, NULL, &claims), 0);
    assert_int_equal(claims.height_max, 480);
    assert_null(claims.session);
    token_claims_clear(&claims);
    edges_free(edges);
}

/* A poster's URL stays the same for the hour, so that the browser's cache has a use. */
static void test_rounded(void **state)
{
    (void)state;
    const struct playback_signer signer = {.lifetime_s = 600};
    assert_int_equal(playback_expires_rounded(&signer, 7200), 10800 + 600);
    assert_int_equal(playback_expires_rounded(&signer, 7201), 10800 + 600);
    assert_int_equal(playback_expires_rounded(&signer, 10799), 10800 + 600);
    assert_int_equal(playback_expires_rounded(&signer, 10800), 14400 + 600);
}

/* A session is nobody's but its user's, whatever a stranger makes of its name. */
static void test_sessions(void **state)
{
    char a[ID_TEXT_SIZE];
    char b[ID_TEXT_SIZE];
    (void)state;
    playback_session_make("ada", a);
    playback_session_make("ada", b);
    assert_int_equal(strspn(a, "0123456789abcdef"), ID_TEXT_SIZE - 1);
    assert_string_not_equal(a, b);
    assert_true(playback_session_is_of(a, "ada"));
    assert_true(playback_session_is_of(b, "ada"));
    assert_false(playback_session_is_of(a, "bob"));
    assert_false(playback_session_is_of("", "ada"));
    a[ID_TEXT_SIZE - 2] = '\0';
    assert_false(playback_session_is_of(a, "ada"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_CASE(test_signed),
        cmocka_unit_test(test_rounded),
        cmocka_unit_test(test_sessions),
    };
    return cmocka_run_group_tests_name("control playback", tests, NULL, NULL);
}
