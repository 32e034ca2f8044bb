/* SPDX-License-Identifier: Apache-2.0 */
/* redis_resolve: a host's name looked up without keeping the loop waiting.
 *
 * Life:    redis_resolve_new -> the callback once, on a later turn -> redis_resolve_free.
 *          redis_resolve_free before that: no callback; it waits for a look-up under way.
 * Owner:   the link.
 * Threads: the loop's; the look-up has a thread of its own.
 * Errors:  -EHOSTUNREACH: no such name, or no resolver.
 * Units:   none. */
#pragma once
#include <sys/socket.h>
#include "http/loop.h"

struct redis_resolve;
typedef void redis_resolved(void *arg, int res, const struct sockaddr *address, socklen_t size);

/* turn: which of the name's addresses, counted round. An address is no look-up. */
MUST_USE int redis_resolve_new(struct loop *loop, const char *host, uint16_t port, unsigned turn,
                               redis_resolved *cb, void *arg, struct redis_resolve **ret);
struct redis_resolve *redis_resolve_free(struct redis_resolve *q); /* takes NULL, returns NULL */
