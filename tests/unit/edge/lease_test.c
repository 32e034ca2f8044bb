/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of leases, and control's stream; the rest needs daemons: tests/e2e. */
#include "edge/lease.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/file.h"
#include "edge/lease_stream.h"
#include "../unit.h"

struct part { /* of an edge's file: what leases need of it */
    struct bus_config bus;
    struct lease_config *lease;
};

static const cyaml_schema_field_t part_fields[] = {
    BUS_CONFIG_FIELDS(struct part, bus),
    CYAML_FIELD_MAPPING_PTR("lease", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct part, lease,
                            lease_config_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t part_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct part, part_fields)};

static int check(const char *yaml, struct err *err)
{
    void *loaded = NULL;
    *err = (struct err){""};
    int r = config_parse("test", yaml, strlen(yaml), &part_schema, &loaded, err);
    if (r < 0)
        return r;
    const struct part *p = loaded;
    struct edge_config c = {.bus = p->bus, .lease = p->lease};
    r = lease_config_check(&c, err);
    config_free(&part_schema, loaded);
    return r;
}

static void configurations(void **state)
{
    (void)state;
    char folder[] = "/tmp/weir-lease-XXXXXX";
    char secret[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(secret, sizeof secret, "%s/secret", folder);
    assert_int_equal(file_write(secret, STR("0123456789abcdef\n"), 0600), 0);
    const struct {
        const char *yaml;  /* %s: the credential's path */
        const char *error; /* part of the sentence; NULL: good */
    } rows[] = {
        {"redis: redis://h\n", NULL},
        {"redis: redis://h\nlease: {backend: redis}\n", NULL},
        {"redis: redis://h\nlease: {backend: redis, fail: closed, renew_s: 60}\n", NULL},
        {"lease: {backend: control, url: 'https://c', credential_file: %s}\n", NULL},
        {"lease: {backend: redis}\n", "redis: the lease backend redis needs its URL"},
        {"redis: http://h\nlease: {backend: redis}\n", "redis: 'http://h' does not begin"},
        {"redis: redis://h\nlease: {backend: redis, url: 'https://c'}\n", "are for the backend"},
        {"redis: redis://h\nlease: {backend: redis, renew_s: 61}\n", "lease: renew_s: 61"},
        {"redis: redis://h\nlease: {backend: redis, fail: maybe}\n", "fail"},
        {"redis: redis://h\nlease: {backend: memcached}\n", "backend"},
        {"redis: redis://h\nlease: {}\n", ""},
        {"lease: {backend: control, credential_file: %s}\n", "lease: url"},
        {"lease: {backend: control, url: 'c', credential_file: %s}\n", "lease: url: 'c'"},
        {"lease: {backend: control, url: 'https://c'}\n", "lease: credential_file"},
        {"lease: {backend: control, url: 'https://c', credential_file: /absent}\n", "/absent"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char yaml[512];
        struct err err;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(yaml, sizeof yaml, rows[i].yaml, secret);
#pragma GCC diagnostic pop
        int r = check(yaml, &err);
        if (rows[i].error == NULL) {
            assert_string_equal(err.text, "");
            assert_int_equal(r, 0);
            continue;
        }
        assert_true(r < 0);
        if (strstr(err.text, rows[i].error) == NULL)
            fail_msg("%s: %s", yaml, err.text);
    }
    assert_int_equal(file_remove_all(folder), 0);
}

struct seen {
    unsigned gaps, ended;
    char last[LEASE_TEXT_MAX + 1];
};

static void on_event(void *arg, struct str session)
{
    struct seen *s = arg;
    if (session.data == NULL) {
        s->gaps++;
        return;
    }
    s->ended++;
    assert_int_equal(str_copy(session, s->last, sizeof s->last), 0);
}

static void the_stream_is_read(void **state)
{
    (void)state;
    static const char text[] =
        ":\n\nevent: gap\ndata:\n\ndata: abc\n\nid: 7\r\ndata:def\r\n\r\n:\n\n"
        "data: not yet";
    struct seen seen = {0};
    struct lease_stream s = {.size = 0};
    for (size_t i = 0; i < sizeof text - 1; i++)
        assert_int_equal(lease_stream_feed(&s, &text[i], 1, on_event, &seen), 0);
    assert_int_equal(seen.gaps, 1);
    assert_int_equal(seen.ended, 2);
    assert_string_equal(seen.last, "def");
    assert_int_equal(lease_stream_feed(&s, "\n\n", 2, on_event, &seen), 0);
    assert_string_equal(seen.last, "not yet");
    char large[LEASE_STREAM_LINE_MAX + 1];
    memset(large, 'x', sizeof large);
    assert_int_equal(lease_stream_feed(&s, large, sizeof large, on_event, &seen), -EBADMSG);
    s = (struct lease_stream){.size = 0};
    assert_int_equal(lease_stream_feed(&s, "data: a\tb\n", 10, on_event, &seen), -EBADMSG);
    assert_int_equal(seen.ended, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configurations),
        cmocka_unit_test(the_stream_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
