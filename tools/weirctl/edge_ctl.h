/* SPDX-License-Identifier: Apache-2.0 */
/* edge_ctl: what the commands of `weirctl edge` share.
 *
 * Life:    ctl_edge_open -> ctl_edge_get -> ctl_edge_close, also after an error.
 * Owner:   the command.
 * Threads: one.
 * Errors:  0 or -errno with a sentence.
 * Units:   bytes. */
#pragma once
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include "fetch/fetch.h"
#include "weirctl.h"

ctl_command ctl_edge_stat, ctl_edge_top, ctl_edge_hot;

struct ctl_edge_where {
    const char *url; /* of admin_listen; NULL: by the settings */
    const char *state;
};
#define CTL_EDGE_WHERE(w)                                                                          \
    {"--url", &(w).url, NULL},                                                                     \
    {                                                                                              \
        "--state", &(w).state, NULL                                                                \
    }
#define CTL_EDGE_WHERE_USAGE                                                                       \
    "\n--url URL is the edge's admin_listen; without it the edge of --state FOLDER, "              \
    "$WEIR_STATE,\n"                                                                               \
    "./state or /etc/weir is asked.\n"

struct ctl_edge_link {
    struct ctl_settings settings;
    const char *url;
    struct fetch_client *client;
};
MUST_USE int ctl_edge_open(const struct ctl_edge_where *w, struct ctl_edge_link *ret,
                           struct err *err);
void ctl_edge_close(struct ctl_edge_link *l);

/* A JSON object; the caller drops it. */
MUST_USE int ctl_edge_get(struct ctl_edge_link *l, const char *path, json_t **ret, struct err *err);

uint64_t ctl_edge_count(const json_t *object, const char *key); /* 0: none */
double ctl_edge_real(const json_t *object, const char *key);    /* 0: none */

#define CTL_EDGE_RATIO_TEXT 16
#define CTL_EDGE_NAME_TEXT  256
const char *ctl_edge_ratio(const json_t *object, const char *key, char out[CTL_EDGE_RATIO_TEXT]);
const char *ctl_edge_text(const json_t *object, const char *key, char out[CTL_EDGE_NAME_TEXT]);

MUST_USE int ctl_edge_json(json_t *root); /* one line on stdout */

/* The exit code, once all that was said has been written. */
int ctl_edge_said(int r, struct err *err);
