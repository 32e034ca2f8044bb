/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1: a request whose route takes its body piece by piece is cut in two before the library sees
 * it. The library gets the head without what announces a body, and calls the handler at once; the
 * bytes behind the head are ours:
 *
 *   WAIT: the beginning of what may be such a request; the library gets nothing of it yet
 *   TAKE: the whole head is here -> (100 Continue) -> the library's turn -> its handler joins ->
 *         the socket gets a buffer of its own for the body, and a read callback of ours
 *
 * A head that is not beyond doubt (http_strict.h) is not cut: the library reads the body by itself,
 * and it is refused then, as everywhere. The connection ends behind such a body, however its length
 * was told: nothing that comes behind it is ever taken for a request. */
#include <errno.h>
#include <sys/socket.h>
#include "http/http_intake.h"
#include "http/http_strict.h"

/* --- is it one? ------------------------------------------------------------------------------- */

/* The head at the front, with its empty line; STR_NONE: it is not all here. As the library does, a
 * line feed alone is taken for a line's end here: such heads are refused later. */
static struct str http_intake_head(struct str bytes)
{
    for (size_t i = 0; i + 1 < bytes.size; i++) {
        if (bytes.data[i] != '\n')
            continue;
        if (bytes.data[i + 1] == '\n')
            return (struct str){bytes.data, i + 2};
        if (i + 2 < bytes.size && bytes.data[i + 1] == '\r' && bytes.data[i + 2] == '\n')
            return (struct str){bytes.data, i + 3};
    }
    return STR_NONE;
}

static const struct http_route_entry *http_intake_route(const struct http_server *s,
                                                        struct str head)
{
    struct str rest;
    struct str method = str_cut(head, ' ', &rest);
    struct str target = str_cut(rest, ' ', &rest);
    unsigned methods;
    const struct http_route_entry *e =
        http_router_find(&s->router, str_cut(target, '?', &rest), http_method_of(method), &methods);
    return e != NULL && e->streams ? e : NULL;
}

static bool http_intake_is_ours(struct str line)
{
    struct str value;
    struct str key = str_cut(line, ':', &value);
    return str_eq_nocase(key, STR("content-length")) ||
           str_eq_nocase(key, STR("transfer-encoding")) || str_eq_nocase(key, STR("expect"));
}

/* The head without the lines that tell of a body. */
static h2o_buffer_t *http_intake_cut_head(struct str head)
{
    h2o_buffer_t *b;
    h2o_buffer_init(&b, &h2o_socket_buffer_prototype);
    h2o_iovec_t room = h2o_buffer_reserve(&b, head.size); /* aborts without memory, as it does */
    while (head.size > 0) {
        struct str line = str_cut(head, '\n', &head);
        if (http_intake_is_ours(line))
            continue;
        memcpy(room.base + b->size, line.data, line.size + 1);
        b->size += line.size + 1;
    }
    return b;
}

/* --- reading ---------------------------------------------------------------------------------- */

static void http_intake_on_read(h2o_socket_t *sock, const char *error)
{
    struct http_conn *c = sock->on_close.data;
    struct http_intake *x = c->intakes;
    ASSERT(x != NULL);
    ASSERT(x->is_swapped);
    if (error != NULL) {
        x->is_reading = false;
        h2o_socket_read_stop(sock);
        http__intake_break(x, -ECONNRESET);
        return;
    }
    x->came += sock->bytes_read;
    http__intake_turn(x);
}

void http__intake_read(struct http_intake *x, bool on)
{
    if (x->is_reading == on || !x->is_swapped || x->is_gone)
        return;
    x->is_reading = on;
    if (on)
        h2o_socket_read_start(x->conn->sock, http_intake_on_read);
    else
        h2o_socket_read_stop(x->conn->sock);
}

