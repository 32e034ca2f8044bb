/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that are sent no faster than so many bytes a second. The body's pump asks before each
 * piece how large it may be; where nothing may go it sleeps on the request's timer. */
#include "http/http_priv.h"
#include "base/clock.h"

void http_res_pace(struct http_req *req, uint64_t rate, uint64_t burst, enum http_pace_by by)
{
    http__req_check(req);
    if (!http__can_reply(req) || req->conn == NULL)
        return;
    req->pace.rate = rate;
    req->pace.burst = burst;
    req->pace.by_address = by == HTTP_PACE_ADDRESS && http__conn_address(req->conn) != NULL;
}

uint64_t http__pace_ask(struct http_req *req, uint64_t want, uint64_t *ret_wait_us)
{
    const struct http_pace *p = &req->pace;
    struct http_conn *c = req->conn;
    uint64_t now_us = clock_mono_us();
    ASSERT(p->rate > 0);
    if (p->by_address)
        return http_limit_ask(req->worker->server->limits, c->address, p->rate, p->burst, now_us,
                              want, ret_wait_us);
    return http_bucket_ask(&c->bucket, p->rate, p->burst, now_us, want, ret_wait_us);
}

void http__pace_take(struct http_req *req, uint64_t bytes)
{
    if (req->pace.by_address)
        http_limit_take(req->worker->server->limits, req->conn->address, bytes);
    else
        http_bucket_take(&req->conn->bucket, bytes);
}
