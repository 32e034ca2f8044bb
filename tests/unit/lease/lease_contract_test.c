/* SPDX-License-Identifier: Apache-2.0 */
/* The promises of lease.h on each backend: argv[1] is "local", "redis" or "cluster"; with control's
 * database also "db", "mongodb", "both" (Redis, and the database behind it) and "away" (the same,
 * with no Redis there). Users' names are each test's own, so that they share one server. */
#include "lease/lease.h"
#include <pthread.h>
#include "lease_fixture.h"

static struct backend backend;

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    fixture_open(&backend, f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    free(f);
    return 0;
}

static void expect_text(struct str s, const char *text)
{
    assert_true(str_eq(s, str_of(text)));
}

struct crowd {
    unsigned calls;
    unsigned pages;
    unsigned count;
    uint64_t next;
    const char *prefix;
    uint8_t seen[4096];
};

static void on_crowd(void *arg, int res, const struct str *users, unsigned count, uint64_t next)
{
    struct crowd *c = arg;
    assert_int_equal(res, 0);
    c->calls++;
    c->next = next;
    for (unsigned i = 0; i < count; i++) {
        uint64_t n;
        if (!str_starts(users[i], str_of(c->prefix)))
            continue;
        assert_int_equal(str_to_u64(str_skip(users[i], strlen(c->prefix)), &n), 0);
        assert_true(n < ARRAY_LEN(c->seen));
        c->seen[n]++;
        c->count++;
    }
}

/* Those whose names begin so, with a number behind. The caller frees. */
static struct crowd *crowd_of(struct fixture *f, const char *prefix)
{
    struct crowd *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->prefix = prefix;
    do {
        assert_int_equal(lease_crowded(f->leases, c->next, on_crowd, c), 0);
        run_until(f->loop, &c->calls, ++c->pages);
    } while (c->next != 0);
    return c;
}

static void the_limit_holds(void **state)
{
    struct fixture *f = *state;
    struct outcome o;
    struct lease a = lease_of("ann", "a");
    struct lease b = lease_of("ann", "b");
    struct lease c = lease_of("ann", "c");
    a.device = STR("d-1");
    b.asset = STR("other film");
    b.device = b.device_name = STR_NONE;
    assert_int_equal(call_list(f, "ann", &o), 0);
    assert_int_equal(o.count, 0);
    assert_int_equal(call_open(f, &a, 2, &o), 0);
    assert_int_equal(call_open(f, &a, 2, &o), 0); /* the same again is the same */
    uint64_t until = clock_mono_ms() + 3;         /* so that one is older */
    while (clock_mono_ms() < until)
        ;
    assert_int_equal(call_open(f, &b, 2, &o), 0);
    int64_t now_ms = clock_real_ms();
    assert_int_equal(call_open(f, &c, 2, &o), -EDQUOT);
    assert_int_equal(o.count, 2);
    expect_text(o.active[0].session, "a");
    expect_text(o.active[0].asset, "film");
    expect_text(o.active[0].device, "d-1");
    assert_true(str_eq(o.active[0].device_name, a.device_name));
    assert_int_equal(o.active[0].until_ms, a.until_ms);
    assert_true(o.active[0].started_ms <= now_ms && o.active[0].started_ms > now_ms - WAIT_MS);
    /* What is taken up from another backend was noted a moment later than it was opened. */
    int64_t slack_ms = backend.is_away ? WAIT_MS : 0;
    assert_true(o.active[0].expires_ms >= o.active[0].started_ms + LEASE_LIFE_MS);
    assert_true(o.active[0].expires_ms <= o.active[0].started_ms + LEASE_LIFE_MS + slack_ms);
    expect_text(o.active[1].session, "b");
    expect_text(o.active[1].asset, "other film");
    assert_int_equal(o.active[1].device.size + o.active[1].device_name.size, 0);
    assert_int_equal(call_list(f, "ann", &o), 0);
    assert_int_equal(o.count, 2);
    struct lease d = lease_of("bob", "d"); /* another user's */
    assert_int_equal(call_open(f, &d, 1, &o), 0);
    assert_int_equal(call_end(f, "ann", "a"), 0);
    assert_int_equal(call_open(f, &c, 2, &o), 0);
    assert_int_equal(call_list(f, "ann", &o), 0);
    assert_int_equal(o.count, 2);
    assert_int_equal(call_open(f, &a, 3, &o), 0); /* a higher limit, from now on */
}

