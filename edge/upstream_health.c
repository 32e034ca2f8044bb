/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/upstream_health.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/id.h"
#include "edge/upstream_server.h"

#define HEALTH_INTERVAL_MS 2000
#define HEALTH_TIMEOUT_MS  1000
#define HEALTH_ANSWER_MAX  65536 /* who says more is not asked for a file by this */

struct health_check {
    struct loop *loop;
    struct fetch *fetch;
    struct upstream_server *server;
    struct loop_timer timer;
    struct fetch_op *op;
    uint32_t interval_ms;
    size_t size;
};

struct upstream_health {
    uint32_t magic;
#define UPSTREAM_HEALTH_MAGIC UINT32_C(0x4ea17b0b)
    struct {
        struct fetch *servers, *peers;
    } fetches[UPSTREAMS_MAX];
    struct health_check *checks;
    unsigned count;
};

static void health_begin(void *arg);

/* Not all at once, and not all edges in step. */
static void health_wait(struct health_check *c, uint32_t ms)
{
    uint32_t random;
    id_random(&random, sizeof random);
    loop_timer_start(c->loop, &c->timer, ms - ms / 10 + random % (ms / 5 + 1), health_begin, c);
}

static int health_on_data(void *arg, const uint8_t *data, size_t size)
{
    struct health_check *c = arg;
    (void)data;
    c->size += size;
    return c->size > HEALTH_ANSWER_MAX ? -EFBIG : 0;
}

static void health_on_done(void *arg, int res, unsigned status)
{
    struct health_check *c = arg;
    c->op = NULL;
    bool is_peer = c->server->role != UPSTREAM_SERVER;
    bool ok = res == 0 && (is_peer ? status == 204 : status >= 200 && status < 400);
    char why[64];
    if (res < 0)
        (void)snprintf(why, sizeof why, "%s", strerrordesc_np(-res));
    else
        (void)snprintf(why, sizeof why, "the answer is %u", status);
    upstream_server_checked(c->server, ok, why);
    health_wait(c, c->interval_ms);
}

static int health_ask(struct health_check *c)
{
    const struct upstream *u = c->server->upstream;
    bool is_peer = c->server->role != UPSTREAM_SERVER;
    CLEAN_BUF struct buf url = BUF_EMPTY;
    buf_printf(&url, "%s%s", c->server->url, is_peer ? "/blob/" : u->config->health->path);
    int r = buf_error(&url);
    if (r < 0)
        return r;
    const struct fetch_request q = {
        .method = "GET",
        .url = url.data,
        .bearer = is_peer ? u->peer_credential.text : upstream_bearer(u),
        .on_data = health_on_data,
        .on_done = health_on_done,
        .arg = c,
    };
    c->size = 0;
    return fetch_start(c->fetch, &q, &c->op);
}

static void health_begin(void *arg)
{
    struct health_check *c = arg;
    int r = health_ask(c);
    if (r < 0)
        health_on_done(c, r, 0);
}

static int health_open_upstream(struct upstream_health *h, struct loop *loop,
                                const struct upstream *u)
{
    const struct upstream_config *c = u->config;
    const struct upstream_health_config *hc = c->health;
    uint32_t timeout_ms = hc != NULL && hc->timeout_ms > 0 ? hc->timeout_ms : HEALTH_TIMEOUT_MS;
    uint32_t interval_ms = hc != NULL && hc->interval_ms > 0 ? hc->interval_ms : HEALTH_INTERVAL_MS;
    struct fetch_options options = {
        .ca_file = c->ca_file,
        .connect_ms = timeout_ms,
        .stall_ms = timeout_ms,
        .breaker_failures = UINT32_MAX, /* each check is an attempt */
        .cert_file = c->cert_file,
        .key_file = c->key_file,
    };
    int r = fetch_new(loop, &options, &h->fetches[u->index].servers);
    if (r < 0)
        return r;
    options.ca_file = c->peer_ca_file;
    options.cert_file = options.key_file = NULL;
    r = fetch_new(loop, &options, &h->fetches[u->index].peers);
    for (unsigned i = 0; r == 0 && i < u->all_count; i++) {
        struct upstream_server *s = &u->all[i];
        if (!s->is_checked)
            continue;
        struct health_check *check = &h->checks[h->count++];
        check->loop = loop;
        check->server = s;
        check->interval_ms = interval_ms;
        check->fetch =
            s->role == UPSTREAM_SERVER ? h->fetches[u->index].servers : h->fetches[u->index].peers;
        loop_timer_start(loop, &check->timer, 0, health_begin, check);
    }
    return r;
}

int upstream_health_new(struct edge *e, struct loop *loop, struct upstream_health **ret)
{
    struct upstream_health *h = calloc(1, sizeof *h);
    if (h == NULL)
        return -ENOMEM;
    h->magic = UPSTREAM_HEALTH_MAGIC;
    h->checks = calloc((size_t)UPSTREAMS_MAX * UPSTREAM_ALL_MAX, sizeof *h->checks);
    int r = h->checks == NULL ? -ENOMEM : 0;
    for (unsigned i = 0; r == 0 && i < upstreams_count(e->upstreams); i++)
        r = health_open_upstream(h, loop, upstreams_at(e->upstreams, i));
    if (r < 0) {
        upstream_health_free(h);
        return r;
    }
    *ret = h;
    return 0;
}

struct upstream_health *upstream_health_free(struct upstream_health *h)
{
    if (h == NULL)
        return NULL;
    ASSERT(h->magic == UPSTREAM_HEALTH_MAGIC);
    for (unsigned i = 0; i < h->count; i++) {
        loop_timer_stop(&h->checks[i].timer);
        if (h->checks[i].op != NULL)
            fetch_cancel(h->checks[i].op);
    }
    for (unsigned i = 0; i < UPSTREAMS_MAX; i++) {
        fetch_free(h->fetches[i].servers);
        fetch_free(h->fetches[i].peers);
    }
    free(h->checks);
    MAGIC_CLEAR(h);
    free(h);
    return NULL;
}
