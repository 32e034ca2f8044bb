/* SPDX-License-Identifier: Apache-2.0 */
#include "devices_fixture.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/file.h"

void devices_new(struct devices *d, const char *kinds)
{
    unsigned count = (unsigned)strlen(kinds);
    memset(d, 0, sizeof *d);
    fixture_new(&d->f);
    path_io_init(&d->io, d->f.options.io != NULL ? d->f.options.io : io_default());
    d->f.options.io = &d->io.ops;
    assert_in_range(count, 1, DEVICES_MAX);
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(d->paths[i], sizeof d->paths[i], "%s/%c", d->f.folder, 'a' + (int)i);
        d->list[i] = (struct store_device){.path = d->paths[i], .cold = kinds[i] == 'c'};
        d->rules[i] = path_io_rule(&d->io, d->paths[i]);
    }
    d->f.options.devices = d->list;
    d->f.options.devices_count = count;
}

void devices_free(struct devices *d)
{
    fixture_free(&d->f);
}

uint32_t devices_of(struct devices *d, uint64_t seed, uint32_t size)
{
    struct digest digest;
    struct store_blob blob = {.device = 0};
    rbuf_unref(fixture_blob(seed, size, &digest));
    int r = store_blob_look(d->f.worker, &digest, &blob);
    assert_true(r == 0 || r == -ENOENT);
    return blob.device;
}

struct store_device_stat devices_stat(struct devices *d, unsigned i)
{
    struct store_device_stat stat = {.id = 0};
    assert_int_equal(store_device_stat(d->f.store, i, &stat), 0);
    return stat;
}

unsigned devices_files(const char *folder, const char *suffix)
{
    unsigned count = 0;
    DIR *dir = opendir(folder);
    const struct dirent *e;
    while (dir != NULL && (e = readdir(dir)) != NULL)
        count += e->d_name[0] != '.' && str_ends(str_of(e->d_name), str_of(suffix));
    if (dir != NULL)
        (void)closedir(dir);
    return count;
}

static void snapshot_add(const char *folder, struct digest_state *all)
{
    struct dirent **names = NULL;
    int n = scandir(folder, &names, NULL, alphasort);
    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        const char *name = names[i]->d_name;
        char path[512];
        struct stat st;
        (void)snprintf(path, sizeof path, "%s/%s", folder, name);
        assert_int_equal(lstat(path, &st), 0);
        bool skip = name[0] == '.' || strcmp(name, "lock.mdb") == 0 || strcmp(name, "lock") == 0;
        if (!skip)
            digest_state_update(all, path, strlen(path) + 1);
        if (!skip && S_ISDIR(st.st_mode))
            snapshot_add(path, all);
        if (!skip && S_ISREG(st.st_mode)) {
            struct buf bytes = BUF_EMPTY;
            assert_int_equal(file_read(path, 64 << 20, &bytes), 0);
            digest_state_update(all, bytes.data, bytes.size);
            buf_free(&bytes);
        }
        free(names[i]);
    }
    free(names);
}

struct digest devices_snapshot(const char *folder)
{
    struct digest_state *all = NULL;
    assert_int_equal(digest_state_new(&all), 0);
    snapshot_add(folder, all);
    struct digest d = digest_state_final(all);
    digest_state_free(all);
    return d;
}

void devices_refused(struct fixture *f, int code, const char *words)
{
    struct err err = {{0}};
    struct store *s = NULL;
    struct digest before = devices_snapshot(f->folder);
    int r = store_open(&f->options, &err, &s);
    if (r != code || strstr(err.text, words) == NULL || strchr(err.text, '\n') != NULL)
        fail_msg("wanted %d and \"%s\", got %d: %s", code, words, r, err.text);
    assert_null(s);
    struct digest after = devices_snapshot(f->folder);
    assert_true(digest_eq(&before, &after));
}
