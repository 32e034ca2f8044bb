/* SPDX-License-Identifier: Apache-2.0 */
#include "control/ops.h"
#include "control/api/audit.h"

/* One a line, so that areas do not get into each other's way. */
/* clang-format off */
const struct op_handler *const ops_all[] = {
    account_ops,
    admin_people_ops,
    audit_ops,
    broadcast_ops,
    factor_ops,
    history_ops,
    list_ops,
    me_ops,
    oidc_ops,
    plan_ops,
    playback_ops,
    self_ops,
    service_ops,
    social_ops,
    video_ops,
    NULL,
};
/* clang-format on */
