/* SPDX-License-Identifier: Apache-2.0 */
/* How bytes go out over TLS 1.3 with AES-GCM. The library hands them to SSL_write, record by
 * record, which copies each into a buffer of its own to seal it there, and keeps a copy of what
 * came out until it is written. We stand in for the library's h2o_socket_write, seal from where the
 * bytes lie into one buffer that stays in the processor's cache, and send from there.
 *
 *   handshake, by OpenSSL: on_secret, then on_message for each record under it
 *     -> http__seal_start: OpenSSL reads on, and what it would write goes nowhere
 *     -> h2o_socket_write, ours (the program's symbol comes before the library's)
 *          -> all is sent: the library's, with nothing to write: it calls back
 *          -> else the library's in clear, with what is left, sealed
 *     -> h2o_socket_close, ours: close_notify, then the library's, once the kernel has it
 *
 * A nonce must not be used twice: that is why OpenSSL must not send anything from there on. A
 * KeyUpdate that it would answer with its next write is answered by us. Other ciphers, TLS 1.2, and
 * a program whose symbols the library does not see, go the library's way. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "base/clock.h"
#include "base/enc.h"
#include "base/log.h"
#include "http/http_priv.h"
#include "http/tls_lib.h"
#include "http/tls_seal.h"

/* A record is read when it is whole, so the first flight's fit one packet each: ten packets (RFC
 * 6928), and again when the connection has rested for so long that the kernel begins anew. */
#define HTTP_SEAL_SMALL       (1400u - TLS_RECORD_EXTRA)
#define HTTP_SEAL_SMALL_SUM   (16u << 10)
#define HTTP_SEAL_REST_MS     1000u
#define HTTP_SEAL_BUFFER      (96u << 10) /* five large records: what HTTP/2 writes at once */
#define HTTP_SEAL_UPDATE_SIZE 5u
#define HTTP_SEAL_BYE_SIZE    (2u + TLS_RECORD_EXTRA)

struct http_seal {
    SSL *ssl;
    struct tls_seal *keys;
    bool is_on; /* we seal, not OpenSSL */
    uint32_t small_left;
    uint64_t last_ms;
    uint8_t *rest; /* what the kernel did not take: the library writes it */
    h2o_socket_cb cb;
    uint8_t bye[HTTP_SEAL_BYE_SIZE];
};

static struct { /* the library's own */
    void (*write)(h2o_socket_t *sock, h2o_iovec_t *bufs, size_t count, h2o_socket_cb cb);
    void (*close)(h2o_socket_t *sock);
} http_seal_library;
static bool http_seal_is_ours; /* it calls our functions */
static pthread_once_t http_seal_once = PTHREAD_ONCE_INIT;
static pthread_once_t http_seal_ours_once = PTHREAD_ONCE_INIT;

static void http_seal_find(void)
{
    void *write = dlsym(RTLD_NEXT, "h2o_socket_write");
    void *close = dlsym(RTLD_NEXT, "h2o_socket_close");
    ASSERT(write != NULL); /* the program was linked with it */
    ASSERT(close != NULL);
    memcpy(&http_seal_library.write, &write, sizeof write);
    memcpy(&http_seal_library.close, &close, sizeof close);
}

static void http_seal_init(void)
{
    (void)pthread_once(&http_seal_once, http_seal_find); /* fails for a bad argument only */
}

static void http_seal_find_ours(void)
{
    http_seal_is_ours = http__seal_probe();
    if (!http_seal_is_ours)
        log_info("TLS: libh2o does not call our functions; OpenSSL seals what is sent");
}

/* --- the handshake ---------------------------------------------------------------------------- */

/* NULL: not a connection of a server's. */
static struct http_conn *http_seal_conn(const SSL *ssl)
{
    BIO *bio = SSL_get_rbio(ssl);
    if (bio == NULL || strcmp(BIO_method_name(bio), "h2o_socket") != 0)
        return NULL;
    return http__conn_of_socket(BIO_get_data(bio));
}

