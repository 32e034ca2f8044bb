/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void base_assert_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr,
            "{\"level\":\"fatal\",\"msg\":\"assertion "
            "failed\",\"at\":\"%s:%d\",\"expression\":\"%s\"}\n",
            file, line, expression);
    abort();
}

char *base_free(char *p)
{
    free(p);
    return NULL;
}

int base_close(int fd)
{
    if (fd >= 0)
        (void)close(fd); /* nothing written through a scoped fd relies on close() */
    return -1;
}
