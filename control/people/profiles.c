/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/profiles.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "control/catalog/gone.h"
#include "control/model.h"
#include "control/password.h"
#include "control/people/attempts.h"

#define PROFILE_TRIES_MAX 16 /* others that change the same one at the same time */

bool profile_may_manage(int rating_max)
{
    return rating_max < 0;
}

bool profile_may_watch(int rating_max, int rating)
{
    return rating_max < 0 || (rating >= 0 && rating <= rating_max);
}

int profile_limit(const json_t *profile)
{
    const json_t *limit = json_object_get(profile, "rating_max");
    /* Between its bounds when it was written; a limit of any other size is one all the same. */
    return json_is_integer(limit) ? (int)MAX(MIN(json_integer_value(limit), PROFILE_RATING_MAX), 0)
                                  : -1;
}

/* --- the document ----------------------------------------------------------------------------- */

static int profile_set_pin(json_t *doc, const json_t *pin, struct fault *fault)
{
    char hash[PASSWORD_HASH_SIZE];
    if (json_is_null(pin)) {
        (void)json_object_del(doc, "pin"); /* it may have had none */
        return 0;
    }
    const char *text = json_string_value(pin);
    size_t size = json_string_length(pin);
    if (text == NULL || size < PROFILE_PIN_MIN || size > PROFILE_PIN_MAX ||
        strspn(text, "0123456789") != size)
        return fault_set(fault, 422, "PIN_INVALID", "a PIN has %d to %d digits", PROFILE_PIN_MIN,
                         PROFILE_PIN_MAX);
    int r = password_hash((struct str){text, size}, hash);
    if (r == 0 && json_object_set_new(doc, "pin", json_string(hash)) < 0)
        r = -ENOMEM;
    return r;
}

static int profile_set(json_t *doc, const json_t *change, const char *name)
{
    json_t *value = json_object_get(change, name);
    if (value == NULL)
        return 0;
    if (json_is_null(value)) {
        (void)json_object_del(doc, name); /* it may have had none */
        return 0;
    }
    return json_object_set(doc, name, value) < 0 ? -ENOMEM : 0;
}

static int profile_apply(json_t *doc, const json_t *change, struct fault *fault)
{
    const json_t *pin = json_object_get(change, "pin");
    int r = profile_set(doc, change, "name");
    if (r == 0)
        r = profile_set(doc, change, "rating_max");
    if (r == 0)
        r = profile_set(doc, change, "preferences");
    return r == 0 && pin != NULL ? profile_set_pin(doc, pin, fault) : r;
}

/* "USER-PLACE": by it alone it shows whose it is. */
static bool profile_is_of(const char *user, const char *id)
{
    size_t size = strlen(user);
    return size > 0 && strncmp(id, user, size) == 0 && id[size] == '-' && id[size + 1] >= '1' &&
           id[size + 1] < '1' + PROFILES_MAX && id[size + 2] == 0;
}

int profile_make(struct db *db, const char *user, const json_t *change, int64_t now_ms,
                 json_t **ret, struct fault *fault)
{
    char id[DB_ID_SIZE_MAX + 1];
    json_t *doc =
        json_pack("{s:s, s:I, s:i}", "user", user, "created_ms", (json_int_t)now_ms, "version", 1);
    int r = doc == NULL ? -ENOMEM : profile_apply(doc, change, fault);
    if (r == 0)
        r = -EEXIST;
    for (unsigned place = 1; place <= PROFILES_MAX && r == -EEXIST; place++) {
        int size = snprintf(id, sizeof id, "%s-%u", user, place);
        if (size < 0 || (size_t)size >= sizeof id)
            r = -EINVAL;
        else if (json_object_set_new(doc, "id", json_string(id)) < 0)
            r = -ENOMEM;
        else
            r = db_insert(db, MODEL_PROFILES, doc);
    }
    if (r == -EEXIST)
        r = fault_set(fault, 409, "TOO_MANY_PROFILES", "an account has at most %d profiles",
                      PROFILES_MAX);
    if (r < 0)
        json_decref(doc);
    else
        *ret = doc;
    return r;
}

int profile_get(struct db *db, const char *user, const char *id, json_t **ret)
{
    return profile_is_of(user, id) ? db_get(db, MODEL_PROFILES, id, ret) : -ENOENT;
}

