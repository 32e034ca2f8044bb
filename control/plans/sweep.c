/* SPDX-License-Identifier: Apache-2.0 */
/* A sweep:  a page of users with several sessions (leases) -> their limits (pool) -> each trimmed,
 *           SWEEP_AT_ONCE of them under way -> the next page. */
#include "control/plans/sweep.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "control/control.h"
#include "control/plans/rights.h"

#define SWEEP_LOOK_MS 500 /* whether somebody wants one now */
#define SWEEP_AT_ONCE 64

struct sweep_user {
    char *id;
    unsigned limit; /* 0: not known */
};

struct sweep {
    uint32_t magic;
#define SWEEP_MAGIC UINT32_C(0x53eeb111)
    struct control *control;
    struct leases *leases;
    struct loop *loop;
    struct live *live; /* while one is under way */
    struct loop_timer timer;
    uint64_t every_ms;
    uint64_t due_ms; /* monotonic */
    bool is_working; /* a pool thread has it */
    bool is_freed;

    struct sweep_user *users;
    unsigned users_count;
    unsigned at; /* the next to trim */
    unsigned under_way;
    uint64_t next;
    int res;
    uint64_t ended;
};

static void sweep_on_timer(void *arg);
static void sweep_page(struct sweep *s);

static void sweep_forget(struct sweep *s)
{
    for (unsigned i = 0; i < s->users_count; i++)
        free(s->users[i].id);
    free(s->users);
    s->users = NULL;
    s->users_count = 0;
}

static void sweep_drop(struct sweep *s)
{
    sweep_forget(s);
    live_unref(s->live);
    MAGIC_CLEAR(s);
    free(s);
}

static void sweep_end(struct sweep *s, int r)
{
    struct err err;
    if (r < 0) {
        (void)err_errno(&err, r, "looking for users beyond their plan's limit");
        log_warn("%s", err.text);
    }
    if (s->ended > 0)
        log_info("%llu sessions beyond their plan's limit are ended", (unsigned long long)s->ended);
    s->ended = 0;
    sweep_forget(s);
    s->live = live_unref(s->live);
    loop_timer_start(s->loop, &s->timer, SWEEP_LOOK_MS, sweep_on_timer, s);
}

/* --- limits: on a pool thread ----------------------------------------------------------------- */

static int sweep_read_some(struct sweep *s, const struct plan_list *plans, unsigned from,
                           unsigned count)
{
    const char *ids[DB_LIST_MAX];
    json_t *docs = NULL;
    for (unsigned i = 0; i < count; i++)
        ids[i] = s->users[from + i].id;
    int r = rights_get_many(s->control->db, ids, count, &docs);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < count; i++) {
        struct entitle_ask ask = {
            .plans = plans,
            .now_ms = clock_real_ms(),
            .default_plan = s->live->default_plan,
            .default_limit = s->live->stream_limit,
        };
        rights_fill(json_array_get(docs, i), &ask, NULL);
        s->users[from + i].limit = entitle_viewer(&ask).stream_limit;
    }
    json_decref(docs);
    return 0;
}

static int sweep_read_limits(struct sweep *s)
{
    CLEAN(plan_list_free) struct plan_list *plans = NULL;
    int r = plans_get(s->control->plans, &plans, NULL);
    for (unsigned at = 0; r == 0 && at < s->users_count; at += DB_LIST_MAX)
        r = sweep_read_some(s, plans, at, MIN(s->users_count - at, (unsigned)DB_LIST_MAX));
    return r;
}

/* --- trimming --------------------------------------------------------------------------------- */

static void sweep_trim(struct sweep *s);

static void sweep_on_trimmed(void *arg, int res, const struct lease *over, unsigned count)
{
    struct sweep *s = arg;
    (void)over;
    if (res == -ECANCELED)
        return;
    s->under_way--;
    s->ended += count;
    metric_add(s->control->playbacks_swept, count);
    if (res < 0)
        s->res = res;
    sweep_trim(s);
}

