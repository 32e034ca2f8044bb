/* SPDX-License-Identifier: Apache-2.0 */
/* The state folder of a development host:
 * STATE/{config,tls,secrets,logs,origin,edge,ingest,control} and STATE/weirctl.json. What exists is
 * left alone, so an edited configuration stays edited. */
#include "weirctl.h"
#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/enc.h"
#include "base/file.h"
#include "base/id.h"

#define STATE_SECRET_SIZE 24

struct state {
    char root[PATH_MAX]; /* absolute */
    const char *program; /* weirctl's folder: the web page's files are found from it */
    struct ctl_ports ports;
};

/* Makes root/name with these bytes. */
static int state_put(const struct state *s, const char *name, struct str bytes, unsigned mode,
                     struct err *err)
{
    CLEAN(base_free) char *path = file_join(s->root, name);
    if (path == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    int r = file_write(path, bytes, mode);
    return r < 0 ? err_errno(err, r, "writing %s", path) : 0;
}

static int state_folders(const struct state *s, struct err *err)
{
    static const char *const names[] = {"config", "tls", "secrets", "logs", "control"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        CLEAN(base_free) char *path = file_join(s->root, names[i]);
        int r = path == NULL ? -ENOMEM : file_mkdirs(path);
        if (r < 0)
            return err_errno(err, r, "making %s/%s", s->root, names[i]);
    }
    return 0;
}

static int state_secrets(const struct state *s, struct err *err)
{
    static const char *const names[] = {"secrets/publish", "secrets/read", "secrets/admin",
                                        "secrets/edge"};
    uint8_t bytes[STATE_SECRET_SIZE];
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(names); i++) {
        CLEAN_BUF struct buf text = BUF_EMPTY;
        id_random(bytes, sizeof bytes);
        enc_base64url(bytes, sizeof bytes, &text);
        buf_putc(&text, '\n');
        r = buf_error(&text) < 0 ? err_set(err, -ENOMEM, "out of memory")
                                 : state_put(s, names[i], buf_str(&text), 0600, err);
    }
    if (r < 0)
        return r;
    uint8_t key[32];
    char kid[ID_TEXT_SIZE];
    CLEAN_BUF struct buf ring = BUF_EMPTY;
    id_random(key, sizeof key);
    id_text(kid);
    buf_printf(&ring, "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"%.8s\",\"alg\":\"HS256\",\"k\":\"",
               kid);
    enc_base64url(key, sizeof key, &ring);
    buf_puts(&ring, "\"}]}\n");
    if (buf_error(&ring) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    return state_put(s, "secrets/token-ring.json", buf_str(&ring), 0600, err);
}

/* Any port that is free on loopback now. The socket stays open until all are chosen, in *ret_fd. */
static int state_free_port(uint16_t *ret, int *ret_fd)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &size) < 0) {
        int r = -errno;
        (void)close(fd);
        return r;
    }
    *ret = ntohs(a.sin_port);
    *ret_fd = fd;
    return 0;
}

static int state_choose_ports(struct state *s, bool free_ports, struct err *err)
{
    s->ports = (struct ctl_ports){8443, 8444, 8480, 8481, 8490, 8491};
    if (!free_ports)
        return 0;
    uint16_t *ports[] = {&s->ports.control, &s->ports.edge,       &s->ports.origin,
                         &s->ports.ingest,  &s->ports.edge_admin, &s->ports.control_admin};
    int fds[ARRAY_LEN(ports)] = {0};
    size_t count = 0;
    int r = 0;
    while (r == 0 && count < ARRAY_LEN(ports)) {
        r = state_free_port(ports[count], &fds[count]);
        if (r == 0)
            count++;
    }
    while (count > 0)
        (void)close(fds[--count]);
    return r < 0 ? err_errno(err, r, "finding free ports") : 0;
}

