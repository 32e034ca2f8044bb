/* SPDX-License-Identifier: Apache-2.0 */
/* One attempt's settings, and what the library tells of it. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include "fetch/fetch_priv.h"

int fetch__result_of(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
        return -ECONNREFUSED;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return -ECONNRESET;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9: no status line */
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_BAD_FUNCTION_ARGUMENT: /* how it refuses some header lines */
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return -EBADMSG;
    case CURLE_FILESIZE_EXCEEDED:
        return -EFBIG;
    case CURLE_OUT_OF_MEMORY:
        return -ENOMEM;
    case CURLE_URL_MALFORMAT:
        return -EINVAL;
    default:
        return -EIO;
    }
}

static CURLcode fetch_global_result;

static void fetch_global_init(void)
{
    fetch_global_result = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int fetch__global(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, fetch_global_init); /* cannot fail with a valid once */
    return fetch_global_result == CURLE_OK ? 0 : -EIO;
}

uint64_t fetch__easy_moved(CURL *easy)
{
    curl_off_t down = 0;
    curl_off_t up = 0;
    long head = 0;
    long request = 0;
    (void)curl_easy_getinfo(easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
    (void)curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &up);
    (void)curl_easy_getinfo(easy, CURLINFO_HEADER_SIZE, &head);
    (void)curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &request);
    return (uint64_t)down + (uint64_t)up + (uint64_t)head + (uint64_t)request;
}

/* --- what comes in ---------------------------------------------------------------------------- */

static int fetch_easy_give_head(struct fetch_op *op)
{
    long code = 0;
    (void)curl_easy_getinfo(op->easy, CURLINFO_RESPONSE_CODE, &code);
    if (code < 200) /* 100 Continue and the like: the answer is still to come */
        return ++op->heads > FETCH_INTERIM_MAX ? -EBADMSG : 0;
    op->status = (unsigned)code;
    op->head_given = true;
    fetch__close_watch(op);
    fetch_circuit_answers(&op->host->circuit, op);
    if (op->on_head == NULL)
        return 0;
    struct field at[FETCH_FIELDS_MAX];
    struct fetch_head head = {.status = op->status,
                              .size = op->lines.size,
                              .fields = fetch__lines_fields(&op->lines, at)};
    head.type = fields_get(&head.fields, STR("content-type"));
    return op->on_head(op->arg, &head);
}

static int fetch_easy_take_line(struct fetch_op *op, struct str line)
{
    while (line.size > 0 && (line.data[line.size - 1] == '\n' || line.data[line.size - 1] == '\r'))
        line.size--;
    if (line.size == 0)
        return fetch_easy_give_head(op);
    if (!str_starts(line, STR("HTTP/")))
        return fetch__lines_take(&op->lines, line);
    fetch__lines_clear(&op->lines);
    return 0;
}

/* Every line of every head: of interim answers, of the answer, and the trailers behind its body. */
static size_t fetch_easy_on_header(char *data, size_t size, size_t count, void *arg)
{
    struct fetch_op *op = arg;
    size_t n = size * count;
    if (op->is_dead)
        return 0;
    if (op->head_given)
        return n; /* trailers */
    int r = fetch_easy_take_line(op, (struct str){data, n});
    if (op->is_dead)
        return 0; /* cancelled by its own callback */
    if (r < 0) {
        op->callback_result = r;
        return 0;
    }
    return n;
}

