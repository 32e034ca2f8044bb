/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/file.h"
#include "base/log.h"
#include "store/commit_priv.h"
#include "store/store_devices.h"
#include "store/store_learnt.h"
#include "store/store_priv.h"
#include "store/store_recount.h"

#define STORE_VOLUME_DEFAULT (UINT64_C(1) << 30)
#define STORE_VOLUME_MAX     (UINT64_C(1) << 40)
#define STORE_CACHE_VOLUMES  8u  /* a cache has at least so many: it loses one of them at a time */
#define STORE_CACHE_USUAL    32u /* and so many unless told: one is always kept free */
#define STORE_CACHE_VOLUME   (UINT64_C(16) << 20) /* but smaller ones only if there is no room */
#define STORE_PATH_MAX       4096
#define STORE_UNREFERENCED_S (24u * 3600u)
#define STORE_DROPPED_S      30u
#define STORE_BLOB_USUAL     (UINT64_C(256) << 10) /* for the size of what counts blobs */

bool store_name_ok(struct str name)
{
    if (name.size == 0 || name.size > STORE_NAME_MAX || name.data[0] == '.')
        return false;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
        if (!ok)
            return false;
    }
    return true;
}

static int store_path(const char *folder, const char *name, char out[STORE_PATH_MAX])
{
    char *joined = file_join(folder, name);
    if (joined == NULL)
        return -ENOMEM;
    int r = str_copy(str_of(joined), out, STORE_PATH_MAX);
    free(joined);
    return r;
}

/* --- opening ---------------------------------------------------------------------------------- */

static int store_lock(struct store *s, const char *path, struct err *err)
{
    char name[STORE_PATH_MAX];
    int r = file_mkdirs(path);
    if (r < 0)
        return err_errno(err, r, "making the folder %s", path);
    r = store_path(path, STORE_FILE_LOCK, name);
    if (r < 0)
        return err_errno(err, r, "locking the store %s", path);
    s->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (s->lock_fd < 0)
        return err_errno(err, -errno, "opening %s", name);
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return err_set(err, -EBUSY, "the store %s is in use by another process", path);
    return err_errno(err, -errno, "locking %s", name);
}

struct store_forgotten {
    uint32_t volume;
    const struct volume_device *device; /* where it should be */
};

/* The devices there are to be: those of the options, or one in the store's own folder. */
struct store_opening {
    struct store *store;
    const struct store_options *options;
    struct io_queue *queue;
    struct index_reader *reader;
    struct err *err;
    struct store_device one;
    char warm[STORE_PATH_MAX];
    struct store_forgotten forget[64]; /* volumes without a file */
    unsigned forget_count;
    struct volume_opening *openings; /* VOLUME_OPENING_MAX */
    unsigned openings_count;
};

static const struct store_device *store_opening_devices(struct store_opening *o,
                                                        unsigned *ret_count)
{
    o->one = (struct store_device){.path = o->warm};
    *ret_count = o->options->devices_count > 0 ? o->options->devices_count : 1;
    return o->options->devices_count > 0 ? o->options->devices : &o->one;
}

/* A folder with volumes and no index has lost it: a new one would hide what is there. */
static int store_open_index(struct store_opening *o)
{
    const struct store_options *options = o->options;
    char path[STORE_PATH_MAX];
    unsigned count;
    const struct store_device *devices = store_opening_devices(o, &count);
    bool used = false;
    int r = store_path(options->path, STORE_FOLDER_INDEX, path);
    for (unsigned i = 0; i < count && r == 0 && !used; i++)
        r = volume_folder_used(devices[i].path, &used);
    if (r < 0)
        return err_errno(o->err, r, "reading the store %s", options->path);
    unsigned flags = options->read_only ? INDEX_READ_ONLY : 0u;
    flags |= !used && !options->read_only ? INDEX_CREATE : 0u;
    r = index_open(path, options->index_size, flags, NULL, o->err, &o->store->index);
    if (r == -ENOENT && used)
        return err_set(o->err, -ENOENT,
                       "the store %s has volumes and no index; make one from them with: weirctl "
                       "store rebuild",
                       options->path);
    return r;
}

