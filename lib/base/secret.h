/* SPDX-License-Identifier: Apache-2.0 */
/* secret: a credential from a file, compared without telling how much of a guess was right.
 *
 * Life:    = {0} -> secret_load -> secret_matches* -> secret_clear.
 * Owner:   the caller's struct.
 * Threads: read-only once loaded: any.
 * Errors:  err names the file; -EINVAL when the secret is shorter than SECRET_SIZE_MIN.
 * Units:   bytes. */
#pragma once
#include "base/err.h"
#include "base/str.h"

#define SECRET_SIZE_MIN 16
#define SECRET_SIZE_MAX 256

struct secret {
    size_t size; /* 0: none loaded; matches nothing */
    char text[SECRET_SIZE_MAX + 1];
};

MUST_USE int secret_load(const char *path, struct secret *ret, struct err *err);
bool secret_matches(const struct secret *s, struct str guess);
void secret_clear(struct secret *s);
