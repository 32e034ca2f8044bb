/* SPDX-License-Identifier: Apache-2.0 */
#include "media/hls.h"
#include <errno.h>
#include "sample.h"

static void hls_test_has(const struct buf *text, const char *line)
{
    if (strstr(text->data, line) == NULL)
        fail_msg("missing %s in:\n%s", line, text->data);
}

static size_t hls_test_count(const struct buf *text, const char *what)
{
    size_t count = 0;
    for (const char *at = text->data; (at = strstr(at, what)) != NULL; at++)
        count++;
    return count;
}

static void hls_test_master(void **state)
{
    (void)state;
    CLEAN(presentation_free) struct presentation *p = sample_presentation();
    CLEAN_BUF struct buf out = BUF_EMPTY;
    assert_int_equal(hls_master(p, 0, &out), 0);
    /* Video v720: 1.1 MB in 4.004 s, with sound: 64000 * 8 / 4.0107. The first variant is the best
     * below 2.5 Mbit/s, then from the least up. */
    assert_string_equal(
        out.data,
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n"
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,"
        "AUTOSELECT=YES,CHANNELS=\"2\",URI=\"a-en/index.m3u8\"\n"
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"Deutsch\",LANGUAGE=\"de\",DEFAULT=NO,"
        "AUTOSELECT=YES,CHANNELS=\"2\",URI=\"a-de/index.m3u8\"\n"
        "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"subtitles\",NAME=\"Deutsch\",LANGUAGE=\"de\","
        "DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,URI=\"t-de/index.m3u8\"\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=2325463,AVERAGE-BANDWIDTH=2184472,"
        "CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=23.976,AUDIO=\"audio\","
        "SUBTITLES=\"subtitles\",CLOSED-CAPTIONS=NONE\nv720/index.m3u8\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=926861,AVERAGE-BANDWIDTH=875592,"
        "CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=23.976,AUDIO=\"audio\","
        "SUBTITLES=\"subtitles\",CLOSED-CAPTIONS=NONE\nv360/index.m3u8\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=5122665,AVERAGE-BANDWIDTH=4802231,"
        "CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1920x1080,FRAME-RATE=23.976,AUDIO=\"audio\","
        "SUBTITLES=\"subtitles\",CLOSED-CAPTIONS=NONE\nv1080/index.m3u8\n"
        "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=199801,AVERAGE-BANDWIDTH=193014,"
        "CODECS=\"avc1.64001f\",RESOLUTION=640x360,URI=\"v360/iframes.m3u8\"\n"
        "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=549451,AVERAGE-BANDWIDTH=530789,"
        "CODECS=\"avc1.64001f\",RESOLUTION=1280x720,URI=\"v720/iframes.m3u8\"\n"
        "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1248752,AVERAGE-BANDWIDTH=1206340,"
        "CODECS=\"avc1.64001f\",RESOLUTION=1920x1080,URI=\"v1080/iframes.m3u8\"\n");
}

static void hls_test_cap(void **state)
{
    (void)state;
    CLEAN(presentation_free) struct presentation *p = sample_presentation();
    static const struct {
        uint32_t height_max;
        size_t variants;
    } cases[] = {{0, 3}, {4000, 3}, {1080, 3}, {1079, 2}, {720, 2}, {360, 1}, {1, 1}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEAN_BUF struct buf out = BUF_EMPTY;
        assert_int_equal(hls_master(p, cases[i].height_max, &out), 0);
        assert_int_equal(hls_test_count(&out, "#EXT-X-STREAM-INF"), cases[i].variants);
        hls_test_has(&out, "v360/index.m3u8"); /* never the lowest */
    }
}

