/* SPDX-License-Identifier: Apache-2.0 */
/* tickets: secrets that are good once and for a while: the links in letters, the step between
 * password and second factor, the way to an OpenID provider and back. The holder has 256 random
 * bits, the database their SHA-256: who reads it can use none.
 *
 * Life:    ticket_make -> ticket_read* -> ticket_take, once; or it ends.
 * Owner:   the database; documents answered are the caller's.
 * Threads: any; every call blocks on the database.
 * Errors:  -ENOENT no such ticket of that kind, used, or over; others as db.h.
 * Units:   milliseconds since 1970, given by the caller.
 *
 * A document: {"id","kind","about","data","created_ms","ends_ms"}. */
#pragma once
#include "base/str.h"
#include "db/db.h"

#define TICKET_SIZE 44 /* 43 of base64url and a zero */

/* 43 characters of base64url from 256 random bits. */
void ticket_random(char out[TICKET_SIZE]);

/* about: whom (an account's id, an address); data: an object, taken as it is, or NULL. */
MUST_USE int ticket_make(struct db *db, const char *kind, const char *about, const json_t *data,
                         int64_t now_ms, int64_t life_ms, char ret_ticket[TICKET_SIZE]);
MUST_USE int ticket_read(struct db *db, const char *kind, struct str ticket, int64_t now_ms,
                         json_t **ret);
/* Of many that take the same one at the same time, one gets it. */
MUST_USE int ticket_take(struct db *db, const char *kind, struct str ticket, int64_t now_ms,
                         json_t **ret);
/* All of that kind that are about this one, at most a thousand. */
MUST_USE int tickets_drop(struct db *db, const char *kind, const char *about);
/* The newest of them; -ENOENT: none. */
MUST_USE int tickets_newest(struct db *db, const char *kind, const char *about, int64_t now_ms,
                            json_t **ret);
MUST_USE int tickets_purge(struct db *db, int64_t now_ms, uint64_t *ret_count);
