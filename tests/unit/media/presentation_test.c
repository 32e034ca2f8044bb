/* SPDX-License-Identifier: Apache-2.0 */
#include "media/presentation.h"
#include <errno.h>
#include <stdio.h>
#include "sample.h"

static void presentation_test_round_trip(void **state)
{
    (void)state;
    CLEAN(presentation_free) struct presentation *p = sample_presentation();
    CLEAN(presentation_free) struct presentation *q = NULL;
    CLEAN_BUF struct buf one = BUF_EMPTY;
    CLEAN_BUF struct buf two = BUF_EMPTY;
    struct err err = {0};
    assert_int_equal(presentation_write(p, &one), 0);
    assert_int_equal(presentation_parse(buf_str(&one), &q, &err), 0);
    assert_int_equal(presentation_write(q, &two), 0);
    assert_true(str_eq(buf_str(&one), buf_str(&two)));
    assert_string_equal(q->title, p->title);
    assert_int_equal(q->created_ms, p->created_ms);
    const struct track *t = presentation_find(q, STR("v720"));
    assert_non_null(t);
    assert_int_equal(t->segments_count, 4);
    assert_int_equal(t->segments[3].key_size, 55000);
    assert_int_equal(t->frame_rate_den, 1001);
    assert_null(presentation_find(q, STR("v72")));
    assert_int_equal(q->thumbnails.sheets[1].height, 180);
}

/* The bytes themselves are the contract: they are named by their digest. */
static void presentation_test_bytes(void **state)
{
    (void)state;
    CLEAN(presentation_free) struct presentation *p = NULL;
    assert_int_equal(presentation_new("a", "T\xc3\xa9\"", &p), 0);
    struct track *t = sample_track(p, "a-en", TRACK_AUDIO, "mp4a.40.2", "en", NULL);
    t->channels = 2;
    t->sample_rate = 48000;
    sample_segments(t, 1, 100, 2000);
    CLEAN_BUF struct buf out = BUF_EMPTY;
    assert_int_equal(presentation_write(p, &out), 0);
    assert_string_equal(
        out.data,
        "{\"version\":1,\"asset\":\"a\",\"title\":\"T\xc3\xa9\\\"\",\"duration_ms\":0,"
        "\"segment_ms_target\":0,\"created_ms\":0,\"tracks\":[{\"id\":\"a-en\",\"kind\":\"audio\","
        "\"codec\":\"mp4a.40.2\",\"language\":\"en\",\"name\":null,\"default\":false,"
        "\"timescale\":1000,\"start\":0,\"bandwidth_avg\":400,\"bandwidth_max\":400,\"channels\":2,"
        "\"sample_rate\":48000,\"init\":\"2606675b11a8f50c42b38a56cd67225d\",\"init_size\":700,"
        "\"segments\":[[\"20ae96ee7b2cf24155709834cf97efc4\",100,2000,0]]}]}");
}

