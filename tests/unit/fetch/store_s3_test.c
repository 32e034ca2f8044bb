/* SPDX-License-Identifier: Apache-2.0 */
/* A store with a bucket on a real S3 server behind it: store_s3_test KIND. What is tried with a
 * folder in tests/unit/store is tried here with HTTP, signatures and a server that stands still. */
#include "../store/remote_fixture.h"
#include "store/store_rebuild.h"
#include "tier_server.h"

#define SIZE     200000u
#define BLOBS    40u
#define WARM_MAX (UINT64_C(2) << 20)

static struct server server;

static int start(void **state)
{
    (void)state;
    server_start(&server);
    server_wait_ready(&server);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    server_stop(&server);
    return 0;
}

struct bucket {
    struct fixture f;
    struct store_tier *tier;
};

/* Each test has a prefix of its own. */
static void bucket_new(struct bucket *b, const char *prefix, enum store_durability durability)
{
    struct s3_options o = server_options(&server);
    o.prefix = prefix;
    o.stall_ms = 3000;
    o.retries = -1;
    o.breaker_failures = 1000;
    *b = (struct bucket){.tier = server_tier(o)};
    fixture_new(&b->f);
    b->f.options.remote = b->tier;
    b->f.options.durability = durability;
    b->f.options.warm_max = WARM_MAX;
    b->f.options.promote_after_s = STORE_AT_ONCE;
}

static void bucket_free(struct bucket *b)
{
    fixture_close(&b->f);
    b->tier = b->tier->ops->free(b->tier);
    fixture_free(&b->f);
}

static bool bucket_count_one(void *arg, const struct digest *d, uint64_t length)
{
    unsigned *count = arg;
    (void)d;
    (void)length;
    (*count)++;
    return true;
}

static unsigned bucket_count(struct bucket *b)
{
    unsigned count = 0;
    struct err err = {""};
    if (b->tier->ops->list(b->tier, bucket_count_one, &count, &err) != 0)
        fail_msg("%s", err.text);
    return count;
}

static struct store_blob bucket_look(struct bucket *b, uint64_t seed)
{
    struct digest d = remote_digest(seed, SIZE);
    struct store_blob blob = {.length = 0};
    assert_int_equal(store_blob_look(b->f.worker, &d, &blob), 0);
    return blob;
}

static void all_served(struct bucket *b)
{
    for (uint64_t i = 0; i < BLOBS; i++)
        assert_int_equal(fixture_get_seed(b->f.worker, i, SIZE), 0);
}

static void sync_is_in_the_bucket(void **state)
{
    (void)state;
    struct bucket b;
    bucket_new(&b, "sync/", STORE_REMOTE_SYNC);
    fixture_open(&b.f);
    fixture_put_seeds(b.f.worker, 0, 10, SIZE);
    assert_int_equal(bucket_count(&b), 10);
    /* The server stands still: the put is durable here alone, and says that it failed. */
    assert_int_equal(kill(server.pid, SIGSTOP), 0);
    assert_true(fixture_put_seed(b.f.worker, 50, SIZE) < 0);
    assert_int_equal(fixture_get_seed(b.f.worker, 50, SIZE), 0);
    assert_int_equal(kill(server.pid, SIGCONT), 0);
    unsigned tries = 0;
    while (!bucket_look(&b, 50).remote)
        assert_true(remote_patience(&tries));
    assert_int_equal(bucket_count(&b), 11);
    assert_int_equal(fixture_put_seed(b.f.worker, 50, SIZE), 0);
    bucket_free(&b);
}

