/* SPDX-License-Identifier: Apache-2.0 */
/* What only a server that breaks, hangs or mistrusts us can show. */
#include "bus/bus.h"
#include <errno.h>
#include "base/clock.h"
#include "bus/bus_config.h"
#include "bus/redis_target.h"
#include "../fetch/cert.h"
#include "redis_server.h"
#include "bus_outcome.h"

struct fixture {
    struct redis_server server;
    struct loop *loop;
    struct bus *bus;
};

static struct bus *open_bus(struct fixture *f, const struct bus_redis_options *options)
{
    struct bus *b = NULL;
    struct err err = {""};
    int r = bus_open_redis(options, f->loop, &err, &b);
    if (r < 0)
        print_error("%s\n", err.text);
    assert_int_equal(r, 0);
    return b;
}

static int set_up_with(void **state, uint32_t answer_ms)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    redis_server_start(&f->server);
    assert_int_equal(loop_new(&f->loop), 0);
    f->bus = open_bus(f, &(struct bus_redis_options){.url = f->server.url, .answer_ms = answer_ms});
    *state = f;
    return 0;
}

/* A Redis that is only slow, on a busy host, does not look as if it were away. */
static int set_up(void **state)
{
    return set_up_with(state, WAIT_MS / 2);
}

/* For those in which it hangs. */
static int set_up_hasty(void **state)
{
    return set_up_with(state, 300);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    bus_close(f->bus);
    loop_free(f->loop);
    redis_server_stop(&f->server);
    free(f);
    return 0;
}

static int count(struct fixture *f, const char *key)
{
    struct outcome o = {0};
    assert_int_equal(bus_count(f->bus, str_of(key), 1, 0, on_done, &o), 0);
    run_until(f->loop, &o.calls, 1);
    return o.res;
}

static void count_until(struct fixture *f, int wanted)
{
    uint64_t until = clock_mono_ms() + WAIT_MS;
    while (count(f, "until") != wanted)
        assert_true(clock_mono_ms() < until);
}

/* A call of each kind in turn. */
static int any_call(struct fixture *f, unsigned i, struct outcome *o)
{
    static const char script[] = "return redis.call('INCR', KEYS[1])";
    const struct bus_stream_read read = {STR("st"), STR("g"), STR("r"), 3, 0};
    const struct str key = STR("k");
    const struct bus_script_call call = {script, &key, 1, NULL, 0};
    switch (i % 8) {
    case 0:
        return bus_count(f->bus, STR("k"), 1, 0, on_done, o);
    case 1:
        return bus_get(f->bus, STR("k"), on_done, o);
    case 2:
        return bus_swap(f->bus, STR("s"), STR_NONE, STR("x"), 0, on_done, o);
    case 3:
        return bus_publish(f->bus, STR("c"), STR("x"), on_done, o);
    case 4:
        return bus_stream_add(f->bus, STR("st"), STR("x"), 100, on_done, o);
    case 5:
        return bus_stream_read(f->bus, &read, on_done, o);
    case 6:
        return bus_script(f->bus, &call, on_done, o);
    default:
        return bus_stream_ack(f->bus, STR("st"), STR("g"), STR("1-1"), on_done, o);
    }
}

static bool any_result(int res)
{
    return res == 0 || res == -ENOENT || res == -ESTALE || res == -ECONNRESET || res == -EHOSTDOWN;
}

static void each_call_ends_once_when_redis_is_killed(void **state)
{
    enum { CALLS = 3000 };
    struct fixture *f = *state;
    struct outcome *o = calloc(CALLS, sizeof *o);
    unsigned good = 0;
    unsigned broken = 0;
    assert_non_null(o);
    for (unsigned round = 0; round < 3; round++) {
        count_until(f, 0);
        memset(o, 0, CALLS * sizeof *o);
        for (unsigned i = 0; i < CALLS; i++) {
            assert_int_equal(any_call(f, i, &o[i]), 0);
            if (i == CALLS / 3 * round)
                loop_run_once(f->loop, 0); /* some are on their way */
        }
        redis_server_kill(&f->server);
        for (unsigned i = 0; i < CALLS; i++) {
            run_until(f->loop, &o[i].calls, 1);
            bool is_broken = o[i].res == -ECONNRESET || o[i].res == -EHOSTDOWN;
            assert_true(any_result(o[i].res));
            good += !is_broken;
            broken += is_broken;
        }
        count_until(f, -EHOSTDOWN);
        redis_server_run(&f->server);
        count_until(f, 0);
        for (unsigned i = 0; i < CALLS; i++)
            assert_int_equal(o[i].calls, 1);
    }
    assert_true(broken > 0);
    assert_int_equal(good + broken, 3 * CALLS);
    free(o);
}

