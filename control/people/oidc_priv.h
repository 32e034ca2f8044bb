/* SPDX-License-Identifier: Apache-2.0 */
/* oidc_priv: what a provider publishes, and the calls to it.
 *
 * Life:    oidc__config_get -> used -> oidc__config_unref.
 * Owner:   references.
 * Threads: any; every call blocks on the network.
 * Errors:  -EPROTO with the fault 502 PROVIDER_FAILED, whose cause is logged; else -errno.
 * Units:   seconds since 1970. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include "control/people/oidc.h"
#include "token/jwks.h"

struct oidc_config {
    _Atomic unsigned refs;
    int64_t read_s;
    json_t *document; /* with the endpoints; texts below are of it */
    struct jwks *keys;
    const char *authorize, *token, *userinfo; /* userinfo NULL: none */
    bool secret_in_body;                      /* it takes a client's secret in the body alone */
};

struct oidc_entry {
    const struct oidc_provider *provider;
    pthread_mutex_t lock;
    struct oidc_config *config; /* NULL: not read yet */
};

struct oidc {
    uint32_t magic;
#define OIDC_MAGIC UINT32_C(0x01dc0a7e)
    unsigned count;
    struct oidc_entry entries[OIDC_PROVIDERS_MAX];
};

struct oidc_entry *oidc__entry(struct oidc *o, const char *name); /* NULL: none */

/* fresh: not one that is older than a few seconds: for a token with a key that is not known. */
MUST_USE int oidc__config_get(struct oidc_entry *e, bool fresh, int64_t now_s,
                              struct oidc_config **ret, struct fault *fault);
void oidc__config_unref(struct oidc_config *c);

/* {"id_token","access_token",...} for a code. */
MUST_USE int oidc__redeem(const struct oidc_entry *e, const struct oidc_config *c,
                          const struct oidc_end *end, const char *verifier, json_t **ret,
                          struct fault *fault);
MUST_USE int oidc__userinfo(const struct oidc_entry *e, const struct oidc_config *c,
                            const char *access_token, json_t **ret, struct fault *fault);
int oidc__failed(const struct oidc_entry *e, struct fault *fault, const char *format, ...)
    PRINTF_LIKE(3, 4);
