/* SPDX-License-Identifier: Apache-2.0 */
/* Invariants:
 *  1. A user is in the bucket of their name, and has a lease or an ended session: others are freed
 *     when they are met. The hand meets every bucket once in BOOK_BUCKETS calls.
 *  2. A user's live leases are as many as their limit allowed when each was opened. */
#include "lease/lease_book.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include "base/buf.h"
#include "base/digest.h"

#define BOOK_BUCKETS       UINT32_C(65536) /* power of two */
#define BOOK_CROWD_BUCKETS 4096            /* that one page looks at */

struct book_lease {
    struct book_lease *next; /* oldest first */
    struct lease lease;      /* user: STR_NONE; texts are in bytes */
    char bytes[];
};

struct book_ended {
    struct book_ended *next;
    int64_t until_ms;
    bool is_over;   /* by a lower limit */
    char session[]; /* zero-terminated */
};

struct book_user {
    struct book_user *next;
    unsigned limit; /* 0: not known */
    struct book_lease *leases;
    unsigned leases_count;
    struct book_ended *ended;
    unsigned ended_count;
    char name[];
};

struct lease_book {
    uint32_t magic;
#define LEASE_BOOK_MAGIC UINT32_C(0x1ea5eb00)
    pthread_mutex_t lock;
    uint32_t users_count;
    uint32_t hand;
    struct book_user *buckets[BOOK_BUCKETS];
};

/* --- all below under the lock, but for the calls at the end ----------------------------------- */

static void user_drop_lease(struct book_user *u, struct book_lease **at)
{
    struct book_lease *l = *at;
    *at = l->next;
    u->leases_count--;
    free(l);
}

static void user_drop_ended(struct book_user *u, struct book_ended **at)
{
    struct book_ended *e = *at;
    *at = e->next;
    u->ended_count--;
    free(e);
}

static void user_expire(struct book_user *u, int64_t now_ms)
{
    for (struct book_lease **at = &u->leases; *at != NULL;) {
        if ((*at)->lease.expires_ms <= now_ms)
            user_drop_lease(u, at);
        else
            at = &(*at)->next;
    }
    for (struct book_ended **at = &u->ended; *at != NULL;) {
        if ((*at)->until_ms <= now_ms)
            user_drop_ended(u, at);
        else
            at = &(*at)->next;
    }
}

static void book_drop_user(struct lease_book *b, struct book_user **at)
{
    struct book_user *u = *at;
    *at = u->next;
    b->users_count--;
    while (u->leases != NULL)
        user_drop_lease(u, &u->leases);
    while (u->ended != NULL)
        user_drop_ended(u, &u->ended);
    free(u);
}

static void book_sweep(struct lease_book *b, uint32_t bucket, int64_t now_ms)
{
    for (struct book_user **at = &b->buckets[bucket]; *at != NULL;) {
        user_expire(*at, now_ms);
        if ((*at)->leases == NULL && (*at)->ended == NULL)
            book_drop_user(b, at);
        else
            at = &(*at)->next;
    }
}

/* Where the user is, or would be put; what has expired is gone. */
static struct book_user **book_find(struct lease_book *b, struct str name, int64_t now_ms)
{
    struct digest d = digest_of(name.data, name.size);
    uint32_t bucket = (uint32_t)d.bytes[0] << 8 | d.bytes[1];
    book_sweep(b, bucket & (BOOK_BUCKETS - 1), now_ms);
    book_sweep(b, b->hand, now_ms);
    b->hand = (b->hand + 1) & (BOOK_BUCKETS - 1);
    struct book_user **at = &b->buckets[bucket & (BOOK_BUCKETS - 1)];
    while (*at != NULL && !str_eq(str_of((*at)->name), name))
        at = &(*at)->next;
    return at;
}

static int book_make_user(struct lease_book *b, struct str name, struct book_user **at)
{
    if (b->users_count >= BOOK_USERS_MAX)
        return -ENOBUFS;
    struct book_user *u = calloc(1, sizeof *u + name.size + 1);
    if (u == NULL)
        return -ENOMEM;
    memcpy(u->name, name.data, name.size);
    *at = u;
    b->users_count++;
    return 0;
}

