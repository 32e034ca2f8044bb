/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/seen.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "edge/seen_priv.h"

#define SEEN_ASSET_MAX 128

/* In the request's room. */
struct seen_note {
    const struct route *route; /* NULL: none fitted */
    uint8_t tier;
    uint8_t asset_size, url_size;
    char asset[SEEN_ASSET_MAX];
    char url[TOP_NAME_MAX];
};

_Static_assert(sizeof(struct seen_note) <= HTTP_REQ_ROOM, "a note fits the request's room");

struct seen_worker {
    struct top *assets;
    struct top *urls;
};

static const char *const seen_tier_names[SEEN_TIERS] = {
    [SEEN_NONE] = "none",   [SEEN_RAM] = "ram",
    [SEEN_DISK] = "disk",   [SEEN_VIEW] = "view",
    [SEEN_STALE] = "stale", [SEEN_REVALIDATED] = "revalidated",
    [SEEN_MISS] = "miss",   [SEEN_COLLAPSED] = "collapsed",
    [SEEN_PASS] = "pass",
};

const char *seen_tier_name(enum seen_tier tier)
{
    return seen_tier_names[tier];
}

bool seen_tier_is_hit(enum seen_tier tier)
{
    return tier >= SEEN_RAM && tier <= SEEN_REVALIDATED;
}

/* --- figures ---------------------------------------------------------------------------------- */

/* A label's value: exposition format, "Comments, help text, and type information". */
static void seen_put_label(struct buf *b, const char *name, const char *value)
{
    buf_printf(b, "%s%s=\"", b->size > 0 ? "," : "", name);
    for (; *value != '\0'; value++) {
        if (*value == '\\' || *value == '"')
            buf_putc(b, '\\');
        buf_putc(b, *value == '\n' ? ' ' : *value);
    }
    buf_putc(b, '"');
}

static int seen_make_route(struct edge *e, struct seen_route *r, const struct route *route)
{
    CLEAN_BUF struct buf labels = BUF_EMPTY;
    route_label(route->config, r->label);
    for (unsigned t = 0; t < SEEN_TIERS; t++) {
        buf_clear(&labels);
        seen_put_label(&labels, "route", r->label);
        seen_put_label(&labels, "tier", seen_tier_names[t]);
        if (buf_error(&labels) < 0)
            return buf_error(&labels);
        r->requests[t] =
            metrics_counter(e->registry, "weir_edge_requests_total",
                            "Requests by route, and where their answers came from.", labels.data);
        r->bytes[t] = metrics_counter(e->registry, "weir_edge_sent_bytes_total",
                                      "Bytes of those answers.", labels.data);
    }
    return 0;
}

static int seen_make(struct edge *e, struct seen *s)
{
    s->routes_count = routes_count(e->routes);
    s->routes = calloc(s->routes_count, sizeof *s->routes);
    if (s->routes == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < s->routes_count; i++) {
        int r = seen_make_route(e, &s->routes[i], routes_at(e->routes, i));
        if (r < 0)
            return r;
    }
    for (unsigned t = 0; t < SEEN_TIERS; t++) {
        CLEAN_BUF struct buf labels = BUF_EMPTY;
        seen_put_label(&labels, "tier", seen_tier_names[t]);
        if (buf_error(&labels) < 0)
            return buf_error(&labels);
        s->first_byte[t] =
            metrics_latency(e->registry, "weir_edge_first_byte_seconds",
                            "From a request to its answer's first byte, by tier.", labels.data);
    }
    int r = tops_new(&s->assets);
    return r < 0 ? r : tops_new(&s->urls);
}

