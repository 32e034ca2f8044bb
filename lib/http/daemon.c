/* SPDX-License-Identifier: Apache-2.0 */
#include "http/daemon.h"
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "http/daemon_takeover.h"
#include "http/http.h"
#include "http/http_inherit.h"

enum { DAEMON_EXIT_OK = 0, DAEMON_EXIT_FAILED = 1, DAEMON_EXIT_USAGE = 2 };
#define DAEMON_PARSED    (-1)   /* daemon_parse: no exit code, go on */
#define DAEMON_CHECK_MS  60000  /* for a new process to read its configuration */
#define DAEMON_START_MS  120000 /* ... and to start: a store may have to be looked through */
#define DAEMON_LINGER_MS 600000 /* for the last answers of a process that was taken over */

struct daemon_args {
    const char *config_file;
    bool is_check, is_verbose;
};

static void daemon_usage(FILE *out, const char *name)
{
    (void)fprintf(out,
                  "usage: %s --config FILE [--check] [--verbose]\n"
                  "       %s --version | --help\n\n"
                  "  --config FILE  the configuration, YAML\n"
                  "  --check        read and check it, then end\n"
                  "  --verbose      log debug lines as well\n",
                  name, name);
}

/* An exit code, or DAEMON_PARSED. */
static int daemon_parse(int argc, char **argv, const char *name, struct daemon_args *args)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, 'k'},
        {"verbose", no_argument, NULL, 'v'},      {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    int c;
    optind = 1;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'c':
            args->config_file = optarg;
            break;
        case 'k':
            args->is_check = true;
            break;
        case 'v':
            args->is_verbose = true;
            break;
        case 'V':
            (void)printf("%s %s\n", name, WEIR_VERSION);
            return DAEMON_EXIT_OK;
        case 'h':
            daemon_usage(stdout, name);
            return DAEMON_EXIT_OK;
        default:
            daemon_usage(stderr, name);
            return DAEMON_EXIT_USAGE;
        }
    }
    if (optind < argc || args->config_file == NULL) {
        daemon_usage(stderr, name);
        return DAEMON_EXIT_USAGE;
    }
    return DAEMON_PARSED;
}

struct daemon {
    const struct daemon_ops *ops;
    const char *file;
    char **argv;
    char program[PATH_MAX]; /* as it was started: an update puts a new one there */
    sigset_t signals;
    void *config;
    void *state; /* NULL: not serving */
};

static int daemon_load(const struct daemon_ops *ops, const char *file, void **ret_config,
                       struct err *err)
{
    void *config = NULL;
    int r = config_load(file, ops->schema, &config, err);
    if (r < 0)
        return r;
    if (ops->check != NULL)
        r = ops->check(config, err);
    if (r < 0) {
        config_free(ops->schema, config);
        return r;
    }
    *ret_config = config;
    return 0;
}

static void daemon_block_signals(sigset_t *set)
{
    (void)sigemptyset(set);
    (void)sigaddset(set, SIGHUP);
    (void)sigaddset(set, SIGTERM);
    (void)sigaddset(set, SIGINT);
    (void)sigaddset(set, SIGUSR2);
    /* Before any thread is made: they all inherit it, and the signals wait for the main thread. */
    (void)pthread_sigmask(SIG_BLOCK, set, NULL);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL); /* cannot fail: a valid signal and handler */
}

/* Half of the watchdog's interval, as sd_watchdog_enabled(3) advises; 0: there is none. */
static uint64_t daemon_watchdog_us(void)
{
    uint64_t usec = 0;
    return sd_watchdog_enabled(0, &usec) > 0 ? usec / 2 : 0;
}

