/* SPDX-License-Identifier: Apache-2.0 */
#include "control/plans/broadcast.h"
#include <errno.h>
#include "../fixture.h"

#define NOW INT64_C(1700000000000)

static const char *text(const json_t *doc, const char *name)
{
    const char *value = json_string_value(json_object_get(doc, name));
    return value != NULL ? value : "";
}

/* The code of the refusal, or the state that the stream has then. */
static const char *tell(struct fixture *f, enum broadcast_event event, const char *key,
                        const char *encoder, int64_t now_ms)
{
    static char out[64];
    struct fault fault = {0};
    json_t *doc = NULL;
    int r = broadcast_tell(f->db, event, str_of(key), encoder, now_ms, &doc, &fault);
    if (r == -EPROTO)
        return fault.code;
    assert_int_equal(r, 0);
    assert_int_equal(str_copy(str_of(text(doc, "state")), out, sizeof out), 0);
    json_decref(doc);
    return out;
}

static void test_life(void **state)
{
    struct fixture *f = *state;
    struct fault fault = {0};
    char key[BROADCAST_KEY_SIZE], key2[BROADCAST_KEY_SIZE];
    json_t *doc = NULL;
    assert_int_equal(broadcast_start(f->db, "u1", "Talk", NULL, NOW, key, &doc, &fault), 0);
    assert_int_equal(strlen(key), BROADCAST_KEY_SIZE - 1);
    char *all = json_dumps(doc, 0);
    assert_null(strstr(all, key)); /* the database does not know it */
    free(all);
    char id[64];
    assert_int_equal(str_copy(str_of(text(doc, "id")), id, sizeof id), 0);
    assert_false(broadcast_is_live(doc, NOW));
    json_decref(doc);
    assert_string_equal(tell(f, BROADCAST_PUBLISH, "no key", "e1", NOW), "STREAM_KEY_WRONG");
    assert_string_equal(tell(f, BROADCAST_BEAT, key, "e1", NOW), "STREAM_BUSY"); /* none sends */
    assert_string_equal(tell(f, BROADCAST_PUBLISH, key, "e1", NOW), "live");
    assert_string_equal(tell(f, BROADCAST_PUBLISH, key, "e1", NOW), "live"); /* again: the same */
    assert_string_equal(tell(f, BROADCAST_PUBLISH, key, "e2", NOW), "STREAM_BUSY");
    assert_string_equal(tell(f, BROADCAST_UNPUBLISH, key, "e2", NOW), "live"); /* not its own */
    assert_int_equal(broadcast_get(f->db, id, &doc), 0);
    assert_true(broadcast_is_live(doc, NOW));
    json_decref(doc);
    assert_int_equal(broadcast_rekey(f->db, id, key2, &doc, &fault), 0);
    json_decref(doc);
    assert_string_equal(tell(f, BROADCAST_PUBLISH, key, "e1", NOW), "STREAM_KEY_WRONG");
    assert_string_equal(tell(f, BROADCAST_BEAT, key2, "e1", NOW + 1000), "live");
    assert_string_equal(tell(f, BROADCAST_UNPUBLISH, key2, "e1", NOW + 2000), "ready");
    assert_string_equal(tell(f, BROADCAST_PUBLISH, key2, "e3", NOW + 3000), "live");
    assert_int_equal(broadcast_stop(f->db, id, NOW + 4000, &doc), 0);
    assert_string_equal(text(doc, "state"), "ended");
    json_decref(doc);
    assert_int_equal(broadcast_stop(f->db, id, NOW + 9000, &doc), 0);
    assert_int_equal(json_integer_value(json_object_get(doc, "ended_ms")), NOW + 4000);
    json_decref(doc);
    assert_string_equal(tell(f, BROADCAST_BEAT, key2, "e3", NOW + 5000), "STREAM_ENDED");
    assert_string_equal(tell(f, BROADCAST_PUBLISH, key2, "e3", NOW + 5000), "STREAM_ENDED");
    assert_int_equal(broadcast_rekey(f->db, id, key, &doc, &fault), -EPROTO);
    assert_int_equal(broadcast_stop(f->db, "none", NOW, &doc), -ENOENT);
}

