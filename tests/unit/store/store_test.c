/* SPDX-License-Identifier: Apache-2.0 */
/* Puts, gets, refs and restarts through store.h. */
#include "store/store.h"
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include "store_fixture.h"

static const uint32_t sizes[] = {0, 1, 4031, 4032, 4033, 65535, 65536, 65537, 300000, 3 << 20};

static void store_test_put_get(void **state)
{
    (void)state;
    struct fixture f;
    fixture_new(&f);
    fixture_open(&f);
    for (uint32_t i = 0; i < ARRAY_LEN(sizes); i++) {
        assert_int_equal(fixture_get_seed(f.worker, i, sizes[i]), -ENOENT);
        assert_int_equal(fixture_put_seed(f.worker, i, sizes[i]), 0);
        assert_int_equal(fixture_get_seed(f.worker, i, sizes[i]), 0);
    }
    fixture_close(&f);
    fixture_open(&f);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < ARRAY_LEN(sizes); i++) {
        assert_int_equal(fixture_get_seed(f.worker, i, sizes[i]), 0);
        assert_int_equal(fixture_put_seed(f.worker, i, sizes[i]), 0); /* again: nothing new */
        bytes += sizes[i];
    }
    struct store_stat stat;
    store_stat(f.store, &stat);
    assert_int_equal(stat.blobs, ARRAY_LEN(sizes));
    assert_int_equal(stat.blob_bytes, bytes);
    assert_int_equal(stat.hits, ARRAY_LEN(sizes));
    assert_true(stat.volumes >= 2);
    fixture_free(&f);
}

static void store_test_largest(void **state)
{
    (void)state;
    struct fixture f;
    fixture_new(&f);
    fixture_open(&f);
    assert_int_equal(fixture_put_seed(f.worker, 1, STORE_BLOB_MAX), 0);
    assert_int_equal(fixture_get_seed(f.worker, 1, STORE_BLOB_MAX), 0);
    assert_int_equal(fixture_put_seed(f.worker, 2, STORE_BLOB_MAX + 1), -EFBIG);
    fixture_free(&f);
}

static void store_test_wrong_digest(void **state)
{
    (void)state;
    struct fixture f;
    struct digest a, b;
    fixture_new(&f);
    fixture_open(&f);
    struct rbuf *x = fixture_blob(1, 1000, &a), *y = fixture_blob(2, 1000, &b), *got = NULL;
    assert_int_equal(fixture_put(f.worker, &b, x, 0), -EINVAL);
    assert_false(store_has(f.worker, &a));
    assert_false(store_has(f.worker, &b));
    assert_int_equal(fixture_get(f.worker, &b, &got), -ENOENT);
    rbuf_unref(x);
    rbuf_unref(y);
    fixture_free(&f);
}

/* XXH3-128 of 17 to 32 bytes multiplies the first two words, each xored with a constant, and mixes
 * in their sum: two inputs with that product zero and the same sum have one digest. */
static void collision(unsigned which, struct rbuf **ret, struct digest *ret_digest)
{
    static const uint8_t constant[16] = {0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe,
                                         0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c};
    uint64_t low, high, words[4] = {0, 0, 7, 9};
    const uint64_t sum = UINT64_C(0x1122334455667788);
    memcpy(&low, constant, 8);
    memcpy(&high, constant + 8, 8);
    words[0] = which == 0 ? low : sum - high;
    words[1] = which == 0 ? sum - low : high;
    assert_int_equal(rbuf_copy(words, sizeof words, ret), 0);
    *ret_digest = digest_of(words, sizeof words);
}

static void store_test_collision(void **state)
{
    (void)state;
    struct fixture f;
    struct digest a, b;
    struct rbuf *x = NULL, *y = NULL, *got = NULL;
    uint32_t size;
    collision(0, &x, &a);
    collision(1, &y, &b);
    assert_true(digest_eq(&a, &b));
    assert_memory_not_equal(rbuf_data(x, &size), rbuf_data(y, &size), 32);
    for (unsigned hot = 0; hot < 2; hot++) {
        fixture_new(&f);
        f.options.hot_size = hot * (1 << 20);
        fixture_open(&f);
        assert_int_equal(fixture_put(f.worker, &a, x, STORE_PUT_HOT), 0);
        assert_int_equal(fixture_put(f.worker, &a, y, STORE_PUT_HOT), -EEXIST);
        assert_int_equal(fixture_put(f.worker, &a, x, 0), 0);
        assert_int_equal(fixture_get(f.worker, &a, &got), 0);
        assert_memory_equal(rbuf_data(got, &size), rbuf_data(x, &size), 32);
        got = rbuf_unref(got);
        fixture_free(&f);
    }
    rbuf_unref(x);
    rbuf_unref(y);
}