static int store_open_volume(struct store_opening *o, struct volume_opening *v)
{
    bool is_cache = o->options->size_max > 0;
    if (v->res == -ENODEV)
        return 0; /* away with its device, which was logged */
    if (v->res == -EIO) {
        log_error("volume %08x cannot be read, its blobs are away: %s", v->row.id, v->err.text);
        return 0;
    }
    if (v->res != -ENOENT) {
        if (v->res < 0)
            *o->err = v->err;
        return v->res;
    }
    /* The row of a volume that was never made, or of one already unlinked; a cache may lose any. */
    if (v->row.blobs > 0 && !is_cache)
        return err_set(o->err, -EBADMSG,
                       "volume %08x, which the index names, is missing; put it back, or make a new "
                       "index without it with: weirctl store rebuild",
                       v->row.id);
    if (o->forget_count < ARRAY_LEN(o->forget))
        o->forget[o->forget_count++] =
            (struct store_forgotten){.volume = v->row.id, .device = v->device};
    return 0;
}

static int store_open_some(struct store_opening *o)
{
    int r = 0;
    volume_open(o->store->volumes, o->queue, o->openings, o->openings_count, o->options->read_only);
    for (unsigned i = 0; i < o->openings_count && r == 0; i++)
        r = store_open_volume(o, &o->openings[i]);
    o->openings_count = 0;
    return r;
}

static int store_open_row(void *arg, const struct index_volume *row)
{
    struct store_opening *o = arg;
    o->openings[o->openings_count++].row = *row;
    return o->openings_count == VOLUME_OPENING_MAX ? store_open_some(o) : 0;
}

static int store_open_rows(struct store_opening *o)
{
    o->openings = calloc(VOLUME_OPENING_MAX, sizeof *o->openings);
    if (o->openings == NULL)
        return err_errno(o->err, -ENOMEM, "opening the volumes of %s", o->options->path);
    err_set(o->err, -EIO, "the index of %s is damaged", o->options->path); /* unless told why */
    int r = index_volumes(o->reader, store_open_row, o);
    if (r == 0)
        r = store_open_some(o);
    free(o->openings);
    o->openings = NULL;
    return r;
}

/* The run before may have made a volume, or removed one, and not come to seeing that its folder was
 * synced. Nothing goes into a volume that a power cut may take, and no row goes whose file one may
 * bring back: without a row it would be nobody's. */
static void store_sync_folders(struct store_opening *o)
{
    struct store *s = o->store;
    for (unsigned i = 0; i < volume_devices(s->volumes); i++) {
        struct volume_device *d = volume_device(s->volumes, i);
        int r = s->io->sync_folder(s->io, d->folder);
        if (r < 0 && !atomic_exchange(&d->failed, true))
            log_error("%s cannot be synced: nothing is written there: %s", d->folder, strerror(-r));
    }
}

static int store_forget_volumes(struct store_opening *o)
{
    struct store *s = o->store;
    for (unsigned i = 0; i < o->forget_count && !o->options->read_only; i++) {
        const struct store_forgotten *f = &o->forget[i];
        if (atomic_load(&f->device->failed))
            continue; /* the next start tries again: meanwhile the row costs nothing */
        int r = evict_forget(s->index, o->reader, f->volume);
        if (r == 0)
            r = evict_delete_row(s->index, f->volume);
        if (r < 0)
            return err_errno(o->err, r, "taking volume %08x out of the index", f->volume);
    }
    return 0;
}

/* What cannot be wiped is written over, mostly: no reason not to open. */
static void store_wipe_tails(struct store_opening *o)
{
    for (unsigned i = 0; i < FORMAT_DEVICE_KINDS; i++) {
        const struct volume *v = volume_newest(o->store->volumes, (enum format_device_kind)i);
        int r = v != NULL ? volume_wipe_tail(v, o->queue) : 0;
        if (r < 0)
            log_warn("wiping what may be behind the end of volume %08x: %s", v->id, strerror(-r));
    }
}

static int store_open_volumes(struct store_opening *o)
{
    struct store *s = o->store;
    struct store_devices devices = {.io = s->io,
                                    .queue = o->queue,
                                    .index = s->index,
                                    .reader = o->reader,
                                    .read_only = o->options->read_only};
    devices.devices = store_opening_devices(o, &devices.count);
    int r = volume_table_new(s->io, index_store_id(s->index), s->is_cache, &s->volumes);
    if (r < 0)
        return err_errno(o->err, r, "opening the volumes of %s", o->options->path);
    devices.volumes = s->volumes;
    r = store_devices_open(&devices, o->err);
    if (r < 0)
        return r;
    r = store_open_rows(o);
    if (r == 0 && !o->options->read_only)
        r = volume_table_check(s->volumes, o->err);
    if (r == 0 && !o->options->read_only) {
        store_sync_folders(o);
        store_wipe_tails(o);
    }
    return r < 0 ? r : store_forget_volumes(o);
}

