/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define POOL_THREADS_MAX 64

struct pool_job {
    pool_work *work;
    void *arg;
};

struct pool {
    uint32_t magic;
#define POOL_MAGIC UINT32_C(0x900137a1)
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;
    unsigned first;
    unsigned count; /* <= POOL_QUEUE_MAX; jobs[first ..] wrap around */
    unsigned threads_count;
    pthread_t threads[POOL_THREADS_MAX];
    struct pool_job jobs[POOL_QUEUE_MAX];
};

static void *pool_thread(void *arg)
{
    struct pool *p = arg;
    (void)pthread_mutex_lock(&p->lock);
    for (;;) {
        while (p->count == 0 && !p->stopping)
            (void)pthread_cond_wait(&p->wake, &p->lock);
        if (p->count == 0)
            break;
        struct pool_job job = p->jobs[p->first];
        p->first = (p->first + 1) % POOL_QUEUE_MAX;
        p->count--;
        (void)pthread_mutex_unlock(&p->lock);
        job.work(job.arg);
        (void)pthread_mutex_lock(&p->lock);
    }
    (void)pthread_mutex_unlock(&p->lock);
    return NULL;
}

int pool_new(unsigned threads, struct pool **ret)
{
    if (threads == 0 || threads > POOL_THREADS_MAX)
        return -EINVAL;
    struct pool *p = calloc(1, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    p->magic = POOL_MAGIC;
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->wake, NULL);
    for (unsigned i = 0; i < threads; i++) {
        int r = pthread_create(&p->threads[i], NULL, pool_thread, p);
        if (r != 0) {
            pool_free(p);
            return -r;
        }
        p->threads_count++;
    }
    *ret = p;
    return 0;
}

int pool_run(struct pool *p, pool_work *work, void *arg)
{
    ASSERT(p != NULL && p->magic == POOL_MAGIC);
    ASSERT(work != NULL);
    int r = 0;
    (void)pthread_mutex_lock(&p->lock);
    if (p->count == POOL_QUEUE_MAX || p->stopping) {
        r = -EAGAIN;
    } else {
        p->jobs[(p->first + p->count) % POOL_QUEUE_MAX] = (struct pool_job){work, arg};
        p->count++;
        (void)pthread_cond_signal(&p->wake);
    }
    (void)pthread_mutex_unlock(&p->lock);
    return r;
}

struct pool *pool_free(struct pool *p)
{
    if (p == NULL)
        return NULL;
    ASSERT(p->magic == POOL_MAGIC);
    (void)pthread_mutex_lock(&p->lock);
    p->stopping = true;
    (void)pthread_cond_broadcast(&p->wake);
    (void)pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->threads_count; i++)
        (void)pthread_join(p->threads[i], NULL);
    (void)pthread_cond_destroy(&p->wake);
    (void)pthread_mutex_destroy(&p->lock);
    MAGIC_CLEAR(p);
    free(p);
    return NULL;
}
