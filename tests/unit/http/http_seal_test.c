/* SPDX-License-Identifier: Apache-2.0 */
/* What a server sends over TLS, as OpenSSL's client reads it: each cipher, bodies of all sizes, the
 * records' sizes, keys that are updated, and the end; also by a kernel that takes little at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <time.h>
#include "http/http.h"
#include "http/http_flood.h"
#include "http/tls_lib.h"
#include "http_test_util.h"
#include "tls_util.h"
#include "base/file.h"

static char folder[] = "/tmp/weir-seal-XXXXXX";
static struct tls_pair pair;
static char cert_file[64], key_file[64];
static struct http_server *server;
static uint16_t port;
static uint8_t body[3 << 20];

/* --- the kernel ------------------------------------------------------------------------------- */

static _Atomic size_t send_max = SIZE_MAX; /* what the kernel takes at once; 0: nothing, for now */
static _Atomic size_t send_max_of = 0;     /* ... of what is so large; 0: of all */
static atomic_uint sends_waiting;          /* with MSG_MORE, on end */
static atomic_uint sends_waited;           /* ... ever */

static atomic_bool send_fills; /* close_notify comes when there is no room at all */

ssize_t __real_send(int fd, const void *data, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t size, int flags);

enum { BYE = 24 }; /* close_notify, sealed */

