/* SPDX-License-Identifier: Apache-2.0 */
/* lease_book: the leases of one process's memory, by user.
 *
 * Life:    lease_book_new -> book__* -> lease_book_free (lease.h).
 * Owner:   the daemon's main.
 * Threads: any; every call takes the book's lock for some hundred instructions.
 * Errors:  -ENOMEM, -ENOBUFS (BOOK_USERS_MAX), and those of lease.h's callbacks.
 * Units:   milliseconds since 1970, given by the caller. */
#pragma once
#include "lease/lease_backend.h"

#define BOOK_USERS_MAX UINT32_C(1000000)

/* A user's live leases, copied; book__list_clear frees. */
struct book_list {
    struct lease *at;
    unsigned count;
    char *texts;
};

/* ret_full: those that are in the way when it is -EDQUOT; ret_ended: those of the same device,
 * which were ended. Both are empty before the call. */
MUST_USE int book__open(struct lease_book *b, const struct lease *lease, unsigned limit,
                        int64_t now_ms, uint32_t life_ms, struct book_list *ret_full,
                        struct book_list *ret_ended);
MUST_USE int book__list(struct lease_book *b, struct str user, int64_t now_ms,
                        struct book_list *ret);
/* ret_over: those that were ended; empty before the call. */
MUST_USE int book__trim(struct lease_book *b, struct str user, unsigned limit, int64_t now_ms,
                        struct book_list *ret_over);

/* Names of users with two live leases or more; book__crowd_clear frees. */
struct book_crowd {
    struct str *users;
    unsigned count;
    char *texts;
    uint64_t next;
};
MUST_USE int book__crowded(struct lease_book *b, uint64_t cursor, int64_t now_ms,
                           struct book_crowd *ret);
void book__crowd_clear(struct book_crowd *c);
MUST_USE int book__end(struct lease_book *b, struct str user, struct str session, int64_t now_ms);
enum lease_state book__renew(struct lease_book *b, const struct lease *lease, int64_t now_ms,
                             uint32_t life_ms);
void book__list_clear(struct book_list *l);
