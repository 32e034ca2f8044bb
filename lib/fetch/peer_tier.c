/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/peer_tier.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/secret.h"
#include "fetch/tier_base.h"

#define PEER_TEXT_MAX ((size_t)64 << 10)
#define PEER_LOOP     "CDN-Loop: weir"

struct peer_tier {
    struct tier_base base; /* first */
    uint32_t magic;
#define PEER_TIER_MAGIC UINT32_C(0x9ee27e01)
    struct secret bearer;
    char *ca_file;
    unsigned retries;
    unsigned peers_count;
    struct peer {
        char *url; /* without a slash at the end */
        struct fetch_circuit circuit;
    } peers[PEER_TIER_PEERS_MAX];
};

struct peer_op {
    struct tier_op op; /* first */
    unsigned peer;     /* the one that is asked */
    int worst;         /* what those before said; -ENOENT is the best of it */
};

static struct peer_tier *peer_tier_of(struct store_tier *tier)
{
    struct peer_tier *t = (struct peer_tier *)(void *)tier;
    ASSERT(t != NULL);
    ASSERT(t->magic == PEER_TIER_MAGIC);
    return t;
}

/* --- get -------------------------------------------------------------------------------------- */

static void peer_get_ask(struct peer_op *g);

/* Tens of microseconds for a segment: less than sending it took. */
static bool peer_blob_is_right(const struct tier_op *op)
{
    uint32_t size;
    const uint8_t *data = rbuf_data(op->call.blob, &size);
    struct digest d = digest_of(data, size);
    return digest_eq(&d, &op->digest);
}

static void peer_get_done(struct engine_call *c, int res)
{
    struct peer_op *g = (struct peer_op *)(void *)CONTAINER_OF(c, struct tier_op, call);
    struct peer_tier *t = peer_tier_of(&g->op.base->tier);
    if (res == 0 && !peer_blob_is_right(&g->op)) {
        engine_complain(t->base.engine, "%s: the bytes do not have the name", c->url.data);
        res = -EBADMSG;
    }
    if (res == 0 || res == -ECANCELED) {
        tier_op_end(&g->op, res);
        return;
    }
    if (res != -ENOENT || g->worst == 0)
        g->worst = res;
    if (++g->peer < t->peers_count)
        peer_get_ask(g);
    else
        tier_op_end(&g->op, g->worst);
}

static void peer_get_ask(struct peer_op *g)
{
    struct peer_tier *t = peer_tier_of(&g->op.base->tier);
    struct peer *p = &t->peers[g->peer];
    struct engine_call *c = &g->op.call;
    char name[DIGEST_TEXT_SIZE];
    digest_format(&g->op.digest, name);
    engine_call_clear(c);
    buf_printf(&c->url, "%s/blob/%s", p->url, name);
    c->method = "GET";
    c->header = PEER_LOOP;
    c->wants_blob = true;
    c->length = g->op.length > 0 ? g->op.length : UINT64_MAX;
    c->text_max = PEER_TEXT_MAX;
    c->retries = t->retries;
    c->circuit = &p->circuit;
    c->judge = engine_judge_status;
    c->done = peer_get_done;
    engine_call(t->base.engine, c);
}

static void peer_get_begin(struct tier_op *op)
{
    peer_get_ask((struct peer_op *)(void *)op);
}

static void peer_get(struct store_tier *tier, const struct digest *d, uint32_t length,
                     store_tier_got *done, void *arg)
{
    struct peer_tier *t = peer_tier_of(tier);
    struct tier_op *op = tier_op_new(&t->base, sizeof(struct peer_op), d, peer_get_begin);
    op->length = length;
    op->got = done;
    op->arg = arg;
    tier_op_submit(op);
}

/* --- what a tier that is only read answers ---------------------------------------------------- */

static void peer_refuse_begin(struct tier_op *op)
{
    tier_op_end(op, -EROFS);
}

static void peer_refuse(struct store_tier *tier, const struct digest *d, store_tier_done *done,
                        void *arg)
{
    struct peer_tier *t = peer_tier_of(tier);
    struct tier_op *op = tier_op_new(&t->base, sizeof *op, d, peer_refuse_begin);
    op->done = done;
    op->arg = arg;
    tier_op_submit(op);
}

static void peer_put(struct store_tier *tier, const struct digest *d, struct rbuf *blob,
                     store_tier_done *done, void *arg)
{
    (void)blob;
    peer_refuse(tier, d, done, arg);
}

static int peer_list(struct store_tier *tier, store_tier_each *each, void *arg, struct err *err)
{
    (void)peer_tier_of(tier), (void)each, (void)arg;
    return err_set(err, -EOPNOTSUPP, "other origins are not asked for a list of their blobs");
}

/* --- check ------------------------------------------------------------------------------------ */

static void peer_check_done(struct engine_call *c, int res)
{
    tier_op_end(CONTAINER_OF(c, struct tier_op, call), res);
}

/* A blob that nobody has, so that the answer tells of the credential too: 404 is well. */
static void peer_check_begin(struct tier_op *op)
{
    struct peer_op *g = (struct peer_op *)(void *)op;
    struct peer_tier *t = peer_tier_of(&op->base->tier);
    struct peer *p = &t->peers[g->peer];
    struct engine_call *c = &op->call;
    char name[DIGEST_TEXT_SIZE];
    digest_format(&op->digest, name);
    buf_printf(&c->url, "%s/blob/%s", p->url, name);
    c->method = "GET";
    c->header = PEER_LOOP;
    c->is_forced = true;
    c->text_max = PEER_TEXT_MAX;
    c->circuit = &p->circuit;
    c->judge = engine_judge_status;
    c->done = peer_check_done;
    engine_call(t->base.engine, c);
}

