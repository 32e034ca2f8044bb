/* SPDX-License-Identifier: Apache-2.0 */
/* folder_tier: a struct store_tier that keeps blobs as files in a folder, from a thread of its own,
 * and fails, waits and lies as it is told. */
#pragma once
#include "store/tier.h"

struct folder_tier;

enum folder_call { FOLDER_GET, FOLDER_PUT, FOLDER_REMOVE, FOLDER_CALLS };

enum folder_lie {
    FOLDER_HONEST,
    FOLDER_FLIPS, /* a bit of what get gives */
    FOLDER_CUTS,  /* gives a byte less */
};

struct folder_tier *folder_tier_new(const char *folder); /* made when absent */
struct folder_tier *folder_tier_free(struct folder_tier *t);
struct store_tier *folder_tier_of(struct folder_tier *t);

/* The next count calls of that kind answer res and do nothing else; count UINT_MAX: all. */
void folder_tier_fail(struct folder_tier *t, enum folder_call call, int res, unsigned count);
/* Calls of that kind wait until it is let go. */
void folder_tier_hold(struct folder_tier *t, enum folder_call call, bool hold);
void folder_tier_lie(struct folder_tier *t, enum folder_lie lie);

void folder_tier_give(struct folder_tier *t, const struct digest *d,
                      struct rbuf *blob);                                 /* at once */
unsigned folder_tier_calls(struct folder_tier *t, enum folder_call call); /* taken so far */
void folder_tier_await(struct folder_tier *t, enum folder_call call, unsigned calls);
bool folder_tier_has(struct folder_tier *t, const struct digest *d); /* whole and right */
unsigned folder_tier_count(struct folder_tier *t);                   /* files */
