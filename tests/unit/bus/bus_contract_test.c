/* SPDX-License-Identifier: Apache-2.0 */
/* The promises of bus.h on each backend: argv[1] is "local", "redis" or "cluster". */
#include "bus/bus.h"
#include <errno.h>
#include <pthread.h>
#include "base/clock.h"
#include "redis_cluster.h"
#include "bus_outcome.h"

static bool on_redis;
static const char *url;

struct fixture {
    struct bus_hub *hub;
    struct loop *loop;
    struct bus *bus;
};

static struct bus *open_bus(struct bus_hub *hub, struct loop *loop)
{
    struct bus *b = NULL;
    struct err err = {""};
    struct bus_redis_options options = {.url = url,
                                        .answer_ms = WAIT_MS / 2}; /* slow is not away */
    int r = on_redis ? bus_open_redis(&options, loop, &err, &b) : bus_open_local(hub, loop, &b);
    if (r < 0)
        print_error("%s\n", err.text);
    assert_int_equal(r, 0);
    return b;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_int_equal(bus_hub_new(&f->hub), 0);
    assert_int_equal(loop_new(&f->loop), 0);
    f->bus = open_bus(f->hub, f->loop);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    bus_close(f->bus);
    loop_free(f->loop);
    bus_hub_free(f->hub);
    free(f);
    return 0;
}

/* --- one call at a time ----------------------------------------------------------------------- */

static struct outcome finish(struct loop *l, int r, struct outcome *o)
{
    assert_int_equal(r, 0);
    assert_int_equal(o->calls, 0); /* not before the call has returned */
    run_until(l, &o->calls, 1);
    return *o;
}

static struct outcome count(struct loop *l, struct bus *b, const char *key, int64_t by,
                            uint64_t life_ms)
{
    struct outcome o = {0};
    return finish(l, bus_count(b, str_of(key), by, life_ms, on_done, &o), &o);
}

static struct outcome get(struct loop *l, struct bus *b, const char *key)
{
    struct outcome o = {0};
    return finish(l, bus_get(b, str_of(key), on_done, &o), &o);
}

static struct outcome swap(struct loop *l, struct bus *b, const char *key, const char *expected,
                           const char *fresh, uint64_t life_ms)
{
    struct outcome o = {0};
    return finish(
        l, bus_swap(b, str_of(key), str_of(expected), str_of(fresh), life_ms, on_done, &o), &o);
}

static void counters_count_and_end(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(count(f->loop, f->bus, "c1", 1, 0).number, 1);
    assert_int_equal(count(f->loop, f->bus, "c1", 41, 0).number, 42);
    assert_int_equal(count(f->loop, f->bus, "c1", -50, 0).number, -8);
    assert_string_equal(get(f->loop, f->bus, "c1").text, "-8");
    assert_int_equal(count(f->loop, f->bus, "c2", 7, 60000).number, 7);
    assert_int_equal(count(f->loop, f->bus, "c3", 7, 1).number, 7);
    uint64_t until = clock_mono_ms() + WAIT_MS;
    while (get(f->loop, f->bus, "c3").res == 0)
        assert_true(clock_mono_ms() < until);
    assert_int_equal(count(f->loop, f->bus, "c3", 1, 60000).number, 1);
    assert_int_equal(get(f->loop, f->bus, "c2").res, 0); /* its life has not ended */
}

static void counters_are_numbers(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(swap(f->loop, f->bus, "word", NULL, "seven", 0).res, 0);
    assert_int_equal(count(f->loop, f->bus, "word", 1, 0).res, -EPROTO);
    assert_string_equal(get(f->loop, f->bus, "word").text, "seven");
    assert_int_equal(count(f->loop, f->bus, "most", INT64_MAX, 0).number, INT64_MAX);
    assert_int_equal(count(f->loop, f->bus, "most", 1, 0).res, -EPROTO);
    assert_int_equal(count(f->loop, f->bus, "most", -1, 0).number, INT64_MAX - 1);
}

