/* SPDX-License-Identifier: Apache-2.0 */
/* A bit flips in each kind of byte of a record: no wrong byte is served; what another tier or a
 * sibling has is served and repaired, by who asks and by the scrub alike. */
#include "store/store.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "devices_fixture.h"
#include "remote_fixture.h"
#include "store/format.h"

#define SIZE 200000u /* four blocks */

enum helper { HELPER_NONE, HELPER_PEER, HELPER_REMOTE };

/* One blob, seed 1, as the first record of volume 1; whoever helps has it too. */
static void repair_new(struct remote *r, enum helper helper)
{
    remote_new(r, helper == HELPER_REMOTE ? STORE_REMOTE_SYNC : STORE_LOCAL);
    if (helper != HELPER_REMOTE)
        r->f.options.remote = NULL;
    if (helper == HELPER_PEER) {
        struct digest d;
        struct rbuf *b = fixture_blob(1, SIZE, &d);
        folder_tier_give(r->tier, &d, b);
        rbuf_unref(b);
        r->f.options.peer = folder_tier_of(r->tier);
    }
    fixture_open(&r->f);
    assert_int_equal(fixture_put_seed(r->f.worker, 1, SIZE), 0);
    assert_int_equal(fixture_put_seed(r->f.worker, 2, 100), 0);
}

/* By a put behind it: the committer has done what was before. */
static void settled(struct remote *r)
{
    static uint64_t other = 1000;
    assert_int_equal(fixture_put_seed(r->f.worker, other++, 10), 0);
}

/* Where the record of seed 1 is now. */
static uint64_t place(struct remote *r, char path[160])
{
    struct store_blob b = remote_look(r, 1, SIZE);
    fixture_volume_path(&r->f, b.volume, path);
    return b.offset;
}

/* --- which bytes ------------------------------------------------------------------------------ */

struct byte {
    uint64_t at;
    uint8_t mask;
};

/* Every byte of the head and of the table of sums, and the payload at its seams and in between. */
static size_t every_kind(struct byte *out)
{
    const uint32_t payload = format_payload_offset(SIZE);
    const uint32_t places[] = {0,     1,     4095,  4096,   65535,  65536,
                               65537, 99999, 99999, 131071, 196608, SIZE - 1};
    size_t n = 0;
    for (uint32_t i = 0; i < payload; i++)
        out[n++] = (struct byte){i, (uint8_t)(1u << (i % 8))};
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        out[n++] = (struct byte){payload + places[i], (uint8_t)(1u << (i % 8))};
    return n;
}

/* --- who asks --------------------------------------------------------------------------------- */

static void flip_and_get(struct remote *r, enum helper helper, const struct byte *b)
{
    char path[160];
    struct store_stat before = remote_stat(r);
    uint64_t offset = place(r, path);
    unsigned gets = folder_tier_calls(r->tier, FOLDER_GET);
    fixture_flip(path, offset + b->at, b->mask);
    int res = fixture_get_seed(r->f.worker, 1, SIZE);
    assert_int_equal(remote_stat(r).damaged, before.damaged + 1);
    if (helper == HELPER_NONE) {
        assert_int_equal(res, -EBADMSG);
        settled(r);
        assert_true(remote_look(r, 1, SIZE).damaged);
        assert_int_equal(fixture_get_seed(r->f.worker, 1, SIZE), -EBADMSG);
        assert_int_equal(fixture_put_seed(r->f.worker, 1, SIZE), 0);
    } else {
        assert_int_equal(res, 0);
        settled(r);
        assert_int_equal(remote_stat(r).repaired, before.repaired + 1);
        assert_int_equal(folder_tier_calls(r->tier, FOLDER_GET), gets + 1);
    }
    assert_false(remote_look(r, 1, SIZE).damaged);
    assert_int_equal(fixture_get_seed(r->f.worker, 1, SIZE), 0); /* from the disk */
    unsigned asked = folder_tier_calls(r->tier, FOLDER_GET);
    assert_int_equal(asked, helper == HELPER_NONE ? gets : gets + 1);
    assert_int_equal(remote_stat(r).damaged, before.damaged + 1);
}

