/* SPDX-License-Identifier: Apache-2.0 */
/* What only a file can show: versions and migrations, foreign files, rights, lasting. */
#include "db/db.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/file.h"
#include "../unit.h"

static char folder[64];
static char path[128];

static int set_up(void **state)
{
    (void)state;
    if (str_copy(STR("/tmp/weir-db-XXXXXX"), folder, sizeof folder) < 0 || mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(path, sizeof path, "%s/test.db", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return file_remove_all(folder);
}

static const struct db_collection first[] = {
    {.name = "users", .keys = {{"email", true}}, .keys_count = 1}};
static const struct db_schema schema_1 = {1, first, 1, NULL};

/* Version 2: addresses in lower case; version 3: a name, found by it; the address may repeat. */
static const struct db_collection third[] = {
    {.name = "users", .keys = {{"email", false}, {"name", true}}, .keys_count = 2},
    {.name = "users_email", .keys = {{"x", true}}, .keys_count = 1},
};
static int steps_run;
static int step_fails = -1;

static int each_user(struct db *db, void (*change)(json_t *doc))
{
    json_t *docs;
    char *cursor = NULL;
    size_t i;
    json_t *doc;
    int r = db_list(db, 0, &(struct db_list){.limit = DB_LIST_MAX}, &docs, &cursor);
    if (r < 0)
        return r;
    free(cursor);
    json_array_foreach(docs, i, doc)
    {
        change(doc);
        r = r < 0 ? r : db_replace(db, 0, doc);
    }
    json_decref(docs);
    return r;
}

static void lower_email(json_t *doc)
{
    char text[64];
    assert_int_equal(
        str_copy(str_of(json_string_value(json_object_get(doc, "email"))), text, sizeof text), 0);
    for (char *p = text; *p != 0; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
    json_object_set_new(doc, "email", json_string(text));
}

static void name_it(json_t *doc)
{
    json_object_set(doc, "name", json_object_get(doc, "id"));
}

static int migrate(struct db *db, unsigned from, struct err *err)
{
    steps_run++;
    if ((int)from == step_fails)
        return err_set(err, -EIO, "step %u fails", from);
    return each_user(db, from == 1 ? lower_email : name_it);
}

static const struct db_schema schema_3 = {3, third, 2, migrate};

static void insert(struct db *db, const char *id, const char *email, int expected)
{
    json_t *doc = json_pack("{s:s, s:s}", "id", id, "email", email);
    assert_int_equal(db_insert(db, 0, doc), expected);
    json_decref(doc);
}

static void test_migrations(void **state)
{
    (void)state;
    struct err err = {""};
    struct db *db = NULL;
    json_t *doc = NULL;
    assert_int_equal(db_open(path, &schema_1, &err, &db), 0);
    insert(db, "a", "A@X", 0);
    insert(db, "b", "a@x", 0);
    db_close(db);
    db = NULL;

    /* A failing second step undoes the first as well. */
    step_fails = 2;
    steps_run = 0;
    assert_int_equal(db_open(path, &schema_3, &err, &db), -EIO);
    assert_null(db);
    assert_string_equal(err.text, "step 2 fails");
    assert_int_equal(steps_run, 2);
    assert_int_equal(db_open(path, &schema_1, &err, &db), 0);
    assert_int_equal(db_get(db, 0, "a", &doc), 0);
    assert_string_equal(json_string_value(json_object_get(doc, "email")), "A@X");
    json_decref(doc);
    db_close(db);

    step_fails = -1;
    steps_run = 0;
    assert_int_equal(db_open(path, &schema_3, &err, &db), 0);
    assert_int_equal(steps_run, 2);
    json_t *name = json_string("a");
    assert_int_equal(db_find(db, 0, "name", name, &doc), 0);
    assert_string_equal(json_string_value(json_object_get(doc, "email")), "a@x");
    json_decref(doc);
    json_decref(name);
    insert(db, "c", "a@x", 0); /* unique no more */
    db_close(db);
    db = NULL;

    steps_run = 0;
    assert_int_equal(db_open(path, &schema_3, &err, &db), 0);
    assert_int_equal(steps_run, 0);
    db_close(db);
    db = NULL;
    assert_int_equal(db_open(path, &schema_1, &err, &db), -EPROTO);
    assert_non_null(strstr(err.text, "version 3"));
    assert_null(db);
}

static void test_new_is_not_migrated(void **state)
{
    (void)state;
    struct db *db = NULL;
    steps_run = 0;
    assert_int_equal(db_open(path, &schema_3, NULL, &db), 0);
    assert_int_equal(steps_run, 0);
    db_close(db);
}

static void test_foreign_files(void **state)
{
    (void)state;
    struct err err = {""};
    struct db *db = NULL;
    assert_int_equal(file_write(path,
                                STR("no database, but long enough to be looked at: "
                                    "0123456789012345678901234567890123456789012345678901"),
                                0600),
                     0);
    assert_int_equal(db_open(path, &schema_1, &err, &db), -EBADMSG);
    assert_int_equal(db_open(folder, &schema_1, &err, &db), -EISDIR);
    assert_int_equal(db_open("nosuch://host/name", &schema_1, &err, &db), -EPROTONOSUPPORT);
    char absent[160];
    (void)snprintf(absent, sizeof absent, "%s/absent/test.db", folder);
    assert_int_equal(db_open(absent, &schema_1, &err, &db), -ENOENT);
    assert_non_null(strstr(err.text, absent));
    assert_null(db);
}

static void test_rights(void **state)
{
    (void)state;
    struct db *db = NULL;
    struct stat s;
    char wal[160];
    assert_int_equal(db_open(path, &schema_1, NULL, &db), 0);
    insert(db, "a", "a@x", 0);
    (void)snprintf(wal, sizeof wal, "%s-wal", path);
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_mode & 0777, 0600);
    assert_int_equal(stat(wal, &s), 0);
    assert_int_equal(s.st_mode & 0777, 0600);
    db_close(db);
}

/* A process that ends without closing loses nothing that was acknowledged. */
static void test_lasting(void **state)
{
    (void)state;
    struct db *db = NULL;
    json_t *doc = NULL;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        json_t *mine = json_pack("{s:s, s:s}", "id", "a", "email", "a@x");
        if (db_open(path, &schema_1, NULL, &db) < 0 || db_insert(db, 0, mine) < 0)
            _exit(1);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(db_open(path, &schema_1, NULL, &db), 0);
    assert_int_equal(db_get(db, 0, "a", &doc), 0);
    json_decref(doc);
    db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_migrations, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_new_is_not_migrated, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_foreign_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rights, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lasting, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("db sqlite", tests, NULL, NULL);
}
