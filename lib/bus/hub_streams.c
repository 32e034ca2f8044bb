/* SPDX-License-Identifier: Apache-2.0 */
/* Invariants:
 *  1. A stream's messages are in the order of their numbers, first to last, without one twice.
 *  2. A group has taken every message up to `last`; those of them that are not acknowledged are in
 *     `taken`, in the order of their numbers. */
#include "bus/hub_streams.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define HUB_STREAM_BUCKETS 256u /* power of two */

struct hub_message {
    struct hub_message *next;
    uint64_t number;
    size_t size;
    char text[];
};

struct hub_taken {
    struct hub_taken *next;
    uint64_t number;
    uint64_t given_ms;
};

struct hub_group {
    struct hub_group *next;
    uint64_t last;
    struct hub_taken *taken, **taken_end;
    char name[];
};

struct hub_stream {
    struct hub_stream *next;
    struct hub_message *first, **end;
    uint64_t count;
    uint64_t number; /* of the last message ever */
    struct hub_group *groups;
    unsigned groups_count;
    char key[];
};

struct hub_streams {
    unsigned count;
    struct hub_stream *buckets[HUB_STREAM_BUCKETS];
};

/* --- finding ---------------------------------------------------------------------------------- */

static struct hub_stream **stream_at(struct hub_streams *h, struct str key)
{
    uint32_t hash = 2166136261u; /* FNV-1a: few keys, of our own */
    for (size_t i = 0; i < key.size; i++)
        hash = (hash ^ (unsigned char)key.data[i]) * 16777619u;
    struct hub_stream **at = &h->buckets[hash & (HUB_STREAM_BUCKETS - 1)];
    while (*at != NULL && !str_eq(str_of((*at)->key), key))
        at = &(*at)->next;
    return at;
}

static int stream_need(struct hub_streams *h, struct str key, struct hub_stream **ret)
{
    struct hub_stream **at = stream_at(h, key);
    if (*at == NULL) {
        if (h->count >= HUB_STREAMS_MAX)
            return -ENOBUFS;
        struct hub_stream *s = calloc(1, sizeof *s + key.size + 1);
        if (s == NULL)
            return -ENOMEM;
        memcpy(s->key, key.data, key.size);
        s->end = &s->first;
        h->count++;
        *at = s;
    }
    *ret = *at;
    return 0;
}

static struct hub_group *group_find(const struct hub_stream *s, struct str name)
{
    struct hub_group *g = s->groups;
    while (g != NULL && !str_eq(str_of(g->name), name))
        g = g->next;
    return g;
}

static int group_need(struct hub_stream *s, struct str name, struct hub_group **ret)
{
    struct hub_group *g = group_find(s, name);
    if (g == NULL) {
        if (s->groups_count >= HUB_GROUPS_MAX)
            return -ENOBUFS;
        g = calloc(1, sizeof *g + name.size + 1);
        if (g == NULL)
            return -ENOMEM;
        memcpy(g->name, name.data, name.size);
        g->taken_end = &g->taken;
        g->next = s->groups;
        s->groups = g;
        s->groups_count++;
    }
    *ret = g;
    return 0;
}

static const struct hub_message *message_find(const struct hub_stream *s, uint64_t number)
{
    const struct hub_message *m = s->first;
    while (m != NULL && m->number < number)
        m = m->next;
    return m != NULL && m->number == number ? m : NULL;
}

static void group_drop(struct hub_group *g, struct hub_taken **at)
{
    struct hub_taken *t = *at;
    *at = t->next;
    if (g->taken_end == &t->next)
        g->taken_end = at;
    free(t);
}

static void stream_drop_first(struct hub_stream *s)
{
    struct hub_message *m = s->first;
    s->first = m->next;
    if (s->first == NULL)
        s->end = &s->first;
    s->count--;
    free(m);
}

/* --- life ------------------------------------------------------------------------------------- */

int hub_streams_new(struct hub_streams **ret)
{
    struct hub_streams *h = calloc(1, sizeof *h);
    if (h == NULL)
        return -ENOMEM;
    *ret = h;
    return 0;
}

static void stream_free(struct hub_stream *s)
{
    while (s->first != NULL)
        stream_drop_first(s);
    while (s->groups != NULL) {
        struct hub_group *g = s->groups;
        s->groups = g->next;
        while (g->taken != NULL)
            group_drop(g, &g->taken);
        free(g);
    }
    free(s);
}

struct hub_streams *hub_streams_free(struct hub_streams *h)
{
    if (h == NULL)
        return NULL;
    for (unsigned i = 0; i < HUB_STREAM_BUCKETS; i++) {
        while (h->buckets[i] != NULL) {
            struct hub_stream *s = h->buckets[i];
            h->buckets[i] = s->next;
            stream_free(s);
        }
    }
    free(h);
    return NULL;
}

/* --- calls ------------------------------------------------------------------------------------ */

