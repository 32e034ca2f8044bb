/* SPDX-License-Identifier: Apache-2.0 */
/* A folder that was a device's and has lost its file `device` is most likely the mount point of a
 * disk that is not mounted: it is left alone, never taken for a new device. */
#include "store/store_devices.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#define DEVICE_FILE      "device"
#define DEVICE_FILE_NEW  "device.new"
#define DEVICES_MAX      64u
#define DEVICES_PATH_MAX (INDEX_DEVICE_PATH_MAX + 64)

/* --- the file --------------------------------------------------------------------------------- */

static int device_path(const char *folder, const char *name, char out[DEVICES_PATH_MAX])
{
    int n = snprintf(out, DEVICES_PATH_MAX, "%s/%s", folder, name);
    return n > 0 && (size_t)n < DEVICES_PATH_MAX ? 0 : -ENAMETOOLONG;
}

int store_device_read(const struct io_ops *io, struct io_queue *q, const char *folder,
                      struct format_device *ret, struct err *err)
{
    char path[DEVICES_PATH_MAX];
    struct err why = {{0}};
    int r = device_path(folder, DEVICE_FILE, path);
    int fd = r < 0 ? r : io->open(io, path, IO_DIRECT);
    if (fd < 0)
        return fd == -ENOENT ? fd : err_errno(err, fd, "opening %s/" DEVICE_FILE, folder);
    uint8_t *page = aligned_alloc(FORMAT_ALIGN, FORMAT_ALIGN);
    r = page != NULL ? io_run(q, IO_READ, fd, page, FORMAT_ALIGN, 0) : -ENOMEM;
    if (r == -ENODATA)
        r = err_set(&why, -EBADMSG, "it does not describe a device of a Weir store");
    else if (r < 0)
        r = err_errno(&why, r, "reading it");
    else
        r = format_device_read(page, ret, &why);
    free(page);
    (void)io->close(io, fd); /* it was only read */
    return r < 0 ? err_set(err, r, "%s is refused: %s", path, why.text) : 0;
}

static int device_write_file(const struct io_ops *io, struct io_queue *q, const char *path,
                             const struct format_device *d)
{
    uint8_t *page = aligned_alloc(FORMAT_ALIGN, FORMAT_ALIGN);
    if (page == NULL)
        return -ENOMEM;
    format_device_write(d, page);
    int fd = io->open(io, path, IO_CREATE | IO_WRITABLE | IO_DIRECT);
    int r = fd < 0 ? fd : io_run(q, IO_WRITE, fd, page, FORMAT_ALIGN, 0);
    if (r == 0)
        r = io_run(q, IO_SYNC, fd, NULL, 0, 0);
    free(page);
    if (fd >= 0)
        (void)io->close(io, fd); /* it is synced, or given up */
    return r;
}

int store_device_write(const struct io_ops *io, struct io_queue *q, const char *folder,
                       const struct format_device *d, struct err *err)
{
    char path[DEVICES_PATH_MAX], path_new[DEVICES_PATH_MAX];
    int r = device_path(folder, DEVICE_FILE, path);
    if (r == 0)
        r = device_path(folder, DEVICE_FILE_NEW, path_new);
    if (r == 0) {
        r = io->unlink(io, path_new); /* of an attempt that broke off */
        r = r == -ENOENT ? 0 : r;
    }
    if (r == 0)
        r = device_write_file(io, q, path_new, d);
    if (r == 0)
        r = io->rename(io, path_new, path);
    if (r == 0)
        r = io->sync_folder(io, folder);
    return r < 0 ? err_errno(err, r, "writing %s/" DEVICE_FILE, folder) : 0;
}

/* --- those that the index knows --------------------------------------------------------------- */

struct device_list {
    struct index_device devices[DEVICES_MAX];
    bool here[DEVICES_MAX];
    unsigned count;
};

static int device_known(void *arg, const struct index_device *d)
{
    struct device_list *l = arg;
    if (l->count == DEVICES_MAX)
        return -EOVERFLOW;
    l->devices[l->count++] = *d;
    return 0;
}

static struct index_device *device_by_id(struct device_list *l, uint32_t id)
{
    for (unsigned i = 0; i < l->count; i++) {
        if (l->devices[i].id == id)
            return &l->devices[i];
    }
    return NULL;
}

/* However many slashes it ends in. */
static struct str device_trim(const char *path)
{
    struct str s = str_of(path);
    while (s.size > 1 && s.data[s.size - 1] == '/')
        s.size--;
    return s;
}

static struct index_device *device_by_path(struct device_list *l, const char *path)
{
    for (unsigned i = 0; i < l->count; i++) {
        if (str_eq(device_trim(l->devices[i].path), device_trim(path)))
            return &l->devices[i];
    }
    return NULL;
}

static int device_put_row(struct index_txn *t, void *arg)
{
    return index_put_device(t, arg);
}

/* --- one folder ------------------------------------------------------------------------------- */

static int device_add_row(struct device_list *l, const struct store_device *want,
                          struct index_device **ret)
{
    uint32_t id = 0;
    if (l->count == DEVICES_MAX)
        return -EOVERFLOW;
    for (unsigned i = 0; i < l->count; i++)
        id = MAX(id, l->devices[i].id);
    struct index_device *row = &l->devices[l->count];
    *row = (struct index_device){
        .id = id + 1, .kind = want->cold ? FORMAT_COLD : FORMAT_WARM, .flags = INDEX_DEVICE_MAKING};
    int r = str_copy(str_of(want->path), row->path, sizeof row->path);
    if (r == 0)
        l->count++;
    *ret = row;
    return r;
}

