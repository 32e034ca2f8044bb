/* SPDX-License-Identifier: Apache-2.0 */
/* The home is the connection to whoever of the addresses answers. Where there is one Redis all
 * calls go by it. Of a cluster it only asks for the map, at first, every ROUTE_MAP_EVERY_MS,
 * and soon after whatever says that the map is old: a redirection, a node that is away. A home that
 * shows the same dead nodes again and again may itself be cut off: then another one is asked.
 *
 * Invariants:
 *  1. A call is in one of waiting, again, ended and the nodes' queues.
 *  2. slots is set, and points to servers alone, while mode is ROUTE_CLUSTER.
 *  3. A server that is in no slot is freed while the map is read, which is never a callback of its
 *     own connection; one that a call was sent to lately stays. */
#include "bus/redis_route.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "bus/redis_slots.h"

#define ROUTE_MAP_EVERY_MS   10000
#define ROUTE_MAP_MIN_MS     50 /* between two questions */
#define ROUTE_MAP_MAX_MS     1000
#define ROUTE_MAPS_BAD       4 /* then another node is asked */
#define ROUTE_AGAIN_MIN_MS   10
#define ROUTE_AGAIN_MAX_MS   200
#define ROUTE_REDIRECTS_FAST 4 /* of a call; further ones wait for the map to settle */
#define ROUTE_SERVERS_MAX    1024
#define ROUTE_IDLE_MS        60000

enum route_mode { ROUTE_UNKNOWN, ROUTE_SINGLE, ROUTE_CLUSTER };

struct route_server {
    struct redis_route *route;
    struct route_server *next;
    struct redis_node *node;
    struct redis_address address; /* not of the home */
    uint64_t used_ms;
    bool is_in_map;
};

struct redis_route {
    uint32_t magic;
#define REDIS_ROUTE_MAGIC UINT32_C(0x4ed1407e)
    struct loop *loop;
    const struct redis_target *target;
    struct redis_node_limits limits;
    const struct redis_route_ops *ops;
    void *arg;
    enum route_mode mode;
    bool is_asked; /* the home is to answer with a map */
    bool is_down;  /* a call's time has passed with nothing but CLUSTERDOWN: nobody waits then */
    struct route_server home;
    struct route_server *servers;
    unsigned servers_count;
    struct route_server **slots;
    struct redis_address *known; /* all nodes of the map, replicas too */
    unsigned known_count, known_cap;
    unsigned maps_bad; /* in a row: with a slot that nobody answers for */
    uint64_t map_ms;
    struct redis_calls waiting, again, ended;
    struct loop_timer ended_timer, again_timer, map_timer;
};

static void route_check(const struct redis_route *r)
{
    ASSERT(r != NULL);
    ASSERT(r->magic == REDIS_ROUTE_MAGIC);
}

static void route_send(struct redis_route *r, struct redis_call *c);

/* --- calls that end, or wait ------------------------------------------------------------------ */

static void route_end(struct redis_route *r, struct redis_call *c, int res)
{
    static const struct bus_answer none = {.kind = BUS_NONE};
    r->ops->end(r->arg, c, res, &none, STR_NONE);
}

static void route_end_all(struct redis_route *r, struct redis_calls *q, int res)
{
    struct redis_call *c = redis_calls_take_all(q);
    while (c != NULL) {
        struct redis_call *next = c->next;
        route_end(r, c, res < 0 ? res : c->res);
        c = next;
    }
}

static void route_on_ended(void *arg)
{
    struct redis_route *r = arg;
    route_end_all(r, &r->ended, 0);
}

static void route_end_later(struct redis_route *r, struct redis_call *c, int res)
{
    c->res = res;
    redis_calls_put(&r->ended, c);
    loop_timer_start(r->loop, &r->ended_timer, 0, route_on_ended, r);
}