/* --- a stream over breaks --------------------------------------------------------------------- */

#define STREAM_TEXTS 400

struct reader {
    struct fixture *f;
    unsigned reads, acks; /* answers */
    unsigned seen[STREAM_TEXTS];
    bool is_acked[STREAM_TEXTS];
    bool is_unsure[STREAM_TEXTS]; /* whether an acknowledgement arrived */
};

struct ack {
    struct reader *r;
    unsigned n;
};

static void on_acked(void *arg, int res, const struct bus_answer *answer)
{
    struct ack *a = arg;
    a->r->acks++;
    a->r->is_acked[a->n] = a->r->is_acked[a->n] || (res == 0 && answer->number == 1);
    a->r->is_unsure[a->n] = a->r->is_unsure[a->n] || res == -ECONNRESET;
    free(a);
}

static void on_messages(void *arg, int res, const struct bus_answer *answer)
{
    struct reader *r = arg;
    r->reads++;
    for (unsigned i = 0; res == 0 && i < answer->count; i++) {
        const struct bus_answer *pair = answer->items[i].items;
        uint64_t n;
        assert_int_equal(str_to_u64(pair[1].text, &n), 0);
        assert_true(n < STREAM_TEXTS);
        r->seen[n]++;
        struct ack *a = malloc(sizeof *a);
        assert_non_null(a);
        *a = (struct ack){r, (unsigned)n};
        int sent = bus_stream_ack(r->f->bus, STR("kept"), STR("g"), pair[0].text, on_acked, a);
        assert_int_equal(sent, 0);
    }
}

/* One that keeps on disk what it has answered for: what was added is read, by whichever reader, and
 * what was acknowledged does not come again, however often it is killed meanwhile. */
static void a_stream_outlives_its_redis(void **state)
{
    struct fixture *f = *state;
    struct redis_server s = {.extra = {"--appendonly", "yes", "--appendfsync", "always"}};
    struct outcome *o = calloc(STREAM_TEXTS, sizeof *o);
    struct reader *r = calloc(1, sizeof *r);
    assert_true(o != NULL && r != NULL);
    redis_server_start(&s);
    struct fixture g = {.loop = f->loop};
    g.bus = open_bus(f, &(struct bus_redis_options){.url = s.url});
    r->f = &g;
    struct bus_stream_read read = {STR("kept"), STR("g"), STR("r1"), 20, 0};
    unsigned reads = 0;
    for (unsigned i = 0; i < STREAM_TEXTS; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "%u", i);
        assert_int_equal(
            bus_stream_add(g.bus, STR("kept"), str_of(text), STREAM_TEXTS, on_done, &o[i]), 0);
        if (i % 10 == 9) {
            read.reader = i % 20 == 9 ? STR("r1") : STR("r2");
            assert_int_equal(bus_stream_read(g.bus, &read, on_messages, r), 0);
            reads++;
            if (i > 30) /* some are under way, not all */
                run_until(f->loop, &o[i - 30].calls, 1);
        }
        if (i % 100 == 55) { /* in the middle of all three */
            redis_server_kill(&s);
            count_until(&g, -EHOSTDOWN);
            redis_server_run(&s);
            count_until(&g, 0);
        }
    }
    run_until(f->loop, &o[STREAM_TEXTS - 1].calls, 1);
    run_until(f->loop, &r->reads, reads);
    redis_server_kill(&s); /* before the rest is read */
    count_until(&g, -EHOSTDOWN);
    redis_server_run(&s);
    count_until(&g, 0);
    unsigned before[STREAM_TEXTS];
    memcpy(before, r->seen, sizeof before);
    bool was_acked[STREAM_TEXTS];
    memcpy(was_acked, r->is_acked, sizeof was_acked);
    read.reader = STR("r3");
    for (unsigned i = 0; i < STREAM_TEXTS / 20 + 2; i++) {
        assert_int_equal(bus_stream_read(g.bus, &read, on_messages, r), 0);
        run_until(f->loop, &r->reads, ++reads);
        count_until(&g, 0); /* the acknowledgements went before it */
    }
    unsigned added = 0;
    for (unsigned i = 0; i < STREAM_TEXTS; i++) {
        assert_int_equal(o[i].calls, 1);
        added += o[i].res == 0;
        assert_true(o[i].res < 0 || r->seen[i] > 0);
        assert_true(o[i].res < 0 || r->is_acked[i] || r->is_unsure[i]);
        assert_true(!was_acked[i] || r->seen[i] == before[i]);
    }
    assert_true(added > STREAM_TEXTS / 2);
    bus_close(g.bus);
    redis_server_stop(&s);
    free(r);
    free(o);
}

