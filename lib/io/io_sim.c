/* SPDX-License-Identifier: Apache-2.0 */
/* What fails and when, and the file calls of the table. */
#include "io/io_sim.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "io/io_file.h"
#include "io/io_sim_disk_priv.h"
#include "io/io_sim_priv.h"

_Thread_local unsigned io_sim_depth;

bool io_sim_inside(void)
{
    return io_sim_depth > 0;
}

struct io_sim *io_sim_of(const struct io_ops *ops)
{
    struct io_sim *s = CONTAINER_OF((uintptr_t)ops, struct io_sim, ops);
    ASSERT(s->magic == IO_SIM_MAGIC);
    return s;
}

uint64_t io_sim_roll(struct io_sim *s, uint64_t n)
{
    return io_sim_random(&s->random) % n;
}

/* --- what becomes of a call ------------------------------------------------------------------- */

static int io_sim_random_res(struct io_sim *s, enum io_sim_call call)
{
    static const int data[] = {-EIO, -EINTR, -EAGAIN, IO_SIM_SHORT};
    static const int space[] = {-EIO, -EINTR, -EAGAIN, IO_SIM_SHORT, -ENOSPC};
    static const int names[] = {-EIO, -ENOSPC};
    static const int opening[] = {-EIO, -EMFILE, -ENOSPC};
    switch (call) {
    case IO_SIM_READ:
        return data[io_sim_roll(s, ARRAY_LEN(data))];
    case IO_SIM_WRITE:
        return space[io_sim_roll(s, ARRAY_LEN(space))];
    case IO_SIM_SYNC:
    case IO_SIM_CLOSE:
    case IO_SIM_FILE_SIZE:
    case IO_SIM_SPACE:
        return -EIO;
    case IO_SIM_OPEN:
        return opening[io_sim_roll(s, ARRAY_LEN(opening))];
    default:
        return names[io_sim_roll(s, ARRAY_LEN(names))];
    }
}

static int io_sim_verdict(struct io_sim *s, enum io_sim_call call)
{
    const struct io_sim_fault *f = &s->fault;
    if (s->crashed)
        return -EIO;
    if (s->crash_at != 0 && s->calls >= s->crash_at)
        return IO_SIM_LAST;
    if (f->first != 0 && (f->kinds == 0 || (f->kinds >> call & 1) != 0)) {
        s->fault_seen++;
        if (s->fault_seen >= f->first && s->fault_seen - f->first < f->count) {
            s->failed++;
            return f->res;
        }
    }
    if (s->random_one_in != 0 && io_sim_roll(s, s->random_one_in) == 0) {
        s->failed++;
        return io_sim_random_res(s, call);
    }
    return call == IO_SIM_PUNCH && s->no_punch ? -EOPNOTSUPP : 0;
}

int io_sim_begin(struct io_sim *s, enum io_sim_call call, const struct io_sim_node *n,
                 uint64_t offset, uint64_t size)
{
    while (s->held && !pthread_equal(s->holder, pthread_self())) {
        s->held_count++;
        (void)pthread_cond_broadcast(&s->changed);
        (void)pthread_cond_wait(&s->changed, &s->lock);
        s->held_count--;
    }
    struct io_sim_traced *t = &s->trace[s->calls % IO_SIM_TRACE];
    s->calls += !s->crashed;
    int res = io_sim_verdict(s, call);
    if (!s->crashed) {
        *t = (struct io_sim_traced){.call = call, .offset = offset, .size = size, .res = res};
        if (n != NULL)
            (void)snprintf(t->name, sizeof t->name, "%s", io_sim_node_name(n));
    }
    return res;
}

int io_sim_end(struct io_sim *s, int verdict, int r)
{
    if (verdict != IO_SIM_LAST)
        return r;
    if (s->disk != NULL && !s->crashed)
        io_sim_disk_crash(s->disk);
    s->crashed = true;
    return -EIO;
}

/* --- descriptors and paths -------------------------------------------------------------------- */

struct io_sim_file io_sim_fd(struct io_sim *s, int fd)
{
    if (fd < 0 || (size_t)fd >= s->fds_count)
        return (struct io_sim_file){.node = NULL};
    return s->fds[fd];
}

