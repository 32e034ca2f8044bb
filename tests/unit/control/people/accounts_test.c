/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/accounts.h"
#include <errno.h>
#include "control/password.h"
#include "control/people/attempts.h"
#include "control/people/logins.h"
#include "../fixture.h"

#define T0 INT64_C(1700000000000)

static const char *text(const json_t *doc, const char *name)
{
    return json_string_value(json_object_get(doc, name));
}

static int log_in(struct fixture *f, const char *email, const char *password, int64_t now_ms,
                  struct fault *fault)
{
    json_t *user = NULL;
    unsigned wait_s = 0;
    *fault = (struct fault){0};
    int r = account_log_in(f->db, str_of(email), str_of(password), now_ms, &user, fault, &wait_s);
    assert_int_equal(r == 0, user != NULL);
    json_decref(user);
    return r;
}

static void test_made(void **state)
{
    struct fixture *f = *state;
    struct fault fault = {0};
    json_t *user = NULL;
    assert_int_equal(account_make(f->db, STR("Ada@X.org"), STR("password1"), T0, &user, &fault), 0);
    assert_string_equal(text(user, "email"), "ada@x.org");
    assert_false(account_is_verified(user));
    json_t *shown = account_public(user);
    assert_null(json_object_get(shown, "password"));
    assert_string_equal(text(shown, "role"), "free");
    json_decref(shown);
    json_decref(user);
    user = NULL;
    assert_int_equal(account_make(f->db, STR("ada@x.ORG"), STR("password2"), T0, &user, &fault),
                     -EPROTO);
    assert_string_equal(fault.code, "EMAIL_TAKEN");
    assert_int_equal(account_make(f->db, STR("ada"), STR("password2"), T0, &user, &fault), -EPROTO);
    assert_string_equal(fault.code, "EMAIL_INVALID");
    assert_int_equal(account_make(f->db, STR("b@x.org"), STR("1234567"), T0, &user, &fault),
                     -EPROTO);
    assert_string_equal(fault.code, "PASSWORD_TOO_SHORT");
    assert_null(user);
    assert_int_equal(log_in(f, "ADA@x.org", "password1", T0, &fault), 0);
    assert_int_equal(log_in(f, "ada@x.org", "password2", T0, &fault), -EPROTO);
    assert_string_equal(fault.code, "LOGIN_FAILED");
}

/* As many hashes for nobody as for somebody, and the same answer to both. */
static void test_same_work(void **state)
{
    struct fixture *f = *state;
    static const char *const emails[] = {"a@x.org", "nobody@x.org", "no address", "",
                                         "{\"$gt\":\"\"}"};
    struct fault fault = {0};
    json_t *user = NULL;
    assert_int_equal(account_make(f->db, STR("a@x.org"), STR("password1"), T0, &user, &fault), 0);
    json_decref(user);
    for (unsigned i = 0; i < ARRAY_LEN(emails); i++) {
        uint64_t before = password_count();
        assert_int_equal(log_in(f, emails[i], "password2", T0, &fault), -EPROTO);
        assert_int_equal(password_count() - before, 1);
        assert_int_equal(fault.status, 401);
        assert_string_equal(fault.message, "the address or the password is wrong");
    }
    struct account_letter known;
    struct account_letter unknown;
    uint64_t before = password_count();
    assert_int_equal(account_apply(f->db, STR("a@x.org"), STR("password1"), T0, &known, &fault), 0);
    uint64_t for_known = password_count() - before;
    assert_int_equal(
        account_apply(f->db, STR("nobody@x.org"), STR("password1"), T0, &unknown, &fault), 0);
    assert_int_equal(password_count() - before, 2 * for_known);
    assert_true(known.is_known && known.ticket[0] == 0);
    assert_true(!unknown.is_known && unknown.ticket[0] != 0);
    before = password_count();
    assert_int_equal(account_wish_reset(f->db, STR("a@x.org"), T0, &known, &fault), 0);
    assert_int_equal(account_wish_reset(f->db, STR("nobody@x.org"), T0, &unknown, &fault), 0);
    assert_int_equal(password_count(), before);
    assert_true(known.is_known && !unknown.is_known);
}