static void a_device_is_not_in_its_own_way(void **state)
{
    struct fixture *f = *state;
    struct outcome o;
    struct lease a = lease_of("nora", "a");
    struct lease b = lease_of("nora", "b");
    struct lease c = lease_of("nora", "c");
    struct lease d = lease_of("nora", "d");
    a.device = b.device = d.device = STR("tab 1");
    c.device = STR("tab");
    assert_int_equal(call_open(f, &a, 2, &o), 0);
    assert_int_equal(call_open(f, &c, 2, &o), 0);
    assert_int_equal(call_open(f, &b, 2, &o), 0); /* in the place of a */
    assert_int_equal(call_renew(f, &a), LEASE_ENDED);
    assert_int_equal(call_renew(f, &b), LEASE_LIVE);
    assert_int_equal(call_renew(f, &c), LEASE_LIVE);
    assert_int_equal(call_open(f, &d, 1, &o), -EDQUOT); /* another one stands in its way */
    assert_int_equal(o.count, 1);
    expect_text(o.active[0].session, "c");
    assert_int_equal(call_renew(f, &b), LEASE_ENDED);
}

static void only_the_owner_ends(void **state)
{
    struct fixture *f = *state;
    struct outcome o;
    struct lease a = lease_of("carl", "own");
    assert_int_equal(call_open(f, &a, 1, &o), 0);
    assert_int_equal(call_end(f, "dora", "own"), -ENOENT);
    assert_int_equal(call_end(f, "carl", "none"), -ENOENT);
    assert_int_equal(call_renew(f, &a), LEASE_LIVE);
    assert_int_equal(call_end(f, "carl", "own"), 0);
    assert_int_equal(call_end(f, "carl", "own"), -ENOENT);
    assert_int_equal(call_renew(f, &a), LEASE_ENDED);
    struct lease same_name = lease_of("dora", "own");
    assert_int_equal(call_renew(f, &same_name), LEASE_LIVE);
}

static void wait_for_state(struct fixture *f, const struct lease *l, enum lease_state wanted)
{
    uint64_t until = clock_mono_ms() + WAIT_MS;
    while (call_renew(f, l) != (int)wanted)
        assert_true(clock_mono_ms() < until);
}

static void wait_until_none(struct fixture *f, const char *user)
{
    struct outcome o;
    uint64_t until = clock_mono_ms() + WAIT_MS;
    do {
        assert_int_equal(call_list(f, user, &o), 0);
        assert_true(clock_mono_ms() < until);
    } while (o.count > 0);
}

static void what_is_not_renewed_expires(void **state)
{
    struct fixture *f = *state;
    struct outcome o;
    struct lease a = lease_of("emil", "a");
    struct lease b = lease_of("emil", "b");
    leases_set_life(f->leases, 40);
    assert_int_equal(call_open(f, &a, 1, &o), 0);
    uint64_t until = clock_mono_ms() + 200;
    while (clock_mono_ms() < until) { /* renewed, it outlives its life five times */
        leases_set_life(f->leases, 10000);
        assert_int_equal(call_renew(f, &a), LEASE_LIVE);
    }
    assert_int_equal(call_open(f, &b, 1, &o), -EDQUOT);
    leases_set_life(f->leases, 20);
    assert_int_equal(call_renew(f, &a), LEASE_LIVE);
    wait_until_none(f, "emil");
    leases_set_life(f->leases, LEASE_LIFE_MS);
    assert_int_equal(call_open(f, &b, 1, &o), 0);
    assert_int_equal(call_renew(f, &a), LEASE_FULL); /* it has lost its place */
    assert_int_equal(call_end(f, "emil", "b"), 0);
    assert_int_equal(call_renew(f, &a), LEASE_LIVE); /* and takes it up again */
    assert_int_equal(call_renew(f, &b), LEASE_ENDED);
    assert_int_equal(call_open(f, &b, 1, &o), -EDQUOT);
}

static void the_ended_stay_ended_until_their_tokens_expire(void **state)
{
    struct fixture *f = *state;
    struct outcome o;
    struct lease a = lease_of("fritz", "a");
    a.until_ms = clock_real_ms() + 100;
    assert_int_equal(call_open(f, &a, 1, &o), 0);
    a.until_ms = clock_real_ms() + 2000; /* the token was renewed; a busy host has time to look */
    assert_int_equal(call_renew(f, &a), LEASE_LIVE);
    assert_int_equal(call_end(f, "fritz", "a"), 0);
    assert_int_equal(call_renew(f, &a), LEASE_ENDED);
    wait_for_state(f, &a, LEASE_LIVE);
    assert_true(clock_real_ms() >= a.until_ms);
}

