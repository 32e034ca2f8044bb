/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/gate_cache.h"
#include <errno.h>
#include "base/clock.h"
#include "base/digest.h"
#include "control/api/call_priv.h"
#include "control/api/gate_priv.h"
#include "control/plans/viewer.h"
#include "db/db_mirror.h"

static unsigned gate_cache_document(struct str id)
{
    struct digest d = digest_of(id.data, id.size);
    unsigned n = (unsigned)d.bytes[0] | (unsigned)d.bytes[1] << 8;
    return CACHE_KINDS + n % CACHE_DOCUMENTS;
}

/* 8 bits of coding, 8 of age, 16 of country. */
static bool gate_cache_viewer(const struct call *c, uint32_t *ret)
{
    struct geo_place place;
    unsigned age = 255;
    if (c->caller.kind == CALLER_OPERATOR ||
        (c->caller.roles & (CALLER_CREATOR | CALLER_ADMIN)) != 0 || !db_is_fresh(c->db))
        return false;
    if (c->caller.kind == CALLER_USER && c->caller.rating_max >= 0)
        age = MIN((unsigned)c->caller.rating_max, 254U);
    viewer_place(c, &place);
    *ret = (uint32_t)(unsigned char)place.country[0] << 24 |
           (uint32_t)(unsigned char)(place.country[0] != 0 ? place.country[1] : 0) << 16 |
           (uint32_t)age << 8;
    return true;
}

/* c->cache_kind is what the answer's validity hangs on. False: it is not to be kept. */
static bool gate_cache_place(struct call *c)
{
    const struct operation *op = c->op;
    c->cache_variant = 0;
    c->cache_kind = op->cache_kind;
    if (!c->caller_known || (op->cache_by_viewer && !gate_cache_viewer(c, &c->cache_variant)))
        return false;
    c->cache_variant |= (uint32_t)c->takes;
    if (op->cache_of < 0)
        return true;
    c->cache_kind = gate_cache_document(c->cache_id);
    return memchr(c->cache_id.data, '%', c->cache_id.size) == NULL; /* else it names another one */
}

static int gate_cache_use(struct call *c, const struct cached *found)
{
    int r = 0;
    if (found->etag.size > 0 && found->told)
        r = call_header(c, "etag", STR_FMT, STR_ARG(found->etag));
    else if (found->etag.size > 0)
        r = (c->etag = call_keep(c, found->etag)) == NULL ? -ENOMEM : 0;
    if (r < 0)
        return r;
    c->status = 200;
    c->lent = found->bytes; /* it is sent at once */
    c->coding = (enum pack)found->used;
    c->rendered = true;
    if (call__has_newest(c)) {
        c->status = 304;
        c->lent = STR_NONE;
    }
    return 0;
}

int gate_cache_find(struct gate *g, struct call *c)
{
    const struct control_worker *w = http_req_worker(c->req);
    struct cached found;
    c->cache_keeps = c->op->cache_ms > 0 && gate_cache_place(c);
    if (!c->cache_keeps)
        return 0;
    c->cache_changed = atomic_load(&g->changes.counts[c->cache_kind]);
    if (!cache_find(w->cache, http_req_path(c->req), http_req_query(c->req), c->cache_variant,
                    clock_mono_ms(), &found))
        return 0;
    return gate_cache_use(c, &found);
}

/* Of the headers that a handler gave only the tag is kept: an answer with others is not. */
void gate_cache_keep(struct gate *g, struct call *c)
{
    struct control_worker *w = http_req_worker(c->req);
    const struct call_note *note = c->notes;
    struct cached answer = {buf_str(&c->bytes), str_of(c->etag), c->coding, false};
    (void)g;
    if (!c->cache_keeps || c->error < 0 || c->status != 200 || c->lent.data != NULL ||
        http_req_gone(c->req))
        return;
    if (note != NULL && (note->next != NULL || strcmp(note->name, "etag") != 0 || c->etag != NULL))
        return;
    if (note != NULL) {
        answer.etag = note->value;
        answer.told = true;
    }
    cache_put(w->cache, http_req_path(c->req), http_req_query(c->req), c->cache_variant,
              c->cache_kind, c->cache_changed, clock_mono_ms() + c->op->cache_ms, &answer);
}

void gate_changed(struct gate *g, const char *kind, const char *id)
{
    ASSERT(g->magic == GATE_MAGIC);
    int number = spec_kind_of(g->spec, kind);
    if (number >= 0)
        (void)atomic_fetch_add(&g->changes.counts[number], 1);
    (void)atomic_fetch_add(&g->changes.counts[gate_cache_document(str_of(id))], 1);
}

void gate_changed_all(struct gate *g)
{
    ASSERT(g->magic == GATE_MAGIC);
    for (unsigned i = 0; i < ARRAY_LEN(g->changes.counts); i++)
        (void)atomic_fetch_add(&g->changes.counts[i], 1);
}
