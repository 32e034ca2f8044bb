/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/fetch.h"
#include <errno.h>
#include <stdlib.h>
#include "fetch/fetch_priv.h"

#define FETCH_CLIENT_TURN_MS 1000

struct fetch_client {
    uint32_t magic;
#define FETCH_CLIENT_MAGIC UINT32_C(0xfe7c11e7)
    struct loop *loop;
    struct fetch *fetch;
};

struct fetch_run {
    struct buf *out;
    size_t size_max;
    size_t size_before;
    bool is_done;
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
        (void)fetch_client_free(c);
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
    c->fetch = fetch_free(c->fetch);
    c->loop = loop_free(c->loop);
    MAGIC_CLEAR(c);
    free(c);
    return NULL;
}

static int fetch_run_on_data(void *arg, const uint8_t *data, size_t size)
{
    struct fetch_run *run = arg;
    if (size > run->size_max - (run->out->size - run->size_before))
        return -EFBIG;
    buf_put(run->out, data, size);
    return buf_error(run->out);
}

static void fetch_run_on_done(void *arg, int res, unsigned status)
{
    struct fetch_run *run = arg;
    run->res = res;
    run->status = status;
    run->is_done = true;
}

/* out as it was: a failure leaves no half of an answer in it. */
static void fetch_run_undo(struct fetch_run *run)
{
    run->out->size = run->size_before;
    if (run->out->data != NULL)
        run->out->data[run->size_before] = '\0';
}

int fetch_client_run(struct fetch_client *c, const struct fetch_request *request, size_t size_max,
                     unsigned *ret_status, struct buf *out, struct err *err)
{
    ASSERT(c != NULL);
    ASSERT(c->magic == FETCH_CLIENT_MAGIC);
    struct buf nowhere = BUF_EMPTY;
    struct fetch_run run = {.out = out != NULL ? out : &nowhere, .size_max = size_max};
    run.size_before = run.out->size;
    struct fetch_request q = *request;
    q.shared = true; /* its callbacks do not pause */
    q.on_head = NULL;
    q.on_data = fetch_run_on_data;
    q.on_done = fetch_run_on_done;
    q.arg = &run;
    struct str target = str_cut(str_of(request->url), '?', &(struct str){0});
    int r = fetch_start(c->fetch, &q, &(struct fetch_op *){NULL});
    if (r < 0)
        return err_errno(err, r, "%s " STR_FMT, request->method, STR_ARG(target));
    while (!run.is_done)
        loop_run_once(c->loop, FETCH_CLIENT_TURN_MS);
    buf_free(&nowhere);
    if (run.res < 0) {
        if (out != NULL)
            fetch_run_undo(&run);
        const char *why = c->fetch->error_text;
        if (run.res == -EFBIG)
            return err_set(err, run.res, "%s " STR_FMT ": the answer is larger than %zu bytes",
                           request->method, STR_ARG(target), size_max);
        if (why[0] == '\0')
            return err_errno(err, run.res, "%s " STR_FMT, request->method, STR_ARG(target));
        return err_set(err, run.res, "%s " STR_FMT ": %s", request->method, STR_ARG(target), why);
    }
    *ret_status = run.status;
    return 0;
}
