/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/otp.h"
#include <errno.h>
#include <liboath/oath.h>
#include "base/enc.h"
#include "control/people/accounts.h"
#include "control/people/attempts.h"
#include "../fixture.h"

#define T0 INT64_C(1700000000000)

static json_t *user_of(struct fixture *f)
{
    struct fault fault = {0};
    json_t *user = NULL;
    int r = account_find(f->db, "a@x.org", &user);
    if (r == -ENOENT)
        r = account_make(f->db, STR("a@x.org"), STR("password1"), T0, &user, &fault);
    assert_int_equal(r, 0);
    return user;
}

static void code_at(const char *base32, int64_t now_ms, char out[7])
{
    char *secret = NULL;
    size_t size = 0;
    assert_int_equal(oath_base32_decode(base32, strlen(base32), &secret, &size), OATH_OK);
    assert_int_equal(size, OTP_SECRET_SIZE);
    assert_int_equal(oath_totp_generate(secret, size, (time_t)(now_ms / 1000), 30, 0, 6, out),
                     OATH_OK);
    free(secret);
}

static int check(struct fixture *f, const char *code, int64_t now_ms)
{
    struct fault fault = {0};
    unsigned wait_s = 0;
    json_t *user = user_of(f);
    int r = otp_check(f->db, user, code, now_ms, &fault, &wait_s);
    json_decref(user);
    if (r == -EPROTO)
        return -(int)fault.status;
    return r;
}

/* Turned on at T0; the secret goes to out, the recovery codes are answered. */
static json_t *turn_on(struct fixture *f, struct buf *secret)
{
    CLEAN_BUF struct buf uri = BUF_EMPTY;
    struct fault fault = {0};
    json_t *codes = NULL;
    char code[7];
    unsigned wait_s;
    json_t *user = user_of(f);
    assert_int_equal(otp_enrol(f->db, user, "Weir", secret, &uri, &fault), 0);
    assert_int_equal(strncmp(uri.data, "otpauth://totp/Weir:a%40x.org?secret=", 37), 0);
    assert_non_null(strstr(uri.data, secret->data));
    json_decref(user);
    user = user_of(f);
    assert_false(otp_is_on(user)); /* not before a code has shown that the device has it */
    assert_int_equal(otp_confirm(f->db, user, "000000x", T0, &codes, &fault, &wait_s), -EPROTO);
    code_at(secret->data, T0, code);
    assert_int_equal(otp_confirm(f->db, user, code, T0, &codes, &fault, &wait_s), 0);
    json_decref(user);
    assert_int_equal(json_array_size(codes), OTP_RECOVERY_CODES);
    return codes;
}

/* RFC 6238 appendix B, through the functions that we use. */
static void test_vectors(void **state)
{
    (void)state;
    static const struct {
        time_t when;
        const char *code;
    } rows[] = {{59, "94287082"},
                {1111111109, "07081804"},
                {1234567890, "89005924"},
                {2000000000, "69279037"},
                {20000000000, "65353130"}};
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        char made[9];
        assert_int_equal(
            oath_totp_generate("12345678901234567890", 20, rows[i].when, 30, 0, 8, made), OATH_OK);
        assert_string_equal(made, rows[i].code);
    }
}

static void test_codes(void **state)
{
    struct fixture *f = *state;
    CLEAN_BUF struct buf secret = BUF_EMPTY;
    char code[7];
    json_t *codes = turn_on(f, &secret);
    json_decref(codes);
    /* The one that turned it on is used. */
    code_at(secret.data, T0, code);
    assert_int_equal(check(f, code, T0), -403);
    code_at(secret.data, T0 + 30000, code);
    assert_int_equal(check(f, code, T0), 0); /* a device whose clock is ahead */
    assert_int_equal(check(f, code, T0 + 30000), -403);
    code_at(secret.data, T0 + 60000, code);
    assert_int_equal(check(f, code, T0 + 60000), 0);
    /* Older than one that was used, though within the window. */
    code_at(secret.data, T0 + 90000, code);
    char later[7];
    code_at(secret.data, T0 + 120000, later);
    assert_int_equal(check(f, later, T0 + 105000), 0);
    assert_int_equal(check(f, code, T0 + 105000), -403);
    code_at(secret.data, T0 + 300000, code);
    assert_int_equal(check(f, code, T0 + 300000 - 60000), -403); /* too early */
    assert_int_equal(check(f, code, T0 + 300000 + 60000), -403); /* too late */
}

static void test_recovery(void **state)
{
    struct fixture *f = *state;
    CLEAN_BUF struct buf secret = BUF_EMPTY;
    json_t *codes = turn_on(f, &secret);
    const char *first = json_string_value(json_array_get(codes, 0));
    json_t *user = user_of(f);
    char *stored = json_dumps(user, 0);
    assert_null(strstr(stored, first));
    free(stored);
    json_decref(user);
    char typed[40];
    (void)snprintf(typed, sizeof typed, "%.4s %.4s %.4s-%.4s", first, first + 5, first + 10,
                   first + 15);
    for (char *at = typed; *at != 0; at++)
        if (*at >= 'a' && *at <= 'z')
            *at = (char)(*at - 'a' + 'A');
    assert_int_equal(check(f, typed, T0), 0);
    assert_int_equal(check(f, first, T0), -403); /* once */
    assert_int_equal(check(f, json_string_value(json_array_get(codes, 1)), T0), 0);
    json_t *fresh = NULL;
    user = user_of(f);
    assert_int_equal(otp_renew_codes(f->db, json_string_value(json_object_get(user, "id")), &fresh),
                     0);
    assert_int_equal(check(f, json_string_value(json_array_get(codes, 2)), T0), -403);
    assert_int_equal(check(f, json_string_value(json_array_get(fresh, 9)), T0), 0);
    assert_int_equal(otp_disable(f->db, json_string_value(json_object_get(user, "id"))), 0);
    json_decref(user);
    user = user_of(f);
    assert_false(otp_is_on(user));
    json_decref(user);
    json_decref(codes);
    json_decref(fresh);
}

static void test_guessing(void **state)
{
    struct fixture *f = *state;
    CLEAN_BUF struct buf secret = BUF_EMPTY;
    char code[7];
    json_decref(turn_on(f, &secret));
    code_at(secret.data, T0 + 30000, code);
    code[0] = code[0] == '9' ? '0' : (char)(code[0] + 1); /* wrong unless by a rare chance */
    static const char *const odd[] = {"", "12345", "1234567", "abcdef", "{\"$gt\":\"\"}"};
    for (unsigned i = 0; i < ARRAY_LEN(odd); i++)
        assert_int_equal(check(f, odd[i], T0 + 30000), -403);
    assert_int_equal(check(f, code, T0 + 30000), -429);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        FIXTURE_CASE(test_codes),
        FIXTURE_CASE(test_recovery),
        FIXTURE_CASE(test_guessing),
    };
    return cmocka_run_group_tests_name("control people otp", tests, NULL, NULL);
}