static struct book_lease **user_lease(struct book_user *u, struct str session)
{
    struct book_lease **at = &u->leases;
    while (*at != NULL && !str_eq((*at)->lease.session, session))
        at = &(*at)->next;
    return at;
}

static struct str book_put_text(struct str s, char **at)
{
    struct str copy = {*at, s.size};
    if (s.size > 0)
        memcpy(*at, s.data, s.size);
    *at += s.size;
    return copy;
}

static size_t book_texts_size(const struct lease *l)
{
    return l->session.size + l->asset.size + l->device.size + l->device_name.size;
}

static void book_put_texts(struct lease *l, char **at)
{
    l->session = book_put_text(l->session, at);
    l->asset = book_put_text(l->asset, at);
    l->device = book_put_text(l->device, at);
    l->device_name = book_put_text(l->device_name, at);
}

static int user_add_lease(struct book_user *u, const struct lease *lease, int64_t now_ms,
                          uint32_t life_ms)
{
    struct book_lease *l = malloc(sizeof *l + book_texts_size(lease));
    if (l == NULL)
        return -ENOMEM;
    char *at = l->bytes;
    *l = (struct book_lease){.lease = *lease};
    l->lease.user = STR_NONE;
    l->lease.started_ms = lease->started_ms > 0 ? MIN(lease->started_ms, now_ms) : now_ms;
    l->lease.expires_ms = now_ms + life_ms;
    book_put_texts(&l->lease, &at);
    struct book_lease **last = &u->leases;
    while (*last != NULL && (*last)->lease.started_ms <= l->lease.started_ms)
        last = &(*last)->next;
    l->next = *last;
    *last = l;
    u->leases_count++;
    return 0;
}

static bool lease_is_on(const struct book_lease *l, struct str device)
{
    return device.data == NULL || str_eq(l->lease.device, device);
}

/* Those of a device; STR_NONE: all. u may be NULL. */
static int user_copy(const struct book_user *u, struct str device, struct book_list *ret)
{
    size_t size = 0;
    unsigned count = 0;
    const struct book_lease *first = u == NULL ? NULL : u->leases;
    for (const struct book_lease *l = first; l != NULL; l = l->next) {
        if (!lease_is_on(l, device))
            continue;
        size += book_texts_size(&l->lease);
        count++;
    }
    struct book_list list = {
        .at = calloc(MAX(count, 1U), sizeof *list.at),
        .count = count,
        .texts = malloc(MAX(size, (size_t)1)),
    };
    if (list.at == NULL || list.texts == NULL) {
        book__list_clear(&list);
        return -ENOMEM;
    }
    char *at = list.texts;
    struct lease *out = list.at;
    for (const struct book_lease *l = first; l != NULL; l = l->next) {
        if (!lease_is_on(l, device))
            continue;
        *out = l->lease;
        book_put_texts(out++, &at);
    }
    *ret = list;
    return 0;
}

static const struct book_ended *user_find_ended(const struct book_user *u, struct str session)
{
    const struct book_ended *e = u->ended;
    while (e != NULL && !str_eq(str_of(e->session), session))
        e = e->next;
    return e;
}

static int user_end(struct book_user *u, struct book_lease **at, int64_t now_ms, bool is_over)
{
    int64_t until_ms = (*at)->lease.until_ms;
    struct str session = (*at)->lease.session;
    if (until_ms > now_ms) {
        struct book_ended *e = calloc(1, sizeof *e + session.size + 1);
        if (e == NULL)
            return -ENOMEM;
        memcpy(e->session, session.data, session.size);
        e->until_ms = until_ms;
        e->is_over = is_over;
        e->next = u->ended;
        u->ended = e;
        u->ended_count++;
    }
    user_drop_lease(u, at);
    if (u->ended_count > LEASE_ENDED_MAX) {
        struct book_ended **first = &u->ended;
        for (struct book_ended **each = &u->ended; *each != NULL; each = &(*each)->next)
            if ((*each)->until_ms < (*first)->until_ms)
                first = each;
        user_drop_ended(u, first);
    }
    return 0;
}

