/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/assets.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "edge/before.h"
#include "edge/edition.h"
#include "edge/load.h"
#include "edge/notice.h"
#include "edge/upstream_fetch.h"

#define ASSETS_BUCKETS      1024
#define ASSETS_REF_NAME     (sizeof "now-" + DIGEST_TEXT_SIZE)
#define ASSETS_REF_SIZE_MAX 4096 /* the origin's JSON */
#define ASSETS_RETRY_MS     1000 /* after the origin was away */

struct assets_waiter {
    struct assets_waiter *next;
    assets_cb *cb;
    void *arg;
};

struct assets_entry {
    struct asset asset; /* now is NULL until first known */
    struct assets *table;
    const struct upstream *upstream;
    struct digest key; /* upstream_asset_key */
    struct assets_entry *next;
    struct assets_waiter *waiters;
    uint64_t used;
    uint64_t asked_ms;
    bool asking; /* the origin, or the presentation's bytes */
    bool from_store;
    bool gone;          /* the origin has said that there is none */
    bool outdated;      /* it has told of another presentation, which is not here yet */
    bool moved;         /* it has told of a move while it was asked: what comes may be older */
    unsigned pins;      /* whoever still touches it; it stays in the table */
    uint64_t asked_era; /* the notices' when it was asked; 0: none yet */
    uint64_t true_era;  /* while these come without a gap, it holds; 0: until its time is over */
    bool is_told_stale; /* by another edge, whose origin was away */
    struct digest tags[EDITION_TAGS];
    uint64_t sequence;       /* of purges, when the origin was asked what `now` is */
    uint64_t asked_sequence; /* when it was asked last */
    struct upstream_fetch *op;
    struct buf answer;
    struct digest wanted; /* the presentation under way */
    char name[STORE_NAME_MAX + 1];
    char ref_name[ASSETS_REF_NAME]; /* in our own store */
};

struct assets {
    uint32_t magic;
#define ASSETS_MAGIC UINT32_C(0xa55e75aa)
    struct edge_worker *worker;
    uint64_t clock;
    unsigned count;
    struct assets_feed {
        bool live;    /* notices come */
        uint64_t era; /* the present or the last one */
    } feeds[UPSTREAMS_MAX];
    struct assets_entry *buckets[ASSETS_BUCKETS];
};

int assets_new(struct edge_worker *w, struct assets **ret)
{
    struct assets *a = calloc(1, sizeof *a);
    if (a == NULL)
        return -ENOMEM;
    a->magic = ASSETS_MAGIC;
    a->worker = w;
    *ret = a;
    return 0;
}

static void entry_free(struct assets_entry *e)
{
    title_unref(e->asset.now);
    title_unref(e->asset.before);
    buf_free(&e->answer);
    free(e);
}

static void entry_answer(struct assets_entry *e, int res)
{
    struct assets_waiter *w = e->waiters;
    e->waiters = NULL;
    while (w != NULL) {
        struct assets_waiter *next = w->next;
        w->cb(w->arg, res, res == 0 ? &e->asset : NULL);
        free(w);
        w = next;
    }
}

struct assets *assets_free(struct assets *a)
{
    if (a == NULL)
        return NULL;
    ASSERT(a->magic == ASSETS_MAGIC);
    for (unsigned i = 0; i < ASSETS_BUCKETS; i++) {
        for (struct assets_entry *e = a->buckets[i]; e != NULL;) {
            struct assets_entry *next = e->next;
            if (e->op != NULL)
                upstream_fetch_cancel(e->op);
            entry_answer(e, -ECANCELED);
            entry_free(e);
            e = next;
        }
    }
    MAGIC_CLEAR(a);
    free(a);
    return NULL;
}

static struct assets_entry **assets_bucket(struct assets *a, const struct digest *key)
{
    return &a->buckets[(unsigned)(key->bytes[0] << 8 | key->bytes[1]) % ASSETS_BUCKETS];
}

static void assets_remove(struct assets *a, struct assets_entry *e)
{
    struct assets_entry **at = assets_bucket(a, &e->key);
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    a->count--;
    entry_free(e);
}

