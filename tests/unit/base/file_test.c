/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/secret.h"
#include "../unit.h"

static char folder[] = "/tmp/weir-file-test-XXXXXX";

static char *path_of(const char *name)
{
    char *path = file_join(folder, name);
    assert_non_null(path);
    return path;
}

static void file_test_round_trip(void **state)
{
    (void)state;
    CLEAN(base_free) char *path = path_of("a");
    CLEAN_BUF struct buf b = BUF_EMPTY;
    assert_int_equal(file_read(path, 100, &b), -ENOENT);
    assert_int_equal(file_write(path, STR("one"), 0600), 0);
    assert_int_equal(file_write(path, STR("second"), 0600), 0);
    assert_int_equal(file_read(path, 100, &b), 0);
    assert_string_equal(b.data, "second");
    buf_clear(&b);
    assert_int_equal(file_read(path, 5, &b), -EFBIG);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void file_test_failed_write_keeps_the_old(void **state)
{
    (void)state;
    CLEAN(base_free) char *inside = path_of("no-such-folder/x");
    assert_int_equal(file_write(inside, STR("x"), 0644), -ENOENT);
    CLEAN(base_free) char *path = path_of("is-folder");
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(file_write(path, STR("x"), 0644), -EISDIR);
    CLEAN(base_free) char *left = path_of("is-folder.tmp");
    assert_int_equal(access(left, F_OK), -1);
}

static void file_test_folders(void **state)
{
    (void)state;
    CLEAN(base_free) char *deep = path_of("d/e/f");
    CLEAN(base_free) char *top = path_of("d");
    CLEAN(base_free) char *file = path_of("d/e/f/g");
    assert_int_equal(file_mkdirs(deep), 0);
    assert_int_equal(file_mkdirs(deep), 0);
    assert_int_equal(file_write(file, STR("x"), 0644), 0);
    assert_int_equal(file_mkdirs(file), -ENOTDIR);
    assert_int_equal(file_remove_all(top), 0);
    assert_int_equal(access(top, F_OK), -1);
    assert_int_equal(file_remove_all(top), 0);
}

static void file_test_secret(void **state)
{
    (void)state;
    CLEAN(base_free) char *path = path_of("secret");
    struct secret s = {0};
    struct err err = {0};
    assert_false(secret_matches(&s, STR("")));
    assert_int_equal(secret_load(path, &s, &err), -ENOENT);
    assert_int_equal(file_write(path, STR("short\n"), 0600), 0);
    assert_int_equal(secret_load(path, &s, &err), -EINVAL);
    assert_non_null(strstr(err.text, "16 to 256"));
    assert_int_equal(file_write(path, STR("0123456789abcdef\nsecond line\n"), 0600), 0);
    assert_int_equal(secret_load(path, &s, &err), 0);
    assert_true(secret_matches(&s, STR("0123456789abcdef")));
    assert_false(secret_matches(&s, STR("0123456789abcdeF")));
    assert_false(secret_matches(&s, STR("0123456789abcde")));
    assert_false(secret_matches(&s, STR("0123456789abcdef0123456789abcdef")));
    assert_false(secret_matches(&s, STR_NONE));
}

static int file_test_setup(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int file_test_teardown(void **state)
{
    (void)state;
    return file_remove_all(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_test_round_trip),
        cmocka_unit_test(file_test_failed_write_keeps_the_old),
        cmocka_unit_test(file_test_folders),
        cmocka_unit_test(file_test_secret),
    };
    return cmocka_run_group_tests(tests, file_test_setup, file_test_teardown);
}
