/* SPDX-License-Identifier: Apache-2.0 */
#include "media/render.h"

bool render_shown(const struct presentation *p, const struct track *t, uint32_t height_max)
{
    ASSERT(p != NULL);
    ASSERT(t != NULL);
    if (t->segments_count == 0 || t->timescale == 0)
        return false;
    if (t->kind != TRACK_VIDEO || height_max == 0 || t->height <= height_max)
        return true;
    for (uint32_t i = 0; i < p->tracks_count; i++) {
        const struct track *o = &p->tracks[i];
        if (o->kind == TRACK_VIDEO && o->segments_count > 0 && o->height < t->height)
            return false;
    }
    return true; /* the lowest there is */
}

const struct track *render_default(const struct presentation *p, enum track_kind kind,
                                   uint32_t height_max)
{
    const struct track *first = NULL;
    for (uint32_t i = 0; i < p->tracks_count; i++) {
        const struct track *t = &p->tracks[i];
        if (t->kind != kind || !render_shown(p, t, height_max))
            continue;
        if (t->is_default)
            return t;
        if (first == NULL)
            first = t;
    }
    return first;
}

/* The length of the character at s when it may stand in a manifest, else 0; *ret_control when it is
 * a control character (C0, DEL, C1). */
static size_t render_character(struct str s, bool *ret_control)
{
    const uint8_t *p = (const uint8_t *)s.data;
    *ret_control = false;
    if (p[0] < 0x80) {
        *ret_control = p[0] < 0x20 || p[0] == 0x7f;
        return 1;
    }
    size_t length = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (length == 0 || s.size < length)
        return 0;
    uint32_t code = p[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3fu);
    }
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (code < smallest[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ||
        code == 0xfffe || code == 0xffff)
        return 0;
    *ret_control = code < 0xa0;
    return length;
}

void render_text(struct str text, struct buf *out)
{
    while (text.size > 0) {
        bool is_control;
        size_t length = render_character(text, &is_control);
        if (length == 0)
            buf_puts(out, "\xef\xbf\xbd");
        else if (is_control)
            buf_putc(out, ' ');
        else
            buf_put(out, text.data, length);
        text = str_skip(text, MAX(length, (size_t)1));
    }
}

const char *render_language(const struct track *t)
{
    return t->language != NULL && t->language[0] != 0 ? t->language : "und";
}

static struct str render_plain_name(const struct track *t)
{
    if (t->name != NULL && t->name[0] != 0)
        return str_of(t->name);
    if (strcmp(render_language(t), "und") != 0)
        return str_of(t->language);
    return str_of(t->id);
}

void render_name(const struct presentation *p, uint32_t index, struct buf *out)
{
    ASSERT(index < p->tracks_count);
    const struct track *t = &p->tracks[index];
    struct str name = render_plain_name(t);
    bool taken = false;
    for (uint32_t i = 0; i < p->tracks_count; i++) {
        const struct track *o = &p->tracks[i];
        taken = taken || (i != index && o->kind == t->kind && str_eq(render_plain_name(o), name));
    }
    render_text(name, out);
    if (taken) /* the id is unique, so the whole is */
        buf_printf(out, " (%s)", t->id);
}

void render_blob(const char *prefix, const struct digest *d, const char *ext, struct buf *out)
{
    char text[DIGEST_TEXT_SIZE];
    digest_format(d, text);
    buf_printf(out, "%sb/%s.%s", prefix, text, ext);
}

uint64_t render_us(const struct track *t, uint64_t ticks)
{
    ASSERT(t->timescale > 0);
    unsigned __int128 us = (unsigned __int128)ticks * 1000000 + t->timescale / 2;
    return (uint64_t)(us / t->timescale);
}
