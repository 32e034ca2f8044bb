/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/text.h"
#include <errno.h>
#include <inttypes.h>
#include <libavcodec/avcodec.h>
#include <stdlib.h>
#include "ingest/timeline.h"

#define TEXT_CUES_MAX     200000
#define TEXT_LAST_MS      5000 /* a cue without an end and without a successor */
#define TEXT_ASS_FIELDS   8    /* in front of an event's text, as libavcodec writes it */
#define TEXT_WEBVTT_START "WEBVTT\n"

/* --- mark-up ---------------------------------------------------------------------------------- */

enum { TEXT_B = 1, TEXT_I = 2, TEXT_U = 4 };

struct text_style {
    unsigned wanted;
    char open[3]; /* tags open in the output, outermost first */
    unsigned open_count;
    bool is_drawing; /* {\p1}: coordinates follow, not text */
    bool is_line;    /* something stands on the line at hand */
    unsigned breaks; /* line breaks seen since: written when more text follows */
};

static unsigned text_bit(char tag)
{
    return tag == 'b' ? TEXT_B : tag == 'i' ? TEXT_I : TEXT_U;
}

static void text_close_to(struct text_style *s, unsigned keep, struct buf *out)
{
    while (s->open_count > keep)
        buf_printf(out, "</%c>", s->open[--s->open_count]);
}

/* Closes what is no longer wanted (and what was opened inside it), then opens what is. */
static void text_sync(struct text_style *s, struct buf *out)
{
    unsigned keep = 0;
    while (keep < s->open_count && (s->wanted & text_bit(s->open[keep])) != 0)
        keep++;
    text_close_to(s, keep, out);
    unsigned have = 0;
    for (unsigned i = 0; i < s->open_count; i++)
        have |= text_bit(s->open[i]);
    for (const char *tag = "biu"; *tag != 0; tag++) {
        if ((s->wanted & ~have & text_bit(*tag)) == 0)
            continue;
        buf_printf(out, "<%c>", *tag);
        s->open[s->open_count++] = *tag;
    }
}

/* "\i1", "\b700", "\u0", "\r", "\p1" of one override block; the rest is about looks and place. */
static void text_override(struct text_style *s, struct str block)
{
    while (block.size > 0) {
        struct str rest;
        struct str tag = str_cut(block, '\\', &rest);
        block = rest;
        if (tag.size == 0)
            continue;
        char name = tag.data[0];
        bool is_plain = tag.size == 1 || (tag.data[1] >= '0' && tag.data[1] <= '9');
        bool is_on = tag.size > 1 && !(tag.size == 2 && tag.data[1] == '0');
        if (name == 'r') {
            s->wanted = 0;
        } else if (is_plain && name == 'p') {
            s->is_drawing = is_on;
        } else if (is_plain && (name == 'b' || name == 'i' || name == 'u')) {
            s->wanted &= ~text_bit(name);
            s->wanted |= is_on ? text_bit(name) : 0;
        }
    }
}

static void text_char(struct text_style *s, char c, struct buf *out)
{
    bool is_space = c == ' ' || c == '\t';
    if (s->is_drawing || c == '\r' || (unsigned char)c < ' ' || (is_space && !s->is_line))
        return;
    if (s->breaks > 0)
        buf_putc(out, '\n'); /* one: an empty line would end the cue */
    s->breaks = 0;
    text_sync(s, out);
    s->is_line = true;
    if (c == '&')
        buf_puts(out, "&amp;");
    else if (c == '<')
        buf_puts(out, "&lt;");
    else if (c == '>')
        buf_puts(out, "&gt;");
    else
        buf_putc(out, c);
}

static void text_break(struct text_style *s, const struct buf *out)
{
    s->breaks += out->size > 0;
    s->is_line = false;
}

void text_markup(struct str ass, struct buf *ret)
{
    struct text_style s = {0};
    CLEAN_BUF struct buf out = BUF_EMPTY;
    for (size_t i = 0; i < ass.size; i++) {
        char c = ass.data[i];
        char next = i + 1 < ass.size ? ass.data[i + 1] : 0;
        const char *end = c == '{' ? memchr(ass.data + i, '}', ass.size - i) : NULL;
        if (end != NULL) {
            text_override(&s, (struct str){ass.data + i + 1, (size_t)(end - ass.data) - i - 1});
            i = (size_t)(end - ass.data);
        } else if (c == '\n' || (c == '\\' && (next == 'N' || next == 'n'))) {
            text_break(&s, &out);
            i += c == '\\';
        } else if (c == '\\' && next == 'h') {
            buf_puts(&out, s.is_line ? "\xc2\xa0" : "");
            i++;
        } else {
            text_char(&s, c, &out);
        }
    }
    while (out.size > 0 && out.data[out.size - 1] == ' ')
        out.data[--out.size] = 0;
    text_close_to(&s, 0, &out);
    buf_put_str(ret, buf_str(&out));
}

