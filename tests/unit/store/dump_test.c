/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_dump.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/file.h"
#include "store/format.h"
#include "store_fixture.h"

#define SIZE 100000u
#define ROWS 64u

struct seen {
    struct store_dump_row rows[ROWS];
    unsigned count, stop_at;
};

static bool seen_row(void *arg, const struct store_dump *so_far, const struct store_dump_row *row)
{
    struct seen *s = arg;
    uint64_t end =
        s->count > 0 ? s->rows[s->count - 1].offset + s->rows[s->count - 1].size : FORMAT_RECORDS;
    assert_true(s->count < ROWS);
    assert_int_equal(row->offset, end); /* rows leave nothing out */
    assert_int_equal(so_far->bytes_done, row->offset + row->size);
    s->rows[s->count++] = *row;
    return s->count != s->stop_at;
}

static void dump(const struct fixture *f, uint32_t volume, struct seen *s, struct store_dump *ret)
{
    char path[160];
    struct err err = {{0}};
    *s = (struct seen){.count = 0};
    fixture_volume_path(f, volume, path);
    int r = store_dump(path, f->options.io, seen_row, s, ret, &err);
    if (r != 0)
        fail_msg("store_dump: %d: %s", r, err.text);
    assert_int_equal(ret->bytes_done, ret->bytes);
}

static void filled(struct fixture *f)
{
    struct digest a = {{7}};
    fixture_new(f);
    fixture_open(f);
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(fixture_put_seed(f->worker, i, SIZE), 0);
    assert_int_equal(fixture_ref_put(f->worker, "film", &a, 0), 0);
    assert_int_equal(fixture_ref_put(f->worker, "gone", &a, 0), 0);
    assert_int_equal(fixture_ref_delete(f->worker, "gone"), 0);
    assert_int_equal(store_settle(f->store), 0);
    fixture_close(f);
}

static void dump_test_all(void **state)
{
    (void)state;
    struct fixture f;
    struct seen s;
    struct store_dump d;
    struct digest want;
    filled(&f);
    dump(&f, 1, &s, &d);
    assert_int_equal(d.volume, 1);
    assert_int_equal(d.bytes, 1 << 20);
    assert_int_equal(d.damaged, 0);
    assert_int_equal(d.records, 6);
    assert_int_equal(s.count, 8); /* where gone's first move was is a hole; the rest is free */
    for (uint64_t i = 0; i < 4; i++) {
        rbuf_unref(fixture_blob(i, SIZE, &want));
        assert_int_equal(s.rows[i].state, STORE_DUMP_OK);
        assert_int_equal(s.rows[i].kind, STORE_DUMP_BLOB);
        assert_int_equal(s.rows[i].length, SIZE);
        assert_true(digest_eq(&s.rows[i].digest, &want));
        assert_int_equal(s.rows[i].epoch, 1);
    }
    assert_int_equal(s.rows[4].kind, STORE_DUMP_REF);
    assert_string_equal(s.rows[4].name, "film");
    assert_int_equal(s.rows[4].ref.generation, 1);
    assert_int_equal(s.rows[4].ref.presentation.bytes[0], 7);
    assert_int_equal(s.rows[5].state, STORE_DUMP_HOLE);
    assert_int_equal(s.rows[6].kind, STORE_DUMP_REF_GONE);
    assert_string_equal(s.rows[6].name, "gone");
    assert_int_equal(s.rows[6].ref.generation, 2);
    assert_int_equal(s.rows[7].state, STORE_DUMP_FREE);
    fixture_free(&f);
}

/* A head, a payload, and the volume's own header: each costs what it hits. */
static void dump_test_damaged(void **state)
{
    (void)state;
    struct fixture f;
    struct seen s;
    struct store_dump d;
    char path[160];
    uint32_t size = format_record_size(SIZE);
    filled(&f);
    fixture_volume_path(&f, 1, path);
    fixture_flip(path, FORMAT_RECORDS + 1 * size + 9, 4);
    fixture_flip(path, FORMAT_RECORDS + 2 * size + size / 2, 32);
    dump(&f, 1, &s, &d);
    assert_int_equal(d.damaged, 2);
    assert_int_equal(d.records, 4);
    assert_int_equal(s.rows[0].state, STORE_DUMP_OK);
    assert_int_equal(s.rows[1].state, STORE_DUMP_HEADER);
    assert_int_equal(s.rows[1].size, size);
    assert_int_equal(s.rows[2].state, STORE_DUMP_PAYLOAD);
    assert_int_equal(s.rows[2].length, SIZE);
    assert_int_equal(s.rows[3].state, STORE_DUMP_OK);
    assert_false(d.damaged_header);
    fixture_flip(path, 33, 1);
    dump(&f, 1, &s, &d);
    assert_true(d.damaged_header);
    assert_int_equal(d.records, 4);
    fixture_free(&f);
}

/* A whole record of an older run behind the last one. */
static void dump_test_left(void **state)
{
    (void)state;
    struct fixture f;
    struct seen s;
    struct store_dump d;
    char path[160];
    uint8_t bytes[FORMAT_ALIGN];
    uint32_t size;
    filled(&f);
    dump(&f, 1, &s, &d);
    struct format_record head = {.kind = FORMAT_BLOB,
                                 .length = 1000,
                                 .volume = 1,
                                 .epoch = 1,
                                 .sequence = 0,
                                 .offset = s.rows[s.count - 1].offset};
    struct rbuf *b = fixture_blob(9, 1000, &head.digest);
    format_record_fill(rbuf_data(b, &size), 1000, bytes);
    format_record_place(&head, bytes);
    rbuf_unref(b);
    fixture_volume_path(&f, 1, path);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, sizeof bytes, (off_t)head.offset), sizeof bytes);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(close(fd), 0);
    dump(&f, 1, &s, &d);
    assert_int_equal(s.rows[7].state, STORE_DUMP_LEFT);
    assert_int_equal(s.rows[7].offset, head.offset);
    assert_int_equal(s.rows[8].state, STORE_DUMP_FREE);
    fixture_free(&f);
}

static void dump_test_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct store_dump d;
    struct seen s = {.stop_at = 2};
    struct err err = {{0}};
    char path[160];
    filled(&f);
    fixture_volume_path(&f, 1, path);
    assert_int_equal(store_dump(path, f.options.io, seen_row, &s, &d, &err), -EINTR);
    assert_int_equal(s.count, 2);
    (void)snprintf(path, sizeof path, "%s/absent", f.folder);
    assert_int_equal(store_dump(path, f.options.io, seen_row, &s, &d, &err), -ENOENT);
    assert_int_equal(file_write(path, STR("short"), 0644), 0);
    assert_int_equal(store_dump(path, f.options.io, seen_row, &s, &d, &err), -EBADMSG);
    (void)snprintf(path, sizeof path, "%s/index/data.mdb", f.path);
    assert_int_equal(store_dump(path, f.options.io, seen_row, &s, &d, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "it is not a Weir volume"));
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dump_test_all),
        cmocka_unit_test(dump_test_damaged),
        cmocka_unit_test(dump_test_left),
        cmocka_unit_test(dump_test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
