/* SPDX-License-Identifier: Apache-2.0 */
/* A cold folder behind the warm one: what goes there, what comes back, and kill -9 in between. */
#include "store/store.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "devices_fixture.h"
#include "remote_fixture.h"

#define SIZE     200000u
#define BLOBS    60u
#define WARM_MAX (UINT64_C(4) << 20)
#define ROUNDS   8

static void cold_new(struct devices *d)
{
    devices_new(d, "wc");
    d->f.options.warm_max = WARM_MAX;
    d->f.options.promote_after_s = STORE_AT_ONCE;
}

static void cold_filled(struct devices *d)
{
    cold_new(d);
    fixture_open(&d->f);
    fixture_put_seeds(d->f.worker, 0, BLOBS, SIZE);
    assert_true(devices_stat(d, 0).live_bytes > 2 * WARM_MAX);
    assert_int_equal(devices_stat(d, 1).blobs, 0);
    assert_int_equal(store_settle(d->f.store), 0);
}

static struct store_stat cold_stat(struct devices *d)
{
    struct store_stat stat;
    store_stat(d->f.store, &stat);
    return stat;
}

static void cold_test_demotion(void **state)
{
    (void)state;
    struct devices d;
    cold_filled(&d);
    assert_true(devices_stat(&d, 0).live_bytes <= WARM_MAX);
    assert_true(devices_stat(&d, 0).live_bytes > WARM_MAX / 2); /* no more than need be */
    assert_int_equal(devices_stat(&d, 0).blobs + devices_stat(&d, 1).blobs, BLOBS);
    assert_int_equal(cold_stat(&d).demoted, devices_stat(&d, 1).blobs);
    for (unsigned i = 0; i < 2; i++) {
        for (uint64_t seed = 0; seed < BLOBS; seed++)
            assert_int_equal(fixture_get_seed(d.f.worker, seed, SIZE), 0);
        fixture_close(&d.f);
        fixture_open(&d.f);
    }
    devices_free(&d);
}

/* With the usual patience nothing comes back before six hours are over. */
static void cold_test_stays(void **state)
{
    (void)state;
    struct devices d;
    devices_new(&d, "wc");
    d.f.options.warm_max = WARM_MAX;
    fixture_open(&d.f);
    fixture_put_seeds(d.f.worker, 0, BLOBS, SIZE);
    assert_int_equal(store_settle(d.f.store), 0);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(fixture_get_seed(d.f.worker, 0, SIZE), 0);
    assert_int_equal(store_settle(d.f.store), 0);
    assert_int_equal(cold_stat(&d).promoted, 0);
    devices_free(&d);
}

static void cold_test_promotion(void **state)
{
    (void)state;
    struct devices d;
    unsigned tries = 0, again = 0;
    cold_filled(&d);
    uint32_t warm = devices_stat(&d, 0).id, cold = devices_stat(&d, 1).id;
    uint64_t seed = 0;
    while (devices_of(&d, seed, SIZE) != cold)
        seed++;
    assert_int_equal(fixture_get_seed(d.f.worker, seed, SIZE), 0);
    assert_int_equal(devices_of(&d, seed, SIZE), cold); /* once is not often */
    while (devices_of(&d, seed, SIZE) != warm && again++ < 1000) {
        assert_int_equal(fixture_get_seed(d.f.worker, seed, SIZE), 0);
        assert_true(remote_patience(&tries));
    }
    assert_int_equal(devices_of(&d, seed, SIZE), warm);
    assert_int_equal(cold_stat(&d).promoted, 1);
    assert_int_equal(fixture_get_seed(d.f.worker, seed, SIZE), 0);
    assert_int_equal(devices_stat(&d, 0).blobs + devices_stat(&d, 1).blobs, BLOBS);
    /* What is warm and hot stays; the rest stays where it is, too. */
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(store_settle(d.f.store), 0);
    uint64_t moves = cold_stat(&d).promoted + cold_stat(&d).demoted;
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(store_settle(d.f.store), 0);
        assert_int_equal(fixture_get_seed(d.f.worker, seed, SIZE), 0);
    }
    assert_int_equal(cold_stat(&d).promoted + cold_stat(&d).demoted, moves);
    assert_int_equal(devices_of(&d, seed, SIZE), warm);
    assert_true(devices_stat(&d, 0).live_bytes <= WARM_MAX);
    devices_free(&d);
}