static void few_ended_ones_are_kept(void **state)
{
    struct fixture *f = *state;
    struct outcome o;
    char name[16];
    for (int i = 0; i < LEASE_ENDED_MAX + 10; i++) {
        (void)snprintf(name, sizeof name, "s%d", i);
        struct lease l = lease_of("gerd", name);
        l.until_ms += i;
        assert_int_equal(call_open(f, &l, 1, &o), 0);
        assert_int_equal(call_end(f, "gerd", name), 0);
    }
    struct lease oldest = lease_of("gerd", "s0");
    struct lease newest = lease_of("gerd", name);
    assert_int_equal(call_renew(f, &newest), LEASE_ENDED);
    assert_int_equal(call_renew(f, &oldest), LEASE_LIVE);
}

static void what_was_forgotten_is_taken_up(void **state)
{
    struct fixture *f = *state;
    struct outcome o;
    struct lease a = lease_of("hans", "a");
    struct lease b = lease_of("hans", "b");
    struct lease c = lease_of("hans", "c");
    assert_int_equal(call_renew(f, &a), LEASE_LIVE);
    assert_int_equal(call_renew(f, &b), LEASE_LIVE);
    assert_int_equal(call_list(f, "hans", &o), 0);
    assert_int_equal(o.count, 2);
    expect_text(o.active[0].asset, "film");
    assert_true(str_eq(o.active[0].device_name, a.device_name));
    assert_int_equal(call_open(f, &c, 2, &o), -EDQUOT); /* they count */
    assert_int_equal(call_open(f, &c, 3, &o), 0);
    struct lease d = lease_of("hans", "d");
    assert_int_equal(call_renew(f, &d), LEASE_FULL); /* now the limit is known */
    d.limit = 4;                                     /* another one is told */
    assert_int_equal(call_renew(f, &d), LEASE_LIVE);
    struct lease e = lease_of("hans", "e");
    assert_int_equal(call_renew(f, &e), LEASE_FULL);
}

static void many_are_renewed_at_once(void **state)
{
    enum { COUNT = LEASE_BATCH_MAX };
    struct fixture *f = *state;
    struct outcome *o = calloc(1, sizeof *o);
    struct lease *l = calloc(COUNT, sizeof *l);
    char(*names)[16] = calloc(COUNT, sizeof *names);
    assert_non_null(o);
    assert_non_null(l);
    assert_non_null(names);
    for (unsigned i = 0; i < COUNT; i++) {
        (void)snprintf(names[i], sizeof names[i], "u%u", i / 2);
        l[i] = lease_of(names[i], i % 2 == 0 ? "even" : "odd");
    }
    for (unsigned i = 0; i < 20; i += 2) /* of ten users the odd one has no room */
        assert_int_equal(call_open(f, &l[i], 1, o), 0);
    for (unsigned i = 20; i < 40; i += 2) { /* of ten the even one has ended */
        assert_int_equal(call_open(f, &l[i], 1, o), 0);
        assert_int_equal(call_end(f, names[i], "even"), 0);
    }
    memset(o, 0, sizeof *o);
    assert_int_equal(lease_renew(f->leases, l, COUNT, on_renewed, o), 0);
    run_until(f->loop, &o->calls, 1);
    assert_int_equal(o->res, 0);
    assert_int_equal(o->count, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        enum lease_state wanted = LEASE_LIVE;
        if (i < 20 && i % 2 == 1)
            wanted = LEASE_FULL;
        if (i >= 20 && i < 40 && i % 2 == 0)
            wanted = LEASE_ENDED;
        assert_int_equal(o->states[i], wanted);
    }
    free(names);
    free(l);
    free(o);
}

