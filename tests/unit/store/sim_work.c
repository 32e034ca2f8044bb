/* SPDX-License-Identifier: Apache-2.0 */
#include "sim_work.h"
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/file.h"
#include "store_fixture.h"

#define WORK_WAIT_MS 20000 /* for an answer: past it the store hangs */
#define WORK_HELD_MS 1000  /* for the committer to come; after errors it may not come */

/* The blobs are the same in all runs, and made once. */
static struct rbuf *work_bytes[WORK_BLOBS];
static struct digest work_digests[WORK_BLOBS];
static pthread_once_t work_bytes_once = PTHREAD_ONCE_INIT;

static void work_bytes_make(void)
{
    static const uint32_t sizes[] = {0, 100, 1000, 4000, 4020, 9000, 30000, 70000};
    for (unsigned i = 0; i < WORK_PLAIN; i++) {
        uint32_t size = i > 0 ? sizes[i % ARRAY_LEN(sizes)] + i : 0; /* no two are the same */
        work_bytes[i] = fixture_blob(i + 1, size, &work_digests[i]);
    }
    for (unsigned i = WORK_PLAIN; i < WORK_BLOBS; i++) {
        const struct digest *names = &work_digests[(i - WORK_PLAIN) * WORK_NAMED];
        ASSERT(rbuf_copy(names, WORK_NAMED * sizeof *names, &work_bytes[i]) == 0);
        work_digests[i] = digest_of(names, WORK_NAMED * sizeof *names);
    }
}

static int work_links(void *arg, const uint8_t *bytes, uint32_t size, store_link_each *each,
                      void *each_arg)
{
    struct digest d;
    (void)arg;
    if (size != WORK_NAMED * sizeof d)
        return -EBADMSG;
    for (uint32_t at = 0; at < size; at += sizeof d) {
        memcpy(&d, bytes + at, sizeof d);
        int r = each(each_arg, &d);
        if (r < 0)
            return r;
    }
    return 0;
}

void work_options(struct work *w, struct store_options *o)
{
    o->scrub_rate = STORE_RATE_NONE; /* it would make calls at times of its own */
    if (!w->reclaims)
        return;
    o->links = work_links;
    o->dropped_s = 1;
}

void work_init(struct work *w, uint64_t seed)
{
    (void)pthread_once(&work_bytes_once, work_bytes_make);
    *w = (struct work){.random = seed};
    (void)pthread_mutex_init(&w->lock, NULL);
}

void work_free(struct work *w)
{
    (void)pthread_mutex_destroy(&w->lock);
}

static uint64_t work_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t work_roll(struct work *w, uint64_t n)
{
    return work_random(&w->random) % n;
}

static void work_lock(struct work *w)
{
    (void)pthread_mutex_lock(&w->lock);
}

static void work_unlock(struct work *w)
{
    (void)pthread_mutex_unlock(&w->lock);
}

/* Not cmocka's own: it may be any thread. */
void work_wrong(struct work *w, const char *format, ...)
{
    va_list args;
    work_lock(w);
    if (w->wrong[0] == 0) {
        va_start(args, format);
        (void)vsnprintf(w->wrong, sizeof w->wrong, format, args);
        va_end(args);
    }
    work_unlock(w);
}

void work_refused(struct work *w, int r, const struct err *err)
{
    work_wrong(w, "store_open: %d: %s", r, err->text);
}

static bool work_dead(struct work *w)
{
    return w->sim != NULL && io_sim_crashed(w->sim);
}

/* --- a client: a worker, and what it waits for ------------------------------------------------ */

struct work_client {
    struct work *work;
    struct store_worker *worker;
    uint64_t random;
    unsigned under_way;
};

struct work_op {
    struct work_client *client;
    unsigned index; /* of the blob or the ref */
    struct work_state state;
    bool read;
};

static bool work_wait(struct work_client *c, unsigned until)
{
    while (c->under_way > until) {
        struct pollfd p = {.fd = store_worker_event_fd(c->worker), .events = POLLIN};
        int r = poll(&p, 1, WORK_WAIT_MS);
        if (r == 0) {
            /* Nothing can be freed under a store that still works on it. */
            (void)fprintf(stderr, "the store hangs\n");
            abort();
        }
        store_worker_poll(c->worker);
    }
    return !work_dead(c->work);
}

static struct work_op *work_op_new(struct work_client *c, unsigned index)
{
    struct work_op *op = calloc(1, sizeof *op);
    ASSERT(op != NULL);
    op->client = c;
    op->index = index;
    c->under_way++;
    return op;
}

static void work_op_end(struct work_op *op)
{
    op->client->under_way--;
    free(op);
}

/* --- blobs ------------------------------------------------------------------------------------ */

