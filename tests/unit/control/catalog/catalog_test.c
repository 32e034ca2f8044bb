/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog.h"
#include <errno.h>
#include <string.h>
#include "fixture.h"

static void put(struct fixture *f, const char *asset, const char *title, int64_t now_ms)
{
    json_t *stored = NULL;
    json_t *video = json_pack("{s:s, s:i, s:i, s:[s], s:[]}", "title", title, "duration_ms", 1000,
                              "height", 1080, "audio", "en", "subtitles");
    assert_int_equal(catalog_put(f->db, asset, video, now_ms, &stored), 0);
    assert_null(json_object_get(video, "id")); /* the caller's is not changed */
    json_decref(video);
    json_decref(stored);
}

static const char *text_of(const json_t *o, const char *name)
{
    return json_string_value(json_object_get(o, name));
}

static void test_put(void **state)
{
    struct fixture *f = *state;
    json_t *doc = NULL;
    put(f, "film", "First", 1000);
    put(f, "film", "Second", 61000);
    assert_int_equal(catalog_get(f->db, "film", &doc), 0);
    json_t *shown = catalog_public(doc);
    assert_string_equal(text_of(shown, "asset"), "film");
    assert_string_equal(text_of(shown, "title"), "Second");
    assert_string_equal(text_of(shown, "created"), "1970-01-01T00:00:01.000Z");
    assert_string_equal(text_of(shown, "updated"), "1970-01-01T00:01:01.000Z");
    assert_int_equal(json_integer_value(json_object_get(shown, "height")), 1080);
    assert_int_equal(json_object_size(shown), 8);
    json_decref(shown);
    json_decref(doc);
    doc = NULL;
    assert_int_equal(catalog_delete(f->db, "film"), 0);
    assert_int_equal(catalog_delete(f->db, "film"), -ENOENT);
    assert_int_equal(catalog_get(f->db, "film", &doc), -ENOENT);
}

static void test_order(void **state)
{
    struct fixture *f = *state;
    json_t *docs = NULL;
    char *cursor = NULL;
    char *next = NULL;
    put(f, "b", "B", 2000);
    put(f, "a", "A", 3000);
    put(f, "c", "C", 1000);
    put(f, "c", "C again", 9000); /* changed is not newer */
    assert_int_equal(catalog_list(f->db, 2, NULL, &docs, &cursor), 0);
    assert_int_equal(json_array_size(docs), 2);
    assert_string_equal(text_of(json_array_get(docs, 0), "id"), "a");
    assert_string_equal(text_of(json_array_get(docs, 1), "id"), "b");
    json_decref(docs);
    assert_non_null(cursor);
    assert_int_equal(catalog_list(f->db, 2, cursor, &docs, &next), 0);
    assert_int_equal(json_array_size(docs), 1);
    assert_string_equal(text_of(json_array_get(docs, 0), "title"), "C again");
    assert_null(next);
    json_decref(docs);
    free(cursor);
    assert_int_equal(catalog_list(f->db, 2, "nonsense", &docs, &next), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_CASE(test_put),
        FIXTURE_CASE(test_order),
    };
    return cmocka_run_group_tests_name("control catalog", tests, NULL, NULL);
}
