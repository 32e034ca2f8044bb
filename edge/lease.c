/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's desk. Its table holds references to sessions that the hub keeps the state of, so that
 * a request reads one word that is shared, and writes one only when it is the first since the hub
 * has looked. */
#include "edge/lease.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/digest.h"
#include "edge/lease_priv.h"
#include "edge/serve.h"

#define DESK_BUCKETS   UINT32_C(16384) /* power of two */
#define DESK_WAITS_MAX 10000           /* requests that wait for the backend, of a worker */
#define DESK_SWEEP_MS  30000

struct desk_wait {
    struct desk_wait *next;
    struct http_req *req;
    void (*again)(struct http_req *req);
};

struct desk_entry {
    struct desk_entry *next;
    struct lease_session *session;
    struct desk_wait *waits;
};

struct lease_desk {
    uint32_t magic;
#define LEASE_DESK_MAGIC UINT32_C(0x1ea5ede5)
    atomic_uint refs; /* the worker's, and messages on their way */
    bool is_closed;
    struct lease_hub *hub;
    struct edge_worker *worker;
    unsigned index;
    uint32_t count;
    uint32_t waits_count;
    struct loop_timer sweep_timer;
    struct desk_entry *buckets[DESK_BUCKETS];
};

/* --- sessions --------------------------------------------------------------------------------- */

static struct str session_put(struct str s, char **at)
{
    struct str copy = {*at, s.size};
    if (s.size > 0)
        memcpy(*at, s.data, s.size);
    *at += s.size;
    return copy;
}

struct lease_session *lease_session_new(const struct token_claims *claims, uint64_t hash)
{
    struct str session = str_of(claims->session);
    struct str user = str_of(claims->subject);
    struct str asset = str_of(claims->asset);
    struct lease_session *s = calloc(1, sizeof *s + session.size + user.size + asset.size);
    if (s == NULL)
        return NULL;
    char *at = s->bytes;
    s->magic = LEASE_SESSION_MAGIC;
    atomic_init(&s->refs, 1);
    atomic_init(&s->state, SESSION_ASKING);
    atomic_init(&s->used, true);
    atomic_init(&s->until_s, claims->expires_s);
    s->hash = hash;
    s->session = session_put(session, &at);
    s->user = session_put(user, &at);
    s->asset = session_put(asset, &at);
    return s;
}

struct lease_session *lease_session_ref(struct lease_session *s)
{
    ASSERT(s->magic == LEASE_SESSION_MAGIC);
    (void)atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

struct lease_session *lease_session_unref(struct lease_session *s)
{
    if (s == NULL)
        return NULL;
    ASSERT(s->magic == LEASE_SESSION_MAGIC);
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1) {
        ASSERT(s->waits == NULL);
        MAGIC_CLEAR(s);
        free(s);
    }
    return NULL;
}

/* --- the table -------------------------------------------------------------------------------- */

static uint64_t desk_hash(struct str session)
{
    struct digest d = digest_of(session.data, session.size);
    uint64_t hash;
    memcpy(&hash, d.bytes, sizeof hash);
    return hash == 0 ? 1 : hash;
}

static struct desk_entry **desk_bucket(struct lease_desk *d, uint64_t hash)
{
    return &d->buckets[hash & (DESK_BUCKETS - 1)];
}

/* A session's name is its signer's; two signers may use the same, so the user counts as well. */
static struct desk_entry **desk_find(struct lease_desk *d, uint64_t hash,
                                     const struct token_claims *claims)
{
    struct desk_entry **at = desk_bucket(d, hash);
    for (; *at != NULL; at = &(*at)->next) {
        const struct lease_session *s = (*at)->session;
        if (s->hash == hash && str_eq(s->session, str_of(claims->session)) &&
            str_eq(s->user, str_of(claims->subject)))
            break;
    }
    return at;
}

static void desk_drop(struct lease_desk *d, struct desk_entry **at)
{
    struct desk_entry *e = *at;
    ASSERT(e->waits == NULL);
    *at = e->next;
    d->count--;
    lease_session_unref(e->session);
    free(e);
}

