/* SPDX-License-Identifier: Apache-2.0 */
/* A round:  timer -> Redis asked for anything -> page of documents (pool) -> of each document:
 *           ended ones renewed, then ended -> live ones renewed -> deleted (pool) -> the next.
 * Whatever fails ends the round; the timer begins another. */
#include "control/plans/lease_mend.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "control/plans/lease_doc.h"

#define LEASE_MEND_PAGE  100
#define LEASE_MEND_PROBE "weir:mend" /* a user that nobody is */

struct lease_mend {
    uint32_t magic;
#define LEASE_MEND_MAGIC UINT32_C(0x1ea5e3e4)
    struct lease_db_options options;
    struct loop *loop;
    struct leases *redis;
    struct loop_timer timer;
    uint64_t all_ms; /* monotonic: when all are looked at, asked for or not */
    bool is_working; /* a pool thread has it */
    bool is_freed;

    json_t *docs; /* a page */
    size_t at;
    int res; /* of the pool's work */
    size_t ended_at;
    unsigned mended;
};

static void mend_on_timer(void *arg);
static void mend_next(struct lease_mend *m);

static json_t *mend_doc(const struct lease_mend *m)
{
    return json_array_get(m->docs, m->at);
}

static struct str mend_text(const json_t *object, const char *name)
{
    const json_t *text = json_object_get(object, name);
    return (struct str){json_string_value(text), json_string_length(text)};
}

static void mend_drop(struct lease_mend *m)
{
    json_decref(m->docs);
    MAGIC_CLEAR(m);
    free(m);
}

/* is_whole: nothing is left to bring back. */
static void mend_end_round(struct lease_mend *m, bool is_whole)
{
    struct lease_db_state *state = m->options.state;
    if (is_whole && !atomic_load(&state->written)) {
        atomic_store(&state->pending, false);
        if (atomic_load(&state->written)) /* in between */
            atomic_store(&state->pending, true);
    }
    if (m->mended > 0)
        log_info("sessions of %u users are back in Redis", m->mended);
    m->mended = 0;
    json_decref(m->docs);
    m->docs = NULL;
    loop_timer_start(m->loop, &m->timer, LEASE_MEND_LOOK_MS, mend_on_timer, m);
}

/* --- on a pool thread ------------------------------------------------------------------------- */

static void mend_run(struct lease_mend *m, pool_work *work);

static void mend_on_read(void *arg)
{
    struct lease_mend *m = arg;
    m->is_working = false;
    if (m->is_freed) {
        mend_drop(m);
        return;
    }
    m->at = 0;
    if (m->res < 0 || json_array_size(m->docs) == 0)
        mend_end_round(m, m->res == 0);
    else
        mend_next(m);
}

static void mend_read(void *arg)
{
    struct lease_mend *m = arg;
    const struct lease_db_options *o = &m->options;
    const struct db_list list = {.limit = LEASE_MEND_PAGE};
    char *cursor = NULL;
    json_t *docs = NULL;
    int r = db_delete_below(o->db, o->coll, "until_ms", clock_real_ms(), NULL);
    if (r == 0)
        r = db_list(o->db, o->coll, &list, &docs, &cursor);
    free(cursor);
    json_decref(m->docs);
    m->docs = docs;
    m->res = r;
    if (loop_post(m->loop, mend_on_read, m) < 0)
        log_error("out of memory: sessions stay in the database until the next start");
}

static void mend_on_deleted(void *arg)
{
    struct lease_mend *m = arg;
    m->is_working = false;
    if (m->is_freed) {
        mend_drop(m);
        return;
    }
    if (m->res == -ESTALE || m->res == -ENOENT) { /* changed: the next round brings the rest */
        atomic_store(&m->options.state->written, true);
        m->res = 0;
    } else if (m->res == 0) {
        m->mended++;
    }
    if (m->res < 0) {
        mend_end_round(m, false);
        return;
    }
    m->at++;
    mend_next(m);
}

static void mend_delete(void *arg)
{
    struct lease_mend *m = arg;
    const json_t *doc = mend_doc(m);
    json_t *where = json_pack("{s:O}", "rev", json_object_get(doc, "rev"));
    const char *id = json_string_value(json_object_get(doc, "id"));
    m->res = where == NULL || id == NULL ? -ENOMEM
                                         : db_delete_if(m->options.db, m->options.coll, id, where);
    json_decref(where);
    if (loop_post(m->loop, mend_on_deleted, m) < 0)
        log_error("out of memory: sessions stay in the database until the next start");
}

static void mend_run(struct lease_mend *m, pool_work *work)
{
    m->is_working = true;
    if (m->options.run(m->options.arg, work, m) < 0) {
        m->is_working = false;
        mend_end_round(m, false);
    }
}

/* --- one document ----------------------------------------------------------------------------- */

