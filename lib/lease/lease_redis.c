/* SPDX-License-Identifier: Apache-2.0 */
/* One hash a user, so that one key tells all and a script about it runs in one slot of a cluster:
 *
 *   "l:SESSION" -> EXPIRES US UNTIL US STARTED US DEVICE US DEVICE_NAME US ASSET   (US: 0x1f)
 *   "e:SESSION" -> UNTIL, or UNTIL US "o": it was ended, or ended for being over the limit
 *   "limit"     -> as the user's last opening gave it
 *
 * Who has had two sessions at once is noted behind it and apart from it: lease_crowd.h.
 *
 * The hash lives as long as what it holds. Times are Redis's own, so that hosts need not agree. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/buf.h"
#include "lease/lease_backend.h"
#include "lease/lease_crowd.h"

#define UNIT "\x1f"

/* clang-format off */
/* What the scripts share: `now`; keep(ms): the hash lives that long at least; read(): drops what
 * has expired, gives the live ones and the ended ones; finish(): ends one and tells; flat(): an
 * answer. */
#define LUA_COMMON \
    "local key = KEYS[1]\n" \
    "local time = redis.call('TIME')\n" \
    "local now = time[1] * 1000 + math.floor(time[2] / 1000)\n" \
    "local function text(n) return string.format('%.0f', n) end\n" \
    "local function keep(ms)\n" \
    "  if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, text(ms)) end\n" \
    "end\n" \
    "local function read()\n" \
    "  local live, ended, all = {}, {}, redis.call('HGETALL', key)\n" \
    "  for i = 1, #all, 2 do\n" \
    "    local kind, id = string.sub(all[i], 1, 2), string.sub(all[i], 3)\n" \
    "    local ends = tonumber(string.match(all[i + 1], '^%d+')) or 0\n" \
    "    if kind ~= 'l:' and kind ~= 'e:' then ends = now + 1\n" \
    "    elseif ends <= now then redis.call('HDEL', key, all[i])\n" \
    "    elseif kind == 'l:' then live[#live + 1] = {id, all[i + 1]}\n" \
    "    else ended[#ended + 1] = {id, ends} end\n" \
    "  end\n" \
    "  return live, ended\n" \
    "end\n" \
    "local function finish(id, record, ended, most, mark)\n" \
    "  local until_ms = tonumber(string.match(record, '^%d+\\031(%d+)')) or 0\n" \
    "  redis.call('HDEL', key, 'l:' .. id)\n" \
    "  if until_ms > now then\n" \
    "    redis.call('HSET', key, 'e:' .. id, text(until_ms) .. (mark or ''))\n" \
    "    ended[#ended + 1] = {id, until_ms}\n" \
    "    keep(until_ms - now)\n" \
    "  end\n" \
    "  if #ended > most then\n" \
    "    table.sort(ended, function(a, b) return a[2] < b[2] end)\n" \
    "    redis.call('HDEL', key, 'e:' .. table.remove(ended, 1)[1])\n" \
    "  end\n" \
    "  redis.call('PUBLISH', '" LEASE_CHANNEL "', id)\n" \
    "end\n" \
    "local function flat(first, live)\n" \
    "  local out = {first}\n" \
    "  for i = 1, #live do out[#out + 1] = live[i][1]; out[#out + 1] = live[i][2] end\n" \
    "  return out\n" \
    "end\n"

/* ARGV: session, limit, life, until, the rest of the record, device, how many ended ones are kept.
 * Answers {1}, {2} where the user has two or more now, or {0, session, record, ...}. */
static const char lease_lua_open[] = LUA_COMMON
    "local live, ended = read()\n"
    "local count = 0\n"
    "for i = 1, #live do if live[i][1] == ARGV[1] then return {1} end end\n"
    "for i = 1, #live do\n"
    "  local id, record = live[i][1], live[i][2]\n"
    "  local device = string.match(record, '^%d+\\031%d+\\031%d+\\031([^\\031]*)')\n"
    "  if ARGV[6] ~= '' and device == ARGV[6] then finish(id, record, ended, tonumber(ARGV[7]))\n"
    "  else count = count + 1 end\n"
    "end\n"
    "if count >= tonumber(ARGV[2]) then return flat(0, (read())) end\n"
    "redis.call('HSET', key, 'l:' .. ARGV[1],\n"
    "  text(now + ARGV[3]) .. '\\031' .. ARGV[4] .. '\\031' .. text(now) .. '\\031' .. ARGV[5],\n"
    "  'limit', ARGV[2])\n"
    "keep(math.max(tonumber(ARGV[3]), ARGV[4] - now))\n"
    "return {count > 0 and 2 or 1}\n";