/* --- calls ------------------------------------------------------------------------------------ */

static int user_end_device(struct book_user *u, struct str device, int64_t now_ms,
                           struct book_list *ret_ended)
{
    int r = user_copy(u, device, ret_ended);
    for (unsigned i = 0; r == 0 && i < ret_ended->count; i++)
        r = user_end(u, user_lease(u, ret_ended->at[i].session), now_ms, false);
    return r;
}

static int book_open(struct lease_book *b, const struct lease *lease, unsigned limit,
                     int64_t now_ms, uint32_t life_ms, struct book_list *ret_full,
                     struct book_list *ret_ended)
{
    struct book_user **at = book_find(b, lease->user, now_ms);
    if (*at != NULL && *user_lease(*at, lease->session) != NULL)
        return 0;
    int r = *at == NULL ? book_make_user(b, lease->user, at) : 0;
    if (r == 0 && lease->device.size > 0)
        r = user_end_device(*at, lease->device, now_ms, ret_ended);
    if (r < 0)
        return r; /* a user without any lease is swept away later */
    if ((*at)->leases_count >= limit) {
        r = user_copy(*at, STR_NONE, ret_full);
        return r < 0 ? r : -EDQUOT;
    }
    (*at)->limit = limit;
    return user_add_lease(*at, lease, now_ms, life_ms);
}

int book__open(struct lease_book *b, const struct lease *lease, unsigned limit, int64_t now_ms,
               uint32_t life_ms, struct book_list *ret_full, struct book_list *ret_ended)
{
    (void)pthread_mutex_lock(&b->lock);
    int r = book_open(b, lease, limit, now_ms, life_ms, ret_full, ret_ended);
    (void)pthread_mutex_unlock(&b->lock);
    return r;
}

int book__list(struct lease_book *b, struct str user, int64_t now_ms, struct book_list *ret)
{
    (void)pthread_mutex_lock(&b->lock);
    int r = user_copy(*book_find(b, user, now_ms), STR_NONE, ret);
    (void)pthread_mutex_unlock(&b->lock);
    return r;
}

int book__end(struct lease_book *b, struct str user, struct str session, int64_t now_ms)
{
    (void)pthread_mutex_lock(&b->lock);
    struct book_user *u = *book_find(b, user, now_ms);
    struct book_lease **at = u == NULL ? NULL : user_lease(u, session);
    int r = at == NULL || *at == NULL ? -ENOENT : user_end(u, at, now_ms, false);
    (void)pthread_mutex_unlock(&b->lock);
    return r;
}

static int user_trim(struct book_user *u, unsigned limit, int64_t now_ms,
                     struct book_list *ret_over)
{
    struct book_list all = {0};
    u->limit = limit;
    if (u->leases_count <= limit)
        return 0;
    int r = user_copy(u, STR_NONE, &all);
    if (r < 0)
        return r;
    all.count = u->leases_count - limit; /* the oldest come first */
    for (unsigned i = 0; r == 0 && i < all.count; i++)
        r = user_end(u, user_lease(u, all.at[i].session), now_ms, true);
    if (r == 0)
        *ret_over = all;
    else
        book__list_clear(&all);
    return r;
}

int book__trim(struct lease_book *b, struct str user, unsigned limit, int64_t now_ms,
               struct book_list *ret_over)
{
    (void)pthread_mutex_lock(&b->lock);
    struct book_user *u = *book_find(b, user, now_ms);
    int r = u == NULL ? 0 : user_trim(u, limit, now_ms, ret_over);
    (void)pthread_mutex_unlock(&b->lock);
    return r;
}

