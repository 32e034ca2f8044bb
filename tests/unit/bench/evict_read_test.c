/* SPDX-License-Identifier: Apache-2.0 */
#include "evict_read.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>
#include "../unit.h"
#include "base/buf.h"
#include "base/file.h"

/* Feeds in pieces of this size; the sentence, "" when all is well. */
static int feed(enum evict_format format, const void *data, size_t size, size_t piece,
                struct evict_trace *t, char why[EVICT_WHY_SIZE])
{
    CLEAN(evict_read_free) struct evict_read *r = NULL;
    *t = (struct evict_trace){0};
    assert_int_equal(evict_read_new(format, t, &r), 0);
    int res = 0;
    for (size_t at = 0; res == 0 && at < size; at += piece)
        res = evict_read_feed(r, (const char *)data + at, MIN(piece, size - at));
    if (res == 0)
        res = evict_read_end(r);
    memcpy(why, evict_read_why(r), EVICT_WHY_SIZE);
    return res;
}

static void csv_is(const char *text, const char *wanted)
{
    static const size_t pieces[] = {1, 3, 1000};
    for (unsigned i = 0; i < ARRAY_LEN(pieces); i++) {
        struct evict_trace t;
        char why[EVICT_WHY_SIZE], got[256] = "";
        int r = feed(EVICT_CSV, text, strlen(text), pieces[i], &t, why);
        if (r < 0) {
            assert_int_equal(r, -EBADMSG);
            (void)snprintf(got, sizeof got, "%s", why);
        }
        for (uint32_t n = 0; r == 0 && n < t.requests_count; n++)
            (void)snprintf(got + strlen(got), sizeof got - strlen(got), "%u:%u ", t.requests[n],
                           t.sizes[t.requests[n]]);
        assert_string_equal(got, wanted);
        evict_trace_free(&t);
    }
}

static void read_test_csv(void **state)
{
    (void)state;
    csv_is("1,a,10\n2,b,20\n3,a,10\n", "0:10 1:20 0:10 ");
    csv_is("time,id,size\r\n# by hand\r\n\r\n1.5, a , 10 \r\n2,a,99", "0:10 0:10 ");
    csv_is("1,a,0\n", "0:1 ");
    csv_is("", "it has no requests");
    csv_is("time,id,size\n", "it has no requests");
    csv_is("1,a\n", "line 1 is not time,id,size");
    csv_is("1,a,5\n1,,5\n", "line 2 is not time,id,size");
    csv_is("1,a,5\n1,b,-5\n", "line 2 is not time,id,size");
    csv_is("1,a,5,6\n", "line 1 is not time,id,size");
    csv_is("1,a,5000000000\n", "line 1 has a size of more than 4 GiB");
}

static void read_test_csv_long(void **state)
{
    (void)state;
    struct evict_trace t;
    char why[EVICT_WHY_SIZE], line[EVICT_LINE_MAX + 10];
    memset(line, '1', sizeof line);
    assert_int_equal(feed(EVICT_CSV, line, sizeof line, 100, &t, why), -EBADMSG);
    assert_string_equal(why, "line 1 is longer than 4096 bytes");
    evict_trace_free(&t);
}

static void record(struct buf *out, uint64_t id, uint32_t size, int64_t next)
{
    uint32_t time = 7;
    buf_put(out, &time, sizeof time); /* this host is little-endian, as the format is */
    buf_put(out, &id, sizeof id);
    buf_put(out, &size, sizeof size);
    buf_put(out, &next, sizeof next);
}