/* Its row first: a file that the index does not know belongs to another index. *ret: the row of an
 * attempt that a crash broke off, or NULL. */
static int device_make(const struct store_devices *o, struct device_list *l,
                       const struct store_device *want, struct index_device **ret, struct err *err)
{
    bool used = false;
    if (o->read_only)
        return err_set(err, -ENOENT, "%s is no device of this store", want->path);
    int r = volume_folder_used(want->path, &used);
    if (r == 0 && used)
        return err_set(err, -EBADMSG,
                       "%s has volumes and no file that says whose they are; make a new index from "
                       "them with: weirctl store rebuild",
                       want->path);
    if (r == 0 && *ret == NULL)
        r = device_add_row(l, want, ret);
    if (r == 0)
        r = index_run(o->index, device_put_row, *ret);
    if (r < 0)
        return err_errno(err, r, "adding the device %s", want->path);
    struct format_device d = {
        .id = (*ret)->id, .kind = (*ret)->kind, .created_ms = clock_real_ms()};
    memcpy(d.store_id, index_store_id(o->index), FORMAT_ID_SIZE);
    r = store_device_write(o->io, o->queue, want->path, &d, err);
    if (r < 0)
        return r;
    (*ret)->flags &= ~(uint32_t)INDEX_DEVICE_MAKING;
    r = index_run(o->index, device_put_row, *ret);
    return r < 0 ? err_errno(err, r, "adding the device %s", want->path) : 0;
}

static int device_check(const struct store_devices *o, struct device_list *l,
                        const struct store_device *want, const struct format_device *d,
                        struct index_device **ret, struct err *err)
{
    struct index_device *row = device_by_id(l, d->id);
    if (memcmp(d->store_id, index_store_id(o->index), FORMAT_ID_SIZE) != 0)
        return err_set(err, -ESTALE, "the device %s belongs to another store", want->path);
    if (row == NULL)
        return err_set(err, -ESTALE,
                       "the device %s is not in the index of this store; make a new one with: "
                       "weirctl store rebuild",
                       want->path);
    if ((row->kind == FORMAT_COLD) != want->cold || row->kind != d->kind)
        return err_set(err, -EINVAL, "the device %s is a %s one and is configured as a %s one",
                       want->path, d->kind == FORMAT_COLD ? "cold" : "warm",
                       want->cold ? "cold" : "warm");
    if (volume_device_by_id(o->volumes, d->id) != NULL)
        return err_set(err, -EINVAL, "the device %s is configured twice", want->path);
    *ret = row;
    if (strcmp(row->path, want->path) == 0 || o->read_only)
        return str_copy(str_of(want->path), row->path, sizeof row->path);
    int r = str_copy(str_of(want->path), row->path, sizeof row->path);
    if (r == 0)
        r = index_run(o->index, device_put_row, row);
    return r < 0 ? err_errno(err, r, "noting that a device moved to %s", want->path) : 0;
}

/* > 0: not there, and that may be. */
static int device_open(const struct store_devices *o, struct device_list *l,
                       const struct store_device *want, struct err *err)
{
    struct format_device d;
    struct index_device *row = device_by_path(l, want->path);
    /* Where a device was, a folder that is gone is one that is away: it is not made again. */
    bool was_there = row != NULL && (row->flags & INDEX_DEVICE_MAKING) == 0;
    int r = o->read_only || was_there ? 0 : file_mkdirs(want->path);
    if (r < 0)
        err_errno(err, r, "making the folder %s", want->path);
    else
        r = store_device_read(o->io, o->queue, want->path, &d, err);
    if (r == -EIO || r == -EROFS || r == -ENXIO) {
        log_error("the device %s is away: %s", want->path, err->text);
        return 1;
    }
    if (r == -ENOENT && was_there) {
        log_error("the device %s has lost its file; is its disk mounted? If it was replaced, make "
                  "a new index with: weirctl store rebuild",
                  want->path);
        return 1;
    }
    if (r == -ENOENT)
        r = device_make(o, l, want, &row, err);
    else if (r == 0)
        r = device_check(o, l, want, &d, &row, err);
    if (r < 0)
        return r;
    if ((row->flags & INDEX_DEVICE_FAILED) != 0)
        log_warn("the device %s failed before: it is only read", want->path);
    r = volume_add_device(o->volumes, row);
    if (r < 0)
        return err_errno(err, r, "opening the device %s", want->path);
    l->here[row - l->devices] = true;
    return 0;
}

int store_devices_open(const struct store_devices *o, struct err *err)
{
    struct device_list *l = calloc(1, sizeof *l);
    unsigned warm = 0;
    int r = l != NULL ? index_devices(o->reader, device_known, l) : -ENOMEM;
    if (r < 0)
        err_errno(err, r, "reading which devices there are");
    for (unsigned i = 0; i < o->count && r == 0; i++) {
        r = device_open(o, l, &o->devices[i], err);
        warm += r == 0 && !o->devices[i].cold;
        r = MIN(r, 0);
    }
    if (r == 0 && warm == 0)
        r = err_set(err, -EIO, "no warm device of the store is there");
    for (unsigned i = 0; r == 0 && i < l->count; i++) {
        if (!l->here[i])
            log_warn("device %u, last seen at %s, is not there: its blobs are away",
                     l->devices[i].id, l->devices[i].path);
    }
    free(l);
    return r;
}
