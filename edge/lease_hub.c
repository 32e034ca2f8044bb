/* SPDX-License-Identifier: Apache-2.0 */
/* The process's sessions, and the one who speaks to the backend for them.
 *
 * Invariants:
 *  1. A session in the table has a reference from it, and is not GONE or AWAY; one that leaves the
 *     table becomes one of these, so that a desk that holds it asks anew.
 *  2. is_asked: it is in the queue or in a batch, once; the answer tells all its waits.
 *  3. ENDED is final: an answer that was under way when the notice came does not undo it. */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "edge/lease_priv.h"

#define HUB_BUCKETS     UINT32_C(65536) /* power of two */
#define HUB_BATCHES_MAX 8               /* under way at once */
#define HUB_FULL_MS     5000            /* one without a place is asked for again after that */

struct session_wait {
    struct session_wait *next;
    unsigned desk_index;
    struct lease_session *asked; /* the desk's own; a reference */
};

struct hub_batch {
    struct lease_hub *hub;
    unsigned count;
    struct lease_session *sessions[]; /* references */
};

/* --- table ------------------------------------------------------------------------------------ */

static struct lease_session **hub_bucket(struct lease_hub *h, uint64_t hash)
{
    return &h->buckets[(hash >> 16) & (HUB_BUCKETS - 1)];
}

static void hub_set(struct lease_session *s, enum session_state state)
{
    atomic_store_explicit(&s->state, state, memory_order_release);
}

static void hub_remove(struct lease_hub *h, struct lease_session **at, enum session_state state)
{
    struct lease_session *s = *at;
    *at = s->next;
    s->next = NULL;
    h->count--;
    metric_set(h->metrics.sessions, h->count);
    hub_set(s, state);
    lease_session_unref(s);
}

static void hub_forget(struct lease_hub *h, const struct lease_session *s, enum session_state state)
{
    struct lease_session **at = hub_bucket(h, s->hash);
    while (*at != NULL && *at != s)
        at = &(*at)->next;
    if (*at != NULL)
        hub_remove(h, at, state);
}

/* --- telling desks ---------------------------------------------------------------------------- */

static void hub_tell(struct lease_hub *h, unsigned index, struct lease_session *asked,
                     struct lease_session *now)
{
    (void)pthread_mutex_lock(&h->lock);
    struct lease_desk *d = h->desks[index];
    int r = d == NULL ? 0 : lease_desk_post(d, asked, now);
    (void)pthread_mutex_unlock(&h->lock);
    if (r < 0)
        log_error("out of memory: a worker was not told of a session");
}

static void hub_tell_waits(struct lease_hub *h, struct lease_session *s)
{
    struct session_wait *wait = s->waits;
    s->waits = NULL;
    while (wait != NULL) {
        struct session_wait *next = wait->next;
        hub_tell(h, wait->desk_index, wait->asked, s);
        lease_session_unref(wait->asked);
        free(wait);
        wait = next;
    }
}

static void hub_cut(struct lease_hub *h, struct lease_session *s, enum session_state state)
{
    int r = 0;
    hub_set(s, state);
    (void)pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; i < LEASE_DESKS_MAX; i++)
        if (h->desks[i] != NULL && lease_desk_post(h->desks[i], NULL, s) < 0)
            r = -ENOMEM;
    (void)pthread_mutex_unlock(&h->lock);
    if (r < 0)
        log_error("out of memory: a worker did not cut an ended session's responses");
}

/* --- asking the backend ----------------------------------------------------------------------- */

static void hub_on_flush(void *arg);

