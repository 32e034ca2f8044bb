/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_priv.h"
#include "http/http_private.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* RFC 9110 section 15; what is missing here is sent as its class. */
static const struct {
    unsigned status;
    const char *reason;
} http_reasons[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {422, "Unprocessable Content"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {507, "Insufficient Storage"},
};

static const char *http_reason(unsigned status)
{
    for (size_t i = 0; i < ARRAY_LEN(http_reasons); i++)
        if (http_reasons[i].status == status)
            return http_reasons[i].reason;
    return status < 400 ? "OK" : "Error";
}

void http__set_status(struct http_req *req, unsigned status)
{
    ASSERT(status >= 200 && status <= 599);
    req->h2o->res.status = (int)status;
    req->h2o->res.reason = http_reason(status);
}

struct str http__pool_copy(struct http_req *req, struct str s)
{
    char *copy = h2o_mem_alloc_pool(&req->h2o->pool, s.size + 1);
    if (s.size > 0)
        memcpy(copy, s.data, s.size);
    copy[s.size] = '\0';
    return (struct str){copy, s.size};
}

/* What a value may hold a stranger can have chosen: a control character would end the line. */
static void http_clean(char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)bytes[i] < 0x20 || bytes[i] == 0x7f)
            bytes[i] = ' ';
}

/* True: the field is not to be sent as it is. */
static bool http_private_took(struct http_req *req, struct str name, struct str value)
{
    if (!req->is_private || http_private_hides(name))
        return req->is_private;
    if (!str_eq(name, STR("cache-control")))
        return false;
    CLEAN_BUF struct buf rest = BUF_EMPTY;
    http_private_rest(value, &rest);
    if (rest.size > 0 && buf_error(&rest) == 0) {
        req->is_private = false;
        http__add_header(req, "cache-control", buf_str(&rest));
        req->is_private = true;
    }
    return true;
}

void http_res_private(struct http_req *req)
{
    if (!http__can_reply(req) || req->is_private)
        return;
    http__add_header(req, "cache-control", STR("private"));
    req->is_private = true;
}

void http__add_header(struct http_req *req, const char *name, struct str value)
{
    if (http_private_took(req, str_of(name), value))
        return;
    struct str copy = http__pool_copy(req, value);
    http_clean((char *)(uintptr_t)copy.data, copy.size); /* ours: just made */
    h2o_add_header_by_str(&req->h2o->pool, &req->h2o->res.headers, name, strlen(name), 1, NULL,
                          copy.data, copy.size);
}

void http__lend_header(struct http_req *req, const struct field *f)
{
    if (http_private_took(req, f->name, f->value))
        return;
    if (str_eq(f->name, STR("date"))) {
        req->date = f->value; /* the library writes one in any case: http__send */
        return;
    }
    h2o_add_header_by_str(&req->h2o->pool, &req->h2o->res.headers, f->name.data, f->name.size, 1,
                          NULL, f->value.data, f->value.size);
}

void http_res_header(struct http_req *req, const char *name, const char *format, ...)
{
    if (!http__can_reply(req))
        return;
    char text[512];
    va_list list;
    va_start(list, format);
    int n = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (n < 0)
        return;
    if ((size_t)n < sizeof text) {
        http__add_header(req, name, (struct str){text, (size_t)n});
        return;
    }
    char *long_text = NULL;
    va_start(list, format);
    n = vasprintf(&long_text, format, list);
    va_end(list);
    if (n < 0)
        return; /* out of memory: the answer goes without it */
    http__add_header(req, name, (struct str){long_text, (size_t)n});
    free(long_text);
}

void http_res_field(struct http_req *req, struct str name, struct str value)
{
    if (!http__can_reply(req) || name.size == 0)
        return;
    const struct field copy = {http__pool_copy(req, name), http__pool_copy(req, value)};
    char *bytes = (char *)(uintptr_t)copy.value.data; /* ours: just made */
    http_clean(bytes, value.size);
    http__lend_header(req, &copy);
}

static bool http_status_has_no_body(unsigned status)
{
    return status == 204 || status == 304;
}

static h2o_generator_t http_nothing_more = {NULL, NULL};

/* The library writes a Date of now into every head and has no way to be told another, yet one that
 * a cache passes on is the origin's (RFC 9110 section 6.6.1). So for the call that writes the head
 * its memory of the present time holds that. */
void http__send(struct http_req *req, h2o_iovec_t *vecs, size_t count, h2o_send_state_t state)
{
    struct str date = req->date;
    http__seen_first_byte(req);
    req->date = STR_NONE; /* the head goes out with the first send, within the call */
    if (date.size != H2O_TIMESTR_RFC1123_LEN) {
        h2o_send(req->h2o, vecs, count, state);
        return;
    }
    h2o_context_t *ctx = req->h2o->conn->ctx;
    (void)h2o_get_timestamp(ctx, NULL, NULL); /* so that it stays this one during the call */
    h2o_timestamp_string_t *now = ctx->_timestamp_cache.value;
    char kept[H2O_TIMESTR_RFC1123_LEN];
    h2o_mem_addref_shared(now);
    memcpy(kept, now->rfc1123, sizeof kept);
    memcpy(now->rfc1123, date.data, sizeof kept);
    h2o_send(req->h2o, vecs, count, state);
    memcpy(now->rfc1123, kept, sizeof kept);
    h2o_mem_release_shared(now);
}

