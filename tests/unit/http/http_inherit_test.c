/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets that outlive their server: what queues on one is answered by the next. */
#include "http/http_inherit.h"
#include <errno.h>
#include <fcntl.h>
#include "http_test_util.h"

static int listening(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(listen(fd, 5), 0);
    return fd;
}

static int parse(const char *text)
{
    struct err err = {{0}};
    int r = http_inherit_parse(str_of(text), &err);
    assert_int_equal(r < 0, err.text[0] != '\0');
    return r;
}

static void test_texts(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "x",
        "3",
        "3=a",
        "3=a|1",
        "=a|1|0",
        "3=a|70000|0",
        "3=a|1|x",
        "-1=a|1|0",
        "3=a|1|0|0",
        "99999=a|1|0",
        "0=a|1|0",
        "3=a|1|99999",
        "3=an-address-that-is-longer-than-any-numeric-address-with-a-zone-can-ever-be|1|0",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_true(parse(bad[i]) < 0);
    int plain =
        open("/dev/null", O_RDONLY | O_CLOEXEC); /* no socket; and one that listens to nobody */
    int deaf = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char text[128];
    (void)snprintf(text, sizeof text, "%d=127.0.0.1|80|0", plain);
    assert_true(parse(text) < 0);
    (void)snprintf(text, sizeof text, "%d=127.0.0.1|80|0", deaf);
    assert_int_equal(parse(text), -EINVAL);
    (void)close(plain);
    (void)close(deaf);
    assert_int_equal(parse(""), 0);
    int fds[2] = {listening(), listening()};
    (void)snprintf(text, sizeof text, "%d=::1|0|3 %d=::1|0|3", fds[0], fds[1]);
    assert_int_equal(parse(text), 0);
    assert_int_not_equal(fcntl(fds[0], F_GETFD) & FD_CLOEXEC, 0);
    int got[4];
    assert_int_equal(http_inherit_take("::1", 0, 2, got, 4), 0);
    assert_int_equal(http_inherit_take("::1", 1, 3, got, 4), 0);
    assert_int_equal(http_inherit_take("::1", 0, 3, got, 4), 2);
    assert_int_equal(got[0] + got[1], fds[0] + fds[1]);
    (void)close(got[0]);
    (void)close(got[1]);
}

static void on_who(struct http_req *req, void *arg)
{
    http_reply(req, 200, NULL, str_of(arg));
}

static struct http_server *who_server(const char *who, unsigned workers, uint16_t *ret_port)
{
    struct http_server *s = server_new((struct http_options){.workers = workers});
    assert_int_equal(http_route(s, HTTP_GET, "/who", on_who, (void *)(uintptr_t)who), 0);
    *ret_port = server_start(s);
    return s;
}

/* Ports that the kernel chose stay the same through three servers of different size, and
 * connections that were made while there was none are answered. */
static void test_servers(void **state)
{
    (void)state;
    static const unsigned workers[] = {2, 4, 1};
    uint16_t port = 0;
    struct http_server *s = who_server("first", 2, &port);
    uint16_t beside_port = 0;
    struct http_server *beside = who_server("beside", 1, &beside_port);
    for (size_t i = 0; i < ARRAY_LEN(workers); i++) {
        http_inherit_keep(true);
        (void)http_server_free(s);
        http_inherit_keep(false);
        int waiting[12];
        for (size_t n = 0; n < ARRAY_LEN(waiting); n++) {
            waiting[n] = raw_open(port);
            raw_send(waiting[n], "GET /who HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        uint16_t again = 0;
        s = who_server("next", workers[i], &again);
        assert_int_equal(again, port);
        for (size_t n = 0; n < ARRAY_LEN(waiting); n++) {
            struct raw_answer a = raw_read(waiting[n], false);
            assert_int_equal(a.status, 200);
            assert_true(raw_body_has(&a, "next"));
            raw_answer_free(&a);
            (void)close(waiting[n]);
        }
    }
    CLEAN_BUF struct buf list = BUF_EMPTY;
    int fds[16];
    assert_int_equal(http_inherit_list(&list, fds, 16), 4 + 1); /* the most there were; and one */
    assert_non_null(strstr(list.data, "=127.0.0.1|0|1"));
    (void)http_server_free(s);
    (void)http_server_free(beside);
    assert_int_equal(http_inherit_list(&list, fds, 16), 0);
}

/* Sockets that nobody wants any more are closed. */
static void test_discard(void **state)
{
    (void)state;
    uint16_t port = 0;
    struct http_server *s = who_server("only", 1, &port);
    http_inherit_keep(true);
    (void)http_server_free(s);
    http_inherit_keep(false);
    int fd = raw_open(port);
    http_inherit_discard();
    struct buf rest = BUF_EMPTY;
    assert_false(raw_more(fd, &rest));
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_servers),
        cmocka_unit_test(test_discard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