static void route_on_again(void *arg)
{
    struct redis_route *r = arg;
    uint64_t now_ms = clock_mono_ms();
    uint64_t due_ms = UINT64_MAX;
    struct redis_call *c = redis_calls_take_all(&r->again);
    while (c != NULL) {
        struct redis_call *next = c->next;
        if (c->again_ms <= now_ms) {
            route_send(r, c);
        } else {
            due_ms = MIN(due_ms, c->again_ms);
            redis_calls_put(&r->again, c);
        }
        c = next;
    }
    if (due_ms != UINT64_MAX)
        loop_timer_start(r->loop, &r->again_timer, due_ms - now_ms, route_on_again, r);
}

/* Once more after a pause, unless its time is over by then: res. */
static void route_again(struct redis_route *r, struct redis_call *c, int res)
{
    uint64_t now_ms = clock_mono_ms();
    uint64_t pause_ms = backoff_ms(++c->tries, ROUTE_AGAIN_MIN_MS, ROUTE_AGAIN_MAX_MS);
    if (r->is_down || now_ms + pause_ms >= c->made_ms + r->limits.answer_ms) {
        r->is_down = true;
        route_end_later(r, c, res);
        return;
    }
    c->again_ms = now_ms + pause_ms;
    redis_calls_put(&r->again, c);
    if (r->again_timer.loop == NULL || r->again.first == c)
        loop_timer_start(r->loop, &r->again_timer, pause_ms, route_on_again, r);
}

/* --- servers ---------------------------------------------------------------------------------- */

static void server_pick(void *arg, unsigned tries, struct redis_address *ret, unsigned *ret_turn)
{
    const struct route_server *s = arg;
    const struct redis_route *r = s->route;
    unsigned seeds = r->target->seeds_count;
    if (s != &r->home) {
        *ret = s->address;
        *ret_turn = tries;
        return;
    }
    unsigned i = tries % (seeds + r->known_count);
    *ret = i < seeds ? r->target->seeds[i] : r->known[i - seeds];
    *ret_turn = tries / (seeds + r->known_count);
}

static void server_on_up(void *arg);
static void server_on_answer(void *arg, struct redis_call *c, const struct bus_answer *answer,
                             struct str error);
static void server_on_end(void *arg, struct redis_call *c, int res);
static void server_on_down(void *arg);

static int server_open(struct redis_route *r, struct route_server *s)
{
    static const struct redis_node_ops ops = {server_pick, server_on_up, server_on_answer,
                                              server_on_end, server_on_down};
    s->route = r;
    return redis_node_new(r->loop, r->target, &r->limits, &ops, s, &s->node);
}

/* NULL: out of memory, or too many. */
static struct route_server *server_get(struct redis_route *r, const struct redis_address *address)
{
    for (struct route_server *s = r->servers; s != NULL; s = s->next)
        if (redis_address_eq(&s->address, address))
            return s;
    struct route_server *s = NULL;
    if (r->servers_count < ROUTE_SERVERS_MAX)
        s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->address = *address;
    s->used_ms = clock_mono_ms();
    if (server_open(r, s) < 0) {
        free(s);
        return NULL;
    }
    s->next = r->servers;
    r->servers = s;
    r->servers_count++;
    return s;
}

static void servers_reap(struct redis_route *r, bool all)
{
    uint64_t now_ms = clock_mono_ms();
    struct route_server **at = &r->servers;
    while (*at != NULL) {
        struct route_server *s = *at;
        bool is_idle =
            !s->is_in_map && !redis_node_has_calls(s->node) && now_ms - s->used_ms > ROUTE_IDLE_MS;
        if (!is_idle && !all) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        r->servers_count--;
        redis_node_free(s->node);
        free(s);
    }
}

static void server_send(struct redis_route *r, struct route_server *s, struct redis_call *c)
{
    s->used_ms = clock_mono_ms();
    int res = redis_node_call(s->node, c);
    if (res < 0)
        route_end_later(r, c, res);
}

static void route_ask_soon(struct redis_route *r);

static struct route_server *route_find(const struct redis_route *r, const struct redis_call *c)
{
    struct route_server *found = r->slots[c->slot];
    if (!c->is_any || (found != NULL && redis_node_is_up(found->node)))
        return found;
    for (struct route_server *s = r->servers; s != NULL; s = s->next)
        if (s->is_in_map && redis_node_is_up(s->node))
            return s;
    return found;
}

