/* SPDX-License-Identifier: Apache-2.0 */
#include "control/users.h"
#include <errno.h>
#include "base/id.h"
#include "control/model.h"
#include "control/password.h"
#include "control/valid.h"

static int users_find(struct db *db, const char *email, json_t **ret)
{
    json_t *value = json_string(email);
    if (value == NULL)
        return -ENOMEM;
    int r = db_find(db, MODEL_USERS, "email", value, ret);
    json_decref(value);
    return r;
}

static int users_taken(struct fault *fault)
{
    return fault_set(fault, 409, "EMAIL_TAKEN", "there is an account with this address already");
}

int users_sign_up(struct db *db, struct str email, struct str password, int64_t now_ms,
                  json_t **ret, struct fault *fault)
{
    char address[VALID_EMAIL_SIZE];
    char hash[PASSWORD_HASH_SIZE];
    char id[ID_TEXT_SIZE];
    json_t *user = NULL;
    int r = valid_email(email, address, fault);
    if (r == 0)
        r = valid_password(password, fault);
    if (r < 0)
        return r;
    r = users_find(db, address, &user); /* spares the hash; the insert below decides */
    json_decref(user);
    if (r == 0)
        return users_taken(fault);
    if (r == -ENOENT)
        r = password_hash(password, hash);
    if (r < 0)
        return r;
    id_text(id);
    user = json_pack("{s:s, s:s, s:s, s:I}", "id", id, "email", address, "password", hash,
                     "created_ms", (json_int_t)now_ms);
    r = user == NULL ? -ENOMEM : db_insert(db, MODEL_USERS, user);
    if (r < 0) {
        json_decref(user);
        return r == -EEXIST ? users_taken(fault) : r;
    }
    *ret = user;
    return 0;
}

int users_log_in(struct db *db, struct str email, struct str password, json_t **ret,
                 struct fault *fault)
{
    char address[VALID_EMAIL_SIZE];
    struct fault ignored = {0};
    json_t *user = NULL;
    bool matches = false;
    int r = valid_email(email, address, &ignored);
    if (r == 0)
        r = users_find(db, address, &user);
    if (r < 0 && r != -ENOENT && r != -EPROTO)
        return r;
    r = password_check(password, json_string_value(json_object_get(user, "password")), &matches);
    if (r == 0 && !matches)
        r = fault_set(fault, 401, "LOGIN_FAILED", "the address or the password is wrong");
    if (r < 0) {
        json_decref(user);
        return r;
    }
    *ret = user;
    return 0;
}

json_t *users_public(const json_t *user)
{
    return json_pack("{s:O, s:O}", "id", json_object_get(user, "id"), "email",
                     json_object_get(user, "email"));
}
