/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/accounts.h"
#include <errno.h>
#include "base/clock.h"
#include "base/id.h"
#include "control/model.h"
#include "control/password.h"
#include "control/people/attempts.h"
#include "control/people/logins.h"
#include "control/valid.h"

_Static_assert(sizeof((struct account_letter){0}.address) == VALID_EMAIL_SIZE, "an address fits");

static const char *account_text(const json_t *doc, const char *name)
{
    return json_string_value(json_object_get(doc, name));
}

int account_find(struct db *db, const char *email, json_t **ret)
{
    json_t *value = json_string(email);
    if (value == NULL)
        return -ENOMEM;
    int r = db_find(db, MODEL_USERS, "email", value, ret);
    json_decref(value);
    return r;
}

int account_of_text(struct db *db, const char *text, json_t **ret)
{
    char address[VALID_EMAIL_SIZE];
    struct fault ignored = {0};
    if (strchr(text, '@') == NULL)
        return db_get(db, MODEL_USERS, text, ret);
    return valid_email(str_of(text), address, &ignored) < 0 ? -ENOENT
                                                            : account_find(db, address, ret);
}

static int account_taken(struct fault *fault)
{
    return fault_set(fault, 409, "EMAIL_TAKEN", "there is an account with this address already");
}

static int account_link_invalid(struct fault *fault)
{
    return fault_set(fault, 410, "LINK_INVALID", "this link was used, is too old, or is none");
}

static int account_change(struct db *db, const char *id, json_t *set, json_t **ret)
{
    const struct db_update update = {.set = set};
    int r = set == NULL ? -ENOMEM : db_update(db, MODEL_USERS, id, &update, ret);
    json_decref(set);
    return r;
}

/* The address is its owner's. */
static int account_verified(struct db *db, const char *id, int64_t now_ms, json_t **ret)
{
    return account_change(db, id, json_pack("{s:I}", "verified_ms", (json_int_t)now_ms), ret);
}

/* --- making ----------------------------------------------------------------------------------- */

/* hash NULL: no password. verified_ms 0: nobody has shown yet that the address is theirs. */
static int account_insert(struct db *db, const char *email, const char *hash, int64_t now_ms,
                          int64_t verified_ms, json_t **ret)
{
    char id[ID_TEXT_SIZE];
    id_text(id);
    json_t *user = json_pack("{s:s, s:s, s:s*, s:s, s:I}", "id", id, "email", email, "password",
                             hash, "role", role_name(ROLE_FREE), "created_ms", (json_int_t)now_ms);
    int r = user == NULL ? -ENOMEM : 0;
    if (r == 0 && verified_ms != 0 &&
        json_object_set_new(user, "verified_ms", json_integer(verified_ms)) < 0)
        r = -ENOMEM;
    if (r == 0)
        r = db_insert(db, MODEL_USERS, user);
    if (r < 0)
        json_decref(user);
    else
        *ret = user;
    return r;
}

int account_make_verified(struct db *db, const char *email, int64_t now_ms, json_t **ret)
{
    return account_insert(db, email, NULL, now_ms, now_ms, ret);
}

static int account_read(struct str email, struct str password, char address[VALID_EMAIL_SIZE],
                        struct fault *fault)
{
    int r = valid_email(email, address, fault);
    return r < 0 ? r : valid_password(password, fault);
}

int account_make(struct db *db, struct str email, struct str password, int64_t now_ms, json_t **ret,
                 struct fault *fault)
{
    char address[VALID_EMAIL_SIZE];
    char hash[PASSWORD_HASH_SIZE];
    json_t *user = NULL;
    int r = account_read(email, password, address, fault);
    if (r < 0)
        return r;
    r = account_find(db, address, &user); /* spares the hash; the insert below decides */
    json_decref(user);
    if (r == 0)
        return account_taken(fault);
    if (r == -ENOENT)
        r = password_hash(password, hash);
    if (r == 0)
        r = account_insert(db, address, hash, now_ms, 0, ret);
    return r == -EEXIST ? account_taken(fault) : r;
}

