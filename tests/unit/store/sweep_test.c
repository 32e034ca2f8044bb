/* SPDX-License-Identifier: Apache-2.0 */
/* Fails the n-th call, of the store's or of LMDB's, for n = 1, 2, ... until the work passes
 * untouched; once, and from then on. No crash, no leak, no wrong bytes, nothing lost that was
 * acknowledged; and the store works again afterwards. The argument names the errors.
 *   WEIR_SIM_SEED=n   that n alone    WEIR_SIM_STEP=n  every n-th call
 *   WEIR_SIM_TRACE=1  shows the calls */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/log.h"
#include "sim_libc.h"
#include "sim_work.h"
#include "store_fixture.h"

#define BIT(call) (1u << IO_SIM_##call)

struct sweep_errors {
    const char *name;
    int res;
    uint32_t kinds; /* where it is plausible; 0: everywhere */
    bool any_order; /* names reach the disk by their own folder's sync only, or by chance */
};

static const struct sweep_errors sweep_errors[] = {
    {.name = "io", .res = -EIO},
    {.name = "space",
     .res = -ENOSPC,
     .kinds = BIT(OPEN) | BIT(ALLOCATE) | BIT(RENAME) | BIT(UNLINK) | BIT(SYNC_FOLDER) |
              BIT(PUNCH) | BIT(WRITE) | BIT(SYNC) | BIT(TRUNCATE) | BIT(MKDIR)},
    {.name = "again",
     .res = -EINTR,
     .kinds =
         BIT(OPEN) | BIT(CLOSE) | BIT(ALLOCATE) | BIT(READ) | BIT(WRITE) | BIT(SYNC) | BIT(PUNCH)},
    {.name = "again", .res = -EAGAIN, .kinds = BIT(READ) | BIT(WRITE) | BIT(SYNC) | BIT(QUEUE_NEW)},
    {.name = "short", .res = IO_SIM_SHORT, .kinds = BIT(READ) | BIT(WRITE)},
    {.name = "names",
     .res = -EIO,
     .kinds = BIT(RENAME) | BIT(UNLINK) | BIT(SYNC_FOLDER) | BIT(MKDIR),
     .any_order = true},
    {.name = "names", .res = -ENOSPC, .kinds = BIT(SYNC_FOLDER), .any_order = true},
    {.name = "files", .res = -EMFILE, .kinds = BIT(OPEN) | BIT(QUEUE_NEW)},
};

static const char *sweep_name;

struct sweep {
    const struct sweep_errors *errors;
    bool for_good, cache;
    uint64_t n;
    char folder[64], root[80], image[80], path[96], image_path[96];
    struct work work;
    struct store_options options;
    bool met; /* the fault, in this run */
    unsigned runs;
};

static struct sweep sweep;

static void sweep_say(const char *what)
{
    (void)fprintf(stderr, "%s: %s %s%s at call %llu; alone: WEIR_SIM_SEED=%llu\n", what,
                  sweep.errors->res < 0 ? strerrorname_np(-sweep.errors->res) : "short transfer",
                  sweep.for_good ? "for good" : "once", sweep.cache ? ", a cache," : "",
                  (unsigned long long)sweep.n, (unsigned long long)sweep.n);
}

static void sweep_on_abort(int sig)
{
    (void)sig;
    sweep_say("abort");
    _exit(99);
}

static unsigned sweep_count_files(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    assert_int_equal(closedir(dir), 0);
    return count;
}

static struct store *sweep_open(struct sweep *x, bool may_fail)
{
    struct store *s = NULL;
    struct err err = {{0}};
    int r = store_open(&x->options, &err, &s);
    if (r != 0 && !may_fail)
        work_refused(&x->work, r, &err);
    return s;
}

/* Everything promised is there, and more can be put. */
static void sweep_check(struct sweep *x)
{
    struct store *s = sweep_open(x, false);
    if (s == NULL)
        return;
    work_check(&x->work, s, true);
    work_run(&x->work, s, 8, 1, x->work.sim != NULL);
    work_check(&x->work, s, true);
    store_close(s);
}

/* While a call fails, then no more, then reopened. */
static void sweep_live(struct sweep *x, struct io_sim *sim)
{
    struct work *w = &x->work;
    w->may_fail = w->failed = true;
    struct store *s = sweep_open(x, true);
    if (s != NULL)
        work_run(w, s, 24, x->n % 2 == 0 ? 1 : 4, true);
    if (s != NULL && x->n % 2 == 0) {
        /* Closed and opened with the fault. */
        store_close(s);
        s = sweep_open(x, true);
        if (s != NULL)
            work_run(w, s, 12, 1, true);
    }
    x->met = io_sim_failed(sim) > 0;
    x->runs++;
    io_sim_fail(sim, NULL);
    w->may_fail = x->met; /* LMDB goes on only after it was opened anew */
    if (s != NULL)
        work_run(w, s, 8, 1, true);
    store_close(s);
    w->may_fail = false;
    sweep_check(x);
}