static int hub_enqueue(struct lease_hub *h, struct lease_session *s)
{
    if (s->is_asked)
        return 0;
    if (h->queue_count == h->queue_cap) {
        uint32_t cap = h->queue_cap == 0 ? 1024 : 2 * h->queue_cap;
        struct lease_session **queue = calloc(cap, sizeof(struct lease_session *));
        if (queue == NULL)
            return -ENOMEM;
        for (uint32_t i = 0; i < h->queue_count; i++)
            queue[i] = h->queue[(h->queue_first + i) % h->queue_cap];
        free(h->queue);
        h->queue = queue;
        h->queue_cap = cap;
        h->queue_first = 0;
    }
    h->queue[(h->queue_first + h->queue_count++) % h->queue_cap] = lease_session_ref(s);
    s->is_asked = true;
    if (h->flush_timer.loop == NULL)
        loop_timer_start(h->loop, &h->flush_timer, 0, hub_on_flush, h);
    return 0;
}

static void hub_unsure(struct lease_hub *h, struct lease_session *s)
{
    metric_add(h->metrics.unsure, 1);
    if (lease_session_state(s) == SESSION_ASKING && h->fail == LEASE_FAIL_OPEN)
        hub_set(s, SESSION_OPEN);
    else if (lease_session_state(s) == SESSION_ASKING)
        hub_forget(h, s, SESSION_AWAY);
    else
        atomic_store_explicit(&s->used, true, memory_order_relaxed); /* with the next turn again */
}

static void hub_apply(struct lease_hub *h, struct lease_session *s, enum lease_state answer)
{
    enum session_state before = lease_session_state(s);
    bool was_playing = before == SESSION_LIVE || before == SESSION_OPEN;
    s->is_asked = false;
    if (before == SESSION_ENDED || before == SESSION_GONE) {
        hub_tell_waits(h, s);
        return;
    }
    switch (answer) {
    case LEASE_LIVE:
        hub_set(s, SESSION_LIVE);
        break;
    case LEASE_ENDED:
    case LEASE_OVER:
        hub_cut(h, s, SESSION_ENDED);
        break;
    case LEASE_FULL:
        s->full_ms = clock_mono_ms();
        if (was_playing)
            hub_cut(h, s, SESSION_FULL);
        else
            hub_set(s, SESSION_FULL);
        break;
    case LEASE_UNSURE:
        hub_unsure(h, s);
        break;
    }
    hub_tell_waits(h, s);
}

static void hub_batch_end(struct hub_batch *b, const enum lease_state *states, unsigned count)
{
    struct lease_hub *h = b->hub;
    for (unsigned i = 0; i < b->count; i++) {
        hub_apply(h, b->sessions[i], i < count ? states[i] : LEASE_UNSURE);
        lease_session_unref(b->sessions[i]);
    }
    free(b);
}

static void hub_on_renewed(void *arg, int res, const enum lease_state *states, unsigned count)
{
    struct hub_batch *b = arg;
    struct lease_hub *h = b->hub;
    h->batches--;
    if (res < 0)
        log_debug("the sessions' backend is away: %s", strerror(-res));
    hub_batch_end(b, states, res < 0 ? 0 : count);
    if (h->queue_count > 0 && h->leases != NULL)
        loop_timer_start(h->loop, &h->flush_timer, 0, hub_on_flush, h);
}

static void hub_send(struct lease_hub *h, unsigned count)
{
    struct hub_batch *b = malloc(sizeof *b + count * sizeof(struct lease_session *));
    struct lease *leases = calloc(count, sizeof *leases);
    if (b == NULL || leases == NULL) {
        free(b);
        free(leases);
        loop_timer_start(h->loop, &h->flush_timer, 1000, hub_on_flush, h);
        return; /* they stay in the queue */
    }
    b->hub = h;
    b->count = count;
    for (unsigned i = 0; i < count; i++) {
        struct lease_session *s = h->queue[h->queue_first];
        h->queue_first = (h->queue_first + 1) % h->queue_cap;
        h->queue_count--;
        b->sessions[i] = s;
        leases[i] = (struct lease){
            .user = s->user,
            .session = s->session,
            .asset = s->asset,
            .until_ms = atomic_load_explicit(&s->until_s, memory_order_relaxed) * 1000,
        };
    }
    metric_add(h->metrics.renewed, count);
    metric_observe(h->metrics.batch_sessions, count);
    int r = lease_renew(h->leases, leases, count, hub_on_renewed, b);
    free(leases);
    if (r < 0)
        hub_batch_end(b, NULL, 0);
    else
        h->batches++;
}

