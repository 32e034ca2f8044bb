/* SPDX-License-Identifier: Apache-2.0 */
/* playback_ops: how a playback is opened, for whoever has found what is to be played: titles of the
 * catalogue, and live streams.
 *
 * Life:    a work on a pool thread: playback_begin -> playback_admit -> 0; then playback_open on
 *          the loop, which answers the call.
 * Owner:   the call has the state (c->data).
 * Threads: as said.
 * Errors:  -EPROTO with the fault filled; -errno.
 * Units:   none. */
#pragma once
#include "base/id.h"
#include "control/plans/viewer.h"
#include "control/valid.h"

struct playback_state {
    struct viewer_of *viewer;
    struct entitle_verdict verdict; /* until playback_admit: what the viewer has */
    char session[ID_TEXT_SIZE];     /* that is opened */
    char asset[VALID_ASSET_SIZE];
    json_t *video;
};

MUST_USE int playback_begin(struct call *c, struct playback_state **ret);

/* video: a document as of the catalogue; taken over. */
MUST_USE int playback_admit(struct call *c, struct playback_state *state, json_t *video,
                            const char *asset);
void playback_open(struct call *c);

/* On the loop; they answer the call. */
void playback_list_of(struct call *c, const char *user);
void playback_end_of(struct call *c, const char *user, const char *session);
struct leases *playback_leases(const struct call *c);
