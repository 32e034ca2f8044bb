/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/pictures.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libavcodec/avcodec.h>
#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/file.h"
#include "ingest/scale.h"

#define PICTURES_TILE_WIDTH   160
#define PICTURES_TILE_HEIGHT  640 /* at most: a portrait film's tile is not a column */
#define PICTURES_TILES_WANTED 500
#define PICTURES_TILES_MAX    100000
#define PICTURES_POSTER_WIDTH 1280
#define PICTURES_LUMA_DARK    40 /* of 255; black is 16 */
#define PICTURES_SHEET        (PICTURES_COLUMNS * PICTURES_ROWS)

struct pictures {
    uint32_t magic;
#define PICTURES_MAGIC UINT32_C(0x91c70435)
    struct run *run;
    uint32_t tile_width, tile_height, interval_ms;
    size_t tile_size; /* bytes of picture */
    uint64_t tiles;   /* there so far; the next one's number */
    bool tiles_done;
    int fd;
    uint8_t *tile; /* one tile's bytes */
    struct scale *tile_scale;
    struct scale *poster_scale;
    bool poster_done;
    AVFrame *poster; /* the brightest so far */
    double poster_luma;
    int64_t poster_from, poster_until;
};

static uint32_t pictures_even(int64_t v)
{
    return (uint32_t)MAX((v + 1) / 2 * 2, INT64_C(2));
}

static void pictures_sizes(struct pictures *p)
{
    const struct probe_video *v = &p->run->probe->video;
    p->tile_width = PICTURES_TILE_WIDTH;
    p->tile_height = pictures_even((int64_t)v->height * PICTURES_TILE_WIDTH / v->width);
    p->tile_height = MIN(p->tile_height, (uint32_t)PICTURES_TILE_HEIGHT);
    p->tile_size = (size_t)p->tile_width * p->tile_height * 3 / 2;
    int64_t ms = p->run->probe->duration_us / 1000;
    int64_t seconds =
        ms <= 0 ? 10 : (ms + 1000 * PICTURES_TILES_WANTED - 1) / (1000 * PICTURES_TILES_WANTED);
    p->interval_ms = (uint32_t)MIN(MAX(seconds, 1), 3600) * 1000;
    int64_t ticks = ms * v->timescale / 1000;
    p->poster_from = ticks / 10;
    p->poster_until = ticks * 3 / 10;
}

static off_t pictures_offset(const struct pictures *p, uint64_t tile)
{
    return (off_t)(tile * (p->tile_size + DIGEST_SIZE));
}

/* Counts the tiles from the front that are whole. */
static void pictures_load(struct pictures *p)
{
    for (; p->tiles < PICTURES_TILES_MAX; p->tiles++) {
        struct digest d;
        off_t at = pictures_offset(p, p->tiles);
        if (pread(p->fd, d.bytes, DIGEST_SIZE, at) != DIGEST_SIZE ||
            pread(p->fd, p->tile, p->tile_size, at + DIGEST_SIZE) != (ssize_t)p->tile_size)
            break;
        struct digest real = digest_of(p->tile, p->tile_size);
        if (!digest_eq(&d, &real))
            break;
    }
    uint64_t count;
    p->tiles_done = work_find_number(p->run->work, "tiles", &count) && p->tiles >= count;
    if (p->tiles_done)
        p->tiles = count;
}

