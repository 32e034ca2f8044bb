/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/text.h"
#include "../unit.h"

static void text_test_markup(void **state)
{
    (void)state;
    static const struct {
        const char *ass, *vtt;
    } cases[] = {
        {"plain", "plain"},
        {"Tom & <Jerry> --> x", "Tom &amp; &lt;Jerry&gt; --&gt; x"},
        {"{\\i1}a{\\i0} b", "<i>a</i> b"},
        {"{\\b1}x{\\i1}y{\\b0}z", "<b>x<i>y</i></b><i>z</i>"},
        {"{\\b700}x", "<b>x</b>"},
        {"{\\u1\\i1}x{\\r}y", "<i><u>x</u></i>y"},
        {"one\\Ntwo\\nthree", "one\ntwo\nthree"},
        {"one\\N\\N\\Ntwo\\N", "one\ntwo"},
        {"\\N  lead", "lead"},
        {"a\\hb", "a\xc2\xa0"
                  "b"},
        {"{\\an8\\pos(1,2)\\bord2\\blur1\\fs20\\c&HFF&}x", "x"},
        {"{\\p1}m 0 0 l 10 10{\\p0}seen", "seen"},
        {"{only a comment}", ""},
        {"{\\i1}{\\i0}", ""},
        {"   ", ""},
        {"{unclosed", "{unclosed"},
        {"back\\slash", "back\\slash"},
        {"bell\x07"
         "gone\r",
         "bellgone"},
        {"tail  ", "tail"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEAN_BUF struct buf out = BUF_EMPTY;
        text_markup(str_of(cases[i].ass), &out);
        assert_string_equal(out.size > 0 ? out.data : "", cases[i].vtt);
    }
}

static void text_test_cues(void **state)
{
    (void)state;
    struct text_cues c = {0};
    CLEAN_BUF struct buf out = BUF_EMPTY;
    assert_int_equal(text_cues_add(&c, 3723004, 3724000, STR("last")), 0);
    assert_int_equal(text_cues_add(&c, 2000, 0, STR("open")), 0);     /* until the next */
    assert_int_equal(text_cues_add(&c, -500, 1500, STR("early")), 0); /* cut at the start */
    assert_int_equal(text_cues_add(&c, -900, -100, STR("before")), 0);
    assert_int_equal(text_cues_add(&c, 2000, 2600, STR("second")), 0); /* order kept */
    assert_int_equal(text_cues_add(&c, 4000, 5000, STR("{\\p1}m 0 0")), 0);
    text_cues_write(&c, &out);
    assert_string_equal(out.data, "WEBVTT\n"
                                  "\n00:00:00.000 --> 00:00:01.500\nearly\n"
                                  "\n00:00:02.000 --> 00:00:07.000\nopen\n"
                                  "\n00:00:02.000 --> 00:00:02.600\nsecond\n"
                                  "\n01:02:03.004 --> 01:02:04.000\nlast\n");
    text_cues_clear(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_test_markup),
        cmocka_unit_test(text_test_cues),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
