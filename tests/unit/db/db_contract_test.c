/* SPDX-License-Identifier: Apache-2.0 */
/* The promises of db.h, on any backend: WEIR_TEST_DB names the address of an empty database that
 * may be filled; without it a new SQLite file per test is used. */
#include "db/db.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/id.h"
#include "../unit.h"

enum { PEOPLE, THINGS };

static const struct db_collection collections[] = {
    [PEOPLE] = {"people", {{"email", true}, {"born", false}}, 2},
    [THINGS] = {"things", {{"rank", false}, {"tag", true}}, 2},
};
static const struct db_schema schema = {1, collections, ARRAY_LEN(collections), NULL};

struct fixture {
    char folder[64];
    struct db *db;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err err = {""};
    char path[128];
    const char *address = getenv("WEIR_TEST_DB");
    if (f == NULL || str_copy(STR("/tmp/weir-db-XXXXXX"), f->folder, sizeof f->folder) < 0 ||
        mkdtemp(f->folder) == NULL)
        return -1;
    (void)snprintf(path, sizeof path, "%s/test.db", f->folder);
    if (db_open(address != NULL ? address : path, &schema, &err, &f->db) < 0) {
        print_error("%s\n", err.text);
        return -1;
    }
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    /* A shared database is left empty for the next test. */
    for (unsigned coll = 0; coll < ARRAY_LEN(collections); coll++) {
        json_t *docs;
        char *cursor = NULL;
        size_t i;
        json_t *doc;
        if (db_list(f->db, coll, &(struct db_list){.limit = DB_LIST_MAX}, &docs, &cursor) < 0)
            return -1;
        free(cursor);
        json_array_foreach(
            docs, i,
            doc) if (db_delete(f->db, coll, json_string_value(json_object_get(doc, "id"))) <
                     0) return -1;
        json_decref(docs);
    }
    db_close(f->db);
    int r = file_remove_all(f->folder);
    free(f);
    return r;
}

/* Documents as text keep the tests readable; ' stands for ". */
static json_t *doc_of(const char *text)
{
    char quoted[1024];
    size_t size = strlen(text);
    assert_true(size < sizeof quoted);
    for (size_t i = 0; i <= size; i++)
        quoted[i] = text[i] == '\'' ? '"' : text[i];
    json_t *doc = json_loads(quoted, JSON_DECODE_ANY, NULL);
    assert_non_null(doc);
    return doc;
}

typedef int write_fn(struct db *db, unsigned coll, const json_t *doc);

static int write_text(struct fixture *f, write_fn *fn, unsigned coll, const char *text)
{
    json_t *doc = doc_of(text);
    int r = fn(f->db, coll, doc);
    json_decref(doc);
    return r;
}

static void expect_document(int r, json_t *got, const char *text)
{
    json_t *want = doc_of(text);
    assert_int_equal(r, 0);
    assert_true(json_equal(got, want));
    json_decref(want);
    json_decref(got);
}

static int find_text(struct fixture *f, unsigned coll, const char *field, const char *value,
                     json_t **ret)
{
    json_t *v = doc_of(value);
    int r = db_find(f->db, coll, field, v, ret);
    json_decref(v);
    return r;
}

static void test_insert_get(void **state)
{
    struct fixture *f = *state;
    json_t *got = NULL;
    const char *bob = "{'id':'b','email':'b@x.org','born':1815,'more':[1,2.5,{'k':null}],"
                      "'text':'\\u00fc \\ud83d\\ude00 % _'}";
    assert_int_equal(write_text(f, db_insert, PEOPLE, bob), 0);
    int r = db_get(f->db, PEOPLE, "b", &got);
    expect_document(r, got, bob);
    /* A zero is a character like others where it is no key. */
    json_t *doc = json_loads("{\"id\":\"z\",\"t\":\"a\\u0000b\"}", JSON_ALLOW_NUL, NULL);
    assert_non_null(doc);
    assert_int_equal(db_insert(f->db, PEOPLE, doc), 0);
    assert_int_equal(db_get(f->db, PEOPLE, "z", &got), 0);
    assert_true(json_equal(got, doc));
    json_decref(got);
    json_decref(doc);
    /* The same id in another collection is another document. */
    got = NULL;
    assert_int_equal(db_get(f->db, THINGS, "b", &got), -ENOENT);
    assert_int_equal(db_get(f->db, PEOPLE, "B", &got), -ENOENT);
    assert_int_equal(db_get(f->db, PEOPLE, "", &got), -ENOENT);
    assert_null(got);
}