static void stream_id(uint64_t number, char out[HUB_STREAM_ID_SIZE])
{
    (void)snprintf(out, HUB_STREAM_ID_SIZE, "%" PRIu64 "-0", number); /* sized to fit */
}

int hub_streams_add(struct hub_streams *h, struct str key, struct str text, uint64_t keep,
                    char ret_id[HUB_STREAM_ID_SIZE])
{
    struct hub_stream *s = NULL;
    int r = stream_need(h, key, &s);
    if (r < 0)
        return r;
    struct hub_message *m = malloc(sizeof *m + text.size);
    if (m == NULL)
        return -ENOMEM;
    *m = (struct hub_message){.number = ++s->number, .size = text.size};
    if (text.size > 0)
        memcpy(m->text, text.data, text.size);
    *s->end = m;
    s->end = &m->next;
    s->count++;
    while (s->count > keep)
        stream_drop_first(s);
    stream_id(m->number, ret_id);
    return 0;
}

/* What is left by readers who are gone, then what nobody has taken yet. */
static int stream_take(struct hub_stream *s, struct hub_group *g,
                       const struct bus_stream_read *read, uint64_t now_ms,
                       const struct hub_message **found, unsigned *ret_count)
{
    unsigned count = 0;
    for (struct hub_taken **at = &g->taken; *at != NULL && count < read->count;) {
        struct hub_taken *t = *at;
        const struct hub_message *m = NULL;
        if (now_ms - t->given_ms >= read->idle_ms) {
            m = message_find(s, t->number);
            if (m == NULL) { /* cut off the stream */
                group_drop(g, at);
                continue;
            }
            t->given_ms = now_ms;
            found[count++] = m;
        }
        at = &t->next;
    }
    for (const struct hub_message *m = s->first; m != NULL && count < read->count; m = m->next) {
        if (m->number <= g->last)
            continue;
        struct hub_taken *t = calloc(1, sizeof *t);
        if (t == NULL && count == 0)
            return -ENOMEM;
        if (t == NULL)
            break; /* the rest with the next reading */
        *t = (struct hub_taken){.number = m->number, .given_ms = now_ms};
        *g->taken_end = t;
        g->taken_end = &t->next;
        g->last = m->number;
        found[count++] = m;
    }
    *ret_count = count;
    return 0;
}

/* Lists, ids and texts in one block. */
static int stream_answer(const struct hub_message *const *found, unsigned count,
                         struct bus_answer *ret, char **ret_room)
{
    size_t size = 0;
    for (unsigned i = 0; i < count; i++)
        size += found[i]->size;
    size_t lists = count * 3 * sizeof(struct bus_answer);
    char *room = malloc(lists + count * (size_t)HUB_STREAM_ID_SIZE + size + 1);
    if (room == NULL)
        return -ENOMEM;
    struct bus_answer *items = (struct bus_answer *)(void *)room;
    struct bus_answer *pairs = items + count;
    char *at = room + lists;
    for (unsigned i = 0; i < count; i++) {
        struct bus_answer *pair = &pairs[2 * i];
        stream_id(found[i]->number, at);
        pair[0] = (struct bus_answer){.kind = BUS_TEXT, .text = str_of(at)};
        at += HUB_STREAM_ID_SIZE;
        memcpy(at, found[i]->text, found[i]->size);
        pair[1] = (struct bus_answer){.kind = BUS_TEXT, .text = {at, found[i]->size}};
        at += found[i]->size;
        items[i] = (struct bus_answer){.kind = BUS_LIST, .items = pair, .count = 2};
    }
    *ret = (struct bus_answer){.kind = BUS_LIST, .items = items, .count = count};
    *ret_room = room;
    return 0;
}

int hub_streams_read(struct hub_streams *h, const struct bus_stream_read *read, uint64_t now_ms,
                     struct bus_answer *ret, char **ret_room)
{
    const struct hub_message *found[BUS_STREAM_READ_MAX];
    struct hub_stream *s = NULL;
    struct hub_group *g = NULL;
    unsigned count = 0;
    int r = stream_need(h, read->key, &s);
    if (r == 0)
        r = group_need(s, read->group, &g);
    if (r == 0)
        r = stream_take(s, g, read, now_ms, found, &count);
    return r < 0 ? r : stream_answer(found, count, ret, ret_room);
}

int hub_streams_ack(struct hub_streams *h, struct str key, struct str group, struct str id,
                    bool *ret)
{
    uint64_t number;
    struct str rest;
    if (str_to_u64(str_cut(id, '-', &rest), &number) < 0 || !str_eq(rest, STR("0")))
        return -EPROTO;
    struct hub_stream *s = *stream_at(h, key);
    struct hub_group *g = s == NULL ? NULL : group_find(s, group);
    *ret = false;
    for (struct hub_taken **at = g == NULL ? NULL : &g->taken; at != NULL && *at != NULL;
         at = &(*at)->next) {
        if ((*at)->number == number) {
            group_drop(g, at);
            *ret = true;
            break;
        }
    }
    return 0;
}
