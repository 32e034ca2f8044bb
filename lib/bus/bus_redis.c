/* SPDX-License-Identifier: Apache-2.0 */
/* Calls over one connection, in order; messages over a second one, made with the first
 * subscription.
 *
 *   call -> waiting (no connection yet) -> sent -> answered
 *              |                             `-> the connection breaks: -ECONNRESET
 *              `-> the attempt fails: -EHOSTDOWN
 *   While attempts fail, calls end with -EHOSTDOWN on the next turn: nobody waits for what is away.
 *
 * Invariants:
 *  1. Answers come in the order of the calls in sent.
 *  2. A call is in exactly one of waiting, sent and ended; its callback is called when it leaves
 *     the last of them.
 *  3. answer_timer runs while sent is not empty, due when its first has waited answer_ms. */
#include "bus/bus.h"
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/enc.h"
#include "bus/bus_priv.h"
#include "bus/redis_link.h"
#include "bus/redis_sub.h"

#define REDIS_CONNECT_MS  2000
#define REDIS_ANSWER_MS   2000
#define REDIS_SCRIPTS_MAX 32
#define REDIS_SHA_SIZE    41
#define REDIS_WORDS_MAX   (BUS_ARGS_MAX + 3)

enum redis_kind { CALL_PLAIN, CALL_COUNT, CALL_GET, CALL_SWAP };

struct redis_call {
    struct redis_call *next;
    bus_done *cb;
    void *arg;
    int res; /* once it has ended without an answer */
    enum redis_kind kind;
    uint64_t sent_ms;
    const char *script; /* NULL: none; words[1] is its hash */
    unsigned words_count;
    struct str words[]; /* their bytes are behind the last */
};

struct redis_calls {
    struct redis_call *first, **last;
};

struct redis_script {
    const char *text;
    char sha[REDIS_SHA_SIZE];
};

struct bus_redis {
    struct bus bus;
    struct redis_target target;
    struct redis_link *link;
    struct redis_sub *sub; /* NULL: nothing was subscribed yet */
    uint32_t connect_ms;
    uint32_t answer_ms;
    struct redis_calls waiting, sent, ended;
    unsigned calls_count;
    struct loop_timer answer_timer;
    struct loop_timer ended_timer;
    struct redis_script scripts[REDIS_SCRIPTS_MAX];
    unsigned scripts_count;
};

/* Answers a text: Lua's numbers hold 53 bits. */
static const char redis_count_script[] =
    "local fresh = redis.call('EXISTS', KEYS[1]) == 0\n"
    "redis.call('INCRBY', KEYS[1], ARGV[1])\n"
    "if fresh and ARGV[2] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end\n"
    "return redis.call('GET', KEYS[1])\n";

/* ARGV: has expected, expected, has fresh, fresh, life. Answers {1} or {0, what it holds}. */
static const char redis_swap_script[] =
    "local now = redis.call('GET', KEYS[1])\n"
    "if (now and true or false) ~= (ARGV[1] == '1') or (now and now ~= ARGV[2]) then\n"
    "  return {0, now}\n"
    "end\n"
    "if ARGV[3] == '0' then redis.call('DEL', KEYS[1])\n"
    "elseif ARGV[5] == '0' then redis.call('SET', KEYS[1], ARGV[4])\n"
    "else redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5]) end\n"
    "return {1}\n";

/* ARGV: text, keep. */
static const char redis_stream_add_script[] =
    "return redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[2], '*', 't', ARGV[1])\n";

/* ARGV: group, reader, count, idle. Those whose reader has left them are taken over first: of the
 * oldest that are under way as many are looked at as the group may have. One that was cut off the
 * stream meanwhile is dealt with. */
