/* SPDX-License-Identifier: Apache-2.0 */
/* store-weir: the store's side of its benchmark. Each case is a process of its own:
 * puts     `threads` writers, a worker each, every put durable before the writer's next
 * fill     makes a store of `count` blobs (0: one full volume) for the cases that read
 * gets     random blobs by one worker, `depth` under way; hot=0: all from the volumes
 * rebuild  a new index from the volumes
 * grow     puts small blobs until it is killed; says so when `count` are durable
 * open     from store_open to the first blob in hand
 * synth    an index of `count` blobs and volumes that have nothing but their headers
 * heap     opens such a store and counts what it allocated */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include "base/clock.h"
#include "store/format.h"
#include "store/store.h"
#include "store/store_rebuild.h"
#include "store_case.h"
#include "store_synth.h"

#define WEIR_VOLUME  (UINT64_C(1) << 30) /* the default */
#define WEIR_RANDOM  UINT64_C(88172645463325252)
#define WEIR_WARM_US 200000u

struct weir {
    const struct case_options *options;
    struct metrics *metrics;
    struct store *store;
    struct digest *digests; /* of blob i */
    struct rbuf **blobs;    /* puts: blob i */
};

static int weir_open(struct weir *x)
{
    struct err err = {{0}};
    const struct store_options o = {.path = x->options->folder,
                                    .hot_size = x->options->hot,
                                    .metrics = x->metrics,
                                    .metric_prefix = "bench"};
    int r = store_open(&o, &err, &x->store);
    if (r < 0)
        (void)fprintf(stderr, "store-weir: %s\n", err.text);
    return r;
}

static int weir_digests(struct weir *x, uint64_t count)
{
    uint64_t size = x->options->size;
    uint8_t *blob = malloc((size_t)size);
    x->digests = calloc((size_t)count, sizeof *x->digests);
    if (blob == NULL || x->digests == NULL) {
        free(blob);
        return -ENOMEM;
    }
    for (uint64_t i = 0; i < count; i++) {
        case_blob(i, size, blob);
        x->digests[i] = digest_of(blob, (size_t)size);
    }
    free(blob);
    return 0;
}

static int weir_rbuf(uint64_t i, uint64_t size, struct rbuf **ret)
{
    uint32_t cap_size;
    struct rbuf *b = NULL;
    if (size > STORE_BLOB_MAX)
        return -EFBIG;
    int r = rbuf_new((uint32_t)size, &b);
    if (r < 0)
        return r;
    case_blob(i, size, rbuf_space(b, &cap_size));
    rbuf_window(b, 0, (uint32_t)size);
    *ret = b;
    return 0;
}

static uint64_t weir_volume_full(uint64_t size)
{
    return (WEIR_VOLUME - FORMAT_RECORDS) / format_record_size((uint32_t)size);
}

/* --- puts ------------------------------------------------------------------------------------- */

struct weir_writer {
    struct weir *weir;
    struct store_worker *worker;
    bool done;
    int res;
};

static void weir_put_done(void *arg, int res)
{
    struct weir_writer *w = arg;
    w->res = res;
    w->done = true;
}

static int weir_put_begin(void *arg, unsigned thread, void **ret_state)
{
    (void)thread;
    struct weir *x = arg;
    struct weir_writer *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    w->weir = x;
    int r = store_worker_new(x->store, &w->worker);
    if (r < 0) {
        free(w);
        return r;
    }
    *ret_state = w;
    return 0;
}

static int weir_put_item(void *state, uint64_t i)
{
    struct weir_writer *w = state;
    struct weir *x = w->weir;
    w->done = false;
    store_put(w->worker, &x->digests[i], x->blobs[i], 0, weir_put_done, w);
    store_worker_wait(w->worker, &w->done);
    return w->res;
}

static void weir_put_end(void *state)
{
    struct weir_writer *w = state;
    store_worker_free(w->worker);
    free(w);
}

/* The first put of a store makes its first volume: a blob of its own does that, out of the time.
 * Volumes that fill up meanwhile are in it. */
