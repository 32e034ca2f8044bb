/* SPDX-License-Identifier: Apache-2.0 */
#include "control/model.h"
#include "control/catalog/catalog_upgrade.h"
#include "control/people/migrate.h"

static const struct db_collection model_collections[] = {
    [MODEL_USERS] =
        {
            .name = "users",
            .members =
                "email:s password:s? role:s name:s? created_ms:i verified_ms:i? disabled_ms:i? "
                "otp_pending:s? otp_secret:s? otp_step:i? otp_codes:a?",
            .keys = {{"email", true}, {"created_ms", false}},
            .keys_count = 2,
        },
    [MODEL_SESSIONS] =
        {
            .name = "sessions",
            .members = "user:s device:s address:s family:s refresh:s created_ms:i seen_ms:i "
                       "expires_ms:i profile:s? rating_max:i?",
            .keys = {{"user created_ms", false}, {"expires_ms", false}},
            .keys_count = 2,
        },
    [MODEL_TICKETS] =
        {
            .name = "tickets",
            .members = "kind:s about:s data:o? created_ms:i ends_ms:i",
            .keys = {{"about created_ms", false}, {"ends_ms", false}},
            .keys_count = 2,
        },
    [MODEL_ATTEMPTS] =
        {
            .name = "attempts",
            .members = "count:i until_ms:i ends_ms:i version:i",
            .keys = {{"ends_ms", false}},
            .keys_count = 1,
        },
    [MODEL_PROFILES] =
        {
            .name = "profiles",
            .members = "user:s name:s rating_max:i? pin:s? preferences:o? created_ms:i version:i",
        },
    [MODEL_API_KEYS] =
        {
            .name = "api_keys",
            .members = "user:s name:s secret:s scopes:a created_ms:i expires_ms:i? used_ms:i?",
            .keys = {{"user created_ms", false}},
            .keys_count = 1,
        },
    [MODEL_SIGN_KEYS] =
        {
            .name = "sign_keys",
            .members = "jwk:o created_ms:i ends_ms:i",
            .keys = {{"ends_ms", false}},
            .keys_count = 1,
        },
    [MODEL_AUDIT] =
        {
            .name = "audit",
            .members = "at_ms:i actor_kind:s actor:s operation:s target:s peer:s agent:s "
                       "request:s outcome:s status:i? code:s? event:s? about:s?",
            .keys = {{"at_ms", false}, {"actor at_ms", false}, {"about at_ms", false}},
            .keys_count = 3,
        },
    [MODEL_IDEMPOTENCY] =
        {
            .name = "idempotency",
            .members = "digest:s state:s since_ms:i expires_ms:i status:i? body:s?",
            .keys = {{"expires_ms", false}},
            .keys_count = 1,
        },
    [MODEL_LINKS] =
        {
            .name = "links",
            .members = "user:s provider:s created_ms:i",
            .keys = {{"user created_ms", false}},
            .keys_count = 1,
        },
    CATALOG_MODEL_COLLECTIONS,
    PLANS_MODEL_COLLECTIONS,
};

static int model_migrate(struct db *db, unsigned from, struct err *err)
{
    int r = from == 1 ? people_migrate(db, err) : 0;
    if (r == 0 && from == 1 && (r = catalog_upgrade(db)) < 0)
        (void)err_errno(err, r, "bringing the catalogue to version 2");
    return r;
}

const struct db_schema model_schema = {
    .version = 2,
    .collections = model_collections,
    .collections_count = ARRAY_LEN(model_collections),
    .migrate = model_migrate,
};
