/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include <errno.h>
#include <stdlib.h>
#include "../unit.h"

static void buf_test_grows(void **state)
{
    (void)state;
    CLEAN_BUF struct buf b = BUF_EMPTY;
    for (int i = 0; i < 5000; i++)
        buf_printf(&b, "%d,", i);
    assert_int_equal(buf_error(&b), 0);
    assert_true(str_starts(buf_str(&b), STR("0,1,2,")));
    assert_true(str_ends(buf_str(&b), STR("4998,4999,")));
    assert_int_equal(strlen(b.data), b.size);
    buf_clear(&b);
    assert_int_equal(b.size, 0);
}

static void buf_test_limit_is_sticky(void **state)
{
    (void)state;
    CLEAN_BUF struct buf b = BUF_EMPTY;
    static char piece[1 << 20];
    while (buf_error(&b) == 0)
        buf_put(&b, piece, sizeof piece);
    assert_int_equal(buf_error(&b), -EFBIG);
    size_t size = b.size;
    buf_puts(&b, "x");
    assert_int_equal(b.size, size);
    assert_null(buf_take(&b));
}

static void buf_test_json_string(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *out;
    } rows[] = {
        {"plain", "\"plain\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"line\nend\x01", "\"line\\u000aend\\u0001\""},
        {"\xc3\xa9", "\"\xc3\xa9\""},
        {"bad\xff", "\"bad\\ufffd\""},
        {"\xc0\xaf", "\"\\ufffd\\ufffd\""},            /* overlong */
        {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""}, /* surrogate */
        {"\xe2\x82", "\"\\ufffd\\ufffd\""},            /* cut short */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEAN_BUF struct buf b = BUF_EMPTY;
        buf_put_json_string(&b, str_of(rows[i].in));
        assert_string_equal(b.data, rows[i].out);
    }
}

static void buf_test_xml(void **state)
{
    (void)state;
    CLEAN_BUF struct buf b = BUF_EMPTY;
    buf_put_xml(&b, STR("<a & \"b\" 'c'>\x02"));
    assert_string_equal(b.data, "&lt;a &amp; &quot;b&quot; &apos;c&apos;&gt;");
}

static void buf_test_take(void **state)
{
    (void)state;
    struct buf b = BUF_EMPTY;
    char *empty = buf_take(&b);
    assert_string_equal(empty, "");
    free(empty);
    buf_puts(&b, "mine");
    char *text = buf_take(&b);
    assert_string_equal(text, "mine");
    assert_null(b.data);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_test_grows),       cmocka_unit_test(buf_test_limit_is_sticky),
        cmocka_unit_test(buf_test_json_string), cmocka_unit_test(buf_test_xml),
        cmocka_unit_test(buf_test_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
