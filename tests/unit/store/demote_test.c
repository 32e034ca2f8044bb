/* SPDX-License-Identifier: Apache-2.0 */
/* What is in the remote tier alone: read from there and checked, brought back, lost and found. */
#include "store/store.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include "base/file.h"
#include "devices_fixture.h"
#include "remote_fixture.h"
#include "store/store_rebuild.h"

#define SIZE     200000u
#define BLOBS    60u
#define WARM_MAX (UINT64_C(4) << 20)

static void demote_new(struct remote *r)
{
    remote_new(r, STORE_LOCAL);
    r->f.options.warm_max = WARM_MAX;
    r->f.options.promote_after_s = STORE_AT_ONCE;
}

static bool away(struct remote *r, uint64_t seed)
{
    return remote_look(r, seed, SIZE).device == 0;
}

/* Blobs of which most are in the tier alone; the first of those. */
static uint64_t demoted(struct remote *r)
{
    demote_new(r);
    fixture_open(&r->f);
    fixture_put_seeds(r->f.worker, 0, BLOBS, SIZE);
    assert_int_equal(folder_tier_count(r->tier), 0); /* local means local */
    assert_int_equal(store_settle(r->f.store), 0);
    uint64_t seed = 0;
    while (!away(r, seed))
        seed++;
    return seed;
}

static void demote_test_frees(void **state)
{
    (void)state;
    struct remote r;
    unsigned gone = 0;
    (void)demoted(&r);
    assert_true(remote_stat(&r).live_bytes <= WARM_MAX);
    for (uint64_t i = 0; i < BLOBS; i++) {
        struct store_blob b = remote_look(&r, i, SIZE);
        assert_true(b.device != 0 || b.remote); /* never in no tier */
        assert_int_equal(b.remote, remote_has(&r, i, SIZE));
        gone += b.device == 0;
    }
    assert_in_range(gone, BLOBS / 2, BLOBS - 10);
    assert_int_equal(remote_stat(&r).demoted, gone);
    for (uint64_t i = 0; i < BLOBS; i++)
        assert_int_equal(fixture_get_seed(r.f.worker, i, SIZE), 0);
    assert_true(folder_tier_calls(r.tier, FOLDER_GET) >= gone);
    assert_int_equal(remote_stat(&r).damaged, 0);
    remote_free(&r);
}

static void demote_test_lies(void **state)
{
    (void)state;
    struct remote r;
    uint64_t seed = demoted(&r);
    fixture_close(&r.f);
    r.f.options.hot_size = 16 << 20; /* no lie gets in there */
    fixture_open(&r.f);
    for (enum folder_lie lie = FOLDER_FLIPS; lie <= FOLDER_CUTS; lie++) {
        folder_tier_lie(r.tier, lie);
        for (unsigned i = 0; i < 5; i++)
            assert_int_equal(fixture_get_seed(r.f.worker, seed, SIZE), -EBADMSG);
    }
    folder_tier_lie(r.tier, FOLDER_HONEST);
    const int codes[] = {-ENOENT, -EHOSTDOWN, -ETIMEDOUT, -EACCES};
    for (unsigned i = 0; i < ARRAY_LEN(codes); i++) {
        folder_tier_fail(r.tier, FOLDER_GET, codes[i], 1);
        int res = fixture_get_seed(r.f.worker, seed, SIZE);
        assert_int_equal(res, codes[i] == -ENOENT ? -EIO : codes[i]);
    }
    assert_int_equal(fixture_get_seed(r.f.worker, seed, SIZE), 0);
    assert_int_equal(fixture_get_seed(r.f.worker, seed, SIZE), 0);
    remote_free(&r);
}

/* Several wait for one blob: it is fetched once. */
static void on_get(void *arg, int res, struct rbuf *blob)
{
    unsigned *left = arg;
    assert_int_equal(res, 0);
    assert_int_equal(rbuf_size(blob), SIZE);
    (*left)--;
}

static void demote_test_one_fetch(void **state)
{
    (void)state;
    struct remote r;
    uint64_t seed = demoted(&r);
    struct digest d = remote_digest(seed, SIZE);
    unsigned left = 20, before = folder_tier_calls(r.tier, FOLDER_GET);
    folder_tier_hold(r.tier, FOLDER_GET, true);
    for (unsigned i = 0; i < 20; i++)
        store_get(r.f.worker, &d, on_get, &left);
    folder_tier_await(r.tier, FOLDER_GET, before + 1);
    folder_tier_hold(r.tier, FOLDER_GET, false);
    while (left > 0)
        remote_turn(&r);
    assert_int_equal(folder_tier_calls(r.tier, FOLDER_GET), before + 1);
    remote_free(&r);
}

static void demote_test_promotion(void **state)
{
    (void)state;
    struct remote r;
    unsigned tries = 0, again = 0;
    uint64_t seed = demoted(&r);
    while (away(&r, seed) && again++ < 1000) {
        assert_int_equal(fixture_get_seed(r.f.worker, seed, SIZE), 0);
        assert_true(remote_patience(&tries));
    }
    assert_false(away(&r, seed));
    assert_true(remote_look(&r, seed, SIZE).remote); /* there, too */
    assert_int_equal(remote_stat(&r).promoted, 1);
    folder_tier_fail(r.tier, FOLDER_GET, -EHOSTDOWN, UINT_MAX);
    assert_int_equal(fixture_get_seed(r.f.worker, seed, SIZE), 0);
    folder_tier_fail(r.tier, FOLDER_GET, 0, 0);
    /* It goes again without being sent again. */
    fixture_close(&r.f);
    r.f.options.warm_max = 1 << 20;
    unsigned puts = folder_tier_calls(r.tier, FOLDER_PUT);
    fixture_open(&r.f);
    assert_int_equal(store_settle(r.f.store), 0);
    uint64_t sent = folder_tier_calls(r.tier, FOLDER_PUT) - puts;
    assert_true(remote_stat(&r).live_bytes <= 1 << 20);
    assert_int_equal(remote_stat(&r).uploaded, sent);
    assert_true(!away(&r, seed) || remote_stat(&r).demoted == sent + 1);
    for (uint64_t i = 0; i < BLOBS; i++)
        assert_int_equal(fixture_get_seed(r.f.worker, i, SIZE), 0);
    remote_free(&r);
}

