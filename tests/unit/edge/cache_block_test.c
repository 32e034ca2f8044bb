/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/cache_block.h"
#include <errno.h>
#include "../unit.h"

#define KIB UINT32_C(1024)

static void a_body_is_cut_into_blocks(void **state)
{
    (void)state;
    assert_int_equal(cache_blocks_count(0, 64 * KIB), 0);
    assert_int_equal(cache_blocks_count(1, 64 * KIB), 1);
    assert_int_equal(cache_blocks_count(64 * KIB, 64 * KIB), 1);
    assert_int_equal(cache_blocks_count(64 * KIB + 1, 64 * KIB), 2);
    assert_int_equal(cache_blocks_count(UINT64_C(50) << 30, 1024 * KIB), 51200);
    assert_int_equal(cache_blocks_count(UINT64_MAX - 1, 64 * KIB), UINT32_MAX);
    assert_int_equal(cache_block_length(100, 64 * KIB, 0), 100);
    assert_int_equal(cache_block_length(64 * KIB + 1, 64 * KIB, 0), 64 * KIB);
    assert_int_equal(cache_block_length(64 * KIB + 1, 64 * KIB, 1), 1);
    assert_int_equal(cache_block_of(64 * KIB - 1, 64 * KIB), 0);
    assert_int_equal(cache_block_of(64 * KIB, 64 * KIB), 1);
    assert_true(cache_block_start(51199, 1024 * KIB) == (UINT64_C(51199) << 20));
}

static void check_ask(const char *range, bool asks, uint64_t first, uint64_t last)
{
    uint64_t is_first = 7, is_last = 7;
    struct str text = range == NULL ? STR_NONE : str_of(range);
    bool is = cache_block_ask(text, 1000, &is_first, &is_last);
    assert_int_equal(is, asks);
    assert_true(is_first == (asks ? first : 7));
    assert_true(is_last == (asks ? last : 7));
}

static void a_range_is_asked_for_in_whole_blocks(void **state)
{
    (void)state;
    check_ask("bytes=0-0", true, 0, 999);
    check_ask("bytes=0-999", true, 0, 999);
    check_ask("bytes=999-1000", true, 0, 1999);
    check_ask("bytes=1000-1999", true, 1000, 1999);
    check_ask("bytes=5500-5501", true, 5000, 5999);
    check_ask("bytes=5500-", true, 5000, CACHE_END_OPEN);
    check_ask("bytes=-500", true, 0, 999);                    /* tells the size */
    check_ask("bytes=2500-2600,9000-9001", true, 2000, 2999); /* the others are found missing */
}

static void without_one_that_counts_all_is_asked_for(void **state)
{
    (void)state;
    check_ask(NULL, false, 0, 0);
    check_ask("bytes=0-", false, 0, 0);
    check_ask("bytes=500-", false, 0, 0);
    check_ask("items=0-5", false, 0, 0);
    check_ask("bytes=9-5", false, 0, 0);
    check_ask("nonsense", false, 0, 0);
}

static void content_range_is_read_strictly(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "bytes",
        "bytes 0-99",
        "bytes 0-99/*",
        "bytes */100",
        "bytes 9-5/10",
        "bytes 0-100/100",
        "items 0-9/10",
        "bytes -5/10",
        "bytes 5-/10",
        "bytes a-b/c",
        "bytes 0-9/10x",
        "bytes=0-9/10",
        "bytes 0-9/99999999999999999999",
    };
    uint64_t first = 7, last = 7, size = 7;
    assert_int_equal(cache_block_content_range(STR("bytes 5-99/200"), &first, &last, &size), 0);
    assert_true(first == 5 && last == 99 && size == 200);
    assert_int_equal(cache_block_content_range(STR(" Bytes 0-0/1 "), &first, &last, &size), 0);
    assert_true(first == 0 && last == 0 && size == 1);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(cache_block_content_range(str_of(bad[i]), &first, &last, &size), -EINVAL);
    assert_true(first == 0 && last == 0 && size == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_is_cut_into_blocks),
        cmocka_unit_test(a_range_is_asked_for_in_whole_blocks),
        cmocka_unit_test(without_one_that_counts_all_is_asked_for),
        cmocka_unit_test(content_range_is_read_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
