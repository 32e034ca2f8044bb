/* SPDX-License-Identifier: Apache-2.0 */
/* A hub is one process's memory behind its buses: keys in a table under a lock, and the list of
 * buses that messages are posted to.
 *
 * Invariants:
 *  1. A bus is in hub->buses from its opening to its closing; under the lock only those are posted
 *     to, so nothing reaches the loop of a closed bus.
 *  2. A posted message has a reference to its bus: a bus that was closed meanwhile is still memory.
 *  3. A call is done before it returns; only its callback waits, in bus->first. */
#include "bus/bus.h"
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/digest.h"
#include "bus/bus_priv.h"
#include "bus/hub_streams.h"

#define HUB_BUCKETS  UINT32_C(16384) /* power of two */
#define HUB_KEYS_MAX UINT32_C(1000000)

struct hub_key {
    struct hub_key *next;
    char *key;
    char *text;
    size_t size;
    uint64_t ends_ms; /* monotonic; 0: never */
};

struct bus_local {
    struct bus bus;
    struct bus_hub *hub;
    struct bus_local *next;
    struct local_call *first, **last; /* done, not yet told */
    bool is_posted;
    bool is_closed;
    atomic_uint subs_count;
    atomic_uint refs;
};

struct bus_hub {
    uint32_t magic;
#define BUS_HUB_MAGIC UINT32_C(0xb0550b0b)
    pthread_mutex_t lock;
    struct bus_local *buses;
    uint32_t keys_count;
    uint32_t hand;               /* the next bucket to rid of what has ended */
    struct hub_streams *streams; /* NULL: none yet */
    struct hub_key *buckets[HUB_BUCKETS];
};

struct local_call {
    struct local_call *next;
    bus_done *cb;
    void *arg;
    int res;
    struct bus_answer answer;
    char *text; /* of the answer; ours */
};

struct local_message {
    struct bus_local *to;
    size_t channel_size;
    size_t text_size;
    char bytes[];
};

static void local_unref(struct bus_local *l)
{
    if (atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) == 1) {
        MAGIC_CLEAR(&l->bus);
        free(l);
    }
}

/* --- keys; all under the hub's lock ----------------------------------------------------------- */

static void hub_key_free(struct bus_hub *h, struct hub_key **at)
{
    struct hub_key *k = *at;
    *at = k->next;
    h->keys_count--;
    free(k->key);
    free(k->text);
    free(k);
}

static void hub_sweep(struct bus_hub *h, uint32_t bucket, uint64_t now_ms)
{
    for (struct hub_key **at = &h->buckets[bucket]; *at != NULL;) {
        if ((*at)->ends_ms != 0 && (*at)->ends_ms <= now_ms)
            hub_key_free(h, at);
        else
            at = &(*at)->next;
    }
}

/* Where the key is, or where it would be put. */
static struct hub_key **hub_find(struct bus_hub *h, struct str key)
{
    struct digest d = digest_of(key.data, key.size);
    uint32_t bucket = ((uint32_t)d.bytes[0] << 8 | d.bytes[1]) & (HUB_BUCKETS - 1);
    uint64_t now_ms = clock_mono_ms();
    hub_sweep(h, bucket, now_ms);
    hub_sweep(h, h->hand, now_ms);
    h->hand = (h->hand + 1) & (HUB_BUCKETS - 1);
    struct hub_key **at = &h->buckets[bucket];
    while (*at != NULL && !str_eq(str_of((*at)->key), key))
        at = &(*at)->next;
    return at;
}

/* Replaces the text; a key that was not there is made, with this life. */
static int hub_set(struct bus_hub *h, struct hub_key **at, struct str key, struct str text,
                   uint64_t life_ms)
{
    char *copy = malloc(text.size + 1);
    if (copy == NULL)
        return -ENOMEM;
    if (text.size > 0)
        memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    if (*at == NULL) {
        struct hub_key *k = h->keys_count < HUB_KEYS_MAX ? calloc(1, sizeof *k) : NULL;
        char *name = k == NULL ? NULL : str_dup(key);
        if (name == NULL) {
            free(k);
            free(copy);
            return h->keys_count < HUB_KEYS_MAX ? -ENOMEM : -ENOBUFS;
        }
        k->key = name;
        k->ends_ms = life_ms == 0 ? 0 : clock_mono_ms() + life_ms;
        *at = k;
        h->keys_count++;
    }
    free((*at)->text);
    (*at)->text = copy;
    (*at)->size = text.size;
    return 0;
}