static void repair_test_every_kind(void **state)
{
    (void)state;
    struct byte bytes[256];
    size_t count = every_kind(bytes);
    for (enum helper helper = HELPER_NONE; helper <= HELPER_REMOTE; helper++) {
        struct remote r;
        repair_new(&r, helper);
        /* Each of them once; some with each who helps. */
        for (size_t i = helper; i < count; i += helper == HELPER_NONE ? 1 : 5)
            flip_and_get(&r, helper, &bytes[i]);
        assert_int_equal(fixture_get_seed(r.f.worker, 2, 100), 0);
        fixture_close(&r.f);
        fixture_open(&r.f);
        assert_int_equal(fixture_get_seed(r.f.worker, 1, SIZE), 0);
        remote_free(&r);
    }
}

/* Padding is in no sum, and is served to nobody: a flip there is no damage. */
static void repair_test_padding(void **state)
{
    (void)state;
    struct remote r;
    char path[160];
    repair_new(&r, HELPER_NONE);
    uint64_t offset = place(&r, path);
    uint32_t end = format_payload_offset(SIZE) + SIZE;
    assert_true(end < format_record_size(SIZE));
    for (uint32_t at = end; at < format_record_size(SIZE); at += 97) {
        fixture_flip(path, offset + at, 0xff);
        assert_int_equal(fixture_get_seed(r.f.worker, 1, SIZE), 0);
    }
    fixture_flip(path, 100, 1); /* behind a volume's head, before its first record */
    fixture_close(&r.f);
    r.f.options.scrub_rate = UINT64_C(1) << 30;
    fixture_open(&r.f);
    unsigned tries = 0;
    while (remote_stat(&r).scrubbed_bytes < 3 * (uint64_t)SIZE)
        assert_true(remote_patience(&tries));
    assert_int_equal(remote_stat(&r).damaged, 0);
    assert_int_equal(fixture_get_seed(r.f.worker, 1, SIZE), 0);
    remote_free(&r);
}

/* The helper has wrong bytes, or none, or is away: then nobody has the right ones. */
static void repair_test_helper_fails(void **state)
{
    (void)state;
    for (enum helper helper = HELPER_PEER; helper <= HELPER_REMOTE; helper++) {
        struct remote r;
        char path[160];
        repair_new(&r, helper);
        uint64_t offset = place(&r, path);
        fixture_flip(path, offset + 70000, 1);
        for (enum folder_lie lie = FOLDER_FLIPS; lie <= FOLDER_CUTS; lie++) {
            folder_tier_lie(r.tier, lie);
            assert_int_equal(fixture_get_seed(r.f.worker, 1, SIZE), -EBADMSG);
        }
        folder_tier_lie(r.tier, FOLDER_HONEST);
        folder_tier_fail(r.tier, FOLDER_GET, -EHOSTDOWN, 1);
        assert_int_equal(fixture_get_seed(r.f.worker, 1, SIZE), -EBADMSG);
        folder_tier_fail(r.tier, FOLDER_GET, -ENOENT, 1);
        assert_int_equal(fixture_get_seed(r.f.worker, 1, SIZE), -EBADMSG);
        assert_int_equal(remote_stat(&r).repaired, 0);
        assert_int_equal(fixture_get_seed(r.f.worker, 1, SIZE), 0);
        settled(&r);
        assert_int_equal(remote_stat(&r).repaired, 1);
        remote_free(&r);
    }
}

/* A sector that cannot be read is damage too, but not of the bytes: it may be read again. */
static void repair_test_unreadable(void **state)
{
    (void)state;
    for (int scrubbed = 0; scrubbed < 2; scrubbed++) {
        struct remote r;
        struct path_io io;
        char warm[160];
        remote_new(&r, STORE_REMOTE_SYNC);
        path_io_init(&io, r.f.options.io != NULL ? r.f.options.io : io_default());
        r.f.options.io = &io.ops;
        r.f.options.scrub_rate = scrubbed ? UINT64_C(1) << 30 : STORE_RATE_NONE;
        (void)snprintf(warm, sizeof warm, "%s/warm", r.f.path);
        struct path_rule *rule = path_io_rule(&io, warm);
        fixture_open(&r.f);
        assert_int_equal(fixture_put_seed(r.f.worker, 1, SIZE), 0);
        atomic_store(&rule->bad_from, FORMAT_RECORDS);
        atomic_store(&rule->bad_until, FORMAT_RECORDS + FORMAT_ALIGN);
        unsigned tries = 0;
        if (!scrubbed)
            assert_int_equal(fixture_get_seed(r.f.worker, 1, SIZE), 0);
        while (remote_stat(&r).repaired == 0)
            assert_true(remote_patience(&tries));
        folder_tier_fail(r.tier, FOLDER_GET, -EHOSTDOWN, UINT32_MAX);
        assert_true(remote_look(&r, 1, SIZE).offset > FORMAT_RECORDS); /* elsewhere */
        assert_int_equal(fixture_get_seed(r.f.worker, 1, SIZE), 0);
        remote_free(&r);
    }
}

