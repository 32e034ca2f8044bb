/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/category.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "control/catalog/gone.h"
#include "control/catalog/member.h"
#include "control/model.h"

/* --- the tree --------------------------------------------------------------------------------- */

static int category_order(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a;
    const json_t *y = *(json_t *const *)b;
    int64_t px = member_int(x, "position");
    int64_t py = member_int(y, "position");
    if (px != py)
        return px < py ? -1 : 1;
    return strcmp(member_text(x, "name"), member_text(y, "name"));
}

static int category_tree_sort(json_t *docs)
{
    size_t count = json_array_size(docs);
    json_t **list = calloc(MAX(count, (size_t)1), sizeof *list);
    int r = 0;
    if (list == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        list[i] = json_incref(json_array_get(docs, i));
    qsort(list, count, sizeof *list, category_order);
    for (size_t i = 0; i < count; i++)
        if (json_array_set_new(docs, i, list[i]) < 0)
            r = -ENOMEM;
    free(list);
    return r;
}

int category_tree_load(struct db *db, struct category_tree *ret)
{
    const struct db_list list = {.limit = CATEGORY_MAX};
    struct category_tree t = {.by_id = json_object()};
    char *next = NULL;
    size_t i;
    json_t *doc;
    int r = db_list(db, MODEL_CATEGORIES, &list, &t.docs, &next);
    free(next); /* more than CATEGORY_MAX are not made */
    json_array_foreach(t.docs, i, doc)
    {
        if (r == 0 && (member_text(doc, "id") == NULL || member_text(doc, "name") == NULL))
            r = -EBADMSG;
        if (r == 0 && json_object_set(t.by_id, member_text(doc, "id"), doc) < 0)
            r = -ENOMEM;
    }
    if (r == 0)
        r = category_tree_sort(t.docs);
    if (r < 0)
        category_tree_free(&t);
    else
        *ret = t;
    return r;
}

void category_tree_free(struct category_tree *t)
{
    json_decref(t->docs);
    json_decref(t->by_id);
    *t = (struct category_tree){NULL, NULL};
}

const json_t *category_tree_get(const struct category_tree *t, const char *id)
{
    return id == NULL ? NULL : json_object_get(t->by_id, id);
}

static int category_compare(const void *a, const void *b)
{
    const char *const *x = a;
    const char *const *y = b;
    return strcmp(*x, *y);
}

json_t *category_tree_path(const struct category_tree *t, const json_t *categories)
{
    json_t *set = json_object();
    json_t *path = json_array();
    size_t i;
    json_t *id;
    json_array_foreach(categories, i, id)
    {
        const json_t *at = category_tree_get(t, json_string_value(id));
        for (unsigned depth = 0; at != NULL && depth < CATEGORY_DEPTH_MAX; depth++) {
            (void)json_object_set_new(set, member_text(at, "id"), json_true());
            at = category_tree_get(t, member_text(at, "parent"));
        }
    }
    size_t count = json_object_size(set);
    const char **names = calloc(MAX(count, (size_t)1), sizeof *names);
    int r = set == NULL || path == NULL || names == NULL ? -ENOMEM : 0;
    const char *name;
    json_t *value;
    size_t used = 0;
    json_object_foreach(set, name, value)
    {
        if (r == 0)
            names[used++] = name;
    }
    if (r == 0)
        qsort(names, used, sizeof *names, category_compare);
    for (size_t k = 0; r == 0 && k < used; k++)
        r = json_array_append_new(path, json_string(names[k])) < 0 ? -ENOMEM : 0;
    free(names);
    json_decref(set);
    if (r == 0)
        return path;
    json_decref(path);
    return NULL;
}

json_t *category_public(const json_t *category)
{
    json_t *view = json_object();
    int r = view == NULL ? -ENOMEM : member_copy(view, "id", category, "id");
    if (r == 0)
        r = member_copy(view, "name", category, "name");
    if (r == 0)
        r = member_copy(view, "parent", category, "parent");
    if (r == 0)
        r = member_set_int(view, "position", member_int(category, "position"));
    if (r == 0)
        r = member_set_int(view, "rev", member_int(category, "rev"));
    if (r == 0)
        return view;
    json_decref(view);
    return NULL;
}

/* The children of parent (NULL: the roots; also those whose parent is gone). */
static json_t *category_level(const struct category_tree *t, const char *parent, unsigned depth)
{
    json_t *level = json_array();
    size_t i;
    json_t *doc;
    json_array_foreach(t->docs, i, doc)
    {
        const char *above = member_text(doc, "parent");
        if (category_tree_get(t, above) == NULL)
            above = NULL;
        if (above == NULL ? parent != NULL : parent == NULL || strcmp(above, parent) != 0)
            continue;
        json_t *view = category_public(doc);
        json_t *below = depth + 1 < CATEGORY_DEPTH_MAX
                            ? category_level(t, member_text(doc, "id"), depth + 1)
                            : json_array();
        if (json_object_set_new(view, "children", below) < 0 ||
            json_array_append(level, view) < 0) {
            json_decref(view);
            json_decref(level);
            return NULL;
        }
        json_decref(view);
    }
    return level;
}

json_t *category_tree_public(const struct category_tree *t)
{
    return category_level(t, NULL, 0);
}

/* --- changes ---------------------------------------------------------------------------------- */

/* How many levels the category and what is below it take. */
static unsigned category_height(const struct category_tree *t, const char *id)
{
    unsigned height = 1;
    size_t i;
    json_t *doc;
    json_array_foreach(t->docs, i, doc)
    {
        const json_t *at = doc;
        for (unsigned n = 1; at != NULL && n <= CATEGORY_DEPTH_MAX; n++) {
            if (strcmp(member_text(at, "id"), id) == 0)
                height = MAX(height, n);
            at = category_tree_get(t, member_text(at, "parent"));
        }
    }
    return height;
}

/* The parent exists, is not below the category itself, and not too deep. */
static int category_check_parent(const struct category_tree *t, const char *id, const char *parent,
                                 struct fault *fault)
{
    unsigned depth = category_height(t, id);
    if (parent == NULL)
        return 0;
    const json_t *at = category_tree_get(t, parent);
    if (at == NULL)
        return fault_set(fault, 422, "PARENT_INVALID", "there is no such category as the parent");
    for (; at != NULL && depth <= CATEGORY_DEPTH_MAX; depth++) {
        if (strcmp(member_text(at, "id"), id) == 0)
            return fault_set(fault, 422, "PARENT_INVALID", "a category cannot be below itself");
        at = category_tree_get(t, member_text(at, "parent"));
    }
    if (depth > CATEGORY_DEPTH_MAX)
        return fault_set(fault, 422, "PARENT_INVALID", "the tree would be deeper than %d",
                         CATEGORY_DEPTH_MAX);
    return 0;
}

int category_create(struct db *db, const json_t *ask, int64_t now_ms, json_t **ret,
                    struct fault *fault)
{
    struct category_tree t;
    const char *id = member_text(ask, "id");
    int r = category_tree_load(db, &t);
    if (r < 0)
        return r;
    if (json_array_size(t.docs) >= CATEGORY_MAX)
        r = fault_set(fault, 409, "CATEGORIES_FULL", "there are %d categories already",
                      CATEGORY_MAX);
    if (r == 0)
        r = category_check_parent(&t, id, member_text(ask, "parent"), fault);
    category_tree_free(&t);
    if (r < 0)
        return r;
    json_t *doc = json_pack("{s:s, s:s, s:s*, s:I, s:I, s:I, s:i}", "id", id, "name",
                            member_text(ask, "name"), "parent", member_text(ask, "parent"),
                            "position", (json_int_t)member_int(ask, "position"), "created_ms",
                            (json_int_t)now_ms, "updated_ms", (json_int_t)now_ms, "rev", 1);
    r = doc == NULL ? -ENOMEM : db_insert(db, MODEL_CATEGORIES, doc);
    if (r == 0) {
        *ret = doc;
        return 0;
    }
    json_decref(doc);
    return r == -EEXIST ? fault_set(fault, 409, "CATEGORY_EXISTS", "there is such a category") : r;
}

static json_t *category_set_of(const json_t *patch, int64_t now_ms)
{
    static const char *const names[] = {"name", "parent", "position"};
    json_t *set = json_pack("{s:I}", "updated_ms", (json_int_t)now_ms);
    int r = set == NULL ? -ENOMEM : 0;
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(names); i++)
        if (json_object_get(patch, names[i]) != NULL)
            r = json_object_set(set, names[i], json_object_get(patch, names[i]));
    if (r == 0 && json_object_get(patch, "parent") != NULL)
        r = json_object_set_new(set, "dirty_ms", json_integer(now_ms));
    if (r == 0)
        return set;
    json_decref(set);
    return NULL;
}

