/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/s3_tier.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "fetch/s3_priv.h"
#include "fetch/s3_xml.h"

#define S3_LIST_KEYS 1000 /* a page; more are not given */

struct s3_tier *s3__tier_of(struct store_tier *tier)
{
    struct s3_tier *t = (struct s3_tier *)(void *)tier;
    ASSERT(t != NULL);
    ASSERT(t->magic == S3_TIER_MAGIC);
    return t;
}

struct s3_tier *s3__tier_of_op(struct tier_op *op)
{
    return s3__tier_of(&op->base->tier);
}

static void s3_call_bare(struct tier_op *op, struct engine_call *c, const char *method,
                         void (*done)(struct engine_call *c, int res))
{
    struct s3_tier *t = s3__tier_of_op(op);
    c->method = method;
    c->text_max = S3_TEXT_MAX;
    c->length = UINT64_MAX;
    c->retries = t->s3->retries;
    c->circuit = &t->circuit;
    c->judge = s3_judge;
    c->done = done;
}

void s3__call(struct tier_op *op, struct engine_call *c, const char *method,
              void (*done)(struct engine_call *c, int res))
{
    s3_call_bare(op, c, method, done);
    s3_put_object(s3__tier_of_op(op)->s3, &op->digest, &c->url);
}

static void s3_op_done(struct engine_call *c, int res)
{
    tier_op_end(CONTAINER_OF(c, struct tier_op, call), res);
}

/* --- get -------------------------------------------------------------------------------------- */

static void s3_get_begin(struct tier_op *op)
{
    s3__call(op, &op->call, "GET", s3_op_done);
    op->call.wants_blob = true;
    if (op->length > 0)
        op->call.length = op->length;
    engine_call(op->base->engine, &op->call);
}

static void s3_get(struct store_tier *tier, const struct digest *d, uint32_t length,
                   store_tier_got *done, void *arg)
{
    struct s3_tier *t = s3__tier_of(tier);
    struct tier_op *op = tier_op_new(&t->base, sizeof *op, d, s3_get_begin);
    op->length = length;
    op->got = done;
    op->arg = arg;
    tier_op_submit(op);
}

/* --- remove ----------------------------------------------------------------------------------- */

static void s3_remove_done(struct engine_call *c, int res)
{
    tier_op_end(CONTAINER_OF(c, struct tier_op, call), res == -ENOENT ? 0 : res);
}

static void s3_remove_begin(struct tier_op *op)
{
    s3__call(op, &op->call, "DELETE", s3_remove_done);
    op->call.is_write = true;
    engine_call(op->base->engine, &op->call);
}

static void s3_remove(struct store_tier *tier, const struct digest *d, store_tier_done *done,
                      void *arg)
{
    struct s3_tier *t = s3__tier_of(tier);
    struct tier_op *op = tier_op_new(&t->base, sizeof *op, d, s3_remove_begin);
    op->done = done;
    op->arg = arg;
    tier_op_submit(op);
}

/* --- list and check --------------------------------------------------------------------------- */

struct s3_list_op {
    struct tier_op op; /* first */
    const char *token;
    unsigned keys_max;
    bool is_check;
};

struct s3_listing {
    const struct s3 *s3;
    store_tier_each *each;
    void *arg;
    bool is_over; /* each has had enough */
};

static void s3_list_begin(struct tier_op *op)
{
    const struct s3_list_op *l = (const struct s3_list_op *)(void *)op;
    s3_call_bare(op, &op->call, "GET", s3_op_done);
    op->call.judge = s3_judge_present;
    s3_put_list(s3__tier_of_op(op)->s3, l->token, l->keys_max, &op->call.url);
    op->call.text_max = S3_LIST_TEXT_MAX;
    op->call.is_forced = l->is_check;
    if (l->is_check)
        op->call.retries = 0;
    engine_call(op->base->engine, &op->call);
}

static bool s3_listing_each(void *arg, struct str key, uint64_t size)
{
    struct s3_listing *l = arg;
    struct digest d;
    if (s3_key_parse(l->s3, key, &d) < 0)
        return true; /* somebody else's */
    l->is_over = !l->each(l->arg, &d, size);
    return !l->is_over;
}

static bool s3_ignore_each(void *arg, struct str key, uint64_t size)
{
    (void)arg, (void)key, (void)size;
    return false;
}

