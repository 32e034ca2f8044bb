/* SPDX-License-Identifier: Apache-2.0 */
/* Which devices and volumes there are. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/enc.h"
#include "base/log.h"
#include "store/store_devices.h"
#include "store/store_rebuild_priv.h"

#define REBUILD_VOLUMES (UINT32_C(1) << 20)

int rebuild_path(const struct rebuild *b, const char *rest, char out[REBUILD_PATH_MAX])
{
    int n = snprintf(out, REBUILD_PATH_MAX, "%s/%s", b->options->path, rest);
    return n > 0 && n < REBUILD_PATH_MAX ? 0 : -ENAMETOOLONG;
}

int rebuild_open_volume(struct rebuild *b, struct rebuild_volume *v, char path[REBUILD_PATH_MAX])
{
    int n = snprintf(path, REBUILD_PATH_MAX, "%s/%08x.vol", v->device->folder->path, v->row.id);
    v->fd = n > 0 && n < REBUILD_PATH_MAX ? b->io->open(b->io, path, IO_DIRECT) : -ENAMETOOLONG;
    return MIN(v->fd, 0);
}

/* --- devices ---------------------------------------------------------------------------------- */

/* The first that tells whose store it is does so for all. */
static int find_store_id(struct rebuild *b, const uint8_t *id, const char *what)
{
    static const uint8_t none[FORMAT_ID_SIZE];
    if (memcmp(b->store_id, none, FORMAT_ID_SIZE) == 0)
        memcpy(b->store_id, id, FORMAT_ID_SIZE);
    if (memcmp(b->store_id, id, FORMAT_ID_SIZE) == 0)
        return 0;
    return err_set(b->err, -ESTALE, "%s is refused: it belongs to another store than those before",
                   what);
}

static int find_device(struct rebuild *b, const struct store_device *folder)
{
    struct format_device file;
    struct rebuild_device *d = &b->devices[b->devices_count];
    *d = (struct rebuild_device){.folder = folder,
                                 .row = {.kind = folder->cold ? FORMAT_COLD : FORMAT_WARM}};
    int r = str_copy(str_of(folder->path), d->row.path, sizeof d->row.path);
    if (r < 0)
        return err_errno(b->err, r, "opening the device %s", folder->path);
    r = store_device_read(b->io, b->queue, folder->path, &file, b->err);
    b->devices_count++;
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (file.kind != d->row.kind)
        return err_set(b->err, -EINVAL, "the device %s is not of the kind that is configured",
                       folder->path);
    for (uint32_t i = 0; i + 1 < b->devices_count; i++) {
        if (b->devices[i].row.id == file.id)
            return err_set(b->err, -EINVAL, "the devices %s and %s are the same",
                           b->devices[i].folder->path, folder->path);
    }
    d->row.id = file.id;
    d->has_file = true;
    return find_store_id(b, file.store_id, folder->path);
}

/* Those without a file get a number and a file. */
static int find_number_devices(struct rebuild *b)
{
    uint32_t last = 0;
    int r = 0;
    for (uint32_t i = 0; i < b->devices_count; i++)
        last = MAX(last, b->devices[i].row.id);
    for (uint32_t i = 0; i < b->devices_count && r == 0; i++) {
        struct rebuild_device *d = &b->devices[i];
        if (d->has_file)
            continue;
        d->row.id = ++last;
        struct format_device file = {
            .id = d->row.id, .kind = d->row.kind, .created_ms = clock_real_ms()};
        memcpy(file.store_id, b->store_id, FORMAT_ID_SIZE);
        r = store_device_write(b->io, b->queue, d->folder->path, &file, b->err);
    }
    for (uint32_t i = 0; i < b->volumes_count; i++)
        b->volumes[i].row.device = b->volumes[i].device->row.id;
    return r;
}

/* --- volumes ---------------------------------------------------------------------------------- */

