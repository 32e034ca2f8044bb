/* SPDX-License-Identifier: Apache-2.0 */
/* addr: IP addresses and prefixes, both versions in one form.
 *
 * Life:    none.
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  -EINVAL for text not of the form; *ret on success only.
 * Units:   bits of the 16 bytes.
 * Source:  RFC 4291 section 2.5.5.2 (IPv4-mapped addresses), RFC 4632 (prefixes). */
#pragma once
#include "base/str.h"

#define ADDR_TEXT_SIZE 48

/* IPv4 stands as ::ffff:a.b.c.d, so a client is the same over a socket of either version. */
struct addr {
    uint8_t bytes[16];
};

struct addr_net {
    struct addr addr; /* bits behind the prefix are zero */
    uint8_t bits;     /* 0 to 128 */
};

MUST_USE int addr_parse(struct str text, struct addr *ret); /* "192.0.2.1", "2001:db8::1" */
struct sockaddr;
MUST_USE int addr_of_socket(const struct sockaddr *sa, struct addr *ret); /* -EAFNOSUPPORT */
bool addr_is_v4(const struct addr *a);
void addr_format(const struct addr *a, char out[ADDR_TEXT_SIZE]);

/* "192.0.2.0/24", "2001:db8::/32"; without a length it is one address. */
MUST_USE int addr_net_parse(struct str text, struct addr_net *ret);

/* No IPv6 prefix covers an IPv4 client, however short: "::/0" is all of IPv6. */
bool addr_net_has(const struct addr_net *n, const struct addr *a);
