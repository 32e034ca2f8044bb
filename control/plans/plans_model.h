/* SPDX-License-Identifier: Apache-2.0 */
/* plans_model: the collections of plans, rights, leases and broadcasts, for model.h and model.c.
 *
 * Life:    static data.
 * Owner:   -
 * Threads: any.
 * Errors:  -
 * Units:   times in milliseconds since 1970.
 *
 * plans       one document, plans.h
 * rights      what a user has paid for, id: the user; rights.h
 * leases      while Redis is away, id: the user; lease_doc.h
 * broadcasts  live streams, broadcast.h */
#pragma once
#include "control/plans/lease_db.h"
#include "db/db.h"

#define PLANS_MODEL_ENUM MODEL_PLANS, MODEL_RIGHTS, MODEL_LEASES, MODEL_BROADCASTS

/* clang-format off */
#define PLANS_MODEL_COLLECTIONS                                                                    \
    [MODEL_PLANS] = {.name = "plans", .members = "rev:i plans:a"},                                 \
    [MODEL_RIGHTS] = {                                                                             \
        .name = "rights",                                                                          \
        .members = "rev:i plan:s? plan_until_ms:i? stream_limit:i? grants:a? updated_ms:i",        \
    },                                                                                             \
    [MODEL_LEASES] = {                                                                             \
        .name = "leases",                                                                          \
        .members = LEASE_DB_MEMBERS,                                                               \
        .keys = {{"until_ms", false}, {"crowd", false}},                                           \
        .keys_count = 2,                                                                           \
    },                                                                                             \
    [MODEL_BROADCASTS] = {                                                                         \
        .name = "broadcasts",                                                                      \
        .members = "rev:i owner:s title:s asset:s key:s state:s tier:s? created_ms:i "             \
                   "live_ms:i? seen_ms:i? ended_ms:i? encoder:s?",                \
        .keys = {{"key", true}, {"owner created_ms", false}, {"state created_ms", false}},         \
        .keys_count = 3,                                                                           \
    }
/* clang-format on */
