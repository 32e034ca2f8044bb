/* SPDX-License-Identifier: Apache-2.0 */
/* A worker: its ring, its reader, and an inbox for what other threads and later turns have for it.
 * One eventfd tells of both ring and inbox. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "store/store_priv.h"

#define STORE_WORKER_DEPTH 256u

int store_worker_new(struct store *s, struct store_worker **ret)
{
    ASSERT(s->magic == STORE_MAGIC);
    struct store_worker *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    w->magic = STORE_WORKER_MAGIC;
    w->store = s;
    w->inbox_last = &w->inbox;
    (void)pthread_mutex_init(&w->lock, NULL); /* does not fail on Linux with default attributes */
    atomic_fetch_add(&s->workers, 1);
    w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = w->event_fd < 0 ? -errno : 0;
    if (r == 0)
        r = io_queue_new(s->io, STORE_WORKER_DEPTH, w->event_fd, &w->queue);
    if (r == 0)
        r = index_reader_new(s->index, &w->reader);
    if (r < 0) {
        store_worker_free(w);
        return r;
    }
    *ret = w;
    return 0;
}

struct store_worker *store_worker_free(struct store_worker *w)
{
    if (w == NULL)
        return NULL;
    ASSERT(w->magic == STORE_WORKER_MAGIC);
    w->freeing = true;
    /* Puts that the caller knows nothing of. */
    while (w->admitting > 0) {
        struct pollfd p = {.fd = w->event_fd, .events = POLLIN};
        (void)poll(&p, 1, -1); /* -EINTR: poll once more than needed */
        store_worker_poll(w);
    }
    ASSERT(w->under_way == 0);
    ASSERT(w->inbox == NULL);
    io_queue_free(w->queue);
    index_reader_free(w->reader);
    base_close(w->event_fd);
    (void)pthread_mutex_destroy(&w->lock);
    atomic_fetch_sub(&w->store->workers, 1);
    MAGIC_CLEAR(w);
    free(w);
    return NULL;
}

int store_worker_event_fd(const struct store_worker *w)
{
    return w->event_fd;
}

void store_worker_post(struct store_worker *w, struct store_event *e)
{
    e->next = NULL;
    (void)pthread_mutex_lock(&w->lock);
    bool was_empty = w->inbox == NULL;
    *w->inbox_last = e;
    w->inbox_last = &e->next;
    /* Within the lock: once it is let go, the worker may take the event, end, and be freed. */
    if (was_empty) {
        uint64_t one = 1;
        (void)!write(w->event_fd, &one, sizeof one); /* full: it is readable already */
    }
    (void)pthread_mutex_unlock(&w->lock);
}

void store_worker_poll(struct store_worker *w)
{
    ASSERT(w->magic == STORE_WORKER_MAGIC);
    uint64_t count;
    /* Cleared first: what comes from now on makes it readable again. */
    (void)!read(w->event_fd, &count, sizeof count);
    bool outer = !w->polling; /* a callback may poll */
    w->polling = true;
    io_reap(w->queue, false);
    (void)pthread_mutex_lock(&w->lock);
    struct store_event *e = w->inbox;
    w->inbox = NULL;
    w->inbox_last = &w->inbox;
    (void)pthread_mutex_unlock(&w->lock);
    while (e != NULL) {
        struct store_event *next = e->next;
        e->run(e);
        e = next;
    }
    if (outer) {
        w->polling = false;
        io_flush(w->queue);
    }
}

void store_worker_wait(struct store_worker *w, const bool *done)
{
    while (!*done) {
        io_flush(w->queue); /* called from within a poll: what waits for its end */
        struct pollfd p = {.fd = w->event_fd, .events = POLLIN};
        (void)poll(&p, 1, -1); /* -EINTR: poll once more than needed */
        store_worker_poll(w);
    }
}