/* --- calls ------------------------------------------------------------------------------------ */

static void local_on_turn(void *arg)
{
    struct bus_local *l = arg;
    struct local_call *c = l->first;
    l->first = NULL;
    l->last = &l->first;
    l->is_posted = false;
    while (c != NULL) {
        struct local_call *next = c->next;
        c->cb(c->arg, l->is_closed ? -ECANCELED : c->res, &c->answer);
        free(c->text);
        free(c);
        c = next;
    }
    if (!l->is_closed)
        bus__gap(&l->bus, STR_NONE);
    local_unref(l);
}

static int local_wake(struct bus_local *l)
{
    if (l->is_posted)
        return 0;
    int r = loop_post(l->bus.loop, local_on_turn, l);
    if (r == 0) {
        l->is_posted = true;
        (void)atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
    }
    return r;
}

/* Everything that may fail for want of memory comes before the call's effect. */
static int local_call_new(struct bus_local *l, bus_done *cb, void *arg, struct local_call **ret)
{
    struct local_call *c = calloc(1, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    int r = local_wake(l);
    if (r < 0) {
        free(c);
        return r;
    }
    c->cb = cb;
    c->arg = arg;
    *l->last = c;
    l->last = &c->next;
    *ret = c;
    return 0;
}

static void local_answer_text(struct local_call *c, struct str text)
{
    c->text = malloc(text.size + 1);
    if (c->text == NULL) {
        c->res = -ENOMEM;
        return;
    }
    if (text.size > 0)
        memcpy(c->text, text.data, text.size);
    c->text[text.size] = 0;
    c->answer = (struct bus_answer){.kind = BUS_TEXT, .text = {c->text, text.size}};
}

static void local_on_message(void *arg)
{
    struct local_message *m = arg;
    struct bus_local *l = m->to;
    if (!l->is_closed)
        bus__deliver(&l->bus, (struct str){m->bytes, m->channel_size},
                     (struct str){m->bytes + m->channel_size, m->text_size});
    local_unref(l);
    free(m);
}

static int local_send(struct bus_local *to, struct str channel, struct str text)
{
    struct local_message *m = malloc(sizeof *m + channel.size + text.size);
    if (m == NULL)
        return -ENOMEM;
    *m = (struct local_message){to, channel.size, text.size};
    memcpy(m->bytes, channel.data, channel.size);
    if (text.size > 0)
        memcpy(m->bytes + channel.size, text.data, text.size);
    (void)atomic_fetch_add_explicit(&to->refs, 1, memory_order_relaxed);
    int r = loop_post(to->bus.loop, local_on_message, m);
    if (r < 0) {
        local_unref(to);
        free(m);
    }
    return r;
}

static int local_publish(struct bus *b, struct str channel, struct str text, bus_done *cb,
                         void *arg)
{
    struct bus_local *l = (struct bus_local *)b;
    struct local_call *c;
    int r = local_call_new(l, cb, arg, &c);
    if (r < 0)
        return r;
    (void)pthread_mutex_lock(&l->hub->lock);
    for (struct bus_local *to = l->hub->buses; to != NULL; to = to->next) {
        if (atomic_load_explicit(&to->subs_count, memory_order_acquire) == 0)
            continue;
        r = local_send(to, channel, text);
        if (r < 0)
            c->res = r;
    }
    (void)pthread_mutex_unlock(&l->hub->lock);
    return 0;
}

static int local_subscribe(struct bus *b, struct bus_sub *s)
{
    struct bus_local *l = (struct bus_local *)b;
    (void)s;
    int r = local_wake(l);
    if (r == 0)
        (void)atomic_fetch_add_explicit(&l->subs_count, 1, memory_order_release);
    return r;
}

static void local_unsubscribe(struct bus *b, struct bus_sub *s)
{
    struct bus_local *l = (struct bus_local *)b;
    (void)s;
    (void)atomic_fetch_sub_explicit(&l->subs_count, 1, memory_order_release);
}

static int local_count(struct bus *b, struct str key, int64_t by, uint64_t life_ms, bus_done *cb,
                       void *arg)
{
    struct bus_local *l = (struct bus_local *)b;
    struct local_call *c;
    int r = local_call_new(l, cb, arg, &c);
    if (r < 0)
        return r;
    char text[24];
    int64_t now = 0;
    (void)pthread_mutex_lock(&l->hub->lock);
    struct hub_key **at = hub_find(l->hub, key);
    if (*at != NULL && str_to_i64((struct str){(*at)->text, (*at)->size}, &now) < 0)
        c->res = -EPROTO;
    if (c->res == 0 && __builtin_add_overflow(now, by, &now))
        c->res = -EPROTO;
    if (c->res == 0) {
        (void)snprintf(text, sizeof text, "%" PRId64, now); /* sized to fit */
        c->res = hub_set(l->hub, at, key, str_of(text), life_ms);
    }
    (void)pthread_mutex_unlock(&l->hub->lock);
    if (c->res == 0)
        c->answer = (struct bus_answer){.kind = BUS_NUMBER, .number = now};
    return 0;
}

static int local_get(struct bus *b, struct str key, bus_done *cb, void *arg)
{
    struct bus_local *l = (struct bus_local *)b;
    struct local_call *c;
    int r = local_call_new(l, cb, arg, &c);
    if (r < 0)
        return r;
    (void)pthread_mutex_lock(&l->hub->lock);
    struct hub_key **at = hub_find(l->hub, key);
    if (*at == NULL)
        c->res = -ENOENT;
    else
        local_answer_text(c, (struct str){(*at)->text, (*at)->size});
    (void)pthread_mutex_unlock(&l->hub->lock);
    return 0;
}

static int local_swap(struct bus *b, struct str key, struct str expected, struct str fresh,
                      uint64_t life_ms, bus_done *cb, void *arg)
{
    struct bus_local *l = (struct bus_local *)b;
    struct local_call *c;
    int r = local_call_new(l, cb, arg, &c);
    if (r < 0)
        return r;
    (void)pthread_mutex_lock(&l->hub->lock);
    struct hub_key **at = hub_find(l->hub, key);
    bool is_there = *at != NULL;
    struct str now = is_there ? (struct str){(*at)->text, (*at)->size} : STR_NONE;
    if (is_there != (expected.data != NULL) || !str_eq(now, expected)) {
        if (is_there)
            local_answer_text(c, now);
        if (c->res == 0)
            c->res = -ESTALE;
    } else if (fresh.data == NULL) {
        if (is_there)
            hub_key_free(l->hub, at);
    } else {
        c->res = hub_set(l->hub, at, key, fresh, life_ms);
        if (c->res == 0)
            (*at)->ends_ms = life_ms == 0 ? 0 : clock_mono_ms() + life_ms;
    }
    (void)pthread_mutex_unlock(&l->hub->lock);
    return 0;
}

/* Under the hub's lock. */
static int hub_need_streams(struct bus_hub *h)
{
    return h->streams != NULL ? 0 : hub_streams_new(&h->streams);
}

static int local_stream_add(struct bus *b, struct str key, struct str text, uint64_t keep,
                            bus_done *cb, void *arg)
{
    struct bus_local *l = (struct bus_local *)b;
    struct local_call *c;
    char id[HUB_STREAM_ID_SIZE];
    int r = local_call_new(l, cb, arg, &c);
    if (r < 0)
        return r;
    (void)pthread_mutex_lock(&l->hub->lock);
    c->res = hub_need_streams(l->hub);
    if (c->res == 0)
        c->res = hub_streams_add(l->hub->streams, key, text, keep, id);
    if (c->res == 0)
        local_answer_text(c, str_of(id));
    (void)pthread_mutex_unlock(&l->hub->lock);
    return 0;
}

static int local_stream_read(struct bus *b, const struct bus_stream_read *read, bus_done *cb,
                             void *arg)
{
    struct bus_local *l = (struct bus_local *)b;
    struct local_call *c;
    int r = local_call_new(l, cb, arg, &c);
    if (r < 0)
        return r;
    (void)pthread_mutex_lock(&l->hub->lock);
    c->res = hub_need_streams(l->hub);
    if (c->res == 0)
        c->res = hub_streams_read(l->hub->streams, read, clock_mono_ms(), &c->answer, &c->text);
    (void)pthread_mutex_unlock(&l->hub->lock);
    return 0;
}

static int local_stream_ack(struct bus *b, struct str key, struct str group, struct str id,
                            bus_done *cb, void *arg)
{
    struct bus_local *l = (struct bus_local *)b;
    struct local_call *c;
    int r = local_call_new(l, cb, arg, &c);
    if (r < 0)
        return r;
    bool was = false;
    (void)pthread_mutex_lock(&l->hub->lock);
    if (l->hub->streams != NULL)
        c->res = hub_streams_ack(l->hub->streams, key, group, id, &was);
    (void)pthread_mutex_unlock(&l->hub->lock);
    c->answer = (struct bus_answer){.kind = BUS_NUMBER, .number = was ? 1 : 0};
    return 0;
}

static int local_script(struct bus *b, const struct bus_script_call *call, bus_done *cb, void *arg)
{
    (void)b, (void)call, (void)cb, (void)arg;
    return -EOPNOTSUPP;
}

static void local_close(struct bus *b)
{
    struct bus_local *l = (struct bus_local *)b;
    (void)pthread_mutex_lock(&l->hub->lock);
    struct bus_local **at = &l->hub->buses;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    (void)pthread_mutex_unlock(&l->hub->lock);
    l->is_closed = true;
    if (l->is_posted) { /* now, not on the next turn: the caller's memory ends with the bus */
        (void)atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
        local_on_turn(l);
    }
    local_unref(l);
}

/* --- life ------------------------------------------------------------------------------------- */

int bus_hub_new(struct bus_hub **ret)
{
    struct bus_hub *h = calloc(1, sizeof *h);
    if (h == NULL)
        return -ENOMEM;
    h->magic = BUS_HUB_MAGIC;
    (void)pthread_mutex_init(&h->lock, NULL); /* default attributes: cannot fail */
    *ret = h;
    return 0;
}

struct bus_hub *bus_hub_free(struct bus_hub *h)
{
    if (h == NULL)
        return NULL;
    ASSERT(h->magic == BUS_HUB_MAGIC);
    ASSERT(h->buses == NULL);
    for (uint32_t i = 0; i < HUB_BUCKETS; i++)
        while (h->buckets[i] != NULL)
            hub_key_free(h, &h->buckets[i]);
    hub_streams_free(h->streams);
    (void)pthread_mutex_destroy(&h->lock);
    MAGIC_CLEAR(h);
    free(h);
    return NULL;
}

int bus_open_local(struct bus_hub *hub, struct loop *loop, struct bus **ret)
{
    static const struct bus_ops ops = {
        .close = local_close,
        .publish = local_publish,
        .subscribe = local_subscribe,
        .unsubscribe = local_unsubscribe,
        .count = local_count,
        .get = local_get,
        .swap = local_swap,
        .stream_add = local_stream_add,
        .stream_read = local_stream_read,
        .stream_ack = local_stream_ack,
        .script = local_script,
    };
    ASSERT(hub->magic == BUS_HUB_MAGIC);
    struct bus_local *l = calloc(1, sizeof *l);
    if (l == NULL)
        return -ENOMEM;
    l->bus = (struct bus){.magic = BUS_MAGIC, .ops = &ops, .loop = loop};
    l->hub = hub;
    l->last = &l->first;
    atomic_init(&l->subs_count, 0);
    atomic_init(&l->refs, 1);
    (void)pthread_mutex_lock(&hub->lock);
    l->next = hub->buses;
    hub->buses = l;
    (void)pthread_mutex_unlock(&hub->lock);
    *ret = &l->bus;
    return 0;
}
