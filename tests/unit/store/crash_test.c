/* SPDX-License-Identifier: Apache-2.0 */
/* kill -9 of a writer at random points, hundreds of times: what was acknowledged is there, byte
 * for byte, and what was not is whole or absent. WEIR_CRASH_ROUNDS: kills of each mode. */
#include "store/store.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/file.h"
#include "io/io.h"
#include "store_fixture.h"

#define ROUNDS    80 /* of each mode */
#define IN_FLIGHT 8
#define REFS      5u
#define ACKS_MAX  40 /* before a kill */

/* What the writer is at when it is killed. */
struct crash_mode {
    const char *name;
    uint64_t volume_size, size_max, hot_size;
    bool reads; /* asks for what it put, so that a cache has something to keep */
};

static const struct crash_mode modes[] = {
    {.name = "writing", .volume_size = 8 << 20},
    {.name = "rolling", .volume_size = 128 << 10},
    {.name = "evicting", .volume_size = 128 << 10, .size_max = 1 << 20, .reads = true},
};

/* The writer tells of each acknowledgement. */
struct ack {
    uint64_t ref; /* 0: a blob; else the ref's number and 1 */
    uint64_t value;
};

/* --- the writer, a process of its own --------------------------------------------------------- */

struct writer {
    const struct crash_mode *mode;
    struct store_worker *worker;
    int pipe;
    uint64_t next, moves;
    unsigned under_way;
};

struct writing {
    struct writer *writer;
    uint64_t seed;
};

/* Blobs of all kinds: within a page, within a block, over several; each seed has one size. */
static uint32_t size_of(uint64_t seed)
{
    static const uint32_t sizes[] = {100, 5000, 70000, 20000, 0, 4032};
    return sizes[seed % ARRAY_LEN(sizes)] + (uint32_t)(seed % 97);
}

static struct digest presentation_of(uint64_t value)
{
    struct digest d = {{0}};
    memcpy(d.bytes, &value, sizeof value);
    return d;
}

static void writer_tell(struct writer *w, uint64_t ref, uint64_t value)
{
    struct ack a = {.ref = ref, .value = value};
    if (write(w->pipe, &a, sizeof a) != sizeof a)
        _exit(11);
}

static void writer_done(void *arg, int res)
{
    struct writing *x = arg;
    if (res != 0)
        _exit(10);
    writer_tell(x->writer, 0, x->seed);
    x->writer->under_way--;
    free(x);
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
    uint64_t ref = w->moves % REFS, value = w->next << 16 | w->moves;
    struct digest d = presentation_of(value);
    w->moves++;
    (void)snprintf(name, sizeof name, "ref-%d", (int)ref);
    /* The reader learns of it before: what it finds must have been asked for. */
    writer_tell(w, ref + 1 + REFS, value);
    if (fixture_ref_put(w->worker, name, &d, STORE_REF_ANY) != 0)
        _exit(13);
    writer_tell(w, ref + 1, value);
}

static void writer_read(struct writer *w, uint64_t first)
{
    uint64_t seed = first + w->moves % 8;
    int r = seed < w->next ? fixture_get_seed(w->worker, seed, size_of(seed)) : 0;
    if (r != 0 && r != -ENOENT)
        _exit(15);
}

static _Noreturn void writer_run(struct fixture *f, const struct crash_mode *mode, int pipe,
                                 uint64_t first)
{
    struct writer w = {.mode = mode, .pipe = pipe, .next = first};
    struct err err;
    if (store_open(&f->options, &err, &f->store) != 0 || store_worker_new(f->store, &w.worker) != 0)
        _exit(14);
    for (;;) {
        while (w.under_way < IN_FLIGHT)
            writer_put(&w);
        writer_move_ref(&w);
        if (mode->reads)
            writer_read(&w, first);
    }
}

/* --- the judge -------------------------------------------------------------------------------- */

struct crash {
    const struct crash_mode *mode;
    struct fixture f;
    unsigned random;
    uint64_t *seeds; /* acknowledged */
    size_t count;
    uint64_t acked[REFS], asked[REFS];
    unsigned kills;
};

static void crash_take(struct crash *c, const struct ack *a)
{
    if (a->ref > REFS) {
        c->asked[a->ref - 1 - REFS] = a->value;
        return;
    }
    if (a->ref > 0) {
        c->acked[a->ref - 1] = a->value;
        return;
    }
    if (c->count % 1024 == 0) {
        c->seeds = reallocarray(c->seeds, c->count + 1024, sizeof *c->seeds);
        assert_non_null(c->seeds);
    }
    c->seeds[c->count++] = a->value;
}