/* One edit of a good presentation each; all must be refused, with a reason. */
static const struct {
    const char *from, *to;
} presentation_test_edits[] = {
    {"\"version\":1", "\"version\":2"},
    {"\"version\":1", "\"version\":\"1\""},
    {"\"version\":1,", ""},
    {"\"asset\":\"big.film\"", "\"asset\":\".film\""},
    {"\"asset\":\"big.film\"", "\"asset\":\"a/b\""},
    {"\"asset\":\"big.film\"", "\"asset\":7"},
    {"\"asset\":\"big.film\"", "\"asset\":\"x\",\"asset\":\"y\""},
    {"\"duration_ms\":13263", "\"duration_ms\":-1"},
    {"\"duration_ms\":13263", "\"duration_ms\":1.5"},
    {"\"duration_ms\":13263", "\"duration_ms\":9007199254740993"},
    {"\"id\":\"v720\"", "\"id\":\"v360\""},
    {"\"id\":\"v720\"", "\"id\":\"V720\""},
    {"\"id\":\"v720\"", "\"id\":\"\""},
    {"\"id\":\"v720\"", "\"id\":\"a/b\""},
    {"\"id\":\"v720\"", "\"id\":\"123456789012345678901234567890123\""},
    {"\"kind\":\"video\"", "\"kind\":\"smell\""},
    {"\"codec\":\"avc1.64001f\"", "\"codec\":\"avc1\\\"\\n\""},
    {"\"codec\":\"avc1.64001f\"", "\"codec\":null"},
    {"\"language\":\"en\"", "\"language\":\"e n\""},
    {"\"language\":\"en\"", "\"language\":[]"},
    {"\"default\":true", "\"default\":1"},
    {"\"timescale\":24000", "\"timescale\":0"},
    {"\"timescale\":24000", "\"timescale\":4294967296"},
    {"\"start\":0", "\"start\":-4"},
    {"\"width\":1280", "\"width\":0"},
    {"\"width\":1280", "\"width\":70000"},
    {"\"frame_rate\":[24000,1001]", "\"frame_rate\":[24000]"},
    {"\"frame_rate\":[24000,1001]", "\"frame_rate\":[24000,0]"},
    {"\"channels\":2", "\"channels\":0"},
    {"\"init_size\":700", "\"init_size\":0"},
    {"\"init_size\":700", "\"init_size\":67108865"},
    {"\"init\":\"", "\"init\":\"z"},
    {",1100000,96096,275000]", ",1100000,96096]"},
    {",1100000,96096,275000]", ",1100000,96096,275000,0]"},
    {",1100000,96096,275000]", ",1100000,0,275000]"},
    {",1100000,96096,275000]", ",0,96096,0]"},
    {",1100000,96096,275000]", ",1100000,96096,1100001]"},
    {",1100000,96096,275000]", ",99999999,96096,1]"},
    {",64000,192512,0]", ",64000,192512,1]"}, /* sound has no key size */
    {",4000,13263,0]]", ",4000,13263,0],[\"00000000000000000000000000000000\",1,1,0]]"},
    {"\"columns\":5", "\"columns\":0"},
    {"\"columns\":5", "\"columns\":100"}, /* the second sheet would be empty */
    {"\"tiles_count\":30", "\"tiles_count\":41"},
    {"\"interval_ms\":500", "\"interval_ms\":0"},
    {",90000,800,360]", ",0,800,360]"},
    {",20000,1280,720]", ",20000,0,720]"},
    {"\"tracks\":[", "\"tracks\":[7,"},
};

static void presentation_test_refused(void **state)
{
    (void)state;
    CLEAN(presentation_free) struct presentation *p = sample_presentation();
    CLEAN_BUF struct buf good = BUF_EMPTY;
    assert_int_equal(presentation_write(p, &good), 0);
    for (size_t i = 0; i < ARRAY_LEN(presentation_test_edits); i++) {
        const char *at = strstr(good.data, presentation_test_edits[i].from);
        if (at == NULL)
            fail_msg("edit %zu does not apply: %s", i, presentation_test_edits[i].from);
        CLEAN_BUF struct buf bad = BUF_EMPTY;
        buf_put(&bad, good.data, (size_t)(at - good.data));
        buf_puts(&bad, presentation_test_edits[i].to);
        buf_puts(&bad, at + strlen(presentation_test_edits[i].from));
        struct presentation *q = NULL;
        struct err err = {0};
        if (presentation_parse(buf_str(&bad), &q, &err) != -EBADMSG)
            fail_msg("edit %zu was taken: %s -> %s", i, presentation_test_edits[i].from,
                     presentation_test_edits[i].to);
        assert_null(q);
        assert_true(err.text[0] != 0);
    }
    /* Cut anywhere, it is refused; and err may be NULL. */
    for (size_t size = 0; size < good.size; size += 7) {
        struct presentation *q = NULL;
        assert_int_equal(presentation_parse((struct str){good.data, size}, &q, NULL), -EBADMSG);
    }
}

static void presentation_test_forward(void **state)
{
    (void)state;
    static const char text[] =
        "{\"later\":{\"x\":[1,2]},\"version\":1,\"asset\":\"a\",\"title\":null,\"duration_ms\":5,"
        "\"segment_ms_target\":4000,\"created_ms\":0,\"tracks\":[{\"id\":\"t\",\"kind\":\"text\","
        "\"codec\":\"wvtt\",\"forced\":true,\"timescale\":1000,\"start\":0,\"bandwidth_avg\":0,"
        "\"bandwidth_max\":0,\"segments\":[[\"00000000000000000000000000000000\",1,1,0]]}]}";
    CLEAN(presentation_free) struct presentation *p = NULL;
    struct err err = {0};
    assert_int_equal(presentation_parse(str_of(text), &p, &err), 0);
    assert_string_equal(p->title, "");
    assert_null(p->tracks[0].language);
    assert_false(p->tracks[0].is_default);
}

