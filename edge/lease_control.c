/* SPDX-License-Identifier: Apache-2.0 */
/* The backend of installations without a Redis: control keeps the leases, and is asked over HTTP.
 * A batch is as many POSTs as its texts need; what was ended comes by a stream that is kept open,
 * and opened again with a backoff. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include "base/backoff.h"
#include "base/log.h"
#include "edge/lease_priv.h"
#include "edge/lease_stream.h"
#include "lease/lease_backend.h"

#define CONTROL_BODY_SIZE   (48u << 10) /* control takes 64 KiB */
#define CONTROL_ANSWER_MAX  (1u << 20)
#define CONTROL_BACKOFF_MS  100
#define CONTROL_BACKOFF_MAX 1000

struct control_leases {
    struct leases leases;
    struct fetch *fetch;
    const struct secret *credential;
    struct buf renew_url, ended_url;
    struct control_post *posts;
    struct lease_watch *watch; /* one, or none */
    struct fetch_op *stream_op;
    struct loop_timer stream_timer;
    struct lease_stream stream;
    unsigned failures;
};

struct control_post { /* a part of a batch */
    struct control_post *next, *prev;
    struct control_leases *of;
    struct lease_op *op;
    struct fetch_op *fetch_op;
    unsigned first, count;
    struct buf answer;
};

/* --- renewals --------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum lease_state state;
} control_states[] = {
    {"live", LEASE_LIVE},
    {"ended", LEASE_ENDED},
    {"full", LEASE_FULL},
    {"unsure", LEASE_UNSURE},
};

static int control_read_states(const struct control_post *p)
{
    json_error_t error;
    json_t *body =
        json_loadb(p->answer.data != NULL ? p->answer.data : "", p->answer.size, 0, &error);
    const json_t *list = json_object_get(body, "states");
    int r = json_array_size(list) == p->count ? 0 : -EBADMSG;
    for (unsigned i = 0; r == 0 && i < p->count; i++) {
        struct str name = str_of(json_string_value(json_array_get(list, i)));
        r = -EBADMSG;
        for (size_t k = 0; k < ARRAY_LEN(control_states); k++) {
            if (!str_eq(name, str_of(control_states[k].name)))
                continue;
            p->op->states[p->first + i] = control_states[k].state;
            r = 0;
        }
    }
    json_decref(body);
    return r;
}

static void control_post_end(struct control_post *p, int res)
{
    struct lease_op *op = p->op;
    if (p->prev != NULL)
        p->prev->next = p->next;
    else
        p->of->posts = p->next;
    if (p->next != NULL)
        p->next->prev = p->prev;
    buf_free(&p->answer);
    free(p);
    if (res < 0)
        op->error = res;
    ASSERT(op->left > 0);
    if (--op->left > 0)
        return;
    bool any = false;
    for (unsigned i = 0; i < op->count; i++)
        any = any || op->states[i] != LEASE_UNSURE;
    lease__finish_renew(op, any ? 0 : op->error);
}

static int control_on_data(void *arg, const uint8_t *data, size_t size)
{
    struct control_post *p = arg;
    if (size > CONTROL_ANSWER_MAX - p->answer.size)
        return -EFBIG;
    buf_put(&p->answer, data, size);
    return buf_error(&p->answer);
}

static void control_on_done(void *arg, int res, unsigned status)
{
    struct control_post *p = arg;
    if (res == 0 && status != 200) {
        log_debug("control answered a renewal of leases with status %u", status);
        res = status == 401 || status == 404 ? -EACCES : -EHOSTDOWN;
    }
    if (res == 0)
        res = control_read_states(p);
    control_post_end(p, res);
}

static void control_put_session(const struct lease *l, struct buf *out)
{
    buf_puts(out, out->size == 0 ? "{\"sessions\":[{\"session\":" : ",{\"session\":");
    buf_put_json_string(out, l->session);
    buf_puts(out, ",\"user\":");
    buf_put_json_string(out, l->user);
    buf_puts(out, ",\"asset\":");
    buf_put_json_string(out, l->asset);
    buf_printf(out, ",\"until_ms\":%lld}", (long long)l->until_ms);
}

static int control_post(struct control_leases *c, struct lease_op *op, struct buf *body,
                        unsigned first, unsigned count)
{
    struct rbuf *bytes = NULL;
    buf_puts(body, "]}");
    int r = buf_error(body);
    struct control_post *p = r < 0 ? NULL : calloc(1, sizeof *p);
    if (p == NULL)
        return r < 0 ? r : -ENOMEM;
    *p = (struct control_post){.of = c, .op = op, .first = first, .count = count};
    r = rbuf_copy(body->data, body->size, &bytes);
    if (r == 0) {
        const struct fetch_request request = {
            .method = "POST",
            .url = c->renew_url.data,
            .bearer = c->credential->text,
            .type = "application/json",
            .body = bytes,
            .on_data = control_on_data,
            .on_done = control_on_done,
            .arg = p,
        };
        r = fetch_start(c->fetch, &request, &p->fetch_op);
    }
    rbuf_unref(bytes);
    if (r < 0) {
        free(p);
        return r;
    }
    p->next = c->posts;
    if (p->next != NULL)
        p->next->prev = p;
    c->posts = p;
    op->left++;
    return 0;
}

static int control_renew(struct leases *l, const struct lease *leases, struct lease_op *op)
{
    struct control_leases *c = (struct control_leases *)l;
    CLEAN_BUF struct buf body = BUF_EMPTY;
    unsigned first = 0;
    int r = 0;
    for (unsigned i = 0; r == 0 && i < op->count; i++) {
        control_put_session(&leases[i], &body);
        if (body.size < CONTROL_BODY_SIZE && i + 1 < op->count)
            continue;
        r = control_post(c, op, &body, first, i + 1 - first);
        buf_clear(&body);
        first = i + 1;
    }
    if (r < 0 && op->left > 0) { /* those under way still answer */
        op->error = r;
        r = 0;
    }
    return r;
}

