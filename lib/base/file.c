/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_DEPTH_MAX 32 /* open folders while removing a tree */

int file_read(const char *path, size_t size_max, struct buf *out)
{
    CLEAN(base_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    char piece[16384];
    size_t size = 0;
    for (;;) {
        ssize_t got = read(fd, piece, sizeof piece);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return buf_error(out);
        size += (size_t)got;
        if (size > size_max)
            return -EFBIG;
        buf_put(out, piece, (size_t)got);
    }
}

int file_read_secret(const char *path, struct buf *out)
{
    CLEAN_BUF struct buf text = BUF_EMPTY;
    int r = file_read(path, 65536, &text);
    if (r < 0)
        return r;
    struct str rest;
    struct str line = str_trim(str_cut(buf_str(&text), '\n', &rest));
    if (line.size == 0)
        return -EBADMSG;
    buf_put_str(out, line);
    return buf_error(out);
}

int file_write_all(int fd, const void *data, size_t size)
{
    const char *p = data;
    while (size > 0) {
        ssize_t put = write(fd, p, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        p += put;
        size -= (size_t)put;
    }
    return 0;
}

int file_sync_folder(const char *path)
{
    CLEAN(base_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fsync(fd) < 0 ? -errno : 0;
}

static int file_sync_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return file_sync_folder(".");
    if (slash == path)
        return file_sync_folder("/");
    CLEAN(base_free) char *folder = str_dup((struct str){path, (size_t)(slash - path)});
    return folder == NULL ? -ENOMEM : file_sync_folder(folder);
}

static int file_fill(const char *path, struct str bytes, unsigned mode)
{
    CLEAN(base_close)
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, (mode_t)mode);
    if (fd < 0)
        return -errno;
    int r = file_write_all(fd, bytes.data, bytes.size);
    if (r < 0)
        return r;
    return fsync(fd) < 0 ? -errno : 0;
}

int file_write(const char *path, struct str bytes, unsigned mode)
{
    CLEAN_BUF struct buf temporary = BUF_EMPTY;
    buf_printf(&temporary, "%s.%d.tmp", path, (int)gettid());
    int r = buf_error(&temporary);
    if (r < 0)
        return r;
    r = file_fill(temporary.data, bytes, mode);
    if (r == 0 && rename(temporary.data, path) < 0)
        r = -errno;
    if (r < 0) {
        (void)unlink(temporary.data); /* best effort: the error that matters is r */
        return r;
    }
    return file_sync_parent(path);
}

/* *ret_made: it was not there. Its name is in another folder, which a crash may find without it. */
static int file_mkdir(const char *path, bool *ret_made)
{
    *ret_made = mkdir(path, 0755) == 0;
    if (!*ret_made)
        return errno == EEXIST ? 0 : -errno;
    return file_sync_parent(path);
}

/* It was there: perhaps made just now, by a call that broke off before its name was synced. Where
 * we could not have made it there is nothing to be synced either. */
static int file_mkdir_again(const char *path)
{
    int r = file_sync_parent(path);
    return r == -EACCES || r == -EROFS || r == -EINVAL ? 0 : r;
}

int file_mkdirs(const char *path)
{
    CLEAN(base_free) char *copy = str_dup(str_of(path));
    size_t there = 0; /* of path, the last that was there; those before it are synced: see below */
    if (copy == NULL)
        return -ENOMEM;
    for (char *p = copy + 1; copy[0] != 0; p++) {
        bool made = true;
        if (*p != '/' && *p != 0)
            continue;
        char kept = *p;
        *p = 0;
        int r = file_mkdir(copy, &made);
        if (r < 0)
            return r; /* and none is made in one that is not synced */
        if (!made && p[-1] != '/')
            there = (size_t)(p - copy);
        *p = kept;
        if (kept == 0)
            break;
    }
    struct stat st;
    if (stat(path, &st) < 0)
        return -errno;
    if (!S_ISDIR(st.st_mode))
        return -ENOTDIR;
    copy[there] = 0;
    return there > 0 ? file_mkdir_again(copy) : 0;
}

static int file_remove_one(const char *path, const struct stat *st, int flag, struct FTW *walk)
{
    (void)st;
    (void)flag;
    (void)walk;
    return remove(path) < 0 && errno != ENOENT ? -errno : 0;
}

int file_remove_all(const char *path)
{
    int r = nftw(path, file_remove_one, FILE_DEPTH_MAX, FTW_DEPTH | FTW_PHYS);
    if (r == -1) /* nftw's own failure; ours are passed through as they are */
        r = -errno;
    return r == -ENOENT ? 0 : r;
}

char *file_join(const char *folder, const char *name)
{
    struct buf b = BUF_EMPTY;
    buf_printf(&b, "%s/%s", folder, name);
    return buf_take(&b);
}
