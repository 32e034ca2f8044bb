/* SPDX-License-Identifier: Apache-2.0 */
/* What names each blob, where that was not known for a while: counted anew, lost, or away. */
#include "store/store.h"
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include "base/file.h"
#include "links_fixture.h"
#include "store/store_rebuild.h"

#define SIZE 20000u

static int refs_of_seed(struct fixture *f, uint64_t seed)
{
    struct digest d = links_fixture_digest(seed, SIZE);
    return links_fixture_refs(f->worker, &d);
}

/* Moved by who does not count, then opened by who does: it is counted anew. */
static void recount_test_recount(void **state)
{
    (void)state;
    struct fixture f;
    struct digest a, b, c;
    links_fixture_open(&f);
    links_fixture_film(f.worker, 0, 3, SIZE, &a);
    links_fixture_film(f.worker, 10, 3, SIZE, &b);
    links_fixture_film(f.worker, 2, 9, SIZE, &c); /* 2-10 */
    assert_int_equal(fixture_ref_put(f.worker, "x", &a, 0), 0);
    f.options.links = NULL;
    fixture_reopen(&f);
    assert_int_equal(fixture_ref_put(f.worker, "x", &b, 1), 0);
    assert_int_equal(fixture_ref_put(f.worker, "y", &c, 0), 0);
    assert_int_equal(fixture_put_seed(f.worker, 50, SIZE), 0);
    links_fixture_settle(&f, true);
    assert_int_equal(fixture_get_seed(f.worker, 0, SIZE), 0); /* nothing goes without links */
    links_fixture_init(&f);
    fixture_reopen(&f);
    assert_int_equal(refs_of_seed(&f, 2), 1);
    assert_int_equal(refs_of_seed(&f, 10), 2);
    assert_int_equal(refs_of_seed(&f, 12), 1);
    assert_int_equal(links_fixture_refs(f.worker, &c), 1);
    links_fixture_settle(&f, true);
    assert_int_equal(refs_of_seed(&f, 0), -1);
    assert_int_equal(refs_of_seed(&f, 1), -1);
    assert_int_equal(refs_of_seed(&f, 50), -1);
    assert_int_equal(links_fixture_refs(f.worker, &a), -1);
    struct store_stat stat;
    store_stat(f.store, &stat);
    assert_int_equal(stat.blobs, 9 + 2 + 2); /* 2-10, 11, 12, b, c */
    /* Counted: what goes now is let go of as ever. */
    assert_int_equal(fixture_ref_delete(f.worker, "y"), 0);
    links_fixture_settle(&f, true);
    assert_int_equal(refs_of_seed(&f, 5), -1);
    assert_int_equal(refs_of_seed(&f, 10), 1);
    fixture_free(&f);
}

static void on_devices(struct fixture *f, const struct store_device *devices, unsigned count)
{
    fixture_close(f);
    f->options.devices = devices;
    f->options.devices_count = count;
    fixture_open(f);
}

/* Reclaimed while its device is away: when that comes back it holds nothing. */
static void recount_test_away(void **state)
{
    (void)state;
    struct fixture f;
    struct digest p;
    struct store_stat stat;
    char a[160], b[160];
    fixture_new(&f);
    links_fixture_init(&f);
    (void)snprintf(a, sizeof a, "%s/a", f.folder);
    (void)snprintf(b, sizeof b, "%s/b", f.folder);
    const struct store_device both[2] = {{.path = a}, {.path = b}};
    on_devices(&f, both, 1);
    links_fixture_film(f.worker, 0, 3, SIZE, &p);
    assert_int_equal(fixture_ref_put(f.worker, "film", &p, 0), 0);
    on_devices(&f, both, 2);
    on_devices(&f, both + 1, 1);
    assert_int_equal(fixture_get_seed(f.worker, 1, SIZE), -EIO);
    assert_int_equal(fixture_ref_delete(f.worker, "film"), 0);
    links_fixture_settle(&f, true);
    assert_int_equal(refs_of_seed(&f, 1), -1);
    on_devices(&f, both, 2);
    links_fixture_settle(&f, true);
    store_stat(f.store, &stat);
    assert_int_equal(stat.blobs, 0);
    assert_int_equal(stat.blob_bytes, 0);
    assert_int_equal(stat.live_bytes, 4096); /* the deleted ref's record */
    assert_int_equal(stat.volumes, 1);       /* the one that it is in */
    fixture_free(&f);
}

