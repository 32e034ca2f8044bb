/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/video_state.h"
#include <errno.h>
#include "../../unit.h"

/* The whole table, written down a second time: rows are what it is, columns what it may become, in
 * the order of the states; o owner, u upload, c clock. */
static const char *const expected[VIDEO_STATES][VIDEO_STATES] = {
    /*               draft up   proc ready sched publ withd failed */
    [VIDEO_DRAFT] = {"", "u", "u", "u", "", "", "", ""},
    [VIDEO_UPLOADING] = {"ou", "", "u", "u", "", "", "", "u"},
    [VIDEO_PROCESSING] = {"", "", "", "u", "", "", "", "u"},
    [VIDEO_READY] = {"", "", "", "", "o", "ou", "", ""},
    [VIDEO_SCHEDULED] = {"", "", "", "o", "", "oc", "", ""},
    [VIDEO_PUBLISHED] = {"", "", "", "", "", "", "oc", ""},
    [VIDEO_WITHDRAWN] = {"", "", "", "", "o", "o", "", ""},
    [VIDEO_FAILED] = {"o", "u", "u", "u", "", "", "", ""},
};

static void test_arrows(void **state)
{
    (void)state;
    for (unsigned from = 0; from < VIDEO_STATES; from++)
        for (unsigned to = 0; to < VIDEO_STATES; to++) {
            struct str who = str_of(expected[from][to]);
            bool same = from == to;
            bool owner = memchr(who.data, 'o', who.size) != NULL;
            bool upload = memchr(who.data, 'u', who.size) != NULL;
            bool clock = memchr(who.data, 'c', who.size) != NULL;
            print_message("%s -> %s\n", video_state_name(from), video_state_name(to));
            assert_int_equal(video_state_may(from, to, VIDEO_BY_OWNER), same || owner);
            assert_int_equal(video_state_may(from, to, VIDEO_BY_UPLOAD), same || upload);
            assert_int_equal(video_state_may(from, to, VIDEO_BY_CLOCK), same || clock);
        }
}

static void test_names(void **state)
{
    (void)state;
    for (unsigned i = 0; i < VIDEO_STATES; i++) {
        enum video_state found = VIDEO_FAILED;
        assert_int_equal(video_state_parse(str_of(video_state_name(i)), &found), 0);
        assert_int_equal(found, i);
    }
    enum video_state untouched = VIDEO_READY;
    assert_int_equal(video_state_parse(STR("Published"), &untouched), -EINVAL);
    assert_int_equal(video_state_parse(STR(""), &untouched), -EINVAL);
    assert_int_equal(video_state_parse(STR("publishe"), &untouched), -EINVAL);
    assert_int_equal(untouched, VIDEO_READY);
}

static void test_clock(void **state)
{
    static const struct {
        enum video_state was;
        int64_t publish_at, withdraw_at, now;
        enum video_state is;
        int64_t due; /* of what it is */
    } cases[] = {
        {VIDEO_SCHEDULED, 100, 0, 99, VIDEO_SCHEDULED, 100},
        {VIDEO_SCHEDULED, 100, 0, 100, VIDEO_PUBLISHED, 0},
        {VIDEO_SCHEDULED, 100, 200, 150, VIDEO_PUBLISHED, 200},
        {VIDEO_SCHEDULED, 100, 200, 200, VIDEO_WITHDRAWN, 0}, /* both while nobody looked */
        {VIDEO_PUBLISHED, 100, 200, 199, VIDEO_PUBLISHED, 200},
        {VIDEO_PUBLISHED, 100, 200, 999, VIDEO_WITHDRAWN, 0},
        {VIDEO_PUBLISHED, 0, 0, 999, VIDEO_PUBLISHED, 0},
        {VIDEO_WITHDRAWN, 100, 200, 999, VIDEO_WITHDRAWN, 0},
        {VIDEO_READY, 100, 200, 999, VIDEO_READY, 0},
        {VIDEO_DRAFT, 100, 200, 999, VIDEO_DRAFT, 0},
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct video_schedule s = {cases[i].was, cases[i].publish_at, cases[i].withdraw_at};
        print_message("case %u\n", i);
        s.state = video_state_now(&s, cases[i].now);
        assert_int_equal(s.state, cases[i].is);
        assert_int_equal(video_state_due(&s), cases[i].due);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arrows),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests_name("catalog video_state", tests, NULL, NULL);
}