int pictures_new(struct run *run, struct err *err, struct pictures **ret)
{
    struct pictures *p = calloc(1, sizeof *p);
    if (p == NULL)
        return err_errno(err, -ENOMEM, "%s", run->probe->path);
    p->magic = PICTURES_MAGIC;
    p->run = run;
    p->poster_luma = -1;
    pictures_sizes(p);
    const struct probe_video *v = &run->probe->video;
    uint32_t width = MIN(v->width + v->width % 2, (uint32_t)PICTURES_POSTER_WIDTH);
    uint32_t height = pictures_even((int64_t)v->height * width / v->width);
    CLEAN(base_free) char *path = work_path(run->work, "tiles");
    p->fd = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    int r = path == NULL ? -ENOMEM : p->fd < 0 ? -errno : 0;
    p->tile = malloc(p->tile_size);
    if (r == 0 && p->tile == NULL)
        r = -ENOMEM;
    if (r == 0)
        r = scale_new(p->tile_width, p->tile_height, AV_PIX_FMT_YUVJ420P, &p->tile_scale);
    if (r == 0)
        r = scale_new(width, height, AV_PIX_FMT_YUVJ420P, &p->poster_scale);
    if (r < 0) {
        pictures_free(p);
        return err_errno(err, r, "%s: thumbnails", run->probe->path);
    }
    struct picture known;
    p->poster_done = work_find_picture(run->work, "poster", &known);
    pictures_load(p);
    *ret = p;
    return 0;
}

struct pictures *pictures_free(struct pictures *p)
{
    if (p == NULL)
        return NULL;
    ASSERT(p->magic == PICTURES_MAGIC);
    base_close(p->fd);
    free(p->tile);
    scale_free(p->tile_scale);
    scale_free(p->poster_scale);
    av_frame_free(&p->poster);
    MAGIC_CLEAR(p);
    free(p);
    return NULL;
}

bool pictures_tiles_done(const struct pictures *p)
{
    return p->tiles_done;
}

int64_t pictures_tiles_from(const struct pictures *p)
{
    return (int64_t)p->tiles * p->interval_ms * p->run->probe->video.timescale / 1000;
}

bool pictures_tile_wanted(const struct pictures *p, int64_t pts)
{
    return !p->tiles_done && pts >= pictures_tiles_from(p);
}

static int pictures_fail(struct pictures *p, int code, const char *what)
{
    struct err err;
    (void)err_errno(&err, code, "%s: %s", p->run->probe->path, what);
    run_fail(p->run, code, &err);
    return code;
}

static int pictures_put_tile(struct pictures *p)
{
    struct digest d = digest_of(p->tile, p->tile_size);
    off_t at = pictures_offset(p, p->tiles);
    ssize_t put = pwrite(p->fd, p->tile, p->tile_size, at + DIGEST_SIZE);
    if (put == (ssize_t)p->tile_size)
        put = pwrite(p->fd, d.bytes, DIGEST_SIZE, at);
    if (put < 0)
        return -errno;
    if (put != DIGEST_SIZE)
        return -ENOSPC;
    p->tiles++;
    return 0;
}

int pictures_tile(struct pictures *p, const AVFrame *frame)
{
    ASSERT(p->magic == PICTURES_MAGIC);
    if (!pictures_tile_wanted(p, frame->pts) || p->tiles >= PICTURES_TILES_MAX)
        return 0;
    AVFrame *small = NULL;
    int r = scale_frame(p->tile_scale, frame, &small);
    if (r < 0)
        return pictures_fail(p, r, "thumbnails");
    r = av_image_copy_to_buffer(p->tile, (int)p->tile_size, (const uint8_t *const *)small->data,
                                small->linesize, AV_PIX_FMT_YUVJ420P, (int)p->tile_width,
                                (int)p->tile_height, 1);
    av_frame_free(&small);
    r = r < 0 ? -EINVAL : 0;
    /* A frame that stands for longer than an interval is more than one tile. */
    while (r == 0 && pictures_tile_wanted(p, frame->pts) && p->tiles < PICTURES_TILES_MAX)
        r = pictures_put_tile(p);
    return r < 0 ? pictures_fail(p, r, "thumbnails") : 0;
}

int pictures_tiles_end(struct pictures *p)
{
    if (p->tiles_done)
        return 0;
    struct err err;
    int r = work_put_number(p->run->work, "tiles", p->tiles, &err);
    if (r == 0)
        r = work_put_number(p->run->work, "tile_interval_ms", p->interval_ms, &err);
    if (r < 0)
        run_fail(p->run, r, &err);
    p->tiles_done = r == 0;
    return r;
}

