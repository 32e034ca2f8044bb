/* SPDX-License-Identifier: Apache-2.0 */
/* What was asked, read and held against the document: headers, path, query, body. */
#include <errno.h>
#include "base/enc.h"
#include "control/api/call_priv.h"
#include "control/api/idem.h"
#include "control/api/text.h"
#include "control/valid.h"

/* --- headers ---------------------------------------------------------------------------------- */

static int call_read_header(struct call *c, const struct op_param *param, const struct fields *f)
{
    struct str value = STR_NONE;
    for (unsigned i = 0; i < f->count; i++) {
        if (!str_eq_nocase(f->at[i].name, str_of(param->name)))
            continue;
        if (value.data != NULL)
            return fault_set(&c->fault, 422, "PARAMETER_INVALID", "\"%s\" is there twice",
                             param->name);
        value = f->at[i].value.data != NULL ? f->at[i].value : STR("");
    }
    if (value.data == NULL && param->required)
        return fault_set(&c->fault, 422, "PARAMETER_INVALID", "\"%s\" is missing", param->name);
    if (value.data == NULL)
        return 0;
    if (!text_is_utf8(value))
        return fault_set(&c->fault, 400, "HEADER_INVALID", "\"%s\" is not UTF-8", param->name);
    return schema_fit_string(param->schema, value, param->name, "PARAMETER_INVALID", &c->fault);
}

int call__read_headers(struct call *c)
{
    if (c->op->needs_match && c->if_match == NULL)
        return fault_set(&c->fault, 428, "REVISION_MISSING",
                         "say by If-Match which revision is to be changed");
    if (c->op->header_params_count == 0)
        return 0;
    struct fields fields = http_req_fields(c->req);
    int r = 0;
    for (unsigned i = 0; r == 0 && i < c->op->header_params_count; i++)
        r = call_read_header(c, &c->op->header_params[i], &fields);
    return r;
}

/* --- path ------------------------------------------------------------------------------------- */

static int call_read_path(struct call *c, const struct str values[SPEC_PATH_MAX])
{
    CLEAN_BUF struct buf text = BUF_EMPTY;
    for (unsigned i = 0; i < c->op->path_params_count; i++) {
        const struct op_param *param = &c->op->path_params[i];
        struct str value = values[i];
        if (memchr(value.data, '%', value.size) != NULL) {
            buf_clear(&text);
            int r = enc_unpercent(value, &text);
            if (r == -EINVAL || (r == 0 && !text_is_utf8(buf_str(&text))))
                return fault_set(&c->fault, 400, "PATH_INVALID",
                                 "the path is not percent-coded UTF-8");
            if (r < 0)
                return r;
            value = buf_str(&text);
        }
        int r = text_is_utf8(value)
                    ? schema_fit_string(param->schema, value, param->name, "PARAMETER_INVALID",
                                        &c->fault)
                    : fault_set(&c->fault, 400, "PATH_INVALID", "the path is not UTF-8");
        if (r < 0)
            return r;
        c->path[i] = call_keep(c, value);
        if (c->path[i] == NULL)
            return -ENOMEM;
    }
    return 0;
}

/* --- query ------------------------------------------------------------------------------------ */

static const struct op_param *call_query_param(const struct operation *op, struct str name)
{
    for (unsigned i = 0; i < op->query_params_count; i++)
        if (str_eq(name, str_of(op->query_params[i].name)))
            return &op->query_params[i];
    return NULL;
}

/* As forms are coded: '+' is a blank. */
static int call_unform(struct str text, struct buf *out)
{
    while (text.data != NULL) {
        struct str rest;
        int r = enc_unpercent(str_cut(text, '+', &rest), out);
        if (r < 0)
            return r;
        if (rest.data != NULL)
            buf_putc(out, ' ');
        text = rest;
    }
    return buf_error(out);
}

static int call_query_put(struct call *c, const struct op_param *param, struct str text);

static int call_query_put_csv(struct call *c, const struct op_param *param, struct str text)
{
    struct op_param one = *param;
    one.is_csv = false;
    int r;
    do /* also an empty text has one item */
        r = call_query_put(c, &one, str_cut(text, ',', &text));
    while (r == 0 && text.data != NULL);
    return r;
}

