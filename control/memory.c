/* SPDX-License-Identifier: Apache-2.0 */
#include "control/memory.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "control/api/gate.h"
#include "control/api/gate_cache.h"
#include "control/model.h"
#include "control/people/known.h"
#include "control/people/people.h"
#include "db/db_mirror.h"

#define MEMORY_COMING_MS (2 * 60 * 1000) /* for so long others wait for the first time */
#define MEMORY_CHANNEL   "weir:control:memory"
#define MEMORY_BEAT      "beat"
#define MEMORY_ALL       "all" /* what the sender has changed may not have been heard */
#define MEMORY_TEXT      (ID_TEXT_SIZE + DB_ID_SIZE_MAX + 32)

/* What other controls change is heard of by everybody: small documents that every request needs. */
static const unsigned memory_remembered[] = {MODEL_USERS, MODEL_SESSIONS, MODEL_RIGHTS};

struct memory {
    uint32_t magic;
#define MEMORY_MAGIC UINT32_C(0x3e3024f1)
    struct control *control;
    bool shared; /* with other controls, through Redis */
    char self[ID_TEXT_SIZE];
    struct metric *fills;
    atomic_bool enabled;
    uint64_t made_ms;
    atomic_bool working; /* a job on the pool: one at a time */
    atomic_bool refused; /* they are too many, or cannot be read: later */
    atomic_bool want;    /* all is to be read again */
    _Atomic uint64_t filled_ms;

    /* The loop's. */
    struct loop_timer timer;
    struct bus *bus;
    struct bus_sub *sub;
    bool was_heard; /* by others, before a break */

    pthread_mutex_t lock; /* guards what follows */
    struct loop *loop;    /* NULL: not attached */
};

static void memory_check(const struct memory *m)
{
    ASSERT(m != NULL);
    ASSERT(m->magic == MEMORY_MAGIC);
}

/* --- life ------------------------------------------------------------------------------------- */

/* Text of a change: "SENDER COLLECTION ID"; of a beat: "SENDER beat TIME". */
struct memory_word {
    struct memory *memory;
    size_t size;
    char text[MEMORY_TEXT];
};

static void memory_on_published(void *arg, int res, const struct bus_answer *answer)
{
    (void)arg;
    (void)answer;
    if (res < 0)
        log_debug("a change could not be told to other controls");
}

static void memory_publish(void *arg)
{
    struct memory_word *w = arg;
    struct memory *m = w->memory;
    if (m->bus != NULL && bus_publish(m->bus, STR(MEMORY_CHANNEL), (struct str){w->text, w->size},
                                      memory_on_published, NULL) < 0)
        memory_on_published(NULL, -ENOBUFS, NULL);
    free(w);
}

static struct memory_word *memory_word(struct memory *m, const char *what, const char *rest)
{
    struct memory_word *w = malloc(sizeof *w);
    if (w == NULL)
        return NULL;
    w->memory = m;
    int n = snprintf(w->text, sizeof w->text, "%s %s %s", m->self, what, rest);
    ASSERT(n > 0 && (size_t)n < sizeof w->text);
    w->size = (size_t)n;
    return w;
}

static void memory_say(struct memory *m, unsigned coll, const char *id)
{
    char number[16];
    (void)snprintf(number, sizeof number, "%u", coll);
    struct memory_word *w = memory_word(m, number, id);
    int r = w == NULL ? -ENOMEM : -ENOENT;
    (void)pthread_mutex_lock(&m->lock);
    if (w != NULL && m->loop != NULL)
        r = loop_post(m->loop, memory_publish, w);
    (void)pthread_mutex_unlock(&m->lock);
    if (r < 0)
        free(w);
}

static void memory_forget_answers(const struct memory *m, unsigned coll, const char *id)
{
    if (coll == MODEL_VIDEOS)
        gate_changed(m->control->gate, "videos", id);
}

/* The database's word that this process has changed something. */
static void memory_on_told(void *arg, unsigned coll, const char *id)
{
    struct memory *m = arg;
    memory_check(m);
    memory_forget_answers(m, coll, id);
    if (m->shared)
        memory_say(m, coll, id);
}

