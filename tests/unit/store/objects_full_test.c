/* SPDX-License-Identifier: Apache-2.0 */
/* Records and purges on a file system that is full: a real one, small, of our own. A put never
 * fails and never leaves an older record to be seen; a purge is answered. In a mount namespace of
 * its own; skipped (77) where the kernel does not let us. */
#include "store/objects.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../unit.h"
#include "objects_fixture.h"

#define WHERE "/tmp"
#define KEYS  4000u

static void full_mount(struct objects_fixture *f, const char *size)
{
    char options[32];
    (void)snprintf(options, sizeof options, "size=%s", size);
    objects_fixture_new_in(f, WHERE);
    assert_int_equal(mount("tmpfs", f->folder, "tmpfs", 0, options), 0);
}

static void full_unmount(struct objects_fixture *f)
{
    objects_fixture_close(f);
    assert_int_equal(umount(f->folder), 0);
    objects_fixture_free(f);
}

/* Not a block is left. */
static int full_fill(const struct objects_fixture *f)
{
    char path[160];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/filler", f->folder);
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (off_t size = 1 << 20; size >= 4096;) {
        assert_int_equal(fstat(fd, &st), 0);
        if (fallocate(fd, 0, st.st_size, size) == 0)
            continue;
        assert_int_equal(errno, ENOSPC);
        size /= 2;
    }
    return fd;
}

/* Each round puts each key with another size: what is there is of the last round, or nothing. */
static unsigned full_rounds(struct objects_fixture *f, unsigned first, unsigned count, size_t base)
{
    unsigned there = 0;
    for (unsigned round = first; round < first + count; round++) {
        there = 0;
        for (uint64_t k = 0; k < KEYS; k++)
            objects_fixture_put(f, k, base + round);
        uint64_t before = objects_sequence(f->objects);
        objects_fixture_purge(f, round, false);
        assert_int_equal(objects_fixture_check(f, round, before), OBJECTS_HARD);
        for (uint64_t k = 0; k < KEYS; k++) {
            int r = objects_fixture_get(f, k);
            assert_true(r == -ENOENT || r == (int)(base + round));
            there += r >= 0 ? 1 : 0;
        }
    }
    return there;
}

static void full_run(size_t base)
{
    struct objects_fixture f;
    struct objects_stat stat;
    full_mount(&f, "64m");
    objects_fixture_open(&f);
    assert_int_equal(full_rounds(&f, 0, 2, base), KEYS);
    objects_fixture_reopen(&f);
    int fd = full_fill(&f);
    unsigned there = full_rounds(&f, 10, 6, base);
    objects_fixture_reopen(&f);
    assert_int_equal(objects_fixture_check(&f, 15, 1), OBJECTS_HARD);
    there += full_rounds(&f, 20, 6, base);
    assert_true(there > 0);
    for (uint64_t i = 0; i < 200; i++)
        objects_fixture_purge(&f, 1000 + i, i % 2 == 0);
    /* There is room again. */
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(close(fd), 0);
    objects_fixture_reopen(&f);
    assert_int_equal(full_rounds(&f, 30, 2, base), KEYS);
    objects_fixture_reopen(&f);
    objects_stat(f.objects, &stat);
    assert_int_equal(stat.records, KEYS);
    for (uint64_t k = 0; k < KEYS; k++)
        assert_int_equal(objects_fixture_get(&f, k), base + 31);
    assert_int_equal(objects_fixture_check(&f, 1198, 1), OBJECTS_SOFT);
    full_unmount(&f);
}

static void objects_test_full_small(void **state)
{
    (void)state;
    full_run(300);
}

static void objects_test_full_large(void **state)
{
    (void)state;
    full_run(2500);
}

/* So small that the records alone fill it. */
static void objects_test_full_own(void **state)
{
    (void)state;
    struct objects_fixture f;
    full_mount(&f, "6m");
    objects_fixture_open(&f);
    for (unsigned i = 0; i < 3; i++) {
        (void)full_rounds(&f, i * 10, 3, 2500);
        objects_fixture_reopen(&f);
    }
    full_unmount(&f);
}

static bool may_mount(void)
{
    char folder[] = WHERE "/weir-objects-XXXXXX";
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mkdtemp(folder) == NULL)
        return false;
    bool may = mount("tmpfs", folder, "tmpfs", 0, "size=1m") == 0 && umount(folder) == 0;
    return rmdir(folder) == 0 && may;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_test_full_small),
        cmocka_unit_test(objects_test_full_large),
        cmocka_unit_test(objects_test_full_own),
    };
    if (!may_mount()) {
        (void)fprintf(stderr, "no mount of our own: skipped\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
