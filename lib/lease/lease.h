/* SPDX-License-Identifier: Apache-2.0 */
/* lease: who is playing what now, and how much a user may play at once. A playback holds a lease;
 * the limit is checked when it is opened, in one step with it, so that it never holds more.
 *
 *   open -> live --renewed within LEASE_LIFE_MS--> live
 *            |---- not renewed --------> expired: renewing takes it up again if there is room
 *            |---- end (notice to all) -> ended: refused until its token has expired
 *            `---- trim, when the limit has become lower -> the same, and told apart
 *
 * A backend that has lost its memory takes up what is renewed: nobody's film stops because a Redis
 * was restarted. What it then no longer knows is the limit (until the user's next opening) and what
 * was ended (until the token expires).
 *
 * Life:    leases_open_local or leases_open_redis -> calls -> leases_close, before bus and book.
 *          A call: 0 -> its callback exactly once, on a later turn of the loop; leases_close calls
 *          the rest with -ECANCELED. An error -> no callback. Callbacks may make calls, not close.
 * Owner:   the loop's thread. Texts of a call are copied; those of an answer are lent for the call.
 * Threads: the loop's. A book is shared by the leases of any threads and outlives them.
 * Errors:  -EINVAL: a text that is too long, has control characters, or is needed and empty; a
 *          limit or batch of 0 or too large. -ENOMEM, -ENOBUFS. Callbacks: -EDQUOT (over the
 *          limit), -ENOENT, and those of bus.h: the backend is away.
 * Units:   milliseconds since 1970 by the backend's clock. */
#pragma once
#include "bus/bus.h"

#define LEASE_LIFE_MS      120000 /* from the last renewal */
#define LEASE_HEARTBEAT_MS 30000  /* how often players are asked to renew */
#define LEASE_TEXT_MAX     256    /* bytes */
#define LEASE_LIMIT_MAX    1000
#define LEASE_BATCH_MAX    1024
#define LEASE_CROWD_MAX    1000 /* of a page */
#define LEASE_ENDED_MAX    64   /* of a user; of more the ones whose tokens expire first go */
#define LEASE_CHANNEL      "weir:lease:ended" /* a session's id a message */

struct leases;
struct lease_book;
struct lease_watch;

struct lease {
    struct str user;        /* needed */
    struct str session;     /* needed; unique in itself */
    struct str asset;       /* what plays */
    struct str device;      /* an id that the player has made up */
    struct str device_name; /* for people */
    int64_t started_ms; /* answered; given to a renewal that takes up what another backend had */
    int64_t expires_ms; /* answered: of the lease */
    int64_t until_ms;   /* given: when the token expires */
    unsigned limit;     /* given to a renewal by who knows it; 0: as at the last opening */
};

/* active: of -EDQUOT and of lease_list, oldest first. */
typedef void lease_done(void *arg, int res, const struct lease *active, unsigned count);

/* LEASE_UNSURE: the backend did not say. LEASE_OVER: ended by lease_trim. */
enum lease_state { LEASE_UNSURE, LEASE_LIVE, LEASE_ENDED, LEASE_FULL, LEASE_OVER };
typedef void lease_renewed(void *arg, int res, const enum lease_state *states, unsigned count);

/* next: where the next page begins; 0: that was all. */
typedef void lease_crowd(void *arg, int res, const struct str *users, unsigned count,
                         uint64_t next);

/* --- backends --------------------------------------------------------------------------------- */

/* The leases of an installation whose control is one process: its memory. */
MUST_USE int lease_book_new(struct lease_book **ret);
struct lease_book *lease_book_free(struct lease_book *b); /* after its leases */
MUST_USE int leases_open_local(struct lease_book *book, struct bus *bus, struct leases **ret);

/* In Redis, one hash a user: "weir:lease:{USER}". */
MUST_USE int leases_open_redis(struct bus *bus, struct leases **ret);

/* For tests: what LEASE_LIFE_MS is. */
void leases_set_life(struct leases *l, uint32_t life_ms);

/* --- calls ------------------------------------------------------------------------------------ */

struct leases *leases_close(struct leases *l);

/* 0, or -EDQUOT with the user's active ones when they are limit or more. What the same device had
 * open before is ended first: a page that is loaded again is not in its own way. */
MUST_USE int lease_open(struct leases *l, const struct lease *lease, unsigned limit, lease_done *cb,
                        void *arg);
MUST_USE int lease_list(struct leases *l, struct str user, lease_done *cb, void *arg);

/* Ends the session and tells all who watch; -ENOENT: the user has none of that name. */
MUST_USE int lease_end(struct leases *l, struct str user, struct str session, lease_done *cb,
                       void *arg);

/* Ends the user's oldest sessions until no more than limit are left, which counts from now on, and
 * tells all who watch. active: those that were ended, oldest first. -EOPNOTSUPP: not here. */
MUST_USE int lease_trim(struct leases *l, struct str user, unsigned limit, lease_done *cb,
                        void *arg);

/* A page of the users who may be over a limit that has become lower: those who have had two live
 * sessions or more at once; who has just come or gone may be missing or left. cursor 0: the first
 * page. -EOPNOTSUPP: not here. */
MUST_USE int lease_crowded(struct leases *l, uint64_t cursor, lease_crowd *cb, void *arg);

/* Many at once: states[i] is what became of leases[i]. res < 0: no state is known. */
MUST_USE int lease_renew(struct leases *l, const struct lease *leases, unsigned count,
                         lease_renewed *cb, void *arg);

/* on_ended for each session that is ended anywhere; on_gap at first and after a break, in which
 * notices may have been missed: renew what matters then. */
MUST_USE int lease_watch(struct leases *l, void (*on_ended)(void *arg, struct str session),
                         void (*on_gap)(void *arg), void *arg, struct lease_watch **ret);
struct lease_watch *lease_unwatch(struct lease_watch *w); /* takes NULL, returns NULL */
