/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_look.h"
#include <errno.h>
#include <stdlib.h>
#include "base/file.h"
#include "store/index_priv.h"

static int look_device(void *arg, const struct index_device *d)
{
    struct store_look *l = arg;
    if (l->devices_count == STORE_LOOK_DEVICES_MAX)
        return -EOVERFLOW;
    l->devices[l->devices_count].cold = d->kind == FORMAT_COLD;
    return str_copy(str_of(d->path), l->devices[l->devices_count++].path, STORE_LOOK_PATH_MAX);
}

static int look_sizes(struct index *x, struct store_look *l)
{
    MDB_envinfo info = {0};
    MDB_stat stat = {0};
    int r = index_err(mdb_env_set_mapsize(x->env, 0)); /* what the process that writes has */
    if (r == 0)
        r = index_err(mdb_env_info(x->env, &info));
    if (r == 0)
        r = index_err(mdb_env_stat(x->env, &stat));
    if (r < 0)
        return r;
    l->index_bytes = (uint64_t)stat.ms_psize * (info.me_last_pgno + 1);
    l->index_map = info.me_mapsize;
    return 0;
}

int store_look(const char *path, struct store_look *ret, struct err *err)
{
    CLEAN(base_free) char *folder = file_join(path, "index");
    struct store_look *l = calloc(1, sizeof *l);
    struct index *x = NULL;
    struct index_reader *reader = NULL;
    if (folder == NULL || l == NULL) {
        free(l);
        return err_errno(err, -ENOMEM, "reading the store %s", path);
    }
    int r = index_open(folder, 0, INDEX_READ_ONLY, NULL, err, &x);
    if (r == 0) {
        r = look_sizes(x, l);
        if (r == 0)
            r = index_reader_new(x, &reader);
        if (r == 0)
            r = index_devices(reader, look_device, l);
        if (r == 0)
            r = index_counted(reader, &l->counted);
        if (r < 0)
            err_errno(err, r, "reading the index of %s", path);
    }
    index_reader_free(reader);
    index_close(x);
    if (r == 0)
        *ret = *l;
    free(l);
    return r;
}
