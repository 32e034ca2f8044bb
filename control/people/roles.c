/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/roles.h"
#include <string.h>

static const char *const role_names[] = {"free", "premium", "creator", "admin"};
_Static_assert(ARRAY_LEN(role_names) == ROLES_COUNT, "a name for each role");

static const struct {
    const char *name;
    enum role least;
} role_scopes[] = {
    {"account:read", ROLE_FREE},    {"account:write", ROLE_FREE}, {"catalogue:read", ROLE_FREE},
    {"catalogue:write", ROLE_FREE}, {"playback", ROLE_FREE},      {"upload", ROLE_CREATOR},
    {"streams", ROLE_CREATOR},      {"admin", ROLE_ADMIN},
};

bool role_of(const char *name, enum role *ret)
{
    for (unsigned i = 0; name != NULL && i < ROLES_COUNT; i++) {
        if (strcmp(role_names[i], name) == 0) {
            *ret = (enum role)i;
            return true;
        }
    }
    return false;
}

const char *role_name(enum role role)
{
    ASSERT((unsigned)role < ROLES_COUNT);
    return role_names[role];
}

unsigned role_bits(enum role role)
{
    ASSERT((unsigned)role < ROLES_COUNT);
    return (2u << role) - 1;
}

bool scope_is_known(const char *name)
{
    return scope_is_for(name, ROLE_ADMIN);
}

bool scope_is_for(const char *name, enum role role)
{
    for (unsigned i = 0; name != NULL && i < ARRAY_LEN(role_scopes); i++)
        if (strcmp(role_scopes[i].name, name) == 0)
            return role >= role_scopes[i].least;
    return false;
}

bool scope_may(const json_t *scopes, const char *needed)
{
    size_t i;
    json_t *scope;
    if (needed == NULL || !scope_is_known(needed))
        return false;
    json_array_foreach(scopes, i, scope)
    {
        const char *has = json_string_value(scope);
        if (has != NULL && strcmp(has, needed) == 0)
            return true;
    }
    return false;
}

bool role_may_change(enum role role, const char *user, const char *owner)
{
    if (user == NULL || owner == NULL || user[0] == 0 || owner[0] == 0)
        return false;
    return role == ROLE_ADMIN || strcmp(user, owner) == 0;
}
