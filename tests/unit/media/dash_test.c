/* SPDX-License-Identifier: Apache-2.0 */
#include "media/dash.h"
#include <errno.h>
#include <unistd.h>
#include "base/file.h"
#include "sample.h"

/* mpd_check.py reads the manifest and prints what it found; a fault fails the test. */
static void dash_test_check(const struct presentation *p, uint32_t height_max, struct buf *manifest,
                            struct buf *found)
{
    char folder[] = "/tmp/weir-dash-XXXXXX";
    assert_non_null(mkdtemp(folder));
    assert_int_equal(dash_manifest(p, height_max, manifest), 0);
    CLEAN_BUF struct buf command = BUF_EMPTY;
    CLEAN_BUF struct buf path = BUF_EMPTY;
    buf_printf(&path, "%s/manifest.mpd", folder);
    buf_printf(&command, "%s %s %s", WEIR_PYTHON, WEIR_MPD_CHECK, path.data);
    assert_int_equal(file_write(path.data, buf_str(manifest), 0600), 0);
    FILE *f = popen(command.data, "r");
    assert_non_null(f);
    char line[512];
    while (fgets(line, sizeof line, f) != NULL)
        buf_puts(found, line);
    buf_puts(found, "");
    int status = pclose(f);
    assert_int_equal(file_remove_all(folder), 0);
    if (status != 0)
        fail_msg("refused:\n%s", manifest->data);
}

static void dash_test_has(const struct buf *text, const char *what)
{
    if (strstr(text->data, what) == NULL)
        fail_msg("missing %s in:\n%s", what, text->data);
}

static void dash_test_full(void **state)
{
    (void)state;
    CLEAN(presentation_free) struct presentation *p = sample_presentation();
    CLEAN_BUF struct buf mpd = BUF_EMPTY;
    CLEAN_BUF struct buf found = BUF_EMPTY;
    dash_test_check(p, 0, &mpd, &found);
    assert_string_equal(found.data, "video v360 4 from 0 - 0\nvideo v720 4 from 0 - 0\n"
                                    "video v1080 4 from 0 - 0\naudio a-en 3 from 0 - 0\n"
                                    "audio a-de 3 from 0 - 0\ntext t-de file\n"
                                    "image thumbnails template\nlabel 'English'\n"
                                    "label 'Deutsch'\nlabel 'Deutsch'\n");
    dash_test_has(&mpd, "mediaPresentationDuration=\"PT13.263S\"");
    dash_test_has(&mpd, "<Title>Tom &amp; &quot;Jerry&quot; &lt;1&gt;</Title>");
    /* no @r: see dash_timeline */
    dash_test_has(&mpd, "<S t=\"0\" d=\"96096\"/><S d=\"96096\"/><S d=\"96096\"/>"
                        "<S d=\"30030\"/>");
    dash_test_has(&mpd, "maxWidth=\"1920\" maxHeight=\"1080\" segmentAlignment=\"true\""
                        " startWithSAP=\"1\"");
    dash_test_has(&mpd, "frameRate=\"24000/1001\"");
    dash_test_has(&mpd, "lang=\"de\" segmentAlignment=\"true\" startWithSAP=\"1\">\n"
                        "<Label>Deutsch</Label>\n<Role schemeIdUri=\"urn:mpeg:dash:role:2011\""
                        " value=\"alternate\"/>");
    /* a full sheet lasts 5 x 4 x 500 ms */
    dash_test_has(&mpd, "<SegmentTemplate media=\"thumbnails/$Number$.jpg\" timescale=\"1000\""
                        " duration=\"10000\" startNumber=\"1\"/>\n<Representation id=\"thumbnails\""
                        " bandwidth=\"72000\" width=\"800\" height=\"360\">\n"
                        "<EssentialProperty schemeIdUri=\"http://dashif.org/guidelines/"
                        "thumbnail_tile\" value=\"5x4\"/>");
}

