/* SPDX-License-Identifier: Apache-2.0 */
/* redis_server: a real redis-server for tests, on a free port and in a folder of its own.
 *
 * Life:    redis_server_start -> redis_server_kill, redis_server_restart* -> redis_server_stop.
 * Owner:   the test's struct.
 * Threads: one at a time.
 * Errors:  the test fails.
 * Units:   none. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/str.h"
#include "../process.h"

#define REDIS_ARGS_MAX 32

struct redis_server {
    char folder[64];
    char url[64];
    uint16_t port;
    pid_t pid;                         /* 0: not running */
    const char *extra[REDIS_ARGS_MAX]; /* further arguments, NULL at the end */
    bool is_tls;
};

static inline void redis_server_run(struct redis_server *s)
{
    char port[8];
    char log[96];
    const char *argv[REDIS_ARGS_MAX + 16] = {
        "redis-server",         "--bind",    "127.0.0.1", "--save",  "",
        "--appendonly",         "no",        "--dir",     s->folder, "--port",
        s->is_tls ? "0" : port, "--logfile", "redis.log"};
    unsigned n = 13;
    (void)snprintf(port, sizeof port, "%u", s->port);
    if (s->is_tls) {
        argv[n++] = "--tls-port";
        argv[n++] = port;
    }
    for (unsigned i = 0; s->extra[i] != NULL; i++)
        argv[n++] = s->extra[i];
    argv[n] = NULL;
    (void)snprintf(log, sizeof log, "%s/start.log", s->folder);
    s->pid = process_start(log, argv);
    if (!process_listens(s->pid, s->port))
        fail_msg("redis-server does not start; its log is in %s", s->folder);
}

static inline void redis_server_start(struct redis_server *s)
{
    assert_int_equal(str_copy(STR("/tmp/weir-redis-XXXXXX"), s->folder, sizeof s->folder), 0);
    assert_non_null(mkdtemp(s->folder));
    s->port = port_free();
    (void)snprintf(s->url, sizeof s->url, "redis%s://127.0.0.1:%u", s->is_tls ? "s" : "", s->port);
    redis_server_run(s);
}

static inline void redis_server_kill(struct redis_server *s)
{
    if (s->pid != 0)
        process_stop(s->pid, SIGKILL);
    s->pid = 0;
}

static inline void redis_server_stop(struct redis_server *s)
{
    redis_server_kill(s);
    assert_int_equal(file_remove_all(s->folder), 0);
}
