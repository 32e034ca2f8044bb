/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/category.h"
#include "control/catalog/catalog.h"
#include "control/catalog/gone.h"
#include "control/catalog/member.h"
#include "stopped.h"

#define NOW   INT64_C(1800000000000)
#define LATER (NOW + CATEGORY_QUIET_MS)

static const struct viewer ann = {.user = "ann", .is_creator = true, .age_max = -1, .country = ""};

static const char *make(struct fixture *f, const char *id, const char *parent)
{
    struct fault fault = {0};
    json_t *doc = NULL;
    json_t *ask = json_pack("{s:s, s:s, s:s*}", "id", id, "name", id, "parent", parent);
    int r = category_create(f->db, ask, NOW, &doc, &fault);
    json_decref(ask);
    json_decref(doc);
    assert_true(r == 0 || r == -EPROTO);
    return r == 0 ? "" : fault.code;
}

static const char *move(struct fixture *f, const char *id, const char *parent)
{
    struct fault fault = {0};
    json_t *doc = NULL;
    json_t *patch = json_pack("{s:s?}", "parent", parent);
    int r = category_change(f->db, id, patch, -1, NOW, &doc, &fault);
    json_decref(patch);
    json_decref(doc);
    if (r == -ENOENT)
        return "ENOENT";
    assert_true(r == 0 || r == -EPROTO);
    return r == 0 ? "" : fault.code;
}

static void make_video(struct fixture *f, const char *asset, const char *category)
{
    struct fault fault = {0};
    json_t *doc = NULL;
    json_t *ask =
        json_pack("{s:s, s:s, s:[s]}", "asset", asset, "title", asset, "categories", category);
    assert_int_equal(catalog_create(f->db, ask, &ann, NOW, &doc, &fault), 0);
    json_decref(ask);
    json_decref(doc);
}

static void check_path(struct fixture *f, const char *asset, const char *path)
{
    json_t *doc = NULL;
    size_t i;
    json_t *id;
    char is[256] = "";
    assert_int_equal(catalog_get(f->db, asset, &doc), 0);
    json_array_foreach(json_object_get(doc, "path"), i, id)
    {
        size_t used = strlen(is);
        (void)snprintf(is + used, sizeof is - used, i == 0 ? "%s" : " %s", json_string_value(id));
    }
    json_decref(doc);
    assert_string_equal(is, path);
}

static void sweep(struct fixture *f, int64_t now_ms)
{
    uint64_t count = 0;
    assert_int_equal(category_sweep(f->db, now_ms, &count), 0);
    assert_int_equal(gone_sweep(f->db, now_ms, &count), 0);
}

static void test_tree(void **state)
{
    struct fixture *f = *state;
    struct category_tree t;
    assert_string_equal(make(f, "science", NULL), "");
    assert_string_equal(make(f, "space", "science"), "");
    assert_string_equal(make(f, "mars", "space"), "");
    assert_string_equal(make(f, "arts", NULL), "");
    assert_string_equal(make(f, "arts", NULL), "CATEGORY_EXISTS");
    assert_string_equal(make(f, "x", "none"), "PARENT_INVALID");
    assert_string_equal(move(f, "science", "mars"), "PARENT_INVALID"); /* below itself */
    assert_string_equal(move(f, "science", "science"), "PARENT_INVALID");
    assert_string_equal(move(f, "none", NULL), "ENOENT");
    assert_int_equal(category_tree_load(f->db, &t), 0);
    json_t *tree = category_tree_public(&t);
    assert_int_equal(json_array_size(tree), 2);
    const json_t *arts = json_array_get(tree, 0); /* by name */
    assert_string_equal(member_text(arts, "id"), "arts");
    const json_t *space = json_array_get(json_object_get(json_array_get(tree, 1), "children"), 0);
    assert_string_equal(member_text(space, "id"), "space");
    assert_int_equal(json_array_size(json_object_get(space, "children")), 1);
    json_decref(tree);
    category_tree_free(&t);
}

static void test_deep(void **state)
{
    struct fixture *f = *state;
    char name[8];
    char above[8] = "";
    for (int i = 0; i < CATEGORY_DEPTH_MAX; i++) {
        (void)snprintf(name, sizeof name, "c%d", i);
        assert_string_equal(make(f, name, i == 0 ? NULL : above), "");
        memcpy(above, name, sizeof name);
    }
    assert_string_equal(make(f, "more", above), "PARENT_INVALID");
    assert_string_equal(make(f, "top", NULL), "");
    assert_string_equal(move(f, "c0", "top"), "PARENT_INVALID"); /* with all that is below it */
    assert_string_equal(move(f, "c1", "top"), "");
}

