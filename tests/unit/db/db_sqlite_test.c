/* SPDX-License-Identifier: Apache-2.0 */
/* What only a file can show: that migrations are undone, foreign and old files, rights, plans of
 * queries, and what a crash or a full disk leaves. */
#include "db/db.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/file.h"
#include "db/db_copy.h"
#include "db/db_sqlite.h"
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

/* --- plans ------------------------------------------------------------------------------------ */

static const struct db_collection films[] = {
    {.name = "films",
     .members = "title:s channel:s? made_ms:i? slug:s? rank:i? tags:a?",
     .keys = {{"channel made_ms", false},
              {"channel slug", true},
              {"slug", true},
              {"made_ms", false},
              {"channel rank made_ms", false}},
     .keys_count = 5,
     .text = "title tags"},
};
static const struct db_schema film_schema = {1, films, 1, NULL};

/* Lists read along an index from where they begin, and sort nothing. */
static void expect_plan(struct db *db, sqlite3 *handle, const struct db_range *range)
{
    struct db_sqlite_query q;
    sqlite3_stmt *stmt = NULL;
    char explain[4096];
    bool searches = false;
    db_sqlite_query_init(&q);
    db_sqlite_range(&q, CONTAINER_OF(db, struct db_sqlite, db), 0, "c.doc", range, false);
    (void)snprintf(explain, sizeof explain, "EXPLAIN QUERY PLAN %s", q.sql.data);
    assert_int_equal(sqlite3_prepare_v2(handle, explain, -1, &stmt, NULL), SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        const char *step = (const char *)sqlite3_column_text(stmt, 3);
        bool scan = strstr(step, "SCAN c") != NULL && range->key != NULL;
        if (scan || strstr(step, "TEMP B-TREE") != NULL)
            fail_msg("%s: %s", q.sql.data, step);
        searches = searches || strstr(step, "SEARCH c USING INDEX") != NULL ||
                   strstr(step, "SCAN c USING INDEX") != NULL;
    }
    if (!searches)
        fail_msg("%s: no index", q.sql.data);
    (void)sqlite3_finalize(stmt);
    db_sqlite_end(&q);
}

static void test_plans(void **state)
{
    (void)state;
    struct err err = {""};
    struct db *db = NULL;
    sqlite3 *handle = NULL;
    json_t *value = json_integer(5);
    json_t *text = json_string("x");
    const struct db_place place = {.value = value, .id = "a"};
    assert_int_equal(db_open(path, &film_schema, &err, &db), 0);
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    for (unsigned k = 0; k < films[0].keys_count; k++) {
        const struct db_key_shape *key = &db->shapes[0].keys[k];
        for (unsigned bits = 0; bits < 32; bits++) {
            struct db_range range = {.key = key, .limit = 10, .descending = (bits & 1) != 0};
            range.equal_count = key->fields_count - ((bits & 2) != 0 ? 0 : 1);
            for (unsigned i = 0; i < range.equal_count; i++)
                range.equal[i] = text;
            range.from = (bits & 4) != 0 ? value : NULL;
            range.below = (bits & 8) != 0 ? value : NULL;
            range.after = (bits & 16) != 0 ? &place : NULL;
            expect_plan(db, handle, &range);
        }
    }
    const struct db_place by_id = {.id = "a"};
    struct db_range all = {.limit = 10};
    expect_plan(db, handle, &all);
    all.after = &by_id;
    all.descending = true;
    expect_plan(db, handle, &all);
    (void)sqlite3_close(handle);
    json_decref(value);
    json_decref(text);
    db_close(db);
}

/* --- old files -------------------------------------------------------------------------------- */

static void test_old_file(void **state)
{
    (void)state;
    struct err err = {""};
    struct db *db = NULL;
    sqlite3 *handle = NULL;
    json_t *docs = NULL;
    char *cursor = NULL;
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(handle,
                     "CREATE TABLE c_films (id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL);"
                     "INSERT INTO c_films VALUES ('b', '{\"id\":\"b\",\"title\":\"Bears\"}'),"
                     " ('a', '{\"id\":\"a\",\"title\":\"Foxes\",\"slug\":\"f\"}');"
                     "CREATE UNIQUE INDEX u_films$slug ON c_films (json_extract(doc, '$.slug'));"
                     "PRAGMA application_id = 1466263922; PRAGMA user_version = 1",
                     NULL, NULL, NULL),
        SQLITE_OK);
    (void)sqlite3_close(handle);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(db_open(path, &film_schema, &err, &db), 0);
        const struct db_term term = {.word = "bears"};
        const struct db_search search = {.terms = &term, .terms_count = 1, .limit = 5};
        assert_int_equal(db_search(db, 0, &search, &docs, &cursor), 0);
        assert_int_equal(json_array_size(docs), 1);
        json_decref(docs);
        json_t *slug = json_string("f");
        assert_int_equal(db_find(db, 0, "slug", slug, &docs), 0);
        json_decref(slug);
        json_decref(docs);
        assert_int_equal(db_check_all(db, NULL, &err), 0);
        db_close(db);
    }
}

