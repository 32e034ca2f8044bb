/* SPDX-License-Identifier: Apache-2.0 */
/* tls_lib: which AES-GCM the servers of this process use: ours (gcm.h) where it is there and was
 * measured to be faster, else OpenSSL's own with the system's configuration.
 *
 * Life:    chosen by the first call, for the whole process.
 * Owner:   the process.
 * Threads: any.
 * Errors:  none: OpenSSL's own is always there.
 * Units:   none. */
#pragma once
#include <openssl/types.h>
#include "base/base.h"

struct gcm_lib;

struct tls_lib {
    OSSL_LIB_CTX *ctx;      /* NULL: the default one */
    const char *properties; /* NULL: none */
    struct gcm_lib *gcm;    /* NULL: OpenSSL's own; kept: connections may be anywhere */
};

const struct tls_lib *tls_lib_get(void);
