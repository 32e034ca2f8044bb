/* SPDX-License-Identifier: Apache-2.0 */
/* err: one sentence for a person, beside the -errno for the program.
 *
 * Life:    = {0} -> err_set by the first that fails -> shown or logged.
 * Owner:   the caller's stack.
 * Threads: one at a time.
 * Errors:  err_set returns the code it is given, so: return err_set(e, -EINVAL, "...").
 * Units:   none. The text has no newline and no full stop. */
#pragma once
#include "base/base.h"

struct err {
    char text[512];
};

/* e may be NULL: then only the code goes on. Replaces an earlier text. */
int err_set(struct err *e, int code, const char *format, ...) PRINTF_LIKE(3, 4);

/* "reading FILE: No such file or directory": what was tried, and the errno's own text. */
int err_errno(struct err *e, int code, const char *format, ...) PRINTF_LIKE(3, 4);
