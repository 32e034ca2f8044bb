/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/spool.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/file.h"
#include "base/log.h"

bool spool_is_id(struct str id)
{
    for (size_t i = 0; i < id.size; i++)
        if (strchr("0123456789abcdef", id.data[i]) == NULL || id.data[i] == '\0')
            return false;
    return id.size == SPOOL_ID_SIZE - 1;
}

int spool_open(const char *state, char **ret, struct err *err)
{
    CLEAN(base_free) char *folder = file_join(state, "uploads");
    int r = folder == NULL ? -ENOMEM : file_mkdirs(folder);
    char *path = r < 0 ? NULL : realpath(folder, NULL);
    if (r == 0 && path == NULL)
        r = -errno;
    if (r < 0)
        return err_errno(err, r, "making the folder of uploads in %s", state);
    *ret = path;
    return 0;
}

char *spool_path(const char *folder, const char *id, bool is_part)
{
    char name[SPOOL_ID_SIZE + sizeof ".part"];
    (void)snprintf(name, sizeof name, "%s%s", id, is_part ? ".part" : "");
    return file_join(folder, name);
}

bool spool_owns(const char *folder, const char *path)
{
    struct str p = str_of(path);
    struct str f = str_of(folder);
    return str_starts(p, f) && p.size > f.size && p.data[f.size] == '/' &&
           spool_is_id(str_skip(p, f.size + 1));
}

void spool_remove(const char *path)
{
    if (unlink(path) < 0 && errno != ENOENT)
        log_error("%s cannot be removed: %s", path, strerror(errno));
}

void spool_sweep(const char *folder, bool (*is_named)(void *arg, const char *path), void *arg)
{
    DIR *d = opendir(folder);
    unsigned count = 0;
    if (d == NULL) {
        log_error("%s cannot be read: %s", folder, strerror(errno));
        return;
    }
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        CLEAN(base_free) char *path = e->d_name[0] == '.' ? NULL : file_join(folder, e->d_name);
        if (path == NULL || is_named(arg, path))
            continue;
        spool_remove(path);
        count++;
    }
    (void)closedir(d); /* it was read only */
    if (count > 0)
        log_info("%u uploads without a job are removed", count);
}
