/* SPDX-License-Identifier: Apache-2.0 */
#include "base/events.h"
#include <errno.h>

void events_init(struct events *s, events_cb *cb, void *arg)
{
    ASSERT(cb != NULL);
    *s = (struct events){.cb = cb, .arg = arg};
}

void events_clear(struct events *s)
{
    buf_free(&s->line);
    buf_free(&s->name);
    buf_free(&s->id);
    buf_free(&s->data);
    *s = (struct events){0};
}

static int events_set(struct buf *to, struct str value)
{
    buf_clear(to);
    buf_put_str(to, value);
    return buf_error(to);
}

static int events_add_data(struct events *s, struct str value)
{
    if (value.size + 1 > EVENTS_SIZE_MAX - MIN(s->data.size, (size_t)EVENTS_SIZE_MAX))
        return -EMSGSIZE;
    if (s->has_data)
        buf_putc(&s->data, '\n');
    buf_put_str(&s->data, value);
    s->has_data = true;
    return buf_error(&s->data);
}

/* An empty line: the event is whole. One without data is none, its name is forgotten. */
static int events_dispatch(struct events *s)
{
    int r = 0;
    if (s->has_data) {
        const struct event e = {
            .name = s->name.size > 0 ? buf_str(&s->name) : STR("message"),
            .id = buf_str(&s->id),
            .data = buf_str(&s->data),
        };
        r = s->cb(s->arg, &e);
    }
    buf_clear(&s->name);
    buf_clear(&s->data);
    s->has_data = false;
    return r;
}

static int events_line(struct events *s)
{
    struct str line = buf_str(&s->line);
    if (line.size == 0)
        return events_dispatch(s);
    struct str value;
    struct str field = str_cut(line, ':', &value);
    if (str_starts(value, STR(" ")))
        value = str_skip(value, 1);
    if (str_eq(field, STR("data")))
        return events_add_data(s, value);
    if (str_eq(field, STR("event")))
        return events_set(&s->name, value);
    if (str_eq(field, STR("id")) && (value.size == 0 || memchr(value.data, 0, value.size) == NULL))
        return events_set(&s->id, value);
    return 0; /* a comment, or a field that we have no use for */
}

static int events_end_line(struct events *s)
{
    int r = buf_error(&s->line);
    if (r == 0)
        r = events_line(s);
    buf_clear(&s->line);
    return r;
}

/* The bytes up to the next end of a line, or all. */
static size_t events_span(struct str bytes)
{
    size_t n = 0;
    while (n < bytes.size && bytes.data[n] != '\n' && bytes.data[n] != '\r')
        n++;
    return n;
}

int events_feed(struct events *s, struct str bytes)
{
    ASSERT(s->cb != NULL);
    int r = 0;
    while (bytes.size > 0 && r == 0) {
        bool newline = bytes.data[0] == '\n';
        if (newline && s->skip_newline) {
            s->skip_newline = false;
            bytes = str_skip(bytes, 1);
            continue;
        }
        s->skip_newline = bytes.data[0] == '\r';
        if (newline || s->skip_newline) {
            bytes = str_skip(bytes, 1);
            r = events_end_line(s);
            continue;
        }
        size_t n = events_span(bytes);
        if (n > EVENTS_SIZE_MAX - s->line.size)
            return -EMSGSIZE;
        buf_put(&s->line, bytes.data, n);
        bytes = str_skip(bytes, n);
        r = buf_error(&s->line);
    }
    return r;
}

void event_write(struct buf *out, struct str name, struct str id, struct str data)
{
    ASSERT(data.size == 0 || memchr(data.data, '\n', data.size) == NULL);
    buf_printf(out, "event: " STR_FMT "\n", STR_ARG(name));
    if (id.size > 0)
        buf_printf(out, "id: " STR_FMT "\n", STR_ARG(id));
    buf_printf(out, "data: " STR_FMT "\n\n", STR_ARG(data));
}
