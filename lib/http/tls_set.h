/* SPDX-License-Identifier: Apache-2.0 */
/* tls_set: all certificates of one listener, and the library's context that a client gets by the
 * name it asks for (SNI): exact, else by wildcard, else the first certificate. Certificates of the
 * same name with keys of different kinds (RSA, ECDSA) stand side by side in one context: the client
 * has the one it can use best.
 *
 * Life:    tls_set_new -> tls_set_default for SSL_new -> tls_set_free, once no handshake can run.
 * Owner:   the server's listener; an old one is kept to the server's end.
 * Threads: read-only once made, but for OCSP answers (tls_cert.h): any thread.
 * Errors:  err names the file and the reason.
 * Units:   none.
 * Source:  RFC 6066 section 3 (SNI), RFC 6125 section 6.4.3 (wildcards), RFC 7301 (ALPN). */
#pragma once
#include "http/tls_cert.h"
#include "http/tls_ticket.h"

#define TLS_SET_CERTS_MAX 256

struct tls_set;

/* files[0] is the default. Takes a reference to tickets. */
MUST_USE int tls_set_new(const struct tls_cert_files *files, unsigned count,
                         struct tls_tickets *tickets, struct err *err, struct tls_set **ret);
struct tls_set *tls_set_free(struct tls_set *s);

SSL_CTX *tls_set_default(const struct tls_set *s);
SSL_CTX *tls_set_find(const struct tls_set *s, const char *name); /* NULL: nobody has that name */
void tls_set_each(const struct tls_set *s, void (*fn)(SSL_CTX *ctx));
struct tls_tickets *tls_set_tickets(const struct tls_set *s);

unsigned tls_set_certs_count(const struct tls_set *s);
struct tls_cert *tls_set_cert(const struct tls_set *s, unsigned i);

/* OCSP answers of certificates that are still there. */
void tls_set_take_ocsp(struct tls_set *s, const struct tls_set *from);
/* Reads OCSP files that have changed; what is wrong is logged. */
void tls_set_refresh(struct tls_set *s);
