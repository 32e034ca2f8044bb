/* SPDX-License-Identifier: Apache-2.0 */
/* config: the YAML file of weir-control (docs/config-control.md), and what is loaded from the files
 * it names and may be loaded again while serving.
 *
 * Life:    config_load with control_schema -> control_config_check; live_load -> live_ref/live_unref.
 * Owner:   a live is shared by references: requests under way keep the one they began with.
 * Threads: a live is read-only once loaded; its references count atomically.
 * Errors:  -errno and a sentence in err.
 * Units:   seconds. */
#pragma once
#include <stdatomic.h>
#include "base/config.h"
#include "control/playback.h"
#include "control/session.h"
#include "control/web.h"

#define CONTROL_TOKEN_LIFETIME_S     (6 * 3600)
#define CONTROL_TOKEN_LIFETIME_S_MIN 60
#define CONTROL_TOKEN_LIFETIME_S_MAX (7 * 24 * 3600)

struct control_listen {
    char *address;
    uint16_t port;
    char *cert_file;
    char *key_file;
};

struct control_config {
    struct control_listen listen;
    struct control_listen admin_listen;
    char *db;
    char *token_ring_file;
    char *edge_url;
    char *public_url;
    char *admin_credential_file;
    char *web_folder;
    char *issuer;
    uint32_t token_lifetime_s; /* 0: CONTROL_TOKEN_LIFETIME_S */
    uint32_t workers;          /* 0: one per core */
    bool access_log;
};

extern const cyaml_schema_value_t control_schema;

/* For daemon_ops.check: addresses and numbers, and that every file can be loaded. */
MUST_USE int control_config_check(const void *config, struct err *err);

struct live {
    uint32_t magic;
#define LIVE_MAGIC UINT32_C(0x71ce5e77)
    _Atomic uint32_t refs;
    struct token_ring *ring;
    struct web *web;
    struct playback_signer signer;
    char *edge_url; /* without a slash at the end */
    char *issuer;
    char *public_url;                        /* NULL: none */
    char admin_digest[SESSION_DIGEST_SIZE]; /* of the credential */
};

MUST_USE int live_load(const struct control_config *config, struct err *err, struct live **ret);
struct live *live_ref(struct live *l);
struct live *live_unref(struct live *l);
DEFINE_CLEAN(struct live *, live_unref)
