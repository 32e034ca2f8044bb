/* SPDX-License-Identifier: Apache-2.0 */
/* Who is next: of a title by its presentation, of a URL by what the player says, a playlist or a
 * number. */
#include <stdlib.h>
#include "base/clock.h"
#include "edge/cache_fill.h"
#include "edge/peer.h"
#include "edge/prefetch_next.h"
#include "edge/prefetch_priv.h"
#include "http/http_cmcd.h"

/* --- titles ----------------------------------------------------------------------------------- */

static struct prefetch_place *guess_place_of(struct prefetch_worker *w, const struct digest *d)
{
    return &w->places[(unsigned)(d->bytes[0] << 8 | d->bytes[1]) & (PREFETCH_PLACES - 1)];
}

/* Where the blob is in the title: remembered for those that are next, so that a film is looked
 * through once and not for each of its segments. */
static bool guess_find(struct prefetch_worker *w, const struct title *t, const struct digest *d,
                       uint32_t *ret_track, uint32_t *ret_index)
{
    const struct prefetch_place *place = guess_place_of(w, d);
    if (digest_eq(&place->blob, d) && digest_eq(&place->title, &t->digest)) {
        *ret_track = place->track;
        *ret_index = place->index;
        return true;
    }
    const struct presentation *p = t->presentation;
    for (uint32_t i = 0; i < p->tracks_count; i++) {
        const struct track *track = &p->tracks[i];
        for (uint32_t n = 0; n < track->segments_count; n++) {
            if (digest_eq(&track->segments[n].digest, d)) {
                *ret_track = i;
                *ret_index = n;
                return true;
            }
        }
    }
    return false;
}

void prefetch_blob(struct prefetch_worker *w, const struct upstream *u, const struct title *t,
                   const struct digest *d)
{
    uint32_t track_index, index;
    if (w == NULL)
        return;
    prefetch__asked(w, d);
    if (!prefetch__is_new(w, d) || !guess_find(w, t, d, &track_index, &index))
        return;
    const struct track *track = &t->presentation->tracks[track_index];
    for (unsigned i = 0; i < prefetch__segments(w) && ++index < track->segments_count; i++) {
        const struct digest *next = &track->segments[index].digest;
        *guess_place_of(w, next) = (struct prefetch_place){*next, t->digest, track_index, index};
        const struct prefetch_want want = {.upstream = u, .key = *next};
        prefetch__want(w, &want);
    }
}

/* --- URLs ------------------------------------------------------------------------------------- */

struct guess {
    struct prefetch_worker *worker;
    struct http_req *req;
    const struct route *route;
    struct str target; /* that is being asked for */
    bool by_number;
};

static struct digest guess_folder(const struct route *route, struct str host, struct str target)
{
    struct str rest;
    struct str path = str_cut(target, '?', &rest);
    while (path.size > 0 && path.data[path.size - 1] != '/')
        path.size--;
    CLEAN_BUF struct buf text = BUF_EMPTY;
    buf_printf(&text, "%p " STR_FMT " " STR_FMT, (const void *)route, STR_ARG(host), STR_ARG(path));
    return digest_of(text.data != NULL ? text.data : "", text.size);
}

void prefetch__no_numbers(struct prefetch_worker *w, const struct cache_request *r)
{
    struct prefetch_hints *h = prefetch__hints(w);
    struct digest d = guess_folder(r->route, r->host, r->target);
    uint64_t mark;
    memcpy(&mark, d.bytes, sizeof mark);
    (void)pthread_mutex_lock(&h->lock);
    h->folders[mark % PREFETCH_FOLDERS] = (struct prefetch_seen){mark, clock_mono_ms()};
    (void)pthread_mutex_unlock(&h->lock);
}

