/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/upkeep.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "control/catalog/catalog.h"
#include "control/catalog/gone.h"
#include "control/catalog/history.h"
#include "control/catalog/tally.h"
#include "control/memory.h"
#include "control/model.h"
#include "control/people/people.h"
#include "control/plans/leave.h"

struct upkeep {
    uint32_t magic;
#define UPKEEP_MAGIC UINT32_C(0x00b7ee91)
    struct control *control;
    _Atomic(struct loop *) loop; /* NULL: not attached. Every worker looks whether it is its */
    struct loop_timer timer;
    struct words *words;
    char *folder;
    atomic_bool is_running;
    struct leases *leases;     /* of that loop */
    _Atomic(json_t *) leaving; /* ids of accounts that are gone, for the loop; NULL: none */
    uint64_t aged_ms;          /* when history was looked at last; 0: never */
    struct metric *moved;
    struct metric *mended;
    struct metric *archived;
};

static void upkeep_failed(int r, const char *what)
{
    struct err err;
    (void)err_errno(&err, r, "%s", what);
    log_error("%s", err.text);
}

/* What one sweep came to: counted and told. The first failure is the turn's. */
static void upkeep_note(int r, uint64_t count, struct metric *metric, const char *what, int *turn)
{
    if (r < 0) {
        upkeep_failed(r, what);
        if (*turn == 0)
            *turn = r;
    } else if (count > 0) {
        metric_add(metric, count);
        log_info("%s: %llu", what, (unsigned long long)count);
    }
}

static void upkeep_age(struct upkeep *u, struct db *db, int64_t now_ms, int *turn)
{
    struct err err = {""};
    uint64_t count = 0;
    uint64_t mono_ms = clock_mono_ms();
    if (u->aged_ms != 0 && mono_ms - u->aged_ms < UPKEEP_HISTORY_MS)
        return;
    int r = history_pack(db, now_ms, &count);
    upkeep_note(r, count, u->archived, "packing history", turn);
    count = 0;
    if (r == 0 && u->folder != NULL) {
        r = history_archive(db, u->folder, now_ms, &count, &err);
        if (r < 0)
            log_error("%s", err.text);
        else if (count > 0)
            log_info("history archived: %llu months of viewers", (unsigned long long)count);
    }
    if (r == 0 && count == 0) /* else there may be more that is due */
        u->aged_ms = mono_ms;
}

/* --- accounts that are gone ------------------------------------------------------------------- */

static void upkeep_on_left(void *arg, int res)
{
    (void)arg;
    if (res < 0 && res != -ECANCELED) /* it comes again as long as the account is noted */
        upkeep_failed(res, "ending what a deleted account plays");
}

/* On the loop: also where whoever deleted them was killed before it had ended what they play. */
static void upkeep_leave(struct upkeep *u)
{
    json_t *users = atomic_exchange(&u->leaving, NULL);
    size_t i;
    json_t *user;
    json_array_foreach(users, i, user)
    {
        const char *id = json_string_value(user);
        int r = id == NULL ? 0 : leave_all(u->leases, id, upkeep_on_left, u);
        if (r < 0)
            upkeep_on_left(u, r);
    }
    json_decref(users);
}

static int upkeep_find_gone(struct upkeep *u, struct db *db)
{
    json_t *users = NULL;
    size_t i;
    json_t *user;
    int r = gone_users(db, &users);
    json_array_foreach(users, i, user)
    {
        if (json_is_string(user))
            people_forget(u->control->people, json_string_value(user));
    }
    if (r == 0)
        json_decref(atomic_exchange(&u->leaving, users));
    return r;
}

/* --- turns ------------------------------------------------------------------------------------ */

