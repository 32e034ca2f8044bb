/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl's multi interface on our loop. Its sockets are in one epoll set that the loop watches,
 * its timer is one of the loop's. libcurl may call our callbacks only from within fetch_drive(),
 * where depth > 0; there handles are not removed, only marked. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "fetch/fetch_priv.h"

#define FETCH_EVENTS_MAX 64 /* a turn */

static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;

static void fetch_init_library(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT); /* a failure shows in every curl_easy_init */
}

static void fetch_unlink(struct fetch_op *op)
{
    *op->link = op->next;
    if (op->next != NULL)
        op->next->link = op->link;
}

static void fetch_remove(struct fetch_op *op)
{
    ASSERT(op->fetch->depth == 0);
    if (op->added)
        (void)curl_multi_remove_handle(op->fetch->multi, op->easy); /* fails for bad handles only */
    op->added = false;
}

static void fetch_end(struct fetch_op *op, int res)
{
    bool tell = !op->cancelled;
    op->cancelled = true; /* a cancel from within on_done finds it ended */
    if (tell)
        op->request.on_done(op->request.arg, res, op->status);
    fetch_unlink(op);
    fetch_op_free(op);
}

static void fetch_try(struct fetch_op *op)
{
    struct fetch *f = op->fetch;
    op->tries++;
    op->active_ms = clock_mono_ms();
    fetch_op_restart(op);
    CURLMcode code = curl_multi_add_handle(f->multi, op->easy);
    if (code != CURLM_OK) {
        op->error = -ENOMEM;
        fetch_end(op, -ENOMEM);
        return;
    }
    op->added = true;
}

static void fetch_on_retry(void *arg)
{
    struct fetch_op *op = arg;
    if (fetch_breaker_allow(op->fetch->breaker, op->host, clock_mono_ms()))
        fetch_try(op);
    else
        fetch_end(op, -EHOSTDOWN);
}

static bool fetch_may_retry(const struct fetch_op *op, int res)
{
    return (res == -ECONNREFUSED || res == -ECONNRESET || res == -ETIMEDOUT) && op->idempotent &&
           !op->head_given && !op->cancelled && op->tries <= op->fetch->options.retries;
}

/* 50 ms, 100, 200 ... with up to half of it random, so that many do not come back at once. */
static uint64_t fetch_backoff_ms(unsigned tries)
{
    uint64_t ms = (uint64_t)FETCH_BACKOFF_MS << MIN(tries - 1, 10u);
    ms = MIN(ms, (uint64_t)FETCH_BACKOFF_MS_MAX);
    uint16_t noise;
    id_random(&noise, sizeof noise);
    return ms / 2 + noise % (ms / 2 + 1);
}

static void fetch_ended(struct fetch_op *op, CURLcode code)
{
    struct fetch *f = op->fetch;
    uint64_t now_ms = clock_mono_ms();
    int res = fetch_op_result(op, code);
    fetch_remove(op);
    if (op->cancelled) {
        fetch_end(op, res);
        return;
    }
    bool broke = op->error == 0 && res < 0 && res != -ENOMEM;
    if (broke || op->error == -ETIMEDOUT)
        fetch_breaker_failed(f->breaker, op->host, now_ms);
    else
        fetch_breaker_succeeded(f->breaker, op->host, now_ms);
    if (res < 0 && code != CURLE_OK)
        log_debug("%s: %s", op->url, curl_easy_strerror(code));
    if (!fetch_may_retry(op, res)) {
        fetch_end(op, res);
        return;
    }
    op->error = 0;
    loop_timer_start(f->loop, &op->wait, fetch_backoff_ms(op->tries), fetch_on_retry, op);
}

static void fetch_reap(struct fetch *f)
{
    ASSERT(f->depth == 0);
    for (;;) {
        int left = 0;
        CURLMsg *message = curl_multi_info_read(f->multi, &left);
        if (message == NULL)
            return;
        if (message->msg != CURLMSG_DONE)
            continue;
        char *op = NULL;
        CURLcode code = message->data.result;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &op);
        fetch_ended((struct fetch_op *)(void *)op, code);
    }
}

/* Ops cancelled while libcurl was at work go now. */
static void fetch_sweep(struct fetch *f)
{
    for (struct fetch_op *op = f->ops; op != NULL;) {
        struct fetch_op *next = op->next;
        if (op->cancelled) {
            fetch_remove(op);
            fetch_end(op, 0);
        }
        op = next;
    }
}

static void fetch_drive(struct fetch *f, curl_socket_t fd, int mask)
{
    int running;
    f->depth++;
    (void)curl_multi_socket_action(f->multi, fd, mask, &running); /* failures end transfers */
    f->depth--;
}

static void fetch_on_sockets(void *arg)
{
    struct fetch *f = arg;
    struct epoll_event events[FETCH_EVENTS_MAX];
    int count = epoll_wait(f->epoll_fd, events, FETCH_EVENTS_MAX, 0);
    for (int i = 0; i < count; i++) {
        int mask = (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                   (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
        fetch_drive(f, events[i].data.fd, mask);
    }
    fetch_sweep(f);
    fetch_reap(f);
}

static void fetch_on_timer(void *arg)
{
    struct fetch *f = arg;
    fetch_drive(f, CURL_SOCKET_TIMEOUT, 0);
    fetch_sweep(f);
    fetch_reap(f);
}

static int fetch_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    struct fetch *f = arg;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(f->epoll_fd, EPOLL_CTL_DEL, fd, NULL); /* it may be closed already */
        (void)curl_multi_assign(f->multi, fd, NULL);
        return 0;
    }
    struct epoll_event event = {
        .events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0) |
                  (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0),
        .data.fd = fd,
    };
    int r = epoll_ctl(f->epoll_fd, known != NULL ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
    if (r < 0 && known == NULL && errno == EEXIST)
        r = epoll_ctl(f->epoll_fd, EPOLL_CTL_MOD, fd, &event);
    (void)curl_multi_assign(f->multi, fd, f);
    return r < 0 ? -1 : 0;
}

