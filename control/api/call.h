/* SPDX-License-Identifier: Apache-2.0 */
/* call: one request of the API on its way: from the loop to a pool thread and back. What a handler
 * sees of it, and what it answers with.
 *
 * Life:    made by gate.c with everything read, checked and known -> handler->work on a pool thread
 *          -> handler->then on the loop, which ends with call_finish (or call_leave) -> answered
 *          and freed.
 * Owner:   the loop, then the pool thread, then the loop again; never two at once. Texts that it
 *          gives live as long as it does.
 * Threads: as its owner. req is touched on its loop only.
 * Errors:  a handler gives 0, -EPROTO with the fault set, or another -errno, which is answered by
 *          fault_of_errno.
 * Units:   milliseconds since 1970; bytes. */
#pragma once
#include "control/api/caller.h"
#include "control/api/pack.h"
#include "control/api/rate.h"
#include "control/api/spec.h"
#include "control/control.h"
#include "control/fault.h"

#define CALL_ROOM_SIZE 1024
#define CALL_ETAG_SIZE 96

struct call_note; /* a header of the answer */
struct call_piece;

struct call {
    uint32_t magic;
#define CALL_MAGIC UINT32_C(0xca11ca11)
    struct control *control;
    struct db *db;
    struct live *live; /* the settings that it began with */
    const struct operation *op;
    struct http_req *req;
    struct loop *loop;
    uint64_t began_us;
    int64_t now_ms; /* when it came */
    struct caller caller;

    /* What was asked, all of it checked against the document. */
    const char *path[SPEC_PATH_MAX]; /* decoded, in the order of the path */
    json_t *query;                   /* an object of typed values, defaults filled in; NULL: none */
    json_t *body;                    /* NULL: none */
    const char *id;                  /* the request's */
    const char *peer;                /* address of the client */
    const char *agent;               /* User-Agent; "" */
    const char *scheme, *authority;  /* as it was asked for */
    const char *if_match;            /* as sent; NULL: none */
    const char *if_none_match;

    /* What is answered. */
    int error;
    struct fault fault;
    json_t *details;      /* of the fault: an object, taken over; NULL: what the fault says */
    unsigned status;      /* 0: the first 2xx that the document has */
    json_t *answer;       /* taken over; NULL: an empty body */
    const char *revision; /* of the document that is answered; NULL: it has none */
    const char *etag;     /* of the answer, without quotes; made when it is rendered; NULL: none */
    struct call_note *notes;

    /* The handler's own, from work to then. */
    void *data;
    void (*data_free)(void *data);

    /* gate.c's and call.c's. */
    const char *bearer;      /* as sent; NULL: none */
    const char *cookie;      /* the Cookie header; NULL: none */
    const char *target;      /* the path as sent, of what is audited */
    const char *idem_key;    /* idem.c's: NULL: none */
    const char *idem_digest; /* of all that was asked */
    const char *idem_id;
    bool idem_held;       /* its record says that we are at it */
    struct buf idem_body; /* of the answer, not packed */
    const char *audit_id; /* audit.c's: of the record that is begun; NULL: none */
    bool caller_known;
    struct rate_state rate; /* what is told of the limit that counted */
    int held;               /* a breach that waits until it is known who asks */
    bool rendered;          /* bytes, coding and status are what is sent */
    enum pack takes;        /* the client */
    enum pack coding;       /* of bytes */
    struct buf bytes;
    struct str lent;     /* in place of bytes: of an answer that was kept */
    bool cache_keeps;    /* the answer is to be kept: gate_cache.c's, and what it is kept by */
    struct str cache_id; /* of the path; lent by the request */
    unsigned cache_kind;
    uint32_t cache_variant;
    uint64_t cache_changed;
    struct call_piece *pieces;
    size_t room_used;
    char room[CALL_ROOM_SIZE];
};

/* --- what was asked --------------------------------------------------------------------------- */

/* A parameter of the path by its name; it is declared, so it is there. */
const char *call_path(const struct call *c, const char *name);

/* Parameters of the query; one that was not given and has no default: NULL, 0, false. */
const char *call_query_text(const struct call *c, const char *name);
int64_t call_query_integer(const struct call *c, const char *name);
bool call_query_true(const struct call *c, const char *name);

/* Members of the body by their names; one that is absent or null: NULL, 0, false. */
const char *call_text(const struct call *c, const char *name);
struct str call_str(const struct call *c, const char *name);
int64_t call_integer(const struct call *c, const char *name);
bool call_true(const struct call *c, const char *name);

/* --- what is answered ------------------------------------------------------------------------- */

/* Sets answer, which it takes over; NULL: -ENOMEM. */
MUST_USE int call_answer(struct call *c, json_t *answer);

/* Header of the answer, good or bad. name: static lower-case text. -ENOMEM. */
MUST_USE int call_header(struct call *c, const char *name, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Set-Cookie: HttpOnly, Secure, SameSite=Lax; life_s 0: takes it away. -ENOMEM. */
MUST_USE int call_cookie(struct call *c, const char *name, const char *value, const char *path,
                         int64_t life_s);

/* r, with Retry-After where it is the refusal of one guess too many (people/attempts.h). */
MUST_USE int call_wait(struct call *c, int r, unsigned wait_s);

/* --- pages of a list -------------------------------------------------------------------------- */

/* limit and cursor, of the parameters of these names. */
void call_list(const struct call *c, struct db_list *list);
/* What db_list and the like call -EINVAL: 422 CURSOR_INVALID. Gives -EPROTO. */
int call_bad_cursor(struct call *c);
/* Answers {name: items, "next": next}; takes both over, in every case. */
MUST_USE int call_page(struct call *c, const char *name, json_t *items, char *next);
/* Documents as `view` shows each (NULL from it: no memory); an array, or NULL: no memory. */
json_t *call_views(const json_t *docs, json_t *(*view)(const json_t *doc));
/* Both: r is what db_list and the like gave, docs and next its answers, which it takes over. */
MUST_USE int call_page_of(struct call *c, int r, const char *name, json_t *docs, char *next,
                          json_t *(*view)(const json_t *doc));

/* --- revisions: the document counts its changes in an integer --------------------------------- */

/* Of what is answered, or was just changed: If-Match asks for it. The ETag has it in front, and a
 * digest of the answer behind it. */
MUST_USE int call_revision(struct call *c, int64_t revision);

/* If-Match (the operation has x-weir-if-match): *ret_asked: the document must have *ret_revision,
 * which goes into db_update.where, and its -ESTALE is call_stale. -EPROTO: 412, no revision. */
MUST_USE int call_expected(struct call *c, bool *ret_asked, int64_t *ret_revision);
int call_stale(struct call *c); /* 412 REVISION_STALE; gives -EPROTO */

/* --- the end of `then` ------------------------------------------------------------------------ */

/* Behind `then`, on the loop: answers and frees. r: 0 or what went wrong. */
void call_finish(struct call *c, int r);
/* The same where the handler has answered c->req itself: only frees. */
void call_leave(struct call *c);

/* --- credentials, for caller_ops -------------------------------------------------------------- */

const char *call_bearer(const struct call *c);                     /* NULL: none */
struct str call_cookie_of(const struct call *c, const char *name); /* STR_NONE: none */

/* --- memory that lives as long as the call ---------------------------------------------------- */

char *call_keep(struct call *c, struct str s); /* zero-terminated; NULL when out of memory */