/* Locked by failures, known or not; the log-ins that there are stay. */
static void test_locked(void **state)
{
    struct fixture *f = *state;
    static const char *const emails[] = {"a@x.org", "nobody@x.org"};
    struct fault fault = {0};
    json_t *user = NULL;
    json_t *login = NULL;
    char id[ID_TEXT_SIZE];
    char refresh[LOGIN_REFRESH_SIZE];
    assert_int_equal(account_make(f->db, STR("a@x.org"), STR("password1"), T0, &user, &fault), 0);
    const struct login_start start = {.user = text(user, "id")};
    assert_int_equal(login_open(f->db, &start, T0, id, refresh), 0);
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned n = 0; n < ATTEMPTS_FREE; n++) {
            assert_int_equal(log_in(f, emails[i], "password2", T0, &fault), -EPROTO);
            assert_int_equal(fault.status, 401);
        }
        uint64_t before = password_count();
        assert_int_equal(log_in(f, emails[i], "password1", T0, &fault), -EPROTO);
        assert_int_equal(fault.status, 429);
        assert_int_equal(password_count(), before);
    }
    assert_int_equal(login_rotate(f->db, str_of(refresh), T0, refresh, &login), 0);
    json_decref(login);
    assert_int_equal(log_in(f, "a@x.org", "password1", T0 + 30000, &fault), 0);
    json_decref(user);
}

static void test_confirmed(void **state)
{
    struct fixture *f = *state;
    struct account_letter first;
    struct account_letter second;
    struct fault fault = {0};
    json_t *user = NULL;
    /* Two people sign up with one address: the account is that one's whose letter is opened. */
    assert_int_equal(
        account_apply(f->db, STR("a@x.org"), STR("thief's password"), T0, &first, &fault), 0);
    assert_int_equal(
        account_apply(f->db, STR("A@x.org"), STR("owner's password"), T0 + 1, &second, &fault), 0);
    assert_int_equal(log_in(f, "a@x.org", "owner's password", T0 + 1, &fault), -EPROTO);
    assert_int_equal(account_confirm(f->db, STR("nonsense"), T0 + 2, &user, &fault), -EPROTO);
    assert_int_equal(fault.status, 410);
    assert_int_equal(account_confirm(f->db, str_of(second.ticket), T0 + 2, &user, &fault), 0);
    assert_true(account_is_verified(user));
    json_decref(user);
    user = NULL;
    assert_int_equal(log_in(f, "a@x.org", "owner's password", T0 + 3, &fault), 0);
    assert_int_equal(log_in(f, "a@x.org", "thief's password", T0 + 3, &fault), -EPROTO);
    assert_int_equal(account_confirm(f->db, str_of(first.ticket), T0 + 3, &user, &fault), -EPROTO);
    assert_int_equal(account_confirm(f->db, str_of(second.ticket), T0 + 3, &user, &fault), -EPROTO);
    assert_null(user);
    assert_int_equal(account_apply(f->db, STR("b@x.org"), STR("password1"), T0, &first, &fault), 0);
    assert_int_equal(
        account_confirm(f->db, str_of(first.ticket), T0 + ACCOUNT_CONFIRM_MS, &user, &fault),
        -EPROTO);
    assert_int_equal(account_confirm_address(f->db, "b@x.org", T0 + 5, &user, &fault), 0);
    json_decref(user);
    assert_int_equal(account_confirm_address(f->db, "c@x.org", T0 + 5, &user, &fault), -EPROTO);
    assert_string_equal(fault.code, "USER_NOT_FOUND");
}

