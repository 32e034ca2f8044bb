/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_limit.h"
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "../unit.h"

static struct sockaddr_storage address_of(const char *text)
{
    struct sockaddr_storage all = {0};
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
        memcpy(&all, &in, sizeof in);
    else if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1)
        memcpy(&all, &in6, sizeof in6);
    else
        fail_msg("%s", text);
    return all;
}

static int enter(struct http_limits *l, const char *text, unsigned max, struct http_limit **ret)
{
    struct sockaddr_storage a = address_of(text);
    return http_limit_enter(l, (const struct sockaddr *)(const void *)&a, max, ret);
}

static void test_addresses(void **state)
{
    (void)state;
    struct http_limits *l = NULL;
    struct http_limit *in[8] = {NULL};
    assert_int_equal(http_limits_new(&l), 0);
    assert_int_equal(enter(l, "192.0.2.1", 2, &in[0]), 0);
    assert_int_equal(enter(l, "::ffff:192.0.2.1", 2, &in[1]), 0); /* the same */
    assert_int_equal(enter(l, "192.0.2.1", 2, &in[2]), -EBUSY);
    assert_int_equal(enter(l, "192.0.2.2", 2, &in[2]), 0);
    assert_int_equal(enter(l, "2001:db8:1:2::1", 2, &in[3]), 0);
    assert_int_equal(enter(l, "2001:db8:1:2:ffff::9", 2, &in[4]), 0); /* the same /64 */
    assert_int_equal(enter(l, "2001:db8:1:2::7", 2, &in[5]), -EBUSY);
    assert_int_equal(enter(l, "2001:db8:1:3::1", 2, &in[5]), 0);
    assert_int_equal(http_limits_count(l), 4);
    assert_null(http_limit_leave(l, in[0]));
    assert_int_equal(enter(l, "192.0.2.1", 2, &in[0]), 0);
    struct sockaddr unix_one = {.sa_family = AF_UNIX};
    assert_int_equal(http_limit_enter(l, &unix_one, 0, &in[6]), -EAFNOSUPPORT);
    for (unsigned i = 0; i < 6; i++)
        assert_null(http_limit_leave(l, in[i]));
    assert_int_equal(http_limits_count(l), 0);
    assert_null(http_limit_leave(l, NULL));
    assert_null(http_limits_free(l));
}

#define MANY 5000

static void test_many(void **state)
{
    (void)state;
    struct http_limits *l = NULL;
    static struct http_limit *in[MANY];
    assert_int_equal(http_limits_new(&l), 0);
    for (unsigned i = 0; i < MANY; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "10.0.%u.%u", i >> 8, i & 255);
        assert_int_equal(enter(l, text, 1, &in[i]), 0);
    }
    assert_int_equal(http_limits_count(l), MANY);
    struct http_limit *more = NULL;
    assert_int_equal(enter(l, "10.0.3.7", 1, &more), -EBUSY); /* also behind the table's growth */
    for (unsigned i = 0; i < MANY; i++)
        assert_null(http_limit_leave(l, in[(i * 7919ull) % MANY]));
    assert_int_equal(http_limits_count(l), 0);
    assert_null(http_limits_free(l));
}

static void *threads_run(void *arg)
{
    struct http_limits *l = arg;
    for (unsigned i = 0; i < 2000; i++) {
        struct http_limit *e = NULL;
        char text[32];
        (void)snprintf(text, sizeof text, "10.1.0.%u", i % 16);
        if (enter(l, text, 3, &e) == 0) {
            uint64_t wait_us = 0;
            if (http_limit_ask(l, e, 1000000, 0, i + 1, 100, &wait_us) > 0)
                http_limit_take(l, e, 100);
        }
        (void)http_limit_leave(l, e);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct http_limits *l = NULL;
    pthread_t threads[4];
    assert_int_equal(http_limits_new(&l), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, threads_run, l), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(http_limits_count(l), 0);
    assert_null(http_limits_free(l));
}

/* How long it takes to send so many bytes, by the bucket's own word. */
static uint64_t send_us(struct http_bucket *b, uint64_t rate, uint64_t burst, uint64_t now_us,
                        uint64_t bytes)
{
    uint64_t begun = now_us;
    while (bytes > 0) {
        uint64_t wait_us = 0;
        uint64_t n = http_bucket_ask(b, rate, burst, now_us, MIN(bytes, 65536), &wait_us);
        assert_true(n > 0 || wait_us > 0);
        assert_true(n <= bytes);
        if (n > 0)
            http_bucket_take(b, n);
        bytes -= n;
        now_us += n > 0 ? 0 : wait_us;
    }
    return now_us - begun;
}

static void test_pace(void **state)
{
    (void)state;
    static const uint64_t rates[] = {1000, 50000, 1000000, 125000000};
    for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
        struct http_bucket b = {0};
        uint64_t rate = rates[i];
        uint64_t burst = 4 * rate;
        /* The burst at once, the rest at the rate; a quantum more or less. */
        uint64_t us = send_us(&b, rate, burst, 1000000, burst + 10 * rate);
        assert_in_range(us, 7900000, 10100000);
        /* What was saved up since is a burst at most. */
        us = send_us(&b, rate, burst, 500000000, burst + 10 * rate);
        assert_in_range(us, 7900000, 10100000);
    }
    struct http_bucket b = {0};
    (void)send_us(&b, 1000000, 0, 1000, 10000000);
    b.tokens = -1000000; /* overdrawn, by an answer that could not be cut: waited off */
    uint64_t wait_us = 0;
    assert_int_equal(http_bucket_ask(&b, 1000000, 0, b.at_us, 1000, &wait_us), 0);
    assert_in_range(wait_us, 1000000, 1100000);
    /* A clock that is far ahead overflows nothing. */
    assert_true(http_bucket_ask(&b, UINT64_MAX, UINT64_MAX, UINT64_MAX / 2, 1000, &wait_us) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_pace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
