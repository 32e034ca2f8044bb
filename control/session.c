/* SPDX-License-Identifier: Apache-2.0 */
#include "control/session.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include "base/enc.h"

void session_digest(struct str secret, char out[SESSION_DIGEST_SIZE])
{
    uint8_t bytes[32];
    unsigned size = 0;
    int ok = EVP_Digest(secret.data, secret.size, bytes, &size, EVP_sha256(), NULL);
    ASSERT(ok == 1); /* fails only where OpenSSL has no SHA-256: nothing works then */
    ASSERT(size == sizeof bytes);
    enc_hex(bytes, sizeof bytes, out);
}

bool session_digest_eq(const char a[SESSION_DIGEST_SIZE], const char b[SESSION_DIGEST_SIZE])
{
    return CRYPTO_memcmp(a, b, SESSION_DIGEST_SIZE) == 0;
}
