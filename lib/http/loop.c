/* SPDX-License-Identifier: Apache-2.0 */
/* Invariants:
 *  1. heap[i]->heap_index == i and heap[i]->loop == this, for all i < heap_count.
 *  2. heap[(i - 1) / 2]->due_ms <= heap[i]->due_ms.
 *  3. event_fd is readable whenever the message queue is not empty. */
#include "http/loop.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/clock.h"
#include "http/loop_priv.h"

struct loop_message {
    struct loop_message *next;
    loop_cb *cb;
    void *arg;
};

struct loop {
    uint32_t magic;
#define LOOP_MAGIC UINT32_C(0x100b7e57)
    h2o_evloop_t *ev;
    pthread_mutex_t lock;
    struct loop_message *first; /* under lock */
    struct loop_message **last; /* under lock */
    int event_fd;
    struct loop_watch *event_watch;
    atomic_bool stopped;
    bool timers_due; /* to be run with the messages */
    loop_cb *before; /* each look at descriptors; NULL: nothing */
    void *before_arg;
    struct loop_timer **heap;
    uint32_t heap_count;
    uint32_t heap_cap;
};

struct loop_watch {
    uint32_t magic;
#define LOOP_WATCH_MAGIC UINT32_C(0x3a7c4ed1)
    h2o_socket_t *sock;
    loop_cb *cb;
    void *arg;
};

static void loop_check(const struct loop *l)
{
    ASSERT(l != NULL);
    ASSERT(l->magic == LOOP_MAGIC);
}

h2o_evloop_t *loop__h2o(struct loop *l)
{
    loop_check(l);
    return l->ev;
}

/* --- messages --------------------------------------------------------------------------------- */

static struct loop_message *loop_take_messages(struct loop *l)
{
    (void)pthread_mutex_lock(&l->lock); /* cannot fail: a plain mutex, initialised */
    struct loop_message *first = l->first;
    l->first = NULL;
    l->last = &l->first;
    (void)pthread_mutex_unlock(&l->lock);
    return first;
}

bool loop__has_messages(struct loop *l)
{
    loop_check(l);
    (void)pthread_mutex_lock(&l->lock);
    bool has = l->first != NULL;
    (void)pthread_mutex_unlock(&l->lock);
    return has;
}

static void loop_run_messages(struct loop_message *m)
{
    while (m != NULL) {
        struct loop_message *next = m->next;
        m->cb(m->arg);
        free(m);
        m = next;
    }
}

static void loop_run_timers(struct loop *l);

static void loop_on_event(void *arg)
{
    struct loop *l = arg;
    uint64_t count;
    ssize_t n = read(l->event_fd, &count, sizeof count);
    (void)n; /* -EAGAIN: somebody has read it; the queue says what is to do */
    loop_run_messages(loop_take_messages(l));
    if (l->timers_due) {
        l->timers_due = false;
        loop_run_timers(l);
    }
}

static void loop_wake(struct loop *l)
{
    uint64_t one = 1;
    ssize_t n;
    do
        n = write(l->event_fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
    /* -EAGAIN means that the counter is full, and so that it is readable: invariant 3 holds. */
}

int loop_post(struct loop *l, loop_cb *cb, void *arg)
{
    loop_check(l);
    ASSERT(cb != NULL);
    struct loop_message *m = malloc(sizeof *m);
    if (m == NULL)
        return -ENOMEM;
    *m = (struct loop_message){.cb = cb, .arg = arg};
    (void)pthread_mutex_lock(&l->lock);
    bool was_empty = l->first == NULL;
    *l->last = m;
    l->last = &m->next;
    /* Written under the lock: once it is released the loop may run m, and end with its owner. */
    if (was_empty)
        loop_wake(l);
    (void)pthread_mutex_unlock(&l->lock);
    return 0;
}

/* --- watches ---------------------------------------------------------------------------------- */

static void loop_on_readable(h2o_socket_t *sock, const char *error)
{
    struct loop_watch *w = sock->data;
    ASSERT(w->magic == LOOP_WATCH_MAGIC);
    (void)error; /* nothing is read below us, so nothing fails there */
    w->cb(w->arg);
}

int loop_watch(struct loop *l, int fd, loop_cb *cb, void *arg, struct loop_watch **ret)
{
    loop_check(l);
    ASSERT(cb != NULL);
    struct loop_watch *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    /* The library closes what it watches, and fd is the caller's: it gets a descriptor of its own.
     */
    int own_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own_fd < 0) {
        int r = -errno;
        free(w);
        return r;
    }
    w->magic = LOOP_WATCH_MAGIC;
    w->cb = cb;
    w->arg = arg;
    w->sock = h2o_evloop_socket_create(l->ev, own_fd, H2O_SOCKET_FLAG_DONT_READ);
    w->sock->data = w;
    h2o_socket_read_start(w->sock, loop_on_readable);
    *ret = w;
    return 0;
}

