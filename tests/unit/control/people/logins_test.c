/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/logins.h"
#include <errno.h>
#include "../fixture.h"

#define T0   INT64_C(1700000000000)
#define LIFE (INT64_C(1000) * LOGIN_LIFE_S)

static void open_at(struct fixture *f, const char *user, int64_t now_ms, char id[ID_TEXT_SIZE],
                    char refresh[LOGIN_REFRESH_SIZE])
{
    const struct login_start start = {user, STR("Firefox"), STR("192.0.2.1")};
    assert_int_equal(login_open(f->db, &start, now_ms, id, refresh), 0);
}

static void test_rotate(void **state)
{
    struct fixture *f = *state;
    char id[ID_TEXT_SIZE];
    char r1[LOGIN_REFRESH_SIZE];
    char r2[LOGIN_REFRESH_SIZE];
    char r3[LOGIN_REFRESH_SIZE];
    json_t *doc = NULL;
    open_at(f, "u1", T0, id, r1);
    assert_int_equal(login_rotate(f->db, str_of(r1), T0 + 10, r2, &doc), 0);
    assert_string_equal(json_string_value(json_object_get(doc, "user")), "u1");
    assert_int_equal(json_integer_value(json_object_get(doc, "expires_ms")), T0 + 10 + LIFE);
    char *text = json_dumps(doc, 0);
    assert_null(strstr(text, strrchr(r2, '.') + 1)); /* its digest alone is stored */
    free(text);
    json_decref(doc);
    assert_string_not_equal(r1, r2);
    assert_int_equal(login_rotate(f->db, str_of(r2), T0 + 20, r3, &doc), 0);
    json_decref(doc);
    doc = NULL;
    /* The one before the last again: the log-in is over, for the newest token too. */
    assert_int_equal(login_rotate(f->db, str_of(r2), T0 + 21, r1, &doc), -EKEYREJECTED);
    assert_string_equal(json_string_value(json_object_get(doc, "id")), id);
    json_decref(doc);
    doc = NULL;
    assert_int_equal(login_rotate(f->db, str_of(r3), T0 + 22, r1, &doc), -ENOENT);
    assert_int_equal(login_get(f->db, id, T0 + 22, &doc), -ENOENT);
    assert_null(doc);
}

/* Who knows a log-in's name, but none of its tokens, ends nothing. */
static void test_strangers(void **state)
{
    struct fixture *f = *state;
    char id[ID_TEXT_SIZE];
    char r1[LOGIN_REFRESH_SIZE];
    char made[LOGIN_REFRESH_SIZE];
    char guess[256];
    json_t *doc = NULL;
    open_at(f, "u1", T0, id, r1);
    static const char *const bad[] = {"", ".", "..", "...", "x.y.z", "{\"$gt\":\"\"}"};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(login_rotate(f->db, str_of(bad[i]), T0, made, &doc), -ENOENT);
    (void)snprintf(guess, sizeof guess, "%s.%.43s.%.43s", id,
                   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    assert_int_equal(login_rotate(f->db, str_of(guess), T0, made, &doc), -ENOENT);
    guess[0] = guess[0] == 'a' ? 'b' : 'a';
    assert_int_equal(login_rotate(f->db, str_of(guess), T0, made, &doc), -ENOENT);
    for (size_t cut = 0; cut < strlen(r1); cut++)
        assert_int_equal(login_rotate(f->db, (struct str){r1, cut}, T0, made, &doc), -ENOENT);
    assert_int_equal(login_rotate(f->db, str_of(r1), T0, made, &doc), 0);
    json_decref(doc);
}

static void test_over(void **state)
{
    struct fixture *f = *state;
    char id[ID_TEXT_SIZE];
    char r1[LOGIN_REFRESH_SIZE];
    char r2[LOGIN_REFRESH_SIZE];
    json_t *doc = NULL;
    uint64_t gone = 0;
    open_at(f, "u1", T0, id, r1);
    assert_int_equal(login_rotate(f->db, str_of(r1), T0 + LIFE, r2, &doc), -ENOENT);
    assert_int_equal(login_rotate(f->db, str_of(r1), T0 + LIFE - 1, r2, &doc), 0);
    json_decref(doc);
    assert_int_equal(logins_purge(f->db, T0 + LIFE + 1, &gone), 0);
    assert_int_equal(gone, 0); /* used in time, it lasts as long again */
    assert_int_equal(logins_purge(f->db, T0 + 3 * LIFE, &gone), 0);
    assert_int_equal(gone, 1);
}

static void test_devices(void **state)
{
    struct fixture *f = *state;
    char ids[3][ID_TEXT_SIZE];
    char refresh[LOGIN_REFRESH_SIZE];
    json_t *list = NULL;
    for (unsigned i = 0; i < 3; i++)
        open_at(f, i < 2 ? "u1" : "u2", T0 + i, ids[i], refresh);
    assert_int_equal(logins_list(f->db, "u1", T0 + 5, &list), 0);
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "id")), ids[1]);
    json_decref(list);
    assert_int_equal(login_choose(f->db, ids[0], "u1-1", NULL), 0);
    assert_int_equal(logins_close(f->db, "u1", ids[0]), 0);
    assert_int_equal(logins_list(f->db, "u1", T0 + 5, &list), 0);
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "profile")),
                        "u1-1");
    json_decref(list);
    assert_int_equal(logins_close(f->db, "u1", NULL), 0);
    assert_int_equal(logins_list(f->db, "u1", T0 + 5, &list), 0);
    assert_int_equal(json_array_size(list), 0);
    json_decref(list);
    assert_int_equal(logins_list(f->db, "u2", T0 + 5, &list), 0);
    assert_int_equal(json_array_size(list), 1);
    json_decref(list);
}

/* A program that never logs out ends its own oldest, and no table grows without end. */
static void test_most(void **state)
{
    struct fixture *f = *state;
    char first[ID_TEXT_SIZE];
    char id[ID_TEXT_SIZE];
    char refresh[LOGIN_REFRESH_SIZE];
    json_t *doc = NULL;
    open_at(f, "u1", T0, first, refresh);
    for (int i = 1; i <= LOGINS_MAX; i++)
        open_at(f, "u1", T0 + i, id, refresh);
    assert_int_equal(login_get(f->db, first, T0 + 1, &doc), -ENOENT);
    assert_int_equal(login_get(f->db, id, T0 + 1, &doc), 0);
    json_decref(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_CASE(test_rotate),  FIXTURE_CASE(test_strangers), FIXTURE_CASE(test_over),
        FIXTURE_CASE(test_devices), FIXTURE_CASE(test_most),
    };
    return cmocka_run_group_tests_name("control people logins", tests, NULL, NULL);
}
