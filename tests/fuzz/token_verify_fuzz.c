/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/file.h"
#include "fuzz.h"
#include "token/token_priv.h"

static struct token_ring *token_verify_ring(void)
{
    static struct token_ring *ring;
    if (ring != NULL)
        return ring;
    char folder[] = "/tmp/weir-fuzz-XXXXXX";
    ASSERT(mkdtemp(folder) != NULL);
    char *path = file_join(folder, "ring");
    ASSERT(path != NULL);
    struct str text = STR("{\"keys\":[{\"kty\":\"oct\",\"kid\":\"k1\",\"alg\":\"HS256\","
                          "\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}]}");
    ASSERT(file_write(path, text, 0600) == 0);
    ASSERT(token_ring_load(path, &ring, NULL) == 0);
    ASSERT(file_remove_all(folder) == 0);
    free(path);
    return ring;
}

static int token_verify_once(struct str token)
{
    struct token_claims claims;
    int r = token_verify(token_verify_ring(), token, 1500, &claims);
    if (r == 0) {
        ASSERT(claims.container != NULL);
        ASSERT(claims.expires_s > 1500);
        ASSERT(claims.not_before_s <= 1500);
    } else {
        ASSERT(claims.container == NULL);
        ASSERT(r == -EBADMSG || r == -ENOKEY || r == -EKEYREJECTED || r == -ETIME || r == -EAGAIN ||
               r == -EACCES);
    }
    token_claims_clear(&claims);
    return r;
}

/* The input as a token, and as the claims of one that is signed well. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    (void)token_verify_once(fuzz_str(data, size)); /* its promises are asserted within */
    CLEAN_BUF struct buf token = BUF_EMPTY;
    int r = token__jws_sign(token_verify_ring(), fuzz_str(data, size), &token);
    ASSERT(r == 0 || r == -EMSGSIZE);
    if (r == 0) {
        r = token_verify_once(buf_str(&token));
        ASSERT(r != -ENOKEY);
        ASSERT(r != -EKEYREJECTED);
    }
    return 0;
}
