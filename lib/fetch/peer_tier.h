/* SPDX-License-Identifier: Apache-2.0 */
/* peer_tier: other origins as a tier that is only read: GET <base>/blob/<digest>, each in turn
 * until one has it. What comes is checked against its name here too, so that one peer's damage does
 * not hide another's good copy.
 *
 * Requests carry "CDN-Loop: weir" (RFC 8586): an origin that sees it must answer from what it has
 * and ask none of its own peers, or two that lack a blob would ask each other for ever.
 *
 * Life:    peer_tier_new -> ops of store/tier.h -> ops->free.
 * Owner:   the daemon.
 * Threads: as store/tier.h says; requests are made by a thread of the tier's own.
 * Errors:  get: -ENOENT only when every peer has said so; else what the last that failed said.
 *          put, remove: -EROFS; list: -EOPNOTSUPP. check: 0 when one peer at least answers.
 * Units:   milliseconds, bytes.
 * Source:  docs/api.md; RFC 8586. */
#pragma once
#include "store/tier.h"

#define PEER_TIER_PEERS_MAX 16

struct peer_options {
    const char *const *urls;   /* "https://origin-2.example:8443"; with a path, it is kept */
    unsigned urls_count;       /* 1 to PEER_TIER_PEERS_MAX */
    const char *bearer_file;   /* the credential that reads; NULL: none is asked for */
    const char *ca_file;       /* trusted roots; NULL: the system's */
    uint32_t connect_ms;       /* 0: 2 s */
    uint32_t stall_ms;         /* no byte for that long; 0: 10 s */
    unsigned retries;          /* at the same peer, before the next is asked */
    unsigned breaker_failures; /* so many in a row, and a peer is left alone; 0: 8 */
    uint32_t breaker_ms;       /* for so long; 0: 1 s */
    unsigned transfers_max;    /* at a time; 0: 16 */
    unsigned waiting_max;      /* requests beyond those, then -EAGAIN; 0: 256 */
};

MUST_USE int peer_tier_new(const struct peer_options *options, struct err *err,
                           struct store_tier **ret);
