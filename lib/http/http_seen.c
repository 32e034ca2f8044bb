/* SPDX-License-Identifier: Apache-2.0 */
/* What is counted of connections and requests, where it is known. */
#include "http/http_priv.h"
#include <errno.h>
#include <stdio.h>
#include "base/clock.h"

int http__figures_init(struct http_server *s)
{
    struct metrics *m = s->options.metrics;
    struct http_figures *f = &s->figures;
    const char *prefix = s->options.metric_prefix != NULL ? s->options.metric_prefix : "weir";
    char name[128];
    char labels[64];
    if (m == NULL)
        return 0; /* every metric_* takes NULL */
    int n = snprintf(name, sizeof name, "%s_http_request_duration_seconds", prefix);
    if (n < 0 || (size_t)n >= sizeof name)
        return -EINVAL; /* the longest of the names below does not fit */
    f->duration = metrics_latency(m, name, "From a request's last byte to its answer's last", "");
    (void)snprintf(name, sizeof name, "%s_http_requests_total", prefix);
    for (unsigned i = 1; i < ARRAY_LEN(f->requests); i++) {
        (void)snprintf(labels, sizeof labels, "class=\"%uxx\"", i);
        f->requests[i] = metrics_counter(m, name, "Requests answered, by class of status", labels);
    }
    (void)snprintf(name, sizeof name, "%s_http_sent_bytes_total", prefix);
    f->sent_bytes = metrics_counter(m, name, "Bytes of answers' bodies", "");
    (void)snprintf(name, sizeof name, "%s_http_connections", prefix);
    f->connections = metrics_gauge(m, name, "Connections open", "");
    (void)snprintf(name, sizeof name, "%s_http_connections_total", prefix);
    f->connections_total = metrics_counter(m, name, "Connections accepted", "");
    http__cut_figures_init(s);
    (void)snprintf(name, sizeof name, "%s_http_first_byte_seconds", prefix);
    f->first_byte = metrics_latency(m, name, "From a request to its answer's first byte", "");
    (void)snprintf(name, sizeof name, "%s_tls_handshakes_total", prefix);
    for (unsigned i = 0; i < 4; i++) {
        (void)snprintf(labels, sizeof labels, "version=\"%s\",resumed=\"%s\"",
                       i / 2 == 0 ? "TLSv1.2" : "TLSv1.3", i % 2 == 0 ? "false" : "true");
        f->handshakes[i / 2][i % 2] =
            metrics_counter(m, name, "TLS handshakes, by version and resumption", labels);
    }
    (void)snprintf(name, sizeof name, "%s_tls_handshakes_failed_total", prefix);
    f->handshakes_failed =
        metrics_counter(m, name, "TLS handshakes that failed, or that the client left", "");
    return 0;
}

void http__seen_handshake(struct http_server *s, h2o_socket_t *sock, const char *error)
{
    const char *version = h2o_socket_get_ssl_protocol_version(sock);
    if (error != NULL || version == NULL) {
        metric_add(s->figures.handshakes_failed, 1);
        return;
    }
    bool is_13 = strcmp(version, "TLSv1.3") == 0;
    bool resumed = h2o_socket_get_ssl_session_reused(sock) == 1;
    metric_add(s->figures.handshakes[is_13][resumed], 1);
}

void http__seen_begin(struct http_req *req)
{
    struct http_conn *c = http__conn_of(req->h2o);
    if (c == NULL)
        return;
    req->is_reuse = c->is_asked;
    c->is_asked = true;
}

void http__seen_first_byte(struct http_req *req)
{
    if (req->first_us == 0)
        req->first_us = clock_mono_us();
}

void http__seen_end(struct http_server *s, struct http_req *req, const struct http_done *done)
{
    const struct http_figures *f = &s->figures;
    metric_add(f->requests[done->status / 100 <= 5 ? done->status / 100 : 0], 1);
    metric_add(f->sent_bytes, done->bytes);
    metric_observe(f->duration, (double)done->duration_us / 1e6);
    if (done->first_byte_us > 0)
        metric_observe(f->first_byte, (double)done->first_byte_us / 1e6);
    if (req != NULL && s->options.request_done != NULL)
        s->options.request_done(s->options.arg, req, done);
}
