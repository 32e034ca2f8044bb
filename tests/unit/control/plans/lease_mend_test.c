/* SPDX-License-Identifier: Apache-2.0 */
/* Redis killed and started again behind leases that fall back to the database: nobody gets more by
 * it, and what began meanwhile is in Redis afterwards. */
#include "control/plans/lease_mend.h"
#define LEASE_WITH_DB 1
#include "../../lease/lease_fixture.h"

static struct backend backend = {.on_redis = true, .is_db = true};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    redis_server_start(&backend.server);
    backend_start_db(&backend);
    assert_int_equal(lease_book_new(&backend.book), 0);
    fixture_open(&backend, f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    backend.book = lease_book_free(backend.book);
    backend_stop_db(&backend);
    redis_server_stop(&backend.server);
    free(f);
    return 0;
}

static struct lease_mend *mend(struct fixture *f)
{
    struct lease_mend *m = NULL;
    const struct lease_db_options options = {.db = f->backend->db,
                                             .bus = f->bus,
                                             .run = backend_run,
                                             .arg = f->pool,
                                             .state = &backend_state};
    atomic_store(&backend_state.pending, true);
    assert_int_equal(lease_mend_new(&options, &m), 0);
    return m;
}

/* Redis alone, as edges and other controls see it. */
static struct fixture redis_alone(void)
{
    static struct backend alone;
    struct fixture f = {0};
    alone = (struct backend){.on_redis = true, .server = backend.server};
    fixture_open(&alone, &f);
    return f;
}

static unsigned count_of(struct fixture *f, const char *user)
{
    struct outcome o;
    return call_list(f, user, &o) == 0 ? o.count : UINT32_MAX;
}

/* While the mender's loop turns. */
static void wait_for_count(struct fixture *f, struct loop *turning, const char *user,
                           unsigned wanted)
{
    uint64_t until = clock_mono_ms() + WAIT_MS;
    while (count_of(f, user) != wanted) {
        if (clock_mono_ms() > until)
            fail_msg("%s has %u sessions, not %u", user, count_of(f, user), wanted);
        loop_run_once(turning, TURN_MS);
    }
}

static void a_fall_gives_nobody_more(void **state)
{
    struct fixture *f = *state;
    struct outcome o;
    struct lease a = lease_of("ann", "a");
    struct lease b = lease_of("ann", "b");
    struct lease c = lease_of("ann", "c");
    struct lease d = lease_of("ann", "d");
    assert_int_equal(call_open(f, &a, 2, &o), 0);
    assert_int_equal(call_open(f, &b, 2, &o), 0);
    redis_server_kill(&backend.server);
    assert_int_equal(call_open(f, &c, 2, &o), -EDQUOT); /* what Redis knew counts */
    assert_int_equal(o.count, 2);
    assert_int_equal(call_renew(f, &a), LEASE_LIVE);
    assert_int_equal(call_end(f, "ann", "b"), 0);
    assert_int_equal(call_renew(f, &b), LEASE_ENDED);
    assert_int_equal(call_open(f, &c, 2, &o), 0);
    assert_int_equal(call_open(f, &d, 2, &o), -EDQUOT);
    struct lease_mend *m = mend(f);
    redis_server_run(&backend.server);
    struct fixture alone = redis_alone();
    uint64_t until = clock_mono_ms() + WAIT_MS;
    while (atomic_load(&backend_state.pending) || count_of(&alone, "ann") != 2) {
        assert_true(clock_mono_ms() < until);
        loop_run_once(f->loop, TURN_MS);
    }
    assert_int_equal(call_renew(&alone, &b), LEASE_ENDED); /* that too has come back */
    assert_int_equal(call_renew(&alone, &a), LEASE_LIVE);
    assert_int_equal(call_renew(&alone, &c), LEASE_LIVE);
    assert_int_equal(call_list(&alone, "ann", &o), 0);
    assert_true(str_eq(o.active[0].session, STR("a"))); /* still the older one */
    assert_true(str_eq(o.active[0].device_name, a.device_name));
    assert_int_equal(call_open(f, &d, 2, &o), -EDQUOT);
    json_t *doc = NULL;
    until = clock_mono_ms() + WAIT_MS;
    while (db_get(backend.db, 0, "ann", &doc) == 0) { /* nothing is left behind */
        json_decref(doc);
        assert_true(clock_mono_ms() < until);
        loop_run_once(f->loop, TURN_MS);
    }
    lease_mend_free(m);
    fixture_close(&alone);
}