/* The next signal; 0: time to feed the watchdog. */
static int daemon_wait(const sigset_t *set, uint64_t watchdog_us)
{
    for (;;) {
        struct timespec wait = {.tv_sec = (time_t)(watchdog_us / 1000000),
                                .tv_nsec = (long)(watchdog_us % 1000000) * 1000};
        int signal = sigtimedwait(set, NULL, watchdog_us > 0 ? &wait : NULL);
        if (signal > 0)
            return signal;
        if (errno == EAGAIN)
            return 0;
        /* EINTR: stopped and continued, or a debugger. */
    }
}

static void daemon_reload(const struct daemon_ops *ops, const char *file, void *state)
{
    struct err err = {{0}};
    void *fresh = NULL;
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
                     (unsigned long long)clock_mono_us()); /* without systemd nobody listens */
    int r;
    if (ops->reload == NULL) {
        r = err_set(&err, -ENOTSUP, "%s cannot reload", ops->name);
    } else {
        r = daemon_load(ops, file, &fresh, &err);
        if (r == 0)
            r = ops->reload(state, fresh, &err);
    }
    config_free(ops->schema, fresh);
    if (r == 0)
        log_info("reloaded %s", file);
    else
        log_error("not reloaded, the old configuration stays: %s", err.text);
    (void)sd_notify(0, "READY=1");
}

static void daemon_beat(void)
{
    if (daemon_watchdog_us() > 0)
        (void)sd_notify(0, "WATCHDOG=1");
}

/* With what the file says now, or, if that will not do, with what was good before. */
static int daemon_start_again(struct daemon *d, struct err *err)
{
    void *fresh = NULL;
    int r = daemon_load(d->ops, d->file, &fresh, err);
    if (r == 0)
        r = d->ops->start(fresh, err, &d->state);
    if (r == 0) {
        config_free(d->ops->schema, d->config);
        d->config = fresh;
        return 0;
    }
    config_free(d->ops->schema, fresh);
    return d->ops->start(d->config, err, &d->state);
}

/* The new process has not come up after this one had let go of things: it begins anew, with the
 * listening sockets that it has. */
static void daemon_resume(struct daemon *d)
{
    struct err err = {{0}};
    http_inherit_keep(true);
    if (d->state != NULL)
        d->ops->stop(d->state);
    d->state = NULL;
    int r = daemon_start_again(d, &err);
    http_inherit_keep(false);
    http_inherit_discard();
    if (r < 0)
        log_error("serving cannot go on: %s", err.text);
    else
        log_info("serving again");
}

static int daemon_let_go(struct daemon *d, struct err *err)
{
    int r = 0;
    http_inherit_keep(true); /* what waits at servers that end now is the new process's */
    if (d->ops->yield != NULL) {
        r = d->ops->yield(d->state, err);
    } else {
        d->ops->stop(d->state);
        d->state = NULL;
    }
    http_inherit_keep(false);
    return r;
}

/* True: another process is in our place. */
static bool daemon_hand_over(struct daemon *d)
{
    struct takeover t = {.fd = -1};
    struct err err = {{0}};
    bool has_let_go = false;
    log_info("starting %s to take over", d->program);
    int r = takeover_spawn(&t, d->program, d->argv, &err);
    if (r == 0)
        r = takeover_wait(&t, 'c', DAEMON_CHECK_MS, daemon_beat, &d->signals, &err);
    uint64_t begun_ms = clock_mono_ms();
    if (r == 0) {
        r = daemon_let_go(d, &err);
        has_let_go = true;
    }
    if (r == 0) {
        r = takeover_go(&t);
        if (r < 0)
            (void)err_errno(&err, r, "speaking to the new process");
    }
    if (r == 0)
        r = takeover_wait(&t, 'r', DAEMON_START_MS, daemon_beat, &d->signals, &err);
    if (r == 0) {
        log_info("process %d has taken over, %llu ms behind the store", (int)t.pid,
                 (unsigned long long)(clock_mono_ms() - begun_ms));
        (void)sd_notifyf(0, "MAINPID=%d", (int)t.pid);
        (void)base_close(t.fd);
        return true;
    }
    takeover_kill(&t);
    log_error("not taken over: %s", err.text);
    if (has_let_go)
        daemon_resume(d);
    return false;
}

