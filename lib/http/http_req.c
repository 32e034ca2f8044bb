/* SPDX-License-Identifier: Apache-2.0 */
/* A request's two lives. The library's h2o_req_t ends when the answer is out or the client has
 * left; ours ends with its last reference. The link between them:
 *
 *   on_req -> http_req (1 reference: the library's) -> handler -> reply -> ... -> the library
 * clears the request's pool -> http_req_on_dispose: h2o = NULL, source closed, the reference
 * dropped.
 *
 * After that every accessor answers STR_NONE and every reply does nothing. */
#include "http/http_priv.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "http/http_client.h"
#include "http/http_strict.h"
#include "http/http_text.h"

#define HTTP_FORWARDED_MAX 8 /* X-Forwarded-For fields that are read, the last ones */

#define HTTP_ENV_NAME "weir" /* h2o_req_t has no room for a pointer of ours but its environment */

/* --- memory ----------------------------------------------------------------------------------- */

static struct http_req *http_req_alloc(struct http_worker *w)
{
    struct http_req *req = w->free;
    if (req != NULL) {
        w->free = req->next;
        w->free_count--;
    } else {
        req = malloc(sizeof *req);
        if (req == NULL)
            return NULL;
    }
    memset(req, 0, sizeof *req);
    req->magic = HTTP_REQ_MAGIC;
    req->refs = 1;
    req->worker = w;
    w->live++;
    return req;
}

static void http_req_release(struct http_req *req)
{
    struct http_worker *w = req->worker;
    ASSERT(req->h2o == NULL);
    ASSERT(w->live > 0);
    w->live--;
    MAGIC_CLEAR(req);
#ifndef WEIR_POOL_PASSTHROUGH
    if (w->free_count < HTTP_REQ_FREE_MAX) {
        req->next = w->free;
        w->free = req;
        w->free_count++;
        return;
    }
#endif
    free(req);
}

void http__req_free_all(struct http_worker *w)
{
    while (w->free != NULL) {
        struct http_req *next = w->free->next;
        free(w->free);
        w->free = next;
    }
    w->free_count = 0;
}

struct http_req *http_req_ref(struct http_req *req)
{
    http__req_check(req);
    req->refs++;
    return req;
}

struct http_req *http_req_unref(struct http_req *req)
{
    if (req == NULL)
        return NULL;
    http__req_check(req);
    ASSERT(req->refs > 0);
    if (--req->refs == 0)
        http_req_release(req);
    return NULL;
}

/* --- birth and end ---------------------------------------------------------------------------- */

struct http_link {
    struct http_req *req;
};

static void http_req_on_dispose(void *arg)
{
    struct http_link *link = arg;
    struct http_req *req = link->req;
    http__req_check(req);
    struct http_worker *w = req->worker;
    http__body_close(req);
    loop_timer_stop(&req->pace.timer);
    req->h2o = NULL;
    http__intake_leave(req);
    if (req->conn != NULL)
        http__conn_end(req->conn);
    req->conn = NULL;
    if (req->prev != NULL)
        req->prev->next = req->next;
    else
        w->active = req->next;
    if (req->next != NULL)
        req->next->prev = req->prev;
    req->next = req->prev = NULL;
    (void)http_req_unref(req);
}

struct http_req *http__req_of(h2o_req_t *h2o)
{
    h2o_iovec_t *env = h2o_req_getenv(h2o, HTTP_ENV_NAME, sizeof HTTP_ENV_NAME - 1, 0);
    return env == NULL ? NULL : (struct http_req *)(void *)env->base;
}

/* Behind proxies of ours: the address that they tell. */
static void http_req_ask_proxies(struct http_req *req)
{
    const struct http_options *options = &req->worker->server->options;
    struct str lines[HTTP_FORWARDED_MAX];
    unsigned count = 0;
    const h2o_headers_t *headers = &req->h2o->headers;
    for (size_t i = 0; i < headers->size; i++) {
        const h2o_iovec_t *name = headers->entries[i].name;
        if (!str_eq((struct str){name->base, name->len}, STR("x-forwarded-for")))
            continue;
        if (count == ARRAY_LEN(lines)) /* the last ones count */
            memmove(lines, lines + 1, --count * sizeof lines[0]);
        const h2o_iovec_t *value = &headers->entries[i].value;
        lines[count++] = (struct str){value->base, value->len};
    }
    req->client =
        http_client_of(req->client, options->proxies, options->proxies_count, lines, count);
}

