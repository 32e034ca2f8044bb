/* SPDX-License-Identifier: Apache-2.0 */
#include "evict_trace.h"
#include <errno.h>
#include <stdlib.h>

/* Room for one more of *count things of this size. */
static int evict_trace_grow(void **array, uint32_t count, uint32_t *cap, size_t size)
{
    if (count < *cap)
        return 0;
    if (count >= EVICT_REQUESTS_MAX)
        return -EFBIG;
    uint32_t n = *cap < 1024 ? 1024 : *cap > UINT32_MAX / 2 ? UINT32_MAX : *cap * 2;
    void *more = reallocarray(*array, n, size);
    if (more == NULL)
        return -ENOMEM;
    *array = more;
    *cap = n;
    return 0;
}

int evict_trace_object(struct evict_trace *t, uint32_t size, uint32_t *ret_object)
{
    ASSERT(t->next == NULL);
    void *sizes = t->sizes;
    int r = evict_trace_grow(&sizes, t->objects_count, &t->objects_cap, sizeof *t->sizes);
    t->sizes = sizes;
    if (r < 0)
        return r;
    t->sizes[t->objects_count] = MAX(size, 1);
    *ret_object = t->objects_count++;
    return 0;
}

int evict_trace_request(struct evict_trace *t, uint32_t object)
{
    ASSERT(object < t->objects_count);
    void *requests = t->requests;
    int r = evict_trace_grow(&requests, t->requests_count, &t->requests_cap, sizeof *t->requests);
    t->requests = requests;
    if (r < 0)
        return r;
    t->requests[t->requests_count++] = object;
    return 0;
}

int evict_trace_finish(struct evict_trace *t)
{
    ASSERT(t->next == NULL);
    uint32_t *last = malloc(MAX(t->objects_count, 1) * sizeof *last);
    t->next = malloc(MAX(t->requests_count, 1) * sizeof *t->next);
    t->digests = malloc(MAX(t->objects_count, 1) * sizeof *t->digests);
    if (last == NULL || t->next == NULL || t->digests == NULL) {
        free(last);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < t->objects_count; i++) {
        last[i] = EVICT_NEVER;
        t->digests[i] = digest_of(&i, sizeof i);
    }
    for (uint32_t i = t->requests_count; i-- > 0;) {
        uint32_t object = t->requests[i];
        t->next[i] = last[object];
        t->footprint += last[object] == EVICT_NEVER ? t->sizes[object] : 0;
        t->bytes += t->sizes[object];
        last[object] = i;
    }
    free(last);
    return 0;
}

void evict_trace_free(struct evict_trace *t)
{
    free(t->sizes);
    free(t->requests);
    free(t->next);
    free(t->digests);
    *t = (struct evict_trace){0};
}