int seen_new(struct edge *e, struct seen **ret)
{
    struct seen *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->magic = SEEN_MAGIC;
    s->started_ms = clock_mono_ms();
    int r = seen_make(e, s);
    if (r < 0) {
        seen_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct seen *seen_free(struct seen *s)
{
    if (s == NULL)
        return NULL;
    ASSERT(s->magic == SEEN_MAGIC);
    tops_free(s->assets);
    tops_free(s->urls);
    free(s->routes);
    MAGIC_CLEAR(s);
    free(s);
    return NULL;
}

int seen_worker_new(struct edge_worker *w, struct seen_worker **ret)
{
    struct seen_worker *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    int r = top_new(w->edge->seen->assets, &s->assets);
    if (r == 0)
        r = top_new(w->edge->seen->urls, &s->urls);
    if (r < 0) {
        seen_worker_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct seen_worker *seen_worker_free(struct seen_worker *w)
{
    if (w == NULL)
        return NULL;
    top_free(w->assets);
    top_free(w->urls);
    free(w);
    return NULL;
}

/* --- a request -------------------------------------------------------------------------------- */

/* host and path, or their end if they are too long: it tells one from another. */
static uint8_t seen_copy(char *out, size_t out_size, struct str host, struct str path)
{
    if (path.size > out_size)
        path = str_skip(path, path.size - out_size);
    if (host.size > out_size - path.size)
        host = str_skip(host, host.size - (out_size - path.size));
    if (host.size > 0)
        memcpy(out, host.data, host.size);
    if (path.size > 0)
        memcpy(out + host.size, path.data, path.size);
    return (uint8_t)(host.size + path.size);
}

void seen_asset(struct http_req *req, struct str asset)
{
    struct seen_note *n = http_req_room(req);
    n->asset_size = seen_copy(n->asset, sizeof n->asset, STR_NONE, asset);
}

void seen_route(struct http_req *req, const struct route *route, struct str path)
{
    struct seen_note *n = http_req_room(req);
    n->route = route;
    struct str host = upstream_is_http(route->upstream) ? http_req_authority(req) : STR_NONE;
    n->url_size = seen_copy(n->url, sizeof n->url, host, path);
    struct str folder = path;
    while (folder.size > 0 && folder.data[folder.size - 1] != '/')
        folder.size--;
    n->asset_size = seen_copy(n->asset, sizeof n->asset, host, folder);
}

void seen_as(struct http_req *req, enum seen_tier tier)
{
    struct seen_note *n = http_req_room(req);
    n->tier = (uint8_t)tier;
}

void seen_timed(struct http_req *req, enum seen_tier tier)
{
    seen_as(req, tier);
    if (tier == SEEN_RAM) { /* no time to speak of, and on the way of most */
        http_res_field(req, STR("server-timing"), STR("cache;desc=ram"));
        return;
    }
    const char *name = seen_tier_names[tier];
    double took_ms = (double)http_req_age_us(req) / 1000;
    if (seen_tier_is_hit(tier) && tier != SEEN_REVALIDATED)
        http_res_header(req, "server-timing", "cache;desc=%s;dur=%.1f", name, took_ms);
    else
        http_res_header(req, "server-timing", "cache;desc=%s, upstream;dur=%.1f", name, took_ms);
}

void seen_done(void *arg, struct http_req *req, const struct http_done *done)
{
    const struct edge *e = arg;
    const struct seen_note *n = http_req_room(req);
    const struct edge_worker *w = http_req_worker(req);
    enum seen_tier tier = n->tier;
    if (n->route == NULL)
        return;
    if (done->first_byte_us > 0)
        metric_observe(e->seen->first_byte[tier], (double)done->first_byte_us / 1e6);
    const struct seen_route *r = &e->seen->routes[n->route->index];
    metric_add(r->requests[tier], 1);
    metric_add(r->bytes[tier], done->bytes);
    if (w == NULL || w->seen == NULL || tier == SEEN_NONE)
        return;
    uint64_t now_ms = clock_mono_ms();
    if (n->asset_size > 0)
        top_count(w->seen->assets, n->route->index, (struct str){n->asset, n->asset_size},
                  done->bytes, seen_tier_is_hit(tier), now_ms);
    if (tier == SEEN_RAM && n->url_size > 0)
        top_count(w->seen->urls, n->route->index, (struct str){n->url, n->url_size}, done->bytes,
                  true, now_ms);
}
