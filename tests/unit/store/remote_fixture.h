/* SPDX-License-Identifier: Apache-2.0 */
/* remote_fixture: a store with a remote tier in a folder beside it, and presentations that are
 * lists of digests. */
#pragma once
#include "folder_tier.h"
#include "store_fixture.h"

struct remote {
    struct fixture f;
    char folder[80]; /* of the tier */
    struct folder_tier *tier;
};

void remote_new(struct remote *r, enum store_durability durability); /* does not open */
void remote_free(struct remote *r);

/* A put that is under way. */
struct remote_put {
    bool done;
    int res;
};
void remote_put(struct remote *r, struct remote_put *p, uint64_t seed, uint32_t size);
/* Turns the worker for a moment: what can end ends. */
void remote_turn(struct remote *r);

struct digest remote_digest(uint64_t seed, uint32_t size);
struct store_blob remote_look(struct remote *r, uint64_t seed, uint32_t size); /* must be known */
bool remote_has(struct remote *r, uint64_t seed, uint32_t size); /* the tier, whole and right */
struct store_stat remote_stat(struct remote *r);

/* A ref to a presentation that names these blobs; all are in the store. */
void remote_publish(struct remote *r, const char *name, uint64_t first, unsigned count,
                    uint32_t size);
store_links remote_links;

/* For conditions that come true by themselves; fails the test after half a minute. */
bool remote_patience(unsigned *tries);
