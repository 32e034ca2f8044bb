/* SPDX-License-Identifier: Apache-2.0 */
/* The tier of other origins, on two real ones and on scripted ones: peer_tier_test WEIR-ORIGIN. */
#include "fetch/peer_tier.h"
#include "fetch/fetch.h"
#include "tier_script.h"
#include "tier_server.h"

#define PUBLISH "publish-credential-0123456789"
#define READ    "read-credential-0123456789ab"

struct origin {
    pid_t pid;
    uint16_t port;
    char url[64];
};

static const char *origin_program;
static struct place place;
static struct origin origins[2];

static void origin_start(struct origin *o, const char *name)
{
    int attempt = 0;
    do {
        char config[1024];
        char file[32];
        assert_true(attempt++ < SERVER_ATTEMPTS);
        o->port = port_free();
        (void)snprintf(config, sizeof config,
                       "listen: {address: 127.0.0.1, port: %u}\nworkers: 1\n"
                       "store: {path: %s/%s, volume_size: 256M, hot_size: 16M}\n"
                       "publish_credential_file: %s/publish\nread_credential_file: %s/read\n",
                       (unsigned)o->port, place.path, name, place.path, place.path);
        (void)snprintf(file, sizeof file, "%s.yaml", name);
        const char *path = place_file(&place, file, config);
        const char *argv[] = {origin_program, "--config", path, NULL};
        o->pid = process_start(place_file(&place, "log", NULL), argv);
    } while (!process_listens(o->pid, o->port));
    (void)snprintf(o->url, sizeof o->url, "http://127.0.0.1:%u", (unsigned)o->port);
}

static int start(void **state)
{
    (void)state;
    place = place_new();
    (void)place_file(&place, "publish", PUBLISH "\n");
    (void)place_file(&place, "read", READ "\n");
    (void)place_file(&place, "wrong", "wrong-credential-0123456789\n");
    origin_start(&origins[0], "first");
    origin_start(&origins[1], "second");
    return 0;
}

static int stop(void **state)
{
    (void)state;
    process_stop(origins[0].pid, SIGTERM);
    process_stop(origins[1].pid, SIGTERM);
    place_remove(&place);
    return 0;
}

static void origin_put(const struct origin *o, const struct digest *d, struct rbuf *blob)
{
    struct fetch_client *c = NULL;
    char name[DIGEST_TEXT_SIZE];
    char url[160];
    unsigned status = 0;
    struct err err = {""};
    digest_format(d, name);
    (void)snprintf(url, sizeof url, "%s/blob/%s", o->url, name);
    const struct fetch_request q = {.method = "PUT", .url = url, .bearer = PUBLISH, .body = blob};
    const struct fetch_options options = {.stall_ms = 30000};
    assert_int_equal(fetch_client_new(&options, &c), 0);
    if (fetch_client_run(c, &q, 4096, &status, NULL, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(status, 201);
    (void)fetch_client_free(c);
}

static struct store_tier *tier_of(const char *a, const char *b, struct peer_options o)
{
    const char *urls[] = {a, b};
    struct store_tier *t = NULL;
    struct err err = {""};
    o.urls = urls;
    o.urls_count = b != NULL ? 2 : 1;
    if (o.bearer_file == NULL)
        o.bearer_file = place_file(&place, "read", NULL);
    if (peer_tier_new(&o, &err, &t) < 0)
        fail_msg("%s", err.text);
    return t;
}

static struct store_tier *tier_of_origins(void)
{
    return tier_of(origins[0].url, origins[1].url, (struct peer_options){.stall_ms = 30000});
}

/* --- real origins ----------------------------------------------------------------------------- */

static void blobs_come_from_whoever_has_them(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 4 * KIB, MIB, 20 * MIB, 64 * MIB};
    struct store_tier *t = tier_of_origins();
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct digest d;
        struct rbuf *b = blob_make(sizes[i], 300 + i, &d);
        assert_int_equal(tier_get(t, &d, sizes[i]), -ENOENT);
        origin_put(&origins[i % 2], &d, b);
        assert_int_equal(tier_get(t, &d, sizes[i]), 0);
        assert_int_equal(tier_get(t, &d, 0), 0);
        assert_int_equal(tier_get(t, &d, sizes[i] + 1), -EBADMSG);
        (void)rbuf_unref(b);
    }
    (void)t->ops->free(t);
}

