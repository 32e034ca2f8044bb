/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/upstream_order.h"
#include "edge/upstream_pick.h"
#include "edge/upstream_server.h"

static struct str upstream_loop_last(const struct fields *came)
{
    struct str last = STR_NONE;
    for (unsigned i = 0; i < came->count; i++) {
        if (!str_eq(came->at[i].name, STR("cdn-loop")))
            continue;
        struct str rest = came->at[i].value;
        while (rest.size > 0) {
            struct str one = str_trim(str_cut(rest, ',', &rest));
            if (one.size > 0)
                last = one;
        }
    }
    return last;
}

bool upstream_loop_has(const struct fields *came, struct str id)
{
    for (unsigned i = 0; i < came->count; i++) {
        if (!str_eq(came->at[i].name, STR("cdn-loop")))
            continue;
        struct str rest = came->at[i].value;
        while (rest.size > 0) {
            struct str parameters;
            struct str one = str_cut(rest, ',', &rest);
            if (str_eq_nocase(str_trim(str_cut(one, ';', &parameters)), id))
                return true;
        }
    }
    return false;
}

bool upstream_loop_is_sibling(const struct fields *came)
{
    struct str rest;
    (void)str_cut(upstream_loop_last(came), ';', &rest);
    while (rest.size > 0) {
        if (str_eq(str_trim(str_cut(rest, ';', &rest)), STR(UPSTREAM_TO_SIBLING)))
            return true;
    }
    return false;
}

/* Of one role, best first. */
static unsigned upstream_sort(const struct upstream *u, enum upstream_role role, bool by_key,
                              const struct digest *key, uint64_t now_ms,
                              struct upstream_server *out[UPSTREAM_SERVERS_MAX],
                              unsigned *ret_healthy)
{
    struct pick_server servers[UPSTREAM_SERVERS_MAX] = {{.healthy = false}};
    struct upstream_server *of[UPSTREAM_SERVERS_MAX];
    uint8_t order[PICK_MAX];
    unsigned n = 0;
    unsigned healthy = 0;
    for (unsigned i = 0; i < u->all_count; i++) {
        struct upstream_server *s = &u->all[i];
        if (s->role != role)
            continue;
        bool up = upstream_server_is_up(s, now_ms);
        healthy += up ? 1 : 0;
        of[n] = s;
        servers[n++] = (struct pick_server){.id = s->id, .healthy = up};
    }
    if (by_key)
        pick_by_key(key, servers, n, order);
    else
        pick_by_place(servers, n, order);
    for (unsigned i = 0; i < n; i++)
        out[i] = of[order[i]];
    *ret_healthy = healthy;
    return n;
}

/* Those that are well and come before ourselves: so two edges never wait for each other. */
static void upstream_add_siblings(const struct upstream *u, const struct digest *key,
                                  uint64_t now_ms, struct upstream_order *o)
{
    struct upstream_server *list[UPSTREAM_SERVERS_MAX];
    unsigned healthy;
    unsigned n = upstream_sort(u, UPSTREAM_SIBLING, true, key, now_ms, list, &healthy);
    for (unsigned i = 0; i < MIN(n, (unsigned)UPSTREAM_SIBLINGS_TRIED) && i < healthy; i++) {
        const struct pick_server two[] = {{.id = u->self, .healthy = true},
                                          {.id = list[i]->id, .healthy = true}};
        uint8_t order[PICK_MAX];
        pick_by_key(key, two, 2, order);
        if (order[0] == 0)
            break;
        o->at[o->count++] = list[i];
    }
}

void upstream_order(const struct upstream *u, const struct digest *key, const struct fields *came,
                    bool by_peers, uint64_t now_ms, struct upstream_order *ret)
{
    struct upstream_order o = {.count = 0};
    struct upstream_server *parents[UPSTREAM_SERVERS_MAX];
    struct upstream_server *servers[UPSTREAM_SERVERS_MAX];
    unsigned parents_up = 0;
    unsigned servers_up;
    unsigned parents_count = 0;
    if (by_peers) {
        if (!upstream_loop_is_sibling(came))
            upstream_add_siblings(u, key, now_ms, &o);
        parents_count = upstream_sort(u, UPSTREAM_PARENT, true, key, now_ms, parents, &parents_up);
    }
    unsigned servers_count =
        upstream_sort(u, UPSTREAM_SERVER, upstream_is_hashed(u), key, now_ms, servers, &servers_up);
    for (unsigned i = 0; i < parents_up; i++)
        o.at[o.count++] = parents[i];
    o.servers_from = o.count;
    for (unsigned i = 0; i < servers_count; i++) /* those that are down behind the others */
        o.at[o.count++] = servers[i];
    for (unsigned i = parents_up; i < parents_count; i++)
        o.at[o.count++] = parents[i];
    *ret = o;
}
