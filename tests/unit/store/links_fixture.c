/* SPDX-License-Identifier: Apache-2.0 */
#include "links_fixture.h"
#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static _Atomic int64_t links_fixture_ahead_ms;

int64_t __real_clock_real_ms(void);
int64_t __wrap_clock_real_ms(void);

int64_t __wrap_clock_real_ms(void)
{
    return __real_clock_real_ms() + atomic_load(&links_fixture_ahead_ms);
}

void links_fixture_later(uint32_t seconds)
{
    atomic_fetch_add(&links_fixture_ahead_ms, (int64_t)seconds * 1000);
}

void links_fixture_now(void)
{
    atomic_store(&links_fixture_ahead_ms, 0);
}

void links_fixture_settle(struct fixture *f, bool due)
{
    if (due)
        links_fixture_later(LINKS_UNREFERENCED_S + LINKS_DROPPED_S);
    assert_int_equal(store_settle(f->store), 0);
}

#define LINKS_TEXT "links\n"
#define LINKS_HEAD (sizeof LINKS_TEXT - 1 + sizeof(uint64_t))

int links_fixture(void *arg, const uint8_t *bytes, uint32_t size, store_link_each *each,
                  void *each_arg)
{
    (void)arg;
    if (size < LINKS_HEAD || memcmp(bytes, LINKS_TEXT, sizeof LINKS_TEXT - 1) != 0 ||
        (size - LINKS_HEAD) % DIGEST_SIZE != 0)
        return -EBADMSG;
    for (uint32_t at = LINKS_HEAD; at < size; at += DIGEST_SIZE) {
        struct digest d;
        memcpy(d.bytes, bytes + at, DIGEST_SIZE);
        int r = each(each_arg, &d);
        if (r < 0)
            return r;
    }
    return 0;
}

void links_fixture_init(struct fixture *f)
{
    f->options.links = links_fixture;
    f->options.unreferenced_s = LINKS_UNREFERENCED_S;
    f->options.dropped_s = LINKS_DROPPED_S;
}

void links_fixture_open(struct fixture *f)
{
    fixture_new(f);
    links_fixture_init(f);
    fixture_open(f);
}

struct rbuf *links_fixture_blob(uint64_t salt, const struct digest *links, unsigned count,
                                struct digest *ret)
{
    struct rbuf *b = NULL;
    uint32_t cap_size, size = (uint32_t)(LINKS_HEAD + count * DIGEST_SIZE);
    assert_int_equal(rbuf_new(size, &b), 0);
    uint8_t *at = rbuf_space(b, &cap_size);
    memcpy(at, LINKS_TEXT, sizeof LINKS_TEXT - 1);
    memcpy(at + sizeof LINKS_TEXT - 1, &salt, sizeof salt);
    if (count > 0)
        memcpy(at + LINKS_HEAD, links, count * DIGEST_SIZE);
    rbuf_window(b, 0, size);
    *ret = digest_of(at, size);
    return b;
}

int links_fixture_put(struct store_worker *w, uint64_t salt, const struct digest *links,
                      unsigned count, struct digest *ret)
{
    struct rbuf *b = links_fixture_blob(salt, links, count, ret);
    int r = fixture_put(w, ret, b, 0);
    rbuf_unref(b);
    return r;
}

struct digest links_fixture_digest(uint64_t seed, uint32_t size)
{
    struct digest d;
    rbuf_unref(fixture_blob(seed, size, &d));
    return d;
}

void links_fixture_film(struct store_worker *w, uint64_t first, unsigned count, uint32_t size,
                        struct digest *ret)
{
    struct digest *links = calloc(count, sizeof *links);
    assert_non_null(links);
    if (count > 0)
        fixture_put_seeds(w, first, count, size);
    for (unsigned i = 0; i < count; i++)
        links[i] = links_fixture_digest(first + i, size);
    assert_int_equal(links_fixture_put(w, first, links, count, ret), 0);
    free(links);
}

int links_fixture_refs(struct store_worker *w, const struct digest *d)
{
    struct store_blob b;
    int r = store_blob_look(w, d, &b);
    assert_true(r == 0 || r == -ENOENT);
    return r == 0 ? (int)b.refs : -1;
}

uint64_t links_fixture_allocated(const struct fixture *f)
{
    char path[512];
    uint64_t sum = 0;
    struct stat st;
    const struct dirent *e;
    assert_true(snprintf(path, sizeof path, "%s/warm", f->path) > 0);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while ((e = readdir(dir)) != NULL) {
        if (strstr(e->d_name, ".vol") == NULL)
            continue;
        assert_true(snprintf(path, sizeof path, "%s/warm/%s", f->path, e->d_name) > 0);
        /* A volume may go while we look. */
        if (stat(path, &st) == 0)
            sum += (uint64_t)st.st_blocks * 512;
    }
    assert_int_equal(closedir(dir), 0);
    return sum;
}
