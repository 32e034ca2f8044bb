/* SPDX-License-Identifier: Apache-2.0 */
/* The promises of db.h about words, on any backend. */
#include "db/db.h"
#include "contract.h"

static void expect_words(const char *text, const char *expected)
{
    json_t *words = NULL;
    int r = db_words_of(str_of(text), &words);
    expect_document(r, words, expected);
}

static void test_words_of(void **state)
{
    (void)state;
    expect_words("", "[]");
    expect_words(" .,-!", "[]");
    expect_words("The Bear's 2nd Night", "['the','bear','s','2nd','night']");
    expect_words("\xc3\x89T\xc3\x89 Stra\xc3\x9f"
                 "e \xc5\x81\xc3\xb3"
                 "d\xc5\xba",
                 "['ete','strasse','\\u0142odz']");
    expect_words("e\xcc\x81t\xc3\xa9", "['ete']"); /* composed and decomposed are one */
    expect_words("\xef\xac\x81lm \xe2\x91\xa0", "['film','1']");
    expect_words("\xd0\x9c\xd0\xbe\xd1\x81\xd0\xba\xd0\xb2\xd0\xb0",
                 "['\\u043c\\u043e\\u0441\\u043a\\u0432\\u0430']");
    expect_words("a_b%c*\"d", "['a','b','c','d']");
    json_t *words = NULL;
    assert_int_equal(db_words_of(STR("a\xff"
                                     "b"),
                                 &words),
                     -EINVAL);
    assert_int_equal(db_words_of(STR("a\0b"), &words), 0);
    assert_int_equal(json_array_size(words), 2);
    json_decref(words);
    char large[1000];
    memset(large, 'x', sizeof large);
    assert_int_equal(db_words_of((struct str){large, sizeof large}, &words), 0);
    assert_int_equal(json_array_size(words), 1);
    assert_int_equal(json_string_length(json_array_get(words, 0)), 64);
    json_decref(words);
}

static void fill(struct fixture *f)
{
    static const char *const docs[] = {
        "{'id':'a','title':'The Bear','tags':['nature','Winter'],'channel':'x','views':1}",
        "{'id':'b','title':'Winter night','text':'a bear and a fox','channel':'x','views':2}",
        "{'id':'c','title':'Foxes of the night','tags':['bear'],'channel':'y','views':2}",
        "{'id':'d','title':'Bearing North','text':'north','channel':'y','live':true}",
        "{'id':'e','title':'The the the','text':'common','channel':'y','tags':['nature']}",
        "{'id':'f','title':'The common fox','channel':null}",
    };
    for (unsigned i = 0; i < ARRAY_LEN(docs); i++)
        assert_int_equal(write_text(f, db_insert, FILMS, docs[i]), 0);
}

/* "bear|bea* night": groups parted by blanks, alternatives by '|', '*' for a prefix. */
struct query {
    char text[256];
    struct db_term terms[DB_TERMS_MAX];
    unsigned count;
};

static void read_query(const char *text, struct query *out)
{
    unsigned group = 0;
    *out = (struct query){.count = 0};
    assert_int_equal(str_copy(str_of(text), out->text, sizeof out->text), 0);
    for (char *p = out->text; *p != 0;) {
        struct db_term *t = &out->terms[out->count++];
        size_t size = strcspn(p, "|* ");
        *t = (struct db_term){.word = p, .group = group};
        t->prefix = p[size] == '*';
        char *end = p + size;
        p = end + (t->prefix ? 1 : 0);
        if (*p == ' ')
            group++;
        p += *p != 0 ? 1 : 0;
        *end = 0;
    }
}

static void expect_found(struct fixture *f, const char *text, const char *where,
                         const char *expected)
{
    struct query query;
    json_t *filter = where != NULL ? doc_of(where) : NULL;
    read_query(text, &query);
    for (unsigned limit = 1; limit <= 6; limit++) {
        struct db_search search = {
            .terms = query.terms, .terms_count = query.count, .where = filter, .limit = limit};
        char joined[256] = "";
        char *cursor = NULL;
        do {
            json_t *docs = NULL;
            char *next = NULL;
            search.cursor = cursor;
            assert_int_equal(db_search(f->db, FILMS, &search, &docs, &next), 0);
            assert_true(json_array_size(docs) <= limit);
            join_ids(docs, joined);
            json_decref(docs);
            free(cursor);
            cursor = next;
        } while (cursor != NULL);
        assert_string_equal(joined, expected);
    }
    json_decref(filter);
}

