/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/fetch.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/backoff.h"
#include "base/clock.h"
#include "fetch/fetch_priv.h"

static void fetch_op_begin(void *arg);

static void fetch_op_check(const struct fetch_op *op)
{
    ASSERT(op != NULL);
    ASSERT(op->magic == FETCH_OP_MAGIC);
}

/* --- memory ----------------------------------------------------------------------------------- */

static void fetch_op_unlink(struct fetch_op *op)
{
    struct fetch *f = op->fetch;
    if (op->prev != NULL)
        op->prev->next = op->next;
    else
        f->ops = op->next;
    if (op->next != NULL)
        op->next->prev = op->prev;
    op->next = op->prev = NULL;
}

static void fetch_op_drop_easy(struct fetch_op *op)
{
    struct fetch *f = op->fetch;
    ASSERT(f->in_library == 0);
    loop_timer_stop(&op->timer);
    loop_timer_stop(&op->body_timer);
    if (op->easy == NULL)
        return;
    /* libcurl 7.88 keeps an HTTP/2 stream's reset in its output buffer until the connection is next
     * used. So one taken back that was alone on its connection takes that along; where others are
     * on it, their traffic carries the reset. */
    if (!op->is_complete)
        (void)curl_easy_setopt(op->easy, CURLOPT_FORBID_REUSE, 1L); /* at worst it resets late */
    f->in_library++;
    CURLMcode code = curl_multi_remove_handle(op->multi->curl, op->easy);
    f->in_library--;
    ASSERT(code == CURLM_OK);
    fetch__easy_give(f, op->easy);
    op->easy = NULL;
    op->is_held = false;
}

void fetch__op_free(struct fetch_op *op)
{
    fetch_op_check(op);
    fetch_op_drop_easy(op);
    if (op->host != NULL)
        fetch_circuit_forget(&op->host->circuit, op);
    curl_slist_free_all(op->headers);
    (void)rbuf_unref(op->body);
    free(op->method);
    free(op->url);
    buf_free(&op->lines.text);
    free(op->unix_socket);
    MAGIC_CLEAR(op);
    free(op);
}

/* --- the end of an attempt -------------------------------------------------------------------- */

static void fetch_op_finish(struct fetch_op *op, int res)
{
    struct fetch *f = op->fetch;
    op->is_done = true;
    fetch_op_unlink(op);
    fetch_op_drop_easy(op);
    fetch_circuit_forget(&op->host->circuit, op);
    op->host = NULL; /* on_done may start others, and that may forget hosts */
    (void)snprintf(f->error_text, sizeof f->error_text, "%s", op->error_text);
    if (op->on_done != NULL)
        op->on_done(op->arg, res, op->status);
    fetch__op_free(op);
}

static bool fetch_op_may_retry(const struct fetch_op *op, int res)
{
    return res < 0 && op->is_idempotent && !op->head_given && op->callback_result == 0 &&
           op->tries <= op->fetch->options.retries && res != -EINVAL && res != -ENOMEM &&
           res != -EBADMSG; /* what speaks no HTTP, or has no valid certificate, keeps doing so */
}

static void fetch_op_ended(struct fetch_op *op, int res)
{
    struct fetch *f = op->fetch;
    if (op->callback_result < 0) {
        res = op->callback_result;
        fetch_circuit_forget(&op->host->circuit, op); /* our own doing says nothing of the host */
    } else if (res != -ENOMEM) {
        fetch_circuit_result(&op->host->circuit, op, res == 0);
    }
    if (!fetch_op_may_retry(op, res)) {
        fetch_op_finish(op, res);
        return;
    }
    op->last_result = res;
    fetch_op_drop_easy(op);
    uint64_t wait_ms = backoff_ms(op->tries, FETCH_BACKOFF_MS, FETCH_BACKOFF_MS_MAX);
    loop_timer_start(f->loop, &op->timer, wait_ms, fetch_op_begin, op);
}

void fetch__op_attempt_ended(struct fetch_op *op, CURLcode code)
{
    fetch_op_check(op);
    if (op->is_dead)
        return; /* freed from the list of the dead */
    op->is_complete = true;
    int res = fetch__result_of(code);
    if (res == 0 && !op->head_given)
        res = -EBADMSG; /* nothing but interim answers */
    if (res == 0 && op->close_counts && !op->close_seen)
        res = -ECONNRESET;
    fetch_op_ended(op, res);
}

/* --- an attempt ------------------------------------------------------------------------------- */

