/* SPDX-License-Identifier: Apache-2.0 */
/* Several workers at once on one store. */
#include "store/store.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include "store_fixture.h"

#define THREADS 4u
#define BLOBS   60u
#define SIZE    50000u

struct thread {
    struct store *store;
    unsigned index;
    bool cache;
    int failed; /* the first unexpected result: cmocka's asserts are for the main thread */
    pthread_t id;
};

static void thread_note(struct thread *t, int r)
{
    if (r < 0 && t->failed == 0)
        t->failed = r;
}

static bool ref_each(void *arg, struct str name, const struct store_ref *ref)
{
    (void)name;
    (void)ref;
    (*(unsigned *)arg)++;
    return true;
}

static void *thread_run(void *arg)
{
    struct thread *t = arg;
    struct store_worker *w = NULL;
    int r = store_worker_new(t->store, &w);
    thread_note(t, r);
    for (uint64_t i = 0; r == 0 && i < BLOBS; i++) {
        /* Half of the blobs are everybody's, so that several put the same at once. */
        uint64_t seed = i % 2 == 0 ? i : (t->index + 1) * 1000 + i;
        unsigned refs = 0;
        thread_note(t, fixture_put_seed(w, seed, SIZE));
        r = fixture_get_seed(w, seed, SIZE);
        thread_note(t, t->cache && r == -ENOENT ? 0 : r);
        r = fixture_get_seed(w, i / 2 * 2, SIZE);
        thread_note(t, t->cache && r == -ENOENT ? 0 : r);
        r = 0;
        if (i % 8 == 0) {
            struct digest d = {{(uint8_t)i}};
            thread_note(t, fixture_ref_put(w, "shared", &d, STORE_REF_ANY));
            thread_note(t, store_ref_list(w, ref_each, &refs));
            thread_note(t, refs >= 1 ? 0 : -ERANGE);
        }
    }
    store_worker_free(w);
    return NULL;
}

static void threads_run(struct fixture *f, bool cache)
{
    struct thread threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i] = (struct thread){.store = f->store, .index = i, .cache = cache};
        assert_int_equal(pthread_create(&threads[i].id, NULL, thread_run, &threads[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i].id, NULL), 0);
        assert_int_equal(threads[i].failed, 0);
    }
}

static void threads_test_store(void **state)
{
    (void)state;
    struct fixture f;
    struct store_stat stat;
    struct store_ref ref;
    fixture_new(&f);
    f.options.hot_size = 1 << 20;
    fixture_open(&f);
    threads_run(&f, false);
    store_stat(f.store, &stat);
    assert_int_equal(stat.blobs, BLOBS / 2 + THREADS * BLOBS / 2);
    assert_int_equal(stat.blob_bytes, stat.blobs * SIZE);
    assert_int_equal(stat.damaged, 0);
    assert_true(stat.hot_bytes <= 1 << 20);
    assert_int_equal(store_ref_get(f.worker, STR("shared"), &ref), 0);
    assert_int_equal(ref.generation, THREADS * ((BLOBS + 7) / 8));
    fixture_free(&f);
}

static void threads_test_cache(void **state)
{
    (void)state;
    struct fixture f;
    struct store_stat stat;
    fixture_new(&f);
    f.options.size_max = 2 << 20;
    f.options.hot_size = 512 << 10;
    fixture_open(&f);
    threads_run(&f, true);
    store_stat(f.store, &stat);
    assert_true(stat.evicted_volumes > 4);
    assert_int_equal(stat.damaged, 0);
    assert_true(stat.volume_bytes <= 2 << 20);
    fixture_free(&f);
}

struct many {
    unsigned answered, under_way;
    struct rbuf *first;
};

static void many_get(void *arg, int res, struct rbuf *blob)
{
    struct many *m = arg;
    assert_int_equal(res, 0);
    assert_int_equal(rbuf_size(blob), SIZE);
    if (m->first == NULL)
        m->first = rbuf_ref(blob);
    assert_ptr_equal(m->first, blob); /* one read for all who asked */
    m->answered++;
}

static void threads_test_shared_read(void **state)
{
    (void)state;
    struct fixture f;
    struct digest d;
    struct many m = {0};
    bool done = false;
    fixture_new(&f);
    fixture_open(&f);
    assert_int_equal(fixture_put_seed(f.worker, 1, SIZE), 0);
    rbuf_unref(fixture_blob(1, SIZE, &d));
    for (unsigned i = 0; i < 100; i++)
        store_get(f.worker, &d, many_get, &m);
    assert_int_equal(m.answered, 0); /* nothing of it is in RAM, so nothing comes from the call */
    while (m.answered < 100) {
        assert_int_equal(fixture_get_seed(f.worker, 2, 1), -ENOENT);
        done = true;
    }
    assert_true(done);
    rbuf_unref(m.first);
    struct store_stat stat;
    store_stat(f.store, &stat);
    assert_int_equal(stat.hits, 100);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_test_store),
        cmocka_unit_test(threads_test_cache),
        cmocka_unit_test(threads_test_shared_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
