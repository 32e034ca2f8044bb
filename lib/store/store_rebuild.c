/* SPDX-License-Identifier: Apache-2.0 */
/* Records are taken in the order of volumes and of offsets, which is the order they were written
 * in: their (epoch, sequence) rises. A record that does not rise is what a crash left behind the
 * end of a volume that was written over since: it and all behind it are not part of the store.
 * Pages that hold no record's head are stepped over one by one, so damage costs the records that it
 * hits and no more. */
#include "store/store_rebuild.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include "base/enc.h"
#include "base/file.h"
#include "io/io.h"
#include "store/index.h"

#define REBUILD_PATH_MAX 4096
#define REBUILD_CHUNK    (UINT32_C(1) << 20)
#define REBUILD_TXN_MAX  4096u /* records a transaction */
#define REBUILD_VOLUMES  (UINT32_C(1) << 20)

struct rebuild {
    const char *path;
    const struct io_ops *io;
    struct io_queue *queue;
    struct index *index;
    struct index_txn *txn;
    unsigned txn_count;
    uint8_t store_id[FORMAT_ID_SIZE];
    struct index_volume *volumes; /* by rising id */
    uint32_t volumes_count;
    uint64_t order; /* epoch << 32 | sequence of the last record */
    bool any;       /* there was one */
    uint8_t *chunk;
    store_rebuild_each *each;
    void *arg;
    struct store_rebuild *report;
    struct err *err;
};

