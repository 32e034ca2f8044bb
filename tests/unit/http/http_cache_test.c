/* SPDX-License-Identifier: Apache-2.0 */
#include "http_fields.h"

/* All dates are on one day; the answer comes at 12:00:00. */
#define AT(time) "Fri, 01 Mar 2024 " time " GMT\n"
#define NOON     INT64_C(1709294400)
#define DATE     "date: " AT("12:00:00")
#define CC       "cache-control: "
#define CDN      "cdn-cache-control: "
#define ETAG     "etag: \"a\"\n"
#define NONE     HTTP_CACHE_NONE

static const struct http_cache_options plain = {NONE, NONE, 3600, NONE};
static const struct http_cache_options operated = {30, 5, 3600, 100};

static bool keep(const char *request, unsigned status, const char *response,
                 const struct http_cache_options *o, struct http_cache_terms *ret,
                 const char **ret_why)
{
    struct http_fields q, r;
    struct http_cache_ask ask;
    http_cache_ask_read(fields_text(&q, request), &ask);
    return http_cache_may_keep(&ask, status, fields_text(&r, response), NOON, NOON, o, ret,
                               ret_why);
}

static const struct {
    const char *request;
    unsigned status;
    const char *response;
    const char *why; /* NULL: kept */
} keeps[] = {
    {NULL, 200, DATE CC "max-age=60\n", NULL},
    {NULL, 200, DATE "expires: " AT("12:01:00"), NULL},
    {NULL, 200, DATE CC "s-maxage=60\n", NULL},
    /* 5.2.1.5, 5.2.2.5: no-store. */
    {CC "no-store\n", 200, DATE CC "max-age=60\n", "request-no-store"},
    {NULL, 200, DATE CC "no-store, max-age=60\n", "no-store"},
    /* 5.2.2.7 */
    {NULL, 200, DATE CC "private, max-age=60\n", "private"},
    {NULL, 200, DATE CC "private=\"x\", max-age=60\n", "private"},
    /* 5.2.2.3: must-understand lifts no-store where the status is understood. */
    {NULL, 200, DATE CC "must-understand, no-store, max-age=60\n", NULL},
    {NULL, 599, DATE CC "must-understand, no-store, max-age=60\n", "must-understand"},
    {NULL, 599, DATE CC "must-understand, max-age=60\n", "must-understand"},
    {NULL, 599, DATE CC "max-age=60\n", NULL},
    /* 3.5: an Authorization. */
    {"authorization: x\n", 200, DATE CC "max-age=60\n", "authorization"},
    {"authorization: x\n", 200, DATE CC "max-age=60, public\n", NULL},
    {"authorization: x\n", 200, DATE CC "max-age=60, must-revalidate\n", NULL},
    {"authorization: x\n", 200, DATE CC "s-maxage=60\n", NULL},
    {"authorization: x\n", 200, DATE CC "s-maxage=x, max-age=60\n", "authorization"},
    {"authorization: x\n", 200, DATE CC "proxy-revalidate, max-age=60\n", "authorization"},
    {"authorization: x\n", 200, DATE CDN "max-age=60\n" CC "public\n", "authorization"},
    {"authorization: x\n", 200, DATE CDN "max-age=60, public\n", NULL},
    /* Statuses: by explicit freshness any final one but those of one request. */
    {NULL, 302, DATE CC "max-age=60\n", NULL},
    {NULL, 302, DATE "last-modified: " AT("11:00:00"), "status"},
    {NULL, 302, DATE ETAG, "status"},
    {NULL, 302, DATE CC "public\nlast-modified: " AT("11:00:00"), NULL}, /* 4.2.2 */
    {NULL, 503, DATE CC "max-age=5\n", NULL},
    {NULL, 503, DATE, "status"},
    {NULL, 206, DATE CC "max-age=60\n", NULL},
    {NULL, 100, DATE CC "max-age=60\n", "status"},
    {NULL, 600, DATE CC "max-age=60\n", "status"},
    {NULL, 304, DATE CC "max-age=60\n", "status"},
    {NULL, 412, DATE CC "max-age=60\n", "status"},
    {NULL, 416, DATE CC "max-age=60\n", "status"},
    {NULL, 425, DATE CC "max-age=60\n", "status"}, /* RFC 8470 section 5.2 */
    {NULL, 428, DATE CC "max-age=60\n", "status"}, /* RFC 6585 sections 3 to 6 */
    {NULL, 429, DATE CC "max-age=60\n", "status"},
    {NULL, 431, DATE CC "max-age=60\n", "status"},
    {NULL, 511, DATE CC "max-age=60\n", "status"},
    /* 4.1: Vary. */
    {NULL, 200, DATE CC "max-age=60\nvary: *\n", "vary"},
    {NULL, 200, DATE CC "max-age=60\nvary: accept\nvary: x, *\n", "vary"},
    {NULL, 200, DATE CC "max-age=60\nvary: a b\n", "vary"},
    {NULL, 200, DATE CC "max-age=60\nvary: origin, Accept-Encoding\n", NULL},
    /* Set-Cookie. */
    {NULL, 200, DATE CC "max-age=60\nset-cookie: a=b\n", "set-cookie"},
    {NULL, 200, DATE CC "max-age=60, public\nset-cookie: a=b\n", NULL},
    {NULL, 200, DATE CC "s-maxage=60\nset-cookie: a=b\n", NULL},
    {NULL, 200, DATE CC "s-maxage=x, max-age=6\nset-cookie: a=b\n", "set-cookie"},
    {NULL, 200, DATE CDN "max-age=60\nset-cookie: a=b\n", NULL},
    /* Of no use: stale at once and without a validator. */
    {NULL, 200, DATE CC "max-age=0\n", "stale"},
    {NULL, 200, DATE CC "max-age=60\nage: 60\n", "stale"},
    {NULL, 200, DATE CC "max-age=0\n" ETAG, NULL},
    {NULL, 200, DATE CC "max-age=0\nlast-modified: " AT("11:00:00"), NULL},
    {NULL, 200, DATE CC "max-age=0, stale-while-revalidate=9\n", NULL},
    {NULL, 200, DATE CC "max-age=0, stale-if-error=9\n", NULL},
    {NULL, 200, DATE CC "max-age=0, stale-if-error=9, must-revalidate\n", "stale"},
    {NULL, 200, DATE CC "no-cache, max-age=60\n", "no-cache"},
    {NULL, 200, DATE CC "no-cache, max-age=60\n" ETAG, NULL},
    {NULL, 200, DATE, "stale"},
    {NULL, 200, DATE ETAG, NULL},
    {NULL, 404, DATE, "negative"},
    {NULL, 404, DATE CC "max-age=9\n", NULL},
    /* RFC 9213: the targeted field wins, whichever way they disagree. */
    {NULL, 200, DATE CC "no-store\n" CDN "max-age=60\n", NULL},
    {NULL, 200, DATE CC "private\n" CDN "max-age=60\n", NULL},
    {NULL, 200, DATE CC "max-age=60\n" CDN "no-store\n", "no-store"},
    {NULL, 200, DATE CC "no-store\n" CDN "max-age=60, BAD\n", "no-store"},
    {NULL, 200, DATE CC "no-store\n" CDN "\n", "no-store"},
    {NULL, 200, DATE CC "no-store\n" CDN "none\n" ETAG, NULL},
};

