/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/engine.h"
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "fetch/engine_priv.h"
#include "fetch/fetch_priv.h"

#define ENGINE_COMPLAIN_MS 1000
#define ENGINE_WAIT_MS_MAX 60000

static void engine_check(const struct engine *e)
{
    ASSERT(e != NULL);
    ASSERT(e->magic == ENGINE_MAGIC);
}

bool engine_is_own_thread(const struct engine *e)
{
    engine_check(e);
    return e->has_thread && pthread_equal(pthread_self(), e->thread) != 0;
}

/* --- jobs ------------------------------------------------------------------------------------- */

void engine_submit(struct engine *e, struct engine_job *j)
{
    engine_check(e);
    j->next = NULL;
    (void)pthread_mutex_lock(&e->lock);
    if (e->stopping)
        j->admission = -ECANCELED;
    else if (e->jobs_count >= e->options.transfers_max + e->options.waiting_max)
        j->admission = -EAGAIN;
    else
        j->admission = 0;
    if (j->admission == 0)
        e->jobs_count++;
    *e->jobs_end = j;
    e->jobs_end = &j->next;
    (void)pthread_mutex_unlock(&e->lock);
    /* Fails only without a multi handle. */
    (void)curl_multi_wakeup(e->multi);
}

void engine_job_ended(struct engine *e)
{
    (void)pthread_mutex_lock(&e->lock);
    ASSERT(e->jobs_count > 0);
    e->jobs_count--;
    (void)pthread_mutex_unlock(&e->lock);
}

/* Starts what was submitted. Returns whether the engine has been told to stop. */
static bool engine_take_jobs(struct engine *e)
{
    (void)pthread_mutex_lock(&e->lock);
    struct engine_job *j = e->jobs;
    e->jobs = NULL;
    e->jobs_end = &e->jobs;
    bool stopping = e->stopping;
    (void)pthread_mutex_unlock(&e->lock);
    while (j != NULL) {
        struct engine_job *next = j->next; /* start may free j */
        j->start(j, j->admission);
        j = next;
    }
    return stopping;
}

/* --- the thread ------------------------------------------------------------------------------- */

static bool engine_has_jobs(struct engine *e)
{
    (void)pthread_mutex_lock(&e->lock);
    bool has = e->jobs != NULL;
    (void)pthread_mutex_unlock(&e->lock);
    return has;
}

static void *engine_main(void *arg)
{
    struct engine *e = arg;
    engine_check(e);
    for (;;) {
        bool stopping = engine_take_jobs(e);
        if (stopping && !e->is_ending) {
            e->is_ending = true;
            e->end_ms = clock_mono_ms() + ENGINE_GRACE_MS;
            engine__calls_end(e, false);
        }
        if (e->is_ending && clock_mono_ms() >= e->end_ms)
            engine__calls_end(e, true);
        int running;
        CURLMcode code = curl_multi_perform(e->multi, &running);
        ASSERT(code == CURLM_OK); /* anything else is a misuse of ours */
        engine__calls_settle(e);
        engine__calls_begin(e);
        if (e->is_ending && engine__calls_none(e) && !engine_has_jobs(e))
            break;
        uint64_t wait_ms = MIN(engine__calls_wait_ms(e), (uint64_t)ENGINE_WAIT_MS_MAX);
        if (e->is_ending)
            wait_ms = MIN(wait_ms, 50u);
        /* Out of memory it returns at once, and the next turn tries again. */
        (void)curl_multi_poll(e->multi, NULL, 0, (int)wait_ms, NULL);
    }
    /* Here, where SIGPIPE is blocked: TLS connections say good-bye, perhaps to nobody. It fails for
     * handles that are still in it: there are none. */
    (void)curl_multi_cleanup(e->multi);
    return NULL;
}

void engine_complain(struct engine *e, const char *format, ...)
{
    uint64_t now = clock_mono_ms();
    if (e->complained_ms != 0 && now - e->complained_ms < ENGINE_COMPLAIN_MS) {
        e->complaints_kept++;
        return;
    }
    char text[1024];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list); /* a longer one is cut */
    va_end(list);
    if (e->complaints_kept > 0)
        log_warn("%s: %s (%u more were not logged before)", e->options.name, text,
                 e->complaints_kept);
    else
        log_warn("%s: %s", e->options.name, text);
    e->complained_ms = now;
    e->complaints_kept = 0;
}

/* --- life ------------------------------------------------------------------------------------- */

static void engine_defaults(struct engine_options *o)
{
    if (o->connect_ms == 0)
        o->connect_ms = 2000;
    if (o->stall_ms == 0)
        o->stall_ms = 10000;
    if (o->backoff_ms == 0)
        o->backoff_ms = 100;
    if (o->retry_after_ms == 0)
        o->retry_after_ms = 20000;
    if (o->transfers_max == 0)
        o->transfers_max = 16;
    if (o->waiting_max == 0)
        o->waiting_max = 256;
}

static int engine_start(struct engine *e)
{
    e->multi = curl_multi_init();
    if (e->multi == NULL)
        return -ENOMEM;
    long max = (long)MIN(e->options.transfers_max, 1024u);
    if (curl_multi_setopt(e->multi, CURLMOPT_MAX_HOST_CONNECTIONS, max) != CURLM_OK ||
        curl_multi_setopt(e->multi, CURLMOPT_MAXCONNECTS, max * 2) != CURLM_OK ||
        curl_multi_setopt(e->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX) != CURLM_OK)
        return -EIO;
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's */
    int r = pthread_create(&e->thread, NULL, engine_main, e);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    e->has_thread = r == 0;
    return -r;
}

int engine_new(const struct engine_options *options, struct engine **ret)
{
    ASSERT(options != NULL);
    ASSERT(options->name != NULL);
    int r = fetch__global();
    if (r < 0)
        return r;
    struct engine *e = calloc(1, sizeof *e);
    if (e == NULL)
        return -ENOMEM;
    e->magic = ENGINE_MAGIC;
    e->options = *options;
    e->jobs_end = &e->jobs;
    engine_defaults(&e->options);
    (void)pthread_mutex_init(&e->lock, NULL);
    r = engine_start(e);
    if (r < 0) {
        (void)engine_free(e);
        return r;
    }
    *ret = e;
    return 0;
}

struct engine *engine_free(struct engine *e)
{
    if (e == NULL)
        return NULL;
    engine_check(e);
    if (e->has_thread) {
        ASSERT(!engine_is_own_thread(e));
        (void)pthread_mutex_lock(&e->lock);
        e->stopping = true;
        (void)curl_multi_wakeup(e->multi); /* before the thread sees it, and frees the handle */
        (void)pthread_mutex_unlock(&e->lock);
        (void)pthread_join(e->thread, NULL);
    } else {
        (void)curl_multi_cleanup(e->multi); /* takes NULL */
    }
    ASSERT(e->jobs_count == 0);
    (void)pthread_mutex_destroy(&e->lock);
    MAGIC_CLEAR(e);
    free(e);
    return NULL;
}
