/* SPDX-License-Identifier: Apache-2.0 */
#include "base/enc.h"
#include <errno.h>
#include "base/digest.h"
#include "base/id.h"
#include "../unit.h"

/* RFC 4648 section 10, in the URL alphabet and without padding. */
static void enc_test_base64url(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xff\xfe\xfd", "__79"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEAN_BUF struct buf coded = BUF_EMPTY;
        CLEAN_BUF struct buf plain = BUF_EMPTY;
        enc_base64url(rows[i][0], strlen(rows[i][0]), &coded);
        assert_true(str_eq(buf_str(&coded), str_of(rows[i][1])));
        assert_int_equal(enc_unbase64url(str_of(rows[i][1]), &plain), 0);
        assert_true(str_eq(buf_str(&plain), str_of(rows[i][0])));
    }
    static const char *const bad[] = {"Z", "Zg==", "Zh", "Zm8 ", "Zm9+", "Zm9/"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CLEAN_BUF struct buf plain = BUF_EMPTY;
        assert_int_equal(enc_unbase64url(str_of(bad[i]), &plain), -EINVAL);
    }
}

static void enc_test_percent(void **state)
{
    (void)state;
    CLEAN_BUF struct buf b = BUF_EMPTY;
    enc_percent(STR("a b/\xc3\xa9~"), &b);
    assert_string_equal(b.data, "a%20b%2F%C3%A9~");
    buf_clear(&b);
    assert_int_equal(enc_unpercent(STR("a%20b%2f"), &b), 0);
    assert_string_equal(b.data, "a b/");
    static const char *const bad[] = {"%", "%2", "%zz", "%00"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        buf_clear(&b);
        assert_int_equal(enc_unpercent(str_of(bad[i]), &b), -EINVAL);
    }
}

static void enc_test_query(void **state)
{
    (void)state;
    struct str value = STR_NONE;
    assert_true(enc_query_find(STR("a=1&bb=2=3&c"), STR("bb"), &value));
    assert_true(str_eq(value, STR("2=3")));
    assert_true(enc_query_find(STR("a=1&bb=2&c"), STR("c"), &value));
    assert_int_equal(value.size, 0);
    assert_false(enc_query_find(STR("aa=1"), STR("a"), &value));
    assert_false(enc_query_find(STR_NONE, STR("a"), &value));
}

/* Vectors of the reference implementation: xxhsum -H2 of an empty input and of "abc". */
static void enc_test_digest(void **state)
{
    (void)state;
    char text[DIGEST_TEXT_SIZE];
    struct digest d = digest_of("", 0);
    digest_format(&d, text);
    assert_string_equal(text, "99aa06d3014798d86001c324468d497f");
    d = digest_of("abc", 3);
    digest_format(&d, text);
    assert_string_equal(text, "06b05ab6733a618578af5f94892f3950");
    char etag[DIGEST_ETAG_SIZE];
    digest_etag(&d, etag);
    assert_int_equal(strlen(etag), strlen(text) + 2);
    assert_memory_equal(etag + 1, text, strlen(text));
    assert_true(etag[0] == '"' && etag[strlen(etag) - 1] == '"');
    struct digest_state *s = NULL;
    assert_int_equal(digest_state_new(&s), 0);
    digest_state_update(s, "a", 1);
    digest_state_update(s, "bc", 2);
    struct digest pieces = digest_state_final(s);
    assert_true(digest_eq(&d, &pieces));
    s = digest_state_free(s);
    struct digest parsed;
    assert_int_equal(digest_parse(str_of(text), &parsed), 0);
    assert_true(digest_eq(&d, &parsed));
    text[0] = 'G';
    assert_int_equal(digest_parse(str_of(text), &parsed), -EINVAL);
    assert_int_equal(digest_parse(STR("06B05AB6733A618578AF5F94892F3950"), &parsed), -EINVAL);
    assert_int_equal(digest_parse(STR("06b0"), &parsed), -EINVAL);
}

static void enc_test_id(void **state)
{
    (void)state;
    char a[ID_TEXT_SIZE];
    char b[ID_TEXT_SIZE];
    id_text(a);
    id_text(b);
    assert_int_equal(strlen(a), 32);
    assert_string_not_equal(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(enc_test_base64url), cmocka_unit_test(enc_test_percent),
        cmocka_unit_test(enc_test_query),     cmocka_unit_test(enc_test_digest),
        cmocka_unit_test(enc_test_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
