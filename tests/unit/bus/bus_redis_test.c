/* SPDX-License-Identifier: Apache-2.0 */
/* What only a server that breaks, hangs or mistrusts us can show. */
#include "bus/bus.h"
#include <errno.h>
#include "base/clock.h"
#include "bus/bus_config.h"
#include "bus/redis_target.h"
#include "../fetch/cert.h"
#include "redis_server.h"

#define WAIT_MS 20000
#define TURN_MS 10

struct fixture {
    struct redis_server server;
    struct loop *loop;
    struct bus *bus;
};

struct outcome {
    unsigned calls;
    int res;
    int64_t number;
};

static void on_done(void *arg, int res, const struct bus_answer *answer)
{
    struct outcome *o = arg;
    o->calls++;
    o->res = res;
    o->number = answer->number;
}

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

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    redis_server_start(&f->server);
    assert_int_equal(loop_new(&f->loop), 0);
    f->bus = open_bus(f, &(struct bus_redis_options){.url = f->server.url, .answer_ms = 300});
    *state = f;
    return 0;
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

static void run_until(struct loop *l, const unsigned *calls, unsigned count)
{
    uint64_t until = clock_mono_ms() + WAIT_MS;
    while (*calls < count) {
        if (clock_mono_ms() > until)
            fail_msg("nothing came");
        loop_run_once(l, TURN_MS);
    }
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
    const struct bus_stream_read read = {STR("st"), STR("g"), STR("r"), 3, 0};
    switch (i % 7) {
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
    while (clock_mono_ms() < until)
        loop_run_once(f->loop, TURN_MS);
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
        const char *host; /* NULL: refused */
        uint16_t port;
        uint32_t db;
        const char *user;
        bool is_tls;
    } rows[] = {
        {"redis://localhost", "localhost", 6379, 0, "", false},
        {"redis://localhost/", "localhost", 6379, 0, "", false},
        {"rediss://cache.example.org:7000/12", "cache.example.org", 7000, 12, "", true},
        {"redis://weir@[::1]:6380/1", "::1", 6380, 1, "weir", false},
        {"redis://[::1]", "::1", 6379, 0, "", false},
        {"redis://a@b@host", "host", 6379, 0, "a@b", false},
        {"http://localhost", NULL, 0, 0, NULL, false},
        {"redis:", NULL, 0, 0, NULL, false},
        {"redis://", NULL, 0, 0, NULL, false},
        {"redis:///3", NULL, 0, 0, NULL, false},
        {"redis://host:0", NULL, 0, 0, NULL, false},
        {"redis://host:65536", NULL, 0, 0, NULL, false},
        {"redis://host:x", NULL, 0, 0, NULL, false},
        {"redis://host/x", NULL, 0, 0, NULL, false},
        {"redis://host/1/2", NULL, 0, 0, NULL, false},
        {"redis://host/99999", NULL, 0, 0, NULL, false},
        {"redis://[::1", NULL, 0, 0, NULL, false},
        {"redis://[::1]6379", NULL, 0, 0, NULL, false},
        {"redis://:secret@host", NULL, 0, 0, NULL, false},
        {"redis://ho st", NULL, 0, 0, NULL, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct redis_target t;
        struct err err = {""};
        int r = redis_url_parse(str_of(rows[i].url), &t, &err);
        if (rows[i].host == NULL) {
            assert_int_equal(r, -EINVAL);
            assert_memory_equal(err.text, "redis: ", 7);
            assert_null(strstr(err.text, "secret"));
            continue;
        }
        assert_int_equal(r, 0);
        assert_string_equal(t.host, rows[i].host);
        assert_string_equal(t.user, rows[i].user);
        assert_int_equal(t.port, rows[i].port);
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
        cmocka_unit_test_setup_teardown(a_hanging_redis_is_given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(subscriptions_come_back, set_up, tear_down),
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
