/* SPDX-License-Identifier: Apache-2.0 */
/* tls_ticket: keys of session tickets (TLS 1.2 and 1.3), which change every TLS_TICKET_PERIOD.
 *
 * With a file of secrets the keys of a period are derived from a secret and the period's number:
 * servers that have the same file accept each other's tickets without talking. The first line makes
 * tickets, the others are still accepted; so a secret can be replaced on one host after the other.
 * Without a file the keys are random and known to this process only.
 *
 * Life:    tls_tickets_new -> tls_tickets_attach to contexts -> tls_tickets_unref, once no context
 *          makes handshakes any more.
 * Owner:   counted.
 * Threads: any.
 * Errors:  -errno of the file; -EINVAL when it holds no secret, or a short one.
 * Units:   seconds.
 * Source:  RFC 5077 section 4, RFC 8446 section 4.6.1, RFC 5869 (HKDF). */
#pragma once
#include <openssl/types.h>
#include "base/err.h"

#define TLS_TICKET_PERIOD      (12 * 3600)
#define TLS_TICKET_SECRET_MIN  32 /* characters */
#define TLS_TICKET_SECRETS_MAX 4

struct tls_tickets;

/* file NULL: random keys. */
MUST_USE int tls_tickets_new(const char *file, struct err *err, struct tls_tickets **ret);
struct tls_tickets *tls_tickets_ref(struct tls_tickets *t);
struct tls_tickets *tls_tickets_unref(struct tls_tickets *t);

MUST_USE int tls_tickets_attach(struct tls_tickets *t, SSL_CTX *ctx); /* -ENOMEM */
