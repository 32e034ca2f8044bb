/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates by name, tickets over servers and periods, and OCSP answers: real handshakes against
 * OpenSSL's client. The clock is ours. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/ocsp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "http/tls_set.h"
#include "tls_util.h"

#define PERIOD TLS_TICKET_PERIOD

static int64_t clock_ahead;

int64_t __real_clock_real_s(void);
int64_t __wrap_clock_real_s(void);
int64_t __wrap_clock_real_s(void)
{
    return __real_clock_real_s() + clock_ahead;
}

static char folder[] = "/tmp/weir-tls-XXXXXX";
static struct tls_pair ca, pairs[5];
static struct tls_cert_files files[5];

static char *path(const char *name, unsigned i, const char *end)
{
    char *p = NULL;
    assert_true(asprintf(&p, "%s/%s%u%s", folder, name, i, end) > 0);
    return p;
}

static int setup(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *names;
    } rows[] = {
        {"EC", "DNS:first.test"},
        {"EC", "DNS:Video.test,DNS:*.video.test"},
        {"RSA", "DNS:video.test,IP:127.0.0.1"},
        {"RSA", "DNS:*.old.test"},
        {"EC", "DNS:new.old.test"},
    };
    assert_non_null(mkdtemp(folder));
    ca = tls_cert("EC", NULL, NULL);
    for (unsigned i = 0; i < 5; i++) {
        pairs[i] = tls_cert(rows[i].kind, &ca, rows[i].names);
        files[i] = (struct tls_cert_files){path("c", i, ".pem"), path("k", i, ".pem"), NULL};
        tls_write(&pairs[i], &ca, files[i].cert, files[i].key);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        tls_pair_free(&pairs[i]);
        free((void *)(uintptr_t)files[i].cert);
        free((void *)(uintptr_t)files[i].key);
    }
    tls_pair_free(&ca);
    return file_remove_all(folder);
}

static struct tls_tickets *tickets_new(const char *file)
{
    struct err err = {{0}};
    struct tls_tickets *t = NULL;
    if (tls_tickets_new(file, &err, &t) < 0)
        fail_msg("%s", err.text);
    return t;
}

static struct tls_set *set_new(const struct tls_cert_files *all, unsigned count,
                               const char *tickets)
{
    struct err err = {{0}};
    struct tls_set *s = NULL;
    struct tls_tickets *t = tickets_new(tickets);
    if (tls_set_new(all, count, t, &err, &s) < 0)
        fail_msg("%s", err.text);
    (void)tls_tickets_unref(t);
    return s;
}

static SSL_CTX *client_new(int version)
{
    SSL_CTX *c = SSL_CTX_new(TLS_client_method());
    assert_int_equal(SSL_CTX_set_min_proto_version(c, version), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(c, version), 1);
    X509_STORE *store = SSL_CTX_get_cert_store(c);
    assert_int_equal(X509_STORE_add_cert(store, ca.cert), 1);
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
    return c;
}

/* --- names ------------------------------------------------------------------------------------ */

/* Which of pairs[] a client is shown; sigalgs NULL: any kind of key. */
static int shown(const struct tls_set *s, int version, const char *name, const char *sigalgs)
{
    SSL_CTX *client = client_new(version);
    struct link l = link_open(client, tls_set_default(s));
    if (name != NULL)
        assert_int_equal(SSL_set_tlsext_host_name(l.client, name), 1);
    if (sigalgs != NULL)
        assert_int_equal(SSL_set1_sigalgs_list(l.client, sigalgs), 1);
    int which = -1;
    if (link_shake(&l)) {
        X509 *cert = SSL_get0_peer_certificate(l.client);
        for (int i = 0; i < 5; i++)
            if (X509_cmp(cert, pairs[i].cert) == 0)
                which = i;
    }
    link_close(&l);
    SSL_CTX_free(client);
    return which;
}

