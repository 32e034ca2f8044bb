/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator keeps its word: what was synced is there after the crash, what was not may be, and
 * nothing that was never written. */
#include "io/io_sim.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "../unit.h"

#define SECTOR 512u
#define SIZE   (16u * IO_ALIGN)

struct disk {
    char folder[64], root[80], image[80], file[96];
    struct io_sim *sim;
    const struct io_ops *ops;
    struct io_queue *queue;
    uint8_t *bytes;
    int fd;
};

static void disk_open(struct disk *d, uint64_t seed, bool journal)
{
    bool shm = access("/dev/shm", W_OK) == 0;
    (void)snprintf(d->folder, sizeof d->folder, "%s/weir-sim-XXXXXX", shm ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(d->folder));
    (void)snprintf(d->root, sizeof d->root, "%s/root", d->folder);
    (void)snprintf(d->image, sizeof d->image, "%s/image", d->folder);
    (void)snprintf(d->file, sizeof d->file, "%s/file", d->root);
    assert_int_equal(mkdir(d->root, 0755), 0);
    struct io_sim_options o = {.seed = seed, .root = d->root, .journal = journal};
    assert_int_equal(io_sim_new(&o, &d->sim), 0);
    d->ops = io_sim_ops(d->sim);
    assert_int_equal(io_queue_new(d->ops, 8, -1, &d->queue), 0);
    d->bytes = aligned_alloc(IO_ALIGN, SIZE);
    assert_non_null(d->bytes);
    d->fd = d->ops->open(d->ops, d->file, IO_CREATE | IO_WRITABLE);
    assert_true(d->fd >= 0);
}

static void disk_write(struct disk *d, uint8_t value, uint32_t size, uint64_t offset)
{
    memset(d->bytes, value, size);
    assert_int_equal(io_run(d->queue, IO_WRITE, d->fd, d->bytes, size, offset), 0);
}

static void disk_sync(struct disk *d)
{
    assert_int_equal(io_run(d->queue, IO_SYNC, d->fd, NULL, 0, 0), 0);
}

static void disk_sync_names(struct disk *d)
{
    assert_int_equal(d->ops->sync_folder(d->ops, d->root), 0);
}

/* What the image has of a file in the root; false: no such file. */
static bool disk_image(struct disk *d, const char *name, struct buf *out)
{
    char path[128];
    struct stat st;
    io_sim_crash(d->sim);
    if (stat(d->image, &st) != 0)
        assert_int_equal(io_sim_image(d->sim, d->image), 0);
    (void)snprintf(path, sizeof path, "%s/%s", d->image, name);
    buf_clear(out);
    return file_read(path, 1 << 20, out) == 0;
}

static void disk_close(struct disk *d)
{
    assert_int_equal(d->ops->close(d->ops, d->fd), io_sim_crashed(d->sim) ? -EIO : 0);
    io_queue_free(d->queue);
    io_sim_free(d->sim);
    free(d->bytes);
    assert_int_equal(file_remove_all(d->folder), 0);
}

static void sim_test_synced_stays(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct disk d;
        CLEAN_BUF struct buf b = BUF_EMPTY;
        disk_open(&d, seed, seed % 2 == 0);
        disk_write(&d, 1, SIZE, 0);
        disk_sync(&d);
        disk_sync_names(&d);
        disk_write(&d, 2, 4 * IO_ALIGN, 4 * IO_ALIGN);
        assert_true(disk_image(&d, "file", &b));
        assert_int_equal(b.size, SIZE);
        for (uint32_t i = 0; i < SIZE; i++) {
            bool unsynced = i / IO_ALIGN >= 4 && i / IO_ALIGN < 8;
            assert_true(b.data[i] == 1 || (unsynced && b.data[i] == 2));
            assert_int_equal(b.data[i], b.data[i / SECTOR * SECTOR]); /* sectors are whole */
        }
        disk_close(&d);
    }
}