/* The first use of a script is not refused and sent again behind what was asked after it. */
static void calls_keep_their_order(void **state)
{
    struct fixture *f = *state;
    struct outcome o[3] = {0};
    for (unsigned round = 0; round < 2; round++) {
        count_until(f, 0);
        memset(o, 0, sizeof o);
        assert_int_equal(bus_swap(f->bus, STR("first"), STR_NONE, STR("x"), 0, on_done, &o[0]), 0);
        assert_int_equal(bus_get(f->bus, STR("first"), on_done, &o[1]), 0);
        assert_int_equal(bus_swap(f->bus, STR("first"), STR("x"), STR_NONE, 0, on_done, &o[2]), 0);
        run_until(f->loop, &o[2].calls, 1);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(o[i].res, 0);
        redis_server_kill(&f->server); /* and forgets all scripts */
        redis_server_run(&f->server);
    }
}

/* Any of several addresses will do: what is away or has become a replica is passed over. */
static void several_addresses(void **state)
{
    struct fixture *f = *state;
    char url[256];
    char port[8];
    struct outcome o = {0};
    (void)snprintf(port, sizeof port, "%u", f->server.port);
    struct redis_server s = {.extra = {"--replicaof", "127.0.0.1", port}};
    redis_server_start(&s);
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u", port_free(),
                   s.port, f->server.port);
    struct fixture g = {.loop = f->loop};
    g.bus = open_bus(f, &(struct bus_redis_options){.url = url});
    count_until(&g, 0);
    assert_int_equal(bus_swap(g.bus, STR("at"), STR_NONE, STR("primary"), 0, on_done, &o), 0);
    run_until(f->loop, &o.calls, 1);
    assert_int_equal(o.res, 0);
    o = (struct outcome){0};
    assert_int_equal(bus_get(f->bus, STR("at"), on_done, &o), 0);
    run_until(f->loop, &o.calls, 1);
    assert_int_equal(o.res, 0);
    bus_close(g.bus);
    redis_server_stop(&s);
}

static void a_hanging_redis_is_given_up(void **state)
{
    struct fixture *f = *state;
    count_until(f, 0);
    assert_int_equal(kill(f->server.pid, SIGSTOP), 0);
    struct outcome o[3] = {0};
    for (size_t i = 0; i < ARRAY_LEN(o); i++)
        assert_int_equal(bus_count(f->bus, STR("h"), 1, 0, on_done, &o[i]), 0);
    run_until(f->loop, &o[2].calls, 1);
    for (size_t i = 0; i < ARRAY_LEN(o); i++) {
        assert_int_equal(o[i].calls, 1);
        assert_int_equal(o[i].res, -ETIMEDOUT);
    }
    assert_int_equal(kill(f->server.pid, SIGCONT), 0);
    count_until(f, 0);
}

static void calls_wait_for_the_first_connection(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(count(f, "first"), 0);
}

/* --- messages over breaks --------------------------------------------------------------------- */

struct ear {
    unsigned gaps;
    unsigned heard;
};

static void on_message(void *arg, struct str text)
{
    struct ear *e = arg;
    assert_true(text.size > 0);
    e->heard++;
}

static void on_gap(void *arg)
{
    struct ear *e = arg;
    e->gaps++;
}

