/* SPDX-License-Identifier: Apache-2.0 */
/* The provider under TLS, with OpenSSL's own AES-GCM at the other end: what one seals the other
 * must open, record for record. */
#include <errno.h>
#include <stdlib.h>
#include "http/gcm.h"
#include "tls_util.h"

static struct gcm_lib *lib;
static struct tls_pair pair;

static int setup(void **state)
{
    (void)state;
    pair = tls_cert("EC", NULL, "DNS:localhost");
    return gcm_lib_new(&lib);
}

static int teardown(void **state)
{
    (void)state;
    tls_pair_free(&pair);
    (void)gcm_lib_free(lib);
    return 0;
}

struct shape {
    int version;
    const char *cipher;
    bool ours_serves;
};

static const struct shape shapes[] = {
    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", true},
    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", false},
    {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", true},
    {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", false},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", true},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", false},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384", true},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384", false},
};

static SSL_CTX *end_new(bool serves, const struct shape *s)
{
    bool ours = serves == s->ours_serves;
    SSL_CTX *c = SSL_CTX_new_ex(ours ? lib->ctx : NULL, ours ? GCM_PROPERTIES : NULL,
                                serves ? TLS_server_method() : TLS_client_method());
    assert_non_null(c);
    assert_int_equal(SSL_CTX_set_min_proto_version(c, s->version), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(c, s->version), 1);
    if (s->version == TLS1_3_VERSION)
        assert_int_equal(SSL_CTX_set_ciphersuites(c, s->cipher), 1);
    else
        assert_int_equal(SSL_CTX_set_cipher_list(c, s->cipher), 1);
    if (serves) {
        assert_int_equal(SSL_CTX_use_certificate(c, pair.cert), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(c, pair.key), 1);
    }
    return c;
}

static struct link open_link(const struct shape *s)
{
    SSL_CTX *client = end_new(false, s);
    SSL_CTX *server = end_new(true, s);
    struct link l = link_open(client, server);
    SSL_CTX_free(client); /* the ends hold them */
    SSL_CTX_free(server);
    assert_true(link_shake(&l));
    assert_string_equal(SSL_get_cipher_name(l.server), s->cipher);
    return l;
}

static uint8_t out[70000], in[70000];

/* Writes of many sizes: below a record, one record, several. */
static void stream(SSL *from, SSL *to, unsigned seed)
{
    static const int sizes[] = {1,    2,    15,    16,    17,    100,   1300,
                                4096, 9000, 16383, 16384, 16385, 33000, 65536};
    for (size_t n = 0; n < sizeof sizes / sizeof sizes[0]; n++) {
        int size = sizes[n];
        for (int i = 0; i < size; i++)
            out[i] = (uint8_t)(seed = seed * 1103515245 + 12345, seed >> 16);
        assert_int_equal(SSL_write(from, out, size), size);
        for (int got = 0; got < size;) {
            int r = SSL_read(to, in + got, size - got);
            assert_true(r > 0);
            got += r;
        }
        assert_memory_equal(in, out, (size_t)size);
    }
}

static void test_bulk(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct link l = open_link(&shapes[i]);
        for (unsigned turn = 0; turn < 4; turn++) {
            stream(l.server, l.client, turn);
            stream(l.client, l.server, turn + 100);
            if (shapes[i].version == TLS1_3_VERSION) { /* new keys in the middle */
                assert_int_equal(SSL_key_update(l.server, SSL_KEY_UPDATE_REQUESTED), 1);
                assert_int_equal(SSL_key_update(l.client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
            }
        }
        link_close(&l);
    }
}

static void flip(BIO *b, size_t at)
{
    char *data = NULL;
    long size = BIO_get_mem_data(b, &data);
    assert_true((size_t)size > at);
    data[at] ^= 1;
}

/* One bit of a record changed on its way, at each place: nothing of it is given out. */
static void test_tampered_record(void **state)
{
    (void)state;
    enum { HEAD = 5, SIZE = 40, BODY = 8 + SIZE }; /* as far as both versions have bytes */
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        for (size_t at = HEAD; at < HEAD + BODY; at += 7) {
            struct link l = open_link(&shapes[i]);
            for (int r; (r = SSL_read(l.client, in, sizeof in)) > 0;) /* tickets */
                fail();
            bool up = at % 2 == 0;
            SSL *from = up ? l.client : l.server;
            SSL *to = up ? l.server : l.client;
            memset(out, 'x', SIZE);
            assert_int_equal(SSL_write(from, out, SIZE), SIZE);
            flip(up ? l.up : l.down, at);
            memset(in, 0, SIZE);
            assert_true(SSL_read(to, in, sizeof in) <= 0);
            assert_int_equal(SSL_get_error(to, -1), SSL_ERROR_SSL);
            assert_int_not_equal(in[0], 'x');
            ERR_clear_error();
            link_close(&l);
        }
    }
}

int main(void)
{
    struct gcm_lib *probe = NULL;
    if (gcm_lib_new(&probe) == -ENOTSUP)
        return 77; /* not built, or not for this processor */
    (void)gcm_lib_free(probe);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bulk),
        cmocka_unit_test(test_tampered_record),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
