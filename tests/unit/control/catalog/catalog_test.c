/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/catalog.h"
#include <errno.h>
#include <string.h>
#include "control/catalog/catalog_upgrade.h"
#include "control/catalog/channel.h"
#include "control/catalog/member.h"
#include "control/catalog/tally.h"
#include "stopped.h"

#define NOW INT64_C(1800000000000) /* 2027-01-15T08:00:00Z */

static const struct viewer ann = {.user = "ann", .is_creator = true, .age_max = -1, .country = ""};
static const struct viewer bob = {.user = "bob", .age_max = -1, .country = ""};
static const struct viewer admin = {.user = "adm", .is_admin = true, .age_max = -1, .country = ""};

static json_t *film(const char *title)
{
    return json_pack("{s:s, s:i, s:i, s:[s], s:[]}", "title", title, "duration_ms", 1000, "height",
                     1080, "audio", "en", "subtitles");
}

static void put(struct fixture *f, const char *asset, const char *title, int64_t now_ms)
{
    json_t *stored = NULL;
    json_t *facts = film(title);
    assert_int_equal(catalog_put(f->db, asset, facts, now_ms, &stored), 0);
    assert_null(json_object_get(facts, "id")); /* the caller's is not changed */
    json_decref(facts);
    json_decref(stored);
}

static json_t *get(struct fixture *f, const char *asset)
{
    json_t *doc = NULL;
    assert_int_equal(catalog_get(f->db, asset, &doc), 0);
    return doc;
}

static void check(struct fixture *f, const char *asset, const char *name, const char *value)
{
    json_t *doc = get(f, asset);
    const char *is = member_text(doc, name);
    print_message("%s %s is %s\n", asset, name, is == NULL ? "absent" : is);
    if (value == NULL)
        assert_null(is);
    else
        assert_string_equal(is, value);
    json_decref(doc);
}

static void test_put(void **state)
{
    struct fixture *f = *state;
    json_t *doc = NULL;
    put(f, "film", "First", 1000);
    put(f, "film", "Second", 61000);
    doc = get(f, "film");
    json_t *shown = video_public(doc, &bob);
    assert_string_equal(member_text(shown, "asset"), "film");
    assert_string_equal(member_text(shown, "title"), "Second");
    assert_string_equal(member_text(shown, "state"), "published");
    assert_string_equal(member_text(shown, "tier"), "free");
    assert_string_equal(member_text(shown, "length"), "short");
    assert_string_equal(member_text(shown, "created"), "1970-01-01T00:00:01.000Z");
    assert_string_equal(member_text(shown, "published"), "1970-01-01T00:00:01.000Z");
    assert_string_equal(member_text(shown, "updated"), "1970-01-01T00:01:01.000Z");
    assert_int_equal(member_int(shown, "height"), 1080);
    assert_null(json_object_get(shown, "countries_allow")); /* the owner's to see */
    json_decref(shown);
    json_decref(doc);
    doc = NULL;
    assert_int_equal(catalog_delete(f->db, "film", 70000), 0);
    assert_int_equal(catalog_delete(f->db, "film", 70000), -ENOENT);
    assert_int_equal(catalog_get(f->db, "film", &doc), -ENOENT);
}

static void test_order(void **state)
{
    struct fixture *f = *state;
    json_t *docs = NULL;
    char *cursor = NULL;
    char *next = NULL;
    struct catalog_list list = {.limit = 2};
    put(f, "b", "B", 2000);
    put(f, "a", "A", 3000);
    put(f, "c", "C", 1000);
    put(f, "c", "C again", 9000); /* changed is not newer */
    assert_int_equal(catalog_list(f->db, &list, &docs, &cursor), 0);
    assert_int_equal(json_array_size(docs), 2);
    assert_string_equal(member_text(json_array_get(docs, 0), "id"), "a");
    assert_string_equal(member_text(json_array_get(docs, 1), "id"), "b");
    json_decref(docs);
    assert_non_null(cursor);
    list.cursor = cursor;
    assert_int_equal(catalog_list(f->db, &list, &docs, &next), 0);
    assert_int_equal(json_array_size(docs), 1);
    assert_string_equal(member_text(json_array_get(docs, 0), "title"), "C again");
    assert_null(next);
    json_decref(docs);
    free(cursor);
    list.cursor = "nonsense";
    assert_int_equal(catalog_list(f->db, &list, &docs, &next), -EINVAL);
}

