/* SPDX-License-Identifier: Apache-2.0 */
/* Full disks, full indexes, full caches, disks that fail: puts say so, reads go on. */
#include "store/store.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include "io/io_sim.h"
#include "store_fixture.h"

#define SIZE      100000u
#define MAP_BLOBS 24000u
#define MAP_GROUP 200u

/* The backend of the fixture, with faults to be had in between. */
static struct io_sim *space_sim(struct fixture *f)
{
    struct io_sim *sim = NULL;
    struct io_sim_options o = {.inner = f->options.io != NULL ? f->options.io : io_default()};
    assert_int_equal(io_sim_new(&o, &sim), 0);
    f->options.io = io_sim_ops(sim);
    return sim;
}

/* All calls of a kind, from now on. */
static void space_fail(struct io_sim *sim, enum io_sim_call call)
{
    struct io_sim_fault fault = {.kinds = 1u << call, .first = 1, .count = UINT64_MAX, .res = -EIO};
    io_sim_fail(sim, &fault);
}

static void space_test_disk_full(void **state)
{
    (void)state;
    struct fixture f;
    fixture_new(&f);
    struct io_sim *sim = space_sim(&f);
    io_sim_set_space(sim, 3 << 20);
    fixture_open(&f);
    uint64_t stored = 0;
    int r;
    while ((r = fixture_put_seed(f.worker, stored, SIZE)) == 0)
        stored++;
    assert_int_equal(r, -ENOSPC);
    assert_in_range(stored, 20, 31);
    assert_int_equal(fixture_put_seed(f.worker, 1000, SIZE), -ENOSPC);
    for (uint64_t i = 0; i < stored; i++)
        assert_int_equal(fixture_get_seed(f.worker, i, SIZE), 0);
    assert_int_equal(fixture_get_seed(f.worker, 1000, SIZE), -ENOENT);
    struct store_ref ref;
    struct digest d = {{1}};
    assert_int_equal(fixture_ref_put(f.worker, "film", &d, 0), 0);
    assert_int_equal(store_ref_get(f.worker, STR("film"), &ref), 0);
    /* Room again: puts go on without a restart. */
    io_sim_set_space(sim, 3 << 20);
    assert_int_equal(fixture_put_seed(f.worker, 1000, SIZE), 0);
    assert_int_equal(fixture_get_seed(f.worker, 1000, SIZE), 0);
    fixture_free(&f);
    io_sim_free(sim);
}

struct map_reader {
    struct store *store;
    _Atomic uint64_t stored;
    _Atomic bool stop;
    uint64_t reads;
};

static void *map_read(void *arg)
{
    struct map_reader *m = arg;
    struct store_worker *w = NULL;
    assert_int_equal(store_worker_new(m->store, &w), 0);
    for (uint64_t i = 0; !atomic_load(&m->stop); i++) {
        uint64_t stored = atomic_load(&m->stored);
        if (stored == 0)
            continue;
        assert_int_equal(fixture_get_seed(w, i % stored, 50), 0);
        m->reads++;
    }
    store_worker_free(w);
    return NULL;
}

static uint64_t index_file_size(const struct fixture *f)
{
    char path[160];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/index/data.mdb", f->path);
    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

/* The index outgrows its map several times while others read. */
static void space_test_map_grows(void **state)
{
    (void)state;
    struct fixture f;
    pthread_t threads[2];
    fixture_new(&f);
    f.options.index_size = 1 << 20;
    f.options.volume_size = 16 << 20;
    fixture_open(&f);
    struct map_reader m[2] = {{.store = f.store}, {.store = f.store}};
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, map_read, &m[i]), 0);
    uint64_t stored = 0;
    while (stored < MAP_BLOBS) {
        fixture_put_seeds(f.worker, stored, MAP_GROUP, 50);
        stored += MAP_GROUP;
        for (unsigned i = 0; i < 2; i++)
            atomic_store(&m[i].stored, stored);
    }
    for (unsigned i = 0; i < 2; i++) {
        atomic_store(&m[i].stop, true);
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(m[i].reads > 0);
    }
    assert_true(index_file_size(&f) > 2 << 20);
    fixture_close(&f);
    fixture_open(&f); /* in a map that is too small to begin with */
    for (uint64_t i = 0; i < stored; i++)
        assert_int_equal(fixture_get_seed(f.worker, i, 50), 0);
    assert_int_equal(fixture_put_seed(f.worker, stored, 50), 0);
    fixture_free(&f);
}

