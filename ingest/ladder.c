/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/ladder.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/config.h"

#define LADDER_BITRATE_MAX   UINT64_C(400000000)
#define LADDER_AUDIO_BITRATE 128000
#define LADDER_PRESET        "veryfast"

static const struct {
    uint32_t height;
    uint64_t bitrate;
} ladder_auto[] = {
    {240, 250000},   {360, 500000},    {480, 800000},    {720, 2500000},
    {1080, 5000000}, {1440, 10000000}, {2160, 20000000},
};

static const char *const ladder_presets[] = {"ultrafast", "superfast", "veryfast", "faster",
                                             "fast",      "medium",    "slow",     "slower",
                                             "veryslow",  "placebo"};

/* --- the YAML file ---------------------------------------------------------------------------- */

struct ladder_yaml_rung {
    uint32_t height;
    char *video_bitrate;
    char *maxrate;
    char *bufsize;
    char *preset;
    double *crf;
};

struct ladder_yaml {
    struct ladder_yaml_rung *rungs;
    unsigned rungs_count;
    double *segment_seconds;
    char *audio_bitrate;
    char *preset;
};

static const cyaml_schema_field_t ladder_rung_fields[] = {
    CYAML_FIELD_UINT("height", CYAML_FLAG_DEFAULT, struct ladder_yaml_rung, height),
    CYAML_FIELD_STRING_PTR("video_bitrate", CYAML_FLAG_POINTER, struct ladder_yaml_rung,
                           video_bitrate, 0, 32),
    CYAML_FIELD_STRING_PTR("maxrate", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct ladder_yaml_rung, maxrate, 0, 32),
    CYAML_FIELD_STRING_PTR("bufsize", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct ladder_yaml_rung, bufsize, 0, 32),
    CYAML_FIELD_STRING_PTR("preset", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct ladder_yaml_rung, preset, 0, 32),
    CYAML_FIELD_FLOAT_PTR("crf", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct ladder_yaml_rung,
                          crf),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t ladder_rung_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct ladder_yaml_rung, ladder_rung_fields),
};
static const cyaml_schema_field_t ladder_fields[] = {
    CYAML_FIELD_SEQUENCE("rungs", CYAML_FLAG_POINTER, struct ladder_yaml, rungs,
                         &ladder_rung_schema, 0, CYAML_UNLIMITED),
    CYAML_FIELD_FLOAT_PTR("segment_seconds", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                          struct ladder_yaml, segment_seconds),
    CYAML_FIELD_STRING_PTR("audio_bitrate", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct ladder_yaml, audio_bitrate, 0, 32),
    CYAML_FIELD_STRING_PTR("preset", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct ladder_yaml,
                           preset, 0, 32),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t ladder_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct ladder_yaml, ladder_fields),
};

int ladder_bitrate(const char *text, uint64_t *ret)
{
    ASSERT(text != NULL);
    ASSERT(ret != NULL);
    if (text[0] < '0' || text[0] > '9') /* strtod would take "inf", "-1" and spaces */
        return -EINVAL;
    char *end = NULL;
    double value = strtod(text, &end);
    if (*end == 'k' || *end == 'K') {
        value *= 1000;
        end++;
    } else if (*end == 'M' || *end == 'm') {
        value *= 1000000;
        end++;
    }
    if (*end != 0 || !isfinite(value) || value < 1000 || value > (double)LADDER_BITRATE_MAX)
        return -EINVAL;
    *ret = (uint64_t)llround(value);
    return 0;
}

static int ladder_rate(const char *path, const char *key, const char *text, uint64_t *ret,
                       struct err *err)
{
    if (text == NULL)
        return 0; /* the default stands */
    if (ladder_bitrate(text, ret) < 0)
        return err_set(err, -EINVAL, "%s: %s: '%s' is not a bit rate such as 800k or 2.5M", path,
                       key, text);
    return 0;
}

static int ladder_preset(const char *path, const char *text, char *out, struct err *err)
{
    if (text == NULL)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(ladder_presets); i++)
        if (strcmp(text, ladder_presets[i]) == 0)
            return str_copy(str_of(text), out, LADDER_PRESET_MAX);
    return err_set(err, -EINVAL, "%s: preset: '%s' is none of x264's presets", path, text);
}

static void ladder_rung_default(struct rung *r, uint32_t height, uint64_t bitrate)
{
    *r = (struct rung){.height = height, .bitrate = bitrate, .crf = -1};
    memcpy(r->preset, LADDER_PRESET, sizeof LADDER_PRESET);
}

/* A peak of 1.3 times the average and a buffer of 1.5 s of it: players choose a rendition by its
 * peak, so a low one keeps more of them on the better picture. */
static void ladder_rung_limits(struct rung *r)
{
    if (r->maxrate == 0)
        r->maxrate = r->bitrate + r->bitrate * 3 / 10;
    if (r->bufsize == 0)
        r->bufsize = r->maxrate + r->maxrate / 2;
}

static int ladder_take_rung(const char *path, const struct ladder_yaml *y, unsigned i,
                            struct rung *ret, struct err *err)
{
    const struct ladder_yaml_rung *from = &y->rungs[i];
    if (from->height < 16 || from->height > 4320)
        return err_set(err, -EINVAL, "%s: rungs: height %" PRIu32 " is not within 16 to 4320", path,
                       from->height);
    ladder_rung_default(ret, from->height, 0);
    int r = ladder_rate(path, "video_bitrate", from->video_bitrate, &ret->bitrate, err);
    if (r == 0)
        r = ladder_rate(path, "maxrate", from->maxrate, &ret->maxrate, err);
    if (r == 0)
        r = ladder_rate(path, "bufsize", from->bufsize, &ret->bufsize, err);
    if (r == 0)
        r = ladder_preset(path, from->preset != NULL ? from->preset : y->preset, ret->preset, err);
    if (r < 0)
        return r;
    if (ret->maxrate != 0 && ret->maxrate < ret->bitrate)
        return err_set(err, -EINVAL,
                       "%s: rungs: maxrate of height %" PRIu32 " is below its video_bitrate", path,
                       ret->height);
    if (from->crf != NULL) {
        if (!(*from->crf >= 1 && *from->crf <= 51))
            return err_set(err, -EINVAL, "%s: crf: %g is not within 1 to 51", path, *from->crf);
        ret->crf = *from->crf;
    }
    ladder_rung_limits(ret);
    return 0;
}

