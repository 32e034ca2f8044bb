/* SPDX-License-Identifier: Apache-2.0 */
/* result: the presentation of a film whose work is complete.
 *
 * Life:    result_build -> presentation_free by the caller.
 * Owner:   the caller.
 * Threads: any, once the encode has ended.
 * Errors:  -errno with a sentence in err.
 * Units:   as presentation.h. */
#pragma once
#include "ingest/ladder.h"
#include "ingest/probe.h"
#include "ingest/work.h"

struct result_about {
    const char *asset;
    const char *title;
    int64_t created_ms; /* of the job: a restart makes the same presentation */
};

MUST_USE int result_build(const struct probe *p, const struct ladder *l, struct work *w,
                          const struct result_about *about, struct presentation **ret,
                          struct err *err);

/* Where the video ends. */
uint64_t result_duration_ms(const struct probe *p, const struct ladder *l, struct work *w);
