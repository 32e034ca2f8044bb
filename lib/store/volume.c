/* SPDX-License-Identifier: Apache-2.0 */
#include "store/volume.h"
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "store/volume_priv.h"

#define VOLUME_SUFFIX_NEW ".new" /* not yet whole; a crash may leave one */

/* Of the bits of what was hit. Small records that share one are kept for each other's sake when a
 * volume is given up: some KiB for each hit. A finer unit costs RAM for each volume that there is,
 * 8 KiB a GiB as it is. */
#define VOLUME_HITS_UNIT (UINT64_C(4) * FORMAT_ALIGN)

int volume_table_new(const struct io_ops *io, const uint8_t *store_id, bool is_cache,
                     struct volume_table **ret)
{
    struct volume_table *t = calloc(1, sizeof *t);
    if (t == NULL)
        return -ENOMEM;
    t->magic = VOLUME_TABLE_MAGIC;
    t->io = io;
    t->is_cache = is_cache;
    memcpy(t->store_id, store_id, FORMAT_ID_SIZE);
    (void)pthread_rwlock_init(&t->lock, NULL); /* does not fail on Linux with default attributes */
    *ret = t;
    return 0;
}

struct volume_table *volume_table_free(struct volume_table *t)
{
    if (t == NULL)
        return NULL;
    ASSERT(t->magic == VOLUME_TABLE_MAGIC);
    for (size_t i = 0; i < t->count; i++)
        volume_unref(t->volumes[i]);
    free(t->volumes);
    free(t->away);
    for (unsigned i = 0; i < t->devices_count; i++)
        free(t->devices[i].folder);
    free(t->devices);
    (void)pthread_rwlock_destroy(&t->lock);
    MAGIC_CLEAR(t);
    free(t);
    return NULL;
}

/* --- devices ---------------------------------------------------------------------------------- */

int volume_add_device(struct volume_table *t, const struct index_device *d)
{
    ASSERT(t->count == 0); /* volumes point at their devices */
    struct volume_device *more =
        reallocarray(t->devices, (size_t)t->devices_count + 1, sizeof *more);
    if (more == NULL)
        return -ENOMEM;
    t->devices = more;
    struct volume_device *x = &more[t->devices_count];
    *x = (struct volume_device){.id = d->id, .kind = d->kind};
    atomic_init(&x->failed, (d->flags & INDEX_DEVICE_FAILED) != 0);
    x->folder = strdup(d->path);
    if (x->folder == NULL)
        return -ENOMEM;
    t->devices_count++;
    return 0;
}

unsigned volume_devices(struct volume_table *t)
{
    return t->devices_count;
}

struct volume_device *volume_device(struct volume_table *t, unsigned i)
{
    ASSERT(i < t->devices_count);
    return &t->devices[i];
}

struct volume_device *volume_device_by_id(struct volume_table *t, uint32_t id)
{
    for (unsigned i = 0; i < t->devices_count; i++) {
        if (t->devices[i].id == id)
            return &t->devices[i];
    }
    return NULL;
}

void volume_path(const struct volume_device *d, uint32_t id, const char *suffix,
                 char out[VOLUME_PATH_MAX])
{
    int n = snprintf(out, VOLUME_PATH_MAX, "%s/%08x%s", d->folder, id, suffix);
    ASSERT(n > 0);
    ASSERT(n < VOLUME_PATH_MAX);
}

/* --- one volume ------------------------------------------------------------------------------- */

/* A cache keeps what was hit when it gives a volume up; nobody else asks. */
static int volume_new_hits(struct volume *v)
{
    size_t units = (size_t)(v->size / VOLUME_HITS_UNIT + 1);
    v->hits = calloc((units + 63) / 64, sizeof *v->hits);
    return v->hits != NULL ? 0 : -ENOMEM;
}

int volume_new(struct volume_table *t, int fd, struct volume_device *d,
               const struct index_volume *row, struct volume **ret)
{
    struct volume *v = calloc(1, sizeof *v);
    if (v == NULL)
        return -ENOMEM;
    v->size = row->size;
    if (t->is_cache && volume_new_hits(v) < 0) {
        free(v);
        return -ENOMEM;
    }
    v->magic = VOLUME_MAGIC;
    atomic_init(&v->refs, 1);
    v->io = t->io;
    v->fd = fd;
    v->id = row->id;
    v->device = d;
    v->row = *row;
    *ret = v;
    return 0;
}