static int state_settings(const struct state *s, struct err *err)
{
    json_t *root = json_object();
    const struct {
        const char *key;
        const char *scheme;
        unsigned port;
    } urls[] = {
        {"control_url", "https", s->ports.control},
        {"edge_url", "https", s->ports.edge},
        {"origin_url", "http", s->ports.origin},
        {"ingest_url", "http", s->ports.ingest},
        {"edge_admin_url", "http", s->ports.edge_admin},
        {"control_admin_url", "http", s->ports.control_admin},
    };
    static const char *const files[][2] = {
        {"publish_credential_file", "secrets/publish"},
        {"admin_credential_file", "secrets/admin"},
        {"token_ring_file", "secrets/token-ring.json"},
        {"ca_file", "tls/ca.pem"},
    };
    for (size_t i = 0; i < ARRAY_LEN(urls); i++)
        (void)json_object_set_new(root, urls[i].key,
                                  json_sprintf("%s://localhost:%u", urls[i].scheme, urls[i].port));
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        (void)json_object_set_new(root, files[i][0], json_sprintf("%s/%s", s->root, files[i][1]));
    char *text = json_dumps(root, JSON_INDENT(2));
    int r = text == NULL ? err_set(err, -ENOMEM, "out of memory")
                         : state_put(s, "weirctl.json", str_of(text), 0644, err);
    free(text);
    json_decref(root);
    return r;
}

/* "key: "path"": quoted as JSON is, which YAML reads: names may hold colons, quotes and hashes. */
static void state_put_path(const struct state *s, const char *key, const char *name, struct buf *b)
{
    CLEAN_BUF struct buf path = BUF_EMPTY;
    buf_printf(&path, "%s%s", s->root, name);
    buf_printf(b, "%s: ", key);
    if (buf_error(&path) < 0)
        b->error = buf_error(&path);
    buf_put_json_string(b, buf_str(&path));
    buf_putc(b, '\n');
}

static int state_put_config(const struct state *s, const char *name, const struct buf *b,
                            struct err *err)
{
    int r = buf_error(b);
    return r < 0 ? err_errno(err, r, "making %s", name) : state_put(s, name, buf_str(b), 0644, err);
}

static void state_put_listen(const struct state *s, const char *key, uint16_t port, bool tls,
                             struct buf *b)
{
    buf_printf(b, "%s:\n  address: 127.0.0.1\n  port: %u\n", key, port);
    if (tls) {
        state_put_path(s, "  cert_file", "/tls/cert.pem", b);
        state_put_path(s, "  key_file", "/tls/key.pem", b);
    }
}

static int state_config_origin(const struct state *s, struct err *err)
{
    CLEAN_BUF struct buf b = BUF_EMPTY;
    state_put_listen(s, "listen", s->ports.origin, false, &b);
    buf_puts(&b, "store:\n");
    state_put_path(s, "  path", "/origin", &b);
    buf_puts(&b, "  hot_size: 128M\n");
    state_put_path(s, "publish_credential_file", "/secrets/publish", &b);
    state_put_path(s, "read_credential_file", "/secrets/read", &b);
    buf_puts(&b, "access_log: true\n");
    return state_put_config(s, "config/origin.yaml", &b, err);
}

static int state_config_edge(const struct state *s, struct err *err)
{
    CLEAN_BUF struct buf b = BUF_EMPTY;
    state_put_listen(s, "listen", s->ports.edge, true, &b);
    state_put_listen(s, "admin_listen", s->ports.edge_admin, false, &b);
    buf_puts(&b, "store:\n");
    state_put_path(s, "  path", "/edge", &b);
    buf_puts(&b, "  volume_size: 256M\n  hot_size: 256M\n  disk_size: 4G\n");
    buf_puts(&b, "upstreams:\n- name: origin\n");
    buf_printf(&b, "  servers: [\"http://127.0.0.1:%u\"]\n", s->ports.origin);
    state_put_path(s, "  credential_file", "/secrets/read", &b);
    buf_puts(&b, "routes:\n- upstream: origin\n");
    state_put_path(s, "  token_ring_file", "/secrets/token-ring.json", &b);
    buf_printf(&b, "lease:\n  backend: control\n  url: https://localhost:%u\n", s->ports.control);
    state_put_path(s, "  credential_file", "/secrets/edge", &b);
    state_put_path(s, "  ca_file", "/tls/ca.pem", &b);
    buf_puts(&b, "access_log: true\n");
    return state_put_config(s, "config/edge.yaml", &b, err);
}

