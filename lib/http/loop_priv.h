/* SPDX-License-Identifier: Apache-2.0 */
/* loop_priv: what lib/http itself needs of a loop: the library's own event loop below it.
 *
 * Life:    as struct loop.
 * Owner:   the loop.
 * Threads: the loop's own.
 * Errors:  none.
 * Units:   none. */
#pragma once
#include <h2o.h>
#include "http/loop.h"

h2o_evloop_t *loop__h2o(struct loop *l);

/* cb runs before each look at descriptors: nothing is read between what was done and it. Neither
 * writes to a socket. */
void loop__before_poll(struct loop *l, loop_cb *cb, void *arg);

/* True while messages wait: posted, not yet run. */
bool loop__has_messages(struct loop *l);
