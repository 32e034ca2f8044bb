/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/once.h"
#include <errno.h>
#include <stdio.h>
#include "../unit.h"

static void once_test_take(void **state)
{
    (void)state;
    struct once *o = NULL;
    assert_int_equal(once_new(&o), 0);
    assert_int_equal(once_take(o, STR("a"), STR("http://e/1"), 100, 10), 0);
    assert_int_equal(once_take(o, STR("a"), STR("http://e/1"), 100, 99), -EEXIST);
    assert_int_equal(once_take(o, STR("a"), STR("http://e/2"), 100, 10), 0);
    assert_int_equal(once_take(o, STR("b"), STR("http://e/1"), 100, 10), 0);
    assert_int_equal(once_take(o, STR("ahttp://e"), STR("/1"), 100, 10), 0);
    assert_int_equal(once_take(o, STR("a"), STR("http://e/1"), 200, 100), 0); /* expired: anew */
    assert_int_equal(once_take(o, STR("a"), STR("http://e/1"), 200, 150), -EEXIST);
    assert_null(once_free(o));
}

/* What does not fit is refused, and nothing is forgotten for it; what expires makes room. */
static void once_test_full(void **state)
{
    (void)state;
    struct once *o = NULL;
    assert_int_equal(once_new(&o), 0);
    unsigned taken = 0, refused = 0;
    char id[16];
    for (unsigned i = 0; i < ONCE_MAX + ONCE_MAX / 8; i++) {
        (void)snprintf(id, sizeof id, "%u", i); /* fits */
        int r = once_take(o, str_of(id), STR("u"), 100, 10);
        assert_true(r == 0 || r == -ENOSPC);
        taken += r == 0;
        refused += r == -ENOSPC;
    }
    assert_true(refused >= ONCE_MAX / 8);
    assert_true(taken > ONCE_MAX / 2);
    assert_int_equal(once_take(o, STR("0"), STR("u"), 100, 10), -EEXIST);
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(id, sizeof id, "n%u", i); /* fits */
        assert_int_equal(once_take(o, str_of(id), STR("u"), 200, 100), 0);
    }
    assert_null(once_free(o));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(once_test_take),
        cmocka_unit_test(once_test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
