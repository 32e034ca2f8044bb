/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/attempts.h"
#include <errno.h>
#include "control/model.h"
#include "control/session.h"

#define ATTEMPTS_TRIES_MAX 64 /* others that count the same name at the same time */
#define ATTEMPTS_HOUR_MS   (INT64_C(3600) * 1000)

int64_t attempts_delay_ms(unsigned failures)
{
    if (failures < ATTEMPTS_FREE)
        return 0;
    unsigned shift = MIN(failures - ATTEMPTS_FREE, 16u);
    return MIN(ATTEMPTS_DELAY_MS << shift, ATTEMPTS_DELAY_MAX);
}

/* A digest: names are as long as a stranger likes, and an address that was only guessed is not
 * written down. */
static void attempts_id(const char *kind, struct str name, char out[SESSION_DIGEST_SIZE])
{
    char of_name[SESSION_DIGEST_SIZE];
    char text[SESSION_DIGEST_SIZE + 32];
    session_digest(name, of_name);
    int size = snprintf(text, sizeof text, "%s:%s", kind, of_name);
    ASSERT(size > 0 && (size_t)size < sizeof text); /* kinds are ours, and short */
    session_digest(str_of(text), out);
}

static int64_t attempts_int(const json_t *doc, const char *name)
{
    return json_integer_value(json_object_get(doc, name));
}

static int attempts_locked(int64_t wait_ms, struct fault *fault, unsigned *ret_wait_s)
{
    *ret_wait_s = (unsigned)((wait_ms + 999) / 1000);
    return fault_set(fault, 429, "TOO_MANY_ATTEMPTS", "too many attempts, wait %u seconds",
                     *ret_wait_s);
}

/* One more, as one step: -ESTALE or -EEXIST when another one came between. */
static int attempts_step(struct db *db, const char *id, const json_t *old, int64_t now_ms)
{
    int64_t count = attempts_int(old, "count");
    if (old != NULL && attempts_int(old, "ends_ms") <= now_ms)
        count = 0;
    int64_t delay = attempts_delay_ms((unsigned)MIN(count + 1, INT64_C(1000)));
    json_t *doc =
        json_pack("{s:s, s:I, s:I, s:I, s:I}", "id", id, "count", (json_int_t)count + 1, "until_ms",
                  (json_int_t)now_ms + delay, "ends_ms", (json_int_t)now_ms + ATTEMPTS_MEMORY_MS,
                  "version", (json_int_t)attempts_int(old, "version") + 1);
    if (doc == NULL)
        return -ENOMEM;
    int r = old == NULL ? db_insert(db, MODEL_ATTEMPTS, doc)
                        : db_replace_if(db, MODEL_ATTEMPTS, doc, "version",
                                        json_object_get(old, "version"));
    json_decref(doc);
    return r;
}

int attempts_begin(struct db *db, const char *kind, struct str name, int64_t now_ms,
                   struct fault *fault, unsigned *ret_wait_s)
{
    char id[SESSION_DIGEST_SIZE];
    attempts_id(kind, name, id);
    for (unsigned i = 0; i < ATTEMPTS_TRIES_MAX; i++) {
        json_t *old = NULL;
        int r = db_get(db, MODEL_ATTEMPTS, id, &old);
        if (r < 0 && r != -ENOENT)
            return r;
        int64_t wait_ms = attempts_int(old, "until_ms") - now_ms;
        /* A clock that was set back must not lock for years. */
        bool locked = wait_ms > 0 && wait_ms <= ATTEMPTS_DELAY_MAX;
        r = locked ? 0 : attempts_step(db, id, old, now_ms);
        json_decref(old);
        if (locked)
            return attempts_locked(wait_ms, fault, ret_wait_s);
        if (r != -ESTALE && r != -EEXIST && r != -ENOENT)
            return r;
    }
    /* So many at once are no person's: refused like what is locked. */
    return attempts_locked(1000, fault, ret_wait_s);
}

int attempts_forget(struct db *db, const char *kind, struct str name)
{
    char id[SESSION_DIGEST_SIZE];
    attempts_id(kind, name, id);
    int r = db_delete(db, MODEL_ATTEMPTS, id);
    return r == -ENOENT ? 0 : r;
}

int attempts_count(struct db *db, const char *kind, struct str name, unsigned most, int64_t now_ms,
                   bool *ret_allowed)
{
    char id[SESSION_DIGEST_SIZE];
    attempts_id(kind, name, id);
    for (unsigned i = 0; i < ATTEMPTS_TRIES_MAX; i++) {
        json_t *old = NULL;
        int r = db_get(db, MODEL_ATTEMPTS, id, &old);
        if (r < 0 && r != -ENOENT)
            return r;
        bool fresh = r == -ENOENT || attempts_int(old, "ends_ms") <= now_ms;
        int64_t count = fresh ? 0 : attempts_int(old, "count");
        int64_t ends = fresh ? now_ms + ATTEMPTS_HOUR_MS : attempts_int(old, "ends_ms");
        json_t *doc =
            json_pack("{s:s, s:I, s:I, s:I, s:I}", "id", id, "count", (json_int_t)count + 1,
                      "until_ms", (json_int_t)0, "ends_ms", (json_int_t)ends, "version",
                      (json_int_t)attempts_int(old, "version") + 1);
        if (doc == NULL)
            r = -ENOMEM;
        else if (old == NULL)
            r = db_insert(db, MODEL_ATTEMPTS, doc);
        else
            r = db_replace_if(db, MODEL_ATTEMPTS, doc, "version", json_object_get(old, "version"));
        json_decref(doc);
        json_decref(old);
        if (r == 0)
            *ret_allowed = count < (int64_t)most;
        if (r != -ESTALE && r != -EEXIST && r != -ENOENT)
            return r;
    }
    *ret_allowed = false;
    return 0;
}

int attempts_purge(struct db *db, int64_t now_ms, uint64_t *ret_count)
{
    return db_delete_below(db, MODEL_ATTEMPTS, "ends_ms", now_ms, ret_count);
}
