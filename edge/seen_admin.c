/* SPDX-License-Identifier: Apache-2.0 */
/* The admin server's answers for `weirctl edge`: figures since start, and what is hot now. */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/enc.h"
#include "edge/seen_priv.h"
#include "store/store.h"

#define SEEN_ROWS_DEFAULT 20

static json_t *seen_number(uint64_t n)
{
    return json_integer((json_int_t)n);
}

/* Sums over the tiers of one route, or of all. */
struct seen_sum {
    uint64_t requests, bytes, hits, hit_bytes, counted, counted_bytes; /* counted: with a tier */
};

static void seen_add(struct seen_sum *sum, const struct seen_route *r)
{
    for (unsigned t = 0; t < SEEN_TIERS; t++) {
        uint64_t requests = metric_value(r->requests[t]);
        uint64_t bytes = metric_value(r->bytes[t]);
        sum->requests += requests;
        sum->bytes += bytes;
        if (t == SEEN_NONE)
            continue;
        sum->counted += requests;
        sum->counted_bytes += bytes;
        if (seen_tier_is_hit((enum seen_tier)t)) {
            sum->hits += requests;
            sum->hit_bytes += bytes;
        }
    }
}

static json_t *seen_ratio(uint64_t part, uint64_t whole)
{
    return whole == 0 ? json_null() : json_real((double)part / (double)whole);
}

static json_t *seen_sum_json(const struct seen_sum *sum)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "requests", seen_number(sum->requests), "bytes",
                     seen_number(sum->bytes), "hit_ratio", seen_ratio(sum->hits, sum->counted),
                     "byte_hit_ratio", seen_ratio(sum->hit_bytes, sum->counted_bytes));
}

static json_t *seen_tiers_json(const struct seen *s)
{
    json_t *tiers = json_object();
    for (unsigned t = 0; t < SEEN_TIERS; t++) {
        uint64_t requests = 0, bytes = 0;
        for (unsigned i = 0; i < s->routes_count; i++) {
            requests += metric_value(s->routes[i].requests[t]);
            bytes += metric_value(s->routes[i].bytes[t]);
        }
        (void)json_object_set_new(tiers, seen_tier_name((enum seen_tier)t),
                                  json_pack("{s:o, s:o}", "requests", seen_number(requests),
                                            "bytes", seen_number(bytes)));
    }
    return tiers;
}

static json_t *seen_routes_json(const struct edge *e)
{
    json_t *routes = json_array();
    for (unsigned i = 0; i < e->seen->routes_count; i++) {
        struct seen_sum sum = {0};
        seen_add(&sum, &e->seen->routes[i]);
        json_t *one = seen_sum_json(&sum);
        (void)json_object_set_new(one, "route", json_string(e->seen->routes[i].label));
        (void)json_object_set_new(one, "upstream",
                                  json_string(routes_at(e->routes, i)->upstream->config->name));
        (void)json_array_append_new(routes, one);
    }
    return routes;
}

static json_t *seen_store_json(struct store *store)
{
    struct store_stat x;
    store_stat(store, &x);
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "ram_bytes",
                     seen_number(x.hot_bytes), "blobs", seen_number(x.blobs), "blob_bytes",
                     seen_number(x.blob_bytes), "volumes", seen_number(x.volumes), "volume_bytes",
                     seen_number(x.volume_bytes), "evicted_volumes", seen_number(x.evicted_volumes),
                     "written_bytes", seen_number(x.written_bytes), "damaged",
                     seen_number(x.damaged));
}

static json_t *seen_figure(const struct edge *e, const char *name, const char *label)
{
    return seen_number(metrics_sum(e->registry, name, label));
}