static void swaps_happen_only_from_what_was_expected(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(get(f->loop, f->bus, "s").res, -ENOENT);
    struct outcome o = swap(f->loop, f->bus, "s", "x", "y", 0);
    assert_int_equal(o.res, -ESTALE);
    assert_false(o.is_text);
    assert_int_equal(swap(f->loop, f->bus, "s", NULL, "", 0).res, 0); /* empty is a value */
    assert_int_equal(get(f->loop, f->bus, "s").res, 0);
    assert_int_equal(swap(f->loop, f->bus, "s", NULL, "x", 0).res, -ESTALE);
    assert_int_equal(swap(f->loop, f->bus, "s", "", "x", 0).res, 0);
    o = swap(f->loop, f->bus, "s", "y", "z", 0);
    assert_int_equal(o.res, -ESTALE);
    assert_string_equal(o.text, "x");
    assert_int_equal(swap(f->loop, f->bus, "s", "x", NULL, 0).res, 0);
    assert_int_equal(get(f->loop, f->bus, "s").res, -ENOENT);
    assert_int_equal(swap(f->loop, f->bus, "s", NULL, NULL, 0).res, 0); /* nothing, to nothing */
    assert_int_equal(swap(f->loop, f->bus, "s", NULL, "short", 1).res, 0);
    uint64_t until = clock_mono_ms() + WAIT_MS;
    while (get(f->loop, f->bus, "s").res == 0)
        assert_true(clock_mono_ms() < until);
}

static void values_hold_any_bytes(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    struct str odd = {"a\0b\r\n$-1\r\n\xff", 12};
    assert_int_equal(bus_swap(f->bus, STR("odd key"), STR_NONE, odd, 0, on_done, &o), 0);
    run_until(f->loop, &o.calls, 1);
    assert_int_equal(o.res, 0);
    assert_int_equal(bus_swap(f->bus, STR("odd key"), odd, STR("even"), 0, on_done, &o), 0);
    run_until(f->loop, &o.calls, 2);
    assert_int_equal(o.res, 0);
}

static void bad_names_are_refused(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    struct bus_sub *s = NULL;
    char *large = calloc(1, BUS_VALUE_MAX + 2);
    assert_non_null(large);
    memset(large, 'x', BUS_VALUE_MAX + 1);
    struct str bad[] = {STR_NONE, STR(""), {large, BUS_NAME_MAX + 1}, {"a\0b", 3}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(bus_get(f->bus, bad[i], on_done, &o), -EINVAL);
        assert_int_equal(bus_count(f->bus, bad[i], 1, 0, on_done, &o), -EINVAL);
        assert_int_equal(bus_swap(f->bus, bad[i], STR_NONE, STR("x"), 0, on_done, &o), -EINVAL);
        assert_int_equal(bus_publish(f->bus, bad[i], STR("x"), on_done, &o), -EINVAL);
        assert_int_equal(
            bus_subscribe(f->bus, bad[i], (void (*)(void *, struct str))abort, NULL, NULL, &s),
            -EINVAL);
    }
    struct str too_large = {large, BUS_VALUE_MAX + 1};
    assert_int_equal(bus_swap(f->bus, STR("k"), STR_NONE, too_large, 0, on_done, &o), -EINVAL);
    assert_int_equal(bus_publish(f->bus, STR("k"), too_large, on_done, &o), -EINVAL);
    struct str largest = {large, BUS_VALUE_MAX};
    assert_int_equal(bus_publish(f->bus, STR("k"), largest, on_done, &o), 0);
    run_until(f->loop, &o.calls, 1);
    assert_int_equal(o.res, 0);
    free(large);
}

static void closing_ends_what_is_under_way(void **state)
{
    struct fixture *f = *state;
    struct outcome o[100] = {0};
    struct bus *b = open_bus(f->hub, f->loop);
    for (size_t i = 0; i < ARRAY_LEN(o); i++)
        assert_int_equal(bus_count(b, STR("closing"), 1, 0, on_done, &o[i]), 0);
    bus_close(b);
    for (size_t i = 0; i < ARRAY_LEN(o); i++) {
        assert_int_equal(o[i].calls, 1);
        assert_int_equal(o[i].res, -ECANCELED);
    }
    loop_run_once(f->loop, 0);
    assert_int_equal(o[0].calls, 1);
}

/* --- many at once ----------------------------------------------------------------------------- */

#define RACERS 6
#define STEPS  50

struct racer {
    struct bus_hub *hub;
    pthread_t thread;
    int64_t last;
    unsigned tries;
};