static void test_reset(void **state)
{
    struct fixture *f = *state;
    struct account_letter a;
    struct account_letter b;
    struct fault fault = {0};
    json_t *user = NULL;
    json_t *list = NULL;
    char id[ID_TEXT_SIZE];
    char refresh[LOGIN_REFRESH_SIZE];
    assert_int_equal(account_make(f->db, STR("a@x.org"), STR("password1"), T0, &user, &fault), 0);
    const struct login_start start = {.user = text(user, "id")};
    assert_int_equal(login_open(f->db, &start, T0, id, refresh), 0);
    for (unsigned n = 0; n < ATTEMPTS_FREE; n++)
        (void)log_in(f, "a@x.org", "wrong password", T0, &fault);
    assert_int_equal(account_wish_reset(f->db, STR("a@x.org"), T0, &a, &fault), 0);
    assert_int_equal(account_wish_reset(f->db, STR("a@x.org"), T0, &b, &fault), 0);
    json_t *changed = NULL;
    assert_int_equal(account_reset(f->db, str_of(a.ticket), STR("short"), T0, &changed, &fault),
                     -EPROTO);
    assert_string_equal(fault.code, "PASSWORD_TOO_SHORT");
    assert_int_equal(account_reset(f->db, str_of(a.ticket), STR("password3"), T0, &changed, &fault),
                     0);
    json_decref(changed);
    changed = NULL;
    /* Used; the other of the same person too; and all log-ins are over. */
    assert_int_equal(account_reset(f->db, str_of(a.ticket), STR("password4"), T0, &changed, &fault),
                     -EPROTO);
    assert_int_equal(fault.status, 410);
    assert_int_equal(account_reset(f->db, str_of(b.ticket), STR("password4"), T0, &changed, &fault),
                     -EPROTO);
    assert_int_equal(logins_list(f->db, text(user, "id"), T0, &list), 0);
    assert_int_equal(json_array_size(list), 0);
    json_decref(list);
    assert_int_equal(log_in(f, "a@x.org", "password3", T0, &fault), 0); /* not locked any more */
    assert_int_equal(account_wish_reset(f->db, STR("a@x.org"), T0, &a, &fault), 0);
    assert_int_equal(account_reset(f->db, str_of(a.ticket), STR("password5"), T0 + ACCOUNT_RESET_MS,
                                   &changed, &fault),
                     -EPROTO);
    json_decref(user);
}

static void test_operator(void **state)
{
    struct fixture *f = *state;
    struct fault fault = {0};
    json_t *user = NULL;
    json_t *changed = NULL;
    assert_int_equal(account_make(f->db, STR("a@x.org"), STR("password1"), T0, &user, &fault), 0);
    const char *id = text(user, "id");
    assert_int_equal(account_set_role(f->db, id, ROLE_CREATOR, &changed), 0);
    assert_int_equal(account_role(changed), ROLE_CREATOR);
    json_decref(changed);
    assert_int_equal(account_disable(f->db, id, true, T0, &changed), 0);
    json_decref(changed);
    assert_int_equal(log_in(f, "a@x.org", "password1", T0, &fault), -EPROTO);
    assert_string_equal(fault.code, "ACCOUNT_DISABLED");
    assert_int_equal(log_in(f, "a@x.org", "password2", T0, &fault), -EPROTO);
    assert_string_equal(fault.code, "LOGIN_FAILED"); /* not told to who has not the password */
    assert_int_equal(account_disable(f->db, id, false, T0, &changed), 0);
    json_decref(changed);
    assert_int_equal(log_in(f, "a@x.org", "password1", T0, &fault), 0);
    assert_int_equal(account_of_text(f->db, "A@x.org", &changed), 0);
    json_decref(changed);
    assert_int_equal(account_of_text(f->db, id, &changed), 0);
    json_decref(changed);
    assert_int_equal(account_of_text(f->db, "b@x.org", &changed), -ENOENT);
    json_decref(user);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_CASE(test_made),      FIXTURE_CASE(test_same_work), FIXTURE_CASE(test_locked),
        FIXTURE_CASE(test_confirmed), FIXTURE_CASE(test_reset),     FIXTURE_CASE(test_operator),
    };
    return cmocka_run_group_tests_name("control people accounts", tests, NULL, NULL);
}
