/* SPDX-License-Identifier: Apache-2.0 */
/* One upload on its way through: POST /api/v1/videos/upload.
 *
 *   FIELDS   parts that describe the video
 *   MAKING   the file's head is here: a pool thread makes the video and the upload's record
 *   SENDING  its bytes go through a ring of RECEIVE_RING to ingest; when that is full the client
 *            waits, when it is empty ingest does
 *   CLOSING  the form is whole: it is written down that ingest has it, then ingest gets the end
 *   ANSWER   ingest has begun a job: a pool thread reads the video as it is now
 *   OVER     answered (or refused; what was made is marked as failed by a pool thread first)
 *
 * Ingest hears the body's end only when the whole form was good: whatever breaks before that
 * leaves nothing there. The struct lives until the call is answered and the body's end was told. */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/enc.h"
#include "base/id.h"
#include "base/log.h"
#include "control/catalog/catalog.h"
#include "control/catalog/catalog_ops.h"
#include "control/upload/multipart.h"
#include "control/upload/upload_doc.h"
#include "control/upload/uploads.h"
#include "fetch/fetch.h"

#define RECEIVE_RING       ((size_t)256 << 10)
#define RECEIVE_SPARE      128 /* what a look at one byte may set free: a delimiter */
#define RECEIVE_TEXT_MAX   ((size_t)64 << 10) /* of all fields */
#define RECEIVE_ANSWER_MAX ((size_t)64 << 10)
#define RECEIVE_STALL_MS   30000

enum receive_state {
    RECEIVE_FIELDS,
    RECEIVE_MAKING,
    RECEIVE_SENDING,
    RECEIVE_CLOSING,
    RECEIVE_ANSWER,
    RECEIVE_OVER,
};

struct receive {
    uint32_t magic;
#define RECEIVE_MAGIC UINT32_C(0x2ecf11a5)
    struct call *call; /* NULL: answered */
    struct control *control;
    struct http_req *req;
    struct loop *loop;
    struct fetch *fetch;
    enum receive_state state;
    struct multipart form;
    json_t *body;
    struct buf text; /* of the field that comes */
    size_t texts;    /* bytes of all fields */
    bool has_file, in_file;
    char id[ID_TEXT_SIZE];
    char *video;
    bool is_recorded; /* there is something to be marked as failed */
    uint8_t *ring;
    size_t ring_at, ring_size;
    uint64_t received;
    struct fetch_op *op;
    bool is_last; /* no more goes into the ring */
    unsigned answer_status;
    struct buf answer;
    char job[128];
    bool body_ended;
    bool is_working; /* a pool thread has it, or its message is on the way */
    bool is_noting;
    void (*next)(struct receive *v); /* behind the work */
    int r;
    uint64_t noted;          /* the pool thread's copy of received */
    struct fault made_fault; /* the pool thread's */
    struct fault fault;
    struct loop_timer note_timer;
};

/* --- life ------------------------------------------------------------------------------------- */

static void receive_free(struct receive *v)
{
    ASSERT(v->magic == RECEIVE_MAGIC);
    ASSERT(v->op == NULL);
    loop_timer_stop(&v->note_timer);
    json_decref(v->body);
    buf_free(&v->text);
    buf_free(&v->answer);
    free(v->video);
    free(v->ring);
    (void)http_req_unref(v->req);
    MAGIC_CLEAR(v);
    free(v);
}

static void receive_put_down(struct receive *v)
{
    if (v->call == NULL && v->body_ended && !v->is_working)
        receive_free(v);
}

/* work(v) on a pool thread, then next(v) here. */
static void receive_on_worked(void *arg)
{
    struct receive *v = arg;
    ASSERT(v->magic == RECEIVE_MAGIC);
    v->is_working = false;
    v->next(v);
}

static void receive_back(struct receive *v)
{
    control_worked(v->control, false, v->r);
    if (loop_post(v->loop, receive_on_worked, v) < 0)
        log_error("out of memory: an upload's answer is lost");
}

static int receive_work(struct receive *v, pool_work *work, void (*next)(struct receive *v))
{
    ASSERT(!v->is_working);
    v->next = next;
    v->is_working = true;
    int r = control_run(v->control, false, work, v);
    if (r < 0)
        v->is_working = false;
    return r;
}

