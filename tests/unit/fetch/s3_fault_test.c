/* SPDX-License-Identifier: Apache-2.0 */
/* What a real server cannot be made to do, by a scripted one. */
#include "fetch/s3_tier.h"
#include "tier_script.h"

static struct place place;

static int start(void **state)
{
    (void)state;
    place = place_new();
    (void)place_file(&place, "access", "AKIDEXAMPLE\n");
    (void)place_file(&place, "secret", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\n");
    return 0;
}

static int stop(void **state)
{
    (void)state;
    place_remove(&place);
    return 0;
}

static struct s3_options options(const struct script *s)
{
    return (struct s3_options){
        .endpoint = s->url,
        .bucket = "media",
        .prefix = "weir/",
        .access_key_file = place_file(&place, "access", NULL),
        .secret_key_file = place_file(&place, "secret", NULL),
        .backoff_ms = 1,
        .retries = 3,
        .breaker_failures = 100,
    };
}

static struct store_tier *tier(struct s3_options o)
{
    struct store_tier *t = NULL;
    struct err err = {""};
    if (s3_tier_new(&o, &err, &t) < 0)
        fail_msg("%s", err.text);
    return t;
}

/* A blob of text, so that it can be said. */
#define HELLO "hello, this is a blob\n"
#define ETAG  "ETag: \"0123456789abcdef0123456789abcdef\"\r\n"

static struct digest hello_digest(void)
{
    return digest_of(HELLO, sizeof HELLO - 1);
}

static struct rbuf *hello_blob(void)
{
    struct rbuf *b = NULL;
    assert_int_equal(rbuf_copy(HELLO, sizeof HELLO - 1, &b), 0);
    return b;
}

static int get_hello(struct store_tier *t)
{
    struct digest d = hello_digest();
    return tier_get(t, &d, sizeof HELLO - 1);
}

static int put_hello(struct store_tier *t)
{
    struct digest d = hello_digest();
    struct rbuf *b = hello_blob();
    int r = tier_put(t, &d, b);
    (void)rbuf_unref(b);
    return r;
}

static bool is(const struct script_request *q, const char *method)
{
    return strcmp(q->method, method) == 0;
}

static void serve_well(struct script_request *q)
{
    if (is(q, "GET") && strstr(q->target, "list-type=2") != NULL)
        script_answer(q, "200 OK", "",
                      "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>");
    else if (is(q, "GET"))
        script_answer(q, "200 OK", ETAG, HELLO);
    else if (is(q, "PUT"))
        script_answer(q, "200 OK", ETAG, "");
    else
        script_answer(q, "204 No Content", "", "");
}

/* --- what is asked ---------------------------------------------------------------------------- */

static void serve_and_keep(struct script_request *q)
{
    struct script_request *kept = q->script->arg;
    *kept = *q;
    serve_well(q);
}

static void requests_are_signed_with_their_bytes(void **state)
{
    (void)state;
    struct script s;
    struct script_request kept;
    script_start(&s, serve_and_keep, &kept);
    struct store_tier *t = tier(options(&s));
    assert_int_equal(put_hello(t), 0);
    assert_string_equal(kept.method, "PUT");
    struct digest d = hello_digest();
    char target[128] = "/media/weir/";
    digest_format(&d, target + strlen(target));
    assert_string_equal(kept.target, target);
    assert_int_equal(kept.body_size, sizeof HELLO - 1);
    assert_memory_equal(kept.body, HELLO, sizeof HELLO - 1);
    /* sha256sum of HELLO */
    assert_non_null(strcasestr(kept.head,
                               "x-amz-content-sha256: "
                               "569b51d9fbdb2747ba1746cdb5959bb67932d720c031dfce68e6cdbe3cf21746"));
    assert_non_null(strcasestr(kept.head, "Authorization: AWS4-HMAC-SHA256 "
                                          "Credential=AKIDEXAMPLE/"));
    assert_non_null(strstr(kept.head, "/us-east-1/s3/aws4_request"));
    assert_null(strstr(kept.head, "wJalrXUtnFEMI"));
    struct err err;
    assert_int_equal(t->ops->check(t, &err), 0);
    assert_string_equal(kept.target, "/media/?delimiter=%2F&list-type=2&max-keys=1&prefix=weir%2F");
    (void)t->ops->free(t);
    script_stop(&s);
}

static void options_that_cannot_be_right_are_refused(void **state)
{
    (void)state;
    const char *empty = place_file(&place, "empty", "\n");
    const char *slash = place_file(&place, "slash", "a/b\n");
    const char *absent = place_file(&place, "absent", NULL);
    const struct script s = {.url = "http://127.0.0.1:1"};
    struct s3_options o[] = {options(&s), options(&s), options(&s), options(&s), options(&s),
                             options(&s), options(&s), options(&s), options(&s), options(&s),
                             options(&s), options(&s), options(&s), options(&s)};
    o[0].endpoint = "ftp://127.0.0.1";
    o[1].endpoint = "http://127.0.0.1/path";
    o[2].endpoint = "http://user:word@127.0.0.1";
    o[3].endpoint = "not a URL";
    o[4].endpoint = NULL;
    o[5].bucket = "a/b";
    o[6].bucket = "..";
    o[7].prefix = "/weir";
    o[8].prefix = "a/../b";
    o[9].prefix = "per cent%";
    o[10].multipart_size = 1 << 20;
    o[11].access_key_file = slash;
    o[12].secret_key_file = empty;
    o[13].secret_key_file = absent;
    for (size_t i = 0; i < ARRAY_LEN(o); i++) {
        struct store_tier *t = NULL;
        struct err err = {""};
        assert_true(s3_tier_new(&o[i], &err, &t) < 0);
        assert_null(t);
        assert_true(err.text[0] != '\0');
    }
}

/* --- failures that pass, and those that do not ------------------------------------------------ */

struct plan { /* the first `bad` requests are answered so, the others well */
    int bad;
    const char *status, *code, *headers;
};

static void serve_plan(struct script_request *q)
{
    const struct plan *p = q->script->arg;
    char body[256];
    if (q->index >= p->bad) {
        serve_well(q);
        return;
    }
    (void)snprintf(body, sizeof body, "<Error><Code>%s</Code><Message>m</Message></Error>",
                   p->code != NULL ? p->code : "");
    script_answer(q, p->status, p->headers != NULL ? p->headers : "", p->code != NULL ? body : "");
}

static void serve_body(struct script_request *q)
{
    const struct plan *p = q->script->arg;
    script_answer(q, p->status, "", p->code);
}

static void failures_have_their_names(void **state)
{
    (void)state;
    static const struct {
        struct plan plan;
        int res;
        int requests;
    } cases[] = {
        {{2, "503 Slow Down", "SlowDown", NULL}, 0, 3},
        {{3, "500 Internal Server Error", "InternalError", NULL}, 0, 4},
        {{1, "429 Too Many Requests", NULL, NULL}, 0, 2},
        {{1, "502 Bad Gateway", NULL, NULL}, 0, 2},
        {{1, "400 Bad Request", "RequestTimeout", NULL}, 0, 2},
        {{1, "400 Bad Request", "XAmzContentSHA256Mismatch", NULL}, 0, 2},
        {{1, "409 Conflict", "OperationAborted", NULL}, 0, 2},
        {{1, "503 Slow Down", "SlowDown", "Retry-After: 0\r\n"}, 0, 2},
        {{99, "503 Slow Down", "SlowDown", NULL}, -EHOSTDOWN, 4},
        {{99, "400 Bad Request", "RequestTimeout", NULL}, -ETIMEDOUT, 4},
        {{99, "403 Forbidden", "AccessDenied", NULL}, -EACCES, 1},
        {{99, "403 Forbidden", NULL, NULL}, -EACCES, 1},
        {{99, "403 Forbidden", "RequestTimeTooSkewed", NULL}, -EACCES, 1},
        {{99, "404 Not Found", "NoSuchKey", NULL}, -ENOENT, 1},
        {{99, "404 Not Found", NULL, NULL}, -ENOENT, 1},
        {{99, "404 Not Found", "NoSuchBucket", NULL}, -EACCES, 1},
        {{99, "400 Bad Request", "AuthorizationHeaderMalformed", NULL}, -EACCES, 1},
        {{99, "507 Insufficient Storage", "XMinioStorageFull", NULL}, -ENOSPC, 1},
        {{99, "501 Not Implemented", "NotImplemented", NULL}, -EBADMSG, 1},
        {{99, "418 Teapot", NULL, NULL}, -EBADMSG, 1},
        {{99, "307 Temporary Redirect", NULL, "Location: http://127.0.0.1:1/\r\n"}, -EBADMSG, 1},
        {{99, "301 Moved", "PermanentRedirect", NULL}, -EBADMSG, 1},
        {{99, "204 No Content", NULL, NULL}, -EBADMSG, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct plan plan = cases[i].plan;
        struct script s;
        script_start(&s, serve_plan, &plan);
        struct store_tier *t = tier(options(&s));
        assert_int_equal(get_hello(t), cases[i].res);
        assert_int_equal(atomic_load(&s.requests), cases[i].requests);
        (void)t->ops->free(t);
        script_stop(&s);
    }
}

static void puts_and_removes_are_tried_again_too(void **state)
{
    (void)state;
    struct plan plan = {2, "503 Slow Down", "SlowDown", NULL};
    struct script s;
    struct digest d = hello_digest();
    script_start(&s, serve_plan, &plan);
    struct store_tier *t = tier(options(&s));
    assert_int_equal(put_hello(t), 0);
    assert_int_equal(atomic_load(&s.requests), 3);
    plan.bad = 5;
    assert_int_equal(tier_remove(t, &d), 0);
    assert_int_equal(atomic_load(&s.requests), 6);
    struct listed l = {.max = 1};
    plan.bad = 8;
    assert_int_equal(tier_list(t, &l), 0);
    assert_int_equal(atomic_load(&s.requests), 9);
    (void)t->ops->free(t);
    script_stop(&s);
}

static void retry_after_is_waited_for_within_limits(void **state)
{
    (void)state;
    struct plan plan = {1, "503 Service Unavailable", NULL, "Retry-After: 1\r\n"};
    struct script s;
    script_start(&s, serve_plan, &plan);
    struct store_tier *t = tier(options(&s));
    uint64_t before = clock_mono_ms();
    assert_int_equal(get_hello(t), 0);
    assert_true(clock_mono_ms() - before >= 1000); /* that it waited is no matter of speed */
    (void)t->ops->free(t);
    script_stop(&s);
    plan.headers = "Retry-After: 86400\r\n"; /* this test ends today */
    script_start(&s, serve_plan, &plan);
    struct s3_options o = options(&s);
    o.retry_after_ms = 5;
    t = tier(o);
    assert_int_equal(get_hello(t), 0);
    assert_int_equal(atomic_load(&s.requests), 2);
    (void)t->ops->free(t);
    script_stop(&s);
}

static void an_answer_without_etag_has_not_stored(void **state)
{
    (void)state;
    struct plan plan = {99, "200 OK", NULL, NULL};
    struct script s;
    script_start(&s, serve_plan, &plan);
    struct store_tier *t = tier(options(&s));
    assert_int_equal(put_hello(t), -EBADMSG);
    (void)t->ops->free(t);
    script_stop(&s);
}

static void people_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *status, *body;
        int res;
        const char *says[3];
    } cases[] = {
        {"403 Forbidden",
         "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference is too large</Message>"
         "</Error>",
         -EACCES,
         {"RequestTimeTooSkewed", "The difference is too large", "clock"}},
        {"301 Moved Permanently",
         "<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message>"
         "<Region>eu-west-3</Region></Error>",
         -EBADMSG,
         {"PermanentRedirect", "eu-west-3", "elsewhere"}},
        {"404 Not Found", "<html>no such page</html>", -EBADMSG, {"404", "media", "http://"}},
        {"200 OK", "<html>come in</html>", -EBADMSG, {"not a list", "media", "http://"}},
        {"200 OK", "", -EBADMSG, {"not a list", "media", "http://"}},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct script s;
        struct plan plan = {0, cases[i].status, cases[i].body, NULL};
        script_start(&s, serve_body, &plan);
        struct store_tier *t = tier(options(&s));
        struct err err = {""};
        assert_int_equal(t->ops->check(t, &err), cases[i].res);
        for (size_t n = 0; n < 3; n++)
            assert_non_null(strstr(err.text, cases[i].says[n]));
        assert_int_equal(atomic_load(&s.requests), 1);
        (void)t->ops->free(t);
        script_stop(&s);
    }
}

