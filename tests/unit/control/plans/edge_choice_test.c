/* SPDX-License-Identifier: Apache-2.0 */
#include "control/plans/edge_choice.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include "../../unit.h"

#define DRAWS 20000

static const char *const of_germany[] = {"DE", "AT"};
static const char *const of_europe[] = {"EU."};
static const char *const of_namibia[] = {"NA"};
#define PLACES(list) .places = (list), .places_count = ARRAY_LEN(list)

#define BERLIN     .has_position = true, .latitude = 52.52, .longitude = 13.40
#define MUNICH     .has_position = true, .latitude = 48.14, .longitude = 11.58 /* 504 km */
#define LEIPZIG    .has_position = true, .latitude = 51.34, .longitude = 12.37 /* 149 km */
#define NEW_YORK   .has_position = true, .latitude = 40.71, .longitude = -74.01
#define UP(name)   .url = name, .weight = 1, .is_up = true
#define DOWN(name) .url = name, .weight = 1

struct row {
    const char *what;
    struct edge_view edges[4];
    struct edge_viewer viewer;
    const char *chosen; /* the letters of all that may be drawn, each at least once */
};

static const struct row rows[] = {
    {"one", {{UP("a")}}, {0}, "a"},
    {"one that is down: there is no other", {{DOWN("a")}}, {0}, "a"},
    {"all are down", {{DOWN("a")}, {DOWN("b")}}, {0}, "ab"},
    {"one is down", {{DOWN("a")}, {UP("b")}, {UP("c")}}, {0}, "bc"},
    {"the country's",
     {{UP("a")}, {UP("b"), PLACES(of_germany)}, {UP("c"), PLACES(of_europe)}},
     {.country = "AT", .continent = "EU"},
     "b"},
    {"the country's is down",
     {{UP("a")}, {DOWN("b"), PLACES(of_germany)}, {UP("c"), PLACES(of_europe)}},
     {.country = "AT", .continent = "EU"},
     "c"},
    {"the continent's",
     {{UP("a")}, {UP("b"), PLACES(of_germany)}, {UP("c"), PLACES(of_europe)}},
     {.country = "FR", .continent = "EU"},
     "c"},
    {"nobody's place",
     {{UP("a")}, {UP("b"), PLACES(of_germany)}, {UP("c"), PLACES(of_europe)}},
     {.country = "JP", .continent = "AS"},
     "a"},
    {"place unknown", {{UP("a")}, {UP("b"), PLACES(of_germany)}}, {0}, "a"},
    {"place unknown, all have one",
     {{UP("a"), PLACES(of_europe)}, {UP("b"), PLACES(of_germany)}},
     {.country = ""},
     "ab"},
    {"Namibia is not North America",
     {{UP("a"), PLACES(of_namibia)}, {UP("b")}},
     {.country = "US", .continent = "NA"},
     "b"},
    {"North America is not Namibia",
     {{UP("a"), PLACES(of_namibia)}, {UP("b")}},
     {.country = "NA", .continent = "AF"},
     "a"},
    {"full ones are spared", {{UP("a"), .load = 0.95}, {UP("b"), .load = 0.5}}, {0}, "b"},
    {"all are full", {{UP("a"), .load = 0.95}, {UP("b"), .load = 1.2}}, {0}, "ab"},
    {"the nearest", {{UP("a"), NEW_YORK}, {UP("b"), MUNICH}, {UP("c"), BERLIN}}, {BERLIN}, "c"},
    {"near enough", {{UP("a"), NEW_YORK}, {UP("b"), LEIPZIG}, {UP("c"), BERLIN}}, {BERLIN}, "bc"},
    {"the nearest is full",
     {{UP("a"), NEW_YORK}, {UP("b"), MUNICH}, {UP("c"), BERLIN, .load = 1}},
     {BERLIN},
     "b"},
    {"the nearest is down",
     {{UP("a"), NEW_YORK}, {UP("b"), MUNICH}, {DOWN("c"), BERLIN}},
     {BERLIN},
     "b"},
    {"position unknown of one", {{UP("a")}, {UP("b"), NEW_YORK}}, {BERLIN}, "b"},
    {"position unknown of all", {{UP("a")}, {UP("b")}}, {BERLIN}, "ab"},
    {"the viewer's position unknown", {{UP("a"), BERLIN}, {UP("b"), NEW_YORK}}, {0}, "ab"},
    {"the country comes before the distance",
     {{UP("a"), NEW_YORK, PLACES(of_germany)}, {UP("b"), BERLIN}},
     {.country = "DE", BERLIN},
     "a"},
};