struct loop_watch *loop_unwatch(struct loop_watch *w)
{
    if (w == NULL)
        return NULL;
    ASSERT(w->magic == LOOP_WATCH_MAGIC);
    h2o_socket_read_stop(w->sock);
    h2o_socket_close(w->sock);
    MAGIC_CLEAR(w);
    free(w);
    return NULL;
}

/* --- timers ----------------------------------------------------------------------------------- */

static void loop_heap_set(struct loop *l, uint32_t i, struct loop_timer *t)
{
    l->heap[i] = t;
    t->heap_index = i;
}

static void loop_heap_up(struct loop *l, struct loop_timer *t)
{
    uint32_t i = t->heap_index;
    while (i > 0) {
        uint32_t parent = (i - 1) / 2;
        if (l->heap[parent]->due_ms <= t->due_ms)
            break;
        loop_heap_set(l, i, l->heap[parent]);
        i = parent;
    }
    loop_heap_set(l, i, t);
}

static void loop_heap_down(struct loop *l, struct loop_timer *t)
{
    uint32_t i = t->heap_index;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= l->heap_count)
            break;
        if (child + 1 < l->heap_count && l->heap[child + 1]->due_ms < l->heap[child]->due_ms)
            child++;
        if (t->due_ms <= l->heap[child]->due_ms)
            break;
        loop_heap_set(l, i, l->heap[child]);
        i = child;
    }
    loop_heap_set(l, i, t);
}

void loop_timer_start(struct loop *l, struct loop_timer *t, uint64_t delay_ms, loop_cb *cb,
                      void *arg)
{
    loop_check(l);
    ASSERT(cb != NULL);
    loop_timer_stop(t);
    if (l->heap_count == l->heap_cap) {
        ASSERT(l->heap_cap < UINT32_MAX / 2);
        uint32_t cap = l->heap_cap == 0 ? 64 : l->heap_cap * 2;
        struct loop_timer **heap = realloc(l->heap, cap * sizeof *heap);
        /* A deadline that can't be kept would hang its owner; the library below aborts as well. */
        ASSERT(heap != NULL);
        l->heap = heap;
        l->heap_cap = cap;
    }
    t->loop = l;
    t->due_ms = clock_mono_ms() + delay_ms;
    t->cb = cb;
    t->arg = arg;
    loop_heap_set(l, l->heap_count++, t);
    loop_heap_up(l, t);
}

void loop_timer_stop(struct loop_timer *t)
{
    struct loop *l = t->loop;
    if (l == NULL)
        return;
    loop_check(l);
    ASSERT(t->heap_index < l->heap_count);
    ASSERT(l->heap[t->heap_index] == t);
    uint32_t i = t->heap_index;
    struct loop_timer *moved = l->heap[--l->heap_count];
    t->loop = NULL;
    if (moved == t)
        return;
    loop_heap_set(l, i, moved);
    loop_heap_up(l, moved);
    loop_heap_down(l, moved);
}

/* Those due now; what a callback starts anew waits for the next turn, so that descriptors are not
 * starved by a timer of no delay. */
static void loop_run_timers(struct loop *l)
{
    uint64_t now = clock_mono_ms();
    uint32_t left = l->heap_count;
    while (left-- > 0 && l->heap_count > 0 && l->heap[0]->due_ms <= now) {
        struct loop_timer *t = l->heap[0];
        loop_timer_stop(t);
        t->cb(t->arg);
    }
}

/* Who called from outside of a turn may have written to a socket: the library then has the
 * completion in its pending list, which it runs behind its next poll, so that poll must not
 * wait. */
