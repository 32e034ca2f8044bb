/* SPDX-License-Identifier: Apache-2.0 */
#include "token/jwks.h"
#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include "base/enc.h"
#include "token/token_priv.h"

enum jwks_alg { JWKS_RS256, JWKS_ES256 };

struct jwks_key {
    char *kid; /* NULL: it has none */
    enum jwks_alg alg;
    EVP_PKEY *pkey;
};

struct jwks {
    uint32_t magic;
#define JWKS_MAGIC UINT32_C(0x7515751a)
    unsigned count;
    struct jwks_key keys[JWKS_KEYS_MAX];
};

/* --- keys from JSON --------------------------------------------------------------------------- */

static struct str jwks_text(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_string(value) ? (struct str){json_string_value(value), json_string_length(value)}
                                 : STR_NONE;
}

/* RFC 7517 sections 4.2 and 4.3: a key for encryption verifies nothing. */
static bool jwks_is_for_signatures(const json_t *j)
{
    const json_t *use = json_object_get(j, "use");
    const json_t *ops = json_object_get(j, "key_ops");
    size_t i;
    json_t *op;
    if (use != NULL && !str_eq(jwks_text(j, "use"), STR("sig")))
        return false;
    if (ops == NULL)
        return true;
    json_array_foreach(ops, i, op)
    {
        if (json_is_string(op) && strcmp(json_string_value(op), "verify") == 0)
            return true;
    }
    return false;
}

static EVP_PKEY *jwks_from_params(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (params != NULL && ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return pkey;
}

/* Keys of a faulty maker of smart cards: modulo each small prime the modulus is a power of 65537,
 * and who knows that can factor it (CVE-2017-15361). Of others fewer than one in 2^100 is so. */
static bool jwks_is_guessable(const BIGNUM *n)
{
    static const uint8_t primes[] = {
        3,  5,  7,  11, 13, 17,  19,  23,  29,  31,  37,  41,  43,  47,  53,  59,  61,  67,  71,
        73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167};
    for (unsigned i = 0; i < ARRAY_LEN(primes); i++) {
        BN_ULONG rest = BN_mod_word(n, primes[i]);
        BN_ULONG power = 1;
        for (unsigned k = 0; k < primes[i] && power != rest; k++)
            power = power * 65537 % primes[i];
        if (power != rest)
            return false;
    }
    return true;
}

static EVP_PKEY *jwks_rsa(struct str n_text, struct str e_text)
{
    CLEAN_BUF struct buf n = BUF_EMPTY;
    CLEAN_BUF struct buf e = BUF_EMPTY;
    if (enc_unbase64url(n_text, &n) < 0 || enc_unbase64url(e_text, &e) < 0 || n.size == 0 ||
        n.size > JWKS_RSA_BITS_MAX / 8 || e.size == 0 || e.size > 8)
        return NULL;
    EVP_PKEY *pkey = NULL;
    BIGNUM *bn_n = BN_bin2bn((const uint8_t *)n.data, (int)n.size, NULL);
    BIGNUM *bn_e = BN_bin2bn((const uint8_t *)e.data, (int)e.size, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    /* An even modulus or exponent, or an exponent of 1, is no RSA key. */
    if (build != NULL && bn_n != NULL && bn_e != NULL && BN_num_bits(bn_n) >= JWKS_RSA_BITS_MIN &&
        BN_is_odd(bn_n) && BN_is_odd(bn_e) && !BN_is_one(bn_e) && !jwks_is_guessable(bn_n) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, bn_n) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, bn_e) == 1)
        pkey = jwks_from_params("RSA", build);
    OSSL_PARAM_BLD_free(build);
    BN_free(bn_n);
    BN_free(bn_e);
    return pkey;
}

