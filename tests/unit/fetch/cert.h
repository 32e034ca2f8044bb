/* SPDX-License-Identifier: Apache-2.0 */
/* cert: a certificate for a server on this host, made for the test.
 *
 * Life:    cert_make once a folder.
 * Owner:   the test.
 * Threads: one.
 * Errors:  a failure fails the test.
 * Units:   none. */
#pragma once
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include "../unit.h"
#include "base/id.h"

static inline void cert_add(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(cert, e, -1), 1);
    X509_EXTENSION_free(e);
}

/* Self-signed for localhost, 127.0.0.1 and ::1, valid for an hour. */
static inline void cert_make(const char *cert_file, const char *key_file)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(key);
    X509 *cert = X509_new();
    assert_int_equal(X509_set_version(cert, 2), 1);
    uint32_t serial;
    id_random(&serial, sizeof serial);
    assert_int_equal(ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    (void)X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    assert_int_equal(X509_set_pubkey(cert, key), 1);
    X509_NAME *name = X509_get_subject_name(cert);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                (const unsigned char *)"localhost", -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(cert, name), 1);
    cert_add(cert, NID_basic_constraints, "critical,CA:TRUE");
    cert_add(cert, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1");
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    FILE *f = fopen(cert_file, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, cert), 1);
    assert_int_equal(fclose(f), 0);
    f = fopen(key_file, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
    X509_free(cert);
    EVP_PKEY_free(key);
}
