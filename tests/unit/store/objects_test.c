/* SPDX-License-Identifier: Apache-2.0 */
/* Records of URLs and marks of purges, in a folder of their own. The clock is the test's. */
#include "store/objects.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "../unit.h"
#include "objects_fixture.h"

static int64_t now_s = 1700000000;

int64_t __wrap_clock_real_s(void);
int64_t __wrap_clock_real_s(void)
{
    return now_s;
}

/* --- records ---------------------------------------------------------------------------------- */

static void objects_test_records(void **state)
{
    (void)state;
    struct objects_fixture f;
    objects_fixture_new(&f);
    assert_int_equal(objects_fixture_get(&f, 1), -ENOENT);
    objects_fixture_put(&f, 1, 100);
    assert_int_equal(objects_fixture_get(&f, 1), 100);
    objects_fixture_put(&f, 1, 5000); /* over it, of another size */
    assert_int_equal(objects_fixture_get(&f, 1), 5000);
    objects_fixture_put(&f, 2, 0);
    assert_int_equal(objects_fixture_get(&f, 2), 0);
    objects_fixture_put(&f, 3, OBJECTS_RECORD_MAX);
    assert_int_equal(objects_fixture_get(&f, 3), OBJECTS_RECORD_MAX);
    char *large = calloc(1, OBJECTS_RECORD_MAX + 1);
    struct digest key = objects_fixture_key(4);
    assert_int_equal(objects_put(f.objects, &key, (struct str){large, OBJECTS_RECORD_MAX + 1}),
                     -EFBIG);
    free(large);
    key = objects_fixture_key(1);
    assert_int_equal(objects_delete(f.objects, &key), 0);
    assert_int_equal(objects_fixture_get(&f, 1), -ENOENT);
    assert_int_equal(objects_delete(f.objects, &key), 0);
    objects_fixture_reopen(&f);
    assert_int_equal(objects_fixture_get(&f, 1), -ENOENT);
    assert_int_equal(objects_fixture_get(&f, 2), 0);
    assert_int_equal(objects_fixture_get(&f, 3), OBJECTS_RECORD_MAX);
    /* One that is on disk goes and is put over, there, too. */
    key = objects_fixture_key(3);
    assert_int_equal(objects_delete(f.objects, &key), 0);
    assert_int_equal(objects_fixture_get(&f, 3), -ENOENT);
    objects_fixture_put(&f, 2, 7);
    assert_int_equal(objects_fixture_get(&f, 2), 7);
    objects_fixture_reopen(&f);
    assert_int_equal(objects_fixture_get(&f, 3), -ENOENT);
    assert_int_equal(objects_fixture_get(&f, 2), 7);
    struct objects_stat stat;
    objects_stat(f.objects, &stat);
    assert_int_equal(stat.records, 1);
    assert_int_equal(stat.dropped, 0);
    objects_fixture_free(&f);
}

static void objects_test_busy(void **state)
{
    (void)state;
    struct objects_fixture f;
    struct objects *other = NULL;
    struct err err = {0};
    objects_fixture_new(&f);
    assert_int_equal(objects_open(&f.options, &err, &other), -EBUSY);
    assert_non_null(strstr(err.text, "another process"));
    objects_fixture_free(&f);
}

/* What is used stays, what is not goes, and the limit is kept. */
static void objects_test_evict(void **state)
{
    (void)state;
    struct objects_fixture f;
    struct objects_stat stat;
    objects_fixture_new(&f);
    f.options.size_max = 1 << 20;
    objects_fixture_reopen(&f);
    for (uint64_t i = 0; i < 100; i++)
        objects_fixture_put(&f, i, 1000);
    objects_fixture_reopen(&f); /* what was used is known after a restart, too */
    now_s += 7200;
    for (uint64_t i = 0; i < 20; i++)
        assert_int_equal(objects_fixture_get(&f, i), 1000);
    objects_fixture_reopen(&f);
    now_s += 7200;
    for (uint64_t i = 100; i < 732; i++) /* all and the used ones fit */
        objects_fixture_put(&f, i, 1000);
    objects_fixture_reopen(&f);
    objects_stat(f.objects, &stat);
    assert_true(stat.bytes <= 1 << 20);
    assert_true(stat.records > 500);
    for (uint64_t i = 0; i < 20; i++)
        assert_int_equal(objects_fixture_get(&f, i), 1000);
    for (uint64_t i = 20; i < 100; i++)
        assert_int_equal(objects_fixture_get(&f, i), -ENOENT);
    objects_fixture_free(&f);
}

