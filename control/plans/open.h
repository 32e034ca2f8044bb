/* SPDX-License-Identifier: Apache-2.0 */
/* open: where the sessions of a worker are kept, as the configuration says, and what looks after
 * them.
 *
 * Life:    plans_open -> requests -> plans_close, also after a failed plans_open.
 * Owner:   the worker.
 * Threads: the worker's loop's.
 * Errors:  0 or -errno; a sentence is logged.
 * Units:   none. */
#pragma once
#include "control/control.h"

/* Fills bus and leases; the first worker also sweeps and mends. */
MUST_USE int plans_open(struct control_worker *w, bool is_first);
void plans_close(struct control_worker *w);
