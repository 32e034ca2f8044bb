/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/spec.h"
#include <errno.h>
#include <stdlib.h>
#include "control/api/cache.h"
#include "control/api/caller.h"
#include "control/api/spec_route.h"
#include "http/http.h"

#define SPEC_CACHE_MS_MAX 60000
#define SPEC_BODY_DEFAULT ((size_t)64 << 10)
#define SPEC_BODY_MAX     ((size_t)16 << 20)

struct spec {
    uint32_t magic;
#define SPEC_MAGIC UINT32_C(0x0be4a91e)
    json_t *document;
    struct schema_set *schemas;
    struct operation *ops;
    unsigned count, room;
    const char *kinds[CACHE_KINDS];
    struct spec_routes routes;
};

/* --- parts of an operation -------------------------------------------------------------------- */

struct spec_maker {
    struct spec *spec;
    struct operation *op;
    const json_t *node; /* the operation in the document */
    struct err *err;
};

static int spec_bad(const struct spec_maker *m, const char *what, const char *name)
{
    return err_set(m->err, -EINVAL, "operation %s of the API: %s %s", m->op->id, what, name);
}

static const char *spec_text(const json_t *node, const char *name)
{
    return json_string_value(json_object_get(node, name));
}

static int spec_schema(const struct spec_maker *m, const json_t *node, const struct schema **ret)
{
    struct err why = {""};
    int r = schema_compile(m->spec->schemas, node, &why, ret);
    return r < 0 ? err_set(m->err, r, "operation %s of the API: %s", m->op->id, why.text) : 0;
}

static int spec_make_access(const struct spec_maker *m)
{
    static const char *const names[] = {"none", "optional", "user", "admin"};
    const char *auth = spec_text(m->node, "x-weir-auth");
    const json_t *roles = json_object_get(m->node, "x-weir-roles");
    size_t i;
    json_t *each;
    unsigned kind = 0;
    while (kind < ARRAY_LEN(names) && (auth == NULL || strcmp(auth, names[kind]) != 0))
        kind++;
    if (kind == ARRAY_LEN(names))
        return spec_bad(m, "x-weir-auth is not known:", auth == NULL ? "absent" : auth);
    m->op->auth = (enum op_auth)kind;
    m->op->scope = spec_text(m->node, "x-weir-scope");
    json_array_foreach(roles, i, each)
    {
        const char *name = json_string_value(each);
        unsigned role = name == NULL ? 0 : caller_role(name);
        if (role == 0 || m->op->auth != OP_AUTH_USER)
            return spec_bad(
                m, "x-weir-roles: of a user's operation, and known:", name == NULL ? "" : name);
        m->op->roles |= role;
    }
    m->op->manages = json_is_true(json_object_get(m->node, "x-weir-manages")) ||
                     m->op->roles != 0 || m->op->auth == OP_AUTH_ADMIN;
    const char *match = spec_text(m->node, "x-weir-if-match");
    m->op->needs_match = match != NULL && strcmp(match, "required") == 0;
    m->op->select = spec_text(m->node, "x-weir-fields");
    m->op->idempotent = json_is_true(json_object_get(m->node, "x-weir-idempotent"));
    m->op->tagged = json_is_true(json_object_get(m->node, "x-weir-etag"));
    const json_t *audit = json_object_get(m->node, "x-weir-audit");
    m->op->audited = audit != NULL ? json_is_true(audit)
                                   : m->op->auth == OP_AUTH_ADMIN && m->op->method != HTTP_GET;
    const char *pool = spec_text(m->node, "x-weir-pool");
    m->op->hashes = pool != NULL && strcmp(pool, "passwords") == 0;
    m->op->hashes_with = spec_text(m->node, "x-weir-pool-with");
    return pool != NULL && !m->op->hashes ? spec_bad(m, "no such x-weir-pool:", pool) : 0;
}

/* The number of a kind of things; the first 16 names that come. */
static int spec_kind(const struct spec_maker *m, const char *name, unsigned *ret)
{
    struct spec *s = m->spec;
    for (unsigned i = 0; name != NULL && i < CACHE_KINDS; i++) {
        if (s->kinds[i] == NULL)
            s->kinds[i] = name;
        if (strcmp(s->kinds[i], name) == 0) {
            *ret = i;
            return 0;
        }
    }
    return spec_bad(m, "a kind of things has no name, or there are too many", "");
}

