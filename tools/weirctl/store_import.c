/* SPDX-License-Identifier: Apache-2.0 */
/* weirctl store import: blobs as they come, some at a time so that the store commits them in
 * groups; then, when all are durable, the refs. What is there already is not written again. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "media/presentation.h"
#include "store_ctl.h"

#define IMPORT_FLIGHT_MAX   64u
#define IMPORT_FLIGHT_BYTES (UINT64_C(128) << 20)
#define IMPORT_JSON_MAX     ((la_int64_t)64 << 20)
#define IMPORT_TAR_BLOCK    65536

static const char import_usage[] =
    "usage: weirctl store import [PATH | --config FILE | --state FOLDER [--edge]] FILE.tar\n"
    "                            [--force] [--json]\n"
    "\n"
    "Puts the blobs of an archive of `weirctl store export`, each verified against its name, then\n"
    "moves the refs. - is stdin. A ref that has moved on since is left alone, unless --force.\n"
    "Broken off, the same command goes on where it was. PATH is made when "
    "absent.\n" CTL_STORE_WHERE_USAGE;

struct import {
    struct ctl_store store;
    const char *file;
    struct archive *tar;
    struct archive_entry *entry; /* the next member; NULL: there is none */
    struct buf json;             /* refs.json */
    bool has_json, force, as_json;
    unsigned flying; /* puts under way */
    uint64_t flying_bytes;
    bool landed;
    int res; /* of puts: the first that failed */
    struct digest bad;
    uint64_t blobs, there, bytes, bytes_total;
    uint64_t moved, same, refused;
    struct ctl_bar bar;
};

struct import_put {
    struct import *import;
    struct digest digest;
    uint32_t size;
};

/* --- blobs ------------------------------------------------------------------------------------ */

static void import_on_put(void *arg, int res)
{
    struct import_put *p = arg;
    struct import *x = p->import;
    x->flying--;
    x->flying_bytes -= p->size;
    x->landed = true;
    if (res < 0 && x->res == 0) {
        x->res = res;
        x->bad = p->digest;
    }
    free(p);
}

static void import_wait(struct import *x, unsigned max, uint64_t max_bytes)
{
    while (x->flying > max || (x->flying > 0 && x->flying_bytes > max_bytes)) {
        x->landed = false;
        store_worker_wait(x->store.worker, &x->landed);
    }
}

static int import_put_error(const struct import *x, struct err *err)
{
    char hex[DIGEST_TEXT_SIZE];
    digest_format(&x->bad, hex);
    if (x->res == -ENOSPC)
        return err_set(err, x->res,
                       "the store's disk is full; with more room the same command goes on from "
                       "here");
    if (x->res == -EEXIST)
        return err_set(err, x->res, "the store has other bytes with the digest %s", hex);
    return err_errno(err, x->res, "putting blob %s", hex);
}

static int import_read(struct import *x, const char *name, uint8_t *out, size_t size,
                       struct err *err)
{
    for (size_t at = 0; at < size;) {
        la_ssize_t n = archive_read_data(x->tar, out + at, size - at);
        if (n <= 0)
            return err_set(err, -EBADMSG, "%s: %s: %s", x->file, name,
                           n < 0 ? archive_error_string(x->tar) : "it ends too early");
        at += (size_t)n;
    }
    return 0;
}

