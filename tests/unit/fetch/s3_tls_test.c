/* SPDX-License-Identifier: Apache-2.0 */
/* The S3 tier over TLS, on a real S3 server: s3_tls_test KIND. */
#include "tier_server.h"

static void all_goes_over_tls(void **state)
{
    struct server *server = *state;
    struct s3_options o = server_options(server);
    o.prefix = "tls/";
    struct store_tier *t = server_tier(o);
    static const size_t sizes[] = {1, MIB, 40 * MIB};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct digest d;
        struct rbuf *b = blob_make(sizes[i], 50 + i, &d);
        assert_int_equal(tier_put(t, &d, b), 0);
        assert_int_equal(tier_get(t, &d, sizes[i]), 0);
        (void)rbuf_unref(b);
    }
    struct listed l = {.max = 10};
    assert_int_equal(tier_list(t, &l), 0);
    assert_int_equal(l.count, ARRAY_LEN(sizes));
    (void)t->ops->free(t);
}

static void a_stranger_is_not_trusted(void **state)
{
    struct server *server = *state;
    struct s3_options o = server_options(server);
    o.ca_file = NULL;
    struct store_tier *t = server_tier(o);
    struct digest d;
    struct rbuf *b = blob_make(1000, 60, &d);
    struct err err = {""};
    assert_int_equal(tier_put(t, &d, b), -EBADMSG);
    assert_int_equal(tier_get(t, &d, 1000), -EBADMSG);
    assert_int_equal(t->ops->check(t, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "certificate"));
    (void)rbuf_unref(b);
    (void)t->ops->free(t);
}

/* The last test: connections are open when the server dies, and a write to them is a SIGPIPE. */
static void a_server_may_die(void **state)
{
    struct server *server = *state;
    struct s3_options o = server_options(server);
    o.prefix = "tls/";
    o.retries = 1;
    struct store_tier *t = server_tier(o);
    struct answer answers[8];
    struct digest d;
    struct rbuf *b = blob_make(40 * MIB, 52, &d); /* it is there */
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        answer_init(&answers[i]);
        if (i % 2 == 0)
            t->ops->get(t, &d, 40 * MIB, answer_got, &answers[i]);
        else
            t->ops->put(t, &d, b, answer_done, &answers[i]);
    }
    (void)answer_wait(&answers[0]);
    process_stop(server->pid, SIGKILL);
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        int r = answer_wait(&answers[i]);
        assert_true(r == 0 || r == -EHOSTDOWN || r == -ECONNRESET || r == -ETIMEDOUT);
        answer_clear(&answers[i]);
    }
    assert_true(tier_get(t, &d, 40 * MIB) < 0);
    (void)rbuf_unref(b);
    (void)t->ops->free(t);
}

int main(int argc, char **argv)
{
    struct server server = {.kind = argc == 2 ? argv[1] : "versitygw", .is_tls = true};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(all_goes_over_tls, &server),
        cmocka_unit_test_prestate(a_stranger_is_not_trusted, &server),
        cmocka_unit_test_prestate(a_server_may_die, &server),
    };
    server_start(&server);
    server_wait_ready(&server);
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    place_remove(&server.place);
    return r;
}
