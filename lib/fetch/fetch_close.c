/* SPDX-License-Identifier: Apache-2.0 */
/* An answer over TLS that ends with its connection: libcurl takes any end for the end of it, also
 * one that somebody in between has made. Only a close_notify says that it is whole, and it shows in
 * the state of the TLS connection, for as long as there is one: the library's last report of
 * progress is made between the end of the bytes and the end of the connection. */
#include <openssl/ssl.h>
#include "fetch/fetch_priv.h"

static int fetch_close_on_progress(void *arg, curl_off_t down_total, curl_off_t down,
                                   curl_off_t up_total, curl_off_t up)
{
    (void)down_total, (void)down, (void)up_total, (void)up;
    struct fetch_op *op = arg;
    struct curl_tlssessioninfo *info = NULL;
    if (curl_easy_getinfo(op->easy, CURLINFO_TLS_SSL_PTR, &info) != CURLE_OK || info == NULL ||
        info->backend != CURLSSLBACKEND_OPENSSL || info->internals == NULL)
        return 0;
    const SSL *ssl = info->internals;
    op->close_seen = (SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
    return 0;
}

void fetch__close_watch(struct fetch_op *op)
{
    long version = 0;
    op->close_counts = op->close_seen = false;
    if (!str_starts(str_of(op->url), STR("https:")) || op->is_head || op->status == 204 ||
        op->status == 304 || op->lines.size != UINT64_MAX || op->lines.is_coded ||
        curl_easy_getinfo(op->easy, CURLINFO_HTTP_VERSION, &version) != CURLE_OK ||
        version >= CURL_HTTP_VERSION_2_0)
        return;
    /* A failure here leaves the end unseen, and the answer not whole. */
    op->close_counts = true;
    (void)curl_easy_setopt(op->easy, CURLOPT_XFERINFODATA, op);
    (void)curl_easy_setopt(op->easy, CURLOPT_XFERINFOFUNCTION, fetch_close_on_progress);
    (void)curl_easy_setopt(op->easy, CURLOPT_NOPROGRESS, 0L);
}
