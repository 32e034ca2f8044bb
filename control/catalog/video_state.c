/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/video_state.h"
#include <errno.h>

static const char *const video_state_names[VIDEO_STATES] = {
    [VIDEO_DRAFT] = "draft",           [VIDEO_UPLOADING] = "uploading",
    [VIDEO_PROCESSING] = "processing", [VIDEO_READY] = "ready",
    [VIDEO_SCHEDULED] = "scheduled",   [VIDEO_PUBLISHED] = "published",
    [VIDEO_WITHDRAWN] = "withdrawn",   [VIDEO_FAILED] = "failed",
};

#define OWNER  VIDEO_BY_OWNER
#define UPLOAD VIDEO_BY_UPLOAD
#define CLOCK  VIDEO_BY_CLOCK

/* [from][to]: who may. What is not here nobody may. */
static const unsigned char video_state_arrows[VIDEO_STATES][VIDEO_STATES] = {
    [VIDEO_DRAFT] =
        {
            [VIDEO_UPLOADING] = UPLOAD,
            [VIDEO_PROCESSING] = UPLOAD, /* ingest was given the film by other means */
            [VIDEO_READY] = UPLOAD,
        },
    [VIDEO_UPLOADING] =
        {
            [VIDEO_DRAFT] = UPLOAD | OWNER, /* given up */
            [VIDEO_PROCESSING] = UPLOAD,
            [VIDEO_READY] = UPLOAD,
            [VIDEO_FAILED] = UPLOAD,
        },
    [VIDEO_PROCESSING] =
        {
            [VIDEO_READY] = UPLOAD,
            [VIDEO_FAILED] = UPLOAD,
        },
    [VIDEO_READY] =
        {
            [VIDEO_SCHEDULED] = OWNER,
            [VIDEO_PUBLISHED] = OWNER | UPLOAD,
        },
    [VIDEO_SCHEDULED] =
        {
            [VIDEO_READY] = OWNER,
            [VIDEO_PUBLISHED] = OWNER | CLOCK,
        },
    [VIDEO_PUBLISHED] =
        {
            [VIDEO_WITHDRAWN] = OWNER | CLOCK,
        },
    [VIDEO_WITHDRAWN] =
        {
            [VIDEO_SCHEDULED] = OWNER,
            [VIDEO_PUBLISHED] = OWNER,
        },
    [VIDEO_FAILED] =
        {
            [VIDEO_DRAFT] = OWNER,
            [VIDEO_UPLOADING] = UPLOAD,
            [VIDEO_PROCESSING] = UPLOAD,
            [VIDEO_READY] = UPLOAD,
        },
};

const char *video_state_name(enum video_state state)
{
    ASSERT((unsigned)state < VIDEO_STATES);
    return video_state_names[state];
}

int video_state_parse(struct str name, enum video_state *ret)
{
    for (unsigned i = 0; i < VIDEO_STATES; i++)
        if (str_eq(name, str_of(video_state_names[i]))) {
            *ret = (enum video_state)i;
            return 0;
        }
    return -EINVAL;
}

bool video_state_may(enum video_state from, enum video_state to, enum video_mover by)
{
    ASSERT((unsigned)from < VIDEO_STATES);
    ASSERT((unsigned)to < VIDEO_STATES);
    return from == to || (video_state_arrows[from][to] & by) != 0;
}

bool video_state_has_film(enum video_state state)
{
    return state == VIDEO_READY || state == VIDEO_SCHEDULED || state == VIDEO_PUBLISHED ||
           state == VIDEO_WITHDRAWN;
}

int64_t video_state_due(const struct video_schedule *s)
{
    if (s->state == VIDEO_SCHEDULED)
        return s->publish_at_ms;
    if (s->state == VIDEO_PUBLISHED)
        return s->withdraw_at_ms;
    return 0;
}

enum video_state video_state_now(const struct video_schedule *s, int64_t now_ms)
{
    struct video_schedule at = *s;
    for (;;) {
        int64_t due_ms = video_state_due(&at);
        if (due_ms == 0 || due_ms > now_ms)
            return at.state;
        enum video_state next = at.state == VIDEO_SCHEDULED ? VIDEO_PUBLISHED : VIDEO_WITHDRAWN;
        ASSERT(video_state_may(at.state, next, VIDEO_BY_CLOCK)); /* so it ends */
        at.state = next;
    }
}
