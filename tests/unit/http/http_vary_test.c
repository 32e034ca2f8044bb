/* SPDX-License-Identifier: Apache-2.0 */
#include "http_fields.h"

static void the_second_key_is_of_the_fields_that_vary_names(void **state)
{
    (void)state;
    static const char star[] = "*";
    static const struct {
        const char *vary;
        const char *request;
        const char *key; /* star: matches nothing */
    } cases[] = {
        /* RFC 9111 section 4.1 */
        {"", "accept: a\n", ""},
        {" , ", "accept: a\n", ""},
        {"*", NULL, star},
        {"accept, *", NULL, star},
        {"a b", NULL, star},
        {"accept;x", NULL, star},
        {"accept", "accept: a\n", "accept:a\n"},
        {"accept", NULL, "accept\n"},
        {"accept", "accept:\n", "accept:\n"},
        {"X-B, Accept,x-b", "accept: a\nx-b: 2\n", "accept:a\nx-b:2\n"},
        {"x,", "x: a\nx:b\n", "x:a,b\n"},
        {"x", "x: a ,\tb,,c d \n", "x:a,b,c d\n"},
        {"x", "x: \"a , b\" , \"c\\\" , d\", e\n", "x:\"a , b\",\"c\\\" , d\",e\n"},
        {"x", "x: \"a , b\n", "x:\"a , b\n"},
        {"x", "x: A\n", "x:A\n"},
        /* RFC 9110 section 12.5.3 */
        {"Accept-Encoding", NULL, "accept-encoding\n"},
        {"Accept-Encoding", "accept-encoding:\n", "accept-encoding:\n"},
        {"Accept-Encoding", "accept-encoding: identity\n", "accept-encoding:\n"},
        {"accept-encoding", "accept-encoding: gzip, deflate, br, zstd\n",
         "accept-encoding:br,gzip,zstd\n"},
        {"accept-encoding", "accept-encoding: BR;q=0.5\naccept-encoding: x-gzip\n",
         "accept-encoding:br,gzip\n"},
        {"accept-encoding", "accept-encoding: gzip;q=0.000, br ; q=0.001\n",
         "accept-encoding:br\n"},
        {"accept-encoding", "accept-encoding: *\n", "accept-encoding:br,gzip,zstd\n"},
        {"accept-encoding", "accept-encoding: *;q=0, gzip\n",
         "accept-encoding:gzip,identity;q=0\n"},
        {"accept-encoding", "accept-encoding: gzip, identity;q=0\n",
         "accept-encoding:gzip,identity;q=0\n"},
        {"accept-encoding", "accept-encoding: *;q=0, identity\n", "accept-encoding:\n"},
        {"accept-encoding", "accept-encoding: br;q=\n", "accept-encoding:br\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_fields f;
        CLEAN_BUF struct buf key = BUF_EMPTY;
        bool can = http_cache_vary(str_of(cases[i].vary), fields_text(&f, cases[i].request), &key);
        assert_int_equal(can, cases[i].key != star);
        if (can)
            assert_string_equal(key.data != NULL ? key.data : "", cases[i].key);
        else
            assert_int_equal(key.size, 0);
    }
}

static void too_much_variance_is_like_a_star(void **state)
{
    (void)state;
    struct http_fields f;
    CLEAN_BUF struct buf vary = BUF_EMPTY;
    CLEAN_BUF struct buf key = BUF_EMPTY;
    for (int i = 0; i < 32; i++)
        buf_printf(&vary, "x%d,", i);
    assert_true(http_cache_vary(buf_str(&vary), fields_text(&f, NULL), &key));
    buf_puts(&vary, "y");
    buf_clear(&key);
    assert_false(http_cache_vary(buf_str(&vary), fields_text(&f, NULL), &key));
    buf_clear(&vary);
    for (int i = 0; i < 65; i++)
        buf_putc(&vary, 'n');
    assert_false(http_cache_vary(buf_str(&vary), fields_text(&f, NULL), &key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_key_is_of_the_fields_that_vary_names),
        cmocka_unit_test(too_much_variance_is_like_a_star),
    };
    return cmocka_run_group_tests_name("http_vary", tests, NULL, NULL);
}
