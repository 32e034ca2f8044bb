/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_learnt.h"
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include "base/file.h"
#include "base/log.h"

#define LEARNT_TEXT     "WEIRLRN" /* with its zero: 8 bytes */
#define LEARNT_VERSION  1u
#define LEARNT_SIZE_MAX BUF_SIZE_MAX /* of a cache of 5 TiB, about */

/* What admit_export gave follows, then the volumes. */
struct learnt_disk {
    uint8_t magic[8];
    uint32_t version;
    uint32_t volumes;
    uint8_t store_id[FORMAT_ID_SIZE];
    uint64_t admit_size;
    uint64_t size;     /* of all that follows; the file may be longer */
    uint8_t shares[8]; /* again_export's; zero behind them */
    uint64_t checksum; /* XXH3-64 of what follows, seeded with XXH3-64 of the 56 bytes before */
};
static_assert(offsetof(struct learnt_disk, admit_size) == 32, "docs/format.md");
static_assert(offsetof(struct learnt_disk, shares) == 48, "docs/format.md");
static_assert(sizeof((struct learnt_disk *)0)->shares >= AGAIN_SIZES, "docs/format.md");
static_assert(offsetof(struct learnt_disk, checksum) == 56, "docs/format.md");
static_assert(sizeof(struct learnt_disk) == 64, "docs/format.md");

/* Its words follow. */
struct learnt_volume {
    uint32_t id;
    uint32_t words;
};
static_assert(sizeof(struct learnt_volume) == 8, "docs/format.md");

static uint64_t learnt_checksum(const struct learnt_disk *head, const void *rest, size_t size)
{
    XXH64_hash_t seed = XXH3_64bits(head, offsetof(struct learnt_disk, checksum));
    return XXH3_64bits_withSeed(rest, size, seed);
}

/* A cache that fills its disk would find no room for the file when it closes: its blocks are taken
 * beforehand, and it is written in place. One that is torn is not whole, and no loss. */
static void learnt_take_room(const struct store *s, const char *path, uint64_t size_max)
{
    uint64_t size = sizeof(struct learnt_disk) + size_max / FORMAT_ALIGN / 8;
    size += s->admit != NULL ? admit_export_size(s->admit) : 0;
    size += size / 8; /* heads of volumes, and words that are not full */
    CLEAN(base_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0 || fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)MIN(size, LEARNT_SIZE_MAX)) != 0)
        log_debug("there may be no room to save what the cache learns: %s", strerror(errno));
}

