/* SPDX-License-Identifier: Apache-2.0 */
#include "evict_hits.h"
#include <pthread.h>
#include <time.h>
#include "evict_rng.h"
#include "store/hot.h"

#define HITS_THREADS_MAX 16u
#define HITS_BLOBS       4096u
#define HITS_BLOB_SIZE   64u
#define HITS_ROUNDS      2000000u
#define HITS_TIER_SIZE   (UINT64_C(2) << 30) /* as many shards as there can be */

struct hits_thread {
    pthread_t id;
    struct hot *hot;
    struct digest *names;
    uint64_t seed;
    double ns;
};

/* Of this thread: what others on the host do counts less. */
static double hits_cpu_ns(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void *hits_run(void *arg)
{
    struct hits_thread *x = arg;
    struct evict_rng rng = evict_rng_of(x->seed);
    double start_ns = hits_cpu_ns();
    for (uint32_t i = 0; i < HITS_ROUNDS; i++) {
        struct rbuf *blob = hot_get(x->hot, &x->names[evict_rng_below(&rng, HITS_BLOBS)]);
        ASSERT(blob != NULL);
        rbuf_unref(blob);
    }
    x->ns = (hits_cpu_ns() - start_ns) / HITS_ROUNDS;
    return NULL;
}

static int hits_fill(struct hot *h, struct digest *names)
{
    for (uint32_t i = 0; i < HITS_BLOBS; i++) {
        struct rbuf *blob = NULL;
        int r = rbuf_new(HITS_BLOB_SIZE, &blob);
        if (r < 0)
            return r;
        names[i] = digest_of(&i, sizeof i);
        hot_insert(h, &names[i], blob);
        rbuf_unref(blob);
    }
    return 0;
}

int evict_hits(unsigned threads, double *ret_ns)
{
    static struct digest names[HITS_BLOBS];
    struct hits_thread all[HITS_THREADS_MAX];
    struct hot *h = NULL;
    unsigned started = 0;
    double sum = 0;
    ASSERT(threads > 0 && threads <= HITS_THREADS_MAX);
    int r = hot_new(HITS_TIER_SIZE, &h);
    if (r == 0)
        r = hits_fill(h, names);
    for (; r == 0 && started < threads; started++) {
        all[started] = (struct hits_thread){.hot = h, .names = names, .seed = started + 1};
        r = -pthread_create(&all[started].id, NULL, hits_run, &all[started]);
        if (r < 0)
            break;
    }
    for (unsigned i = 0; i < started; i++) {
        (void)pthread_join(all[i].id, NULL);
        sum += all[i].ns;
    }
    hot_free(h);
    if (r == 0)
        *ret_ns = sum / threads;
    return r;
}
