/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/lease_stream.h"
#include <errno.h>

static int stream_line(struct lease_stream *s, void (*on_event)(void *arg, struct str session),
                       void *arg)
{
    struct str value;
    struct str line = {s->line, s->size};
    if (line.size == 0) {
        struct str session = str_of(s->session);
        bool is_gap = s->is_gap;
        s->is_gap = false;
        if (is_gap)
            on_event(arg, STR_NONE);
        else if (session.size > 0)
            on_event(arg, session);
        s->session[0] = 0;
        return 0;
    }
    struct str name = str_cut(line, ':', &value);
    if (value.size > 0 && value.data[0] == ' ')
        value = str_skip(value, 1);
    if (str_eq(name, STR("event"))) {
        s->is_gap = str_eq(value, STR("gap"));
        return 0;
    }
    if (!str_eq(name, STR("data")))
        return 0; /* a comment, or a field that is none of ours */
    for (size_t i = 0; i < value.size; i++)
        if ((unsigned char)value.data[i] < 0x20 || value.data[i] == 0x7f)
            return -EBADMSG;
    return str_copy(value, s->session, sizeof s->session) < 0 ? -EBADMSG : 0;
}

int lease_stream_feed(struct lease_stream *s, const void *bytes, size_t size,
                      void (*on_event)(void *arg, struct str session), void *arg)
{
    const char *at = bytes;
    for (size_t i = 0; i < size; i++) {
        char c = at[i];
        bool is_lf_of_cr = c == '\n' && s->after_cr;
        s->after_cr = c == '\r';
        if (is_lf_of_cr)
            continue;
        if (c != '\n' && c != '\r') {
            if (s->size == sizeof s->line)
                return -EBADMSG;
            s->line[s->size++] = c;
            continue;
        }
        int r = stream_line(s, on_event, arg);
        s->size = 0;
        if (r < 0)
            return r;
    }
    return 0;
}
