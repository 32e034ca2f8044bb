/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/profiles.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include "control/people/attempts.h"
#include "../fixture.h"

#define T0 INT64_C(1700000000000)

static void test_rules(void **state)
{
    (void)state;
    static const struct {
        int limit; /* < 0: none */
        int rating;
        bool may_watch;
        bool may_manage;
    } rows[] = {
        {-1, -1, true, true},   {-1, 18, true, true}, {12, 12, true, false}, {12, 13, false, false},
        {12, -1, false, false}, {0, 0, true, false},  {0, 1, false, false},  {21, 21, true, false},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *limit = rows[i].limit < 0 ? json_null() : json_integer(rows[i].limit);
        json_t *profile = json_pack("{s:o}", "rating_max", limit);
        assert_int_equal(profile_limit(profile), rows[i].limit);
        assert_int_equal(profile_may_watch(rows[i].limit, rows[i].rating), rows[i].may_watch);
        assert_int_equal(profile_may_manage(rows[i].limit), rows[i].may_manage);
        json_decref(profile);
    }
    assert_int_equal(profile_limit(NULL), -1);
}

static int make(struct fixture *f, const char *user, const char *change, json_t **ret,
                struct fault *fault)
{
    json_t *body = json_loads(change, 0, NULL);
    assert_non_null(body);
    *fault = (struct fault){0};
    int r = profile_make(f->db, user, body, T0, ret, fault);
    json_decref(body);
    return r;
}

static int change(struct fixture *f, const char *user, const char *id, const char *text,
                  json_t **ret, struct fault *fault)
{
    json_t *body = json_loads(text, 0, NULL);
    assert_non_null(body);
    int r = profile_change(f->db, user, id, body, ret, fault);
    json_decref(body);
    return r;
}

/* Whose PIN lets a child watch what is beyond its limit: that of a profile which may. */
static void test_over(void **state)
{
    struct fixture *f = *state;
    struct fault fault = {0};
    json_t *doc = NULL;
    unsigned wait_s = 0;
    static const char *const all[] = {
        "{\"name\":\"Child\",\"rating_max\":6,\"pin\":\"0606\"}",
        "{\"name\":\"Youth\",\"rating_max\":16,\"pin\":\"1616\"}",
        "{\"name\":\"Guest\"}",
    };
    for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
        assert_int_equal(make(f, "u1", all[i], &doc, &fault), 0);
        json_decref(doc);
    }
#define OVER(rating, pin) profile_check_over(f->db, "u1", rating, pin, T0, &fault, &wait_s)
    assert_int_equal(OVER(12, NULL), -EACCES);
    assert_int_equal(OVER(18, NULL), -ENOENT); /* who may has no PIN */
    assert_int_equal(OVER(18, "1616"), -ENOENT);
    assert_int_equal(OVER(-1, "1616"), -ENOENT);
    assert_int_equal(OVER(12, "1616"), 0);
    fault = (struct fault){0};
    assert_int_equal(OVER(12, "0606"), -EPROTO); /* the child's own is no key */
    assert_string_equal(fault.code, "PIN_WRONG");
    assert_int_equal(make(f, "u1", "{\"name\":\"Ada\",\"pin\":\"4321\"}", &doc, &fault), 0);
    json_decref(doc);
    assert_int_equal(OVER(-1, "4321"), 0);
    assert_int_equal(OVER(12, "4321"), 0);
    assert_int_equal(OVER(12, "1616"), 0);
    for (unsigned i = 0; i < ATTEMPTS_FREE; i++)
        assert_int_equal(OVER(12, "9999"), -EPROTO);
    assert_int_equal(OVER(12, "1616"), -EPROTO);
    assert_int_equal(fault.status, 429);
    assert_true(wait_s > 0);
    assert_int_equal(profile_check_over(f->db, "u2", 12, "1616", T0, &fault, &wait_s), -ENOENT);
#undef OVER
}

