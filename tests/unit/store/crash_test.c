/* SPDX-License-Identifier: Apache-2.0 */
/* kill -9 of a writer at random points: what was acknowledged is there, byte for byte. */
#include "store/store.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "store_fixture.h"

#define ROUNDS    20
#define IN_FLIGHT 8

struct writer {
    struct store_worker *worker;
    int pipe;
    uint64_t next;
    unsigned under_way;
};

struct writing {
    struct writer *writer;
    uint64_t seed;
};

/* Blobs of all kinds: within a page, within a block, over several; each seed has one size. */
static uint32_t size_of(uint64_t seed)
{
    static const uint32_t sizes[] = {100, 5000, 70000, 250000, 0, 4032};
    return sizes[seed % ARRAY_LEN(sizes)] + (uint32_t)(seed % 97);
}

static void writer_put(struct writer *w);

static void writer_done(void *arg, int res)
{
    struct writing *x = arg;
    struct writer *w = x->writer;
    if (res != 0)
        _exit(10);
    if (write(w->pipe, &x->seed, sizeof x->seed) != sizeof x->seed)
        _exit(11);
    free(x);
    w->under_way--;
}

static void writer_put(struct writer *w)
{
    struct digest d;
    struct writing *x = malloc(sizeof *x);
    if (x == NULL)
        _exit(12);
    *x = (struct writing){.writer = w, .seed = w->next++};
    struct rbuf *b = fixture_blob(x->seed, size_of(x->seed), &d);
    w->under_way++;
    store_put(w->worker, &d, b, 0, writer_done, x);
    rbuf_unref(b);
}

static void writer_move_ref(struct writer *w)
{
    char name[32];
    struct digest d;
    rbuf_unref(fixture_blob(w->next, 0, &d));
    (void)snprintf(name, sizeof name, "ref-%d", (int)(w->next % 5));
    if (fixture_ref_put(w->worker, name, &d, STORE_REF_ANY) != 0)
        _exit(13);
}

static _Noreturn void writer_run(struct fixture *f, int pipe, uint64_t first)
{
    struct writer w = {.pipe = pipe, .next = first};
    struct err err;
    if (store_open(&f->options, &err, &f->store) != 0 || store_worker_new(f->store, &w.worker) != 0)
        _exit(14);
    for (;;) {
        while (w.under_way < IN_FLIGHT)
            writer_put(&w);
        writer_move_ref(&w);
    }
}

/* Kills the writer after some acknowledgements; appends what it acknowledged to seeds. */
static void crash_once(struct fixture *f, uint64_t first, unsigned after, uint64_t **seeds,
                       size_t *count)
{
    int fds[2], status = 0;
    uint64_t seed;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fds[0]);
        writer_run(f, fds[1], first);
    }
    close(fds[1]);
    for (unsigned i = 0;; i++) {
        if (i == after)
            assert_int_equal(kill(pid, SIGKILL), 0);
        ssize_t n = read(fds[0], &seed, sizeof seed);
        if (n == 0)
            break; /* the writer is gone, and so is all it said */
        assert_int_equal(n, sizeof seed);
        *seeds = reallocarray(*seeds, *count + 1, sizeof **seeds);
        assert_non_null(*seeds);
        (*seeds)[(*count)++] = seed;
    }
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status))
        fail_msg("the writer ended by itself: %d", WEXITSTATUS(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static bool ref_each(void *arg, struct str name, const struct store_ref *ref)
{
    int *count = arg;
    assert_true(store_name_ok(name));
    assert_true(ref->generation > 0);
    (*count)++;
    return true;
}

static void crash_test_acknowledged_stays(void **state)
{
    (void)state;
    struct fixture f;
    uint64_t *seeds = NULL, first = 0;
    size_t count = 0;
    unsigned random = (unsigned)time(NULL);
    print_message("random seed %u\n", random);
    fixture_new(&f);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t begin = first;
        crash_once(&f, first, (unsigned)rand_r(&random) % 60, &seeds, &count);
        first += 100000;
        fixture_open(&f);
        /* This round's all; of earlier ones some: a torn tail must not have been written over. */
        for (size_t i = 0; i < count; i++) {
            if (seeds[i] >= begin || i % 7 == (size_t)round % 7)
                assert_int_equal(fixture_get_seed(f.worker, seeds[i], size_of(seeds[i])), 0);
        }
        /* Those after the last acknowledged may be there, whole, or not. */
        for (uint64_t s = begin; s < begin + 100; s++) {
            int r = fixture_get_seed(f.worker, s, size_of(s));
            assert_true(r == 0 || r == -ENOENT);
        }
        struct store_stat stat;
        int refs = 0;
        store_stat(f.store, &stat);
        assert_int_equal(stat.damaged, 0);
        assert_int_equal(store_ref_list(f.worker, ref_each, &refs), 0);
        fixture_close(&f);
    }
    fixture_open(&f);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(fixture_get_seed(f.worker, seeds[i], size_of(seeds[i])), 0);
    print_message("%zu acknowledged blobs read back\n", count);
    assert_true(count > 0);
    free(seeds);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(crash_test_acknowledged_stays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
