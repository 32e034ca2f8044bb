/* SPDX-License-Identifier: Apache-2.0 */
/* TLS of the server's listeners: made from what the configuration names, made anew at a reload, and
 * OCSP answers kept up to date.
 *
 *   configuration -> struct http_tls -> listener.tls -> (posted) -> each worker's accepts[].tls
 *   A reload makes a fresh one beside it, files, keys and all. Nothing changes when that fails.
 *   The old one is retired, not freed: see struct http_server. */
#include <errno.h>
#include <stdlib.h>
#include "base/log.h"
#include "base/pool.h"
#include "http/http_priv.h"
#include "http/tls_set.h"

#define HTTP_OCSP_LOOK_MS 60000

/* --- making ----------------------------------------------------------------------------------- */

static int http_tls_copy(const char *text, char **ret)
{
    if (text == NULL)
        return 0;
    *ret = str_dup(str_of(text));
    return *ret != NULL ? 0 : -ENOMEM;
}

/* Field values go out as they are: no line may end in one. */
static bool http_tls_is_field_text(const char *text)
{
    for (const char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
            return false;
    return *text != '\0';
}

static int http_tls_check(const struct http_listen *o, struct err *err)
{
    if ((o->cert_file == NULL) != (o->key_file == NULL))
        return err_set(err, -EINVAL, "listening on %s: certificate and key belong together",
                       o->address);
    if (o->cert_file == NULL && (o->certificates_count > 0 || o->ocsp_file != NULL ||
                                 o->ticket_key_file != NULL || o->alt_svc != NULL))
        return err_set(err, -EINVAL, "listening on %s: TLS needs a default cert_file and key_file",
                       o->address);
    for (unsigned i = 0; i < o->certificates_count; i++)
        if (o->certificates[i].cert_file == NULL || o->certificates[i].key_file == NULL)
            return err_set(err, -EINVAL, "listening on %s: certificate and key belong together",
                           o->address);
    if (o->alt_svc != NULL && !http_tls_is_field_text(o->alt_svc))
        return err_set(err, -EINVAL, "listening on %s: alt_svc is not the text of a header field",
                       o->address);
    return 0;
}

static int http_tls_load(struct http_tls *t, const struct http_listen *o,
                         const struct http_tls *before, struct err *err)
{
    struct tls_cert_files *files = calloc(1u + o->certificates_count, sizeof *files);
    if (files == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    files[0] = (struct tls_cert_files){o->cert_file, o->key_file, o->ocsp_file};
    for (unsigned i = 0; i < o->certificates_count; i++) {
        const struct http_certificate *c = &o->certificates[i];
        files[1 + i] = (struct tls_cert_files){c->cert_file, c->key_file, c->ocsp_file};
    }
    /* Random keys go on over a reload: what was handed out is still good. */
    struct tls_tickets *tickets = NULL;
    int r = 0;
    if (o->ticket_key_file == NULL && before != NULL && !before->has_ticket_file)
        tickets = tls_tickets_ref(tls_set_tickets(before->set));
    else
        r = tls_tickets_new(o->ticket_key_file, err, &tickets);
    if (r == 0)
        r = tls_set_new(files, 1 + o->certificates_count, tickets, err, &t->set);
    (void)tls_tickets_unref(tickets); /* the set has its own */
    free(files);
    if (r == 0 && before != NULL)
        tls_set_take_ocsp(t->set, before->set);
    if (r == 0)
        tls_set_each(t->set, http__seal_attach);
    return r;
}

int http__tls_new(const struct http_listen *o, const struct http_tls *before, struct err *err,
                  struct http_tls **ret)
{
    int r = http_tls_check(o, err);
    if (r < 0 || o->cert_file == NULL)
        return r;
    struct http_tls *t = calloc(1, sizeof *t);
    if (t == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    t->has_ticket_file = o->ticket_key_file != NULL;
    r = http_tls_copy(o->alt_svc, &t->alt_svc);
    if (r < 0)
        r = err_set(err, r, "out of memory");
    else
        r = http_tls_load(t, o, before, err);
    if (r < 0) {
        (void)http__tls_free(t);
        return r;
    }
    *ret = t;
    return 0;
}

struct http_tls *http__tls_free(struct http_tls *t)
{
    if (t == NULL)
        return NULL;
    (void)tls_set_free(t->set);
    free(t->alt_svc);
    free(t);
    return NULL;
}

SSL_CTX *http__tls_ctx(const struct http_tls *t)
{
    return t != NULL ? tls_set_default(t->set) : NULL;
}

void http__tls_add_alt_svc(h2o_req_t *h2o)
{
    const struct http_conn *c = http__conn_of(h2o);
    const struct http_tls *t = c != NULL ? c->accept->tls : NULL;
    if (t == NULL || t->alt_svc == NULL)
        return;
    h2o_add_header_by_str(&h2o->pool, &h2o->res.headers, H2O_STRLIT("alt-svc"), 0, NULL, t->alt_svc,
                          strlen(t->alt_svc));
}

/* --- what a listener was made with ------------------------------------------------------------ */

void http__listen_options_free(struct http_listen *o)
{
    for (unsigned i = 0; i < o->certificates_count; i++) {
        free((void *)(uintptr_t)o->certificates[i].cert_file); /* const for readers; made by us */
        free((void *)(uintptr_t)o->certificates[i].key_file);
        free((void *)(uintptr_t)o->certificates[i].ocsp_file);
    }
    free((void *)(uintptr_t)o->certificates);
    free((void *)(uintptr_t)o->address);
    free((void *)(uintptr_t)o->cert_file);
    free((void *)(uintptr_t)o->key_file);
    free((void *)(uintptr_t)o->ocsp_file);
    free((void *)(uintptr_t)o->ticket_key_file);
    free((void *)(uintptr_t)o->alt_svc);
    *o = (struct http_listen){.address = NULL};
}

static int http_listen_copy_certificates(const struct http_listen *o, struct http_listen *copy)
{
    if (o->certificates_count == 0)
        return 0;
    struct http_certificate *all = calloc(o->certificates_count, sizeof *all);
    copy->certificates = all;
    if (all == NULL)
        return -ENOMEM;
    copy->certificates_count = o->certificates_count;
    int r = 0;
    for (unsigned i = 0; r == 0 && i < o->certificates_count; i++) {
        r = http_tls_copy(o->certificates[i].cert_file, (char **)(uintptr_t)&all[i].cert_file);
        if (r == 0)
            r = http_tls_copy(o->certificates[i].key_file, (char **)(uintptr_t)&all[i].key_file);
        if (r == 0)
            r = http_tls_copy(o->certificates[i].ocsp_file, (char **)(uintptr_t)&all[i].ocsp_file);
    }
    return r;
}

int http__listen_options_copy(const struct http_listen *o, struct http_listen *ret)
{
    struct http_listen copy = {.port = o->port};
    const struct {
        const char *from;
        const char **to;
    } rows[] = {
        {o->address, &copy.address},
        {o->cert_file, &copy.cert_file},
        {o->key_file, &copy.key_file},
        {o->ocsp_file, &copy.ocsp_file},
        {o->ticket_key_file, &copy.ticket_key_file},
        {o->alt_svc, &copy.alt_svc},
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(rows); i++)
        r = http_tls_copy(rows[i].from, (char **)(uintptr_t)rows[i].to);
    if (r == 0)
        r = http_listen_copy_certificates(o, &copy);
    if (r < 0)
        http__listen_options_free(&copy);
    else
        *ret = copy;
    return r;
}

/* --- a reload --------------------------------------------------------------------------------- */

static int http_tls_swap(struct http_server *s, struct http_tls **fresh)
{
    (void)pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->options.listens_count; i++) {
        if (fresh[i] == NULL)
            continue;
        struct http_tls *old = s->listeners[i].tls;
        old->retired_next = s->tls_retired;
        s->tls_retired = old;
        s->listeners[i].tls = fresh[i];
        fresh[i] = NULL;
    }
    (void)pthread_mutex_unlock(&s->lock);
    int r = 0;
    for (unsigned i = 0; s->state == HTTP_STATE_RUNNING && i < s->workers_count; i++) {
        int one = loop_post(s->workers[i].loop, http__worker_tls, &s->workers[i]);
        if (one < 0)
            r = one;
    }
    return r;
}

static int http_tls_reload(struct http_server *s, struct http_tls **fresh, int r, struct err *err)
{
    if (r == 0) {
        r = http_tls_swap(s, fresh);
        if (r < 0)
            r = err_errno(err, r, "swapping certificates");
    }
    for (unsigned i = 0; i < s->options.listens_count; i++)
        (void)http__tls_free(fresh[i]);
    return r;
}

int http_server_reload_tls(struct http_server *s, struct err *err)
{
    struct http_tls *fresh[HTTP_LISTENS_MAX] = {NULL};
    int r = 0;
    for (unsigned i = 0; r == 0 && i < s->options.listens_count; i++)
        r = http__tls_new(&s->listeners[i].options, s->listeners[i].tls, err, &fresh[i]);
    return http_tls_reload(s, fresh, r, err);
}

/* Where it listens is not changed. From here on a later reload reads the new files. */
static void http_tls_take_options(struct http_listener *l, struct http_listen *fresh)
{
    struct http_listen old = l->options;
    l->options = *fresh;
    l->options.address = old.address;
    l->options.port = old.port;
    old.address = fresh->address;
    *fresh = old;
}

int http_server_set_tls(struct http_server *s, const struct http_listen *listens, unsigned count,
                        struct err *err)
{
    struct http_tls *fresh[HTTP_LISTENS_MAX] = {NULL};
    struct http_listen copies[HTTP_LISTENS_MAX] = {{.address = NULL}};
    if (count != s->options.listens_count)
        return err_set(err, -EINVAL, "listeners come and go with a restart only");
    int r = 0;
    for (unsigned i = 0; r == 0 && i < count; i++) {
        if ((listens[i].cert_file == NULL) != (s->listeners[i].tls == NULL))
            r = err_set(err, -EINVAL, "listening on %s: TLS begins and ends with a restart only",
                        listens[i].address);
        else if ((r = http__listen_options_copy(&listens[i], &copies[i])) < 0)
            r = err_set(err, r, "out of memory");
        else
            r = http__tls_new(&copies[i], s->listeners[i].tls, err, &fresh[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        if (r == 0)
            http_tls_take_options(&s->listeners[i], &copies[i]);
        http__listen_options_free(&copies[i]);
    }
    return http_tls_reload(s, fresh, r, err);
}

/* --- OCSP ------------------------------------------------------------------------------------- */

static struct tls_set *http_tls_set_of(struct http_server *s, unsigned listen_index)
{
    (void)pthread_mutex_lock(&s->lock);
    struct http_tls *t = s->listeners[listen_index].tls; /* kept to the server's end */
    (void)pthread_mutex_unlock(&s->lock);
    return t != NULL ? t->set : NULL;
}

static struct tls_cert *http_tls_cert_at(struct http_server *s, unsigned index)
{
    for (unsigned i = 0; i < s->options.listens_count; i++) {
        struct tls_set *set = http_tls_set_of(s, i);
        unsigned count = set != NULL ? tls_set_certs_count(set) : 0;
        if (index < count)
            return tls_set_cert(set, index);
        index -= count;
    }
    return NULL;
}

int http_server_ocsp_ask(struct http_server *s, unsigned index, struct http_ocsp_ask *ret)
{
    struct tls_cert *c = http_tls_cert_at(s, index);
    if (c == NULL)
        return -ENOENT;
    if (tls_cert_has_ocsp_file(c))
        return -ENODATA;
    struct http_ocsp_ask ask = {.url = NULL};
    int r = tls_cert_ask(c, &ask.url, &ask.request, &ask.request_size, &ask.due_s);
    if (r == 0)
        *ret = ask;
    return r;
}

void http_ocsp_ask_clear(struct http_ocsp_ask *ask)
{
    free(ask->url);
    free(ask->request);
    *ask = (struct http_ocsp_ask){.url = NULL};
}

int http_server_ocsp_set(struct http_server *s, unsigned index, struct str der, struct err *err)
{
    struct tls_cert *c = http_tls_cert_at(s, index);
    if (c == NULL)
        return err_set(err, -ENOENT, "there is no such certificate any more");
    return tls_cert_set_ocsp(c, der, err);
}

static void http_tls_look(void *arg) /* on the pool's thread */
{
    struct http_server *s = arg;
    for (unsigned i = 0; i < s->options.listens_count; i++) {
        struct tls_set *set = http_tls_set_of(s, i);
        if (set != NULL)
            tls_set_refresh(set);
    }
}

static void http_tls_on_timer(void *arg)
{
    struct http_worker *w = arg;
    struct http_server *s = w->server;
    int r = pool_run(s->tls_pool, http_tls_look, s);
    if (r < 0)
        log_debug("OCSP files are not looked at now: %d", r); /* the next time, then */
    uint32_t wait_ms = s->options.ocsp_look_ms != 0 ? s->options.ocsp_look_ms : HTTP_OCSP_LOOK_MS;
    loop_timer_start(w->loop, &w->tls_timer, wait_ms, http_tls_on_timer, w);
}

int http__tls_start(struct http_server *s)
{
    bool any = false;
    for (unsigned i = 0; i < s->options.listens_count; i++)
        any = any || s->listeners[i].tls != NULL;
    return any ? pool_new(1, &s->tls_pool) : 0;
}

void http__tls_watch(struct http_worker *w)
{
    if (w->index == 0 && w->server->tls_pool != NULL)
        http_tls_on_timer(w);
}

void http__tls_unwatch(struct http_worker *w)
{
    loop_timer_stop(&w->tls_timer);
}
