/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest daemon there can be, for daemon_test: it serves one text out of its configuration
 * and writes its port to a file. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/file.h"
#include "http/daemon.h"
#include "http/http.h"

struct demo_config {
    char *text;
    char *port_file;
};

static const cyaml_schema_field_t demo_fields[] = {
    CYAML_FIELD_STRING_PTR("text", CYAML_FLAG_POINTER, struct demo_config, text, 0,
                           CYAML_UNLIMITED),
    CYAML_FIELD_STRING_PTR("port_file", CYAML_FLAG_POINTER, struct demo_config, port_file, 0,
                           CYAML_UNLIMITED),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t demo_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct demo_config, demo_fields)};

struct demo {
    pthread_mutex_t lock;
    char *text; /* under lock; our copy: a reload lends its configuration */
    struct http_server *server;
};

static void demo_on_text(struct http_req *req, void *arg)
{
    struct demo *d = arg;
    (void)pthread_mutex_lock(&d->lock);
    http_reply(req, 200, "text/plain", str_of(d->text));
    (void)pthread_mutex_unlock(&d->lock);
}

static int demo_check(const void *config, struct err *err)
{
    const struct demo_config *c = config;
    if (str_eq(str_of(c->text), STR("forbidden")))
        return err_set(err, -EINVAL, "text: this text is forbidden");
    return 0;
}

static int demo_start(const void *config, struct err *err, void **ret_state)
{
    static const struct http_listen listen = {.address = "127.0.0.1"};
    static const struct http_options options = {
        .listens = &listen, .listens_count = 1, .workers = 2, .access_log = HTTP_LOG_JSON};
    struct demo *d = calloc(1, sizeof *d);
    if (d == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    (void)pthread_mutex_init(&d->lock, NULL);
    const struct demo_config *c = config;
    d->text = str_dup(str_of(c->text));
    int r = http_server_new(&options, err, &d->server);
    if (r == 0)
        r = http_route(d->server, HTTP_GET, "/text", demo_on_text, d);
    if (r == 0)
        r = http_server_start(d->server, err);
    if (r == 0) {
        char port[16];
        (void)snprintf(port, sizeof port, "%u", (unsigned)http_server_port(d->server, 0));
        r = file_write(c->port_file, str_of(port), 0600);
        if (r < 0)
            r = err_errno(err, r, "writing %s", c->port_file);
    }
    if (r < 0) {
        (void)http_server_free(d->server);
        free(d->text);
        free(d);
        return r;
    }
    *ret_state = d;
    return 0;
}

static int demo_reload(void *state, const void *config, struct err *err)
{
    struct demo *d = state;
    const struct demo_config *c = config;
    char *text = str_dup(str_of(c->text));
    if (text == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    (void)pthread_mutex_lock(&d->lock);
    free(d->text);
    d->text = text;
    (void)pthread_mutex_unlock(&d->lock);
    return 0;
}

static void demo_stop(void *state)
{
    struct demo *d = state;
    http_server_drain(d->server, 5000);
    (void)http_server_free(d->server);
    (void)pthread_mutex_destroy(&d->lock);
    free(d->text);
    free(d);
}

int main(int argc, char **argv)
{
    static const struct daemon_ops ops = {
        .name = "weir-demo",
        .schema = &demo_schema,
        .check = demo_check,
        .start = demo_start,
        .reload = demo_reload,
        .stop = demo_stop,
    };
    return daemon_main(argc, argv, &ops);
}