/* Names that want to break out of their quotes or lines; twins; no language. */
static void hls_test_odd_names(void **state)
{
    (void)state;
    CLEAN(presentation_free) struct presentation *p = NULL;
    assert_int_equal(presentation_new("a", "t", &p), 0);
    sample_audio(p, "a-1", "en", "a\",URI=\"http://x/\n#EXTINF:1,\r\t\x7f", false);
    sample_audio(p, "a-2", "en", "bad \xff\xc3(\xed\xa0\x80\xef\xbf\xbe\xc2\x85\xe2\x80\xa8",
                 false);
    sample_audio(p, "a-3", NULL, "Twin", true);
    sample_audio(p, "a-4", "und", "Twin", true);
    sample_audio(p, "a-5", "fr", "", false);
    CLEAN_BUF struct buf out = BUF_EMPTY;
    assert_int_equal(hls_master(p, 0, &out), 0);
    hls_test_has(&out, "NAME=\"a',URI='http://x/ #EXTINF:1,   \",LANGUAGE=\"en\",DEFAULT=NO,"
                       "AUTOSELECT=YES,");
    hls_test_has(&out, "NAME=\"bad \xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                       "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd "
                       "\xe2\x80\xa8\",LANGUAGE=\"en\",DEFAULT=NO,AUTOSELECT=NO,");
    hls_test_has(&out, "NAME=\"Twin (a-3)\",DEFAULT=YES,AUTOSELECT=YES,");
    hls_test_has(&out, "NAME=\"Twin (a-4)\",DEFAULT=NO,AUTOSELECT=NO,");
    hls_test_has(&out, "NAME=\"fr\",LANGUAGE=\"fr\"");
    assert_int_equal(hls_test_count(&out, "DEFAULT=YES"), 1);
    for (const char *line = out.data; *line != 0; line = strchr(line, '\n') + 1)
        assert_true(line[0] == '#' || strncmp(line, "a-3/index.m3u8\n", 15) == 0);
}

static void hls_test_few_kinds(void **state)
{
    (void)state;
    CLEAN(presentation_free) struct presentation *sound = NULL;
    CLEAN(presentation_free) struct presentation *mute = NULL;
    CLEAN_BUF struct buf out = BUF_EMPTY;
    assert_int_equal(presentation_new("a", "t", &sound), 0);
    assert_int_equal(presentation_new("a", "t", &mute), 0);
    assert_int_equal(hls_master(sound, 0, &out), -EINVAL);
    assert_int_equal(out.size, 0);
    sample_audio(sound, "a-en", "en", "English", false);
    assert_int_equal(hls_master(sound, 0, &out), 0);
    hls_test_has(&out, "CODECS=\"mp4a.40.2\",AUDIO=\"audio\",CLOSED-CAPTIONS=NONE\n"
                       "a-en/index.m3u8\n");
    assert_int_equal(hls_test_count(&out, "RESOLUTION"), 0);
    buf_clear(&out);
    sample_video(mute, "v360", 640, 360, 400000);
    assert_int_equal(hls_master(mute, 0, &out), 0);
    hls_test_has(&out, "CODECS=\"avc1.64001f\",RESOLUTION=640x360");
    assert_int_equal(hls_test_count(&out, "AUDIO="), 0);
    assert_int_equal(hls_test_count(&out, "SUBTITLES="), 0);
}

static void hls_test_media(void **state)
{
    (void)state;
    CLEAN(presentation_free) struct presentation *p = sample_presentation();
    CLEAN_BUF struct buf out = BUF_EMPTY;
    const struct track *t = presentation_find(p, STR("v720"));
    assert_int_equal(hls_media(p, t, &out), 0);
    char init[DIGEST_TEXT_SIZE];
    char expected[512];
    digest_format(&t->init, init);
    (void)snprintf(expected, sizeof expected,
                   "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:0\n"
                   "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n"
                   "#EXT-X-MAP:URI=\"../../../b/%s.mp4\"\n#EXTINF:4.004000,\n../../../b/",
                   init);
    assert_true(str_starts(buf_str(&out), str_of(expected)));
    assert_int_equal(hls_test_count(&out, "#EXTINF:"), 4);
    assert_true(str_ends(buf_str(&out), STR(".m4s\n#EXT-X-ENDLIST\n")));
    hls_test_has(&out, "#EXTINF:1.251250,\n");
    buf_clear(&out);
    assert_int_equal(hls_media(p, presentation_find(p, STR("t-de")), &out), 0);
    hls_test_has(&out, "#EXT-X-TARGETDURATION:13\n");
    hls_test_has(&out, "#EXTINF:13.263000,\n../../../b/");
    hls_test_has(&out, ".vtt\n#EXT-X-ENDLIST\n");
    assert_int_equal(hls_test_count(&out, "#EXT-X-MAP"), 0);
}