int category_change(struct db *db, const char *id, const json_t *patch, int64_t rev, int64_t now_ms,
                    json_t **ret, struct fault *fault)
{
    struct category_tree t;
    int r = category_tree_load(db, &t);
    if (r < 0)
        return r;
    r = category_tree_get(&t, id) == NULL
            ? -ENOENT
            : category_check_parent(&t, id, member_text(patch, "parent"), fault);
    category_tree_free(&t);
    if (r < 0)
        return r;
    json_t *set = category_set_of(patch, now_ms);
    json_t *add = json_pack("{s:i}", "rev", 1);
    json_t *where = rev < 0 ? NULL : json_pack("{s:I}", "rev", (json_int_t)rev);
    const struct db_update update = {.where = where, .set = set, .add = add};
    r = set == NULL || add == NULL || (rev >= 0 && where == NULL)
            ? -ENOMEM
            : db_update(db, MODEL_CATEGORIES, id, &update, ret);
    json_decref(set);
    json_decref(add);
    json_decref(where);
    return r;
}

int category_delete(struct db *db, const char *id, int64_t now_ms, struct fault *fault)
{
    struct category_tree t;
    size_t i;
    json_t *doc;
    int r = category_tree_load(db, &t);
    if (r < 0)
        return r;
    if (category_tree_get(&t, id) == NULL)
        r = -ENOENT;
    json_array_foreach(t.docs, i, doc)
    {
        const char *parent = member_text(doc, "parent");
        if (r == 0 && parent != NULL && strcmp(parent, id) == 0)
            r = fault_set(fault, 409, "CATEGORY_HAS_CHILDREN",
                          "there are categories below this one");
    }
    category_tree_free(&t);
    return r < 0 ? r : gone_put(db, GONE_CATEGORY, id, now_ms);
}

