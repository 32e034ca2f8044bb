/* SPDX-License-Identifier: Apache-2.0 */
#include "control/model.h"

static const struct db_collection model_collections[] = {
    [MODEL_USERS] = {.name = "users", .keys = {{"email", true}}, .keys_count = 1},
    [MODEL_SESSIONS] = {.name = "sessions",
                        .keys = {{"user", false}, {"expires_ms", false}},
                        .keys_count = 2},
    [MODEL_AUDIT] = {.name = "audit",
                     .members = "at_ms:i actor_kind:s actor:s operation:s target:s peer:s agent:s "
                                "request:s outcome:s status:i? code:s?",
                     .keys = {{"at_ms", false}, {"actor at_ms", false}},
                     .keys_count = 2},
    [MODEL_IDEMPOTENCY] = {.name = "idempotency",
                           .members = "digest:s state:s since_ms:i expires_ms:i status:i? body:s?",
                           .keys = {{"expires_ms", false}},
                           .keys_count = 1},
    [MODEL_VIDEOS] = {.name = "videos", .keys = {{"created_ms", false}}, .keys_count = 1},
    PLANS_MODEL_COLLECTIONS,
};

const struct db_schema model_schema = {
    .version = 1,
    .collections = model_collections,
    .collections_count = ARRAY_LEN(model_collections),
    .migrate = NULL,
};
