/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/work.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"

#define WORK_JOURNAL_SIZE_MAX ((size_t)200 << 20)
#define WORK_BLOB_SIZE_MAX    ((size_t)64 << 20)
#define WORK_PICTURES_MAX     4096
#define WORK_NUMBERS_MAX      8

struct work_number {
    char name[24];
    uint64_t value;
};

struct work {
    uint32_t magic;
#define WORK_MAGIC UINT32_C(0x3027cc15)
    char *folder;
    int journal;
    pthread_mutex_t lock; /* journal */
    struct work_track *tracks[PRESENTATION_TRACKS_MAX];
    unsigned tracks_count;
    struct work_picture *pictures;
    unsigned pictures_count, pictures_cap;
    struct work_number numbers[WORK_NUMBERS_MAX];
    unsigned numbers_count;
    atomic_uint_fast64_t encoded, reused;
};

char *work_path(const struct work *w, const char *name)
{
    return file_join(w->folder, name);
}

char *work_blob_path(const struct work *w, const struct digest *d)
{
    char text[DIGEST_TEXT_SIZE];
    struct buf b = BUF_EMPTY;
    digest_format(d, text);
    buf_printf(&b, "%s/blobs/%s", w->folder, text);
    return buf_take(&b);
}

/* --- in memory -------------------------------------------------------------------------------- */

static struct work_track *work_find_track(const struct work *w, const char *id)
{
    for (unsigned i = 0; i < w->tracks_count; i++)
        if (strcmp(w->tracks[i]->id, id) == 0)
            return w->tracks[i];
    return NULL;
}

int work_track(struct work *w, const char *id, struct work_track **ret)
{
    ASSERT(w->magic == WORK_MAGIC);
    struct work_track *t = work_find_track(w, id);
    if (t != NULL) {
        *ret = t;
        return 0;
    }
    if (w->tracks_count == PRESENTATION_TRACKS_MAX)
        return -E2BIG;
    t = calloc(1, sizeof *t);
    if (t == NULL)
        return -ENOMEM;
    int r = str_copy(str_of(id), t->id, sizeof t->id);
    if (r < 0) {
        free(t);
        return r;
    }
    t->work = w;
    w->tracks[w->tracks_count++] = t;
    *ret = t;
    return 0;
}

static int work_add_segment(struct work_track *t, const struct segment *s, uint64_t start)
{
    if (t->segments_count == PRESENTATION_SEGMENTS_MAX)
        return -EFBIG;
    if (t->segments_count == t->segments_cap) {
        uint32_t cap = MAX(t->segments_cap * 2, UINT32_C(64));
        struct segment *grown = reallocarray(t->segments, cap, sizeof *grown);
        if (grown == NULL)
            return -ENOMEM;
        t->segments = grown;
        t->segments_cap = cap;
    }
    if (t->segments_count == 0)
        t->start = start;
    t->segments[t->segments_count++] = *s;
    t->next = start + s->duration;
    return 0;
}

static void work_forget(struct work_track *t)
{
    t->segments_count = 0;
    t->start = t->next = 0;
    t->init_size = 0;
    t->is_done = false;
}

static int work_add_picture(struct work *w, const char *name, const struct picture *p)
{
    struct work_picture new = {.picture = *p};
    int r = str_copy(str_of(name), new.name, sizeof new.name);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < w->pictures_count; i++) {
        if (strcmp(w->pictures[i].name, name) == 0) {
            w->pictures[i] = new;
            return 0;
        }
    }
    if (w->pictures_count == w->pictures_cap) {
        unsigned cap = MAX(w->pictures_cap * 2, 8U);
        struct work_picture *grown =
            cap > WORK_PICTURES_MAX ? NULL : reallocarray(w->pictures, cap, sizeof *grown);
        if (grown == NULL)
            return -ENOMEM;
        w->pictures = grown;
        w->pictures_cap = cap;
    }
    w->pictures[w->pictures_count++] = new;
    return 0;
}

bool work_find_picture(const struct work *w, const char *name, struct picture *ret)
{
    for (unsigned i = 0; i < w->pictures_count; i++) {
        if (strcmp(w->pictures[i].name, name) == 0) {
            *ret = w->pictures[i].picture;
            return true;
        }
    }
    return false;
}

static int work_add_number(struct work *w, const char *name, uint64_t value)
{
    unsigned i = 0;
    while (i < w->numbers_count && strcmp(w->numbers[i].name, name) != 0)
        i++;
    if (i == WORK_NUMBERS_MAX)
        return -E2BIG;
    int r = str_copy(str_of(name), w->numbers[i].name, sizeof w->numbers[i].name);
    if (r < 0)
        return r;
    w->numbers[i].value = value;
    w->numbers_count = MAX(w->numbers_count, i + 1);
    return 0;
}

