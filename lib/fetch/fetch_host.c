/* SPDX-License-Identifier: Apache-2.0 */
/* A circuit for each upstream (scheme, host, port, or the socket's path):
 *
 *   closed --breaker_failures in a row--> open --breaker_ms--> one probe --answer--> closed
 *                                           ^----------------------|--failure
 * While open, requests are refused without a try. While the probe is under way they wait for what
 * it meets: the head of any answer closes the circuit. */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
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
        if (h->failures > 0 || fetch_host_in_use(f, h)) {
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
    h->next = f->hosts;
    f->hosts = h;
    f->hosts_count++;
    *ret = h;
    return 0;
}

bool fetch__host_admits(struct fetch *f, struct fetch_host *h, const struct fetch_op *op)
{
    (void)f;
    if (!h->is_open)
        return true;
    if (h->probe != NULL || clock_mono_ms() < h->open_until_ms)
        return false;
    h->probe = op;
    return true;
}

void fetch__host_result(struct fetch *f, struct fetch_host *h, const struct fetch_op *op,
                        bool answered)
{
    bool was_probe = h->probe == op;
    fetch__host_forget(h, op);
    if (answered) {
        h->failures = 0;
        h->is_open = false;
        return;
    }
    if (h->failures < UINT32_MAX)
        h->failures++;
    if (was_probe || (!h->is_open && h->failures >= f->options.breaker_failures)) {
        h->is_open = true;
        h->open_until_ms = clock_mono_ms() + f->options.breaker_ms;
    }
}

void fetch__host_answers(struct fetch_host *h, const struct fetch_op *op)
{
    if (h->probe != op)
        return;
    h->probe = NULL;
    h->failures = 0;
    h->is_open = false;
}

void fetch__host_forget(struct fetch_host *h, const struct fetch_op *op)
{
    if (h->probe == op)
        h->probe = NULL;
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
