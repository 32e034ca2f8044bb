/* SPDX-License-Identifier: Apache-2.0 */
/* What needs no provider: tests/e2e/oidc_test.py has a real one. */
#include "control/people/oidc.h"
#include <errno.h>
#include "../fixture.h"

static void test_paths(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool ok;
    } rows[] = {
        {"/", true},
        {"/watch?v=1#t", true},
        {"/#/video/film", true},
        {"", false},
        {"watch", false},
        {"//evil.example", false},
        {"/\\evil.example", false},
        {"/a\\b", false},
        {"https://evil.example/", false},
        {"javascript:alert(1)", false},
        {"/a b", false},
        {"/\t/evil.example", false},
        {"/a\r\nset-cookie: x=1", false},
        {"/\x80", false},
    };
    char longest[OIDC_PATH_MAX + 2];
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(oidc_path_ok(str_of(rows[i].path)), rows[i].ok);
    memset(longest, '/', sizeof longest);
    memset(longest + 1, 'a', sizeof longest - 1);
    assert_true(oidc_path_ok((struct str){longest, OIDC_PATH_MAX}));
    assert_false(oidc_path_ok((struct str){longest, OIDC_PATH_MAX + 1}));
}

/* A state that was not begun here, or not in this browser. */
static void test_states(void **state)
{
    struct fixture *f = *state;
    static const struct oidc_provider provider = {
        .name = "p", .issuer = "http://127.0.0.1:1", .client_id = "c"};
    struct oidc *o = NULL;
    struct fault fault = {0};
    json_t *user = NULL;
    CLEAN_BUF struct buf path = BUF_EMPTY;
    char ticket[TICKET_SIZE];
    assert_int_equal(oidc_new(&provider, 1, &o), 0);
    json_t *data = json_pack("{s:s, s:s, s:s, s:s, s:s}", "nonce", "n", "verifier", "v", "cookie",
                             "d", "path", "/", "redirect_uri", "r");
    assert_int_equal(ticket_make(f->db, "oidc", "p", data, 1, 1000, ticket), 0);
    json_decref(data);
    struct oidc_end end = {.provider = "p",
                           .redirect_uri = "r",
                           .state = "none",
                           .code = "c",
                           .cookie = STR("cookie")};
    assert_int_equal(oidc_end(o, f->db, &end, 2, &user, &path, &fault), -EPROTO);
    assert_string_equal(fault.code, "OIDC_STATE_INVALID");
    end.state = ticket; /* the cookie is not that of the browser that began */
    assert_int_equal(oidc_end(o, f->db, &end, 2, &user, &path, &fault), -EPROTO);
    assert_string_equal(fault.code, "OIDC_STATE_INVALID");
    end.provider = "other";
    assert_int_equal(oidc_end(o, f->db, &end, 2, &user, &path, &fault), -EPROTO);
    assert_string_equal(fault.code, "PROVIDER_NOT_FOUND");
    assert_null(user);
    oidc_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        FIXTURE_CASE(test_states),
    };
    return cmocka_run_group_tests_name("control people oidc", tests, NULL, NULL);
}