/* Kills the writer some microseconds after some acknowledgements. */
static void crash_once(struct crash *c, uint64_t first)
{
    int fds[2], status = 0;
    unsigned after = (unsigned)rand_r(&c->random) % ACKS_MAX;
    struct timespec pause = {.tv_nsec = rand_r(&c->random) % 1000000};
    struct ack a;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fds[0]);
        writer_run(&c->f, c->mode, fds[1], first);
    }
    close(fds[1]);
    for (unsigned i = 0;; i++) {
        if (i == after) {
            (void)nanosleep(&pause, NULL);
            assert_int_equal(kill(pid, SIGKILL), 0);
        }
        ssize_t n = read(fds[0], &a, sizeof a);
        if (n == 0)
            break; /* the writer is gone, and so is all it said */
        assert_int_equal(n, sizeof a);
        crash_take(c, &a);
    }
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status))
        fail_msg("the writer ended by itself: %d", WEXITSTATUS(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    c->kills++;
}

static void crash_check_refs(struct crash *c)
{
    char name[32];
    for (unsigned i = 0; i < REFS; i++) {
        struct store_ref ref;
        struct digest acked = presentation_of(c->acked[i]), asked = presentation_of(c->asked[i]);
        (void)snprintf(name, sizeof name, "ref-%d", (int)i);
        int r = store_ref_get(c->f.worker, str_of(name), &ref);
        if (c->acked[i] != 0)
            assert_int_equal(r, 0);
        else
            assert_true(r == 0 || r == -ENOENT);
        if (r != 0)
            continue;
        assert_true(digest_eq(&ref.presentation, &acked) || digest_eq(&ref.presentation, &asked));
        memcpy(&c->acked[i], ref.presentation.bytes, sizeof c->acked[i]);
    }
}

static void crash_check_blob(struct crash *c, uint64_t seed)
{
    int r = fixture_get_seed(c->f.worker, seed, size_of(seed));
    if (r != 0 && !(c->mode->size_max > 0 && r == -ENOENT))
        fail_msg("blob %llu, acknowledged: %d", (unsigned long long)seed, r);
}

/* This round's acknowledgements; of earlier ones one in so many: a torn tail must not have been
 * written over them. */
static void crash_check(struct crash *c, uint64_t begin, unsigned one_in)
{
    struct store_stat stat;
    for (size_t i = 0; i < c->count; i++) {
        if (c->seeds[i] >= begin || i % one_in == c->kills % one_in)
            crash_check_blob(c, c->seeds[i]);
    }
    /* Those after the last acknowledged may be there, whole, or not. */
    for (uint64_t s = begin; s < begin + 2 * ACKS_MAX; s++) {
        int r = fixture_get_seed(c->f.worker, s, size_of(s));
        assert_true(r == 0 || r == -ENOENT);
    }
    crash_check_refs(c);
    store_stat(c->f.store, &stat);
    assert_int_equal(stat.damaged, 0);
}

static void crash_open(struct crash *c)
{
    struct err err = {{0}};
    int r = store_open(&c->f.options, &err, &c->f.store);
    if (r != 0)
        fail_msg("store_open: %d: %s", r, err.text);
    assert_int_equal(store_worker_new(c->f.store, &c->f.worker), 0);
}

static void crash_folder(struct crash *c)
{
    struct fixture *f = &c->f;
    bool shm = access("/dev/shm", W_OK) == 0; /* a killed process needs no disk */
    (void)snprintf(f->folder, sizeof f->folder, "%s/weir-crash-XXXXXX", shm ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(f->folder));
    (void)snprintf(f->path, sizeof f->path, "%s/s", f->folder);
    f->options = (struct store_options){.path = f->path,
                                        .volume_size = c->mode->volume_size,
                                        .size_max = c->mode->size_max,
                                        .hot_size = c->mode->hot_size,
                                        .index_size = 64 << 20};
    const char *io = getenv("WEIR_TEST_IO");
    if (io != NULL)
        f->options.io = strcmp(io, "plain") == 0 ? &io_plain : &io_ring;
}

static void crash_test_mode(void **state)
{
    struct crash c = {.mode = *state, .random = (unsigned)time(NULL)};
    const char *text = getenv("WEIR_CRASH_ROUNDS");
    int rounds = text != NULL ? (int)strtol(text, NULL, 10) : ROUNDS;
    size_t acks = 0;
    print_message("%s: random seed %u\n", c.mode->name, c.random);
    crash_folder(&c);
    uint64_t first = 1;
    for (int round = 0; round < rounds; round++, first += 100000) {
        size_t before = c.count;
        crash_once(&c, first);
        acks += c.count - before;
        crash_open(&c);
        crash_check(&c, first, 7);
        fixture_close(&c.f);
    }
    crash_open(&c);
    crash_check(&c, 1, 1);
    print_message("%s: %u kills, %zu acknowledged blobs\n", c.mode->name, c.kills, acks);
    assert_true(acks > 0);
    free(c.seeds);
    fixture_free(&c.f);
}

int main(void)
{
    struct CMUnitTest tests[ARRAY_LEN(modes)];
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        tests[i] = (struct CMUnitTest){.name = modes[i].name,
                                       .test_func = crash_test_mode,
                                       .initial_state = (void *)(uintptr_t)&modes[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
