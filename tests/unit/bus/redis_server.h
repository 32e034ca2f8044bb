/* SPDX-License-Identifier: Apache-2.0 */
/* redis_server: a real redis-server for tests, on a free port and in a folder of its own.
 *
 * Life:    redis_server_start -> redis_server_kill, redis_server_restart* -> redis_server_stop.
 * Owner:   the test's struct.
 * Threads: one at a time.
 * Errors:  the test fails.
 * Units:   none. */
#pragma once
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/file.h"
#include "base/str.h"
#include "../unit.h"

#define REDIS_ARGS_MAX   32
#define REDIS_START_MAX  2000 /* tries, 5 ms apart */
#define REDIS_START_WAIT 5000

struct redis_server {
    char folder[64];
    char url[64];
    uint16_t port;
    pid_t pid;                         /* 0: not running */
    const char *extra[REDIS_ARGS_MAX]; /* further arguments, NULL at the end */
    bool is_tls;
};

static inline uint16_t redis_free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    assert_int_equal(close(fd), 0);
    return ntohs(a.sin_port);
}

static inline bool redis_server_answers(const struct redis_server *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(s->port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    bool good = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    assert_int_equal(close(fd), 0);
    return good;
}

static inline void redis_server_run(struct redis_server *s)
{
    char port[8];
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
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when the test is cut short */
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    for (unsigned i = 0; !redis_server_answers(s); i++) {
        int status;
        if (i == REDIS_START_MAX || waitpid(s->pid, &status, WNOHANG) == s->pid)
            fail_msg("redis-server does not start; its log is in %s", s->folder);
        (void)usleep(REDIS_START_WAIT);
    }
}

static inline void redis_server_start(struct redis_server *s)
{
    assert_int_equal(str_copy(STR("/tmp/weir-redis-XXXXXX"), s->folder, sizeof s->folder), 0);
    assert_non_null(mkdtemp(s->folder));
    s->port = redis_free_port();
    (void)snprintf(s->url, sizeof s->url, "redis%s://127.0.0.1:%u", s->is_tls ? "s" : "", s->port);
    redis_server_run(s);
}

static inline void redis_server_kill(struct redis_server *s)
{
    int status;
    if (s->pid == 0)
        return;
    assert_int_equal(kill(s->pid, SIGKILL), 0);
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    s->pid = 0;
}

static inline void redis_server_stop(struct redis_server *s)
{
    redis_server_kill(s);
    assert_int_equal(file_remove_all(s->folder), 0);
}
