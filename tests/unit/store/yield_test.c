/* SPDX-License-Identifier: Apache-2.0 */
/* A store that one process leaves to another while it goes on reading. */
#include "store/store.h"
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>
#include "store_fixture.h"

#define SIZE  50000u
#define BLOBS 20u

static void tell(int fd)
{
    assert_int_equal(write(fd, "x", 1), 1);
}

static void wait_for(int fd)
{
    char x;
    assert_int_equal(read(fd, &x, 1), 1);
}

/* The new process: opens once it is told to, finds all, and writes. */
static _Noreturn void successor(struct fixture *f, int in, int out)
{
    char x;
    if (read(in, &x, 1) != 1)
        _exit(10);
    fixture_open(f);
    for (uint64_t i = 0; i < BLOBS; i++)
        if (fixture_get_seed(f->worker, i, SIZE) != 0)
            _exit(11);
    fixture_put_seeds(f->worker, 1000, BLOBS * 100,
                      SIZE); /* volumes that the other does not know */
    if (write(out, "x", 1) != 1 || read(in, &x, 1) != 1)
        _exit(12);
    fixture_close(f);
    _exit(0);
}

static void yield_test_hand_over(void **state)
{
    (void)state;
    struct fixture f;
    int to[2], from[2], status = 0;
    fixture_new(&f);
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    pid_t pid = fork(); /* before there is a thread, or an index */
    assert_true(pid >= 0);
    if (pid == 0)
        successor(&f, to[0], from[1]);
    fixture_open(&f);
    fixture_put_seeds(f.worker, 0, BLOBS, SIZE);
    store_yield(f.store);
    store_yield(f.store); /* once is enough */
    assert_int_equal(fixture_put_seed(f.worker, 500, SIZE), -EROFS);
    assert_int_equal(fixture_get_seed(f.worker, 3, SIZE), 0);
    tell(to[1]);
    wait_for(from[0]);
    /* What was here is, and so is what the other has written, in new volumes too. */
    for (uint64_t i = 0; i < BLOBS; i++)
        assert_int_equal(fixture_get_seed(f.worker, i, SIZE), 0);
    for (uint64_t i = 0; i < BLOBS * 100; i += 13)
        assert_int_equal(fixture_get_seed(f.worker, 1000 + i, SIZE), 0);
    assert_int_equal(fixture_get_seed(f.worker, 500, SIZE), -ENOENT);
    fixture_close(&f);
    tell(to[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    fixture_reopen(&f); /* and back */
    assert_int_equal(fixture_get_seed(f.worker, 1000, SIZE), 0);
    assert_int_equal(fixture_put_seed(f.worker, 500, SIZE), 0);
    fixture_free(&f);
    for (unsigned i = 0; i < 2; i++) {
        (void)close(to[i]);
        (void)close(from[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(yield_test_hand_over)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
