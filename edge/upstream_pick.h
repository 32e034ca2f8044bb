/* SPDX-License-Identifier: Apache-2.0 */
/* upstream_pick: which of several servers a key belongs to, and who is next. Pure.
 *
 * Life:    none.
 * Owner:   the caller.
 * Threads: any.
 * Errors:  none.
 * Units:   none.
 * Source:  rendezvous hashing (Thaler, Ravishankar: A Name-Based Mapping Scheme for Rendezvous):
 *          each server scores each key by a hash of both, the highest has it. Losing a server moves
 *          its keys and no others, each to whoever was second for it. */
#pragma once
#include "base/digest.h"

#define PICK_MAX 64

struct pick_server {
    struct digest id; /* the same wherever the server is known */
    bool healthy;
};

/* Indices into s, best first: healthy ones before the others, each by their score for key. */
void pick_by_key(const struct digest *key, const struct pick_server *s, unsigned count,
                 uint8_t out[PICK_MAX]);

/* The same by their place in s. */
void pick_by_place(const struct pick_server *s, unsigned count, uint8_t out[PICK_MAX]);
