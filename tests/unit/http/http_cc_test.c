/* SPDX-License-Identifier: Apache-2.0 */
#include "http_fields.h"

enum {
    NO_STORE = 1,
    NO_CACHE = 2,
    NO_TRANSFORM = 4,
    ONLY_IF_CACHED = 8,
    PUBLIC = 16,
    PRIVATE = 32,
    MUST_REVALIDATE = 64,
    PROXY_REVALIDATE = 128,
    MUST_UNDERSTAND = 256,
    IMMUTABLE = 512,
};

static unsigned flags_of(const struct http_cc *cc)
{
    const bool flags[] = {cc->no_store,        cc->no_cache,         cc->no_transform,
                          cc->only_if_cached,  cc->is_public,        cc->is_private,
                          cc->must_revalidate, cc->proxy_revalidate, cc->must_understand,
                          cc->immutable};
    unsigned all = 0;
    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        all |= flags[i] ? 1U << i : 0;
    return all;
}

struct want {
    const char *lines;
    unsigned flags;
    int64_t max_age, s_maxage, min_fresh, max_stale, swr, sie;
};

/* Times that a table leaves at 0 are not to be there; NOW stands for one that is 0. */
#define NOW   INT64_C(-100)
#define UTTER INT64_MAX

static void expect_time(const char *lines, int64_t got, int64_t wanted)
{
    int64_t value = wanted == 0 ? HTTP_CACHE_NONE : wanted == NOW ? 0 : wanted;
    if (got != value)
        fail_msg("%s: %lld, wanted %lld", lines, (long long)got, (long long)value);
}

static void expect(const struct want *w, struct str name)
{
    struct http_fields f;
    struct http_cc cc;
    http_cc_read(fields_text(&f, w->lines), name, &cc);
    if (flags_of(&cc) != w->flags)
        fail_msg("%s: flags %x, wanted %x", w->lines, flags_of(&cc), w->flags);
    expect_time(w->lines, cc.max_age_s, w->max_age);
    expect_time(w->lines, cc.s_maxage_s, w->s_maxage);
    expect_time(w->lines, cc.min_fresh_s, w->min_fresh);
    expect_time(w->lines, cc.max_stale_s, w->max_stale);
    expect_time(w->lines, cc.stale_while_revalidate_s, w->swr);
    expect_time(w->lines, cc.stale_if_error_s, w->sie);
}

#define CC "cache-control: "

