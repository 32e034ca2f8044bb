/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/pool.h"
#include "http/http_inherit.h"
#include "http/http_priv.h"

#define HTTP_BODY_SIZE_DEFAULT (UINT64_C(1) << 20)
#define HTTP_IDLE_MS_DEFAULT   UINT32_C(60000)
#define HTTP_HEAD_MS_DEFAULT   UINT32_C(15000)
#define HTTP_HEADER_DEFAULT    UINT32_C(32768)
#define HTTP_DRAIN_POLL_MS     5

static void http_server_check(const struct http_server *s)
{
    ASSERT(s != NULL);
    ASSERT(s->magic == HTTP_SERVER_MAGIC);
}

/* --- making ----------------------------------------------------------------------------------- */

static int http_server_add_listen(struct http_listener *l, const struct http_listen *o,
                                  struct err *err)
{
    if (o->address == NULL)
        return err_set(err, -EINVAL, "a listener has no address");
    int r = http__listen_options_copy(o, &l->options);
    if (r < 0)
        return err_set(err, r, "out of memory");
    return http__tls_new(&l->options, NULL, err, &l->tls);
}

static void http_server_configure(struct http_server *s)
{
    h2o_globalconf_t *conf = &s->conf;
    h2o_config_init(conf);
    s->conf_made = true;
    conf->server_name = h2o_iovec_init(s->server_name, strlen(s->server_name));
    /* One more than allowed: in chunks the library refuses the exact limit too. We look again. */
    conf->max_request_entity_size = (size_t)s->options.body_size_max + 1;
    conf->http1.req_timeout = s->options.idle_ms;
    conf->http1.upgrade_to_http2 = 0; /* HTTP/2 by ALPN only: h2c invites request smuggling */
    conf->http2.idle_timeout = s->options.idle_ms;
    /* Bodies stay in memory: the library would put those from 32 MiB on into /tmp. */
    h2o_socket_buffer_mmap_settings.threshold = SIZE_MAX;
    h2o_hostconf_t *host = h2o_config_register_host(conf, h2o_iovec_init("default", 7), 65535);
    host->http2.push_preload = 0;
    host->fallback_path.error_log.emit_request_errors = 0;
    struct http_handler *handler =
        (struct http_handler *)(void *)h2o_create_handler(&host->fallback_path, sizeof *handler);
    handler->super.on_req = http__on_req;
    handler->server = s;
    h2o_filter_t *filter = h2o_create_filter(&host->fallback_path, sizeof *filter);
    filter->on_setup_ostream = http__on_library_error;
    struct http_logger *logger =
        (struct http_logger *)(void *)h2o_create_logger(&host->fallback_path, sizeof *logger);
    logger->super.log_access = http__log_access;
    logger->server = s;
}

static unsigned http_server_cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (unsigned)MIN(n, (long)HTTP_WORKERS_MAX);
}

/* The rest is for files, for upstreams, and for what is accepted to be refused. */
static uint32_t http_server_connections_max(void)
{
    struct rlimit limit = {0};
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT32_MAX;
    rlim_t spare = MAX(limit.rlim_cur / 8, (rlim_t)64);
    rlim_t rest = limit.rlim_cur > 2 * spare ? limit.rlim_cur - spare : limit.rlim_cur / 2;
    return (uint32_t)MIN(MAX(rest, (rlim_t)1), (rlim_t)UINT32_MAX);
}

static void http_server_set_defaults(struct http_options *o)
{
    if (o->body_size_max == 0)
        o->body_size_max = HTTP_BODY_SIZE_DEFAULT;
    o->body_total_max = http__guard_total(o->body_total_max, o->body_size_max);
    if (o->idle_ms == 0)
        o->idle_ms = HTTP_IDLE_MS_DEFAULT;
    if (o->head_ms == 0)
        o->head_ms = HTTP_HEAD_MS_DEFAULT;
    if (o->header_size_max == 0)
        o->header_size_max = HTTP_HEADER_DEFAULT;
    if (o->connections_max == 0)
        o->connections_max = http_server_connections_max();
}