static void http_req_set_client(struct http_req *req)
{
    struct sockaddr_storage address;
    struct sockaddr *sa = (struct sockaddr *)(void *)&address;
    if (req->h2o->conn->callbacks->get_peername(req->h2o->conn, sa) == 0)
        return; /* it has just left */
    req->has_client = addr_of_socket(sa, &req->client) == 0;
    if (req->has_client && req->worker->server->options.proxies_count > 0)
        http_req_ask_proxies(req);
}

/* RFC 9112 section 3.2.2: a server must take the absolute form; its authority then counts. */
static void http_req_set_target(struct http_req *req)
{
    struct str target = {req->h2o->input.path.base, req->h2o->input.path.len};
    struct str rest = target;
    if (str_starts(target, STR("http://")))
        rest = str_skip(target, 7);
    else if (str_starts(target, STR("https://")))
        rest = str_skip(target, 8);
    if (rest.data != target.data) {
        size_t n = 0;
        while (n < rest.size && rest.data[n] != '/' && rest.data[n] != '?')
            n++;
        req->h2o->input.authority = h2o_iovec_init(rest.data, n);
        target = str_skip(rest, n);
    }
    req->path = str_cut(target, '?', &req->query);
}

static struct http_req *http_req_new(struct http_worker *w, h2o_req_t *h2o)
{
    struct http_req *req = http_req_alloc(w);
    if (req == NULL)
        return NULL;
    struct http_link *link = h2o_mem_alloc_shared(&h2o->pool, sizeof *link, http_req_on_dispose);
    link->req = req;
    h2o_iovec_t *env = h2o_req_getenv(h2o, HTTP_ENV_NAME, sizeof HTTP_ENV_NAME - 1, 1);
    env->base = (char *)(void *)req;
    req->h2o = h2o;
    req->conn = http__conn_of(h2o);
    if (req->conn != NULL)
        http__conn_begin(req->conn);
    http__intake_join(req);
    req->start_us = clock_mono_us();
    req->expect = UINT64_MAX;
    req->next = w->active;
    if (w->active != NULL)
        w->active->prev = req;
    w->active = req;
    struct str method = {h2o->input.method.base, h2o->input.method.len};
    req->is_head = str_eq(method, STR("HEAD"));
    req->method = http_method_of(method);
    http_req_set_target(req);
    http_req_set_client(req);
    if (http_traceparent_parse(http_req_header(req, "traceparent"), req->id) < 0)
        id_text(req->id);
    http__seen_begin(req);
    return req;
}

/* --- dispatch --------------------------------------------------------------------------------- */

static bool http_req_has_host(const struct http_req *req)
{
    const h2o_req_t *h2o = req->h2o;
    /* Where the client sent none the library fills in its own, the very same bytes. */
    return h2o->input.authority.base != h2o->hostconf->authority.hostport.base;
}

