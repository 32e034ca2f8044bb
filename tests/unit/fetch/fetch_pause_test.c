/* SPDX-License-Identifier: Apache-2.0 */
/* Pauses: nothing comes, nothing times out, nothing piles up, and then all of it comes. */
#include "fetch/fetch.h"
#include "fetch_test_util.h"

#define BODY_SIZE  (24u << 20) /* more than a pair of socket buffers takes */
#define PIECE_SIZE 65536u

static uint8_t body_byte(size_t offset)
{
    return (uint8_t)(offset % 251);
}

/* Serves BODY_SIZE bytes, by chunks or with a length, and counts what went out. */
struct flood {
    bool chunked;
    atomic_size_t sent;
    atomic_bool done;
};

static bool flood_send(struct flood *f, int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n;
        size -= (size_t)n;
        atomic_fetch_add(&f->sent, (size_t)n);
    }
    return true;
}

static void serve_flood(int fd, int index, void *arg)
{
    (void)index;
    struct flood *f = arg;
    char head[128];
    if (f->chunked)
        (void)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    else
        (void)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n",
                       BODY_SIZE);
    script_say(fd, head);
    static uint8_t piece[PIECE_SIZE];
    bool ok = true;
    for (size_t at = 0; at < BODY_SIZE && ok; at += PIECE_SIZE) {
        for (size_t i = 0; i < PIECE_SIZE; i++)
            piece[i] = body_byte(at + i);
        if (f->chunked)
            script_say(fd, "10000\r\n");
        ok = flood_send(f, fd, piece, PIECE_SIZE);
        if (f->chunked)
            script_say(fd, "\r\n");
    }
    if (f->chunked)
        script_say(fd, "0\r\n\r\n");
    atomic_store(&f->done, true);
}

/* Pauses itself after each `every` bytes, for as long as the test wants. */
struct reader {
    struct loop *loop;
    struct fetch_op *op;
    struct loop_timer timer;
    size_t size, every, next;
    unsigned pauses;
    uint32_t rest_ms;
    bool is_paused, is_wrong, stays;
    int dones, res;
};

static void reader_go_on(void *arg)
{
    struct reader *r = arg;
    r->is_paused = false;
    fetch_pause(r->op, false);
}

static int reader_on_data(void *arg, const uint8_t *data, size_t size)
{
    struct reader *r = arg;
    if (r->is_paused)
        r->is_wrong = true; /* it was asked not to */
    for (size_t i = 0; i < size; i++)
        if (data[i] != body_byte(r->size + i))
            r->is_wrong = true;
    r->size += size;
    if (r->size >= r->next) {
        r->next += r->every;
        r->pauses++;
        r->is_paused = true;
        fetch_pause(r->op, true);
        if (!r->stays)
            loop_timer_start(r->loop, &r->timer, r->rest_ms, reader_go_on, r);
    }
    return 0;
}

static void reader_on_done(void *arg, int res, unsigned status)
{
    (void)status;
    struct reader *r = arg;
    r->dones++;
    r->res = res;
}

static struct fetch_request reader_request(struct reader *r, const char *url)
{
    return (struct fetch_request){.method = "GET",
                                  .url = url,
                                  .on_data = reader_on_data,
                                  .on_done = reader_on_done,
                                  .arg = r};
}

static void a_paused_answer_is_whole_in_the_end(void **state)
{
    (void)state;
    for (int chunked = 0; chunked < 2; chunked++) {
        struct flood flood = {.chunked = chunked != 0};
        struct script s = {.serve = serve_flood, .arg = &flood};
        script_start(&s);
        struct reader r = {.every = 1 << 20, .next = 1, .rest_ms = 1};
        assert_int_equal(loop_new(&r.loop), 0);
        struct fetch *f = NULL;
        assert_int_equal(fetch_new(r.loop, NULL, &f), 0);
        struct fetch_request q = reader_request(&r, url_of("http", s.port, "/x"));
        assert_int_equal(fetch_start(f, &q, &r.op), 0);
        while (r.dones == 0)
            loop_run_once(r.loop, 1000);
        assert_int_equal(r.res, 0);
        assert_int_equal(r.size, BODY_SIZE);
        assert_false(r.is_wrong);
        assert_in_range(r.pauses, 24, 25);
        script_stop(&s);
        (void)fetch_free(f);
        (void)loop_free(r.loop);
    }
}