/* OpenSSL refuses a point that is not on the curve. */
static EVP_PKEY *jwks_p256(struct str x_text, struct str y_text)
{
    CLEAN_BUF struct buf x = BUF_EMPTY;
    CLEAN_BUF struct buf y = BUF_EMPTY;
    uint8_t point[65] = {4}; /* uncompressed */
    if (enc_unbase64url(x_text, &x) < 0 || enc_unbase64url(y_text, &y) < 0 || x.size != 32 ||
        y.size != 32)
        return NULL;
    memcpy(point + 1, x.data, 32);
    memcpy(point + 33, y.data, 32);
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    if (build != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) == 1)
        pkey = jwks_from_params("EC", build);
    OSSL_PARAM_BLD_free(build);
    return pkey;
}

/* -ENOKEY: not a key that we use. */
static int jwks_read_key(const json_t *j, struct jwks_key *k)
{
    struct str kty = jwks_text(j, "kty");
    struct str alg = jwks_text(j, "alg");
    struct str kid = jwks_text(j, "kid");
    if (!jwks_is_for_signatures(j) || (json_object_get(j, "alg") != NULL && alg.size == 0) ||
        (json_object_get(j, "kid") != NULL && (kid.size == 0 || kid.size > TOKEN_KID_MAX)))
        return -ENOKEY;
    EVP_PKEY *pkey = NULL;
    if (str_eq(kty, STR("RSA")) && (alg.size == 0 || str_eq(alg, STR("RS256")))) {
        k->alg = JWKS_RS256;
        pkey = jwks_rsa(jwks_text(j, "n"), jwks_text(j, "e"));
    } else if (str_eq(kty, STR("EC")) && (alg.size == 0 || str_eq(alg, STR("ES256"))) &&
               str_eq(jwks_text(j, "crv"), STR("P-256"))) {
        k->alg = JWKS_ES256;
        pkey = jwks_p256(jwks_text(j, "x"), jwks_text(j, "y"));
    }
    ERR_clear_error(); /* what is left there would confuse the thread's TLS */
    if (pkey == NULL)
        return -ENOKEY;
    k->kid = kid.size > 0 ? str_dup(kid) : NULL;
    if (kid.size > 0 && k->kid == NULL) {
        EVP_PKEY_free(pkey);
        return -ENOMEM;
    }
    k->pkey = pkey;
    return 0;
}

