/* SPDX-License-Identifier: Apache-2.0 */
/* In place of tls_seal.c where libipsec-mb is not: OpenSSL seals what it sends. */
#include <errno.h>
#include "http/tls_seal.h"

int tls_seal_new(uint16_t cipher, const uint8_t *secret, size_t secret_size, struct tls_seal **ret)
{
    (void)cipher, (void)secret, (void)secret_size, (void)ret;
    return -ENOTSUP;
}

struct tls_seal *tls_seal_free(struct tls_seal *s)
{
    ASSERT(s == NULL); /* none was ever made */
    return NULL;
}

void tls_seal_skip(struct tls_seal *s)
{
    ASSERT(s != NULL);
}

int tls_seal_record(struct tls_seal *s, enum tls_type type, struct tls_text *text, size_t size,
                    uint8_t *out)
{
    (void)s, (void)type, (void)text, (void)size, (void)out;
    return -ENOTSUP;
}

void tls_seal_ask_update(struct tls_seal *s)
{
    ASSERT(s != NULL);
}

bool tls_seal_is_due(const struct tls_seal *s)
{
    ASSERT(s != NULL);
    return false;
}

int tls_seal_update(struct tls_seal *s, uint8_t *out)
{
    (void)s, (void)out;
    return -ENOTSUP;
}
