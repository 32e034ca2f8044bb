/* SPDX-License-Identifier: Apache-2.0 */
/* video: a video's document: how it begins, what a change does to it, what the API shows of it.
 * Pure but for the fault's text.
 *
 * Life:    video_new -> (video_apply | video_film | video_move -> video_settle -> stored)*
 * Owner:   documents are the caller's.
 * Threads: any.
 * Errors:  -EPROTO with the fault filled, -ENOMEM. The document may be half changed then.
 * Units:   milliseconds since 1970. */
#pragma once
#include <jansson.h>
#include "control/catalog/video_state.h"
#include "control/catalog/visible.h"
#include "control/fault.h"

#define VIDEO_SHORT_MS (20 * 60 * 1000) /* below: "short" */
#define VIDEO_LONG_MS  (60 * 60 * 1000) /* from here on: "long"; between: "medium" */
#define VIDEO_TIER     "free"           /* which plan it needs unless said otherwise */

json_t *video_new(const char *id, const char *owner, int64_t now_ms); /* NULL: no memory */

/* A change as the API takes it: members that are absent stay, null takes away. The schema of
 * POST and PATCH has been checked; what it cannot say is checked here. */
MUST_USE int video_apply(json_t *video, const json_t *patch, int64_t now_ms, struct fault *fault);

/* What ingest tells of a finished film: title, duration_ms, height, audio, subtitles. */
MUST_USE int video_film(json_t *video, const json_t *film);

/* 409 STATE_CONFLICT where that arrow is not, or not theirs. */
MUST_USE int video_move(json_t *video, enum video_state to, enum video_mover by,
                        struct fault *fault);

/* Sets what follows from the rest: where it is seen, its place, when the clock moves it; and moves
 * it if that is due. To be called behind every change. */
MUST_USE int video_settle(json_t *video, int64_t now_ms);

enum video_state video_state_of(const json_t *video);
struct video_schedule video_schedule_of(const json_t *video);

/* What the API shows. Owners and admins see more. NULL: no memory. */
json_t *video_public(const json_t *video, const struct viewer *viewer);
