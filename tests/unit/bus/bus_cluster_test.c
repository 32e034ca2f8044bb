/* SPDX-License-Identifier: Apache-2.0 */
/* What only a Redis Cluster can show: slots that move, primaries that die, all of it gone and back,
 * TLS between everybody; and what a cluster's words mean. */
#include "bus/bus.h"
#include <pthread.h>
#include "base/clock.h"
#include "bus/redis_slots.h"
#include "../fetch/cert.h"
#include "redis_cluster.h"
#include "bus_outcome.h"

static struct redis_cluster cluster;

struct fixture {
    struct loop *loop;
    struct bus *bus;
};

static void fixture_open(struct fixture *f, const struct bus_redis_options *options)
{
    struct err err = {""};
    assert_int_equal(loop_new(&f->loop), 0);
    int r = bus_open_redis(options, f->loop, &err, &f->bus);
    if (r < 0)
        fail_msg("%s", err.text);
}

static void fixture_close(struct fixture *f)
{
    bus_close(f->bus);
    loop_free(f->loop);
}

static int set_up_with(void **state, unsigned replicas)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    cluster.timeout = "1500";
    if (cluster.count == 0)
        redis_cluster_start(&cluster, replicas);
    fixture_open(f, &(struct bus_redis_options){.url = cluster.url});
    *state = f;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, 0);
}

static int set_up_replica(void **state)
{
    return set_up_with(state, 1);
}

/* The cluster is whole, and the next test's. */
static int tear_down_keep(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    free(f);
    return 0;
}

static int tear_down(void **state)
{
    (void)tear_down_keep(state); /* 0 always */
    redis_cluster_stop(&cluster);
    memset(&cluster, 0, sizeof cluster);
    return 0;
}

static int count(struct fixture *f, const char *key)
{
    struct outcome o = {0};
    assert_int_equal(bus_count(f->bus, str_of(key), 1, 0, on_done, &o), 0);
    run_until(f->loop, &o.calls, 1);
    return o.res;
}

static unsigned node_of(const char *key)
{
    uint16_t slot = redis_slot_of(str_of(key));
    return slot < 5461 ? 0 : slot < 10923 ? 1 : 2;
}

/* Until calls about keys of all three nodes are carried out. */
static void count_until_good(struct fixture *f)
{
    uint64_t until = clock_mono_ms() + WAIT_MS;
    bool is_good[REDIS_CLUSTER_PRIMARIES] = {false};
    for (unsigned i = 0; !is_good[0] || !is_good[1] || !is_good[2]; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key:%u", i % 64);
        int res = count(f, key);
        is_good[node_of(key)] = res == 0;
        assert_true(clock_mono_ms() < until);
    }
}

static bool any_result(int res)
{
    return res == 0 || res == -ENOENT || res == -ESTALE || res == -ECONNRESET ||
           res == -EHOSTDOWN || res == -ETIMEDOUT;
}

