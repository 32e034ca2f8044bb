/* SPDX-License-Identifier: Apache-2.0 */
#include "store_fixture.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/file.h"
#include "io/io.h"

void fixture_new(struct fixture *f)
{
    fixture_new_in(f, "/tmp");
}

void fixture_new_in(struct fixture *f, const char *where)
{
    *f = (struct fixture){0};
    int n = snprintf(f->folder, sizeof f->folder, "%s/weir-store-XXXXXX", where);
    assert_in_range(n, 1, sizeof f->folder - 1);
    assert_non_null(mkdtemp(f->folder));
    assert_true(snprintf(f->path, sizeof f->path, "%s/s", f->folder) > 0);
    f->options = (struct store_options){.path = f->path,
                                        .volume_size = 1 << 20,
                                        .index_size = 1 << 20,
                                        .scrub_rate = STORE_RATE_NONE};
    const char *io = getenv("WEIR_TEST_IO");
    if (io != NULL)
        f->options.io = strcmp(io, "plain") == 0 ? &io_plain : &io_ring;
}

void fixture_open(struct fixture *f)
{
    struct err err = {{0}};
    int r = store_open(&f->options, &err, &f->store);
    if (r != 0)
        fail_msg("store_open: %d: %s", r, err.text);
    assert_int_equal(store_worker_new(f->store, &f->worker), 0);
}

void fixture_close(struct fixture *f)
{
    f->worker = store_worker_free(f->worker);
    f->store = store_close(f->store);
}

void fixture_reopen(struct fixture *f)
{
    fixture_close(f);
    fixture_open(f);
}

void fixture_free(struct fixture *f)
{
    fixture_close(f);
    assert_int_equal(file_remove_all(f->folder), 0);
}

struct rbuf *fixture_blob(uint64_t seed, uint32_t size, struct digest *ret)
{
    struct rbuf *b = NULL;
    uint32_t cap_size;
    assert_int_equal(rbuf_new(size > 0 ? size : 1, &b), 0);
    uint8_t *data = rbuf_space(b, &cap_size);
    uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (uint32_t i = 0; i < size; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        data[i] = (uint8_t)x;
    }
    rbuf_window(b, 0, size);
    *ret = digest_of(data, size);
    return b;
}

struct answer {
    bool done;
    int res;
    struct rbuf *blob;
};

static void on_done(void *arg, int res)
{
    struct answer *a = arg;
    assert_false(a->done);
    a->res = res;
    a->done = true;
}

static void on_get(void *arg, int res, struct rbuf *blob)
{
    struct answer *a = arg;
    assert_false(a->done);
    assert_true((res == 0) == (blob != NULL));
    a->res = res;
    a->blob = blob != NULL ? rbuf_ref(blob) : NULL;
    a->done = true;
}

int fixture_put(struct store_worker *w, const struct digest *d, struct rbuf *blob, unsigned flags)
{
    struct answer a = {0};
    store_put(w, d, blob, flags, on_done, &a);
    store_worker_wait(w, &a.done);
    return a.res;
}

int fixture_get(struct store_worker *w, const struct digest *d, struct rbuf **ret)
{
    struct answer a = {0};
    store_get(w, d, on_get, &a);
    store_worker_wait(w, &a.done);
    if (a.res == 0)
        *ret = a.blob;
    return a.res;
}

int fixture_get_own(struct store_worker *w, const struct digest *d)
{
    struct answer a = {0};
    store_get_own(w, d, on_get, &a);
    store_worker_wait(w, &a.done);
    if (a.res == 0)
        rbuf_unref(a.blob);
    return a.res;
}

int fixture_put_seed(struct store_worker *w, uint64_t seed, uint32_t size)
{
    struct digest d;
    struct rbuf *b = fixture_blob(seed, size, &d);
    int r = fixture_put(w, &d, b, 0);
    rbuf_unref(b);
    return r;
}

struct many {
    unsigned left;
    bool done;
};

static void on_one_of_many(void *arg, int res)
{
    struct many *m = arg;
    assert_int_equal(res, 0);
    m->done = --m->left == 0;
}

void fixture_put_seeds(struct store_worker *w, uint64_t first, unsigned count, uint32_t size)
{
    struct many m = {.left = count};
    for (unsigned i = 0; i < count; i++) {
        struct digest d;
        struct rbuf *b = fixture_blob(first + i, size, &d);
        store_put(w, &d, b, 0, on_one_of_many, &m);
        rbuf_unref(b);
    }
    store_worker_wait(w, &m.done);
}

int fixture_get_seed(struct store_worker *w, uint64_t seed, uint32_t size)
{
    struct digest d;
    struct rbuf *want = fixture_blob(seed, size, &d), *got = NULL;
    int r = fixture_get(w, &d, &got);
    if (r == 0) {
        uint32_t got_size, want_size;
        const uint8_t *g = rbuf_data(got, &got_size), *x = rbuf_data(want, &want_size);
        assert_int_equal(got_size, want_size);
        assert_memory_equal(g, x, want_size);
    }
    rbuf_unref(got);
    rbuf_unref(want);
    return r;
}

int fixture_ref_put(struct store_worker *w, const char *name, const struct digest *d,
                    uint64_t expect)
{
    struct answer a = {0};
    store_ref_put(w, str_of(name), d, expect, on_done, &a);
    store_worker_wait(w, &a.done);
    return a.res;
}

int fixture_ref_delete(struct store_worker *w, const char *name)
{
    struct answer a = {0};
    store_ref_delete(w, str_of(name), on_done, &a);
    store_worker_wait(w, &a.done);
    return a.res;
}

void fixture_flip(const char *path, uint64_t offset, uint8_t mask)
{
    uint8_t byte;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= mask;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(close(fd), 0);
}

void fixture_volume_path(const struct fixture *f, uint32_t id, char out[160])
{
    assert_true(snprintf(out, 160, "%s/warm/%08x.vol", f->path, id) < 160);
}
