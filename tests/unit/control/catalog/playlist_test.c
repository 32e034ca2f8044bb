/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/playlist.h"
#include "control/catalog/member.h"
#include "stopped.h"

#define NOW INT64_C(1800000000000)

static const struct viewer ann = {.user = "ann", .age_max = -1, .country = ""};
static const struct viewer bob = {.user = "bob", .age_max = -1, .country = ""};

static json_t *make(struct fixture *f, const char *access)
{
    struct fault fault = {0};
    json_t *doc = NULL;
    json_t *ask = json_pack("{s:s, s:s}", "title", "Mine", "access", access);
    assert_int_equal(playlist_create(f->db, ask, "ann", NOW, &doc, &fault), 0);
    json_decref(ask);
    return doc;
}

static struct playlist_ask ask_of(const json_t *playlist, const struct viewer *viewer)
{
    return (struct playlist_ask){
        .id = member_text(playlist, "id"), .viewer = viewer, .rev = -1, .now_ms = NOW};
}

static void check(struct fixture *f, const json_t *playlist, const char *videos)
{
    json_t *doc = NULL;
    char is[256] = "";
    size_t i;
    json_t *item;
    assert_int_equal(playlist_get(f->db, member_text(playlist, "id"), &ann, &doc), 0);
    json_t *view = playlist_public(doc, true);
    json_array_foreach(json_object_get(view, "items"), i, item)
    {
        size_t used = strlen(is);
        (void)snprintf(is + used, sizeof is - used, "%s", member_text(item, "video"));
    }
    assert_int_equal(member_int(view, "count"), json_array_size(json_object_get(view, "items")));
    json_decref(view);
    json_decref(doc);
    assert_string_equal(is, videos);
}

static void add(struct fixture *f, const json_t *playlist, const char *video, int64_t position)
{
    struct fault fault = {0};
    struct playlist_ask ask = ask_of(playlist, &ann);
    json_t *doc = NULL;
    assert_int_equal(playlist_add(f->db, &ask, video, position, &doc, &fault), 0);
    json_decref(doc);
}

static const char *order(struct fixture *f, const json_t *playlist, const char *videos)
{
    struct fault fault = {0};
    struct playlist_ask ask = ask_of(playlist, &ann);
    json_t *doc = NULL;
    json_t *list = json_array();
    for (const char *p = videos; *p != 0; p++)
        assert_int_equal(json_array_append_new(list, json_stringn(p, 1)), 0);
    int r = playlist_order(f->db, &ask, list, &doc, &fault);
    json_decref(list);
    json_decref(doc);
    return r == 0 ? "" : fault.code;
}

static void test_items(void **state)
{
    struct fixture *f = *state;
    struct fault fault = {0};
    json_t *doc = NULL;
    json_t *list = make(f, "private");
    add(f, list, "a", -1);
    add(f, list, "b", -1);
    add(f, list, "c", 0);
    check(f, list, "cab");
    add(f, list, "d", 99);
    check(f, list, "cabd");
    add(f, list, "c", 2); /* moves */
    check(f, list, "abcd");
    assert_string_equal(order(f, list, "dcba"), "");
    check(f, list, "dcba");
    assert_string_equal(order(f, list, "dcb"), "ORDER_INVALID");
    assert_string_equal(order(f, list, "dcbb"), "ORDER_INVALID");
    assert_string_equal(order(f, list, "dcbx"), "ORDER_INVALID");
    check(f, list, "dcba");
    struct playlist_ask ask = ask_of(list, &ann);
    assert_int_equal(playlist_remove(f->db, &ask, "c", &doc, &fault), 0);
    json_decref(doc);
    assert_int_equal(playlist_remove(f->db, &ask, "c", &doc, &fault), -EPROTO);
    assert_string_equal(fault.code, "ITEM_NOT_FOUND");
    check(f, list, "dba");
    ask.rev = 1;
    assert_int_equal(playlist_remove(f->db, &ask, "d", &doc, &fault), -ESTALE);
    json_decref(list);
}

static void test_full(void **state)
{
    struct fixture *f = *state;
    struct fault fault = {0};
    json_t *doc = NULL;
    json_t *list = make(f, "private");
    json_t *items = json_array();
    for (int i = 0; i < PLAYLIST_ITEMS_MAX; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "v%d", i);
        assert_int_equal(
            json_array_append_new(items, json_pack("{s:s, s:i}", "video", name, "added_ms", 1)), 0);
    }
    const struct db_update update = {.set = json_pack("{s:o}", "items", items)};
    assert_int_equal(db_update(f->db, MODEL_PLAYLISTS, member_text(list, "id"), &update, NULL), 0);
    json_decref((json_t *)(uintptr_t)update.set);
    struct playlist_ask ask = ask_of(list, &ann);
    assert_int_equal(playlist_add(f->db, &ask, "one more", -1, &doc, &fault), -EPROTO);
    assert_string_equal(fault.code, "PLAYLIST_FULL");
    add(f, list, "v7", 0); /* only moves */
    json_decref(list);
}

static void test_access(void **state)
{
    static const char *const access[] = {"private", "unlisted", "public"};
    struct fixture *f = *state;
    struct fault fault = {0};
    json_t *docs = NULL;
    json_t *doc = NULL;
    char *next = NULL;
    for (int i = 0; i < 3; i++) {
        json_t *list = make(f, access[i]);
        struct playlist_ask ask = ask_of(list, &bob);
        assert_int_equal(playlist_get(f->db, ask.id, &bob, &doc), i == 0 ? -ENOENT : 0);
        if (i > 0)
            json_decref(doc);
        int r = playlist_add(f->db, &ask, "x", -1, &doc, &fault);
        assert_int_equal(r, i == 0 ? -ENOENT : -EPROTO);
        r = playlist_delete(f->db, &ask, &fault);
        assert_int_equal(r, i == 0 ? -ENOENT : -EPROTO);
        json_decref(list);
    }
    assert_string_equal(fault.code, "NOT_YOURS");
    assert_int_equal(playlist_list(f->db, NULL, 10, NULL, &docs, &next), 0);
    assert_int_equal(json_array_size(docs), 1);
    assert_string_equal(member_text(json_array_get(docs, 0), "access"), "public");
    json_decref(docs);
    assert_int_equal(playlist_list(f->db, "ann", 10, NULL, &docs, &next), 0);
    assert_int_equal(json_array_size(docs), 3);
    struct playlist_ask ask = ask_of(json_array_get(docs, 0), &ann);
    assert_int_equal(playlist_delete(f->db, &ask, &fault), 0);
    assert_int_equal(playlist_delete(f->db, &ask, &fault), -ENOENT);
    json_decref(docs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_CASE(test_items),
        FIXTURE_CASE(test_full),
        FIXTURE_CASE(test_access),
    };
    return cmocka_run_group_tests_name("catalog playlist", tests, NULL, NULL);
}
