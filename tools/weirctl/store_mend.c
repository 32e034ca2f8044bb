/* SPDX-License-Identifier: Apache-2.0 */
/* weirctl store rebuild and compact. Both leave the store intact wherever they are broken off. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>
#include "store/store_rebuild.h"
#include "store_ctl.h"

#define COMPACT_POLL_MS 50

static const char rebuild_usage[] =
    "usage: weirctl store rebuild [PATH | --config FILE | --state FOLDER [--edge]] [--json]\n"
    "\n"
    "Makes a new index from the volumes alone, and keeps the one before as index.old. No daemon "
    "may\n"
    "have the store open. A store with devices elsewhere whose index is lost needs "
    "--config.\n" CTL_STORE_WHERE_USAGE;
static const char compact_usage[] =
    "usage: weirctl store compact [PATH | --config FILE | --state FOLDER [--edge]] [--json]\n"
    "\n"
    "Does at once what a daemon does in the background: reclaims what is due, gives its space "
    "back,\n"
    "and compacts volumes that are mostly dead. No daemon may have the store "
    "open.\n" CTL_STORE_WHERE_USAGE;

/* Both take the store and --json alone. 0, or an exit code + 1. */
static int mend_parse(int argc, char **argv, const char *usage, struct ctl_store_where *w,
                      bool *as_json)
{
    const struct ctl_option options[] = {CTL_STORE_WHERE(*w), {"--json", NULL, as_json}};
    const char *word = NULL;
    size_t words = 0;
    int r = ctl_parse(argc, argv, usage, options, ARRAY_LEN(options), &word, 1, &words);
    if (r != 0)
        return r == 3 ? 1 : r + 1;
    ctl_store_take_path(w, &word, &words, true);
    if (words == 0)
        return 0;
    (void)fprintf(stderr, "weirctl: a path and an option name a store each: give one\n%s", usage);
    return 3;
}

/* --- rebuild ---------------------------------------------------------------------------------- */

static void rebuild_progress(void *arg, const struct store_rebuild *so_far)
{
    struct ctl_bar *bar = arg;
    if (ctl_interrupted()) {
        /* The old index stands until the new one is whole; what there is of that is removed by the
         * next attempt. */
        ctl_bar_clear(bar);
        _exit(ctl_say_interrupted("the index is as it was"));
    }
    ctl_bar_show(bar, so_far->bytes_done, so_far->bytes);
}

int ctl_store_rebuild(int argc, char **argv)
{
    struct ctl_store_where w = {0};
    bool as_json = false;
    int r = mend_parse(argc, argv, rebuild_usage, &w, &as_json);
    if (r != 0)
        return r - 1;
    struct err err = {0};
    struct ctl_store s;
    struct store_rebuild x = {0};
    struct ctl_bar bar = {.what = "rebuild"};
    char size[CTL_SIZE_TEXT];
    ctl_catch_interrupts();
    r = ctl_store_find(&w, &s, &err);
    if (r == 0)
        r = ctl_store_exists(&s, &err);
    if (r == 0 && s.config != NULL)
        r = tier_bucket_open(s.config->bucket, &err, &s.bucket);
    s.options.remote = s.bucket;
    if (r == 0)
        r = store_rebuild(&s.options, rebuild_progress, &bar, &x, &err);
    ctl_bar_clear(&bar);
    ctl_store_close(&s);
    if (r < 0)
        return ctl_fail(&err);
    if (as_json)
        printf("{\"volumes\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"blobs\":%" PRIu64
               ",\"blob_bytes\":%" PRIu64 ",\"refs\":%" PRIu64 ",\"remote\":%" PRIu64
               ",\"damaged\":%" PRIu64 "}\n",
               x.volumes, x.bytes, x.blobs, x.blob_bytes, x.refs, x.remote, x.damaged);
    else
        printf("%" PRIu64 " volume%s read: %" PRIu64 " blob%s of %s, %" PRIu64 " ref%s; %" PRIu64
               " damaged record%s left out\n",
               x.volumes, ctl_s(x.volumes), x.blobs, ctl_s(x.blobs),
               ctl_size_human(x.blob_bytes, size), x.refs, ctl_s(x.refs), x.damaged,
               ctl_s(x.damaged));
    return 0;
}

