/* SPDX-License-Identifier: Apache-2.0 */
/* The io_uring backend: one ring a queue, at most `depth` ops in the kernel, the rest in a list. */
#include "io/io.h"
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <unistd.h>
#include "io/io_file.h"

struct io_ring_queue {
    struct io_queue queue;
    uint32_t magic;
#define IO_RING_MAGIC UINT32_C(0x10b16a2e)
    struct io_uring ring;
    unsigned depth;
    unsigned in_kernel; /* sqe taken, cqe not yet seen; <= depth, so the CQ never overflows */
    bool unflushed;
    int event_fd;
    struct io_op *first, **last; /* wait for a place */
};

static struct io_ring_queue *io_ring_of(struct io_queue *q)
{
    struct io_ring_queue *r = CONTAINER_OF(q, struct io_ring_queue, queue);
    ASSERT(r->magic == IO_RING_MAGIC);
    return r;
}

static int io_ring_queue_new(const struct io_ops *ops, unsigned depth, int event_fd,
                             struct io_queue **ret)
{
    struct io_ring_queue *r = calloc(1, sizeof *r);
    if (r == NULL)
        return -ENOMEM;
    r->queue.ops = ops;
    r->magic = IO_RING_MAGIC;
    r->depth = depth;
    r->event_fd = event_fd;
    r->last = &r->first;
    /* Completions wait until the thread is in the kernel anyway, instead of interrupting it. */
    int e = io_uring_queue_init(depth, &r->ring, IORING_SETUP_CLAMP | IORING_SETUP_COOP_TASKRUN);
    if (e == -EINVAL) /* before Linux 5.19 */
        e = io_uring_queue_init(depth, &r->ring, IORING_SETUP_CLAMP);
    if (e < 0) {
        free(r);
        return e;
    }
    /* A child of fork() must not share the ring: exec'd helpers have no use for it. */
    (void)io_uring_ring_dontfork(&r->ring); /* only fails where madvise does; then it is shared */
    if (event_fd >= 0) {
        e = io_uring_register_eventfd(&r->ring, event_fd);
        if (e < 0) {
            io_uring_queue_exit(&r->ring);
            free(r);
            return e;
        }
    }
    *ret = &r->queue;
    return 0;
}

static void io_ring_queue_free(struct io_queue *q)
{
    struct io_ring_queue *r = io_ring_of(q);
    ASSERT(r->in_kernel == 0);
    io_uring_queue_exit(&r->ring);
    MAGIC_CLEAR(r);
    free(r);
}

static bool io_ring_prepare(struct io_ring_queue *r, struct io_op *op)
{
    if (r->in_kernel >= r->depth)
        return false;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);
    if (sqe == NULL)
        return false;
    uint8_t *data = op->data;
    uint32_t size = op->size - op->moved_size;
    switch (op->kind) {
    case IO_READ:
        io_uring_prep_read(sqe, op->fd, data + op->moved_size, size, op->offset + op->moved_size);
        break;
    case IO_WRITE:
        io_uring_prep_write(sqe, op->fd, data + op->moved_size, size, op->offset + op->moved_size);
        break;
    case IO_SYNC:
        io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC);
        break;
    }
    io_uring_sqe_set_data(sqe, op);
    r->in_kernel++;
    r->unflushed = true;
    return true;
}

static void io_ring_submit(struct io_queue *q, struct io_op *op)
{
    struct io_ring_queue *r = io_ring_of(q);
    op->next = NULL;
    if (r->first == NULL && io_ring_prepare(r, op))
        return;
    *r->last = op;
    r->last = &op->next;
}

static void io_ring_flush(struct io_queue *q)
{
    struct io_ring_queue *r = io_ring_of(q);
    while (r->first != NULL) {
        struct io_op *op = r->first;
        struct io_op *next = op->next;
        if (!io_ring_prepare(r, op))
            break;
        r->first = next;
        if (next == NULL)
            r->last = &r->first;
    }
    if (!r->unflushed)
        return;
    int e = io_uring_submit(&r->ring);
    r->unflushed = io_uring_sq_ready(&r->ring) > 0;
    if ((e < 0 || r->unflushed) && r->event_fd >= 0) {
        /* The kernel is short of memory or of places: the entries stay for the next reap. */
        uint64_t one = 1;
        (void)!write(r->event_fd, &one, sizeof one); /* full: it is readable already */
    }
}

static void io_ring_reap(struct io_queue *q, bool wait)
{
    struct io_ring_queue *r = io_ring_of(q);
    io_ring_flush(q);
    if (wait && io_uring_cq_ready(&r->ring) == 0) {
        (void)io_uring_submit_and_wait(&r->ring, 1); /* -EINTR and the like: callers loop */
        r->unflushed = io_uring_sq_ready(&r->ring) > 0;
    }
    struct io_uring_cqe *cqe = NULL;
    while (io_uring_peek_cqe(&r->ring, &cqe) == 0) {
        struct io_op *op = io_uring_cqe_get_data(cqe);
        int raw = cqe->res;
        io_uring_cqe_seen(&r->ring, cqe);
        r->in_kernel--;
        io_complete(op, raw);
    }
    io_ring_flush(q);
}

const struct io_ops io_ring = {
    .name = "io_uring",
    IO_FILE_OPS,
    .queue_new = io_ring_queue_new,
    .queue_free = io_ring_queue_free,
    .submit = io_ring_submit,
    .flush = io_ring_flush,
    .reap = io_ring_reap,
};