int spec_kind_of(const struct spec *s, const char *name)
{
    for (int i = 0; i < CACHE_KINDS && s->kinds[i] != NULL; i++)
        if (strcmp(s->kinds[i], name) == 0)
            return i;
    return -1;
}

static int spec_cache_of(const struct spec_maker *m, const char *of)
{
    m->op->cache_of = -1;
    for (unsigned i = 0; of != NULL && i < m->op->path_params_count; i++)
        if (strcmp(m->op->path_params[i].name, of) == 0)
            m->op->cache_of = (int)i;
    return of != NULL && m->op->cache_of < 0 ? -1 : 0;
}

static int spec_make_cache(const struct spec_maker *m)
{
    const json_t *cache = json_object_get(m->node, "x-weir-cache");
    json_int_t ms = json_integer_value(json_object_get(cache, "ms"));
    size_t i;
    json_t *each;
    json_array_foreach(json_object_get(m->node, "x-weir-changes"), i, each)
    {
        unsigned kind = 0;
        int r = spec_kind(m, json_string_value(each), &kind);
        if (r < 0)
            return r;
        m->op->changes |= 1U << kind;
    }
    if (cache == NULL)
        return 0;
    if (m->op->method != HTTP_GET || ms < 1 || ms > SPEC_CACHE_MS_MAX)
        return spec_bad(m, "x-weir-cache is for get, and from 1 ms to 60 s", "");
    m->op->cache_ms = (uint32_t)ms;
    const char *by = spec_text(cache, "by");
    const char *of = spec_text(cache, "of");
    m->op->cache_by_viewer = by != NULL && strcmp(by, "viewer") == 0;
    if ((by != NULL && !m->op->cache_by_viewer) || spec_cache_of(m, of) < 0)
        return spec_bad(m, "x-weir-cache: by: viewer, of: a parameter of the path", "");
    return spec_kind(m, spec_text(cache, "kind"), &m->op->cache_kind);
}

static int spec_make_param(const struct spec_maker *m, const json_t *node, struct op_param *ret)
{
    const json_t *schema = json_object_get(node, "schema");
    ret->name = spec_text(node, "name");
    ret->required = json_is_true(json_object_get(node, "required"));
    if (ret->name == NULL || strlen(ret->name) >= FAULT_FIELD_SIZE)
        return spec_bad(m, "a parameter has no good name", "");
    int r = spec_schema(m, schema, &ret->schema);
    if (r < 0)
        return r;
    schema = schema_deref(m->spec->document, schema);
    ret->absent = json_object_get(schema, "default");
    ret->is_list = schema_takes(ret->schema, JSON_ARRAY);
    ret->is_csv = ret->is_list && json_is_false(json_object_get(node, "explode"));
    if (ret->is_list && schema_items(ret->schema) == NULL)
        return spec_bad(m, "a list without \"items\":", ret->name);
    ret->is_text =
        spec_text(schema, "type") != NULL && strcmp(spec_text(schema, "type"), "string") == 0 &&
        json_object_get(schema, "enum") == NULL && json_object_get(schema, "const") == NULL &&
        json_object_get(schema, "oneOf") == NULL && json_object_get(schema, "anyOf") == NULL;
    return 0;
}

static int spec_make_params(const struct spec_maker *m)
{
    const json_t *list = json_object_get(m->node, "parameters");
    struct operation *op = m->op;
    size_t i;
    json_t *each;
    op->query_params = calloc(json_array_size(list) + 1, sizeof *op->query_params);
    op->header_params = calloc(json_array_size(list) + 1, sizeof *op->header_params);
    if (op->query_params == NULL || op->header_params == NULL)
        return -ENOMEM;
    json_array_foreach(list, i, each)
    {
        struct op_param param = {0};
        const json_t *node = schema_deref(m->spec->document, each);
        const char *in = spec_text(node, "in");
        if (in == NULL)
            return spec_bad(m, "a parameter without \"in\"", "");
        int r = spec_make_param(m, node, &param);
        if (r < 0)
            return r;
        if (strcmp(in, "query") == 0)
            op->query_params[op->query_params_count++] = param;
        else if (strcmp(in, "header") == 0 && param.is_text)
            op->header_params[op->header_params_count++] = param;
        else if (strcmp(in, "path") == 0 && op->path_params_count < SPEC_PATH_MAX)
            op->path_params[op->path_params_count++] = param;
        else
            return spec_bad(m, "a parameter cannot be there:", param.name);
    }
    return 0;
}

