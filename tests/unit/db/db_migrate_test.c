/* SPDX-License-Identifier: Apache-2.0 */
/* Versions, on any backend: forward step by step, never back; and what tools do with what a program
 * has left: copies, comparisons, checks. */
#include "db/db.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include "base/digest.h"
#include "db/db_copy.h"
#include "contract.h"

static const struct db_collection first[] = {
    {.name = "users", .keys = {{"email", true}}, .keys_count = 1},
};
static const struct db_schema schema_1 = {1, first, 1, NULL};

/* Version 2: addresses in lower case. Version 3: found by name and year, and by the words of a
 * text; the address may repeat. */
static const struct db_collection third[] = {
    {.name = "users",
     .keys = {{"email", false}, {"name year", true}},
     .keys_count = 2,
     .text = "about"},
    {.name = "notes", .members = "by:s text:s?", .keys = {{"by", false}}, .keys_count = 1},
};
static unsigned steps_run;
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
    json_object_set_new(doc, "year", json_integer(2000));
}

static int migrate(struct db *db, unsigned from, struct err *err)
{
    steps_run++;
    if ((int)from == step_fails)
        return err_set(err, -EIO, "step %u fails", from);
    return each_user(db, from == 1 ? lower_email : name_it);
}
static const struct db_schema schema_3 = {3, third, 2, migrate};

static int insert(struct db *db, const char *text)
{
    json_t *doc = doc_of(text);
    int r = db_insert(db, 0, doc);
    json_decref(doc);
    return r;
}

static char folder[64];

static int set_up(void **state)
{
    (void)state;
    step_fails = -1;
    steps_run = 0;
    if (str_copy(STR("/tmp/weir-db-XXXXXX"), folder, sizeof folder) < 0)
        return -1;
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    return file_remove_all(folder);
}

static struct db *open_at(const char *address, const struct db_schema *schema)
{
    struct err err = {""};
    struct db *db = NULL;
    if (db_open(address, schema, &err, &db) < 0)
        fail_msg("%s", err.text);
    return db;
}

static void expect_found(struct db *db, const char *word, const char *id)
{
    json_t *docs = NULL;
    char *cursor = NULL;
    char joined[256] = "";
    const struct db_term term = {.word = word};
    const struct db_search search = {.terms = &term, .terms_count = 1, .limit = 10};
    assert_int_equal(db_search(db, 0, &search, &docs, &cursor), 0);
    join_ids(docs, joined);
    assert_string_equal(joined, id);
    json_decref(docs);
}

static void test_forward(void **state)
{
    (void)state;
    char address[256];
    struct err err = {""};
    struct db *none = NULL;
    contract_address(folder, address, sizeof address);
    struct db *db = open_at(address, &schema_1);
    assert_int_equal(insert(db, "{'id':'a','email':'A@X','about':'Likes bears'}"), 0);
    assert_int_equal(insert(db, "{'id':'b','email':'a@x'}"), 0);
    assert_int_equal(insert(db, "{'id':'c','email':'a@x'}"), -EEXIST);
    db_close(db);

    /* A step that fails leaves a database that can be opened again. */
    step_fails = 2;
    assert_int_equal(db_open(address, &schema_3, &err, &none), -EIO);
    assert_null(none);
    assert_string_equal(err.text, "step 2 fails");
    assert_int_equal(steps_run, 2);

    step_fails = -1;
    steps_run = 0;
    db = open_at(address, &schema_3);
    assert_int_equal(steps_run, 2);
    json_t *doc = NULL;
    int r = db_get(db, 0, "a", &doc);
    expect_document(r, doc,
                    "{'id':'a','email':'a@x','about':'Likes bears','name':'a','year':2000}");
    /* Old documents keep the new rules, and are found by the new keys and words. */
    assert_int_equal(insert(db, "{'id':'d','email':'a@x','name':'a','year':2000}"), -EEXIST);
    assert_int_equal(insert(db, "{'id':'d','email':'a@x','name':'a','year':2001}"), 0);
    expect_found(db, "bears", "a");
    assert_int_equal(insert(db, "{'id':'e','email':'a@x','about':'bears, too'}"), 0);
    expect_found(db, "bears", "a e");
    db_close(db);

    steps_run = 0;
    db = open_at(address, &schema_3);
    assert_int_equal(steps_run, 0);
    assert_ptr_equal(db_schema(db), &schema_3);
    db_close(db);
    assert_int_equal(db_open(address, &schema_1, &err, &none), -EPROTO);
    assert_non_null(strstr(err.text, "version 3"));
    assert_null(none);
}