void http__send_nothing(struct http_req *req)
{
    h2o_start_response(req->h2o, &http_nothing_more);
    http__send(req, NULL, 0, H2O_SEND_STATE_FINAL);
}

void http_reply(struct http_req *req, unsigned status, const char *type, struct str body)
{
    if (!http__can_reply(req))
        return;
    req->answered = true;
    h2o_req_t *h2o = req->h2o;
    http__set_status(req, status);
    if (http_status_has_no_body(status)) {
        req->expect = 0;
        http__send_nothing(req);
        return;
    }
    if (type != NULL)
        http__add_header(req, "content-type", str_of(type));
    h2o->res.content_length = body.size;
    req->expect = req->is_head ? 0 : body.size;
    if (!req->is_head && body.size > HTTP_PIECE_SIZE) { /* in pieces, not in one TLS burst */
        struct rbuf *b;
        if (rbuf_copy(body.data, body.size, &b) == 0) {
            req->body.rbuf = b;
            req->body.one = (struct http_part){.size = body.size};
            http__body_start(req);
            return;
        }
    }
    h2o_iovec_t vec = {NULL, 0};
    size_t count = 0;
    if (!req->is_head && body.size > 0) {
        struct str copy = http__pool_copy(req, body);
        vec = h2o_iovec_init(copy.data, copy.size);
        count = 1;
    }
    h2o_start_response(h2o, &http_nothing_more);
    http__send(req, &vec, count, H2O_SEND_STATE_FINAL);
}

void http_reply_error(struct http_req *req, unsigned status, const char *code, const char *format,
                      ...)
{
    if (!http__can_reply(req))
        return;
    char text[1024];
    va_list list;
    va_start(list, format);
    int n = vsnprintf(text, sizeof text, format, list); /* a longer message is cut */
    va_end(list);
    bool may_come = status == 502 || status == 503; /* what lacks may be there a moment later */
    if (may_come && h2o_find_header_by_str(&req->h2o->res.headers, "retry-after",
                                           strlen("retry-after"), -1) < 0)
        http__add_header(req, "retry-after", STR("1"));
    CLEAN_BUF struct buf body = BUF_EMPTY;
    buf_puts(&body, "{\"error\":{\"code\":");
    buf_put_json_string(&body, str_of(code));
    buf_puts(&body, ",\"message\":");
    buf_put_json_string(&body, n < 0 ? STR_NONE : str_of(text));
    buf_puts(&body, ",\"details\":{}}}");
    http_reply(req, status, "application/json", buf_error(&body) < 0 ? STR_NONE : buf_str(&body));
}

void http_reply_json(struct http_req *req, unsigned status, json_t *value)
{
    if (!http__can_reply(req)) {
        json_decref(value);
        return;
    }
    char *text = value == NULL ? NULL : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(value);
    if (text == NULL) {
        http_reply_error(req, 500, "INTERNAL", "The answer could not be built");
        return;
    }
    http_reply(req, status, "application/json", str_of(text));
    free(text);
}

/* --- answers of the library's own ------------------------------------------------------------- */

static struct str http_library_error(int status)
{
    switch (status) {
    case 413:
        return STR("{\"error\":{\"code\":\"BODY_TOO_LARGE\",\"message\":\"The request body is too "
                   "large\",\"details\":{}}}");
    case 417:
        return STR("{\"error\":{\"code\":\"EXPECTATION_FAILED\",\"message\":\"This expectation is "
                   "not known\",\"details\":{}}}");
    case 503:
        return STR("{\"error\":{\"code\":\"OVERLOADED\",\"message\":\"The server is out of "
                   "memory\",\"details\":{}}}");
    default:
        return STR("{\"error\":{\"code\":\"BAD_REQUEST\",\"message\":\"The request is not valid "
                   "HTTP\",\"details\":{}}}");
    }
}

static void http_library_send(h2o_ostream_t *self, h2o_req_t *h2o, h2o_iovec_t *bufs,
                              size_t bufs_count, h2o_send_state_t state)
{
    (void)bufs, (void)bufs_count; /* its plain text */
    struct str text = http_library_error(h2o->res.status);
    h2o_iovec_t vec = h2o_iovec_init(text.data, text.size);
    bool is_head = h2o_memis(h2o->input.method.base, h2o->input.method.len, H2O_STRLIT("HEAD"));
    h2o_ostream_send_next(self, h2o, &vec, is_head ? 0 : 1, state);
}

void http__on_library_error(h2o_filter_t *self, h2o_req_t *h2o, h2o_ostream_t **slot)
{
    (void)self;
    http__tls_add_alt_svc(h2o);
    if (http__req_of(h2o) == NULL) {
        h2o->res.content_length = http_library_error(h2o->res.status).size;
        h2o_set_header(&h2o->pool, &h2o->res.headers, H2O_TOKEN_CONTENT_TYPE,
                       H2O_STRLIT("application/json"), 1);
        h2o_ostream_t *stream = h2o_add_ostream(h2o, sizeof *stream, slot);
        stream->do_send = http_library_send;
        slot = &stream->next;
    }
    h2o_setup_next_ostream(h2o, slot);
}
