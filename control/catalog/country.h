/* SPDX-License-Identifier: Apache-2.0 */
/* country: countries by their two letters, and where a video may be seen.
 *
 * Life:    static data.
 * Owner:   -
 * Threads: any.
 * Errors:  -EINVAL: not a list of countries.
 * Units:   -
 * Source:  ISO 3166-1 alpha-2, officially assigned codes.
 *
 * Where a video may be seen is stored as the list of countries in which it may, because databases
 * can look for what a list has, but not for what it lacks. "*" in it is everywhere. "?" is a viewer
 * whose country nobody knows: such a one is in no list, so they fail one of allowed countries and
 * pass one of denied ones, as in plans/entitle.h. */
#pragma once
#include <jansson.h>
#include "base/str.h"

#define COUNTRY_ANY     "*"
#define COUNTRY_UNKNOWN "?"

bool country_is(struct str code); /* two capital letters that are one */

/* allow and deny: arrays of codes, or NULL. Everywhere, or where allowed, but for what is denied.
 * *ret is a sorted array of codes. */
MUST_USE int country_where(const json_t *allow, const json_t *deny, json_t **ret);

/* country: "" unknown. */
bool country_has(const json_t *where, const char *country);
