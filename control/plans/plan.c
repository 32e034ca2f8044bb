/* SPDX-License-Identifier: Apache-2.0 */
#include "control/plans/plan.h"
#include <errno.h>
#include <stdlib.h>
#include "control/valid.h"
#include "lease/lease.h"

static const struct plan plan_defaults[] = {
    {"free", "Free", "EUR", 0, 480, 1, false, true},
    {"basic", "Basic", "EUR", 599, 720, 1, false, false},
    {"premium", "Premium", "EUR", 1099, 1080, 2, true, false},
    {"ultimate", "Ultimate", "EUR", 1699, 2160, 4, true, false},
};

static struct plan_list *plan_list_new(unsigned count)
{
    struct plan_list *l = calloc(1, sizeof *l + count * sizeof l->at[0]);
    if (l != NULL)
        l->count = count;
    return l;
}

int plan_list_default(struct plan_list **ret)
{
    struct plan_list *l = plan_list_new(ARRAY_LEN(plan_defaults));
    if (l == NULL)
        return -ENOMEM;
    memcpy(l->at, plan_defaults, sizeof plan_defaults);
    *ret = l;
    return 0;
}

struct plan_list *plan_list_free(struct plan_list *l)
{
    free(l);
    return NULL;
}

/* --- reading ---------------------------------------------------------------------------------- */

static int plan_wrong(struct fault *fault, const char *member, const char *what)
{
    return fault_set(fault, 422, "PLAN_INVALID", "\"%s\" %s", member, what);
}

static bool plan_is_id(const char *id, size_t size)
{
    if (size == 0 || size >= PLAN_ID_SIZE || id[0] < 'a' || id[0] > 'z')
        return false;
    for (size_t i = 0; i < size; i++)
        if (!((id[i] >= 'a' && id[i] <= 'z') || (id[i] >= '0' && id[i] <= '9') || id[i] == '-'))
            return false;
    return true;
}

static bool plan_is_name(const char *name, size_t size)
{
    if (size == 0 || size >= PLAN_NAME_SIZE ||
        valid_length((struct str){name, size}) > PLAN_NAME_MAX)
        return false;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return true;
}

static bool plan_is_currency(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] < 'A' || text[i] > 'Z')
            return false;
    return size == 3;
}

static int plan_take_text(const json_t *object, const char *member,
                          bool (*is_good)(const char *text, size_t size), char *out,
                          size_t out_size, struct fault *fault)
{
    const json_t *value = json_object_get(object, member);
    const char *text = json_string_value(value);
    size_t size = json_string_length(value);
    if (text == NULL || !is_good(text, size))
        return plan_wrong(fault, member, "is missing or not of its form");
    return str_copy((struct str){text, size}, out, out_size);
}

static int plan_take_number(const json_t *object, const char *member, int64_t least, int64_t most,
                            int64_t *ret, struct fault *fault)
{
    const json_t *value = json_object_get(object, member);
    if (!json_is_integer(value) || json_integer_value(value) < least ||
        json_integer_value(value) > most)
        return fault_set(fault, 422, "PLAN_INVALID",
                         "\"%s\" is not a whole number from %lld to %lld", member, (long long)least,
                         (long long)most);
    *ret = json_integer_value(value);
    return 0;
}

static int plan_take_flag(const json_t *object, const char *member, bool *ret, struct fault *fault)
{
    const json_t *value = json_object_get(object, member);
    if (!json_is_boolean(value))
        return plan_wrong(fault, member, "is not true or false");
    *ret = json_is_true(value);
    return 0;
}

