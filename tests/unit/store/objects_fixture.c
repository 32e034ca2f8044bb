/* SPDX-License-Identifier: Apache-2.0 */
#include "objects_fixture.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/file.h"
#include "../unit.h"

void objects_fixture_new_in(struct objects_fixture *f, const char *where)
{
    *f = (struct objects_fixture){0};
    (void)snprintf(f->folder, sizeof f->folder, "%s/weir-objects-XXXXXX", where);
    assert_non_null(mkdtemp(f->folder));
    f->options = (struct objects_options){.path = f->folder, .size_max = 64 << 20};
}

void objects_fixture_new(struct objects_fixture *f)
{
    objects_fixture_new_in(f, "/tmp");
    objects_fixture_open(f);
}

void objects_fixture_open(struct objects_fixture *f)
{
    struct err err = {0};
    if (objects_open(&f->options, &err, &f->objects) < 0)
        fail_msg("%s", err.text);
}

void objects_fixture_close(struct objects_fixture *f)
{
    f->objects = objects_close(f->objects);
}

void objects_fixture_reopen(struct objects_fixture *f)
{
    objects_fixture_close(f);
    objects_fixture_open(f);
}

void objects_fixture_free(struct objects_fixture *f)
{
    objects_fixture_close(f);
    assert_int_equal(file_remove_all(f->folder), 0);
}

struct digest objects_fixture_key(uint64_t seed)
{
    return digest_of(&seed, sizeof seed);
}

char *objects_fixture_record(uint64_t seed, size_t size)
{
    char *bytes = malloc(size + sizeof(uint64_t));
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
        uint64_t word = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) + i;
        memcpy(bytes + i, &word, sizeof word);
    }
    return bytes;
}

void objects_fixture_put(struct objects_fixture *f, uint64_t seed, size_t size)
{
    struct digest key = objects_fixture_key(seed);
    char *bytes = objects_fixture_record(seed, size);
    assert_int_equal(objects_put(f->objects, &key, (struct str){bytes, size}), 0);
    free(bytes);
}

int objects_fixture_get(struct objects_fixture *f, uint64_t seed)
{
    CLEAN_BUF struct buf b = BUF_EMPTY;
    struct digest key = objects_fixture_key(seed);
    buf_puts(&b, "before");
    int r = objects_get(f->objects, &key, &b);
    assert_int_equal(buf_error(&b), 0);
    if (r < 0) {
        assert_int_equal(b.size, 6); /* nothing was appended */
        return r;
    }
    char *bytes = objects_fixture_record(seed, b.size - 6);
    assert_memory_equal(b.data, "before", 6);
    assert_memory_equal(b.data + 6, bytes, b.size - 6);
    free(bytes);
    return (int)b.size - 6;
}

void objects_fixture_purge(struct objects_fixture *f, uint64_t tag, bool soft)
{
    struct digest d = objects_fixture_key(tag);
    assert_int_equal(objects_purge(f->objects, &d, 1, soft), 0);
}

enum objects_mark objects_fixture_check(struct objects_fixture *f, uint64_t tag, uint64_t sequence)
{
    struct digest d = objects_fixture_key(tag);
    return objects_check(f->objects, &d, 1, sequence);
}

void objects_fixture_flip(const char *path, uint64_t offset)
{
    uint8_t byte;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
    assert_int_equal(close(fd), 0);
}

void objects_fixture_flip_mark(const struct objects_fixture *f, uint64_t tag)
{
    struct digest d = objects_fixture_key(tag);
    struct buf file = BUF_EMPTY;
    char path[160];
    (void)snprintf(path, sizeof path, "%s/objects/data.mdb", f->folder);
    assert_int_equal(file_read(path, (size_t)64 << 20, &file), 0);
    unsigned count = 0;
    const char *from = file.data;
    /* Older pages have it as well: all of them. */
    for (;; count++, from++) {
        from = memmem(from, file.size - (size_t)(from - file.data), d.bytes, sizeof d.bytes);
        if (from == NULL)
            break;
        objects_fixture_flip(path, (uint64_t)(from - file.data) + sizeof d.bytes);
    }
    assert_true(count > 0);
    buf_free(&file);
}
