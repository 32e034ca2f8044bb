/* SPDX-License-Identifier: Apache-2.0 */
/* A volume from its first byte to its last, in large pieces of which several are being read while
 * one is looked at. A piece that cannot be read is asked for again in the small parts that are
 * wanted of it, so that a bad sector costs no more than what it hits. */
#include <errno.h>
#include <stdlib.h>
#include "store/store_rebuild_priv.h"

#define READ_PIECE   (UINT32_C(2) << 20)
#define READ_PIECES  8u /* in memory at once */
#define READ_SCRATCH (REBUILD_VIEW_MAX + 2 * FORMAT_ALIGN)

struct rebuild_piece {
    struct io_op io;
    bool reading;
    int res;
};

struct rebuild_reader {
    uint32_t magic;
#define REBUILD_READER_MAGIC UINT32_C(0x4eb01d7e)
    struct io_queue *queue;
    int fd;
    uint64_t end;         /* of what is to be read; a multiple of FORMAT_ALIGN */
    uint64_t first, next; /* numbers of pieces: the first that is still wanted, the next to ask for;
                             piece n is in place n % READ_PIECES */
    struct rebuild_piece pieces[READ_PIECES];
    struct rbuf *memory; /* of the pieces */
    uint8_t *bytes;      /* the same */
    uint8_t *scratch;    /* for a view that is in several, and behind that: */
    uint8_t *again;      /* for what is read again */
};

int rebuild_reader_new(struct io_queue *q, struct rebuild_reader **ret)
{
    struct rebuild_reader *r = calloc(1, sizeof *r);
    uint32_t cap_size;
    if (r == NULL)
        return -ENOMEM;
    r->magic = REBUILD_READER_MAGIC;
    r->queue = q;
    r->scratch = aligned_alloc(FORMAT_ALIGN, 2 * (size_t)READ_SCRATCH);
    if (r->scratch == NULL || rbuf_new(READ_PIECES * READ_PIECE, &r->memory) < 0) {
        rebuild_reader_free(r);
        return -ENOMEM;
    }
    r->bytes = rbuf_space(r->memory, &cap_size);
    r->again = r->scratch + READ_SCRATCH;
    *ret = r;
    return 0;
}

static void read_wait(struct rebuild_reader *r, uint64_t piece)
{
    while (r->pieces[piece % READ_PIECES].reading)
        io_reap(r->queue, true);
}

/* Lets go of all pieces before this one. */
static void read_advance(struct rebuild_reader *r, uint64_t piece)
{
    for (; r->first < MIN(piece, r->next); r->first++)
        read_wait(r, r->first);
    r->first = MAX(r->first, piece);
    r->next = MAX(r->next, r->first);
}

void rebuild_reader_begin(struct rebuild_reader *r, int fd, uint64_t offset, uint64_t end)
{
    ASSERT(r->magic == REBUILD_READER_MAGIC);
    rebuild_reader_end(r);
    r->fd = fd;
    r->end = end / FORMAT_ALIGN * FORMAT_ALIGN;
    r->first = r->next = offset / READ_PIECE;
}

void rebuild_reader_end(struct rebuild_reader *r)
{
    for (; r->first < r->next; r->first++)
        read_wait(r, r->first);
}

struct rebuild_reader *rebuild_reader_free(struct rebuild_reader *r)
{
    if (r == NULL)
        return NULL;
    ASSERT(r->magic == REBUILD_READER_MAGIC);
    rebuild_reader_end(r);
    rbuf_unref(r->memory);
    free(r->scratch);
    MAGIC_CLEAR(r);
    free(r);
    return NULL;
}

static void read_done(struct io_op *io, int res)
{
    struct rebuild_piece *p = CONTAINER_OF(io, struct rebuild_piece, io);
    p->res = res;
    p->reading = false;
}

/* As many as there is memory for. */
static void read_ahead(struct rebuild_reader *r)
{
    bool any = false;
    for (; r->next < r->first + READ_PIECES && r->next * READ_PIECE < r->end; r->next++) {
        struct rebuild_piece *p = &r->pieces[r->next % READ_PIECES];
        uint64_t offset = r->next * READ_PIECE;
        *p = (struct rebuild_piece){
            .reading = true,
            .io = {.kind = IO_READ,
                   .fd = r->fd,
                   .data = r->bytes + (size_t)(r->next % READ_PIECES) * READ_PIECE,
                   .size = (uint32_t)MIN(READ_PIECE, r->end - offset),
                   .offset = offset,
                   .done = read_done}};
        io_submit(r->queue, &p->io);
        any = true;
    }
    if (any)
        io_flush(r->queue);
}

static int read_again(struct rebuild_reader *r, uint64_t offset, uint32_t size, uint8_t *out)
{
    uint64_t from = offset / FORMAT_ALIGN * FORMAT_ALIGN;
    uint64_t to = (offset + size + FORMAT_ALIGN - 1) / FORMAT_ALIGN * FORMAT_ALIGN;
    ASSERT(to - from <= READ_SCRATCH);
    int e = io_run(r->queue, IO_READ, r->fd, r->again, (uint32_t)(to - from), from);
    if (e == 0)
        memcpy(out, r->again + (offset - from), size);
    return e;
}

/* What is in several pieces, or in one that could not be read, is put together. */
static int read_gather(struct rebuild_reader *r, uint64_t offset, uint32_t size)
{
    uint32_t done = 0;
    while (done < size) {
        uint64_t at = offset + done, piece = at / READ_PIECE;
        uint32_t in_piece = (uint32_t)(at % READ_PIECE);
        uint32_t part = MIN(size - done, READ_PIECE - in_piece);
        size_t place = (size_t)(piece % READ_PIECES) * READ_PIECE;
        if (r->pieces[piece % READ_PIECES].res == 0) {
            memcpy(r->scratch + done, r->bytes + place + in_piece, part);
        } else {
            int e = read_again(r, at, part, r->scratch + done);
            if (e < 0)
                return e;
        }
        done += part;
    }
    return 0;
}

int rebuild_view(struct rebuild_reader *r, uint64_t offset, uint32_t size, const uint8_t **ret)
{
    ASSERT(size > 0);
    ASSERT(size <= REBUILD_VIEW_MAX);
    ASSERT(offset / READ_PIECE >= r->first);
    if (offset > r->end || size > r->end - offset)
        return -ENODATA;
    uint64_t piece = offset / READ_PIECE, last = (offset + size - 1) / READ_PIECE;
    read_advance(r, piece);
    read_ahead(r);
    read_wait(r, piece);
    read_wait(r, last);
    if (piece == last && r->pieces[piece % READ_PIECES].res == 0) {
        *ret = r->bytes + (size_t)(piece % READ_PIECES) * READ_PIECE + offset % READ_PIECE;
        return 0;
    }
    int e = read_gather(r, offset, size);
    if (e == 0)
        *ret = r->scratch;
    return e;
}