static void hub_on_flush(void *arg)
{
    struct lease_hub *h = arg;
    while (h->queue_count > 0 && h->batches < HUB_BATCHES_MAX && h->flush_timer.loop == NULL)
        hub_send(h, MIN(h->queue_count, (uint32_t)LEASE_BATCH_MAX));
}

/* --- word from desks -------------------------------------------------------------------------- */

struct hub_ask {
    struct lease_hub *hub;
    unsigned desk_index;
    struct lease_session *session; /* a reference */
};

static struct lease_session *hub_find(struct lease_hub *h, const struct lease_session *like)
{
    struct lease_session *s = *hub_bucket(h, like->hash);
    while (s != NULL && !(s->hash == like->hash && str_eq(s->session, like->session) &&
                          str_eq(s->user, like->user)))
        s = s->next;
    return s;
}

/* The table's own of that name, which may be this very one; NULL: no room. */
static struct lease_session *hub_take(struct lease_hub *h, struct lease_session *s)
{
    struct lease_session *own = hub_find(h, s);
    if (own != NULL || h->count >= LEASE_HUB_SESSIONS_MAX)
        return own;
    struct lease_session **at = hub_bucket(h, s->hash);
    s->next = *at;
    *at = lease_session_ref(s);
    s->used_ms = clock_mono_ms();
    metric_set(h->metrics.sessions, ++h->count);
    metric_add(h->metrics.asked, 1);
    return s;
}

static void hub_on_ask(void *arg)
{
    struct hub_ask *ask = arg;
    struct lease_hub *h = ask->hub;
    struct lease_session *own = h->leases == NULL ? NULL : hub_take(h, ask->session);
    if (own != NULL && lease_session_state(own) == SESSION_ASKING) {
        struct session_wait *wait = malloc(sizeof *wait);
        int r = wait == NULL ? -ENOMEM : hub_enqueue(h, own);
        if (r == 0) {
            *wait = (struct session_wait){own->waits, ask->desk_index, ask->session};
            own->waits = wait;
            free(ask);
            return; /* the wait has the reference */
        }
        free(wait);
        if (!own->is_asked)
            hub_forget(h, own, SESSION_AWAY);
        own = NULL;
    }
    if (own == NULL)
        hub_set(ask->session, SESSION_AWAY);
    hub_tell(h, ask->desk_index, ask->session, own != NULL ? own : ask->session);
    lease_session_unref(ask->session);
    free(ask);
}

int lease_hub_ask(struct lease_hub *h, unsigned desk_index, struct lease_session *s)
{
    struct hub_ask *ask = malloc(sizeof *ask);
    if (ask == NULL)
        return -ENOMEM;
    *ask = (struct hub_ask){h, desk_index, s};
    int r = loop_post(h->loop, hub_on_ask, ask);
    if (r < 0)
        free(ask);
    return r;
}

/* --- time and notices ------------------------------------------------------------------------- */

static void hub_look(struct lease_hub *h, struct lease_session **at, uint64_t now_ms, bool all)
{
    struct lease_session *s = *at;
    enum session_state state = lease_session_state(s);
    bool is_playing = state == SESSION_LIVE || state == SESSION_OPEN;
    if (is_playing && atomic_exchange_explicit(&s->used, false, memory_order_relaxed))
        s->used_ms = now_ms;
    bool is_past = clock_real_s() >= atomic_load_explicit(&s->until_s, memory_order_relaxed);
    bool is_idle = is_playing && now_ms - s->used_ms >= LEASE_LIFE_MS;
    bool is_over = state == SESSION_FULL && now_ms - s->full_ms >= HUB_FULL_MS;
    if ((is_past || is_idle || is_over) && !s->is_asked) {
        hub_remove(h, at, SESSION_GONE);
        return;
    }
    /* One that is not enqueued for want of memory is met again at the next turn. */
    if (is_playing && (all || s->used_ms == now_ms || state == SESSION_OPEN) &&
        hub_enqueue(h, s) < 0)
        atomic_store_explicit(&s->used, true, memory_order_relaxed);
}