static int ladder_by_height(const void *a, const void *b)
{
    const struct rung *x = a, *y = b;
    return x->height < y->height ? -1 : x->height > y->height;
}

static int ladder_take(const char *path, const struct ladder_yaml *y, struct ladder *l,
                       struct err *err)
{
    if (y->rungs_count == 0 || y->rungs_count > LADDER_RUNGS_MAX)
        return err_set(err, -EINVAL, "%s: rungs: there must be 1 to %d of them", path,
                       LADDER_RUNGS_MAX);
    for (unsigned i = 0; i < y->rungs_count; i++) {
        int r = ladder_take_rung(path, y, i, &l->rungs[i], err);
        if (r < 0)
            return r;
    }
    l->rungs_count = y->rungs_count;
    qsort(l->rungs, l->rungs_count, sizeof l->rungs[0], ladder_by_height);
    for (unsigned i = 1; i < l->rungs_count; i++)
        if (l->rungs[i].height == l->rungs[i - 1].height)
            return err_set(err, -EINVAL, "%s: rungs: height %" PRIu32 " comes twice", path,
                           l->rungs[i].height);
    if (y->segment_seconds != NULL) {
        double ms = *y->segment_seconds * 1000;
        if (!(ms >= LADDER_SEGMENT_MS_MIN && ms <= LADDER_SEGMENT_MS_MAX))
            return err_set(err, -EINVAL, "%s: segment_seconds: %g is not within 1 to 30", path,
                           *y->segment_seconds);
        l->segment_ms = (uint32_t)lround(ms);
    }
    uint64_t audio = LADDER_AUDIO_BITRATE;
    int r = ladder_rate(path, "audio_bitrate", y->audio_bitrate, &audio, err);
    if (r == 0 && (audio < 32000 || audio > 512000))
        r = err_set(err, -EINVAL, "%s: audio_bitrate: '%s' is not within 32k to 512k", path,
                    y->audio_bitrate);
    if (r == 0)
        l->audio_bitrate = (uint32_t)audio;
    return r;
}

int ladder_load(const char *spec, uint32_t segment_ms, struct ladder *ret, struct err *err)
{
    ASSERT(spec != NULL);
    ASSERT(ret != NULL);
    struct ladder l = {.segment_ms = segment_ms, .audio_bitrate = LADDER_AUDIO_BITRATE};
    if (strcmp(spec, "copy") == 0) {
        l.is_copy = true;
    } else if (strcmp(spec, "auto") == 0) {
        for (size_t i = 0; i < ARRAY_LEN(ladder_auto); i++) {
            ladder_rung_default(&l.rungs[i], ladder_auto[i].height, ladder_auto[i].bitrate);
            ladder_rung_limits(&l.rungs[i]);
        }
        l.rungs_count = ARRAY_LEN(ladder_auto);
    } else {
        void *loaded = NULL;
        int r = config_load(spec, &ladder_schema, &loaded, err);
        if (r < 0)
            return r;
        r = ladder_take(spec, loaded, &l, err);
        config_free(&ladder_schema, loaded);
        if (r < 0)
            return r;
    }
    *ret = l;
    return 0;
}

void ladder_write(const struct ladder *l, struct buf *out)
{
    buf_printf(out, "%s segment_ms=%" PRIu32 " audio=%" PRIu32, l->is_copy ? "copy" : "encode",
               l->segment_ms, l->audio_bitrate);
    for (unsigned i = 0; i < l->rungs_count; i++) {
        const struct rung *r = &l->rungs[i];
        buf_printf(out, " [%" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %.2f %s]", r->height,
                   r->bitrate, r->maxrate, r->bufsize, r->crf, r->preset);
    }
}

static uint32_t ladder_even(uint64_t numerator, uint64_t denominator)
{
    uint64_t half = (numerator + denominator) / (2 * denominator); /* rounded to the nearest */
    return (uint32_t)MAX(half * 2, UINT64_C(2));
}

unsigned ladder_fit(const struct ladder *l, uint32_t width, uint32_t height,
                    struct ladder_size *ret)
{
    ASSERT(l->rungs_count > 0);
    ASSERT(width > 0);
    ASSERT(height > 0);
    uint32_t side = MIN(width, height);
    unsigned count = 0;
    for (unsigned i = l->rungs_count; i-- > 0;) {
        const struct rung *r = &l->rungs[i];
        if (r->height > side)
            continue;
        ret[count++] = (struct ladder_size){
            .rung = r,
            .height = r->height,
            .width_px = ladder_even((uint64_t)width * r->height, side),
            .height_px = ladder_even((uint64_t)height * r->height, side),
        };
    }
    if (count > 0)
        return count;
    ret[0] = (struct ladder_size){
        .rung = &l->rungs[0],
        .height = MAX(side & ~UINT32_C(1), UINT32_C(2)),
        .width_px = MAX(width & ~UINT32_C(1), UINT32_C(2)),
        .height_px = MAX(height & ~UINT32_C(1), UINT32_C(2)),
    };
    return 1;
}
