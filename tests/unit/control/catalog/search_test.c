/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/search.h"
#include "control/catalog/catalog.h"
#include "control/catalog/member.h"
#include "stopped.h"

#define NOW INT64_C(1800000000000)

static const struct viewer admin = {.user = "adm", .is_admin = true, .age_max = -1, .country = ""};

static struct words_list *list_of(const char *const *words, unsigned count)
{
    struct words_list *l = NULL;
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(
            json_array_append_new(list, json_pack("[s, i]", words[i], (int)(count - i))), 0);
    assert_int_equal(words_list_of(list, &l), 0);
    json_decref(list);
    return l;
}

static void check_near(const struct words_list *l, const char *word, bool prefix,
                       const char *expected)
{
    const char *near[WORDS_NEAR_MAX];
    char is[256] = "";
    unsigned count = words_near(l, str_of(word), prefix, near, WORDS_NEAR_MAX);
    for (unsigned i = 0; i < count; i++) {
        size_t used = strlen(is);
        (void)snprintf(is + used, sizeof is - used, i == 0 ? "%s" : " %s", near[i]);
    }
    print_message("%s: %s\n", word, is);
    assert_string_equal(is, expected);
}

static void test_words(void **state)
{
    static const char *const words[] = {"the",  "lion",  "loin", "line",   "casablanca",
                                        "lino", "lines", "zoo",  "müller", "casablancas"};
    (void)state;
    struct words_list *l = list_of(words, ARRAY_LEN(words));
    assert_int_equal(words_count(l), ARRAY_LEN(words));
    assert_true(words_has(l, STR("lion"), false));
    assert_false(words_has(l, STR("lio"), false));
    assert_true(words_has(l, STR("lio"), true));
    assert_true(words_has(l, STR("zoo"), true));
    assert_false(words_has(l, STR("zoos"), true));
    assert_false(words_has(l, STR("zz"), true));
    assert_false(words_has(l, STR(""), true));
    check_near(l, "lin", false, "");           /* too short to be forgiven */
    check_near(l, "lien", false, "lion line"); /* the more frequent first */
    check_near(l, "lione", false, "lion line");
    check_near(l, "lion", false, "loin lino");        /* not itself */
    check_near(l, "csaablnaca", false, "casablanca"); /* two, of 10 letters */
    check_near(l, "casablanca", false, "casablancas");
    check_near(l, "muller", false, "müller");
    check_near(l, "kasab", true, "casablanca casablancas");
    check_near(l, "kasab", false, "");
    check_near(l, "xxxxxxxx", false, "");
    words_unref(l);
}

static void check_query(const char *text, const char *expected)
{
    struct search_query q;
    char is[256] = "";
    assert_int_equal(search_parse(str_of(text), &q), 0);
    for (unsigned i = 0; i < q.count; i++) {
        size_t used = strlen(is);
        (void)snprintf(is + used, sizeof is - used, "%s%s%s%s", i == 0 ? "" : " ",
                       q.words[i].literal ? "=" : "", q.words[i].text,
                       q.words[i].prefix ? "*" : "");
    }
    search_query_clear(&q);
    print_message("'%s': %s\n", text, is);
    assert_string_equal(is, expected);
}

static void test_query(void **state)
{
    (void)state;
    check_query("", "");
    check_query("  ... ", "");
    check_query("Tears of St", "tears of st*");
    check_query("Tears of Steel ", "tears of steel");
    check_query("Tears of Steel!", "tears of steel");
    check_query("Amélie", "amelie*");
    check_query("\"lion king\" disn", "=lion =king disn*");
    check_query("the \"lion", "the lion*"); /* the quote is still open */
    check_query("lion lion LION", "lion*");
    check_query("\"\"", "");
    check_query("a b c d e f g h i j", "a b c d e f g h");
}

static void put(struct fixture *f, const char *asset, const char *title, const char *patch)
{
    struct fault fault = {0};
    json_t *doc = NULL;
    json_t *film = json_pack("{s:s, s:i, s:i, s:[s], s:[]}", "title", title, "duration_ms",
                             90 * 60 * 1000, "height", 1080, "audio", "en", "subtitles");
    assert_int_equal(catalog_put(f->db, asset, film, NOW, &doc), 0);
    json_decref(film);
    json_decref(doc);
    if (patch == NULL)
        return;
    doc = NULL;
    json_t *change = json_loads(patch, 0, NULL);
    assert_non_null(change);
    assert_int_equal(catalog_change(f->db, asset, change, -1, &admin, NOW, &doc, &fault), 0);
    json_decref(change);
    json_decref(doc);
}

