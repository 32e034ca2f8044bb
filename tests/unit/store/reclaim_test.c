/* SPDX-License-Identifier: Apache-2.0 */
/* What refs reach stays, what they do not goes, and its space comes back. */
#include "store/store.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "base/clock.h"
#include "links_fixture.h"
#include "store/store_rebuild.h"

#define SIZE 20000u

static int refs_of_seed(struct fixture *f, uint64_t seed)
{
    struct digest d = links_fixture_digest(seed, SIZE);
    return links_fixture_refs(f->worker, &d);
}

static void assert_no_damage(struct fixture *f)
{
    struct store_stat stat;
    store_stat(f->store, &stat);
    assert_int_equal(stat.damaged, 0);
}

static void reclaim_test_counts(void **state)
{
    (void)state;
    struct fixture f;
    struct digest a, b;
    links_fixture_open(&f);
    links_fixture_film(f.worker, 0, 4, SIZE, &a); /* 0-3 */
    assert_int_equal(fixture_ref_put(f.worker, "a", &a, 0), 0);
    links_fixture_film(f.worker, 2, 4, SIZE, &b); /* 2-5 */
    assert_int_equal(fixture_ref_put(f.worker, "b", &b, 0), 0);
    static const int both[] = {1, 1, 2, 2, 1, 1};
    for (uint64_t i = 0; i < ARRAY_LEN(both); i++)
        assert_int_equal(refs_of_seed(&f, i), both[i]);
    /* A second ref of a presentation counts as one more of it, not of what it names. */
    assert_int_equal(fixture_ref_put(f.worker, "b2", &b, 0), 0);
    assert_int_equal(fixture_ref_put(f.worker, "b2", &b, 1), 0);
    assert_int_equal(links_fixture_refs(f.worker, &b), 1);
    assert_int_equal(refs_of_seed(&f, 2), 2);
    links_fixture_settle(&f, true);
    for (uint64_t i = 0; i < ARRAY_LEN(both); i++)
        assert_int_equal(refs_of_seed(&f, i), both[i]);
    assert_int_equal(fixture_ref_delete(f.worker, "b"), 0);
    links_fixture_settle(&f, true);
    for (uint64_t i = 0; i < ARRAY_LEN(both); i++)
        assert_int_equal(refs_of_seed(&f, i), both[i]); /* b2 holds it */
    assert_int_equal(fixture_ref_put(f.worker, "b2", &a, STORE_REF_ANY), 0);
    links_fixture_settle(&f, true);
    static const int one[] = {1, 1, 1, 1, -1, -1};
    for (uint64_t i = 0; i < ARRAY_LEN(one); i++)
        assert_int_equal(refs_of_seed(&f, i), one[i]);
    assert_int_equal(links_fixture_refs(f.worker, &b), -1);
    fixture_reopen(&f);
    for (uint64_t i = 0; i < ARRAY_LEN(one); i++)
        assert_int_equal(refs_of_seed(&f, i), one[i]);
    assert_int_equal(fixture_ref_delete(f.worker, "a"), 0);
    assert_int_equal(fixture_ref_delete(f.worker, "b2"), 0);
    links_fixture_settle(&f, true);
    struct store_stat stat;
    store_stat(f.store, &stat);
    assert_int_equal(stat.blobs, 0);
    assert_int_equal(stat.blob_bytes, 0);
    assert_int_equal(stat.reclaimed, 5); /* since the store was opened again */
    fixture_free(&f);
}

