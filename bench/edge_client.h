/* SPDX-License-Identifier: Apache-2.0 */
/* edge_client: many HTTP/1.1 connections on one thread, for load that h2load and wrk do not make:
 * paced viewers, all at once, replayed traces.
 *
 * Life:    client_new -> client_connect -> client_get* and client_poll -> client_free.
 * Owner:   the caller.
 * Threads: one.
 * Errors:  0 or -errno. A connection that fails is counted, and opened anew for its next request.
 * Units:   bytes, microseconds. */
#pragma once
#include "base/base.h"

struct client;

struct client_options {
    uint16_t port; /* on 127.0.0.1 */
    bool tls;      /* 1.3, certificates are not looked at */
    unsigned connections;
    const char *host;
    /* A request is over: its time from client_get to the last byte; error: not 200 or 206, or it
     * broke off. */
    void (*on_done)(void *arg, unsigned connection, uint64_t us, bool error);
    void *arg;
};

struct client_stat {
    uint64_t requests, errors, bytes, opened;
};

MUST_USE int client_new(const struct client_options *options, struct client **ret);
struct client *client_free(struct client *c);

/* Opens all and waits until they stand, handshakes included. */
MUST_USE int client_connect(struct client *c);

/* One at a time for each connection. */
void client_get(struct client *c, unsigned connection, const char *path);
bool client_is_busy(const struct client *c, unsigned connection);
void client_poll(struct client *c, uint32_t wait_ms);
void client_stat(const struct client *c, struct client_stat *ret);
