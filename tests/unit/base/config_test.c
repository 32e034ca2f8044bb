/* SPDX-License-Identifier: Apache-2.0 */
#include "base/config.h"
#include <errno.h>
#include <string.h>
#include "../unit.h"

struct sample {
    char *name;
    uint16_t port;
    bool loud;
};

static const cyaml_schema_field_t sample_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct sample, name, 1, 64),
    CYAML_FIELD_UINT("port", CYAML_FLAG_DEFAULT, struct sample, port),
    CYAML_FIELD_BOOL("loud", CYAML_FLAG_OPTIONAL, struct sample, loud),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t sample_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct sample, sample_fields)};

static int config_test_parse(const char *text, struct sample **ret, struct err *err)
{
    void *loaded = NULL;
    int r = config_parse("sample.yaml", text, strlen(text), &sample_schema, &loaded, err);
    if (r == 0)
        *ret = loaded;
    return r;
}

static void config_test_good(void **state)
{
    (void)state;
    struct sample *s = NULL;
    struct err err = {0};
    assert_int_equal(config_test_parse("name: edge\nport: 8443\nloud: true\n", &s, &err), 0);
    assert_string_equal(s->name, "edge");
    assert_int_equal(s->port, 8443);
    assert_true(s->loud);
    config_free(&sample_schema, s);
}

/* Each error names the file, and the line and the key where there is one. */
static void config_test_bad(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *words[3];
    } rows[] = {
        {"name: edge\nport: 8443\nno_such: 1\n", {"sample.yaml", "line 3", "no_such"}},
        {"name: edge\nport: many\n", {"sample.yaml", "line 2", "port"}},
        {"name: edge\nport: 70000\n", {"sample.yaml", "line 2", "port"}},
        {"name: edge\n", {"sample.yaml", "port", "port"}},
        {"", {"sample.yaml", "sample.yaml", "sample.yaml"}},
        {"- a\n- b\n", {"sample.yaml", "sample.yaml", "sample.yaml"}},
        {"name: [\n", {"sample.yaml", "line", "line"}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sample *s = NULL;
        struct err err = {0};
        assert_int_equal(config_test_parse(rows[i].text, &s, &err), -EINVAL);
        for (size_t k = 0; k < 3; k++) {
            if (strstr(err.text, rows[i].words[k]) == NULL)
                fail_msg("'%s' does not name %s", err.text, rows[i].words[k]);
        }
    }
}

static void config_test_sizes(void **state)
{
    (void)state;
    uint64_t size = 7;
    struct err err = {0};
    assert_int_equal(config_size("hot_size", NULL, &size, &err), 0);
    assert_true(size == 7);
    assert_int_equal(config_size("hot_size", "3M", &size, &err), 0);
    assert_true(size == 3 << 20);
    assert_int_equal(config_size("hot_size", "big", &size, &err), -EINVAL);
    assert_non_null(strstr(err.text, "hot_size"));
}

static void config_test_seconds(void **state)
{
    (void)state;
    uint32_t s = 7;
    struct err err = {0};
    assert_int_equal(config_seconds("after", NULL, &s, &err), 0);
    assert_int_equal(s, 7);
    const struct {
        const char *text;
        uint32_t seconds;
    } good[] = {{"0", 0}, {"90", 90}, {"90s", 90}, {"5m", 300}, {"24h", 86400}, {"30d", 2592000}};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(config_seconds("after", good[i].text, &s, &err), 0);
        assert_int_equal(s, good[i].seconds);
    }
    const char *const bad[] = {"", "d", "-1s", "1 d", "3w", "1.5h", "99999999999999999999"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_true(config_seconds("after", bad[i], &s, &err) < 0);
        assert_non_null(strstr(err.text, "after"));
    }
    assert_int_equal(config_seconds("after", "40000d", &s, &err), -ERANGE);
    assert_int_equal(config_seconds("after", "99999999999999999d", &s, &err), -ERANGE);
    assert_int_equal(s, 2592000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_test_good),
        cmocka_unit_test(config_test_bad),
        cmocka_unit_test(config_test_sizes),
        cmocka_unit_test(config_test_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
