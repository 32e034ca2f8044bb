/* SPDX-License-Identifier: Apache-2.0 */
/* What answers here: openapi/service.yaml. */
#include "control/api/call.h"
#include "control/api/gate_priv.h"
#include "control/ops.h"

static int service_get(struct call *c)
{
    const struct gate_settings *s = c->control->gate->settings;
    return call_answer(c, json_pack("{s:s, s:s, s:I, s:I, s:s}", "name", "weir-control", "version",
                                    WEIR_VERSION, "rate_user", (json_int_t)s->rate_user,
                                    "rate_address", (json_int_t)s->rate_address, "document",
                                    "/api/v1/openapi.json"));
}

const struct op_handler service_ops[] = {
    {"service_get", service_get, NULL},
    {NULL, NULL, NULL},
};