/* --- compact ---------------------------------------------------------------------------------- */

struct compact {
    struct store *store;
    int res;
    _Atomic bool done;
};

static void *compact_run(void *arg)
{
    struct compact *c = arg;
    c->res = store_settle(c->store);
    atomic_store(&c->done, true);
    return NULL;
}

/* Dead bytes fall towards none, though not all the way: volumes are compacted under half live. */
static void compact_watch(struct compact *c, uint64_t dead_before)
{
    struct ctl_bar bar = {.what = "compact"};
    struct store_stat x;
    const struct timespec wait = {0, COMPACT_POLL_MS * 1000000L};
    while (!atomic_load(&c->done)) {
        store_stat(c->store, &x);
        uint64_t dead = x.used_bytes > x.live_bytes ? x.used_bytes - x.live_bytes : 0;
        uint64_t total = MAX(dead_before, dead);
        if (ctl_interrupted()) {
            /* Every step is one transaction; what is under way is done again later. */
            ctl_bar_clear(&bar);
            _exit(ctl_say_interrupted("the same command goes on from here"));
        }
        ctl_bar_show(&bar, total - dead, total);
        (void)nanosleep(&wait, NULL);
    }
    ctl_bar_clear(&bar);
}

static int compact_settle(struct store *s, const struct store_stat *before, struct err *err)
{
    struct compact c = {.store = s};
    pthread_t thread;
    int r = -pthread_create(&thread, NULL, compact_run, &c);
    if (r < 0)
        return err_errno(err, r, "starting a thread");
    compact_watch(&c, before->used_bytes - MIN(before->used_bytes, before->live_bytes));
    (void)pthread_join(thread, NULL);
    return c.res < 0 ? err_errno(err, c.res, "compacting") : 0;
}

static void compact_say(const struct store_stat *before, const struct store_stat *after,
                        bool as_json)
{
    char was[CTL_SIZE_TEXT], is[CTL_SIZE_TEXT], reclaimed[CTL_SIZE_TEXT];
    if (as_json)
        printf("{\"reclaimed\":%" PRIu64 ",\"reclaimed_bytes\":%" PRIu64
               ",\"compacted_volumes\":%" PRIu64 ",\"live_before\":%" PRIu64
               ",\"live_after\":%" PRIu64 ",\"used_before\":%" PRIu64 ",\"used_after\":%" PRIu64
               ",\"volume_bytes_before\":%" PRIu64 ",\"volume_bytes_after\":%" PRIu64 "}\n",
               after->reclaimed, after->reclaimed_bytes, after->compacted_volumes,
               before->live_bytes, after->live_bytes, before->used_bytes, after->used_bytes,
               before->volume_bytes, after->volume_bytes);
    else
        printf("%" PRIu64 " blob%s of %s reclaimed, %" PRIu64
               " volume%s compacted; on the volumes: %s before, %s now\n",
               after->reclaimed, ctl_s(after->reclaimed),
               ctl_size_human(after->reclaimed_bytes, reclaimed), after->compacted_volumes,
               ctl_s(after->compacted_volumes), ctl_size_human(before->used_bytes, was),
               ctl_size_human(after->used_bytes, is));
}

int ctl_store_compact(int argc, char **argv)
{
    struct ctl_store_where w = {0};
    bool as_json = false;
    int r = mend_parse(argc, argv, compact_usage, &w, &as_json);
    if (r != 0)
        return r - 1;
    struct err err = {0};
    struct ctl_store s;
    struct store_stat before = {0}, after = {0};
    ctl_catch_interrupts();
    r = ctl_store_open(&w, CTL_STORE_COMPACT, &s, &err);
    if (r == 0) {
        store_stat(s.store, &before);
        r = compact_settle(s.store, &before, &err);
        store_stat(s.store, &after);
    }
    ctl_store_close(&s);
    if (r < 0)
        return ctl_fail(&err);
    compact_say(&before, &after, as_json);
    return 0;
}
