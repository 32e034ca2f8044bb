/* SPDX-License-Identifier: Apache-2.0 */
/* Power goes at a random call, of the store's or of LMDB's; what is left on the disk is opened
 * again. Thousands of runs, each from a seed:
 *   WEIR_SIM_SEED=n   that run alone        WEIR_SIM_RUNS=n   so many
 *   WEIR_SIM_FIRST=n  the first seed        WEIR_SIM_KEEP=1   keeps the folder of a failed run
 *   WEIR_SIM_TRACE=1  shows the last calls of each life */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "sim_libc.h"
#include "sim_work.h"
#include "store/store_rebuild.h"
#include "store_fixture.h"

#define POWER_RUNS       300
#define POWER_FAILED_MAX 50
#define POWER_INDEX_SIZE (UINT64_C(4) << 20)

struct power {
    uint64_t seed;
    char folder[64]; /* of all runs */
    struct work work;
    struct work_blob found[WORK_BLOBS]; /* by the last check of what power left */
    struct store_options options;       /* path: set for each life */
    char path[128];
    bool journal;
    unsigned threads, depth;
    const char *stage; /* of the run, for the report */
    unsigned crashes_in_open, crashes, rebuilds, acks, evicted, reclaimed, compacted, settled;
};

static struct power power;

static void power_say(const char *what)
{
    (void)fprintf(stderr, "%s in seed %" PRIu64 " (%s); alone: WEIR_SIM_SEED=%" PRIu64 "\n", what,
                  power.seed, power.stage, power.seed);
}

/* A failed ASSERT of the store's ends here. */
static void power_on_abort(int sig)
{
    (void)sig;
    power_say("abort");
    _exit(99);
}

static bool power_fine(struct power *p)
{
    if (p->work.wrong[0] != 0)
        power_say(p->work.wrong);
    return p->work.wrong[0] == 0;
}

/* --- one life: until power goes --------------------------------------------------------------- */

static uint64_t power_roll(struct power *p, uint64_t n)
{
    return work_roll(&p->work, n);
}

static void power_root(const struct power *p, unsigned life, char out[96])
{
    (void)snprintf(out, 96, "%s/%u", p->folder, life);
}

static void power_work(struct power *p, struct store *s)
{
    struct work *w = &p->work;
    unsigned settled = 0;
    unsigned ops = 5 + (unsigned)power_roll(p, w->cache ? 150 : 60);
    work_put_named(w, s);
    for (unsigned part = 0; part < 2 && !io_sim_crashed(w->sim); part++) {
        if (p->threads > 1)
            work_run_threads(w, s, p->threads, ops / 2);
        else
            work_run(w, s, ops / 2, p->depth, true);
        if (part == 0 && !w->may_fail && power_roll(p, 4) == 0)
            work_damage(w, s, p->path);
        if (w->reclaims)
            sim_libc_later(2);
        if (w->reclaims && !w->may_fail && !io_sim_crashed(w->sim))
            settled += store_settle(s) == 0; /* not when power goes meanwhile */
    }
    p->settled += settled;
}

