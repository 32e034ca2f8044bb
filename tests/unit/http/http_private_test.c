/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_private.h"
#include "../unit.h"

static void private_test_rest(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"public", ""},
        {"public, max-age=60", "max-age=60"},
        {"max-age=60 ,S-MaxAge=600,, Public", "max-age=60"},
        {"private=\"a, public\", max-age=1", "max-age=1"},
        {"no-cache=\"set-cookie, x\", proxy-revalidate", "no-cache=\"set-cookie, x\""},
        {"no-cache=\"a\\\", public\", public", "no-cache=\"a\\\", public\""},
        {"no-store", "no-store"},
        {"publicly, max-age=1", "publicly, max-age=1"},
        {"x=\"public, s-maxage=1", "x=\"public, s-maxage=1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEAN_BUF struct buf out = BUF_EMPTY;
        http_private_rest(str_of(cases[i][0]), &out);
        if (!str_eq(buf_str(&out), str_of(cases[i][1])))
            fail_msg("%s gives " STR_FMT, cases[i][0], STR_ARG(buf_str(&out)));
    }
    assert_true(http_private_hides(STR("cdn-cache-control")));
    assert_false(http_private_hides(STR("cache-control")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(private_test_rest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