static void reclaim_test_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct digest links[2], p, no;
    struct store_ref ref;
    links_fixture_open(&f);
    fixture_put_seeds(f.worker, 1, 1, SIZE);
    links[0] = links_fixture_digest(1, SIZE);
    links[1] = links_fixture_digest(2, SIZE); /* nobody put it */
    assert_int_equal(links_fixture_put(f.worker, 1, links, 2, &p), 0);
    assert_int_equal(fixture_ref_put(f.worker, "film", &p, STORE_REF_ANY), -ENOENT);
    assert_int_equal(store_ref_get(f.worker, STR("film"), &ref), -ENOENT);
    assert_int_equal(refs_of_seed(&f, 1), 0);
    assert_int_equal(links_fixture_refs(f.worker, &p), 0);
    assert_int_equal(fixture_ref_put(f.worker, "film", &links[1], STORE_REF_ANY), -ENOENT);
    assert_int_equal(fixture_ref_put(f.worker, "film", &links[0], STORE_REF_ANY), -EBADMSG);
    assert_int_equal(fixture_put_seed(f.worker, 2, SIZE), 0);
    assert_int_equal(fixture_ref_put(f.worker, "film", &p, 0), 0);
    assert_int_equal(store_ref_get(f.worker, STR("film"), &ref), 0);
    assert_int_equal(ref.generation, 1);
    /* Nor does a refused move let go of what was there. */
    no = links_fixture_digest(99, SIZE);
    struct digest q;
    assert_int_equal(links_fixture_put(f.worker, 2, &no, 1, &q), 0);
    assert_int_equal(fixture_ref_put(f.worker, "film", &q, STORE_REF_ANY), -ENOENT);
    assert_int_equal(refs_of_seed(&f, 1), 1);
    assert_int_equal(refs_of_seed(&f, 2), 1);
    /* A presentation may name a blob twice, and none. */
    struct digest twice[2] = {links[0], links[0]};
    assert_int_equal(links_fixture_put(f.worker, 3, twice, 2, &q), 0);
    assert_int_equal(fixture_ref_put(f.worker, "twice", &q, 0), 0);
    assert_int_equal(refs_of_seed(&f, 1), 2);
    assert_int_equal(fixture_ref_delete(f.worker, "twice"), 0);
    assert_int_equal(refs_of_seed(&f, 1), 1);
    assert_int_equal(links_fixture_put(f.worker, 4, NULL, 0, &no), 0);
    assert_int_equal(fixture_ref_put(f.worker, "none", &no, 0), 0);
    assert_int_equal(links_fixture_refs(f.worker, &no), 1);
    fixture_free(&f);
}

/* Its record was down before the index refused it: a rebuild must not take it for the last word.
 */
static void reclaim_test_refused_then_rebuilt(void **state)
{
    (void)state;
    struct fixture f;
    struct digest lost = links_fixture_digest(99, SIZE), p, q;
    struct store_ref ref;
    struct store_rebuild report;
    struct err err = {{0}};
    for (unsigned round = 0; round < 10; round++) {
        links_fixture_open(&f);
        links_fixture_film(f.worker, 0, 1, SIZE, &p);
        assert_int_equal(links_fixture_put(f.worker, 5, &lost, 1, &q), 0);
        assert_int_equal(fixture_ref_put(f.worker, "film", &p, 0), 0);
        assert_int_equal(fixture_ref_put(f.worker, "film", &q, 1), -ENOENT);
        fixture_close(&f); /* mostly before the keeper has got to it */
        assert_int_equal(store_rebuild(&f.options, NULL, NULL, &report, &err), 0);
        fixture_open(&f);
        assert_int_equal(store_ref_get(f.worker, STR("film"), &ref), 0);
        assert_int_equal(ref.generation, 1);
        assert_true(digest_eq(&ref.presentation, &p));
        fixture_free(&f);
    }
}

static void reclaim_test_space_comes_back(void **state)
{
    (void)state;
    struct fixture f;
    struct digest a, b;
    struct store_stat stat;
    fixture_new(&f);
    links_fixture_init(&f);
    f.options.keep_rate = STORE_RATE_NONE; /* holes alone, no compaction */
    f.options.volume_size = 8 << 20;
    fixture_open(&f);
    links_fixture_film(f.worker, 0, 10, SIZE, &a);
    assert_int_equal(fixture_ref_put(f.worker, "a", &a, 0), 0);
    links_fixture_film(f.worker, 100, 200, SIZE, &b);
    assert_int_equal(fixture_ref_put(f.worker, "b", &b, 0), 0);
    links_fixture_settle(&f, true);
    uint64_t before = links_fixture_allocated(&f);
    assert_true(before >= 8 << 20);
    assert_int_equal(fixture_ref_delete(f.worker, "b"), 0);
    links_fixture_settle(&f, true);
    uint64_t after = links_fixture_allocated(&f);
    print_message("allocated: %llu, then %llu\n", (unsigned long long)before,
                  (unsigned long long)after);
    assert_true(after + 200ull * SIZE <= before);
    store_stat(f.store, &stat);
    assert_int_equal(stat.blobs, 11);
    assert_int_equal(stat.reclaimed, 201);
    assert_true(stat.reclaimed_bytes >= 200ull * SIZE);
    for (uint64_t i = 0; i < 10; i++)
        assert_int_equal(fixture_get_seed(f.worker, i, SIZE), 0);
    assert_int_equal(fixture_get_seed(f.worker, 100, SIZE), -ENOENT);
    /* What was never named goes as well. */
    fixture_put_seeds(f.worker, 1000, 50, SIZE);
    links_fixture_settle(&f, true);
    assert_int_equal(fixture_get_seed(f.worker, 1000, SIZE), -ENOENT);
    assert_true(links_fixture_allocated(&f) <= after);
    assert_no_damage(&f);
    fixture_free(&f);
}

