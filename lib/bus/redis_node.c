/* SPDX-License-Identifier: Apache-2.0 */
/* Invariants:
 *  1. Answers come in the order of the calls in sent, those to ASKING before their call's own.
 *  2. answer_timer runs while sent is not empty, due when its first has waited answer_ms.
 *  3. A bit of scripts is set once the connection has carried the script's text: whoever runs it
 *     later gives its hash alone. So the first use costs no refusal, and the calls stay in order;
 *     only what Redis was told to forget meanwhile is refused and sent again, behind the others. */
#include "bus/redis_node.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"

_Static_assert(REDIS_SCRIPTS_MAX <= 32, "scripts is a set of 32 bits");

struct redis_node {
    uint32_t magic;
#define REDIS_NODE_MAGIC UINT32_C(0x4ed150de)
    struct loop *loop;
    struct redis_link *link;
    const struct redis_node_ops *ops;
    void *arg;
    uint32_t answer_ms;
    uint32_t scripts;
    struct redis_calls waiting, sent;
    struct loop_timer answer_timer;
};

static void node_check(const struct redis_node *n)
{
    ASSERT(n != NULL);
    ASSERT(n->magic == REDIS_NODE_MAGIC);
}

static void node_on_late(void *arg)
{
    struct redis_node *n = arg;
    redis_link_break(n->link, -ETIMEDOUT);
}

static void node_watch_answers(struct redis_node *n)
{
    const struct redis_call *first = n->sent.first;
    if (first == NULL) {
        loop_timer_stop(&n->answer_timer);
        return;
    }
    uint64_t due_ms = first->sent_ms + n->answer_ms;
    uint64_t now_ms = clock_mono_ms();
    loop_timer_start(n->loop, &n->answer_timer, due_ms > now_ms ? due_ms - now_ms : 0, node_on_late,
                     n);
}

static int node_send(struct redis_node *n, struct redis_call *c)
{
    uint32_t bit = 0;
    if (c->script != NULL) {
        bit = UINT32_C(1) << c->script->index;
        bool is_known = (n->scripts & bit) != 0;
        c->words[0] = is_known ? STR("EVALSHA") : STR("EVAL");
        c->words[1] = str_of(is_known ? c->script->sha : c->script->text);
    }
    c->skips = 0;
    if (c->is_asking) {
        struct str asking = STR("ASKING");
        int r = redis_link_send(n->link, &asking, 1);
        if (r < 0)
            return r;
    }
    int r = redis_link_send(n->link, c->words, c->words_count);
    if (r < 0) {
        if (c->is_asking) /* its answer would be taken for another's */
            redis_link_break(n->link, -ENOMEM);
        return r;
    }
    n->scripts |= bit;
    c->skips = c->is_asking ? 1 : 0;
    c->sent_ms = clock_mono_ms();
    bool was_empty = n->sent.first == NULL;
    redis_calls_put(&n->sent, c);
    if (was_empty)
        node_watch_answers(n);
    return 0;
}

static void node_end_all(struct redis_node *n, struct redis_calls *q, int res)
{
    struct redis_call *c = redis_calls_take_all(q);
    while (c != NULL) {
        struct redis_call *next = c->next;
        n->ops->on_end(n->arg, c, res);
        c = next;
    }
}

/* --- what the link tells ---------------------------------------------------------------------- */

static void node_pick(void *arg, unsigned tries, struct redis_address *ret, unsigned *ret_turn)
{
    struct redis_node *n = arg;
    n->ops->pick(n->arg, tries, ret, ret_turn);
}

static void node_on_up(void *arg)
{
    struct redis_node *n = arg;
    n->scripts = 0;
    struct redis_call *c = redis_calls_take_all(&n->waiting);
    while (c != NULL) {
        struct redis_call *next = c->next;
        int r = redis_link_is_up(n->link) ? node_send(n, c) : -EHOSTDOWN;
        if (r < 0)
            n->ops->on_end(n->arg, c, r);
        c = next;
    }
    n->ops->on_up(n->arg);
}

static void node_on_answer(void *arg, const struct bus_answer *answer, struct str error)
{
    struct redis_node *n = arg;
    struct redis_call *c = n->sent.first;
    if (c == NULL) {
        redis_link_break(n->link, -EBADMSG); /* an answer that nobody has asked for */
        return;
    }
    if (c->skips > 0) { /* that to ASKING: what matters is what the call itself gets */
        c->skips--;
        return;
    }
    (void)redis_calls_take(&n->sent); /* it is c */
    node_watch_answers(n);
    if (error.data != NULL && c->script != NULL && str_starts(error, STR("NOSCRIPT"))) {
        n->scripts &= ~(UINT32_C(1) << c->script->index);
        int r = node_send(n, c);
        if (r < 0)
            n->ops->on_end(n->arg, c, r);
        return;
    }
    n->ops->on_answer(n->arg, c, answer, error);
}

static void node_on_down(void *arg, int error)
{
    struct redis_node *n = arg;
    loop_timer_stop(&n->answer_timer);
    node_end_all(n, &n->sent, error == -ETIMEDOUT ? -ETIMEDOUT : -ECONNRESET);
    node_end_all(n, &n->waiting, -EHOSTDOWN);
    n->ops->on_down(n->arg);
}

/* --- life ------------------------------------------------------------------------------------- */

int redis_node_new(struct loop *loop, const struct redis_target *target,
                   const struct redis_node_limits *limits, const struct redis_node_ops *ops,
                   void *arg, struct redis_node **ret)
{
    static const struct redis_link_ops link_ops = {node_pick, node_on_up, node_on_answer,
                                                   node_on_down};
    struct redis_node *n = calloc(1, sizeof *n);
    if (n == NULL)
        return -ENOMEM;
    n->magic = REDIS_NODE_MAGIC;
    n->loop = loop;
    n->ops = ops;
    n->arg = arg;
    n->answer_ms = limits->answer_ms;
    redis_calls_init(&n->waiting);
    redis_calls_init(&n->sent);
    int r = redis_link_new(loop, target, limits->connect_ms, &link_ops, n, &n->link);
    if (r < 0) {
        free(n);
        return r;
    }
    *ret = n;
    return 0;
}

struct redis_node *redis_node_free(struct redis_node *n)
{
    if (n == NULL)
        return NULL;
    node_check(n);
    loop_timer_stop(&n->answer_timer);
    node_end_all(n, &n->sent, -ECANCELED);
    node_end_all(n, &n->waiting, -ECANCELED);
    redis_link_free(n->link);
    MAGIC_CLEAR(n);
    free(n);
    return NULL;
}

int redis_node_call(struct redis_node *n, struct redis_call *c)
{
    node_check(n);
    if (redis_link_is_up(n->link))
        return node_send(n, c);
    if (redis_link_is_away(n->link))
        return -EHOSTDOWN;
    redis_calls_put(&n->waiting, c);
    return 0;
}

void redis_node_break(struct redis_node *n, int error)
{
    node_check(n);
    redis_link_break(n->link, error);
}

const struct redis_address *redis_node_address(const struct redis_node *n)
{
    node_check(n);
    return redis_link_address(n->link);
}

bool redis_node_is_up(const struct redis_node *n)
{
    node_check(n);
    return redis_link_is_up(n->link);
}

bool redis_node_is_away(const struct redis_node *n)
{
    node_check(n);
    return redis_link_is_away(n->link);
}

bool redis_node_has_calls(const struct redis_node *n)
{
    node_check(n);
    return n->waiting.first != NULL || n->sent.first != NULL;
}