/* A damaged record is told once, and is gone then; the others stay. */
static void objects_test_damaged_record(void **state)
{
    (void)state;
    struct objects_fixture f;
    struct objects_stat stat;
    char data[160];
    objects_fixture_new(&f);
    for (uint64_t i = 0; i < 10; i++)
        objects_fixture_put(&f, i, 100000);
    objects_fixture_close(&f);
    (void)snprintf(data, sizeof data, "%s/objects/data.mdb", f.folder);
    /* In the middle of the bytes of one of them, found by their pattern. */
    struct buf file = BUF_EMPTY;
    assert_int_equal(file_read(data, (size_t)64 << 20, &file), 0);
    char *bytes = objects_fixture_record(4, 100000);
    const char *at = memmem(file.data, file.size, bytes, 100000);
    assert_non_null(at);
    objects_fixture_flip(data, (uint64_t)(at - file.data) + 50000);
    free(bytes);
    buf_free(&file);
    objects_fixture_open(&f);
    for (uint64_t i = 0; i < 10; i++)
        assert_int_equal(objects_fixture_get(&f, i), i == 4 ? -EBADMSG : 100000);
    assert_int_equal(objects_fixture_get(&f, 4), -ENOENT);
    objects_stat(f.objects, &stat);
    assert_int_equal(stat.damaged, 1);
    objects_fixture_reopen(&f);
    assert_int_equal(objects_fixture_get(&f, 4), -ENOENT);
    objects_fixture_put(&f, 4, 50);
    assert_int_equal(objects_fixture_get(&f, 4), 50);
    objects_fixture_free(&f);
}

/* A file that is none: set aside, begun anew. */
static void objects_test_damaged_file(void **state)
{
    (void)state;
    struct objects_fixture f;
    char path[160];
    objects_fixture_new(&f);
    objects_fixture_put(&f, 1, 10);
    objects_fixture_purge(&f, 1, false);
    for (unsigned how = 0; how < 3; how++) {
        objects_fixture_close(&f);
        if (how == 0) { /* no LMDB file */
            (void)snprintf(path, sizeof path, "%s/objects/data.mdb", f.folder);
            assert_int_equal(truncate(path, 0), 0);
            assert_int_equal(file_write(path, STR("this is no such file"), 0644), 0);
        } else if (how == 1) { /* what a run that found damage leaves */
            (void)snprintf(path, sizeof path, "%s/objects/damaged", f.folder);
            assert_int_equal(file_write(path, STR("x"), 0644), 0);
        } else { /* a mark is lost: the whole file goes, as nobody knows whose it was */
            objects_fixture_flip_mark(&f, 7);
        }
        objects_fixture_open(&f);
        assert_int_equal(objects_fixture_get(&f, 1), -ENOENT);
        (void)snprintf(path, sizeof path, "%s/objects.damaged", f.folder);
        assert_int_equal(access(path, F_OK), 0);
        objects_fixture_put(&f, 1, 10);
        objects_fixture_purge(&f, 7, false);
        assert_int_equal(objects_fixture_check(&f, 7, 1), OBJECTS_HARD);
        assert_int_equal(objects_fixture_check(&f, 8, 1), OBJECTS_STANDS);
    }
    objects_fixture_free(&f);
}

/* --- purges ----------------------------------------------------------------------------------- */

