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
    assert_int_equal(gone_sweep(f->db, &n), 0);
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
            r = gone_sweep(f->db, &done);
        hit = stopped_again(f->db);
        assert_int_equal(r, hit ? -EIO : 0);
        assert_int_equal(gone_sweep(f->db, &done), 0); /* the next start */
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

static void test_user(void **state)
{
    struct fixture *f = *state;
    struct fault fault = {0};
    json_t *doc = NULL;
    uint64_t n = 0;
    json_t *ask = json_pack("{s:s}", "title", "Mine");
    make_video(f, "film", NULL, NOW);
    do_things(f, "film", "ann", NOW);
    do_things(f, "film", "bob", NOW);
    assert_int_equal(playlist_create(f->db, ask, "ann", NOW, &doc, &fault), 0);
    json_decref(ask);
    json_decref(doc);
    assert_int_equal(gone_put(f->db, GONE_USER, "ann", NOW + 1), 0);
    sweep(f, 1);
    assert_int_equal(count_all(f, "user", "ann"), 0);
    assert_int_equal(count_all(f, "user", "bob"), 4);
    assert_int_equal(count(f, MODEL_PLAYLISTS, "owner", "ann"), 0);
    assert_int_equal(catalog_get(f->db, "film", &doc), 0); /* the video stays */
    assert_false(member_has(doc, "owner"));
    json_decref(doc);
    assert_int_equal(tally_sweep(f->db, clock_real_ms() + TALLY_QUIET_MS + 1, &n), 0);
    assert_int_equal(catalog_get(f->db, "film", &doc), 0);
    assert_int_equal(member_int(doc, "stars_count"), 1);
    assert_int_equal(member_int(doc, "comments"), 1);
    json_decref(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_CASE(test_video),   FIXTURE_CASE(test_again), FIXTURE_CASE(test_stopped),
        FIXTURE_CASE(test_channel), FIXTURE_CASE(test_user),
    };
    return cmocka_run_group_tests_name("catalog gone", tests, NULL, NULL);
}
