/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that does not keep up: what waits for it is bounded, and what is refused for that reason
 * is in RAM where that is of use. */
#include "store/store.h"
#include <errno.h>
#include "io/io_sim.h"
#include "store_fixture.h"

#define SIZE     60000u
#define HELD_MS  20000 /* for the committer to come; past it the store hangs */
#define FILL_MAX 64u   /* puts of a size until there are enough; more than enough */

struct busy {
    struct fixture f;
    struct io_sim *sim;
    unsigned under_way, taken, refused;
    bool idle;
};

static void busy_new(struct busy *x)
{
    *x = (struct busy){.idle = true};
    fixture_new(&x->f);
    struct io_sim_options o = {.inner = x->f.options.io, .seed = 1};
    assert_int_equal(io_sim_new(&o, &x->sim), 0);
    x->f.options.io = io_sim_ops(x->sim);
    x->f.options.volume_size = 32 << 20;
    x->f.options.size_max = 256 << 20;
    x->f.options.admission = STORE_ADMIT_ALL;
    x->f.options.hot_size = 4 << 20;
    fixture_open(&x->f);
}

static void busy_free(struct busy *x)
{
    fixture_free(&x->f);
    x->sim = io_sim_free(x->sim);
}

static void busy_done(void *arg, int res)
{
    struct busy *x = arg;
    assert_true(res == 0 || res == -EAGAIN);
    x->taken += res == 0;
    x->refused += res == -EAGAIN;
    x->idle = --x->under_way == 0;
}

static void busy_push(struct busy *x, const struct digest *d, struct rbuf *blob)
{
    x->under_way++;
    x->idle = false;
    store_put(x->f.worker, d, blob, STORE_PUT_DIGESTED, busy_done, x);
    store_worker_poll(x->f.worker);
}

/* The committer has taken one and waits for the disk with it: no room comes free behind it. */
static void busy_stop(struct busy *x, uint64_t seed)
{
    struct digest d;
    struct rbuf *b = fixture_blob(seed, SIZE, &d);
    io_sim_hold(x->sim, true);
    assert_false(io_sim_wait_held(x->sim, 0)); /* no other thread has anything to ask for */
    busy_push(x, &d, b);
    assert_true(io_sim_wait_held(x->sim, HELD_MS));
    rbuf_unref(b);
}

/* Puts of one size until one is refused; of one blob, but each waits with a record of its own. */
static void busy_fill(struct busy *x, uint64_t seed, uint32_t size)
{
    struct digest d;
    struct rbuf *b = fixture_blob(seed, size, &d);
    unsigned before = x->refused;
    for (unsigned i = 0; i < FILL_MAX && x->refused == before; i++)
        busy_push(x, &d, b);
    rbuf_unref(b);
    assert_int_equal(x->refused, before + 1);
}

static int busy_put(struct busy *x, uint64_t seed, unsigned flags)
{
    struct digest d;
    struct rbuf *b = fixture_blob(seed, SIZE, &d);
    int r = fixture_put(x->f.worker, &d, b, flags);
    rbuf_unref(b);
    return r;
}

static bool busy_on_disk(struct busy *x, uint64_t seed)
{
    struct digest d;
    struct store_blob there;
    rbuf_unref(fixture_blob(seed, SIZE, &d));
    return store_blob_look(x->f.worker, &d, &there) == 0;
}

static void busy_test_stays_in_ram(void **state)
{
    (void)state;
    struct busy x;
    busy_new(&x);
    busy_stop(&x, 4);
    /* Until not even a small one has room in the queue. */
    busy_fill(&x, 1, 16 << 20);
    busy_fill(&x, 2, 1 << 20);
    busy_fill(&x, 3, SIZE);
    assert_int_equal(x.taken, 0);
    unsigned waiting = x.under_way;
    assert_true(waiting > 16);
    /* What cannot be fetched again was not taken, and nobody is to think it was. */
    assert_int_equal(busy_put(&x, 10, 0), -EAGAIN);
    assert_int_equal(busy_put(&x, 11, STORE_PUT_CACHE), -EAGAIN);
    assert_int_equal(busy_put(&x, 12, STORE_PUT_HOT), -EAGAIN);
    for (uint64_t seed = 10; seed <= 12; seed++)
        assert_int_equal(fixture_get_seed(x.f.worker, seed, SIZE), -ENOENT);
    /* What can be is answered from RAM to all who wait for it. */
    assert_int_equal(busy_put(&x, 13, STORE_PUT_HOT | STORE_PUT_CACHE), -EAGAIN);
    assert_int_equal(fixture_get_seed(x.f.worker, 13, SIZE), 0);
    assert_false(busy_on_disk(&x, 13));
    assert_int_equal(x.under_way, waiting);
    /* The disk goes on: all that was taken is there, and what was refused is taken. */
    io_sim_hold(x.sim, false);
    store_worker_wait(x.f.worker, &x.idle);
    assert_int_equal(x.taken, waiting);
    assert_int_equal(fixture_get_seed(x.f.worker, 1, 16 << 20), 0);
    assert_int_equal(busy_put(&x, 13, STORE_PUT_HOT | STORE_PUT_CACHE), 0);
    assert_true(busy_on_disk(&x, 13));
    fixture_reopen(&x.f);
    assert_int_equal(fixture_get_seed(x.f.worker, 13, SIZE), 0);
    busy_free(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(busy_test_stays_in_ram)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
