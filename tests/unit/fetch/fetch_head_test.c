/* SPDX-License-Identifier: Apache-2.0 */
/* Heads and ends of messages: what is told of an answer, what counts as a whole one, what is sent.
 */
#include "fetch/fetch.h"
#include "fetch_test_util.h"

struct rig {
    struct loop *loop;
    struct fetch *fetch;
    struct script script;
};

static void rig_open(struct rig *r, void (*serve)(int, int, void *), const void *arg)
{
    *r = (struct rig){.script = {.serve = serve, .arg = (void *)(uintptr_t)arg}};
    assert_int_equal(loop_new(&r->loop), 0);
    assert_int_equal(fetch_new(r->loop, NULL, &r->fetch), 0);
    script_start(&r->script);
}

static void rig_close(struct rig *r)
{
    r->fetch = fetch_free(r->fetch);
    script_stop(&r->script);
    r->loop = loop_free(r->loop);
}

/* The request, and what its answer's head told: "name=value" lines. */
struct told {
    struct got got;
    struct buf fields;
};

static int told_on_head(void *arg, const struct fetch_head *head)
{
    struct told *t = arg;
    for (unsigned i = 0; i < head->fields.count; i++)
        buf_printf(&t->fields, STR_FMT "=" STR_FMT "\n", STR_ARG(head->fields.at[i].name),
                   STR_ARG(head->fields.at[i].value));
    return got_on_head(&t->got, head);
}

static int told_on_data(void *arg, const uint8_t *data, size_t size)
{
    struct told *t = arg;
    return got_on_data(&t->got, data, size);
}

static void told_on_done(void *arg, int res, unsigned status)
{
    struct told *t = arg;
    got_on_done(&t->got, res, status);
}

static struct fetch_request told_request(struct told *t, struct rig *r)
{
    return (struct fetch_request){.method = "GET",
                                  .url = url_of("http", r->script.port, "/x"),
                                  .on_head = told_on_head,
                                  .on_data = told_on_data,
                                  .on_done = told_on_done,
                                  .arg = t};
}

static void told_run(struct told *t, struct rig *r, const struct fetch_request *q)
{
    assert_int_equal(fetch_start(r->fetch, q, &t->got.op), 0);
    got_wait(r->loop, &t->got);
}

static void told_clear(struct told *t)
{
    buf_free(&t->fields);
    buf_free(&t->got.body);
    *t = (struct told){.fields = BUF_EMPTY};
}

static void serve_text(int fd, int index, void *arg)
{
    (void)index;
    script_say(fd, arg);
}

/* Says it and stays until the client leaves: who waits for more than was announced waits long. */
static void serve_text_and_stay(int fd, int index, void *arg)
{
    (void)index;
    script_say(fd, arg);
    char c;
    while (recv(fd, &c, 1, 0) > 0)
        ;
}

static void all_lines_of_the_answers_head_are_told(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, serve_text_and_stay,
             "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 77\r\n\r\n"
             "HTTP/1.1 100 Continue\r\n\r\n"
             "HTTP/1.1 200 OK\r\nCache-Control: max-age=5\r\nVARY:  Accept \r\n"
             "Cache-Control: no-transform\r\nX-Empty:\r\nX-Odd : a:b\r\n"
             "Content-Type: video/mp4\r\nX-Folded: a\r\n  b\r\n\tc\r\n"
             "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
             "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: 1\r\nCache-Control: private\r\n\r\n");
    struct told t = {.fields = BUF_EMPTY};
    struct fetch_request q = told_request(&t, &r);
    told_run(&t, &r, &q);
    assert_int_equal(t.got.res, 0);
    assert_int_equal(t.got.heads, 1);
    assert_string_equal(t.got.head_type, "video/mp4");
    assert_true(t.got.head_size == UINT64_MAX);
    assert_string_equal(t.got.body.data, "abcde");
    assert_string_equal(t.fields.data,
                        "cache-control=max-age=5\nvary=Accept\ncache-control=no-transform\n"
                        "x-empty=\nx-odd=a:b\ncontent-type=video/mp4\nx-folded=a b c\n"
                        "transfer-encoding=chunked\ntrailer=X-Sum\n");
    told_clear(&t);
    rig_close(&r);
}

