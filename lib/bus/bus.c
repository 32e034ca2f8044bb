/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/bus.h"
#include <errno.h>
#include <stdlib.h>
#include "bus/bus_priv.h"

static void bus_check(const struct bus *b)
{
    ASSERT(b != NULL);
    ASSERT(b->magic == BUS_MAGIC);
}

/* Channels and keys are texts of ours: a zero byte in one is an error of the caller's data. */
static bool bus_name_ok(struct str name)
{
    return name.size > 0 && name.size <= BUS_NAME_MAX && memchr(name.data, 0, name.size) == NULL;
}

struct bus *bus_close(struct bus *b)
{
    if (b == NULL)
        return NULL;
    bus_check(b);
    while (b->subs != NULL)
        bus_unsubscribe(b->subs);
    b->ops->close(b);
    return NULL;
}

struct loop *bus_loop(const struct bus *b)
{
    bus_check(b);
    return b->loop;
}

int bus_publish(struct bus *b, struct str channel, struct str text, bus_done *cb, void *arg)
{
    bus_check(b);
    ASSERT(cb != NULL);
    if (!bus_name_ok(channel) || text.size > BUS_VALUE_MAX)
        return -EINVAL;
    return b->ops->publish(b, channel, text, cb, arg);
}

int bus_count(struct bus *b, struct str key, int64_t by, uint64_t life_ms, bus_done *cb, void *arg)
{
    bus_check(b);
    ASSERT(cb != NULL);
    return bus_name_ok(key) ? b->ops->count(b, key, by, life_ms, cb, arg) : -EINVAL;
}

int bus_get(struct bus *b, struct str key, bus_done *cb, void *arg)
{
    bus_check(b);
    ASSERT(cb != NULL);
    return bus_name_ok(key) ? b->ops->get(b, key, cb, arg) : -EINVAL;
}

int bus_swap(struct bus *b, struct str key, struct str expected, struct str fresh, uint64_t life_ms,
             bus_done *cb, void *arg)
{
    bus_check(b);
    ASSERT(cb != NULL);
    if (!bus_name_ok(key) || expected.size > BUS_VALUE_MAX || fresh.size > BUS_VALUE_MAX)
        return -EINVAL;
    return b->ops->swap(b, key, expected, fresh, life_ms, cb, arg);
}

int bus_stream_add(struct bus *b, struct str key, struct str text, uint64_t keep, bus_done *cb,
                   void *arg)
{
    bus_check(b);
    ASSERT(cb != NULL);
    if (!bus_name_ok(key) || text.size > BUS_VALUE_MAX || keep == 0 || keep > BUS_STREAM_KEEP_MAX)
        return -EINVAL;
    return b->ops->stream_add(b, key, text, keep, cb, arg);
}

int bus_stream_read(struct bus *b, const struct bus_stream_read *read, bus_done *cb, void *arg)
{
    bus_check(b);
    ASSERT(cb != NULL);
    if (!bus_name_ok(read->key) || !bus_name_ok(read->group) || !bus_name_ok(read->reader) ||
        read->count == 0 || read->count > BUS_STREAM_READ_MAX || read->idle_ms > INT64_MAX)
        return -EINVAL;
    return b->ops->stream_read(b, read, cb, arg);
}

int bus_stream_ack(struct bus *b, struct str key, struct str group, struct str id, bus_done *cb,
                   void *arg)
{
    bus_check(b);
    ASSERT(cb != NULL);
    if (!bus_name_ok(key) || !bus_name_ok(group) || !bus_name_ok(id))
        return -EINVAL;
    return b->ops->stream_ack(b, key, group, id, cb, arg);
}

int bus_script(struct bus *b, const struct bus_script_call *call, bus_done *cb, void *arg)
{
    bus_check(b);
    ASSERT(cb != NULL);
    ASSERT(call->keys_count + call->args_count <= BUS_ARGS_MAX);
    for (unsigned i = 0; i < call->keys_count; i++)
        if (!bus_name_ok(call->keys[i]))
            return -EINVAL;
    for (unsigned i = 0; i < call->args_count; i++)
        if (call->args[i].size > BUS_VALUE_MAX)
            return -EINVAL;
    return b->ops->script(b, call, cb, arg);
}

/* --- subscriptions ---------------------------------------------------------------------------- */

int bus_subscribe(struct bus *b, struct str channel, void (*on_message)(void *arg, struct str text),
                  void (*on_gap)(void *arg), void *arg, struct bus_sub **ret)
{
    bus_check(b);
    ASSERT(on_message != NULL);
    if (!bus_name_ok(channel))
        return -EINVAL;
    struct bus_sub *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    *s = (struct bus_sub){
        .magic = BUS_SUB_MAGIC,
        .bus = b,
        .channel = str_dup(channel),
        .is_fresh = true,
        .on_message = on_message,
        .on_gap = on_gap,
        .arg = arg,
    };
    int r = s->channel == NULL ? -ENOMEM : b->ops->subscribe(b, s);
    if (r < 0) {
        free(s->channel);
        free(s);
        return r;
    }
    s->next = b->subs;
    b->subs = s;
    *ret = s;
    return 0;
}

struct bus_sub *bus_unsubscribe(struct bus_sub *s)
{
    if (s == NULL)
        return NULL;
    ASSERT(s->magic == BUS_SUB_MAGIC);
    struct bus *b = s->bus;
    struct bus_sub **at = &b->subs;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    if (b->cursor == s)
        b->cursor = s->next;
    b->ops->unsubscribe(b, s);
    free(s->channel);
    MAGIC_CLEAR(s);
    free(s);
    return NULL;
}

void bus__deliver(struct bus *b, struct str channel, struct str text)
{
    ASSERT(b->cursor == NULL);
    for (struct bus_sub *s = b->subs; s != NULL; s = b->cursor) {
        b->cursor = s->next;
        if (str_eq(bus_sub_channel(s), channel))
            s->on_message(s->arg, text);
    }
}

void bus__gap(struct bus *b, struct str channel)
{
    ASSERT(b->cursor == NULL);
    for (struct bus_sub *s = b->subs; s != NULL; s = b->cursor) {
        b->cursor = s->next;
        if (!s->is_fresh || (channel.size > 0 && !str_eq(bus_sub_channel(s), channel)))
            continue;
        s->is_fresh = false;
        if (s->on_gap != NULL)
            s->on_gap(s->arg);
    }
}

void bus__broken(struct bus *b)
{
    for (struct bus_sub *s = b->subs; s != NULL; s = s->next)
        s->is_fresh = true;
}