static bool power_life(struct power *p, unsigned life)
{
    struct work *w = &p->work;
    struct store *s = NULL;
    struct err err = {{0}};
    char root[96], image[96];
    power_root(p, life, root);
    power_root(p, life + 1, image);
    (void)snprintf(p->path, sizeof p->path, "%s/s", root);
    struct io_sim_options o = {.seed = p->seed * 31 + life,
                               .root = root,
                               .journal = p->journal,
                               .reorder = power_roll(p, 2) == 0,
                               .no_punch = power_roll(p, 4) == 0};
    assert_int_equal(io_sim_new(&o, &w->sim), 0);
    sim_libc_attach(w->sim);
    p->options.path = p->path;
    p->options.io = io_sim_ops(w->sim);
    p->stage = "opening";
    uint64_t calls = power_roll(p, 4) == 0 ? 60 : w->cache ? 1500 : 700;
    io_sim_crash_at(w->sim, 1 + power_roll(p, calls));
    int r = store_open(&p->options, &err, &s);
    bool crashed = io_sim_crashed(w->sim);
    if (r != 0 && !crashed)
        work_refused(w, r, &err);
    p->crashes_in_open += crashed;
    if (r == 0 && life > 0)
        work_check(w, s, true);
    p->stage = "working";
    w->may_fail = power_roll(p, 4) == 0;
    w->refs_lost = w->refs_lost || w->may_fail;
    w->failed = w->failed || w->may_fail;
    if (w->may_fail)
        io_sim_fail_randomly(w->sim, 10 + (uint32_t)power_roll(p, 200));
    if (r == 0 && w->wrong[0] == 0)
        power_work(p, s);
    io_sim_crash(w->sim);
    p->stage = "closing";
    if (s != NULL) {
        struct store_stat stat;
        store_stat(s, &stat);
        p->evicted += (unsigned)stat.evicted_volumes;
        p->reclaimed += (unsigned)stat.reclaimed;
        p->compacted += (unsigned)stat.compacted_volumes;
    }
    store_close(s);
    sim_libc_attach(NULL);
    w->may_fail = false;
    if (getenv("WEIR_SIM_TRACE") != NULL) {
        (void)fprintf(stderr, "seed %" PRIu64 ", life %u:\n", p->seed, life);
        io_sim_trace(w->sim, stderr);
    }
    if (!power_fine(p))
        return false;
    assert_int_equal(io_sim_image(w->sim, image), 0);
    p->crashes++;
    return true;
}

/* --- what is left ----------------------------------------------------------------------------- */

static void power_open_and_check(struct power *p, const char *root, bool refs)
{
    struct work *w = &p->work;
    struct store *s = NULL;
    struct err err = {{0}};
    (void)snprintf(p->path, sizeof p->path, "%s/s", root);
    p->options.path = p->path;
    p->options.io = p->seed % 4 == 0 ? NULL : &io_plain;
    int r = store_open(&p->options, &err, &s);
    if (r != 0) {
        work_refused(w, r, &err);
        return;
    }
    work_check(w, s, refs);
    memcpy(p->found, w->blobs, sizeof p->found);
    work_run(w, s, 6, 2, false); /* it works again */
    work_check(w, s, refs);
    store_close(s);
}

static bool power_check(struct power *p, unsigned life)
{
    struct work *w = &p->work;
    char root[96], again[96];
    struct work_ref refs[WORK_REFS];
    struct io_sim *sim = w->sim;
    memcpy(refs, w->refs, sizeof refs);
    power_root(p, life, root);
    w->sim = NULL;
    p->stage = "after power came back";
    power_open_and_check(p, root, true);
    w->sim = sim;
    if (!power_fine(p))
        return false;
    if (w->cache || p->seed % 2 == 0)
        return true;
    /* The same once more, with an index made from the volumes: no blob less is in it. */
    struct store_rebuild report;
    struct err err = {{0}};
    memcpy(w->refs, refs, sizeof refs);
    work_expect_left(w);
    memcpy(w->blobs, p->found, sizeof w->blobs);
    p->stage = "rebuilding";
    power_root(p, life + 1, again);
    assert_int_equal(io_sim_image(sim, again), 0);
    (void)snprintf(p->path, sizeof p->path, "%s/s", again);
    struct store_options o = {.path = p->path, .index_size = POWER_INDEX_SIZE};
    int r = store_rebuild(&o, NULL, NULL, &report, &err);
    if (r == 0) {
        w->sim = NULL;
        w->rebuilt = true;
        power_open_and_check(p, again, !w->refs_lost);
        w->sim = sim;
        p->rebuilds++;
    } else if (r != -ENOENT) { /* no volumes yet */
        work_wrong(w, "store_rebuild: %d: %s", r, err.text);
    }
    return power_fine(p);
}