static void test_unique(void **state)
{
    struct fixture *f = *state;
    json_t *got = NULL;
    assert_int_equal(write_text(f, db_insert, PEOPLE, "{'id':'a','email':'x'}"), 0);
    assert_int_equal(write_text(f, db_insert, PEOPLE, "{'id':'a','email':'y'}"), -EEXIST);
    assert_int_equal(write_text(f, db_insert, PEOPLE, "{'id':'b','email':'x'}"), -EEXIST);
    assert_int_equal(write_text(f, db_insert, PEOPLE, "{'id':'b','email':'y'}"), 0);
    assert_int_equal(write_text(f, db_replace, PEOPLE, "{'id':'b','email':'x'}"), -EEXIST);
    assert_int_equal(write_text(f, db_put, PEOPLE, "{'id':'b','email':'x'}"), -EEXIST);
    assert_int_equal(write_text(f, db_put, PEOPLE, "{'id':'c','email':'x'}"), -EEXIST);
    int r = db_get(f->db, PEOPLE, "b", &got);
    expect_document(r, got, "{'id':'b','email':'y'}"); /* refused writes changed nothing */
    /* A number is not the text of it, and absent or null keys collide with none. */
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'1','tag':1}"), 0);
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'2','tag':'1'}"), 0);
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'3'}"), 0);
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'4'}"), 0);
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'5','tag':null}"), 0);
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'6','tag':null}"), 0);
    /* What was given up is free again. */
    assert_int_equal(db_delete(f->db, PEOPLE, "a"), 0);
    assert_int_equal(write_text(f, db_insert, PEOPLE, "{'id':'d','email':'x'}"), 0);
}

static void test_find(void **state)
{
    struct fixture *f = *state;
    json_t *got = NULL;
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'1','tag':1}"), 0);
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'2','tag':'1'}"), 0);
    int r = find_text(f, THINGS, "tag", "1", &got);
    expect_document(r, got, "{'id':'1','tag':1}");
    r = find_text(f, THINGS, "tag", "'1'", &got);
    expect_document(r, got, "{'id':'2','tag':'1'}");
    got = NULL;
    assert_int_equal(find_text(f, THINGS, "tag", "'2'", &got), -ENOENT);
    assert_int_equal(find_text(f, THINGS, "tag", "true", &got), -ENOENT);
    assert_int_equal(find_text(f, THINGS, "tag", "'\\u0027 OR 1=1'", &got), -ENOENT);
    assert_null(got);
}

static void test_replace_put_delete(void **state)
{
    struct fixture *f = *state;
    json_t *got = NULL;
    assert_int_equal(write_text(f, db_replace, PEOPLE, "{'id':'a'}"), -ENOENT);
    assert_int_equal(db_delete(f->db, PEOPLE, "a"), -ENOENT);
    assert_int_equal(write_text(f, db_put, PEOPLE, "{'id':'a','email':'x','n':1}"), 0);
    assert_int_equal(write_text(f, db_put, PEOPLE, "{'id':'a','email':'y'}"), 0);
    int r = db_get(f->db, PEOPLE, "a", &got);
    expect_document(r, got, "{'id':'a','email':'y'}");
    got = NULL;
    assert_int_equal(find_text(f, PEOPLE, "email", "'x'", &got), -ENOENT);
    assert_int_equal(write_text(f, db_replace, PEOPLE, "{'id':'a','email':'z'}"), 0);
    r = find_text(f, PEOPLE, "email", "'z'", &got);
    expect_document(r, got, "{'id':'a','email':'z'}");
    assert_int_equal(db_delete(f->db, PEOPLE, "a"), 0);
    got = NULL;
    assert_int_equal(db_get(f->db, PEOPLE, "a", &got), -ENOENT);
}