/* A description in JSON; the video that is made of it, or the code of the refusal. */
static const char *create(struct fixture *f, const struct viewer *viewer, const char *text)
{
    struct fault fault = {0};
    json_t *doc = NULL;
    json_t *ask = json_loads(text, 0, NULL);
    assert_non_null(ask);
    int r = catalog_create(f->db, ask, viewer, NOW, &doc, &fault);
    json_decref(ask);
    json_decref(doc);
    assert_true(r == 0 || r == -EPROTO);
    return r == 0 ? "" : fault.code;
}

static const char *change(struct fixture *f, const struct viewer *viewer, const char *asset,
                          const char *text)
{
    struct fault fault = {0};
    json_t *doc = NULL;
    json_t *patch = json_loads(text, 0, NULL);
    assert_non_null(patch);
    int r = catalog_change(f->db, asset, patch, -1, viewer, NOW, &doc, &fault);
    json_decref(patch);
    json_decref(doc);
    assert_true(r == 0 || r == -EPROTO);
    return r == 0 ? "" : fault.code;
}

static void test_create(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(create(f, &ann, "{\"asset\": \"x\", \"title\": \"X\"}"), "");
    check(f, "x", "state", "draft");
    check(f, "x", "owner", "ann");
    assert_string_equal(create(f, &ann, "{\"asset\": \"x\", \"title\": \"X\"}"), "ASSET_TAKEN");
    assert_string_equal(create(f, &ann, "{\"asset\": \"../x\", \"title\": \"X\"}"),
                        "ASSET_INVALID");
    assert_string_equal(create(f, &ann, "{\"title\": \"No \\u0007 bells\"}"), "BODY_INVALID");
    assert_string_equal(create(f, &ann, "{\"title\": \"No name\"}"), "");
    assert_string_equal(create(f, &ann, "{\"title\": \"X\", \"channel\": \"none\"}"),
                        "CHANNEL_UNKNOWN");
    assert_string_equal(create(f, &ann, "{\"title\": \"X\", \"series\": \"none\"}"),
                        "SERIES_UNKNOWN");
    assert_string_equal(create(f, &ann, "{\"title\": \"X\", \"categories\": [\"none\"]}"),
                        "CATEGORY_UNKNOWN");
    assert_string_equal(create(f, &ann, "{\"title\": \"X\", \"countries_deny\": [\"de\"]}"),
                        "COUNTRY_INVALID");
    assert_string_equal(create(f, &ann, "{\"title\": \"X\", \"publish_at\": \"tomorrow\"}"),
                        "TIME_INVALID");
    assert_string_equal(create(f, &ann, "{\"title\": \"X\", \"state\": \"published\"}"),
                        "STATE_CONFLICT"); /* there is no film */
}

