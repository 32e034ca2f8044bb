/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_range.h"
#include <stdio.h>
#include "../unit.h"

/* "OUTSIDE", "WHOLE", or "first+size first+size". */
static void describe(const char *header, uint64_t total, char *out, size_t out_size)
{
    struct http_range r[HTTP_RANGES_MAX];
    unsigned count = 999;
    enum http_range_kind kind = http_range_parse(str_of(header), total, r, &count);
    if (kind != HTTP_RANGE_SOME) {
        assert_int_equal(count, 999); /* untouched */
        (void)snprintf(out, out_size, "%s", kind == HTTP_RANGE_WHOLE ? "WHOLE" : "OUTSIDE");
        return;
    }
    size_t used = 0;
    for (unsigned i = 0; i < count; i++)
        used += (size_t)snprintf(out + used, out_size - used, "%s%llu+%llu", i > 0 ? " " : "",
                                 (unsigned long long)r[i].first, (unsigned long long)r[i].size);
}

static void ranges_are_read_as_rfc_9110_has_them(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        uint64_t total;
        const char *expected;
    } cases[] = {
        {"bytes=0-0", 10, "0+1"},
        {"bytes=0-9", 10, "0+10"},
        {"bytes=0-99", 10, "0+10"},
        {"bytes=9-", 10, "9+1"},
        {"bytes=-1", 10, "9+1"},
        {"bytes=-10", 10, "0+10"},
        {"bytes=-11", 10, "0+10"},
        {"Bytes = 0-1", 10, "WHOLE"},
        {"BYTES=0-1", 10, "0+2"},
        {" bytes=2-3 ", 10, "2+2"},
        {"bytes=0-1,3-4", 10, "0+2 3+2"},
        {"bytes= 0-1 , , 3-4 ,", 10, "0+2 3+2"},
        {"bytes=8-9,0-1", 10, "8+2 0+2"},
        {"bytes=0-1,20-30", 10, "0+2"},
        {"bytes=10-", 10, "OUTSIDE"},
        {"bytes=10-20,30-40", 10, "OUTSIDE"},
        {"bytes=-0", 10, "OUTSIDE"},
        {"bytes=0-", 0, "OUTSIDE"},
        {"bytes=-5", 0, "OUTSIDE"},
        {"bytes=0-5,5-9", 10, "WHOLE"}, /* overlap */
        {"bytes=0-,-1", 10, "WHOLE"},
        {"bytes=5-4", 10, "WHOLE"},
        {"bytes=a-b", 10, "WHOLE"},
        {"bytes=1", 10, "WHOLE"},
        {"bytes=-", 10, "WHOLE"},
        {"bytes=--1", 10, "WHOLE"},
        {"bytes=1-2-3", 10, "WHOLE"},
        {"bytes=+1-2", 10, "WHOLE"},
        {"bytes=1 - 2", 10, "WHOLE"},
        {"bytes=0-1,x", 10, "WHOLE"},
        {"bytes=", 10, "WHOLE"},
        {"bytes=,", 10, "WHOLE"},
        {"bytes", 10, "WHOLE"},
        {"", 10, "WHOLE"},
        {"items=0-1", 10, "WHOLE"},
        {"bytes=0-18446744073709551615", 10, "0+10"},
        {"bytes=0-99999999999999999999999", 10, "0+10"},
        {"bytes=99999999999999999999999-", 10, "OUTSIDE"},
        {"bytes=-99999999999999999999999", 10, "0+10"},
        {"bytes=18446744073709551613-18446744073709551615", UINT64_MAX - 1,
         "18446744073709551613+1"},
        {"bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,"
         "30-30",
         100, "0+1 2+1 4+1 6+1 8+1 10+1 12+1 14+1 16+1 18+1 20+1 22+1 24+1 26+1 28+1 30+1"},
        {"bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,"
         "30-30,32-32",
         100, "WHOLE"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char got[512];
        describe(cases[i].header, cases[i].total, got, sizeof got);
        assert_string_equal(got, cases[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ranges_are_read_as_rfc_9110_has_them)};
    return cmocka_run_group_tests_name("http_range", tests, NULL, NULL);
}
