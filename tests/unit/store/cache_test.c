/* SPDX-License-Identifier: Apache-2.0 */
/* A cache: what is let onto the disk, what stays when volumes go, what is known after a restart. */
#include "store/store.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "store_fixture.h"

#define SIZE 60000u /* with its record 15 pages: little is padding */

static void cache_new(struct fixture *f)
{
    fixture_new(f);
    f->options.size_max = 8 << 20;
    f->options.admission = STORE_ADMIT_SECOND;
    f->options.hot_size = 4 << 20;
}

static struct store_stat stat_of(struct fixture *f)
{
    struct store_stat stat;
    store_stat(f->store, &stat);
    return stat;
}

/* As an edge does with what it fetched. */
static void fetched(struct fixture *f, uint64_t seed, uint32_t size)
{
    struct digest d;
    struct rbuf *b = fixture_blob(seed, size, &d);
    int r = fixture_put(f->worker, &d, b, STORE_PUT_CACHE | STORE_PUT_HOT);
    rbuf_unref(b);
    assert_int_equal(r, 0);
}

static bool on_disk(struct fixture *f, uint64_t seed, uint32_t size)
{
    struct digest d;
    struct store_blob there;
    rbuf_unref(fixture_blob(seed, size, &d));
    return store_blob_look(f->worker, &d, &there) == 0;
}

/* Lets the worker come to what it does by itself. */
static void until_on_disk(struct fixture *f, uint64_t seed, uint32_t size)
{
    while (!on_disk(f, seed, size))
        assert_int_equal(fixture_get_seed(f->worker, 1 << 30, 1), -ENOENT);
}

static void cache_test_second_hit(void **state)
{
    (void)state;
    struct fixture f;
    cache_new(&f);
    fixture_open(&f);
    fetched(&f, 1, SIZE);
    assert_false(on_disk(&f, 1, SIZE));
    assert_int_equal(stat_of(&f).refused, 1);
    assert_int_equal(stat_of(&f).written_bytes, 0);
    assert_int_equal(stat_of(&f).put_bytes, SIZE);
    /* From RAM; and on the way it is written. */
    assert_int_equal(fixture_get_seed(f.worker, 1, SIZE), 0);
    until_on_disk(&f, 1, SIZE);
    assert_int_equal(stat_of(&f).refused, 1);
    assert_int_equal(stat_of(&f).hot_hits, 1);
    assert_int_equal(stat_of(&f).put_bytes, SIZE); /* taken once */
    uint64_t written = stat_of(&f).written_bytes;
    assert_in_range(written, SIZE, SIZE + 2 * 4096);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(fixture_get_seed(f.worker, 1, SIZE), 0);
    assert_int_equal(stat_of(&f).written_bytes, written); /* no more than once */
    /* A second fetch of what RAM lost, or another worker's at the same time. */
    fetched(&f, 2, SIZE);
    assert_false(on_disk(&f, 2, SIZE));
    fetched(&f, 2, SIZE);
    assert_true(on_disk(&f, 2, SIZE));
    assert_int_equal(stat_of(&f).refused, 2);
    fixture_reopen(&f);
    assert_int_equal(fixture_get_seed(f.worker, 1, SIZE), 0);
    assert_int_equal(fixture_get_seed(f.worker, 2, SIZE), 0);
    fixture_free(&f);
}

/* A hit whose put nobody waits for, and the worker ends at once. */
static void cache_test_worker_ends(void **state)
{
    (void)state;
    struct fixture f;
    struct store_worker *w = NULL;
    cache_new(&f);
    fixture_open(&f);
    for (uint64_t seed = 0; seed < 20; seed++) {
        fetched(&f, seed, SIZE);
        assert_int_equal(store_worker_new(f.store, &w), 0);
        assert_int_equal(fixture_get_seed(w, seed, SIZE), 0);
        w = store_worker_free(w);
        assert_true(on_disk(&f, seed, SIZE));
    }
    fixture_free(&f);
}

