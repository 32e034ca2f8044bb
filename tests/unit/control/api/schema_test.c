/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/schema.h"
#include <errno.h>
#include <stdlib.h>
#include "../../unit.h"
#include "control/api/schema_format.h"
#include "control/api/schema_pattern.h"

/* --- patterns --------------------------------------------------------------------------------- */

static bool pattern_fits(const char *pattern, const char *text)
{
    struct err err = {""};
    struct schema_pattern *p = NULL;
    if (schema_pattern_new(pattern, &err, &p) < 0)
        fail_msg("%s", err.text);
    bool fits = schema_pattern_fits(p, str_of(text));
    schema_pattern_free(p);
    return fits;
}

static void test_pattern(void **state)
{
    (void)state;
    assert_true(pattern_fits("^[0-9a-f]{32}$", "0123456789abcdef0123456789abcdef"));
    assert_false(pattern_fits("^[0-9a-f]{32}$", "0123456789abcdef0123456789abcde"));
    assert_false(pattern_fits("^[0-9a-f]{32}$", "0123456789abcdef0123456789abcdefa"));
    assert_false(pattern_fits("^[0-9a-f]{32}$", "0123456789ABCDEF0123456789abcdef"));
    assert_true(pattern_fits("^[A-Za-z0-9_-][A-Za-z0-9._-]{0,3}$", "a.-_"));
    assert_false(pattern_fits("^[A-Za-z0-9_-][A-Za-z0-9._-]{0,3}$", ".a"));
    assert_false(pattern_fits("^[A-Za-z0-9_-][A-Za-z0-9._-]{0,3}$", "abcde"));
    assert_true(pattern_fits("^a+b?c*\\.$", "aaccc."));
    assert_true(pattern_fits("^a+b?c*\\.$", "ab."));
    assert_false(pattern_fits("^a+b?c*\\.$", "b."));
    assert_true(pattern_fits("^x{2,}$", "xxxx"));
    assert_false(pattern_fits("^x{2,}$", "x"));
    assert_true(pattern_fits("^$", ""));
    assert_false(pattern_fits("^$", "a"));
    assert_true(
        pattern_fits("^[^<>]{3}$", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x8e\xac")); /* 3 characters */
    assert_false(pattern_fits("^[^<>]{3}$", "a<b"));
}

static void test_pattern_refused(void **state)
{
    static const char *const bad[] = {
        "",        "a",        "^a",         "a$",    "^(a)$",
        "^a|b$",   "^.$",      "^\\d$",      "^[]$",  "^[a$",
        "^a{2$",   "^a{3,2}$", "^a{x}$",     "^*$",   "^[z-a]$",
        "^a**$",   "^a$b$",    "^a{99999}$", "^a*a$", "^[a-z]+[0-9a-f]$",
        "^a?b?a$", "^\\$",
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = {""};
        struct schema_pattern *p = NULL;
        if (schema_pattern_new(bad[i], &err, &p) != -EINVAL)
            fail_msg("%s was taken", bad[i]);
        assert_null(p);
        assert_true(err.text[0] != '\0');
    }
}

/* --- formats ---------------------------------------------------------------------------------- */

static bool format_fits(const char *name, const char *text)
{
    const struct schema_format *f = schema_format_find(name);
    assert_non_null(f);
    return f->fits(str_of(text));
}

static void test_formats(void **state)
{
    static const struct {
        const char *name;
        const char *good[4];
        const char *bad[9];
    } cases[] = {
        {"date",
         {"2024-02-29", "1999-12-31"},
         {"2023-02-29", "2024-13-01", "2024-00-10", "2024-1-1", "2024-04-31", ""}},
        {"date-time",
         {"2025-01-31T08:30:00Z", "2025-01-31T08:30:00.123Z", "2025-01-31T23:59:59+05:30"},
         {"2025-01-31", "2025-01-31T08:30:00", "2025-01-31 08:30:00Z", "2025-01-31T24:00:00Z",
          "2025-01-31T08:30:00.Z", "2025-01-31T08:30:00+25:00", "2025-01-31T08:30:00Zx",
          "2025-02-30T08:30:00Z"}},
        {"email", {"ada@example.org"}, {"ada", "@example.org", "ada@localhost", "a b@example.org"}},
        {"id",
         {"0123456789abcdef0123456789abcdef"},
         {"", "0123456789abcdef0123456789abcdeg", "0123"}},
        {"uuid",
         {"123e4567-e89b-12d3-a456-426614174000"},
         {"123e4567e89b12d3a456426614174000", "123e4567-e89b-12d3-a456-42661417400g"}},
        {"uri",
         {"https://example.org/a?b=c#d", "http://[::1]:80/"},
         {"javascript:alert(1)", "https://", "https:///x", "https://a b", "//x", "ftp://x",
          "https://\xc3\xa4.de"}},
        {"language",
         {"en", "pt-BR", "zh-Hant-TW", "und"},
         {"", "e", "en-", "-en", "1n", "en_US", "en-toolongtag"}},
        {"country", {"DE", "US"}, {"de", "DEU", "D", "", "D1"}},
        {"line", {"", "\xc3\xa4 \xe2\x82\xac"}, {"a\nb", "\x7f", "\xc2\x85", "\t"}},
        {"lines", {"a\nb\tc"}, {"a\rb", "\x1b", "\xc2\x9f"}},
        {"base64url", {"", "aZ09_-"}, {"a=", "a+b", "a/b"}},
        {"digest", {"0123456789abcdef0123456789abcdef"}, {"0123456789ABCDEF0123456789abcdef", ""}},
        {"asset", {"film.v2_x-1"}, {".x", "", "a/b", "a b"}},
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        for (unsigned k = 0; k < 4 && cases[i].good[k] != NULL; k++)
            if (!format_fits(cases[i].name, cases[i].good[k]))
                fail_msg("%s: %s", cases[i].name, cases[i].good[k]);
        for (unsigned k = 0; k < 9 && cases[i].bad[k] != NULL; k++)
            if (format_fits(cases[i].name, cases[i].bad[k]))
                fail_msg("%s: %s was taken", cases[i].name, cases[i].bad[k]);
    }
    assert_null(schema_format_find("nothing"));
}

/* --- schemas ---------------------------------------------------------------------------------- */

#define ENDLESS                                                                                    \
    "{\"s\":{\"type\":\"object\",\"properties\":{\"child\":{\"$ref\":\"#/"                         \
    "s\"}},\"additionalProperties\":false}}"

/* 0 fits, 1 does not; then fault tells. */
static int fits(const char *schema, const char *json, struct fault *fault)
{
    struct err err = {""};
    struct schema_set *set = NULL;
    const struct schema *s = NULL;
    json_t *document = json_loads(schema, 0, NULL);
    json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
    assert_non_null(document);
    assert_non_null(value);
    assert_int_equal(schema_set_new(document, &set), 0);
    if (schema_compile(set, json_object_get(document, "s"), &err, &s) < 0)
        fail_msg("%s: %s", schema, err.text);
    int r = schema_fit(s, value, "", "BODY_INVALID", fault);
    static char code[32]; /* of the document, which ends here */
    if (r < 0) {
        assert_int_equal(str_copy(str_of(fault->code), code, sizeof code), 0);
        fault->code = code;
    }
    schema_set_free(set);
    json_decref(value);
    json_decref(document);
    assert_true(r == 0 || r == -EPROTO);
    return r == 0 ? 0 : 1;
}

static void test_fit(void **state)
{
    static const struct {
        const char *schema, *good, *bad, *field, *message;
    } cases[] = {
        {"{\"s\":{\"type\":\"string\",\"minLength\":1}}", "\"\xc3\xa4\"", "\"\"", "",
         "the body is empty"},
        {"{\"s\":{\"type\":\"string\",\"maxLength\":2}}", "\"\xc3\xa4\xc3\xa4\"", "\"abc\"", "",
         "the body has more than 2 characters"},
        {"{\"s\":{\"type\":[\"string\",\"null\"]}}", "null", "1", "", "the body is not a string"},
        {"{\"s\":{\"type\":\"integer\"}}", "1", "1.5", "", "the body is not an integer"},
        {"{\"s\":{\"type\":\"number\",\"minimum\":0.5}}", "1", "0", "",
         "the body is less than 0.5"},
        {"{\"s\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":3}}", "3", "4", "",
         "the body is not from 1 to 3"},
        {"{\"s\":{\"type\":\"boolean\"}}", "false", "0", "", "the body is not a boolean"},
        {"{\"s\":{\"enum\":[\"a\",\"b\"]}}", "\"b\"", "\"c\"", "", "the body is none of a, b"},
        {"{\"s\":{\"const\":5}}", "5", "6", "", "the body is not the value that it must have"},
        {"{\"s\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}}", "[1,2]", "[1,\"2\"]",
         "[1]", "\"[1]\" is not an integer"},
        {"{\"s\":{\"type\":\"array\",\"uniqueItems\":true}}", "[1,2]", "[1,1]", "",
         "the body has an item twice"},
        {"{\"s\":{\"type\":\"array\",\"minItems\":1,\"maxItems\":2}}", "[1,2]", "[]", "",
         "the body has fewer than 1 items"},
        {"{\"s\":{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"type\":"
         "\"string\"},\"b\":true}}}",
         "{\"a\":\"x\",\"c\":1}", "{\"b\":1}", "", "the body lacks the member \"a\""},
        {"{\"s\":{\"type\":\"object\",\"properties\":{\"a\":true},\"additionalProperties\":false}}",
         "{\"a\":1}", "{\"A\":1}", "", "the body has no member \"A\""},
        {"{\"s\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"},"
         "\"maxProperties\":2}}",
         "{\"a\":1}", "{\"a\":1,\"b\":2,\"c\":3}", "", "the body has more than 2 members"},
        {"{\"s\":{\"type\":\"object\",\"propertyNames\":{\"pattern\":\"^[a-z]{1,8}$\"}}}",
         "{\"a\":1}", "{\"$gt\":1}", "", "the body is not of the form that is asked for"},
        {"{\"s\":{\"oneOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}]}}", "1", "1.5", "",
         "the body has none of the forms that it may have"},
        {"{\"s\":{\"oneOf\":[{\"type\":\"number\"},{\"type\":\"integer\"}]}}", "1.5", "1", "",
         "the body has several of the forms that it may have"},
        {"{\"s\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":{"
         "\"type\":\"object\",\"properties\":{\"b\":{\"type\":\"string\",\"format\":\"email\"}}}}}}"
         "}",
         "{\"a\":[{\"b\":\"a@b.co\"}]}", "{\"a\":[{},{\"b\":\"x\"}]}", "a[1].b",
         "\"a[1].b\" is not an e-mail address"},
        {ENDLESS, "{\"child\":{\"child\":{}}}", "{\"child\":{\"child\":{\"x\":1}}}", "child.child",
         "\"child.child\" has no member \"x\""},
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct fault fault = {0};
        if (fits(cases[i].schema, cases[i].good, &fault) != 0)
            fail_msg("%s: %s: %s", cases[i].schema, cases[i].good, fault.message);
        assert_int_equal(fits(cases[i].schema, cases[i].bad, &fault), 1);
        assert_int_equal(fault.status, 422);
        assert_string_equal(fault.code, "BODY_INVALID");
        assert_string_equal(fault.field, cases[i].field);
        assert_string_equal(fault.message, cases[i].message);
    }
}

