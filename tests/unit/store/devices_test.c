/* SPDX-License-Identifier: Apache-2.0 */
/* Several devices: where volumes go, and what a device that is away, fails or is not ours takes
 * with it. */
#include "store/store.h"
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "devices_fixture.h"
#include "store/format.h"
#include "store/store_rebuild.h"

#define SIZE  200000u /* five in a volume of 1 MiB */
#define BLOBS 40u     /* eight volumes */

/* Blobs 0 to BLOBS on two devices, open. */
static void filled(struct devices *d, const char *kinds)
{
    devices_new(d, kinds);
    atomic_store(&d->rules[0]->free, 20 << 20);
    atomic_store(&d->rules[1]->free, 20 << 20);
    fixture_open(&d->f);
    for (uint64_t i = 0; i < BLOBS; i++)
        assert_int_equal(fixture_put_seed(d->f.worker, i, SIZE), 0);
    assert_true(devices_stat(d, 0).volumes >= 3);
    assert_true(devices_stat(d, 1).volumes >= 3);
}

static void all_served(struct devices *d, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++)
        assert_int_equal(fixture_get_seed(d->f.worker, i, SIZE), 0);
}

static void devices_test_spread(void **state)
{
    (void)state;
    struct devices d;
    struct store_stat stat;
    devices_new(&d, "www");
    atomic_store(&d.rules[0]->free, 5 << 20);
    atomic_store(&d.rules[1]->free, 9 << 20);
    atomic_store(&d.rules[2]->free, 7 << 20);
    fixture_open(&d.f);
    uint64_t seed = 0;
    do {
        assert_int_equal(fixture_put_seed(d.f.worker, seed++, SIZE), 0);
        store_stat(d.f.store, &stat);
    } while (stat.volumes < 15);
    /* As much is free on each in the end. */
    assert_int_equal(devices_stat(&d, 0).volumes, 3);
    assert_int_equal(devices_stat(&d, 1).volumes, 7);
    assert_int_equal(devices_stat(&d, 2).volumes, 5);
    assert_int_equal(devices_stat(&d, 0).free_bytes, 2 << 20);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(devices_files(d.paths[i], ".vol"), devices_stat(&d, i).volumes);
    fixture_close(&d.f);
    fixture_open(&d.f);
    all_served(&d, 0, seed);
    devices_free(&d);
}

static void devices_test_files(void **state)
{
    (void)state;
    struct devices d;
    struct format_device file[2];
    struct err err;
    devices_new(&d, "wc");
    fixture_open(&d.f);
    for (unsigned i = 0; i < 2; i++) {
        struct buf bytes = BUF_EMPTY;
        char path[200];
        (void)snprintf(path, sizeof path, "%s/device", d.paths[i]);
        assert_int_equal(file_read(path, FORMAT_ALIGN, &bytes), 0);
        assert_int_equal(bytes.size, FORMAT_ALIGN);
        assert_int_equal(format_device_read((const uint8_t *)bytes.data, &file[i], &err), 0);
        assert_int_equal(file[i].id, devices_stat(&d, i).id);
        buf_free(&bytes);
    }
    assert_int_equal(file[0].kind, FORMAT_WARM);
    assert_int_equal(file[1].kind, FORMAT_COLD);
    assert_true(file[0].id != file[1].id);
    assert_memory_equal(file[0].store_id, file[1].store_id, FORMAT_ID_SIZE);
    devices_free(&d);
}

/* --- away ------------------------------------------------------------------------------------- */

enum away { UNMOUNTED, GONE, UNREADABLE };

static void take_away(struct devices *d, enum away how, const char *aside)
{
    if (how == UNREADABLE) {
        path_rule_fail(d->rules[1], -EIO);
        return;
    }
    assert_int_equal(rename(d->paths[1], aside), 0);
    if (how == UNMOUNTED)
        assert_int_equal(mkdir(d->paths[1], 0755), 0);
}

static void bring_back(struct devices *d, enum away how, const char *aside)
{
    if (how == UNREADABLE) {
        path_rule_fail(d->rules[1], 0);
        return;
    }
    if (how == UNMOUNTED) /* it was left alone, so it is empty */
        assert_int_equal(rmdir(d->paths[1]), 0);
    assert_int_equal(access(d->paths[1], F_OK), -1);
    assert_int_equal(rename(aside, d->paths[1]), 0);
}

