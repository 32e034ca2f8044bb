/* SPDX-License-Identifier: Apache-2.0 */
/* edge-origin: the origin behind all caches of the edge benchmark: any name, any size, bytes of its
 * own for each name, cacheable for a day.
 *
 *   usage: edge-origin PORT
 *   GET /o/NAME/SIZE   SIZE bytes that no other NAME has; /v/NAME/SIZE is the same
 *   GET /count         {"requests": ..., "bytes": ...} sent of /o/ since the last /reset
 *   GET /reset         counts from 0 again */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/digest.h"
#include "base/log.h"
#include "http/http.h"

#define ORIGIN_POOL     (UINT32_C(64) << 20) /* of bytes that are hard to compress */
#define ORIGIN_STAMP    sizeof(struct digest)
#define ORIGIN_SIZE_MAX (UINT64_C(1) << 40)

static uint8_t *origin_pool;
static atomic_ullong origin_requests, origin_bytes;

struct origin_body {
    struct digest name; /* the first bytes; the rest is of the pool, from a place that it chooses */
    uint64_t size;
};

static int origin_read(void *source, uint64_t offset, uint32_t size_max, const uint8_t **ret_data,
                       uint32_t *ret_size)
{
    const struct origin_body *b = source;
    if (offset >= b->size)
        return -ENODATA;
    uint64_t left = MIN((uint64_t)size_max, b->size - offset);
    if (offset < ORIGIN_STAMP) {
        *ret_data = b->name.bytes + offset;
        left = MIN(left, ORIGIN_STAMP - offset);
    } else {
        uint64_t begin;
        memcpy(&begin, b->name.bytes, sizeof begin);
        uint64_t at = (begin + offset) % ORIGIN_POOL;
        *ret_data = origin_pool + at;
        left = MIN(left, ORIGIN_POOL - at);
    }
    *ret_size = (uint32_t)left;
    atomic_fetch_add(&origin_bytes, left); /* as they are sent: of a range no more than that */
    return 0;
}

static void origin_close(void *source)
{
    free(source);
}

static void origin_on_object(struct http_req *req, void *arg)
{
    (void)arg;
    static const struct http_source_ops ops = {origin_read, origin_close};
    struct str text;
    struct str name = str_cut(str_skip(http_req_path(req), strlen("/o/")), '/', &text);
    uint64_t size = 0;
    struct origin_body *b = calloc(1, sizeof *b);
    if (b == NULL || str_to_u64(text, &size) < 0 || size == 0 || size > ORIGIN_SIZE_MAX) {
        free(b);
        http_reply(req, 404, NULL, STR_NONE);
        return;
    }
    b->name = digest_of(name.data, name.size);
    b->size = size;
    atomic_fetch_add(&origin_requests, 1);
    char etag[DIGEST_TEXT_SIZE + 2];
    char digest[DIGEST_TEXT_SIZE];
    digest_format(&b->name, digest);
    (void)snprintf(etag, sizeof etag, "\"%s\"", digest);
    http_reply_entity(req, &(struct http_entity){.type = "video/mp4",
                                                 .etag = etag,
                                                 .cache_control = "public, max-age=86400",
                                                 .modified_s = 784111777,
                                                 .source_ops = &ops,
                                                 .source = b,
                                                 .size = size});
}

static void origin_on_count(struct http_req *req, void *arg)
{
    (void)arg;
    char text[128];
    (void)snprintf(text, sizeof text, "{\"requests\": %llu, \"bytes\": %llu}\n",
                   atomic_load(&origin_requests), atomic_load(&origin_bytes));
    http_reply(req, 200, "application/json", str_of(text));
}

static void origin_on_reset(struct http_req *req, void *arg)
{
    (void)arg;
    atomic_store(&origin_requests, 0);
    atomic_store(&origin_bytes, 0);
    http_reply(req, 204, NULL, STR_NONE);
}

static int origin_fill_pool(void)
{
    origin_pool = malloc(ORIGIN_POOL);
    if (origin_pool == NULL)
        return -ENOMEM;
    uint64_t seed = 88172645463325252u;
    for (size_t i = 0; i < ORIGIN_POOL; i += sizeof seed) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        memcpy(origin_pool + i, &seed, sizeof seed);
    }
    return 0;
}

static int origin_serve(uint16_t port, struct err *err)
{
    const struct http_listen listen = {.address = "127.0.0.1", .port = port};
    const struct http_options options = {.listens = &listen, .listens_count = 1, .workers = 1};
    struct http_server *s = NULL;
    sigset_t set;
    int signal;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    int r = http_server_new(&options, err, &s);
    if (r == 0)
        r = http_route(s, HTTP_GET, "/o/", origin_on_object, NULL);
    if (r == 0)
        r = http_route(s, HTTP_GET, "/v/", origin_on_object, NULL);
    if (r == 0)
        r = http_route(s, HTTP_GET, "/count", origin_on_count, NULL);
    if (r == 0)
        r = http_route(s, HTTP_GET, "/reset", origin_on_reset, NULL);
    if (r == 0)
        r = http_server_start(s, err);
    if (r == 0)
        (void)sigwait(&set, &signal);
    http_server_free(s);
    return r;
}

int main(int argc, char **argv)
{
    uint64_t port = 0;
    if (argc != 2 || str_to_u64(str_of(argv[1]), &port) < 0 || port > UINT16_MAX) {
        (void)fprintf(stderr, "usage: edge-origin PORT\n");
        return 2;
    }
    log_init("edge-origin", LOG_WARN);
    struct err err = {.text = "out of memory"};
    int r = origin_fill_pool();
    if (r == 0)
        r = origin_serve((uint16_t)port, &err);
    free(origin_pool);
    if (r < 0)
        (void)fprintf(stderr, "edge-origin: %s\n", err.text);
    return r < 0 ? 1 : 0;
}