/* The tier lost the bytes of a blob that only it had: put again, it is sent there anew. */
static void demote_test_put_heals(void **state)
{
    (void)state;
    struct remote r;
    char path[200], hex[DIGEST_TEXT_SIZE];
    uint64_t seed = demoted(&r);
    struct digest d = remote_digest(seed, SIZE);
    digest_format(&d, hex);
    (void)snprintf(path, sizeof path, "%s/%s", r.folder, hex);
    fixture_flip(path, SIZE / 2, 4);
    assert_int_equal(fixture_get_seed(r.f.worker, seed, SIZE), -EBADMSG);
    assert_int_equal(fixture_put_seed(r.f.worker, seed, SIZE), 0);
    assert_int_equal(fixture_get_seed(r.f.worker, seed, SIZE), 0);
    assert_false(away(&r, seed));
    fixture_close(&r.f);
    r.f.options.warm_max = 100000; /* all of it goes */
    fixture_open(&r.f);
    assert_int_equal(store_settle(r.f.store), 0);
    assert_true(away(&r, seed));
    assert_true(remote_has(&r, seed, SIZE));
    assert_int_equal(fixture_get_seed(r.f.worker, seed, SIZE), 0);
    remote_free(&r);
}

static void demote_test_rebuild(void **state)
{
    (void)state;
    struct remote r;
    struct store_rebuild report;
    struct err err;
    char index[200];
    (void)demoted(&r);
    unsigned there = folder_tier_count(r.tier);
    fixture_close(&r.f);
    (void)snprintf(index, sizeof index, "%s/index", r.f.path);
    assert_int_equal(file_remove_all(index), 0);
    int res = store_rebuild(&r.f.options, NULL, NULL, &report, &err);
    if (res != 0)
        fail_msg("store_rebuild: %d: %s", res, err.text);
    assert_int_equal(report.remote, there);
    fixture_open(&r.f);
    for (uint64_t i = 0; i < BLOBS; i++) {
        assert_int_equal(fixture_get_seed(r.f.worker, i, SIZE), 0);
        assert_true(!remote_has(&r, i, SIZE) || remote_look(&r, i, SIZE).remote);
    }
    remote_free(&r);
}

/* A store whose tier is away opens, serves what it has, and takes what it is given. */
static void demote_test_tier_away(void **state)
{
    (void)state;
    struct remote r;
    uint64_t seed = demoted(&r);
    fixture_close(&r.f);
    for (enum folder_call c = FOLDER_GET; c < FOLDER_CALLS; c++)
        folder_tier_fail(r.tier, c, -EHOSTDOWN, UINT_MAX);
    r.f.options.durability = STORE_REMOTE_ASYNC;
    fixture_open(&r.f);
    for (uint64_t i = 0; i < BLOBS; i++)
        assert_int_equal(fixture_get_seed(r.f.worker, i, SIZE), away(&r, i) ? -EHOSTDOWN : 0);
    assert_true(away(&r, seed));
    fixture_put_seeds(r.f.worker, 1000, 20, SIZE);
    for (uint64_t i = 1000; i < 1020; i++)
        assert_int_equal(fixture_get_seed(r.f.worker, i, SIZE), 0);
    /* Warm is over its limit, and nothing is given up for it. */
    assert_int_equal(store_settle(r.f.store), 0);
    for (uint64_t i = 1000; i < 1020; i++)
        assert_false(away(&r, i));
    for (enum folder_call c = FOLDER_GET; c < FOLDER_CALLS; c++)
        folder_tier_fail(r.tier, c, 0, 0);
    unsigned tries = 0;
    for (uint64_t i = 1000; i < 1020; i++) {
        while (!remote_has(&r, i, SIZE))
            assert_true(remote_patience(&tries));
    }
    for (uint64_t i = 0; i < BLOBS; i++)
        assert_int_equal(fixture_get_seed(r.f.worker, i, SIZE), 0);
    remote_free(&r);
}

/* Closing in the midst of uploads and fetches: each is answered, and nothing is lost. */
static void demote_test_close_in_flight(void **state)
{
    (void)state;
    struct remote r;
    demote_new(&r);
    for (unsigned round = 0; round < 5; round++) {
        fixture_open(&r.f);
        fixture_put_seeds(r.f.worker, round * 100, 30, SIZE);
        for (uint64_t i = 0; i < 10; i++)
            assert_int_equal(fixture_get_seed(r.f.worker, i, SIZE), 0);
        fixture_close(&r.f);
    }
    fixture_open(&r.f);
    assert_int_equal(store_settle(r.f.store), 0);
    for (unsigned round = 0; round < 5; round++) {
        for (uint64_t i = 0; i < 30; i++)
            assert_int_equal(fixture_get_seed(r.f.worker, round * 100 + i, SIZE), 0);
    }
    remote_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(demote_test_frees),     cmocka_unit_test(demote_test_lies),
        cmocka_unit_test(demote_test_one_fetch), cmocka_unit_test(demote_test_promotion),
        cmocka_unit_test(demote_test_put_heals), cmocka_unit_test(demote_test_rebuild),
        cmocka_unit_test(demote_test_tier_away), cmocka_unit_test(demote_test_close_in_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