static int replace_if(struct fixture *f, const char *text, const char *field, const char *expected)
{
    json_t *doc = doc_of(text);
    json_t *value = doc_of(expected);
    int r = db_replace_if(f->db, PEOPLE, doc, field, value);
    json_decref(doc);
    json_decref(value);
    return r;
}

static void test_replace_if(void **state)
{
    struct fixture *f = *state;
    json_t *got = NULL;
    assert_int_equal(replace_if(f, "{'id':'a','rev':2}", "rev", "1"), -ENOENT);
    assert_int_equal(write_text(f, db_insert, PEOPLE, "{'id':'a','rev':1,'s':'on','t':true}"), 0);
    assert_int_equal(replace_if(f, "{'id':'a','rev':3}", "rev", "2"), -ESTALE);
    assert_int_equal(replace_if(f, "{'id':'a','rev':3}", "rev", "'1'"), -ESTALE);
    assert_int_equal(replace_if(f, "{'id':'a','rev':3}", "t", "1"), -ESTALE); /* true is not 1 */
    assert_int_equal(replace_if(f, "{'id':'a','rev':3}", "none", "1"), -ESTALE);
    assert_int_equal(replace_if(f, "{'id':'a','rev':3}", "rev", "null"), -EINVAL);
    assert_int_equal(replace_if(f, "{'id':'a','rev':2,'s':'off'}", "s", "'on'"), 0);
    assert_int_equal(replace_if(f, "{'id':'a','rev':3}", "rev", "2"), 0);
    int r = db_get(f->db, PEOPLE, "a", &got);
    expect_document(r, got, "{'id':'a','rev':3}");
}

static void test_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {
        "[]",
        "'text'",
        "{}",
        "{'id':1}",
        "{'id':''}",
        "{'id':null}",
        "{'id':'a','email':true}",
        "{'id':'a','email':1.5}",
        "{'id':'a','email':['x']}",
        "{'id':'a','born':{}}",
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(write_text(f, db_insert, PEOPLE, bad[i]), -EINVAL);
    char text[DB_KEY_SIZE_MAX + 2];
    memset(text, 'k', sizeof text - 1);
    text[sizeof text - 1] = 0;
    json_t *doc = json_pack("{s:s, s:s}", "id", "a", "email", text);
    assert_int_equal(db_insert(f->db, PEOPLE, doc), -EINVAL);
    json_object_set_new(doc, "email", json_string(text + 1));
    assert_int_equal(db_insert(f->db, PEOPLE, doc), 0);
    json_object_set_new(doc, "id", json_string(text + (DB_KEY_SIZE_MAX - DB_ID_SIZE_MAX)));
    assert_int_equal(db_insert(f->db, PEOPLE, doc), -EINVAL); /* an id one too long */
    json_object_set_new(doc, "id", json_stringn("a\0b", 3));
    assert_int_equal(db_insert(f->db, PEOPLE, doc), -EINVAL);
    json_decref(doc);
    char *large = calloc(1, DB_DOCUMENT_SIZE_MAX + 1);
    assert_non_null(large);
    memset(large, 'x', DB_DOCUMENT_SIZE_MAX);
    doc = json_pack("{s:s, s:s}", "id", "large", "text", large);
    assert_int_equal(db_insert(f->db, PEOPLE, doc), -EINVAL);
    free(large);
    json_decref(doc);
}

