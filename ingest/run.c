/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/run.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void run_init(struct run *r)
{
    pthread_mutex_init(&r->lock, NULL); /* with default attributes it cannot fail */
}

void run_clear(struct run *r)
{
    pthread_mutex_destroy(&r->lock);
}

void run_queue(struct run *r, struct queue *q)
{
    ASSERT(r->queues_count < RUN_QUEUES_MAX);
    r->queues[r->queues_count++] = q;
}

void run_fail(struct run *r, int error, const struct err *err)
{
    ASSERT(error < 0);
    pthread_mutex_lock(&r->lock);
    bool first = r->error == 0;
    if (first) {
        r->error = error;
        r->err = *err;
    }
    pthread_mutex_unlock(&r->lock);
    for (unsigned i = 0; first && i < r->queues_count; i++)
        queue_abort(r->queues[i]);
}

int run_failed(struct run *r)
{
    pthread_mutex_lock(&r->lock);
    int error = r->error;
    pthread_mutex_unlock(&r->lock);
    if (error == 0 && r->stop != NULL && atomic_load(r->stop))
        return -ECANCELED;
    return error;
}

void run_note(struct run *r, const char *format, ...)
{
    char text[160];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list); /* a longer note is cut */
    va_end(list);
    pthread_mutex_lock(&r->lock);
    size_t used = strlen(r->notes);
    (void)snprintf(r->notes + used, sizeof r->notes - used, "%s%s", used > 0 ? "; " : "", text);
    pthread_mutex_unlock(&r->lock);
}

#define RUN_JUMPS "jumps"

int run_jumped(struct run *r, unsigned jumps, struct err *err)
{
    atomic_store(&r->damage.jumps, jumps);
    return work_put_number(r->work, RUN_JUMPS, jumps, err);
}

bool run_has_jumps(const struct run *r)
{
    uint64_t jumps = 0;
    return work_find_number(r->work, RUN_JUMPS, &jumps) && jumps > 0;
}

/* The larger of what this run has seen and what an earlier one has left in the work. */
static int run_number(struct run *r, const char *name, atomic_uint *value, struct err *err)
{
    uint64_t before = 0;
    unsigned now = atomic_load(value);
    bool known = work_find_number(r->work, name, &before);
    if (known && before >= now) {
        atomic_store(value, (unsigned)MIN(before, (uint64_t)UINT32_MAX));
        return 0;
    }
    return now == 0 ? 0 : work_put_number(r->work, name, now, err);
}

int run_report(struct run *r, struct err *err)
{
    struct run_damage *d = &r->damage;
    int e = run_number(r, "damaged-packets", &d->packets, err);
    if (e == 0)
        e = run_number(r, "damaged-pictures", &d->pictures, err);
    if (e == 0)
        e = run_number(r, "damaged-sounds", &d->sounds, err);
    if (e == 0)
        e = run_number(r, RUN_JUMPS, &d->jumps, err);
    if (e < 0)
        return e;
    unsigned packets = atomic_load(&d->packets), pictures = atomic_load(&d->pictures);
    unsigned sounds = atomic_load(&d->sounds), jumps = atomic_load(&d->jumps);
    if (r->probe->has_more)
        run_note(r, "the file holds more than one film: only the first is taken");
    if (jumps > 0)
        run_note(r, "the film's clock jumps %u time(s), which was closed up", jumps);
    if (packets + pictures + sounds > 0)
        run_note(r, "the film is damaged: %u packet(s), %u picture(s), %u piece(s) of sound",
                 packets, pictures, sounds);
    return 0;
}
