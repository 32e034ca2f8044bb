/* SPDX-License-Identifier: Apache-2.0 */
/* view: what lies under /v/<asset>/: the manifests rendered from a presentation, its pictures, and
 * the names of blobs. Origin and edge answer from the same view.
 *
 * Life:    view_resolve per request; view_clear.
 * Owner:   the caller owns *ret.
 * Threads: any; the presentation is only read.
 * Errors:  -ENOENT no such view; -ENOMEM.
 * Units:   bytes.
 * Source:  docs/architecture.md, "URLs". All links are relative: "../../b/<digest>.<ext>". */
#pragma once
#include "media/presentation.h"

struct view_options {
    uint32_t height_max; /* leave out video tracks with more lines, but never the lowest; 0: none */
};

struct view {
    const char *type; /* static text */
    bool is_blob;     /* true: the bytes are the blob `digest`; false: they are in `text` */
    struct digest digest;
    uint32_t size;
    struct buf text;
};

/* rest: the path behind "/v/<asset>/": master.m3u8, manifest.mpd, <track>/index.m3u8,
 * <track>/iframes.m3u8, poster.jpg, thumbnails.vtt, thumbnails/<n>.jpg (sheets, from 1),
 * presentation.json. */
MUST_USE int view_resolve(const struct presentation *p, struct str rest,
                          const struct view_options *options, struct view *ret);
void view_clear(struct view *v);

/* "<32 hex>.<ext>" of /b/: -EINVAL when not of the form or the extension is none of ours. */
MUST_USE int view_parse_blob(struct str name, struct digest *ret, const char **ret_type);
