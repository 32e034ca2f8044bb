/* SPDX-License-Identifier: Apache-2.0 */
/* gcm: AES-GCM from libipsec-mb as a provider that is built into the program, for releases of
 * OpenSSL 3 which have no VAES code of their own (before 3.1). A build without the library (meson
 * -Dgcm) has these functions too: they say -ENOTSUP.
 *
 * Life:    gcm_lib_new -> SSL_CTX_new_ex(lib->ctx, GCM_PROPERTIES, ...) and EVP_CIPHER_fetch ->
 *          gcm_lib_free when all that was made with it is gone.
 * Owner:   the caller.
 * Threads: any. A cipher context is one thread's at a time, as OpenSSL has it.
 * Errors:  -ENOTSUP: not built in, or not for this processor. -EBADMSG: the known-answer test
 *          failed. -ENOMEM.
 * Units:   bytes, nanoseconds.
 * Source:  NIST SP 800-38D; RFC 5288 (TLS 1.2), RFC 8446 section 5 (TLS 1.3). */
#pragma once
#include <openssl/types.h>
#include "base/base.h"

#define GCM_PROVIDER "weir-gcm"
#define GCM_PROPERTIES                                                                             \
    "?provider=" GCM_PROVIDER /* where it has the algorithm, else OpenSSL's own */

/* A library context with OpenSSL's default provider and, behind it, ours: AES-128-GCM and
 * AES-256-GCM, tested. */
struct gcm_lib {
    OSSL_LIB_CTX *ctx;
    OSSL_PROVIDER *base, *ours;
};

MUST_USE int gcm_lib_new(struct gcm_lib **ret);
struct gcm_lib *gcm_lib_free(struct gcm_lib *lib);

/* Time to seal one 16 KiB record, the shortest of some: ours and OpenSSL's own. Takes about three
 * milliseconds. */
struct gcm_speed {
    uint64_t ours_ns[2]; /* AES-128, AES-256 */
    uint64_t own_ns[2];
};
MUST_USE int gcm_measure(const struct gcm_lib *lib, struct gcm_speed *ret);

/* Whether it is worth it: clearly faster with both key sizes. */
bool gcm_is_faster(const struct gcm_speed *s);