static void *racer_main(void *arg)
{
    struct racer *r = arg;
    struct loop *l;
    assert_int_equal(loop_new(&l), 0);
    struct bus *b = open_bus(r->hub, l);
    for (unsigned i = 0; i < STEPS; i++) {
        r->last = count(l, b, "race count", 1, 0).number;
        struct outcome now = get(l, b, "race swap");
        for (;;) {
            char next[24];
            (void)snprintf(next, sizeof next, "%lu",
                           now.is_text ? strtoul(now.text, NULL, 10) + 1 : 1UL);
            now = swap(l, b, "race swap", now.res == -ENOENT ? NULL : now.text, next, 0);
            r->tries++;
            if (now.res == 0)
                break;
            assert_int_equal(now.res, -ESTALE);
            assert_true(now.is_text);
        }
    }
    bus_close(b);
    loop_free(l);
    return NULL;
}

static void nothing_is_lost_in_a_race(void **state)
{
    struct fixture *f = *state;
    struct racer racers[RACERS];
    for (size_t i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){.hub = f->hub};
        assert_int_equal(pthread_create(&racers[i].thread, NULL, racer_main, &racers[i]), 0);
    }
    for (size_t i = 0; i < RACERS; i++)
        assert_int_equal(pthread_join(racers[i].thread, NULL), 0);
    assert_int_equal(count(f->loop, f->bus, "race count", 0, 0).number, RACERS * STEPS);
    char all[24];
    (void)snprintf(all, sizeof all, "%d", RACERS * STEPS);
    assert_string_equal(get(f->loop, f->bus, "race swap").text, all);
}

/* --- messages --------------------------------------------------------------------------------- */

struct ear {
    unsigned gaps;
    unsigned heard;
    unsigned stop_after; /* unsubscribes in its callback; 0: never */
    unsigned last;
    struct bus_sub *sub;
};

static void on_message(void *arg, struct str text)
{
    struct ear *e = arg;
    uint64_t n;
    assert_int_equal(str_to_u64(text, &n), 0);
    assert_int_equal(n, e->last + 1); /* in order, none twice */
    e->last = (unsigned)n;
    e->heard++;
    if (e->heard == e->stop_after)
        e->sub = bus_unsubscribe(e->sub);
}

static void on_gap(void *arg)
{
    struct ear *e = arg;
    e->gaps++;
}

static void listen_to(struct bus *b, struct loop *l, const char *channel, struct ear *e)
{
    assert_int_equal(bus_subscribe(b, str_of(channel), on_message, on_gap, e, &e->sub), 0);
    assert_int_equal(e->gaps, 0);
    run_until(l, &e->gaps, 1);
}

static void say(struct fixture *f, const char *channel, unsigned n)
{
    struct outcome o = {0};
    char text[16];
    (void)snprintf(text, sizeof text, "%u", n);
    o = finish(f->loop, bus_publish(f->bus, str_of(channel), str_of(text), on_done, &o), &o);
    assert_int_equal(o.res, 0);
}

static void messages_reach_all_in_order(void **state)
{
    struct fixture *f = *state;
    struct bus *other = open_bus(f->hub, f->loop);
    struct ear near = {0};
    struct ear twin = {0};
    struct ear far = {0};
    struct ear deaf = {0};
    say(f, "news", 99); /* nobody is there: nobody hears it later */
    listen_to(f->bus, f->loop, "news", &near);
    listen_to(f->bus, f->loop, "news", &twin);
    listen_to(other, f->loop, "news", &far);
    listen_to(other, f->loop, "weather", &deaf);
    for (unsigned i = 1; i <= 200; i++)
        say(f, "news", i);
    run_until(f->loop, &near.heard, 200);
    run_until(f->loop, &twin.heard, 200);
    run_until(f->loop, &far.heard, 200);
    assert_int_equal(deaf.heard, 0);
    assert_int_equal(near.gaps + twin.gaps + far.gaps, 3);
    bus_unsubscribe(twin.sub);
    say(f, "news", 201);
    run_until(f->loop, &near.heard, 201);
    run_until(f->loop, &far.heard, 201);
    assert_int_equal(twin.heard, 200);
    bus_unsubscribe(near.sub);
    bus_unsubscribe(deaf.sub);
    bus_close(other); /* with a subscription */
}

