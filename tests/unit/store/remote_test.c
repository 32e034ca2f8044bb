/* SPDX-License-Identifier: Apache-2.0 */
/* Uploads and removals: what is acknowledged when, what survives failures and kill -9. */
#include "store/store.h"
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "remote_fixture.h"
#include "store/format.h"

#define SIZE 100000u

/* --- s3-sync ---------------------------------------------------------------------------------- */

static void remote_test_sync_waits(void **state)
{
    (void)state;
    struct remote r;
    struct remote_put p;
    remote_new(&r, STORE_REMOTE_SYNC);
    fixture_open(&r.f);
    folder_tier_hold(r.tier, FOLDER_PUT, true);
    remote_put(&r, &p, 1, SIZE);
    folder_tier_await(r.tier, FOLDER_PUT, 1);
    for (unsigned i = 0; i < 5; i++)
        remote_turn(&r);
    assert_false(p.done); /* though it is durable here */
    assert_true(remote_look(&r, 1, SIZE).device != 0);
    assert_false(remote_look(&r, 1, SIZE).remote);
    assert_int_equal(fixture_get_seed(r.f.worker, 1, SIZE), 0);
    folder_tier_hold(r.tier, FOLDER_PUT, false);
    store_worker_wait(r.f.worker, &p.done);
    assert_int_equal(p.res, 0);
    assert_true(remote_has(&r, 1, SIZE));
    assert_true(remote_look(&r, 1, SIZE).remote);
    /* Once more: it is known to be there. */
    assert_int_equal(fixture_put_seed(r.f.worker, 1, SIZE), 0);
    assert_int_equal(folder_tier_calls(r.tier, FOLDER_PUT), 1);
    fixture_put_seeds(r.f.worker, 100, 40, SIZE);
    for (uint64_t i = 100; i < 140; i++)
        assert_true(remote_has(&r, i, SIZE));
    remote_free(&r);
}

static void remote_test_sync_fails(void **state)
{
    (void)state;
    struct remote r;
    remote_new(&r, STORE_REMOTE_SYNC);
    fixture_open(&r.f);
    folder_tier_fail(r.tier, FOLDER_PUT, -EACCES, 1);
    assert_int_equal(fixture_put_seed(r.f.worker, 1, SIZE), -EACCES);
    assert_int_equal(fixture_get_seed(r.f.worker, 1, SIZE), 0);
    folder_tier_await(r.tier, FOLDER_PUT, 2); /* tried again without being asked */
    assert_int_equal(store_settle(r.f.store), 0);
    assert_true(remote_has(&r, 1, SIZE));
    assert_int_equal(fixture_put_seed(r.f.worker, 1, SIZE), 0);

    /* For as long as it lasts each put is told, none waits for the end of it. */
    folder_tier_fail(r.tier, FOLDER_PUT, -ETIMEDOUT, UINT_MAX);
    for (uint64_t i = 2; i < 12; i++)
        assert_int_equal(fixture_put_seed(r.f.worker, i, SIZE), -ETIMEDOUT);
    folder_tier_fail(r.tier, FOLDER_PUT, 0, 0);
    unsigned tries = 0;
    while (fixture_put_seed(r.f.worker, 20, SIZE) != 0)
        assert_true(remote_patience(&tries));
    tries = 0;
    for (uint64_t i = 2; i < 12; i++) {
        while (!remote_has(&r, i, SIZE))
            assert_true(remote_patience(&tries));
    }
    remote_free(&r);
}

/* Closing does not wait for a tier that comes back some day: puts are answered. */
static void remote_test_sync_closes(void **state)
{
    (void)state;
    struct remote r;
    remote_new(&r, STORE_REMOTE_SYNC);
    fixture_open(&r.f);
    folder_tier_fail(r.tier, FOLDER_PUT, -EHOSTDOWN, UINT_MAX);
    assert_int_equal(fixture_put_seed(r.f.worker, 1, SIZE), -EHOSTDOWN);
    fixture_close(&r.f);
    folder_tier_fail(r.tier, FOLDER_PUT, 0, 0);
    fixture_open(&r.f);
    assert_int_equal(store_settle(r.f.store), 0);
    assert_true(remote_has(&r, 1, SIZE));
    remote_free(&r);
}

/* --- s3-async --------------------------------------------------------------------------------- */

