/* SPDX-License-Identifier: Apache-2.0 */
#include "lease/lease_crowd.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/digest.h"
#include "base/log.h"

#define CROWD_KEY_SIZE 32

/* clang-format off */
/* KEYS: a shard. ARGV: until, user. */
static const char crowd_lua_add[] =
    "local until_ms = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[2]) or '') or 0\n"
    "if until_ms < tonumber(ARGV[1]) then redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2]) end\n"
    "return 1\n";

/* KEYS: a shard. ARGV: the first, the last. Answers users. */
static const char crowd_lua_list[] =
    "local time = redis.call('TIME')\n"
    "local now = string.format('%.0f', time[1] * 1000)\n"
    "if ARGV[1] == '0' then redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now) end\n"
    "return redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[2])\n";
/* clang-format on */

static const char crowd_lua_remove[] = "return redis.call('ZREM', KEYS[1], ARGV[1])\n";

static struct str crowd_key(unsigned shard, char out[CROWD_KEY_SIZE])
{
    (void)snprintf(out, CROWD_KEY_SIZE, "weir:lease:crowd:{%u}", shard); /* sized to fit */
    return str_of(out);
}

static unsigned crowd_shard(struct str user)
{
    return digest_of(user.data, user.size).bytes[0] % CROWD_SHARDS;
}

static void crowd_on_noted(void *arg, int res, const struct bus_answer *answer)
{
    (void)arg, (void)res, (void)answer; /* noted with the user's next opening then */
}

void lease_crowd_note(struct bus *bus, struct str user, int64_t until_ms)
{
    char bytes[CROWD_KEY_SIZE];
    char until[24];
    (void)snprintf(until, sizeof until, "%" PRId64, until_ms); /* sized to fit */
    struct str key = crowd_key(crowd_shard(user), bytes);
    struct str args[] = {str_of(until), user};
    struct bus_script_call call = {crowd_lua_add, &key, 1, args, 2};
    if (bus_script(bus, &call, crowd_on_noted, NULL) < 0)
        log_debug("the list of users with several leases was not written");
}

int lease_crowd_forget(struct bus *bus, struct str user, bus_done *cb, void *arg)
{
    char bytes[CROWD_KEY_SIZE];
    struct str key = crowd_key(crowd_shard(user), bytes);
    struct bus_script_call call = {crowd_lua_remove, &key, 1, &user, 1};
    return bus_script(bus, &call, cb, arg);
}

/* --- a page ----------------------------------------------------------------------------------- */

struct crowd_call {
    struct lease_op *op;
    unsigned shard;
    uint32_t first;
};

static void crowd_on_page(void *arg, int res, const struct bus_answer *answer)
{
    struct crowd_call *c = arg;
    struct str users[LEASE_CROWD_MAX];
    unsigned count = 0;
    uint64_t next = 0;
    if (res == 0 && (answer->kind != BUS_LIST || answer->count > LEASE_CROWD_MAX))
        res = -EBADMSG;
    for (unsigned i = 0; res == 0 && i < answer->count; i++)
        if (answer->items[i].kind == BUS_TEXT)
            users[count++] = answer->items[i].text;
    if (res == 0 && answer->count == LEASE_CROWD_MAX)
        next = ((uint64_t)c->shard << 32) + c->first + LEASE_CROWD_MAX;
    else if (res == 0 && c->shard + 1 < CROWD_SHARDS)
        next = (uint64_t)(c->shard + 1) << 32;
    lease__finish_crowd(c->op, res, users, count, next);
    free(c);
}

int lease_crowd_page(struct bus *bus, uint64_t cursor, struct lease_op *op)
{
    char bytes[CROWD_KEY_SIZE];
    char ranks[2][16];
    uint32_t first = (uint32_t)cursor;
    if (cursor >> 32 >= CROWD_SHARDS || first > INT32_MAX)
        return -EINVAL;
    struct crowd_call *c = malloc(sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    *c = (struct crowd_call){op, (unsigned)(cursor >> 32), first};
    (void)snprintf(ranks[0], sizeof ranks[0], "%" PRIu32, first); /* both sized to fit */
    (void)snprintf(ranks[1], sizeof ranks[1], "%" PRIu32, first + LEASE_CROWD_MAX - 1);
    struct str key = crowd_key(c->shard, bytes);
    struct str args[] = {str_of(ranks[0]), str_of(ranks[1])};
    struct bus_script_call call = {crowd_lua_list, &key, 1, args, 2};
    int r = bus_script(bus, &call, crowd_on_page, c);
    if (r < 0)
        free(c);
    return r;
}