/* --- cues ------------------------------------------------------------------------------------- */

int text_cues_add(struct text_cues *c, int64_t start_ms, int64_t end_ms, struct str ass)
{
    if (end_ms > start_ms && end_ms <= 0)
        return 0;
    struct buf text = BUF_EMPTY;
    text_markup(ass, &text);
    int r = buf_error(&text);
    if (r < 0 || text.size == 0 || c->count == TEXT_CUES_MAX) {
        buf_free(&text);
        return r;
    }
    if (c->count == c->cap) {
        unsigned cap = MAX(c->cap * 2, 64U);
        struct text_cue *grown = reallocarray(c->cues, cap, sizeof *grown);
        if (grown == NULL) {
            buf_free(&text);
            return -ENOMEM;
        }
        c->cues = grown;
        c->cap = cap;
    }
    c->cues[c->count] = (struct text_cue){.start_ms = MAX(start_ms, INT64_C(0)),
                                          .end_ms = end_ms,
                                          .order = c->count,
                                          .text = buf_take(&text)};
    c->count++;
    return 0;
}

static int text_compare(const void *a, const void *b)
{
    const struct text_cue *x = a, *y = b;
    if (x->start_ms != y->start_ms)
        return x->start_ms < y->start_ms ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static void text_time(int64_t ms, struct buf *out)
{
    buf_printf(out, "%02" PRId64 ":%02d:%02d.%03d", ms / 3600000, (int)(ms / 60000 % 60),
               (int)(ms / 1000 % 60), (int)(ms % 1000));
}

void text_cues_write(struct text_cues *c, struct buf *out)
{
    if (c->count > 0)
        qsort(c->cues, c->count, sizeof c->cues[0], text_compare);
    buf_puts(out, TEXT_WEBVTT_START);
    for (unsigned i = 0; i < c->count; i++) {
        const struct text_cue *cue = &c->cues[i];
        int64_t end_ms = cue->end_ms;
        if (end_ms <= cue->start_ms) {
            end_ms = cue->start_ms + TEXT_LAST_MS;
            if (i + 1 < c->count && c->cues[i + 1].start_ms > cue->start_ms)
                end_ms = MIN(end_ms, c->cues[i + 1].start_ms);
        }
        buf_putc(out, '\n');
        text_time(cue->start_ms, out);
        buf_puts(out, " --> ");
        text_time(end_ms, out);
        buf_printf(out, "\n%s\n", cue->text);
    }
}

void text_cues_clear(struct text_cues *c)
{
    for (unsigned i = 0; i < c->count; i++)
        free(c->cues[i].text);
    free(c->cues);
    *c = (struct text_cues){0};
}

/* --- from the film ---------------------------------------------------------------------------- */

struct text_reader {
    const struct probe *probe;
    const struct probe_text *text;
    struct work_track *track;
    AVCodecContext *decoder; /* NULL: nothing to do for this one */
    struct text_cues cues;
};

/* The text of an event line "ReadOrder,Layer,Style,Name,MarginL,MarginR,MarginV,Effect,Text". */
static struct str text_of_event(const char *event)
{
    struct str rest = str_of(event);
    for (int i = 0; i < TEXT_ASS_FIELDS; i++)
        (void)str_cut(rest, ',', &rest);
    return rest;
}

static int text_open(struct text_reader *t, AVFormatContext *f)
{
    AVStream *st = f->streams[t->text->index];
    const AVCodec *codec = avcodec_find_decoder(st->codecpar->codec_id);
    if (codec == NULL)
        return 0;
    t->decoder = avcodec_alloc_context3(codec);
    int av = t->decoder == NULL ? AVERROR(ENOMEM)
                                : avcodec_parameters_to_context(t->decoder, st->codecpar);
    if (av >= 0) {
        t->decoder->pkt_timebase = st->time_base;
        av = avcodec_open2(t->decoder, codec, NULL);
    }
    if (av < 0)
        avcodec_free_context(&t->decoder);
    return av == AVERROR(ENOMEM) ? -ENOMEM : 0;
}

/* A packet that does not decode (text that is not UTF-8) is left out. */
static int text_packet(struct text_reader *t, AVPacket *p)
{
    AVSubtitle sub = {0};
    int got = 0;
    if (avcodec_decode_subtitle2(t->decoder, &sub, &got, p) < 0 || got == 0)
        return 0;
    int64_t time = p->pts == AV_NOPTS_VALUE
                       ? 0
                       : av_rescale_q(p->pts, t->decoder->pkt_timebase, (AVRational){1, 1000});
    time -= t->probe->start_us / 1000;
    int64_t start_ms = time + sub.start_display_time;
    int64_t end_ms = start_ms;
    if (sub.end_display_time > sub.start_display_time && sub.end_display_time != UINT32_MAX)
        end_ms = time + sub.end_display_time;
    else if (p->duration > 0)
        end_ms = time + av_rescale_q(p->duration, t->decoder->pkt_timebase, (AVRational){1, 1000});
    int r = 0;
    for (unsigned i = 0; r == 0 && i < sub.num_rects; i++) {
        const AVSubtitleRect *rect = sub.rects[i];
        if (rect->type == SUBTITLE_ASS && rect->ass != NULL)
            r = text_cues_add(&t->cues, start_ms, end_ms, text_of_event(rect->ass));
        else if (rect->type == SUBTITLE_TEXT && rect->text != NULL)
            r = text_cues_add(&t->cues, start_ms, end_ms, str_of(rect->text));
    }
    avsubtitle_free(&sub);
    return r;
}

static int text_read(struct run *run, AVFormatContext *f, struct text_reader *readers,
                     unsigned count)
{
    AVPacket *p = av_packet_alloc();
    CLEAN(timeline_free) struct timeline *timeline = NULL;
    int r = p == NULL ? -ENOMEM : timeline_new(run->probe, &timeline);
    while (r == 0 && av_read_frame(f, p) >= 0) { /* an end that comes early was seen before */
        (void)timeline_take(timeline, p);
        for (unsigned i = 0; r == 0 && i < count; i++)
            if (readers[i].text->index == p->stream_index && readers[i].decoder != NULL)
                r = text_packet(&readers[i], p);
        av_packet_unref(p);
        if (r == 0)
            r = run_failed(run);
    }
    av_packet_free(&p);
    return r;
}

static int text_put(struct text_reader *t, uint64_t duration_ms, struct err *err)
{
    CLEAN_BUF struct buf file = BUF_EMPTY;
    if (t->cues.count == 0)
        return work_end_track(t->track, err);
    text_cues_write(&t->cues, &file);
    int r = buf_error(&file);
    if (r < 0)
        return err_errno(err, r, "%s: subtitles %s", t->probe->path, t->text->id);
    struct segment s = {.digest = digest_of(file.data, file.size),
                        .size = (uint32_t)file.size,
                        .duration =
                            (uint32_t)MIN(MAX(duration_ms, UINT64_C(1)), (uint64_t)UINT32_MAX)};
    r = work_put_segment(t->track, buf_str(&file), &s, 0, err);
    return r == 0 ? work_end_track(t->track, err) : r;
}

int text_extract(struct run *run, uint64_t duration_ms, struct err *err)
{
    struct text_reader readers[PROBE_TEXTS_MAX] = {0};
    unsigned count = 0;
    AVFormatContext *f = NULL;
    int r = 0;
    for (unsigned i = 0; r == 0 && i < run->probe->texts_count; i++) {
        struct work_track *t = NULL;
        r = work_track(run->work, run->probe->texts[i].id, &t);
        if (r == 0 && t->segments_count > 0 && !t->is_done)
            r = work_reset_track(t, err); /* its end line was lost */
        if (r == 0 && !t->is_done)
            readers[count++] =
                (struct text_reader){run->probe, &run->probe->texts[i], t, NULL, {0}};
    }
    if (r < 0 || count == 0)
        return r < 0 ? err_errno(err, r, "%s: subtitles", run->probe->path) : 0;
    r = probe_reopen(run->probe, &f, err);
    if (r < 0)
        return r;
    /* Where the clock jumps is seen by pictures and sound only. */
    for (unsigned i = 0; i < f->nb_streams && !run_has_jumps(run); i++)
        f->streams[i]->discard = AVDISCARD_ALL;
    for (unsigned i = 0; r == 0 && i < count; i++) {
        f->streams[readers[i].text->index]->discard = AVDISCARD_DEFAULT;
        r = text_open(&readers[i], f);
    }
    if (r == 0)
        r = text_read(run, f, readers, count);
    if (r < 0)
        (void)err_errno(err, r, "%s: reading subtitles", run->probe->path);
    for (unsigned i = 0; i < count; i++) {
        if (r == 0)
            r = text_put(&readers[i], duration_ms, err);
        avcodec_free_context(&readers[i].decoder);
        text_cues_clear(&readers[i].cues);
    }
    avformat_close_input(&f);
    return r;
}