bool work_find_number(const struct work *w, const char *name, uint64_t *ret)
{
    for (unsigned i = 0; i < w->numbers_count; i++) {
        if (strcmp(w->numbers[i].name, name) == 0) {
            *ret = w->numbers[i].value;
            return true;
        }
    }
    return false;
}

/* --- reading the journal ---------------------------------------------------------------------- */

/* Whether the blob is there, whole and right. */
static bool work_blob_ok(const struct work *w, const struct digest *d, uint32_t size)
{
    CLEAN(base_free) char *path = work_blob_path(w, d);
    CLEAN_BUF struct buf bytes = BUF_EMPTY;
    if (path == NULL || file_read(path, WORK_BLOB_SIZE_MAX, &bytes) < 0 || bytes.size != size)
        return false;
    struct digest real = digest_of(bytes.data, bytes.size);
    return digest_eq(&real, d);
}

static bool work_json_u64(json_t *line, const char *key, uint64_t max, uint64_t *ret)
{
    json_t *v = json_object_get(line, key);
    if (!json_is_integer(v) || json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) > max)
        return false;
    *ret = (uint64_t)json_integer_value(v);
    return true;
}

static bool work_json_digest(json_t *line, const char *key, struct digest *ret)
{
    const char *text = json_string_value(json_object_get(line, key));
    return text != NULL && digest_parse(str_of(text), ret) == 0;
}

static void work_read_segment(struct work_track *t, json_t *line)
{
    struct segment s = {0};
    uint64_t n, size, duration, key_size, start;
    if (!work_json_u64(line, "n", UINT32_MAX, &n) || n != t->segments_count + UINT64_C(1) ||
        !work_json_digest(line, "digest", &s.digest) ||
        !work_json_u64(line, "size", WORK_BLOB_SIZE_MAX, &size) ||
        !work_json_u64(line, "duration", UINT32_MAX, &duration) ||
        !work_json_u64(line, "key_size", size, &key_size) ||
        !work_json_u64(line, "start", INT64_MAX / 2, &start))
        return;
    if (t->segments_count > 0 && start != t->next)
        return;
    s.size = (uint32_t)size;
    s.duration = (uint32_t)duration;
    s.key_size = (uint32_t)key_size;
    if (s.size == 0 || !work_blob_ok(t->work, &s.digest, s.size))
        return; /* this one and all behind it are made again */
    if (work_add_segment(t, &s, start) == 0)
        atomic_fetch_add(&t->work->reused, 1);
}

static void work_read_track(struct work *w, json_t *line)
{
    const char *id = json_string_value(json_object_get(line, "track"));
    struct work_track *t = NULL;
    uint64_t size = 0;
    struct digest d;
    if (id == NULL || work_track(w, id, &t) < 0)
        return;
    if (json_is_true(json_object_get(line, "reset"))) {
        atomic_fetch_sub(&w->reused, t->segments_count);
        work_forget(t);
    } else if (work_json_u64(line, "end", UINT32_MAX, &size)) {
        t->is_done = size == t->segments_count;
    } else if (work_json_digest(line, "init", &d)) {
        if (work_json_u64(line, "size", WORK_BLOB_SIZE_MAX, &size) &&
            work_blob_ok(w, &d, (uint32_t)size)) {
            t->init = d;
            t->init_size = (uint32_t)size;
        }
    } else {
        work_read_segment(t, line);
    }
}

static void work_read_line(struct work *w, json_t *line)
{
    const char *picture = json_string_value(json_object_get(line, "picture"));
    const char *number = json_string_value(json_object_get(line, "number"));
    uint64_t size, width, height, value;
    struct picture p = {0};
    if (json_object_get(line, "track") != NULL) {
        work_read_track(w, line);
    } else if (number != NULL && work_json_u64(line, "value", INT64_MAX, &value)) {
        (void)work_add_number(w, number, value); /* too many: not of ours, left out */
    } else if (picture != NULL && work_json_digest(line, "digest", &p.digest) &&
               work_json_u64(line, "size", WORK_BLOB_SIZE_MAX, &size) &&
               work_json_u64(line, "width", UINT16_MAX, &width) &&
               work_json_u64(line, "height", UINT16_MAX, &height) &&
               work_blob_ok(w, &p.digest, (uint32_t)size)) {
        p.size = (uint32_t)size;
        p.width = (uint32_t)width;
        p.height = (uint32_t)height;
        (void)work_add_picture(w, picture, &p); /* lost for want of memory: made again */
    }
}

