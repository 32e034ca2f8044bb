/* SPDX-License-Identifier: Apache-2.0 */
/* The record of an object: numbers little-endian, texts with their length before them. Each length
 * is held against what is left before it is used. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include "edge/cache_object.h"

#define CACHE_RECORD_MAGIC  UINT32_C(0x314f4357) /* "WCO1" */
#define CACHE_RECORD_PASSES 1u                   /* flag: surrogate keys are sent on */
#define CACHE_RECORD_TIME   (INT64_C(1) << 40)   /* no time is that far away */

static void cache_put_u16(struct buf *out, uint64_t v)
{
    uint16_t le = htole16((uint16_t)v);
    buf_put(out, &le, sizeof le);
}

static void cache_put_u32(struct buf *out, uint64_t v)
{
    uint32_t le = htole32((uint32_t)v);
    buf_put(out, &le, sizeof le);
}

static void cache_put_u64(struct buf *out, uint64_t v)
{
    uint64_t le = htole64(v);
    buf_put(out, &le, sizeof le);
}

static void cache_put_text(struct buf *out, struct str s)
{
    cache_put_u32(out, s.size);
    buf_put_str(out, s);
}

static void cache_put_terms(struct buf *out, const struct http_cache_terms *t)
{
    const int64_t times[] = {t->response_s, t->age_s, t->lifetime_s,
                             t->swr_s,      t->sie_s, t->modified_s};
    const uint8_t flags[] = {t->no_cache, t->must_revalidate, t->immutable, t->heuristic};
    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        cache_put_u64(out, (uint64_t)times[i]);
    buf_put(out, flags, sizeof flags);
}

static void cache_put_run(void *arg, uint32_t first, uint32_t count, const struct digest *digests)
{
    struct buf *out = arg;
    cache_put_u32(out, first);
    cache_put_u32(out, count);
    buf_put(out, digests, (size_t)count * sizeof *digests);
}

void cache_object_encode(const struct cache_object *o, struct buf *out)
{
    ASSERT(o->kind != CACHE_PASSES);
    cache_put_u32(out, CACHE_RECORD_MAGIC);
    cache_put_u16(out, o->kind);
    cache_put_u16(out, o->pass_keys ? CACHE_RECORD_PASSES : 0);
    buf_put(out, o->key.bytes, DIGEST_SIZE);
    cache_put_u64(out, o->sequence);
    cache_put_u64(out, o->salt);
    if (o->kind == CACHE_VARIES) {
        cache_put_text(out, o->vary);
        return;
    }
    cache_put_u16(out, o->status);
    cache_put_terms(out, &o->terms);
    cache_put_u16(out, o->tags_count);
    buf_put(out, o->tags, o->tags_count * sizeof *o->tags);
    cache_put_u16(out, o->kept.count);
    for (unsigned i = 0; i < o->kept.count; i++) {
        cache_put_text(out, o->kept.at[i].name);
        cache_put_text(out, o->kept.at[i].value);
    }
    cache_put_u64(out, cache_body_size(o->body));
    cache_put_u32(out, o->body->block_size);
    cache_body_runs(o->body, cache_put_run, out);
}

/* --- reading ---------------------------------------------------------------------------------- */

struct cache_in {
    const uint8_t *at;
    size_t left;
    bool bad;
};

static const uint8_t *cache_in_take(struct cache_in *in, size_t size)
{
    static const uint8_t zero[8];
    if (in->bad || size > in->left) {
        in->bad = true;
        return size <= sizeof zero ? zero : NULL;
    }
    const uint8_t *at = in->at;
    in->at += size;
    in->left -= size;
    return at;
}

static uint16_t cache_in_u16(struct cache_in *in)
{
    uint16_t le;
    memcpy(&le, cache_in_take(in, sizeof le), sizeof le);
    return le16toh(le);
}

static uint32_t cache_in_u32(struct cache_in *in)
{
    uint32_t le;
    memcpy(&le, cache_in_take(in, sizeof le), sizeof le);
    return le32toh(le);
}

static uint64_t cache_in_u64(struct cache_in *in)
{
    uint64_t le;
    memcpy(&le, cache_in_take(in, sizeof le), sizeof le);
    return le64toh(le);
}

static struct str cache_in_text(struct cache_in *in)
{
    uint32_t size = cache_in_u32(in);
    const uint8_t *at = cache_in_take(in, size);
    return in->bad ? STR_NONE : (struct str){(const char *)at, size};
}