static void desk_on_sweep(void *arg)
{
    struct lease_desk *d = arg;
    for (uint32_t i = 0; i < DESK_BUCKETS; i++) {
        for (struct desk_entry **at = &d->buckets[i]; *at != NULL;) {
            if (lease_session_state((*at)->session) == SESSION_GONE && (*at)->waits == NULL)
                desk_drop(d, at);
            else
                at = &(*at)->next;
        }
    }
    loop_timer_start(d->worker->loop, &d->sweep_timer, DESK_SWEEP_MS, desk_on_sweep, d);
}

static void desk_unref(struct lease_desk *d)
{
    if (atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) == 1) {
        MAGIC_CLEAR(d);
        free(d);
    }
}

/* --- requests --------------------------------------------------------------------------------- */

static void desk_busy(struct lease_desk *d, struct http_req *req)
{
    metric_add(d->hub->metrics.refused_away, 1);
    http_res_header(req, "cache-control", "no-store");
    http_reply_error(req, 503, "SESSIONS_UNAVAILABLE",
                     "whether this session may play cannot be told now, try again in a moment");
}

static bool desk_wait(struct lease_desk *d, struct desk_entry *e, struct http_req *req,
                      void (*again)(struct http_req *req))
{
    struct desk_wait *wait = d->waits_count < DESK_WAITS_MAX ? malloc(sizeof *wait) : NULL;
    if (wait == NULL) {
        desk_busy(d, req);
        return false;
    }
    *wait = (struct desk_wait){e->waits, http_req_ref(req), again};
    e->waits = wait;
    d->waits_count++;
    return false;
}

static int desk_ask(struct lease_desk *d, uint64_t hash, const struct token_claims *claims,
                    struct desk_entry **ret)
{
    if (d->count >= LEASE_DESK_SESSIONS_MAX)
        return -ENOBUFS;
    struct desk_entry *e = calloc(1, sizeof *e);
    struct lease_session *s = e == NULL ? NULL : lease_session_new(claims, hash);
    if (s == NULL) {
        free(e);
        return -ENOMEM;
    }
    int r = lease_hub_ask(d->hub, d->index, lease_session_ref(s));
    if (r < 0) {
        lease_session_unref(s);
        lease_session_unref(s);
        free(e);
        return r;
    }
    struct desk_entry **at = desk_bucket(d, hash);
    *e = (struct desk_entry){.next = *at, .session = s};
    *at = e;
    d->count++;
    *ret = e;
    return 0;
}

static void desk_pass(struct lease_session *s, struct http_req *req,
                      const struct token_claims *claims)
{
    if (!atomic_load_explicit(&s->used, memory_order_relaxed))
        atomic_store_explicit(&s->used, true, memory_order_relaxed);
    if (atomic_load_explicit(&s->until_s, memory_order_relaxed) < claims->expires_s)
        atomic_store_explicit(&s->until_s, claims->expires_s, memory_order_relaxed);
    http_req_mark(req, s->hash);
}

static bool desk_judge(struct lease_desk *d, struct desk_entry *e, struct http_req *req,
                       const struct token_claims *claims, void (*again)(struct http_req *req))
{
    switch (lease_session_state(e->session)) {
    case SESSION_LIVE:
    case SESSION_OPEN:
        desk_pass(e->session, req, claims);
        return true;
    case SESSION_ENDED:
        metric_add(d->hub->metrics.refused_ended, 1);
        serve_refuse(req, "SESSION_TERMINATED", "this session has been ended");
        return false;
    case SESSION_FULL:
        metric_add(d->hub->metrics.refused_full, 1);
        serve_refuse(req, "SESSION_OVER_LIMIT",
                     "this session was not used for a while and others have taken its place");
        return false;
    case SESSION_AWAY:
        desk_busy(d, req);
        return false;
    case SESSION_ASKING:
    case SESSION_GONE:
        break;
    }
    return desk_wait(d, e, req, again);
}

bool lease_admit(struct lease_desk *d, struct http_req *req, const struct token_claims *claims,
                 void (*again)(struct http_req *req))
{
    if (d == NULL || claims == NULL || claims->session == NULL)
        return true;
    ASSERT(d->magic == LEASE_DESK_MAGIC);
    if (claims->subject == NULL) {
        serve_refuse(req, "TOKEN_INVALID", "the signed URL names a session, but nobody's");
        return false;
    }
    uint64_t hash = desk_hash(str_of(claims->session));
    struct desk_entry **at = desk_find(d, hash, claims);
    if (*at != NULL && (*at)->waits == NULL && lease_session_state((*at)->session) == SESSION_GONE)
        desk_drop(d, at);
    else if (*at != NULL)
        return desk_judge(d, *at, req, claims, again);
    struct desk_entry *e;
    int r = desk_ask(d, hash, claims, &e);
    if (r < 0) {
        desk_busy(d, req);
        return false;
    }
    return desk_wait(d, e, req, again);
}

