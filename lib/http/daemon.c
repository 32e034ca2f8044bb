/* SPDX-License-Identifier: Apache-2.0 */
#include "http/daemon.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include "base/clock.h"
#include "base/log.h"

#define DAEMON_WAIT_S 3600 /* between two looks, where no watchdog asks for more */

struct daemon {
    const struct daemon_ops *ops;
    const char *config_path;
    bool check_only;
    bool verbose;
    void *config;
    void *state;
};

static int daemon_usage(const char *name, FILE *out, int code)
{
    (void)fprintf(out, "usage: %s --config FILE [--check] [--verbose]\n       %s --version\n", name,
                  name);
    return code;
}

static int daemon_fail(const struct daemon *d, const struct err *err)
{
    (void)fprintf(stderr, "%s: %s\n", d->ops->name, err->text);
    return 1;
}

/* -1: go on; else the exit code. */
static int daemon_parse(struct daemon *d, int argc, char **argv)
{
    const char *name = d->ops->name;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--version") == 0) {
            printf("%s %s\n", name, WEIR_VERSION);
            return 0;
        }
        if (strcmp(argv[i], "--help") == 0)
            return daemon_usage(name, stdout, 0);
        if (strcmp(argv[i], "--check") == 0)
            d->check_only = true;
        else if (strcmp(argv[i], "--verbose") == 0)
            d->verbose = true;
        else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            d->config_path = argv[++i];
        else
            return daemon_usage(name, stderr, 2);
    }
    return d->config_path == NULL ? daemon_usage(name, stderr, 2) : -1;
}

static int daemon_load(const struct daemon *d, void **ret, struct err *err)
{
    void *config = NULL;
    int r = config_load(d->config_path, d->ops->schema, &config, err);
    if (r == 0 && d->ops->check != NULL)
        r = d->ops->check(config, err);
    if (r < 0) {
        config_free(d->ops->schema, config);
        return r;
    }
    *ret = config;
    return 0;
}

/* The configuration that the state was started with stays in use: daemons keep pointers into it. */
static void daemon_reload(struct daemon *d)
{
    struct err err = {0};
    void *config = NULL;
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_mono_us());
    int r = -ENOTSUP;
    if (d->ops->reload == NULL) {
        (void)err_set(&err, r, "%s reads its configuration at start only", d->ops->name);
    } else {
        r = daemon_load(d, &config, &err);
        if (r == 0)
            r = d->ops->reload(d->state, config, &err);
        config_free(d->ops->schema, config);
    }
    if (r < 0)
        log_error("reload: %s; going on as before", err.text);
    else
        log_info("reloaded");
    (void)sd_notify(0, "READY=1");
}

/* Serves until SIGTERM or SIGINT. */
static void daemon_serve(struct daemon *d, const sigset_t *signals)
{
    uint64_t watchdog_us = 0;
    struct timespec wait = {DAEMON_WAIT_S, 0};
    if (sd_watchdog_enabled(0, &watchdog_us) > 0) {
        uint64_t half_us = MAX(watchdog_us / 2, UINT64_C(1000));
        wait = (struct timespec){(time_t)(half_us / 1000000), (long)(half_us % 1000000 * 1000)};
    }
    (void)sd_notify(0, "READY=1");
    for (;;) {
        int number = sigtimedwait(signals, NULL, &wait);
        if (watchdog_us > 0)
            (void)sd_notify(0, "WATCHDOG=1");
        if (number == SIGHUP)
            daemon_reload(d);
        if (number == SIGTERM || number == SIGINT)
            break;
    }
    (void)sd_notify(0, "STOPPING=1");
    log_info("stopping");
}

int daemon_main(int argc, char **argv, const struct daemon_ops *ops)
{
    struct daemon d = {.ops = ops};
    struct err err = {0};
    int code = daemon_parse(&d, argc, argv);
    if (code >= 0)
        return code;
    log_init(ops->name, d.verbose ? LOG_DEBUG : LOG_INFO);
    /* Before any thread is made, so that all of them leave these signals to this one. */
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGHUP);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    if (daemon_load(&d, &d.config, &err) < 0)
        return daemon_fail(&d, &err);
    if (d.check_only) {
        printf("%s: %s is good\n", ops->name, d.config_path);
    } else if (ops->start(d.config, &err, &d.state) < 0) {
        code = daemon_fail(&d, &err);
    } else {
        daemon_serve(&d, &signals);
        ops->stop(d.state);
        log_info("stopped");
    }
    config_free(ops->schema, d.config);
    return MAX(code, 0);
}