static void hub_look_at_all(struct lease_hub *h, bool all)
{
    uint64_t now_ms = clock_mono_ms();
    for (uint32_t i = 0; i < HUB_BUCKETS; i++) {
        for (struct lease_session **at = &h->buckets[i]; *at != NULL;) {
            struct lease_session *s = *at;
            hub_look(h, at, now_ms, all);
            if (*at == s)
                at = &s->next;
        }
    }
}

static void hub_on_turn(void *arg)
{
    struct lease_hub *h = arg;
    hub_look_at_all(h, false);
    loop_timer_start(h->loop, &h->turn_timer, h->renew_ms, hub_on_turn, h);
}

static void hub_on_gap(void *arg)
{
    hub_look_at_all(arg, true);
}

static void hub_on_ended(void *arg, struct str session)
{
    struct lease_hub *h = arg;
    struct digest d = digest_of(session.data, session.size);
    uint64_t hash;
    memcpy(&hash, d.bytes, sizeof hash);
    hash = hash == 0 ? 1 : hash;
    for (struct lease_session *s = *hub_bucket(h, hash); s != NULL; s = s->next)
        if (s->hash == hash && str_eq(s->session, session))
            hub_cut(h, s, SESSION_ENDED);
}

/* --- desks come and go ------------------------------------------------------------------------ */

int lease_hub_join(struct lease_hub *h, struct lease_desk *d, unsigned *ret_index)
{
    int r = -ENOSPC;
    (void)pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; i < LEASE_DESKS_MAX; i++) {
        if (h->desks[i] != NULL)
            continue;
        h->desks[i] = d;
        *ret_index = i;
        r = 0;
        break;
    }
    (void)pthread_mutex_unlock(&h->lock);
    return r;
}

void lease_hub_leave(struct lease_hub *h, unsigned index)
{
    (void)pthread_mutex_lock(&h->lock);
    h->desks[index] = NULL;
    (void)pthread_mutex_unlock(&h->lock);
}

/* --- life ------------------------------------------------------------------------------------- */

static int hub_open_backend(struct lease_hub *h, struct err *err)
{
    const struct edge_config *c = h->edge->config;
    int r;
    if (c->lease->backend == LEASE_BACKEND_REDIS) {
        const struct bus_redis_options options = bus_config_options(&c->bus);
        r = bus_open_redis(&options, h->loop, err, &h->bus);
        if (r == 0)
            r = leases_open_redis(h->bus, &h->leases);
    } else {
        /* Its stream has a sign of life each second; an answer takes no longer either. */
        const struct fetch_options options = {
            .ca_file = c->lease->ca_file, .connect_ms = 2000, .stall_ms = 3000};
        r = secret_load(c->lease->credential_file, &h->credential, err);
        if (r == 0)
            r = fetch_new(h->loop, &options, &h->fetch);
        if (r == 0)
            r = leases_open_control(h->fetch, h->loop, c->lease->url, &h->credential, &h->leases);
    }
    if (r == 0)
        r = lease_watch(h->leases, hub_on_ended, hub_on_gap, h, &h->watch);
    return r;
}