static void subscriptions_come_back(void **state)
{
    struct fixture *f = *state;
    struct ear a = {0};
    struct ear b = {0};
    struct bus_sub *subs[2];
    assert_int_equal(bus_subscribe(f->bus, STR("a"), on_message, on_gap, &a, &subs[0]), 0);
    assert_int_equal(bus_subscribe(f->bus, STR("b"), on_message, on_gap, &b, &subs[1]), 0);
    run_until(f->loop, &a.gaps, 1);
    run_until(f->loop, &b.gaps, 1);
    redis_server_kill(&f->server);
    count_until(f, -EHOSTDOWN);
    redis_server_run(&f->server);
    run_until(f->loop, &a.gaps, 2); /* what was missed meanwhile is for the subscriber to find */
    run_until(f->loop, &b.gaps, 2);
    count_until(f, 0); /* the connection that calls comes back in its own time */
    struct outcome o = {0};
    assert_int_equal(bus_publish(f->bus, STR("a"), STR("x"), on_done, &o), 0);
    run_until(f->loop, &a.heard, 1);
    assert_int_equal(b.heard, 0);
    run_until(f->loop, &o.calls, 1);
    /* A connection that has died silently is noticed, too. */
    assert_int_equal(kill(f->server.pid, SIGSTOP), 0);
    uint64_t until = clock_mono_ms() + 1000;
    for (unsigned turns = 0; turns < 200 || clock_mono_ms() < until; turns++)
        loop_run_once(f->loop, TURN_MS); /* not the clock alone: a busy host may take all of it */
    assert_int_equal(kill(f->server.pid, SIGCONT), 0);
    run_until(f->loop, &a.gaps, 3);
    bus_unsubscribe(subs[0]);
    bus_unsubscribe(subs[1]);
}

static void scripts_that_redis_has_forgotten_are_sent_again(void **state)
{
    struct fixture *f = *state;
    static const char script[] = "return redis.call('INCRBY', KEYS[1], ARGV[1])";
    static const char flush[] = "return redis.call('GET', KEYS[1])"; /* any other script */
    struct str key = STR("{t}n");
    struct str arg = STR("5");
    struct bus_script_call call = {script, &key, 1, &arg, 1};
    struct bus_script_call other = {flush, &key, 1, NULL, 0};
    for (int64_t i = 1; i <= 3; i++) {
        struct outcome o = {0};
        assert_int_equal(bus_script(f->bus, &call, on_done, &o), 0);
        run_until(f->loop, &o.calls, 1);
        assert_int_equal(o.res, 0);
        assert_int_equal(o.number, 5 * i);
        struct outcome p = {0};
        assert_int_equal(bus_script(f->bus, &other, on_done, &p), 0);
        run_until(f->loop, &p.calls, 1);
        assert_int_equal(p.res, 0);
        char command[128];
        (void)snprintf(command, sizeof command, "redis-cli -p %u script flush >/dev/null",
                       f->server.port);
        assert_int_equal(system(command), 0);
    }
    static const char bad[] = "return redis.call('NOSUCHCOMMAND')";
    struct bus_script_call wrong = {bad, &key, 1, NULL, 0};
    struct outcome o = {0};
    assert_int_equal(bus_script(f->bus, &wrong, on_done, &o), 0);
    run_until(f->loop, &o.calls, 1);
    assert_int_equal(o.res, -EPROTO);
}

/* --- being let in ----------------------------------------------------------------------------- */

static void write_file(const struct redis_server *s, const char *name, const char *text, char *path,
                       size_t size)
{
    (void)snprintf(path, size, "%s/%s", s->folder, name);
    assert_int_equal(file_write(path, str_of(text), 0600), 0);
}

static int count_with(struct fixture *f, const struct bus_redis_options *options)
{
    struct bus *b = open_bus(f, options);
    struct outcome o = {0};
    assert_int_equal(bus_count(b, STR("auth"), 1, 0, on_done, &o), 0);
    run_until(f->loop, &o.calls, 1);
    bus_close(b);
    return o.res;
}

static void passwords_and_databases(void **state)
{
    struct fixture *f = *state;
    struct redis_server s = {.extra = {"--requirepass", "sesame sesame"}};
    char right[128];
    char wrong[128];
    char url[128];
    redis_server_start(&s);
    write_file(&s, "right", "sesame sesame\n", right, sizeof right);
    write_file(&s, "wrong", "open\n", wrong, sizeof wrong);
    assert_int_equal(count_with(f, &(struct bus_redis_options){.url = s.url}), -EHOSTDOWN);
    assert_int_equal(
        count_with(f, &(struct bus_redis_options){.url = s.url, .password_file = wrong}),
        -EHOSTDOWN);
    assert_int_equal(
        count_with(f, &(struct bus_redis_options){.url = s.url, .password_file = right}), 0);
    (void)snprintf(url, sizeof url, "redis://default@localhost:%u/3", s.port);
    assert_int_equal(count_with(f, &(struct bus_redis_options){.url = url, .password_file = right}),
                     0);
    (void)snprintf(url, sizeof url, "redis://nobody@127.0.0.1:%u", s.port);
    assert_int_equal(count_with(f, &(struct bus_redis_options){.url = url, .password_file = right}),
                     -EHOSTDOWN);
    char command[256];
    (void)snprintf(command, sizeof command,
                   "test \"$(REDISCLI_AUTH='sesame sesame' redis-cli -p %u -n 3 get auth)\" = 1",
                   s.port);
    assert_int_equal(system(command), 0);
    redis_server_stop(&s);
}

