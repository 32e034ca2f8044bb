/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/upstream_order.h"
#include <stdio.h>
#include <stdlib.h>
#include "../unit.h"
#include "edge/upstream_pick.h"
#include "edge/upstream_server.h"

#define KEYS    20000u
#define SERVERS 10u

static struct digest key_of(unsigned i)
{
    return digest_of(&i, sizeof i);
}

static void servers_make(struct pick_server *s, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char url[64];
        (void)snprintf(url, sizeof url, "https://edge-%u.example.org", i);
        s[i] = (struct pick_server){.id = digest_of(url, strlen(url)), .healthy = true};
    }
}

static void each_server_has_its_share(void **state)
{
    (void)state;
    struct pick_server s[SERVERS];
    servers_make(s, SERVERS);
    unsigned of[SERVERS] = {0};
    for (unsigned i = 0; i < KEYS; i++) {
        struct digest key = key_of(i);
        uint8_t out[PICK_MAX];
        pick_by_key(&key, s, SERVERS, out);
        of[out[0]]++;
    }
    for (unsigned i = 0; i < SERVERS; i++) /* 2,000 each; five standard deviations are 212 */
        assert_in_range(of[i], KEYS / SERVERS * 89 / 100, KEYS / SERVERS * 111 / 100);
}

/* Exactly: the others' order is as it was, with or without it, in the list or out of health. */
static void losing_a_server_moves_its_keys_and_no_others(void **state)
{
    (void)state;
    struct pick_server s[SERVERS];
    servers_make(s, SERVERS);
    for (unsigned lost = 0; lost < SERVERS; lost++) {
        struct pick_server sick[SERVERS];
        struct pick_server less[SERVERS];
        memcpy(sick, s, sizeof s);
        sick[lost].healthy = false;
        unsigned n = 0;
        for (unsigned i = 0; i < SERVERS; i++)
            if (i != lost)
                less[n++] = s[i];
        for (unsigned i = 0; i < KEYS / 10; i++) {
            struct digest key = key_of(i);
            uint8_t all[PICK_MAX], without[PICK_MAX], by_health[PICK_MAX];
            pick_by_key(&key, s, SERVERS, all);
            pick_by_key(&key, less, n, without);
            pick_by_key(&key, sick, SERVERS, by_health);
            unsigned at = 0;
            for (unsigned k = 0; k < SERVERS; k++) {
                if (all[k] == lost)
                    continue;
                assert_int_equal(without[at], all[k] > lost ? all[k] - 1 : all[k]);
                assert_int_equal(by_health[at], all[k]);
                at++;
            }
            assert_int_equal(by_health[SERVERS - 1], lost);
        }
    }
}

static void the_order_does_not_depend_on_the_list(void **state)
{
    (void)state;
    struct pick_server s[SERVERS];
    struct pick_server turned[SERVERS];
    servers_make(s, SERVERS);
    for (unsigned i = 0; i < SERVERS; i++)
        turned[i] = s[SERVERS - 1 - i];
    for (unsigned i = 0; i < 1000; i++) {
        struct digest key = key_of(i);
        uint8_t a[PICK_MAX], b[PICK_MAX];
        pick_by_key(&key, s, SERVERS, a);
        pick_by_key(&key, turned, SERVERS, b);
        for (unsigned k = 0; k < SERVERS; k++)
            assert_int_equal(a[k], SERVERS - 1 - b[k]);
    }
    /* Pinned: edges of different versions agree on owners. */
    struct digest known = digest_of("", 0);
    static const uint8_t expected[] = {3, 9, 7, 4, 6, 0, 8, 1, 5, 2};
    uint8_t out[PICK_MAX];
    pick_by_key(&known, s, SERVERS, out);
    assert_memory_equal(out, expected, sizeof expected);
}

static void by_place_the_healthy_come_first(void **state)
{
    (void)state;
    const struct pick_server s[] = {
        {.healthy = false}, {.healthy = true}, {.healthy = false}, {.healthy = true}};
    uint8_t out[PICK_MAX];
    pick_by_place(s, ARRAY_LEN(s), out);
    const uint8_t expected[] = {1, 3, 0, 2};
    assert_memory_equal(out, expected, sizeof expected);
    pick_by_place(s, 0, out);
    pick_by_key(&(struct digest){{0}}, s, 0, out);
}

/* --- the whole order -------------------------------------------------------------------------- */

#define TIER 5u

struct tier {
    char urls[TIER][64];
    char *siblings[TIER];
    char *parents[2], *servers[2];
    struct upstream_config config;
    struct upstreams *all;
    struct upstream *upstream;
};

