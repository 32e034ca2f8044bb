/* SPDX-License-Identifier: Apache-2.0 */
/* seen_priv: what seen.c counts and seen_admin.c tells.
 *
 * Life:    struct edge's.
 * Owner:   struct edge.
 * Threads: figures and tops have their own rules; the rest is read-only.
 * Errors:  none.
 * Units:   none. */
#pragma once
#include "edge/seen.h"
#include "edge/top.h"

struct seen_route {
    char label[ROUTE_LABEL_SIZE];
    struct metric *requests[SEEN_TIERS];
    struct metric *bytes[SEEN_TIERS];
};

struct seen {
    uint32_t magic;
#define SEEN_MAGIC UINT32_C(0x5ee10a5e)
    uint64_t started_ms;
    struct seen_route *routes; /* by index */
    unsigned routes_count;
    struct metric *first_byte[SEEN_TIERS];
    struct tops *assets;
    struct tops *urls; /* of answers from RAM */
};

const char *seen_tier_name(enum seen_tier tier);
bool seen_tier_is_hit(enum seen_tier tier); /* its body was kept here */
