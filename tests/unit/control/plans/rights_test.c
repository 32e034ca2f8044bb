/* SPDX-License-Identifier: Apache-2.0 */
#include "control/plans/rights.h"
#include <errno.h>
#include <pthread.h>
#include "control/plans/plans.h"
#include "../fixture.h"

#define NOW INT64_C(1700000000000)

static struct entitle_ask filled(const json_t *doc, struct entitle_grant *grants)
{
    struct entitle_ask ask = {.plan = "left over", .plan_until_ms = 7, .stream_limit = 7};
    rights_fill(doc, &ask, grants);
    return ask;
}

static void test_plan(void **state)
{
    struct fixture *f = *state;
    json_t *doc = NULL;
    assert_int_equal(rights_get(f->db, "u1", &doc), 0);
    assert_null(doc);
    struct entitle_ask ask = filled(NULL, NULL);
    assert_true(ask.plan == NULL && ask.plan_until_ms == 0 && ask.stream_limit == 0);
    assert_int_equal(rights_set_plan(f->db, "u1", "basic", NOW + 5, -1, NOW, NULL), 0);
    assert_int_equal(rights_set_plan(f->db, "u1", "premium", NOW + 9, 7, NOW, &doc), 0);
    ask = filled(doc, NULL);
    assert_string_equal(ask.plan, "premium");
    assert_int_equal(ask.plan_until_ms, NOW + 9);
    assert_int_equal(ask.stream_limit, 7);
    json_decref(doc);
    assert_int_equal(rights_set_plan(f->db, "u1", "basic", 0, -1, NOW, &doc), 0);
    ask = filled(doc, NULL);
    assert_string_equal(ask.plan, "basic");
    assert_true(ask.plan_until_ms == 0 && ask.stream_limit == 7); /* kept */
    json_decref(doc);
    assert_int_equal(rights_set_plan(f->db, "u1", NULL, 0, 0, NOW, &doc), 0);
    ask = filled(doc, NULL);
    assert_true(ask.plan == NULL && ask.stream_limit == 0);
    json_decref(doc);
}

static void test_grants(void **state)
{
    struct fixture *f = *state;
    static struct entitle_grant grants[RIGHTS_GRANTS_MAX];
    json_t *doc = NULL;
    const struct entitle_grant rented = {"film", NOW, NOW + 100, 1080};
    const struct entitle_grant bought = {"other", NOW, 0, 0};
    assert_int_equal(rights_grant(f->db, "u1", &rented, NOW), 0);
    assert_int_equal(rights_set_plan(f->db, "u1", "basic", 0, -1, NOW, NULL), 0);
    assert_int_equal(rights_grant(f->db, "u1", &bought, NOW + 50), 0);
    assert_int_equal(rights_get(f->db, "u1", &doc), 0);
    struct entitle_ask ask = filled(doc, grants);
    assert_int_equal(ask.grants_count, 2);
    assert_string_equal(grants[0].asset, "film");
    assert_true(grants[0].until_ms == NOW + 100 && grants[0].height_max == 1080);
    assert_string_equal(grants[1].asset, "other");
    assert_string_equal(ask.plan, "basic");
    json_decref(doc);
    assert_int_equal(rights_grant(f->db, "u1", &bought, NOW + 100), 0); /* rented one has run out */
    assert_int_equal(rights_get(f->db, "u1", &doc), 0);
    assert_int_equal(filled(doc, grants).grants_count, 2);
    assert_string_equal(grants[0].asset, "other");
    json_decref(doc);
}

static void test_many(void **state)
{
    struct fixture *f = *state;
    static const char *const users[] = {"a", "none", "b"};
    json_t *docs = NULL;
    assert_int_equal(rights_set_plan(f->db, "a", "basic", 0, -1, NOW, NULL), 0);
    assert_int_equal(rights_set_plan(f->db, "b", "ultimate", 0, -1, NOW, NULL), 0);
    assert_int_equal(rights_get_many(f->db, users, 3, &docs), 0);
    assert_int_equal(json_array_size(docs), 3);
    assert_string_equal(filled(json_array_get(docs, 0), NULL).plan, "basic");
    assert_null(filled(json_array_get(docs, 1), NULL).plan);
    assert_string_equal(filled(json_array_get(docs, 2), NULL).plan, "ultimate");
    json_decref(docs);
}

struct giver {
    pthread_t thread;
    struct db *db;
    unsigned index;
};

static void *giver_main(void *arg)
{
    const struct giver *g = arg;
    char asset[16];
    (void)snprintf(asset, sizeof asset, "film-%u", g->index);
    const struct entitle_grant grant = {asset, NOW, 0, 0};
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(rights_grant(g->db, "u1", &grant, NOW), 0);
    return NULL;
}

/* Nobody's purchase is lost in another's. */
static void test_race(void **state)
{
    struct fixture *f = *state;
    static struct entitle_grant grants[RIGHTS_GRANTS_MAX];
    struct giver givers[6];
    json_t *doc = NULL;
    for (unsigned i = 0; i < ARRAY_LEN(givers); i++) {
        givers[i] = (struct giver){.db = f->db, .index = i};
        assert_int_equal(pthread_create(&givers[i].thread, NULL, giver_main, &givers[i]), 0);
    }
    for (unsigned i = 0; i < ARRAY_LEN(givers); i++)
        assert_int_equal(pthread_join(givers[i].thread, NULL), 0);
    assert_int_equal(rights_get(f->db, "u1", &doc), 0);
    assert_int_equal(filled(doc, grants).grants_count, 30);
    json_decref(doc);
}

/* The list of plans: seeded once, changed as a whole, and never over somebody else's change. */
static void test_plans(void **state)
{
    struct fixture *f = *state;
    struct plans *p = NULL;
    struct plans *other = NULL;
    struct plan_list *l = NULL;
    struct fault fault = {0};
    int64_t rev = 0, rev_now = 0;
    assert_int_equal(plans_new(f->db, MODEL_PLANS, &p), 0);
    assert_int_equal(plans_get(p, &l, &rev), 0);
    assert_int_equal(l->count, 4);
    l->at[2].stream_limit = 3;
    json_t *array = plan_list_json(l);
    plan_list_free(l);
    assert_int_equal(plans_set(p, array, rev + 7, &rev_now, &fault), -EPROTO);
    assert_int_equal(fault.status, 412);
    assert_int_equal(plans_set(p, array, rev, &rev_now, &fault), 0);
    assert_int_equal(rev_now, rev + 1);
    assert_int_equal(plans_get(p, &l, &rev), 0); /* at once */
    assert_true(l->at[2].stream_limit == 3 && rev == rev_now);
    plan_list_free(l);
    assert_int_equal(json_object_set_new(json_array_get(array, 3), "stream_limit", json_integer(1)),
                     0);
    assert_int_equal(plans_set(p, array, 0, &rev_now, &fault), -EPROTO);
    assert_string_equal(fault.code, "PLAN_INCLUDES_LESS");
    json_decref(array);
    assert_int_equal(plans_new(f->db, MODEL_PLANS, &other), 0); /* a second start seeds nothing */
    assert_int_equal(plans_get(other, &l, &rev), 0);
    assert_int_equal(l->at[2].stream_limit, 3);
    plan_list_free(l);
    plans_free(other);
    plans_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_CASE(test_plan), FIXTURE_CASE(test_grants), FIXTURE_CASE(test_many),
        FIXTURE_CASE(test_race), FIXTURE_CASE(test_plans),
    };
    return cmocka_run_group_tests_name("control rights", tests, NULL, NULL);
}