static void power_remove(struct power *p, unsigned lives)
{
    char root[96];
    for (unsigned life = 0; life < lives; life++) {
        power_root(p, life, root);
        assert_int_equal(file_remove_all(root), 0);
    }
}

static bool power_run(struct power *p, uint64_t seed)
{
    p->seed = seed;
    p->stage = "beginning";
    work_init(&p->work, seed);
    struct work *w = &p->work;
    p->options = (struct store_options){.volume_size = (16 + power_roll(p, 64)) * 4096,
                                        .index_size = POWER_INDEX_SIZE};
    w->cache = power_roll(p, 4) == 0;
    if (w->cache)
        p->options.size_max = 8 * (16 + power_roll(p, 10)) * 4096;
    w->reclaims = !w->cache && power_roll(p, 3) == 0;
    work_options(w, &p->options);
    p->journal = power_roll(p, 2) == 0;
    p->depth = power_roll(p, 3) == 0 ? 1 : 1 + (unsigned)power_roll(p, WORK_IN_FLIGHT);
    p->threads = power_roll(p, 4) == 0 ? 2 : 1;
    unsigned lives = 1u + (power_roll(p, 3) == 0) + (power_roll(p, 6) == 0);
    char root[96];
    power_root(p, 0, root);
    assert_int_equal(mkdir(root, 0755), 0);
    bool fine = true;
    for (unsigned life = 0; life < lives && fine; life++) {
        w->sim = life > 0 ? io_sim_free(w->sim) : NULL;
        fine = power_life(p, life);
    }
    fine = fine && power_check(p, lives);
    p->acks += (unsigned)w->acks;
    w->sim = io_sim_free(w->sim);
    work_free(w);
    if (fine || getenv("WEIR_SIM_KEEP") == NULL)
        power_remove(p, lives + 2);
    return fine;
}

static uint64_t power_env(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void power_test_runs(void **state)
{
    (void)state;
    uint64_t runs = power_env("WEIR_SIM_RUNS", POWER_RUNS);
    uint64_t first = power_env("WEIR_SIM_FIRST", 1);
    uint64_t began_ms = clock_mono_ms();
    if (getenv("WEIR_SIM_SEED") != NULL)
        first = power_env("WEIR_SIM_SEED", 1);
    if (getenv("WEIR_SIM_SEED") != NULL && getenv("WEIR_SIM_RUNS") == NULL)
        runs = 1;
    (void)signal(SIGABRT, power_on_abort);
    unsigned failed = 0;
    for (uint64_t i = 0; i < runs && failed < POWER_FAILED_MAX; i++)
        failed += !power_run(&power, first + i);
    print_message("%" PRIu64 " runs, %u power cuts (%u while opening), %u acknowledged, %u indexes "
                  "rebuilt, %u volumes evicted, %u blobs reclaimed, %u volumes compacted, %" PRIu64
                  " ms\n",
                  runs, power.crashes, power.crashes_in_open, power.acks, power.rebuilds,
                  power.evicted, power.reclaimed, power.compacted, clock_mono_ms() - began_ms);
    assert_int_equal(failed, 0);
}

static int power_setup(void **state)
{
    (void)state;
    bool shm = access("/dev/shm", W_OK) == 0;
    (void)snprintf(power.folder, sizeof power.folder, "%s/weir-power-XXXXXX",
                   shm ? "/dev/shm" : "/tmp");
    return mkdtemp(power.folder) != NULL ? 0 : -1;
}

static int power_teardown(void **state)
{
    (void)state;
    sim_libc_attach(NULL);
    if (getenv("WEIR_SIM_KEEP") != NULL) {
        print_message("kept: %s\n", power.folder);
        return 0;
    }
    return file_remove_all(power.folder);
}

int main(void)
{
    log_init("store-test", LOG_ERROR); /* the store warns of each fault, as it should */
    const struct CMUnitTest tests[] = {cmocka_unit_test(power_test_runs)};
    return cmocka_run_group_tests(tests, power_setup, power_teardown);
}
