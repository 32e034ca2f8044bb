/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/log.h"
#include "store/commit_priv.h"
#include "store/store_priv.h"

#define STORE_VOLUME_DEFAULT (UINT64_C(1) << 30)
#define STORE_VOLUME_MAX     (UINT64_C(1) << 40)
#define STORE_CACHE_VOLUMES  8u /* a cache has at least so many: it loses one of them at a time */
#define STORE_PATH_MAX       4096

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

/* A folder with volumes and no index has lost it: a new one would hide what is there. */
static int store_open_index(struct store *s, const struct store_options *o, const char *warm,
                            struct err *err)
{
    char path[STORE_PATH_MAX];
    bool used = false;
    int r = store_path(o->path, STORE_FOLDER_INDEX, path);
    if (r == 0)
        r = volume_folder_used(warm, &used);
    if (r < 0)
        return err_errno(err, r, "reading the store %s", o->path);
    r = index_open(path, o->index_size, !used, NULL, err, &s->index);
    if (r == -ENOENT && used)
        return err_set(err, -ENOENT,
                       "the store %s has volumes and no index; make one from them with: weirctl "
                       "store rebuild",
                       o->path);
    return r;
}

struct store_opening {
    struct store *store;
    struct io_queue *queue;
    struct err *err;
    bool is_cache;
    uint32_t forget[64]; /* volumes without a file */
    unsigned forget_count;
};

static int store_open_volume(void *arg, const struct index_volume *row)
{
    struct store_opening *o = arg;
    int r = volume_open(o->store->volumes, o->queue, row, o->err);
    if (r != -ENOENT)
        return r;
    /* The row of a volume that was never made, or of one already unlinked; a cache may lose any. */
    if (row->blobs > 0 && !o->is_cache)
        return err_set(o->err, -EBADMSG,
                       "volume %08x, which the index names, is missing; put it back, or make a new "
                       "index without it with: weirctl store rebuild",
                       row->id);
    if (o->forget_count < ARRAY_LEN(o->forget))
        o->forget[o->forget_count++] = row->id;
    return 0;
}

static int store_open_volumes(struct store *s, const struct store_options *options,
                              const char *warm, struct err *err)
{
    struct store_opening o = {.store = s, .err = err, .is_cache = options->size_max > 0};
    int r = file_mkdirs(warm);
    if (r < 0)
        return err_errno(err, r, "making the folder %s", warm);
    r = volume_table_new(s->io, warm, index_store_id(s->index), &s->volumes);
    if (r == 0)
        r = io_queue_new(s->io, 4, -1, &o.queue);
    if (r < 0)
        return err_errno(err, r, "opening the volumes in %s", warm);
    err_set(err, -EIO, "the index of %s is damaged", options->path); /* unless a reason follows */
    r = index_volumes(s->index, store_open_volume, &o);
    io_queue_free(o.queue);
    if (r < 0)
        return r;
    r = volume_table_check(s->volumes, err);
    for (unsigned i = 0; i < o.forget_count && r == 0; i++) {
        r = evict_forget(s->index, o.forget[i]);
        if (r < 0)
            err_errno(err, r, "taking volume %08x out of the index", o.forget[i]);
    }
    return r;
}

static int store_start_commit(struct store *s, const struct store_options *o, uint64_t volume_size,
                              struct err *err)
{
    struct commit_options c = {.io = s->io,
                               .index = s->index,
                               .volumes = s->volumes,
                               .hot = s->hot,
                               .volume_size = volume_size,
                               .size_max = o->size_max,
                               .evicted_volumes = &s->evicted_volumes,
                               .latency = s->metrics.commit_latency,
                               .groups = s->metrics.groups,
                               .evictions = s->metrics.evictions};
    int r = index_next_epoch(s->index, &c.epoch);
    if (r < 0)
        return err_errno(err, r, "writing the index of %s", o->path);
    r = commit_start(&c, &s->commit);
    return r < 0 ? err_errno(err, r, "starting the committer of %s", o->path) : 0;
}

