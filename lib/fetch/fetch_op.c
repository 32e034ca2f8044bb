/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/enc.h"
#include "base/id.h"
#include "fetch/fetch_priv.h"

static int op_give_head(struct fetch_op *op)
{
    op->head_given = true;
    if (op->cancelled || op->request.on_head == NULL)
        return 0;
    struct fetch_head head = {.status = op->status, .size = op->size, .type = str_of(op->type)};
    return op->request.on_head(op->request.arg, &head);
}

/* "HTTP/1.1 200 OK" or "HTTP/2 200". */
static void op_read_status(struct fetch_op *op, struct str line)
{
    struct str rest;
    uint64_t status = 0;
    (void)str_cut(line, ' ', &rest);
    fetch_op_restart(op);
    if (rest.size >= 3 && str_to_u64((struct str){rest.data, 3}, &status) == 0)
        op->status = (unsigned)status;
}

static size_t op_on_header(char *data, size_t one, size_t count, void *arg)
{
    struct fetch_op *op = arg;
    struct str line = {data, one * count};
    size_t whole = line.size;
    op->active_ms = clock_mono_ms();
    while (line.size > 0 && (line.data[line.size - 1] == '\n' || line.data[line.size - 1] == '\r'))
        line.size--;
    if (str_starts(line, STR("HTTP/"))) {
        op_read_status(op, line);
        return whole;
    }
    if (line.size == 0) {
        if (op->status >= 200 && !op->head_given)
            op->error = op_give_head(op);
        return op->error < 0 || op->cancelled ? 0 : whole; /* another number ends the transfer */
    }
    struct str value;
    struct str name = str_cut(line, ':', &value);
    value = str_trim(value);
    uint64_t size = 0;
    if (str_eq_nocase(name, STR("content-length")) && str_to_u64(value, &size) == 0)
        op->size = size;
    else if (str_eq_nocase(name, STR("content-type")) &&
             str_copy(value, op->type, sizeof op->type) < 0)
        op->type[0] = 0; /* too long to be one that we know */
    return whole;
}

static size_t op_on_data(char *data, size_t one, size_t count, void *arg)
{
    struct fetch_op *op = arg;
    size_t size = one * count;
    op->active_ms = clock_mono_ms();
    if (op->cancelled)
        return 0;
    if (op->request.on_data != NULL)
        op->error = op->request.on_data(op->request.arg, (const uint8_t *)data, size);
    return op->error < 0 || op->cancelled ? CURL_WRITEFUNC_ERROR : size;
}

/* Sending counts as activity too. */
static int op_on_progress(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                          curl_off_t up)
{
    struct fetch_op *op = arg;
    (void)down_total;
    (void)down;
    (void)up_total;
    if (up != op->sent) {
        op->sent = up;
        op->active_ms = clock_mono_ms();
    }
    return op->cancelled ? 1 : 0;
}

static int op_add_header(struct fetch_op *op, const struct buf *line)
{
    struct curl_slist *list =
        buf_error(line) < 0 ? NULL : curl_slist_append(op->headers, line->data);
    if (list == NULL)
        return -ENOMEM;
    op->headers = list;
    return 0;
}

static int op_add_headers(struct fetch_op *op, const struct fetch_request *request)
{
    char trace[ID_TEXT_SIZE];
    char span[ID_TEXT_SIZE];
    id_text(trace);
    id_text(span);
    CLEAN_BUF struct buf line = BUF_EMPTY;
    buf_printf(&line, "traceparent: 00-%.32s-%.16s-01",
               request->trace_id != NULL ? request->trace_id : trace, span);
    int r = op_add_header(op, &line);
    if (r == 0 && request->bearer != NULL) {
        buf_clear(&line);
        buf_printf(&line, "Authorization: Bearer %s", request->bearer);
        r = op_add_header(op, &line);
        explicit_bzero(line.data, line.size);
    }
    if (r == 0 && request->body != NULL) {
        buf_clear(&line);
        buf_printf(&line, "Content-Type: %s",
                   request->type != NULL ? request->type : "application/octet-stream");
        r = op_add_header(op, &line);
        buf_clear(&line);
        buf_puts(&line, "Expect:"); /* no 100-continue: a round trip for nothing between ours */
        if (r == 0)
            r = op_add_header(op, &line);
    }
    return r;
}

