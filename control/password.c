/* SPDX-License-Identifier: Apache-2.0 */
#include "control/password.h"
#include <crypt.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "base/id.h"
#include "control/valid.h"

static _Atomic uint64_t password_hashes;

uint64_t password_count(void)
{
    return atomic_load_explicit(&password_hashes, memory_order_relaxed);
}

#define PASSWORD_COST 12
/* A salt of the same cost, for users that do not exist. */
#define PASSWORD_NOBODY "$2b$12$abcdefghijklmnopqrstuu"

/* crypt_data is 32 KiB: too much for a thread's stack, and it keeps traces of the password. */
static int password_crypt(struct str password, const char *setting, char out[PASSWORD_HASH_SIZE])
{
    char text[VALID_PASSWORD_MAX + 1];
    if (password.data == NULL) /* none was given: as good as an empty one */
        password = STR("");
    if (memchr(password.data, 0, password.size) != NULL ||
        str_copy(password, text, sizeof text) < 0)
        return -EINVAL;
    struct crypt_data *data = calloc(1, sizeof *data);
    if (data == NULL)
        return -ENOMEM;
    int r = -EINVAL;
    (void)atomic_fetch_add_explicit(&password_hashes, 1, memory_order_relaxed);
    const char *made = crypt_rn(text, setting, data, (int)sizeof *data);
    if (made != NULL && made[0] == '$')
        r = str_copy(str_of(made), out, PASSWORD_HASH_SIZE);
    OPENSSL_cleanse(text, sizeof text);
    OPENSSL_cleanse(data, sizeof *data);
    free(data);
    return r;
}

int password_hash(struct str password, char out[PASSWORD_HASH_SIZE])
{
    char random[16];
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    id_random(random, sizeof random);
    if (crypt_gensalt_rn("$2b$", PASSWORD_COST, random, (int)sizeof random, setting,
                         (int)sizeof setting) == NULL)
        return -EINVAL;
    return password_crypt(password, setting, out);
}

int password_check(struct str password, const char *hash, bool *ret_matches)
{
    char made[PASSWORD_HASH_SIZE] = "";
    /* A password that nobody can have is looked at as if it were cut: same work, never a match. */
    bool possible = password.size <= VALID_PASSWORD_MAX && hash != NULL;
    struct str cut = {password.data, MIN(password.size, (size_t)VALID_PASSWORD_MAX)};
    int r = password_crypt(cut, hash != NULL ? hash : PASSWORD_NOBODY, made);
    if (r < 0)
        return r;
    bool same = hash != NULL && strlen(made) == strlen(hash) &&
                CRYPTO_memcmp(made, hash, strlen(made)) == 0;
    OPENSSL_cleanse(made, sizeof made);
    *ret_matches = possible && same;
    return 0;
}
