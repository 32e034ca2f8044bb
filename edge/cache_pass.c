/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/cache_pass.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "edge/cache_invalidate.h"
#include "edge/peer.h"
#include "edge/seen.h"

struct pass_chunk {
    struct pass_chunk *next;
    uint32_t size, used;
    uint8_t data[];
};

struct pass {
    uint32_t magic;
#define PASS_MAGIC UINT32_C(0xca9a55e5)
    struct cache_worker *worker;
    struct http_req *req;
    struct cache_request *request;
    struct cache_fill *fill; /* NULL: has ended */
    struct digest primary;
    const char *fwd, *detail;
    struct pass_chunk *first, **last;
    uint64_t buffered;
    uint64_t offset; /* of the first chunk's first byte that is not lent yet */
    int result;      /* once fill is NULL */
    bool replied, closed, bodiless;
};

static void pass_free(struct pass *p)
{
    ASSERT(p->magic == PASS_MAGIC);
    while (p->first != NULL) {
        struct pass_chunk *next = p->first->next;
        free(p->first);
        p->first = next;
    }
    http_req_unref(p->req);
    cache_request_unref(p->request);
    p->worker->ops--;
    MAGIC_CLEAR(p);
    free(p);
}

static struct pass *pass_new(struct cache_worker *w, struct http_req *req,
                             struct cache_request *request, const struct digest *primary)
{
    struct pass *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->magic = PASS_MAGIC;
    p->worker = w;
    p->req = http_req_ref(req);
    p->request = cache_request_ref(request);
    p->primary = *primary;
    p->last = &p->first;
    w->ops++;
    return p;
}

void cache_reply_failed(struct http_req *req, int error, unsigned status, const char *fwd)
{
    CLEAN_BUF struct buf line = BUF_EMPTY;
    const struct http_cache_status s = {
        .fwd = fwd, .ttl_s = HTTP_CACHE_NONE, .fwd_status = status, .detail = "failed"};
    http_cache_status_write(STR(CACHE_NAME), &s, &line);
    if (buf_error(&line) == 0)
        http_res_field(req, STR("cache-status"), buf_str(&line));
    http_res_header(req, "cache-control", "no-store");
    if (status >= 400 && status <= 599)
        http_reply_error(req, status, "UPSTREAM_ANSWERED", "the origin answers with %u", status);
    else if (error == -ENOMEM || error == -EAGAIN || error == -ESHUTDOWN)
        http_reply_error(req, 503, "BUSY", "too much is under way, try again");
    else if (error == -ETIMEDOUT || error == -EHOSTDOWN)
        http_reply_error(req, 504, "UPSTREAM_TIMEOUT", "the origin does not answer");
    else
        http_reply_error(req, 502, "UPSTREAM_FAILED", "the origin cannot be asked: %s",
                         strerror(-error));
}

/* --- to the client ---------------------------------------------------------------------------- */

static void pass_drop_used(struct pass *p)
{
    struct pass_chunk *c = p->first;
    if (c == NULL || c->used < c->size)
        return;
    p->first = c->next;
    if (p->first == NULL)
        p->last = &p->first;
    p->buffered -= c->size;
    free(c);
    if (p->fill != NULL && p->buffered <= CACHE_PASS_MAX / 2)
        cache_fill_hold(p->fill, CACHE_HELD_TAKER, false);
}

static int pass_read(void *source, uint64_t offset, uint32_t size_max, const uint8_t **ret_data,
                     uint32_t *ret_size)
{
    struct pass *p = source;
    pass_drop_used(p);
    if (offset != p->offset)
        return -EIO; /* it is read in order */
    struct pass_chunk *c = p->first;
    if (c == NULL)
        return p->fill != NULL ? -EAGAIN : p->result < 0 ? p->result : -ENODATA;
    uint32_t size = MIN(size_max, c->size - c->used);
    *ret_data = c->data + c->used;
    *ret_size = size;
    c->used += size;
    p->offset += size;
    return 0;
}

static void pass_close(void *source)
{
    struct pass *p = source;
    p->closed = true;
    struct cache_fill *f = p->fill;
    if (f == NULL) {
        pass_free(p);
        return;
    }
    if (p->bodiless)
        return; /* its end is about to come, and its connection can be used again */
    p->fill = NULL;
    cache_fill_cancel(f, -ECANCELED);
    cache_fill_unref(f);
    pass_free(p);
}

/* --- from the upstream ------------------------------------------------------------------------ */

