/* SPDX-License-Identifier: Apache-2.0 */
/* How far an upload is: as JSON, and as server-sent events until it is over. Whoever watches is
 * told from the database, so that any process can tell. */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/events.h"
#include "base/log.h"
#include "control/catalog/catalog_ops.h"
#include "control/ops.h"
#include "control/outflow.h"
#include "control/upload/upload_doc.h"
#include "control/upload/uploads.h"

#define WATCH_TURN_MS 500
#define WATCH_BEAT    30 /* turns without news until a comment shows that it is alive */

static int upload_get(struct call *c)
{
    const struct viewer viewer = catalog_viewer(c);
    json_t *doc = NULL;
    int r = upload_doc_get(c->db, call_path(c, "job"), &viewer, &doc, &c->fault);
    if (r == 0)
        r = call_answer(c, upload_doc_show(doc));
    json_decref(doc);
    return r;
}

/* --- events ----------------------------------------------------------------------------------- */

struct watch {
    uint32_t magic;
#define WATCH_MAGIC UINT32_C(0x0a7c4e55)
    struct control *control;
    struct http_req *req;
    struct loop *loop;
    char *id;
    struct loop_timer timer;
    struct outflow out;
    char *last;     /* as told */
    char *now;      /* as the pool thread found it */
    unsigned quiet; /* turns */
    bool is_over, is_closed, is_working;
    int r;
};

static void watch_free(struct watch *w)
{
    ASSERT(w->magic == WATCH_MAGIC);
    loop_timer_stop(&w->timer);
    (void)http_req_unref(w->req);
    outflow_free(&w->out);
    free(w->id);
    free(w->last);
    free(w->now);
    MAGIC_CLEAR(w);
    free(w);
}

static void watch_on_timer(void *arg);

static void watch_tell(struct watch *w)
{
    if (w->now != NULL && (w->last == NULL || strcmp(w->now, w->last) != 0)) {
        buf_printf(&w->out.more, "event: progress\ndata: %s\n\n", w->now);
        free(w->last);
        w->last = w->now;
        w->now = NULL;
        w->quiet = 0;
    } else if (++w->quiet >= WATCH_BEAT) {
        buf_puts(&w->out.more, ":\n\n");
        w->quiet = 0;
    }
    free(w->now);
    w->now = NULL;
}

static void watch_on_worked(void *arg)
{
    struct watch *w = arg;
    ASSERT(w->magic == WATCH_MAGIC);
    w->is_working = false;
    if (w->is_closed) {
        watch_free(w);
        return;
    }
    watch_tell(w);
    w->is_over = w->is_over || w->r == -ENOENT || buf_error(&w->out.more) < 0 ||
                 atomic_load(&w->control->is_stopping);
    if (!w->is_over)
        loop_timer_start(w->loop, &w->timer, WATCH_TURN_MS, watch_on_timer, w);
    http_req_wake(w->req); /* may close it */
}

static void watch_work(void *arg)
{
    struct watch *w = arg;
    const struct viewer all = {.is_admin = true}; /* whose it is was asked at the beginning */
    struct fault fault;
    json_t *doc = NULL;
    w->r = upload_doc_get(w->control->db, w->id, &all, &doc, &fault);
    if (w->r == -EPROTO)
        w->r = -ENOENT;
    json_t *shown = w->r == 0 ? upload_doc_show(doc) : NULL;
    w->now = shown != NULL ? json_dumps(shown, JSON_COMPACT) : NULL;
    w->is_over = w->r == 0 && upload_doc_is_over(doc);
    json_decref(shown);
    json_decref(doc);
    control_worked(w->control, false, w->r == -ENOENT ? 0 : w->r);
    if (loop_post(w->loop, watch_on_worked, w) < 0)
        log_error("out of memory: a stream of events stays silent");
}

static void watch_on_timer(void *arg)
{
    struct watch *w = arg;
    w->is_working = true;
    if (control_run(w->control, false, watch_work, w) == 0)
        return;
    w->is_working = false;
    if (atomic_load(&w->control->is_stopping)) {
        w->is_over = true;
        http_req_wake(w->req);
        return;
    }
    loop_timer_start(w->loop, &w->timer, WATCH_TURN_MS, watch_on_timer, w);
}

static int watch_read(void *source, uint64_t offset, uint32_t size_max, const uint8_t **ret_data,
                      uint32_t *ret_size)
{
    struct watch *w = source;
    return outflow_read(&w->out, offset, size_max, w->is_over && !w->is_working, ret_data,
                        ret_size);
}

static void watch_close(void *source)
{
    struct watch *w = source;
    ASSERT(w->magic == WATCH_MAGIC);
    w->is_closed = true;
    loop_timer_stop(&w->timer);
    if (!w->is_working)
        watch_free(w);
}

static void upload_watch(struct call *c)
{
    static const struct http_source_ops ops = {watch_read, watch_close};
    struct watch *w = calloc(1, sizeof *w);
    char *id = str_dup(str_of(call_path(c, "job")));
    if (w == NULL || id == NULL) {
        free(w);
        free(id);
        call_finish(c, -ENOMEM);
        return;
    }
    *w = (struct watch){.magic = WATCH_MAGIC,
                        .control = c->control,
                        .req = http_req_ref(c->req),
                        .loop = c->loop,
                        .id = id};
    struct http_req *req = w->req;
    http_res_header(req, "cache-control", "no-store");
    const struct http_entity e = {.status = 200,
                                  .type = "text/event-stream",
                                  .source_ops = &ops,
                                  .source = w,
                                  .size = HTTP_SIZE_UNKNOWN};
    call_leave(c);
    loop_timer_start(w->loop, &w->timer, 0, watch_on_timer, w);
    http_reply_entity(req, &e); /* closes w where the client has left */
}

/* Whether there is such an upload, and whose; the rest is told by events. */
static int upload_watch_find(struct call *c)
{
    const struct viewer viewer = catalog_viewer(c);
    json_t *doc = NULL;
    int r = upload_doc_get(c->db, call_path(c, "job"), &viewer, &doc, &c->fault);
    json_decref(doc);
    return r;
}

const struct op_handler upload_ops[] = {
    {"videos_upload", NULL, upload_receive},
    {"uploads_get", upload_get, NULL},
    {"uploads_events", upload_watch_find, upload_watch},
    {NULL, NULL, NULL},
};
