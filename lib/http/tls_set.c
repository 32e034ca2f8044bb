/* SPDX-License-Identifier: Apache-2.0 */
#include "http/tls_set.h"
#include <ctype.h>
#include <errno.h>
#include <h2o.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include "base/log.h"
#include "http/tls_lib.h"

#define TLS_SET_KINDS 4 /* of keys, for one name: RSA, ECDSA, Ed25519, one to spare */

struct tls_host { /* certificates that are offered together, and their context */
    int certs[TLS_SET_KINDS];
    unsigned certs_count;
    SSL_CTX *ctx;
};

struct tls_name {
    const char *name; /* a certificate's; lower case */
    unsigned cert;
    SSL_CTX *ctx;
};

struct tls_set {
    uint32_t magic;
#define TLS_SET_MAGIC UINT32_C(0x5be30c97)
    struct tls_tickets *tickets;
    struct tls_cert **certs;
    unsigned certs_count;
    struct tls_host *hosts;
    unsigned hosts_count;
    struct tls_name *names; /* sorted by name, then by certificate */
    unsigned names_count;
    SSL_CTX *first;
};

static void tls_set_check(const struct tls_set *s)
{
    ASSERT(s != NULL);
    ASSERT(s->magic == TLS_SET_MAGIC);
}

/* --- what a handshake asks -------------------------------------------------------------------- */

static int tls_name_compare(const void *a, const void *b)
{
    const struct tls_name *x = a;
    const struct tls_name *y = b;
    int r = strcmp(x->name, y->name);
    return r != 0 ? r : x->cert < y->cert ? -1 : x->cert > y->cert;
}

/* The first entry with that name; the others with it follow. */
static const struct tls_name *tls_set_run(const struct tls_set *s, const char *name)
{
    unsigned from = 0;
    for (unsigned until = s->names_count; from < until;) {
        unsigned middle = from + (until - from) / 2;
        if (strcmp(s->names[middle].name, name) < 0)
            from = middle + 1;
        else
            until = middle;
    }
    bool found = from < s->names_count && strcmp(s->names[from].name, name) == 0;
    return found ? &s->names[from] : NULL;
}

/* "*.b.test" for "a.b.test": one label, the first, may be anything. False: it has but one. */
static bool tls_set_wild(const char *name, char *out, size_t out_size)
{
    const char *dot = strchr(name, '.');
    if (dot == NULL || dot == name || name[0] == '*')
        return false;
    out[0] = '*';
    return str_copy(str_of(dot), out + 1, out_size - 1) == 0;
}

SSL_CTX *tls_set_find(const struct tls_set *s, const char *name)
{
    tls_set_check(s);
    char text[TLSEXT_MAXLEN_host_name + 1];
    char wild[TLSEXT_MAXLEN_host_name + 2];
    size_t size = strlen(name);
    if (size == 0 || size >= sizeof text)
        return NULL;
    for (size_t i = 0; i <= size; i++)
        text[i] = (char)tolower((unsigned char)name[i]);
    if (text[size - 1] == '.') /* the root's: the same host */
        text[size - 1] = '\0';
    const struct tls_name *found = tls_set_run(s, text);
    if (found == NULL && tls_set_wild(text, wild, sizeof wild))
        found = tls_set_run(s, wild);
    return found != NULL ? found->ctx : NULL;
}

