/* SPDX-License-Identifier: Apache-2.0 */
#include "control/ops.h"
#include "control/api/audit.h"

const struct op_handler *const ops_all[] = {
    account_ops, audit_ops, broadcast_ops, plan_ops, playback_ops, video_ops, NULL,
};
