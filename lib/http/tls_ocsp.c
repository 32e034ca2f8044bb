/* SPDX-License-Identifier: Apache-2.0 */
/* OCSP stapling: the authority's word on a certificate, kept beside it and given out with each
 * handshake while it is valid. Only what was checked as a client would check it is kept: a client
 * refuses a connection with a staple that is wrong, and accepts one without. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <time.h>
#include "base/clock.h"
#include "base/file.h"
#include "http/tls_cert_priv.h"

static X509 *tls_ocsp_issuer(const struct tls_cert *c)
{
    for (int i = 0; i < sk_X509_num(c->chain); i++) {
        X509 *x = sk_X509_value(c->chain, i);
        if (X509_check_issued(x, c->leaf) == X509_V_OK)
            return x;
    }
    return NULL;
}

static OCSP_CERTID *tls_ocsp_id(const struct tls_cert *c)
{
    X509 *issuer = tls_ocsp_issuer(c);
    /* SHA-1 names the issuer here, and protects nothing: responders know no other. */
    return issuer != NULL ? OCSP_cert_to_id(EVP_sha1(), c->leaf, issuer) : NULL;
}

static bool tls_ocsp_time(const ASN1_GENERALIZEDTIME *t, int64_t *ret_s)
{
    struct tm tm;
    if (t == NULL || ASN1_TIME_to_tm(t, &tm) != 1)
        return false;
    *ret_s = (int64_t)timegm(&tm);
    return true;
}

/* --- checking an answer ----------------------------------------------------------------------- */

struct tls_ocsp_span {
    int64_t from_s, until_s;
};

static bool tls_ocsp_is_signed(const struct tls_cert *c, OCSP_BASICRESP *basic)
{
    X509_STORE *store = X509_STORE_new();
    bool ok = store != NULL && X509_STORE_add_cert(store, tls_ocsp_issuer(c)) == 1 &&
              X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1 &&
              OCSP_basic_verify(basic, c->chain, store, 0) == 1;
    X509_STORE_free(store);
    return ok;
}

/* What is wrong with it, or NULL. */
static const char *tls_ocsp_wrong(OCSP_BASICRESP *basic, OCSP_CERTID *id, struct tls_ocsp_span *ret)
{
    int status = -1, reason = -1;
    ASN1_GENERALIZEDTIME *revoked_at = NULL, *from = NULL, *until = NULL;
    if (OCSP_resp_find_status(basic, id, &status, &reason, &revoked_at, &from, &until) != 1)
        return "it is for another certificate";
    if (status == V_OCSP_CERTSTATUS_REVOKED)
        return "it says that the certificate is revoked";
    if (status != V_OCSP_CERTSTATUS_GOOD)
        return "its authority does not know the certificate";
    if (!tls_ocsp_time(from, &ret->from_s))
        return "it has no time";
    if (!tls_ocsp_time(until, &ret->until_s)) /* then a newer one is always there */
        ret->until_s = ret->from_s + 24 * 3600;
    int64_t now = clock_real_s();
    if (ret->from_s > now + TLS_OCSP_SKEW_S)
        return "it is not valid yet";
    if (ret->until_s <= now)
        return "it is not valid any more";
    return NULL;
}

static const char *tls_ocsp_check(const struct tls_cert *c, struct str der, OCSP_CERTID *id,
                                  struct tls_ocsp_span *ret)
{
    const unsigned char *at = (const unsigned char *)der.data;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)der.size);
    if (response == NULL)
        return "it is no OCSP answer";
    OCSP_BASICRESP *basic = NULL;
    const char *wrong = NULL;
    if (at != (const unsigned char *)der.data + der.size)
        wrong = "it has more than an OCSP answer";
    else if (OCSP_response_status(response) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        wrong = "the authority has not answered";
    else if ((basic = OCSP_response_get1_basic(response)) == NULL)
        wrong = "it is of a kind that nobody knows";
    else if (!tls_ocsp_is_signed(c, basic))
        wrong = "the signature is not the authority's";
    else
        wrong = tls_ocsp_wrong(basic, id, ret);
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    return wrong;
}

/* --- keeping it ------------------------------------------------------------------------------- */

static void tls_ocsp_keep(struct tls_cert *c, char *data, size_t size,
                          const struct tls_ocsp_span *span)
{
    (void)pthread_mutex_lock(&c->lock);
    free(c->ocsp);
    c->ocsp = (uint8_t *)data;
    c->ocsp_size = size;
    c->ocsp_from_s = span->from_s;
    c->ocsp_until_s = span->until_s;
    (void)pthread_mutex_unlock(&c->lock);
}

