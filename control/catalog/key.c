/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/key.h"
#include <stdio.h>
#include "control/session.h"

void key_join(char out[KEY_SIZE], const char *a, const char *b, const char *c)
{
    char text[4 * KEY_SIZE];
    int size = snprintf(text, sizeof text, c == NULL ? "%s:%s" : "%s:%s:%s", a, b, c);
    ASSERT(size > 0);
    ASSERT((size_t)size < sizeof text); /* each is an id */
    if (size <= DB_ID_SIZE_MAX)
        memcpy(out, text, (size_t)size + 1);
    else
        session_digest((struct str){text, (size_t)size}, out);
}
