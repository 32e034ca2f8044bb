/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_model: the catalogue's collections, for model.h and model.c.
 *
 * Life:    static data.
 * Owner:   -
 * Threads: any.
 * Errors:  -
 * Units:   times in milliseconds since 1970.
 *
 * rev: rises with every change that a person makes; what If-Match compares.
 * tally_ms: present while counts kept in the document may differ from what they count (tally.h).
 *
 * videos      one an asset, whose name is its id. countries: country.h. path: the categories and
 *             what is above them. due_ms: when the clock moves it (video_state.h). named: its title
 *             was given here, so ingest's does not replace it.
 * series      seasons: [{"number", "title", "summary"}]. Its episodes are videos that name it.
 * categories  a tree by parent. dirty_ms: videos' paths are to be made anew.
 * channels    who publishes; follows: who follows them, id "CHANNEL:USER".
 * playlists   items: [{"video", "added_ms"}], in order.
 * scores      a user's stars for a video, id "VIDEO:USER".
 * comments    thread: "VIDEO" or, for replies, "VIDEO/COMMENT".
 * favourites  id "VIEWER:VIDEO". A viewer is a profile.
 * history     id "YYYY-MM:VIEWER:VIDEO": what a viewer saw in a month, and how far.
 * history_months  id "YYYY-MM:VIEWER": the same, packed, once it is older than a month.
 * gone        videos, channels, users whose things are being taken away; id "KIND:ID".
 *
 * age: from which on it is fit to be seen; absent: not rated. */
#pragma once
#include "db/db.h"

#define CATALOG_MODEL_ENUM                                                                         \
    MODEL_VIDEOS, MODEL_SERIES, MODEL_CATEGORIES, MODEL_CHANNELS, MODEL_FOLLOWS, MODEL_PLAYLISTS,  \
        MODEL_SCORES, MODEL_COMMENTS, MODEL_FAVOURITES, MODEL_HISTORY, MODEL_HISTORY_MONTHS,       \
        MODEL_GONE

/* clang-format off */
#define CATALOG_MODEL_COLLECTIONS                                                                  \
    [MODEL_VIDEOS] = {                                                                             \
        .name = "videos",                                                                          \
        .members = "title:s named:b? summary:s? kind:s? owner:s? channel:s? series:s? season:i? "  \
                   "episode:i? place:i? categories:a? path:a? tags:a? language:s? audio:a "        \
                   "subtitles:a duration_ms:i length:s? height:i tier:s age:i? state:s allow:a? "  \
                   "deny:a? countries:a publish_at_ms:i? withdraw_at_ms:i? due_ms:i? "             \
                   "published_ms:i? at_once:b? failure:s? stars_sum:i? stars_count:i? "            \
                   "comments:i? tally_ms:i? created_ms:i updated_ms:i rev:i",                      \
        .keys = {{"created_ms", false}, {"state published_ms", false},                             \
                 {"channel published_ms", false}, {"series place", false},                         \
                 {"owner created_ms", false}, {"due_ms", false}, {"tally_ms", false}},             \
        .keys_count = 7,                                                                           \
        .text = "title tags summary",                                                              \
    },                                                                                             \
    [MODEL_SERIES] = {                                                                             \
        .name = "series",                                                                          \
        .members = "title:s summary:s? owner:s? channel:s? seasons:a created_ms:i updated_ms:i "   \
                   "rev:i",                                                                        \
        .keys = {{"created_ms", false}, {"channel created_ms", false}},                            \
        .keys_count = 2,                                                                           \
        .text = "title summary",                                                                   \
    },                                                                                             \
    [MODEL_CATEGORIES] = {                                                                         \
        .name = "categories",                                                                      \
        .members = "name:s parent:s? position:i dirty_ms:i? created_ms:i updated_ms:i rev:i",      \
        .keys = {{"dirty_ms", false}},                                                             \
        .keys_count = 1,                                                                           \
    },                                                                                             \
    [MODEL_CHANNELS] = {                                                                           \
        .name = "channels",                                                                        \
        .members = "handle:s title:s summary:s? owner:s? followers:i? tally_ms:i? created_ms:i "   \
                   "updated_ms:i rev:i",                                                           \
        .keys = {{"handle", true}, {"owner created_ms", false}, {"tally_ms", false},               \
                 {"created_ms", false}},                                                           \
        .keys_count = 4,                                                                           \
        .text = "title handle summary",                                                            \
    },                                                                                             \
    [MODEL_FOLLOWS] = {                                                                            \
        .name = "follows",                                                                         \
        .members = "channel:s user:s created_ms:i",                                                \
        .keys = {{"user created_ms", false}, {"channel created_ms", false}},                       \
        .keys_count = 2,                                                                           \
    },                                                                                             \
    [MODEL_PLAYLISTS] = {                                                                          \
        .name = "playlists",                                                                       \
        .members = "owner:s title:s summary:s? access:s items:a created_ms:i updated_ms:i rev:i",  \
        .keys = {{"owner created_ms", false}, {"access created_ms", false}},                       \
        .keys_count = 2,                                                                           \
    },                                                                                             \
    [MODEL_SCORES] = {                                                                             \
        .name = "scores",                                                                          \
        .members = "video:s user:s stars:i created_ms:i updated_ms:i",                             \
        .keys = {{"video stars", false}, {"user created_ms", false}},                              \
        .keys_count = 2,                                                                           \
    },                                                                                             \
    [MODEL_COMMENTS] = {                                                                           \
        .name = "comments",                                                                        \
        .members = "thread:s video:s parent:s? user:s? name:s? text:s? replies:i? tally_ms:i? "    \
                   "deleted_ms:i? deleted_by:s? created_ms:i updated_ms:i rev:i",                  \
        .keys = {{"thread created_ms", false}, {"video created_ms", false},                        \
                 {"user created_ms", false}, {"tally_ms", false}},                                 \
        .keys_count = 4,                                                                           \
    },                                                                                             \
    [MODEL_FAVOURITES] = {                                                                         \
        .name = "favourites",                                                                      \
        .members = "viewer:s user:s video:s created_ms:i",                                         \
        .keys = {{"viewer created_ms", false}, {"video created_ms", false},                        \
                 {"user created_ms", false}},                                                      \
        .keys_count = 3,                                                                           \
    },                                                                                             \
    [MODEL_HISTORY] = {                                                                            \
        .name = "history",                                                                         \
        .members = "month:s viewer:s user:s video:s position_ms:i duration_ms:i done:b "           \
                   "first_ms:i last_ms:i",                                                         \
        .keys = {{"viewer last_ms", false}, {"last_ms", false}, {"user last_ms", false},           \
                 {"video last_ms", false}},                                                        \
        .keys_count = 4,                                                                           \
    },                                                                                             \
    [MODEL_HISTORY_MONTHS] = {                                                                     \
        .name = "history_months",                                                                  \
        .members = "month:s viewer:s user:s entries:a",                                            \
        .keys = {{"viewer month", false}, {"month", false}, {"user month", false}},                \
        .keys_count = 3,                                                                           \
    },                                                                                             \
    [MODEL_GONE] = {                                                                               \
        .name = "gone",                                                                            \
        .members = "kind:s of:s created_ms:i",                                                     \
        .keys = {{"created_ms", false}},                                                           \
        .keys_count = 1,                                                                           \
    }
/* clang-format on */