static int find_check_volume(struct rebuild *b, struct rebuild_volume *v)
{
    char path[REBUILD_PATH_MAX];
    struct format_volume head = {.id = 0};
    struct err why = {{0}};
    uint64_t size = 0;
    int r = rebuild_open_volume(b, v, path);
    if (r < 0)
        return err_errno(b->err, r, "opening volume %s", path);
    r = b->io->file_size(b->io, v->fd, &size);
    if (r == 0)
        r = io_run(b->queue, IO_READ, v->fd, b->head, FORMAT_ALIGN, 0);
    (void)b->io->close(b->io, v->fd); /* it was only read */
    v->fd = -1;
    if (r < 0 && r != -ENODATA)
        return err_errno(b->err, r, "reading volume %s", path);
    r = r == 0 ? format_volume_read(b->head, &head, &why)
               : err_set(&why, -EBADMSG, "it is not a Weir volume");
    if (r == 0 && head.id != v->row.id)
        r = err_set(&why, -EBADMSG, "its number is %08x", head.id);
    if (r == 0 && (head.size < FORMAT_RECORDS || head.size / FORMAT_ALIGN > UINT32_MAX))
        r = err_set(&why, -EBADMSG, "its size is impossible");
    if (r < 0)
        return err_set(b->err, r, "volume %s is refused: %s", path, why.text);
    v->row.size = head.size;
    v->row.end = FORMAT_RECORDS;
    b->report->bytes += MIN(size, head.size);
    b->report->volumes++;
    return find_store_id(b, head.store_id, path);
}

static int find_add_volume(struct rebuild *b, const struct rebuild_device *d, const char *file)
{
    uint8_t n[4];
    struct str name = str_of(file);
    if (name.size != 12 || enc_unhex((struct str){name.data, 8}, n, sizeof n) < 0)
        return err_set(b->err, -EBADMSG, "%s/%s is no volume of a store", d->folder->path, file);
    struct rebuild_volume *more = b->volumes_count < REBUILD_VOLUMES
                                      ? reallocarray(b->volumes, b->volumes_count + 1, sizeof *more)
                                      : NULL;
    if (more == NULL)
        return err_errno(b->err, -ENOMEM, "reading the folder %s", d->folder->path);
    b->volumes = more;
    more[b->volumes_count++] = (struct rebuild_volume){
        .device = d,
        .fd = -1,
        .row = {.id = (uint32_t)n[0] << 24 | (uint32_t)n[1] << 16 | (uint32_t)n[2] << 8 | n[3]}};
    return 0;
}

static int find_list(struct rebuild *b, const struct rebuild_device *d)
{
    DIR *dir = opendir(d->folder->path);
    if (dir == NULL)
        return err_errno(b->err, -errno, "reading the folder %s", d->folder->path);
    int r = 0;
    const struct dirent *e;
    while (r == 0 && (e = readdir(dir)) != NULL) {
        if (str_ends(str_of(e->d_name), STR(".vol")))
            r = find_add_volume(b, d, e->d_name);
    }
    (void)closedir(dir);
    /* What is not there must not be back when power was lost: the new index does not know it. */
    int synced = b->io->sync_folder(b->io, d->folder->path);
    if (synced < 0)
        log_warn("syncing the folder %s: %s", d->folder->path, strerror(-synced));
    return r;
}

static int find_compare(const void *a, const void *b)
{
    const struct rebuild_volume *x = a, *y = b;
    return x->row.id < y->row.id ? -1 : x->row.id > y->row.id;
}

int rebuild_find(struct rebuild *b)
{
    const struct store_options *o = b->options;
    int r = rebuild_path(b, "warm", b->warm);
    b->one = (struct store_device){.path = b->warm};
    uint32_t count = o->devices_count > 0 ? o->devices_count : 1;
    b->devices = calloc(count, sizeof *b->devices);
    if (r < 0 || b->devices == NULL)
        return err_errno(b->err, r < 0 ? r : -ENOMEM, "opening %s", o->path);
    for (uint32_t i = 0; i < count && r == 0; i++)
        r = find_device(b, o->devices_count > 0 ? &o->devices[i] : &b->one);
    for (uint32_t i = 0; i < b->devices_count && r == 0; i++)
        r = find_list(b, &b->devices[i]);
    if (r < 0)
        return r;
    if (b->volumes_count == 0)
        return err_set(b->err, -ENOENT, "%s has no volumes", b->devices[0].folder->path);
    qsort(b->volumes, b->volumes_count, sizeof *b->volumes, find_compare);
    for (uint32_t i = 0; i < b->volumes_count && r == 0; i++) {
        if (i > 0 && b->volumes[i].row.id == b->volumes[i - 1].row.id)
            r = err_set(b->err, -EBADMSG, "there are two volumes with the number %08x",
                        b->volumes[i].row.id);
        else
            r = find_check_volume(b, &b->volumes[i]);
    }
    if (r == 0)
        r = find_number_devices(b);
    b->before = calloc(b->volumes_count, sizeof *b->before);
    if (r == 0 && b->before == NULL)
        r = err_errno(b->err, -ENOMEM, "opening the volumes");
    return r;
}
