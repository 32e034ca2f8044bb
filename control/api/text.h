/* SPDX-License-Identifier: Apache-2.0 */
/* text: what a stranger sent as text: is it UTF-8, is it JSON that may be read? Pure functions.
 *
 * Life:    calls.
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  -EPROTO with the fault filled.
 * Units:   bytes; levels of nesting.
 * Source:  RFC 3629 (UTF-8), RFC 8259 (JSON). */
#pragma once
#include <jansson.h>
#include "base/str.h"
#include "control/fault.h"

#define TEXT_JSON_DEPTH_MAX 32

/* Well-formed UTF-8 without U+0000. */
bool text_is_utf8(struct str s);

/* One JSON value, strictly: no member twice, no U+0000, not deeper than TEXT_JSON_DEPTH_MAX.
 * 413 BODY_TOO_LARGE, 400 JSON_INVALID. Caller decrefs. */
MUST_USE int text_read_json(struct str body, size_t size_max, json_t **ret, struct fault *fault);
