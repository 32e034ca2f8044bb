/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_rebuild.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/file.h"
#include "path_io.h"
#include "store/format.h"
#include "store_fixture.h"

#define SIZE   100000u
#define COUNT  40u
#define LARGE  40u                 /* blobs of all sizes in one large volume */
#define PIECE  (UINT64_C(2) << 20) /* in which a volume is read */
#define SECTOR UINT64_C(4096)

static void lose_index(struct fixture *f)
{
    char path[160];
    (void)snprintf(path, sizeof path, "%s/index", f->path);
    assert_int_equal(file_remove_all(path), 0);
}

static void rebuild(struct fixture *f, struct store_rebuild *ret)
{
    struct err err = {{0}};
    int r = store_rebuild(&f->options, NULL, NULL, ret, &err);
    if (r != 0)
        fail_msg("store_rebuild: %d: %s", r, err.text);
}

static void filled(struct fixture *f)
{
    fixture_new(f);
    fixture_open(f);
    for (uint64_t i = 0; i < COUNT; i++)
        assert_int_equal(fixture_put_seed(f->worker, i, SIZE), 0);
}

static bool ref_each(void *arg, struct str name, const struct store_ref *ref)
{
    struct buf *out = arg;
    buf_printf(out, STR_FMT "=%d,%d ", STR_ARG(name), (int)ref->generation,
               (int)ref->presentation.bytes[0]);
    return true;
}

static void on_progress(void *arg, const struct store_rebuild *so_far)
{
    uint64_t *last = arg;
    assert_true(so_far->bytes_done >= *last);
    assert_true(so_far->bytes_done <= so_far->bytes);
    *last = so_far->bytes_done;
}

static void rebuild_test_all(void **state)
{
    (void)state;
    struct fixture f;
    struct store_rebuild report;
    struct store_stat before, after;
    struct buf refs_before = BUF_EMPTY, refs_after = BUF_EMPTY;
    struct digest a = {{1}}, b = {{2}};
    char path[160];
    filled(&f);
    assert_int_equal(fixture_ref_put(f.worker, "film", &a, 0), 0);
    assert_int_equal(fixture_ref_put(f.worker, "film", &b, 1), 0);
    assert_int_equal(fixture_ref_put(f.worker, "gone", &a, 0), 0);
    assert_int_equal(fixture_ref_delete(f.worker, "gone"), 0);
    assert_int_equal(fixture_ref_put(f.worker, "again", &a, 0), 0);
    assert_int_equal(fixture_ref_delete(f.worker, "again"), 0);
    fixture_close(&f);
    fixture_open(&f); /* another epoch */
    assert_int_equal(fixture_ref_put(f.worker, "again", &b, 0), 0);
    /* A repair: the blob has two records, and the first is damaged. */
    fixture_volume_path(&f, 1, path);
    fixture_flip(path, FORMAT_RECORDS + 5000, 1);
    assert_int_equal(fixture_get_seed(f.worker, 0, SIZE), -EBADMSG);
    assert_int_equal(fixture_put_seed(f.worker, 0, SIZE), 0);
    assert_int_equal(store_ref_list(f.worker, ref_each, &refs_before), 0);
    assert_int_equal(store_settle(f.store), 0); /* the damaged record's space is given back */
    store_stat(f.store, &before);
    struct err err = {{0}};
    assert_int_equal(store_rebuild(&f.options, NULL, NULL, &report, &err), -EBUSY);
    fixture_close(&f);
    lose_index(&f);

    uint64_t progress = 0;
    assert_int_equal(store_rebuild(&f.options, on_progress, &progress, &report, &err), 0);
    assert_int_equal(report.blobs, COUNT);
    assert_int_equal(report.refs, 2);
    assert_int_equal(report.damaged, 0);
    assert_int_equal(report.volumes_done, before.volumes);
    assert_int_equal(report.bytes_done, report.bytes);
    assert_int_equal(progress, report.bytes);
    fixture_open(&f);
    for (uint64_t i = 0; i < COUNT; i++)
        assert_int_equal(fixture_get_seed(f.worker, i, SIZE), 0);
    store_stat(f.store, &after);
    assert_int_equal(after.blobs, before.blobs);
    assert_int_equal(after.blob_bytes, before.blob_bytes);
    assert_int_equal(store_ref_list(f.worker, ref_each, &refs_after), 0);
    buf_putc(&refs_before, 0);
    buf_putc(&refs_after, 0);
    assert_string_equal(refs_after.data, "again=3,2 film=2,2 ");
    assert_string_equal(refs_after.data, refs_before.data);
    /* Appending goes on behind what is there. */
    assert_int_equal(fixture_put_seed(f.worker, 100, SIZE), 0);
    for (uint64_t i = 0; i < COUNT; i++)
        assert_int_equal(fixture_get_seed(f.worker, i, SIZE), 0);
    buf_free(&refs_before);
    buf_free(&refs_after);
    fixture_free(&f);
}