static void cache_test_written_at_once(void **state)
{
    (void)state;
    struct fixture f;
    struct store_ref ref;
    struct digest d = {{7}};
    cache_new(&f);
    f.options.hot_size = 256 << 10;
    fixture_open(&f);
    fetched(&f, 1, 400000); /* RAM cannot have it */
    assert_true(on_disk(&f, 1, 400000));
    assert_int_equal(stat_of(&f).refused, 0);
    assert_int_equal(fixture_put_seed(f.worker, 2, SIZE), 0); /* not said that it is a cache's */
    assert_true(on_disk(&f, 2, SIZE));
    assert_int_equal(fixture_ref_put(f.worker, "film", &d, 0), 0);
    fixture_reopen(&f);
    assert_int_equal(store_ref_get(f.worker, STR("film"), &ref), 0);
    assert_true(digest_eq(&ref.presentation, &d));
    f.options.admission = STORE_ADMIT_ALL;
    fixture_reopen(&f);
    fetched(&f, 3, SIZE);
    assert_true(on_disk(&f, 3, SIZE));
    f.options.admission = STORE_ADMIT_SECOND;
    f.options.hot_size = 0;
    fixture_reopen(&f);
    fetched(&f, 4, SIZE); /* no RAM tier to keep it */
    assert_true(on_disk(&f, 4, SIZE));
    assert_int_equal(stat_of(&f).refused, 0);
    fixture_free(&f);
}

/* What is asked for once goes by and leaves the disk alone. */
static void cache_test_one_hit_wonders(void **state)
{
    (void)state;
    struct fixture f;
    cache_new(&f);
    fixture_open(&f);
    for (uint64_t i = 0; i < 50; i++) {
        fetched(&f, i, SIZE);
        fetched(&f, i, SIZE);
    }
    uint64_t written = stat_of(&f).written_bytes;
    for (uint64_t i = 1000; i < 1500; i++)
        fetched(&f, i, SIZE);
    assert_in_range(stat_of(&f).refused, 50 + 495, 50 + 500); /* seven in a thousand by mistake */
    assert_true(stat_of(&f).written_bytes - written <= 5 * 65536);
    assert_int_equal(stat_of(&f).evicted_volumes, 0);
    for (uint64_t i = 0; i < 50; i++)
        assert_true(on_disk(&f, i, SIZE));
    assert_int_equal(fixture_get_seed(f.worker, 1000, SIZE), -ENOENT); /* RAM has others by now */
    fixture_free(&f);
}

/* RAM is full of what is asked for all the time: what comes once is kept there for a while all the
 * same, not written because RAM would rather not have it. */
static void cache_test_ram_is_full(void **state)
{
    (void)state;
    struct fixture f;
    cache_new(&f);
    fixture_open(&f);
    for (unsigned n = 0; n < 40; n++) {
        for (uint64_t i = 0; i < 60; i++) {
            if (n == 0)
                fetched(&f, i, SIZE);
            (void)fixture_get_seed(f.worker, i, SIZE);
        }
    }
    uint64_t written = stat_of(&f).written_bytes, refused = stat_of(&f).refused;
    for (uint64_t i = 1000; i < 1300; i++)
        fetched(&f, i, SIZE);
    assert_in_range(stat_of(&f).refused - refused, 295, 300);
    assert_true(stat_of(&f).written_bytes - written <= 5 * 65536);
    fixture_free(&f);
}

