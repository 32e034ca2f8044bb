/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/caller.h"
#include <string.h>
#include "control/api/call.h"

static const struct {
    const char *name;
    unsigned bit;
} caller_roles[] = {
    {"free", CALLER_FREE},
    {"premium", CALLER_PREMIUM},
    {"creator", CALLER_CREATOR},
    {"admin", CALLER_ADMIN},
};

unsigned caller_role(const char *name)
{
    for (unsigned i = 0; i < ARRAY_LEN(caller_roles); i++)
        if (strcmp(caller_roles[i].name, name) == 0)
            return caller_roles[i].bit;
    return 0;
}

void caller_clear(struct caller *c)
{
    json_decref(c->scopes);
    json_decref(c->document);
    *c = (struct caller){.rating_max = -1};
}

static bool caller_has_scope(const struct caller *caller, const char *scope)
{
    size_t i;
    json_t *each;
    json_array_foreach(caller->scopes, i, each)
    {
        const char *has = json_string_value(each);
        if (has != NULL && strcmp(has, scope) == 0)
            return true;
    }
    return false;
}

static int caller_check_admin(struct call *c)
{
    if (c->caller.kind == CALLER_OPERATOR)
        return 0;
    if (c->caller.kind == CALLER_NONE && c->bearer == NULL)
        return fault_set(&c->fault, 401, "CREDENTIAL_MISSING", "this needs the admin credential");
    if (c->caller.kind == CALLER_NONE)
        return fault_set(&c->fault, 401, "CREDENTIAL_WRONG", "this is not the admin credential");
    if ((c->caller.roles & CALLER_ADMIN) == 0)
        return fault_set(&c->fault, 403, "ROLE_MISSING", "this is for administrators");
    return 0;
}

int caller_check(struct call *c)
{
    const struct operation *op = c->op;
    const struct caller *caller = &c->caller;
    if (op->auth == OP_AUTH_NONE || (op->auth == OP_AUTH_OPTIONAL && caller->kind == CALLER_NONE))
        return 0;
    if (op->auth == OP_AUTH_ADMIN) {
        int r = caller_check_admin(c);
        if (r < 0)
            return r;
    } else if (caller->kind == CALLER_NONE ||
               (caller->kind == CALLER_OPERATOR && op->auth == OP_AUTH_USER)) {
        return fault_set(&c->fault, 401, "NOT_LOGGED_IN", "log in first");
    }
    if (caller->kind == CALLER_KEY && (op->scope == NULL || !caller_has_scope(caller, op->scope)))
        return fault_set(&c->fault, 403, "SCOPE_MISSING", "this API key is not for that");
    if (op->manages && caller->kind == CALLER_USER && caller->rating_max >= 0)
        return fault_set(&c->fault, 403, "PROFILE_RESTRICTED",
                         "this profile may not do that; choose one without a limit");
    if (op->roles != 0 && (caller->roles & (op->roles | CALLER_ADMIN)) == 0)
        return fault_set(&c->fault, 403, "ROLE_MISSING", "your account may not do that");
    return 0;
}