static void test_move(void **state)
{
    struct fixture *f = *state;
    (void)make(f, "science", NULL);
    (void)make(f, "space", "science");
    (void)make(f, "mars", "space");
    (void)make(f, "arts", NULL);
    make_video(f, "film", "mars");
    check_path(f, "film", "mars science space");
    assert_string_equal(move(f, "space", "arts"), "");
    sweep(f, NOW); /* too early: others may be writing by the old tree */
    check_path(f, "film", "mars science space");
    sweep(f, LATER);
    check_path(f, "film", "arts mars space");
    assert_string_equal(move(f, "space", NULL), "");
    sweep(f, LATER);
    check_path(f, "film", "mars space");
    json_t *doc = NULL;
    assert_int_equal(db_get(f->db, MODEL_CATEGORIES, "space", &doc), 0);
    assert_false(member_has(doc, "dirty_ms"));
    json_decref(doc);
}

static void test_delete(void **state)
{
    struct fixture *f = *state;
    struct fault fault = {0};
    json_t *doc = NULL;
    (void)make(f, "science", NULL);
    (void)make(f, "space", "science");
    make_video(f, "film", "space");
    assert_int_equal(category_delete(f->db, "science", NOW, &fault), -EPROTO);
    assert_string_equal(fault.code, "CATEGORY_HAS_CHILDREN");
    assert_int_equal(category_delete(f->db, "none", NOW, &fault), -ENOENT);
    assert_int_equal(category_delete(f->db, "space", NOW + 1, &fault), 0);
    sweep(f, LATER);
    check_path(f, "film", "");
    assert_int_equal(catalog_get(f->db, "film", &doc), 0);
    assert_int_equal(json_array_size(json_object_get(doc, "categories")), 0);
    json_decref(doc);
}

/* Two moves at once, each good by the tree that it saw. */
static void test_ring(void **state)
{
    struct fixture *f = *state;
    struct category_tree t;
    (void)make(f, "a", NULL);
    (void)make(f, "b", NULL);
    make_video(f, "film", "a");
    for (int i = 0; i < 2; i++) {
        const struct db_update update = {
            .set = json_pack("{s:s, s:I, s:I}", "parent", i == 0 ? "b" : "a", "dirty_ms",
                             (json_int_t)NOW, "updated_ms", (json_int_t)NOW + i)};
        assert_int_equal(db_update(f->db, MODEL_CATEGORIES, i == 0 ? "a" : "b", &update, NULL), 0);
        json_decref((json_t *)(uintptr_t)update.set);
    }
    assert_int_equal(category_tree_load(f->db, &t), 0); /* it ends all the same */
    json_t *tree = category_tree_public(&t);
    json_decref(tree);
    category_tree_free(&t);
    sweep(f, LATER);
    sweep(f, LATER + CATEGORY_QUIET_MS);
    assert_int_equal(category_tree_load(f->db, &t), 0);
    assert_null(member_text(category_tree_get(&t, "b"), "parent")); /* the younger change */
    assert_string_equal(member_text(category_tree_get(&t, "a"), "parent"), "b");
    category_tree_free(&t);
    check_path(f, "film", "a b");
}

static void test_stopped(void **state)
{
    struct fixture *f = *state;
    bool hit = true;
    unsigned n = 0;
    (void)make(f, "a", NULL);
    (void)make(f, "b", NULL);
    (void)make(f, "c", "a");
    for (int i = 0; i < 3; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "v%d", i);
        make_video(f, name, "c");
    }
    for (; hit; n++) {
        struct fault fault = {0};
        uint64_t count = 0;
        json_t *doc = NULL;
        const char *to = n % 2 == 0 ? "b" : "a";
        json_t *patch = json_pack("{s:s}", "parent", to);
        assert_true(n < STOPPED_MAX);
        stopped_after(f->db, (int)n);
        int r = category_change(f->db, "c", patch, -1, NOW, &doc, &fault);
        bool moved = r == 0;
        if (r == 0)
            r = category_sweep(f->db, LATER, &count);
        hit = stopped_again(f->db);
        assert_int_equal(r, hit ? -EIO : 0);
        json_decref(doc);
        json_decref(patch);
        sweep(f, LATER);
        if (moved)
            for (int i = 0; i < 3; i++) {
                char name[8];
                (void)snprintf(name, sizeof name, "v%d", i);
                check_path(f, name, n % 2 == 0 ? "b c" : "a c");
            }
    }
    assert_true(n > 4); /* the category, three videos, the mark */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_CASE(test_tree),   FIXTURE_CASE(test_deep), FIXTURE_CASE(test_move),
        FIXTURE_CASE(test_delete), FIXTURE_CASE(test_ring), FIXTURE_CASE(test_stopped),
    };
    return cmocka_run_group_tests_name("catalog category", tests, NULL, NULL);
}