static void hub_make_metrics(struct lease_hub *h)
{
    static const double bounds[] = {1, 4, 16, 64, 256, 1024};
    struct metrics *m = h->edge->registry;
    const char *refused = "weir_edge_leases_refused_total";
    const char *help = "Requests refused because of their session.";
    h->metrics = (struct lease_metrics){
        .refused_ended = metrics_counter(m, refused, help, "reason=\"ended\""),
        .refused_full = metrics_counter(m, refused, help, "reason=\"full\""),
        .refused_away = metrics_counter(m, refused, help, "reason=\"away\""),
        .asked = metrics_counter(m, "weir_edge_leases_asked_total",
                                 "Sessions that were not known here.", ""),
        .renewed = metrics_counter(m, "weir_edge_leases_renewed_total",
                                   "Sessions asked about or renewed at the backend.", ""),
        .unsure = metrics_counter(m, "weir_edge_leases_unsure_total",
                                  "Sessions about which the backend did not answer.", ""),
        .cut = metrics_counter(m, "weir_edge_leases_cut_total",
                               "Responses cut because their session was ended.", ""),
        .sessions = metrics_gauge(m, "weir_edge_lease_sessions", "Sessions known here.", ""),
        .batch_sessions = metrics_histogram(m, "weir_edge_lease_batch_sessions",
                                            "Sessions in one call to the backend.", "", bounds,
                                            ARRAY_LEN(bounds)),
    };
}

static void *hub_main(void *arg)
{
    struct lease_hub *h = arg;
    loop_run(h->loop);
    return NULL;
}

int lease_hub_new(struct edge *e, struct err *err, struct lease_hub **ret)
{
    const struct lease_config *c = e->config->lease;
    if (c == NULL)
        return 0;
    struct lease_hub *h = calloc(1, sizeof *h);
    if (h == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    h->magic = LEASE_HUB_MAGIC;
    h->edge = e;
    h->fail = (enum lease_fail)c->fail;
    h->renew_ms = 1000 * (c->renew_s != 0 ? c->renew_s : LEASE_RENEW_S);
    (void)pthread_mutex_init(&h->lock, NULL); /* default attributes: cannot fail */
    hub_make_metrics(h);
    h->buckets = calloc(HUB_BUCKETS, sizeof(struct lease_session *));
    int r = h->buckets == NULL ? -ENOMEM : loop_new(&h->loop);
    if (r == 0)
        r = hub_open_backend(h, err);
    if (r == 0) {
        loop_timer_start(h->loop, &h->turn_timer, h->renew_ms, hub_on_turn, h);
        r = -pthread_create(&h->thread, NULL, hub_main, h);
        h->has_thread = r == 0;
    }
    if (r < 0) {
        lease_hub_free(h);
        return err->text[0] != 0 ? r : err_errno(err, r, "starting leases");
    }
    *ret = h;
    return 0;
}

/* The desks have left; the thread has ended, so its things are ours. */
struct lease_hub *lease_hub_free(struct lease_hub *h)
{
    if (h == NULL)
        return NULL;
    ASSERT(h->magic == LEASE_HUB_MAGIC);
    if (h->has_thread) {
        loop_stop(h->loop);
        (void)pthread_join(h->thread, NULL); /* joinable, and joined once */
    }
    loop_timer_stop(&h->turn_timer);
    struct leases *leases = h->leases;
    h->leases = NULL;
    leases_close(leases); /* batches end as unsure */
    bus_close(h->bus);
    fetch_free(h->fetch);
    loop_timer_stop(&h->flush_timer);
    for (; h->queue_count > 0; h->queue_count--) {
        struct lease_session *s = h->queue[h->queue_first];
        h->queue_first = (h->queue_first + 1) % h->queue_cap;
        hub_tell_waits(h, s);
        lease_session_unref(s);
    }
    free(h->queue);
    for (uint32_t i = 0; h->buckets != NULL && i < HUB_BUCKETS; i++)
        while (h->buckets[i] != NULL)
            hub_remove(h, &h->buckets[i], SESSION_GONE);
    loop_free(h->loop); /* runs what desks have posted to the end */
    free(h->buckets);
    secret_clear(&h->credential);
    (void)pthread_mutex_destroy(&h->lock);
    MAGIC_CLEAR(h);
    free(h);
    return NULL;
}
