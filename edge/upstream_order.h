/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_order: who is asked for a key, in which order: siblings that come before ourselves for
 * it, then parents, then servers; of those that are down, servers and parents once more at the end.
 *
 * Life:    none.
 * Owner:   the caller.
 * Threads: any.
 * Errors:  none; there is always a server.
 * Units:   milliseconds. */
#pragma once
#include "base/field.h"
#include "edge/upstream.h"

#define UPSTREAM_SIBLINGS_TRIED 2 /* of one question: the owner, and who is next */

struct upstream_order {
    unsigned count;
    unsigned servers_from; /* the first that is no other edge */
    struct upstream_server *at[UPSTREAM_ALL_MAX];
};

/* came: the fields of the request that it is for: a sibling's goes to no sibling.
 * by_peers false: servers alone. */
void upstream_order(const struct upstream *u, const struct digest *key, const struct fields *came,
                    bool by_peers, uint64_t now_ms, struct upstream_order *ret);

#define UPSTREAM_TO_SIBLING "to=sibling" /* the parameter of our id in CDN-Loop */

/* What CDN-Loop says of whom a request came from (RFC 8586). */
bool upstream_loop_has(const struct fields *came, struct str id); /* it has been here before */
bool upstream_loop_is_sibling(const struct fields *came);         /* the last was one of ours */
