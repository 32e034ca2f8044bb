/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/call.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "control/api/call_priv.h"
#include "control/valid.h"

#define CALL_PIECE_SIZE 4096

struct call_piece {
    struct call_piece *next;
    char data[];
};

/* --- life ------------------------------------------------------------------------------------- */

/* Memory of the call, for bytes that need no alignment. */
static char *call_room(struct call *c, size_t size)
{
    if (size <= sizeof c->room - c->room_used) {
        c->room_used += size;
        return c->room + c->room_used - size;
    }
    struct call_piece *piece = malloc(sizeof *piece + size);
    if (piece == NULL)
        return NULL;
    piece->next = c->pieces;
    c->pieces = piece;
    return piece->data;
}

char *call_keep(struct call *c, struct str s)
{
    char *copy = call_room(c, s.size + 1);
    if (copy == NULL)
        return NULL;
    if (s.size > 0)
        memcpy(copy, s.data, s.size);
    copy[s.size] = '\0';
    return copy;
}

/* A header, or NULL without one. */
static int call_keep_header(struct call *c, struct str value, const char **ret)
{
    if (value.data == NULL)
        return 0;
    *ret = call_keep(c, value);
    return *ret == NULL ? -ENOMEM : 0;
}

static bool call_keep_request(struct call *c)
{
    struct http_req *req = c->req;
    c->id = call_keep(c, http_req_id(req));
    c->peer = call_keep(c, http_req_peer(req));
    c->agent = call_keep(c, http_req_header(req, "user-agent"));
    c->scheme = call_keep(c, http_req_scheme(req));
    c->authority = call_keep(c, http_req_authority(req));
    c->target = c->op->audited ? call_keep(c, http_req_path(req)) : "";
    c->takes = pack_choose(http_req_header(req, "accept-encoding"));
    return c->id != NULL && c->peer != NULL && c->target != NULL && c->agent != NULL &&
           c->scheme != NULL && c->authority != NULL &&
           call_keep_header(c, http_req_bearer(req), &c->bearer) == 0 &&
           call_keep_header(c, http_req_header(req, "cookie"), &c->cookie) == 0 &&
           call_keep_header(c, http_req_header(req, "if-match"), &c->if_match) == 0 &&
           call_keep_header(c, http_req_header(req, "if-none-match"), &c->if_none_match) == 0;
}

struct call *call__new(struct control *control, struct http_req *req, const struct operation *op)
{
    struct call *c = malloc(sizeof *c);
    if (c == NULL)
        return NULL;
    memset(c, 0, offsetof(struct call, room)); /* the room is written before it is read */
    c->magic = CALL_MAGIC;
    c->control = control;
    c->db = control->db;
    c->live = control_live(control);
    c->op = op;
    c->req = http_req_ref(req);
    c->loop = http_req_loop(req);
    c->began_us = clock_mono_us();
    c->now_ms = clock_real_ms();
    c->caller.rating_max = -1;
    return call_keep_request(c) ? c : call__free(c);
}

struct call *call__free(struct call *c)
{
    if (c == NULL)
        return NULL;
    ASSERT(c->magic == CALL_MAGIC);
    if (c->data_free != NULL)
        c->data_free(c->data);
    http_req_unref(c->req);
    live_unref(c->live);
    caller_clear(&c->caller);
    json_decref(c->query);
    json_decref(c->body);
    json_decref(c->answer);
    json_decref(c->details);
    buf_free(&c->bytes);
    buf_free(&c->idem_body);
    while (c->notes != NULL) {
        struct call_note *next = c->notes->next;
        free(c->notes);
        c->notes = next;
    }
    while (c->pieces != NULL) {
        struct call_piece *next = c->pieces->next;
        free(c->pieces);
        c->pieces = next;
    }
    MAGIC_CLEAR(c);
    free(c);
    return NULL;
}

/* --- what was asked --------------------------------------------------------------------------- */

const char *call_path(const struct call *c, const char *name)
{
    ASSERT(c->magic == CALL_MAGIC);
    for (unsigned i = 0; i < c->op->path_params_count; i++)
        if (strcmp(c->op->path_params[i].name, name) == 0)
            return c->path[i];
    ASSERT(false); /* the path has no parameter of that name */
    return NULL;
}

const char *call_query_text(const struct call *c, const char *name)
{
    return json_string_value(json_object_get(c->query, name));
}

int64_t call_query_integer(const struct call *c, const char *name)
{
    return json_integer_value(json_object_get(c->query, name));
}

bool call_query_true(const struct call *c, const char *name)
{
    return json_is_true(json_object_get(c->query, name));
}

const char *call_text(const struct call *c, const char *name)
{
    return json_string_value(json_object_get(c->body, name));
}

struct str call_str(const struct call *c, const char *name)
{
    const json_t *value = json_object_get(c->body, name);
    return (struct str){json_string_value(value), json_string_length(value)};
}

int64_t call_integer(const struct call *c, const char *name)
{
    return json_integer_value(json_object_get(c->body, name));
}

bool call_true(const struct call *c, const char *name)
{
    return json_is_true(json_object_get(c->body, name));
}

const char *call_bearer(const struct call *c)
{
    return c->bearer;
}

struct str call_cookie_of(const struct call *c, const char *name)
{
    return valid_cookie(str_of(c->cookie), str_of(name));
}

/* --- what is answered ------------------------------------------------------------------------- */

int call_answer(struct call *c, json_t *answer)
{
    ASSERT(c->magic == CALL_MAGIC);
    json_decref(c->answer);
    c->answer = answer;
    return answer == NULL ? -ENOMEM : 0;
}

int call_header(struct call *c, const char *name, const char *format, ...)
{
    va_list list;
    char *text = NULL;
    ASSERT(c->magic == CALL_MAGIC);
    va_start(list, format);
    int n = vasprintf(&text, format, list);
    va_end(list);
    char *value = n < 0 ? NULL : call_keep(c, (struct str){text, (size_t)n});
    if (n >= 0)
        free(text);
    struct call_note *note = value == NULL ? NULL : malloc(sizeof *note);
    if (note == NULL)
        return -ENOMEM;
    *note = (struct call_note){.name = name, .value = {value, (size_t)n}};
    struct call_note **end = &c->notes;
    while (*end != NULL)
        end = &(*end)->next;
    *end = note;
    return 0;
}

int call_cookie(struct call *c, const char *name, const char *value, const char *path,
                int64_t life_s)
{
    return call_header(c, "set-cookie",
                       "%s=%s; Path=%s; Max-Age=%lld; HttpOnly; Secure; SameSite=Lax", name,
                       life_s > 0 ? value : "", path, (long long)life_s);
}
