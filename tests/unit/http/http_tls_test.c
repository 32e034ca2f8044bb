/* SPDX-License-Identifier: Apache-2.0 */
/* TLS of a running server, over sockets: what goes out with an answer, tickets between servers, and
 * everything changed without a connection being dropped. */
#include <errno.h>
#include "http/http.h"
#include "http_test_util.h"
#include "tls_util.h"
#include "base/file.h"

static char folder[] = "/tmp/weir-httptls-XXXXXX";
static struct tls_pair ca, one, two;
static char cert_file[64], key_file[64], cert2_file[64], key2_file[64], ticket_file[64];

static void paths(void)
{
    (void)snprintf(cert_file, sizeof cert_file, "%s/c.pem", folder);
    (void)snprintf(key_file, sizeof key_file, "%s/k.pem", folder);
    (void)snprintf(cert2_file, sizeof cert2_file, "%s/c2.pem", folder);
    (void)snprintf(key2_file, sizeof key2_file, "%s/k2.pem", folder);
    (void)snprintf(ticket_file, sizeof ticket_file, "%s/t", folder);
}

static int setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    paths();
    ca = tls_cert("EC", NULL, NULL);
    one = tls_cert("EC", &ca, "DNS:one.test");
    two = tls_cert("EC", &ca, "DNS:two.test");
    tls_write(&one, &ca, cert_file, key_file);
    tls_write(&two, &ca, cert2_file, key2_file);
    return file_write(ticket_file, STR("a secret of at least thirty-two characters\n"), 0600);
}

static int teardown(void **state)
{
    (void)state;
    tls_pair_free(&ca);
    tls_pair_free(&one);
    tls_pair_free(&two);
    return file_remove_all(folder);
}

static void on_hello(struct http_req *req, void *arg)
{
    (void)arg;
    http_reply(req, 200, "text/plain", STR("hello"));
}

static struct http_listen listen_tls(void)
{
    return (struct http_listen){
        .address = "127.0.0.1", .cert_file = cert_file, .key_file = key_file};
}

static struct http_server *start(const struct http_listen *listen, uint16_t *ret_port)
{
    struct http_server *s =
        server_new((struct http_options){.listens = listen, .listens_count = 1, .workers = 2});
    assert_int_equal(http_route(s, HTTP_GET, "/hello", on_hello, NULL), 0);
    *ret_port = server_start(s);
    return s;
}

/* --- a client --------------------------------------------------------------------------------- */

static SSL_CTX *client;
static SSL_SESSION *kept;

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(kept);
    kept = session;
    return 1;
}

static void forget(void)
{
    SSL_SESSION_free(kept);
    kept = NULL;
}

