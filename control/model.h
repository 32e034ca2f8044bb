/* SPDX-License-Identifier: Apache-2.0 */
/* model: the collections that control keeps, their keys and their version.
 *
 * Life:    static data.
 * Owner:   -
 * Threads: any.
 * Errors:  -
 * Units:   times in milliseconds since 1970, as integers.
 *
 * users     {"id", "email" (lower case, unique), "password" (bcrypt), "created_ms"}
 * sessions  {"id" (SHA-256 of the token, hex), "user", "created_ms", "expires_ms"}
 * videos    {"id" (the asset), "title", "duration_ms", "height", "audio", "subtitles",
 * "created_ms", "updated_ms"}
 * audit     {"id", "at_ms", "actor_kind", "actor", "operation", "target", "peer", "agent",
 * "request", "outcome", "status", "code"}: api/audit.h
 * idempotency {"id", "digest", "state", "since_ms", "expires_ms", "status", "body"}: api/idem.h
 * The others are in plans/plans_model.h. */
#pragma once
#include "control/plans/plans_model.h"
#include "db/db.h"

enum {
    MODEL_USERS,
    MODEL_SESSIONS,
    MODEL_VIDEOS,
    MODEL_AUDIT,
    MODEL_IDEMPOTENCY,
    PLANS_MODEL_ENUM,
};

extern const struct db_schema model_schema;