static void test_search(void **state)
{
    struct fixture *f = *state;
    fill(f);
    expect_found(f, "bear", NULL, "a c b"); /* in the title, in the tags, in the text */
    expect_found(f, "bear*", NULL, "a d c b");
    expect_found(f, "bear|bear*", NULL, "a d c b");
    expect_found(f, "bea", NULL, "");
    expect_found(f, "bea*", NULL, "a d c b");
    expect_found(f, "bear night", NULL, "c b");
    expect_found(f, "night bear winter", NULL, "b");
    expect_found(f, "fox*", NULL, "c f b");
    expect_found(f, "fox|foxes", NULL, "c f b"); /* the rarer word first */
    expect_found(f, "n*", NULL, "b c d a e");
    expect_found(f, "north|common", NULL, "d f e");
    expect_found(f, "the", NULL, "a c e f");
    expect_found(f, "the", "{'channel':'y'}", "c e");
    expect_found(f, "the", "{'channel':null}", "f");
    expect_found(f, "bear*", "{'views':{'min':2}}", "c b");
    expect_found(f, "nature", "{'tags':'Winter'}", "a");
    expect_found(f, "nothing|bear the", NULL, "a c");
}

static void test_changes(void **state)
{
    struct fixture *f = *state;
    fill(f);
    assert_int_equal(write_text(f, db_replace, FILMS, "{'id':'a','title':'The Wolf'}"), 0);
    expect_found(f, "bear", NULL, "c b");
    expect_found(f, "wolf", NULL, "a");
    json_t *set = doc_of("{'title':'Lynx','tags':null}");
    assert_int_equal(db_update(f->db, FILMS, "c", &(struct db_update){.set = set}, NULL), 0);
    json_decref(set);
    expect_found(f, "bear", NULL, "b");
    expect_found(f, "lynx", NULL, "c");
    assert_int_equal(db_delete(f->db, FILMS, "b"), 0);
    expect_found(f, "bear", NULL, "");
    assert_int_equal(write_text(f, db_put, FILMS, "{'id':'b','title':'Bear again'}"), 0);
    assert_int_equal(write_text(f, db_put, FILMS, "{'id':'b','title':'Bear again','views':1}"), 0);
    expect_found(f, "bear again", NULL, "b");
    /* A write that is refused leaves the words as they were. */
    assert_int_equal(
        write_text(f, db_put, FILMS, "{'id':'x','title':'X','channel':'q','slug':'s'}"), 0);
    assert_int_equal(
        write_text(f, db_insert, FILMS, "{'id':'y','title':'Owl','channel':'q','slug':'s'}"),
        -EEXIST);
    assert_int_equal(write_text(f, db_insert, FILMS, "{'id':'b','title':'Owl'}"), -EEXIST);
    expect_found(f, "owl", NULL, "");
    expect_found(f, "bear", NULL, "b");
    assert_int_equal(write_text(f, db_put, FILMS, "{'id':'o','title':'Old owl','made_ms':1}"), 0);
    uint64_t count = 0;
    assert_int_equal(db_delete_below(f->db, FILMS, "made_ms", 5, &count), 0);
    assert_int_equal(count, 1);
    expect_found(f, "owl", NULL, "");
}

/* A page goes on behind the one before while documents come and go. */
static void test_cursor_goes_on(void **state)
{
    struct fixture *f = *state;
    struct query query;
    char joined[256] = "";
    json_t *docs = NULL;
    char *cursor = NULL;
    char *next = NULL;
    fill(f);
    read_query("bear", &query);
    struct db_search search = {.terms = query.terms, .terms_count = 1, .limit = 2};
    assert_int_equal(db_search(f->db, FILMS, &search, &docs, &cursor), 0);
    json_decref(docs);
    assert_non_null(cursor);
    assert_int_equal(db_delete(f->db, FILMS, "c"), 0);
    for (unsigned i = 0; i < 20; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "{'id':'n%02u','title':'bear'}", i);
        assert_int_equal(write_text(f, db_insert, FILMS, text), 0);
    }
    search.cursor = cursor;
    assert_int_equal(db_search(f->db, FILMS, &search, &docs, &next), 0);
    join_ids(docs, joined);
    assert_string_equal(joined, "b");
    assert_null(next);
    json_decref(docs);
    /* It belongs to a search of as many words, and to none of another kind. */
    docs = NULL;
    read_query("bear night", &query);
    search.terms_count = 2;
    assert_int_equal(db_search(f->db, FILMS, &search, &docs, &next), -EINVAL);
    const struct db_list list = {.limit = 1, .cursor = cursor};
    assert_int_equal(db_list(f->db, FILMS, &list, &docs, &next), -EINVAL);
    static const char *const bad[] = {"", "!", "AAAA", "bnVsbA", "W10", "e30"};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        search.cursor = bad[i];
        assert_int_equal(db_search(f->db, FILMS, &search, &docs, &next), -EINVAL);
    }
    assert_null(docs);
    free(cursor);
}

