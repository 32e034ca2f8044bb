/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_text.h"
#include <errno.h>
#include "../unit.h"

static void traceparent_gives_its_trace_id(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "00",
        "00-0af7651916cd43dd8448eb211c80319c",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        "0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
    };
    char id[ID_TEXT_SIZE] = "untouched";
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(http_traceparent_parse(str_of(bad[i]), id), -EINVAL);
    assert_string_equal(id, "untouched");
    struct str good = STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert_int_equal(http_traceparent_parse(good, id), 0);
    assert_string_equal(id, "0af7651916cd43dd8448eb211c80319c");
    good = STR("01-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more");
    assert_int_equal(http_traceparent_parse(good, id), 0); /* a later version may have more */
    assert_string_equal(id, "1af7651916cd43dd8448eb211c80319c");
}

static void tokens_do_not_reach_the_log(void **state)
{
    (void)state;
    static const struct {
        const char *target, *expected;
    } cases[] = {
        {"/b/x.m4s", "/b/x.m4s"},
        {"", ""},
        {"/;URISigningPackage=eyJ.a-b_c.sig/v/a/master.m3u8",
         "/;URISigningPackage=redacted/v/a/master.m3u8"},
        {"/v/a?URISigningPackage=eyJ.x.y&b=1", "/v/a?URISigningPackage=redacted&b=1"},
        {"/v/a?b=1&urisigningpackage=eyJ", "/v/a?b=1&urisigningpackage=redacted"},
        {"/v/a?%55RISigningPackage%3dsecret", "/v/a?%55RISigningPackage%3dredacted"},
        {"/v/a?x=%2fURI%53igningPackage=secret;y", "/v/a?x=%2fURI%53igningPackage=redacted;y"},
        {"/a;URISigningPackage=one/b?URISigningPackage=two",
         "/a;URISigningPackage=redacted/b?URISigningPackage=redacted"},
        {"/v/a?CMCD=nor%3D%22b%253FURISigningPackage%253Dsecret%22",
         "/v/a?CMCD=nor%3D%22b%253FURISigningPackage%253Dredacted"},
        {"/v/a?URISigningPackage%25253Dsecret&b", "/v/a?URISigningPackage%25253Dredacted&b"},
        {"/URISigningPackage", "/URISigningPackage"},
        {"/URISigningPackage=", "/URISigningPackage=redacted"},
        {"/x%", "/x%"},
        {"/x%5", "/x%5"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out = BUF_EMPTY;
        http_target_redact(str_of(cases[i].target), &out);
        assert_int_equal(buf_error(&out), 0);
        assert_true(str_eq(buf_str(&out), str_of(cases[i].expected)));
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(traceparent_gives_its_trace_id),
        cmocka_unit_test(tokens_do_not_reach_the_log),
    };
    return cmocka_run_group_tests_name("http_text", tests, NULL, NULL);
}