static void devices_test_away(void **state)
{
    (void)state;
    for (enum away how = UNMOUNTED; how <= UNREADABLE; how++) {
        struct devices d;
        char aside[200];
        bool on_b[BLOBS];
        unsigned away = 0;
        filled(&d, "ww");
        (void)snprintf(aside, sizeof aside, "%s/aside", d.f.folder);
        uint32_t b = devices_stat(&d, 1).id;
        for (uint64_t i = 0; i < BLOBS; i++)
            on_b[i] = devices_of(&d, i, SIZE) == b;
        fixture_close(&d.f);
        take_away(&d, how, aside);
        fixture_open(&d.f);
        for (uint64_t i = 0; i < BLOBS; i++) {
            int r = fixture_get_seed(d.f.worker, i, SIZE);
            assert_int_equal(r, on_b[i] ? -EIO : 0);
            away += on_b[i];
        }
        assert_in_range(away, 10, BLOBS - 10);
        fixture_put_seeds(d.f.worker, 1000, 10, SIZE);
        all_served(&d, 1000, 10);
        /* A put of what is away is a put: it is there again. */
        uint64_t again = 0;
        while (!on_b[again])
            again++;
        assert_int_equal(fixture_put_seed(d.f.worker, again, SIZE), 0);
        assert_int_equal(fixture_get_seed(d.f.worker, again, SIZE), 0);
        fixture_close(&d.f);
        bring_back(&d, how, aside);
        fixture_open(&d.f);
        all_served(&d, 0, BLOBS);
        all_served(&d, 1000, 10);
        assert_int_equal(devices_stat(&d, 1).id, b);
        /* What was put again meanwhile is counted once. */
        assert_int_equal(devices_stat(&d, 0).blobs + devices_stat(&d, 1).blobs, BLOBS + 10);
        devices_free(&d);
    }
}

static void devices_test_none_there(void **state)
{
    (void)state;
    struct devices d;
    filled(&d, "ww");
    fixture_close(&d.f);
    path_rule_fail(d.rules[0], -EIO);
    path_rule_fail(d.rules[1], -EIO);
    devices_refused(&d.f, -EIO, "no warm device");
    path_rule_fail(d.rules[0], 0);
    path_rule_fail(d.rules[1], 0);
    fixture_open(&d.f);
    all_served(&d, 0, BLOBS);
    devices_free(&d);
}

/* The first page of one volume is on a bad sector: the rest of the store opens. */
static void devices_test_unreadable_volume(void **state)
{
    (void)state;
    struct devices d;
    char volume[200];
    unsigned lost = 0;
    devices_new(&d, "w");
    (void)snprintf(volume, sizeof volume, "%s/00000002.vol", d.paths[0]);
    /* Rules are looked at in order: the file's must come first. */
    struct path_rule *folder = d.rules[0];
    assert_int_equal(str_copy(str_of(volume), folder->folder, sizeof folder->folder), 0);
    fixture_open(&d.f);
    for (uint64_t i = 0; i < 20; i++)
        assert_int_equal(fixture_put_seed(d.f.worker, i, SIZE), 0);
    fixture_close(&d.f);
    atomic_store(&folder->bad_until, 4096);
    fixture_open(&d.f);
    for (uint64_t i = 0; i < 20; i++) {
        int r = fixture_get_seed(d.f.worker, i, SIZE);
        assert_true(r == 0 || r == -EIO);
        lost += r == -EIO;
    }
    assert_int_equal(lost, 5);
    fixture_put_seeds(d.f.worker, 1000, 10, SIZE);
    fixture_close(&d.f);
    atomic_store(&folder->bad_until, 0);
    fixture_open(&d.f);
    all_served(&d, 0, 20);
    all_served(&d, 1000, 10);
    devices_free(&d);
}

/* --- failing ---------------------------------------------------------------------------------- */

/* Blobs on a device whose writes fail: no put fails, and in the end nothing is left on it. */
static void fail_writes(struct devices *d, unsigned bad, void (*breaks)(struct path_rule *r))
{
    uint64_t failed_before = atomic_load(&d->rules[bad]->failed);
    breaks(d->rules[bad]);
    for (uint64_t i = 1000; i < 1040; i += 10)
        fixture_put_seeds(d->f.worker, i, 10, SIZE);
    assert_true(atomic_load(&d->rules[bad]->failed) > failed_before);
    assert_true(devices_stat(d, bad).failed);
    assert_false(devices_stat(d, 1 - bad).failed);
    all_served(d, 0, BLOBS);
    all_served(d, 1000, 40);
    path_rule_writes(d->rules[bad], 0);
}

static void fail_write(struct path_rule *r)
{
    atomic_store(&r->op[IO_WRITE], -EIO);
}

static void fail_sync(struct path_rule *r)
{
    atomic_store(&r->op[IO_SYNC], -EIO);
}

static void fail_make(struct path_rule *r)
{
    path_rule_writes(r, -EROFS);
}