static void test_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {"",  "Bear",      "be ar",   "bear*", "\"", "a\"",
                                      "(", "NEAR(a b)", "title:a", "a\xff", "-",  "\xcc\x81"};
    json_t *got = NULL;
    char *cursor = NULL;
    fill(f);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        const struct db_term term = {.word = bad[i]};
        const struct db_search search = {.terms = &term, .terms_count = 1, .limit = 1};
        assert_int_equal(db_search(f->db, FILMS, &search, &got, &cursor), -EINVAL);
        assert_int_equal(db_search_facets(f->db, FILMS, &search, NULL, 0, &got), -EINVAL);
        if (i > 0)
            assert_int_equal(db_words(f->db, FILMS, bad[i], 10, &got), -EINVAL);
    }
    assert_null(got);
    /* Words that mean something to a query language mean nothing here. */
    expect_found(f, "and", NULL, "b");
    expect_found(f, "or|not|near|bear", NULL, "a c b");
}

static void test_facets(void **state)
{
    struct fixture *f = *state;
    static const char *const fields[] = {"channel", "tags", "views", "live", "title"};
    struct query query;
    json_t *facets = NULL;
    fill(f);
    read_query("bear*", &query);
    struct db_search search = {.terms = query.terms, .terms_count = query.count, .limit = 1};
    int r = db_search_facets(f->db, FILMS, &search, fields, 4, &facets);
    expect_document(r, facets,
                    "{'total':4,'channel':{'x':2,'y':2},'tags':{'nature':1,'Winter':1,'bear':1},"
                    "'views':{'1':1,'2':2},'live':{'true':1}}");
    json_t *where = doc_of("{'channel':'y'}");
    search.where = where;
    r = db_search_facets(f->db, FILMS, &search, fields, 1, &facets);
    expect_document(r, facets, "{'total':2,'channel':{'y':2}}");
    json_decref(where);
    search.where = NULL;
    r = db_search_facets(f->db, FILMS, &search, NULL, 0, &facets);
    expect_document(r, facets, "{'total':4}");
}

static void expect_vocabulary(struct fixture *f, const char *prefix, unsigned limit,
                              const char *expected)
{
    json_t *words = NULL;
    int r = db_words(f->db, FILMS, prefix, limit, &words);
    expect_document(r, words, expected);
}

static void test_words(void **state)
{
    struct fixture *f = *state;
    json_t *words = NULL;
    expect_vocabulary(f, "", 10, "[]");
    fill(f);
    expect_vocabulary(f, "bea", 10, "[['bear',3],['bearing',1]]");
    expect_vocabulary(f, "n", 10, "[['nature',2],['night',2],['north',1]]");
    expect_vocabulary(f, "n", 2, "[['nature',2],['night',2]]");
    expect_vocabulary(f, "the", 5, "[['the',4]]");
    expect_vocabulary(f, "zz", 5, "[]");
    expect_vocabulary(f, "", 2, "[['the',4],['bear',3]]");
    assert_int_equal(db_words(f->db, FILMS, "", 1000, &words), 0);
    assert_int_equal(json_array_size(words), 13);
    json_decref(words);
    assert_int_equal(db_delete(f->db, FILMS, "d"), 0);
    expect_vocabulary(f, "bea", 10, "[['bear',3]]");
}

static const struct CMUnitTest tests[] = {
    CASE(test_words_of), CASE(test_search), CASE(test_changes), CASE(test_cursor_goes_on),
    CASE(test_refused),  CASE(test_facets), CASE(test_words),
};
CONTRACT_MAIN("db search", tests)
