/* SPDX-License-Identifier: Apache-2.0 */
/* edge-load: load on a cache; prints one JSON object.
 *
 *   usage: edge-load MODE port=N [key=value]...
 *   paced    connections, period_ms, seconds, path, count: each connection asks once a period; a
 *            line more, first, once all stand
 *   burst    connections, path: all at once for the same
 *   idle     connections: holds them, prints a line, ends with its input
 *   spread   connections, path, count, requests, [sequential=1] [from=N]: as fast as answered
 *   replay   connections, family, requests, seed: a trace of bench/evict
 *   In all: [tls=1] [host=NAME]. path may hold one %u: a number from 0 to count - 1. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/str.h"
#include "edge_client.h"
#include "evict_gen.h"

#define LOAD_PATH_SIZE 512

struct load {
    struct client *client;
    struct client_options options;
    const char *path, *family, *mode;
    uint64_t count, requests, period_ms, seconds, sequential, from, seed;
    struct evict_trace trace;
    uint32_t *times_us;
    uint64_t times_count, times_cap;
    uint64_t sent, done, late;
    uint64_t random;
    uint64_t began_us, first_us, last_us;
};

static void load_on_done(void *arg, unsigned connection, uint64_t us, bool error)
{
    (void)connection;
    struct load *l = arg;
    l->done++;
    l->last_us = clock_mono_us() - l->began_us;
    if (l->done == 1)
        l->first_us = l->last_us;
    if (!error && l->times_count < l->times_cap)
        l->times_us[l->times_count++] = (uint32_t)MIN(us, (uint64_t)UINT32_MAX);
}

static uint64_t load_random(struct load *l)
{
    l->random ^= l->random << 13;
    l->random ^= l->random >> 7;
    l->random ^= l->random << 17;
    return l->random;
}

/* path with the number in place of %u. */
static void load_ask(struct load *l, unsigned connection, uint64_t number)
{
    char path[LOAD_PATH_SIZE];
    const char *at = strstr(l->path, "%u");
    if (at == NULL)
        (void)snprintf(path, sizeof path, "%s", l->path);
    else
        (void)snprintf(path, sizeof path, "%.*s%llu%s", (int)(at - l->path), l->path,
                       (unsigned long long)number, at + 2);
    l->sent++;
    client_get(l->client, connection, path);
}

static int load_order(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double load_quantile(const struct load *l, double q)
{
    if (l->times_count == 0)
        return 0;
    uint64_t at = (uint64_t)(q * (double)(l->times_count - 1));
    return l->times_us[at] / 1e3;
}

static void load_print(struct load *l)
{
    struct client_stat s;
    client_stat(l->client, &s);
    qsort(l->times_us, l->times_count, sizeof *l->times_us, load_order);
    printf("{\"requests\": %llu, \"errors\": %llu, \"bytes\": %llu, \"late\": %llu, "
           "\"connections\": %llu, \"seconds\": %.6f, \"first_ms\": %.3f, \"last_ms\": %.3f, "
           "\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f}\n",
           (unsigned long long)s.requests, (unsigned long long)s.errors,
           (unsigned long long)s.bytes, (unsigned long long)l->late, (unsigned long long)s.opened,
           (double)l->last_us / 1e6, (double)l->first_us / 1e3, (double)l->last_us / 1e3,
           load_quantile(l, 0.5), load_quantile(l, 0.99), load_quantile(l, 1));
}

/* Viewers begin spread over the first period and keep to their time; one that is still waiting for
 * its last segment when the next is due has run dry: it is late. */
static void load_paced(struct load *l)
{
    unsigned n = l->options.connections;
    uint64_t period_us = l->period_ms * 1000, step = 0;
    uint64_t steps = l->seconds * 1000000 / period_us * n;
    while (step < steps) {
        uint64_t now_us = clock_mono_us() - l->began_us;
        while (step < steps && step / n * period_us + step % n * period_us / n <= now_us) {
            unsigned connection = (unsigned)(step % n);
            if (client_is_busy(l->client, connection))
                l->late++;
            else
                load_ask(l, connection, load_random(l) % l->count);
            step++;
        }
        client_poll(l->client, 1);
    }
    uint64_t until_us = clock_mono_us() + 2 * period_us;
    while (l->done < l->sent && clock_mono_us() < until_us)
        client_poll(l->client, 1);
    l->late += l->sent - l->done;
}

static void load_burst(struct load *l)
{
    for (unsigned i = 0; i < l->options.connections; i++)
        load_ask(l, i, 0);
    while (l->done < l->sent)
        client_poll(l->client, 100);
}

static void load_idle(struct load *l)
{
    char byte;
    (void)!read(STDIN_FILENO, &byte, 1); /* its end is what we wait for */
    client_poll(l->client, 0);
}

static void load_spread(struct load *l)
{
    uint64_t next = l->from;
    while (l->done < l->requests) {
        for (unsigned i = 0; i < l->options.connections && l->sent < l->requests; i++) {
            if (client_is_busy(l->client, i))
                continue;
            uint64_t number = l->sequential != 0 ? next++ : load_random(l) % l->count;
            load_ask(l, i, number);
        }
        client_poll(l->client, 100);
    }
}

static void load_replay(struct load *l)
{
    while (l->done < l->trace.requests_count) {
        for (unsigned i = 0; i < l->options.connections && l->sent < l->trace.requests_count; i++) {
            if (client_is_busy(l->client, i))
                continue;
            uint32_t object = l->trace.requests[l->sent++];
            char path[LOAD_PATH_SIZE];
            (void)snprintf(path, sizeof path, "/o/%s-%u/%u", l->family, object,
                           l->trace.sizes[object]);
            client_get(l->client, i, path);
        }
        client_poll(l->client, 100);
    }
}

static const struct {
    const char *name;
    void (*run)(struct load *l);
} load_modes[] = {
    {"paced", load_paced},   {"burst", load_burst},   {"idle", load_idle},
    {"spread", load_spread}, {"replay", load_replay},
};

static int load_number(struct load *l, struct str key, uint64_t value)
{
    struct {
        const char *name;
        uint64_t *at;
    } numbers[] = {
        {"count", &l->count},     {"requests", &l->requests},     {"period_ms", &l->period_ms},
        {"seconds", &l->seconds}, {"sequential", &l->sequential}, {"from", &l->from},
        {"seed", &l->seed},
    };
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        if (!str_eq(key, str_of(numbers[i].name)))
            continue;
        *numbers[i].at = value;
        return 0;
    }
    if (str_eq(key, STR("port")))
        l->options.port = (uint16_t)value;
    else if (str_eq(key, STR("connections")))
        l->options.connections = (unsigned)MIN(value, UINT64_C(100000));
    else if (str_eq(key, STR("tls")))
        l->options.tls = value != 0;
    else
        return -EINVAL;
    return 0;
}