/* One request. l: NULL for a check. */
static int s3_list_page(struct s3_tier *t, const char *token, struct s3_listing *l,
                        struct s3_xml_page *ret, struct err *err)
{
    CLEAN(tier_op_free)
    struct tier_op *op = tier_op_new(&t->base, sizeof(struct s3_list_op), NULL, s3_list_begin);
    struct s3_list_op *list = (struct s3_list_op *)(void *)op;
    list->token = token;
    list->is_check = l == NULL;
    list->keys_max = l == NULL ? 1 : S3_LIST_KEYS;
    int r = tier_base_run(op);
    const char *why = op->call.why;
    if (r == 0) {
        r = l != NULL ? s3_xml_page(buf_str(&op->call.text), s3_listing_each, l, ret)
                      : s3_xml_page(buf_str(&op->call.text), s3_ignore_each, NULL, ret);
        why = "the answer is not a list";
    }
    if (r == -ECANCELED || r == -EAGAIN)
        why = r == -EAGAIN ? "too many requests wait" : "the tier is being closed";
    return r < 0 ? err_set(err, r, "bucket %s at %s: %s", t->s3->bucket, t->s3->base, why) : 0;
}

static int s3_list_pages(struct s3_tier *t, struct s3_listing *l, struct err *err)
{
    struct s3_xml_page *page = malloc(2 * sizeof *page); /* this one, and the one before */
    if (page == NULL)
        return err_errno(err, -ENOMEM, "listing bucket %s", t->s3->bucket);
    page[1].token[0] = '\0';
    int r;
    for (;;) {
        r = s3_list_page(t, page[1].token, l, &page[0], err);
        if (r < 0 || l->is_over || !page[0].is_truncated)
            break;
        if (page[0].token[0] == '\0' || strcmp(page[0].token, page[1].token) == 0) {
            r = err_set(err, -EBADMSG, "bucket %s at %s: a list without an end", t->s3->bucket,
                        t->s3->base);
            break;
        }
        page[1] = page[0];
    }
    free(page);
    return r;
}

static int s3_list(struct store_tier *tier, store_tier_each *each, void *arg, struct err *err)
{
    struct s3_tier *t = s3__tier_of(tier);
    struct s3_listing l = {.s3 = t->s3, .each = each, .arg = arg};
    int r = tier_base_enter(&t->base);
    if (r < 0)
        return err_set(err, r, "the tier is being closed");
    r = s3_list_pages(t, &l, err);
    tier_base_leave(&t->base);
    return r;
}

static int s3_check(struct store_tier *tier, struct err *err)
{
    struct s3_tier *t = s3__tier_of(tier);
    struct s3_xml_page page;
    int r = tier_base_enter(&t->base);
    if (r < 0)
        return err_set(err, r, "the tier is being closed");
    r = s3_list_page(t, "", NULL, &page, err);
    tier_base_leave(&t->base);
    return r;
}

/* --- life ------------------------------------------------------------------------------------- */

static struct store_tier *s3_tier_free(struct store_tier *tier)
{
    if (tier == NULL)
        return NULL;
    struct s3_tier *t = s3__tier_of(tier);
    tier_base_stop(&t->base);
    t->s3 = s3_free(t->s3);
    MAGIC_CLEAR(t);
    free(t);
    return NULL;
}

static const struct store_tier_ops s3_tier_ops = {
    .name = "s3",
    .get = s3_get,
    .put = s3__put,
    .remove = s3_remove,
    .list = s3_list,
    .check = s3_check,
    .free = s3_tier_free,
};

int s3_tier_new(const struct s3_options *o, struct err *err, struct store_tier **ret)
{
    struct s3_tier *t = calloc(1, sizeof *t);
    if (t == NULL)
        return err_errno(err, -ENOMEM, "opening the S3 tier");
    t->magic = S3_TIER_MAGIC;
    t->circuit.failures_max = o->breaker_failures > 0 ? o->breaker_failures : 8;
    t->circuit.open_ms = o->breaker_ms > 0 ? o->breaker_ms : 1000;
    int r = s3_new(o, err, &t->s3);
    if (r == 0) {
        const struct engine_options options = {
            .name = s3_tier_ops.name,
            .ca_file = t->s3->ca_file,
            .connect_ms = o->connect_ms,
            .stall_ms = o->stall_ms,
            .backoff_ms = o->backoff_ms,
            .retry_after_ms = o->retry_after_ms,
            .transfers_max = o->transfers_max,
            .waiting_max = o->waiting_max,
            .sigv4 = t->s3->sigv4,
            .user = t->s3->user,
            .password = t->s3->password,
        };
        r = tier_base_start(&t->base, &s3_tier_ops, &options);
        if (r < 0)
            r = err_errno(err, r, "starting the S3 tier");
    }
    if (r < 0) {
        t->s3 = s3_free(t->s3);
        MAGIC_CLEAR(t);
        free(t);
        return r;
    }
    *ret = &t->base.tier;
    return 0;
}
