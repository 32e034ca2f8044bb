/* SPDX-License-Identifier: Apache-2.0 */
/* A host whose clock is wrong, on a real S3 server: s3_clock_test KIND. This program's time() comes
 * before libc's, for libcurl too, which signs with it; the server is another process. */
#include "tier_server.h"
#include <sys/time.h>
#include <time.h>

static _Atomic(time_t) shift;

time_t time(time_t *out)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    time_t t = now.tv_sec + atomic_load(&shift);
    if (out != NULL)
        *out = t;
    return t;
}

static void a_wrong_clock_is_told(void **state)
{
    (void)state;
    struct server *server = *state;
    struct store_tier *t = server_tier(server_options(server));
    struct digest d;
    struct rbuf *b = blob_make(1000, 1, &d);
    struct err err = {""};
    static const time_t shifts[] = {-7200, 7200};
    for (size_t i = 0; i < ARRAY_LEN(shifts); i++) {
        atomic_store(&shift, shifts[i]);
        assert_int_equal(tier_put(t, &d, b), -EACCES);
        assert_int_equal(tier_get(t, &d, 1000), -EACCES);
        assert_int_equal(t->ops->check(t, &err), -EACCES);
        assert_non_null(strstr(err.text, "RequestTimeTooSkewed"));
        assert_non_null(strstr(err.text, "set this host's clock"));
    }
    atomic_store(&shift, 0); /* and it was nothing else */
    assert_int_equal(tier_put(t, &d, b), 0);
    assert_int_equal(tier_get(t, &d, 1000), 0);
    (void)rbuf_unref(b);
    (void)t->ops->free(t);
}

int main(int argc, char **argv)
{
    struct server server = {.kind = argc == 2 ? argv[1] : "versitygw"};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(a_wrong_clock_is_told, &server),
    };
    server_start(&server);
    server_wait_ready(&server);
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    server_stop(&server);
    return r;
}