static int store_open_disk(struct store *s, const struct store_options *options, struct err *err)
{
    struct store_opening o = {.store = s, .options = options, .err = err};
    int r = store_path(options->path, STORE_FOLDER_WARM, o.warm);
    if (r == 0)
        r = io_queue_new(s->io, VOLUME_OPENING_MAX, -1, &o.queue);
    if (r < 0)
        return err_errno(err, r, "opening the store %s", options->path);
    r = store_open_index(&o);
    if (r == 0) {
        r = index_reader_new(s->index, &o.reader);
        if (r < 0)
            err_errno(err, r, "reading the index of %s", options->path);
    }
    if (r == 0)
        r = store_open_volumes(&o);
    index_reader_free(o.reader);
    io_queue_free(o.queue);
    return r;
}

static void store_committed(void *arg)
{
    struct store *s = arg;
    if (s->keeper != NULL)
        keeper_wake(s->keeper);
}

static uint32_t store_wait_s(uint32_t option, uint32_t usual)
{
    if (option == STORE_AT_ONCE)
        return 0;
    return option != 0 ? option : usual;
}

/* Where what names each blob is not known, it is counted first. */
static int store_count_names(struct store *s, const struct store_options *o, bool *ret_counts,
                             struct err *err)
{
    struct index_reader *reader = NULL;
    bool counted = false;
    *ret_counts = false;
    if (s->links == NULL)
        return 0;
    int r = index_reader_new(s->index, &reader);
    if (r == 0)
        r = index_counted(reader, &counted);
    index_reader_free(reader);
    if (r < 0)
        return err_errno(err, r, "reading the index of %s", o->path);
    *ret_counts = counted;
    uint32_t wait_s = store_wait_s(o->unreferenced_s, STORE_UNREFERENCED_S);
    return counted ? 0 : store_recount(s, wait_s, ret_counts, err);
}

static int store_start_commit(struct store *s, const struct store_options *o, struct err *err)
{
    bool counts = false;
    int r = store_count_names(s, o, &counts, err);
    if (r < 0)
        return r;
    s->reclaims = counts;
    struct commit_options c = {.io = s->io,
                               .index = s->index,
                               .volumes = s->volumes,
                               .hot = s->hot,
                               .volume_size = s->volume_size,
                               .size_max = o->size_max,
                               .links = s->links != NULL,
                               .counts = counts,
                               .uploads = o->remote != NULL && o->durability != STORE_LOCAL,
                               .remote_keeps = o->remote_shared,
                               .unreferenced_s =
                                   store_wait_s(o->unreferenced_s, STORE_UNREFERENCED_S),
                               .dropped_s = store_wait_s(o->dropped_s, STORE_DROPPED_S),
                               .committed = store_committed,
                               .committed_arg = s,
                               .evicted_volumes = &s->counts.evicted_volumes,
                               .written_bytes = &s->counts.written_bytes,
                               .latency = s->metrics.commit_latency,
                               .groups = s->metrics.groups,
                               .evictions = s->metrics.evictions,
                               .written = s->metrics.written_bytes};
    r = index_next_epoch(s->index, &c.epoch);
    if (r < 0)
        return err_errno(err, r, "writing the index of %s", o->path);
    r = commit_start(&c, &s->commit);
    return r < 0 ? err_errno(err, r, "starting the committer of %s", o->path) : 0;
}

static int store_volume_size(const struct store_options *o, uint64_t *ret, struct err *err)
{
    uint64_t size = o->volume_size != 0 ? o->volume_size : STORE_VOLUME_DEFAULT;
    if (o->size_max > 0 && o->volume_size == 0)
        size = MIN(size, MAX(o->size_max / STORE_CACHE_USUAL, STORE_CACHE_VOLUME));
    if (o->size_max > 0)
        size = MIN(size, o->size_max / STORE_CACHE_VOLUMES);
    size = size / FORMAT_ALIGN * FORMAT_ALIGN;
    if (size < FORMAT_VOLUME_MIN || size > STORE_VOLUME_MAX)
        return err_set(err, -EINVAL,
                       "volumes of %llu bytes are not possible: from %llu to %llu are, and a cache "
                       "must hold %u of them",
                       (unsigned long long)size, (unsigned long long)FORMAT_VOLUME_MIN,
                       (unsigned long long)STORE_VOLUME_MAX, STORE_CACHE_VOLUMES);
    *ret = size;
    return 0;
}