int account_apply(struct db *db, struct str email, struct str password, int64_t now_ms,
                  struct account_letter *ret, struct fault *fault)
{
    struct account_letter letter = {.ticket = ""};
    char hash[PASSWORD_HASH_SIZE];
    json_t *user = NULL;
    int r = account_read(email, password, letter.address, fault);
    if (r == 0)
        r = password_hash(password, hash);
    if (r < 0)
        return r;
    r = account_find(db, letter.address, &user);
    json_decref(user);
    if (r < 0 && r != -ENOENT)
        return r;
    letter.is_known = r == 0;
    /* Kept for a known address too, so that the work is the same; its ticket goes to nobody. */
    json_t *data = json_pack("{s:s}", "password", hash);
    r = data == NULL ? -ENOMEM
                     : ticket_make(db, letter.is_known ? "nothing" : "confirm", letter.address,
                                   data, now_ms, ACCOUNT_CONFIRM_MS, letter.ticket);
    json_decref(data);
    if (r < 0)
        return r;
    if (letter.is_known)
        letter.ticket[0] = 0;
    *ret = letter;
    return 0;
}

/* The ticket is used; where the address got an account meanwhile, it is good for nothing. */
static int account_of_ticket(struct db *db, const json_t *ticket, int64_t now_ms, json_t **ret,
                             struct fault *fault)
{
    const char *email = account_text(ticket, "about");
    const char *hash = account_text(json_object_get(ticket, "data"), "password");
    if (email == NULL || hash == NULL)
        return -EBADMSG;
    int r = account_insert(db, email, hash, now_ms, now_ms, ret);
    if (r == -EEXIST)
        return account_link_invalid(fault);
    if (r == 0 && tickets_drop(db, "confirm", email) < 0)
        /* What is left of them ends within a day, and makes no second account. */
        return 0;
    return r;
}

int account_confirm(struct db *db, struct str text, int64_t now_ms, json_t **ret,
                    struct fault *fault)
{
    json_t *ticket = NULL;
    int r = ticket_take(db, "confirm", text, now_ms, &ticket);
    if (r == -ENOENT)
        return account_link_invalid(fault);
    if (r == 0)
        r = account_of_ticket(db, ticket, now_ms, ret, fault);
    json_decref(ticket);
    return r;
}

int account_confirm_address(struct db *db, const char *email, int64_t now_ms, json_t **ret,
                            struct fault *fault)
{
    json_t *ticket = NULL;
    json_t *user = NULL;
    int r = account_find(db, email, &user);
    if (r == 0) {
        r = account_verified(db, account_text(user, "id"), now_ms, ret);
        json_decref(user);
        return r;
    }
    if (r != -ENOENT)
        return r;
    r = tickets_newest(db, "confirm", email, now_ms, &ticket);
    if (r == -ENOENT)
        return fault_set(fault, 404, "USER_NOT_FOUND", "nobody has signed up with this address");
    if (r == 0)
        r = account_of_ticket(db, ticket, now_ms, ret, fault);
    json_decref(ticket);
    return r;
}

/* --- logging in ------------------------------------------------------------------------------- */

int account_log_in(struct db *db, struct str email, struct str password, int64_t now_ms,
                   json_t **ret, struct fault *fault, unsigned *ret_wait_s)
{
    char address[VALID_EMAIL_SIZE];
    struct fault ignored = {0};
    json_t *user = NULL;
    bool matches = false;
    bool is_address = valid_email(email, address, &ignored) == 0;
    struct str name = is_address ? str_of(address) : email;
    int r = attempts_begin(db, "login", name, now_ms, fault, ret_wait_s);
    if (r < 0)
        return r;
    r = is_address ? account_find(db, address, &user) : -ENOENT;
    if (r < 0 && r != -ENOENT)
        return r;
    r = password_check(password, account_text(user, "password"), &matches);
    if (r == 0 && !matches)
        r = fault_set(fault, 401, "LOGIN_FAILED", "the address or the password is wrong");
    if (r == 0)
        r = attempts_forget(db, "login", name);
    if (r == 0 && account_is_disabled(user))
        r = fault_set(fault, 403, "ACCOUNT_DISABLED", "this account is disabled");
    if (r < 0)
        json_decref(user);
    else
        *ret = user;
    return r;
}

int account_check(struct db *db, const json_t *user, struct str password, int64_t now_ms,
                  struct fault *fault, unsigned *ret_wait_s)
{
    bool matches = false;
    struct str id = str_of(account_text(user, "id"));
    /* Counted apart from log-ins: who guesses at the door does not lock the owner in here. */
    int r = attempts_begin(db, "password", id, now_ms, fault, ret_wait_s);
    if (r == 0)
        r = password_check(password, account_text(user, "password"), &matches);
    if (r == 0 && !matches)
        r = fault_set(fault, 403, "PASSWORD_WRONG", "the password is wrong");
    return r < 0 ? r : attempts_forget(db, "password", id);
}