/* The cold device does not take anything: blobs stay warm, and are all served. */
static void cold_test_cold_fails(void **state)
{
    (void)state;
    struct devices d;
    cold_new(&d);
    fixture_open(&d.f);
    path_rule_writes(d.rules[1], -EIO);
    fixture_put_seeds(d.f.worker, 0, BLOBS, SIZE);
    assert_int_equal(store_settle(d.f.store), 0);
    assert_int_equal(devices_stat(&d, 0).blobs, BLOBS);
    for (uint64_t seed = 0; seed < BLOBS; seed++)
        assert_int_equal(fixture_get_seed(d.f.worker, seed, SIZE), 0);
    path_rule_writes(d.rules[1], 0);
    assert_int_equal(store_settle(d.f.store), 0);
    assert_true(devices_stat(&d, 0).live_bytes <= WARM_MAX);
    for (uint64_t seed = 0; seed < BLOBS; seed++)
        assert_int_equal(fixture_get_seed(d.f.worker, seed, SIZE), 0);
    devices_free(&d);
}

/* --- kill -9 ---------------------------------------------------------------------------------- */

/* Puts, reads what it put before, often the same, and lets the tiers settle, for ever. */
static _Noreturn void mover_run(struct devices *d, int pipe, uint64_t first)
{
    unsigned random = (unsigned)first + 1;
    fixture_open(&d->f);
    for (uint64_t seed = first;; seed++) {
        if (fixture_put_seed(d->f.worker, seed, SIZE) != 0)
            _exit(10);
        if (write(pipe, &seed, sizeof seed) != sizeof seed)
            _exit(11);
        for (unsigned i = 0; i < 6; i++) {
            uint64_t old = first + (uint64_t)rand_r(&random) % MIN(seed - first + 1, 8);
            if (fixture_get_seed(d->f.worker, old, SIZE) != 0)
                _exit(12);
        }
        if (seed % 5 == 0 && store_settle(d->f.store) != 0)
            _exit(13);
    }
}

static uint64_t killed_once(struct devices *d, uint64_t first, unsigned after, unsigned wait_ms)
{
    int fds[2], status = 0;
    uint64_t seed = 0, last = 0;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fds[0]);
        mover_run(d, fds[1], first);
    }
    close(fds[1]);
    for (unsigned i = 0; i < after; i++)
        assert_int_equal(read(fds[0], &last, sizeof last), sizeof last);
    (void)poll(NULL, 0, (int)wait_ms);
    assert_int_equal(kill(pid, SIGKILL), 0);
    while (read(fds[0], &seed, sizeof seed) == sizeof seed)
        last = seed;
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status))
        fail_msg("the mover ended by itself: %d", WEXITSTATUS(status));
    return last;
}

static void cold_test_killed(void **state)
{
    (void)state;
    struct devices d;
    unsigned random = (unsigned)time(NULL);
    uint64_t firsts[ROUNDS], lasts[ROUNDS];
    uint64_t cold_blobs = 0;
    print_message("random seed %u\n", random);
    cold_new(&d);
    d.f.options.warm_max = 2 << 20;
    for (unsigned round = 0; round < ROUNDS; round++) {
        firsts[round] = round * 1000;
        lasts[round] = killed_once(&d, firsts[round], 8 + (unsigned)rand_r(&random) % 20,
                                   (unsigned)rand_r(&random) % 15);
        fixture_open(&d.f);
        for (unsigned r = 0; r <= round; r++) {
            for (uint64_t seed = firsts[r]; seed <= lasts[r]; seed++)
                assert_int_equal(fixture_get_seed(d.f.worker, seed, SIZE), 0);
        }
        assert_int_equal(cold_stat(&d).damaged, 0);
        cold_blobs = devices_stat(&d, 1).blobs;
        fixture_close(&d.f);
    }
    assert_true(cold_blobs > 0);
    devices_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cold_test_demotion),  cmocka_unit_test(cold_test_stays),
        cmocka_unit_test(cold_test_promotion), cmocka_unit_test(cold_test_cold_fails),
        cmocka_unit_test(cold_test_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