/* The least used entry that nobody waits for goes. */
static void assets_make_room(struct assets *a)
{
    struct assets_entry *oldest = NULL;
    for (unsigned i = 0; i < ASSETS_BUCKETS; i++) {
        for (struct assets_entry *e = a->buckets[i]; e != NULL; e = e->next) {
            bool idle = !e->asking && e->waiters == NULL && e->pins == 0;
            if (idle && (oldest == NULL || e->used < oldest->used))
                oldest = e;
        }
    }
    if (oldest != NULL)
        assets_remove(a, oldest);
}

static struct assets_entry *assets_known(struct assets *a, const struct upstream *u,
                                         struct str name)
{
    const struct digest key = upstream_asset_key(u, name);
    for (struct assets_entry *e = *assets_bucket(a, &key); e != NULL; e = e->next) {
        if (e->upstream == u && str_eq(str_of(e->name), name))
            return e;
    }
    return NULL;
}

static struct assets_entry *assets_find(struct assets *a, const struct upstream *u, struct str name)
{
    struct assets_entry *known = assets_known(a, u, name);
    if (known != NULL)
        return known;
    const struct digest key = upstream_asset_key(u, name);
    if (a->count >= ASSETS_MAX)
        assets_make_room(a);
    struct assets_entry *e = a->count < ASSETS_MAX ? calloc(1, sizeof *e) : NULL;
    if (e == NULL)
        return NULL;
    int r = str_copy(name, e->name, sizeof e->name);
    ASSERT(r == 0); /* the caller has checked the name */
    char text[DIGEST_TEXT_SIZE];
    digest_format(&key, text);
    (void)snprintf(e->ref_name, sizeof e->ref_name, "now-%s", text); /* sized to fit */
    e->table = a;
    e->upstream = u;
    e->key = key;
    edition_tags(u, name, e->tags);
    struct assets_entry **bucket = assets_bucket(a, &key);
    e->next = *bucket;
    *bucket = e;
    a->count++;
    return e;
}

static void entry_fall_back(struct assets_entry *e, int error);
static void entry_ask_again(struct assets_entry *e);

/* The end of asking; res goes to who waits. */
static void entry_settle(struct assets_entry *e, int res)
{
    e->asking = false;
    e->pins++;
    entry_answer(e, res);
    e->pins--;
    if (e->moved && !e->asking)
        entry_ask_again(e);
}

/* The origin has said it, or its presentation has come: it holds from when it was asked on. */
static void entry_hold(struct assets_entry *e)
{
    e->true_era = e->is_told_stale ? 0 : e->asked_era;
    e->outdated = false;
}

/* What was purged since the origin was asked for it is gone, or stale. */
static enum objects_mark entry_check(struct assets_entry *e)
{
    if (e->asset.now == NULL)
        return OBJECTS_STANDS;
    struct objects *o = e->table->worker->edge->objects;
    enum objects_mark mark = objects_check(o, e->tags, EDITION_TAGS, e->sequence);
    if (mark != OBJECTS_HARD)
        return mark;
    e->asset.now = title_unref(e->asset.now);
    e->asset.before = title_unref(e->asset.before);
    e->asset.checked_ms = 0;
    e->asset.stale = false;
    e->true_era = 0;
    return mark;
}

/* Another worker has learnt of a newer one by now. */
static bool entry_is_overtaken(const struct assets_entry *e)
{
    struct store_ref ref;
    return store_ref_get(e->table->worker->store, str_of(e->ref_name), &ref) == 0 &&
           !digest_eq(&ref.presentation, &e->asset.now->digest);
}

/* The answer that came is to a question from before a purge: no answer to who came after it. */
static bool entry_is_outdated(const struct assets_entry *e)
{
    struct objects *o = e->table->worker->edge->objects;
    return objects_check(o, e->tags, EDITION_TAGS, e->asked_sequence) != OBJECTS_STANDS;
}

/* The origin says that `now` is right. */
static void entry_confirm(struct assets_entry *e)
{
    if (e->sequence != e->asked_sequence)
        edition_keep(e->table->worker->edge, e->upstream, str_of(e->name), &e->asset.now->digest,
                     e->asked_sequence);
    e->sequence = e->asked_sequence;
    e->asset.checked_ms = clock_mono_ms();
    entry_hold(e);
}

static void entry_on_remembered(void *arg, int res)
{
    (void)arg;
    if (res < 0 && res != -ENOENT)
        log_warn("remembering a ref failed: %s", strerror(-res));
}

