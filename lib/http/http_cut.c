/* SPDX-License-Identifier: Apache-2.0 */
/* Ends responses from outside: of a viewer whose session was ended, say. HTTP/1 loses the whole
 * connection, at once; on HTTP/2 the stream is reset as soon as the library asks for more, which is
 * one piece at most. */
#include "http/http_priv.h"

void http_req_mark(struct http_req *req, uint64_t mark)
{
    http__req_check(req);
    req->mark = mark;
}

static struct http_worker *http_worker_of(struct http_server *s, const struct loop *loop)
{
    for (unsigned i = 0; i < s->workers_count; i++)
        if (s->workers[i].loop == loop)
            return &s->workers[i];
    return NULL;
}

unsigned http_cut_marked(struct http_server *s, struct loop *loop, uint64_t mark)
{
    ASSERT(s->magic == HTTP_SERVER_MAGIC);
    ASSERT(mark != 0);
    struct http_worker *w = http_worker_of(s, loop);
    unsigned count = 0;
    if (w == NULL)
        return 0;
    for (struct http_req *req = w->active; req != NULL; req = req->next) {
        if (req->mark != mark || req->is_cut)
            continue;
        req->is_cut = true;
        count++;
        struct http_conn *conn = req->h2o->version < 0x200 ? http__conn_of(req->h2o) : NULL;
        if (conn != NULL)
            http__conn_cut(conn);
    }
    /* A response that ends leaves the list, and may take others of its connection with it. */
    for (struct http_req *req = count > 0 ? w->active : NULL; req != NULL;) {
        if (req->is_cut && req->body.waiting && !req->body.ended) {
            http__body_abort(req);
            req = w->active;
        } else {
            req = req->next;
        }
    }
    return count;
}