/* The parameters of the path in the order in which they stand there. */
static int spec_order_path(const struct spec_maker *m)
{
    struct operation *op = m->op;
    struct str rest = str_of(op->path);
    unsigned at = 0;
    while (rest.data != NULL) {
        struct str segment = str_cut(rest, '/', &rest);
        if (segment.size < 3 || segment.data[0] != '{')
            continue;
        struct str name = {segment.data + 1, segment.size - 2};
        unsigned i = at;
        while (i < op->path_params_count && !str_eq(name, str_of(op->path_params[i].name)))
            i++;
        if (i >= op->path_params_count || !op->path_params[i].is_text)
            return spec_bad(m, "a parameter of the path is not declared, or no text:", op->path);
        struct op_param found = op->path_params[i];
        op->path_params[i] = op->path_params[at];
        op->path_params[at++] = found;
    }
    return at == op->path_params_count ? 0 : spec_bad(m, "more parameters than the path", op->path);
}

static int spec_make_body(const struct spec_maker *m)
{
    const json_t *body = schema_deref(m->spec->document, json_object_get(m->node, "requestBody"));
    const json_t *content = json_object_get(body, "content");
    const json_t *media = json_object_get(content, "application/json");
    const json_t *max = json_object_get(m->node, "x-weir-body-max");
    m->op->body_max = max == NULL ? SPEC_BODY_DEFAULT : (size_t)json_integer_value(max);
    if (m->op->body_max == 0 || m->op->body_max > SPEC_BODY_MAX)
        return spec_bad(m, "x-weir-body-max is 0 or too large", "");
    if (body == NULL)
        return 0;
    if (media == NULL) {
        media = json_object_get(content, "multipart/form-data");
        m->op->streams = media != NULL;
    }
    if (media == NULL)
        return spec_bad(m, "a body that is no application/json", "");
    m->op->takes_body = true;
    m->op->needs_body = json_is_true(json_object_get(body, "required"));
    return spec_schema(m, json_object_get(media, "schema"), &m->op->body);
}

static int spec_make_responses(const struct spec_maker *m)
{
    const json_t *list = json_object_get(m->node, "responses");
    struct operation *op = m->op;
    const char *key;
    json_t *each;
    op->responses = calloc(json_object_size(list) + 1, sizeof *op->responses);
    if (op->responses == NULL)
        return -ENOMEM;
    json_object_foreach((json_t *)(uintptr_t)list, key, each)
    {
        struct op_response *response = &op->responses[op->responses_count];
        const json_t *node = schema_deref(m->spec->document, each);
        const json_t *media = json_object_get(json_object_get(node, "content"), "application/json");
        uint64_t status = 0;
        if (node == NULL || str_to_u64(str_of(key), &status) < 0 || status < 200 || status > 599)
            return spec_bad(m, "a response is wrong:", key);
        response->status = (unsigned)status;
        int r =
            media == NULL ? 0 : spec_schema(m, json_object_get(media, "schema"), &response->schema);
        if (r < 0)
            return r;
        if (status < 400 && (op->status == 0 || status < op->status))
            op->status = (unsigned)status;
        op->responses_count++;
    }
    return op->status != 0 ? 0 : spec_bad(m, "there is no good answer", "");
}

/* --- operations ------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    unsigned bit;
} spec_methods[] = {
    {"get", HTTP_GET},       {"post", HTTP_POST},   {"put", HTTP_PUT},
    {"delete", HTTP_DELETE}, {"patch", HTTP_PATCH},
};

static int spec_make_operation(struct spec *s, const char *path, unsigned method,
                               const json_t *node, struct err *err)
{
    struct operation *op = &s->ops[s->count];
    const struct spec_maker maker = {s, op, node, err};
    op->id = spec_text(node, "operationId");
    op->path = path;
    op->method = method;
    if (op->id == NULL)
        return err_set(err, -EINVAL, "the API's document: an operation of %s has no operationId",
                       path);
    s->count++; /* so that spec_free frees what it has */
    int r = spec_make_access(&maker);
    if (r == 0)
        r = spec_make_params(&maker);
    if (r == 0)
        r = spec_order_path(&maker);
    if (r == 0)
        r = spec_make_cache(&maker);
    if (r == 0)
        r = spec_make_body(&maker);
    if (r == 0)
        r = spec_make_responses(&maker);
    if (r == 0 && spec_route_add(&s->routes, op) < 0)
        r = spec_bad(&maker, "its path is not good, or there twice:", path);
    return r;
}

