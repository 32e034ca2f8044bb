/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/tickets.h"
#include <errno.h>
#include <openssl/crypto.h>
#include "base/enc.h"
#include "base/id.h"
#include "control/model.h"
#include "control/session.h"

#define TICKET_RANDOM_SIZE 32

void ticket_random(char out[TICKET_SIZE])
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t random[TICKET_SIZE - 1];
    id_random(random, sizeof random);
    for (unsigned i = 0; i < sizeof random; i++)
        out[i] = alphabet[random[i] & 63]; /* 258 bits: 43 characters of six */
    out[TICKET_SIZE - 1] = 0;
    OPENSSL_cleanse(random, sizeof random);
}

int ticket_make(struct db *db, const char *kind, const char *about, const json_t *data,
                int64_t now_ms, int64_t life_ms, char ret_ticket[TICKET_SIZE])
{
    char ticket[TICKET_SIZE];
    char id[SESSION_DIGEST_SIZE];
    ticket_random(ticket);
    session_digest(str_of(ticket), id);
    json_t *doc =
        json_pack("{s:s, s:s, s:s, s:I, s:I}", "id", id, "kind", kind, "about", about, "created_ms",
                  (json_int_t)now_ms, "ends_ms", (json_int_t)now_ms + life_ms);
    int r = doc == NULL ? -ENOMEM : 0;
    if (r == 0 && data != NULL && json_object_set(doc, "data", (json_t *)(uintptr_t)data) < 0)
        r = -ENOMEM;
    if (r == 0)
        r = db_insert(db, MODEL_TICKETS, doc);
    json_decref(doc);
    if (r == 0)
        memcpy(ret_ticket, ticket, sizeof ticket);
    OPENSSL_cleanse(ticket, sizeof ticket);
    return r;
}

static bool ticket_is(const json_t *doc, const char *kind, int64_t now_ms)
{
    const char *is = json_string_value(json_object_get(doc, "kind"));
    return is != NULL && strcmp(is, kind) == 0 &&
           json_integer_value(json_object_get(doc, "ends_ms")) > now_ms;
}

int ticket_read(struct db *db, const char *kind, struct str ticket, int64_t now_ms, json_t **ret)
{
    char id[SESSION_DIGEST_SIZE];
    json_t *doc = NULL;
    if (ticket.size != TICKET_SIZE - 1)
        return -ENOENT;
    session_digest(ticket, id);
    int r = db_get(db, MODEL_TICKETS, id, &doc);
    if (r < 0)
        return r;
    if (!ticket_is(doc, kind, now_ms)) {
        json_decref(doc);
        return -ENOENT;
    }
    *ret = doc;
    return 0;
}

int ticket_take(struct db *db, const char *kind, struct str ticket, int64_t now_ms, json_t **ret)
{
    char id[SESSION_DIGEST_SIZE];
    json_t *doc = NULL;
    int r = ticket_read(db, kind, ticket, now_ms, &doc);
    if (r < 0)
        return r;
    session_digest(ticket, id);
    r = db_delete(db, MODEL_TICKETS, id); /* who deletes it has it */
    if (r < 0) {
        json_decref(doc);
        return r;
    }
    *ret = doc;
    return 0;
}

static int tickets_of(struct db *db, const char *about, json_t **ret)
{
    json_t *equal = json_pack("[s]", about);
    const struct db_list list = {
        .key = "about created_ms", .descending = true, .limit = DB_LIST_MAX, .equal = equal};
    char *cursor = NULL;
    int r = equal == NULL ? -ENOMEM : db_list(db, MODEL_TICKETS, &list, ret, &cursor);
    json_decref(equal);
    free(cursor);
    return r;
}

int tickets_drop(struct db *db, const char *kind, const char *about)
{
    json_t *list = NULL;
    json_t *doc;
    size_t i;
    int r = tickets_of(db, about, &list);
    if (r < 0)
        return r;
    json_array_foreach(list, i, doc)
    {
        if (r < 0 || !ticket_is(doc, kind, INT64_MIN))
            continue;
        r = db_delete(db, MODEL_TICKETS, json_string_value(json_object_get(doc, "id")));
        r = r == -ENOENT ? 0 : r;
    }
    json_decref(list);
    return r;
}

int tickets_newest(struct db *db, const char *kind, const char *about, int64_t now_ms, json_t **ret)
{
    json_t *list = NULL;
    json_t *doc;
    size_t i;
    int r = tickets_of(db, about, &list);
    if (r < 0)
        return r;
    r = -ENOENT;
    json_array_foreach(list, i, doc)
    {
        if (r == -ENOENT && ticket_is(doc, kind, now_ms)) {
            *ret = json_incref(doc);
            r = 0;
        }
    }
    json_decref(list);
    return r;
}

int tickets_purge(struct db *db, int64_t now_ms, uint64_t *ret_count)
{
    return db_delete_below(db, MODEL_TICKETS, "ends_ms", now_ms, ret_count);
}
