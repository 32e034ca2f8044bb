/* SPDX-License-Identifier: Apache-2.0 */
/* What the head of an upstream's answer means for those who wait, and for what is kept. */
#include <errno.h>
#include "base/clock.h"
#include "base/id.h"
#include "edge/cache_fill.h"
#include "edge/purge.h"

static int head_settle(struct cache_fill *f, struct cache_answer answer)
{
    cache_ask_settle(f, &answer);
    return 0;
}

/* --- what is kept beside the object ----------------------------------------------------------- */

/* The key of a variant: with a salt of its index, so that a URL that was invalidated and varies
 * again has none of its former variants. */
static int head_variant(struct cache_fill *f, struct str vary, struct digest *ret_key)
{
    struct cache_table *t = f->cache->table;
    CLEAN(cache_object_unref) struct cache_object *index = cache_table_find(t, &f->primary);
    if (index == NULL || index->kind != CACHE_VARIES || !str_eq(index->vary, vary)) {
        struct cache_spec spec = {.kind = CACHE_VARIES, .key = f->primary, .vary = vary};
        id_random(&spec.salt, sizeof spec.salt);
        struct cache_object *fresh = NULL;
        int r = cache_object_new(&spec, &fresh);
        if (r < 0)
            return r;
        cache_object_unref(index);
        index = fresh;
        cache_table_put(t, index);
        cache_table_keep(t, index);
    }
    return cache_variant_key(index, &f->request->fields, ret_key) ? 0 : -EINVAL;
}

bool cache_variant_key(const struct cache_object *index, const struct fields *request,
                       struct digest *ret)
{
    CLEAN_BUF struct buf text = BUF_EMPTY;
    buf_put(&text, index->key.bytes, DIGEST_SIZE);
    buf_put(&text, &index->salt, sizeof index->salt);
    if (!http_cache_vary(index->vary, request, &text) || buf_error(&text) < 0)
        return false;
    *ret = digest_of(text.data, text.size);
    return true;
}

/* An object of these fields and terms. Not yet in the table. */
static int head_object(struct cache_fill *f, unsigned status, const struct fields *fields,
                       const struct http_cache_terms *terms, struct cache_body *body,
                       struct cache_object **ret)
{
    struct digest tags[CACHE_TAGS_MAX];
    struct cache_spec spec = {
        .kind = CACHE_RESPONSE,
        .status = status,
        .key = f->primary,
        .fields = *fields,
        .terms = *terms,
        .sequence = f->sequence,
        .tags = tags,
        .pass_keys = f->request->route->cache.pass_surrogate_keys,
        .body = body,
    };
    CLEAN_BUF struct buf vary = BUF_EMPTY;
    fields_join(fields, STR("vary"), &vary);
    int r = buf_error(&vary);
    if (r == 0)
        r = purge_tags(f->request->route->upstream, f->request->key, fields, tags,
                       &spec.tags_count);
    if (r == 0 && vary.size > 0)
        r = head_variant(f, buf_str(&vary), &spec.key);
    if (r == 0)
        r = cache_object_new(&spec, ret);
    return r == -E2BIG ? -EFBIG : r;
}

static void head_publish(struct cache_fill *f, struct cache_object *o)
{
    if (!atomic_load_explicit(&f->invalidated, memory_order_relaxed))
        cache_table_put(f->cache->table, o);
}

/* --- not to be kept --------------------------------------------------------------------------- */

/* That the next ones need not wait for each other. Not where it is the request that forbids, nor
 * for what may be there a moment later. */
static void head_remember_pass(struct cache_fill *f, unsigned status, const char *why)
{
    const struct cache_rules *rules = &f->request->route->cache;
    struct str reason = str_of(why);
    if (status >= 400 || rules->pass_s == 0 || str_eq(reason, STR("request-no-store")) ||
        str_eq(reason, STR("authorization")) || str_eq(reason, STR("range")))
        return;
    struct cache_spec spec = {
        .kind = CACHE_PASSES,
        .key = f->key,
        .until_s = clock_real_s() + rules->pass_s,
    };
    struct cache_object *o = NULL;
    if (cache_object_new(&spec, &o) < 0)
        return; /* they wait, then */
    cache_table_remove(f->cache->table, &f->key, NULL);
    head_publish(f, o);
    cache_object_unref(o);
}