static int learnt_write(const char *path, struct str bytes)
{
    CLEAN(base_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return -errno;
    int r = file_write_all(fd, bytes.data, bytes.size);
    if (r == 0 && fsync(fd) != 0)
        r = -errno;
    return r;
}

/* --- saving ----------------------------------------------------------------------------------- */

static bool learnt_any(const struct volume *v)
{
    for (uint32_t i = 0; i < volume_hit_words(v); i++) {
        if (volume_hits(v, i) != 0)
            return true;
    }
    return false;
}

static void learnt_put_volume(struct buf *out, const struct volume *v)
{
    uint32_t words = volume_hit_words(v);
    struct learnt_volume head = {.id = htole32(v->id), .words = htole32(words)};
    buf_put(out, &head, sizeof head);
    for (uint32_t i = 0; i < words; i++) {
        uint64_t word = htole64(volume_hits(v, i));
        buf_put(out, &word, sizeof word);
    }
}

static uint32_t learnt_put_volumes(const struct store *s, struct buf *out)
{
    struct volume *v;
    uint32_t id = 0, count = 0;
    while ((v = volume_after(s->volumes, id)) != NULL) {
        id = v->id;
        if (learnt_any(v)) {
            learnt_put_volume(out, v);
            count++;
        }
        volume_unref(v);
    }
    return count;
}

static int learnt_put_admit(const struct store *s, struct buf *out, uint64_t *ret_size)
{
    *ret_size = s->admit != NULL ? admit_export_size(s->admit) : 0;
    if (*ret_size == 0)
        return 0;
    uint8_t *bytes = malloc(*ret_size);
    if (bytes == NULL)
        return -ENOMEM;
    admit_export(s->admit, bytes);
    buf_put(out, bytes, *ret_size);
    free(bytes);
    return 0;
}

void store_learnt_save(const struct store *s, const char *path)
{
    CLEAN_BUF struct buf out = BUF_EMPTY;
    struct learnt_disk head = {.magic = LEARNT_TEXT, .version = htole32(LEARNT_VERSION)};
    uint64_t admit_size = 0;
    buf_put(&out, &head, sizeof head);
    int r = learnt_put_admit(s, &out, &admit_size);
    head.admit_size = htole64(admit_size);
    if (s->again != NULL)
        again_export(s->again, head.shares);
    head.volumes = htole32(learnt_put_volumes(s, &out));
    memcpy(head.store_id, index_store_id(s->index), FORMAT_ID_SIZE);
    if (r == 0)
        r = buf_error(&out);
    if (r == 0) {
        const char *rest = out.data + sizeof head;
        head.size = htole64(out.size - sizeof head);
        head.checksum = htole64(learnt_checksum(&head, rest, out.size - sizeof head));
        memcpy(out.data, &head, sizeof head);
        r = learnt_write(path, buf_str(&out));
    }
    if (r < 0)
        log_warn("what the cache learnt could not be saved in %s: %s", path, strerror(-r));
}

/* --- loading ---------------------------------------------------------------------------------- */

/* What is left of the file. */
struct learnt_rest {
    const uint8_t *at;
    size_t size;
};

static const uint8_t *learnt_take(struct learnt_rest *x, uint64_t size)
{
    const uint8_t *at = x->at;
    if (size > x->size)
        return NULL;
    x->at += size;
    x->size -= size;
    return at;
}

/* A volume that went meanwhile is stepped over. */
static int learnt_get_volume(const struct store *s, struct learnt_rest *x)
{
    struct learnt_volume head;
    const uint8_t *at = learnt_take(x, sizeof head);
    if (at == NULL)
        return -EBADMSG;
    memcpy(&head, at, sizeof head);
    uint32_t words = le32toh(head.words);
    at = learnt_take(x, (uint64_t)words * sizeof(uint64_t));
    if (at == NULL)
        return -EBADMSG;
    struct volume *v = volume_get(s->volumes, le32toh(head.id));
    if (v != NULL && volume_hit_words(v) == words) {
        for (uint32_t i = 0; i < words; i++) {
            uint64_t word;
            memcpy(&word, at + i * sizeof word, sizeof word);
            volume_add_hits(v, i, le64toh(word));
        }
    }
    volume_unref(v);
    return 0;
}

/* Nothing is taken of a file that is not whole. */
static int learnt_check(const struct store *s, struct learnt_rest *x, struct learnt_disk *ret)
{
    const uint8_t *at = learnt_take(x, sizeof *ret);
    if (at == NULL)
        return -EBADMSG;
    memcpy(ret, at, sizeof *ret);
    if (memcmp(ret->magic, LEARNT_TEXT, sizeof ret->magic) != 0)
        return -EBADMSG;
    if (le32toh(ret->version) != LEARNT_VERSION)
        return -EPROTONOSUPPORT;
    if (le64toh(ret->size) > x->size)
        return -EBADMSG;
    x->size = (size_t)le64toh(ret->size);
    if (le64toh(ret->checksum) != learnt_checksum(ret, x->at, x->size))
        return -EBADMSG;
    return memcmp(ret->store_id, index_store_id(s->index), FORMAT_ID_SIZE) == 0 ? 0 : -ESTALE;
}

static int learnt_load(struct store *s, const char *path)
{
    CLEAN_BUF struct buf file = BUF_EMPTY;
    struct learnt_disk head;
    int r = file_read(path, LEARNT_SIZE_MAX, &file);
    struct learnt_rest x = {.at = (const uint8_t *)file.data, .size = file.size};
    if (r == 0)
        r = learnt_check(s, &x, &head);
    if (r < 0)
        return r;
    uint64_t admit_size = le64toh(head.admit_size);
    const uint8_t *admit = learnt_take(&x, admit_size);
    if (admit == NULL)
        return -EBADMSG;
    /* A cache that was given another size asks with another filter: it is made anew. */
    if (s->admit != NULL && admit_size > 0 && (r = admit_import(s->admit, admit, admit_size)) < 0)
        log_info("the cache forgets what was asked for lately: %s", strerror(-r));
    if (s->again != NULL)
        again_import(s->again, head.shares);
    r = 0;
    for (uint32_t i = 0; i < le32toh(head.volumes) && r == 0; i++)
        r = learnt_get_volume(s, &x);
    return r;
}

void store_learnt_load(struct store *s, const char *path, uint64_t size_max)
{
    struct stat st;
    bool any = stat(path, &st) == 0 && st.st_size > 0;
    int r = any ? learnt_load(s, path) : 0;
    if (r < 0)
        log_warn("what the cache learnt is lost, %s cannot be used: %s", path, strerror(-r));
    learnt_take_room(s, path, size_max);
}
