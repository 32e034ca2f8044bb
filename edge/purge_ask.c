/* SPDX-License-Identifier: Apache-2.0 */
/* A name stands for marks of each upstream that it may be of: who purges need not know which one it
 * is. A URL is made into the key that its route makes of it, for both schemes. */
#include "edge/purge_ask.h"
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include "base/enc.h"
#include "edge/purge.h"
#include "http/http_cache.h"
#include "store/store.h"

struct ask_reader {
    const struct routes *routes;
    struct upstreams *upstreams;
    const struct upstream *only; /* NULL: all of them */
    struct purge_ask *ask;
    struct err *err;
};

static int ask_add(struct ask_reader *x, struct digest tag)
{
    struct purge_ask *a = x->ask;
    if (a->count == a->cap) {
        unsigned cap = MAX(a->cap * 2, 16u);
        struct digest *grown = realloc(a->tags, cap * sizeof *grown);
        if (grown == NULL)
            return err_set(x->err, -ENOMEM, "out of memory");
        a->tags = grown;
        a->cap = cap;
    }
    a->tags[a->count++] = tag;
    return 0;
}

/* --- names ------------------------------------------------------------------------------------ */

/* A folder as it is in the keys of an http upstream, without the slashes around it. */
static int ask_folder(struct ask_reader *x, const struct upstream *u, struct str name)
{
    static const struct http_key_options options = {.query = HTTP_KEY_QUERY_NONE};
    CLEAN_BUF struct buf path = BUF_EMPTY, key = BUF_EMPTY;
    buf_putc(&path, '/');
    buf_put_str(&path, name);
    buf_puts(&path, "/");
    http_cache_key(STR("http"), STR("h"), buf_str(&path), STR_NONE, &options, &key);
    if (buf_error(&path) < 0 || buf_error(&key) < 0)
        return err_set(x->err, -ENOMEM, "out of memory");
    struct str made = str_skip(buf_str(&key), MIN(key.size, strlen("http://h/")));
    while (made.size > 0 && made.data[made.size - 1] == '/')
        made.size--;
    return ask_add(x, purge_asset_tag(u, made));
}

static int ask_asset(struct ask_reader *x, struct str name)
{
    struct str given = name;
    while (name.size > 0 && name.data[0] == '/')
        name = str_skip(name, 1);
    while (name.size > 0 && name.data[name.size - 1] == '/')
        name.size--;
    if (name.size == 0)
        return err_set(x->err, -EINVAL, "asset: '" STR_FMT "' names none", STR_ARG(given));
    unsigned before = x->ask->count;
    for (unsigned i = 0; i < upstreams_count(x->upstreams); i++) {
        const struct upstream *u = upstreams_at(x->upstreams, i);
        int r = 0;
        if (x->only != NULL && u != x->only)
            continue;
        if (upstream_is_http(u))
            r = ask_folder(x, u, name);
        else if (store_name_ok(name))
            r = ask_add(x, purge_asset_tag(u, name));
        if (r < 0)
            return r;
    }
    x->ask->assets++;
    return x->ask->count > before
               ? 0
               : err_set(x->err, -EINVAL, "asset: '" STR_FMT "' cannot be the name of one",
                         STR_ARG(given));
}

static int ask_name(struct ask_reader *x, struct str name)
{
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] == ' ' || name.data[i] == '\t' || name.data[i] == ',')
            return err_set(x->err, -EINVAL, "tag: '" STR_FMT "' has a space or a comma in it",
                           STR_ARG(name));
    }
    for (unsigned i = 0; i < upstreams_count(x->upstreams); i++) {
        const struct upstream *u = upstreams_at(x->upstreams, i);
        int r = 0;
        if (x->only == NULL || u == x->only)
            r = ask_add(x, purge_surrogate_tag(u, name));
        if (r < 0)
            return r;
    }
    x->ask->names++;
    return 0;
}

/* --- URLs ------------------------------------------------------------------------------------- */

struct ask_url {
    struct str authority, path, query;
};

