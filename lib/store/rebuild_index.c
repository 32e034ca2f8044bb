/* SPDX-License-Identifier: Apache-2.0 */
/* Records into the new index, some thousands a transaction. A transaction may run again, in a
 * larger
 * map: what it counts outside the index begins anew each time. */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "store/store_rebuild_priv.h"
#include "store/tier.h"

/* --- one record ------------------------------------------------------------------------------- */

static struct rebuild_volume *rebuild_by_id(struct rebuild *b, uint32_t id)
{
    uint32_t low = 0, high = b->volumes_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (b->volumes[mid].row.id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < b->volumes_count && b->volumes[low].row.id == id ? &b->volumes[low] : NULL;
}

/* A record that another one took the place of. */
static int rebuild_lose(struct rebuild *b, struct index_txn *t, uint32_t volume, uint64_t offset,
                        uint32_t length, bool is_blob, bool had_extent)
{
    struct rebuild_volume *v = rebuild_by_id(b, volume);
    uint32_t size = format_record_size(length);
    struct index_hole hole = {.volume = volume, .offset = offset, .size = size};
    int r = 0;
    if (had_extent) {
        ASSERT(v != NULL); /* this run put it there */
        v->row.live -= size;
        v->row.blobs -= is_blob;
        v->row.bytes -= is_blob ? length : 0;
        r = index_delete_extent(t, volume, offset);
    }
    return r < 0 ? r : index_put_hole(t, &hole);
}

static int rebuild_win(struct index_txn *t, struct rebuild_volume *v, const struct rebuild_found *f)
{
    const struct format_record *x = &f->record;
    struct index_extent extent = {.offset = x->offset, .kind = x->kind, .digest = x->digest};
    int r = str_copy(str_of(f->name), extent.name, sizeof extent.name);
    if (r == 0)
        r = index_put_extent(t, v->row.id, &extent);
    v->row.live += format_record_size(x->length);
    v->row.blobs += x->kind == FORMAT_BLOB;
    v->row.bytes += x->kind == FORMAT_BLOB ? x->length : 0;
    return r;
}

static int rebuild_put_blob(struct rebuild *b, struct index_txn *t, const struct rebuild_found *f)
{
    const struct format_record *x = &f->record;
    struct rebuild_volume *v = &b->volumes[f->volume];
    struct index_entry e;
    int r = index_get(t, &x->digest, &e);
    bool there = r == 0;
    if (r < 0 && r != -ENOENT)
        return r;
    if (there && ((uint64_t)e.since_s << 32 | e.refs) > ((uint64_t)x->epoch << 32 | x->sequence))
        return rebuild_lose(b, t, v->row.id, x->offset, x->length, true, false);
    if (there)
        r = rebuild_lose(b, t, e.volume, e.offset, e.length, true, true);
    else
        r = 0;
    if (there) {
        b->report->blobs--;
        b->report->blob_bytes -= e.length;
    }
    e = (struct index_entry){.volume = v->row.id,
                             .offset = x->offset,
                             .length = x->length,
                             .since_s = x->epoch,
                             .refs = x->sequence};
    if (r == 0)
        r = index_put(t, &x->digest, &e);
    if (r == 0)
        r = rebuild_win(t, v, f);
    b->report->blobs++;
    b->report->blob_bytes += x->length;
    return r;
}

static int rebuild_put_ref(struct rebuild *b, struct index_txn *t, const struct rebuild_found *f)
{
    struct index_ref before;
    struct str name = str_of(f->name);
    uint32_t length = f->record.length;
    int r = index_get_ref(t, name, &before);
    bool there = r == 0;
    if (r < 0 && r != -ENOENT)
        return r;
    if (there && before.ref.generation > f->ref.ref.generation)
        return rebuild_lose(b, t, f->ref.volume, f->ref.offset, length, false, false);
    r = there ? rebuild_lose(b, t, before.volume, before.offset, length, false, true) : 0;
    if (r == 0)
        r = index_put_ref(t, name, &f->ref);
    if (r == 0)
        r = rebuild_win(t, &b->volumes[f->volume], f);
    b->report->refs -= there && !before.gone;
    b->report->refs += !f->ref.gone;
    return r;
}

/* --- transactions ----------------------------------------------------------------------------- */

struct rebuild_flushing {
    struct rebuild *rebuild;
    struct store_rebuild report; /* as it was */
};

static int rebuild_flush_body(struct index_txn *t, void *arg)
{
    struct rebuild_flushing *x = arg;
    struct rebuild *b = x->rebuild;
    int r = 0;
    *b->report = x->report;
    for (uint32_t i = 0; i < b->volumes_count; i++) {
        b->volumes[i].row.live = b->before[i].row.live;
        b->volumes[i].row.blobs = b->before[i].row.blobs;
        b->volumes[i].row.bytes = b->before[i].row.bytes;
    }
    for (uint32_t i = 0; i < b->found_count && r == 0; i++) {
        const struct rebuild_found *f = &b->found[i];
        r = f->record.kind == FORMAT_BLOB ? rebuild_put_blob(b, t, f) : rebuild_put_ref(b, t, f);
    }
    return r;
}

int rebuild_flush(struct rebuild *b)
{
    struct rebuild_flushing x = {.rebuild = b, .report = *b->report};
    if (b->found_count == 0)
        return 0;
    memcpy(b->before, b->volumes, b->volumes_count * sizeof *b->before);
    int r = index_run(b->index, rebuild_flush_body, &x);
    b->found_count = 0;
    return r;
}

int rebuild_add(struct rebuild *b, struct rebuild_volume *v, const struct format_record *x,
                struct rebuild_found **ret)
{
    int r = b->found_count == REBUILD_TXN_MAX ? rebuild_flush(b) : 0;
    if (r < 0)
        return r;
    struct rebuild_found *f = &b->found[b->found_count++];
    *f = (struct rebuild_found){.record = *x, .volume = (uint32_t)(v - b->volumes)};
    *ret = f;
    return 0;
}

/* --- the end ---------------------------------------------------------------------------------- */

static int rebuild_rows_body(struct index_txn *t, void *arg)
{
    struct rebuild *b = arg;
    int r = 0;
    for (uint32_t i = 0; i < b->devices_count && r == 0; i++)
        r = index_put_device(t, &b->devices[i].row);
    for (uint32_t i = 0; i < b->volumes_count && r == 0; i++)
        r = index_put_volume(t, &b->volumes[i].row);
    if (r == 0)
        r = index_set_last_volume(t, b->volumes[b->volumes_count - 1].row.id);
    if (r == 0)
        r = index_set_epoch(t, b->epoch);
    return r;
}

struct rebuild_settling {
    const struct index_blob *blobs;
    unsigned count;
    uint32_t now_s;
};

static int rebuild_settle_body(struct index_txn *t, void *arg)
{
    const struct rebuild_settling *x = arg;
    int r = 0;
    for (unsigned i = 0; i < x->count && r == 0; i++) {
        struct index_entry e = x->blobs[i].entry;
        e.since_s = x->now_s;
        e.refs = 0;
        r = index_put(t, &x->blobs[i].digest, &e);
    }
    return r;
}

static int rebuild_settle(struct rebuild *b)
{
    struct index_reader *reader = NULL;
    struct index_blob *blobs = calloc(REBUILD_TXN_MAX, sizeof *blobs);
    struct rebuild_settling x = {.blobs = blobs, .now_s = (uint32_t)(clock_real_ms() / 1000)};
    struct digest last = {{0}};
    int r = blobs != NULL ? index_reader_new(b->index, &reader) : -ENOMEM;
    bool after = false;
    while (r == 0) {
        r = index_blobs(reader, &last, after, REBUILD_TXN_MAX, blobs, &x.count);
        if (r < 0 || x.count == 0)
            break;
        r = index_run(b->index, rebuild_settle_body, &x);
        last = blobs[x.count - 1].digest;
        after = true;
    }
    index_reader_free(reader);
    free(blobs);
    return r;
}

int rebuild_finish(struct rebuild *b)
{
    int r = index_run(b->index, rebuild_rows_body, b);
    return r < 0 ? r : rebuild_settle(b);
}

/* --- the remote tier -------------------------------------------------------------------------- */

struct rebuild_listed {
    struct rebuild *rebuild;
    struct index_blob *blobs;
    unsigned count;
    int res;
};

static int rebuild_listed_body(struct index_txn *t, void *arg)
{
    const struct rebuild_listed *x = arg;
    int r = 0;
    for (unsigned i = 0; i < x->count && r == 0; i++) {
        struct index_entry e;
        r = index_get(t, &x->blobs[i].digest, &e);
        if (r == -ENOENT) {
            e = x->blobs[i].entry;
            r = 0;
        }
        e.flags |= INDEX_REMOTE;
        if (r == 0)
            r = index_put(t, &x->blobs[i].digest, &e);
    }
    return r;
}

static void rebuild_listed_flush(struct rebuild_listed *x)
{
    if (x->res == 0 && x->count > 0)
        x->res = index_run(x->rebuild->index, rebuild_listed_body, x);
    x->count = 0;
}

static bool rebuild_listed_each(void *arg, const struct digest *d, uint64_t length)
{
    struct rebuild_listed *x = arg;
    if (length > STORE_BLOB_MAX)
        return true; /* not one of ours */
    x->blobs[x->count++] = (struct index_blob){
        .digest = *d,
        .entry = {.length = (uint32_t)length, .since_s = (uint32_t)(clock_real_ms() / 1000)}};
    x->rebuild->report->remote++;
    if (x->count == REBUILD_TXN_MAX)
        rebuild_listed_flush(x);
    return x->res == 0;
}

int rebuild_remote(struct rebuild *b)
{
    struct store_tier *tier = b->options->remote;
    struct rebuild_listed x = {.rebuild = b};
    if (tier == NULL)
        return 0;
    x.blobs = calloc(REBUILD_TXN_MAX, sizeof *x.blobs);
    int r = x.blobs != NULL ? tier->ops->list(tier, rebuild_listed_each, &x, b->err)
                            : err_errno(b->err, -ENOMEM, "listing the remote tier");
    if (r == 0) {
        rebuild_listed_flush(&x);
        r = x.res < 0 ? err_errno(b->err, x.res, "writing the new index") : 0;
    }
    free(x.blobs);
    return r;
}