static void count_done(void *arg, int res)
{
    int *counts = arg;
    assert_true(res == 0 || res == -EEXIST);
    counts[res == 0 ? 0 : 1]++;
}

/* Two bytes strings of one digest in one group: exactly one of them wins. */
static void store_test_collision_group(void **state)
{
    (void)state;
    struct fixture f;
    struct digest a;
    struct rbuf *x = NULL, *y = NULL;
    int counts[2] = {0, 0};
    fixture_new(&f);
    fixture_open(&f);
    collision(0, &x, &a);
    collision(1, &y, &a);
    for (unsigned i = 0; i < 8; i++)
        store_put(f.worker, &a, i % 2 == 0 ? x : y, 0, count_done, counts);
    while (counts[0] + counts[1] < 8) {
        struct digest d;
        struct rbuf *b = fixture_blob(77, 10, &d);
        assert_int_equal(fixture_put(f.worker, &d, b, 0), 0);
        rbuf_unref(b);
    }
    assert_int_equal(counts[0], 4);
    assert_int_equal(counts[1], 4);
    struct store_stat stat;
    store_stat(f.store, &stat);
    assert_int_equal(stat.blobs, 2);
    rbuf_unref(x);
    rbuf_unref(y);
    fixture_free(&f);
}

static void store_test_hot(void **state)
{
    (void)state;
    struct fixture f;
    struct digest d;
    fixture_new(&f);
    f.options.hot_size = 8 << 20;
    fixture_open(&f);
    struct rbuf *b = fixture_blob(1, 100000, &d);
    assert_null(store_peek(f.worker, &d));
    assert_int_equal(fixture_put(f.worker, &d, b, STORE_PUT_HOT), 0);
    struct rbuf *hot = store_peek(f.worker, &d);
    assert_ptr_equal(hot, b);
    rbuf_unref(hot);
    fixture_close(&f);
    fixture_open(&f);
    assert_null(store_peek(f.worker, &d));
    assert_int_equal(fixture_get_seed(f.worker, 1, 100000), 0);
    hot = store_peek(f.worker, &d);
    assert_non_null(hot);
    rbuf_unref(hot);
    struct store_stat stat;
    store_stat(f.store, &stat);
    assert_true(stat.hot_bytes >= 100000);
    assert_int_equal(stat.hot_hits, 1);
    assert_int_equal(stat.hits, 2);
    rbuf_unref(b);
    fixture_free(&f);
}

static bool list_each(void *arg, struct str name, const struct store_ref *ref)
{
    char *out = arg;
    size_t used = strlen(out);
    assert_true(
        snprintf(out + used, 200 - used, STR_FMT "=%d ", STR_ARG(name), (int)ref->generation) > 0);
    return !str_eq(name, STR("c"));
}

static void store_test_refs(void **state)
{
    (void)state;
    struct fixture f;
    struct digest a, b;
    struct store_ref ref = {.generation = 99};
    fixture_new(&f);
    fixture_open(&f);
    rbuf_unref(fixture_blob(1, 10, &a));
    rbuf_unref(fixture_blob(2, 10, &b));
    assert_int_equal(store_ref_get(f.worker, STR("film"), &ref), -ENOENT);
    assert_int_equal(ref.generation, 99);
    assert_int_equal(fixture_ref_put(f.worker, "film", &a, 1), -ESTALE);
    assert_int_equal(fixture_ref_put(f.worker, "film", &a, 0), 0);
    assert_int_equal(fixture_ref_put(f.worker, "film", &b, 0), -ESTALE);
    assert_int_equal(fixture_ref_put(f.worker, "film", &b, 1), 0);
    assert_int_equal(fixture_ref_put(f.worker, "film", &a, STORE_REF_ANY), 0);
    assert_int_equal(fixture_ref_put(f.worker, ".film", &a, 0), -EINVAL);
    assert_int_equal(fixture_ref_put(f.worker, "a/b", &a, 0), -EINVAL);
    assert_int_equal(fixture_ref_put(f.worker, "b", &b, 0), 0);
    assert_int_equal(fixture_ref_put(f.worker, "c", &b, 0), 0);
    assert_int_equal(fixture_ref_put(f.worker, "gone", &b, 0), 0);
    assert_int_equal(fixture_ref_delete(f.worker, "gone"), 0);
    assert_int_equal(fixture_ref_delete(f.worker, "gone"), -ENOENT);
    fixture_close(&f);
    fixture_open(&f);
    assert_int_equal(store_ref_get(f.worker, STR("film"), &ref), 0);
    assert_int_equal(ref.generation, 3);
    assert_true(ref.changed_ms > 1000000);
    assert_true(digest_eq(&ref.presentation, &a));
    assert_int_equal(store_ref_get(f.worker, STR("gone"), &ref), -ENOENT);
    char text[200] = "";
    assert_int_equal(store_ref_list(f.worker, list_each, text), 0);
    assert_string_equal(text, "b=1 c=1 ");
    fixture_free(&f);
}

