/* SPDX-License-Identifier: Apache-2.0 */
/* caller: who makes a call, and how that is found out.
 *
 * Life:    part of a call. Before a handler runs: caller_ops.look on the loop, and where that
 *          cannot tell without blocking, caller_ops.find on a pool thread.
 * Owner:   the call.
 * Threads: look on the request's loop, find on a pool thread; never both at once.
 * Errors:  as said below.
 * Units:   - */
#pragma once
#include <jansson.h>
#include "db/db.h"

struct call;

enum caller_kind {
    CALLER_NONE,     /* nobody said who they are */
    CALLER_USER,     /* logged in */
    CALLER_KEY,      /* a machine with a user's API key */
    CALLER_OPERATOR, /* has the admin credential of this installation */
};

enum { CALLER_FREE = 1, CALLER_PREMIUM = 2, CALLER_CREATOR = 4, CALLER_ADMIN = 8 };

struct caller {
    enum caller_kind kind;
    char user[DB_ID_SIZE_MAX + 1];    /* the user's id; of a key: its owner's */
    char session[DB_ID_SIZE_MAX + 1]; /* the log-in's id, or the key's */
    char profile[DB_ID_SIZE_MAX + 1]; /* of a log-in that chose one; "": none */
    int rating_max;                   /* of that profile, in years of age; < 0: no limit */
    unsigned roles;                   /* CALLER_FREE... */
    json_t *scopes;                   /* of a key: a list of texts; owned */
    json_t *document;                 /* the user's, where finding out read it anyway; owned */
};

struct caller_ops {
    /* Fills c->caller from the request's credentials (call_credential), without blocking. 0: known,
     * or nobody (CALLER_NONE: none were sent); -EAGAIN: find can tell; -EPROTO: they are no good,
     * the fault (401) is set; else -errno. */
    int (*look)(struct call *c);
    int (*find)(struct call *c); /* the same, may block; no -EAGAIN */
};

/* The role's bit by its name ("creator"); 0: none of that name. */
unsigned caller_role(const char *name);
void caller_clear(struct caller *c);

/* Whether the caller may call the operation of c: 0, or -EPROTO with 401 or 403. */
MUST_USE int caller_check(struct call *c);