static int store_volume_size(const struct store_options *o, uint64_t *ret, struct err *err)
{
    uint64_t size = o->volume_size != 0 ? o->volume_size : STORE_VOLUME_DEFAULT;
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

static int store_open_parts(struct store *s, const struct store_options *o, struct err *err)
{
    char warm[STORE_PATH_MAX];
    uint64_t volume_size = 0;
    int r = store_volume_size(o, &volume_size, err);
    if (r < 0)
        return r;
    r = store_path(o->path, STORE_FOLDER_WARM, warm);
    if (r < 0)
        return err_errno(err, r, "opening the store %s", o->path);
    r = store_lock(s, o->path, err);
    if (r == 0)
        r = store_open_index(s, o, warm, err);
    if (r == 0)
        r = store_open_volumes(s, o, warm, err);
    if (r < 0)
        return r;
    store_metrics_init(s, o->metrics, o->metric_prefix);
    r = hot_new(o->hot_size, &s->hot);
    if (r < 0)
        return err_errno(err, r, "making the RAM tier");
    return store_start_commit(s, o, volume_size, err);
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

struct store *store_close(struct store *s)
{
    if (s == NULL)
        return NULL;
    ASSERT(s->magic == STORE_MAGIC);
    ASSERT(atomic_load(&s->workers) == 0);
    commit_stop(s->commit);
    hot_free(s->hot);
    volume_table_free(s->volumes);
    index_close(s->index);
    base_close(s->lock_fd);
    MAGIC_CLEAR(s);
    free(s);
    return NULL;
}

/* --- figures ---------------------------------------------------------------------------------- */

void store_metrics_init(struct store *s, struct metrics *registry, const char *prefix)
{
    struct store_metrics *m = &s->metrics;
    const struct {
        struct metric **metric;
        struct metric *(*make)(struct metrics *, const char *, const char *, const char *);
        const char *name, *help, *labels;
    } table[] = {
        {&m->hits_hot, metrics_counter, "hits_total", "Blobs answered", "tier=\"hot\""},
        {&m->hits_warm, metrics_counter, "hits_total", "Blobs answered", "tier=\"warm\""},
        {&m->misses, metrics_counter, "misses_total", "Blobs asked for and absent", ""},
        {&m->damaged, metrics_counter, "damaged_total", "Reads that found damage", ""},
        {&m->evictions, metrics_counter, "evicted_volumes_total", "Volumes given up", ""},
        {&m->puts, metrics_counter, "puts_total", "Blobs put and durable", ""},
        {&m->put_failures, metrics_counter, "put_failures_total", "Puts refused or failed", ""},
        {&m->groups, metrics_counter, "commits_total", "Groups committed", ""},
        {&m->commit_latency, metrics_latency, "commit_seconds", "Time to commit a group", ""},
        {&m->get_latency, metrics_latency, "read_seconds", "Time of a read from disk", ""},
        {&m->blobs, metrics_gauge, "blobs", "Blobs in the index", ""},
        {&m->blob_bytes, metrics_gauge, "blob_bytes", "Bytes of those blobs", ""},
        {&m->volumes, metrics_gauge, "volumes", "Volumes on disk", ""},
        {&m->volume_bytes, metrics_gauge, "volume_bytes", "Bytes of those volumes", ""},
        {&m->hot_bytes, metrics_gauge, "hot_bytes", "Bytes in RAM", ""},
    };
    if (registry == NULL)
        return;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct buf name = BUF_EMPTY;
        buf_printf(&name, "%s_store_%s", prefix != NULL ? prefix : "weir", table[i].name);
        if (buf_error(&name) == 0)
            *table[i].metric = table[i].make(registry, name.data, table[i].help, table[i].labels);
        buf_free(&name);
    }
}

void store_metrics_refresh(struct store *s)
{
    const struct store_metrics *m = &s->metrics;
    struct volume_sums sums;
    if (m->blobs == NULL)
        return;
    volume_table_sums(s->volumes, &sums);
    metric_set(m->blobs, (int64_t)sums.blobs);
    metric_set(m->blob_bytes, (int64_t)sums.bytes);
    metric_set(m->volumes, (int64_t)sums.volumes);
    metric_set(m->volume_bytes, (int64_t)sums.size);
    metric_set(m->hot_bytes, (int64_t)hot_bytes(s->hot));
}

void store_stat(struct store *s, struct store_stat *ret)
{
    ASSERT(s->magic == STORE_MAGIC);
    struct volume_sums sums;
    volume_table_sums(s->volumes, &sums);
    *ret = (struct store_stat){
        .blobs = sums.blobs,
        .blob_bytes = sums.bytes,
        .volumes = sums.volumes,
        .volume_bytes = sums.size,
        .hot_bytes = hot_bytes(s->hot),
        .hot_hits = atomic_load_explicit(&s->hot_hits, memory_order_relaxed),
        .hits = atomic_load_explicit(&s->hits, memory_order_relaxed),
        .misses = atomic_load_explicit(&s->misses, memory_order_relaxed),
        .damaged = atomic_load_explicit(&s->damaged, memory_order_relaxed),
        .evicted_volumes = atomic_load_explicit(&s->evicted_volumes, memory_order_relaxed),
    };
}
