/* SPDX-License-Identifier: Apache-2.0 */
#include "token/token.h"
#include <errno.h>
#include "../unit.h"

#define HEX "0123456789abcdef0123456789abcdef"

static int token_uri_test_covers(struct buf *container, const char *uri)
{
    struct token_claims claims = {.container = container->data};
    return token_covers(&claims, str_of(uri));
}

/* Each URI is asked twice: of the container as made (matched by hand) and in parentheses, which
 * says the same but goes through the regular expression. */
static void token_uri_test_asset(void **state)
{
    (void)state;
    static const struct {
        const char *uri;
        bool covered;
    } cases[] = {
        {"https://edge.example/v/big.film/master.m3u8", true},
        {"http://127.0.0.1:8080/v/big.film/v720/index.m3u8", true},
        {"https://edge.example/v/big.film/", true},
        {"https://edge.example/v/big.film/a?b=c/d", true},
        {"https://edge.example/b/" HEX ".m4s", true},
        {"https://edge.example/b/" HEX ".mp4?x=1", true},
        {"https://edge.example/v/big.film", false},
        {"https://edge.example/v/big.filmy/master.m3u8", false},
        {"https://edge.example/v/bigXfilm/master.m3u8", false},
        {"https://edge.example/v/other/master.m3u8", false},
        {"https://edge.example/v/big.fil/master.m3u8", false},
        {"https://edge.example/x/v/big.film/master.m3u8", false},
        {"https://edge.example//v/big.film/master.m3u8", false},
        {"https:///v/big.film/master.m3u8", false},
        {"://edge.example/v/big.film/master.m3u8", false},
        {"https:/edge.example/v/big.film/master.m3u8", false},
        {"/v/big.film/master.m3u8", false},
        {"https://edge.example/b/" HEX "0.m4s", false},
        {"https://edge.example/b/0123.m4s", false},
        {"https://edge.example/b/0123456789ABCDEF0123456789abcdef.m4s", false},
        {"https://edge.example/b/" HEX ".", false},
        {"https://edge.example/b/" HEX, false},
        {"https://edge.example/b/" HEX ".m4s/x", false},
        {"https://edge.example/b/" HEX ".M4S", false},
        {"https://edge.example/b/" HEX ".m4s.x", false},
        {"https://edge.example", false},
        {"https://edge.example/", false},
        {"https:", false},
        {"", false},
        /* dot segments: covered by the letter, refused by both */
        {"https://edge.example/v/big.film/../other/master.m3u8", false},
        {"https://edge.example/v/big.film/%2e%2E/other/master.m3u8", false},
        {"https://edge.example/v/big.film/.%2e", false},
        {"https://edge.example/v/big.film/./master.m3u8", false},
        {"https://edge.example/v/big.film/...", true},
        {"https://edge.example/v/big.film/..a", true},
    };
    CLEAN_BUF struct buf made = BUF_EMPTY;
    CLEAN_BUF struct buf wrapped = BUF_EMPTY;
    token_asset_container(STR("big.film"), &made);
    buf_printf(&wrapped, "regex:(%s)", made.data + strlen("regex:"));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int expected = cases[i].covered ? 0 : -EACCES;
        if (token_uri_test_covers(&made, cases[i].uri) != expected)
            fail_msg("by hand: %s", cases[i].uri);
        if (token_uri_test_covers(&wrapped, cases[i].uri) != expected)
            fail_msg("by expression: %s", cases[i].uri);
    }
}

static void token_uri_test_containers(void **state)
{
    (void)state;
    static const struct {
        const char *container, *uri;
        int r;
    } cases[] = {
        /* the RFC's own examples */
        {"hash:sha-256;2tderfWPa86Ku7YnzW51YUp7dGUjBS_3SW3ELx4hmWY", "http://cdni.example/foo/bar",
         0},
        {"regex:[^:]*\\://[^/]*/folder/content/quality_[^/]*/segment.{3}\\.mp4(\\?.*)?",
         "https://cdni.example/folder/content/quality_hd/segment007.mp4?x=y", 0},
        {"regex:[^:]*\\://[^/]*/folder/content/quality_[^/]*/segment.{3}\\.mp4(\\?.*)?",
         "https://cdni.example/folder/content/quality_hd/segment0007.mp4", -EACCES},
        {"hash:sha-256;2tderfWPa86Ku7YnzW51YUp7dGUjBS_3SW3ELx4hmWY", "http://cdni.example/foo/baz",
         -EACCES},
        {"hash:sha-256;2tderfWPa86Ku7YnzW51YUp7dGUjBS_3SW3ELx4hmWY=", "http://cdni.example/foo/bar",
         -EACCES},
        {"hash:sha-256;", "http://cdni.example/foo/bar", -EACCES},
        {"hash:md5;abc", "http://cdni.example/foo/bar", -EACCES},
        {"regex:http://a/b", "http://a/b", 0},
        {"regex:http://a/b", "http://a/bc", -EACCES}, /* the whole URI, not a part */
        {"regex:http://a/b", "xhttp://a/b", -EACCES},
        {"regex:a|ab|abc", "abc", 0}, /* leftmost and longest */
        {"regex:(", "(", -EACCES},
        {"regex:", "x", -EACCES},
        {"", "x", -EACCES},
        {"uri:http://a/b", "http://a/b", -EACCES},
        {NULL, "http://a/b", -EACCES},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct token_claims claims = {.container = (char *)(uintptr_t)cases[i].container};
        if (token_covers(&claims, str_of(cases[i].uri)) != cases[i].r)
            fail_msg("%s of %s", cases[i].container, cases[i].uri);
    }
    struct token_claims any = {.container = (char *)(uintptr_t) "regex:.*"};
    assert_int_equal(token_covers(&any, STR("http://a/\0b")), -EACCES);
    static char large[20000];
    memset(large, 'a', sizeof large);
    assert_int_equal(token_covers(&any, (struct str){large, sizeof large}), -EACCES);
}