static void objects_test_purge(void **state)
{
    (void)state;
    struct objects_fixture f;
    objects_fixture_new(&f);
    uint64_t before = objects_sequence(f.objects); /* a request is sent */
    assert_true(before > 0);
    assert_int_equal(objects_fixture_check(&f, 1, before), OBJECTS_STANDS);
    objects_fixture_purge(&f, 1, false);
    uint64_t after = objects_sequence(f.objects);
    assert_true(after > before);
    for (unsigned i = 0; i < 2; i++) {
        /* Its answer may come after the purge, and be put then: it counts as gone. */
        assert_int_equal(objects_fixture_check(&f, 1, before), OBJECTS_HARD);
        assert_int_equal(objects_fixture_check(&f, 1, 0), OBJECTS_HARD);
        assert_int_equal(objects_fixture_check(&f, 1, after), OBJECTS_STANDS);
        assert_int_equal(objects_fixture_check(&f, 2, before), OBJECTS_STANDS);
        objects_fixture_reopen(&f);
        assert_int_equal(objects_sequence(f.objects), after);
    }
    objects_fixture_purge(&f, 1, true);
    uint64_t softly = objects_sequence(f.objects);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(objects_fixture_check(&f, 1, before), OBJECTS_HARD);
        assert_int_equal(objects_fixture_check(&f, 1, after), OBJECTS_SOFT);
        assert_int_equal(objects_fixture_check(&f, 1, softly), OBJECTS_STANDS);
        objects_fixture_reopen(&f);
    }
    _Atomic uint64_t stood = 0;
    struct digest tag = objects_fixture_key(2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(objects_check_again(f.objects, &tag, 1, after, &stood), OBJECTS_STANDS);
        assert_int_equal(stood, softly);
    }
    objects_fixture_purge(&f, 2, true);
    assert_int_equal(objects_check_again(f.objects, &tag, 1, after, &stood), OBJECTS_SOFT);
    softly = objects_sequence(f.objects);
    assert_int_equal(objects_check_again(f.objects, &tag, 1, softly, &stood), OBJECTS_STANDS);
    objects_fixture_purge(&f, 2, false);
    assert_int_equal(objects_check_again(f.objects, &tag, 1, softly, &stood), OBJECTS_HARD);
    /* The worst of several tags counts. */
    after = objects_sequence(f.objects);
    objects_fixture_purge(&f, 1, true);
    objects_fixture_purge(&f, 3, false);
    struct digest tags[] = {objects_fixture_key(2), objects_fixture_key(1), objects_fixture_key(3)};
    assert_int_equal(objects_check(f.objects, tags, 1, after), OBJECTS_STANDS);
    assert_int_equal(objects_check(f.objects, tags, 2, after), OBJECTS_SOFT);
    assert_int_equal(objects_check(f.objects, tags, 3, after), OBJECTS_HARD);
    assert_int_equal(objects_check(f.objects, NULL, 0, after), OBJECTS_STANDS);
    objects_fixture_free(&f);
}

static void objects_test_purge_all(void **state)
{
    (void)state;
    struct objects_fixture f;
    objects_fixture_new(&f);
    uint64_t first = objects_sequence(f.objects);
    assert_int_equal(objects_purge_all(f.objects, true), 0);
    uint64_t second = objects_sequence(f.objects);
    assert_int_equal(objects_fixture_check(&f, 1, first), OBJECTS_SOFT);
    assert_int_equal(objects_check(f.objects, NULL, 0, first), OBJECTS_SOFT);
    assert_int_equal(objects_purge_all(f.objects, false), 0);
    objects_fixture_reopen(&f);
    assert_int_equal(objects_fixture_check(&f, 1, second), OBJECTS_HARD);
    assert_int_equal(objects_fixture_check(&f, 1, objects_sequence(f.objects)), OBJECTS_STANDS);
    objects_fixture_free(&f);
}