/* Longer than the stall timeout; the upstream feels it, for it cannot get rid of its bytes. */
static void a_pause_is_no_stall_and_holds_the_upstream(void **state)
{
    (void)state;
    struct flood flood = {0};
    struct script s = {.serve = serve_flood, .arg = &flood};
    script_start(&s);
    struct reader r = {.every = BODY_SIZE, .next = 1, .rest_ms = 1500};
    assert_int_equal(loop_new(&r.loop), 0);
    struct fetch *f = NULL;
    assert_int_equal(fetch_new(r.loop, &(struct fetch_options){.stall_ms = 500}, &f), 0);
    struct fetch_request q = reader_request(&r, url_of("http", s.port, "/x"));
    assert_int_equal(fetch_start(f, &q, &r.op), 0);
    while (r.pauses == 0)
        loop_run_once(r.loop, 1000);
    while (r.is_paused) {
        assert_int_equal(r.dones, 0);
        assert_false(atomic_load(&flood.done));
        loop_run_once(r.loop, 1000);
    }
    while (r.dones == 0)
        loop_run_once(r.loop, 1000);
    assert_int_equal(r.res, 0);
    assert_int_equal(r.size, BODY_SIZE);
    assert_false(r.is_wrong);
    script_stop(&s);
    (void)fetch_free(f);
    (void)loop_free(r.loop);
}

/* From outside, before the first byte, twice, and with an end in a pause. */
static void a_pause_may_come_at_any_time(void **state)
{
    (void)state;
    struct flood flood = {0};
    struct script s = {.serve = serve_flood, .arg = &flood};
    script_start(&s);
    struct reader r = {.every = BODY_SIZE, .next = SIZE_MAX};
    assert_int_equal(loop_new(&r.loop), 0);
    struct fetch *f = NULL;
    assert_int_equal(fetch_new(r.loop, NULL, &f), 0);
    struct fetch_request q = reader_request(&r, url_of("http", s.port, "/x"));
    assert_int_equal(fetch_start(f, &q, &r.op), 0);
    fetch_pause(r.op, true);
    fetch_pause(r.op, true);
    r.is_paused = true;
    while (atomic_load(&flood.sent) == 0)
        loop_run_once(r.loop, 10);
    for (int i = 0; i < 20; i++)
        loop_run_once(r.loop, 1);
    assert_int_equal(r.size, 0);
    r.is_paused = false;
    fetch_pause(r.op, false);
    fetch_pause(r.op, true); /* at once again: not a byte in between */
    r.is_paused = true;
    for (int i = 0; i < 20; i++)
        loop_run_once(r.loop, 1);
    assert_int_equal(r.size, 0);
    r.is_paused = false;
    fetch_pause(r.op, false);
    fetch_pause(r.op, false);
    while (r.dones == 0)
        loop_run_once(r.loop, 1000);
    assert_int_equal(r.res, 0);
    assert_int_equal(r.size, BODY_SIZE);
    assert_false(r.is_wrong);
    r = (struct reader){.loop = r.loop, .every = BODY_SIZE, .next = 1, .stays = true};
    q = reader_request(&r, url_of("http", s.port, "/x"));
    assert_int_equal(fetch_start(f, &q, &r.op), 0);
    while (r.pauses == 0)
        loop_run_once(r.loop, 1000);
    fetch_cancel(r.op);
    r = (struct reader){.loop = r.loop, .every = BODY_SIZE, .next = 1, .stays = true};
    assert_int_equal(fetch_start(f, &q, &r.op), 0);
    while (r.pauses == 0)
        loop_run_once(r.loop, 1000);
    (void)fetch_free(f); /* and with all */
    assert_int_equal(r.dones, 0);
    script_stop(&s);
    (void)loop_free(r.loop);
}

static void serve_half(int fd, int index, void *arg)
{
    (void)index, (void)arg;
    script_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
    uint8_t bytes[5];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = body_byte(i);
    (void)!send(fd, bytes, sizeof bytes, MSG_NOSIGNAL);
}

static void what_breaks_off_in_a_pause_is_told_after_it(void **state)
{
    (void)state;
    struct script s = {.serve = serve_half};
    script_start(&s);
    struct reader r = {.every = BODY_SIZE, .next = 1, .rest_ms = 20};
    assert_int_equal(loop_new(&r.loop), 0);
    struct fetch *f = NULL;
    assert_int_equal(fetch_new(r.loop, NULL, &f), 0);
    struct fetch_request q = reader_request(&r, url_of("http", s.port, "/x"));
    assert_int_equal(fetch_start(f, &q, &r.op), 0);
    while (r.dones == 0)
        loop_run_once(r.loop, 1000);
    assert_int_equal(r.res, -ECONNRESET);
    assert_int_equal(r.size, 5);
    loop_timer_stop(&r.timer);
    script_stop(&s);
    (void)fetch_free(f);
    (void)loop_free(r.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_paused_answer_is_whole_in_the_end),
        cmocka_unit_test(a_pause_is_no_stall_and_holds_the_upstream),
        cmocka_unit_test(a_pause_may_come_at_any_time),
        cmocka_unit_test(what_breaks_off_in_a_pause_is_told_after_it),
    };
    return cmocka_run_group_tests_name("fetch_pause", tests, NULL, NULL);
}
