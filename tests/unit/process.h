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
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/base.h"
#include "base/clock.h"
#include "base/id.h"
#include "unit.h"

#define PROCESS_WAIT_MS 60000

static inline struct sockaddr_in port_address(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* The first of the ports that the kernel chooses from. */
static inline unsigned port_kernels(void)
{
    unsigned first = 0;
    FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%u", &first), 1);
    (void)fclose(f);
    return first;
}

/* Binds the socket and closes it unless that succeeds. */
static inline bool port_bind(int fd, const void *address, size_t size)
{
    assert_true(fd >= 0);
    bool bound = bind(fd, address, (socklen_t)size) == 0;
    if (!bound)
        assert_int_equal(close(fd), 0);
    return bound;
}

/* A port that nobody listens on, and that is no other test's while this one lives: for that a name
 * is kept, as tests/e2e/daemon.py does. None of those that the kernel chooses from: it would give
 * it to whoever connects, or listens on port 0, before our server has it. */
static inline uint16_t port_free(void)
{
    unsigned end = MAX(port_kernels(), 20000u);
    for (;;) {
        uint32_t random;
        id_random(&random, sizeof random);
        uint16_t port = (uint16_t)(10000 + random % (end - 10000));
        struct sockaddr_in a = port_address(port);
        struct sockaddr_un name = {.sun_family = AF_UNIX};
        int n = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "weir-test-port-%u", port);
        int kept = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (!port_bind(kept, &name, offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n))
            continue;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (port_bind(fd, &a, sizeof a)) {
            assert_int_equal(close(fd), 0);
            return port;
        }
        assert_int_equal(close(kept), 0);
    }
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