/* An orphan that is put again has its time before it anew, and stays when a ref comes. */
static void reclaim_test_put_again(void **state)
{
    (void)state;
    struct fixture f;
    struct digest p, q;
    links_fixture_open(&f);
    links_fixture_film(f.worker, 0, 3, SIZE, &p);
    assert_int_equal(fixture_ref_put(f.worker, "film", &p, 0), 0);
    assert_int_equal(fixture_ref_delete(f.worker, "film"), 0);
    /* Dropped; put again it waits as what was put does. */
    assert_int_equal(fixture_put_seed(f.worker, 1, SIZE), 0);
    assert_int_equal(fixture_put_seed(f.worker, 2, SIZE), 0);
    links_fixture_later(LINKS_DROPPED_S);
    links_fixture_settle(&f, false);
    assert_int_equal(refs_of_seed(&f, 0), -1);
    assert_int_equal(refs_of_seed(&f, 1), 0);
    assert_int_equal(refs_of_seed(&f, 2), 0);
    assert_int_equal(fixture_get_seed(f.worker, 1, SIZE), 0);
    struct digest link = links_fixture_digest(1, SIZE);
    assert_int_equal(links_fixture_put(f.worker, 7, &link, 1, &q), 0);
    assert_int_equal(fixture_ref_put(f.worker, "film", &q, 0), 0);
    /* A put of what is named makes it no orphan. */
    assert_int_equal(fixture_put_seed(f.worker, 1, SIZE), 0);
    links_fixture_settle(&f, true);
    assert_int_equal(refs_of_seed(&f, 1), 1);
    assert_int_equal(refs_of_seed(&f, 2), -1);
    fixture_free(&f);
}

static void reclaim_test_at_once(void **state)
{
    (void)state;
    struct fixture f;
    struct digest p;
    struct store_stat stat;
    links_fixture_open(&f);
    links_fixture_film(f.worker, 0, 3, SIZE, &p);
    assert_int_equal(fixture_ref_put(f.worker, "film", &p, 0), 0);
    f.options.unreferenced_s = f.options.dropped_s = STORE_AT_ONCE;
    fixture_reopen(&f);
    for (uint64_t i = 10; i < 20; i++)
        assert_int_equal(fixture_put_seed(f.worker, i, SIZE), 0);
    links_fixture_settle(&f, false);
    store_stat(f.store, &stat);
    assert_int_equal(stat.blobs, 4);
    assert_int_equal(fixture_ref_delete(f.worker, "film"), 0);
    links_fixture_settle(&f, false);
    store_stat(f.store, &stat);
    assert_int_equal(stat.blobs, 0);
    fixture_free(&f);
}

/* Puts of what is being reclaimed right then: what was acknowledged and named stays. */
static void reclaim_test_put_races(void **state)
{
    (void)state;
    struct fixture f;
    fixture_new(&f);
    links_fixture_init(&f);
    f.options.dropped_s = STORE_AT_ONCE;
    fixture_open(&f);
    for (unsigned round = 0; round < 60; round++) {
        struct digest p, links[2];
        for (unsigned i = 0; i < 2; i++) {
            int r = fixture_put_seed(f.worker, i, SIZE);
            assert_int_equal(r, 0);
            links[i] = links_fixture_digest(i, SIZE);
        }
        assert_int_equal(links_fixture_put(f.worker, round, links, 2, &p), 0);
        assert_int_equal(fixture_ref_put(f.worker, "film", &p, STORE_REF_ANY), 0);
        assert_int_equal(refs_of_seed(&f, 0), 1);
        assert_int_equal(fixture_get_seed(f.worker, 1, SIZE), 0);
        /* The keeper wakes with the commit; the next round's puts meet it. */
        assert_int_equal(fixture_ref_delete(f.worker, "film"), 0);
    }
    assert_no_damage(&f);
    fixture_free(&f);
}