static bool ask_url_split(struct str url, struct ask_url *ret)
{
    struct str rest = str_behind_http(url);
    rest = str_cut(rest, '#', &(struct str){0});
    size_t end = 0;
    while (end < rest.size && rest.data[end] != '/' && rest.data[end] != '?')
        end++;
    ret->authority = (struct str){rest.data, end};
    ret->path = str_cut(str_skip(rest, end), '?', &ret->query);
    if (ret->path.size == 0)
        ret->path = STR("/");
    for (size_t i = 0; i < url.size; i++) {
        if ((unsigned char)url.data[i] <= 0x20 || url.data[i] == 0x7f)
            return false;
    }
    return end > 0 && memchr(ret->authority.data, '@', end) == NULL;
}

/* A view is its asset. A blob is named by what it is: there is nothing old about it. */
static int ask_weir_url(struct ask_reader *x, const struct upstream *u, struct str url,
                        struct str path)
{
    struct str asset = STR_NONE;
    if (str_starts(path, STR("/v/")))
        asset = str_cut(str_skip(path, strlen("/v/")), '/', &(struct str){0});
    if (store_name_ok(asset))
        return ask_add(x, purge_asset_tag(u, asset));
    return err_set(x->err, -EINVAL,
                   "url: " STR_FMT " is no view of an asset; blobs never change, purge the asset",
                   STR_ARG(url));
}

static int ask_url(struct ask_reader *x, struct str text)
{
    static const struct str schemes[] = {{"http", 4}, {"https", 5}};
    struct ask_url url;
    if (!ask_url_split(text, &url))
        return err_set(x->err, -EINVAL,
                       "url: '" STR_FMT "' is no URL such as https://cdn.example.org/a/b.ts",
                       STR_ARG(text));
    const struct route *route = route_find(x->routes, url.authority, url.path);
    if (route == NULL || (x->only != NULL && route->upstream != x->only))
        return err_set(x->err, -EINVAL, "url: no route is for " STR_FMT, STR_ARG(text));
    x->ask->urls++;
    if (!upstream_is_http(route->upstream))
        return ask_weir_url(x, route->upstream, text, url.path);
    for (unsigned i = 0; i < ARRAY_LEN(schemes); i++) {
        CLEAN_BUF struct buf key = BUF_EMPTY;
        http_cache_key(schemes[i], url.authority, url.path, url.query, &route->cache.key, &key);
        int r = buf_error(&key);
        if (r == 0)
            r = ask_add(x, purge_url_tag(buf_str(&key)));
        if (r < 0)
            return r;
    }
    return 0;
}

/* --- the call --------------------------------------------------------------------------------- */

typedef int ask_fn(struct ask_reader *x, struct str name);

static int ask_one(struct ask_reader *x, const char *key, json_t *value, ask_fn *fn)
{
    struct str name = {json_string_value(value), json_string_length(value)};
    if (name.data == NULL || name.size == 0)
        return err_set(x->err, -EINVAL, "%s: is a text, or a list of texts", key);
    if (name.size > PURGE_NAME_MAX || memchr(name.data, 0, name.size) != NULL)
        return err_set(x->err, -EINVAL, "%s: one is longer than %u bytes, or has a NUL in it", key,
                       PURGE_NAME_MAX);
    const struct purge_ask *a = x->ask;
    if (a->urls + a->assets + a->names >= PURGE_NAMES_MAX)
        return err_set(x->err, -EINVAL, "more than %u names in one call", PURGE_NAMES_MAX);
    return fn(x, name);
}

static int ask_list(struct ask_reader *x, const char *key, json_t *value, ask_fn *fn)
{
    if (!json_is_array(value))
        return ask_one(x, key, value, fn);
    int r = 0;
    for (size_t i = 0; i < json_array_size(value) && r == 0; i++)
        r = ask_one(x, key, json_array_get(value, i), fn);
    return r;
}