static void test_life(void **state)
{
    struct fixture *f = *state;
    struct fault fault;
    json_t *doc = NULL;
    json_t *list = NULL;
    unsigned wait_s = 0;
    assert_int_equal(
        make(f, "u1", "{\"name\":\"Ada\",\"pin\":\"1234\",\"rating_max\":null}", &doc, &fault), 0);
    assert_string_equal(json_string_value(json_object_get(doc, "id")), "u1-1");
    json_t *shown = profile_public(doc);
    assert_true(json_is_true(json_object_get(shown, "has_pin")));
    assert_null(json_object_get(shown, "pin"));
    json_decref(shown);
    assert_int_equal(profile_check_pin(f->db, doc, NULL, T0, &fault, &wait_s), -EPROTO);
    assert_string_equal(fault.code, "PIN_NEEDED");
    assert_int_equal(profile_check_pin(f->db, doc, "1235", T0, &fault, &wait_s), -EPROTO);
    assert_string_equal(fault.code, "PIN_WRONG");
    assert_int_equal(profile_check_pin(f->db, doc, "1234", T0, &fault, &wait_s), 0);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(profile_check_pin(f->db, doc, "0000", T0, &fault, &wait_s), -EPROTO);
    assert_int_equal(profile_check_pin(f->db, doc, "1234", T0, &fault, &wait_s), -EPROTO);
    assert_int_equal(fault.status, 429);
    json_decref(doc);
    assert_int_equal(
        change(f, "u1", "u1-1", "{\"pin\":null,\"preferences\":{\"audio\":\"de\"}}", &doc, &fault),
        0);
    assert_int_equal(profile_check_pin(f->db, doc, NULL, T0, &fault, &wait_s), 0);
    json_decref(doc);
    static const char *const bad[] = {"\"123\"", "\"123456789\"", "\"12a4\"", "\"\"", "1234"};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "{\"pin\":%s}", bad[i]);
        assert_int_equal(change(f, "u1", "u1-1", text, &doc, &fault), -EPROTO);
        assert_string_equal(fault.code, "PIN_INVALID");
    }
    assert_int_equal(profiles_list(f->db, "u1", &list), 0);
    assert_int_equal(json_array_size(list), 1);
    json_decref(list);
    assert_int_equal(profile_end(f->db, "u1", "u1-1", T0), 0);
    assert_int_equal(profile_end(f->db, "u1", "u1-1", T0), -ENOENT);
}

static void test_others(void **state)
{
    struct fixture *f = *state;
    struct fault fault;
    json_t *doc = NULL;
    assert_int_equal(make(f, "u1", "{\"name\":\"Ada\"}", &doc, &fault), 0);
    json_decref(doc);
    doc = NULL;
    static const char *const ids[] = {"u1-1", "u2-2", "u2-0", "u2-9",  "u2-",
                                      "u2",   "",     "-1",   "u2-11", "u1-1-1"};
    for (unsigned i = 0; i < ARRAY_LEN(ids); i++) {
        assert_int_equal(profile_get(f->db, "u2", ids[i], &doc), -ENOENT);
        assert_int_equal(profile_end(f->db, "u2", ids[i], T0), -ENOENT);
        assert_int_equal(change(f, "u2", ids[i], "{\"name\":\"x\"}", &doc, &fault), -ENOENT);
    }
    assert_int_equal(profile_get(f->db, "", "-1", &doc), -ENOENT);
    assert_null(doc);
}

struct maker {
    struct fixture *f;
    _Atomic unsigned *made;
};

static void *make_many(void *arg)
{
    struct maker *m = arg;
    for (unsigned i = 0; i < 4; i++) {
        struct fault fault = {0};
        json_t *doc = NULL;
        json_t *body = json_pack("{s:s}", "name", "x");
        int r = profile_make(m->f->db, "u1", body, T0, &doc, &fault);
        json_decref(body);
        json_decref(doc);
        if (r == 0)
            (*m->made)++;
        else if (r != -EPROTO || fault.status != 409)
            (*m->made) += 1000;
    }
    return NULL;
}

static void test_race(void **state)
{
    struct fixture *f = *state;
    _Atomic unsigned made = 0;
    struct maker maker = {f, &made};
    pthread_t threads[4];
    for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_many, &maker), 0);
    for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(made, PROFILES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules), FIXTURE_CASE(test_over), FIXTURE_CASE(test_life),
        FIXTURE_CASE(test_others),    FIXTURE_CASE(test_race),
    };
    return cmocka_run_group_tests_name("control people profiles", tests, NULL, NULL);
}
