/* SPDX-License-Identifier: Apache-2.0 */
/* States, and what moves them:
 *
 *   WAITING --timer--> RESOLVING --address--> CONNECTING --writable--> [TLS] --> GREETING --> UP
 *      ^                   |                      |                      |          |         |
 *      +---------- link_down (failures grow, backoff) <----------------------------+---------+
 *
 * GREETING: AUTH, SELECT and PING are on their way; the link is up with the last good answer. The
 * socket is in an epoll of our own, because the loop watches for readable descriptors only. */
#include "bus/redis_link.h"
#include <arpa/inet.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/backoff.h"
#include "base/log.h"
#include "bus/redis_resolve.h"

#define LINK_BACKOFF_MS     50
#define LINK_BACKOFF_MAX_MS 1000
#define LINK_READ_SIZE      16384
#define LINK_READS_MAX      64 /* in one turn, so that the loop's others get theirs */
#define LINK_WORDS_MAX      (BUS_ARGS_MAX + 4)
#define LINK_DEPTH_MAX      8

enum link_state {
    LINK_WAITING,
    LINK_RESOLVING,
    LINK_CONNECTING,
    LINK_TLS,
    LINK_GREETING,
    LINK_UP,
};

struct redis_link {
    uint32_t magic;
#define REDIS_LINK_MAGIC UINT32_C(0x4ed15117)
    struct loop *loop;
    const struct redis_target *target;
    const struct redis_link_ops *ops;
    void *arg;
    uint32_t connect_ms;
    enum link_state state;
    struct redis_address address;
    unsigned tries;          /* attempts at all */
    unsigned failures;       /* attempts since it was up */
    unsigned greetings_left; /* answers until it is up */
    uint64_t generation;     /* of the connection: a callback may have ended it */
    struct loop_timer timer; /* the next attempt, or the present one's end */
    struct loop_timer flush_timer;
    struct redis_resolve *resolve;
    int fd;
    int epoll_fd;
    uint32_t events; /* asked of epoll */
    struct loop_watch *watch;
    SSL *tls;
    bool tls_wants_write; /* its read needs the socket to be writable */
    redisReader *reader;
    struct buf out;
    size_t out_sent;
};

static void link_check(const struct redis_link *l)
{
    ASSERT(l != NULL);
    ASSERT(l->magic == REDIS_LINK_MAGIC);
}

static void link_on_start(void *arg);
static void link_on_event(void *arg);

/* --- end of a connection ---------------------------------------------------------------------- */

static void link_close(struct redis_link *l)
{
    loop_timer_stop(&l->timer);
    loop_timer_stop(&l->flush_timer);
    l->resolve = redis_resolve_free(l->resolve);
    l->watch = loop_unwatch(l->watch);
    SSL_free(l->tls);
    l->tls = NULL;
    l->tls_wants_write = false;
    l->epoll_fd = base_close(l->epoll_fd);
    l->fd = base_close(l->fd);
    if (l->reader != NULL)
        redisReaderFree(l->reader);
    l->reader = NULL;
    buf_free(&l->out);
    l->out_sent = 0;
    l->events = 0;
    l->generation++;
}

static void link_down(struct redis_link *l, int error)
{
    link_close(l);
    l->state = LINK_WAITING;
    l->failures++;
    loop_timer_start(l->loop, &l->timer,
                     backoff_ms(l->failures, LINK_BACKOFF_MS, LINK_BACKOFF_MAX_MS), link_on_start,
                     l);
    log_debug("redis %s port %u is away: %s", l->address.host, l->address.port, strerror(-error));
    l->ops->on_down(l->arg, error);
}

void redis_link_break(struct redis_link *l, int error)
{
    link_check(l);
    ASSERT(error < 0);
    if (l->state != LINK_WAITING)
        link_down(l, error);
}

/* --- bytes ------------------------------------------------------------------------------------ */

/* Bytes moved, 0 at the peer's end, -EAGAIN, or an error. */
static ssize_t link_tls_result(struct redis_link *l, int n)
{
    if (n > 0)
        return n;
    switch (SSL_get_error(l->tls, n)) {
    case SSL_ERROR_WANT_READ:
        return -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        l->tls_wants_write = true;
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SSL:
        return l->state == LINK_TLS ? -EACCES : -ECONNRESET;
    default:
        return -ECONNRESET;
    }
}