static int fetch_curl_timer(CURLM *multi, long wait_ms, void *arg)
{
    struct fetch *f = arg;
    (void)multi;
    if (wait_ms < 0)
        loop_timer_stop(&f->timer);
    else
        loop_timer_start(f->loop, &f->timer, (uint64_t)wait_ms, fetch_on_timer, f);
    return 0;
}

static void fetch_fill_defaults(struct fetch_options *o)
{
    o->connect_ms = o->connect_ms != 0 ? o->connect_ms : FETCH_CONNECT_MS_DEFAULT;
    o->stall_ms = o->stall_ms != 0 ? o->stall_ms : FETCH_STALL_MS_DEFAULT;
    o->breaker_failures = o->breaker_failures != 0 ? o->breaker_failures : FETCH_BREAKER_DEFAULT;
    o->breaker_ms = o->breaker_ms != 0 ? o->breaker_ms : FETCH_BREAKER_MS_DEFAULT;
    o->connections_max = o->connections_max != 0 ? o->connections_max : FETCH_CONNECTIONS_DEFAULT;
}

static int fetch_open(struct fetch *f)
{
    f->multi = curl_multi_init();
    f->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (f->multi == NULL || f->epoll_fd < 0)
        return f->multi == NULL ? -ENOMEM : -errno;
    (void)curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, fetch_curl_socket);
    (void)curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
    (void)curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, fetch_curl_timer);
    (void)curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
    (void)curl_multi_setopt(f->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
                            (long)f->options.connections_max);
    int r = fetch_breaker_new(f->options.breaker_failures, f->options.breaker_ms, &f->breaker);
    return r < 0 ? r : loop_watch(f->loop, f->epoll_fd, fetch_on_sockets, f, &f->watch);
}

int fetch_new(struct loop *loop, const struct fetch_options *options, struct fetch **ret)
{
    (void)pthread_once(&fetch_once, fetch_init_library);
    struct fetch *f = calloc(1, sizeof *f);
    if (f == NULL)
        return -ENOMEM;
    f->magic = FETCH_MAGIC;
    f->loop = loop;
    f->epoll_fd = -1;
    f->options = *options;
    fetch_fill_defaults(&f->options);
    int r = 0;
    if (options->ca_file != NULL) {
        f->ca_file = str_dup(str_of(options->ca_file));
        r = f->ca_file == NULL ? -ENOMEM : 0;
    }
    if (r == 0)
        r = fetch_open(f);
    if (r < 0) {
        fetch_free(f);
        return r;
    }
    *ret = f;
    return 0;
}

struct fetch *fetch_free(struct fetch *f)
{
    if (f == NULL)
        return NULL;
    ASSERT(f->magic == FETCH_MAGIC);
    ASSERT(f->depth == 0);
    while (f->ops != NULL) {
        struct fetch_op *op = f->ops;
        op->cancelled = true;
        fetch_remove(op);
        fetch_end(op, -ECANCELED);
    }
    while (f->spare_count > 0)
        curl_easy_cleanup(f->spare[--f->spare_count]);
    if (f->multi != NULL)
        (void)curl_multi_cleanup(f->multi); /* closes the idle connections: sockets leave the set */
    loop_unwatch(f->watch);
    loop_timer_stop(&f->timer);
    base_close(f->epoll_fd);
    fetch_breaker_free(f->breaker);
    free(f->ca_file);
    MAGIC_CLEAR(f);
    free(f);
    return NULL;
}

static void fetch_on_stall(void *arg)
{
    struct fetch_op *op = arg;
    struct fetch *f = op->fetch;
    uint64_t idle_ms = clock_mono_ms() - op->active_ms;
    if (op->added && idle_ms >= f->options.stall_ms) {
        op->error = -ETIMEDOUT;
        loop_timer_start(f->loop, &op->stall, f->options.stall_ms, fetch_on_stall, op);
        fetch_ended(op, CURLE_OPERATION_TIMEDOUT);
        return;
    }
    uint64_t left_ms = idle_ms >= f->options.stall_ms ? 0 : f->options.stall_ms - idle_ms;
    loop_timer_start(f->loop, &op->stall, left_ms + 1, fetch_on_stall, op);
}

int fetch_start(struct fetch *f, const struct fetch_request *request, struct fetch_op **ret)
{
    ASSERT(f != NULL && f->magic == FETCH_MAGIC);
    struct fetch_op *op = NULL;
    int r = fetch_op_new(f, request, &op);
    if (r < 0)
        return r;
    op->next = f->ops;
    op->link = &f->ops;
    if (op->next != NULL)
        op->next->link = &op->next;
    f->ops = op;
    /* From the timer, not from here: on_done must not come before the caller has its op. */
    loop_timer_start(f->loop, &op->wait, 0, fetch_on_retry, op);
    loop_timer_start(f->loop, &op->stall, f->options.stall_ms, fetch_on_stall, op);
    *ret = op;
    return 0;
}

void fetch_cancel(struct fetch_op *op)
{
    ASSERT(op->magic == FETCH_OP_MAGIC);
    if (op->cancelled) /* ended, or cancelled before */
        return;
    op->cancelled = true;
    if (op->fetch->depth > 0)
        return; /* within libcurl: the sweep behind it takes the op */
    fetch_remove(op);
    fetch_end(op, -ECANCELED);
}
