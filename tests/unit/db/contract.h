/* SPDX-License-Identifier: Apache-2.0 */
/* contract: what the suites of db.h's promises share: a database for each test, of the kind that
 * the program's first argument names, and documents as text.
 *
 * Life:    contract_open -> the tests, each with contract_set_up and contract_tear_down ->
 *          contract_close.
 * Owner:   the test program.
 * Threads: one at a time.
 * Errors:  the test fails.
 * Units:   none. */
#pragma once
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "db/db.h"
#include "db/db_mirror.h"
#include "mongo_server.h"
#include "../unit.h"

enum { PEOPLE, THINGS, FILMS };

static const struct db_collection contract_collections[] = {
    [PEOPLE] = {.name = "people", .keys = {{"email", true}, {"born", false}}, .keys_count = 2},
    [THINGS] = {.name = "things", .keys = {{"rank", false}, {"tag", true}}, .keys_count = 2},
    [FILMS] = {.name = "films",
               .members = "title:s channel:s? made_ms:i? slug:s? tags:a? live:b? score:n? more:o? "
                          "views:i? text:s?",
               .keys = {{"channel made_ms", false},
                        {"channel slug", true},
                        {"made_ms", false},
                        {"channel views made_ms", false}},
               .keys_count = 4,
               .text = "title tags text"},
};
static const struct db_schema contract_schema = {1, contract_collections,
                                                 ARRAY_LEN(contract_collections), NULL};

struct fixture {
    char folder[64];
    char address[256];
    struct db *db;
};

/* The program's first argument: "sqlite" or "mongodb", or with "-memory" behind it: all that is
 * read comes from memory. */
static const char *contract_kind;
static struct mongo_server contract_server;

static inline bool contract_is_mongo(void)
{
    return strncmp(contract_kind, "mongodb", 7) == 0;
}

static inline int contract_open(void **state)
{
    (void)state;
    if (contract_is_mongo())
        mongo_server_start(&contract_server);
    return 0;
}

static inline int contract_close(void **state)
{
    (void)state;
    if (contract_is_mongo())
        mongo_server_stop(&contract_server);
    return 0;
}

/* An address at which there is nothing yet. */
static inline void contract_address(const char *folder, char *out, size_t size)
{
    static unsigned number;
    number++;
    if (contract_is_mongo())
        (void)snprintf(out, size, "mongodb://%s/test%u", contract_server.address, number);
    else
        (void)snprintf(out, size, "%s/test%u.db", folder, number);
}

/* Collections that declare nothing cannot be mirrored. */
static inline int contract_remember(struct db *db)
{
    if (strstr(contract_kind, "-memory") == NULL)
        return 0;
    int r = db_mirror(db, FILMS, 64 << 20);
    if (r == 0)
        r = db_remember(db, PEOPLE);
    if (r == 0)
        r = db_remember(db, THINGS);
    if (r == 0)
        r = db_mirror_fill(db, FILMS);
    db_fresh(db, UINT64_MAX);
    return r;
}

static inline int contract_set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct err err = {""};
    if (f == NULL || str_copy(STR("/tmp/weir-db-XXXXXX"), f->folder, sizeof f->folder) < 0 ||
        mkdtemp(f->folder) == NULL)
        return -1;
    contract_address(f->folder, f->address, sizeof f->address);
    if (db_open(f->address, &contract_schema, &err, &f->db) < 0) {
        print_error("%s\n", err.text);
        return -1;
    }
    *state = f;
    return contract_remember(f->db);
}

static inline int contract_tear_down(void **state)
{
    struct fixture *f = *state;
    db_close(f->db);
    int r = file_remove_all(f->folder);
    free(f);
    return r;
}
#define CONTRACT_MAIN(name, tests)                                                                 \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        if (getenv("WEIR_TEST_DEBUG") != NULL)                                                     \
            log_init("test", LOG_DEBUG);                                                           \
        contract_kind = argc == 2 ? argv[1] : "sqlite";                                            \
        return cmocka_run_group_tests_name(name, tests, contract_open, contract_close);            \
    }
#define CASE(test) cmocka_unit_test_setup_teardown(test, contract_set_up, contract_tear_down)

/* Documents as text keep the tests readable; ' stands for ". */
static inline json_t *doc_of(const char *text)
{
    char quoted[4096];
    size_t size = strlen(text);
    assert_true(size < sizeof quoted);
    for (size_t i = 0; i <= size; i++)
        quoted[i] = text[i] == '\'' ? '"' : text[i];
    json_t *doc = json_loads(quoted, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    assert_non_null(doc);
    return doc;
}

typedef int write_fn(struct db *db, unsigned coll, const json_t *doc);

static inline int write_text(struct fixture *f, write_fn *fn, unsigned coll, const char *text)
{
    json_t *doc = doc_of(text);
    int r = fn(f->db, coll, doc);
    json_decref(doc);
    return r;
}

/* Takes got. */
static inline void expect_document(int r, json_t *got, const char *text)
{
    json_t *want = doc_of(text);
    assert_int_equal(r, 0);
    if (json_equal(got, want) != 1) {
        char *is = json_dumps(got, JSON_COMPACT | JSON_ENCODE_ANY);
        fail_msg("%s instead of %s", is, text);
    }
    json_decref(want);
    json_decref(got);
}

/* The ids of the documents, joined to what `joined` (of 256 bytes) has: "a b c". */
static inline void join_ids(const json_t *docs, char *joined)
{
    size_t i;
    const json_t *doc;
    json_array_foreach(docs, i, doc)
    {
        const char *id = json_string_value(json_object_get(doc, "id"));
        size_t used = strlen(joined);
        int n =
            snprintf(joined + used, 256 - used, "%s%s", used > 0 ? " " : "", id != NULL ? id : "-");
        assert_true(n > 0 && (size_t)n < 256 - used);
    }
}

/* Walks all pages; db_count gives as many. */
static inline void walk(struct fixture *f, unsigned coll, struct db_list list, const char *expected)
{
    char joined[256] = "";
    char *cursor = NULL;
    unsigned pages = 0;
    uint64_t count = 0;
    uint64_t seen = 0;
    do {
        json_t *docs = NULL;
        char *next = NULL;
        list.cursor = cursor;
        assert_int_equal(db_list(f->db, coll, &list, &docs, &next), 0);
        assert_true(json_array_size(docs) <= list.limit);
        if (next != NULL)
            assert_int_equal(json_array_size(docs), list.limit);
        seen += json_array_size(docs);
        join_ids(docs, joined);
        json_decref(docs);
        free(cursor);
        cursor = next;
        assert_true(++pages < 100);
    } while (cursor != NULL);
    assert_string_equal(joined, expected);
    list.cursor = NULL;
    assert_int_equal(db_count(f->db, coll, &list, &count), 0);
    assert_int_equal(count, seen);
}
