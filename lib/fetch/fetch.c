/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl's multi handle on our loop. Its sockets are in an epoll descriptor of our own, which the
 * loop watches as one; its one timer is a timer of the loop. The library may not be called from its
 * own callbacks: what users do there (start, cancel) is noted and done when it has returned. */
#include "fetch/fetch.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "fetch/fetch_priv.h"

static void fetch_check(const struct fetch *f)
{
    ASSERT(f != NULL);
    ASSERT(f->magic == FETCH_MAGIC);
}

/* --- easy handles ----------------------------------------------------------------------------- */

CURL *fetch__easy_take(struct fetch *f)
{
    if (f->free_count > 0)
        return f->free[--f->free_count];
    return curl_easy_init();
}

void fetch__easy_give(struct fetch *f, CURL *easy)
{
    if (easy == NULL)
        return;
    if (f->free_count == FETCH_EASY_FREE_MAX) {
        curl_easy_cleanup(easy);
        return;
    }
    curl_easy_reset(easy);
    f->free[f->free_count++] = easy;
}

/* --- events ----------------------------------------------------------------------------------- */

static CURLMsg *fetch_next_message(struct fetch *f)
{
    CURLMsg *message = NULL;
    int left;
    for (unsigned i = 0; i < FETCH_MULTIS && message == NULL; i++)
        if (f->multis[i].curl != NULL)
            message = curl_multi_info_read(f->multis[i].curl, &left);
    return message;
}

void fetch__settle(struct fetch *f)
{
    if (f->in_library > 0 || f->settling)
        return; /* whoever is below us on the stack does it */
    f->settling = true;
    for (;;) {
        struct fetch_op *dead = f->dead;
        if (dead != NULL) {
            f->dead = dead->next;
            fetch__op_free(dead);
            continue;
        }
        CURLMsg *message = fetch_next_message(f);
        if (message == NULL)
            break;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        struct fetch_op *op = NULL;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)(void *)&op);
        ASSERT(op != NULL); /* set for every handle */
        fetch__op_attempt_ended(op, code);
    }
    f->settling = false;
}

static void fetch_act(struct fetch_multi *m, curl_socket_t fd, int events)
{
    int running;
    m->fetch->in_library++;
    CURLMcode code = curl_multi_socket_action(m->curl, fd, events, &running);
    m->fetch->in_library--;
    ASSERT(code == CURLM_OK); /* anything else is a misuse of ours */
}

static void fetch_on_events(void *arg)
{
    struct fetch *f = arg;
    fetch_check(f);
    struct epoll_event events[FETCH_EVENTS];
    int n = epoll_wait(f->epoll_fd, events, FETCH_EVENTS, 0);
    for (int i = 0; i < n; i++) {
        int what = 0;
        if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0)
            what |= CURL_CSELECT_IN;
        if ((events[i].events & EPOLLOUT) != 0)
            what |= CURL_CSELECT_OUT;
        if ((events[i].events & EPOLLERR) != 0)
            what |= CURL_CSELECT_ERR;
        uint64_t key = events[i].data.u64; /* a socket closed meanwhile is unknown there: fine */
        fetch_act(&f->multis[key >> 32], (curl_socket_t)(uint32_t)key, what);
    }
    fetch__settle(f);
}

static void fetch_on_timer(void *arg)
{
    struct fetch_multi *m = arg;
    fetch_check(m->fetch);
    fetch_act(m, CURL_SOCKET_TIMEOUT, 0);
    fetch__settle(m->fetch);
}