/* --- the sweep -------------------------------------------------------------------------------- */

/* One whose way up comes back to it; the youngest change of the ring. NULL: there is no ring. */
static const json_t *category_ring(const struct category_tree *t)
{
    size_t i;
    json_t *doc;
    json_array_foreach(t->docs, i, doc)
    {
        const json_t *youngest = doc;
        const json_t *at = category_tree_get(t, member_text(doc, "parent"));
        for (unsigned n = 0; at != NULL && at != doc && n < CATEGORY_MAX; n++) {
            if (member_int(at, "updated_ms") > member_int(youngest, "updated_ms"))
                youngest = at;
            at = category_tree_get(t, member_text(at, "parent"));
        }
        if (at == doc)
            return youngest;
    }
    return NULL;
}

static int category_cut_ring(struct db *db, const json_t *category, int64_t now_ms)
{
    const struct db_update update = {
        .where = json_pack("{s:O}", "rev", json_object_get(category, "rev")),
        .set = json_pack("{s:n, s:I}", "parent", "dirty_ms", (json_int_t)now_ms),
        .add = json_pack("{s:i}", "rev", 1),
    };
    int r = update.where == NULL || update.set == NULL || update.add == NULL
                ? -ENOMEM
                : db_update(db, MODEL_CATEGORIES, member_text(category, "id"), &update, NULL);
    json_decref((json_t *)(uintptr_t)update.where);
    json_decref((json_t *)(uintptr_t)update.set);
    json_decref((json_t *)(uintptr_t)update.add);
    return r == -ESTALE || r == -ENOENT ? 0 : r; /* changed again: looked at again */
}

static int category_clear(struct db *db, const json_t *category)
{
    const struct db_update update = {
        .where = json_pack("{s:O}", "dirty_ms", json_object_get(category, "dirty_ms")),
        .set = json_pack("{s:n}", "dirty_ms"),
    };
    int r = update.where == NULL || update.set == NULL
                ? -ENOMEM
                : db_update(db, MODEL_CATEGORIES, member_text(category, "id"), &update, NULL);
    json_decref((json_t *)(uintptr_t)update.where);
    json_decref((json_t *)(uintptr_t)update.set);
    return r == -ESTALE || r == -ENOENT ? 0 : r;
}

int category_sweep(struct db *db, int64_t now_ms, uint64_t *ret_count)
{
    struct category_tree t;
    uint64_t count = 0;
    size_t i;
    json_t *doc;
    int r = category_tree_load(db, &t);
    if (r < 0)
        return r;
    const json_t *ring = category_ring(&t);
    if (ring != NULL)
        r = category_cut_ring(db, ring, now_ms);
    json_array_foreach(t.docs, i, doc)
    {
        if (r < 0 || ring != NULL || !member_has(doc, "dirty_ms"))
            continue; /* behind a ring the tree is another: next time */
        if (member_int(doc, "dirty_ms") > now_ms - CATEGORY_QUIET_MS)
            continue;
        r = gone_repath(db, &t, member_text(doc, "id"));
        if (r == 0)
            r = category_clear(db, doc);
        count++;
    }
    category_tree_free(&t);
    if (r == 0)
        *ret_count = count + (ring != NULL);
    return r;
}