static void section_3_says_what_may_be_kept(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(keeps); i++) {
        struct http_cache_terms t;
        const char *why = NULL;
        bool kept = keep(keeps[i].request, keeps[i].status, keeps[i].response, &plain, &t, &why);
        if (kept != (keeps[i].why == NULL))
            fail_msg("%zu: %s: %s", i, keeps[i].response, why != NULL ? why : "kept");
        if (!kept)
            assert_string_equal(why, keeps[i].why);
    }
}

static void section_4_2_1_says_how_long_it_is_fresh(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        const char *response;
        int64_t plain_s, operated_s; /* NONE: not kept */
        bool heuristic;
    } cases[] = {
        {200, DATE CC "s-maxage=60, max-age=10\nexpires: " AT("13:00:00"), 60, 60, false},
        {200, DATE CC "max-age=10\nexpires: " AT("13:00:00"), 10, 10, false},
        {200, DATE "expires: " AT("12:00:50"), 50, 50, false},
        {200, DATE "expires: " AT("11:00:00") ETAG, 0, 0, false},
        {200, DATE "expires: 0\n" ETAG, 0, 0, false}, /* 5.3 */
        {200, DATE "expires: -1\n" ETAG, 0, 0, false},
        {200, DATE "expires: \n" ETAG, 0, 0, false},
        {200, DATE "expires: soon\nlast-modified: " AT("11:00:00"), 0, 0, false},
        {200, DATE "expires: " AT("12:00:50") "expires: " AT("13:00:00"), 50, 50, false},
        {200, DATE "expires: 0\nexpires: " AT("13:00:00") ETAG, 0, 0, false},
        {200, "expires: " AT("12:00:50"), 50, 50, false}, /* no Date: when it came */
        {200, "date: yesterday\nexpires: " AT("12:00:50"), 50, 50, false},
        {200, DATE "expires: Friday, 01-Mar-24 12:00:50 GMT\n", 50, 50, false},
        {200, DATE "expires: Fri Mar  1 12:00:50 2024\n", 50, 50, false},
        {200, DATE CC "max-age=x\nexpires: " AT("13:00:00") ETAG, 0, 0, false},
        /* CDN-Cache-Control replaces Expires as well. */
        {200, DATE CDN "max-age=20\n" CC "s-maxage=60\nexpires: " AT("13:00:00"), 20, 20, false},
        {200, DATE CDN "stale-if-error=9\nexpires: " AT("13:00:00") ETAG, 0, 30, true},
        /* 4.2.2: a tenth, at most an hour; or what the operator says. */
        {200, DATE "last-modified: " AT("11:50:00"), 60, 30, true},
        {203, DATE "last-modified: " AT("11:50:00"), 60, 30, true},
        {300, DATE "last-modified: " AT("11:50:00"), 60, 60, true},
        {200, DATE "last-modified: Fri, 01 Mar 2023 12:00:00 GMT\n", 3600, 30, true},
        {200, DATE "last-modified: " AT("12:10:00"), 0, 30, true},
        {200, DATE "last-modified: junk\n" ETAG, 0, 30, true},
        {302, DATE CC "public\nlast-modified: " AT("11:50:00"), 60, 60, true},
        /* Negative ones. */
        {404, DATE "last-modified: " AT("11:50:00"), NONE, 5, false},
        {405, DATE, NONE, 5, false},
        {410, DATE, NONE, 5, false},
        {414, DATE, NONE, 5, false},
        {501, DATE, NONE, 5, false},
        {404, DATE CC "max-age=50\n", 50, 50, false},
        {500, DATE, NONE, NONE, false},
        /* Nothing is fresh for longer than the operator says. */
        {200, DATE CC "max-age=31536000, immutable\n", 31536000, 100, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_cache_terms t;
        const char *why;
        bool kept = keep(NULL, cases[i].status, cases[i].response, &plain, &t, &why);
        if (kept != (cases[i].plain_s != NONE) || (kept && t.lifetime_s != cases[i].plain_s))
            fail_msg("%zu: %s: %lld", i, cases[i].response, (long long)(kept ? t.lifetime_s : -1));
        if (kept)
            assert_int_equal(t.heuristic, cases[i].heuristic);
        kept = keep(NULL, cases[i].status, cases[i].response, &operated, &t, &why);
        if (kept != (cases[i].operated_s != NONE) || (kept && t.lifetime_s != cases[i].operated_s))
            fail_msg("%zu: %s: %lld", i, cases[i].response, (long long)(kept ? t.lifetime_s : -1));
    }
}

