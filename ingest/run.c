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
