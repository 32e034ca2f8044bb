/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/gone.h"
#include "control/catalog/catalog.h"
#include "control/catalog/channel.h"
#include "control/catalog/comment.h"
#include "control/catalog/favourite.h"
#include "control/catalog/follow.h"
#include "control/catalog/history.h"
#include "control/catalog/member.h"
#include "control/catalog/playlist.h"
#include "control/catalog/score.h"
#include "control/catalog/tally.h"
#include "control/people/profiles.h"
#include "stopped.h"

#define NOW INT64_C(1800000000000)

static const struct viewer ann = {.user = "ann", .is_creator = true, .age_max = -1, .country = ""};

static void make_video(struct fixture *f, const char *asset, const char *channel, int64_t now_ms)
{
    struct fault fault = {0};
    json_t *doc = NULL;
    json_t *ask = json_pack("{s:s, s:s, s:s*}", "asset", asset, "title", asset, "channel", channel);
    assert_int_equal(catalog_create(f->db, ask, &ann, now_ms, &doc, &fault), 0);
    json_decref(ask);
    json_decref(doc);
}

static void do_things(struct fixture *f, const char *video, const char *user, int64_t now_ms)
{
    json_t *doc = NULL;
    bool is_new;
    const struct comment_ask say = {.video = video, .user = user, .text = "hm"};
    const struct history_ask seen = {
        .viewer = user, .user = user, .video = video, .position_ms = 1, .now_ms = now_ms};
    assert_int_equal(score_put(f->db, video, user, 4, now_ms, &doc), 0);
    json_decref(doc);
    assert_int_equal(comment_add(f->db, &say, now_ms, &doc), 0);
    json_decref(doc);
    assert_int_equal(favourite_put(f->db, user, user, video, now_ms, &doc, &is_new), 0);
    json_decref(doc);
    assert_int_equal(history_mark(f->db, &seen, NULL), 0);
}

static uint64_t count(struct fixture *f, unsigned coll, const char *member, const char *value)
{
    json_t *where = json_pack("{s:s}", member, value);
    const struct db_list list = {.limit = 1, .where = where};
    uint64_t n = 0;
    assert_int_equal(db_count(f->db, coll, &list, &n), 0);
    json_decref(where);
    return n;
}

static uint64_t count_all(struct fixture *f, const char *member, const char *value)
{
    static const unsigned colls[] = {MODEL_SCORES, MODEL_COMMENTS, MODEL_FAVOURITES, MODEL_HISTORY};
    uint64_t n = 0;
    for (unsigned i = 0; i < ARRAY_LEN(colls); i++)
        n += count(f, colls[i], member, value);
    return n;
}

static void sweep(struct fixture *f, uint64_t expected)
{
    uint64_t n = 0;
    assert_int_equal(gone_sweep(f->db, NOW + GONE_USER_MS + 1, &n), 0);
    assert_int_equal(n, expected);
}

static void test_video(void **state)
{
    struct fixture *f = *state;
    make_video(f, "film", NULL, NOW);
    make_video(f, "other", NULL, NOW);
    for (int i = 0; i < 250; i++) { /* more than a page */
        char user[16];
        (void)snprintf(user, sizeof user, "u%d", i);
        do_things(f, "film", user, NOW);
    }
    do_things(f, "other", "u0", NOW);
    assert_int_equal(catalog_delete(f->db, "film", NOW + 1), 0);
    sweep(f, 1);
    assert_int_equal(count_all(f, "video", "film"), 0);
    assert_int_equal(count_all(f, "video", "other"), 4);
    sweep(f, 0);
}

/* Made anew under the same name before the sweep came: what is new stays. */
static void test_again(void **state)
{
    struct fixture *f = *state;
    json_t *doc = NULL;
    make_video(f, "film", NULL, NOW);
    do_things(f, "film", "old", NOW);
    assert_int_equal(catalog_delete(f->db, "film", NOW + 10), 0);
    make_video(f, "film", NULL, NOW + 20);
    do_things(f, "film", "new", NOW + 30);
    sweep(f, 1);
    assert_int_equal(catalog_get(f->db, "film", &doc), 0);
    json_decref(doc);
    assert_int_equal(count_all(f, "video", "film"), 4);
    assert_int_equal(count_all(f, "user", "old"), 0);
}

