/* SPDX-License-Identifier: Apache-2.0 */
/* catalog: what there is to watch: one entry an asset.
 *
 * Life:    catalog_put (made or changed) -> catalog_get, catalog_list -> catalog_delete.
 * Owner:   documents answered are the caller's (json_decref).
 * Threads: any; every call blocks on the database.
 * Errors:  as db.h.
 * Units:   milliseconds since 1970. */
#pragma once
#include "base/str.h"
#include "db/db.h"

#define CATALOG_PAGE_DEFAULT 100
#define CATALOG_PAGE_MAX     500

/* video: NewAsset of api/openapi/catalogue.yaml. *ret: the stored document. Keeps the time it was
 * first made. */
MUST_USE int catalog_put(struct db *db, const char *asset, const json_t *video, int64_t now_ms,
                         json_t **ret);
MUST_USE int catalog_get(struct db *db, const char *asset, json_t **ret);
MUST_USE int catalog_delete(struct db *db, const char *asset);

/* Newest first. -EINVAL: not a cursor. */
MUST_USE int catalog_list(struct db *db, unsigned limit, const char *cursor, json_t **ret,
                          char **ret_cursor);

/* What the API shows of a document; NULL when out of memory. */
json_t *catalog_public(const json_t *doc);