/* Where a blob's record lies. */
static void damage(struct fixture *f, const struct digest *d)
{
    char path[160];
    struct store_blob b;
    assert_int_equal(store_blob_look(f->worker, d, &b), 0);
    fixture_volume_path(f, b.volume, path);
    fixture_flip(path, b.offset + 80, 1);
}

static void uncounted(struct fixture *f)
{
    struct digest p;
    f->options.links = NULL;
    fixture_reopen(f);
    assert_int_equal(links_fixture_put(f->worker, 77, NULL, 0, &p), 0);
    assert_int_equal(fixture_ref_put(f->worker, "other", &p, STORE_REF_ANY), 0);
    f->options.links = links_fixture;
}

/* Nobody knows what a presentation in use names that cannot be read: nothing goes. */
static void recount_test_damaged_presentation(void **state)
{
    (void)state;
    struct fixture f;
    struct digest p, q, no, lost;
    links_fixture_open(&f);
    links_fixture_film(f.worker, 0, 3, SIZE, &p);
    assert_int_equal(fixture_ref_put(f.worker, "film", &p, 0), 0);
    uncounted(&f);
    assert_int_equal(fixture_put_seed(f.worker, 50, SIZE), 0);
    damage(&f, &p);
    fixture_reopen(&f);
    links_fixture_settle(&f, true);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(fixture_get_seed(f.worker, i, SIZE), 0);
    assert_int_equal(fixture_get_seed(f.worker, 50, SIZE), 0);
    /* What a ref newly names must be there all the same. */
    lost = links_fixture_digest(99, SIZE);
    assert_int_equal(links_fixture_put(f.worker, 5, &lost, 1, &no), 0);
    assert_int_equal(fixture_ref_put(f.worker, "no", &no, 0), -ENOENT);
    /* Put again it is readable, and the next start counts. */
    struct digest links[3];
    for (unsigned i = 0; i < 3; i++)
        links[i] = links_fixture_digest(i, SIZE);
    struct rbuf *got = NULL;
    assert_int_equal(fixture_get(f.worker, &p, &got), -EBADMSG);
    assert_int_equal(links_fixture_put(f.worker, 0, links, 3, &q), 0);
    assert_true(digest_eq(&p, &q));
    fixture_reopen(&f);
    links_fixture_settle(&f, true);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(refs_of_seed(&f, i), 1);
    assert_int_equal(refs_of_seed(&f, 50), -1);
    fixture_free(&f);
}

/* A film whose blob 1 is alone in the first volume, and found to be damaged. */
static void lossy(struct fixture *f, struct digest *ret_presentation)
{
    struct digest d = links_fixture_digest(1, SIZE);
    struct rbuf *got = NULL;
    links_fixture_open(f);
    assert_int_equal(fixture_put_seed(f->worker, 1, SIZE), 0);
    assert_int_equal(fixture_put_seed(f->worker, 1000, 2 << 20), 0);
    links_fixture_film(f->worker, 0, 3, SIZE, ret_presentation);
    assert_int_equal(fixture_ref_put(f->worker, "film", ret_presentation, 0), 0);
    damage(f, &d);
    assert_int_equal(fixture_get(f->worker, &d, &got), -EBADMSG);
}