static int weir_put_first(struct weir *x)
{
    static const char text[] = "the first blob of a store";
    struct weir_writer w = {.weir = x};
    struct rbuf *b = NULL;
    struct digest d = digest_of(text, sizeof text);
    int r = rbuf_copy(text, sizeof text, &b);
    if (r == 0)
        r = store_worker_new(x->store, &w.worker);
    if (r < 0) {
        rbuf_unref(b);
        return r;
    }
    store_put(w.worker, &d, b, 0, weir_put_done, &w);
    store_worker_wait(w.worker, &w.done);
    store_worker_free(w.worker);
    rbuf_unref(b);
    return w.res;
}

/* Groups committed so far: each is one fdatasync of a volume. */
static uint64_t weir_groups(struct weir *x)
{
    static const char name[] = "\nbench_store_commits_total ";
    struct buf b = BUF_EMPTY;
    uint64_t groups = 0;
    metrics_render(x->metrics, &b);
    buf_putc(&b, 0);
    const char *at = buf_error(&b) == 0 ? strstr(b.data, name) : NULL;
    if (at != NULL)
        groups = strtoull(at + sizeof name - 1, NULL, 10);
    buf_free(&b);
    return groups;
}

static int weir_puts(struct weir *x)
{
    const struct case_options *o = x->options;
    struct case_clock clock;
    int r = weir_digests(x, o->count);
    x->blobs = calloc((size_t)o->count, sizeof(struct rbuf *));
    if (r == 0 && x->blobs == NULL)
        r = -ENOMEM;
    for (uint64_t i = 0; i < o->count && r == 0; i++)
        r = weir_rbuf(i, o->size, &x->blobs[i]);
    if (r == 0)
        r = weir_open(x);
    if (r == 0)
        r = weir_put_first(x);
    uint64_t groups = weir_groups(x);
    const struct case_job job = {.threads = o->threads,
                                 .count = o->count,
                                 .arg = x,
                                 .begin = weir_put_begin,
                                 .item = weir_put_item,
                                 .end = weir_put_end};
    if (r == 0)
        r = case_run(&job, &clock);
    for (uint64_t i = 0; i < o->count && x->blobs != NULL; i++)
        rbuf_unref(x->blobs[i]);
    free(x->blobs);
    if (r == 0) {
        char more[64];
        (void)snprintf(more, sizeof more, ",\"groups\":%llu",
                       (unsigned long long)(weir_groups(x) - groups));
        case_print_rate(o->count * o->size, &clock, more);
    }
    return r;
}

/* --- many under way at once: gets, fill, grow ------------------------------------------------- */

struct weir_stream {
    struct weir *weir;
    struct store_worker *worker;
    uint64_t *random, count; /* gets: the next one is asked for as one comes, until: */
    uint64_t until_us;
    unsigned under_way;
    bool moved; /* since the last look */
    int res;
    uint64_t blobs;
};

static void weir_stream_one(struct weir_stream *s, int res)
{
    s->under_way--;
    s->moved = true;
    s->blobs++;
    if (res < 0 && s->res == 0)
        s->res = res;
}

static void weir_got(void *arg, int res, struct rbuf *blob);

static void weir_get_random(struct weir_stream *s)
{
    s->under_way++;
    store_get(s->worker, &s->weir->digests[case_random(s->random) % s->count], weir_got, s);
}

static void weir_got(void *arg, int res, struct rbuf *blob)
{
    struct weir_stream *s = arg;
    if (res == 0 && rbuf_size(blob) != s->weir->options->size)
        res = -EBADMSG;
    weir_stream_one(s, res);
    /* As a server does; what is in RAM has come before store_get returns, so the loop asks. */
    if (s->random != NULL && s->weir->options->hot == 0 && s->res == 0 &&
        clock_mono_us() < s->until_us)
        weir_get_random(s);
}

static void weir_filled(void *arg, int res)
{
    weir_stream_one(arg, res);
}

