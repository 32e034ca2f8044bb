/* SPDX-License-Identifier: Apache-2.0 */
#include "http/daemon_takeover.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/clock.h"
#include "http/http_inherit.h"

#define TAKEOVER_TURN_MS 50

extern char **environ;

/* --- the old process -------------------------------------------------------------------------- */

static bool takeover_is_ours(const char *variable)
{
    /* WATCHDOG_PID names us: without it the watchdog is whoever reads the rest. */
    static const char *const names[] = {TAKEOVER_NAME "=", HTTP_INHERIT_NAME "=", "WATCHDOG_PID="};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_starts(str_of(variable), str_of(names[i])))
            return true;
    return false;
}

/* A copy of the environment's list with two of ours: the strings are borrowed. */
static char **takeover_environment(char *sockets, char *channel)
{
    size_t count = 0;
    while (environ != NULL && environ[count] != NULL)
        count++;
    char **list = calloc(count + 3, sizeof *list);
    if (list == NULL)
        return NULL;
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (!takeover_is_ours(environ[i]))
            list[n++] = environ[i];
    list[n++] = sockets;
    list[n] = channel;
    return list;
}

/* A descriptor that is duplicated onto itself loses its close-on-exec in the child. */
static int takeover_actions(posix_spawn_file_actions_t *actions, const int *fds, unsigned count)
{
    int e = 0;
    for (unsigned i = 0; e == 0 && i < count; i++)
        e = posix_spawn_file_actions_adddup2(actions, fds[i], fds[i]);
    return -e;
}

static int takeover_exec(pid_t *ret_pid, const char *program, char **argv, const int *fds,
                         unsigned count, char **environment)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    (void)sigemptyset(&none);
    (void)sigemptyset(&defaults);
    (void)sigaddset(&defaults, SIGPIPE);
    int e = posix_spawn_file_actions_init(&actions);
    if (e != 0)
        return -e;
    e = posix_spawnattr_init(&attributes);
    if (e != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return -e;
    }
    (void)posix_spawnattr_setsigmask(&attributes, &none); /* these fail for bad arguments only */
    (void)posix_spawnattr_setsigdefault(&attributes, &defaults);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int r = takeover_actions(&actions, fds, count);
    if (r == 0)
        r = -posix_spawn(ret_pid, program, &actions, &attributes, argv, environment);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return r;
}

int takeover_spawn(struct takeover *t, const char *program, char **argv, struct err *err)
{
    int ends[2];
    int fds[HTTP_INHERIT_MAX + 1];
    CLEAN_BUF struct buf sockets = BUF_EMPTY;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return err_errno(err, -errno, "starting %s", program);
    buf_puts(&sockets, HTTP_INHERIT_NAME "=");
    unsigned count = http_inherit_list(&sockets, fds, HTTP_INHERIT_MAX);
    fds[count++] = ends[1];
    char channel[64];
    (void)snprintf(channel, sizeof channel, TAKEOVER_NAME "=%d", ends[1]);
    int r = buf_error(&sockets);
    char **environment = r == 0 ? takeover_environment(sockets.data, channel) : NULL;
    if (r == 0 && environment == NULL)
        r = -ENOMEM;
    if (r == 0)
        r = takeover_exec(&t->pid, program, argv, fds, count, environment);
    free(environment);
    (void)base_close(ends[1]);
    if (r < 0) {
        t->pid = 0;
        (void)base_close(ends[0]);
        return err_errno(err, r, "starting %s", program);
    }
    t->fd = ends[0];
    return 0;
}