static void entry_take_title(struct assets_entry *e, struct title *t)
{
    (void)entry_check(e); /* what was purged does not become what was before */
    bool same = e->asset.now != NULL && digest_eq(&e->asset.now->digest, &t->digest);
    e->gone = false;
    if (!same) {
        title_unref(e->asset.before);
        e->asset.before = e->asset.now;
        e->asset.now = title_ref(t);
    }
    if (!same)
        e->sequence = 0; /* until it is confirmed */
    if (!same && !e->from_store) {
        store_ref_put(e->table->worker->store, str_of(e->ref_name), &t->digest, STORE_REF_ANY,
                      entry_on_remembered, NULL);
        before_remember(e->table->worker->before, e->upstream, str_of(e->name), &t->digest);
    }
}

static void entry_on_presentation(void *arg, int res, struct rbuf *blob)
{
    struct assets_entry *e = arg;
    struct err err = {.text = ""};
    struct title *t = NULL;
    if (res == 0) {
        uint32_t size;
        const uint8_t *data = rbuf_data(blob, &size);
        res = title_new(&e->wanted, (struct str){(const char *)data, size}, &t, &err);
        if (res == 0 && strcmp(t->presentation->asset, e->name) != 0) {
            res = err_set(&err, -EBADMSG, "it is of the asset %s", t->presentation->asset);
            t = title_unref(t);
        }
    }
    if (res < 0) {
        log_warn("presentation of %s: %s", e->name, err.text[0] != 0 ? err.text : strerror(-res));
        entry_fall_back(e, res == -ENOENT ? -EIO : res);
        return;
    }
    if (!e->from_store && entry_is_outdated(e)) {
        title_unref(t);
        entry_ask_again(e);
        return;
    }
    entry_take_title(e, t);
    title_unref(t);
    e->asset.stale = e->from_store || e->is_told_stale;
    if (e->from_store)
        e->sequence = edition_sequence(e->table->worker->edge, e->upstream, str_of(e->name),
                                       &e->asset.now->digest);
    else
        entry_confirm(e);
    entry_settle(e, 0);
}

/* The origin could not tell: what is known goes on, else what was known before the restart. */
static void entry_fall_back(struct assets_entry *e, int error)
{
    struct edge_worker *w = e->table->worker;
    struct store_ref ref;
    (void)entry_check(e);
    e->true_era = 0;
    e->gone = false;
    if (e->asset.now != NULL) {
        metric_add(w->edge->metrics.ref_stale, 1);
        e->asset.stale = true;
        entry_settle(e, 0);
    } else if (!e->from_store && store_ref_get(w->store, str_of(e->ref_name), &ref) == 0 &&
               !edition_is_gone(w->edge, e->upstream, str_of(e->name), &ref.presentation)) {
        metric_add(w->edge->metrics.ref_stale, 1);
        e->from_store = true;
        e->wanted = ref.presentation;
        load_blob(w, e->upstream, &e->wanted, false, entry_on_presentation, e);
    } else {
        entry_settle(e, error);
    }
}

static int entry_on_data(void *arg, const uint8_t *data, size_t size)
{
    struct assets_entry *e = arg;
    if (size > ASSETS_REF_SIZE_MAX - e->answer.size)
        return -EFBIG;
    buf_put(&e->answer, data, size);
    return buf_error(&e->answer);
}

static int entry_parse(struct assets_entry *e)
{
    json_t *root =
        json_loadb(e->answer.data != NULL ? e->answer.data : "", e->answer.size, 0, NULL);
    const char *digest = json_string_value(json_object_get(root, "presentation"));
    int r = digest_parse(str_of(digest), &e->wanted);
    e->is_told_stale = json_is_true(json_object_get(root, "stale"));
    json_decref(root);
    return r < 0 ? -EBADMSG : 0;
}

/* The asset is gone: at the origin, so here too. */
static void entry_forget(struct assets_entry *e)
{
    e->asset.now = title_unref(e->asset.now);
    e->asset.before = title_unref(e->asset.before);
    e->asset.stale = false;
    e->gone = true;
    entry_hold(e);
    store_ref_delete(e->table->worker->store, str_of(e->ref_name), entry_on_remembered, NULL);
    before_forget(e->table->worker->before, e->upstream, str_of(e->name));
    entry_settle(e, -ENOENT);
}

