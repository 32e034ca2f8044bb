/* SPDX-License-Identifier: Apache-2.0 */
/* Volume by volume, extent by extent. Between the look into the index and the read of the record a
 * daemon may have moved or reclaimed it: whatever seems wrong is looked up once more, and counts
 * only if the index still says the same. */
#include "store/store_verify.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "store/store_verify_priv.h"

void verify_say(struct verify *v, const struct store_fault *f)
{
    v->report->faults++;
    v->fault(v->arg, f);
}

int verify_go_on(struct verify *v)
{
    return v->progress == NULL || v->progress(v->arg, v->report) ? 0 : -EINTR;
}

/* --- volumes' rows ---------------------------------------------------------------------------- */

static int verify_add_row(void *arg, const struct index_volume *row)
{
    struct verify *v = arg;
    if (v->rows_count == v->rows_cap) {
        size_t cap = v->rows_cap == 0 ? 64 : v->rows_cap * 2;
        struct index_volume *more = reallocarray(v->rows, cap, sizeof *more);
        if (more == NULL)
            return -ENOMEM;
        v->rows = more;
        v->rows_cap = cap;
    }
    v->rows[v->rows_count++] = *row;
    return 0;
}

int verify_read_rows(struct verify *v)
{
    v->rows_count = 0;
    return index_volumes(v->reader, verify_add_row, v);
}

