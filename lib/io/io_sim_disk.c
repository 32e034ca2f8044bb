/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of the simulated disk, its beginning and its end. */
#include "io/io_sim_disk.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "io/io_sim_disk_priv.h"

#define IO_SIM_FILE_MAX (UINT64_C(1) << 30) /* all of it is kept in RAM */

struct io_sim_node *io_sim_node_new(struct io_sim_disk *d, const char *name, bool is_folder)
{
    struct io_sim_node *n = io_sim_alloc(sizeof *n);
    n->name = strdup(name);
    ASSERT(n->name != NULL);
    n->is_folder = is_folder;
    n->random = d->seed ^ ++d->node_count * UINT64_C(0xd1342543de82ef95);
    n->last = &n->first;
    n->next = d->nodes;
    d->nodes = n;
    return n;
}

/* --- what is durable of a file ---------------------------------------------------------------- */

static void io_sim_node_reserve(struct io_sim_node *n, uint64_t size)
{
    ASSERT(size <= IO_SIM_FILE_MAX);
    if (size <= n->cap)
        return;
    uint64_t cap = MAX(size, n->cap * 2);
    uint8_t *more = realloc(n->bytes, cap);
    ASSERT(more != NULL);
    memset(more + n->cap, 0, cap - n->cap);
    n->bytes = more;
    n->cap = cap;
}

static void io_sim_node_set_size(struct io_sim_node *n, uint64_t size)
{
    io_sim_node_reserve(n, size);
    if (size < n->size)
        memset(n->bytes + size, 0, n->size - size);
    n->size = size;
}

/* The part of a change between from and to, offsets in the file. */
static void io_sim_node_put(struct io_sim_node *n, const struct io_sim_change *x, uint64_t from,
                            uint64_t to)
{
    if (x->kind == IO_SIM_HOLE) {
        to = MIN(to, n->size);
        if (from < to)
            memset(n->bytes + from, 0, to - from);
        return;
    }
    if (to > n->size)
        io_sim_node_set_size(n, to);
    memcpy(n->bytes + from, x->data + (from - x->offset), to - from);
}

static void io_sim_node_apply(struct io_sim_node *n, const struct io_sim_change *x)
{
    if (x->kind == IO_SIM_SIZE || (x->kind == IO_SIM_GROWN && x->size > n->size))
        io_sim_node_set_size(n, x->size);
    else if (x->kind != IO_SIM_GROWN && x->size > 0)
        io_sim_node_put(n, x, x->offset, x->offset + x->size);
}

/* Never synced: all of it, nothing, its beginning, or any of its sectors or pages. */
static void io_sim_node_tear(struct io_sim_node *n, const struct io_sim_change *x)
{
    uint64_t how = io_sim_random(&n->random) % 6;
    if (how == 0)
        return;
    if (how == 1 || x->kind == IO_SIM_SIZE || x->kind == IO_SIM_GROWN) {
        io_sim_node_apply(n, x);
        return;
    }
    /* Space is given back by pages; bytes go to the medium by sectors, or by pages of the cache. */
    uint64_t unit = x->kind == IO_SIM_HOLE || how % 2 == 0 ? IO_SIM_PAGE : IO_SIM_SECTOR;
    uint64_t end = x->offset + x->size, units = (x->size + unit - 1) / unit;
    uint64_t prefix = io_sim_random(&n->random) % (units + 1), i = 0;
    for (uint64_t at = x->offset; at < end; i++) {
        uint64_t to = MIN((at / unit + 1) * unit, end);
        if (how <= 3 ? i < prefix : (io_sim_random(&n->random) & 1) != 0)
            io_sim_node_put(n, x, at, to);
        at = to;
    }
    /* The size may have gone down without the bytes: they read as zeroes then. */
    if (x->kind == IO_SIM_BYTES && end > n->size && (io_sim_random(&n->random) & 1) != 0)
        io_sim_node_set_size(n, end);
}

