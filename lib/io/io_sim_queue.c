/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's queue: of each op a part or all goes on to the inner queue (or is done at once);
 * what has ended waits in a list, from which reap takes in any order. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "io/io_sim_disk_priv.h"
#include "io/io_sim_priv.h"

struct io_sim_queue {
    struct io_queue queue;
    uint32_t magic;
#define IO_SIM_QUEUE_MAGIC UINT32_C(0x51330c9e)
    struct io_sim *sim;
    struct io_queue *inner; /* NULL: at once */
    int event_fd;
    struct io_op *ended; /* their raw is set; the latest first */
    unsigned ended_count;
};

/* Stands in for an op in the inner queue. */
struct io_sim_part {
    struct io_op op;
    struct io_op *whole;
    struct io_sim_queue *queue;
    struct io_sim_node *node;
    uint64_t number; /* of a write, or when a sync began; 0: nothing is kept */
    int verdict;
};

static struct io_sim_queue *io_sim_queue_of(struct io_queue *queue)
{
    struct io_sim_queue *q = CONTAINER_OF(queue, struct io_sim_queue, queue);
    ASSERT(q->magic == IO_SIM_QUEUE_MAGIC);
    return q;
}

int io_sim_queue_new(const struct io_ops *ops, unsigned depth, int event_fd, struct io_queue **ret)
{
    struct io_sim *s = io_sim_of(ops);
    (void)pthread_mutex_lock(&s->lock);
    int verdict = io_sim_begin(s, IO_SIM_QUEUE_NEW, NULL, 0, 0);
    int r = verdict < 0 ? verdict : io_sim_end(s, verdict, 0);
    (void)pthread_mutex_unlock(&s->lock);
    if (r < 0)
        return r;
    struct io_sim_queue *q = io_sim_alloc(sizeof *q);
    q->queue.ops = ops;
    q->magic = IO_SIM_QUEUE_MAGIC;
    q->sim = s;
    q->event_fd = event_fd;
    if (s->inner != NULL)
        r = io_queue_new(s->inner, depth, event_fd, &q->inner);
    if (r < 0) {
        MAGIC_CLEAR(q);
        free(q);
        return r;
    }
    *ret = &q->queue;
    return 0;
}

void io_sim_queue_free(struct io_queue *queue)
{
    struct io_sim_queue *q = io_sim_queue_of(queue);
    ASSERT(q->ended_count == 0);
    io_queue_free(q->inner);
    MAGIC_CLEAR(q);
    free(q);
}

static void io_sim_tell(const struct io_sim_queue *q)
{
    uint64_t one = 1;
    if (q->event_fd >= 0) {
        io_sim_depth++;
        (void)!write(q->event_fd, &one, sizeof one); /* full: it is readable already */
        io_sim_depth--;
    }
}

static void io_sim_ended(struct io_sim_queue *q, struct io_op *op, int raw)
{
    op->raw = raw;
    op->next = q->ended;
    q->ended = op;
    q->ended_count++;
    io_sim_tell(q);
}

/* --- one op ----------------------------------------------------------------------------------- */

/* res: of the part; all of it went, or -errno. */
static void io_sim_part_done(struct io_op *op, int res)
{
    struct io_sim_part *p = CONTAINER_OF(op, struct io_sim_part, op);
    struct io_sim *s = p->queue->sim;
    int raw = res < 0 || op->kind == IO_SYNC ? res : (int)op->size;
    /* A file that ends before the read does; how far it got is lost, and is asked again. */
    if (res == -ENODATA)
        raw = 0;
    (void)pthread_mutex_lock(&s->lock);
    if (s->crashed) {
        raw = -EIO;
    } else if (p->number != 0 && p->verdict != IO_SIM_LAST) {
        if (op->kind == IO_WRITE)
            io_sim_disk_written(s->disk, p->node, p->number, op->size);
        else if (op->kind == IO_SYNC)
            io_sim_disk_sync_end(s->disk, p->node, p->number, res == 0);
    }
    raw = io_sim_end(s, p->verdict, raw);
    (void)pthread_mutex_unlock(&s->lock);
    io_sim_ended(p->queue, p->whole, raw);
    free(p);
}

/* Without an inner queue. */
static void io_sim_part_run(struct io_sim_part *p)
{
    struct io_op *op = &p->op;
    uint8_t *data = op->data;
    uint32_t moved = 0;
    ssize_t n = 0;
    io_sim_depth++;
    if (op->kind == IO_SYNC)
        n = fdatasync(op->fd);
    while (op->kind != IO_SYNC && moved < op->size) {
        off_t at = (off_t)(op->offset + moved);
        n = op->kind == IO_READ ? pread(op->fd, data + moved, op->size - moved, at)
                                : pwrite(op->fd, data + moved, op->size - moved, at);
        if (n <= 0)
            break;
        moved += (uint32_t)n;
    }
    int res = n < 0 ? -errno : 0;
    io_sim_depth--;
    if (n == 0 && op->kind != IO_SYNC && moved < op->size)
        res = -ENODATA;
    io_sim_part_done(op, res);
}

