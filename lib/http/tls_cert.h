/* SPDX-License-Identifier: Apache-2.0 */
/* tls_cert: one certificate with its chain, its key, and what its authority last said of it (OCSP).
 *
 * Life:    tls_cert_load -> tls_cert_use in contexts -> tls_cert_free, after them.
 * Owner:   its tls_set.
 * Threads: read-only once loaded, but for the OCSP answer, which any thread may set and take.
 * Errors:  err names the file; -EINVAL: not a certificate, key or answer, or they do not belong
 *          together; -errno of the file.
 * Units:   bytes, seconds.
 * Source:  RFC 5280, RFC 6125 (names), RFC 6960 (OCSP). */
#pragma once
#include <openssl/types.h>
#include "base/err.h"
#include "base/str.h"

#define TLS_FILE_MAX       (1 << 20) /* of a certificate with its chain, or a key */
#define TLS_OCSP_SIZE_MAX  (64 << 10)
#define TLS_OCSP_SKEW_S    300 /* by which the authority's clock may differ */
#define TLS_CERT_NAMES_MAX 1024

struct tls_cert_files {
    const char *cert, *key;
    const char *ocsp; /* NULL: none */
};

struct tls_cert;

MUST_USE int tls_cert_load(const struct tls_cert_files *files, struct err *err,
                           struct tls_cert **ret);
struct tls_cert *tls_cert_free(struct tls_cert *c);

MUST_USE int tls_cert_use(const struct tls_cert *c, SSL_CTX *ctx); /* -EINVAL, -ENOMEM */
int tls_cert_kind(const struct tls_cert *c); /* of its key, one of EVP_PKEY_* */
unsigned tls_cert_names_count(const struct tls_cert *c);
const char *tls_cert_name(const struct tls_cert *c, unsigned i); /* lower case; may be "*.x" */
bool tls_cert_is(const struct tls_cert *c, const X509 *leaf);
bool tls_cert_same(const struct tls_cert *a, const struct tls_cert *b);

/* --- OCSP (tls_ocsp.c) ------------------------------------------------------------------------ */

/* Keeps a DER answer if it is for this certificate, is signed by its authority, says "good", and is
 * valid now. -EINVAL: it is not; -ENODATA: the chain lacks the issuer, nothing can be checked. */
MUST_USE int tls_cert_set_ocsp(struct tls_cert *c, struct str der, struct err *err);

/* A copy for OPENSSL_free; false: there is none that is valid now. */
bool tls_cert_get_ocsp(struct tls_cert *c, unsigned char **ret_data, size_t *ret_size);

/* Reads the file if it has changed since the last time. 0 also when there is none to read. */
MUST_USE int tls_cert_refresh(struct tls_cert *c, struct err *err);
bool tls_cert_has_ocsp_file(const struct tls_cert *c);
void tls_cert_take_ocsp(struct tls_cert *c, struct tls_cert *from); /* at a reload */

/* What to ask of whom: the responder's URL and the request in DER, for free(); when a new answer is
 * due, 0: now. -ENODATA: the certificate names no responder, or the issuer is not in the chain. */
MUST_USE int tls_cert_ask(struct tls_cert *c, char **ret_url, char **ret_request, size_t *ret_size,
                          int64_t *ret_due_s);
