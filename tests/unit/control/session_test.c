/* SPDX-License-Identifier: Apache-2.0 */
#include "control/session.h"
#include <errno.h>
#include <string.h>
#include "fixture.h"

#define NOW_MS  INT64_C(1700000000000)
#define LAST_MS (NOW_MS + INT64_C(1000) * SESSION_LIFETIME_S)

static void add_user(struct fixture *f)
{
    json_t *user = json_pack("{s:s, s:s}", "id", "u1", "email", "a@x.org");
    assert_int_equal(db_insert(f->db, MODEL_USERS, user), 0);
    json_decref(user);
}

static void expect_user(struct fixture *f, const char *token, int64_t now_ms, int expected)
{
    json_t *user = NULL;
    int r = session_user(f->db, str_of(token), now_ms, &user);
    assert_int_equal(r, expected);
    if (r == 0)
        assert_string_equal(json_string_value(json_object_get(user, "id")), "u1");
    else
        assert_null(user);
    json_decref(user);
}

static void test_digest(void **state)
{
    (void)state;
    char a[SESSION_DIGEST_SIZE];
    char b[SESSION_DIGEST_SIZE];
    session_digest(STR("abc"), a); /* FIPS 180-2, appendix B.1 */
    assert_string_equal(a, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    session_digest(STR("abd"), b);
    assert_false(session_digest_eq(a, b));
    session_digest(STR("abc"), b);
    assert_true(session_digest_eq(a, b));
}

static void test_life(void **state)
{
    struct fixture *f = *state;
    char token[SESSION_TOKEN_SIZE];
    char other[SESSION_TOKEN_SIZE];
    add_user(f);
    assert_int_equal(session_open(f->db, "u1", NOW_MS, token), 0);
    assert_int_equal(session_open(f->db, "u1", NOW_MS, other), 0);
    assert_int_equal(strlen(token), 43);
    assert_string_not_equal(token, other);
    expect_user(f, token, NOW_MS, 0);
    expect_user(f, token, LAST_MS - 1, 0);
    expect_user(f, token, LAST_MS, -ENOENT);
    expect_user(f, "", NOW_MS, -ENOENT);
    expect_user(f, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", NOW_MS, -ENOENT);
    assert_int_equal(session_close(f->db, str_of(token)), 0);
    assert_int_equal(session_close(f->db, str_of(token)), -ENOENT);
    expect_user(f, token, NOW_MS, -ENOENT);
    expect_user(f, other, NOW_MS, 0);
    /* Without the user there is no session. */
    assert_int_equal(db_delete(f->db, MODEL_USERS, "u1"), 0);
    expect_user(f, other, NOW_MS, -ENOENT);
}

/* The database holds nothing that could be sent as a token. */
static void test_stored_hashed(void **state)
{
    struct fixture *f = *state;
    char token[SESSION_TOKEN_SIZE];
    json_t *docs = NULL;
    char *cursor = NULL;
    add_user(f);
    assert_int_equal(session_open(f->db, "u1", NOW_MS, token), 0);
    assert_int_equal(db_list(f->db, MODEL_SESSIONS, &(struct db_list){.limit = 10}, &docs, &cursor),
                     0);
    assert_int_equal(json_array_size(docs), 1);
    char *text = json_dumps(docs, 0);
    assert_non_null(text);
    assert_null(strstr(text, token));
    const char *id = json_string_value(json_object_get(json_array_get(docs, 0), "id"));
    expect_user(f, id, NOW_MS, -ENOENT);
    char cut[SESSION_TOKEN_SIZE];
    assert_int_equal(str_copy((struct str){id, SESSION_TOKEN_SIZE - 1}, cut, sizeof cut), 0);
    expect_user(f, cut, NOW_MS, -ENOENT);
    free(text);
    json_decref(docs);
}

static void test_purge(void **state)
{
    struct fixture *f = *state;
    char old[SESSION_TOKEN_SIZE];
    char fresh[SESSION_TOKEN_SIZE];
    uint64_t count = 9;
    add_user(f);
    assert_int_equal(session_open(f->db, "u1", NOW_MS - 1000, old), 0);
    assert_int_equal(session_open(f->db, "u1", NOW_MS, fresh), 0);
    assert_int_equal(session_purge(f->db, LAST_MS - 1000, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(session_purge(f->db, LAST_MS, &count), 0);
    assert_int_equal(count, 1);
    expect_user(f, fresh, NOW_MS, 0);
    assert_int_equal(session_close(f->db, str_of(old)), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digest),
        FIXTURE_CASE(test_life),
        FIXTURE_CASE(test_stored_hashed),
        FIXTURE_CASE(test_purge),
    };
    return cmocka_run_group_tests_name("control session", tests, NULL, NULL);
}