static void http_req_dispatch(struct http_server *s, struct http_req *req)
{
    if (req->path.size == 0 || req->path.data[0] != '/') {
        req->h2o->http1_is_persistent = 0;
        http_reply_error(req, 400, "BAD_REQUEST", "The request target is not a path");
        return;
    }
    if (req->h2o->version == 0x101 && !http_req_has_host(req)) {
        req->h2o->http1_is_persistent = 0;
        http_reply_error(req, 400, "BAD_REQUEST", "The Host header is missing");
        return;
    }
    unsigned methods;
    const struct http_route_entry *e =
        http_router_find(&s->router, req->path, req->method, &methods);
    uint64_t body_max = e != NULL && e->streams ? e->body_max : s->options.body_size_max;
    uint64_t body_size = http_req_body_size(req);
    if (body_size > body_max && body_size != HTTP_SIZE_UNKNOWN) {
        http_reply_error(req, 413, "BODY_TOO_LARGE", "The request body is larger than %llu bytes",
                         (unsigned long long)body_max);
        return;
    }
    if (e != NULL) {
        e->handler(req, e->arg);
        return;
    }
    if (methods == 0) {
        http_reply_error(req, 404, "NOT_FOUND", "There is nothing at this path");
        return;
    }
    CLEAN_BUF struct buf allow = BUF_EMPTY;
    http_methods_put(methods, &allow);
    if (buf_error(&allow) == 0)
        http__add_header(req, "allow", buf_str(&allow));
    http_reply_error(req, 405, "METHOD_NOT_ALLOWED", "This path does not take this method");
}

/* The library has read the head, and it is still at the front of the socket's buffer. A head that
 * is not where it should be is not passed on unchecked. */
static int http_req_strict(const struct http_req *req, const char **ret_why)
{
    h2o_req_t *h2o = req->h2o;
    if (h2o->version >= 0x200)
        return 0;
    const h2o_socket_t *sock = h2o->conn->callbacks->get_socket(h2o->conn);
    struct str head = sock == NULL || sock->input == NULL
                          ? STR_NONE
                          : (struct str){sock->input->bytes, sock->input->size};
    struct str method = {h2o->input.method.base, h2o->input.method.len};
    *ret_why = "The request's head cannot be checked";
    int r = str_starts(head, method) ? http_strict_check(head, ret_why) : -EBADMSG;
    /* How chunks are told apart in detail differs between servers: nothing is read behind such a
     * body, so that nobody's body is taken for a request. */
    if (r == 0 && h2o->entity.base != NULL &&
        http_strict_find(head, STR("transfer-encoding")).data != NULL)
        h2o->http1_is_persistent = 0;
    return r;
}

int http__on_req(h2o_handler_t *self, h2o_req_t *h2o)
{
    struct http_handler *handler = (struct http_handler *)(void *)self;
    struct http_worker *w = CONTAINER_OF(h2o->conn->ctx, struct http_worker, ctx);
    struct http_req *req = http_req_new(w, h2o);
    if (req == NULL) {
        h2o_send_error_503(h2o, "Service Unavailable", "out of memory", 0);
        return 0;
    }
    (void)http_req_ref(req); /* an answer without a byte can end the request at once */
    const char *why = NULL;
    if (http__head_size(h2o) > w->server->options.header_size_max) {
        h2o->http1_is_persistent = 0;
        http_reply_error(req, 431, "HEADERS_TOO_LARGE", "The header fields are too large");
    } else if (http_req_strict(req, &why) < 0 || http__head_check(h2o, &why) < 0) {
        h2o->http1_is_persistent = 0; /* where the next request would begin nobody knows */
        http_reply_error(req, 400, "BAD_REQUEST", "%s", why);
    } else if (w->stopping)
        http_reply_error(req, 503, "STOPPING", "The server is stopping");
    else
        http_req_dispatch(handler->server, req);
    (void)http_req_unref(req);
    return 0;
}

/* --- what handlers ask ------------------------------------------------------------------------ */

bool http_req_gone(const struct http_req *req)
{
    return !http__can_reply(req);
}

unsigned http_req_method(const struct http_req *req)
{
    http__req_check(req);
    return req->method;
}

bool http_req_is_head(const struct http_req *req)
{
    http__req_check(req);
    return req->is_head;
}

struct str http_req_path(const struct http_req *req)
{
    http__req_check(req);
    return req->h2o == NULL ? STR_NONE : req->path;
}

struct str http_req_query(const struct http_req *req)
{
    http__req_check(req);
    return req->h2o == NULL ? STR_NONE : req->query;
}

static struct str http_str(h2o_iovec_t v)
{
    return (struct str){v.base, v.len};
}

struct str http_req_scheme(const struct http_req *req)
{
    http__req_check(req);
    return req->h2o == NULL ? STR_NONE : http_str(req->h2o->input.scheme->name);
}

