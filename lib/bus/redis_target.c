/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/redis_target.h"
#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include "base/file.h"

static int redis_url_bad(struct str url, const char *why, struct err *err)
{
    return err_set(err, -EINVAL, "redis: '" STR_FMT "' %s", STR_ARG(url), why);
}

bool redis_address_eq(const struct redis_address *a, const struct redis_address *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* "host", "host:port", "[address]:port" */
static int redis_url_host(struct str text, struct redis_address *ret)
{
    struct str port = STR_NONE;
    struct str host;
    if (str_starts(text, STR("["))) {
        host = str_cut(str_skip(text, 1), ']', &port);
        if (port.data == NULL || (port.size > 0 && port.data[0] != ':'))
            return -EINVAL;
        port = port.size > 0 ? str_skip(port, 1) : STR_NONE;
    } else {
        host = str_cut(text, ':', &port);
    }
    uint64_t number = REDIS_PORT;
    if (port.data != NULL && str_to_u64(port, &number) < 0)
        return -EINVAL;
    if (host.size == 0 || number == 0 || number > UINT16_MAX)
        return -EINVAL;
    for (size_t i = 0; i < host.size; i++)
        if (!isalnum((unsigned char)host.data[i]) && strchr(".-_:", host.data[i]) == NULL)
            return -EINVAL;
    ret->port = (uint16_t)number;
    return str_copy(host, ret->host, sizeof ret->host);
}

static int redis_url_hosts(struct str text, struct redis_target *t)
{
    do {
        if (t->seeds_count == REDIS_SEEDS_MAX)
            return -EINVAL;
        int r = redis_url_host(str_cut(text, ',', &text), &t->seeds[t->seeds_count]);
        if (r < 0)
            return r;
        t->seeds_count++;
    } while (text.data != NULL);
    return 0;
}

int redis_url_parse(struct str url, struct redis_target *ret, struct err *err)
{
    struct redis_target t = {.password = BUF_EMPTY};
    struct str rest;
    if (str_starts(url, STR("redis://")))
        rest = str_skip(url, strlen("redis://"));
    else if (str_starts(url, STR("rediss://")))
        rest = str_skip(url, strlen("rediss://"));
    else
        return redis_url_bad(url, "does not begin with redis:// or rediss://", err);
    t.is_tls = str_starts(url, STR("rediss://"));
    struct str db;
    struct str where = str_cut(rest, '/', &db);
    const char *at = where.size > 0 ? memrchr(where.data, '@', where.size) : NULL;
    if (at != NULL) {
        struct str user = {where.data, (size_t)(at - where.data)};
        where = str_skip(where, user.size + 1);
        if (memchr(user.data, ':', user.size) != NULL)
            return err_set(err, -EINVAL,
                           "redis: a password does not belong into the URL but into a file of its "
                           "own, named by redis_password_file");
        if (str_copy(user, t.user, sizeof t.user) < 0)
            return redis_url_bad(url, "has too long a user's name", err);
    }
    if (redis_url_hosts(where, &t) < 0)
        return redis_url_bad(
            url, "is not of the form redis://[user@]host[:port][,host[:port]...][/db]", err);
    uint64_t number = 0;
    if (db.size > 0 && (str_to_u64(db, &number) < 0 || number > 65535))
        return redis_url_bad(url, "does not end in a database's number", err);
    t.db = (uint32_t)number;
    *ret = t;
    return 0;
}

static int redis_target_tls(const struct bus_redis_options *o, struct redis_target *t,
                            struct err *err)
{
    t->tls = SSL_CTX_new(TLS_client_method());
    if (t->tls == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    (void)SSL_CTX_set_min_proto_version(t->tls, TLS1_2_VERSION); /* known to every OpenSSL 3 */
    (void)SSL_CTX_set_mode(t->tls,
                           SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(t->tls, SSL_VERIFY_PEER, NULL);
    int good = o->ca_file != NULL ? SSL_CTX_load_verify_locations(t->tls, o->ca_file, NULL)
                                  : SSL_CTX_set_default_verify_paths(t->tls);
    if (good != 1)
        return err_set(err, -EINVAL, "redis_ca_file: %s holds no certificates that can be read",
                       o->ca_file != NULL ? o->ca_file : "the system's store");
    if (o->cert_file == NULL)
        return 0;
    if (SSL_CTX_use_certificate_chain_file(t->tls, o->cert_file) != 1)
        return err_set(err, -EINVAL, "redis_cert_file: %s holds no certificate", o->cert_file);
    if (SSL_CTX_use_PrivateKey_file(t->tls, o->key_file, SSL_FILETYPE_PEM) != 1)
        return err_set(err, -EINVAL, "redis_key_file: %s holds no key of redis_cert_file",
                       o->key_file);
    return 0;
}

int redis_target_load(const struct bus_redis_options *options, struct redis_target *ret,
                      struct err *err)
{
    struct redis_target t;
    int r = redis_url_parse(str_of(options->url), &t, err);
    if (r < 0)
        return r;
    bool any_tls =
        options->ca_file != NULL || options->cert_file != NULL || options->key_file != NULL;
    if (any_tls && !t.is_tls)
        return err_set(err, -EINVAL,
                       "redis: redis_ca_file, redis_cert_file and redis_key_file need rediss://");
    if ((options->cert_file == NULL) != (options->key_file == NULL))
        return err_set(err, -EINVAL, "redis_cert_file and redis_key_file come together");
    if (options->password_file != NULL) {
        r = file_read_secret(options->password_file, &t.password);
        if (r < 0)
            (void)err_errno(err, r, "redis_password_file: reading %s", options->password_file);
    }
    if (r == 0 && t.is_tls)
        r = redis_target_tls(options, &t, err);
    if (r < 0) {
        redis_target_clear(&t);
        return r;
    }
    *ret = t;
    return 0;
}

void redis_target_clear(struct redis_target *t)
{
    if (t->password.data != NULL)
        OPENSSL_cleanse(t->password.data, t->password.cap_size);
    buf_free(&t->password);
    SSL_CTX_free(t->tls);
    t->tls = NULL;
}