static void test_stopped(void **state)
{
    struct fixture *f = *state;
    bool hit = true;
    unsigned n = 0;
    for (; hit; n++) {
        json_t *doc = NULL;
        uint64_t done = 0;
        int64_t now_ms = NOW + 100 * n;
        assert_true(n < STOPPED_MAX);
        if (catalog_get(f->db, "film", &doc) < 0)
            make_video(f, "film", NULL, now_ms);
        json_decref(doc);
        do_things(f, "film", "bob", now_ms + 1);
        do_things(f, "film", "cat", now_ms + 1);
        stopped_after(f->db, (int)n);
        int r = catalog_delete(f->db, "film", now_ms + 50);
        bool noted = n >= 1; /* the first change is the note */
        if (r == 0)
            r = gone_sweep(f->db, now_ms, &done);
        hit = stopped_again(f->db);
        assert_int_equal(r, hit ? -EIO : 0);
        assert_int_equal(gone_sweep(f->db, now_ms, &done), 0); /* the next start */
        assert_int_equal(count(f, MODEL_GONE, "kind", "video"), 0);
        assert_int_equal(count_all(f, "video", "film"), noted ? 0 : 8);
        assert_int_equal(catalog_get(f->db, "film", &doc), noted ? -ENOENT : 0);
        if (!noted)
            json_decref(doc);
    }
    assert_true(n > 10);
}

static void test_channel(void **state)
{
    struct fixture *f = *state;
    struct fault fault = {0};
    json_t *channel = NULL;
    json_t *doc = NULL;
    bool is_new;
    json_t *ask = json_pack("{s:s, s:s}", "handle", "ann", "title", "Ann");
    assert_int_equal(channel_create(f->db, ask, "ann", NOW, &channel, &fault), 0);
    json_decref(ask);
    const char *id = member_text(channel, "id");
    make_video(f, "draft", id, NOW); /* in no key of the channel */
    assert_int_equal(follow_put(f->db, id, "bob", NOW, &doc, &is_new), 0);
    json_decref(doc);
    assert_int_equal(gone_put(f->db, GONE_CHANNEL, id, NOW + 1), 0);
    assert_int_equal(gone_put(f->db, GONE_CHANNEL, id, NOW + 1), -ENOENT);
    sweep(f, 1);
    assert_int_equal(count(f, MODEL_FOLLOWS, "channel", id), 0);
    assert_int_equal(catalog_get(f->db, "draft", &doc), 0);
    assert_false(member_has(doc, "channel"));
    json_decref(doc);
    json_decref(channel);
}

/* --- accounts --------------------------------------------------------------------------------- */

static void put(struct fixture *f, unsigned coll, json_t *doc)
{
    assert_non_null(doc);
    assert_int_equal(db_put(f->db, coll, doc), 0);
    json_decref(doc);
}

