/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_upgrade: entries of a database of version 1 become videos: published, everywhere, for
 * all, as they were.
 *
 * Life:    once, while a database of that version is opened.
 * Owner:   -
 * Threads: one.
 * Errors:  as db.h. Stands being run twice.
 * Units:   - */
#pragma once
#include "db/db.h"

MUST_USE int catalog_upgrade(struct db *db);