static double pictures_luma(const AVFrame *f)
{
    uint64_t sum = 0, count = 0;
    for (int y = 0; y < f->height; y += 4) {
        const uint8_t *row = f->data[0] + (ptrdiff_t)y * f->linesize[0];
        for (int x = 0; x < f->width; x += 4, count++)
            sum += row[x];
    }
    return count == 0 ? 0 : (double)sum / (double)count;
}

/* From a tenth into the film on: the first picture that is not dark, tried about once a second; if
 * all are dark, the brightest before three tenths. */
int pictures_poster(struct pictures *p, const AVFrame *frame)
{
    ASSERT(p->magic == PICTURES_MAGIC);
    bool is_early = frame->pts < p->poster_from;
    if (p->poster_done || (p->poster != NULL && is_early))
        return 0;
    if (p->poster_luma >= PICTURES_LUMA_DARK ||
        (p->poster_luma >= 0 && frame->pts > p->poster_until))
        return 0;
    if (!is_early)
        p->poster_from = frame->pts + p->run->probe->video.timescale;
    AVFrame *scaled = NULL;
    int r = scale_frame(p->poster_scale, frame, &scaled);
    if (r < 0)
        return pictures_fail(p, r, "poster");
    /* The film's first picture is kept for a film that ends before a better one comes. */
    double luma = is_early ? -1 : pictures_luma(scaled);
    if (p->poster == NULL || luma > p->poster_luma) {
        av_frame_free(&p->poster);
        p->poster = scaled;
        p->poster_luma = luma;
    } else {
        av_frame_free(&scaled);
    }
    return 0;
}

static int pictures_jpeg(const AVFrame *frame, AVPacket *packet)
{
    const AVCodec *codec = avcodec_find_encoder(AV_CODEC_ID_MJPEG);
    AVCodecContext *c = codec == NULL ? NULL : avcodec_alloc_context3(codec);
    AVFrame *one = av_frame_clone(frame);
    int av = c == NULL || one == NULL ? AVERROR(ENOMEM) : 0;
    if (av == 0) {
        c->width = frame->width;
        c->height = frame->height;
        c->pix_fmt = AV_PIX_FMT_YUVJ420P;
        c->color_range = AVCOL_RANGE_JPEG;
        c->time_base = (AVRational){1, 25};
        c->thread_count = 1;
        c->flags |= AV_CODEC_FLAG_QSCALE;
        c->global_quality = 4 * FF_QP2LAMBDA;
        one->quality = c->global_quality;
        one->pict_type = AV_PICTURE_TYPE_NONE;
        one->pts = 0;
        av = avcodec_open2(c, codec, NULL);
    }
    if (av >= 0)
        av = avcodec_send_frame(c, one);
    if (av >= 0)
        av = avcodec_send_frame(c, NULL);
    if (av >= 0)
        av = avcodec_receive_packet(c, packet);
    av_frame_free(&one);
    avcodec_free_context(&c);
    return av < 0 ? (av > -4096 ? av : -EIO) : 0;
}

static int pictures_put(struct pictures *p, const char *name, const AVFrame *f, struct err *err)
{
    AVPacket *packet = av_packet_alloc();
    int r = packet == NULL ? -ENOMEM : pictures_jpeg(f, packet);
    if (r < 0)
        (void)err_errno(err, r, "%s: %s", p->run->probe->path, name);
    else
        r = work_put_picture(p->run->work, name,
                             (struct str){(const char *)packet->data, (size_t)packet->size},
                             (uint32_t)f->width, (uint32_t)f->height, err);
    av_packet_free(&packet);
    return r;
}

/* Copies a tile into its place on the sheet. */
static void pictures_place(const struct pictures *p, AVFrame *sheet, unsigned column, unsigned row)
{
    const uint8_t *from = p->tile;
    for (int plane = 0; plane < 3; plane++) {
        int shift = plane == 0 ? 0 : 1;
        int w = (int)p->tile_width >> shift, h = (int)p->tile_height >> shift;
        uint8_t *to = sheet->data[plane] + (ptrdiff_t)((int)row * h) * sheet->linesize[plane] +
                      (int)column * w;
        av_image_copy_plane(to, sheet->linesize[plane], from, w, w, h);
        from += (size_t)w * (size_t)h;
    }
}