static int tls_set_on_name(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    const struct tls_set *s = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    SSL_CTX *ctx = name != NULL ? tls_set_find(s, name) : NULL;
    if (ctx == NULL)
        return SSL_TLSEXT_ERR_NOACK; /* the default certificate */
    if (ctx != SSL_get_SSL_CTX(ssl) && SSL_set_SSL_CTX(ssl, ctx) == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    return SSL_TLSEXT_ERR_OK;
}

static int tls_set_on_status(SSL *ssl, void *arg)
{
    const struct tls_set *s = arg;
    const X509 *leaf = SSL_get_certificate(ssl); /* the one that was chosen, here */
    for (unsigned i = 0; leaf != NULL && i < s->certs_count; i++) {
        unsigned char *data;
        size_t size;
        if (!tls_cert_is(s->certs[i], leaf))
            continue;
        if (!tls_cert_get_ocsp(s->certs[i], &data, &size))
            break;
        (void)SSL_set_tlsext_status_ocsp_resp(ssl, data, (long)size); /* takes data; always 1 */
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK;
}

/* --- a context -------------------------------------------------------------------------------- */

static bool tls_set_configure(SSL_CTX *ctx)
{
    /* AES-128 first: as safe as a video needs, and cheaper than AES-256; ChaCha for those without
     * AES instructions, who put it first. */
    static const char suites[] =
        "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
    static const char ciphers[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                                  "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                                  "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
    static const unsigned char id[] = "weir";
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS); /* an idle connection costs 9 KB less */
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets need no memory here */
    static const h2o_iovec_t protocols[] = {
        {(char *)(uintptr_t) "h2", 2}, {(char *)(uintptr_t) "http/1.1", 8}, {NULL, 0}};
    h2o_ssl_register_alpn_protocols(ctx, protocols);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ctx, ciphers) == 1 &&
           SSL_CTX_set_ciphersuites(ctx, suites) == 1 &&
           SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") == 1 &&
           SSL_CTX_set_session_id_context(ctx, id, sizeof id - 1) == 1;
}

static int tls_set_make_ctx(struct tls_set *s, struct tls_host *h, struct err *err)
{
    const struct tls_lib *lib = tls_lib_get();
    h->ctx = SSL_CTX_new_ex(lib->ctx, lib->properties, TLS_server_method());
    if (h->ctx == NULL)
        return err_set(err, -ENOMEM, "TLS: out of memory");
    bool ok = tls_set_configure(h->ctx) && tls_tickets_attach(s->tickets, h->ctx) == 0;
    for (unsigned i = 0; ok && i < h->certs_count; i++)
        ok = tls_cert_use(s->certs[h->certs[i]], h->ctx) == 0;
    if (!ok) {
        char reason[256];
        ERR_error_string_n(ERR_peek_last_error(), reason, sizeof reason);
        ERR_clear_error();
        return err_set(err, -EINVAL, "TLS settings: %s", reason);
    }
    (void)SSL_CTX_set_tlsext_servername_callback(h->ctx, tls_set_on_name); /* both always 1 */
    (void)SSL_CTX_set_tlsext_servername_arg(h->ctx, s);
    (void)SSL_CTX_set_tlsext_status_cb(h->ctx, tls_set_on_status);
    (void)SSL_CTX_set_tlsext_status_arg(h->ctx, s);
    return 0;
}

/* --- who has which name ----------------------------------------------------------------------- */

static void tls_host_add(const struct tls_set *s, struct tls_host *h, unsigned index)
{
    int kind = tls_cert_kind(s->certs[index]);
    for (unsigned i = 0; i < h->certs_count; i++)
        if (tls_cert_kind(s->certs[h->certs[i]]) == kind)
            return; /* the first of a kind is taken */
    if (h->certs_count < TLS_SET_KINDS)
        h->certs[h->certs_count++] = (int)index;
}

static void tls_host_add_all(const struct tls_set *s, struct tls_host *h, const char *name)
{
    const struct tls_name *end = s->names + s->names_count;
    for (const struct tls_name *n = tls_set_run(s, name);
         n != NULL && n < end && strcmp(n->name, name) == 0; n++)
        tls_host_add(s, h, n->cert);
}

/* One certificate of each kind of key: with that very name, else with a wildcard for it. */
static struct tls_host tls_host_of(const struct tls_set *s, const char *name)
{
    struct tls_host h = {.certs_count = 0};
    char wild[TLSEXT_MAXLEN_host_name + 2];
    tls_host_add_all(s, &h, name);
    if (tls_set_wild(name, wild, sizeof wild))
        tls_host_add_all(s, &h, wild);
    return h;
}

static int tls_set_ctx_of(struct tls_set *s, struct tls_host h, struct err *err, SSL_CTX **ret)
{
    for (unsigned i = 0; i < s->hosts_count; i++) {
        const struct tls_host *o = &s->hosts[i];
        if (o->certs_count == h.certs_count &&
            memcmp(o->certs, h.certs, h.certs_count * sizeof h.certs[0]) == 0) {
            *ret = o->ctx;
            return 0;
        }
    }
    int r = tls_set_make_ctx(s, &h, err);
    if (r < 0) {
        SSL_CTX_free(h.ctx); /* takes NULL */
        return r;
    }
    struct tls_host *grown = realloc(s->hosts, (s->hosts_count + 1) * sizeof *grown);
    if (grown == NULL) {
        SSL_CTX_free(h.ctx);
        return err_set(err, -ENOMEM, "out of memory");
    }
    s->hosts = grown;
    s->hosts[s->hosts_count++] = h;
    *ret = h.ctx;
    return 0;
}

/* The default certificate, and those of another kind that have its first name. */
static int tls_set_make_first(struct tls_set *s, struct err *err)
{
    struct tls_host h = {.certs_count = 0};
    tls_host_add(s, &h, 0);
    if (tls_cert_names_count(s->certs[0]) > 0) {
        struct tls_host more = tls_host_of(s, tls_cert_name(s->certs[0], 0));
        for (unsigned i = 0; i < more.certs_count; i++)
            tls_host_add(s, &h, (unsigned)more.certs[i]);
    }
    return tls_set_ctx_of(s, h, err, &s->first);
}

static int tls_set_list_names(struct tls_set *s, struct err *err)
{
    unsigned total = 0;
    for (unsigned i = 0; i < s->certs_count; i++)
        total += tls_cert_names_count(s->certs[i]);
    if (total == 0)
        return 0;
    s->names = calloc(total, sizeof *s->names);
    if (s->names == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    for (unsigned i = 0; i < s->certs_count; i++)
        for (unsigned n = 0; n < tls_cert_names_count(s->certs[i]); n++)
            s->names[s->names_count++] =
                (struct tls_name){.name = tls_cert_name(s->certs[i], n), .cert = i};
    qsort(s->names, s->names_count, sizeof *s->names, tls_name_compare);
    return 0;
}

static int tls_set_make_hosts(struct tls_set *s, struct err *err)
{
    int r = tls_set_list_names(s, err);
    if (r == 0)
        r = tls_set_make_first(s, err);
    for (unsigned i = 0; r == 0 && i < s->names_count; i++)
        r = tls_set_ctx_of(s, tls_host_of(s, s->names[i].name), err, &s->names[i].ctx);
    return r;
}

/* --- life ------------------------------------------------------------------------------------- */

static int tls_set_load(struct tls_set *s, const struct tls_cert_files *files, unsigned count,
                        struct err *err)
{
    s->certs = calloc(count, sizeof(struct tls_cert *));
    if (s->certs == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    for (unsigned i = 0; i < count; i++) {
        int r = tls_cert_load(&files[i], err, &s->certs[i]);
        if (r < 0)
            return r;
        s->certs_count++;
    }
    return 0;
}

int tls_set_new(const struct tls_cert_files *files, unsigned count, struct tls_tickets *tickets,
                struct err *err, struct tls_set **ret)
{
    ASSERT(count > 0);
    if (count > TLS_SET_CERTS_MAX)
        return err_set(err, -EINVAL, "at most %d certificates are possible", TLS_SET_CERTS_MAX);
    struct tls_set *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    s->magic = TLS_SET_MAGIC;
    s->tickets = tls_tickets_ref(tickets);
    int r = tls_set_load(s, files, count, err);
    if (r == 0)
        r = tls_set_make_hosts(s, err);
    if (r < 0) {
        (void)tls_set_free(s);
        return r;
    }
    tls_set_refresh(s);
    *ret = s;
    return 0;
}

struct tls_set *tls_set_free(struct tls_set *s)
{
    if (s == NULL)
        return NULL;
    tls_set_check(s);
    for (unsigned i = 0; i < s->hosts_count; i++)
        SSL_CTX_free(s->hosts[i].ctx);
    free(s->hosts);
    free(s->names);
    for (unsigned i = 0; i < s->certs_count; i++)
        (void)tls_cert_free(s->certs[i]);
    free(s->certs);
    (void)tls_tickets_unref(s->tickets);
    MAGIC_CLEAR(s);
    free(s);
    return NULL;
}

SSL_CTX *tls_set_default(const struct tls_set *s)
{
    tls_set_check(s);
    return s->first;
}

void tls_set_each(const struct tls_set *s, void (*fn)(SSL_CTX *ctx))
{
    tls_set_check(s);
    for (unsigned i = 0; i < s->hosts_count; i++)
        fn(s->hosts[i].ctx);
}

struct tls_tickets *tls_set_tickets(const struct tls_set *s)
{
    tls_set_check(s);
    return s->tickets;
}

unsigned tls_set_certs_count(const struct tls_set *s)
{
    tls_set_check(s);
    return s->certs_count;
}

struct tls_cert *tls_set_cert(const struct tls_set *s, unsigned i)
{
    ASSERT(i < tls_set_certs_count(s));
    return s->certs[i];
}

void tls_set_take_ocsp(struct tls_set *s, const struct tls_set *from)
{
    tls_set_check(s);
    tls_set_check(from);
    for (unsigned i = 0; i < s->certs_count; i++)
        for (unsigned n = 0; n < from->certs_count; n++)
            if (!tls_cert_has_ocsp_file(s->certs[i]) && tls_cert_same(s->certs[i], from->certs[n]))
                tls_cert_take_ocsp(s->certs[i], from->certs[n]);
}

void tls_set_refresh(struct tls_set *s)
{
    tls_set_check(s);
    for (unsigned i = 0; i < s->certs_count; i++) {
        struct err err = {{0}};
        if (tls_cert_refresh(s->certs[i], &err) < 0)
            log_warn("no OCSP answer is stapled: %s", err.text);
    }
}
