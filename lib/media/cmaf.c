/* SPDX-License-Identifier: Apache-2.0 */
#include "media/cmaf.h"
#include <errno.h>
#include <stdlib.h>

#define CMAF_SEGMENT_SIZE_MAX ((size_t)64 << 20) /* the largest blob: store.h */
#define CMAF_SAMPLES_MAX      UINT32_C(1000000)  /* a segment; 10 s of raw audio frames are less */

#define CMAF_STYP_SIZE  24
#define CMAF_BOX_HEADER 8

/* sample_flags: a key frame depends on none; any other depends and is no sync sample. */
#define CMAF_FLAGS_SYNC     UINT32_C(0x02000000)
#define CMAF_FLAGS_NON_SYNC UINT32_C(0x01010000)

#define TFHD_DEFAULT_DURATION     UINT32_C(0x000008)
#define TFHD_DEFAULT_SIZE         UINT32_C(0x000010)
#define TFHD_DEFAULT_FLAGS        UINT32_C(0x000020)
#define TFHD_DEFAULT_BASE_IS_MOOF UINT32_C(0x020000)

#define TRUN_DATA_OFFSET        UINT32_C(0x000001)
#define TRUN_FIRST_SAMPLE_FLAGS UINT32_C(0x000004)
#define TRUN_DURATION           UINT32_C(0x000100)
#define TRUN_SIZE               UINT32_C(0x000200)
#define TRUN_FLAGS              UINT32_C(0x000400)
#define TRUN_COMPOSITION        UINT32_C(0x000800)

/* What is kept of a sample; its bytes are in cmaf_writer.data, one behind the other. */
struct cmaf_entry {
    int64_t pts;
    int64_t dts;       /* made by cmaf_times */
    uint32_t duration; /* likewise; before it: what the caller said */
    uint32_t size;
    bool is_key;
};

struct cmaf_writer {
    uint32_t magic;
#define CMAF_WRITER_MAGIC UINT32_C(0xc3afd1e7)
    bool is_video;
    bool has_before;    /* a segment was written: pts_before counts */
    int64_t pts_before; /* the largest presentation time of the segment before */
    struct buf data;
    struct cmaf_entry *entries;
    uint32_t entries_count, entries_cap;
    int64_t *times; /* entries_cap of them: the presentation times, sorted */
};

static void cmaf_writer_check(const struct cmaf_writer *w)
{
    ASSERT(w != NULL);
    ASSERT(w->magic == CMAF_WRITER_MAGIC);
    ASSERT(w->entries_count <= w->entries_cap);
}

int cmaf_writer_new(uint32_t timescale, bool is_video, struct cmaf_writer **ret)
{
    ASSERT(ret != NULL);
    if (timescale == 0)
        return -EINVAL;
    struct cmaf_writer *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    w->magic = CMAF_WRITER_MAGIC;
    w->is_video = is_video;
    *ret = w;
    return 0;
}

struct cmaf_writer *cmaf_writer_free(struct cmaf_writer *w)
{
    if (w == NULL)
        return NULL;
    cmaf_writer_check(w);
    buf_free(&w->data);
    free(w->entries);
    free(w->times);
    MAGIC_CLEAR(w);
    free(w);
    return NULL;
}

static int cmaf_grow(struct cmaf_writer *w)
{
    if (w->entries_count < w->entries_cap)
        return 0;
    if (w->entries_cap >= CMAF_SAMPLES_MAX)
        return -EFBIG;
    uint32_t cap = MAX(w->entries_cap * 2, UINT32_C(256));
    struct cmaf_entry *entries = reallocarray(w->entries, cap, sizeof *entries);
    if (entries == NULL)
        return -ENOMEM;
    w->entries = entries;
    int64_t *times = reallocarray(w->times, cap, sizeof *times);
    if (times == NULL)
        return -ENOMEM; /* entries may be larger than entries_cap says: harmless */
    w->times = times;
    w->entries_cap = cap;
    return 0;
}