static int plan_parse(const json_t *object, struct plan *ret, struct fault *fault)
{
    static const char *const members[] = {"id",         "name",      "currency", "price",
                                          "height_max", "downloads", "ads",      "stream_limit"};
    struct plan p = {.id = ""};
    int64_t height = 0;
    int64_t limit = 0;
    if (!json_is_object(object))
        return fault_set(fault, 422, "PLAN_INVALID", "a plan is not an object");
    if (json_object_size(object) > ARRAY_LEN(members))
        return fault_set(fault, 422, "PLAN_INVALID", "a plan has members that are unknown");
    int r = plan_take_text(object, "id", plan_is_id, p.id, sizeof p.id, fault);
    if (r == 0)
        r = plan_take_text(object, "name", plan_is_name, p.name, sizeof p.name, fault);
    if (r == 0)
        r = plan_take_text(object, "currency", plan_is_currency, p.currency, sizeof p.currency,
                           fault);
    if (r == 0)
        r = plan_take_number(object, "price", 0, PLAN_PRICE_MAX, &p.price, fault);
    if (r == 0)
        r = plan_take_number(object, "height_max", 0, PLAN_HEIGHT_MAX, &height, fault);
    if (r == 0)
        r = plan_take_number(object, "stream_limit", 1, LEASE_LIMIT_MAX, &limit, fault);
    if (r == 0)
        r = plan_take_flag(object, "downloads", &p.downloads, fault);
    if (r == 0)
        r = plan_take_flag(object, "ads", &p.ads, fault);
    p.height_max = (uint32_t)height;
    p.stream_limit = (unsigned)limit;
    if (r == 0)
        *ret = p;
    return r;
}

static int plan_gives_less(const struct plan *p, const char *what, const struct plan *below,
                           struct fault *fault)
{
    return fault_set(fault, 409, "PLAN_INCLUDES_LESS", "\"%s\" gives %s \"%s\" below it", p->id,
                     what, below->id);
}

static int plan_check_order(const struct plan *below, const struct plan *p, struct fault *fault)
{
    uint32_t low = below->height_max != 0 ? below->height_max : UINT32_MAX;
    uint32_t high = p->height_max != 0 ? p->height_max : UINT32_MAX;
    if (high < low)
        return plan_gives_less(p, "a smaller picture than", below, fault);
    if (p->stream_limit < below->stream_limit)
        return plan_gives_less(p, "fewer streams than", below, fault);
    if (below->downloads && !p->downloads)
        return plan_gives_less(p, "no downloads, unlike", below, fault);
    if (!below->ads && p->ads)
        return plan_gives_less(p, "advertisements, unlike", below, fault);
    return 0;
}

int plan_list_parse(const json_t *array, struct plan_list **ret, struct fault *fault)
{
    size_t count = json_array_size(array);
    if (count == 0 || count > PLANS_MAX)
        return fault_set(fault, 422, "PLAN_INVALID", "there are 1 to %d plans", PLANS_MAX);
    CLEAN(plan_list_free) struct plan_list *l = plan_list_new((unsigned)count);
    if (l == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < l->count; i++) {
        struct plan *p = &l->at[i];
        int r = plan_parse(json_array_get(array, i), p, fault);
        if (r == 0 && plan_find(l, p->id) != p)
            r = fault_set(fault, 409, "PLAN_TWICE", "there are two plans \"%s\"", p->id);
        if (r == 0 && i > 0)
            r = plan_check_order(&l->at[i - 1], p, fault);
        if (r < 0)
            return r;
    }
    *ret = l;
    l = NULL;
    return 0;
}

/* --- asking ----------------------------------------------------------------------------------- */

json_t *plan_json(const struct plan *p)
{
    return json_pack("{s:s, s:s, s:s, s:I, s:i, s:i, s:b, s:b}", "id", p->id, "name", p->name,
                     "currency", p->currency, "price", (json_int_t)p->price, "height_max",
                     (int)p->height_max, "stream_limit", (int)p->stream_limit, "downloads",
                     (int)p->downloads, "ads", (int)p->ads);
}

json_t *plan_list_json(const struct plan_list *l)
{
    json_t *array = json_array();
    for (unsigned i = 0; array != NULL && i < l->count; i++) {
        if (json_array_append_new(array, plan_json(&l->at[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

const struct plan *plan_find(const struct plan_list *l, const char *id)
{
    for (unsigned i = 0; id != NULL && i < l->count; i++)
        if (strcmp(l->at[i].id, id) == 0)
            return &l->at[i];
    return NULL;
}

bool plan_includes(const struct plan_list *l, const struct plan *p, const char *id)
{
    const struct plan *needed = id == NULL ? &l->at[0] : plan_find(l, id);
    if (needed == NULL)
        needed = &l->at[l->count - 1];
    return p >= needed;
}
