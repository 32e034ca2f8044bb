/* SPDX-License-Identifier: Apache-2.0 */
/* What memory in front of a database adds to its promises: the contract itself runs on it as well,
 * as the kinds "sqlite-memory" and "mongodb-memory". */
#include "contract.h"
#include <pthread.h>
#include <stdatomic.h>
#include "base/clock.h"

#define SIZE_MAX_HERE (64 << 20)

/* Another process, as far as the file is concerned. */
static struct db *other_of(const struct fixture *f)
{
    struct err err = {""};
    struct db *db = NULL;
    assert_int_equal(db_open(f->address, &contract_schema, &err, &db), 0);
    return db;
}

static void film(struct db *db, const char *id, const char *title, int views)
{
    json_t *doc = json_pack("{s:s, s:s, s:i, s:i, s:s}", "id", id, "title", title, "views", views,
                            "made_ms", views, "channel", "one");
    assert_int_equal(db_put(db, FILMS, doc), 0);
    json_decref(doc);
}

static int title_is(struct db *db, const char *id, const char *title)
{
    json_t *doc = NULL;
    int r = db_get(db, FILMS, id, &doc);
    if (r == 0)
        r = strcmp(json_string_value(json_object_get(doc, "title")), title) == 0;
    json_decref(doc);
    return r;
}

static void test_until(void **state)
{
    struct fixture *f = *state;
    struct db *other = other_of(f);
    assert_int_equal(db_mirror(f->db, FILMS, SIZE_MAX_HERE), 0);
    film(f->db, "a", "first", 1);
    assert_false(db_mirror_is_whole(f->db, FILMS));
    assert_int_equal(db_mirror_fill(f->db, FILMS), 0);
    assert_true(db_mirror_is_whole(f->db, FILMS));
    film(other, "a", "second", 1);
    /* Nobody has said that memory counts, or for long enough. */
    assert_int_equal(title_is(f->db, "a", "second"), 1);
    db_fresh(f->db, clock_mono_ms());
    assert_int_equal(title_is(f->db, "a", "second"), 1);
    db_fresh(f->db, UINT64_MAX);
    assert_int_equal(title_is(f->db, "a", "first"), 1);
    db_heard(f->db, FILMS, "a");
    assert_int_equal(title_is(f->db, "a", "second"), 1);
    assert_int_equal(db_delete(other, FILMS, "a"), 0);
    assert_int_equal(title_is(f->db, "a", "second"), 1);
    db_lost(f->db, FILMS);
    assert_int_equal(title_is(f->db, "a", "second"), -ENOENT);
    assert_int_equal(db_mirror_fill(f->db, FILMS), 0);
    assert_int_equal(title_is(f->db, "a", "second"), -ENOENT);
    db_close(other);
}

/* A change by what memory has would undo somebody else's. */
static void test_changes_go_by_what_is_stored(void **state)
{
    struct fixture *f = *state;
    struct db *other = other_of(f);
    json_t *now = NULL;
    assert_int_equal(db_mirror(f->db, FILMS, SIZE_MAX_HERE), 0);
    assert_int_equal(db_mirror_fill(f->db, FILMS), 0);
    db_fresh(f->db, UINT64_MAX);
    film(f->db, "a", "title", 1);
    film(other, "a", "title", 40);
    json_t *add = json_pack("{s:i}", "views", 2);
    const struct db_update update = {.add = add};
    assert_int_equal(db_update(f->db, FILMS, "a", &update, &now), 0);
    assert_int_equal(json_integer_value(json_object_get(now, "views")), 42);
    json_decref(now);
    now = NULL;
    assert_int_equal(db_get(f->db, FILMS, "a", &now), 0);
    assert_int_equal(json_integer_value(json_object_get(now, "views")), 42);
    json_decref(now);
    json_decref(add);
    /* What fails because memory is behind brings memory up. */
    film(other, "a", "title", 50);
    json_t *where = json_pack("{s:i}", "views", 42);
    assert_int_equal(db_delete_if(f->db, FILMS, "a", where), -ESTALE);
    now = NULL;
    assert_int_equal(db_get(f->db, FILMS, "a", &now), 0);
    assert_int_equal(json_integer_value(json_object_get(now, "views")), 50);
    json_decref(now);
    json_decref(where);
    db_close(other);
}