/* A page ends with the bucket that fills it, or after so many that others wait for the lock. */
static int book_crowded(struct lease_book *b, uint64_t cursor, int64_t now_ms,
                        struct book_crowd *ret)
{
    CLEAN_BUF struct buf texts = BUF_EMPTY;
    struct buf users = BUF_EMPTY;
    uint64_t end = MIN(cursor + BOOK_CROWD_BUCKETS, (uint64_t)BOOK_BUCKETS);
    unsigned count = 0;
    uint64_t at = cursor;
    for (; at < end && count < LEASE_CROWD_MAX; at++) {
        book_sweep(b, (uint32_t)at, now_ms);
        for (const struct book_user *u = b->buckets[at]; u != NULL; u = u->next) {
            if (u->leases_count < 2)
                continue;
            struct str name = {NULL, strlen(u->name)}; /* texts may still move */
            buf_put(&users, &name, sizeof name);
            buf_put(&texts, u->name, name.size);
            count++;
        }
    }
    struct str *list = count == 0 ? NULL : (struct str *)(void *)buf_take(&users);
    buf_free(&users);
    char *text = count == 0 ? NULL : buf_take(&texts);
    if (count > 0 && (list == NULL || text == NULL)) {
        free(list);
        free(text);
        return -ENOMEM;
    }
    char *name = text;
    for (unsigned i = 0; i < count; i++) {
        list[i].data = name;
        name += list[i].size;
    }
    *ret = (struct book_crowd){list, count, text, at < BOOK_BUCKETS ? at : 0};
    return 0;
}

int book__crowded(struct lease_book *b, uint64_t cursor, int64_t now_ms, struct book_crowd *ret)
{
    if (cursor >= BOOK_BUCKETS)
        return -EINVAL;
    (void)pthread_mutex_lock(&b->lock);
    int r = book_crowded(b, cursor, now_ms, ret);
    (void)pthread_mutex_unlock(&b->lock);
    return r;
}

void book__crowd_clear(struct book_crowd *c)
{
    free(c->users);
    free(c->texts);
    *c = (struct book_crowd){0};
}

static enum lease_state book_renew(struct lease_book *b, const struct lease *lease, int64_t now_ms,
                                   uint32_t life_ms)
{
    struct book_user **at = book_find(b, lease->user, now_ms);
    struct book_user *u = *at;
    const struct book_ended *e = u == NULL ? NULL : user_find_ended(u, lease->session);
    if (e != NULL)
        return e->is_over ? LEASE_OVER : LEASE_ENDED;
    struct book_lease *l = u == NULL ? NULL : *user_lease(u, lease->session);
    if (l != NULL) {
        l->lease.expires_ms = now_ms + life_ms;
        l->lease.until_ms = MAX(l->lease.until_ms, lease->until_ms);
        return LEASE_LIVE;
    }
    int r = u == NULL ? book_make_user(b, lease->user, at) : 0;
    if (r == 0 && lease->limit > 0)
        (*at)->limit = lease->limit;
    if (r == 0 && (*at)->limit > 0 && (*at)->leases_count >= (*at)->limit)
        return LEASE_FULL;
    if (r == 0)
        r = user_add_lease(*at, lease, now_ms, life_ms);
    return r == 0 ? LEASE_LIVE : LEASE_UNSURE;
}

enum lease_state book__renew(struct lease_book *b, const struct lease *lease, int64_t now_ms,
                             uint32_t life_ms)
{
    (void)pthread_mutex_lock(&b->lock);
    enum lease_state state = book_renew(b, lease, now_ms, life_ms);
    (void)pthread_mutex_unlock(&b->lock);
    return state;
}

void book__list_clear(struct book_list *l)
{
    free(l->at);
    free(l->texts);
    *l = (struct book_list){0};
}

int lease_book_new(struct lease_book **ret)
{
    struct lease_book *b = calloc(1, sizeof *b);
    if (b == NULL)
        return -ENOMEM;
    b->magic = LEASE_BOOK_MAGIC;
    (void)pthread_mutex_init(&b->lock, NULL); /* default attributes: cannot fail */
    *ret = b;
    return 0;
}

struct lease_book *lease_book_free(struct lease_book *b)
{
    if (b == NULL)
        return NULL;
    ASSERT(b->magic == LEASE_BOOK_MAGIC);
    for (uint32_t i = 0; i < BOOK_BUCKETS; i++)
        while (b->buckets[i] != NULL)
            book_drop_user(b, &b->buckets[i]);
    (void)pthread_mutex_destroy(&b->lock);
    MAGIC_CLEAR(b);
    free(b);
    return NULL;
}
