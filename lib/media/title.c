/* SPDX-License-Identifier: Apache-2.0 */
#include "media/title.h"
#include <errno.h>
#include <stdlib.h>

#define TITLE_MAGIC     UINT32_C(0x7171e5a1)
#define TITLE_SLOTS_MAX 4096

static void title_check(const struct title *t)
{
    ASSERT(t != NULL);
    ASSERT(t->magic == TITLE_MAGIC);
    ASSERT(t->refs > 0);
}

static bool title_count_blob(void *arg, const struct digest *d, uint32_t size)
{
    (void)d;
    (void)size;
    (*(uint32_t *)arg)++;
    return true;
}

static bool title_take_blob(void *arg, const struct digest *d, uint32_t size)
{
    (void)size;
    struct title *t = arg;
    t->blobs[t->blobs_count++] = *d;
    return true;
}

static int title_compare(const void *a, const void *b)
{
    return digest_compare(a, b);
}

static int title_index(struct title *t)
{
    uint32_t count = 0;
    presentation_blobs(t->presentation, title_count_blob, &count);
    t->blobs = calloc(MAX(count, 1), sizeof *t->blobs);
    if (t->blobs == NULL)
        return -ENOMEM;
    presentation_blobs(t->presentation, title_take_blob, t);
    ASSERT(t->blobs_count == count);
    qsort(t->blobs, t->blobs_count, sizeof *t->blobs, title_compare);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < t->blobs_count; i++) {
        if (kept == 0 || !digest_eq(&t->blobs[kept - 1], &t->blobs[i]))
            t->blobs[kept++] = t->blobs[i];
    }
    t->blobs_count = kept;
    return 0;
}

int title_new(const struct digest *d, struct str bytes, struct title **ret, struct err *err)
{
    struct title *t = calloc(1, sizeof *t);
    if (t == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    t->magic = TITLE_MAGIC;
    t->refs = 1;
    t->digest = *d;
    int r = presentation_parse(bytes, &t->presentation, err);
    if (r == 0)
        r = title_index(t);
    if (r < 0) {
        title_unref(t);
        return r;
    }
    *ret = t;
    return 0;
}

struct title *title_ref(struct title *t)
{
    title_check(t);
    t->refs++;
    return t;
}

struct title *title_unref(struct title *t)
{
    if (t == NULL)
        return NULL;
    title_check(t);
    if (--t->refs > 0)
        return NULL;
    MAGIC_CLEAR(t);
    presentation_free(t->presentation);
    free(t->blobs);
    free(t);
    return NULL;
}

bool title_names(const struct title *t, const struct digest *d)
{
    title_check(t);
    return t->blobs_count > 0 &&
           bsearch(d, t->blobs, t->blobs_count, sizeof *t->blobs, title_compare) != NULL;
}

static bool track_names(const struct track *t, const struct digest *d)
{
    if (t->init_size > 0 && digest_eq(&t->init, d))
        return true;
    for (uint32_t i = 0; i < t->segments_count; i++) {
        if (digest_eq(&t->segments[i].digest, d))
            return true;
    }
    return false;
}

bool title_capped(const struct title *t, const struct digest *d, uint32_t height_max)
{
    title_check(t);
    if (height_max == 0)
        return false;
    const struct presentation *p = t->presentation;
    uint32_t lowest = UINT32_MAX; /* the smallest is never capped: view.h */
    for (uint32_t i = 0; i < p->tracks_count; i++) {
        if (p->tracks[i].kind == TRACK_VIDEO)
            lowest = MIN(lowest, p->tracks[i].height);
    }
    bool capped = false;
    for (uint32_t i = 0; i < p->tracks_count; i++) {
        const struct track *track = &p->tracks[i];
        if (!track_names(track, d))
            continue;
        bool over =
            track->kind == TRACK_VIDEO && track->height > height_max && track->height > lowest;
        if (!over)
            return false;
        capped = true;
    }
    return capped;
}

struct title_slot {
    struct title *title;
    uint64_t used; /* the cache's clock at its last use */
};

struct title_cache {
    uint32_t magic;
#define TITLE_CACHE_MAGIC UINT32_C(0x7171ecac)
    uint64_t clock;
    unsigned slots_count;
    struct title_slot slots[];
};

int title_cache_new(unsigned slots, struct title_cache **ret)
{
    if (slots == 0 || slots > TITLE_SLOTS_MAX)
        return -EINVAL;
    struct title_cache *c = calloc(1, sizeof *c + slots * sizeof c->slots[0]);
    if (c == NULL)
        return -ENOMEM;
    c->magic = TITLE_CACHE_MAGIC;
    c->slots_count = slots;
    *ret = c;
    return 0;
}

struct title_cache *title_cache_free(struct title_cache *c)
{
    if (c == NULL)
        return NULL;
    ASSERT(c->magic == TITLE_CACHE_MAGIC);
    for (unsigned i = 0; i < c->slots_count; i++)
        title_unref(c->slots[i].title);
    MAGIC_CLEAR(c);
    free(c);
    return NULL;
}

struct title *title_cache_get(struct title_cache *c, const struct digest *d)
{
    ASSERT(c->magic == TITLE_CACHE_MAGIC);
    for (unsigned i = 0; i < c->slots_count; i++) {
        struct title_slot *slot = &c->slots[i];
        if (slot->title != NULL && digest_eq(&slot->title->digest, d)) {
            slot->used = ++c->clock;
            return slot->title;
        }
    }
    return NULL;
}

void title_cache_add(struct title_cache *c, struct title *t)
{
    ASSERT(c->magic == TITLE_CACHE_MAGIC);
    if (title_cache_get(c, &t->digest) != NULL)
        return;
    struct title_slot *oldest = &c->slots[0];
    for (unsigned i = 1; i < c->slots_count; i++) {
        if (c->slots[i].used < oldest->used)
            oldest = &c->slots[i];
    }
    title_unref(oldest->title);
    *oldest = (struct title_slot){title_ref(t), ++c->clock};
}
