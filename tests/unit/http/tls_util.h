/* SPDX-License-Identifier: Apache-2.0 */
/* tls_util: certificates made for a test, and two ends of TLS joined in memory.
 *
 * Life:    tls_ca_make -> tls_cert_make* -> files; link_open -> link_shake -> link_close.
 * Owner:   the test.
 * Threads: the test's.
 * Errors:  a failed call fails the test, unless it says otherwise.
 * Units:   bytes. */
#pragma once
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include "../unit.h"
#include "base/id.h"

struct tls_pair {
    X509 *cert;
    EVP_PKEY *key;
};

static inline void tls_add(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(cert, e, -1), 1);
    X509_EXTENSION_free(e);
}

/* kind: "EC" or "RSA"; ca NULL: self-signed, and a CA; names: as "DNS:a.test,DNS:*.b.test". */
static inline struct tls_pair tls_cert(const char *kind, const struct tls_pair *ca,
                                       const char *names)
{
    struct tls_pair p = {.cert = X509_new()};
    p.key = strcmp(kind, "RSA") == 0 ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    assert_non_null(p.key);
    assert_int_equal(X509_set_version(p.cert, 2), 1);
    uint32_t serial;
    id_random(&serial, sizeof serial);
    assert_int_equal(ASN1_INTEGER_set_uint64(X509_get_serialNumber(p.cert), serial), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(p.cert), -60);
    (void)X509_gmtime_adj(X509_getm_notAfter(p.cert), 3600);
    assert_int_equal(X509_set_pubkey(p.cert, p.key), 1);
    X509 *issuer = ca != NULL ? ca->cert : p.cert;
    X509_NAME *name = X509_get_subject_name(p.cert);
    const char *common = ca != NULL ? "leaf" : "root";
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                (const unsigned char *)common, -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(p.cert, X509_get_subject_name(issuer)), 1);
    tls_add(p.cert, issuer, NID_basic_constraints, ca == NULL ? "critical,CA:TRUE" : "CA:FALSE");
    if (names != NULL)
        tls_add(p.cert, issuer, NID_subject_alt_name, names);
    assert_true(X509_sign(p.cert, ca != NULL ? ca->key : p.key, EVP_sha256()) > 0);
    return p;
}

static inline void tls_pair_free(struct tls_pair *p)
{
    X509_free(p->cert);
    EVP_PKEY_free(p->key);
    *p = (struct tls_pair){NULL, NULL};
}

/* cert_file: the certificate, and its issuer's behind it unless ca is NULL. */
static inline void tls_write(const struct tls_pair *p, const struct tls_pair *ca,
                             const char *cert_file, const char *key_file)
{
    FILE *f = fopen(cert_file, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, p->cert), 1);
    if (ca != NULL)
        assert_int_equal(PEM_write_X509(f, ca->cert), 1);
    assert_int_equal(fclose(f), 0);
    f = fopen(key_file, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_PrivateKey(f, p->key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
}

/* --- two ends in memory ----------------------------------------------------------------------- */

struct link {
    SSL *client, *server;
    BIO *up, *down; /* client -> server, server -> client */
};

static inline struct link link_open(SSL_CTX *client, SSL_CTX *server)
{
    struct link l = {SSL_new(client), SSL_new(server), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem())};
    assert_true(l.client != NULL && l.server != NULL && l.up != NULL && l.down != NULL);
    (void)BIO_up_ref(l.up);
    (void)BIO_up_ref(l.down);
    SSL_set_bio(l.client, l.down, l.up);
    SSL_set_bio(l.server, l.up, l.down);
    SSL_set_connect_state(l.client);
    SSL_set_accept_state(l.server);
    return l;
}

static inline bool link_shake(struct link *l)
{
    for (int turn = 0; turn < 10; turn++) {
        int c = SSL_do_handshake(l->client);
        if (c != 1 && SSL_get_error(l->client, c) != SSL_ERROR_WANT_READ)
            return false;
        int s = SSL_do_handshake(l->server);
        if (s != 1 && SSL_get_error(l->server, s) != SSL_ERROR_WANT_READ)
            return false;
        if (c == 1 && s == 1)
            return true;
    }
    return false;
}

static inline void link_close(struct link *l)
{
    SSL_free(l->client);
    SSL_free(l->server);
}