static void cache_in_terms(struct cache_in *in, struct http_cache_terms *t)
{
    int64_t *const times[] = {&t->response_s, &t->age_s, &t->lifetime_s,
                              &t->swr_s,      &t->sie_s, &t->modified_s};
    uint8_t *const flags[] = {&t->no_cache, &t->must_revalidate, &t->immutable, &t->heuristic};
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        *times[i] = (int64_t)cache_in_u64(in);
        if (*times[i] < -CACHE_RECORD_TIME || *times[i] > CACHE_RECORD_TIME)
            in->bad = true; /* so that sums of them cannot overflow */
    }
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        *flags[i] = *cache_in_take(in, 1);
        if (*flags[i] > 1)
            in->bad = true;
    }
}

static bool cache_is_name(struct str s)
{
    for (size_t i = 0; i < s.size; i++) {
        char c = s.data[i];
        if ((unsigned char)c <= 0x20 || (unsigned char)c >= 0x7f || c == ':' ||
            (c >= 'A' && c <= 'Z'))
            return false;
    }
    return s.size > 0;
}

static void cache_in_fields(struct cache_in *in, struct field *room, struct fields *ret)
{
    unsigned count = cache_in_u16(in);
    if (count > CACHE_FIELDS_MAX)
        in->bad = true;
    for (unsigned i = 0; i < count && !in->bad; i++) {
        room[i].name = cache_in_text(in);
        room[i].value = cache_in_text(in);
        if (!cache_is_name(room[i].name))
            in->bad = true;
    }
    *ret = (struct fields){room, in->bad ? 0 : count};
}

static int cache_in_body(struct cache_in *in, struct cache_body **ret)
{
    uint64_t size = cache_in_u64(in);
    uint32_t block_size = cache_in_u32(in);
    if (in->bad || size == CACHE_SIZE_UNKNOWN || block_size < CACHE_BLOCK_SIZE_MIN ||
        block_size > CACHE_BLOCK_SIZE_MAX)
        return -EBADMSG;
    struct cache_body *body = NULL;
    int r = cache_body_new(size, block_size, &body);
    while (r == 0 && in->left > 0) {
        uint32_t first = cache_in_u32(in);
        uint32_t count = cache_in_u32(in);
        const uint8_t *digests =
            count <= CACHE_BLOCKS_MAX ? cache_in_take(in, (size_t)count * DIGEST_SIZE) : NULL;
        r = in->bad || digests == NULL ? -EBADMSG : cache_body_set(body, first, count, digests);
    }
    if (r < 0)
        cache_body_unref(body);
    else
        *ret = body;
    return r == -EINVAL || r == -EFBIG ? -EBADMSG : r;
}

static int cache_in_response(struct cache_in *in, struct cache_spec *spec, struct field *room,
                             struct digest *tags)
{
    spec->status = cache_in_u16(in);
    cache_in_terms(in, &spec->terms);
    spec->tags_count = cache_in_u16(in);
    if (spec->tags_count > CACHE_TAGS_MAX || spec->status < 200 || spec->status > 599)
        return -EBADMSG;
    for (unsigned i = 0; i < spec->tags_count && !in->bad; i++) {
        const uint8_t *at = cache_in_take(in, DIGEST_SIZE);
        if (at != NULL)
            memcpy(tags[i].bytes, at, DIGEST_SIZE);
    }
    spec->tags = tags;
    cache_in_fields(in, room, &spec->fields);
    return in->bad ? -EBADMSG : cache_in_body(in, &spec->body);
}

int cache_object_decode(const struct digest *key, struct str record, struct cache_object **ret)
{
    struct cache_in in = {(const uint8_t *)record.data, record.size, false};
    struct field room[CACHE_FIELDS_MAX];
    struct digest tags[CACHE_TAGS_MAX];
    struct cache_spec spec = {.key = *key};
    if (cache_in_u32(&in) != CACHE_RECORD_MAGIC)
        return -EBADMSG;
    unsigned kind = cache_in_u16(&in);
    spec.pass_keys = (cache_in_u16(&in) & CACHE_RECORD_PASSES) != 0;
    const uint8_t *named = cache_in_take(&in, DIGEST_SIZE);
    if (in.bad || memcmp(named, key->bytes, DIGEST_SIZE) != 0)
        return -EBADMSG;
    spec.sequence = cache_in_u64(&in);
    spec.salt = cache_in_u64(&in);
    int r = -EBADMSG;
    if (kind == CACHE_VARIES) {
        spec.kind = CACHE_VARIES;
        spec.vary = cache_in_text(&in);
        r = in.bad || in.left > 0 ? -EBADMSG : 0;
    } else if (kind == CACHE_RESPONSE) {
        spec.kind = CACHE_RESPONSE;
        r = cache_in_response(&in, &spec, room, tags);
    }
    if (r == 0)
        r = cache_object_new(&spec, ret);
    cache_body_unref(spec.body);
    return r == -EFBIG ? -EBADMSG : r;
}