/* --- the end ---------------------------------------------------------------------------------- */

static void receive_answer(struct receive *v, int r)
{
    struct call *c = v->call;
    v->state = RECEIVE_OVER;
    v->call = NULL;
    if (r == -EPROTO)
        c->fault = v->fault;
    call_finish(c, r);
    receive_put_down(v);
}

static void receive_mark_failed(void *arg)
{
    struct receive *v = arg;
    upload_doc_fail(v->control->db, v->id, v->fault.message, clock_real_ms());
    receive_back(v);
}

static void receive_failed(struct receive *v)
{
    receive_answer(v, -EPROTO);
}

/* Ends it with v->fault. While a pool thread is at it, that ends first. */
static void receive_fail(struct receive *v)
{
    if (v->state == RECEIVE_OVER)
        return;
    v->state = RECEIVE_OVER;
    v->is_last = true;
    loop_timer_stop(&v->note_timer);
    if (v->op != NULL)
        fetch_cancel(v->op);
    v->op = NULL;
    if (v->is_working)
        return; /* receive_go_on */
    v->r = 0;
    if (!v->is_recorded || receive_work(v, receive_mark_failed, receive_failed) < 0)
        receive_answer(v, -EPROTO); /* no pool: the service stops; the sweep finds the rest */
}

/* At the beginning of each `next`: false: it has failed meanwhile, and that goes on. */
static bool receive_go_on(struct receive *v)
{
    if (v->state != RECEIVE_OVER)
        return true;
    v->state = RECEIVE_FIELDS; /* any that is not the end */
    receive_fail(v);
    return false;
}

static void receive_fault(struct receive *v, unsigned status, const char *code, const char *text)
{
    if (v->state == RECEIVE_OVER)
        return;
    (void)fault_set(&v->fault, status, code, "%s", text);
    receive_fail(v);
}

/* --- to ingest -------------------------------------------------------------------------------- */

static int receive_on_body(void *arg, uint8_t *out, size_t size_max, size_t *ret_size)
{
    struct receive *v = arg;
    bool was_full = RECEIVE_RING - v->ring_size <= RECEIVE_SPARE;
    size_t size = MIN(MIN(size_max, v->ring_size), RECEIVE_RING - v->ring_at);
    if (size == 0)
        return v->is_last ? -ENODATA : -EAGAIN;
    memcpy(out, v->ring + v->ring_at, size);
    v->ring_at = (v->ring_at + size) % RECEIVE_RING;
    v->ring_size -= size;
    *ret_size = size;
    if (was_full)
        http_req_more(v->req);
    return 0;
}

static void receive_put(struct receive *v, struct str bytes)
{
    ASSERT(bytes.size <= RECEIVE_RING - v->ring_size);
    while (bytes.size > 0) {
        size_t at = (v->ring_at + v->ring_size) % RECEIVE_RING;
        size_t size = MIN(bytes.size, RECEIVE_RING - at);
        memcpy(v->ring + at, bytes.data, size);
        v->ring_size += size;
        v->received += size;
        bytes = str_skip(bytes, size);
    }
    if (v->op != NULL)
        fetch_body_more(v->op);
}

static int receive_on_answer(void *arg, const uint8_t *data, size_t size)
{
    struct receive *v = arg;
    if (v->answer.size + size > RECEIVE_ANSWER_MAX)
        return -EFBIG;
    buf_put(&v->answer, data, size);
    return buf_error(&v->answer);
}

static void receive_show(void *arg)
{
    struct receive *v = arg;
    struct call *c = v->call;
    json_t *video = NULL;
    v->r = upload_doc_job(c->db, v->id, v->job, clock_real_ms());
    if (v->r == -ESTALE) /* the sweep has seen its end already */
        v->r = 0;
    if (v->r == 0)
        v->r = catalog_get(c->db, v->video, &video);
    if (v->r == 0)
        v->r = call_answer(
            c, json_pack("{s:s, s:o}", "job_id", v->id, "video", catalog_show(c, video)));
    json_decref(video);
    receive_back(v);
}

static void receive_shown(struct receive *v)
{
    receive_answer(v, v->r);
}