static int load_parse(struct load *l, int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        struct str value;
        uint64_t number = 0;
        struct str key = str_cut(str_of(argv[i]), '=', &value);
        int r = 0;
        if (str_eq(key, STR("path")))
            l->path = value.data;
        else if (str_eq(key, STR("host")))
            l->options.host = value.data;
        else if (str_eq(key, STR("family")))
            l->family = value.data;
        else
            r = str_to_u64(value, &number) < 0 ? -EINVAL : load_number(l, key, number);
        if (r < 0) {
            (void)fprintf(stderr, "edge-load: '%s' is not understood\n", argv[i]);
            return r;
        }
    }
    return 0;
}

static int load_prepare(struct load *l)
{
    int r = 0;
    if (strcmp(l->mode, "replay") == 0) {
        r = evict_gen(l->family, l->seed, (uint32_t)l->requests, &l->trace);
        if (r < 0)
            return r;
    }
    l->times_cap = 1 << 22;
    l->times_us = malloc(l->times_cap * sizeof *l->times_us);
    if (l->times_us == NULL)
        return -ENOMEM;
    r = client_new(&l->options, &l->client);
    return r < 0 ? r : client_connect(l->client);
}

int main(int argc, char **argv)
{
    struct load l = {
        .options = {.connections = 16, .host = "localhost", .on_done = load_on_done, .arg = &l},
        .path = "/",
        .family = "",
        .mode = argc > 1 ? argv[1] : "",
        .count = 1,
        .requests = 1000,
        .period_ms = 4000,
        .seconds = 8,
        .seed = 1001,
        .random = 88172645463325252u,
    };
    void (*run)(struct load *) = NULL;
    for (size_t i = 0; i < ARRAY_LEN(load_modes); i++)
        if (strcmp(l.mode, load_modes[i].name) == 0)
            run = load_modes[i].run;
    if (run == NULL || load_parse(&l, argc, argv) < 0 || l.count == 0 || l.period_ms == 0) {
        (void)fprintf(stderr, "usage: edge-load paced|burst|idle|spread|replay port=N ...\n");
        return 2;
    }
    int r = load_prepare(&l);
    if (r < 0) {
        (void)fprintf(stderr, "edge-load: %s\n", strerror(-r));
    } else {
        if (run == load_idle || run == load_paced) {
            printf("{\"connections\": %u}\n", l.options.connections); /* they stand */
            (void)fflush(stdout);
        }
        l.began_us = clock_mono_us();
        run(&l);
        if (run != load_idle)
            load_print(&l);
    }
    client_free(l.client);
    evict_trace_free(&l.trace);
    free(l.times_us);
    return r < 0 ? 1 : 0;
}