/* Twice in a row, with the first index in place: nothing is lost, the old one is kept aside. */
static void rebuild_test_again(void **state)
{
    (void)state;
    struct fixture f;
    struct store_rebuild report;
    char path[160];
    filled(&f);
    fixture_close(&f);
    rebuild(&f, &report);
    rebuild(&f, &report);
    assert_int_equal(report.blobs, COUNT);
    assert_int_equal(report.blob_bytes, COUNT * SIZE);
    (void)snprintf(path, sizeof path, "%s/index.old/data.mdb", f.path);
    assert_int_equal(access(path, F_OK), 0);
    (void)snprintf(path, sizeof path, "%s/index.new", f.path);
    assert_int_equal(access(path, F_OK), -1);
    fixture_open(&f);
    assert_int_equal(fixture_get_seed(f.worker, 7, SIZE), 0);
    fixture_free(&f);
}

/* Damage costs what it hits: a head, a payload, a whole volume. */
static void rebuild_test_damaged(void **state)
{
    (void)state;
    struct fixture f;
    struct store_rebuild report;
    char path[160];
    uint32_t size = format_record_size(SIZE);
    filled(&f);
    fixture_close(&f);
    fixture_volume_path(&f, 1, path);
    fixture_flip(path, FORMAT_RECORDS + 2 * size + 9, 4);         /* the digest in a head */
    fixture_flip(path, FORMAT_RECORDS + 5 * size + size / 2, 32); /* a payload */
    fixture_volume_path(&f, 2, path);
    assert_int_equal(unlink(path), 0);
    lose_index(&f);
    rebuild(&f, &report);
    uint64_t a_volume = ((1 << 20) - FORMAT_RECORDS) / size;
    assert_int_equal(report.blobs, COUNT - 2 - a_volume);
    assert_int_equal(report.damaged, 1); /* the other is not known to have been a record */
    fixture_open(&f);
    for (uint64_t i = 0; i < COUNT; i++) {
        bool lost = i == 2 || i == 5 || (i >= a_volume && i < 2 * a_volume);
        assert_int_equal(fixture_get_seed(f.worker, i, SIZE), lost ? -ENOENT : 0);
        assert_int_equal(fixture_put_seed(f.worker, i, SIZE), 0);
    }
    fixture_free(&f);
}

static uint32_t large_size(uint64_t i)
{
    return i % 8 == 7 ? 1000 : 300001 + (uint32_t)i * 37777;
}

/* The blob whose record has the byte at offset; *ret_at: where the record begins. */
static uint64_t large_at(uint64_t offset, uint64_t *ret_at)
{
    uint64_t at = FORMAT_RECORDS, i = 0;
    while (at + format_record_size(large_size(i)) <= offset)
        at += format_record_size(large_size(i++));
    *ret_at = at;
    return i;
}

static void large_filled(struct fixture *f)
{
    fixture_new(f);
    f->options.volume_size = 64 << 20;
    fixture_open(f);
    for (uint64_t i = 0; i < LARGE; i++)
        assert_int_equal(fixture_put_seed(f->worker, i, large_size(i)), 0);
    fixture_close(f);
    lose_index(f);
}

static void large_check(struct fixture *f, uint64_t lost)
{
    fixture_open(f);
    for (uint64_t i = 0; i < LARGE; i++) {
        int want = i == lost ? -ENOENT : 0;
        assert_int_equal(fixture_get_seed(f->worker, i, large_size(i)), want);
    }
    fixture_free(f);
}

/* Records lie across the pieces in which a volume is read; a byte that is wrong at their border is
 * found. */
static void rebuild_test_pieces(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 4; n++) {
        struct fixture f;
        struct store_rebuild report;
        uint64_t at = 0, border = (2 + n) * PIECE - n % 2;
        char path[160];
        large_filled(&f);
        uint64_t lost = large_at(border, &at);
        assert_true(at + SECTOR < border); /* not its head */
        fixture_volume_path(&f, 1, path);
        fixture_flip(path, border, 0x10);
        rebuild(&f, &report);
        assert_int_equal(report.blobs, LARGE - 1);
        assert_int_equal(report.damaged, 1);
        large_check(&f, lost);
    }
}

