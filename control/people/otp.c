/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/otp.h"
#include <errno.h>
#include <liboath/oath.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include "base/enc.h"
#include "base/id.h"
#include "control/model.h"
#include "control/people/attempts.h"
#include "control/session.h"

#define OTP_DIGITS    6
#define OTP_WINDOW    1  /* steps before and behind ours that are taken: clocks that disagree */
#define OTP_CODE_SIZE 20 /* "abcd-efgh-ijkl-mnop" and a zero */
#define OTP_HEX_SIZE  (2 * OTP_SECRET_SIZE + 1)

static const char *otp_text(const json_t *user, const char *name)
{
    return json_string_value(json_object_get(user, name));
}

bool otp_is_on(const json_t *user)
{
    return otp_text(user, "otp_secret") != NULL;
}

static int otp_change(struct db *db, const char *id, json_t *where, json_t *set)
{
    const struct db_update update = {.where = where, .set = set};
    int r = set == NULL ? -ENOMEM : db_update(db, MODEL_USERS, id, &update, NULL);
    json_decref(where);
    json_decref(set);
    return r;
}

static int otp_wrong(struct fault *fault)
{
    return fault_set(fault, 403, "OTP_WRONG", "the code is wrong, or was used");
}

/* --- codes of the device ---------------------------------------------------------------------- */

static int otp_secret(const char *hex, uint8_t out[OTP_SECRET_SIZE])
{
    struct str text = str_of(hex);
    if (text.size != OTP_HEX_SIZE - 1)
        return -EBADMSG;
    return enc_unhex(text, out, OTP_SECRET_SIZE) < 0 ? -EBADMSG : 0;
}

/* The step that the code is for; -EKEYREJECTED: none of those around now. */
static int otp_step_of(const char *hex, const char *code, int64_t now_ms, int64_t *ret_step)
{
    uint8_t secret[OTP_SECRET_SIZE];
    char made[OTP_DIGITS + 1];
    int64_t now = now_ms / 1000 / OTP_STEP_S;
    int r = otp_secret(hex, secret);
    if (r < 0)
        return r;
    r = strlen(code) == OTP_DIGITS ? -EKEYREJECTED : -EINVAL;
    for (int64_t step = now - OTP_WINDOW; step <= now + OTP_WINDOW && r != -EINVAL; step++) {
        if (oath_totp_generate((const char *)secret, sizeof secret, (time_t)(step * OTP_STEP_S),
                               OTP_STEP_S, OATH_TOTP_DEFAULT_START_TIME, OTP_DIGITS,
                               made) != OATH_OK) {
            r = -EINVAL;
        } else if (CRYPTO_memcmp(made, code, OTP_DIGITS) == 0) {
            *ret_step = step;
            r = 0;
        }
    }
    OPENSSL_cleanse(secret, sizeof secret);
    OPENSSL_cleanse(made, sizeof made);
    return r == -EINVAL ? -EKEYREJECTED : r;
}

/* A step later than the last one used, and nobody was quicker. */
static int otp_use_step(struct db *db, const json_t *user, int64_t step)
{
    json_t *where = json_pack("{s:s, s:{s:I}}", "otp_secret", otp_text(user, "otp_secret"),
                              "otp_step", "max", (json_int_t)(step - 1));
    if (where == NULL)
        return -ENOMEM;
    int r = otp_change(db, otp_text(user, "id"), where,
                       json_pack("{s:I}", "otp_step", (json_int_t)step));
    return r == -ESTALE ? -EKEYREJECTED : r;
}

/* --- recovery codes --------------------------------------------------------------------------- */

/* As people type them: capitals, blanks and dashes do not count. */
static void otp_code_digest(const char *code, char out[SESSION_DIGEST_SIZE])
{
    char plain[OTP_CODE_SIZE] = "";
    size_t n = 0;
    for (const char *at = code; *at != 0 && n < sizeof plain - 1; at++) {
        char c = *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at;
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            plain[n++] = c;
    }
    session_digest((struct str){plain, n}, out);
    OPENSSL_cleanse(plain, sizeof plain);
}

/* 80 random bits: no guess over the network finds one, and none from its digest. */
static void otp_code_make(char out[OTP_CODE_SIZE])
{
    static const char alphabet[] = "abcdefghijkmnpqrstuvwxyz23456789"; /* 32 that look different */
    uint8_t random[16];
    id_random(random, sizeof random);
    char *at = out;
    for (unsigned i = 0; i < sizeof random; i++) {
        if (i > 0 && i % 4 == 0)
            *at++ = '-';
        *at++ = alphabet[random[i] & 31];
    }
    *at = 0;
}

/* The codes for the person, and their digests for the database. */
static int otp_make_codes(json_t **ret_codes, json_t **ret_digests)
{
    json_t *codes = json_array();
    json_t *digests = json_array();
    int r = 0;
    for (unsigned i = 0; i < OTP_RECOVERY_CODES && r == 0; i++) {
        char code[OTP_CODE_SIZE];
        char digest[SESSION_DIGEST_SIZE];
        otp_code_make(code);
        otp_code_digest(code, digest);
        if (json_array_append_new(codes, json_string(code)) < 0 ||
            json_array_append_new(digests, json_string(digest)) < 0)
            r = -ENOMEM;
        OPENSSL_cleanse(code, sizeof code);
    }
    if (r < 0) {
        json_decref(codes);
        json_decref(digests);
        return r;
    }
    *ret_codes = codes;
    *ret_digests = digests;
    return 0;
}

