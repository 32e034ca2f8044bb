/* SPDX-License-Identifier: Apache-2.0 */
/* An object is one piece of memory: the struct, its lists of fields, its tags, its texts. */
#include "edge/cache_object.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "http/http_cond.h"

#define CACHE_VIA "1.1 " CACHE_NAME

/* What is of a message, of a hop or of our own making, and never kept. */
static bool cache_is_of_message(struct str name)
{
    static const char *const names[] = {"age", "content-length", "content-range", "server"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(name, str_of(names[i])))
            return true;
    return name.size == 0;
}

bool cache_is_of_rules(struct str name)
{
    return str_eq(name, STR("access-control-allow-origin")) ||
           str_eq(name, STR("access-control-allow-credentials")) ||
           str_eq(name, STR("access-control-expose-headers")) ||
           str_eq(name, STR("timing-allow-origin"));
}

/* Kept, and not sent as it is. */
static bool cache_is_for_us(struct str name, bool pass_keys)
{
    if (str_eq(name, STR("surrogate-key")) || str_eq(name, STR("xkey")))
        return !pass_keys;
    return cache_is_of_rules(name) || str_eq(name, STR("content-type")) ||
           str_eq(name, STR("via")) || str_eq(name, STR("cache-status")) ||
           str_eq(name, STR("accept-ranges"));
}

struct cache_build {
    const struct cache_spec *spec;
    struct cache_object *object;
    struct field *kept, *sent;
    unsigned kept_count, sent_count;
    char *text; /* where the next one goes */
    struct buf via, vary, status_list;
    char date[CLOCK_TEXT_SIZE];
};

/* Copied with a zero behind it; control characters would end a line. */
static struct str cache_text(struct cache_build *b, struct str s)
{
    char *at = b->text;
    for (size_t i = 0; i < s.size; i++) {
        unsigned char c = (unsigned char)s.data[i];
        at[i] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
    }
    at[s.size] = '\0';
    b->text += s.size + 1;
    return (struct str){at, s.size};
}

static void cache_send(struct cache_build *b, struct str name, struct str value)
{
    b->sent[b->sent_count++] = (struct field){name, value};
}

static void cache_build_fields(struct cache_build *b)
{
    const struct cache_spec *s = b->spec;
    struct cache_object *o = b->object;
    for (unsigned i = 0; i < s->fields.count; i++) {
        const struct field *f = &s->fields.at[i];
        if (cache_is_of_message(f->name) || field_is_hop_by_hop(&s->fields, f->name))
            continue;
        struct field copy = {cache_text(b, f->name), cache_text(b, f->value)};
        b->kept[b->kept_count++] = copy;
        if (!cache_is_for_us(copy.name, s->pass_keys))
            cache_send(b, copy.name, copy.value);
    }
    o->kept = (struct fields){b->kept, b->kept_count};
}

static void cache_build_more(struct cache_build *b)
{
    struct cache_object *o = b->object;
    int64_t date_s = o->terms.response_s;
    if (fields_get(&o->kept, STR("date")).data == NULL)
        cache_send(b, STR("date"), cache_text(b, str_of(b->date)));
    else if (http_date_parse(fields_get(&o->kept, STR("date")), &date_s) < 0)
        date_s = o->terms.response_s;
    cache_send(b, STR("via"), cache_text(b, buf_str(&b->via)));
    o->sent = (struct fields){b->sent, b->sent_count};
    o->vary = cache_text(b, buf_str(&b->vary));
    o->status_list = cache_text(b, buf_str(&b->status_list));
    o->type = fields_get(&o->kept, STR("content-type")).data;
    o->etag = fields_get(&o->kept, STR("etag")).data;
    o->modified = fields_get(&o->kept, STR("last-modified"));
    struct str etag = str_of(o->etag);
    /* RFC 9110 section 8.8.2.2: a date is strong when the response is later than what it dates. */
    o->can_extend = (etag.size >= 2 && etag.data[0] == '"') ||
                    (o->terms.modified_s > 0 && date_s > o->terms.modified_s);
}

