/* SPDX-License-Identifier: Apache-2.0 */
#include "geo/geo.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include "base/file.h"
#include "../unit.h"

static const char *geo_test_path; /* written by tests/e2e/mmdb.py */

static void geo_test_find(void **state)
{
    (void)state;
    static const struct {
        const char *address, *country, *continent; /* country NULL: not known */
    } cases[] = {
        {"192.0.2.1", "DE", "EU"},    {"192.0.2.127", "DE", "EU"},
        {"192.0.2.128", "FR", "EU"},  {"::ffff:192.0.2.200", "FR", "EU"},
        {"198.51.100.1", "US", "NA"}, /* registered there */
        {"203.0.113.1", NULL, NULL},  /* an entry that says nothing */
        {"192.0.3.1", NULL, NULL},    {"2001:db8:1::", "JP", "AS"},
        {"2001:db9::", NULL, NULL},   {"100.64.0.1", NULL, NULL}, /* no code of two letters */
        {"127.0.0.1", NULL, NULL},
    };
    struct geo *g = NULL;
    struct err err = {{0}};
    if (geo_open(geo_test_path, &g, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct addr a;
        struct geo_place place = {.country = "XX"};
        assert_int_equal(addr_parse(str_of(cases[i].address), &a), 0);
        int r = geo_find(g, &a, &place);
        if (r != (cases[i].country == NULL ? -ENOENT : 0))
            fail_msg("%s: %d", cases[i].address, r);
        assert_string_equal(place.country, r < 0 ? "XX" : cases[i].country);
        assert_string_equal(place.continent, r < 0 ? "" : cases[i].continent);
    }
    assert_null(geo_free(g));
}

static void geo_test_position(void **state)
{
    (void)state;
    struct geo *g = NULL;
    struct addr a;
    struct geo_place place;
    assert_int_equal(geo_open(geo_test_path, &g, NULL), 0);
    assert_int_equal(addr_parse(STR("192.0.2.200"), &a), 0);
    assert_int_equal(geo_find(g, &a, &place), 0);
    assert_true(place.has_position);
    assert_true(fabs(place.latitude - 48.85) < 1e-9 && fabs(place.longitude - 2.35) < 1e-9);
    assert_int_equal(addr_parse(STR("192.88.99.7"), &a), 0); /* a place without a country */
    assert_int_equal(geo_find(g, &a, &place), 0);
    assert_true(place.has_position && place.country[0] == 0);
    assert_int_equal(addr_parse(STR("192.88.100.7"), &a), 0); /* beyond the pole */
    assert_int_equal(geo_find(g, &a, &place), 0);
    assert_false(place.has_position);
    assert_int_equal(addr_parse(STR("192.0.2.1"), &a), 0);
    assert_int_equal(geo_find(g, &a, &place), 0);
    assert_false(place.has_position);
    geo_free(g);
}

static void geo_test_distance(void **state)
{
    (void)state;
    static const struct {
        double from[2], to[2], km;
    } cases[] = {
        {{0, 0}, {0, 0}, 0},
        {{52.52, 13.40}, {48.85, 2.35}, 878},      /* Berlin, Paris */
        {{-33.87, 151.21}, {51.51, -0.13}, 16994}, /* Sydney, London */
        {{0, 179.5}, {0, -179.5}, 111},            /* over the date line */
        {{90, 0}, {-90, 100}, 20015},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        double km =
            geo_distance_km(cases[i].from[0], cases[i].from[1], cases[i].to[0], cases[i].to[1]);
        double back =
            geo_distance_km(cases[i].to[0], cases[i].to[1], cases[i].from[0], cases[i].from[1]);
        if (fabs(km - cases[i].km) > 5 || fabs(km - back) > 1e-6)
            fail_msg("case %zu: %.1f km", i, km);
    }
}

/* Cut short and with bytes turned over: refused or harmless, never a crash. What is behind the mark
 * of the metadata stays whole: libmaxminddb 1.7 forgets some memory when it refuses these. */
static void geo_test_damaged(void **state)
{
    (void)state;
    char folder[] = "/tmp/weir-geo-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char *path = file_join(folder, "damaged");
    CLEAN_BUF struct buf whole = BUF_EMPTY;
    assert_int_equal(file_read(geo_test_path, 1 << 20, &whole), 0);
    struct addr a;
    assert_int_equal(addr_parse(STR("192.0.2.1"), &a), 0);
    unsigned opened = 0;
    const char *mark = memmem(whole.data, whole.size, "MaxMind.com", strlen("MaxMind.com"));
    assert_non_null(mark);
    for (size_t at = 0; at < (size_t)(mark - whole.data); at += 7) {
        for (unsigned kind = 0; kind < 2; kind++) {
            CLEAN_BUF struct buf text = BUF_EMPTY;
            buf_put(&text, whole.data, kind == 0 ? at : whole.size);
            if (kind == 1)
                text.data[at] = (char)(text.data[at] ^ 0xff);
            assert_int_equal(file_write(path, buf_str(&text), 0600), 0);
            struct geo *g = NULL;
            struct err err = {{0}};
            if (geo_open(path, &g, &err) < 0) {
                assert_non_null(strstr(err.text, "geo_file"));
                continue;
            }
            opened++;
            struct geo_place place;
            int r = geo_find(g, &a, &place);
            assert_true(r == 0 || r == -ENOENT || r == -EBADMSG);
            geo_free(g);
        }
    }
    assert_true(opened > 0);
    struct geo *g = NULL;
    assert_int_equal(geo_open("/nonexistent/geo", &g, NULL), -ENOENT);
    assert_int_equal(file_remove_all(folder), 0);
    free(path);
}

int main(int argc, char **argv)
{
    assert_int_equal(argc, 2);
    geo_test_path = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(geo_test_find),
        cmocka_unit_test(geo_test_position),
        cmocka_unit_test(geo_test_distance),
        cmocka_unit_test(geo_test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
