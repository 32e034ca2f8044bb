/* SPDX-License-Identifier: Apache-2.0 */
/* index_priv: what the files behind index.h share. LMDB is seen by them alone.
 *
 * Life:    see index.h.
 * Owner:   see index.h.
 * Threads: see index.h.
 * Errors:  0 or -errno: index_err translates LMDB's.
 * Units:   bytes. */
#pragma once
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include "store/index.h"
#include "store/room.h"

enum index_db {
    INDEX_META,
    INDEX_BLOBS,
    INDEX_EXTENTS,
    INDEX_HOLDS,
    INDEX_LINKS,
    INDEX_ORPHANS,
    INDEX_DEVICES,
    INDEX_VOLUMES,
    INDEX_HOLES,
    INDEX_ERRANDS,
    INDEX_REFS,
    INDEX_DBS
};

struct index {
    uint32_t magic;
#define INDEX_MAGIC UINT32_C(0x1de8e002)
    MDB_env *env;
    MDB_dbi dbs[INDEX_DBS];
    uint8_t store_id[FORMAT_ID_SIZE];
    pthread_mutex_t lock; /* the list of readers; held while the map changes its size */
    struct index_reader *readers;
    struct room room; /* the writer's */
};

struct index_reader {
    uint32_t magic;
#define INDEX_READER_MAGIC UINT32_C(0x1de8ead3)
    struct index *index;
    struct index_reader *next;
    pthread_mutex_t lock; /* held while txn is in use: the map must not move then */
    MDB_txn *txn;         /* reset between calls */
};

struct index_txn {
    struct index *index;
    MDB_txn *txn;
    int lmdb; /* LMDB's own number of what went wrong last */
};

/* index_room.c */
void index_room_open(struct index *x, const char *folder);
void index_room_fill(struct index *x); /* after each transaction */

int index_err(int e);
/* The same within a write transaction, which remembers a full map. */
int index_txn_err(struct index_txn *t, int e);
MDB_val index_val(const void *data, size_t size);

/* size: what the value must have. */
MUST_USE int index_get_row(MDB_txn *txn, MDB_dbi dbi, MDB_val key, void *out, size_t size);
MUST_USE int index_put_row(struct index_txn *t, enum index_db db, MDB_val key, const void *row,
                           size_t size);
MUST_USE int index_delete_row(struct index_txn *t, enum index_db db, MDB_val key);

/* Between these two the reader's transaction is up and the map stays where it is. */
MUST_USE int index_read_begin(struct index_reader *r);
void index_read_end(struct index_reader *r);

/* Walks db from a key on (NULL: the first; after: behind it) until each returns other than 0: > 0
 * ends it well, < 0 with that error. */
typedef int index_row_each(void *arg, const MDB_val *key, const MDB_val *value);
MUST_USE int index_walk(struct index_reader *r, enum index_db db, const MDB_val *from, bool after,
                        index_row_each *each, void *arg);
