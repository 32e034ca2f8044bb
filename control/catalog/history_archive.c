/* SPDX-License-Identifier: Apache-2.0 */
/* Warm months become files: one JSON line an entry, zstd-compressed. A file is written whole and
 * named last; only then are its entries taken out of the database. Stopped in between, the next
 * turn writes what is still there into another file of that month: a line may be twice, none is
 * lost. `zstd -dc history-2026-05.*.ndjson.zst` reads them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>
#include "base/file.h"
#include "control/catalog/history.h"
#include "control/catalog/member.h"
#include "control/catalog/month.h"
#include "control/model.h"

#define HISTORY_LEVEL     9
#define HISTORY_PAGE      100
#define HISTORY_FILE_DOCS 20000 /* packed documents of one file: bounds what one turn does */
#define HISTORY_FILES_MAX 10000
#define HISTORY_TEXT_SIZE ((size_t)1 << 20) /* of lines that are compressed at a time */

/* --- a file ----------------------------------------------------------------------------------- */

struct history_file {
    int fd;
    ZSTD_CCtx *zstd;
    struct buf lines;
    char path[1024];      /* what it will be called */
    char temporary[1032]; /* what it is until then */
};

static int history_file_open(struct history_file *f, const char *folder, const char *month)
{
    int r = file_mkdirs(folder);
    unsigned n = 1;
    for (; r == 0 && n < HISTORY_FILES_MAX; n++) {
        int size =
            snprintf(f->path, sizeof f->path, "%s/history-%s.%u.ndjson.zst", folder, month, n);
        if (size < 0 || (size_t)size >= sizeof f->path)
            return -ENAMETOOLONG;
        if (access(f->path, F_OK) < 0)
            break;
    }
    if (r < 0 || n == HISTORY_FILES_MAX)
        return r < 0 ? r : -EEXIST;
    (void)snprintf(f->temporary, sizeof f->temporary, "%s.new", f->path); /* fits */
    f->fd = open(f->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (f->fd < 0)
        return -errno;
    f->zstd = ZSTD_createCCtx();
    if (f->zstd == NULL)
        return -ENOMEM;
    size_t code = ZSTD_CCtx_setParameter(f->zstd, ZSTD_c_compressionLevel, HISTORY_LEVEL);
    if (!ZSTD_isError(code))
        code = ZSTD_CCtx_setParameter(f->zstd, ZSTD_c_checksumFlag, 1);
    return ZSTD_isError(code) ? -EIO : 0;
}

static int history_file_flush(struct history_file *f, ZSTD_EndDirective end)
{
    char out[64 << 10];
    ZSTD_inBuffer in = {f->lines.data != NULL ? f->lines.data : "", f->lines.size, 0};
    size_t left;
    do {
        ZSTD_outBuffer to = {out, sizeof out, 0};
        left = ZSTD_compressStream2(f->zstd, &to, &in, end);
        if (ZSTD_isError(left))
            return -EIO;
        int r = file_write_all(f->fd, out, to.pos);
        if (r < 0)
            return r;
    } while (left > 0 || in.pos < in.size);
    buf_clear(&f->lines);
    return 0;
}

static int history_file_line(struct history_file *f, const json_t *packed, const json_t *entry)
{
    static const char *const names[] = {"month", "viewer", "user"};
    json_t *line = json_copy((json_t *)(uintptr_t)entry);
    int r = line == NULL ? -ENOMEM : 0;
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(names); i++)
        r = member_copy(line, names[i], packed, names[i]);
    char *text = r < 0 ? NULL : json_dumps(line, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(line);
    if (text == NULL)
        return -ENOMEM;
    buf_puts(&f->lines, text);
    buf_putc(&f->lines, '\n');
    free(text);
    r = buf_error(&f->lines);
    if (r == 0 && f->lines.size >= HISTORY_TEXT_SIZE)
        r = history_file_flush(f, ZSTD_e_continue);
    return r;
}

/* Behind this it outlasts a power loss, under its name. */
static int history_file_finish(struct history_file *f, const char *folder)
{
    int r = history_file_flush(f, ZSTD_e_end);
    if (r == 0 && fsync(f->fd) < 0)
        r = -errno;
    if (r == 0 && rename(f->temporary, f->path) < 0)
        r = -errno;
    return r == 0 ? file_sync_folder(folder) : r;
}

static void history_file_close(struct history_file *f)
{
    if (f->fd >= 0)
        (void)close(f->fd); /* it was synced, or is of no use */
    if (f->temporary[0] != 0)
        (void)unlink(f->temporary); /* gone already where it was renamed */
    (void)ZSTD_freeCCtx(f->zstd);
    buf_free(&f->lines);
}

/* --- a month ---------------------------------------------------------------------------------- */

static int history_archive_page(struct history_file *f, const json_t *docs, json_t *ids)
{
    size_t i;
    size_t at;
    json_t *packed;
    json_t *entry;
    int r = 0;
    json_array_foreach(docs, i, packed)
    {
        json_array_foreach(json_object_get(packed, "entries"), at, entry)
        {
            if (r == 0)
                r = history_file_line(f, packed, entry);
        }
        if (r == 0)
            r = json_array_append(ids, json_object_get(packed, "id")) < 0 ? -ENOMEM : 0;
    }
    return r;
}

static int history_archive_write(struct db *db, struct history_file *f, const char *month,
                                 json_t *ids)
{
    json_t *equal = json_pack("[s]", month);
    char *cursor = NULL;
    int r = equal == NULL ? -ENOMEM : 0;
    bool more = r == 0;
    while (r == 0 && more && json_array_size(ids) < HISTORY_FILE_DOCS) {
        const struct db_list list = {
            .key = "month", .limit = HISTORY_PAGE, .cursor = cursor, .equal = equal};
        json_t *docs = NULL;
        char *next = NULL;
        r = db_list(db, MODEL_HISTORY_MONTHS, &list, &docs, &next);
        if (r == 0)
            r = history_archive_page(f, docs, ids);
        json_decref(docs);
        free(cursor);
        cursor = next;
        more = next != NULL;
    }
    free(cursor);
    json_decref(equal);
    return r;
}

static int history_archive_take(struct db *db, const json_t *ids)
{
    size_t i;
    json_t *id;
    int r = 0;
    json_array_foreach(ids, i, id)
    {
        if (r == 0 || r == -ENOENT)
            r = db_delete(db, MODEL_HISTORY_MONTHS, json_string_value(id));
    }
    return r == -ENOENT ? 0 : r;
}

static int history_archive_month(struct db *db, const char *folder, const char *month,
                                 uint64_t *ret_count, struct err *err)
{
    struct history_file f = {.fd = -1};
    json_t *ids = json_array();
    int r = ids == NULL ? -ENOMEM : history_file_open(&f, folder, month);
    if (r == 0)
        r = history_archive_write(db, &f, month, ids);
    if (r == 0)
        r = history_file_finish(&f, folder);
    if (r < 0)
        (void)err_errno(err, r, "archiving the history of %s in %s", month, folder);
    history_file_close(&f);
    if (r == 0) {
        r = history_archive_take(db, ids);
        if (r < 0)
            (void)err_errno(err, r, "taking the archived history of %s out", month);
    }
    if (r == 0)
        *ret_count += json_array_size(ids);
    json_decref(ids);
    return r;
}

int history_archive(struct db *db, const char *folder, int64_t now_ms, uint64_t *ret_count,
                    struct err *err)
{
    const struct db_list list = {.key = "month", .limit = 1};
    uint64_t count = 0;
    json_t *docs = NULL;
    char *next = NULL;
    char month[MONTH_SIZE] = "";
    int64_t end_ms = 0;
    int r = db_list(db, MODEL_HISTORY_MONTHS, &list, &docs, &next); /* the oldest */
    free(next);
    bool old = r == 0 && month_end(member_str(json_array_get(docs, 0), "month"), &end_ms) == 0 &&
               end_ms + HISTORY_WARM_MS <= now_ms &&
               str_copy(member_str(json_array_get(docs, 0), "month"), month, sizeof month) == 0;
    json_decref(docs);
    if (r < 0)
        return err_errno(err, r, "looking for old history");
    if (old)
        r = history_archive_month(db, folder, month, &count, err);
    if (r == 0)
        *ret_count = count;
    return r;
}

/* --- what there is ---------------------------------------------------------------------------- */

/* "history-YYYY-MM.N.ndjson.zst": the month; false: not of that form. */
static bool history_file_month(const char *name, char ret[MONTH_SIZE])
{
    struct str rest = str_of(name);
    int64_t end_ms;
    uint64_t number;
    if (!str_starts(rest, STR("history-")))
        return false;
    rest.data += strlen("history-");
    rest.size -= strlen("history-");
    struct str month = str_cut(rest, '.', &rest);
    struct str n = str_cut(rest, '.', &rest);
    return month_end(month, &end_ms) == 0 && str_to_u64(n, &number) == 0 &&
           str_eq(rest, STR("ndjson.zst")) && str_copy(month, ret, MONTH_SIZE) == 0;
}

static json_t *history_month_or_null(const char *month)
{
    return month[0] != 0 ? json_string(month) : json_null();
}

int history_archive_status(const char *folder, json_t **ret)
{
    char oldest[MONTH_SIZE] = "";
    char newest[MONTH_SIZE] = "";
    char month[MONTH_SIZE];
    json_int_t files = 0;
    json_int_t bytes = 0;
    struct stat st;
    const struct dirent *e;
    DIR *dir = opendir(folder);
    if (dir == NULL && errno != ENOENT)
        return -errno;
    while (dir != NULL && (e = readdir(dir)) != NULL) {
        if (!history_file_month(e->d_name, month) || fstatat(dirfd(dir), e->d_name, &st, 0) < 0)
            continue;
        files++;
        bytes += st.st_size;
        if (oldest[0] == 0 || strcmp(month, oldest) < 0)
            memcpy(oldest, month, sizeof month);
        if (strcmp(month, newest) > 0)
            memcpy(newest, month, sizeof month);
    }
    if (dir != NULL)
        (void)closedir(dir); /* only read */
    *ret = json_pack("{s:I, s:I, s:o, s:o}", "files", files, "bytes", bytes, "oldest",
                     history_month_or_null(oldest), "newest", history_month_or_null(newest));
    return *ret == NULL ? -ENOMEM : 0;
}

int history_status(struct db *db, json_t **ret)
{
    const struct db_list hot = {.key = "last_ms", .limit = 1};
    const struct db_list warm = {.key = "month", .limit = 1};
    json_t *docs = NULL;
    char *next = NULL;
    uint64_t hot_count = 0;
    uint64_t warm_count = 0;
    int r = db_count(db, MODEL_HISTORY, &hot, &hot_count);
    if (r == 0)
        r = db_count(db, MODEL_HISTORY_MONTHS, &warm, &warm_count);
    if (r == 0)
        r = db_list(db, MODEL_HISTORY_MONTHS, &warm, &docs, &next);
    free(next);
    if (r < 0)
        return r;
    const char *oldest = member_text(json_array_get(docs, 0), "month");
    *ret = json_pack("{s:I, s:I, s:s?}", "hot", (json_int_t)hot_count, "warm",
                     (json_int_t)warm_count, "warm_oldest", oldest);
    json_decref(docs);
    return *ret == NULL ? -ENOMEM : 0;
}