/* Edge number `me` of a tier of five, with a shield of two and two servers. */
static void tier_open(struct tier *t, unsigned me, bool with_siblings, bool with_parents)
{
    static char shield_a[] = "http://shield-a", shield_b[] = "http://shield-b";
    static char server_a[] = "http://origin-a", server_b[] = "http://origin-b";
    static char name[] = "u";
    *t = (struct tier){.parents = {shield_a, shield_b}, .servers = {server_a, server_b}};
    for (unsigned i = 0; i < TIER; i++) {
        (void)snprintf(t->urls[i], sizeof t->urls[i], "http://edge-%u", i);
        t->siblings[i] = t->urls[i];
    }
    t->config = (struct upstream_config){.name = name,
                                         .servers = t->servers,
                                         .servers_count = 2,
                                         .parents = t->parents,
                                         .parents_count = with_parents ? 2 : 0,
                                         .siblings = t->siblings,
                                         .siblings_count = with_siblings ? TIER : 0,
                                         .self = with_siblings ? t->urls[me] : NULL};
    struct err err = {{0}};
    if (upstreams_open(&t->config, 1, &err, &t->all) < 0)
        fail_msg("%s", err.text);
    t->upstream = upstream_find(t->all, STR("u"));
}

static struct upstream_server *tier_server(struct tier *t, const char *url)
{
    for (unsigned i = 0; i < t->upstream->all_count; i++)
        if (strcmp(t->upstream->all[i].url, url) == 0)
            return &t->upstream->all[i];
    return NULL;
}

static void server_down(struct upstream_server *s)
{
    assert_non_null(s);
    for (unsigned i = 0; i < s->failures_max; i++)
        upstream_server_failed(s, "test");
}

static struct upstream_order order_of(const struct tier *t, unsigned key, const char *loop)
{
    const struct field field = {STR("cdn-loop"), str_of(loop)};
    const struct fields came = {&field, loop != NULL ? 1 : 0};
    struct digest d = key_of(key);
    struct upstream_order o;
    upstream_order(t->upstream, &d, &came, true, 1, &o);
    return o;
}

/* Whoever is asked by another for a key asks no sibling himself: so nobody waits in a circle. */
static void siblings_ask_only_those_before_them(void **state)
{
    (void)state;
    struct tier t[TIER];
    for (unsigned i = 0; i < TIER; i++)
        tier_open(&t[i], i, true, true);
    unsigned asked = 0;
    for (unsigned key = 0; key < 2000; key++) {
        const char *owner = NULL;
        for (unsigned i = 0; i < TIER; i++) {
            struct upstream_order o = order_of(&t[i], key, NULL);
            const char *first = o.at[0]->role == UPSTREAM_SIBLING ? o.at[0]->url : t[i].config.self;
            if (owner == NULL)
                owner = first;
            assert_string_equal(first, owner); /* all agree */
            unsigned siblings = 0;
            while (o.at[siblings]->role == UPSTREAM_SIBLING)
                siblings++;
            assert_in_range(siblings, 0, UPSTREAM_SIBLINGS_TRIED);
            asked += siblings > 0 ? 1 : 0;
            assert_int_equal(o.at[siblings]->role, UPSTREAM_PARENT);
            assert_int_equal(o.at[siblings + 1]->role, UPSTREAM_PARENT);
            assert_int_equal(o.servers_from, siblings + 2);
            assert_string_equal(o.at[siblings + 2]->url, "http://origin-a");
            assert_string_equal(o.at[siblings + 3]->url, "http://origin-b");
            assert_int_equal(o.count, siblings + 4);
        }
    }
    assert_int_equal(asked, 2000 * (TIER - 1)); /* all but the owner */
    for (unsigned i = 0; i < TIER; i++)
        upstreams_free(t[i].all);
}

static void who_is_down_is_passed_over(void **state)
{
    (void)state;
    struct tier t, before;
    tier_open(&t, 0, true, true);
    tier_open(&before, 0, true, true);
    struct upstream_server *lost = tier_server(&t, "http://edge-3");
    server_down(lost);
    unsigned moved = 0;
    for (unsigned key = 0; key < 2000; key++) {
        struct upstream_order was = order_of(&before, key, NULL);
        struct upstream_order is = order_of(&t, key, NULL);
        for (unsigned i = 0; i < is.count; i++)
            assert_ptr_not_equal(is.at[i], lost);
        if (strcmp(was.at[0]->url, lost->url) == 0)
            moved++;
        else
            assert_string_equal(is.at[0]->url, was.at[0]->url);
    }
    assert_in_range(moved, 300, 500); /* a fifth */
    server_down(tier_server(&t, "http://shield-a"));
    server_down(tier_server(&t, "http://origin-a"));
    struct upstream_order o = order_of(&t, 1, NULL);
    unsigned from = o.servers_from;
    assert_string_equal(o.at[from - 1]->url, "http://shield-b");
    assert_string_equal(o.at[from]->url, "http://origin-b");
    assert_string_equal(o.at[from + 1]->url, "http://origin-a"); /* at last, all the same */
    assert_string_equal(o.at[from + 2]->url, "http://shield-a");
    assert_int_equal(o.count, from + 3);
    upstreams_free(t.all);
    upstreams_free(before.all);
}

