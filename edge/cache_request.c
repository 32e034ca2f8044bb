/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/cache_request.h"
#include <errno.h>
#include <stdlib.h>
#include "base/enc.h"
#include "http/http_route.h"
#include "edge/peer.h"
#include "edge/purge.h"

static size_t cache_room(struct str s)
{
    return s.size + 1;
}

static struct str cache_copy(char **at, struct str s)
{
    struct str copy = {*at, s.size};
    if (s.size > 0)
        memcpy(*at, s.data, s.size);
    (*at)[s.size] = '\0';
    *at += s.size + 1;
    return s.data == NULL ? STR_NONE : copy;
}

static void cache_target(const struct gate_pass *pass, struct buf *out)
{
    buf_put_str(out, buf_str(&pass->path));
    if (pass->query.size > 0) {
        buf_putc(out, '?');
        buf_put_str(out, buf_str(&pass->query));
    }
}

/* False: it is left out. A cookie loses its token, which goes no further than to us; with spaces
 * behind its semicolons it has less than twice its size. */
static bool cache_value(const struct field *f, struct buf *space, struct str *ret)
{
    *ret = f->value;
    if (!str_eq(f->name, STR("cookie")))
        return true;
    buf_clear(space);
    token_strip_cookie(f->value, space);
    *ret = buf_str(space);
    return buf_error(space) == 0 && ret->size > 0;
}

int cache_request_make(const struct cache_request_parts *p, struct cache_request **ret)
{
    if (p->fields.count > CACHE_REQUEST_FIELDS_MAX)
        return -EFBIG;
    const struct str texts[] = {p->target, p->key, p->host, p->peer, p->scheme, p->id};
    size_t size = sizeof **ret + p->fields.count * sizeof *p->fields.at;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        size += cache_room(texts[i]);
    for (unsigned i = 0; i < p->fields.count; i++)
        size += cache_room(p->fields.at[i].name) +
                2 * cache_room(p->fields.at[i].value); /* see cache_value */
    struct cache_request *r = calloc(1, size);
    if (r == NULL)
        return -ENOMEM;
    struct field *list = (struct field *)(void *)(r + 1);
    char *at = (char *)(list + p->fields.count);
    struct str *const members[] = {&r->target, &r->key, &r->host, &r->peer, &r->scheme, &r->id};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        *members[i] = cache_copy(&at, texts[i]);
    CLEAN_BUF struct buf space = BUF_EMPTY;
    unsigned count = 0;
    for (unsigned i = 0; i < p->fields.count; i++) {
        const struct field *f = &p->fields.at[i];
        if ((p->drop.size > 0 && str_eq(f->name, p->drop)) ||
            str_eq(f->name, STR(PURGE_DEMAND_FIELD)))
            continue;
        struct str value;
        if (!cache_value(f, &space, &value))
            continue;
        list[count].name = cache_copy(&at, f->name);
        list[count++].value = cache_copy(&at, value);
    }
    r->magic = CACHE_REQUEST_MAGIC;
    atomic_init(&r->refs, 1);
    r->route = p->route;
    r->fields = (struct fields){list, count};
    r->method = p->method;
    r->is_ahead = p->is_ahead;
    http_cache_ask_read(&r->fields, &r->ask);
    int error = p->body.size > 0 ? rbuf_copy(p->body.data, p->body.size, &r->body) : 0;
    if (error < 0) {
        cache_request_unref(r);
        return error;
    }
    *ret = r;
    return 0;
}

int cache_request_new(struct http_req *req, const struct route *route, const struct gate_pass *pass,
                      struct str key, struct cache_request **ret)
{
    CLEAN_BUF struct buf target = BUF_EMPTY;
    cache_target(pass, &target);
    if (buf_error(&target) < 0)
        return buf_error(&target);
    const struct cache_request_parts parts = {
        .route = route,
        .method = http_req_is_head(req) ? "HEAD" : http_method_name(http_req_method(req)),
        .target = buf_str(&target),
        .key = key,
        .host = http_req_authority(req),
        .peer = http_req_peer(req),
        .scheme = peer_scheme(req, route->upstream),
        .id = http_req_id(req),
        .fields = http_req_fields(req),
        .body = http_req_body(req),
        /* Another edge's credential is for us alone. */
        .drop = peer_is(req, route->upstream) ? STR("authorization") : STR_NONE,
    };
    return cache_request_make(&parts, ret);
}

