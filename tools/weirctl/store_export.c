/* SPDX-License-Identifier: Apache-2.0 */
/* weirctl store export: a plain tar (POSIX ustar): blobs/<digest> by rising digest, then refs.json.
 * Nothing in it depends on the time or the host, so the same refs give the same bytes. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "media/presentation.h"
#include "store_ctl.h"

#define EXPORT_REFS_MAX  4096u
#define EXPORT_TAR_BLOCK 10240

static const char export_usage[] =
    "usage: weirctl store export [PATH | --config FILE | --state FOLDER [--edge]] [--ref NAME]...\n"
    "                            -o FILE.tar [--json]\n"
    "\n"
    "Writes the refs (all, or those named), their presentations and all blobs that these name to "
    "a\n"
    "tar file; -o - is stdout. Every blob is verified. A daemon may have the store "
    "open.\n" CTL_STORE_WHERE_USAGE;

struct export_blob {
    struct digest digest;
    uint32_t size;
};

struct export
{
    struct ctl_store store;
    struct ctl_store_ref *refs;
    size_t refs_count;
    struct export_blob *blobs;
    size_t blobs_count, blobs_cap;
    bool failed; /* out of memory in a callback */
    struct archive *tar;
    int fd;
    uint64_t bytes, bytes_done;
};

/* --- what goes into it ------------------------------------------------------------------------ */

static bool export_add(void *arg, const struct digest *d, uint32_t size)
{
    struct export *x = arg;
    if (x->blobs_count == x->blobs_cap) {
        size_t cap = x->blobs_cap == 0 ? 1024 : x->blobs_cap * 2;
        struct export_blob *more = reallocarray(x->blobs, cap, sizeof *more);
        x->failed = more == NULL;
        if (x->failed)
            return false;
        x->blobs = more;
        x->blobs_cap = cap;
    }
    x->blobs[x->blobs_count++] = (struct export_blob){*d, size};
    return true;
}

static int export_compare(const void *a, const void *b)
{
    return digest_compare(&((const struct export_blob *)a)->digest,
                          &((const struct export_blob *)b)->digest);
}

/* Each once, by rising digest. */
static void export_sort(struct export *x)
{
    size_t kept = 0;
    if (x->blobs_count > 1)
        qsort(x->blobs, x->blobs_count, sizeof *x->blobs, export_compare);
    for (size_t i = 0; i < x->blobs_count; i++) {
        if (i > 0 && export_compare(&x->blobs[i], &x->blobs[kept - 1]) == 0)
            continue;
        x->blobs[kept++] = x->blobs[i];
        x->bytes += x->blobs[i].size;
    }
    x->blobs_count = kept;
}

static int export_ref(struct export *x, const struct ctl_store_ref *ref, struct err *err)
{
    CLEAN(rbuf_unref) struct rbuf *blob = NULL;
    CLEAN(presentation_free) struct presentation *p = NULL;
    struct err why = {{0}};
    uint32_t size;
    int r = ctl_store_read(&x->store, &ref->ref.presentation, &blob, &why);
    if (r < 0)
        return err_set(err, r, "the presentation of %s: %s", ref->name, why.text);
    const char *bytes = (const char *)rbuf_data(blob, &size);
    r = presentation_parse((struct str){bytes, size}, &p, &why);
    if (r < 0)
        return err_set(err, r, "what %s names is no presentation: %s", ref->name, why.text);
    (void)export_add(x, &ref->ref.presentation, size);
    if (!x->failed)
        presentation_blobs(p, export_add, x);
    return x->failed ? err_set(err, -ENOMEM, "out of memory") : 0;
}

/* Those of x->refs that were asked for stay. */
static int export_choose(struct export *x, const char **names, size_t names_count, struct err *err)
{
    size_t kept = 0;
    if (names_count == 0)
        return 0;
    for (size_t n = 0; n < names_count; n++) {
        size_t i = 0;
        while (i < x->refs_count && strcmp(x->refs[i].name, names[n]) != 0)
            i++;
        if (i == x->refs_count)
            return err_set(err, -ENOENT, "there is no ref '%s' in %s", names[n], x->store.path);
    }
    for (size_t i = 0; i < x->refs_count; i++) {
        size_t n = 0;
        while (n < names_count && strcmp(x->refs[i].name, names[n]) != 0)
            n++;
        if (n < names_count)
            x->refs[kept++] = x->refs[i];
    }
    x->refs_count = kept;
    return 0;
}

