/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"
#include <errno.h>
#include "../unit.h"

static void str_test_cut(void **state)
{
    (void)state;
    struct str rest;
    assert_true(str_eq(str_cut(STR("a=b=c"), '=', &rest), STR("a")));
    assert_true(str_eq(rest, STR("b=c")));
    assert_true(str_eq(str_cut(STR("abc"), '=', &rest), STR("abc")));
    assert_int_equal(rest.size, 0);
    assert_true(str_eq(str_cut(STR_NONE, '=', &rest), STR("")));
}

static void str_test_numbers(void **state)
{
    (void)state;
    uint64_t v = 7;
    assert_int_equal(str_to_u64(STR("18446744073709551615"), &v), 0);
    assert_true(v == UINT64_MAX);
    assert_int_equal(str_to_u64(STR("18446744073709551616"), &v), -ERANGE);
    assert_int_equal(str_to_u64(STR(""), &v), -EINVAL);
    assert_int_equal(str_to_u64(STR("-1"), &v), -EINVAL);
    assert_int_equal(str_to_u64(STR("1 "), &v), -EINVAL);
    assert_true(v == UINT64_MAX); /* untouched on failure */
    int64_t i = 7;
    assert_int_equal(str_to_i64(STR("9223372036854775808"), &i), -ERANGE);
    assert_int_equal(str_to_i64(STR("--1"), &i), -EINVAL);
    assert_int_equal(str_to_i64(STR("-"), &i), -EINVAL);
    assert_true(i == 7);
    assert_int_equal(str_to_i64(STR("-9223372036854775808"), &i), 0);
    assert_true(i == INT64_MIN);
    assert_int_equal(str_to_i64(STR("42"), &i), 0);
    assert_true(i == 42);
}

static void str_test_sizes(void **state)
{
    (void)state;
    uint64_t v = 0;
    assert_int_equal(str_to_size(STR("64K"), &v), 0);
    assert_true(v == 65536);
    assert_int_equal(str_to_size(STR("2GiB"), &v), 0);
    assert_true(v == UINT64_C(2) << 30);
    assert_int_equal(str_to_size(STR("5 parsecs"), &v), -EINVAL);
    assert_int_equal(str_to_size(STR("99999999T"), &v), -ERANGE);
}

static void str_test_trim(void **state)
{
    (void)state;
    assert_true(str_eq(str_trim(STR(" \ta b\t ")), STR("a b")));
    assert_int_equal(str_trim(STR("  ")).size, 0);
    assert_true(str_eq(str_behind_http(STR("https://a/b")), STR("a/b")));
    assert_true(str_eq(str_behind_http(STR("http://a")), STR("a")));
    assert_non_null(str_behind_http(STR("http://")).data);
    static const char *const none[] = {"", "http:/", "https:", "HTTP://a", "ftp://a", " http://a"};
    for (unsigned i = 0; i < ARRAY_LEN(none); i++)
        assert_null(str_behind_http(str_of(none[i])).data);
    assert_true(str_starts(STR("abc"), STR("ab")));
    assert_false(str_starts(STR("a"), STR("ab")));
    assert_true(str_ends(STR("x.m4s"), STR(".m4s")));
    assert_true(str_eq_nocase(STR("ETag"), STR("etag")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(str_test_cut),
        cmocka_unit_test(str_test_numbers),
        cmocka_unit_test(str_test_sizes),
        cmocka_unit_test(str_test_trim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