/* Too many marks: the oldest are one, and what they were for stays purged. */
static void objects_test_marks_bounded(void **state)
{
    (void)state;
    struct objects_fixture f;
    struct objects_stat stat;
    objects_fixture_new(&f);
    f.options.marks_max = 64;
    objects_fixture_reopen(&f);
    uint64_t before = objects_sequence(f.objects);
    for (uint64_t i = 0; i < 1000; i++) {
        objects_fixture_purge(&f, i, i % 2 == 1);
        objects_stat(f.objects, &stat);
        assert_true(stat.marks <= 65); /* the one above is folded once its purge was answered */
    }
    for (unsigned round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < 1000; i++)
            assert_int_not_equal(objects_fixture_check(&f, i, before), OBJECTS_STANDS);
        uint64_t now = objects_sequence(f.objects);
        /* The last ones stand for themselves. */
        assert_int_equal(objects_fixture_check(&f, 999, now - 1), OBJECTS_SOFT);
        assert_int_equal(objects_fixture_check(&f, 998, now - 2), OBJECTS_HARD);
        assert_int_equal(objects_fixture_check(&f, 5, now - 10), OBJECTS_STANDS);
        assert_int_equal(objects_fixture_check(&f, 999, now), OBJECTS_STANDS);
        objects_fixture_reopen(&f);
    }
    objects_fixture_free(&f);
}

/* As many in one call as an empty table has no room for. */
static void objects_test_many_tags(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    struct objects_fixture f;
    struct objects_stat stat;
    struct digest *tags = calloc(COUNT, sizeof *tags);
    objects_fixture_new(&f);
    for (uint64_t i = 0; i < COUNT; i++)
        tags[i] = objects_fixture_key(i / 2); /* each twice */
    uint64_t before = objects_sequence(f.objects);
    assert_int_equal(objects_purge(f.objects, tags, COUNT, false), 0);
    assert_int_equal(objects_sequence(f.objects), before + 1);
    for (unsigned round = 0; round < 2; round++) {
        objects_stat(f.objects, &stat);
        assert_int_equal(stat.marks, COUNT / 2);
        for (unsigned i = 0; i < COUNT; i++)
            assert_int_equal(objects_check(f.objects, &tags[i], 1, before), OBJECTS_HARD);
        assert_int_equal(objects_fixture_check(&f, COUNT, before), OBJECTS_STANDS);
        objects_fixture_reopen(&f);
    }
    free(tags);
    objects_fixture_free(&f);
}

/* --- what is passed on ------------------------------------------------------------------------ */

static int take_each(void *arg, const struct objects_purge *purge)
{
    struct objects_fixture *to = arg;
    return objects_purge_taken(to->objects, purge, 1, OBJECTS_STANDS);
}

