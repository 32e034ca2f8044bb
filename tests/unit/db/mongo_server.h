/* SPDX-License-Identifier: Apache-2.0 */
/* mongo_server: a real server of MongoDB's protocol for tests (FerretDB over SQLite), on a free
 * port and in a folder of its own.
 *
 * Life:    mongo_server_start -> mongo_server_kill, mongo_server_run* -> mongo_server_stop.
 * Owner:   the test's struct.
 * Threads: one at a time.
 * Errors:  the test fails.
 * Units:   none. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include "base/file.h"
#include "base/str.h"
#include "../process.h"

struct mongo_server {
    char folder[64];
    char address[32]; /* host:port */
    uint16_t port;
    pid_t pid; /* 0: not running */
};

/* At the port it has; what it stored before is there again. */
static inline void mongo_server_run(struct mongo_server *s)
{
    char log[96];
    char data[96];
    const char *argv[] = {process_program("ferretdb"), s->address, data, NULL};
    (void)snprintf(log, sizeof log, "%s/log", s->folder);
    (void)snprintf(data, sizeof data, "%s/data", s->folder);
    s->pid = process_start(log, argv);
    if (!process_listens(s->pid, s->port))
        fail_msg("ferretdb does not start; its log is in %s", s->folder);
}

static inline void mongo_server_start(struct mongo_server *s)
{
    char data[96];
    *s = (struct mongo_server){.pid = 0};
    assert_int_equal(str_copy(STR("/tmp/weir-mongo-XXXXXX"), s->folder, sizeof s->folder), 0);
    assert_non_null(mkdtemp(s->folder));
    (void)snprintf(data, sizeof data, "%s/data", s->folder);
    assert_int_equal(file_mkdirs(data), 0);
    s->port = port_free();
    (void)snprintf(s->address, sizeof s->address, "127.0.0.1:%u", s->port);
    mongo_server_run(s);
}

static inline void mongo_server_kill(struct mongo_server *s)
{
    if (s->pid != 0)
        process_stop(s->pid, SIGKILL);
    s->pid = 0;
}

static inline void mongo_server_stop(struct mongo_server *s)
{
    mongo_server_kill(s);
    assert_int_equal(file_remove_all(s->folder), 0);
}