static int otp_use_code(struct db *db, const json_t *user, const char *code)
{
    char digest[SESSION_DIGEST_SIZE];
    otp_code_digest(code, digest);
    json_t *where = json_pack("{s:s}", "otp_codes", digest); /* the list has it */
    json_t *pull = json_pack("{s:s}", "otp_codes", digest);
    const struct db_update update = {.where = where, .pull = pull};
    int r = where == NULL || pull == NULL
                ? -ENOMEM
                : db_update(db, MODEL_USERS, otp_text(user, "id"), &update, NULL);
    json_decref(where);
    json_decref(pull);
    return r == -ESTALE ? -EKEYREJECTED : r;
}

int otp_renew_codes(struct db *db, const char *user_id, json_t **ret_codes)
{
    json_t *codes = NULL;
    json_t *digests = NULL;
    int r = otp_make_codes(&codes, &digests);
    if (r == 0)
        r = otp_change(db, user_id, NULL, json_pack("{s:o}", "otp_codes", digests));
    if (r < 0)
        json_decref(codes);
    else
        *ret_codes = codes;
    return r;
}

/* --- on and off ------------------------------------------------------------------------------- */

static int otp_write_uri(const char *issuer, const char *email, struct str secret, struct buf *out)
{
    buf_puts(out, "otpauth://totp/");
    enc_percent(str_of(issuer), out);
    buf_putc(out, ':');
    enc_percent(str_of(email), out);
    buf_printf(out, "?secret=" STR_FMT "&issuer=", STR_ARG(secret));
    enc_percent(str_of(issuer), out);
    return buf_error(out);
}

int otp_enrol(struct db *db, const json_t *user, const char *issuer, struct buf *ret_secret,
              struct buf *ret_uri, struct fault *fault)
{
    uint8_t secret[OTP_SECRET_SIZE];
    char hex[OTP_HEX_SIZE];
    char *base32 = NULL;
    size_t size = 0;
    if (otp_is_on(user))
        return fault_set(fault, 409, "OTP_ON", "the second factor is on already");
    id_random(secret, sizeof secret);
    enc_hex(secret, sizeof secret, hex);
    int r = otp_change(db, otp_text(user, "id"), NULL, json_pack("{s:s}", "otp_pending", hex));
    if (r == 0 &&
        oath_base32_encode((const char *)secret, sizeof secret, &base32, &size) != OATH_OK)
        r = -ENOMEM;
    if (r == 0) {
        buf_put(ret_secret, base32, size);
        r = buf_error(ret_secret);
    }
    if (r == 0)
        r = otp_write_uri(issuer, otp_text(user, "email"), (struct str){base32, size}, ret_uri);
    if (base32 != NULL)
        OPENSSL_cleanse(base32, size);
    free(base32);
    OPENSSL_cleanse(secret, sizeof secret);
    OPENSSL_cleanse(hex, sizeof hex);
    return r;
}

static int otp_turn_on(struct db *db, const json_t *user, int64_t step, json_t **ret_codes)
{
    const char *pending = otp_text(user, "otp_pending");
    json_t *codes = NULL;
    json_t *digests = NULL;
    int r = otp_make_codes(&codes, &digests);
    if (r < 0)
        return r;
    r = otp_change(db, otp_text(user, "id"), json_pack("{s:s}", "otp_pending", pending),
                   json_pack("{s:s, s:I, s:o, s:n}", "otp_secret", pending, "otp_step",
                             (json_int_t)step, "otp_codes", digests, "otp_pending"));
    if (r < 0)
        json_decref(codes);
    else
        *ret_codes = codes;
    return r;
}

int otp_confirm(struct db *db, const json_t *user, const char *code, int64_t now_ms,
                json_t **ret_codes, struct fault *fault, unsigned *ret_wait_s)
{
    const char *pending = otp_text(user, "otp_pending");
    struct str id = str_of(otp_text(user, "id"));
    int64_t step = 0;
    if (pending == NULL || otp_is_on(user))
        return fault_set(fault, 409, "OTP_NOT_ENROLLED", "begin with enrolling");
    int r = attempts_begin(db, "otp", id, now_ms, fault, ret_wait_s);
    if (r == 0)
        r = otp_step_of(pending, code, now_ms, &step);
    if (r == 0)
        r = otp_turn_on(db, user, step, ret_codes);
    if (r == -EKEYREJECTED)
        return otp_wrong(fault);
    if (r == -ESTALE)
        return fault_set(fault, 409, "OTP_NOT_ENROLLED", "it was begun anew in between");
    return r < 0 ? r : attempts_forget(db, "otp", id);
}

int otp_check(struct db *db, const json_t *user, const char *code, int64_t now_ms,
              struct fault *fault, unsigned *ret_wait_s)
{
    struct str id = str_of(otp_text(user, "id"));
    int64_t step = 0;
    int r = attempts_begin(db, "otp", id, now_ms, fault, ret_wait_s);
    if (r < 0)
        return r;
    if (strlen(code) == OTP_DIGITS) {
        r = otp_step_of(otp_text(user, "otp_secret"), code, now_ms, &step);
        if (r == 0)
            r = otp_use_step(db, user, step);
    } else {
        r = otp_use_code(db, user, code);
    }
    if (r == -EKEYREJECTED)
        return otp_wrong(fault);
    return r < 0 ? r : attempts_forget(db, "otp", id);
}

int otp_disable(struct db *db, const char *user_id)
{
    return otp_change(
        db, user_id, NULL,
        json_pack("{s:n, s:n, s:n, s:n}", "otp_secret", "otp_step", "otp_codes", "otp_pending"));
}
