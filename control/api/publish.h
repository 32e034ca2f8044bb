/* SPDX-License-Identifier: Apache-2.0 */
/* publish: the API's document and the page that shows it, to whoever asks:
 * /api/v1/openapi.json, /docs, /docs/style.css. All of it is packed once, at the start.
 *
 * Life:    publish_new -> publish_routes -> requests -> publish_free, when none is under way.
 * Owner:   the gate.
 * Threads: publish_new and publish_free: the main thread; requests: their loops.
 * Errors:  -ENOMEM.
 * Units:   bytes. */
#pragma once
#include "control/control.h"

struct publish;

MUST_USE int publish_new(struct control *c, struct publish **ret);
struct publish *publish_free(struct publish *p);
MUST_USE int publish_routes(struct publish *p, struct http_server *server);
