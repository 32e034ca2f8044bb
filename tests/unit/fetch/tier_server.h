/* SPDX-License-Identifier: Apache-2.0 */
/* tier_server: real S3 servers and a real weir-origin, as processes of the test.
 *
 * Life:    server_start -> server_stop; they end with the test, however it ends.
 * Owner:   the test.
 * Threads: one.
 * Errors:  a server that is not installed or does not start fails the test: tools/install brings
 *          the S3 servers into build/tools.
 * Units:   none. */
#pragma once
#include <sys/stat.h>
#include <sys/xattr.h>
#include "cert.h"
#include "fetch/s3_tier.h"
#include "../process.h"
#include "tier_test_util.h"

#define SERVER_ACCESS   "weir-test-access"
#define SERVER_SECRET   "weir-test-secret-0123456789"
#define SERVER_BUCKET   "media"
#define SERVER_ATTEMPTS 5

struct server {
    const char *kind; /* "versitygw", "minio" */
    struct place place;
    pid_t pid;
    uint16_t port;
    bool is_tls;
    char cert[160], key[160]; /* its own, trusted by nobody else */
    char endpoint[64];
    char data[96]; /* the folder of the buckets */
};

static inline void server_exec(struct server *s, const char *log)
{
    const char *program = process_program(s->kind);
    char address[32];
    char meta[96];
    char certs[96];
    s->port = port_free();
    (void)snprintf(certs, sizeof certs, "%s/certs", s->place.path);
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)s->port);
    (void)snprintf(meta, sizeof meta, "%s/meta", s->place.path);
    if (strcmp(s->kind, "minio") == 0) {
        assert_int_equal(setenv("MINIO_ROOT_USER", SERVER_ACCESS, 1), 0);
        assert_int_equal(setenv("MINIO_ROOT_PASSWORD", SERVER_SECRET, 1), 0);
        assert_int_equal(setenv("MINIO_BROWSER", "off", 1), 0);
        assert_int_equal(setenv("MINIO_DOMAIN", "s3.localhost", 1), 0);
        assert_int_equal(setenv("MINIO_UPDATE", "off", 1), 0);
        const char *argv[] = {program,       "server", "--quiet", "--address", address,
                              "--certs-dir", certs,    s->data,   NULL};
        s->pid = process_start(log, argv);
        return;
    }
    const char *argv[24] = {program,        "--port",           address,       "--access",
                            SERVER_ACCESS,  "--secret",         SERVER_SECRET, "--quiet",
                            "--keep-alive", "--virtual-domain", "s3.localhost"};
    unsigned n = 11;
    if (s->is_tls) {
        argv[n++] = "--cert";
        argv[n++] = s->cert;
        argv[n++] = "--key";
        argv[n++] = s->key;
    }
    argv[n++] = "posix";
    if (setxattr(s->data, "user.weir", "1", 1, 0) < 0) { /* its metadata are many files then */
        argv[n++] = "--sidecar";
        argv[n++] = meta;
    }
    argv[n++] = s->data;
    s->pid = process_start(log, argv);
}

static inline void server_mkdir(const char *path)
{
    if (mkdir(path, 0755) < 0)
        assert_int_equal(errno, EEXIST);
}

/* s->kind and s->is_tls are set. */
static inline void server_start(struct server *s)
{
    char path[128];
    s->place = place_new();
    (void)snprintf(s->data, sizeof s->data, "%s/data", s->place.path);
    server_mkdir(s->data);
    (void)snprintf(path, sizeof path, "%s/meta", s->place.path);
    server_mkdir(path);
    (void)snprintf(path, sizeof path, "%s/" SERVER_BUCKET, s->data);
    server_mkdir(path); /* both servers have their buckets as folders */
    (void)snprintf(path, sizeof path, "%s/certs", s->place.path);
    server_mkdir(path);
    (void)snprintf(s->cert, sizeof s->cert, "%s/public.crt", path);
    (void)snprintf(s->key, sizeof s->key, "%s/private.key", path);
    if (s->is_tls)
        cert_make(s->cert, s->key);
    const char *log = place_file(&s->place, "log", NULL);
    int attempt = 0;
    do {
        assert_true(attempt++ < SERVER_ATTEMPTS);
        server_exec(s, log);
    } while (!process_listens(s->pid, s->port));
    (void)snprintf(s->endpoint, sizeof s->endpoint, "%s://127.0.0.1:%u",
                   s->is_tls ? "https" : "http", (unsigned)s->port);
    (void)place_file(&s->place, "access", SERVER_ACCESS "\n");
    (void)place_file(&s->place, "secret", SERVER_SECRET "\n");
    (void)place_file(&s->place, "wrong", "weir-test-secret-9876543210\n");
}

static inline void server_stop(struct server *s)
{
    process_stop(s->pid, SIGKILL);
    place_remove(&s->place);
}

static inline struct s3_options server_options(const struct server *s)
{
    return (struct s3_options){
        .endpoint = s->endpoint,
        .bucket = SERVER_BUCKET,
        .access_key_file = place_file(&s->place, "access", NULL),
        .secret_key_file = place_file(&s->place, "secret", NULL),
        .ca_file = s->is_tls ? s->cert : NULL,
        .stall_ms = 30000, /* the machine may be busy */
        .waiting_max = 4096,
    };
}

/* Until it answers as it should: a server that listens may still be about to start. */
static inline struct store_tier *server_tier(struct s3_options o)
{
    struct store_tier *t = NULL;
    struct err err = {""};
    if (s3_tier_new(&o, &err, &t) < 0)
        fail_msg("%s", err.text);
    return t;
}

static inline void server_wait_ready(const struct server *s)
{
    struct store_tier *t = server_tier(server_options(s));
    uint64_t until = clock_mono_ms() + PROCESS_WAIT_MS;
    struct err err = {""};
    while (t->ops->check(t, &err) < 0) {
        if (clock_mono_ms() > until)
            fail_msg("%s", err.text);
        (void)usleep(20000);
    }
    (void)t->ops->free(t);
}
