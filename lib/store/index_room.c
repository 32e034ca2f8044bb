/* SPDX-License-Identifier: Apache-2.0 */
/* The index must be able to change on a full disk: who deletes a film or gives a volume up does so
 * to make room, and LMDB, which never writes over pages in use, needs some for that. So the file
 * has blocks ahead of its end, taken from the file system beforehand: fallocate with KEEP_SIZE, of
 * which LMDB sees nothing but that its writes succeed. They are filled up after each transaction
 * that ate into them. While that cannot be done and less than half is left, room is low: nothing
 * new comes into the store then, and the rest is for making room. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/log.h"
#include "store/index_priv.h"

#define ROOM_MIN       (UINT64_C(8) << 20)
#define ROOM_MAX       (UINT64_C(1) << 30)
#define ROOM_LEAST     (UINT64_C(256) << 10) /* on the smallest file systems */
#define ROOM_OF_INDEX  8u                    /* an eighth of what is used */
#define ROOM_OF_SYSTEM 16u                   /* at most a sixteenth of the file system */
#define ROOM_PIECE     (UINT64_C(64) << 10)
#define ROOM_FULL      (UINT64_C(1) << 20)   /* a file system with less is full */
#define ROOM_LOCKS     (UINT64_C(128) << 10) /* more than lock.mdb with INDEX_READERS_MAX takes */
#define ROOM_PATH_MAX  4096

static int room_allocate(int fd, uint64_t from, uint64_t size)
{
    int r;
    do {
        r = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)size);
    } while (r != 0 && errno == EINTR);
    return r == 0 ? 0 : -errno;
}

static int room_open_file(const char *folder, const char *name, int flags)
{
    char path[ROOM_PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (n < 0 || (size_t)n >= sizeof path)
        return -ENAMETOOLONG;
    int fd = open(path, flags | O_CLOEXEC, 0644);
    return fd >= 0 ? fd : -errno;
}

/* The file of locks is written through a mapping: a page of it for which the disk has no room would
 * kill the process. */
int index_room_for_locks(const char *folder)
{
    int fd = room_open_file(folder, "lock.mdb", O_RDWR | O_CREAT);
    if (fd < 0)
        return fd;
    int r = room_allocate(fd, 0, ROOM_LOCKS);
    (void)close(fd); /* nothing was written */
    return r == -EOPNOTSUPP ? 0 : r;
}

static uint64_t room_used(struct index *x)
{
    MDB_envinfo info = {0};
    MDB_stat stat = {0};
    (void)pthread_mutex_lock(&x->lock);
    (void)mdb_env_info(x->env, &info); /* these fail for a NULL only */
    (void)mdb_env_stat(x->env, &stat);
    (void)pthread_mutex_unlock(&x->lock);
    return ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
}

static uint64_t room_wanted(const struct index *x, uint64_t used)
{
    uint64_t want = MIN(MAX(used / ROOM_OF_INDEX, ROOM_MIN), ROOM_MAX);
    return MAX(MIN(want, x->room_limit), ROOM_LEAST);
}

void index_room_fill(struct index *x)
{
    if (x->room_fd < 0)
        return;
    uint64_t used = room_used(x), want = room_wanted(x, used);
    uint64_t left = x->room_end > used ? x->room_end - used : 0;
    int r = 0;
    /* In large steps: each is a system call, and fragments the file. */
    uint64_t piece = want;
    while (left < want - want / 4 && piece >= ROOM_PIECE && x->room_fd >= 0) {
        uint64_t from = MAX(x->room_end, used), size = MIN(piece, want - left);
        r = room_allocate(x->room_fd, from, size);
        if (r == 0) {
            x->room_end = from + size;
            left = x->room_end - used;
        } else if (r == -ENOSPC || r == -EDQUOT) {
            piece /= 2;
        } else {
            index_room_close(x); /* it cannot, here: what cannot be had beforehand is not */
        }
    }
    bool low = x->room_fd >= 0 && left < want / 2;
    if (low && !x->room_low)
        log_warn("the disk is full, and the index has %llu bytes left: nothing new is taken",
                 (unsigned long long)left);
    x->room_low = low;
}

bool index_room_was_low(const struct index *x)
{
    return atomic_load_explicit(&x->room_low, memory_order_relaxed);
}

bool index_room_low(struct index *x)
{
    if (x->room_low)
        index_room_fill(x);
    return x->room_low;
}

void index_room_open(struct index *x, const char *folder)
{
    struct statvfs s;
    x->room_fd = room_open_file(folder, "data.mdb", O_RDWR);
    if (x->room_fd < 0)
        return;
    x->room_limit = ROOM_MAX;
    if (fstatvfs(x->room_fd, &s) == 0)
        x->room_limit = (uint64_t)s.f_blocks * s.f_frsize / ROOM_OF_SYSTEM;
    /* With the pages before the end that LMDB never wrote: it may one day. */
    uint64_t used = room_used(x);
    int r = room_allocate(x->room_fd, 0, used);
    if (r < 0 && r != -ENOSPC && r != -EDQUOT)
        index_room_close(x);
    x->room_end = used;
    index_room_fill(x);
}

void index_room_close(struct index *x)
{
    if (x->room_fd >= 0)
        (void)close(x->room_fd); /* nothing was written */
    x->room_fd = -1;
    x->room_low = false;
}

/* LMDB says EIO of a write of which only a part found room. */
int index_room_err(const struct index *x, int r)
{
    struct statvfs s;
    if (r != -EIO || x->room_fd < 0 || fstatvfs(x->room_fd, &s) != 0)
        return r;
    return (uint64_t)s.f_bavail * s.f_frsize < ROOM_FULL ? -ENOSPC : r;
}