static const char redis_stream_read_script[] =
    "local key, group, reader, count = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])\n"
    "local made = redis.pcall('XGROUP', 'CREATE', key, group, '0', 'MKSTREAM')\n"
    "if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end\n"
    "local out = {}\n"
    "local function put(messages)\n"
    "  for _, m in ipairs(messages) do\n"
    "    if m and m[2] and #out < count then out[#out + 1] = {m[1], m[2][2]} end\n"
    "  end\n"
    "end\n"
    "for _, p in ipairs(redis.call('XPENDING', key, group, '-', '+', '1000')) do\n"
    "  if #out >= count then break end\n"
    "  if p[3] >= tonumber(ARGV[4]) then\n"
    "    local before = #out\n"
    "    put(redis.call('XCLAIM', key, group, reader, ARGV[4], p[1]))\n"
    "    if #out == before then redis.call('XACK', key, group, p[1]) end\n"
    "  end\n"
    "end\n"
    "if #out < count then\n"
    "  local fresh = redis.call('XREADGROUP', 'GROUP', group, reader, 'COUNT', count - #out,\n"
    "    'STREAMS', key, '>')\n"
    "  if fresh then put(fresh[1][2]) end\n"
    "end\n"
    "return out\n";

/* --- queues ----------------------------------------------------------------------------------- */

static void calls_put(struct redis_calls *q, struct redis_call *c)
{
    c->next = NULL;
    *q->last = c;
    q->last = &c->next;
}

static struct redis_call *calls_take(struct redis_calls *q)
{
    struct redis_call *c = q->first;
    if (c != NULL) {
        q->first = c->next;
        if (q->first == NULL)
            q->last = &q->first;
    }
    return c;
}

static struct redis_call *calls_take_all(struct redis_calls *q)
{
    struct redis_call *c = q->first;
    q->first = NULL;
    q->last = &q->first;
    return c;
}

static void redis_finish(struct bus_redis *b, struct redis_call *c, int res,
                         const struct bus_answer *answer)
{
    static const struct bus_answer none = {.kind = BUS_NONE};
    ASSERT(b->calls_count > 0);
    b->calls_count--;
    c->cb(c->arg, res, answer != NULL ? answer : &none);
    free(c);
}

static void redis_finish_all(struct bus_redis *b, struct redis_calls *q, int res)
{
    struct redis_call *c = calls_take_all(q);
    while (c != NULL) {
        struct redis_call *next = c->next;
        redis_finish(b, c, c->res < 0 ? c->res : res, NULL);
        c = next;
    }
}

static void redis_on_ended(void *arg)
{
    struct bus_redis *b = arg;
    redis_finish_all(b, &b->ended, -EHOSTDOWN);
}

/* --- sending ---------------------------------------------------------------------------------- */

static void redis_on_late(void *arg)
{
    struct bus_redis *b = arg;
    redis_link_break(b->link, -ETIMEDOUT);
}

static void redis_watch_answers(struct bus_redis *b)
{
    const struct redis_call *first = b->sent.first;
    if (first == NULL) {
        loop_timer_stop(&b->answer_timer);
        return;
    }
    uint64_t due_ms = first->sent_ms + b->answer_ms;
    uint64_t now_ms = clock_mono_ms();
    loop_timer_start(b->bus.loop, &b->answer_timer, due_ms > now_ms ? due_ms - now_ms : 0,
                     redis_on_late, b);
}

static void redis_send(struct bus_redis *b, struct redis_call *c)
{
    int r = redis_link_send(b->link, c->words, c->words_count);
    if (r < 0) {
        c->res = r;
        calls_put(&b->ended, c);
        loop_timer_start(b->bus.loop, &b->ended_timer, 0, redis_on_ended, b);
        return;
    }
    c->sent_ms = clock_mono_ms();
    bool was_empty = b->sent.first == NULL;
    calls_put(&b->sent, c);
    if (was_empty)
        redis_watch_answers(b);
}

static int redis_call_new(struct bus_redis *b, enum redis_kind kind, const char *script,
                          const struct str *words, unsigned count, bus_done *cb, void *arg)
{
    ASSERT(count <= REDIS_WORDS_MAX);
    if (b->calls_count >= BUS_CALLS_MAX)
        return -ENOBUFS;
    size_t size = 0;
    for (unsigned i = 0; i < count; i++)
        size += words[i].size;
    struct redis_call *c = malloc(sizeof *c + count * sizeof c->words[0] + size);
    if (c == NULL)
        return -ENOMEM;
    *c = (struct redis_call){
        .cb = cb, .arg = arg, .kind = kind, .script = script, .words_count = count};
    char *at = (char *)&c->words[count];
    for (unsigned i = 0; i < count; i++) {
        c->words[i] = (struct str){at, words[i].size};
        if (words[i].size > 0)
            memcpy(at, words[i].data, words[i].size);
        at += words[i].size;
    }
    b->calls_count++;
    if (redis_link_is_up(b->link)) {
        redis_send(b, c);
    } else if (redis_link_is_away(b->link)) {
        calls_put(&b->ended, c);
        loop_timer_start(b->bus.loop, &b->ended_timer, 0, redis_on_ended, b);
    } else {
        calls_put(&b->waiting, c);
    }
    return 0;
}