static void objects_test_passed_on(void **state)
{
    (void)state;
    struct objects_fixture a, b, c;
    struct objects_purged told = {0}, again = {0};
    objects_fixture_new(&a);
    objects_fixture_new(&b);
    objects_fixture_new(&c);
    uint64_t before = objects_sequence(b.objects);
    objects_fixture_purge(&a, 1, false);
    objects_fixture_purge(&a, 2, true);
    assert_int_equal(objects_purged(a.objects, 0, take_each, &b, &told), 0);
    assert_int_equal(told.sequence, objects_sequence(a.objects));
    assert_int_equal(told.all, OBJECTS_STANDS);
    assert_int_equal(objects_fixture_check(&b, 1, before), OBJECTS_HARD);
    assert_int_equal(objects_fixture_check(&b, 2, before), OBJECTS_SOFT);
    assert_int_equal(objects_fixture_check(&b, 3, before), OBJECTS_STANDS);
    /* From where it was there is nothing more, and b passes nothing on that is not its own. */
    assert_int_equal(objects_purged(a.objects, told.sequence, take_each, &c, &again), 0);
    assert_int_equal(objects_purged(b.objects, 0, take_each, &c, &again), 0);
    assert_int_equal(objects_sequence(c.objects), before);
    assert_memory_not_equal(again.id, told.id, OBJECTS_ID_SIZE);
    /* One of which only the soft purge is new. */
    objects_fixture_purge(&a, 1, true);
    uint64_t between = objects_sequence(b.objects);
    assert_int_equal(objects_purged(a.objects, told.sequence, take_each, &b, &told), 0);
    assert_int_equal(objects_fixture_check(&b, 1, between), OBJECTS_SOFT);
    /* After a restart it is the same, and all at once is told as that. */
    objects_fixture_reopen(&a);
    assert_int_equal(objects_purged(a.objects, 0, take_each, &c, &again), 0);
    assert_memory_equal(again.id, told.id, OBJECTS_ID_SIZE);
    assert_int_equal(objects_fixture_check(&c, 1, before), OBJECTS_HARD);
    assert_int_equal(objects_purge_all(a.objects, true), 0);
    assert_int_equal(objects_purged(a.objects, told.sequence, take_each, &b, &told), 0);
    assert_int_equal(told.all, OBJECTS_SOFT);
    between = objects_sequence(b.objects);
    assert_int_equal(objects_purge_taken(b.objects, NULL, 0, told.all), 0);
    assert_int_equal(objects_fixture_check(&b, 9, between), OBJECTS_SOFT);
    struct objects_purge wrong = {.mark = OBJECTS_STANDS};
    assert_int_equal(objects_purge_taken(b.objects, &wrong, 1, OBJECTS_STANDS), -EINVAL);
    objects_fixture_free(&a);
    objects_fixture_free(&b);
    objects_fixture_free(&c);
}

/* --- a take-over ------------------------------------------------------------------------------ */

