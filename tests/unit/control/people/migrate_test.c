/* SPDX-License-Identifier: Apache-2.0 */
/* A database as version 1 of the model has left it. */
#include <stdio.h>
#include <stdlib.h>
#include "base/file.h"
#include "control/model.h"
#include "control/people/accounts.h"
#include "../../unit.h"

static const struct db_collection v1_collections[] = {
    {.name = "users", .keys = {{"email", true}}, .keys_count = 1},
    {.name = "sessions", .keys = {{"user", false}, {"expires_ms", false}}, .keys_count = 2},
    {.name = "videos", .keys = {{"created_ms", false}}, .keys_count = 1},
};
static const struct db_schema v1 = {
    .version = 1, .collections = v1_collections, .collections_count = 3};

static void insert(struct db *db, unsigned coll, const char *text)
{
    json_t *doc = json_loads(text, 0, NULL);
    assert_non_null(doc);
    assert_int_equal(db_insert(db, coll, doc), 0);
    json_decref(doc);
}

static void fill(struct db *db)
{
    char text[512];
    for (unsigned i = 0; i < 1500; i++) { /* more than a page */
        (void)snprintf(text, sizeof text,
                       "{\"id\":\"u%u\",\"email\":\"u%u@x.org\",\"password\":\"$2b$12$x\","
                       "\"created_ms\":%u}",
                       i, i, i);
        insert(db, 0, text);
    }
    insert(db, 1,
           "{\"id\":\"abc\",\"user\":\"u1\",\"created_ms\":1,\"expires_ms\":99999999999999}");
    insert(db, 2,
           "{\"id\":\"film\",\"title\":\"Film\",\"duration_ms\":1,\"height\":2,\"audio\":[],"
           "\"subtitles\":[],\"created_ms\":1,\"updated_ms\":1}");
}

static void test_from_1(void **state)
{
    (void)state;
    char folder[64] = "/tmp/weir-migrate-XXXXXX";
    char path[128];
    struct err err = {""};
    struct db *db = NULL;
    json_t *user = NULL;
    uint64_t count = 0;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/control.db", folder);
    assert_int_equal(db_open(path, &v1, &err, &db), 0);
    fill(db);
    db_close(db);
    if (db_open(path, &model_schema, &err, &db) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(account_find(db, "u1499@x.org", &user), 0);
    assert_int_equal(account_role(user), ROLE_FREE);
    assert_string_equal(json_string_value(json_object_get(user, "role")), "free");
    json_decref(user);
    const struct db_list all = {.limit = 1};
    assert_int_equal(db_count(db, MODEL_USERS, &all, &count), 0);
    assert_int_equal(count, 1500);
    assert_int_equal(db_count(db, MODEL_SESSIONS, &all, &count), 0);
    assert_int_equal(count, 0); /* people log in anew */
    assert_int_equal(db_count(db, MODEL_VIDEOS, &all, &count), 0);
    assert_int_equal(count, 1);
    db_close(db);
    assert_int_equal(file_remove_all(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_from_1)};
    return cmocka_run_group_tests_name("control people migrate", tests, NULL, NULL);
}
