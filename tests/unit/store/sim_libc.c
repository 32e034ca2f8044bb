/* SPDX-License-Identifier: Apache-2.0 */
/* What LMDB 0.9 does (seen with strace): pages by pwrite, or lseek and writev; fdatasync; then the
 * meta page by pwrite through a second descriptor that was opened with O_DSYNC. */
#undef _FILE_OFFSET_BITS /* else the names below would stand for those that end in 64 */
#define _LARGEFILE64_SOURCE
#include "sim_libc.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static _Atomic(struct io_sim *) sim_libc_now;

void sim_libc_attach(struct io_sim *s)
{
    atomic_store(&sim_libc_now, s);
}

/* The libc's own (or the sanitizer's) function of that name. */
#define REAL(name) ((__typeof__(&name))sim_libc_real(#name))

static void *sim_libc_real(const char *name)
{
    void *f = dlsym(RTLD_NEXT, name);
    ASSERT(f != NULL);
    return f;
}

static struct io_sim *sim_libc_of_path(const char *path)
{
    struct io_sim *s = atomic_load(&sim_libc_now);
    return s != NULL && !io_sim_inside() && io_sim_covers(s, path) ? s : NULL;
}

static struct io_sim *sim_libc_of_fd(int fd)
{
    struct io_sim *s = atomic_load(&sim_libc_now);
    return s != NULL && !io_sim_inside() && io_sim_has_fd(s, fd) ? s : NULL;
}

static ssize_t sim_libc_answer(ssize_t r)
{
    if (r >= 0)
        return r;
    errno = (int)-r;
    return -1;
}

/* --- time ------------------------------------------------------------------------------------- */

static _Atomic unsigned sim_libc_seconds;

void sim_libc_later(unsigned seconds)
{
    atomic_fetch_add(&sim_libc_seconds, seconds);
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    int r = REAL(clock_gettime)(clock, t);
    if (r == 0 && clock == CLOCK_REALTIME && !io_sim_inside())
        t->tv_sec += (time_t)atomic_load(&sim_libc_seconds);
    return r;
}

/* --- opening and closing ---------------------------------------------------------------------- */

static int sim_libc_open(const char *path, int flags, unsigned mode)
{
    struct io_sim *s = sim_libc_of_path(path);
    if (s == NULL)
        return REAL(open)(path, flags, mode);
    return (int)sim_libc_answer(io_sim_file_open(s, path, flags, mode));
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    unsigned mode = (flags & O_CREAT) != 0 ? va_arg(args, unsigned) : 0;
    va_end(args);
    return sim_libc_open(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    unsigned mode = (flags & O_CREAT) != 0 ? va_arg(args, unsigned) : 0;
    va_end(args);
    return sim_libc_open(path, flags | O_LARGEFILE, mode);
}

int close(int fd)
{
    struct io_sim *s = sim_libc_of_fd(fd);
    return s != NULL ? (int)sim_libc_answer(io_sim_file_close(s, fd)) : REAL(close)(fd);
}

/* --- bytes ------------------------------------------------------------------------------------ */

ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
    struct io_sim *s = sim_libc_of_fd(fd);
    if (s == NULL)
        return REAL(pread)(fd, data, size, offset);
    return sim_libc_answer(io_sim_file_pread(s, fd, data, size, offset));
}

ssize_t pread64(int fd, void *data, size_t size, off64_t offset)
{
    return pread(fd, data, size, offset);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    struct io_sim *s = sim_libc_of_fd(fd);
    if (s == NULL)
        return REAL(pwrite)(fd, data, size, offset);
    return sim_libc_answer(io_sim_file_pwrite(s, fd, data, size, offset));
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    return pwrite(fd, data, size, offset);
}

/* At the descriptor's place, which moves on. */
static ssize_t sim_libc_write(struct io_sim *s, int fd, const void *data, size_t size)
{
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (at < 0)
        return -1;
    ssize_t r = sim_libc_answer(io_sim_file_pwrite(s, fd, data, size, at));
    if (r > 0 && lseek(fd, at + r, SEEK_SET) < 0)
        return -1;
    return r;
}

ssize_t write(int fd, const void *data, size_t size)
{
    struct io_sim *s = sim_libc_of_fd(fd);
    return s != NULL ? sim_libc_write(s, fd, data, size) : REAL(write)(fd, data, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    struct io_sim *s = sim_libc_of_fd(fd);
    size_t size = 0, at = 0;
    if (s == NULL)
        return REAL(writev)(fd, parts, count);
    for (int i = 0; i < count; i++)
        size += parts[i].iov_len;
    char *whole = malloc(size > 0 ? size : 1);
    ASSERT(whole != NULL);
    for (int i = 0; i < count; i++) {
        memcpy(whole + at, parts[i].iov_base, parts[i].iov_len);
        at += parts[i].iov_len;
    }
    ssize_t r = sim_libc_write(s, fd, whole, size);
    free(whole);
    return r;
}

int fdatasync(int fd)
{
    struct io_sim *s = sim_libc_of_fd(fd);
    return s != NULL ? (int)sim_libc_answer(io_sim_file_sync(s, fd)) : REAL(fdatasync)(fd);
}

int fsync(int fd)
{
    struct io_sim *s = sim_libc_of_fd(fd);
    return s != NULL ? (int)sim_libc_answer(io_sim_file_sync(s, fd)) : REAL(fsync)(fd);
}

int ftruncate(int fd, off_t size)
{
    struct io_sim *s = sim_libc_of_fd(fd);
    if (s == NULL)
        return REAL(ftruncate)(fd, size);
    return (int)sim_libc_answer(io_sim_file_truncate(s, fd, size));
}

int ftruncate64(int fd, off64_t size)
{
    return ftruncate(fd, size);
}

/* --- names ------------------------------------------------------------------------------------ */

int rename(const char *from, const char *to)
{
    struct io_sim *s = sim_libc_of_path(from);
    if (s == NULL)
        return REAL(rename)(from, to);
    return (int)sim_libc_answer(io_sim_file_rename(s, from, to));
}

int unlink(const char *path)
{
    struct io_sim *s = sim_libc_of_path(path);
    return s != NULL ? (int)sim_libc_answer(io_sim_file_unlink(s, path)) : REAL(unlink)(path);
}

int remove(const char *path)
{
    struct io_sim *s = sim_libc_of_path(path);
    return s != NULL ? (int)sim_libc_answer(io_sim_file_unlink(s, path)) : REAL(remove)(path);
}

int mkdir(const char *path, mode_t mode)
{
    struct io_sim *s = sim_libc_of_path(path);
    return s != NULL ? (int)sim_libc_answer(io_sim_file_mkdir(s, path, mode))
                     : REAL(mkdir)(path, mode);
}