/* A live one's end, or no such names. */
static bool guess_numbers_lead_nowhere(const struct guess *g)
{
    struct prefetch_hints *h = prefetch__hints(g->worker);
    struct digest d = guess_folder(g->route, http_req_authority(g->req), g->target);
    uint64_t mark;
    memcpy(&mark, d.bytes, sizeof mark);
    (void)pthread_mutex_lock(&h->lock);
    struct prefetch_seen s = h->folders[mark % PREFETCH_FOLDERS];
    (void)pthread_mutex_unlock(&h->lock);
    return s.mark == mark && clock_mono_ms() - s.at_ms < PREFETCH_FOLDER_MS;
}

static void guess_take(void *arg, struct str target)
{
    const struct guess *g = arg;
    struct str query;
    struct str path = str_cut(target, '?', &query);
    CLEAN_BUF struct buf key = BUF_EMPTY;
    struct str scheme = peer_scheme(g->req, g->route->upstream);
    http_cache_key(scheme, http_req_authority(g->req), path, query, &g->route->cache.key, &key);
    if (buf_error(&key) < 0)
        return;
    const struct cache_request_parts parts = {
        .route = g->route,
        .method = "GET",
        .target = target,
        .key = buf_str(&key),
        .host = http_req_authority(g->req),
        .peer = http_req_peer(g->req),
        .scheme = scheme,
        .id = http_req_id(g->req),
        .fields = http_req_fields(g->req),
        .drop = peer_is(g->req, g->route->upstream) ? STR("authorization") : STR_NONE,
        .is_ahead = true,
    };
    struct prefetch_want want = {.upstream = g->route->upstream, .by_number = g->by_number};
    want.key = digest_of(key.data, key.size);
    if (cache_request_make(&parts, &want.request) == 0)
        prefetch__want(g->worker, &want);
}

/* The player's own word (CTA-5004: relative to what it asks for, percent-encoded). It may name what
 * this route serves beside it, and no more: it is a stranger's. */
static bool guess_by_cmcd(struct guess *g, struct str query)
{
    struct fields fields = http_req_fields(g->req);
    struct http_cmcd cmcd;
    if (!http_cmcd_read(&fields, query, &cmcd))
        return false;
    const struct http_cmcd_item *nor = http_cmcd_find(&cmcd, STR("nor"));
    if (nor == NULL)
        return false;
    CLEAN_BUF struct buf plain = BUF_EMPTY;
    CLEAN_BUF struct buf next = BUF_EMPTY;
    if (prefetch_decode(nor->text, &plain) < 0 ||
        prefetch_resolve(g->target, buf_str(&plain), &next) < 0 ||
        prefetch_kind_of(buf_str(&next)) != PREFETCH_SEGMENT)
        return false;
    struct str rest;
    struct str path = str_cut(buf_str(&next), '?', &rest);
    if (route_find(g->worker->worker->edge->routes, http_req_authority(g->req), path) != g->route)
        return false;
    guess_take(g, buf_str(&next));
    return true;
}

/* The text of a kept playlist, if it is at hand: one block, in RAM, without a coding. */
static struct rbuf *guess_text(struct prefetch_worker *w, const struct prefetch_list *list,
                               const struct fields *fields, struct str *ret)
{
    struct cache *c = w->worker->edge->cache;
    CLEAN(cache_object_unref) struct cache_object *o = cache_table_find(c->table, &list->key);
    if (o != NULL && o->kind == CACHE_VARIES) {
        struct digest key;
        bool any = cache_variant_key(o, fields, &key);
        o = cache_object_unref(o);
        if (any)
            o = cache_table_find(c->table, &key);
    }
    if (o == NULL || o->kind != CACHE_RESPONSE || o->status != 200 ||
        fields_get(&o->kept, STR("content-encoding")).data != NULL)
        return NULL;
    struct cache_piece piece;
    if (cache_body_look(o->body, 0, NULL, &piece) < 0)
        return NULL;
    if (piece.bytes == NULL) {
        piece.bytes = store_peek(w->worker->store, &piece.digest);
        if (piece.bytes == NULL)
            return NULL;
        piece.data = rbuf_data(piece.bytes, &piece.size);
    }
    *ret = (struct str){(const char *)piece.data, piece.size};
    return piece.bytes;
}