int cmaf_writer_add(struct cmaf_writer *w, const struct cmaf_sample *s)
{
    cmaf_writer_check(w);
    ASSERT(s != NULL);
    if (s->size == 0 || s->data == NULL || s->pts < 0 || s->pts > INT64_MAX / 2)
        return -EINVAL;
    if (w->has_before && s->pts <= w->pts_before)
        return -EINVAL;
    /* Audio is decoded in the order in which it is heard. */
    if (!w->is_video && w->entries_count > 0 && s->pts <= w->entries[w->entries_count - 1].pts)
        return -EINVAL;
    if (s->size > CMAF_SEGMENT_SIZE_MAX - w->data.size)
        return -EFBIG;
    int r = cmaf_grow(w);
    if (r < 0)
        return r;
    buf_put(&w->data, s->data, s->size);
    r = buf_error(&w->data);
    if (r < 0) {
        w->data.error = 0; /* nothing was appended: the writer stays usable */
        return r;
    }
    w->entries[w->entries_count++] = (struct cmaf_entry){.pts = s->pts,
                                                         .duration = s->duration,
                                                         .size = s->size,
                                                         .is_key = w->is_video ? s->is_key : true};
    return 0;
}

static int cmaf_compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Gives each sample its decode time and duration, see the header. -EINVAL when two samples have the
 * same time or the numbers do not fit their fields. */
static int cmaf_times(struct cmaf_writer *w, int64_t end_pts)
{
    uint32_t count = w->entries_count;
    ASSERT(count > 0);
    uint32_t last_duration = 0;
    for (uint32_t i = 0; i < count; i++)
        w->times[i] = w->entries[i].pts;
    qsort(w->times, count, sizeof *w->times, cmaf_compare_times);
    int64_t last = w->times[count - 1];
    for (uint32_t i = 0; i < count; i++) {
        if (w->entries[i].pts == last)
            last_duration = w->entries[i].duration;
    }
    if (last_duration == 0 && count > 1 && last - w->times[count - 2] <= UINT32_MAX)
        last_duration = (uint32_t)(last - w->times[count - 2]); /* unknown: as the one before */
    int64_t end = end_pts != INT64_MIN ? end_pts : last + last_duration;
    if (end <= last || end - w->times[0] > UINT32_MAX)
        return -EINVAL;
    for (uint32_t i = 0; i < count; i++) {
        int64_t next = i + 1 < count ? w->times[i + 1] : end;
        int64_t offset = w->entries[i].pts - w->times[i];
        if (next <= w->times[i] || offset > INT32_MAX || offset < INT32_MIN)
            return -EINVAL;
    }
    for (uint32_t i = 0; i < count; i++) { /* the field is changed only when all is well */
        int64_t next = i + 1 < count ? w->times[i + 1] : end;
        w->entries[i].dts = w->times[i];
        w->entries[i].duration = (uint32_t)(next - w->times[i]);
    }
    return 0;
}

