/* SPDX-License-Identifier: Apache-2.0 */
#include "base/events.h"
#include <errno.h>
#include "../unit.h"

static int events_test_collect(void *arg, const struct event *e)
{
    struct buf *out = arg;
    buf_printf(out, "<" STR_FMT "|" STR_FMT "|" STR_FMT ">", STR_ARG(e->name), STR_ARG(e->id),
               STR_ARG(e->data));
    return str_eq(e->data, STR("stop")) ? -ECANCELED : 0;
}

/* Whole and byte by byte: the same. */
static void events_test_streams(void **state)
{
    (void)state;
    static const struct {
        const char *text, *events;
    } cases[] = {
        {"", ""},
        {"data: a\n\n", "<message||a>"},
        {"data:a\n\n", "<message||a>"},
        {"data:  a\n\n", "<message|| a>"},
        {"event: ref\nid: 7\ndata: {}\n\n", "<ref|7|{}>"},
        {"id: 7\ndata: a\n\ndata: b\n\n", "<message|7|a><message|7|b>"},
        {"id: 7\ndata: a\n\nid\ndata: b\n\n", "<message|7|a><message||b>"},
        {"data: a\ndata: b\n\n", "<message||a\nb>"},
        {"data\n\n", "<message||>"},
        {"event: x\n\ndata: a\n\n", "<message||a>"},
        {": beat\n\n: beat\n\n", ""},
        {"retry: 10\nunknown: x\ndata: a\n\n", "<message||a>"},
        {"data: a\r\n\r\ndata: b\r\rdata: c\n\r\n", "<message||a><message||b><message||c>"},
        {"data: a\n", ""},
        {"data: a", ""},
        {"\n\n\n", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t step = 1; step < 100; step += 98) {
            CLEAN_BUF struct buf seen = BUF_EMPTY;
            struct events s;
            events_init(&s, events_test_collect, &seen);
            struct str rest = str_of(cases[i].text);
            while (rest.size > 0) {
                size_t n = MIN(step, rest.size);
                assert_int_equal(events_feed(&s, (struct str){rest.data, n}), 0);
                rest = str_skip(rest, n);
            }
            events_clear(&s);
            if (!str_eq(buf_str(&seen), str_of(cases[i].events)))
                fail_msg("case %zu: " STR_FMT, i, STR_ARG(buf_str(&seen)));
        }
    }
}

static void events_test_limits(void **state)
{
    (void)state;
    CLEAN_BUF struct buf seen = BUF_EMPTY;
    struct events s;
    static char line[EVENTS_SIZE_MAX + 1];
    memset(line, 'x', sizeof line);
    events_init(&s, events_test_collect, &seen);
    assert_int_equal(events_feed(&s, (struct str){line, sizeof line}), -EMSGSIZE);
    events_clear(&s);
    events_init(&s, events_test_collect, &seen);
    int r = 0;
    for (unsigned i = 0; i < 20 && r == 0; i++) {
        assert_int_equal(events_feed(&s, STR("data: ")), 0);
        assert_int_equal(events_feed(&s, (struct str){line, 1000}), 0);
        r = events_feed(&s, STR("\n"));
    }
    assert_int_equal(r, -EMSGSIZE);
    events_clear(&s);
    events_init(&s, events_test_collect, &seen);
    assert_int_equal(events_feed(&s, STR("data: stop\n\ndata: a\n\n")), -ECANCELED);
    events_clear(&s);
}

static void events_test_written(void **state)
{
    (void)state;
    CLEAN_BUF struct buf text = BUF_EMPTY;
    CLEAN_BUF struct buf seen = BUF_EMPTY;
    event_write(&text, STR("ref"), STR("e-1"), STR("{\"asset\":\"a\"}"));
    event_write(&text, STR("live"), STR_NONE, STR(""));
    struct events s;
    events_init(&s, events_test_collect, &seen);
    assert_int_equal(events_feed(&s, buf_str(&text)), 0);
    assert_string_equal(seen.data, "<ref|e-1|{\"asset\":\"a\"}><live|e-1|>");
    events_clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_test_streams),
        cmocka_unit_test(events_test_limits),
        cmocka_unit_test(events_test_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
