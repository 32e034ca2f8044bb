/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/people.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "base/pool.h"
#include "control/people/attempts.h"
#include "control/people/letters.h"
#include "control/people/logins.h"
#include "control/people/tickets.h"

#define PEOPLE_CHANNEL     "weir.people"
#define PEOPLE_THREADS     4    /* that wait for mail servers and providers */
#define PEOPLE_RELOAD_MS   1000 /* between two reloads of keys that strangers can cause */
#define PEOPLE_WAITING_MAX 1000 /* for those threads */

struct people {
    uint32_t magic;
#define PEOPLE_MAGIC UINT32_C(0x9e09170b)
    struct db *db;
    struct keyring *keys;
    struct known *known;
    struct letters *letters;
    _Atomic uint64_t reloaded_ms;

    pthread_mutex_t lock; /* guards what follows */
    struct pool *pool;    /* NULL: stopped */
    _Atomic unsigned waiting;
    struct loop *loop; /* with the bus; NULL: not attached */
    struct bus *bus;
    struct bus_sub *sub;
};

static void people_check(const struct people *p)
{
    ASSERT(p != NULL);
    ASSERT(p->magic == PEOPLE_MAGIC);
}

int people_new(struct db *db, const char *key_file, struct err *err, struct people **ret)
{
    struct people *p = calloc(1, sizeof *p);
    if (p == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    p->magic = PEOPLE_MAGIC;
    p->db = db;
    (void)pthread_mutex_init(&p->lock, NULL); /* default attributes: cannot fail */
    int r = known_new(&p->known);
    if (r == 0)
        r = pool_new(PEOPLE_THREADS, &p->pool);
    if (r == 0)
        r = letters_new(&p->letters);
    if (r < 0)
        (void)err_errno(err, r, "starting threads");
    if (r == 0)
        r = keyring_open(db, key_file, clock_real_ms(), err, &p->keys);
    if (r < 0) {
        people_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

void people_stop(struct people *p)
{
    if (p == NULL)
        return;
    people_check(p);
    letters_stop(p->letters);
    (void)pthread_mutex_lock(&p->lock);
    struct pool *pool = p->pool;
    p->pool = NULL;
    (void)pthread_mutex_unlock(&p->lock);
    pool_free(pool);
}

struct people *people_free(struct people *p)
{
    if (p == NULL)
        return NULL;
    people_check(p);
    people_stop(p);
    ASSERT(p->loop == NULL);
    letters_free(p->letters);
    keyring_close(p->keys);
    known_free(p->known);
    (void)pthread_mutex_destroy(&p->lock);
    MAGIC_CLEAR(p);
    free(p);
    return NULL;
}

struct keyring *people_keys(struct people *p)
{
    people_check(p);
    return p->keys;
}

struct known *people_known(struct people *p)
{
    people_check(p);
    return p->known;
}

/* --- what others tell ------------------------------------------------------------------------- */

static void people_on_message(void *arg, struct str text)
{
    struct people *p = arg;
    char id[DB_ID_SIZE_MAX + 1];
    people_check(p);
    if (str_copy(text, id, sizeof id) == 0)
        known_forget(p->known, id);
}

/* Something may have been missed. */
static void people_on_gap(void *arg)
{
    struct people *p = arg;
    people_check(p);
    known_forget(p->known, NULL);
}

int people_attach(struct people *p, struct loop *loop, struct bus *bus)
{
    people_check(p);
    struct bus_sub *sub = NULL;
    int r = bus_subscribe(bus, STR(PEOPLE_CHANNEL), people_on_message, people_on_gap, p, &sub);
    if (r < 0)
        return r;
    (void)pthread_mutex_lock(&p->lock);
    p->loop = loop;
    p->bus = bus;
    p->sub = sub;
    (void)pthread_mutex_unlock(&p->lock);
    return 0;
}

void people_detach(struct people *p, const struct loop *loop)
{
    people_check(p);
    struct bus_sub *sub = NULL;
    (void)pthread_mutex_lock(&p->lock);
    if (p->loop == loop) {
        sub = p->sub;
        p->loop = NULL;
        p->bus = NULL;
        p->sub = NULL;
    }
    (void)pthread_mutex_unlock(&p->lock);
    bus_unsubscribe(sub);
}

struct people_news {
    struct people *people;
    char id[];
};

static void people_on_published(void *arg, int res, const struct bus_answer *answer)
{
    (void)arg;
    (void)answer;
    /* The others find out when what they know is not fresh any more: KNOWN_FRESH_MS. */
    if (res < 0)
        log_debug("the end of a log-in could not be told");
}

/* On the bus's loop; it is attached as long as the loop runs what was posted. */
static void people_publish(void *arg)
{
    struct people_news *n = arg;
    struct people *p = n->people;
    (void)pthread_mutex_lock(&p->lock);
    struct bus *bus = p->bus;
    (void)pthread_mutex_unlock(&p->lock);
    if (bus != NULL &&
        bus_publish(bus, STR(PEOPLE_CHANNEL), str_of(n->id), people_on_published, NULL) < 0)
        people_on_published(NULL, -ENOBUFS, NULL);
    free(n);
}

void people_forget(struct people *p, const char *id)
{
    people_check(p);
    known_forget(p->known, id);
    size_t size = strlen(id) + 1;
    struct people_news *n = malloc(sizeof *n + size);
    int r = n == NULL ? -ENOMEM : 0;
    if (r == 0) {
        n->people = p;
        memcpy(n->id, id, size);
        (void)pthread_mutex_lock(&p->lock);
        r = p->loop == NULL ? -ENOENT : loop_post(p->loop, people_publish, n);
        (void)pthread_mutex_unlock(&p->lock);
    }
    if (r < 0)
        free(n);
}

int people_reload_keys(struct people *p, int64_t now_ms)
{
    people_check(p);
    uint64_t now = clock_mono_ms();
    uint64_t before = atomic_load_explicit(&p->reloaded_ms, memory_order_relaxed);
    if (now - before < PEOPLE_RELOAD_MS && before != 0)
        return 0;
    atomic_store_explicit(&p->reloaded_ms, now, memory_order_relaxed);
    return keyring_reload(p->keys, now_ms);
}

/* --- sweeping --------------------------------------------------------------------------------- */

static void people_swept(const char *what, int r, uint64_t count)
{
    struct err err = {""};
    if (r < 0) {
        (void)err_errno(&err, r, "deleting %s that are over", what);
        log_error("%s", err.text);
    } else if (count > 0) {
        log_info("%llu %s deleted that are over", (unsigned long long)count, what);
    }
}

void people_sweep(struct people *p, int64_t now_ms)
{
    uint64_t count = 0;
    people_check(p);
    int r = keyring_reload(p->keys, now_ms);
    if (r < 0)
        people_swept("keys", r, 0);
    r = keyring_purge(p->db, now_ms, &count);
    people_swept("keys", r, count);
    r = logins_purge(p->db, now_ms, &count);
    people_swept("log-ins", r, count);
    r = tickets_purge(p->db, now_ms, &count);
    people_swept("tickets", r, count);
    r = attempts_purge(p->db, now_ms, &count);
    people_swept("attempts", r, count);
}

/* --- those outside ---------------------------------------------------------------------------- */

struct people_work {
    struct people *people;
    void (*work)(void *arg);
    void *arg;
};

static void people_on_pool(void *arg)
{
    struct people_work *w = arg;
    w->work(w->arg);
    (void)atomic_fetch_sub_explicit(&w->people->waiting, 1, memory_order_relaxed);
    free(w);
}

int people_run(struct people *p, void (*work)(void *arg), void *arg)
{
    people_check(p);
    struct people_work *w = malloc(sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    *w = (struct people_work){p, work, arg};
    int r = -EAGAIN;
    if (atomic_fetch_add_explicit(&p->waiting, 1, memory_order_relaxed) < PEOPLE_WAITING_MAX) {
        (void)pthread_mutex_lock(&p->lock);
        if (p->pool != NULL)
            r = pool_run(p->pool, people_on_pool, w);
        (void)pthread_mutex_unlock(&p->lock);
    }
    if (r < 0) {
        (void)atomic_fetch_sub_explicit(&p->waiting, 1, memory_order_relaxed);
        free(w);
    }
    return r;
}

int people_write(struct people *p, struct live *l, enum letter letter, const char *address,
                 const char *ticket)
{
    people_check(p);
    return letters_write(p->letters, l, letter, address, ticket);
}
