/* SPDX-License-Identifier: Apache-2.0 */
#include "control/users.h"
#include <errno.h>
#include <string.h>
#include <time.h>
#include "control/password.h"
#include "control/valid.h"
#include "fixture.h"

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

/* The work for nobody is the work for somebody, in this thread's CPU time. No fine measurement:
 * what skips the hash needs a thousandth, so an eighth tells them apart on the noisiest machine. */
static int64_t cpu_us(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), 0);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void test_constant_work(void **state)
{
    struct fixture *f = *state;
    struct fault fault = {0};
    json_t *user = NULL;
    assert_int_equal(users_sign_up(f->db, STR("a@x.org"), STR("password1"), 1, &user, &fault), 0);
    json_decref(user);
    static const char *const emails[] = {"a@x.org", "nobody@x.org", "not an address"};
    int64_t spent[ARRAY_LEN(emails)];
    for (unsigned i = 0; i < ARRAY_LEN(emails); i++) {
        int64_t before = cpu_us();
        fault = (struct fault){0};
        user = NULL;
        assert_int_equal(users_log_in(f->db, str_of(emails[i]), STR("password2"), &user, &fault),
                         -EPROTO);
        spent[i] = cpu_us() - before;
        assert_int_equal(fault.status, 401);
        assert_string_equal(fault.code, "LOGIN_FAILED");
        assert_null(user);
    }
    for (unsigned i = 1; i < ARRAY_LEN(emails); i++)
        assert_true(spent[i] > spent[0] / 8 && spent[0] > spent[i] / 8);
}

static void test_accounts(void **state)
{
    struct fixture *f = *state;
    struct fault fault = {0};
    json_t *user = NULL;
    assert_int_equal(users_sign_up(f->db, STR("Ada@X.org"), STR("password1"), 5, &user, &fault), 0);
    assert_string_equal(json_string_value(json_object_get(user, "email")), "ada@x.org");
    json_t *shown = users_public(user);
    assert_int_equal(json_object_size(shown), 2); /* the hash is not shown */
    json_decref(shown);
    char id[64];
    assert_int_equal(
        str_copy(str_of(json_string_value(json_object_get(user, "id"))), id, sizeof id), 0);
    json_decref(user);
    user = NULL;
    assert_int_equal(users_sign_up(f->db, STR("ada@x.ORG"), STR("password2"), 5, &user, &fault),
                     -EPROTO);
    assert_int_equal(fault.status, 409);
    assert_string_equal(fault.code, "EMAIL_TAKEN");
    assert_int_equal(users_sign_up(f->db, STR("ada"), STR("password2"), 5, &user, &fault), -EPROTO);
    assert_string_equal(fault.code, "EMAIL_INVALID");
    assert_int_equal(users_sign_up(f->db, STR("b@x.org"), STR("1234567"), 5, &user, &fault),
                     -EPROTO);
    assert_string_equal(fault.code, "PASSWORD_TOO_SHORT");
    assert_null(user);
    assert_int_equal(users_log_in(f->db, STR("ADA@x.org"), STR("password1"), &user, &fault), 0);
    assert_string_equal(json_string_value(json_object_get(user, "id")), id);
    json_decref(user);
    user = NULL;
    assert_int_equal(users_log_in(f->db, STR("ada@x.org"), STR("password2"), &user, &fault),
                     -EPROTO);
    assert_null(user);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_password_hash),
        cmocka_unit_test(test_password_cut),
        FIXTURE_CASE(test_constant_work),
        FIXTURE_CASE(test_accounts),
    };
    return cmocka_run_group_tests_name("control users", tests, NULL, NULL);
}