static void entry_on_ref(void *arg, int res, unsigned status)
{
    struct assets_entry *e = arg;
    e->op = NULL;
    if (res == 0 && entry_is_outdated(e)) {
        entry_ask_again(e);
        return;
    }
    if (res == 0 && status == 404) {
        entry_forget(e);
        return;
    }
    if (res == 0)
        res = status == 200 ? entry_parse(e) : -EIO;
    if (res < 0) {
        log_warn("asking the origin for the ref %s failed: %s", e->name, strerror(-res));
        entry_fall_back(e, res);
        return;
    }
    if (e->asset.now != NULL && digest_eq(&e->asset.now->digest, &e->wanted)) {
        e->asset.stale = e->is_told_stale;
        entry_confirm(e);
        entry_settle(e, 0);
        return;
    }
    load_blob(e->table->worker, e->upstream, &e->wanted, true, entry_on_presentation, e);
}

/* direct: past other edges, of which one may not know of a purge yet. */
static void entry_ask_for(struct assets_entry *e, const struct fields *came, bool direct)
{
    struct edge_worker *w = e->table->worker;
    const struct upstream *u = e->upstream;
    ASSERT(!e->asking);
    e->asking = true;
    e->from_store = e->is_told_stale = e->moved = false;
    e->asked_era = e->table->feeds[u->index].era;
    e->asked_ms = clock_mono_ms();
    e->asked_sequence = objects_sequence(w->edge->objects);
    buf_clear(&e->answer);
    metric_add(w->edge->metrics.ref_fetches, 1);
    CLEAN_BUF struct buf path = BUF_EMPTY;
    buf_printf(&path, "/ref/%s", e->name);
    size_t server_size = path.size; /* and for other edges: */
    buf_printf(&path, "?upstream=%s", u->config->name);
    const struct fetch_request request = {
        .method = "GET",
        .shared = true,
        .on_data = entry_on_data,
        .on_done = entry_on_ref,
        .arg = e,
    };
    const struct upstream_ask ask = {
        .upstream = u,
        .key = e->key,
        .path = {path.data, server_size},
        .peer_path = buf_str(&path),
        .came = *came,
        .direct = direct,
        .request = &request,
    };
    int r = buf_error(&path);
    if (r == 0)
        r = upstream_fetch_start(w, &ask, &e->op);
    if (r < 0)
        entry_fall_back(e, r);
}

/* Where notices come, what is asked for is held true for long: the servers alone are asked then. */
static void entry_ask(struct assets_entry *e, const struct fields *came)
{
    entry_ask_for(e, came, e->table->feeds[e->upstream->index].live);
}

static void entry_ask_again(struct assets_entry *e)
{
    (void)entry_check(e);
    e->asking = false;
    entry_ask_for(e, &(struct fields){NULL, 0}, true);
}

/* --- notices ---------------------------------------------------------------------------------- */

/* Whether it still is as the origin has said: no notice has said otherwise since, and none can have
 * been missed. Purges are the caller's: entry_check. */
static bool entry_is_true(const struct assets_entry *e)
{
    const struct assets_feed *feed = &e->table->feeds[e->upstream->index];
    return feed->live && e->true_era != 0 && e->true_era == feed->era &&
           (e->gone || e->asset.now != NULL);
}

static void entry_answer_true(struct assets_entry *e)
{
    e->asset.checked_ms = clock_mono_ms();
    entry_answer(e, e->gone ? -ENOENT : 0);
}

static void entry_notice(struct assets_entry *e, const struct notice *notice)
{
    if (e->asking) {
        e->moved = true;
        return;
    }
    bool stands = entry_check(e) == OBJECTS_STANDS;
    e->asked_ms = clock_mono_ms();
    if (stands && entry_is_true(e))
        e->asset.checked_ms = e->asked_ms;
    e->asked_era = e->table->feeds[notice->upstream].era;
    e->asked_sequence = objects_sequence(e->table->worker->edge->objects);
    e->from_store = e->is_told_stale = false;
    if (notice->kind == NOTICE_GONE) {
        entry_forget(e);
        return;
    }
    if (e->asset.now != NULL && digest_eq(&e->asset.now->digest, &notice->presentation)) {
        e->asset.stale = false;
        entry_confirm(e);
        return;
    }
    e->asking = true;
    e->outdated = true;
    e->true_era = 0;
    e->wanted = notice->presentation;
    load_blob(e->table->worker, e->upstream, &e->wanted, true, entry_on_presentation, e);
}

