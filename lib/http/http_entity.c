/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include "base/clock.h"
#include "http/http_cond.h"
#include "http/http_priv.h"
#include "http/http_range.h"

static void http_entity_close(const struct http_entity *e)
{
    if (e->body == NULL && e->source_ops != NULL)
        e->source_ops->close(e->source);
}

static uint64_t http_entity_size(const struct http_entity *e)
{
    return e->body != NULL ? rbuf_size(e->body) : e->size;
}

static enum http_cond http_entity_check(const struct http_req *req, const struct http_validators *v)
{
    const struct http_conditions c = {
        .if_match = http_req_header(req, "if-match"),
        .if_none_match = http_req_header(req, "if-none-match"),
        .if_modified_since = http_req_header(req, "if-modified-since"),
        .if_unmodified_since = http_req_header(req, "if-unmodified-since"),
    };
    return http_cond_check(&c, v, req->method == HTTP_GET);
}

static enum http_range_kind http_entity_ranges(const struct http_req *req,
                                               const struct http_validators *v, uint64_t size,
                                               struct http_range *ranges, unsigned *ret_count)
{
    struct str range = http_req_header(req, "range");
    if (range.data == NULL || req->method != HTTP_GET || req->is_head)
        return HTTP_RANGE_WHOLE; /* RFC 9110 section 14.2: defined for GET alone */
    if (size == HTTP_SIZE_UNKNOWN || !http_cond_if_range(http_req_header(req, "if-range"), v))
        return HTTP_RANGE_WHOLE;
    if (size == 0)
        return HTTP_RANGE_WHOLE; /* no Content-Range can say "nothing": all of it is as much */
    return http_range_parse(range, size, ranges, ret_count);
}

static void http_entity_headers(struct http_req *req, const struct http_entity *e)
{
    char date[CLOCK_TEXT_SIZE];
    if (e->fields.count > 0) {
        for (unsigned i = 0; i < e->fields.count; i++)
            http__lend_header(req, &e->fields.at[i]);
        return;
    }
    if (e->etag != NULL)
        http__add_header(req, "etag", str_of(e->etag));
    if (e->cache_control != NULL)
        http__add_header(req, "cache-control", str_of(e->cache_control));
    if (e->modified_s != 0) {
        clock_format_http(e->modified_s, date);
        http__add_header(req, "last-modified", str_of(date));
    }
}

static void http_entity_type(struct http_req *req, const struct http_entity *e)
{
    if (e->type != NULL)
        http__add_header(req, "content-type", str_of(e->type));
}

static void http_entity_one(struct http_req *req, const struct http_entity *e, uint64_t size,
                            const struct http_range *r)
{
    http__set_status(req, 206);
    http_entity_type(req, e);
    http_res_header(req, "content-range", "bytes %llu-%llu/%llu", (unsigned long long)r->first,
                    (unsigned long long)(r->first + r->size - 1), (unsigned long long)size);
    req->body.one = (struct http_part){.offset = r->first, .size = r->size};
    req->body.total = r->size;
}

/* multipart/byteranges: before each range its header, behind the last the closing line. */
static int http_entity_many(struct http_req *req, const struct http_entity *e, uint64_t size,
                            const struct http_range *ranges, unsigned count)
{
    char boundary[ID_TEXT_SIZE];
    id_text(boundary);
    struct http_part *parts = h2o_mem_alloc_pool(&req->h2o->pool, (count + 1) * sizeof *parts);
    uint64_t total = 0;
    CLEAN_BUF struct buf text = BUF_EMPTY;
    for (unsigned i = 0; i <= count; i++) {
        bool is_end = i == count;
        buf_clear(&text);
        buf_printf(&text, "%s--%s%s\r\n", i > 0 ? "\r\n" : "", boundary, is_end ? "--" : "");
        if (!is_end && e->type != NULL)
            buf_printf(&text, "Content-Type: %s\r\n", e->type);
        if (!is_end)
            buf_printf(&text, "Content-Range: bytes %llu-%llu/%llu\r\n\r\n",
                       (unsigned long long)ranges[i].first,
                       (unsigned long long)(ranges[i].first + ranges[i].size - 1),
                       (unsigned long long)size);
        int r = buf_error(&text);
        if (r < 0)
            return r;
        parts[i] = (struct http_part){.text = http__pool_copy(req, buf_str(&text))};
        if (!is_end) {
            parts[i].offset = ranges[i].first;
            parts[i].size = ranges[i].size;
        }
        total += parts[i].text.size + parts[i].size;
    }
    http__set_status(req, 206);
    http_res_header(req, "content-type", "multipart/byteranges; boundary=%s", boundary);
    req->body.parts = parts;
    req->body.parts_count = count + 1;
    req->body.total = total;
    return 0;
}