static void fetch_op_on_stall_timer(void *arg)
{
    struct fetch_op *op = arg;
    struct fetch *f = op->fetch;
    fetch_op_check(op);
    uint64_t now = clock_mono_ms();
    uint64_t moved = fetch__easy_moved(op->easy);
    if (moved != op->moved || op->body_waits) {
        op->moved = moved;
        op->moved_ms = now;
    }
    uint64_t idle = now - op->moved_ms;
    if (idle < op->stall_ms) {
        uint64_t turn = MIN(op->stall_ms - idle, op->stall_ms / 4 + 1);
        loop_timer_start(f->loop, &op->timer, turn, fetch_op_on_stall_timer, op);
        return;
    }
    (void)snprintf(op->error_text, sizeof op->error_text, "no byte for %u ms",
                   (unsigned)op->stall_ms);
    fetch_op_ended(op, -ETIMEDOUT);
    fetch__settle(f);
}

static void fetch_op_watch(struct fetch_op *op)
{
    op->moved_ms = clock_mono_ms();
    if (!op->is_paused)
        loop_timer_start(op->fetch->loop, &op->timer, op->stall_ms / 4 + 1, fetch_op_on_stall_timer,
                         op);
}

static int fetch_op_run(struct fetch_op *op)
{
    struct fetch *f = op->fetch;
    op->easy = fetch__easy_take(f);
    if (op->easy == NULL)
        return -ENOMEM;
    op->is_complete = false;
    int r = fetch__easy_set(op);
    if (r == 0) {
        f->in_library++;
        CURLMcode code = curl_multi_add_handle(op->multi->curl, op->easy);
        f->in_library--;
        if (code != CURLM_OK)
            r = code == CURLM_OUT_OF_MEMORY ? -ENOMEM : -EIO;
    }
    if (r < 0) {
        fetch__easy_give(f, op->easy);
        op->easy = NULL;
        return r;
    }
    op->moved = 0;
    fetch_op_watch(op);
    return 0;
}

/* --- pauses ----------------------------------------------------------------------------------- */

/* What the library holds comes now, by on_data, which may pause again. */
static void fetch_op_go_on(void *arg)
{
    struct fetch_op *op = arg;
    struct fetch *f = op->fetch;
    fetch_op_check(op);
    ASSERT(f->in_library == 0);
    op->is_held = false;
    f->in_library++;
    CURLcode code = curl_easy_pause(op->easy, CURLPAUSE_CONT);
    f->in_library--;
    if (!op->is_dead) {
        if (code != CURLE_OK) {
            op->is_complete = false;
            fetch_op_ended(op, fetch__result_of(code));
        } else {
            fetch_op_watch(op);
        }
    }
    fetch__settle(f);
}

void fetch_pause(struct fetch_op *op, bool paused)
{
    fetch_op_check(op);
    ASSERT(op->may_pause);
    if (op->is_done || op->is_dead || op->is_paused == paused)
        return;
    op->is_paused = paused;
    if (op->easy == NULL)
        return; /* its begin is still to come */
    if (paused) /* the library hears of it with the next bytes */
        loop_timer_stop(&op->timer);
    else if (op->is_held)
        loop_timer_start(op->fetch->loop, &op->timer, 0, fetch_op_go_on, op);
    else
        fetch_op_watch(op);
}

/* --- a body by pieces ------------------------------------------------------------------------- */

static void fetch_op_on_body_more(void *arg)
{
    struct fetch_op *op = arg;
    struct fetch *f = op->fetch;
    fetch_op_check(op);
    ASSERT(f->in_library == 0);
    op->body_waits = false;
    f->in_library++;
    CURLcode code = curl_easy_pause(op->easy, CURLPAUSE_CONT);
    f->in_library--;
    if (!op->is_dead && code != CURLE_OK) {
        op->is_complete = false;
        fetch_op_ended(op, fetch__result_of(code));
    }
    fetch__settle(f);
}

void fetch_body_more(struct fetch_op *op)
{
    fetch_op_check(op);
    if (!op->is_done && !op->is_dead && op->easy != NULL && op->body_waits)
        loop_timer_start(op->fetch->loop, &op->body_timer, 0, fetch_op_on_body_more, op);
}