static void expect_thing(struct db *db, const char *text)
{
    json_t *got = NULL;
    int r = db_get(db, THINGS, "t", &got);
    expect_document(r, got, text);
}

static void test_remembered(void **state)
{
    struct fixture *f = *state;
    struct db *other = other_of(f);
    json_t *got = NULL;
    assert_int_equal(db_remember(f->db, THINGS), 0);
    db_fresh(f->db, UINT64_MAX);
    assert_int_equal(db_get(f->db, THINGS, "t", &got), -ENOENT);
    json_t *doc = doc_of("{'id': 't', 'rank': 1}");
    assert_int_equal(db_put(other, THINGS, doc), 0);
    assert_int_equal(db_get(f->db, THINGS, "t", &got), -ENOENT); /* that too is remembered */
    db_heard(f->db, THINGS, "t");
    expect_thing(f->db, "{'id': 't', 'rank': 1}");
    json_decref(doc);
    doc = doc_of("{'id': 't', 'rank': 2}");
    assert_int_equal(db_put(other, THINGS, doc), 0);
    expect_thing(f->db, "{'id': 't', 'rank': 1}");
    db_lost(f->db, THINGS);
    expect_thing(f->db, "{'id': 't', 'rank': 2}");
    assert_int_equal(db_delete(f->db, THINGS, "t"), 0);
    assert_int_equal(db_get(f->db, THINGS, "t", &got), -ENOENT);
    json_decref(doc);
    db_close(other);
}

static void test_too_large(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(db_mirror(f->db, FILMS, 20000), 0);
    db_fresh(f->db, UINT64_MAX);
    assert_int_equal(db_mirror_fill(f->db, FILMS), 0);
    for (int i = 0; i < 100; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "film-%03d", i);
        film(f->db, id, "a title of some words", i);
    }
    assert_false(db_mirror_is_whole(f->db, FILMS));
    assert_int_equal(title_is(f->db, "film-099", "a title of some words"), 1);
    assert_int_equal(db_mirror_fill(f->db, FILMS), -ENOBUFS);
    assert_int_equal(title_is(f->db, "film-099", "a title of some words"), 1);
}

static unsigned told;

static void on_told(void *arg, unsigned coll, const char *id)
{
    assert_ptr_equal(arg, &told);
    assert_int_equal(coll, FILMS);
    assert_string_equal(id, "a");
    told++;
}

static void test_told(void **state)
{
    struct fixture *f = *state;
    struct db *other = other_of(f);
    bool others = false;
    told = 0;
    assert_int_equal(db_mirror(f->db, FILMS, SIZE_MAX_HERE), 0);
    db_tell(f->db, on_told, &told);
    film(f->db, "a", "title", 1);
    assert_int_equal(write_text(f, db_put, THINGS, "{'id': 'x'}"), 0); /* of no interest */
    assert_int_equal(db_delete(f->db, FILMS, "a"), 0);
    assert_int_equal(told, 2);
    db_heard(f->db, FILMS, "a");
    assert_int_equal(told, 2);
    assert_int_equal(db_others(f->db, &others), 0);
    film(f->db, "a", "title", 1);
    assert_int_equal(db_others(f->db, &others), 0);
    assert_false(others);
    film(other, "b", "title", 1);
    assert_int_equal(db_others(f->db, &others), 0);
    assert_true(others);
    assert_int_equal(db_others(f->db, &others), 0);
    assert_false(others);
    db_tell(f->db, NULL, NULL);
    db_close(other);
}