static void fill(struct fixture *f)
{
    put(f, "a", "The Lion King", "{\"tier\": \"premium\"}");
    put(f, "b", "Casablanca", "{\"tags\": [\"noir\", \"Paris\"]}");
    put(f, "c", "Midnight in Paris", "{\"summary\": \"A writer walks the city of lions\"}");
    put(f, "d", "Lionheart", NULL);
    put(f, "e", "Secret Lion", "{\"state\": \"withdrawn\"}");
    put(f, "f", "The Line", NULL);
}

struct found {
    char ids[64];
    char corrected[128];
    int total;
    int premium;
};

static int search(struct fixture *f, struct words_list *words, const char *text, unsigned limit,
                  struct found *ret)
{
    static const char *const facets[] = {"tier", "length"};
    const struct viewer anyone = {.user = "x", .age_max = -1, .country = "DE"};
    json_t *where = visible_where(&anyone);
    char *cursor = NULL;
    unsigned pages = 0;
    *ret = (struct found){.total = -1};
    do {
        const struct search_ask ask = {.text = str_of(text),
                                       .where = where,
                                       .limit = limit,
                                       .cursor = cursor,
                                       .facets = facets,
                                       .facets_count = 2};
        struct search_found found = {NULL, NULL, NULL, NULL};
        size_t i;
        json_t *doc;
        int r = search_run(f->db, MODEL_VIDEOS, words, &ask, &found);
        free(cursor);
        if (r < 0) {
            json_decref(where);
            return r;
        }
        json_array_foreach(found.videos, i, doc)
        {
            strncat(ret->ids, member_text(doc, "id"), sizeof ret->ids - strlen(ret->ids) - 1);
        }
        if (pages == 0) {
            ret->total = (int)member_int(found.facets, "total");
            ret->premium = (int)member_int(json_object_get(found.facets, "tier"), "premium");
            json_array_foreach(found.corrected, i, doc)
            {
                strncat(ret->corrected, json_string_value(doc),
                        sizeof ret->corrected - strlen(ret->corrected) - 1);
            }
        } else {
            assert_null(found.facets);
        }
        cursor = found.next;
        found.next = NULL;
        search_found_clear(&found);
        assert_true(++pages < 20);
    } while (cursor != NULL);
    json_decref(where);
    return 0;
}

static void test_search(void **state)
{
    struct fixture *f = *state;
    struct words *keeper = NULL;
    struct found found;
    fill(f);
    assert_int_equal(words_new(&keeper), 0);
    assert_int_equal(words_refresh(keeper, f->db, MODEL_VIDEOS, 1), 0);
    CLEAN(words_unref) struct words_list *words = words_ref(keeper);
    assert_true(words_count(words) > 8);

    assert_int_equal(search(f, words, "lion ", 10, &found), 0);
    assert_string_equal(found.ids, "a"); /* the withdrawn one is not found */
    assert_int_equal(found.total, 1);
    assert_int_equal(found.premium, 1);
    assert_string_equal(found.corrected, "");
    assert_int_equal(search(f, words, "lion", 10, &found), 0);
    assert_string_equal(found.ids, "adc"); /* exact, then a beginning, then in the summary */
    assert_int_equal(found.total, 3);
    assert_int_equal(search(f, words, "paris ", 10, &found), 0);
    assert_string_equal(found.ids, "cb"); /* the title tells more than a tag */
    assert_int_equal(search(f, words, "king lion", 10, &found), 0);
    assert_string_equal(found.ids, "a");
    assert_int_equal(search(f, words, "lion paris ", 10, &found), 0);
    assert_string_equal(found.ids, "c"); /* nothing has both: what is near to "lion" does */

    assert_int_equal(search(f, words, "casblanca", 10, &found), 0);
    assert_string_equal(found.ids, "b");
    assert_string_equal(found.corrected, "casablanca");
    assert_int_equal(search(f, words, "csaablnaca ", 10, &found), 0);
    assert_string_equal(found.ids, "b");
    assert_int_equal(search(f, words, "\"casblanca\" ", 10, &found), 0);
    assert_string_equal(found.ids, ""); /* as it is written */
    assert_int_equal(search(f, words, "lionhaert", 10, &found), 0);
    assert_string_equal(found.ids, "d");
    assert_int_equal(search(f, words, "midn", 10, &found), 0);
    assert_string_equal(found.ids, "c");
    assert_int_equal(search(f, words, "nothing at all", 10, &found), 0);
    assert_string_equal(found.ids, "");
    assert_int_equal(search(f, words, " ! ", 10, &found), -EINVAL);
    words_free(keeper);
}