static void store_test_names(void **state)
{
    (void)state;
    char name[STORE_NAME_MAX + 2];
    memset(name, 'a', sizeof name);
    assert_true(store_name_ok((struct str){name, STORE_NAME_MAX}));
    assert_false(store_name_ok((struct str){name, STORE_NAME_MAX + 1}));
    assert_true(store_name_ok(STR("A-Z_0.9")));
    assert_false(store_name_ok(STR("")));
    assert_false(store_name_ok(STR(".a")));
    assert_false(store_name_ok(STR("a b")));
    assert_false(store_name_ok(STR("a\0b")));
}

static void store_test_locked(void **state)
{
    (void)state;
    struct fixture f;
    struct store *second = NULL;
    struct err err = {{0}};
    fixture_new(&f);
    fixture_open(&f);
    assert_int_equal(store_open(&f.options, &err, &second), -EBUSY);
    assert_non_null(strstr(err.text, "in use by another process"));
    assert_int_equal(fixture_put_seed(f.worker, 1, 10), 0);
    fixture_free(&f);
}

static void store_test_metrics(void **state)
{
    (void)state;
    struct fixture f;
    struct metrics *m = NULL;
    struct buf out = BUF_EMPTY;
    assert_int_equal(metrics_new(&m), 0);
    fixture_new(&f);
    f.options.metrics = m;
    f.options.metric_prefix = "weir_test";
    fixture_open(&f);
    assert_int_equal(fixture_put_seed(f.worker, 1, 1000), 0);
    assert_int_equal(fixture_get_seed(f.worker, 1, 1000), 0);
    assert_int_equal(fixture_get_seed(f.worker, 2, 1000), -ENOENT);
    metrics_render(m, &out);
    assert_int_equal(buf_error(&out), 0);
    buf_putc(&out, 0);
    assert_non_null(strstr(out.data, "\nweir_test_store_hits_total{tier=\"warm\"} 1\n"));
    assert_non_null(strstr(out.data, "\nweir_test_store_misses_total 1\n"));
    assert_non_null(strstr(out.data, "\nweir_test_store_puts_total 1\n"));
    assert_non_null(strstr(out.data, "\nweir_test_store_blobs 1\n"));
    assert_non_null(strstr(out.data, "\nweir_test_store_blob_bytes 1000\n"));
    buf_free(&out);
    fixture_free(&f);
    metrics_free(m);
}

struct chain {
    struct store_worker *worker;
    uint64_t next, count;
    bool waits; /* the next one is waited for from within */
    bool done;
};

static void chain_next(struct chain *c);

static void chain_got(void *arg, int res, struct rbuf *blob)
{
    struct chain *c = arg;
    assert_int_equal(res, 0);
    assert_non_null(blob);
    if (c->waits && c->next < c->count)
        assert_int_equal(fixture_get_seed(c->worker, c->next++, 300000), 0);
    if (c->next < c->count)
        chain_next(c);
    else
        c->done = true;
}

static void chain_next(struct chain *c)
{
    struct digest d;
    rbuf_unref(fixture_blob(c->next++, 300000, &d));
    store_get(c->worker, &d, chain_got, c);
}

/* Each get is begun by the answer to the one before. */
static void store_test_get_from_answer(void **state)
{
    (void)state;
    struct fixture f;
    fixture_new(&f);
    fixture_open(&f);
    for (uint64_t i = 0; i < 20; i++)
        assert_int_equal(fixture_put_seed(f.worker, i, 300000), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct chain c = {.worker = f.worker, .count = 20, .waits = i == 1};
        chain_next(&c);
        store_worker_wait(f.worker, &c.done);
        assert_int_equal(c.next, c.count);
    }
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store_test_put_get),
        cmocka_unit_test(store_test_largest),
        cmocka_unit_test(store_test_wrong_digest),
        cmocka_unit_test(store_test_collision),
        cmocka_unit_test(store_test_collision_group),
        cmocka_unit_test(store_test_hot),
        cmocka_unit_test(store_test_refs),
        cmocka_unit_test(store_test_names),
        cmocka_unit_test(store_test_locked),
        cmocka_unit_test(store_test_metrics),
        cmocka_unit_test(store_test_get_from_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
