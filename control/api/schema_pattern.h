/* SPDX-License-Identifier: Apache-2.0 */
/* schema_pattern: a part of regular expressions that can be decided in one pass over the text, so
 * that no text of a stranger's takes long: ^ITEM...$, where an item is a character, \c, a class
 * [...] or [^...], each with one of ? * + {m} {m,} {m,n} behind it or none. An item of variable
 * length may have no character in common with what can follow it.
 *
 * Life:    schema_pattern_new -> schema_pattern_fits* -> schema_pattern_free.
 * Owner:   whoever made it.
 * Threads: fits: any, at once.
 * Errors:  -EINVAL (not of that part) and a sentence, -ENOMEM.
 * Units:   characters; classes have ASCII only, and [^...] takes every other character.
 * Source:  ECMA-262 section 22.2, as JSON Schema names it for "pattern". */
#pragma once
#include "base/err.h"
#include "base/str.h"

#define SCHEMA_PATTERN_ITEMS_MAX 32

struct schema_pattern;

MUST_USE int schema_pattern_new(const char *text, struct err *err, struct schema_pattern **ret);
struct schema_pattern *schema_pattern_free(struct schema_pattern *p);
bool schema_pattern_fits(const struct schema_pattern *p, struct str text);