static void route_send(struct redis_route *r, struct redis_call *c)
{
    struct route_server *s = r->mode == ROUTE_CLUSTER ? route_find(r, c) : NULL;
    if (r->mode == ROUTE_SINGLE) {
        server_send(r, &r->home, c);
    } else if (s != NULL) {
        server_send(r, s, c);
    } else if (r->mode == ROUTE_CLUSTER) {
        route_ask_soon(r);
        route_again(r, c, -EHOSTDOWN);
    } else if (redis_node_is_away(r->home.node)) {
        route_end_later(r, c, -EHOSTDOWN);
    } else {
        redis_calls_put(&r->waiting, c);
    }
}

static void route_send_waiting(struct redis_route *r)
{
    struct redis_call *c = redis_calls_take_all(&r->waiting);
    while (c != NULL) {
        struct redis_call *next = c->next;
        route_send(r, c);
        c = next;
    }
}

/* --- the map ---------------------------------------------------------------------------------- */

static void route_ask(struct redis_route *r)
{
    if (r->is_asked || !redis_node_is_up(r->home.node))
        return; /* it will answer, or is asked when it is up */
    struct redis_call *c = calloc(1, sizeof *c + 2 * sizeof c->words[0]);
    if (c == NULL) {
        redis_node_break(r->home.node, -ENOMEM);
        return;
    }
    c->kind = CALL_MAP;
    c->words_count = 2;
    c->words[0] = STR("CLUSTER");
    c->words[1] = STR("SLOTS");
    if (redis_node_call(r->home.node, c) < 0) {
        free(c);
        redis_node_break(r->home.node, -ENOMEM);
        return;
    }
    r->is_asked = true;
}

static void route_on_map_timer(void *arg)
{
    route_ask(arg);
}

static void route_ask_in(struct redis_route *r, uint64_t delay_ms)
{
    loop_timer_start(r->loop, &r->map_timer, delay_ms, route_on_map_timer, r);
}

static void route_ask_soon(struct redis_route *r)
{
    uint64_t now_ms = clock_mono_ms();
    uint64_t due_ms = r->map_ms + ROUTE_MAP_MIN_MS;
    if (r->mode == ROUTE_CLUSTER && !r->is_asked && r->maps_bad == 0)
        route_ask_in(r, due_ms > now_ms ? due_ms - now_ms : 0);
}

static void route_know(struct redis_route *r, const struct redis_address *node)
{
    for (unsigned i = 0; i < r->known_count; i++)
        if (redis_address_eq(&r->known[i], node))
            return;
    if (r->known_count == ROUTE_SERVERS_MAX)
        return;
    if (r->known_count == r->known_cap) {
        unsigned cap = MAX(2 * r->known_cap, 8U);
        struct redis_address *grown = realloc(r->known, cap * sizeof *grown);
        if (grown == NULL)
            return; /* one address less to try */
        r->known = grown;
        r->known_cap = cap;
    }
    r->known[r->known_count++] = *node;
}

static void route_on_range(void *arg, uint16_t first, uint16_t last,
                           const struct redis_address *node, bool is_primary)
{
    struct redis_route *r = arg;
    route_know(r, node);
    if (!is_primary)
        return;
    struct route_server *s = server_get(r, node);
    for (unsigned i = first; i <= last; i++)
        r->slots[i] = s;
    if (s != NULL)
        s->is_in_map = true;
}

static void route_forget(struct redis_route *r)
{
    for (struct route_server *s = r->servers; s != NULL; s = s->next)
        s->is_in_map = false;
    if (r->slots != NULL)
        memset(r->slots, 0, REDIS_SLOTS * sizeof r->slots[0]);
    r->known_count = 0;
}