void io_sim_set_fd(struct io_sim *s, int fd, struct io_sim_file f)
{
    ASSERT(fd >= 0);
    if ((size_t)fd >= s->fds_count) {
        size_t count = (size_t)fd + 64;
        struct io_sim_file *more = reallocarray(s->fds, count, sizeof *more);
        ASSERT(more != NULL);
        memset(more + s->fds_count, 0, (count - s->fds_count) * sizeof *more);
        s->fds = more;
        s->fds_count = count;
    }
    s->fds[fd] = f;
}

struct io_sim_node *io_sim_node_of(struct io_sim *s, const char *path)
{
    if (s->disk == NULL || !io_sim_disk_covers(s->disk, path))
        return NULL;
    return io_sim_disk_find(s->disk, path);
}

/* --- the table's file calls ------------------------------------------------------------------- */

static int io_sim_open(const struct io_ops *ops, const char *path, unsigned flags)
{
    struct io_sim *s = io_sim_of(ops);
    (void)pthread_mutex_lock(&s->lock);
    struct io_sim_node *n = io_sim_node_of(s, path);
    int verdict = io_sim_begin(s, IO_SIM_OPEN, n, 0, 0), r = verdict;
    if (verdict >= 0) {
        io_sim_depth++;
        r = s->files->open(s->files, path, flags);
        io_sim_depth--;
        if (r >= 0 && s->disk != NULL && io_sim_disk_covers(s->disk, path)) {
            if (n == NULL)
                n = io_sim_disk_make(s->disk, path, false);
            io_sim_set_fd(s, r, (struct io_sim_file){.node = n});
        }
        int fd = r;
        r = io_sim_end(s, verdict, r);
        if (r < 0 && fd >= 0) {
            /* The open failed for all that the caller knows. */
            io_sim_set_fd(s, fd, (struct io_sim_file){.node = NULL});
            io_sim_depth++;
            (void)s->files->close(s->files, fd);
            io_sim_depth--;
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}

/* A close that fails has closed all the same. */
static int io_sim_close(const struct io_ops *ops, int fd)
{
    struct io_sim *s = io_sim_of(ops);
    (void)pthread_mutex_lock(&s->lock);
    int verdict = io_sim_begin(s, IO_SIM_CLOSE, io_sim_fd(s, fd).node, 0, 0);
    if (s->disk != NULL && fd >= 0)
        io_sim_set_fd(s, fd, (struct io_sim_file){.node = NULL});
    io_sim_depth++;
    int r = s->files->close(s->files, fd);
    io_sim_depth--;
    r = verdict < 0 ? verdict : io_sim_end(s, verdict, r);
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}

static int io_sim_file_size(const struct io_ops *ops, int fd, uint64_t *ret)
{
    struct io_sim *s = io_sim_of(ops);
    uint64_t size = 0;
    (void)pthread_mutex_lock(&s->lock);
    int verdict = io_sim_begin(s, IO_SIM_FILE_SIZE, io_sim_fd(s, fd).node, 0, 0), r = verdict;
    if (verdict >= 0)
        r = io_sim_end(s, verdict, s->files->file_size(s->files, fd, &size));
    (void)pthread_mutex_unlock(&s->lock);
    if (r == 0)
        *ret = size;
    return r;
}

static int io_sim_allocate(const struct io_ops *ops, int fd, uint64_t size)
{
    struct io_sim *s = io_sim_of(ops);
    (void)pthread_mutex_lock(&s->lock);
    struct io_sim_node *n = io_sim_fd(s, fd).node;
    int verdict = io_sim_begin(s, IO_SIM_ALLOCATE, n, 0, size), r = verdict;
    if (verdict >= 0 && size > s->space_left) {
        r = io_sim_end(s, verdict, -ENOSPC);
    } else if (verdict >= 0) {
        r = s->files->allocate(s->files, fd, size);
        if (r == 0) {
            s->space_left -= size;
            if (n != NULL)
                io_sim_disk_resize(s->disk, n, size, true);
        }
        r = io_sim_end(s, verdict, r);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}

static int io_sim_rename(const struct io_ops *ops, const char *from, const char *to)
{
    return io_sim_file_rename(io_sim_of(ops), from, to);
}

static int io_sim_unlink(const struct io_ops *ops, const char *path)
{
    struct io_sim *s = io_sim_of(ops);
    (void)pthread_mutex_lock(&s->lock);
    struct io_sim_node *n = io_sim_node_of(s, path);
    int verdict = io_sim_begin(s, IO_SIM_UNLINK, n, 0, 0), r = verdict;
    if (verdict >= 0) {
        io_sim_depth++;
        r = s->files->unlink(s->files, path);
        io_sim_depth--;
        if (r == 0 && n != NULL)
            io_sim_disk_unlink(s->disk, path);
        r = io_sim_end(s, verdict, r);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}

static int io_sim_sync_folder(const struct io_ops *ops, const char *path)
{
    struct io_sim *s = io_sim_of(ops);
    (void)pthread_mutex_lock(&s->lock);
    struct io_sim_node *n = io_sim_node_of(s, path);
    int verdict = io_sim_begin(s, IO_SIM_SYNC_FOLDER, n, 0, 0), r = verdict;
    if (verdict >= 0) {
        io_sim_depth++;
        r = s->files->sync_folder(s->files, path);
        io_sim_depth--;
        /* The last one is cut off: what it would have made durable may be or not. */
        if (r == 0 && n != NULL && verdict != IO_SIM_LAST)
            io_sim_disk_sync_names(s->disk, n);
        r = io_sim_end(s, verdict, r);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}

static int io_sim_punch(const struct io_ops *ops, int fd, uint64_t offset, uint64_t size)
{
    struct io_sim *s = io_sim_of(ops);
    (void)pthread_mutex_lock(&s->lock);
    struct io_sim_node *n = io_sim_fd(s, fd).node;
    int verdict = io_sim_begin(s, IO_SIM_PUNCH, n, offset, size), r = verdict;
    if (verdict >= 0) {
        r = s->files->punch(s->files, fd, offset, size);
        if (r == 0 && n != NULL)
            io_sim_disk_punch(s->disk, n, offset, size);
        r = io_sim_end(s, verdict, r);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}

static int io_sim_space(const struct io_ops *ops, const char *path, uint64_t *ret_free,
                        uint64_t *ret_size)
{
    struct io_sim *s = io_sim_of(ops);
    uint64_t free_size = 0, size = 0;
    (void)pthread_mutex_lock(&s->lock);
    int verdict = io_sim_begin(s, IO_SIM_SPACE, NULL, 0, 0), r = verdict;
    if (verdict >= 0)
        r = io_sim_end(s, verdict, s->files->space(s->files, path, &free_size, &size));
    if (r == 0) {
        *ret_free = MIN(free_size, s->space_left);
        *ret_size = size;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}

/* --- the simulator ---------------------------------------------------------------------------- */

int io_sim_new(const struct io_sim_options *options, struct io_sim **ret)
{
    struct io_sim *s = io_sim_alloc(sizeof *s);
    s->magic = IO_SIM_MAGIC;
    s->ops = (struct io_ops){.name = "simulator",
                             .open = io_sim_open,
                             .close = io_sim_close,
                             .file_size = io_sim_file_size,
                             .allocate = io_sim_allocate,
                             .rename = io_sim_rename,
                             .unlink = io_sim_unlink,
                             .sync_folder = io_sim_sync_folder,
                             .punch = io_sim_punch,
                             .space = io_sim_space,
                             .queue_new = io_sim_queue_new,
                             .queue_free = io_sim_queue_free,
                             .submit = io_sim_submit,
                             .flush = io_sim_flush,
                             .reap = io_sim_reap};
    s->inner = options->inner;
    s->files = options->inner != NULL ? options->inner : &io_plain;
    s->random = options->seed;
    s->reorder = options->reorder;
    s->no_punch = options->no_punch;
    s->space_left = UINT64_MAX / 2;
    (void)pthread_mutex_init(&s->lock, NULL); /* does not fail on Linux with default attributes */
    (void)pthread_cond_init(&s->changed, NULL);
    int r = 0;
    if (options->root != NULL)
        r = io_sim_disk_new(options->root, options->seed, options->journal, &s->disk);
    if (r < 0) {
        io_sim_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct io_sim *io_sim_free(struct io_sim *s)
{
    if (s == NULL)
        return NULL;
    ASSERT(s->magic == IO_SIM_MAGIC);
    io_sim_disk_free(s->disk);
    free(s->fds);
    (void)pthread_cond_destroy(&s->changed);
    (void)pthread_mutex_destroy(&s->lock);
    MAGIC_CLEAR(s);
    free(s);
    return NULL;
}

const struct io_ops *io_sim_ops(struct io_sim *s)
{
    return &s->ops;
}
