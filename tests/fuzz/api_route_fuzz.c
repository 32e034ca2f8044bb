/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include "control/api/openapi.h"
#include "control/api/schema.h"
#include "control/api/spec.h"
#include "control/api/text.h"
#include "control/ops.h"
#include "fuzz.h"
#include "http/http.h"

static struct spec *fuzz_spec(void)
{
    static struct spec *spec; /* of the whole run */
    struct err err = {""};
    int r = spec == NULL ? spec_new(openapi_json(), ops_all, &err, &spec) : 0;
    ASSERT(r == 0);
    return spec;
}

/* Segment by segment, as the template says, without a tree. */
static bool fuzz_fits(const char *template, struct str path)
{
    struct str want = str_of(template);
    while (want.data != NULL && path.data != NULL) {
        struct str part = str_cut(path, '/', &path);
        struct str must = str_cut(want, '/', &want);
        if (must.size > 0 && must.data[0] == '{' ? part.size == 0 : !str_eq(part, must))
            return false;
    }
    return want.data == NULL && path.data == NULL;
}

static void fuzz_query(const struct operation *op, struct str text)
{
    for (unsigned i = 0; i < op->query_params_count; i++) {
        const struct op_param *param = &op->query_params[i];
        const struct schema *schema = param->is_list ? schema_items(param->schema) : param->schema;
        struct fault fault = {0};
        json_t *value = NULL;
        int r = text_is_utf8(text) ? schema_fit_text(schema, text, param->name, "X", &fault, &value)
                                   : -EPROTO;
        ASSERT(r == 0 || r == -EPROTO);
        ASSERT(r == -EPROTO || schema_fit(schema, value, param->name, "X", &fault) == 0);
        json_decref(value);
    }
}

/* The path finds what a search through all templates finds; the rest is a parameter's text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct spec *spec = fuzz_spec();
    struct str rest;
    struct str path = str_cut(fuzz_str(data, size), '?', &rest);
    for (unsigned method = HTTP_GET; method <= HTTP_PATCH; method <<= 1) {
        struct str values[SPEC_PATH_MAX] = {{0}};
        unsigned methods = 0, wanted = 0;
        const struct operation *op = spec_find(spec, method, path, values, &methods);
        for (unsigned i = 0; i < spec_count(spec); i++)
            if (path.size > 0 && fuzz_fits(spec_at(spec, i)->path, path))
                wanted |= spec_at(spec, i)->method;
        ASSERT((op != NULL) == ((wanted & method) != 0));
        ASSERT(op == NULL || fuzz_fits(op->path, path));
        ASSERT(op != NULL || methods == wanted);
        if (op == NULL)
            continue;
        for (unsigned i = 0; i < op->path_params_count; i++) {
            struct fault fault = {0};
            ASSERT(values[i].size > 0);
            int r = schema_fit_string(op->path_params[i].schema, values[i], "p", "X", &fault);
            ASSERT(r == 0 || r == -EPROTO);
        }
        fuzz_query(op, rest);
    }
    return 0;
}
