/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/api_keys.h"
#include <errno.h>
#include "../fixture.h"

#define T0 INT64_C(1700000000000)

static int make(struct fixture *f, const char *user, enum role role, const char *scopes,
                int64_t expires_ms, char key[API_KEY_SIZE], json_t **ret, struct fault *fault)
{
    json_t *list = json_loads(scopes, 0, NULL);
    const struct api_key_new fresh = {user, role, "backup", list, expires_ms};
    *fault = (struct fault){0};
    int r = api_key_make(f->db, &fresh, T0, key, ret, fault);
    json_decref(list);
    return r;
}

static void test_life(void **state)
{
    struct fixture *f = *state;
    struct fault fault;
    char key[API_KEY_SIZE];
    char bad[API_KEY_SIZE];
    json_t *doc = NULL;
    assert_int_equal(make(f, "u1", ROLE_FREE, "[\"playback\"]", T0 + 1000, key, &doc, &fault), 0);
    assert_true(api_key_is(str_of(key)));
    char *stored = json_dumps(doc, 0);
    const char *secret = key + strlen(API_KEY_PREFIX) + API_KEY_ID_SIZE; /* may itself hold "_" */
    assert_null(strstr(stored, secret));
    free(stored);
    json_t *shown = api_key_public(doc);
    assert_null(json_object_get(shown, "secret"));
    assert_true(json_is_null(json_object_get(shown, "used")));
    json_decref(shown);
    char id[API_KEY_ID_SIZE];
    assert_int_equal(str_copy(str_of(json_string_value(json_object_get(doc, "id"))), id, sizeof id),
                     0);
    json_decref(doc);
    assert_int_equal(api_key_find(f->db, str_of(key), T0 + 999, &doc), 0);
    assert_string_equal(json_string_value(json_object_get(doc, "user")), "u1");
    json_decref(doc);
    doc = NULL;
    assert_int_equal(api_key_find(f->db, str_of(key), T0 + 1000, &doc), -ENOENT);
    for (size_t i = 0; i < sizeof key - 1; i++) { /* any other character anywhere */
        memcpy(bad, key, sizeof bad);
        bad[i] = bad[i] == '0' ? '1' : '0';
        assert_int_equal(api_key_find(f->db, str_of(bad), T0, &doc), -ENOENT);
    }
    assert_int_equal(api_key_end(f->db, "u2", id), -ENOENT);
    assert_int_equal(api_keys_list(f->db, "u1", &doc), 0);
    assert_true(json_is_integer(json_object_get(json_array_get(doc, 0), "used_ms")));
    json_decref(doc);
    doc = NULL;
    assert_int_equal(api_key_end(f->db, "u1", id), 0);
    assert_int_equal(api_key_find(f->db, str_of(key), T0, &doc), -ENOENT);
    assert_null(doc);
}

static void test_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        enum role role;
        const char *scopes;
    } rows[] = {{ROLE_FREE, "[]"},
                {ROLE_FREE, "[\"upload\"]"},
                {ROLE_CREATOR, "[\"upload\", \"admin\"]"},
                {ROLE_ADMIN, "[\"everything\"]"},
                {ROLE_ADMIN, "[1]"}};
    struct fault fault;
    char key[API_KEY_SIZE];
    json_t *doc = NULL;
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(make(f, "u1", rows[i].role, rows[i].scopes, 0, key, &doc, &fault),
                         -EPROTO);
        assert_string_equal(fault.code, "SCOPE_INVALID");
    }
    for (unsigned i = 0; i < API_KEYS_MAX; i++) {
        assert_int_equal(make(f, "u1", ROLE_FREE, "[\"playback\"]", 0, key, &doc, &fault), 0);
        json_decref(doc);
        doc = NULL;
    }
    assert_int_equal(make(f, "u1", ROLE_FREE, "[\"playback\"]", 0, key, &doc, &fault), -EPROTO);
    assert_string_equal(fault.code, "TOO_MANY_KEYS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {FIXTURE_CASE(test_life), FIXTURE_CASE(test_refused)};
    return cmocka_run_group_tests_name("control people api_keys", tests, NULL, NULL);
}
