/* SPDX-License-Identifier: Apache-2.0 */
#include "path_io.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/str.h"

struct path_queue {
    struct io_queue queue;
    struct path_io *path;
    struct io_queue *inner;
    int event_fd;
    struct io_op *failed;
};

static struct path_io *path_of(const struct io_ops *ops)
{
    return (struct path_io *)(uintptr_t)ops; /* ops comes first */
}

static struct path_rule *path_find(struct path_io *p, const char *path)
{
    for (unsigned i = 0; i < p->rules_count; i++) {
        if (str_starts(str_of(path), str_of(p->rules[i].folder)))
            return &p->rules[i];
    }
    return NULL;
}

static struct path_rule *path_of_fd(struct path_io *p, int fd)
{
    unsigned n = fd >= 0 && fd < PATH_IO_FDS ? atomic_load(&p->rule_of[fd]) : 0;
    return n > 0 ? &p->rules[n - 1] : NULL;
}

/* What a call that makes or changes files answers; 0: go on. */
static int path_make_res(struct path_rule *r)
{
    int res = r == NULL ? 0 : atomic_load(&r->open);
    if (r != NULL && res == 0)
        res = atomic_load(&r->make);
    if (res != 0)
        atomic_fetch_add(&r->failed, 1);
    return res;
}

static int path_open(const struct io_ops *ops, const char *path, unsigned flags)
{
    struct path_io *p = path_of(ops);
    struct path_rule *r = path_find(p, path);
    bool writes = (flags & (IO_CREATE | IO_WRITABLE)) != 0;
    int res = r == NULL ? 0 : atomic_load(&r->open);
    /* As a file system that is mounted for reading only does. */
    if (res == 0 && r != NULL && writes &&
        ((flags & IO_CREATE) != 0 || atomic_load(&r->make) == -EROFS))
        res = atomic_load(&r->make);
    if (res != 0) {
        atomic_fetch_add(&r->failed, 1);
        return res;
    }
    int fd = p->inner->open(p->inner, path, flags);
    if (fd >= 0) {
        ASSERT(fd < PATH_IO_FDS);
        atomic_store(&p->rule_of[fd], (uint8_t)(r == NULL ? 0 : r - p->rules + 1));
    }
    return fd;
}

static int path_close(const struct io_ops *ops, int fd)
{
    struct path_io *p = path_of(ops);
    if (fd >= 0 && fd < PATH_IO_FDS)
        atomic_store(&p->rule_of[fd], 0);
    return p->inner->close(p->inner, fd);
}

static int path_file_size(const struct io_ops *ops, int fd, uint64_t *ret)
{
    const struct io_ops *inner = path_of(ops)->inner;
    return inner->file_size(inner, fd, ret);
}

static int path_allocate(const struct io_ops *ops, int fd, uint64_t size)
{
    struct path_io *p = path_of(ops);
    struct path_rule *r = path_of_fd(p, fd);
    int res = path_make_res(r);
    if (res == 0 && r != NULL && atomic_load(&r->free) > size)
        atomic_fetch_sub(&r->free, size);
    return res != 0 ? res : p->inner->allocate(p->inner, fd, size);
}

static int path_rename(const struct io_ops *ops, const char *from, const char *to)
{
    struct path_io *p = path_of(ops);
    int res = path_make_res(path_find(p, to));
    return res != 0 ? res : p->inner->rename(p->inner, from, to);
}

static int path_unlink(const struct io_ops *ops, const char *path)
{
    struct path_io *p = path_of(ops);
    int res = access(path, F_OK) == 0 ? path_make_res(path_find(p, path)) : 0;
    return res != 0 ? res : p->inner->unlink(p->inner, path);
}

static int path_sync_folder(const struct io_ops *ops, const char *path)
{
    struct path_io *p = path_of(ops);
    int res = path_make_res(path_find(p, path));
    return res != 0 ? res : p->inner->sync_folder(p->inner, path);
}

static int path_punch(const struct io_ops *ops, int fd, uint64_t offset, uint64_t size)
{
    struct path_io *p = path_of(ops);
    int res = path_make_res(path_of_fd(p, fd));
    return res != 0 ? res : p->inner->punch(p->inner, fd, offset, size);
}

