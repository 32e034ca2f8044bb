/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the volumes that the index names. A store of 10 TB has ten thousand: one read of a header
 * after the other takes seconds, many at a time a fraction of one. */
#include <errno.h>
#include <stdlib.h>
#include "base/log.h"
#include "store/volume_priv.h"

/* --- volumes that are away -------------------------------------------------------------------- */

/* The store opens without it. */
static int volume_table_away(struct volume_table *t, uint32_t id)
{
    uint32_t *more = reallocarray(t->away, t->away_count + 1, sizeof *more);
    if (more == NULL)
        return -ENOMEM;
    t->away = more;
    t->away[t->away_count++] = id;
    return 0;
}

bool volume_table_is_away(const struct volume_table *t, uint32_t id)
{
    for (size_t i = 0; i < t->away_count; i++) {
        if (t->away[i] == id)
            return true;
    }
    return false;
}

/* --- one of them ------------------------------------------------------------------------------ */

static void volume_open_read(struct io_op *io, int res)
{
    struct volume_opening *v = CONTAINER_OF(io, struct volume_opening, io);
    v->res = res;
    (*v->reading)--;
}

static int volume_open_file(struct volume_table *t, struct volume_device *d, const char *path,
                            bool read_only)
{
    int fd = t->io->open(t->io, path, (read_only ? 0u : IO_WRITABLE) | IO_DIRECT);
    if (fd != -EROFS || read_only)
        return fd;
    /* As a file system with errors is mounted by many: what is there can still be read. */
    fd = t->io->open(t->io, path, IO_DIRECT);
    if (fd >= 0 && !atomic_exchange(&d->failed, true))
        log_error("%s can only be read: nothing is written there", d->folder);
    return fd;
}

/* res: 0: its header is being read. */
static void volume_open_begin(struct volume_table *t, struct io_queue *q, struct volume_opening *v,
                              uint8_t *page, bool read_only, unsigned *reading)
{
    char path[VOLUME_PATH_MAX];
    v->fd = -1;
    v->res = -ENODEV;
    v->device = volume_device_by_id(t, v->row.device);
    if (v->device == NULL)
        return;
    volume_path(v->device, v->row.id, VOLUME_SUFFIX, path);
    int fd = volume_open_file(t, v->device, path, read_only);
    if (fd < 0) {
        v->res = err_errno(&v->err, fd, "opening volume %s", path);
        return;
    }
    v->res = 0;
    v->fd = fd;
    v->reading = reading;
    v->io = (struct io_op){
        .kind = IO_READ, .fd = fd, .data = page, .size = FORMAT_ALIGN, .done = volume_open_read};
    (*reading)++;
    io_submit(q, &v->io);
}

static int volume_open_check(struct volume_table *t, const struct volume_opening *v,
                             const uint8_t *page, struct err *err)
{
    struct format_volume head = {0};
    uint64_t size = 0;
    if (v->res == -ENODATA)
        return err_set(err, -EBADMSG, "it is not a Weir volume");
    if (v->res < 0)
        return err_errno(err, v->res, "reading the header");
    int r = format_volume_read(page, &head, err);
    if (r < 0)
        return r;
    if (memcmp(head.store_id, t->store_id, FORMAT_ID_SIZE) != 0)
        return err_set(err, -ESTALE, "it belongs to another store");
    if (head.id != v->row.id || head.size != v->row.size)
        return err_set(err, -EBADMSG, "it is not the volume that the index names");
    r = t->io->file_size(t->io, v->fd, &size);
    if (r < 0)
        return err_errno(err, r, "asking for its size");
    if (size < v->row.end)
        return err_set(err, -EBADMSG, "it is shorter than the index says");
    return 0;
}

/* Its header has been read, or could not be. */
static void volume_open_end(struct volume_table *t, struct volume_opening *v, const uint8_t *page)
{
    char path[VOLUME_PATH_MAX];
    struct err why = {{0}};
    struct volume *opened = NULL;
    volume_path(v->device, v->row.id, VOLUME_SUFFIX, path);
    int r = volume_open_check(t, v, page, &why);
    if (r < 0) {
        v->res = err_set(&v->err, r, "volume %s is refused: %s", path, why.text);
        (void)t->io->close(t->io, v->fd); /* nothing was written */
        return;
    }
    r = volume_new(t, v->fd, v->device, &v->row, &opened);
    if (r < 0)
        (void)t->io->close(t->io, v->fd);
    else
        r = volume_table_add(t, opened);
    if (r < 0) {
        volume_unref(opened);
        v->res = err_errno(&v->err, r, "opening volume %s", path);
        return;
    }
    v->res = 0;
}

void volume_open(struct volume_table *t, struct io_queue *q, struct volume_opening *v,
                 unsigned count, bool read_only)
{
    uint8_t *pages = count > 0 ? aligned_alloc(FORMAT_ALIGN, (size_t)count * FORMAT_ALIGN) : NULL;
    unsigned reading = 0;
    for (unsigned i = 0; i < count; i++) {
        if (pages != NULL)
            volume_open_begin(t, q, &v[i], pages + (size_t)i * FORMAT_ALIGN, read_only, &reading);
        else
            v[i].res = err_errno(&v[i].err, -ENOMEM, "opening volume %08x", v[i].row.id);
    }
    io_flush(q);
    while (reading > 0)
        io_reap(q, true);
    for (unsigned i = 0; i < count && pages != NULL; i++) {
        if (v[i].fd >= 0)
            volume_open_end(t, &v[i], pages + (size_t)i * FORMAT_ALIGN);
        if (v[i].res == -EIO && volume_table_away(t, v[i].row.id) < 0)
            v[i].res = err_errno(&v[i].err, -ENOMEM, "opening volume %08x", v[i].row.id);
    }
    free(pages);
}
