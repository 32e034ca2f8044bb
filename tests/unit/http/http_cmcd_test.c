/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_cmcd.h"
#include "http_fields.h"

#define O "cmcd-object: "

static void keys_are_read_by_their_types(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        const char *query;
        const char *json; /* NULL: there is none */
    } cases[] = {
        /* CTA-5004 section 3.2: all reserved keys, in the header that each belongs to. */
        {"cmcd-object: br=3200,d=4004,ot=v,tb=6000\n"
         "cmcd-request: bl=21300,dl=18500,mtp=48100,nor=\"..%2F300kbps%2Fa.m4v\",nrr=\"1-2\",su\n"
         "cmcd-session: cid=\"faec\",pr=1.08,sf=d,sid=\"6e2fb550\",st=v,v=1\n"
         "cmcd-status: bs,rtp=12000\n",
         NULL,
         "{\"br\":3200,\"d\":4004,\"ot\":\"v\",\"tb\":6000,\"bl\":21300,\"dl\":18500,\"mtp\":48100,"
         "\"nor\":\"..%2F300kbps%2Fa.m4v\",\"nrr\":\"1-2\",\"su\":true,\"cid\":\"faec\",\"pr\":1."
         "08,"
         "\"sf\":\"d\",\"sid\":\"6e2fb550\",\"st\":\"v\",\"v\":1,\"bs\":true,\"rtp\":12000}"},
        /* Section 2.2: the query argument. */
        {NULL, "a=b&CMCD=br%3D1254%2Csid%3D%22a%5C%22b%22%2Cbs&c=d",
         "{\"br\":1254,\"sid\":\"a\\\"b\",\"bs\":true}"},
        {NULL, "cmcd=br%3D1", NULL},
        {NULL, "CMCD=br%3", NULL},
        {NULL, "CMCD=", NULL},
        {NULL, NULL, NULL},
        /* The first of a key counts, header fields before the query. */
        {O "br=1,br=2\n", "CMCD=br%3D3%2Cd%3D4", "{\"br\":1,\"d\":4}"},
        /* White space and empty pairs. */
        {O " ,, br=1 ,\td=2, ,\n", NULL, "{\"br\":1,\"d\":2}"},
        /* Of the wrong type: that pair is skipped. */
        {O "br=fast,d=2\n", NULL, "{\"d\":2}"},
        {O "br=\"1\",br=-1,br=1.5,br=,br,d=2\n", NULL, "{\"d\":2}"},
        {O "br=1234567890123456,d=2\n", NULL, "{\"d\":2}"},
        {O "br=0012,pr=00.5\n", NULL, "{\"br\":12,\"pr\":0.5}"},
        {O "pr=1.,pr=.5,pr=1.2.3,pr=2\n", NULL, "{\"pr\":2}"},
        {O "bs=?0,su=?1\n", NULL, "{\"su\":true}"},
        {O "bs=false,su=true\n", NULL, "{\"su\":true}"},
        {O "bs=\"true\",ot=\"v\",sid=abc,d=2\n", NULL, "{\"d\":2}"},
        {O "ot=x,sf=x,st=vod,ot=tt\n", NULL, "{\"ot\":\"tt\"}"},
        {O "ot=,sf=,d=2\n", NULL, "{\"d\":2}"},
        {O "br=1 2,d=2 x,tb=3\n", NULL, "{\"tb\":3}"},
        {O "sid=\"a\"b,d=2\n", NULL, "{\"d\":2}"},
        /* A string that does not end hides the rest. */
        {O "br=1,sid=\"abc,d=2\n", NULL, "{\"br\":1}"},
        {O "sid=\"abc\\\n", NULL, NULL},
        {O "sid=\"a,b=c\",d=2\n", NULL, "{\"sid\":\"a,b=c\",\"d\":2}"},
        /* Section 3.1: keys of others have a hyphen; unknown ones without are skipped. */
        {O "com.example-x=5,x-y=\"t\",a-b,-z=1,zz=1\n", NULL,
         "{\"com.example-x\":\"5\",\"x-y\":\"t\",\"a-b\":\"true\"}"},
        {O "=5,\"x\",@,d=2\n", NULL, "{\"d\":2}"},
        /* A token is not for a log. */
        {O "nor=\"..%2Fa.m4s%3FURISigningPackage%3Dsecret\"\n", NULL,
         "{\"nor\":\"..%2Fa.m4s%3FURISigningPackage%3Dredacted\"}"},
        {NULL, "CMCD=nor%3D%22a%253FURISigningPackage%253Dsecret%22",
         "{\"nor\":\"a%3FURISigningPackage%3Dredacted\"}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_fields f;
        struct http_cmcd c;
        CLEAN_BUF struct buf out = BUF_EMPTY;
        bool any = http_cmcd_read(fields_text(&f, cases[i].headers), str_of(cases[i].query), &c);
        assert_int_equal(any, cases[i].json != NULL);
        http_cmcd_json(&c, &out);
        assert_string_equal(out.data, any ? cases[i].json : "{}");
    }
}

static void what_is_kept_is_bounded(void **state)
{
    (void)state;
    struct http_fields f;
    struct http_cmcd c;
    CLEAN_BUF struct buf text = BUF_EMPTY;
    buf_puts(&text, O "sid=\"");
    for (int i = 0; i < 65; i++)
        buf_putc(&text, 'a');
    buf_puts(&text, "\",x-y=\"");
    for (int i = 0; i < 257; i++)
        buf_putc(&text, 'a');
    buf_puts(&text, "\"");
    for (int i = 0; i < 100; i++)
        buf_printf(&text, ",k-%d=1", i);
    buf_puts(&text, "\ncmcd-status: rtp=5\n");
    assert_true(http_cmcd_read(fields_text(&f, text.data), STR_NONE, &c));
    assert_int_equal(c.count, HTTP_CMCD_ITEMS_MAX);
    assert_null(http_cmcd_find(&c, STR("sid")));
    assert_null(http_cmcd_find(&c, STR("x-y")));
    assert_non_null(http_cmcd_find(&c, STR("k-31")));
    buf_clear(&text);
    buf_puts(&text, O "d=1");
    while (text.size <= HTTP_CMCD_SIZE_MAX + 13)
        buf_putc(&text, ',');
    buf_puts(&text, "\ncmcd-status: rtp=5\n");
    assert_true(http_cmcd_read(fields_text(&f, text.data), STR_NONE, &c));
    assert_int_equal(c.count, 1);
    assert_true(str_eq(http_cmcd_find(&c, STR("rtp"))->text, STR("5")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_read_by_their_types),
        cmocka_unit_test(what_is_kept_is_bounded),
    };
    return cmocka_run_group_tests_name("http_cmcd", tests, NULL, NULL);
}
