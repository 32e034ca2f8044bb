/* SPDX-License-Identifier: Apache-2.0 */
/* What the store tells of itself: metrics, figures, lists. */
#include <errno.h>
#include <stdlib.h>
#include "store/store_priv.h"

#define STORE_LIST_CHUNK 256u

void store_metrics_init(struct store *s, struct metrics *registry, const char *prefix)
{
    struct store_metrics *m = &s->metrics;
    const struct metric_row table[] = {
        {&m->hits_hot, metrics_counter, "store_hits_total", "Blobs answered", "tier=\"hot\""},
        {&m->hits_warm, metrics_counter, "store_hits_total", "Blobs answered", "tier=\"warm\""},
        {&m->hits_cold, metrics_counter, "store_hits_total", "Blobs answered", "tier=\"cold\""},
        {&m->hits_remote, metrics_counter, "store_hits_total", "Blobs answered", "tier=\"remote\""},
        {&m->misses, metrics_counter, "store_misses_total", "Blobs asked for and absent", ""},
        {&m->damaged, metrics_counter, "store_damaged_total", "Reads that found damage", ""},
        {&m->repaired, metrics_counter, "store_repaired_total", "Damaged blobs written anew", ""},
        {&m->evictions, metrics_counter, "store_evicted_volumes_total", "Volumes given up", ""},
        {&m->puts, metrics_counter, "store_puts_total", "Blobs put and durable", ""},
        {&m->put_failures, metrics_counter, "store_put_failures_total", "Puts refused or failed",
         ""},
        {&m->put_bytes, metrics_counter, "store_put_bytes_total", "Bytes of those blobs", ""},
        {&m->written_bytes, metrics_counter, "store_written_bytes_total",
         "Bytes written to volumes: by put_bytes_total the write amplification", ""},
        {&m->refused, metrics_counter, "store_refused_total",
         "Blobs kept in RAM alone until they are asked for again", ""},
        {&m->reclaimed, metrics_counter, "store_reclaimed_total", "Blobs reclaimed", ""},
        {&m->reclaimed_bytes, metrics_counter, "store_reclaimed_bytes_total", "Bytes of those", ""},
        {&m->compacted, metrics_counter, "store_compacted_volumes_total", "Volumes compacted", ""},
        {&m->scrubbed_bytes, metrics_counter, "store_scrubbed_bytes_total", "Bytes scrubbed", ""},
        {&m->promoted, metrics_counter, "store_promoted_total", "Blobs moved to a warm device", ""},
        {&m->demoted, metrics_counter, "store_demoted_total", "Blobs moved to the cold tier", ""},
        {&m->uploaded, metrics_counter, "store_uploaded_total", "Blobs put to the remote tier", ""},
        {&m->groups, metrics_counter, "store_commits_total", "Groups committed", ""},
        {&m->commit_latency, metrics_latency, "store_commit_seconds", "Time to commit a group", ""},
        {&m->get_latency, metrics_latency, "store_read_seconds", "Time of a read from disk", ""},
        {&m->blobs, metrics_gauge, "store_blobs", "Blobs in the index", ""},
        {&m->blob_bytes, metrics_gauge, "store_blob_bytes", "Bytes of those blobs", ""},
        {&m->volumes, metrics_gauge, "store_volumes", "Volumes on disk", ""},
        {&m->volume_bytes, metrics_gauge, "store_volume_bytes", "Bytes of those volumes", ""},
        {&m->live_bytes, metrics_gauge, "store_live_bytes", "Bytes in them that are in use", ""},
        {&m->hot_bytes, metrics_gauge, "store_hot_bytes", "Bytes in RAM", ""},
    };
    metrics_make(registry, prefix != NULL ? prefix : "weir", table, ARRAY_LEN(table));
}

void store_metrics_refresh(struct store *s)
{
    const struct store_metrics *m = &s->metrics;
    struct volume_sums sums;
    if (m->blobs == NULL)
        return;
    volume_sums(s->volumes, NULL, &sums);
    metric_set(m->blobs, (int64_t)sums.blobs);
    metric_set(m->blob_bytes, (int64_t)sums.bytes);
    metric_set(m->volumes, (int64_t)sums.volumes);
    metric_set(m->volume_bytes, (int64_t)sums.size);
    metric_set(m->live_bytes, (int64_t)sums.live);
    metric_set(m->hot_bytes, (int64_t)hot_bytes(s->hot));
}

/* --- figures ---------------------------------------------------------------------------------- */

