/* SPDX-License-Identifier: Apache-2.0 */
/* Random sequences of puts, ref moves, deletions, settling (reclaim, holes, compaction), restarts,
 * kills and rebuilds against a model: nothing reachable is lost, nothing unreachable stays.
 *
 * WEIR_TEST_SEED=n runs that one, WEIR_TEST_SEEDS=n so many. */
#include "store/store.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "property_model.h"
#include "store/index.h"
#include "store/store_rebuild.h"

#define SEEDS     300u
#define STEPS     60u
#define CHILD_OPS 40u

struct run {
    uint64_t torn; /* records that a kill left so, and a rebuild found */
    struct fixture f;
    struct model model;
    uint64_t random;
    /* What is still to be done. */
    struct model_op ops[MODEL_LINKS + 2];
    unsigned count, at;
    unsigned kills, rebuilds;
};

/* --- what to do ------------------------------------------------------------------------------- */

static uint32_t run_random(struct run *x, uint32_t below)
{
    x->random ^= x->random << 13;
    x->random ^= x->random >> 7;
    x->random ^= x->random << 17;
    return (uint32_t)((x->random * UINT64_C(0x2545f4914f6cdd1d)) >> 33) % below;
}

/* Puts all of a film, then its ref. */
static void run_publish(struct run *x)
{
    uint32_t film = run_random(x, MODEL_FILMS);
    const struct model_film *f = &x->model.films[film];
    for (uint32_t i = 0; i < f->count; i++)
        x->ops[x->count++] = (struct model_op){.kind = MODEL_PUT, .thing = f->links[i]};
    x->ops[x->count++] = (struct model_op){.kind = MODEL_PUT, .thing = MODEL_BLOBS + film};
    x->ops[x->count++] =
        (struct model_op){.kind = MODEL_REF, .thing = film, .name = run_random(x, MODEL_NAMES)};
}

/* Does not look at the model: a child that was forked off comes to the same. */
static struct model_op run_next(struct run *x)
{
    static const uint32_t seconds[] = {0, MODEL_PART, MODEL_PART, MODEL_ALL};
    if (x->at < x->count)
        return x->ops[x->at++];
    x->at = x->count = 0;
    uint32_t what = run_random(x, 20);
    if (what < 8)
        run_publish(x);
    else if (what < 11)
        return (struct model_op){.kind = MODEL_DELETE, .name = run_random(x, MODEL_NAMES)};
    else if (what < 13)
        return (struct model_op){.kind = MODEL_PUT, .thing = run_random(x, MODEL_THINGS)};
    else if (what < 15)
        return (struct model_op){.kind = MODEL_REF,
                                 .thing = run_random(x, MODEL_FILMS),
                                 .name = run_random(x, MODEL_NAMES)};
    else if (what < 17)
        return (struct model_op){.kind = MODEL_READ, .thing = run_random(x, MODEL_THINGS)};
    else
        return (struct model_op){.kind = MODEL_SETTLE, .seconds = seconds[run_random(x, 4)]};
    return x->ops[x->at++];
}

static void run_step(struct run *x)
{
    struct model_op op = run_next(x);
    model_done(&x->model, &op, model_do(&x->model, x->f.store, x->f.worker, &op));
    if (op.kind == MODEL_SETTLE)
        model_check(&x->model, x->f.store, x->f.worker);
}

/* --- rebuilds and kills ----------------------------------------------------------------------- */

/* False: there is nothing yet to make an index from. killed: a record that was being written then
 * may be torn. */
static bool run_rebuild(struct run *x, bool killed)
{
    struct store_rebuild report;
    struct err err = {{0}};
    int r = store_rebuild(&x->f.options, NULL, NULL, &report, &err);
    if (r == -ENOENT && report.volumes == 0)
        return false;
    if (r != 0)
        fail_msg("store_rebuild: %d: %s", r, err.text);
    if (killed)
        x->torn = report.damaged; /* and stays there: nothing is known of it but its head */
    assert_true(report.damaged <= x->torn);
    x->rebuilds++;
    return true;
}

static _Noreturn void run_child(struct run *x, int pipe)
{
    struct err err;
    if (store_open(&x->f.options, &err, &x->f.store) != 0 ||
        store_worker_new(x->f.store, &x->f.worker) != 0)
        _exit(10);
    for (unsigned i = 0; i < CHILD_OPS; i++) {
        struct model_op op = run_next(x);
        int res = model_do(&x->model, x->f.store, x->f.worker, &op);
        if (write(pipe, &res, sizeof res) != sizeof res)
            _exit(11);
    }
    for (;;)
        (void)pause();
}

