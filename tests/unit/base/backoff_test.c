/* SPDX-License-Identifier: Apache-2.0 */
#include "base/backoff.h"
#include "../unit.h"

static void backoff_test_grows(void **state)
{
    (void)state;
    static const struct {
        unsigned failures;
        uint64_t full_ms;
    } cases[] = {{0, 50}, {1, 50}, {2, 100}, {3, 200}, {6, 1600}, {7, 2000}, {UINT32_MAX, 2000}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (unsigned n = 0; n < 1000; n++)
            assert_in_range(backoff_ms(cases[i].failures, 50, 2000), cases[i].full_ms / 2,
                            cases[i].full_ms);
}

static void backoff_test_is_spread(void **state)
{
    (void)state;
    uint64_t low = UINT64_MAX, high = 0;
    for (unsigned n = 0; n < 1000; n++) {
        uint64_t ms = backoff_ms(1, 1000, 1000);
        low = MIN(low, ms);
        high = MAX(high, ms);
    }
    assert_true(high - low > 250);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backoff_test_grows),
        cmocka_unit_test(backoff_test_is_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