static int peer_check_one(struct peer_tier *t, unsigned peer, struct err *err)
{
    static const struct digest nobody = {{0}};
    CLEAN(tier_op_free)
    struct tier_op *op = tier_op_new(&t->base, sizeof(struct peer_op), &nobody, peer_check_begin);
    ((struct peer_op *)(void *)op)->peer = peer;
    int r = tier_base_run(op);
    if (r == 0 || r == -ENOENT)
        return 0;
    return err_set(err, r, "%s: %s", t->peers[peer].url,
                   op->call.why[0] != '\0' ? op->call.why : "the tier is being closed");
}

static int peer_check(struct store_tier *tier, struct err *err)
{
    struct peer_tier *t = peer_tier_of(tier);
    int r = tier_base_enter(&t->base);
    if (r < 0)
        return err_set(err, r, "the tier is being closed");
    r = -EHOSTDOWN;
    for (unsigned i = 0; i < t->peers_count && r < 0 && r != -ECANCELED; i++)
        r = peer_check_one(t, i, err);
    tier_base_leave(&t->base);
    return r;
}

/* --- life ------------------------------------------------------------------------------------- */

static void peer_tier_destroy(struct peer_tier *t)
{
    for (unsigned i = 0; i < t->peers_count; i++)
        free(t->peers[i].url);
    secret_clear(&t->bearer);
    free(t->ca_file);
    MAGIC_CLEAR(t);
    free(t);
}

static struct store_tier *peer_tier_free(struct store_tier *tier)
{
    if (tier == NULL)
        return NULL;
    struct peer_tier *t = peer_tier_of(tier);
    tier_base_stop(&t->base);
    peer_tier_destroy(t);
    return NULL;
}

static const struct store_tier_ops peer_tier_ops = {
    .name = "peer",
    .get = peer_get,
    .put = peer_put,
    .remove = peer_refuse,
    .list = peer_list,
    .check = peer_check,
    .free = peer_tier_free,
};

/* "http(s)://host[:port][/path]", without credentials or a query; a slash at its end is cut. */
static int peer_url(const char *text, char **ret, struct err *err)
{
    struct str url = str_of(text);
    struct str rest = str_behind_http(url);
    bool is_good = rest.size > 0 && rest.data[0] != '/';
    for (size_t i = 0; i < rest.size; i++)
        is_good = is_good && rest.data[i] > 0x20 && rest.data[i] < 0x7f &&
                  strchr("?#@\\", rest.data[i]) == NULL;
    if (!is_good)
        return err_set(err, -EINVAL, "a peer's address is http(s)://HOST[:PORT][/PATH]");
    while (str_ends(url, STR("/")))
        url.size--;
    *ret = str_dup(url);
    return *ret == NULL ? err_errno(err, -ENOMEM, "opening the peer tier") : 0;
}

static int peer_tier_init(struct peer_tier *t, const struct peer_options *o, struct err *err)
{
    if (o->urls_count == 0 || o->urls_count > PEER_TIER_PEERS_MAX)
        return err_set(err, -EINVAL, "a peer tier has 1 to %d peers", PEER_TIER_PEERS_MAX);
    for (unsigned i = 0; i < o->urls_count; i++) {
        int r = peer_url(o->urls[i], &t->peers[i].url, err);
        if (r < 0)
            return r;
        t->peers_count = i + 1;
        t->peers[i].circuit.failures_max = o->breaker_failures > 0 ? o->breaker_failures : 8;
        t->peers[i].circuit.open_ms = o->breaker_ms > 0 ? o->breaker_ms : 1000;
    }
    t->retries = o->retries;
    if (o->ca_file != NULL && (t->ca_file = str_dup(str_of(o->ca_file))) == NULL)
        return err_errno(err, -ENOMEM, "opening the peer tier");
    return o->bearer_file != NULL ? secret_load(o->bearer_file, &t->bearer, err) : 0;
}

int peer_tier_new(const struct peer_options *o, struct err *err, struct store_tier **ret)
{
    struct peer_tier *t = calloc(1, sizeof *t);
    if (t == NULL)
        return err_errno(err, -ENOMEM, "opening the peer tier");
    t->magic = PEER_TIER_MAGIC;
    int r = peer_tier_init(t, o, err);
    if (r == 0) {
        const struct engine_options options = {
            .name = peer_tier_ops.name,
            .ca_file = t->ca_file,
            .connect_ms = o->connect_ms,
            .stall_ms = o->stall_ms,
            .transfers_max = o->transfers_max,
            .waiting_max = o->waiting_max,
            .bearer = t->bearer.size > 0 ? t->bearer.text : NULL,
        };
        r = tier_base_start(&t->base, &peer_tier_ops, &options);
        if (r < 0)
            r = err_errno(err, r, "starting the peer tier");
    }
    if (r < 0) {
        peer_tier_destroy(t);
        return r;
    }
    *ret = &t->base.tier;
    return 0;
}
