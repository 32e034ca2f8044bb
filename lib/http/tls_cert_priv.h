/* SPDX-License-Identifier: Apache-2.0 */
/* tls_cert_priv: what tls_cert.c and tls_ocsp.c share.
 *
 * Life:    of struct tls_cert.
 * Owner:   tls_cert.c.
 * Threads: see the members.
 * Errors:  none.
 * Units:   seconds since 1970. */
#pragma once
#include <openssl/ocsp.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <sys/stat.h>
#include "http/tls_cert.h"

struct tls_cert {
    uint32_t magic;
#define TLS_CERT_MAGIC UINT32_C(0x1f64d2b5)
    X509 *leaf;
    STACK_OF(X509) * chain; /* behind the leaf */
    EVP_PKEY *key;
    char **names;
    unsigned names_count;
    char *cert_file, *ocsp_file;
    pthread_mutex_t lock; /* of what follows */
    uint8_t *ocsp;        /* NULL: none */
    size_t ocsp_size;
    int64_t ocsp_from_s, ocsp_until_s;
    struct timespec ocsp_mtime; /* of the file as last read */
    off_t ocsp_file_size;
};

static inline void tls__cert_check(const struct tls_cert *c)
{
    ASSERT(c != NULL);
    ASSERT(c->magic == TLS_CERT_MAGIC);
}
