/* SPDX-License-Identifier: Apache-2.0 */
#include "control/model.h"

static const struct db_collection model_collections[] = {
    [MODEL_USERS] = {.name = "users", .keys = {{"email", true}}, .keys_count = 1},
    [MODEL_SESSIONS] = {.name = "sessions",
                        .keys = {{"user", false}, {"expires_ms", false}},
                        .keys_count = 2},
    [MODEL_VIDEOS] = {.name = "videos", .keys = {{"created_ms", false}}, .keys_count = 1},
    PLANS_MODEL_COLLECTIONS,
};

const struct db_schema model_schema = {
    .version = 1,
    .collections = model_collections,
    .collections_count = ARRAY_LEN(model_collections),
    .migrate = NULL,
};