static void bad_texts_are_refused(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    char large[LEASE_TEXT_MAX + 2];
    memset(large, 'x', sizeof large);
    struct str too_large = {large, LEASE_TEXT_MAX + 1};
    struct str bad[] = {too_large,
                        STR("a\nb"),
                        STR("a\x1f"
                            "b"),
                        {"a\0b", 3},
                        STR("\x7f")};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct lease l = lease_of("ida", "a");
        struct str *const members[] = {&l.user, &l.session, &l.asset, &l.device, &l.device_name};
        for (size_t k = 0; k < ARRAY_LEN(members); k++) {
            l = lease_of("ida", "a");
            *members[k] = bad[i];
            assert_int_equal(lease_open(f->leases, &l, 1, on_done, &o), -EINVAL);
            assert_int_equal(lease_renew(f->leases, &l, 1, on_renewed, &o), -EINVAL);
        }
        assert_int_equal(lease_list(f->leases, bad[i], on_done, &o), -EINVAL);
        assert_int_equal(lease_end(f->leases, STR("ida"), bad[i], on_done, &o), -EINVAL);
    }
    struct lease l = lease_of("", "a");
    assert_int_equal(lease_open(f->leases, &l, 1, on_done, &o), -EINVAL);
    l = lease_of("ida", "");
    assert_int_equal(lease_open(f->leases, &l, 1, on_done, &o), -EINVAL);
    l = lease_of("ida", "a");
    assert_int_equal(lease_open(f->leases, &l, 0, on_done, &o), -EINVAL);
    assert_int_equal(lease_open(f->leases, &l, LEASE_LIMIT_MAX + 1, on_done, &o), -EINVAL);
    assert_int_equal(lease_renew(f->leases, &l, 0, on_renewed, &o), -EINVAL);
    loop_run_once(f->loop, 0);
    assert_int_equal(o.calls, 0);
    /* Braces in a name are no hash tag of their own; quotes and percents are just characters. */
    struct lease odd = lease_of("}{weir} %d '\"", "s:*?[a]");
    struct outcome p;
    assert_int_equal(call_open(f, &odd, 1, &p), 0);
    assert_int_equal(call_open(f, &(struct lease){.user = odd.user, .session = STR("x")}, 1, &p),
                     -EDQUOT);
    expect_text(p.active[0].session, "s:*?[a]");
}

static void closing_ends_what_is_under_way(void **state)
{
    (void)state;
    struct fixture f;
    static struct outcome o[20];
    memset(o, 0, sizeof o);
    fixture_open(&backend, &f);
    struct lease l = lease_of("jan", "a");
    for (size_t i = 0; i < ARRAY_LEN(o); i++)
        assert_int_equal(i % 2 == 0 ? lease_renew(f.leases, &l, 1, on_renewed, &o[i])
                                    : lease_list(f.leases, l.user, on_done, &o[i]),
                         0);
    fixture_close(&f);
    for (size_t i = 0; i < ARRAY_LEN(o); i++) {
        assert_int_equal(o[i].calls, 1);
        assert_int_equal(o[i].res, -ECANCELED);
    }
}

/* Ends the oldest, tells that it was for the limit, and the limit counts from then on. */
static void a_lower_limit_ends_the_oldest(void **state)
{
    struct fixture *f = *state;
    struct outcome o;
    static const char *const names[] = {"one", "two", "three", "four"};
    struct lease l[ARRAY_LEN(names)];
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        l[i] = lease_of("lena", names[i]);
        assert_int_equal(call_open(f, &l[i], 4, &o), 0);
        uint64_t until = clock_mono_ms() + 3;
        while (clock_mono_ms() < until)
            ;
    }
    assert_int_equal(call_trim(f, "lena", 4, &o), 0);
    assert_int_equal(o.count, 0);
    assert_int_equal(call_trim(f, "lena", 2, &o), 0);
    assert_int_equal(o.count, 2);
    expect_text(o.active[0].session, "one");
    expect_text(o.active[1].session, "two");
    assert_int_equal(call_renew(f, &l[0]), LEASE_OVER);
    assert_int_equal(call_renew(f, &l[1]), LEASE_OVER);
    assert_int_equal(call_renew(f, &l[2]), LEASE_LIVE);
    assert_int_equal(call_end(f, "lena", "three"), 0);
    assert_int_equal(call_renew(f, &l[2]), LEASE_ENDED); /* by the user */
    struct lease five = lease_of("lena", "five");
    assert_int_equal(call_renew(f, &five), LEASE_LIVE);
    struct lease six = lease_of("lena", "six");
    assert_int_equal(call_renew(f, &six), LEASE_FULL);
    assert_int_equal(call_trim(f, "nobody", 1, &o), 0);
    assert_int_equal(o.count, 0);
    assert_int_equal(lease_trim(f->leases, STR("lena"), 0, on_done, &o), -EINVAL);
    assert_int_equal(lease_trim(f->leases, STR(""), 1, on_done, &o), -EINVAL);
    assert_int_equal(lease_trim(f->leases, STR("lena"), LEASE_LIMIT_MAX + 1, on_done, &o), -EINVAL);
}