int tls_cert_set_ocsp(struct tls_cert *c, struct str der, struct err *err)
{
    tls__cert_check(c);
    if (der.size == 0 || der.size > TLS_OCSP_SIZE_MAX)
        return err_set(err, -EINVAL, "an OCSP answer has 1 to %d bytes", TLS_OCSP_SIZE_MAX);
    OCSP_CERTID *id = tls_ocsp_id(c);
    if (id == NULL) {
        ERR_clear_error();
        return err_set(err, -ENODATA,
                       "certificate %s: its issuer is not in the file, behind it, so that no OCSP "
                       "answer can be checked",
                       c->cert_file);
    }
    struct tls_ocsp_span span = {0, 0};
    const char *wrong = tls_ocsp_check(c, der, id, &span);
    OCSP_CERTID_free(id);
    if (wrong != NULL)
        return err_set(err, -EINVAL, "OCSP answer for certificate %s: %s", c->cert_file, wrong);
    char *copy = str_dup(der);
    if (copy == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    tls_ocsp_keep(c, copy, der.size, &span);
    return 0;
}

bool tls_cert_get_ocsp(struct tls_cert *c, unsigned char **ret_data, size_t *ret_size)
{
    tls__cert_check(c);
    int64_t now = clock_real_s();
    unsigned char *copy = NULL;
    (void)pthread_mutex_lock(&c->lock);
    if (c->ocsp != NULL && now < c->ocsp_until_s && now + TLS_OCSP_SKEW_S >= c->ocsp_from_s) {
        copy = OPENSSL_memdup(c->ocsp, c->ocsp_size);
        *ret_size = c->ocsp_size;
    }
    (void)pthread_mutex_unlock(&c->lock);
    if (copy == NULL)
        return false;
    *ret_data = copy;
    return true;
}

bool tls_cert_has_ocsp_file(const struct tls_cert *c)
{
    tls__cert_check(c);
    return c->ocsp_file != NULL;
}

/* Whether the file is another than at the last look: what is wrong with it is told once. */
static bool tls_ocsp_is_news(struct tls_cert *c, const struct stat *st)
{
    (void)pthread_mutex_lock(&c->lock);
    bool is_same = st->st_mtim.tv_sec == c->ocsp_mtime.tv_sec &&
                   st->st_mtim.tv_nsec == c->ocsp_mtime.tv_nsec && st->st_size == c->ocsp_file_size;
    c->ocsp_mtime = st->st_mtim;
    c->ocsp_file_size = st->st_size;
    (void)pthread_mutex_unlock(&c->lock);
    return !is_same;
}

int tls_cert_refresh(struct tls_cert *c, struct err *err)
{
    tls__cert_check(c);
    struct stat st;
    if (c->ocsp_file == NULL)
        return 0;
    if (stat(c->ocsp_file, &st) < 0) {
        int r = -errno;
        st.st_mtim = (struct timespec){.tv_nsec = -1};
        st.st_size = -1;
        return tls_ocsp_is_news(c, &st) ? err_errno(err, r, "reading ocsp_file %s", c->ocsp_file)
                                        : 0;
    }
    if (!tls_ocsp_is_news(c, &st))
        return 0;
    CLEAN_BUF struct buf der = BUF_EMPTY;
    int r = file_read(c->ocsp_file, TLS_OCSP_SIZE_MAX, &der);
    if (r < 0)
        return err_errno(err, r, "reading ocsp_file %s", c->ocsp_file);
    struct err why = {{0}};
    r = tls_cert_set_ocsp(c, buf_str(&der), &why);
    return r < 0 ? err_set(err, r, "ocsp_file %s: %s", c->ocsp_file, why.text) : 0;
}

void tls_cert_take_ocsp(struct tls_cert *c, struct tls_cert *from)
{
    tls__cert_check(c);
    tls__cert_check(from);
    (void)pthread_mutex_lock(&from->lock);
    struct tls_ocsp_span span = {from->ocsp_from_s, from->ocsp_until_s};
    size_t size = from->ocsp_size;
    char *copy = from->ocsp != NULL ? str_dup((struct str){(const char *)from->ocsp, size}) : NULL;
    (void)pthread_mutex_unlock(&from->lock);
    if (copy != NULL)
        tls_ocsp_keep(c, copy, size, &span);
}

/* --- asking ----------------------------------------------------------------------------------- */

static char *tls_ocsp_url(const struct tls_cert *c)
{
    STACK_OF(OPENSSL_STRING) *urls = X509_get1_ocsp(c->leaf);
    char *url = NULL;
    for (int i = 0; url == NULL && i < sk_OPENSSL_STRING_num(urls); i++) {
        struct str s = str_of(sk_OPENSSL_STRING_value(urls, i));
        if (str_behind_http(s).data != NULL)
            url = str_dup(s);
    }
    X509_email_free(urls);
    return url;
}

static char *tls_ocsp_request(const struct tls_cert *c, size_t *ret_size)
{
    OCSP_REQUEST *request = OCSP_REQUEST_new();
    OCSP_CERTID *id = request != NULL ? tls_ocsp_id(c) : NULL;
    char *copy = NULL;
    if (id != NULL && OCSP_request_add0_id(request, id) == NULL) {
        OCSP_CERTID_free(id);
        id = NULL;
    }
    if (id != NULL) { /* the request's from here on */
        unsigned char *der = NULL;
        int size = i2d_OCSP_REQUEST(request, &der);
        if (size > 0)
            copy = str_dup((struct str){(const char *)der, (size_t)size});
        if (copy != NULL)
            *ret_size = (size_t)size;
        OPENSSL_free(der);
    }
    OCSP_REQUEST_free(request);
    ERR_clear_error();
    return copy;
}

int tls_cert_ask(struct tls_cert *c, char **ret_url, char **ret_request, size_t *ret_size,
                 int64_t *ret_due_s)
{
    tls__cert_check(c);
    if (tls_ocsp_issuer(c) == NULL)
        return -ENODATA;
    CLEAN(base_free) char *url = tls_ocsp_url(c);
    if (url == NULL)
        return -ENODATA;
    char *request = tls_ocsp_request(c, ret_size);
    if (request == NULL)
        return -ENOMEM;
    (void)pthread_mutex_lock(&c->lock);
    /* At half of its life: an authority that is away then has the other half to come back. */
    *ret_due_s =
        c->ocsp != NULL ? c->ocsp_from_s + (c->ocsp_until_s - c->ocsp_from_s) / 2 : INT64_C(0);
    (void)pthread_mutex_unlock(&c->lock);
    *ret_request = request;
    *ret_url = url;
    url = NULL;
    return 0;
}