static void http_entity_whole(struct http_req *req, const struct http_entity *e, uint64_t size)
{
    http__set_status(req, e->status == 0 ? 200 : e->status);
    http_entity_type(req, e);
    if (size != HTTP_SIZE_UNKNOWN && e->status == 0)
        http__add_header(req, "accept-ranges", STR("bytes"));
    req->body.one = (struct http_part){.size = size};
    req->body.total = size;
}

static void http_entity_send(struct http_req *req, const struct http_entity *e, uint64_t size)
{
    http_entity_headers(req, e);
    req->h2o->res.content_length =
        req->body.total == HTTP_SIZE_UNKNOWN ? SIZE_MAX : (size_t)req->body.total;
    req->answered = true;
    if (req->is_head || size == 0) { /* nothing is read: what is lent is let go behind it */
        req->expect = 0;
        http__send_nothing(req);
        http_entity_close(e);
        return;
    }
    req->expect = req->body.total;
    req->body.size_known = size != HTTP_SIZE_UNKNOWN;
    if (e->body != NULL) {
        req->body.rbuf = rbuf_ref(e->body);
    } else {
        req->body.ops = e->source_ops;
        req->body.source = e->source;
    }
    http__body_start(req);
}

static void http_entity_other(struct http_req *req, const struct http_entity *e, uint64_t size)
{
    if (e->status == 204 || e->status == 304) {
        http_entity_headers(req, e);
        http_reply(req, e->status, NULL, STR_NONE);
        http_entity_close(e);
        return;
    }
    http_entity_whole(req, e, size);
    http_entity_send(req, e, size);
}

void http_reply_entity(struct http_req *req, const struct http_entity *e)
{
    ASSERT(e->body != NULL || e->source_ops != NULL);
    struct http_range ranges[HTTP_RANGES_MAX];
    unsigned count = 0;
    if (!http__can_reply(req)) {
        http_entity_close(e);
        return;
    }
    uint64_t size = http_entity_size(e);
    if (e->status != 0) {
        http_entity_other(req, e, size);
        return;
    }
    const struct http_validators v = {str_of(e->etag), e->modified_s};
    switch (http_entity_check(req, &v)) {
    case HTTP_COND_NOT_MODIFIED:
        http_entity_headers(req, e);
        http_reply(req, 304, NULL, STR_NONE);
        http_entity_close(e);
        return;
    case HTTP_COND_FAILED:
        http_reply_error(req, 412, "PRECONDITION_FAILED", "A precondition does not hold");
        http_entity_close(e);
        return;
    case HTTP_COND_GO:
        break;
    }
    int r = 0;
    switch (http_entity_ranges(req, &v, size, ranges, &count)) {
    case HTTP_RANGE_OUTSIDE:
        http_res_header(req, "content-range", "bytes */%llu", (unsigned long long)size);
        http_reply_error(req, 416, "RANGE_NOT_SATISFIABLE", "The range is outside of %llu bytes",
                         (unsigned long long)size);
        http_entity_close(e);
        return;
    case HTTP_RANGE_SOME:
        if (count == 1)
            http_entity_one(req, e, size, &ranges[0]);
        else
            r = http_entity_many(req, e, size, ranges, count);
        break;
    case HTTP_RANGE_WHOLE:
        http_entity_whole(req, e, size);
        break;
    }
    if (r < 0) {
        http_reply_error(req, 500, "INTERNAL", "The answer could not be built");
        http_entity_close(e);
        return;
    }
    http_entity_send(req, e, size);
}
