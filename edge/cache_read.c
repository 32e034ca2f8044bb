/* SPDX-License-Identifier: Apache-2.0 */
/* An object given out: its bytes come from RAM, from disk, from a fill that is under way, or from
 * one that is begun for what is missing. */
#include <errno.h>
#include "base/clock.h"
#include "edge/cache_op.h"
#include "edge/seen.h"
#include "http/http_cond.h"
#include "http/http_range.h"

static void read_on_wake(void *arg);

static void read_let_go(struct cache_op *op)
{
    op->held = rbuf_unref(op->held);
    op->size = 0;
}

void op_leave_body(struct cache_op *op)
{
    read_let_go(op);
    if (op->reader != NULL) {
        cache_body_leave(op->object->body, op->reader);
        op->reader = cache_waker_drop(op->reader);
    }
}

static int read_enter(struct cache_op *op)
{
    if (op->reader != NULL)
        return 0;
    int r = cache_waker_new(op->worker->worker->loop, read_on_wake, op, &op->reader);
    if (r == 0)
        cache_body_enter(op->object->body, op->reader);
    return r;
}

/* --- which bytes the client wants ------------------------------------------------------------- */

/* Where the range that has offset ends; offset CACHE_SIZE_UNKNOWN: where the first one begins. */
static uint64_t read_wanted(struct cache_op *op, uint64_t offset)
{
    struct http_range ranges[HTTP_RANGES_MAX];
    unsigned count = 0;
    const struct cache_object *o = op->object;
    uint64_t size = cache_body_size(o->body);
    bool ask_first = offset == CACHE_SIZE_UNKNOWN;
    const struct http_validators v = {str_of(o->etag), o->terms.modified_s};
    struct str range = http_req_header(op->req, "range");
    if (range.data == NULL || o->status != 200 || size == CACHE_SIZE_UNKNOWN || size == 0 ||
        !http_cond_if_range(http_req_header(op->req, "if-range"), &v) ||
        http_range_parse(range, size, ranges, &count) != HTTP_RANGE_SOME)
        return ask_first ? 0 : size;
    if (ask_first)
        return ranges[0].first;
    uint64_t end = size;
    for (unsigned i = 0; i < count; i++)
        if (offset >= ranges[i].first && offset < ranges[i].first + ranges[i].size)
            end = ranges[i].first + ranges[i].size;
    return end;
}

/* --- what is missing -------------------------------------------------------------------------- */

static int read_gap(struct cache_op *op, uint64_t offset)
{
    struct cache_object *o = op->object;
    struct cache_fill *f = NULL;
    if (!o->can_extend || cache_body_size(o->body) == CACHE_SIZE_UNKNOWN)
        return -ESTALE;
    if (op->gaps++ >= CACHE_GAPS_MAX)
        return op->read_error < 0 ? op->read_error : -EIO;
    int r = op_request(op);
    if (r < 0)
        return r;
    uint64_t end = read_wanted(op, offset);
    const struct cache_fill_want want = {
        .kind = CACHE_FILL_GAP,
        .request = op->request,
        .primary = op->primary,
        .key = o->key,
        .object = o,
        .block = cache_block_of(offset, o->body->block_size),
        .end = cache_block_of(end - 1, o->body->block_size) + 1,
    };
    r = cache_fill_start(op->worker, &want, &f);
    if (r == -EALREADY)
        return 0; /* another's has just begun */
    if (r == 0) {
        op->fwd = op->fwd == NULL ? "partial" : op->fwd;
        cache_fill_unref(f); /* it goes on as long as the body has readers */
    }
    return r;
}

/* --- bytes ------------------------------------------------------------------------------------ */

static void read_hold(struct cache_op *op, struct rbuf *bytes, const uint8_t *data, uint64_t start,
                      uint32_t size)
{
    read_let_go(op);
    op->held = bytes;
    op->data = data;
    op->start = start;
    op->size = size;
    op->gaps = 0;
}

/* A blob of the store as the block that has offset. False: it is not that long. */
static bool read_hold_block(struct cache_op *op, struct rbuf *blob, uint64_t offset)
{
    const struct cache_body *b = op->object->body;
    uint64_t body_size = cache_body_size(b);
    uint32_t size;
    const uint8_t *data = rbuf_data(blob, &size);
    uint32_t block = cache_block_of(offset, b->block_size);
    uint32_t length = body_size == CACHE_SIZE_UNKNOWN
                          ? b->block_size
                          : cache_block_length(body_size, b->block_size, block);
    if (size != length)
        return false;
    read_hold(op, rbuf_ref(blob), data, cache_block_start(block, b->block_size), size);
    return true;
}

/* The store does not have block any more. What was written with it went with it, mostly: what else
 * of the answer is gone is found out now, so that one request brings all of it. */
