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
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "../unit.h"

#define MONGO_START_MS 30000

struct mongo_server {
    char folder[64];
    char address[32]; /* host:port */
    uint16_t port;
    pid_t pid; /* 0: not running */
};

static inline struct sockaddr_in mongo_loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline uint16_t mongo_free_port(void)
{
    struct sockaddr_in a = mongo_loopback(0);
    socklen_t size = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    assert_int_equal(close(fd), 0);
    return ntohs(a.sin_port);
}

static inline bool mongo_server_answers(const struct mongo_server *s)
{
    struct sockaddr_in a = mongo_loopback(s->port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    bool good = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    assert_int_equal(close(fd), 0);
    return good;
}

static inline void mongo_server_exec(const struct mongo_server *s, const char *program)
{
    char log[96];
    char data[96];
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when the test is cut short */
    (void)snprintf(log, sizeof log, "%s/log", s->folder);
    (void)snprintf(data, sizeof data, "%s/data", s->folder);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    (void)dup2(fd, 1);
    (void)dup2(fd, 2);
    (void)execl(program, program, s->address, data, (char *)NULL);
    _exit(127);
}

/* At the port it has; what it stored before is there again. */
static inline void mongo_server_run(struct mongo_server *s)
{
    char program[512];
    const char *folder = getenv("WEIR_TOOLS");
    (void)snprintf(program, sizeof program, "%s/bin/ferretdb",
                   folder != NULL ? folder : "build/tools");
    if (access(program, X_OK) != 0)
        fail_msg("%s is not there: tools/install test brings it", program);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0)
        mongo_server_exec(s, program);
    uint64_t until = clock_mono_ms() + MONGO_START_MS;
    while (!mongo_server_answers(s)) {
        int status;
        if (clock_mono_ms() > until || waitpid(s->pid, &status, WNOHANG) == s->pid)
            fail_msg("ferretdb does not start; its log is in %s", s->folder);
        (void)usleep(5000);
    }
}

static inline void mongo_server_start(struct mongo_server *s)
{
    char data[96];
    *s = (struct mongo_server){.pid = 0};
    assert_int_equal(str_copy(STR("/tmp/weir-mongo-XXXXXX"), s->folder, sizeof s->folder), 0);
    assert_non_null(mkdtemp(s->folder));
    (void)snprintf(data, sizeof data, "%s/data", s->folder);
    assert_int_equal(file_mkdirs(data), 0);
    s->port = mongo_free_port();
    (void)snprintf(s->address, sizeof s->address, "127.0.0.1:%u", s->port);
    mongo_server_run(s);
}

static inline void mongo_server_kill(struct mongo_server *s)
{
    int status;
    if (s->pid == 0)
        return;
    assert_int_equal(kill(s->pid, SIGKILL), 0);
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    s->pid = 0;
}

static inline void mongo_server_stop(struct mongo_server *s)
{
    mongo_server_kill(s);
    assert_int_equal(file_remove_all(s->folder), 0);
}
