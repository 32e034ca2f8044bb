/* SPDX-License-Identifier: Apache-2.0 */
/* Records of the shared cache, and Content-Range and Range as the cache reads them: what is taken
 * is written and read again the same. */
#include "edge/cache_object.h"
#include "fuzz.h"

static void check_record(const struct digest *key, struct str record)
{
    struct cache_object *o = NULL, *again = NULL;
    if (cache_object_decode(key, record, &o) < 0)
        return;
    CLEAN_BUF struct buf one = BUF_EMPTY;
    CLEAN_BUF struct buf two = BUF_EMPTY;
    cache_object_encode(o, &one);
    ASSERT(buf_error(&one) == 0);
    ASSERT(cache_object_decode(key, buf_str(&one), &again) == 0);
    cache_object_encode(again, &two);
    ASSERT(buf_error(&two) == 0 && str_eq(buf_str(&one), buf_str(&two)));
    cache_object_unref(o);
    cache_object_unref(again);
}

static void check_ranges(struct str text)
{
    uint64_t first, last, size;
    if (cache_block_content_range(text, &first, &last, &size) == 0)
        ASSERT(first <= last && last < size);
    if (cache_block_ask(text, CACHE_BLOCK_SIZE_MIN, &first, &last)) {
        ASSERT(first % CACHE_BLOCK_SIZE_MIN == 0 && first <= last);
        ASSERT(last == CACHE_END_OPEN || (last + 1) % CACHE_BLOCK_SIZE_MIN == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct digest key = {{0}};
    struct str text = fuzz_str(data, size);
    if (size > 8 + DIGEST_SIZE) /* where a record names its key */
        memcpy(key.bytes, data + 8, DIGEST_SIZE);
    check_record(&key, text);
    check_ranges(text);
    return 0;
}
