/* SPDX-License-Identifier: Apache-2.0 */
/* What is newer, another store's, or nobody's is refused with a sentence, and not a byte is
 * changed. */
#include "store/store.h"
#include <dirent.h>
#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "store/format.h"
#include "store_fixture.h"

static void add_file(const char *path, struct buf *all)
{
    buf_puts(all, path);
    assert_int_equal(file_read(path, 64 << 20, all), 0);
}

/* Names and bytes of the volumes and of the index (whose lock file LMDB may touch). */
static struct digest snapshot(const struct fixture *f)
{
    struct buf all = BUF_EMPTY;
    char path[400];
    struct dirent **names = NULL;
    (void)snprintf(path, sizeof path, "%s/warm", f->path);
    int n = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        struct stat st;
        (void)snprintf(path, sizeof path, "%s/warm/%s", f->path, names[i]->d_name);
        assert_int_equal(lstat(path, &st), 0);
        if (S_ISREG(st.st_mode))
            add_file(path, &all);
        free(names[i]);
    }
    free(names);
    (void)snprintf(path, sizeof path, "%s/index/data.mdb", f->path);
    if (access(path, F_OK) == 0)
        add_file(path, &all);
    assert_int_equal(buf_error(&all), 0);
    struct digest d = digest_of(all.data, all.size);
    buf_free(&all);
    return d;
}

static void refused(struct fixture *f, int code, const char *words)
{
    struct err err = {{0}};
    struct digest before = snapshot(f);
    struct store *s = NULL;
    int r = store_open(&f->options, &err, &s);
    if (r != code || strstr(err.text, words) == NULL)
        fail_msg("wanted %d and \"%s\", got %d: %s", code, words, r, err.text);
    assert_null(s);
    struct digest after = snapshot(f);
    assert_true(digest_eq(&before, &after));
}

static void filled(struct fixture *f)
{
    fixture_new(f);
    fixture_open(f);
    assert_int_equal(fixture_put_seed(f->worker, 1, 100000), 0);
    fixture_close(f);
}

static void refuse_test_volumes(void **state)
{
    (void)state;
    struct fixture f, other;
    struct buf bytes = BUF_EMPTY;
    char path[160], theirs[160];
    filled(&f);
    filled(&other);
    fixture_volume_path(&f, 1, path);
    fixture_volume_path(&other, 1, theirs);

    fixture_flip(path, offsetof(struct format_volume_disk, version), 3);
    refused(&f, -EPROTONOSUPPORT, "volume format 2 and this program knows only 1");
    fixture_flip(path, offsetof(struct format_volume_disk, version), 3);

    fixture_flip(path, 0, 1);
    refused(&f, -EBADMSG, "not a Weir volume");
    fixture_flip(path, 0, 1);

    fixture_flip(path, offsetof(struct format_volume_disk, size), 1);
    refused(&f, -EBADMSG, "header is damaged");
    fixture_flip(path, offsetof(struct format_volume_disk, size), 1);

    assert_int_equal(file_read(path, 64 << 20, &bytes), 0);
    assert_int_equal(unlink(path), 0);
    refused(&f, -EBADMSG, "is missing");
    assert_int_equal(rename(theirs, path), 0);
    refused(&f, -ESTALE, "another store");
    assert_int_equal(file_write(path, STR("hello"), 0644), 0);
    refused(&f, -EBADMSG, "not a Weir volume");
    assert_int_equal(file_write(path, buf_str(&bytes), 0644), 0);

    fixture_volume_path(&f, 7, theirs);
    assert_int_equal(file_write(theirs, buf_str(&bytes), 0644), 0);
    refused(&f, -EBADMSG, "not in the index");
    assert_int_equal(unlink(theirs), 0);

    fixture_open(&f); /* all is as it was */
    assert_int_equal(fixture_get_seed(f.worker, 1, 100000), 0);
    buf_free(&bytes);
    fixture_free(&f);
    fixture_free(&other);
}

/* What lies about and does not claim to be a volume is not ours to judge; what a crash left is. */
static void refuse_test_bystanders(void **state)
{
    (void)state;
    struct fixture f;
    char path[160];
    filled(&f);
    (void)snprintf(path, sizeof path, "%s/warm/lost+found", f.path);
    assert_int_equal(mkdir(path, 0755), 0);
    (void)snprintf(path, sizeof path, "%s/warm/notes.txt", f.path);
    assert_int_equal(file_write(path, STR("x"), 0644), 0);
    (void)snprintf(path, sizeof path, "%s/warm/00000002.new", f.path);
    assert_int_equal(file_write(path, STR("half a volume"), 0644), 0);
    fixture_open(&f);
    assert_int_equal(fixture_get_seed(f.worker, 1, 100000), 0);
    assert_int_equal(access(path, F_OK), -1);
    (void)snprintf(path, sizeof path, "%s/warm/notes.txt", f.path);
    assert_int_equal(access(path, F_OK), 0);
    fixture_free(&f);
}

