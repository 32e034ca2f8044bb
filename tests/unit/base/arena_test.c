/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "../unit.h"

#define ARENA_TEST_BLOCKS 400u
#define MIB               (UINT32_C(1) << 20)

static void arena_test_sizes(void **state)
{
    (void)state;
    struct arena *a = NULL;
    struct arena_block b = {0};
    assert_int_equal(arena_new(0, ARENA_KEEP_MS, &a), 0);
    assert_int_equal(arena_alloc(a, 0, &b), -EINVAL);
    assert_int_equal(arena_alloc(a, ARENA_BLOCK_MAX + 1, &b), -EINVAL);
    assert_null(b.data);
    for (uint64_t size = 1; size <= ARENA_BLOCK_MAX; size = size * 5 / 3 + 1) {
        assert_int_equal(arena_alloc(a, (uint32_t)size, &b), 0);
        assert_int_equal((uintptr_t)b.data % ARENA_UNIT, 0);
        assert_int_equal(b.size % ARENA_UNIT, 0);
        assert_true(b.size >= size);
        assert_true(b.size <= size + size / 16 + ARENA_UNIT);
        b.data[0] = 1;
        b.data[b.size - 1] = 2;
        arena_free_block(a, &b);
    }
    arena_free(a);
}

static uint64_t arena_test_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

struct arena_test {
    struct arena *arena;
    uint64_t seed;
    bool wrong;
};

static uint32_t arena_test_size(uint64_t *seed)
{
    uint64_t x = arena_test_random(seed);
    return 1 + (uint32_t)(arena_test_random(seed) % (ARENA_UNIT << (x % 11)));
}

/* Blocks of all sizes in any order: each holds what was written into it until it goes. */
static void *arena_test_churn(void *arg)
{
    struct arena_test *t = arg;
    struct arena_block blocks[ARENA_TEST_BLOCKS] = {{0}};
    uint64_t seed = t->seed;
    for (unsigned n = 0; n < 20000; n++) {
        unsigned i = (unsigned)(arena_test_random(&seed) % ARENA_TEST_BLOCKS);
        struct arena_block *b = &blocks[i];
        uint64_t mark = t->seed ^ i, first, last;
        if (b->data == NULL) {
            if (arena_alloc(t->arena, arena_test_size(&seed), b) < 0) {
                t->wrong = true;
                return NULL;
            }
            memcpy(b->data, &mark, sizeof mark);
            memcpy(b->data + b->size - sizeof mark, &mark, sizeof mark);
            continue;
        }
        memcpy(&first, b->data, sizeof first);
        memcpy(&last, b->data + b->size - sizeof last, sizeof last);
        t->wrong = t->wrong || first != mark || last != mark;
        arena_free_block(t->arena, b);
        *b = (struct arena_block){0};
    }
    for (unsigned i = 0; i < ARENA_TEST_BLOCKS; i++) {
        if (blocks[i].data != NULL)
            arena_free_block(t->arena, &blocks[i]);
    }
    return NULL;
}

