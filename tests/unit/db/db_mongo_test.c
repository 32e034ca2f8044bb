/* SPDX-License-Identifier: Apache-2.0 */
/* What only a server can show: that it dies in the middle of calls and comes back, that it is away,
 * that others use it too. */
#include <mongoc/mongoc.h>
#include "db/db.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include "db/db_copy.h"
#include "mongo_server.h"

static const struct db_collection things[] = {
    {.name = "things", .keys = {{"tag", true}}, .keys_count = 1, .text = "words"},
};
static const struct db_schema schema = {1, things, 1, NULL};
static struct mongo_server server;

static int set_up(void **state)
{
    (void)state;
    mongo_server_start(&server);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mongo_server_stop(&server);
    return 0;
}

static struct db *open_named(const char *name, const char *options)
{
    char address[256];
    struct err err = {""};
    struct db *db = NULL;
    (void)snprintf(address, sizeof address, "mongodb://%s/%s?%s", server.address, name, options);
    if (db_open(address, &schema, &err, &db) < 0)
        fail_msg("%s", err.text);
    return db;
}

#define WORKERS  4
#define RESTARTS 3

struct worker {
    pthread_t thread;
    struct db *db;
    unsigned index;
    atomic_uint calls;
    unsigned inserted;
    unsigned added;
    unsigned failed;
    int strange; /* an error that none of these calls may have */
};
static atomic_bool stop;

/* -EEXIST of an insert: done by a try that was answered with an error before. */
static void worker_note(struct worker *w, int r, unsigned *counter)
{
    if (r == 0)
        (*counter)++;
    else if (r == -EHOSTDOWN || r == -EIO || r == -EBUSY)
        w->failed++;
    else
        w->strange = r;
    atomic_fetch_add(&w->calls, 1);
}

static void *worker_run(void *arg)
{
    struct worker *w = arg;
    json_t *one = json_pack("{s:i}", "n", 1);
    const struct db_update add = {.add = one};
    for (unsigned i = 0; !atomic_load(&stop) && w->strange == 0; i++) {
        char id[32];
        unsigned got = 0;
        json_t *got_doc = NULL;
        (void)snprintf(id, sizeof id, "w%u-%u", w->index, w->inserted + w->failed);
        json_t *doc = json_pack("{s:s, s:s, s:s}", "id", id, "tag", id, "words", "some words");
        worker_note(w, db_insert(w->db, 0, doc), &w->inserted);
        json_decref(doc);
        worker_note(w, db_update(w->db, 0, "counter", &add, NULL), &w->added);
        worker_note(w, db_get(w->db, 0, "counter", &got_doc), &got);
        json_decref(got_doc);
    }
    json_decref(one);
    return NULL;
}

static unsigned all_calls(struct worker *workers)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < WORKERS; i++)
        sum += atomic_load(&workers[i].calls);
    return sum;
}

/* Until so many more calls have ended. */
static void wait_calls(struct worker *workers, unsigned more)
{
    unsigned before = all_calls(workers);
    while (all_calls(workers) < before + more)
        (void)usleep(2000);
}

static void test_restarts(void **state)
{
    (void)state;
    struct worker workers[WORKERS] = {{.index = 0}};
    struct err err = {""};
    uint64_t inserted = 0;
    unsigned added = 0;
    unsigned failed = 0;
    uint64_t count = 0;
    json_t *doc = json_pack("{s:s, s:i}", "id", "counter", "n", 0);
    struct db *db = open_named("restarts", "");
    atomic_store(&stop, false);
    assert_int_equal(db_insert(db, 0, doc), 0);
    json_decref(doc);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i].db = db;
        workers[i].index = i;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]), 0);
    }
    for (unsigned i = 0; i < RESTARTS; i++) {
        wait_calls(workers, 40);
        mongo_server_kill(&server);
        mongo_server_run(&server);
    }
    wait_calls(workers, 40);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_int_equal(workers[i].strange, 0);
        inserted += workers[i].inserted;
        added += workers[i].added;
        failed += workers[i].failed;
    }
    /* What was acknowledged is there; what was not may be, once. */
    assert_int_equal(db_count(db, 0, &(struct db_list){.limit = 1}, &count), 0);
    assert_in_range(count, inserted + 1, inserted + 1 + failed);
    assert_int_equal(db_get(db, 0, "counter", &doc), 0);
    assert_in_range(json_integer_value(json_object_get(doc, "n")), added, added + failed);
    json_decref(doc);
    if (db_check_all(db, NULL, &err) < 0)
        fail_msg("%s", err.text);
    db_close(db);
}

