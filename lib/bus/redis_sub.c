/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/redis_sub.h"
#include <errno.h>
#include <stdlib.h>
#include "bus/redis_link.h"

struct redis_sub {
    uint32_t magic;
#define REDIS_SUB_MAGIC UINT32_C(0x4ed15b5b)
    struct bus *bus;
    struct redis_link *link;
    const struct redis_route *route;
    struct loop_timer ping_timer;
    uint32_t answer_ms;
    bool is_quiet; /* nothing has come since the last ping */
};

static void sub_send(struct redis_sub *s, const char *verb, struct str channel)
{
    struct str words[] = {str_of(verb), channel};
    if (redis_link_send(s->link, words, channel.data != NULL ? 2 : 1) < 0)
        redis_link_break(s->link, -ENOMEM); /* a subscription that was lost would never be missed */
}

static void sub_on_ping(void *arg)
{
    struct redis_sub *s = arg;
    if (s->is_quiet) {
        redis_link_break(s->link, -ETIMEDOUT);
        return;
    }
    s->is_quiet = true;
    loop_timer_start(s->bus->loop, &s->ping_timer, s->answer_ms, sub_on_ping, s);
    sub_send(s, "PING", STR_NONE);
}

static void sub_on_up(void *arg)
{
    struct redis_sub *s = arg;
    s->is_quiet = false;
    loop_timer_start(s->bus->loop, &s->ping_timer, s->answer_ms, sub_on_ping, s);
    for (const struct bus_sub *each = s->bus->subs; each != NULL; each = each->next)
        sub_send(s, "SUBSCRIBE", bus_sub_channel(each));
}

static void sub_on_answer(void *arg, const struct bus_answer *answer, struct str error)
{
    struct redis_sub *s = arg;
    s->is_quiet = false;
    if (error.data != NULL) { /* "-NOPERM", "-LOADING": nothing is subscribed then */
        redis_link_break(s->link, -EACCES);
        return;
    }
    const struct bus_answer *items = answer->items;
    if (answer->kind != BUS_LIST || answer->count < 2 || items[0].kind != BUS_TEXT)
        return;
    struct str what = items[0].text;
    if (str_eq(what, STR("message")) && answer->count == 3)
        bus__deliver(s->bus, items[1].text, items[2].text);
    else if (str_eq(what, STR("subscribe")))
        bus__gap(s->bus, items[1].text);
}

static void sub_on_down(void *arg, int error)
{
    struct redis_sub *s = arg;
    (void)error;
    loop_timer_stop(&s->ping_timer);
    bus__broken(s->bus);
}

static void sub_pick(void *arg, unsigned tries, struct redis_address *ret, unsigned *ret_turn)
{
    const struct redis_sub *s = arg;
    redis_route_pick(s->route, tries, ret, ret_turn);
}

int redis_sub_new(struct bus *b, const struct redis_target *target,
                  const struct redis_node_limits *limits, const struct redis_route *route,
                  struct redis_sub **ret)
{
    static const struct redis_link_ops ops = {sub_pick, sub_on_up, sub_on_answer, sub_on_down};
    struct redis_sub *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->magic = REDIS_SUB_MAGIC;
    s->bus = b;
    s->answer_ms = limits->answer_ms;
    s->route = route;
    int r = redis_link_new(b->loop, target, limits->connect_ms, &ops, s, &s->link);
    if (r < 0) {
        free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct redis_sub *redis_sub_free(struct redis_sub *s)
{
    if (s == NULL)
        return NULL;
    ASSERT(s->magic == REDIS_SUB_MAGIC);
    loop_timer_stop(&s->ping_timer);
    redis_link_free(s->link);
    MAGIC_CLEAR(s);
    free(s);
    return NULL;
}

void redis_sub_look(struct redis_sub *s)
{
    ASSERT(s->magic == REDIS_SUB_MAGIC);
    if (!redis_route_knows(s->route, redis_link_address(s->link)))
        redis_link_break(s->link, -EHOSTDOWN);
}

void redis_sub_add(struct redis_sub *s, struct str channel)
{
    ASSERT(s->magic == REDIS_SUB_MAGIC);
    if (redis_link_is_up(s->link))
        sub_send(s, "SUBSCRIBE", channel);
}

void redis_sub_remove(struct redis_sub *s, struct str channel)
{
    ASSERT(s->magic == REDIS_SUB_MAGIC);
    for (const struct bus_sub *each = s->bus->subs; each != NULL; each = each->next)
        if (str_eq(bus_sub_channel(each), channel))
            return;
    if (redis_link_is_up(s->link))
        sub_send(s, "UNSUBSCRIBE", channel);
}