static void all_who_have_two_are_found(void **state)
{
    /* More than a page holds, but for a database that syncs each of them. */
    const unsigned users = backend.is_db ? 120 : 2300;
    struct fixture *f = *state;
    struct outcome o;
    struct crowd *before = crowd_of(f, "crowd "); /* of other tests: none of these names */
    assert_int_equal(before->count, 0);
    free(before);
    for (unsigned i = 0; i < users; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "crowd %u", i);
        struct lease a = lease_of(name, "a");
        struct lease b = lease_of(name, "b");
        assert_int_equal(call_open(f, &a, 2, &o), 0);
        if (i % 3 == 0)
            assert_int_equal(call_open(f, &b, 2, &o), 0);
        else if (i % 3 == 1)
            assert_int_equal(call_renew(f, &b), LEASE_LIVE); /* taken up, as after a loss */
    }
    struct crowd *c = crowd_of(f, "crowd ");
    assert_int_equal(c->count, users - users / 3);
    for (unsigned i = 0; i < users; i++)
        assert_int_equal(c->seen[i], i % 3 != 2); /* each once */
    assert_true(c->pages >= 2 || backend.is_db);
    free(c);
    assert_int_equal(call_trim(f, "crowd 0", 1, &o), 0);
    assert_int_equal(o.count, 1);
    bool was_a = str_eq(o.active[0].session, STR("a")); /* both may be of one millisecond */
    assert_int_equal(call_end(f, "crowd 0", was_a ? "b" : "a"), 0);
    assert_int_equal(call_trim(f, "crowd 0", 1, &o), 0);
    c = crowd_of(f, "crowd ");
    assert_int_equal(c->seen[0], 0); /* nothing is left of it */
    free(c);
}

/* --- a race ----------------------------------------------------------------------------------- */

#define RACERS 8
#define OPENS  125

struct racer {
    pthread_t thread;
    unsigned index;
    const unsigned *is_go;
    unsigned won;
    unsigned full;
};

static void *racer_main(void *arg)
{
    struct racer *r = arg;
    struct fixture f;
    struct outcome *o = calloc(OPENS, sizeof *o);
    assert_non_null(o);
    fixture_open(&backend, &f);
    while (__atomic_load_n(r->is_go, __ATOMIC_ACQUIRE) == 0)
        loop_run_once(f.loop, 1);
    for (unsigned i = 0; i < OPENS; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "race %u %u", r->index, i);
        struct lease l = lease_of("racer", name);
        assert_int_equal(lease_open(f.leases, &l, 3, on_done, &o[i]), 0);
    }
    for (unsigned i = 0; i < OPENS; i++) {
        run_until(f.loop, &o[i].calls, 1);
        r->won += o[i].res == 0;
        r->full += o[i].res == -EDQUOT && o[i].count == 3;
    }
    fixture_close(&f);
    free(o);
    return NULL;
}

static void a_thousand_at_once_get_no_more(void **state)
{
    struct fixture *f = *state;
    struct racer racers[RACERS];
    struct outcome o;
    unsigned is_go = 0;
    unsigned won = 0;
    unsigned full = 0;
    for (unsigned i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){.index = i, .is_go = &is_go};
        assert_int_equal(pthread_create(&racers[i].thread, NULL, racer_main, &racers[i]), 0);
    }
    __atomic_store_n(&is_go, 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < RACERS; i++) {
        assert_int_equal(pthread_join(racers[i].thread, NULL), 0);
        won += racers[i].won;
        full += racers[i].full;
    }
    assert_int_equal(won, 3);
    assert_int_equal(full, RACERS * OPENS - 3);
    assert_int_equal(call_list(f, "racer", &o), 0);
    assert_int_equal(o.count, 3);
}

/* --- notices ---------------------------------------------------------------------------------- */

struct watcher {
    unsigned gaps;
    unsigned heard;
    char last[64];
};

static void on_ended(void *arg, struct str session)
{
    struct watcher *w = arg;
    if (!str_ends(session, STR(" one")))
        return; /* another test's: the nodes of a cluster may be late to pass it on */
    assert_int_equal(str_copy(session, w->last, sizeof w->last), 0);
    w->heard++;
}

static void on_gap(void *arg)
{
    struct watcher *w = arg;
    w->gaps++;
}

struct far {
    pthread_t thread;
    unsigned is_ready;
    struct watcher watcher;
};

