/* SPDX-License-Identifier: Apache-2.0 */
#include "weirctl.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>
#include "base/file.h"
#include "base/id.h"

#define CERT_CA_DAYS    3650
#define CERT_DAYS       397 /* browsers refuse longer ones */
#define CERT_RENEW_DAYS 7

static EVP_PKEY *evp_pkey_free(EVP_PKEY *k)
{
    EVP_PKEY_free(k);
    return NULL;
}
DEFINE_CLEAN(EVP_PKEY *, evp_pkey_free)

static X509 *x509_free(X509 *c)
{
    X509_free(c);
    return NULL;
}
DEFINE_CLEAN(X509 *, x509_free)

static BIO *bio_free(BIO *b)
{
    BIO_free(b);
    return NULL;
}
DEFINE_CLEAN(BIO *, bio_free)

static int cert_add(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    if (e == NULL)
        return -EINVAL;
    int ok = X509_add_ext(cert, e, -1);
    X509_EXTENSION_free(e);
    return ok == 1 ? 0 : -ENOMEM;
}

/* A certificate for key with a random serial, signed by issuer_key; names: subjectAltName, or NULL
 * for a CA. */
static int cert_build(EVP_PKEY *key, const char *common_name, const char *names, X509 *issuer,
                      EVP_PKEY *issuer_key, long days, X509 **ret)
{
    CLEAN(x509_free) X509 *cert = X509_new();
    uint8_t serial[8];
    id_random(serial, sizeof serial);
    serial[0] &= 0x7f;
    BIGNUM *number = BN_bin2bn(serial, sizeof serial, NULL);
    if (cert == NULL || number == NULL) {
        BN_free(number);
        return -ENOMEM;
    }
    bool good = BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    X509_NAME *name = X509_get_subject_name(cert);
    good = good && X509_set_version(cert, X509_VERSION_3) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(cert), -3600) != NULL &&
           X509_time_adj_ex(X509_getm_notAfter(cert), (int)days, 0, NULL) != NULL &&
           X509_set_pubkey(cert, key) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name,
                                      -1, -1, 0) == 1 &&
           X509_set_issuer_name(cert, issuer != NULL ? X509_get_subject_name(issuer) : name) == 1;
    if (!good)
        return -EIO;
    X509 *by = issuer != NULL ? issuer : cert;
    int r = cert_add(cert, by, NID_basic_constraints,
                     names == NULL ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE");
    if (r == 0)
        r = cert_add(cert, by, NID_key_usage,
                     names == NULL ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
    if (r == 0)
        r = cert_add(cert, by, NID_subject_key_identifier, "hash");
    if (r == 0 && names != NULL)
        r = cert_add(cert, by, NID_ext_key_usage, "serverAuth");
    if (r == 0 && names != NULL)
        r = cert_add(cert, by, NID_subject_alt_name, names);
    if (r == 0 && X509_sign(cert, issuer_key, EVP_sha256()) == 0)
        r = -EIO;
    if (r < 0)
        return r;
    *ret = cert;
    cert = NULL;
    return 0;
}

static int cert_write(const char *folder, const char *name, X509 *cert, X509 *more, EVP_PKEY *key)
{
    CLEAN(bio_free) BIO *bio = BIO_new(BIO_s_mem());
    CLEAN(base_free) char *path = file_join(folder, name);
    if (bio == NULL || path == NULL)
        return -ENOMEM;
    bool good = cert == NULL || PEM_write_bio_X509(bio, cert) == 1;
    good = good && (more == NULL || PEM_write_bio_X509(bio, more) == 1);
    good = good &&
           (key == NULL || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
    char *data = NULL;
    long size = BIO_get_mem_data(bio, &data);
    if (!good || size <= 0)
        return -EIO;
    return file_write(path, (struct str){data, (size_t)size}, key != NULL ? 0600 : 0644);
}

/* Whether folder/name holds a certificate that is good for a while yet. */
static bool cert_is_good(const char *folder, const char *name)
{
    CLEAN_BUF struct buf text = BUF_EMPTY;
    CLEAN(base_free) char *path = file_join(folder, name);
    if (path == NULL || file_read(path, 65536, &text) < 0)
        return false;
    CLEAN(bio_free) BIO *bio = BIO_new_mem_buf(text.data, (int)text.size);
    CLEAN(x509_free) X509 *cert = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
    int days = 0;
    int seconds = 0;
    return cert != NULL && ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert)) == 1 &&
           days >= CERT_RENEW_DAYS;
}

static int cert_names(struct buf *out)
{
    char host[256];
    buf_puts(out, "DNS:localhost,IP:127.0.0.1,IP:::1");
    if (gethostname(host, sizeof host) == 0) {
        host[sizeof host - 1] = 0;
        size_t good =
            strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");
        if (good > 0 && host[good] == 0 && strcmp(host, "localhost") != 0)
            buf_printf(out, ",DNS:%s", host);
    }
    return buf_error(out);
}

int ctl_cert_make(const char *folder, struct err *err)
{
    if (cert_is_good(folder, "ca.pem") && cert_is_good(folder, "cert.pem"))
        return 0;
    CLEAN_BUF struct buf names = BUF_EMPTY;
    CLEAN(evp_pkey_free) EVP_PKEY *ca_key = EVP_EC_gen("P-256");
    CLEAN(evp_pkey_free) EVP_PKEY *key = EVP_EC_gen("P-256");
    CLEAN(x509_free) X509 *ca = NULL;
    CLEAN(x509_free) X509 *cert = NULL;
    int r = ca_key == NULL || key == NULL ? -ENOMEM : file_mkdirs(folder);
    if (r == 0)
        r = cert_names(&names);
    if (r == 0)
        r = cert_build(ca_key, "Weir development CA", NULL, NULL, ca_key, CERT_CA_DAYS, &ca);
    if (r == 0)
        r = cert_build(key, "weir.localhost", names.data, ca, ca_key, CERT_DAYS, &cert);
    /* The CA's key is not kept: nobody else can be vouched for by it later. */
    if (r == 0)
        r = cert_write(folder, "key.pem", NULL, NULL, key);
    if (r == 0)
        r = cert_write(folder, "ca.pem", ca, NULL, NULL);
    if (r == 0)
        r = cert_write(folder, "cert.pem", cert, ca, NULL);
    if (r < 0)
        return err_errno(err, r, "making certificates in %s", folder);
    return 0;
}