struct str http_req_authority(const struct http_req *req)
{
    http__req_check(req);
    return req->h2o == NULL ? STR_NONE : http_str(req->h2o->input.authority);
}

/* RFC 9110 section 5.3: several lines of one name are one list; cookies are joined by "; " (RFC
 * 9113 section 8.2.3). */
static struct str http_req_join(const struct http_req *req, struct str name, size_t size)
{
    struct str separator = str_eq(name, STR("cookie")) ? STR("; ") : STR(", ");
    char *out = h2o_mem_alloc_pool(&req->h2o->pool, size);
    size_t used = 0;
    for (size_t i = 0; i < req->h2o->headers.size; i++) {
        const h2o_header_t *h = &req->h2o->headers.entries[i];
        if (!str_eq(http_str(*h->name), name))
            continue;
        if (used > 0) {
            memcpy(out + used, separator.data, separator.size);
            used += separator.size;
        }
        if (h->value.len > 0)
            memcpy(out + used, h->value.base, h->value.len);
        used += h->value.len;
        ASSERT(used <= size);
    }
    return (struct str){out, used};
}

struct str http_req_header(const struct http_req *req, const char *name)
{
    http__req_check(req);
    if (req->h2o == NULL)
        return STR_NONE;
    struct str wanted = str_of(name);
    if (str_eq(wanted, STR("host")))
        return http_req_authority(req);
    struct str first = STR_NONE;
    unsigned count = 0;
    size_t size = 0;
    for (size_t i = 0; i < req->h2o->headers.size; i++) {
        const h2o_header_t *h = &req->h2o->headers.entries[i];
        if (!str_eq(http_str(*h->name), wanted))
            continue;
        if (count++ == 0)
            first = http_str(h->value);
        size += h->value.len + 2;
    }
    return count <= 1 ? first : http_req_join(req, wanted, size);
}

struct fields http_req_fields(const struct http_req *req)
{
    http__req_check(req);
    struct fields list = {NULL, 0};
    if (req->h2o == NULL || req->h2o->headers.size == 0)
        return list;
    size_t count = req->h2o->headers.size;
    struct field *at = h2o_mem_alloc_pool(&req->h2o->pool, count * sizeof *at);
    for (size_t i = 0; i < count; i++) {
        const h2o_header_t *h = &req->h2o->headers.entries[i];
        at[i] = (struct field){http_str(*h->name), http_str(h->value)};
    }
    return (struct fields){at, (unsigned)count};
}

struct str http_req_body(const struct http_req *req)
{
    http__req_check(req);
    return req->h2o == NULL ? STR_NONE : http_str(req->h2o->entity);
}

bool http_req_client(const struct http_req *req, struct addr *ret)
{
    http__req_check(req);
    if (req->has_client)
        *ret = req->client;
    return req->has_client;
}

struct str http_req_peer(struct http_req *req)
{
    http__req_check(req);
    if (req->has_client && req->peer[0] == '\0')
        addr_format(&req->client, req->peer);
    return str_of(req->peer);
}

struct str http_req_id(const struct http_req *req)
{
    http__req_check(req);
    return str_of(req->id);
}

struct loop *http_req_loop(const struct http_req *req)
{
    http__req_check(req);
    return req->worker->loop;
}

void *http_req_worker(const struct http_req *req)
{
    http__req_check(req);
    return req->worker->user;
}

void *http_req_room(struct http_req *req)
{
    http__req_check(req);
    return req->room;
}

uint64_t http_req_age_us(const struct http_req *req)
{
    http__req_check(req);
    return clock_mono_us() - req->start_us;
}

struct str http_req_bearer(const struct http_req *req)
{
    struct str value = http_req_header(req, "authorization");
    struct str scheme = str_cut(value, ' ', &value);
    if (!str_eq_nocase(scheme, STR("Bearer")))
        return STR_NONE;
    value = str_trim(value);
    return value.size > 0 ? value : STR_NONE;
}