static void demoted_and_back(void **state)
{
    (void)state;
    struct bucket b;
    struct store_stat stat;
    unsigned tries = 0;
    uint64_t seed = 0;
    bucket_new(&b, "demoted/", STORE_LOCAL);
    fixture_open(&b.f);
    fixture_put_seeds(b.f.worker, 0, BLOBS, SIZE);
    assert_int_equal(store_settle(b.f.store), 0);
    store_stat(b.f.store, &stat);
    assert_true(stat.live_bytes <= WARM_MAX);
    assert_int_equal(bucket_count(&b), stat.demoted);
    all_served(&b);
    while (bucket_look(&b, seed).device != 0)
        seed++;
    while (bucket_look(&b, seed).device == 0) {
        assert_int_equal(fixture_get_seed(b.f.worker, seed, SIZE), 0);
        assert_true(remote_patience(&tries));
    }
    /* The server stands still: what is here is served, what is not is an error in time. */
    fixture_close(&b.f);
    fixture_open(&b.f);
    assert_int_equal(kill(server.pid, SIGSTOP), 0);
    assert_int_equal(fixture_get_seed(b.f.worker, seed, SIZE), 0);
    uint64_t gone = 0;
    while (bucket_look(&b, gone).device != 0)
        gone++;
    int r = fixture_get_seed(b.f.worker, gone, SIZE);
    assert_int_equal(kill(server.pid, SIGCONT), 0);
    assert_true(r < 0 && r != -ENOENT);
    all_served(&b);
    bucket_free(&b);
}

static void damaged_objects_are_not_served(void **state)
{
    (void)state;
    struct bucket b;
    char path[256], hex[DIGEST_TEXT_SIZE];
    uint64_t seed = 0;
    if (strcmp(server.kind, "versitygw") != 0)
        skip(); /* the other one has its objects in files of its own form */
    bucket_new(&b, "damaged/", STORE_LOCAL);
    fixture_open(&b.f);
    fixture_put_seeds(b.f.worker, 0, BLOBS, SIZE);
    assert_int_equal(store_settle(b.f.store), 0);
    while (bucket_look(&b, seed).device != 0)
        seed++;
    struct digest d = remote_digest(seed, SIZE);
    digest_format(&d, hex);
    (void)snprintf(path, sizeof path, "%s/" SERVER_BUCKET "/damaged/%s", server.data, hex);
    fixture_flip(path, SIZE / 3, 2);
    assert_int_equal(fixture_get_seed(b.f.worker, seed, SIZE), -EBADMSG);
    assert_int_equal(truncate(path, SIZE / 2), 0);
    assert_int_equal(fixture_get_seed(b.f.worker, seed, SIZE), -EBADMSG);
    /* Somebody puts it again, and it goes to the bucket anew. */
    assert_int_equal(fixture_put_seed(b.f.worker, seed, SIZE), 0);
    fixture_close(&b.f);
    b.f.options.warm_max = 100000;
    fixture_open(&b.f);
    assert_int_equal(store_settle(b.f.store), 0);
    assert_int_equal(bucket_look(&b, seed).device, 0);
    all_served(&b);
    bucket_free(&b);
}

static void reclaimed_and_rebuilt(void **state)
{
    (void)state;
    struct bucket b;
    struct store_rebuild report;
    struct err err = {""};
    char index[200];
    bucket_new(&b, "rebuilt/", STORE_REMOTE_ASYNC);
    fixture_open(&b.f);
    fixture_put_seeds(b.f.worker, 0, BLOBS, SIZE);
    assert_int_equal(store_settle(b.f.store), 0);
    assert_int_equal(bucket_count(&b), BLOBS);
    fixture_close(&b.f);
    (void)snprintf(index, sizeof index, "%s/index", b.f.path);
    assert_int_equal(file_remove_all(index), 0);
    if (store_rebuild(&b.f.options, NULL, NULL, &report, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(report.remote, BLOBS);
    fixture_open(&b.f);
    all_served(&b);
    fixture_close(&b.f);
    /* Nothing names any of them. */
    b.f.options.links = remote_links;
    b.f.options.unreferenced_s = STORE_AT_ONCE;
    fixture_open(&b.f);
    assert_int_equal(store_settle(b.f.store), 0);
    assert_int_equal(bucket_count(&b), 0);
    assert_int_equal(fixture_get_seed(b.f.worker, 0, SIZE), -ENOENT);
    bucket_free(&b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sync_is_in_the_bucket),
        cmocka_unit_test(demoted_and_back),
        cmocka_unit_test(damaged_objects_are_not_served),
        cmocka_unit_test(reclaimed_and_rebuilt),
    };
    if (argc != 2)
        return 2;
    server.kind = argv[1];
    return cmocka_run_group_tests(tests, start, stop);
}
