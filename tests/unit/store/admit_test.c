/* SPDX-License-Identifier: Apache-2.0 */
#include "store/admit.h"
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "../unit.h"

#define BLOBS   20000u
#define THREADS 4u

static struct digest name(uint32_t i)
{
    return digest_of(&i, sizeof i);
}

static bool ask(struct admit *a, uint32_t i)
{
    struct digest d = name(i);
    return admit_ask(a, &d);
}

static struct admit *make(uint64_t blobs, unsigned bits)
{
    struct admit *a = NULL;
    struct admit_options o = {.blobs = blobs, .bits_per_blob = bits};
    assert_int_equal(admit_new(&o, &a), 0);
    return a;
}

static void admit_test_options(void **state)
{
    (void)state;
    struct admit *a = NULL;
    struct admit_options bad[] = {{.blobs = 0},
                                  {.blobs = ADMIT_BLOBS_MAX + 1},
                                  {.blobs = 1, .bits_per_blob = ADMIT_BITS_MIN - 1},
                                  {.blobs = 1, .bits_per_blob = ADMIT_BITS_MAX + 1}};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(admit_new(&bad[i], &a), -EINVAL);
    assert_null(a);
    assert_null(admit_free(NULL));
    struct admit_options o = {.blobs = 1000000};
    assert_in_range(admit_bytes(&o), 2 * 1000000 * 12 / 8, 2 * 1000000 * 12 / 8 + 4096);
    a = make(1, 0); /* the least there is: rotates at each new name */
    for (uint32_t i = 0; i < 100; i++) {
        (void)ask(a, i);
        assert_true(ask(a, i));
    }
    admit_free(a);
}

/* Every name is told apart from new ones for at least BLOBS others, and forgotten before twice as
 * many came; those asked for again and again stay known. */
static void admit_test_window(void **state)
{
    (void)state;
    struct admit *a = make(BLOBS, 16);
    struct admit_stat stat;
    unsigned known = 0, wrong = 0;
    for (uint32_t i = 0; i < 10 * BLOBS; i++) {
        wrong += ask(a, i);
        if (i >= BLOBS / 2 && i % 10 == 0)
            assert_true(ask(a, i - BLOBS / 2)); /* no false negatives within the window */
        if (i % 1000 == 0)
            assert_true(ask(a, 4000000) || i == 0);
        admit_stat(a, &stat);
        assert_true(stat.blobs < BLOBS);
    }
    assert_in_range(stat.rotations, 9, 12);
    assert_true(wrong < 10 * BLOBS / 500);
    for (uint32_t i = 0; i < 100; i++)
        known += ask(a, i);
    assert_true(known < 5);
    admit_free(a);
}

/* The theory: a filter of m bits a name with k hashes, full to a part f, errs (1 - e^(-kf/m))^k of
 * the time; here one filter full and one filling. */
static void admit_test_errors(void **state)
{
    (void)state;
    static const unsigned bits[] = {4, 8, 12, 16};
    static const unsigned hashes[] = {3, 6, 8, 11};
    for (unsigned i = 0; i < ARRAY_LEN(bits); i++) {
        struct admit *a = make(BLOBS, bits[i]);
        double k = hashes[i], m = bits[i], expected = 0;
        uint32_t next = 0, wrong = 0, asked = 0;
        struct admit_stat stat;
        do {
            (void)ask(a, next++);
            admit_stat(a, &stat);
        } while (stat.rotations < 1);
        while (stat.rotations < 2) {
            double full = pow(1 - exp(-k / m), k);
            double filling = pow(1 - exp(-k / m * ((double)stat.blobs / BLOBS)), k);
            expected += 1 - (1 - full) * (1 - filling);
            wrong += ask(a, next++);
            asked++;
            admit_stat(a, &stat);
        }
        print_message("%u bits: %u of %u by mistake, %.1f expected\n", bits[i], wrong, asked,
                      expected);
        assert_true(fabs(wrong - expected) < 5 * sqrt(expected) + 2 + expected * 0.03);
        admit_free(a);
    }
}

/* A scan of names asked for once is kept out; what comes back is let in. */
static void admit_test_one_hit(void **state)
{
    (void)state;
    struct admit *a = make(BLOBS, 0);
    uint32_t admitted_scan = 0, admitted_back = 0;
    for (uint32_t i = 0; i < 5 * BLOBS; i++) {
        admitted_scan += ask(a, 1000000 + i);
        if (i % 5 == 0)
            admitted_back += ask(a, (i / 5) % 1000);
    }
    assert_true(admitted_scan < 5 * BLOBS * 0.007);
    assert_true(admitted_back >= BLOBS - 1000);
    admit_free(a);
}

