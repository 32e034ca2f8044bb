/* SPDX-License-Identifier: Apache-2.0 */
#include "evict_gen.h"
#include <errno.h>
#include "../unit.h"

static void made(const char *family, uint64_t seed, struct evict_trace *t)
{
    *t = (struct evict_trace){0};
    assert_int_equal(evict_gen(family, seed, 50000, t), 0);
    assert_int_equal(evict_trace_finish(t), 0);
}

static void gen_test_families(void **state)
{
    (void)state;
    unsigned count = 0;
    for (; evict_gen_family(count) != NULL; count++) {
        struct evict_trace a, b, other;
        made(evict_gen_family(count), 1, &a);
        made(evict_gen_family(count), 1, &b);
        made(evict_gen_family(count), 2, &other);
        assert_int_equal(a.requests_count, 50000);
        assert_memory_equal(a.requests, b.requests, a.requests_count * sizeof a.requests[0]);
        assert_true(memcmp(a.requests, other.requests, 50000 * sizeof a.requests[0]) != 0);
        uint32_t again = 0;
        for (uint32_t i = 0; i < a.requests_count; i++) {
            uint32_t size = a.sizes[a.requests[i]];
            assert_true(size >= 1 << 10 && size <= 4 << 20);
            again += a.next[i] != EVICT_NEVER;
            if (a.next[i] != EVICT_NEVER)
                assert_int_equal(a.requests[a.next[i]], a.requests[i]);
        }
        assert_true(again > 5000);
        evict_trace_free(&a);
        evict_trace_free(&b);
        evict_trace_free(&other);
    }
    assert_int_equal(count, 6);
}

static void gen_test_unknown(void **state)
{
    (void)state;
    struct evict_trace t = {0};
    assert_int_equal(evict_gen("none", 1, 10, &t), -EINVAL);
    evict_trace_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gen_test_families),
        cmocka_unit_test(gen_test_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
