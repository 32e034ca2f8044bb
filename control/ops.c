/* SPDX-License-Identifier: Apache-2.0 */
#include "control/ops.h"
#include "control/api/audit.h"

const struct op_handler *const ops_all[] = {
    broadcast_ops, plan_ops,     account_ops, admin_people_ops, factor_ops, audit_ops, oidc_ops,
    self_ops,      playback_ops, video_ops,   social_ops,       me_ops,     list_ops,  NULL,
};