static void cache_control_is_read_as_rfc_9111_says(void **state)
{
    (void)state;
    static const struct want cases[] = {
        /* 5.2: names in any case, optional white space, empty members, several lines. */
        {CC "no-store\n", NO_STORE, 0, 0, 0, 0, 0, 0},
        {CC "No-Store, MAX-AGE=5\n", NO_STORE, 5, 0, 0, 0, 0, 0},
        {CC " ,, \t no-cache ,\tpublic, ,\n", NO_CACHE | PUBLIC, 0, 0, 0, 0, 0, 0},
        {CC "max-age=10\n" CC "must-revalidate\n", MUST_REVALIDATE, 10, 0, 0, 0, 0, 0},
        {CC "no-transform,only-if-cached,proxy-revalidate,must-understand,immutable\n",
         NO_TRANSFORM | ONLY_IF_CACHED | PROXY_REVALIDATE | MUST_UNDERSTAND | IMMUTABLE, 0, 0, 0, 0,
         0, 0},
        {CC "max-age=1,s-maxage=2,min-fresh=3,max-stale=4,stale-while-revalidate=5,"
            "stale-if-error=6\n",
         0, 1, 2, 3, 4, 5, 6},
        /* 5.2: arguments as token and as quoted string. */
        {CC "max-age=\"10\", s-maxage=\"20\"\n", 0, 10, 20, 0, 0, 0, 0},
        /* 5.2.3: unknown directives are ignored, and what their quotes hide is not read. */
        {CC "ext=\"max-age=1, no-store\", max-age=7\n", 0, 7, 0, 0, 0, 0, 0},
        {CC "ext=\"a\\\"b, no-store\", max-age=7\n", 0, 7, 0, 0, 0, 0, 0},
        {CC "community=\"UCI\", x, y=z\n", 0, 0, 0, 0, 0, 0, 0},
        {CC "no-store-please, xmax-age=1\n", 0, 0, 0, 0, 0, 0, 0},
        /* 5.2.1.2: max-stale without a value. */
        {CC "max-stale\n", 0, 0, 0, 0, UTTER, 0, 0},
        {CC "max-stale=0\n", 0, 0, 0, 0, NOW, 0, 0},
        {CC "max-stale=soon\n", 0, 0, 0, 0, 0, 0, 0},
        {CC "max-stale=\n", 0, 0, 0, 0, 0, 0, 0},
        /* 5.2.2.4 and 5.2.2.7: with field names they are read as without. */
        {CC "no-cache=\"Set-Cookie\"\n", NO_CACHE, 0, 0, 0, 0, 0, 0},
        {CC "private=\"X-A, X-B\", max-age=3\n", PRIVATE, 3, 0, 0, 0, 0, 0},
        {CC "private=X-A\n", PRIVATE, 0, 0, 0, 0, 0, 0},
        /* What restricts counts however it is written, what permits does not. */
        {CC "no-store=1, no-cache=, private x\n", NO_STORE | NO_CACHE | PRIVATE, 0, 0, 0, 0, 0, 0},
        {CC "public=1, immutable=yes, must-understand=\"\"\n", 0, 0, 0, 0, 0, 0, 0},
        {CC "public x\n", 0, 0, 0, 0, 0, 0, 0},
        {CC "max-age=5;no-store\n", 0, NOW, 0, 0, 0, 0, 0},
        /* 1.2.2: overflow. */
        {CC "max-age=2147483648\n", 0, 2147483648, 0, 0, 0, 0, 0},
        {CC "max-age=2147483649\n", 0, 2147483648, 0, 0, 0, 0, 0},
        {CC "max-age=99999999999999999999999999999\n", 0, 2147483648, 0, 0, 0, 0, 0},
        {CC "max-age=00000000000000000000000000010\n", 0, 10, 0, 0, 0, 0, 0},
        /* 4.2.1: what is no number is stale; of several the first counts. */
        {CC "max-age=0\n", 0, NOW, 0, 0, 0, 0, 0},
        {CC "max-age=-1\n", 0, NOW, 0, 0, 0, 0, 0},
        {CC "max-age=1.5\n", 0, NOW, 0, 0, 0, 0, 0},
        {CC "max-age='10'\n", 0, NOW, 0, 0, 0, 0, 0},
        {CC "max-age=\" 10\"\n", 0, NOW, 0, 0, 0, 0, 0},
        {CC "max-age\n", 0, NOW, 0, 0, 0, 0, 0},
        {CC "max-age=\n", 0, NOW, 0, 0, 0, 0, 0},
        {CC "max-age =10\n", 0, NOW, 0, 0, 0, 0, 0},
        {CC "max-age= 10\n", 0, NOW, 0, 0, 0, 0, 0},
        {CC "max-age=10 0\n", 0, NOW, 0, 0, 0, 0, 0},
        {CC "s-maxage=x, max-age=10\n", 0, 10, NOW, 0, 0, 0, 0},
        {CC "max-age=10, max-age=20\n", 0, 10, 0, 0, 0, 0, 0},
        {CC "max-age=x, max-age=20\n", 0, NOW, 0, 0, 0, 0, 0},
        {CC "max-age=10\n" CC "max-age=20\n", 0, 10, 0, 0, 0, 0, 0},
        {CC "min-fresh=x, stale-while-revalidate=x, stale-if-error=\n", 0, 0, 0, 0, 0, 0, 0},
        /* RFC 5861 section 3, RFC 8246. */
        {CC "max-age=600, stale-while-revalidate=30\n", 0, 600, 0, 0, 0, 30, 0},
        {CC "max-age=31536000, immutable\n", IMMUTABLE, 31536000, 0, 0, 0, 0, 0},
        /* A quote that is not closed. */
        {CC "max-age=10, ext=\"a, public\n", NO_STORE, 10, 0, 0, 0, 0, 0},
        {CC "max-age=\"10\n", NO_STORE, NOW, 0, 0, 0, 0, 0},
        {CC "ext=\"a\n" CC "max-age=10\n", NO_STORE, 10, 0, 0, 0, 0, 0},
        {CC "x \"a\\\n", NO_STORE, 0, 0, 0, 0, 0, 0},
        /* Junk in between is passed over. */
        {CC "@@@, =5, \"quoted\", max-age=9\n", 0, 9, 0, 0, 0, 0, 0},
        {CC "\n", 0, 0, 0, 0, 0, 0, 0},
        {"x-cache-control: no-store\n", 0, 0, 0, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect(&cases[i], STR("cache-control"));
}

#define CDN "cdn-cache-control: "

static void a_targeted_field_is_a_dictionary(void **state)
{
    (void)state;
    static const struct want cases[] = {
        /* RFC 9213 section 2.1, RFC 8941 section 3.2. */
        {CDN "max-age=600\n", 0, 600, 0, 0, 0, 0, 0},
        {CDN "max-age=600, no-cache ,\tpublic\n", NO_CACHE | PUBLIC, 600, 0, 0, 0, 0, 0},
        {CDN "max-age=600\n" CDN "stale-if-error=60\n", 0, 600, 0, 0, 0, 0, 60},
        {CDN "max-age=600;x=1;y=\"a\";z, s-maxage=5\n", 0, 600, 5, 0, 0, 0, 0},
        {CDN "max-age=1, max-age=2\n", 0, 2, 0, 0, 0, 0, 0}, /* the last counts, section 4.2.2 */
        {CDN "max-age=1\n" CDN "max-age=2\n", 0, 2, 0, 0, 0, 0, 0},
        {CDN "no-store=?1, public=?0\n", NO_STORE, 0, 0, 0, 0, 0, 0},
        {CDN "no-store, no-store=?0\n", 0, 0, 0, 0, 0, 0, 0},
        {CDN "a=(1 \"b\";c tok), b=:aGk=:, c=1.5, d=*t/x, private\n", PRIVATE, 0, 0, 0, 0, 0, 0},
        {CDN "no-cache=\"set-cookie\"\n", NO_CACHE, 0, 0, 0, 0, 0, 0},
        /* Of the wrong type: not coerced; a lifetime is stale then. */
        {CDN "max-age=60.5\n", 0, NOW, 0, 0, 0, 0, 0},
        {CDN "max-age=\"60\"\n", 0, NOW, 0, 0, 0, 0, 0},
        {CDN "max-age=-5\n", 0, NOW, 0, 0, 0, 0, 0},
        {CDN "max-age\n", 0, NOW, 0, 0, 0, 0, 0},
        {CDN "stale-if-error=\"60\"\n", 0, 0, 0, 0, 0, 0, 0},
        {CDN "max-age=999999999999999\n", 0, 2147483648, 0, 0, 0, 0, 0},
        /* Section 2.2: what is no dictionary is ignored, all of it. */
        {CDN "max-age=600, Public\n", 0, 0, 0, 0, 0, 0, 0},
        {CDN "max-age=600,\n", 0, 0, 0, 0, 0, 0, 0},
        {CDN "max-age=600,,no-store\n", 0, 0, 0, 0, 0, 0, 0},
        {CDN "max-age = 600\n", 0, 0, 0, 0, 0, 0, 0},
        {CDN "max-age=600 no-store\n", 0, 0, 0, 0, 0, 0, 0},
        {CDN "max-age=1000000000000000\n", 0, 0, 0, 0, 0, 0, 0},
        {CDN "max-age=600, x=\"open\n", 0, 0, 0, 0, 0, 0, 0},
        {CDN "max-age=600, x=\"\\a\"\n", 0, 0, 0, 0, 0, 0, 0},
        {CDN "max-age=600, x=(1 2\n", 0, 0, 0, 0, 0, 0, 0},
        {CDN "max-age=600, x=(1,2)\n", 0, 0, 0, 0, 0, 0, 0},
        {CDN "max-age=600, x=:a\n", 0, 0, 0, 0, 0, 0, 0},
        {CDN "max-age=600, x=?2\n", 0, 0, 0, 0, 0, 0, 0},
        {CDN "max-age=600, x=1.\n", 0, 0, 0, 0, 0, 0, 0},
        {CDN "max-age=600, x=1.2345\n", 0, 0, 0, 0, 0, 0, 0},
        {CDN "max-age=600, x=-\n", 0, 0, 0, 0, 0, 0, 0},
        {CDN "max-age=600, x=\n", 0, 0, 0, 0, 0, 0, 0},
        {CDN "max-age=600;\n", 0, 0, 0, 0, 0, 0, 0},
        {CDN "max-age=600;A\n", 0, 0, 0, 0, 0, 0, 0},
        {CDN "max-age=600\n" CDN "@\n", 0, 0, 0, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect(&cases[i], STR("cdn-cache-control"));
}

static void any_tells_whether_something_was_said(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        const char *name;
        bool any;
    } cases[] = {
        {CC "x\n", "cache-control", true},         {CC "\n", "cache-control", false},
        {CC ",\n", "cache-control", false},        {NULL, "cache-control", false},
        {CDN "none\n", "cdn-cache-control", true}, /* RFC 9213 section 3.1 */
        {CDN "\n", "cdn-cache-control", false},    {CDN "X\n", "cdn-cache-control", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_fields f;
        struct http_cc cc;
        http_cc_read(fields_text(&f, cases[i].lines), str_of(cases[i].name), &cc);
        assert_int_equal(cc.any, cases[i].any);
    }
}

static void a_dictionary_of_too_many_members_is_none(void **state)
{
    (void)state;
    CLEAN_BUF struct buf text = BUF_EMPTY;
    buf_puts(&text, CDN "max-age=5");
    for (int i = 0; i < 63; i++)
        buf_printf(&text, ", k%d=1", i);
    buf_puts(&text, "\n");
    struct http_fields f;
    struct http_cc cc;
    http_cc_read(fields_text(&f, text.data), STR("cdn-cache-control"), &cc);
    assert_int_equal(cc.max_age_s, 5);
    text.data[text.size - 1] = ',';
    buf_puts(&text, "more\n");
    http_cc_read(fields_text(&f, text.data), STR("cdn-cache-control"), &cc);
    assert_false(cc.any);
    assert_int_equal(cc.max_age_s, HTTP_CACHE_NONE);
}

static void a_request_is_read_with_its_pragma(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        bool no_cache, authorized;
    } cases[] = {
        {"pragma: no-cache\n", true, false}, /* RFC 9111 section 5.4 */
        {"pragma: x, No-Cache\n", true, false},
        {"pragma: no-store\n", false, false},
        {"pragma: no-cache\n" CC "max-age=5\n", false, false},
        {"pragma: no-cache\n" CC "\n", true, false},
        {"authorization: Basic eA==\n", false, true},
        {NULL, false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_fields f;
        struct http_cache_ask ask;
        http_cache_ask_read(fields_text(&f, cases[i].lines), &ask);
        assert_int_equal(ask.cc.no_cache, cases[i].no_cache);
        assert_int_equal(ask.authorized, cases[i].authorized);
        assert_false(ask.cc.no_store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cache_control_is_read_as_rfc_9111_says),
        cmocka_unit_test(a_targeted_field_is_a_dictionary),
        cmocka_unit_test(any_tells_whether_something_was_said),
        cmocka_unit_test(a_dictionary_of_too_many_members_is_none),
        cmocka_unit_test(a_request_is_read_with_its_pragma),
    };
    return cmocka_run_group_tests_name("http_cc", tests, NULL, NULL);
}
