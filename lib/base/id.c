/* SPDX-License-Identifier: Apache-2.0 */
#include "base/id.h"
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include "base/enc.h"

#define ID_STOCK 512u

/* Every request has an id, and a system call for each would be a twentieth of a small answer's
 * cost: so each thread fetches some at a time. What is given out is wiped here. No process of ours
 * goes on after a fork without an exec, so no two give out the same. */
static _Thread_local struct {
    uint8_t bytes[ID_STOCK];
    size_t left;
} id_stock;

static void id_fetch(void *out, size_t size)
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

void id_random(void *out, size_t size)
{
    if (size > ID_STOCK / 8) {
        id_fetch(out, size);
        return;
    }
    if (id_stock.left < size) {
        id_fetch(id_stock.bytes, ID_STOCK);
        id_stock.left = ID_STOCK;
    }
    id_stock.left -= size;
    memcpy(out, id_stock.bytes + id_stock.left, size);
    explicit_bzero(id_stock.bytes + id_stock.left, size);
}

void id_text(char out[ID_TEXT_SIZE])
{
    uint8_t bytes[ID_SIZE];
    id_random(bytes, sizeof bytes);
    enc_hex(bytes, sizeof bytes, out);
}