static const char lease_lua_list[] = LUA_COMMON
    "return flat(1, (read()))\n";

/* ARGV: session, how many ended ones are kept. Answers 1, or 0: no such session. */
static const char lease_lua_end[] = LUA_COMMON
    "local record = redis.call('HGET', key, 'l:' .. ARGV[1])\n"
    "if not record then return 0 end\n"
    "local live, ended = read()\n"
    "finish(ARGV[1], record, ended, tonumber(ARGV[2]))\n"
    "return 1\n";

/* ARGV: limit, how many ended ones are kept. Answers {how many are left, session, record, ...} of
 * those that were ended. */
static const char lease_lua_trim[] = LUA_COMMON
    "local live, ended = read()\n"
    "local function started(l)\n"
    "  return tonumber(string.match(l[2], '^%d+\\031%d+\\031(%d+)')) or 0\n"
    "end\n"
    "table.sort(live, function(a, b) return started(a) < started(b) end)\n"
    "local over = {}\n"
    "for i = 1, #live - tonumber(ARGV[1]) do\n"
    "  finish(live[i][1], live[i][2], ended, tonumber(ARGV[2]), '\\031o')\n"
    "  over[i] = live[i]\n"
    "end\n"
    "if #live > 0 then redis.call('HSET', key, 'limit', ARGV[1]) end\n"
    "return flat(#live - #over, over)\n";

/* ARGV: session, life, until, the rest of the record of one that is not known, limit, when that one
 * has started (0: now). Answers an
 * enum lease_state; LEASE_CROWDED more where one was taken up beside others. */
#define LEASE_CROWDED 16
static const char lease_lua_renew[] = LUA_COMMON
    "local gone = redis.call('HGET', key, 'e:' .. ARGV[1]) or ''\n"
    "local mark\n"
    "gone, mark = string.match(gone, '^(%d+)(.*)$')\n"
    "if gone and tonumber(gone) > now then return mark == '' and 2 or 4 end\n"
    "local crowded = 0\n"
    "local record = redis.call('HGET', key, 'l:' .. ARGV[1]) or ''\n"
    "local ends, until_ms, rest = string.match(record, '^(%d+)\\031(%d+)\\031(.*)$')\n"
    "if not ends or tonumber(ends) <= now then\n"
    "  if ARGV[5] ~= '0' then redis.call('HSET', key, 'limit', ARGV[5]) end\n"
    "  local limit = tonumber(redis.call('HGET', key, 'limit') or '')\n"
    "  local others = #(read())\n"
    "  if limit and others >= limit then return 3 end\n"
    "  if others > 0 then crowded = 16 end\n"
    "end\n"
    "until_ms = math.max(tonumber(until_ms or 0), tonumber(ARGV[3]))\n"
    "local started = tonumber(ARGV[6])\n"
    "if started == 0 or started > now then started = now end\n"
    "rest = rest or (text(started) .. '\\031' .. ARGV[4])\n"
    "redis.call('HSET', key, 'l:' .. ARGV[1],\n"
    "  text(now + ARGV[2]) .. '\\031' .. text(until_ms) .. '\\031' .. rest)\n"
    "keep(math.max(tonumber(ARGV[2]), until_ms - now))\n"
    "return 1 + crowded\n";
/* clang-format on */

struct lease_redis {
    struct leases leases;
    struct bus *bus;
};

struct lease_text {
    char bytes[24];
};

static struct str lease_number(int64_t n, struct lease_text *out)
{
    (void)snprintf(out->bytes, sizeof out->bytes, "%" PRId64, n); /* sized to fit */
    return str_of(out->bytes);
}

static void lease_put_key(struct str user, struct buf *out)
{
    buf_puts(out, "weir:lease:{");
    buf_put_str(out, user);
    buf_puts(out, "}");
}