/* The device of the volume that is written to now, which has room for more. */
static unsigned open_device(struct devices *d)
{
    struct store_stat before, after;
    uint64_t seed = 900;
    store_stat(d->f.store, &before);
    do {
        assert_int_equal(fixture_put_seed(d->f.worker, seed++, SIZE), 0);
        store_stat(d->f.store, &after);
    } while (after.volumes == before.volumes);
    return devices_of(d, seed - 1, SIZE) == devices_stat(d, 0).id ? 0 : 1;
}

static void devices_test_writes_fail(void **state)
{
    (void)state;
    void (*const ways[])(struct path_rule * r) = {fail_write, fail_sync, fail_make};
    for (unsigned i = 0; i < ARRAY_LEN(ways); i++) {
        struct devices d;
        filled(&d, "ww");
        unsigned bad = open_device(&d);
        /* And the next volumes would go there, too. */
        atomic_store(&d.rules[bad]->free, 60 << 20);
        fail_writes(&d, bad, ways[i]);
        fixture_close(&d.f);
        fixture_open(&d.f);
        assert_true(devices_stat(&d, bad).failed);
        uint64_t volumes = devices_stat(&d, bad).volumes;
        fixture_put_seeds(d.f.worker, 2000, 20, SIZE);
        assert_true(devices_stat(&d, bad).volumes <= volumes);
        assert_int_equal(store_settle(d.f.store), 0);
        assert_int_equal(devices_stat(&d, bad).volumes, 0);
        assert_int_equal(devices_files(d.paths[bad], ".vol"), 0);
        all_served(&d, 0, BLOBS);
        all_served(&d, 1000, 40);
        fixture_close(&d.f);
        fixture_open(&d.f);
        all_served(&d, 0, BLOBS);
        all_served(&d, 2000, 20);
        devices_free(&d);
    }
}

/* One sector of the failing device cannot be read: all around it is evacuated. */
static void devices_test_evacuation_with_loss(void **state)
{
    (void)state;
    struct devices d;
    unsigned lost = 0;
    filled(&d, "ww");
    atomic_store(&d.rules[1]->free, 60 << 20);
    /* The first record of each of its volumes, and not their headers. */
    atomic_store(&d.rules[1]->bad_from, FORMAT_RECORDS);
    atomic_store(&d.rules[1]->bad_until, 2 * FORMAT_ALIGN);
    uint64_t volumes = devices_stat(&d, 1).volumes;
    fail_write(d.rules[1]);
    fixture_put_seeds(d.f.worker, 1000, 10, SIZE);
    assert_true(devices_stat(&d, 1).failed);
    path_rule_writes(d.rules[1], 0);
    assert_int_equal(store_settle(d.f.store), 0);
    for (uint64_t i = 0; i < BLOBS; i++) {
        int r = fixture_get_seed(d.f.worker, i, SIZE);
        assert_true(r == 0 || r == -EIO);
        lost += r == -EIO;
    }
    assert_true(lost > 0 && lost <= volumes);
    assert_int_equal(devices_stat(&d, 1).blobs, lost);
    all_served(&d, 1000, 10);
    /* The sectors are read after all, some time later. */
    atomic_store(&d.rules[1]->bad_until, 0);
    all_served(&d, 0, BLOBS);
    devices_free(&d);
}

/* A file system that is mounted for reading only when the store opens. */
static void devices_test_read_only_device(void **state)
{
    (void)state;
    struct devices d;
    filled(&d, "ww");
    fixture_close(&d.f);
    path_rule_writes(d.rules[0], -EROFS);
    fixture_open(&d.f);
    assert_true(devices_stat(&d, 0).failed);
    all_served(&d, 0, BLOBS);
    fixture_put_seeds(d.f.worker, 1000, 10, SIZE);
    all_served(&d, 1000, 10);
    fixture_close(&d.f);
    path_rule_writes(d.rules[0], 0);
    fixture_open(&d.f);
    all_served(&d, 0, BLOBS);
    devices_free(&d);
}

/* --- whose ------------------------------------------------------------------------------------ */

