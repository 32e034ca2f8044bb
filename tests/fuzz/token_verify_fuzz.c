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

/* What is renewed is good, lives as long as cdniets says and is for the same URIs. */
static void token_verify_renewed(struct str token, const struct token_rules *rules,
                                 const struct token_claims *old)
{
    CLEAN_BUF struct buf text = BUF_EMPTY;
    int r = token_renew(token_verify_ring(), token, 1500, &text);
    if (old->renew_for_s == 0)
        ASSERT(r == -EINVAL);
    ASSERT(r == 0 || r == -EINVAL || r == -EMSGSIZE);
    if (r < 0)
        return;
    struct token_claims new;
    ASSERT(token_verify(token_verify_ring(), buf_str(&text), 1500, rules, &new) == 0);
    ASSERT(new.expires_s == 1500 + old->renew_for_s);
    ASSERT(strcmp(new.container, old->container) == 0);
    ASSERT(new.height_max == old->height_max);
    token_claims_clear(&new);
}

static int token_verify_once(struct str token, const struct token_rules *rules)
{
    struct token_claims claims;
    int r = token_verify(token_verify_ring(), token, 1500, rules, &claims);
    if (r == 0) {
        token_verify_renewed(token, rules, &claims);
        r = token_covers(&claims, STR("https://edge.example/v/a/master.m3u8"));
        ASSERT(r == 0 || r == -EACCES);
        r = 0;
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
    static char *const audiences[] = {(char *)(uintptr_t) "edge"};
    static const struct token_rules rules = {audiences, 1, true, true};
    (void)token_verify_once(fuzz_str(data, size), NULL); /* its promises are asserted within */
    CLEAN_BUF struct buf token = BUF_EMPTY;
    int r = token__jws_sign(token_verify_ring(), fuzz_str(data, size), &token);
    ASSERT(r == 0 || r == -EMSGSIZE);
    if (r == 0) {
        r = token_verify_once(buf_str(&token), &rules);
        ASSERT(r != -ENOKEY);
        ASSERT(r != -EKEYREJECTED);
        if (token_verify_once(buf_str(&token), NULL) == 0)
            ASSERT(r == 0 || r == -EACCES);
    }
    return 0;
}
