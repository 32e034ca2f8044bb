/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/spread.h"
#include <errno.h>
#include <stdlib.h>

struct spread_seat {
    _Atomic uint32_t refs; /* the worker's, and messages' on their way */
    struct loop *loop;
    struct edge_worker *worker; /* on the loop only; NULL once it has left */
    struct spread_seat *next;   /* under the lock */
};

struct spread_message {
    struct spread_seat *seat;
    spread_cb *cb;
    uint64_t data[]; /* aligned for any struct */
};

struct spread {
    uint32_t magic;
#define SPREAD_MAGIC UINT32_C(0x59e4dca1)
    pthread_mutex_t lock; /* covers the seats' list; a listed one's loop runs */
    struct spread_seat *first;
};

int spread_new(struct spread **ret)
{
    struct spread *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    s->magic = SPREAD_MAGIC;
    (void)pthread_mutex_init(&s->lock, NULL);
    *ret = s;
    return 0;
}

struct spread *spread_free(struct spread *s)
{
    if (s == NULL)
        return NULL;
    ASSERT(s->magic == SPREAD_MAGIC);
    ASSERT(s->first == NULL);
    (void)pthread_mutex_destroy(&s->lock);
    MAGIC_CLEAR(s);
    free(s);
    return NULL;
}

static void spread_unref(struct spread_seat *seat)
{
    if (atomic_fetch_sub_explicit(&seat->refs, 1, memory_order_acq_rel) == 1)
        free(seat);
}

int spread_join(struct spread *s, struct edge_worker *w, struct spread_seat **ret)
{
    ASSERT(s->magic == SPREAD_MAGIC);
    struct spread_seat *seat = calloc(1, sizeof *seat);
    if (seat == NULL)
        return -ENOMEM;
    seat->refs = 1;
    seat->loop = w->loop;
    seat->worker = w;
    (void)pthread_mutex_lock(&s->lock);
    seat->next = s->first;
    s->first = seat;
    (void)pthread_mutex_unlock(&s->lock);
    *ret = seat;
    return 0;
}

struct spread_seat *spread_leave(struct spread *s, struct spread_seat *seat)
{
    if (seat == NULL)
        return NULL;
    ASSERT(s->magic == SPREAD_MAGIC);
    (void)pthread_mutex_lock(&s->lock);
    struct spread_seat **at = &s->first;
    while (*at != seat)
        at = &(*at)->next;
    *at = seat->next;
    (void)pthread_mutex_unlock(&s->lock);
    seat->worker = NULL;
    spread_unref(seat);
    return NULL;
}

static void spread_on_message(void *arg)
{
    struct spread_message *m = arg;
    if (m->seat->worker != NULL)
        m->cb(m->seat->worker, m->data);
    spread_unref(m->seat);
    free(m);
}

static int spread_post(struct spread_seat *seat, spread_cb *cb, const void *data, size_t size)
{
    struct spread_message *m = malloc(sizeof *m + size);
    if (m == NULL)
        return -ENOMEM;
    m->seat = seat;
    m->cb = cb;
    memcpy(m->data, data, size);
    atomic_fetch_add_explicit(&seat->refs, 1, memory_order_relaxed);
    int r = loop_post(seat->loop, spread_on_message, m);
    if (r < 0) {
        spread_unref(seat); /* not the last: it is listed */
        free(m);
    }
    return r;
}

int spread_call(struct spread *s, spread_cb *cb, const void *data, size_t size)
{
    ASSERT(s->magic == SPREAD_MAGIC);
    int r = 0;
    (void)pthread_mutex_lock(&s->lock);
    for (struct spread_seat *seat = s->first; seat != NULL; seat = seat->next) {
        int error = spread_post(seat, cb, data, size);
        r = error < 0 ? error : r;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}