/* An account with one of everything, in a world where there is also bob. */
static void make_account(struct fixture *f, const char *id, int64_t now_ms)
{
    struct fault fault = {0};
    json_t *doc = NULL;
    json_t *ask = json_pack("{s:s}", "title", "Mine");
    char name[80];
    bool is_new;
    (void)snprintf(name, sizeof name, "%s@example.org", id);
    put(f, MODEL_USERS,
        json_pack("{s:s, s:s, s:s, s:I}", "id", id, "email", name, "role", "creator", "created_ms",
                  (json_int_t)now_ms));
    (void)snprintf(name, sizeof name, "login-of-%s", id);
    put(f, MODEL_SESSIONS,
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "id", name, "user", id, "device",
                  "d", "address", "a", "family", "f", "refresh", "r", "created_ms",
                  (json_int_t)now_ms, "seen_ms", (json_int_t)now_ms, "expires_ms",
                  (json_int_t)now_ms));
    (void)snprintf(name, sizeof name, "key-of-%s", id);
    put(f, MODEL_API_KEYS,
        json_pack("{s:s, s:s, s:s, s:s, s:[], s:I}", "id", name, "user", id, "name", "k", "secret",
                  "s", "scopes", "created_ms", (json_int_t)now_ms));
    (void)snprintf(name, sizeof name, "link-of-%s", id);
    put(f, MODEL_LINKS,
        json_pack("{s:s, s:s, s:s, s:I}", "id", name, "user", id, "provider", "p", "created_ms",
                  (json_int_t)now_ms));
    (void)snprintf(name, sizeof name, "ticket-of-%s", id);
    put(f, MODEL_TICKETS,
        json_pack("{s:s, s:s, s:s, s:I, s:I}", "id", name, "kind", "reset", "about", id,
                  "created_ms", (json_int_t)now_ms, "ends_ms", (json_int_t)now_ms));
    (void)snprintf(name, sizeof name, "%s-3", id);
    put(f, MODEL_PROFILES,
        json_pack("{s:s, s:s, s:s, s:I, s:i}", "id", name, "user", id, "name", "Child",
                  "created_ms", (json_int_t)now_ms, "version", 1));
    put(f, MODEL_RIGHTS,
        json_pack("{s:s, s:i, s:I}", "id", id, "rev", 1, "updated_ms", (json_int_t)now_ms));
    put(f, MODEL_HISTORY_MONTHS,
        json_pack("{s:s+, s:s, s:s, s:s, s:[]}", "id", "2026-01:", id, "month", "2026-01", "viewer",
                  id, "user", id, "entries"));
    const struct viewer owner = {.user = id, .is_creator = true, .age_max = -1, .country = ""};
    assert_int_equal(series_create(f->db, ask, &owner, now_ms, &doc, &fault), 0);
    json_decref(doc);
    assert_int_equal(playlist_create(f->db, ask, id, now_ms, &doc, &fault), 0);
    json_decref(doc);
    json_decref(ask);
    ask = json_pack("{s:s, s:s}", "handle", id, "title", "Mine");
    assert_int_equal(channel_create(f->db, ask, id, now_ms, &doc, &fault), 0);
    json_t *follow = NULL;
    assert_int_equal(follow_put(f->db, member_text(doc, "id"), "bob", now_ms, &follow, &is_new), 0);
    json_decref(follow);
    json_decref(doc);
    json_decref(ask);
    ask = json_pack("{s:s+, s:s}", "asset", "film-of-", id, "title", "Mine");
    assert_int_equal(catalog_create(f->db, ask, &owner, now_ms, &doc, &fault), 0);
    do_things(f, member_text(doc, "id"), "bob", now_ms);
    json_decref(ask);
    json_decref(doc);
}

static uint64_t count_of(struct fixture *f, const char *id)
{
    static const struct {
        unsigned coll;
        const char *member;
    } all[] = {
        {MODEL_SESSIONS, "user"},   {MODEL_API_KEYS, "user"},       {MODEL_LINKS, "user"},
        {MODEL_TICKETS, "about"},   {MODEL_PROFILES, "user"},       {MODEL_FOLLOWS, "user"},
        {MODEL_PLAYLISTS, "owner"}, {MODEL_HISTORY_MONTHS, "user"}, {MODEL_VIDEOS, "owner"},
        {MODEL_SERIES, "owner"},    {MODEL_CHANNELS, "owner"},
    };
    json_t *doc = NULL;
    uint64_t n = count_all(f, "user", id);
    for (unsigned i = 0; i < ARRAY_LEN(all); i++)
        n += count(f, all[i].coll, all[i].member, id);
    n += db_get(f->db, MODEL_RIGHTS, id, &doc) == 0;
    json_decref(doc);
    doc = NULL;
    n += db_get(f->db, MODEL_USERS, id, &doc) == 0;
    json_decref(doc);
    return n;
}

