/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/ocsp.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"

#define OCSP_LOOK_MS    60000 /* between two walks over the certificates */
#define OCSP_FIRST_MS   1
#define OCSP_ANSWER_MAX (64u << 10)
#define OCSP_RETRIES    2

struct ocsp {
    uint32_t magic;
#define OCSP_MAGIC UINT32_C(0x0c59a7e4)
    struct edge_worker *worker;
    struct fetch *fetch;
    struct fetch_op *op; /* NULL: nothing under way */
    struct loop_timer timer;
    unsigned index; /* of the certificate that is asked for */
    char *url;
    struct buf answer;
};

static void ocsp_walk(struct ocsp *o);

static struct ocsp *ocsp_of(void *arg)
{
    struct ocsp *o = arg;
    ASSERT(o != NULL);
    ASSERT(o->magic == OCSP_MAGIC);
    return o;
}

static void ocsp_failed(struct ocsp *o, const char *text)
{
    metric_add(o->worker->edge->metrics.ocsp_failed, 1);
    log_warn("OCSP of %s: %s", o->url, text);
}

static int ocsp_on_data(void *arg, const uint8_t *data, size_t size)
{
    struct ocsp *o = ocsp_of(arg);
    if (size > OCSP_ANSWER_MAX - o->answer.size)
        return -EFBIG;
    buf_put(&o->answer, data, size);
    return buf_error(&o->answer);
}

static void ocsp_on_done(void *arg, int res, unsigned status)
{
    struct ocsp *o = ocsp_of(arg);
    struct err err = {{0}};
    o->op = NULL;
    if (res < 0)
        (void)err_errno(&err, res, "asking");
    else if (status != 200)
        res = err_set(&err, -EIO, "status %u", status);
    else
        res = http_server_ocsp_set(o->worker->edge->server, o->index, buf_str(&o->answer), &err);
    if (res < 0)
        ocsp_failed(o, err.text);
    else
        metric_add(o->worker->edge->metrics.ocsp_good, 1);
    o->index++;
    ocsp_walk(o);
}

static int ocsp_send(struct ocsp *o, const struct http_ocsp_ask *ask)
{
    struct rbuf *body = NULL;
    int r = rbuf_new((uint32_t)ask->request_size, &body);
    if (r == 0)
        r = rbuf_append(body, ask->request, (uint32_t)ask->request_size);
    const struct fetch_request request = {
        .method = "POST",
        .url = ask->url,
        .type = "application/ocsp-request",
        .body = body,
        .on_data = ocsp_on_data,
        .on_done = ocsp_on_done,
        .arg = o,
    };
    if (r == 0)
        r = fetch_start(o->fetch, &request, &o->op);
    (void)rbuf_unref(body);
    return r;
}

/* False: nothing to do for this certificate now. */
static bool ocsp_ask_one(struct ocsp *o, struct http_ocsp_ask *ask)
{
    if (ask->due_s > clock_real_s())
        return false;
    free(o->url);
    o->url = ask->url;
    ask->url = NULL;
    buf_clear(&o->answer);
    struct http_ocsp_ask lent = *ask;
    lent.url = o->url;
    int r = ocsp_send(o, &lent);
    if (r == 0)
        return true;
    struct err err = {{0}};
    (void)err_errno(&err, r, "asking");
    ocsp_failed(o, err.text);
    return false;
}

static void ocsp_on_timer(void *arg)
{
    struct ocsp *o = ocsp_of(arg);
    o->index = 0;
    ocsp_walk(o);
}

/* From index on, until a request is under way or all have been looked at. */
static void ocsp_walk(struct ocsp *o)
{
    for (;; o->index++) {
        struct http_ocsp_ask ask;
        int r = http_server_ocsp_ask(o->worker->edge->server, o->index, &ask);
        if (r == -ENODATA)
            continue; /* no responder, or a file of its own */
        if (r < 0)
            break; /* -ENOENT: that was the last; -ENOMEM: the next time */
        bool is_sent = ocsp_ask_one(o, &ask);
        http_ocsp_ask_clear(&ask);
        if (is_sent)
            return;
    }
    loop_timer_start(o->worker->loop, &o->timer, OCSP_LOOK_MS, ocsp_on_timer, o);
}

void ocsp_look(void *ocsp)
{
    struct ocsp *o = ocsp_of(ocsp);
    if (o->op == NULL) /* else the walk that is under way comes to it, or the next */
        loop_timer_start(o->worker->loop, &o->timer, OCSP_FIRST_MS, ocsp_on_timer, o);
}

int ocsp_new(struct edge_worker *w, struct ocsp **ret)
{
    struct ocsp *o = calloc(1, sizeof *o);
    if (o == NULL)
        return -ENOMEM;
    o->magic = OCSP_MAGIC;
    o->worker = w;
    const struct fetch_options options = {.retries = OCSP_RETRIES};
    int r = fetch_new(w->loop, &options, &o->fetch);
    if (r < 0) {
        (void)ocsp_free(o);
        return r;
    }
    ocsp_look(o);
    *ret = o;
    return 0;
}

struct ocsp *ocsp_free(struct ocsp *o)
{
    if (o == NULL)
        return NULL;
    (void)ocsp_of(o);
    loop_timer_stop(&o->timer);
    (void)fetch_free(o->fetch); /* takes NULL; cancels what is under way */
    free(o->url);
    buf_free(&o->answer);
    MAGIC_CLEAR(o);
    free(o);
    return NULL;
}