static void fetch_op_begin(void *arg)
{
    struct fetch_op *op = arg;
    struct fetch *f = op->fetch;
    fetch_op_check(op);
    ASSERT(f->in_library == 0);
    bool admitted = fetch_circuit_admits(&op->host->circuit, op);
    if (!admitted && op->host->circuit.probe != NULL) {
        uint64_t now_ms = clock_mono_ms();
        if (op->waits_until_ms == 0)
            op->waits_until_ms = now_ms + FETCH_PROBE_WAIT_MS;
        if (now_ms < op->waits_until_ms) {
            loop_timer_start(f->loop, &op->timer, FETCH_PROBE_TURN_MS, fetch_op_begin, op);
            return;
        }
    }
    if (!admitted) {
        (void)snprintf(op->error_text, sizeof op->error_text, "the host's circuit is open");
        fetch_op_finish(op, op->last_result < 0 ? op->last_result : -EHOSTDOWN);
        return;
    }
    op->tries++;
    int r = fetch_op_run(op);
    if (r < 0) {
        fetch_circuit_forget(&op->host->circuit, op);
        fetch_op_finish(op, r);
    }
}

/* --- the interface ---------------------------------------------------------------------------- */

static bool fetch_is_line(const char *s)
{
    for (; s != NULL && *s != '\0'; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return false;
    return true;
}

static int fetch_copy(const char *from, char **to)
{
    if (from == NULL)
        return 0;
    *to = str_dup(str_of(from));
    return *to == NULL ? -ENOMEM : 0;
}

static bool fetch_is_idempotent(struct str method)
{
    static const char *const names[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(method, str_of(names[i])))
            return true;
    return false;
}

static int fetch_op_init(struct fetch_op *op, const struct fetch_request *q)
{
    if (q->method == NULL || q->method[0] == '\0' || q->url == NULL)
        return -EINVAL;
    if (!fetch_is_line(q->method) || !fetch_is_line(q->url) || !fetch_is_line(q->bearer) ||
        !fetch_is_line(q->trace_id) || !fetch_is_line(q->type))
        return -EINVAL;
    int r = fetch__fields_set(op, q);
    if (r == 0)
        r = fetch_copy(q->method, &op->method);
    if (r == 0)
        r = fetch_copy(q->url, &op->url);
    if (r == 0)
        r = fetch_copy(q->unix_socket, &op->unix_socket);
    if (r == 0)
        r = fetch__host_of(op->fetch, q->url, q->unix_socket, &op->host);
    if (r < 0)
        return r;
    if (q->on_body != NULL && (q->shared || q->body != NULL))
        return -EINVAL;
    op->body = q->body != NULL ? rbuf_ref(q->body) : NULL;
    op->is_idempotent = q->on_body == NULL && fetch_is_idempotent(str_of(q->method));
    op->stall_ms = q->stall_ms != 0 ? q->stall_ms : op->fetch->options.stall_ms;
    op->is_head = str_eq(str_of(q->method), STR("HEAD"));
    bool is_https = str_starts(str_of(q->url), STR("https:"));
    op->is_shared = q->shared && is_https && op->fetch->options.http2;
    op->may_pause = !q->shared && q->on_body == NULL; /* one pause at a time */
    op->on_body = q->on_body;
    op->multi = &op->fetch->multis[op->is_shared ? FETCH_SHARED : FETCH_ALONE];
    op->on_head = q->on_head;
    op->on_data = q->on_data;
    op->on_done = q->on_done;
    op->arg = q->arg;
    return 0;
}

int fetch_start(struct fetch *f, const struct fetch_request *request, struct fetch_op **ret)
{
    ASSERT(f != NULL);
    ASSERT(f->magic == FETCH_MAGIC);
    ASSERT(request != NULL);
    struct fetch_op *op = calloc(1, sizeof *op);
    if (op == NULL)
        return -ENOMEM;
    op->magic = FETCH_OP_MAGIC;
    op->fetch = f;
    int r = fetch_op_init(op, request);
    if (r < 0) {
        if (f->in_library > 0) { /* nothing of it is in the library, but free wants to be outside */
            op->is_dead = true;
            op->next = f->dead;
            f->dead = op;
        } else {
            fetch__op_free(op);
        }
        return r;
    }
    op->next = f->ops;
    if (f->ops != NULL)
        f->ops->prev = op;
    f->ops = op;
    /* Always on the loop's next turn: the caller has *ret by then, and no callback of the library
     * is on the stack. */
    loop_timer_start(f->loop, &op->timer, 0, fetch_op_begin, op);
    if (ret != NULL)
        *ret = op;
    return 0;
}

void fetch_cancel(struct fetch_op *op)
{
    fetch_op_check(op);
    struct fetch *f = op->fetch;
    if (op->is_done || op->is_dead)
        return; /* from its own on_done, or a second time within a callback */
    op->is_dead = true;
    fetch_op_unlink(op);
    loop_timer_stop(&op->timer);
    loop_timer_stop(&op->body_timer);
    if (f->in_library == 0) {
        fetch__op_free(op);
        return;
    }
    op->next = f->dead;
    f->dead = op;
}
