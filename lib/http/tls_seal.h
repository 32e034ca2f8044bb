/* SPDX-License-Identifier: Apache-2.0 */
/* tls_seal: what one end of a TLS 1.3 connection sends once the handshake is done, sealed by
 * libipsec-mb from where it lies to where it is sent from: OpenSSL's SSL_write copies it into a
 * record of its own first. OpenSSL makes the handshake, and goes on to read.
 *
 * Life:    tls_seal_new with the traffic secret -> tls_seal_skip for each record that OpenSSL still
 *          sends under it -> tls_seal_record*; OpenSSL must send none any more -> tls_seal_free,
 *          which wipes it.
 * Owner:   the connection.
 * Threads: one at a time.
 * Errors:  -ENOTSUP: another cipher, or not built in, or not for this processor. -ENOMEM. After a
 *          record that failed the connection has to end.
 * Units:   bytes, records.
 * Source:  RFC 8446 sections 4.6.3, 5.2, 5.3, 5.5, 7.1 to 7.3. */
#pragma once
#include <sys/uio.h>
#include "base/base.h"

#define TLS_RECORD_SIZE_MAX 16384 /* of what is sealed in one */
#define TLS_RECORD_EXTRA    22    /* header, inner type, tag */
#define TLS_UPDATE_SIZE     (TLS_RECORD_EXTRA + 5)

enum tls_type { /* RFC 8446 appendix B.1 */
                TLS_ALERT = 21,
                TLS_HANDSHAKE = 22,
                TLS_DATA = 23,
};

struct tls_seal;

/* cipher: as IANA numbers them (SSL_CIPHER_get_protocol_id). */
MUST_USE int tls_seal_new(uint16_t cipher, const uint8_t *secret, size_t secret_size,
                          struct tls_seal **ret);
struct tls_seal *tls_seal_free(struct tls_seal *s);
void tls_seal_skip(struct tls_seal *s);

struct tls_text { /* what is to be sent: pieces, of which the first used bytes are done */
    const struct iovec *pieces;
    size_t used;
};

/* The text's next size bytes as one record at out: size + TLS_RECORD_EXTRA bytes. The text must
 * have as many. */
MUST_USE int tls_seal_record(struct tls_seal *s, enum tls_type type, struct tls_text *text,
                             size_t size, uint8_t *out);

/* The peer wants a KeyUpdate. */
void tls_seal_ask_update(struct tls_seal *s);
/* One is wanted, or as much was sent under this key as is safe. */
bool tls_seal_is_due(const struct tls_seal *s);
/* A KeyUpdate at out: TLS_UPDATE_SIZE bytes. What follows is sealed with the next key. */
MUST_USE int tls_seal_update(struct tls_seal *s, uint8_t *out);
