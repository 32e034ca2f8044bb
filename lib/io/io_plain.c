/* SPDX-License-Identifier: Apache-2.0 */
/* The fallback: pread, pwrite and fdatasync on a few threads, for kernels and containers that
 * refuse io_uring. */
#include "io/io.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/pool.h"
#include "io/io_file.h"

#define IO_PLAIN_THREADS 2u

struct io_plain_queue {
    struct io_queue queue;
    uint32_t magic;
#define IO_PLAIN_MAGIC UINT32_C(0x10b1a172)
    struct pool *pool;
    int event_fd;
    unsigned depth;
    unsigned in_pool; /* handed to a thread, not yet reaped; <= depth < POOL_QUEUE_MAX */
    struct io_op *wait_first, **wait_last;
    pthread_mutex_t lock; /* the three below */
    pthread_cond_t ended;
    struct io_op *done_first, **done_last;
};

static struct io_plain_queue *io_plain_of(struct io_queue *q)
{
    struct io_plain_queue *p = CONTAINER_OF(q, struct io_plain_queue, queue);
    ASSERT(p->magic == IO_PLAIN_MAGIC);
    return p;
}

static int io_plain_queue_new(const struct io_ops *ops, unsigned depth, int event_fd,
                              struct io_queue **ret)
{
    struct io_plain_queue *p = calloc(1, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    int r = pool_new(IO_PLAIN_THREADS, &p->pool);
    if (r < 0) {
        free(p);
        return r;
    }
    p->queue.ops = ops;
    p->magic = IO_PLAIN_MAGIC;
    p->event_fd = event_fd;
    p->depth = MIN(depth, POOL_QUEUE_MAX / 2);
    p->wait_last = &p->wait_first;
    p->done_last = &p->done_first;
    (void)pthread_mutex_init(&p->lock, NULL); /* does not fail on Linux with default attributes */
    (void)pthread_cond_init(&p->ended, NULL);
    *ret = &p->queue;
    return 0;
}

static void io_plain_queue_free(struct io_queue *q)
{
    struct io_plain_queue *p = io_plain_of(q);
    ASSERT(p->in_pool == 0);
    pool_free(p->pool);
    (void)pthread_cond_destroy(&p->ended);
    (void)pthread_mutex_destroy(&p->lock);
    MAGIC_CLEAR(p);
    free(p);
}

/* The queue that runs the op is not op->queue when a wrapper stands in between. */
struct io_plain_job {
    struct io_plain_queue *queue;
    struct io_op *op;
};

static void io_plain_work(void *arg)
{
    struct io_plain_job *job = arg;
    struct io_plain_queue *p = job->queue;
    struct io_op *op = job->op;
    free(job);
    uint8_t *data = op->data;
    uint32_t size = op->size - op->moved_size;
    off_t offset = (off_t)(op->offset + op->moved_size);
    ssize_t n = 0;
    switch (op->kind) {
    case IO_READ:
        n = pread(op->fd, data + op->moved_size, size, offset);
        break;
    case IO_WRITE:
        n = pwrite(op->fd, data + op->moved_size, size, offset);
        break;
    case IO_SYNC:
        n = fdatasync(op->fd);
        break;
    }
    op->raw = n < 0 ? -errno : (int)n;
    op->next = NULL;
    (void)pthread_mutex_lock(&p->lock);
    bool was_empty = p->done_first == NULL;
    *p->done_last = op;
    p->done_last = &op->next;
    /* Within the lock: once it is let go, the queue may be freed by whoever reaps. */
    if (was_empty && p->event_fd >= 0) {
        uint64_t one = 1;
        (void)!write(p->event_fd, &one, sizeof one); /* full: it is readable already */
    }
    (void)pthread_cond_signal(&p->ended);
    (void)pthread_mutex_unlock(&p->lock);
}

static bool io_plain_start(struct io_plain_queue *p, struct io_op *op)
{
    if (p->in_pool >= p->depth)
        return false;
    struct io_plain_job *job = malloc(sizeof *job);
    if (job != NULL) {
        *job = (struct io_plain_job){.queue = p, .op = op};
        p->in_pool++;
        if (pool_run(p->pool, io_plain_work, job) == 0)
            return true;
        p->in_pool--;
        free(job);
    }
    return false;
}

static void io_plain_submit(struct io_queue *q, struct io_op *op)
{
    struct io_plain_queue *p = io_plain_of(q);
    op->next = NULL;
    if (p->wait_first == NULL && io_plain_start(p, op))
        return;
    *p->wait_last = op;
    p->wait_last = &op->next;
}

static void io_plain_flush(struct io_queue *q)
{
    struct io_plain_queue *p = io_plain_of(q);
    while (p->wait_first != NULL) {
        struct io_op *op = p->wait_first;
        struct io_op *next = op->next;
        if (!io_plain_start(p, op))
            break;
        p->wait_first = next;
        if (next == NULL)
            p->wait_last = &p->wait_first;
    }
    if (p->wait_first != NULL && p->in_pool == 0 && p->event_fd >= 0) {
        /* Out of memory with nothing under way: ask to be called again. */
        uint64_t one = 1;
        (void)!write(p->event_fd, &one, sizeof one);
    }
}

static void io_plain_reap(struct io_queue *q, bool wait)
{
    struct io_plain_queue *p = io_plain_of(q);
    io_plain_flush(q);
    (void)pthread_mutex_lock(&p->lock);
    while (wait && p->in_pool > 0 && p->done_first == NULL)
        (void)pthread_cond_wait(&p->ended, &p->lock);
    struct io_op *op = p->done_first;
    p->done_first = NULL;
    p->done_last = &p->done_first;
    (void)pthread_mutex_unlock(&p->lock);
    while (op != NULL) {
        struct io_op *next = op->next;
        p->in_pool--;
        io_complete(op, op->raw);
        op = next;
    }
    io_plain_flush(q);
}

const struct io_ops io_plain = {
    .name = "plain",
    IO_FILE_OPS,
    .queue_new = io_plain_queue_new,
    .queue_free = io_plain_queue_free,
    .submit = io_plain_submit,
    .flush = io_plain_flush,
    .reap = io_plain_reap,
};