/* Kept, dropped and torn: all of them come up. */
static void sim_test_unsynced_may_go(void **state)
{
    (void)state;
    unsigned kept = 0, dropped = 0, torn = 0, unnamed = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct disk d;
        CLEAN_BUF struct buf b = BUF_EMPTY;
        disk_open(&d, seed, false);
        disk_write(&d, 7, SIZE, 0);
        unsigned sectors = 0;
        if (!disk_image(&d, "file", &b)) {
            unnamed++;
            disk_close(&d);
            continue;
        }
        for (uint32_t i = 0; i < b.size; i += SECTOR)
            sectors += b.data[i] == 7;
        kept += sectors == SIZE / SECTOR;
        dropped += sectors == 0;
        torn += sectors > 0 && sectors < SIZE / SECTOR;
        disk_close(&d);
    }
    assert_true(kept > 10 && dropped > 10 && torn > 10 && unnamed > 10);
}

/* A sync that failed promises nothing, and neither does the next one for what was before. */
static void sim_test_failed_sync(void **state)
{
    (void)state;
    unsigned lost = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct disk d;
        CLEAN_BUF struct buf b = BUF_EMPTY;
        struct io_sim_fault fault = {
            .kinds = 1u << IO_SIM_SYNC, .first = 1, .count = 1, .res = -EIO};
        disk_open(&d, seed, true);
        disk_write(&d, 3, IO_ALIGN, 0);
        io_sim_fail(d.sim, &fault);
        assert_int_equal(io_run(d.queue, IO_SYNC, d.fd, NULL, 0, 0), -EIO);
        assert_int_equal(io_sim_failed(d.sim), 1);
        disk_write(&d, 4, IO_ALIGN, IO_ALIGN);
        disk_sync(&d);
        assert_true(disk_image(&d, "file", &b));
        assert_int_equal(b.size, 2 * IO_ALIGN);
        lost += b.data[0] == 0;
        for (uint32_t i = IO_ALIGN; i < 2 * IO_ALIGN; i++)
            assert_int_equal(b.data[i], 4);
        disk_close(&d);
    }
    assert_in_range(lost, 10, 90);
}

static void sim_test_names(void **state)
{
    (void)state;
    unsigned olds = 0, news = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct disk d;
        char other[112];
        CLEAN_BUF struct buf b = BUF_EMPTY;
        disk_open(&d, seed, seed % 2 == 0);
        (void)snprintf(other, sizeof other, "%s/other", d.root);
        disk_write(&d, 5, IO_ALIGN, 0);
        disk_sync(&d);
        disk_sync_names(&d);
        assert_int_equal(d.ops->rename(d.ops, d.file, other), 0);
        assert_int_equal(d.ops->rename(d.ops, d.file, other), -ENOENT);
        bool is_old = disk_image(&d, "file", &b);
        bool is_new = disk_image(&d, "other", &b);
        assert_true(is_old != is_new); /* a rename happens or does not */
        olds += is_old;
        news += is_new;
        disk_close(&d);
    }
    assert_true(olds > 10 && news > 10);
}

/* A hole is zeroes once synced, pages of the old bytes or zeroes before. */
static void sim_test_holes(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct disk d;
        CLEAN_BUF struct buf b = BUF_EMPTY;
        disk_open(&d, seed, true);
        assert_int_equal(d.ops->allocate(d.ops, d.fd, 2 * SIZE), 0);
        disk_write(&d, 9, SIZE, 0);
        disk_sync(&d);
        assert_int_equal(d.ops->punch(d.ops, d.fd, 0, 4 * IO_ALIGN), 0);
        disk_sync(&d);
        assert_int_equal(d.ops->punch(d.ops, d.fd, 8 * IO_ALIGN, 4 * IO_ALIGN), 0);
        assert_true(disk_image(&d, "file", &b));
        assert_int_equal(b.size, 2 * SIZE);
        for (uint32_t page = 0; page < 2 * SIZE / IO_ALIGN; page++) {
            char first = b.data[page * IO_ALIGN];
            bool zero = page < 4 || page >= 16, either = page >= 8 && page < 12;
            assert_true(zero ? first == 0 : first == 9 || (either && first == 0));
            for (uint32_t i = 0; i < IO_ALIGN; i++)
                assert_int_equal(b.data[page * IO_ALIGN + i], first);
        }
        disk_close(&d);
    }
}

