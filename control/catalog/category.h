/* SPDX-License-Identifier: Apache-2.0 */
/* category: a tree of subjects. Videos name categories; each video's `path` has those and all that
 * is above them, so that who looks for "science" finds "science/space".
 *
 * A category that moves or goes changes the paths of videos. It is marked (dirty_ms) with the very
 * change, and the sweep makes the paths anew and takes the mark away: stopped in between, it begins
 * again. Two moves at once may close a ring: readers end at CATEGORY_DEPTH_MAX, and the sweep
 * makes the ring's youngest change a root.
 *
 * Life:    category_tree_load -> category_tree_* -> category_tree_free; changes one by one.
 * Owner:   documents and trees answered are the caller's.
 * Threads: any; what takes a db blocks.
 * Errors:  -EPROTO with the fault filled; else as db.h.
 * Units:   milliseconds since 1970. */
#pragma once
#include "base/str.h"
#include "control/fault.h"
#include "db/db.h"

#define CATEGORY_MAX       1000
#define CATEGORY_DEPTH_MAX 8
#define CATEGORY_QUIET_MS  3000 /* whoever changed a video by the tree before is through by then */

struct category_tree {
    json_t *docs;  /* by position, then name */
    json_t *by_id; /* id -> document */
};

MUST_USE int category_tree_load(struct db *db, struct category_tree *ret);
void category_tree_free(struct category_tree *t);
const json_t *category_tree_get(const struct category_tree *t, const char *id); /* NULL: none */

/* The categories of the list that exist, and all above them; sorted. NULL: no memory. */
json_t *category_tree_path(const struct category_tree *t, const json_t *categories);

/* What the API shows: a list of roots with their "children". NULL: no memory. */
json_t *category_tree_public(const struct category_tree *t);
json_t *category_public(const json_t *category);

/* ask: {"id", "name", "parent", "position"}. 409 CATEGORY_EXISTS, 422 PARENT_INVALID,
 * 409 CATEGORIES_FULL. */
MUST_USE int category_create(struct db *db, const json_t *ask, int64_t now_ms, json_t **ret,
                             struct fault *fault);
/* rev < 0: whatever it is; else -ESTALE where it is another. */
MUST_USE int category_change(struct db *db, const char *id, const json_t *patch, int64_t rev,
                             int64_t now_ms, json_t **ret, struct fault *fault);
/* 409 CATEGORY_HAS_CHILDREN. Its videos lose it. */
MUST_USE int category_delete(struct db *db, const char *id, int64_t now_ms, struct fault *fault);

MUST_USE int category_sweep(struct db *db, int64_t now_ms, uint64_t *ret_count);