static void work_put_done(void *arg, int res)
{
    struct work_op *op = arg;
    struct work *w = op->client->work;
    work_lock(w);
    if (res == 0) {
        w->blobs[op->index].acked = true;
        w->blobs[op->index].damaged = false;
        w->acks++;
    }
    work_unlock(w);
    bool fine = res == 0 || work_dead(w) || (w->may_fail && res != -EEXIST && res != -EINVAL);
    if (!fine)
        work_wrong(w, "put of blob %u: %s", op->index, strerror(-res));
    work_op_end(op);
}

/* True: the committer will have to write. */
static bool work_put(struct work_client *c, unsigned index)
{
    struct work *w = c->work;
    bool writes = !store_has(c->worker, &work_digests[index]);
    work_lock(w);
    w->blobs[index].asked = true;
    work_unlock(w);
    store_put(c->worker, &work_digests[index], work_bytes[index], 0, work_put_done,
              work_op_new(c, index));
    return writes;
}

static void work_get_done(void *arg, int res, struct rbuf *blob)
{
    struct work_op *op = arg;
    struct work *w = op->client->work;
    uint32_t want_size, size;
    const uint8_t *want = rbuf_data(work_bytes[op->index], &want_size);
    work_lock(w);
    struct work_blob *b = &w->blobs[op->index];
    bool acked = op->read; /* as it was when the get began */
    if (res == -EBADMSG && (b->damaged || w->damage > 0)) {
        w->damage -= !b->damaged;
        b->damaged = true; /* the store says so, and serves nothing */
        b->acked = false;
        acked = false;
        res = -ENOENT;
    }
    work_unlock(w);
    if (res == 0) {
        const uint8_t *data = rbuf_data(blob, &size);
        if (size != want_size || (size > 0 && memcmp(data, want, size) != 0))
            work_wrong(w, "blob %u came with wrong bytes", op->index);
        if (!b->asked)
            work_wrong(w, "blob %u is there and was never put", op->index);
    } else if (res == -ENOENT && acked && !w->cache && !b->named) {
        work_wrong(w, "blob %u is lost", op->index);
    } else if (res != -ENOENT && !work_dead(w) && !w->may_fail) {
        work_wrong(w, "get of blob %u: %s", op->index, strerror(-res));
    } else if (res == -EBADMSG) {
        work_wrong(w, "blob %u is damaged", op->index);
    }
    work_op_end(op);
}

static void work_get(struct work_client *c, unsigned index)
{
    struct work_op *op = work_op_new(c, index);
    work_lock(c->work);
    op->read = c->work->blobs[index].acked;
    work_unlock(c->work);
    store_get(c->worker, &work_digests[index], work_get_done, op);
}

/* --- refs ------------------------------------------------------------------------------------- */

static const char *const work_names[WORK_REFS] = {"film", "series.s01e01", "live_1", "x"};

static void work_move_done(void *arg, int res)
{
    struct work_op *op = arg;
    struct work *w = op->client->work;
    work_lock(w);
    struct work_ref *ref = &w->refs[op->index];
    ref->busy = false;
    bool none = res == -ENOENT && (op->state.exists ? w->reclaims : !ref->acked.exists);
    /* What failed before this one may or may not have happened; a success settles it. */
    if (res == 0) {
        ref->acked = op->state;
        ref->asked_count = ref->asked_from = 0;
        w->acks++;
    }
    work_unlock(w);
    if (res != 0 && !none && !work_dead(w) && !w->may_fail)
        work_wrong(w, "move of ref %s: %s", work_names[op->index], strerror(-res));
    work_op_end(op);
}

/* One of the presentations. Under lock. */
static struct digest work_present(struct work_client *c)
{
    unsigned k = (unsigned)(work_random(&c->random) % WORK_NAMING);
    struct work_blob *blobs = c->work->blobs;
    for (unsigned i = 0; i < WORK_NAMED; i++)
        blobs[k * WORK_NAMED + i].named = true;
    blobs[WORK_PLAIN + k].named = true;
    return work_digests[WORK_PLAIN + k];
}

static bool work_move(struct work_client *c, unsigned index)
{
    struct work *w = c->work;
    struct str name = str_of(work_names[index]);
    struct store_ref now = {.generation = 0};
    work_lock(w);
    struct work_ref *ref = &w->refs[index];
    if (ref->busy || ref->asked_count == WORK_ASKED_MAX) {
        work_unlock(w);
        return false;
    }
    ref->busy = true;
    struct work_state state = {.exists = work_random(&c->random) % 4 != 0};
    if (state.exists) {
        w->moves++;
        state.digest = w->reclaims ? work_present(c) : digest_of(&w->moves, sizeof w->moves);
    }
    ref->asked[ref->asked_count++] = state;
    work_unlock(w);
    struct work_op *op = work_op_new(c, index);
    op->state = state;
    bool known = store_ref_get(c->worker, name, &now) == 0;
    uint64_t expect = known && work_random(&c->random) % 2 == 0 ? now.generation : STORE_REF_ANY;
    if (state.exists)
        store_ref_put(c->worker, name, &state.digest, expect, work_move_done, op);
    else
        store_ref_delete(c->worker, name, work_move_done, op);
    return !w->reclaims && (known || state.exists); /* else it may be refused */
}

