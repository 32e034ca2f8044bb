/* SPDX-License-Identifier: Apache-2.0 */
/* Files that the store's libraries open by themselves: see the end of io_sim.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "io/io_sim_disk_priv.h"
#include "io/io_sim_priv.h"

#define IO_SIM_LOCK_FILE "/lock.mdb" /* shared memory of LMDB's: of no interest after a crash */

bool io_sim_covers(struct io_sim *s, const char *path)
{
    size_t size = strlen(path), lock_size = strlen(IO_SIM_LOCK_FILE);
    if (size >= lock_size && strcmp(path + size - lock_size, IO_SIM_LOCK_FILE) == 0)
        return false;
    return s->disk != NULL && io_sim_disk_covers(s->disk, path); /* the disk itself is constant */
}

bool io_sim_has_fd(struct io_sim *s, int fd)
{
    (void)pthread_mutex_lock(&s->lock);
    bool has = io_sim_fd(s, fd).outside;
    (void)pthread_mutex_unlock(&s->lock);
    return has;
}

int io_sim_file_open(struct io_sim *s, const char *path, int flags, unsigned mode)
{
    (void)pthread_mutex_lock(&s->lock);
    struct io_sim_node *n = io_sim_node_of(s, path);
    int verdict = io_sim_begin(s, IO_SIM_OPEN, n, 0, 0), r = verdict;
    if (verdict >= 0) {
        io_sim_depth++;
        int fd = open(path, flags, mode);
        r = fd < 0 ? -errno : fd;
        if (fd >= 0) {
            if (n == NULL)
                n = io_sim_disk_make(s->disk, path, false);
            if ((flags & O_TRUNC) != 0)
                io_sim_disk_resize(s->disk, n, 0, false);
            io_sim_set_fd(s, fd,
                          (struct io_sim_file){.node = n,
                                               .outside = true,
                                               .write_through = (flags & (O_DSYNC | O_SYNC)) != 0});
        }
        r = io_sim_end(s, verdict, r);
        if (r < 0 && fd >= 0) {
            io_sim_set_fd(s, fd, (struct io_sim_file){.node = NULL});
            (void)close(fd); /* the open failed for all that the caller knows */
        }
        io_sim_depth--;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}

int io_sim_file_close(struct io_sim *s, int fd)
{
    (void)pthread_mutex_lock(&s->lock);
    int verdict = io_sim_begin(s, IO_SIM_CLOSE, io_sim_fd(s, fd).node, 0, 0);
    io_sim_set_fd(s, fd, (struct io_sim_file){.node = NULL});
    io_sim_depth++;
    int r = close(fd) == 0 ? 0 : -errno;
    io_sim_depth--;
    r = verdict < 0 ? verdict : io_sim_end(s, verdict, r);
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}

/* How much a transfer of so much moves. */
static size_t io_sim_file_size_of(struct io_sim *s, size_t size, int verdict)
{
    if (verdict != IO_SIM_SHORT || size < 2)
        return size;
    s->shortened++;
    return 1 + (size_t)io_sim_roll(s, size - 1);
}

ssize_t io_sim_file_pread(struct io_sim *s, int fd, void *data, size_t size, off_t offset)
{
    (void)pthread_mutex_lock(&s->lock);
    int verdict = io_sim_begin(s, IO_SIM_READ, io_sim_fd(s, fd).node, (uint64_t)offset, size);
    ssize_t r = verdict;
    if (verdict >= 0) {
        io_sim_depth++;
        r = pread(fd, data, io_sim_file_size_of(s, size, verdict), offset);
        r = r < 0 ? -errno : r;
        io_sim_depth--;
        if (verdict == IO_SIM_LAST)
            r = io_sim_end(s, verdict, 0);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}

ssize_t io_sim_file_pwrite(struct io_sim *s, int fd, const void *data, size_t size, off_t offset)
{
    (void)pthread_mutex_lock(&s->lock);
    struct io_sim_file f = io_sim_fd(s, fd);
    int verdict = io_sim_begin(s, IO_SIM_WRITE, f.node, (uint64_t)offset, size);
    ssize_t r = verdict;
    bool partly = verdict < 0 && !s->crashed && verdict != -EINTR && verdict != -EAGAIN;
    size_t part = io_sim_file_size_of(s, size, verdict);
    if (partly)
        part = (size_t)io_sim_roll(s, 3) * (size / 2);
    if ((verdict >= 0 || partly) && part <= UINT32_MAX) {
        io_sim_depth++;
        ssize_t moved = pwrite(fd, data, part, offset);
        r = verdict < 0 ? verdict : moved < 0 ? -errno : moved;
        io_sim_depth--;
        if (moved > 0) {
            uint64_t number =
                io_sim_disk_write(s->disk, f.node, data, (uint32_t)moved, (uint64_t)offset);
            io_sim_disk_written(s->disk, f.node, number, (uint32_t)moved);
        }
        if (f.write_through && verdict != IO_SIM_LAST)
            io_sim_disk_sync_end(s->disk, f.node, io_sim_disk_sync_begin(s->disk), verdict >= 0);
        if (verdict == IO_SIM_LAST)
            r = io_sim_end(s, verdict, 0);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}

int io_sim_file_sync(struct io_sim *s, int fd)
{
    (void)pthread_mutex_lock(&s->lock);
    struct io_sim_node *n = io_sim_fd(s, fd).node;
    bool is_folder = io_sim_node_is_folder(n);
    int verdict = io_sim_begin(s, is_folder ? IO_SIM_SYNC_FOLDER : IO_SIM_SYNC, n, 0, 0);
    int r = verdict;
    if (verdict >= 0 && verdict != IO_SIM_LAST) {
        io_sim_depth++;
        r = fdatasync(fd) == 0 ? 0 : -errno;
        io_sim_depth--;
    }
    bool undone = verdict == -EINTR || verdict == IO_SIM_LAST || s->crashed;
    if (!undone && is_folder && r == 0)
        io_sim_disk_sync_names(s->disk, n);
    else if (!undone && !is_folder)
        io_sim_disk_sync_end(s->disk, n, io_sim_disk_sync_begin(s->disk), r == 0);
    r = verdict < 0 ? verdict : io_sim_end(s, verdict, r);
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}

int io_sim_file_truncate(struct io_sim *s, int fd, off_t size)
{
    (void)pthread_mutex_lock(&s->lock);
    struct io_sim_node *n = io_sim_fd(s, fd).node;
    int verdict = io_sim_begin(s, IO_SIM_TRUNCATE, n, 0, (uint64_t)size), r = verdict;
    if (verdict >= 0) {
        io_sim_depth++;
        r = ftruncate(fd, size) == 0 ? 0 : -errno;
        io_sim_depth--;
        if (r == 0)
            io_sim_disk_resize(s->disk, n, (uint64_t)size, false);
        r = io_sim_end(s, verdict, r);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}

int io_sim_file_rename(struct io_sim *s, const char *from, const char *to)
{
    (void)pthread_mutex_lock(&s->lock);
    struct io_sim_node *n = io_sim_node_of(s, from);
    int verdict = io_sim_begin(s, IO_SIM_RENAME, n, 0, 0), r = verdict;
    if (verdict >= 0) {
        io_sim_depth++;
        r = s->files->rename(s->files, from, to);
        io_sim_depth--;
        if (r == 0 && n != NULL)
            io_sim_disk_rename(s->disk, from, to);
        r = io_sim_end(s, verdict, r);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}

int io_sim_file_unlink(struct io_sim *s, const char *path)
{
    (void)pthread_mutex_lock(&s->lock);
    struct io_sim_node *n = io_sim_node_of(s, path);
    int verdict = io_sim_begin(s, IO_SIM_UNLINK, n, 0, 0), r = verdict;
    if (verdict >= 0) {
        io_sim_depth++;
        r = remove(path) == 0 ? 0 : -errno;
        io_sim_depth--;
        if (r == 0 && n != NULL)
            io_sim_disk_unlink(s->disk, path);
        r = io_sim_end(s, verdict, r);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}

int io_sim_file_mkdir(struct io_sim *s, const char *path, unsigned mode)
{
    (void)pthread_mutex_lock(&s->lock);
    int verdict = io_sim_begin(s, IO_SIM_MKDIR, NULL, 0, 0), r = verdict;
    if (verdict >= 0) {
        io_sim_depth++;
        r = mkdir(path, mode) == 0 ? 0 : -errno;
        io_sim_depth--;
        if (r == 0)
            (void)io_sim_disk_make(s->disk, path, true);
        r = io_sim_end(s, verdict, r);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}
