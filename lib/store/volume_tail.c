/* SPDX-License-Identifier: Apache-2.0 */
/* What a run that died wrote behind a volume's end is not part of the store, but a rebuild, which
 * does not know the end, takes whole records there for acknowledged ones. A ref's move that nobody
 * was told of would come back that way, long after what it names was reclaimed. So it is wiped
 * before anything new is written: the run that died was at its last two groups there, which bounds
 * how far that reaches. */
#include <errno.h>
#include <stdlib.h>
#include "store/volume.h"

#define TAIL_MAX   (UINT64_C(160) << 20) /* a group of 128 MiB behind one of 16: commit_later.c */
#define TAIL_CHUNK (UINT32_C(1) << 20)

static int tail_wipe_chunk(struct io_queue *q, const struct volume *v, uint64_t offset,
                           uint8_t *chunk, uint32_t size, uint8_t *zeroes, bool *ret_any)
{
    int r = io_run(q, IO_READ, v->fd, chunk, size, offset);
    for (uint32_t at = 0; at < size && r == 0; at += FORMAT_ALIGN) {
        if (memcmp(chunk + at, FORMAT_RECORD_TEXT, 4) != 0)
            continue;
        r = io_run(q, IO_WRITE, v->fd, zeroes, FORMAT_ALIGN, offset + at);
        *ret_any = true;
    }
    return r;
}

int volume_wipe_tail(const struct volume *v, struct io_queue *q)
{
    uint64_t offset = v->row.end, end = MIN(v->size, offset + TAIL_MAX);
    uint8_t *chunk = aligned_alloc(FORMAT_ALIGN, TAIL_CHUNK + FORMAT_ALIGN);
    bool any = false;
    int r = 0;
    if (chunk == NULL)
        return -ENOMEM;
    memset(chunk + TAIL_CHUNK, 0, FORMAT_ALIGN);
    while (offset < end && r == 0) {
        uint32_t size = (uint32_t)MIN(TAIL_CHUNK, end - offset);
        r = tail_wipe_chunk(q, v, offset, chunk, size, chunk + TAIL_CHUNK, &any);
        offset += size;
    }
    if (r == 0 && any)
        r = io_run(q, IO_SYNC, v->fd, NULL, 0, 0);
    free(chunk);
    return r == -ENODATA ? 0 : r; /* a file that ends early has no tail */
}
