/* SPDX-License-Identifier: Apache-2.0 */
/* edition: whether a presentation still counts for an asset of a Weir upstream, after purges: from
 * when on it was so is a record of its own (lib/store/objects.h), so that a restart knows it too.
 *
 * Life:    none.
 * Owner:   none.
 * Threads: any.
 * Errors:  none: a record that is not there makes it as old as can be.
 * Units:   sequences of purges. */
#pragma once
#include "edge/edge.h"
#include "store/objects.h"

#define EDITION_TAGS 2u

/* What a ref falls under: its asset, and all of its upstream. */
void edition_tags(const struct upstream *u, struct str asset, struct digest out[EDITION_TAGS]);

/* The origin, asked at that sequence, said so. */
void edition_keep(struct edge *e, const struct upstream *u, struct str asset,
                  const struct digest *presentation, uint64_t sequence);
/* 0: not known. */
uint64_t edition_sequence(struct edge *e, const struct upstream *u, struct str asset,
                          const struct digest *presentation);
/* It was purged, hard, since. */
bool edition_is_gone(struct edge *e, const struct upstream *u, struct str asset,
                     const struct digest *presentation);
