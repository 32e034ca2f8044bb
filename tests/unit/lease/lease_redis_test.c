/* SPDX-License-Identifier: Apache-2.0 */
/* Redis killed and restarted in the middle of calls: each ends once, nobody is over the limit, and
 * what plays on is taken up again. */
#include "lease/lease.h"
#include "lease_fixture.h"

static struct backend backend = {.on_redis = true};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    redis_server_start(&backend.server);
    fixture_open(&backend, f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    redis_server_stop(&backend.server);
    free(f);
    return 0;
}

static void wait_for_state(struct fixture *f, const struct lease *l, int wanted)
{
    uint64_t until = clock_mono_ms() + WAIT_MS;
    while (call_renew(f, l) != wanted)
        assert_true(clock_mono_ms() < until);
}

static void nothing_is_counted_twice_over_a_break(void **state)
{
    enum { OPENS = 300, LIMIT = 40 };
    struct fixture *f = *state;
    struct outcome *o = calloc(OPENS, sizeof *o);
    struct outcome list;
    assert_non_null(o);
    for (unsigned round = 0; round < 3; round++) {
        char user[16];
        unsigned won = 0;
        (void)snprintf(user, sizeof user, "user %u", round);
        memset(o, 0, OPENS * sizeof *o);
        for (unsigned i = 0; i < OPENS; i++) {
            char name[16];
            (void)snprintf(name, sizeof name, "s%u", i);
            struct lease l = lease_of(user, name);
            assert_int_equal(lease_open(f->leases, &l, LIMIT, on_done, &o[i]), 0);
            if (i == 20 * round)
                loop_run_once(f->loop, 1);
        }
        redis_server_kill(&backend.server);
        for (unsigned i = 0; i < OPENS; i++) {
            run_until(f->loop, &o[i].calls, 1);
            won += o[i].res == 0;
            assert_true(o[i].res == 0 || o[i].res == -EDQUOT || o[i].res == -ECONNRESET ||
                        o[i].res == -EHOSTDOWN);
        }
        assert_true(won <= LIMIT);
        redis_server_run(&backend.server);
        struct lease probe = lease_of("probe", "p");
        wait_for_state(f, &probe, LEASE_LIVE);
        assert_int_equal(call_list(f, user, &list), 0);
        assert_int_equal(list.count, 0); /* this Redis keeps nothing on disk */
        for (unsigned i = 0; i < OPENS; i++)
            assert_int_equal(o[i].calls, 1);
    }
    free(o);
}

static void what_plays_is_taken_up_after_a_restart(void **state)
{
    struct fixture *f = *state;
    struct outcome o;
    struct lease a = lease_of("ann", "a");
    struct lease b = lease_of("ann", "b");
    struct lease c = lease_of("ann", "c");
    assert_int_equal(call_open(f, &a, 2, &o), 0);
    assert_int_equal(call_open(f, &b, 2, &o), 0);
    redis_server_kill(&backend.server);
    wait_for_state(f, &a, -EHOSTDOWN);
    redis_server_run(&backend.server);
    wait_for_state(f, &a, LEASE_LIVE);
    assert_int_equal(call_renew(f, &b), LEASE_LIVE);
    assert_int_equal(call_open(f, &c, 2, &o), -EDQUOT);
    assert_int_equal(o.count, 2);
}

static void what_is_in_the_hash_is_not_trusted(void **state)
{
    struct fixture *f = *state;
    struct outcome o;
    static const char *const records[] = {"", "nonsense", "9999999999999", "99999999999999 1 2"};
    struct lease a = lease_of("eve", "a");
    for (size_t i = 0; i < ARRAY_LEN(records); i++) {
        char command[160];
        (void)snprintf(command, sizeof command,
                       "redis-cli -p %u hset 'weir:lease:{eve}' l:x '%s' >/dev/null",
                       backend.server.port, records[i]);
        assert_int_equal(system(command), 0);
        int r = call_list(f, "eve", &o);
        assert_true(r == 0 || r == -EBADMSG);
        int state_of_a = call_renew(f, &a);
        assert_int_equal(state_of_a, LEASE_LIVE);
        a.session = STR("x"); /* renewing the odd one mends it */
        assert_int_equal(call_renew(f, &a), LEASE_LIVE);
        assert_int_equal(call_list(f, "eve", &o), 0);
        a.session = STR("a");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_counted_twice_over_a_break, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_plays_is_taken_up_after_a_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_in_the_hash_is_not_trusted, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
