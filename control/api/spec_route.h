/* SPDX-License-Identifier: Apache-2.0 */
/* spec_route: path templates as a tree of segments. A segment that is written out goes before a
 * parameter, as OpenAPI asks for.
 *
 * Life:    = {0} -> spec_route_add* -> spec_route_find -> spec_route_clear.
 * Owner:   the tree's owner; texts of templates outlive it.
 * Threads: adding: one; finding: any.
 * Errors:  -EINVAL a template that is none, -EEXIST there is one of that form and method, -ENOMEM.
 * Units:   - */
#pragma once
#include "control/api/spec.h"

struct spec_route;

struct spec_routes {
    struct spec_route *root;
};

MUST_USE int spec_route_add(struct spec_routes *r, const struct operation *op);
const struct operation *spec_route_find(const struct spec_routes *r, unsigned method,
                                        struct str path, struct str ret_values[SPEC_PATH_MAX],
                                        unsigned *ret_methods);
void spec_route_clear(struct spec_routes *r);