/* --- changes ---------------------------------------------------------------------------------- */

static struct io_sim_change *io_sim_change_add(struct io_sim_disk *d, struct io_sim_node *n,
                                               enum io_sim_change_kind kind, uint64_t offset,
                                               uint64_t size, const void *data)
{
    ASSERT(!d->crashed);
    ASSERT(!n->is_folder);
    struct io_sim_change *x = io_sim_alloc(sizeof *x + (data != NULL ? size : 0));
    x->kind = kind;
    x->number = ++d->clock;
    x->offset = offset;
    x->size = size;
    if (data != NULL)
        memcpy(x->data, data, size);
    *n->last = x;
    n->last = &x->next;
    return x;
}

static void io_sim_change_free(struct io_sim_node *n, struct io_sim_change **at)
{
    struct io_sim_change *x = *at;
    *at = x->next;
    if (n->last == &x->next)
        n->last = at;
    free(x);
}

uint64_t io_sim_disk_write(struct io_sim_disk *d, struct io_sim_node *n, const void *data,
                           uint32_t size, uint64_t offset)
{
    return io_sim_change_add(d, n, IO_SIM_BYTES, offset, size, data)->number;
}

void io_sim_disk_written(struct io_sim_disk *d, struct io_sim_node *n, uint64_t number,
                         uint32_t size)
{
    for (struct io_sim_change *x = n->first; x != NULL; x = x->next) {
        if (x->number != number)
            continue;
        ASSERT(size <= x->size);
        x->size = size;
        x->ended = ++d->clock;
    }
}

void io_sim_disk_punch(struct io_sim_disk *d, struct io_sim_node *n, uint64_t offset, uint64_t size)
{
    io_sim_change_add(d, n, IO_SIM_HOLE, offset, size, NULL)->ended = d->clock;
}

void io_sim_disk_resize(struct io_sim_disk *d, struct io_sim_node *n, uint64_t size, bool grow)
{
    ASSERT(size <= IO_SIM_FILE_MAX);
    io_sim_change_add(d, n, grow ? IO_SIM_GROWN : IO_SIM_SIZE, 0, size, NULL)->ended = d->clock;
}

uint64_t io_sim_disk_sync_begin(struct io_sim_disk *d)
{
    return ++d->clock;
}

void io_sim_disk_sync_end(struct io_sim_disk *d, struct io_sim_node *n, uint64_t began, bool ok)
{
    ASSERT(!d->crashed);
    for (struct io_sim_change **at = &n->first; *at != NULL;) {
        struct io_sim_change *x = *at;
        if (x->ended == 0 || x->ended > began) {
            at = &x->next;
            continue;
        }
        if (ok)
            io_sim_node_apply(n, x);
        else
            io_sim_node_tear(n, x);
        io_sim_change_free(n, at);
    }
    if (ok && d->journal)
        io_sim_moves_sync_all(d);
}

bool io_sim_disk_damage(struct io_sim_node *n, uint64_t offset, uint8_t mask)
{
    if (n->is_folder || offset >= n->size)
        return false;
    n->bytes[offset] ^= mask;
    return true;
}

/* --- the beginning ---------------------------------------------------------------------------- */

static int io_sim_disk_take_file(struct io_sim_node *n, const char *path)
{
    struct buf b = BUF_EMPTY;
    int r = file_read(path, IO_SIM_FILE_MAX, &b);
    if (r == 0) {
        io_sim_node_set_size(n, b.size);
        if (b.size > 0)
            memcpy(n->bytes, b.data, b.size);
    }
    buf_free(&b);
    return r;
}