static void lease_put_rest(const struct lease *l, struct buf *out)
{
    buf_put_str(out, l->device);
    buf_puts(out, UNIT);
    buf_put_str(out, l->device_name);
    buf_puts(out, UNIT);
    buf_put_str(out, l->asset);
}

/* What a call still needs when its answer comes. */
struct lease_call {
    struct lease_op *op;
    struct bus *bus;
    int64_t until_ms;
    size_t user_size;
    char user[];
};

static struct lease_call *lease_call_new(struct leases *l, struct lease_op *op, struct str user,
                                         int64_t until_ms)
{
    struct lease_call *c = malloc(sizeof *c + user.size);
    if (c == NULL)
        return NULL;
    *c = (struct lease_call){op, ((struct lease_redis *)l)->bus, until_ms, user.size};
    memcpy(c->user, user.data, user.size);
    return c;
}

static struct str lease_call_user(const struct lease_call *c)
{
    return (struct str){c->user, c->user_size};
}

static int lease_run(struct leases *l, const char *script, struct str user, const struct str *args,
                     unsigned args_count, bus_done *cb, void *arg)
{
    struct lease_redis *lr = (struct lease_redis *)l;
    CLEAN_BUF struct buf key = BUF_EMPTY;
    lease_put_key(user, &key);
    if (buf_error(&key) < 0)
        return buf_error(&key);
    struct str name = buf_str(&key);
    struct bus_script_call call = {script, &name, 1, args, args_count};
    return bus_script(lr->bus, &call, cb, arg);
}

/* --- answers ---------------------------------------------------------------------------------- */

static int lease_take_number(struct str *rest, int64_t *ret)
{
    uint64_t n;
    int r = str_to_u64(str_cut(*rest, UNIT[0], rest), &n);
    if (r < 0 || n > INT64_MAX)
        return -EBADMSG;
    *ret = (int64_t)n;
    return 0;
}

static int lease_parse(struct str session, struct str record, struct lease *ret)
{
    struct lease l = {.session = session};
    int r = lease_take_number(&record, &l.expires_ms);
    if (r == 0)
        r = lease_take_number(&record, &l.until_ms);
    if (r == 0)
        r = lease_take_number(&record, &l.started_ms);
    l.device = str_cut(record, UNIT[0], &record);
    l.device_name = str_cut(record, UNIT[0], &record);
    l.asset = record;
    if (r == 0)
        *ret = l;
    return r;
}

static int lease_by_start(const void *a, const void *b)
{
    const struct lease *x = a;
    const struct lease *y = b;
    return (x->started_ms > y->started_ms) - (x->started_ms < y->started_ms);
}

/* {number, session, record, session, record, ...} */
static int lease_parse_list(const struct bus_answer *answer, int64_t *ret_first, struct lease **ret,
                            unsigned *ret_count)
{
    const struct bus_answer *items = answer->items;
    if (answer->kind != BUS_LIST || answer->count % 2 != 1 || items[0].kind != BUS_NUMBER)
        return -EBADMSG;
    unsigned count = answer->count / 2;
    struct lease *list = calloc(MAX(count, 1U), sizeof *list);
    if (list == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        const struct bus_answer *pair = &items[1 + 2 * i];
        int r = pair[0].kind == BUS_TEXT && pair[1].kind == BUS_TEXT
                    ? lease_parse(pair[0].text, pair[1].text, &list[i])
                    : -EBADMSG;
        if (r < 0) {
            free(list);
            return r;
        }
    }
    qsort(list, count, sizeof *list, lease_by_start);
    *ret_first = items[0].number;
    *ret = list;
    *ret_count = count;
    return 0;
}

static void lease_on_list(void *arg, int res, const struct bus_answer *answer)
{
    int64_t first = 0;
    struct lease *list = NULL;
    unsigned count = 0;
    if (res == 0)
        res = lease_parse_list(answer, &first, &list, &count);
    lease__finish(arg, res, list, count);
    free(list);
}

