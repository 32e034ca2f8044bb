/* SPDX-License-Identifier: Apache-2.0 */
#include "media/presentation.h"
#include <errno.h>
#include "fuzz.h"
#include "media/view.h"

/* What is taken can be written, read again as the same, and rendered in every way. */
static void presentation_render(const struct presentation *p)
{
    static const char *const files[] = {"master.m3u8", "manifest.mpd", "thumbnails.vtt",
                                        "poster.jpg", "presentation.json"};
    static const char *const track_files[] = {"index.m3u8", "iframes.m3u8"};
    struct view_options cap = {.height_max = 500};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct view v;
        if (view_resolve(p, str_of(files[i]), i % 2 == 0 ? &cap : NULL, &v) == 0)
            view_clear(&v);
    }
    for (uint32_t i = 0; i < p->tracks_count * ARRAY_LEN(track_files); i++) {
        CLEAN_BUF struct buf path = BUF_EMPTY;
        buf_printf(&path, "%s/%s", p->tracks[i / 2].id, track_files[i % 2]);
        struct view v;
        if (view_resolve(p, buf_str(&path), NULL, &v) == 0)
            view_clear(&v);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEAN(presentation_free) struct presentation *p = NULL;
    CLEAN(presentation_free) struct presentation *q = NULL;
    struct err err = {0};
    int r = presentation_parse(fuzz_str(data, size), &p, &err);
    if (r < 0) {
        ASSERT(r == -EBADMSG);
        ASSERT(err.text[0] != 0);
        ASSERT(p == NULL);
        return 0;
    }
    CLEAN_BUF struct buf one = BUF_EMPTY;
    CLEAN_BUF struct buf two = BUF_EMPTY;
    ASSERT(presentation_write(p, &one) == 0);
    ASSERT(presentation_parse(buf_str(&one), &q, &err) == 0);
    ASSERT(presentation_write(q, &two) == 0);
    ASSERT(str_eq(buf_str(&one), buf_str(&two)));
    for (uint32_t i = 0; i < q->tracks_count; i++)
        track_measure(&q->tracks[i]);
    presentation_render(p);
    return 0;
}