static void space_test_writes_fail(void **state)
{
    (void)state;
    struct fixture f;
    fixture_new(&f);
    struct io_sim *sim = space_sim(&f);
    fixture_open(&f);
    assert_int_equal(fixture_put_seed(f.worker, 1, SIZE), 0);
    const enum io_sim_call kinds[] = {IO_SIM_WRITE, IO_SIM_SYNC};
    for (unsigned i = 0; i < 2; i++) {
        space_fail(sim, kinds[i]);
        assert_int_equal(fixture_put_seed(f.worker, 10 + i, SIZE), -EIO);
        assert_int_equal(fixture_get_seed(f.worker, 10 + i, SIZE), -ENOENT);
        assert_int_equal(fixture_get_seed(f.worker, 1, SIZE), 0);
        io_sim_fail(sim, NULL);
        assert_int_equal(fixture_put_seed(f.worker, 10 + i, SIZE), 0);
        assert_int_equal(fixture_get_seed(f.worker, 10 + i, SIZE), 0);
    }
    space_fail(sim, IO_SIM_READ);
    assert_int_equal(fixture_get_seed(f.worker, 1, SIZE), -EIO);
    io_sim_fail(sim, NULL);
    assert_int_equal(fixture_get_seed(f.worker, 1, SIZE), 0); /* a failed read is no damage */
    fixture_close(&f);
    fixture_open(&f);
    assert_int_equal(fixture_get_seed(f.worker, 10, SIZE), 0);
    assert_int_equal(fixture_get_seed(f.worker, 11, SIZE), 0);
    fixture_free(&f);
    io_sim_free(sim);
}

static void space_test_short_transfers(void **state)
{
    (void)state;
    struct fixture f;
    fixture_new(&f);
    struct io_sim *sim = space_sim(&f);
    io_sim_set_short(sim, 8192);
    fixture_open(&f);
    assert_int_equal(fixture_put_seed(f.worker, 1, SIZE), 0);
    assert_int_equal(fixture_get_seed(f.worker, 1, SIZE), 0);
    assert_true(io_sim_shortened(sim) >= 20);
    fixture_free(&f);
    io_sim_free(sim);
}

static void space_test_cache_turns_over(void **state)
{
    (void)state;
    struct fixture f;
    struct store_stat stat;
    fixture_new(&f);
    f.options.size_max = 4 << 20;
    fixture_open(&f);
    assert_int_equal(fixture_put_seed(f.worker, 0, SIZE), 0);
    for (uint64_t i = 1; i < 200; i++) {
        assert_int_equal(fixture_put_seed(f.worker, i, SIZE), 0);
        assert_int_equal(fixture_get_seed(f.worker, i, SIZE), 0 /* just put */);
        if (i % 2 == 0) /* every few: asked for again and again, so it must survive */
            assert_int_equal(fixture_get_seed(f.worker, 0, SIZE), 0);
        store_stat(f.store, &stat);
        assert_true(stat.volume_bytes <= f.options.size_max);
    }
    assert_true(stat.evicted_volumes > 20);
    assert_true(stat.blobs < 50);
    assert_int_equal(fixture_get_seed(f.worker, 1, SIZE), -ENOENT);
    fixture_close(&f);
    fixture_open(&f);
    assert_int_equal(fixture_get_seed(f.worker, 199, SIZE), 0);
    assert_int_equal(fixture_put_seed(f.worker, 500, 8 << 20), -ENOSPC); /* larger than it all */
    assert_int_equal(fixture_get_seed(f.worker, 199, SIZE), 0);
    fixture_free(&f);
}

/* What RAM answers is hot though nobody reads it from disk. */
static void space_test_cache_keeps_hot(void **state)
{
    (void)state;
    struct fixture f;
    struct digest d;
    struct rbuf *hot;
    fixture_new(&f);
    f.options.size_max = 4 << 20;
    f.options.hot_size = 4 << 20;
    fixture_open(&f);
    struct rbuf *b = fixture_blob(0, SIZE, &d);
    assert_int_equal(fixture_put(f.worker, &d, b, STORE_PUT_HOT), 0);
    rbuf_unref(b);
    for (uint64_t i = 1; i < 200; i++) {
        assert_int_equal(fixture_put_seed(f.worker, i, SIZE), 0);
        hot = store_peek(f.worker, &d);
        assert_non_null(hot);
        rbuf_unref(hot);
    }
    assert_true(store_has(f.worker, &d));
    fixture_free(&f);
}

static void space_test_cache_on_full_disk(void **state)
{
    (void)state;
    struct fixture f;
    struct store_stat stat;
    fixture_new(&f);
    struct io_sim *sim = space_sim(&f);
    f.options.size_max = 64 << 20;
    io_sim_set_space(sim, 4 << 20);
    fixture_open(&f);
    for (uint64_t i = 0; i < 60; i++) {
        int r = fixture_put_seed(f.worker, i, SIZE);
        store_stat(f.store, &stat);
        /* The wrapper does not get space back by itself: a volume that went gives its own. */
        if (r == -ENOSPC && stat.evicted_volumes > 0)
            break;
        assert_int_equal(r, 0);
    }
    assert_true(stat.evicted_volumes > 0);
    io_sim_set_space(sim, 4 << 20);
    assert_int_equal(fixture_put_seed(f.worker, 1000, SIZE), 0);
    assert_int_equal(fixture_get_seed(f.worker, 1000, SIZE), 0);
    fixture_free(&f);
    io_sim_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(space_test_disk_full),
        cmocka_unit_test(space_test_map_grows),
        cmocka_unit_test(space_test_writes_fail),
        cmocka_unit_test(space_test_short_transfers),
        cmocka_unit_test(space_test_cache_turns_over),
        cmocka_unit_test(space_test_cache_keeps_hot),
        cmocka_unit_test(space_test_cache_on_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
