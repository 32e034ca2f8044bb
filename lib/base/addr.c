/* SPDX-License-Identifier: Apache-2.0 */
#include "base/addr.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

#define ADDR_V4_BITS 96 /* where the IPv4 address begins */

static const uint8_t addr_v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

int addr_parse(struct str text, struct addr *ret)
{
    ASSERT(ret != NULL);
    char copy[ADDR_TEXT_SIZE];
    if (text.size == 0 || memchr(text.data, 0, text.size) != NULL ||
        str_copy(text, copy, sizeof copy) < 0)
        return -EINVAL;
    struct addr a;
    if (strchr(copy, ':') != NULL) {
        if (inet_pton(AF_INET6, copy, a.bytes) != 1)
            return -EINVAL;
    } else {
        memcpy(a.bytes, addr_v4_prefix, sizeof addr_v4_prefix);
        if (inet_pton(AF_INET, copy, a.bytes + sizeof addr_v4_prefix) != 1)
            return -EINVAL;
    }
    *ret = a;
    return 0;
}

int addr_of_socket(const struct sockaddr *sa, struct addr *ret)
{
    ASSERT(sa != NULL);
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof in6); /* the caller's may be aligned for less */
        memcpy(ret->bytes, &in6.sin6_addr, sizeof ret->bytes);
        return 0;
    }
    if (sa->sa_family != AF_INET)
        return -EAFNOSUPPORT;
    struct sockaddr_in in4;
    memcpy(&in4, sa, sizeof in4);
    memcpy(ret->bytes, addr_v4_prefix, sizeof addr_v4_prefix);
    memcpy(ret->bytes + sizeof addr_v4_prefix, &in4.sin_addr, sizeof in4.sin_addr);
    return 0;
}

bool addr_is_v4(const struct addr *a)
{
    ASSERT(a != NULL);
    return memcmp(a->bytes, addr_v4_prefix, sizeof addr_v4_prefix) == 0;
}

void addr_format(const struct addr *a, char out[ADDR_TEXT_SIZE])
{
    bool is_v4 = addr_is_v4(a);
    const void *at = is_v4 ? a->bytes + sizeof addr_v4_prefix : a->bytes;
    const char *text = inet_ntop(is_v4 ? AF_INET : AF_INET6, at, out, ADDR_TEXT_SIZE);
    ASSERT(text != NULL); /* the longest has 46 with its zero */
}

int addr_net_parse(struct str text, struct addr_net *ret)
{
    ASSERT(ret != NULL);
    struct str length;
    struct addr_net n = {.bits = 128};
    int r = addr_parse(str_cut(text, '/', &length), &n.addr);
    if (r < 0)
        return r;
    if (length.data != NULL) {
        uint64_t bits;
        bool is_v4 = memchr(text.data, ':', text.size) == NULL;
        if (length.size > 3 || str_to_u64(length, &bits) < 0 || bits > (is_v4 ? 32 : 128))
            return -EINVAL;
        n.bits = (uint8_t)(bits + (is_v4 ? ADDR_V4_BITS : 0));
    }
    for (unsigned bit = n.bits; bit < 128; bit++)
        n.addr.bytes[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
    *ret = n;
    return 0;
}

bool addr_net_has(const struct addr_net *n, const struct addr *a)
{
    ASSERT(n != NULL && n->bits <= 128);
    ASSERT(a != NULL);
    if (n->bits < ADDR_V4_BITS && addr_is_v4(a))
        return false;
    unsigned whole = n->bits / 8;
    if (memcmp(n->addr.bytes, a->bytes, whole) != 0)
        return false;
    unsigned rest = n->bits % 8;
    if (rest == 0)
        return true;
    uint8_t mask = (uint8_t)(0xff00u >> rest);
    return (a->bytes[whole] & mask) == n->addr.bytes[whole];
}