/* An error that is the same for all need not be asked for by each. */
static bool head_is_shared(unsigned status)
{
    return status == 404 || status == 410 || status >= 500;
}

static void head_count_pass(const struct cache_fill *f, const char *why)
{
    const struct cache_metrics *m = &f->cache->metrics;
    bool by_request =
        str_eq(str_of(why), STR("request-no-store")) || str_eq(str_of(why), STR("authorization"));
    bool by_size = str_eq(str_of(why), STR("size"));
    metric_add(by_request ? m->passed_request : by_size ? m->passed_size : m->passed_response, 1);
}

static int head_pass(struct cache_fill *f, const struct fetch_head *head, const char *why)
{
    struct cache_answer answer = {.outcome = CACHE_PASS, .why = why, .status = head->status};
    head_count_pass(f, why);
    head_remember_pass(f, head->status, why);
    if (head_is_shared(head->status))
        answer = (struct cache_answer){
            .outcome = CACHE_FAILED, .error = -EIO, .status = head->status, .why = why};
    f->state = CACHE_FILL_PASSING;
    bool taken = f->plain && f->taker != NULL && f->taker->head(f->taker_arg, f, head, why);
    if (!taken)
        f->state = CACHE_FILL_HEAD;
    cache_ask_settle(f, &answer);
    return taken ? 0 : -ECANCELED;
}

/* --- validated -------------------------------------------------------------------------------- */

static int head_validated(struct cache_fill *f, const struct fetch_head *head)
{
    struct cache_object *old = f->kept;
    struct field room[CACHE_FIELDS_MAX];
    struct fields fields;
    struct http_cache_terms terms;
    const char *why = NULL;
    CLEAN(cache_object_unref) struct cache_object *fresh = NULL;
    CLEAN_BUF struct buf lines = BUF_EMPTY;
    if (!http_cache_validated(&old->kept, &head->fields))
        return head_settle(f, (struct cache_answer){.outcome = CACHE_FAILED, .error = -ESTALE});
    http_cache_update(&old->kept, &head->fields, &lines);
    int r = buf_error(&lines);
    if (r == 0)
        r = http_cache_fields_read(buf_str(&lines), room, ARRAY_LEN(room), &fields);
    if (r < 0)
        return r;
    metric_add(f->cache->metrics.revalidated, 1);
    if (!http_cache_may_keep(&f->request->ask, old->status, &fields, f->request_s, clock_real_s(),
                             &f->request->route->cache.options, &terms, &why)) {
        /* For this answer it is good; from now on it is not kept. */
        cache_table_remove(f->cache->table, &old->key, NULL);
        return head_settle(f, (struct cache_answer){.outcome = CACHE_OBJECT,
                                                    .object = cache_object_ref(old),
                                                    .revalidated = true});
    }
    r = head_object(f, old->status, &fields, &terms, old->body, &fresh);
    if (r < 0)
        return r;
    head_publish(f, fresh);
    cache_table_keep(f->cache->table, fresh);
    return head_settle(f, (struct cache_answer){.outcome = CACHE_OBJECT,
                                                .object = cache_object_ref(fresh),
                                                .revalidated = true,
                                                .stored = true});
}

/* --- bytes to come ---------------------------------------------------------------------------- */

struct head_extent { /* of the bytes that this answer has */
    uint64_t first, end, size;
};

/* 0; -ERANGE: a 206 that is not what was asked for. */
static int head_extent(const struct cache_fill *f, const struct fetch_head *head,
                       struct head_extent *ret)
{
    uint64_t first, last, size;
    if (head->status != 206) {
        *ret = (struct head_extent){0, head->size, head->size};
        return 0;
    }
    struct str value = fields_get(&head->fields, STR("content-range"));
    if (!f->ranged || cache_block_content_range(value, &first, &last, &size) < 0)
        return -ERANGE;
    uint64_t want_last = MIN(f->last, size - 1);
    if (first != f->first || last != want_last ||
        (head->size != UINT64_MAX && head->size != last - first + 1))
        return -ERANGE;
    *ret = (struct head_extent){first, last + 1, size};
    return 0;
}