static void many_at_once(void **state)
{
    (void)state;
    enum { COUNT = 60, GETS = 200 };
    struct store_tier *t = tier_of_origins();
    static struct digest digests[COUNT];
    static struct answer answers[GETS];
    for (unsigned i = 0; i < COUNT; i++) {
        struct rbuf *b = blob_make(1000 + i, 4000 + i, &digests[i]);
        origin_put(&origins[i % 2], &digests[i], b);
        (void)rbuf_unref(b);
    }
    for (unsigned i = 0; i < GETS; i++) {
        answer_init(&answers[i]);
        t->ops->get(t, &digests[i % COUNT], 1000 + i % COUNT, answer_got, &answers[i]);
    }
    for (unsigned i = 0; i < GETS; i++) {
        assert_int_equal(answer_wait(&answers[i]), 0);
        assert_true(blob_is(answers[i].blob, &digests[i % COUNT]));
        answer_clear(&answers[i]);
    }
    (void)t->ops->free(t);
}

static void it_only_reads(void **state)
{
    (void)state;
    struct store_tier *t = tier_of_origins();
    struct digest d;
    struct rbuf *b = blob_make(100, 1, &d);
    assert_int_equal(tier_put(t, &d, b), -EROFS);
    assert_int_equal(tier_remove(t, &d), -EROFS);
    assert_int_equal(tier_list(t, &(struct listed){.max = 1}), -EOPNOTSUPP);
    (void)rbuf_unref(b);
    (void)t->ops->free(t);
}

static void a_wrong_credential_is_refused(void **state)
{
    (void)state;
    struct store_tier *t =
        tier_of(origins[0].url, origins[1].url,
                (struct peer_options){.bearer_file = place_file(&place, "wrong", NULL)});
    struct digest d;
    struct err err = {""};
    (void)rbuf_unref(blob_make(100, 2, &d));
    assert_int_equal(tier_get(t, &d, 100), -EACCES);
    assert_int_equal(t->ops->check(t, &err), -EACCES);
    assert_non_null(strstr(err.text, "401"));
    assert_null(strstr(err.text, "wrong-credential"));
    (void)t->ops->free(t);
    t = tier_of_origins();
    assert_int_equal(t->ops->check(t, &err), 0);
    (void)t->ops->free(t);
}

/* --- scripted ones ---------------------------------------------------------------------------- */

#define HELLO "hello, this is a blob\n"

static void serve_hello(struct script_request *q)
{
    assert_non_null(strstr(q->head, "\r\nAuthorization: Bearer " READ "\r\n"));
    assert_non_null(strstr(q->head, "\r\nCDN-Loop: weir\r\n"));
    assert_true(strncmp(q->target, "/below/blob/", 12) == 0);
    script_answer(q, "200 OK", "", HELLO);
}

static void serve_text(struct script_request *q)
{
    script_answer(q, q->script->arg, "", "jello, this is a blob\n");
}

static void serve_cut(struct script_request *q)
{
    script_say(q, "HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\nhello");
}

static void serve_mute(struct script_request *q)
{
    script_stall(q);
}

/* bad comes first, then one that has it; what does bad alone say? */
static void assert_passed_over(void (*bad)(struct script_request *q), const char *arg, int alone)
{
    struct script a, b;
    char url[80];
    script_start(&a, bad, (void *)(uintptr_t)arg);
    script_start(&b, serve_hello, NULL);
    (void)snprintf(url, sizeof url, "%s/below/", b.url);
    const struct peer_options o = {.stall_ms = bad == serve_mute ? 1000 : 30000};
    struct digest d = digest_of(HELLO, sizeof HELLO - 1);
    struct store_tier *t = tier_of(a.url, url, o);
    assert_int_equal(tier_get(t, &d, sizeof HELLO - 1), 0);
    assert_int_equal(atomic_load(&a.requests), 1);
    assert_int_equal(atomic_load(&b.requests), 1);
    (void)t->ops->free(t);
    t = tier_of(a.url, NULL, o);
    assert_int_equal(tier_get(t, &d, sizeof HELLO - 1), alone);
    (void)t->ops->free(t);
    /* What one does not know and the other could not say is not absent. */
    t = tier_of(a.url, origins[0].url, o);
    assert_int_equal(tier_get(t, &d, sizeof HELLO - 1), alone);
    (void)t->ops->free(t);
    script_stop(&a);
    script_stop(&b);
}

