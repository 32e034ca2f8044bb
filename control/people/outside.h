/* SPDX-License-Identifier: Apache-2.0 */
/* outside: those outside whom people's accounts need: a mail server and OpenID providers, as the
 * configuration names them; both may be absent.
 *
 * Life:    outside_load -> used -> outside_free, after every call under way.
 * Owner:   the settings (live.h).
 * Threads: read-only once loaded.
 * Errors:  -errno and a sentence in err.
 * Units:   - */
#pragma once
#include "base/config.h"
#include "control/people/oidc.h"
#include "fetch/mail.h"

struct outside_mail_config {
    char *url;
    char *from;
    char *user;
    char *password_file;
    char *ca_file;
    unsigned tls; /* enum outside_tls */
};
enum outside_tls { OUTSIDE_TLS_REQUIRED, OUTSIDE_TLS_OFF };

struct outside_oidc_config {
    char *name;
    char *issuer;
    char *client_id;
    char *client_secret_file;
    char *scopes;
    char *ca_file;
};

extern const cyaml_schema_field_t outside_mail_fields[];
extern const cyaml_schema_value_t outside_oidc_schema;

struct outside {
    bool has_mail;
    struct mail_options mail;
    struct oidc *oidc; /* NULL: no providers */
    struct oidc_provider providers[OIDC_PROVIDERS_MAX];
    unsigned providers_count;
};

MUST_USE int outside_load(const struct outside_mail_config *mail,
                          const struct outside_oidc_config *oidc, unsigned oidc_count,
                          const char *public_url, struct err *err, struct outside **ret);
struct outside *outside_free(struct outside *o);
