/* SPDX-License-Identifier: Apache-2.0 */
#include "control/valid.h"
#include <errno.h>
#include <stdio.h>
#include "../unit.h"

static void test_email(void **state)
{
    (void)state;
    static const char *const good[] = {
        "a@b.co", "first.last+tag@sub.example.org", "o'neil_%x{y}@x-y.example",
        "1@2.c3", "a@xn--bcher-kva.example",
    };
    static const char *const bad[] = {
        "",
        "a",
        "@",
        "a@",
        "@b.co",
        "a@b",
        "a@b.",
        "a@.b.co",
        "a@b..co",
        "a.@b.co",
        ".a@b.co",
        "a..b@b.co",
        "a b@c.de",
        "a@b c.de",
        "a@b@c.de",
        "\"a\"@b.co",
        "a@-b.co",
        "a@b-.co",
        "a@1.2.3.4",
        "a@[1.2.3.4]",
        "a@b.co\n",
        "<a@b.co>",
        "\xc3\xa4@b.co",
        "a@b_c.de",
        "a@b.co\r\nbcc:x",
    };
    char out[VALID_EMAIL_SIZE];
    for (unsigned i = 0; i < ARRAY_LEN(good); i++) {
        struct fault fault = {0};
        assert_int_equal(valid_email(str_of(good[i]), out, &fault), 0);
        assert_string_equal(out, good[i]);
    }
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct fault fault = {0};
        assert_int_equal(valid_email(str_of(bad[i]), out, &fault), -EPROTO);
        assert_int_equal(fault.status, 422);
        assert_string_equal(fault.code, "EMAIL_INVALID");
    }
    struct fault fault = {0};
    assert_int_equal(valid_email(STR("Ada.L@EXAMPLE.Org"), out, &fault), 0);
    assert_string_equal(out, "ada.l@example.org");
    assert_int_equal(valid_email(STR("a\0@b.co"), out, &fault), -EPROTO);
}

static void test_email_sizes(void **state)
{
    (void)state;
    char out[VALID_EMAIL_SIZE];
    char text[400];
    struct fault fault = {0};
    const char *label = "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabc"; /* 63 */
    (void)snprintf(text, sizeof text, "%sx@b.co", label);
    assert_int_equal(valid_email(str_of(text), out, &fault), 0); /* 64 before the @ */
    (void)snprintf(text, sizeof text, "%sxx@b.co", label);
    assert_int_equal(valid_email(str_of(text), out, &fault), -EPROTO);
    (void)snprintf(text, sizeof text, "a@%s.co", label);
    assert_int_equal(valid_email(str_of(text), out, &fault), 0);
    (void)snprintf(text, sizeof text, "a@%sx.co", label);
    assert_int_equal(valid_email(str_of(text), out, &fault), -EPROTO);
    (void)snprintf(text, sizeof text, "%s@%s.%s.%s", label, label, label, label + 1);
    assert_int_equal(strlen(text), 254);
    assert_int_equal(valid_email(str_of(text), out, &fault), 0);
    (void)snprintf(text, sizeof text, "%s@%s.%s.%s", label, label, label, label);
    assert_int_equal(valid_email(str_of(text), out, &fault), -EPROTO);
}

static void test_password(void **state)
{
    (void)state;
    char text[74];
    struct fault fault = {0};
    assert_int_equal(valid_password(STR("1234567"), &fault), -EPROTO);
    assert_string_equal(fault.code, "PASSWORD_TOO_SHORT");
    assert_int_equal(valid_password(STR("12345678"), &fault), 0);
    /* Characters, not bytes: four of three bytes are too few. */
    assert_int_equal(
        valid_password(STR("\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"), &fault), -EPROTO);
    memset(text, 'x', sizeof text);
    assert_int_equal(valid_password((struct str){text, 72}, &fault), 0);
    assert_int_equal(valid_password((struct str){text, 73}, &fault), -EPROTO);
    assert_string_equal(fault.code, "PASSWORD_TOO_LONG");
}

static void test_asset(void **state)
{
    (void)state;
    char text[130];
    memset(text, 'a', sizeof text);
    assert_true(valid_is_asset((struct str){text, 128}));
    assert_false(valid_is_asset((struct str){text, 129}));
    assert_true(valid_is_asset(STR("A-z_0.9")));
    assert_false(valid_is_asset(STR("")));
    assert_false(valid_is_asset(STR(".a")));
    assert_false(valid_is_asset(STR("a/b")));
    assert_false(valid_is_asset(STR("a%2fb")));
    assert_false(valid_is_asset(STR("a\0b")));
    assert_false(valid_is_asset(STR("\xc3\xa4")));
}

static void test_origin(void **state)
{
    (void)state;
    struct str https = STR("https");
    struct str host = STR("tv.example:8443");
    struct str none = STR_NONE;
    assert_true(valid_is_origin(STR("https://tv.example:8443"), https, host, none));
    assert_true(valid_is_origin(STR("HTTPS://TV.example:8443"), https, host, none));
    assert_false(valid_is_origin(STR("http://tv.example:8443"), https, host, none));
    assert_false(valid_is_origin(STR("https://tv.example"), https, host, none));
    assert_false(valid_is_origin(STR("https://tv.example:84433"), https, host, none));
    assert_false(valid_is_origin(STR("https://evil.tv.example:8443"), https, host, none));
    assert_false(valid_is_origin(STR("null"), https, host, none));
    assert_false(valid_is_origin(STR(""), https, host, none));
    assert_false(valid_is_origin(STR("https://"), https, STR_NONE, none));
    /* Behind a proxy that ends TLS. */
    struct str http = STR("http");
    struct str inside = STR("127.0.0.1:80");
    assert_true(
        valid_is_origin(STR("https://tv.example"), http, inside, STR("https://tv.example")));
    assert_true(
        valid_is_origin(STR("https://tv.example"), http, inside, STR("https://tv.example/")));
    assert_false(
        valid_is_origin(STR("https://tv.exampl"), http, inside, STR("https://tv.example")));
}

static void test_headers(void **state)
{
    (void)state;
    assert_true(valid_is_json_type(STR("application/json")));
    assert_true(valid_is_json_type(STR("Application/JSON ; charset=utf-8")));
    assert_false(valid_is_json_type(STR("application/jsonp")));
    assert_false(valid_is_json_type(STR("text/plain; application/json")));
    assert_false(valid_is_json_type(STR_NONE));
    struct str name = STR("s");
    assert_true(str_eq(valid_cookie(STR("s=1"), name), STR("1")));
    assert_true(str_eq(valid_cookie(STR("xs=0; s=a=b ;s=2"), name), STR("a=b")));
    assert_int_equal(valid_cookie(STR("x=s=1; S=2; s"), name).size, 0);
    assert_int_equal(valid_cookie(STR_NONE, name).size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_email),    cmocka_unit_test(test_email_sizes),
        cmocka_unit_test(test_password), cmocka_unit_test(test_asset),

        cmocka_unit_test(test_origin),   cmocka_unit_test(test_headers),
    };
    return cmocka_run_group_tests_name("control valid", tests, NULL, NULL);
}
