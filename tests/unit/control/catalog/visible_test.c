/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/visible.h"
#include <errno.h>
#include "control/catalog/country.h"
#include "control/catalog/video_state.h"
#include "../../unit.h"

static json_t *list(const char *codes)
{
    json_t *array = json_array();
    struct str rest = str_of(codes);
    while (rest.size > 0) {
        struct str code = str_cut(rest, ' ', &rest);
        assert_int_equal(json_array_append_new(array, json_stringn(code.data, code.size)), 0);
    }
    return array;
}

static bool is_in(const char *allow, const char *deny, const char *country)
{
    json_t *where = NULL;
    json_t *allowed = list(allow);
    json_t *denied = list(deny);
    assert_int_equal(country_where(allowed, denied, &where), 0);
    bool is = country_has(where, country);
    json_decref(where);
    json_decref(allowed);
    json_decref(denied);
    return is;
}

static void test_country(void **state)
{
    (void)state;
    assert_true(is_in("", "", "DE"));
    assert_true(is_in("", "", "")); /* nobody knows where: no limit, no need to know */
    assert_true(is_in("DE AT", "", "AT"));
    assert_false(is_in("DE AT", "", "CH"));
    assert_false(is_in("DE AT", "", ""));
    assert_false(is_in("", "US", "US"));
    assert_true(is_in("", "US", "ZW"));
    assert_true(is_in("", "US", "AD"));
    assert_true(is_in("", "US", "")); /* in no list: not denied */
    assert_false(is_in("DE US", "US", "US"));
    assert_true(is_in("DE US", "US", "DE"));
    assert_true(country_is(STR("DE")));
    assert_false(country_is(STR("de")));
    assert_false(country_is(STR("XX")));
    assert_false(country_is(STR("D")));
    assert_false(country_is(STR("DEU")));
    assert_false(country_is(STR("*")));
}

static void test_country_refuses(void **state)
{
    json_t *where = NULL;
    json_t *bad[] = {list("DE XX"),       list("de"),
                     json_pack("[i]", 7), json_pack("{s:s}", "a", "DE"),
                     json_string("DE"),   list("*")};
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(country_where(bad[i], NULL, &where), -EINVAL);
        assert_int_equal(country_where(NULL, bad[i], &where), -EINVAL);
        assert_null(where);
        json_decref(bad[i]);
    }
}

/* The one rule twice: for each viewer and video both say the same. */
static bool where_has(const json_t *where, const json_t *video)
{
    const json_t *age = json_object_get(json_object_get(where, "age"), "max");
    const json_t *rated = json_object_get(video, "age");
    size_t i;
    json_t *country;
    bool found = false;
    json_array_foreach(json_object_get(where, "countries"), i, country)
    {
        size_t k;
        json_t *other;
        json_array_foreach(json_object_get(video, "countries"), k, other)
        {
            found = found || json_equal(country, other);
        }
    }
    return found && json_equal(json_object_get(where, "state"), json_object_get(video, "state")) &&
           (age == NULL ||
            (json_is_integer(rated) && json_integer_value(rated) <= json_integer_value(age)));
}

static void test_visible(void **state)
{
    static const char *const allow[] = {"", "DE AT", "CH"};
    static const int ages[] = {-1, 0, 6, 12, 16, 18}; /* -1: not rated */
    static const struct viewer viewers[] = {
        {.user = "ann", .age_max = -1, .country = "DE"},
        {.user = "ann", .age_max = 12, .country = "DE"},
        {.user = "ann", .age_max = 0, .country = ""},
        {.user = "bob", .age_max = 18, .country = ""},
        {.user = NULL, .age_max = -1, .country = "CH"},
        {.user = "own", .age_max = -1, .country = "US"},
        {.user = "own", .age_max = 6, .country = "US"}, /* the owner's child */
        {.user = "adm", .is_admin = true, .age_max = -1, .country = ""},
        {.user = "adm", .is_admin = true, .age_max = 0, .country = ""},
    };
    unsigned counts[4] = {0};
    (void)state;
    for (unsigned s = 0; s < VIDEO_STATES; s++)
        for (unsigned a = 0; a < ARRAY_LEN(allow); a++)
            for (unsigned g = 0; g < ARRAY_LEN(ages); g++)
                for (unsigned v = 0; v < ARRAY_LEN(viewers); v++) {
                    json_t *countries = NULL;
                    json_t *codes = list(allow[a]);
                    assert_int_equal(country_where(codes, NULL, &countries), 0);
                    json_t *video = json_pack("{s:s, s:s, s:o}", "owner", "own", "state",
                                              video_state_name(s), "countries", countries);
                    if (ages[g] >= 0)
                        assert_int_equal(json_object_set_new(video, "age", json_integer(ages[g])),
                                         0);
                    json_t *where = visible_where(&viewers[v]);
                    enum visible seen = visible_video(video, &viewers[v]);
                    bool owner = viewers[v].age_max < 0 && visible_is_owner(video, &viewers[v]);
                    counts[seen]++;
                    if (!owner)
                        assert_int_equal(seen == VISIBLE_YES, where_has(where, video));
                    else
                        assert_int_equal(seen, VISIBLE_YES);
                    if (s != VIDEO_PUBLISHED && !owner)
                        assert_int_equal(seen, VISIBLE_NO);
                    json_decref(where);
                    json_decref(video);
                    json_decref(codes);
                }
    for (unsigned i = 0; i < ARRAY_LEN(counts); i++)
        assert_true(counts[i] > 0); /* each answer came up */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_country),
        cmocka_unit_test(test_country_refuses),
        cmocka_unit_test(test_visible),
    };
    return cmocka_run_group_tests_name("catalog visible", tests, NULL, NULL);
}