/* A line of a key log: a label, the client's random, the secret, in hex. */
static void http_seal_on_secret(const SSL *ssl, const char *line)
{
    struct str rest = str_of(line);
    struct str label = str_cut(rest, ' ', &rest);
    if (!str_eq(label, STR("SERVER_TRAFFIC_SECRET_0")))
        return;
    (void)str_cut(rest, ' ', &rest);
    struct http_conn *c = http_seal_conn(ssl);
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    uint8_t secret[EVP_MAX_MD_SIZE];
    size_t size = rest.size / 2;
    if (c == NULL || c->seal != NULL || cipher == NULL || size > sizeof secret ||
        enc_unhex(rest, secret, size) < 0)
        return;
    struct http_seal *s = calloc(1, sizeof *s);
    if (s != NULL &&
        tls_seal_new(SSL_CIPHER_get_protocol_id(cipher), secret, size, &s->keys) == 0) {
        s->ssl = (SSL *)(uintptr_t)ssl; /* it is given to us as one to look at */
        c->seal = s;
    } else {
        free(s); /* the library's way, then */
    }
    OPENSSL_cleanse(secret, sizeof secret);
}

/* What is here already is not read any more: it may be megabytes of the same. */
static void http_seal_end_flood(struct http_conn *c, const SSL *ssl)
{
    char away[1024];
    BIO *bio = SSL_get_rbio(ssl);
    http__conn_cut_for(c, HTTP_CUT_KEYS);
    while (BIO_read(bio, away, sizeof away) > 0)
        ;
}

static void http_seal_on_message(int is_write, int version, int type, const void *data, size_t size,
                                 SSL *ssl, void *arg)
{
    (void)version, (void)arg;
    struct http_conn *c = http_seal_conn(ssl);
    if (c == NULL)
        return;
    struct http_seal *s = c->seal;
    const uint8_t *bytes = data;
    if (is_write && type == SSL3_RT_HEADER && s != NULL && !s->is_on)
        tls_seal_skip(s->keys);
    if (is_write || type != SSL3_RT_HANDSHAKE || size != HTTP_SEAL_UPDATE_SIZE ||
        bytes[0] != SSL3_MT_KEY_UPDATE)
        return;
    if (s != NULL && bytes[size - 1] == SSL_KEY_UPDATE_REQUESTED)
        tls_seal_ask_update(s->keys); /* before the next record: RFC 8446 section 4.6.3 */
    if (http_flood_key(&c->flood, clock_mono_ms()))
        http_seal_end_flood(c, ssl);
}

void http__seal_attach(SSL_CTX *ctx)
{
    SSL_CTX_set_msg_callback(ctx, http_seal_on_message);
    if (tls_lib_get()->gcm == NULL)
        return;
    (void)pthread_once(&http_seal_ours_once, http_seal_find_ours); /* as above */
    if (http_seal_is_ours)
        SSL_CTX_set_keylog_callback(ctx, http_seal_on_secret);
}

void http__seal_start(struct http_conn *c)
{
    struct http_seal *s = c->seal;
    struct http_worker *w = c->worker;
    if (s == NULL)
        return;
    if (w->seal_buffer == NULL)
        w->seal_buffer = malloc(HTTP_SEAL_BUFFER);
    if (w->seal_sink == NULL)
        w->seal_sink = BIO_new(BIO_s_null());
    if (w->seal_buffer == NULL || w->seal_sink == NULL || BIO_up_ref(w->seal_sink) != 1) {
        http__seal_free(c);
        return;
    }
    SSL_set0_wbio(s->ssl, w->seal_sink);
    SSL_set_quiet_shutdown(s->ssl, 1);
    s->is_on = true;
}

void http__seal_free(struct http_conn *c)
{
    struct http_seal *s = c->seal;
    c->seal = NULL;
    if (s == NULL)
        return;
    (void)tls_seal_free(s->keys);
    free(s->rest);
    free(s);
}

