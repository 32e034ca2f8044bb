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

static void token_uri_test_a_view_alone(void **state)
{
    (void)state;
    static const struct {
        const char *uri;
        bool covered;
    } cases[] = {
        {"https://edge.example/v/big.film/poster.jpg", true},
        {"https://edge.example/v/big.film/poster.jpg?x=y", true},
        {"https://edge.example/v/big.film/posterXjpg", false},
        {"https://edge.example/v/bigXfilm/poster.jpg", false},
        {"https://edge.example/v/big.film/poster.jpg/master.m3u8", false},
        {"https://edge.example/v/big.film/master.m3u8", false},
        {"https://edge.example/v/big.film/master.m3u8?/v/big.film/poster.jpg", false},
        {"https://edge.example/b/0123456789abcdef0123456789abcdef.m4s", false},
    };
    CLEAN_BUF struct buf made = BUF_EMPTY;
    token_view_container(STR("big.film"), STR("poster.jpg"), &made);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (token_uri_test_covers(&made, cases[i].uri) != (cases[i].covered ? 0 : -EACCES))
            fail_msg("%s", cases[i].uri);
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
        /* case, codes and ports in their normal form (RFC 3986 sections 6.2.2 and 6.2.3) */
        {"regex:https://a\\.example/~b", "HTTPS://A.Example:443/%7eb", 0},
        {"regex:https://a\\.example/", "https://a.example", 0},
        {"regex:https://a\\.example/\\?x", "https://a.example?x", 0},
        {"regex:http://a\\.example:443/", "http://a.example:443/", 0},
        {"regex:http://a\\.example/", "http://a.example:/", 0},
        {"regex:http://a/%2F%C3", "http://a/%2f%c3", 0},
        {"regex:http://a/b", "http://a/B", -EACCES},
        {"regex:http://a/b%", "http://a/b%", 0},
        {"regex:http://a/b%4", "http://a/b%4", 0},
        {"regex:http://a/b%zz", "http://a/b%zz", 0},
        {"regex:http://a/.*", "http://a/x/%2E./b", -EACCES},
        {"regex:http://a/.*", "http://a/x/..%2fb", 0}, /* one segment, not two */
        {"hash:sha-256;2tderfWPa86Ku7YnzW51YUp7dGUjBS_3SW3ELx4hmWY",
         "HTTP://CDNI.example:80/%66oo/bar", 0},
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
        const char *path, *query;
        int r;
        const char *token, *stripped;
    } cases[] = {
        {"/;" P "T.a-b_c/v/a/master.m3u8", NULL, 0, "T.a-b_c", "/v/a/master.m3u8"},
        {"/v/a;" P "T/master.m3u8", NULL, 0, "T", "/v/a/master.m3u8"},
        {"/v/a/master.m3u8;" P "T", NULL, 0, "T", "/v/a/master.m3u8"},
        {"/v/a;x=1;" P "T;y=2/m", NULL, 0, "T", "/v/a;x=1;y=2/m"},
        {"/v/;" P "T;y=2/m", NULL, 0, "T", "/v/;y=2/m"},
        {"/v/;" P "T/a", NULL, 0, "T", "/v/a"},
        {"/;" P "T", NULL, 0, "T", "/"},
        {";" P "T", NULL, 0, "T", "/"},
        {"/;" P "T/", NULL, 0, "T", "/"},
        {"//a;" P "T//b/", NULL, 0, "T", "//a//b/"},
        {"/v/a", "x=1&" P "T&y=2", 0, "T", "/v/a"},
        {"/v/a", P "T", 0, "T", "/v/a"},
        {"/;" P "T/v", P "U", 0, "T", "/v"}, /* the path before the query */
        /* none */
        {"/v/a;x=1/b;;c", "q=1", -ENOENT, NULL, "/v/a;x=1/b;;c"},
        {"/" P "T/v", "x" P "T", -ENOENT, NULL, "/" P "T/v"},
        {"/v;uRISigningPackage=T", NULL, -ENOENT, NULL, "/v;uRISigningPackage=T"},
        {"", NULL, -ENOENT, NULL, ""},
        {NULL, NULL, -ENOENT, NULL, ""},
        /* more than one, and nothing */
        {"/;" P "T/v/;" P "T/a", NULL, -EBADMSG, NULL, NULL},
        {"/;" P "T;" P "U/v", NULL, -EBADMSG, NULL, NULL},
        {"/v", P "T&" P "U", -EBADMSG, NULL, NULL},
        {"/;" P "/v", NULL, -EBADMSG, NULL, NULL},
        {"/v", P, -EBADMSG, NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str token = STR("untouched");
        CLEAN_BUF struct buf path = BUF_EMPTY;
        int r = token_extract(str_of(cases[i].path), str_of(cases[i].query), &token, &path);
        if (r != cases[i].r)
            fail_msg("case %zu: %d", i, r);
        assert_true(str_eq(token, str_of(r == 0 ? cases[i].token : "untouched")));
        if (r != -EBADMSG && !str_eq(buf_str(&path), str_of(cases[i].stripped)))
            fail_msg("case %zu: path " STR_FMT, i, STR_ARG(buf_str(&path)));
        if (r == -EBADMSG)
            assert_int_equal(path.size, 0);
    }
}