static void devices_test_refused(void **state)
{
    (void)state;
    struct devices d, other;
    char file[200], theirs[200];
    filled(&d, "ww");
    fixture_close(&d.f);
    filled(&other, "ww");
    fixture_close(&other.f);
    (void)snprintf(file, sizeof file, "%s/device", d.paths[1]);
    (void)snprintf(theirs, sizeof theirs, "%s/aside", d.f.folder);

    d.list[1].path = other.paths[1];
    devices_refused(&d.f, -ESTALE, "belongs to another store");
    d.list[1].path = d.paths[0];
    devices_refused(&d.f, -EINVAL, "configured twice");
    d.list[1] = (struct store_device){.path = d.paths[1], .cold = true};
    devices_refused(&d.f, -EINVAL, "is a warm one and is configured as a cold one");
    d.list[1].cold = false;

    fixture_flip(file, offsetof(struct format_device_disk, version), 3);
    devices_refused(&d.f, -EPROTONOSUPPORT, "device format 2 and this program knows only 1");
    fixture_flip(file, offsetof(struct format_device_disk, version), 3);
    const unsigned places[] = {
        offsetof(struct format_device_disk, id), offsetof(struct format_device_disk, store_id),
        offsetof(struct format_device_disk, kind), offsetof(struct format_device_disk, checksum)};
    for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
        fixture_flip(file, places[i], 1);
        devices_refused(&d.f, -EBADMSG, "damaged");
        fixture_flip(file, places[i], 1);
    }
    fixture_flip(file, 0, 1);
    devices_refused(&d.f, -EBADMSG, "does not describe a device of a Weir store");
    fixture_flip(file, 0, 1);
    assert_int_equal(truncate(file, 10), 0);
    devices_refused(&d.f, -EBADMSG, "does not describe a device of a Weir store");
    assert_int_equal(file_remove_all(file), 0);

    /* A folder that was nobody's device and has volumes. */
    assert_int_equal(rename(d.paths[1], theirs), 0);
    d.list[1].path = theirs;
    devices_refused(&d.f, -EBADMSG, "has volumes and no file that says whose they are");
    devices_free(&d);
    devices_free(&other);
}

static void devices_test_moved(void **state)
{
    (void)state;
    struct devices d;
    char elsewhere[200];
    filled(&d, "ww");
    uint32_t id = devices_stat(&d, 1).id;
    fixture_close(&d.f);
    (void)snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", d.f.folder);
    assert_int_equal(rename(d.paths[1], elsewhere), 0);
    d.list[1].path = elsewhere;
    fixture_open(&d.f);
    assert_int_equal(devices_stat(&d, 1).id, id);
    assert_string_equal(devices_stat(&d, 1).path, elsewhere);
    all_served(&d, 0, BLOBS);
    fixture_close(&d.f);
    /* Both at once, the other way round: known by their files, not by their order. */
    d.list[0].path = elsewhere;
    d.list[1].path = d.paths[0];
    fixture_open(&d.f);
    all_served(&d, 0, BLOBS);
    fixture_close(&d.f);
    /* Unmounted where it is now; with a slash more that is the same place. */
    char slash[208], aside[200];
    (void)snprintf(slash, sizeof slash, "%s/", elsewhere);
    (void)snprintf(aside, sizeof aside, "%s/aside", d.f.folder);
    assert_int_equal(rename(elsewhere, aside), 0);
    assert_int_equal(mkdir(elsewhere, 0755), 0);
    d.list[0].path = slash;
    fixture_open(&d.f);
    assert_int_equal(devices_files(elsewhere, ""), 0);
    devices_free(&d);
}

static void devices_test_rebuild(void **state)
{
    (void)state;
    struct devices d;
    struct store_rebuild report;
    struct err err;
    char index[200];
    struct digest p = {{7}};
    struct store_ref ref;
    filled(&d, "ww");
    assert_int_equal(fixture_ref_put(d.f.worker, "film", &p, 0), 0);
    uint32_t ids[2] = {devices_stat(&d, 0).id, devices_stat(&d, 1).id};
    fixture_close(&d.f);
    (void)snprintf(index, sizeof index, "%s/index", d.f.path);
    assert_int_equal(file_remove_all(index), 0);
    devices_refused(&d.f, -ENOENT, "weirctl store rebuild");
    int r = store_rebuild(&d.f.options, NULL, NULL, &report, &err);
    if (r != 0)
        fail_msg("store_rebuild: %d: %s", r, err.text);
    assert_int_equal(report.blobs, BLOBS);
    assert_int_equal(report.refs, 1);
    fixture_open(&d.f);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(devices_stat(&d, i).id, ids[i]);
    all_served(&d, 0, BLOBS);
    assert_int_equal(store_ref_get(d.f.worker, STR("film"), &ref), 0);
    fixture_put_seeds(d.f.worker, 1000, 10, SIZE);
    all_served(&d, 1000, 10);
    devices_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices_test_spread),
        cmocka_unit_test(devices_test_files),
        cmocka_unit_test(devices_test_away),
        cmocka_unit_test(devices_test_none_there),
        cmocka_unit_test(devices_test_unreadable_volume),
        cmocka_unit_test(devices_test_writes_fail),
        cmocka_unit_test(devices_test_evacuation_with_loss),
        cmocka_unit_test(devices_test_read_only_device),
        cmocka_unit_test(devices_test_refused),
        cmocka_unit_test(devices_test_moved),
        cmocka_unit_test(devices_test_rebuild),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
