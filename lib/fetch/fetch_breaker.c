/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/fetch_breaker.h"
#include <errno.h>
#include <stdlib.h>

#define BREAKER_HOSTS_MAX 64

struct breaker_host {
    char *name; /* NULL: free */
    unsigned failures;
    uint64_t open_until_ms; /* 0: closed */
    uint64_t used_ms;
};

struct fetch_breaker {
    uint32_t magic;
#define FETCH_BREAKER_MAGIC UINT32_C(0xfe7cb4ea)
    unsigned failures_max;
    uint32_t open_ms;
    struct breaker_host hosts[BREAKER_HOSTS_MAX];
};

int fetch_breaker_new(unsigned failures_max, uint32_t open_ms, struct fetch_breaker **ret)
{
    ASSERT(failures_max > 0);
    struct fetch_breaker *b = calloc(1, sizeof *b);
    if (b == NULL)
        return -ENOMEM;
    b->magic = FETCH_BREAKER_MAGIC;
    b->failures_max = failures_max;
    b->open_ms = open_ms;
    *ret = b;
    return 0;
}

struct fetch_breaker *fetch_breaker_free(struct fetch_breaker *b)
{
    if (b == NULL)
        return NULL;
    ASSERT(b->magic == FETCH_BREAKER_MAGIC);
    for (unsigned i = 0; i < BREAKER_HOSTS_MAX; i++)
        free(b->hosts[i].name);
    MAGIC_CLEAR(b);
    free(b);
    return NULL;
}

/* The host's row, or NULL. */
static struct breaker_host *breaker_find(struct fetch_breaker *b, struct str host)
{
    ASSERT(b->magic == FETCH_BREAKER_MAGIC);
    for (unsigned i = 0; i < BREAKER_HOSTS_MAX; i++) {
        if (b->hosts[i].name != NULL && str_eq(str_of(b->hosts[i].name), host))
            return &b->hosts[i];
    }
    return NULL;
}

static struct breaker_host *breaker_add(struct fetch_breaker *b, struct str host)
{
    struct breaker_host *oldest = &b->hosts[0];
    for (unsigned i = 0; i < BREAKER_HOSTS_MAX && oldest->name != NULL; i++) {
        if (b->hosts[i].name == NULL || b->hosts[i].used_ms < oldest->used_ms)
            oldest = &b->hosts[i];
    }
    free(oldest->name);
    *oldest = (struct breaker_host){.name = str_dup(host)};
    return oldest->name == NULL ? NULL : oldest;
}

bool fetch_breaker_allow(struct fetch_breaker *b, struct str host, uint64_t now_ms)
{
    struct breaker_host *h = breaker_find(b, host);
    if (h == NULL || h->open_until_ms == 0)
        return true;
    if (now_ms < h->open_until_ms)
        return false;
    h->open_until_ms = now_ms + b->open_ms; /* this one tries; the others wait for what it finds */
    return true;
}

void fetch_breaker_succeeded(struct fetch_breaker *b, struct str host, uint64_t now_ms)
{
    struct breaker_host *h = breaker_find(b, host);
    if (h == NULL) /* no row: no failures */
        return;
    h->failures = 0;
    h->open_until_ms = 0;
    h->used_ms = now_ms;
}

void fetch_breaker_failed(struct fetch_breaker *b, struct str host, uint64_t now_ms)
{
    struct breaker_host *h = breaker_find(b, host);
    if (h == NULL)
        h = breaker_add(b, host);
    if (h == NULL) /* out of memory: the circuit stays closed */
        return;
    h->used_ms = now_ms;
    if (h->failures < b->failures_max)
        h->failures++;
    if (h->failures == b->failures_max)
        h->open_until_ms = now_ms + b->open_ms;
}
