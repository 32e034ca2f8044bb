/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/logins.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include "control/model.h"
#include "control/people/tickets.h"
#include "control/session.h"

#define LOGIN_LIFE_MS (INT64_C(1000) * LOGIN_LIFE_S)

/* The three parts of a refresh token; false: not of the form. */
struct login_token {
    char id[ID_TEXT_SIZE];
    char family[SESSION_DIGEST_SIZE];
    char refresh[SESSION_DIGEST_SIZE];
};

static bool login_read(struct str text, struct login_token *ret)
{
    struct str rest;
    struct str secret;
    struct str id = str_cut(text, '.', &rest);
    struct str family = str_cut(rest, '.', &secret);
    if (id.size != ID_TEXT_SIZE - 1 || family.size != TICKET_SIZE - 1 ||
        secret.size != TICKET_SIZE - 1)
        return false;
    for (size_t i = 0; i < id.size; i++)
        if (id.data[i] == 0 || strchr("0123456789abcdef", id.data[i]) == NULL)
            return false;
    session_digest(family, ret->family);
    session_digest(secret, ret->refresh);
    return str_copy(id, ret->id, sizeof ret->id) == 0;
}

static const char *login_text(const json_t *doc, const char *name)
{
    const char *text = json_string_value(json_object_get(doc, name));
    return text != NULL ? text : "";
}

static bool login_is_over(const json_t *doc, int64_t now_ms)
{
    return json_integer_value(json_object_get(doc, "expires_ms")) <= now_ms;
}

/* Digests are of one size, or not digests. */
static bool login_has(const json_t *doc, const char *name, const char digest[SESSION_DIGEST_SIZE])
{
    const char *stored = login_text(doc, name);
    return strlen(stored) == SESSION_DIGEST_SIZE - 1 && session_digest_eq(stored, digest);
}

/* --- opening ---------------------------------------------------------------------------------- */

/* More devices than anybody has are a program that never logs out: its oldest go. */
static int login_make_room(struct db *db, const char *user)
{
    json_t *equal = json_pack("[s]", user);
    const struct db_list list = {
        .key = "user created_ms", .descending = true, .limit = DB_LIST_MAX, .equal = equal};
    json_t *docs = NULL;
    char *cursor = NULL;
    int r = equal == NULL ? -ENOMEM : db_list(db, MODEL_SESSIONS, &list, &docs, &cursor);
    json_decref(equal);
    free(cursor);
    for (size_t i = LOGINS_MAX - 1; r == 0 && i < json_array_size(docs); i++) {
        r = db_delete(db, MODEL_SESSIONS, login_text(json_array_get(docs, i), "id"));
        r = r == -ENOENT ? 0 : r;
    }
    json_decref(docs);
    return r;
}

int login_open(struct db *db, const struct login_start *start, int64_t now_ms,
               char ret_id[ID_TEXT_SIZE], char ret_refresh[LOGIN_REFRESH_SIZE])
{
    char id[ID_TEXT_SIZE];
    char family[TICKET_SIZE];
    char secret[TICKET_SIZE];
    char family_digest[SESSION_DIGEST_SIZE];
    char secret_digest[SESSION_DIGEST_SIZE];
    int r = login_make_room(db, start->user);
    if (r < 0)
        return r;
    id_text(id);
    ticket_random(family);
    ticket_random(secret);
    session_digest(str_of(family), family_digest);
    session_digest(str_of(secret), secret_digest);
    json_t *doc = json_pack(
        "{s:s, s:s, s:s%, s:s%, s:s, s:s, s:I, s:I, s:I}", "id", id, "user", start->user, "device",
        start->device.data != NULL ? start->device.data : "", start->device.size, "address",
        start->address.data != NULL ? start->address.data : "", start->address.size, "family",
        family_digest, "refresh", secret_digest, "created_ms", (json_int_t)now_ms, "seen_ms",
        (json_int_t)now_ms, "expires_ms", (json_int_t)now_ms + LOGIN_LIFE_MS);
    r = doc == NULL ? -ENOMEM : db_insert(db, MODEL_SESSIONS, doc);
    json_decref(doc);
    if (r == 0) {
        (void)snprintf(ret_refresh, LOGIN_REFRESH_SIZE, "%s.%s.%s", id, family, secret);
        memcpy(ret_id, id, sizeof id);
    }
    OPENSSL_cleanse(family, sizeof family);
    OPENSSL_cleanse(secret, sizeof secret);
    return r;
}

/* --- refreshing ------------------------------------------------------------------------------- */

int login_of_refresh(struct db *db, struct str refresh, int64_t now_ms, json_t **ret)
{
    struct login_token token;
    json_t *doc = NULL;
    if (!login_read(refresh, &token))
        return -ENOENT;
    int r = login_get(db, token.id, now_ms, &doc);
    if (r < 0)
        return r;
    if (!login_has(doc, "family", token.family)) {
        json_decref(doc);
        return -ENOENT;
    }
    *ret = doc;
    return 0;
}