static void names_choose_the_certificate(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int any, rsa; /* with a client that knows RSA only; -1: no handshake */
    } rows[] = {
        {NULL, 0, -1},           {"first.test", 0, -1},     {"nobody.test", 0, -1},
        {"video.test", 1, 2},    {"VIDEO.Test", 1, 2},      {"video.test.", 1, 2},
        {"a.video.test", 1, -1}, {"a.b.video.test", 0, -1}, /* a wildcard stands for one label */
        {"127.0.0.1", 0, -1},                               /* no name */
        {"x.old.test", 3, 3},    {"new.old.test", 4, 3},    /* exact, and wild of another kind */
        {"old.test", 0, -1},
    };
    struct tls_set *s = set_new(files, 5, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
            const char *any = rows[i].any == 3 ? NULL : "ECDSA+SHA256:RSA-PSS+SHA256:RSA+SHA256";
            if (shown(s, version, rows[i].name, any) != rows[i].any ||
                shown(s, version, rows[i].name, "RSA-PSS+SHA256:RSA+SHA256") != rows[i].rsa)
                fail_msg("%s", rows[i].name != NULL ? rows[i].name : "(none)");
        }
    }
    ERR_clear_error();
    (void)tls_set_free(s);
}

static void odd_names_find_nothing(void **state)
{
    (void)state;
    struct tls_set *s = set_new(files, 5, NULL);
    char text[400];
    memset(text, 'a', sizeof text);
    for (size_t size = 0; size < sizeof text; size++) {
        text[size] = '\0';
        assert_null(tls_set_find(s, text));
        text[size] = 'a';
    }
    static const char *const odd[] = {".", "..", ".video.test", "*", "*.", "-.video", "a.", ".a"};
    for (size_t i = 0; i < ARRAY_LEN(odd); i++)
        assert_null(tls_set_find(s, odd[i]));
    assert_non_null(tls_set_find(s, "*.video.test")); /* asked so it is only a label */
    (void)tls_set_free(s);
}

static void wrong_files_are_told(void **state)
{
    (void)state;
    char *junk = path("junk", 0, ".pem");
    assert_int_equal(file_write(junk, STR("-----BEGIN CERTIFICATE-----\nAAAA\n"), 0600), 0);
    const struct {
        const char *cert, *key;
        int code;
        const char *text;
    } rows[] = {
        {"/nonexistent/c.pem", files[0].key, -ENOENT, "/nonexistent/c.pem"},
        {files[0].cert, "/nonexistent/k.pem", -ENOENT, "/nonexistent/k.pem"},
        {junk, files[0].key, -EINVAL, junk},
        {files[0].cert, junk, -EINVAL, junk},
        {files[0].cert, files[1].key, -EINVAL, "does not belong"},
        {files[0].key, files[0].key, -EINVAL, files[0].key},
    };
    struct tls_tickets *t = tickets_new(NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_cert_files f = {rows[i].cert, rows[i].key, NULL};
        struct err err = {{0}};
        struct tls_set *s = NULL;
        assert_int_equal(tls_set_new(&f, 1, t, &err, &s), rows[i].code);
        assert_null(s);
        assert_non_null(strstr(err.text, rows[i].text));
    }
    (void)tls_tickets_unref(t);
    free(junk);
}

/* --- tickets ---------------------------------------------------------------------------------- */

static SSL_SESSION *kept; /* the newest session that the client was given */

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(kept);
    kept = session;
    return 1;
}

/* One connection, with the kept session if there is one: whether it was resumed. */
static bool resumed(const struct tls_set *s, int version)
{
    SSL_CTX *client = client_new(version);
    (void)SSL_CTX_set_session_cache_mode(client,
                                         SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client, on_session);
    struct link l = link_open(client, tls_set_default(s));
    assert_int_equal(SSL_set_tlsext_host_name(l.client, "video.test"), 1);
    if (kept != NULL)
        assert_int_equal(SSL_set_session(l.client, kept), 1);
    assert_true(link_shake(&l));
    char byte;
    assert_int_equal(SSL_write(l.server, "x", 1), 1);
    assert_int_equal(SSL_read(l.client, &byte, 1), 1); /* tickets of TLS 1.3 come before it */
    bool yes = SSL_session_reused(l.server) == 1;
    assert_int_equal(SSL_session_reused(l.client), yes);
    if (version == TLS1_2_VERSION) { /* the callback does not tell of a replaced ticket */
        SSL_SESSION_free(kept);
        kept = SSL_get1_session(l.client);
    }
    (void)SSL_shutdown(l.client); /* else the session counts as broken */
    link_close(&l);
    SSL_CTX_free(client);
    return yes;
}