int jwks_of(const json_t *root, struct jwks **ret, struct err *err)
{
    const json_t *list = json_object_get(root, "keys");
    size_t i;
    json_t *each;
    if (!json_is_array(list) || json_array_size(list) > JWKS_KEYS_MAX)
        return err_set(err, -EINVAL, "keys is not a list of at most %d keys", JWKS_KEYS_MAX);
    struct jwks *set = calloc(1, sizeof *set);
    if (set == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    set->magic = JWKS_MAGIC;
    json_array_foreach(list, i, each)
    {
        int r = jwks_read_key(each, &set->keys[set->count]);
        if (r == 0)
            set->count++;
        if (r < 0 && r != -ENOKEY) {
            (void)jwks_free(set); /* always NULL */
            return err_set(err, r, "out of memory");
        }
    }
    *ret = set;
    return 0;
}

int jwks_parse(struct str text, struct jwks **ret, struct err *err)
{
    json_error_t why;
    json_t *root =
        json_loadb(text.data != NULL ? text.data : "", text.size, JSON_REJECT_DUPLICATES, &why);
    if (root == NULL)
        return err_set(err, -EINVAL, "line %d: %s", why.line, why.text);
    int r = jwks_of(root, ret, err);
    json_decref(root);
    return r;
}

struct jwks *jwks_free(struct jwks *set)
{
    if (set == NULL)
        return NULL;
    ASSERT(set->magic == JWKS_MAGIC);
    for (unsigned i = 0; i < set->count; i++) {
        EVP_PKEY_free(set->keys[i].pkey);
        free(set->keys[i].kid);
    }
    MAGIC_CLEAR(set);
    free(set);
    return NULL;
}

unsigned jwks_count(const struct jwks *set)
{
    ASSERT(set != NULL && set->magic == JWKS_MAGIC);
    return set->count;
}

/* --- verifying -------------------------------------------------------------------------------- */

static bool jwks_is_meant(const struct jwks_key *k, struct str alg, struct str kid)
{
    if (!str_eq(alg, k->alg == JWKS_RS256 ? STR("RS256") : STR("ES256")))
        return false;
    return kid.size == 0 || (k->kid != NULL && str_eq(str_of(k->kid), kid));
}

static int jwks_find(const struct jwks *set, struct str header_text, const struct jwks_key **ret)
{
    CLEAN_BUF struct buf text = BUF_EMPTY;
    int r = enc_unbase64url(header_text, &text);
    if (r < 0)
        return r == -EINVAL ? -EBADMSG : r;
    json_t *header =
        json_loadb(text.data != NULL ? text.data : "", text.size, JSON_REJECT_DUPLICATES, NULL);
    struct str alg = jwks_text(header, "alg");
    struct str kid = jwks_text(header, "kid");
    unsigned found = 0;
    /* RFC 7515 section 4.1.11: we understand no extension. */
    if (alg.size == 0 || json_object_get(header, "crit") != NULL ||
        (json_object_get(header, "kid") != NULL && kid.size == 0)) {
        json_decref(header);
        return -EBADMSG;
    }
    for (unsigned i = 0; i < set->count; i++) {
        if (jwks_is_meant(&set->keys[i], alg, kid)) {
            *ret = &set->keys[i];
            found++;
        }
    }
    json_decref(header);
    /* Two of one name, or a token without one: none is meant, rather than any. */
    return found == 1 ? 0 : -ENOKEY;
}

static int jwks_rs256_verify(EVP_PKEY *pkey, struct str input, struct str signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx == NULL)
        return -ENOMEM;
    bool good = signature.size == (size_t)EVP_PKEY_get_size(pkey) &&
                EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, pkey) == 1 &&
                EVP_DigestVerify(ctx, (const uint8_t *)signature.data, signature.size,
                                 (const uint8_t *)input.data, input.size) == 1;
    EVP_MD_CTX_free(ctx);
    return good ? 0 : -EKEYREJECTED;
}

static int jwks_check(const struct jwks_key *k, struct str input, struct str text)
{
    CLEAN_BUF struct buf signature = BUF_EMPTY;
    int r = enc_unbase64url(text, &signature);
    if (r < 0)
        return r == -EINVAL ? -EBADMSG : r;
    if (k->alg == JWKS_RS256)
        r = jwks_rs256_verify(k->pkey, input, buf_str(&signature));
    else if (signature.size != TOKEN_ES256_SIZE)
        r = -EKEYREJECTED;
    else
        r = token__es256_verify(k->pkey, input, buf_str(&signature));
    ERR_clear_error();
    return r;
}

int jwks_verify(const struct jwks *set, struct str token, struct buf *ret_payload)
{
    ASSERT(set != NULL && set->magic == JWKS_MAGIC);
    if (token.size == 0 || token.size > JWKS_TOKEN_SIZE_MAX)
        return -EBADMSG;
    struct str rest;
    struct str header = str_cut(token, '.', &rest);
    struct str signature;
    struct str payload = str_cut(rest, '.', &signature);
    if (header.size == 0 || payload.data == NULL || signature.size == 0 ||
        memchr(signature.data, '.', signature.size) != NULL)
        return -EBADMSG;
    const struct jwks_key *k = NULL;
    int r = jwks_find(set, header, &k);
    if (r < 0)
        return r;
    r = jwks_check(k, (struct str){token.data, header.size + 1 + payload.size}, signature);
    if (r < 0)
        return r;
    CLEAN_BUF struct buf decoded = BUF_EMPTY; /* ret_payload stays as it was if this fails */
    r = enc_unbase64url(payload, &decoded);
    if (r < 0)
        return r == -EINVAL ? -EBADMSG : r;
    buf_put_str(ret_payload, buf_str(&decoded));
    return buf_error(ret_payload);
}