/* Of two that come with the same token at the same time, one gets a new one, and the other is told
 * that it was used: both may be the owner, or one a thief. */
static int login_swap(struct db *db, const struct login_token *token, struct str family,
                      int64_t now_ms, char ret_refresh[LOGIN_REFRESH_SIZE], json_t **ret)
{
    char secret[TICKET_SIZE];
    char digest[SESSION_DIGEST_SIZE];
    ticket_random(secret);
    session_digest(str_of(secret), digest);
    json_t *where = json_pack("{s:s}", "refresh", token->refresh);
    json_t *set = json_pack("{s:s, s:I, s:I}", "refresh", digest, "seen_ms", (json_int_t)now_ms,
                            "expires_ms", (json_int_t)now_ms + LOGIN_LIFE_MS);
    const struct db_update update = {.where = where, .set = set};
    int r = where == NULL || set == NULL ? -ENOMEM
                                         : db_update(db, MODEL_SESSIONS, token->id, &update, ret);
    json_decref(where);
    json_decref(set);
    if (r == 0)
        (void)snprintf(ret_refresh, LOGIN_REFRESH_SIZE, "%s." STR_FMT ".%s", token->id,
                       STR_ARG(family), secret);
    OPENSSL_cleanse(secret, sizeof secret);
    return r;
}

int login_rotate(struct db *db, struct str refresh, int64_t now_ms,
                 char ret_refresh[LOGIN_REFRESH_SIZE], json_t **ret)
{
    struct login_token token;
    json_t *doc = NULL;
    struct str family;
    int r = login_of_refresh(db, refresh, now_ms, &doc);
    if (r < 0)
        return r;
    if (!login_read(refresh, &token)) /* it was read above */
        r = -ENOENT;
    (void)str_cut(refresh, '.', &family);
    family = str_cut(family, '.', &(struct str){0});
    if (r == 0)
        r = login_swap(db, &token, family, now_ms, ret_refresh, ret);
    if (r == -ESTALE) {
        int closed = login_close(db, token.id);
        if (closed == 0 || closed == -ENOENT) {
            *ret = doc;
            return -EKEYREJECTED;
        }
        r = closed;
    }
    json_decref(doc);
    return r;
}

/* --- the rest --------------------------------------------------------------------------------- */

int login_get(struct db *db, const char *id, int64_t now_ms, json_t **ret)
{
    json_t *doc = NULL;
    int r = db_get(db, MODEL_SESSIONS, id, &doc);
    if (r < 0)
        return r;
    if (login_is_over(doc, now_ms)) {
        json_decref(doc);
        return -ENOENT;
    }
    *ret = doc;
    return 0;
}

int login_choose(struct db *db, const char *id, const char *profile, const json_t *rating_max)
{
    json_t *set = json_pack("{s:s?, s:O?}", "profile", profile, "rating_max", rating_max);
    const struct db_update update = {.set = set};
    int r = set == NULL ? -ENOMEM : db_update(db, MODEL_SESSIONS, id, &update, NULL);
    json_decref(set);
    return r;
}

int login_close(struct db *db, const char *id)
{
    return db_delete(db, MODEL_SESSIONS, id);
}

int logins_list(struct db *db, const char *user, int64_t now_ms, json_t **ret)
{
    json_t *equal = json_pack("[s]", user);
    const struct db_list list = {
        .key = "user created_ms", .descending = true, .limit = LOGINS_MAX, .equal = equal};
    json_t *docs = NULL;
    char *cursor = NULL;
    int r = equal == NULL ? -ENOMEM : db_list(db, MODEL_SESSIONS, &list, &docs, &cursor);
    json_decref(equal);
    free(cursor);
    if (r < 0)
        return r;
    for (size_t i = json_array_size(docs); i-- > 0;)
        if (login_is_over(json_array_get(docs, i), now_ms))
            (void)json_array_remove(docs, i); /* i is inside */
    *ret = docs;
    return 0;
}

int logins_close(struct db *db, const char *user, const char *but_id)
{
    json_t *docs = NULL;
    json_t *doc;
    size_t i;
    int r = logins_list(db, user, INT64_MIN, &docs);
    if (r < 0)
        return r;
    json_array_foreach(docs, i, doc)
    {
        const char *id = login_text(doc, "id");
        if (r < 0 || (but_id != NULL && strcmp(id, but_id) == 0))
            continue;
        r = login_close(db, id);
        r = r == -ENOENT ? 0 : r;
    }
    json_decref(docs);
    return r;
}

int logins_purge(struct db *db, int64_t now_ms, uint64_t *ret_count)
{
    return db_delete_below(db, MODEL_SESSIONS, "expires_ms", now_ms, ret_count);
}
