/* SPDX-License-Identifier: Apache-2.0 */
/* admin: calls of control's API with the admin credential.
 *
 * Life:    admin_open -> admin_call* -> admin_close, also after a failed open.
 * Owner:   the command's struct, zeroed at first.
 * Threads: one.
 * Errors:  a sentence: what control says, or why it cannot be reached.
 * Units:   none. */
#pragma once
#include <jansson.h>
#include "base/buf.h"
#include "weirctl.h"
#include "fetch/fetch.h"

struct admin {
    struct ctl_settings settings;
    struct secret credential;
    struct fetch_client *client;
};

MUST_USE int admin_open(const char *state, struct admin *a, struct err *err);
void admin_close(struct admin *a);

/* "/api/v1/admin/users/USER" and what is behind it; user: id or e-mail address. */
MUST_USE int admin_user_path(const char *user, const char *behind, struct buf *out,
                             struct err *err);

/* path: behind control's URL. body: not taken over; NULL: none. *ret (may be NULL): the answer's
 * JSON; caller decrefs. Any status but 2xx is -EIO. */
MUST_USE int admin_call(struct admin *a, const char *method, const char *path, const json_t *body,
                        json_t **ret, struct err *err);

/* All pages of a list: each of the members `name` goes to `each`. path may have a query. */
MUST_USE int admin_pages(struct admin *a, const char *path, const char *name,
                         int (*each)(void *arg, const json_t *item), void *arg, struct err *err);

const char *admin_text(const json_t *object, const char *name); /* "-": there is none */
void admin_print_json(const json_t *value);                     /* one line */
