/* SPDX-License-Identifier: Apache-2.0 */
#include "http/daemon.h"
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include "base/clock.h"
#include "base/log.h"

enum { DAEMON_EXIT_OK = 0, DAEMON_EXIT_FAILED = 1, DAEMON_EXIT_USAGE = 2 };
#define DAEMON_PARSED (-1) /* daemon_parse: no exit code, go on */

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

static void daemon_serve(const struct daemon_ops *ops, const char *file, const sigset_t *signals,
                         void *state)
{
    uint64_t watchdog_us = daemon_watchdog_us();
    (void)sd_notify(0, "READY=1");
    log_info("%s %s is ready", ops->name, WEIR_VERSION);
    for (;;) {
        int signal = daemon_wait(signals, watchdog_us);
        if (watchdog_us > 0)
            (void)sd_notify(0, "WATCHDOG=1");
        if (signal == SIGHUP)
            daemon_reload(ops, file, state);
        else if (signal != 0)
            break;
    }
    (void)sd_notify(0, "STOPPING=1");
    log_info("%s is stopping", ops->name);
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
    struct err err = {{0}};
    void *config = NULL;
    void *state = NULL;
    int r = daemon_load(ops, args.config_file, &config, &err);
    if (r == 0 && args.is_check) {
        (void)printf("%s: %s is valid\n", ops->name, args.config_file);
        config_free(ops->schema, config);
        return DAEMON_EXIT_OK;
    }
    sigset_t signals;
    if (r == 0) {
        daemon_block_signals(&signals);
        r = ops->start(config, &err, &state);
    }
    if (r < 0) {
        (void)fprintf(stderr, "%s: %s\n", ops->name, err.text);
        config_free(ops->schema, config);
        return DAEMON_EXIT_FAILED;
    }
    daemon_serve(ops, args.config_file, &signals, state);
    ops->stop(state);
    config_free(ops->schema, config);
    return DAEMON_EXIT_OK;
}
