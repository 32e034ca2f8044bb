/* SPDX-License-Identifier: Apache-2.0 */
/* weirctl: the operator's tool. One file a command; this header is what they share.
 *
 * Life:    main picks a command by its name; a command parses its own arguments and returns the
 * exit code. Owner:   - Threads: one. Errors:  exit 0 done, 1 failed (one sentence on stderr), 2
 * wrong usage. Units:   - */
#pragma once
#include "base/err.h"
#include "base/secret.h"

typedef int ctl_command(int argc, char **argv);
ctl_command ctl_edge_warm, ctl_db, ctl_plan, ctl_session, ctl_user, ctl_key, ctl_history;
ctl_command ctl_publish, ctl_assets, ctl_remove, ctl_sign, ctl_init, ctl_dev, ctl_store, ctl_purge;
ctl_command ctl_publish, ctl_assets, ctl_remove, ctl_sign, ctl_init, ctl_dev, ctl_edge, ctl_store;

/* Prints "weirctl: sentence" and returns 1. */
int ctl_fail(const struct err *err);

/* -EINVAL with a sentence. */
MUST_USE int ctl_asset_check(const char *asset, struct err *err);

/* --- options: "--name value", "--name=value", and bare words ------------------------------------
 */

struct ctl_option {
    const char *name;   /* "--asset" */
    const char **value; /* set when given; NULL for a flag */
    bool *flag;
};

/* Bare words go to words (at most words_max); *ret_words counts them. Returns 0, or 2 after saying
 * what is wrong, or 3 after printing the usage (--help, -h). */
MUST_USE int ctl_parse(int argc, char **argv, const char *usage, const struct ctl_option *options,
                       size_t options_count, const char **words, size_t words_max,
                       size_t *ret_words);

/* --- where things are: STATE/weirctl.json or /etc/weir/weirctl.json -----------------------------
 */

struct ctl_settings {
    char *ingest_url, *origin_url, *edge_url, *control_url;
    char *edge_admin_url, *control_admin_url; /* health and metrics */
    char *publish_credential_file, *admin_credential_file, *token_ring_file, *ca_file;
    struct secret publish; /* loaded */
};

/* What a command needs of them; the rest may be missing. */
enum {
    CTL_INGEST = 1,
    CTL_ORIGIN = 2,
    CTL_EDGE = 4,
    CTL_CONTROL = 8,
    CTL_EDGE_ADMIN = 16,
    CTL_PUBLISH = 32,
    CTL_ADMIN = 64,
    CTL_RING = 128,
    CTL_CONTROL_ADMIN = 256,
    CTL_ALL = 511,
};

/* state: a folder of `weirctl dev`, or NULL: $WEIR_STATE, ./state, /etc/weir in this order. */
MUST_USE int ctl_settings_load(const char *state, unsigned needs, struct ctl_settings *ret,
                               struct err *err);
void ctl_settings_clear(struct ctl_settings *s);

/* --- a state folder of a development host -------------------------------------------------------
 */

struct ctl_ports {
    uint16_t control, edge, origin, ingest, edge_admin, control_admin;
};

/* Makes what is absent: folders, certificates, secrets, configurations. With free_ports, ports that
 * are free now instead of the usual ones. What is there stays as it is. */
MUST_USE int ctl_state_make(const char *state, const char *program, bool free_ports,
                            struct err *err);

/* ca.pem, cert.pem, key.pem in folder: a private CA and a P-256 certificate for this host's names;
 * made again when it ends within a week. */
MUST_USE int ctl_cert_make(const char *folder, struct err *err);
