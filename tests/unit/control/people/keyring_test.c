/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/keyring.h"
#include <errno.h>
#include <sys/stat.h>
#include "base/enc.h"
#include "control/people/access.h"
#include "token/jwks.h"
#include "../fixture.h"

#define T0 INT64_C(1700000000000)
#define S0 (T0 / 1000)

static struct keyring *open_at(struct fixture *f, const char *name, int64_t now_ms)
{
    char path[128];
    struct err err = {""};
    struct keyring *k = NULL;
    (void)snprintf(path, sizeof path, "%s/%s", f->folder, name);
    if (keyring_open(f->db, path, now_ms, &err, &k) < 0)
        fail_msg("%s", err.text);
    return k;
}

static void sign(struct keyring *k, const char *issuer, struct buf *out)
{
    const struct access access = {"user1", "login1", S0 + KEYRING_TOKEN_LIFE_S};
    assert_int_equal(access_sign(k, issuer, &access, "free", out), 0);
}

static int verify(struct keyring *k, const char *token, int64_t now_s)
{
    struct access access;
    int r = access_verify(k, "weir", str_of(token), now_s, &access);
    if (r == 0) {
        assert_string_equal(access.user, "user1");
        assert_string_equal(access.login, "login1");
    }
    return r;
}

static void test_file(void **state)
{
    struct fixture *f = *state;
    char path[128];
    char kid[JWK_KID_SIZE];
    char again[JWK_KID_SIZE];
    struct stat st;
    struct err err = {""};
    struct keyring *k = open_at(f, "key", T0);
    (void)snprintf(path, sizeof path, "%s/key", f->folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    keyring_kid(k, kid, sizeof kid);
    keyring_close(k);
    k = open_at(f, "key", T0 + 1000);
    keyring_kid(k, again, sizeof again);
    assert_string_equal(kid, again);
    k = keyring_close(k);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(keyring_open(f->db, path, T0, &err, &k), -EPERM);
    assert_non_null(strstr(err.text, "chmod 600"));
    assert_int_equal(file_write(path, STR("nonsense"), 0600), 0);
    assert_int_equal(keyring_open(f->db, path, T0, &err, &k), -EINVAL);
    assert_null(k);
}

static void test_claims(void **state)
{
    struct fixture *f = *state;
    CLEAN_BUF struct buf token = BUF_EMPTY;
    CLEAN_BUF struct buf other = BUF_EMPTY;
    CLEAN_BUF struct buf odd = BUF_EMPTY;
    struct keyring *k = open_at(f, "key", T0);
    sign(k, "weir", &token);
    assert_int_equal(verify(k, token.data, S0), 0);
    assert_int_equal(verify(k, token.data, S0 + KEYRING_TOKEN_LIFE_S - 1), 0);
    assert_int_equal(verify(k, token.data, S0 + KEYRING_TOKEN_LIFE_S), -ETIME);
    assert_int_equal(verify(k, token.data, S0 - 61), -EAGAIN);
    sign(k, "somebody", &other);
    assert_int_equal(verify(k, other.data, S0), -EBADMSG);
    static const char *const payloads[] = {
        "",
        "[]",
        "{}",
        "null",
        "{\"sub\":{\"$gt\":\"\"}}",
        "{\"iss\":\"weir\",\"aud\":\"other\",\"sub\":\"u\",\"sid\":\"s\",\"iat\":1,\"exp\":"
        "9999999999}",
        "{\"iss\":\"weir\",\"aud\":\"weir-api\",\"sub\":\"u\",\"iat\":1,\"exp\":9999999999}",
        "{\"iss\":\"weir\",\"aud\":\"weir-api\",\"sub\":\"\",\"sid\":\"s\",\"iat\":1,\"exp\":"
        "9999999999}",
        "{\"iss\":\"weir\",\"aud\":\"weir-api\",\"sub\":\"u\",\"sid\":\"s\",\"iat\":1,\"exp\":"
        "\"9\"}",
        "{\"iss\":\"weir\",\"aud\":\"weir-api\",\"sub\":\"u\",\"sid\":\"s\",\"iat\":1}",
        "{\"iss\":\"weir\",\"aud\":\"weir-api\",\"sub\":\"u\",\"sub\":\"v\",\"sid\":\"s\",\"iat\":"
        "1,"
        "\"exp\":9999999999}",
    };
    for (unsigned i = 0; i < ARRAY_LEN(payloads); i++) {
        buf_clear(&odd);
        assert_int_equal(keyring_sign(k, str_of(payloads[i]), &odd), 0);
        assert_int_equal(verify(k, odd.data, S0), -EBADMSG);
    }
    keyring_close(k);
}

/* The old key verifies until its last token is over, and no longer. */
static void test_rotate(void **state)
{
    struct fixture *f = *state;
    CLEAN_BUF struct buf old = BUF_EMPTY;
    CLEAN_BUF struct buf fresh = BUF_EMPTY;
    char before[JWK_KID_SIZE];
    char behind[JWK_KID_SIZE];
    struct err err = {""};
    uint64_t gone = 0;
    struct keyring *k = open_at(f, "key", T0);
    sign(k, "weir", &old);
    keyring_kid(k, before, sizeof before);
    assert_int_equal(keyring_rotate(k, T0, &err), 0);
    keyring_kid(k, behind, sizeof behind);
    assert_string_not_equal(before, behind);
    sign(k, "weir", &fresh);
    assert_int_equal(verify(k, old.data, S0), 0);
    assert_int_equal(verify(k, fresh.data, S0), 0);
    json_t *set = keyring_public(k);
    assert_int_equal(json_array_size(json_object_get(set, "keys")), 2);
    char *text = json_dumps(set, 0);
    assert_null(strstr(text, "\"d\"")); /* nothing private */
    free(text);
    json_decref(set);
    const int64_t later = T0 + INT64_C(1000) * KEYRING_TOKEN_LIFE_S - 1;
    assert_int_equal(keyring_reload(k, later), 0);
    assert_int_equal(verify(k, old.data, later / 1000), 0);
    assert_int_equal(keyring_reload(k, T0 + INT64_C(3600) * 1000), 0);
    assert_int_equal(verify(k, old.data, S0), -ENOKEY);
    assert_int_equal(verify(k, fresh.data, S0), 0);
    assert_int_equal(keyring_purge(f->db, T0 + INT64_C(3600) * 1000, &gone), 0);
    assert_int_equal(gone, 1);
    keyring_close(k);
    /* It is the new one that the file has. */
    k = open_at(f, "key", T0);
    keyring_kid(k, before, sizeof before);
    assert_string_equal(before, behind);
    keyring_close(k);
}

/* Two controls with one database, each with a key of its own. */
static void test_two(void **state)
{
    struct fixture *f = *state;
    CLEAN_BUF struct buf of_b = BUF_EMPTY;
    struct err err = {""};
    struct keyring *a = open_at(f, "key-a", T0);
    struct keyring *b = open_at(f, "key-b", T0);
    sign(b, "weir", &of_b);
    assert_int_equal(verify(a, of_b.data, S0), -ENOKEY); /* not read yet */
    assert_int_equal(keyring_reload(a, T0), 0);
    assert_int_equal(verify(a, of_b.data, S0), 0);
    buf_clear(&of_b);
    assert_int_equal(keyring_rotate(b, T0, &err), 0);
    sign(b, "weir", &of_b);
    assert_int_equal(verify(a, of_b.data, S0), -ENOKEY);
    assert_int_equal(keyring_reload(a, T0), 0);
    assert_int_equal(verify(a, of_b.data, S0), 0);
    /* A day on, a's own is published anew; b's, which is gone, ends by itself. */
    keyring_close(b);
    const int64_t days = INT64_C(24) * 3600 * 1000;
    assert_int_equal(keyring_reload(a, T0 + days + 1), 0);
    assert_int_equal(keyring_reload(a, T0 + 2 * days + 1), 0);
    json_t *set = keyring_public(a);
    assert_int_equal(json_array_size(json_object_get(set, "keys")), 1);
    json_decref(set);
    keyring_close(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_CASE(test_file),
        FIXTURE_CASE(test_claims),
        FIXTURE_CASE(test_rotate),
        FIXTURE_CASE(test_two),
    };
    return cmocka_run_group_tests_name("control people keyring", tests, NULL, NULL);
}