/* --- broken transfers ------------------------------------------------------------------------- */

#define HALF "HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\nhello, thi"

static void serve_cut(struct script_request *q)
{
    if (q->index < *(int *)q->script->arg)
        script_say(q, HALF);
    else
        serve_well(q);
}

static void serve_stalled(struct script_request *q)
{
    if (q->index < *(int *)q->script->arg) {
        script_say(q, HALF);
        script_stall(q);
    } else {
        serve_well(q);
    }
}

static void serve_mute(struct script_request *q)
{
    script_stall(q);
}

static void serve_short(struct script_request *q)
{
    script_answer(q, "200 OK", "", "hello, thi");
}

static void serve_unmeasured(struct script_request *q)
{
    const char *body = q->script->arg;
    script_say(q, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    script_say(q, body);
}

static void serve_huge(struct script_request *q)
{
    script_say(q, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nhello");
    script_stall(q);
}

static void serve_garbage(struct script_request *q)
{
    script_say(q, "this is not HTTP at all\r\n\r\n");
}

static void a_body_cut_short_is_fetched_again(void **state)
{
    (void)state;
    struct script s;
    int bad = 2;
    script_start(&s, serve_cut, &bad);
    struct store_tier *t = tier(options(&s));
    assert_int_equal(get_hello(t), 0);
    assert_int_equal(atomic_load(&s.requests), 3);
    bad = 99;
    assert_int_equal(get_hello(t), -ECONNRESET);
    assert_int_equal(atomic_load(&s.requests), 7);
    (void)t->ops->free(t);
    script_stop(&s);
}

static void a_stall_is_ended(void **state)
{
    (void)state;
    struct script s;
    int bad = 1;
    script_start(&s, serve_stalled, &bad);
    struct s3_options o = options(&s);
    o.stall_ms = 1000;
    o.retries = 1;
    struct store_tier *t = tier(o);
    assert_int_equal(get_hello(t), 0);
    bad = 99;
    assert_int_equal(get_hello(t), -ETIMEDOUT);
    assert_int_equal(atomic_load(&s.requests), 4);
    (void)t->ops->free(t);
    script_stop(&s);
}

static void answers_that_are_none(void **state)
{
    (void)state;
    static const struct {
        void (*serve)(struct script_request *q);
        const char *arg;
        size_t length;
        int res;
        int requests;
    } cases[] = {
        {serve_short, NULL, sizeof HELLO - 1, -EBADMSG, 1},
        {serve_garbage, NULL, sizeof HELLO - 1, -EBADMSG, 1},
        {serve_huge, NULL, 0, -EBADMSG, 1},
        {serve_unmeasured, HELLO, sizeof HELLO - 1, 0, 1},
        {serve_unmeasured, HELLO "and more", sizeof HELLO - 1, -EBADMSG, 1},
        {serve_unmeasured, "hello", sizeof HELLO - 1, -EBADMSG, 1},
        {serve_unmeasured, HELLO, 0, -EBADMSG, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct script s;
        script_start(&s, cases[i].serve, (void *)(uintptr_t)cases[i].arg);
        struct store_tier *t = tier(options(&s));
        struct digest d = hello_digest();
        assert_int_equal(tier_get(t, &d, cases[i].length), cases[i].res);
        assert_int_equal(atomic_load(&s.requests), cases[i].requests);
        (void)t->ops->free(t);
        script_stop(&s);
    }
}

static void nobody_listens(void **state)
{
    (void)state;
    struct script s;
    script_start(&s, serve_well, NULL);
    struct s3_options o = options(&s);
    script_stop(&s);
    struct store_tier *t = tier(o);
    struct err err = {""};
    assert_int_equal(get_hello(t), -EHOSTDOWN);
    assert_int_equal(put_hello(t), -EHOSTDOWN);
    assert_int_equal(t->ops->check(t, &err), -EHOSTDOWN);
    assert_true(err.text[0] != '\0');
    (void)t->ops->free(t);
}

/* --- lists ------------------------------------------------------------------------------------ */

static void lists_that_are_none(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        "garbage",
        "<ListBucketResult><Contents><Key>weir/0123456789abcdef0123456789abcdef</Key><Size>1</"
        "Size>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>again"
        "</NextContinuationToken></ListBucketResult>",
        "<Error><Code>InternalError</Code></Error>",
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct script s;
        struct plan plan = {0, "200 OK", bodies[i], NULL};
        script_start(&s, serve_body, &plan);
        struct store_tier *t = tier(options(&s));
        struct listed l = {.max = 10};
        assert_int_equal(tier_list(t, &l), -EBADMSG);
        (void)t->ops->free(t);
        script_stop(&s);
    }
}

static void *list_thread(void *arg)
{
    struct listed l = {.max = 1};
    return (void *)(intptr_t)tier_list(arg, &l);
}

static void free_ends_whoever_waits(void **state)
{
    (void)state;
    struct script s;
    pthread_t thread;
    void *result;
    script_start(&s, serve_mute, NULL);
    struct store_tier *t = tier(options(&s));
    assert_int_equal(pthread_create(&thread, NULL, list_thread, t), 0);
    struct answer get, put;
    struct digest d = hello_digest();
    struct rbuf *b = hello_blob();
    answer_init(&get);
    answer_init(&put);
    t->ops->get(t, &d, 0, answer_got, &get);
    t->ops->put(t, &d, b, answer_done, &put);
    while (atomic_load(&s.requests) < 3) /* all three are there, and are not answered */
        (void)usleep(1000);
    assert_null(t->ops->free(t));
    assert_int_equal(get.count, 1);
    assert_int_equal(put.count, 1);
    assert_int_equal(answer_wait(&get), -ECANCELED);
    assert_int_equal(answer_wait(&put), -ECANCELED);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_int_equal((intptr_t)result, -ECANCELED);
    answer_clear(&get);
    answer_clear(&put);
    (void)rbuf_unref(b);
    script_stop(&s);
}

/* --- the circuit ------------------------------------------------------------------------------ */

static void serve_switched(struct script_request *q)
{
    const atomic_bool *is_well = q->script->arg;
    if (atomic_load(is_well))
        serve_well(q);
    else
        script_error(q, "500 Internal Server Error", "InternalError");
}

static void a_circuit_opens_and_a_check_closes_it(void **state)
{
    (void)state;
    struct script s;
    atomic_bool is_well = false;
    struct err err = {""};
    script_start(&s, serve_switched, &is_well);
    struct s3_options o = options(&s);
    o.retries = -1;
    o.breaker_failures = 3;
    o.breaker_ms = 3600 * 1000;
    struct store_tier *t = tier(o);
    for (int i = 0; i < 3; i++)
        assert_int_equal(get_hello(t), -EHOSTDOWN);
    assert_int_equal(atomic_load(&s.requests), 3);
    for (int i = 0; i < 5; i++)
        assert_int_equal(i % 2 == 0 ? get_hello(t) : put_hello(t), -EHOSTDOWN);
    assert_int_equal(atomic_load(&s.requests), 3); /* not tried */
    assert_int_equal(t->ops->check(t, &err), -EHOSTDOWN);
    assert_int_equal(atomic_load(&s.requests), 4); /* a check is */
    atomic_store(&is_well, true);
    assert_int_equal(get_hello(t), -EHOSTDOWN);
    assert_int_equal(t->ops->check(t, &err), 0);
    assert_int_equal(get_hello(t), 0);
    assert_int_equal(put_hello(t), 0);
    (void)t->ops->free(t);
    script_stop(&s);
}

static void a_probe_closes_the_circuit(void **state)
{
    (void)state;
    struct script s;
    atomic_bool is_well = false;
    script_start(&s, serve_switched, &is_well);
    struct s3_options o = options(&s);
    o.retries = -1;
    o.breaker_failures = 2;
    o.breaker_ms = 20;
    struct store_tier *t = tier(o);
    for (int i = 0; i < 2; i++)
        assert_int_equal(get_hello(t), -EHOSTDOWN);
    assert_int_equal(get_hello(t), -EHOSTDOWN); /* open: very likely not tried */
    int before = atomic_load(&s.requests);
    while (atomic_load(&s.requests) == before) /* until one is let through, and fails */
        assert_int_equal(get_hello(t), -EHOSTDOWN);
    atomic_store(&is_well, true);
    while (get_hello(t) < 0) /* until one is let through */
        ;
    for (int i = 0; i < 5; i++)
        assert_int_equal(get_hello(t), 0);
    (void)t->ops->free(t);
    script_stop(&s);
}

static void to_be_slowed_down_opens_nothing(void **state)
{
    (void)state;
    struct plan plan = {20, "503 Slow Down", "SlowDown", NULL};
    struct script s;
    script_start(&s, serve_plan, &plan);
    struct s3_options o = options(&s);
    o.retries = -1;
    o.breaker_failures = 2;
    o.breaker_ms = 3600 * 1000;
    struct store_tier *t = tier(o);
    for (int i = 0; i < 20; i++)
        assert_int_equal(get_hello(t), -EHOSTDOWN);
    assert_int_equal(get_hello(t), 0);
    (void)t->ops->free(t);
    script_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_signed_with_their_bytes),
        cmocka_unit_test(options_that_cannot_be_right_are_refused),
        cmocka_unit_test(failures_have_their_names),
        cmocka_unit_test(puts_and_removes_are_tried_again_too),
        cmocka_unit_test(retry_after_is_waited_for_within_limits),
        cmocka_unit_test(an_answer_without_etag_has_not_stored),
        cmocka_unit_test(people_are_told),
        cmocka_unit_test(a_body_cut_short_is_fetched_again),
        cmocka_unit_test(a_stall_is_ended),
        cmocka_unit_test(answers_that_are_none),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(lists_that_are_none),
        cmocka_unit_test(free_ends_whoever_waits),
        cmocka_unit_test(a_circuit_opens_and_a_check_closes_it),
        cmocka_unit_test(a_probe_closes_the_circuit),
        cmocka_unit_test(to_be_slowed_down_opens_nothing),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