static void section_4_2_3_says_how_old_it_is(void **state)
{
    (void)state;
    static const struct {
        const char *response;
        int64_t request_s, response_s;
        int64_t age_s; /* when it came */
    } cases[] = {
        {DATE, NOON, NOON, 0},
        {DATE, NOON - 3, NOON, 3}, /* the delay counts */
        {DATE "age: 10\n", NOON, NOON, 10},
        {DATE "age: 10\n", NOON - 3, NOON, 13},
        {"date: " AT("11:59:00"), NOON, NOON, 60}, /* the apparent age */
        {"date: " AT("11:59:00") "age: 10\n", NOON - 3, NOON, 60},
        {"date: " AT("11:59:00") "age: 70\n", NOON, NOON, 70},
        {"date: " AT("12:05:00") "age: 10\n", NOON, NOON, 10}, /* their clock is ahead */
        {DATE "age: 10\n", NOON + 50, NOON, 10},               /* ours was set back */
        {"age: 10\n", NOON, NOON, 10},
        {"date: junk\n", NOON, NOON, 0},
        /* 5.1: the first member counts, what is no number does not. */
        {DATE "age: 10, 20\n", NOON, NOON, 10},
        {DATE "age: 10\nage: 20\n", NOON, NOON, 10},
        {DATE "age: x\n", NOON, NOON, 0},
        {DATE "age: -10\n", NOON, NOON, 0},
        {DATE "age: 1.5\n", NOON, NOON, 0},
        {DATE "age: 99999999999999999999\n", NOON, NOON, 2147483648},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_fields f;
        CLEAN_BUF struct buf text = BUF_EMPTY;
        struct http_cache_ask ask = {0};
        struct http_cache_terms t;
        const char *why;
        buf_printf(&text, "%s" ETAG, cases[i].response);
        assert_true(http_cache_may_keep(&ask, 200, fields_text(&f, text.data), cases[i].request_s,
                                        cases[i].response_s, &plain, &t, &why));
        if (t.age_s != cases[i].age_s)
            fail_msg("%zu: %s: %lld", i, cases[i].response, (long long)t.age_s);
        assert_int_equal(http_cache_age(&t, NOON), cases[i].age_s);
        assert_int_equal(http_cache_age(&t, NOON + 9), cases[i].age_s + 9);
        assert_int_equal(http_cache_age(&t, NOON - 9), cases[i].age_s); /* set back */
    }
}

