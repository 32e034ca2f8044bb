/* SPDX-License-Identifier: Apache-2.0 */
/* Three periods are known at any time: the present one, whose keys make tickets, the one before,
 * and the next: a server whose clock runs ahead may be in it already. A ticket lives for one
 * period, so it is accepted until its end; one of another period than the present is replaced when
 * it is used. */
#include "http/tls_ticket.h"
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/file.h"

#define TLS_TICKET_FILE_MAX 4096
#define TLS_TICKET_PERIODS  3
#define TLS_TICKET_LABEL    "weir session ticket 1"

struct tls_ticket_key {
    uint8_t name[16];
    uint8_t aes[32];
    uint8_t mac[32];
};

struct tls_tickets {
    uint32_t magic;
#define TLS_TICKETS_MAGIC UINT32_C(0x7a1c9e40)
    _Atomic unsigned refs;
    bool from_file;
    unsigned secrets_count;
    uint8_t secrets[TLS_TICKET_SECRETS_MAX][32]; /* digests of the lines */
    pthread_mutex_t lock;
    int64_t period; /* under lock, as all below; keys[.][1] are its own */
    bool is_made;
    struct tls_ticket_key keys[TLS_TICKET_SECRETS_MAX][TLS_TICKET_PERIODS];
};

static struct tls_tickets *tls_tickets_of(void *arg)
{
    struct tls_tickets *t = arg;
    ASSERT(t != NULL);
    ASSERT(t->magic == TLS_TICKETS_MAGIC);
    return t;
}

/* --- keys ------------------------------------------------------------------------------------- */

static int tls_ticket_derive(const uint8_t *secret, int64_t period, struct tls_ticket_key *ret)
{
    uint8_t info[sizeof TLS_TICKET_LABEL + 7];
    memcpy(info, TLS_TICKET_LABEL, sizeof TLS_TICKET_LABEL - 1);
    for (unsigned i = 0; i < 8; i++)
        info[sizeof TLS_TICKET_LABEL - 1 + i] = (uint8_t)((uint64_t)period >> (56 - 8 * i));
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret, 32),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof info),
        OSSL_PARAM_END,
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *c = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    int r = c != NULL && EVP_KDF_derive(c, (uint8_t *)ret, sizeof *ret, params) == 1 ? 0 : -ENOMEM;
    EVP_KDF_CTX_free(c);
    EVP_KDF_free(kdf);
    return r;
}

static int tls_ticket_random(struct tls_ticket_key *ret)
{
    return RAND_priv_bytes((uint8_t *)ret, sizeof *ret) == 1 ? 0 : -EIO;
}

/* Random keys: what was the present becomes the one before, unless it is older. */
static int tls_tickets_roll(struct tls_tickets *t, int64_t period)
{
    struct tls_ticket_key fresh;
    int r = tls_ticket_random(&fresh);
    if (r < 0)
        return r;
    if (t->is_made && period == t->period + 1)
        t->keys[0][0] = t->keys[0][1];
    else
        r = tls_ticket_random(&t->keys[0][0]);
    if (r == 0)
        r = tls_ticket_random(&t->keys[0][2]); /* no other server is ahead of us: matches nothing */
    t->keys[0][1] = fresh;
    OPENSSL_cleanse(&fresh, sizeof fresh);
    return r;
}

/* Called with the lock held. */
static int tls_tickets_turn(struct tls_tickets *t)
{
    int64_t period = clock_real_s() / TLS_TICKET_PERIOD;
    if (t->is_made && period == t->period)
        return 0;
    int r = 0;
    if (!t->from_file)
        r = tls_tickets_roll(t, period);
    for (unsigned i = 0; t->from_file && r == 0 && i < t->secrets_count; i++)
        for (unsigned n = 0; r == 0 && n < TLS_TICKET_PERIODS; n++)
            r = tls_ticket_derive(t->secrets[i], period - 1 + (int64_t)n, &t->keys[i][n]);
    t->is_made = r == 0;
    t->period = period;
    return r;
}

/* --- the callback ----------------------------------------------------------------------------- */

static bool tls_tickets_present(struct tls_tickets *t, struct tls_ticket_key *ret)
{
    (void)pthread_mutex_lock(&t->lock);
    bool ok = tls_tickets_turn(t) == 0;
    if (ok)
        *ret = t->keys[0][1];
    (void)pthread_mutex_unlock(&t->lock);
    return ok;
}

static bool tls_tickets_find(struct tls_tickets *t, const uint8_t *name, struct tls_ticket_key *ret,
                             bool *ret_present)
{
    bool found = false;
    (void)pthread_mutex_lock(&t->lock);
    bool ok = tls_tickets_turn(t) == 0;
    for (unsigned i = 0; ok && !found && i < t->secrets_count; i++) {
        for (unsigned n = 0; !found && n < TLS_TICKET_PERIODS; n++) {
            found = memcmp(t->keys[i][n].name, name, sizeof t->keys[i][n].name) == 0;
            if (found) {
                *ret = t->keys[i][n];
                *ret_present = i == 0 && n == 1;
            }
        }
    }
    (void)pthread_mutex_unlock(&t->lock);
    return found;
}