static ssize_t link_read(struct redis_link *l, void *out, size_t size)
{
    if (l->tls != NULL) {
        ERR_clear_error();
        return link_tls_result(l, SSL_read(l->tls, out, (int)size));
    }
    ssize_t n = recv(l->fd, out, size, 0);
    return n < 0 ? -errno : n;
}

static ssize_t link_write(struct redis_link *l, const void *data, size_t size)
{
    if (l->tls != NULL) {
        ERR_clear_error();
        ssize_t n = link_tls_result(l, SSL_write(l->tls, data, (int)MIN(size, (size_t)INT32_MAX)));
        return n == 0 ? -ECONNRESET : n;
    }
    ssize_t n = send(l->fd, data, size, MSG_NOSIGNAL);
    return n < 0 ? -errno : n;
}

static int link_want(struct redis_link *l, uint32_t events)
{
    if (events == l->events)
        return 0;
    struct epoll_event e = {.events = events};
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, l->fd, &e) < 0)
        return -errno;
    l->events = events;
    return 0;
}

static int link_flush(struct redis_link *l)
{
    while (l->out_sent < l->out.size) {
        ssize_t n = link_write(l, l->out.data + l->out_sent, l->out.size - l->out_sent);
        if (n == -EAGAIN || n == -EINTR)
            break;
        if (n < 0)
            return (int)n;
        l->out_sent += (size_t)n;
    }
    bool left = l->out_sent < l->out.size;
    if (!left) {
        buf_clear(&l->out);
        l->out_sent = 0;
    }
    uint32_t write = left || l->tls_wants_write ? EPOLLOUT : 0;
    return link_want(l, EPOLLIN | write);
}

static void link_on_flush(void *arg)
{
    struct redis_link *l = arg;
    int r = l->state >= LINK_GREETING ? link_flush(l) : 0;
    if (r < 0)
        link_down(l, r);
}

static int link_put(struct redis_link *l, const struct str *words, unsigned count)
{
    const char *texts[LINK_WORDS_MAX];
    size_t sizes[LINK_WORDS_MAX];
    ASSERT(count > 0 && count <= LINK_WORDS_MAX);
    for (unsigned i = 0; i < count; i++) {
        texts[i] = words[i].data != NULL ? words[i].data : "";
        sizes[i] = words[i].size;
    }
    char *command = NULL;
    int size = redisFormatCommandArgv(&command, (int)count, texts, sizes);
    if (size < 0)
        return -ENOMEM;
    size_t before = l->out.size;
    buf_put(&l->out, command, (size_t)size);
    redisFreeCommand(command);
    int r = buf_error(&l->out);
    if (r < 0) { /* what others have put stays as it was */
        l->out.size = before;
        l->out.error = 0;
        return r;
    }
    if (l->flush_timer.loop == NULL)
        loop_timer_start(l->loop, &l->flush_timer, 0, link_on_flush, l);
    return 0;
}

int redis_link_send(struct redis_link *l, const struct str *words, unsigned count)
{
    link_check(l);
    ASSERT(l->state == LINK_UP);
    return link_put(l, words, count);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void link_answer_free(struct bus_answer *a)
{
    if (a->kind != BUS_LIST)
        return;
    struct bus_answer *items = (struct bus_answer *)(uintptr_t)a->items; /* ours: link_convert */
    for (unsigned i = 0; i < a->count; i++)
        link_answer_free(&items[i]);
    free(items);
}

/* The texts stay the reply's. An error inside a list is shown as a text. */
static int link_convert(const redisReply *reply, unsigned depth, struct bus_answer *ret)
{
    switch (reply->type) {
    case REDIS_REPLY_INTEGER:
        *ret = (struct bus_answer){.kind = BUS_NUMBER, .number = reply->integer};
        return 0;
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR:
        *ret = (struct bus_answer){.kind = BUS_TEXT, .text = {reply->str, (size_t)reply->len}};
        return 0;
    case REDIS_REPLY_NIL:
        *ret = (struct bus_answer){.kind = BUS_NONE};
        return 0;
    case REDIS_REPLY_ARRAY:
        break;
    default:
        return -EBADMSG;
    }
    if (depth >= LINK_DEPTH_MAX)
        return -EBADMSG;
    struct bus_answer *items = calloc(MAX(reply->elements, (size_t)1), sizeof *items);
    if (items == NULL)
        return -ENOMEM;
    struct bus_answer list = {.kind = BUS_LIST, .items = items};
    for (size_t i = 0; i < reply->elements; i++) {
        int r = link_convert(reply->element[i], depth + 1, &items[i]);
        if (r < 0) {
            link_answer_free(&list);
            return r;
        }
        list.count++;
    }
    *ret = list;
    return 0;
}

static int link_on_greeting(struct redis_link *l, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR) {
        bool is_loading = strncmp(reply->str, "LOADING", strlen("LOADING")) == 0;
        if (l->failures == 0 && !is_loading) /* a wrong password: nobody else would say so */
            log_warn("redis %s port %u refuses: %s", l->address.host, l->address.port, reply->str);
        return is_loading ? -EAGAIN : -EACCES;
    }
    if (--l->greetings_left > 0)
        return 0;
    loop_timer_stop(&l->timer);
    l->state = LINK_UP;
    l->failures = 0;
    l->ops->on_up(l->arg);
    return 0;
}