/* Reads what is there and cuts off a torn last line, so that the next line starts afresh. */
static int work_read(struct work *w, const char *path, struct err *err)
{
    CLEAN_BUF struct buf text = BUF_EMPTY;
    int r = file_read(path, WORK_JOURNAL_SIZE_MAX, &text);
    if (r < 0)
        return err_errno(err, r, "reading %s", path);
    struct str rest = buf_str(&text);
    size_t good = 0;
    while (rest.size > 0) {
        const char *end = memchr(rest.data, '\n', rest.size);
        if (end == NULL)
            break;
        size_t size = (size_t)(end - rest.data);
        json_t *line = json_loadb(rest.data, size, 0, NULL);
        if (line != NULL)
            work_read_line(w, line);
        json_decref(line);
        rest = str_skip(rest, size + 1);
        good += size + 1;
    }
    if (good < text.size && ftruncate(w->journal, (off_t)good) < 0)
        return err_errno(err, -errno, "writing %s", path);
    return 0;
}

int work_open(const char *folder, struct err *err, struct work **ret)
{
    ASSERT(folder != NULL);
    ASSERT(ret != NULL);
    CLEAN(work_free) struct work *w = calloc(1, sizeof *w);
    if (w == NULL)
        return err_errno(err, -ENOMEM, "%s", folder);
    w->magic = WORK_MAGIC;
    w->journal = -1;
    pthread_mutex_init(&w->lock, NULL);
    w->folder = str_dup(str_of(folder));
    CLEAN(base_free) char *blobs = file_join(folder, "blobs");
    CLEAN(base_free) char *journal = file_join(folder, "journal");
    if (w->folder == NULL || blobs == NULL || journal == NULL)
        return err_errno(err, -ENOMEM, "%s", folder);
    int r = file_mkdirs(blobs);
    if (r < 0)
        return err_errno(err, r, "making %s", blobs);
    w->journal = open(journal, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (w->journal < 0)
        return err_errno(err, -errno, "opening %s", journal);
    r = work_read(w, journal, err);
    if (r < 0)
        return r;
    *ret = w;
    w = NULL;
    return 0;
}

struct work *work_free(struct work *w)
{
    if (w == NULL)
        return NULL;
    ASSERT(w->magic == WORK_MAGIC);
    for (unsigned i = 0; i < w->tracks_count; i++) {
        free(w->tracks[i]->segments);
        free(w->tracks[i]);
    }
    base_close(w->journal);
    free(w->pictures);
    free(w->folder);
    pthread_mutex_destroy(&w->lock);
    MAGIC_CLEAR(w);
    free(w);
    return NULL;
}

/* --- writing ---------------------------------------------------------------------------------- */

static int work_blob_fill(const char *path, struct str bytes)
{
    CLEAN(base_close) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    return fd < 0 ? -errno : file_write_all(fd, bytes.data, bytes.size);
}

static int work_put_blob(struct work *w, struct str bytes, const struct digest *d, struct err *err)
{
    CLEAN(base_free) char *path = work_blob_path(w, d);
    CLEAN_BUF struct buf temporary = BUF_EMPTY;
    if (path != NULL)
        buf_printf(&temporary, "%s.%d.tmp", path, (int)gettid());
    if (path == NULL || buf_error(&temporary) < 0)
        return err_errno(err, -ENOMEM, "%s", w->folder);
    int r = work_blob_fill(temporary.data, bytes);
    if (r == 0 && rename(temporary.data, path) < 0)
        r = -errno;
    if (r < 0) {
        (void)unlink(temporary.data); /* best effort: the error that matters is r */
        return err_errno(err, r, "writing %s", path);
    }
    return 0;
}

/* Appends the line, with one write. */
static int work_line(struct work *w, struct buf *line, struct err *err)
{
    buf_putc(line, '\n');
    int r = buf_error(line);
    if (r == 0) {
        pthread_mutex_lock(&w->lock);
        r = file_write_all(w->journal, line->data, line->size);
        pthread_mutex_unlock(&w->lock);
    }
    return r < 0 ? err_errno(err, r, "writing %s/journal", w->folder) : 0;
}

int work_reset_track(struct work_track *t, struct err *err)
{
    CLEAN_BUF struct buf line = BUF_EMPTY;
    atomic_fetch_sub(&t->work->reused, t->segments_count);
    work_forget(t);
    buf_printf(&line, "{\"track\":\"%s\",\"reset\":true}", t->id);
    return work_line(t->work, &line, err);
}

int work_put_init(struct work_track *t, struct str bytes, struct err *err)
{
    ASSERT(bytes.size > 0);
    ASSERT(bytes.size <= WORK_BLOB_SIZE_MAX);
    struct digest d = digest_of(bytes.data, bytes.size);
    if (t->init_size == bytes.size && digest_eq(&t->init, &d))
        return 0;
    if (t->segments_count > 0) {
        int r = work_reset_track(t, err);
        if (r < 0)
            return r;
    }
    int r = work_put_blob(t->work, bytes, &d, err);
    if (r < 0)
        return r;
    char text[DIGEST_TEXT_SIZE];
    CLEAN_BUF struct buf line = BUF_EMPTY;
    digest_format(&d, text);
    buf_printf(&line, "{\"track\":\"%s\",\"init\":\"%s\",\"size\":%zu}", t->id, text, bytes.size);
    r = work_line(t->work, &line, err);
    if (r == 0) {
        t->init = d;
        t->init_size = (uint32_t)bytes.size;
    }
    return r;
}

int work_put_segment(struct work_track *t, struct str bytes, const struct segment *s,
                     uint64_t start, struct err *err)
{
    ASSERT(bytes.size == s->size);
    if (t->segments_count > 0 && start != t->next)
        return err_set(err, -EPROTO,
                       "track %s: segment %" PRIu32 " starts at %" PRIu64 " instead of %" PRIu64,
                       t->id, t->segments_count + 1, start, t->next);
    int r = work_put_blob(t->work, bytes, &s->digest, err);
    if (r < 0)
        return r;
    char text[DIGEST_TEXT_SIZE];
    CLEAN_BUF struct buf line = BUF_EMPTY;
    digest_format(&s->digest, text);
    buf_printf(&line,
               "{\"track\":\"%s\",\"n\":%" PRIu32 ",\"digest\":\"%s\",\"size\":%" PRIu32
               ",\"duration\":%" PRIu32 ",\"key_size\":%" PRIu32 ",\"start\":%" PRIu64 "}",
               t->id, t->segments_count + 1, text, s->size, s->duration, s->key_size, start);
    r = work_line(t->work, &line, err);
    if (r == 0) {
        r = work_add_segment(t, s, start);
        if (r < 0)
            return err_errno(err, r, "track %s", t->id);
        atomic_fetch_add(&t->work->encoded, 1);
    }
    return r;
}

int work_end_track(struct work_track *t, struct err *err)
{
    if (t->is_done)
        return 0;
    CLEAN_BUF struct buf line = BUF_EMPTY;
    buf_printf(&line, "{\"track\":\"%s\",\"end\":%" PRIu32 "}", t->id, t->segments_count);
    int r = work_line(t->work, &line, err);
    t->is_done = r == 0;
    return r;
}

int work_put_picture(struct work *w, const char *name, struct str bytes, uint32_t width,
                     uint32_t height, struct err *err)
{
    ASSERT(bytes.size > 0);
    struct picture p = {.digest = digest_of(bytes.data, bytes.size),
                        .size = (uint32_t)bytes.size,
                        .width = width,
                        .height = height};
    int r = work_put_blob(w, bytes, &p.digest, err);
    if (r < 0)
        return r;
    char text[DIGEST_TEXT_SIZE];
    CLEAN_BUF struct buf line = BUF_EMPTY;
    digest_format(&p.digest, text);
    buf_printf(&line,
               "{\"picture\":\"%s\",\"digest\":\"%s\",\"size\":%" PRIu32 ",\"width\":%" PRIu32
               ",\"height\":%" PRIu32 "}",
               name, text, p.size, width, height);
    r = work_line(w, &line, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&w->lock);
    r = work_add_picture(w, name, &p);
    pthread_mutex_unlock(&w->lock);
    return r < 0 ? err_errno(err, r, "picture %s", name) : 0;
}

int work_put_number(struct work *w, const char *name, uint64_t value, struct err *err)
{
    CLEAN_BUF struct buf line = BUF_EMPTY;
    buf_printf(&line, "{\"number\":\"%s\",\"value\":%" PRIu64 "}", name, value);
    int r = work_line(w, &line, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&w->lock);
    r = work_add_number(w, name, value);
    pthread_mutex_unlock(&w->lock);
    return r < 0 ? err_errno(err, r, "number %s", name) : 0;
}

void work_counts(const struct work *w, uint64_t *ret_encoded, uint64_t *ret_reused)
{
    *ret_encoded = atomic_load(&w->encoded);
    *ret_reused = atomic_load(&w->reused);
}