/* --- the scrub -------------------------------------------------------------------------------- */

static void scrub_once(enum helper helper, const struct byte *bytes, size_t count)
{
    struct remote r;
    char path[160];
    repair_new(&r, helper);
    fixture_close(&r.f);
    r.f.options.scrub_rate = UINT64_C(4) << 30;
    fixture_open(&r.f);
    for (size_t i = 0; i < count; i++) {
        struct store_stat before = remote_stat(&r);
        unsigned tries = 0;
        uint64_t offset = place(&r, path);
        fixture_flip(path, offset + bytes[i].at, bytes[i].mask);
        /* Nobody asks for it. */
        while (remote_stat(&r).damaged == before.damaged)
            assert_true(remote_patience(&tries));
        while (helper != HELPER_NONE && remote_stat(&r).repaired == before.repaired)
            assert_true(remote_patience(&tries));
        settled(&r);
        assert_int_equal(remote_look(&r, 1, SIZE).damaged, helper == HELPER_NONE);
        if (helper == HELPER_NONE) {
            assert_int_equal(fixture_get_seed(r.f.worker, 1, SIZE), -EBADMSG);
            assert_int_equal(fixture_put_seed(r.f.worker, 1, SIZE), 0);
        }
        assert_int_equal(fixture_get_seed(r.f.worker, 1, SIZE), 0);
    }
    assert_true(remote_stat(&r).scrubbed_bytes > 0);
    remote_free(&r);
}

static void repair_test_scrub(void **state)
{
    (void)state;
    const struct byte bytes[] = {{0, 1},  {9, 2},  {30, 4},     {60, 8},
                                 {70, 1}, {90, 2}, {100000, 4}, {SIZE, 8}};
    for (enum helper helper = HELPER_NONE; helper <= HELPER_REMOTE; helper++)
        scrub_once(helper, bytes + helper, ARRAY_LEN(bytes) - 2 * helper);
}

static void repair_test_scrub_none(void **state)
{
    (void)state;
    struct remote r;
    char path[160];
    repair_new(&r, HELPER_REMOTE); /* with STORE_RATE_NONE */
    uint64_t offset = place(&r, path);
    fixture_flip(path, offset + 1000, 1);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(store_settle(r.f.store), 0);
    assert_int_equal(remote_stat(&r).scrubbed_bytes, 0);
    assert_int_equal(remote_stat(&r).damaged, 0);
    assert_int_equal(fixture_get_seed(r.f.worker, 1, SIZE), 0);
    assert_int_equal(remote_stat(&r).damaged, 1);
    remote_free(&r);
}

/* A damaged move of a ref is written anew: else a rebuild would lose it. */
static void repair_test_scrub_refs(void **state)
{
    (void)state;
    struct remote r;
    char path[160];
    struct digest p = {{5}};
    unsigned tries = 0;
    remote_new(&r, STORE_LOCAL);
    fixture_open(&r.f);
    assert_int_equal(fixture_ref_put(r.f.worker, "film", &p, 0), 0);
    fixture_close(&r.f);
    fixture_volume_path(&r.f, 1, path);
    fixture_flip(path, FORMAT_RECORDS + 80, 1);
    r.f.options.scrub_rate = UINT64_C(1) << 30;
    fixture_open(&r.f);
    while (remote_stat(&r).repaired == 0)
        assert_true(remote_patience(&tries));
    assert_int_equal(remote_stat(&r).damaged, 1);
    fixture_close(&r.f);
    fixture_open(&r.f);
    tries = 0;
    while (remote_stat(&r).scrubbed_bytes < 3 * FORMAT_ALIGN)
        assert_true(remote_patience(&tries));
    assert_int_equal(remote_stat(&r).damaged, 0);
    remote_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repair_test_every_kind),   cmocka_unit_test(repair_test_padding),
        cmocka_unit_test(repair_test_helper_fails), cmocka_unit_test(repair_test_unreadable),
        cmocka_unit_test(repair_test_scrub),        cmocka_unit_test(repair_test_scrub_none),
        cmocka_unit_test(repair_test_scrub_refs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