static bool route_is_whole(const struct redis_route *r)
{
    const struct route_server *before = NULL;
    for (unsigned i = 0; i < REDIS_SLOTS; i++) {
        const struct route_server *s = r->slots[i];
        if (s == NULL || (s != before && redis_node_is_away(s->node)))
            return false;
        before = s;
    }
    return true;
}

static int route_take_map(struct redis_route *r, const struct bus_answer *answer)
{
    if (r->slots == NULL)
        r->slots = calloc(REDIS_SLOTS, sizeof r->slots[0]);
    if (r->slots == NULL)
        return -ENOMEM;
    /* The home's address may be one of the known, which are read anew. */
    const struct redis_address from = *redis_node_address(r->home.node);
    int res = redis_slots_read(answer, &from, NULL, NULL);
    if (res < 0)
        return res;
    route_forget(r);
    res = redis_slots_read(answer, &from, route_on_range, r);
    ASSERT(res == 0);
    if (r->mode != ROUTE_CLUSTER)
        log_debug("redis %s port %u is one of a cluster", from.host, from.port);
    r->mode = ROUTE_CLUSTER;
    return 0;
}

/* When the next map is asked for; of a broken cluster at another node now and then. */
static void route_plan(struct redis_route *r)
{
    if (r->mode != ROUTE_CLUSTER) {
        loop_timer_stop(&r->map_timer);
    } else if (route_is_whole(r)) {
        r->maps_bad = 0;
        route_ask_in(r, ROUTE_MAP_EVERY_MS);
    } else {
        r->maps_bad++;
        route_ask_in(r, backoff_ms(r->maps_bad, ROUTE_MAP_MIN_MS, ROUTE_MAP_MAX_MS));
        if (r->maps_bad % ROUTE_MAPS_BAD == 0)
            redis_node_break(r->home.node, -EHOSTDOWN);
    }
}

