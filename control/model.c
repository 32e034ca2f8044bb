/* SPDX-License-Identifier: Apache-2.0 */
#include "control/model.h"
#include <errno.h>
#include "control/catalog/catalog_upgrade.h"

static const struct db_collection model_collections[] = {
    [MODEL_USERS] = {.name = "users", .keys = {{"email", true}}, .keys_count = 1},
    [MODEL_SESSIONS] = {.name = "sessions",
                        .keys = {{"user", false}, {"expires_ms", false}},
                        .keys_count = 2},
    CATALOG_MODEL_COLLECTIONS,
};

/* 2: the catalogue became more than a list of assets. */
static int model_migrate(struct db *db, unsigned from, struct err *err)
{
    int r = from == 1 ? catalog_upgrade(db) : -EINVAL;
    return r < 0 ? err_errno(err, r, "bringing version %u of the database up to date", from) : 0;
}

const struct db_schema model_schema = {
    .version = 2,
    .collections = model_collections,
    .collections_count = ARRAY_LEN(model_collections),
    .migrate = model_migrate,
};