/* LMDB repeats without end what was interrupted, so an end must come. */
static uint64_t sweep_for_good(int res)
{
    return res == -EINTR ? 3 * IO_TRIES_MAX : UINT64_MAX;
}

/* False: something went wrong. */
static bool sweep_run(struct sweep *x)
{
    struct io_sim *sim = NULL;
    struct work *w = &x->work;
    struct io_sim_fault fault = {.kinds = x->errors->kinds,
                                 .first = x->n,
                                 .count = x->for_good ? sweep_for_good(x->errors->res) : 1,
                                 .res = x->errors->res};
    unsigned files = sweep_count_files();
    work_init(w, 7 + x->n % 3);
    assert_int_equal(mkdir(x->root, 0755), 0);
    struct io_sim_options o = {.seed = x->n, .root = x->root, .journal = !x->errors->any_order};
    assert_int_equal(io_sim_new(&o, &sim), 0);
    w->sim = sim;
    w->cache = x->cache;
    x->options = (struct store_options){.path = x->path,
                                        .volume_size = 24 * 4096,
                                        .size_max = x->cache ? 8 * 16 * 4096 : 0,
                                        .index_size = 4 << 20,
                                        .io = io_sim_ops(sim)};
    work_options(w, &x->options);
    sim_libc_attach(sim);
    io_sim_fail(sim, &fault);
    sweep_live(x, sim);
    sim_libc_attach(NULL);
    if (getenv("WEIR_SIM_TRACE") != NULL)
        io_sim_trace(sim, stderr);
    /* And what of it is durable, errors or not. */
    io_sim_crash(sim);
    w->sim = NULL;
    if (w->wrong[0] == 0) {
        assert_int_equal(io_sim_image(sim, x->image), 0);
        x->options.path = x->image_path;
        x->options.io = NULL;
        sweep_check(x);
    }
    io_sim_free(sim);
    if (w->wrong[0] == 0 && sweep_count_files() != files)
        work_wrong(w, "descriptors leak");
    assert_int_equal(file_remove_all(x->root), 0);
    assert_int_equal(file_remove_all(x->image), 0);
    work_free(w);
    if (w->wrong[0] != 0)
        sweep_say(w->wrong);
    return w->wrong[0] == 0;
}

static uint64_t sweep_env(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static unsigned sweep_all(struct sweep *x)
{
    uint64_t alone = sweep_env("WEIR_SIM_SEED", 0), step = sweep_env("WEIR_SIM_STEP", 1);
    unsigned failed = 0;
    x->met = true;
    /* Further apart as it goes on: the calls repeat themselves. */
    for (x->n = alone != 0 ? alone : 1; x->met && failed < 20; x->n += step + x->n / 100) {
        failed += !sweep_run(x);
        if (alone != 0)
            break;
    }
    return failed;
}

static void sweep_test_errors(void **state)
{
    (void)state;
    unsigned failed = 0;
    (void)signal(SIGABRT, sweep_on_abort);
    for (size_t i = 0; i < ARRAY_LEN(sweep_errors); i++) {
        if (strcmp(sweep_errors[i].name, sweep_name) != 0)
            continue;
        sweep.errors = &sweep_errors[i];
        for (unsigned how = 0; how < 4; how++) {
            sweep.for_good = how % 2 == 1;
            sweep.cache = how / 2 == 1;
            failed += sweep_all(&sweep);
        }
    }
    print_message("%u runs\n", sweep.runs);
    assert_true(sweep.runs > 0);
    assert_int_equal(failed, 0);
}

static int sweep_setup(void **state)
{
    (void)state;
    bool shm = access("/dev/shm", W_OK) == 0;
    (void)snprintf(sweep.folder, sizeof sweep.folder, "%s/weir-sweep-XXXXXX",
                   shm ? "/dev/shm" : "/tmp");
    if (mkdtemp(sweep.folder) == NULL)
        return -1;
    (void)snprintf(sweep.root, sizeof sweep.root, "%s/0", sweep.folder);
    (void)snprintf(sweep.path, sizeof sweep.path, "%s/0/s", sweep.folder);
    (void)snprintf(sweep.image, sizeof sweep.image, "%s/1", sweep.folder);
    (void)snprintf(sweep.image_path, sizeof sweep.image_path, "%s/1/s", sweep.folder);
    return 0;
}

static int sweep_teardown(void **state)
{
    (void)state;
    sim_libc_attach(NULL);
    return file_remove_all(sweep.folder);
}

int main(int argc, char **argv)
{
    log_init("store-test", LOG_ERROR); /* the store warns of each fault, as it should */
    const struct CMUnitTest tests[] = {cmocka_unit_test(sweep_test_errors)};
    sweep_name = argc > 1 ? argv[1] : "io";
    return cmocka_run_group_tests(tests, sweep_setup, sweep_teardown);
}
