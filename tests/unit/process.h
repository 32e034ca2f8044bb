/* SPDX-License-Identifier: Apache-2.0 */
/* process: a real server as a process of the test, on a free port.
 *
 * Life:    process_start -> process_listens -> process_stop; it ends with the test, however that
 *          ends.
 * Owner:   the test.
 * Threads: one.
 * Errors:  the test fails.
 * Units:   none. */
#pragma once
#include <arpa/inet.h>
#include <errno.h> /* what tests of servers compare with */
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
#include "unit.h"

#define PROCESS_WAIT_MS 60000

static inline struct sockaddr_in port_address(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline uint16_t port_free(void)
{
    struct sockaddr_in a = port_address(0);
    socklen_t size = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&a, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&a, &size), 0);
    assert_int_equal(close(fd), 0);
    return ntohs(a.sin_port);
}

static inline bool port_answers(uint16_t port)
{
    struct sockaddr_in a = port_address(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    bool answers = connect(fd, (struct sockaddr *)(void *)&a, sizeof a) == 0;
    assert_int_equal(close(fd), 0);
    return answers;
}

/* What it says goes to the end of the log. */
static inline pid_t process_start(const char *log, const char *const argv[])
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    (void)dup2(fd, 1);
    (void)dup2(fd, 2);
    (void)execvp(argv[0], (char *const *)(const void *)argv);
    _exit(127);
}

static inline void process_stop(pid_t pid, int signal)
{
    int status;
    assert_int_equal(kill(pid, signal), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* False when the process has ended instead: somebody else took its port, perhaps. */
static inline bool process_listens(pid_t pid, uint16_t port)
{
    uint64_t until = clock_mono_ms() + PROCESS_WAIT_MS;
    while (!port_answers(port)) {
        int status;
        if (waitpid(pid, &status, WNOHANG) == pid)
            return false;
        assert_true(clock_mono_ms() < until);
        (void)usleep(5000);
    }
    return true;
}

/* A server that tools/install has brought. */
static inline const char *process_program(const char *name)
{
    static char path[512];
    const char *folder = getenv("WEIR_TOOLS");
    (void)snprintf(path, sizeof path, "%s/bin/%s", folder != NULL ? folder : "build/tools", name);
    if (access(path, X_OK) != 0)
        fail_msg("%s is not there: tools/install test brings it", path);
    return path;
}
