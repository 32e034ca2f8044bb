/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/catalog.h"
#include "control/catalog/channel.h"
#include "control/catalog/comment.h"
#include "control/catalog/favourite.h"
#include "control/catalog/follow.h"
#include "control/catalog/member.h"
#include "control/catalog/score.h"
#include "control/catalog/tally.h"
#include "stopped.h"

#define NOW   INT64_C(1800000000000)
#define LATER (NOW + TALLY_QUIET_MS + 1)

static void make_video(struct fixture *f, const char *asset)
{
    json_t *stored = NULL;
    json_t *film = json_pack("{s:s, s:i, s:i, s:[], s:[]}", "title", asset, "duration_ms", 1000,
                             "height", 1080, "audio", "subtitles");
    assert_int_equal(catalog_put(f->db, asset, film, NOW - 100, &stored), 0);
    json_decref(film);
    json_decref(stored);
}

static void make_channel(struct fixture *f, char id[64])
{
    struct fault fault = {0};
    json_t *stored = NULL;
    json_t *ask = json_pack("{s:s, s:s}", "handle", "ann", "title", "Ann");
    assert_int_equal(channel_create(f->db, ask, "ann", NOW - 100, &stored, &fault), 0);
    assert_int_equal(str_copy(member_str(stored, "id"), id, 64), 0);
    json_decref(ask);
    json_decref(stored);
}

static json_t *get(struct fixture *f, unsigned coll, const char *id)
{
    json_t *doc = NULL;
    assert_int_equal(db_get(f->db, coll, id, &doc), 0);
    return doc;
}

static void check_stars(struct fixture *f, const char *video, int count, int sum)
{
    json_t *doc = get(f, MODEL_VIDEOS, video);
    assert_int_equal(member_int(doc, "stars_count"), count);
    assert_int_equal(member_int(doc, "stars_sum"), sum);
    json_decref(doc);
}

static void rate(struct fixture *f, const char *video, const char *user, int stars)
{
    json_t *doc = NULL;
    assert_int_equal(score_put(f->db, video, user, stars, NOW, &doc), 0);
    json_decref(doc);
}

static void test_score(void **state)
{
    struct fixture *f = *state;
    json_t *doc = NULL;
    make_video(f, "film");
    rate(f, "film", "ann", 5);
    rate(f, "film", "bob", 2);
    check_stars(f, "film", 2, 7);
    rate(f, "film", "bob", 3);
    rate(f, "film", "bob", 3);
    check_stars(f, "film", 2, 8);
    assert_int_equal(score_get(f->db, "film", "bob", &doc), 0);
    assert_int_equal(member_int(doc, "stars"), 3);
    json_decref(doc);
    assert_int_equal(score_delete(f->db, "film", "ann", NOW), 0);
    assert_int_equal(score_delete(f->db, "film", "ann", NOW), -ENOENT);
    check_stars(f, "film", 1, 3);
    assert_int_equal(score_put(f->db, "none", "ann", 1, NOW, &doc), -ENOENT);
    assert_int_equal(score_get(f->db, "none", "ann", &doc), -ENOENT);
}

/* Whatever a stop leaves, the sweep makes the counts those of the scores. */
static void count_scores(struct fixture *f, const char *video, int *ret_count, int *ret_sum)
{
    const struct db_list list = {.limit = 100};
    json_t *docs = NULL;
    char *next = NULL;
    size_t i;
    json_t *doc;
    *ret_count = *ret_sum = 0;
    assert_int_equal(db_list(f->db, MODEL_SCORES, &list, &docs, &next), 0);
    assert_null(next);
    json_array_foreach(docs, i, doc)
    {
        if (strcmp(member_text(doc, "video"), video) == 0) {
            *ret_count += 1;
            *ret_sum += (int)member_int(doc, "stars");
        }
    }
    json_decref(docs);
}

static void sweep(struct fixture *f, int64_t now_ms, uint64_t expected)
{
    uint64_t count = 0;
    assert_int_equal(tally_sweep(f->db, now_ms, &count), 0);
    assert_int_equal(count, expected);
}

static void test_score_stopped(void **state)
{
    struct fixture *f = *state;
    bool hit = true;
    unsigned n = 0;
    make_video(f, "film");
    for (; hit; n++) {
        int count;
        int sum;
        json_t *doc = NULL;
        assert_true(n < STOPPED_MAX);
        rate(f, "film", "cat", 1 + (int)n % 5);
        stopped_after(f->db, (int)n);
        int r = score_put(f->db, "film", "ann", 1 + (int)(n + 1) % 5, NOW, &doc);
        json_decref(doc);
        doc = NULL;
        if (r == 0)
            r = score_delete(f->db, "film", "cat", NOW);
        if (r == 0)
            r = score_put(f->db, "film", "bob", 5, NOW, &doc);
        json_decref(doc);
        hit = stopped_again(f->db);
        assert_int_equal(r, hit ? -EIO : 0);
        sweep(f, NOW + TALLY_QUIET_MS - 1, 0); /* they may still be at it */
        sweep(f, LATER, 1);
        sweep(f, LATER, 0);
        count_scores(f, "film", &count, &sum);
        check_stars(f, "film", count, sum);
    }
    assert_true(n > 6); /* nine changes there are; each was the last one once */
}

