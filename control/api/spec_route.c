/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/spec_route.h"
#include <errno.h>
#include <stdlib.h>

#define SPEC_METHODS_MAX 6

struct spec_route {
    struct str text;          /* of the segment; STR_NONE: a parameter */
    struct spec_route *below; /* written out */
    struct spec_route *param; /* below, for anything else */
    struct spec_route *beside;
    unsigned methods;
    const struct operation *ops[SPEC_METHODS_MAX];
};

static struct spec_route *spec_route_child(struct spec_route *at, struct str text, bool make)
{
    bool is_param = text.size > 0 && text.data[0] == '{';
    struct spec_route *child = is_param ? at->param : at->below;
    while (!is_param && child != NULL && !str_eq(child->text, text))
        child = child->beside;
    if (child != NULL || !make)
        return child;
    child = calloc(1, sizeof *child);
    if (child == NULL)
        return NULL;
    if (is_param) {
        at->param = child;
        return child;
    }
    child->text = text;
    child->beside = at->below;
    at->below = child;
    return child;
}

int spec_route_add(struct spec_routes *r, const struct operation *op)
{
    struct str rest = str_of(op->path);
    unsigned segments = 0;
    if (rest.size < 2 || rest.data[0] != '/')
        return -EINVAL;
    if (r->root == NULL)
        r->root = calloc(1, sizeof *r->root);
    struct spec_route *at = r->root;
    rest = str_skip(rest, 1);
    while (at != NULL && rest.data != NULL) {
        struct str text = str_cut(rest, '/', &rest);
        if (text.size == 0 || ++segments > SPEC_SEGMENTS_MAX)
            return -EINVAL;
        at = spec_route_child(at, text, true);
    }
    if (at == NULL)
        return -ENOMEM;
    unsigned bit = (unsigned)__builtin_ctz(op->method);
    ASSERT(bit < SPEC_METHODS_MAX);
    if (at->ops[bit] != NULL)
        return -EEXIST;
    at->ops[bit] = op;
    at->methods |= op->method;
    return 0;
}

struct spec_search {
    struct str segments[SPEC_SEGMENTS_MAX];
    unsigned count;
    struct str *values;
    unsigned methods; /* of the template that the path fits */
    unsigned bit;
};

static const struct operation *spec_route_walk(struct spec_search *s, const struct spec_route *at,
                                               unsigned depth, unsigned values)
{
    const struct operation *found = NULL;
    if (depth == s->count) {
        s->methods |= at->methods;
        return at->ops[s->bit];
    }
    for (const struct spec_route *child = at->below; child != NULL; child = child->beside)
        if (str_eq(child->text, s->segments[depth])) {
            found = spec_route_walk(s, child, depth + 1, values);
            break;
        }
    /* What is written out stands for itself, whatever its methods: "start" is no id then. */
    if (found != NULL || s->methods != 0 || at->param == NULL || values == SPEC_PATH_MAX)
        return found;
    found = spec_route_walk(s, at->param, depth + 1, values + 1);
    if (found != NULL)
        s->values[values] = s->segments[depth];
    return found;
}

const struct operation *spec_route_find(const struct spec_routes *r, unsigned method,
                                        struct str path, struct str ret_values[SPEC_PATH_MAX],
                                        unsigned *ret_methods)
{
    struct spec_search s = {.values = ret_values};
    *ret_methods = 0;
    if (path.size < 2 || path.data[0] != '/' || method == 0 || r->root == NULL)
        return NULL;
    struct str rest = str_skip(path, 1);
    while (rest.data != NULL) {
        if (s.count == SPEC_SEGMENTS_MAX)
            return NULL;
        struct str segment = str_cut(rest, '/', &rest);
        if (segment.size == 0)
            return NULL; /* no parameter is empty */
        s.segments[s.count++] = segment;
    }
    s.bit = (unsigned)__builtin_ctz(method);
    ASSERT(s.bit < SPEC_METHODS_MAX);
    const struct operation *op = spec_route_walk(&s, r->root, 0, 0);
    *ret_methods = s.methods;
    return op;
}

static void spec_route_free(struct spec_route *at)
{
    while (at != NULL) { /* as deep as a template has segments */
        struct spec_route *next = at->beside;
        spec_route_free(at->below);
        spec_route_free(at->param);
        free(at);
        at = next;
    }
}

void spec_route_clear(struct spec_routes *r)
{
    spec_route_free(r->root);
    r->root = NULL;
}
