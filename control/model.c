/* SPDX-License-Identifier: Apache-2.0 */
#include "control/model.h"

static const struct db_collection model_collections[] = {
    [MODEL_USERS] = {"users", {{"email", true}}, 1},
    [MODEL_SESSIONS] = {"sessions", {{"user", false}, {"expires_ms", false}}, 2},
    [MODEL_VIDEOS] = {"videos", {{"created_ms", false}}, 1},
};

const struct db_schema model_schema = {
    .version = 1,
    .collections = model_collections,
    .collections_count = ARRAY_LEN(model_collections),
    .migrate = NULL,
};