static void a_callback_may_unsubscribe(void **state)
{
    struct fixture *f = *state;
    struct ear first = {.stop_after = 3};
    struct ear second = {0};
    listen_to(f->bus, f->loop, "stop", &first);
    listen_to(f->bus, f->loop, "stop", &second);
    for (unsigned i = 1; i <= 6; i++)
        say(f, "stop", i);
    run_until(f->loop, &second.heard, 6);
    assert_int_equal(first.heard, 3);
    bus_unsubscribe(second.sub);
}

/* A subscription and its messages on another thread's loop. */
static void *listener_main(void *arg)
{
    struct racer *r = arg;
    struct loop *l;
    struct ear e = {0};
    assert_int_equal(loop_new(&l), 0);
    struct bus *b = open_bus(r->hub, l);
    listen_to(b, l, "threads", &e);
    struct outcome o = count(l, b, "listeners", 1, 0);
    assert_int_equal(o.res, 0);
    run_until(l, &e.heard, 50);
    r->last = e.last;
    bus_close(b);
    loop_free(l);
    return NULL;
}

static void messages_cross_threads(void **state)
{
    struct fixture *f = *state;
    struct racer listeners[3];
    for (size_t i = 0; i < ARRAY_LEN(listeners); i++) {
        listeners[i] = (struct racer){.hub = f->hub};
        assert_int_equal(pthread_create(&listeners[i].thread, NULL, listener_main, &listeners[i]),
                         0);
    }
    while (count(f->loop, f->bus, "listeners", 0, 0).number < (int)ARRAY_LEN(listeners))
        ;
    for (unsigned i = 1; i <= 50; i++)
        say(f, "threads", i);
    for (size_t i = 0; i < ARRAY_LEN(listeners); i++) {
        assert_int_equal(pthread_join(listeners[i].thread, NULL), 0);
        assert_int_equal(listeners[i].last, 50);
    }
}

/* --- streams ---------------------------------------------------------------------------------- */

#define READ_MAX 64

struct taken {
    unsigned calls;
    int res;
    unsigned count;
    char ids[READ_MAX][32];
    char texts[READ_MAX][32];
};

static void on_taken(void *arg, int res, const struct bus_answer *answer)
{
    struct taken *t = arg;
    t->calls++;
    t->res = res;
    t->count = 0;
    if (res < 0)
        return;
    assert_int_equal(answer->kind, BUS_LIST);
    assert_true(answer->count <= READ_MAX);
    for (unsigned i = 0; i < answer->count; i++) {
        const struct bus_answer *pair = &answer->items[i];
        assert_true(pair->kind == BUS_LIST && pair->count == 2);
        assert_int_equal(str_copy(pair->items[0].text, t->ids[i], sizeof t->ids[i]), 0);
        assert_int_equal(str_copy(pair->items[1].text, t->texts[i], sizeof t->texts[i]), 0);
        t->count++;
    }
}

static struct taken take(struct fixture *f, const char *key, const char *group, const char *reader,
                         unsigned count, uint64_t idle_ms)
{
    struct taken t = {0};
    const struct bus_stream_read read = {str_of(key), str_of(group), str_of(reader), count,
                                         idle_ms};
    assert_int_equal(bus_stream_read(f->bus, &read, on_taken, &t), 0);
    assert_int_equal(t.calls, 0);
    run_until(f->loop, &t.calls, 1);
    assert_int_equal(t.res, 0);
    return t;
}

static struct outcome add(struct fixture *f, const char *key, const char *text, uint64_t keep)
{
    struct outcome o = {0};
    return finish(f->loop, bus_stream_add(f->bus, str_of(key), str_of(text), keep, on_done, &o),
                  &o);
}

static struct outcome ack(struct fixture *f, const char *key, const char *group, const char *id)
{
    struct outcome o = {0};
    return finish(f->loop,
                  bus_stream_ack(f->bus, str_of(key), str_of(group), str_of(id), on_done, &o), &o);
}

