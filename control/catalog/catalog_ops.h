/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_ops: what the catalogue's handlers share: who looks, refusals, videos as they are
 * listed.
 *
 * Life:    calls from a handler's work.
 * Owner:   the call; what is answered is the caller's.
 * Threads: the call's pool thread.
 * Errors:  -EPROTO with the call's fault filled, else -errno.
 * Units:   - */
#pragma once
#include "control/api/call.h"
#include "control/catalog/visible.h"

/* Who looks. Borrows from the call. */
struct viewer catalog_viewer(const struct call *c);
/* Whose favourites and history they are: the profile's, or the user's who has none. */
const char *catalog_viewer_id(const struct call *c);

/* -ENOENT and -ESTALE of a change become 404 CODE and 412; others stay. */
int catalog_refuse(struct call *c, int r, const char *code, const char *what);

/* 404 where the viewer may not see the video; the video. */
MUST_USE int catalog_path_video(struct call *c, json_t **ret);

/* What the API shows of a video, with the URL of its poster. NULL: no memory. */
json_t *catalog_show(struct call *c, const json_t *video);
json_t *catalog_show_all(struct call *c, const json_t *videos);

/* Adds to each item of the list, of what its "video" names: title, duration_ms, poster_url; null
 * where this viewer may not see it (any more). */
MUST_USE int catalog_add_videos(struct call *c, json_t *items);

/* call_page_of, with catalog_add_videos of what is shown. */
MUST_USE int catalog_page_of(struct call *c, int r, const char *name, json_t *docs, char *next,
                             json_t *(*view)(const json_t *doc));
/* One of them as the answer; takes view over, NULL: -ENOMEM. */
MUST_USE int catalog_answer_of(struct call *c, json_t *view);

/* The conditions of the query (category, language, ...) on top of what the viewer may see. */
MUST_USE int catalog_filters(struct call *c, json_t **ret_where);

/* The revision, for If-Match. */
MUST_USE int catalog_tag(struct call *c, const json_t *doc);

/* -1: any; the revision that If-Match names. */
MUST_USE int catalog_rev(struct call *c, int64_t *ret);