static int head_new_object(struct cache_fill *f, const struct fetch_head *head,
                           const struct head_extent *x, const struct http_cache_terms *terms)
{
    const struct cache_rules *rules = &f->request->route->cache;
    struct cache_body *body = NULL;
    CLEAN(cache_object_unref) struct cache_object *o = NULL;
    unsigned status = head->status == 206 ? 200 : head->status;
    int r = cache_body_new(x->size, rules->block_size, &body);
    if (r == 0)
        r = head_object(f, status, &head->fields, terms, body, &o);
    cache_body_unref(body);
    if (r == 0)
        r = cache_fill_begin(f, o, x->first, x->end);
    if (r < 0)
        return r == -EFBIG ? head_pass(f, head, "size") : r;
    f->whole = head->status != 206;
    head_publish(f, o);
    return head_settle(f, (struct cache_answer){.outcome = CACHE_OBJECT,
                                                .object = cache_object_ref(o),
                                                .status = head->status,
                                                .stored = true});
}

static bool head_is_failure(unsigned status)
{
    return status == 500 || status == 502 || status == 503 || status == 504;
}

static int head_ask(struct cache_fill *f, const struct fetch_head *head)
{
    const struct cache_rules *rules = &f->request->route->cache;
    struct http_cache_terms terms;
    struct head_extent x;
    const char *why = NULL;
    if (head->status == 304)
        return f->validate ? head_validated(f, head) : head_pass(f, head, "status");
    if (head_is_failure(head->status) && f->stale_may) {
        (void)head_settle(f, (struct cache_answer){.outcome = CACHE_STALE,
                                                   .object = cache_object_ref(f->kept),
                                                   .status = head->status});
        return -ECANCELED;
    }
    if (f->request->is_ahead && head->status != 200) {
        /* Nobody has asked: who joined meanwhile asks by himself. */
        (void)head_settle(f, (struct cache_answer){.outcome = CACHE_FAILED,
                                                   .error = -ESTALE,
                                                   .status = head->status});
        return -ECANCELED;
    }
    if (head->status == 416 && f->ranged)
        return head_pass(f, head, "range");
    if (head_extent(f, head, &x) < 0)
        return head_pass(f, head, "range");
    unsigned status = head->status == 206 ? 200 : head->status;
    if (!http_cache_may_keep(&f->request->ask, status, &head->fields, f->request_s, clock_real_s(),
                             &rules->options, &terms, &why))
        return head_pass(f, head, why);
    if (fields_get(&head->fields, STR("set-cookie")).data != NULL)
        return head_pass(f, head, "set-cookie");
    if (x.size != CACHE_SIZE_UNKNOWN && x.size > rules->object_max)
        return head_pass(f, head, "size");
    return head_new_object(f, head, &x, &terms);
}

/* --- more of what is known in part ------------------------------------------------------------ */

static int head_gap(struct cache_fill *f, const struct fetch_head *head)
{
    struct head_extent x;
    const struct cache_object *o = f->object;
    f->state = CACHE_FILL_FILLING; /* from here on a failure is the body's */
    if (head_is_failure(head->status))
        return -EIO;
    if (head->status != 206 || head_extent(f, head, &x) < 0)
        return -ESTALE;
    struct str etag = fields_get(&head->fields, STR("etag"));
    struct str modified = fields_get(&head->fields, STR("last-modified"));
    if (x.size != cache_body_size(o->body))
        return -ESTALE;
    if (o->etag != NULL ? !str_eq(etag, str_of(o->etag)) : !str_eq(modified, o->modified))
        return -ESTALE;
    return cache_fill_begin(f, f->object, x.first, x.end);
}

int cache_fill_head(struct cache_fill *f, const struct fetch_head *head)
{
    switch (f->kind) {
    case CACHE_FILL_ASK:
        return head_ask(f, head);
    case CACHE_FILL_GAP:
        return head_gap(f, head);
    case CACHE_FILL_PASS:
        break;
    }
    f->state = CACHE_FILL_PASSING;
    if (f->taker->head(f->taker_arg, f, head, NULL))
        return 0;
    f->state = CACHE_FILL_HEAD;
    return -ECANCELED;
}
