/* SPDX-License-Identifier: Apache-2.0 */
/* A circuit for each upstream: scheme, host, port, or the socket's path. */
#include <errno.h>
#include <stdlib.h>
#include "fetch/fetch_priv.h"

static int fetch_host_key(const char *url, const char *unix_socket, struct buf *out)
{
    CURLU *u = curl_url();
    if (u == NULL)
        return -ENOMEM;
    char *scheme = NULL;
    char *host = NULL;
    char *port = NULL;
    int r = -EINVAL;
    if (curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
        struct str s = str_of(scheme);
        if (str_eq_nocase(s, STR("http")) || str_eq_nocase(s, STR("https"))) {
            buf_printf(out, "%s://%s:%s %s", scheme, host, port,
                       unix_socket != NULL ? unix_socket : "");
            r = buf_error(out);
        }
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
    return r;
}

static bool fetch_host_in_use(const struct fetch *f, const struct fetch_host *h)
{
    for (const struct fetch_op *op = f->ops; op != NULL; op = op->next)
        if (op->host == h)
            return true;
    for (const struct fetch_op *op = f->dead; op != NULL; op = op->next)
        if (op->host == h)
            return true;
    return false;
}

static void fetch_hosts_trim(struct fetch *f)
{
    for (struct fetch_host **at = &f->hosts; *at != NULL;) {
        struct fetch_host *h = *at;
        if (h->circuit.failures > 0 || fetch_host_in_use(f, h)) {
            at = &h->next;
            continue;
        }
        *at = h->next;
        f->hosts_count--;
        free(h->key);
        free(h);
    }
}

int fetch__host_of(struct fetch *f, const char *url, const char *unix_socket,
                   struct fetch_host **ret)
{
    CLEAN_BUF struct buf key = BUF_EMPTY;
    int r = fetch_host_key(url, unix_socket, &key);
    if (r < 0)
        return r;
    for (struct fetch_host *h = f->hosts; h != NULL; h = h->next) {
        if (strcmp(h->key, key.data) == 0) {
            *ret = h;
            return 0;
        }
    }
    if (f->hosts_count >= FETCH_HOSTS_MAX)
        fetch_hosts_trim(f);
    struct fetch_host *h = calloc(1, sizeof *h);
    if (h == NULL)
        return -ENOMEM;
    h->key = buf_take(&key);
    h->circuit.failures_max = f->options.breaker_failures;
    h->circuit.open_ms = f->options.breaker_ms;
    h->next = f->hosts;
    f->hosts = h;
    f->hosts_count++;
    *ret = h;
    return 0;
}

void fetch__hosts_free(struct fetch *f)
{
    while (f->hosts != NULL) {
        struct fetch_host *next = f->hosts->next;
        free(f->hosts->key);
        free(f->hosts);
        f->hosts = next;
    }
}
