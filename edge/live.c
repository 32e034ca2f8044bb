/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/live.h"
#include <errno.h>
#include <stdlib.h>

struct live *live_ref(struct live *l)
{
    ASSERT(l->magic == LIVE_MAGIC);
    atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
    return l;
}

struct live *live_unref(struct live *l)
{
    if (l == NULL)
        return NULL;
    ASSERT(l->magic == LIVE_MAGIC);
    if (atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    for (unsigned i = 0; i < l->count; i++)
        token_ring_free(l->rings[i]);
    geo_free(l->geo);
    MAGIC_CLEAR(l);
    free(l);
    return NULL;
}

int live_open(const struct routes *routes, const char *geo_file, struct err *err, struct live **ret)
{
    struct live *l = calloc(1, sizeof *l);
    if (l == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    l->magic = LIVE_MAGIC;
    l->refs = 1;
    l->count = routes_count(routes);
    int r = 0;
    for (unsigned i = 0; i < l->count && r == 0; i++) {
        const char *path = routes_at(routes, i)->config->token_ring_file;
        if (path != NULL)
            r = token_ring_load(path, &l->rings[i], err);
    }
    if (r == 0 && geo_file != NULL)
        r = geo_open(geo_file, &l->geo, err);
    if (r < 0) {
        live_unref(l);
        return r;
    }
    *ret = l;
    return 0;
}
