/* SPDX-License-Identifier: Apache-2.0 */
/* redis_cluster: a real Redis Cluster for tests: three primaries, and replicas where wanted, each a
 * redis_server of its own on loopback.
 *
 * Life:    redis_cluster_start -> redis_cluster_say*, kills and restarts of its servers ->
 *          redis_cluster_stop.
 * Owner:   the test's struct, which is zeroed at first.
 * Threads: one at a time; redis_cluster_say any.
 * Errors:  the test fails.
 * Units:   none. */
#pragma once
#include <stdarg.h>
#include "redis_server.h"

#define REDIS_CLUSTER_PRIMARIES 3
#define REDIS_CLUSTER_MAX       4
#define REDIS_CLUSTER_TRIES     1500
#define REDIS_CLUSTER_WAIT_US   10000

struct redis_cluster {
    /* The primaries, then the replicas of the first. */
    struct redis_server servers[REDIS_CLUSTER_MAX];
    unsigned count;
    const char *cert; /* and key: all of it over TLS; NULL: without */
    const char *key;
    /* ms until a node counts as failed; a link that is slow for half of it is made anew, which
     * loses messages. NULL: long. */
    const char *timeout;
    char bus_ports[REDIS_CLUSTER_MAX][8];
    char url[256]; /* of all of them */
};

/* What redis-cli prints, without the newline at its end. */
static inline void redis_cluster_say(const struct redis_cluster *c, unsigned server, char *out,
                                     size_t size, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

static inline void redis_cluster_say(const struct redis_cluster *c, unsigned server, char *out,
                                     size_t size, const char *format, ...)
{
    char tls[256] = "";
    char words[512];
    char command[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(words, sizeof words, format, args);
    va_end(args);
    if (c->cert != NULL)
        (void)snprintf(tls, sizeof tls, "--tls --cacert %s --cert %s --key %s", c->cert, c->cert,
                       c->key);
    (void)snprintf(command, sizeof command, "redis-cli %s -p %u %s 2>&1", tls,
                   c->servers[server].port, words);
    FILE *f = popen(command, "re");
    assert_non_null(f);
    size_t n = fread(out, 1, size - 1, f);
    while (n > 0 && out[n - 1] == '\n')
        n--;
    out[n] = 0;
    (void)pclose(f);
}

static inline void redis_cluster_do(const struct redis_cluster *c, unsigned server,
                                    const char *words)
{
    char out[256];
    redis_cluster_say(c, server, out, sizeof out, "%s", words);
    if (strcmp(out, "OK") != 0)
        fail_msg("%s: %s", words, out);
}

/* Until what is printed holds text. */
static inline void redis_cluster_await(const struct redis_cluster *c, unsigned server,
                                       const char *words, const char *text)
{
    char out[8192];
    for (unsigned i = 0;; i++) {
        redis_cluster_say(c, server, out, sizeof out, "%s", words);
        if (strstr(out, text) != NULL)
            return;
        if (i == REDIS_CLUSTER_TRIES)
            fail_msg("%s has no %s: %s", words, text, out);
        (void)usleep(REDIS_CLUSTER_WAIT_US);
    }
}

static inline void redis_cluster_await_ok(const struct redis_cluster *c)
{
    char nodes[32];
    (void)snprintf(nodes, sizeof nodes, "cluster_known_nodes:%u", c->count);
    for (unsigned i = 0; i < c->count; i++) {
        redis_cluster_await(c, i, "cluster info", nodes);
        redis_cluster_await(c, i, "cluster info", "cluster_slots_ok:16384");
        redis_cluster_await(c, i, "cluster info", "cluster_state:ok");
    }
}

static inline void redis_cluster_options(struct redis_cluster *c, unsigned i)
{
    struct redis_server *s = &c->servers[i];
    (void)snprintf(c->bus_ports[i], sizeof c->bus_ports[i], "%u", port_free());
    const char *words[] = {"--cluster-enabled",
                           "yes",
                           "--cluster-port",
                           c->bus_ports[i],
                           "--cluster-node-timeout",
                           c->timeout != NULL ? c->timeout : "15000",
                           "--cluster-replica-validity-factor",
                           "0",
                           "--repl-diskless-sync-delay",
                           "0"};
    unsigned n = ARRAY_LEN(words);
    memcpy(s->extra, words, sizeof words);
    if (c->cert == NULL)
        return;
    const char *tls[] = {"--tls-cert-file",    c->cert, "--tls-key-file", c->key,
                         "--tls-ca-cert-file", c->cert, "--tls-cluster",  "yes",
                         "--tls-replication",  "yes"};
    s->is_tls = true;
    memcpy(s->extra + n, tls, sizeof tls);
}

static inline void redis_cluster_start(struct redis_cluster *c, unsigned replicas)
{
    char words[128];
    char id[64];
    int at = snprintf(c->url, sizeof c->url, "redis%s://", c->cert != NULL ? "s" : "");
    c->count = REDIS_CLUSTER_PRIMARIES + replicas;
    assert_true(c->count <= REDIS_CLUSTER_MAX);
    for (unsigned i = 0; i < c->count; i++) {
        redis_cluster_options(c, i);
        redis_server_start(&c->servers[i]);
        at += snprintf(c->url + at, sizeof c->url - (size_t)at, "%s127.0.0.1:%u", i > 0 ? "," : "",
                       c->servers[i].port);
    }
    static const unsigned bounds[] = {0, 5461, 10923, 16384};
    for (unsigned i = 0; i < c->count; i++) {
        if (i < REDIS_CLUSTER_PRIMARIES) {
            (void)snprintf(words, sizeof words, "cluster addslotsrange %u %u", bounds[i],
                           bounds[i + 1] - 1);
            redis_cluster_do(c, i, words);
            (void)snprintf(words, sizeof words, "cluster set-config-epoch %u", i + 1);
            redis_cluster_do(c, i, words);
        }
        (void)snprintf(words, sizeof words, "cluster meet 127.0.0.1 %u %s", c->servers[i].port,
                       c->bus_ports[i]);
        if (i > 0)
            redis_cluster_do(c, 0, words);
    }
    redis_cluster_await_ok(c);
    redis_cluster_say(c, 0, id, sizeof id, "cluster myid");
    for (unsigned i = REDIS_CLUSTER_PRIMARIES; i < c->count; i++) {
        (void)snprintf(words, sizeof words, "cluster replicate %s", id);
        redis_cluster_do(c, i, words);
        redis_cluster_await(c, i, "info replication", "master_link_status:up");
    }
}

static inline void redis_cluster_stop(struct redis_cluster *c)
{
    for (unsigned i = 0; i < c->count; i++)
        redis_server_stop(&c->servers[i]);
}
