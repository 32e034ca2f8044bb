/* SPDX-License-Identifier: Apache-2.0 */
/* The records of a volume rise by (epoch, sequence). One that does not is what a crash left behind
 * the volume's end, which was written over since: it and all behind it are not part of the store.
 * Of several records of one blob the one that was written last counts, of a ref the highest
 * generation. Pages that hold no record's head are stepped over one by one, so damage costs the
 * records that it hits and no more.
 *
 * While the index is being filled an entry's since_s and refs hold the epoch and the sequence of
 * its record; a last pass puts right what they are. */
#include "store/store_rebuild.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include "base/clock.h"
#include "base/file.h"
#include "store/store_rebuild_priv.h"

#define REBUILD_DEPTH 16u

/* --- records ---------------------------------------------------------------------------------- */

static int rebuild_ref(struct rebuild *b, struct rebuild_volume *v, const struct format_record *x,
                       const uint8_t *payload)
{
    struct str name;
    struct rebuild_found *f = NULL;
    struct store_ref ref;
    if (format_ref_read(payload, x->length, &name, &ref) < 0) {
        b->report->damaged++;
        return 0;
    }
    int r = rebuild_add(b, v, x, &f);
    if (r < 0)
        return r;
    f->ref = (struct index_ref){
        .ref = ref, .gone = x->kind == FORMAT_REF_GONE, .volume = v->row.id, .offset = x->offset};
    return str_copy(name, f->name, sizeof f->name);
}

/* Its payload against the sums in b->head. -EBADMSG; -EIO and -ENODATA: it cannot be read. */
static int rebuild_check(struct rebuild *b, const struct format_record *x)
{
    uint64_t at = x->offset + format_payload_offset(x->length);
    int r = 0;
    for (uint32_t i = 0; i < format_blocks(x->length) && r == 0; i++) {
        uint32_t from = i * FORMAT_BLOCK, size = MIN(FORMAT_BLOCK, x->length - from);
        const uint8_t *bytes = NULL;
        r = rebuild_view(b->reader, at + from, size, &bytes);
        if (r == 0)
            r = format_block_check(b->head, i, bytes, size);
        if (r == 0 && x->kind != FORMAT_BLOB)
            memcpy(b->head + format_payload_offset(x->length), bytes, size); /* small: one block */
    }
    return r;
}

/* Takes the record at *offset and moves *offset behind it. -ENOMSG: there is none (or one whose
 * head is damaged, or the middle of a blob that looks like one). -ESTALE: the volume's end was
 * before it. */
static int rebuild_record(struct rebuild *b, struct rebuild_volume *v, uint64_t file_end,
                          uint64_t *offset)
{
    struct format_record x;
    struct rebuild_found *found;
    const uint8_t *bytes = NULL;
    uint32_t head_size = (uint32_t)MIN(REBUILD_HEAD_MAX, file_end - MIN(file_end, *offset));
    int r = head_size == 0 ? -ENOMSG : rebuild_view(b->reader, *offset, head_size, &bytes);
    if (r == -EIO && head_size > FORMAT_ALIGN) {
        head_size = FORMAT_ALIGN; /* all that most heads take */
        r = rebuild_view(b->reader, *offset, head_size, &bytes);
    }
    if (r < 0)
        return r == -EIO || r == -ENODATA ? -ENOMSG : r;
    r = format_record_read(bytes, head_size, &x);
    if (r < 0 || x.volume != v->row.id || x.offset != *offset ||
        format_record_size(x.length) > v->row.size - *offset)
        return -ENOMSG;
    uint64_t order = (uint64_t)x.epoch << 32 | x.sequence;
    if (v->any && order <= v->order)
        return -ESTALE;
    v->any = true;
    v->order = order;
    b->epoch = MAX(b->epoch, x.epoch);
    memcpy(b->head, bytes, format_payload_offset(x.length));
    if (x.kind != FORMAT_BLOB && x.length > FORMAT_REF_MAX)
        r = -EBADMSG;
    else
        r = rebuild_check(b, &x);
    if (r == -EIO || r == -ENODATA || r == -EBADMSG) {
        b->report->damaged++;
        r = 0;
    } else if (r == 0 && x.kind == FORMAT_BLOB) {
        r = rebuild_add(b, v, &x, &found);
    } else if (r == 0) {
        r = rebuild_ref(b, v, &x, b->head + format_payload_offset(x.length));
    }
    *offset += format_record_size(x.length);
    v->row.end = *offset;
    return r;
}

/* Moves *offset to the next page that begins like a record; -ENODATA: none up to the end. */
static int rebuild_seek(struct rebuild *b, uint64_t file_end, uint64_t *offset)
{
    for (; *offset < file_end; *offset += FORMAT_ALIGN) {
        const uint8_t *bytes = NULL;
        int r = rebuild_view(b->reader, *offset, FORMAT_ALIGN, &bytes);
        if (r < 0 && r != -EIO) /* a bad sector is stepped over */
            return r;
        if (r == 0 && memcmp(bytes, FORMAT_RECORD_TEXT, 4) == 0)
            return 0;
    }
    return -ENODATA;
}