static void test_away(void **state)
{
    (void)state;
    struct err err = {""};
    json_t *doc = json_pack("{s:s}", "id", "a");
    json_t *got = NULL;
    struct db *none = NULL;
    char address[128];
    struct db *db = open_named("away", "serverSelectionTimeoutMS=300");
    assert_int_equal(db_insert(db, 0, doc), 0);
    mongo_server_kill(&server);
    assert_int_equal(db_get(db, 0, "a", &got), -EHOSTDOWN);
    assert_int_equal(db_put(db, 0, doc), -EHOSTDOWN);
    assert_int_equal(db_delete(db, 0, "a"), -EHOSTDOWN);
    assert_null(got);
    (void)snprintf(address, sizeof address,
                   "mongodb://user:hidden@%s/x?serverSelectionTimeoutMS=300", server.address);
    assert_int_equal(db_open(address, &schema, &err, &none), -EHOSTDOWN);
    assert_non_null(strstr(err.text, server.address));
    assert_null(strstr(err.text, "hidden"));
    mongo_server_run(&server);
    int r = -EHOSTDOWN;
    for (unsigned i = 0; r == -EHOSTDOWN && i < 100; i++) /* until the client has seen it again */
        r = db_get(db, 0, "a", &got);
    assert_int_equal(r, 0);
    json_decref(got);
    json_decref(doc);
    db_close(db);
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "mongodb://",
        "mongodb://host:port/x",
        "mongodb://127.0.0.1:1/x?readPreference=nonsense&serverSelectionTimeoutMS=200",
        "mongodb://%zz:x@127.0.0.1:1/x",
    };
    struct err err = {""};
    struct db *db = NULL;
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(db_open(bad[i], &schema, &err, &db), -EINVAL);
        assert_true(err.text[0] != 0);
    }
    assert_int_equal(
        db_open("mongodb://u@127.0.0.1:1/x?passwordFile=/nonexistent&w=1", &schema, &err, &db),
        -ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent"));
    assert_null(db);
}

/* Wherever it stands among the options, it is taken out, and the rest is as it was. */
static void test_password_file(void **state)
{
    (void)state;
    static const char *const forms[] = {
        "mongodb://u@127.0.0.1:1/named?passwordFile=%s&serverSelectionTimeoutMS=100",
        "mongodb://u@127.0.0.1:1/named?serverSelectionTimeoutMS=100&passwordFile=%s",
        ("mongodb://u@127.0.0.1:1/named?retryWrites=false&passwordFile=%s&"
         "serverSelectionTimeoutMS=100"),
    };
    char file[96];
    struct db *db = NULL;
    (void)snprintf(file, sizeof file, "%s/password", server.folder);
    assert_int_equal(file_write(file, STR("s3cr:t@/?#[]%&\nmore"), 0600), 0);
    for (unsigned i = 0; i < ARRAY_LEN(forms); i++) {
        struct err err = {""};
        char address[256];
        const char *at = strstr(forms[i], "%s");
        (void)snprintf(address, sizeof address, "%.*s%s%s", (int)(at - forms[i]), forms[i], file,
                       at + 2);
        assert_int_equal(db_open(address, &schema, &err, &db), -EHOSTDOWN);
        assert_non_null(strstr(err.text, "mongodb://127.0.0.1:1/named"));
        assert_null(strstr(err.text, "s3cr"));
    }
    assert_int_equal(file_write(file, STR("\n"), 0600), 0);
    struct err err = {""};
    char address[256];
    (void)snprintf(address, sizeof address, "mongodb://u@127.0.0.1:1/named?passwordFile=%s", file);
    assert_int_equal(db_open(address, &schema, &err, &db), -EBADMSG);
    assert_null(db);
}

static void insert_foreign(const char *address, const char *database)
{
    bson_error_t error;
    char text[128];
    (void)snprintf(text, sizeof text, "mongodb://%s", address);
    mongoc_client_t *client = mongoc_client_new(text);
    mongoc_collection_t *c = mongoc_client_get_collection(client, database, "things");
    bson_t doc = BSON_INITIALIZER;
    (void)bson_append_utf8(&doc, "_id", -1, "foreign", -1);
    assert_true(mongoc_collection_insert_one(c, &doc, NULL, NULL, &error));
    bson_destroy(&doc);
    mongoc_collection_destroy(c);
    mongoc_client_destroy(client);
}

static void test_foreign(void **state)
{
    (void)state;
    char address[128];
    struct err err = {""};
    struct db *none = NULL;
    json_t *doc = NULL;
    /* A database of somebody else is not taken over. */
    insert_foreign(server.address, "foreign");
    (void)snprintf(address, sizeof address, "mongodb://%s/foreign", server.address);
    assert_int_equal(db_open(address, &schema, &err, &none), -EBADMSG);
    assert_non_null(strstr(err.text, "another program"));
    assert_null(none);
    /* A document that somebody put into ours is not one of ours. */
    struct db *db = open_named("ours", "");
    insert_foreign(server.address, "ours");
    json_t *set = json_pack("{s:i}", "n", 1);
    assert_int_equal(db_update(db, 0, "foreign", &(struct db_update){.set = set}, &doc), -EBADMSG);
    json_decref(set);
    assert_int_equal(db_check_all(db, NULL, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "foreign"));
    db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restarts),      cmocka_unit_test(test_away),
        cmocka_unit_test(test_addresses),     cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_password_file),
    };
    return cmocka_run_group_tests_name("db mongo", tests, set_up, tear_down);
}