static void dash_test_cap(void **state)
{
    (void)state;
    CLEAN(presentation_free) struct presentation *p = sample_presentation();
    CLEAN_BUF struct buf mpd = BUF_EMPTY;
    CLEAN_BUF struct buf found = BUF_EMPTY;
    dash_test_check(p, 720, &mpd, &found);
    assert_null(strstr(found.data, "v1080"));
    dash_test_has(&mpd, "maxWidth=\"1280\" maxHeight=\"720\"");
    char digest[DIGEST_TEXT_SIZE];
    digest_format(&presentation_find(p, STR("v1080"))->init, digest);
    assert_null(strstr(mpd.data, digest));
}

/* Media that starts at 10 s, the sound 20 ms behind the picture: both subtract the same instant. */
static void dash_test_offset(void **state)
{
    (void)state;
    CLEAN(presentation_free) struct presentation *p = NULL;
    assert_int_equal(presentation_new("a", "t", &p), 0);
    sample_video(p, "v360", 640, 360, 400000);
    sample_audio(p, "a-en", "en", "English", true);
    p->tracks[0].start = 240000;
    p->tracks[1].start = 480960;
    CLEAN_BUF struct buf mpd = BUF_EMPTY;
    CLEAN_BUF struct buf found = BUF_EMPTY;
    dash_test_check(p, 0, &mpd, &found);
    dash_test_has(&found, "video v360 4 from 240000 - 240000\naudio a-en 3 from 480960 - 480000\n");
    dash_test_has(&mpd, "mediaPresentationDuration=\"PT13.264S\""); /* of the longest: unsaid */
}

/* HEVC beside AVC: no decoder switches between them, so they are two sets; and sets whose segments
 * differ are not called aligned. */
static void dash_test_sets(void **state)
{
    (void)state;
    CLEAN(presentation_free) struct presentation *p = NULL;
    assert_int_equal(presentation_new("a", "t", &p), 0);
    sample_video(p, "v360", 640, 360, 400000);
    sample_video(p, "h360", 640, 360, 300000);
    sample_video(p, "v720", 1280, 720, 900000);
    free(p->tracks[1].codec);
    p->tracks[1].codec = str_dup(STR("hvc1.1.6.L93.B0"));
    p->tracks[2].segments[1].duration += 1;
    p->tracks[2].segments[2].key_size = 0;
    CLEAN_BUF struct buf mpd = BUF_EMPTY;
    CLEAN_BUF struct buf found = BUF_EMPTY;
    dash_test_check(p, 0, &mpd, &found);
    assert_string_equal(found.data, "video v360 4 from 0 - 0\nvideo v720 4 from 0 - 0\n"
                                    "video h360 4 from 0 - 0\n");
    dash_test_has(&mpd, "segmentAlignment=\"false\">");
    dash_test_has(&mpd, "segmentAlignment=\"true\" startWithSAP=\"1\">");
}

static void dash_test_odd_texts(void **state)
{
    (void)state;
    CLEAN(presentation_free) struct presentation *p = NULL;
    CLEAN_BUF struct buf mpd = BUF_EMPTY;
    CLEAN_BUF struct buf found = BUF_EMPTY;
    assert_int_equal(presentation_new("a", "]]><x>\x01\xff\xef\xbf\xbf\xed\xa0\x80&amp;", &p), 0);
    assert_int_equal(dash_manifest(p, 0, &mpd), -EINVAL);
    assert_int_equal(mpd.size, 0);
    sample_audio(p, "a-1", "e\"n", "</Label>\n\x0b\xf4\x90\x80\x80", true);
    sample_audio(p, "a-2", NULL, NULL, true);
    dash_test_check(p, 0, &mpd, &found);
    dash_test_has(&found, "label '</Label>  \\ufffd\\ufffd\\ufffd\\ufffd'\nlabel 'a-2'\n");
    dash_test_has(&mpd, "lang=\"e&quot;n\"");
    dash_test_has(&mpd, "lang=\"und\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dash_test_full),      cmocka_unit_test(dash_test_cap),
        cmocka_unit_test(dash_test_offset),    cmocka_unit_test(dash_test_sets),
        cmocka_unit_test(dash_test_odd_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
