/* SPDX-License-Identifier: Apache-2.0 */
/* The index must be able to change on a full disk: who deletes a film or gives a volume up does so
 * to make room, and LMDB, which never writes over pages in use, needs some for that. So the file
 * has blocks ahead of its end, taken from the file system beforehand: fallocate with KEEP_SIZE, of
 * which LMDB sees nothing but that its writes succeed. They are filled up after each transaction
 * that ate into them. While that cannot be done and less than half is left, room is low: nothing
 * new comes into the store then, and the rest is for making room. */
#include "store/room.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/log.h"

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
int room_for_locks(const char *folder)
{
    int fd = room_open_file(folder, "lock.mdb", O_RDWR | O_CREAT);
    if (fd < 0)
        return fd;
    int r = room_allocate(fd, 0, ROOM_LOCKS);
    (void)close(fd); /* nothing was written */
    return r == -EOPNOTSUPP ? 0 : r;
}

static uint64_t room_wanted(const struct room *m, uint64_t used)
{
    uint64_t want = MIN(MAX(used / ROOM_OF_INDEX, ROOM_MIN), ROOM_MAX);
    return MAX(MIN(want, m->limit), ROOM_LEAST);
}

void room_fill(struct room *m, uint64_t used)
{
    if (m->fd < 0)
        return;
    uint64_t want = room_wanted(m, used);
    uint64_t left = m->end > used ? m->end - used : 0;
    int r = 0;
    /* In large steps: each is a system call, and fragments the file. */
    uint64_t piece = want;
    while (left < want - want / 4 && piece >= ROOM_PIECE && m->fd >= 0) {
        uint64_t from = MAX(m->end, used), size = MIN(piece, want - left);
        r = room_allocate(m->fd, from, size);
        if (r == 0) {
            m->end = from + size;
            left = m->end - used;
        } else if (r == -ENOSPC || r == -EDQUOT) {
            piece /= 2;
        } else {
            room_close(m); /* it cannot, here: what cannot be had beforehand is not */
        }
    }
    bool low = m->fd >= 0 && left < want / 2;
    if (low && !m->low)
        log_warn("the disk is full, and an index has %llu bytes left on it: nothing new is taken",
                 (unsigned long long)left);
    m->low = low;
}

void room_open(struct room *m, const char *folder, uint64_t used)
{
    struct statvfs s;
    m->fd = room_open_file(folder, "data.mdb", O_RDWR);
    if (m->fd < 0)
        return;
    m->limit = ROOM_MAX;
    if (fstatvfs(m->fd, &s) == 0)
        m->limit = (uint64_t)s.f_blocks * s.f_frsize / ROOM_OF_SYSTEM;
    /* With the pages before the end that LMDB never wrote: it may one day. */
    int r = room_allocate(m->fd, 0, used);
    if (r < 0 && r != -ENOSPC && r != -EDQUOT)
        room_close(m);
    m->end = used;
    room_fill(m, used);
}

void room_close(struct room *m)
{
    if (m->fd >= 0)
        (void)close(m->fd); /* nothing was written */
    m->fd = -1;
    m->low = false;
}

/* LMDB says EIO of a write of which only a part found room. */
int room_err(const struct room *m, int r)
{
    struct statvfs s;
    if (r != -EIO || m->fd < 0 || fstatvfs(m->fd, &s) != 0)
        return r;
    return (uint64_t)s.f_bavail * s.f_frsize < ROOM_FULL ? -ENOSPC : r;
}