static int takeover_ended(struct takeover *t, struct err *err)
{
    int status = 0;
    t->fd = base_close(t->fd);
    (void)kill(t->pid, SIGKILL); /* it may have closed its end and linger */
    while (waitpid(t->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    t->pid = 0;
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
        return err_set(err, -EPIPE, "the new process was ended by signal %d", WTERMSIG(status));
    return err_set(err, -EPIPE, "the new process ended with code %d",
                   WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static int takeover_read(struct takeover *t, char word, struct err *err)
{
    char message[512];
    ssize_t n = recv(t->fd, message, sizeof message - 1, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return -EAGAIN;
    if (n <= 0)
        return takeover_ended(t, err);
    if (message[0] == word)
        return 0;
    message[n] = '\0';
    takeover_kill(t);
    return err_set(err, -EPIPE, "the new process could not start: %s",
                   message[0] == 'f' ? message + 1 : "it does not speak as expected");
}

static bool takeover_is_told(const sigset_t *stop)
{
    sigset_t pending;
    return sigpending(&pending) == 0 &&
           ((sigismember(stop, SIGTERM) == 1 && sigismember(&pending, SIGTERM) == 1) ||
            (sigismember(stop, SIGINT) == 1 && sigismember(&pending, SIGINT) == 1));
}

int takeover_wait(struct takeover *t, char word, uint32_t wait_ms, void (*beat)(void),
                  const sigset_t *stop, struct err *err)
{
    uint64_t until = clock_mono_ms() + wait_ms;
    for (;;) {
        struct pollfd p = {.fd = t->fd, .events = POLLIN};
        (void)poll(&p, 1, TAKEOVER_TURN_MS); /* interrupted or not: what is there is read */
        beat();
        int r = takeover_read(t, word, err);
        if (r != -EAGAIN)
            return r;
        if (takeover_is_told(stop))
            return err_set(err, -EINTR, "this process is to end");
        if (clock_mono_ms() >= until)
            return err_set(err, -ETIMEDOUT, "the new process has not said a word for %u s",
                           wait_ms / 1000);
    }
}

int takeover_go(struct takeover *t)
{
    return send(t->fd, "g", 1, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

void takeover_kill(struct takeover *t)
{
    if (t->pid == 0)
        return;
    (void)kill(t->pid, SIGKILL); /* it serves nobody yet, and a store survives worse */
    while (waitpid(t->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    t->pid = 0;
    t->fd = base_close(t->fd);
}

/* --- the new process -------------------------------------------------------------------------- */

int takeover_open(int *ret_fd, struct err *err)
{
    const char *text = getenv(TAKEOVER_NAME);
    uint64_t fd = 0;
    int type = 0;
    socklen_t size = sizeof type;
    *ret_fd = -1;
    if (text == NULL)
        return 0;
    int r = str_to_u64(str_of(text), &fd);
    if (r == 0 && (fd <= STDERR_FILENO || fd > INT32_MAX))
        r = -EBADF;
    if (r == 0 && getsockopt((int)fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
        r = -errno;
    if (r == 0 && (type != SOCK_SEQPACKET || fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0))
        r = -EINVAL;
    if (r < 0)
        return err_errno(err, r, "%s", TAKEOVER_NAME);
    (void)unsetenv(TAKEOVER_NAME);
    *ret_fd = (int)fd;
    return http_inherit_read(err);
}

/* The end of the other side is a word as well: nobody holds anything then. */
void takeover_checked(int fd)
{
    char word;
    if (fd < 0)
        return;
    (void)send(fd, "c", 1, MSG_NOSIGNAL);
    while (recv(fd, &word, 1, 0) < 0 && errno == EINTR)
        continue;
}

void takeover_ready(int fd)
{
    if (fd < 0)
        return;
    (void)send(fd, "r", 1, MSG_NOSIGNAL); /* if it has gone it knows */
    (void)base_close(fd);
}

void takeover_failed(int fd, const struct err *why)
{
    char message[512];
    if (fd < 0)
        return;
    int n = snprintf(message, sizeof message, "f%s", why->text);
    if (n > 0)
        (void)send(fd, message, MIN((size_t)n, sizeof message - 1), MSG_NOSIGNAL);
    (void)base_close(fd);
}