static void each_group_gets_each_message_once(void **state)
{
    struct fixture *f = *state;
    char before[64] = "";
    assert_int_equal(take(f, "st1", "g", "r1", 10, 60000).count, 0); /* nothing is there yet */
    for (unsigned i = 0; i < 5; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "m%u", i);
        struct outcome o = add(f, "st1", text, 1000);
        assert_int_equal(o.res, 0);
        assert_true(o.is_text && strcmp(o.text, before) != 0);
        assert_int_equal(str_copy(str_of(o.text), before, sizeof before), 0);
    }
    struct taken a = take(f, "st1", "g", "r1", 2, 60000);
    struct taken b = take(f, "st1", "g", "r2", 10, 60000);
    struct taken late = take(f, "st1", "other", "r1", 10, 60000);
    assert_true(a.count == 2 && b.count == 3 && late.count == 5);
    assert_string_equal(a.texts[0], "m0");
    assert_string_equal(b.texts[0], "m2");
    assert_string_equal(b.texts[2], "m4");
    assert_string_equal(late.texts[4], "m4");
    assert_string_equal(b.ids[2], before);
    assert_int_equal(take(f, "st1", "g", "r3", 10, 60000).count, 0);
    assert_int_equal(ack(f, "st1", "g", a.ids[0]).number, 1);
    assert_int_equal(ack(f, "st1", "g", a.ids[0]).number, 0); /* once */
    assert_int_equal(ack(f, "st1", "nobody", a.ids[1]).number, 0);
    assert_int_equal(ack(f, "none", "g", a.ids[1]).number, 0);
    assert_int_equal(ack(f, "st1", "g", "no id").res, -EPROTO);
}

static void what_a_reader_has_left_goes_to_another(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(add(f, "st2", i == 0 ? "a" : i == 1 ? "b" : "c", 1000).res, 0);
    struct taken first = take(f, "st2", "g", "r1", 2, 60000);
    assert_int_equal(first.count, 2);
    assert_int_equal(ack(f, "st2", "g", first.ids[0]).number, 1);
    struct taken second = take(f, "st2", "g", "r2", 10, 0); /* however short it was */
    assert_int_equal(second.count, 2);
    assert_string_equal(second.texts[0], "b");
    assert_string_equal(second.ids[0], first.ids[1]);
    assert_string_equal(second.texts[1], "c");
    assert_int_equal(take(f, "st2", "g", "r1", 10, 60000).count, 0); /* r2 has only just got it */
    assert_int_equal(ack(f, "st2", "g", second.ids[0]).number, 1);
    assert_int_equal(ack(f, "st2", "g", second.ids[1]).number, 1);
    assert_int_equal(take(f, "st2", "g", "r1", 10, 0).count, 0);
}

static void the_oldest_go_beyond_what_is_kept(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 10; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "m%u", i);
        assert_int_equal(add(f, "st3", text, 4).res, 0);
        if (i == 6) /* m3 to m6 are under way */
            assert_int_equal(take(f, "st3", "g", "r1", 10, 60000).count, 4);
    }
    struct taken t = take(f, "st3", "g", "r2", 10, 0); /* m6 is left of them; m7 to m9 are new */
    assert_int_equal(t.count, 4);
    assert_string_equal(t.texts[0], "m6");
    assert_string_equal(t.texts[3], "m9");
    assert_int_equal(add(f, "st3", "x", 1).res, 0);
    t = take(f, "st3", "g", "r1", 10, 0);
    assert_int_equal(t.count, 1);
    assert_string_equal(t.texts[0], "x");
}

#define STREAM_READERS 4
#define STREAM_TEXTS   200

struct stream_reader {
    struct bus_hub *hub;
    pthread_t thread;
    unsigned index;
    unsigned got[STREAM_TEXTS];
};

static void *stream_reader_main(void *arg)
{
    struct stream_reader *r = arg;
    struct fixture f = {.hub = r->hub};
    char name[16];
    (void)snprintf(name, sizeof name, "r%u", r->index);
    assert_int_equal(loop_new(&f.loop), 0);
    f.bus = open_bus(f.hub, f.loop);
    for (;;) {
        struct taken t = take(&f, "st race", "g", name, 3, 60000);
        bool is_end = false;
        for (unsigned i = 0; i < t.count; i++) {
            uint64_t n;
            assert_int_equal(str_to_u64(str_of(t.texts[i]), &n), 0);
            assert_true(n < STREAM_TEXTS);
            r->got[n]++;
            is_end = is_end || n == STREAM_TEXTS - 1;
            assert_int_equal(ack(&f, "st race", "g", t.ids[i]).number, 1);
        }
        if (is_end || get(f.loop, f.bus, "st race over").res == 0)
            break;
    }
    (void)swap(f.loop, f.bus, "st race over", NULL, "1", 0); /* another may have said so */
    bus_close(f.bus);
    loop_free(f.loop);
    return NULL;
}