static int link_on_reply(struct redis_link *l, const redisReply *reply)
{
    if (l->state == LINK_GREETING)
        return link_on_greeting(l, reply);
    struct bus_answer answer;
    int r = link_convert(reply, 0, &answer);
    if (r < 0)
        return r;
    struct str error = reply->type == REDIS_REPLY_ERROR ? answer.text : STR_NONE;
    l->ops->on_answer(l->arg, &answer, error);
    link_answer_free(&answer);
    return 0;
}

/* 0, or -ESTALE when a callback has ended the connection. */
static int link_parse(struct redis_link *l)
{
    uint64_t generation = l->generation;
    for (;;) {
        void *reply = NULL;
        if (redisReaderGetReply(l->reader, &reply) != REDIS_OK)
            return -EBADMSG;
        if (reply == NULL)
            return 0;
        int r = link_on_reply(l, reply);
        freeReplyObject(reply);
        if (l->generation != generation)
            return -ESTALE;
        if (r < 0)
            return r;
    }
}

static int link_receive(struct redis_link *l)
{
    char bytes[LINK_READ_SIZE];
    /* What TLS has decrypted and holds back no event would tell of. */
    for (unsigned i = 0; i < LINK_READS_MAX || (l->tls != NULL && SSL_pending(l->tls) > 0); i++) {
        ssize_t n = link_read(l, bytes, sizeof bytes);
        if (n == -EAGAIN || n == -EINTR)
            return 0;
        if (n <= 0)
            return n < 0 ? (int)n : -ECONNRESET;
        if (redisReaderFeed(l->reader, bytes, (size_t)n) != REDIS_OK)
            return -ENOMEM;
        int r = link_parse(l);
        if (r < 0)
            return r;
    }
    return 0;
}

/* --- making a connection ---------------------------------------------------------------------- */

static int link_greet(struct redis_link *l)
{
    const struct redis_target *t = l->target;
    int r = 0;
    l->state = LINK_GREETING;
    l->greetings_left = 1;
    if (t->password.size > 0) {
        struct str with_user[] = {STR("AUTH"), str_of(t->user), buf_str(&t->password)};
        struct str plain[] = {STR("AUTH"), buf_str(&t->password)};
        r = t->user[0] != 0 ? link_put(l, with_user, 3) : link_put(l, plain, 2);
        l->greetings_left++;
    }
    if (r == 0 && t->db != 0) {
        char db[16];
        (void)snprintf(db, sizeof db, "%u", t->db); /* sized to fit */
        r = link_put(l, (struct str[]){STR("SELECT"), str_of(db)}, 2);
        l->greetings_left++;
    }
    if (r == 0)
        r = link_put(l, (struct str[]){STR("PING")}, 1);
    return r < 0 ? r : link_flush(l);
}

static int link_tls_step(struct redis_link *l)
{
    ERR_clear_error();
    l->tls_wants_write = false;
    ssize_t n = link_tls_result(l, SSL_connect(l->tls));
    if (n > 0)
        return link_greet(l);
    if (n == -EAGAIN)
        return link_want(l, l->tls_wants_write ? EPOLLIN | EPOLLOUT : EPOLLIN);
    return n == 0 ? -ECONNRESET : (int)n;
}

static int link_tls_start(struct redis_link *l)
{
    l->tls = SSL_new(l->target->tls);
    if (l->tls == NULL || SSL_set_fd(l->tls, l->fd) != 1)
        return -ENOMEM;
    struct in6_addr any;
    const char *host = l->address.host;
    bool is_address = inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1;
    X509_VERIFY_PARAM *param = SSL_get0_param(l->tls);
    int good = is_address ? X509_VERIFY_PARAM_set1_ip_asc(param, host)
                          : SSL_set_tlsext_host_name(l->tls, host) == 1 &&
                                X509_VERIFY_PARAM_set1_host(param, host, 0) == 1;
    if (good != 1)
        return -ENOMEM;
    l->state = LINK_TLS;
    return link_tls_step(l);
}