static void forget(void)
{
    SSL_SESSION_free(kept);
    kept = NULL;
}

static char *secrets(unsigned n, const char *text)
{
    char *file = path("tickets", n, "");
    assert_int_equal(file_write(file, str_of(text), 0600), 0);
    return file;
}

#define SECRET_A "first secret, as long as it has to be\n"
#define SECRET_B "second secret, as long as it has to be\n"

static void tickets_are_good_for_all_who_share_the_file(void **state)
{
    (void)state;
    char *both = secrets(0, "\n" SECRET_B "  \n" SECRET_A);
    char *only_a = secrets(1, SECRET_A);
    char *only_b = secrets(2, "second secret, as long as it has to be"); /* no newline */
    struct tls_set *a = set_new(files, 5, only_a);
    struct tls_set *a_too = set_new(files + 1, 2, only_a); /* and other certificates */
    struct tls_set *b = set_new(files, 5, only_b);
    struct tls_set *ab = set_new(files, 5, both);
    struct tls_set *alone = set_new(files, 5, NULL);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        forget();
        assert_false(resumed(a, version));
        assert_true(resumed(a, version));
        assert_true(resumed(a_too, version));
        assert_false(resumed(alone, version));
        assert_true(resumed(alone, version));
        forget();
        assert_false(resumed(a, version));
        assert_false(resumed(b, version));
        assert_false(resumed(a, version));
        assert_true(resumed(ab, version)); /* it knows both, and makes B's */
        assert_true(resumed(b, version));
    }
    forget();
    (void)tls_set_free(a);
    (void)tls_set_free(a_too);
    (void)tls_set_free(b);
    (void)tls_set_free(ab);
    (void)tls_set_free(alone);
    free(both);
    free(only_a);
    free(only_b);
}

static void keys_change_with_the_period(void **state)
{
    (void)state;
    char *file = secrets(3, SECRET_A);
    const char *kinds[] = {file, NULL};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct tls_set *s = set_new(files, 5, kinds[i]);
        /* The middle of a period. */
        clock_ahead = 0;
        clock_ahead = PERIOD - clock_real_s() % PERIOD + PERIOD / 2;
        int64_t start = clock_ahead;
        forget();
        assert_false(resumed(s, TLS1_2_VERSION));
        clock_ahead = start + PERIOD; /* the next period: accepted, and replaced */
        assert_true(resumed(s, TLS1_2_VERSION));
        clock_ahead = start + 2 * PERIOD; /* so this one is of the period before again */
        assert_true(resumed(s, TLS1_2_VERSION));
        clock_ahead = start + 4 * PERIOD;
        assert_false(resumed(s, TLS1_2_VERSION));
        if (kinds[i] != NULL) { /* another server's clock runs ahead of ours */
            assert_true(resumed(s, TLS1_2_VERSION));
            clock_ahead -= PERIOD;
            assert_true(resumed(s, TLS1_2_VERSION));
            clock_ahead -= 2 * PERIOD;
            assert_false(resumed(s, TLS1_2_VERSION));
        }
        (void)tls_set_free(s);
    }
    forget();
    clock_ahead = 0;
    free(file);
}

static void bad_ticket_files_are_told(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "\n\n", "short\n", SECRET_A "short\n",
                                        SECRET_A SECRET_A SECRET_A SECRET_A SECRET_A};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        char *file = secrets(4, texts[i]);
        struct tls_tickets *t = NULL;
        struct err err = {{0}};
        assert_int_equal(tls_tickets_new(file, &err, &t), -EINVAL);
        assert_non_null(strstr(err.text, file));
        assert_null(strstr(err.text, "first secret"));
        free(file);
    }
    struct tls_tickets *t = NULL;
    assert_int_equal(tls_tickets_new("/nonexistent/t", NULL, &t), -ENOENT);
}

/* --- OCSP ------------------------------------------------------------------------------------- */

struct answer {
    int status;
    int64_t from, until; /* relative to now; until 0: none */
    const struct tls_pair *of, *signer;
};

