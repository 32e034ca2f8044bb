/* SPDX-License-Identifier: Apache-2.0 */
#include "base/heading.h"
#include <errno.h>
#include "../unit.h"
#include "base/buf.h"

static int check(const char *text)
{
    struct err err = {0};
    int r = heading_check(str_of(text), &err);
    assert_true(r == 0 || strstr(err.text, "1 to 300 characters") != NULL);
    return r;
}

static void test_characters(void **state)
{
    (void)state;
    assert_int_equal(check("A film"), 0);
    assert_int_equal(check("\xc3\x84rger \xe2\x82\xac \xf0\x9f\x8e\xac"), 0);
    assert_int_equal(check("\xf4\x8f\xbf\xbf"), 0);
    static const char *const bad[] = {
        "",         "a\nb",         "\x7f",         "\xc2\x85",         "\xff",     "\x80", "\xc3",
        "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\xe2\x82"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(check(bad[i]), -EINVAL);
}

static void test_length(void **state)
{
    (void)state;
    CLEAN_BUF struct buf b = BUF_EMPTY;
    for (unsigned i = 0; i < HEADING_MAX; i++)
        buf_puts(&b, "\xf0\x9f\x8e\xac");
    struct err err = {0};
    assert_int_equal(buf_str(&b).size, HEADING_SIZE_MAX);
    assert_int_equal(heading_check(buf_str(&b), &err), 0);
    buf_putc(&b, 'x');
    assert_int_equal(heading_check(buf_str(&b), &err), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
