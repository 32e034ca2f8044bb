/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/tickets.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include "../fixture.h"

#define T0 INT64_C(1700000000000)

static void test_life(void **state)
{
    struct fixture *f = *state;
    char ticket[TICKET_SIZE];
    json_t *doc = NULL;
    json_t *data = json_pack("{s:s}", "k", "v");
    assert_int_equal(ticket_make(f->db, "reset", "u1", data, T0, 1000, ticket), 0);
    json_decref(data);
    assert_int_equal(strlen(ticket), TICKET_SIZE - 1);
    /* Of another kind, over, cut, or longer: none. */
    assert_int_equal(ticket_read(f->db, "confirm", str_of(ticket), T0, &doc), -ENOENT);
    assert_int_equal(ticket_read(f->db, "reset", str_of(ticket), T0 + 1000, &doc), -ENOENT);
    assert_int_equal(ticket_take(f->db, "reset", str_of(ticket), T0 + 1000, &doc), -ENOENT);
    assert_int_equal(ticket_read(f->db, "reset", (struct str){ticket, 42}, T0, &doc), -ENOENT);
    assert_int_equal(ticket_read(f->db, "reset", STR_NONE, T0, &doc), -ENOENT);
    assert_null(doc);
    assert_int_equal(ticket_take(f->db, "reset", str_of(ticket), T0 + 999, &doc), 0);
    assert_string_equal(json_string_value(json_object_get(doc, "about")), "u1");
    assert_string_equal(json_string_value(json_object_get(json_object_get(doc, "data"), "k")), "v");
    assert_string_not_equal(json_string_value(json_object_get(doc, "id")), ticket);
    json_decref(doc);
    doc = NULL;
    assert_int_equal(ticket_take(f->db, "reset", str_of(ticket), T0, &doc), -ENOENT);
}

static void test_of_one(void **state)
{
    struct fixture *f = *state;
    char a[TICKET_SIZE];
    char b[TICKET_SIZE];
    char c[TICKET_SIZE];
    json_t *doc = NULL;
    uint64_t gone = 0;
    assert_int_equal(ticket_make(f->db, "confirm", "u1", NULL, T0, 1000, a), 0);
    assert_int_equal(ticket_make(f->db, "confirm", "u1", NULL, T0 + 1, 1000, b), 0);
    assert_int_equal(ticket_make(f->db, "reset", "u1", NULL, T0 + 2, 1000, c), 0);
    assert_int_equal(tickets_newest(f->db, "confirm", "u1", T0 + 2, &doc), 0);
    assert_int_equal(json_integer_value(json_object_get(doc, "created_ms")), T0 + 1);
    json_decref(doc);
    doc = NULL;
    assert_int_equal(tickets_drop(f->db, "confirm", "u1"), 0);
    assert_int_equal(tickets_newest(f->db, "confirm", "u1", T0 + 2, &doc), -ENOENT);
    assert_int_equal(ticket_read(f->db, "confirm", str_of(a), T0 + 2, &doc), -ENOENT);
    assert_int_equal(ticket_read(f->db, "reset", str_of(c), T0 + 2, &doc), 0);
    json_decref(doc);
    assert_int_equal(tickets_purge(f->db, T0 + 2000, &gone), 0);
    assert_int_equal(gone, 1);
}

struct taker {
    struct db *db;
    const char *ticket;
    _Atomic unsigned *taken;
};

static void *take(void *arg)
{
    struct taker *t = arg;
    json_t *doc = NULL;
    if (ticket_take(t->db, "reset", str_of(t->ticket), T0, &doc) == 0)
        (*t->taken)++;
    json_decref(doc);
    return NULL;
}

static void test_race(void **state)
{
    struct fixture *f = *state;
    char ticket[TICKET_SIZE];
    _Atomic unsigned taken = 0;
    pthread_t threads[8];
    assert_int_equal(ticket_make(f->db, "reset", "u1", NULL, T0, 1000, ticket), 0);
    struct taker taker = {f->db, ticket, &taken};
    for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take, &taker), 0);
    for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(taken, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_CASE(test_life),
        FIXTURE_CASE(test_of_one),
        FIXTURE_CASE(test_race),
    };
    return cmocka_run_group_tests_name("control people tickets", tests, NULL, NULL);
}