static void token_uri_test_cookies(void **state)
{
    (void)state;
    static const struct {
        const char *cookie, *tokens, *stripped;
    } cases[] = {
        {NULL, "", ""},
        {"", "", ""},
        {P "T", "T ", ""},
        {"a=b; " P "T; c=d", "T ", "a=b; c=d"},
        {"a=b;" P "\"T\"", "T ", "a=b"},
        {P "T; " P "U;c", "T U ", "c"},
        {P "; " P "U", "U ", ""},
        {"x" P "T; uRISigningPackage=U", "", "x" P "T; uRISigningPackage=U"},
        {";;a=b; ;", "", "a=b"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str rest = str_of(cases[i].cookie);
        struct str token;
        CLEAN_BUF struct buf all = BUF_EMPTY;
        CLEAN_BUF struct buf stripped = BUF_EMPTY;
        while (token_next_cookie(&rest, &token))
            buf_printf(&all, STR_FMT " ", STR_ARG(token));
        token_strip_cookie(str_of(cases[i].cookie), &stripped);
        if (!str_eq(buf_str(&all), str_of(cases[i].tokens)) ||
            !str_eq(buf_str(&stripped), str_of(cases[i].stripped)))
            fail_msg("case %zu: %s, %s", i, all.data, stripped.data);
    }
    static const char *const queries[][2] = {
        {"", ""},           {"a=1&b", "a=1&b"},
        {P "T", ""},        {"a=1&" P "T&b&" P "U", "a=1&b"},
        {P "T&a=1", "a=1"}, {"a=1&" P "T&b", "a=1&b"},
        {"&a&&", "&a&&"},   {"&", "&"},
    };
    for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
        CLEAN_BUF struct buf stripped = BUF_EMPTY;
        token_strip_query(str_of(queries[i][0]), &stripped);
        assert_true(str_eq(buf_str(&stripped), str_of(queries[i][1])));
    }
}

static void token_uri_test_cookie_paths(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        uint32_t depth;
        const char *expected;
    } cases[] = {
        {"/a/b/c.mpd", 0, "/"},
        {"/a/b/c.mpd", 1, "/a"},
        {"/a/b/c.mpd", 2, "/a/b"},
        {"/a/b/c.mpd", 3, "/a/b/c.mpd"},
        {"/a/b/c.mpd", UINT32_MAX, "/a/b/c.mpd"},
        {"/", 2, "/"},
        {"", 2, "/"},
        {"*", 2, "/"},
        {"/;" P "T/a/b", 2, "/"},
        {"/a;x/b", 2, "/"},
        {"/a/b;" P "T/c", 2, "/a"},
        {"//b", 2, "/"},
        {"/a/\x01/c", 3, "/a"},
        {"/a,b/c", 3, "/"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEAN_BUF struct buf path = BUF_EMPTY;
        token_cookie_path(str_of(cases[i].path), cases[i].depth, &path);
        assert_string_equal(path.data, cases[i].expected);
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
        int r = token_extract(buf_str(&path), STR_NONE, &token, &stripped);
        assert_int_equal(r, over == 0 ? 0 : -EBADMSG);
        if (r == 0)
            assert_int_equal(token.size, TOKEN_SIZE_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_uri_test_asset),      cmocka_unit_test(token_uri_test_a_view_alone),
        cmocka_unit_test(token_uri_test_containers), cmocka_unit_test(token_uri_test_extract),
        cmocka_unit_test(token_uri_test_cookies),    cmocka_unit_test(token_uri_test_cookie_paths),
        cmocka_unit_test(token_uri_test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