/* A live channel: each segment moves the ref, the oldest leaves the window. */
static void window_run(struct fixture *f, unsigned segments, unsigned window)
{
    struct digest links[16], p;
    assert_true(window <= ARRAY_LEN(links));
    for (unsigned i = 0; i < segments; i++) {
        unsigned from = i + 1 > window ? i + 1 - window : 0;
        int r = fixture_put_seed(f->worker, i, SIZE);
        assert_int_equal(r, 0);
        for (unsigned s = from; s <= i; s++)
            links[s - from] = links_fixture_digest(s, SIZE);
        assert_int_equal(links_fixture_put(f->worker, i, links, i + 1 - from, &p), 0);
        assert_int_equal(fixture_ref_put(f->worker, "live", &p, i), 0);
        links_fixture_later(2);
    }
}

static void reclaim_test_window(void **state)
{
    (void)state;
    struct fixture f;
    struct store_stat stat;
    fixture_new(&f);
    links_fixture_init(&f);
    f.options.unreferenced_s = f.options.dropped_s = 0; /* as in a daemon that is not told */
    fixture_open(&f);
    window_run(&f, 200, 10);
    links_fixture_later(59);
    links_fixture_settle(&f, false);
    store_stat(f.store, &stat);
    assert_int_equal(stat.blobs, 11);
    assert_int_equal(stat.reclaimed, 190 + 199);
    for (uint64_t i = 190; i < 200; i++)
        assert_int_equal(refs_of_seed(&f, i), 1);
    /* 200 segments are about 5 volumes; what stands is the newest and what little is live. */
    assert_true(stat.volumes <= 2);
    assert_true(links_fixture_allocated(&f) <= 3 << 20);
    fixture_free(&f);
}

/* By the clock: two seconds after it was let go of at the latest, plus what a busy host needs. */
static void reclaim_test_window_by_time(void **state)
{
    (void)state;
    struct fixture f;
    struct store_stat stat;
    fixture_new(&f);
    links_fixture_init(&f);
    f.options.dropped_s = 1;
    fixture_open(&f);
    window_run(&f, 40, 10);
    uint64_t end_ms = clock_mono_ms() + 60000;
    do {
        const struct timespec moment = {.tv_nsec = 20000000};
        (void)nanosleep(&moment, NULL);
        store_stat(f.store, &stat);
    } while (stat.blobs > 11 && clock_mono_ms() < end_ms);
    assert_int_equal(stat.blobs, 11);
    for (uint64_t i = 30; i < 40; i++)
        assert_int_equal(fixture_get_seed(f.worker, i, SIZE), 0);
    fixture_free(&f);
}

static void reclaim_test_not_before_its_time(void **state)
{
    (void)state;
    struct fixture f;
    struct digest p;
    links_fixture_open(&f);
    links_fixture_film(f.worker, 0, 3, SIZE, &p);
    assert_int_equal(fixture_ref_put(f.worker, "film", &p, 0), 0);
    assert_int_equal(fixture_ref_delete(f.worker, "film"), 0);
    assert_int_equal(fixture_put_seed(f.worker, 9, SIZE), 0);
    links_fixture_later(LINKS_DROPPED_S - 10);
    links_fixture_settle(&f, false);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(fixture_get_seed(f.worker, i, SIZE), 0);
    fixture_reopen(&f); /* the time that has passed counts */
    links_fixture_later(11);
    links_fixture_settle(&f, false);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(fixture_get_seed(f.worker, i, SIZE), -ENOENT);
    links_fixture_later(LINKS_UNREFERENCED_S - LINKS_DROPPED_S - 10);
    links_fixture_settle(&f, false);
    assert_int_equal(fixture_get_seed(f.worker, 9, SIZE), 0);
    links_fixture_later(20);
    links_fixture_settle(&f, false);
    assert_int_equal(fixture_get_seed(f.worker, 9, SIZE), -ENOENT);
    fixture_free(&f);
}