static bool tls_ticket_use(const struct tls_ticket_key *k, const uint8_t *iv,
                           EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int is_sealing)
{
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)k->mac,
                                          sizeof k->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 0),
        OSSL_PARAM_END,
    };
    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->aes, iv, is_sealing) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* -1: an error; 0: no such key, a full handshake follows; 1: used; 2: used, and a new ticket. */
static int tls_ticket_on_key(SSL *ssl, unsigned char *name, unsigned char *iv,
                             EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int is_sealing)
{
    struct tls_tickets *t = tls_tickets_of(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
    struct tls_ticket_key key;
    bool is_present = true;
    int result = 0;
    if (is_sealing) {
        if (!tls_tickets_present(t, &key) || RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1)
            return -1;
        memcpy(name, key.name, sizeof key.name);
        result = 1;
    } else if (tls_tickets_find(t, name, &key, &is_present)) {
        /* A client of TLS 1.3 uses a ticket once, and wants the next with each connection. */
        result = is_present && SSL_version(ssl) < TLS1_3_VERSION ? 1 : 2;
    }
    if (result > 0 && !tls_ticket_use(&key, iv, cipher, mac, is_sealing))
        result = -1;
    OPENSSL_cleanse(&key, sizeof key);
    return result;
}

int tls_tickets_attach(struct tls_tickets *t, SSL_CTX *ctx)
{
    (void)tls_tickets_of(t);
    (void)SSL_CTX_set_timeout(ctx, TLS_TICKET_PERIOD);
    return SSL_CTX_set_app_data(ctx, t) == 1 &&
                   SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, tls_ticket_on_key) == 1
               ? 0
               : -ENOMEM;
}

/* --- life ------------------------------------------------------------------------------------- */

static int tls_tickets_line(struct tls_tickets *t, const char *file, struct str line,
                            struct err *err)
{
    if (line.size < TLS_TICKET_SECRET_MIN)
        return err_set(err, -EINVAL, "ticket_key_file %s: a secret has at least %d characters",
                       file, TLS_TICKET_SECRET_MIN);
    if (t->secrets_count == TLS_TICKET_SECRETS_MAX)
        return err_set(err, -EINVAL, "ticket_key_file %s: at most %d secrets, one a line", file,
                       TLS_TICKET_SECRETS_MAX);
    if (EVP_Digest(line.data, line.size, t->secrets[t->secrets_count], NULL, EVP_sha256(), NULL) !=
        1)
        return err_set(err, -ENOMEM, "ticket_key_file %s: out of memory", file);
    t->secrets_count++;
    return 0;
}

static int tls_tickets_read(struct tls_tickets *t, const char *file, struct err *err)
{
    CLEAN_BUF struct buf text = BUF_EMPTY;
    int r = file_read(file, TLS_TICKET_FILE_MAX, &text);
    if (r < 0)
        return err_errno(err, r, "reading ticket_key_file %s", file);
    for (struct str rest = buf_str(&text); r == 0 && rest.size > 0;) {
        struct str line = str_cut(rest, '\n', &rest);
        if (line.size > 0 && line.data[line.size - 1] == '\r')
            line.size--;
        line = str_trim(line);
        if (line.size > 0)
            r = tls_tickets_line(t, file, line, err);
    }
    if (text.size > 0)
        explicit_bzero(text.data, text.size);
    if (r == 0 && t->secrets_count == 0)
        r = err_set(err, -EINVAL, "ticket_key_file %s: there is no secret in it", file);
    t->from_file = true;
    return r;
}

int tls_tickets_new(const char *file, struct err *err, struct tls_tickets **ret)
{
    struct tls_tickets *t = calloc(1, sizeof *t);
    if (t == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    t->magic = TLS_TICKETS_MAGIC;
    atomic_init(&t->refs, 1);
    (void)pthread_mutex_init(&t->lock, NULL); /* does not fail with default attributes */
    int r = 0;
    if (file != NULL)
        r = tls_tickets_read(t, file, err);
    else
        t->secrets_count = 1;
    if (r < 0) {
        (void)tls_tickets_unref(t);
        return r;
    }
    *ret = t;
    return 0;
}

struct tls_tickets *tls_tickets_ref(struct tls_tickets *t)
{
    (void)atomic_fetch_add_explicit(&tls_tickets_of(t)->refs, 1, memory_order_relaxed);
    return t;
}

struct tls_tickets *tls_tickets_unref(struct tls_tickets *t)
{
    if (t == NULL)
        return NULL;
    unsigned before = atomic_fetch_sub_explicit(&tls_tickets_of(t)->refs, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before > 1)
        return NULL;
    (void)pthread_mutex_destroy(&t->lock);
    OPENSSL_cleanse(t, sizeof *t);
    free(t);
    return NULL;
}
