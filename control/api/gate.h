/* SPDX-License-Identifier: Apache-2.0 */
/* gate: every request below /api/ comes through here: which operation, who asks, may they, is what
 * they sent of the form that the document asks for; then the handler.
 *
 * Life:    gate_new -> gate_routes -> requests -> gate_free, when none is under way.
 * Owner:   the control service.
 * Threads: gate_new, gate_routes and gate_free: the main thread; requests: their loops.
 * Errors:  0 or -errno and a sentence.
 * Units:   bytes. */
#pragma once
#include "base/addr.h"
#include "bus/bus.h"
#include "control/api/caller.h"
#include "control/control.h"

struct gate;
struct op_handler;

/* lists: as spec_new's. callers: who finds out who asks; static data. Reads c->config. */
MUST_USE int gate_new(struct control *c, const struct op_handler *const *lists,
                      const struct caller_ops *callers, struct err *err, struct gate **ret);
struct gate *gate_free(struct gate *g);

/* Whose word about the client's address is believed; lent while the gate lives. */
const struct addr_net *gate_proxies(const struct gate *g, unsigned *ret_count);

struct cache_changes;
const struct cache_changes *gate_changes(const struct gate *g);

/* Now and then, on one loop: rate limits are told to and heard from other processes. */
void gate_share(struct gate *g, struct bus *bus);

/* body_max: of those that are taken as they come. */
MUST_USE int gate_routes(struct gate *g, struct http_server *server, uint64_t body_max);
size_t gate_body_max(const struct gate *g); /* that the server has to take */