static void read_lost(struct cache_op *op, uint32_t block)
{
    struct cache_body *b = op->object->body;
    struct store_worker *store = op->worker->worker->store;
    uint64_t end = read_wanted(op, op->getting_offset);
    metric_add(op->worker->cache->metrics.lost, 1);
    cache_body_lost(b, block, &op->getting_digest);
    for (unsigned n = 1; n < CACHE_LOST_LOOK; n++) {
        uint64_t start = cache_block_start(block + n, b->block_size);
        struct cache_piece piece = {0};
        if (start >= end || cache_body_look(b, start, NULL, &piece) < 0)
            break;
        bool landing = piece.bytes != NULL;
        rbuf_unref(piece.bytes);
        if (landing || store_has(store, &piece.digest))
            break;
        metric_add(op->worker->cache->metrics.lost, 1);
        cache_body_lost(b, block + n, &piece.digest);
    }
}

static void read_on_get(void *arg, int res, struct rbuf *blob)
{
    struct cache_op *op = arg;
    op->getting = false;
    if (op->closed) {
        op_end(op);
        return;
    }
    if (res == 0 && read_hold_block(op, blob, op->getting_offset)) {
        op->from_disk = true;
    } else {
        /* Evicted, damaged, or its disk has gone: fetched again, if it can be. */
        read_lost(op, cache_block_of(op->getting_offset, op->object->body->block_size));
        op->read_error = res == 0 ? -EBADMSG : res;
    }
    if (!op->in_get)
        read_on_wake(op);
}

static int read_store(struct cache_op *op, const struct digest *d, uint64_t offset)
{
    struct store_worker *store = op->worker->worker->store;
    struct rbuf *hot = op->own ? store_peek_own(store, d) : store_peek(store, d);
    if (hot != NULL) {
        bool fits = read_hold_block(op, hot, offset);
        rbuf_unref(hot);
        if (fits)
            return 0;
    }
    op->getting = true;
    op->in_get = true;
    op->getting_offset = offset;
    op->getting_digest = *d;
    if (op->own)
        store_get_own(store, d, read_on_get, op);
    else
        store_get(store, d, read_on_get, op);
    op->in_get = false;
    return op->getting ? -EAGAIN : 0; /* 0: look again */
}

/* Makes op->data hold offset: 0, -EAGAIN (read_on_wake comes), -ENODATA, or why not. */
static int read_at(struct cache_op *op, uint64_t offset)
{
    struct cache_piece piece;
    for (;;) {
        if (op->size > 0 && offset >= op->start && offset - op->start < op->size)
            return 0;
        if (op->getting)
            return -EAGAIN;
        int r = cache_body_look(op->object->body, offset, op->reader, &piece);
        if (r == 0 && piece.bytes != NULL) {
            read_hold(op, piece.bytes, piece.data, piece.start, piece.size);
            continue;
        }
        if (r == 0)
            r = read_store(op, &piece.digest, offset);
        else if ((r == -EAGAIN || r == -ENOENT) && op->reader == NULL) {
            r = read_enter(op); /* it is not settled any more */
        } else if (r == -ENOENT) {
            r = read_gap(op, offset);
        }
        if (r < 0)
            return r;
    }
}

static int source_read(void *source, uint64_t offset, uint32_t size_max, const uint8_t **ret_data,
                       uint32_t *ret_size)
{
    struct cache_op *op = source;
    int r = read_at(op, offset);
    if (r < 0)
        return r;
    uint64_t skip = offset - op->start;
    *ret_data = op->data + skip;
    *ret_size = (uint32_t)MIN((uint64_t)size_max, op->size - skip);
    return 0;
}

static void source_close(void *source)
{
    struct cache_op *op = source;
    op->closed = true;
    if (!op->getting)
        op_end(op); /* else the store still has it */
}

/* --- the answer ------------------------------------------------------------------------------- */

static void read_put_number(struct buf *b, int64_t n)
{
    char text[24];
    char *at = text + sizeof text;
    uint64_t left = n < 0 ? (uint64_t)-n : (uint64_t)n;
    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (n < 0)
        *--at = '-';
    buf_put(b, at, (size_t)(text + sizeof text - at));
}

/* What http_cache_status_write makes of a plain hit: nearly all answers. */
static void read_put_hit(const struct cache_op *op, int64_t ttl_s, struct buf *b)
{
    buf_puts(b, CACHE_NAME "; hit; ttl=");
    read_put_number(b, ttl_s);
    buf_puts(b, "; detail=");
    buf_puts(b, op->detail);
}

static void read_put_status(const struct cache_op *op, int64_t ttl_s, struct buf *b)
{
    if (op->fwd == NULL && op->detail != NULL) {
        read_put_hit(op, ttl_s, b);
        return;
    }
    const struct http_cache_status s = {
        .fwd = op->fwd,
        .ttl_s = ttl_s,
        .fwd_status = op->fwd != NULL ? op->fwd_status : 0,
        .stored = op->stored && op->fwd != NULL,
        .collapsed = op->collapsed,
        .detail = op->detail,
    };
    http_cache_status_write(STR(CACHE_NAME), &s, b);
}

