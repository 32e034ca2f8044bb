/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/spec.h"
#include <errno.h>
#include <stdlib.h>
#include "../../unit.h"
#include "control/api/openapi.h"
#include "control/ops.h"
#include "http/http.h"

static int nothing(struct call *c)
{
    (void)c;
    return 0;
}

#define OPERATION(id)                                                                              \
    "{\"operationId\":\"" id "\",\"x-weir-auth\":\"none\",\"responses\":{\"204\":{}}"
#define PARAM(name)                                                                                \
    "{\"name\":\"" name "\",\"in\":\"path\",\"required\":true,\"schema\":{\"type\":\"string\"}}"

/* The document that is shipped, and the handlers that are: each has the other. */
static void test_ours(void **state)
{
    struct err err = {""};
    struct spec *s = NULL;
    (void)state;
    if (spec_new(openapi_json(), ops_all, &err, &s) < 0)
        fail_msg("%s", err.text);
    assert_true(spec_count(s) > 10);
    for (unsigned i = 0; i < spec_count(s); i++) {
        const struct operation *op = spec_at(s, i);
        assert_non_null(op->handler);
        assert_true(op->handler->work != NULL || op->handler->then != NULL);
        assert_non_null(spec_response(op, op->status));
        assert_null(spec_response(op, 299));
    }
    assert_true(spec_body_max(s) >= 65536);
    spec_free(s);
}

static const struct op_handler routes[] = {
    {"a", nothing, NULL}, {"b", nothing, NULL}, {"c", nothing, NULL},
    {"d", nothing, NULL}, {"e", nothing, NULL}, {NULL, NULL, NULL},
};

static void test_routes(void **state)
{
    /* clang-format off */
    static const char document[] =
        "{\"paths\":{"
        "\"/api/v1/videos\":{\"get\":" OPERATION("a") "}},"
        "\"/api/v1/videos/search\":{\"get\":" OPERATION("b") "}},"
        "\"/api/v1/videos/{id}\":{\"get\":" OPERATION("c") ",\"parameters\":[" PARAM("id") "]},"
        "\"delete\":" OPERATION("e") ",\"parameters\":[" PARAM("id") "]}},"
        "\"/api/v1/{kind}/{id}/part\":{\"put\":" OPERATION("d") ",\"parameters\":[" PARAM("id") ","
        PARAM("kind") "]}}"
        "}}";
    /* clang-format on */
    static const struct {
        const char *path;
        unsigned method;
        const char *id; /* NULL: none */
        unsigned methods;
        const char *values[2];
    } cases[] = {
        {"/api/v1/videos", HTTP_GET, "a", HTTP_GET, {0}},
        {"/api/v1/videos", HTTP_POST, NULL, HTTP_GET, {0}},
        {"/api/v1/videos/search", HTTP_GET, "b", HTTP_GET, {0}},
        {"/api/v1/videos/x%20y", HTTP_GET, "c", HTTP_GET | HTTP_DELETE, {"x%20y"}},
        {"/api/v1/videos/x", HTTP_DELETE, "e", HTTP_GET | HTTP_DELETE, {"x"}},
        {"/api/v1/videos/x", HTTP_OPTIONS, NULL, HTTP_GET | HTTP_DELETE, {0}},
        /* A path that is written out has its own methods alone, and none of the template's. */
        {"/api/v1/videos/search", HTTP_DELETE, NULL, HTTP_GET, {0}},
        {"/api/v1/videos/search", HTTP_OPTIONS, NULL, HTTP_GET, {0}},
        {"/api/v1/videos/x/part", HTTP_PUT, "d", HTTP_PUT, {"videos", "x"}},
        {"/api/v1/videos/search/part", HTTP_PUT, "d", HTTP_PUT, {"videos", "search"}},
        {"/api/v1/videos/x/part", HTTP_GET, NULL, HTTP_PUT, {0}},
        {"/api/v1/videos/", HTTP_GET, NULL, 0, {0}},
        {"/api/v1//videos", HTTP_GET, NULL, 0, {0}},
        {"/api/v1", HTTP_GET, NULL, 0, {0}},
        {"/", HTTP_GET, NULL, 0, {0}},
        {"", HTTP_GET, NULL, 0, {0}},
        {"/api/v1/videos", 0, NULL, 0, {0}},
        {"/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17", HTTP_GET, NULL, 0, {0}},
    };
    const struct op_handler *const lists[] = {routes, NULL};
    struct err err = {""};
    struct spec *s = NULL;
    (void)state;
    if (spec_new(str_of(document), lists, &err, &s) < 0)
        fail_msg("%s", err.text);
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct str values[SPEC_PATH_MAX] = {{0}};
        unsigned methods = 99;
        const struct operation *op =
            spec_find(s, cases[i].method, str_of(cases[i].path), values, &methods);
        if (cases[i].id == NULL)
            assert_null(op);
        else
            assert_string_equal(op == NULL ? "none" : op->id, cases[i].id);
        assert_int_equal(methods, cases[i].methods);
        for (unsigned k = 0; k < 2 && cases[i].values[k] != NULL; k++)
            assert_true(str_eq(values[k], str_of(cases[i].values[k])));
    }
    spec_free(s);
}