struct volume *volume_unref(struct volume *v)
{
    if (v == NULL)
        return NULL;
    ASSERT(v->magic == VOLUME_MAGIC);
    uint32_t before = atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before == 1) {
        (void)v->io->close(v->io, v->fd); /* all that counts was synced */
        MAGIC_CLEAR(v);
        free(v->hits);
        free(v);
    }
    return NULL;
}

void volume_hit(struct volume *v, uint64_t offset)
{
    uint64_t unit = offset / VOLUME_HITS_UNIT;
    ASSERT(offset < v->size);
    if (v->hits == NULL)
        return;
    _Atomic uint64_t *word = &v->hits[unit / 64];
    uint64_t bit = UINT64_C(1) << (unit % 64);
    /* Mostly set: looked at first, so that readers on many cores do not fight for the line. */
    if ((atomic_load_explicit(word, memory_order_relaxed) & bit) == 0)
        atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
}

bool volume_was_hit(const struct volume *v, uint64_t offset)
{
    uint64_t unit = offset / VOLUME_HITS_UNIT;
    ASSERT(offset < v->size);
    if (v->hits == NULL)
        return false;
    uint64_t word = atomic_load_explicit(&v->hits[unit / 64], memory_order_relaxed);
    return (word >> (unit % 64) & 1) != 0;
}

uint32_t volume_hit_words(const struct volume *v)
{
    return (uint32_t)(v->size / VOLUME_HITS_UNIT / 64 + 1); /* a volume is at most 1 TiB */
}

uint64_t volume_hits(const struct volume *v, uint32_t word)
{
    ASSERT(v->hits != NULL);
    ASSERT(word < volume_hit_words(v));
    return atomic_load_explicit(&v->hits[word], memory_order_relaxed);
}

void volume_add_hits(struct volume *v, uint32_t word, uint64_t bits)
{
    ASSERT(v->hits != NULL);
    ASSERT(word < volume_hit_words(v));
    atomic_fetch_or_explicit(&v->hits[word], bits, memory_order_relaxed);
}

/* --- the table -------------------------------------------------------------------------------- */

static void volume_sum(_Atomic uint64_t *sum, uint64_t n, bool add)
{
    atomic_fetch_add_explicit(sum, add ? n : -n, memory_order_relaxed);
}

static void volume_count(struct volume_table *t, const struct index_volume *row, bool add)
{
    volume_sum(&t->sum_volumes, 1, add);
    volume_sum(&t->sum_size, row->size, add);
    volume_sum(&t->sum_end, row->end, add);
    volume_sum(&t->sum_blobs, row->blobs, add);
    volume_sum(&t->sum_bytes, row->bytes, add);
    volume_sum(&t->sum_live, row->live, add);
}