static uint64_t count_in(struct fixture *f, unsigned coll)
{
    const struct db_list list = {.limit = 1};
    uint64_t n = 0;
    assert_int_equal(db_count(f->db, coll, &list, &n), 0);
    return n;
}

static void test_user(void **state)
{
    struct fixture *f = *state;
    json_t *doc = NULL;
    json_t *comment = NULL;
    uint64_t n = 0;
    make_account(f, "cat", NOW);
    make_account(f, "bob", NOW);
    do_things(f, "film-of-bob", "cat", NOW);
    const struct comment_ask say = {
        .video = "film-of-bob", .user = "cat", .name = "C", .text = "a"};
    assert_int_equal(comment_add(f->db, &say, NOW, &comment), 0);
    const struct comment_ask reply = {
        .video = "film-of-bob", .parent = member_text(comment, "id"), .user = "bob", .text = "b"};
    assert_int_equal(comment_add(f->db, &reply, NOW, &doc), 0);
    json_decref(doc);
    uint64_t bobs = count_of(f, "bob");
    assert_int_equal(gone_put(f->db, GONE_USER, "cat", NOW + 1), 0);
    assert_int_equal(gone_put(f->db, GONE_USER, "cat", NOW + 1), -ENOENT);
    assert_int_equal(gone_users(f->db, &doc), 0);
    assert_int_equal(json_array_size(doc), 1);
    json_decref(doc);
    assert_int_equal(gone_sweep(f->db, NOW + GONE_USER_MS, &n), 0);
    assert_int_equal(count_of(f, "cat"), 0);
    /* Written by a request that had begun before: the note stays for it. */
    do_things(f, "film-of-bob", "cat", NOW);
    sweep(f, 4); /* the account's, and those of its channel, series and video */
    assert_int_equal(count(f, MODEL_GONE, "of", "cat"), 0);
    assert_int_equal(count_of(f, "cat"), 0);
    /* What bob did on cat's film went with it, and his following of cat's channel. */
    assert_int_equal(count_of(f, "bob"), bobs - 5);
    assert_int_equal(catalog_get(f->db, "film-of-cat", &doc), -ENOENT);
    assert_int_equal(tally_sweep(f->db, NOW + TALLY_QUIET_MS + 2, &n), 0);
    /* What was replied to it is still there; who said what is not. */
    assert_int_equal(comment_get(f->db, "film-of-bob", member_text(comment, "id"), &doc), 0);
    assert_false(member_has(doc, "user") || member_has(doc, "name") || member_has(doc, "text"));
    assert_int_equal(member_int(doc, "replies"), 1);
    json_decref(doc);
    assert_int_equal(catalog_get(f->db, "film-of-bob", &doc), 0);
    assert_int_equal(member_int(doc, "stars_count"), 1);
    assert_int_equal(member_int(doc, "comments"), 2);
    json_decref(doc);
    json_decref(comment);
}

static void test_user_kept(void **state)
{
    struct fixture *f = *state;
    json_t *doc = NULL;
    make_account(f, "cat", NOW);
    assert_int_equal(gone_put(f->db, GONE_USER_KEPT, "cat", NOW + 1), 0);
    sweep(f, 1);
    assert_int_equal(count_of(f, "cat"), 0);
    assert_int_equal(count_in(f, MODEL_CHANNELS), 1);
    assert_int_equal(count_in(f, MODEL_SERIES), 1);
    assert_int_equal(catalog_get(f->db, "film-of-cat", &doc), 0);
    assert_false(member_has(doc, "owner"));
    json_decref(doc);
}

