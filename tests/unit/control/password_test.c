/* SPDX-License-Identifier: Apache-2.0 */
#include "control/password.h"
#include <errno.h>
#include <string.h>
#include "control/valid.h"
#include "../unit.h"

static void test_password_hash(void **state)
{
    (void)state;
    char a[PASSWORD_HASH_SIZE];
    char b[PASSWORD_HASH_SIZE];
    bool matches = false;
    assert_int_equal(password_hash(STR("correct horse"), a), 0);
    assert_int_equal(password_hash(STR("correct horse"), b), 0);
    assert_memory_equal(a, "$2b$12$", 7);
    assert_int_equal(strlen(a), 60);
    assert_string_not_equal(a, b); /* salted */
    assert_int_equal(password_check(STR("correct horse"), a, &matches), 0);
    assert_true(matches);
    assert_int_equal(password_check(STR_NONE, a, &matches), 0);
    assert_false(matches);
    assert_int_equal(password_check(STR("correct horsf"), a, &matches), 0);
    assert_false(matches);
    /* A published vector of the algorithm: an independent implementation made this hash. */
    assert_int_equal(password_check(STR("U*U"),
                                    "$2a$05$CCCCCCCCCCCCCCCCCCCCC."
                                    "E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                                    &matches),
                     0);
    assert_true(matches);
    assert_int_equal(password_hash(STR("zero\0in it"), a), -EINVAL);
}

/* bcrypt reads 72 bytes: a longer text must not match the hash of its beginning. */
static void test_password_cut(void **state)
{
    (void)state;
    char text[74];
    char hash[PASSWORD_HASH_SIZE];
    bool matches = true;
    memset(text, 'x', sizeof text);
    assert_int_equal(password_hash((struct str){text, 72}, hash), 0);
    assert_int_equal(password_hash((struct str){text, 73}, hash), -EINVAL);
    assert_int_equal(password_check((struct str){text, 73}, hash, &matches), 0);
    assert_false(matches);
    assert_int_equal(password_check((struct str){text, 72}, hash, &matches), 0);
    assert_true(matches);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_password_hash),
        cmocka_unit_test(test_password_cut),
    };
    return cmocka_run_group_tests_name("control password", tests, NULL, NULL);
}
