/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes that are mostly dead are emptied and go; what is live in them does not. */
#include "store/store.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/clock.h"
#include "io/io_sim.h"
#include "links_fixture.h"
#include "store/store_rebuild.h"

#define SIZE   20000u
#define FILMS  32u /* about 8 volumes of 1 MiB */
#define BLOBS  12u
#define KEPT   8u /* every so manieth film stays */
#define ROUNDS 15u

static void film_name(unsigned film, char out[32])
{
    (void)snprintf(out, 32, "film-%u", film);
}

static void film_put(struct fixture *f, unsigned film)
{
    char name[32];
    struct digest p;
    film_name(film, name);
    links_fixture_film(f->worker, film * 100, BLOBS, SIZE, &p);
    assert_int_equal(fixture_ref_put(f->worker, name, &p, STORE_REF_ANY), 0);
}

static void film_delete(struct fixture *f, unsigned film)
{
    char name[32];
    film_name(film, name);
    assert_int_equal(fixture_ref_delete(f->worker, name), 0);
}

/* 0: all of it is there. */
static int film_check(struct store_worker *w, unsigned film)
{
    char name[32];
    struct store_ref ref;
    film_name(film, name);
    int r = store_ref_get(w, str_of(name), &ref);
    for (unsigned i = 0; i < BLOBS && r == 0; i++)
        r = fixture_get_seed(w, film * 100 + i, SIZE);
    return r;
}

/* Volumes with one film in KEPT left alive, not compacted yet. */
static void sparse(struct fixture *f)
{
    fixture_new(f);
    links_fixture_init(f);
    f->options.dropped_s = STORE_AT_ONCE;
    f->options.keep_rate = STORE_RATE_NONE;
    fixture_open(f);
    for (unsigned i = 0; i < FILMS; i++)
        film_put(f, i);
    for (unsigned i = 0; i < FILMS; i++) {
        if (i % KEPT != 0)
            film_delete(f, i);
    }
    links_fixture_settle(f, false);
}

static void assert_kept(struct fixture *f)
{
    struct store_stat stat;
    for (unsigned i = 0; i < FILMS; i++)
        assert_int_equal(film_check(f->worker, i), i % KEPT == 0 ? 0 : -ENOENT);
    store_stat(f->store, &stat);
    assert_int_equal(stat.blobs, FILMS / KEPT * (BLOBS + 1));
    assert_int_equal(stat.damaged, 0);
}

static void compacting(struct fixture *f)
{
    fixture_close(f);
    f->options.keep_rate = 0;
    fixture_open(f);
}

struct reader {
    struct store *store;
    _Atomic bool stop;
    unsigned reads;
    int failed;
};

static void *reader_run(void *arg)
{
    struct reader *x = arg;
    struct store_worker *w = NULL;
    x->failed = store_worker_new(x->store, &w);
    for (unsigned i = 0; x->failed == 0 && !atomic_load(&x->stop); i++) {
        x->failed = film_check(w, i % (FILMS / KEPT) * KEPT);
        x->reads++;
    }
    store_worker_free(w);
    return NULL;
}

static void compact_test_under_readers(void **state)
{
    (void)state;
    struct fixture f;
    struct store_stat before, after;
    pthread_t ids[3];
    sparse(&f);
    store_stat(f.store, &before);
    assert_in_range(before.volumes, 7, 12);
    assert_int_equal(before.compacted_volumes, 0);
    assert_kept(&f);
    compacting(&f);
    struct reader readers[3];
    for (unsigned i = 0; i < ARRAY_LEN(readers); i++) {
        readers[i] = (struct reader){.store = f.store};
        assert_int_equal(pthread_create(&ids[i], NULL, reader_run, &readers[i]), 0);
    }
    links_fixture_settle(&f, false);
    for (unsigned i = 0; i < ARRAY_LEN(readers); i++) {
        atomic_store(&readers[i].stop, true);
        assert_int_equal(pthread_join(ids[i], NULL), 0);
        assert_int_equal(readers[i].failed, 0);
    }
    store_stat(f.store, &after);
    print_message("volumes: %d, then %d\n", (int)before.volumes, (int)after.volumes);
    assert_true(after.compacted_volumes >= before.volumes - 3);
    assert_in_range(after.volumes, 1, 4);
    assert_int_equal(after.live_bytes, before.live_bytes);
    /* What it was for: of what is used at least half lives, but for the newest volume. */
    assert_true(after.used_bytes <= 2 * after.live_bytes + f.options.volume_size);
    assert_true(links_fixture_allocated(&f) <= after.volume_bytes);
    assert_kept(&f);
    fixture_close(&f);
    fixture_open(&f);
    assert_kept(&f);
    fixture_free(&f);
}

