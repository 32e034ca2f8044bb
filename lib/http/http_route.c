/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_route.h"
#include <errno.h>
#include <stdlib.h>
#include "http/http.h"

static const struct {
    unsigned bit;
    const char *name;
} http_method_names[] = {
    {HTTP_GET, "GET"},       {HTTP_POST, "POST"},   {HTTP_PUT, "PUT"},
    {HTTP_DELETE, "DELETE"}, {HTTP_PATCH, "PATCH"}, {HTTP_OPTIONS, "OPTIONS"},
};
#define HTTP_METHODS_ALL 63u

unsigned http_method_of(struct str name)
{
    if (str_eq(name, STR("HEAD")))
        return HTTP_GET;
    for (size_t i = 0; i < ARRAY_LEN(http_method_names); i++)
        if (str_eq(name, str_of(http_method_names[i].name)))
            return http_method_names[i].bit;
    return 0;
}

const char *http_method_name(unsigned method)
{
    for (size_t i = 0; i < ARRAY_LEN(http_method_names); i++)
        if (http_method_names[i].bit == method)
            return http_method_names[i].name;
    return "";
}

void http_methods_put(unsigned methods, struct buf *out)
{
    const char *comma = "";
    for (size_t i = 0; i < ARRAY_LEN(http_method_names); i++) {
        if ((methods & http_method_names[i].bit) == 0)
            continue;
        buf_printf(out, "%s%s", comma, http_method_names[i].name);
        comma = ", ";
        if (http_method_names[i].bit == HTTP_GET)
            buf_puts(out, ", HEAD");
    }
}

int http_router_add(struct http_router *r, unsigned methods, const char *pattern,
                    void (*handler)(struct http_req *req, void *arg), void *arg)
{
    ASSERT(handler != NULL);
    struct str p = str_of(pattern);
    if (p.size == 0 || p.data[0] != '/' || methods == 0 || (methods & ~HTTP_METHODS_ALL) != 0)
        return -EINVAL;
    for (unsigned i = 0; i < r->count; i++) {
        const struct http_route_entry *e = &r->entries[i];
        if (str_eq((struct str){e->pattern, e->size}, p) && (e->methods & methods) != 0)
            return -EEXIST;
    }
    struct http_route_entry *entries = realloc(r->entries, (r->count + 1) * sizeof *entries);
    if (entries == NULL)
        return -ENOMEM;
    r->entries = entries;
    char *copy = str_dup(p);
    if (copy == NULL)
        return -ENOMEM;
    entries[r->count++] = (struct http_route_entry){
        .pattern = copy,
        .size = p.size,
        .is_prefix = p.data[p.size - 1] == '/',
        .methods = methods,
        .handler = handler,
        .arg = arg,
    };
    return 0;
}

static bool http_route_matches(const struct http_route_entry *e, struct str path)
{
    struct str pattern = {e->pattern, e->size};
    return e->is_prefix ? str_starts(path, pattern) : str_eq(path, pattern);
}

const struct http_route_entry *http_router_find(const struct http_router *r, struct str path,
                                                unsigned method, unsigned *ret_methods)
{
    size_t best_size = 0;
    unsigned methods = 0;
    const struct http_route_entry *found = NULL;
    for (unsigned i = 0; i < r->count; i++) {
        const struct http_route_entry *e = &r->entries[i];
        if (e->size < best_size || !http_route_matches(e, path))
            continue;
        if (e->size > best_size) {
            best_size = e->size;
            methods = 0;
            found = NULL;
        }
        methods |= e->methods;
        if ((e->methods & method) != 0)
            found = e;
    }
    *ret_methods = methods;
    return found;
}

void http_router_set_streams(struct http_router *r, uint64_t body_max)
{
    ASSERT(r->count > 0);
    r->entries[r->count - 1].streams = true;
    r->entries[r->count - 1].body_max = body_max;
    r->streams = true;
}

/* Both begin alike, as far as the shorter goes; what is behind it goes on. */
static bool http_route_agrees(struct str *bytes, struct str text)
{
    size_t size = MIN(bytes->size, text.size);
    if (size > 0 && memcmp(bytes->data, text.data, size) != 0)
        return false;
    *bytes = str_skip(*bytes, size);
    return true;
}

static bool http_route_may_stream(const struct http_route_entry *e, struct str bytes)
{
    for (size_t i = 0; i < ARRAY_LEN(http_method_names); i++) {
        struct str rest = bytes;
        if ((e->methods & http_method_names[i].bit) != 0 &&
            http_route_agrees(&rest, str_of(http_method_names[i].name)) &&
            http_route_agrees(&rest, STR(" ")) &&
            http_route_agrees(&rest, (struct str){e->pattern, e->size}) &&
            (e->is_prefix || rest.size == 0 || rest.data[0] == ' ' || rest.data[0] == '?'))
            return true;
    }
    return false;
}

bool http_router_may_stream(const struct http_router *r, struct str bytes)
{
    for (unsigned i = 0; r->streams && i < r->count; i++)
        if (r->entries[i].streams && http_route_may_stream(&r->entries[i], bytes))
            return true;
    return false;
}

void http_router_free(struct http_router *r)
{
    for (unsigned i = 0; i < r->count; i++)
        free(r->entries[i].pattern);
    free(r->entries);
    *r = (struct http_router){NULL, 0, false};
}
