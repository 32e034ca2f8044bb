/* SPDX-License-Identifier: Apache-2.0 */
/* A file system that is full, a real one, index and all: a cache goes on taking and serving; an
 * origin says no to what is new, serves, deletes, and takes again what there is room for then.
 *
 * WEIR_TEST_FS: tmpfs or ext4. In a mount namespace of its own; skipped (77) where the kernel does
 * not let us. */
#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "links_fixture.h"

#define WHERE   "/tmp"
#define SIZE    20000u
#define WORKERS 80u /* more than the readers of a page of LMDB's file of locks */

struct full {
    struct fixture f;
    char filler[128];
    int fd;
};

static bool on_ext4(void)
{
    const char *fs = getenv("WEIR_TEST_FS");
    return fs != NULL && strcmp(fs, "ext4") == 0;
}

static bool run(const char *const *words)
{
    pid_t pid = 0;
    int status = -1;
    return posix_spawnp(&pid, words[0], NULL, NULL, (char *const *)(uintptr_t)words, environ) ==
               0 &&
           waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* A file system of so many MiB in the folder; of an image, whose name goes once it is mounted. */
static bool mount_new(const char *folder, const char *mib)
{
    char options[32], image[] = WHERE "/weir-image-XXXXXX";
    (void)snprintf(options, sizeof options, "size=%sm", mib);
    if (!on_ext4())
        return mount("tmpfs", folder, "tmpfs", 0, options) == 0;
    int fd = mkstemp(image);
    if (fd < 0)
        return false;
    const char *make[] = {"mkfs.ext4", "-q", "-m", "0", image, NULL};
    const char *attach[] = {"mount", "-o", "loop", image, folder, NULL};
    bool good = ftruncate(fd, strtoll(mib, NULL, 10) << 20) == 0 && run(make) && run(attach);
    return close(fd) == 0 && unlink(image) == 0 && good;
}

/* A folder in a file system of so many MiB. */
static void full_new(struct full *x, const char *mib)
{
    fixture_new_in(&x->f, WHERE);
    assert_true(mount_new(x->f.folder, mib));
    (void)snprintf(x->filler, sizeof x->filler, "%s/filler", x->f.folder);
    x->fd = -1;
}

static void full_free(struct full *x)
{
    fixture_close(&x->f);
    if (x->fd >= 0)
        assert_int_equal(close(x->fd), 0);
    assert_int_equal(umount(x->f.folder), 0);
    fixture_free(&x->f);
}

/* Not a block is left. */
static void full_fill(struct full *x)
{
    struct stat st;
    if (x->fd < 0)
        x->fd = open(x->filler, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_true(x->fd >= 0);
    for (off_t size = 1 << 20; size >= 4096;) {
        assert_int_equal(fstat(x->fd, &st), 0);
        if (fallocate(x->fd, 0, st.st_size, size) == 0)
            continue;
        assert_int_equal(errno, ENOSPC);
        size /= 2;
    }
}

static void full_empty(struct full *x)
{
    assert_int_equal(ftruncate(x->fd, 0), 0);
}

static void reopened(struct full *x)
{
    fixture_close(&x->f);
    fixture_open(&x->f);
}

/* What is put is there, and what was before is right or gone. */
static void cache_goes_on(struct full *x, uint64_t first, uint64_t count)
{
    struct store_worker *w = x->f.worker;
    for (uint64_t i = first; i < first + count; i++) {
        uint32_t size = i % 3 == 0 ? SIZE * 4 : 500;
        assert_int_equal(fixture_put_seed(w, i, size), 0);
        assert_int_equal(fixture_get_seed(w, i, size), 0);
        uint64_t earlier = i / 2;
        int r = fixture_get_seed(w, earlier, earlier % 3 == 0 ? SIZE * 4 : 500);
        assert_true(r == 0 || r == -ENOENT);
    }
}

static void full_test_cache(void **state)
{
    (void)state;
    struct full x;
    struct store_stat stat;
    full_new(&x, "64");
    x.f.options.size_max = 1 << 30; /* more than there is */
    x.f.options.volume_size = 4 << 20;
    fixture_open(&x.f);
    cache_goes_on(&x, 0, 1500);
    store_stat(x.f.store, &stat);
    assert_in_range(stat.volume_bytes, 40 << 20, 64 << 20);
    full_fill(&x);
    cache_goes_on(&x, 1500, 3000);
    full_fill(&x);
    reopened(&x);
    full_fill(&x);
    cache_goes_on(&x, 4500, 1500);
    store_stat(x.f.store, &stat);
    print_message("%d volumes given up since it was opened again, %d there\n",
                  (int)stat.evicted_volumes, (int)stat.volumes);
    assert_true(stat.evicted_volumes > 5);
    assert_int_equal(stat.damaged, 0);
    full_free(&x);
}

/* What it learnt is saved there too: the file had its room from the start. */
static void full_test_cache_learns(void **state)
{
    (void)state;
    struct full x;
    struct digest d;
    full_new(&x, "64");
    x.f.options.size_max = 1 << 30;
    x.f.options.admission = STORE_ADMIT_SECOND;
    x.f.options.volume_size = 4 << 20;
    x.f.options.hot_size = 1 << 20;
    fixture_open(&x.f);
    cache_goes_on(&x, 0, 900);
    full_fill(&x);
    struct rbuf *b = fixture_blob(5000, SIZE, &d);
    assert_int_equal(fixture_put(x.f.worker, &d, b, STORE_PUT_CACHE), 0);
    struct store_blob there;
    assert_int_equal(store_blob_look(x.f.worker, &d, &there), -ENOENT); /* in RAM alone */
    fixture_close(&x.f);
    full_fill(&x);
    fixture_open(&x.f);
    assert_int_equal(fixture_put(x.f.worker, &d, b, STORE_PUT_CACHE), 0);
    assert_int_equal(store_blob_look(x.f.worker, &d, &there), 0); /* it remembers */
    rbuf_unref(b);
    full_free(&x);
}

/* The index grows by refs alone: a cache gives volumes for it too. */
static void full_test_cache_index(void **state)
{
    (void)state;
    struct full x;
    struct store_stat stat;
    struct digest d = {{1}};
    char name[STORE_NAME_MAX + 1];
    full_new(&x, "32");
    x.f.options.size_max = 1 << 30;
    x.f.options.volume_size = 2 << 20;
    fixture_open(&x.f);
    cache_goes_on(&x, 0, 900);
    full_fill(&x);
    for (unsigned i = 0; i < 12000; i++) {
        (void)snprintf(name, sizeof name, "%0120u", i);
        assert_int_equal(fixture_ref_put(x.f.worker, name, &d, 0), 0);
    }
    store_stat(x.f.store, &stat);
    assert_true(stat.evicted_volumes > 0);
    cache_goes_on(&x, 2000, 300);
    full_free(&x);
}

static void film_name(uint64_t film, char out[32])
{
    (void)snprintf(out, 32, "film-%llu", (unsigned long long)film);
}

/* The number of films that went in before the disk was full. */
static uint64_t origin_fill(struct full *x, uint64_t film)
{
    char name[32];
    int r = 0;
    while (r == 0) {
        struct digest links[4], p;
        for (uint64_t i = 0; i < ARRAY_LEN(links) && r == 0; i++) {
            r = fixture_put_seed(x->f.worker, film * 10 + i, SIZE * 4);
            links[i] = links_fixture_digest(film * 10 + i, SIZE * 4);
        }
        if (r == 0)
            r = links_fixture_put(x->f.worker, film, links, ARRAY_LEN(links), &p);
        film_name(film, name);
        if (r == 0)
            r = fixture_ref_put(x->f.worker, name, &p, 0);
        film += r == 0;
    }
    assert_int_equal(r, -ENOSPC);
    return film;
}

static void origin_check(struct full *x, uint64_t first, uint64_t end)
{
    for (uint64_t film = first; film < end; film++) {
        for (uint64_t i = 0; i < 4; i++)
            assert_int_equal(fixture_get_seed(x->f.worker, film * 10 + i, SIZE * 4), 0);
    }
}

static void full_test_origin(void **state)
{
    (void)state;
    struct full x;
    char name[32];
    full_new(&x, "96");
    links_fixture_init(&x.f);
    x.f.options.volume_size = 4 << 20;
    fixture_open(&x.f);
    uint64_t films = origin_fill(&x, 0);
    full_fill(&x);
    assert_true(films > 100);
    origin_check(&x, 0, films);
    reopened(&x); /* on a full disk */
    full_fill(&x);
    assert_int_equal(fixture_put_seed(x.f.worker, 1 << 20, SIZE * 100), -ENOSPC);
    /* Most go: from the index too, and their space comes back. */
    for (uint64_t film = 0; film < films - 10; film++) {
        film_name(film, name);
        assert_int_equal(fixture_ref_delete(x.f.worker, name), 0);
    }
    links_fixture_settle(&x.f, true);
    struct store_stat stat;
    store_stat(x.f.store, &stat);
    assert_int_equal(stat.blobs, 50);
    origin_check(&x, films - 10, films);
    uint64_t more = origin_fill(&x, films);
    print_message("%d films, then %d more in place of %d\n", (int)films, (int)(more - films),
                  (int)films - 10);
    assert_true(more - films > (films - 10) / 2);
    origin_check(&x, films - 10, more);
    full_free(&x);
}

/* What is left to the index when the disk is full is for making room, and enough for that. */
static void full_test_origin_index(void **state)
{
    (void)state;
    struct full x;
    struct digest d = {{1}};
    char name[STORE_NAME_MAX + 1];
    unsigned refs = 0;
    int r;
    full_new(&x, "32");
    x.f.options.volume_size = 2 << 20;
    fixture_open(&x.f);
    full_fill(&x);
    do {
        (void)snprintf(name, sizeof name, "%0120u", refs);
        r = fixture_ref_put(x.f.worker, name, &d, 0);
        refs += r == 0;
    } while (r == 0 && refs < 200000);
    print_message("%u refs in what the index had in reserve\n", refs);
    assert_int_equal(r, -ENOSPC);
    assert_true(refs > 500);
    reopened(&x);
    for (unsigned i = 0; i < refs; i++) {
        (void)snprintf(name, sizeof name, "%0120u", i);
        assert_int_equal(fixture_ref_delete(x.f.worker, name), 0);
    }
    full_empty(&x);
    assert_int_equal(fixture_ref_put(x.f.worker, "again", &d, 0), 0);
    assert_int_equal(fixture_put_seed(x.f.worker, 1, SIZE), 0);
    full_free(&x);
}

/* Each worker takes a reader of the index, in a file that is mapped. */
static void full_test_workers(void **state)
{
    (void)state;
    struct full x;
    struct store_worker *workers[WORKERS];
    full_new(&x, "32");
    fixture_open(&x.f);
    assert_int_equal(fixture_put_seed(x.f.worker, 1, SIZE), 0);
    full_fill(&x);
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_int_equal(store_worker_new(x.f.store, &workers[i]), 0);
        assert_int_equal(fixture_get_seed(workers[i], 1, SIZE), 0);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        store_worker_free(workers[i]);
    full_free(&x);
}

static bool may_mount(void)
{
    char folder[] = WHERE "/weir-full-XXXXXX";
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mkdtemp(folder) == NULL)
        return false;
    bool may = mount_new(folder, "8") && umount(folder) == 0;
    return rmdir(folder) == 0 && may;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_test_cache),        cmocka_unit_test(full_test_cache_learns),
        cmocka_unit_test(full_test_cache_index),  cmocka_unit_test(full_test_origin),
        cmocka_unit_test(full_test_origin_index), cmocka_unit_test(full_test_workers),
    };
    if (!may_mount()) {
        (void)fprintf(stderr, "no mount of our own: skipped\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