/* What ingest says to a film. */
static void receive_on_done(void *arg, int res, unsigned status)
{
    struct receive *v = arg;
    v->op = NULL;
    json_t *o = json_loadb(v->answer.size > 0 ? v->answer.data : "", v->answer.size, 0, NULL);
    const char *job = json_string_value(json_object_get(o, "id"));
    const char *why = json_string_value(json_object_get(json_object_get(o, "error"), "message"));
    bool good = res == 0 && (status == 200 || status == 202) && v->is_last && job != NULL &&
                str_copy(str_of(job), v->job, sizeof v->job) == 0;
    if (good) {
        v->state = RECEIVE_ANSWER;
        if (receive_work(v, receive_show, receive_shown) < 0)
            receive_fault(v, 503, "BUSY", "the service is busy, try again in a moment");
    } else if (res == 0 && status == 507) {
        receive_fault(v, 507, "UPLOADS_FULL", "there is no room for the film at the moment");
    } else if (res == 0 && status == 413) {
        receive_fault(v, 413, "BODY_TOO_LARGE", "the film is too large");
    } else if (res == 0 && status == 422) {
        receive_fault(v, 422, "FILM_REFUSED", why != NULL ? why : "ingest refuses the film");
    } else {
        log_warn("upload %s: ingest answers %u (%s)", v->id, status,
                 res < 0 ? strerror(-res) : why);
        receive_fault(v, 503, "INGEST_UNAVAILABLE", "films cannot be taken at the moment");
    }
    json_decref(o);
}

static int receive_start(struct receive *v)
{
    const struct live *l = v->call->live;
    CLEAN_BUF struct buf url = BUF_EMPTY;
    const char *title = json_string_value(json_object_get(v->body, "title"));
    buf_printf(&url, "%s/uploads/%s?asset=", l->ingest_url, v->id);
    enc_percent(str_of(v->video), &url);
    if (title != NULL) {
        buf_puts(&url, "&title=");
        enc_percent(str_of(title), &url);
    }
    if (buf_error(&url) < 0)
        return -ENOMEM;
    const struct fetch_request ask = {.method = "PUT",
                                      .url = url.data,
                                      .bearer = l->ingest_bearer,
                                      .trace_id = v->call->id,
                                      .type = "application/octet-stream",
                                      .stall_ms = RECEIVE_STALL_MS,
                                      .on_data = receive_on_answer,
                                      .on_done = receive_on_done,
                                      .on_body = receive_on_body,
                                      .arg = v};
    return fetch_start(v->fetch, &ask, &v->op);
}

/* --- what is written down --------------------------------------------------------------------- */

static void receive_note_work(void *arg)
{
    struct receive *v = arg;
    v->r = upload_doc_note(v->control->db, v->id, v->noted, clock_real_ms());
    receive_back(v);
}

static void receive_close(struct receive *v);

static void receive_noted(struct receive *v)
{
    if (!receive_go_on(v))
        return;
    if (v->r == -ESTALE || v->r == -ENOENT)
        receive_fault(v, 409, "UPLOAD_ENDED", "the upload was ended meanwhile");
    else if (v->state == RECEIVE_CLOSING)
        receive_close(v);
}

static void receive_on_note(void *arg)
{
    struct receive *v = arg;
    loop_timer_start(v->loop, &v->note_timer, UPLOAD_NOTE_MS, receive_on_note, v);
    v->noted = v->is_working ? v->noted : v->received;
    if (v->state == RECEIVE_SENDING && !v->is_working)
        (void)receive_work(v, receive_note_work, receive_noted); /* busy: the next time */
}

static void receive_make(void *arg)
{
    struct receive *v = arg;
    const struct viewer viewer = catalog_viewer(v->call);
    v->r = upload_doc_begin(v->control->db, v->id, v->body, &viewer, clock_real_ms(), &v->video,
                            &v->made_fault);
    v->is_recorded = v->r == 0;
    receive_back(v);
}

static void receive_made(struct receive *v)
{
    if (!receive_go_on(v))
        return;
    if (v->r == 0)
        v->r = receive_start(v);
    if (v->r < 0 && !v->is_recorded) {
        v->fault = v->made_fault;
        receive_answer(v, v->r);
        return;
    }
    if (v->r < 0) {
        receive_fault(v, 503, "BUSY", "out of memory, try again");
        return;
    }
    v->state = RECEIVE_SENDING;
    loop_timer_start(v->loop, &v->note_timer, UPLOAD_NOTE_MS, receive_on_note, v);
    http_req_more(v->req);
}

