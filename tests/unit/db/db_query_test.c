/* SPDX-License-Identifier: Apache-2.0 */
/* The promises of db.h about declared members, keys of several fields, filters and changes, on any
 * backend. */
#include "db/db.h"
#include "contract.h"

static void test_members(void **state)
{
    struct fixture *f = *state;
    static const char *const good[] = {
        "{'id':'a','title':'t'}",
        "{'id':'b','title':'t','channel':null,'made_ms':null,'tags':null,'more':null}",
        "{'id':'c','title':'','made_ms':-1,'tags':[],'live':false,'score':1,'more':{'$x':{'y':1}}}",
        "{'id':'d','title':'t','score':0.5}",
    };
    static const char *const bad[] = {
        "{'id':'x'}",
        "{'id':'x','title':null}",
        "{'id':'x','title':1}",
        "{'id':'x','title':['t']}",
        "{'id':'x','title':{'$gt':''}}",
        "{'id':'x','title':'t','other':1}",
        "{'id':'x','title':'t','_id':1}",
        "{'id':'x','title':'t','made_ms':1.5}",
        "{'id':'x','title':'t','made_ms':'1'}",
        "{'id':'x','title':'t','live':1}",
        "{'id':'x','title':'t','score':'1'}",
        "{'id':'x','title':'t','more':[]}",
        "{'id':'x','title':'t','tags':{}}",
    };
    for (unsigned i = 0; i < ARRAY_LEN(good); i++)
        assert_int_equal(write_text(f, db_insert, FILMS, good[i]), 0);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(write_text(f, db_insert, FILMS, bad[i]), -EINVAL);
        assert_int_equal(write_text(f, db_put, FILMS, bad[i]), -EINVAL);
    }
    for (unsigned i = 0; i < ARRAY_LEN(good); i++) {
        json_t *doc = NULL;
        char id[2] = {(char)('a' + i), 0};
        int r = db_get(f->db, FILMS, id, &doc);
        expect_document(r, doc, good[i]);
    }
}

/* A schema that is wrong is said so, before anything is made. */
static void test_schemas(void **state)
{
    struct fixture *f = *state;
    static const struct db_collection bad[] = {
        {.name = "Films"},
        {.name = "weir_meta"},
        {.name = "a", .members = "id:s"},
        {.name = "a", .members = "b:x"},
        {.name = "a", .members = "b:s?!"},
        {.name = "a", .members = "b"},
        {.name = "a", .members = "b:s b:i"},
        {.name = "a", .members = "b:s  c:s"},
        {.name = "a", .members = "b:b", .keys = {{"b", false}}, .keys_count = 1},
        {.name = "a", .members = "b:s", .keys = {{"c", false}}, .keys_count = 1},
        {.name = "a", .keys = {{"a b c d", false}}, .keys_count = 1},
        {.name = "a", .keys = {{"", false}}, .keys_count = 1},
        {.name = "a", .keys = {{"b id", false}}, .keys_count = 1},
        {.name = "a", .keys = {{"$b", false}}, .keys_count = 1},
        {.name = "a", .members = "b:i", .text = "b"},
        {.name = "a", .members = "b:s", .text = "c"},
    };
    struct err err = {""};
    struct db *db = NULL;
    char address[256];
    contract_address(f->folder, address, sizeof address);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        const struct db_schema schema = {1, &bad[i], 1, NULL};
        assert_int_equal(db_open(address, &schema, &err, &db), -EINVAL);
        assert_non_null(strstr(err.text, "collection"));
    }
    const struct db_collection twice[] = {{.name = "a"}, {.name = "a"}};
    const struct db_schema same = {1, twice, 2, NULL};
    assert_int_equal(db_open(address, &same, &err, &db), -EINVAL);
    assert_null(db);
}

/* Whatever name a member has, it comes back, and means nothing to the database. */
static void test_odd_names(void **state)
{
    struct fixture *f = *state;
    static const char *const docs[] = {
        "{'id':'a','$set':{'id':'b'},'$where':'1'}",
        "{'id':'b','a.b':{'c.d':{'$gt':''}},'%':'%24','':{'':1}}",
        "{'id':'c','_id':'x','_rev':1,'_words':[],'__':2,'_':{'_id':3}}",
        "{'id':'d','\\u00e9':'\\u0000','list':[{'$ne':null},[[]],{}]}",
        "{'id':'e','a':9223372036854775807,'b':-9223372036854775808,'c':1e300,'d':0.1,'e':-0.5}",
    };
    for (unsigned i = 0; i < ARRAY_LEN(docs); i++) {
        json_t *doc = NULL;
        char id[2] = {(char)('a' + i), 0};
        assert_int_equal(write_text(f, db_insert, PEOPLE, docs[i]), 0);
        int r = db_get(f->db, PEOPLE, id, &doc);
        expect_document(r, doc, docs[i]);
    }
    json_t *doc = json_pack("{s:s}", "id", "z");
    json_object_setn_new(doc, "a\0b", 3, json_true());
    assert_int_equal(db_insert(f->db, PEOPLE, doc), -EINVAL);
    json_decref(doc);
}