static int state_config_ingest(const struct state *s, struct err *err)
{
    CLEAN_BUF struct buf b = BUF_EMPTY;
    state_put_listen(s, "listen", s->ports.ingest, false, &b);
    state_put_path(s, "credential_file", "/secrets/publish", &b);
    state_put_path(s, "state", "/ingest", &b);
    buf_printf(&b, "origin_url: http://127.0.0.1:%u\n", s->ports.origin);
    state_put_path(s, "publish_credential_file", "/secrets/publish", &b);
    buf_printf(&b, "control_url: https://localhost:%u\n", s->ports.control);
    state_put_path(s, "admin_credential_file", "/secrets/admin", &b);
    state_put_path(s, "ca_file", "/tls/ca.pem", &b);
    return state_put_config(s, "config/ingest.yaml", &b, err);
}

/* The page's files: beside the programs of an installation, or in the build's control folder. */
static int state_web_folder(const struct state *s, char *out, size_t out_size, struct err *err)
{
    static const char *const places[] = {"../share/weir/web", "../../control/web"};
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        char path[PATH_MAX];
        char index[PATH_MAX];
        int size = snprintf(path, sizeof path, "%s/%s", s->program, places[i]);
        int more = snprintf(index, sizeof index, "%s/%s/index.html", s->program, places[i]);
        if (size < 0 || more < 0 || (size_t)more >= sizeof index || access(index, R_OK) < 0)
            continue;
        if (realpath(path, index) != NULL && str_copy(str_of(index), out, out_size) == 0)
            return 0;
    }
    return err_set(err, -ENOENT, "the web page's files are not beside %s", s->program);
}

static int state_config_control(const struct state *s, struct err *err)
{
    char web[PATH_MAX];
    CLEAN_BUF struct buf b = BUF_EMPTY;
    int r = state_web_folder(s, web, sizeof web, err);
    if (r < 0)
        return r;
    state_put_listen(s, "listen", s->ports.control, true, &b);
    state_put_listen(s, "admin_listen", s->ports.control_admin, false, &b);
    state_put_path(s, "db", "/control/weir.db", &b);
    state_put_path(s, "token_ring_file", "/secrets/token-ring.json", &b);
    state_put_path(s, "admin_credential_file", "/secrets/admin", &b);
    state_put_path(s, "edge_credential_file", "/secrets/edge", &b);
    buf_printf(&b, "edge_url: https://localhost:%u\n", s->ports.edge);
    buf_printf(&b, "ingest_url: http://127.0.0.1:%u\n", s->ports.ingest);
    state_put_path(s, "ingest_credential_file", "/secrets/publish", &b);
    /* An installation of one's own sells nothing: all titles, in full, on two devices at once. */
    buf_puts(&b, "default_plan: ultimate\nstream_limit: 2\n");
    buf_puts(&b, "web_folder: ");
    buf_put_json_string(&b, str_of(web));
    buf_putc(&b, '\n');
    return state_put_config(s, "config/control.yaml", &b, err);
}

int ctl_state_make(const char *folder, const char *program, bool free_ports, struct err *err)
{
    struct state s = {.program = program};
    int r = file_mkdirs(folder);
    if (r < 0)
        return err_errno(err, r, "making %s", folder);
    if (realpath(folder, s.root) == NULL)
        return err_errno(err, -errno, "finding %s", folder);
    json_t *text = json_string(s.root); /* refuses what is not UTF-8, as YAML and JSON do */
    if (text == NULL)
        return err_set(err, -EINVAL, "the path of %s is not UTF-8", folder);
    json_decref(text);
    CLEAN(base_free) char *settings = file_join(s.root, "weirctl.json");
    CLEAN(base_free) char *tls = file_join(s.root, "tls");
    if (settings == NULL || tls == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    r = state_folders(&s, err);
    if (r == 0)
        r = ctl_cert_make(tls, err);
    if (r < 0 || access(settings, F_OK) == 0) /* written last: its presence says all is there */
        return r;
    r = state_choose_ports(&s, free_ports, err);
    if (r == 0)
        r = state_secrets(&s, err);
    if (r == 0)
        r = state_config_origin(&s, err);
    if (r == 0)
        r = state_config_edge(&s, err);
    if (r == 0)
        r = state_config_ingest(&s, err);
    if (r == 0)
        r = state_config_control(&s, err);
    return r < 0 ? r : state_settings(&s, err);
}
