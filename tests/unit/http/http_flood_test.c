/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_flood.h"
#include <errno.h>
#include <string.h>
#include "../unit.h"

static struct http_frame frame_of(enum http_frame_type type, uint8_t flags, uint32_t length)
{
    return (struct http_frame){.type = type, .flags = flags, .length = length, .amount = length};
}

static void test_frames_are_read(void **state)
{
    (void)state;
    struct http_frame f;
    static const uint8_t window[] = {0, 0, 4, 8, 0, 0x80, 0, 0, 5, 0x80, 0, 1, 2};
    for (size_t i = 0; i < sizeof window; i++)
        assert_int_equal(http_frame_read(window, i, &f), -EAGAIN);
    assert_int_equal(http_frame_read(window, sizeof window, &f), 0);
    assert_int_equal(f.type, HTTP_FRAME_WINDOW_UPDATE);
    assert_int_equal(f.stream, 5); /* without the reserved bit, and so the increment */
    assert_int_equal(f.amount, 0x102);
    static const uint8_t padded[] = {0, 0, 5, 0, 8, 0, 0, 0, 1, 3, 'x', 0, 0, 0};
    assert_int_equal(http_frame_read(padded, sizeof padded, &f), 0);
    assert_int_equal(f.amount, 1);
    static const uint8_t overpadded[] = {0, 0, 2, 0, 8, 0, 0, 0, 1, 9, 'x'};
    assert_int_equal(http_frame_read(overpadded, sizeof overpadded, &f), 0);
    assert_int_equal(f.amount, 0);
    static const uint8_t head[] = {0, 0, 9, 1, 0x28, 0, 0, 0, 1, 1, 0, 0, 0, 0, 16, 0x82, 0x84, 0};
    assert_int_equal(http_frame_read(head, sizeof head, &f), 0);
    assert_ptr_equal(f.fields, head + 15); /* behind the padding's length and the priority */
    assert_int_equal(f.fields_size, 2);
    static const uint8_t strange[] = {0, 0, 0, 0xbe, 0, 0, 0, 0, 0};
    assert_int_equal(http_frame_read(strange, sizeof strange, &f), 0);
    assert_int_equal(f.type, HTTP_FRAME_OTHER);
}

/* How many of a frame pass within a window. */
static unsigned passes(struct http_frame frame, uint64_t sent_each)
{
    struct http_flood f = {.header_size_max = 32768};
    unsigned n = 0;
    while (n < 100000 && http_flood_frame(&f, &frame, 1000, n * sent_each) == HTTP_FLOOD_NONE)
        n++;
    return n;
}

static void test_floods_end(void **state)
{
    (void)state;
    assert_int_equal(passes(frame_of(HTTP_FRAME_RST_STREAM, 0, 4), 0), HTTP_RESETS_MAX);
    assert_int_equal(passes(frame_of(HTTP_FRAME_SETTINGS, 0, 6), 0), HTTP_SETTINGS_MAX);
    assert_int_equal(passes(frame_of(HTTP_FRAME_PING, 0, 8), 0), HTTP_PINGS_MAX);
    assert_int_equal(passes(frame_of(HTTP_FRAME_PRIORITY, 0, 5), 0), HTTP_PRIORITY_MAX);
    assert_int_equal(passes(frame_of(HTTP_FRAME_DATA, 0, 0), 0), HTTP_EMPTY_MAX);
    assert_int_equal(passes(frame_of(HTTP_FRAME_OTHER, 0, 0), 0), HTTP_OTHERS_MAX);
    assert_int_equal(passes(frame_of(HTTP_FRAME_GOAWAY, 0, 8), 0), HTTP_OTHERS_MAX);
    assert_int_equal(passes(frame_of(HTTP_FRAME_CONTINUATION, 0, 0), 0), HTTP_CONTINUES_MAX);
    assert_int_equal(passes(frame_of(HTTP_FRAME_WINDOW_UPDATE, 0, 4), 0), HTTP_WINDOWS_MAX);
    struct http_frame zero = frame_of(HTTP_FRAME_WINDOW_UPDATE, 0, 4);
    zero.amount = 0;
    assert_int_equal(passes(zero, 0), HTTP_RESETS_MAX);
}