static int spec_make_operations(struct spec *s, struct err *err)
{
    const json_t *paths = json_object_get(s->document, "paths");
    const char *path;
    json_t *item;
    s->room = (unsigned)(json_object_size(paths) * ARRAY_LEN(spec_methods));
    s->ops = calloc(s->room + 1, sizeof *s->ops);
    if (s->ops == NULL)
        return -ENOMEM;
    json_object_foreach((json_t *)(uintptr_t)paths, path, item)
    {
        for (unsigned i = 0; i < ARRAY_LEN(spec_methods); i++) {
            const json_t *node = json_object_get(item, spec_methods[i].name);
            int r = node == NULL ? 0 : spec_make_operation(s, path, spec_methods[i].bit, node, err);
            if (r < 0)
                return r;
        }
    }
    return s->count > 0 ? 0 : err_set(err, -EINVAL, "the API's document has no operations");
}

static int spec_add_handler(struct spec *s, const struct op_handler *handler, struct err *err)
{
    for (unsigned i = 0; i < s->count; i++) {
        if (strcmp(s->ops[i].id, handler->id) != 0)
            continue;
        if (s->ops[i].handler != NULL)
            return err_set(err, -EINVAL, "operation %s of the API has two handlers", handler->id);
        s->ops[i].handler = handler;
        return 0;
    }
    return err_set(err, -EINVAL, "handler %s is for no operation of the API", handler->id);
}

static int spec_add_handlers(struct spec *s, const struct op_handler *const *lists, struct err *err)
{
    for (; *lists != NULL; lists++)
        for (const struct op_handler *h = *lists; h->id != NULL; h++) {
            int r = spec_add_handler(s, h, err);
            if (r < 0)
                return r;
        }
    for (unsigned i = 0; i < s->count; i++)
        if (s->ops[i].handler == NULL)
            return err_set(err, -EINVAL, "operation %s of the API has no handler", s->ops[i].id);
    return 0;
}

int spec_new(struct str json, const struct op_handler *const *lists, struct err *err,
             struct spec **ret)
{
    json_error_t error;
    struct spec *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    s->magic = SPEC_MAGIC;
    s->document = json_loadb(json.data, json.size, JSON_REJECT_DUPLICATES, &error);
    int r = s->document != NULL ? schema_set_new(s->document, &s->schemas)
                                : err_set(err, -EINVAL, "the API's document: %s in line %d",
                                          error.text, error.line);
    if (r == 0)
        r = spec_make_operations(s, err);
    if (r == 0)
        r = spec_add_handlers(s, lists, err);
    if (r < 0) {
        spec_free(s);
        return r == -ENOMEM ? err_set(err, r, "out of memory") : r;
    }
    *ret = s;
    return 0;
}

struct spec *spec_free(struct spec *s)
{
    if (s == NULL)
        return NULL;
    ASSERT(s->magic == SPEC_MAGIC);
    for (unsigned i = 0; i < s->count; i++) {
        free(s->ops[i].query_params);
        free(s->ops[i].header_params);
        free(s->ops[i].responses);
    }
    free(s->ops);
    spec_route_clear(&s->routes);
    schema_set_free(s->schemas);
    json_decref(s->document);
    MAGIC_CLEAR(s);
    free(s);
    return NULL;
}

/* --- use -------------------------------------------------------------------------------------- */

const struct operation *spec_find(const struct spec *s, unsigned method, struct str path,
                                  struct str ret_values[SPEC_PATH_MAX], unsigned *ret_methods)
{
    ASSERT(s->magic == SPEC_MAGIC);
    return spec_route_find(&s->routes, method, path, ret_values, ret_methods);
}

const struct op_response *spec_response(const struct operation *op, unsigned status)
{
    for (unsigned i = 0; i < op->responses_count; i++)
        if (op->responses[i].status == status)
            return &op->responses[i];
    return NULL;
}

size_t spec_body_max(const struct spec *s)
{
    size_t max = 0;
    for (unsigned i = 0; i < s->count; i++)
        max = MAX(max, s->ops[i].body_max);
    return max;
}

unsigned spec_count(const struct spec *s)
{
    return s->count;
}

const struct operation *spec_at(const struct spec *s, unsigned i)
{
    ASSERT(i < s->count);
    return &s->ops[i];
}