int memory_new(struct control *c, struct memory **ret)
{
    bool is_file = strstr(c->config->db, "://") == NULL;
    struct memory *m = calloc(1, sizeof *m);
    int r = 0;
    if (m == NULL)
        return -ENOMEM;
    m->magic = MEMORY_MAGIC;
    m->control = c;
    m->shared = !is_file;
    id_text(m->self);
    (void)pthread_mutex_init(&m->lock, NULL); /* default attributes: cannot fail */
    m->fills = metrics_counter(c->metrics, "weir_control_memory_fills_total",
                               "How often all videos were read into memory.", "");
    if (is_file || c->config->bus.redis != NULL)
        r = db_mirror(c->db, MODEL_VIDEOS, MEMORY_VIDEOS_MAX);
    for (unsigned i = 0;
         r == 0 && !is_file && c->config->bus.redis != NULL && i < ARRAY_LEN(memory_remembered);
         i++)
        r = db_remember(c->db, memory_remembered[i]);
    if (r < 0) {
        memory_free(m);
        return r;
    }
    db_tell(c->db, memory_on_told, m);
    m->made_ms = clock_mono_ms();
    atomic_store(&m->enabled, is_file || c->config->bus.redis != NULL);
    atomic_store(&m->want, true);
    *ret = m;
    return 0;
}

struct memory *memory_free(struct memory *m)
{
    if (m == NULL)
        return NULL;
    memory_check(m);
    ASSERT(m->loop == NULL);
    db_tell(m->control->db, NULL, NULL);
    (void)pthread_mutex_destroy(&m->lock);
    MAGIC_CLEAR(m);
    free(m);
    return NULL;
}

/* --- reading it all --------------------------------------------------------------------------- */

static void memory_lose(struct memory *m)
{
    struct db *db = m->control->db;
    db_lost(db, MODEL_VIDEOS);
    for (unsigned i = 0; m->shared && i < ARRAY_LEN(memory_remembered); i++)
        db_lost(db, memory_remembered[i]);
    known_forget(people_known(m->control->people), NULL);
    gate_changed_all(m->control->gate);
    atomic_store(&m->want, true);
}

static void memory_fill(struct memory *m)
{
    struct err err;
    struct db *db = m->control->db;
    uint64_t began_ms = clock_mono_ms();
    atomic_store(&m->want, false);
    int r = db_mirror_fill(db, MODEL_VIDEOS);
    atomic_store(&m->filled_ms, clock_mono_ms());
    gate_changed_all(m->control->gate);
    if (r == 0) {
        metric_add(m->fills, 1);
        log_info("videos are in memory: %zu KiB, read in %" PRIu64 " ms",
                 db_mirror_size(db, MODEL_VIDEOS) / 1024, clock_mono_ms() - began_ms);
        return;
    }
    if (r == -ESTALE) { /* something was missed meanwhile */
        atomic_store(&m->want, true);
        return;
    }
    atomic_store(&m->refused, true);
    (void)err_errno(&err, r, "keeping videos in memory");
    log_warn("%s: the database answers instead", err.text);
}

bool memory_is_coming(const struct memory *m)
{
    memory_check(m);
    return atomic_load(&m->enabled) && !atomic_load(&m->refused) &&
           atomic_load(&m->filled_ms) == 0 && clock_mono_ms() - m->made_ms < MEMORY_COMING_MS;
}

static bool memory_is_due(const struct memory *m)
{
    uint64_t since = clock_mono_ms() - atomic_load(&m->filled_ms);
    if (atomic_load(&m->refused))
        return since >= MEMORY_AGAIN_MS;
    return atomic_load(&m->want) || !db_mirror_is_whole(m->control->db, MODEL_VIDEOS) ||
           (m->shared && since >= MEMORY_AGAIN_MS);
}

/* On a pool thread. */
static void memory_work(void *arg)
{
    struct memory *m = arg;
    struct db *db = m->control->db;
    uint64_t began_ms = clock_mono_ms();
    bool others = false;
    int r = m->shared ? 0 : db_others(db, &others);
    if (r == 0 && others)
        memory_lose(m);
    if (!m->shared && r == 0)
        db_fresh(db, began_ms + MEMORY_FRESH_MS);
    if (r == 0 && memory_is_due(m)) {
        atomic_store(&m->refused, false);
        memory_fill(m);
    }
    control_worked(m->control, false, r);
    atomic_store(&m->working, false);
}

/* --- other controls --------------------------------------------------------------------------- */

struct memory_heard {
    struct memory *memory;
    unsigned coll;
    char id[DB_ID_SIZE_MAX + 1];
};