static int ask_bool(struct ask_reader *x, const char *key, json_t *value, bool *ret)
{
    if (!json_is_boolean(value))
        return err_set(x->err, -EINVAL, "%s: is true or false", key);
    *ret = json_is_true(value);
    return 0;
}

static int ask_from(struct ask_reader *x, json_t *from)
{
    struct purge_ask *a = x->ask;
    json_t *before = json_object_get(from, "before"), *sequence = json_object_get(from, "sequence");
    struct str id = str_of(json_string_value(json_object_get(from, "id")));
    if (id.size != 2 * sizeof a->from_id || enc_unhex(id, a->from_id, sizeof a->from_id) < 0 ||
        !json_is_integer(before) || !json_is_integer(sequence) || json_integer_value(before) < 0 ||
        json_integer_value(sequence) < 0)
        return err_set(x->err, -EINVAL, "from: is of another form");
    a->from_before = (uint64_t)json_integer_value(before);
    a->from_sequence = (uint64_t)json_integer_value(sequence);
    a->has_from = true;
    return 0;
}

static int ask_upstream(struct ask_reader *x, json_t *value)
{
    const char *name = json_string_value(value);
    x->only = name == NULL ? NULL : upstream_find(x->upstreams, str_of(name));
    return x->only != NULL ? 0
                           : err_set(x->err, -EINVAL, "upstream: there is none with the name %s",
                                     name == NULL ? "given" : name);
}

static int ask_member(struct ask_reader *x, const char *key, json_t *value)
{
    if (strcmp(key, "url") == 0)
        return ask_list(x, key, value, ask_url);
    if (strcmp(key, "asset") == 0)
        return ask_list(x, key, value, ask_asset);
    if (strcmp(key, "tags") == 0)
        return ask_list(x, key, value, ask_name);
    if (strcmp(key, "soft") == 0)
        return ask_bool(x, key, value, &x->ask->soft);
    if (strcmp(key, "spread") == 0)
        return ask_bool(x, key, value, &x->ask->is_spread);
    if (strcmp(key, "everything") == 0)
        return ask_bool(x, key, value, &x->ask->everything);
    if (strcmp(key, "from") == 0)
        return ask_from(x, value);
    if (strcmp(key, "upstream") == 0)
        return 0; /* it was read before */
    return err_set(x->err, -EINVAL, "%s: there is no such key", key);
}

static int ask_read(struct ask_reader *x, json_t *root)
{
    const char *key;
    json_t *value;
    int r = 0;
    if (!json_is_object(root))
        return err_set(x->err, -EINVAL, "the body is no JSON object");
    json_t *upstream = json_object_get(root, "upstream");
    if (upstream != NULL)
        r = ask_upstream(x, upstream);
    json_object_foreach(root, key, value)
    {
        if (r == 0)
            r = ask_member(x, key, value);
    }
    if (r == 0 && x->ask->everything && x->only != NULL) {
        x->ask->everything = false; /* all of one */
        r = ask_add(x, purge_asset_tag(x->only, STR_NONE));
    }
    if (r == 0 && x->ask->count == 0 && !x->ask->everything)
        r = err_set(x->err, -EINVAL, "nothing is named: give url, asset, tags or everything");
    return r;
}

int purge_ask_read(struct str body, const struct routes *routes, struct upstreams *upstreams,
                   struct purge_ask *ret, struct err *err)
{
    struct purge_ask ask = {.is_spread = true};
    struct ask_reader x = {.routes = routes, .upstreams = upstreams, .ask = &ask, .err = err};
    json_error_t e;
    json_t *root = json_loadb(body.data != NULL ? body.data : "", body.size,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
    int r = root == NULL ? err_set(err, -EINVAL, "the body is no JSON: %s", e.text)
                         : ask_read(&x, root);
    json_decref(root);
    if (r < 0)
        purge_ask_clear(&ask);
    else
        *ret = ask;
    return r;
}

void purge_ask_clear(struct purge_ask *a)
{
    free(a->tags);
    *a = (struct purge_ask){0};
}