static void test_codes(void **state)
{
    struct fault fault = {0};
    (void)state;
    const char *schema =
        "{\"s\":{\"type\":\"string\",\"minLength\":2,\"maxLength\":3,\"x-weir-status\":404,"
        "\"x-weir-code\":{\"minLength\":\"SHORT\",\"maxLength\":\"LONG\",\"else\":\"NOT\"}}}";
    assert_int_equal(fits(schema, "\"a\"", &fault), 1);
    assert_string_equal(fault.code, "SHORT");
    assert_int_equal(fault.status, 404);
    assert_int_equal(fits(schema, "\"abcd\"", &fault), 1);
    assert_string_equal(fault.code, "LONG");
    assert_int_equal(fits(schema, "1", &fault), 1);
    assert_string_equal(fault.code, "NOT");
}

static void test_whole_reals(void **state)
{
    struct err err = {""};
    struct schema_set *set = NULL;
    const struct schema *s = NULL;
    struct fault fault = {0};
    (void)state;
    json_t *document =
        json_loads("{\"s\":{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"},"
                   "\"l\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}},\"r\":{\"type\":"
                   "\"number\"}}}}",
                   0, NULL);
    json_t *value = json_loads("{\"n\":7.0,\"l\":[1e2],\"r\":2.0}", 0, NULL);
    assert_int_equal(schema_set_new(document, &set), 0);
    assert_int_equal(schema_compile(set, json_object_get(document, "s"), &err, &s), 0);
    assert_int_equal(schema_fit(s, value, "", "X", &fault), 0);
    char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, "{\"l\":[100],\"n\":7,\"r\":2.0}");
    free(text);
    schema_set_free(set);
    json_decref(value);
    json_decref(document);
}

