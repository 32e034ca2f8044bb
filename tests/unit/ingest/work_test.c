/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/work.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "../unit.h"
#include "base/file.h"

static char work_dir[64];

static int work_setup(void **state)
{
    (void)state;
    (void)snprintf(work_dir, sizeof work_dir, "/tmp/weir-work-XXXXXX");
    return mkdtemp(work_dir) == NULL;
}

static int work_teardown(void **state)
{
    (void)state;
    return file_remove_all(work_dir);
}

static struct work *work_again(void)
{
    struct err err = {0};
    struct work *w = NULL;
    assert_int_equal(work_open(work_dir, &err, &w), 0);
    return w;
}

static void work_put(struct work_track *t, const char *bytes)
{
    struct err err = {0};
    struct segment s = {.digest = digest_of(bytes, strlen(bytes)),
                        .size = (uint32_t)strlen(bytes),
                        .duration = 100,
                        .key_size = 1};
    uint64_t start = t->segments_count == 0 ? 50 : t->next;
    assert_int_equal(work_put_segment(t, str_of(bytes), &s, start, &err), 0);
}

static struct work *work_three(struct work_track **ret)
{
    struct err err = {0};
    struct work *w = work_again();
    assert_int_equal(work_track(w, "v240", ret), 0);
    assert_int_equal(work_put_init(*ret, STR("init"), &err), 0);
    work_put(*ret, "one");
    work_put(*ret, "two");
    work_put(*ret, "three");
    return w;
}

static void work_append(const char *text)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/journal", work_dir);
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_true(fd >= 0);
    assert_int_equal(file_write_all(fd, text, strlen(text)), 0);
    base_close(fd);
}

static void work_spoil(const char *bytes)
{
    struct work *w = work_again();
    struct digest d = digest_of(bytes, strlen(bytes));
    CLEAN(base_free) char *path = work_blob_path(w, &d);
    assert_int_equal(file_write(path, STR("wrong"), 0644), 0);
    work_free(w);
}

static void work_test_again(void **state)
{
    (void)state;
    struct err err = {0};
    struct work_track *t = NULL;
    struct work *w = work_three(&t);
    assert_int_equal(work_put_number(w, "tiles", 7, &err), 0);
    assert_int_equal(work_put_picture(w, "poster", STR("jpeg"), 16, 9, &err), 0);
    assert_int_equal(work_end_track(t, &err), 0);
    uint64_t encoded, reused, tiles;
    work_counts(w, &encoded, &reused);
    assert_int_equal(encoded, 3);
    work_free(w);
    w = work_again();
    assert_int_equal(work_track(w, "v240", &t), 0);
    assert_int_equal(t->segments_count, 3);
    assert_int_equal(t->start, 50);
    assert_int_equal(t->next, 350);
    assert_int_equal(t->segments[1].key_size, 1);
    assert_true(t->is_done);
    assert_int_equal(t->init_size, 4);
    struct picture p;
    assert_true(work_find_picture(w, "poster", &p));
    assert_int_equal(p.width, 16);
    assert_true(work_find_number(w, "tiles", &tiles));
    assert_int_equal(tiles, 7);
    work_counts(w, &encoded, &reused);
    assert_int_equal(encoded, 0);
    assert_int_equal(reused, 3);
    work_free(w);
}

/* A line torn by a kill is cut off, and what comes after it is read the next time. */
static void work_test_torn(void **state)
{
    (void)state;
    struct work_track *t = NULL;
    work_free(work_three(&t));
    work_append("{\"track\":\"v240\",\"n\":4,\"dig");
    struct work *w = work_again();
    assert_int_equal(work_track(w, "v240", &t), 0);
    assert_int_equal(t->segments_count, 3);
    work_put(t, "four");
    work_free(w);
    w = work_again();
    assert_int_equal(work_track(w, "v240", &t), 0);
    assert_int_equal(t->segments_count, 4);
    work_free(w);
}

/* A blob that is not what its line says ends the track there; made again, all is whole. */
static void work_test_spoiled(void **state)
{
    (void)state;
    struct err err = {0};
    struct work_track *t = NULL;
    struct work *w = work_three(&t);
    assert_int_equal(work_end_track(t, &err), 0);
    work_free(w);
    work_spoil("two");
    w = work_again();
    assert_int_equal(work_track(w, "v240", &t), 0);
    assert_int_equal(t->segments_count, 1);
    assert_false(t->is_done);
    work_put(t, "two again");
    work_put(t, "three again");
    assert_int_equal(work_end_track(t, &err), 0);
    work_free(w);
    w = work_again();
    assert_int_equal(work_track(w, "v240", &t), 0);
    assert_int_equal(t->segments_count, 3);
    struct digest d = digest_of("three again", 11);
    assert_true(digest_eq(&t->segments[2].digest, &d));
    assert_true(t->is_done);
    work_free(w);
}

/* Another init segment means other settings: segments that do not go with it are forgotten. */
static void work_test_other_init(void **state)
{
    (void)state;
    struct err err = {0};
    struct work_track *t = NULL;
    struct work *w = work_three(&t);
    assert_int_equal(work_put_init(t, STR("init"), &err), 0);
    assert_int_equal(t->segments_count, 3);
    assert_int_equal(work_put_init(t, STR("other"), &err), 0);
    assert_int_equal(t->segments_count, 0);
    work_put(t, "new");
    work_free(w);
    w = work_again();
    assert_int_equal(work_track(w, "v240", &t), 0);
    assert_int_equal(t->segments_count, 1);
    assert_int_equal(t->init_size, 5);
    uint64_t encoded, reused;
    work_counts(w, &encoded, &reused);
    assert_int_equal(reused, 1);
    work_free(w);
}

/* Lines that make no sense are passed over. */
static void work_test_nonsense(void **state)
{
    (void)state;
    struct work_track *t = NULL;
    work_free(work_three(&t));
    work_append(
        "not json\n[]\n{}\n{\"track\":5}\n{\"track\":\"v240\",\"n\":-1}\n"
        "{\"track\":\"v240\",\"n\":4,\"digest\":\"zz\",\"size\":1}\n"
        "{\"track\":\"../../../etc/x\",\"end\":1}\n{\"number\":\"a\",\"value\":\"b\"}\n"
        "{\"picture\":\"poster\",\"digest\":\"00000000000000000000000000000000\",\"size\":1,"
        "\"width\":1,\"height\":1}\n");
    struct work *w = work_again();
    assert_int_equal(work_track(w, "v240", &t), 0);
    assert_int_equal(t->segments_count, 3);
    struct picture p;
    assert_false(work_find_picture(w, "poster", &p));
    work_free(w);
}

static void work_test_gap(void **state)
{
    (void)state;
    struct err err = {0};
    struct work_track *t = NULL;
    struct work *w = work_three(&t);
    struct segment s = {.digest = digest_of("x", 1), .size = 1, .duration = 1};
    assert_int_equal(work_put_segment(t, STR("x"), &s, t->next + 1, &err), -EPROTO);
    assert_int_equal(t->segments_count, 3);
    work_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(work_test_again, work_setup, work_teardown),
        cmocka_unit_test_setup_teardown(work_test_torn, work_setup, work_teardown),
        cmocka_unit_test_setup_teardown(work_test_spoiled, work_setup, work_teardown),
        cmocka_unit_test_setup_teardown(work_test_other_init, work_setup, work_teardown),
        cmocka_unit_test_setup_teardown(work_test_nonsense, work_setup, work_teardown),
        cmocka_unit_test_setup_teardown(work_test_gap, work_setup, work_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
