/* SPDX-License-Identifier: Apache-2.0 */
#include "media/presentation.h"
#include <errno.h>
#include <stdlib.h>
#include "media/presentation_priv.h"

static char *presentation_dup(const char *text)
{
    return str_dup(str_of(text != NULL ? text : ""));
}

bool presentation__asset_ok(struct str s)
{
    if (s.size == 0 || s.size > PRESENTATION_ASSET_MAX || s.data[0] == '.')
        return false;
    for (size_t i = 0; i < s.size; i++) {
        char c = s.data[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
        if (!ok)
            return false;
    }
    return true;
}

bool presentation__id_ok(struct str s)
{
    if (s.size == 0 || s.size > PRESENTATION_ID_MAX)
        return false;
    for (size_t i = 0; i < s.size; i++) {
        char c = s.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
            return false;
    }
    return true;
}

int presentation_new(const char *asset, const char *title, struct presentation **ret)
{
    ASSERT(ret != NULL);
    if (!presentation__asset_ok(str_of(asset)))
        return -EINVAL;
    struct presentation *p = calloc(1, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    p->asset = presentation_dup(asset);
    p->title = presentation_dup(title);
    if (p->asset == NULL || p->title == NULL) {
        (void)presentation_free(p); /* always NULL */
        return -ENOMEM;
    }
    *ret = p;
    return 0;
}

struct presentation *presentation_free(struct presentation *p)
{
    if (p == NULL)
        return NULL;
    for (uint32_t i = 0; i < p->tracks_count; i++) {
        struct track *t = &p->tracks[i];
        free(t->id);
        free(t->codec);
        free(t->language);
        free(t->name);
        free(t->segments);
    }
    free(p->tracks);
    free(p->thumbnails.sheets);
    free(p->asset);
    free(p->title);
    free(p);
    return NULL;
}

int presentation_add_track(struct presentation *p, const char *id, enum track_kind kind,
                           struct track **ret)
{
    ASSERT(p != NULL);
    ASSERT(ret != NULL);
    if (!presentation__id_ok(str_of(id)) || p->tracks_count >= PRESENTATION_TRACKS_MAX)
        return -EINVAL;
    if (presentation_find(p, str_of(id)) != NULL)
        return -EEXIST;
    char *copy = presentation_dup(id);
    if (copy == NULL)
        return -ENOMEM;
    struct track *tracks = reallocarray(p->tracks, p->tracks_count + 1, sizeof *tracks);
    if (tracks == NULL) {
        free(copy);
        return -ENOMEM;
    }
    p->tracks = tracks;
    struct track *t = &tracks[p->tracks_count++];
    *t = (struct track){.id = copy, .kind = kind};
    *ret = t;
    return 0;
}

int track_add_segment(struct track *t, const struct segment *s)
{
    ASSERT(t != NULL);
    ASSERT(s != NULL);
    ASSERT(t->segments_count <= t->segments_cap);
    if (t->segments_count >= PRESENTATION_SEGMENTS_MAX || s->size == 0 || s->duration == 0 ||
        s->key_size > s->size)
        return -EINVAL;
    if (t->segments_count == t->segments_cap) {
        uint32_t cap = MAX(t->segments_cap * 2, UINT32_C(64));
        struct segment *segments = reallocarray(t->segments, cap, sizeof *segments);
        if (segments == NULL)
            return -ENOMEM;
        t->segments = segments;
        t->segments_cap = cap;
    }
    t->segments[t->segments_count++] = *s;
    return 0;
}

int presentation_add_sheet(struct presentation *p, const struct picture *sheet)
{
    ASSERT(p != NULL);
    ASSERT(sheet != NULL);
    struct thumbnails *th = &p->thumbnails;
    if (sheet->size == 0 || th->sheets_count >= PRESENTATION_SHEETS_MAX)
        return -EINVAL;
    uint32_t count = th->sheets_count;
    if (count == 0 || (count >= 16 && (count & (count - 1)) == 0)) { /* full at 0, 16, 32, 64 .. */
        size_t cap = count == 0 ? 16 : (size_t)count * 2;
        struct picture *sheets = reallocarray(th->sheets, cap, sizeof *sheets);
        if (sheets == NULL)
            return -ENOMEM;
        th->sheets = sheets;
    }
    th->sheets[th->sheets_count++] = *sheet;
    return 0;
}

const struct track *presentation_find(const struct presentation *p, struct str track_id)
{
    ASSERT(p != NULL);
    for (uint32_t i = 0; i < p->tracks_count; i++) {
        if (str_eq(str_of(p->tracks[i].id), track_id))
            return &p->tracks[i];
    }
    return NULL;
}

uint64_t track_duration(const struct track *t)
{
    ASSERT(t != NULL);
    uint64_t sum = 0; /* at most 1e5 * 2^32: fits */
    for (uint32_t i = 0; i < t->segments_count; i++)
        sum += t->segments[i].duration;
    return sum;
}

/* Bits a second, rounded up. bytes < 2^44, so bytes * 8 * 2^32 needs the wide product. */
static uint32_t track_rate(uint64_t bytes, uint64_t ticks, uint32_t timescale)
{
    ASSERT(ticks > 0);
    unsigned __int128 bits = (unsigned __int128)bytes * 8 * timescale;
    unsigned __int128 rate = (bits + ticks - 1) / ticks;
    return rate > UINT32_MAX ? UINT32_MAX : (uint32_t)rate;
}

/* The peak is RFC 8216 section 4.3.4.2's: the largest rate of any contiguous run of segments that
 * lasts between 0.5 and 1.5 of the target duration. So a last segment of two frames, nearly all key
 * frame, does not count alone. */
void track_measure(struct track *t)
{
    ASSERT(t != NULL);
    uint64_t bytes = 0;
    uint64_t ticks = 0;
    uint32_t longest = 0;
    for (uint32_t i = 0; i < t->segments_count; i++) {
        bytes += t->segments[i].size;
        ticks += t->segments[i].duration;
        longest = MAX(longest, t->segments[i].duration);
    }
    t->bandwidth_avg = 0;
    t->bandwidth_max = 0;
    if (ticks == 0 || t->timescale == 0)
        return;
    t->bandwidth_avg = track_rate(bytes, ticks, t->timescale);
    t->bandwidth_max = t->bandwidth_avg;
    for (uint32_t i = 0; i < t->segments_count; i++) {
        uint64_t run_bytes = 0;
        uint64_t run_ticks = 0;
        for (uint32_t k = i; k < t->segments_count; k++) {
            run_bytes += t->segments[k].size;
            run_ticks += t->segments[k].duration;
            if (run_ticks * 2 > (uint64_t)longest * 3)
                break;
            if (run_ticks * 2 >= longest)
                t->bandwidth_max =
                    MAX(t->bandwidth_max, track_rate(run_bytes, run_ticks, t->timescale));
        }
    }
}

void presentation_blobs(const struct presentation *p, presentation_each *each, void *arg)
{
    ASSERT(p != NULL);
    ASSERT(each != NULL);
    for (uint32_t i = 0; i < p->tracks_count; i++) {
        const struct track *t = &p->tracks[i];
        if (t->init_size > 0 && !each(arg, &t->init, t->init_size))
            return;
        for (uint32_t k = 0; k < t->segments_count; k++) {
            if (!each(arg, &t->segments[k].digest, t->segments[k].size))
                return;
        }
    }
    if (p->poster.size > 0 && !each(arg, &p->poster.digest, p->poster.size))
        return;
    for (uint32_t i = 0; i < p->thumbnails.sheets_count; i++) {
        const struct picture *sheet = &p->thumbnails.sheets[i];
        if (!each(arg, &sheet->digest, sheet->size))
            return;
    }
}

struct presentation_linking {
    presentation_link *each;
    void *arg;
    int res;
};

static bool presentation_link_blob(void *arg, const struct digest *d, uint32_t size)
{
    struct presentation_linking *l = arg;
    (void)size;
    l->res = l->each(l->arg, d);
    return l->res >= 0;
}

int presentation_links(void *arg, const uint8_t *bytes, uint32_t size, presentation_link *each,
                       void *each_arg)
{
    struct presentation_linking l = {.each = each, .arg = each_arg};
    struct presentation *p = NULL;
    struct err err = {{0}};
    (void)arg;
    int r = presentation_parse((struct str){(const char *)bytes, size}, &p, &err);
    if (r < 0)
        return r == -ENOMEM ? r : -EBADMSG;
    presentation_blobs(p, presentation_link_blob, &l);
    presentation_free(p);
    return MIN(l.res, 0);
}