static void memory_hear(void *arg)
{
    struct memory_heard *h = arg;
    db_heard(h->memory->control->db, h->coll, h->id);
    if (h->coll != MODEL_VIDEOS)
        known_forget(people_known(h->memory->control->people), h->id);
    memory_forget_answers(h->memory, h->coll, h->id);
    control_worked(h->memory->control, false, 0);
    free(h);
}

static bool memory_knows(unsigned coll)
{
    bool known = coll == MODEL_VIDEOS;
    for (unsigned i = 0; i < ARRAY_LEN(memory_remembered); i++)
        known = known || coll == memory_remembered[i];
    return known;
}

/* Of one that this process is to read again; where it cannot, all is. */
static void memory_on_change(struct memory *m, unsigned coll, struct str id)
{
    struct memory_heard *h = calloc(1, sizeof *h);
    int r = h == NULL ? -ENOMEM : str_copy(id, h->id, sizeof h->id);
    if (r == 0) {
        h->memory = m;
        h->coll = coll;
        r = control_run(m->control, false, memory_hear, h);
    }
    if (r < 0) {
        free(h);
        memory_lose(m);
    }
}

/* Anybody who reaches Redis may have written it. */
static void memory_on_message(void *arg, struct str text)
{
    struct memory *m = arg;
    struct str id;
    uint64_t number = 0;
    memory_check(m);
    struct str sender = str_cut(text, ' ', &id);
    bool ours = str_eq(sender, str_of(m->self));
    struct str what = str_cut(id, ' ', &id);
    if (str_eq(what, STR(MEMORY_BEAT))) {
        if (ours && str_to_u64(id, &number) == 0 && number <= clock_mono_ms())
            db_fresh(m->control->db, number + MEMORY_FRESH_MS);
        return;
    }
    if (!ours && str_eq(what, STR(MEMORY_ALL)))
        memory_lose(m);
    else if (!ours && str_to_u64(what, &number) == 0 && number < DB_COLLECTIONS_MAX &&
             memory_knows((unsigned)number))
        memory_on_change(m, (unsigned)number, id);
}

/* Something may have been missed. */
static void memory_on_gap(void *arg)
{
    struct memory *m = arg;
    memory_check(m);
    db_fresh(m->control->db, 0);
    memory_lose(m);
    struct memory_word *w = m->was_heard ? memory_word(m, MEMORY_ALL, "") : NULL;
    if (w != NULL)
        memory_publish(w);
    m->was_heard = true;
}

/* --- the beat --------------------------------------------------------------------------------- */

static void memory_on_timer(void *arg)
{
    struct memory *m = arg;
    char now[24];
    if (m->shared && m->sub != NULL) {
        (void)snprintf(now, sizeof now, "%" PRIu64, clock_mono_ms());
        struct memory_word *w = memory_word(m, MEMORY_BEAT, now);
        if (w != NULL)
            memory_publish(w);
    }
    if ((!m->shared || memory_is_due(m)) && !atomic_exchange(&m->working, true) &&
        control_run(m->control, false, memory_work, m) < 0)
        atomic_store(&m->working, false);
    loop_timer_start(m->loop, &m->timer, MEMORY_BEAT_MS, memory_on_timer, m);
}

int memory_attach(struct memory *m, struct loop *loop, struct bus *bus)
{
    memory_check(m);
    ASSERT(m->loop == NULL);
    if (!atomic_load(&m->enabled)) /* nobody would tell of changes: nothing is kept */
        return 0;
    if (m->shared) {
        int r =
            bus_subscribe(bus, STR(MEMORY_CHANNEL), memory_on_message, memory_on_gap, m, &m->sub);
        if (r < 0)
            return r;
        m->bus = bus;
    }
    (void)pthread_mutex_lock(&m->lock);
    m->loop = loop;
    (void)pthread_mutex_unlock(&m->lock);
    loop_timer_start(loop, &m->timer, 0, memory_on_timer, m);
    return 0;
}

void memory_detach(struct memory *m, const struct loop *loop)
{
    memory_check(m);
    (void)pthread_mutex_lock(&m->lock);
    bool is = m->loop == loop && loop != NULL;
    if (is)
        m->loop = NULL;
    (void)pthread_mutex_unlock(&m->lock);
    if (!is)
        return;
    loop_timer_stop(&m->timer);
    m->sub = bus_unsubscribe(m->sub);
    m->bus = NULL;
}
