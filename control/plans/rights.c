/* SPDX-License-Identifier: Apache-2.0 */
#include "control/plans/rights.h"
#include <errno.h>
#include "control/model.h"
#include "lease/lease.h"

#define RIGHTS_TRIES 32

int rights_get(struct db *db, const char *user, json_t **ret)
{
    int r = db_get(db, MODEL_RIGHTS, user, ret);
    if (r == -ENOENT)
        *ret = NULL;
    return r == -ENOENT ? 0 : r;
}

int rights_get_many(struct db *db, const char *const *users, unsigned count, json_t **ret)
{
    return db_get_many(db, MODEL_RIGHTS, users, count, ret);
}

static int64_t rights_number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

/* --- changing --------------------------------------------------------------------------------- */

struct rights_change {
    const char *plan;
    int64_t until_ms;
    int own_limit;
    const struct entitle_grant *grant; /* NULL: the plan is changed */
    int64_t now_ms;
};

static int rights_put(json_t *doc, const char *name, json_t *value)
{
    return json_object_set_new(doc, name, value) < 0 ? -ENOMEM : 0;
}

static int rights_apply_plan(json_t *doc, const struct rights_change *c)
{
    int r = 0;
    (void)json_object_del(doc, "plan"); /* what is not there is fine */
    (void)json_object_del(doc, "plan_until_ms");
    if (c->plan != NULL)
        r = rights_put(doc, "plan", json_string(c->plan));
    if (r == 0 && c->plan != NULL && c->until_ms != 0)
        r = rights_put(doc, "plan_until_ms", json_integer(c->until_ms));
    if (c->own_limit == 0)
        (void)json_object_del(doc, "stream_limit");
    if (r == 0 && c->own_limit > 0)
        r = rights_put(doc, "stream_limit", json_integer(c->own_limit));
    return r;
}

static int rights_apply_grant(json_t *doc, const struct rights_change *c)
{
    const struct entitle_grant *g = c->grant;
    json_t *grants = json_object_get(doc, "grants");
    if (grants == NULL) {
        if (rights_put(doc, "grants", json_array()) < 0)
            return -ENOMEM;
        grants = json_object_get(doc, "grants");
    }
    for (size_t i = json_array_size(grants); i > 0; i--) {
        int64_t until_ms = rights_number(json_array_get(grants, i - 1), "until_ms");
        if (until_ms != 0 && until_ms <= c->now_ms)
            (void)json_array_remove(grants, i - 1);
    }
    if (json_array_size(grants) >= RIGHTS_GRANTS_MAX)
        return -ENOSPC;
    json_t *grant =
        json_pack("{s:s, s:I, s:I, s:i}", "asset", g->asset, "from_ms", (json_int_t)g->from_ms,
                  "until_ms", (json_int_t)g->until_ms, "height_max", (int)g->height_max);
    return json_array_append_new(grants, grant) < 0 ? -ENOMEM : 0;
}

static int rights_change_once(struct db *db, const char *user, const struct rights_change *c,
                              json_t **ret)
{
    json_t *doc = NULL;
    int r = rights_get(db, user, &doc);
    if (r < 0)
        return r;
    bool is_new = doc == NULL;
    if (is_new)
        doc = json_pack("{s:s, s:i}", "id", user, "rev", 0);
    json_t *before = json_incref(json_object_get(doc, "rev"));
    r = doc == NULL        ? -ENOMEM
        : c->grant != NULL ? rights_apply_grant(doc, c)
                           : rights_apply_plan(doc, c);
    if (r == 0)
        r = rights_put(doc, "rev", json_integer(json_integer_value(before) + 1));
    if (r == 0)
        r = rights_put(doc, "updated_ms", json_integer(c->now_ms));
    if (r == 0)
        r = is_new ? db_insert(db, MODEL_RIGHTS, doc)
                   : db_replace_if(db, MODEL_RIGHTS, doc, "rev", before);
    json_decref(before);
    if (r == 0 && ret != NULL)
        *ret = doc;
    else
        json_decref(doc);
    return r;
}

static int rights_change(struct db *db, const char *user, const struct rights_change *c,
                         json_t **ret)
{
    for (unsigned i = 0; i < RIGHTS_TRIES; i++) {
        int r = rights_change_once(db, user, c, ret);
        if (r != -ESTALE && r != -EEXIST)
            return r;
    }
    return -EBUSY;
}

int rights_set_plan(struct db *db, const char *user, const char *plan, int64_t until_ms,
                    int own_limit, int64_t now_ms, json_t **ret)
{
    const struct rights_change c = {
        .plan = plan, .until_ms = until_ms, .own_limit = own_limit, .now_ms = now_ms};
    return rights_change(db, user, &c, ret);
}

int rights_grant(struct db *db, const char *user, const struct entitle_grant *grant, int64_t now_ms)
{
    const struct rights_change c = {.grant = grant, .now_ms = now_ms};
    return rights_change(db, user, &c, NULL);
}

/* --- asking ----------------------------------------------------------------------------------- */

void rights_fill(const json_t *doc, struct entitle_ask *ask, struct entitle_grant *grants)
{
    size_t i;
    const json_t *each;
    int64_t limit = rights_number(doc, "stream_limit");
    ask->plan = json_string_value(json_object_get(doc, "plan"));
    ask->plan_until_ms = rights_number(doc, "plan_until_ms");
    ask->stream_limit = limit > 0 && limit <= LEASE_LIMIT_MAX ? (unsigned)limit : 0;
    ask->grants = grants;
    ask->grants_count = 0;
    if (grants == NULL)
        return;
    json_array_foreach(json_object_get(doc, "grants"), i, each)
    {
        int64_t height = rights_number(each, "height_max");
        if (ask->grants_count == RIGHTS_GRANTS_MAX)
            break;
        grants[ask->grants_count++] = (struct entitle_grant){
            .asset = json_string_value(json_object_get(each, "asset")),
            .from_ms = rights_number(each, "from_ms"),
            .until_ms = rights_number(each, "until_ms"),
            .height_max = height > 0 && height <= PLAN_HEIGHT_MAX ? (uint32_t)height : 0,
        };
    }
}