/* An encoder that is heard of no more gives way, and what it sent is on air no more. */
static void test_lost(void **state)
{
    struct fixture *f = *state;
    struct fault fault = {0};
    char key[BROADCAST_KEY_SIZE];
    json_t *doc = NULL;
    assert_int_equal(broadcast_start(f->db, "u1", "Talk", "basic", NOW, key, &doc, &fault), 0);
    json_t *title = broadcast_title(doc);
    assert_string_equal(text(title, "tier"), "basic");
    assert_string_equal(text(title, "owner"), "u1");
    assert_string_equal(text(title, "id"), text(doc, "asset"));
    json_decref(title);
    json_decref(doc);
    assert_string_equal(tell(f, BROADCAST_PUBLISH, key, "e1", NOW), "live");
    assert_string_equal(tell(f, BROADCAST_PUBLISH, key, "e2", NOW + BROADCAST_LOST_MS - 1),
                        "STREAM_BUSY");
    assert_string_equal(tell(f, BROADCAST_PUBLISH, key, "e2", NOW + BROADCAST_LOST_MS), "live");
    assert_string_equal(tell(f, BROADCAST_BEAT, key, "e1", NOW + BROADCAST_LOST_MS), "STREAM_BUSY");
    struct str k = str_of(key);
    assert_int_equal(
        broadcast_tell(f->db, BROADCAST_BEAT, k, "e2", NOW + BROADCAST_LOST_MS, &doc, &fault), 0);
    assert_true(broadcast_is_live(doc, NOW + 2 * BROADCAST_LOST_MS - 1));
    assert_false(broadcast_is_live(doc, NOW + 2 * BROADCAST_LOST_MS));
    json_t *shown = broadcast_public(doc, NOW + 2 * BROADCAST_LOST_MS);
    assert_string_equal(text(shown, "state"), "ready");
    assert_true(json_is_null(json_object_get(shown, "live_since")));
    assert_null(json_object_get(shown, "key"));
    json_decref(shown);
    json_decref(doc);
}

static void test_count(void **state)
{
    struct fixture *f = *state;
    struct fault fault = {0};
    char key[BROADCAST_KEY_SIZE];
    char *next = NULL;
    json_t *doc = NULL;
    json_t *docs = NULL;
    for (unsigned i = 0; i < BROADCASTS_MAX; i++) {
        assert_int_equal(broadcast_start(f->db, "u1", "Talk", NULL, NOW + i, key, &doc, &fault), 0);
        if (i + 1 < BROADCASTS_MAX)
            json_decref(doc);
    }
    json_t *last = doc;
    assert_int_equal(broadcast_start(f->db, "u1", "Talk", NULL, NOW, key, &doc, &fault), -EPROTO);
    assert_string_equal(fault.code, "STREAMS_FULL");
    assert_int_equal(broadcast_stop(f->db, text(last, "id"), NOW, &doc), 0);
    json_decref(doc);
    assert_int_equal(broadcast_start(f->db, "u1", "Talk", NULL, NOW, key, &doc, &fault), 0);
    json_decref(doc);
    assert_int_equal(broadcast_list(f->db, "u1", 10, NULL, &docs, &next), 0);
    assert_int_equal(json_array_size(docs), 10);
    assert_string_equal(text(json_array_get(docs, 0), "id"), text(last, "id")); /* newest first */
    assert_non_null(next);
    free(next);
    json_decref(docs);
    assert_int_equal(broadcast_list(f->db, "u2", 10, NULL, &docs, &next), 0);
    assert_int_equal(json_array_size(docs), 0);
    json_decref(docs);
    json_decref(last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_CASE(test_life),
        FIXTURE_CASE(test_lost),
        FIXTURE_CASE(test_count),
    };
    return cmocka_run_group_tests_name("control broadcast", tests, NULL, NULL);
}