static void test_refused(void **state)
{
    static const struct {
        const char *document, *says;
    } cases[] = {
        {"{", "document"},
        {"{\"paths\":{}}", "no operations"},
        {"{\"paths\":{\"/a\":{\"get\":{\"x-weir-auth\":\"none\"}}}}", "operationId"},
        {"{\"paths\":{\"/a\":{\"get\":{\"operationId\":\"a\",\"responses\":{\"204\":{}}}}}}",
         "x-weir-auth"},
        {"{\"paths\":{\"/"
         "a\":{\"get\":{\"operationId\":\"a\",\"x-weir-auth\":\"none\",\"responses\":{\"404\":{}}}}"
         "}}",
         "no good answer"},
        {"{\"paths\":{\"/a\":{\"get\":" OPERATION("a") ",\"x-weir-roles\":[\"king\"]}}}}",
         "x-weir-roles"},
        {"{\"paths\":{\"/a\":{\"get\":" OPERATION("a") ",\"x-weir-pool\":\"deep\"}}}}",
         "x-weir-pool"},
        {"{\"paths\":{\"/a\":{\"get\":" OPERATION("a") ",\"x-weir-body-max\":0}}}}",
         "x-weir-body-max"},
        {"{\"paths\":{\"/{x}\":{\"get\":" OPERATION("a") "}}}}", "not declared"},
        {"{\"paths\":{\"/a\":{\"get\":" OPERATION("a") ",\"parameters\":[" PARAM("x") "]}}}}",
         "more parameters"},
        {"{\"paths\":{\"/a\":{\"get\":" OPERATION(
             "a") ",\"parameters\":[{\"name\":\"q\",\"in\":\"query\",\"schema\":{\"type\":"
                  "\"array\"}}]}}}}",
         "items"},
        {"{\"paths\":{\"/a\":{\"get\":" OPERATION(
             "a") ",\"parameters\":[{\"name\":\"X-N\",\"in\":\"header\",\"schema\":{\"type\":"
                  "\"integer\"}}]}}}}",
         "cannot be there"},
        {"{\"paths\":{\"/a\":{\"get\":" OPERATION("other") "}}}}", "for no operation"},
        {"{\"paths\":{\"/a\":{\"get\":" OPERATION("a") "},\"put\":" OPERATION("b") "}}}}",
         "no handler"},
        {"{\"paths\":{\"/a\":{\"post\":" OPERATION(
             "a") ",\"requestBody\":{\"content\":{\"text/plain\":{}}}}}}}",
         "no application/json"},
    };
    static const struct op_handler one[] = {{"a", nothing, NULL}, {NULL, NULL, NULL}};
    const struct op_handler *const lists[] = {one, NULL};
    const struct op_handler *const twice[] = {one, one, NULL};
    struct spec *s = NULL;
    struct err err = {""};
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        err = (struct err){""};
        assert_int_equal(spec_new(str_of(cases[i].document), lists, &err, &s), -EINVAL);
        if (strstr(err.text, cases[i].says) == NULL)
            fail_msg("%s: %s", cases[i].document, err.text);
        assert_null(s);
    }
    assert_int_equal(
        spec_new(str_of("{\"paths\":{\"/a\":{\"get\":" OPERATION("a") "}}}}"), twice, &err, &s),
        -EINVAL);
    assert_non_null(strstr(err.text, "two handlers"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ours),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