/* {"id":"z","d":[[[...1...]]]} */
static void nested(unsigned depth, const char *open, char close, char out[512])
{
    CLEAN_BUF struct buf text = BUF_EMPTY;
    buf_puts(&text, "{'id':'z','d':");
    for (unsigned i = 0; i < depth; i++)
        buf_puts(&text, open);
    buf_putc(&text, '1');
    for (unsigned i = 0; i < depth; i++)
        buf_putc(&text, close);
    buf_putc(&text, '}');
    assert_int_equal(str_copy(buf_str(&text), out, 512), 0);
}

static void test_depth(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *open;
        char close;
    } kinds[] = {{"[", ']'}, {"{'a':", '}'}};
    char text[512];
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
        json_t *doc = NULL;
        nested(DB_DEPTH_MAX - 1, kinds[i].open, kinds[i].close, text);
        assert_int_equal(write_text(f, db_put, PEOPLE, text), 0);
        int r = db_get(f->db, PEOPLE, "z", &doc);
        expect_document(r, doc, text);
        nested(DB_DEPTH_MAX, kinds[i].open, kinds[i].close, text);
        assert_int_equal(write_text(f, db_put, PEOPLE, text), -EINVAL);
    }
}

static void fill(struct fixture *f)
{
    static const char *const docs[] = {
        "{'id':'a','title':'A','channel':'x','made_ms':5,'slug':'s1','tags':['t1','t2'],'views':1}",
        "{'id':'b','title':'B','channel':'x','made_ms':3,'slug':'s2','tags':['t2'],'live':true}",
        "{'id':'c','title':'C','channel':'y','made_ms':4,'slug':'s1','score':2,'views':1}",
        "{'id':'d','title':'D','channel':'x','made_ms':5,'tags':[1,'[\\',\\'']}",
        "{'id':'e','title':'E','channel':'x','slug':'s5','live':false,'score':2.5}",
        "{'id':'f','title':'F','made_ms':9,'tags':[],'views':7}",
        "{'id':'g','title':'G','channel':'x','made_ms':7,'tags':null,'score':-1,'views':1}",
    };
    for (unsigned i = 0; i < ARRAY_LEN(docs); i++)
        assert_int_equal(write_text(f, db_insert, FILMS, docs[i]), 0);
}

/* As db_list would be asked, with JSON as text. */
static void walk_text(struct fixture *f, const char *key, const char *equal, const char *from,
                      const char *below, const char *where, const char *up, const char *down)
{
    struct db_list list = {.key = key};
    json_t *parts[4] = {NULL};
    const char *const texts[4] = {equal, from, below, where};
    for (unsigned i = 0; i < 4; i++)
        parts[i] = texts[i] != NULL ? doc_of(texts[i]) : NULL;
    list.equal = parts[0];
    list.from = parts[1];
    list.below = parts[2];
    list.where = parts[3];
    for (list.limit = 1; list.limit <= 4; list.limit++) {
        list.descending = false;
        walk(f, FILMS, list, up);
        list.descending = true;
        walk(f, FILMS, list, down);
    }
    for (unsigned i = 0; i < 4; i++)
        json_decref(parts[i]);
}