static void terms_say_what_staleness_is_allowed(void **state)
{
    (void)state;
    static const struct {
        const char *control;
        int64_t swr_s, sie_s;
        unsigned no_cache, must_revalidate, immutable;
    } cases[] = {
        {"max-age=9", 0, 0, 0, 0, 0},
        {"max-age=9, stale-while-revalidate=3, stale-if-error=4", 3, 4, 0, 0, 0},
        {"max-age=9, stale-if-error=4, must-revalidate", 0, 0, 0, 1, 0},
        {"max-age=9, stale-while-revalidate=4, proxy-revalidate", 0, 0, 0, 1, 0},
        {"no-cache, stale-while-revalidate=4", 0, 0, 1, 0, 0},
        {"s-maxage=9", 0, 0, 0, 1, 0},
        {"s-maxage=9, stale-while-revalidate=3", 3, 0, 0, 1, 0},
        {"max-age=9, immutable", 0, 0, 0, 0, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEAN_BUF struct buf text = BUF_EMPTY;
        struct http_cache_terms t;
        const char *why;
        buf_printf(&text, DATE ETAG CC "%s\n", cases[i].control);
        assert_true(keep(NULL, 200, text.data, &plain, &t, &why));
        assert_int_equal(t.swr_s, cases[i].swr_s);
        assert_int_equal(t.sie_s, cases[i].sie_s);
        assert_int_equal(t.no_cache, cases[i].no_cache);
        assert_int_equal(t.must_revalidate, cases[i].must_revalidate);
        assert_int_equal(t.immutable, cases[i].immutable);
    }
}

enum {
    FRESH = HTTP_CACHE_FRESH,
    SWR = HTTP_CACHE_STALE_REVALIDATE,
    SIE = HTTP_CACHE_STALE_IF_ERROR,
    VALIDATE = HTTP_CACHE_VALIDATE,
    REFUSE = HTTP_CACHE_REFUSE,
};

/* A response of lifetime 60 with more, asked for at that age; soft: purged softly. */
static const struct {
    const char *control;
    const char *request;
    int64_t age_s;
    int use, soft;
} uses[] = {
    {"max-age=60", NULL, 0, FRESH, VALIDATE},
    {"max-age=60", NULL, 59, FRESH, VALIDATE},
    {"max-age=60", NULL, 60, VALIDATE, VALIDATE}, /* 4.2: lifetime > age */
    /* 5.2.2.4 */
    {"max-age=60, no-cache", NULL, 0, VALIDATE, VALIDATE},
    {"max-age=60, no-cache", "max-stale", 0, VALIDATE, VALIDATE},
    {"max-age=60, no-cache, stale-if-error=9", NULL, 0, VALIDATE, VALIDATE},
    /* 5.2.1.4 */
    {"max-age=60", "no-cache", 0, VALIDATE, VALIDATE},
    {"max-age=60, immutable", "no-cache", 0, VALIDATE, VALIDATE},
    {"max-age=60, stale-if-error=9", "no-cache", 0, VALIDATE, VALIDATE},
    /* 5.2.1.1 */
    {"max-age=60", "max-age=10", 10, FRESH, VALIDATE},
    {"max-age=60", "max-age=10", 11, VALIDATE, VALIDATE},
    {"max-age=60", "max-age=100", 60, VALIDATE, VALIDATE},
    {"max-age=60", "max-age=0", 1, VALIDATE, VALIDATE},
    {"max-age=60", "max-age=x", 1, VALIDATE, VALIDATE},
    {"max-age=60, immutable", "max-age=0", 30, FRESH, VALIDATE}, /* RFC 8246 section 2 */
    {"max-age=60, immutable", "max-age=0", 60, VALIDATE, VALIDATE},
    {"max-age=60, immutable", "max-age=5", 30, VALIDATE, VALIDATE},
    {"max-age=60", "max-age=10, max-stale=5", 15, FRESH, VALIDATE},
    {"max-age=60", "max-age=10, max-stale=5", 16, VALIDATE, VALIDATE},
    {"max-age=60, must-revalidate", "max-age=10, max-stale=5", 15, FRESH, VALIDATE},
    /* 5.2.1.2 */
    {"max-age=60", "max-stale", 100000, FRESH, VALIDATE},
    {"max-age=60", "max-stale=10", 70, FRESH, VALIDATE},
    {"max-age=60", "max-stale=10", 71, VALIDATE, VALIDATE},
    {"max-age=60, must-revalidate", "max-stale", 61, VALIDATE, VALIDATE},
    {"max-age=60, proxy-revalidate", "max-stale", 61, VALIDATE, VALIDATE},
    {"s-maxage=60", "max-stale", 61, VALIDATE, VALIDATE},
    /* 5.2.1.3 */
    {"max-age=60", "min-fresh=20", 40, FRESH, VALIDATE},
    {"max-age=60", "min-fresh=20", 41, VALIDATE, VALIDATE},
    {"max-age=60", "min-fresh=20, max-stale", 41, VALIDATE, VALIDATE},
    /* 5.2.1.7 */
    {"max-age=60", "only-if-cached", 10, FRESH, REFUSE},
    {"max-age=60", "only-if-cached", 61, REFUSE, REFUSE},
    {"max-age=60", "only-if-cached, no-cache", 10, REFUSE, REFUSE},
    {"max-age=60", "only-if-cached, max-stale=5", 62, FRESH, REFUSE},
    {"max-age=60, stale-if-error=9", "only-if-cached", 62, REFUSE, REFUSE},
    {"max-age=60, stale-while-revalidate=9", "only-if-cached", 62, SWR, SWR},
    /* RFC 5861 section 3 */
    {"max-age=60, stale-while-revalidate=10", NULL, 60, SWR, SWR},
    {"max-age=60, stale-while-revalidate=10", NULL, 69, SWR, SWR},
    {"max-age=60, stale-while-revalidate=10", NULL, 70, VALIDATE, VALIDATE},
    {"max-age=60, stale-while-revalidate=10", NULL, 10, FRESH, SWR},
    {"max-age=60, stale-while-revalidate=10", "max-age=100", 61, VALIDATE, VALIDATE},
    {"max-age=60, stale-while-revalidate=10", "no-cache", 61, VALIDATE, VALIDATE},
    {"max-age=60, stale-while-revalidate=10, must-revalidate", NULL, 61, VALIDATE, VALIDATE},
    {"s-maxage=60, stale-while-revalidate=10", NULL, 61, SWR, SWR},
    /* RFC 5861 section 4 */
    {"max-age=60, stale-if-error=10", NULL, 69, SIE, SIE},
    {"max-age=60, stale-if-error=10", NULL, 70, VALIDATE, VALIDATE},
    {"max-age=60, stale-if-error=10", "max-age=1", 30, SIE, SIE},
    {"max-age=60, stale-while-revalidate=5, stale-if-error=10", NULL, 66, SIE, SIE},
    {"max-age=60", "stale-if-error=10", 69, SIE, SIE},
    {"max-age=60", "stale-if-error=10", 70, VALIDATE, VALIDATE},
    {"max-age=60, must-revalidate", "stale-if-error=10", 61, VALIDATE, VALIDATE},
    {"max-age=60, stale-if-error=20", "stale-if-error=10", 75, SIE, SIE},
};

static void section_4_says_what_may_be_given_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(uses); i++) {
        CLEAN_BUF struct buf response = BUF_EMPTY;
        CLEAN_BUF struct buf request = BUF_EMPTY;
        struct http_fields f;
        struct http_cache_terms t;
        struct http_cache_ask ask;
        const char *why;
        buf_printf(&response, DATE ETAG CC "%s\n", uses[i].control);
        assert_true(keep(NULL, 200, response.data, &plain, &t, &why));
        assert_int_equal(t.lifetime_s, 60);
        if (uses[i].request != NULL)
            buf_printf(&request, CC "%s\n", uses[i].request);
        http_cache_ask_read(fields_text(&f, request.data), &ask);
        int use = (int)http_cache_use(&t, &ask, false, NOON + uses[i].age_s);
        int soft = (int)http_cache_use(&t, &ask, true, NOON + uses[i].age_s);
        if (use != uses[i].use || soft != uses[i].soft)
            fail_msg("%zu: %s; %s; %lld: %d, %d", i, uses[i].control,
                     uses[i].request != NULL ? uses[i].request : "", (long long)uses[i].age_s, use,
                     soft);
    }
}