static void sweep_trim(struct sweep *s)
{
    while (s->res == 0 && s->under_way < SWEEP_AT_ONCE && s->at < s->users_count) {
        const struct sweep_user *u = &s->users[s->at++];
        int r = lease_trim(s->leases, str_of(u->id), u->limit, sweep_on_trimmed, s);
        if (r == 0)
            s->under_way++;
        else if (r != -EINVAL) /* a name that is none of ours */
            s->res = r;
    }
    if (s->under_way > 0)
        return;
    if (s->res < 0 || s->next == 0)
        sweep_end(s, s->res);
    else
        sweep_page(s);
}

static void sweep_on_limits(void *arg)
{
    struct sweep *s = arg;
    s->is_working = false;
    if (s->is_freed) {
        sweep_drop(s);
        return;
    }
    sweep_trim(s);
}

static void sweep_on_pool(void *arg)
{
    struct sweep *s = arg;
    s->res = sweep_read_limits(s);
    control_worked(s->control, false, s->res);
    if (loop_post(s->loop, sweep_on_limits, s) < 0)
        log_error("out of memory: limits are not swept any more");
}

/* --- pages ------------------------------------------------------------------------------------ */

static int sweep_take(struct sweep *s, const struct str *users, unsigned count)
{
    sweep_forget(s);
    s->users = calloc(MAX(count, 1U), sizeof *s->users);
    if (s->users == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        if (users[i].size == 0 || users[i].size > DB_ID_SIZE_MAX)
            continue; /* whoever wrote that, it is no user */
        char *id = str_dup(users[i]);
        if (id == NULL)
            return -ENOMEM;
        s->users[s->users_count++].id = id;
    }
    return 0;
}

static void sweep_on_page(void *arg, int res, const struct str *users, unsigned count,
                          uint64_t next)
{
    struct sweep *s = arg;
    if (res == -ECANCELED)
        return;
    int r = res < 0 ? res : sweep_take(s, users, count);
    s->next = next;
    s->at = 0;
    s->res = 0;
    if (r == 0 && s->users_count == 0 && next != 0) {
        sweep_page(s);
        return;
    }
    if (r == 0 && s->users_count > 0) {
        s->is_working = true;
        r = control_run(s->control, false, sweep_on_pool, s);
        if (r == 0)
            return;
        s->is_working = false;
    }
    sweep_end(s, r);
}

static void sweep_page(struct sweep *s)
{
    int r = lease_crowded(s->leases, s->next, sweep_on_page, s);
    if (r < 0)
        sweep_end(s, r);
}

static void sweep_on_timer(void *arg)
{
    struct sweep *s = arg;
    uint64_t now_ms = clock_mono_ms();
    bool is_wanted = atomic_exchange(&s->control->sweep_wanted, false);
    if (now_ms < s->due_ms && !is_wanted) {
        loop_timer_start(s->loop, &s->timer, SWEEP_LOOK_MS, sweep_on_timer, s);
        return;
    }
    s->due_ms = now_ms + s->every_ms;
    s->live = control_live(s->control);
    s->next = 0;
    sweep_page(s);
}

int sweep_new(struct control *c, struct leases *leases, struct loop *loop, uint32_t every_s,
              struct sweep **ret)
{
    struct sweep *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->magic = SWEEP_MAGIC;
    s->control = c;
    s->leases = leases;
    s->loop = loop;
    s->every_ms = (uint64_t)every_s * 1000;
    s->due_ms = clock_mono_ms() + s->every_ms;
    loop_timer_start(loop, &s->timer, SWEEP_LOOK_MS, sweep_on_timer, s);
    *ret = s;
    return 0;
}

struct sweep *sweep_free(struct sweep *s)
{
    if (s == NULL)
        return NULL;
    ASSERT(s->magic == SWEEP_MAGIC);
    loop_timer_stop(&s->timer);
    s->is_freed = true;
    if (!s->is_working)
        sweep_drop(s);
    return NULL;
}
