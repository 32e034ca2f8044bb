/* SPDX-License-Identifier: Apache-2.0 */
/* db_cursor: a place in a list as text: base64url of a JSON array. It is no secret and not signed:
 * whoever has it may read and write it, so whatever comes back is checked as a stranger's.
 *
 * Life:    none.
 * Owner:   as said at each call.
 * Threads: any.
 * Errors:  -EINVAL not a cursor; -ENOMEM.
 * Units:   bytes. */
#pragma once
#include <jansson.h>
#include "base/base.h"

MUST_USE int db_cursor_pack(json_t *cursor, char **ret); /* takes cursor, NULL too: -ENOMEM */
MUST_USE int db_cursor_unpack(const char *cursor, json_t **ret); /* *ret is an array */
