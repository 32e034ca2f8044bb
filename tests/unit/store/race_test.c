/* SPDX-License-Identifier: Apache-2.0 */
/* Several threads put, name, drop, read and settle the same few blobs at once, so that groups of
 * the committer hold several of these and the keeper is in between. Whatever came of it must be
 * consistent: each count is what the refs say, what no ref reaches is gone, the rest is there. */
#include "store/store.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "property_model.h"
#include "store/store_rebuild.h"

#define THREADS 4u
#define ROUNDS  12u
#define OPS     250u

struct racer {
    const struct model *model;
    struct store *store;
    unsigned random;
    int failed;
    struct model_op failed_op;
    unsigned published, refused;
    pthread_t id;
};

static int racer_do(struct racer *x, struct store_worker *w, struct model_op op)
{
    int r = model_do(x->model, x->store, w, &op);
    bool fine = r == 0 || (r == -ENOENT && op.kind != MODEL_PUT && op.kind != MODEL_SETTLE);
    if (!fine && x->failed == 0) {
        x->failed = r;
        x->failed_op = op;
    }
    return r;
}

/* Only as often as others let go of a blob right between its put and the ref is it refused. */
static void racer_publish(struct racer *x, struct store_worker *w)
{
    uint32_t film = (uint32_t)rand_r(&x->random) % MODEL_FILMS;
    const struct model_film *f = &x->model->films[film];
    for (uint32_t i = 0; i < f->count; i++)
        (void)racer_do(x, w, (struct model_op){.kind = MODEL_PUT, .thing = f->links[i]});
    (void)racer_do(x, w, (struct model_op){.kind = MODEL_PUT, .thing = MODEL_BLOBS + film});
    int r = racer_do(x, w,
                     (struct model_op){.kind = MODEL_REF,
                                       .thing = film,
                                       .name = (uint32_t)rand_r(&x->random) % MODEL_NAMES});
    x->published += r == 0;
    x->refused += r != 0;
}

static void *racer_run(void *arg)
{
    struct racer *x = arg;
    struct store_worker *w = NULL;
    x->failed = store_worker_new(x->store, &w);
    for (unsigned i = 0; i < OPS && x->failed == 0; i++) {
        unsigned what = (unsigned)rand_r(&x->random) % 16;
        struct model_op op = {.kind = MODEL_READ,
                              .thing = (uint32_t)rand_r(&x->random) % MODEL_THINGS,
                              .name = (uint32_t)rand_r(&x->random) % MODEL_NAMES};
        if (what < 5) {
            racer_publish(x, w);
            continue;
        }
        if (what < 10)
            op.kind = MODEL_DELETE;
        else if (what < 12)
            op.kind = MODEL_PUT;
        else if (what < 13)
            op.kind = MODEL_SETTLE;
        (void)racer_do(x, w, op);
    }
    store_worker_free(w);
    return NULL;
}

static bool race_each_ref(void *arg, struct str name, const struct store_ref *ref)
{
    struct model *m = arg;
    for (uint32_t i = 0; i < MODEL_NAMES; i++) {
        if (!str_eq(name, str_of(m->names[i].name)))
            continue;
        m->names[i].generation = ref->generation;
        for (uint32_t film = 0; film < MODEL_FILMS; film++) {
            if (digest_eq(&m->things[MODEL_BLOBS + film].digest, &ref->presentation))
                m->names[i].film = film;
        }
        assert_int_not_equal(m->names[i].film, MODEL_NONE);
    }
    return true;
}

static void race_name(struct model_thing *t)
{
    t->refs++;
    t->is = MODEL_PRESENT;
}

/* What there must be by the refs that there are. */
static void race_learn(struct model *m, struct store_worker *w)
{
    assert_int_equal(store_ref_list(w, race_each_ref, m), 0);
    for (uint32_t i = 0; i < MODEL_NAMES; i++) {
        uint32_t film = m->names[i].film;
        if (film == MODEL_NONE || m->films[film].holds++ > 0)
            continue;
        race_name(&m->things[MODEL_BLOBS + film]);
        for (uint32_t link = 0; link < m->films[film].count; link++)
            race_name(&m->things[m->films[film].links[link]]);
    }
}