/* --- word from the hub ------------------------------------------------------------------------ */

struct desk_message {
    struct lease_desk *desk;
    struct lease_session *asked; /* NULL: `now` was ended */
    struct lease_session *now;
};

/* Those that wait go through the door again, which may make them wait once more. */
static void desk_release(struct lease_desk *d, struct desk_wait *wait, bool is_away)
{
    while (wait != NULL) {
        struct desk_wait *next = wait->next;
        d->waits_count--;
        if (!http_req_gone(wait->req)) {
            if (is_away)
                desk_busy(d, wait->req);
            else
                wait->again(wait->req);
        }
        http_req_unref(wait->req);
        free(wait);
        wait = next;
    }
}

static void desk_answer(struct lease_desk *d, const struct lease_session *asked,
                        struct lease_session *now)
{
    struct desk_entry **at = desk_bucket(d, asked->hash);
    while (*at != NULL && (*at)->session != asked)
        at = &(*at)->next;
    struct desk_entry *e = *at;
    if (e == NULL)
        return;
    if (now != asked) {
        lease_session_unref(e->session);
        e->session = lease_session_ref(now);
    }
    struct desk_wait *waits = e->waits;
    bool is_away = lease_session_state(now) == SESSION_AWAY;
    e->waits = NULL;
    if (is_away)
        desk_drop(d, at);
    desk_release(d, waits, is_away);
}

static void desk_on_message(void *arg)
{
    struct desk_message *m = arg;
    struct lease_desk *d = m->desk;
    if (!d->is_closed && m->asked != NULL) {
        desk_answer(d, m->asked, m->now);
    } else if (!d->is_closed) {
        unsigned cut = http_cut_marked(d->worker->edge->server, d->worker->loop, m->now->hash);
        metric_add(d->hub->metrics.cut, cut);
    }
    lease_session_unref(m->asked);
    lease_session_unref(m->now);
    desk_unref(d);
    free(m);
}

int lease_desk_post(struct lease_desk *d, struct lease_session *asked, struct lease_session *now)
{
    struct desk_message *m = malloc(sizeof *m);
    if (m == NULL)
        return -ENOMEM;
    *m = (struct desk_message){d, asked == NULL ? NULL : lease_session_ref(asked),
                               lease_session_ref(now)};
    (void)atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
    int r = loop_post(d->worker->loop, desk_on_message, m);
    if (r < 0) {
        lease_session_unref(m->asked);
        lease_session_unref(m->now);
        desk_unref(d);
        free(m);
    }
    return r;
}

/* --- life ------------------------------------------------------------------------------------- */

int lease_desk_new(struct lease_hub *h, struct edge_worker *w, struct lease_desk **ret)
{
    if (h == NULL)
        return 0;
    struct lease_desk *d = calloc(1, sizeof *d);
    if (d == NULL)
        return -ENOMEM;
    d->magic = LEASE_DESK_MAGIC;
    atomic_init(&d->refs, 1);
    d->hub = h;
    d->worker = w;
    int r = lease_hub_join(h, d, &d->index);
    if (r < 0) {
        free(d);
        return r;
    }
    loop_timer_start(w->loop, &d->sweep_timer, DESK_SWEEP_MS, desk_on_sweep, d);
    *ret = d;
    return 0;
}

struct lease_desk *lease_desk_free(struct lease_desk *d)
{
    if (d == NULL)
        return NULL;
    ASSERT(d->magic == LEASE_DESK_MAGIC);
    lease_hub_leave(d->hub, d->index); /* from now on nothing is posted */
    d->is_closed = true;
    loop_timer_stop(&d->sweep_timer);
    for (uint32_t i = 0; i < DESK_BUCKETS; i++) {
        while (d->buckets[i] != NULL) {
            struct desk_wait *waits = d->buckets[i]->waits;
            d->buckets[i]->waits = NULL;
            desk_release(d, waits, true);
            desk_drop(d, &d->buckets[i]);
        }
    }
    desk_unref(d);
    return NULL;
}