/* The library has the head, and its handler the request: from now on what is read is the body. */
static void http_intake_swap(struct http_intake *x)
{
    h2o_socket_t *sock = x->conn->sock;
    int window = HTTP_INTAKE_WINDOW / 2; /* the kernel doubles it */
    /* One look at a socket reads all that the kernel has: that is to be no more than this. */
    (void)setsockopt(h2o_socket_get_fd(sock), SOL_SOCKET, SO_RCVBUF, &window,
                     sizeof window); /* else it may be a few megabytes */
    x->head = sock->input;
    sock->input = x->input;
    x->is_swapped = true;
    http__intake_turn(x);
}

/* --- handing on ------------------------------------------------------------------------------- */

static void http_intake_hand_on(struct http_conn *c)
{
    struct http_worker *w = c->worker;
    w->reading = c;
    w->http1_read(c->sock, NULL);
    bool is_there = w->reading == c;
    w->reading = NULL;
    if (!is_there)
        return;
    struct http_intake *x = c->intakes;
    if (x != NULL && x->req != NULL)
        http_intake_swap(x);
    else if (x != NULL) /* the library has answered by itself, and closes */
        http__intake_free(x);
}

static void http_intake_on_continued(h2o_socket_t *sock, const char *error)
{
    struct http_conn *c = sock->on_close.data;
    ASSERT(c->intakes != NULL);
    c->intakes->is_continuing = false;
    if (error == NULL) {
        http_intake_hand_on(c);
        return;
    }
    http__intake_free(c->intakes);
    c->worker->http1_read(sock, error);
}

static void http_intake_continue(struct http_intake *x)
{
    h2o_iovec_t answer = h2o_iovec_init(H2O_STRLIT("HTTP/1.1 100 Continue\r\n\r\n"));
    x->is_continuing = true;
    h2o_socket_read_stop(x->conn->sock);
    h2o_socket_write(x->conn->sock, &answer, 1, http_intake_on_continued);
}

/* Cuts what stands in the socket's buffer. False: it stays as it is. */
static bool http_intake_take(struct http_conn *c, struct str head, uint64_t size_max)
{
    const char *why;
    h2o_socket_t *sock = c->sock;
    struct str length = http_strict_find(head, STR("content-length"));
    struct str coding = http_strict_find(head, STR("transfer-encoding"));
    struct str expect = http_strict_find(head, STR("expect"));
    uint64_t size = HTTP_SIZE_UNKNOWN;
    if (http_strict_check(head, &why) < 0 || (length.data == NULL && coding.data == NULL) ||
        (length.data != NULL && (str_to_u64(length, &size) < 0 || size == HTTP_SIZE_UNKNOWN)) ||
        (expect.data != NULL && !str_eq_nocase(expect, STR("100-continue"))))
        return false;
    struct http_intake *x = http__intake_new(
        c, coding.data != NULL ? HTTP_INTAKE_CHUNKED : HTTP_INTAKE_SIZED, size, size_max);
    if (x == NULL)
        return false;
    size_t rest = sock->input->size - head.size;
    bool is_expected = expect.data != NULL && rest == 0;
    h2o_buffer_t *cut = http_intake_cut_head(head);
    if (rest > 0) {
        h2o_iovec_t room = h2o_buffer_reserve(&x->input, rest);
        memcpy(room.base, sock->input->bytes + head.size, rest);
        x->input->size = rest;
        x->came = rest;
    }
    h2o_buffer_dispose(&sock->input);
    sock->input = cut;
    if (is_expected)
        http_intake_continue(x);
    else
        http_intake_hand_on(c);
    return true;
}

bool http__intake_see(struct http_conn *c)
{
    const h2o_buffer_t *input = c->sock->input;
    const struct http_server *s = c->worker->server;
    struct str bytes = {input->bytes, input->size};
    if (c->intakes != NULL)
        return true; /* a 100 (Continue) is on its way */
    if (c->requests > 0 || c->is_refused || c->is_seen ||
        !http_router_may_stream(&s->router, bytes))
        return false;
    struct str head = http_intake_head(bytes);
    if (head.data == NULL)
        return true; /* it waits */
    const struct http_route_entry *e = http_intake_route(s, head);
    return e != NULL && http_intake_take(c, head, e->body_max);
}
