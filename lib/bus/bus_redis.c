/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of bus.h as commands and scripts of one key each, and what their answers mean. Who is
 * asked is redis_route's to know; messages come by a connection of their own, made with the first
 * subscription. While nobody can be reached, calls end with -EHOSTDOWN on the next turn: nobody
 * waits for what is away. */
#include "bus/bus.h"
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/enc.h"
#include "bus/bus_priv.h"
#include "bus/redis_route.h"
#include "bus/redis_slots.h"
#include "bus/redis_sub.h"

#define REDIS_CONNECT_MS 2000
#define REDIS_ANSWER_MS  2000

struct bus_redis {
    struct bus bus;
    struct redis_target target;
    struct redis_node_limits limits;
    struct redis_route *route;
    struct redis_sub *sub; /* NULL: nothing was subscribed yet */
    bool is_closing;
    unsigned calls_count;
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

/* --- calls ----------------------------------------------------------------------------------- */

static void redis_finish(struct bus_redis *b, struct redis_call *c, int res,
                         const struct bus_answer *answer)
{
    static const struct bus_answer none = {.kind = BUS_NONE};
    ASSERT(b->calls_count > 0);
    b->calls_count--;
    c->cb(c->arg, res, answer != NULL ? answer : &none);
    free(c);
}

struct redis_words {
    const struct redis_script *script; /* the first two words are left to it */
    struct str key;                    /* whose slot it is about, or that spreads the load */
    bool is_any;                       /* that it is not about */
    const struct str *at;
    unsigned count;
};

static int redis_call_new(struct bus_redis *b, enum redis_kind kind, const struct redis_words *w,
                          bus_done *cb, void *arg)
{
    ASSERT(w->count <= REDIS_WORDS_MAX);
    if (b->is_closing)
        return -ECANCELED;
    if (b->calls_count >= BUS_CALLS_MAX)
        return -ENOBUFS;
    size_t size = 0;
    for (unsigned i = 0; i < w->count; i++)
        size += w->at[i].size;
    struct redis_call *c = malloc(sizeof *c + w->count * sizeof c->words[0] + size);
    if (c == NULL)
        return -ENOMEM;
    *c = (struct redis_call){
        .cb = cb,
        .arg = arg,
        .kind = kind,
        .slot = redis_slot_of(w->key),
        .is_any = w->is_any,
        .script = w->script,
        .words_count = w->count,
    };
    char *at = (char *)&c->words[w->count];
    for (unsigned i = 0; i < w->count; i++) {
        c->words[i] = (struct str){at, w->at[i].size};
        if (w->at[i].size > 0)
            memcpy(at, w->at[i].data, w->at[i].size);
        at += w->at[i].size;
    }
    b->calls_count++;
    redis_route_call(b->route, c);
    return 0;
}

static int redis_plain(struct bus_redis *b, enum redis_kind kind, const struct str *words,
                       unsigned count, bus_done *cb, void *arg)
{
    const struct redis_words w = {.key = words[1], .at = words, .count = count};
    return redis_call_new(b, kind, &w, cb, arg);
}

static int redis_script_of(struct bus_redis *b, const char *text, const struct redis_script **ret)
{
    for (unsigned i = 0; i < b->scripts_count; i++) {
        if (b->scripts[i].text == text) {
            *ret = &b->scripts[i];
            return 0;
        }
    }
    ASSERT(b->scripts_count < REDIS_SCRIPTS_MAX); /* scripts are static texts of ours */
    uint8_t sha[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (EVP_Digest(text, strlen(text), sha, &size, EVP_sha1(), NULL) != 1 || size != 20)
        return -EOPNOTSUPP; /* a library that has no SHA-1 at all */
    struct redis_script *s = &b->scripts[b->scripts_count];
    s->text = text;
    s->index = b->scripts_count++;
    enc_hex(sha, size, s->sha);
    *ret = s;
    return 0;
}

static int redis_eval(struct bus_redis *b, enum redis_kind kind, const struct bus_script_call *call,
                      bus_done *cb, void *arg)
{
    struct str words[REDIS_WORDS_MAX] = {STR_NONE, STR_NONE};
    struct redis_words w = {.key = call->keys_count > 0 ? call->keys[0] : STR_NONE, .at = words};
    char count[16];
    unsigned n = 2;
    int r = redis_script_of(b, call->static_text, &w.script);
    if (r < 0)
        return r;
    (void)snprintf(count, sizeof count, "%u", call->keys_count); /* sized to fit */
    words[n++] = str_of(count);
    for (unsigned i = 0; i < call->keys_count; i++)
        words[n++] = call->keys[i];
    for (unsigned i = 0; i < call->args_count; i++)
        words[n++] = call->args[i];
    w.count = n;
    return redis_call_new(b, kind, &w, cb, arg);
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

static void redis_on_end(void *arg, struct redis_call *c, int res, const struct bus_answer *answer,
                         struct str error)
{
    struct bus_redis *b = arg;
    if (res == 0 && error.data != NULL)
        res = redis_error_of(error);
    if (res < 0)
        redis_finish(b, c, res, answer);
    else if (c->kind == CALL_GET)
        redis_finish(b, c, answer->kind == BUS_TEXT ? 0 : -ENOENT, answer);
    else if (c->kind == CALL_COUNT)
        redis_finish_count(b, c, answer);
    else if (c->kind == CALL_SWAP)
        redis_finish_swap(b, c, answer);
    else
        redis_finish(b, c, 0, answer);
}

static void redis_on_map(void *arg)
{
    struct bus_redis *b = arg;
    if (b->sub != NULL)
        redis_sub_look(b->sub);
}

/* --- the table -------------------------------------------------------------------------------- */

static int redis_publish(struct bus *bus, struct str channel, struct str text, bus_done *cb,
                         void *arg)
{
    struct str words[] = {STR("PUBLISH"), channel, text};
    const struct redis_words w = {.key = channel, .is_any = true, .at = words, .count = 3};
    return redis_call_new((struct bus_redis *)bus, CALL_PLAIN, &w, cb, arg);
}

static int redis_subscribe(struct bus *bus, struct bus_sub *s)
{
    struct bus_redis *b = (struct bus_redis *)bus;
    int r = 0;
    if (b->sub == NULL)
        r = redis_sub_new(bus, &b->target, &b->limits, b->route, &b->sub);
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
    const struct bus_script_call call = {redis_count_script, &key, 1, args, 2};
    return redis_eval((struct bus_redis *)bus, CALL_COUNT, &call, cb, arg);
}

static int redis_get(struct bus *bus, struct str key, bus_done *cb, void *arg)
{
    struct str words[] = {STR("GET"), key};
    return redis_plain((struct bus_redis *)bus, CALL_GET, words, 2, cb, arg);
}

static int redis_swap(struct bus *bus, struct str key, struct str expected, struct str fresh,
                      uint64_t life_ms, bus_done *cb, void *arg)
{
    char life[24];
    (void)snprintf(life, sizeof life, "%" PRIu64, life_ms); /* sized to fit */
    struct str args[] = {expected.data != NULL ? STR("1") : STR("0"), expected,
                         fresh.data != NULL ? STR("1") : STR("0"), fresh, str_of(life)};
    const struct bus_script_call call = {redis_swap_script, &key, 1, args, 5};
    return redis_eval((struct bus_redis *)bus, CALL_SWAP, &call, cb, arg);
}

static int redis_stream_add(struct bus *bus, struct str key, struct str text, uint64_t keep,
                            bus_done *cb, void *arg)
{
    char most[24];
    (void)snprintf(most, sizeof most, "%" PRIu64, keep); /* sized to fit */
    struct str args[] = {text, str_of(most)};
    const struct bus_script_call call = {redis_stream_add_script, &key, 1, args, 2};
    return redis_eval((struct bus_redis *)bus, CALL_PLAIN, &call, cb, arg);
}

static int redis_stream_read(struct bus *bus, const struct bus_stream_read *read, bus_done *cb,
                             void *arg)
{
    char count[16];
    char idle[24];
    (void)snprintf(count, sizeof count, "%u", read->count); /* both sized to fit */
    (void)snprintf(idle, sizeof idle, "%" PRIu64, read->idle_ms);
    struct str args[] = {read->group, read->reader, str_of(count), str_of(idle)};
    const struct bus_script_call call = {redis_stream_read_script, &read->key, 1, args, 4};
    return redis_eval((struct bus_redis *)bus, CALL_PLAIN, &call, cb, arg);
}

static int redis_stream_ack(struct bus *bus, struct str key, struct str group, struct str id,
                            bus_done *cb, void *arg)
{
    struct str words[] = {STR("XACK"), key, group, id};
    return redis_plain((struct bus_redis *)bus, CALL_PLAIN, words, 4, cb, arg);
}

static int redis_script(struct bus *bus, const struct bus_script_call *call, bus_done *cb,
                        void *arg)
{
    return redis_eval((struct bus_redis *)bus, CALL_PLAIN, call, cb, arg);
}

static void redis_close(struct bus *bus)
{
    struct bus_redis *b = (struct bus_redis *)bus;
    b->is_closing = true;
    redis_sub_free(b->sub);
    redis_route_free(b->route);
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
    static const struct redis_route_ops route_ops = {redis_on_end, redis_on_map};
    struct bus_redis *b = calloc(1, sizeof *b);
    if (b == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    b->bus = (struct bus){.magic = BUS_MAGIC, .ops = &ops, .loop = loop};
    b->limits.connect_ms = options->connect_ms != 0 ? options->connect_ms : REDIS_CONNECT_MS;
    b->limits.answer_ms = options->answer_ms != 0 ? options->answer_ms : REDIS_ANSWER_MS;
    int r = redis_target_load(options, &b->target, err);
    if (r < 0) {
        free(b);
        return r;
    }
    r = redis_route_new(loop, &b->target, &b->limits, &route_ops, b, &b->route);
    if (r < 0) {
        redis_target_clear(&b->target);
        free(b);
        return err_set(err, r, "out of memory");
    }
    *ret = &b->bus;
    return 0;
}
