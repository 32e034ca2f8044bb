/* SPDX-License-Identifier: Apache-2.0 */
/* What there is to watch, and its keeper: openapi/catalogue.yaml. */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "control/api/call.h"
#include "control/catalog.h"
#include "control/ops.h"

static int video_add_poster(struct call *c, json_t *video)
{
    const struct playback_signer *signer = &c->live->signer;
    CLEAN_BUF struct buf url = BUF_EMPTY;
    int r =
        playback_sign(signer, json_string_value(json_object_get(video, "asset")), c->caller.user,
                      NULL, playback_expires_rounded(signer, clock_real_s()), &url);
    if (r < 0)
        return r;
    buf_puts(&url, "poster.jpg");
    if (buf_error(&url) < 0)
        return buf_error(&url);
    return json_object_set_new(video, "poster_url", json_string(url.data)) < 0 ? -ENOMEM : 0;
}

static int video_list_all(struct call *c, const json_t *docs, json_t *videos)
{
    size_t i;
    json_t *doc;
    json_array_foreach(docs, i, doc)
    {
        json_t *video = catalog_public(doc);
        int r = video == NULL ? -ENOMEM : video_add_poster(c, video);
        if (r == 0)
            r = json_array_append(videos, video) < 0 ? -ENOMEM : 0;
        json_decref(video);
        if (r < 0)
            return r;
    }
    return 0;
}

static int video_list(struct call *c)
{
    json_t *docs = NULL;
    char *next = NULL;
    struct db_list page = {0};
    call_list(c, &page);
    int r = catalog_list(c->db, page.limit, page.cursor, &docs, &next);
    if (r < 0)
        return r == -EINVAL ? call_bad_cursor(c) : r;
    json_t *videos = json_array();
    r = videos == NULL ? -ENOMEM : video_list_all(c, docs, videos);
    json_decref(docs);
    if (r == 0)
        return call_page(c, "videos", videos, next);
    json_decref(videos);
    free(next);
    return r;
}

static int video_put(struct call *c)
{
    json_t *doc = NULL;
    int r = catalog_put(c->db, call_path(c, "asset"), c->body, clock_real_ms(), &doc);
    if (r == 0)
        r = call_answer(c, catalog_public(doc));
    json_decref(doc);
    return r;
}

static int video_delete(struct call *c)
{
    int r = catalog_delete(c->db, call_path(c, "asset"));
    return r == -ENOENT ? 0 : r; /* gone is what was asked for */
}

const struct op_handler video_ops[] = {
    {"videos_list", video_list, NULL},
    {"assets_put", video_put, NULL},
    {"assets_delete", video_delete, NULL},
    {NULL, NULL, NULL},
};
