/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the frame share about a call. */
#pragma once
#include "control/api/call.h"

struct call_note {
    struct call_note *next;
    const char *name;
    struct str value;
};

struct call *call__new(struct control *c, struct http_req *req, const struct operation *op);
struct call *call__free(struct call *c);

/* call_read.c: what was asked, into the call: 0 or -EPROTO with the fault, -ENOMEM. Headers apart:
 * they are held against the document before an answer that was kept is given. */
MUST_USE int call__read_headers(struct call *c);
MUST_USE int call__read(struct call *c, const struct str values[SPEC_PATH_MAX]);

/* call_render.c: what is answered, into bytes. Any thread. */
void call__render(struct call *c);
bool call__has_newest(const struct call *c); /* the client has the answer of this etag */
json_t *call__fault_json(const struct fault *fault, json_t *details); /* takes details over */

/* call_reply.c */
void call__settle(struct call *c); /* behind call__render, on a pool thread: what is stored of it */
void call__safe_headers(const struct live *l, struct http_req *req);
void call__reply_fault(struct control *c, struct http_req *req, const struct fault *fault);
