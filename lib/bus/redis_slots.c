/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/redis_slots.h"
#include <errno.h>
#include <string.h>

#define CRC16_XMODEM 0x1021

static uint16_t slots_crc16(struct str s)
{
    uint32_t crc = 0;
    for (size_t i = 0; i < s.size; i++) {
        crc ^= (uint32_t)(uint8_t)s.data[i] << 8;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = (crc & 0x8000) != 0 ? (crc << 1) ^ CRC16_XMODEM : crc << 1;
    }
    return (uint16_t)crc;
}

uint16_t redis_slot_of(struct str key)
{
    struct str rest;
    struct str end;
    (void)str_cut(key, '{', &rest);
    if (rest.data != NULL) {
        struct str tag = str_cut(rest, '}', &end);
        if (end.data != NULL && tag.size > 0)
            key = tag;
    }
    return slots_crc16(key) % REDIS_SLOTS;
}

/* host: none, "" and "?" stand for the one that has answered. */
static int slots_address(struct str host, int64_t port, const struct redis_address *from,
                         struct redis_address *ret)
{
    struct redis_address a;
    if (port <= 0 || port > UINT16_MAX || (host.size > 0 && memchr(host.data, 0, host.size)))
        return -EBADMSG;
    a.port = (uint16_t)port;
    if (host.size == 0 || str_eq(host, STR("?")))
        host = str_of(from->host);
    if (str_copy(host, a.host, sizeof a.host) < 0)
        return -EBADMSG;
    *ret = a;
    return 0;
}

static int slots_node(const struct bus_answer *node, const struct redis_address *from,
                      struct redis_address *ret)
{
    if (node->kind != BUS_LIST || node->count < 2 || node->items[1].kind != BUS_NUMBER)
        return -EBADMSG;
    const struct bus_answer *host = &node->items[0];
    if (host->kind != BUS_TEXT && host->kind != BUS_NONE)
        return -EBADMSG;
    return slots_address(host->kind == BUS_TEXT ? host->text : STR_NONE, node->items[1].number,
                         from, ret);
}

/* {first, last, {host, port, ...}, {host, port, ...}, ...}; each is NULL to check only. */
static int slots_range(const struct bus_answer *range, const struct redis_address *from,
                       redis_slots_each *each, void *arg)
{
    const struct bus_answer *items = range->items;
    if (range->kind != BUS_LIST || range->count < 3 || items[0].kind != BUS_NUMBER ||
        items[1].kind != BUS_NUMBER)
        return -EBADMSG;
    int64_t first = items[0].number;
    int64_t last = items[1].number;
    if (first < 0 || last < first || last >= REDIS_SLOTS)
        return -EBADMSG;
    for (unsigned i = 2; i < range->count; i++) {
        struct redis_address node;
        int r = slots_node(&items[i], from, &node);
        if (r < 0)
            return r;
        if (each != NULL)
            each(arg, (uint16_t)first, (uint16_t)last, &node, i == 2);
    }
    return 0;
}

int redis_slots_read(const struct bus_answer *answer, const struct redis_address *from,
                     redis_slots_each *each, void *arg)
{
    if (answer->kind != BUS_LIST)
        return -EBADMSG;
    for (unsigned i = 0; i < answer->count; i++) {
        int r = slots_range(&answer->items[i], from, NULL, NULL);
        if (r < 0)
            return r;
    }
    for (unsigned i = 0; i < answer->count; i++)
        (void)slots_range(&answer->items[i], from, each, arg); /* it was good just now */
    return 0;
}

/* --- redirections ----------------------------------------------------------------------------- */

bool redis_is_redirect(struct str error)
{
    return str_starts(error, STR("MOVED ")) || str_starts(error, STR("ASK "));
}

int redis_redirect_read(struct str error, const struct redis_address *from,
                        struct redis_redirect *ret)
{
    struct redis_redirect to = {.is_ask = str_starts(error, STR("ASK "))};
    struct str rest;
    uint64_t slot;
    uint64_t port;
    if (!redis_is_redirect(error))
        return -EBADMSG;
    (void)str_cut(error, ' ', &rest);
    if (str_to_u64(str_cut(rest, ' ', &rest), &slot) < 0 || slot >= REDIS_SLOTS)
        return -EBADMSG;
    /* The last ':', because an IPv6 address comes without brackets. */
    const char *colon = rest.size > 0 ? memrchr(rest.data, ':', rest.size) : NULL;
    if (colon == NULL)
        return -EBADMSG;
    struct str host = {rest.data, (size_t)(colon - rest.data)};
    if (str_to_u64(str_skip(rest, host.size + 1), &port) < 0 || port > UINT16_MAX)
        return -EBADMSG;
    to.slot = (uint16_t)slot;
    int r = slots_address(host, (int64_t)port, from, &to.to);
    if (r == 0)
        *ret = to;
    return r;
}