/* Read by who has just had it put: that is no second time. By another: it is. */
static void cache_test_own_reading(void **state)
{
    (void)state;
    struct fixture f;
    struct digest d;
    cache_new(&f);
    fixture_open(&f);
    rbuf_unref(fixture_blob(1, SIZE, &d));
    assert_null(store_peek_own(f.worker, &d));
    assert_int_equal(fixture_get_own(f.worker, &d), -ENOENT);
    fetched(&f, 1, SIZE);
    for (unsigned i = 0; i < 3; i++) {
        struct rbuf *b = store_peek_own(f.worker, &d);
        assert_non_null(b);
        rbuf_unref(b);
        assert_int_equal(fixture_get_own(f.worker, &d), 0);
    }
    assert_int_equal(stat_of(&f).hits, 0);
    assert_int_equal(stat_of(&f).written_bytes, 0);
    assert_int_equal(fixture_get_seed(f.worker, 1, SIZE), 0);
    until_on_disk(&f, 1, SIZE);
    assert_int_equal(stat_of(&f).hits, 1);
    f.options.hot_size = 256 << 10; /* from the disk, too */
    fixture_reopen(&f);
    assert_int_equal(fixture_get_own(f.worker, &d), 0);
    assert_int_equal(stat_of(&f).hits, 0);
    fixture_free(&f);
}

static void cache_test_wanted(void **state)
{
    (void)state;
    struct fixture f;
    struct digest d;
    cache_new(&f);
    fixture_open(&f);
    struct rbuf *b = fixture_blob(1, SIZE, &d);
    assert_int_equal(
        fixture_put(f.worker, &d, b, STORE_PUT_CACHE | STORE_PUT_HOT | STORE_PUT_WANTED), 0);
    rbuf_unref(b);
    assert_true(on_disk(&f, 1, SIZE));
    assert_int_equal(stat_of(&f).refused, 0);
    fixture_free(&f);
}

/* As an edge does; true: it came from upstream. */
static bool asked(struct fixture *f, uint64_t seed, uint32_t size)
{
    if (fixture_get_seed(f->worker, seed, size) == 0)
        return false;
    fetched(f, seed, size);
    return true;
}

/* On a full disk: newcomers that are asked for again some time later are written at once when it
 * has been seen that most are; of those that are not, none. */
static void cache_test_auto_learns(void **state)
{
    (void)state;
    struct fixture f;
    cache_new(&f);
    f.options.admission = STORE_ADMIT_AUTO;
    f.options.hot_size = 1 << 20;
    fixture_open(&f);
    for (uint64_t i = 0; i < 400; i++)
        fetched(&f, i, SIZE);
    assert_true(stat_of(&f).refused > 200); /* all, once the disk was full */
    uint64_t refused = stat_of(&f).refused, written = stat_of(&f).written_bytes;
    for (uint64_t i = 1000; i < 1400; i++)
        fetched(&f, i, SIZE);
    assert_in_range(stat_of(&f).refused - refused, 395, 400);
    assert_true(stat_of(&f).written_bytes - written <= 5 * 65536);
    unsigned early = 0, late = 0; /* second requests that were misses */
    for (uint64_t i = 2000; i < 4000; i++) {
        (void)asked(&f, i, SIZE);
        if (i >= 2040)
            *(i < 3000 ? &early : &late) += asked(&f, i - 40, SIZE);
    }
    print_message("misses at the second request: %u of 960, then %u of 1000\n", early, late);
    assert_true(early > 50);
    assert_true(late < 20);
    fixture_reopen(&f); /* it is not forgotten */
    refused = stat_of(&f).refused;
    for (uint64_t i = 5000; i < 5010; i++)
        fetched(&f, i, SIZE);
    assert_int_equal(stat_of(&f).refused, refused);
    for (uint64_t i = 5010; i < 6000; i++)
        fetched(&f, i, SIZE);
    refused = stat_of(&f).refused;
    for (uint64_t i = 6000; i < 6100; i++)
        fetched(&f, i, SIZE);
    assert_in_range(stat_of(&f).refused - refused, 95, 100); /* other times */
    fixture_free(&f);
}

