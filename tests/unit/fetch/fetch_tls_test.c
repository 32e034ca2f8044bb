/* SPDX-License-Identifier: Apache-2.0 */
/* Upstreams over TLS that a good server would not be: one that leaves without saying so, one that
 * asks who is there. */
#include "fetch/fetch.h"
#include "fetch_test_util.h"
#include <openssl/err.h>
#include <openssl/ssl.h>

struct tls_script {
    struct script script;
    struct folder folder;
    SSL_CTX *ctx;
    const char *answer;
    bool says_goodbye;   /* close_notify */
    atomic_int accepted; /* handshakes that came to an end */
    char client[64];     /* the common name it showed; the script's thread writes it */
};

static void serve_tls(int fd, int index, void *arg)
{
    (void)index;
    struct tls_script *t = arg;
    SSL *ssl = SSL_new(t->ctx);
    assert_non_null(ssl);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    if (SSL_accept(ssl) == 1) {
        X509 *peer = SSL_get0_peer_certificate(ssl);
        if (peer != NULL)
            (void)X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, t->client,
                                            (int)sizeof t->client);
        char head[4096];
        if (SSL_read(ssl, head, (int)sizeof head) > 0) {
            atomic_fetch_add(&t->accepted, 1);
            (void)SSL_write(ssl, t->answer, (int)strlen(t->answer));
        }
        if (t->says_goodbye)
            (void)SSL_shutdown(ssl);
    }
    ERR_clear_error();
    SSL_free(ssl);
}

static void tls_script_start(struct tls_script *t)
{
    t->folder = folder_new();
    cert_make(t->folder.cert, t->folder.key);
    t->ctx = SSL_CTX_new(TLS_server_method());
    assert_non_null(t->ctx);
    assert_int_equal(SSL_CTX_use_certificate_chain_file(t->ctx, t->folder.cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(t->ctx, t->folder.key, SSL_FILETYPE_PEM), 1);
    t->script = (struct script){.serve = serve_tls, .arg = t, .reads_itself = true};
    script_start(&t->script);
}

static void tls_script_stop(struct tls_script *t)
{
    script_stop(&t->script);
    SSL_CTX_free(t->ctx);
    folder_remove(&t->folder);
}

static struct got tls_get(const struct tls_script *t, struct fetch_options o)
{
    struct loop *l = NULL;
    struct fetch *f = NULL;
    o.ca_file = t->folder.cert;
    assert_int_equal(loop_new(&l), 0);
    assert_int_equal(fetch_new(l, &o, &f), 0);
    struct got g = got_get(l, f, url_of("https", t->script.port, "/x"));
    (void)fetch_free(f);
    (void)loop_free(l);
    return g;
}

/* A body that ends with the connection ends with close_notify, else somebody may have cut it. */
static void an_end_that_nobody_announced_is_no_end(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        bool says_goodbye;
        int res;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\n\r\nhello", true, 0},
        {"HTTP/1.1 200 OK\r\n\r\nhello", false, -ECONNRESET},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, 0}, /* it is all there */
        {"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", false, -ECONNRESET},
        {"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", true, -ECONNRESET},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true, -ECONNRESET},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false, -ECONNRESET},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tls_script t = {.answer = cases[i].answer, .says_goodbye = cases[i].says_goodbye};
        tls_script_start(&t);
        struct got g = tls_get(&t, (struct fetch_options){0});
        if (g.res != cases[i].res)
            fail_msg("case %zu: result %d", i, g.res);
        assert_int_equal(g.status, 200);
        assert_string_equal(g.body.data, "hello");
        buf_free(&g.body);
        tls_script_stop(&t);
    }
}

static void a_client_certificate_is_shown(void **state)
{
    (void)state;
    struct tls_script t = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                           .says_goodbye = true};
    struct folder known = folder_new();
    struct folder stranger = folder_new();
    cert_make(known.cert, known.key);
    cert_make(stranger.cert, stranger.key);
    tls_script_start(&t);
    SSL_CTX_set_verify(t.ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    assert_int_equal(SSL_CTX_load_verify_locations(t.ctx, known.cert, NULL), 1);
    struct got g =
        tls_get(&t, (struct fetch_options){.cert_file = known.cert, .key_file = known.key});
    assert_int_equal(g.res, 0);
    assert_string_equal(g.body.data, "hello");
    buf_free(&g.body);
    assert_string_equal(t.client, "localhost");
    assert_int_equal(atomic_load(&t.accepted), 1);
    g = tls_get(&t, (struct fetch_options){0}); /* none */
    assert_true(g.res < 0);
    assert_int_equal(g.heads, 0);
    g = tls_get(&t, (struct fetch_options){.cert_file = stranger.cert, .key_file = stranger.key});
    assert_true(g.res < 0);
    assert_int_equal(g.heads, 0);
    g = tls_get(&t, (struct fetch_options){.cert_file = known.cert, .key_file = stranger.key});
    assert_int_equal(g.res, -EBADMSG); /* not a pair: nothing is sent */
    g = tls_get(&t, (struct fetch_options){.cert_file = "/nowhere", .key_file = known.key});
    assert_int_equal(g.res, -EBADMSG);
    assert_int_equal(atomic_load(&t.accepted), 1);
    tls_script_stop(&t);
    folder_remove(&known);
    folder_remove(&stranger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_end_that_nobody_announced_is_no_end),
        cmocka_unit_test(a_client_certificate_is_shown),
    };
    return cmocka_run_group_tests_name("fetch_tls", tests, NULL, NULL);
}