static int fetch_on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    (void)easy, (void)socket_arg;
    const struct fetch_multi *m = arg;
    struct fetch *f = m->fetch;
    uint64_t which = (uint64_t)(m - f->multis);
    struct epoll_event event = {.data.u64 = which << 32 | (uint32_t)fd};
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(f->epoll_fd, EPOLL_CTL_DEL, fd, &event); /* closed: it is out already */
        return 0;
    }
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        event.events |= EPOLLIN;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        event.events |= EPOLLOUT;
    if (epoll_ctl(f->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
        return 0;
    /* Out of kernel memory the transfer ends: -1 makes the library give it up. */
    return errno == ENOENT && epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -1;
}

static int fetch_on_timeout(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    struct fetch_multi *m = arg;
    if (timeout_ms < 0)
        loop_timer_stop(&m->timer);
    else
        loop_timer_start(m->fetch->loop, &m->timer, (uint64_t)timeout_ms, fetch_on_timer, m);
    return 0;
}

/* --- life ------------------------------------------------------------------------------------- */

static void fetch_defaults(struct fetch_options *o)
{
    if (o->connect_ms == 0)
        o->connect_ms = 2000;
    if (o->stall_ms == 0)
        o->stall_ms = 10000;
    o->retries = MIN(o->retries, (unsigned)FETCH_RETRIES_MAX);
    if (o->breaker_failures == 0)
        o->breaker_failures = 8;
    if (o->breaker_ms == 0)
        o->breaker_ms = 1000;
    if (o->connections_max == 0)
        o->connections_max = 64;
    if (o->streams_max == 0)
        o->streams_max = FETCH_STREAMS;
}

static int fetch_multi_open(struct fetch *f, unsigned which)
{
    struct fetch_multi *m = &f->multis[which];
    m->fetch = f;
    m->curl = curl_multi_init();
    if (m->curl == NULL)
        return -ENOMEM;
    long max = (long)MIN(f->options.connections_max, 65536u);
    long streams = (long)MIN(f->options.streams_max, 65536u);
    long kind = which == FETCH_SHARED ? (long)CURLPIPE_MULTIPLEX : (long)CURLPIPE_NOTHING;
    if (curl_multi_setopt(m->curl, CURLMOPT_SOCKETFUNCTION, fetch_on_socket) != CURLM_OK ||
        curl_multi_setopt(m->curl, CURLMOPT_SOCKETDATA, m) != CURLM_OK ||
        curl_multi_setopt(m->curl, CURLMOPT_TIMERFUNCTION, fetch_on_timeout) != CURLM_OK ||
        curl_multi_setopt(m->curl, CURLMOPT_TIMERDATA, m) != CURLM_OK ||
        curl_multi_setopt(m->curl, CURLMOPT_MAX_HOST_CONNECTIONS, max) != CURLM_OK ||
        curl_multi_setopt(m->curl, CURLMOPT_MAXCONNECTS, max * 4) != CURLM_OK ||
        curl_multi_setopt(m->curl, CURLMOPT_MAX_CONCURRENT_STREAMS, streams) != CURLM_OK ||
        curl_multi_setopt(m->curl, CURLMOPT_PIPELINING, kind) != CURLM_OK)
        return -EIO;
    return 0;
}

static int fetch_copy_name(const char **name, char **ours)
{
    if (*name != NULL) {
        *ours = str_dup(str_of(*name));
        if (*ours == NULL)
            return -ENOMEM;
    }
    *name = *ours;
    return 0;
}

static int fetch_init(struct fetch *f)
{
    struct fetch_options *o = &f->options;
    int r = fetch_copy_name(&o->ca_file, &f->ca_file);
    if (r == 0)
        r = fetch_copy_name(&o->cert_file, &f->cert_file);
    if (r == 0)
        r = fetch_copy_name(&o->key_file, &f->key_file);
    if (r < 0)
        return r;
    f->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (f->epoll_fd < 0)
        return -errno;
    r = fetch_multi_open(f, FETCH_ALONE);
    if (r == 0 && o->http2)
        r = fetch_multi_open(f, FETCH_SHARED);
    return r < 0 ? r : loop_watch(f->loop, f->epoll_fd, fetch_on_events, f, &f->watch);
}

int fetch_new(struct loop *loop, const struct fetch_options *options, struct fetch **ret)
{
    ASSERT(loop != NULL);
    int r = fetch__global();
    if (r < 0)
        return r;
    struct fetch *f = calloc(1, sizeof *f);
    if (f == NULL)
        return -ENOMEM;
    f->magic = FETCH_MAGIC;
    f->loop = loop;
    f->epoll_fd = -1;
    if (options != NULL)
        f->options = *options;
    fetch_defaults(&f->options);
    r = fetch_init(f);
    if (r < 0) {
        (void)fetch_free(f);
        return r;
    }
    *ret = f;
    return 0;
}

struct fetch *fetch_free(struct fetch *f)
{
    if (f == NULL)
        return NULL;
    fetch_check(f);
    ASSERT(f->in_library == 0); /* not from a callback */
    ASSERT(!f->settling);
    while (f->ops != NULL)
        fetch_cancel(f->ops);
    for (unsigned i = 0; i < f->free_count; i++)
        curl_easy_cleanup(f->free[i]);
    for (unsigned i = 0; i < FETCH_MULTIS; i++) {
        if (f->multis[i].curl != NULL) /* fails for handles still in it: there are none */
            (void)curl_multi_cleanup(f->multis[i].curl);
        loop_timer_stop(&f->multis[i].timer);
    }
    f->watch = loop_unwatch(f->watch);
    (void)base_close(f->epoll_fd);
    fetch__hosts_free(f);
    free(f->ca_file);
    free(f->cert_file);
    free(f->key_file);
    MAGIC_CLEAR(f);
    free(f);
    return NULL;
}