static void test_compile_refused(void **state)
{
    static const char *const bad[] = {
        "{\"s\":{\"type\":\"text\"}}",
        "{\"s\":{\"typ\":\"string\"}}",
        "{\"s\":{\"format\":\"none\"}}",
        "{\"s\":{\"pattern\":\"(a+)+\"}}",
        "{\"s\":{\"$ref\":\"#/none\"}}",
        "{\"s\":{\"$ref\":\"http://x/\"}}",
        "{\"s\":{\"required\":[\"a\"]}}",
        "{\"s\":{\"minLength\":-1}}",
        "{\"s\":{\"oneOf\":[]}}",
        "{\"s\":{\"not\":{}}}",
        "{\"s\":{\"allOf\":[{}]}}",
        "{\"s\":{\"x-weir-status\":200}}",
        "{\"s\":5}",
        "{\"s\":{\"$ref\":\"#/s\"}}",
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = {""};
        struct schema_set *set = NULL;
        const struct schema *s = NULL;
        json_t *document = json_loads(bad[i], 0, NULL);
        assert_non_null(document);
        assert_int_equal(schema_set_new(document, &set), 0);
        if (schema_compile(set, json_object_get(document, "s"), &err, &s) != -EINVAL)
            fail_msg("%s was taken", bad[i]);
        assert_null(s);
        schema_set_free(set);
        json_decref(document);
    }
}