static void test_use_is_no_flood(void **state)
{
    (void)state;
    assert_int_equal(passes(frame_of(HTTP_FRAME_DATA, 0, 1000), 0), 100000);
    assert_int_equal(passes(frame_of(HTTP_FRAME_DATA, HTTP_FRAME_END_STREAM, 0), 0), 100000);
    assert_int_equal(passes(frame_of(HTTP_FRAME_HEADERS, HTTP_FRAME_END_HEADERS, 30), 0), 100000);
    /* Each small window is explained by what was sent. */
    assert_int_equal(passes(frame_of(HTTP_FRAME_WINDOW_UPDATE, 0, 500), 500), 100000);
    struct http_frame large = frame_of(HTTP_FRAME_WINDOW_UPDATE, 0, 4);
    large.amount = 65536;
    assert_int_equal(passes(large, 0), 100000);
}

static void test_windows_of_time(void **state)
{
    (void)state;
    struct http_flood f = {.header_size_max = 32768};
    struct http_frame reset = frame_of(HTTP_FRAME_RST_STREAM, 0, 4);
    for (unsigned i = 0; i < 10 * HTTP_RESETS_MAX; i++) { /* as many as may be, for ever */
        uint64_t now = 5 + i / HTTP_RESETS_MAX * (uint64_t)HTTP_FLOOD_MS;
        assert_int_equal(http_flood_frame(&f, &reset, now, 0), HTTP_FLOOD_NONE);
    }
    assert_true(http_flood_reset(&f, f.since_ms + 1)); /* made ones count with them */
    assert_false(http_flood_reset(&f, f.since_ms + HTTP_FLOOD_MS));
}

static void test_blocks(void **state)
{
    (void)state;
    struct http_flood f = {.header_size_max = 1000};
    struct http_frame head = frame_of(HTTP_FRAME_HEADERS, 0, 600);
    struct http_frame more = frame_of(HTTP_FRAME_CONTINUATION, HTTP_FRAME_END_HEADERS, 400);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(http_flood_frame(&f, &head, 1, 0), HTTP_FLOOD_NONE);
        assert_int_equal(http_flood_frame(&f, &more, 1, 0), HTTP_FLOOD_NONE);
        assert_int_equal(f.block_frames, 0);
    }
    assert_int_equal(http_flood_frame(&f, &head, 1, 0), HTTP_FLOOD_NONE);
    more.length = 401;
    assert_int_equal(http_flood_frame(&f, &more, 1, 0), HTTP_FLOOD_HEADERS);
}

/* The fields of one block, handed over in pieces of each size. */
static void check_fields(const uint8_t *data, size_t size, uint32_t count, bool good)
{
    for (size_t piece = 1; piece <= size; piece++) {
        struct http_fields f = {0};
        bool all = true;
        for (size_t i = 0; all && i < size; i += piece)
            all = http_fields_walk(&f, data + i, MIN(piece, size - i));
        assert_int_equal(all, good);
        if (good)
            assert_int_equal(f.count, count);
    }
}

static void test_fields_are_counted(void **state)
{
    (void)state;
    static const uint8_t plain[] = {
        0x82, 0x84,                       /* two of the static table */
        0x3f, 0xe1, 0x1f,                 /* a new size of the table: no field */
        0x40, 1,    'x',  2,    'y', 'z', /* a new name */
        0x0f, 0x10, 0x81, 0xff,           /* a name by an index of two bytes, Huffman */
        0x00, 0,    0,                    /* both empty */
        0xff, 0x80, 0x01,                 /* an index of three bytes */
        0x10, 1,    'a',  0x7f, 1,        /* a value of 128 bytes */
    };
    uint8_t data[sizeof plain + 128];
    memcpy(data, plain, sizeof plain);
    memset(data + sizeof plain, 0x82, 128); /* inside of a string nothing counts */
    check_fields(data, sizeof data, 7, true);
    uint8_t bomb[HTTP_FIELDS_MAX + 1];
    memset(bomb, 0xbe, sizeof bomb);
    struct http_fields f = {0};
    assert_true(http_fields_walk(&f, bomb, HTTP_FIELDS_MAX));
    assert_false(http_fields_walk(&f, bomb, 1));
    static const uint8_t endless[] = {0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
    check_fields(endless, sizeof endless, 0, false);
}

static void test_keys(void **state)
{
    (void)state;
    struct http_flood f = {.header_size_max = 32768};
    for (unsigned round = 0; round < 2; round++) {
        uint64_t now_ms = 1000 + round * (uint64_t)HTTP_FLOOD_MS;
        for (unsigned i = 0; i < HTTP_KEYS_MAX; i++)
            assert_false(http_flood_key(&f, now_ms));
    }
    assert_true(http_flood_key(&f, 1000 + HTTP_FLOOD_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_frames_are_read),
        cmocka_unit_test(test_floods_end),
        cmocka_unit_test(test_use_is_no_flood),
        cmocka_unit_test(test_windows_of_time),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_fields_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