/* Lost: named by one, not there, and new refs may not name it; put again it stays. */
static void found_again(struct fixture *f, const struct digest *p)
{
    struct digest d = links_fixture_digest(1, SIZE), q;
    struct store_ref ref;
    assert_int_equal(links_fixture_refs(f->worker, &d), 1);
    assert_int_equal(fixture_get_seed(f->worker, 1, SIZE), -EBADMSG);
    assert_false(store_has(f->worker, &d));
    assert_int_equal(links_fixture_put(f->worker, 5, &d, 1, &q), 0);
    assert_int_equal(fixture_ref_put(f->worker, "new", &q, 0), -ENOENT);
    assert_int_equal(fixture_put_seed(f->worker, 1, SIZE), 0);
    assert_int_equal(links_fixture_refs(f->worker, &d), 1);
    links_fixture_settle(f, true);
    assert_int_equal(fixture_get_seed(f->worker, 1, SIZE), 0);
    assert_int_equal(store_ref_get(f->worker, STR("film"), &ref), 0);
    assert_true(digest_eq(&ref.presentation, p));
    assert_int_equal(fixture_ref_delete(f->worker, "film"), 0);
    links_fixture_settle(f, true);
    assert_int_equal(links_fixture_refs(f->worker, &d), -1);
}

static void recount_test_lost_by_rebuild(void **state)
{
    (void)state;
    struct fixture f;
    struct digest p;
    struct err err = {{0}};
    struct store_rebuild report;
    lossy(&f, &p);
    fixture_close(&f);
    assert_int_equal(store_rebuild(&f.options, NULL, NULL, &report, &err), 0);
    assert_int_equal(report.damaged, 1);
    fixture_open(&f);
    found_again(&f, &p);
    fixture_free(&f);
}

static void recount_test_lost_with_volume(void **state)
{
    (void)state;
    struct fixture f;
    struct digest p, d = links_fixture_digest(1, SIZE);
    struct store_blob b;
    char path[160];
    lossy(&f, &p);
    assert_int_equal(store_blob_look(f.worker, &d, &b), 0);
    fixture_volume_path(&f, b.volume, path);
    fixture_close(&f);
    assert_int_equal(unlink(path), 0);
    fixture_open(&f);
    found_again(&f, &p);
    fixture_free(&f);
}

/* A move of which the record was down and the index not committed when the process died: once the
 * store was open again it never happened, for a rebuild neither. */
static void recount_test_left_behind(void **state)
{
    (void)state;
    struct fixture f;
    struct digest p, q;
    struct store_ref ref;
    struct store_rebuild report;
    struct err err = {{0}};
    char path[160];
    CLEAN_BUF struct buf before = BUF_EMPTY;
    links_fixture_open(&f);
    links_fixture_film(f.worker, 0, 1, SIZE, &p);
    links_fixture_film(f.worker, 10, 1, SIZE, &q);
    assert_int_equal(fixture_ref_put(f.worker, "film", &p, 0), 0);
    fixture_close(&f);
    (void)snprintf(path, sizeof path, "%s/index/data.mdb", f.path);
    assert_int_equal(file_read(path, 64 << 20, &before), 0);
    fixture_open(&f);
    assert_int_equal(fixture_ref_put(f.worker, "never", &q, 0), 0);
    fixture_close(&f);
    assert_int_equal(file_write(path, buf_str(&before), 0644), 0); /* it died before that */
    fixture_open(&f);
    assert_int_equal(store_ref_get(f.worker, STR("never"), &ref), -ENOENT);
    fixture_close(&f);
    assert_int_equal(store_rebuild(&f.options, NULL, NULL, &report, &err), 0);
    assert_int_equal(report.refs, 1);
    fixture_open(&f);
    assert_int_equal(store_ref_get(f.worker, STR("never"), &ref), -ENOENT);
    assert_int_equal(store_ref_get(f.worker, STR("film"), &ref), 0);
    assert_true(digest_eq(&ref.presentation, &p));
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recount_test_away),
        cmocka_unit_test(recount_test_recount),
        cmocka_unit_test(recount_test_left_behind),
        cmocka_unit_test(recount_test_damaged_presentation),
        cmocka_unit_test(recount_test_lost_by_rebuild),
        cmocka_unit_test(recount_test_lost_with_volume),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
