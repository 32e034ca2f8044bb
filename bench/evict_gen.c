/* SPDX-License-Identifier: Apache-2.0 */
/* Each family is a source that gives one object at a time; mixed asks several in turn by chance. */
#include "evict_gen.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include "evict_rng.h"

#define GEN_RUNGS 6u

/* Of a segment of some seconds, by rung; each segment differs by up to a factor of 1.6. */
static const uint32_t gen_rung_size[GEN_RUNGS] = {96u << 10,  200u << 10,  400u << 10,
                                                  800u << 10, 1600u << 10, 2600u << 10};
static const double gen_rung_share[GEN_RUNGS] = {0.05, 0.1, 0.2, 0.3, 0.25, 0.1};

struct gen_zipf {
    uint32_t count;
    double *sum; /* of the popularity of ranks up to this one, the last is 1 */
};

struct gen {
    struct evict_trace *trace;
    struct evict_rng rng;
    int error; /* the first; what is drawn after it is not used */
};

struct gen_source {
    int (*begin)(struct gen *g, void **ret);
    uint32_t (*next)(struct gen *g, void *state);
    void (*end)(void *state);
};

/* --- what the sources share ------------------------------------------------------------------- */

static uint32_t gen_object(struct gen *g, double size)
{
    uint32_t object = 0;
    int r = evict_trace_object(g->trace, (uint32_t)size, &object);
    if (r < 0 && g->error == 0)
        g->error = r;
    return object;
}

static uint32_t gen_below(struct gen *g, uint32_t limit)
{
    return (uint32_t)evict_rng_below(&g->rng, limit);
}

static bool gen_chance(struct gen *g, double p)
{
    return evict_rng_unit(&g->rng) < p;
}

static double gen_segment_size(struct gen *g, unsigned rung)
{
    double size = gen_rung_size[rung] * exp2(evict_rng_unit(&g->rng) * 1.4 - 0.7);
    return MIN(MAX(size, 60 << 10), 4 << 20);
}

static unsigned gen_rung(struct gen *g)
{
    double at = evict_rng_unit(&g->rng);
    unsigned i = 0;
    while (i + 1 < GEN_RUNGS && at >= gen_rung_share[i])
        at -= gen_rung_share[i++];
    return i;
}

static int gen_zipf_init(struct gen_zipf *z, uint32_t count, double alpha)
{
    z->count = count;
    z->sum = malloc(count * sizeof *z->sum);
    if (z->sum == NULL)
        return -ENOMEM;
    double total = 0;
    for (uint32_t i = 0; i < count; i++)
        z->sum[i] = total += pow(i + 1.0, -alpha);
    for (uint32_t i = 0; i < count; i++)
        z->sum[i] /= total;
    return 0;
}

