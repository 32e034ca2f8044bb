/* SPDX-License-Identifier: Apache-2.0 */
/* One program at a time opens a database: who migrates must not meet another who does. The lock is
 * a document with an end, which its holder puts off; who dies with it blocks the others so long. */
#include "db/db_mongo.h"
#include <errno.h>
#include <unistd.h>
#include "base/clock.h"

#define DB_MONGO_LOCK       "lock"
#define DB_MONGO_LOCK_MS    60000
#define DB_MONGO_RENEW_MS   15000
#define DB_MONGO_LOCK_WAIT  (5 * 60 * 1000)
#define DB_MONGO_LOCK_PAUSE 100

static void db_mongo_lock_doc(const struct db_mongo *m, bson_t *ret)
{
    bson_init(ret);
    (void)bson_append_utf8(ret, "_id", -1, DB_MONGO_LOCK, -1);
    (void)bson_append_oid(ret, "_rev", -1, &m->owner);
    (void)bson_append_int64(ret, "until_ms", -1, clock_real_ms() + DB_MONGO_LOCK_MS);
}

/* Takes it from one whose time is over; *ret whether. */
static int db_mongo_lock_over(struct db_mongo_use *use, const bson_t *doc, bool *ret)
{
    bson_t filter = BSON_INITIALIZER;
    bson_t until;
    int count = 0;
    (void)bson_append_utf8(&filter, "_id", -1, DB_MONGO_LOCK, -1);
    (void)bson_append_document_begin(&filter, "until_ms", -1, &until);
    (void)bson_append_int64(&until, "$lt", -1, clock_real_ms());
    (void)bson_append_document_end(&filter, &until);
    int r = db_mongo_replace(use, &filter, doc, false, &count);
    bson_destroy(&filter);
    *ret = count > 0;
    return r;
}

static int db_mongo_lock_try(struct db_mongo *m, bool *ret)
{
    struct db_mongo_use use;
    bson_t doc;
    db_mongo_lock_doc(m, &doc);
    db_mongo_begin_meta(m, &use);
    int r = db_mongo_insert(&use, DB_MONGO_LOCK, &doc, &m->owner);
    *ret = r == 0;
    if (r == -EEXIST)
        r = db_mongo_lock_over(&use, &doc, ret);
    db_mongo_end(&use);
    bson_destroy(&doc);
    return r;
}

int db_mongo_lock(struct db_mongo *m, struct err *err)
{
    uint64_t end = clock_mono_ms() + DB_MONGO_LOCK_WAIT;
    bson_oid_init(&m->owner, NULL);
    for (;;) {
        bool have = false;
        int r = db_mongo_lock_try(m, &have);
        if (r < 0)
            return err_errno(err, r, "opening the database %s", m->label);
        if (have)
            break;
        if (clock_mono_ms() > end)
            return err_set(err, -EBUSY, "%s is being opened by another program since minutes",
                           m->label);
        (void)usleep(1000 * DB_MONGO_LOCK_PAUSE);
    }
    m->renewed_ms = clock_mono_ms();
    m->opening = true;
    return 0;
}

static void db_mongo_lock_mine(const struct db_mongo *m, bson_t *ret)
{
    bson_init(ret);
    (void)bson_append_utf8(ret, "_id", -1, DB_MONGO_LOCK, -1);
    (void)bson_append_oid(ret, "_rev", -1, &m->owner);
}

void db_mongo_renew(struct db_mongo *m)
{
    struct db_mongo_use use;
    bson_t filter;
    bson_t doc;
    int count;
    if (clock_mono_ms() - m->renewed_ms < DB_MONGO_RENEW_MS)
        return;
    m->renewed_ms = clock_mono_ms();
    db_mongo_lock_mine(m, &filter);
    db_mongo_lock_doc(m, &doc);
    db_mongo_begin_meta(m, &use);
    /* If it fails, so does what the lock is held for. */
    (void)!db_mongo_replace(&use, &filter, &doc, false, &count);
    db_mongo_end(&use);
    bson_destroy(&doc);
    bson_destroy(&filter);
}

void db_mongo_unlock(struct db_mongo *m)
{
    struct db_mongo_use use;
    bson_t filter;
    int count;
    if (!m->opening)
        return;
    m->opening = false;
    db_mongo_lock_mine(m, &filter);
    db_mongo_begin_meta(m, &use);
    (void)!db_mongo_delete(&use, &filter, false, &count); /* else it ends by itself */
    db_mongo_end(&use);
    bson_destroy(&filter);
}
