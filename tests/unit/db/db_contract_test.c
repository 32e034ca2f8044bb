/* SPDX-License-Identifier: Apache-2.0 */
/* The promises of db.h about single documents and plain lists, on any backend. */
#include "db/db.h"
#include <pthread.h>
#include "contract.h"

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
        walk(f, THINGS, (struct db_list){.key = "rank", .limit = limit}, "b c d i a j f e");
        walk(f, THINGS, (struct db_list){.key = "rank", .limit = limit, .descending = true},
             "e f j a i d c b");
        walk(f, THINGS, (struct db_list){.key = "rank", .limit = limit, .equal = five}, "c d i");
        walk(f, THINGS, (struct db_list){.key = "rank", .limit = limit, .equal = large}, "j");
        walk(f, PEOPLE, (struct db_list){.key = "born", .limit = limit}, "");
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
    struct db_list list = {.key = "rank", .limit = 2};
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
    struct db_list list = {.key = "rank", .limit = 1};
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'a','rank':1}"), 0);
    assert_int_equal(write_text(f, db_insert, THINGS, "{'id':'b','rank':2}"), 0);
    assert_int_equal(db_list(f->db, THINGS, &list, &docs, &cursor), 0);
    json_decref(docs);
    docs = NULL;
    const struct db_list others[] = {
        {.key = "rank", .limit = 2, .descending = true, .cursor = cursor},
        {.key = "tag", .limit = 2, .cursor = cursor},
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

#define RACERS 8
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

static const struct CMUnitTest tests[] = {
    CASE(test_insert_get),     CASE(test_unique),
    CASE(test_find),           CASE(test_replace_put_delete),
    CASE(test_replace_if),     CASE(test_refused),
    CASE(test_list),           CASE(test_cursor_goes_on),
    CASE(test_cursor_refused), CASE(test_delete_below),
    CASE(test_races),
};
CONTRACT_MAIN("db contract", tests)
