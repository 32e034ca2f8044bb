/* SPDX-License-Identifier: Apache-2.0 */
/* The second factor of who asks, on and off: openapi/people.yaml. */
#include <errno.h>
#include "control/ops.h"
#include "control/people/ops_priv.h"
#include "control/people/otp.h"

/* With the password again: who finds a browser open cannot lock its owner out. */
static int factor_enrol(struct call *c)
{
    CLEAN_BUF struct buf secret = BUF_EMPTY;
    CLEAN_BUF struct buf uri = BUF_EMPTY;
    json_t *user = NULL;
    int r = ops__me(c, &user);
    if (r == 0)
        r = ops__confirm(c, user);
    if (r == 0)
        r = otp_enrol(c->db, user, c->live->issuer, &secret, &uri, &c->fault);
    json_decref(user);
    return r < 0 ? r
                 : call_answer(c, json_pack("{s:s, s:s}", "secret", secret.data, "uri", uri.data));
}

static int factor_confirm(struct call *c)
{
    json_t *user = NULL;
    json_t *codes = NULL;
    unsigned wait_s = 0;
    int r = ops__me(c, &user);
    if (r == 0)
        r = otp_confirm(c->db, user, call_text(c, "code"), c->now_ms, &codes, &c->fault, &wait_s);
    if (r == 0)
        audit_event(c, "second factor on", c->caller.user);
    json_decref(user);
    return r < 0 ? call_wait(c, r, wait_s)
                 : call_answer(c, json_pack("{s:o}", "recovery_codes", codes));
}

static int factor_codes(struct call *c)
{
    json_t *user = NULL;
    json_t *codes = NULL;
    int r = ops__me(c, &user);
    if (r == 0 && !otp_is_on(user))
        r = fault_set(&c->fault, 409, "OTP_NOT_ENROLLED", "there is no second factor");
    if (r == 0)
        r = ops__confirm(c, user);
    if (r == 0)
        r = otp_renew_codes(c->db, c->caller.user, &codes);
    json_decref(user);
    return r < 0 ? r : call_answer(c, json_pack("{s:o}", "recovery_codes", codes));
}

static int factor_disable(struct call *c)
{
    json_t *user = NULL;
    int r = ops__me(c, &user);
    if (r == 0)
        r = ops__confirm(c, user);
    if (r == 0)
        r = otp_disable(c->db, c->caller.user);
    if (r == 0)
        audit_event(c, "second factor off", c->caller.user);
    json_decref(user);
    return r;
}

const struct op_handler factor_ops[] = {
    {"auth_otp_enrol", factor_enrol, NULL},
    {"auth_otp_confirm", factor_confirm, NULL},
    {"auth_otp_codes", factor_codes, NULL},
    {"auth_otp_disable", factor_disable, NULL},
    {NULL, NULL, NULL},
};
