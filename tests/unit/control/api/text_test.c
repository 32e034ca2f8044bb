/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/text.h"
#include <errno.h>
#include <stdlib.h>
#include "../../unit.h"

static void test_utf8(void **state)
{
    static const char *const good[] = {"",
                                       "a",
                                       "\xc3\xa4",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc3",
                                      "\xc3x",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "a\xe2\x82"};
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(good); i++)
        assert_true(text_is_utf8(str_of(good[i])));
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(text_is_utf8(str_of(bad[i])));
    assert_false(text_is_utf8((struct str){"a\0b", 3}));
}

static int read_json(const char *text, size_t max, struct fault *fault)
{
    json_t *value = NULL;
    int r = text_read_json(str_of(text), max, &value, fault);
    json_decref(value);
    return r;
}

static void test_json(void **state)
{
    static const char *const bad[] = {"",
                                      "{",
                                      "{\"a\":1,\"a\":2}",
                                      "\xff",
                                      "\"\xc3\"",
                                      "{\"a\":\"\\u0000\"}",
                                      "{} {}",
                                      "{\"a\":1e999}",
                                      "{\"a\":99999999999999999999}",
                                      "\"\\ud800\"",
                                      "nul",
                                      "{'a':1}"};
    struct fault fault = {0};
    (void)state;
    assert_int_equal(read_json("{\"a\":[1,\"]]]]\\\"[[[\",null]}", 100, &fault), 0);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(read_json(bad[i], 100, &fault), -EPROTO);
        assert_int_equal(fault.status, 400);
        assert_string_equal(fault.code, "JSON_INVALID");
    }
    json_t *value = NULL;
    assert_int_equal(text_read_json((struct str){"[20\0]", 5}, 100, &value, &fault), -EPROTO);
    assert_int_equal(fault.status, 400);
    assert_null(value);
    assert_int_equal(read_json("[1,2,3]", 6, &fault), -EPROTO);
    assert_int_equal(fault.status, 413);
}

static void test_depth(void **state)
{
    char text[2 * TEXT_JSON_DEPTH_MAX + 3];
    struct fault fault = {0};
    (void)state;
    for (size_t depth = TEXT_JSON_DEPTH_MAX; depth <= TEXT_JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = '\0';
        assert_int_equal(read_json(text, sizeof text, &fault),
                         depth <= TEXT_JSON_DEPTH_MAX ? 0 : -EPROTO);
    }
    assert_non_null(strstr(fault.message, "deeper"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
