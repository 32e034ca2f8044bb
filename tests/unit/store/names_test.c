/* SPDX-License-Identifier: Apache-2.0 */
/* What a disk makes of names that it was not seen to take: a folder's sync fails, or power goes
 * before there was one. No volume without a row in the index may be left, for that is a store that
 * does not open. Each seed is another choice of what was on the disk in time. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/log.h"
#include "sim_libc.h"
#include "store/store_rebuild.h"
#include "store_fixture.h"

#define SEEDS       40u
#define VOLUME_SIZE (UINT64_C(16) * 4096)
#define SIZE        50000u /* one a volume */
/* A start syncs the folders that hold the store and its index, then each device's. */
#define STARTING_SYNCS 3u

struct names {
    struct fixture f;
    struct io_sim *sim;
    uint64_t seed;
    char root[80], image[80];
};

static void names_new(struct names *x, uint64_t seed, bool journal, uint64_t size_max)
{
    *x = (struct names){.seed = seed};
    fixture_new_in(&x->f, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    (void)snprintf(x->root, sizeof x->root, "%s/0", x->f.folder);
    (void)snprintf(x->image, sizeof x->image, "%s/1", x->f.folder);
    (void)snprintf(x->f.path, sizeof x->f.path, "%s/0/s", x->f.folder);
    assert_int_equal(mkdir(x->root, 0755), 0);
    struct io_sim_options o = {.seed = seed, .root = x->root, .journal = journal};
    assert_int_equal(io_sim_new(&o, &x->sim), 0);
    sim_libc_attach(x->sim);
    x->f.options.io = io_sim_ops(x->sim);
    x->f.options.volume_size = VOLUME_SIZE;
    x->f.options.size_max = size_max;
    fixture_open(&x->f);
}

/* So many of the folders' syncs fail, from the one of that number on. */
static void names_fail(struct names *x, uint64_t first, uint64_t count, int res)
{
    struct io_sim_fault fault = {
        .kinds = 1u << IO_SIM_SYNC_FOLDER, .first = first, .count = count, .res = res};
    io_sim_fail(x->sim, &fault);
}

/* Power goes, and what is left is opened on a disk without faults. */
static void names_power(struct names *x)
{
    struct err err = {{0}};
    io_sim_crash(x->sim);
    fixture_close(&x->f);
    sim_libc_attach(NULL);
    assert_int_equal(io_sim_image(x->sim, x->image), 0);
    x->sim = io_sim_free(x->sim);
    (void)snprintf(x->f.path, sizeof x->f.path, "%s/1/s", x->f.folder);
    x->f.options.io = NULL;
    int r = store_open(&x->f.options, &err, &x->f.store);
    if (r != 0)
        fail_msg("seed %d: store_open: %d: %s", (int)x->seed, r, err.text);
    assert_int_equal(store_worker_new(x->f.store, &x->f.worker), 0);
}

/* --- a volume is made ------------------------------------------------------------------------- */

static void names_make(uint64_t seed, bool journal, int res)
{
    struct names x;
    names_new(&x, seed, journal, 0);
    assert_int_equal(fixture_put_seed(x.f.worker, 1, SIZE), 0);
    names_fail(&x, 1, UINT64_MAX, res);
    for (uint64_t i = 2; i < 4; i++)
        assert_int_equal(fixture_put_seed(x.f.worker, i, SIZE), res);
    assert_true(io_sim_failed(x.sim) > 0);
    names_power(&x);
    assert_int_equal(fixture_get_seed(x.f.worker, 1, SIZE), 0);
    for (uint64_t i = 2; i < 6; i++) {
        assert_int_equal(fixture_get_seed(x.f.worker, i, SIZE), -ENOENT);
        assert_int_equal(fixture_put_seed(x.f.worker, i, SIZE), 0);
    }
    fixture_reopen(&x.f);
    for (uint64_t i = 1; i < 6; i++)
        assert_int_equal(fixture_get_seed(x.f.worker, i, SIZE), 0);
    fixture_free(&x.f);
}

/* The file is taken away again, and the disk need not have seen that when its row goes. */
static void names_test_make(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        names_make(seed, seed % 2 == 0, seed % 4 < 2 ? -EIO : -ENOSPC);
}

/* Where the folder cannot be synced at a start, what is there is read and nothing is written, for a
 * volume that the run before made may not last. */
static void names_test_start(void **state)
{
    struct names x;
    struct store_device_stat stat;
    (void)state;
    names_new(&x, 1, false, 0);
    assert_int_equal(fixture_put_seed(x.f.worker, 1, SIZE), 0);
    fixture_close(&x.f);
    names_fail(&x, STARTING_SYNCS, UINT64_MAX, -EIO);
    fixture_open(&x.f);
    assert_int_equal(io_sim_failed(x.sim), 1);
    assert_int_equal(store_device_stat(x.f.store, 0, &stat), 0);
    assert_true(stat.failed);
    assert_int_equal(fixture_get_seed(x.f.worker, 1, SIZE), 0);
    assert_int_equal(fixture_put_seed(x.f.worker, 2, 100), -EIO);
    io_sim_fail(x.sim, NULL);
    fixture_reopen(&x.f);
    assert_int_equal(fixture_put_seed(x.f.worker, 2, 100), 0);
    names_power(&x);
    assert_int_equal(fixture_get_seed(x.f.worker, 2, 100), 0);
    fixture_free(&x.f);
}

/* --- a volume goes ---------------------------------------------------------------------------- */

/* Puts until a volume is given up whose folder could not be synced; how many were put. */
static uint64_t names_evict(struct names *x)
{
    uint64_t n = 0;
    bool failed = false;
    while (!failed && n < 100) {
        names_fail(x, 2, 1, -EIO); /* the first is that of the volume that is made */
        assert_int_equal(fixture_put_seed(x->f.worker, ++n, SIZE), 0);
        failed = io_sim_failed(x->sim) > 0;
        io_sim_fail(x->sim, NULL);
    }
    assert_true(failed);
    return n;
}

/* A new process; the sync of that number fails it, or not: 0. */
static void names_restart(struct names *x, uint64_t failing)
{
    struct err err = {{0}};
    fixture_close(&x->f);
    names_fail(x, failing, failing > 0 ? UINT64_MAX : 0, -EIO);
    if (store_open(&x->f.options, &err, &x->f.store) == 0) {
        assert_int_equal(store_worker_new(x->f.store, &x->f.worker), 0);
    } else {
        assert_true(io_sim_failed(x->sim) > 0);
        io_sim_fail(x->sim, NULL);
        fixture_open(&x->f);
    }
}

static void names_remove(uint64_t seed)
{
    struct names x;
    struct stat st;
    char path[160];
    names_new(&x, seed, false, 8 * VOLUME_SIZE);
    uint64_t n = names_evict(&x);
    fixture_volume_path(&x.f, 1, path);
    assert_int_not_equal(stat(path, &st), 0);
    /* It finds the row and no file. The power goes only then. */
    names_restart(&x, seed % 5);
    assert_int_equal(fixture_get_seed(x.f.worker, n, SIZE), 0);
    names_power(&x);
    for (uint64_t i = 1; i <= n; i++) {
        int r = fixture_get_seed(x.f.worker, i, SIZE);
        assert_int_equal(r, i == 1 ? -ENOENT : 0);
    }
    for (uint64_t i = 0; i < 20; i++)
        assert_int_equal(fixture_put_seed(x.f.worker, 200 + i, SIZE), 0);
    fixture_free(&x.f);
}

static void names_test_remove(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        names_remove(seed);
}

/* --- a new index ------------------------------------------------------------------------------ */

static void names_rebuild(uint64_t seed)
{
    struct names x;
    struct store_rebuild report;
    struct err err = {{0}};
    char path[160], away[160];
    names_new(&x, seed, false, 0);
    for (uint64_t i = 1; i <= 4; i++)
        assert_int_equal(fixture_put_seed(x.f.worker, i, SIZE), 0);
    fixture_volume_path(&x.f, 2, path);
    (void)snprintf(away, sizeof away, "%s/away", x.root);
    fixture_close(&x.f);
    assert_int_equal(rename(path, away), 0); /* by the one who looks after the host */
    int r = store_rebuild(&x.f.options, NULL, NULL, &report, &err);
    if (r != 0)
        fail_msg("seed %d: store_rebuild: %d: %s", (int)seed, r, err.text);
    assert_int_equal(report.volumes, 3);
    names_power(&x);
    for (uint64_t i = 1; i <= 4; i++)
        assert_int_equal(fixture_get_seed(x.f.worker, i, SIZE), i == 2 ? -ENOENT : 0);
    fixture_free(&x.f);
}

/* What was moved away before an index was made anew is not back beside it. */
static void names_test_rebuild(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        names_rebuild(seed);
}

int main(void)
{
    log_init("store-test", LOG_ERROR); /* the store warns of each fault, as it should */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_test_make),
        cmocka_unit_test(names_test_start),
        cmocka_unit_test(names_test_remove),
        cmocka_unit_test(names_test_rebuild),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