/* --- a new password --------------------------------------------------------------------------- */

int account_wish_reset(struct db *db, struct str email, int64_t now_ms, struct account_letter *ret,
                       struct fault *fault)
{
    struct account_letter letter = {.ticket = ""};
    json_t *user = NULL;
    int r = valid_email(email, letter.address, fault);
    if (r == 0)
        r = account_find(db, letter.address, &user);
    if (r < 0 && r != -ENOENT)
        return r;
    letter.is_known = r == 0 && !account_is_disabled(user);
    r = ticket_make(db, letter.is_known ? "reset" : "nothing",
                    letter.is_known ? account_text(user, "id") : letter.address, NULL, now_ms,
                    ACCOUNT_RESET_MS, letter.ticket);
    json_decref(user);
    if (r < 0)
        return r;
    if (!letter.is_known)
        letter.ticket[0] = 0;
    *ret = letter;
    return 0;
}

int account_set_password(struct db *db, const char *id, struct str password, struct fault *fault)
{
    char hash[PASSWORD_HASH_SIZE];
    int r = valid_password(password, fault);
    if (r == 0)
        r = password_hash(password, hash);
    return r < 0 ? r : account_change(db, id, json_pack("{s:s}", "password", hash), NULL);
}

/* The password is looked at before the ticket is used: one that is too short costs no letter. Then
 * the ticket goes first, so that two at once cannot both set one. */
int account_reset(struct db *db, struct str text, struct str password, int64_t now_ms, json_t **ret,
                  struct fault *fault)
{
    json_t *ticket = NULL;
    int r = valid_password(password, fault);
    if (r == 0)
        r = ticket_take(db, "reset", text, now_ms, &ticket);
    if (r == -ENOENT)
        return account_link_invalid(fault);
    if (r < 0)
        return r;
    const char *id = account_text(ticket, "about");
    r = id == NULL ? -EBADMSG : account_set_password(db, id, password, fault);
    if (r == 0)
        r = logins_close(db, id, NULL);
    if (r == 0)
        r = tickets_drop(db, "reset", id);
    if (r == 0)
        r = account_verified(db, id, now_ms, ret); /* who has the letter has the address */
    json_decref(ticket);
    /* Who has the letter need not wait for those who guess. */
    if (r == 0)
        r = attempts_forget(db, "login", str_of(account_text(*ret, "email")));
    return r == -ENOENT ? account_link_invalid(fault) : r;
}

/* --- the operator's --------------------------------------------------------------------------- */

int account_set_role(struct db *db, const char *id, enum role role, json_t **ret)
{
    return account_change(db, id, json_pack("{s:s}", "role", role_name(role)), ret);
}

int account_disable(struct db *db, const char *id, bool disabled, int64_t now_ms, json_t **ret)
{
    json_t *user = NULL;
    json_t *when = disabled ? json_integer(now_ms) : json_null();
    int r = account_change(db, id, json_pack("{s:o}", "disabled_ms", when), &user);
    if (r == 0 && disabled)
        r = logins_close(db, id, NULL);
    if (r < 0)
        json_decref(user);
    else
        *ret = user;
    return r;
}

enum role account_role(const json_t *user)
{
    enum role role = ROLE_FREE;
    (void)role_of(account_text(user, "role"), &role); /* one that we do not know may the least */
    return role;
}

bool account_is_verified(const json_t *user)
{
    return json_is_integer(json_object_get(user, "verified_ms"));
}

bool account_is_disabled(const json_t *user)
{
    return json_is_integer(json_object_get(user, "disabled_ms"));
}

json_t *account_public(const json_t *user)
{
    char created[CLOCK_TEXT_SIZE];
    clock_format(json_integer_value(json_object_get(user, "created_ms")), created);
    return json_pack("{s:O, s:O, s:s?, s:s, s:s, s:b, s:b}", "id", json_object_get(user, "id"),
                     "email", json_object_get(user, "email"), "name", account_text(user, "name"),
                     "role", role_name(account_role(user)), "created", created, "second_factor",
                     account_text(user, "otp_secret") != NULL, "has_password",
                     account_text(user, "password") != NULL);
}

json_t *account_listed(const json_t *user)
{
    json_t *out = account_public(user);
    if (out != NULL &&
        json_object_set_new(out, "disabled", json_boolean(account_is_disabled(user))) < 0) {
        json_decref(out);
        return NULL;
    }
    return out;
}