static void test_compound(void **state)
{
    struct fixture *f = *state;
    fill(f);
    walk_text(f, "channel made_ms", "'x'", NULL, NULL, NULL, "b a d g", "g d a b");
    walk_text(f, "channel made_ms", "['x']", "5", NULL, NULL, "a d g", "g d a");
    walk_text(f, "channel made_ms", "['x']", NULL, "5", NULL, "b", "b");
    walk_text(f, "channel made_ms", "['x']", "4", "7", NULL, "a d", "d a");
    walk_text(f, "channel made_ms", "['x',5]", NULL, NULL, NULL, "a d", "d a");
    walk_text(f, "channel made_ms", "'z'", NULL, NULL, NULL, "", "");
    walk_text(f, "channel slug", "'x'", NULL, NULL, NULL, "a b e", "e b a");
    walk_text(f, "channel slug", "['y','s1']", NULL, NULL, NULL, "c", "c");
    walk_text(f, "channel slug", "'x'", "'s2'", NULL, NULL, "b e", "e b");
    walk_text(f, "channel views made_ms", "['x',1]", NULL, NULL, NULL, "a g", "g a");
    walk_text(f, "made_ms", NULL, "4", "9", NULL, "c a d g", "g d a c");
    walk_text(f, "made_ms", NULL, NULL, NULL, NULL, "b c a d g f", "f g d a c b");
    /* Unique over both fields together, where both are there. */
    assert_int_equal(
        write_text(f, db_insert, FILMS, "{'id':'z','title':'Z','channel':'x','slug':'s1'}"),
        -EEXIST);
    assert_int_equal(
        write_text(f, db_put, FILMS, "{'id':'e','title':'E','channel':'y','slug':'s1'}"), -EEXIST);
    assert_int_equal(write_text(f, db_insert, FILMS, "{'id':'z','title':'Z','slug':'s1'}"), 0);
    assert_int_equal(write_text(f, db_insert, FILMS, "{'id':'zz','title':'Z','slug':'s1'}"), 0);
    assert_int_equal(
        write_text(f, db_insert, FILMS, "{'id':'y','title':'Z','channel':'z','slug':'s1'}"), 0);
}

static void test_where(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *where;
        const char *ids;
    } cases[] = {
        {"{}", "a b c d e f g"},
        {"{'channel':'x'}", "a b d e g"},
        {"{'channel':['y','x']}", "a b c d e g"},
        {"{'channel':[]}", ""},
        {"{'channel':null}", "f"},
        {"{'tags':'t2'}", "a b"},
        {"{'tags':['t1',1]}", "a d"},
        {"{'tags':1}", "d"},
        {"{'tags':'1'}", ""},
        {"{'tags':'[\\',\\''}", "d"},
        {"{'tags':null}", "c e g"},
        {"{'live':true}", "b"},
        {"{'live':false}", "e"},
        {"{'live':null}", "a c d f g"},
        {"{'score':2}", "c"},
        {"{'score':2.0}", "c"},
        {"{'score':2.5}", "e"},
        {"{'score':{'min':0}}", "c e"},
        {"{'score':{'max':2}}", "c g"},
        {"{'score':{'min':-1,'max':2.25}}", "c g"},
        {"{'made_ms':{'min':4,'max':5},'channel':'x'}", "a d"},
        {"{'id':['a','g','?']}", "a g"},
        {"{'title':{'min':0}}", ""},
        {"{'title':'a'}", ""},
        {"{'title':'A'}", "a"},
    };
    fill(f);
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *where = doc_of(cases[i].where);
        for (unsigned limit = 1; limit < 8; limit++)
            walk(f, FILMS, (struct db_list){.limit = limit, .where = where}, cases[i].ids);
        json_decref(where);
    }
    walk_text(f, "channel made_ms", "'x'", NULL, NULL, "{'tags':['t1','t2']}", "b a", "a b");
    walk_text(f, "made_ms", NULL, "4", NULL, "{'views':1}", "c a g", "g a c");
}

/* Integers come before strings, whatever bound is asked for. */
static void test_mixed(void **state)
{
    struct fixture *f = *state;
    static const char *const docs[] = {
        "{'id':'a','rank':1}",   "{'id':'b','rank':5}",   "{'id':'c','rank':''}",
        "{'id':'d','rank':'m'}", "{'id':'e','rank':'z'}", "{'id':'f','rank':null,'t':[null]}",
    };
    static const struct {
        const char *from;
        const char *below;
        const char *ids;
    } cases[] = {
        {NULL, NULL, "a b c d e"}, {"5", NULL, "b c d e"}, {NULL, "5", "a"}, {"'m'", NULL, "d e"},
        {NULL, "'m'", "a b c"},    {"2", "'m'", "b c"},    {"'m'", "2", ""},
    };
    for (unsigned i = 0; i < ARRAY_LEN(docs); i++)
        assert_int_equal(write_text(f, db_insert, THINGS, docs[i]), 0);
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *from = cases[i].from != NULL ? doc_of(cases[i].from) : NULL;
        json_t *below = cases[i].below != NULL ? doc_of(cases[i].below) : NULL;
        for (unsigned limit = 1; limit < 6; limit++)
            walk(f, THINGS,
                 (struct db_list){.key = "rank", .limit = limit, .from = from, .below = below},
                 cases[i].ids);
        json_decref(from);
        json_decref(below);
    }
    walk(f, THINGS, (struct db_list){.key = "rank", .limit = 2, .descending = true}, "e d c b a");
    json_t *where = doc_of("{'t':null}"); /* an array that has a null is neither absent nor null */
    walk(f, THINGS, (struct db_list){.limit = 9, .where = where}, "a b c d e");
    json_decref(where);
}

