/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes as docs/format.md has them, read here by its offsets and not by our structs. */
#include "store/format.h"
#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>
#include "store_fixture.h"

static uint64_t number(const uint8_t *at, unsigned size)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < size; i++)
        v |= (uint64_t)at[i] << (8 * i);
    return v;
}

static void format_test_volume(void **state)
{
    (void)state;
    uint8_t page[4096];
    struct format_volume v = {.id = 7, .size = UINT64_C(1) << 30, .created_ms = 1700000000123}, got;
    struct err err = {{0}};
    memset(v.store_id, 0xab, sizeof v.store_id);
    format_volume_write(&v, page);
    assert_memory_equal(page, "WEIRVOL\0\1\0\0\0\7\0\0\0", 16);
    assert_memory_equal(page + 16, v.store_id, 16);
    assert_int_equal(number(page + 32, 8), 1 << 30);
    assert_int_equal(number(page + 40, 8), 1700000000123);
    assert_int_equal(number(page + 48, 8), 0);
    assert_int_equal(number(page + 56, 8), XXH3_64bits(page, 56));
    for (unsigned i = 64; i < 4096; i++)
        assert_int_equal(page[i], 0);
    assert_int_equal(format_volume_read(page, &got, &err), 0);
    assert_int_equal(got.id, 7);
    assert_memory_equal(got.store_id, v.store_id, 16);
    for (unsigned bit = 0; bit < 64 * 8; bit++) {
        page[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_true(format_volume_read(page, &got, &err) < 0);
        page[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

static uint8_t *record(uint32_t length, struct format_record *ret, uint32_t *ret_size)
{
    *ret = (struct format_record){.kind = FORMAT_BLOB,
                                  .length = length,
                                  .volume = 3,
                                  .epoch = 5,
                                  .sequence = 9,
                                  .offset = 40960};
    struct rbuf *b = fixture_blob(length, length, &ret->digest);
    uint32_t size;
    *ret_size = format_record_size(length);
    uint8_t *bytes = malloc(*ret_size);
    assert_non_null(bytes);
    format_record_fill(rbuf_data(b, &size), length, bytes);
    format_record_place(ret, bytes);
    rbuf_unref(b);
    return bytes;
}

static void format_test_record(void **state)
{
    (void)state;
    const uint32_t lengths[] = {0, 1, 65535, 65536, 65537, 200000, STORE_BLOB_MAX};
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct format_record r, got;
        uint32_t length = lengths[i], n = (length + 65535) / 65536, size;
        uint8_t *x = record(length, &r, &size);
        assert_int_equal(size % 4096, 0);
        assert_in_range(size, 64 + 8 * n + length, 64 + 8 * n + length + 4095);
        assert_memory_equal(x, "WREC\1\0\0\0", 8);
        assert_memory_equal(x + 8, r.digest.bytes, 16);
        assert_int_equal(number(x + 24, 4), length);
        assert_int_equal(number(x + 28, 4), 0);
        assert_int_equal(number(x + 32, 4), 3);
        assert_int_equal(number(x + 36, 4), 5);
        assert_int_equal(number(x + 40, 8), 40960);
        assert_int_equal(number(x + 48, 4), 9);
        assert_int_equal(number(x + 52, 4), 65536);
        uint64_t sum = XXH3_64bits(x, 56);
        assert_int_equal(number(x + 56, 8),
                         n == 0 ? sum : XXH3_64bits_withSeed(x + 64, 8 * n, sum));
        const uint8_t *payload = x + 64 + 8 * n;
        for (uint32_t k = 0; k < n; k++) {
            uint32_t from = k * 65536, of = MIN(65536, length - from);
            assert_int_equal(number(x + 64 + 8 * k, 8), XXH3_64bits(payload + from, of));
        }
        struct digest d = digest_of(payload, length);
        assert_true(digest_eq(&d, &r.digest));
        for (const uint8_t *p = payload + length; p < x + size; p++)
            assert_int_equal(*p, 0);
        assert_int_equal(format_record_read(x, size, &got), 0);
        assert_int_equal(got.sequence, 9);
        assert_int_equal(format_record_check(x, size, &r), 0);
        assert_int_equal(format_record_check(x, size - 4096, &r), -EBADMSG);
        free(x);
    }
}

/* Any single bit, in head, sums or payload. */
static void format_test_flips(void **state)
{
    (void)state;
    struct format_record r;
    uint32_t size, end = 64 + 16 + 70000;
    uint8_t *x = record(70000, &r, &size);
    for (uint32_t bit = 0; bit < end * 8; bit += bit < 80 * 8 ? 1 : 997) {
        x[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        /* Epoch and sequence are the record's own affair, but summed as well. */
        assert_int_equal(format_record_check(x, size, &r), -EBADMSG);
        x[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    assert_int_equal(format_record_check(x, size, &r), 0);
    free(x);
}

static void format_test_wanted(void **state)
{
    (void)state;
    struct format_record r, w;
    uint32_t size;
    uint8_t *x = record(1000, &r, &size);
    w = r;
    w.offset += 4096;
    assert_int_equal(format_record_check(x, size, &w), -EBADMSG);
    w = r;
    w.volume++;
    assert_int_equal(format_record_check(x, size, &w), -EBADMSG);
    w = r;
    w.length--;
    assert_int_equal(format_record_check(x, size, &w), -EBADMSG);
    w = r;
    w.digest.bytes[15] ^= 1;
    assert_int_equal(format_record_check(x, size, &w), -EBADMSG);
    w = r;
    w.kind = FORMAT_REF;
    assert_int_equal(format_record_check(x, size, &w), -EBADMSG);
    assert_int_equal(format_record_read(x, 63, &w), -ENODATA);
    assert_int_equal(format_record_read(x, 71, &w), -ENODATA);
    free(x);
}

static void format_test_ref(void **state)
{
    (void)state;
    uint8_t bytes[FORMAT_REF_MAX + 1] = {0};
    struct store_ref ref = {.generation = 3, .changed_ms = 77}, got;
    struct str name;
    memset(ref.presentation.bytes, 0xcd, 16);
    assert_int_equal(format_ref_write(STR("film-1"), &ref, bytes), 38);
    assert_memory_equal(bytes, ref.presentation.bytes, 16);
    assert_int_equal(number(bytes + 16, 8), 3);
    assert_int_equal(number(bytes + 24, 8), 77);
    assert_memory_equal(bytes + 32, "film-1", 6);
    assert_int_equal(format_ref_read(bytes, 38, &name, &got), 0);
    assert_true(str_eq(name, STR("film-1")));
    assert_int_equal(got.generation, 3);
    assert_int_equal(format_ref_read(bytes, 32, &name, &got), -EBADMSG);
    assert_int_equal(format_ref_read(bytes, 39, &name, &got), -EBADMSG); /* a zero in the name */
    assert_int_equal(format_ref_read(bytes, sizeof bytes, &name, &got), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(format_test_volume), cmocka_unit_test(format_test_record),
        cmocka_unit_test(format_test_flips),  cmocka_unit_test(format_test_wanted),
        cmocka_unit_test(format_test_ref),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
