/* SPDX-License-Identifier: Apache-2.0 */
/* One suite for all backends. */
#include "io/io.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/file.h"
#include "io/io_sim.h"
#include "../unit.h"

struct place {
    const struct io_ops *ops;
    char folder[64];
    char path[80];
};

static void place_new(struct place *p, void **state)
{
    p->ops = *state;
    (void)snprintf(p->folder, sizeof p->folder, "/tmp/weir-io-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    (void)snprintf(p->path, sizeof p->path, "%s/file", p->folder);
}

static int place_open(struct place *p, unsigned flags)
{
    int fd = p->ops->open(p->ops, p->path, flags);
    assert_true(fd >= 0);
    return fd;
}

static void place_free(struct place *p)
{
    assert_int_equal(file_remove_all(p->folder), 0);
}

static void io_test_files(void **state)
{
    struct place p;
    char other[96];
    uint64_t size = 7;
    place_new(&p, state);
    const struct io_ops *ops = p.ops;
    assert_int_equal(ops->open(ops, p.path, 0), -ENOENT);
    int fd = place_open(&p, IO_CREATE | IO_WRITABLE | IO_DIRECT);
    assert_int_equal(ops->open(ops, p.path, IO_CREATE), -EEXIST);
    assert_int_equal(ops->file_size(ops, fd, &size), 0);
    assert_int_equal(size, 0);
    assert_int_equal(ops->allocate(ops, fd, 65536), 0);
    assert_int_equal(ops->file_size(ops, fd, &size), 0);
    assert_int_equal(size, 65536);
    assert_int_equal(ops->close(ops, fd), 0);
    assert_int_equal(ops->file_size(ops, fd, &size), -EBADF);
    (void)snprintf(other, sizeof other, "%s/other", p.folder);
    assert_int_equal(ops->rename(ops, p.path, other), 0);
    assert_int_equal(ops->rename(ops, p.path, other), -ENOENT);
    assert_int_equal(ops->sync_folder(ops, p.folder), 0);
    assert_int_equal(symlink(other, p.path), 0);
    assert_int_equal(ops->open(ops, p.path, 0), -ELOOP);
    assert_int_equal(ops->unlink(ops, other), 0);
    assert_int_equal(ops->unlink(ops, other), -ENOENT);
    place_free(&p);
}

static void io_test_run(void **state)
{
    struct place p;
    struct io_queue *q = NULL;
    place_new(&p, state);
    uint8_t *a = aligned_alloc(IO_ALIGN, 4 * IO_ALIGN), *b = aligned_alloc(IO_ALIGN, 4 * IO_ALIGN);
    assert_non_null(a);
    assert_non_null(b);
    for (uint32_t i = 0; i < 4 * IO_ALIGN; i++)
        a[i] = (uint8_t)(i * 7 + i / 256);
    assert_int_equal(io_queue_new(p.ops, 8, -1, &q), 0);
    int fd = place_open(&p, IO_CREATE | IO_WRITABLE | IO_DIRECT);
    assert_int_equal(io_run(q, IO_WRITE, fd, a, 4 * IO_ALIGN, IO_ALIGN), 0);
    assert_int_equal(io_run(q, IO_SYNC, fd, NULL, 0, 0), 0);
    assert_int_equal(io_run(q, IO_READ, fd, b, 4 * IO_ALIGN, IO_ALIGN), 0);
    assert_memory_equal(a, b, 4 * IO_ALIGN);
    /* Half behind the end. */
    assert_int_equal(io_run(q, IO_READ, fd, b, 4 * IO_ALIGN, 3 * IO_ALIGN), -ENODATA);
    assert_int_equal(io_run(q, IO_READ, fd, b, IO_ALIGN, 100 * IO_ALIGN), -ENODATA);
    assert_int_equal(p.ops->close(p.ops, fd), 0);
    assert_int_equal(io_run(q, IO_READ, fd, b, IO_ALIGN, 0), -EBADF);
    assert_int_equal(io_run(q, IO_SYNC, fd, NULL, 0, 0), -EBADF);
    fd = place_open(&p, 0); /* for reading only */
    assert_int_equal(io_run(q, IO_WRITE, fd, a, IO_ALIGN, 0), -EBADF);
    assert_int_equal(io_run(q, IO_READ, fd, b, IO_ALIGN, IO_ALIGN), 0);
    assert_int_equal(p.ops->close(p.ops, fd), 0);
    io_queue_free(q);
    free(a);
    free(b);
    place_free(&p);
}

struct counted {
    struct io_op op;
    unsigned *count;
    struct io_queue *queue;
    struct counted *then; /* submitted from within done */
    uint8_t data[64];
};

static void counted_done(struct io_op *op, int res)
{
    struct counted *c = CONTAINER_OF(op, struct counted, op);
    assert_int_equal(res, 0);
    (*c->count)++;
    if (c->then != NULL)
        io_submit(c->queue, &c->then->op);
}

/* Far more ops than places, ops from within done, and an eventfd that tells of all of it. */
static void io_test_many(void **state)
{
    struct place p;
    struct io_queue *q = NULL;
    unsigned count = 0;
    enum { MANY = 1000 };
    place_new(&p, state);
    struct counted *ops = calloc(2 * MANY, sizeof *ops);
    assert_non_null(ops);
    int event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(event_fd >= 0);
    assert_int_equal(io_queue_new(p.ops, 8, event_fd, &q), 0);
    int fd = place_open(&p, IO_CREATE | IO_WRITABLE);
    for (unsigned i = 0; i < 2 * MANY; i++) {
        struct counted *c = &ops[i];
        bool reads = i >= MANY;
        c->count = &count;
        c->queue = q;
        c->then = reads ? NULL : &ops[i + MANY];
        c->op = (struct io_op){.kind = reads ? IO_READ : IO_WRITE,
                               .fd = fd,
                               .data = c->data,
                               .size = sizeof c->data,
                               .offset = (uint64_t)(i % MANY) * sizeof c->data,
                               .done = counted_done};
        memset(c->data, reads ? 0 : (int)(i % 251), sizeof c->data);
        if (!reads)
            io_submit(q, &c->op);
    }
    io_flush(q);
    while (count < 2 * MANY) {
        struct pollfd wait = {.fd = event_fd, .events = POLLIN};
        uint64_t events;
        assert_int_equal(poll(&wait, 1, 60000), 1);
        assert_int_equal(read(event_fd, &events, sizeof events), sizeof events);
        io_reap(q, false);
    }
    for (unsigned i = 0; i < MANY; i++)
        assert_memory_equal(ops[i].data, ops[i + MANY].data, sizeof ops[i].data);
    assert_int_equal(q->under_way, 0);
    io_reap(q, true); /* nothing is under way: does not wait */
    io_queue_free(q);
    assert_int_equal(close(event_fd), 0);
    assert_int_equal(p.ops->close(p.ops, fd), 0);
    free(ops);
    place_free(&p);
}

/* A hole reads as zeroes, and what is around it stays. */
static void io_test_punch(void **state)
{
    struct place p;
    uint8_t *bytes = aligned_alloc(IO_ALIGN, 3 * IO_ALIGN);
    struct io_queue *q = NULL;
    uint64_t free_size = 0, size = 0;
    assert_non_null(bytes);
    place_new(&p, state);
    assert_int_equal(io_queue_new(p.ops, 4, -1, &q), 0);
    int fd = place_open(&p, IO_CREATE | IO_WRITABLE);
    memset(bytes, 7, 3 * IO_ALIGN);
    assert_int_equal(io_run(q, IO_WRITE, fd, bytes, 3 * IO_ALIGN, 0), 0);
    assert_int_equal(p.ops->punch(p.ops, fd, IO_ALIGN, IO_ALIGN), 0);
    assert_int_equal(io_run(q, IO_READ, fd, bytes, 3 * IO_ALIGN, 0), 0);
    for (uint32_t i = 0; i < 3 * IO_ALIGN; i++)
        assert_int_equal(bytes[i], i / IO_ALIGN == 1 ? 0 : 7);
    assert_int_equal(p.ops->file_size(p.ops, fd, &size), 0);
    assert_int_equal(size, 3 * IO_ALIGN);
    assert_int_equal(p.ops->punch(p.ops, fd, UINT64_MAX - 1, IO_ALIGN), -EFBIG);
    assert_int_equal(p.ops->space(p.ops, p.path, &free_size, &size), 0);
    assert_true(free_size <= size);
    assert_true(size > 0);
    assert_int_equal(p.ops->space(p.ops, "/no/such/path", &free_size, &size), -ENOENT);
    assert_int_equal(p.ops->close(p.ops, fd), 0);
    io_queue_free(q);
    free(bytes);
    place_free(&p);
}

static void io_test_bad_depth(void **state)
{
    struct io_queue *q = NULL;
    const struct io_ops *ops = *state;
    assert_int_equal(io_queue_new(ops, 0, -1, &q), -EINVAL);
    assert_int_equal(io_queue_new(ops, IO_DEPTH_MAX + 1, -1, &q), -EINVAL);
    assert_null(q);
    assert_null(io_queue_free(NULL));
}

static const struct io_ops *io_test_backend(const char *name)
{
    return strstr(name, "plain") != NULL ? &io_plain : &io_ring;
}

/* The first argument names the backend; io_uring is skipped (77) where the kernel has none. "sim"
 * before it: through the simulator, which makes no fault here but lets ops end in any order. */
int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "ring";
    const struct io_ops *ops = io_test_backend(name);
    struct io_sim *sim = NULL;
    bool simulated = strncmp(name, "sim", 3) == 0, at_once = strcmp(name, "sim") == 0;
    if (ops == &io_ring && !at_once && io_default() != &io_ring)
        return 77;
    struct io_sim_options o = {.inner = at_once ? NULL : ops, .reorder = true};
    if (simulated && io_sim_new(&o, &sim) != 0)
        return 1;
    void *state = (void *)(uintptr_t)(simulated ? io_sim_ops(sim) : ops);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(io_test_files, state),
        cmocka_unit_test_prestate(io_test_run, state),
        cmocka_unit_test_prestate(io_test_many, state),
        cmocka_unit_test_prestate(io_test_punch, state),
        cmocka_unit_test_prestate(io_test_bad_depth, state),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    io_sim_free(sim);
    return r;
}
