/* SPDX-License-Identifier: Apache-2.0 */
/* bus_priv: the table behind bus.h: what a backend does.
 *
 * Life:    a backend embeds struct bus first; bus.c checks arguments and calls the table.
 * Owner:   the backend.
 * Threads: the bus's loop.
 * Errors:  as bus.h.
 * Units:   milliseconds. */
#pragma once
#include "bus/bus.h"

struct bus_ops {
    void (*close)(struct bus *b);
    int (*publish)(struct bus *b, struct str channel, struct str text, bus_done *cb, void *arg);
    int (*subscribe)(struct bus *b, struct bus_sub *s);
    void (*unsubscribe)(struct bus *b, struct bus_sub *s); /* s is freed by the caller */
    int (*count)(struct bus *b, struct str key, int64_t by, uint64_t life_ms, bus_done *cb,
                 void *arg);
    int (*get)(struct bus *b, struct str key, bus_done *cb, void *arg);
    int (*swap)(struct bus *b, struct str key, struct str expected, struct str fresh,
                uint64_t life_ms, bus_done *cb, void *arg);
    int (*stream_add)(struct bus *b, struct str key, struct str text, uint64_t keep, bus_done *cb,
                      void *arg);
    int (*stream_read)(struct bus *b, const struct bus_stream_read *read, bus_done *cb, void *arg);
    int (*stream_ack)(struct bus *b, struct str key, struct str group, struct str id, bus_done *cb,
                      void *arg);
    int (*script)(struct bus *b, const struct bus_script_call *call, bus_done *cb, void *arg);
};

struct bus {
    uint32_t magic;
#define BUS_MAGIC UINT32_C(0xb0550a11)
    const struct bus_ops *ops;
    struct loop *loop;
    struct bus_sub *subs;
    struct bus_sub *cursor; /* of a walk over subs that callbacks may change */
};

struct bus_sub {
    uint32_t magic;
#define BUS_SUB_MAGIC UINT32_C(0xb0555b5b)
    struct bus *bus;
    struct bus_sub *next;
    char *channel;
    bool is_fresh; /* on_gap has not been called yet */
    void (*on_message)(void *arg, struct str text);
    void (*on_gap)(void *arg);
    void *arg;
};

static inline struct str bus_sub_channel(const struct bus_sub *s)
{
    return str_of(s->channel);
}

/* Calls those subscribed to the channel. */
void bus__deliver(struct bus *b, struct str channel, struct str text);
/* The channel's subscriptions hold (STR_NONE: all): calls on_gap of those that did not before. */
void bus__gap(struct bus *b, struct str channel);
void bus__broken(struct bus *b); /* no subscription holds */
