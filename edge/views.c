/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/views.h"
#include <errno.h>
#include <stdlib.h>

struct views_slot {
    struct digest presentation;
    uint32_t height_max;
    char *rest; /* NULL: empty */
    const char *type;
    struct digest digest;
    struct rbuf *text;
    uint64_t used;
};

struct views {
    uint32_t magic;
#define VIEWS_MAGIC UINT32_C(0x71e35cac)
    uint64_t clock;
    uint64_t size; /* of all texts */
    struct views_slot slots[VIEWS_SLOTS];
};

int views_new(struct views **ret)
{
    struct views *v = calloc(1, sizeof *v);
    if (v == NULL)
        return -ENOMEM;
    v->magic = VIEWS_MAGIC;
    *ret = v;
    return 0;
}

static uint32_t views_size(const struct rbuf *text)
{
    uint32_t size;
    (void)rbuf_data(text, &size);
    return size;
}

static void views_clear(struct views *v, struct views_slot *slot)
{
    if (slot->rest == NULL)
        return;
    v->size -= views_size(slot->text);
    rbuf_unref(slot->text);
    free(slot->rest);
    *slot = (struct views_slot){0};
}

struct views *views_free(struct views *v)
{
    if (v == NULL)
        return NULL;
    ASSERT(v->magic == VIEWS_MAGIC);
    for (unsigned i = 0; i < VIEWS_SLOTS; i++)
        views_clear(v, &v->slots[i]);
    ASSERT(v->size == 0);
    MAGIC_CLEAR(v);
    free(v);
    return NULL;
}

static struct views_slot *views_find(struct views *v, const struct digest *presentation,
                                     struct str rest, uint32_t height_max)
{
    for (unsigned i = 0; i < VIEWS_SLOTS; i++) {
        struct views_slot *slot = &v->slots[i];
        if (slot->rest != NULL && slot->height_max == height_max &&
            digest_eq(&slot->presentation, presentation) && str_eq(str_of(slot->rest), rest))
            return slot;
    }
    return NULL;
}

/* The slot that was used longest ago; empty ones count as never. */
static struct views_slot *views_oldest(struct views *v, bool full)
{
    struct views_slot *oldest = NULL;
    for (unsigned i = 0; i < VIEWS_SLOTS; i++) {
        struct views_slot *slot = &v->slots[i];
        if (full && slot->rest == NULL)
            continue;
        if (oldest == NULL || slot->used < oldest->used)
            oldest = slot;
    }
    return oldest;
}

/* What does not fit is not kept; the caller has it all the same. */
static void views_keep(struct views *v, const struct title *t, struct str rest, uint32_t height_max,
                       const struct view_body *body)
{
    uint32_t size = views_size(body->text);
    char *copy = size > VIEWS_SIZE_MAX / 2 ? NULL : str_dup(rest);
    if (copy == NULL)
        return;
    while (v->size + size > VIEWS_SIZE_MAX)
        views_clear(v, views_oldest(v, true));
    struct views_slot *slot = views_oldest(v, false);
    views_clear(v, slot);
    *slot = (struct views_slot){.presentation = t->digest,
                                .height_max = height_max,
                                .rest = copy,
                                .type = body->type,
                                .digest = body->digest,
                                .text = rbuf_ref(body->text),
                                .used = ++v->clock};
    v->size += size;
}

int views_resolve(struct views *v, const struct title *t, struct str rest, uint32_t height_max,
                  struct view_body *ret, bool *ret_is_new)
{
    ASSERT(v->magic == VIEWS_MAGIC);
    struct views_slot *slot = views_find(v, &t->digest, rest, height_max);
    if (slot != NULL) {
        slot->used = ++v->clock;
        *ret = (struct view_body){slot->type, false, slot->digest, rbuf_ref(slot->text)};
        *ret_is_new = false;
        return 0;
    }
    struct view view = {0};
    struct view_options options = {.height_max = height_max};
    int r = view_resolve(t->presentation, rest, &options, &view);
    if (r < 0)
        return r;
    struct view_body body = {.type = view.type, .is_blob = view.is_blob, .digest = view.digest};
    if (!view.is_blob) {
        body.digest = digest_of(view.text.data, view.text.size);
        r = rbuf_copy(view.text.data, view.text.size, &body.text);
        if (r == 0)
            views_keep(v, t, rest, height_max, &body);
    }
    view_clear(&view);
    if (r < 0)
        return r;
    *ret = body;
    *ret_is_new = true;
    return 0;
}
