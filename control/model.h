/* SPDX-License-Identifier: Apache-2.0 */
/* model: the collections that control keeps, their keys and their version.
 *
 * Life:    static data.
 * Owner:   -
 * Threads: any.
 * Errors:  -
 * Units:   times in milliseconds since 1970, as integers.
 *
 * users      people/accounts.h, people/otp.h
 * sessions   people/logins.h
 * tickets    people/tickets.h
 * attempts   people/attempts.h
 * profiles   people/profiles.h
 * api_keys   people/api_keys.h
 * sign_keys  people/keyring.h
 * links      people/oidc.h
 * audit      api/audit.h
 * idempotency api/idem.h
 * uploads    upload/upload_doc.h
 * The catalogue's are in catalog/catalog_model.h, those of plans in plans/plans_model.h. */
#pragma once
#include "control/catalog/catalog_model.h"
#include "control/plans/plans_model.h"

enum {
    MODEL_USERS,
    MODEL_SESSIONS,
    MODEL_TICKETS,
    MODEL_ATTEMPTS,
    MODEL_PROFILES,
    MODEL_API_KEYS,
    MODEL_SIGN_KEYS,
    MODEL_LINKS,
    MODEL_AUDIT,
    MODEL_IDEMPOTENCY,
    CATALOG_MODEL_ENUM,
    PLANS_MODEL_ENUM,
    MODEL_UPLOADS,
};

extern const struct db_schema model_schema;