static bool work_state_eq(const struct work_state *a, const struct work_state *b)
{
    return a->exists == b->exists && (!a->exists || digest_eq(&a->digest, &b->digest));
}

/* strict: what is found must be what was promised, or asked since. */
/* Nothing that a ref reaches was reclaimed. */
static void work_check_held(struct work_client *c, const struct digest *presentation)
{
    struct work *w = c->work;
    for (unsigned k = 0; k < WORK_NAMING && w->reclaims; k++) {
        if (!digest_eq(&work_digests[WORK_PLAIN + k], presentation))
            continue;
        for (unsigned i = 0; i < WORK_NAMED; i++) {
            struct work_blob *b = &w->blobs[k * WORK_NAMED + i];
            b->named = b->damaged; /* it must be there, until the ref moves on */
            b->acked = true;
            work_get(c, k * WORK_NAMED + i);
            (void)work_wait(c, 0);
            b->named = true;
        }
    }
}

static void work_check_ref(struct work *w, struct store_worker *worker, unsigned index, bool strict)
{
    struct work_ref *ref = &w->refs[index];
    struct store_ref row;
    int r = store_ref_get(worker, str_of(work_names[index]), &row);
    if (r != 0 && r != -ENOENT) {
        work_wrong(w, "ref %s: %s", work_names[index], strerror(-r));
        return;
    }
    struct work_state found = {.exists = r == 0};
    if (found.exists)
        found.digest = row.presentation;
    bool fine = !strict || work_state_eq(&found, &ref->acked);
    for (unsigned i = ref->asked_from; i < ref->asked_count; i++)
        fine = fine || work_state_eq(&found, &ref->asked[i]);
    if (!fine)
        work_wrong(w,
                   "ref %s is %s, which is neither what was acknowledged last (%s) nor asked since",
                   work_names[index], found.exists ? "something" : "absent",
                   ref->acked.exists ? "something" : "absent");
    ref->acked = found;
    ref->asked_from = ref->asked_count;
}

void work_expect_left(struct work *w)
{
    for (unsigned i = 0; i < WORK_REFS; i++)
        w->refs[i].asked_from = 0;
}

/* --- running ---------------------------------------------------------------------------------- */

static bool work_client_new(struct work *w, struct store *s, struct work_client *c)
{
    *c = (struct work_client){.work = w};
    work_lock(w);
    c->random = work_random(&w->random);
    work_unlock(w);
    int r = store_worker_new(s, &c->worker);
    if (r != 0 && !work_dead(w) && !w->may_fail)
        work_wrong(w, "store_worker_new: %s", strerror(-r));
    return r == 0;
}

static bool work_one(struct work_client *c)
{
    uint64_t kind = work_random(&c->random) % 20;
    if (c->work->reclaims && kind < 4)
        return work_put(c, WORK_PLAIN + (unsigned)(work_random(&c->random) % WORK_NAMING));
    if (kind < 13)
        return work_put(
            c, (unsigned)(work_random(&c->random) % (c->work->reclaims ? 12 : WORK_PLAIN)));
    if (kind < 17)
        return work_move(c, (unsigned)(work_random(&c->random) % WORK_REFS));
    work_get(c, (unsigned)(work_random(&c->random) % WORK_BLOBS));
    return false;
}

/* The committer is stopped at its first call for the first op that makes it write; the rest goes to
 * it as one group. So a seed makes the same calls each time. */
static bool work_burst(struct work_client *c, unsigned count)
{
    struct work *w = c->work;
    bool waited = count == 1;
    io_sim_hold(w->sim, true);
    for (unsigned i = 0; i < count; i++) {
        if (work_one(c) && !waited && !work_dead(w))
            waited = io_sim_wait_held(w->sim, w->may_fail ? 5 : WORK_HELD_MS);
    }
    /* Comparing reads are this thread's own. */
    for (unsigned i = 0; i < 4 * WORK_IN_FLIGHT; i++)
        store_worker_poll(c->worker);
    io_sim_hold(w->sim, false);
    return work_wait(c, 0);
}