static json_t *seen_stat_json(const struct edge *e)
{
    struct seen_sum sum = {0};
    for (unsigned i = 0; i < e->seen->routes_count; i++)
        seen_add(&sum, &e->seen->routes[i]);
    json_t *all = seen_sum_json(&sum);
    uint64_t up_ms = clock_mono_ms() - e->seen->started_ms;
    json_t *more =
        json_pack("{s:s, s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "version",
                  WEIR_VERSION, "uptime_s", (double)up_ms / 1000, "connections",
                  seen_figure(e, "weir_edge_http_connections", ""), "connections_total",
                  seen_figure(e, "weir_edge_http_connections_total", ""), "tls_handshakes",
                  seen_figure(e, "weir_edge_tls_handshakes_total", ""), "tls_resumed",
                  seen_figure(e, "weir_edge_tls_handshakes_total", "resumed=\"true\""), "errors",
                  seen_figure(e, "weir_edge_http_requests_total", "class=\"5xx\""), "fill_bytes",
                  seen_figure(e, "weir_edge_fill_bytes_total", ""), "fills_failed",
                  seen_figure(e, "weir_edge_fills_failed_total", ""), "refused",
                  seen_figure(e, "weir_edge_refused_total", ""), "tiers", seen_tiers_json(e->seen),
                  "store", seen_store_json(e->store), "routes", seen_routes_json(e));
    if (more != NULL)
        (void)json_object_update(all, more);
    json_decref(more);
    return all;
}

static void seen_get_stat(struct http_req *req, void *arg)
{
    http_res_header(req, "cache-control", "no-store");
    http_reply_json(req, 200, seen_stat_json(arg));
}

/* ?n=: how many; -EINVAL. */
static int seen_rows_asked(const struct http_req *req, unsigned *ret)
{
    struct str text;
    uint64_t n = SEEN_ROWS_DEFAULT;
    if (enc_query_find(http_req_query(req), STR("n"), &text) &&
        (str_to_u64(text, &n) < 0 || n == 0 || n > TOP_ROWS_MAX))
        return -EINVAL;
    *ret = (unsigned)n;
    return 0;
}

static json_t *seen_row_json(const struct seen *s, const struct top_row *row)
{
    const char *route = row->group < s->routes_count ? s->routes[row->group].label : "";
    /* What is no UTF-8 in a URL cannot be shown in JSON: jansson gives NULL then. */
    json_t *name = json_string(row->name);
    return json_pack("{s:o, s:s, s:f, s:f, s:f, s:f}", "name",
                     name != NULL ? name : json_string("?"), "route", route, "requests_per_s",
                     row->requests_per_s, "bytes_per_s", row->bytes_per_s, "hit_ratio",
                     row->hit_ratio, "error_per_s", row->error);
}

static void seen_get_list(struct http_req *req, const struct seen *s, struct tops *set,
                          const char *key)
{
    unsigned rows_max, count = 0;
    http_res_header(req, "cache-control", "no-store");
    if (seen_rows_asked(req, &rows_max) < 0) {
        http_reply_error(req, 400, "BAD_REQUEST", "n is a number from 1 to %d", TOP_ROWS_MAX);
        return;
    }
    struct top_row *rows = calloc(rows_max, sizeof *rows);
    if (rows == NULL || tops_list(set, rows_max, clock_mono_ms(), rows, &count) < 0) {
        http_reply_error(req, 503, "BUSY", "out of memory, try again");
        free(rows);
        return;
    }
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++)
        (void)json_array_append_new(list, seen_row_json(s, &rows[i]));
    free(rows);
    http_reply_json(req, 200,
                    json_pack("{s:f, s:o}", "half_life_s", TOP_HALF_LIFE_MS / 1000.0, key, list));
}

static void seen_get_top(struct http_req *req, void *arg)
{
    const struct edge *e = arg;
    seen_get_list(req, e->seen, e->seen->assets, "assets");
}

static void seen_get_hot(struct http_req *req, void *arg)
{
    const struct edge *e = arg;
    seen_get_list(req, e->seen, e->seen->urls, "urls");
}

int seen_admin(struct edge *e)
{
    int r = http_route(e->admin, HTTP_GET, "/edge/stat", seen_get_stat, e);
    if (r == 0)
        r = http_route(e->admin, HTTP_GET, "/edge/top", seen_get_top, e);
    return r < 0 ? r : http_route(e->admin, HTTP_GET, "/edge/hot", seen_get_hot, e);
}