static void a_siblings_question_goes_to_no_sibling(void **state)
{
    (void)state;
    struct tier t;
    tier_open(&t, 0, true, true);
    static const char *const loops[] = {"weir-1;to=sibling", "a, weir-1; x=y ; to=sibling",
                                        "weir-0, weir-1;to=sibling,"};
    for (unsigned key = 0; key < 100; key++)
        for (size_t i = 0; i < ARRAY_LEN(loops); i++)
            assert_int_equal(order_of(&t, key, loops[i]).at[0]->role, UPSTREAM_PARENT);
    /* From below us, though it went between siblings there: our own siblings may be asked. */
    unsigned siblings = 0;
    for (unsigned key = 0; key < 100; key++)
        siblings += order_of(&t, key, "weir-1;to=sibling, weir-2").at[0]->role == UPSTREAM_SIBLING;
    assert_true(siblings > 50);
    struct digest d = key_of(1);
    struct upstream_order o;
    upstream_order(t.upstream, &d, &(struct fields){NULL, 0}, false, 1, &o);
    assert_int_equal(o.count, 2); /* past other edges: servers alone */
    assert_int_equal(o.servers_from, 0);
    upstreams_free(t.all);
}

static void a_loop_is_seen_by_its_id(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool has;
    } cases[] = {{"weir-7", true},   {"a, weir-7", true}, {"a , WEIR-7 ;to=sibling, b", true},
                 {"weir-77", false}, {"weir-", false},    {"a;b=weir-7", false},
                 {"", false},        {",,;,", false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct field f[] = {{STR("via"), STR("weir-7")},
                                  {STR("cdn-loop"), str_of(cases[i].value)}};
        assert_int_equal(upstream_loop_has(&(struct fields){f, 2}, STR("weir-7")), cases[i].has);
    }
    const struct field two[] = {{STR("cdn-loop"), STR("weir-7")}, {STR("cdn-loop"), STR("b")}};
    assert_true(upstream_loop_has(&(struct fields){two, 2}, STR("weir-7")));
}

/* --- health ----------------------------------------------------------------------------------- */

static void a_server_goes_and_comes_back(void **state)
{
    (void)state;
    struct tier t;
    tier_open(&t, 0, false, false);
    struct upstream_server *s = tier_server(&t, "http://origin-a");
    uint64_t long_after = UINT64_MAX - 1;
    assert_false(s->is_checked);
    upstream_server_failed(s, "x");
    upstream_server_failed(s, "x");
    upstream_server_answered(s); /* not in a row */
    upstream_server_failed(s, "x");
    upstream_server_failed(s, "x");
    assert_true(upstream_server_is_up(s, 0));
    upstream_server_failed(s, "x");
    assert_false(upstream_server_is_up(s, 0));
    assert_true(upstream_server_is_up(s, long_after)); /* nobody checks it: time does */
    upstream_server_answered(s);
    assert_true(upstream_server_is_up(s, 0));
    s->is_checked = true;
    server_down(s);
    assert_false(upstream_server_is_up(s, long_after));
    upstream_server_answered(s); /* one request is no proof where there are checks */
    assert_false(upstream_server_is_up(s, long_after));
    upstream_server_checked(s, true, "");
    upstream_server_checked(s, false, "x");
    upstream_server_checked(s, true, "");
    assert_false(upstream_server_is_up(s, long_after));
    upstream_server_checked(s, true, "");
    assert_true(upstream_server_is_up(s, 0));
    upstreams_free(t.all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_server_has_its_share),
        cmocka_unit_test(losing_a_server_moves_its_keys_and_no_others),
        cmocka_unit_test(the_order_does_not_depend_on_the_list),
        cmocka_unit_test(by_place_the_healthy_come_first),
        cmocka_unit_test(siblings_ask_only_those_before_them),
        cmocka_unit_test(who_is_down_is_passed_over),
        cmocka_unit_test(a_siblings_question_goes_to_no_sibling),
        cmocka_unit_test(a_loop_is_seen_by_its_id),
        cmocka_unit_test(a_server_goes_and_comes_back),
    };
    return cmocka_run_group_tests_name("upstream_order", tests, NULL, NULL);
}