static int pictures_sheet(struct pictures *p, uint64_t first, unsigned columns, unsigned rows,
                          struct err *err)
{
    char name[20];
    struct picture known;
    (void)snprintf(name, sizeof name, "sheet-%u", (unsigned)(first / PICTURES_SHEET));
    if (work_find_picture(p->run->work, name, &known))
        return 0;
    AVFrame *sheet = av_frame_alloc();
    if (sheet == NULL)
        return err_errno(err, -ENOMEM, "%s: %s", p->run->probe->path, name);
    sheet->width = (int)(columns * p->tile_width);
    sheet->height = (int)(rows * p->tile_height);
    sheet->format = AV_PIX_FMT_YUVJ420P;
    int r = av_frame_get_buffer(sheet, 0) < 0 ? -ENOMEM : 0;
    ptrdiff_t lines[4] = {sheet->linesize[0], sheet->linesize[1], sheet->linesize[2], 0};
    if (r == 0) /* what no tile covers is black */
        r = av_image_fill_black(sheet->data, lines, AV_PIX_FMT_YUVJ420P, AVCOL_RANGE_JPEG,
                                sheet->width, sheet->height) < 0
                ? -EINVAL
                : 0;
    for (uint64_t i = 0; r == 0 && i < columns * rows && first + i < p->tiles; i++) {
        off_t at = pictures_offset(p, first + i) + DIGEST_SIZE;
        if (pread(p->fd, p->tile, p->tile_size, at) != (ssize_t)p->tile_size)
            r = -EIO;
        else
            pictures_place(p, sheet, (unsigned)(i % columns), (unsigned)(i / columns));
    }
    r = r < 0 ? err_errno(err, r, "%s: %s", p->run->probe->path, name)
              : pictures_put(p, name, sheet, err);
    av_frame_free(&sheet);
    return r;
}

static void pictures_grid(uint64_t tiles, unsigned *ret_columns, unsigned *ret_rows)
{
    *ret_columns = (unsigned)MIN(tiles, (uint64_t)PICTURES_COLUMNS);
    *ret_rows = tiles >= PICTURES_SHEET
                    ? PICTURES_ROWS
                    : (unsigned)((tiles + PICTURES_COLUMNS - 1) / PICTURES_COLUMNS);
}

int pictures_finish(struct pictures *p, struct err *err)
{
    ASSERT(p->magic == PICTURES_MAGIC);
    int r = 0;
    if (!p->poster_done && p->poster != NULL)
        r = pictures_put(p, "poster", p->poster, err);
    if (r < 0 || p->tiles == 0)
        return r;
    unsigned columns, rows;
    pictures_grid(p->tiles, &columns, &rows);
    r = work_put_number(p->run->work, "tile_height", p->tile_height, err);
    for (uint64_t first = 0; r == 0 && first < p->tiles; first += PICTURES_SHEET)
        r = pictures_sheet(p, first, columns, rows, err);
    return r;
}

bool pictures_describe(const struct work *w, struct thumbnails *ret)
{
    uint64_t tiles, interval_ms, height;
    if (!work_find_number(w, "tiles", &tiles) || tiles == 0 || tiles > PICTURES_TILES_MAX ||
        !work_find_number(w, "tile_interval_ms", &interval_ms) ||
        !work_find_number(w, "tile_height", &height))
        return false;
    struct thumbnails t = {.tile_width = PICTURES_TILE_WIDTH,
                           .tile_height = (uint32_t)height,
                           .interval_ms = (uint32_t)interval_ms,
                           .tiles_count = (uint32_t)tiles};
    unsigned columns, rows;
    pictures_grid(tiles, &columns, &rows);
    t.columns = columns;
    t.rows = rows;
    *ret = t;
    return true;
}
