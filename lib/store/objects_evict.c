/* SPDX-License-Identifier: Apache-2.0 */
/* The longest unused records go first, nearly: a hand goes round over the keys, which are digests,
 * so that what it sees next is a fair sample; of each sample the older part goes. The uses lie in
 * a table of their own, small and beside each other. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include "store/index_priv.h"
#include "store/objects_priv.h"

#define EVICT_SAMPLE  1024u
#define EVICT_PART    4u  /* of a sample go */
#define EVICT_SAMPLES 16u /* in one transaction */

struct evict_use {
    struct digest key;
    struct objects_use use;
};

struct use_disk {
    uint32_t used_s, bytes;
};

int objects_use_get(struct objects *o, MDB_txn *txn, const struct digest *key,
                    struct objects_use *ret)
{
    struct use_disk d;
    int r =
        index_get_row(txn, o->dbs[OBJECTS_USES], index_val(key->bytes, DIGEST_SIZE), &d, sizeof d);
    if (r == 0)
        *ret = (struct objects_use){le32toh(d.used_s), le32toh(d.bytes)};
    return r;
}

int objects_use_put(struct objects *o, MDB_txn *txn, const struct digest *key,
                    const struct objects_use *use)
{
    struct use_disk d = {htole32(use->used_s), htole32(use->bytes)};
    MDB_val k = index_val(key->bytes, DIGEST_SIZE), value = index_val(&d, sizeof d);
    return index_err(mdb_put(txn, o->dbs[OBJECTS_USES], &k, &value, 0));
}

int objects_row_delete(struct objects *o, MDB_txn *txn, const struct digest *key, uint64_t *bytes)
{
    struct objects_use use = {0};
    MDB_val k = index_val(key->bytes, DIGEST_SIZE);
    int r = objects_use_get(o, txn, key, &use);
    if (r == 0)
        r = index_err(mdb_del(txn, o->dbs[OBJECTS_USES], &k, NULL));
    if (r < 0 && r != -ENOENT)
        return r;
    r = index_err(mdb_del(txn, o->dbs[OBJECTS_RECORDS], &k, NULL));
    *bytes -= MIN(*bytes, use.bytes);
    return r == -ENOENT ? 0 : r;
}

/* What comes behind the hand, and goes on with the first at the end. */
static int evict_sample(struct objects *o, MDB_txn *txn, struct evict_use *sample, unsigned max,
                        unsigned *ret_count)
{
    MDB_cursor *c = NULL;
    MDB_val key = index_val(o->hand.bytes, DIGEST_SIZE), value;
    unsigned count = 0;
    int r = index_err(mdb_cursor_open(txn, o->dbs[OBJECTS_USES], &c));
    if (r < 0)
        return r;
    r = index_err(mdb_cursor_get(c, &key, &value, MDB_SET_RANGE));
    while (r == 0 && count < max) {
        struct use_disk d;
        if (key.mv_size != DIGEST_SIZE || value.mv_size != sizeof d) {
            r = -EBADMSG;
            break;
        }
        memcpy(&d, value.mv_data, sizeof d);
        memcpy(sample[count].key.bytes, key.mv_data, DIGEST_SIZE);
        sample[count++].use = (struct objects_use){le32toh(d.used_s), le32toh(d.bytes)};
        r = index_err(mdb_cursor_get(c, &key, &value, MDB_NEXT));
    }
    if (r == 0)
        memcpy(o->hand.bytes, key.mv_data, DIGEST_SIZE);
    mdb_cursor_close(c);
    if (r == -ENOENT) {
        o->hand = (struct digest){{0}};
        r = 0;
    }
    if (r == 0)
        *ret_count = count;
    return r;
}

static int evict_compare(const void *a, const void *b)
{
    uint32_t x = ((const struct evict_use *)a)->use.used_s;
    uint32_t y = ((const struct evict_use *)b)->use.used_s;
    return x < y ? -1 : x > y;
}

static int evict_rows(struct objects *o, MDB_txn *txn, const struct evict_use *sample,
                      unsigned count, uint64_t max, uint64_t *bytes)
{
    for (unsigned i = 0; i<count && * bytes> max; i++) {
        int r = objects_row_delete(o, txn, &sample[i].key, bytes);
        if (r < 0)
            return r;
        atomic_fetch_add_explicit(&o->evicted, 1, memory_order_relaxed);
        metric_add(o->m_evicted, 1);
    }
    return 0;
}

int objects_evict(struct objects *o, MDB_txn *txn, uint64_t max, uint64_t *bytes)
{
    if (*bytes <= max)
        return 0;
    struct evict_use *sample = calloc(EVICT_SAMPLE, sizeof *sample);
    int r = sample == NULL ? -ENOMEM : 0;
    for (unsigned i = 0; i < EVICT_SAMPLES && r == 0 && *bytes > max; i++) {
        unsigned count = 0;
        r = evict_sample(o, txn, sample, EVICT_SAMPLE, &count);
        if (r < 0)
            break;
        if (count == 0) {
            /* At the end, or nothing is left: then the sum was wrong. */
            MDB_stat stat = {0};
            (void)mdb_stat(txn, o->dbs[OBJECTS_USES], &stat);
            if (stat.ms_entries == 0)
                *bytes = 0;
            continue;
        }
        qsort(sample, count, sizeof *sample, evict_compare);
        r = evict_rows(o, txn, sample, MAX(count / EVICT_PART, 1u), max, bytes);
    }
    free(sample);
    return r;
}

int objects_evict_range(struct objects *o, MDB_txn *txn, uint64_t *bytes)
{
    unsigned count = 0;
    struct evict_use *sample = calloc(EVICT_SAMPLE, sizeof *sample);
    int r = sample == NULL ? -ENOMEM : 0;
    for (unsigned i = 0; i < 2 && r == 0 && count == 0; i++) /* the hand may be at the end */
        r = evict_sample(o, txn, sample, EVICT_SAMPLE, &count);
    if (r == 0)
        r = evict_rows(o, txn, sample, count, 0, bytes);
    free(sample);
    return r;
}
