/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include "fetch/fetch.h"

#define FETCH_CLIENT_TURN_MS 1000 /* at most between two looks at whether it is done */

struct fetch_client {
    uint32_t magic;
#define FETCH_CLIENT_MAGIC UINT32_C(0xfe7cc11e)
    struct loop *loop;
    struct fetch *fetch;
};

struct fetch_client_call {
    struct buf *out;
    size_t size_max;
    size_t size;
    bool done;
    int res;
    unsigned status;
};

int fetch_client_new(const struct fetch_options *options, struct fetch_client **ret)
{
    struct fetch_client *c = calloc(1, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    c->magic = FETCH_CLIENT_MAGIC;
    int r = loop_new(&c->loop);
    if (r == 0)
        r = fetch_new(c->loop, options, &c->fetch);
    if (r < 0) {
        fetch_client_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

struct fetch_client *fetch_client_free(struct fetch_client *c)
{
    if (c == NULL)
        return NULL;
    ASSERT(c->magic == FETCH_CLIENT_MAGIC);
    fetch_free(c->fetch);
    loop_free(c->loop);
    MAGIC_CLEAR(c);
    free(c);
    return NULL;
}

static int fetch_client_on_data(void *arg, const uint8_t *data, size_t size)
{
    struct fetch_client_call *call = arg;
    if (size > call->size_max - call->size)
        return -EFBIG;
    call->size += size;
    buf_put(call->out, data, size);
    return buf_error(call->out);
}

static void fetch_client_on_done(void *arg, int res, unsigned status)
{
    struct fetch_client_call *call = arg;
    call->res = res;
    call->status = status;
    call->done = true;
}

static const char *fetch_client_reason(int res)
{
    switch (res) {
    case -ECONNREFUSED:
        return "cannot connect";
    case -ETIMEDOUT:
        return "no answer in time";
    case -ECONNRESET:
        return "the connection broke off";
    case -EBADMSG:
        return "not a proper answer, or its certificate is not trusted";
    case -EHOSTDOWN:
        return "it has failed repeatedly and is left alone for a moment";
    case -EFBIG:
        return "the answer is too large";
    default:
        return strerror(-res);
    }
}

int fetch_client_run(struct fetch_client *c, const struct fetch_request *request, size_t size_max,
                     unsigned *ret_status, struct buf *out, struct err *err)
{
    ASSERT(c != NULL && c->magic == FETCH_CLIENT_MAGIC);
    struct fetch_client_call call = {.out = out, .size_max = size_max};
    struct fetch_request mine = *request;
    struct fetch_op *op = NULL;
    mine.on_head = NULL;
    mine.on_data = fetch_client_on_data;
    mine.on_done = fetch_client_on_done;
    mine.arg = &call;
    int r = fetch_start(c->fetch, &mine, &op);
    if (r < 0)
        return err_errno(err, r, "asking %s", request->url);
    while (!call.done)
        loop_run_once(c->loop, FETCH_CLIENT_TURN_MS);
    if (call.res < 0)
        return err_set(err, call.res, "%s: %s", request->url, fetch_client_reason(call.res));
    *ret_status = call.status;
    return 0;
}