/* Bad sectors, in a payload and under a head, cost these two and no more. */
static void rebuild_test_bad_sectors(void **state)
{
    (void)state;
    static struct path_io io;
    uint64_t at = 0, head_at = 0;
    uint64_t lost = large_at(3 * PIECE + 9 * SECTOR, &at);
    uint64_t lost_too = large_at(5 * PIECE, &head_at);
    const uint64_t bad[2][2] = {{3 * PIECE + 9 * SECTOR, lost}, {head_at, lost_too}};
    for (unsigned n = 0; n < ARRAY_LEN(bad); n++) {
        struct fixture f;
        struct store_rebuild report;
        char folder[160];
        large_filled(&f);
        const struct io_ops *inner = f.options.io;
        path_io_init(&io, inner != NULL ? inner : io_default());
        (void)snprintf(folder, sizeof folder, "%s/warm", f.path);
        struct path_rule *rule = path_io_rule(&io, folder);
        atomic_store(&rule->bad_from, bad[n][0]);
        atomic_store(&rule->bad_until, bad[n][0] + SECTOR);
        f.options.io = &io.ops;
        rebuild(&f, &report);
        assert_true(atomic_load(&rule->failed) >= 2); /* a whole piece, and the sector itself */
        f.options.io = inner;
        assert_int_equal(report.blobs, LARGE - 1);
        assert_int_equal(report.damaged, n == 0 ? 1 : 0); /* without a head: no record */
        assert_int_equal(report.bytes_done, report.bytes);
        large_check(&f, bad[n][1]);
    }
}

static void append_record(const char *path, uint64_t offset, uint64_t seed, uint32_t epoch,
                          uint32_t volume)
{
    struct format_record head = {.kind = FORMAT_BLOB,
                                 .length = 1000,
                                 .volume = volume,
                                 .epoch = epoch,
                                 .sequence = 0,
                                 .offset = offset};
    struct rbuf *b = fixture_blob(seed, 1000, &head.digest);
    uint8_t bytes[4096];
    uint32_t size;
    assert_int_equal(format_record_size(1000), sizeof bytes);
    format_record_fill(rbuf_data(b, &size), 1000, bytes);
    format_record_place(&head, bytes);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, sizeof bytes, (off_t)offset), sizeof bytes);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(close(fd), 0);
    rbuf_unref(b);
}

/* Whole records behind the end that an older run left are no part of the store. */
static void rebuild_test_stale_tail(void **state)
{
    (void)state;
    struct fixture f;
    struct store_rebuild report;
    char path[160];
    fixture_new(&f);
    fixture_open(&f);
    fixture_close(&f);
    fixture_open(&f);
    assert_int_equal(fixture_put_seed(f.worker, 1, 1000), 0);
    fixture_close(&f);
    fixture_volume_path(&f, 1, path);
    append_record(path, 2 * FORMAT_ALIGN, 2, 1, 1);  /* epoch 1, behind one of epoch 2 */
    append_record(path, 3 * FORMAT_ALIGN, 3, 99, 1); /* and whatever follows it */
    rebuild(&f, &report);
    assert_int_equal(report.blobs, 1);
    fixture_open(&f);
    assert_int_equal(fixture_get_seed(f.worker, 1, 1000), 0);
    assert_int_equal(fixture_get_seed(f.worker, 2, 1000), -ENOENT);
    assert_int_equal(fixture_get_seed(f.worker, 3, 1000), -ENOENT);
    fixture_close(&f);
    append_record(path, 2 * FORMAT_ALIGN, 2, 50, 1); /* behind it in time: taken */
    append_record(path, 3 * FORMAT_ALIGN, 3, 60, 9); /* of another volume: not */
    rebuild(&f, &report);
    assert_int_equal(report.blobs, 2);
    fixture_open(&f);
    assert_int_equal(fixture_get_seed(f.worker, 2, 1000), 0);
    assert_int_equal(fixture_put_seed(f.worker, 4, 1000), 0);
    fixture_close(&f);
    rebuild(&f, &report); /* the run above was of epoch 51 */
    assert_int_equal(report.blobs, 3);
    fixture_free(&f);
}

static void rebuild_test_refuses(void **state)
{
    (void)state;
    struct fixture f, other;
    struct store_rebuild report;
    struct err err = {{0}};
    char path[160], theirs[160];
    filled(&f);
    filled(&other);
    fixture_close(&f);
    fixture_close(&other);
    fixture_volume_path(&f, 3, path);
    fixture_volume_path(&other, 3, theirs);
    assert_int_equal(rename(theirs, path), 0);
    assert_int_equal(store_rebuild(&f.options, NULL, NULL, &report, &err), -ESTALE);
    assert_non_null(strstr(err.text, "another store"));
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(store_rebuild(&f.options, NULL, NULL, &report, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "not a Weir volume"));
    struct store_options elsewhere = f.options;
    elsewhere.path = f.folder;
    assert_int_equal(store_rebuild(&elsewhere, NULL, NULL, &report, &err), -ENOENT);
    fixture_free(&f);
    fixture_free(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rebuild_test_all),         cmocka_unit_test(rebuild_test_again),
        cmocka_unit_test(rebuild_test_damaged),     cmocka_unit_test(rebuild_test_pieces),
        cmocka_unit_test(rebuild_test_bad_sectors), cmocka_unit_test(rebuild_test_stale_tail),
        cmocka_unit_test(rebuild_test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
