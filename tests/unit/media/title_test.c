/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"
#include "media/title.h"
#include <errno.h>

static struct digest title_test_digest(unsigned n)
{
    return digest_of(&n, sizeof n);
}

/* Two video tracks and their segments: digests 1.. for v240, 101.. for v480; 50
 * is in both. */
static struct title *title_test_make(const char *asset)
{
    CLEAN(presentation_free) struct presentation *p = NULL;
    assert_int_equal(presentation_new(asset, "Title", &p), 0);
    p->duration_ms = 12000;
    p->segment_ms_target = 4000;
    static const struct {
        const char *id;
        uint32_t width, height;
        unsigned first;
    } rows[] = {{"v240", 426, 240, 1}, {"v480", 854, 480, 101}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct track *t = NULL;
        assert_int_equal(presentation_add_track(p, rows[i].id, TRACK_VIDEO, &t), 0);
        t->codec = str_dup(STR("avc1.64001f"));
        t->timescale = 1000;
        t->width = rows[i].width;
        t->height = rows[i].height;
        t->frame_rate_num = 25;
        t->frame_rate_den = 1;
        t->init = title_test_digest(rows[i].first);
        t->init_size = 700;
        for (unsigned k = 1; k <= 2; k++) {
            struct segment s = {title_test_digest(rows[i].first + k), 1000, 4000, 100};
            assert_int_equal(track_add_segment(t, &s), 0);
        }
        struct segment shared = {title_test_digest(50), 1000, 4000, 100};
        assert_int_equal(track_add_segment(t, &shared), 0);
        track_measure(t);
    }
    CLEAN_BUF struct buf bytes = BUF_EMPTY;
    assert_int_equal(presentation_write(p, &bytes), 0);
    struct digest d = digest_of(bytes.data, bytes.size);
    struct title *title = NULL;
    struct err err = {0};
    if (title_new(&d, buf_str(&bytes), &title, &err) < 0)
        fail_msg("%s", err.text);
    return title;
}

static void title_test_names(void **state)
{
    (void)state;
    struct title *t = title_test_make("film");
    static const unsigned named[] = {1, 2, 3, 50, 101, 102, 103};
    for (size_t i = 0; i < ARRAY_LEN(named); i++) {
        struct digest d = title_test_digest(named[i]);
        assert_true(title_names(t, &d));
    }
    struct digest foreign = title_test_digest(999);
    assert_false(title_names(t, &foreign));
    assert_int_equal(t->blobs_count, ARRAY_LEN(named)); /* 50 once */
    title_unref(t);
}

static void title_test_cap(void **state)
{
    (void)state;
    struct title *t = title_test_make("film");
    struct digest low = title_test_digest(2);
    struct digest high = title_test_digest(102);
    struct digest shared = title_test_digest(50);
    assert_false(title_capped(t, &high, 0));
    assert_false(title_capped(t, &high, 480));
    assert_true(title_capped(t, &high, 479));
    assert_false(title_capped(t, &shared, 360));
    assert_false(title_capped(t, &low, 100)); /* the lowest is always open */
    title_unref(t);
}

static void title_test_refuses_rubbish(void **state)
{
    (void)state;
    struct title *t = NULL;
    struct err err = {0};
    struct digest d = digest_of("{}", 2);
    assert_int_equal(title_new(&d, STR("{}"), &t, &err), -EBADMSG);
    assert_null(t);
    assert_true(err.text[0] != 0);
}

static void title_test_cache(void **state)
{
    (void)state;
    static const char *const assets[] = {"a", "b", "c"};
    struct title *titles[3];
    struct title_cache *c = NULL;
    assert_int_equal(title_cache_new(0, &c), -EINVAL);
    assert_int_equal(title_cache_new(2, &c), 0);
    for (size_t i = 0; i < 3; i++)
        titles[i] = title_test_make(assets[i]);
    title_cache_add(c, titles[0]);
    title_cache_add(c, titles[1]);
    title_cache_add(c, titles[1]); /* again: no second entry */
    assert_ptr_equal(title_cache_get(c, &titles[0]->digest), titles[0]);
    title_cache_add(c, titles[2]); /* b was used longest ago */
    assert_null(title_cache_get(c, &titles[1]->digest));
    assert_ptr_equal(title_cache_get(c, &titles[0]->digest), titles[0]);
    assert_ptr_equal(title_cache_get(c, &titles[2]->digest), titles[2]);
    title_cache_free(c);
    for (size_t i = 0; i < 3; i++)
        title_unref(titles[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(title_test_names),
        cmocka_unit_test(title_test_cap),
        cmocka_unit_test(title_test_refuses_rubbish),
        cmocka_unit_test(title_test_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