static void tls_is_checked(void **state)
{
    struct fixture *f = *state;
    char cert[128];
    char key[128];
    char other[128];
    char unused[128];
    char url[128];
    (void)snprintf(cert, sizeof cert, "%s/cert.pem", f->server.folder);
    (void)snprintf(key, sizeof key, "%s/key.pem", f->server.folder);
    (void)snprintf(other, sizeof other, "%s/other.pem", f->server.folder);
    (void)snprintf(unused, sizeof unused, "%s/unused.pem", f->server.folder);
    cert_make(cert, key);
    cert_make(other, unused);
    struct redis_server s = {
        .is_tls = true,
        .extra = {"--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert}};
    redis_server_start(&s);
    /* Redis asks for a certificate of ours. */
    struct bus_redis_options o = {
        .url = s.url, .ca_file = cert, .cert_file = cert, .key_file = key};
    assert_int_equal(count_with(f, &o), 0);
    (void)snprintf(url, sizeof url, "rediss://localhost:%u", s.port);
    o.url = url;
    assert_int_equal(count_with(f, &o), 0);
    o.ca_file = other;
    assert_int_equal(count_with(f, &o), -EHOSTDOWN);
    o.ca_file = NULL; /* the system's do not know it either */
    assert_int_equal(count_with(f, &o), -EHOSTDOWN);
    o.ca_file = cert;
    o.cert_file = o.key_file = NULL;
    assert_int_not_equal(count_with(f, &o), 0);
    redis_server_stop(&s);
}

/* --- what is no Redis ------------------------------------------------------------------------- */

static void nonsense_breaks_the_connection(void **state)
{
    static const char *const answers[] = {
        "HTTP/1.1 400 Bad Request\r\n\r\n", "*-7\r\n", "$99999999999999999999\r\n", "",
        "+PONG\r\n+OK\r\n+MORE\r\n",
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        uint16_t port = port_free();
        char url[64];
        struct sockaddr_in a = {.sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int one = 1;
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
        assert_int_equal(listen(fd, 16), 0);
        (void)snprintf(url, sizeof url, "redis://127.0.0.1:%u", port);
        struct bus *b = open_bus(f, &(struct bus_redis_options){.url = url, .answer_ms = 200});
        struct outcome o = {0};
        assert_int_equal(bus_count(b, STR("x"), 1, 0, on_done, &o), 0);
        loop_run_once(f->loop, TURN_MS);
        loop_run_once(f->loop, TURN_MS);
        int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        assert_true(peer >= 0);
        assert_int_equal(file_write_all(peer, answers[i], strlen(answers[i])), 0);
        if (answers[i][0] == 0)
            assert_int_equal(close(peer), 0);
        run_until(f->loop, &o.calls, 1);
        assert_true(o.res == -EHOSTDOWN || o.res == -ECONNRESET || o.res == -ETIMEDOUT ||
                    o.res == -EBADMSG);
        bus_close(b);
        if (answers[i][0] != 0)
            assert_int_equal(close(peer), 0);
        assert_int_equal(close(fd), 0);
    }
}

static void unknown_hosts_are_away(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(count_with(f, &(struct bus_redis_options){.url = "redis://no-such.invalid"}),
                     -EHOSTDOWN);
    struct bus *b = open_bus(f, &(struct bus_redis_options){.url = "redis://no-such.invalid"});
    loop_run_once(f->loop, 0); /* the look-up has begun */
    bus_close(b);
}

/* --- configuration ---------------------------------------------------------------------------- */

static void urls(void **state)
{
    static const struct {
        const char *url;
        const char *hosts; /* NULL: refused */
        uint32_t db;
        const char *user;
        bool is_tls;
    } rows[] = {
        {"redis://localhost", "localhost 6379 ", 0, "", false},
        {"redis://localhost/", "localhost 6379 ", 0, "", false},
        {"rediss://cache.example.org:7000/12", "cache.example.org 7000 ", 12, "", true},
        {"redis://weir@[::1]:6380/1", "::1 6380 ", 1, "weir", false},
        {"redis://[::1]", "::1 6379 ", 0, "", false},
        {"redis://a@b@host", "host 6379 ", 0, "a@b", false},
        {"redis://weir@a:7000,[::2]:7001,c/3", "a 7000 ::2 7001 c 6379 ", 3, "weir", false},
        {"rediss://1,2,3,4,5,6,7,8,9,a,b,c,d,e,f,g",
         "1 6379 2 6379 3 6379 4 6379 5 6379 6 6379 7 6379 8 6379 9 6379 a 6379 b 6379 c 6379 "
         "d 6379 e 6379 f 6379 g 6379 ",
         0, "", true},
        {"redis://1,2,3,4,5,6,7,8,9,a,b,c,d,e,f,g,h", NULL, 0, NULL, false},
        {"redis://a,", NULL, 0, NULL, false},
        {"redis://,a", NULL, 0, NULL, false},
        {"redis://a,,b", NULL, 0, NULL, false},
        {"redis://a,b:x", NULL, 0, NULL, false},
        {"http://localhost", NULL, 0, NULL, false},
        {"redis:", NULL, 0, NULL, false},
        {"redis://", NULL, 0, NULL, false},
        {"redis:///3", NULL, 0, NULL, false},
        {"redis://host:0", NULL, 0, NULL, false},
        {"redis://host:65536", NULL, 0, NULL, false},
        {"redis://host:x", NULL, 0, NULL, false},
        {"redis://host/x", NULL, 0, NULL, false},
        {"redis://host/1/2", NULL, 0, NULL, false},
        {"redis://host/99999", NULL, 0, NULL, false},
        {"redis://[::1", NULL, 0, NULL, false},
        {"redis://[::1]6379", NULL, 0, NULL, false},
        {"redis://:secret@host", NULL, 0, NULL, false},
        {"redis://ho st", NULL, 0, NULL, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct redis_target t;
        struct err err = {""};
        int r = redis_url_parse(str_of(rows[i].url), &t, &err);
        if (rows[i].hosts == NULL) {
            assert_int_equal(r, -EINVAL);
            assert_memory_equal(err.text, "redis: ", 7);
            assert_null(strstr(err.text, "secret"));
            continue;
        }
        assert_int_equal(r, 0);
        char hosts[512] = "";
        for (unsigned k = 0, n = 0; k < t.seeds_count; k++)
            n += (unsigned)snprintf(hosts + n, sizeof hosts - n, "%s %u ", t.seeds[k].host,
                                    t.seeds[k].port);
        assert_string_equal(hosts, rows[i].hosts);
        assert_string_equal(t.user, rows[i].user);
        assert_int_equal(t.db, rows[i].db);
        assert_int_equal(t.is_tls, rows[i].is_tls);
    }
}

static void configurations(void **state)
{
    static char url[] = "redis://h";
    static char tls[] = "rediss://h";
    static char none[] = "/nonexistent";
    (void)state;
    const struct {
        struct bus_config config;
        const char *error; /* how it begins; NULL: good */
    } rows[] = {
        {{0}, NULL},
        {{.redis = url}, NULL},
        {{.redis = tls}, NULL},
        {{.redis_password_file = none}, "redis_password_file: needs the key redis"},
        {{.redis = url, .redis_password_file = none}, "redis_password_file: reading"},
        {{.redis = url, .redis_ca_file = none}, "redis: redis_ca_file"},
        {{.redis = tls, .redis_ca_file = none}, "redis_ca_file: /nonexistent"},
        {{.redis = tls, .redis_cert_file = none}, "redis_cert_file and redis_key_file"},
        {{.redis = tls, .redis_cert_file = none, .redis_key_file = none}, "redis_cert_file: "},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = {""};
        int r = bus_config_check(&rows[i].config, &err);
        if (rows[i].error == NULL) {
            assert_int_equal(r, 0);
            continue;
        }
        assert_true(r < 0);
        assert_memory_equal(err.text, rows[i].error, strlen(rows[i].error));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(calls_wait_for_the_first_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_call_ends_once_when_redis_is_killed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_stream_outlives_its_redis, set_up, tear_down),
        cmocka_unit_test_setup_teardown(calls_keep_their_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(several_addresses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_hanging_redis_is_given_up, set_up_hasty, tear_down),
        cmocka_unit_test_setup_teardown(subscriptions_come_back, set_up_hasty, tear_down),
        cmocka_unit_test_setup_teardown(scripts_that_redis_has_forgotten_are_sent_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(passwords_and_databases, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tls_is_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nonsense_breaks_the_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_hosts_are_away, set_up, tear_down),
        cmocka_unit_test(urls),
        cmocka_unit_test(configurations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
