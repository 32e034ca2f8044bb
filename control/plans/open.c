/* SPDX-License-Identifier: Apache-2.0 */
#include "control/plans/open.h"
#include <errno.h>
#include "base/log.h"
#include "control/model.h"
#include "control/plans/lease_mend.h"
#include "control/plans/sweep.h"
#include "lease/lease_both.h"

static int open_run(void *arg, pool_work *work, void *work_arg)
{
    return control_run(arg, false, work, work_arg);
}

/* Redis, and the database while it is away. */
static int open_both(struct control_worker *w, bool is_first)
{
    struct control *c = w->control;
    const struct lease_db_options options = {
        .db = c->db,
        .coll = MODEL_LEASES,
        .bus = w->bus,
        .run = open_run,
        .arg = c,
        .state = &c->leases_in_db,
    };
    struct leases *redis = NULL;
    struct leases *db = NULL;
    int r = leases_open_redis(w->bus, &redis);
    if (r == 0)
        r = leases_open_db(&options, &db);
    if (r == 0)
        r = leases_open_both(redis, db, c->lease_book, &c->leases_in_db.pending, w->loop,
                             &w->leases);
    if (r < 0) {
        leases_close(redis);
        leases_close(db);
        return r;
    }
    return is_first ? lease_mend_new(&options, &w->mend) : 0;
}

static int open_leases(struct control_worker *w, bool is_first)
{
    struct control *c = w->control;
    struct err err = {""};
    if (c->config->bus.redis == NULL) {
        int r = bus_open_local(c->bus_hub, w->loop, &w->bus);
        return r < 0 ? r : leases_open_local(c->lease_book, w->bus, &w->leases);
    }
    const struct bus_redis_options options = bus_config_options(&c->config->bus);
    int r = bus_open_redis(&options, w->loop, &err, &w->bus);
    if (r < 0)
        log_error("%s", err.text);
    else if (c->config->leases_fail == CONTROL_LEASES_DB)
        r = open_both(w, is_first);
    else
        r = leases_open_redis(w->bus, &w->leases);
    return r;
}

int plans_open(struct control_worker *w, bool is_first)
{
    const struct control_config *config = w->control->config;
    int r = open_leases(w, is_first);
    if (r < 0 || !is_first)
        return r;
    uint32_t every_s = config->sweep_s != 0 ? config->sweep_s : CONTROL_SWEEP_S;
    return sweep_new(w->control, w->leases, w->loop, every_s, &w->sweep);
}

void plans_close(struct control_worker *w)
{
    w->sweep = sweep_free(w->sweep);
    w->mend = lease_mend_free(w->mend);
    w->leases = leases_close(w->leases);
    w->bus = bus_close(w->bus);
}
