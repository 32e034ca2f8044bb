/* SPDX-License-Identifier: Apache-2.0 */
/* key: ids made of other ids, such as "VIDEO:USER": so that one user has one of them.
 *
 * Life:    calls.
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  none: a text that is too long for an id becomes its SHA-256, which has no colon.
 * Units:   bytes. */
#pragma once
#include "db/db.h"

#define KEY_SIZE (DB_ID_SIZE_MAX + 1)

void key_join(char out[KEY_SIZE], const char *a, const char *b, const char *c); /* c: NULL none */
