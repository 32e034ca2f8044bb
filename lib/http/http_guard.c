/* SPDX-License-Identifier: Apache-2.0 */
/* Request bodies on their way in. libh2o 2.2 reads a body to its end before any handler is asked,
 * and tells nobody meanwhile. So each worker looks at its connections' input buffers every few
 * milliseconds, from when one is found to be large until there is none:
 *
 *   - a body of more than HTTP_BODY_FREE needs the server's credential, if it has one;
 *   - all bodies of the process together stay under a limit: beyond it the largest goes.
 *
 * What is refused is answered on the socket past the library, which then meets the connection's
 * end. Bodies over HTTP/2 are in its streams: http_watch.c looks at those. */
#include <stdlib.h>
#include <sys/socket.h>
#include "base/secret.h"
#include "http/http_priv.h"
#include "http/http_strict.h"

#define HTTP_GUARD_TURN_MS 20
#define HTTP_BODY_FREE     (64u << 10)
#define HTTP_BODY_TOTAL    (UINT64_C(256) << 20)

static const struct {
    unsigned status;
    struct str answer;
} http_guard_answers[] = {
    {401, STR("HTTP/1.1 401 Unauthorized\r\nconnection: close\r\n"
              "www-authenticate: Bearer\r\n"
              "content-type: application/json\r\ncontent-length: 94\r\n\r\n"
              "{\"error\":{\"code\":\"CREDENTIAL_WRONG\","
              "\"message\":\"a large body needs a credential\",\"details\":{}}}")},
    {408, STR("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n"
              "content-type: application/json\r\ncontent-length: 94\r\n\r\n"
              "{\"error\":{\"code\":\"REQUEST_TIMEOUT\","
              "\"message\":\"the request did not come in time\",\"details\":{}}}")},
    {431, STR("HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n"
              "content-type: application/json\r\ncontent-length: 95\r\n\r\n"
              "{\"error\":{\"code\":\"HEADERS_TOO_LARGE\","
              "\"message\":\"the header fields are too large\",\"details\":{}}}")},
    {503, STR("HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n"
              "retry-after: 1\r\n"
              "content-type: application/json\r\ncontent-length: 79\r\n\r\n"
              "{\"error\":{\"code\":\"BUSY\","
              "\"message\":\"too many bodies on their way\",\"details\":{}}}")},
};

/* HTTP/1: what stands in the input buffer: the head, and what is here of the body. */
static struct str http_guard_input(const struct http_conn *c)
{
    const h2o_buffer_t *input = c->sock->input;
    return input == NULL ? STR_NONE : (struct str){input->bytes, input->size};
}

static void http_guard_on_written(h2o_socket_t *sock, const char *error)
{
    (void)error; /* gone or not: the connection ends */
    struct http_conn *c = sock->on_close.data;
    (void)shutdown(h2o_socket_get_fd(sock), SHUT_RDWR);
    h2o_socket_read_start(sock, c->library_read); /* it meets the end, and cleans up */
}

void http__guard_refuse(struct http_conn *c, unsigned status, enum http_cut why)
{
    struct str answer = STR_NONE;
    for (size_t i = 0; i < ARRAY_LEN(http_guard_answers); i++)
        if (http_guard_answers[i].status == status)
            answer = http_guard_answers[i].answer;
    ASSERT(answer.size > 0);
    c->is_refused = true;
    http__conn_count_cut(c, why);
    c->library_read = c->sock->_cb.read;
    if (c->h2 != NULL || c->library_read == NULL || h2o_socket_is_writing(c->sock)) {
        http__conn_cut(c);
        return;
    }
    h2o_socket_read_stop(c->sock);
    h2o_iovec_t vec = h2o_iovec_init(answer.data, answer.size);
    h2o_socket_write(c->sock, &vec, 1, http_guard_on_written);
}

static bool http_guard_may(const struct http_conn *c)
{
    const struct secret *secret = c->worker->server->options.body_secret;
    if (secret == NULL)
        return true;
    struct str value = http_strict_find(http_guard_input(c), STR("authorization"));
    struct str scheme = str_cut(value, ' ', &value);
    return str_eq_nocase(scheme, STR("Bearer")) && secret_matches(secret, str_trim(value));
}

/* Those whose request is whole are with a handler, which has asked for a credential itself. */
static void http_guard_mark(struct http_worker *w)
{
    for (struct http_conn *c = w->conns; c != NULL; c = c->next)
        c->is_served = c->is_refused;
    for (struct http_req *req = w->active; req != NULL; req = req->next) {
        struct http_conn *c = req->h2o->version < 0x200 ? http__conn_of(req->h2o) : NULL;
        if (c != NULL)
            c->is_served = true;
    }
}

static uint64_t http_guard_total(const struct http_server *s)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < s->workers_count; i++)
        total += atomic_load_explicit(&s->workers[i].body_bytes, memory_order_relaxed) +
                 atomic_load_explicit(&s->workers[i].h2_body_bytes, memory_order_relaxed);
    return total;
}

bool http__guard_is_full(const struct http_server *s)
{
    return http_guard_total(s) > s->options.body_total_max;
}

static void http_guard_look(struct http_worker *w)
{
    uint64_t sum = 0;
    struct http_conn *largest = NULL;
    for (struct http_conn *c = w->conns, *next; c != NULL; c = next) {
        next = c->next;
        size_t size = http_guard_input(c).size;
        if (size <= HTTP_BODY_FREE)
            continue;
        sum += size;
        if (c->is_served)
            continue;
        if (!http_guard_may(c))
            http__guard_refuse(c, 401, HTTP_CUT_CREDENTIAL);
        else if (largest == NULL || size > http_guard_input(largest).size)
            largest = c;
    }
    atomic_store_explicit(&w->body_bytes, sum, memory_order_relaxed);
    if (largest != NULL && http__guard_is_full(w->server))
        http__guard_refuse(largest, 503, HTTP_CUT_BODIES);
}

static void http_guard_on_timer(void *arg)
{
    struct http_worker *w = arg;
    bool any = false;
    for (const struct http_conn *c = w->conns; c != NULL && !any; c = c->next)
        any = http_guard_input(c).size > HTTP_BODY_FREE;
    if (any) {
        http_guard_mark(w);
        http_guard_look(w);
    } else {
        atomic_store_explicit(&w->body_bytes, 0, memory_order_relaxed);
    }
    w->guard_runs = any && !w->stopping;
    if (w->guard_runs)
        loop_timer_start(w->loop, &w->guard_timer, HTTP_GUARD_TURN_MS, http_guard_on_timer, w);
}

void http__guard_see(struct http_conn *c)
{
    struct http_worker *w = c->worker;
    if (c->h2 != NULL || http_guard_input(c).size <= HTTP_BODY_FREE || w->guard_runs || w->stopping)
        return;
    w->guard_runs = true;
    loop_timer_start(w->loop, &w->guard_timer, 0, http_guard_on_timer, w);
}

void http__guard_stop(struct http_worker *w)
{
    loop_timer_stop(&w->guard_timer);
    w->guard_runs = false;
}

uint64_t http__guard_total(uint64_t total_max, uint64_t body_size_max)
{
    return total_max != 0 ? total_max : MAX(HTTP_BODY_TOTAL, 4 * body_size_max);
}