/* Filters may carry what strangers sent. */
static void test_where_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {
        "[]",
        "'x'",
        "{'title':{'$gt':''}}",
        "{'title':{}}",
        "{'title':{'min':'a'}}",
        "{'title':{'min':1,'more':2}}",
        "{'title':[null]}",
        "{'title':[['x']]}",
        "{'title':[{'min':1}]}",
        "{'other':1}",
        "{'$where':'1'}",
    };
    json_t *docs = NULL;
    char *cursor = NULL;
    uint64_t count = 99;
    fill(f);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        json_t *where = doc_of(bad[i]);
        const struct db_list list = {.limit = 1, .where = where};
        assert_int_equal(db_list(f->db, FILMS, &list, &docs, &cursor), -EINVAL);
        assert_int_equal(db_count(f->db, FILMS, &list, &count), -EINVAL);
        assert_int_equal(db_delete_if(f->db, FILMS, "a", where), -EINVAL);
        json_decref(where);
    }
    json_t *object = doc_of("{'$gt':''}");
    const struct db_list list = {.key = "channel made_ms", .limit = 1, .equal = object};
    assert_int_equal(db_list(f->db, FILMS, &list, &docs, &cursor), -EINVAL);
    assert_int_equal(db_find(f->db, PEOPLE, "email", object, &docs), -ENOENT);
    json_decref(object);
    assert_null(docs);
    assert_null(cursor);
    assert_int_equal(count, 99);
}

static void test_where_nul(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(write_text(f, db_insert, PEOPLE, "{'id':'a','t':'x\\u0000y'}"), 0);
    assert_int_equal(write_text(f, db_insert, PEOPLE, "{'id':'b','t':['x\\u0000y','x']}"), 0);
    assert_int_equal(write_text(f, db_insert, PEOPLE, "{'id':'c','t':'x'}"), 0);
    json_t *where = doc_of("{'t':'x'}");
    walk(f, PEOPLE, (struct db_list){.limit = 9, .where = where}, "b c");
    json_decref(where);
    where = doc_of("{'t':'x\\u0000y'}");
    walk(f, PEOPLE, (struct db_list){.limit = 9, .where = where}, "a b");
    json_decref(where);
}

struct update_text {
    const char *where, *set, *add, *push, *pull;
    unsigned keep;
};

static int update(struct fixture *f, const char *id, struct update_text t, json_t **ret)
{
    const char *const texts[] = {t.where, t.set, t.add, t.push, t.pull};
    json_t *parts[ARRAY_LEN(texts)];
    for (unsigned i = 0; i < ARRAY_LEN(texts); i++)
        parts[i] = texts[i] != NULL ? doc_of(texts[i]) : NULL;
    const struct db_update u = {.where = parts[0],
                                .set = parts[1],
                                .add = parts[2],
                                .push = parts[3],
                                .pull = parts[4],
                                .push_keep = t.keep};
    int r = db_update(f->db, FILMS, id, &u, ret);
    for (unsigned i = 0; i < ARRAY_LEN(texts); i++)
        json_decref(parts[i]);
    return r;
}
#define UPDATE(...) update(f, "a", (struct update_text){__VA_ARGS__}, NULL)