static void receive_hand_over(void *arg)
{
    struct receive *v = arg;
    v->r = upload_doc_hand_over(v->control->db, v->id, v->video, v->received, clock_real_ms());
    receive_back(v);
}

static void receive_handed_over(struct receive *v)
{
    if (!receive_go_on(v))
        return;
    if (v->r < 0) {
        receive_fault(v, 409, "UPLOAD_ENDED", "the upload was ended meanwhile");
        return;
    }
    v->is_last = true;
    if (v->op != NULL)
        fetch_body_more(v->op);
}

static void receive_close(struct receive *v)
{
    v->state = RECEIVE_CLOSING;
    loop_timer_stop(&v->note_timer);
    if (!v->is_working && receive_work(v, receive_hand_over, receive_handed_over) < 0)
        receive_fault(v, 503, "BUSY", "the service is busy, try again in a moment");
}

/* --- the form --------------------------------------------------------------------------------- */

static int receive_bad(struct receive *v, unsigned status, const char *code, const char *text)
{
    return fault_set(&v->fault, status, code, "%s", text);
}

/* The whole text of a field, as its schema has it. */
static int receive_field(struct receive *v)
{
    const struct schema *s = schema_member(v->call->op->body, v->form.name);
    json_t *there = json_object_get(v->body, v->form.name);
    json_t *value = NULL;
    if (s == NULL || str_eq(str_of(v->form.name), STR("file")))
        return fault_set(&v->fault, 422, "FIELD_UNKNOWN", "there is no field \"%s\"",
                         s == NULL ? "of that name" : "file that is no file");
    bool is_list = schema_takes(s, JSON_ARRAY);
    if (there != NULL && !is_list)
        return receive_bad(v, 422, "FIELD_TWICE", "a field is there twice");
    int r = schema_fit_text(is_list ? schema_items(s) : s, buf_str(&v->text), v->form.name,
                            "BODY_INVALID", &v->fault, &value);
    if (r < 0)
        return r;
    if (!is_list)
        return json_object_set_new(v->body, v->form.name, value) < 0 ? -ENOMEM : 0;
    if (there == NULL) {
        there = json_array();
        if (json_object_set_new(v->body, v->form.name, there) < 0) {
            json_decref(value);
            return -ENOMEM;
        }
    }
    return json_array_append_new(there, value) < 0 ? -ENOMEM : 0;
}

/* The file begins: all that describes it is here. */
static int receive_file(struct receive *v)
{
    v->has_file = v->in_file = true;
    if (json_object_set_new(v->body, "file", json_string(v->form.filename)) < 0)
        return receive_bad(v, 422, "BODY_INVALID", "the file's name is not UTF-8");
    int r = schema_fit(v->call->op->body, v->body, "", "BODY_INVALID", &v->fault);
    (void)json_object_del(v->body, "file"); /* it was just set */
    bool has_video = json_object_get(v->body, "video") != NULL;
    if (r == 0 && has_video && json_object_size(v->body) > 1)
        r = receive_bad(v, 422, "BODY_INVALID", "beside \"video\" nothing else is said");
    if (r == 0 && !has_video && json_object_get(v->body, "title") == NULL)
        r = receive_bad(v, 422, "BODY_INVALID", "\"title\" is missing");
    v->ring = r == 0 ? malloc(RECEIVE_RING) : NULL;
    if (r == 0 && v->ring == NULL)
        r = -ENOMEM;
    if (r < 0)
        return r;
    v->state = RECEIVE_MAKING;
    id_text(v->id);
    return receive_work(v, receive_make, receive_made) < 0
               ? receive_bad(v, 503, "BUSY", "the service is busy, try again in a moment")
               : 0;
}

static int receive_part(struct receive *v)
{
    bool is_file = v->form.is_file && str_eq(str_of(v->form.name), STR("file"));
    buf_clear(&v->text);
    if (v->has_file)
        return is_file ? receive_bad(v, 422, "FILE_TWICE", "there is more than one file")
                       : receive_bad(v, 422, "FIELD_BEHIND_FILE", "the file must be the last part");
    if (v->form.is_file && !is_file)
        return receive_bad(v, 422, "FIELD_UNKNOWN", "the file's part is called \"file\"");
    return is_file ? receive_file(v) : 0;
}