static uint32_t gen_zipf_rank(struct gen *g, const struct gen_zipf *z)
{
    double at = evict_rng_unit(&g->rng);
    uint32_t low = 0, high = z->count - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (z->sum[middle] > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* --- zipf, churn: single segments; in churn new ones take the places of old ones -------------- */

#define ZIPF_OBJECTS 40000u
#define ZIPF_ALPHA   0.9
#define CHURN_PERIOD 20u /* requests between two newcomers */

struct gen_ranks {
    struct gen_zipf zipf;
    uint32_t *objects; /* by rank */
    uint32_t until_new;
};

static void gen_ranks_end(void *state)
{
    struct gen_ranks *x = state;
    free(x->zipf.sum);
    free(x->objects);
    free(x);
}

static int gen_ranks_begin(struct gen *g, uint32_t count, double alpha, bool small,
                           struct gen_ranks **ret)
{
    struct gen_ranks *x = calloc(1, sizeof *x);
    if (x == NULL)
        return -ENOMEM;
    x->objects = malloc(count * sizeof *x->objects);
    if (x->objects == NULL || gen_zipf_init(&x->zipf, count, alpha) < 0) {
        gen_ranks_end(x);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++)
        x->objects[i] = gen_object(g, small ? exp2(10 + 6 * evict_rng_unit(&g->rng))
                                            : gen_segment_size(g, gen_below(g, GEN_RUNGS)));
    x->until_new = CHURN_PERIOD;
    *ret = x;
    return 0;
}

static int gen_zipf_begin(struct gen *g, void **ret)
{
    struct gen_ranks *x = NULL;
    int r = gen_ranks_begin(g, ZIPF_OBJECTS, ZIPF_ALPHA, false, &x);
    *ret = x;
    return r;
}

static uint32_t gen_zipf_next(struct gen *g, void *state)
{
    const struct gen_ranks *x = state;
    return x->objects[gen_zipf_rank(g, &x->zipf)];
}

static uint32_t gen_churn_next(struct gen *g, void *state)
{
    struct gen_ranks *x = state;
    if (--x->until_new == 0) {
        x->until_new = CHURN_PERIOD;
        x->objects[gen_below(g, x->zipf.count)] =
            gen_object(g, gen_segment_size(g, gen_below(g, GEN_RUNGS)));
    }
    return x->objects[gen_zipf_rank(g, &x->zipf)];
}

/* Thumbnails, captions, keys: small and many. */
static int gen_small_begin(struct gen *g, void **ret)
{
    struct gen_ranks *x = NULL;
    int r = gen_ranks_begin(g, ZIPF_OBJECTS, ZIPF_ALPHA, true, &x);
    *ret = x;
    return r;
}

/* --- scan: zipf, and now and then somebody reads a large catalogue in order ------------------- */

#define SCAN_OBJECTS 60000u
#define SCAN_EVERY   20000u /* requests of the others between two scans, on average */
#define SCAN_LENGTH  8000u

struct gen_scan {
    struct gen_ranks *ranks;
    uint32_t first; /* object */
    uint32_t at, left;
};

static void gen_scan_end(void *state)
{
    struct gen_scan *x = state;
    if (x->ranks != NULL)
        gen_ranks_end(x->ranks);
    free(x);
}

static int gen_scan_begin(struct gen *g, void **ret)
{
    struct gen_scan *x = calloc(1, sizeof *x);
    if (x == NULL)
        return -ENOMEM;
    int r = gen_ranks_begin(g, ZIPF_OBJECTS / 2, ZIPF_ALPHA, false, &x->ranks);
    if (r < 0) {
        gen_scan_end(x);
        return r;
    }
    for (uint32_t i = 0; i < SCAN_OBJECTS; i++) {
        uint32_t object = gen_object(g, gen_segment_size(g, gen_below(g, GEN_RUNGS)));
        x->first = i == 0 ? object : x->first;
    }
    *ret = x;
    return 0;
}

static uint32_t gen_scan_next(struct gen *g, void *state)
{
    struct gen_scan *x = state;
    if (x->left == 0 && gen_chance(g, 1.0 / SCAN_EVERY))
        x->left = SCAN_LENGTH / 2 + gen_below(g, SCAN_LENGTH);
    if (x->left == 0)
        return gen_zipf_next(g, x->ranks);
    x->left--;
    uint32_t object = x->first + x->at;
    x->at = (x->at + 1) % SCAN_OBJECTS;
    return object;
}

/* --- live: each channel makes a segment a round; each viewer asks for playlist, video, sound -- */

#define LIVE_CHANNELS   60u
#define LIVE_VIEWERS    1500u
#define LIVE_BEHIND     0.04 /* viewers who watch from further back */
#define LIVE_BEHIND_MAX 300u /* rounds */
#define LIVE_SWITCH     0.01 /* a round */
#define LIVE_KINDS      (GEN_RUNGS + 2)
#define LIVE_SOUND      GEN_RUNGS
#define LIVE_PLAYLIST   (GEN_RUNGS + 1)
#define LIVE_HISTORY    512u /* rounds; more than LIVE_BEHIND_MAX and the usual delay */

struct gen_live_viewer {
    uint32_t channel, rung, delay;
};

struct gen_live {
    struct gen_zipf zipf;
    struct gen_live_viewer viewers[LIVE_VIEWERS];
    uint32_t objects[LIVE_HISTORY][LIVE_CHANNELS][LIVE_KINDS];
    uint32_t round, at, step;
    uint32_t stride; /* of the viewers' order in this round; odd and not a multiple of 3 or 5 */
};

static void gen_live_viewer(struct gen *g, struct gen_live *x, struct gen_live_viewer *v)
{
    v->channel = gen_zipf_rank(g, &x->zipf);
    v->rung = gen_rung(g);
    v->delay = gen_chance(g, LIVE_BEHIND) ? 8 + gen_below(g, LIVE_BEHIND_MAX)
                                          : (uint32_t)(4 * pow(evict_rng_unit(&g->rng), 4));
}

static void gen_live_round(struct gen *g, struct gen_live *x)
{
    x->round++;
    x->at = 0;
    x->stride = gen_below(g, LIVE_VIEWERS / 30) * 30 + 7;
    for (uint32_t c = 0; c < LIVE_CHANNELS; c++) {
        uint32_t *o = x->objects[x->round % LIVE_HISTORY][c];
        for (unsigned k = 0; k < GEN_RUNGS; k++)
            o[k] = gen_object(g, gen_segment_size(g, k));
        o[LIVE_SOUND] = gen_object(g, 64 << 10);
        o[LIVE_PLAYLIST] = gen_object(g, 1024 + gen_below(g, 7168));
    }
}

static void gen_live_end(void *state)
{
    struct gen_live *x = state;
    free(x->zipf.sum);
    free(x);
}

static int gen_live_begin(struct gen *g, void **ret)
{
    struct gen_live *x = calloc(1, sizeof *x);
    if (x == NULL)
        return -ENOMEM;
    if (gen_zipf_init(&x->zipf, LIVE_CHANNELS, 1.0) < 0) {
        gen_live_end(x);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < LIVE_VIEWERS; i++)
        gen_live_viewer(g, x, &x->viewers[i]);
    while (x->round < LIVE_HISTORY) /* the past that the first ones behind ask for */
        gen_live_round(g, x);
    *ret = x;
    return 0;
}

static uint32_t gen_live_next(struct gen *g, void *state)
{
    static const uint32_t kinds[3] = {LIVE_PLAYLIST, 0, LIVE_SOUND};
    struct gen_live *x = state;
    struct gen_live_viewer *v = &x->viewers[(uint64_t)x->at * x->stride % LIVE_VIEWERS];
    const uint32_t *o = x->objects[(x->round - v->delay) % LIVE_HISTORY][v->channel];
    uint32_t object = o[x->step == 1 ? v->rung : kinds[x->step]];
    if (++x->step < 3)
        return object;
    x->step = 0;
    if (gen_chance(g, LIVE_SWITCH))
        gen_live_viewer(g, x, v);
    else if (gen_chance(g, 0.03))
        v->rung = gen_rung(g);
    if (++x->at == LIVE_VIEWERS)
        gen_live_round(g, x);
    return object;
}

/* --- binge: films from the start, in order, by many, most of whom leave early ----------------- */

#define BINGE_FILMS   150u
#define BINGE_VIEWERS 400u
#define BINGE_ALPHA   0.8
#define BINGE_RESUME  0.2   /* begin somewhere inside */
#define BINGE_LEAVE   0.003 /* at each segment; ten times that in the first tenth */
#define BINGE_NEXT    0.6   /* at the end: the next film of the series */

struct gen_film {
    uint32_t length;
    uint32_t *objects[GEN_RUNGS + 1]; /* the last: sound */
};

struct gen_binge_viewer {
    uint32_t film, at, rung;
    bool sound; /* the next request is for it */
};

struct gen_binge {
    struct gen_zipf zipf;
    struct gen_film films[BINGE_FILMS];
    struct gen_binge_viewer viewers[BINGE_VIEWERS];
    uint32_t at;
};

static void gen_binge_end(void *state)
{
    struct gen_binge *x = state;
    for (unsigned i = 0; i < BINGE_FILMS; i++) {
        for (unsigned k = 0; k <= GEN_RUNGS; k++)
            free(x->films[i].objects[k]);
    }
    free(x->zipf.sum);
    free(x);
}

static void gen_binge_viewer(struct gen *g, struct gen_binge *x, struct gen_binge_viewer *v)
{
    /* Popularity has nothing to do with the place in a series. */
    v->film = gen_zipf_rank(g, &x->zipf) * 67 % BINGE_FILMS;
    v->at = gen_chance(g, BINGE_RESUME) ? gen_below(g, x->films[v->film].length) : 0;
    v->rung = gen_rung(g);
    v->sound = false;
}

static int gen_binge_begin(struct gen *g, void **ret)
{
    struct gen_binge *x = calloc(1, sizeof *x);
    if (x == NULL)
        return -ENOMEM;
    int r = gen_zipf_init(&x->zipf, BINGE_FILMS, BINGE_ALPHA);
    for (unsigned i = 0; r == 0 && i < BINGE_FILMS; i++) {
        struct gen_film *f = &x->films[i];
        f->length = 100 + gen_below(g, 300);
        for (unsigned k = 0; r == 0 && k <= GEN_RUNGS; k++) {
            f->objects[k] = malloc(f->length * sizeof *f->objects[k]);
            if (f->objects[k] == NULL)
                r = -ENOMEM;
            for (uint32_t n = 0; r == 0 && n < f->length; n++)
                f->objects[k][n] = gen_object(g, k < GEN_RUNGS ? gen_segment_size(g, k) : 64 << 10);
        }
    }
    if (r < 0) {
        gen_binge_end(x);
        return r;
    }
    for (unsigned i = 0; i < BINGE_VIEWERS; i++) {
        gen_binge_viewer(g, x, &x->viewers[i]);
        x->viewers[i].at = gen_below(g, x->films[x->viewers[i].film].length);
    }
    *ret = x;
    return 0;
}

static void gen_binge_step(struct gen *g, struct gen_binge *x, struct gen_binge_viewer *v)
{
    uint32_t length = x->films[v->film].length;
    v->at++;
    if (gen_chance(g, v->at < length / 10 ? 10 * BINGE_LEAVE : BINGE_LEAVE)) {
        gen_binge_viewer(g, x, v);
    } else if (v->at == length) {
        uint32_t film = (v->film + 1) % BINGE_FILMS;
        unsigned rung = v->rung;
        bool more = gen_chance(g, BINGE_NEXT);
        gen_binge_viewer(g, x, v);
        if (more)
            *v = (struct gen_binge_viewer){film, 0, rung, false};
    } else if (gen_chance(g, 0.02)) {
        v->rung = gen_rung(g);
    }
}

static uint32_t gen_binge_next(struct gen *g, void *state)
{
    struct gen_binge *x = state;
    struct gen_binge_viewer *v = &x->viewers[x->at];
    const struct gen_film *f = &x->films[v->film];
    uint32_t object = f->objects[v->sound ? GEN_RUNGS : v->rung][v->at];
    if (v->sound) {
        gen_binge_step(g, x, v);
        /* In turn, with some who are early or late. */
        x->at = (x->at + 1 + (gen_chance(g, 0.1) ? gen_below(g, 3) : 0)) % BINGE_VIEWERS;
        x->viewers[x->at].sound = false;
    } else {
        v->sound = true;
    }
    return object;
}

/* --- mixed ------------------------------------------------------------------------------------ */

enum { MIX_BINGE, MIX_LIVE, MIX_SMALL, MIX_SCAN, MIX_COUNT };

static const struct gen_source gen_mix_sources[MIX_COUNT] = {
    [MIX_BINGE] = {gen_binge_begin, gen_binge_next, gen_binge_end},
    [MIX_LIVE] = {gen_live_begin, gen_live_next, gen_live_end},
    [MIX_SMALL] = {gen_small_begin, gen_zipf_next, gen_ranks_end},
    [MIX_SCAN] = {gen_scan_begin, gen_scan_next, gen_scan_end},
};
static const double gen_mix_share[MIX_COUNT] = {0.4, 0.35, 0.15, 0.1};

struct gen_mix {
    void *states[MIX_COUNT];
};

static void gen_mix_end(void *state)
{
    struct gen_mix *x = state;
    for (unsigned i = 0; i < MIX_COUNT; i++) {
        if (x->states[i] != NULL)
            gen_mix_sources[i].end(x->states[i]);
    }
    free(x);
}

static int gen_mix_begin(struct gen *g, void **ret)
{
    struct gen_mix *x = calloc(1, sizeof *x);
    int r = x == NULL ? -ENOMEM : 0;
    for (unsigned i = 0; r == 0 && i < MIX_COUNT; i++)
        r = gen_mix_sources[i].begin(g, &x->states[i]);
    if (r < 0 && x != NULL)
        gen_mix_end(x);
    else
        *ret = x;
    return r;
}

static uint32_t gen_mix_next(struct gen *g, void *state)
{
    struct gen_mix *x = state;
    double at = evict_rng_unit(&g->rng);
    unsigned i = 0;
    while (i + 1 < MIX_COUNT && at >= gen_mix_share[i])
        at -= gen_mix_share[i++];
    return gen_mix_sources[i].next(g, x->states[i]);
}

/* --- all of them ------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    struct gen_source source;
} gen_families[] = {
    {"zipf", {gen_zipf_begin, gen_zipf_next, gen_ranks_end}},
    {"churn", {gen_zipf_begin, gen_churn_next, gen_ranks_end}},
    {"scan", {gen_scan_begin, gen_scan_next, gen_scan_end}},
    {"live", {gen_live_begin, gen_live_next, gen_live_end}},
    {"binge", {gen_binge_begin, gen_binge_next, gen_binge_end}},
    {"mixed", {gen_mix_begin, gen_mix_next, gen_mix_end}},
};

const char *evict_gen_family(unsigned i)
{
    return i < ARRAY_LEN(gen_families) ? gen_families[i].name : NULL;
}

int evict_gen(const char *family, uint64_t seed, uint32_t requests, struct evict_trace *t)
{
    struct gen g = {.trace = t, .rng = evict_rng_of(seed)};
    for (unsigned i = 0; i < ARRAY_LEN(gen_families); i++) {
        if (strcmp(gen_families[i].name, family) != 0)
            continue;
        const struct gen_source *s = &gen_families[i].source;
        void *state = NULL;
        int r = s->begin(&g, &state);
        for (uint32_t n = 0; r == 0 && n < requests; n++) {
            uint32_t object = s->next(&g, state);
            r = g.error < 0 ? g.error : evict_trace_request(t, object);
        }
        if (state != NULL)
            s->end(state);
        return r;
    }
    return -EINVAL;
}
