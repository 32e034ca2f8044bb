/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_io.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct fault_queue {
    struct io_queue queue;
    struct fault_io *fault;
    struct io_queue *inner;
    int event_fd;
    struct io_op *failed;
};

static struct fault_io *fault_of(const struct io_ops *ops)
{
    return (struct fault_io *)(uintptr_t)ops; /* ops comes first */
}

static int fault_open(const struct io_ops *ops, const char *path, unsigned flags)
{
    const struct io_ops *inner = fault_of(ops)->inner;
    return inner->open(inner, path, flags);
}

static int fault_close(const struct io_ops *ops, int fd)
{
    const struct io_ops *inner = fault_of(ops)->inner;
    return inner->close(inner, fd);
}

static int fault_file_size(const struct io_ops *ops, int fd, uint64_t *ret)
{
    const struct io_ops *inner = fault_of(ops)->inner;
    return inner->file_size(inner, fd, ret);
}

static int fault_allocate(const struct io_ops *ops, int fd, uint64_t size)
{
    struct fault_io *f = fault_of(ops);
    if (size > atomic_load(&f->space_left))
        return -ENOSPC;
    atomic_fetch_sub(&f->space_left, size);
    return f->inner->allocate(f->inner, fd, size);
}

static int fault_rename(const struct io_ops *ops, const char *from, const char *to)
{
    const struct io_ops *inner = fault_of(ops)->inner;
    return inner->rename(inner, from, to);
}

static int fault_unlink(const struct io_ops *ops, const char *path)
{
    const struct io_ops *inner = fault_of(ops)->inner;
    return inner->unlink(inner, path);
}

static int fault_sync_folder(const struct io_ops *ops, const char *path)
{
    const struct io_ops *inner = fault_of(ops)->inner;
    return inner->sync_folder(inner, path);
}

static int fault_punch(const struct io_ops *ops, int fd, uint64_t offset, uint64_t size)
{
    const struct io_ops *inner = fault_of(ops)->inner;
    return inner->punch(inner, fd, offset, size);
}

static int fault_space(const struct io_ops *ops, const char *path, uint64_t *ret_free,
                       uint64_t *ret_size)
{
    const struct io_ops *inner = fault_of(ops)->inner;
    return inner->space(inner, path, ret_free, ret_size);
}

static int fault_queue_new(const struct io_ops *ops, unsigned depth, int event_fd,
                           struct io_queue **ret)
{
    struct fault_io *f = fault_of(ops);
    struct fault_queue *q = calloc(1, sizeof *q);
    if (q == NULL)
        return -ENOMEM;
    q->queue.ops = ops;
    q->fault = f;
    q->event_fd = event_fd;
    int r = f->inner->queue_new(f->inner, depth, event_fd, &q->inner);
    if (r < 0) {
        free(q);
        return r;
    }
    *ret = &q->queue;
    return 0;
}

static void fault_queue_free(struct io_queue *queue)
{
    struct fault_queue *q = CONTAINER_OF(queue, struct fault_queue, queue);
    q->inner->ops->queue_free(q->inner);
    free(q);
}

/* Stands in for an op of which only a part is handed to the kernel. */
struct fault_part {
    struct io_op op;
    struct io_op *whole;
};

static void fault_part_done(struct io_op *op, int res)
{
    struct fault_part *p = CONTAINER_OF(op, struct fault_part, op);
    struct io_op *whole = p->whole;
    int raw = res < 0 ? res : (int)p->op.size;
    free(p);
    io_complete(whole, raw);
}

static void fault_submit(struct io_queue *queue, struct io_op *op)
{
    struct fault_queue *q = CONTAINER_OF(queue, struct fault_queue, queue);
    struct fault_io *f = q->fault;
    uint32_t short_size = atomic_load(&f->short_size), rest = op->size - op->moved_size;
    atomic_fetch_add(&f->ops_count, 1);
    if ((atomic_load(&f->fail_kinds) >> op->kind & 1) != 0) {
        op->next = q->failed;
        q->failed = op;
        uint64_t one = 1;
        if (q->event_fd >= 0)
            ASSERT(write(q->event_fd, &one, sizeof one) == sizeof one);
        return;
    }
    struct fault_part *p = NULL;
    if (op->kind != IO_SYNC && short_size > 0 && rest > short_size)
        p = calloc(1, sizeof *p);
    if (p == NULL) {
        q->inner->ops->submit(q->inner, op);
        return;
    }
    atomic_fetch_add(&f->shortened, 1);
    p->whole = op;
    p->op = (struct io_op){.kind = op->kind,
                           .fd = op->fd,
                           .data = (uint8_t *)op->data + op->moved_size,
                           .size = short_size,
                           .offset = op->offset + op->moved_size,
                           .done = fault_part_done};
    io_submit(q->inner, &p->op);
}

static void fault_flush(struct io_queue *queue)
{
    struct fault_queue *q = CONTAINER_OF(queue, struct fault_queue, queue);
    q->inner->ops->flush(q->inner);
}

static void fault_reap(struct io_queue *queue, bool wait)
{
    struct fault_queue *q = CONTAINER_OF(queue, struct fault_queue, queue);
    bool had_failed = q->failed != NULL;
    while (q->failed != NULL) {
        struct io_op *op = q->failed;
        q->failed = op->next;
        io_complete(op, atomic_load(&q->fault->fail_res));
    }
    q->inner->ops->reap(q->inner, wait && !had_failed);
}

void fault_io_init(struct fault_io *f, const struct io_ops *inner)
{
    *f = (struct fault_io){.ops = {.name = "fault",
                                   .open = fault_open,
                                   .close = fault_close,
                                   .file_size = fault_file_size,
                                   .allocate = fault_allocate,
                                   .rename = fault_rename,
                                   .unlink = fault_unlink,
                                   .sync_folder = fault_sync_folder,
                                   .punch = fault_punch,
                                   .space = fault_space,
                                   .queue_new = fault_queue_new,
                                   .queue_free = fault_queue_free,
                                   .submit = fault_submit,
                                   .flush = fault_flush,
                                   .reap = fault_reap},
                           .inner = inner};
    atomic_store(&f->space_left, UINT64_MAX / 2);
    atomic_store(&f->fail_res, -EIO);
}
