/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of keys that are no good: Wycheproof's vectors for JSON Web Keys. Public keys go to jwks,
 * the secrets of groups that have nothing else to the ring of URI tokens. Wycheproof's other
 * vectors of this family (json_web_encryption, json_web_crypto, x25519_jwk, x448_jwk) are of
 * encryption and key agreement, which nothing here speaks. */
#include <errno.h>
#include <stdlib.h>
#include "base/file.h"
#include "token/jwks.h"
#include "token/token_priv.h"
#include "../unit.h"

static const char *vectors_file;

/* What a set of secrets says of a token; one that is refused as a whole refuses all. */
static int ask_ring(const json_t *secrets, const char *jws)
{
    char folder[] = "/tmp/weir-jwks-XXXXXX";
    char path[sizeof folder + 16];
    CLEAN_BUF struct buf payload = BUF_EMPTY;
    struct token_ring *ring = NULL;
    const struct token_key *key = NULL;
    struct err err = {""};
    char *text = json_dumps(secrets, 0);
    assert_non_null(text);
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/ring.json", folder);
    assert_int_equal(file_write(path, str_of(text), 0600), 0);
    free(text);
    int r = token_ring_load(path, &ring, &err);
    if (r < 0)
        assert_true(err.text[0] != '\0'); /* an operator is told why */
    else
        r = token__jws_verify(ring, str_of(jws), &payload, &key);
    token_ring_free(ring);
    assert_int_equal(file_remove_all(folder), 0);
    return r;
}

static int ask_set(const json_t *public, const char *jws)
{
    CLEAN_BUF struct buf payload = BUF_EMPTY;
    struct jwks *set = NULL;
    struct err err = {""};
    int r = jwks_of(public, &set, &err);
    if (r == 0)
        r = jwks_verify(set, str_of(jws), &payload);
    jwks_free(set);
    return r;
}

/* 14 and 15 are good, but by HS384 and HS512, which we do not speak. */
static bool is_valid(const json_t *test)
{
    json_int_t id = json_integer_value(json_array_get(test, 0));
    return json_is_true(json_array_get(test, 1)) && id != 14 && id != 15;
}

static void test_wycheproof(void **state)
{
    (void)state;
    json_error_t error;
    size_t i;
    size_t k;
    json_t *group;
    json_t *test;
    unsigned asked = 0;
    unsigned taken = 0;
    json_t *root = json_load_file(vectors_file, 0, &error);
    if (root == NULL)
        fail_msg("%s: %s", vectors_file, error.text);
    json_array_foreach(json_object_get(root, "groups"), i, group)
    {
        const json_t *public = json_object_get(group, "public");
        json_array_foreach(json_object_get(group, "tests"), k, test)
        {
            const char *jws = json_string_value(json_array_get(test, 3));
            int r = json_is_null(public) ? ask_ring(json_object_get(group, "private"), jws)
                                         : ask_set(public, jws);
            if ((r == 0) != is_valid(test))
                fail_msg("vector %d, %s: %d", (int)json_integer_value(json_array_get(test, 0)),
                         json_string_value(json_object_get(group, "comment")), r);
            asked++;
            taken += r == 0;
        }
    }
    json_decref(root);
    assert_int_equal(asked, 26);
    assert_int_equal(taken, 3);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    vectors_file = argv[1];
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_wycheproof)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
