/* SPDX-License-Identifier: Apache-2.0 */
/* Paced answers: whole, and not sooner than their rate allows. (How much later is the host's.) */
#include <pthread.h>
#include "base/clock.h"
#include "http_test_util.h"

#define RATE  UINT64_C(1000000)
#define BURST UINT64_C(100000)
#define SIZE  300000u

static struct rbuf *pace_body;

static void on_paced(struct http_req *req, void *arg)
{
    struct http_entity e = {.type = "text/plain", .body = pace_body};
    const enum http_pace_by *by = arg;
    if (by != NULL)
        http_res_pace(req, RATE, BURST, *by);
    http_reply_entity(req, &e);
}

struct pace_client {
    uint16_t port;
    const char *path;
    uint64_t took_us;
};

static void *pace_run(void *arg)
{
    struct pace_client *c = arg;
    char request[64];
    uint64_t begun = clock_mono_us();
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", c->path);
    int fd = raw_open(c->port);
    raw_send(fd, request);
    struct buf all = BUF_EMPTY; /* raw_read's buffer is shared by threads: each has its own here */
    char bytes[16384];
    while (all.size < SIZE || strstr(all.data, "\r\n\r\n") == NULL ||
           all.size < SIZE + 4 + (size_t)(strstr(all.data, "\r\n\r\n") - all.data)) {
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n <= 0)
            break;
        buf_put(&all, bytes, (size_t)n);
    }
    uint32_t size;
    const uint8_t *body = rbuf_data(pace_body, &size);
    if (all.size >= SIZE && memcmp(all.data + all.size - SIZE, body, SIZE) == 0)
        c->took_us = clock_mono_us() - begun;
    buf_free(&all);
    (void)close(fd);
    return NULL;
}

/* The time that count clients at once take together. */
static uint64_t pace_all(uint16_t port, const char *path, unsigned count)
{
    struct pace_client c[4];
    pthread_t threads[4];
    uint64_t begun = clock_mono_us();
    for (unsigned i = 0; i < count; i++) {
        c[i] = (struct pace_client){.port = port, .path = path};
        assert_int_equal(pthread_create(&threads[i], NULL, pace_run, &c[i]), 0);
    }
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(c[i].took_us > 0); /* all of it, and the right bytes */
    }
    return clock_mono_us() - begun;
}

static uint64_t pace_least_us(uint64_t bytes, uint64_t bursts)
{
    return (bytes - bursts * BURST) * 1000000 / RATE;
}

static void test_paced_answers(void **state)
{
    (void)state;
    static enum http_pace_by by_connection = HTTP_PACE_CONNECTION, by_address = HTTP_PACE_ADDRESS;
    CLEAN_BUF struct buf bytes = BUF_EMPTY;
    for (unsigned i = 0; i < SIZE / 10; i++)
        buf_printf(&bytes, "%09u ", i);
    assert_int_equal(rbuf_copy(bytes.data, bytes.size, &pace_body), 0);
    struct http_server *s = server_new((struct http_options){.workers = 2});
    assert_int_equal(http_route(s, HTTP_GET, "/connection", on_paced, &by_connection), 0);
    assert_int_equal(http_route(s, HTTP_GET, "/address", on_paced, &by_address), 0);
    assert_int_equal(http_route(s, HTTP_GET, "/free", on_paced, NULL), 0);
    uint16_t port = server_start(s);
    (void)pace_all(port, "/free", 4);
    assert_true(pace_all(port, "/connection", 3) >= pace_least_us(SIZE, 1));
    /* One bucket for all that come from the address, on whatever worker. */
    assert_true(pace_all(port, "/address", 3) >= pace_least_us((uint64_t)3 * SIZE, 1));
    (void)http_server_free(s);
    pace_body = rbuf_unref(pace_body);
}

/* A client that leaves in the middle of a pause. */
static void test_left_while_paced(void **state)
{
    (void)state;
    static enum http_pace_by by = HTTP_PACE_ADDRESS;
    static const char zeros[1 << 20];
    assert_int_equal(rbuf_copy(zeros, sizeof zeros, &pace_body), 0);
    struct http_server *s = server_new((struct http_options){.workers = 1});
    assert_int_equal(http_route(s, HTTP_GET, "/address", on_paced, &by), 0);
    uint16_t port = server_start(s);
    for (unsigned i = 0; i < 20; i++) {
        int fd = raw_open(port);
        raw_send(fd, "GET /address HTTP/1.1\r\nHost: a\r\n\r\n");
        struct buf some = BUF_EMPTY;
        assert_true(raw_more(fd, &some));
        buf_free(&some);
        (void)close(fd);
    }
    (void)http_server_free(s);
    pace_body = rbuf_unref(pace_body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paced_answers),
        cmocka_unit_test(test_left_while_paced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
