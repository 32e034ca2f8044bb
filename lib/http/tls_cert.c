/* SPDX-License-Identifier: Apache-2.0 */
#include "http/tls_cert.h"
#include <ctype.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include "base/file.h"
#include "http/tls_cert_priv.h"
#include "http/tls_lib.h"

/* A key with a passphrase must be an error, not a prompt on the terminal of a daemon. */
static int tls_cert_no_passphrase(char *out, int size, int writing, void *arg)
{
    (void)out, (void)size, (void)writing, (void)arg;
    return 0;
}

static int tls_cert_error(struct err *err, const char *what, const char *file)
{
    char reason[256];
    ERR_error_string_n(ERR_peek_last_error(), reason, sizeof reason);
    ERR_clear_error();
    return err_set(err, -EINVAL, "%s %s: %s", what, file, reason);
}

static int tls_cert_open(const char *file, const char *what, struct buf *text, struct err *err,
                         BIO **ret)
{
    int r = file_read(file, TLS_FILE_MAX, text);
    if (r < 0)
        return err_errno(err, r, "%s %s", what, file);
    if (text->size == 0)
        return err_set(err, -EINVAL, "%s %s: the file is empty", what, file);
    BIO *b = BIO_new_mem_buf(text->data, (int)text->size);
    if (b == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    *ret = b;
    return 0;
}

/* --- the chain -------------------------------------------------------------------------------- */

static X509 *tls_cert_next(BIO *b)
{
    const struct tls_lib *lib = tls_lib_get();
    X509 *x = X509_new_ex(lib->ctx, lib->properties);
    if (x != NULL && PEM_read_bio_X509_AUX(b, &x, tls_cert_no_passphrase, NULL) == NULL) {
        X509_free(x);
        return NULL;
    }
    return x;
}

static int tls_cert_read_chain(struct tls_cert *c, BIO *b)
{
    c->leaf = tls_cert_next(b);
    c->chain = sk_X509_new_null();
    if (c->leaf == NULL || c->chain == NULL)
        return -EINVAL;
    for (X509 *x; (x = tls_cert_next(b)) != NULL;) {
        if (sk_X509_push(c->chain, x) == 0) {
            X509_free(x);
            return -ENOMEM;
        }
    }
    unsigned long last = ERR_peek_last_error();
    if (ERR_GET_LIB(last) != ERR_LIB_PEM || ERR_GET_REASON(last) != PEM_R_NO_START_LINE)
        return -EINVAL; /* not the end of the file, but something broken */
    ERR_clear_error();
    return 0;
}

static int tls_cert_load_chain(struct tls_cert *c, const char *file, struct err *err)
{
    CLEAN_BUF struct buf text = BUF_EMPTY;
    BIO *b = NULL;
    int r = tls_cert_open(file, "reading certificate", &text, err, &b);
    if (r == 0 && tls_cert_read_chain(c, b) < 0)
        r = tls_cert_error(err, "reading certificate", file);
    BIO_free(b); /* takes NULL */
    return r;
}

/* --- the key ---------------------------------------------------------------------------------- */

static int tls_cert_load_key(struct tls_cert *c, const char *file, struct err *err)
{
    const struct tls_lib *lib = tls_lib_get();
    CLEAN_BUF struct buf text = BUF_EMPTY;
    BIO *b = NULL;
    int r = tls_cert_open(file, "reading key", &text, err, &b);
    if (r == 0) {
        c->key = PEM_read_bio_PrivateKey_ex(b, NULL, tls_cert_no_passphrase, NULL, lib->ctx,
                                            lib->properties);
        if (c->key == NULL)
            r = tls_cert_error(err, "reading key", file);
    }
    BIO_free(b);
    if (text.size > 0)
        explicit_bzero(text.data, text.size);
    if (r == 0 && X509_check_private_key(c->leaf, c->key) != 1) {
        ERR_clear_error();
        r = err_set(err, -EINVAL, "key %s does not belong to certificate %s", file, c->cert_file);
    }
    return r;
}

/* --- names ------------------------------------------------------------------------------------ */

static char *tls_cert_name_of(const GENERAL_NAME *name)
{
    if (name->type != GEN_DNS)
        return NULL;
    const char *text = (const char *)ASN1_STRING_get0_data(name->d.dNSName);
    int size = ASN1_STRING_length(name->d.dNSName);
    if (size <= 0 || size > TLSEXT_MAXLEN_host_name || memchr(text, '\0', (size_t)size) != NULL)
        return NULL; /* no host can be asked for by it */
    char *copy = str_dup((struct str){text, (size_t)size});
    for (char *p = copy; p != NULL && *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
    return copy;
}

/* Names are those of the subjectAltName: no client looks at the subject any more. */
static int tls_cert_load_names(struct tls_cert *c, struct err *err)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(c->leaf, NID_subject_alt_name, NULL, NULL);
    if (all == NULL)
        return 0;
    int r = 0;
    int count = sk_GENERAL_NAME_num(all);
    if (count > TLS_CERT_NAMES_MAX)
        r = err_set(err, -E2BIG, "certificate %s: %d names, at most %d are possible", c->cert_file,
                    count, TLS_CERT_NAMES_MAX);
    if (r == 0 && count > 0) {
        c->names = calloc((size_t)count, sizeof(char *));
        if (c->names == NULL)
            r = err_set(err, -ENOMEM, "out of memory");
    }
    for (int i = 0; r == 0 && i < count; i++) {
        char *name = tls_cert_name_of(sk_GENERAL_NAME_value(all, i));
        if (name != NULL)
            c->names[c->names_count++] = name;
    }
    GENERAL_NAMES_free(all);
    return r;
}

/* --- life ------------------------------------------------------------------------------------- */

static int tls_cert_fill(struct tls_cert *c, const struct tls_cert_files *files, struct err *err)
{
    c->cert_file = str_dup(str_of(files->cert));
    c->ocsp_file = files->ocsp != NULL ? str_dup(str_of(files->ocsp)) : NULL;
    if (c->cert_file == NULL || (files->ocsp != NULL && c->ocsp_file == NULL))
        return err_set(err, -ENOMEM, "out of memory");
    int r = tls_cert_load_chain(c, files->cert, err);
    if (r == 0)
        r = tls_cert_load_key(c, files->key, err);
    if (r == 0)
        r = tls_cert_load_names(c, err);
    return r;
}

int tls_cert_load(const struct tls_cert_files *files, struct err *err, struct tls_cert **ret)
{
    ERR_clear_error();
    struct tls_cert *c = calloc(1, sizeof *c);
    if (c == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    c->magic = TLS_CERT_MAGIC;
    (void)pthread_mutex_init(&c->lock, NULL); /* does not fail with default attributes */
    int r = tls_cert_fill(c, files, err);
    if (r < 0) {
        (void)tls_cert_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

struct tls_cert *tls_cert_free(struct tls_cert *c)
{
    if (c == NULL)
        return NULL;
    tls__cert_check(c);
    X509_free(c->leaf);
    sk_X509_pop_free(c->chain, X509_free);
    EVP_PKEY_free(c->key);
    for (unsigned i = 0; i < c->names_count; i++)
        free(c->names[i]);
    free(c->names);
    free(c->cert_file);
    free(c->ocsp_file);
    free(c->ocsp);
    (void)pthread_mutex_destroy(&c->lock);
    MAGIC_CLEAR(c);
    free(c);
    return NULL;
}

int tls_cert_use(const struct tls_cert *c, SSL_CTX *ctx)
{
    tls__cert_check(c);
    return SSL_CTX_use_cert_and_key(ctx, c->leaf, c->key, c->chain, 1) == 1 ? 0 : -EINVAL;
}

int tls_cert_kind(const struct tls_cert *c)
{
    tls__cert_check(c);
    return EVP_PKEY_get_base_id(c->key);
}

unsigned tls_cert_names_count(const struct tls_cert *c)
{
    tls__cert_check(c);
    return c->names_count;
}

const char *tls_cert_name(const struct tls_cert *c, unsigned i)
{
    ASSERT(i < tls_cert_names_count(c));
    return c->names[i];
}

bool tls_cert_is(const struct tls_cert *c, const X509 *leaf)
{
    tls__cert_check(c);
    return c->leaf == leaf;
}

bool tls_cert_same(const struct tls_cert *a, const struct tls_cert *b)
{
    tls__cert_check(a);
    tls__cert_check(b);
    return X509_cmp(a->leaf, b->leaf) == 0;
}
