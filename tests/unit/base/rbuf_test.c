/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rbuf.h"
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include "../unit.h"

static void rbuf_test_append(void **state)
{
    (void)state;
    CLEAN(rbuf_unref) struct rbuf *b = NULL;
    assert_int_equal(rbuf_new(0, &b), -EINVAL);
    assert_int_equal(rbuf_new(RBUF_CAP_MAX + 1, &b), -EINVAL);
    assert_null(b);
    assert_int_equal(rbuf_new(8, &b), 0);
    assert_int_equal(rbuf_append(b, "12345", 5), 0);
    assert_int_equal(rbuf_append(b, "6789", 4), -ENOBUFS);
    assert_int_equal(rbuf_append(b, "678", 3), 0);
    uint32_t size;
    assert_memory_equal(rbuf_data(b, &size), "12345678", 8);
    assert_int_equal(size, 8);
}

static void rbuf_test_window(void **state)
{
    (void)state;
    CLEAN(rbuf_unref) struct rbuf *b = NULL;
    assert_int_equal(rbuf_new(RBUF_ALIGN * 2, &b), 0);
    uint32_t cap;
    uint8_t *space = rbuf_space(b, &cap);
    assert_int_equal(cap, RBUF_ALIGN * 2);
    assert_int_equal((uintptr_t)space % RBUF_ALIGN, 0);
    memcpy(space + 100, "body", 4);
    rbuf_window(b, 100, 4);
    uint32_t size;
    assert_memory_equal(rbuf_data(b, &size), "body", 4);
    assert_int_equal(size, 4);
}

static void *rbuf_test_holder(void *arg)
{
    struct rbuf *b = arg;
    for (int i = 0; i < 20000; i++) {
        struct rbuf *mine = rbuf_ref(b);
        uint32_t size;
        (void)rbuf_data(mine, &size);
        rbuf_unref(mine);
    }
    rbuf_unref(b);
    return NULL;
}

/* The last holder frees, whoever it is; the sanitizers watch. */
static void rbuf_test_threads(void **state)
{
    (void)state;
    struct rbuf *b = NULL;
    pthread_t threads[4];
    assert_int_equal(rbuf_copy("shared", 6, &b), 0);
    for (unsigned i = 0; i < 4; i++) {
        rbuf_ref(b);
        assert_int_equal(pthread_create(&threads[i], NULL, rbuf_test_holder, b), 0);
    }
    rbuf_unref(b);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rbuf_test_append),
        cmocka_unit_test(rbuf_test_window),
        cmocka_unit_test(rbuf_test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