/* The place of id, or of the next higher one. Under the lock, or by the committer. */
static size_t volume_table_find(const struct volume_table *t, uint32_t id)
{
    size_t low = 0, high = t->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (t->volumes[mid]->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

int volume_table_add(struct volume_table *t, struct volume *v)
{
    int r = 0;
    (void)pthread_rwlock_wrlock(&t->lock);
    if (t->count == t->cap) {
        size_t cap = t->cap == 0 ? 16 : t->cap * 2;
        struct volume **more = reallocarray(t->volumes, cap, sizeof *more);
        if (more != NULL) {
            t->volumes = more;
            t->cap = cap;
        } else {
            r = -ENOMEM;
        }
    }
    /* New volumes have the highest number; who only reads meets them in any order. */
    size_t at = volume_table_find(t, v->id);
    if (r == 0 && at < t->count && t->volumes[at]->id == v->id)
        r = -EEXIST;
    if (r == 0) {
        memmove(&t->volumes[at + 1], &t->volumes[at], (t->count - at) * sizeof *t->volumes);
        t->volumes[at] = v;
        t->count++;
        volume_count(t, &v->row, true);
    }
    (void)pthread_rwlock_unlock(&t->lock);
    return r;
}

struct volume *volume_get(struct volume_table *t, uint32_t id)
{
    struct volume *v = NULL;
    (void)pthread_rwlock_rdlock(&t->lock);
    size_t i = volume_table_find(t, id);
    if (i < t->count && t->volumes[i]->id == id) {
        v = t->volumes[i];
        atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    }
    (void)pthread_rwlock_unlock(&t->lock);
    return v;
}

struct volume *volume_oldest(struct volume_table *t)
{
    return t->count > 0 ? t->volumes[0] : NULL;
}

struct volume *volume_newest(struct volume_table *t, enum format_device_kind kind)
{
    for (size_t i = t->count; i > 0; i--) {
        struct volume *v = t->volumes[i - 1];
        if (v->device->kind == kind && !atomic_load(&v->device->failed))
            return v;
    }
    return NULL;
}

struct volume *volume_after(struct volume_table *t, uint32_t id)
{
    struct volume *v = NULL;
    if (id == UINT32_MAX)
        return NULL;
    (void)pthread_rwlock_rdlock(&t->lock);
    size_t i = volume_table_find(t, id + 1);
    if (i < t->count) {
        v = t->volumes[i];
        atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    }
    (void)pthread_rwlock_unlock(&t->lock);
    return v;
}

static int volume_unlink(struct volume_table *t, const struct volume_device *d, uint32_t id)
{
    char path[VOLUME_PATH_MAX];
    volume_path(d, id, VOLUME_SUFFIX, path);
    int r = t->io->unlink(t->io, path);
    if (r < 0 && r != -ENOENT)
        return r;
    return t->io->sync_folder(t->io, d->folder);
}

int volume_remove(struct volume_table *t, uint32_t id)
{
    struct volume *v = NULL;
    (void)pthread_rwlock_wrlock(&t->lock);
    size_t i = volume_table_find(t, id);
    if (i < t->count && t->volumes[i]->id == id) {
        v = t->volumes[i];
        memmove(&t->volumes[i], &t->volumes[i + 1], (t->count - i - 1) * sizeof *t->volumes);
        t->count--;
        volume_count(t, &v->row, false);
    }
    (void)pthread_rwlock_unlock(&t->lock);
    if (v == NULL)
        return -ENOENT;
    int r = volume_unlink(t, v->device, id);
    volume_unref(v);
    return r;
}

void volume_set_row(struct volume_table *t, struct volume *v, const struct index_volume *row)
{
    (void)pthread_rwlock_wrlock(&t->lock);
    volume_count(t, &v->row, false);
    v->row = *row;
    volume_count(t, row, true);
    (void)pthread_rwlock_unlock(&t->lock);
}

void volume_get_row(struct volume_table *t, const struct volume *v, struct index_volume *ret)
{
    (void)pthread_rwlock_rdlock(&t->lock);
    *ret = v->row;
    (void)pthread_rwlock_unlock(&t->lock);
}

void volume_sums(struct volume_table *t, const struct volume_device *d, struct volume_sums *ret)
{
    if (d == NULL) {
        *ret = (struct volume_sums){
            .volumes = atomic_load_explicit(&t->sum_volumes, memory_order_relaxed),
            .size = atomic_load_explicit(&t->sum_size, memory_order_relaxed),
            .end = atomic_load_explicit(&t->sum_end, memory_order_relaxed),
            .blobs = atomic_load_explicit(&t->sum_blobs, memory_order_relaxed),
            .bytes = atomic_load_explicit(&t->sum_bytes, memory_order_relaxed),
            .live = atomic_load_explicit(&t->sum_live, memory_order_relaxed)};
        return;
    }
    struct volume_sums s = {0};
    (void)pthread_rwlock_rdlock(&t->lock);
    for (size_t i = 0; i < t->count; i++) {
        const struct index_volume *row = &t->volumes[i]->row;
        if (t->volumes[i]->device != d)
            continue;
        s.volumes++;
        s.size += row->size;
        s.end += row->end;
        s.blobs += row->blobs;
        s.bytes += row->bytes;
        s.live += row->live;
    }
    (void)pthread_rwlock_unlock(&t->lock);
    *ret = s;
}

/* --- files ------------------------------------------------------------------------------------ */

int volume_read_blob(struct volume_table *t, struct io_queue *q, const struct digest *d,
                     const struct index_entry *e, struct rbuf **ret)
{
    uint32_t size = format_record_size(e->length), cap_size;
    struct rbuf *b = NULL;
    struct volume *v = volume_get(t, e->volume);
    if (v == NULL)
        return -ENOENT;
    int r = rbuf_new(size, &b);
    if (r == 0)
        r = io_run(q, IO_READ, v->fd, rbuf_space(b, &cap_size), size, e->offset);
    volume_unref(v);
    if (r == 0) {
        struct format_record want = {.kind = FORMAT_BLOB,
                                     .digest = *d,
                                     .length = e->length,
                                     .volume = e->volume,
                                     .offset = e->offset};
        r = format_record_check(rbuf_space(b, &cap_size), size, &want);
    }
    if (r < 0) {
        rbuf_unref(b);
        return r == -ENODATA ? -EBADMSG : r;
    }
    *ret = b;
    return 0;
}

static int volume_check_ref_page(const uint8_t *page, uint32_t volume, const struct index_extent *x)
{
    struct format_record head;
    struct store_ref ref;
    struct str name;
    if (format_record_read(page, FORMAT_ALIGN, &head) < 0 || head.kind != x->kind ||
        head.volume != volume || head.offset != x->offset ||
        format_record_size(head.length) > FORMAT_ALIGN ||
        format_payload_check(page, head.length) < 0 ||
        format_ref_read(page + format_payload_offset(head.length), head.length, &name, &ref) < 0)
        return -EBADMSG;
    return str_eq(name, str_of(x->name)) ? 0 : -EBADMSG;
}

int volume_check_ref(struct volume_table *t, struct io_queue *q, uint32_t volume,
                     const struct index_extent *x)
{
    struct volume *v = volume_get(t, volume);
    uint8_t *page = v != NULL ? aligned_alloc(FORMAT_ALIGN, FORMAT_ALIGN) : NULL;
    int r = v == NULL ? -ENOENT : -ENOMEM;
    static_assert(FORMAT_REF_MAX + 64 + 8 <= FORMAT_ALIGN, "a ref's record is one page");
    if (page != NULL)
        r = io_run(q, IO_READ, v->fd, page, FORMAT_ALIGN, x->offset);
    if (page != NULL && r == 0)
        r = volume_check_ref_page(page, volume, x);
    free(page);
    volume_unref(v);
    return r == -ENODATA ? -EBADMSG : r;
}

static int volume_write_file(struct volume_table *t, struct io_queue *q, int fd,
                             const struct index_volume *row)
{
    struct format_volume head = {.id = row->id, .size = row->size, .created_ms = clock_real_ms()};
    memcpy(head.store_id, t->store_id, FORMAT_ID_SIZE);
    uint8_t *page = aligned_alloc(FORMAT_ALIGN, FORMAT_ALIGN);
    if (page == NULL)
        return -ENOMEM;
    int r = t->io->allocate(t->io, fd, row->size);
    format_volume_write(&head, page);
    if (r == 0)
        r = io_run(q, IO_WRITE, fd, page, FORMAT_ALIGN, 0);
    if (r == 0)
        r = io_run(q, IO_SYNC, fd, NULL, 0, 0);
    free(page);
    return r;
}

int volume_create(struct volume_table *t, struct io_queue *q, const struct index_volume *row,
                  bool *ret_left)
{
    char path_new[VOLUME_PATH_MAX], path[VOLUME_PATH_MAX];
    struct volume *v = NULL;
    struct volume_device *d = volume_device_by_id(t, row->device);
    if (d == NULL)
        return -ENODEV;
    volume_path(d, row->id, VOLUME_SUFFIX_NEW, path_new);
    volume_path(d, row->id, VOLUME_SUFFIX, path);
    *ret_left = false;
    int r = t->io->unlink(t->io, path_new); /* of an attempt that found the disk full */
    if (r < 0 && r != -ENOENT)
        return r;
    int fd = t->io->open(t->io, path_new, IO_CREATE | IO_WRITABLE | IO_DIRECT);
    if (fd < 0)
        return fd;
    r = volume_write_file(t, q, fd, row);
    if (r == 0)
        r = volume_new(t, fd, d, row, &v);
    if (r < 0)
        (void)t->io->close(t->io, fd);
    bool named = r == 0;
    if (r == 0)
        r = t->io->rename(t->io, path_new, path);
    if (r == 0)
        r = t->io->sync_folder(t->io, d->folder);
    if (r == 0)
        r = volume_table_add(t, v);
    if (r < 0) {
        volume_unref(v);
        (void)t->io->unlink(t->io, path_new); /* else the next attempt or start does */
        /* The disk may have taken the new name although it said no: the name must be seen to be
         * gone from there, not just from this run's view, before its row may go. */
        *ret_left = named && volume_unlink(t, d, row->id) < 0;
    }
    return r;
}

static bool volume_parse_name(const char *name, const char *suffix, uint32_t *ret)
{
    struct str s = str_of(name);
    uint32_t id = 0;
    if (s.size != 8 + strlen(suffix) || strcmp(name + 8, suffix) != 0)
        return false;
    for (unsigned i = 0; i < 8; i++) {
        static const char digits[] = "0123456789abcdef";
        const char *at = name[i] != 0 ? strchr(digits, name[i]) : NULL;
        if (at == NULL)
            return false;
        id = id << 4 | (uint32_t)(at - digits);
    }
    *ret = id;
    return true;
}

static int volume_check_name(struct volume_table *t, const struct volume_device *d,
                             const char *name, struct err *err)
{
    uint32_t id = 0;
    if (!str_ends(str_of(name), STR(VOLUME_SUFFIX)))
        return 0; /* not ours to judge: lost+found and the like */
    size_t i = t->count;
    if (volume_parse_name(name, VOLUME_SUFFIX, &id))
        i = volume_table_find(t, id);
    if (i < t->count && t->volumes[i]->id == id && t->volumes[i]->device == d)
        return 0;
    if (volume_parse_name(name, VOLUME_SUFFIX, &id) && volume_table_is_away(t, id))
        return 0;
    return err_set(err, -EBADMSG,
                   "%s/%s is not in the index of this store; move it away, or rebuild the index "
                   "with: weirctl store rebuild",
                   d->folder, name);
}

static int volume_clean_name(struct volume_table *t, const struct volume_device *d,
                             const char *name, struct err *err)
{
    char path[VOLUME_PATH_MAX];
    uint32_t id = 0;
    if (!volume_parse_name(name, VOLUME_SUFFIX_NEW, &id))
        return 0;
    volume_path(d, id, VOLUME_SUFFIX_NEW, path);
    int r = t->io->unlink(t->io, path);
    if (r < 0 && atomic_load(&d->failed))
        return 0; /* it stays until the device is one that works again */
    return r < 0 ? err_errno(err, r, "removing %s, which a crash left", path) : 0;
}

typedef int volume_name_each(struct volume_table *t, const struct volume_device *d,
                             const char *name, struct err *err);

static int volume_walk_folder(struct volume_table *t, const struct volume_device *d,
                              volume_name_each *each, struct err *err)
{
    DIR *dir = opendir(d->folder);
    if (dir == NULL)
        return err_errno(err, -errno, "reading the folder %s", d->folder);
    int r = 0;
    const struct dirent *e;
    while (r == 0 && (e = readdir(dir)) != NULL)
        r = each(t, d, e->d_name, err);
    (void)closedir(dir);
    return r;
}

static int volume_walk_folders(struct volume_table *t, volume_name_each *each, struct err *err)
{
    int r = 0;
    for (unsigned i = 0; i < t->devices_count && r == 0; i++)
        r = volume_walk_folder(t, &t->devices[i], each, err);
    return r;
}

int volume_table_check(struct volume_table *t, struct err *err)
{
    /* Two walks: what is refused is refused before anything is removed. */
    int r = volume_walk_folders(t, volume_check_name, err);
    return r < 0 ? r : volume_walk_folders(t, volume_clean_name, err);
}

int volume_folder_used(const char *folder, bool *ret)
{
    DIR *dir = opendir(folder);
    if (dir == NULL && errno != ENOENT)
        return -errno;
    bool used = false;
    const struct dirent *e;
    while (dir != NULL && !used && (e = readdir(dir)) != NULL)
        used = str_ends(str_of(e->d_name), STR(VOLUME_SUFFIX));
    if (dir != NULL)
        (void)closedir(dir);
    *ret = used;
    return 0;
}
