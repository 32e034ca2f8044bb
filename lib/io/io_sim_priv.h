/* SPDX-License-Identifier: Apache-2.0 */
/* io_sim_priv: what the files of the simulator share.
 *
 * Life:    see io_sim.h.
 * Owner:   see io_sim.h.
 * Threads: all fields but the constant ones under lock.
 * Errors:  0 or -errno.
 * Units:   bytes. */
#pragma once
#include <pthread.h>
#include "io/io_sim.h"
#include "io/io_sim_disk.h"

#define IO_SIM_TRACE 1024u /* calls remembered */

struct io_sim_file {
    struct io_sim_node *node; /* NULL: of no interest */
    bool outside;             /* opened by io_sim_file_open */
    bool write_through;       /* O_SYNC or O_DSYNC */
};

struct io_sim_traced {
    enum io_sim_call call;
    char name[24];
    uint64_t offset, size;
    int res;
};

struct io_sim {
    uint32_t magic;
#define IO_SIM_MAGIC UINT32_C(0x51330b1d)
    struct io_ops ops;
    const struct io_ops *inner; /* NULL: at once */
    const struct io_ops *files; /* whose file calls do the work */
    bool reorder, no_punch;
    pthread_mutex_t lock; /* the rest */
    pthread_cond_t changed;
    uint64_t random;
    struct io_sim_disk *disk; /* NULL: nothing is kept */
    struct io_sim_file *fds;
    size_t fds_count;
    struct io_sim_fault fault;
    uint64_t fault_seen, failed, shortened, space_left;
    uint32_t short_size, random_one_in;
    uint64_t calls, crash_at;
    bool crashed;
    bool held;
    pthread_t holder;
    unsigned held_count;
    struct io_sim_traced trace[IO_SIM_TRACE];
};

struct io_sim *io_sim_of(const struct io_ops *ops);
extern _Thread_local unsigned io_sim_depth;

/* What is to become of a call that begins. Under lock, which it may let go while calls are held.
 * < 0: it fails and does nothing. Else it does its work; IO_SIM_SHORT: not all of it;
 * IO_SIM_LAST: and is the last that this machine did: io_sim_end must follow. */
#define IO_SIM_LAST 2
int io_sim_begin(struct io_sim *s, enum io_sim_call call, const struct io_sim_node *n,
                 uint64_t offset, uint64_t size);
/* Returns what the caller is told: r, or -EIO when the machine is gone. */
int io_sim_end(struct io_sim *s, int verdict, int r);

struct io_sim_file io_sim_fd(struct io_sim *s, int fd); /* under lock */
void io_sim_set_fd(struct io_sim *s, int fd, struct io_sim_file f);
struct io_sim_node *io_sim_node_of(struct io_sim *s, const char *path);
uint64_t io_sim_roll(struct io_sim *s, uint64_t n); /* 0..n-1 */

/* io_sim_queue.c */
int io_sim_queue_new(const struct io_ops *ops, unsigned depth, int event_fd, struct io_queue **ret);
void io_sim_queue_free(struct io_queue *queue);
void io_sim_submit(struct io_queue *queue, struct io_op *op);
void io_sim_flush(struct io_queue *queue);
void io_sim_reap(struct io_queue *queue, bool wait);
