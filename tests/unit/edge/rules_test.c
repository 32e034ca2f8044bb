/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/rules.h"
#include <errno.h>
#include "../unit.h"

#define LIST(member, ...)                                                                          \
    .member = (char *[]){__VA_ARGS__},                                                             \
    .member##_count = sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)
#define T(text) ((char *)(uintptr_t)(text))

static const char *rules_test_geo; /* written by tests/e2e/mmdb.py */

static void rules_test_errors(void **state)
{
    (void)state;
    const struct {
        struct rules_config config;
        const char *reason; /* NULL: good */
    } cases[] = {
        {{0}, NULL},
        {{LIST(countries_allow, T("DE"), T("XK"))}, NULL},
        {{LIST(countries_allow, T("de"))}, "countries_allow: 'de'"},
        {{LIST(countries_deny, T("DEU"))}, "countries_deny: 'DEU'"},
        {{LIST(continents_allow, T("EU"))}, NULL},
        {{LIST(continents_deny, T("XX"))}, "continents_deny: 'XX'"},
        {{LIST(addresses_allow, T("10.0.0.0/8"), T("::1"))}, NULL},
        {{LIST(addresses_allow, T("10.0.0.0/33"))}, "addresses_allow: '10.0.0.0/33'"},
        {{LIST(addresses_deny, T("host"))}, "addresses_deny: 'host'"},
        {{LIST(referers_allow, T("*.example.org"), T("none"), T("localhost"))}, NULL},
        {{LIST(referers_allow, T("https://example.org"))}, "referers_allow: 'https:"},
        {{LIST(referers_allow, T("a*.example.org"))}, "referers_allow: 'a*"},
        {{LIST(allow_origin, T("*"))}, NULL},
        {{LIST(allow_origin, T("https://*.example.org:8443"), T("null"))}, NULL},
        {{LIST(allow_origin, T("example.org"))}, "allow_origin: 'example.org'"},
        {{LIST(allow_origin, T("https://example.org/"))}, "allow_origin: 'https://example.org/'"},
        {{.allow_credentials = true}, "allow_credentials"},
        {{LIST(allow_origin, T("*")), .allow_credentials = true}, "allow_credentials"},
        {{LIST(allow_origin, T("https://a.example")), .allow_credentials = true}, NULL},
        {{LIST(allow_headers, T("x-a"))}, NULL},
        {{LIST(allow_headers, T("x a"))}, "allow_headers: 'x a'"},
        {{LIST(expose_headers, T("x\n"))}, "expose_headers"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {{0}};
        int r = rules_check(&cases[i].config, &err);
        if (r != (cases[i].reason == NULL ? 0 : -EINVAL) ||
            (r < 0 && strstr(err.text, cases[i].reason) == NULL))
            fail_msg("case %zu: %d %s", i, r, err.text);
    }
}

static enum rules_verdict rules_test_ask(const struct rules_config *c, const char *client,
                                         const struct geo *geo, const char *referer)
{
    struct rules *r = NULL;
    struct addr a;
    assert_int_equal(rules_open(c, NULL, &r), 0);
    if (client != NULL)
        assert_int_equal(addr_parse(str_of(client), &a), 0);
    enum rules_verdict v = rules_admit(r, client == NULL ? NULL : &a, geo, str_of(referer));
    assert_null(rules_free(r));
    return v;
}

#define RULES_TEST_ALL                                                                             \
    LIST(countries_allow, T("DE"), T("US")), LIST(countries_deny, T("FR")),                        \
        LIST(continents_allow, T("EU"))

static void rules_test_places(void **state)
{
    (void)state;
    struct geo *g = NULL;
    assert_int_equal(geo_open(rules_test_geo, &g, NULL), 0);
    const struct {
        struct rules_config config;
        const char *client;
        enum rules_verdict verdict;
    } cases[] = {
        /* 192.0.2.1 DE, 192.0.2.200 FR, 198.51.100.1 US, 2001:db8::1 JP, 203.0.113.1 unknown */
        {{0}, "203.0.113.1", RULES_ADMIT},
        {{LIST(countries_allow, T("DE"))}, "192.0.2.1", RULES_ADMIT},
        {{LIST(countries_allow, T("DE"))}, "192.0.2.200", RULES_GEO},
        {{LIST(countries_allow, T("DE"))}, "203.0.113.1", RULES_GEO},
        {{LIST(countries_allow, T("DE"))}, NULL, RULES_GEO},
        {{LIST(countries_deny, T("DE"))}, "192.0.2.1", RULES_GEO},
        {{LIST(countries_deny, T("DE"))}, "192.0.2.200", RULES_ADMIT},
        {{LIST(countries_deny, T("DE"))}, "203.0.113.1", RULES_ADMIT},
        {{LIST(countries_deny, T("DE")), .geo_unknown = RULES_UNKNOWN_DENY},
         "203.0.113.1",
         RULES_GEO},
        {{LIST(countries_allow, T("DE")), .geo_unknown = RULES_UNKNOWN_ALLOW},
         "203.0.113.1",
         RULES_ADMIT},
        {{LIST(continents_allow, T("AS"))}, "2001:db8::1", RULES_ADMIT},
        {{LIST(continents_deny, T("AS"))}, "2001:db8::1", RULES_GEO},
        {{RULES_TEST_ALL}, "192.0.2.1", RULES_ADMIT},
        {{RULES_TEST_ALL}, "192.0.2.200", RULES_GEO}, /* deny outweighs its continent */
        {{RULES_TEST_ALL}, "198.51.100.1", RULES_ADMIT},
        {{RULES_TEST_ALL}, "2001:db8::1", RULES_GEO},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (rules_test_ask(&cases[i].config, cases[i].client, g, NULL) != cases[i].verdict)
            fail_msg("case %zu", i);
    }
    const struct rules_config no_file = {LIST(countries_allow, T("DE"))};
    assert_int_equal(rules_test_ask(&no_file, "192.0.2.1", NULL, NULL), RULES_GEO);
    geo_free(g);
}

static void rules_test_clients(void **state)
{
    (void)state;
    const struct {
        struct rules_config config;
        const char *client;
        enum rules_verdict verdict;
    } cases[] = {
        {{LIST(addresses_allow, T("10.0.0.0/8"))}, "10.1.2.3", RULES_ADMIT},
        {{LIST(addresses_allow, T("10.0.0.0/8"))}, "11.1.2.3", RULES_CLIENT},
        {{LIST(addresses_allow, T("10.0.0.0/8"))}, NULL, RULES_CLIENT},
        {{LIST(addresses_deny, T("10.0.0.0/8"))}, "10.1.2.3", RULES_CLIENT},
        {{LIST(addresses_deny, T("10.0.0.0/8"))}, "2001:db8::1", RULES_ADMIT},
        {{LIST(addresses_deny, T("10.0.0.0/8"))}, NULL, RULES_CLIENT},
        {{LIST(addresses_allow, T("10.0.0.0/8")), LIST(addresses_deny, T("10.1.0.0/16"))},
         "10.1.2.3",
         RULES_CLIENT},
        {{LIST(addresses_allow, T("10.0.0.0/8")), LIST(addresses_deny, T("10.1.0.0/16"))},
         "10.2.2.3",
         RULES_ADMIT},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (rules_test_ask(&cases[i].config, cases[i].client, NULL, NULL) != cases[i].verdict)
            fail_msg("case %zu", i);
    }
}

static void rules_test_referers(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *referer;
        bool fits;
    } cases[] = {
        {"example.org", "https://example.org/page", true},
        {"example.org", "http://Example.ORG:8080", true},
        {"example.org", "https://example.org?x", true},
        {"example.org", "https://www.example.org/", false},
        {"example.org", "https://example.org.evil.example/", false},
        {"example.org", "https://evil.example/example.org", false},
        {"example.org", "https://example.org@evil.example/", false},
        {"example.org", "https://evil.example\\example.org", false},
        {"example.org", "example.org", false},
        {"example.org", "ftp://example.org/", false},
        {"example.org", NULL, false},
        {"*.example.org", "https://www.example.org/", true},
        {"*.example.org", "https://example.org/", false},
        {"*.example.org", "https://evilexample.org/", false},
        {"none", NULL, true},
        {"none", "https://example.org/", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (rules_referer_fits(str_of(cases[i].pattern), str_of(cases[i].referer)) != cases[i].fits)
            fail_msg("%s and %s", cases[i].pattern, cases[i].referer);
    }
    const struct rules_config c = {LIST(referers_allow, T("a.example"), T("none"))};
    assert_int_equal(rules_test_ask(&c, NULL, NULL, NULL), RULES_ADMIT);
    assert_int_equal(rules_test_ask(&c, NULL, NULL, "https://a.example/"), RULES_ADMIT);
    assert_int_equal(rules_test_ask(&c, NULL, NULL, "https://b.example/"), RULES_REFERER);
}

static void rules_test_origins(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *origin;
        bool fits;
    } cases[] = {
        {"https://a.example", "https://a.example", true},
        {"https://a.example", "HTTPS://A.example", true},
        {"https://a.example", "http://a.example", false},
        {"https://a.example", "https://a.example:8443", false},
        {"https://a.example", "https://a.example.evil", false},
        {"https://*.a.example", "https://b.a.example", true},
        {"https://*.a.example", "https://c.b.a.example", true},
        {"https://*.a.example", "https://a.example", false},
        {"https://*.a.example", "https://evila.example", false},
        {"https://*.a.example", "http://b.a.example", false},
        {"https://*.a.example:8443", "https://b.a.example:8443", true},
        {"https://*.a.example:8443", "https://b.a.example", false},
        {"https://*.a.example", "https://evil.example/.a.example", false},
        {"null", "null", true},
        {"https://*.a.example", "", false},
        {"https://*.a.example", "https:", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (rules_origin_fits(str_of(cases[i].pattern), str_of(cases[i].origin)) != cases[i].fits)
            fail_msg("%s and %s", cases[i].pattern, cases[i].origin);
    }
}

int main(int argc, char **argv)
{
    assert_int_equal(argc, 2);
    rules_test_geo = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_test_errors),  cmocka_unit_test(rules_test_places),
        cmocka_unit_test(rules_test_clients), cmocka_unit_test(rules_test_referers),
        cmocka_unit_test(rules_test_origins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