/* Walks all pages and joins the ids: "a b c". */
static void walk(struct fixture *f, unsigned coll, struct db_list list, const char *expected)
{
    char joined[256] = "";
    size_t used = 0;
    char *cursor = NULL;
    unsigned pages = 0;
    do {
        json_t *docs = NULL;
        char *next = NULL;
        size_t i;
        json_t *doc;
        list.cursor = cursor;
        assert_int_equal(db_list(f->db, coll, &list, &docs, &next), 0);
        assert_true(json_array_size(docs) <= list.limit);
        if (next != NULL)
            assert_int_equal(json_array_size(docs), list.limit);
        json_array_foreach(docs, i, doc)
        {
            const char *id = json_string_value(json_object_get(doc, "id"));
            int n = snprintf(joined + used, sizeof joined - used, "%s%s", used > 0 ? " " : "", id);
            assert_true(n > 0 && (size_t)n < sizeof joined - used);
            used += (size_t)n;
        }
        json_decref(docs);
        free(cursor);
        cursor = next;
        assert_true(++pages < 100);
    } while (cursor != NULL);
    assert_string_equal(joined, expected);
}

static void test_list(void **state)
{
    struct fixture *f = *state;
    static const char *const docs[] = {
        "{'id':'d','rank':5}",
        "{'id':'a','rank':7}",
        "{'id':'c','rank':5}",
        "{'id':'b','rank':-1}",
        "{'id':'e','rank':'x'}",
        "{'id':'f','rank':'X'}",
        "{'id':'g'}",
        "{'id':'h','rank':null}",
        "{'id':'i','rank':5}",
        "{'id':'j','rank':9007199254740993}",
    };
    for (unsigned i = 0; i < ARRAY_LEN(docs); i++)
        assert_int_equal(write_text(f, db_insert, THINGS, docs[i]), 0);
    json_t *five = json_integer(5);
    json_t *large = json_integer(INT64_C(9007199254740993)); /* not a double */
    for (unsigned limit = 1; limit <= 11; limit++) {
        walk(f, THINGS, (struct db_list){.limit = limit}, "a b c d e f g h i j");
        walk(f, THINGS, (struct db_list){.limit = limit, .descending = true},
             "j i h g f e d c b a");
        walk(f, THINGS, (struct db_list){.field = "rank", .limit = limit}, "b c d i a j f e");
        walk(f, THINGS, (struct db_list){.field = "rank", .limit = limit, .descending = true},
             "e f j a i d c b");
        walk(f, THINGS, (struct db_list){.field = "rank", .limit = limit, .equal = five}, "c d i");
        walk(f, THINGS, (struct db_list){.field = "rank", .limit = limit, .equal = large}, "j");
        walk(f, PEOPLE, (struct db_list){.field = "born", .limit = limit}, "");
    }
    json_decref(five);
    json_decref(large);
}

/* The cursor's own document may go, others may come. */
static void test_cursor_goes_on(void **state)
{
    struct fixture *f = *state;
    json_t *docs = NULL;
    char *cursor = NULL;
    char *next = NULL;
    struct db_list list = {.field = "rank", .limit = 2};
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'a','rank':1}"), 0);
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'b','rank':2}"), 0);
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'c','rank':3}"), 0);
    assert_int_equal(db_list(f->db, THINGS, &list, &docs, &cursor), 0);
    json_decref(docs);
    assert_non_null(cursor);
    assert_int_equal(db_delete(f->db, THINGS, "b"), 0);
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'aa','rank':1}"), 0);
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'bb','rank':2}"), 0);
    list.cursor = cursor;
    assert_int_equal(db_list(f->db, THINGS, &list, &docs, &next), 0);
    assert_int_equal(json_array_size(docs), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(docs, 0), "id")), "bb");
    assert_null(next);
    json_decref(docs);
    free(cursor);
}

static void test_cursor_refused(void **state)
{
    struct fixture *f = *state;
    json_t *docs = NULL;
    char *cursor = NULL;
    char *next = NULL;
    struct db_list list = {.field = "rank", .limit = 1};
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'a','rank':1}"), 0);
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'b','rank':2}"), 0);
    assert_int_equal(db_list(f->db, THINGS, &list, &docs, &cursor), 0);
    json_decref(docs);
    docs = NULL;
    const struct db_list others[] = {
        {.field = "rank", .limit = 2, .descending = true, .cursor = cursor},
        {.field = "tag", .limit = 2, .cursor = cursor},
        {.limit = 2, .cursor = cursor},
    };
    for (unsigned i = 0; i < ARRAY_LEN(others); i++)
        assert_int_equal(db_list(f->db, THINGS, &others[i], &docs, &next), -EINVAL);
    static const char *const bad[] = {"", "!", "AAAA", "bnVsbA", "W10", "e30"};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        list.cursor = bad[i];
        assert_int_equal(db_list(f->db, THINGS, &list, &docs, &next), -EINVAL);
    }
    assert_null(docs);
    assert_null(next);
    free(cursor);
}