static struct buf answer_make(const struct answer *a)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), a->of->cert, ca.cert);
    time_t now = time(NULL);
    ASN1_TIME *from = ASN1_TIME_adj(NULL, now, 0, (long)a->from);
    ASN1_TIME *until = a->until != 0 ? ASN1_TIME_adj(NULL, now, 0, (long)a->until) : NULL;
    ASN1_TIME *gone = ASN1_TIME_adj(NULL, now, 0, -1000);
    bool revoked = a->status == V_OCSP_CERTSTATUS_REVOKED;
    assert_non_null(
        OCSP_basic_add1_status(basic, id, a->status, 0, revoked ? gone : NULL, from, until));
    assert_int_equal(OCSP_basic_sign(basic, a->signer->cert, a->signer->key, EVP_sha256(), NULL, 0),
                     1);
    OCSP_RESPONSE *r = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    unsigned char *der = NULL;
    int size = i2d_OCSP_RESPONSE(r, &der);
    assert_true(size > 0);
    struct buf out = BUF_EMPTY;
    buf_put(&out, der, (size_t)size);
    OPENSSL_free(der);
    OCSP_RESPONSE_free(r);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    ASN1_TIME_free(gone);
    return out;
}

/* What a client that asks for it is given: its size, 0 for nothing. */
static size_t stapled(const struct tls_set *s, int version, const char *name, struct buf *want)
{
    SSL_CTX *client = client_new(version);
    struct link l = link_open(client, tls_set_default(s));
    assert_int_equal(SSL_set_tlsext_host_name(l.client, name), 1);
    assert_int_equal(SSL_set_tlsext_status_type(l.client, TLSEXT_STATUSTYPE_ocsp), 1);
    assert_true(link_shake(&l));
    const unsigned char *der = NULL;
    long size = SSL_get_tlsext_status_ocsp_resp(l.client, &der);
    if (size > 0 && want != NULL) {
        assert_int_equal(size, want->size);
        assert_memory_equal(der, want->data, want->size);
    }
    link_close(&l);
    SSL_CTX_free(client);
    return size > 0 ? (size_t)size : 0;
}

static void good_answers_are_stapled_while_they_are_valid(void **state)
{
    (void)state;
    struct tls_set *s = set_new(files, 5, NULL);
    struct answer a = {V_OCSP_CERTSTATUS_GOOD, -60, 3600, &pairs[1], &ca};
    CLEAN_BUF struct buf der = answer_make(&a);
    assert_int_equal(stapled(s, TLS1_3_VERSION, "video.test", NULL), 0);
    assert_int_equal(tls_cert_set_ocsp(tls_set_cert(s, 1), buf_str(&der), NULL), 0);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        assert_int_equal(stapled(s, version, "video.test", &der), der.size);
        assert_int_equal(stapled(s, version, "first.test", NULL), 0); /* another's */
    }
    clock_ahead = 3599 - 60;
    assert_int_equal(stapled(s, TLS1_3_VERSION, "video.test", &der), der.size);
    clock_ahead = 3601;
    assert_int_equal(stapled(s, TLS1_3_VERSION, "video.test", NULL), 0);
    clock_ahead = 0;
    struct tls_set *next = set_new(files, 2, NULL); /* a reload keeps it */
    tls_set_take_ocsp(next, s);
    (void)tls_set_free(s);
    assert_int_equal(stapled(next, TLS1_3_VERSION, "video.test", &der), der.size);
    assert_int_equal(stapled(next, TLS1_3_VERSION, "first.test", NULL), 0);
    (void)tls_set_free(next);
}