static int http_server_init(struct http_server *s, const struct http_options *o, struct err *err)
{
    if (o->listens_count == 0 || o->listens_count > HTTP_LISTENS_MAX)
        return err_set(err, -EINVAL, "1 to %d listeners are possible", HTTP_LISTENS_MAX);
    if (o->workers > HTTP_WORKERS_MAX)
        return err_set(err, -EINVAL, "at most %d workers are possible", HTTP_WORKERS_MAX);
    s->server_name = str_dup(str_of(o->server_name != NULL ? o->server_name : "weir"));
    if (s->server_name == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    http_server_set_defaults(&s->options);
    int r = http_limits_new(&s->limits);
    if (r < 0)
        return err_errno(err, r, "counting clients");
    s->workers_count = o->workers != 0 ? o->workers : http_server_cores();
    for (unsigned i = 0; i < o->listens_count; i++) {
        r = http_server_add_listen(&s->listeners[i], &o->listens[i], err);
        if (r < 0)
            return r;
    }
    r = http__figures_init(s);
    if (r < 0)
        return err_set(err, r, "metric prefix %s is too long", o->metric_prefix);
    http_server_configure(s);
    return 0;
}

int http_server_new(const struct http_options *options, struct err *err, struct http_server **ret)
{
    ASSERT(options != NULL);
    struct http_server *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    s->magic = HTTP_SERVER_MAGIC;
    s->options = *options;
    s->options.listens = NULL;                /* the caller's; ours are s->listeners */
    (void)pthread_mutex_init(&s->lock, NULL); /* neither fails with default attributes */
    (void)pthread_cond_init(&s->changed, NULL);
    int r = http_server_init(s, options, err);
    if (r < 0) {
        (void)http_server_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

int http_route(struct http_server *s, unsigned methods, const char *pattern, http_handler *handler,
               void *arg)
{
    http_server_check(s);
    ASSERT(s->state == HTTP_STATE_NEW);
    return http_router_add(&s->router, methods, pattern, handler, arg);
}

int http_route_stream(struct http_server *s, unsigned methods, const char *pattern,
                      http_handler *handler, void *arg, uint64_t body_size_max)
{
    int r = http_route(s, methods, pattern, handler, arg);
    if (r == 0)
        http_router_set_streams(&s->router, body_size_max);
    return r;
}

/* --- starting --------------------------------------------------------------------------------- */

static int http_server_add_accept(struct http_worker *w, unsigned listener, int fd)
{
    struct http_accept *list = realloc(w->accepts, (w->accepts_count + 1) * sizeof *list);
    if (list == NULL)
        return -ENOMEM;
    w->accepts = list;
    list[w->accepts_count++] = (struct http_accept){.worker = w, .listener = listener, .fd = fd};
    return 0;
}

static int http_server_bind_one(struct http_server *s, unsigned i, struct err *err)
{
    struct http_listener *l = &s->listeners[i];
    int fds[HTTP_SOCKETS_MAX];
    unsigned count = 0;
    int r = http__listen_bind(l, s->workers_count, fds, &count, err);
    for (unsigned n = 0; n < count; n++) {
        if (r == 0)
            r = http_server_add_accept(&s->workers[n % s->workers_count], i, fds[n]);
        if (r < 0)
            (void)base_close(fds[n]);
        else
            r = http_inherit_add(s, l->options.address, l->options.port, l->place, fds[n]);
    }
    return r;
}

static int http_server_bind(struct http_server *s, struct err *err)
{
    for (unsigned i = 0; i < s->options.listens_count; i++) {
        int r = http_server_bind_one(s, i, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int http_server_make_threads(struct http_server *s, struct err *err)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    int r = 0;
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's */
    for (unsigned i = 0; r == 0 && i < s->workers_count; i++) {
        struct http_worker *w = &s->workers[i];
        r = -pthread_create(&w->thread, NULL, http__worker_main, w);
        w->thread_made = r == 0;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r < 0 ? err_errno(err, r, "starting a worker thread") : 0;
}

static int http_server_wait_ready(struct http_server *s, struct err *err)
{
    int r = 0;
    (void)pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->workers_count; i++) {
        struct http_worker *w = &s->workers[i];
        while (w->state == HTTP_WORKER_STARTING)
            (void)pthread_cond_wait(&s->changed, &s->lock);
        if (w->start_result < 0 && r == 0)
            r = w->start_result;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return r < 0 ? err_errno(err, r, "starting a worker") : 0;
}

static int http_server_listen(struct http_server *s, struct err *err)
{
    for (unsigned n = 0; n < s->workers_count; n++) {
        const struct http_worker *w = &s->workers[n];
        for (unsigned i = 0; i < w->accepts_count; i++) {
            const struct http_listener *l = &s->listeners[w->accepts[i].listener];
            if (listen(w->accepts[i].fd, SOMAXCONN) < 0)
                return err_errno(err, -errno, "listening on %s port %u", l->options.address,
                                 (unsigned)l->port);
        }
    }
    return 0;
}

static void http_server_tell(struct http_server *s, bool go)
{
    (void)pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->workers_count; i++) {
        s->workers[i].go = go;
        s->workers[i].give_up = !go;
    }
    (void)pthread_cond_broadcast(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
}

static void http_server_join(struct http_server *s)
{
    for (unsigned i = 0; i < s->workers_count; i++) {
        struct http_worker *w = &s->workers[i];
        if (w->thread_made)
            (void)pthread_join(w->thread, NULL); /* joinable, ours, and not us */
        w->thread_made = false;
    }
}

static void http_server_free_workers(struct http_server *s)
{
    if (s->workers == NULL)
        return;
    for (unsigned n = 0; n < s->workers_count; n++) {
        for (unsigned i = 0; i < s->workers[n].accepts_count; i++)
            (void)base_close(s->workers[n].accepts[i].fd);
        free(s->workers[n].accepts);
    }
    free(s->workers);
    s->workers = NULL;
}

static int http_server_make_workers(struct http_server *s, struct err *err)
{
    s->workers = calloc(s->workers_count, sizeof *s->workers);
    if (s->workers == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    for (unsigned n = 0; n < s->workers_count; n++) {
        struct http_worker *w = &s->workers[n];
        w->server = s;
        w->index = n;
        atomic_init(&w->busy, UINT32_MAX); /* not yet counted */
    }
    return 0;
}

int http_server_start(struct http_server *s, struct err *err)
{
    http_server_check(s);
    ASSERT(s->state == HTTP_STATE_NEW);
    int r = http_server_make_workers(s, err);
    if (r == 0 && (r = http__tls_start(s)) < 0)
        r = err_errno(err, r, "starting a thread for OCSP files");
    if (r == 0)
        r = http_server_bind(s, err);
    if (r == 0) {
        r = http_server_make_threads(s, err);
        if (r == 0)
            r = http_server_wait_ready(s, err);
        if (r == 0)
            r = http_server_listen(s, err);
        http_server_tell(s, r == 0);
    }
    if (r < 0) {
        http_server_join(s);
        http_inherit_drop(s);
        http_server_free_workers(s);
        return r;
    }
    s->state = HTTP_STATE_RUNNING;
    return 0;
}

uint16_t http_server_port(const struct http_server *s, unsigned listen_index)
{
    http_server_check(s);
    ASSERT(listen_index < s->options.listens_count);
    return s->listeners[listen_index].port;
}

/* --- running ---------------------------------------------------------------------------------- */

static bool http_server_is_busy(const struct http_server *s)
{
    for (unsigned i = 0; i < s->workers_count; i++)
        if (atomic_load(&s->workers[i].busy) != 0)
            return true;
    return false;
}

static void http_server_sleep(void)
{
    struct timespec t = {.tv_sec = 0, .tv_nsec = HTTP_DRAIN_POLL_MS * 1000000L};
    (void)nanosleep(&t, NULL); /* a shorter nap does no harm */
}

/* The stop must reach every worker: out of memory it is tried again, for there is no other way. */
static void http_server_post_surely(struct http_server *s, loop_cb *cb)
{
    for (unsigned i = 0; i < s->workers_count; i++)
        while (loop_post(s->workers[i].loop, cb, &s->workers[i]) < 0)
            http_server_sleep();
}

static atomic_uint http_linger_ms;

void http_server_linger(uint32_t ms)
{
    atomic_store(&http_linger_ms, ms);
}

/* Who lingers is in nobody's way, but ends when it is told to. */
static bool http_server_is_told(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 &&
           (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

void http_server_drain(struct http_server *s, uint32_t wait_ms)
{
    http_server_check(s);
    if (s->state != HTTP_STATE_RUNNING)
        return;
    s->state = HTTP_STATE_DRAINED;
    http_inherit_drop(s); /* before the workers close theirs: theirs are the last then */
    if (wait_ms > 0) {
        http_server_post_surely(s, http__worker_drain);
        uint64_t begun = clock_mono_ms();
        uint64_t until = begun + wait_ms;
        uint64_t linger_until = begun + atomic_load(&http_linger_ms);
        while (http_server_is_busy(s)) {
            uint64_t now = clock_mono_ms();
            if (now >= until && (now >= linger_until || http_server_is_told()))
                break;
            http_server_sleep();
        }
    }
    http_server_post_surely(s, http__worker_stop);
    http_server_join(s);
}

/* Servers that a handler has outlived: their memory stays, reachable, for it may still touch it. */
static pthread_mutex_t http_left_lock = PTHREAD_MUTEX_INITIALIZER;
static struct http_server *http_left;

static bool http_server_is_held(const struct http_server *s)
{
    for (unsigned i = 0; s->workers != NULL && i < s->workers_count; i++)
        if (s->workers[i].live > 0)
            return true;
    return false;
}

struct http_server *http_server_free(struct http_server *s)
{
    if (s == NULL)
        return NULL;
    http_server_check(s);
    http_server_drain(s, 0);
    s->tls_pool = pool_free(s->tls_pool); /* no worker's timer runs any more */
    if (http_server_is_held(s)) {
        (void)pthread_mutex_lock(&http_left_lock);
        s->left_next = http_left;
        http_left = s;
        (void)pthread_mutex_unlock(&http_left_lock);
        return NULL;
    }
    http_server_free_workers(s);
    if (s->conf_made)
        h2o_config_dispose(&s->conf);
    for (unsigned i = 0; i < HTTP_LISTENS_MAX; i++) {
        struct http_listener *l = &s->listeners[i];
        (void)http__tls_free(l->tls);
        http__listen_options_free(&l->options);
    }
    for (struct http_tls *next; s->tls_retired != NULL; s->tls_retired = next) {
        next = s->tls_retired->retired_next;
        (void)http__tls_free(s->tls_retired);
    }
    http_router_free(&s->router);
    (void)http_limits_free(s->limits);
    free(s->server_name);
    (void)pthread_cond_destroy(&s->changed);
    (void)pthread_mutex_destroy(&s->lock);
    MAGIC_CLEAR(s);
    free(s);
    return NULL;
}