static int cache_build_lists(struct cache_build *b)
{
    const struct cache_spec *s = b->spec;
    fields_join(&s->fields, STR("via"), &b->via);
    buf_puts(&b->via, b->via.size > 0 ? ", " CACHE_VIA : CACHE_VIA);
    fields_join(&s->fields, STR("cache-status"), &b->status_list);
    fields_join(&s->fields, STR("vary"), &b->vary);
    if (s->kind == CACHE_VARIES)
        buf_put_str(&b->vary, s->vary);
    clock_format_http(s->terms.response_s, b->date);
    int r = buf_error(&b->via);
    if (r == 0)
        r = buf_error(&b->vary);
    return r < 0 ? r : buf_error(&b->status_list);
}

static int cache_build_alloc(struct cache_build *b)
{
    const struct cache_spec *s = b->spec;
    size_t text = b->via.size + b->vary.size + b->status_list.size + sizeof b->date + 4;
    if (s->fields.count > CACHE_FIELDS_MAX || s->tags_count > CACHE_TAGS_MAX)
        return -EFBIG;
    for (unsigned i = 0; i < s->fields.count; i++)
        text += s->fields.at[i].name.size + s->fields.at[i].value.size + 2;
    if (text > CACHE_FIELDS_SIZE_MAX * 2)
        return -EFBIG;
    size_t fields = (s->fields.count * 2 + 2) * sizeof *b->kept;
    size_t tags = s->tags_count * sizeof *s->tags;
    size_t size = sizeof *b->object + fields + tags + text;
    struct cache_object *o = calloc(1, size);
    if (o == NULL)
        return -ENOMEM;
    b->object = o;
    b->kept = (struct field *)(void *)(o + 1);
    b->sent = b->kept + s->fields.count;
    o->tags = (struct digest *)(void *)(b->sent + s->fields.count + 2);
    b->text = (char *)(o->tags + s->tags_count);
    o->memory = (uint32_t)size;
    return 0;
}

static void cache_build_fill(struct cache_build *b)
{
    const struct cache_spec *s = b->spec;
    struct cache_object *o = b->object;
    o->magic = CACHE_OBJECT_MAGIC;
    atomic_init(&o->refs, 1);
    o->kind = s->kind;
    o->status = s->status;
    o->key = s->key;
    o->terms = s->terms;
    o->sequence = s->sequence;
    o->salt = s->salt;
    o->until_s = s->until_s;
    o->tags_count = s->tags_count;
    if (s->tags_count > 0)
        memcpy(o->tags, s->tags, s->tags_count * sizeof *s->tags);
    o->pass_keys = s->pass_keys;
    cache_build_fields(b);
    cache_build_more(b);
    if (s->body != NULL) {
        o->body = cache_body_ref(s->body);
        uint64_t count = cache_body_count(s->body);
        o->memory += (uint32_t)(sizeof *s->body + (count > 1 ? count * (DIGEST_SIZE + 1) : 0));
    }
}

int cache_object_new(const struct cache_spec *spec, struct cache_object **ret)
{
    ASSERT((spec->kind == CACHE_RESPONSE) == (spec->body != NULL));
    struct cache_build b = {.spec = spec};
    int r = cache_build_lists(&b);
    if (r == 0)
        r = cache_build_alloc(&b);
    if (r == 0)
        cache_build_fill(&b);
    buf_free(&b.via);
    buf_free(&b.vary);
    buf_free(&b.status_list);
    if (r == 0)
        *ret = b.object;
    return r;
}

struct cache_object *cache_object_ref(struct cache_object *o)
{
    ASSERT(o->magic == CACHE_OBJECT_MAGIC);
    atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
    return o;
}

struct cache_object *cache_object_unref(struct cache_object *o)
{
    if (o == NULL)
        return NULL;
    ASSERT(o->magic == CACHE_OBJECT_MAGIC);
    if (atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    ASSERT(!o->in_table);
    cache_body_unref(o->body);
    MAGIC_CLEAR(o);
    free(o);
    return NULL;
}