static void test_change(void **state)
{
    struct fixture *f = *state;
    struct fault fault = {0};
    json_t *doc = NULL;
    json_t *patch = json_pack("{s:s}", "summary", "About X");
    (void)create(f, &ann, "{\"asset\": \"x\", \"title\": \"X\"}");
    assert_string_equal(change(f, &bob, "x", "{\"title\": \"Mine\"}"), "VIDEO_NOT_FOUND");
    put(f, "x", "the file's name", NOW);
    check(f, "x", "title", "X"); /* as it was named here */
    check(f, "x", "state", "ready");
    assert_string_equal(change(f, &ann, "x", "{\"state\": \"published\"}"), "");
    assert_string_equal(change(f, &bob, "x", "{\"title\": \"Mine\"}"), "NOT_YOURS");
    assert_string_equal(change(f, &admin, "x", "{\"title\": \"Y\", \"summary\": \"S\"}"), "");
    check(f, "x", "summary", "S");
    assert_string_equal(change(f, &ann, "x", "{\"summary\": null}"), "");
    check(f, "x", "summary", NULL);
    assert_string_equal(change(f, &ann, "none", "{}"), "VIDEO_NOT_FOUND");

    doc = get(f, "x");
    int64_t rev = member_int(doc, "rev");
    json_decref(doc);
    assert_int_equal(catalog_change(f->db, "x", patch, rev - 1, &ann, NOW, &doc, &fault), -ESTALE);
    assert_int_equal(catalog_change(f->db, "x", patch, rev, &ann, NOW, &doc, &fault), 0);
    assert_int_equal(member_int(doc, "rev"), rev + 1);
    json_decref(doc);
    json_decref(patch);
    /* Counts that moved meanwhile are left alone. */
    assert_int_equal(tally_end(f->db, TALLY_COMMENTS, "x", NOW, 7, 0, NULL), 0);
    assert_string_equal(change(f, &ann, "x", "{\"age\": 12}"), "");
    doc = get(f, "x");
    assert_int_equal(member_int(doc, "comments"), 7);
    assert_int_equal(member_int(doc, "age"), 12);
    json_decref(doc);
}

static void sweep(struct fixture *f, int64_t now_ms, uint64_t expected)
{
    uint64_t count = 0;
    assert_int_equal(catalog_sweep(f->db, now_ms, &count), 0);
    assert_int_equal(count, expected);
}

static void test_schedule(void **state)
{
    struct fixture *f = *state;
    (void)create(f, &ann, "{\"asset\": \"x\", \"title\": \"X\"}");
    put(f, "x", "X", NOW);
    assert_string_equal(change(f, &ann, "x", "{\"state\": \"scheduled\"}"), "PUBLISH_AT_MISSING");
    assert_string_equal(change(f, &ann, "x",
                               "{\"state\": \"scheduled\", \"publish_at\":"
                               " \"2027-01-15T09:00:00+00:00\", \"withdraw_at\":"
                               " \"2027-01-15T08:30:00Z\"}"),
                        "WITHDRAW_AT_PAST");
    check(f, "x", "state", "ready"); /* a refusal changes nothing */
    assert_string_equal(change(f, &ann, "x",
                               "{\"state\": \"scheduled\", \"publish_at\":"
                               " \"2027-01-15T09:00:00Z\", \"withdraw_at\":"
                               " \"2027-01-15T10:00:00Z\"}"),
                        "");
    check(f, "x", "state", "scheduled");
    sweep(f, NOW + 3599999, 0);
    sweep(f, NOW + 3600000, 1);
    check(f, "x", "state", "published");
    sweep(f, NOW + 3600000, 0);
    sweep(f, NOW + 7200000, 1);
    check(f, "x", "state", "withdrawn");
    sweep(f, NOW + 9999999, 0);
    /* Both became due while nobody looked. */
    put(f, "y", "Y", NOW);
    assert_string_equal(change(f, &admin, "y", "{\"state\": \"withdrawn\"}"), "");
    assert_string_equal(change(f, &admin, "y",
                               "{\"state\": \"scheduled\", \"publish_at\":"
                               " \"2027-01-15T09:00:00Z\", \"withdraw_at\":"
                               " \"2027-01-15T10:00:00Z\"}"),
                        "");
    sweep(f, NOW + 86400000, 1);
    check(f, "y", "state", "withdrawn");
    /* Scheduled for the past is published. */
    assert_string_equal(change(f, &admin, "y",
                               "{\"state\": \"scheduled\", \"publish_at\":"
                               " \"2027-01-15T07:00:00Z\", \"withdraw_at\": null}"),
                        "");
    check(f, "y", "state", "published");
}

