/* SPDX-License-Identifier: Apache-2.0 */
/* stopped: a database that takes so many more changes and none after: as if the process had been
 * killed between two of them. What was done before is done. */
#pragma once
#include <errno.h>
#include "db/db_backend.h"
#include "../fixture.h" /* last: cmocka */

struct stopped {
    const struct db_backend_ops *real;
    struct db_backend_ops ops;
    int left; /* changes that are still taken */
    bool hit; /* one was refused */
};

static struct stopped stopped_state;

static inline int stopped_now(void)
{
    if (stopped_state.left-- > 0)
        return 0;
    stopped_state.hit = true;
    return -EIO;
}

static inline int stopped_write(struct db *db, unsigned coll, enum db_write how,
                                const struct db_draft *draft)
{
    int r = stopped_now();
    return r < 0 ? r : stopped_state.real->write(db, coll, how, draft);
}

static inline int stopped_change(struct db *db, unsigned coll, const char *id, db_change_fn *fn,
                                 void *arg)
{
    int r = stopped_now();
    return r < 0 ? r : stopped_state.real->change(db, coll, id, fn, arg);
}

static inline int stopped_remove(struct db *db, unsigned coll, const char *id)
{
    int r = stopped_now();
    return r < 0 ? r : stopped_state.real->remove(db, coll, id);
}

/* From here on the database takes `changes` more. */
static inline void stopped_after(struct db *db, int changes)
{
    stopped_state = (struct stopped){.real = db->ops, .ops = *db->ops, .left = changes};
    stopped_state.ops.write = stopped_write;
    stopped_state.ops.change = stopped_change;
    stopped_state.ops.remove = stopped_remove;
    db->ops = &stopped_state.ops;
}

/* The next start. Whether a change was refused in between. */
static inline bool stopped_again(struct db *db)
{
    db->ops = stopped_state.real;
    return stopped_state.hit;
}

#define STOPPED_MAX 200 /* changes of one operation and its sweep: more is a loop */