/* The n-th call is the last one; what comes after it has no effect. */
static void sim_test_crash_at(void **state)
{
    (void)state;
    struct disk d;
    CLEAN_BUF struct buf b = BUF_EMPTY;
    disk_open(&d, 1, true);
    disk_write(&d, 1, IO_ALIGN, 0);
    disk_sync(&d);
    io_sim_crash_at(d.sim, 2);
    disk_write(&d, 1, IO_ALIGN, 0);
    assert_false(io_sim_crashed(d.sim));
    assert_int_equal(io_run(d.queue, IO_WRITE, d.fd, d.bytes, IO_ALIGN, IO_ALIGN), -EIO);
    assert_true(io_sim_crashed(d.sim));
    memset(d.bytes, 2, IO_ALIGN);
    assert_int_equal(io_run(d.queue, IO_WRITE, d.fd, d.bytes, IO_ALIGN, 0), -EIO);
    assert_int_equal(io_run(d.queue, IO_SYNC, d.fd, NULL, 0, 0), -EIO);
    assert_int_equal(d.ops->unlink(d.ops, d.file), -EIO);
    assert_true(disk_image(&d, "file", &b));
    for (uint32_t i = 0; i < IO_ALIGN; i++)
        assert_int_equal(b.data[i], 1);
    disk_close(&d);
}

/* Errors and short transfers as asked for; what the seam repeats, its users do not see. */
static void sim_test_faults(void **state)
{
    (void)state;
    struct disk d;
    uint64_t size = 0;
    disk_open(&d, 1, true);
    struct io_sim_fault fault = {.first = 2, .count = 2, .res = -EMFILE};
    io_sim_fail(d.sim, &fault);
    assert_int_equal(d.ops->file_size(d.ops, d.fd, &size), 0);
    assert_int_equal(d.ops->file_size(d.ops, d.fd, &size), -EMFILE);
    assert_int_equal(d.ops->unlink(d.ops, d.file), -EMFILE);
    assert_int_equal(d.ops->file_size(d.ops, d.fd, &size), 0);
    assert_int_equal(io_sim_failed(d.sim), 2);
    const int again[] = {-EINTR, -EAGAIN, IO_SIM_SHORT};
    for (unsigned i = 0; i < 3; i++) {
        fault = (struct io_sim_fault){.first = 1, .count = 3, .res = again[i]};
        io_sim_fail(d.sim, &fault);
        disk_write(&d, (uint8_t)(10 + i), SIZE, 0);
        memset(d.bytes, 0, SIZE);
        assert_int_equal(io_run(d.queue, IO_READ, d.fd, d.bytes, SIZE, 0), 0);
        for (uint32_t at = 0; at < SIZE; at++)
            assert_int_equal(d.bytes[at], 10 + i);
        assert_true(io_sim_failed(d.sim) > 0);
    }
    io_sim_fail(d.sim, NULL);
    io_sim_set_space(d.sim, 100);
    assert_int_equal(d.ops->allocate(d.ops, d.fd, 101), -ENOSPC);
    disk_close(&d);
}

/* The same seed, the same end. */
static void sim_test_repeats(void **state)
{
    (void)state;
    CLEAN_BUF struct buf first = BUF_EMPTY, second = BUF_EMPTY;
    for (uint64_t seed = 0; seed < 20; seed++) {
        for (unsigned time = 0; time < 2; time++) {
            struct disk d;
            disk_open(&d, seed, true);
            disk_sync(&d);
            for (uint8_t i = 1; i < 8; i++)
                disk_write(&d, i, 3 * IO_ALIGN, i * IO_ALIGN);
            assert_true(disk_image(&d, "file", time == 0 ? &first : &second));
            disk_close(&d);
        }
        assert_int_equal(first.size, second.size);
        assert_true(first.size == 0 || memcmp(first.data, second.data, first.size) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sim_test_synced_stays), cmocka_unit_test(sim_test_unsynced_may_go),
        cmocka_unit_test(sim_test_failed_sync),  cmocka_unit_test(sim_test_names),
        cmocka_unit_test(sim_test_holes),        cmocka_unit_test(sim_test_crash_at),
        cmocka_unit_test(sim_test_faults),       cmocka_unit_test(sim_test_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
