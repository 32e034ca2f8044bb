/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "fetch/engine_priv.h"
#include "fetch/fetch_priv.h"

#define ENGINE_BACKOFF_MS_MAX 5000

/* --- lists ------------------------------------------------------------------------------------ */

static void engine_list_append(struct engine_list *l, struct engine_call *c)
{
    c->next = NULL;
    c->prev = l->last;
    if (l->last != NULL)
        l->last->next = c;
    else
        l->first = c;
    l->last = c;
}

static void engine_list_remove(struct engine_list *l, struct engine_call *c)
{
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        l->first = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    else
        l->last = c->prev;
    c->next = c->prev = NULL;
}

static struct engine_list *engine_list_of(struct engine_call *c)
{
    struct engine *e = c->engine;
    switch (c->state) {
    case ENGINE_CALL_READY:
        return c->is_write ? &e->writes : &e->reads;
    case ENGINE_CALL_LATER:
        return &e->later;
    case ENGINE_CALL_RUNNING:
        return &e->running;
    case ENGINE_CALL_IDLE:
        break;
    }
    ASSERT(false); /* in no list */
    return NULL;
}

static void engine_call_move(struct engine_call *c, enum engine_call_state state)
{
    struct engine *e = c->engine;
    if (c->state != ENGINE_CALL_IDLE)
        engine_list_remove(engine_list_of(c), c);
    if (c->state == ENGINE_CALL_RUNNING) {
        e->running_count--;
        e->running_writes -= c->is_write ? 1 : 0;
    }
    c->state = state;
    if (state != ENGINE_CALL_IDLE)
        engine_list_append(engine_list_of(c), c);
    if (state == ENGINE_CALL_RUNNING) {
        e->running_count++;
        e->running_writes += c->is_write ? 1 : 0;
    }
}

/* --- an attempt ------------------------------------------------------------------------------- */

static int engine_call_run(struct engine_call *c)
{
    c->broken = 0;
    c->status = 0;
    c->error_text[0] = c->why[0] = '\0';
    buf_clear(&c->text);
    c->blob = rbuf_unref(c->blob);
    c->easy = curl_easy_init();
    if (c->easy == NULL)
        return -ENOMEM;
    int r = engine__call_set(c);
    if (r < 0)
        return r;
    if (curl_multi_add_handle(c->engine->multi, c->easy) != CURLM_OK)
        return -ENOMEM;
    c->moved = 0;
    c->moved_ms = clock_mono_ms();
    engine_call_move(c, ENGINE_CALL_RUNNING);
    return 0;
}

static void engine_call_drop_easy(struct engine_call *c, bool is_complete)
{
    if (c->easy != NULL) {
        /* As in fetch_op.c: a stream taken back that was alone takes its connection along. */
        if (!is_complete)
            (void)curl_easy_setopt(c->easy, CURLOPT_FORBID_REUSE, 1L);
        if (c->state == ENGINE_CALL_RUNNING)
            (void)curl_multi_remove_handle(c->engine->multi, c->easy);
        curl_easy_cleanup(c->easy);
        c->easy = NULL;
    }
    curl_slist_free_all(c->headers);
    c->headers = NULL;
}

/* --- its end ---------------------------------------------------------------------------------- */

static void engine_call_complain(struct engine_call *c, int res)
{
    if (c->is_quiet || res == 0 || res == -ENOENT || res == -ECANCELED || c->tries == 0)
        return;
    struct str url = str_cut(buf_str(&c->url), '?', &(struct str){0});
    engine_complain(c->engine, "%s " STR_FMT ": %s", c->method, STR_ARG(url), c->why);
}

static void engine_call_finish(struct engine_call *c, int res)
{
    engine_call_drop_easy(c, true);
    engine_call_move(c, ENGINE_CALL_IDLE);
    fetch_circuit_forget(c->circuit, c);
    if (res < 0)
        c->blob = rbuf_unref(c->blob);
    engine_call_complain(c, res);
    c->done(c, res);
}

/* store/tier.h has a few names for what may go wrong on the way. */
static int engine_result_of(int res)
{
    if (res == -ECONNREFUSED || res == -EIO)
        return -EHOSTDOWN;
    return res == -EINVAL || res == -EFBIG ? -EBADMSG : res;
}

