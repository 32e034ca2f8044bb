/* SPDX-License-Identifier: Apache-2.0 */
/* db_copy: databases as tools see them: opened by what they say of themselves, checked, copied from
 * one backend to another, and compared.
 *
 * Life:    db_open_stored -> db_check_all, db_copy_all, db_compare -> db_close, then
 *          db_stored_free.
 * Owner:   the caller.
 * Threads: any, each its own databases; progress is told on the caller's.
 * Errors:  0 or -errno with a sentence in err; -EINTR the caller's function has said so.
 * Units:   documents. */
#pragma once
#include "db/db.h"
#include "db/db_stored.h"

/* Opens what a program has made, with the schema that it left there. -ENOENT: nothing is there.
 * *ret_schema must outlive the database. */
MUST_USE int db_open_stored(const char *address, struct err *err, struct db **ret,
                            struct db_schema **ret_schema);

struct db_watch {
    /* Now and then; false ends the work with -EINTR. */
    bool (*progress)(void *arg, const char *collection, uint64_t done, uint64_t total);
    /* After each collection; digest is of all its documents, whatever keeps them. */
    void (*collection)(void *arg, const char *collection, uint64_t count, const char *digest);
    void *arg;
};

/* Puts all documents of from into to, which has the same schema. -ENOTEMPTY: to has documents,
 * unless it may resume: then each collection goes on behind the last id that to has. */
MUST_USE int db_copy_all(struct db *from, struct db *to, bool resume, const struct db_watch *watch,
                         struct err *err);

/* -EBADMSG: the sentence names the first difference. */
MUST_USE int db_compare(struct db *from, struct db *to, const struct db_watch *watch,
                        struct err *err);

/* Every document against the schema, every key and the words against the documents, and what the
 * backend can find out about itself. -EBADMSG: the sentence names the first fault. */
MUST_USE int db_check_all(struct db *db, const struct db_watch *watch, struct err *err);