static void presentation_test_building(void **state)
{
    (void)state;
    struct presentation *none = NULL;
    assert_int_equal(presentation_new("", "t", &none), -EINVAL);
    assert_int_equal(presentation_new(NULL, "t", &none), -EINVAL);
    assert_int_equal(presentation_new("a b", "t", &none), -EINVAL);
    assert_null(none);
    CLEAN(presentation_free) struct presentation *p = NULL;
    assert_int_equal(presentation_new("a", NULL, &p), 0);
    struct track *t = NULL;
    assert_int_equal(presentation_add_track(p, "a_b", TRACK_VIDEO, &t), -EINVAL);
    for (int i = 0; i < PRESENTATION_TRACKS_MAX; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "v%d", i); /* fits */
        assert_int_equal(presentation_add_track(p, id, TRACK_VIDEO, &t), 0);
        assert_int_equal(presentation_add_track(p, id, TRACK_AUDIO, &t),
                         i + 1 < PRESENTATION_TRACKS_MAX ? -EEXIST : -EINVAL);
    }
    assert_int_equal(presentation_add_track(p, "more", TRACK_VIDEO, &t), -EINVAL);
    struct segment s = {.size = 1, .duration = 1};
    for (int i = 0; i < PRESENTATION_SEGMENTS_MAX; i++)
        assert_int_equal(track_add_segment(t, &s), 0);
    assert_int_equal(track_add_segment(t, &s), -EINVAL);
    CLEAN_BUF struct buf out = BUF_EMPTY;
    assert_int_equal(presentation_write(p, &out), -EINVAL); /* the tracks are not described */
    struct picture sheet = {.size = 1, .width = 1, .height = 1};
    for (int i = 0; i < 100; i++)
        assert_int_equal(presentation_add_sheet(p, &sheet), 0);
    assert_int_equal(p->thumbnails.sheets_count, 100);
}

static void presentation_test_measure(void **state)
{
    (void)state;
    struct segment rows[5] = {{.size = 1000, .duration = 4000},
                              {.size = 3000, .duration = 4000},
                              {.size = 2000, .duration = 4000},
                              {.size = 1000, .duration = 1000},
                              {.size = 900, .duration = 100}};
    struct track t = {.timescale = 1000, .segments = rows, .segments_count = 5};
    track_measure(&t);
    assert_int_equal(t.bandwidth_avg, 4825); /* 7900 * 8 / 13.1, rounded up */
    /* Not the last one's 72 kbit/s: alone it is shorter than half the target. 3900 bytes in 5.1 s.
     */
    assert_int_equal(t.bandwidth_max, 6118);
    assert_int_equal(track_duration(&t), 13100);
    struct track empty = {.timescale = 1000};
    track_measure(&empty);
    assert_int_equal(empty.bandwidth_max, 0);
}

struct presentation_test_seen {
    int count, stop_at;
    uint64_t bytes;
};

static bool presentation_test_each(void *arg, const struct digest *d, uint32_t size)
{
    struct presentation_test_seen *seen = arg;
    (void)d;
    seen->bytes += size;
    return ++seen->count != seen->stop_at;
}

static void presentation_test_blobs(void **state)
{
    (void)state;
    CLEAN(presentation_free) struct presentation *p = sample_presentation();
    struct presentation_test_seen all = {0};
    presentation_blobs(p, presentation_test_each, &all);
    /* video: 3 x (init + 4), audio: 2 x (init + 3), text 1, poster, two sheets */
    assert_int_equal(all.count, 15 + 8 + 1 + 1 + 2);
    struct presentation_test_seen few = {.stop_at = 4};
    presentation_blobs(p, presentation_test_each, &few);
    assert_int_equal(few.count, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presentation_test_round_trip), cmocka_unit_test(presentation_test_bytes),
        cmocka_unit_test(presentation_test_refused),    cmocka_unit_test(presentation_test_forward),
        cmocka_unit_test(presentation_test_building),   cmocka_unit_test(presentation_test_measure),
        cmocka_unit_test(presentation_test_blobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
