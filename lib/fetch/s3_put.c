/* SPDX-License-Identifier: Apache-2.0 */
/* A put: one request; above the multipart size an upload in parts:
 *
 *   begin -> parts, side by side -> complete -> ended
 *               |                      |-> look: the answer to a complete was lost, is it there?
 *               |-- failure -----------|-> answered -> abort -> ended
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/enc.h"
#include "fetch/s3_priv.h"
#include "fetch/s3_xml.h"

#define S3_BODY_TYPE     "application/octet-stream"
#define S3_ABORT_RETRIES 2

struct s3_put;

struct s3_part {
    struct engine_call call;
    struct s3_put *put;
};

struct s3_put {
    struct tier_op op; /* first. Its call: the whole blob, begin, complete, look or abort */
    struct rbuf *blob;
    const uint8_t *data;
    uint32_t size;
    char upload[S3_XML_UPLOAD_SIZE]; /* "" before there is one */
    struct buf list;                 /* of the parts, to complete with */
    struct s3_part *parts;
    unsigned parts_count, parts_open;
    bool is_giving_up;
    int res; /* what made it look */
};

static struct s3_put *s3_put_of(struct tier_op *op)
{
    return (struct s3_put *)(void *)op;
}

static struct s3_put *s3_put_of_call(struct engine_call *c)
{
    return s3_put_of(CONTAINER_OF(c, struct tier_op, call));
}

static void s3_put_clear(struct tier_op *op)
{
    struct s3_put *p = s3_put_of(op);
    for (unsigned i = 0; p->parts != NULL && i < p->parts_count; i++)
        engine_call_clear(&p->parts[i].call);
    free(p->parts);
    buf_free(&p->list);
    p->blob = rbuf_unref(p->blob);
}

/* The operation's own call, anew. */
static struct engine_call *s3_put_call(struct s3_put *p, const char *method,
                                       void (*done)(struct engine_call *c, int res))
{
    struct engine_call *c = &p->op.call;
    engine_call_clear(c);
    s3__call(&p->op, c, method, done);
    c->is_write = true;
    return c;
}

static void s3_put_run(struct s3_put *p)
{
    engine_call(p->op.base->engine, &p->op.call);
}

/* --- the end of an upload that failed --------------------------------------------------------- */

static void s3_abort_done(struct engine_call *c, int res)
{
    struct s3_put *p = s3_put_of_call(c);
    if (res < 0 && res != -ENOENT && !s3_error_is(c, "NoSuchUpload"))
        engine_complain(p->op.base->engine, "an upload in parts was left behind: %s",
                        c->why[0] != '\0' ? c->why : "there was no time to abort it");
    tier_op_end(&p->op, res);
}

static void s3_put_give_up(struct s3_put *p, int res)
{
    tier_op_answer(&p->op, res); /* whoever waits need not wait for the rest */
    p->blob = rbuf_unref(p->blob);
    if (p->upload[0] == '\0') {
        tier_op_end(&p->op, res);
        return;
    }
    struct engine_call *c = s3_put_call(p, "DELETE", s3_abort_done);
    buf_puts(&c->url, "?uploadId=");
    enc_percent(str_of(p->upload), &c->url);
    c->retries = S3_ABORT_RETRIES;
    c->at_end = ENGINE_END_RUN;
    c->is_quiet = true;
    s3_put_run(p);
}

/* --- complete --------------------------------------------------------------------------------- */

static void s3_look_done(struct engine_call *c, int res)
{
    struct s3_put *p = s3_put_of_call(c);
    if (res == 0 && c->size == p->size)
        tier_op_end(&p->op, 0);
    else
        s3_put_give_up(p, p->res);
}

static void s3_complete_done(struct engine_call *c, int res)
{
    struct s3_put *p = s3_put_of_call(c);
    if (res == 0) {
        tier_op_end(&p->op, 0);
        return;
    }
    p->res = res;
    if (c->tries > 1 && s3_error_is(c, "NoSuchUpload")) {
        c = s3_put_call(p, "HEAD", s3_look_done);
        c->is_head = true;
        s3_put_run(p);
        return;
    }
    s3_put_give_up(p, res);
}