static void test_texts(void **state)
{
    static const struct {
        const char *schema, *text, *json; /* NULL: refused */
    } cases[] = {
        {"{\"s\":{\"type\":\"integer\",\"minimum\":1}}", "7", "7"},
        {"{\"s\":{\"type\":\"integer\",\"minimum\":1}}", "0", NULL},
        {"{\"s\":{\"type\":\"integer\"}}", "", NULL},
        {"{\"s\":{\"type\":\"integer\"}}", "7x", NULL},
        {"{\"s\":{\"type\":\"integer\"}}", "1.0", "1"},
        {"{\"s\":{\"type\":\"integer\"}}", "99999999999999999999", NULL},
        {"{\"s\":{\"type\":\"number\"}}", "-1.5", "-1.5"},
        {"{\"s\":{\"type\":\"number\"}}", "0x10", NULL},
        {"{\"s\":{\"type\":\"number\"}}", "nan", NULL},
        {"{\"s\":{\"type\":\"boolean\"}}", "true", "true"},
        {"{\"s\":{\"type\":\"boolean\"}}", "1", NULL},
        {"{\"s\":{\"type\":\"string\"}}", "7", "\"7\""},
        {"{\"s\":{\"type\":\"string\",\"enum\":[\"a\"]}}", "b", NULL},
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {""};
        struct fault fault = {0};
        struct schema_set *set = NULL;
        const struct schema *s = NULL;
        json_t *value = NULL;
        json_t *document = json_loads(cases[i].schema, 0, NULL);
        assert_int_equal(schema_set_new(document, &set), 0);
        assert_int_equal(schema_compile(set, json_object_get(document, "s"), &err, &s), 0);
        int r = schema_fit_text(s, str_of(cases[i].text), "n", "PARAMETER_INVALID", &fault, &value);
        assert_int_equal(r, cases[i].json != NULL ? 0 : -EPROTO);
        if (r == 0) {
            char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
            assert_string_equal(text, cases[i].json);
            free(text);
        } else {
            assert_string_equal(fault.field, "n");
        }
        json_decref(value);
        schema_set_free(set);
        json_decref(document);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pattern),         cmocka_unit_test(test_pattern_refused),
        cmocka_unit_test(test_formats),         cmocka_unit_test(test_fit),
        cmocka_unit_test(test_codes),           cmocka_unit_test(test_whole_reals),
        cmocka_unit_test(test_compile_refused), cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
