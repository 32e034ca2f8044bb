/* SPDX-License-Identifier: Apache-2.0 */
#include "base/field.h"
#include "../unit.h"

static const struct field field_test_list[] = {
    {{"host", 4}, {"a", 1}}, {{"connection", 10}, {"close, X-Own", 12}},
    {{"vary", 4}, {"a", 1}}, {{"connection", 10}, {"other", 5}},
    {{"vary", 4}, {"b", 1}}, {{"x-own", 5}, {"1", 1}},
};
static const struct fields field_test_fields = {field_test_list, ARRAY_LEN(field_test_list)};

static void field_test_get(void **state)
{
    (void)state;
    assert_true(str_eq(fields_get(&field_test_fields, STR("vary")), STR("a")));
    assert_null(fields_get(&field_test_fields, STR("age")).data);
}

static void field_test_join(void **state)
{
    (void)state;
    CLEAN_BUF struct buf out = BUF_EMPTY;
    fields_join(&field_test_fields, STR("age"), &out);
    assert_int_equal(buf_str(&out).size, 0);
    fields_join(&field_test_fields, STR("vary"), &out);
    assert_true(str_eq(buf_str(&out), STR("a, b")));
}

static void field_test_hop_by_hop(void **state)
{
    (void)state;
    assert_true(field_is_hop_by_hop(&field_test_fields, STR("connection")));
    assert_true(field_is_hop_by_hop(&field_test_fields, STR("transfer-encoding")));
    assert_true(field_is_hop_by_hop(&field_test_fields, STR("x-own")));
    assert_true(field_is_hop_by_hop(&field_test_fields, STR("other")));
    assert_false(field_is_hop_by_hop(&field_test_fields, STR("vary")));
    assert_false(field_is_hop_by_hop(&field_test_fields, STR("host")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(field_test_get),
        cmocka_unit_test(field_test_join),
        cmocka_unit_test(field_test_hop_by_hop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