static int path_space(const struct io_ops *ops, const char *path, uint64_t *ret_free,
                      uint64_t *ret_size)
{
    struct path_io *p = path_of(ops);
    struct path_rule *r = path_find(p, path);
    int res = r == NULL ? 0 : atomic_load(&r->open);
    if (res == 0)
        res = p->inner->space(p->inner, path, ret_free, ret_size);
    if (res == 0 && r != NULL && atomic_load(&r->free) != 0)
        *ret_free = atomic_load(&r->free);
    return res;
}

static int path_queue_new(const struct io_ops *ops, unsigned depth, int event_fd,
                          struct io_queue **ret)
{
    struct path_io *p = path_of(ops);
    struct path_queue *q = calloc(1, sizeof *q);
    if (q == NULL)
        return -ENOMEM;
    q->queue.ops = ops;
    q->path = p;
    q->event_fd = event_fd;
    int r = p->inner->queue_new(p->inner, depth, event_fd, &q->inner);
    if (r < 0) {
        free(q);
        return r;
    }
    *ret = &q->queue;
    return 0;
}

static void path_queue_free(struct io_queue *queue)
{
    struct path_queue *q = CONTAINER_OF(queue, struct path_queue, queue);
    q->inner->ops->queue_free(q->inner);
    free(q);
}

static int path_op_res(struct path_rule *r, const struct io_op *op)
{
    uint64_t from = atomic_load(&r->bad_from), until = atomic_load(&r->bad_until);
    int res = atomic_load(&r->op[op->kind]);
    if (res == 0 && op->kind == IO_READ && op->offset < until && op->offset + op->size > from)
        res = -EIO;
    return res;
}

static void path_submit(struct io_queue *queue, struct io_op *op)
{
    struct path_queue *q = CONTAINER_OF(queue, struct path_queue, queue);
    struct path_rule *r = path_of_fd(q->path, op->fd);
    int res = r != NULL ? path_op_res(r, op) : 0;
    if (res == 0) {
        q->inner->ops->submit(q->inner, op);
        return;
    }
    atomic_fetch_add(&r->failed, 1);
    op->raw = res;
    op->next = q->failed;
    q->failed = op;
    uint64_t one = 1;
    if (q->event_fd >= 0)
        ASSERT(write(q->event_fd, &one, sizeof one) == sizeof one);
}

static void path_flush(struct io_queue *queue)
{
    struct path_queue *q = CONTAINER_OF(queue, struct path_queue, queue);
    q->inner->ops->flush(q->inner);
}

static void path_reap(struct io_queue *queue, bool wait)
{
    struct path_queue *q = CONTAINER_OF(queue, struct path_queue, queue);
    bool had_failed = q->failed != NULL;
    while (q->failed != NULL) {
        struct io_op *op = q->failed;
        q->failed = op->next;
        io_complete(op, op->raw);
    }
    q->inner->ops->reap(q->inner, wait && !had_failed);
}

void path_io_init(struct path_io *p, const struct io_ops *inner)
{
    *p = (struct path_io){.ops = {.name = "path",
                                  .open = path_open,
                                  .close = path_close,
                                  .file_size = path_file_size,
                                  .allocate = path_allocate,
                                  .rename = path_rename,
                                  .unlink = path_unlink,
                                  .sync_folder = path_sync_folder,
                                  .punch = path_punch,
                                  .space = path_space,
                                  .queue_new = path_queue_new,
                                  .queue_free = path_queue_free,
                                  .submit = path_submit,
                                  .flush = path_flush,
                                  .reap = path_reap},
                          .inner = inner};
}

struct path_rule *path_io_rule(struct path_io *p, const char *folder)
{
    ASSERT(p->rules_count < PATH_IO_RULES);
    struct path_rule *r = &p->rules[p->rules_count++];
    ASSERT(str_copy(str_of(folder), r->folder, sizeof r->folder) == 0);
    return r;
}

void path_rule_fail(struct path_rule *r, int res)
{
    atomic_store(&r->open, res);
    for (unsigned i = 0; i < 3; i++)
        atomic_store(&r->op[i], res);
}

void path_rule_writes(struct path_rule *r, int res)
{
    atomic_store(&r->make, res);
    atomic_store(&r->op[IO_WRITE], res);
    atomic_store(&r->op[IO_SYNC], res);
}
