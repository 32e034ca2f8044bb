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
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include "cert.h"
#include "fetch/s3_tier.h"
#include "tier_test_util.h"

#define SERVER_ACCESS   "weir-test-access"
#define SERVER_SECRET   "weir-test-secret-0123456789"
#define SERVER_BUCKET   "media"
#define SERVER_WAIT_MS  60000
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

static inline uint16_t port_free(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&a, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&a, &size), 0);
    (void)close(fd);
    return ntohs(a.sin_port);
}

static inline bool port_answers(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    bool answers = connect(fd, (struct sockaddr *)(void *)&a, sizeof a) == 0;
    (void)close(fd);
    return answers;
}

static inline pid_t process_start(const char *log, const char *const argv[])
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    (void)dup2(fd, 1);
    (void)dup2(fd, 2);
    (void)execv(argv[0], (char *const *)(const void *)argv);
    _exit(127);
}

static inline void process_stop(pid_t pid, int signal)
{
    int status;
    assert_int_equal(kill(pid, signal), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* False when the process has ended instead: somebody else took its port, perhaps. */
static inline bool process_listens(pid_t pid, uint16_t port)
{
    uint64_t until = clock_mono_ms() + SERVER_WAIT_MS;
    while (!port_answers(port)) {
        int status;
        if (waitpid(pid, &status, WNOHANG) == pid)
            return false;
        assert_true(clock_mono_ms() < until);
        (void)usleep(10000);
    }
    return true;
}

static inline const char *server_program(const char *kind)
{
    static char path[512];
    const char *folder = getenv("WEIR_TOOLS");
    (void)snprintf(path, sizeof path, "%s/bin/%s", folder != NULL ? folder : "build/tools", kind);
    if (access(path, X_OK) != 0)
        fail_msg("%s is not there: tools/install test brings it", path);
    return path;
}

static inline void server_exec(struct server *s, const char *log)
{
    const char *program = server_program(s->kind);
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
    uint64_t until = clock_mono_ms() + SERVER_WAIT_MS;
    struct err err = {""};
    while (t->ops->check(t, &err) < 0) {
        if (clock_mono_ms() > until)
            fail_msg("%s", err.text);
        (void)usleep(20000);
    }
    (void)t->ops->free(t);
}