static void lease_on_open(void *arg, int res, const struct bus_answer *answer)
{
    struct lease_call *c = arg;
    int64_t first = 0;
    struct lease *list = NULL;
    unsigned count = 0;
    if (res == 0)
        res = lease_parse_list(answer, &first, &list, &count);
    if (res == 0 && first == 0)
        res = -EDQUOT;
    if (res == 0 && first > 1 && c->op->leases != NULL)
        lease_crowd_note(c->bus, lease_call_user(c), c->until_ms);
    lease__finish(c->op, res, list, count);
    free(list);
    free(c);
}

static void lease_on_forgotten(void *arg, int res, const struct bus_answer *answer)
{
    struct lease_call *c = arg;
    (void)res, (void)answer; /* else it goes when the tokens have expired */
    lease__finish(c->op, 0, NULL, 0);
    free(c);
}

static void lease_on_trim(void *arg, int res, const struct bus_answer *answer)
{
    struct lease_call *c = arg;
    int64_t left = 1;
    struct lease *list = NULL;
    unsigned count = 0;
    if (res == 0)
        res = lease_parse_list(answer, &left, &list, &count);
    /* Nobody of the user's plays: none was ended either, because a limit is 1 at least. */
    bool is_gone = res == 0 && left == 0 && count == 0 && c->op->leases != NULL;
    if (!is_gone || lease_crowd_forget(c->bus, lease_call_user(c), lease_on_forgotten, c) < 0) {
        lease__finish(c->op, res, list, count);
        free(c);
    }
    free(list);
}

static void lease_on_end(void *arg, int res, const struct bus_answer *answer)
{
    if (res == 0 && answer->number != 1)
        res = -ENOENT;
    lease__finish(arg, res, NULL, 0);
}

/* --- calls ------------------------------------------------------------------------------------ */

static int lease_redis_open(struct leases *l, const struct lease *lease, unsigned limit,
                            struct lease_op *op)
{
    struct lease_text texts[4];
    CLEAN_BUF struct buf rest = BUF_EMPTY;
    lease_put_rest(lease, &rest);
    if (buf_error(&rest) < 0)
        return buf_error(&rest);
    struct str args[] = {lease->session,
                         lease_number(limit, &texts[0]),
                         lease_number(l->life_ms, &texts[1]),
                         lease_number(lease->until_ms, &texts[2]),
                         buf_str(&rest),
                         lease->device,
                         lease_number(LEASE_ENDED_MAX, &texts[3])};
    struct lease_call *c = lease_call_new(l, op, lease->user, lease->until_ms);
    if (c == NULL)
        return -ENOMEM;
    int r = lease_run(l, lease_lua_open, lease->user, args, ARRAY_LEN(args), lease_on_open, c);
    if (r < 0)
        free(c);
    return r;
}

static int lease_redis_trim(struct leases *l, struct str user, unsigned limit, struct lease_op *op)
{
    struct lease_text texts[2];
    struct str args[] = {lease_number(limit, &texts[0]), lease_number(LEASE_ENDED_MAX, &texts[1])};
    struct lease_call *c = lease_call_new(l, op, user, 0);
    if (c == NULL)
        return -ENOMEM;
    int r = lease_run(l, lease_lua_trim, user, args, ARRAY_LEN(args), lease_on_trim, c);
    if (r < 0)
        free(c);
    return r;
}

static int lease_redis_crowded(struct leases *l, uint64_t cursor, struct lease_op *op)
{
    return lease_crowd_page(((struct lease_redis *)l)->bus, cursor, op);
}

static int lease_redis_list(struct leases *l, struct str user, struct lease_op *op)
{
    return lease_run(l, lease_lua_list, user, NULL, 0, lease_on_list, op);
}

static int lease_redis_end(struct leases *l, struct str user, struct str session,
                           struct lease_op *op)
{
    struct lease_text most;
    struct str args[] = {session, lease_number(LEASE_ENDED_MAX, &most)};
    return lease_run(l, lease_lua_end, user, args, ARRAY_LEN(args), lease_on_end, op);
}

/* One part of a batch; they share the op, and the last frees this array as well. */
struct lease_part {
    struct lease_op *op;
    struct lease_part *all;
    unsigned index;
    struct str user; /* behind the array */
    int64_t until_ms;
};