/* Without volume_size a cache has 32 of them. */
static void cache_test_volumes(void **state)
{
    (void)state;
    const struct {
        uint64_t size_max, volume;
    } sizes[] = {{UINT64_C(1) << 30, 32 << 20},
                 {256 << 20, 16 << 20}, /* the least */
                 {64 << 20, 8 << 20}};  /* but for eight */
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        struct fixture f;
        cache_new(&f);
        f.options.size_max = sizes[i].size_max;
        f.options.volume_size = 0;
        fixture_open(&f);
        assert_int_equal(fixture_put_seed(f.worker, 1, SIZE), 0);
        assert_int_equal(stat_of(&f).volumes, 1);
        assert_int_equal(stat_of(&f).volume_bytes, sizes[i].volume);
        fixture_free(&f);
    }
}

/* Six that are read all the time in a stream of others: they fit into half a volume. */
static void cache_test_keeps_what_is_hit(void **state)
{
    (void)state;
    struct fixture f;
    cache_new(&f);
    f.options.hot_size = 0;
    fixture_open(&f);
    for (uint64_t i = 0; i < 6; i++)
        assert_int_equal(fixture_put_seed(f.worker, i, SIZE), 0);
    for (uint64_t i = 100; i < 900; i++) {
        assert_int_equal(fixture_put_seed(f.worker, i, SIZE), 0);
        assert_int_equal(fixture_get_seed(f.worker, i % 6, SIZE), 0);
        assert_true(stat_of(&f).volume_bytes <= f.options.size_max);
    }
    struct store_stat stat = stat_of(&f);
    double amplification = (double)stat.written_bytes / (double)stat.put_bytes;
    print_message("write amplification %.2f, %d volumes given up, hits %d of %d\n", amplification,
                  (int)stat.evicted_volumes, (int)stat.hits, (int)(stat.hits + stat.misses));
    assert_true(stat.evicted_volumes > 30);
    assert_int_equal(stat.put_bytes, 806 * (uint64_t)SIZE);
    assert_true(amplification > 1.0);
    /* All is written once; each volume takes those along that were hit, at most half of it. */
    assert_true(amplification < 2.1);
    assert_int_equal(stat.hits, 800);
    assert_int_equal(stat.misses, 0);
    assert_int_equal(fixture_get_seed(f.worker, 100, SIZE), -ENOENT);
    assert_int_equal(stat_of(&f).misses, 1);
    fixture_free(&f);
}

/* --- over a restart --------------------------------------------------------------------------- */

static void learnt_path(const struct fixture *f, char out[160])
{
    (void)snprintf(out, 160, "%s/learnt", f->path);
}

/* Puts until the volumes that were there are gone. */
static void turn_over(struct fixture *f, uint64_t first)
{
    for (uint64_t i = first; stat_of(f).evicted_volumes < 5; i++)
        assert_int_equal(fixture_put_seed(f->worker, i, SIZE), 0);
}

static void cache_test_hits_last(void **state)
{
    (void)state;
    struct fixture f;
    cache_new(&f);
    f.options.hot_size = 0;
    fixture_open(&f);
    for (uint64_t i = 0; i < 60; i++)
        assert_int_equal(fixture_put_seed(f.worker, i, SIZE), 0);
    for (uint64_t i = 0; i < 60; i += 10)
        assert_int_equal(fixture_get_seed(f.worker, i, SIZE), 0);
    fixture_reopen(&f);
    turn_over(&f, 1000);
    for (uint64_t i = 0; i < 60; i++)
        assert_int_equal(on_disk(&f, i, SIZE), i % 10 == 0);
    fixture_free(&f);
}

static void cache_test_admission_lasts(void **state)
{
    (void)state;
    struct fixture f;
    cache_new(&f);
    fixture_open(&f);
    fetched(&f, 1, SIZE);
    fixture_reopen(&f);
    fetched(&f, 1, SIZE);
    assert_true(on_disk(&f, 1, SIZE));
    fetched(&f, 2, SIZE);
    assert_false(on_disk(&f, 2, SIZE));
    assert_int_equal(stat_of(&f).refused, 1);
    /* Of another size: what was asked for is not known, which blobs were hit is. */
    f.options.size_max = 1 << 30;
    f.options.volume_size = 1 << 20;
    fixture_reopen(&f);
    fetched(&f, 2, SIZE);
    assert_false(on_disk(&f, 2, SIZE));
    fixture_free(&f);
}

