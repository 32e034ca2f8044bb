/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_takeover: how a new process takes the place of a running one (SIGUSR2) without a request
 * lost: both speak over a socket pair, and the listening sockets are handed on (http_inherit.h).
 *
 *   old                                      new
 *   spawns the program anew ------------->   reads and checks the configuration
 *                           <---- 'c' ----   done that
 *   lets go of what only one may hold
 *                           ----- 'g' --->   starts: takes the sockets, opens the store, accepts
 *                           <---- 'r' ----   serving
 *   drains and ends
 *
 * Where anything fails on the right side, 'f' and a sentence come, or the socket's end.
 *
 * Life:    takeover_spawn -> takeover_wait* -> takeover_end; on the other side takeover_begin ->
 *          takeover_tell.
 * Owner:   daemon.c.
 * Threads: the main thread.
 * Errors:  0 or -errno with a sentence.
 * Units:   milliseconds. */
#pragma once
#include <signal.h>
#include <sys/types.h>
#include "base/err.h"

#define TAKEOVER_NAME "WEIR_TAKEOVER" /* the descriptor of the socket pair's end */

struct takeover {
    pid_t pid; /* 0: none */
    int fd;
};

/* --- the old process --- */

/* program: a path; argv as ours was. */
MUST_USE int takeover_spawn(struct takeover *t, const char *program, char **argv, struct err *err);

/* Waits for word, feeding the watchdog through beat. -EPIPE: it has failed or ended, err says how;
 * -ETIMEDOUT; -EINTR: stop is pending. */
MUST_USE int takeover_wait(struct takeover *t, char word, uint32_t wait_ms, void (*beat)(void),
                           const sigset_t *stop, struct err *err);
MUST_USE int takeover_go(struct takeover *t);
void takeover_kill(struct takeover *t); /* and waits for its end */

/* --- the new process --- */

/* *ret_fd -1: nobody is being taken over. Else the configuration is said to be good, and it returns
 * when this process may go on. */
MUST_USE int takeover_open(int *ret_fd, struct err *err);
void takeover_checked(int fd);
void takeover_ready(int fd);
void takeover_failed(int fd, const struct err *why);
