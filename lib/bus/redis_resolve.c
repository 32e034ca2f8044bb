/* SPDX-License-Identifier: Apache-2.0 */
/* Two hold a look-up: who asked, until redis_resolve_free, and the message to the loop, until it
 * runs. Both are on the loop's thread, so `holders` needs no lock; the thread writes the result
 * before it posts, and ends then. */
#include "bus/redis_resolve.h"
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct redis_resolve {
    uint32_t magic;
#define REDIS_RESOLVE_MAGIC UINT32_C(0x4ed1e501)
    struct loop *loop;
    redis_resolved *cb; /* NULL: nobody wants to know any more */
    void *arg;
    unsigned turn;
    unsigned holders;
    bool has_thread;
    pthread_t thread;
    struct addrinfo *found;
    char port[8];
    char host[256];
};

static void resolve_drop(struct redis_resolve *q)
{
    if (--q->holders > 0)
        return;
    if (q->found != NULL)
        freeaddrinfo(q->found);
    MAGIC_CLEAR(q);
    free(q);
}

static void resolve_on_turn(void *arg)
{
    struct redis_resolve *q = arg;
    ASSERT(q->magic == REDIS_RESOLVE_MAGIC);
    redis_resolved *cb = q->cb;
    q->cb = NULL;
    if (cb == NULL) {
        resolve_drop(q);
        return;
    }
    unsigned count = 0;
    for (const struct addrinfo *a = q->found; a != NULL; a = a->ai_next)
        count++;
    const struct addrinfo *a = q->found;
    for (unsigned i = count > 0 ? q->turn % count : 0; i > 0; i--)
        a = a->ai_next;
    if (a == NULL)
        cb(q->arg, -EHOSTUNREACH, NULL, 0);
    else
        cb(q->arg, 0, a->ai_addr, a->ai_addrlen);
    resolve_drop(q);
}

static int resolve_look_up(struct redis_resolve *q, int flags)
{
    const struct addrinfo hints = {
        .ai_flags = AI_NUMERICSERV | flags,
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
    };
    return getaddrinfo(q->host, q->port, &hints, &q->found);
}

static void *resolve_main(void *arg)
{
    struct redis_resolve *q = arg;
    if (resolve_look_up(q, 0) != 0)
        q->found = NULL;
    /* Out of memory: the link's own deadline ends the wait, and this struct is lost. */
    int r = loop_post(q->loop, resolve_on_turn, q);
    (void)r;
    return NULL;
}

int redis_resolve_new(struct loop *loop, const char *host, uint16_t port, unsigned turn,
                      redis_resolved *cb, void *arg, struct redis_resolve **ret)
{
    struct redis_resolve *q = calloc(1, sizeof *q);
    if (q == NULL)
        return -ENOMEM;
    *q = (struct redis_resolve){
        .magic = REDIS_RESOLVE_MAGIC,
        .loop = loop,
        .cb = cb,
        .arg = arg,
        .turn = turn,
        .holders = 2,
    };
    (void)snprintf(q->port, sizeof q->port, "%u", port); /* sized to fit */
    (void)snprintf(q->host, sizeof q->host, "%s", host); /* as large as a target's */
    int r;
    if (resolve_look_up(q, AI_NUMERICHOST) == 0) {
        r = loop_post(loop, resolve_on_turn, q);
    } else {
        q->found = NULL;
        r = -pthread_create(&q->thread, NULL, resolve_main, q);
        q->has_thread = r == 0;
    }
    if (r < 0) {
        q->holders = 1;
        resolve_drop(q);
        return r;
    }
    *ret = q;
    return 0;
}

struct redis_resolve *redis_resolve_free(struct redis_resolve *q)
{
    if (q == NULL)
        return NULL;
    ASSERT(q->magic == REDIS_RESOLVE_MAGIC);
    if (q->has_thread)
        (void)pthread_join(q->thread, NULL); /* joinable, and joined once */
    q->cb = NULL;
    resolve_drop(q);
    return NULL;
}
