/* SPDX-License-Identifier: Apache-2.0 */
/* One line a request, when the library disposes it: also for those that it answered itself (400,
 * 413), which never were a struct http_req. */
#include "http/http_priv.h"
#include <time.h>
#include "base/clock.h"
#include "base/log.h"
#include "http/http_cmcd.h"
#include "http/http_text.h"

#define HTTP_STATUS_CLIENT_LEFT 499  /* as nginx has it: no answer, because nobody waits for it */
#define HTTP_LOG_TEXT_MAX       1024 /* of a value that a stranger chose */
#define HTTP_LOG_CMCD_FIELDS    8

static struct str http_log_str(h2o_iovec_t v)
{
    return (struct str){v.base, v.len};
}

/* The last of that (lower-case) name: where there are several, ours is at the end. */
static struct str http_log_header(const h2o_headers_t *headers, struct str name)
{
    for (size_t i = headers->size; i > 0; i--) {
        const h2o_header_t *h = &headers->entries[i - 1];
        if (str_eq(http_log_str(*h->name), name))
            return http_log_str(h->value);
    }
    return STR_NONE;
}

/* ,"key":"value" where there is one; cut to a bounded length, tokens redacted. */
static void http_log_text(struct buf *line, const char *key, struct str value)
{
    if (value.data == NULL)
        return;
    CLEAN_BUF struct buf clean = BUF_EMPTY;
    value.size = MIN(value.size, (size_t)HTTP_LOG_TEXT_MAX);
    http_target_redact(value, &clean);
    buf_printf(line, ",\"%s\":", key);
    buf_put_json_string(line, buf_str(&clean));
    if (buf_error(&clean) < 0)
        line->error = buf_error(&clean);
}

/* The client did not get all of it. */
static bool http_log_is_cut_short(const struct http_req *req, const h2o_req_t *h2o)
{
    if (!req->answered || req->failed)
        return true;
    if (req->expect == UINT64_MAX)
        return req->body.started && !req->body.ended;
    return h2o->bytes_sent < req->expect;
}

static void http_log_cmcd(struct buf *line, const h2o_req_t *h2o)
{
    struct field at[HTTP_LOG_CMCD_FIELDS];
    struct fields fields = {at, 0};
    struct str query;
    struct http_cmcd cmcd;
    for (size_t i = 0; i < h2o->headers.size && fields.count < HTTP_LOG_CMCD_FIELDS; i++) {
        const h2o_header_t *h = &h2o->headers.entries[i];
        if (str_starts(http_log_str(*h->name), STR("cmcd-")))
            at[fields.count++] = (struct field){http_log_str(*h->name), http_log_str(h->value)};
    }
    (void)str_cut(http_log_str(h2o->input.path), '?', &query);
    if (!http_cmcd_read(&fields, query, &cmcd))
        return;
    buf_puts(line, ",\"cmcd\":");
    http_cmcd_json(&cmcd, line);
}

static void http_log_connection(struct buf *line, const struct http_req *req, h2o_req_t *h2o)
{
    const struct http_conn *c = http__conn_of(h2o);
    if (req->is_reuse)
        buf_puts(line, ",\"reused\":true");
    const char *tls = c == NULL ? NULL : h2o_socket_get_ssl_protocol_version(c->sock);
    if (tls == NULL)
        return;
    http_log_text(line, "tls", str_of(tls));
    http_log_text(line, "cipher", str_of(h2o_socket_get_ssl_cipher(c->sock)));
    buf_printf(line, ",\"resumed\":%s",
               h2o_socket_get_ssl_session_reused(c->sock) == 1 ? "true" : "false");
}

static void http_log_milliseconds(struct buf *line, const char *key, uint64_t us)
{
    buf_printf(line, ",\"%s\":%llu.%03llu", key, (unsigned long long)(us / 1000),
               (unsigned long long)(us % 1000));
}

