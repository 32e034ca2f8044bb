/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/cache_block.h"
#include <errno.h>
#include "http/http_range.h"

#define CACHE_BLOCK_HUGE (UINT64_C(1) << 62) /* stands for a size that nobody knows yet */

uint32_t cache_blocks_count(uint64_t size, uint32_t block_size)
{
    uint64_t n = size / block_size + (size % block_size != 0);
    return (uint32_t)MIN(n, (uint64_t)UINT32_MAX);
}

uint32_t cache_block_length(uint64_t size, uint32_t block_size, uint32_t block)
{
    uint64_t start = cache_block_start(block, block_size);
    ASSERT(start < size);
    return (uint32_t)MIN((uint64_t)block_size, size - start);
}

bool cache_block_ask(struct str range, uint32_t block_size, uint64_t *ret_first, uint64_t *ret_last)
{
    struct http_range ranges[HTTP_RANGES_MAX];
    unsigned count = 0;
    if (range.data == NULL ||
        http_range_parse(range, CACHE_BLOCK_HUGE, ranges, &count) != HTTP_RANGE_SOME)
        return false;
    const struct http_range *r = &ranges[0];
    if (r->first >= CACHE_BLOCK_HUGE / 2) { /* counted from the end */
        *ret_first = 0;
        *ret_last = block_size - 1;
        return true;
    }
    uint64_t first = r->first - r->first % block_size;
    bool open = r->first + r->size == CACHE_BLOCK_HUGE;
    if (open && first == 0)
        return false;
    uint64_t end = r->first + r->size;
    *ret_last = open ? CACHE_END_OPEN : end + (block_size - end % block_size) % block_size - 1;
    *ret_first = first;
    return true;
}

int cache_block_content_range(struct str value, uint64_t *ret_first, uint64_t *ret_last,
                              uint64_t *ret_size)
{
    uint64_t first, last, size;
    struct str rest, numbers, total;
    if (!str_eq_nocase(str_cut(str_trim(value), ' ', &rest), STR("bytes")))
        return -EINVAL;
    numbers = str_cut(str_trim(rest), '/', &total);
    struct str from = str_cut(numbers, '-', &rest);
    if (str_to_u64(from, &first) < 0 || str_to_u64(rest, &last) < 0 ||
        str_to_u64(str_trim(total), &size) < 0)
        return -EINVAL;
    if (first > last || last >= size || size > CACHE_BLOCK_HUGE)
        return -EINVAL;
    *ret_first = first;
    *ret_last = last;
    *ret_size = size;
    return 0;
}
