/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/revise.h"
#include <errno.h>
#include "control/catalog/member.h"

json_t *revise_difference(const json_t *before, const json_t *after)
{
    json_t *set = json_object();
    const char *name;
    json_t *value;
    int r = set == NULL ? -ENOMEM : 0;
    json_object_foreach((json_t *)(uintptr_t)after, name, value)
    {
        if (r == 0 && !json_equal(value, json_object_get(before, name)))
            r = json_object_set(set, name, value);
    }
    json_object_foreach((json_t *)(uintptr_t)before, name, value)
    {
        if (r == 0 && json_object_get(after, name) == NULL)
            r = json_object_set_new(set, name, json_null());
    }
    if (r == 0)
        return set;
    json_decref(set);
    return NULL;
}

int revise(struct db *db, unsigned coll, const json_t *before, const json_t *after, int64_t now_ms,
           json_t **ret)
{
    json_t *set = revise_difference(before, after);
    if (set == NULL)
        return -ENOMEM;
    if (json_object_size(set) == 0) {
        json_decref(set);
        *ret = json_incref((json_t *)(uintptr_t)before);
        return 0;
    }
    json_t *where = json_pack("{s:O}", "rev", json_object_get(before, "rev"));
    json_t *add = json_pack("{s:i}", "rev", 1);
    (void)json_object_del(set, "rev"); /* it is added to */
    int r = where == NULL || add == NULL ? -ENOMEM : member_set_int(set, "updated_ms", now_ms);
    const struct db_update update = {.where = where, .set = set, .add = add};
    if (r == 0)
        r = db_update(db, coll, member_text(before, "id"), &update, ret);
    json_decref(set);
    json_decref(where);
    json_decref(add);
    return r;
}
