/* SPDX-License-Identifier: Apache-2.0 */
/* video_state: what a video may become, and who may make it so. Pure.
 *
 *                 ┌──────────────── failed ◀──────┐
 *                 ▼                  ▲            │
 *   draft ──▶ uploading ──▶ processing ──▶ ready ─┼▶ scheduled ──▶ published ──▶ withdrawn
 *     ▲──────────┘                         ▲ └────┼──────────────────▲ ▲            │
 *                                          └──────┴── (unscheduled)    └────────────┘
 *
 * Life:    static data.
 * Owner:   -
 * Threads: any.
 * Errors:  -
 * Units:   milliseconds since 1970; 0: never. */
#pragma once
#include "base/str.h"

enum video_state {
    VIDEO_DRAFT,      /* described; no film yet */
    VIDEO_UPLOADING,  /* a film is on its way here */
    VIDEO_PROCESSING, /* ingest has it */
    VIDEO_READY,      /* it could be published */
    VIDEO_SCHEDULED,  /* it will be, at publish_at */
    VIDEO_PUBLISHED,
    VIDEO_WITHDRAWN, /* was published; the film stays */
    VIDEO_FAILED,    /* the film cannot be used */
    VIDEO_STATES,
};

/* Who moves it. */
enum video_mover {
    VIDEO_BY_OWNER = 1,  /* the creator, or an admin */
    VIDEO_BY_UPLOAD = 2, /* the upload and ingest */
    VIDEO_BY_CLOCK = 4,  /* the sweep */
};

const char *video_state_name(enum video_state state);
MUST_USE int video_state_parse(struct str name, enum video_state *ret); /* -EINVAL */

/* A state may always stay as it is. */
bool video_state_may(enum video_state from, enum video_state to, enum video_mover by);

/* Whether a film stands behind it: such a video has a length. */
bool video_state_has_film(enum video_state state);

struct video_schedule {
    enum video_state state;
    int64_t publish_at_ms;
    int64_t withdraw_at_ms;
};

/* Where the clock has brought it by now: also over several steps, when they became due while nobody
 * looked. */
enum video_state video_state_now(const struct video_schedule *s, int64_t now_ms);

/* When the clock moves it next; 0: not at all. */
int64_t video_state_due(const struct video_schedule *s);