static int receive_bytes(struct receive *v)
{
    if (v->in_file) {
        receive_put(v, v->form.data);
        return 0;
    }
    v->texts += v->form.data.size;
    if (v->texts > RECEIVE_TEXT_MAX)
        return receive_bad(v, 413, "BODY_TOO_LARGE", "the fields are too long");
    buf_put_str(&v->text, v->form.data);
    return buf_error(&v->text);
}

static int receive_event(struct receive *v, int event)
{
    switch (event) {
    case MULTIPART_PART:
        return receive_part(v);
    case MULTIPART_DATA:
        return receive_bytes(v);
    case MULTIPART_PART_END:
        if (!v->in_file)
            return receive_field(v);
        v->in_file = false;
        return 0;
    case -EBADMSG:
        return receive_bad(v, 400, "MULTIPART_INVALID", v->form.why);
    default:
        return event < 0 ? event : 0;
    }
}

static size_t receive_on_data(void *arg, const uint8_t *data, size_t size)
{
    struct receive *v = arg;
    size_t used = 0;
    int r = 0;
    while (r == 0 && used < size && v->state != RECEIVE_MAKING && v->state != RECEIVE_OVER) {
        size_t now = size - used;
        size_t step;
        if (v->state == RECEIVE_SENDING) {
            size_t room = RECEIVE_RING - v->ring_size;
            if (room <= RECEIVE_SPARE)
                return used; /* receive_on_body asks for more */
            now = MIN(now, room - RECEIVE_SPARE);
        }
        r = receive_event(v, multipart_next(&v->form, data + used, now, &step));
        used += step;
    }
    if (r == -EPROTO)
        receive_fail(v);
    else if (r < 0)
        receive_fault(v, 503, "BUSY", "out of memory, try again");
    return v->state == RECEIVE_OVER ? size : used;
}

static void receive_on_end(void *arg, int res)
{
    struct receive *v = arg;
    ASSERT(v->magic == RECEIVE_MAGIC);
    v->body_ended = true;
    if (v->state == RECEIVE_OVER)
        receive_put_down(v);
    else if (res == 0 && !multipart_is_end(&v->form))
        receive_fault(v, 400, "MULTIPART_INVALID", "the body ends before its last boundary");
    else if (res == 0 && !v->has_file)
        receive_fault(v, 422, "FILE_MISSING", "there is no part \"file\"");
    else if (res == 0 && v->state == RECEIVE_SENDING)
        receive_close(v);
    else if (res == -EFBIG)
        receive_fault(v, 413, "BODY_TOO_LARGE", "the film is too large");
    else if (res == -ETIMEDOUT)
        receive_fault(v, 408, "REQUEST_TIMEOUT", "the film did not come in time");
    else if (res == -EBADMSG)
        receive_fault(v, 400, "BODY_INVALID", "the body's length or chunks are wrong");
    else
        receive_fault(v, 400, "BODY_INVALID", "the upload broke off");
}

/* --- the request ------------------------------------------------------------------------------ */

void upload_receive(struct call *c)
{
    static const struct http_intake_ops ops = {receive_on_data, receive_on_end};
    struct control_worker *w = http_req_worker(c->req);
    struct receive *v = calloc(1, sizeof *v);
    if (v == NULL || c->live->ingest_url == NULL) {
        free(v);
        call_finish(c,
                    fault_set(&c->fault, 503, "INGEST_UNAVAILABLE", "films cannot be taken here"));
        return;
    }
    v->body = json_object();
    if (v->body == NULL || multipart_init(&v->form, http_req_header(c->req, "content-type")) < 0) {
        json_decref(v->body);
        free(v);
        call_finish(c, fault_set(&c->fault, 415, "TYPE_UNSUPPORTED",
                                 "the content type must be multipart/form-data with a boundary"));
        return;
    }
    v->magic = RECEIVE_MAGIC;
    v->call = c;
    v->control = c->control;
    v->req = http_req_ref(c->req);
    v->loop = c->loop;
    v->fetch = w->uploads;
    if (http_req_gone(c->req)) { /* while it was found out who asks */
        v->body_ended = true;
        receive_fault(v, 400, "BODY_INVALID", "the upload broke off");
        return;
    }
    http_req_receive(c->req, &ops, v);
}