static void test_ready(void **state)
{
    struct fixture *f = *state;
    struct fault fault = {0};
    (void)create(f, &ann, "{\"asset\": \"x\", \"title\": \"X\", \"publish_when_ready\": true}");
    (void)create(f, &ann,
                 "{\"asset\": \"y\", \"title\": \"Y\", \"publish_at\": \"2027-01-15T09:00:00Z\"}");
    assert_int_equal(catalog_move(f->db, "x", VIDEO_UPLOADING, NULL, NOW, &fault), 0);
    assert_int_equal(catalog_move(f->db, "x", VIDEO_FAILED, "no film", NOW, &fault), 0);
    check(f, "x", "failure", "no film");
    assert_int_equal(catalog_move(f->db, "x", VIDEO_PROCESSING, NULL, NOW, &fault), 0);
    check(f, "x", "failure", NULL);
    put(f, "x", "X", NOW);
    put(f, "y", "Y", NOW);
    check(f, "x", "state", "published");
    check(f, "y", "state", "scheduled");
    sweep(f, NOW + 3600000, 1);
    check(f, "y", "state", "published");
    assert_int_equal(catalog_move(f->db, "y", VIDEO_UPLOADING, NULL, NOW, &fault), -EPROTO);
    assert_string_equal(fault.code, "STATE_CONFLICT");
    assert_int_equal(catalog_move(f->db, "none", VIDEO_UPLOADING, NULL, NOW, &fault), -ENOENT);
}

static const char *see(struct fixture *f, const char *asset, const struct viewer *viewer)
{
    struct fault fault = {0};
    json_t *doc = NULL;
    int r = catalog_see(f->db, asset, viewer, &doc, &fault);
    json_decref(doc);
    assert_true(r == 0 || r == -EPROTO);
    return r == 0 ? "" : fault.code;
}

static void test_see(void **state)
{
    struct fixture *f = *state;
    const struct viewer child = {.user = "bob", .age_max = 6, .country = "DE"};
    const struct viewer abroad = {.user = "bob", .age_max = -1, .country = "US"};
    put(f, "x", "X", NOW);
    assert_string_equal(see(f, "x", &bob), "");
    assert_string_equal(
        change(f, &admin, "x", "{\"age\": 12, \"countries_allow\": [\"DE\", \"AT\"]}"), "");
    assert_string_equal(see(f, "x", &child), "AGE_RESTRICTED");
    assert_string_equal(see(f, "x", &abroad), "UNAVAILABLE_IN_COUNTRY");
    assert_string_equal(see(f, "x", &admin), "");
    assert_string_equal(see(f, "none", &admin), "VIDEO_NOT_FOUND");
    assert_string_equal(see(f, "../x", &admin), "VIDEO_NOT_FOUND");
    assert_string_equal(change(f, &admin, "x", "{\"state\": \"withdrawn\"}"), "");
    assert_string_equal(see(f, "x", &abroad), "VIDEO_NOT_FOUND"); /* nor why */
    assert_string_equal(change(f, &admin, "x", "{\"countries_allow\": null, \"age\": null}"), "");
    json_t *doc = get(f, "x");
    assert_false(member_has(doc, "age"));
    assert_int_equal(json_array_size(json_object_get(doc, "countries")), 1);
    json_decref(doc);
}

static void test_series(void **state)
{
    struct fixture *f = *state;
    struct fault fault = {0};
    json_t *series = NULL;
    json_t *doc = NULL;
    char text[256];
    json_t *ask =
        json_loads("{\"title\": \"S\", \"seasons\": [{\"number\": 1}, {\"number\": 2}]}", 0, NULL);
    assert_int_equal(series_create(f->db, ask, &ann, NOW, &series, &fault), 0);
    json_decref(ask);
    (void)snprintf(text, sizeof text,
                   "{\"asset\": \"e2\", \"title\": \"E2\", \"series\": \"%s\", \"season\": 1,"
                   " \"episode\": 2}",
                   member_text(series, "id"));
    assert_string_equal(create(f, &ann, text), "");
    assert_string_equal(create(f, &bob, text), "SERIES_UNKNOWN"); /* not theirs */
    doc = get(f, "e2");
    assert_int_equal(member_int(doc, "place"), 100002);
    json_decref(doc);
    assert_string_equal(change(f, &ann, "e2", "{\"series\": null}"), "");
    doc = get(f, "e2");
    assert_false(member_has(doc, "place"));
    json_decref(doc);
    ask = json_loads("{\"seasons\": [{\"number\": 2}, {\"number\": 2}]}", 0, NULL);
    assert_int_equal(
        series_change(f->db, member_text(series, "id"), ask, -1, &ann, NOW, &doc, &fault), -EPROTO);
    assert_string_equal(fault.code, "SEASONS_INVALID");
    json_decref(ask);
    json_decref(series);
}