static void weir_stream_wait(struct weir_stream *s)
{
    s->moved = false;
    if (s->under_way > 0)
        store_worker_wait(s->worker, &s->moved);
}

static void weir_read(struct weir_stream *s, uint64_t count, uint64_t *random, uint64_t until_us)
{
    const struct case_options *o = s->weir->options;
    s->blobs = 0;
    s->random = random;
    s->count = count;
    s->until_us = until_us;
    while (s->res == 0 && clock_mono_us() < until_us) {
        for (unsigned i = 0; s->under_way < o->depth && i < o->depth; i++)
            weir_get_random(s);
        weir_stream_wait(s);
    }
    s->random = NULL;
}

static int weir_gets(struct weir *x)
{
    const struct case_options *o = x->options;
    uint64_t count = o->count != 0 ? o->count : weir_volume_full(o->size);
    uint64_t random = WEIR_RANDOM;
    struct weir_stream s = {.weir = x};
    struct case_clock clock;
    int r = weir_digests(x, count);
    if (r == 0)
        r = weir_open(x);
    if (r == 0)
        r = store_worker_new(x->store, &s.worker);
    if (r < 0)
        return r;
    for (uint64_t i = 0; o->hot > 0 && i < count; i++) { /* into RAM, twice: past the small queue */
        for (unsigned n = 0; n < 2; n++) {
            s.under_way++;
            store_get(s.worker, &x->digests[i], weir_got, &s);
            weir_stream_wait(&s);
        }
    }
    weir_read(&s, count, &random, clock_mono_us() + WEIR_WARM_US);
    case_clock_start(&clock);
    weir_read(&s, count, &random, clock_mono_us() + (uint64_t)(o->seconds * 1e6));
    case_clock_stop(&clock);
    uint64_t blobs = s.blobs;
    while (s.under_way > 0)
        weir_stream_wait(&s);
    store_worker_free(s.worker);
    if (s.res == 0) {
        struct store_stat stat;
        char more[64];
        store_stat(x->store, &stat);
        (void)snprintf(more, sizeof more, ",\"hot_share\":%.3f",
                       (double)stat.hot_hits / (double)MAX(stat.hits, 1));
        case_print_rate(blobs * o->size, &clock, more);
    }
    return s.res;
}

/* count 0: until somebody ends this process; then says when `count` of the options are durable. */
static int weir_put_many(struct weir *x, uint64_t count)
{
    const struct case_options *o = x->options;
    struct weir_stream s = {.weir = x};
    bool said = false;
    int r = weir_open(x);
    if (r == 0)
        r = store_worker_new(x->store, &s.worker);
    if (r < 0)
        return r;
    for (uint64_t i = 0; (count == 0 || i < count) && s.res == 0; i++) {
        struct rbuf *b = NULL;
        uint32_t size;
        s.res = weir_rbuf(i, o->size, &b);
        if (s.res < 0)
            break;
        struct digest d = digest_of(rbuf_data(b, &size), (size_t)o->size);
        s.under_way++;
        store_put(s.worker, &d, b, 0, weir_filled, &s);
        rbuf_unref(b);
        while (s.under_way >= o->depth)
            weir_stream_wait(&s);
        if (count == 0 && !said && s.blobs >= o->count) {
            said = true;
            (void)puts("durable");
            (void)fflush(stdout);
        }
    }
    while (s.under_way > 0)
        weir_stream_wait(&s);
    store_worker_free(s.worker);
    return s.res;
}

/* --- rebuild, open, heap ---------------------------------------------------------------------- */

static int weir_rebuild(const struct case_options *o)
{
    struct store_rebuild report;
    struct case_clock clock;
    struct err err = {{0}};
    char more[96];
    case_clock_start(&clock);
    struct store_options options = {.path = o->folder};
    int r = store_rebuild(&options, NULL, NULL, &report, &err);
    case_clock_stop(&clock);
    if (r < 0) {
        (void)fprintf(stderr, "store-weir: %s\n", err.text);
        return r;
    }
    (void)snprintf(more, sizeof more, ",\"blobs\":%llu,\"damaged\":%llu",
                   (unsigned long long)report.blobs, (unsigned long long)report.damaged);
    case_print_rate(report.blob_bytes, &clock, more);
    return report.damaged == 0 ? 0 : -EBADMSG;
}

