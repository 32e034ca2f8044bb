/* SPDX-License-Identifier: Apache-2.0 */
/* Bits that flip on disk: never served, counted, repaired by the next put. */
#include "store/store.h"
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include "store/format.h"
#include "store_fixture.h"

#define SIZE 200000u /* four blocks */

static uint64_t damaged(struct fixture *f)
{
    struct store_stat stat;
    store_stat(f->store, &stat);
    return stat.damaged;
}

static void damage_one(struct fixture *f, uint64_t at, uint8_t mask)
{
    char path[160];
    struct digest d;
    fixture_new(f);
    fixture_open(f);
    assert_int_equal(fixture_put_seed(f->worker, 1, SIZE), 0);
    assert_int_equal(fixture_put_seed(f->worker, 2, 10), 0);
    fixture_volume_path(f, 1, path);
    fixture_flip(path, FORMAT_RECORDS + at, mask);
    assert_int_equal(fixture_get_seed(f->worker, 1, SIZE), -EBADMSG);
    assert_int_equal(damaged(f), 1);
    rbuf_unref(fixture_blob(1, SIZE, &d));
    /* The quarantine is on its way through the committer, and before this put. */
    assert_int_equal(fixture_put_seed(f->worker, 3, 10), 0);
    assert_false(store_has(f->worker, &d));
    assert_int_equal(fixture_get_seed(f->worker, 1, SIZE), -EBADMSG);
    assert_int_equal(damaged(f), 1); /* known: not read again */
    assert_int_equal(fixture_get_seed(f->worker, 2, 10), 0);
    fixture_close(f);
    fixture_open(f);
    assert_int_equal(fixture_get_seed(f->worker, 1, SIZE), -EBADMSG);
    assert_int_equal(fixture_put_seed(f->worker, 1, SIZE), 0);
    assert_true(store_has(f->worker, &d));
    assert_int_equal(fixture_get_seed(f->worker, 1, SIZE), 0);
    struct store_stat stat;
    store_stat(f->store, &stat);
    assert_int_equal(stat.blobs, 3);
    assert_int_equal(stat.blob_bytes, SIZE + 20);
    fixture_free(f);
}

static void damage_test_every_part(void **state)
{
    (void)state;
    struct fixture f;
    uint32_t payload = format_payload_offset(SIZE);
    const uint64_t places[] = {
        0,       /* magic */ 4,     /* version */ 8, /* digest */
        24,      /* length */ 32,   /* volume */ 40, /* offset */
        56,      /* checksum */ 64,                  /* the sum of the first block */
        88,                                          /* and of the last */
        payload, payload + 65536,   payload + SIZE - 1,
    };
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        damage_one(&f, places[i], (uint8_t)(1u << (i % 8)));
}

/* A put of what is damaged and not yet known to be: the comparison finds it out. */
static void damage_test_found_by_put(void **state)
{
    (void)state;
    struct fixture f;
    char path[160];
    fixture_new(&f);
    fixture_open(&f);
    assert_int_equal(fixture_put_seed(f.worker, 1, SIZE), 0);
    fixture_volume_path(&f, 1, path);
    fixture_flip(path, FORMAT_RECORDS + 1000, 0x80);
    assert_int_equal(fixture_put_seed(f.worker, 1, SIZE), 0);
    assert_int_equal(fixture_get_seed(f.worker, 1, SIZE), 0);
    fixture_free(&f);
}

static void damage_test_cut_volume(void **state)
{
    (void)state;
    struct fixture f;
    char path[160];
    fixture_new(&f);
    fixture_open(&f);
    assert_int_equal(fixture_put_seed(f.worker, 1, SIZE), 0);
    fixture_volume_path(&f, 1, path);
    assert_int_equal(truncate(path, FORMAT_RECORDS + 8192), 0);
    assert_int_equal(fixture_get_seed(f.worker, 1, SIZE), -EBADMSG);
    assert_int_equal(damaged(&f), 1);
    fixture_free(&f);
}

/* A record in the wrong place is not the blob, however whole it is. */
static void damage_test_misplaced(void **state)
{
    (void)state;
    struct fixture f;
    char path[160];
    uint8_t a[4096], b[4096];
    fixture_new(&f);
    fixture_open(&f);
    assert_int_equal(fixture_put_seed(f.worker, 1, 1000), 0);
    assert_int_equal(fixture_put_seed(f.worker, 2, 1000), 0);
    fixture_volume_path(&f, 1, path);
    FILE *file = fopen(path, "r+e");
    assert_non_null(file);
    assert_int_equal(fseek(file, 4096, SEEK_SET), 0);
    assert_int_equal(fread(a, 4096, 1, file), 1);
    assert_int_equal(fread(b, 4096, 1, file), 1);
    assert_int_equal(fseek(file, 4096, SEEK_SET), 0);
    assert_int_equal(fwrite(b, 4096, 1, file), 1);
    assert_int_equal(fwrite(a, 4096, 1, file), 1);
    assert_int_equal(fflush(file), 0);
    assert_int_equal(fsync(fileno(file)), 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(fixture_get_seed(f.worker, 1, 1000), -EBADMSG);
    assert_int_equal(fixture_get_seed(f.worker, 2, 1000), -EBADMSG);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage_test_every_part),
        cmocka_unit_test(damage_test_found_by_put),
        cmocka_unit_test(damage_test_cut_volume),
        cmocka_unit_test(damage_test_misplaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
