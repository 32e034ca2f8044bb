/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/roles.h"
#include "control/api/caller.h"
#include "../../unit.h"

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum role role;
        unsigned bits;
    } rows[] = {
        {"free", ROLE_FREE, CALLER_FREE},
        {"premium", ROLE_PREMIUM, CALLER_FREE | CALLER_PREMIUM},
        {"creator", ROLE_CREATOR, CALLER_FREE | CALLER_PREMIUM | CALLER_CREATOR},
        {"admin", ROLE_ADMIN, CALLER_FREE | CALLER_PREMIUM | CALLER_CREATOR | CALLER_ADMIN},
    };
    static const char *const none[] = {"", "Free", "root", "admin ", NULL};
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        enum role role = ROLE_FREE;
        assert_true(role_of(rows[i].name, &role));
        assert_int_equal(role, rows[i].role);
        assert_string_equal(role_name(role), rows[i].name);
        assert_int_equal(role_bits(role), rows[i].bits);
    }
    for (unsigned i = 0; i < ARRAY_LEN(none); i++) {
        enum role role = ROLE_CREATOR;
        assert_false(role_of(none[i], &role));
        assert_int_equal(role, ROLE_CREATOR);
    }
}

static void test_scopes(void **state)
{
    (void)state;
    static const struct {
        const char *scope;
        bool is_for[ROLES_COUNT];
    } rows[] = {
        {"account:read", {true, true, true, true}},   {"playback", {true, true, true, true}},
        {"upload", {false, false, true, true}},       {"streams", {false, false, true, true}},
        {"admin", {false, false, false, true}},       {"", {false, false, false, false}},
        {"everything", {false, false, false, false}}, {NULL, {false, false, false, false}},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        for (unsigned role = 0; role < ROLES_COUNT; role++)
            assert_int_equal(scope_is_for(rows[i].scope, (enum role)role), rows[i].is_for[role]);
        assert_int_equal(scope_is_known(rows[i].scope), rows[i].is_for[ROLE_ADMIN]);
    }
    json_t *has = json_pack("[s, s, i]", "playback", "everything", 1);
    assert_true(scope_may(has, "playback"));
    assert_false(scope_may(has, "admin"));
    assert_false(scope_may(has, "everything"));
    assert_false(scope_may(has, NULL));
    assert_false(scope_may(NULL, "playback"));
    json_decref(has);
}

static void test_owners(void **state)
{
    (void)state;
    static const struct {
        enum role role;
        const char *user, *owner;
        bool may;
    } rows[] = {
        {ROLE_FREE, "a", "a", true},     {ROLE_FREE, "a", "b", false},
        {ROLE_CREATOR, "a", "b", false}, {ROLE_ADMIN, "a", "b", true},
        {ROLE_FREE, "", "", false},      {ROLE_FREE, NULL, NULL, false},
        {ROLE_ADMIN, "a", NULL, false},  {ROLE_FREE, "a", "ab", false},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(role_may_change(rows[i].role, rows[i].user, rows[i].owner), rows[i].may);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_scopes),
        cmocka_unit_test(test_owners),
    };
    return cmocka_run_group_tests_name("control people roles", tests, NULL, NULL);
}