/* In a process of its own, which has the file for the time. */
static void in_another(const struct objects_fixture *f, void (*run)(struct objects_fixture *f))
{
    int status = -1;
    struct objects_fixture own = *f;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct err err = {.text = ""};
        if (objects_open(&own.options, &err, &own.objects) < 0)
            _exit(10);
        run(&own);
        objects_close(own.objects);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void yield_purges(struct objects_fixture *f)
{
    struct digest soft = objects_fixture_key(2), hard = objects_fixture_key(3);
    if (objects_fixture_get(f, 1) != 100)
        _exit(11);
    if (objects_purge(f->objects, &soft, 1, true) < 0 ||
        objects_purge(f->objects, &hard, 1, false) < 0)
        _exit(12);
    objects_fixture_put(f, 5, 500);
}

static void yield_purges_all(struct objects_fixture *f)
{
    if (objects_purge_all(f->objects, false) < 0)
        _exit(13);
}

static void objects_test_yield(void **state)
{
    (void)state;
    struct objects_fixture f;
    objects_fixture_new(&f);
    objects_fixture_put(&f, 1, 100);
    objects_fixture_purge(&f, 1, false);
    uint64_t sequence = objects_sequence(f.objects);
    objects_yield(f.objects);
    assert_int_equal(objects_fixture_check(&f, 2, sequence), OBJECTS_STANDS);
    in_another(&f, yield_purges);
    assert_int_equal(objects_fixture_check(&f, 2, sequence), OBJECTS_SOFT);
    assert_int_equal(objects_fixture_check(&f, 3, sequence), OBJECTS_HARD);
    assert_int_equal(objects_fixture_check(&f, 4, sequence), OBJECTS_STANDS);
    in_another(&f, yield_purges_all);
    assert_int_equal(objects_fixture_check(&f, 4, sequence), OBJECTS_HARD);
    /* What it learns from now on is its own; it reads what is there. */
    struct digest tag = objects_fixture_key(4);
    assert_int_equal(objects_purge(f.objects, &tag, 1, false), -EROFS);
    objects_fixture_put(&f, 2, 200);
    assert_int_equal(objects_fixture_get(&f, 2), 200);
    assert_int_equal(objects_fixture_get(&f, 1), 100);
    assert_int_equal(objects_fixture_get(&f, 5), 500);
    objects_fixture_reopen(&f);
    assert_int_equal(objects_fixture_get(&f, 1), 100);
    assert_int_equal(objects_fixture_get(&f, 2), -ENOENT);
    objects_fixture_free(&f);
}

/* --- threads ---------------------------------------------------------------------------------- */

#define THREAD_KEYS 200u

struct thread {
    struct objects_fixture *f;
    unsigned index;
    atomic_bool *stop;
    int failed; /* cmocka's asserts are for the main thread */
};

/* Each key is one thread's to put; every thread reads all. A record holds key and version: the
 * owner must find its own last one, or none. */
static void *thread_run(void *arg)
{
    struct thread *t = arg;
    struct objects *o = t->f->objects;
    uint64_t versions[THREAD_KEYS] = {0};
    struct buf b = BUF_EMPTY;
    for (uint64_t round = 1; !atomic_load(t->stop) && t->failed == 0; round++) {
        uint64_t i = round * 7 % THREAD_KEYS;
        struct digest key = objects_fixture_key(i);
        uint64_t record[2] = {i, round};
        if (i % 2 == t->index && round % 5 != 0) {
            if (objects_put(o, &key, (struct str){(char *)record, sizeof record}) < 0)
                t->failed = 1;
            versions[i] = round;
        } else if (i % 2 == t->index) {
            if (objects_delete(o, &key) < 0)
                t->failed = 2;
            versions[i] = 0;
        }
        i = round * 11 % THREAD_KEYS;
        key = objects_fixture_key(i);
        buf_clear(&b);
        int r = objects_get(o, &key, &b);
        if (r != 0 && r != -ENOENT)
            t->failed = 3;
        if (r == 0 && b.size != sizeof record)
            t->failed = 4;
        if (r == 0)
            memcpy(record, b.data, sizeof record);
        if (r == 0 && record[0] != i)
            t->failed = 5;
        if (i % 2 == t->index && (r == 0 ? record[1] : 0) != versions[i])
            t->failed = 6;
        /* What was asked for after a purge was answered stands; before it, it does not. */
        uint64_t before = objects_sequence(o);
        if (round % 64 == 0) {
            struct digest tag = objects_fixture_key(1000 + t->index);
            if (objects_purge(o, &tag, 1, false) < 0)
                t->failed = 7;
            if (objects_check(o, &tag, 1, before) != OBJECTS_HARD ||
                objects_check(o, &tag, 1, objects_sequence(o)) != OBJECTS_STANDS)
                t->failed = 8;
        }
    }
    buf_free(&b);
    return NULL;
}

static void objects_test_threads(void **state)
{
    (void)state;
    struct objects_fixture f;
    struct thread threads[2];
    pthread_t ids[2];
    atomic_bool stop = false;
    objects_fixture_new(&f);
    for (unsigned i = 0; i < 2; i++) {
        threads[i] = (struct thread){.f = &f, .index = i, .stop = &stop};
        assert_int_equal(pthread_create(&ids[i], NULL, thread_run, &threads[i]), 0);
    }
    for (uint64_t began = clock_mono_ms(); clock_mono_ms() - began < 1500;) {
        struct objects_stat stat;
        objects_stat(f.objects, &stat);
        (void)usleep(10000);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(ids[i], NULL), 0);
        assert_int_equal(threads[i].failed, 0);
    }
    objects_fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_test_records),      cmocka_unit_test(objects_test_busy),
        cmocka_unit_test(objects_test_evict),        cmocka_unit_test(objects_test_damaged_record),
        cmocka_unit_test(objects_test_damaged_file), cmocka_unit_test(objects_test_purge),
        cmocka_unit_test(objects_test_purge_all),    cmocka_unit_test(objects_test_marks_bounded),
        cmocka_unit_test(objects_test_many_tags),    cmocka_unit_test(objects_test_passed_on),
        cmocka_unit_test(objects_test_yield),        cmocka_unit_test(objects_test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