/* A write that fails may have done some of its work. */
static void io_sim_failed_write(struct io_sim *s, struct io_sim_node *n, const struct io_op *op,
                                int verdict)
{
    uint32_t rest = op->size - op->moved_size;
    uint32_t size = (uint32_t)io_sim_roll(s, 3) * (rest / 2) / IO_SIM_SECTOR * IO_SIM_SECTOR;
    const uint8_t *data = (const uint8_t *)op->data + op->moved_size;
    if (s->crashed || verdict == -EINTR || verdict == -EAGAIN || size == 0)
        return;
    io_sim_depth++;
    ssize_t moved = pwrite(op->fd, data, size, (off_t)(op->offset + op->moved_size));
    io_sim_depth--;
    if (moved <= 0 || n == NULL)
        return;
    uint64_t at = op->offset + op->moved_size;
    uint64_t number = io_sim_disk_write(s->disk, n, data, (uint32_t)moved, at);
    io_sim_disk_written(s->disk, n, number, (uint32_t)moved);
}

static uint32_t io_sim_part_size(struct io_sim *s, const struct io_op *op, int verdict)
{
    uint32_t rest = op->size - op->moved_size, size = rest;
    if (op->kind == IO_SYNC)
        return 0;
    if (s->short_size > 0)
        size = MIN(size, s->short_size);
    if (verdict == IO_SIM_SHORT) {
        size = 1 + (uint32_t)io_sim_roll(s, rest);
        /* O_DIRECT moves whole units. */
        if (size > IO_ALIGN)
            size = size / IO_ALIGN * IO_ALIGN;
        else
            size = MIN(rest, IO_ALIGN);
    }
    s->shortened += size < rest;
    return size;
}

void io_sim_submit(struct io_queue *queue, struct io_op *op)
{
    static const enum io_sim_call calls[] = {
        [IO_READ] = IO_SIM_READ, [IO_WRITE] = IO_SIM_WRITE, [IO_SYNC] = IO_SIM_SYNC};
    struct io_sim_queue *q = io_sim_queue_of(queue);
    struct io_sim *s = q->sim;
    struct io_sim_part *p = io_sim_alloc(sizeof *p);
    uint64_t offset = op->offset + op->moved_size;
    (void)pthread_mutex_lock(&s->lock);
    struct io_sim_node *n = io_sim_fd(s, op->fd).node;
    int verdict = io_sim_begin(s, calls[op->kind], n, offset, op->size - op->moved_size);
    if (verdict < 0) {
        if (op->kind == IO_WRITE)
            io_sim_failed_write(s, n, op, verdict);
        bool undone = verdict == -EINTR || verdict == -EAGAIN || s->crashed;
        if (op->kind == IO_SYNC && n != NULL && !undone)
            io_sim_disk_sync_end(s->disk, n, io_sim_disk_sync_begin(s->disk), false);
        (void)pthread_mutex_unlock(&s->lock);
        free(p);
        io_sim_ended(q, op, verdict);
        return;
    }
    uint8_t *data = op->data;
    p->whole = op;
    p->queue = q;
    p->node = n;
    p->verdict = verdict;
    p->op = (struct io_op){.kind = op->kind,
                           .fd = op->fd,
                           .data = data != NULL ? data + op->moved_size : NULL,
                           .size = io_sim_part_size(s, op, verdict),
                           .offset = offset,
                           .done = io_sim_part_done};
    if (n != NULL && op->kind == IO_WRITE)
        p->number = io_sim_disk_write(s->disk, n, p->op.data, p->op.size, offset);
    else if (n != NULL && op->kind == IO_SYNC)
        p->number = io_sim_disk_sync_begin(s->disk);
    if (verdict == IO_SIM_LAST)
        (void)io_sim_end(s, verdict, 0); /* at once: what others do meanwhile comes too late */
    (void)pthread_mutex_unlock(&s->lock);
    if (q->inner != NULL)
        io_submit(q->inner, &p->op);
    else
        io_sim_part_run(p);
}

/* --- the queue -------------------------------------------------------------------------------- */

void io_sim_flush(struct io_queue *queue)
{
    struct io_sim_queue *q = io_sim_queue_of(queue);
    if (q->inner != NULL)
        io_flush(q->inner);
}

static struct io_op *io_sim_take(struct io_sim_queue *q, uint64_t index)
{
    struct io_op **at = &q->ended;
    while (index-- > 0)
        at = &(*at)->next;
    struct io_op *op = *at;
    *at = op->next;
    q->ended_count--;
    return op;
}

void io_sim_reap(struct io_queue *queue, bool wait)
{
    struct io_sim_queue *q = io_sim_queue_of(queue);
    struct io_sim *s = q->sim;
    if (q->inner != NULL)
        io_reap(q->inner, wait && q->ended_count == 0);
    unsigned count = q->ended_count, keep = 0;
    if (s->reorder && count > 1) {
        (void)pthread_mutex_lock(&s->lock);
        keep = (unsigned)io_sim_roll(s, count);
        (void)pthread_mutex_unlock(&s->lock);
    }
    while (count-- > keep) {
        uint64_t index = q->ended_count - 1; /* the first to end */
        if (s->reorder) {
            (void)pthread_mutex_lock(&s->lock);
            index = io_sim_roll(s, q->ended_count);
            (void)pthread_mutex_unlock(&s->lock);
        }
        struct io_op *op = io_sim_take(q, index);
        io_complete(op, op->raw);
    }
    io_sim_flush(queue); /* what was submitted from within done */
    if (q->ended_count > 0)
        io_sim_tell(q); /* the rest is for the next time */
}