static void read_status_fields(struct cache_op *op, int64_t age_s)
{
    const struct cache_object *o = op->object;
    struct buf *b = &op->worker->key; /* free between look-ups */
    buf_clear(b);
    read_put_number(b, age_s);
    if (buf_error(b) == 0)
        http_res_field(op->req, STR("age"), buf_str(b));
    buf_clear(b);
    if (o->status_list.size > 0) {
        buf_put_str(b, o->status_list);
        buf_puts(b, ", ");
    }
    read_put_status(op, o->terms.lifetime_s - age_s, b);
    if (buf_error(b) == 0)
        http_res_field(op->req, STR("cache-status"), buf_str(b));
}

static enum seen_tier read_tier(const struct cache_op *op)
{
    if (op->detail != NULL && str_starts(str_of(op->detail), STR("stale")))
        return SEEN_STALE;
    if (op->fwd == NULL)
        return op->from_disk ? SEEN_DISK : SEEN_RAM;
    if (op->collapsed)
        return SEEN_COLLAPSED;
    return op->fwd_status == 304 ? SEEN_REVALIDATED : SEEN_MISS;
}

static void read_count(struct cache_op *op)
{
    const struct cache_metrics *m = &op->worker->cache->metrics;
    if (op->fwd == NULL)
        metric_add(op->from_disk ? m->hits_disk : m->hits_ram, 1);
    else
        metric_add(op->collapsed ? m->collapsed : m->misses, 1);
    seen_timed(op->req, read_tier(op));
    if (op->fwd == NULL && op->detail == NULL)
        op->detail = op->from_disk ? "disk" : "ram";
}

/* Another edge has to find it by them, too. */
static void read_keys(const struct cache_op *op)
{
    const struct cache_object *o = op->object;
    for (unsigned i = 0; op->is_peer && !o->pass_keys && i < o->kept.count; i++) {
        const struct field *f = &o->kept.at[i];
        if (str_eq(f->name, STR("surrogate-key")) || str_eq(f->name, STR("xkey")))
            http_res_field(op->req, f->name, f->value);
    }
}

static void read_reply(struct cache_op *op)
{
    static const struct http_source_ops ops = {source_read, source_close};
    const struct cache_object *o = op->object;
    op->replied = true; /* from here on source_close ends it */
    read_count(op);
    read_keys(op);
    read_status_fields(op, http_cache_age(&o->terms, clock_real_s()));
    struct http_entity e = {
        .status = o->status == 200 ? 0 : o->status,
        .type = o->type,
        .etag = o->etag,
        .modified_s = o->terms.modified_s,
        .source_ops = &ops,
        .source = op,
        .size = cache_body_size(o->body),
        .fields = o->sent,
    };
    http_reply_entity(op->req, &e);
}

/* --- before the answer ------------------------------------------------------------------------ */

static bool read_needs_no_byte(const struct cache_op *op)
{
    return op->head_only || http_req_header(op->req, "if-none-match").data != NULL ||
           http_req_header(op->req, "if-modified-since").data != NULL;
}

/* A range needs the size, which a body without one tells only at its end: of a short one that can
 * be waited for. */
static int read_await_size(struct cache_op *op)
{
    struct cache_piece piece = {0};
    struct cache_body *b = op->object->body;
    if (cache_body_size(b) != CACHE_SIZE_UNKNOWN || http_req_header(op->req, "range").data == NULL)
        return 0;
    int r = cache_body_look(b, CACHE_RANGE_WAIT, op->reader, &piece);
    rbuf_unref(piece.bytes);
    return r == -EAGAIN ? r : 0;
}

/* The first byte is there before the head goes out: until then all can still be answered. */
static void read_probe(struct cache_op *op)
{
    int r = read_await_size(op);
    if (r == 0 && !read_needs_no_byte(op))
        r = read_at(op, read_wanted(op, CACHE_SIZE_UNKNOWN));
    if (r == -EAGAIN) {
        if (http_req_gone(op->req) && !op->getting)
            op_end(op);
        return;
    }
    if (r < 0 && r != -ENODATA) {
        struct cache_object *o = op->object;
        if (op->gaps == 0 || r == -ESTALE) /* of no use as it is: what is missing cannot be added */
            cache_table_remove(op->worker->cache->table, &o->key, o);
        op->read_error = r;
        op_restart(op);
        return;
    }
    read_reply(op);
}

static void read_on_wake(void *arg)
{
    struct cache_op *op = arg;
    if (op->replied)
        http_req_wake(op->req);
    else
        read_probe(op);
}

void op_use(struct cache_op *op, struct cache_object *o)
{
    ASSERT(op->object == NULL);
    op->object = o;
    if (!cache_body_settled(o->body) && read_enter(op) < 0) {
        cache_reply_failed(op->req, -ENOMEM, 0, op->fwd);
        op_end(op);
        return;
    }
    read_probe(op);
}