static void set_index_format(const struct fixture *f, uint32_t version)
{
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    MDB_dbi dbi;
    char path[160];
    MDB_val key = {6, (void *)(uintptr_t) "format"}, value = {4, &version};
    (void)snprintf(path, sizeof path, "%s/index", f->path);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 16), 0);
    assert_int_equal(mdb_env_set_mapsize(env, f->options.index_size), 0);
    assert_int_equal(mdb_env_open(env, path, 0, 0644), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "meta", 0, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &key, &value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static void refuse_test_index(void **state)
{
    (void)state;
    struct fixture f;
    char path[160];
    struct buf zeroes = BUF_EMPTY;
    filled(&f);
    set_index_format(&f, FORMAT_INDEX_VERSION + 1);
    refused(&f, -EPROTONOSUPPORT, "format 3 and this program knows only 2");
    set_index_format(&f, FORMAT_INDEX_VERSION - 1);
    refused(&f, -EPROTONOSUPPORT, "older format 1");
    set_index_format(&f, FORMAT_INDEX_VERSION);
    fixture_open(&f);
    fixture_close(&f);

    (void)snprintf(path, sizeof path, "%s/index/data.mdb", f.path);
    while (zeroes.size < 20000)
        buf_puts(&zeroes, "no database ");
    assert_int_equal(file_write(path, buf_str(&zeroes), 0644), 0);
    refused(&f, -EBADMSG, "is not an index that this program can read");
    buf_free(&zeroes);

    (void)snprintf(path, sizeof path, "%s/index", f.path);
    assert_int_equal(file_remove_all(path), 0);
    refused(&f, -ENOENT, "volumes and no index");
    assert_int_equal(access(path, F_OK), -1); /* none was made */
    fixture_free(&f);
}

/* Somebody else's LMDB environment. */
static void refuse_test_foreign_index(void **state)
{
    (void)state;
    struct fixture f;
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    MDB_dbi dbi;
    char path[160];
    MDB_val key = {1, (void *)(uintptr_t) "k"}, value = {1, (void *)(uintptr_t) "v"};
    fixture_new(&f);
    (void)snprintf(path, sizeof path, "%s/index", f.path);
    assert_int_equal(file_mkdirs(path), 0);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, path, 0, 0644), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &key, &value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    refused(&f, -EBADMSG, "is not the index of a Weir store");
    fixture_free(&f);
}

static void refuse_test_cache_loses_volume(void **state)
{
    (void)state;
    struct fixture f;
    char path[160];
    fixture_new(&f);
    f.options.size_max = 16 << 20;
    fixture_open(&f);
    for (uint64_t i = 0; i < 40; i++)
        assert_int_equal(fixture_put_seed(f.worker, i, 100000), 0);
    fixture_close(&f);
    fixture_volume_path(&f, 1, path);
    assert_int_equal(unlink(path), 0);
    fixture_open(&f);
    assert_int_equal(fixture_get_seed(f.worker, 0, 100000), -ENOENT);
    assert_int_equal(fixture_get_seed(f.worker, 39, 100000), 0);
    assert_int_equal(fixture_put_seed(f.worker, 0, 100000), 0);
    fixture_free(&f);
}

/* Headers of many volumes are read at once: each is judged by its own. */
static void refuse_test_one_of_many(void **state)
{
    (void)state;
    const uint64_t count = 150;
    struct fixture f;
    char path[160];
    fixture_new(&f);
    f.options.volume_size = FORMAT_VOLUME_MIN;
    fixture_open(&f);
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(fixture_put_seed(f.worker, i, 40000), 0); /* one has room for one */
    fixture_close(&f);
    fixture_volume_path(&f, 100, path);
    fixture_flip(path, 16, 1);
    refused(&f, -EBADMSG, "00000064.vol is refused: its header is damaged");
    fixture_flip(path, 16, 1);
    fixture_open(&f);
    struct store_stat stat;
    store_stat(f.store, &stat);
    assert_int_equal(stat.volumes, count);
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(fixture_get_seed(f.worker, i, 40000), 0);
    fixture_free(&f);
}

static void refuse_test_options(void **state)
{
    (void)state;
    struct fixture f;
    fixture_new(&f);
    f.options.volume_size = 4096;
    refused(&f, -EINVAL, "volumes of 4096 bytes");
    f.options.volume_size = 0;
    f.options.size_max = 100000;
    refused(&f, -EINVAL, "a cache must hold 8");
    f.options.size_max = 0;
    f.options.path = "/proc/weir";
    refused(&f, -ENOENT, "making the folder /proc/weir");
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuse_test_volumes),
        cmocka_unit_test(refuse_test_bystanders),
        cmocka_unit_test(refuse_test_index),
        cmocka_unit_test(refuse_test_foreign_index),
        cmocka_unit_test(refuse_test_cache_loses_volume),
        cmocka_unit_test(refuse_test_one_of_many),
        cmocka_unit_test(refuse_test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
