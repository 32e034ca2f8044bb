/* SPDX-License-Identifier: Apache-2.0 */
/* What a response falls under: URL, folders, surrogate keys. */
#include "edge/purge.h"
#include <errno.h>
#include <stdio.h>
#include "../unit.h"

static struct upstream_config configs[] = {{.name = (char *)(uintptr_t) "films"},
                                           {.name = (char *)(uintptr_t) "film"}};
static struct upstream films = {.config = &configs[0]}, film = {.config = &configs[1], .index = 1};

static bool among(const struct digest *tags, unsigned count, struct digest tag)
{
    for (unsigned i = 0; i < count; i++)
        if (digest_eq(&tags[i], &tag))
            return true;
    return false;
}

static void purge_test_tags(void **state)
{
    (void)state;
    struct digest tags[OBJECTS_TAGS_MAX];
    unsigned count = 0;
    struct field list[] = {{STR("surrogate-key"), STR("one  two\tthree")},
                           {STR("etag"), STR("\"not-this\"")},
                           {STR("xkey"), STR(" four, five ")}};
    struct fields fields = {list, ARRAY_LEN(list)};
    struct str key = STR("https://a.example.org:8443/x/y/z.ts?part=/not/these/");
    assert_int_equal(purge_tags(&films, key, &fields, tags, &count), 0);
    assert_int_equal(count, 2 + 2 + 5);
    assert_true(among(tags, count, purge_url_tag(key)));
    const struct str folders[] = {STR_NONE, STR("x"), STR("x/y")};
    for (unsigned i = 0; i < ARRAY_LEN(folders); i++)
        assert_true(among(tags, count, purge_asset_tag(&films, folders[i])));
    assert_false(among(tags, count, purge_asset_tag(&films, STR("x/y/z.ts"))));
    assert_false(among(tags, count, purge_asset_tag(&film, STR("x"))));
    const struct str names[] = {STR("one"), STR("two"), STR("three"), STR("four"), STR("five")};
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        assert_true(among(tags, count, purge_surrogate_tag(&films, names[i])));
        assert_false(among(tags, count, purge_surrogate_tag(&film, names[i])));
        assert_false(among(tags, count, purge_asset_tag(&films, names[i])));
    }
    assert_false(among(tags, count, purge_surrogate_tag(&films, STR("\"not-this\""))));
    /* The same name of another kind or upstream is another. */
    struct digest a = purge_asset_tag(&films, STR("x")), b = purge_surrogate_tag(&films, STR("x"));
    struct digest c = purge_url_tag(STR("x"));
    assert_false(digest_eq(&a, &b));
    assert_false(digest_eq(&b, &c));
    /* Nothing but the URL is known. */
    assert_int_equal(purge_tags(&films, STR("http://h/"), NULL, tags, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(purge_tags(&films, STR("odd"), NULL, tags, &count), 0);
    assert_int_equal(count, 2);
}

/* What no purge could find is told. */
static void purge_test_tags_too_many(void **state)
{
    (void)state;
    struct digest tags[OBJECTS_TAGS_MAX];
    unsigned count = 77;
    CLEAN_BUF struct buf b = BUF_EMPTY;
    for (unsigned i = 0; i < OBJECTS_TAGS_MAX - 2; i++)
        buf_printf(&b, "key%u ", i);
    struct field field = {STR("xkey"), buf_str(&b)};
    struct fields fields = {&field, 1};
    assert_int_equal(purge_tags(&films, STR("http://h/f"), &fields, tags, &count), 0);
    assert_int_equal(count, OBJECTS_TAGS_MAX);
    count = 77;
    assert_int_equal(purge_tags(&films, STR("http://h/a/f"), &fields, tags, &count), -E2BIG);
    assert_int_equal(count, 77);
    buf_clear(&b);
    buf_puts(&b, "http://h/");
    for (unsigned i = 0; i < 25; i++)
        buf_puts(&b, "d/");
    assert_int_equal(purge_tags(&films, buf_str(&b), NULL, tags, &count), -E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(purge_test_tags),
                                       cmocka_unit_test(purge_test_tags_too_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
