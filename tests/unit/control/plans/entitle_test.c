/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of entitle.h as a table: each row is one viewer before one title. */
#include "control/plans/entitle.h"
#include "../../unit.h"

#define NOW INT64_C(1700000000000)
#define DAY INT64_C(86400000)

static const char *const germany[] = {"DE"};
static const char *const unknown_too[] = {"?", "AT", "DE"};
static const char *const alps[] = {"AT", "CH", "DE"};
static const struct entitle_grant rented[] = {
    {"other", 0, 0, 0},
    {"film", NOW - DAY, NOW + DAY, 1080},
};
static const struct entitle_grant bought[] = {
    {"film", NOW - DAY, NOW + DAY, 1080},
    {"film", NOW - DAY, 0, 0},
    {"film", NOW - DAY, 0, 2160},
};
static const struct entitle_grant stale[] = {
    {"film", NOW - DAY, NOW, 0},
    {"film", NOW + 1, NOW + DAY, 0},
};
#define GRANTS(list) .grants = (list), .grants_count = ARRAY_LEN(list)
#define LIST(list)                                                                                 \
    {                                                                                              \
        (list), ARRAY_LEN(list)                                                                    \
    }

struct row {
    const char *what;
    struct entitle_ask ask; /* plans, now, asset, is_published, ages are put in below */
    bool is_draft;
    int age_max; /* 0: none */
    int age;     /* 0: for all; -1: not rated */
    bool allowed;
    enum entitle_why why;
    const char *plan, *needed;
    uint32_t height;
    unsigned streams;
    bool ads;
    int64_t until_ms;
};