static void test_delete_below(void **state)
{
    struct fixture *f = *state;
    uint64_t count = 99;
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'a','rank':1}"), 0);
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'b','rank':2}"), 0);
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'c','rank':3}"), 0);
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'d','rank':'0'}"), 0);
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'e'}"), 0);
    assert_int_equal(db_delete_below(f->db, THINGS, "rank", 3, &count), 0);
    assert_int_equal(count, 2);
    walk(f, THINGS, (struct db_list){.limit = 10}, "c d e");
    assert_int_equal(db_delete_below(f->db, THINGS, "rank", 3, &count), 0);
    assert_int_equal(count, 0);
}

#define RACERS 6
#define ROUNDS 25

struct racer {
    pthread_t thread;
    struct db *db;
    unsigned index;
    int error;
    unsigned won;
};

/* Adds to one counter by compare and replace: no addition may be lost. */
static void *race_counter(void *arg)
{
    struct racer *racer = arg;
    for (unsigned done = 0; done < ROUNDS && racer->error == 0;) {
        json_t *doc = NULL;
        racer->error = db_get(racer->db, THINGS, "counter", &doc);
        if (racer->error < 0)
            break;
        json_t *before = json_incref(json_object_get(doc, "n"));
        json_object_set_new(doc, "n", json_integer(json_integer_value(before) + 1));
        int r = db_replace_if(racer->db, THINGS, doc, "n", before);
        json_decref(before);
        json_decref(doc);
        if (r == 0)
            done++;
        else if (r != -ESTALE)
            racer->error = r;
    }
    return NULL;
}

/* Everybody wants the same unique key: one gets it each round. */
static void *race_unique(void *arg)
{
    struct racer *racer = arg;
    for (unsigned i = 0; i < ROUNDS && racer->error == 0; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "r%u-%u", racer->index, i);
        json_t *doc = json_pack("{s:s, s:i}", "id", id, "tag", (int)i);
        int r = db_insert(racer->db, THINGS, doc);
        json_decref(doc);
        if (r == 0)
            racer->won++;
        else if (r != -EEXIST)
            racer->error = r;
    }
    return NULL;
}

static unsigned race(struct fixture *f, void *(*run)(void *))
{
    struct racer racers[RACERS];
    unsigned won = 0;
    for (unsigned i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){.db = f->db, .index = i};
        assert_int_equal(pthread_create(&racers[i].thread, NULL, run, &racers[i]), 0);
    }
    for (unsigned i = 0; i < RACERS; i++) {
        assert_int_equal(pthread_join(racers[i].thread, NULL), 0);
        assert_int_equal(racers[i].error, 0);
        won += racers[i].won;
    }
    return won;
}

static void test_races(void **state)
{
    struct fixture *f = *state;
    json_t *got = NULL;
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'counter','n':0}"), 0);
    (void)race(f, race_counter);
    assert_int_equal(db_get(f->db, THINGS, "counter", &got), 0);
    assert_int_equal(json_integer_value(json_object_get(got, "n")), RACERS * ROUNDS);
    json_decref(got);
    assert_int_equal(race(f, race_unique), ROUNDS);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_insert_get),     CASE(test_unique),
        CASE(test_find),           CASE(test_replace_put_delete),
        CASE(test_replace_if),     CASE(test_refused),
        CASE(test_list),           CASE(test_cursor_goes_on),
        CASE(test_cursor_refused), CASE(test_delete_below),
        CASE(test_races),
    };
    return cmocka_run_group_tests_name("db contract", tests, NULL, NULL);
}
