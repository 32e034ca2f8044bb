/* SPDX-License-Identifier: Apache-2.0 */
/* purge_ask: what a call of POST /purge asks for, as marks.
 *
 * Life:    = {0} -> purge_ask_read -> purge_ask_clear.
 * Owner:   the caller's struct.
 * Threads: one at a time; routes and upstreams are only read.
 * Errors:  -EINVAL with a sentence that names the key or the name; -ENOMEM.
 * Units:   none. */
#pragma once
#include "edge/route.h"
#include "store/objects.h"

#define PURGE_NAMES_MAX 10000u /* URLs, assets and tags in one call */
#define PURGE_NAME_MAX  8192u

struct purge_ask {
    struct digest *tags;
    unsigned count, cap;
    bool soft, everything;
    bool is_spread; /* to the other edges; false: a call of one of them */
    unsigned urls, assets, names;
    /* Of the edge that passes it on: its marks from before to sequence are these. */
    bool has_from;
    uint8_t from_id[OBJECTS_ID_SIZE];
    uint64_t from_before, from_sequence;
};

MUST_USE int purge_ask_read(struct str body, const struct routes *routes,
                            struct upstreams *upstreams, struct purge_ask *ret, struct err *err);
void purge_ask_clear(struct purge_ask *a);