int profile_change(struct db *db, const char *user, const char *id, const json_t *change,
                   json_t **ret, struct fault *fault)
{
    int r = -ESTALE;
    for (unsigned i = 0; i < PROFILE_TRIES_MAX && r == -ESTALE; i++) {
        json_t *doc = NULL;
        r = profile_get(db, user, id, &doc);
        if (r < 0)
            return r;
        json_t *expected = json_incref(json_object_get(doc, "version"));
        r = profile_apply(doc, change, fault);
        if (r == 0 &&
            json_object_set_new(doc, "version", json_integer(json_integer_value(expected) + 1)) < 0)
            r = -ENOMEM;
        if (r == 0)
            r = db_replace_if(db, MODEL_PROFILES, doc, "version", expected);
        json_decref(expected);
        if (r < 0)
            json_decref(doc);
        else
            *ret = doc;
    }
    return r == -ESTALE ? -EBUSY : r;
}

int profiles_list(struct db *db, const char *user, json_t **ret)
{
    const char *ids[PROFILES_MAX];
    char texts[PROFILES_MAX][DB_ID_SIZE_MAX + 1];
    for (unsigned i = 0; i < PROFILES_MAX; i++) {
        int size = snprintf(texts[i], sizeof texts[i], "%s-%u", user, i + 1);
        if (size < 0 || (size_t)size >= sizeof texts[i])
            return -EINVAL;
        ids[i] = texts[i];
    }
    json_t *list = NULL;
    int r = db_get_many(db, MODEL_PROFILES, ids, PROFILES_MAX, &list);
    if (r < 0)
        return r;
    for (size_t i = json_array_size(list); i-- > 0;)
        if (json_is_null(json_array_get(list, i)))
            (void)json_array_remove(list, i); /* i is inside */
    *ret = list;
    return 0;
}

int profile_end(struct db *db, const char *user, const char *id, int64_t now_ms)
{
    return profile_is_of(user, id) ? gone_put(db, GONE_PROFILE, id, now_ms) : -ENOENT;
}

int profile_check_pin(struct db *db, const json_t *profile, const char *pin, int64_t now_ms,
                      struct fault *fault, unsigned *ret_wait_s)
{
    const char *hash = json_string_value(json_object_get(profile, "pin"));
    struct str id = str_of(json_string_value(json_object_get(profile, "id")));
    bool matches = false;
    if (hash == NULL)
        return 0;
    if (pin == NULL)
        return fault_set(fault, 403, "PIN_NEEDED", "this profile has a PIN");
    int r = attempts_begin(db, "pin", id, now_ms, fault, ret_wait_s);
    if (r == 0)
        r = password_check(str_of(pin), hash, &matches);
    if (r == 0 && !matches)
        r = fault_set(fault, 403, "PIN_WRONG", "the PIN is wrong");
    return r < 0 ? r : attempts_forget(db, "pin", id);
}

int profile_check_over(struct db *db, const char *user, int rating, const char *pin, int64_t now_ms,
                       struct fault *fault, unsigned *ret_wait_s)
{
    json_t *list = NULL;
    json_t *profile;
    size_t i;
    bool any = false;
    bool matches = false;
    int r = profiles_list(db, user, &list);
    if (r < 0)
        return r;
    /* One guess, however many profiles it is held against. */
    if (pin != NULL)
        r = attempts_begin(db, "pin", str_of(user), now_ms, fault, ret_wait_s);
    json_array_foreach(list, i, profile)
    {
        const char *hash = json_string_value(json_object_get(profile, "pin"));
        if (hash == NULL || !profile_may_watch(profile_limit(profile), rating))
            continue;
        any = true;
        if (r == 0 && !matches && pin != NULL)
            r = password_check(str_of(pin), hash, &matches);
    }
    json_decref(list);
    if (r < 0)
        return r;
    if (!any)
        return -ENOENT;
    if (pin == NULL)
        return -EACCES;
    if (!matches)
        return fault_set(fault, 403, "PIN_WRONG", "the PIN is wrong");
    return attempts_forget(db, "pin", str_of(user));
}

json_t *profile_public(const json_t *doc)
{
    json_t *preferences = json_object_get(doc, "preferences");
    json_t *rating = json_object_get(doc, "rating_max");
    json_t *out = json_pack("{s:O, s:O, s:O?, s:b}", "id", json_object_get(doc, "id"), "name",
                            json_object_get(doc, "name"), "rating_max", rating, "has_pin",
                            json_object_get(doc, "pin") != NULL);
    json_t *shown = preferences != NULL ? json_incref(preferences) : json_object();
    if (out == NULL || json_object_set_new(out, "preferences", shown) < 0) {
        json_decref(out);
        return NULL;
    }
    return out;
}
