/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/queue.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct queue {
    uint32_t magic;
#define QUEUE_MAGIC UINT32_C(0x9e0c3b71)
    pthread_mutex_t lock;
    pthread_cond_t not_full, not_empty;
    void (*drop)(void *item);
    unsigned cap, count, first;
    bool is_closed, is_aborted;
    void *items[];
};

int queue_new(unsigned cap, void (*drop)(void *item), struct queue **ret)
{
    ASSERT(cap > 0);
    ASSERT(drop != NULL);
    struct queue *q = calloc(1, sizeof *q + cap * sizeof q->items[0]);
    if (q == NULL)
        return -ENOMEM;
    q->magic = QUEUE_MAGIC;
    q->cap = cap;
    q->drop = drop;
    pthread_mutex_init(&q->lock, NULL); /* with default attributes these cannot fail */
    pthread_cond_init(&q->not_full, NULL);
    pthread_cond_init(&q->not_empty, NULL);
    *ret = q;
    return 0;
}

int queue_push(struct queue *q, void *item)
{
    ASSERT(q->magic == QUEUE_MAGIC);
    pthread_mutex_lock(&q->lock);
    ASSERT(!q->is_closed);
    while (q->count == q->cap && !q->is_aborted)
        pthread_cond_wait(&q->not_full, &q->lock);
    int r = q->is_aborted ? -ECANCELED : 0;
    if (r == 0) {
        q->items[(q->first + q->count) % q->cap] = item;
        q->count++;
        pthread_cond_signal(&q->not_empty);
    }
    pthread_mutex_unlock(&q->lock);
    return r;
}

int queue_pop(struct queue *q, void **ret)
{
    ASSERT(q->magic == QUEUE_MAGIC);
    pthread_mutex_lock(&q->lock);
    while (q->count == 0 && !q->is_closed && !q->is_aborted)
        pthread_cond_wait(&q->not_empty, &q->lock);
    int r = q->is_aborted ? -ECANCELED : q->count == 0 ? -ENODATA : 0;
    if (r == 0) {
        *ret = q->items[q->first];
        q->first = (q->first + 1) % q->cap;
        q->count--;
        pthread_cond_signal(&q->not_full);
    }
    pthread_mutex_unlock(&q->lock);
    return r;
}

void queue_close(struct queue *q)
{
    ASSERT(q->magic == QUEUE_MAGIC);
    pthread_mutex_lock(&q->lock);
    q->is_closed = true;
    pthread_cond_broadcast(&q->not_empty);
    pthread_mutex_unlock(&q->lock);
}

void queue_abort(struct queue *q)
{
    ASSERT(q->magic == QUEUE_MAGIC);
    pthread_mutex_lock(&q->lock);
    q->is_aborted = true;
    pthread_cond_broadcast(&q->not_empty);
    pthread_cond_broadcast(&q->not_full);
    pthread_mutex_unlock(&q->lock);
}

struct queue *queue_free(struct queue *q)
{
    if (q == NULL)
        return NULL;
    ASSERT(q->magic == QUEUE_MAGIC);
    for (; q->count > 0; q->count--) {
        q->drop(q->items[q->first]);
        q->first = (q->first + 1) % q->cap;
    }
    pthread_cond_destroy(&q->not_full);
    pthread_cond_destroy(&q->not_empty);
    pthread_mutex_destroy(&q->lock);
    MAGIC_CLEAR(q);
    free(q);
    return NULL;
}