static void remote_test_async(void **state)
{
    (void)state;
    struct remote r;
    remote_new(&r, STORE_REMOTE_ASYNC);
    fixture_open(&r.f);
    folder_tier_hold(r.tier, FOLDER_PUT, true);
    fixture_put_seeds(r.f.worker, 0, 100, SIZE / 10);
    folder_tier_await(r.tier, FOLDER_PUT, 1); /* soon, by itself */
    assert_int_equal(folder_tier_count(r.tier), 0);
    folder_tier_hold(r.tier, FOLDER_PUT, false);
    assert_int_equal(store_settle(r.f.store), 0);
    assert_int_equal(folder_tier_count(r.tier), 100);
    assert_int_equal(remote_stat(&r).uploaded, 100);
    /* Fails a few times, then works: nobody has to ask. */
    folder_tier_fail(r.tier, FOLDER_PUT, -ECONNRESET, 3);
    assert_int_equal(fixture_put_seed(r.f.worker, 1000, SIZE), 0);
    unsigned tries = 0;
    while (!remote_has(&r, 1000, SIZE))
        assert_true(remote_patience(&tries));
    assert_true(folder_tier_calls(r.tier, FOLDER_PUT) >= 104);
    for (uint64_t i = 0; i < 100; i++)
        assert_true(remote_has(&r, i, SIZE / 10));
    remote_free(&r);
}

/* A blob that cannot be read here keeps no other from being uploaded. */
static void remote_test_async_damaged(void **state)
{
    (void)state;
    struct remote r;
    char path[160];
    remote_new(&r, STORE_REMOTE_ASYNC);
    fixture_open(&r.f);
    folder_tier_fail(r.tier, FOLDER_PUT, -EHOSTDOWN, UINT_MAX);
    fixture_put_seeds(r.f.worker, 0, 20, 1000);
    fixture_volume_path(&r.f, 1, path);
    /* Twelve records of one page: more than there are flights. */
    for (uint64_t i = 0; i < 12; i++)
        fixture_flip(path, FORMAT_RECORDS + i * FORMAT_ALIGN + 500, 1);
    fixture_close(&r.f);
    folder_tier_fail(r.tier, FOLDER_PUT, 0, 0);
    fixture_open(&r.f);
    assert_int_equal(store_settle(r.f.store), 0);
    assert_int_equal(folder_tier_count(r.tier), 8);
    /* Put again, they are uploaded too. */
    fixture_put_seeds(r.f.worker, 0, 20, 1000);
    assert_int_equal(store_settle(r.f.store), 0);
    assert_int_equal(folder_tier_count(r.tier), 20);
    remote_free(&r);
}

/* What an earlier run kept to itself is uploaded by one that is to upload. */
static void remote_test_catches_up(void **state)
{
    (void)state;
    struct remote r;
    remote_new(&r, STORE_LOCAL);
    fixture_open(&r.f);
    fixture_put_seeds(r.f.worker, 0, 300, 100);
    assert_int_equal(store_settle(r.f.store), 0);
    assert_int_equal(folder_tier_count(r.tier), 0);
    fixture_close(&r.f);
    r.f.options.durability = STORE_REMOTE_SYNC;
    fixture_open(&r.f);
    assert_int_equal(fixture_put_seed(r.f.worker, 5, 100), 0); /* and waits for it */
    assert_true(remote_has(&r, 5, 100));
    assert_int_equal(store_settle(r.f.store), 0);
    assert_int_equal(folder_tier_count(r.tier), 300);
    remote_free(&r);
}

static _Noreturn void async_writer(struct remote *r, int pipe)
{
    r->tier = folder_tier_new(r->folder);
    r->f.options.remote = folder_tier_of(r->tier);
    folder_tier_hold(r->tier, FOLDER_PUT, true);
    fixture_open(&r->f);
    for (uint64_t seed = 0;; seed++) {
        if (fixture_put_seed(r->f.worker, seed, SIZE) != 0)
            _exit(10);
        if (write(pipe, &seed, sizeof seed) != sizeof seed)
            _exit(11);
    }
}

static void remote_test_errands_survive(void **state)
{
    (void)state;
    struct remote r;
    int fds[2], status = 0;
    uint64_t seed = 0;
    remote_new(&r, STORE_REMOTE_ASYNC);
    r.tier = folder_tier_free(r.tier); /* threads do not survive a fork */
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        async_writer(&r, fds[1]);
    close(fds[1]);
    while (seed < 30)
        assert_int_equal(read(fds[0], &seed, sizeof seed), sizeof seed);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    close(fds[0]);
    r.tier = folder_tier_new(r.folder);
    r.f.options.remote = folder_tier_of(r.tier);
    assert_int_equal(folder_tier_count(r.tier), 0);
    fixture_open(&r.f);
    assert_int_equal(store_settle(r.f.store), 0);
    for (uint64_t i = 0; i <= seed; i++)
        assert_true(remote_has(&r, i, SIZE));
    remote_free(&r);
}

/* --- removal ---------------------------------------------------------------------------------- */