static void lease_part_done(const struct lease_part *p, int error)
{
    struct lease_op *op = p->op;
    if (error < 0)
        op->error = error;
    ASSERT(op->left > 0);
    if (--op->left > 0)
        return;
    struct lease_part *all = p->all;
    bool any = false;
    for (unsigned i = 0; i < op->count; i++)
        any = any || op->states[i] != LEASE_UNSURE;
    lease__finish_renew(op, any ? 0 : op->error);
    free(all);
}

static void lease_on_renew(void *arg, int res, const struct bus_answer *answer)
{
    const struct lease_part *p = arg;
    int64_t n = answer->kind == BUS_NUMBER ? answer->number : 0;
    int64_t state = n % LEASE_CROWDED;
    if (res == 0 && (n < 0 || n >= 2 * LEASE_CROWDED || state < LEASE_LIVE || state > LEASE_OVER))
        res = -EBADMSG;
    if (res == 0)
        p->op->states[p->index] = (enum lease_state)state;
    if (res == 0 && n > LEASE_CROWDED && p->op->leases != NULL)
        lease_crowd_note(((struct lease_redis *)p->op->leases)->bus, p->user, p->until_ms);
    lease_part_done(p, res);
}

static int lease_renew_one(struct leases *l, const struct lease *lease, struct lease_part *p)
{
    struct lease_text texts[4];
    CLEAN_BUF struct buf rest = BUF_EMPTY;
    lease_put_rest(lease, &rest);
    if (buf_error(&rest) < 0)
        return buf_error(&rest);
    struct str args[] = {lease->session,
                         lease_number(l->life_ms, &texts[0]),
                         lease_number(lease->until_ms, &texts[1]),
                         buf_str(&rest),
                         lease_number(lease->limit, &texts[2]),
                         lease_number(MAX(lease->started_ms, 0), &texts[3])};
    return lease_run(l, lease_lua_renew, lease->user, args, ARRAY_LEN(args), lease_on_renew, p);
}

/* One script a session, all in one write: a script over many users would need their keys to be in
 * one slot. */
static int lease_redis_renew(struct leases *l, const struct lease *leases, struct lease_op *op)
{
    size_t users_size = 0;
    for (unsigned i = 0; i < op->count; i++)
        users_size += leases[i].user.size;
    struct lease_part *parts = malloc(op->count * sizeof *parts + users_size);
    if (parts == NULL)
        return -ENOMEM;
    char *at = (char *)(parts + op->count);
    op->left = op->count;
    for (unsigned i = 0; i < op->count; i++) {
        struct str user = {at, leases[i].user.size};
        memcpy(at, leases[i].user.data, user.size);
        at += user.size;
        parts[i] = (struct lease_part){op, parts, i, user, leases[i].until_ms};
        int r = lease_renew_one(l, &leases[i], &parts[i]);
        if (r == 0)
            continue;
        if (i == 0) {
            free(parts);
            return r;
        }
        op->error = r; /* those under way still answer; these never will */
        op->left -= op->count - i;
        break;
    }
    return 0;
}

static int lease_redis_watch(struct leases *l, struct lease_watch *w)
{
    return lease__watch_bus(((struct lease_redis *)l)->bus, w);
}

static void lease_redis_unwatch(struct leases *l, struct lease_watch *w)
{
    (void)l;
    lease__unwatch_bus(w);
}

/* What is still under way the bus ends, before or with its own close; the ops are dead. */
static void lease_redis_close(struct leases *l)
{
    struct lease_redis *lr = (struct lease_redis *)l;
    MAGIC_CLEAR(&lr->leases);
    free(lr);
}

int leases_open_redis(struct bus *bus, struct leases **ret)
{
    static const struct lease_ops ops = {
        .close = lease_redis_close,
        .open = lease_redis_open,
        .list = lease_redis_list,
        .end = lease_redis_end,
        .renew = lease_redis_renew,
        .trim = lease_redis_trim,
        .crowded = lease_redis_crowded,
        .watch = lease_redis_watch,
        .unwatch = lease_redis_unwatch,
    };
    struct lease_redis *lr = calloc(1, sizeof *lr);
    if (lr == NULL)
        return -ENOMEM;
    lease__init(&lr->leases, &ops, bus_loop(bus));
    lr->bus = bus;
    *ret = &lr->leases;
    return 0;
}