static unsigned count_of(const struct edge_view *edges, unsigned most)
{
    unsigned count = 0;
    while (count < most && edges[count].url != NULL)
        count++;
    return count;
}

static void draw(const struct edge_view *edges, unsigned count, const struct edge_viewer *viewer,
                 unsigned draws, unsigned *got)
{
    for (unsigned i = 0; i < draws; i++) {
        char lot[16];
        unsigned at = 99;
        (void)snprintf(lot, sizeof lot, "s%u", i);
        assert_int_equal(edge_choose(edges, count, viewer, str_of(lot), &at), 0);
        assert_true(at < count);
        got[at]++;
    }
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        unsigned got[4] = {0};
        unsigned count = count_of(row->edges, ARRAY_LEN(row->edges));
        draw(row->edges, count, &row->viewer, 200, got);
        for (unsigned e = 0; e < count; e++) {
            bool may = strchr(row->chosen, row->edges[e].url[0]) != NULL;
            if (may != (got[e] > 0))
                fail_msg("%s: %s drawn %u times", row->what, row->edges[e].url, got[e]);
        }
    }
}

/* Weights and free capacity share the draws: 1 to 3, and 2 * 0.25 to 1. */
static void test_shares(void **state)
{
    (void)state;
    const struct edge_viewer viewer = {0};
    struct edge_view edges[] = {{UP("a")}, {UP("b")}, {UP("c")}};
    unsigned got[3] = {0};
    edges[1].weight = 3;
    draw(edges, 2, &viewer, DRAWS, got);
    assert_true(fabs((double)got[0] / DRAWS - 0.25) < 0.02);
    edges[0].weight = 2;
    edges[0].load = 0.75;
    edges[1].weight = 1;
    memset(got, 0, sizeof got);
    draw(edges, 2, &viewer, DRAWS, got);
    assert_true(fabs((double)got[0] / DRAWS - 1 / 3.0) < 0.02);
}

/* The same lot stays where it was when another edge comes or goes. */
static void test_stays(void **state)
{
    (void)state;
    const struct edge_viewer viewer = {0};
    struct edge_view edges[] = {{UP("a")}, {UP("b")}, {UP("c")}};
    for (unsigned i = 0; i < 1000; i++) {
        char lot[16];
        unsigned before, after;
        (void)snprintf(lot, sizeof lot, "s%u", i);
        edges[1].is_up = true;
        assert_int_equal(edge_choose(edges, 3, &viewer, str_of(lot), &before), 0);
        edges[1].is_up = false;
        assert_int_equal(edge_choose(edges, 3, &viewer, str_of(lot), &after), 0);
        assert_true(after != 1 && (before == 1 || before == after));
    }
}

static void test_bounds(void **state)
{
    (void)state;
    const struct edge_viewer viewer = {BERLIN};
    struct edge_view edges[EDGE_COUNT_MAX] = {{UP("a")}};
    char names[EDGE_COUNT_MAX][8];
    unsigned at = 7;
    assert_int_equal(edge_choose(edges, 0, &viewer, STR("x"), &at), -ENOENT);
    assert_int_equal(at, 7);
    for (unsigned i = 0; i < EDGE_COUNT_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], "e%u", i);
        edges[i] = (struct edge_view){.url = names[i], .weight = 1, .is_up = i == 63, BERLIN};
    }
    assert_int_equal(edge_choose(edges, EDGE_COUNT_MAX, &viewer, STR_NONE, &at), 0);
    assert_int_equal(at, 63);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_stays),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests_name("control edge choice", tests, NULL, NULL);
}
