/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/pack.h"
#include <pthread.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>
#include "../../unit.h"

static void test_choose(void **state)
{
    static const struct {
        const char *header;
        enum pack kind;
    } cases[] = {
        {NULL, PACK_NONE},
        {"", PACK_NONE},
        {"gzip", PACK_GZIP},
        {"gzip, deflate, br", PACK_GZIP},
        {"gzip, zstd", PACK_ZSTD},
        {"GZip;q=1.0", PACK_GZIP},
        {"gzip;q=0", PACK_NONE},
        {"gzip;q=0.9, zstd;q=0.5", PACK_GZIP},
        {"zstd;q=0.001", PACK_ZSTD},
        {"*", PACK_GZIP},
        {"*;q=0", PACK_NONE},
        {"gzip;q=0, *", PACK_NONE},
        {"identity", PACK_NONE},
        {",,;q=,gzip;", PACK_GZIP},
        {"gzip ; q=0.000", PACK_NONE},
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
        if (pack_choose(str_of(cases[i].header)) != cases[i].kind)
            fail_msg("%s", cases[i].header);
}

static bool unpacks(enum pack kind, struct str in, char *out, size_t size)
{
    if (kind == PACK_ZSTD)
        return ZSTD_decompress(out, size, in.data, in.size) == size;
    z_stream z = {.next_in = (Bytef *)(uintptr_t)in.data,
                  .avail_in = (uInt)in.size,
                  .next_out = (Bytef *)out,
                  .avail_out = (uInt)size};
    bool good = inflateInit2(&z, 15 + 16) == Z_OK && inflate(&z, Z_FINISH) == Z_STREAM_END;
    (void)inflateEnd(&z);
    return good && z.total_out == size;
}

/* The first size that did not come back; 0: all did. cmocka's checks are the main thread's. */
static void *pack_all(void *arg)
{
    char text[20000], back[20000];
    size_t *failed = arg;
    for (unsigned i = 0; i < sizeof text; i++)
        text[i] = "abcdefgh"[(i * i / 7) % 8];
    for (size_t size = 1; size <= sizeof text; size = 3 * size + 1)
        for (unsigned kind = PACK_GZIP; kind <= PACK_ZSTD; kind++) {
            CLEAN_BUF struct buf out = BUF_EMPTY;
            if (pack_bytes((enum pack)kind, (struct str){text, size}, &out) < 0 ||
                !unpacks((enum pack)kind, buf_str(&out), back, size) ||
                memcmp(text, back, size) != 0) {
                *failed = size;
                return NULL;
            }
        }
    return NULL;
}

/* Each thread has tools of its own, and they end with it. */
static void test_threads(void **state)
{
    pthread_t threads[4];
    size_t failed[4] = {0};
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, pack_all, &failed[i]), 0);
    for (unsigned i = 0; i < ARRAY_LEN(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(failed[i], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choose),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
