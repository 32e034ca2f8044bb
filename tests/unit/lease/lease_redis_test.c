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

/* --- every call ------------------------------------------------------------------------------- */

struct any {
    unsigned calls;
    int res;
};

static void on_any(void *arg, int res, const struct lease *active, unsigned count)
{
    struct any *a = arg;
    assert_true(count == 0 || active != NULL);
    a->calls++;
    a->res = res;
}

static void on_any_renewed(void *arg, int res, const enum lease_state *states, unsigned count)
{
    on_any(arg, res, NULL, 0);
    for (unsigned i = 0; i < count; i++)
        assert_true(states[i] <= LEASE_OVER);
}

static void on_any_crowd(void *arg, int res, const struct str *users, unsigned count, uint64_t next)
{
    (void)users, (void)count, (void)next;
    on_any(arg, res, NULL, 0);
}

static int any_call(struct fixture *f, unsigned i, struct any *a)
{
    static const char *const users[] = {"ann", "bob", "cid"};
    struct lease l[3] = {lease_of(users[i % 3], "a"), lease_of(users[(i + 1) % 3], "b"),
                         lease_of(users[i % 3], "c")};
    switch (i % 6) {
    case 0:
        return lease_open(f->leases, &l[i / 6 % 3], 2, on_any, a);
    case 1:
        return lease_list(f->leases, l[0].user, on_any, a);
    case 2:
        return lease_renew(f->leases, l, ARRAY_LEN(l), on_any_renewed, a);
    case 3:
        return lease_trim(f->leases, l[0].user, 1, on_any, a);
    case 4:
        return lease_crowded(f->leases, (uint64_t)(i % 16) << 32, on_any_crowd, a);
    default:
        return lease_end(f->leases, l[0].user, l[0].session, on_any, a);
    }
}

static bool any_result(int res)
{
    return res == 0 || res == -ENOENT || res == -EDQUOT || res == -ECONNRESET ||
           res == -EHOSTDOWN || res == -ETIMEDOUT;
}

struct watcher {
    unsigned gaps, heard;
};

static void on_ended(void *arg, struct str session)
{
    struct watcher *w = arg;
    assert_true(session.size > 0);
    w->heard++;
}

static void on_gap(void *arg)
{
    struct watcher *w = arg;
    w->gaps++;
}

/* breaks: ends whatever is behind the leases and starts it again. */
static void each_call_ends_once(struct fixture *f, void (*breaks)(void))
{
    enum { CALLS = 1200, ROUNDS = 3 };
    struct any *a = calloc(CALLS, sizeof *a);
    struct watcher w = {0};
    struct lease_watch *watch;
    struct lease probe = lease_of("probe", "p");
    assert_non_null(a);
    assert_int_equal(lease_watch(f->leases, on_ended, on_gap, &w, &watch), 0);
    run_until(f->loop, &w.gaps, 1);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned broken = 0;
        wait_for_state(f, &probe, LEASE_LIVE);
        memset(a, 0, CALLS * sizeof *a);
        for (unsigned i = 0; i < CALLS; i++) {
            assert_int_equal(any_call(f, i, &a[i]), 0);
            if (i == CALLS / ROUNDS * round)
                loop_run_once(f->loop, 0); /* some are on their way */
        }
        breaks();
        for (unsigned i = 0; i < CALLS; i++) {
            run_until(f->loop, &a[i].calls, 1);
            assert_true(any_result(a[i].res));
            broken += a[i].res == -ECONNRESET || a[i].res == -EHOSTDOWN;
        }
        assert_true(broken > 0);
        run_until(f->loop, &w.gaps, round + 2); /* the watch holds again, and says so */
        wait_for_state(f, &probe, LEASE_LIVE);
        for (unsigned i = 0; i < CALLS; i++)
            assert_int_equal(a[i].calls, 1);
    }
    unsigned before = w.heard;
    struct outcome o;
    probe.session = STR("loud");
    assert_int_equal(call_open(f, &probe, 2, &o), 0);
    assert_int_equal(call_end(f, "probe", "loud"), 0);
    run_until(f->loop, &w.heard, before + 1);
    lease_unwatch(watch);
    free(a);
}

static void kill_and_run(void)
{
    redis_server_kill(&backend.server);
    redis_server_run(&backend.server);
}

static void each_call_ends_once_when_redis_is_killed(void **state)
{
    each_call_ends_once(*state, kill_and_run);
}

static void kill_and_run_cluster(void)
{
    for (unsigned i = 0; i < backend.cluster.count; i++)
        redis_server_kill(&backend.cluster.servers[i]);
    for (unsigned i = 0; i < backend.cluster.count; i++)
        redis_server_run(&backend.cluster.servers[i]);
    redis_cluster_await_ok(&backend.cluster); /* then a notice reaches all */
}

static void each_call_ends_once_when_a_cluster_is_killed(void **state)
{
    struct fixture f;
    (void)state;
    backend.is_cluster = true;
    redis_cluster_start(&backend.cluster, 0);
    fixture_open(&backend, &f);
    each_call_ends_once(&f, kill_and_run_cluster);
    fixture_close(&f);
    redis_cluster_stop(&backend.cluster);
    backend.is_cluster = false;
}

/* --- many users ------------------------------------------------------------------------------- */

#define MANY 2500

struct many {
    unsigned calls;
    uint64_t next;
    unsigned largest; /* page */
    uint8_t seen[MANY];
};

static void on_many(void *arg, int res, const struct str *users, unsigned count, uint64_t next)
{
    struct many *m = arg;
    assert_int_equal(res, 0);
    m->calls++;
    m->next = next;
    m->largest = MAX(m->largest, count);
    for (unsigned i = 0; i < count; i++) {
        uint64_t n;
        assert_int_equal(str_to_u64(str_skip(users[i], strlen("many ")), &n), 0);
        assert_true(n < MANY);
        m->seen[n]++;
    }
}

static void a_shard_of_several_pages(void **state)
{
    struct fixture *f = *state;
    struct many *m = calloc(1, sizeof *m);
    char command[512];
    assert_non_null(m);
    (void)snprintf(command, sizeof command,
                   "redis-cli -p %u eval \"for i = 0, %d do redis.call('ZADD', KEYS[1], "
                   "'9000000000000', 'many ' .. i) end; redis.call('ZADD', KEYS[1], 1, 'gone')\" "
                   "1 'weir:lease:crowd:{7}' >/dev/null",
                   backend.server.port, MANY - 1);
    assert_int_equal(system(command), 0);
    unsigned pages = 0;
    do {
        assert_int_equal(lease_crowded(f->leases, m->next, on_many, m), 0);
        run_until(f->loop, &m->calls, ++pages);
    } while (m->next != 0);
    assert_int_equal(m->largest, LEASE_CROWD_MAX);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(m->seen[i], 1);
    static const uint64_t odd[] = {UINT64_C(16) << 32, UINT64_MAX, UINT64_C(0x80000000)};
    for (size_t i = 0; i < ARRAY_LEN(odd); i++)
        assert_int_equal(lease_crowded(f->leases, odd[i], on_many, m), -EINVAL);
    free(m);
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
        cmocka_unit_test_setup_teardown(each_call_ends_once_when_redis_is_killed, set_up,
                                        tear_down),
        cmocka_unit_test(each_call_ends_once_when_a_cluster_is_killed),
        cmocka_unit_test_setup_teardown(a_shard_of_several_pages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_counted_twice_over_a_break, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_plays_is_taken_up_after_a_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_in_the_hash_is_not_trusted, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
