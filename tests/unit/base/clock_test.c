/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include <errno.h>
#include "../unit.h"

static void test_parse(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:01.5Z", 1500},
        {"1970-01-01t00:00:01.123987z", 1123},
        {"1970-01-01T02:00:00+02:00", 0},
        {"1969-12-31T23:30:00-00:30", 0},
        {"2025-01-31T08:30:00.123Z", 1738312200123},
        {"2024-02-29T12:00:00Z", 1709208000000},
        {"2016-12-31T23:59:60Z", 1483228800000},
        {"1969-12-31T23:59:59Z", -1000},
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t ms = 42;
        print_message("%s\n", cases[i].text);
        assert_int_equal(clock_parse(str_of(cases[i].text), &ms), 0);
        assert_int_equal(ms, cases[i].ms);
    }
}

static void test_parse_refuses(void **state)
{
    static const char *const cases[] = {
        "",
        "2025",
        "2025-01-31",
        "2025-01-31T08:30:00",
        "2025-01-31 08:30:00Z",
        "2025-01-31T08:30Z",
        "2025-02-29T00:00:00Z",
        "2025-04-31T00:00:00Z",
        "2025-13-01T00:00:00Z",
        "2025-00-01T00:00:00Z",
        "2025-01-00T00:00:00Z",
        "2025-01-32T00:00:00Z",
        "2025-01-31T24:00:00Z",
        "2025-01-31T08:60:00Z",
        "2025-01-31T08:30:61Z",
        "2025-01-31T08:30:00.Z",
        "2025-01-31T08:30:00+2:00",
        "2025-01-31T08:30:00+24:00",
        "2025-01-31T08:30:00+02:60",
        "2025-01-31T08:30:00Zulu",
        "+025-01-31T08:30:00Z",
        "2025-01-31T-8:30:00Z",
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t ms = 42;
        print_message("%s\n", cases[i]);
        assert_int_equal(clock_parse(str_of(cases[i]), &ms), -EINVAL);
        assert_int_equal(ms, 42);
    }
}

static void test_round(void **state)
{
    (void)state;
    for (int64_t ms = -30610224000000; ms < 253402300799000; ms += 86399999123 * 7) {
        char text[CLOCK_TEXT_SIZE];
        int64_t back = 0;
        clock_format(ms - ms % 1000, text);
        assert_int_equal(clock_parse(str_of(text), &back), 0);
        assert_int_equal(back, ms - ms % 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_round),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