static uint64_t store_counted(const _Atomic uint64_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

void store_stat(struct store *s, struct store_stat *ret)
{
    ASSERT(s->magic == STORE_MAGIC);
    struct volume_sums sums;
    const struct store_counts *c = &s->counts;
    volume_sums(s->volumes, NULL, &sums);
    *ret = (struct store_stat){
        .blobs = sums.blobs,
        .blob_bytes = sums.bytes,
        .volumes = sums.volumes,
        .volume_bytes = sums.size,
        .live_bytes = sums.live,
        .used_bytes = sums.end,
        .hot_bytes = hot_bytes(s->hot),
        .hot_hits = store_counted(&c->hot_hits),
        .hits = store_counted(&c->hits),
        .misses = store_counted(&c->misses),
        .damaged = store_counted(&c->damaged),
        .repaired = store_counted(&c->repaired),
        .evicted_volumes = store_counted(&c->evicted_volumes),
        .put_bytes = store_counted(&c->put_bytes),
        .written_bytes = store_counted(&c->written_bytes),
        .reclaimed = store_counted(&c->reclaimed),
        .reclaimed_bytes = store_counted(&c->reclaimed_bytes),
        .compacted_volumes = store_counted(&c->compacted_volumes),
        .scrubbed_bytes = store_counted(&c->scrubbed_bytes),
        .promoted = store_counted(&c->promoted),
        .demoted = store_counted(&c->demoted),
        .uploaded = store_counted(&c->uploaded),
        .refused = store_counted(&c->refused),
    };
}

int store_device_stat(struct store *s, unsigned i, struct store_device_stat *ret)
{
    ASSERT(s->magic == STORE_MAGIC);
    struct volume_sums sums;
    uint64_t free_size = 0, size = 0;
    if (i >= volume_devices(s->volumes))
        return -ENOENT;
    const struct volume_device *d = volume_device(s->volumes, i);
    volume_sums(s->volumes, d, &sums);
    if (s->io->space(s->io, d->folder, &free_size, &size) < 0)
        free_size = size = 0;
    *ret = (struct store_device_stat){.id = d->id,
                                      .cold = d->kind == FORMAT_COLD,
                                      .failed = atomic_load(&d->failed),
                                      .volumes = sums.volumes,
                                      .volume_bytes = sums.size,
                                      .blobs = sums.blobs,
                                      .blob_bytes = sums.bytes,
                                      .live_bytes = sums.live,
                                      .used_bytes = sums.end,
                                      .free_bytes = free_size,
                                      .size_bytes = size};
    if (str_copy(str_of(d->folder), ret->path, sizeof ret->path) < 0)
        ret->path[0] = 0; /* too long to be shown */
    return 0;
}

/* --- lists ------------------------------------------------------------------------------------ */

static void store_blob_show(struct store *s, const struct index_blob *b, struct store_blob *ret)
{
    const struct index_entry *e = &b->entry;
    *ret = (struct store_blob){.digest = b->digest,
                               .length = e->length,
                               .refs = e->refs,
                               .volume = e->volume,
                               .offset = e->offset,
                               .remote = (e->flags & INDEX_REMOTE) != 0,
                               .damaged = (e->flags & INDEX_QUARANTINED) != 0};
    struct volume *v = e->volume != 0 ? volume_get(s->volumes, e->volume) : NULL;
    if (v != NULL) {
        ret->device = v->device->id;
        ret->cold = v->device->kind == FORMAT_COLD;
    }
    volume_unref(v);
}

int store_blob_look(struct store_worker *w, const struct digest *d, struct store_blob *ret)
{
    struct index_blob b = {.digest = *d};
    int r = index_find(w->reader, d, &b.entry);
    if (r == 0)
        store_blob_show(w->store, &b, ret);
    return r;
}

int store_blob_list(struct store_worker *w, store_blob_each *each, void *arg)
{
    struct index_blob *blobs = calloc(STORE_LIST_CHUNK, sizeof *blobs);
    struct digest last = {{0}};
    unsigned count = 0;
    int r = blobs != NULL ? 0 : -ENOMEM;
    bool more = true, after = false;
    /* In pieces: no read transaction outlives a call of each. */
    while (r == 0 && more) {
        r = index_blobs(w->reader, &last, after, STORE_LIST_CHUNK, blobs, &count);
        for (unsigned i = 0; i < count && r == 0 && more; i++) {
            struct store_blob b;
            store_blob_show(w->store, &blobs[i], &b);
            more = each(arg, &b);
        }
        if (r < 0 || count < STORE_LIST_CHUNK)
            break;
        last = blobs[count - 1].digest;
        after = true;
    }
    free(blobs);
    return r;
}