static int rebuild_volume(struct rebuild *b, struct rebuild_volume *v)
{
    char path[REBUILD_PATH_MAX];
    uint64_t offset = FORMAT_RECORDS, size = 0, done = b->report->bytes_done;
    int r = rebuild_open_volume(b, v, path);
    if (r == 0)
        r = b->io->file_size(b->io, v->fd, &size);
    uint64_t end = MIN(v->row.size, size) / FORMAT_ALIGN * FORMAT_ALIGN;
    if (r == 0)
        rebuild_reader_begin(b->reader, v->fd, offset, end);
    /* Records follow each other: search only where none is. */
    while (r == 0) {
        r = rebuild_record(b, v, end, &offset);
        if (r == -ENOMSG) {
            offset += FORMAT_ALIGN;
            r = rebuild_seek(b, end, &offset);
        }
        b->report->bytes_done = done + MIN(offset, size);
        if (b->each != NULL)
            b->each(b->arg, b->report);
    }
    rebuild_reader_end(b->reader);
    if (v->fd >= 0)
        (void)b->io->close(b->io, v->fd); /* it was only read */
    v->fd = -1;
    if (r != -ENODATA && r != -ESTALE)
        return err_errno(b->err, r, "reading volume %s", path);
    b->report->bytes_done = done + MIN(size, v->row.size);
    b->report->volumes_done++;
    return 0;
}

/* --- the whole -------------------------------------------------------------------------------- */

static int rebuild_fill(struct rebuild *b)
{
    int r = 0;
    for (uint32_t i = 0; i < b->volumes_count && r == 0; i++)
        r = rebuild_volume(b, &b->volumes[i]);
    if (r < 0)
        return r;
    r = rebuild_flush(b);
    if (r == 0)
        r = rebuild_finish(b);
    return r < 0 ? err_errno(b->err, r, "writing the new index") : 0;
}

/* The new index takes the old one's place; a crash in between leaves both under other names. */
static int rebuild_swap(struct rebuild *b, const char *made)
{
    char now[REBUILD_PATH_MAX], old[REBUILD_PATH_MAX];
    int r = rebuild_path(b, "index", now);
    if (r == 0)
        r = rebuild_path(b, "index.old", old);
    if (r == 0)
        r = file_remove_all(old);
    if (r == 0 && (r = b->io->rename(b->io, now, old)) == -ENOENT)
        r = 0; /* there was none: that may be why we are here */
    if (r == 0)
        r = b->io->rename(b->io, made, now);
    if (r == 0)
        r = file_sync_folder(b->options->path);
    return r < 0 ? err_errno(b->err, r, "putting the new index in place of %s/index",
                             b->options->path)
                 : 0;
}

static int rebuild_run(struct rebuild *b)
{
    char made[REBUILD_PATH_MAX];
    int r = rebuild_path(b, "index.new", made);
    if (r == 0)
        r = io_queue_new(b->io, REBUILD_DEPTH, -1, &b->queue);
    if (r == 0)
        r = rebuild_reader_new(b->queue, &b->reader);
    if (r < 0)
        return err_errno(b->err, r, "opening %s", b->options->path);
    r = rebuild_find(b);
    if (r < 0)
        return r;
    r = file_remove_all(made); /* of an attempt that was broken off */
    if (r < 0)
        return err_errno(b->err, r, "removing %s", made);
    r = index_open(made, b->options->index_size, INDEX_CREATE, b->store_id, b->err, &b->index);
    if (r == 0)
        r = rebuild_fill(b);
    if (r == 0)
        r = rebuild_remote(b);
    b->index = index_close(b->index);
    return r < 0 ? r : rebuild_swap(b, made);
}

int store_rebuild(const struct store_options *o, store_rebuild_each *each, void *arg,
                  struct store_rebuild *ret, struct err *err)
{
    char lock[REBUILD_PATH_MAX];
    *ret = (struct store_rebuild){0};
    struct rebuild *b = calloc(1, sizeof *b);
    if (b == NULL)
        return err_errno(err, -ENOMEM, "opening %s", o->path);
    *b = (struct rebuild){.options = o,
                          .io = o->io != NULL ? o->io : io_default(),
                          .each = each,
                          .arg = arg,
                          .report = ret,
                          .err = err};
    int r = rebuild_path(b, "lock", lock);
    CLEAN(base_close) int fd = r < 0 ? -1 : open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        r = err_errno(err, r < 0 ? r : -errno, "opening %s/lock", o->path);
    else if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        r = err_set(err, -EBUSY, "the store %s is in use by another process", o->path);
    b->head = aligned_alloc(FORMAT_ALIGN, REBUILD_HEAD_MAX);
    b->found = calloc(REBUILD_TXN_MAX, sizeof *b->found);
    if (r == 0 && (b->head == NULL || b->found == NULL))
        r = err_errno(err, -ENOMEM, "opening %s", o->path);
    if (r == 0)
        r = rebuild_run(b);
    rebuild_reader_free(b->reader);
    io_queue_free(b->queue);
    free(b->volumes);
    free(b->before);
    free(b->devices);
    free(b->found);
    free(b->head);
    free(b);
    return r;
}
