/* SPDX-License-Identifier: Apache-2.0 */
/* libh2o keeps up to 16 buffers of each kind for each thread (__thread lists) and has no call to
 * give them back. A daemon that ends does not care; a program that starts and stops servers, like
 * every test, would lose about 1.5 MB for each worker. The three lists and how each is emptied:
 *
 *   socket input    the list is public: h2o_socket_buffer_prototype.allocator
 *   request pools   hidden, but it is what h2o_mem_alloc_pool takes from, newest first: so many
 *                   chunks as it may hold are taken, and freed instead of given back
 *   HTTP/2 output   hidden; an HTTP/2 connection's output buffer points at it */
#include "http/http_priv.h"
#include <h2o/http2.h>
#include <h2o/http2_internal.h>
#include <stdlib.h>

#define HTTP_POOL_CHUNKS 16   /* lib/common/memory.c: mempool_allocator */
#define HTTP_POOL_ALLOC  1000 /* the largest that still comes out of a 4 KiB chunk */

void http__recycle_learn(struct http_worker *w, const struct st_h2o_http2_conn_t *conn)
{
    if (w->h2_write_prototype != NULL)
        return;
    h2o_buffer_t *buffer = conn->_write.buf;
    w->h2_write_prototype = buffer->bytes != NULL
                                ? buffer->_prototype
                                : CONTAINER_OF(buffer, h2o_buffer_prototype_t, _initial_buf);
}

static void http_recycle_empty(h2o_mem_recycle_t *list)
{
    while (list->cnt > 0)
        free(h2o_mem_alloc_recycle(list, 0)); /* takes from the list while it has some */
}

static void http_recycle_pools(void)
{
    h2o_mem_pool_t pool;
    h2o_mem_init_pool(&pool);
    unsigned chunks = 0;
    for (void *last = NULL; chunks < HTTP_POOL_CHUNKS;) {
        (void)h2o_mem_alloc_pool(&pool, HTTP_POOL_ALLOC);
        if (pool.chunks != last)
            chunks++;
        last = pool.chunks;
    }
    while (pool.chunks != NULL) {
        void *chunk = pool.chunks; /* its first word is the next one */
        memcpy(&pool.chunks, chunk, sizeof pool.chunks);
        free(chunk);
    }
}

void http__recycle_free(struct http_worker *w)
{
    http_recycle_empty(&h2o_socket_buffer_prototype.allocator);
    if (w->h2_write_prototype != NULL)
        http_recycle_empty(&w->h2_write_prototype->allocator);
    http_recycle_pools();
}