static void admit_test_saved(void **state)
{
    (void)state;
    struct admit *a = make(BLOBS, 0), *b = make(BLOBS, 0);
    struct admit_stat stat, before;
    for (uint32_t i = 0; i < BLOBS + BLOBS / 2; i++)
        (void)ask(a, i);
    uint64_t size = admit_export_size(a);
    uint8_t *bytes = malloc(size), *again = malloc(size);
    assert_non_null(bytes);
    assert_non_null(again);
    admit_export(a, bytes);
    assert_int_equal(admit_import(b, bytes, size), 0);
    admit_export(b, again);
    assert_memory_equal(bytes, again, size);
    admit_stat(a, &before);
    admit_stat(b, &stat);
    assert_int_equal(stat.blobs, before.blobs);
    for (uint32_t i = BLOBS + BLOBS / 4; i < BLOBS + BLOBS / 2; i++)
        assert_true(ask(b, i));
    for (uint32_t i = BLOBS / 2; i < BLOBS; i++) { /* the older filter */
        assert_true(ask(a, i));
        assert_true(ask(b, i));
    }
    /* And goes on as the first does: same answers, same rotations. */
    for (uint32_t i = 0; i < 4 * BLOBS; i++)
        assert_int_equal(ask(a, 5000000 + i), ask(b, 5000000 + i));
    admit_stat(a, &before);
    admit_stat(b, &stat);
    assert_int_equal(stat.blobs, before.blobs);
    assert_int_equal(stat.rotations + 1, before.rotations); /* one before it was saved */
    admit_free(a);
    admit_free(b);
    free(bytes);
    free(again);
}

static void fresh(const struct admit *a, bool expected)
{
    struct admit_stat stat;
    admit_stat(a, &stat);
    assert_int_equal(stat.blobs == 0, expected);
}

/* Whatever bit or byte is wrong or missing: refused, and nothing is taken over. */
static void admit_test_damaged(void **state)
{
    (void)state;
    struct admit *a = make(200, 0), *b = make(200, 0), *other = make(201, 0), *bits = make(200, 8);
    for (uint32_t i = 0; i < 100; i++)
        (void)ask(a, i);
    uint64_t size = admit_export_size(a);
    uint8_t *bytes = malloc(size + 1);
    assert_non_null(bytes);
    admit_export(a, bytes);
    for (uint64_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        int r = admit_import(b, bytes, size);
        assert_int_equal(r, bit / 32 == 2 ? -EPROTONOSUPPORT : -EBADMSG);
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    for (uint64_t less = 0; less < size; less++)
        assert_int_equal(admit_import(b, bytes, less), -EBADMSG);
    bytes[size] = 0;
    assert_int_equal(admit_import(b, bytes, size + 1), -EBADMSG);
    fresh(b, true);
    assert_false(ask(b, 1));
    assert_int_equal(admit_import(other, bytes, size), -ESTALE);
    assert_int_equal(admit_import(bits, bytes, size), -ESTALE);
    fresh(other, true);
    assert_int_equal(admit_import(b, bytes, size), 0);
    fresh(b, false);
    admit_free(a);
    admit_free(b);
    admit_free(other);
    admit_free(bits);
    free(bytes);
}

struct asker {
    pthread_t id;
    struct admit *admit;
    uint32_t base;
    unsigned again, wrong;
};

static void *asker_run(void *arg)
{
    struct asker *t = arg;
    for (uint32_t i = 0; i < 3 * BLOBS; i++) {
        t->wrong += ask(t->admit, t->base + i);
        /* A name of a moment ago may be lost only to a filter emptied at this moment. */
        if (i >= 10)
            t->again += !ask(t->admit, t->base + i - 10);
    }
    return NULL;
}

/* All at once through a dozen rotations; one saves now and then. */
static void admit_test_threads(void **state)
{
    (void)state;
    struct admit *a = make(BLOBS, 0);
    struct asker askers[THREADS];
    struct admit_stat stat;
    uint8_t *bytes = malloc(admit_export_size(a));
    assert_non_null(bytes);
    for (unsigned i = 0; i < THREADS; i++) {
        askers[i] = (struct asker){.admit = a, .base = (i + 1) * 10000000};
        assert_int_equal(pthread_create(&askers[i].id, NULL, asker_run, &askers[i]), 0);
    }
    for (unsigned i = 0; i < 20; i++) {
        struct admit *copy = make(BLOBS, 0);
        admit_export(a, bytes);
        assert_int_equal(admit_import(copy, bytes, admit_export_size(a)), 0);
        admit_free(copy);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(askers[i].id, NULL), 0);
        /* Generous: while the thread that empties a filter is not scheduled the other overfills. */
        assert_true(askers[i].wrong < 3 * BLOBS / 10);
        assert_true(askers[i].again < 3 * BLOBS / 100);
    }
    admit_stat(a, &stat);
    assert_in_range(stat.rotations, 1, 3 * THREADS + 1); /* never one too many */
    admit_free(a);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(admit_test_options), cmocka_unit_test(admit_test_window),
        cmocka_unit_test(admit_test_errors),  cmocka_unit_test(admit_test_one_hit),
        cmocka_unit_test(admit_test_saved),   cmocka_unit_test(admit_test_damaged),
        cmocka_unit_test(admit_test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