static void other_answers_are_refused(void **state)
{
    (void)state;
    struct tls_pair stranger = tls_cert("EC", NULL, NULL);
    const struct {
        struct answer a;
        const char *text;
    } rows[] = {
        {{V_OCSP_CERTSTATUS_REVOKED, -60, 3600, &pairs[1], &ca}, "revoked"},
        {{V_OCSP_CERTSTATUS_UNKNOWN, -60, 3600, &pairs[1], &ca}, "does not know"},
        {{V_OCSP_CERTSTATUS_GOOD, -7200, -60, &pairs[1], &ca}, "not valid any more"},
        {{V_OCSP_CERTSTATUS_GOOD, 3600, 7200, &pairs[1], &ca}, "not valid yet"},
        {{V_OCSP_CERTSTATUS_GOOD, -60, 3600, &pairs[0], &ca}, "another certificate"},
        {{V_OCSP_CERTSTATUS_GOOD, -60, 3600, &pairs[1], &stranger}, "signature"},
        {{V_OCSP_CERTSTATUS_GOOD, -60, 3600, &pairs[1], &pairs[0]}, "signature"},
    };
    struct tls_set *s = set_new(files, 5, NULL);
    struct tls_cert *c = tls_set_cert(s, 1);
    struct err err = {{0}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEAN_BUF struct buf der = answer_make(&rows[i].a);
        assert_int_equal(tls_cert_set_ocsp(c, buf_str(&der), &err), -EINVAL);
        if (strstr(err.text, rows[i].text) == NULL)
            fail_msg("%s", err.text);
        assert_int_equal(stapled(s, TLS1_3_VERSION, "video.test", NULL), 0);
    }
    struct answer good = {V_OCSP_CERTSTATUS_GOOD, -60, 3600, &pairs[1], &ca};
    CLEAN_BUF struct buf der = answer_make(&good);
    for (size_t size = 0; size < der.size; size++) /* cut anywhere */
        assert_int_equal(tls_cert_set_ocsp(c, (struct str){der.data, size}, &err), -EINVAL);
    buf_putc(&der, 'x');
    assert_int_equal(tls_cert_set_ocsp(c, buf_str(&der), &err), -EINVAL);
    OCSP_RESPONSE *busy = OCSP_response_create(OCSP_RESPONSE_STATUS_TRYLATER, NULL);
    unsigned char *bytes = NULL;
    int size = i2d_OCSP_RESPONSE(busy, &bytes);
    assert_int_equal(tls_cert_set_ocsp(c, (struct str){(char *)bytes, (size_t)size}, &err),
                     -EINVAL);
    assert_non_null(strstr(err.text, "not answered"));
    OPENSSL_free(bytes);
    OCSP_RESPONSE_free(busy);
    (void)tls_set_free(s);
    tls_pair_free(&stranger);
}

static void touch(const char *file, int64_t mtime)
{
    const struct timespec times[2] = {{.tv_sec = mtime}, {.tv_sec = mtime}};
    assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);
}

static void a_changed_file_is_read_again(void **state)
{
    (void)state;
    char *file = path("ocsp", 0, ".der");
    struct tls_cert_files f = files[1];
    f.ocsp = file;
    struct tls_set *s = set_new(&f, 1, NULL); /* the file is not there yet */
    assert_int_equal(stapled(s, TLS1_3_VERSION, "video.test", NULL), 0);
    struct answer a = {V_OCSP_CERTSTATUS_GOOD, -60, 3600, &pairs[1], &ca};
    CLEAN_BUF struct buf first = answer_make(&a);
    assert_int_equal(file_write(file, buf_str(&first), 0600), 0);
    touch(file, 1000);
    tls_set_refresh(s);
    assert_int_equal(stapled(s, TLS1_3_VERSION, "video.test", &first), first.size);
    a.until = 7200;
    CLEAN_BUF struct buf second = answer_make(&a);
    assert_int_equal(file_write(file, buf_str(&second), 0600), 0);
    touch(file, 2000);
    tls_set_refresh(s);
    assert_int_equal(stapled(s, TLS1_3_VERSION, "video.test", &second), second.size);
    assert_int_equal(file_write(file, STR("junk"), 0600), 0); /* the last good one stays */
    touch(file, 3000);
    tls_set_refresh(s);
    assert_int_equal(stapled(s, TLS1_3_VERSION, "video.test", &second), second.size);
    assert_int_equal(unlink(file), 0);
    tls_set_refresh(s);
    assert_int_equal(stapled(s, TLS1_3_VERSION, "video.test", &second), second.size);
    (void)tls_set_free(s);
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_choose_the_certificate),
        cmocka_unit_test(odd_names_find_nothing),
        cmocka_unit_test(wrong_files_are_told),
        cmocka_unit_test(tickets_are_good_for_all_who_share_the_file),
        cmocka_unit_test(keys_change_with_the_period),
        cmocka_unit_test(bad_ticket_files_are_told),
        cmocka_unit_test(good_answers_are_stapled_while_they_are_valid),
        cmocka_unit_test(other_answers_are_refused),
        cmocka_unit_test(a_changed_file_is_read_again),
    };
    return cmocka_run_group_tests_name("tls_set", tests, setup, teardown);
}