static void read_test_oracle(void **state)
{
    (void)state;
    CLEAN_BUF struct buf b = BUF_EMPTY;
    record(&b, UINT64_MAX, 100, 2);
    record(&b, 1, 200, -1);
    record(&b, UINT64_MAX, 100, INT64_MAX);
    assert_int_equal(b.size, 3 * EVICT_RECORD_SIZE);
    for (size_t piece = 1; piece < 80; piece += 13) {
        struct evict_trace t;
        char why[EVICT_WHY_SIZE];
        assert_int_equal(feed(EVICT_ORACLE, b.data, b.size, piece, &t, why), 0);
        assert_int_equal(t.requests_count, 3);
        assert_int_equal(t.objects_count, 2);
        assert_int_equal(t.requests[2], t.requests[0]);
        assert_int_equal(t.sizes[1], 200);
        evict_trace_free(&t);
        assert_int_equal(feed(EVICT_ORACLE, b.data, b.size - 1, piece, &t, why), -EBADMSG);
        assert_string_equal(why, "it ends 23 bytes into record 3");
        evict_trace_free(&t);
        /* A byte too much at the front: nothing fits any more. */
        assert_int_equal(feed(EVICT_ORACLE, b.data + 1, b.size - 1, piece, &t, why), -EBADMSG);
        evict_trace_free(&t);
    }
    record(&b, 1, 200, 3);
    struct evict_trace t;
    char why[EVICT_WHY_SIZE];
    assert_int_equal(feed(EVICT_ORACLE, b.data, b.size, 1000, &t, why), -EBADMSG);
    assert_string_equal(why, "record 4 has its next request before itself");
    evict_trace_free(&t);
}

static void read_test_ids(void **state)
{
    (void)state;
    CLEAN_BUF struct buf b = BUF_EMPTY;
    for (unsigned round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < 20000; i++)
            record(&b, i << 32, (uint32_t)i + 1, INT64_MAX);
    }
    struct evict_trace t;
    char why[EVICT_WHY_SIZE];
    assert_int_equal(feed(EVICT_ORACLE, b.data, b.size, 4096, &t, why), 0);
    assert_int_equal(t.objects_count, 20000);
    for (uint32_t i = 0; i < 40000; i++)
        assert_int_equal(t.sizes[t.requests[i]], i % 20000 + 1);
    evict_trace_free(&t);
}

static int read_bytes(const char *folder, const char *name, struct str bytes, char *why)
{
    struct evict_trace t = {0};
    CLEAN(base_free) char *path = file_join(folder, name);
    assert_non_null(path);
    assert_int_equal(file_write(path, bytes, 0600), 0);
    int r = evict_read_file(path, &t, why);
    if (r == 0)
        assert_int_equal(t.requests_count, 3);
    evict_trace_free(&t);
    return r;
}

static void read_test_files(void **state)
{
    (void)state;
    char folder[] = "/tmp/evict-read-XXXXXX", why[EVICT_WHY_SIZE] = "";
    struct evict_trace t = {0};
    assert_non_null(mkdtemp(folder));
    struct str csv = STR("1,a,10\n2,b,20\n3,a,10\n");
    char packed[256];
    size_t size = ZSTD_compress(packed, sizeof packed, csv.data, csv.size, 3);
    assert_false(ZSTD_isError(size));
    assert_int_equal(read_bytes(folder, "a.csv", csv, why), 0);
    assert_int_equal(read_bytes(folder, "a.csv.zst", (struct str){packed, size}, why), 0);
    assert_int_equal(read_bytes(folder, "b.csv.zst", (struct str){packed, size - 1}, why),
                     -EBADMSG);
    assert_string_equal(why, "its zstd data ends in the middle of a frame");
    assert_int_equal(read_bytes(folder, "c.csv.zst", csv, why), -EBADMSG);
    assert_non_null(strstr(why, "its zstd data is damaged"));
    assert_int_equal(read_bytes(folder, "a.txt", csv, why), -EINVAL);
    assert_int_equal(evict_read_file("/none/a.csv", &t, why), -ENOENT);
    assert_string_equal(why, "No such file or directory");
    evict_trace_free(&t);
    assert_int_equal(file_remove_all(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_test_csv),    cmocka_unit_test(read_test_csv_long),
        cmocka_unit_test(read_test_oracle), cmocka_unit_test(read_test_ids),
        cmocka_unit_test(read_test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