static void cmaf_u32(struct buf *out, uint32_t v)
{
    uint8_t bytes[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    buf_put(out, bytes, sizeof bytes);
}

static void cmaf_u64(struct buf *out, uint64_t v)
{
    cmaf_u32(out, (uint32_t)(v >> 32));
    cmaf_u32(out, (uint32_t)v);
}

static void cmaf_header(struct buf *out, size_t size, const char type[5])
{
    ASSERT(size <= UINT32_MAX);
    cmaf_u32(out, (uint32_t)size);
    buf_put(out, type, 4);
}

/* What the samples have in common is said once in tfhd, the rest in trun's rows. */
struct cmaf_layout {
    uint32_t tfhd_flags, trun_flags;
    size_t tfhd_size, trun_size, traf_size, moof_size, total_size;
};

static uint32_t cmaf_entry_flags(const struct cmaf_entry *e)
{
    return e->is_key ? CMAF_FLAGS_SYNC : CMAF_FLAGS_NON_SYNC;
}

static struct cmaf_layout cmaf_layout(const struct cmaf_writer *w)
{
    const struct cmaf_entry *e = w->entries;
    uint32_t count = w->entries_count;
    bool same_duration = true;
    bool same_size = true;
    bool same_order = true;
    bool same_tail = true; /* flags of all but the first */
    for (uint32_t i = 0; i < count; i++) {
        same_duration = same_duration && e[i].duration == e[0].duration;
        same_size = same_size && e[i].size == e[0].size;
        same_order = same_order && e[i].pts == e[i].dts;
        same_tail = same_tail && (i == 0 || e[i].is_key == e[count - 1].is_key);
    }
    struct cmaf_layout l = {.tfhd_flags = TFHD_DEFAULT_BASE_IS_MOOF,
                            .trun_flags = TRUN_DATA_OFFSET};
    l.tfhd_flags |= same_duration ? TFHD_DEFAULT_DURATION : 0;
    l.tfhd_flags |= same_size ? TFHD_DEFAULT_SIZE : 0;
    l.tfhd_flags |= same_tail ? TFHD_DEFAULT_FLAGS : 0;
    l.trun_flags |= same_duration ? 0 : TRUN_DURATION;
    l.trun_flags |= same_size ? 0 : TRUN_SIZE;
    l.trun_flags |= same_tail ? 0 : TRUN_FLAGS;
    l.trun_flags |= same_order ? 0 : TRUN_COMPOSITION;
    if (same_tail && e[0].is_key != e[count - 1].is_key)
        l.trun_flags |= TRUN_FIRST_SAMPLE_FLAGS;
    size_t row = 4 * (size_t)((same_duration ? 0 : 1) + (same_size ? 0 : 1) + (same_tail ? 0 : 1) +
                              (same_order ? 0 : 1));
    l.tfhd_size =
        16 + 4 * (size_t)((same_duration ? 1 : 0) + (same_size ? 1 : 0) + (same_tail ? 1 : 0));
    l.trun_size = 20 + row * count;
    if ((l.trun_flags & TRUN_FIRST_SAMPLE_FLAGS) != 0)
        l.trun_size += 4;
    l.traf_size = CMAF_BOX_HEADER + l.tfhd_size + 20 + l.trun_size;
    l.moof_size = CMAF_BOX_HEADER + 16 + l.traf_size;
    l.total_size = CMAF_STYP_SIZE + l.moof_size + CMAF_BOX_HEADER + w->data.size;
    return l;
}

static void cmaf_put_trun(const struct cmaf_writer *w, const struct cmaf_layout *l, struct buf *out)
{
    cmaf_header(out, l->trun_size, "trun");
    cmaf_u32(out, UINT32_C(1) << 24 | l->trun_flags); /* version 1: signed composition offsets */
    cmaf_u32(out, w->entries_count);
    cmaf_u32(out, (uint32_t)(l->moof_size + CMAF_BOX_HEADER)); /* from moof to mdat's inside */
    if ((l->trun_flags & TRUN_FIRST_SAMPLE_FLAGS) != 0)
        cmaf_u32(out, cmaf_entry_flags(&w->entries[0]));
    for (uint32_t i = 0; i < w->entries_count; i++) {
        const struct cmaf_entry *e = &w->entries[i];
        if ((l->trun_flags & TRUN_DURATION) != 0)
            cmaf_u32(out, e->duration);
        if ((l->trun_flags & TRUN_SIZE) != 0)
            cmaf_u32(out, e->size);
        if ((l->trun_flags & TRUN_FLAGS) != 0)
            cmaf_u32(out, cmaf_entry_flags(e));
        if ((l->trun_flags & TRUN_COMPOSITION) != 0)
            cmaf_u32(out, (uint32_t)(int32_t)(e->pts - e->dts));
    }
}

static void cmaf_put_moof(const struct cmaf_writer *w, const struct cmaf_layout *l,
                          uint32_t sequence, struct buf *out)
{
    const struct cmaf_entry *last = &w->entries[w->entries_count - 1];
    cmaf_header(out, l->moof_size, "moof");
    cmaf_header(out, 16, "mfhd");
    cmaf_u32(out, 0);
    cmaf_u32(out, sequence);
    cmaf_header(out, l->traf_size, "traf");
    cmaf_header(out, l->tfhd_size, "tfhd");
    cmaf_u32(out, l->tfhd_flags);
    cmaf_u32(out, 1); /* track_ID: one track a segment */
    if ((l->tfhd_flags & TFHD_DEFAULT_DURATION) != 0)
        cmaf_u32(out, last->duration);
    if ((l->tfhd_flags & TFHD_DEFAULT_SIZE) != 0)
        cmaf_u32(out, last->size);
    if ((l->tfhd_flags & TFHD_DEFAULT_FLAGS) != 0)
        cmaf_u32(out, cmaf_entry_flags(last));
    cmaf_header(out, 20, "tfdt");
    cmaf_u32(out, UINT32_C(1) << 24); /* version 1: 64 bits */
    cmaf_u64(out, (uint64_t)w->entries[0].dts);
    cmaf_put_trun(w, l, out);
}

int cmaf_writer_end(struct cmaf_writer *w, uint32_t sequence, int64_t end_pts, struct buf *out,
                    struct segment *ret, uint64_t *ret_start)
{
    cmaf_writer_check(w);
    ASSERT(out != NULL);
    ASSERT(ret != NULL);
    ASSERT(ret_start != NULL);
    if (w->entries_count == 0)
        return -EINVAL;
    int r = cmaf_times(w, end_pts);
    if (r < 0)
        return r;
    struct cmaf_layout l = cmaf_layout(w);
    if (l.total_size > CMAF_SEGMENT_SIZE_MAX)
        return -EFBIG;
    size_t before = out->size;
    cmaf_header(out, CMAF_STYP_SIZE, "styp");
    buf_puts(out, "msdh");
    cmaf_u32(out, 0);
    buf_puts(out, "msdhcmfs");
    cmaf_put_moof(w, &l, sequence, out);
    cmaf_header(out, CMAF_BOX_HEADER + w->data.size, "mdat");
    buf_put_str(out, buf_str(&w->data));
    r = buf_error(out);
    if (r < 0)
        return r;
    ASSERT(out->size - before == l.total_size);
    const struct cmaf_entry *last = &w->entries[w->entries_count - 1];
    *ret = (struct segment){
        .digest = digest_of(out->data + before, l.total_size),
        .size = (uint32_t)l.total_size,
        .duration = (uint32_t)(last->dts - w->entries[0].dts) + last->duration,
    };
    if (w->is_video && w->entries[0].is_key)
        ret->key_size = (uint32_t)(l.total_size - w->data.size) + w->entries[0].size;
    *ret_start = (uint64_t)w->entries[0].dts;
    w->has_before = true;
    w->pts_before = w->times[w->entries_count - 1];
    w->entries_count = 0;
    buf_clear(&w->data);
    return 0;
}

static uint32_t cmaf_read_u32(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

int cmaf_box(struct str bytes, char ret_type[5], struct str *ret_body, struct str *ret_rest)
{
    ASSERT(ret_type != NULL);
    ASSERT(ret_body != NULL);
    ASSERT(ret_rest != NULL);
    if (bytes.size == 0)
        return -ENOENT;
    if (bytes.size < CMAF_BOX_HEADER)
        return -EBADMSG;
    uint64_t size = cmaf_read_u32(bytes.data);
    size_t header = CMAF_BOX_HEADER;
    if (size == 1) { /* a 64-bit size follows the type */
        header = 16;
        if (bytes.size < header)
            return -EBADMSG;
        size = (uint64_t)cmaf_read_u32(bytes.data + 8) << 32 | cmaf_read_u32(bytes.data + 12);
    } else if (size == 0) { /* up to the end of the file */
        size = bytes.size;
    }
    if (size < header || size > bytes.size)
        return -EBADMSG;
    memcpy(ret_type, bytes.data + 4, 4);
    ret_type[4] = 0;
    *ret_body = (struct str){bytes.data + header, (size_t)size - header};
    *ret_rest = str_skip(bytes, (size_t)size);
    return 0;
}
