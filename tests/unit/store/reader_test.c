/* SPDX-License-Identifier: Apache-2.0 */
/* A store opened to read only beside the process that writes: it sees what is there, whatever the
 * other puts, reclaims, compacts, and however its map grows. */
#include "store/store.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "remote_fixture.h"

#define ROUNDS 25u
#define SIZE   60000u
#define STAY   2u  /* blobs a round that stay */
#define GO     12u /* and that go with the next */
#define SMALL  400u

static void reader_options(struct fixture *f)
{
    f->options.links = remote_links;
    f->options.dropped_s = STORE_AT_ONCE;
    f->options.index_size = 1 << 20;
}

static _Noreturn void writer_run(struct remote *r, int pipe)
{
    fixture_open(&r->f);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        char name[32];
        fixture_put_seeds(r->f.worker, 100000 + round * GO, GO / 2, SIZE);
        fixture_put_seeds(r->f.worker, round * STAY, STAY, SIZE);
        fixture_put_seeds(r->f.worker, 100000 + round * GO + GO / 2, GO / 2, SIZE);
        remote_publish(r, "goes", 100000 + round * GO, GO, SIZE);
        (void)snprintf(name, sizeof name, "stays-%llu", (unsigned long long)round);
        remote_publish(r, name, round * STAY, STAY, SIZE);
        fixture_put_seeds(r->f.worker, 1000000 + round * SMALL, SMALL, 20);
        if (store_settle(r->f.store) != 0 || write(pipe, &round, sizeof round) != sizeof round)
            _exit(10);
    }
    struct store_stat stat = remote_stat(r);
    fixture_close(&r->f);
    if (stat.reclaimed < (ROUNDS - 1) * GO)
        _exit(11);
    _exit(stat.compacted_volumes > 0 ? 0 : 12);
}

static bool count_blob(void *arg, const struct store_blob *b)
{
    unsigned *count = arg;
    assert_true(b->length == 20 || b->length == SIZE || b->length % DIGEST_SIZE == 0);
    (*count)++;
    return true;
}

static bool count_ref(void *arg, struct str name, const struct store_ref *ref)
{
    unsigned *count = arg;
    assert_true(store_name_ok(name));
    assert_true(ref->generation > 0);
    (*count)++;
    return true;
}

/* What round and those before left behind is there, all of it. */
static void reader_look(struct store_worker *w, uint64_t round)
{
    unsigned blobs = 0, refs = 0;
    for (uint64_t i = 0; i < (round + 1) * STAY; i++)
        assert_int_equal(fixture_get_seed(w, i, SIZE), 0);
    for (uint64_t i = 0; i < SMALL; i += 17)
        assert_int_equal(fixture_get_seed(w, 1000000 + round * SMALL + i, 20), 0);
    for (uint64_t i = 0; i < GO; i++) {
        int r = fixture_get_seed(w, 100000 + round * GO + i, SIZE);
        assert_true(r == 0 || r == -ENOENT);
    }
    assert_int_equal(store_blob_list(w, count_blob, &blobs), 0);
    assert_true(blobs >= (round + 1) * (STAY + SMALL));
    assert_int_equal(store_ref_list(w, count_ref, &refs), 0);
    assert_true(refs >= round + 2);
}

/* One that opens while the other works; in a process of its own, for LMDB allows a process to have
 * an index open once only. A new program, for what a fork has of this one's threads is nothing. */
static void reader_short_lived(const struct fixture *f, uint64_t round)
{
    int status = 0;
    char number[24];
    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)round);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)execl("/proc/self/exe", "reader", f->path, number, (char *)NULL);
        _exit(30);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Of that program. */
static const char *short_path;
static uint64_t short_round;

static void reader_test_short(void **state)
{
    (void)state;
    struct fixture f;
    fixture_new(&f); /* for its options */
    reader_options(&f);
    f.options.path = short_path;
    f.options.read_only = true;
    fixture_open(&f);
    reader_look(f.worker, short_round);
    fixture_free(&f);
}

static void reader_test_beside_writer(void **state)
{
    (void)state;
    struct remote r;
    int fds[2], status = 0;
    uint64_t round = 0;
    char path[160];
    struct stat st;
    remote_new(&r, STORE_LOCAL);
    r.tier = folder_tier_free(r.tier); /* threads do not survive a fork */
    r.f.options.remote = NULL;
    reader_options(&r.f);
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fds[0]);
        writer_run(&r, fds[1]);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &round, sizeof round), sizeof round);
    r.f.options.read_only = true;
    fixture_open(&r.f);
    do {
        reader_look(r.f.worker, round);
        reader_short_lived(&r.f, round);
    } while (read(fds[0], &round, sizeof round) == sizeof round);
    assert_int_equal(round, ROUNDS - 1);
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    reader_look(r.f.worker, ROUNDS - 1);
    (void)snprintf(path, sizeof path, "%s/index/data.mdb", r.f.path);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size > 1 << 20); /* it did outgrow the map */
    remote_free(&r);
}

/* It changes nothing, and says so. */
static void reader_test_changes_nothing(void **state)
{
    (void)state;
    struct remote r;
    struct digest d = {{1}};
    struct store_ref ref;
    remote_new(&r, STORE_LOCAL);
    reader_options(&r.f);
    fixture_open(&r.f);
    assert_int_equal(fixture_put_seed(r.f.worker, 1, SIZE), 0);
    remote_publish(&r, "film", 1, 1, SIZE);
    fixture_close(&r.f);
    r.f.options.read_only = true;
    fixture_open(&r.f);
    assert_int_equal(fixture_get_seed(r.f.worker, 1, SIZE), 0);
    assert_int_equal(fixture_put_seed(r.f.worker, 2, SIZE), -EROFS);
    assert_int_equal(fixture_get_seed(r.f.worker, 2, SIZE), -ENOENT);
    assert_int_equal(store_ref_get(r.f.worker, STR("film"), &ref), 0);
    d = ref.presentation;
    assert_int_equal(fixture_ref_put(r.f.worker, "other", &d, 0), -EROFS);
    assert_int_equal(fixture_ref_delete(r.f.worker, "film"), -EROFS);
    assert_int_equal(store_settle(r.f.store), -EROFS);
    remote_free(&r);
}

/* There must be something to read. */
static void reader_test_nothing_there(void **state)
{
    (void)state;
    struct fixture f;
    struct err err = {{0}};
    struct stat st;
    fixture_new(&f);
    f.options.read_only = true;
    assert_int_equal(store_open(&f.options, &err, &f.store), -ENOENT);
    assert_non_null(strstr(err.text, "no index"));
    assert_int_equal(stat(f.path, &st), -1); /* and it was not made */
    fixture_free(&f);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest short_lived[] = {cmocka_unit_test(reader_test_short)};
    if (argc == 3) {
        short_path = argv[1];
        short_round = strtoull(argv[2], NULL, 10);
        return cmocka_run_group_tests(short_lived, NULL, NULL);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_test_beside_writer),
        cmocka_unit_test(reader_test_changes_nothing),
        cmocka_unit_test(reader_test_nothing_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