/* A call of each kind in turn, about keys of all nodes. */
static int any_call(struct fixture *f, unsigned i, struct outcome *o)
{
    static const char script[] = "return redis.call('INCR', KEYS[1])";
    char name[16];
    (void)snprintf(name, sizeof name, "any:%u", i % 96);
    struct str key = str_of(name);
    const struct bus_stream_read read = {STR("st"), STR("g"), STR("r"), 3, 0};
    const struct bus_script_call call = {script, &key, 1, NULL, 0};
    switch (i % 8) {
    case 0:
        return bus_count(f->bus, key, 1, 0, on_done, o);
    case 1:
        return bus_get(f->bus, key, on_done, o);
    case 2:
        return bus_swap(f->bus, key, STR_NONE, STR("1"), 0, on_done, o);
    case 3:
        return bus_publish(f->bus, key, STR("x"), on_done, o);
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

/* --- a slot that moves ------------------------------------------------------------------------ */

#define MOVE_KEYS 40
#define MOVE_TAG  "{moving}"

struct mover {
    pthread_t thread;
    unsigned from, to;
    unsigned is_over;
    unsigned asked, moved; /* redirections that the old node has answered */
};

static unsigned errors_of(unsigned server, const char *name)
{
    char out[4096];
    char label[64];
    redis_cluster_say(&cluster, server, out, sizeof out, "info errorstats");
    (void)snprintf(label, sizeof label, "errorstat_%s:count=", name);
    const char *at = strstr(out, label);
    return at != NULL ? (unsigned)strtoul(at + strlen(label), NULL, 10) : 0;
}

static void *mover_main(void *arg)
{
    struct mover *m = arg;
    char ids[2][64];
    char words[256];
    char out[128];
    unsigned slot = redis_slot_of(STR(MOVE_TAG));
    redis_cluster_say(&cluster, m->from, ids[0], sizeof ids[0], "cluster myid");
    redis_cluster_say(&cluster, m->to, ids[1], sizeof ids[1], "cluster myid");
    (void)snprintf(words, sizeof words, "cluster setslot %u importing %s", slot, ids[0]);
    redis_cluster_do(&cluster, m->to, words);
    (void)snprintf(words, sizeof words, "cluster setslot %u migrating %s", slot, ids[1]);
    redis_cluster_do(&cluster, m->from, words);
    for (unsigned i = 0; i < MOVE_KEYS; i++) {
        (void)snprintf(words, sizeof words, "migrate 127.0.0.1 %u " MOVE_TAG "%u 0 5000",
                       cluster.servers[m->to].port, i);
        redis_cluster_do(&cluster, m->from, words);
    }
    while (errors_of(m->from, "ASK") < MOVE_KEYS)
        (void)usleep(1000);
    /* What else is there: the streams, and what came to be while the keys went over. */
    for (;;) {
        redis_cluster_say(&cluster, m->from, out, sizeof out, "cluster getkeysinslot %u 1", slot);
        if (out[0] == 0)
            break;
        (void)snprintf(words, sizeof words, "migrate 127.0.0.1 %u '%s' 0 5000",
                       cluster.servers[m->to].port, out);
        redis_cluster_do(&cluster, m->from, words);
    }
    (void)snprintf(words, sizeof words, "cluster setslot %u node %s", slot, ids[1]);
    redis_cluster_do(&cluster, m->to, words);
    redis_cluster_do(&cluster, m->from, words);
    while (errors_of(m->from, "MOVED") == 0)
        (void)usleep(1000);
    m->asked = errors_of(m->from, "ASK");
    m->moved = errors_of(m->from, "MOVED");
    __atomic_store_n(&m->is_over, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* Calls go on all the while, MOVE_KEYS under way at a time; none fails, none is done twice. */
static void a_slot_that_moves_loses_nothing(void **state)
{
    struct fixture *f = *state;
    struct mover m = {.from = node_of(MOVE_TAG)};
    struct outcome o[MOVE_KEYS];
    struct outcome added = {0};
    int64_t rounds = 0;
    m.to = (m.from + 1) % REDIS_CLUSTER_PRIMARIES;
    /* One whose map is of before, and is asked for a while after. */
    struct fixture late;
    fixture_open(&late, &(struct bus_redis_options){.url = cluster.url});
    assert_int_equal(count(&late, MOVE_TAG "late"), 0);
    assert_int_equal(count(f, MOVE_TAG "first"), 0);
    do {
        memset(o, 0, sizeof o);
        for (unsigned i = 0; i < MOVE_KEYS; i++) {
            char key[32];
            (void)snprintf(key, sizeof key, MOVE_TAG "%u", i);
            assert_int_equal(bus_count(f->bus, str_of(key), 1, 0, on_done, &o[i]), 0);
        }
        added = (struct outcome){0};
        assert_int_equal(
            bus_stream_add(f->bus, STR(MOVE_TAG "st"), STR("x"), 1000000, on_done, &added), 0);
        run_until(f->loop, &added.calls, 1);
        assert_int_equal(added.res, 0);
        rounds++;
        for (unsigned i = 0; i < MOVE_KEYS; i++) {
            run_until(f->loop, &o[i].calls, 1);
            assert_int_equal(o[i].res, 0);
            assert_int_equal(o[i].number, rounds); /* each step once */
        }
        if (rounds == 1) /* all the keys are there */
            assert_int_equal(pthread_create(&m.thread, NULL, mover_main, &m), 0);
    } while (__atomic_load_n(&m.is_over, __ATOMIC_ACQUIRE) == 0);
    assert_int_equal(pthread_join(m.thread, NULL), 0);
    assert_true(m.asked >= MOVE_KEYS && m.moved > 0);
    redis_cluster_await(&cluster, m.to, "info commandstats", "cmdstat_asking:calls=");
    struct outcome mine = {0};
    assert_int_equal(bus_count(late.bus, STR(MOVE_TAG "late"), 1, 0, on_done, &mine), 0);
    run_until(late.loop, &mine.calls, 1);
    assert_true(mine.res == 0 && mine.number == 2);
    fixture_close(&late);
    char out[64];
    char want[32];
    redis_cluster_say(&cluster, m.to, out, sizeof out, "xlen '" MOVE_TAG "st'");
    (void)snprintf(want, sizeof want, "%lld", (long long)rounds);
    assert_string_equal(out, want);
}

/* --- what dies -------------------------------------------------------------------------------- */

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

/* Says it until it is heard: a node that has just come back may not pass on yet. */
static void say_until_heard(struct fixture *f, const char *channel, struct ear *e)
{
    uint64_t until = clock_mono_ms() + WAIT_MS;
    unsigned before = e->heard;
    while (e->heard == before) {
        struct outcome o = {0};
        assert_int_equal(bus_publish(f->bus, str_of(channel), STR("x"), on_done, &o), 0);
        run_until(f->loop, &o.calls, 1);
        loop_run_once(f->loop, TURN_MS);
        assert_true(clock_mono_ms() < until);
    }
}

static void calls_over(struct fixture *f, void (*breaks)(void))
{
    enum { CALLS = 2000 };
    struct outcome *o = calloc(CALLS, sizeof *o);
    assert_non_null(o);
    for (unsigned i = 0; i < CALLS; i++) {
        assert_int_equal(any_call(f, i, &o[i]), 0);
        if (i == CALLS / 2)
            loop_run_once(f->loop, 0); /* some are on their way */
    }
    breaks();
    for (unsigned i = 0; i < CALLS; i++) {
        run_until(f->loop, &o[i].calls, 1);
        assert_true(any_result(o[i].res));
    }
    count_until_good(f);
    for (unsigned i = 0; i < CALLS; i++)
        assert_int_equal(o[i].calls, 1);
    free(o);
}

static void kill_first(void)
{
    redis_server_kill(&cluster.servers[0]);
}

static void a_replica_takes_over(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    struct ear e = {0};
    struct bus_sub *sub;
    char key[16];
    char out[256];
    unsigned n = 0;
    count_until_good(f);
    do
        (void)snprintf(key, sizeof key, "kept:%u", n++);
    while (node_of(key) != 0);
    assert_int_equal(bus_subscribe(f->bus, STR("c"), on_message, on_gap, &e, &sub), 0);
    run_until(f->loop, &e.gaps, 1);
    assert_int_equal(bus_swap(f->bus, str_of(key), STR_NONE, STR("x"), 0, on_done, &o), 0);
    run_until(f->loop, &o.calls, 1);
    assert_int_equal(o.res, 0);
    do /* until the replica has it */
        redis_cluster_say(&cluster, REDIS_CLUSTER_PRIMARIES, out, sizeof out,
                          "cluster countkeysinslot %u", redis_slot_of(str_of(key)));
    while (strcmp(out, "0") == 0);
    calls_over(f, kill_first);
    redis_cluster_say(&cluster, REDIS_CLUSTER_PRIMARIES, out, sizeof out, "role");
    assert_memory_equal(out, "master", 6);
    o = (struct outcome){0};
    assert_int_equal(bus_get(f->bus, str_of(key), on_done, &o), 0);
    run_until(f->loop, &o.calls, 1);
    assert_int_equal(o.res, 0);
    say_until_heard(f, "c", &e);
    /* The old primary comes back as a replica, and is not asked any more. */
    redis_server_run(&cluster.servers[0]);
    redis_cluster_await(&cluster, 0, "info replication", "role:slave");
    count_until_good(f);
    say_until_heard(f, "c", &e);
    bus_unsubscribe(sub);
}

static void kill_and_restart_all(void)
{
    for (unsigned i = 0; i < cluster.count; i++)
        redis_server_kill(&cluster.servers[i]);
    for (unsigned i = 0; i < cluster.count; i++)
        redis_server_run(&cluster.servers[i]);
}

static void all_are_killed_and_restarted(void **state)
{
    struct fixture *f = *state;
    struct ear e = {0};
    struct bus_sub *sub;
    assert_int_equal(bus_subscribe(f->bus, STR("c"), on_message, on_gap, &e, &sub), 0);
    count_until_good(f);
    run_until(f->loop, &e.gaps, 1);
    calls_over(f, kill_and_restart_all);
    run_until(f->loop, &e.gaps, 2);
    say_until_heard(f, "c", &e);
    bus_unsubscribe(sub);
}

/* The slots of a primary without a replica: nobody has them until it is back, and a cluster that
 * wants all of them answers nothing meanwhile. */
static void what_is_down_is_away(void **state)
{
    struct fixture *f = *state;
    uint64_t until = clock_mono_ms() + WAIT_MS;
    count_until_good(f);
    redis_server_kill(&cluster.servers[1]);
    redis_cluster_await(&cluster, 0, "cluster info", "cluster_state:fail");
    redis_cluster_await(&cluster, 2, "cluster info", "cluster_state:fail");
    for (unsigned i = 0; i < 16; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key:%u", i);
        assert_int_equal(count(f, key), -EHOSTDOWN);
        assert_true(clock_mono_ms() < until);
    }
    for (unsigned i = 0; i < 16; i++) { /* messages have no slot: any node will do */
        struct outcome o = {0};
        char channel[16];
        (void)snprintf(channel, sizeof channel, "key:%u", i);
        assert_int_equal(bus_publish(f->bus, str_of(channel), STR("x"), on_done, &o), 0);
        run_until(f->loop, &o.calls, 1);
        assert_int_equal(o.res, 0);
    }
    redis_server_run(&cluster.servers[1]);
    count_until_good(f);
}

/* One that takes calls and answers none: they end in time, and it is asked when it is back. */
static void a_hanging_node_is_given_up(void **state)
{
    struct fixture *f = *state;
    struct fixture g;
    struct outcome o[64] = {0};
    unsigned late = 0;
    fixture_open(&g, &(struct bus_redis_options){.url = cluster.url, .answer_ms = 300});
    count_until_good(&g);
    assert_int_equal(kill(cluster.servers[2].pid, SIGSTOP), 0);
    for (unsigned i = 0; i < ARRAY_LEN(o); i++)
        assert_int_equal(any_call(&g, i, &o[i]), 0);
    for (unsigned i = 0; i < ARRAY_LEN(o); i++) {
        run_until(g.loop, &o[i].calls, 1);
        assert_true(any_result(o[i].res));
        late += o[i].res == -ETIMEDOUT;
    }
    assert_true(late > 0);
    assert_int_equal(kill(cluster.servers[2].pid, SIGCONT), 0);
    count_until_good(&g);
    for (unsigned i = 0; i < ARRAY_LEN(o); i++)
        assert_int_equal(o[i].calls, 1);
    fixture_close(&g);
    redis_cluster_await_ok(&cluster);
    count_until_good(f);
}

/* CLUSTERDOWN that passes within a call's time is not even noticed. */
static void a_short_lapse_is_waited_for(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    char key[16];
    char words[64];
    unsigned n = 0;
    do
        (void)snprintf(key, sizeof key, "lapse:%u", n++);
    while (node_of(key) != 0);
    struct fixture patient;
    fixture_open(&patient,
                 &(struct bus_redis_options){.url = cluster.url, .answer_ms = WAIT_MS / 2});
    assert_int_equal(count(&patient, key), 0);
    assert_int_equal(count(f, key), 0);
    unsigned slot = redis_slot_of(str_of(key));
    unsigned before = errors_of(0, "CLUSTERDOWN");
    (void)snprintf(words, sizeof words, "cluster delslots %u", slot);
    redis_cluster_do(&cluster, 0, words);
    assert_int_equal(bus_count(patient.bus, str_of(key), 1, 0, on_done, &o), 0);
    for (unsigned tries = 0; errors_of(0, "CLUSTERDOWN") == before; tries++) {
        loop_run_once(patient.loop, TURN_MS);
        assert_true(tries < 2000);
    }
    assert_int_equal(o.calls, 0);
    (void)snprintf(words, sizeof words, "cluster addslots %u", slot);
    redis_cluster_do(&cluster, 0, words);
    run_until(patient.loop, &o.calls, 1);
    assert_int_equal(o.res, 0);
    fixture_close(&patient);
}

static void closing_while_it_waits(void **state)
{
    struct fixture *f = *state;
    struct outcome o[64] = {0};
    struct fixture g;
    count_until_good(f);
    redis_server_kill(&cluster.servers[1]);
    redis_cluster_await(&cluster, 0, "cluster info", "cluster_state:fail");
    fixture_open(&g, &(struct bus_redis_options){.url = cluster.url});
    for (unsigned i = 0; i < ARRAY_LEN(o); i++)
        assert_int_equal(any_call(&g, i, &o[i]), 0);
    unsigned before = errors_of(0, "CLUSTERDOWN");
    for (unsigned tries = 0; errors_of(0, "CLUSTERDOWN") == before; tries++) {
        loop_run_once(g.loop, TURN_MS);
        assert_true(tries < 2000);
    }
    fixture_close(&g);
    for (unsigned i = 0; i < ARRAY_LEN(o); i++)
        assert_int_equal(o[i].calls, 1);
}

static void a_cluster_over_tls(void **state)
{
    static char folder[64];
    static char cert[128];
    static char key[128];
    struct fixture f;
    struct ear e = {0};
    struct bus_sub *sub;
    (void)state;
    assert_int_equal(str_copy(STR("/tmp/weir-redis-XXXXXX"), folder, sizeof folder), 0);
    assert_non_null(mkdtemp(folder));
    (void)snprintf(cert, sizeof cert, "%s/cert.pem", folder);
    (void)snprintf(key, sizeof key, "%s/key.pem", folder);
    cert_make(cert, key);
    cluster = (struct redis_cluster){.cert = cert, .key = key};
    redis_cluster_start(&cluster, 0);
    fixture_open(&f, &(struct bus_redis_options){
                         .url = cluster.url, .ca_file = cert, .cert_file = cert, .key_file = key});
    count_until_good(&f);
    assert_int_equal(bus_subscribe(f.bus, STR("c"), on_message, on_gap, &e, &sub), 0);
    run_until(f.loop, &e.gaps, 1);
    say_until_heard(&f, "c", &e);
    fixture_close(&f);
    redis_cluster_stop(&cluster);
    assert_int_equal(file_remove_all(folder), 0);
}

/* --- words ------------------------------------------------------------------------------------ */

static void keys_have_slots(void **state)
{
    static const struct {
        struct str key;
        struct str same; /* what of it counts */
    } rows[] = {
        {STR("foo"), STR("foo")},
        {STR("{user1000}.following"), STR("user1000")},
        {STR("foo{}{bar}"), STR("foo{}{bar}")},
        {STR("foo{{bar}}zap"), STR("{bar")},
        {STR("foo{bar}{zap}"), STR("bar")},
        {STR("foo{bar"), STR("foo{bar")},
        {STR("foo}{bar"), STR("foo}{bar")},
        {STR("{"), STR("{")},
        {STR("{}"), STR("{}")},
        {STR("\xc3\xa4{\xff}"), STR("\xff")},
    };
    (void)state;
    assert_int_equal(redis_slot_of(STR("123456789")), 0x31c3); /* of the specification */
    assert_int_equal(redis_slot_of(STR("foo")), 12182);
    assert_int_equal(redis_slot_of(STR("")), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool has_tag = !str_eq(rows[i].key, rows[i].same);
        assert_int_equal(redis_slot_of(rows[i].key),
                         has_tag ? redis_slot_of(rows[i].same) : redis_slot_of(rows[i].key));
    }
}

/* The same as Redis itself says. */
static void slots_are_those_of_redis(void **state)
{
    static const char *const keys[] = {"a",
                                       "{a}b",
                                       "{}a",
                                       "x{y}z{q}",
                                       "}{",
                                       "{a",
                                       "weir:lease:{7}",
                                       "weir:lease:crowd:{11}",
                                       "ein sch\xc3\xb6ner Schl\xc3\xbcssel"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        char out[64];
        char want[16];
        redis_cluster_say(&cluster, 0, out, sizeof out, "cluster keyslot '%s'", keys[i]);
        (void)snprintf(want, sizeof want, "%u", redis_slot_of(str_of(keys[i])));
        assert_string_equal(out, want);
    }
}

static void redirections_are_read(void **state)
{
    static const struct {
        const char *text;
        const char *host; /* NULL: -EBADMSG */
        uint16_t port, slot;
        bool is_ask;
    } rows[] = {
        {"MOVED 3999 127.0.0.1:6381", "127.0.0.1", 6381, 3999, false},
        {"ASK 0 node-2.example.org:1", "node-2.example.org", 1, 0, true},
        {"MOVED 16383 ::1:65535", "::1", 65535, 16383, false},
        {"MOVED 1 :7000", "here", 7000, 1, false},
        {"ASK 1 ?:7000", "here", 7000, 1, true},
        {"MOVED 16384 a:1", NULL, 0, 0, false},
        {"MOVED -1 a:1", NULL, 0, 0, false},
        {"MOVED x a:1", NULL, 0, 0, false},
        {"MOVED 1 a:0", NULL, 0, 0, false},
        {"MOVED 1 a:65536", NULL, 0, 0, false},
        {"MOVED 1 a:", NULL, 0, 0, false},
        {"MOVED 1 a", NULL, 0, 0, false},
        {"MOVED 1 ", NULL, 0, 0, false},
        {"MOVED 1", NULL, 0, 0, false},
        {"MOVED ", NULL, 0, 0, false},
        {"MOVED", NULL, 0, 0, false},
        {"ERR MOVED 1 a:1", NULL, 0, 0, false},
        {"", NULL, 0, 0, false},
    };
    const struct redis_address from = {"here", 1};
    char large[REDIS_TEXT_SIZE + 64];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct redis_redirect to;
        int r = redis_redirect_read(str_of(rows[i].text), &from, &to);
        if (rows[i].host == NULL) {
            assert_int_equal(r, -EBADMSG);
            continue;
        }
        assert_int_equal(r, 0);
        assert_string_equal(to.to.host, rows[i].host);
        assert_int_equal(to.to.port, rows[i].port);
        assert_int_equal(to.slot, rows[i].slot);
        assert_int_equal(to.is_ask, rows[i].is_ask);
    }
    struct redis_redirect to;
    int n = snprintf(large, sizeof large, "MOVED 1 %0*d:1", REDIS_TEXT_SIZE, 0);
    assert_int_equal(redis_redirect_read((struct str){large, (size_t)n}, &from, &to), -EBADMSG);
}

static void on_each(void *arg, uint16_t first, uint16_t last, const struct redis_address *node,
                    bool is_primary)
{
    char *out = arg;
    size_t n = strlen(out);
    (void)snprintf(out + n, 256 - n, "%u-%u %s:%u%s ", first, last, node->host, node->port,
                   is_primary ? "!" : "");
}

static void maps_are_read(void **state)
{
#define NUMBER(n)                                                                                  \
    {                                                                                              \
        .kind = BUS_NUMBER, .number = (n)                                                          \
    }
#define TEXT(t)                                                                                    \
    {                                                                                              \
        .kind = BUS_TEXT, .text = {(t), sizeof(t) - 1 }                                            \
    }
#define NONE                                                                                       \
    {                                                                                              \
        .kind = BUS_NONE                                                                           \
    }
#define LIST(array)                                                                                \
    {                                                                                              \
        .kind = BUS_LIST, .items = (array), .count = ARRAY_LEN(array)                              \
    }
    static const struct bus_answer a[] = {TEXT("10.0.0.1"), NUMBER(7000), TEXT("id")};
    static const struct bus_answer b[] = {NONE, NUMBER(7001)};
    static const struct bus_answer c[] = {TEXT(""), NUMBER(7002)};
    static const struct bus_answer odd_port[] = {TEXT("h"), NUMBER(70000)};
    static const struct bus_answer odd_host[] = {NUMBER(1), NUMBER(1)};
    static const struct bus_answer zero_host[] = {TEXT("a\0b"), NUMBER(1)};
    static const struct bus_answer no_port[] = {TEXT("h")};
    static const struct bus_answer first[] = {NUMBER(0), NUMBER(5), LIST(a), LIST(b)};
    static const struct bus_answer second[] = {NUMBER(6), NUMBER(16383), LIST(c)};
    static const struct bus_answer bad[][3] = {
        {NUMBER(5), NUMBER(4), LIST(a)},        {NUMBER(-1), NUMBER(4), LIST(a)},
        {NUMBER(0), NUMBER(16384), LIST(a)},    {TEXT("0"), NUMBER(4), LIST(a)},
        {NUMBER(0), NUMBER(1), LIST(odd_port)}, {NUMBER(0), NUMBER(1), LIST(odd_host)},
        {NUMBER(0), NUMBER(1), LIST(no_port)},  {NUMBER(0), NUMBER(1), LIST(zero_host)},
        {NUMBER(0), NUMBER(1), NONE},
    };
    static const struct bus_answer good[] = {LIST(first), LIST(second)};
    const struct bus_answer map = LIST(good);
    const struct bus_answer word = TEXT("OK");
    const struct redis_address from = {"here", 1};
    char out[256] = "";
    (void)state;
    assert_int_equal(redis_slots_read(&map, &from, on_each, out), 0);
    assert_string_equal(out, "0-5 10.0.0.1:7000! 0-5 here:7001 6-16383 here:7002! ");
    assert_int_equal(redis_slots_read(&word, &from, on_each, out), -EBADMSG);
    out[0] = 0;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const struct bus_answer ranges[] = {LIST(first), LIST(bad[i])};
        const struct bus_answer wrong = LIST(ranges);
        assert_int_equal(redis_slots_read(&wrong, &from, on_each, out), -EBADMSG);
    }
    assert_string_equal(out, ""); /* all of it, or nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_have_slots),
        cmocka_unit_test(redirections_are_read),
        cmocka_unit_test(maps_are_read),
        cmocka_unit_test_setup_teardown(slots_are_those_of_redis, set_up, tear_down_keep),
        cmocka_unit_test_setup_teardown(a_slot_that_moves_loses_nothing, set_up, tear_down_keep),
        cmocka_unit_test_setup_teardown(a_short_lapse_is_waited_for, set_up, tear_down_keep),
        cmocka_unit_test_setup_teardown(a_hanging_node_is_given_up, set_up, tear_down_keep),
        cmocka_unit_test_setup_teardown(what_is_down_is_away, set_up, tear_down_keep),
        cmocka_unit_test_setup_teardown(all_are_killed_and_restarted, set_up, tear_down_keep),
        cmocka_unit_test_setup_teardown(closing_while_it_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_replica_takes_over, set_up_replica, tear_down),
        cmocka_unit_test(a_cluster_over_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