/* Redis goes in the middle of a thousand starts, and comes back in the middle of others. */
static void a_thousand_over_a_break(void **state)
{
    enum { OPENS = 1000, LIMIT = 3 };
    struct fixture *f = *state;
    struct outcome *o = calloc(OPENS, sizeof *o);
    struct outcome list;
    unsigned won = 0;
    assert_non_null(o);
    struct lease_mend *m = mend(f);
    for (unsigned i = 0; i < OPENS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "s%u", i);
        struct lease l = lease_of("racer", name);
        assert_int_equal(lease_open(f->leases, &l, LIMIT, on_done, &o[i]), 0);
        if (i == 400)
            loop_run_once(f->loop, 1);
        if (i == 500)
            redis_server_kill(&backend.server);
        if (i % 100 == 0)
            loop_run_once(f->loop, 0);
    }
    for (unsigned i = 0; i < OPENS; i++) {
        run_until(f->loop, &o[i].calls, 1);
        won += o[i].res == 0;
        if (o[i].res != 0 && o[i].res != -EDQUOT)
            fail_msg("start %u: %d", i, o[i].res);
    }
    /* What Redis let in without being able to say so is asked for again. */
    assert_int_equal(won, LIMIT);
    assert_int_equal(call_list(f, "racer", &list), 0);
    assert_int_equal(list.count, LIMIT);
    redis_server_run(&backend.server);
    struct fixture alone = redis_alone();
    wait_for_count(&alone, f->loop, "racer", list.count);
    lease_mend_free(m);
    fixture_close(&alone);
    free(o);
}

/* Redis is back, and nothing was brought back yet: who starts then gets no more either. */
static void nobody_gets_more_before_it_is_mended(void **state)
{
    struct fixture *f = *state;
    struct outcome o;
    redis_server_kill(&backend.server);
    static const char *const names[] = {"a", "b", "c"};
    for (size_t i = 0; i < 2; i++) {
        struct lease l = lease_of("ben", names[i]);
        assert_int_equal(call_open(f, &l, 2, &o), 0);
    }
    f->leases = leases_close(f->leases); /* another control, which has seen nothing */
    backend.book = lease_book_free(backend.book);
    assert_int_equal(lease_book_new(&backend.book), 0);
    f->pool = pool_free(f->pool);
    assert_int_equal(backend_open_db(f), 0);
    atomic_store(&backend_state.pending, true);
    redis_server_run(&backend.server);
    struct fixture alone = redis_alone();
    wait_for_count(&alone, f->loop, "ben", 0);
    struct lease c = lease_of("ben", names[2]);
    assert_int_equal(call_open(f, &c, 2, &o), -EDQUOT);
    assert_int_equal(o.count, 2);
    fixture_close(&alone);
}

/* A control that is killed leaves documents; the next one's start brings them back. */
static void documents_of_a_dead_control(void **state)
{
    struct fixture *f = *state;
    struct outcome o;
    for (unsigned i = 0; i < 230; i++) { /* more than two pages */
        char user[16];
        (void)snprintf(user, sizeof user, "user-%u", i);
        if (i == 0)
            redis_server_kill(&backend.server);
        struct lease l = lease_of(user, "s");
        assert_int_equal(call_open(f, &l, 1, &o), 0);
    }
    redis_server_run(&backend.server);
    struct fixture alone = redis_alone();
    wait_for_count(&alone, alone.loop, "user-0", 0);
    struct lease_mend *m = mend(f);
    uint64_t until = clock_mono_ms() + 3 * WAIT_MS;
    json_t *docs = NULL;
    char *cursor = NULL;
    const struct db_list all = {.limit = 1};
    size_t left = 1;
    while (left > 0) {
        loop_run_once(f->loop, TURN_MS);
        assert_int_equal(db_list(backend.db, 0, &all, &docs, &cursor), 0);
        left = json_array_size(docs);
        json_decref(docs);
        free(cursor);
        assert_true(clock_mono_ms() < until);
    }
    for (unsigned i = 0; i < 230; i++) {
        char user[16];
        (void)snprintf(user, sizeof user, "user-%u", i);
        assert_int_equal(count_of(&alone, user), 1);
    }
    lease_mend_free(m);
    fixture_close(&alone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_fall_gives_nobody_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_thousand_over_a_break, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_gets_more_before_it_is_mended, set_up, tear_down),
        cmocka_unit_test_setup_teardown(documents_of_a_dead_control, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