static void upkeep_turn(void *arg)
{
    struct upkeep *u = arg;
    struct db *db = u->control->db;
    int64_t now_ms = clock_real_ms();
    uint64_t count = 0;
    int turn = 0;
    int r = catalog_sweep(db, now_ms, &count);
    upkeep_note(r, count, u->moved, "publishing and withdrawing", &turn);
    count = 0;
    r = upkeep_find_gone(u, db);
    if (r == 0)
        r = gone_sweep(db, now_ms, &count);
    upkeep_note(r, count, u->mended, "taking away what hangs on deleted things", &turn);
    count = 0;
    r = category_sweep(db, now_ms, &count);
    upkeep_note(r, count, u->mended, "making the paths of categories anew", &turn);
    count = 0;
    r = tally_sweep(db, now_ms, &count);
    upkeep_note(r, 0, NULL, "counting anew", &turn);
    upkeep_age(u, db, now_ms, &turn);
    r = words_refresh(u->words, db, MODEL_VIDEOS, clock_mono_ms());
    upkeep_note(r, 0, NULL, "reading the words of videos", &turn);
    control_worked(u->control, false, turn);
    atomic_store(&u->is_running, false);
}

static void upkeep_on_timer(void *arg)
{
    struct upkeep *u = arg;
    upkeep_leave(u);
    if (!memory_is_coming(u->control->memory) && !atomic_exchange(&u->is_running, true) &&
        control_run(u->control, false, upkeep_turn, u) < 0) {
        atomic_store(&u->is_running, false);
        log_debug("the database is busy: the catalogue is looked after later");
    }
    loop_timer_start(atomic_load(&u->loop), &u->timer, UPKEEP_MS, upkeep_on_timer, u);
}

void upkeep_attach(struct upkeep *u, struct loop *loop, struct leases *leases)
{
    ASSERT(u->magic == UPKEEP_MAGIC);
    ASSERT(atomic_load(&u->loop) == NULL);
    u->leases = leases;
    atomic_store(&u->loop, loop);
    loop_timer_start(loop, &u->timer, 0, upkeep_on_timer, u);
}

void upkeep_detach(struct upkeep *u, struct loop *loop)
{
    ASSERT(u->magic == UPKEEP_MAGIC);
    if (atomic_load(&u->loop) != loop)
        return;
    loop_timer_stop(&u->timer);
    atomic_store(&u->loop, NULL);
}

struct words *upkeep_words(struct upkeep *u)
{
    ASSERT(u->magic == UPKEEP_MAGIC);
    return u->words;
}

const char *upkeep_folder(const struct upkeep *u)
{
    ASSERT(u->magic == UPKEEP_MAGIC);
    return u->folder;
}

int upkeep_new(struct control *c, const char *folder, struct upkeep **ret)
{
    struct upkeep *u = calloc(1, sizeof *u);
    if (u == NULL)
        return -ENOMEM;
    u->magic = UPKEEP_MAGIC;
    u->control = c;
    u->moved = metrics_counter(c->metrics, "weir_control_videos_moved_total",
                               "Videos published and withdrawn by the clock.", "");
    u->mended = metrics_counter(c->metrics, "weir_control_mended_total",
                                "Deletions and moves that were carried to their end.", "");
    u->archived = metrics_counter(c->metrics, "weir_control_history_packed_total",
                                  "Entries of history that became warm.", "");
    int r = words_new(&u->words);
    if (r == 0 && folder != NULL) {
        u->folder = str_dup(str_of(folder));
        r = u->folder == NULL ? -ENOMEM : 0;
    }
    if (r < 0) {
        upkeep_free(u);
        return r;
    }
    *ret = u;
    return 0;
}

struct upkeep *upkeep_free(struct upkeep *u)
{
    if (u == NULL)
        return NULL;
    ASSERT(u->magic == UPKEEP_MAGIC);
    ASSERT(atomic_load(&u->loop) == NULL);
    words_free(u->words);
    json_decref(atomic_load(&u->leaving));
    free(u->folder);
    MAGIC_CLEAR(u);
    free(u);
    return NULL;
}