static void route_on_map(struct redis_route *r, const struct bus_answer *answer, struct str error)
{
    r->is_asked = false;
    r->map_ms = clock_mono_ms();
    int res = -EHOSTDOWN;
    if (error.data == NULL) {
        res = route_take_map(r, answer);
    } else if (str_starts(error, STR("ERR ")) || str_starts(error, STR("NOPERM"))) {
        res = 0; /* "ERR This instance has cluster support disabled", or no such command */
        route_forget(r);
        r->mode = ROUTE_SINGLE;
    }
    if (res < 0) {
        redis_node_break(r->home.node, res);
        return;
    }
    servers_reap(r, false);
    route_send_waiting(r);
    r->ops->on_map(r->arg);
    route_plan(r);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void route_redirect(struct redis_route *r, struct route_server *s, struct redis_call *c,
                           struct str error)
{
    struct redis_redirect to;
    if (redis_redirect_read(error, redis_node_address(s->node), &to) < 0) {
        route_end(r, c, -EBADMSG);
        return;
    }
    struct route_server *next = server_get(r, &to.to);
    if (next == NULL) {
        route_end(r, c, -ENOMEM);
        return;
    }
    c->is_asking = to.is_ask;
    if (!to.is_ask) {
        r->slots[to.slot] = next;
        route_ask_soon(r);
    }
    if (c->tries >= ROUTE_REDIRECTS_FAST) {
        c->is_asking = false; /* it asks anew where its key is */
        route_again(r, c, -EHOSTDOWN);
        return;
    }
    c->tries++;
    server_send(r, next, c);
}

static bool route_is_passing(struct str error)
{
    return str_starts(error, STR("CLUSTERDOWN")) || str_starts(error, STR("TRYAGAIN"));
}

static void server_on_answer(void *arg, struct redis_call *c, const struct bus_answer *answer,
                             struct str error)
{
    struct route_server *s = arg;
    struct redis_route *r = s->route;
    if (c->kind == CALL_MAP) {
        free(c);
        route_on_map(r, answer, error);
        return;
    }
    if (error.data == NULL) {
        r->is_down = false;
    } else if (r->mode == ROUTE_CLUSTER && redis_is_redirect(error)) {
        route_redirect(r, s, c, error);
        return;
    } else if (r->mode == ROUTE_CLUSTER && route_is_passing(error)) {
        c->is_asking = false;
        route_ask_soon(r);
        route_again(r, c, -EHOSTDOWN);
        return;
    }
    bool is_replica = str_starts(error, STR("READONLY"));
    bool is_elsewhere = redis_is_redirect(error);
    if (is_elsewhere)
        log_warn("redis: %s port %u is one of a cluster but does not say which nodes there are",
                 redis_node_address(s->node)->host, redis_node_address(s->node)->port);
    r->ops->end(r->arg, c, is_elsewhere ? -EHOSTDOWN : 0, answer, error);
    /* A primary that became a replica: the name, or another address, may lead to the new one. */
    if (is_replica || is_elsewhere)
        redis_node_break(s->node, -ECONNRESET);
}

static void server_on_end(void *arg, struct redis_call *c, int res)
{
    struct route_server *s = arg;
    if (c->kind == CALL_MAP) {
        s->route->is_asked = false;
        free(c);
        return;
    }
    route_end(s->route, c, res);
}

static void server_on_up(void *arg)
{
    struct route_server *s = arg;
    if (s == &s->route->home)
        route_ask(s->route);
}

static void server_on_down(void *arg)
{
    struct route_server *s = arg;
    struct redis_route *r = s->route;
    if (s != &r->home) {
        route_ask_soon(r);
        return;
    }
    if (r->mode == ROUTE_SINGLE)
        r->mode = ROUTE_UNKNOWN; /* whoever answers next is asked what it is */
    route_end_all(r, &r->waiting, -EHOSTDOWN);
}

/* --- life ------------------------------------------------------------------------------------- */

int redis_route_new(struct loop *loop, const struct redis_target *target,
                    const struct redis_node_limits *limits, const struct redis_route_ops *ops,
                    void *arg, struct redis_route **ret)
{
    struct redis_route *r = calloc(1, sizeof *r);
    if (r == NULL)
        return -ENOMEM;
    r->magic = REDIS_ROUTE_MAGIC;
    r->loop = loop;
    r->target = target;
    r->limits = *limits;
    r->ops = ops;
    r->arg = arg;
    redis_calls_init(&r->waiting);
    redis_calls_init(&r->again);
    redis_calls_init(&r->ended);
    int res = server_open(r, &r->home);
    if (res < 0) {
        free(r);
        return res;
    }
    *ret = r;
    return 0;
}

struct redis_route *redis_route_free(struct redis_route *r)
{
    if (r == NULL)
        return NULL;
    route_check(r);
    loop_timer_stop(&r->map_timer);
    loop_timer_stop(&r->again_timer);
    loop_timer_stop(&r->ended_timer);
    servers_reap(r, true);
    redis_node_free(r->home.node);
    route_end_all(r, &r->waiting, -ECANCELED);
    route_end_all(r, &r->again, -ECANCELED);
    route_end_all(r, &r->ended, -ECANCELED);
    free((void *)r->slots);
    free(r->known);
    MAGIC_CLEAR(r);
    free(r);
    return NULL;
}

void redis_route_call(struct redis_route *r, struct redis_call *c)
{
    route_check(r);
    c->made_ms = clock_mono_ms();
    route_send(r, c);
}

void redis_route_pick(const struct redis_route *r, unsigned tries, struct redis_address *ret,
                      unsigned *ret_turn)
{
    route_check(r);
    bool any = r->mode == ROUTE_CLUSTER && r->known_count > 0;
    const struct redis_address *from = any ? r->known : r->target->seeds;
    unsigned count = any ? r->known_count : r->target->seeds_count;
    *ret = from[tries % count];
    *ret_turn = tries / count;
}

bool redis_route_knows(const struct redis_route *r, const struct redis_address *node)
{
    route_check(r);
    if (r->mode != ROUTE_CLUSTER || r->known_count == 0)
        return true;
    for (unsigned i = 0; i < r->known_count; i++)
        if (redis_address_eq(&r->known[i], node))
            return true;
    return false;
}