static void test_new_is_not_migrated(void **state)
{
    (void)state;
    char address[256];
    contract_address(folder, address, sizeof address);
    db_close(open_at(address, &schema_3));
    assert_int_equal(steps_run, 0);
}

static void *open_and_insert(void *arg)
{
    static atomic_uint number;
    struct err err = {""};
    struct db *db = NULL;
    char text[64];
    if (db_open(arg, &schema_3, &err, &db) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return (void *)(intptr_t)1;
    }
    (void)snprintf(text, sizeof text, "{'id':'t%u','email':'x'}", atomic_fetch_add(&number, 1));
    int r = insert(db, text);
    db_close(db);
    return (void *)(intptr_t)(r == 0 ? 0 : 2);
}

/* Several programs start at once: one makes the database, all use it. */
static void opened_at_once(void)
{
    char address[256];
    pthread_t threads[4];
    uint64_t count = 0;
    contract_address(folder, address, sizeof address);
    for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_and_insert, address), 0);
    for (unsigned i = 0; i < ARRAY_LEN(threads); i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_ptr_equal(result, NULL);
    }
    struct db *db = open_at(address, &schema_3);
    assert_int_equal(db_count(db, 0, &(struct db_list){.limit = 1}, &count), 0);
    assert_int_equal(count, ARRAY_LEN(threads));
    db_close(db);
}

static void test_opened_at_once(void **state)
{
    (void)state;
    unsigned rounds = contract_is_mongo() ? 2 : 20; /* a race is not won by each of them */
    for (unsigned i = 0; i < rounds; i++)
        opened_at_once();
}

/* --- copies ----------------------------------------------------------------------------------- */

#define DOCUMENTS 1203

static void fill(struct db *db)
{
    for (unsigned i = 0; i < DOCUMENTS; i++) {
        char text[256];
        (void)snprintf(text, sizeof text,
                       "{'id':'u%04u','email':'%u@x','name':'n%u','year':%u,'about':'number %u',"
                       "'odd':{'$a.b':[[%u],null,%u.5,true]}}",
                       i, i % 100, i, i, i, i, i);
        assert_int_equal(insert(db, text), 0);
    }
    json_t *doc = doc_of("{'id':'x','by':'u0001'}");
    assert_int_equal(db_insert(db, 1, doc), 0);
    json_decref(doc);
}

struct seen {
    unsigned collections;
    uint64_t documents;
    char digests[2][DIGEST_TEXT_SIZE];
    uint64_t stop_at; /* documents; 0: never */
};

static bool on_progress(void *arg, const char *collection, uint64_t done, uint64_t total)
{
    const struct seen *seen = arg;
    assert_non_null(collection);
    assert_true(done <= total);
    return seen->stop_at == 0 || done < seen->stop_at;
}

static void on_collection(void *arg, const char *collection, uint64_t count, const char *digest)
{
    struct seen *seen = arg;
    assert_string_equal(collection, seen->collections == 0 ? "users" : "notes");
    assert_int_equal(str_copy(str_of(digest), seen->digests[seen->collections++], DIGEST_TEXT_SIZE),
                     0);
    seen->documents += count;
}