/* As if killed between any two changes: the next start carries it to its end. */
static void test_user_stopped(void **state)
{
    struct fixture *f = *state;
    bool hit = true;
    unsigned n = 0;
    make_account(f, "bob", NOW);
    for (; hit; n++) {
        char id[16];
        uint64_t done = 0;
        assert_true(n < STOPPED_MAX);
        (void)snprintf(id, sizeof id, "cat%u", n);
        make_account(f, id, NOW);
        do_things(f, "film-of-bob", id, NOW);
        uint64_t before = count_of(f, id);
        stopped_after(f->db, (int)n);
        int r = gone_put(f->db, GONE_USER, id, NOW + 50);
        if (r == 0)
            r = gone_sweep(f->db, NOW + GONE_USER_MS + 51, &done);
        hit = stopped_again(f->db);
        assert_int_equal(r, hit ? -EIO : 0);
        for (unsigned i = 0; i < 2; i++) /* the next start; the video's own note comes behind */
            assert_int_equal(gone_sweep(f->db, NOW + GONE_USER_MS + 51, &done), 0);
        assert_int_equal(count_of(f, id), n >= 1 ? 0 : before);
        assert_int_equal(count(f, MODEL_GONE, "of", id), 0);
        if (n == 0) {
            assert_int_equal(gone_put(f->db, GONE_USER, id, NOW + 50), 0);
            assert_int_equal(gone_sweep(f->db, NOW + GONE_USER_MS + 51, &done), 0);
        }
    }
    assert_true(n > 20);
    assert_int_equal(count_in(f, MODEL_GONE), 0);
    assert_int_equal(count_in(f, MODEL_USERS), 1);
    assert_int_equal(count_in(f, MODEL_VIDEOS), 1);
}

/* The next profile gets the place, and with it the id: it must not find what this one watched. */
static void test_profile(void **state)
{
    struct fixture *f = *state;
    struct fault fault = {0};
    json_t *ask = json_pack("{s:s}", "name", "Child");
    json_t *doc = NULL;
    bool is_new;
    uint64_t n = 0;
    make_video(f, "film", NULL, NOW);
    assert_int_equal(profile_make(f->db, "ann", ask, NOW, &doc, &fault), 0);
    const char *id = "ann-1";
    assert_string_equal(member_text(doc, "id"), id);
    json_decref(doc);
    struct history_ask seen = {
        .viewer = id, .user = "ann", .video = "film", .position_ms = 1, .now_ms = NOW};
    assert_int_equal(history_mark(f->db, &seen, NULL), 0);
    seen.now_ms = NOW - INT64_C(60) * 86400000;
    assert_int_equal(history_mark(f->db, &seen, NULL), 0);
    assert_int_equal(history_pack(f->db, NOW, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(favourite_put(f->db, id, "ann", "film", NOW, &doc, &is_new), 0);
    json_decref(doc);
    assert_int_equal(profile_end(f->db, "ann", id, NOW + 1), 0);
    assert_int_equal(profile_end(f->db, "ann", id, NOW + 1), -ENOENT);
    assert_int_equal(profile_make(f->db, "ann", ask, NOW + 2, &doc, &fault), 0);
    assert_string_equal(member_text(doc, "id"), id);
    json_decref(doc);
    json_decref(ask);
    assert_int_equal(favourite_put(f->db, id, "ann", "other", NOW + 3, &doc, &is_new), 0);
    json_decref(doc);
    sweep(f, 1);
    assert_int_equal(profile_get(f->db, "ann", id, &doc), 0); /* the new one stays */
    json_decref(doc);
    assert_int_equal(count(f, MODEL_HISTORY, "viewer", id), 0);
    assert_int_equal(count(f, MODEL_HISTORY_MONTHS, "viewer", id), 0);
    assert_int_equal(count(f, MODEL_FAVOURITES, "viewer", id), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_CASE(test_video),        FIXTURE_CASE(test_again),   FIXTURE_CASE(test_stopped),
        FIXTURE_CASE(test_channel),      FIXTURE_CASE(test_user),    FIXTURE_CASE(test_user_kept),
        FIXTURE_CASE(test_user_stopped), FIXTURE_CASE(test_profile),
    };
    return cmocka_run_group_tests_name("catalog gone", tests, NULL, NULL);
}
