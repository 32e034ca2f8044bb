/* SPDX-License-Identifier: Apache-2.0 */
/* roles: what whom is allowed: pure functions over roles, API keys' scopes and owners. Which role
 * or scope an operation needs is said in the API's document; here is what those mean.
 *
 * Life:    calls.
 * Owner:   the caller's memory; names are static.
 * Threads: any.
 * Errors:  none: everything that is not known is not allowed.
 * Units:   - */
#pragma once
#include <jansson.h>
#include "base/base.h"

/* In rising order: each may what those before it may. */
enum role { ROLE_FREE, ROLE_PREMIUM, ROLE_CREATOR, ROLE_ADMIN };
#define ROLES_COUNT 4

bool role_of(const char *name, enum role *ret); /* name may be NULL */
const char *role_name(enum role role);

/* The role and those below it as bits of control/api/caller.h. */
unsigned role_bits(enum role role);

/* What a key may be made for. A scope lets a key do a part of what its owner may, never more. */
bool scope_is_known(const char *name);
bool scope_may(const json_t *scopes, const char *needed);
/* Whether somebody of this role may have a key with it. */
bool scope_is_for(const char *name, enum role role);

/* Whether `user` may change what belongs to `owner`: it is theirs, or they are admin. */
bool role_may_change(enum role role, const char *user, const char *owner);
