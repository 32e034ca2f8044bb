/* SPDX-License-Identifier: Apache-2.0 */
/* redis_target: which Redis, and how one is let in: what a URL and its files say.
 *
 * Life:    redis_target_load -> connections -> redis_target_clear.
 * Owner:   the bus.
 * Threads: read-only once loaded.
 * Errors:  -EINVAL and those of files, with a sentence that names the key.
 * Units:   none. */
#pragma once
#include <openssl/types.h>
#include "base/buf.h"
#include "bus/bus.h"

#define REDIS_PORT      6379
#define REDIS_TEXT_SIZE 256
#define REDIS_SEEDS_MAX 16

struct redis_address {
    char host[REDIS_TEXT_SIZE]; /* a name or an address, without brackets */
    uint16_t port;
};

struct redis_target {
    struct redis_address seeds[REDIS_SEEDS_MAX]; /* any of them: the first that answers is asked */
    unsigned seeds_count;                        /* at least one */
    char user[REDIS_TEXT_SIZE];                  /* empty: none */
    uint32_t db;
    bool is_tls;
    struct buf password; /* empty: none */
    SSL_CTX *tls;
};

bool redis_address_eq(const struct redis_address *a, const struct redis_address *b);

/* Fills the struct from the URL alone; "redis://host", "rediss://user@[::1]:6380/2",
 * "redis://a:7000,b:7000,c:7000". A password in it is refused: arguments and configuration files
 * are read by many. */
MUST_USE int redis_url_parse(struct str url, struct redis_target *ret, struct err *err);

MUST_USE int redis_target_load(const struct bus_redis_options *options, struct redis_target *ret,
                               struct err *err);
void redis_target_clear(struct redis_target *t);