static void damaged_terms_do_no_harm(void **state)
{
    (void)state;
    static const int64_t odd[] = {INT64_MIN, -1, 0, 1, INT64_MAX};
    struct http_cache_ask ask;
    struct http_fields f;
    http_cache_ask_read(fields_text(&f, CC "max-age=5, max-stale, min-fresh=3\n"), &ask);
    for (size_t i = 0; i < 625; i++) {
        const struct http_cache_terms t = {.response_s = odd[i % 5],
                                           .age_s = odd[i / 5 % 5],
                                           .lifetime_s = odd[i / 25 % 5],
                                           .swr_s = odd[i / 125],
                                           .sie_s = odd[i / 125]};
        assert_true(http_cache_age(&t, NOON) >= 0);
        assert_true((unsigned)http_cache_use(&t, &ask, false, NOON) <= HTTP_CACHE_REFUSE);
    }
}

static void only_answers_that_are_no_error_invalidate(void **state)
{
    (void)state; /* 4.4 */
    assert_true(http_cache_invalidates(200));
    assert_true(http_cache_invalidates(204));
    assert_true(http_cache_invalidates(303));
    assert_false(http_cache_invalidates(100));
    assert_false(http_cache_invalidates(400));
    assert_false(http_cache_invalidates(500));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(section_3_says_what_may_be_kept),
        cmocka_unit_test(section_4_2_1_says_how_long_it_is_fresh),
        cmocka_unit_test(section_4_2_3_says_how_old_it_is),
        cmocka_unit_test(terms_say_what_staleness_is_allowed),
        cmocka_unit_test(section_4_says_what_may_be_given_out),
        cmocka_unit_test(damaged_terms_do_no_harm),
        cmocka_unit_test(only_answers_that_are_no_error_invalidate),
    };
    return cmocka_run_group_tests_name("http_cache", tests, NULL, NULL);
}