static int weir_first(struct weir *x, const struct case_options *o)
{
    struct weir_stream s = {.weir = x};
    uint8_t *blob = malloc((size_t)o->size);
    if (blob == NULL)
        return -ENOMEM;
    case_blob(0, o->size, blob);
    struct digest d = digest_of(blob, (size_t)o->size);
    free(blob);
    uint64_t start_us = clock_mono_us();
    int r = weir_open(x);
    uint64_t opened_us = clock_mono_us();
    if (r == 0)
        r = store_worker_new(x->store, &s.worker);
    if (r < 0)
        return r;
    s.under_way = 1;
    store_get(s.worker, &d, weir_got, &s);
    while (s.under_way > 0)
        weir_stream_wait(&s);
    uint64_t got_us = clock_mono_us();
    store_worker_free(s.worker);
    struct store_stat stat;
    store_stat(x->store, &stat);
    if (s.res == 0)
        printf("{\"open_s\":%.6f,\"first_get_s\":%.6f,\"blobs\":%llu}\n",
               (double)(opened_us - start_us) / 1e6, (double)(got_us - start_us) / 1e6,
               (unsigned long long)stat.blobs);
    return s.res;
}

static size_t weir_allocated(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

static int weir_heap(struct weir *x)
{
    struct store_worker *worker = NULL;
    struct store_stat stat;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files); /* too few: opening the volumes says so */
    }
    size_t before = weir_allocated();
    uint64_t start_us = clock_mono_us();
    int r = weir_open(x);
    uint64_t opened_us = clock_mono_us();
    if (r == 0)
        r = store_worker_new(x->store, &worker);
    if (r < 0)
        return r;
    struct digest d = synth_digest(0, x->options->count);
    bool has = store_has(worker, &d);
    size_t now = weir_allocated();
    store_stat(x->store, &stat);
    printf("{\"heap\":%zu,\"blobs\":%llu,\"volumes\":%llu,\"per_blob\":%.3f,\"open_s\":%.4f}\n",
           now - before, (unsigned long long)stat.blobs, (unsigned long long)stat.volumes,
           (double)(now - before) / (double)MAX(stat.blobs, 1),
           (double)(opened_us - start_us) / 1e6);
    store_worker_free(worker);
    return has && stat.blobs == x->options->count ? 0 : -EBADMSG;
}

static int weir_run(struct weir *x)
{
    const struct case_options *o = x->options;
    uint64_t full = o->count != 0 ? o->count : weir_volume_full(o->size);
    if (strcmp(o->name, "puts") == 0)
        return weir_puts(x);
    if (strcmp(o->name, "fill") == 0)
        return weir_put_many(x, full);
    if (strcmp(o->name, "gets") == 0)
        return weir_gets(x);
    if (strcmp(o->name, "rebuild") == 0)
        return weir_rebuild(o);
    if (strcmp(o->name, "grow") == 0)
        return weir_put_many(x, 0);
    if (strcmp(o->name, "open") == 0)
        return weir_first(x, o);
    if (strcmp(o->name, "synth") == 0)
        return synth_store(o->folder, o->count, (uint32_t)o->size, WEIR_VOLUME);
    if (strcmp(o->name, "heap") == 0)
        return weir_heap(x);
    return -EINVAL;
}

int main(int argc, char **argv)
{
    struct case_options o;
    case_options_read(argc, argv, &o);
    struct weir x = {.options = &o};
    if (o.size > STORE_BLOB_MAX)
        return case_fail(o.name, -EFBIG);
    int r = metrics_new(&x.metrics);
    if (r == 0)
        r = weir_run(&x);
    store_close(x.store);
    metrics_free(x.metrics);
    free(x.digests);
    return r < 0 ? case_fail(o.name, r) : 0;
}
