/* SPDX-License-Identifier: Apache-2.0 */
/* store-rocks: the peer RocksDB with its blob files (BlobDB), synced writes.
 * puts: `threads` writers, each Put durable before the next; RocksDB groups those that wait. The
 * log is recycled (its blocks are there already when it is synced), nothing is compressed, flushes
 * bypass the page cache, and a flush that is still to come after the last Put is not counted. */
#include <errno.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/digest.h"
#include "base/file.h"
#include "store_case.h"

#define ROCKS_BLOB_FILE (UINT64_C(256) << 20)
#define ROCKS_BLOB_MIN  4096u
#define ROCKS_MEMTABLES 4

struct rocks {
    const struct case_options *options;
    rocksdb_t *db;
    rocksdb_writeoptions_t *write;
    uint8_t *pool;
    struct digest *digests;
};

static int rocks_failed(char *why)
{
    if (why == NULL)
        return 0;
    (void)fprintf(stderr, "store-rocks: %s\n", why);
    rocksdb_free(why);
    return -EIO;
}

static int rocks_open(struct rocks *x)
{
    char *why = NULL;
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_increase_parallelism(o, 2);
    rocksdb_options_set_compression(o, rocksdb_no_compression);
    rocksdb_options_set_write_buffer_size(o, (size_t)x->options->buffer);
    rocksdb_options_set_max_write_buffer_number(o, ROCKS_MEMTABLES);
    rocksdb_options_set_recycle_log_file_num(o, ROCKS_MEMTABLES);
    rocksdb_options_set_use_direct_io_for_flush_and_compaction(o, 1);
    rocksdb_options_set_enable_pipelined_write(o, 1);
    rocksdb_options_set_enable_blob_files(o, 1);
    rocksdb_options_set_min_blob_size(o, ROCKS_BLOB_MIN);
    rocksdb_options_set_blob_file_size(o, ROCKS_BLOB_FILE);
    rocksdb_options_set_blob_compression_type(o, rocksdb_no_compression);
    x->db = rocksdb_open(o, x->options->folder, &why);
    rocksdb_options_destroy(o);
    x->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(x->write, 1);
    return rocks_failed(why);
}

static int rocks_begin(void *arg, unsigned thread, void **ret_state)
{
    (void)thread;
    *ret_state = arg;
    return 0;
}

static int rocks_put(void *state, uint64_t i)
{
    const struct rocks *x = state;
    uint64_t size = x->options->size;
    char *why = NULL;
    rocksdb_put(x->db, x->write, (const char *)x->digests[i].bytes, DIGEST_SIZE,
                (const char *)x->pool + i * size, (size_t)size, &why);
    return rocks_failed(why);
}

static int rocks_puts(struct rocks *x)
{
    const struct case_options *o = x->options;
    struct case_clock clock;
    int r = case_pool(o->count, o->size, &x->pool);
    x->digests = calloc((size_t)o->count, sizeof *x->digests);
    if (r == 0 && x->digests == NULL)
        r = -ENOMEM;
    for (uint64_t i = 0; i < o->count && r == 0; i++)
        x->digests[i] = digest_of(x->pool + i * o->size, (size_t)o->size);
    if (r == 0)
        r = file_mkdirs(o->folder);
    if (r == 0)
        r = rocks_open(x);
    const struct case_job job = {.threads = o->threads,
                                 .count = o->count,
                                 .arg = x,
                                 .begin = rocks_begin,
                                 .item = rocks_put};
    if (r == 0)
        r = case_run(&job, &clock);
    if (r == 0)
        case_print_rate(o->count * o->size, &clock, "");
    if (x->db != NULL)
        rocksdb_close(x->db);
    if (x->write != NULL)
        rocksdb_writeoptions_destroy(x->write);
    case_pool_free(x->pool, o->count, o->size);
    free(x->digests);
    return r;
}

int main(int argc, char **argv)
{
    struct case_options o;
    case_options_read(argc, argv, &o);
    struct rocks x = {.options = &o};
    int r = o.count > 0 && strcmp(o.name, "puts") == 0 ? rocks_puts(&x) : -EINVAL;
    return r < 0 ? case_fail(o.name, r) : 0;
}