static struct engine_verdict engine_call_verdict(struct engine_call *c, CURLcode code)
{
    if (c->broken < 0)
        return (struct engine_verdict){.res = c->broken, .is_silent = c->broken == -ENOMEM};
    int res = fetch__result_of(code);
    if (res < 0) {
        (void)snprintf(c->why, sizeof c->why, "%s",
                       c->error_text[0] != '\0' ? c->error_text : curl_easy_strerror(code));
        res = engine_result_of(res);
        return (struct engine_verdict){.res = res,
                                       .may_retry = res != -EBADMSG && res != -ENOMEM,
                                       .is_outage = res != -ENOMEM,
                                       .is_silent = res == -ENOMEM};
    }
    engine__call_look(c);
    engine__call_look_etag(c);
    res = engine__call_end_blob(c);
    if (res < 0)
        return (struct engine_verdict){.res = res, .is_silent = res == -ENOMEM};
    struct engine_verdict v = c->judge(c);
    if (v.res == 0 && c->wants_blob && c->blob == NULL) {
        (void)snprintf(c->why, sizeof c->why, "the answer is %u, and no blob", c->status);
        v = (struct engine_verdict){.res = -EBADMSG};
    }
    return v;
}

static void engine_circuit_result(struct engine_call *c, const struct engine_verdict *v)
{
    struct fetch_circuit *circuit = c->circuit;
    bool was_open = circuit->is_open;
    if (v->is_silent)
        fetch_circuit_forget(circuit, c);
    else
        fetch_circuit_result(circuit, c, !v->is_outage);
    const char *name = c->engine->options.name;
    if (!was_open && circuit->is_open)
        log_warn("%s: %u failures in a row, the last: %s; no more tries for %u ms", name,
                 circuit->failures, c->why, circuit->open_ms);
    else if (was_open && !circuit->is_open)
        log_info("%s: answers again", name);
}

static uint64_t engine_retry_after_ms(struct engine_call *c)
{
    curl_off_t seconds = 0;
    if (c->easy == NULL)
        return 0; /* stalled: there was no whole answer */
    (void)curl_easy_getinfo(c->easy, CURLINFO_RETRY_AFTER, &seconds);
    if (seconds <= 0)
        return 0;
    uint64_t max = c->engine->options.retry_after_ms;
    return MIN((uint64_t)MIN(seconds, (curl_off_t)86400) * 1000, max);
}

static void engine_attempt_ended(struct engine_call *c, const struct engine_verdict *v)
{
    struct engine *e = c->engine;
    engine_circuit_result(c, v);
    if (v->res == 0 || !v->may_retry || c->tries > c->retries || e->is_ending) {
        engine_call_finish(c, v->res);
        return;
    }
    uint64_t wait_ms = backoff_ms(c->tries, e->options.backoff_ms, ENGINE_BACKOFF_MS_MAX);
    wait_ms = MAX(wait_ms, engine_retry_after_ms(c));
    log_debug("%s: %s again in %llu ms: %s", e->options.name, c->method,
              (unsigned long long)wait_ms, c->why);
    c->last_result = v->res;
    c->due_ms = clock_mono_ms() + wait_ms;
    engine_call_drop_easy(c, true);
    engine_call_move(c, ENGINE_CALL_LATER);
}

static bool engine_call_is_stalled(struct engine_call *c, uint64_t now)
{
    uint64_t moved = fetch__easy_moved(c->easy);
    if (moved != c->moved) {
        c->moved = moved;
        c->moved_ms = now;
    }
    return now - c->moved_ms >= c->engine->options.stall_ms;
}

/* Ends one that has stalled: its owner may end others then, so the caller starts from anew. */
static bool engine_end_stalled(struct engine *e, uint64_t now)
{
    struct engine_call *c = e->running.first;
    while (c != NULL && !engine_call_is_stalled(c, now))
        c = c->next;
    if (c == NULL)
        return false;
    (void)snprintf(c->why, sizeof c->why, "no byte for %u ms", e->options.stall_ms);
    const struct engine_verdict v = {.res = -ETIMEDOUT, .may_retry = true, .is_outage = true};
    engine_call_drop_easy(c, false);
    engine_call_move(c, ENGINE_CALL_LATER);
    engine_attempt_ended(c, &v);
    return true;
}

void engine__calls_settle(struct engine *e)
{
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(e->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        struct engine_call *c = NULL;
        CURLcode code = message->data.result;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)(void *)&c);
        ASSERT(c != NULL);
        ASSERT(c->state == ENGINE_CALL_RUNNING);
        const struct engine_verdict v = engine_call_verdict(c, code);
        engine_attempt_ended(c, &v);
    }
    uint64_t now = clock_mono_ms();
    while (engine_end_stalled(e, now))
        ;
}

/* --- its begin -------------------------------------------------------------------------------- */