void http__seal_end(struct http_worker *w)
{
    free(w->seal_buffer);
    w->seal_buffer = NULL;
    (void)BIO_free(w->seal_sink); /* takes NULL */
    w->seal_sink = NULL;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* What the library would do with a connection in clear. */
static void http_seal_pass(h2o_socket_t *sock, h2o_iovec_t *bufs, size_t count, h2o_socket_cb cb)
{
    struct st_h2o_socket_ssl_t *ssl = sock->ssl;
    size_t written = sock->bytes_written;
    sock->ssl = NULL;
    http_seal_library.write(sock, bufs, count, cb);
    sock->ssl = ssl;
    sock->bytes_written = written;
}

/* How much the next record takes. The library measures packets where the way is long. */
static size_t http_seal_record_size(const struct http_conn *c)
{
    const h2o_socket_t *sock = c->sock;
    unsigned state = sock->_latency_optimization.state;
    if (state == H2O_SOCKET_LATENCY_OPTIMIZATION_STATE_DETERMINED ||
        state == H2O_SOCKET_LATENCY_OPTIMIZATION_STATE_NEEDS_UPDATE)
        return MIN(MAX(sock->_latency_optimization.suggested_tls_payload_size, 512u),
                   (unsigned)TLS_RECORD_SIZE_MAX);
    return c->seal->small_left > 0 ? HTTP_SEAL_SMALL : TLS_RECORD_SIZE_MAX;
}

/* Seals as much of the text as there is room for. */
static int http_seal_fill(struct http_conn *c, struct tls_text *text, size_t *left, uint8_t *out,
                          size_t out_size, size_t *ret_size)
{
    struct http_seal *s = c->seal;
    size_t at = 0;
    while (*left > 0) {
        size_t size = MIN(*left, http_seal_record_size(c));
        bool is_due = tls_seal_is_due(s->keys);
        if (out_size - at < size + TLS_RECORD_EXTRA + (is_due ? TLS_UPDATE_SIZE : 0))
            break;
        int r = is_due ? tls_seal_update(s->keys, out + at) : 0;
        if (is_due)
            at += TLS_UPDATE_SIZE;
        if (r == 0)
            r = tls_seal_record(s->keys, TLS_DATA, text, size, out + at);
        if (r < 0)
            return r;
        at += size + TLS_RECORD_EXTRA;
        *left -= size;
        s->small_left -= MIN(s->small_left, (uint32_t)size);
    }
    *ret_size = at;
    return 0;
}

static void http_seal_on_rest(h2o_socket_t *sock, const char *error)
{
    struct http_seal *s = http__conn_of_socket(sock)->seal;
    free(s->rest);
    s->rest = NULL;
    s->cb(sock, error);
}

/* The kernel has enough for now: the library sends the rest when it may. */
static int http_seal_keep(struct http_conn *c, const uint8_t *sealed, size_t sealed_size,
                          struct tls_text *text, size_t left, h2o_socket_cb cb)
{
    struct http_seal *s = c->seal;
    size_t records = left / http_seal_record_size(c) + 2; /* small ones come first */
    size_t room = sealed_size + left + records * TLS_RECORD_EXTRA + TLS_UPDATE_SIZE;
    size_t more = 0;
    uint8_t *rest = malloc(room);
    if (rest == NULL)
        return -ENOMEM;
    memcpy(rest, sealed, sealed_size);
    int r = http_seal_fill(c, text, &left, rest + sealed_size, room - sealed_size, &more);
    if (r < 0) {
        free(rest);
        return r;
    }
    ASSERT(left == 0);
    s->rest = rest;
    s->cb = cb;
    h2o_iovec_t one = h2o_iovec_init(rest, sealed_size + more);
    http_seal_pass(c->sock, &one, 1, http_seal_on_rest);
    return 0;
}

static int http_seal_send(struct http_conn *c, struct tls_text *text, size_t left, h2o_socket_cb cb)
{
    uint8_t *buffer = c->worker->seal_buffer;
    bool has_more = c->h2 != NULL && http__h2_has_more(c);
    while (left > 0) {
        size_t size;
        int r = http_seal_fill(c, text, &left, buffer, HTTP_SEAL_BUFFER, &size);
        if (r < 0)
            return r;
        int more = left > 0 || has_more ? MSG_MORE : 0; /* a packet that is not full may wait */
        ssize_t sent =
            send(h2o_socket_get_fd(c->sock), buffer, size, MSG_DONTWAIT | MSG_NOSIGNAL | more);
        size_t done = sent > 0 ? (size_t)sent : 0; /* the library meets the error, too */
        if (done < size)
            return http_seal_keep(c, buffer + done, size - done, text, left, cb);
    }
    http_seal_pass(c->sock, NULL, 0, cb);
    return 0;
}

static void http_seal_write(struct http_conn *c, h2o_iovec_t *bufs, size_t count, h2o_socket_cb cb)
{
    struct http_seal *s = c->seal;
    h2o_socket_t *sock = c->sock;
    _Static_assert(sizeof *bufs == sizeof(struct iovec), "the library's is the system's");
    struct tls_text text = {.pieces = (const struct iovec *)(const void *)bufs};
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += bufs[i].len;
    sock->bytes_written += size;
    if (sock->_latency_optimization.state == H2O_SOCKET_LATENCY_OPTIMIZATION_STATE_DETERMINED)
        sock->_latency_optimization.state = H2O_SOCKET_LATENCY_OPTIMIZATION_STATE_NEEDS_UPDATE;
    uint64_t now_ms = clock_mono_ms();
    if (now_ms - s->last_ms >= HTTP_SEAL_REST_MS)
        s->small_left = HTTP_SEAL_SMALL_SUM;
    s->last_ms = now_ms;
    if (http_seal_send(c, &text, size, cb) == 0)
        return;
    /* Without what was to come the connection cannot go on: the library finds it broken. */
    h2o_iovec_t none = h2o_iovec_init(H2O_STRLIT(" "));
    (void)shutdown(h2o_socket_get_fd(sock), SHUT_RDWR);
    http_seal_pass(sock, &none, 1, cb);
}

/* --- in the library's place ------------------------------------------------------------------- */

void h2o_socket_write(h2o_socket_t *sock, h2o_iovec_t *bufs, size_t count, h2o_socket_cb cb)
{
    struct http_conn *c = sock->ssl != NULL ? http__conn_of_socket(sock) : NULL;
    if (c != NULL && c->seal != NULL && c->seal->is_on) {
        http_seal_write(c, bufs, count, cb);
        return;
    }
    http_seal_init();
    http__seal_probe_written(sock);
    http_seal_library.write(sock, bufs, count, cb);
}

static void http_seal_on_bye(h2o_socket_t *sock, const char *error)
{
    (void)error; /* said or not: it ends */
    http_seal_library.close(sock);
}

/* close_notify. True: the kernel has no room for it yet; the socket is closed once it has. */
static bool http_seal_bye(struct http_conn *c)
{
    static const char notify[] = {1, 0}; /* warning, close_notify: RFC 8446 section 6.1 */
    const struct iovec piece = {(char *)(uintptr_t)notify, sizeof notify};
    struct tls_text text = {.pieces = &piece};
    struct http_seal *s = c->seal;
    if (tls_seal_record(s->keys, TLS_ALERT, &text, sizeof notify, s->bye) < 0)
        return false;
    ssize_t sent =
        send(h2o_socket_get_fd(c->sock), s->bye, sizeof s->bye, MSG_DONTWAIT | MSG_NOSIGNAL);
    size_t done = sent > 0 ? (size_t)sent : 0;
    if (done == sizeof s->bye || (sent < 0 && errno != EAGAIN))
        return false;
    h2o_socket_read_stop(c->sock);
    h2o_iovec_t left = h2o_iovec_init(s->bye + done, sizeof s->bye - done);
    http_seal_pass(c->sock, &left, 1, http_seal_on_bye);
    return true;
}

void h2o_socket_close(h2o_socket_t *sock)
{
    struct http_conn *c = sock->ssl != NULL ? http__conn_of_socket(sock) : NULL;
    http_seal_init();
    http__seal_probe_closed(sock);
    if (c != NULL)
        http__conn_closing(c);
    if (c != NULL && c->seal != NULL && c->seal->is_on && !h2o_socket_is_writing(sock) &&
        http_seal_bye(c))
        return;
    http_seal_library.close(sock);
}
