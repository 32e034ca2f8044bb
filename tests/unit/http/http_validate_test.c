/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include "http_fields.h"

#define DATE_A "last-modified: Fri, 01 Mar 2024 12:00:00 GMT\n"
#define DATE_B "last-modified: Fri, 01 Mar 2024 12:00:01 GMT\n"

static void a_kept_response_is_validated_by_what_it_has(void **state)
{
    (void)state; /* RFC 9111 section 4.3.1 */
    struct http_fields f;
    struct field conditions[2];
    assert_int_equal(http_cache_validation(fields_text(&f, "x: y\n"), conditions), 0);
    assert_int_equal(http_cache_validation(fields_text(&f, "last-modified: once\n"), conditions),
                     0);
    assert_int_equal(http_cache_validation(fields_text(&f, DATE_A), conditions), 1);
    assert_true(str_eq(conditions[0].name, STR("if-modified-since")));
    assert_true(str_eq(conditions[0].value, STR("Fri, 01 Mar 2024 12:00:00 GMT")));
    assert_int_equal(http_cache_validation(fields_text(&f, DATE_A "etag: W/\"a\"\n"), conditions),
                     2);
    assert_true(str_eq(conditions[0].name, STR("if-none-match")));
    assert_true(str_eq(conditions[0].value, STR("W/\"a\"")));
}

static void a_304_must_be_about_what_is_kept(void **state)
{
    (void)state; /* RFC 9111 section 4.3.4 */
    static const struct {
        const char *kept, *fresh;
        bool same;
    } cases[] = {
        {"etag: \"a\"\n", "etag: \"a\"\n", true},
        {"etag: \"a\"\n", "etag: \"b\"\n", false},
        {"etag: W/\"a\"\n", "etag: \"a\"\n", false}, /* a strong one wants the same strong one */
        {"etag: \"a\"\n", "etag: W/\"a\"\n", true},
        {"etag: W/\"a\"\n", "etag: W/\"a\"\n", true},
        {"etag: W/\"a\"\n", "etag: W/\"b\"\n", false},
        {DATE_A, "etag: W/\"a\"\n", false},
        {DATE_A, "etag: \"a\"\n", false},
        {DATE_A, DATE_A, true},
        {DATE_A, DATE_B, false},
        {"etag: \"a\"\n", DATE_A, false},
        {"etag: \"a\"\n" DATE_A, DATE_A, true},
        {"etag: \"a\"\n" DATE_A, "etag: \"a\"\n" DATE_B, true},
        {"etag: \"a\"\n", NULL, true},
        {DATE_A, "last-modified: junk\n", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_fields kept, fresh;
        if (http_cache_validated(fields_text(&kept, cases[i].kept),
                                 fields_text(&fresh, cases[i].fresh)) != cases[i].same)
            fail_msg("%zu", i);
    }
}

static void a_head_tells_whether_what_is_kept_is_outdated(void **state)
{
    (void)state; /* RFC 9111 section 4.3.5 */
    static const struct {
        const char *kept, *head;
        bool agrees;
    } cases[] = {
        {"content-length: 5\netag: \"a\"\n", "content-length: 5\netag: \"a\"\n", true},
        {"content-length: 5\netag: \"a\"\n", "content-length: 6\netag: \"a\"\n", false},
        {"content-length: 5\netag: \"a\"\n", "content-length: 5\netag: \"b\"\n", false},
        {"content-length: 5\n", "content-length: 5\netag: \"b\"\n", false},
        {"content-length: 5\n" DATE_A, DATE_A, true},
        {"content-length: 5\n" DATE_A, DATE_B, false},
        {"content-length: 5\n", DATE_B, false},
        {"content-length: 5\n", NULL, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_fields kept, head;
        if (http_cache_head_agrees(fields_text(&kept, cases[i].kept),
                                   fields_text(&head, cases[i].head)) != cases[i].agrees)
            fail_msg("%zu", i);
    }
}

static void new_fields_replace_old_ones_but_the_bodys(void **state)
{
    (void)state; /* RFC 9111 sections 3.1 and 3.2 */
    static const struct {
        const char *kept, *fresh, *updated;
    } cases[] = {
        {"a: 1\nb: 2\n", "b: 3\nc: 4\n", "a: 1\r\nb: 3\r\nc: 4\r\n"},
        {"a: 1\na: 2\n", "a: 3\na: 4\n", "a: 3\r\na: 4\r\n"},
        {"content-length: 5\ncontent-type: x/y\ncontent-encoding: br\netag: \"a\"\n",
         "content-length: 0\ncontent-type: z/z\ncontent-encoding: zstd\netag: W/\"a\"\n",
         "content-length: 5\r\ncontent-type: x/y\r\ncontent-encoding: br\r\netag: \"a\"\r\n"},
        {"a: 1\n", "content-range: bytes 0-1/2\n", "a: 1\r\n"},
        {"date: x\nage: 5\n", "a: 1\n", "a: 1\r\n"},
        {"date: x\nage: 5\n", "date: y\n", "date: y\r\n"},
        {"connection: x-hop\nx-hop: 1\nkeep-alive: 5\n", "te: x\ntransfer-encoding: y\n", ""},
        {"x-hop: 1\n", "connection: x-hop\nx-hop: 2\n", "x-hop: 1\r\n"},
        {"a: 1\n", "set-cookie: mine\n", "a: 1\r\n"},
        {"cache-control: max-age=1\n", "cache-control: no-store\n", "cache-control: no-store\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_fields kept, fresh;
        CLEAN_BUF struct buf out = BUF_EMPTY;
        http_cache_update(fields_text(&kept, cases[i].kept), fields_text(&fresh, cases[i].fresh),
                          &out);
        assert_string_equal(out.data != NULL ? out.data : "", cases[i].updated);
    }
}

static void lines_are_read_back(void **state)
{
    (void)state;
    struct field at[2];
    struct fields f = {NULL, 0};
    assert_int_equal(http_cache_fields_read(STR("a: 1\r\nb:\r\n"), at, 2, &f), 0);
    assert_int_equal(f.count, 2);
    assert_true(str_eq(fields_get(&f, STR("a")), STR("1")));
    assert_non_null(fields_get(&f, STR("b")).data);
    assert_int_equal(http_cache_fields_read(STR("a: 1\r\nb: 2\r\nc: 3\r\n"), at, 2, &f), -E2BIG);
    assert_int_equal(http_cache_fields_read(STR("a\r\n"), at, 2, &f), -EINVAL);
    assert_int_equal(http_cache_fields_read(STR(": 1\r\n"), at, 2, &f), -EINVAL);
    assert_int_equal(f.count, 2); /* as it was */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kept_response_is_validated_by_what_it_has),
        cmocka_unit_test(a_304_must_be_about_what_is_kept),
        cmocka_unit_test(a_head_tells_whether_what_is_kept_is_outdated),
        cmocka_unit_test(new_fields_replace_old_ones_but_the_bodys),
        cmocka_unit_test(lines_are_read_back),
    };
    return cmocka_run_group_tests_name("http_validate", tests, NULL, NULL);
}