static bool guess_by_playlist(struct guess *g)
{
    struct prefetch_hints *h = prefetch__hints(g->worker);
    struct fields fields = http_req_fields(g->req);
    bool found = false;
    (void)pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; i < PREFETCH_LISTS && !found; i++) { /* the newest first */
        const struct prefetch_list *list =
            &h->lists[(h->lists_next + PREFETCH_LISTS - 1 - i) % PREFETCH_LISTS];
        struct str text;
        if (list->target == NULL || list->route != g->route)
            continue;
        CLEAN(rbuf_unref) struct rbuf *bytes = guess_text(g->worker, list, &fields, &text);
        found = bytes != NULL &&
                prefetch_from_playlist(text, str_of(list->target), g->target,
                                       prefetch__segments(g->worker), guess_take, g) == 0;
    }
    (void)pthread_mutex_unlock(&h->lock);
    return found;
}

static void guess_by_number(struct guess *g)
{
    if (guess_numbers_lead_nowhere(g))
        return;
    CLEAN_BUF struct buf last = BUF_EMPTY;
    buf_put_str(&last, g->target);
    g->by_number = true;
    for (unsigned i = 0; i < prefetch__segments(g->worker); i++) {
        CLEAN_BUF struct buf next = BUF_EMPTY;
        if (prefetch_by_number(buf_str(&last), &next) < 0)
            return;
        guess_take(g, buf_str(&next));
        buf_clear(&last);
        buf_put_str(&last, buf_str(&next));
    }
}

static void guess_remember_list(struct prefetch_worker *w, const struct route *route,
                                const struct digest *key, struct str target)
{
    struct prefetch_hints *h = prefetch__hints(w);
    char *copy = str_dup(target);
    if (copy == NULL)
        return;
    (void)pthread_mutex_lock(&h->lock);
    bool known = false;
    for (unsigned i = 0; i < PREFETCH_LISTS && !known; i++)
        known = h->lists[i].target != NULL && digest_eq(&h->lists[i].key, key);
    if (!known) {
        struct prefetch_list *list = &h->lists[h->lists_next++ % PREFETCH_LISTS];
        free(list->target);
        *list = (struct prefetch_list){route, *key, copy};
    }
    (void)pthread_mutex_unlock(&h->lock);
    if (known)
        free(copy);
}

void prefetch__hints_clear(struct prefetch_hints *h)
{
    for (unsigned i = 0; i < PREFETCH_LISTS; i++)
        free(h->lists[i].target);
}

void prefetch_url(struct prefetch_worker *w, struct http_req *req, const struct route *route,
                  const struct gate_pass *pass, const struct digest *key)
{
    if (w == NULL || http_req_method(req) != HTTP_GET || http_req_is_head(req))
        return;
    enum prefetch_kind kind = prefetch_kind_of(buf_str(&pass->path));
    if (kind == PREFETCH_NEITHER)
        return;
    CLEAN_BUF struct buf target = BUF_EMPTY;
    buf_put_str(&target, buf_str(&pass->path));
    if (pass->query.size > 0) {
        buf_putc(&target, '?');
        buf_put_str(&target, buf_str(&pass->query));
    }
    if (buf_error(&target) < 0 || target.size > PREFETCH_TARGET_MAX)
        return;
    if (kind == PREFETCH_PLAYLIST) {
        if (prefetch__is_new(w, key))
            guess_remember_list(w, route, key, buf_str(&target));
        return;
    }
    prefetch__asked(w, key);
    /* A viewer's credential is for what he asks for. */
    if (!prefetch__is_new(w, key) ||
        (http_req_header(req, "authorization").data != NULL && !peer_is(req, route->upstream)))
        return;
    struct guess g = {.worker = w, .req = req, .route = route, .target = buf_str(&target)};
    if (!guess_by_cmcd(&g, buf_str(&pass->query)) && !guess_by_playlist(&g))
        guess_by_number(&g);
}