static int io_sim_disk_take(struct io_sim_disk *d, struct io_sim_node *folder, const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *e;
    int r = 0;
    if (dir == NULL)
        return -errno;
    while (r == 0 && (e = readdir(dir)) != NULL) {
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        CLEAN(base_free) char *below = file_join(path, e->d_name);
        if (below == NULL || lstat(below, &st) != 0) {
            r = below == NULL ? -ENOMEM : -errno;
            break;
        }
        if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
            continue;
        struct io_sim_node *n = io_sim_node_new(d, e->d_name, S_ISDIR(st.st_mode));
        io_sim_names_add(&folder->now, e->d_name, n);
        io_sim_names_add(&folder->durable, e->d_name, n);
        r = n->is_folder ? io_sim_disk_take(d, n, below) : io_sim_disk_take_file(n, below);
    }
    (void)closedir(dir);
    return r;
}

int io_sim_disk_new(const char *root, uint64_t seed, bool journal, struct io_sim_disk **ret)
{
    struct io_sim_disk *d = io_sim_alloc(sizeof *d);
    d->magic = IO_SIM_DISK_MAGIC;
    d->seed = seed;
    d->journal = journal;
    d->last = &d->first;
    d->root_path = strdup(root);
    ASSERT(d->root_path != NULL);
    d->root = io_sim_node_new(d, "", true);
    int r = io_sim_disk_take(d, d->root, root);
    if (r < 0) {
        io_sim_disk_free(d);
        return r;
    }
    *ret = d;
    return 0;
}

struct io_sim_disk *io_sim_disk_free(struct io_sim_disk *d)
{
    if (d == NULL)
        return NULL;
    ASSERT(d->magic == IO_SIM_DISK_MAGIC);
    io_sim_moves_free(d);
    while (d->nodes != NULL) {
        struct io_sim_node *n = d->nodes;
        d->nodes = n->next;
        while (n->first != NULL)
            io_sim_change_free(n, &n->first);
        io_sim_names_free(&n->now);
        io_sim_names_free(&n->durable);
        free(n->bytes);
        free(n->name);
        free(n);
    }
    free(d->root_path);
    MAGIC_CLEAR(d);
    free(d);
    return NULL;
}

/* --- the end ---------------------------------------------------------------------------------- */

void io_sim_disk_crash(struct io_sim_disk *d)
{
    ASSERT(!d->crashed);
    io_sim_moves_crash(d);
    for (struct io_sim_node *n = d->nodes; n != NULL; n = n->next) {
        while (n->first != NULL) {
            io_sim_node_tear(n, n->first);
            io_sim_change_free(n, &n->first);
        }
    }
    d->crashed = true;
}

static bool io_sim_all_zero(const uint8_t *p, uint64_t size)
{
    return p[0] == 0 && memcmp(p, p + 1, size - 1) == 0;
}

static int io_sim_node_write_out(const struct io_sim_node *n, const char *path)
{
    CLEAN(base_close) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 || ftruncate(fd, (off_t)n->size) != 0)
        return -errno;
    for (uint64_t at = 0; at < n->size;) {
        uint64_t size = MIN(16 * (uint64_t)IO_SIM_PAGE, n->size - at);
        if (!io_sim_all_zero(n->bytes + at, size)) {
            ssize_t moved = pwrite(fd, n->bytes + at, size, (off_t)at);
            if (moved <= 0)
                return moved < 0 ? -errno : -EIO;
            size = (uint64_t)moved;
        }
        at += size;
    }
    return 0;
}

static int io_sim_folder_write_out(const struct io_sim_node *folder, const char *path)
{
    int r = mkdir(path, 0755) == 0 ? 0 : -errno;
    for (size_t i = 0; i < folder->durable.count && r == 0; i++) {
        const struct io_sim_entry *e = &folder->durable.entries[i];
        CLEAN(base_free) char *below = file_join(path, e->name);
        if (below == NULL)
            r = -ENOMEM;
        else if (e->node->is_folder)
            r = io_sim_folder_write_out(e->node, below);
        else
            r = io_sim_node_write_out(e->node, below);
    }
    return r;
}

int io_sim_disk_write_out(const struct io_sim_disk *d, const char *folder)
{
    ASSERT(d->crashed);
    return io_sim_folder_write_out(d->root, folder);
}