static int verify_compare_rows(const void *a, const void *b)
{
    const struct index_volume *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

const struct index_volume *verify_row(const struct verify *v, uint32_t volume)
{
    struct index_volume key = {.id = volume}; /* the index lists them by number */
    return v->rows_count == 0
               ? NULL
               : bsearch(&key, v->rows, v->rows_count, sizeof *v->rows, verify_compare_rows);
}

/* One that was made after the store was opened has the highest number. */
struct volume *verify_volume(struct verify *v, const struct index_volume *row)
{
    struct volume_opening opening = {.row = *row};
    struct volume_table *table = v->store->volumes;
    struct volume *there = volume_get(table, row->id);
    if (there != NULL)
        return there;
    struct volume *later = volume_after(table, row->id);
    if (later == NULL) {
        volume_open(table, v->queue, &opening, 1, true);
        there = volume_get(table, row->id); /* NULL, if it could not be opened */
    }
    volume_unref(later);
    return there;
}

/* --- records ---------------------------------------------------------------------------------- */

/* What the index says of an extent, now. */
struct verify_now {
    bool stands; /* the extent is still there */
    bool agrees; /* and its entry or ref says so too */
    struct index_entry entry;
    struct index_ref ref;
};

static int verify_look(struct verify *v, uint32_t volume, const struct index_extent *x,
                       struct verify_now *ret)
{
    struct index_extent again;
    unsigned count = 0;
    *ret = (struct verify_now){.stands = false};
    int r = x->kind == FORMAT_BLOB ? index_find(v->reader, &x->digest, &ret->entry)
                                   : index_find_ref_row(v->reader, str_of(x->name), &ret->ref);
    bool found = r == 0;
    if (r == 0 || r == -ENOENT)
        r = index_extents(v->reader, volume, x->offset, 1, &again, &count);
    if (r < 0)
        return r;
    ret->stands = count == 1 && again.offset == x->offset && again.kind == x->kind &&
                  (x->kind == FORMAT_BLOB ? digest_eq(&again.digest, &x->digest)
                                          : strcmp(again.name, x->name) == 0);
    ret->agrees = found && (x->kind == FORMAT_BLOB
                                ? ret->entry.volume == volume && ret->entry.offset == x->offset
                                : ret->ref.volume == volume && ret->ref.offset == x->offset &&
                                      ret->ref.gone == (x->kind == FORMAT_REF_GONE));
    return 0;
}

static uint32_t verify_length(const struct index_extent *x, const struct verify_now *now)
{
    return x->kind == FORMAT_BLOB ? now->entry.length
                                  : (uint32_t)(sizeof(struct format_ref_disk) + strlen(x->name));
}

static bool verify_ref_agrees(const struct index_extent *x, const struct index_ref *row,
                              const uint8_t *payload, uint32_t length)
{
    struct str name;
    struct store_ref ref;
    return format_ref_read(payload, length, &name, &ref) == 0 && str_eq(name, str_of(x->name)) &&
           ref.generation == row->ref.generation && ref.changed_ms == row->ref.changed_ms &&
           digest_eq(&ref.presentation, &row->ref.presentation);
}

/* NULL: the record is whole. */
static const char *verify_bytes(const struct index_extent *x, const struct verify_now *now,
                                uint32_t volume, const uint8_t *bytes, uint32_t size)
{
    struct format_record head;
    int r = format_record_read(bytes, size, &head);
    if (r < 0)
        return "its header is damaged";
    if (head.volume != volume || head.offset != x->offset)
        return "its header says that it belongs elsewhere";
    if (head.kind != x->kind || head.length != verify_length(x, now) ||
        (x->kind == FORMAT_BLOB && !digest_eq(&head.digest, &x->digest)))
        return "another record is there";
    if (format_payload_check(bytes, head.length) < 0)
        return "a block of its payload is damaged";
    const uint8_t *payload = bytes + format_payload_offset(head.length);
    struct digest is = digest_of(payload, head.length);
    if (!digest_eq(&is, &head.digest))
        return "its payload does not have its digest";
    if (x->kind != FORMAT_BLOB && !verify_ref_agrees(x, &now->ref, payload, head.length))
        return "the index says something else than the record of the ref's move";
    return NULL;
}

/* *ret: what is wrong, or NULL. */
static int verify_read(struct verify *v, const struct volume *in, const struct index_extent *x,
                       const struct verify_now *now, const char **ret)
{
    struct rbuf *b = NULL;
    uint32_t cap_size, size = format_record_size(verify_length(x, now));
    if (size > in->size || x->offset > in->size - size) {
        *ret = "it is not within its volume";
        return 0;
    }
    int r = rbuf_new(size, &b);
    if (r < 0)
        return r;
    r = io_run(v->queue, IO_READ, in->fd, rbuf_space(b, &cap_size), size, x->offset);
    if (r == -EIO || r == -ENODATA)
        *ret = r == -EIO ? "the disk gives an error" : "its volume's file ends before it does";
    else if (r == 0)
        *ret = verify_bytes(x, now, in->id, rbuf_space(b, &cap_size), size);
    rbuf_unref(b);
    return r == -EIO || r == -ENODATA ? 0 : r;
}

static int verify_note(struct verify *v, const struct digest *d)
{
    struct verify_damaged *l = &v->damaged;
    if (l->count == l->cap) {
        size_t cap = l->cap == 0 ? 64 : l->cap * 2;
        struct digest *more = reallocarray(l->digests, cap, sizeof *more);
        if (more == NULL)
            return -ENOMEM;
        l->digests = more;
        l->cap = cap;
    }
    l->digests[l->count++] = *d;
    return 0;
}

static int verify_extent_fault(struct verify *v, const struct volume *in,
                               const struct index_extent *x, enum store_fault_kind kind,
                               const char *text)
{
    bool is_blob = x->kind == FORMAT_BLOB;
    verify_say(v, &(struct store_fault){.kind = kind,
                                        .volume = in->id,
                                        .offset = x->offset,
                                        .has_digest = is_blob,
                                        .digest = x->digest,
                                        .ref = is_blob ? NULL : x->name,
                                        .text = text});
    return is_blob && kind != STORE_FAULT_INDEX ? verify_note(v, &x->digest) : 0;
}

/* Sums of what was seen in a volume, as its row has them. */
struct verify_sums {
    uint64_t blobs, bytes, live;
};

static int verify_extent(struct verify *v, const struct volume *in, const struct index_extent *x,
                         struct verify_sums *sums)
{
    struct verify_now now, again;
    const char *wrong = NULL;
    int r = verify_look(v, in->id, x, &now);
    if (r < 0 || !now.stands)
        return r;
    if (!now.agrees) {
        /* The two look-ups may have seen different states of the index. */
        r = verify_look(v, in->id, x, &again);
        if (r < 0 || !again.stands || again.agrees)
            return r;
        return verify_extent_fault(v, in, x, STORE_FAULT_INDEX,
                                   x->kind == FORMAT_BLOB
                                       ? "the blob that should be here is elsewhere by its entry"
                                       : "the ref whose record should be here has it elsewhere");
    }
    bool flagged = x->kind == FORMAT_BLOB && (now.entry.flags & INDEX_QUARANTINED) != 0;
    uint32_t size = format_record_size(verify_length(x, &now));
    sums->live += size;
    sums->blobs += x->kind == FORMAT_BLOB && !flagged;
    sums->bytes += x->kind == FORMAT_BLOB && !flagged ? now.entry.length : 0;
    v->report->records++;
    v->report->blobs += x->kind == FORMAT_BLOB;
    v->report->bytes_done += size;
    if (flagged)
        return verify_extent_fault(v, in, x, STORE_FAULT_FLAGGED,
                                   "it was found damaged before, and is not given to anybody");
    r = verify_read(v, in, x, &now, &wrong);
    if (r < 0 || wrong == NULL)
        return r;
    r = verify_look(v, in->id, x, &again);
    if (r < 0 || !again.stands || !again.agrees)
        return r; /* it was moved or reclaimed while it was read */
    return verify_extent_fault(v, in, x, STORE_FAULT_DAMAGED, wrong);
}

/* --- volumes ---------------------------------------------------------------------------------- */

static int verify_extents(struct verify *v, const struct volume *in, struct verify_sums *sums)
{
    uint64_t from = 0;
    unsigned count = 0;
    int r = 0;
    do {
        r = index_extents(v->reader, in->id, from, VERIFY_CHUNK, v->extents, &count);
        for (unsigned i = 0; i < count && r == 0; i++) {
            r = verify_extent(v, in, &v->extents[i], sums);
            if (r == 0)
                r = verify_go_on(v);
        }
        if (count > 0)
            from = v->extents[count - 1].offset + FORMAT_ALIGN;
    } while (r == 0 && count > 0);
    return r;
}

static bool verify_same(const struct index_volume *a, const struct index_volume *b)
{
    return a->end == b->end && a->blobs == b->blobs && a->bytes == b->bytes && a->live == b->live;
}

/* before: its row as it was. Where nothing changed meanwhile the sums must be true. */
static int verify_volume_records(struct verify *v, struct volume *in,
                                 const struct index_volume *before)
{
    struct verify_sums sums = {0};
    char text[256];
    int r = verify_extents(v, in, &sums);
    if (r == 0)
        r = verify_read_rows(v);
    if (r < 0)
        return r;
    const struct index_volume *row = verify_row(v, in->id);
    if (row == NULL || !verify_same(row, before) ||
        (row->blobs == sums.blobs && row->bytes == sums.bytes && row->live == sums.live))
        return 0;
    (void)snprintf(text, sizeof text,
                   "its row says %llu blobs of %llu bytes, %llu live; there are %llu of %llu, %llu "
                   "live",
                   (unsigned long long)row->blobs, (unsigned long long)row->bytes,
                   (unsigned long long)row->live, (unsigned long long)sums.blobs,
                   (unsigned long long)sums.bytes, (unsigned long long)sums.live);
    verify_say(v, &(struct store_fault){
                      .kind = STORE_FAULT_INDEX, .volume = in->id, .offset = 0, .text = text});
    return 0;
}

static int verify_next_volume(struct verify *v, uint32_t after, uint32_t *ret)
{
    const struct index_volume *next = NULL;
    char text[128];
    for (size_t i = 0; i < v->rows_count; i++) {
        if (v->rows[i].id > after && (next == NULL || v->rows[i].id < next->id))
            next = &v->rows[i];
    }
    if (next == NULL)
        return -ENOENT;
    struct index_volume row = *next;
    *ret = row.id;
    struct volume *in = verify_volume(v, &row);
    if (in != NULL) {
        int r = verify_volume_records(v, in, &row);
        volume_unref(in);
        return r;
    }
    int r = verify_read_rows(v);
    if (r < 0 || verify_row(v, row.id) == NULL || row.live == 0)
        return r; /* given up meanwhile; or only half made or given up when a process died */
    (void)snprintf(text, sizeof text, "it cannot be read now: %llu blobs of %llu bytes are away",
                   (unsigned long long)row.blobs, (unsigned long long)row.bytes);
    verify_say(v, &(struct store_fault){
                      .kind = STORE_FAULT_AWAY, .volume = row.id, .offset = 0, .text = text});
    v->report->bytes_done += row.live;
    return verify_go_on(v);
}

static int verify_all(struct verify *v)
{
    uint32_t id = 0;
    int r = verify_read_rows(v);
    for (size_t i = 0; i < v->rows_count; i++)
        v->report->bytes += v->rows[i].live;
    while (r == 0)
        r = verify_next_volume(v, id, &id);
    r = r == -ENOENT ? 0 : r;
    if (r == 0)
        r = verify_entries(v);
    return r == 0 ? verify_refs(v) : r;
}

int store_verify(struct store *s, store_links *links, void *links_arg, store_verify_fault *fault,
                 store_verify_progress *progress, void *arg, struct store_verify *ret,
                 struct err *err)
{
    ASSERT(s->magic == STORE_MAGIC);
    ASSERT(s->commit == NULL); /* read only: nobody else changes the table of volumes */
    *ret = (struct store_verify){0};
    struct verify v = {.store = s,
                       .links = links,
                       .links_arg = links_arg,
                       .fault = fault,
                       .progress = progress,
                       .arg = arg,
                       .report = ret,
                       .extents = calloc(VERIFY_CHUNK, sizeof *v.extents),
                       .blobs = calloc(VERIFY_CHUNK, sizeof *v.blobs)};
    int r = v.extents == NULL || v.blobs == NULL ? -ENOMEM : index_reader_new(s->index, &v.reader);
    if (r == 0)
        r = io_queue_new(s->io, 4, -1, &v.queue);
    if (r == 0)
        r = verify_all(&v);
    index_reader_free(v.reader);
    io_queue_free(v.queue);
    free(v.extents);
    free(v.blobs);
    free(v.rows);
    free(v.damaged.digests);
    return r < 0 ? err_errno(err, r, "reading the store") : 0;
}