/* What does not agree with itself is found and named. */
static void test_check_finds(void **state)
{
    (void)state;
    static const char *const harms[] = {
        "UPDATE c_films SET doc = '{\"id\":\"a\"}' WHERE id = 'a'",
        "UPDATE c_films SET doc = '[]' WHERE id = 'a'",
        "DELETE FROM w1_films",
        "DELETE FROM w1_films_idx; DELETE FROM w1_films_data WHERE id > 10",
    };
    struct err err = {""};
    for (unsigned i = 0; i < ARRAY_LEN(harms); i++) {
        struct db *db = NULL;
        sqlite3 *handle = NULL;
        assert_int_equal(db_open(path, &film_schema, &err, &db), 0);
        json_t *doc = json_pack("{s:s, s:s}", "id", "a", "title", "Bears and foxes");
        assert_int_equal(db_put(db, 0, doc), 0);
        json_decref(doc);
        assert_int_equal(db_check_all(db, NULL, &err), 0);
        assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
        assert_int_equal(sqlite3_exec(handle, harms[i], NULL, NULL, NULL), SQLITE_OK);
        (void)sqlite3_close(handle);
        assert_int_equal(db_check_all(db, NULL, &err), -EBADMSG);
        assert_true(strstr(err.text, "films") != NULL || strstr(err.text, path) != NULL);
        db_close(db);
        assert_int_equal(file_remove_all(folder), 0);
        assert_int_equal(file_mkdirs(folder), 0);
    }
}

/* --- crashes ---------------------------------------------------------------------------------- */

#define WRITERS 4
#define ACKED   300

struct writer {
    pthread_t thread;
    struct db *db;
    unsigned index;
    int fd; /* gets the number of each document that was acknowledged */
    int error;
    unsigned done;
    unsigned stop_at;
};

static void *writer_run(void *arg)
{
    struct writer *w = arg;
    for (unsigned i = 0; w->error == 0 && i < w->stop_at; i++) {
        char id[32];
        uint32_t number = w->index * 1000000 + i;
        (void)snprintf(id, sizeof id, "d%u", number);
        json_t *doc = json_pack("{s:s, s:s, s:s}", "id", id, "title", id, "slug", id);
        w->error = db_insert(w->db, 0, doc);
        json_decref(doc);
        w->done += w->error == 0 ? 1 : 0;
        if (w->error == 0 && w->fd >= 0 && write(w->fd, &number, sizeof number) < 0)
            _exit(1);
    }
    return NULL;
}

static void write_all(struct db *db, int fd, unsigned stop_at, struct writer out[WRITERS])
{
    for (unsigned i = 0; i < WRITERS; i++) {
        out[i] = (struct writer){.db = db, .index = i, .fd = fd, .stop_at = stop_at};
        assert_int_equal(pthread_create(&out[i].thread, NULL, writer_run, &out[i]), 0);
    }
    for (unsigned i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_join(out[i].thread, NULL), 0);
}

/* Killed in the middle of writing, with four that write side by side. */
static void test_killed(void **state)
{
    (void)state;
    struct err err = {""};
    struct db *db = NULL;
    int ends[2];
    uint32_t acked[4096];
    size_t count = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct writer writers[WRITERS];
        if (db_open(path, &film_schema, NULL, &db) == 0)
            write_all(db, ends[1], UINT32_MAX, writers);
        _exit(1);
    }
    assert_int_equal(close(ends[1]), 0);
    while (count < ARRAY_LEN(acked) && read(ends[0], &acked[count], sizeof acked[0]) == 4)
        if (++count == ACKED)
            assert_int_equal(kill(child, SIGKILL), 0); /* and read on what it told before */
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(close(ends[0]), 0);
    assert_true(count >= ACKED);
    assert_int_equal(db_open(path, &film_schema, &err, &db), 0);
    for (size_t i = 0; i < count; i++) {
        char id[32];
        json_t *doc = NULL;
        (void)snprintf(id, sizeof id, "d%u", acked[i]);
        assert_int_equal(db_get(db, 0, id, &doc), 0);
        json_decref(doc);
    }
    if (db_check_all(db, NULL, &err) < 0)
        fail_msg("%s", err.text);
    db_close(db);
}

/* A disk that takes no more: every call ends with an error, what was acknowledged stays, and all
 * goes on when there is room again. */
static void test_full(void **state)
{
    (void)state;
    struct err err = {""};
    struct db *db = NULL;
    struct rlimit before;
    struct writer writers[WRITERS];
    uint64_t count = 0;
    uint64_t acked = 0;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(db_open(path, &film_schema, &err, &db), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit little = {.rlim_cur = 600000, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
    write_all(db, -1, 100000, writers);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    for (unsigned i = 0; i < WRITERS; i++) {
        assert_true(writers[i].error == -ENOSPC || writers[i].error == -EIO);
        acked += writers[i].done;
    }
    assert_true(acked > 0);
    assert_int_equal(db_count(db, 0, &(struct db_list){.limit = 1}, &count), 0);
    assert_int_equal(count, acked);
    json_t *doc = json_pack("{s:s, s:s}", "id", "later", "title", "later");
    assert_int_equal(db_insert(db, 0, doc), 0);
    json_decref(doc);
    if (db_check_all(db, NULL, &err) < 0)
        fail_msg("%s", err.text);
    db_close(db);
}

/* A reader is not kept waiting by one that writes, and sees what was before. */
static void test_readers_go_on(void **state)
{
    (void)state;
    struct db *db = NULL;
    json_t *doc = NULL;
    sqlite3 *other = NULL;
    assert_int_equal(db_open(path, &schema_1, NULL, &db), 0);
    insert(db, "a", "a@x", 0);
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE; DELETE FROM c_users", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(db_get(db, 0, "a", &doc), 0);
    json_decref(doc);
    assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(db_get(db, 0, "a", &doc), -ENOENT);
    (void)sqlite3_close(other);
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
        cmocka_unit_test_setup_teardown(test_plans, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_old_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_check_finds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_readers_go_on, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("db sqlite", tests, NULL, NULL);
}