static void op_set_method(struct fetch_op *op, const struct fetch_request *request)
{
    CURL *e = op->easy;
    struct str method = str_of(request->method);
    op->idempotent = !str_eq(method, STR("POST")) && !str_eq(method, STR("PATCH"));
    if (str_eq(method, STR("HEAD"))) {
        (void)curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
        return;
    }
    bool sends = op->body != NULL || str_eq(method, STR("POST")) || str_eq(method, STR("PUT"));
    if (sends) {
        uint32_t size = 0;
        const uint8_t *data = op->body != NULL ? rbuf_data(op->body, &size) : NULL;
        (void)curl_easy_setopt(e, CURLOPT_POSTFIELDS, data != NULL ? (const char *)data : "");
        (void)curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
    }
    (void)curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, request->method);
}

/* Options that could fail for want of memory are checked; the others are numbers and pointers. */
static int op_set_options(struct fetch_op *op, const struct fetch_request *request)
{
    CURL *e = op->easy;
    const struct fetch *f = op->fetch;
    (void)curl_easy_setopt(e, CURLOPT_PRIVATE, op);
    (void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, op_on_progress);
    (void)curl_easy_setopt(e, CURLOPT_XFERINFODATA, op);
    (void)curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, op_on_header);
    (void)curl_easy_setopt(e, CURLOPT_HEADERDATA, op);
    (void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, op_on_data);
    (void)curl_easy_setopt(e, CURLOPT_WRITEDATA, op);
    (void)curl_easy_setopt(e, CURLOPT_HTTPHEADER, op->headers);
    (void)curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)f->options.connect_ms);
    (void)curl_easy_setopt(e, CURLOPT_BUFFERSIZE, FETCH_BUFFER_SIZE);
    (void)curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    (void)curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
    (void)curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
    if (curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK ||
        curl_easy_setopt(e, CURLOPT_PROXY, "") != CURLE_OK || /* not the environment's */
        curl_easy_setopt(e, CURLOPT_URL, op->url) != CURLE_OK)
        return -ENOMEM;
    if (f->ca_file != NULL && curl_easy_setopt(e, CURLOPT_CAINFO, f->ca_file) != CURLE_OK)
        return -ENOMEM;
    if (request->unix_socket != NULL &&
        curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, request->unix_socket) != CURLE_OK)
        return -ENOMEM;
    op_set_method(op, request);
    return 0;
}

/* "scheme://authority" of a URL. */
static struct str op_host(const char *url)
{
    const char *authority = strstr(url, "://");
    if (authority == NULL)
        return str_of(url);
    authority += strlen("://");
    size_t size = (size_t)(authority - url) + strcspn(authority, "/?#");
    return (struct str){url, size};
}

int fetch_op_new(struct fetch *f, const struct fetch_request *request, struct fetch_op **ret)
{
    ASSERT(request->url != NULL && request->method != NULL);
    ASSERT(request->on_done != NULL);
    struct fetch_op *op = calloc(1, sizeof *op);
    if (op == NULL)
        return -ENOMEM;
    op->magic = FETCH_OP_MAGIC;
    op->fetch = f;
    op->request = *request;
    op->body = request->body != NULL ? rbuf_ref(request->body) : NULL;
    op->url = str_dup(str_of(request->url));
    op->easy = f->spare_count > 0 ? f->spare[--f->spare_count] : curl_easy_init();
    fetch_op_restart(op);
    int r = op->url == NULL || op->easy == NULL ? -ENOMEM : op_add_headers(op, request);
    if (r == 0)
        r = op_set_options(op, request);
    if (r < 0) {
        fetch_op_free(op);
        return r;
    }
    op->host = op_host(op->url);
    op->active_ms = clock_mono_ms();
    *ret = op;
    return 0;
}

void fetch_op_restart(struct fetch_op *op)
{
    op->status = 0;
    op->size = UINT64_MAX;
    op->type[0] = 0;
}

void fetch_op_free(struct fetch_op *op)
{
    ASSERT(op->magic == FETCH_OP_MAGIC);
    ASSERT(!op->added);
    struct fetch *f = op->fetch;
    loop_timer_stop(&op->wait);
    loop_timer_stop(&op->stall);
    if (op->easy != NULL && f->spare_count < FETCH_SPARE_MAX) {
        curl_easy_reset(op->easy); /* keeps what makes the next one quick */
        f->spare[f->spare_count++] = op->easy;
    } else {
        curl_easy_cleanup(op->easy);
    }
    curl_slist_free_all(op->headers);
    rbuf_unref(op->body);
    free(op->url);
    MAGIC_CLEAR(op);
    free(op);
}

int fetch_op_result(const struct fetch_op *op, CURLcode code)
{
    if (op->error < 0)
        return op->error;
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
        return -ECONNREFUSED;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return -ECONNRESET;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_WEIRD_SERVER_REPLY:
        return -EBADMSG;
    case CURLE_OUT_OF_MEMORY:
        return -ENOMEM;
    default:
        return -EIO;
    }
}