static json_t *say(struct fixture *f, const char *user, const char *parent, const char *text,
                   int64_t now_ms)
{
    const struct comment_ask ask = {.video = "film", .parent = parent, .user = user, .text = text};
    json_t *doc = NULL;
    assert_int_equal(comment_add(f->db, &ask, now_ms, &doc), 0);
    return doc;
}

static json_t *list_comments(struct fixture *f, const char *comment)
{
    json_t *docs = NULL;
    char *next = NULL;
    assert_int_equal(comment_list(f->db, "film", comment, 100, NULL, &docs, &next), 0);
    assert_null(next);
    return docs;
}

static void test_comment(void **state)
{
    struct fixture *f = *state;
    make_video(f, "film");
    json_t *first = say(f, "ann", NULL, "First!", NOW);
    json_t *second = say(f, "bob", NULL, "Second", NOW + 1);
    json_t *reply = say(f, "bob", member_text(first, "id"), "So?", NOW + 2);
    json_t *reply2 = say(f, "ann", member_text(reply, "id"), "So!", NOW + 3);
    assert_string_equal(member_text(reply2, "thread"), member_text(reply, "thread"));
    assert_string_equal(member_text(reply2, "parent"), member_text(reply, "id"));

    json_t *list = list_comments(f, NULL);
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(member_text(json_array_get(list, 0), "text"), "Second");
    assert_int_equal(member_int(json_array_get(list, 1), "replies"), 2);
    json_decref(list);
    list = list_comments(f, member_text(first, "id"));
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(member_text(json_array_get(list, 0), "text"), "So?"); /* oldest first */
    json_decref(list);

    json_t *edited = NULL;
    assert_int_equal(comment_edit(f->db, second, "2nd", NOW + 4, &edited), 0);
    assert_int_equal(comment_edit(f->db, second, "3rd", NOW + 5, &edited), -ESTALE);
    json_decref(second);
    assert_int_equal(comment_delete(f->db, first, "ann", NOW + 6), 0);
    assert_int_equal(comment_delete(f->db, edited, "adm", NOW + 6), 0);
    assert_int_equal(comment_delete(f->db, edited, "adm", NOW + 6), -ESTALE);
    list = list_comments(f, NULL);
    assert_int_equal(json_array_size(list), 1); /* the one with replies keeps its place */
    json_t *view = comment_public(json_array_get(list, 0));
    assert_true(json_is_true(json_object_get(view, "deleted")));
    assert_true(json_is_null(json_object_get(view, "text")));
    assert_true(json_is_null(json_object_get(view, "user")));
    json_decref(view);
    json_decref(list);

    const struct comment_ask ask = {
        .video = "film", .parent = member_text(edited, "id"), .user = "x", .text = "late"};
    json_t *doc = NULL;
    assert_int_equal(comment_add(f->db, &ask, NOW, &doc), -ENOENT);
    doc = get(f, MODEL_VIDEOS, "film");
    assert_int_equal(member_int(doc, "comments"), 2);
    json_decref(doc);
    doc = NULL;
    assert_int_equal(comment_get(f->db, "other", member_text(reply, "id"), &doc), -ENOENT);
    json_decref(first);
    json_decref(edited);
    json_decref(reply);
    json_decref(reply2);
}

static void check_comments(struct fixture *f)
{
    const struct db_list all = {.limit = 1000};
    json_t *docs = NULL;
    char *next = NULL;
    size_t i;
    json_t *doc;
    int count = 0;
    assert_int_equal(db_list(f->db, MODEL_COMMENTS, &all, &docs, &next), 0);
    json_array_foreach(docs, i, doc)
    {
        char thread[COMMENT_THREAD_SIZE];
        int replies = 0;
        size_t k;
        json_t *other;
        comment_thread(thread, "film", member_text(doc, "id"));
        json_array_foreach(docs, k, other)
        {
            replies += !member_has(other, "deleted_ms") &&
                       strcmp(member_text(other, "thread"), thread) == 0;
        }
        assert_int_equal(member_int(doc, "replies"), replies);
        count += !member_has(doc, "deleted_ms");
    }
    json_decref(docs);
    doc = get(f, MODEL_VIDEOS, "film");
    assert_int_equal(member_int(doc, "comments"), count);
    json_decref(doc);
}