static int call_query_put(struct call *c, const struct op_param *param, struct str text)
{
    if (param->is_csv)
        return call_query_put_csv(c, param, text);
    json_t *value = NULL;
    const struct schema *schema = param->is_list ? schema_items(param->schema) : param->schema;
    json_t *there = json_object_get(c->query, param->name);
    if (there != NULL && !param->is_list)
        return fault_set(&c->fault, 422, "PARAMETER_INVALID", "\"%s\" is there twice", param->name);
    int r = schema_fit_text(schema, text, param->name, "PARAMETER_INVALID", &c->fault, &value);
    if (r < 0)
        return r;
    if (!param->is_list)
        return json_object_set_new(c->query, param->name, value) < 0 ? -ENOMEM : 0;
    if (there == NULL) {
        there = json_array();
        if (json_object_set_new(c->query, param->name, there) < 0) {
            json_decref(value);
            return -ENOMEM;
        }
    }
    return json_array_append_new(there, value) < 0 ? -ENOMEM : 0;
}

static int call_read_pair(struct call *c, struct str pair)
{
    CLEAN_BUF struct buf name = BUF_EMPTY;
    CLEAN_BUF struct buf text = BUF_EMPTY;
    struct str value;
    int r = call_unform(str_cut(pair, '=', &value), &name);
    if (r == 0)
        r = call_unform(value, &text);
    if (r == -EINVAL || (r == 0 && !text_is_utf8(buf_str(&text))))
        return fault_set(&c->fault, 400, "QUERY_INVALID", "the query is not percent-coded UTF-8");
    if (r < 0)
        return r;
    const struct op_param *param = call_query_param(c->op, buf_str(&name));
    if (param == NULL)
        return fault_set(&c->fault, 422, "PARAMETER_UNKNOWN",
                         "this call has no parameter of that name");
    return call_query_put(c, param, buf_str(&text));
}

/* Lists as a whole, defaults, and what must not be absent. */
static int call_fill_query(struct call *c)
{
    for (unsigned i = 0; i < c->op->query_params_count; i++) {
        const struct op_param *param = &c->op->query_params[i];
        json_t *value = json_object_get(c->query, param->name);
        int r = 0;
        if (value != NULL && param->is_list)
            r = schema_fit(param->schema, value, param->name, "PARAMETER_INVALID", &c->fault);
        else if (value == NULL && param->required)
            r = fault_set(&c->fault, 422, "PARAMETER_INVALID", "\"%s\" is missing", param->name);
        else if (value == NULL && param->absent != NULL &&
                 json_object_set(c->query, param->name, (json_t *)(uintptr_t)param->absent) < 0)
            r = -ENOMEM;
        if (r < 0)
            return r;
    }
    return 0;
}

static int call_read_query(struct call *c)
{
    struct str rest = http_req_query(c->req);
    if (c->op->query_params_count == 0 && rest.size == 0)
        return 0;
    c->query = json_object();
    if (c->query == NULL)
        return -ENOMEM;
    while (rest.data != NULL) {
        struct str pair = str_cut(rest, '&', &rest);
        int r = pair.size == 0 ? 0 : call_read_pair(c, pair);
        if (r < 0)
            return r;
    }
    return call_fill_query(c);
}

/* --- body ------------------------------------------------------------------------------------- */

/* A page of another origin can send a body without a type, but not by another method than POST. */
static bool call_body_is_json(const struct call *c, struct str type)
{
    return valid_is_json_type(type) || (type.size == 0 && c->op->method != HTTP_POST);
}

static int call_read_body(struct call *c)
{
    const struct operation *op = c->op;
    struct str body = http_req_body(c->req);
    struct str type = http_req_header(c->req, "content-type");
    if (op->method == HTTP_GET || (type.size == 0 && body.size == 0 && !op->needs_body))
        return 0;
    if (!call_body_is_json(c, type))
        return fault_set(&c->fault, 415, "TYPE_UNSUPPORTED",
                         "the content type must be application/json");
    if (!op->takes_body && body.size > 0)
        return fault_set(&c->fault, 422, "BODY_INVALID", "this call takes no body");
    if (body.size == 0 && !op->needs_body)
        return 0;
    int r = text_read_json(body, op->body_max, &c->body, &c->fault);
    return r == 0 ? schema_fit(op->body, c->body, "", "BODY_INVALID", &c->fault) : r;
}

int call__read(struct call *c, const struct str values[SPEC_PATH_MAX])
{
    int r = call_read_path(c, values);
    if (r == 0)
        r = call_read_query(c);
    if (r == 0)
        r = call_read_body(c);
    return r == 0 ? idem_read(c) : r;
}