static void test_update(void **state)
{
    struct fixture *f = *state;
    json_t *doc = NULL;
    assert_int_equal(UPDATE(.set = "{'title':'n'}"), -ENOENT);
    assert_int_equal(write_text(f, db_insert, FILMS, "{'id':'a','title':'A','channel':'x'}"), 0);
    assert_int_equal(
        write_text(f, db_insert, FILMS, "{'id':'b','title':'B','channel':'x','slug':'s'}"), 0);
    assert_int_equal(update(f, "a", (struct update_text){.set = "{'title':'N','live':true}"}, &doc),
                     0);
    expect_document(0, doc, "{'id':'a','title':'N','channel':'x','live':true}");
    assert_int_equal(UPDATE(.set = "{'live':null}", .add = "{'views':5,'made_ms':-1}"), 0);
    assert_int_equal(UPDATE(.where = "{'views':5}", .add = "{'views':2}"), 0);
    assert_int_equal(UPDATE(.where = "{'views':5}", .add = "{'views':2}"), -ESTALE);
    assert_int_equal(UPDATE(.push = "{'tags':'p'}"), 0);
    assert_int_equal(UPDATE(.push = "{'tags':'q'}"), 0);
    assert_int_equal(UPDATE(.push = "{'tags':'r'}", .keep = 2), 0);
    assert_int_equal(UPDATE(.push = "{'tags':{'$each':[1]}}"), 0);
    int r = db_get(f->db, FILMS, "a", &doc);
    expect_document(r, doc,
                    "{'id':'a','title':'N','channel':'x','views':7,'made_ms':-1,"
                    "'tags':['q','r',{'$each':[1]}]}");
    assert_int_equal(UPDATE(.pull = "{'tags':'q'}"), 0);
    assert_int_equal(UPDATE(.pull = "{'tags':{'$each':[1]}}"), 0);
    assert_int_equal(UPDATE(.pull = "{'tags':'none'}"), 0);
    assert_int_equal(UPDATE(.set = "{'slug':'s'}"), -EEXIST);
    assert_int_equal(UPDATE(.set = "{'slug':'t'}"), 0);
    static const struct update_text bad[] = {
        {.set = "{'title':null}"},
        {.set = "{'title':1}"},
        {.set = "{'id':'z'}"},
        {.set = "{'other':1}"},
        {.set = "{'$inc':{'views':1}}"},
        {.set = "{'title':{'$concat':['a','b']}}"},
        {.set = "[]"},
        {.add = "{'title':1}"},
        {.add = "{'views':'1'}"},
        {.add = "{'views':1.5}"},
        {.add = "{'views':9223372036854775807}"},
        {.push = "{'title':'x'}"},
        {.pull = "{'title':'x'}"},
        {.where = "{'views':{'$gt':0}}", .add = "{'views':1}"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(update(f, "a", bad[i], NULL), -EINVAL);
    r = db_get(f->db, FILMS, "a", &doc);
    expect_document(r, doc,
                    "{'id':'a','title':'N','channel':'x','views':7,'made_ms':-1,"
                    "'tags':['r'],'slug':'t'}");
    walk(f, FILMS, (struct db_list){.key = "made_ms", .limit = 5}, "a");
}

static void test_delete_if(void **state)
{
    struct fixture *f = *state;
    json_t *where = doc_of("{'views':{'max':3}}");
    fill(f);
    assert_int_equal(db_delete_if(f->db, FILMS, "f", where), -ESTALE);
    assert_int_equal(db_delete_if(f->db, FILMS, "?", where), -ENOENT);
    assert_int_equal(db_delete_if(f->db, FILMS, "a", where), 0);
    assert_int_equal(db_delete_if(f->db, FILMS, "a", where), -ENOENT);
    assert_int_equal(db_delete_if(f->db, FILMS, "b", NULL), 0);
    json_decref(where);
    walk(f, FILMS, (struct db_list){.limit = 9}, "c d e f g");
}

static void test_get_many(void **state)
{
    struct fixture *f = *state;
    json_t *docs = NULL;
    char joined[256] = "";
    const char *const ids[] = {"c", "?", "a", "c", "", "g"};
    fill(f);
    assert_int_equal(db_get_many(f->db, FILMS, ids, ARRAY_LEN(ids), &docs), 0);
    join_ids(docs, joined);
    assert_string_equal(joined, "c - a c - g");
    assert_true(json_is_null(json_array_get(docs, 1)));
    json_decref(docs);
    assert_int_equal(db_get_many(f->db, FILMS, ids, 0, &docs), 0);
    assert_int_equal(json_array_size(docs), 0);
    json_decref(docs);
}

static const struct CMUnitTest tests[] = {
    CASE(test_schemas),   CASE(test_members),       CASE(test_odd_names), CASE(test_depth),
    CASE(test_mixed),     CASE(test_compound),      CASE(test_where),     CASE(test_update),
    CASE(test_delete_if), CASE(test_where_refused), CASE(test_get_many),  CASE(test_where_nul),
};
CONTRACT_MAIN("db query", tests)