/* A file that is no good is as good as none. */
static void cache_test_damaged(void **state)
{
    (void)state;
    struct fixture f;
    struct stat st;
    char path[160];
    cache_new(&f);
    learnt_path(&f, path);
    fixture_open(&f);
    for (uint64_t i = 0; i < 20; i++)
        assert_int_equal(fixture_put_seed(f.worker, i, SIZE), 0);
    assert_int_equal(fixture_get_seed(f.worker, 3, SIZE), 0);
    fetched(&f, 100, SIZE);
    fixture_close(&f);
    assert_int_equal(stat(path, &st), 0);
    /* Each field of the head, the filter, the volumes. */
    const off_t offsets[] = {0, 8, 12, 20, 33, 50, 60, 64, 300, st.st_size / 2, st.st_size - 1};
    CLEAN_BUF struct buf good = BUF_EMPTY;
    assert_int_equal(file_read(path, 1 << 30, &good), 0);
    for (unsigned i = 0; i <= ARRAY_LEN(offsets) + 1; i++) {
        assert_int_equal(file_write(path, buf_str(&good), 0644), 0);
        if (i < ARRAY_LEN(offsets))
            fixture_flip(path, (uint64_t)offsets[i], 0x10);
        else if (i == ARRAY_LEN(offsets))
            assert_int_equal(truncate(path, st.st_size / 2), 0);
        fixture_open(&f);
        assert_int_equal(fixture_get_seed(f.worker, 3, SIZE), 0);
        fetched(&f, 100, SIZE);
        /* The last one is the good one. */
        assert_int_equal(on_disk(&f, 100, SIZE), i == ARRAY_LEN(offsets) + 1);
        fixture_close(&f);
    }
    assert_int_equal(truncate(path, 0), 0);
    fixture_open(&f);
    fixture_free(&f);
}

static void cache_test_not_anothers(void **state)
{
    (void)state;
    struct fixture f, g;
    char from[160], to[160];
    cache_new(&f);
    cache_new(&g);
    fixture_open(&f);
    fetched(&f, 1, SIZE);
    fixture_close(&f);
    fixture_open(&g);
    fixture_close(&g);
    learnt_path(&f, from);
    learnt_path(&g, to);
    assert_int_equal(rename(from, to), 0);
    fixture_open(&g);
    fetched(&g, 1, SIZE);
    assert_false(on_disk(&g, 1, SIZE));
    /* An origin learns nothing of the kind, and leaves no file. */
    fixture_free(&f);
    fixture_new(&f);
    fixture_open(&f);
    assert_int_equal(fixture_put_seed(f.worker, 1, SIZE), 0);
    fixture_close(&f);
    learnt_path(&f, from);
    assert_int_equal(access(from, F_OK), -1);
    fixture_free(&f);
    fixture_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cache_test_second_hit),
        cmocka_unit_test(cache_test_worker_ends),
        cmocka_unit_test(cache_test_written_at_once),
        cmocka_unit_test(cache_test_one_hit_wonders),
        cmocka_unit_test(cache_test_ram_is_full),
        cmocka_unit_test(cache_test_own_reading),
        cmocka_unit_test(cache_test_wanted),
        cmocka_unit_test(cache_test_auto_learns),
        cmocka_unit_test(cache_test_volumes),
        cmocka_unit_test(cache_test_keeps_what_is_hit),
        cmocka_unit_test(cache_test_hits_last),
        cmocka_unit_test(cache_test_admission_lasts),
        cmocka_unit_test(cache_test_damaged),
        cmocka_unit_test(cache_test_not_anothers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