static void pass_fields(struct pass *p, const struct fetch_head *head)
{
    CLEAN_BUF struct buf text = BUF_EMPTY;
    bool pass_keys = p->request->route->cache.pass_surrogate_keys ||
                     peer_is(p->req, p->request->route->upstream);
    for (unsigned i = 0; i < head->fields.count; i++) {
        const struct field *f = &head->fields.at[i];
        bool is_key = str_eq(f->name, STR("surrogate-key")) || str_eq(f->name, STR("xkey"));
        if (field_is_hop_by_hop(&head->fields, f->name) || str_eq(f->name, STR("content-length")) ||
            str_eq(f->name, STR("server")) || str_eq(f->name, STR("via")) ||
            str_eq(f->name, STR("cache-status")) || (is_key && !pass_keys) ||
            cache_is_of_rules(f->name))
            continue;
        http_res_field(p->req, f->name, f->value);
    }
    if (fields_get(&head->fields, STR("date")).data == NULL) {
        char date[CLOCK_TEXT_SIZE];
        clock_format_http(clock_real_s(), date);
        http_res_field(p->req, STR("date"), str_of(date));
    }
    fields_join(&head->fields, STR("via"), &text);
    buf_puts(&text, text.size > 0 ? ", 1.1 " CACHE_NAME : "1.1 " CACHE_NAME);
    if (buf_error(&text) == 0)
        http_res_field(p->req, STR("via"), buf_str(&text));
    buf_clear(&text);
    fields_join(&head->fields, STR("cache-status"), &text);
    if (text.size > 0)
        buf_puts(&text, ", ");
    const struct http_cache_status s = {
        .fwd = p->fwd, .ttl_s = HTTP_CACHE_NONE, .fwd_status = head->status, .detail = p->detail};
    http_cache_status_write(STR(CACHE_NAME), &s, &text);
    if (buf_error(&text) == 0)
        http_res_field(p->req, STR("cache-status"), buf_str(&text));
    seen_timed(p->req, SEEN_PASS);
}

static bool pass_head(struct pass *p, const struct fetch_head *head)
{
    static const struct http_source_ops ops = {pass_read, pass_close};
    if (http_req_gone(p->req))
        return false;
    if (head->status < 200 || head->status > 599)
        return false;
    if (strcmp(p->request->method, "GET") != 0 && strcmp(p->request->method, "HEAD") != 0 &&
        strcmp(p->request->method, "OPTIONS") != 0 && http_cache_invalidates(head->status))
        cache_invalidate(p->worker->cache, p->request, &p->primary, &head->fields);
    p->bodiless =
        http_req_is_head(p->req) || head->status == 204 || head->status == 304 || head->size == 0;
    p->replied = true;
    pass_fields(p, head);
    struct http_entity e = {
        .status = head->status,
        .source_ops = &ops,
        .source = p,
        .size = head->size == UINT64_MAX ? HTTP_SIZE_UNKNOWN : head->size,
    };
    http_reply_entity(p->req, &e);
    return true;
}

static bool pass_on_head(void *arg, struct cache_fill *f, const struct fetch_head *head,
                         const char *why)
{
    (void)f, (void)why;
    return pass_head(arg, head);
}

static int pass_on_data(void *arg, const uint8_t *data, size_t size)
{
    struct pass *p = arg;
    if (p->closed)
        return 0;
    struct pass_chunk *c = malloc(sizeof *c + size);
    if (c == NULL || size > UINT32_MAX) {
        free(c);
        return -ENOMEM;
    }
    *c = (struct pass_chunk){.size = (uint32_t)size};
    memcpy(c->data, data, size);
    *p->last = c;
    p->last = &c->next;
    p->buffered += size;
    if (p->buffered >= CACHE_PASS_MAX)
        cache_fill_hold(p->fill, CACHE_HELD_TAKER, true);
    http_req_wake(p->req);
    return 0;
}

static void pass_on_done(void *arg, int res)
{
    struct pass *p = arg;
    struct cache_fill *f = p->fill;
    p->fill = NULL;
    p->result = res;
    if (!p->replied)
        cache_reply_failed(p->req, res < 0 ? res : -EBADMSG, 0, p->fwd);
    if (!p->replied || p->closed)
        pass_free(p);
    else
        http_req_wake(p->req);
    cache_fill_unref(f);
}

static const struct cache_taker pass_taker = {pass_on_head, pass_on_data, pass_on_done};

void cache_pass_start(struct cache_worker *w, struct http_req *req, struct cache_request *request,
                      const struct digest *primary, const char *fwd, const char *detail)
{
    struct pass *p = pass_new(w, req, request, primary);
    if (p == NULL) {
        cache_reply_failed(req, -ENOMEM, 0, fwd);
        return;
    }
    p->fwd = fwd;
    p->detail = detail;
    const struct cache_fill_want want = {.kind = CACHE_FILL_PASS,
                                         .request = request,
                                         .primary = *primary,
                                         .key = *primary,
                                         .taker = &pass_taker,
                                         .taker_arg = p};
    int r = cache_fill_start(w, &want, &p->fill);
    if (r == 0)
        return;
    cache_reply_failed(req, r, 0, fwd);
    pass_free(p);
}

bool cache_pass_adopt(struct cache_worker *w, struct http_req *req, struct cache_fill *f,
                      const struct fetch_head *head, const char *fwd, const char *why)
{
    struct pass *p = pass_new(w, req, f->request, &f->primary);
    if (p == NULL)
        return false;
    p->fwd = fwd;
    p->detail = why;
    p->fill = cache_fill_ref(f);
    f->taker = &pass_taker;
    f->taker_arg = p;
    if (pass_head(p, head))
        return true;
    p->fill = NULL;
    f->taker = NULL;
    cache_fill_unref(f);
    pass_free(p);
    return false;
}