static int rebuild_path(const struct rebuild *b, const char *rest, char out[REBUILD_PATH_MAX])
{
    int n = snprintf(out, REBUILD_PATH_MAX, "%s/%s", b->path, rest);
    return n > 0 && n < REBUILD_PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int rebuild_open_volume(struct rebuild *b, uint32_t id, char path[REBUILD_PATH_MAX])
{
    char name[32];
    (void)snprintf(name, sizeof name, "warm/%08x.vol", id);
    int r = rebuild_path(b, name, path);
    return r < 0 ? r : b->io->open(b->io, path, IO_DIRECT);
}

/* --- which volumes there are ------------------------------------------------------------------ */

static int rebuild_add_volume(struct rebuild *b, uint32_t id)
{
    char path[REBUILD_PATH_MAX];
    struct format_volume head = {.id = 0};
    struct err why = {{0}};
    uint64_t size = 0;
    int fd = rebuild_open_volume(b, id, path);
    if (fd < 0)
        return err_errno(b->err, fd, "opening volume %s", path);
    int r = b->io->file_size(b->io, fd, &size);
    if (r == 0)
        r = io_run(b->queue, IO_READ, fd, b->chunk, FORMAT_ALIGN, 0);
    (void)b->io->close(b->io, fd); /* it was only read */
    if (r < 0 && r != -ENODATA)
        return err_errno(b->err, r, "reading volume %s", path);
    r = r == 0 ? format_volume_read(b->chunk, &head, &why)
               : err_set(&why, -EBADMSG, "it is not a Weir volume");
    if (r == 0 && head.id != id)
        r = err_set(&why, -EBADMSG, "its number is %08x", head.id);
    if (r == 0 && b->volumes_count > 0 && memcmp(b->store_id, head.store_id, FORMAT_ID_SIZE) != 0)
        r = err_set(&why, -ESTALE, "it belongs to another store than those before it");
    if (r == 0 && head.size < FORMAT_RECORDS)
        r = err_set(&why, -EBADMSG, "its size is impossible");
    if (r < 0)
        return err_set(b->err, r, "volume %s is refused: %s", path, why.text);
    memcpy(b->store_id, head.store_id, FORMAT_ID_SIZE);
    b->volumes[b->volumes_count++] =
        (struct index_volume){.id = id, .size = head.size, .end = FORMAT_RECORDS};
    b->report->bytes += MIN(size, head.size);
    b->report->volumes++;
    return 0;
}

static int rebuild_compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static int rebuild_list(struct rebuild *b, uint32_t **ret_ids, uint32_t *ret_count)
{
    char path[REBUILD_PATH_MAX];
    uint32_t *ids = NULL, count = 0;
    int r = rebuild_path(b, "warm", path);
    DIR *dir = r == 0 ? opendir(path) : NULL;
    if (dir == NULL)
        return err_errno(b->err, r < 0 ? r : -errno, "reading the folder %s/warm", b->path);
    const struct dirent *e;
    while (r == 0 && (e = readdir(dir)) != NULL) {
        struct str name = str_of(e->d_name);
        if (!str_ends(name, STR(".vol")))
            continue;
        uint8_t number[4];
        if (name.size != 12 || enc_unhex((struct str){name.data, 8}, number, sizeof number) < 0) {
            r = err_set(b->err, -EBADMSG, "%s/%s is no volume of a store", path, e->d_name);
            break;
        }
        uint32_t id = (uint32_t)number[0] << 24 | (uint32_t)number[1] << 16 |
                      (uint32_t)number[2] << 8 | number[3];
        uint32_t *more = count < REBUILD_VOLUMES ? reallocarray(ids, count + 1, sizeof *ids) : NULL;
        if (more == NULL) {
            r = err_errno(b->err, -ENOMEM, "reading the folder %s", path);
            break;
        }
        ids = more;
        ids[count++] = id;
    }
    (void)closedir(dir);
    if (r < 0) {
        free(ids);
        return r;
    }
    if (count > 0)
        qsort(ids, count, sizeof *ids, rebuild_compare);
    *ret_ids = ids;
    *ret_count = count;
    return 0;
}

static int rebuild_find_volumes(struct rebuild *b)
{
    uint32_t *ids = NULL, count = 0;
    int r = rebuild_list(b, &ids, &count);
    if (r < 0)
        return r;
    if (count == 0)
        return err_set(b->err, -ENOENT, "%s/warm has no volumes", b->path);
    b->volumes = calloc(count, sizeof *b->volumes);
    if (b->volumes == NULL)
        r = err_errno(b->err, -ENOMEM, "opening the volumes");
    for (uint32_t i = 0; i < count && r == 0; i++)
        r = rebuild_add_volume(b, ids[i]);
    free(ids);
    return r;
}

/* --- records ---------------------------------------------------------------------------------- */

static int rebuild_commit(struct rebuild *b)
{
    struct index_txn *t = b->txn;
    b->txn = NULL;
    b->txn_count = 0;
    return t != NULL ? index_commit(t) : 0;
}

static int rebuild_txn(struct rebuild *b)
{
    int r = b->txn_count >= REBUILD_TXN_MAX ? rebuild_commit(b) : 0;
    if (r == 0 && b->txn == NULL)
        r = index_begin(b->index, &b->txn);
    b->txn_count++;
    return r;
}

static struct index_volume *rebuild_row(struct rebuild *b, uint32_t id)
{
    for (uint32_t i = 0; i < b->volumes_count; i++) {
        if (b->volumes[i].id == id)
            return &b->volumes[i];
    }
    return NULL;
}

static int rebuild_blob(struct rebuild *b, struct index_volume *v, const struct format_record *x)
{
    struct index_entry e;
    struct index_extent extent = {.offset = x->offset, .digest = x->digest};
    int r = index_get(b->txn, &x->digest, &e);
    if (r == 0) {
        /* Written again since: a repair, or kept when its volume was to go. */
        struct index_volume *before = rebuild_row(b, e.volume);
        ASSERT(before != NULL);
        before->blobs--;
        before->bytes -= e.length;
        b->report->blobs--;
        b->report->blob_bytes -= e.length;
        r = index_delete_extent(b->txn, e.volume, e.offset);
    }
    if (r < 0 && r != -ENOENT)
        return r;
    e = (struct index_entry){.volume = v->id, .offset = x->offset, .length = x->length};
    r = index_put(b->txn, &x->digest, &e);
    if (r == 0)
        r = index_put_extent(b->txn, v->id, &extent);
    v->blobs++;
    v->bytes += x->length;
    b->report->blobs++;
    b->report->blob_bytes += x->length;
    return r;
}

static int rebuild_ref(struct rebuild *b, const struct format_record *x, const uint8_t *payload)
{
    struct str name;
    struct store_ref ref, before;
    if (format_ref_read(payload, x->length, &name, &ref) < 0) {
        b->report->damaged++;
        return 0;
    }
    int r = index_get_ref(b->txn, name, &before);
    if (r < 0 && r != -ENOENT)
        return r;
    bool was = r == 0;
    if (ref.generation > 0) {
        b->report->refs += !was;
        return index_put_ref(b->txn, name, &ref);
    }
    b->report->refs -= was;
    return was ? index_delete_ref(b->txn, name) : 0;
}

/* Takes the record at *offset and moves *offset behind it. -ENOMSG: there is none (or one whose
 * head is damaged, or the middle of a blob that looks like one). -ESTALE: the volume's end was
 * before it. */
static int rebuild_record(struct rebuild *b, struct index_volume *v, int fd, uint64_t *offset)
{
    struct format_record x;
    struct rbuf *whole = NULL;
    uint32_t cap_size;
    uint32_t head_size =
        (uint32_t)MIN(format_payload_offset(STORE_BLOB_MAX) + FORMAT_ALIGN - 1, v->size - *offset) /
        FORMAT_ALIGN * FORMAT_ALIGN;
    int r = head_size == 0 ? -ENOMSG : io_run(b->queue, IO_READ, fd, b->chunk, head_size, *offset);
    if (r < 0)
        return r == -EIO || r == -ENODATA ? -ENOMSG : r;
    r = format_record_read(b->chunk, head_size, &x);
    if (r < 0 || x.volume != v->id || x.offset != *offset ||
        format_record_size(x.length) > v->size - *offset)
        return -ENOMSG;
    uint64_t order = (uint64_t)x.epoch << 32 | x.sequence;
    if (b->any && order <= b->order)
        return -ESTALE;
    b->any = true;
    b->order = order;
    uint32_t size = format_record_size(x.length);
    r = rbuf_new(size, &whole);
    if (r == 0)
        r = io_run(b->queue, IO_READ, fd, rbuf_space(whole, &cap_size), size, *offset);
    const uint8_t *bytes = r == 0 ? rbuf_space(whole, &cap_size) : NULL;
    if (r == -EIO || r == -ENODATA || (r == 0 && format_record_check(bytes, size, &x) < 0)) {
        b->report->damaged++;
        r = 0;
    } else if (r == 0) {
        r = rebuild_txn(b);
        if (r == 0 && x.kind == FORMAT_BLOB)
            r = rebuild_blob(b, v, &x);
        else if (r == 0)
            r = rebuild_ref(b, &x, bytes + format_payload_offset(x.length));
    }
    rbuf_unref(whole);
    *offset += size;
    v->end = *offset;
    return r;
}

/* Moves *offset to the next page that begins like a record; -ENODATA: none up to the end. */
static int rebuild_seek(struct rebuild *b, const struct index_volume *v, int fd, uint64_t file_size,
                        uint64_t *offset)
{
    uint64_t end = MIN(v->size, file_size) / FORMAT_ALIGN * FORMAT_ALIGN;
    while (*offset < end) {
        uint32_t size = (uint32_t)MIN(REBUILD_CHUNK, end - *offset);
        int r = io_run(b->queue, IO_READ, fd, b->chunk, size, *offset);
        if (r == -EIO && size > FORMAT_ALIGN) {
            size = FORMAT_ALIGN; /* around a bad sector in small steps */
            r = io_run(b->queue, IO_READ, fd, b->chunk, size, *offset);
        }
        if (r < 0 && r != -EIO)
            return r;
        for (uint32_t at = 0; r == 0 && at < size; at += FORMAT_ALIGN) {
            if (memcmp(b->chunk + at, FORMAT_RECORD_TEXT, 4) == 0) {
                *offset += at;
                return 0;
            }
        }
        *offset += size;
    }
    return -ENODATA;
}

static int rebuild_volume(struct rebuild *b, struct index_volume *v)
{
    char path[REBUILD_PATH_MAX];
    uint64_t offset = FORMAT_RECORDS, size = 0, done = b->report->bytes_done;
    int fd = rebuild_open_volume(b, v->id, path);
    int r = fd < 0 ? fd : b->io->file_size(b->io, fd, &size);
    /* Records follow each other: search only where none is. */
    while (r == 0) {
        r = rebuild_record(b, v, fd, &offset);
        if (r == -ENOMSG) {
            offset += FORMAT_ALIGN;
            r = rebuild_seek(b, v, fd, size, &offset);
        }
        b->report->bytes_done = done + MIN(offset, size);
        if (b->each != NULL)
            b->each(b->arg, b->report);
    }
    if (fd >= 0)
        (void)b->io->close(b->io, fd); /* it was only read */
    if (r != -ENODATA && r != -ESTALE)
        return err_errno(b->err, r, "reading volume %s", path);
    b->report->bytes_done = done + MIN(size, v->size);
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
    r = rebuild_txn(b);
    for (uint32_t i = 0; i < b->volumes_count && r == 0; i++)
        r = index_put_volume(b->txn, &b->volumes[i]);
    if (r == 0)
        r = index_set_epoch(b->txn, (uint32_t)(b->order >> 32));
    if (r == 0)
        r = rebuild_commit(b);
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
        r = file_sync_folder(b->path);
    return r < 0 ? err_errno(b->err, r, "putting the new index in place of %s/index", b->path) : 0;
}

static int rebuild_run(struct rebuild *b, uint64_t index_size)
{
    char made[REBUILD_PATH_MAX];
    int r = rebuild_path(b, "index.new", made);
    if (r == 0)
        r = io_queue_new(b->io, 4, -1, &b->queue);
    if (r < 0)
        return err_errno(b->err, r, "opening %s", b->path);
    r = rebuild_find_volumes(b);
    if (r < 0)
        return r;
    r = file_remove_all(made); /* of an attempt that was broken off */
    if (r < 0)
        return err_errno(b->err, r, "removing %s", made);
    r = index_open(made, index_size, true, b->store_id, b->err, &b->index);
    if (r == 0)
        r = rebuild_fill(b);
    b->txn = index_abort(b->txn);
    b->index = index_close(b->index);
    return r < 0 ? r : rebuild_swap(b, made);
}

int store_rebuild(const char *path, uint64_t index_size, store_rebuild_each *each, void *arg,
                  struct store_rebuild *ret, struct err *err)
{
    char lock[REBUILD_PATH_MAX];
    *ret = (struct store_rebuild){0};
    struct rebuild b = {
        .path = path, .io = io_default(), .each = each, .arg = arg, .report = ret, .err = err};
    int r = rebuild_path(&b, "lock", lock);
    CLEAN(base_close) int fd = r < 0 ? -1 : open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_errno(err, r < 0 ? r : -errno, "opening %s/lock", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return err_set(err, -EBUSY, "the store %s is in use by another process", path);
    b.chunk = aligned_alloc(FORMAT_ALIGN, REBUILD_CHUNK);
    r = b.chunk != NULL ? rebuild_run(&b, index_size) : err_errno(err, -ENOMEM, "opening %s", path);
    io_queue_free(b.queue);
    free(b.volumes);
    free(b.chunk);
    return r;
}
