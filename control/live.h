/* SPDX-License-Identifier: Apache-2.0 */
/* live: what the files that the configuration names hold: keys, credential, page. Loaded again
 * while serving.
 *
 * Life:    live_load -> live_ref, live_unref -> the last unref frees.
 * Owner:   shared by references: requests under way keep the one they began with.
 * Threads: read-only once loaded; references count atomically.
 * Errors:  -errno and a sentence in err.
 * Units:   seconds. */
#pragma once
#include <stdatomic.h>
#include "base/secret.h"
#include "control/config.h"
#include "control/plans/edges.h"
#include "control/plans/playback.h"
#include "control/session.h"
#include "control/web.h"
#include "geo/geo.h"

struct live {
    uint32_t magic;
#define LIVE_MAGIC UINT32_C(0x71ce5e77)
    _Atomic uint32_t refs;
    struct token_ring *ring;
    struct web *web;
    struct playback_signer signer;
    struct edges *edges;
    struct geo *geo; /* NULL: no place is known */
    char *issuer;
    char *public_url;      /* NULL: none */
    char *default_plan;    /* NULL: the lowest */
    unsigned stream_limit; /* of users who have no plan of their own; 0: the plan's */
    unsigned leases_fail;  /* enum control_leases_fail */
    char admin_digest[SESSION_DIGEST_SIZE]; /* of the credential */
    char *ingest_url;                       /* NULL: films cannot be uploaded */
    char *ingest_bearer;
    struct outside *outside;   /* mail server and OpenID providers */
    struct secret edge_secret; /* size 0: none, and no edge is let in */
};

MUST_USE int live_load(const struct control_config *config, struct err *err, struct live **ret);
struct live *live_ref(struct live *l);
struct live *live_unref(struct live *l);
DEFINE_CLEAN(struct live *, live_unref)