/* --- the tar ---------------------------------------------------------------------------------- */

static int export_member(struct export *x, const char *name, const void *bytes, size_t size,
                         struct err *err)
{
    struct archive_entry *e = archive_entry_new();
    if (e == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    archive_entry_set_pathname(e, name);
    archive_entry_set_size(e, (la_int64_t)size);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_perm(e, 0644);
    archive_entry_set_mtime(e, 0, 0);
    int r = archive_write_header(x->tar, e);
    if (r == ARCHIVE_OK && archive_write_data(x->tar, bytes, size) != (la_ssize_t)size)
        r = ARCHIVE_FATAL;
    if (r == ARCHIVE_OK)
        r = archive_write_finish_entry(x->tar);
    archive_entry_free(e);
    return r == ARCHIVE_OK
               ? 0
               : err_set(err, -EIO, "writing the archive: %s", archive_error_string(x->tar));
}

static int export_refs_json(struct export *x, struct err *err)
{
    CLEAN_BUF struct buf b = BUF_EMPTY;
    buf_puts(&b, "{\"version\":1,\"refs\":[");
    for (size_t i = 0; i < x->refs_count; i++) {
        const struct ctl_store_ref *ref = &x->refs[i];
        char hex[DIGEST_TEXT_SIZE], changed[CLOCK_TEXT_SIZE];
        digest_format(&ref->ref.presentation, hex);
        clock_format(ref->ref.changed_ms, changed);
        buf_printf(&b,
                   "%s\n {\"name\":\"%s\",\"presentation\":\"%s\",\"generation\":%" PRIu64
                   ",\"changed\":\"%s\"}",
                   i > 0 ? "," : "", ref->name, hex, ref->ref.generation, changed);
    }
    buf_puts(&b, "\n]}\n");
    if (buf_error(&b) < 0)
        return err_errno(err, buf_error(&b), "writing refs.json");
    return export_member(x, "refs.json", b.data, b.size, err);
}

static int export_blobs(struct export *x, struct err *err)
{
    struct ctl_bar bar = {.what = "export"};
    char name[sizeof "blobs/" + DIGEST_TEXT_SIZE] = "blobs/";
    int r = 0;
    for (size_t i = 0; i < x->blobs_count && r == 0; i++) {
        CLEAN(rbuf_unref) struct rbuf *blob = NULL;
        uint32_t size = 0;
        r = ctl_interrupted() ? -EINTR : ctl_store_read(&x->store, &x->blobs[i].digest, &blob, err);
        if (r < 0)
            break;
        const uint8_t *bytes = rbuf_data(blob, &size);
        digest_format(&x->blobs[i].digest, name + strlen("blobs/"));
        r = export_member(x, name, bytes, size, err);
        x->bytes_done += size;
        ctl_bar_show(&bar, x->bytes_done, x->bytes);
    }
    ctl_bar_clear(&bar);
    return r;
}

static int export_write(struct export *x, struct err *err)
{
    x->tar = archive_write_new();
    if (x->tar == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    int r = archive_write_set_format_ustar(x->tar);
    if (r == ARCHIVE_OK)
        r = archive_write_set_bytes_per_block(x->tar, EXPORT_TAR_BLOCK);
    if (r == ARCHIVE_OK)
        r = archive_write_open_fd(x->tar, x->fd);
    if (r != ARCHIVE_OK)
        return err_set(err, -EIO, "writing the archive: %s", archive_error_string(x->tar));
    r = export_blobs(x, err);
    if (r == 0)
        r = export_refs_json(x, err);
    if (r == 0 && archive_write_close(x->tar) != ARCHIVE_OK)
        r = err_set(err, -EIO, "writing the archive: %s", archive_error_string(x->tar));
    return r;
}

/* Under its name only once it is whole and durable. */
static int export_to(struct export *x, const char *file, struct err *err)
{
    CLEAN_BUF struct buf part = BUF_EMPTY;
    if (strcmp(file, "-") == 0) {
        x->fd = STDOUT_FILENO;
        return export_write(x, err);
    }
    buf_printf(&part, "%s.part", file);
    if (buf_error(&part) < 0)
        return err_errno(err, buf_error(&part), "writing %s", file);
    CLEAN(base_close)
    int fd = open(part.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return err_errno(err, -errno, "making %s", part.data);
    x->fd = fd;
    int r = export_write(x, err);
    if (r == 0 && fsync(fd) < 0)
        r = err_errno(err, -errno, "writing %s", part.data);
    if (r == 0 && rename(part.data, file) < 0)
        r = err_errno(err, -errno, "renaming %s", part.data);
    if (r < 0)
        (void)unlink(part.data);
    return r;
}

/* --- the command ------------------------------------------------------------------------------ */

/* Takes every "--ref NAME" out of argv; -EINVAL: without a name. */
static int export_names(int *argc, char **argv, const char **names, size_t *ret_count)
{
    int kept = 0;
    size_t count = 0;
    for (int i = 0; i < *argc; i++) {
        const char *name = NULL;
        if (strncmp(argv[i], "--ref=", 6) == 0)
            name = argv[i] + 6;
        else if (strcmp(argv[i], "--ref") == 0 && i + 1 < *argc)
            name = argv[++i];
        if (name == NULL)
            argv[kept++] = argv[i];
        else if (count == EXPORT_REFS_MAX)
            return -EINVAL;
        else
            names[count++] = name;
    }
    *argc = kept;
    *ret_count = count;
    return 0;
}

static int export_run(struct export *x, const struct ctl_store_where *w, const char **names,
                      size_t names_count, const char *file, struct err *err)
{
    int r = ctl_store_open(w, CTL_STORE_READ_TIER, &x->store, err);
    if (r == 0)
        r = ctl_store_refs(&x->store, &x->refs, &x->refs_count, err);
    if (r == 0)
        r = export_choose(x, names, names_count, err);
    if (r == 0 && x->refs_count == 0)
        r = err_set(err, -ENOENT, "%s has no refs: there is nothing to export", x->store.path);
    for (size_t i = 0; i < x->refs_count && r == 0; i++)
        r = export_ref(x, &x->refs[i], err);
    if (r == 0) {
        export_sort(x);
        r = export_to(x, file, err);
    }
    archive_write_free(x->tar);
    ctl_store_close(&x->store);
    free(x->refs);
    free(x->blobs);
    return r;
}

int ctl_store_export(int argc, char **argv)
{
    struct ctl_store_where w = {0};
    const char *file = NULL, *word = NULL, *lost = NULL;
    bool as_json = false;
    const struct ctl_option options[] = {CTL_STORE_WHERE(w),
                                         {"-o", &file, NULL},
                                         {"--ref", &lost, NULL}, /* without a name: said there */
                                         {"--json", NULL, &as_json}};
    const char **names = calloc(EXPORT_REFS_MAX, sizeof *names);
    size_t words = 0, names_count = 0;
    if (names == NULL)
        return 1;
    int r = export_names(&argc, argv, names, &names_count);
    r = r < 0 ? 2
              : ctl_parse(argc, argv, export_usage, options, ARRAY_LEN(options), &word, 1, &words);
    if (r == 0)
        ctl_store_take_path(&w, &word, &words, true);
    if (r == 0 && (words > 0 || file == NULL)) {
        (void)fprintf(stderr, "weirctl: export needs one store and -o FILE.tar\n%s", export_usage);
        r = 2;
    }
    if (r != 0) {
        free(names);
        return r == 3 ? 0 : r;
    }
    struct err err = {0};
    struct export x = {.fd = -1};
    char size[CTL_SIZE_TEXT];
    if (strcmp(file, "-") == 0 && isatty(STDOUT_FILENO) == 1)
        r = err_set(&err, -EINVAL, "stdout is a terminal and an archive is not for eyes");
    ctl_catch_interrupts();
    if (r == 0)
        r = export_run(&x, &w, names, names_count, file, &err);
    free(names);
    if (r == -EINTR)
        return ctl_say_interrupted("no archive was made");
    if (r < 0)
        return ctl_fail(&err);
    FILE *out = strcmp(file, "-") == 0 ? stderr : stdout;
    if (as_json)
        (void)fprintf(out, "{\"refs\":%zu,\"blobs\":%zu,\"bytes\":%" PRIu64 "}\n", x.refs_count,
                      x.blobs_count, x.bytes_done);
    else
        (void)fprintf(out, "%zu ref%s, %zu blob%s of %s written to %s\n", x.refs_count,
                      ctl_s(x.refs_count), x.blobs_count, ctl_s(x.blobs_count),
                      ctl_size_human(x.bytes_done, size), file);
    return 0;
}
