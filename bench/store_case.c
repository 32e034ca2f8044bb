/* SPDX-License-Identifier: Apache-2.0 */
#include "store_case.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include "base/clock.h"

#define CASE_THREADS_MAX 64u

static _Noreturn void case_usage(const char *program, const char *wrong)
{
    (void)fprintf(stderr, "%s: %s\nusage: %s CASE FOLDER [key=value...]\n", program, wrong,
                  program);
    exit(2);
}

void case_options_read(int argc, char **argv, struct case_options *ret)
{
    if (argc < 3)
        case_usage(argv[0], "too few arguments");
    struct case_options o = {.name = argv[1],
                             .folder = argv[2],
                             .size = UINT64_C(1) << 20,
                             .threads = 1,
                             .depth = 16,
                             .seconds = 3,
                             .buffer = UINT64_C(256) << 20};
    for (int i = 3; i < argc; i++) {
        char *end = NULL;
        char *value = strchr(argv[i], '=');
        if (value == NULL)
            case_usage(argv[0], argv[i]);
        *value++ = 0;
        double x = strtod(value, &end);
        if (end == value || *end != 0 || x < 0 || x > 1e15)
            case_usage(argv[0], argv[i]);
        if (strcmp(argv[i], "count") == 0)
            o.count = (uint64_t)x;
        else if (strcmp(argv[i], "size") == 0)
            o.size = (uint64_t)x;
        else if (strcmp(argv[i], "threads") == 0)
            o.threads = (unsigned)x;
        else if (strcmp(argv[i], "depth") == 0)
            o.depth = (unsigned)x;
        else if (strcmp(argv[i], "seconds") == 0)
            o.seconds = x;
        else if (strcmp(argv[i], "hot") == 0)
            o.hot = (uint64_t)x;
        else if (strcmp(argv[i], "buffer") == 0)
            o.buffer = (uint64_t)x;
        else if (strcmp(argv[i], "direct") == 0)
            o.direct = (unsigned)x;
        else
            case_usage(argv[0], argv[i]);
    }
    if (o.size == 0 || o.threads == 0 || o.threads > CASE_THREADS_MAX || o.depth == 0)
        case_usage(argv[0], "size, threads or depth is not possible");
    *ret = o;
}

/* --- blobs ------------------------------------------------------------------------------------ */

uint64_t case_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return x;
}

void case_blob(uint64_t i, uint64_t size, void *out)
{
    uint8_t *at = out;
    uint64_t state = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    for (uint64_t done = 0; done < size; done += sizeof state) {
        uint64_t x = case_random(&state);
        memcpy(at + done, &x, (size_t)MIN(sizeof x, size - done));
    }
}

int case_pool(uint64_t count, uint64_t size, uint8_t **ret)
{
    uint8_t *pool = mmap(NULL, (size_t)(count * size), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pool == MAP_FAILED)
        return -errno;
    (void)madvise(pool, (size_t)(count * size), MADV_HUGEPAGE); /* a kernel without: small pages */
    for (uint64_t i = 0; i < count; i++)
        case_blob(i, size, pool + i * size);
    *ret = pool;
    return 0;
}

void case_pool_free(uint8_t *pool, uint64_t count, uint64_t size)
{
    if (pool != NULL)
        (void)munmap(pool, (size_t)(count * size)); /* the program ends soon in any case */
}

/* --- time ------------------------------------------------------------------------------------- */

static double case_cpu_s(void)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0)
        return 0;
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

void case_clock_start(struct case_clock *c)
{
    c->cpu_s = case_cpu_s();
    c->wall_s = (double)clock_mono_us() / 1e6;
}

void case_clock_stop(struct case_clock *c)
{
    c->wall_s = (double)clock_mono_us() / 1e6 - c->wall_s;
    c->cpu_s = case_cpu_s() - c->cpu_s;
}

/* --- threads ---------------------------------------------------------------------------------- */

struct case_thread {
    const struct case_job *job;
    unsigned number;
    pthread_barrier_t *barrier;
    pthread_t thread;
    int res;
};

static void *case_thread(void *arg)
{
    struct case_thread *t = arg;
    const struct case_job *job = t->job;
    void *state = NULL;
    t->res = job->begin(job->arg, t->number, &state);
    (void)pthread_barrier_wait(t->barrier);
    (void)pthread_barrier_wait(t->barrier); /* the clock was started between the two */
    for (uint64_t i = t->number; i < job->count && t->res == 0; i += job->threads)
        t->res = job->item(state, i);
    (void)pthread_barrier_wait(t->barrier);
    if (job->end != NULL && state != NULL)
        job->end(state);
    return NULL;
}

int case_run(const struct case_job *job, struct case_clock *ret)
{
    struct case_thread threads[CASE_THREADS_MAX];
    pthread_barrier_t barrier;
    int r = -pthread_barrier_init(&barrier, NULL, job->threads + 1);
    for (unsigned i = 0; i < job->threads && r == 0; i++) {
        threads[i] = (struct case_thread){.job = job, .number = i, .barrier = &barrier};
        r = -pthread_create(&threads[i].thread, NULL, case_thread, &threads[i]);
    }
    if (r < 0)
        return r; /* threads made so far wait at the barrier: the program has to end */
    (void)pthread_barrier_wait(&barrier);
    case_clock_start(ret);
    (void)pthread_barrier_wait(&barrier);
    (void)pthread_barrier_wait(&barrier);
    case_clock_stop(ret);
    for (unsigned i = 0; i < job->threads; i++) {
        (void)pthread_join(threads[i].thread, NULL);
        r = r == 0 ? threads[i].res : r;
    }
    (void)pthread_barrier_destroy(&barrier);
    return r;
}

/* --- what is printed -------------------------------------------------------------------------- */

void case_print_rate(uint64_t bytes, const struct case_clock *c, const char *more)
{
    printf("{\"mb_s\":%.1f,\"cpu_s_gb\":%.5f,\"seconds\":%.4f,\"bytes\":%llu%s}\n",
           (double)bytes / 1e6 / c->wall_s, c->cpu_s / ((double)bytes / 1e9), c->wall_s,
           (unsigned long long)bytes, more);
    (void)fflush(stdout);
}

int case_fail(const char *what, int error)
{
    (void)fprintf(stderr, "%s: %s\n", what, strerror(-error));
    return 1;
}