#define P "URISigningPackage="

static void token_uri_test_extract(void **state)
{
    (void)state;
    static const struct {
        const char *path, *query, *cookie;
        int r;
        const char *token, *stripped;
    } cases[] = {
        {"/;" P "T.a-b_c/v/a/master.m3u8", NULL, NULL, 0, "T.a-b_c", "/v/a/master.m3u8"},
        {"/v/a;" P "T/master.m3u8", NULL, NULL, 0, "T", "/v/a/master.m3u8"},
        {"/v/a/master.m3u8;" P "T", NULL, NULL, 0, "T", "/v/a/master.m3u8"},
        {"/v/a;x=1;" P "T;y=2/m", NULL, NULL, 0, "T", "/v/a;x=1;y=2/m"},
        {"/v/;" P "T;y=2/m", NULL, NULL, 0, "T", "/v/;y=2/m"},
        {"/v/;" P "T/a", NULL, NULL, 0, "T", "/v/a"},
        {"/;" P "T", NULL, NULL, 0, "T", "/"},
        {";" P "T", NULL, NULL, 0, "T", "/"},
        {"/;" P "T/", NULL, NULL, 0, "T", "/"},
        {"//a;" P "T//b/", NULL, NULL, 0, "T", "//a//b/"},
        {"/v/a", "x=1&" P "T&y=2", NULL, 0, "T", "/v/a"},
        {"/v/a", "", P "T", 0, "T", "/v/a"},
        {"/v/a", NULL, "a=b; " P "T; c=d", 0, "T", "/v/a"},
        {"/v/a", NULL, "a=b; " P "\"T\"", 0, "T", "/v/a"},
        /* the path before the query before the cookie */
        {"/;" P "T/v", P "U", P "V", 0, "T", "/v"},
        {"/v", P "U", P "V", 0, "U", "/v"},
        /* none */
        {"/v/a;x=1/b;;c", "q=1", "c=2", -ENOENT, NULL, "/v/a;x=1/b;;c"},
        {"/" P "T/v", "x" P "T", "x" P "T", -ENOENT, NULL, "/" P "T/v"},
        {"/v;uRISigningPackage=T", NULL, NULL, -ENOENT, NULL, "/v;uRISigningPackage=T"},
        {"", NULL, NULL, -ENOENT, NULL, ""},
        {NULL, NULL, NULL, -ENOENT, NULL, ""},
        /* more than one, and nothing */
        {"/;" P "T/v/;" P "T/a", NULL, NULL, -EBADMSG, NULL, NULL},
        {"/;" P "T;" P "U/v", NULL, NULL, -EBADMSG, NULL, NULL},
        {"/v", P "T&" P "U", NULL, -EBADMSG, NULL, NULL},
        {"/v", NULL, P "T; " P "U", -EBADMSG, NULL, NULL},
        {"/;" P "/v", NULL, NULL, -EBADMSG, NULL, NULL},
        {"/v", P, NULL, -EBADMSG, NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str token = STR("untouched");
        CLEAN_BUF struct buf path = BUF_EMPTY;
        int r = token_extract(str_of(cases[i].path), str_of(cases[i].query),
                              str_of(cases[i].cookie), &token, &path);
        if (r != cases[i].r)
            fail_msg("case %zu: %d", i, r);
        assert_true(str_eq(token, str_of(r == 0 ? cases[i].token : "untouched")));
        if (r != -EBADMSG && !str_eq(buf_str(&path), str_of(cases[i].stripped)))
            fail_msg("case %zu: path " STR_FMT, i, STR_ARG(buf_str(&path)));
        if (r == -EBADMSG)
            assert_int_equal(path.size, 0);
    }
}

static void token_uri_test_sizes(void **state)
{
    (void)state;
    for (size_t over = 0; over < 2; over++) {
        CLEAN_BUF struct buf path = BUF_EMPTY;
        CLEAN_BUF struct buf stripped = BUF_EMPTY;
        buf_puts(&path, "/;" P);
        for (size_t i = 0; i < TOKEN_SIZE_MAX + over; i++)
            buf_putc(&path, 'x');
        buf_puts(&path, "/v");
        struct str token;
        int r = token_extract(buf_str(&path), STR_NONE, STR_NONE, &token, &stripped);
        assert_int_equal(r, over == 0 ? 0 : -EBADMSG);
        if (r == 0)
            assert_int_equal(token.size, TOKEN_SIZE_MAX);
    }
}

static void token_uri_test_query(void **state)
{
    (void)state;
    static const struct {
        const char *query, *stripped;
    } cases[] = {
        {NULL, ""}, {"", ""},           {P "T", ""},           {"a=1", "a=1"},
        {"&", "&"}, {P "T&a=1", "a=1"}, {"a=1&" P "T", "a=1"}, {"a=1&" P "T&b&" P "U", "a=1&b"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEAN_BUF struct buf out = BUF_EMPTY;
        token_strip_query(str_of(cases[i].query), &out);
        if (!str_eq(buf_str(&out), str_of(cases[i].stripped)))
            fail_msg("case %zu: " STR_FMT, i, STR_ARG(buf_str(&out)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_uri_test_asset),   cmocka_unit_test(token_uri_test_containers),
        cmocka_unit_test(token_uri_test_extract), cmocka_unit_test(token_uri_test_sizes),
        cmocka_unit_test(token_uri_test_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