static int redis_sha(struct bus_redis *b, const char *script, struct str *ret)
{
    for (unsigned i = 0; i < b->scripts_count; i++) {
        if (b->scripts[i].text == script) {
            *ret = str_of(b->scripts[i].sha);
            return 0;
        }
    }
    ASSERT(b->scripts_count < REDIS_SCRIPTS_MAX); /* scripts are static texts of ours */
    uint8_t sha[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (EVP_Digest(script, strlen(script), sha, &size, EVP_sha1(), NULL) != 1 || size != 20)
        return -EOPNOTSUPP; /* a library that has no SHA-1 at all */
    struct redis_script *s = &b->scripts[b->scripts_count++];
    s->text = script;
    enc_hex(sha, size, s->sha);
    *ret = str_of(s->sha);
    return 0;
}

/* EVALSHA; NOSCRIPT is answered by an EVAL of the same words. */
static int redis_eval(struct bus_redis *b, enum redis_kind kind, const char *script,
                      const struct str *keys, unsigned keys_count, const struct str *args,
                      unsigned args_count, bus_done *cb, void *arg)
{
    struct str words[REDIS_WORDS_MAX];
    char count[16];
    unsigned n = 0;
    int r = redis_sha(b, script, &words[1]);
    if (r < 0)
        return r;
    (void)snprintf(count, sizeof count, "%u", keys_count); /* sized to fit */
    words[n++] = STR("EVALSHA");
    n++;
    words[n++] = str_of(count);
    for (unsigned i = 0; i < keys_count; i++)
        words[n++] = keys[i];
    for (unsigned i = 0; i < args_count; i++)
        words[n++] = args[i];
    return redis_call_new(b, kind, script, words, n, cb, arg);
}

/* --- answers ---------------------------------------------------------------------------------- */

static const struct {
    const char *prefix;
    int error;
} redis_errors[] = {
    {"LOADING", -EHOSTDOWN},     {"BUSY", -EHOSTDOWN},     {"MASTERDOWN", -EHOSTDOWN},
    {"CLUSTERDOWN", -EHOSTDOWN}, {"TRYAGAIN", -EHOSTDOWN}, {"READONLY", -EHOSTDOWN},
    {"MISCONF", -EHOSTDOWN},     {"OOM", -EHOSTDOWN},      {"NOREPLICAS", -EHOSTDOWN},
    {"NOAUTH", -EACCES},         {"NOPERM", -EACCES},
};

static int redis_error_of(struct str error)
{
    for (size_t i = 0; i < ARRAY_LEN(redis_errors); i++)
        if (str_starts(error, str_of(redis_errors[i].prefix)))
            return redis_errors[i].error;
    return -EPROTO;
}

static void redis_finish_count(struct bus_redis *b, struct redis_call *c,
                               const struct bus_answer *answer)
{
    struct bus_answer number = {.kind = BUS_NUMBER};
    if (answer->kind != BUS_TEXT || str_to_i64(answer->text, &number.number) < 0)
        redis_finish(b, c, -EBADMSG, NULL);
    else
        redis_finish(b, c, 0, &number);
}

static void redis_finish_swap(struct bus_redis *b, struct redis_call *c,
                              const struct bus_answer *answer)
{
    const struct bus_answer *items = answer->items;
    if (answer->kind != BUS_LIST || answer->count < 1 || items[0].kind != BUS_NUMBER)
        redis_finish(b, c, -EBADMSG, NULL);
    else if (items[0].number == 1)
        redis_finish(b, c, 0, NULL);
    else
        redis_finish(b, c, -ESTALE, answer->count > 1 ? &items[1] : NULL);
}

static void redis_on_answer(void *arg, const struct bus_answer *answer, struct str error)
{
    struct bus_redis *b = arg;
    struct redis_call *c = calls_take(&b->sent);
    if (c == NULL) {
        redis_link_break(b->link, -EBADMSG); /* an answer that nobody has asked for */
        return;
    }
    redis_watch_answers(b);
    if (error.data != NULL && c->script != NULL && str_starts(error, STR("NOSCRIPT"))) {
        c->words[0] = STR("EVAL");
        c->words[1] = str_of(c->script);
        c->script = NULL;
        redis_send(b, c);
        return;
    }
    if (error.data != NULL) {
        redis_finish(b, c, redis_error_of(error), answer);
        /* A primary that became a replica: the name may lead to another one by now. */
        if (str_starts(error, STR("READONLY")))
            redis_link_break(b->link, -ECONNRESET);
        return;
    }
    if (c->kind == CALL_GET)
        redis_finish(b, c, answer->kind == BUS_TEXT ? 0 : -ENOENT, answer);
    else if (c->kind == CALL_COUNT)
        redis_finish_count(b, c, answer);
    else if (c->kind == CALL_SWAP)
        redis_finish_swap(b, c, answer);
    else
        redis_finish(b, c, 0, answer);
}

static void redis_on_up(void *arg)
{
    struct bus_redis *b = arg;
    struct redis_call *c = calls_take_all(&b->waiting);
    while (c != NULL) {
        struct redis_call *next = c->next;
        redis_send(b, c);
        c = next;
    }
}

static void redis_on_down(void *arg, int error)
{
    struct bus_redis *b = arg;
    loop_timer_stop(&b->answer_timer);
    redis_finish_all(b, &b->sent, error == -ETIMEDOUT ? -ETIMEDOUT : -ECONNRESET);
    redis_finish_all(b, &b->waiting, -EHOSTDOWN);
}

/* --- the table -------------------------------------------------------------------------------- */

static int redis_publish(struct bus *bus, struct str channel, struct str text, bus_done *cb,
                         void *arg)
{
    struct str words[] = {STR("PUBLISH"), channel, text};
    return redis_call_new((struct bus_redis *)bus, CALL_PLAIN, NULL, words, 3, cb, arg);
}

static int redis_subscribe(struct bus *bus, struct bus_sub *s)
{
    struct bus_redis *b = (struct bus_redis *)bus;
    int r = 0;
    if (b->sub == NULL)
        r = redis_sub_new(bus, &b->target, b->connect_ms, b->answer_ms, &b->sub);
    if (r == 0)
        redis_sub_add(b->sub, bus_sub_channel(s));
    return r;
}

static void redis_unsubscribe(struct bus *bus, struct bus_sub *s)
{
    redis_sub_remove(((struct bus_redis *)bus)->sub, bus_sub_channel(s));
}

static int redis_count(struct bus *bus, struct str key, int64_t by, uint64_t life_ms, bus_done *cb,
                       void *arg)
{
    char texts[2][24];
    (void)snprintf(texts[0], sizeof texts[0], "%" PRId64, by); /* both sized to fit */
    (void)snprintf(texts[1], sizeof texts[1], "%" PRIu64, life_ms);
    struct str args[] = {str_of(texts[0]), str_of(texts[1])};
    return redis_eval((struct bus_redis *)bus, CALL_COUNT, redis_count_script, &key, 1, args, 2, cb,
                      arg);
}

static int redis_get(struct bus *bus, struct str key, bus_done *cb, void *arg)
{
    struct str words[] = {STR("GET"), key};
    return redis_call_new((struct bus_redis *)bus, CALL_GET, NULL, words, 2, cb, arg);
}

static int redis_swap(struct bus *bus, struct str key, struct str expected, struct str fresh,
                      uint64_t life_ms, bus_done *cb, void *arg)
{
    char life[24];
    (void)snprintf(life, sizeof life, "%" PRIu64, life_ms); /* sized to fit */
    struct str args[] = {expected.data != NULL ? STR("1") : STR("0"), expected,
                         fresh.data != NULL ? STR("1") : STR("0"), fresh, str_of(life)};
    return redis_eval((struct bus_redis *)bus, CALL_SWAP, redis_swap_script, &key, 1, args, 5, cb,
                      arg);
}

static int redis_stream_add(struct bus *bus, struct str key, struct str text, uint64_t keep,
                            bus_done *cb, void *arg)
{
    char most[24];
    (void)snprintf(most, sizeof most, "%" PRIu64, keep); /* sized to fit */
    struct str args[] = {text, str_of(most)};
    return redis_eval((struct bus_redis *)bus, CALL_PLAIN, redis_stream_add_script, &key, 1, args,
                      2, cb, arg);
}

static int redis_stream_read(struct bus *bus, const struct bus_stream_read *read, bus_done *cb,
                             void *arg)
{
    char count[16];
    char idle[24];
    (void)snprintf(count, sizeof count, "%u", read->count); /* both sized to fit */
    (void)snprintf(idle, sizeof idle, "%" PRIu64, read->idle_ms);
    struct str args[] = {read->group, read->reader, str_of(count), str_of(idle)};
    return redis_eval((struct bus_redis *)bus, CALL_PLAIN, redis_stream_read_script, &read->key, 1,
                      args, 4, cb, arg);
}

static int redis_stream_ack(struct bus *bus, struct str key, struct str group, struct str id,
                            bus_done *cb, void *arg)
{
    struct str words[] = {STR("XACK"), key, group, id};
    return redis_call_new((struct bus_redis *)bus, CALL_PLAIN, NULL, words, 4, cb, arg);
}

static int redis_script(struct bus *bus, const struct bus_script_call *call, bus_done *cb,
                        void *arg)
{
    return redis_eval((struct bus_redis *)bus, CALL_PLAIN, call->static_text, call->keys,
                      call->keys_count, call->args, call->args_count, cb, arg);
}

static void redis_close(struct bus *bus)
{
    struct bus_redis *b = (struct bus_redis *)bus;
    loop_timer_stop(&b->answer_timer);
    loop_timer_stop(&b->ended_timer);
    redis_sub_free(b->sub);
    redis_finish_all(b, &b->sent, -ECANCELED);
    redis_finish_all(b, &b->waiting, -ECANCELED);
    redis_finish_all(b, &b->ended, -ECANCELED);
    redis_link_free(b->link);
    redis_target_clear(&b->target);
    MAGIC_CLEAR(&b->bus);
    free(b);
}

int bus_check_redis(const struct bus_redis_options *options, struct err *err)
{
    struct redis_target t;
    int r = redis_target_load(options, &t, err);
    if (r == 0)
        redis_target_clear(&t);
    return r;
}

int bus_open_redis(const struct bus_redis_options *options, struct loop *loop, struct err *err,
                   struct bus **ret)
{
    static const struct bus_ops ops = {
        .close = redis_close,
        .publish = redis_publish,
        .subscribe = redis_subscribe,
        .unsubscribe = redis_unsubscribe,
        .count = redis_count,
        .get = redis_get,
        .swap = redis_swap,
        .stream_add = redis_stream_add,
        .stream_read = redis_stream_read,
        .stream_ack = redis_stream_ack,
        .script = redis_script,
    };
    static const struct redis_link_ops link_ops = {redis_on_up, redis_on_answer, redis_on_down};
    struct bus_redis *b = calloc(1, sizeof *b);
    if (b == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    b->bus = (struct bus){.magic = BUS_MAGIC, .ops = &ops, .loop = loop};
    b->connect_ms = options->connect_ms != 0 ? options->connect_ms : REDIS_CONNECT_MS;
    b->answer_ms = options->answer_ms != 0 ? options->answer_ms : REDIS_ANSWER_MS;
    b->waiting.last = &b->waiting.first;
    b->sent.last = &b->sent.first;
    b->ended.last = &b->ended.first;
    int r = redis_target_load(options, &b->target, err);
    if (r < 0) {
        free(b);
        return r;
    }
    r = redis_link_new(loop, &b->target, b->connect_ms, &link_ops, b, &b->link);
    if (r < 0) {
        redis_target_clear(&b->target);
        free(b);
        return err_set(err, r, "out of memory");
    }
    *ret = &b->bus;
    return 0;
}