/* --- the stream of ended sessions ------------------------------------------------------------- */

static void control_stream_start(void *arg);

static void control_on_event(void *arg, struct str session)
{
    struct control_leases *c = arg;
    c->failures = 0;
    if (c->watch == NULL)
        return;
    if (session.data != NULL)
        c->watch->on_ended(c->watch->arg, session);
    else if (c->watch->on_gap != NULL)
        c->watch->on_gap(c->watch->arg);
}

static int control_on_stream_head(void *arg, const struct fetch_head *head)
{
    struct control_leases *c = arg;
    c->stream = (struct lease_stream){.size = 0};
    if (head->status == 200)
        return 0;
    log_debug("control answered the stream of ended sessions with status %u", head->status);
    return -EACCES;
}

static int control_on_stream_data(void *arg, const uint8_t *data, size_t size)
{
    struct control_leases *c = arg;
    return lease_stream_feed(&c->stream, data, size, control_on_event, c);
}

static void control_stream_later(struct control_leases *c)
{
    c->failures++;
    uint64_t wait_ms = backoff_ms(c->failures, CONTROL_BACKOFF_MS, CONTROL_BACKOFF_MAX);
    loop_timer_start(c->leases.loop, &c->stream_timer, wait_ms, control_stream_start, c);
}

static void control_on_stream_done(void *arg, int res, unsigned status)
{
    struct control_leases *c = arg;
    (void)res, (void)status;
    c->stream_op = NULL;
    control_stream_later(c);
}

static void control_stream_start(void *arg)
{
    struct control_leases *c = arg;
    const struct fetch_request request = {
        .method = "GET",
        .url = c->ended_url.data,
        .bearer = c->credential->text,
        .on_head = control_on_stream_head,
        .on_data = control_on_stream_data,
        .on_done = control_on_stream_done,
        .arg = c,
    };
    if (fetch_start(c->fetch, &request, &c->stream_op) < 0)
        control_stream_later(c);
}

static int control_watch(struct leases *l, struct lease_watch *w)
{
    struct control_leases *c = (struct control_leases *)l;
    if (c->watch != NULL)
        return -EBUSY;
    c->watch = w;
    loop_timer_start(l->loop, &c->stream_timer, 0, control_stream_start, c);
    return 0;
}

static void control_unwatch(struct leases *l, struct lease_watch *w)
{
    struct control_leases *c = (struct control_leases *)l;
    ASSERT(c->watch == w);
    c->watch = NULL;
    loop_timer_stop(&c->stream_timer);
    if (c->stream_op != NULL)
        fetch_cancel(c->stream_op);
    c->stream_op = NULL;
}

/* --- the rest --------------------------------------------------------------------------------- */

/* Opening and ending are for who knows the users: control itself. */
static int control_open(struct leases *l, const struct lease *lease, unsigned limit,
                        struct lease_op *op)
{
    (void)l, (void)lease, (void)limit, (void)op;
    return -EOPNOTSUPP;
}

static int control_list(struct leases *l, struct str user, struct lease_op *op)
{
    (void)l, (void)user, (void)op;
    return -EOPNOTSUPP;
}

static int control_end(struct leases *l, struct str user, struct str session, struct lease_op *op)
{
    (void)l, (void)user, (void)session, (void)op;
    return -EOPNOTSUPP;
}

static void control_close(struct leases *l)
{
    struct control_leases *c = (struct control_leases *)l;
    while (c->posts != NULL) {
        fetch_cancel(c->posts->fetch_op);
        control_post_end(c->posts, -ECANCELED);
    }
    buf_free(&c->renew_url);
    buf_free(&c->ended_url);
    MAGIC_CLEAR(&c->leases);
    free(c);
}

int leases_open_control(struct fetch *fetch, struct loop *loop, const char *url,
                        const struct secret *credential, struct leases **ret)
{
    static const struct lease_ops ops = {
        .close = control_close,
        .open = control_open,
        .list = control_list,
        .end = control_end,
        .renew = control_renew,
        .watch = control_watch,
        .unwatch = control_unwatch,
    };
    struct control_leases *c = calloc(1, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    struct str base = str_of(url);
    while (str_ends(base, STR("/")))
        base.size--;
    lease__init(&c->leases, &ops, loop);
    c->fetch = fetch;
    c->credential = credential;
    buf_printf(&c->renew_url, STR_FMT "/api/v1/internal/leases/renew", STR_ARG(base));
    buf_printf(&c->ended_url, STR_FMT "/api/v1/internal/leases/ended", STR_ARG(base));
    if (buf_error(&c->renew_url) < 0 || buf_error(&c->ended_url) < 0) {
        control_close(&c->leases);
        return -ENOMEM;
    }
    *ret = &c->leases;
    return 0;
}
