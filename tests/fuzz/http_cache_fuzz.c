/* SPDX-License-Identifier: Apache-2.0 */
/* What a stranger or an upstream can write of caching: directives, dates, Vary, URLs. Input: the
 * request's fields, an empty line, the response's fields; the first line is "host path query". */
#include "http/http_cache.h"
#include "fuzz.h"

#define FIELDS_MAX 64

/* Lines up to an empty one; what is no field is left out. */
static struct fields fuzz_fields(struct str *rest, struct field at[FIELDS_MAX])
{
    struct fields f = {at, 0};
    while (rest->size > 0 && f.count < FIELDS_MAX) {
        struct str value;
        struct str line = str_cut(*rest, '\n', rest);
        if (line.size == 0)
            break;
        struct str name = str_cut(line, ':', &value);
        if (name.size > 0 && value.data != NULL)
            at[f.count++] = (struct field){name, str_trim(value)};
    }
    return f;
}

static void fuzz_key(struct str line)
{
    static const char *const names[] = {"a", "b"};
    struct str query;
    struct str path;
    struct str host = str_cut(line, ' ', &path);
    path = str_cut(path, ' ', &query);
    for (unsigned i = 0; i < 6; i++) {
        const struct http_key_options o = {(enum http_key_query)(i / 2), names, 2, i % 2 != 0};
        CLEAN_BUF struct buf once = BUF_EMPTY;
        CLEAN_BUF struct buf again = BUF_EMPTY;
        http_cache_key(STR("https"), host, path, query, &o, &once);
        ASSERT(buf_error(&once) == 0);
        /* A key that is taken apart makes the same key: there is one form of each. */
        struct str rest;
        struct str key = str_skip(buf_str(&once), strlen("https://"));
        size_t slash = 0;
        while (key.data[slash] != '/')
            slash++;
        struct str authority = {key.data, slash};
        if (memchr(host.data, '/', host.size) != NULL ||
            memchr(host.data, ':', host.size) != NULL ||
            (path.size > 0 && memchr(path.data, '?', path.size) != NULL) ||
            memchr(line.data, '%', line.size) != NULL)
            continue; /* not what a request line can hold, or a "%" that codes a part of a code */
        struct str plain = str_cut(str_skip(key, slash), '?', &rest);
        http_cache_key(STR("https"), authority, plain, rest, &o, &again);
        ASSERT(str_eq(buf_str(&once), buf_str(&again)));
    }
}

static void fuzz_use(const struct http_cache_terms *t, const struct http_cache_ask *ask)
{
    for (int64_t now_s = 1709294390; now_s < 1709294500; now_s += 10) {
        enum http_cache_use use = http_cache_use(t, ask, false, now_s);
        ASSERT(use <= HTTP_CACHE_REFUSE);
        ASSERT(use != HTTP_CACHE_FRESH || !t->no_cache);
        ASSERT(use != HTTP_CACHE_REFUSE || ask->cc.only_if_cached);
        ASSERT(http_cache_age(t, now_s) >= t->age_s);
        enum http_cache_use soft = http_cache_use(t, ask, true, now_s);
        ASSERT(soft != HTTP_CACHE_FRESH);
    }
}

static void fuzz_update(const struct fields *kept, const struct fields *fresh)
{
    CLEAN_BUF struct buf out = BUF_EMPTY;
    struct field at[2 * FIELDS_MAX];
    struct fields updated;
    http_cache_update(kept, fresh, &out);
    if (memchr(out.data != NULL ? out.data : "", '\0', out.size) == NULL)
        ASSERT(http_cache_fields_read(buf_str(&out), at, 2 * FIELDS_MAX, &updated) == 0);
    (void)http_cache_validated(kept, fresh);
    (void)http_cache_head_agrees(kept, fresh);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = fuzz_str(data, size);
    struct str first = str_cut(rest, '\n', &rest);
    struct field request_at[FIELDS_MAX], response_at[FIELDS_MAX], conditions[2];
    struct fields request = fuzz_fields(&rest, request_at);
    struct fields response = fuzz_fields(&rest, response_at);
    struct http_cache_ask ask;
    struct http_cache_terms t;
    const struct http_cache_options o = {30, 5, 3600, HTTP_CACHE_NONE};
    const char *why = NULL;
    if (first.size > 0)
        fuzz_key(first);
    http_cache_ask_read(&request, &ask);
    unsigned status = size % 2 == 0 ? 200 : 404;
    if (http_cache_may_keep(&ask, status, &response, 1709294400 - 2, 1709294400, &o, &t, &why)) {
        ASSERT(t.lifetime_s >= 0 && t.age_s >= 2 && t.swr_s >= 0 && t.sie_s >= 0);
        fuzz_use(&t, &ask);
    } else {
        ASSERT(why != NULL);
    }
    CLEAN_BUF struct buf vary = BUF_EMPTY;
    for (unsigned i = 0; i < response.count; i++)
        if (str_eq(response.at[i].name, STR("vary")))
            (void)http_cache_vary(response.at[i].value, &request, &vary);
    ASSERT(http_cache_validation(&response, conditions) <= 2);
    fuzz_update(&response, &request);
    return 0;
}
