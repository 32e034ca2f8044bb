/* SPDX-License-Identifier: Apache-2.0 */
#include "io/io_file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/file.h"

int io_file_open(const struct io_ops *ops, const char *path, unsigned flags)
{
    (void)ops;
    int f = O_CLOEXEC | O_NOFOLLOW;
    f |= (flags & (IO_WRITABLE | IO_CREATE)) != 0 ? O_RDWR : O_RDONLY;
    if ((flags & IO_CREATE) != 0)
        f |= O_CREAT | O_EXCL;
    int direct = (flags & IO_DIRECT) != 0 ? O_DIRECT : 0;
    int fd = open(path, f | direct, 0644);
    if (fd < 0 && errno == EINVAL && direct != 0) {
        /* Some file systems make the file before they refuse O_DIRECT. */
        fd = open(path, f & ~O_EXCL, 0644);
    }
    return fd < 0 ? -errno : fd;
}

int io_file_close(const struct io_ops *ops, int fd)
{
    (void)ops;
    return close(fd) == 0 ? 0 : -errno;
}

int io_file_size(const struct io_ops *ops, int fd, uint64_t *ret)
{
    (void)ops;
    struct stat s;
    if (fstat(fd, &s) != 0)
        return -errno;
    if (!S_ISREG(s.st_mode))
        return -EINVAL;
    *ret = (uint64_t)s.st_size;
    return 0;
}

int io_file_allocate(const struct io_ops *ops, int fd, uint64_t size)
{
    (void)ops;
    if (size > INT64_MAX)
        return -EFBIG;
    int r;
    do {
        r = fallocate(fd, 0, 0, (off_t)size);
    } while (r != 0 && errno == EINTR);
    if (r == 0)
        return 0;
    if (errno != EOPNOTSUPP)
        return -errno;
    /* Without preallocation a full disk shows at the write instead. */
    return ftruncate(fd, (off_t)size) == 0 ? 0 : -errno;
}

int io_file_rename(const struct io_ops *ops, const char *from, const char *to)
{
    (void)ops;
    return rename(from, to) == 0 ? 0 : -errno;
}

int io_file_unlink(const struct io_ops *ops, const char *path)
{
    (void)ops;
    return unlink(path) == 0 ? 0 : -errno;
}

int io_file_sync_folder(const struct io_ops *ops, const char *path)
{
    (void)ops;
    return file_sync_folder(path);
}

int io_file_punch(const struct io_ops *ops, int fd, uint64_t offset, uint64_t size)
{
    (void)ops;
    if (offset > INT64_MAX || size > INT64_MAX - offset)
        return -EFBIG;
    int r;
    do {
        r = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size);
    } while (r != 0 && errno == EINTR);
    return r == 0 ? 0 : -errno;
}

int io_file_space(const struct io_ops *ops, const char *path, uint64_t *ret_free,
                  uint64_t *ret_size)
{
    (void)ops;
    struct statvfs s;
    if (statvfs(path, &s) != 0)
        return -errno;
    *ret_free = (uint64_t)s.f_bavail * s.f_frsize;
    *ret_size = (uint64_t)s.f_blocks * s.f_frsize;
    return 0;
}