/* True: taken over. */
static bool daemon_serve(struct daemon *d)
{
    uint64_t watchdog_us = daemon_watchdog_us();
    (void)sd_notify(0, "READY=1");
    log_info("%s %s is ready", d->ops->name, WEIR_VERSION);
    while (d->state != NULL) {
        int signal = daemon_wait(&d->signals, watchdog_us);
        if (watchdog_us > 0)
            (void)sd_notify(0, "WATCHDOG=1");
        if (signal == SIGHUP)
            daemon_reload(d->ops, d->file, d->state);
        else if (signal == SIGUSR2 && daemon_hand_over(d))
            return true;
        else if (signal == SIGTERM || signal == SIGINT)
            break;
    }
    (void)sd_notify(0, "STOPPING=1");
    log_info("%s is stopping", d->ops->name);
    return false;
}

/* Whoever starts a daemon seldom knows how many connections it will have. */
static void daemon_raise_limits(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        log_warn("the limit of descriptors could not be raised");
}

static void daemon_find_program(struct daemon *d, const char *name)
{
    ssize_t n = readlink("/proc/self/exe", d->program, sizeof d->program - 1);
    if (n < 0)
        (void)snprintf(d->program, sizeof d->program, "%s", name); /* by the path that was typed */
    else
        d->program[n] = '\0';
}

/* 0, or an error's sentence has been told. */
static int daemon_start(struct daemon *d)
{
    struct err err = {{0}};
    int fd = -1;
    daemon_block_signals(&d->signals);
    int r = takeover_open(&fd, &err);
    if (r == 0)
        r = daemon_load(d->ops, d->file, &d->config, &err);
    if (r == 0) {
        takeover_checked(fd);
        r = d->ops->start(d->config, &err, &d->state);
    }
    if (r < 0) {
        (void)fprintf(stderr, "%s: %s\n", d->ops->name, err.text);
        takeover_failed(fd, &err);
        return r;
    }
    http_inherit_discard();
    takeover_ready(fd);
    return 0;
}

static int daemon_check(const struct daemon_ops *ops, const char *file)
{
    struct err err = {{0}};
    void *config = NULL;
    int r = daemon_load(ops, file, &config, &err);
    config_free(ops->schema, config);
    if (r < 0) {
        (void)fprintf(stderr, "%s: %s\n", ops->name, err.text);
        return DAEMON_EXIT_FAILED;
    }
    (void)printf("%s: %s is valid\n", ops->name, file);
    return DAEMON_EXIT_OK;
}

int daemon_main(int argc, char **argv, const struct daemon_ops *ops)
{
    ASSERT(ops != NULL);
    ASSERT(ops->start != NULL);
    ASSERT(ops->stop != NULL);
    struct daemon_args args = {NULL, false, false};
    int exit_code = daemon_parse(argc, argv, ops->name, &args);
    if (exit_code != DAEMON_PARSED)
        return exit_code;
    log_init(ops->name, args.is_verbose ? LOG_DEBUG : LOG_INFO);
    if (args.is_check)
        return daemon_check(ops, args.config_file);
    daemon_raise_limits();
    struct daemon d = {.ops = ops, .file = args.config_file, .argv = argv};
    daemon_find_program(&d, argv[0]);
    if (daemon_start(&d) < 0) {
        config_free(ops->schema, d.config);
        return DAEMON_EXIT_FAILED;
    }
    bool is_taken_over = daemon_serve(&d);
    if (is_taken_over) /* there is time then: another serves */
        http_server_linger(DAEMON_LINGER_MS);
    exit_code = d.state == NULL && !is_taken_over ? DAEMON_EXIT_FAILED : DAEMON_EXIT_OK;
    if (d.state != NULL)
        ops->stop(d.state);
    config_free(ops->schema, d.config);
    return exit_code;
}