struct race_seen {
    const struct model *model;
    unsigned blobs;
};

static bool race_each_blob(void *arg, const struct store_blob *b)
{
    struct race_seen *x = arg;
    const struct model_thing *found = NULL;
    for (uint32_t i = 0; i < MODEL_THINGS; i++) {
        if (digest_eq(&x->model->things[i].digest, &b->digest))
            found = &x->model->things[i];
    }
    assert_non_null(found);
    assert_int_equal(found->is, MODEL_PRESENT);
    assert_int_equal(b->refs, found->refs);
    assert_false(b->damaged);
    x->blobs++;
    return true;
}

/* Of a settled store. */
static void race_check(const struct model *m, struct fixture *f)
{
    struct race_seen seen = {.model = m};
    struct store_stat stat;
    uint64_t blobs = 0;
    (void)model_live(m, &blobs);
    assert_int_equal(store_blob_list(f->worker, race_each_blob, &seen), 0);
    assert_int_equal(seen.blobs, blobs);
    for (uint32_t i = 0; i < MODEL_THINGS; i++) {
        struct model_op read = {.kind = MODEL_READ, .thing = i};
        assert_int_equal(model_do(m, f->store, f->worker, &read),
                         m->things[i].is == MODEL_PRESENT ? 0 : -ENOENT);
    }
    store_stat(f->store, &stat);
    assert_int_equal(stat.blobs, blobs);
    assert_int_equal(stat.damaged, 0);
}

static void race_round(struct fixture *f, unsigned round, unsigned *random)
{
    struct racer racers[THREADS];
    struct model m;
    unsigned published = 0, refused = 0;
    model_init(&m, 1); /* the same blobs each time, what is left of a round is in the next */
    for (unsigned i = 0; i < THREADS; i++) {
        racers[i] =
            (struct racer){.model = &m, .store = f->store, .random = (unsigned)rand_r(random)};
        assert_int_equal(pthread_create(&racers[i].id, NULL, racer_run, &racers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(racers[i].id, NULL), 0);
        if (racers[i].failed != 0)
            fail_msg("op %d of thing %u and name %u: %d", racers[i].failed_op.kind,
                     racers[i].failed_op.thing, racers[i].failed_op.name, racers[i].failed);
        published += racers[i].published;
        refused += racers[i].refused;
    }
    links_fixture_settle(f, true);
    race_learn(&m, f->worker);
    race_check(&m, f);
    assert_true(published > 0);
    if (round % 4 == 0)
        print_message("round %u: %u published, %u refused\n", round, published, refused);
    if (round % 3 != 2)
        return;
    /* From the volumes alone it is the same. */
    struct store_rebuild report;
    struct err err = {{0}};
    fixture_close(f);
    assert_int_equal(store_rebuild(&f->options, NULL, NULL, &report, &err), 0);
    fixture_open(f);
    struct model again;
    model_init(&again, 1);
    race_learn(&again, f->worker);
    assert_memory_equal(again.names, m.names, sizeof m.names);
    links_fixture_settle(f, true);
    race_check(&again, f);
}

static void race_test(void **state)
{
    (void)state;
    struct fixture f;
    unsigned random = (unsigned)time(NULL);
    const char *seed = getenv("WEIR_TEST_SEED");
    random = seed != NULL ? (unsigned)strtoul(seed, NULL, 10) : random;
    print_message("random seed %u\n", random);
    fixture_new_in(&f, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    links_fixture_init(&f);
    f.options.dropped_s = STORE_AT_ONCE;
    f.options.volume_size = 512 << 10;
    f.options.hot_size = 1 << 20;
    fixture_open(&f);
    for (unsigned round = 0; round < ROUNDS; round++)
        race_round(&f, round, &random);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(race_test)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