static SSL *dial(uint16_t port, const char *name)
{
    if (client == NULL) {
        client = SSL_CTX_new(TLS_client_method());
        (void)SSL_CTX_set_session_cache_mode(client,
                                             SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(client, on_session);
    }
    SSL *ssl = SSL_new(client);
    assert_int_equal(SSL_set_tlsext_host_name(ssl, name), 1);
    if (kept != NULL)
        assert_int_equal(SSL_set_session(ssl, kept), 1);
    assert_int_equal(SSL_set_fd(ssl, raw_open(port)), 1);
    assert_int_equal(SSL_connect(ssl), 1);
    return ssl;
}

static void hang_up(SSL *ssl)
{
    int fd = SSL_get_fd(ssl);
    (void)SSL_shutdown(ssl);
    SSL_free(ssl);
    (void)close(fd);
}

/* One request on it: the answer's head and body, in a buffer of ours. */
static const char *ask(SSL *ssl, const char *request)
{
    static char text[4096];
    size_t size = 0;
    assert_int_equal(SSL_write(ssl, request, (int)strlen(request)), strlen(request));
    do {
        int n = SSL_read(ssl, text + size, (int)(sizeof text - 1 - size));
        assert_true(n > 0);
        size += (size_t)n;
        text[size] = '\0';
    } while (strstr(text, "\r\n\r\n") == NULL ||
             (strstr(text, " 200 ") != NULL && strstr(text, "hello") == NULL));
    return text;
}

#define HELLO "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"

static bool shows(SSL *ssl, const struct tls_pair *p)
{
    return X509_cmp(SSL_get0_peer_certificate(ssl), p->cert) == 0;
}

/* --- tests ------------------------------------------------------------------------------------ */

static void alt_svc_goes_out_over_tls(void **state)
{
    (void)state;
    struct http_listen listen = listen_tls();
    listen.alt_svc = "h3=\":443\"; ma=86400";
    uint16_t port;
    struct http_server *s = start(&listen, &port);
    SSL *c = dial(port, "one.test");
    assert_non_null(strstr(ask(c, HELLO), "alt-svc: h3=\":443\"; ma=86400\r\n"));
    assert_non_null(strstr(ask(c, HELLO), "alt-svc: h3=")); /* on each */
    assert_non_null(strstr(ask(c, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n"), "alt-svc: h3="));
    hang_up(c);
    listen.alt_svc = NULL;
    struct err err = {{0}};
    assert_int_equal(http_server_set_tls(s, &listen, 1, &err), 0);
    c = dial(port, "one.test");
    while (strstr(ask(c, HELLO), "alt-svc") != NULL) { /* until its worker has heard of it */
        hang_up(c);
        c = dial(port, "one.test");
    }
    hang_up(c);
    listen.alt_svc = "h3\r\nX: y";
    assert_int_equal(http_server_set_tls(s, &listen, 1, &err), -EINVAL);
    assert_non_null(strstr(err.text, "alt_svc"));
    (void)http_server_free(s);
}

static void tickets_work_on_all_workers_and_servers(void **state)
{
    (void)state;
    struct http_listen listen = listen_tls();
    listen.ticket_key_file = ticket_file;
    uint16_t ports[2];
    struct http_server *servers[2] = {start(&listen, &ports[0]), start(&listen, &ports[1])};
    forget();
    for (unsigned i = 0; i < 12; i++) { /* the kernel spreads them over the workers */
        SSL *c = dial(ports[i % 2], "one.test");
        assert_int_equal(SSL_session_reused(c), i > 0);
        (void)ask(c, HELLO);
        hang_up(c);
    }
    struct err err = {{0}};
    assert_int_equal(http_server_reload_tls(servers[0], &err), 0); /* and over a reload */
    for (unsigned i = 0; i < 4; i++) {
        SSL *c = dial(ports[0], "one.test");
        assert_int_equal(SSL_session_reused(c), 1);
        (void)ask(c, HELLO);
        hang_up(c);
    }
    forget();
    (void)http_server_free(servers[0]);
    (void)http_server_free(servers[1]);
}

static void certificates_change_under_way(void **state)
{
    (void)state;
    struct http_listen listen = listen_tls();
    uint16_t port;
    struct http_server *s = start(&listen, &port);
    SSL *stays = dial(port, "one.test");
    (void)ask(stays, HELLO);
    assert_true(shows(stays, &one));
    SSL *early = dial(port, "one.test"); /* has sent nothing yet */
    int silent = raw_open(port);         /* not even a hello */
    const struct http_certificate more = {cert2_file, key2_file, NULL};
    listen.certificates = &more;
    listen.certificates_count = 1;
    struct err err = {{0}};
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(http_server_set_tls(s, &listen, 1, &err), 0);
    for (bool seen = false; !seen;) { /* until both workers have heard of it: soon */
        forget();                     /* a resumed one shows the old certificate */
        SSL *c = dial(port, "two.test");
        seen = shows(c, &two);
        (void)ask(c, HELLO);
        hang_up(c);
    }
    (void)ask(stays, HELLO);
    (void)ask(early, HELLO);
    SSL *late = SSL_new(client);
    assert_int_equal(SSL_set_fd(late, silent), 1);
    assert_int_equal(SSL_connect(late), 1);
    (void)ask(late, HELLO);
    /* What cannot be loaded changes nothing. */
    const struct http_certificate bad = {cert2_file, key_file, NULL};
    listen.certificates = &bad;
    assert_int_equal(http_server_set_tls(s, &listen, 1, &err), -EINVAL);
    assert_non_null(strstr(err.text, cert2_file));
    listen = (struct http_listen){.address = "127.0.0.1"};
    assert_int_equal(http_server_set_tls(s, &listen, 1, &err), -EINVAL);
    assert_int_equal(http_server_reload_tls(s, &err), 0); /* with the files of before */
    forget();
    SSL *c = dial(port, "two.test");
    assert_true(shows(c, &two));
    hang_up(c);
    hang_up(stays);
    hang_up(early);
    hang_up(late);
    (void)http_server_free(s);
}

static void settings_without_a_certificate_are_refused(void **state)
{
    (void)state;
    const struct http_certificate more = {cert2_file, key2_file, NULL};
    const struct http_listen rows[] = {
        {.address = "127.0.0.1", .alt_svc = "h3=\":443\""},
        {.address = "127.0.0.1", .ticket_key_file = ticket_file},
        {.address = "127.0.0.1", .ocsp_file = "/x"},
        {.address = "127.0.0.1", .certificates = &more, .certificates_count = 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_options o = {.listens = &rows[i], .listens_count = 1, .workers = 1};
        struct http_server *s = NULL;
        struct err err = {{0}};
        assert_int_equal(http_server_new(&o, &err, &s), -EINVAL);
        assert_non_null(strstr(err.text, "cert_file"));
    }
}

static void nothing_to_ask_without_a_responder(void **state)
{
    (void)state;
    struct http_listen listen = listen_tls();
    uint16_t port;
    struct http_server *s = start(&listen, &port);
    struct http_ocsp_ask a;
    struct err err = {{0}};
    assert_int_equal(http_server_ocsp_ask(s, 0, &a), -ENODATA);
    assert_int_equal(http_server_ocsp_ask(s, 1, &a), -ENOENT);
    assert_int_equal(http_server_ocsp_set(s, 0, STR("junk"), &err), -EINVAL);
    assert_int_equal(http_server_ocsp_set(s, 1, STR("junk"), &err), -ENOENT);
    (void)http_server_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alt_svc_goes_out_over_tls),
        cmocka_unit_test(tickets_work_on_all_workers_and_servers),
        cmocka_unit_test(certificates_change_under_way),
        cmocka_unit_test(settings_without_a_certificate_are_refused),
        cmocka_unit_test(nothing_to_ask_without_a_responder),
    };
    int r = cmocka_run_group_tests_name("http_tls", tests, setup, teardown);
    forget();
    SSL_CTX_free(client);
    return r;
}
