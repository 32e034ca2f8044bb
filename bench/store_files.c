/* SPDX-License-Identifier: Apache-2.0 */
/* store-files: the peer that most origins are: a file for each segment, in 256 folders by name.
 * puts: write a temporary file, fsync, rename, fsync of the folder, by `threads` writers.
 * gets: random files, pread of the whole, XXH3-128 over it.
 * direct=1: O_DIRECT on both, else the page cache. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "store_case.h"

#define FILES_FOLDERS 256u
#define FILES_PATH    4096
#define FILES_ALIGN   ((size_t)4096)

struct files {
    const struct case_options *options;
    uint8_t *pool;
    struct digest *digests;
};

static void files_path(const struct files *f, uint64_t i, const char *suffix, char out[FILES_PATH])
{
    char text[DIGEST_TEXT_SIZE];
    digest_format(&f->digests[i], text);
    int n = snprintf(out, FILES_PATH, "%s/%.2s/%s%s", f->options->folder, text, text, suffix);
    ASSERT(n > 0);
    ASSERT(n < FILES_PATH);
}

static int files_make_folders(const struct files *f)
{
    char path[FILES_PATH];
    int r = file_mkdirs(f->options->folder);
    for (unsigned i = 0; i < FILES_FOLDERS && r == 0; i++) {
        (void)snprintf(path, sizeof path, "%s/%02x", f->options->folder, i);
        r = file_mkdirs(path);
    }
    return r == 0 ? file_sync_folder(f->options->folder) : r;
}

static int files_begin(void *arg, unsigned thread, void **ret_state)
{
    (void)thread;
    *ret_state = arg;
    return 0;
}

static int files_write(const struct files *f, uint64_t i, const char *path)
{
    uint64_t size = f->options->size;
    int direct = f->options->direct ? O_DIRECT : 0;
    CLEAN(base_close) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | direct, 0644);
    if (fd < 0)
        return -errno;
    int r = file_write_all(fd, f->pool + i * size, (size_t)size);
    return r == 0 && fsync(fd) != 0 ? -errno : r;
}

static int files_put(void *state, uint64_t i)
{
    const struct files *f = state;
    char made[FILES_PATH], path[FILES_PATH];
    files_path(f, i, ".new", made);
    files_path(f, i, "", path);
    int r = files_write(f, i, made);
    if (r < 0)
        return r;
    if (rename(made, path) != 0)
        return -errno;
    *strrchr(path, '/') = 0;
    return file_sync_folder(path);
}

static int files_puts(struct files *f)
{
    struct case_clock clock;
    const struct case_options *o = f->options;
    int r = case_pool(o->count, o->size, &f->pool);
    if (r == 0)
        r = files_make_folders(f);
    const struct case_job job = {.threads = o->threads,
                                 .count = o->count,
                                 .arg = f,
                                 .begin = files_begin,
                                 .item = files_put};
    if (r == 0)
        r = case_run(&job, &clock);
    case_pool_free(f->pool, o->count, o->size);
    if (r == 0)
        case_print_rate(o->count * o->size, &clock, "");
    return r;
}

static int files_get(const struct files *f, uint64_t i, uint8_t *into)
{
    char path[FILES_PATH];
    struct stat st;
    files_path(f, i, "", path);
    CLEAN(base_close)
    int fd = open(path, O_RDONLY | O_CLOEXEC | (f->options->direct ? O_DIRECT : 0));
    if (fd < 0 || fstat(fd, &st) != 0)
        return -errno;
    if ((uint64_t)st.st_size != f->options->size)
        return -EBADMSG;
    ssize_t n = pread(fd, into, (size_t)f->options->size, 0);
    if (n != st.st_size)
        return n < 0 ? -errno : -EIO;
    struct digest is = digest_of(into, (size_t)n);
    return digest_eq(&is, &f->digests[i]) ? 0 : -EBADMSG;
}

static int files_gets(struct files *f)
{
    const struct case_options *o = f->options;
    struct case_clock clock;
    uint64_t random = 88172645463325252u, gets = 0;
    uint8_t *into = aligned_alloc(FILES_ALIGN, (size_t)o->size);
    int r = into != NULL ? 0 : -ENOMEM;
    /* All of it once: the page cache holds what it can, and the time has nothing cold in it. */
    for (uint64_t i = 0; i < o->count && r == 0; i++)
        r = files_get(f, i, into);
    case_clock_start(&clock);
    uint64_t end_us = clock_mono_us() + (uint64_t)(o->seconds * 1e6);
    while (r == 0 && clock_mono_us() < end_us) {
        r = files_get(f, case_random(&random) % o->count, into);
        gets++;
    }
    case_clock_stop(&clock);
    free(into);
    if (r == 0)
        case_print_rate(gets * o->size, &clock, "");
    return r;
}

static int files_digests(struct files *f)
{
    const struct case_options *o = f->options;
    uint8_t *blob = malloc((size_t)o->size);
    f->digests = calloc((size_t)o->count, sizeof *f->digests);
    if (blob == NULL || f->digests == NULL) {
        free(blob);
        return -ENOMEM;
    }
    for (uint64_t i = 0; i < o->count; i++) {
        case_blob(i, o->size, blob);
        f->digests[i] = digest_of(blob, (size_t)o->size);
    }
    free(blob);
    return 0;
}

int main(int argc, char **argv)
{
    struct case_options o;
    case_options_read(argc, argv, &o);
    struct files f = {.options = &o};
    if (o.count == 0)
        return case_fail(o.name, -EINVAL);
    int r = files_digests(&f);
    if (r == 0 && strcmp(o.name, "puts") == 0)
        r = files_puts(&f);
    else if (r == 0 && strcmp(o.name, "gets") == 0)
        r = files_gets(&f);
    else if (r == 0)
        r = -EINVAL;
    free(f.digests);
    return r < 0 ? case_fail(o.name, r) : 0;
}