static void test_channel(void **state)
{
    struct fixture *f = *state;
    struct fault fault = {0};
    json_t *channel = NULL;
    json_t *doc = NULL;
    json_t *ask = json_pack("{s:s, s:s}", "handle", "ann", "title", "Ann");
    assert_int_equal(channel_create(f->db, ask, "ann", NOW, &channel, &fault), 0);
    assert_int_equal(channel_create(f->db, ask, "bob", NOW, &doc, &fault), -EPROTO);
    assert_string_equal(fault.code, "HANDLE_TAKEN");
    json_decref(ask);
    assert_int_equal(channel_get(f->db, "@ann", &doc), 0);
    assert_true(json_equal(doc, channel));
    json_decref(doc);
    assert_int_equal(channel_get(f->db, "@bob", &doc), -ENOENT);
    ask = json_pack("{s:s}", "handle", "anna");
    const char *id = member_text(channel, "id");
    assert_int_equal(channel_change(f->db, id, ask, -1, &bob, NOW, &doc, &fault), -EPROTO);
    assert_string_equal(fault.code, "NOT_YOURS");
    assert_int_equal(channel_change(f->db, id, ask, 7, &ann, NOW, &doc, &fault), -ESTALE);
    assert_int_equal(channel_change(f->db, id, ask, 1, &ann, NOW, &doc, &fault), 0);
    json_decref(doc);
    assert_int_equal(channel_get(f->db, "@anna", &doc), 0);
    json_t *view = channel_public(doc);
    assert_int_equal(member_int(view, "followers"), 0);
    assert_int_equal(member_int(view, "rev"), 2);
    json_decref(view);
    json_decref(doc);
    json_decref(ask);
    json_decref(channel);
}

/* What a version before had in the collection. */
static const struct db_collection old_collections[] = {
    {.name = "users", .keys = {{"email", true}}, .keys_count = 1},
    {.name = "sessions", .keys = {{"user", false}, {"expires_ms", false}}, .keys_count = 2},
    {.name = "videos", .keys = {{"created_ms", false}}, .keys_count = 1},
};
static const struct db_schema old_schema = {
    .version = 1, .collections = old_collections, .collections_count = 3};

static void test_upgrade(void **state)
{
    struct fixture *f = *state;
    char path[128];
    struct err err = {""};
    struct db *old = NULL;
    json_t *doc = film("Old");
    fixture_address(f, path, sizeof path);
    assert_int_equal(db_open(path, &old_schema, &err, &old), 0);
    assert_int_equal(member_set_text(doc, "id", "film"), 0);
    assert_int_equal(member_set_int(doc, "created_ms", 1000), 0);
    assert_int_equal(member_set_int(doc, "updated_ms", 2000), 0);
    assert_int_equal(db_insert(old, 2, doc), 0);
    json_decref(doc);
    db_close(old);
    db_close(f->db);
    assert_int_equal(db_open(path, &model_schema, &err, &f->db), 0);
    check(f, "film", "state", "published");
    check(f, "film", "title", "Old");
    doc = get(f, "film");
    assert_int_equal(member_int(doc, "published_ms"), 1000);
    assert_int_equal(member_int(doc, "updated_ms"), 2000);
    json_decref(doc);
    assert_int_equal(catalog_upgrade(f->db), 0); /* again */
    put(f, "film", "New", NOW);
    check(f, "film", "title", "New");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_CASE(test_put),     FIXTURE_CASE(test_order),    FIXTURE_CASE(test_create),
        FIXTURE_CASE(test_change),  FIXTURE_CASE(test_schedule), FIXTURE_CASE(test_ready),
        FIXTURE_CASE(test_see),     FIXTURE_CASE(test_series),   FIXTURE_CASE(test_channel),
        FIXTURE_CASE(test_upgrade),
    };
    return cmocka_run_group_tests_name("catalog", tests, NULL, NULL);
}
