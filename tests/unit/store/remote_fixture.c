/* SPDX-License-Identifier: Apache-2.0 */
#include "remote_fixture.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

void remote_new(struct remote *r, enum store_durability durability)
{
    *r = (struct remote){.tier = NULL};
    fixture_new(&r->f);
    (void)snprintf(r->folder, sizeof r->folder, "%s/tier", r->f.folder);
    r->tier = folder_tier_new(r->folder);
    r->f.options.remote = folder_tier_of(r->tier);
    r->f.options.durability = durability;
}

void remote_free(struct remote *r)
{
    fixture_close(&r->f);
    r->tier = folder_tier_free(r->tier);
    fixture_free(&r->f);
}

static void on_put(void *arg, int res)
{
    struct remote_put *p = arg;
    assert_false(p->done);
    p->res = res;
    p->done = true;
}

void remote_put(struct remote *r, struct remote_put *p, uint64_t seed, uint32_t size)
{
    struct digest d;
    struct rbuf *b = fixture_blob(seed, size, &d);
    *p = (struct remote_put){.res = 1};
    store_put(r->f.worker, &d, b, 0, on_put, p);
    rbuf_unref(b);
}

void remote_turn(struct remote *r)
{
    struct pollfd p = {.fd = store_worker_event_fd(r->f.worker), .events = POLLIN};
    (void)poll(&p, 1, 20);
    store_worker_poll(r->f.worker);
}

struct digest remote_digest(uint64_t seed, uint32_t size)
{
    struct digest d;
    rbuf_unref(fixture_blob(seed, size, &d));
    return d;
}

struct store_blob remote_look(struct remote *r, uint64_t seed, uint32_t size)
{
    struct store_blob b = {.length = 0};
    struct digest d = remote_digest(seed, size);
    assert_int_equal(store_blob_look(r->f.worker, &d, &b), 0);
    return b;
}

bool remote_has(struct remote *r, uint64_t seed, uint32_t size)
{
    struct digest d = remote_digest(seed, size);
    return folder_tier_has(r->tier, &d);
}

struct store_stat remote_stat(struct remote *r)
{
    struct store_stat stat;
    store_stat(r->f.store, &stat);
    return stat;
}

int remote_links(void *arg, const uint8_t *bytes, uint32_t size, store_link_each *each,
                 void *each_arg)
{
    int r = 0;
    (void)arg;
    if (size % DIGEST_SIZE != 0)
        return -EBADMSG;
    for (uint32_t at = 0; at < size && r >= 0; at += DIGEST_SIZE) {
        struct digest d;
        memcpy(d.bytes, bytes + at, DIGEST_SIZE);
        r = each(each_arg, &d);
    }
    return MIN(r, 0);
}

void remote_publish(struct remote *r, const char *name, uint64_t first, unsigned count,
                    uint32_t size)
{
    struct digest *links = calloc(count, sizeof *links);
    struct rbuf *b = NULL;
    assert_non_null(links);
    for (unsigned i = 0; i < count; i++)
        links[i] = remote_digest(first + i, size);
    struct digest d = digest_of(links, count * sizeof *links);
    assert_int_equal(rbuf_copy(links, count * sizeof *links, &b), 0);
    assert_int_equal(fixture_put(r->f.worker, &d, b, 0), 0);
    assert_int_equal(fixture_ref_put(r->f.worker, name, &d, STORE_REF_ANY), 0);
    rbuf_unref(b);
    free(links);
}

bool remote_patience(unsigned *tries)
{
    if (++*tries > 3000)
        fail_msg("what was waited for did not come");
    (void)poll(NULL, 0, 10);
    return true;
}
