/* SPDX-License-Identifier: Apache-2.0 */
/* weirctl store get and put: single blobs. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "store_ctl.h"

#define PUT_FILES_MAX 4096u

static const char get_usage[] =
    "usage: weirctl store get [PATH | --config FILE | --state FOLDER [--edge]] DIGEST [-o FILE]\n"
    "\n"
    "Writes the blob's bytes, verified, to FILE or to stdout; to a terminal only with -o "
    "-.\n" CTL_STORE_WHERE_USAGE;
static const char put_usage[] =
    "usage: weirctl store put [PATH | --config FILE | --state FOLDER [--edge]] FILE... [--json]\n"
    "\n"
    "Puts each file as a blob and prints its digest when it is durable. What no ref comes to name\n"
    "is reclaimed after the store's `unreferenced_after`, 24 h unless configured. PATH must be\n"
    "there; an empty folder becomes a store.\n" CTL_STORE_WHERE_USAGE;

/* --- get -------------------------------------------------------------------------------------- */

static int get_write(const char *file, struct rbuf *blob, struct err *err)
{
    uint32_t size;
    const uint8_t *bytes = rbuf_data(blob, &size);
    if (file != NULL && strcmp(file, "-") != 0) {
        int r = file_write(file, (struct str){(const char *)bytes, size}, 0644);
        return r < 0 ? err_errno(err, r, "writing %s", file) : 0;
    }
    int r = file_write_all(STDOUT_FILENO, bytes, size);
    return r < 0 ? err_errno(err, r, "writing to stdout") : 0;
}

int ctl_store_get(int argc, char **argv)
{
    struct ctl_store_where w = {0};
    const char *file = NULL;
    const struct ctl_option options[] = {CTL_STORE_WHERE(w), {"-o", &file, NULL}};
    const char *words[2] = {NULL, NULL};
    struct digest d;
    size_t count = 0;
    int r = ctl_parse(argc, argv, get_usage, options, ARRAY_LEN(options), words, 2, &count);
    if (r != 0)
        return r == 3 ? 0 : r;
    ctl_store_take_path(&w, words, &count, count == 2);
    if (count != 1 || digest_parse(str_of(words[0]), &d) < 0) {
        (void)fprintf(stderr, "weirctl: get needs a digest: 32 of 0-9 and a-f\n%s", get_usage);
        return 2;
    }
    struct err err = {0};
    if (file == NULL && isatty(STDOUT_FILENO) == 1) {
        (void)err_set(&err, -EINVAL,
                      "stdout is a terminal and a blob is not for eyes: say -o FILE, or -o -");
        return ctl_fail(&err);
    }
    struct ctl_store s;
    CLEAN(rbuf_unref) struct rbuf *blob = NULL;
    r = ctl_store_open(&w, CTL_STORE_READ_TIER, &s, &err);
    if (r == 0)
        r = ctl_store_read(&s, &d, &blob, &err);
    if (r == 0)
        r = get_write(file, blob, &err);
    ctl_store_close(&s);
    return r < 0 ? ctl_fail(&err) : 0;
}

/* --- put -------------------------------------------------------------------------------------- */

struct put_done {
    bool done;
    int res;
};

static void put_on_done(void *arg, int res)
{
    struct put_done *p = arg;
    p->done = true;
    p->res = res;
}

static int put_read(const char *file, struct rbuf **ret, struct err *err)
{
    CLEAN(base_close) int fd = open(file, O_RDONLY | O_CLOEXEC);
    struct stat st;
    uint32_t cap_size, size = 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, -errno, "opening %s", file);
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EINVAL, "%s is not a regular file", file);
    if ((uint64_t)st.st_size > STORE_BLOB_MAX)
        return err_set(err, -EFBIG, "%s has more than the %u MiB that a blob may have", file,
                       STORE_BLOB_MAX >> 20);
    CLEAN(rbuf_unref) struct rbuf *b = NULL;
    int r = rbuf_new(MAX((uint32_t)st.st_size, 1U), &b);
    if (r < 0)
        return err_errno(err, r, "reading %s", file);
    uint8_t *bytes = rbuf_space(b, &cap_size);
    while (size < (uint32_t)st.st_size) {
        ssize_t n = read(fd, bytes + size, (uint32_t)st.st_size - size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_errno(err, n < 0 ? -errno : -ENODATA, "reading %s", file);
        size += (uint32_t)n;
    }
    rbuf_window(b, 0, size);
    *ret = rbuf_ref(b);
    return 0;
}

static int put_file(struct ctl_store *s, const char *file, bool as_json, struct err *err)
{
    CLEAN(rbuf_unref) struct rbuf *blob = NULL;
    struct put_done p = {.done = false};
    char hex[DIGEST_TEXT_SIZE];
    uint32_t size;
    int r = put_read(file, &blob, err);
    if (r < 0)
        return r;
    const uint8_t *bytes = rbuf_data(blob, &size);
    struct digest d = digest_of(bytes, size);
    digest_format(&d, hex);
    bool was_there = store_has(s->worker, &d);
    store_put(s->worker, &d, blob, 0, put_on_done, &p);
    store_worker_wait(s->worker, &p.done);
    if (p.res == -ENOSPC)
        return err_set(err, p.res, "%s: the store's disk is full", file);
    if (p.res == -EEXIST)
        return err_set(err, p.res, "%s: the store has other bytes with the digest %s", file, hex);
    if (p.res < 0)
        return err_errno(err, p.res, "putting %s", file);
    if (as_json) {
        CLEAN_BUF struct buf b = BUF_EMPTY;
        buf_put_json_string(&b, str_of(file));
        printf("{\"digest\":\"%s\",\"length\":%u,\"new\":%s,\"file\":" STR_FMT "}\n", hex, size,
               was_there ? "false" : "true", STR_ARG(buf_str(&b)));
    } else {
        printf("%s  %s\n", hex, file);
    }
    (void)fflush(stdout);
    return 0;
}

int ctl_store_put(int argc, char **argv)
{
    struct ctl_store_where w = {0};
    bool as_json = false;
    const struct ctl_option options[] = {CTL_STORE_WHERE(w), {"--json", NULL, &as_json}};
    const char **words = calloc(PUT_FILES_MAX, sizeof *words);
    size_t count = 0;
    if (words == NULL)
        return 1;
    int r =
        ctl_parse(argc, argv, put_usage, options, ARRAY_LEN(options), words, PUT_FILES_MAX, &count);
    if (r != 0) {
        free(words);
        return r == 3 ? 0 : r;
    }
    ctl_store_take_path(&w, words, &count, false);
    if (count == 0) {
        (void)fprintf(stderr, "weirctl: put needs files\n%s", put_usage);
        free(words);
        return 2;
    }
    struct err err = {0};
    struct ctl_store s;
    ctl_catch_interrupts();
    r = ctl_store_open(&w, CTL_STORE_WRITE, &s, &err);
    for (size_t i = 0; i < count && r == 0 && !ctl_interrupted(); i++)
        r = put_file(&s, words[i], as_json, &err);
    ctl_store_close(&s);
    free(words);
    if (r == 0 && ctl_interrupted())
        return ctl_say_interrupted("what was printed is in the store");
    return r < 0 ? ctl_fail(&err) : 0;
}
