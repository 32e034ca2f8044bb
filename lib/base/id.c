/* SPDX-License-Identifier: Apache-2.0 */
#include "base/id.h"
#include <errno.h>
#include <sys/random.h>
#include "base/enc.h"

void id_random(void *out, size_t size)
{
    uint8_t *p = out;
    while (size > 0) {
        ssize_t got = getrandom(p, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        ASSERT(got > 0);
        p += got;
        size -= (size_t)got;
    }
}

void id_text(char out[ID_TEXT_SIZE])
{
    uint8_t bytes[ID_SIZE];
    id_random(bytes, sizeof bytes);
    enc_hex(bytes, sizeof bytes, out);
}
