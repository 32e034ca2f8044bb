/* SPDX-License-Identifier: Apache-2.0 */
/* valid: is what a stranger sent of the form that the API asks for? Pure functions.
 *
 * Life:    calls.
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  -EPROTO with the fault filled; results untouched then.
 * Units:   bytes, or characters where said.
 * Source:  RFC 5321 section 4.5.3.1 and RFC 5322 section 3.2.3 (addresses; no quoted local parts).
 */
#pragma once
#include <jansson.h>
#include "base/str.h"
#include "control/fault.h"

#define VALID_EMAIL_SIZE   255 /* 254 bytes and a zero */
#define VALID_PASSWORD_MIN 8   /* characters */
#define VALID_PASSWORD_MAX 72  /* bytes: bcrypt reads no more */
#define VALID_ASSET_SIZE   129 /* 128 bytes and a zero */

/* The address in lower case. 422 EMAIL_INVALID. */
MUST_USE int valid_email(struct str text, char out[VALID_EMAIL_SIZE], struct fault *fault);

/* 422 PASSWORD_TOO_SHORT or PASSWORD_TOO_LONG. */
MUST_USE int valid_password(struct str text, struct fault *fault);

/* docs/api.md: 1-128 characters of [A-Za-z0-9._-], not starting with a dot. */
bool valid_is_asset(struct str text);

/* A member that is a string; borrowed. 422 BODY_INVALID. */
MUST_USE int valid_string(const json_t *object, const char *name, struct str *ret,
                          struct fault *fault);

/* The same where the member may be absent (STR_NONE): at most 256 bytes, no control characters. */
MUST_USE int valid_label(const json_t *object, const char *name, struct str *ret,
                         struct fault *fault);

/* Whether a browser's Origin is the page's own: scheme and authority of this request, or of
 * public_url (may be NULL), without regard to case. */
bool valid_is_origin(struct str origin, struct str scheme, struct str authority,
                     struct str public_url);

/* "application/json", with or without parameters. */
bool valid_is_json_type(struct str content_type);

/* The value of a cookie in a Cookie header; STR_NONE when absent. The first of that name counts. */
struct str valid_cookie(struct str header, struct str name);

/* The characters of UTF-8 text. */
size_t valid_length(struct str text);
