/* SPDX-License-Identifier: Apache-2.0 */
/* ops: every area's handlers, and who finds out who asks. A new area has its table here, and is
 * named in ops.c.
 *
 * Life:    static data.
 * Owner:   -
 * Threads: any.
 * Errors:  -
 * Units:   - */
#pragma once
#include "control/api/spec.h"

extern const struct caller_ops people_callers;

/* Each ends with an id of NULL. */
extern const struct op_handler account_ops[];
extern const struct op_handler broadcast_ops[];
extern const struct op_handler plan_ops[];
extern const struct op_handler admin_people_ops[];
extern const struct op_handler factor_ops[];
extern const struct op_handler oidc_ops[];
extern const struct op_handler self_ops[];
extern const struct op_handler playback_ops[];
extern const struct op_handler service_ops[];
extern const struct op_handler video_ops[];
extern const struct op_handler social_ops[];
extern const struct op_handler me_ops[];
extern const struct op_handler history_ops[];
extern const struct op_handler list_ops[];

extern const struct op_handler *const ops_all[]; /* ends with NULL */
