/* SPDX-License-Identifier: Apache-2.0 */
#include "io/io.h"
#include <errno.h>
#include <pthread.h>

static const struct io_ops *io_chosen;
static pthread_once_t io_chosen_once = PTHREAD_ONCE_INIT;

static void io_choose(void)
{
    struct io_queue *q = NULL;
    io_chosen = &io_plain;
    if (io_ring.queue_new(&io_ring, 4, -1, &q) == 0) {
        io_ring.queue_free(q);
        io_chosen = &io_ring;
    }
}

const struct io_ops *io_default(void)
{
    (void)pthread_once(&io_chosen_once, io_choose);
    return io_chosen;
}

int io_queue_new(const struct io_ops *ops, unsigned depth, int event_fd, struct io_queue **ret)
{
    ASSERT(ops != NULL);
    if (depth == 0 || depth > IO_DEPTH_MAX)
        return -EINVAL;
    return ops->queue_new(ops, depth, event_fd, ret);
}

struct io_queue *io_queue_free(struct io_queue *q)
{
    if (q == NULL)
        return NULL;
    ASSERT(q->under_way == 0);
    q->ops->queue_free(q);
    return NULL;
}

void io_submit(struct io_queue *q, struct io_op *op)
{
    ASSERT(q != NULL);
    ASSERT(op->done != NULL);
    ASSERT(op->kind == IO_SYNC || op->data != NULL);
    op->queue = q;
    op->next = NULL;
    op->moved_size = 0;
    op->tries = 0;
    q->under_way++;
    q->ops->submit(q, op);
}

void io_flush(struct io_queue *q)
{
    q->ops->flush(q);
}

void io_reap(struct io_queue *q, bool wait)
{
    q->ops->reap(q, wait && q->under_way > 0);
}

static void io_finish(struct io_op *op, int res)
{
    ASSERT(op->queue->under_way > 0);
    op->queue->under_way--;
    op->done(op, res);
}

static void io_again(struct io_op *op, int gave_up)
{
    op->tries++;
    if (op->tries > IO_TRIES_MAX)
        io_finish(op, gave_up);
    else
        op->queue->ops->submit(op->queue, op);
}

void io_complete(struct io_op *op, int raw)
{
    if (raw == -EAGAIN || raw == -EINTR) {
        io_again(op, -EIO);
        return;
    }
    if (raw < 0 || op->kind == IO_SYNC) {
        io_finish(op, MIN(raw, 0));
        return;
    }
    uint32_t rest = op->size - op->moved_size;
    uint32_t moved = (uint32_t)raw;
    ASSERT(moved <= rest);
    if (moved == rest) {
        op->moved_size = op->size;
        io_finish(op, 0);
        return;
    }
    if (moved == 0) {
        io_finish(op, op->kind == IO_READ ? -ENODATA : -EIO);
        return;
    }
    /* Whole units only, so that the rest suits O_DIRECT too; less than one is taken as it is. */
    op->moved_size += moved >= IO_ALIGN ? moved / IO_ALIGN * IO_ALIGN : moved;
    io_again(op, -EIO);
}

struct io_run_op {
    struct io_op op;
    bool done;
    int res;
};

static void io_run_done(struct io_op *op, int res)
{
    struct io_run_op *run = CONTAINER_OF(op, struct io_run_op, op);
    run->res = res;
    run->done = true;
}

int io_run(struct io_queue *q, enum io_kind kind, int fd, void *data, uint32_t size,
           uint64_t offset)
{
    struct io_run_op run = {.op = {.kind = kind,
                                   .fd = fd,
                                   .data = data,
                                   .size = size,
                                   .offset = offset,
                                   .done = io_run_done}};
    io_submit(q, &run.op);
    io_flush(q);
    while (!run.done)
        io_reap(q, true);
    return run.res;
}