static bool show_ref(void *arg, struct str name, const struct store_ref *ref)
{
    struct buf *out = arg;
    char hex[DIGEST_TEXT_SIZE];
    digest_format(&ref->presentation, hex);
    buf_printf(out, STR_FMT "=%d,%s,%lld\n", STR_ARG(name), (int)ref->generation, hex,
               (long long)ref->changed_ms);
    return true;
}

static bool show_blob(void *arg, const struct store_blob *b)
{
    struct buf *out = arg;
    char hex[DIGEST_TEXT_SIZE];
    digest_format(&b->digest, hex);
    buf_printf(out, "%s %u %u %d\n", hex, b->length, b->refs, b->damaged);
    return true;
}

/* All that can be asked of a store, but for where things lie. */
static void show(struct fixture *f, struct buf *out)
{
    struct store_stat stat;
    buf_clear(out);
    assert_int_equal(store_ref_list(f->worker, show_ref, out), 0);
    assert_int_equal(store_blob_list(f->worker, show_blob, out), 0);
    store_stat(f->store, &stat);
    buf_printf(out, "blobs %d bytes %d live %d\n", (int)stat.blobs, (int)stat.blob_bytes,
               (int)stat.live_bytes);
    assert_int_equal(buf_error(out), 0);
}

/* Records of refs and of deleted ones move too, so that volumes go on being enough. */
static void compact_test_then_rebuild(void **state)
{
    (void)state;
    struct fixture f;
    struct buf before = BUF_EMPTY, after = BUF_EMPTY;
    struct store_stat stat;
    struct store_ref ref;
    struct store_rebuild report;
    struct err err = {{0}};
    sparse(&f);
    compacting(&f);
    links_fixture_settle(&f, false);
    store_stat(f.store, &stat);
    assert_true(stat.compacted_volumes >= 4);
    show(&f, &before);
    fixture_close(&f);
    int r = store_rebuild(&f.options, NULL, NULL, &report, &err);
    if (r != 0)
        fail_msg("store_rebuild: %d: %s", r, err.text);
    assert_int_equal(report.refs, FILMS / KEPT);
    assert_int_equal(report.damaged, 0);
    fixture_open(&f);
    links_fixture_settle(&f, true);
    show(&f, &after);
    assert_string_equal(before.data, after.data);
    assert_kept(&f);
    /* A deleted one is known by its record alone: its generation goes on. */
    film_put(&f, 1);
    assert_int_equal(store_ref_get(f.worker, STR("film-1"), &ref), 0);
    assert_int_equal(ref.generation, 3);
    buf_free(&before);
    buf_free(&after);
    fixture_free(&f);
}

/* It may be all that is left of the blob. */
static void compact_test_damaged_stays(void **state)
{
    (void)state;
    struct fixture f;
    struct digest d = links_fixture_digest(0, SIZE);
    struct store_blob b, again;
    char path[160];
    sparse(&f);
    assert_int_equal(store_blob_look(f.worker, &d, &b), 0);
    fixture_volume_path(&f, b.volume, path);
    fixture_flip(path, b.offset + 5000, 4);
    compacting(&f);
    links_fixture_settle(&f, false);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(store_blob_look(f.worker, &d, &again), 0);
    assert_int_equal(again.volume, b.volume);
    assert_int_equal(again.offset, b.offset);
    assert_true(again.damaged);
    assert_int_equal(again.refs, 1);
    assert_int_equal(fixture_get_seed(f.worker, 0, SIZE), -EBADMSG);
    for (unsigned i = 1; i < BLOBS; i++)
        assert_int_equal(fixture_get_seed(f.worker, i, SIZE), 0);
    for (unsigned i = KEPT; i < FILMS; i += KEPT)
        assert_int_equal(film_check(f.worker, i), 0);
    /* Repaired by a put, the volume is free to go. */
    assert_int_equal(fixture_put_seed(f.worker, 0, SIZE), 0);
    compacting(&f);
    links_fixture_settle(&f, false);
    assert_int_equal(access(path, F_OK), -1);
    assert_kept(&f);
    fixture_free(&f);
}