/* What is learnt about blobs as they are asked for. */
static int store_open_learning(struct store *s, const struct store_options *o)
{
    int r = 0;
    if (s->is_cache && o->admission != STORE_ADMIT_ALL && o->hot_size > 0) {
        struct admit_options a = {.blobs = MAX(o->size_max / STORE_BLOB_USUAL, 1024)};
        r = admit_new(&a, &s->admit);
    }
    /* Among what else is written a newcomer stays while about so many bytes of others come. */
    if (r == 0 && s->admit != NULL && o->admission == STORE_ADMIT_AUTO)
        r = again_new(o->size_max / 2, &s->again);
    bool has_cold = o->remote != NULL;
    for (unsigned i = 0; i < volume_devices(s->volumes); i++)
        has_cold = has_cold || volume_device(s->volumes, i)->kind == FORMAT_COLD;
    if (r == 0 && has_cold && !s->is_cache)
        r = heat_new(0, 0, &s->heat);
    return r;
}

static int store_open_parts(struct store *s, const struct store_options *o, struct err *err)
{
    int r = store_volume_size(o, &s->volume_size, err);
    s->size_max = o->size_max;
    s->admission = o->admission;
    if (r == 0 && o->durability != STORE_LOCAL && o->remote == NULL)
        r = err_set(err, -EINVAL, "durability beyond this host needs a remote tier");
    if (r == 0 && !o->read_only)
        r = store_lock(s, o->path, err);
    if (r == 0)
        r = store_open_disk(s, o, err);
    if (r < 0)
        return r;
    store_metrics_init(s, o->metrics, o->metric_prefix);
    r = hot_new(o->hot_size, &s->hot);
    if (r == 0)
        r = store_open_learning(s, o);
    if (r < 0)
        return err_errno(err, r, "making the RAM tier");
    if (o->read_only)
        return 0;
    r = store_start_commit(s, o, err);
    if (r < 0)
        return r;
    if (s->is_cache) {
        s->learnt = file_join(o->path, STORE_FILE_LEARNT);
        if (s->learnt == NULL)
            return err_errno(err, -ENOMEM, "opening the store %s", o->path);
        store_learnt_load(s, s->learnt, o->size_max);
    }
    r = keeper_start(s, o, &s->keeper);
    return r < 0 ? err_errno(err, r, "starting the keeper of %s", o->path) : 0;
}

int store_open(const struct store_options *options, struct err *err, struct store **ret)
{
    ASSERT(options->path != NULL);
    struct store *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_errno(err, -ENOMEM, "opening the store %s", options->path);
    s->magic = STORE_MAGIC;
    s->lock_fd = -1;
    s->io = options->io != NULL ? options->io : io_default();
    s->is_cache = options->size_max > 0;
    s->remote = options->remote;
    s->peer = options->peer;
    s->durability = options->durability;
    s->links = options->size_max > 0 ? NULL : options->links;
    s->links_arg = options->links_arg;
    int r = store_open_parts(s, options, err);
    if (r < 0) {
        store_close(s);
        return r;
    }
    store_metrics_refresh(s);
    log_debug("store %s is open by %s", options->path, s->io->name);
    *ret = s;
    return 0;
}

/* Nothing more is written: neither in the background nor for anybody. */
static void store_end_writing(struct store *s)
{
    /* The keeper first: it has the committer do things. The committer may still wake it. */
    if (s->keeper != NULL)
        keeper_finish(s->keeper);
    /* What was fetched to repair something may still be on its way. */
    const struct timespec moment = {.tv_nsec = 1000000};
    while (atomic_load(&s->rewriting) > 0)
        (void)nanosleep(&moment, NULL);
    if (s->commit != NULL)
        commit_finish(s->commit);
}

void store_yield(struct store *s)
{
    ASSERT(s->magic == STORE_MAGIC);
    if (atomic_exchange(&s->yielded, true))
        return;
    store_end_writing(s);
    if (s->learnt != NULL)
        store_learnt_save(s, s->learnt);
    s->lock_fd = base_close(s->lock_fd);
}

struct store *store_close(struct store *s)
{
    if (s == NULL)
        return NULL;
    ASSERT(s->magic == STORE_MAGIC);
    ASSERT(atomic_load(&s->workers) == 0);
    store_end_writing(s);
    s->commit = commit_stop(s->commit);
    s->keeper = keeper_free(s->keeper);
    if (s->learnt != NULL && !atomic_load(&s->yielded))
        store_learnt_save(s, s->learnt);
    free(s->learnt);
    hot_free(s->hot);
    heat_free(s->heat);
    admit_free(s->admit);
    again_free(s->again);
    volume_table_free(s->volumes);
    index_close(s->index);
    base_close(s->lock_fd);
    MAGIC_CLEAR(s);
    free(s);
    return NULL;
}

int store_settle(struct store *s)
{
    return s->keeper != NULL ? keeper_settle(s->keeper) : -EROFS;
}