static void readers_share_a_stream(void **state)
{
    struct fixture *f = *state;
    static struct stream_reader readers[STREAM_READERS];
    for (unsigned i = 0; i < STREAM_READERS; i++) {
        readers[i] = (struct stream_reader){.hub = f->hub, .index = i};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, stream_reader_main, &readers[i]),
                         0);
    }
    for (unsigned i = 0; i < STREAM_TEXTS; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "%u", i);
        assert_int_equal(add(f, "st race", text, 1000).res, 0);
    }
    for (unsigned i = 0; i < STREAM_READERS; i++)
        assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
    for (unsigned n = 0; n < STREAM_TEXTS; n++) {
        unsigned sum = 0;
        for (unsigned i = 0; i < STREAM_READERS; i++)
            sum += readers[i].got[n];
        assert_int_equal(sum, 1);
    }
}

static void bad_stream_calls_are_refused(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    struct taken t = {0};
    struct bus_stream_read read = {STR("k"), STR("g"), STR("r"), 1, 0};
    assert_int_equal(bus_stream_add(f->bus, STR(""), STR("x"), 1, on_done, &o), -EINVAL);
    assert_int_equal(bus_stream_add(f->bus, STR("k"), STR("x"), 0, on_done, &o), -EINVAL);
    assert_int_equal(
        bus_stream_add(f->bus, STR("k"), STR("x"), BUS_STREAM_KEEP_MAX + 1, on_done, &o), -EINVAL);
    assert_int_equal(bus_stream_ack(f->bus, STR("k"), STR("g"), STR(""), on_done, &o), -EINVAL);
    read.count = 0;
    assert_int_equal(bus_stream_read(f->bus, &read, on_taken, &t), -EINVAL);
    read.count = BUS_STREAM_READ_MAX + 1;
    assert_int_equal(bus_stream_read(f->bus, &read, on_taken, &t), -EINVAL);
    read.count = 1;
    read.group = STR_NONE;
    assert_int_equal(bus_stream_read(f->bus, &read, on_taken, &t), -EINVAL);
}

static void scripts_are_for_redis(void **state)
{
    struct fixture *f = *state;
    static const char script[] = "return {KEYS[1], tonumber(ARGV[1]) + 1, false}";
    struct str key = STR("{tag}k");
    struct str arg = STR("41");
    struct bus_script_call call = {script, &key, 1, &arg, 1};
    struct outcome o = {0};
    int r = bus_script(f->bus, &call, on_done, &o);
    assert_int_equal(r, on_redis ? 0 : -EOPNOTSUPP);
    if (on_redis) {
        run_until(f->loop, &o.calls, 1);
        assert_int_equal(o.res, 0);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counters_count_and_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(counters_are_numbers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(swaps_happen_only_from_what_was_expected, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(values_hold_any_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_names_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(closing_ends_what_is_under_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_lost_in_a_race, set_up, tear_down),
        cmocka_unit_test_setup_teardown(messages_reach_all_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_callback_may_unsubscribe, set_up, tear_down),
        cmocka_unit_test_setup_teardown(messages_cross_threads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_group_gets_each_message_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_reader_has_left_goes_to_another, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_oldest_go_beyond_what_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(readers_share_a_stream, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_stream_calls_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(scripts_are_for_redis, set_up, tear_down),
    };
    static struct redis_server server;
    static struct redis_cluster cluster;
    bool on_cluster = argc > 1 && strcmp(argv[1], "cluster") == 0;
    on_redis = on_cluster || (argc > 1 && strcmp(argv[1], "redis") == 0);
    url = on_cluster ? cluster.url : server.url;
    if (on_cluster)
        redis_cluster_start(&cluster, 0);
    else if (on_redis)
        redis_server_start(&server);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (on_cluster)
        redis_cluster_stop(&cluster);
    else if (on_redis)
        redis_server_stop(&server);
    return failed;
}