static void engine_call_begin(struct engine_call *c)
{
    struct engine *e = c->engine;
    if (e->is_ending && c->at_end != ENGINE_END_RUN) {
        engine_call_finish(c, -ECANCELED);
        return;
    }
    if (!c->is_forced && !fetch_circuit_admits(c->circuit, c)) {
        if (c->tries == 0)
            (void)snprintf(c->why, sizeof c->why, "not tried: it failed too often lately");
        engine_call_finish(c, c->last_result < 0 ? c->last_result : -EHOSTDOWN);
        return;
    }
    c->tries++;
    int r = engine_call_run(c);
    if (r < 0) {
        (void)snprintf(c->why, sizeof c->why, "cannot be sent: %s", strerrordesc_np(-r));
        engine_call_finish(c, r);
    }
}

static struct engine_call *engine_next_ready(struct engine *e)
{
    unsigned max = e->options.transfers_max;
    if (e->running_count >= max)
        return NULL;
    if (e->reads.first != NULL)
        return e->reads.first;
    /* Uploads are large and nobody waits for them: reads find room beside them. */
    return e->running_writes < MAX(max - max / 4, 1u) ? e->writes.first : NULL;
}

void engine__calls_begin(struct engine *e)
{
    uint64_t now = clock_mono_ms();
    for (struct engine_call *c = e->later.first, *next; c != NULL; c = next) {
        next = c->next;
        if (c->due_ms <= now)
            engine_call_move(c, ENGINE_CALL_READY);
    }
    struct engine_call *c;
    while ((c = engine_next_ready(e)) != NULL)
        engine_call_begin(c);
}

uint64_t engine__calls_wait_ms(const struct engine *e)
{
    uint64_t now = clock_mono_ms();
    uint64_t wait_ms = UINT64_MAX;
    for (const struct engine_call *c = e->later.first; c != NULL; c = c->next)
        wait_ms = MIN(wait_ms, c->due_ms > now ? c->due_ms - now : 0);
    if (e->running.first != NULL)
        wait_ms = MIN(wait_ms, (uint64_t)e->options.stall_ms / 4 + 1);
    return wait_ms;
}

bool engine__calls_none(const struct engine *e)
{
    return e->reads.first == NULL && e->writes.first == NULL && e->later.first == NULL &&
           e->running.first == NULL;
}

/* --- the interface ---------------------------------------------------------------------------- */

void engine_call(struct engine *e, struct engine_call *c)
{
    ASSERT(c->state == ENGINE_CALL_IDLE);
    ASSERT(c->judge != NULL && c->done != NULL && c->circuit != NULL);
    c->engine = e;
    c->tries = 0;
    c->last_result = 0;
    c->retries = MIN(c->retries, (unsigned)ENGINE_RETRIES_MAX);
    engine_call_move(c, ENGINE_CALL_READY);
}

void engine_call_cancel(struct engine_call *c)
{
    ASSERT(c->state != ENGINE_CALL_IDLE);
    engine_call_drop_easy(c, false);
    engine_call_finish(c, -ECANCELED);
}

static struct engine_call *engine_find(struct engine *e, bool all)
{
    const struct engine_list *const lists[] = {&e->reads, &e->writes, &e->later, &e->running};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        for (struct engine_call *c = lists[i]->first; c != NULL; c = c->next)
            if (all || c->at_end == ENGINE_END_CUT ||
                (c->at_end == ENGINE_END_FINISH && c->state != ENGINE_CALL_RUNNING))
                return c;
    return NULL;
}

/* Owners may begin new ones when told: those are found too, or refused when their turn comes. */
void engine__calls_end(struct engine *e, bool all)
{
    struct engine_call *c;
    while ((c = engine_find(e, all)) != NULL)
        engine_call_cancel(c);
}

void engine_call_clear(struct engine_call *c)
{
    ASSERT(c->state == ENGINE_CALL_IDLE);
    buf_free(&c->url);
    buf_free(&c->text);
    c->blob = rbuf_unref(c->blob);
    *c = (struct engine_call){.method = NULL};
}

struct engine_verdict engine_judge_status(struct engine_call *c)
{
    unsigned s = c->status;
    struct engine_verdict v = {.res = 0};
    if (s >= 200 && s < 300)
        return v;
    (void)snprintf(c->why, sizeof c->why, "the answer is %u", s);
    if (s == 404 || s == 410)
        v.res = -ENOENT;
    else if (s == 401 || s == 403)
        v.res = -EACCES;
    else if (s == 507)
        v.res = -ENOSPC;
    else if (s == 408 || s == 429)
        v = (struct engine_verdict){.res = -EHOSTDOWN, .may_retry = true, .is_silent = true};
    else if (s >= 500 && s != 501 && s != 505)
        v = (struct engine_verdict){.res = -EHOSTDOWN, .may_retry = true, .is_outage = true};
    else
        v.res = -EBADMSG; /* a redirect too: the address is another, and somebody must say so */
    return v;
}