static void an_answer_without_a_body_tells_the_size_and_ends(void **state)
{
    (void)state;
    static const struct {
        const char *method, *answer;
        uint64_t size;
    } cases[] = {
        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n", UINT64_C(5000000000)},
        {"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", UINT64_MAX},
        {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: \"a\"\r\n\r\n", 500},
        {"GET", "HTTP/1.1 204 No Content\r\n\r\n", UINT64_MAX},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0, 0\r\nContent-Length: 0\r\n\r\n", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rig r;
        rig_open(&r, serve_text_and_stay, cases[i].answer);
        struct told t = {.fields = BUF_EMPTY};
        struct fetch_request q = told_request(&t, &r);
        q.method = cases[i].method;
        told_run(&t, &r, &q);
        assert_int_equal(t.got.res, 0);
        assert_int_equal(t.got.heads, 1);
        assert_true(t.got.head_size == cases[i].size);
        assert_int_equal(t.got.body.size, 0);
        told_clear(&t);
        rig_close(&r);
    }
}

/* What is half, or not to be understood in one way only, is never a whole answer. */
static void what_is_not_whole_is_an_error(void **state)
{
    (void)state;
#define OK "HTTP/1.1 200 OK\r\n"
    static const struct {
        const char *answer;
        int res, heads;
    } cases[] = {
        {OK "Content-Length: 10\r\n\r\nhello", -ECONNRESET, 1},
        {OK "Content-Length: 10\r\n\r\n", -ECONNRESET, 1},
        {OK "Content-Length: 10\r\n", -ECONNRESET, 0},
        {OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", -ECONNRESET, 1},
        {OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhel", -ECONNRESET, 1},
        {OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", -ECONNRESET, 1},
        {OK "Transfer-Encoding: chunked\r\n\r\n", -ECONNRESET, 1},
        {OK "Transfer-Encoding: chunked\r\n\r\nno\r\nhello", -ECONNRESET, 1},
        {OK "Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n", -ECONNRESET, 1},
        {OK "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello", -ECONNRESET, 1},
        {OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", -EBADMSG, 0},
        {OK "Content-Length: 5, 6\r\n\r\nhello", -EBADMSG, 0},
        {OK "Content-Length: 5,\r\n\r\nhello", -EBADMSG, 0},
        {OK "Content-Length: five\r\n\r\nhello", -EBADMSG, 0},
        {OK "Content-Length:\r\n\r\nhello", -EBADMSG, 0},
        {OK "Content-Length: -5\r\n\r\nhello", -EBADMSG, 0},
        {OK "Content-Length: 99999999999999999999\r\n\r\nhello", -EBADMSG, 0},
        {OK "Content-Length: 9223372036854775808\r\n\r\nhello", -EBADMSG, 0},
        {OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", -EBADMSG, 0},
        {OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", -EBADMSG, 0},
        {OK " folded: into nothing\r\n\r\n", -EBADMSG, 0},
        {OK "no colon\r\n\r\n", -EBADMSG, 0},
        {OK "b\x01"
            "d: name\r\n\r\n",
         -EBADMSG, 0},
        {OK "two words: name\r\n\r\n", -EBADMSG, 0},
        {OK ": no name\r\n\r\n", -EBADMSG, 0},
        {OK "a: b\x02\r\n\r\n", -EBADMSG, 0},
        {OK "a: b\rc: d\r\n\r\n", -EBADMSG, 0},
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nhello",
         -EBADMSG, 0},
        {"HTTP/1.1 100 Continue\r\n\r\n", -ECONNRESET, 0},
    };
#undef OK
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rig r;
        rig_open(&r, serve_text, cases[i].answer);
        struct told t = {.fields = BUF_EMPTY};
        struct fetch_request q = told_request(&t, &r);
        told_run(&t, &r, &q);
        if (t.got.res != cases[i].res || t.got.heads != cases[i].heads)
            fail_msg("case %zu: result %d, %d heads", i, t.got.res, t.got.heads);
        told_clear(&t);
        rig_close(&r);
    }
}

static void serve_many_fields(int fd, int index, void *arg)
{
    const int *count_and_size = arg;
    (void)index;
    script_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
    CLEAN_BUF struct buf line = BUF_EMPTY;
    for (int i = 1; i < count_and_size[0]; i++) {
        buf_clear(&line);
        buf_printf(&line, "x-%d: %0*d\r\n", i, count_and_size[1], 7);
        script_say(fd, line.data);
    }
    script_say(fd, "\r\n");
}

static void serve_interim_answers(int fd, int index, void *arg)
{
    (void)index, (void)arg;
    for (int i = 0; i < 1000; i++)
        script_say(fd, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    script_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

static void a_head_is_bounded(void **state)
{
    (void)state;
    static const struct {
        int count_and_size[2];
        int res;
    } cases[] = {{{FETCH_FIELDS_MAX, 8}, 0},
                 {{FETCH_FIELDS_MAX + 1, 8}, -EBADMSG},
                 {{16, 4000}, 0},
                 {{18, 4000}, -EBADMSG}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rig r;
        rig_open(&r, serve_many_fields, cases[i].count_and_size);
        struct told t = {.fields = BUF_EMPTY};
        struct fetch_request q = told_request(&t, &r);
        told_run(&t, &r, &q);
        assert_int_equal(t.got.res, cases[i].res);
        told_clear(&t);
        rig_close(&r);
    }
    struct rig r;
    rig_open(&r, serve_interim_answers, NULL);
    struct told t = {.fields = BUF_EMPTY};
    struct fetch_request q = told_request(&t, &r);
    told_run(&t, &r, &q);
    assert_int_equal(t.got.res, -EBADMSG);
    told_clear(&t);
    rig_close(&r);
}

#define EVIL "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

static void serve_too_much(int fd, int index, void *arg)
{
    (void)arg;
    if (index > 0) {
        script_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
        return;
    }
    /* In one piece: what comes later comes behind the next request, as far as anybody can tell. */
    script_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" EVIL);
    char head[SCRIPT_HEAD_SIZE];
    if (script_read_head(fd, head)) /* it was taken for clean */
        script_say(fd, EVIL);
}

/* Bytes behind the length that was stated belong to no answer: not to this, not to the next. */
static void bytes_behind_an_answer_are_no_part_of_any(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, serve_too_much, NULL);
    struct told t = {.fields = BUF_EMPTY};
    struct fetch_request q = told_request(&t, &r);
    told_run(&t, &r, &q);
    assert_int_equal(t.got.res, 0);
    assert_string_equal(t.got.body.data, "hello");
    told_clear(&t);
    told_run(&t, &r, &q);
    assert_int_equal(t.got.res, 0);
    assert_string_equal(t.got.body.data, "good");
    assert_int_equal(atomic_load(&r.script.connections), 2);
    told_clear(&t);
    rig_close(&r);
}

/* --- what is sent ----------------------------------------------------------------------------- */

#define EMPTY_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static void fields_are_sent_as_they_are(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, serve_text, EMPTY_ANSWER);
    struct told t = {.fields = BUF_EMPTY};
    struct fetch_request q = told_request(&t, &r);
    told_run(&t, &r, &q);
    const char *head = r.script.head;
    assert_non_null(strstr(head, "GET /x HTTP/1.1\r\nHost: 127.0.0.1:"));
    assert_non_null(strstr(head, "\r\ntraceparent: 00-"));
    assert_null(strstr(head, "Accept-Encoding"));
    assert_null(strstr(head, "Content-Type"));
    told_clear(&t);

    static const struct field fields[] = {
        {STR("host"), STR("video.example.org")},
        {STR("accept"), STR("video/*;q=0.5")},
        {STR("user-agent"), STR("player/1")},
        {STR("x-empty"), STR("")},
        {STR("range"), STR("bytes=0-9")},
        {STR("if-none-match"), STR("\"a\", W/\"b\"")},
        {STR("x-two"), STR("1")},
        {STR("x-two"), STR("2")},
        {STR("traceparent"), STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")},
        {STR("connection"), STR("close, x-hop")},
        {STR("x-hop"), STR("1")},
        {STR("transfer-encoding"), STR("chunked")},
        {STR("content-length"), STR("100")},
        {STR("authorization"), STR("Basic eA==")},
        {STR("expect"), STR("100-continue")},
        {STR("x-tab"), STR("a\tb")},
    };
    q.fields = (struct fields){fields, ARRAY_LEN(fields)};
    q.bearer = "s3cret";
    told_run(&t, &r, &q);
    assert_int_equal(t.got.res, 0);
    static const char *const wanted[] = {
        "\r\nHost: video.example.org\r\n",
        "\r\naccept: video/*;q=0.5\r\n",
        "\r\nuser-agent: player/1\r\n",
        "\r\nx-empty:\r\n",
        "\r\nrange: bytes=0-9\r\n",
        "\r\nif-none-match: \"a\", W/\"b\"\r\n",
        "\r\nx-two: 1\r\nx-two: 2\r\n",
        "\r\nAuthorization: Bearer s3cret\r\n",
        "\r\nx-tab: a\tb\r\n",
        "\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        if (strstr(head, wanted[i]) == NULL)
            fail_msg("not sent: %s", wanted[i]);
    static const char *const unwanted[] = {"x-hop", "ransfer-", "ontent-", "xpect",
                                           "Basic", "weir/",    "close",   "127.0.0.1"};
    for (size_t i = 0; i < ARRAY_LEN(unwanted); i++)
        if (strstr(head, unwanted[i]) != NULL)
            fail_msg("sent: %s", unwanted[i]);
    told_clear(&t);
    rig_close(&r);
}

static void fields_that_would_break_the_head_are_refused(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, serve_text, EMPTY_ANSWER);
    static const struct field bad[] = {
        {STR(""), STR("a")},       {STR("a b"), STR("a")},       {STR("a:"), STR("a")},
        {STR("a\r\nb"), STR("a")}, {STR("a"), STR("a\r\nb: c")}, {STR("a"), STR("a\nb: c")},
        {STR("a"), {"a\0b", 3}},   {{"a\0b", 3}, STR("a")},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct told t = {.fields = BUF_EMPTY};
        struct fetch_request q = told_request(&t, &r);
        q.fields = (struct fields){&bad[i], 1};
        assert_int_equal(fetch_start(r.fetch, &q, &t.got.op), -EINVAL);
    }
    assert_int_equal(atomic_load(&r.script.connections), 0);
    rig_close(&r);
}

static void other_methods_carry_a_body(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, serve_text, EMPTY_ANSWER);
    struct rbuf *body = NULL;
    assert_int_equal(rbuf_copy("hello", 5, &body), 0);
    static const char *const methods[] = {"PATCH", "REPORT", "DELETE", "OPTIONS"};
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        struct told t = {.fields = BUF_EMPTY};
        struct fetch_request q = told_request(&t, &r);
        q.method = methods[i];
        q.body = body;
        told_run(&t, &r, &q);
        assert_int_equal(t.got.res, 0);
        assert_int_equal(strncmp(r.script.head, methods[i], strlen(methods[i])), 0);
        assert_non_null(strstr(r.script.head, "\r\nContent-Length: 5\r\n"));
        told_clear(&t);
    }
    (void)rbuf_unref(body);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_lines_of_the_answers_head_are_told),
        cmocka_unit_test(an_answer_without_a_body_tells_the_size_and_ends),
        cmocka_unit_test(what_is_not_whole_is_an_error),
        cmocka_unit_test(a_head_is_bounded),
        cmocka_unit_test(bytes_behind_an_answer_are_no_part_of_any),
        cmocka_unit_test(fields_are_sent_as_they_are),
        cmocka_unit_test(fields_that_would_break_the_head_are_refused),
        cmocka_unit_test(other_methods_carry_a_body),
    };
    return cmocka_run_group_tests_name("fetch_head", tests, NULL, NULL);
}