/* Ten blobs and their presentation in the tier, named by "film". */
static void published(struct remote *r, enum store_durability durability, bool shared)
{
    remote_new(r, durability);
    r->f.options.links = remote_links;
    r->f.options.dropped_s = STORE_AT_ONCE;
    r->f.options.remote_shared = shared;
    fixture_open(&r->f);
    fixture_put_seeds(r->f.worker, 0, 10, SIZE);
    remote_publish(r, "film", 0, 10, SIZE);
    assert_int_equal(store_settle(r->f.store), 0);
    assert_int_equal(folder_tier_count(r->tier), 11);
}

static void remote_test_removal(void **state)
{
    (void)state;
    struct remote r;
    for (int shared = 0; shared < 2; shared++) {
        published(&r, STORE_REMOTE_ASYNC, shared != 0);
        assert_int_equal(fixture_ref_delete(r.f.worker, "film"), 0);
        assert_int_equal(store_settle(r.f.store), 0);
        assert_int_equal(fixture_get_seed(r.f.worker, 1, SIZE), -ENOENT);
        assert_int_equal(folder_tier_count(r.tier), shared ? 11 : 0);
        assert_int_equal(folder_tier_calls(r.tier, FOLDER_REMOVE), shared ? 0 : 11);
        assert_int_equal(remote_stat(&r).live_bytes, 4096 /* the ref's record */);
        remote_free(&r);
    }
}

/* While the tier is away removals wait; they are done by the next run if need be. */
static void remote_test_removal_later(void **state)
{
    (void)state;
    struct remote r;
    published(&r, STORE_REMOTE_ASYNC, false);
    folder_tier_fail(r.tier, FOLDER_REMOVE, -EHOSTDOWN, UINT_MAX);
    assert_int_equal(fixture_ref_delete(r.f.worker, "film"), 0);
    folder_tier_await(r.tier, FOLDER_REMOVE, 1);
    fixture_close(&r.f);
    assert_int_equal(folder_tier_count(r.tier), 11);
    folder_tier_fail(r.tier, FOLDER_REMOVE, 0, 0);
    fixture_open(&r.f);
    assert_int_equal(store_settle(r.f.store), 0);
    assert_int_equal(folder_tier_count(r.tier), 0);
    remote_free(&r);
}

/* Put again while its removal is under way: acknowledged by no earlier upload, nor the removal. */
static void remote_test_put_while_removed(void **state)
{
    (void)state;
    struct remote r;
    struct remote_put p;
    published(&r, STORE_REMOTE_SYNC, false);
    folder_tier_hold(r.tier, FOLDER_REMOVE, true);
    assert_int_equal(fixture_ref_delete(r.f.worker, "film"), 0);
    folder_tier_await(r.tier, FOLDER_REMOVE, 8); /* as many as fly at once */
    folder_tier_hold(r.tier, FOLDER_PUT, true);
    unsigned puts = folder_tier_calls(r.tier, FOLDER_PUT);
    for (uint64_t i = 0; i < 10; i++) { /* some of them are being removed right now */
        struct digest d = remote_digest(i, SIZE);
        assert_int_equal(store_blob_look(r.f.worker, &d, &(struct store_blob){.length = 0}),
                         -ENOENT);
    }
    struct remote_put all[10];
    for (uint64_t i = 0; i < 10; i++)
        remote_put(&r, &all[i], i, SIZE);
    remote_put(&r, &p, 0, SIZE); /* twice at once */
    for (unsigned i = 0; i < 5; i++)
        remote_turn(&r);
    folder_tier_hold(r.tier, FOLDER_REMOVE, false);
    folder_tier_await(r.tier, FOLDER_PUT, puts + 8);
    for (unsigned i = 0; i < 5; i++)
        remote_turn(&r);
    for (unsigned i = 0; i < 10; i++)
        assert_false(all[i].done);
    folder_tier_hold(r.tier, FOLDER_PUT, false);
    for (uint64_t i = 0; i < 10; i++) {
        store_worker_wait(r.f.worker, &all[i].done);
        assert_int_equal(all[i].res, 0);
        assert_true(remote_has(&r, i, SIZE));
        assert_true(remote_look(&r, i, SIZE).remote);
    }
    store_worker_wait(r.f.worker, &p.done);
    assert_int_equal(p.res, 0);
    assert_int_equal(store_settle(r.f.store), 0);
    assert_int_equal(folder_tier_count(r.tier), 10); /* the presentation is gone */
    remote_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(remote_test_sync_waits),
        cmocka_unit_test(remote_test_sync_fails),
        cmocka_unit_test(remote_test_sync_closes),
        cmocka_unit_test(remote_test_async),
        cmocka_unit_test(remote_test_async_damaged),
        cmocka_unit_test(remote_test_catches_up),
        cmocka_unit_test(remote_test_errands_survive),
        cmocka_unit_test(remote_test_removal),
        cmocka_unit_test(remote_test_removal_later),
        cmocka_unit_test(remote_test_put_while_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
