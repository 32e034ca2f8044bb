/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/watch.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/events.h"
#include "base/file.h"
#include "origin/origin.h"
#include "../unit.h"

#define MOVES_MANY 200000 /* some 18 MB of events: more than any socket takes */

static char watch_test_folder[64];
static struct origin *watch_test_origin;

static char *watch_test_path(const char *name)
{
    char *path = file_join(watch_test_folder, name);
    assert_non_null(path);
    return path;
}

static int watch_test_setup(void **state)
{
    (void)state;
    static struct origin_config config;
    (void)snprintf(watch_test_folder, sizeof watch_test_folder, "/tmp/weir-watch-XXXXXX");
    if (mkdtemp(watch_test_folder) == NULL)
        return -1;
    config = (struct origin_config){
        .listen = {.address = (char *)(uintptr_t) "127.0.0.1"},
        .workers = 1,
        .store = {.path = watch_test_path("store"), .volume_size = (char *)(uintptr_t) "64M"},
        .publish_credential_file = watch_test_path("publish"),
    };
    assert_int_equal(file_write(config.publish_credential_file, STR("0123456789abcdef\n"), 0600),
                     0);
    struct err err = {{0}};
    if (origin_start(&config, &err, &watch_test_origin) < 0)
        fail_msg("%s", err.text);
    return 0;
}

static int watch_test_teardown(void **state)
{
    (void)state;
    origin_stop(watch_test_origin);
    return file_remove_all(watch_test_folder);
}

/* --- a reader --------------------------------------------------------------------------------- */

struct reader {
    int fd;
    struct events events;
    struct buf chunk; /* of the head, then of a line with a chunk's size */
    size_t left;      /* of the chunk and its end of line */
    bool has_head;
    unsigned refs, lost, live, resumed;
    char id[64];
};

static int reader_on_event(void *arg, const struct event *e)
{
    struct reader *r = arg;
    r->refs += str_eq(e->name, STR("ref"));
    r->lost += str_eq(e->name, STR("lost"));
    r->live += str_eq(e->name, STR("live"));
    r->resumed += str_eq(e->data, STR("{\"resumed\":true}"));
    assert_int_equal(str_copy(e->id, r->id, sizeof r->id), 0);
    return 0;
}

static void reader_open(struct reader *r, const char *last_id)
{
    *r = (struct reader){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    events_init(&r->events, reader_on_event, r);
    const int small = 4096;
    assert_int_equal(setsockopt(r->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(origin_port(watch_test_origin)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    assert_int_equal(connect(r->fd, (const struct sockaddr *)(const void *)&at, sizeof at), 0);
    CLEAN_BUF struct buf ask = BUF_EMPTY;
    buf_printf(&ask, "GET /refs/watch HTTP/1.1\r\nHost: o\r\nLast-Event-ID: %s\r\n\r\n", last_id);
    assert_int_equal(write(r->fd, ask.data, ask.size), (ssize_t)ask.size);
}

static void reader_close(struct reader *r)
{
    assert_int_equal(close(r->fd), 0);
    events_clear(&r->events);
    buf_free(&r->chunk);
}

/* One byte of the framing: the head up to its empty line, else a line with a chunk's size. */
static void reader_frame(struct reader *r, char c)
{
    buf_putc(&r->chunk, c);
    struct str text = buf_str(&r->chunk);
    if (!r->has_head) {
        r->has_head = str_ends(text, STR("\r\n\r\n"));
        if (r->has_head) {
            assert_true(str_starts(text, STR("HTTP/1.1 200")));
            buf_clear(&r->chunk);
        }
    } else if (str_ends(text, STR("\r\n"))) {
        r->left = strtoul(r->chunk.data, NULL, 16) + 2;
        buf_clear(&r->chunk);
    }
}

static void reader_read(struct reader *r)
{
    char data[16384];
    ssize_t n = read(r->fd, data, sizeof data);
    assert_true(n > 0);
    for (ssize_t i = 0; i < n;) {
        if (r->left == 0) {
            reader_frame(r, data[i++]);
            continue;
        }
        size_t take = MIN((size_t)(n - i), r->left);
        size_t bytes = r->left > 2 ? MIN(take, r->left - 2) : 0;
        assert_int_equal(events_feed(&r->events, (struct str){data + i, bytes}), 0);
        r->left -= take;
        i += (ssize_t)take;
    }
}

static void watch_test_move(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        watch_moved(watch_test_origin->watch, STR("film"));
}

/* --- tests ------------------------------------------------------------------------------------ */

static void watch_test_resume(void **state)
{
    (void)state;
    struct reader r;
    char last[64];
    reader_open(&r, "none");
    while (r.live == 0)
        reader_read(&r);
    assert_int_equal(r.resumed, 0);
    assert_int_equal(str_copy(str_of(r.id), last, sizeof last), 0);
    reader_close(&r);

    watch_test_move(WATCH_LOG_MAX); /* just as many as are remembered */
    reader_open(&r, last);
    while (r.live == 0)
        reader_read(&r);
    assert_int_equal(r.refs, WATCH_LOG_MAX);
    assert_int_equal(r.resumed, 1);
    reader_close(&r);

    watch_test_move(1);
    reader_open(&r, last);
    while (r.live == 0)
        reader_read(&r);
    assert_int_equal(r.refs, 0);
    assert_int_equal(r.resumed, 0);
    reader_close(&r);
}

/* It reads nothing while much happens: then it hears that it has lost the thread, and goes on. */
static void watch_test_lost(void **state)
{
    (void)state;
    struct reader r;
    reader_open(&r, "none");
    while (r.live == 0)
        reader_read(&r);
    watch_test_move(MOVES_MANY);
    while (r.lost == 0)
        reader_read(&r);
    assert_true(r.refs < MOVES_MANY);
    unsigned before = r.refs;
    watch_test_move(1);
    while (r.refs == before)
        reader_read(&r);
    assert_int_equal(r.live, 1);
    reader_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(watch_test_resume),
        cmocka_unit_test(watch_test_lost),
    };
    return cmocka_run_group_tests(tests, watch_test_setup, watch_test_teardown);
}