static int import_blob(struct import *x, const char *name, const struct digest *d, uint32_t size,
                       struct err *err)
{
    CLEAN(rbuf_unref) struct rbuf *blob = NULL;
    uint32_t cap_size;
    int r = rbuf_new(MAX(size, 1U), &blob);
    if (r < 0)
        return err_errno(err, r, "reading %s", name);
    uint8_t *bytes = rbuf_space(blob, &cap_size);
    r = import_read(x, name, bytes, size, err);
    if (r < 0)
        return r;
    rbuf_window(blob, 0, size);
    struct digest is = digest_of(bytes, size);
    if (!digest_eq(&is, d))
        return err_set(err, -EBADMSG, "%s: %s does not hold the bytes of its name", x->file, name);
    x->blobs++;
    x->bytes += size;
    /* What is there is put all the same: the store compares, and writes anew what is damaged. */
    x->there += store_has(x->store.worker, d);
    struct import_put *p = malloc(sizeof *p);
    if (p == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    *p = (struct import_put){.import = x, .digest = *d, .size = size};
    x->flying++;
    x->flying_bytes += size;
    store_put(x->store.worker, d, blob, 0, import_on_put, p);
    import_wait(x, IMPORT_FLIGHT_MAX, IMPORT_FLIGHT_BYTES);
    return x->res < 0 ? import_put_error(x, err) : 0;
}

/* --- the archive ------------------------------------------------------------------------------ */

static int import_json(struct import *x, la_int64_t size, struct err *err)
{
    if (x->has_json || size > IMPORT_JSON_MAX)
        return err_set(err, -EBADMSG, "%s: refs.json is there twice, or is too large", x->file);
    CLEAN(base_free) char *text = malloc((size_t)size + 1);
    if (text == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    int r = import_read(x, "refs.json", (uint8_t *)text, (size_t)size, err);
    if (r < 0)
        return r;
    x->has_json = true;
    buf_put(&x->json, text, (size_t)size);
    return buf_error(&x->json) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
}

static int import_member(struct import *x, struct archive_entry *e, struct err *err)
{
    const char *path = archive_entry_pathname(e);
    la_int64_t size = archive_entry_size(e);
    struct str name = str_of(path != NULL ? path : "");
    struct digest d;
    if (str_starts(name, STR("./"))) /* packed anew by tar(1) */
        name = str_skip(name, 2);
    if (archive_entry_filetype(e) == AE_IFDIR)
        return 0;
    bool is_file = archive_entry_filetype(e) == AE_IFREG && archive_entry_hardlink(e) == NULL &&
                   archive_entry_size_is_set(e) != 0 && size >= 0;
    if (is_file && str_eq(name, STR("refs.json")))
        return import_json(x, size, err);
    if (!is_file || !str_starts(name, STR("blobs/")) ||
        digest_parse(str_skip(name, strlen("blobs/")), &d) < 0)
        return err_set(err, -EBADMSG,
                       "%s: '%.200s' has no place in an archive of weirctl store export", x->file,
                       path != NULL ? path : "");
    if (size > (la_int64_t)STORE_BLOB_MAX)
        return err_set(err, -EFBIG, "%s: %s is larger than a blob may be", x->file, name.data);
    return import_blob(x, name.data, &d, (uint32_t)size, err);
}

static int import_next(struct import *x, struct err *err)
{
    int n = archive_read_next_header(x->tar, &x->entry);
    if (n == ARCHIVE_EOF)
        x->entry = NULL;
    return n == ARCHIVE_OK || n == ARCHIVE_EOF
               ? 0
               : err_set(err, -EBADMSG, "%s: %s", x->file, archive_error_string(x->tar));
}

/* Up to the first member: what is no archive is found out before there is a store. */
static int import_open(struct import *x, int fd, struct err *err)
{
    x->tar = archive_read_new();
    if (x->tar == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    int r = archive_read_support_format_tar(x->tar);
    if (r == ARCHIVE_OK)
        r = archive_read_open_fd(x->tar, fd, IMPORT_TAR_BLOCK);
    if (r != ARCHIVE_OK)
        return err_set(err, -EBADMSG, "%s: %s", x->file, archive_error_string(x->tar));
    return import_next(x, err);
}

static int import_members(struct import *x, struct err *err)
{
    int r = 0;
    while (r == 0 && x->entry != NULL && !ctl_interrupted()) {
        r = import_member(x, x->entry, err);
        if (x->bytes_total > 0)
            ctl_bar_show(&x->bar, x->bytes, x->bytes_total);
        if (r == 0)
            r = import_next(x, err);
    }
    import_wait(x, 0, 0);
    ctl_bar_clear(&x->bar);
    if (r == 0 && x->res < 0)
        r = import_put_error(x, err);
    if (r == 0 && ctl_interrupted())
        r = -EINTR;
    if (r == 0 && !x->has_json)
        r = err_set(err, -EBADMSG,
                    "%s has no refs.json: it is no archive of weirctl store export, or not whole",
                    x->file);
    return r;
}

/* --- refs ------------------------------------------------------------------------------------- */

/* When the presentation was made; 0: it cannot be told. */
static int64_t import_created(struct import *x, const struct digest *d)
{
    CLEAN(rbuf_unref) struct rbuf *blob = NULL;
    CLEAN(presentation_free) struct presentation *p = NULL;
    struct err why = {{0}};
    uint32_t size;
    if (ctl_store_read(&x->store, d, &blob, &why) < 0)
        return 0;
    const char *bytes = (const char *)rbuf_data(blob, &size);
    return presentation_parse((struct str){bytes, size}, &p, &why) == 0 ? p->created_ms : 0;
}

struct import_moved {
    bool done;
    int res;
};

static void import_on_moved(void *arg, int res)
{
    struct import_moved *m = arg;
    m->done = true;
    m->res = res;
}

static int import_move(struct import *x, const char *name, const struct digest *d, uint64_t expect,
                       struct err *err)
{
    struct import_moved m = {.done = false};
    store_ref_put(x->store.worker, str_of(name), d, expect, import_on_moved, &m);
    store_worker_wait(x->store.worker, &m.done);
    if (m.res == -ENOENT)
        return err_set(err, m.res, "%s does not hold all that the presentation of %s names",
                       x->file, name);
    if (m.res == -EBADMSG)
        return err_set(err, m.res, "%s: what %s names is no presentation", x->file, name);
    return m.res < 0 ? err_errno(err, m.res, "moving the ref %s", name) : 0;
}

static int import_ref(struct import *x, const char *name, const struct digest *d,
                      uint64_t generation, struct err *err)
{
    struct store_ref now = {.generation = 0};
    int r = store_ref_get(x->store.worker, str_of(name), &now);
    bool exists = r == 0;
    if (r < 0 && r != -ENOENT)
        return err_errno(err, r, "reading the ref %s", name);
    if (exists && digest_eq(&now.presentation, d)) {
        x->same++;
        return 0;
    }
    bool back = exists && (now.generation > generation ||
                           import_created(x, &now.presentation) > import_created(x, d));
    if (back && !x->force) {
        x->refused++;
        (void)fprintf(
            stderr, "weirctl: %s would go back to what it was: it is left alone without --force\n",
            name);
        return 0;
    }
    if (!store_has(x->store.worker, d))
        return err_set(err, -ENOENT, "%s does not hold the presentation of %s", x->file, name);
    r = import_move(x, name, d, exists ? now.generation : STORE_REF_ANY, err);
    x->moved += r == 0;
    return r;
}

static int import_refs(struct import *x, struct err *err)
{
    json_error_t where;
    json_t *root = json_loadb(x->json.data != NULL ? x->json.data : "", x->json.size,
                              JSON_REJECT_DUPLICATES, &where);
    if (root == NULL)
        return err_set(err, -EBADMSG, "%s: refs.json: line %d: %s", x->file, where.line,
                       where.text);
    json_t *refs = json_object_get(root, "refs"), *ref;
    size_t i;
    int r = json_integer_value(json_object_get(root, "version")) == 1 && json_is_array(refs)
                ? 0
                : err_set(err, -EBADMSG, "%s: refs.json is not of version 1", x->file);
    json_array_foreach(refs, i, ref)
    {
        const char *name = json_string_value(json_object_get(ref, "name"));
        const char *hex = json_string_value(json_object_get(ref, "presentation"));
        json_int_t generation = json_integer_value(json_object_get(ref, "generation"));
        struct digest d;
        if (r == 0 &&
            (!store_name_ok(str_of(name)) || digest_parse(str_of(hex), &d) < 0 || generation <= 0))
            r = err_set(err, -EBADMSG,
                        "%s: refs.json: ref %zu has no name, presentation or "
                        "generation",
                        x->file, i + 1);
        if (r == 0 && ctl_interrupted())
            r = -EINTR;
        if (r == 0)
            r = import_ref(x, name, &d, (uint64_t)generation, err);
    }
    json_decref(root);
    return r;
}

/* --- the command ------------------------------------------------------------------------------ */

static int import_run(struct import *x, const struct ctl_store_where *w, struct err *err)
{
    struct stat st;
    CLEAN(base_close) int own = -1;
    int fd = STDIN_FILENO;
    if (strcmp(x->file, "-") != 0) {
        fd = own = open(x->file, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return err_errno(err, -errno, "opening %s", x->file);
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        x->bytes_total = (uint64_t)st.st_size;
    int r = import_open(x, fd, err);
    if (r == 0)
        r = ctl_store_open(w, CTL_STORE_WRITE, &x->store, err);
    if (r == 0)
        r = import_members(x, err);
    if (r == 0)
        r = import_refs(x, err);
    if (x->store.worker != NULL)
        import_wait(x, 0, 0);
    archive_read_free(x->tar);
    buf_free(&x->json);
    ctl_store_close(&x->store);
    return r;
}

int ctl_store_import(int argc, char **argv)
{
    struct ctl_store_where w = {0};
    struct import *x = calloc(1, sizeof *x);
    if (x == NULL)
        return 1;
    const struct ctl_option options[] = {
        CTL_STORE_WHERE(w), {"--force", NULL, &x->force}, {"--json", NULL, &x->as_json}};
    const char *words[2] = {NULL, NULL};
    size_t count = 0;
    int r = ctl_parse(argc, argv, import_usage, options, ARRAY_LEN(options), words, 2, &count);
    if (r == 0)
        ctl_store_take_path(&w, words, &count, count == 2);
    if (r == 0 && count != 1) {
        (void)fprintf(stderr, "weirctl: import needs one store and FILE.tar\n%s", import_usage);
        r = 2;
    }
    if (r != 0) {
        free(x);
        return r == 3 ? 0 : r;
    }
    struct err err = {0};
    char size[CTL_SIZE_TEXT];
    x->file = words[0];
    x->bar.what = "import";
    ctl_catch_interrupts();
    r = import_run(x, &w, &err);
    uint64_t refused = x->refused;
    if (r == 0 && x->as_json)
        printf("{\"blobs\":%" PRIu64 ",\"new\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"moved\":%" PRIu64
               ",\"same\":%" PRIu64 ",\"refused\":%" PRIu64 "}\n",
               x->blobs, x->blobs - x->there, x->bytes, x->moved, x->same, x->refused);
    else if (r == 0)
        printf("%" PRIu64 " blob%s of %s, %" PRIu64 " new; %" PRIu64 " ref%s moved, %" PRIu64
               " as before, %" PRIu64 " left alone\n",
               x->blobs, ctl_s(x->blobs), ctl_size_human(x->bytes, size), x->blobs - x->there,
               x->moved, ctl_s(x->moved), x->same, x->refused);
    free(x);
    if (r == -EINTR)
        return ctl_say_interrupted("the same command goes on from here");
    return r < 0 ? ctl_fail(&err) : refused > 0 ? 1 : 0;
}