static const struct row rows[] = {
    /* plans */
    {"nobody, a free title",
     {0},
     .allowed = true,
     .why = ENTITLE_BY_PLAN,
     .plan = "free",
     .height = 480,
     .streams = 1,
     .ads = true},
    {"nobody, a basic title",
     {.tier = "basic"},
     .why = ENTITLE_PLAN_NEEDED,
     .plan = "free",
     .needed = "basic"},
    {"free, an ultimate title",
     {.user = "u", .plan = "free", .tier = "ultimate"},
     .why = ENTITLE_PLAN_NEEDED,
     .plan = "free",
     .needed = "ultimate"},
    {"basic, a basic title",
     {.user = "u", .plan = "basic", .tier = "basic"},
     .allowed = true,
     .why = ENTITLE_BY_PLAN,
     .plan = "basic",
     .height = 720,
     .streams = 1},
    {"basic, a premium title",
     {.user = "u", .plan = "basic", .tier = "premium"},
     .why = ENTITLE_PLAN_NEEDED,
     .plan = "basic",
     .needed = "premium"},
    {"premium, a basic title",
     {.user = "u", .plan = "premium", .tier = "basic"},
     .allowed = true,
     .why = ENTITLE_BY_PLAN,
     .plan = "premium",
     .height = 1080,
     .streams = 2},
    {"ultimate, a free title",
     {.user = "u", .plan = "ultimate"},
     .allowed = true,
     .why = ENTITLE_BY_PLAN,
     .plan = "ultimate",
     .height = 2160,
     .streams = 4},
    {"a plan that is no more",
     {.user = "u", .plan = "gold", .tier = "basic"},
     .why = ENTITLE_PLAN_NEEDED,
     .plan = "free",
     .needed = "basic"},
    {"a title whose plan is no more",
     {.user = "u", .plan = "premium", .tier = "gold"},
     .why = ENTITLE_PLAN_NEEDED,
     .plan = "premium",
     .needed = "ultimate"},
    {"the highest has it",
     {.user = "u", .plan = "ultimate", .tier = "gold"},
     .allowed = true,
     .why = ENTITLE_BY_PLAN,
     .plan = "ultimate",
     .height = 2160,
     .streams = 4},
    {"one's own limit",
     {.user = "u", .plan = "basic", .stream_limit = 9},
     .allowed = true,
     .why = ENTITLE_BY_PLAN,
     .plan = "basic",
     .height = 720,
     .streams = 9},
    {"the installation's default",
     {.user = "u", .default_plan = "premium", .default_limit = 3, .tier = "basic"},
     .allowed = true,
     .why = ENTITLE_BY_PLAN,
     .plan = "premium",
     .height = 1080,
     .streams = 3},
    {"a plan of one's own instead of the default",
     {.user = "u", .plan = "basic", .default_plan = "premium", .default_limit = 3},
     .allowed = true,
     .why = ENTITLE_BY_PLAN,
     .plan = "basic",
     .height = 720,
     .streams = 1},
    {"run out, back to the default",
     {.user = "u",
      .plan = "ultimate",
      .plan_until_ms = NOW,
      .default_plan = "basic",
      .default_limit = 3},
     .allowed = true,
     .why = ENTITLE_BY_PLAN,
     .plan = "basic",
     .height = 720,
     .streams = 3},
    {"a default that is no more",
     {.user = "u", .default_plan = "gold"},
     .allowed = true,
     .why = ENTITLE_BY_PLAN,
     .plan = "free",
     .height = 480,
     .streams = 1,
     .ads = true},
    /* time */
    {"until tomorrow",
     {.user = "u", .plan = "premium", .plan_until_ms = NOW + DAY, .tier = "premium"},
     .allowed = true,
     .why = ENTITLE_BY_PLAN,
     .plan = "premium",
     .height = 1080,
     .streams = 2,
     .until_ms = NOW + DAY},
    {"until a millisecond from now",
     {.user = "u", .plan = "premium", .plan_until_ms = NOW + 1, .tier = "premium"},
     .allowed = true,
     .why = ENTITLE_BY_PLAN,
     .plan = "premium",
     .height = 1080,
     .streams = 2,
     .until_ms = NOW + 1},
    {"until now",
     {.user = "u", .plan = "premium", .plan_until_ms = NOW, .tier = "premium"},
     .why = ENTITLE_PLAN_NEEDED,
     .plan = "free",
     .needed = "premium"},
    {"run out, a free title",
     {.user = "u", .plan = "premium", .plan_until_ms = NOW - DAY},
     .allowed = true,
     .why = ENTITLE_BY_PLAN,
     .plan = "free",
     .height = 480,
     .streams = 1,
     .ads = true},
    /* owner and administrator */
    {"the owner's draft",
     {.user = "u", .owner = "u", .tier = "ultimate"},
     .is_draft = true,
     .allowed = true,
     .why = ENTITLE_BY_OWNER,
     .plan = "free",
     .streams = 1},
    {"another's draft",
     {.user = "u", .plan = "ultimate", .owner = "v"},
     .is_draft = true,
     .why = ENTITLE_NOT_PUBLISHED,
     .plan = "ultimate"},
    {"nobody's draft, nobody asks",
     {0},
     .is_draft = true,
     .why = ENTITLE_NOT_PUBLISHED,
     .plan = "free"},
    {"an administrator",
     {.user = "u",
      .is_admin = true,
      .tier = "ultimate",
      .owner = "v",
      .block = LIST(germany),
      .country = "DE"},
     .is_draft = true,
     .age = 18,
     .allowed = true,
     .why = ENTITLE_BY_ADMIN,
     .plan = "free",
     .streams = 1},
    {"an administrator's child",
     {.user = "u", .is_admin = true, .owner = "v"},
     .age_max = 6,
     .age = 18,
     .why = ENTITLE_AGE,
     .plan = "free"},
    {"the owner's child, a draft",
     {.user = "u", .owner = "u"},
     .is_draft = true,
     .age_max = 6,
     .why = ENTITLE_NOT_PUBLISHED,
     .plan = "free"},
    {"the owner, blocked in the country",
     {.user = "u", .owner = "u", .block = LIST(germany), .country = "DE"},
     .allowed = true,
     .why = ENTITLE_BY_OWNER,
     .plan = "free",
     .streams = 1},
    /* age */
    {"a child, a title for all",
     {.user = "u"},
     .age_max = 6,
     .allowed = true,
     .why = ENTITLE_BY_PLAN,
     .plan = "free",
     .height = 480,
     .streams = 1,
     .ads = true},
    {"a child, at the limit",
     {.user = "u"},
     .age_max = 12,
     .age = 12,
     .allowed = true,
     .why = ENTITLE_BY_PLAN,
     .plan = "free",
     .height = 480,
     .streams = 1,
     .ads = true},
    {"a child, beyond it",
     {.user = "u", .plan = "ultimate"},
     .age_max = 12,
     .age = 13,
     .why = ENTITLE_AGE,
     .plan = "ultimate"},
    {"a child, not rated",
     {.user = "u"},
     .age_max = 17,
     .age = -1,
     .why = ENTITLE_AGE,
     .plan = "free"},
    {"any limit, not rated",
     {.user = "u"},
     .age_max = 21,
     .age = -1,
     .why = ENTITLE_AGE,
     .plan = "free"},
    {"no limit, not rated",
     {.user = "u"},
     .age = -1,
     .allowed = true,
     .why = ENTITLE_BY_PLAN,
     .plan = "free",
     .height = 480,
     .streams = 1,
     .ads = true},
    {"a child's grant does not help",
     {.user = "u", GRANTS(bought)},
     .age_max = 12,
     .age = 16,
     .why = ENTITLE_AGE,
     .plan = "free"},
    /* country */
    {"blocked there",
     {.user = "u", .block = LIST(alps), .country = "CH"},
     .why = ENTITLE_COUNTRY,
     .plan = "free"},
    {"not blocked there",
     {.user = "u", .block = LIST(germany), .country = "CH"},
     .allowed = true,
     .why = ENTITLE_BY_PLAN,
     .plan = "free",
     .height = 480,
     .streams = 1,
     .ads = true},
    {"allowed there",
     {.user = "u", .allow = LIST(alps), .country = "DE"},
     .allowed = true,
     .why = ENTITLE_BY_PLAN,
     .plan = "free",
     .height = 480,
     .streams = 1,
     .ads = true},
    {"allowed elsewhere",
     {.user = "u", .plan = "ultimate", .allow = LIST(germany), .country = "CH"},
     .why = ENTITLE_COUNTRY,
     .plan = "ultimate"},
    {"allowed somewhere, country unknown",
     {.user = "u", .allow = LIST(alps)},
     .why = ENTITLE_COUNTRY,
     .plan = "free"},
    {"allowed somewhere, country empty",
     {.user = "u", .allow = LIST(alps), .country = ""},
     .why = ENTITLE_COUNTRY,
     .plan = "free"},
    {"allowed where nobody knows",
     {.user = "u", .allow = LIST(unknown_too), .country = "?"},
     .allowed = true,
     .why = ENTITLE_BY_PLAN,
     .plan = "free",
     .height = 480,
     .streams = 1,
     .ads = true},
    {"allowed there and where nobody knows, elsewhere",
     {.user = "u", .allow = LIST(unknown_too), .country = "CH"},
     .why = ENTITLE_COUNTRY,
     .plan = "free"},
    {"blocked somewhere, country unknown",
     {.user = "u", .block = LIST(alps), .country = ""},
     .allowed = true,
     .why = ENTITLE_BY_PLAN,
     .plan = "free",
     .height = 480,
     .streams = 1,
     .ads = true},
    {"both lists: blocked wins",
     {.user = "u", .allow = LIST(alps), .block = LIST(germany), .country = "DE"},
     .why = ENTITLE_COUNTRY,
     .plan = "free"},
    {"bought, but not for here",
     {.user = "u", GRANTS(bought), .block = LIST(germany), .country = "DE"},
     .why = ENTITLE_COUNTRY,
     .plan = "free"},
    /* grants */
    {"rented",
     {.user = "u", .tier = "ultimate", GRANTS(rented)},
     .allowed = true,
     .why = ENTITLE_BY_GRANT,
     .plan = "free",
     .height = 1080,
     .streams = 1,
     .until_ms = NOW + DAY},
    {"bought: the largest picture, for ever",
     {.user = "u", .tier = "ultimate", GRANTS(bought)},
     .allowed = true,
     .why = ENTITLE_BY_GRANT,
     .plan = "free",
     .height = 0,
     .streams = 1},
    {"run out and not begun",
     {.user = "u", .tier = "basic", GRANTS(stale)},
     .why = ENTITLE_PLAN_NEEDED,
     .plan = "free",
     .needed = "basic"},
    {"rented beside a plan: the larger picture, while both last",
     {.user = "u", .plan = "basic", .tier = "basic", GRANTS(rented)},
     .allowed = true,
     .why = ENTITLE_BY_PLAN,
     .plan = "basic",
     .height = 1080,
     .streams = 1,
     .until_ms = NOW + DAY},
    {"rented beside a greater plan",
     {.user = "u", .plan = "ultimate", .tier = "basic", .plan_until_ms = NOW + 5, GRANTS(rented)},
     .allowed = true,
     .why = ENTITLE_BY_PLAN,
     .plan = "ultimate",
     .height = 2160,
     .streams = 4,
     .until_ms = NOW + 5},
};