static size_t fetch_easy_on_data(char *data, size_t size, size_t count, void *arg)
{
    struct fetch_op *op = arg;
    size_t n = size * count;
    if (op->is_dead)
        return CURL_WRITEFUNC_ERROR;
    if (op->is_paused) {
        op->is_held = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (n == 0)
        return n;
    int r = op->head_given ? 0 : -EBADMSG; /* bytes behind a 101 that nobody asked for */
    if (r == 0 && op->on_data != NULL)
        r = op->on_data(op->arg, (const uint8_t *)data, n);
    if (op->is_dead)
        return CURL_WRITEFUNC_ERROR;
    if (r < 0) {
        op->callback_result = r;
        return CURL_WRITEFUNC_ERROR;
    }
    return n;
}

/* --- what goes out ---------------------------------------------------------------------------- */

static size_t fetch_easy_on_body(char *out, size_t size, size_t count, void *arg)
{
    struct fetch_op *op = arg;
    size_t given = 0;
    if (op->is_dead)
        return CURL_READFUNC_ABORT;
    if (op->body_ended)
        return 0;
    int r = op->on_body(op->arg, (uint8_t *)out, size * count, &given);
    if (op->is_dead)
        return CURL_READFUNC_ABORT;
    if (r == -EAGAIN) {
        op->body_waits = true;
        return CURL_READFUNC_PAUSE;
    }
    op->body_ended = r == -ENODATA;
    if (r < 0 && !op->body_ended) {
        op->callback_result = r;
        return CURL_READFUNC_ABORT;
    }
    ASSERT(given <= size * count);
    return op->body_ended ? 0 : given;
}

/* Of unknown length: the library sends it in chunks, or in frames. */
static bool fetch_easy_set_stream(struct fetch_op *op)
{
    CURL *e = op->easy;
    return curl_easy_setopt(e, CURLOPT_UPLOAD, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_READFUNCTION, fetch_easy_on_body) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_READDATA, op) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, op->method) == CURLE_OK;
}

static bool fetch_easy_set_method(struct fetch_op *op)
{
    CURL *e = op->easy;
    if (op->on_body != NULL)
        return fetch_easy_set_stream(op);
    struct str method = str_of(op->method);
    uint32_t size = 0;
    const uint8_t *data = (const uint8_t *)"";
    if (op->body != NULL)
        data = rbuf_data(op->body, &size);
    bool sends_body = op->body != NULL || str_eq(method, STR("POST")) ||
                      str_eq(method, STR("PUT")) || str_eq(method, STR("PATCH"));
    if (sends_body) { /* lent, not copied: the operation holds a reference */
        if (curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size) != CURLE_OK ||
            curl_easy_setopt(e, CURLOPT_POSTFIELDS, data) != CURLE_OK)
            return false;
    }
    if (op->is_head)
        return curl_easy_setopt(e, CURLOPT_NOBODY, 1L) == CURLE_OK;
    if (str_eq(method, STR("GET")) && !sends_body)
        return curl_easy_setopt(e, CURLOPT_HTTPGET, 1L) == CURLE_OK;
    return curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, op->method) == CURLE_OK;
}

bool fetch__easy_base(CURL *e, const char *url, const char *ca_file, uint32_t connect_ms)
{
    bool is_https = str_starts(str_of(url), STR("https:"));
    /* Refused for a handle that still has the buffer of its last transfer, which is as large. */
    (void)curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 128L << 10);
    return curl_easy_setopt(e, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_USERAGENT, "weir/" WEIR_VERSION) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK && /* none from the environment */
           curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PIPEWAIT, is_https ? 1L : 0L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
           (ca_file == NULL || curl_easy_setopt(e, CURLOPT_CAINFO, ca_file) == CURLE_OK);
}

static bool fetch_easy_set_connection(struct fetch_op *op)
{
    const struct fetch_options *o = &op->fetch->options;
    CURL *e = op->easy;
    if (!fetch__easy_base(e, op->url, o->ca_file, o->connect_ms))
        return false;
    long version = o->http2 ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_1_1;
    if (curl_easy_setopt(e, CURLOPT_HTTP_VERSION, version) != CURLE_OK ||
        curl_easy_setopt(e, CURLOPT_PIPEWAIT, op->is_shared ? 1L : 0L) != CURLE_OK)
        return false;
    if (o->cert_file != NULL && (curl_easy_setopt(e, CURLOPT_SSLCERT, o->cert_file) != CURLE_OK ||
                                 curl_easy_setopt(e, CURLOPT_SSLKEY, o->key_file) != CURLE_OK))
        return false;
    return op->unix_socket == NULL ||
           curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, op->unix_socket) == CURLE_OK;
}

int fetch__easy_set(struct fetch_op *op)
{
    CURL *e = op->easy;
    op->error_text[0] = '\0';
    op->heads = 0;
    fetch__lines_clear(&op->lines);
    bool ok = curl_easy_setopt(e, CURLOPT_PRIVATE, op) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_ERRORBUFFER, op->error_text) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_HTTPHEADER, op->headers) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, fetch_easy_on_header) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_HEADERDATA, op) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, fetch_easy_on_data) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_WRITEDATA, op) == CURLE_OK;
    return ok && fetch_easy_set_connection(op) && fetch_easy_set_method(op) ? 0 : -EIO;
}
