/* SPDX-License-Identifier: Apache-2.0 */
/* daemon: what every Weir daemon's main does: arguments, configuration, signals, readiness.
 *
 * Life:    return daemon_main(argc, argv, &ops) from main.
 * Owner:   -
 * Threads: ops are called on the main thread; serving happens on the workers.
 * Errors:  exit code 0 ended as asked, 1 could not start or run (one sentence on stderr), 2 usage.
 * Units:   - */
#pragma once
#include "base/config.h"

struct daemon_ops {
    const char *name; /* "weir-edge" */
    const cyaml_schema_value_t *schema;
    /* Checks what the schema cannot say; also all that --check does. */
    int (*check)(const void *config, struct err *err);
    /* Serves when it returns 0; *ret_state is handed to the others. config lives until
     * behind stop. */
    int (*start)(const void *config, struct err *err, void **ret_state);
    /* SIGHUP, with the file read anew and checked; NULL: not supported. config is lent for the
     * call: take what changes. After an error the daemon goes on as it was. */
    int (*reload)(void *state, const void *config, struct err *err);
    void (*stop)(void *state); /* SIGTERM, SIGINT: drains */
    /* SIGUSR2: a new process is about to start in this one's place. Lets go of what only one
     * process may hold (a store), and goes on serving what it can without. NULL: there is no such
     * way; the daemon is stopped before the new one starts, and connections wait meanwhile. */
    int (*yield)(void *state, struct err *err);
};

/* SIGUSR2 starts the program anew, from where it was started; the new process takes over the
 * listening sockets, and this one ends once its clients have their answers. If the new one cannot
 * start, this one serves on. See docs/operations.md.
 *
 * NAME --config FILE [--check] [--verbose] | --version | --help. Tells systemd READY, RELOADING and
 * STOPPING (sd_notify) and feeds its watchdog when one is set. */
int daemon_main(int argc, char **argv, const struct daemon_ops *ops);