static void test_rows(void **state)
{
    (void)state;
    CLEAN(plan_list_free) struct plan_list *plans = NULL;
    assert_int_equal(plan_list_default(&plans), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        struct entitle_ask ask = row->ask;
        ask.plans = plans;
        ask.now_ms = NOW;
        ask.asset = "film";
        ask.is_published = !row->is_draft;
        ask.age_max = row->age_max == 0 ? -1 : row->age_max;
        ask.age = row->age;
        struct entitle_verdict v = entitle(&ask);
        if (v.allowed != row->allowed || v.why != row->why)
            fail_msg("%s: %d by %s", row->what, v.allowed, entitle_why_text(v.why));
        if (strcmp(v.plan->id, row->plan) != 0)
            fail_msg("%s: plan %s", row->what, v.plan->id);
        if ((v.needed == NULL) != (row->needed == NULL) ||
            (v.needed != NULL && strcmp(v.needed->id, row->needed) != 0))
            fail_msg("%s: needs %s", row->what, v.needed == NULL ? "nothing" : v.needed->id);
        if (v.allowed && (v.height_max != row->height || v.stream_limit != row->streams ||
                          v.ads != row->ads || v.until_ms != row->until_ms))
            fail_msg("%s: %u lines, %u streams, ads %d, until %lld", row->what, v.height_max,
                     v.stream_limit, v.ads, (long long)v.until_ms);
    }
}