/* On a full disk records find no room elsewhere; those of refs must not be given up for that, for a
 * rebuild needs them. */
static void compact_test_no_room(void **state)
{
    (void)state;
    struct fixture f;
    struct io_sim *sim = NULL;
    struct store_rebuild report;
    struct err err = {{0}};
    sparse(&f);
    fixture_close(&f);
    const struct io_ops *io = f.options.io != NULL ? f.options.io : io_default();
    struct io_sim_options o = {.inner = io};
    assert_int_equal(io_sim_new(&o, &sim), 0);
    io_sim_set_space(sim, 0);
    f.options.io = io_sim_ops(sim);
    fixture_open(&f);
    int r = 0;
    for (uint64_t i = 1 << 20; r == 0; i++) /* not a page is left in the newest volume */
        r = fixture_put_seed(f.worker, i, 10);
    assert_int_equal(r, -ENOSPC);
    compacting(&f);
    links_fixture_settle(&f, false);
    for (unsigned i = 0; i < FILMS; i += KEPT)
        assert_int_equal(film_check(f.worker, i), 0);
    fixture_close(&f);
    f.options.io = io;
    assert_int_equal(store_rebuild(&f.options, NULL, NULL, &report, &err), 0);
    assert_int_equal(report.refs, FILMS / KEPT);
    fixture_open(&f);
    links_fixture_settle(&f, true);
    assert_kept(&f);
    /* The deleted ones' too. */
    struct store_ref ref;
    film_put(&f, FILMS - 1);
    char name[32];
    film_name(FILMS - 1, name);
    assert_int_equal(store_ref_get(f.worker, str_of(name), &ref), 0);
    assert_int_equal(ref.generation, 3);
    fixture_free(&f);
    io_sim_free(sim);
}

/* At a byte a second it takes one step and waits; who settles does not. */
static void compact_test_gives_way(void **state)
{
    (void)state;
    struct fixture f;
    struct store_stat stat;
    sparse(&f);
    fixture_close(&f);
    f.options.keep_rate = 1;
    fixture_open(&f);
    uint64_t end_ms = clock_mono_ms() + 60000;
    do {
        const struct timespec moment = {.tv_nsec = 5000000};
        (void)nanosleep(&moment, NULL);
        store_stat(f.store, &stat);
    } while (stat.written_bytes == 0 && clock_mono_ms() < end_ms);
    assert_true(stat.written_bytes > 0);
    assert_int_equal(stat.compacted_volumes, 0);
    assert_kept(&f);
    links_fixture_settle(&f, false);
    store_stat(f.store, &stat);
    assert_true(stat.compacted_volumes >= 4);
    assert_kept(&f);
    fixture_free(&f);
}

static _Noreturn void compact_for_ever(struct fixture *f)
{
    struct err err;
    if (store_open(&f->options, &err, &f->store) != 0)
        _exit(14);
    for (;;) {
        if (store_settle(f->store) != 0)
            _exit(15);
    }
}

static void compact_test_crash(void **state)
{
    (void)state;
    struct fixture f;
    struct store_stat stat;
    unsigned random = (unsigned)time(NULL), between = 0;
    print_message("random seed %u\n", random);
    sparse(&f);
    store_stat(f.store, &stat);
    uint64_t live = stat.live_bytes;
    for (unsigned round = 0; round < ROUNDS; round++) {
        int status = 0;
        fixture_close(&f);
        f.options.keep_rate = 0;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            compact_for_ever(&f);
        const struct timespec moment = {.tv_nsec = 1000 * (rand_r(&random) % 30000)};
        (void)nanosleep(&moment, NULL);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        f.options.keep_rate = STORE_RATE_NONE;
        fixture_open(&f);
        assert_kept(&f);
        store_stat(f.store, &stat);
        assert_int_equal(stat.live_bytes, live);
        between += stat.volumes < 8 && stat.volumes > 3;
        if (stat.volumes > 3)
            continue;
        /* Done already: once more from the start. */
        fixture_free(&f);
        sparse(&f);
    }
    print_message("%u times it was half done\n", between);
    compacting(&f);
    links_fixture_settle(&f, true);
    assert_kept(&f);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compact_test_under_readers), cmocka_unit_test(compact_test_then_rebuild),
        cmocka_unit_test(compact_test_damaged_stays), cmocka_unit_test(compact_test_no_room),
        cmocka_unit_test(compact_test_gives_way),     cmocka_unit_test(compact_test_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
