/* SPDX-License-Identifier: Apache-2.0 */
/* Each peer against sequences whose outcome was worked out by hand from its paper. A letter is an
 * object; "a" to "z" have size 1 unless sizes says otherwise; H is a hit, - a miss. */
#include "evict_sim.h"
#include <stdlib.h>
#include "../unit.h"

#define LETTERS 26u

static struct evict_trace trace_of(const char *letters, const uint32_t *sizes)
{
    struct evict_trace t = {0};
    uint32_t object;
    for (uint32_t i = 0; i < LETTERS; i++)
        assert_int_equal(evict_trace_object(&t, sizes != NULL ? sizes[i] : 1, &object), 0);
    for (; *letters != 0; letters++)
        assert_int_equal(evict_trace_request(&t, (uint32_t)(*letters - 'a')), 0);
    assert_int_equal(evict_trace_finish(&t), 0);
    return t;
}

static void expect(const struct evict_sim_ops *ops, uint64_t size_max, const uint32_t *sizes,
                   const char *letters, const char *wanted)
{
    char got[256];
    size_t n = strlen(letters);
    void *sim = NULL;
    struct evict_trace t = trace_of(letters, sizes);
    assert_true(n < sizeof got && strlen(wanted) == n);
    assert_int_equal(ops->make(&t, size_max, &sim), 0);
    for (uint32_t i = 0; i < n; i++) {
        got[i] = ops->access(sim, t.requests[i], i) ? 'H' : '-';
        assert_true(ops->bytes(sim) <= size_max);
    }
    got[n] = 0;
    assert_string_equal(got, wanted);
    ops->free(sim);
    evict_trace_free(&t);
}

static void sim_test_lru(void **state)
{
    (void)state;
    /* d pushes b out (a was used), then b pushes c out. */
    expect(&evict_lru, 3, NULL, "abcadbacd", "---H--H--");
    static const uint32_t sizes[LETTERS] = {1, 2, 3, 4, [4 ... 25] = 1};
    expect(&evict_lru, 3, sizes, "abcaad", "----H-"); /* c takes all the room, d never fits */
}

static void sim_test_clock(void **state)
{
    (void)state;
    /* a, b used; d: a and b go round, c goes. e: a goes (unused since). */
    expect(&evict_clock, 3, NULL, "abcabdbea", "---HH-H--");
}

static void sim_test_sieve(void **state)
{
    (void)state;
    /* d: the hand passes a (used) and takes b, and stays before c; e: takes c. f: it goes on from
     * there and takes d, though a is older and not used any more. */
    expect(&evict_sieve, 3, NULL, "abcadefd", "---H----");
    /* CLOCK moves a to the newest end, where it is the oldest again when f comes. */
    expect(&evict_clock, 3, NULL, "abcadefd", "---H---H");
}

static void sim_test_s3fifo(void **state)
{
    (void)state;
    /* Size 10: small 1, main 9. One fills through small only: after 10, k evicts from small:
     * a was used twice and goes to main, b goes to ghost. b returns: from ghost to main (c goes to
     * ghost), so a newcomer l pushes d out, not b. */
    expect(&evict_s3fifo, 10, NULL, "aaabcdefghijkablb", "-HH----------H--H");
    /* k pushes a out, l comes to b: used twice it stays, in main; once is not enough. */
    expect(&evict_s3fifo, 10, NULL, "abbbcdefghijklb", "--HH----------H");
    expect(&evict_s3fifo, 10, NULL, "abbcdefghijklb", "--H-----------");
}

static void sim_test_wtinylfu(void **state)
{
    (void)state;
    /* Size 4 has no whole byte of window: all go through the filter. e was asked for once, the
     * victim a twice: e stays out, and again, and the third time, used three times, it is in. */
    expect(&evict_wtinylfu, 4, NULL, "abcdabcdeeeea", "----HHHH---H-");
    /* Of two bytes it needs two victims, used four times together: five requests let it in. */
    static const uint32_t sizes[LETTERS] = {1, 1, 1, 1, 2, [5 ... 25] = 1};
    expect(&evict_wtinylfu, 4, sizes, "abcdabcdeeeeeeab", "----HHHH-----H--");
}

static void sim_test_belady(void **state)
{
    (void)state;
    /* The example of the textbooks: 7 0 1 2 0 3 0 4 2 3 0 3 2 1 2 0 1 7 0 1 with 3 frames has 9
     * faults; with newcomers turned away that are needed last, as here, 8. */
    expect(&evict_belady, 3, NULL, "habcadaecdadcbcabhab",
           "---"
           "-"
           "H-H-HHHHH-HHH-HH");
}

static void sim_test_belady_size(void **state)
{
    (void)state;
    /* c (size 2, next after 3) against a (size 1, next after 5): MIN drops a; by size times
     * distance c weighs 6 and a 5, so c goes. */
    static const uint32_t sizes[LETTERS] = {1, 1, 2, [3 ... 25] = 1};
    expect(&evict_belady, 2, sizes, "accca", "--HH-");
    expect(&evict_belady_size, 2, sizes, "acxyca", "-----H");
}

/* Each holds at most its size, and on objects that all fit each misses the first requests only. */
static void sim_test_all_fit(void **state)
{
    (void)state;
    for (unsigned i = 0; evict_sim(i) != NULL; i++) {
        const struct evict_sim_ops *ops = evict_sim(i);
        if (ops == &evict_wtinylfu || ops == &evict_weir_8)
            continue; /* window and shards may be too small for some */
        expect(ops, 10, NULL, "abcdefgabcdefggfedcba", "-------HHHHHHHHHHHHHH");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sim_test_lru),         cmocka_unit_test(sim_test_clock),
        cmocka_unit_test(sim_test_sieve),       cmocka_unit_test(sim_test_s3fifo),
        cmocka_unit_test(sim_test_wtinylfu),    cmocka_unit_test(sim_test_belady),
        cmocka_unit_test(sim_test_belady_size), cmocka_unit_test(sim_test_all_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
