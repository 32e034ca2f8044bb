/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_cond.h"
#include "../unit.h"

static void all_three_forms_of_a_date_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t expected; /* -1: refused */
    } cases[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"Sun Nov 16 08:49:37 1994", 784975777},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Thu, 29 Feb 2024 12:00:00 GMT", 1709208000},
        {"Sun, 06 Nov 1994 08:49:37 UTC", -1},
        {"Sun, 06 Nov 1994 08:49:37", -1},
        {"Xxx, 06 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nox 1994 08:49:37 GMT", -1},
        {"Sun, 00 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 32 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 24:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 08:60:37 GMT", -1},
        {"Sun, 06 Nov 1994 08:49:61 GMT", -1},
        {"Sun, 06 Nov 199x 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 08-49-37 GMT", -1},
        {"Sunday, 06-Nov-9 08:49:37 GMT", -1},
        {"Sunday, 06-Nov-94", -1},
        {"Sun", -1},
        {"", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t got = -1;
        int r = http_date_parse(str_of(cases[i].text), &got);
        assert_int_equal(r == 0, cases[i].expected >= 0);
        assert_int_equal(got, cases[i].expected);
    }
}

#define DATE_AT     "Sun, 06 Nov 1994 08:49:37 GMT"
#define DATE_BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define DATE_BEHIND "Sun, 06 Nov 1994 08:49:38 GMT"

enum { GO = HTTP_COND_GO, SAME = HTTP_COND_NOT_MODIFIED, FAIL = HTTP_COND_FAILED };

static void preconditions_hold_or_not_in_the_order_of_the_rfc(void **state)
{
    (void)state;
    static const struct {
        const char *match, *none_match, *since, *unmodified;
        const char *etag;
        int64_t modified_s;
        bool is_write;
        int expected;
    } cases[] = {
        {NULL, NULL, NULL, NULL, "\"a\"", 784111777, false, GO},
        {"\"a\"", NULL, NULL, NULL, "\"a\"", 0, false, GO},
        {"\"b\"", NULL, NULL, NULL, "\"a\"", 0, false, FAIL},
        {"\"b\", \"a\"", NULL, NULL, NULL, "\"a\"", 0, false, GO},
        {"\"b\",\"a\"", NULL, NULL, NULL, "\"a\"", 0, false, GO},
        {"*", NULL, NULL, NULL, "\"a\"", 0, false, GO},
        {"W/\"a\"", NULL, NULL, NULL, "\"a\"", 0, false, FAIL}, /* strong comparison */
        {"", NULL, NULL, NULL, "\"a\"", 0, false, FAIL},
        {"a", NULL, NULL, NULL, "a", 0, false, FAIL}, /* not a tag */
        {"\"a\"", NULL, NULL, NULL, NULL, 0, false, FAIL},
        {NULL, "\"a\"", NULL, NULL, "\"a\"", 0, false, SAME},
        {NULL, "W/\"a\"", NULL, NULL, "\"a\"", 0, false, SAME}, /* weak comparison */
        {NULL, "\"a\"", NULL, NULL, "W/\"a\"", 0, false, SAME},
        {NULL, "\"b\"", NULL, NULL, "\"a\"", 0, false, GO},
        {NULL, "\"b\", W/\"a\"", NULL, NULL, "\"a\"", 0, false, SAME},
        {NULL, "*", NULL, NULL, "\"a\"", 0, false, SAME},
        {NULL, "*", NULL, NULL, "\"a\"", 0, true, FAIL},
        {NULL, "\"b\"", NULL, NULL, "\"a\"", 0, true, GO},
        {NULL, "\"b\" \"a\"", NULL, NULL, "\"a\"", 0, false, GO}, /* no list */
        {NULL, "\"a", NULL, NULL, "\"a\"", 0, false, GO},
        {NULL, "W/", NULL, NULL, "\"a\"", 0, false, GO},
        {NULL, "\"b,\", \"a\"", NULL, NULL, "\"a\"", 0, false, SAME}, /* a comma within a tag */
        {NULL, NULL, DATE_AT, NULL, NULL, 784111777, false, SAME},
        {NULL, NULL, DATE_BEHIND, NULL, NULL, 784111777, false, SAME},
        {NULL, NULL, DATE_BEFORE, NULL, NULL, 784111777, false, GO},
        {NULL, NULL, "yesterday", NULL, NULL, 784111777, false, GO},
        {NULL, NULL, DATE_AT, NULL, NULL, 0, false, GO},
        {NULL, NULL, DATE_AT, NULL, NULL, 784111777, true, GO},
        {NULL, NULL, NULL, DATE_AT, NULL, 784111777, false, GO},
        {NULL, NULL, NULL, DATE_BEFORE, NULL, 784111777, false, FAIL},
        {NULL, NULL, NULL, "tomorrow", NULL, 784111777, false, GO},
        /* If-Match hides If-Unmodified-Since, If-None-Match hides If-Modified-Since. */
        {"\"a\"", NULL, NULL, DATE_BEFORE, "\"a\"", 784111777, false, GO},
        {NULL, "\"b\"", DATE_AT, NULL, "\"a\"", 784111777, false, GO},
        {"\"b\"", "\"a\"", NULL, NULL, "\"a\"", 0, false, FAIL},
        {"\"a\"", "\"a\"", NULL, NULL, "\"a\"", 0, false, SAME},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct http_conditions c = {str_of(cases[i].match), str_of(cases[i].none_match),
                                          str_of(cases[i].since), str_of(cases[i].unmodified)};
        const struct http_validators v = {str_of(cases[i].etag), cases[i].modified_s};
        assert_int_equal((int)http_cond_check(&c, &v, !cases[i].is_write), cases[i].expected);
    }
}

static void if_range_wants_the_very_same_representation(void **state)
{
    (void)state;
    const struct http_validators v = {STR("\"a\""), 784111777};
    const struct http_validators weak = {STR("W/\"a\""), 0};
    assert_true(http_cond_if_range(STR_NONE, &v));
    assert_true(http_cond_if_range(STR("\"a\""), &v));
    assert_false(http_cond_if_range(STR("\"b\""), &v));
    assert_false(http_cond_if_range(STR("W/\"a\""), &v));
    assert_false(http_cond_if_range(STR("\"a\""), &weak));
    assert_false(http_cond_if_range(STR("W/\"a\""), &weak));
    assert_true(http_cond_if_range(STR(DATE_AT), &v));
    assert_false(http_cond_if_range(STR(DATE_BEFORE), &v));
    assert_false(http_cond_if_range(STR(DATE_BEHIND), &v));
    assert_false(http_cond_if_range(STR(DATE_AT), &weak));
    assert_false(http_cond_if_range(STR(""), &v));
    assert_false(http_cond_if_range(STR("garbage"), &v));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_three_forms_of_a_date_are_read),
        cmocka_unit_test(preconditions_hold_or_not_in_the_order_of_the_rfc),
        cmocka_unit_test(if_range_wants_the_very_same_representation),
    };
    return cmocka_run_group_tests_name("http_cond", tests, NULL, NULL);
}