static void *far_main(void *arg)
{
    struct far *far = arg;
    struct fixture f;
    struct lease_watch *w;
    fixture_open(&backend, &f);
    assert_int_equal(lease_watch(f.leases, on_ended, on_gap, &far->watcher, &w), 0);
    run_until(f.loop, &far->watcher.gaps, 1);
    __atomic_store_n(&far->is_ready, 1, __ATOMIC_RELEASE);
    run_until(f.loop, &far->watcher.heard, 1);
    lease_unwatch(w);
    fixture_close(&f);
    return NULL;
}

static void all_hear_of_an_end(void **state)
{
    struct fixture *f = *state;
    struct outcome o;
    struct watcher near = {0};
    struct lease_watch *w;
    struct far far[2] = {0};
    struct lease a = lease_of("karl", "loud one");
    assert_int_equal(lease_watch(f->leases, on_ended, on_gap, &near, &w), 0);
    run_until(f->loop, &near.gaps, 1);
    for (size_t i = 0; i < ARRAY_LEN(far); i++) {
        assert_int_equal(pthread_create(&far[i].thread, NULL, far_main, &far[i]), 0);
        while (__atomic_load_n(&far[i].is_ready, __ATOMIC_ACQUIRE) == 0)
            loop_run_once(f->loop, 1);
    }
    assert_int_equal(call_open(f, &a, 1, &o), 0);
    assert_int_equal(call_end(f, "karl", "not this"), -ENOENT); /* tells nobody */
    a.session = STR("next one");
    a.device = STR("d");
    assert_int_equal(call_open(f, &a, 2, &o), 0);
    assert_int_equal(call_end(f, "karl", "loud one"), 0);
    run_until(f->loop, &near.heard, 1);
    assert_string_equal(near.last, "loud one");
    for (size_t i = 0; i < ARRAY_LEN(far); i++) {
        assert_int_equal(pthread_join(far[i].thread, NULL), 0);
        assert_string_equal(far[i].watcher.last, "loud one");
        assert_int_equal(far[i].watcher.heard, 1);
    }
    a.session = STR("last one"); /* ends the next one */
    assert_int_equal(call_open(f, &a, 2, &o), 0);
    run_until(f->loop, &near.heard, 2);
    assert_string_equal(near.last, "next one");
    lease_unwatch(w);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    struct CMUnitTest tests[] = {
        TEST(the_limit_holds),
        TEST(a_device_is_not_in_its_own_way),
        TEST(only_the_owner_ends),
        TEST(what_is_not_renewed_expires),
        TEST(the_ended_stay_ended_until_their_tokens_expire),
        TEST(few_ended_ones_are_kept),
        TEST(what_was_forgotten_is_taken_up),
        TEST(many_are_renewed_at_once),
        TEST(bad_texts_are_refused),
        TEST(closing_ends_what_is_under_way),
        TEST(a_lower_limit_ends_the_oldest),
        TEST(all_who_have_two_are_found),
        TEST(a_thousand_at_once_get_no_more),
        TEST(all_hear_of_an_end), /* the last */
    };
    const char *kind = argc > 1 ? argv[1] : "local";
    backend.is_away = strcmp(kind, "away") == 0;
    if (backend.is_away) /* notices go by the Redis: edges ask when it is back */
        tests[ARRAY_LEN(tests) - 1] = (struct CMUnitTest){0};
    backend.is_cluster = strcmp(kind, "cluster") == 0;
    backend.on_redis = backend.is_cluster || strcmp(kind, "redis") == 0 ||
                       strcmp(kind, "both") == 0 || backend.is_away;
    backend.is_mongo = strcmp(kind, "mongodb") == 0;
    backend.is_db =
        strcmp(kind, "db") == 0 || backend.is_mongo || strcmp(kind, "both") == 0 || backend.is_away;
    if (backend.is_cluster)
        redis_cluster_start(&backend.cluster, 0);
    else if (backend.on_redis)
        redis_server_start(&backend.server);
    if (backend.is_away)
        redis_server_kill(&backend.server);
    if (backend.is_db)
        backend_start_db(&backend);
    assert_int_equal(bus_hub_new(&backend.hub), 0);
    assert_int_equal(lease_book_new(&backend.book), 0);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    lease_book_free(backend.book);
    bus_hub_free(backend.hub);
    if (backend.is_db)
        backend_stop_db(&backend);
    if (backend.is_cluster)
        redis_cluster_stop(&backend.cluster);
    else if (backend.on_redis)
        redis_server_stop(&backend.server);
    return failed;
}
