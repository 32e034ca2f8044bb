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
 * The catalogue's are in catalog/catalog_model.h. */
#pragma once
#include "control/catalog/catalog_model.h"

enum { MODEL_USERS, MODEL_SESSIONS, CATALOG_MODEL_ENUM };

extern const struct db_schema model_schema;