static int32_t loop_wait_ms(const struct loop *l, uint32_t wait_ms_max)
{
    if (l->ev->_pending_as_server != NULL || l->ev->_pending_as_client != NULL)
        return 0;
    uint64_t wait = MIN(wait_ms_max, (uint32_t)INT32_MAX);
    if (l->heap_count > 0) {
        uint64_t now = clock_mono_ms();
        uint64_t due = l->heap[0]->due_ms;
        wait = MIN(wait, due > now ? due - now : 0);
    }
    return (int32_t)wait;
}

/* --- life ------------------------------------------------------------------------------------- */

/* A peer that leaves while we write must cost an error, not the process. */
static void loop_ignore_sigpipe(void)
{
    struct sigaction now;
    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL) {
        now.sa_handler = SIG_IGN;
        (void)sigaction(SIGPIPE, &now, NULL); /* cannot fail: a valid signal and handler */
    }
}

int loop_new(struct loop **ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, loop_ignore_sigpipe); /* cannot fail with a valid once */
    struct loop *l = calloc(1, sizeof *l);
    if (l == NULL)
        return -ENOMEM;
    l->magic = LOOP_MAGIC;
    l->last = &l->first;
    atomic_init(&l->stopped, false);
    int r;
    l->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->event_fd < 0) {
        r = -errno;
        free(l);
        return r;
    }
    (void)pthread_mutex_init(&l->lock, NULL); /* cannot fail with default attributes on Linux */
    l->ev = h2o_evloop_create();
    r = loop_watch(l, l->event_fd, loop_on_event, l, &l->event_watch);
    if (r < 0) {
        (void)loop_free(l);
        return r;
    }
    *ret = l;
    return 0;
}

/* libh2o 2.2.5 leaves its epoll descriptor open in h2o_evloop_destroy, and has no accessor for it:
 * it is the int behind the public struct (lib/common/socket/evloop/epoll.c.h). The kernel is asked
 * whether it is one before it is closed. */
static int loop_epoll_fd(const h2o_evloop_t *ev)
{
    int fd;
    memcpy(&fd, ev + 1, sizeof fd);
    char path[40];
    char name[32] = "";
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, name, sizeof name - 1);
    return n > 0 && strcmp(name, "anon_inode:[eventpoll]") == 0 ? fd : -1;
}

struct loop *loop_free(struct loop *l)
{
    if (l == NULL)
        return NULL;
    loop_check(l);
    /* What was posted runs once, also now: its argument is somebody's memory. */
    for (struct loop_message *m; (m = loop_take_messages(l)) != NULL;)
        loop_run_messages(m);
    ASSERT(l->heap_count == 0);
    l->event_watch = loop_unwatch(l->event_watch);
    (void)h2o_evloop_run(l->ev, 0); /* frees what was closed; a failed poll is of no interest now */
    int epoll_fd = loop_epoll_fd(l->ev);
    h2o_evloop_destroy(l->ev);
    (void)base_close(epoll_fd);
    (void)base_close(l->event_fd);
    (void)pthread_mutex_destroy(&l->lock);
    free(l->heap);
    MAGIC_CLEAR(l);
    free(l);
    return NULL;
}

void loop__before_poll(struct loop *l, loop_cb *cb, void *arg)
{
    loop_check(l);
    l->before = cb;
    l->before_arg = arg;
}

static void loop_poll(struct loop *l, int32_t wait_ms)
{
    if (l->before != NULL)
        l->before(l->before_arg);
    (void)h2o_evloop_run(l->ev, wait_ms); /* -1: EINTR; the next turn polls */
}

void loop_run_once(struct loop *l, uint32_t wait_ms_max)
{
    loop_check(l);
    loop_poll(l, loop_wait_ms(l, wait_ms_max));
    if (l->heap_count == 0 || l->heap[0]->due_ms > clock_mono_ms())
        return;
    /* Timers run where readable descriptors are served. libh2o 2.2.5 aborts when a socket that it
     * polls for writing is written to, and completes, outside of there: it asserts that nobody has
     * been told of the completion, and then tells. */
    l->timers_due = true;
    loop_wake(l);
    loop_poll(l, 0);
}

void loop_run(struct loop *l)
{
    loop_check(l);
    while (!atomic_exchange_explicit(&l->stopped, false, memory_order_acquire))
        loop_run_once(l, UINT32_MAX);
}

void loop_stop(struct loop *l)
{
    loop_check(l);
    atomic_store_explicit(&l->stopped, true, memory_order_release);
    loop_wake(l);
}