/* Pages go on by the words of the first one, whatever words there are by then. */
static void test_pages(void **state)
{
    struct fixture *f = *state;
    struct words *keeper = NULL;
    struct found found;
    fill(f);
    assert_int_equal(words_new(&keeper), 0);
    assert_int_equal(words_refresh(keeper, f->db, MODEL_VIDEOS, 1), 0);
    CLEAN(words_unref) struct words_list *words = words_ref(keeper);
    CLEAN(words_unref) struct words_list *none = NULL;
    assert_int_equal(words_list_of(NULL, &none), 0);
    assert_int_equal(search(f, words, "lion", 1, &found), 0);
    assert_string_equal(found.ids, "adc");
    const struct search_ask ask = {.text = STR("lyon "), .limit = 1};
    struct search_found first = {NULL, NULL, NULL, NULL};
    assert_int_equal(search_run(f->db, MODEL_VIDEOS, words, &ask, &first), 0);
    assert_int_equal(json_array_size(first.videos), 1);
    assert_non_null(first.next);
    const struct search_ask again = {.text = STR("lyon "), .limit = 1, .cursor = first.next};
    struct search_found second = {NULL, NULL, NULL, NULL};
    assert_int_equal(search_run(f->db, MODEL_VIDEOS, none, &again, &second), 0);
    assert_int_equal(json_array_size(second.videos), 1);
    assert_string_not_equal(member_text(json_array_get(second.videos, 0), "id"),
                            member_text(json_array_get(first.videos, 0), "id"));
    search_found_clear(&first);
    search_found_clear(&second);
    static const char *const bad[] = {"", "x", "e30", "eyJ0IjpbXSwiYyI6IngifQ",
                                      "eyJ0IjpbWyJhIix0cnVlLDldXSwiYyI6IngifQ"};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        const struct search_ask wrong = {.text = STR("lion"), .limit = 1, .cursor = bad[i]};
        assert_int_equal(search_run(f->db, MODEL_VIDEOS, words, &wrong, &second), -EINVAL);
    }
    words_free(keeper);
}

static void test_refresh(void **state)
{
    struct fixture *f = *state;
    struct words *keeper = NULL;
    assert_int_equal(words_new(&keeper), 0);
    struct words_list *empty = words_ref(keeper);
    assert_int_equal(words_count(empty), 0);
    put(f, "a", "Lion", NULL);
    assert_int_equal(words_refresh(keeper, f->db, MODEL_VIDEOS, 5), 0);
    struct words_list *one = words_ref(keeper);
    assert_int_equal(words_count(one), 1);
    assert_int_equal(words_count(empty), 0); /* who has it keeps it */
    words_unref(empty);
    put(f, "b", "Tiger", NULL);
    assert_int_equal(words_refresh(keeper, f->db, MODEL_VIDEOS, 5 + WORDS_REFRESH_MS - 1), 0);
    struct words_list *same = words_ref(keeper);
    assert_int_equal(words_count(same), 1);
    words_unref(same);
    assert_int_equal(words_refresh(keeper, f->db, MODEL_VIDEOS, 5 + WORDS_REFRESH_MS), 0);
    struct words_list *two = words_ref(keeper);
    assert_int_equal(words_count(two), 2);
    words_unref(two);
    words_free(keeper);
    assert_true(words_has(one, STR("lion"), false));
    words_unref(one);
}

static void test_suggest(void **state)
{
    struct fixture *f = *state;
    json_t *where = visible_where(&(struct viewer){.age_max = -1, .country = ""});
    CLEAN(words_unref) struct words_list *none = NULL;
    json_t *titles = NULL;
    fill(f);
    put(f, "g", "Casablanca", NULL);
    assert_int_equal(words_list_of(NULL, &none), 0);
    assert_int_equal(search_suggest(f->db, MODEL_VIDEOS, none, STR("cas"), where, 5, &titles), 0);
    assert_int_equal(json_array_size(titles), 1); /* each title once */
    assert_string_equal(json_string_value(json_array_get(titles, 0)), "Casablanca");
    json_decref(titles);
    assert_int_equal(search_suggest(f->db, MODEL_VIDEOS, none, STR("the li"), where, 1, &titles),
                     0);
    assert_int_equal(json_array_size(titles), 1);
    json_decref(titles);
    assert_int_equal(search_suggest(f->db, MODEL_VIDEOS, none, STR("secr"), where, 5, &titles), 0);
    assert_int_equal(json_array_size(titles), 0);
    json_decref(titles);
    assert_int_equal(search_suggest(f->db, MODEL_VIDEOS, none, STR(" "), where, 5, &titles), 0);
    assert_int_equal(json_array_size(titles), 0);
    json_decref(titles);
    json_decref(where);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words), cmocka_unit_test(test_query), FIXTURE_CASE(test_search),
        FIXTURE_CASE(test_pages),     FIXTURE_CASE(test_refresh),   FIXTURE_CASE(test_suggest),
    };
    return cmocka_run_group_tests_name("catalog search", tests, NULL, NULL);
}
