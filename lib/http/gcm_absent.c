/* SPDX-License-Identifier: Apache-2.0 */
/* In place of the provider where libipsec-mb is not: OpenSSL's own AES-GCM is used. */
#include <errno.h>
#include "http/gcm.h"

int gcm_lib_new(struct gcm_lib **ret)
{
    (void)ret;
    return -ENOTSUP;
}

struct gcm_lib *gcm_lib_free(struct gcm_lib *lib)
{
    ASSERT(lib == NULL); /* none was ever made */
    return NULL;
}

int gcm_measure(const struct gcm_lib *lib, struct gcm_speed *ret)
{
    (void)lib, (void)ret;
    return -ENOTSUP;
}

bool gcm_is_faster(const struct gcm_speed *s)
{
    (void)s;
    return false;
}