/* Whatever else is so: a higher plan never gets less than a lower one, of any title. */
static void test_each_includes_the_lower(void **state)
{
    (void)state;
    CLEAN(plan_list_free) struct plan_list *plans = NULL;
    assert_int_equal(plan_list_default(&plans), 0);
    for (unsigned tier = 0; tier < plans->count; tier++) {
        for (unsigned variant = 0; variant < 16; variant++) {
            struct entitle_verdict below = {0};
            for (unsigned p = 0; p < plans->count; p++) {
                const struct entitle_ask ask = {
                    .plans = plans,
                    .now_ms = NOW,
                    .user = "u",
                    .plan = plans->at[p].id,
                    .age_max = (variant & 1) != 0 ? 12 : -1,
                    .age = (variant & 2) != 0 ? 16 : 6,
                    .country = (variant & 4) != 0 ? "DE" : NULL,
                    .asset = "film",
                    .tier = plans->at[tier].id,
                    .is_published = true,
                    .allow = {germany, (variant & 8) != 0 ? 1U : 0U},
                };
                struct entitle_verdict v = entitle(&ask);
                assert_true(v.allowed || !below.allowed);
                assert_true(v.stream_limit >= below.stream_limit);
                assert_true(!below.allowed || v.height_max >= below.height_max);
                assert_true(!below.allowed || !v.ads || below.ads);
                below = v;
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_each_includes_the_lower),
    };
    return cmocka_run_group_tests_name("control entitle", tests, NULL, NULL);
}