struct cache_request *cache_request_ref(struct cache_request *r)
{
    ASSERT(r->magic == CACHE_REQUEST_MAGIC);
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

struct cache_request *cache_request_unref(struct cache_request *r)
{
    if (r == NULL)
        return NULL;
    ASSERT(r->magic == CACHE_REQUEST_MAGIC);
    if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    rbuf_unref(r->body);
    MAGIC_CLEAR(r);
    free(r);
    return NULL;
}

/* --- what the upstream gets ------------------------------------------------------------------- */

struct cache_out {
    struct field list[CACHE_REQUEST_FIELDS_MAX + 16];
    unsigned count;
    struct buf text[8]; /* values made here */
    unsigned texts;
};

static void cache_out_add(struct cache_out *o, struct str name, struct str value)
{
    if (o->count < ARRAY_LEN(o->list))
        o->list[o->count++] = (struct field){name, value};
}

static struct buf *cache_out_text(struct cache_out *o)
{
    ASSERT(o->texts < ARRAY_LEN(o->text));
    struct buf *b = &o->text[o->texts++];
    *b = BUF_EMPTY;
    return b;
}

static bool cache_is_condition(struct str name)
{
    static const char *const names[] = {
        "range",         "if-range",          "if-match",
        "if-none-match", "if-modified-since", "if-unmodified-since"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(name, str_of(names[i])))
            return true;
    return false;
}

/* Fields that are made anew, and those that the fetch sets by itself. */
static bool cache_is_ours(struct str name)
{
    static const char *const names[] = {"via",
                                        "x-forwarded-for",
                                        "x-forwarded-proto",
                                        "forwarded",
                                        "cdn-loop",
                                        "traceparent",
                                        "expect",
                                        "host",
                                        "content-length"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(name, str_of(names[i])))
            return true;
    return false;
}

/* The list that came, and one member more. */
static void cache_out_list(struct cache_out *o, const struct cache_request *r, struct str name,
                           const char *before, const char *value, const char *behind)
{
    struct buf *text = cache_out_text(o);
    fields_join(&r->fields, name, text);
    if (text->size > 0)
        buf_puts(text, ", ");
    buf_puts(text, before);
    buf_puts(text, value);
    buf_puts(text, behind);
    cache_out_add(o, name, buf_str(text));
}

static void cache_out_forwarded(struct cache_out *o, const struct cache_request *r)
{
    const char *peer = r->peer.data != NULL ? r->peer.data : "";
    bool is_v6 = strchr(peer, ':') != NULL;
    cache_out_list(o, r, STR("via"), "1.1 ", CACHE_NAME, "");
    if (peer[0] != '\0') {
        cache_out_list(o, r, STR("x-forwarded-for"), "", peer, "");
        cache_out_list(o, r, STR("forwarded"), is_v6 ? "for=\"[" : "for=", peer,
                       is_v6 ? "]\"" : "");
    }
    cache_out_add(o, STR("x-forwarded-proto"), r->scheme);
}

/* What our key makes one of is asked for in one way. */
static void cache_out_encoding(struct cache_out *o, const struct cache_request *r)
{
    struct buf *text = cache_out_text(o);
    if (!http_cache_vary(STR("accept-encoding"), &r->fields, text) || buf_error(text) < 0)
        return;
    struct str value;
    (void)str_cut(buf_str(text), ':', &value);
    while (value.size > 0 && value.data[value.size - 1] == '\n')
        value.size--;
    if (value.size > 0)
        cache_out_add(o, STR("accept-encoding"), value);
}

static void cache_out_fields(struct cache_out *o, const struct cache_request *r,
                             const struct cache_ask_how *how)
{
    for (unsigned i = 0; i < r->fields.count; i++) {
        const struct field *f = &r->fields.at[i];
        if (field_is_hop_by_hop(&r->fields, f->name) || cache_is_ours(f->name))
            continue;
        if (!how->as_it_is &&
            (cache_is_condition(f->name) || str_eq(f->name, STR("accept-encoding"))))
            continue;
        cache_out_add(o, f->name, f->value);
    }
    if (!how->as_it_is)
        cache_out_encoding(o, r);
}

static void cache_out_range(struct cache_out *o, const struct cache_ask_how *how)
{
    struct field valid[2];
    if (how->ranged) {
        struct buf *text = cache_out_text(o);
        buf_printf(text, "bytes=%llu-", (unsigned long long)how->first);
        if (how->last != CACHE_END_OPEN)
            buf_printf(text, "%llu", (unsigned long long)how->last);
        cache_out_add(o, STR("range"), buf_str(text));
    }
    if (how->valid == NULL)
        return;
    unsigned count = http_cache_validation(how->valid, valid);
    if (!how->if_range) {
        for (unsigned i = 0; i < count; i++)
            cache_out_add(o, valid[i].name, valid[i].value);
        return;
    }
    struct str etag = fields_get(how->valid, STR("etag"));
    bool strong = etag.size > 0 && etag.data[0] == '"';
    cache_out_add(o, STR("if-range"), strong ? etag : fields_get(how->valid, STR("last-modified")));
}

/* A blocking playlist reload (LL-HLS, _HLS_msn) is answered when the segment is there: the silence
 * until then is no stall. */
static uint32_t cache_patience_ms(const struct cache_request *r)
{
    struct str query, value;
    (void)str_cut(r->target, '?', &query);
    if (!enc_query_find(query, STR("_HLS_msn"), &value))
        return 0;
    return MAX(r->route->upstream->config->stall_ms, CACHE_BLOCKING_MS);
}

int cache_request_send(struct cache_worker *w, const struct cache_request *r,
                       const struct cache_ask_how *how, struct fetch_request *callbacks,
                       struct upstream_fetch **ret)
{
    struct cache_out o = {.count = 0, .texts = 0};
    cache_out_fields(&o, r, how);
    cache_out_forwarded(&o, r);
    cache_out_range(&o, how);
    if (r->route->cache.pass_host && r->host.size > 0)
        cache_out_add(&o, STR("host"), r->host);
    int error = 0;
    for (unsigned i = 0; i < o.texts && error == 0; i++)
        error = buf_error(&o.text[i]);
    callbacks->method = how->method;
    callbacks->trace_id = r->id.data;
    callbacks->stall_ms = cache_patience_ms(r);
    callbacks->body = r->body;
    callbacks->fields = (struct fields){o.list, o.count};
    const struct upstream_ask ask = {
        .upstream = r->route->upstream,
        .key = digest_of(r->key.data, r->key.size),
        .path = r->target,
        .host = r->host,
        .came = r->fields,
        .direct = how->as_it_is,
        .request = callbacks,
    };
    if (error == 0)
        error = upstream_fetch_start(w->worker, &ask, ret);
    for (unsigned i = 0; i < o.texts; i++)
        buf_free(&o.text[i]);
    return error;
}