static void http_log_json(struct http_req *req, h2o_req_t *h2o, const struct http_done *done,
                          struct str target, bool cut_short)
{
    char protocol[16];
    (void)h2o_stringify_protocol_version(protocol, h2o->version);
    CLEAN_BUF struct buf line = BUF_EMPTY;
    buf_puts(&line, "\"method\":");
    buf_put_json_string(&line, http_log_str(h2o->input.method));
    buf_puts(&line, ",\"path\":");
    buf_put_json_string(&line, target);
    buf_printf(&line, ",\"status\":%u,\"bytes\":%llu", done->status,
               (unsigned long long)done->bytes);
    http_log_milliseconds(&line, "duration_ms", done->duration_us);
    if (done->first_byte_us > 0)
        http_log_milliseconds(&line, "ttfb_ms", done->first_byte_us);
    buf_puts(&line, ",\"peer\":");
    buf_put_json_string(&line, req == NULL ? STR_NONE : http_req_peer(req));
    buf_printf(&line, ",\"protocol\":\"%s\",\"user_agent\":", protocol);
    struct str agent = http_log_header(&h2o->headers, STR("user-agent"));
    agent.size = MIN(agent.size, (size_t)HTTP_LOG_TEXT_MAX);
    buf_put_json_string(&line, agent);
    buf_printf(&line, ",\"request_id\":\"%s\"", req == NULL ? "" : req->id);
    http_log_text(&line, "host", http_log_str(h2o->input.authority));
    http_log_text(&line, "referer", http_log_header(&h2o->headers, STR("referer")));
    http_log_text(&line, "range", http_log_header(&h2o->headers, STR("range")));
    http_log_text(&line, "cache_status", http_log_header(&h2o->res.headers, STR("cache-status")));
    if (req != NULL)
        http_log_connection(&line, req, h2o);
    http_log_cmcd(&line, h2o);
    if (cut_short)
        buf_puts(&line, ",\"cut_short\":true");
    if (buf_error(&line) == 0)
        log_fields(LOG_INFO, buf_str(&line), "request");
}

/* --- the combined form ------------------------------------------------------------------------ */

/* Quotes, backslashes and what is not printable as \xHH, so that a line stays a line. */
static void http_log_quoted(struct buf *line, struct str value)
{
    CLEAN_BUF struct buf clean = BUF_EMPTY;
    value.size = MIN(value.size, (size_t)HTTP_LOG_TEXT_MAX);
    http_target_redact(value, &clean);
    if (value.size == 0)
        buf_putc(line, '-');
    for (size_t i = 0; i < clean.size; i++) {
        unsigned char c = (unsigned char)clean.data[i];
        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            buf_printf(line, "\\x%02X", c);
        else
            buf_putc(line, (char)c);
    }
}

static void http_log_combined(struct http_req *req, const h2o_req_t *h2o,
                              const struct http_done *done, struct str target)
{
    char when[64];
    char protocol[16];
    struct tm t;
    time_t now = (time_t)clock_real_s();
    (void)gmtime_r(&now, &t);
    (void)strftime(when, sizeof when, "%d/%b/%Y:%H:%M:%S +0000", &t); /* sized to fit */
    (void)h2o_stringify_protocol_version(protocol, h2o->version);
    CLEAN_BUF struct buf line = BUF_EMPTY;
    struct str peer = req == NULL ? STR_NONE : http_req_peer(req);
    buf_printf(&line, "%s - - [%s] \"", peer.size == 0 ? "-" : peer.data, when);
    http_log_quoted(&line, http_log_str(h2o->input.method));
    buf_putc(&line, ' ');
    http_log_quoted(&line, target);
    buf_printf(&line, " %s\" %u %llu \"", protocol, done->status, (unsigned long long)done->bytes);
    http_log_quoted(&line, http_log_header(&h2o->headers, STR("referer")));
    buf_puts(&line, "\" \"");
    http_log_quoted(&line, http_log_header(&h2o->headers, STR("user-agent")));
    buf_puts(&line, "\"\n");
    if (buf_error(&line) == 0)
        log_text(LOG_INFO, buf_str(&line));
}

static void http_log_line(enum http_access_log form, struct http_req *req, h2o_req_t *h2o,
                          const struct http_done *done, bool cut_short)
{
    CLEAN_BUF struct buf target = BUF_EMPTY;
    http_target_redact(http_log_str(h2o->input.path), &target);
    if (buf_error(&target) < 0)
        return;
    if (form == HTTP_LOG_COMBINED)
        http_log_combined(req, h2o, done, buf_str(&target));
    else
        http_log_json(req, h2o, done, buf_str(&target), cut_short);
}

void http__log_access(h2o_logger_t *self, h2o_req_t *h2o)
{
    struct http_server *s = ((struct http_logger *)(void *)self)->server;
    struct http_req *req = http__req_of(h2o);
    bool cut_short = req != NULL && http_log_is_cut_short(req, h2o);
    struct http_done done = {
        .status = h2o->res.status > 0 ? (unsigned)h2o->res.status : HTTP_STATUS_CLIENT_LEFT,
        .bytes = h2o->bytes_sent,
    };
    if (req != NULL) {
        done.duration_us = clock_mono_us() - req->start_us;
        done.first_byte_us = req->first_us == 0 ? 0 : MAX(req->first_us - req->start_us, 1);
    }
    http__seen_end(s, req, &done);
    if (cut_short && !req->failed && h2o->version >= 0x200) {
        struct http_conn *c = http__conn_of(h2o);
        if (c != NULL)
            http__conn_cancelled(c);
    }
    if (req == NULL && h2o->version < 0x200 && h2o->res.status == 413)
        http__linger_behind(h2o);
    if (s->options.access_log != HTTP_LOG_OFF)
        http_log_line(s->options.access_log, req, h2o, &done, cut_short);
}