/* A child goes on with the sequence and is killed somewhere in it. */
static void run_kill(struct run *x)
{
    int fds[2], status = 0, res;
    unsigned after = run_random(x, CHILD_OPS), done = 0;
    bool rebuild = run_random(x, 3) == 0;
    fixture_close(&x->f);
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(fds[0]);
        run_child(x, fds[1]);
    }
    assert_int_equal(close(fds[1]), 0);
    struct model_op op = {.kind = MODEL_READ};
    for (;;) {
        if (done == after)
            assert_int_equal(kill(pid, SIGKILL), 0);
        ssize_t n = read(fds[0], &res, sizeof res);
        if (n == 0)
            break;
        assert_int_equal(n, sizeof res);
        op = run_next(x);
        if (op.kind == MODEL_SETTLE)
            links_fixture_later(op.seconds); /* the child's clock was its own */
        model_done(&x->model, &op, res);
        done++;
    }
    assert_int_equal(close(fds[0]), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status))
        fail_msg("the child ended by itself: %d", WEXITSTATUS(status));
    x->kills++;
    op = (struct model_op){.kind = MODEL_READ};
    if (done < CHILD_OPS)
        op = run_next(x); /* may have been under way */
    if (op.kind == MODEL_SETTLE)
        links_fixture_later(op.seconds);
    model_maybe(&x->model, &op);
    rebuild = rebuild && run_rebuild(x, true);
    fixture_open(&x->f);
    model_look(&x->model, x->f.worker, &op);
    if (rebuild)
        model_rebuilt(&x->model, x->f.worker);
}

/* --- the end ---------------------------------------------------------------------------------- */

struct audit {
    struct index_reader *reader;
    uint64_t live, blobs, extents;
};

static int audit_volume(void *arg, const struct index_volume *v)
{
    struct audit *a = arg;
    a->live += v->live;
    a->blobs += v->blobs;
    return v->id < 1u << 20 ? 0 : -EINVAL;
}

/* Rows of the index that nobody needs: none. */
static void run_audit(struct run *x)
{
    char path[160];
    struct err err = {{0}};
    struct index *index = NULL;
    struct index_orphan orphan;
    struct index_hole hole;
    struct index_extent extents[64];
    struct audit a = {0};
    unsigned count = 0;
    uint64_t blobs = 0, names = 0, live = model_live(&x->model, &blobs);
    for (uint32_t i = 0; i < MODEL_NAMES; i++)
        names += x->model.names[i].generation > 0;
    (void)snprintf(path, sizeof path, "%s/index", x->f.path);
    assert_int_equal(index_open(path, 0, INDEX_READ_ONLY, NULL, &err, &index), 0);
    assert_int_equal(index_reader_new(index, &a.reader), 0);
    assert_int_equal(index_orphans(a.reader, UINT32_MAX, 1, &orphan, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(index_holes(a.reader, 1, &hole, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(index_volumes(a.reader, audit_volume, &a), 0);
    assert_int_equal(a.live, live);
    assert_int_equal(a.blobs, blobs);
    for (uint32_t v = 1; v < 4096; v++) {
        assert_int_equal(index_extents(a.reader, v, 0, ARRAY_LEN(extents), extents, &count), 0);
        a.extents += count;
    }
    assert_int_equal(a.extents, blobs + names);
    index_reader_free(a.reader);
    index_close(index);
}

static void run_seed(uint64_t seed, unsigned *kills, unsigned *rebuilds)
{
    struct run *x = calloc(1, sizeof *x);
    assert_non_null(x);
    x->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    model_init(&x->model, seed);
    /* In RAM, where there is such a file system: kill -9 takes nothing from either. */
    fixture_new_in(&x->f, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    links_fixture_init(&x->f);
    x->f.options.volume_size = 256 << 10;
    x->f.options.unreferenced_s = MODEL_UNREFERENCED;
    x->f.options.dropped_s = MODEL_DROPPED;
    fixture_open(&x->f);
    for (unsigned i = 0; i < STEPS; i++) {
        uint32_t what = run_random(x, 40);
        if (what == 0) {
            run_kill(x);
        } else if (what == 1 || what == 2) {
            fixture_close(&x->f);
            bool rebuilt = what == 2 && run_rebuild(x, false);
            fixture_open(&x->f);
            if (rebuilt)
                model_rebuilt(&x->model, x->f.worker);
        } else {
            run_step(x);
        }
    }
    struct model_op all = {.kind = MODEL_SETTLE, .seconds = MODEL_ALL};
    model_done(&x->model, &all, model_do(&x->model, x->f.store, x->f.worker, &all));
    model_check(&x->model, x->f.store, x->f.worker);
    fixture_close(&x->f);
    run_audit(x);
    *kills += x->kills;
    *rebuilds += x->rebuilds;
    fixture_free(&x->f);
    links_fixture_now(); /* the index has seconds of 32 bits, good for a century */
    free(x);
}

static void property_test(void **state)
{
    (void)state;
    const char *one = getenv("WEIR_TEST_SEED"), *many = getenv("WEIR_TEST_SEEDS");
    uint64_t first = one != NULL ? strtoull(one, NULL, 10) : 1;
    uint64_t count = many != NULL ? strtoull(many, NULL, 10) : SEEDS;
    unsigned kills = 0, rebuilds = 0;
    for (uint64_t seed = first; seed < first + (one != NULL ? 1 : count); seed++) {
        /* Told before: what fails ends the test there. */
        (void)fprintf(stderr, "\rseed %llu ", (unsigned long long)seed);
        run_seed(seed, &kills, &rebuilds);
    }
    (void)fprintf(stderr, "\n");
    print_message("%u kills, %u rebuilds\n", kills, rebuilds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(property_test)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
