/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, int code, const char *format, ...)
{
    ASSERT(code < 0);
    if (e == NULL)
        return code;
    va_list list;
    va_start(list, format);
    (void)vsnprintf(e->text, sizeof e->text, format, list); /* a longer sentence is cut */
    va_end(list);
    return code;
}

int err_errno(struct err *e, int code, const char *format, ...)
{
    ASSERT(code < 0);
    if (e == NULL)
        return code;
    va_list list;
    va_start(list, format);
    int used = vsnprintf(e->text, sizeof e->text, format, list);
    va_end(list);
    char reason[96];
    const char *said = strerror_r(-code, reason, sizeof reason);
    if (used >= 0 && (size_t)used < sizeof e->text)
        (void)snprintf(e->text + used, sizeof e->text - (size_t)used, ": %s", said);
    return code;
}