void assets_notice(struct assets *a, const struct notice *notice)
{
    ASSERT(a->magic == ASSETS_MAGIC);
    ASSERT(notice->upstream < UPSTREAMS_MAX);
    struct assets_feed *feed = &a->feeds[notice->upstream];
    const struct upstream *u = upstreams_at(a->worker->edge->upstreams, notice->upstream);
    struct assets_entry *e;
    switch (notice->kind) {
    case NOTICE_LIVE:
        feed->era = notice->era;
        feed->live = true;
        return;
    case NOTICE_DOWN:
        feed->live = false;
        return;
    case NOTICE_MOVED:
    case NOTICE_GONE:
        e = assets_known(a, u, str_of(notice->asset));
        if (e != NULL)
            entry_notice(e, notice);
        return;
    }
}

/* --- asking ----------------------------------------------------------------------------------- */

static struct assets_entry *assets_wait(struct assets *a, const struct upstream *u, struct str name,
                                        assets_cb *cb, void *arg)
{
    ASSERT(a->magic == ASSETS_MAGIC);
    ASSERT(store_name_ok(name));
    struct assets_entry *e = assets_find(a, u, name);
    struct assets_waiter *waiter = e == NULL ? NULL : calloc(1, sizeof *waiter);
    if (waiter == NULL) {
        cb(arg, -ENOMEM, NULL);
        return NULL;
    }
    *waiter = (struct assets_waiter){e->waiters, cb, arg};
    e->waiters = waiter;
    e->used = ++a->clock;
    return e;
}

void assets_want_recent(struct assets *a, const struct upstream *u, struct str name, assets_cb *cb,
                        void *arg)
{
    assets_want_for_peer(a, u, name, &(struct fields){NULL, 0}, cb, arg);
}

void assets_want_for_peer(struct assets *a, const struct upstream *u, struct str name,
                          const struct fields *came, assets_cb *cb, void *arg)
{
    struct assets_entry *e = assets_wait(a, u, name, cb, arg);
    if (e == NULL || e->asking)
        return;
    uint64_t now_ms = clock_mono_ms();
    uint64_t known_ms = MAX(e->asset.checked_ms, e->asked_ms);
    bool stands = entry_check(e) == OBJECTS_STANDS;
    if (stands && entry_is_true(e))
        entry_answer_true(e);
    else if (stands && e->asset.now != NULL && known_ms != 0 &&
             now_ms - known_ms < ASSETS_RECENT_MS)
        entry_answer(e, 0);
    else
        entry_ask(e, came);
}

void assets_want(struct assets *a, const struct upstream *u, struct str name, assets_cb *cb,
                 void *arg)
{
    struct assets_entry *e = assets_wait(a, u, name, cb, arg);
    if (e == NULL)
        return;
    uint64_t ttl_ms = u->config->ref_ttl_ms;
    if (ttl_ms == 0)
        ttl_ms = ASSETS_TTL_MS_DEFAULT;
    uint64_t now_ms = clock_mono_ms();
    bool stands = entry_check(e) == OBJECTS_STANDS;
    if (stands && entry_is_true(e)) {
        entry_answer_true(e);
        return;
    }
    /* What was purged softly is served until one of us has the new one. */
    bool known = e->asset.now != NULL && (stands || !entry_is_overtaken(e));
    /* While notices come, asking once more makes it true for long. */
    bool timed = !e->outdated && !e->table->feeds[u->index].live && e->asset.checked_ms != 0;
    bool fresh = stands && known && timed && now_ms - e->asset.checked_ms < ttl_ms;
    bool usable = known && e->asset.checked_ms != 0 &&
                  now_ms - e->asset.checked_ms < ttl_ms + ASSETS_STALE_MS;
    /* While the origin is away, one question a second is enough; nobody waits for it. */
    bool away = known && e->asset.stale;
    if (away && now_ms - e->asked_ms < ASSETS_RETRY_MS)
        fresh = true;
    if (fresh || usable || away)
        entry_answer(e, 0);
    if (!fresh && !e->asking)
        entry_ask(e, &(struct fields){NULL, 0});
}
