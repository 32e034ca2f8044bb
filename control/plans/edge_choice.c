/* SPDX-License-Identifier: Apache-2.0 */
#include "control/plans/edge_choice.h"
#include <errno.h>
#include <math.h>
#include "base/digest.h"
#include "geo/geo.h"

struct choice {
    const struct edge_view *edges;
    const struct edge_viewer *viewer;
    double nearest_km;
};

typedef bool choice_step(const struct choice *c, const struct edge_view *e);

static bool choice_names(const struct edge_view *e, const char *code, char behind)
{
    if (code == NULL || code[0] == 0)
        return false;
    for (unsigned i = 0; i < e->places_count; i++) {
        const char *place = e->places[i];
        if (strncmp(place, code, 2) == 0 && place[2] == behind)
            return true;
    }
    return false;
}

static bool choice_is_up(const struct choice *c, const struct edge_view *e)
{
    (void)c;
    return e->is_up;
}

static bool choice_of_country(const struct choice *c, const struct edge_view *e)
{
    return choice_names(e, c->viewer->country, 0);
}

static bool choice_of_continent(const struct choice *c, const struct edge_view *e)
{
    return choice_names(e, c->viewer->continent, '.');
}

static bool choice_of_no_place(const struct choice *c, const struct edge_view *e)
{
    (void)c;
    return e->places_count == 0;
}

static bool choice_has_room(const struct choice *c, const struct edge_view *e)
{
    (void)c;
    return e->load < EDGE_LOAD_FULL;
}

static double choice_km(const struct choice *c, const struct edge_view *e)
{
    return geo_distance_km(c->viewer->latitude, c->viewer->longitude, e->latitude, e->longitude);
}

static bool choice_is_near(const struct choice *c, const struct edge_view *e)
{
    return e->has_position && choice_km(c, e) <= c->nearest_km + EDGE_NEAR_KM;
}

/* Keeps those that the step takes, in *set; false, and all stay, when it takes none. */
static bool choice_narrow(const struct choice *c, choice_step *step, uint64_t *set)
{
    uint64_t left = 0;
    for (unsigned i = 0; i < EDGE_COUNT_MAX; i++)
        if ((*set >> i & 1) != 0 && step(c, &c->edges[i]))
            left |= UINT64_C(1) << i;
    if (left != 0)
        *set = left;
    return left != 0;
}

static void choice_by_distance(struct choice *c, uint64_t *set)
{
    if (!c->viewer->has_position)
        return;
    c->nearest_km = INFINITY;
    for (unsigned i = 0; i < EDGE_COUNT_MAX; i++)
        if ((*set >> i & 1) != 0 && c->edges[i].has_position)
            c->nearest_km = fmin(c->nearest_km, choice_km(c, &c->edges[i]));
    (void)choice_narrow(c, choice_is_near, set);
}

/* Weighted rendezvous: of all -weight / ln(u) the greatest, u in (0, 1) from edge and lot. */
static double choice_score(const struct edge_view *e, struct str lot)
{
    uint8_t text[2 * DIGEST_SIZE];
    struct digest url = digest_of(e->url, strlen(e->url));
    struct digest drawn = digest_of(lot.data != NULL ? lot.data : "", lot.size);
    memcpy(text, url.bytes, DIGEST_SIZE);
    memcpy(text + DIGEST_SIZE, drawn.bytes, DIGEST_SIZE);
    struct digest both = digest_of(text, sizeof text);
    uint64_t n = 0;
    for (unsigned i = 0; i < 6; i++)
        n = n << 8 | both.bytes[i];
    double u = ((double)n + 0.5) / 281474976710656.0; /* 2^48 */
    double free_part = fmax(1 - e->load, 1 - EDGE_LOAD_FULL);
    return -(e->weight * free_part) / log(u);
}

int edge_choose(const struct edge_view *edges, unsigned count, const struct edge_viewer *viewer,
                struct str lot, unsigned *ret)
{
    struct choice c = {.edges = edges, .viewer = viewer};
    ASSERT(count <= EDGE_COUNT_MAX);
    if (count == 0)
        return -ENOENT;
    uint64_t set = count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
    (void)choice_narrow(&c, choice_is_up, &set);
    if (!choice_narrow(&c, choice_of_country, &set) &&
        !choice_narrow(&c, choice_of_continent, &set))
        (void)choice_narrow(&c, choice_of_no_place, &set);
    (void)choice_narrow(&c, choice_has_room, &set);
    choice_by_distance(&c, &set);
    double best_score = -1;
    unsigned best = 0;
    for (unsigned i = 0; i < count; i++) {
        if ((set >> i & 1) == 0)
            continue;
        double score = choice_score(&edges[i], lot);
        if (score > best_score) {
            best_score = score;
            best = i;
        }
    }
    *ret = best;
    return 0;
}