static void reclaim_test_generations(void **state)
{
    (void)state;
    struct fixture f;
    struct digest p;
    struct store_ref ref;
    links_fixture_open(&f);
    for (unsigned i = 0; i < 4; i++) {
        links_fixture_film(f.worker, i, 1, SIZE, &p);
        assert_int_equal(fixture_ref_put(f.worker, "film", &p, 0), 0);
        assert_int_equal(store_ref_get(f.worker, STR("film"), &ref), 0);
        assert_int_equal(ref.generation, 2 * i + 1);
        assert_int_equal(fixture_ref_put(f.worker, "film", &p, 2 * i), -ESTALE);
        assert_int_equal(fixture_ref_delete(f.worker, "film"), 0);
        assert_int_equal(fixture_ref_delete(f.worker, "film"), -ENOENT);
        links_fixture_settle(&f, true);
        if (i % 2 == 1)
            fixture_reopen(&f);
    }
    struct store_stat stat;
    store_stat(f.store, &stat);
    assert_int_equal(stat.blobs, 0);
    fixture_free(&f);
}

struct reader {
    struct store *store;
    _Atomic bool stop;
    unsigned got, missed;
    int failed;
};

static void *reader_run(void *arg)
{
    struct reader *x = arg;
    struct store_worker *w = NULL;
    if (store_worker_new(x->store, &w) < 0)
        return NULL;
    for (uint64_t i = 0; !atomic_load(&x->stop); i++) {
        struct digest d, is;
        struct rbuf *want = fixture_blob(i % 20, SIZE, &d), *got = NULL;
        uint32_t size;
        int r = fixture_get(w, &d, &got);
        if (r == 0) {
            const uint8_t *bytes = rbuf_data(got, &size);
            is = digest_of(bytes, size);
            if (!digest_eq(&is, &d))
                x->failed = -EBADMSG;
        } else if (r != -ENOENT) {
            x->failed = r;
        }
        x->got += r == 0;
        x->missed += r == -ENOENT;
        rbuf_unref(got);
        rbuf_unref(want);
    }
    store_worker_free(w);
    return NULL;
}

static void reclaim_test_readers(void **state)
{
    (void)state;
    struct fixture f;
    struct digest p;
    pthread_t ids[2];
    fixture_new(&f);
    links_fixture_init(&f);
    f.options.dropped_s = STORE_AT_ONCE;
    fixture_open(&f);
    struct reader readers[2] = {{.store = f.store}, {.store = f.store}};
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, reader_run, &readers[i]), 0);
    for (unsigned round = 0; round < 40; round++) {
        links_fixture_film(f.worker, 0, 20, SIZE, &p);
        assert_int_equal(fixture_ref_put(f.worker, "film", &p, STORE_REF_ANY), 0);
        assert_int_equal(fixture_ref_delete(f.worker, "film"), 0);
        links_fixture_settle(&f, false);
    }
    for (unsigned i = 0; i < 2; i++) {
        atomic_store(&readers[i].stop, true);
        assert_int_equal(pthread_join(ids[i], NULL), 0);
        assert_int_equal(readers[i].failed, 0);
        print_message("reader %u: %u read, %u absent\n", i, readers[i].got, readers[i].missed);
    }
    assert_true(readers[0].missed + readers[1].missed > 0);
    assert_no_damage(&f);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reclaim_test_counts),
        cmocka_unit_test(reclaim_test_refused),
        cmocka_unit_test(reclaim_test_refused_then_rebuilt),
        cmocka_unit_test(reclaim_test_space_comes_back),
        cmocka_unit_test(reclaim_test_put_again),
        cmocka_unit_test(reclaim_test_at_once),
        cmocka_unit_test(reclaim_test_put_races),
        cmocka_unit_test(reclaim_test_window),
        cmocka_unit_test(reclaim_test_window_by_time),
        cmocka_unit_test(reclaim_test_not_before_its_time),
        cmocka_unit_test(reclaim_test_generations),
        cmocka_unit_test(reclaim_test_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