static void s3_put_complete(struct s3_put *p)
{
    buf_puts(&p->list, "<CompleteMultipartUpload"
                       " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (unsigned i = 0; i < p->parts_count; i++) {
        buf_puts(&p->list, "<Part><ETag>");
        buf_put_xml(&p->list, str_of(p->parts[i].call.etag));
        buf_printf(&p->list, "</ETag><PartNumber>%u</PartNumber></Part>", i + 1);
    }
    buf_puts(&p->list, "</CompleteMultipartUpload>");
    int r = buf_error(&p->list);
    if (r < 0) {
        s3_put_give_up(p, r);
        return;
    }
    struct engine_call *c = s3_put_call(p, "POST", s3_complete_done);
    buf_puts(&c->url, "?uploadId=");
    enc_percent(str_of(p->upload), &c->url);
    c->type = "application/xml";
    c->body = (const uint8_t *)p->list.data;
    c->body_size = p->list.size;
    c->judge = s3_judge_complete;
    c->at_end = ENGINE_END_FINISH;
    s3_put_run(p);
}

/* --- parts ------------------------------------------------------------------------------------ */

static void s3_part_done(struct engine_call *c, int res)
{
    struct s3_put *p = CONTAINER_OF(c, struct s3_part, call)->put;
    ASSERT(p->parts_open > 0);
    p->parts_open--;
    if (p->is_giving_up)
        return; /* one of the others; called from the loop below */
    if (res == 0) {
        if (p->parts_open == 0)
            s3_put_complete(p);
        return;
    }
    p->is_giving_up = true;
    for (unsigned i = 0; i < p->parts_count; i++)
        if (p->parts[i].call.state != ENGINE_CALL_IDLE)
            engine_call_cancel(&p->parts[i].call);
    ASSERT(p->parts_open == 0);
    s3_put_give_up(p, res);
}

static void s3_part_start(struct s3_put *p, unsigned index)
{
    const uint32_t step = s3__tier_of_op(&p->op)->s3->multipart_size;
    uint32_t offset = index * step;
    struct engine_call *c = &p->parts[index].call;
    p->parts[index].put = p;
    s3__call(&p->op, c, "PUT", s3_part_done);
    buf_printf(&c->url, "?partNumber=%u&uploadId=", index + 1);
    enc_percent(str_of(p->upload), &c->url);
    c->is_write = true;
    c->type = S3_BODY_TYPE;
    c->body = p->data + offset;
    c->body_size = MIN(step, p->size - offset);
    c->judge = s3_judge_stored;
    engine_call(p->op.base->engine, c);
}

static void s3_begin_done(struct engine_call *c, int res)
{
    struct s3_put *p = s3_put_of_call(c);
    const uint32_t step = s3__tier_of_op(&p->op)->s3->multipart_size;
    if (res == 0 && s3_xml_upload(buf_str(&c->text), p->upload) < 0) {
        p->upload[0] = '\0';
        res = -EBADMSG;
        engine_complain(p->op.base->engine, "the answer to the begin of an upload is none");
    }
    unsigned count = (p->size - 1) / step + 1;
    if (res == 0 && (p->parts = calloc(count, sizeof *p->parts)) == NULL)
        res = -ENOMEM;
    if (res < 0) {
        s3_put_give_up(p, res);
        return;
    }
    p->parts_count = p->parts_open = count;
    for (unsigned i = 0; i < count; i++) /* they only queue: none ends within this loop */
        s3_part_start(p, i);
}

/* --- begin ------------------------------------------------------------------------------------ */

static void s3_whole_done(struct engine_call *c, int res)
{
    tier_op_end(CONTAINER_OF(c, struct tier_op, call), res);
}

static void s3_put_begin(struct tier_op *op)
{
    struct s3_put *p = s3_put_of(op);
    bool in_parts = p->size > s3__tier_of_op(op)->s3->multipart_size;
    struct engine_call *c =
        s3_put_call(p, in_parts ? "POST" : "PUT", in_parts ? s3_begin_done : s3_whole_done);
    c->type = S3_BODY_TYPE;
    if (in_parts) {
        buf_puts(&c->url, "?uploads=");
        c->judge = s3_judge_present;
        c->at_end = ENGINE_END_FINISH; /* or nobody would know what to abort */
    } else {
        c->body = p->data;
        c->body_size = p->size;
        c->judge = s3_judge_stored;
    }
    s3_put_run(p);
}

void s3__put(struct store_tier *tier, const struct digest *d, struct rbuf *blob,
             store_tier_done *done, void *arg)
{
    struct s3_tier *t = s3__tier_of(tier);
    struct tier_op *op = tier_op_new(&t->base, sizeof(struct s3_put), d, s3_put_begin);
    struct s3_put *p = s3_put_of(op);
    p->blob = rbuf_ref(blob);
    p->data = rbuf_data(blob, &p->size);
    op->clear = s3_put_clear;
    op->done = done;
    op->arg = arg;
    tier_op_submit(op);
}