static void arena_test_threads(void **state)
{
    (void)state;
    struct arena_test tests[3];
    pthread_t threads[3];
    struct arena_stat stat;
    struct arena *a = NULL;
    assert_int_equal(arena_new(8 * MIB, ARENA_KEEP_MS, &a), 0);
    for (unsigned i = 0; i < 3; i++) {
        tests[i] = (struct arena_test){.arena = a, .seed = (i + 1) * UINT64_C(0x9e3779b97f4a7c15)};
        assert_int_equal(pthread_create(&threads[i], NULL, arena_test_churn, &tests[i]), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_false(tests[i].wrong);
    }
    arena_stat(a, &stat);
    assert_int_equal(stat.used, 0);
    assert_true(stat.idle <= ARENA_BURST * 8 * MIB);
    arena_free(a);
}

/* All holes join again: what was cut into the smallest pieces can be had whole, where it was. */
static void arena_test_joins(void **state)
{
    (void)state;
    static struct arena_block small[16384];
    struct arena_block whole, again;
    struct arena_stat stat;
    struct arena *a = NULL;
    uint64_t seed = 88172645463325252u;
    assert_int_equal(arena_new(0, ARENA_KEEP_MS, &a), 0);
    assert_int_equal(arena_alloc(a, 64 * MIB, &whole), 0);
    arena_free_block(a, &whole);
    for (unsigned i = 0; i < 16384; i++)
        assert_int_equal(arena_alloc(a, ARENA_UNIT, &small[i]), 0);
    arena_stat(a, &stat);
    assert_int_equal(stat.used, 64 * MIB);
    for (unsigned i = 16384; i > 0; i--) { /* in any order */
        unsigned n = (unsigned)(arena_test_random(&seed) % i);
        arena_free_block(a, &small[n]);
        small[n] = small[i - 1];
    }
    assert_int_equal(arena_alloc(a, 64 * MIB, &again), 0);
    assert_ptr_equal(again.data, whole.data);
    arena_stat(a, &stat);
    assert_int_equal(stat.regions, 1);
    arena_free_block(a, &again);
    arena_free(a);
}

/* What is idle beyond the limit goes back, and comes back as zeroes; the rest stays as it is. */
static void arena_test_idle(void **state)
{
    (void)state;
    struct arena_block b, other;
    struct arena_stat stat;
    struct arena *a = NULL;
    assert_int_equal(arena_new(64 * MIB, ARENA_KEEP_MS, &a), 0);
    assert_int_equal(arena_alloc(a, 16 * MIB, &b), 0);
    memset(b.data, 7, b.size);
    arena_free_block(a, &b);
    arena_stat(a, &stat);
    assert_int_equal(stat.idle, 16 * MIB);
    assert_int_equal(arena_alloc(a, 16 * MIB, &other), 0);
    assert_ptr_equal(other.data, b.data);
    assert_int_equal(other.data[5 * MIB], 7);
    arena_free_block(a, &other);
    arena_free(a);

    assert_int_equal(arena_new(4 * MIB, ARENA_KEEP_MS, &a), 0);
    assert_int_equal(arena_alloc(a, 32 * MIB, &b), 0);
    memset(b.data, 7, b.size);
    arena_free_block(a, &b);
    arena_stat(a, &stat);
    assert_int_equal(stat.idle, ARENA_BURST * 4 * MIB); /* a burst's, for now */
    assert_int_equal(arena_alloc(a, 16 * MIB, &b), 0);
    assert_int_equal(b.data[0], 0);
    arena_free_block(a, &b);
    arena_free(a);
}

/* What was idle from one look to the next goes down to the limit, as blocks come back. */
static void arena_test_surplus(void **state)
{
    (void)state;
    struct arena_block large, small[2];
    struct arena_stat stat;
    struct arena *a = NULL;
    assert_int_equal(arena_new(4 * MIB, 0, &a), 0);
    assert_int_equal(arena_alloc(a, 16 * MIB - 8192, &large), 0);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(arena_alloc(a, ARENA_UNIT, &small[i]), 0);
    arena_free_block(a, &large);
    arena_free_block(a, &small[0]); /* the first look after it was freed: idle since then */
    arena_free_block(a, &small[1]);
    arena_stat(a, &stat);
    assert_in_range(stat.idle, 4 * MIB, 6 * MIB);
    arena_free(a);
}

/* More than a region: regions come, and go once they are empty and given back. */
static void arena_test_regions(void **state)
{
    (void)state;
    struct arena_block blocks[6];
    struct arena_stat stat;
    struct arena *a = NULL;
    assert_int_equal(arena_new(0, ARENA_KEEP_MS, &a), 0);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(arena_alloc(a, ARENA_BLOCK_MAX, &blocks[i]), 0);
    arena_stat(a, &stat);
    assert_int_equal(stat.regions, 3);
    for (unsigned i = 0; i < 6; i++)
        arena_free_block(a, &blocks[i]);
    arena_stat(a, &stat);
    assert_int_equal(stat.regions, 1);
    assert_int_equal(stat.idle, 0);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_test_sizes),   cmocka_unit_test(arena_test_threads),
        cmocka_unit_test(arena_test_joins),   cmocka_unit_test(arena_test_idle),
        cmocka_unit_test(arena_test_surplus), cmocka_unit_test(arena_test_regions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