static void test_comment_stopped(void **state)
{
    struct fixture *f = *state;
    bool hit = true;
    unsigned n = 0;
    make_video(f, "film");
    json_t *top = say(f, "ann", NULL, "top", NOW);
    for (; hit; n++) {
        uint64_t count = 0;
        json_t *doc = NULL;
        assert_true(n < STOPPED_MAX);
        const struct comment_ask ask = {
            .video = "film", .parent = member_text(top, "id"), .user = "bob", .text = "re"};
        stopped_after(f->db, (int)n);
        int r = comment_add(f->db, &ask, NOW, &doc);
        if (r == 0)
            r = comment_delete(f->db, doc, "bob", NOW);
        hit = stopped_again(f->db);
        assert_int_equal(r, hit ? -EIO : 0);
        json_decref(doc);
        assert_int_equal(tally_sweep(f->db, LATER, &count), 0);
        check_comments(f);
    }
    assert_true(n > 9); /* ten changes there are */
    json_decref(top);
}

static void test_follow(void **state)
{
    struct fixture *f = *state;
    char channel[64];
    json_t *doc = NULL;
    bool is_new = false;
    bool hit = true;
    make_channel(f, channel);
    assert_int_equal(follow_put(f->db, channel, "bob", NOW, &doc, &is_new), 0);
    assert_true(is_new);
    json_decref(doc);
    assert_int_equal(follow_put(f->db, channel, "bob", NOW, &doc, &is_new), 0);
    assert_false(is_new);
    json_decref(doc);
    assert_int_equal(follow_put(f->db, "none", "bob", NOW, &doc, &is_new), -ENOENT);
    doc = get(f, MODEL_CHANNELS, channel);
    assert_int_equal(member_int(doc, "followers"), 1);
    json_decref(doc);
    for (unsigned n = 0; hit; n++) {
        uint64_t count = 0;
        uint64_t follows = 0;
        const struct db_list all = {.limit = 1};
        assert_true(n < STOPPED_MAX);
        doc = NULL;
        stopped_after(f->db, (int)n);
        int r = follow_put(f->db, channel, "cat", NOW, &doc, &is_new);
        if (r == 0)
            r = follow_delete(f->db, channel, "cat", NOW);
        hit = stopped_again(f->db);
        assert_int_equal(r, hit ? -EIO : 0);
        json_decref(doc);
        assert_int_equal(tally_sweep(f->db, LATER, &count), 0);
        assert_int_equal(db_count(f->db, MODEL_FOLLOWS, &all, &follows), 0);
        doc = get(f, MODEL_CHANNELS, channel);
        assert_int_equal(member_int(doc, "followers"), follows);
        json_decref(doc);
    }
}

static void test_favourite(void **state)
{
    struct fixture *f = *state;
    json_t *doc = NULL;
    json_t *docs = NULL;
    char *next = NULL;
    bool is_new = false;
    assert_int_equal(favourite_put(f->db, "p1", "ann", "film", NOW, &doc, &is_new), 0);
    assert_true(is_new);
    json_decref(doc);
    assert_int_equal(favourite_put(f->db, "p1", "ann", "film", NOW + 9, &doc, &is_new), 0);
    assert_false(is_new);
    assert_int_equal(member_int(doc, "created_ms"), NOW); /* it was one before */
    json_decref(doc);
    assert_int_equal(favourite_put(f->db, "p1", "ann", "film2", NOW + 1, &doc, &is_new), 0);
    json_decref(doc);
    assert_int_equal(favourite_put(f->db, "p2", "ann", "film", NOW, &doc, &is_new), 0);
    json_decref(doc);
    assert_int_equal(favourite_list(f->db, "p1", 10, NULL, &docs, &next), 0);
    assert_int_equal(json_array_size(docs), 2);
    assert_string_equal(member_text(json_array_get(docs, 0), "video"), "film2");
    json_decref(docs);
    assert_int_equal(favourite_delete(f->db, "p1", "film"), 0);
    assert_int_equal(favourite_delete(f->db, "p1", "film"), -ENOENT);
    assert_int_equal(favourite_get(f->db, "p2", "film", &doc), 0);
    json_decref(doc);
}

/* Names so long that two of them make no id. */
static void test_long(void **state)
{
    struct fixture *f = *state;
    char a[129];
    char b[129];
    json_t *doc = NULL;
    memset(a, 'a', 128);
    memset(b, 'a', 128);
    a[128] = b[128] = 0;
    b[127] = 'b';
    make_video(f, a);
    make_video(f, b);
    rate(f, a, "0123456789abcdef0123456789abcdef", 5);
    rate(f, b, "0123456789abcdef0123456789abcdef", 1);
    check_stars(f, a, 1, 5);
    check_stars(f, b, 1, 1);
    assert_int_equal(score_get(f->db, b, "0123456789abcdef0123456789abcdef", &doc), 0);
    assert_int_equal(member_int(doc, "stars"), 1);
    json_decref(doc);
    assert_int_equal(score_get(f->db, b, "0123456789abcdef0123456789abcdee", &doc), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_CASE(test_score),   FIXTURE_CASE(test_score_stopped),
        FIXTURE_CASE(test_comment), FIXTURE_CASE(test_comment_stopped),
        FIXTURE_CASE(test_follow),  FIXTURE_CASE(test_favourite),
        FIXTURE_CASE(test_long),
    };
    return cmocka_run_group_tests_name("catalog social", tests, NULL, NULL);
}