/* --- while it is being filled ----------------------------------------------------------------- */

#define WRITERS 4
#define WRITES  200
#define FILMS_N 50

struct writer {
    struct db *db;
    unsigned number;
    atomic_uint *running;
};

static void *write_all(void *arg)
{
    const struct writer *w = arg;
    uint64_t state = w->number + 1;
    for (int i = 0; i < WRITES; i++) {
        char id[16], title[32];
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        unsigned n = (unsigned)(state >> 33) % FILMS_N;
        (void)snprintf(id, sizeof id, "film-%u", n);
        (void)snprintf(title, sizeof title, "word%u of %d", w->number, i);
        if (i % 7 == 0)
            ASSERT(db_delete(w->db, FILMS, id) != -EIO); /* may not be there */
        else
            film(w->db, id, title, i);
    }
    atomic_fetch_sub(w->running, 1);
    return NULL;
}

/* Memory and backend, document by document and by each key. */
static void expect_same(struct db *db)
{
    static const char *const keys[] = {NULL, "channel made_ms", "made_ms", "channel views made_ms"};
    json_t *equal = json_pack("[s]", "one");
    json_t *two = json_pack("[s, i]", "one", 5);
    for (unsigned i = 0; i < ARRAY_LEN(keys); i++) {
        struct db_list list = {.key = keys[i], .limit = 100, .descending = i % 2 == 0};
        json_t *docs[2] = {NULL, NULL};
        if (i == 1 || i == 3)
            list.equal = i == 1 ? equal : two;
        for (unsigned k = 0; k < 2; k++) {
            char *next = NULL;
            db_fresh(db, k == 0 ? UINT64_MAX : 0);
            assert_int_equal(db_list(db, FILMS, &list, &docs[k], &next), 0);
            assert_null(next);
        }
        assert_true(json_equal(docs[0], docs[1]) == 1);
        json_decref(docs[0]);
        json_decref(docs[1]);
    }
    for (unsigned w = 0; w < WRITERS; w++) {
        json_t *found[2] = {NULL, NULL};
        char word[16];
        (void)snprintf(word, sizeof word, "word%u", w);
        const struct db_term term = {.word = word};
        const struct db_search search = {.terms = &term, .terms_count = 1, .limit = 100};
        for (unsigned k = 0; k < 2; k++) {
            char *next = NULL;
            db_fresh(db, k == 0 ? UINT64_MAX : 0);
            assert_int_equal(db_search(db, FILMS, &search, &found[k], &next), 0);
        }
        assert_true(json_equal(found[0], found[1]) == 1);
        json_decref(found[0]);
        json_decref(found[1]);
    }
    json_decref(equal);
    json_decref(two);
}

static void test_filled_among_writers(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[WRITERS];
    struct writer writers[WRITERS];
    atomic_uint running = WRITERS;
    assert_int_equal(db_mirror(f->db, FILMS, SIZE_MAX_HERE), 0);
    db_fresh(f->db, UINT64_MAX);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){f->db, i, &running};
        assert_int_equal(pthread_create(&threads[i], NULL, write_all, &writers[i]), 0);
    }
    unsigned fills = 0;
    while (atomic_load(&running) > 0) {
        assert_int_equal(db_mirror_fill(f->db, FILMS), 0);
        fills++;
        if (fills % 3 == 0)
            db_lost(f->db, FILMS);
    }
    for (unsigned i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    if (!db_mirror_is_whole(f->db, FILMS))
        assert_int_equal(db_mirror_fill(f->db, FILMS), 0);
    expect_same(f->db);
}

static const struct CMUnitTest tests[] = {
    CASE(test_until),      CASE(test_changes_go_by_what_is_stored),
    CASE(test_remembered), CASE(test_too_large),
    CASE(test_told),       CASE(test_filled_among_writers),
};

CONTRACT_MAIN("db_mirror", tests)
