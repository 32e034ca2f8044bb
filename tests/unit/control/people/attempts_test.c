/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/attempts.h"
#include <errno.h>
#include <pthread.h>
#include "../fixture.h"

#define T0 INT64_C(1700000000000)

static int begin(struct fixture *f, const char *name, int64_t now_ms, unsigned *wait_s)
{
    struct fault fault = {0};
    int r = attempts_begin(f->db, "login", str_of(name), now_ms, &fault, wait_s);
    if (r == -EPROTO) {
        assert_int_equal(fault.status, 429);
        assert_string_equal(fault.code, "TOO_MANY_ATTEMPTS");
    }
    return r;
}

static void test_delays(void **state)
{
    (void)state;
    static const struct {
        unsigned failures;
        int64_t delay_ms;
    } rows[] = {
        {0, 0},      {1, 0},      {4, 0},       {5, 30000},   {6, 60000},    {7, 120000},
        {8, 240000}, {9, 480000}, {10, 900000}, {11, 900000}, {100, 900000}, {4000000000u, 900000},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(attempts_delay_ms(rows[i].failures), rows[i].delay_ms);
}

static void test_lock(void **state)
{
    struct fixture *f = *state;
    unsigned wait_s = 0;
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(begin(f, "ada@x.org", T0, &wait_s), 0);
    assert_int_equal(begin(f, "ada@x.org", T0, &wait_s), -EPROTO);
    assert_int_equal(wait_s, 30);
    assert_int_equal(begin(f, "ada@x.org", T0 + 29001, &wait_s), -EPROTO);
    assert_int_equal(wait_s, 1);
    assert_int_equal(begin(f, "bob@x.org", T0, &wait_s), 0); /* another's is another's */
    /* One more, and the next wait is twice as long. */
    assert_int_equal(begin(f, "ada@x.org", T0 + 30000, &wait_s), 0);
    assert_int_equal(begin(f, "ada@x.org", T0 + 30000, &wait_s), -EPROTO);
    assert_int_equal(wait_s, 60);
    /* Whoever was right begins anew. */
    assert_int_equal(attempts_forget(f->db, "login", STR("ada@x.org")), 0);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(begin(f, "ada@x.org", T0 + 30001, &wait_s), 0);
    assert_int_equal(begin(f, "ada@x.org", T0 + 30001, &wait_s), -EPROTO);
    /* After a day without any, too. */
    assert_int_equal(begin(f, "ada@x.org", T0 + 30001 + ATTEMPTS_MEMORY_MS, &wait_s), 0);
    assert_int_equal(begin(f, "ada@x.org", T0 + 30001 + ATTEMPTS_MEMORY_MS, &wait_s), 0);
}

/* What was failed before a restart counts behind it. */
static void test_restart(void **state)
{
    struct fixture *f = *state;
    struct err err = {""};
    unsigned wait_s = 0;
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(begin(f, "ada@x.org", T0, &wait_s), 0);
    f->db = db_close(f->db);
    assert_int_equal(db_open(f->address, &model_schema, &err, &f->db), 0);
    assert_int_equal(begin(f, "ada@x.org", T0 + 1000, &wait_s), -EPROTO);
    assert_int_equal(wait_s, 29);
}

/* A clock that was far ahead and was set right locks nobody for that long. */
static void test_clock(void **state)
{
    struct fixture *f = *state;
    unsigned wait_s = 0;
    for (unsigned i = 0; i < 6; i++)
        (void)begin(f, "ada@x.org", T0 + INT64_C(1000) * 3600 * 24 * 365, &wait_s);
    assert_int_equal(begin(f, "ada@x.org", T0, &wait_s), 0);
}

struct racer {
    struct db *db;
    _Atomic unsigned *through;
};

static void *race(void *arg)
{
    struct racer *racer = arg;
    for (unsigned i = 0; i < 10; i++) {
        struct fault fault = {0};
        unsigned wait_s;
        if (attempts_begin(racer->db, "login", STR("ada@x.org"), T0, &fault, &wait_s) == 0)
            (*racer->through)++;
    }
    return NULL;
}

/* Eighty at once: five get through. */
static void test_race(void **state)
{
    struct fixture *f = *state;
    _Atomic unsigned through = 0;
    pthread_t threads[8];
    struct racer racer = {f->db, &through};
    for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racer), 0);
    for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(through, ATTEMPTS_FREE);
}

static void test_count(void **state)
{
    struct fixture *f = *state;
    bool allowed = false;
    uint64_t gone = 0;
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(attempts_count(f->db, "letter", STR("a@x.org"), 3, T0 + i, &allowed), 0);
        assert_int_equal(allowed, i < 3);
    }
    assert_int_equal(attempts_count(f->db, "letter", STR("a@x.org"), 3, T0 + 3600001, &allowed), 0);
    assert_true(allowed);
    assert_int_equal(attempts_purge(f->db, T0 + 2 * ATTEMPTS_MEMORY_MS, &gone), 0);
    assert_int_equal(gone, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delays), FIXTURE_CASE(test_lock), FIXTURE_CASE(test_restart),
        FIXTURE_CASE(test_clock),      FIXTURE_CASE(test_race), FIXTURE_CASE(test_count),
    };
    return cmocka_run_group_tests_name("control people attempts", tests, NULL, NULL);
}
