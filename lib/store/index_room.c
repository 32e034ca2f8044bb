/* SPDX-License-Identifier: Apache-2.0 */
/* The room of the index: see room.h. While it is low nothing new comes into the store. */
#include "store/index_priv.h"

static uint64_t index_room_used(struct index *x)
{
    MDB_envinfo info = {0};
    MDB_stat stat = {0};
    (void)pthread_mutex_lock(&x->lock);
    (void)mdb_env_info(x->env, &info); /* these fail for a NULL only */
    (void)mdb_env_stat(x->env, &stat);
    (void)pthread_mutex_unlock(&x->lock);
    return ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
}

void index_room_open(struct index *x, const char *folder)
{
    room_open(&x->room, folder, index_room_used(x));
}

void index_room_fill(struct index *x)
{
    if (x->room.fd >= 0)
        room_fill(&x->room, index_room_used(x));
}

bool index_room_was_low(const struct index *x)
{
    return atomic_load_explicit(&x->room.low, memory_order_relaxed);
}

bool index_room_low(struct index *x)
{
    if (x->room.low)
        index_room_fill(x);
    return x->room.low;
}
