/* SPDX-License-Identifier: Apache-2.0 */
/* io: the one seam through which the store touches files: io_uring, plain pread/pwrite on threads,
 * or whatever a test puts in between.
 *
 * Life:    io_queue_new per thread -> io_submit*, io_flush -> io_reap (runs done) -> io_queue_free
 *          once nothing is under way.
 * Owner:   the submitter owns the struct io_op and its bytes and keeps both until done.
 * Threads: a queue by one thread at a time; the file calls of a struct io_ops by any.
 * Errors:  file calls: 0 (or a descriptor) or -errno. done: 0 when all bytes went, else -errno;
 *          -ENODATA when a file ends before the read does.
 * Units:   bytes. With IO_DIRECT offset, size and address must be multiples of IO_ALIGN. */
#pragma once
#include <sys/types.h>
#include "base/base.h"

#define IO_ALIGN     UINT32_C(4096)
#define IO_DEPTH_MAX 4096u
#define IO_TRIES_MAX 64u /* of one op: continued after short transfers, repeated after -EAGAIN */

struct io_ops;
struct io_op;

enum io_kind { IO_READ, IO_WRITE, IO_SYNC /* fdatasync */ };

typedef void io_done(struct io_op *op, int res);

struct io_op {
    enum io_kind kind;
    int fd;
    void *data;
    uint32_t size;
    uint64_t offset;
    io_done *done;
    /* The seam's own from here on. */
    struct io_queue *queue;
    struct io_op *next;
    uint32_t moved_size; /* of size, so far */
    unsigned tries;
    int raw;
};

/* What every queue begins with; the rest is the backend's. */
struct io_queue {
    const struct io_ops *ops;
    unsigned under_way; /* submitted, done not yet called */
};

enum { IO_CREATE = 1, IO_WRITABLE = 2, IO_DIRECT = 4 };

/* The table. ops is passed back so that a wrapper finds itself by CONTAINER_OF; a wrapper's queue
 * holds the inner queue, and hands ops on with inner->ops->submit(inner, op). */
struct io_ops {
    const char *name;
    /* IO_CREATE makes the file anew and fails with -EEXIST; IO_DIRECT gives way silently where the
     * file system has none. Close-on-exec always. */
    int (*open)(const struct io_ops *ops, const char *path, unsigned flags);
    int (*close)(const struct io_ops *ops, int fd);
    int (*file_size)(const struct io_ops *ops, int fd, uint64_t *ret);
    int (*allocate)(const struct io_ops *ops, int fd, uint64_t size); /* -ENOSPC */
    int (*rename)(const struct io_ops *ops, const char *from, const char *to);
    int (*unlink)(const struct io_ops *ops, const char *path);
    int (*sync_folder)(const struct io_ops *ops, const char *path);
    /* Gives the space back; the bytes read as zeroes from then on, or, where the file system cannot
     * (-EOPNOTSUPP), stay what they were. */
    int (*punch)(const struct io_ops *ops, int fd, uint64_t offset, uint64_t size);
    /* Of the file system that path is on, as far as this process may use it. */
    int (*space)(const struct io_ops *ops, const char *path, uint64_t *ret_free,
                 uint64_t *ret_size);

    /* event_fd: an eventfd written whenever io_reap has something to do; -1: nobody polls. */
    int (*queue_new)(const struct io_ops *ops, unsigned depth, int event_fd, struct io_queue **ret);
    void (*queue_free)(struct io_queue *q);
    /* Never fails: what goes wrong comes out of io_complete, from within reap only. */
    void (*submit)(struct io_queue *q, struct io_op *op);
    void (*flush)(struct io_queue *q);
    /* Calls io_complete for all that has ended; wait: for at least one, if any is under way. */
    void (*reap)(struct io_queue *q, bool wait);
};

extern const struct io_ops io_ring;  /* io_uring */
extern const struct io_ops io_plain; /* pread and pwrite on two threads a queue */

/* io_ring where the kernel lets us, else io_plain. Asks the kernel once. */
const struct io_ops *io_default(void);

MUST_USE int io_queue_new(const struct io_ops *ops, unsigned depth, int event_fd,
                          struct io_queue **ret);
struct io_queue *io_queue_free(struct io_queue *q); /* takes NULL, returns NULL */
void io_submit(struct io_queue *q, struct io_op *op);
void io_flush(struct io_queue *q);
void io_reap(struct io_queue *q, bool wait);

/* For setup code and the committer: submits and reaps until this is done; others' may end too. */
MUST_USE int io_run(struct io_queue *q, enum io_kind kind, int fd, void *data, uint32_t size,
                    uint64_t offset);

/* For backends: the kernel's answer, bytes or -errno. Goes on with the rest of a short transfer. */
void io_complete(struct io_op *op, int raw);