/* Rounded durations must not run away from the truth, nor exceed the target. */
static void hls_test_durations(void **state)
{
    (void)state;
    CLEAN(presentation_free) struct presentation *p = NULL;
    assert_int_equal(presentation_new("a", "t", &p), 0);
    struct track *t = sample_track(p, "a", TRACK_AUDIO, "mp4a.40.2", "en", NULL);
    t->timescale = 44100;
    struct segment s = {.size = 10, .duration = 65 * 1024};
    for (int i = 0; i < 3000; i++)
        assert_int_equal(track_add_segment(t, &s), 0);
    s.duration = 44100 * 5 / 2; /* 2.5 s: rounds to 3 */
    assert_int_equal(track_add_segment(t, &s), 0);
    CLEAN_BUF struct buf out = BUF_EMPTY;
    assert_int_equal(hls_media(p, t, &out), 0);
    hls_test_has(&out, "#EXT-X-TARGETDURATION:3\n");
    uint64_t sum_us = 0;
    for (const char *at = out.data; (at = strstr(at, "#EXTINF:")) != NULL; at++) {
        unsigned seconds;
        unsigned us;
        assert_int_equal(sscanf(at, "#EXTINF:%u.%6u,", &seconds, &us), 2);
        sum_us += seconds * UINT64_C(1000000) + us;
    }
    uint64_t truth_us = (track_duration(t) * 1000000 + 22050) / 44100;
    assert_true(sum_us == truth_us);
}

static void hls_test_iframes(void **state)
{
    (void)state;
    CLEAN(presentation_free) struct presentation *p = sample_presentation();
    CLEAN_BUF struct buf out = BUF_EMPTY;
    assert_int_equal(hls_iframes(p, presentation_find(p, STR("v720")), &out), 0);
    hls_test_has(&out, "#EXT-X-I-FRAMES-ONLY\n#EXT-X-MAP:URI=\"../../../b/");
    hls_test_has(&out, "#EXTINF:4.004000,\n#EXT-X-BYTERANGE:275000@0\n../../../b/");
    hls_test_has(&out, "#EXTINF:1.251250,\n#EXT-X-BYTERANGE:55000@0\n../../../b/");
    buf_clear(&out);
    assert_int_equal(hls_iframes(p, presentation_find(p, STR("a-en")), &out), -EINVAL);
    struct track *t = &p->tracks[0];
    t->segments[1].key_size = 0; /* its time goes to the picture before */
    assert_int_equal(hls_iframes(p, t, &out), 0);
    assert_int_equal(hls_test_count(&out, "#EXTINF:"), 3);
    hls_test_has(&out, "#EXT-X-TARGETDURATION:8\n");
    hls_test_has(&out, "#EXTINF:8.008000,\n#EXT-X-BYTERANGE:100000@0\n");
    buf_clear(&out);
    assert_int_equal(hls_media(p, t, &out), 0);
    assert_int_equal(hls_test_count(&out, "#EXT-X-INDEPENDENT-SEGMENTS"), 0);
    for (uint32_t i = 0; i < t->segments_count; i++)
        t->segments[i].key_size = 0;
    assert_int_equal(hls_iframes(p, t, &out), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hls_test_master),    cmocka_unit_test(hls_test_cap),
        cmocka_unit_test(hls_test_odd_names), cmocka_unit_test(hls_test_few_kinds),
        cmocka_unit_test(hls_test_media),     cmocka_unit_test(hls_test_durations),
        cmocka_unit_test(hls_test_iframes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
