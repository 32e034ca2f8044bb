/* SPDX-License-Identifier: Apache-2.0 */
/* io_sim: a disk that fails as disks do, and a power cut, all of it decided by one seed.
 *
 * Life:    io_sim_new -> io_sim_ops to the store under test; faults set and lifted meanwhile ->
 *          io_sim_crash_at, or io_sim_crash -> the store is closed -> io_sim_image -> io_sim_free.
 * Owner:   the test; the store must be closed before io_sim_free.
 * Threads: any.
 * Errors:  0 or -errno. Injected ones look like the kernel's.
 * Units:   bytes; calls are counted from 1.
 *
 * It stands between the store and a real backend, or does the I/O itself, at once. The files are
 * real and stand for the page cache. With a root it also keeps what would be durable (see
 * io_sim_disk.h). At the crash the machine is gone: every later call fails and changes nothing, and
 * no op that was under way succeeds. */
#pragma once
#include <stdio.h>
#include "io/io.h"

#define IO_SIM_CALLS(X)                                                                            \
    X(OPEN, "open")                                                                                \
    X(CLOSE, "close")                                                                              \
    X(FILE_SIZE, "file_size")                                                                      \
    X(ALLOCATE, "allocate")                                                                        \
    X(RENAME, "rename")                                                                            \
    X(UNLINK, "unlink")                                                                            \
    X(SYNC_FOLDER, "sync_folder")                                                                  \
    X(PUNCH, "punch")                                                                              \
    X(SPACE, "space")                                                                              \
    X(QUEUE_NEW, "queue_new")                                                                      \
    X(READ, "read")                                                                                \
    X(WRITE, "write")                                                                              \
    X(SYNC, "sync")                                                                                \
    X(TRUNCATE, "truncate")                                                                        \
    X(MKDIR, "mkdir")

enum io_sim_call {
#define IO_SIM_CALL_ENUM(name, text) IO_SIM_##name,
    IO_SIM_CALLS(IO_SIM_CALL_ENUM)
#undef IO_SIM_CALL_ENUM
        IO_SIM_CALL_COUNT
};

struct io_sim;

struct io_sim_options {
    const struct io_ops *inner; /* NULL: reads and writes at once, within submit */
    uint64_t seed;
    const char *root; /* the folder whose durable state is kept; NULL: none, and no crash */
    bool journal;     /* what a sync does to names: see io_sim_disk_new */
    bool reorder;     /* ops of a queue end in any order */
    bool no_punch;    /* punch is -EOPNOTSUPP, as on some file systems */
};

MUST_USE int io_sim_new(const struct io_sim_options *options, struct io_sim **ret);
struct io_sim *io_sim_free(struct io_sim *s); /* takes NULL, returns NULL */
const struct io_ops *io_sim_ops(struct io_sim *s);

/* --- faults ----------------------------------------------------------------------------------- */

#define IO_SIM_SHORT 1 /* as res: the transfer moves only a part; other calls succeed */

struct io_sim_fault {
    uint32_t kinds; /* a bit (1u << IO_SIM_WRITE) for each kind of call that counts; 0: all */
    uint64_t first; /* the first that fails, counted from now */
    uint64_t count; /* how many fail, one after the other; UINT64_MAX: all from then on */
    int res;        /* -errno or IO_SIM_SHORT */
};

void io_sim_fail(struct io_sim *s, const struct io_sim_fault *f); /* NULL: lifts it */
uint64_t io_sim_failed(struct io_sim *s);                         /* calls, since io_sim_fail */
/* One call in so many (about) fails with an errno that suits it; 0: none. */
void io_sim_fail_randomly(struct io_sim *s, uint32_t one_in);
void io_sim_set_short(struct io_sim *s, uint32_t size); /* no more in one transfer; 0: all */
uint64_t io_sim_shortened(struct io_sim *s);            /* transfers, since the beginning */
void io_sim_set_space(struct io_sim *s, uint64_t size); /* what allocate may still hand out */

/* Calls from now on wait where they are (but for those of this thread) until false is set. */
void io_sim_hold(struct io_sim *s, bool held);
/* Until a call waits or the time is over; false: none does. */
bool io_sim_wait_held(struct io_sim *s, unsigned wait_ms);

/* A byte of the file at path changes by itself, on the medium and in the cache. -ENXIO: it has no
 * such byte. */
MUST_USE int io_sim_damage(struct io_sim *s, const char *path, uint64_t offset, uint8_t mask);

/* --- power ------------------------------------------------------------------------------------ */

/* The n-th call from now on, which is under way then: it may or may not have done its work. 0:
 * none. */
void io_sim_crash_at(struct io_sim *s, uint64_t n);
void io_sim_crash(struct io_sim *s); /* now; nothing when it is over already */
bool io_sim_crashed(struct io_sim *s);
/* What is left, in a folder that it makes. The same each time. */
MUST_USE int io_sim_image(struct io_sim *s, const char *folder);

void io_sim_trace(struct io_sim *s, FILE *out); /* the last calls, for a failing test to show */

/* --- files that the store's libraries open by themselves ---------------------------------------
 * For a test that catches libc calls and hands them here: the calls of the same names, with
 * -errno for an answer. They count, fail and crash like those of the table. */

bool io_sim_inside(void); /* on this thread: the call is io_sim's own, let it pass */
bool io_sim_covers(struct io_sim *s, const char *path);
bool io_sim_has_fd(struct io_sim *s, int fd); /* opened by io_sim_file_open */
int io_sim_file_open(struct io_sim *s, const char *path, int flags, unsigned mode);
int io_sim_file_close(struct io_sim *s, int fd);
ssize_t io_sim_file_pread(struct io_sim *s, int fd, void *data, size_t size, off_t offset);
ssize_t io_sim_file_pwrite(struct io_sim *s, int fd, const void *data, size_t size, off_t offset);
int io_sim_file_sync(struct io_sim *s, int fd); /* of a file or a folder */
int io_sim_file_truncate(struct io_sim *s, int fd, off_t size);
int io_sim_file_rename(struct io_sim *s, const char *from, const char *to);
int io_sim_file_unlink(struct io_sim *s, const char *path); /* remove(3), of a folder too */
int io_sim_file_mkdir(struct io_sim *s, const char *path, unsigned mode);