static void mend_on_live(void *arg, int res, const enum lease_state *states, unsigned count)
{
    struct lease_mend *m = arg;
    (void)states, (void)count; /* one that has no place any more hears so from Redis */
    if (res == -ECANCELED)
        return;
    if (res < 0)
        mend_end_round(m, false);
    else
        mend_run(m, mend_delete);
}

static void mend_live(struct lease_mend *m)
{
    struct lease_doc_list list = {0};
    struct str user = mend_text(mend_doc(m), "id");
    int r = lease_doc_list(mend_doc(m), clock_real_ms(), &list);
    for (unsigned i = 0; r == 0 && i < list.count; i++)
        list.at[i].user = user;
    if (r == 0 && list.count == 0)
        mend_run(m, mend_delete);
    else if (r == 0)
        r = lease_renew(m->redis, list.at, MIN(list.count, (unsigned)LEASE_BATCH_MAX), mend_on_live,
                        m);
    lease_doc_list_clear(&list);
    if (r < 0)
        mend_end_round(m, false);
}

static void mend_ended(struct lease_mend *m);

static void mend_on_ended(void *arg, int res, const struct lease *active, unsigned count)
{
    struct lease_mend *m = arg;
    (void)active, (void)count;
    if (res == -ECANCELED)
        return;
    if (res < 0 && res != -ENOENT) {
        mend_end_round(m, false);
        return;
    }
    m->ended_at++;
    mend_ended(m);
}

static void mend_on_taken_up(void *arg, int res, const enum lease_state *states, unsigned count)
{
    struct lease_mend *m = arg;
    (void)states, (void)count;
    if (res == -ECANCELED)
        return;
    const json_t *e = json_array_get(lease_doc_ended(mend_doc(m)), m->ended_at);
    int r = res < 0 ? res
                    : lease_end(m->redis, mend_text(mend_doc(m), "id"), mend_text(e, "session"),
                                mend_on_ended, m);
    if (r < 0)
        mend_end_round(m, false);
}

/* Redis marks as ended only what it has: each is taken up, and ended. */
static void mend_ended(struct lease_mend *m)
{
    const json_t *e = json_array_get(lease_doc_ended(mend_doc(m)), m->ended_at);
    if (e == NULL) {
        mend_live(m);
        return;
    }
    const struct lease l = {
        .user = mend_text(mend_doc(m), "id"),
        .session = mend_text(e, "session"),
        .until_ms = json_integer_value(json_object_get(e, "until_ms")),
    };
    if (lease_renew(m->redis, &l, 1, mend_on_taken_up, m) < 0)
        mend_end_round(m, false);
}

static void mend_next(struct lease_mend *m)
{
    if (m->at < json_array_size(m->docs)) {
        m->ended_at = 0;
        mend_ended(m);
    } else if (m->at == LEASE_MEND_PAGE) {
        mend_run(m, mend_read);
    } else {
        mend_end_round(m, true);
    }
}

/* --- rounds ----------------------------------------------------------------------------------- */

static void mend_on_probe(void *arg, int res, const struct lease *active, unsigned count)
{
    struct lease_mend *m = arg;
    (void)active, (void)count;
    if (res == -ECANCELED)
        return;
    if (res < 0) {
        mend_end_round(m, false);
        return;
    }
    atomic_store(&m->options.state->written, false); /* before the read */
    mend_run(m, mend_read);
}

static void mend_on_timer(void *arg)
{
    struct lease_mend *m = arg;
    if (clock_mono_ms() >= m->all_ms) {
        m->all_ms = clock_mono_ms() + LEASE_MEND_ALL_MS;
        atomic_store(&m->options.state->pending, true);
    }
    if (!atomic_load(&m->options.state->pending) ||
        lease_list(m->redis, STR(LEASE_MEND_PROBE), mend_on_probe, m) < 0)
        loop_timer_start(m->loop, &m->timer, LEASE_MEND_LOOK_MS, mend_on_timer, m);
}

int lease_mend_new(const struct lease_db_options *options, struct lease_mend **ret)
{
    struct lease_mend *m = calloc(1, sizeof *m);
    if (m == NULL)
        return -ENOMEM;
    m->magic = LEASE_MEND_MAGIC;
    m->options = *options;
    m->loop = bus_loop(options->bus);
    int r = leases_open_redis(options->bus, &m->redis);
    if (r < 0) {
        free(m);
        return r;
    }
    loop_timer_start(m->loop, &m->timer, 0, mend_on_timer, m);
    *ret = m;
    return 0;
}

struct lease_mend *lease_mend_free(struct lease_mend *m)
{
    if (m == NULL)
        return NULL;
    ASSERT(m->magic == LEASE_MEND_MAGIC);
    loop_timer_stop(&m->timer);
    m->redis = leases_close(m->redis);
    m->is_freed = true;
    if (!m->is_working)
        mend_drop(m);
    return NULL;
}
