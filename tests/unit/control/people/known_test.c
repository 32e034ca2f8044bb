/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/known.h"
#include <errno.h>
#include <stdio.h>
#include "../../unit.h"

static struct caller caller_of(const char *user, const char *session)
{
    struct caller c = {.kind = CALLER_USER, .rating_max = -1};
    assert_int_equal(str_copy(str_of(user), c.user, sizeof c.user), 0);
    assert_int_equal(str_copy(str_of(session), c.session, sizeof c.session), 0);
    return c;
}

static int find(struct known *k, const char *credential, int64_t now_ms, struct caller *ret)
{
    return known_find(k, str_of(credential), now_ms, KNOWN_FRESH_MS, ret);
}

static void test_life(void **state)
{
    (void)state;
    struct known *k = NULL;
    struct caller got = {0};
    struct caller c = caller_of("u1", "s1");
    assert_int_equal(known_new(&k), 0);
    assert_int_equal(find(k, "token", 0, &got), -ENOENT);
    c.scopes = json_pack("[s]", "playback");
    known_add(k, known_begin(k), STR("token"), 1000, &c);
    caller_clear(&c);
    assert_int_equal(find(k, "token", 999, &got), 0);
    assert_string_equal(got.user, "u1");
    assert_int_equal(json_array_size(got.scopes), 1);
    caller_clear(&got);
    assert_int_equal(find(k, "token", 1000, &got), -ENOENT); /* over */
    assert_int_equal(find(k, "tokem", 0, &got), -ENOENT);
    known_free(k);
}

static void test_forget(void **state)
{
    (void)state;
    struct known *k = NULL;
    struct caller got = {0};
    struct caller a = caller_of("u1", "s1");
    struct caller b = caller_of("u1", "s2");
    struct caller c = caller_of("u2", "s3");
    assert_int_equal(known_new(&k), 0);
    known_add(k, known_begin(k), STR("a"), INT64_MAX, &a);
    known_add(k, known_begin(k), STR("b"), INT64_MAX, &b);
    known_add(k, known_begin(k), STR("c"), INT64_MAX, &c);
    known_forget(k, "s1");
    assert_int_equal(find(k, "a", 0, &got), -ENOENT);
    assert_int_equal(find(k, "b", 0, &got), 0);
    known_forget(k, "u1");
    assert_int_equal(find(k, "b", 0, &got), -ENOENT);
    assert_int_equal(find(k, "c", 0, &got), 0);
    known_forget(k, NULL);
    assert_int_equal(find(k, "c", 0, &got), -ENOENT);
    /* Read before it was ended, added behind: it does not come back. */
    uint64_t begun = known_begin(k);
    known_forget(k, "s1");
    known_add(k, begun, STR("a"), INT64_MAX, &a);
    assert_int_equal(find(k, "a", 0, &got), -ENOENT);
    known_free(k);
}

/* More than there are slots: some are forgotten, none is mixed up. */
static void test_many(void **state)
{
    (void)state;
    struct known *k = NULL;
    unsigned found = 0;
    assert_int_equal(known_new(&k), 0);
    for (unsigned i = 0; i < 2 * KNOWN_SLOTS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%u", i);
        struct caller c = caller_of(name, name);
        known_add(k, known_begin(k), str_of(name), INT64_MAX, &c);
    }
    for (unsigned i = 0; i < 2 * KNOWN_SLOTS; i++) {
        struct caller got = {0};
        char name[16];
        (void)snprintf(name, sizeof name, "%u", i);
        if (find(k, name, 0, &got) == 0) {
            assert_string_equal(got.user, name);
            found++;
        }
    }
    assert_true(found <= KNOWN_SLOTS);
    known_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests_name("control people known", tests, NULL, NULL);
}