/* From this kind to SQLite and back to this kind: nothing is lost on the way. */
static void test_copy(void **state)
{
    (void)state;
    char a[256];
    char b[256];
    char c[256];
    struct err err = {""};
    struct seen seen = {0};
    struct seen again = {0};
    struct db_schema *schema = NULL;
    struct db *from = NULL;
    const struct db_watch watch = {on_progress, on_collection, &seen};
    contract_address(folder, a, sizeof a);
    (void)snprintf(b, sizeof b, "%s/copy.db", folder);
    contract_address(folder, c, sizeof c);
    assert_int_equal(db_open_stored(a, &err, &from, &schema), -ENOENT);
    assert_non_null(strstr(err.text, "there is no database"));
    struct db *db = open_at(a, &schema_3);
    fill(db);
    db_close(db);
    assert_int_equal(db_open_stored(a, &err, &from, &schema), 0);
    struct db *to = open_at(b, schema);
    /* Stopped in the middle, then refused, then resumed. */
    seen.stop_at = 600;
    assert_int_equal(db_copy_all(from, to, false, &watch, &err), -EINTR);
    seen.stop_at = 0;
    assert_int_equal(db_compare(from, to, &watch, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "users: the document u1000 is only in the source"));
    assert_int_equal(db_copy_all(from, to, false, &watch, &err), -ENOTEMPTY);
    assert_non_null(strstr(err.text, "users"));
    assert_int_equal(db_copy_all(from, to, true, &watch, &err), 0);
    seen = (struct seen){0};
    assert_int_equal(db_compare(from, to, &watch, &err), 0);
    assert_int_equal(seen.documents, DOCUMENTS + 1);
    assert_int_equal(db_check_all(to, NULL, &err), 0);
    db_close(from);
    /* And back. */
    struct db *back = open_at(c, schema);
    const struct db_watch other = {on_progress, on_collection, &again};
    assert_int_equal(db_copy_all(to, back, false, NULL, &err), 0);
    assert_int_equal(db_compare(to, back, &other, &err), 0);
    assert_string_equal(again.digests[0], seen.digests[0]);
    again = (struct seen){0};
    assert_int_equal(db_check_all(back, &other, &err), 0);
    assert_string_equal(again.digests[0], seen.digests[0]);
    expect_found(back, "777", "u0777");
    json_t *doc = doc_of("{'id':'u0500','email':'other'}");
    assert_int_equal(db_put(back, 0, doc), 0);
    json_decref(doc);
    assert_int_equal(db_compare(to, back, NULL, &err), -EBADMSG);
    assert_string_equal(err.text, "users: the document u0500 is not the same");
    db_close(to);
    db_close(back);
    db_stored_free(schema);
}

static const char *weirctl;

static int run_weirctl(const char *arguments, char out[2048])
{
    char command[1200];
    (void)snprintf(command, sizeof command, "%s db %s >%s/out 2>&1", weirctl, arguments, folder);
    int status = system(command);
    CLEAN_BUF struct buf text = BUF_EMPTY;
    (void)snprintf(command, sizeof command, "%s/out", folder);
    assert_int_equal(file_read(command, 2047, &text), 0);
    assert_int_equal(str_copy(buf_str(&text), out, 2048), 0);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_tool(void **state)
{
    (void)state;
    char a[256];
    char arguments[600];
    char out[2048];
    contract_address(folder, a, sizeof a);
    struct db *db = open_at(a, &schema_3);
    fill(db);
    db_close(db);
    (void)snprintf(arguments, sizeof arguments, "copy '%s' %s/tool.db", a, folder);
    assert_int_equal(run_weirctl(arguments, out), 0);
    assert_non_null(strstr(out, "1204 documents in 2 collections are the same on both sides"));
    assert_int_equal(run_weirctl(arguments, out), 1);
    assert_non_null(strstr(out, "weirctl: the target has documents already (users)"));
    (void)snprintf(arguments, sizeof arguments, "check '%s'", a);
    assert_int_equal(run_weirctl(arguments, out), 0);
    assert_non_null(strstr(out, "1204 documents in 2 collections, no fault"));
    (void)snprintf(arguments, sizeof arguments, "check %s/absent.db", folder);
    assert_int_equal(run_weirctl(arguments, out), 1);
    assert_non_null(strstr(out, "there is no database at"));
    assert_int_equal(run_weirctl("copy one", out), 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_forward, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_new_is_not_migrated, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_opened_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_copy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tool, set_up, tear_down),
    };
    assert_int_equal(argc, 3);
    contract_kind = argv[1];
    weirctl = argv[2];
    return cmocka_run_group_tests_name("db migrate", tests, contract_open, contract_close);
}