static void fill(int fd)
{
    static const char junk[65536];
    while (__real_send(fd, junk, sizeof junk, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        ;
    while (__real_send(fd, junk, 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        ;
}

ssize_t __wrap_send(int fd, const void *data, size_t size, int flags)
{
    size_t max = send_max;
    if ((flags & MSG_DONTWAIT) == 0) /* a client's */
        return __real_send(fd, data, size, flags);
    if ((flags & MSG_MORE) != 0) {
        sends_waiting++;
        sends_waited++;
    } else {
        sends_waiting = 0;
    }
    if (send_fills && size == BYE)
        fill(fd);
    if (send_max_of != 0 && send_max_of != size)
        max = SIZE_MAX;
    if (max > 0)
        return __real_send(fd, data, MIN(size, max), flags);
    errno = EAGAIN;
    return -1;
}

/* --- a server --------------------------------------------------------------------------------- */

static void on_body(struct http_req *req, void *arg)
{
    (void)arg;
    uint64_t size = 0;
    struct rbuf *b = NULL;
    assert_int_equal(str_to_u64(str_skip(http_req_path(req), strlen("/b/")), &size), 0);
    if (size == 0) {
        http_reply(req, 200, "video/mp4", STR(""));
        return;
    }
    assert_int_equal(rbuf_copy(body, size, &b), 0);
    http_reply_entity(req, &(struct http_entity){.type = "video/mp4", .body = b});
    (void)rbuf_unref(b);
}

static int setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(cert_file, sizeof cert_file, "%s/c.pem", folder);
    (void)snprintf(key_file, sizeof key_file, "%s/k.pem", folder);
    pair = tls_cert("EC", NULL, "DNS:one.test");
    tls_write(&pair, NULL, cert_file, key_file);
    id_random(body, sizeof body);
    const struct http_listen listen = {
        .address = "127.0.0.1", .cert_file = cert_file, .key_file = key_file};
    server =
        server_new((struct http_options){.listens = &listen, .listens_count = 1, .workers = 1});
    assert_int_equal(http_route(server, HTTP_GET, "/b/", on_body, NULL), 0);
    port = server_start(server);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)http_server_free(server);
    tls_pair_free(&pair);
    return file_remove_all(folder);
}

/* --- a client --------------------------------------------------------------------------------- */

struct client {
    SSL_CTX *ctx;
    SSL *ssl;
    unsigned updates;            /* KeyUpdates of the server's */
    size_t records[4096], count; /* sizes of those that came */
};

static void on_message(int is_write, int version, int type, const void *data, size_t size, SSL *ssl,
                       void *arg)
{
    (void)version, (void)ssl;
    struct client *c = arg;
    const uint8_t *bytes = data;
    if (is_write)
        return;
    if (type == SSL3_RT_HEADER && size >= 5 && c->count < ARRAY_LEN(c->records))
        c->records[c->count++] = (size_t)bytes[3] << 8 | bytes[4];
    if (type == SSL3_RT_HANDSHAKE && size > 0 && bytes[0] == SSL3_MT_KEY_UPDATE)
        c->updates++;
}

/* cipher: a suite of TLS 1.3, or one of 1.2; NULL: as the client likes. */
static struct client *client_new(const char *cipher, bool is_h2)
{
    struct client *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->ctx = SSL_CTX_new(TLS_client_method());
    if (cipher != NULL && strncmp(cipher, "TLS_", 4) == 0) {
        assert_int_equal(SSL_CTX_set_ciphersuites(c->ctx, cipher), 1);
    } else if (cipher != NULL) {
        assert_int_equal(SSL_CTX_set_max_proto_version(c->ctx, TLS1_2_VERSION), 1);
        assert_int_equal(SSL_CTX_set_cipher_list(c->ctx, cipher), 1);
    }
    if (is_h2)
        assert_int_equal(SSL_CTX_set_alpn_protos(c->ctx, (const uint8_t *)"\2h2", 3), 0);
    c->ssl = SSL_new(c->ctx);
    return c;
}

static void client_connect(struct client *c)
{
    assert_int_equal(SSL_set_fd(c->ssl, raw_open(port)), 1);
    assert_int_equal(SSL_connect(c->ssl), 1);
    SSL_set_msg_callback(c->ssl, on_message);
    SSL_set_msg_callback_arg(c->ssl, c);
}

static struct client *dial(const char *cipher)
{
    struct client *c = client_new(cipher, false);
    client_connect(c);
    return c;
}

static void hang_up(struct client *c)
{
    int fd = SSL_get_fd(c->ssl);
    (void)SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    (void)close(fd);
    free(c);
}

static void ask(struct client *c, size_t size, const char *more)
{
    char text[128];
    int n = snprintf(text, sizeof text, "GET /b/%zu HTTP/1.1\r\nHost: a\r\n%s\r\n", size, more);
    assert_int_equal(SSL_write(c->ssl, text, n), n);
}

/* The answer to it, whole. */
static void read_answer(struct client *c, size_t size)
{
    static char text[sizeof body + 4096];
    size_t at = 0;
    const char *end = NULL;
    while (end == NULL || at - (size_t)(end - text) < size) {
        int n = SSL_read(c->ssl, text + at, (int)(sizeof text - at));
        if (n <= 0)
            fail_msg("the connection ended at byte %zu of %zu", at, size);
        at += (size_t)n;
        if (end == NULL && (end = memmem(text, at, "\r\n\r\n", 4)) != NULL)
            end += 4;
    }
    assert_int_equal(at - (size_t)(end - text), size);
    assert_memory_equal(end, body, size);
}

static bool is_sealed_by_us(void)
{
    return tls_lib_get()->gcm != NULL &&
           getenv("WEIR_TEST_LIBRARY_ALONE") == NULL; /* http_seal_alone.py */
}

/* --- tests ------------------------------------------------------------------------------------ */

static void bodies_of_all_sizes_with_all_ciphers(void **state)
{
    (void)state;
    static const char *const ciphers[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                          "TLS_CHACHA20_POLY1305_SHA256",
                                          "ECDHE-ECDSA-AES128-GCM-SHA256"};
    static const size_t sizes[] = {
        0,     1,     1377,  1378,  1379,   16383,           16384,
        16385, 65535, 65536, 65537, 300000, sizeof body - 1, sizeof body};
    for (unsigned i = 0; i < ARRAY_LEN(ciphers); i++) {
        struct client *c = dial(ciphers[i]);
        for (unsigned k = 0; k < ARRAY_LEN(sizes); k++) {
            ask(c, sizes[k], "");
            read_answer(c, sizes[k]);
        }
        hang_up(c);
    }
}

/* More than the kernel takes waits with the server, sealed; what is asked for meanwhile, too. */
static void a_client_that_does_not_read(void **state)
{
    (void)state;
    struct client *c = dial(NULL);
    enum { ASKED = 8 };
    for (unsigned i = 0; i < ASKED; i++)
        ask(c, sizeof body - i, "");
    struct client *other = dial(NULL); /* goes on beside it */
    ask(other, 100000, "");
    read_answer(other, 100000);
    hang_up(other);
    for (unsigned i = 0; i < ASKED; i++)
        read_answer(c, sizeof body - i);
    hang_up(c);
    c = dial(NULL); /* and one that goes away with all of it waiting */
    for (unsigned i = 0; i < ASKED; i++)
        ask(c, sizeof body, "");
    hang_up(c);
}

/* The first flight's records fit a packet; so it is again after a rest. */
static void records_of_a_flight_are_small(void **state)
{
    (void)state;
    if (!is_sealed_by_us())
        skip();
    struct client *c = dial(NULL);
    for (unsigned round = 0; round < 2; round++) {
        size_t small = 0;
        size_t largest = 0;
        c->count = 0;
        ask(c, 400000, "");
        read_answer(c, 400000);
        while (small < c->count && c->records[small] <= 1400)
            small++;
        for (size_t i = 0; i < c->count; i++)
            largest = MAX(largest, c->records[i]);
        assert_in_range(small, 12, 30);
        assert_int_equal(largest, 16384 + 17);
        const struct timespec rest = {.tv_sec = 1, .tv_nsec = 100000000};
        if (round == 0)
            (void)nanosleep(&rest, NULL); /* the server measures it: this is what is tested */
    }
    hang_up(c);
}

static void the_client_asks_for_new_keys(void **state)
{
    (void)state;
    if (!is_sealed_by_us())
        skip(); /* the library ends such a connection */
    static const char *const ciphers[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"};
    for (unsigned i = 0; i < ARRAY_LEN(ciphers); i++) {
        struct client *c = dial(ciphers[i]);
        for (unsigned k = 1; k <= 3; k++) {
            assert_int_equal(SSL_key_update(c->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
            ask(c, 100000, "");
            read_answer(c, 100000);
            assert_int_equal(c->updates, k);
            assert_int_equal(SSL_key_update(c->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
            ask(c, 10, "");
            read_answer(c, 10);
            assert_int_equal(c->updates, k);
        }
        hang_up(c);
    }
}

static void flush(struct client *c, BIO *out)
{
    char *data;
    long size = BIO_get_mem_data(out, &data);
    assert_int_equal(send(SSL_get_fd(c->ssl), data, (size_t)size, MSG_NOSIGNAL), size);
    (void)BIO_reset(out);
}

/* In one packet with the handshake's end, so that it is read before the handshake is known to be
 * done. */
static void new_keys_come_with_the_handshake(void **state)
{
    (void)state;
    if (!is_sealed_by_us())
        skip();
    struct client *c = client_new(NULL, false);
    BIO *out = BIO_new(BIO_s_mem());
    int fd = raw_open(port);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    SSL_set_bio(c->ssl, BIO_new_socket(fd, BIO_NOCLOSE), out);
    while (SSL_connect(c->ssl) != 1) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        flush(c, out);
        assert_int_equal(poll(&p, 1, 20000), 1);
    }
    SSL_set_msg_callback(c->ssl, on_message);
    SSL_set_msg_callback_arg(c->ssl, c);
    assert_int_equal(SSL_key_update(c->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    ask(c, 1000, "");
    flush(c, out);
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
    read_answer(c, 1000);
    assert_int_equal(c->updates, 1);
    hang_up(c);
}

/* Each costs the server more than the client. */
static void too_many_new_keys(void **state)
{
    (void)state;
    if (!is_sealed_by_us())
        skip(); /* the library ends it sooner */
    static const int kinds[] = {SSL_KEY_UPDATE_REQUESTED, SSL_KEY_UPDATE_NOT_REQUESTED};
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
        char byte;
        struct client *c = dial("TLS_AES_128_GCM_SHA256");
        ask(c, 1000, "");
        read_answer(c, 1000);
        for (unsigned k = 0; k < HTTP_KEYS_MAX; k++) {
            assert_int_equal(SSL_key_update(c->ssl, kinds[i]), 1);
            assert_int_equal(SSL_do_handshake(c->ssl), 1);
        }
        ask(c, 1000, "");
        read_answer(c, 1000);
        assert_int_equal(c->updates, kinds[i] == SSL_KEY_UPDATE_REQUESTED ? 1 : 0);
        unsigned k = 0;
        while (k < 100000 && SSL_key_update(c->ssl, kinds[i]) == 1 && SSL_do_handshake(c->ssl) == 1)
            k++;
        assert_in_range(k, 0, 99999); /* it was ended meanwhile */
        assert_true(SSL_read(c->ssl, &byte, 1) <= 0);
        hang_up(c);
    }
}

/* A session goes on with another cipher of the same hash: the record's keys are the new one's. What
 * the tickets take of the numbers differs, too: two behind a full handshake, one behind this. */
static void a_session_goes_on_with_another_cipher(void **state)
{
    (void)state;
    static const char *const ciphers[] = {"TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256",
                                          "TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"};
    SSL_SESSION *session = NULL;
    for (unsigned i = 0; i < ARRAY_LEN(ciphers); i++) {
        struct client *c = client_new(ciphers[i], false);
        if (session != NULL)
            assert_int_equal(SSL_set_session(c->ssl, session), 1);
        client_connect(c);
        assert_int_equal(SSL_session_reused(c->ssl), session != NULL);
        assert_string_equal(SSL_get_cipher_name(c->ssl), ciphers[i]);
        ask(c, 100000, "");
        read_answer(c, 100000);
        SSL_SESSION_free(session);
        session = SSL_get1_session(c->ssl); /* its tickets came before the answer */
        assert_int_equal(SSL_SESSION_is_resumable(session), 1);
        hang_up(c);
    }
    SSL_SESSION_free(session);
}

static void ends_with(struct client *c, int wanted)
{
    char byte;
    int n = SSL_read(c->ssl, &byte, 1);
    assert_int_equal(n, 0);
    assert_int_equal(SSL_get_error(c->ssl, n), wanted);
}

static void an_end_is_told(void **state)
{
    (void)state;
    static const char *const ciphers[] = {"TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"};
    for (unsigned i = 0; i < ARRAY_LEN(ciphers); i++) {
        struct client *c = dial(ciphers[i]);
        ask(c, 70000, "Connection: close\r\n");
        read_answer(c, 70000);
        ends_with(c, SSL_ERROR_ZERO_RETURN);
        hang_up(c);
    }
}

/* The kernel takes what it likes: what is asked for meanwhile, a new key too, comes behind what
 * waits. What it leaves of close_notify is sent, too. */
static void the_kernel_takes_little(void **state)
{
    (void)state;
    static const size_t takes[] = {0, 1, 23, 1000, 90000};
    for (unsigned i = 0; i < 2 * ARRAY_LEN(takes); i++) {
        struct client *c = dial(i % 3 == 0 ? "TLS_AES_256_GCM_SHA384" : "TLS_AES_128_GCM_SHA256");
        send_max = takes[i / 2];
        send_max_of = i % 2 == 0 ? 0 : BYE;
        ask(c, sizeof body, "");
        assert_int_equal(SSL_key_update(c->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        ask(c, 1, "Connection: close\r\n"); /* while the first answer is on its way */
        read_answer(c, sizeof body);
        read_answer(c, 1);
        assert_int_equal(c->updates, is_sealed_by_us() ? 1 : c->updates);
        ends_with(c, SSL_ERROR_ZERO_RETURN);
        hang_up(c);
    }
    send_max = SIZE_MAX;
    send_max_of = 0;
}

/* OpenSSL would send an alert: with a number, so a nonce, that we have used. What comes has to be
 * ours: the client can read it. */
static void a_broken_record_ends_it(void **state)
{
    (void)state;
    if (!is_sealed_by_us())
        skip();
    struct client *c = dial("TLS_AES_128_GCM_SHA256");
    ask(c, 1000, "");
    read_answer(c, 1000);
    uint8_t junk[5 + 40] = {23, 3, 3, 0, 40};
    assert_int_equal(send(SSL_get_fd(c->ssl), junk, sizeof junk, MSG_NOSIGNAL), sizeof junk);
    c->count = 0;
    ends_with(c, SSL_ERROR_ZERO_RETURN);
    assert_int_equal(c->count, 1);
    hang_up(c);
}

/* --- HTTP/2 ----------------------------------------------------------------------------------- */

enum { FRAME_DATA, FRAME_HEADERS, FRAME_SETTINGS = 4, FRAME_WINDOW = 8 };

static void put_frame(struct buf *b, unsigned type, unsigned flags, uint8_t stream,
                      const void *payload, size_t size)
{
    const uint8_t head[9] = {
        0, (uint8_t)(size >> 8), (uint8_t)size, (uint8_t)type, (uint8_t)flags, 0, 0, 0, stream};
    buf_put(b, head, sizeof head);
    buf_put(b, payload, size);
}

/* Asks for a body on two streams whose own windows are no limit. */
static void ask_h2(struct client *c, const char *path)
{
    static const uint8_t window[] = {0, 4, 0x7f, 0xff, 0xff, 0xff}; /* a stream's */
    struct buf b = BUF_EMPTY;
    const uint8_t begin[] = {0x82, 0x87, 0x01, 1, 'a', 0x04, (uint8_t)strlen(path)};
    struct buf fields = BUF_EMPTY;
    buf_put(&fields, begin, sizeof begin);
    buf_put(&fields, path, strlen(path));
    buf_put(&b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    put_frame(&b, FRAME_SETTINGS, 0, 0, window, sizeof window);
    put_frame(&b, FRAME_HEADERS, 5, 1, fields.data, fields.size);
    put_frame(&b, FRAME_HEADERS, 5, 3, fields.data, fields.size);
    buf_free(&fields);
    assert_int_equal(SSL_write(c->ssl, b.data, (int)b.size), (int)b.size);
    buf_free(&b);
}

/* Bytes of the bodies, as many as are wanted. */
static void read_h2(struct client *c, struct buf *b, size_t wanted)
{
    size_t got = 0;
    while (got < wanted) {
        char text[16384];
        int n = SSL_read(c->ssl, text, sizeof text);
        if (n <= 0)
            fail_msg("the connection ended at byte %zu of %zu", got, wanted);
        buf_put(b, text, (size_t)n);
        const uint8_t *p = (const uint8_t *)b->data;
        size_t at = 0;
        for (got = 0; b->size - at >= 9;) {
            size_t size = (size_t)p[at] << 16 | (size_t)p[at + 1] << 8 | p[at + 2];
            unsigned type = p[at + 3];
            at += 9;
            if (type == FRAME_DATA)
                got += MIN(size, b->size - at);
            if (size > b->size - at)
                break;
            at += size;
        }
    }
    assert_int_equal(got, wanted);
}

/* The client grants the connection 64 KiB: their end must not wait in the kernel for more to come,
 * which comes only when the client has them. */
static void the_end_of_a_window_does_not_wait(void **state)
{
    (void)state;
    if (!is_sealed_by_us())
        skip();
    enum { WINDOW = 65535, MORE = 2000000 };
    static const uint8_t grant[] = {0, MORE >> 16 & 0xff, MORE >> 8 & 0xff, MORE & 0xff};
    struct client *c = client_new("TLS_AES_128_GCM_SHA256", true);
    client_connect(c);
    struct buf b = BUF_EMPTY;
    struct buf update = BUF_EMPTY;
    sends_waited = 0;
    ask_h2(c, "/b/3000000");
    read_h2(c, &b, WINDOW);
    assert_int_equal(sends_waiting, 0);
    put_frame(&update, FRAME_WINDOW, 0, 0, grant, sizeof grant);
    assert_int_equal(SSL_write(c->ssl, update.data, (int)update.size), (int)update.size);
    read_h2(c, &b, WINDOW + MORE);
    assert_int_equal(sends_waiting, 0);
    assert_in_range(sends_waited, 1, UINT32_MAX); /* what is in between does */
    buf_free(&update);
    buf_free(&b);
    hang_up(c);
}

/* --- an end that is not taken ----------------------------------------------------------------- */

/* The server's end of it, which is in this process, too; -1: closed. */
static int server_end(const struct client *c)
{
    struct sockaddr_in mine = {.sin_port = 0};
    struct sockaddr_in peer = {.sin_port = 0};
    socklen_t size = sizeof mine;
    assert_int_equal(getsockname(SSL_get_fd(c->ssl), (struct sockaddr *)(void *)&mine, &size), 0);
    for (int fd = 0; fd < 1024; fd++) {
        size = sizeof peer;
        if (getpeername(fd, (struct sockaddr *)(void *)&peer, &size) == 0 &&
            peer.sin_family == AF_INET && peer.sin_port == mine.sin_port)
            return fd;
    }
    return -1;
}

/* close_notify waits for a client that takes nothing. The server looks at the connection meanwhile,
 * whose HTTP/2 the library has freed, and ends it by and by. */
static void a_client_that_does_not_take_the_end(void **state)
{
    (void)state;
    const struct http_listen listen = {
        .address = "127.0.0.1", .cert_file = cert_file, .key_file = key_file};
    struct http_server *other = server_new((struct http_options){
        .listens = &listen, .listens_count = 1, .workers = 1, .idle_ms = 500});
    assert_int_equal(http_route(other, HTTP_GET, "/b/", on_body, NULL), 0);
    uint16_t before = port;
    port = server_start(other);
    struct buf b = BUF_EMPTY;
    struct client *c = client_new("TLS_AES_128_GCM_SHA256", true);
    client_connect(c);
    ask_h2(c, "/b/10");
    read_h2(c, &b, 20);
    int end = server_end(c);
    assert_true(end >= 0);
    for (unsigned i = 0; i < 5; i++) { /* the client's kernel takes some of it */
        fill(end);
        (void)usleep(5000);
    }
    send_fills = true; /* the client's FIN makes room again */
    assert_int_equal(shutdown(SSL_get_fd(c->ssl), SHUT_WR), 0);
    while (server_end(c) >= 0)
        (void)usleep(10000);
    send_fills = false;
    buf_free(&b);
    hang_up(c);
    port = before;
    (void)http_server_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_of_all_sizes_with_all_ciphers),
        cmocka_unit_test(a_client_that_does_not_read),
        cmocka_unit_test(records_of_a_flight_are_small),
        cmocka_unit_test(the_client_asks_for_new_keys),
        cmocka_unit_test(new_keys_come_with_the_handshake),
        cmocka_unit_test(too_many_new_keys),
        cmocka_unit_test(a_session_goes_on_with_another_cipher),
        cmocka_unit_test(an_end_is_told),
        cmocka_unit_test(the_kernel_takes_little),
        cmocka_unit_test(a_broken_record_ends_it),
        cmocka_unit_test(the_end_of_a_window_does_not_wait),
        cmocka_unit_test(a_client_that_does_not_take_the_end),
    };
    return cmocka_run_group_tests_name("http_seal", tests, setup, teardown);
}