static int link_connected(struct redis_link *l)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        return -errno;
    if (error != 0)
        return -error;
    return l->target->is_tls ? link_tls_start(l) : link_greet(l);
}

/* One step of whatever the state waits for. */
static int link_step(struct redis_link *l, uint32_t events)
{
    switch (l->state) {
    case LINK_CONNECTING:
        return link_connected(l);
    case LINK_TLS:
        return link_tls_step(l);
    case LINK_GREETING:
    case LINK_UP:
        break;
    case LINK_WAITING:
    case LINK_RESOLVING:
        return NEVER(true) ? -EIO : 0;
    }
    l->tls_wants_write = false;
    int r = (events & ~(uint32_t)EPOLLOUT) != 0 || l->tls != NULL ? link_receive(l) : 0;
    return r < 0 ? r : link_flush(l);
}

static void link_on_event(void *arg)
{
    struct redis_link *l = arg;
    struct epoll_event e;
    link_check(l);
    int n = epoll_wait(l->epoll_fd, &e, 1, 0);
    if (n <= 0)
        return; /* nothing after all, or a signal: the loop comes again */
    int r = link_step(l, e.events);
    if (r < 0 && r != -ESTALE)
        link_down(l, r);
}

static void link_on_late(void *arg)
{
    link_down(arg, -ETIMEDOUT);
}

static int link_connect(struct redis_link *l, const struct sockaddr *address, socklen_t size)
{
    int one = 1;
    l->reader = redisReaderCreate();
    l->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->reader == NULL)
        return -ENOMEM;
    if (l->fd < 0 || l->epoll_fd < 0)
        return -errno;
    /* Both only save time; without them it works as well. */
    (void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(l->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    if (connect(l->fd, address, size) < 0 && errno != EINPROGRESS)
        return -errno;
    l->state = LINK_CONNECTING;
    l->events = EPOLLOUT;
    struct epoll_event e = {.events = EPOLLOUT};
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->fd, &e) < 0)
        return -errno;
    return loop_watch(l->loop, l->epoll_fd, link_on_event, l, &l->watch);
}

static void link_on_resolved(void *arg, int res, const struct sockaddr *address, socklen_t size)
{
    struct redis_link *l = arg;
    link_check(l);
    int r = res < 0 ? res : link_connect(l, address, size);
    if (r < 0)
        link_down(l, r);
}

static void link_on_start(void *arg)
{
    struct redis_link *l = arg;
    link_check(l);
    l->state = LINK_RESOLVING;
    loop_timer_start(l->loop, &l->timer, l->connect_ms, link_on_late, l);
    unsigned turn = 0;
    l->ops->pick(l->arg, l->tries++, &l->address, &turn);
    int r = redis_resolve_new(l->loop, l->address.host, l->address.port, turn, link_on_resolved, l,
                              &l->resolve);
    if (r < 0)
        link_down(l, r);
}

/* --- life ------------------------------------------------------------------------------------- */

int redis_link_new(struct loop *loop, const struct redis_target *target, uint32_t connect_ms,
                   const struct redis_link_ops *ops, void *arg, struct redis_link **ret)
{
    struct redis_link *l = calloc(1, sizeof *l);
    if (l == NULL)
        return -ENOMEM;
    l->magic = REDIS_LINK_MAGIC;
    l->loop = loop;
    l->target = target;
    l->connect_ms = connect_ms;
    l->ops = ops;
    l->arg = arg;
    l->fd = -1;
    l->epoll_fd = -1;
    loop_timer_start(loop, &l->timer, 0, link_on_start, l);
    *ret = l;
    return 0;
}

struct redis_link *redis_link_free(struct redis_link *l)
{
    if (l == NULL)
        return NULL;
    link_check(l);
    link_close(l);
    MAGIC_CLEAR(l);
    free(l);
    return NULL;
}

const struct redis_address *redis_link_address(const struct redis_link *l)
{
    link_check(l);
    return &l->address;
}

bool redis_link_is_up(const struct redis_link *l)
{
    link_check(l);
    return l->state == LINK_UP;
}

bool redis_link_is_away(const struct redis_link *l)
{
    link_check(l);
    return l->state != LINK_UP && l->failures > 0;
}
