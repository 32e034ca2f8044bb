/* SPDX-License-Identifier: Apache-2.0 */
#include "store_synth.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/file.h"
#include "store/index.h"

#define SYNTH_TXN    100000u /* blobs a transaction */
#define SYNTH_MAP    (UINT64_C(64) << 20)
#define SYNTH_ROWS   UINT64_C(400) /* bytes of the index that a blob costs, at most */
#define SYNTH_DEVICE 1u

/* Spread over all of the key space, rising with i. */
struct digest synth_digest(uint64_t i, uint64_t count)
{
    struct digest d = {{0}};
    uint64_t high = i * (UINT64_MAX / count), low = i * UINT64_C(0x9e3779b97f4a7c15);
    for (unsigned n = 0; n < 8; n++) {
        d.bytes[n] = (uint8_t)(high >> (56 - 8 * n));
        d.bytes[8 + n] = (uint8_t)(low >> (56 - 8 * n));
    }
    return d;
}

/* A page of `bytes`, the rest of size is a hole. */
static int synth_file(const char *folder, const char *name, const uint8_t *page, uint64_t size)
{
    struct buf path = BUF_EMPTY;
    buf_printf(&path, "%s/warm/%s", folder, name);
    int r = buf_error(&path);
    int fd = r == 0 ? open(path.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644) : -1;
    if (r == 0 && fd < 0)
        r = -errno;
    if (r == 0)
        r = file_write_all(fd, page, FORMAT_ALIGN);
    if (r == 0 && ftruncate(fd, (off_t)size) != 0)
        r = -errno;
    base_close(fd);
    buf_free(&path);
    return r;
}

static int synth_volume(const char *folder, const uint8_t *store_id, const struct index_volume *v)
{
    char name[32];
    uint8_t page[FORMAT_ALIGN];
    struct format_volume head = {.id = v->id, .size = v->size, .created_ms = 1};
    memcpy(head.store_id, store_id, FORMAT_ID_SIZE);
    format_volume_write(&head, page);
    (void)snprintf(name, sizeof name, "%08x.vol", v->id);
    return synth_file(folder, name, page, v->size);
}

static int synth_device(const char *folder, const uint8_t *store_id)
{
    uint8_t page[FORMAT_ALIGN];
    struct format_device head = {.id = SYNTH_DEVICE, .kind = FORMAT_WARM, .created_ms = 1};
    memcpy(head.store_id, store_id, FORMAT_ID_SIZE);
    format_device_write(&head, page);
    return synth_file(folder, "device", page, FORMAT_ALIGN);
}

struct synth {
    const char *folder;
    uint64_t count, volume_size;
    uint32_t size;
    uint64_t done;
    struct index *index;
    struct index_txn *txn;
    struct index_volume volume; /* being filled; id 0: none yet */
};

static int synth_volume_end(struct synth *s)
{
    if (s->volume.id == 0)
        return 0;
    int r = synth_volume(s->folder, index_store_id(s->index), &s->volume);
    return r == 0 ? index_put_volume(s->txn, &s->volume) : r;
}

static int synth_blob(struct synth *s, uint64_t i)
{
    uint32_t record = format_record_size(s->size);
    int r = 0;
    if (s->volume.id == 0 || s->volume.size - s->volume.end < record) {
        r = synth_volume_end(s);
        s->volume = (struct index_volume){.id = s->volume.id + 1,
                                          .device = SYNTH_DEVICE,
                                          .size = s->volume_size,
                                          .end = FORMAT_RECORDS};
    }
    struct index_entry e = {.volume = s->volume.id, .offset = s->volume.end, .length = s->size};
    struct index_extent x = {.offset = e.offset, .digest = synth_digest(i, s->count)};
    if (r == 0)
        r = index_put(s->txn, &x.digest, &e);
    if (r == 0)
        r = index_put_extent(s->txn, e.volume, &x);
    s->volume.end += record;
    s->volume.blobs++;
    s->volume.bytes += s->size;
    s->volume.live += record;
    return r;
}

/* The map is large enough from the start: this never runs twice. */
static int synth_some(struct index_txn *t, void *arg)
{
    struct synth *s = arg;
    uint64_t until = MIN(s->done + SYNTH_TXN, s->count);
    int r = 0;
    s->txn = t;
    for (; s->done < until && r == 0; s->done++)
        r = synth_blob(s, s->done);
    if (r == 0 && s->done == s->count)
        r = synth_volume_end(s);
    return r < 0 ? r : index_set_last_volume(t, s->volume.id);
}

static int synth_put_device(struct index_txn *t, void *arg)
{
    const struct synth *s = arg;
    struct index_device d = {.id = SYNTH_DEVICE, .kind = FORMAT_WARM};
    int n = snprintf(d.path, sizeof d.path, "%s/warm", s->folder);
    return n > 0 && (size_t)n < sizeof d.path ? index_put_device(t, &d) : -ENAMETOOLONG;
}

static int synth_fill(struct synth *s)
{
    int r = synth_device(s->folder, index_store_id(s->index));
    if (r == 0)
        r = index_run(s->index, synth_put_device, s);
    while (r == 0 && s->done < s->count)
        r = index_run(s->index, synth_some, s);
    return r;
}

int synth_store(const char *folder, uint64_t count, uint32_t size, uint64_t volume_size)
{
    struct synth s = {.folder = folder, .count = count, .volume_size = volume_size, .size = size};
    struct err err = {{0}};
    if (count == 0 || format_record_size(size) > volume_size - FORMAT_RECORDS)
        return -EINVAL;
    char *warm = file_join(folder, "warm"), *index = file_join(folder, "index");
    int r = warm != NULL && index != NULL ? file_mkdirs(warm) : -ENOMEM;
    if (r == 0) {
        r = index_open(index, SYNTH_MAP + count * SYNTH_ROWS, INDEX_CREATE, NULL, &err, &s.index);
        if (r < 0)
            (void)fprintf(stderr, "store-weir: %s\n", err.text);
    }
    if (r == 0)
        r = synth_fill(&s);
    index_close(s.index);
    free(warm);
    free(index);
    return r;
}
