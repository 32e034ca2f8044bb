/* SPDX-License-Identifier: Apache-2.0 */
/* db_mirror: what a program reads far more often than it changes, kept in its memory in front of
 * the backend. A *mirrored* collection is there whole: gets, lists, counts, searches, facets and
 * words are answered from memory, with the same answers. A *remembered* one keeps what was got by
 * its id, also that there is none.
 *
 * Life:    db_open -> db_mirror, db_remember (before other threads use db) -> db_mirror_fill, and
 *          db_fresh again and again -> db_close.
 * Owner:   the database.
 * Threads: any. db_mirror_fill and db_heard block on the backend; one fill at a time.
 * Errors:  -ENOBUFS the collection is larger than it may be; -EBUSY a fill is under way; else as
 *          db.h.
 * Units:   milliseconds of the monotonic clock; bytes.
 *
 * What this process writes through db.h is in memory before the call returns, and db_tell's
 * function is called. What others write has to be told by db_heard (one document) or db_lost (all
 * of it may be wrong). Who cannot tell what others do calls nothing: memory counts only until the
 * time that db_fresh was given, and the backend is asked after that. So a program decides how old
 * an answer may be. Changes never go by what memory has: db_update and its like look at what is
 * stored. */
#pragma once
#include "db/db.h"

#define DB_REMEMBER_MAX 65536 /* documents of a remembered collection */

MUST_USE int db_mirror(struct db *db, unsigned coll, size_t size_max);
MUST_USE int db_remember(struct db *db, unsigned coll);

/* Reads the whole collection. Until it has, the backend answers. */
MUST_USE int db_mirror_fill(struct db *db, unsigned coll);
bool db_mirror_is_whole(const struct db *db, unsigned coll);
size_t db_mirror_size(struct db *db, unsigned coll);

/* Of all collections: memory counts until then; UINT64_MAX: for ever, nobody else writes. */
void db_fresh(struct db *db, uint64_t until_ms);
bool db_is_fresh(const struct db *db); /* memory counts now */

void db_heard(struct db *db, unsigned coll, const char *id);
void db_lost(struct db *db, unsigned coll); /* a mirror is to be filled again */

/* Called by the thread that writes, after each change of a mirrored or remembered collection
 * by this process, also by one that may have failed. NULL: nobody wants to know any more. */
typedef void db_told_fn(void *arg, unsigned coll, const char *id);
void db_tell(struct db *db, db_told_fn *fn, void *arg);

/* Whether somebody else has written since the last call; only backends of one file can tell:
 * -EOPNOTSUPP. The first call answers true. */
MUST_USE int db_others(struct db *db, bool *ret);
