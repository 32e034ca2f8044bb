/* SPDX-License-Identifier: Apache-2.0 */
#include "control/plans/plan.h"
#include <errno.h>
#include "../../unit.h"

static struct plan_list *defaults(void)
{
    struct plan_list *l = NULL;
    assert_int_equal(plan_list_default(&l), 0);
    return l;
}

/* The seed passes its own rules, and is what it was after a way through JSON. */
static void test_defaults(void **state)
{
    (void)state;
    struct fault fault = {0};
    CLEAN(plan_list_free) struct plan_list *l = defaults();
    CLEAN(plan_list_free) struct plan_list *again = NULL;
    json_t *array = plan_list_json(l);
    assert_non_null(array);
    if (plan_list_parse(array, &again, &fault) < 0)
        fail_msg("%s", fault.message);
    json_decref(array);
    assert_int_equal(again->count, l->count);
    static const char *const ids[] = {"free", "basic", "premium", "ultimate"};
    assert_int_equal(l->count, ARRAY_LEN(ids));
    for (unsigned i = 0; i < l->count; i++) {
        const struct plan *a = &l->at[i], *b = &again->at[i];
        assert_string_equal(a->id, ids[i]);
        assert_true(strcmp(a->id, b->id) == 0 && strcmp(a->name, b->name) == 0);
        assert_string_equal(a->currency, b->currency);
        assert_true(a->price == b->price && a->height_max == b->height_max);
        assert_true(a->stream_limit == b->stream_limit && a->ads == b->ads);
        assert_int_equal(a->downloads, b->downloads);
    }
}

static void test_includes(void **state)
{
    (void)state;
    CLEAN(plan_list_free) struct plan_list *l = defaults();
    for (unsigned have = 0; have < l->count; have++) {
        for (unsigned needs = 0; needs < l->count; needs++)
            assert_int_equal(plan_includes(l, &l->at[have], l->at[needs].id), have >= needs);
        assert_true(plan_includes(l, &l->at[have], NULL));
        assert_int_equal(plan_includes(l, &l->at[have], "gone"), have == l->count - 1);
    }
    assert_null(plan_find(l, "gone"));
    assert_null(plan_find(l, NULL));
    assert_ptr_equal(plan_find(l, "premium"), &l->at[2]);
}

/* Each case changes one member of one plan of the defaults. */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        unsigned plan;
        const char *member, *value, *code; /* value NULL: the member is taken away */
    } cases[] = {
        {1, "id", "\"\"", "PLAN_INVALID"},
        {1, "id", "\"Basic\"", "PLAN_INVALID"},
        {1, "id", "\"1basic\"", "PLAN_INVALID"},
        {1, "id", "\"free\"", "PLAN_TWICE"},
        {1, "id", "\"a\\u0000b\"", "PLAN_INVALID"},
        {1, "id", "7", "PLAN_INVALID"},
        {1, "id", NULL, "PLAN_INVALID"},
        {1, "id", "\"abcdefghijklmnopqrstuvwxyzabcdefg\"", "PLAN_INVALID"},
        {1, "name", "\"\"", "PLAN_INVALID"},
        {1, "name", "\"a\\nb\"", "PLAN_INVALID"},
        {1, "currency", "\"eur\"", "PLAN_INVALID"},
        {1, "currency", "\"EURO\"", "PLAN_INVALID"},
        {1, "price", "-1", "PLAN_INVALID"},
        {1, "price", "5.99", "PLAN_INVALID"},
        {1, "price", "1000000001", "PLAN_INVALID"},
        {1, "height_max", "-1", "PLAN_INVALID"},
        {1, "height_max", "65536", "PLAN_INVALID"},
        {1, "stream_limit", "0", "PLAN_INVALID"},
        {1, "stream_limit", "1001", "PLAN_INVALID"},
        {1, "downloads", "1", "PLAN_INVALID"},
        {1, "ads", "null", "PLAN_INVALID"},
        {1, "color", "\"red\"", "PLAN_INVALID"},
        {1, "height_max", "479", "PLAN_INCLUDES_LESS"},
        {1, "height_max", "0", "PLAN_INCLUDES_LESS"}, /* no cap; the next one has one */
        {2, "stream_limit", "5", "PLAN_INCLUDES_LESS"},
        {3, "stream_limit", "1", "PLAN_INCLUDES_LESS"},
        {3, "downloads", "false", "PLAN_INCLUDES_LESS"},
        {2, "ads", "true", "PLAN_INCLUDES_LESS"},
    };
    CLEAN(plan_list_free) struct plan_list *l = defaults();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fault fault = {0};
        struct plan_list *none = NULL;
        json_t *array = plan_list_json(l);
        json_t *plan = json_array_get(array, cases[i].plan);
        if (cases[i].value == NULL)
            assert_int_equal(json_object_del(plan, cases[i].member), 0);
        else
            assert_int_equal(
                json_object_set_new(
                    plan, cases[i].member,
                    json_loads(cases[i].value, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL)),
                0);
        int r = plan_list_parse(array, &none, &fault);
        if (r != -EPROTO || none != NULL ||
            fault.status != (strcmp(cases[i].code, "PLAN_INVALID") == 0 ? 422U : 409U) ||
            strcmp(fault.code, cases[i].code) != 0)
            fail_msg("case %zu: %d %s %s", i, r, fault.code, fault.message);
        json_decref(array);
    }
}

static void test_counts(void **state)
{
    (void)state;
    static const char *const bad[] = {"[]", "{}", "7", "[7]", "[{}]"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct fault fault = {0};
        struct plan_list *none = NULL;
        json_t *array = json_loads(bad[i], JSON_DECODE_ANY, NULL);
        assert_int_equal(plan_list_parse(array, &none, &fault), -EPROTO);
        json_decref(array);
    }
    CLEAN(plan_list_free) struct plan_list *l = defaults();
    json_t *array = json_array();
    for (unsigned i = 0; i <= PLANS_MAX; i++) {
        struct plan p = l->at[3];
        (void)snprintf(p.id, sizeof p.id, "plan-%u", i);
        assert_int_equal(json_array_append_new(array, plan_json(&p)), 0);
    }
    struct fault fault = {0};
    struct plan_list *many = NULL;
    assert_int_equal(plan_list_parse(array, &many, &fault), -EPROTO);
    assert_int_equal(json_array_remove(array, 0), 0);
    assert_int_equal(plan_list_parse(array, &many, &fault), 0);
    plan_list_free(many);
    json_decref(array);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_includes),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_counts),
    };
    return cmocka_run_group_tests_name("control plan", tests, NULL, NULL);
}
