/* SPDX-License-Identifier: Apache-2.0 */
/* edge_choice: which edge a viewer is sent to. Pure: what is known of edges and viewer goes in, an
 * index comes out.
 *
 * Life:    fill a struct edge_view an edge and a struct edge_viewer -> edge_choose.
 * Owner:   the caller; texts are lent for the call.
 * Threads: any.
 * Errors:  -ENOENT: there is no edge at all.
 * Units:   degrees, kilometres; load from 0 (idle) to 1 (all it can).
 *
 * Steps, each narrows what the one before has left; a step that would leave nothing is skipped:
 *  1. Health: edges that answered when they were last asked. If none did it may be us who are cut
 *     off, and players may reach them all the same.
 *  2. Places: edges that name the viewer's country, else those that name the continent, else those
 *     that name no place (they serve everybody).
 *  3. Load: edges below EDGE_LOAD_FULL.
 *  4. Distance: the nearest, and those at most EDGE_NEAR_KM farther; edges whose position is not
 *     known only where no position is.
 *  5. Weight times free capacity, by lot: the session's id draws, so that the same session always
 *     gets the same edge while nothing changes (weighted rendezvous hashing). */
#pragma once
#include "base/str.h"

#define EDGE_COUNT_MAX 64
#define EDGE_LOAD_FULL 0.9
#define EDGE_NEAR_KM   400.0

struct edge_view {
    const char *url;
    double weight; /* > 0 */
    bool is_up;
    double load; /* 0 where it is not known */
    bool has_position;
    double latitude;
    double longitude;
    const char *const *places; /* codes of countries ("DE") and continents ("EU.") */
    unsigned places_count;
};

/* Continents are written with a dot behind, because NA is Namibia and North America. */
struct edge_viewer {
    const char *country;   /* "" or NULL: not known */
    const char *continent; /* "" or NULL: not known */
    bool has_position;
    double latitude;
    double longitude;
};

MUST_USE int edge_choose(const struct edge_view *edges, unsigned count,
                         const struct edge_viewer *viewer, struct str lot, unsigned *ret);