static void bad_peers_are_passed_over(void **state)
{
    (void)state;
    assert_passed_over(serve_text, "404 Not Found", -ENOENT);
    assert_passed_over(serve_text, "500 Internal Server Error", -EHOSTDOWN);
    assert_passed_over(serve_text, "403 Forbidden", -EACCES);
    assert_passed_over(serve_text, "302 Found", -EBADMSG);
    assert_passed_over(serve_text, "200 OK", -EBADMSG); /* the length fits, the bytes do not */
    assert_passed_over(serve_cut, NULL, -ECONNRESET);
    assert_passed_over(serve_mute, NULL, -ETIMEDOUT);
}

static void a_dead_peer_is_left_alone(void **state)
{
    (void)state;
    struct script a;
    script_start(&a, serve_text, (void *)(uintptr_t) "500 Internal Server Error");
    struct store_tier *t =
        tier_of(a.url, origins[0].url,
                (struct peer_options){.breaker_failures = 3, .breaker_ms = 3600 * 1000});
    struct digest d;
    struct rbuf *b = blob_make(5000, 77, &d);
    origin_put(&origins[0], &d, b);
    (void)rbuf_unref(b);
    for (int i = 0; i < 10; i++)
        assert_int_equal(tier_get(t, &d, 5000), 0);
    assert_int_equal(atomic_load(&a.requests), 3);
    (void)t->ops->free(t);
    script_stop(&a);
}

static void free_answers_what_is_under_way(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    static struct answer answers[COUNT];
    struct script a;
    struct digest d = digest_of(HELLO, sizeof HELLO - 1);
    script_start(&a, serve_mute, NULL);
    struct store_tier *t =
        tier_of(a.url, origins[0].url, (struct peer_options){.transfers_max = 4});
    for (unsigned i = 0; i < COUNT; i++) {
        answer_init(&answers[i]);
        t->ops->get(t, &d, 0, answer_got, &answers[i]);
    }
    while (atomic_load(&a.requests) < 4)
        (void)usleep(1000);
    (void)t->ops->free(t);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(answers[i].count, 1);
        assert_int_equal(answers[i].res, -ECANCELED);
        answer_clear(&answers[i]);
    }
    script_stop(&a);
}

static void options_that_cannot_be_right_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",          "origin.example", "ftp://x",     "http://",
                                      "http:///x", "http://a?b",     "http://u:p@h"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct store_tier *t = NULL;
        struct err err = {""};
        const struct peer_options o = {.urls = &bad[i], .urls_count = 1};
        assert_int_equal(peer_tier_new(&o, &err, &t), -EINVAL);
        assert_null(t);
        assert_true(err.text[0] != '\0');
    }
    struct store_tier *t = NULL;
    struct err err = {""};
    const char *good = "http://origin.example";
    assert_int_equal(peer_tier_new(&(struct peer_options){.urls = &good}, &err, &t), -EINVAL);
    const struct peer_options o = {
        .urls = &good, .urls_count = 1, .bearer_file = place_file(&place, "absent", NULL)};
    assert_int_equal(peer_tier_new(&o, &err, &t), -ENOENT);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s WEIR-ORIGIN\n", argv[0]);
        return 2;
    }
    origin_program = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blobs_come_from_whoever_has_them),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(it_only_reads),
        cmocka_unit_test(a_wrong_credential_is_refused),
        cmocka_unit_test(bad_peers_are_passed_over),
        cmocka_unit_test(a_dead_peer_is_left_alone),
        cmocka_unit_test(free_answers_what_is_under_way),
        cmocka_unit_test(options_that_cannot_be_right_are_refused),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