void work_run(struct work *w, struct store *s, unsigned ops, unsigned depth, bool bursts)
{
    struct work_client c;
    if (!work_client_new(w, s, &c))
        return;
    bool alive = true;
    while (ops > 0 && alive) {
        unsigned count = bursts ? 1 + (unsigned)(work_random(&c.random) % depth) : 1;
        count = MIN(count, ops);
        if (bursts) {
            alive = work_burst(&c, count);
        } else {
            work_one(&c);
            alive = work_wait(&c, depth - 1);
        }
        ops -= count;
    }
    (void)work_wait(&c, 0);
    store_worker_free(c.worker);
}

void work_put_named(struct work *w, struct store *s)
{
    struct work_client c;
    if (!w->reclaims || !work_client_new(w, s, &c))
        return;
    for (unsigned i = 0; i < WORK_NAMING * WORK_NAMED; i++)
        (void)work_put(&c, i);
    (void)work_wait(&c, 0);
    for (unsigned i = WORK_PLAIN; i < WORK_BLOBS; i++)
        (void)work_put(&c, i);
    (void)work_wait(&c, 0);
    store_worker_free(c.worker);
}

struct work_thread {
    pthread_t thread;
    struct work *work;
    struct store *store;
    unsigned ops;
};

static void *work_thread_main(void *arg)
{
    struct work_thread *t = arg;
    work_run(t->work, t->store, t->ops, 3, false);
    return NULL;
}

void work_run_threads(struct work *w, struct store *s, unsigned threads, unsigned ops)
{
    struct work_thread t[8];
    ASSERT(threads <= ARRAY_LEN(t));
    for (unsigned i = 0; i < threads; i++) {
        t[i] = (struct work_thread){.work = w, .store = s, .ops = ops / threads + 1};
        ASSERT(pthread_create(&t[i].thread, NULL, work_thread_main, &t[i]) == 0);
    }
    for (unsigned i = 0; i < threads; i++)
        (void)pthread_join(t[i].thread, NULL);
}

void work_check(struct work *w, struct store *s, bool refs)
{
    struct work_client c;
    if (!work_client_new(w, s, &c))
        return;
    for (unsigned i = 0; i < WORK_BLOBS; i++)
        work_get(&c, i);
    if (work_wait(&c, 0) && !w->may_fail) {
        /* A damaged one is flagged by and by. */
        for (unsigned i = 0; i < WORK_BLOBS; i++)
            w->blobs[i].acked = store_has(c.worker, &work_digests[i]) && !w->blobs[i].damaged;
        for (unsigned i = 0; i < WORK_REFS; i++) {
            work_check_ref(w, c.worker, i, refs);
            if (refs && !w->rebuilt)
                work_check_held(&c, &w->refs[i].acked.digest);
        }
    }
    store_worker_free(c.worker);
}

/* --- damage ----------------------------------------------------------------------------------- */

/* The n-th volume (modulo how many there are); false: there is none. */
static bool work_pick_volume(const char *store_path, uint64_t n, char out[256])
{
    char folder[200];
    struct dirent **names = NULL;
    (void)snprintf(folder, sizeof folder, "%s/warm", store_path);
    int count = scandir(folder, &names, NULL, alphasort), found = 0;
    for (int pass = 0; pass < 2 && count > 0; pass++) {
        int wanted = found > 0 ? (int)(n % (uint64_t)found) : -1, at = 0;
        for (int i = 0; i < count; i++) {
            if (!str_ends(str_of(names[i]->d_name), STR(".vol")))
                continue;
            if (at++ == wanted)
                (void)snprintf(out, 256, "%.150s/%.90s", folder, names[i]->d_name);
        }
        found = at;
    }
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
    return found > 0;
}

void work_damage(struct work *w, struct store *s, const char *store_path)
{
    char path[256];
    struct stat st;
    struct work_client c;
    if (!work_pick_volume(store_path, work_roll(w, 1000), path) || stat(path, &st) != 0)
        return;
    uint64_t pages = (uint64_t)st.st_size / 4096;
    uint64_t at =
        4096 + work_roll(w, (pages - 1) * 4096); /* the volume's header is another test's */
    if (pages < 2 || io_sim_damage(w->sim, path, at, (uint8_t)(1u << work_roll(w, 8))) != 0)
        return;
    w->refs_lost = true;
    w->damage++;
    if (!work_client_new(w, s, &c))
        return;
    for (unsigned i = 0; i < WORK_BLOBS; i++)
        work_get(&c, i);
    if (work_wait(&c, 0)) {
        w->damage =
            0; /* a record of a ref's move, an old copy or nobody's, if it is nobody's yet */
        for (unsigned i = 0; i < WORK_BLOBS; i++) {
            if (w->blobs[i].asked && !w->blobs[i].acked) {
                (void)work_put(&c, i);
                (void)work_wait(&c, 0);
            }
        }
    }
    store_worker_free(c.worker);
}
