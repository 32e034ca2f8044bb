/* SPDX-License-Identifier: Apache-2.0 */
#include "control/fault.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include "base/err.h"
#include "base/log.h"

int fault_set(struct fault *f, unsigned status, const char *code, const char *format, ...)
{
    va_list list;
    f->status = status;
    f->code = code;
    f->field[0] = '\0';
    va_start(list, format);
    (void)vsnprintf(f->message, sizeof f->message, format, list); /* a longer text is cut */
    va_end(list);
    return -EPROTO;
}

void fault_of_errno(struct fault *f, int r, const char *what)
{
    struct err err;
    ASSERT(r < 0);
    if (r == -EPROTO && f->status != 0)
        return;
    (void)err_errno(&err, r, "%s", what);
    log_error("%s", err.text);
    if (r == -EBUSY || r == -EAGAIN)
        (void)fault_set(f, 503, "BUSY", "the service is busy, try again in a moment");
    else if (r == -ENOSPC)
        (void)fault_set(f, 507, "STORAGE_FULL", "the service has no room left");
    else
        (void)fault_set(f, 500, "INTERNAL", "something went wrong here, not with your request");
}
